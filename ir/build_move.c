/* Movement, gather and scatter. */
#include "ir/build.h"
#include "ir/build_internal.h"

#include <string.h>

int build_axis(Build *b, int axis, int rank)
{
    int a = axis < 0 ? axis + rank : axis;
    if (a >= 0 && a < rank) return a;
    ctx_error(b->ctx, DLVK_INVALID_ARGUMENT, "axis %d is out of range for rank %d", axis, rank);
    return -1;
}

bool build_axis_mask(Build *b, int n, const int *axes, int rank, unsigned *mask)
{
    *mask = axes ? 0 : (1u << rank) - 1;
    for (int i = 0; axes && i < n; i++) {
        int a = build_axis(b, axes[i], rank);
        if (a < 0) return false;
        if (*mask >> a & 1) {
            ctx_error(b->ctx, DLVK_INVALID_ARGUMENT, "axis %d is given twice", axes[i]);
            return false;
        }
        *mask |= 1u << a;
    }
    return true;
}

const Dim *const *build_zeros(Build *b, int n)
{
    const Dim **d = POOL_ARRAY(b->ctx->pool, const Dim *, n);
    for (int i = 0; i < n; i++) d[i] = dim_const(&b->ctx->dims, 0);
    return d;
}

Value *build_reshape(Build *b, Value *x, int rank, const Dim *const *shape)
{
    Attr attr = at_dims(A_SHAPE, rank, shape);
    return build_op(b, OP_RESHAPE, 1, &x, 1, &attr);
}

Value *build_transpose(Build *b, Value *x, const int *perm)
{
    int64_t p[DLVK_MAX_RANK];
    if (!x) return NULL;
    for (int i = 0; i < x->type.rank; i++) p[i] = perm[i] < 0 ? perm[i] + x->type.rank : perm[i];
    Attr attr = at_ints(A_PERM, x->type.rank, p);
    return build_op(b, OP_TRANSPOSE, 1, &x, 1, &attr);
}

Value *build_broadcast(Build *b, Value *x, int rank, const Dim *const *shape)
{
    if (!x) return NULL;
    int out = x->type.rank > rank ? x->type.rank : rank;
    const Dim *from[DLVK_MAX_RANK], *to[DLVK_MAX_RANK], *one = dim_const(&b->ctx->dims, 1);
    if (out > DLVK_MAX_RANK) {
        ctx_error(b->ctx, DLVK_UNSUPPORTED, "rank %d is above the limit of %d", out, DLVK_MAX_RANK);
        return NULL;
    }
    for (int a = 0; a < out; a++) {
        int xa = a - (out - x->type.rank), sa = a - (out - rank);
        const Dim *want = sa < 0 ? one : shape[sa];
        from[a] = xa < 0 ? one : x->type.dim[xa];
        to[a] = dim_is(want, 1) ? from[a] : want;
    }
    x = build_reshape(b, x, out, from);
    Attr attr = at_dims(A_SHAPE, out, to);
    return build_op(b, OP_BROADCAST, 1, &x, 1, &attr);
}

Value *build_slice(Build *b, Value *x, const Dim *const *start, const Dim *const *size, const int64_t *step)
{
    int64_t ones[DLVK_MAX_RANK];
    if (!x) return NULL;
    for (int i = 0; i < DLVK_MAX_RANK; i++) ones[i] = 1;
    int r = x->type.rank;
    Attr attr[] = {at_dims(A_START, r, start), at_dims(A_SHAPE, r, size), at_ints(A_STEP, r, step ? step : ones)};
    return build_op(b, OP_SLICE, 1, &x, 3, attr);
}

Value *build_slice_axis(Build *b, Value *x, int axis, const Dim *start, const Dim *size)
{
    if (!x || (axis = build_axis(b, axis, x->type.rank)) < 0) return NULL;
    const Dim *from[DLVK_MAX_RANK], *to[DLVK_MAX_RANK];
    for (int i = 0; i < x->type.rank; i++) {
        from[i] = i == axis ? start : dim_const(&b->ctx->dims, 0);
        to[i] = i == axis ? size : x->type.dim[i];
    }
    return build_slice(b, x, from, to, NULL);
}

