/* Type inference of movement: reshape, transpose, broadcast, slice, pad, reverse, concat, gather, scatter. */
#include "ir/infer.h"

#include <string.h>

static bool rank_ok(Region *r, const Node *n, int rank)
{
    return rank <= DLVK_MAX_RANK || infer_fail(r, n, "rank %d is above the limit of %d", rank, DLVK_MAX_RANK);
}

bool infer_reshape(Region *r, Node *n)
{
    Context *c = r->graph->ctx;
    Type x = n->in[0]->type;
    const Dim *const *shape = need_dims(r, n, A_SHAPE, -1);
    if (!shape || !rank_ok(r, n, node_attr(n, A_SHAPE)->n)) return false;
    Type y = type_make(c, x.dtype, node_attr(n, A_SHAPE)->n, shape);
    const Dim *have = type_count(c, x), *want = type_count(c, y);
    int64_t a, b;
    if (dim_is_const(have, &a) && dim_is_const(want, &b) && a != b)
        return infer_fail(r, n, "%s does not fill %s", type_to_string(c->pool, x), type_to_string(c->pool, y));
    if (have != want) ctx_constrain(c, DIM_EQ, have, want);
    n->out[0]->type = y;
    return true;
}

bool infer_transpose(Region *r, Node *n)
{
    Type x = n->in[0]->type;
    const int64_t *perm = need_ints(r, n, A_PERM, x.rank);
    const Dim *dims[DLVK_MAX_RANK];
    unsigned seen = 0;
    if (!perm) return false;
    for (int i = 0; i < x.rank; i++) {
        if (perm[i] < 0 || perm[i] >= x.rank || seen >> perm[i] & 1) return infer_fail(r, n, "perm is not a permutation");
        seen |= 1u << perm[i];
        dims[i] = x.dim[perm[i]];
    }
    n->out[0]->type = type_make(r->graph->ctx, x.dtype, x.rank, dims);
    return true;
}

bool infer_broadcast(Region *r, Node *n)
{
    Context *c = r->graph->ctx;
    Type x = n->in[0]->type;
    const Dim *const *shape = need_dims(r, n, A_SHAPE, x.rank);
    if (!shape) return false;
    Type y = type_make(c, x.dtype, x.rank, shape);
    for (int i = 0; i < x.rank; i++) {
        if (x.dim[i] == shape[i] || dim_is(x.dim[i], 1)) continue;
        if (dim_is_const(x.dim[i], NULL) && dim_is_const(shape[i], NULL))
            return infer_fail(r, n, "%s cannot become %s", type_to_string(c->pool, x), type_to_string(c->pool, y));
        ctx_constrain(c, DIM_EQ, x.dim[i], shape[i]);
    }
    n->out[0]->type = y;
    return true;
}

bool infer_slice(Region *r, Node *n)
{
    Context *c = r->graph->ctx;
    DimTable *t = &c->dims;
    Type x = n->in[0]->type;
    const Dim *const *start = need_dims(r, n, A_START, x.rank), *const *shape = need_dims(r, n, A_SHAPE, x.rank);
    const int64_t *step = need_ints(r, n, A_STEP, x.rank);
    if (!start || !shape || !step) return false;
    for (int i = 0; i < x.rank; i++) {
        if (step[i] < 1) return infer_fail(r, n, "step %lld on axis %d", (long long)step[i], i);
        if (dim_is(start[i], 0) && shape[i] == x.dim[i] && step[i] == 1) continue;
        if (dim_is(shape[i], 0)) continue; /* reads nothing */
        /* the last element read: start + (shape - 1) * step < dim */
        const Dim *end = dim_add(t, start[i], dim_mul(t, dim_const(t, step[i]), dim_add(t, shape[i], dim_const(t, -1))));
        at_most(c, dim_const(t, 0), start[i]);
        at_most(c, dim_const(t, 0), shape[i]);
        at_most(c, dim_add(t, end, dim_const(t, 1)), x.dim[i]);
    }
    n->out[0]->type = type_make(c, x.dtype, x.rank, shape);
    return true;
}

