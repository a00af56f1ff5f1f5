/* Type inference: the dispatch over ops, its shared parts, and the rules of pointwise ops, sources, type changes and
 * markers. Movement is in infer_move.c, reductions to scatters in infer_reduce.c, control flow in infer_flow.c. */
#include "ir/infer.h"

#include <string.h>

typedef bool (*InferFn)(Region *, Node *);
static const InferFn infer_fn[OP_COUNT] = {
#define POINT(id, name, ...)          infer_point,
#define STRUCT(id, name, n_in, n_out) infer_##name,
#include "ir/ops.def"
};

bool node_infer(Region *r, Node *n)
{
    return infer_fn[n->op](r, n);
}

/* Shared parts. */

bool infer_fail(Region *r, const Node *n, const char *fmt, ...)
{
    Context *c = r->graph->ctx;
    va_list ap;
    va_start(ap, fmt);
    const char *text = pool_vprintf(c->pool, fmt, ap);
    va_end(ap);
    ctx_error(c, DLVK_INVALID_ARGUMENT, "%s: %s", op_info[n->op].name, text);
    return false;
}

void add_attr(Context *c, Node *n, Attr a)
{
    Attr *attr = POOL_ARRAY(c->pool, Attr, n->n_attr + 1);
    if (n->n_attr) memcpy(attr, n->attr, (size_t)n->n_attr * sizeof *attr);
    attr[n->n_attr++] = a;
    n->attr = attr;
}

const Dim *same_dim(Context *c, const Dim *a, const Dim *b)
{
    if (a == b) return a;
    ctx_constrain(c, DIM_EQ, a, b);
    return dim_is_const(b, NULL) ? b : a;
}

void same_dims(Context *c, int rank, const Dim **acc, const Dim *const *other)
{
    for (int i = 0; i < rank; i++) acc[i] = same_dim(c, acc[i], other[i]);
}

void at_most(Context *c, const Dim *a, const Dim *b)
{
    if (!dim_has_data_symbol(a) && !dim_has_data_symbol(b)) ctx_constrain(c, DIM_LE, a, b);
}

const Attr *need_attr(Region *r, const Node *n, AttrId id, int len)
{
    const Attr *a = node_attr(n, id);
    if (!a) {
        infer_fail(r, n, "attribute '%s' is missing", attr_name[id]);
    } else if (len >= 0 && a->n != len) {
        infer_fail(r, n, "attribute '%s' has %d entries, not %d", attr_name[id], a->n, len);
        a = NULL;
    }
    return a;
}

static const void *not_null(const void *p)
{
    return p ? p : "";
} /* an empty list is not a missing one */

const int64_t *need_ints(Region *r, const Node *n, AttrId id, int len)
{
    const Attr *a = need_attr(r, n, id, len);
    return a ? not_null(a->ints) : NULL;
}

const Dim *const *need_dims(Region *r, const Node *n, AttrId id, int len)
{
    const Attr *a = need_attr(r, n, id, len);
    if (!a) return NULL;
    for (int i = 0; i < a->n; i++) {
        if (a->dims[i]) continue;
        infer_fail(r, n, "attribute '%s' has an unknown entry", attr_name[id]);
        return NULL;
    }
    return not_null(a->dims);
}

bool need_axis(Region *r, const Node *n, int rank, int *axis)
{
    int64_t a = attr_i(n, A_AXIS, -1);
    if (a < 0 || a >= rank) return infer_fail(r, n, "axis %lld is not below the rank %d", (long long)a, rank);
    *axis = (int)a;
    return true;
}

bool need_kind(Region *r, const Node *n, unsigned allowed, Kind *kind)
{
    int64_t k = attr_i(n, A_KIND, -1);
    if (k < 0 || k >= KIND_COUNT) return infer_fail(r, n, "attribute 'kind' is missing");
    if (!(allowed >> k & 1)) return infer_fail(r, n, "kind %s is not allowed here", kind_name[k]);
    *kind = (Kind)k;
    return true;
}

bool need_axes(Region *r, const Node *n, int rank, const int64_t **axes, int *count)
{
    const int64_t *a = need_ints(r, n, A_AXES, -1);
    if (!a) return false;
    int len = node_attr(n, A_AXES)->n;
    for (int i = 0; i < len; i++)
        if (a[i] < (i ? a[i - 1] + 1 : 0) || a[i] >= rank)
            return infer_fail(r, n, "axes must increase and be below the rank %d", rank);
    *axes = a;
    *count = len;
    return true;
}

static bool shape_ok(Region *r, const Node *n, int rank, const Dim *const *shape)
{
    if (rank > DLVK_MAX_RANK) return infer_fail(r, n, "rank %d is above the limit of %d", rank, DLVK_MAX_RANK);
    for (int i = 0; i < rank; i++) {
        int64_t v;
        if (dim_is_const(shape[i], &v) && v < 0) return infer_fail(r, n, "dimension %d is %lld", i, (long long)v);
    }
    return true;
}

/* Pointwise. */

static bool takes(const OpInfo *info, DType t)
{
    switch (dtype_class(t)) {
    case DC_FLOAT: return info->takes & TAKES_F;
    case DC_INT:
    case DC_UINT: return info->takes & TAKES_I;
    case DC_BOOL: return info->takes & TAKES_B;
    case DC_STRING: return info->takes & TAKES_S;
    case DC_NONE: break;
    }
    return false;
}

