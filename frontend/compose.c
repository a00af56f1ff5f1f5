/* Shape helpers, pooling and transposed convolution; see compose.h. */
#include "frontend/compose.h"

const Dim *dim_product(Build *b, int n, const Dim *const *d)
{
    const Dim *p = dim_of_int(b, 1);
    for (int i = 0; i < n; i++) p = times(b, p, d[i]);
    return p;
}

int axes_from(int first, int rank, int *axes)
{
    int n = 0;
    for (int i = first; i < rank; i++) axes[n++] = i;
    return n;
}

Value *compose_along(Build *b, Value *v, int rank, int axis)
{
    if (!v || v->type.rank != 1) return v;
    const Dim *shape[DLVK_MAX_RANK];
    for (int i = 0; i < rank; i++) shape[i] = i == axis ? v->type.dim[0] : dim_of_int(b, 1);
    return build_reshape(b, v, rank, shape);
}

Value *compose_affine(Build *b, Value *x, Value *scale, Value *bias, int axis)
{
    if (!x) return NULL;
    int rank = x->type.rank;
    if (scale) x = build_map2(b, OP_MUL, x, compose_along(b, scale, rank, axis));
    if (bias) x = build_map2(b, OP_ADD, x, compose_along(b, bias, rank, axis));
    return x;
}

Value *compose_index(Build *b, Value *x, int axis, DType t)
{
    if (!x) return NULL;
    const Dim *shape[DLVK_MAX_RANK];
    for (int i = 0; i < x->type.rank; i++) shape[i] = i == axis ? x->type.dim[i] : dim_of_int(b, 1);
    return build_iota(b, t, x->type.rank, shape, axis);
}

Value *compose_at(Build *b, Value *x, Value *index, int axis)
{
    return build_gather(b, x, index, axis);
}

Value *compose_widen(Build *b, Value *x)
{
    if (!x || !dtype_is_float(x->type.dtype) || dtype_bits(x->type.dtype) >= 32) return x;
    return build_cast(b, x, DLVK_F32);
}

/* The trailing padding with which a window op, which rounds down, gives as many results as ceil_mode asks for. */
static const Dim *ceil_padding(Build *b, const Dim *in, const PoolSpec *s, int i)
{
    int64_t extent = (s->window[i] - 1) * s->dilation[i] + 1;
    const Dim *padded = plus(b, in, s->lo[i]);
    const Dim *last = dim_min(&b->ctx->dims, ceil_of(b, plus_int(b, plus(b, padded, s->hi[i]), -extent), s->step[i]),
                              floor_of(b, plus_int(b, padded, -1), s->step[i]));
    return at_least_0(b, minus(b, plus_int(b, times_int(b, last, s->step[i]), extent), padded));
}

typedef struct FullWindow { /* the spec spread over all axes of the operand */
    int64_t window[DLVK_MAX_RANK], step[DLVK_MAX_RANK], dilation[DLVK_MAX_RANK];
    const Dim *lo[DLVK_MAX_RANK], *hi[DLVK_MAX_RANK];
} FullWindow;

static bool full_window(Build *b, Value *x, const PoolSpec *s, FullWindow *f)
{
    if (!x) return false;
    int lead = x->type.rank - s->n;
    if (lead < 0) {
        ctx_error(b->ctx, DLVK_INVALID_ARGUMENT, "a window of %d axes over an operand of rank %d", s->n, x->type.rank);
        return false;
    }
    for (int a = 0; a < x->type.rank; a++) {
        int i = a - lead;
        f->window[a] = i < 0 ? 1 : s->window[i];
        f->step[a] = i < 0 ? 1 : s->step[i];
        f->dilation[a] = i < 0 ? 1 : s->dilation[i];
        f->lo[a] = i < 0 ? dim_of_int(b, 0) : s->lo[i];
        f->hi[a] = i < 0 ? dim_of_int(b, 0) : s->ceil_mode ? ceil_padding(b, x->type.dim[a], s, i) : s->hi[i];
    }
    return true;
}

Value *compose_pool(Build *b, Kind k, Value *x, const PoolSpec *s)
{
    FullWindow f;
    if (!full_window(b, x, s, &f)) return NULL;
    return build_window(b, k, x, f.window, f.step, f.dilation, f.lo, f.hi);
}

Value *compose_arg_pool(Build *b, Kind k, Value *x, const PoolSpec *s)
{
    FullWindow f;
    if (!full_window(b, x, s, &f)) return NULL;
    int n = x->type.rank;
    Attr attr[] = {{.id = A_KIND, .i = k},     at_ints(A_WINDOW, n, f.window),
                   at_ints(A_STEP, n, f.step), at_ints(A_DILATION, n, f.dilation),
                   at_dims(A_LO, n, f.lo),     at_dims(A_HI, n, f.hi)};
    return build_op(b, OP_ARGWINDOW, 1, &x, 6, attr);
}

/* Along one axis: how many elements of each window lie in the operand or its padding, where rounding up makes the last ones reach
 * beyond it. */