bool infer_pad(Region *r, Node *n)
{
    Context *c = r->graph->ctx;
    DimTable *t = &c->dims;
    Type x = n->in[0]->type, v = n->in[1]->type;
    const Dim *const *lo = need_dims(r, n, A_LO, x.rank), *const *hi = need_dims(r, n, A_HI, x.rank);
    const Dim *dims[DLVK_MAX_RANK];
    if (!lo || !hi) return false;
    if (v.rank != 0 || v.dtype != x.dtype) return infer_fail(r, n, "the padding value must be %s[]", dtype_name(x.dtype));
    for (int i = 0; i < x.rank; i++) {
        at_most(c, dim_const(t, 0), lo[i]);
        at_most(c, dim_const(t, 0), hi[i]);
        dims[i] = dim_add(t, x.dim[i], dim_add(t, lo[i], hi[i]));
    }
    n->out[0]->type = type_make(c, x.dtype, x.rank, dims);
    return true;
}

bool infer_reverse(Region *r, Node *n)
{
    const int64_t *axes;
    int count;
    if (!need_axes(r, n, n->in[0]->type.rank, &axes, &count)) return false;
    n->out[0]->type = n->in[0]->type;
    return true;
}

bool infer_concat(Region *r, Node *n)
{
    Context *c = r->graph->ctx;
    if (n->n_in < 1) return infer_fail(r, n, "no operands");
    Type x = n->in[0]->type;
    const Dim *dims[DLVK_MAX_RANK];
    int axis;
    if (!need_axis(r, n, x.rank, &axis)) return false;
    memcpy(dims, x.dim, (size_t)x.rank * sizeof *dims);
    for (int i = 1; i < n->n_in; i++) {
        Type y = n->in[i]->type;
        if (y.dtype != x.dtype || y.rank != x.rank)
            return infer_fail(r, n, "operands %s and %s", type_to_string(c->pool, x), type_to_string(c->pool, y));
        const Dim *sum = dim_add(&c->dims, dims[axis], y.dim[axis]);
        dims[axis] = y.dim[axis];
        same_dims(c, x.rank, dims, y.dim);
        dims[axis] = sum;
    }
    n->out[0]->type = type_make(c, x.dtype, x.rank, dims);
    return true;
}

bool infer_gather(Region *r, Node *n)
{
    Type x = n->in[0]->type, i = n->in[1]->type;
    const Dim *dims[2 * DLVK_MAX_RANK];
    int axis;
    if (!need_axis(r, n, x.rank, &axis)) return false;
    if (!dtype_is_int(i.dtype)) return infer_fail(r, n, "indices of type %s", dtype_name(i.dtype));
    int rank = x.rank - 1 + i.rank, k = 0;
    if (!rank_ok(r, n, rank)) return false;
    for (int a = 0; a < axis; a++) dims[k++] = x.dim[a];
    for (int a = 0; a < i.rank; a++) dims[k++] = i.dim[a];
    for (int a = axis + 1; a < x.rank; a++) dims[k++] = x.dim[a];
    n->out[0]->type = type_make(r->graph->ctx, x.dtype, rank, dims);
    return true;
}

bool infer_scatter(Region *r, Node *n)
{
    Context *c = r->graph->ctx;
    Type x = n->in[0]->type, i = n->in[1]->type, u = n->in[2]->type;
    unsigned allowed = 1u << KIND_SUM | 1u << KIND_PROD | 1u << KIND_MAX | 1u << KIND_MIN | 1u << KIND_SET;
    Kind kind;
    if (!need_kind(r, n, allowed, &kind)) return false;
    if (!dtype_is_int(i.dtype) || i.rank != 1) return infer_fail(r, n, "indices must be integers of rank 1");
    if (x.rank < 1 || u.rank != x.rank || u.dtype != x.dtype)
        return infer_fail(r, n, "updates %s for data %s", type_to_string(c->pool, u), type_to_string(c->pool, x));
    const Dim *dims[DLVK_MAX_RANK];
    memcpy(dims, u.dim, (size_t)u.rank * sizeof *dims);
    same_dim(c, u.dim[0], i.dim[0]);
    same_dims(c, x.rank - 1, dims + 1, x.dim + 1);
    n->out[0]->type = x;
    return true;
}
