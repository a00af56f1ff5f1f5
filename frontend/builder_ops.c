/* The graph builder: pointwise functions, movement, reductions, gather and scatter. */
#include "frontend/builder.h"
#include "frontend/compose.h"
#include <string.h>

/* ---- pointwise ---- */

static Value *same_types(dlvk_graph *g, Op op, Value *x, Value *y)
{
    if (!x || !y) return NULL;
    if (x->type.dtype == y->type.dtype) return build_map2(&g->b, op, x, y);
    BUILDER_ERROR(g, "operands of types %s and %s", dtype_name(x->type.dtype), dtype_name(y->type.dtype));
    return NULL;
}

#define DEFINE_UNARY(id, name)                                                                                                   \
    dlvk_value dlvk_##name(dlvk_graph *g, dlvk_value x)                                                                          \
    {                                                                                                                            \
        BUILDER_RETURN(g, #name, build_map1(&g->b, OP_##id, inside(x)));                                                         \
    }
#define DEFINE_BINARY(id, name)                                                                                                  \
    dlvk_value dlvk_##name(dlvk_graph *g, dlvk_value x, dlvk_value y)                                                            \
    {                                                                                                                            \
        BUILDER_RETURN(g, #name, same_types(g, OP_##id, inside(x), inside(y)));                                                  \
    }
DLVK_UNARY(DEFINE_UNARY)
DLVK_BINARY(DEFINE_BINARY)

dlvk_value dlvk_select(dlvk_graph *g, dlvk_value condition, dlvk_value yes, dlvk_value no)
{
    BUILDER_RETURN(g, "select", build_map3(&g->b, OP_SELECT, inside(condition), inside(yes), inside(no)));
}

dlvk_value dlvk_add_scalar(dlvk_graph *g, dlvk_value x, double y)
{
    BUILDER_RETURN(g, "add_scalar", build_map2s(&g->b, OP_ADD, inside(x), y));
}

dlvk_value dlvk_mul_scalar(dlvk_graph *g, dlvk_value x, double y)
{
    BUILDER_RETURN(g, "mul_scalar", build_map2s(&g->b, OP_MUL, inside(x), y));
}

static Value *clamp(dlvk_graph *g, Value *x, double lo, double hi)
{
    if (!x) return NULL;
    return build_clamp(&g->b, x, build_scalar(&g->b, x->type.dtype, lo), build_scalar(&g->b, x->type.dtype, hi));
}

dlvk_value dlvk_clamp(dlvk_graph *g, dlvk_value x, double lo, double hi)
{
    BUILDER_RETURN(g, "clamp", clamp(g, inside(x), lo, hi));
}

static Value *cast(dlvk_graph *g, Value *x, DType t, bool bits)
{
    if (t < DLVK_DTYPE_COUNT) return bits ? build_bitcast(&g->b, x, t) : build_cast(&g->b, x, t);
    BUILDER_ERROR(g, "%d is no element type", (int)t);
    return NULL;
}

dlvk_value dlvk_cast(dlvk_graph *g, dlvk_value x, dlvk_dtype t)
{
    BUILDER_RETURN(g, "cast", cast(g, inside(x), t, false));
}
dlvk_value dlvk_bitcast(dlvk_graph *g, dlvk_value x, dlvk_dtype t)
{
    BUILDER_RETURN(g, "bitcast", cast(g, inside(x), t, true));
}

dlvk_value dlvk_relu(dlvk_graph *g, dlvk_value x)
{
    BUILDER_RETURN(g, "relu", build_relu(&g->b, inside(x)));
}

static Value *leaky_relu(Build *b, Value *x, double alpha)
{
    if (!x) return NULL;
    Value *positive = build_map2s(b, OP_GE, x, 0);
    return build_map3(b, OP_SELECT, positive, x, build_map2s(b, OP_MUL, x, alpha));
}

dlvk_value dlvk_leaky_relu(dlvk_graph *g, dlvk_value x, double alpha)
{
    BUILDER_RETURN(g, "leaky_relu", leaky_relu(&g->b, inside(x), alpha));
}

static Value *elu(Build *b, Value *x, double alpha)
{
    if (!x) return NULL;
    return build_map3(b, OP_SELECT, build_map2s(b, OP_GE, x, 0), x, build_map2s(b, OP_MUL, build_map1(b, OP_EXPM1, x), alpha));
}

dlvk_value dlvk_elu(dlvk_graph *g, dlvk_value x, double alpha)
{
    BUILDER_RETURN(g, "elu", elu(&g->b, inside(x), alpha));
}

static Value *silu(Build *b, Value *x)
{
    return build_map2(b, OP_MUL, x, build_map1(b, OP_SIGMOID, x));
}

static Value *mish(Build *b, Value *x)
{
    return build_map2(b, OP_MUL, x, build_map1(b, OP_TANH, compose_softplus(b, x)));
}

static Value *hard_sigmoid(dlvk_graph *g, Value *x)
{
    return clamp(g, build_map2s(&g->b, OP_ADD, build_map2s(&g->b, OP_MUL, x, 1.0 / 6), 0.5), 0, 1);
}

dlvk_value dlvk_gelu(dlvk_graph *g, dlvk_value x)
{
    BUILDER_RETURN(g, "gelu", compose_gelu(&g->b, inside(x), false));
}
dlvk_value dlvk_gelu_tanh(dlvk_graph *g, dlvk_value x)
{
    BUILDER_RETURN(g, "gelu_tanh", compose_gelu(&g->b, inside(x), true));
}
dlvk_value dlvk_silu(dlvk_graph *g, dlvk_value x)
{
    BUILDER_RETURN(g, "silu", silu(&g->b, inside(x)));
}
dlvk_value dlvk_mish(dlvk_graph *g, dlvk_value x)
{
    BUILDER_RETURN(g, "mish", mish(&g->b, inside(x)));
}
dlvk_value dlvk_softplus(dlvk_graph *g, dlvk_value x)
{
    BUILDER_RETURN(g, "softplus", compose_softplus(&g->b, inside(x)));
}
dlvk_value dlvk_hard_sigmoid(dlvk_graph *g, dlvk_value x)
{
    BUILDER_RETURN(g, "hard_sigmoid", hard_sigmoid(g, inside(x)));
}
dlvk_value dlvk_hard_swish(dlvk_graph *g, dlvk_value x)
{
    BUILDER_RETURN(g, "hard_swish", build_map2(&g->b, OP_MUL, inside(x), hard_sigmoid(g, inside(x))));
}

/* ---- movement ---- */

static Value *reshape(dlvk_graph *g, Value *x, const char *shape)
{
    int rank, open = -1;
    const Dim *dims[DLVK_MAX_RANK], *rest = dim_of_int(&g->b, 1);
    if (!x || !builder_shape(g, shape, &rank, dims)) return NULL;
    for (int i = 0; i < rank; i++) {
        if (dims[i]) {
            rest = times(&g->b, rest, dims[i]);
        } else if (open >= 0) {
            BUILDER_ERROR(g, "shape '%s' has more than one '?'", shape);
            return NULL;
        } else {
            open = i;
        }
    }
    if (open >= 0) dims[open] = dim_floordiv(&g->ctx->dims, type_count(g->ctx, x->type), rest);
    return build_reshape(&g->b, x, rank, dims);
}

dlvk_value dlvk_reshape(dlvk_graph *g, dlvk_value x, const char *shape)
{
    BUILDER_RETURN(g, "reshape", reshape(g, inside(x), shape));
}

static Value *transpose(dlvk_graph *g, Value *x, const int *perm)
{
    unsigned seen = 0;
    for (int i = 0; x && perm && i < x->type.rank; i++)
        if (perm[i] >= 0 && perm[i] < x->type.rank) seen |= 1u << perm[i];
    if (!x) return NULL;
    if (perm && seen == (1u << x->type.rank) - 1) return build_transpose(&g->b, x, perm);
    BUILDER_ERROR(g, "not a permutation of %d axes", x->type.rank);
    return NULL;
}

dlvk_value dlvk_transpose(dlvk_graph *g, dlvk_value x, const int *perm)
{
    BUILDER_RETURN(g, "transpose", transpose(g, inside(x), perm));
}

static Value *broadcast(dlvk_graph *g, Value *x, const char *shape)
{
    int rank;
    const Dim *dims[DLVK_MAX_RANK];
    if (!x || !builder_shape(g, shape, &rank, dims)) return NULL;
    for (int i = 0; i < rank; i++)
        if (!dims[i]) {
            BUILDER_ERROR(g, "shape '%s' has a '?'", shape);
            return NULL;
        }
    return build_broadcast(&g->b, x, rank, dims);
}

dlvk_value dlvk_broadcast(dlvk_graph *g, dlvk_value x, const char *shape)
{
    BUILDER_RETURN(g, "broadcast", broadcast(g, inside(x), shape));
}

static Value *slice(dlvk_graph *g, Value *x, int axis, const char *start, const char *count)
{
    const Dim *s = builder_dim(g, start), *n = builder_dim(g, count);
    if (!x || !s || !n || (axis = builder_axis(g, axis, x->type.rank)) < 0) return NULL;
    return build_slice_axis(&g->b, x, axis, s, n);
}

dlvk_value dlvk_slice(dlvk_graph *g, dlvk_value x, int axis, const char *start, const char *count)
{
    BUILDER_RETURN(g, "slice", slice(g, inside(x), axis, start, count));
}

static Value *stride(dlvk_graph *g, Value *x, int axis, int64_t step)
{
    const Dim *start[DLVK_MAX_RANK], *size[DLVK_MAX_RANK];
    int64_t steps[DLVK_MAX_RANK];
    if (!x || (axis = builder_axis(g, axis, x->type.rank)) < 0) return NULL;
    if (step < 1) {
        BUILDER_ERROR(g, "step %lld", (long long)step);
        return NULL;
    }
    for (int i = 0; i < x->type.rank; i++) {
        start[i] = dim_of_int(&g->b, 0);
        steps[i] = i == axis ? step : 1;
        size[i] = ceil_of(&g->b, x->type.dim[i], steps[i]);
    }
    return build_slice(&g->b, x, start, size, steps);
}

dlvk_value dlvk_stride(dlvk_graph *g, dlvk_value x, int axis, int64_t step)
{
    BUILDER_RETURN(g, "stride", stride(g, inside(x), axis, step));
}

static Value *pad(dlvk_graph *g, Value *x, int axis, const char *before, const char *after, double value)
{
    const Dim *lo[DLVK_MAX_RANK], *hi[DLVK_MAX_RANK], *first = builder_dim(g, before), *last = builder_dim(g, after);
    if (!x || !first || !last || (axis = builder_axis(g, axis, x->type.rank)) < 0) return NULL;
    for (int i = 0; i < x->type.rank; i++) lo[i] = hi[i] = dim_of_int(&g->b, 0);
    lo[axis] = first;
    hi[axis] = last;
    return build_pad(&g->b, x, lo, hi, build_scalar(&g->b, x->type.dtype, value));
}

dlvk_value dlvk_pad(dlvk_graph *g, dlvk_value x, int axis, const char *before, const char *after, double value)
{
    BUILDER_RETURN(g, "pad", pad(g, inside(x), axis, before, after, value));
}

/* The functions of one value and one axis. */
static Value *along(dlvk_graph *g, Value *x, int axis, int extra, Value *(*f)(dlvk_graph *g, Value *x, int axis))
{
    if (!x || (axis = builder_axis(g, axis, x->type.rank + extra)) < 0) return NULL;
    return f(g, x, axis);
}

static Value *reverse(dlvk_graph *g, Value *x, int axis)
{
    return build_reverse(&g->b, x, 1, &axis);
}
static Value *squeeze(dlvk_graph *g, Value *x, int axis)
{
    return build_squeeze(&g->b, x, 1, &axis);
}
static Value *flatten(dlvk_graph *g, Value *x, int axis)
{
    return build_flatten(&g->b, x, axis);
}
static Value *softmax(dlvk_graph *g, Value *x, int axis)
{
    return build_softmax(&g->b, x, axis, false);
}
static Value *log_softmax(dlvk_graph *g, Value *x, int axis)
{
    return build_softmax(&g->b, x, axis, true);
}
static Value *unsqueeze(dlvk_graph *g, Value *x, int axis)
{
    if (x->type.rank < DLVK_MAX_RANK) return build_unsqueeze(&g->b, x, 1, &axis);
    BUILDER_ERROR(g, "more than %d axes", DLVK_MAX_RANK);
    return NULL;
}

dlvk_value dlvk_reverse(dlvk_graph *g, dlvk_value x, int axis)
{
    BUILDER_RETURN(g, "reverse", along(g, inside(x), axis, 0, reverse));
}
dlvk_value dlvk_squeeze(dlvk_graph *g, dlvk_value x, int axis)
{
    BUILDER_RETURN(g, "squeeze", along(g, inside(x), axis, 0, squeeze));
}
dlvk_value dlvk_unsqueeze(dlvk_graph *g, dlvk_value x, int axis)
{
    BUILDER_RETURN(g, "unsqueeze", along(g, inside(x), axis, 1, unsqueeze));
}
dlvk_value dlvk_flatten(dlvk_graph *g, dlvk_value x, int axis)
{
    BUILDER_RETURN(g, "flatten", along(g, inside(x), axis, 1, flatten));
}
dlvk_value dlvk_softmax(dlvk_graph *g, dlvk_value x, int axis)
{
    BUILDER_RETURN(g, "softmax", along(g, inside(x), axis, 0, softmax));
}
dlvk_value dlvk_log_softmax(dlvk_graph *g, dlvk_value x, int axis)
{
    BUILDER_RETURN(g, "log_softmax", along(g, inside(x), axis, 0, log_softmax));
}

static Value *concat(dlvk_graph *g, int n, const dlvk_value *x, int axis)
{
    Value **v = builder_values(g, n, x);
    if (n < 1) BUILDER_ERROR(g, "%d operands", n);
    for (int i = 0; i < n; i++) {
        if (!v[i]) return NULL;
        if (v[i]->type.rank == v[0]->type.rank && v[i]->type.dtype == v[0]->type.dtype) continue;
        BUILDER_ERROR(g, "operand %d is %s, the first %s", i, type_to_string(g->pool, v[i]->type),
                      type_to_string(g->pool, v[0]->type));
        return NULL;
    }
    return n < 1 || (axis = builder_axis(g, axis, v[0]->type.rank)) < 0 ? NULL : build_concat(&g->b, n, v, axis);
}

dlvk_value dlvk_concat(dlvk_graph *g, int n, const dlvk_value *x, int axis)
{
    BUILDER_RETURN(g, "concat", concat(g, n, x, axis));
}

/* ---- reductions ---- */

/* Axes made non-negative; false with an error. n = 0: all. */
static bool reduce_axes(dlvk_graph *g, Value *x, int n, const int *axes, int *count, int *out)
{
    if (!x) return false;
    *count = n > 0 ? n : x->type.rank;
    if (n > DLVK_MAX_RANK) {
        BUILDER_ERROR(g, "%d axes", n);
        return false;
    }
    for (int i = 0; i < *count; i++) {
        out[i] = n > 0 ? builder_axis(g, axes[i], x->type.rank) : i;
        if (out[i] < 0) return false;
    }
    return true;
}

enum { OF_NUMBERS = 1 << DLVK_SUM | 1 << DLVK_PROD | 1 << DLVK_MAX | 1 << DLVK_MIN, OF_BOOLS = 1 << DLVK_ALL | 1 << DLVK_ANY };

static Value *reduce(dlvk_graph *g, dlvk_kind k, Value *x, int n, const int *axes, bool keep)
{
    int count, a[DLVK_MAX_RANK];
    Kind kind;
    if (!builder_kind(g, k, OF_NUMBERS | OF_BOOLS, &kind) || !reduce_axes(g, x, n, axes, &count, a)) return NULL;
    return build_reduce(&g->b, kind, x, count, a, keep);
}

dlvk_value dlvk_reduce(dlvk_graph *g, dlvk_kind k, dlvk_value x, int n, const int *axes, bool keep)
{
    BUILDER_RETURN(g, "reduce", reduce(g, k, inside(x), n, axes, keep));
}

static Value *mean(dlvk_graph *g, Value *x, int n, const int *axes, bool keep)
{
    int count, a[DLVK_MAX_RANK];
    return reduce_axes(g, x, n, axes, &count, a) ? build_mean(&g->b, x, count, a, keep) : NULL;
}

static Value *variance(dlvk_graph *g, Value *x, int n, const int *axes, bool keep)
{
    Value *d = build_map2(&g->b, OP_SUB, x, mean(g, x, n, axes, true));
    return mean(g, build_map2(&g->b, OP_MUL, d, d), n, axes, keep);
}

dlvk_value dlvk_mean(dlvk_graph *g, dlvk_value x, int n, const int *axes, bool keep)
{
    BUILDER_RETURN(g, "mean", mean(g, inside(x), n, axes, keep));
}

dlvk_value dlvk_variance(dlvk_graph *g, dlvk_value x, int n, const int *axes, bool keep)
{
    BUILDER_RETURN(g, "variance", variance(g, inside(x), n, axes, keep));
}

static Value *arg_reduce(dlvk_graph *g, dlvk_kind k, Value *x, int axis)
{
    Kind kind;
    if (!x || !builder_kind(g, k, 1 << DLVK_MAX | 1 << DLVK_MIN, &kind) || (axis = builder_axis(g, axis, x->type.rank)) < 0)
        return NULL;
    return build_argreduce(&g->b, kind, x, axis, false, false);
}

dlvk_value dlvk_arg_reduce(dlvk_graph *g, dlvk_kind k, dlvk_value x, int axis)
{
    BUILDER_RETURN(g, "arg_reduce", arg_reduce(g, k, inside(x), axis));
}

static Value *cumulate(dlvk_graph *g, dlvk_kind k, Value *x, int axis, bool exclusive, bool backward)
{
    Kind kind;
    if (!x || !builder_kind(g, k, OF_NUMBERS, &kind) || (axis = builder_axis(g, axis, x->type.rank)) < 0) return NULL;
    return build_cumulate(&g->b, kind, x, axis, exclusive, backward);
}

dlvk_value dlvk_cumulate(dlvk_graph *g, dlvk_kind k, dlvk_value x, int axis, bool exclusive, bool reverse_)
{
    BUILDER_RETURN(g, "cumulate", cumulate(g, k, inside(x), axis, exclusive, reverse_));
}

/* count < 0: all. */
static Value *sort(dlvk_graph *g, Value *x, int axis, bool descending, int64_t count, dlvk_value *indices)
{
    Value *v, *i;
    if (indices) *indices = NULL;
    if (!x || (axis = builder_axis(g, axis, x->type.rank)) < 0 || !build_sort(&g->b, x, axis, descending, &v, &i)) return NULL;
    if (count >= 0) {
        const Dim *none = dim_of_int(&g->b, 0), *k = dim_of_int(&g->b, count);
        v = build_slice_axis(&g->b, v, axis, none, k);
        i = build_slice_axis(&g->b, i, axis, none, k);
    }
    if (indices) *indices = outside(i);
    return v;
}

dlvk_value dlvk_sort(dlvk_graph *g, dlvk_value x, int axis, bool descending, dlvk_value *indices)
{
    BUILDER_RETURN(g, "sort", sort(g, inside(x), axis, descending, -1, indices));
}

dlvk_value dlvk_top_k(dlvk_graph *g, dlvk_value x, int axis, int64_t k, dlvk_value *indices)
{
    BUILDER_RETURN(g, "top_k", sort(g, inside(x), axis, true, k < 0 ? 0 : k, indices));
}

/* ---- gather and scatter, markers ---- */

static Value *gather(dlvk_graph *g, Value *data, Value *indices, int axis)
{
    if (!data || (axis = builder_axis(g, axis, data->type.rank)) < 0) return NULL;
    return build_gather(&g->b, data, indices, axis);
}

dlvk_value dlvk_gather(dlvk_graph *g, dlvk_value data, dlvk_value indices, int axis)
{
    BUILDER_RETURN(g, "gather", gather(g, inside(data), inside(indices), axis));
}

static Value *scatter(dlvk_graph *g, dlvk_kind k, Value *data, Value *indices, Value *updates)
{
    Kind kind;
    return builder_kind(g, k, OF_NUMBERS | 1 << DLVK_SET, &kind) ? build_scatter(&g->b, kind, data, indices, updates) : NULL;
}

dlvk_value dlvk_scatter(dlvk_graph *g, dlvk_kind k, dlvk_value data, dlvk_value indices, dlvk_value updates)
{
    BUILDER_RETURN(g, "scatter", scatter(g, k, inside(data), inside(indices), inside(updates)));
}

static Value *one_operand(dlvk_graph *g, Op op, Value *x)
{
    return x ? build_op(&g->b, op, 1, &x, 0, NULL) : NULL;
}

dlvk_value dlvk_compact(dlvk_graph *g, dlvk_value condition)
{
    BUILDER_RETURN(g, "compact", one_operand(g, OP_COMPACT, inside(condition)));
}
dlvk_value dlvk_stop_gradient(dlvk_graph *g, dlvk_value x)
{
    BUILDER_RETURN(g, "stop_gradient", one_operand(g, OP_STOP_GRADIENT, inside(x)));
}
dlvk_value dlvk_barrier(dlvk_graph *g, dlvk_value x)
{
    BUILDER_RETURN(g, "barrier", one_operand(g, OP_BARRIER, inside(x)));
}