bool infer_point(Region *r, Node *n)
{
    Context *c = r->graph->ctx;
    const OpInfo *info = &op_info[n->op];
    int first = info->rule == RULE_PICK ? 1 : 0;
    if (first && n->in[0]->type.dtype != DLVK_BOOL)
        return infer_fail(r, n, "the condition is %s, not bool", dtype_name(n->in[0]->type.dtype));
    Type t = n->in[first]->type;
    if (!takes(info, t.dtype)) return infer_fail(r, n, "does not take %s", dtype_name(t.dtype));
    const Dim *dims[DLVK_MAX_RANK];
    if (t.rank) memcpy(dims, t.dim, (size_t)t.rank * sizeof *dims);
    for (int i = 0; i < n->n_in; i++) {
        Type u = n->in[i]->type;
        if (i >= first && u.dtype != t.dtype)
            return infer_fail(r, n, "operands of types %s and %s", dtype_name(t.dtype), dtype_name(u.dtype));
        if (u.rank != t.rank) return infer_fail(r, n, "operands of ranks %d and %d", t.rank, u.rank);
        same_dims(c, t.rank, dims, u.dim);
    }
    n->out[0]->type = type_make(c, info->rule == RULE_CMP ? DLVK_BOOL : t.dtype, t.rank, dims);
    return true;
}

/* Sources. */

bool infer_const(Region *r, Node *n)
{
    Context *c = r->graph->ctx;
    const Attr *a = need_attr(r, n, A_VALUE, -1);
    if (!a) return false;
    const Tensor *t = a->tensor;
    const Dim *dims[DLVK_MAX_RANK];
    for (int i = 0; i < t->rank; i++) dims[i] = dim_const(&c->dims, t->dim[i]);
    n->out[0]->type = type_make(c, t->dtype, t->rank, dims);
    return true;
}

bool infer_dims(Region *r, Node *n)
{
    Context *c = r->graph->ctx;
    const Dim *const *values = need_dims(r, n, A_VALUES, -1), *const *shape = need_dims(r, n, A_SHAPE, -1);
    const Attr *t = need_attr(r, n, A_DTYPE, -1);
    if (!values || !shape || !t) return false;
    int rank = node_attr(n, A_SHAPE)->n, count = node_attr(n, A_VALUES)->n;
    if (rank > 1 || (rank == 0 && count != 1) || (rank == 1 && !dim_is(shape[0], count)))
        return infer_fail(r, n, "%d values do not fit the shape", count);
    if (!dtype_is_int((DType)t->i)) return infer_fail(r, n, "dtype %s is not an integer", dtype_name((DType)t->i));
    n->out[0]->type = type_make(c, (DType)t->i, rank, shape);
    return true;
}

bool infer_iota(Region *r, Node *n)
{
    const Dim *const *shape = need_dims(r, n, A_SHAPE, -1);
    const Attr *t = need_attr(r, n, A_DTYPE, -1);
    int axis;
    if (!shape || !t) return false;
    int rank = node_attr(n, A_SHAPE)->n;
    if (!shape_ok(r, n, rank, shape) || !need_axis(r, n, rank, &axis)) return false;
    if (!dtype_is_int((DType)t->i) && !dtype_is_float((DType)t->i))
        return infer_fail(r, n, "dtype %s is no number", dtype_name((DType)t->i));
    n->out[0]->type = type_make(r->graph->ctx, (DType)t->i, rank, shape);
    return true;
}

bool infer_random(Region *r, Node *n)
{
    Type seed = n->in[0]->type;
    if (seed.dtype != DLVK_U64 || seed.rank != 0) return infer_fail(r, n, "the seed must be a u64 of rank 0");
    const Dim *const *shape = need_dims(r, n, A_SHAPE, -1);
    if (!shape) return false;
    int rank = node_attr(n, A_SHAPE)->n;
    if (!shape_ok(r, n, rank, shape)) return false;
    n->out[0]->type = type_make(r->graph->ctx, DLVK_U32, rank, shape);
    return true;
}

/* Type changes. */

bool infer_cast(Region *r, Node *n)
{
    const Attr *t = need_attr(r, n, A_DTYPE, -1);
    Type x = n->in[0]->type;
    if (!t) return false;
    if (x.dtype == DLVK_STRING || t->i == DLVK_STRING) return infer_fail(r, n, "strings are cast on the host");
    n->out[0]->type = type_make(r->graph->ctx, (DType)t->i, x.rank, x.dim);
    return true;
}

bool infer_bitcast(Region *r, Node *n)
{
    const Attr *t = need_attr(r, n, A_DTYPE, -1);
    Type x = n->in[0]->type;
    if (!t) return false;
    if (x.dtype == DLVK_STRING || t->i == DLVK_STRING) return infer_fail(r, n, "strings have no bits of their own");
    if (dtype_bits(x.dtype) != dtype_bits((DType)t->i))
        return infer_fail(r, n, "%s and %s differ in width", dtype_name(x.dtype), dtype_name((DType)t->i));
    n->out[0]->type = type_make(r->graph->ctx, (DType)t->i, x.rank, x.dim);
    return true;
}

/* Markers. */

bool infer_stop_gradient(Region *r, Node *n)
{
    (void)r;
    n->out[0]->type = n->in[0]->type;
    return true;
}

bool infer_barrier(Region *r, Node *n)
{
    (void)r;
    n->out[0]->type = n->in[0]->type;
    return true;
}
