/* See indexing.h. */
#include "frontend/onnx/indexing.h"

void int_limits(DType t, double *lo, double *hi)
{
    int bits = dtype_bits(t);
    bool is_signed = dtype_class(t) == DC_INT;
    *lo = is_signed ? -(double)((uint64_t)1 << (bits - 1)) : 0;
    *hi = is_signed ? -*lo - 1 : (double)(((uint64_t)1 << bits) - 1);
}

Value *index_wrap(Build *b, Value *idx, const Dim *d)
{
    if (!idx) return NULL;
    if (!dtype_is_int(idx->type.dtype)) {
        ctx_error(b->ctx, DLVK_INVALID_ARGUMENT, "indices of type %s", dtype_name(idx->type.dtype));
        return NULL;
    }
    idx = build_cast(b, idx, DLVK_I64);
    const Tensor *t = build_known(b, idx);
    int64_t size = 0;
    bool is_const = dim_is_const(d, &size), negative = false;
    for (int64_t i = 0; t && i < t->count && !negative; i++) negative = elem_get_i(t->dtype, t->data, t->splat ? 0 : i) < 0;
    if (t && !negative) return idx;
    if (t && is_const && !t->splat) {
        int64_t *wrapped = POOL_ARRAY(b->ctx->pool, int64_t, t->count);
        for (int64_t i = 0; i < t->count; i++) {
            int64_t v = ((const int64_t *)t->data)[i];
            wrapped[i] = v < 0 ? v + size : v;
        }
        return build_const(b, tensor_new(b->ctx->pool, DLVK_I64, t->rank, t->dim, wrapped));
    }
    if (t && t->count == 1 && t->rank <= 1) {
        const Dim *v = plus_int(b, d, elem_get_i(t->dtype, t->data, 0));
        return build_dims(b, DLVK_I64, t->rank ? 1 : -1, &v);
    }
    Value *is_negative = build_map2s(b, OP_LT, idx, 0);
    return build_map3(b, OP_SELECT, is_negative, build_map2(b, OP_ADD, idx, dim_value(b, DLVK_I64, d)), idx);
}

Value *settle(Build *b, Value *v, DType t)
{
    const Tensor *known = v ? build_known(b, v) : NULL;
    v = build_cast(b, known ? build_const(b, known) : v, t);
    known = v && known ? build_known(b, v) : NULL;
    return known ? build_const(b, known) : v;
}

Value *flat(Build *b, Value *x)
{
    if (!x) return NULL;
    const Dim *n = type_count(b->ctx, x->type);
    return build_reshape(b, x, 1, &n);
}

Value *merge_front(Build *b, Value *x, int n)
{
    if (!x) return NULL;
    if (n > x->type.rank) {
        ctx_error(b->ctx, DLVK_INVALID_ARGUMENT, "%s has fewer than %d axes", type_to_string(b->ctx->pool, x->type), n);
        return NULL;
    }
    const Dim *shape[DLVK_MAX_RANK + 1];
    shape[0] = dim_product(b, n, x->type.dim);
    for (int i = n; i < x->type.rank; i++) shape[i - n + 1] = x->type.dim[i];
    return build_reshape(b, x, x->type.rank - n + 1, shape);
}

/* An index into an axis of size d, clamped to it; where `outside` is given it is noted there instead that it lies outside. */
static Value *bound(Build *b, Value *c, const Dim *d, Value **outside)
{
    Value *zero = build_scalar_i(b, DLVK_I64, 0);
    if (!outside) return build_clamp(b, c, zero, dim_value(b, DLVK_I64, plus_int(b, d, -1)));
    Value *out = build_map2(b, OP_OR, build_map2(b, OP_LT, c, zero), build_map2(b, OP_GE, c, dim_value(b, DLVK_I64, d)));
    *outside = *outside ? build_map2(b, OP_OR, *outside, out) : out;
    return c;
}

/* -1, which no element has, for the indices noted by bound(). */
static Value *nowhere(Build *b, Value *at, Value *outside)
{
    return outside ? build_map3(b, OP_SELECT, outside, build_scalar_i(b, DLVK_I64, -1), at) : at;
}

