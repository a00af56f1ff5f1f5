/* What is known of a value at compile time: its contents as dims, or as a constant tensor. */
#include "ir/build.h"
#include "ir/build_internal.h"
#include "ir/eval.h"

enum {
    MAX_VISITS = 4096, /* nodes that one build_known() looks at before it gives up */
    MANY = 1024        /* contents that become symbols, each */
};

/* Elements of v that are data symbols promise at least what the caller asks for. */
static bool promises(const Value *v, int64_t count, int64_t lo, int64_t hi)
{
    for (int64_t i = 0; i < count; i++) {
        const Symbol *s = v->elems[i]->kind == DIM_SYM ? v->elems[i]->sym : NULL;
        if (s && s->data && (s->lo > lo || s->hi < hi)) return false;
    }
    return true;
}

const Dim *const *build_contents_range(Build *b, Value *v, int64_t lo, int64_t hi, int *n)
{
    Context *c = b->ctx;
    int64_t count = 1;
    *n = 0;
    if (!v) return NULL;
    DClass cls = dtype_class(v->type.dtype);
    if (v->type.rank > 1 || (cls != DC_INT && cls != DC_UINT && cls != DC_BOOL) ||
        (v->type.rank == 1 && !dim_is_const(v->type.dim[0], &count)) || count > INT32_MAX) {
        ctx_error(c, DLVK_UNSUPPORTED, "sizes are to be integers of rank 0 or 1 and constant length, not %s",
                  type_to_string(c->pool, v->type));
        return NULL;
    }
    *n = (int)count;
    if (v->elems && promises(v, count, lo, hi)) return v->elems;
    const Dim **d = POOL_ARRAY(c->pool, const Dim *, count);
    const Tensor *t = build_known(b, v);
    if (!t && count > MANY) {
        ctx_error(c, DLVK_UNSUPPORTED, "sizes are to be at most %d numbers, not %s", MANY, type_to_string(c->pool, v->type));
        return NULL;
    }
    for (int64_t i = 0; i < count; i++) {
        if (t) {
            d[i] = dim_const(&c->dims, elem_get_i(t->dtype, t->data, t->splat ? 0 : i));
            continue;
        }
        d[i] = dim_fresh(&c->dims, "data", NULL, true);
        d[i]->sym->lo = lo;
        d[i]->sym->hi = hi;
    }
    Attr attr = at_dims(A_VALUES, (int)count, d);
    if (!t && !build_node(b, OP_READ_DIMS, 1, &v, 1, &attr, 0, NULL)) return NULL;
    return d;
}

const Dim *const *build_contents(Build *b, Value *v, int *n)
{
    return build_contents_range(b, v, 0, INT32_MAX, n);
}

typedef struct Known {
    Build *b;
    int visits;
    VEC(const Value *) seen;
    VEC(const Tensor *) found; /* beside seen; NULL: depends on inputs */
} Known;

static const Tensor *known(Known *k, Value *v);

static const Tensor *evaluate(Known *k, const Value *v)
{
    const Node *n = v->def;
    Pool *p = k->b->ctx->pool;
    if (!n || n->n_region || n->op == OP_RANDOM || n->op == OP_READ_DIMS || ++k->visits > MAX_VISITS) return NULL;
    const Tensor **in = POOL_ARRAY(p, const Tensor *, n->n_in), **out = POOL_ARRAY(p, const Tensor *, n->n_out);
    for (int i = 0; i < n->n_in; i++)
        if (!(in[i] = known(k, n->in[i]))) return NULL;
    return node_eval(n, in, out, p) ? out[v->out] : NULL;
}

static bool all_const(const Value *v)
{
    int64_t dim[DLVK_MAX_RANK], count = 1;
    type_static(v->type, dim);
    for (int i = 0; i < v->type.rank; i++) count *= dim[i];
    for (int64_t i = 0; i < count; i++)
        if (!dim_is_const(v->elems[i], NULL)) return false;
    return true;
}

static const Tensor *known(Known *k, Value *v)
{
    const Tensor *t;
    if (value_const(v, &t)) return t;
    for (int i = 0; i < k->seen.n; i++)
        if (k->seen.at[i] == v) return k->found.at[i];
    if (v->elems && !all_const(v)) return NULL;
    t = evaluate(k, v);
    *VEC_PUSH(k->b->ctx->pool, k->seen) = v;
    *VEC_PUSH(k->b->ctx->pool, k->found) = t;
    return t;
}

const Tensor *build_known(Build *b, Value *v)
{
    Known k = {.b = b};
    return v ? known(&k, v) : NULL;
}