Value *build_pad(Build *b, Value *x, const Dim *const *lo, const Dim *const *hi, Value *value)
{
    if (!x || !value) return NULL;
    DimTable *t = &b->ctx->dims;
    const Dim *start[DLVK_MAX_RANK], *size[DLVK_MAX_RANK], *before[DLVK_MAX_RANK], *after[DLVK_MAX_RANK];
    const Dim *zero = dim_const(t, 0);
    for (int i = 0; i < x->type.rank; i++) {
        before[i] = dim_max(t, lo[i], zero);
        after[i] = dim_max(t, hi[i], zero);
        start[i] = dim_max(t, dim_neg(t, lo[i]), zero);
        size[i] = dim_sub(t, x->type.dim[i], dim_add(t, start[i], dim_max(t, dim_neg(t, hi[i]), zero)));
    }
    Value *in[] = {build_slice(b, x, start, size, NULL), value};
    Attr attr[] = {at_dims(A_LO, x->type.rank, before), at_dims(A_HI, x->type.rank, after)};
    return build_op(b, OP_PAD, 2, in, 2, attr);
}

Value *build_reverse(Build *b, Value *x, int n, const int *axes)
{
    unsigned mask;
    int64_t list[DLVK_MAX_RANK];
    int count = 0;
    if (!x || !build_axis_mask(b, n, axes, x->type.rank, &mask)) return NULL;
    for (int i = 0; i < x->type.rank; i++)
        if (mask >> i & 1) list[count++] = i;
    Attr attr = at_ints(A_AXES, count, list);
    return build_op(b, OP_REVERSE, 1, &x, 1, &attr);
}

Value *build_concat(Build *b, int n, Value *const *x, int axis)
{
    for (int i = 0; i < n; i++)
        if (!x[i]) return NULL;
    if (n < 1) {
        ctx_error(b->ctx, DLVK_INVALID_ARGUMENT, "concat of nothing");
        return NULL;
    }
    if ((axis = build_axis(b, axis, x[0]->type.rank)) < 0) return NULL;
    Attr attr = at_i(A_AXIS, axis);
    return build_op(b, OP_CONCAT, n, x, 1, &attr);
}

Value *build_squeeze(Build *b, Value *x, int n, const int *axes)
{
    unsigned mask;
    const Dim *shape[DLVK_MAX_RANK];
    int rank = 0;
    if (!x || !build_axis_mask(b, n, n ? axes : NULL, x->type.rank, &mask)) return NULL;
    for (int i = 0; i < x->type.rank; i++) {
        bool one = dim_is(x->type.dim[i], 1);
        if (!(mask >> i & 1) || (n == 0 && !one)) {
            shape[rank++] = x->type.dim[i];
        } else if (!one) {
            ctx_constrain(b->ctx, DIM_EQ, x->type.dim[i], dim_const(&b->ctx->dims, 1));
        }
    }
    return build_reshape(b, x, rank, shape);
}

Value *build_unsqueeze(Build *b, Value *x, int n, const int *axes)
{
    unsigned mask;
    const Dim *shape[DLVK_MAX_RANK];
    if (!x) return NULL;
    int rank = x->type.rank + n, k = 0;
    if (rank > DLVK_MAX_RANK) {
        ctx_error(b->ctx, DLVK_UNSUPPORTED, "rank %d is above the limit of %d", rank, DLVK_MAX_RANK);
        return NULL;
    }
    if (n == 0) return x;
    if (!build_axis_mask(b, n, axes, rank, &mask)) return NULL;
    for (int i = 0; i < rank; i++) shape[i] = mask >> i & 1 ? dim_const(&b->ctx->dims, 1) : x->type.dim[k++];
    return build_reshape(b, x, rank, shape);
}

Value *build_flatten(Build *b, Value *x, int axis)
{
    if (!x) return NULL;
    if (axis != x->type.rank && (axis = build_axis(b, axis, x->type.rank)) < 0) return NULL;
    const Dim *shape[] = {dim_const(&b->ctx->dims, 1), dim_const(&b->ctx->dims, 1)};
    for (int i = 0; i < x->type.rank; i++) shape[i >= axis] = dim_mul(&b->ctx->dims, shape[i >= axis], x->type.dim[i]);
    return build_reshape(b, x, 2, shape);
}

Value *build_gather(Build *b, Value *data, Value *idx, int axis)
{
    if (!data || !idx || (axis = build_axis(b, axis, data->type.rank)) < 0) return NULL;
    Attr attr = at_i(A_AXIS, axis);
    return build_op(b, OP_GATHER, 2, (Value *[]){data, idx}, 1, &attr);
}

Value *build_scatter(Build *b, Kind k, Value *data, Value *idx, Value *updates)
{
    Attr attr = at_i(A_KIND, k);
    return build_op(b, OP_SCATTER, 3, (Value *[]){data, idx, updates}, 1, &attr);
}