static Value *count_padded(Build *b, const Dim *in, const Dim *out, const PoolSpec *s, int i)
{
    const Dim *padded = plus(b, plus(b, in, s->lo[i]), s->hi[i]);
    Value *start = build_map2s(b, OP_MUL, build_iota(b, DLVK_I64, 1, &out, 0), (double)s->step[i]);
    Value *left = build_map2(b, OP_SUB, build_dims(b, DLVK_I64, -1, &padded), start);
    left = build_map2s(b, OP_DIV, build_map2s(b, OP_ADD, left, (double)s->dilation[i] - 1), (double)s->dilation[i]);
    return build_map2s(b, OP_MIN, left, (double)s->window[i]);
}

/* The mean over what lies in the operand or its padding, the latter as zeros. */
static Value *mean_of_padded(Build *b, Value *sum, const Dim *const *in, const FullWindow *f, const PoolSpec *s)
{
    int64_t taps = 1;
    int rank = sum->type.rank, lead = rank - s->n;
    for (int i = 0; i < s->n; i++) {
        if (!s->ceil_mode || f->hi[lead + i] == s->hi[i]) {
            taps *= s->window[i];
            continue;
        }
        Value *count = build_cast(b, count_padded(b, in[lead + i], sum->type.dim[lead + i], s, i), sum->type.dtype);
        const Dim *shape[DLVK_MAX_RANK];
        for (int a = 0; a < rank; a++) shape[a] = a == lead + i ? sum->type.dim[a] : dim_of_int(b, 1);
        sum = build_map2(b, OP_DIV, sum, build_reshape(b, count, rank, shape));
    }
    return build_map2s(b, OP_MUL, sum, 1.0 / (double)taps);
}

Value *compose_average_pool(Build *b, Value *x, const PoolSpec *s, bool count_padding)
{
    FullWindow f;
    if (!full_window(b, x, s, &f)) return NULL;
    Value *sum = build_window(b, KIND_SUM, x, f.window, f.step, f.dilation, f.lo, f.hi);
    bool padded = false;
    int rank = x->type.rank, lead = rank - s->n;
    for (int i = 0; i < s->n; i++) padded |= !dim_is(f.lo[lead + i], 0) || !dim_is(f.hi[lead + i], 0);
    if (count_padding || !padded) return sum ? mean_of_padded(b, sum, x->type.dim, &f, s) : NULL;

    const Dim *shape[DLVK_MAX_RANK];
    for (int a = 0; a < rank; a++) shape[a] = a < lead ? dim_of_int(b, 1) : x->type.dim[a];
    Value *ones = build_full(b, type_make(b->ctx, x->type.dtype, rank, shape), 1);
    Value *count = build_window(b, KIND_SUM, ones, f.window, f.step, f.dilation, f.lo, f.hi);
    return build_map2(b, OP_DIV, sum, count);
}

/* [ci, co/g, k...] to [co, ci/g, k...], every kernel turned round. */
static Value *turn_kernel(Build *b, Value *w, int64_t group)
{
    int rank = w->type.rank, perm[DLVK_MAX_RANK + 1], axes[DLVK_MAX_RANK];
    const Dim *ci = w->type.dim[0], *co = w->type.dim[1];
    const Dim *split[DLVK_MAX_RANK + 1] = {dim_of_int(b, group), floor_of(b, ci, group), co};
    const Dim *merged[DLVK_MAX_RANK] = {times_int(b, co, group), split[1]};
    for (int i = 2; i < rank; i++) split[i + 1] = merged[i] = w->type.dim[i];
    for (int i = 0; i <= rank; i++) perm[i] = i == 1 ? 2 : i == 2 ? 1 : i;
    if (group == 1) {
        for (int i = 0; i < rank; i++) perm[i] = i < 2 ? 1 - i : i;
        w = build_transpose(b, w, perm);
    } else {
        w = build_reshape(b, w, rank + 1, split);
        w = build_transpose(b, w, perm);
        w = build_reshape(b, w, rank, merged);
    }
    int n = axes_from(2, rank, axes);
    return build_reverse(b, w, n, axes);
}

Value *compose_conv_transpose(Build *b, Value *x, Value *w, const ConvSpec *s)
{
    if (!x || !w) return NULL;
    int64_t group = s->group > 0 ? s->group : 1, in_dilation[DLVK_MAX_RANK], dilation[DLVK_MAX_RANK];
    const Dim *lo[DLVK_MAX_RANK], *hi[DLVK_MAX_RANK];
    for (int i = 0; i < s->spatial; i++) {
        in_dilation[i] = s->step ? s->step[i] : 1;
        dilation[i] = s->dilation ? s->dilation[i] : 1;
        const Dim *reach = times_int(b, plus_int(b, w->type.dim[2 + i], -1), dilation[i]);
        lo[i] = s->lo ? minus(b, reach, s->lo[i]) : reach;
        hi[i] = s->hi ? minus(b, reach, s->hi[i]) : reach;
    }
    w = turn_kernel(b, w, group);
    ConvSpec c = {.spatial = s->spatial, .dilation = dilation, .in_dilation = in_dilation, .lo = lo, .hi = hi, .group = group};
    return build_conv_nchw(b, x, w, &c);
}
