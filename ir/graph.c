/* Graphs, regions, values, nodes and types: making them and asking about them. */
#include "ir/ir.h"

#include <assert.h>
#include <string.h>

Graph *graph_new(Context *ctx, const char *name)
{
    Graph *g = POOL_NEW(ctx->pool, Graph);
    g->ctx = ctx;
    g->name = pool_strdup(ctx->pool, name ? name : "");
    g->top = region_new(g, NULL);
    return g;
}

Region *region_new(Graph *g, Region *parent)
{
    Region *r = POOL_NEW(g->ctx->pool, Region);
    r->graph = g;
    r->parent = parent;
    return r;
}

Region *region_branch(Graph *g, Region *parent)
{
    Region *r = region_new(g, parent);
    r->guard = dim_fresh(&g->ctx->dims, "taken", NULL, true);
    r->guard->sym->lo = r->guard->sym->hi = 1;
    return r;
}

const Dim *region_enter(const Region *r)
{
    Context *c = r->graph->ctx;
    const Dim *previous = c->guard;
    if (r->guard) c->guard = r->guard;
    return previous;
}

void region_leave(const Region *r, const Dim *previous)
{
    r->graph->ctx->guard = previous;
}

static Value *value_new(Region *r, Node *def, int out)
{
    Value *v = POOL_NEW(r->graph->ctx->pool, Value);
    v->def = def;
    v->region = r;
    v->out = out;
    v->id = -1;
    return v;
}

Value *region_param(Region *r, Type t, const char *name)
{
    Context *c = r->graph->ctx;
    Value *v = value_new(r, NULL, r->params.n);
    v->id = r->graph->n_values++;
    v->type = type_make(c, t.dtype, t.rank, t.dim);
    v->name = name ? pool_strdup(c->pool, name) : NULL;
    *VEC_PUSH(c->pool, r->params) = v;
    return v;
}

/* Types. */

Type type_make(Context *c, DType t, int rank, const Dim *const *dims)
{
    assert(rank >= 0 && rank <= DLVK_MAX_RANK);
    return (Type){t, rank, rank ? pool_dup(c->pool, dims, (size_t)rank * sizeof *dims) : NULL};
}

bool type_same_shape(Type a, Type b)
{
    if (a.rank != b.rank) return false;
    for (int i = 0; i < a.rank; i++)
        if (a.dim[i] != b.dim[i]) return false;
    return true;
}

bool type_reduced(Type full, const bool *axes, Type t)
{
    if (t.rank != full.rank) return false;
    for (int i = 0; i < t.rank; i++)
        if (axes[i] ? !dim_is(t.dim[i], 1) : t.dim[i] != full.dim[i]) return false;
    return true;
}

bool type_equal(Type a, Type b)
{
    return a.dtype == b.dtype && type_same_shape(a, b);
}

const Dim *type_count(Context *c, Type t)
{
    const Dim *n = dim_const(&c->dims, 1);
    for (int i = 0; i < t.rank; i++) n = dim_mul(&c->dims, n, t.dim[i]);
    return n;
}

char *type_to_string(Pool *p, Type t)
{
    char *s = pool_printf(p, "%s[", dtype_name(t.dtype));
    for (int i = 0; i < t.rank; i++) s = pool_printf(p, "%s%s%s", s, i ? "," : "", dim_to_string(p, t.dim[i]));
    return pool_printf(p, "%s]", s);
}

bool type_static(Type t, int64_t *dims)
{
    for (int i = 0; i < t.rank; i++) {
        int64_t v;
        if (!dim_is_const(t.dim[i], &v)) return false;
        if (dims) dims[i] = v;
    }
    return true;
}

bool type_huge(Type t)
{
    int64_t v;
    double count = 1;
    for (int i = 0; i < t.rank; i++)
        if (dim_is_const(t.dim[i], &v)) count *= v > 1 ? (double)v : 1;
    return count > 0x1p48;
}

/* Whether a dimension is below 0 whatever its symbols are. */
static bool type_negative(Type t)
{
    int64_t lo, hi;
    for (int i = 0; i < t.rank; i++) {
        if (t.dim[i]->kind == DIM_SYM) continue;
        dim_range(t.dim[i], &lo, &hi);
        if (hi < 0) return true;
    }
    return false;
}

/* Nodes. */

static Attr attr_copy(Pool *p, Attr a)
{
    switch (attr_type[a.id]) {
    case ATTR_INTS: a.ints = pool_dup(p, a.ints, (size_t)a.n * sizeof *a.ints); break;
    case ATTR_DIMS: a.dims = pool_dup(p, a.dims, (size_t)a.n * sizeof *a.dims); break;
    case ATTR_STR: a.str = pool_strdup(p, a.str); break;
    case ATTR_INT:
    case ATTR_DTYPE:
    case ATTR_KIND:
    case ATTR_TENSOR: break;
    }
    return a;
}