Value *index_along(Build *b, Value *x, Value *idx, int axis, bool drop)
{
    if (!x || !idx) return NULL;
    if (x->type.rank != idx->type.rank) {
        ctx_error(b->ctx, DLVK_UNSUPPORTED, "indices of rank %d into a tensor of rank %d", idx->type.rank, x->type.rank);
        return NULL;
    }
    Value *at = NULL, *outside = NULL;
    for (int i = 0; i < x->type.rank; i++) {
        Value *c = i == axis ? bound(b, index_wrap(b, idx, x->type.dim[i]), x->type.dim[i], drop ? &outside : NULL)
                             : build_iota(b, DLVK_I64, idx->type.rank, idx->type.dim, i);
        const Dim *stride = dim_product(b, x->type.rank - i - 1, x->type.dim + i + 1);
        if (!dim_is(stride, 1)) c = build_map2(b, OP_MUL, c, dim_value(b, DLVK_I64, stride));
        at = i ? build_map2(b, OP_ADD, at, c) : c;
    }
    return nowhere(b, at, outside);
}

Value *gather_along(Build *b, Value *x, Value *idx, int axis)
{
    if (x && idx && x->type.rank == 1) return build_gather(b, x, index_wrap(b, idx, x->type.dim[0]), 0);
    return build_gather(b, flat(b, x), index_along(b, x, idx, axis, false), 0);
}

Value *index_tuples(Build *b, Value *x, Value *idx, int64_t batch_dims, bool drop)
{
    if (!x || !idx) return NULL;
    int last = idx->type.rank - 1, batch = batch_dims < 0 || batch_dims > last ? last + 1 : (int)batch_dims;
    int64_t k = 0;
    if (last >= batch && !dim_is_const(idx->type.dim[last], &k)) {
        ctx_error(b->ctx, DLVK_UNSUPPORTED,
                  "index tuples of type %s: how many axes they are for must be known when the model is compiled",
                  type_to_string(b->ctx->pool, idx->type));
        return NULL;
    }
    if (last < batch || k < 0 || batch + k > x->type.rank) {
        ctx_error(b->ctx, DLVK_UNSUPPORTED, "index tuples of type %s do not fit %s with %lld batch dimensions",
                  type_to_string(b->ctx->pool, idx->type), type_to_string(b->ctx->pool, x->type), (long long)batch_dims);
        return NULL;
    }
    Value *at = NULL, *outside = NULL;
    const Dim *zero = dim_of_int(b, 0), *one = dim_of_int(b, 1);
    for (int i = 0; i < batch + (int)k; i++) {
        Value *c;
        if (i < batch) {
            c = build_iota(b, DLVK_I64, last, idx->type.dim, i);
        } else {
            c = build_slice_axis(b, idx, last, plus_int(b, zero, i - batch), one);
            c = index_wrap(b, build_reshape(b, c, last, idx->type.dim), x->type.dim[i]);
            c = bound(b, c, x->type.dim[i], drop ? &outside : NULL);
        }
        const Dim *stride = dim_product(b, batch + (int)k - i - 1, x->type.dim + i + 1);
        if (!dim_is(stride, 1)) c = build_map2(b, OP_MUL, c, dim_value(b, DLVK_I64, stride));
        at = at ? build_map2(b, OP_ADD, at, c) : c;
    }
    if (!at) at = build_full(b, type_make(b->ctx, DLVK_I64, last, idx->type.dim), 0);
    return flat(b, nowhere(b, at, outside));
}

Value *compact(Build *b, Value *mask)
{
    return mask ? build_op(b, OP_COMPACT, 1, &mask, 0, NULL) : NULL;
}

Value *resample_weight(Build *b, Value *t, bool cubic, double a)
{
    if (!t) return NULL;
    DType u = t->type.dtype;
    Value *zero = build_scalar(b, u, 0), *one = build_scalar(b, u, 1);
    if (!cubic) return build_map3(b, OP_SELECT, build_map2(b, OP_LE, t, one), build_map2(b, OP_SUB, one, t), zero);
    Value *near = build_map2s(b, OP_SUB, build_map2s(b, OP_MUL, t, a + 2), a + 3); /* ((a+2) t - (a+3)) t^2 + 1 */
    near = build_map2s(b, OP_ADD, build_map2(b, OP_MUL, near, build_map2(b, OP_MUL, t, t)), 1);
    Value *far = build_map2s(b, OP_SUB, build_map2s(b, OP_MUL, t, a), 5 * a); /* ((a t - 5a) t + 8a) t - 4a */
    far = build_map2s(b, OP_ADD, build_map2(b, OP_MUL, far, t), 8 * a);
    far = build_map2s(b, OP_SUB, build_map2(b, OP_MUL, far, t), 4 * a);
    far = build_map3(b, OP_SELECT, build_map2s(b, OP_LT, t, 2), far, zero);
    return build_map3(b, OP_SELECT, build_map2s(b, OP_LE, t, 1), near, far);
}