/* How many outputs an op has whose table row says -1. */
static int open_outputs(const Node *n)
{
    const Attr *types = n->op == OP_HOST ? node_attr(n, A_DTYPES) : NULL;
    if (types) return types->n;
    if (n->n_region == 0) return 0;
    int results = n->region_at[0]->results.n;
    return n->op == OP_LOOP ? results - 1 : results; /* a loop's first result is its condition */
}

/* What a read_dims node found out about its operand holds for the rest of the operand's region. */
static void learn_contents(const Region *r, const Node *n)
{
    Value *v = n->in[0];
    if (!v->elems && v->region == r) v->elems = attr_dims(n, A_VALUES);
}

Node *node_new(Region *r, Op op, int n_in, Value *const *in, int n_attr, const Attr *attr, int n_region, Region *const *region)
{
    Context *c = r->graph->ctx;
    const OpInfo *info = &op_info[op];
    for (int i = 0; i < n_in; i++)
        if (!in[i]) return NULL;
    if (info->n_in >= 0 && info->n_in != n_in) {
        ctx_error(c, DLVK_INVALID_ARGUMENT, "%s takes %d operands, not %d", info->name, info->n_in, n_in);
        return NULL;
    }
    Node *n = POOL_NEW(c->pool, Node);
    n->op = op;
    n->parent = r;
    n->origin = c->origin;
    n->n_in = n_in;
    n->in = pool_dup(c->pool, in, (size_t)n_in * sizeof *in);
    n->n_attr = n_attr;
    n->attr = POOL_ARRAY(c->pool, Attr, n_attr);
    for (int i = 0; i < n_attr; i++) n->attr[i] = attr_copy(c->pool, attr[i]);
    n->n_region = n_region;
    n->region_at = pool_dup(c->pool, region, (size_t)n_region * sizeof *region);
    n->n_out = info->n_out >= 0 ? info->n_out : open_outputs(n);
    if (n->n_out < 0) {
        ctx_error(c, DLVK_INVALID_ARGUMENT, "%s: the body has no results", info->name);
        return NULL;
    }
    n->out = POOL_ARRAY(c->pool, Value *, n->n_out);
    for (int i = 0; i < n->n_out; i++) n->out[i] = value_new(r, n, i);
    if (!node_infer(r, n)) return NULL;
    for (int i = 0; i < n->n_out; i++) {
        bool negative = type_negative(n->out[i]->type);
        if (!negative && !type_huge(n->out[i]->type)) continue;
        ctx_error(c, negative ? DLVK_INVALID_ARGUMENT : DLVK_UNSUPPORTED, "%s: a result of type %s, which %s", info->name,
                  type_to_string(c->pool, n->out[i]->type), negative ? "has a negative size" : "is too large");
        return NULL;
    }

    n->id = r->graph->n_nodes++;
    for (int i = 0; i < n->n_out; i++) n->out[i]->id = r->graph->n_values++;
    *VEC_PUSH(c->pool, r->nodes) = n;
    if (n->n_out == 1) n->out[0]->elems = node_elems(c, n);
    if (op == OP_READ_DIMS) learn_contents(r, n);
    return n;
}

const Attr *node_attr(const Node *n, AttrId id)
{
    for (int i = 0; i < n->n_attr; i++)
        if (n->attr[i].id == id) return &n->attr[i];
    return NULL;
}

int64_t attr_i(const Node *n, AttrId id, int64_t otherwise)
{
    const Attr *a = node_attr(n, id);
    return a ? a->i : otherwise;
}

const int64_t *attr_ints(const Node *n, AttrId id)
{
    const Attr *a = node_attr(n, id);
    return a ? a->ints : NULL;
}

const Dim *const *attr_dims(const Node *n, AttrId id)
{
    const Attr *a = node_attr(n, id);
    return a ? a->dims : NULL;
}

/* Constants. */

bool value_const(const Value *v, const Tensor **t)
{
    if (!v || !v->def || v->def->op != OP_CONST) return false;
    if (t) *t = node_attr(v->def, A_VALUE)->tensor;
    return true;
}

bool value_widened(const Value *v)
{
    const Node *n = v->def;
    return n && n->op == OP_CAST && v->type.dtype == DLVK_F32 && dtype_is_float(n->in[0]->type.dtype) &&
           dtype_bits(n->in[0]->type.dtype) == 16;
}

bool value_scalar(const Value *v, double *x)
{
    while (v && v->def && (v->def->op == OP_BROADCAST || v->def->op == OP_RESHAPE)) v = v->def->in[0];
    const Tensor *t;
    if (!value_const(v, &t) || !(t->splat || t->count == 1)) return false;
    DClass cls = dtype_class(t->dtype);
    if (cls == DC_STRING || cls == DC_NONE) return false;
    if (x) *x = elem_get_f(t->dtype, t->data, 0);
    return true;
}
