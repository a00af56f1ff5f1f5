/* Pooling, unpooling and pooling of regions of interest. */
#include "frontend/onnx/ops_b.h"
#include <math.h>
#include <string.h>

static bool pool_spec(OnnxNode *n, Value *x, PoolSpec *p)
{
    Spatial s;
    if (!onnx_spatial(n, x, NULL, &s)) return false;
    *p = (PoolSpec){.n = s.n, .ceil_mode = !s.same && onnx_int(n, "ceil_mode", 0)};
    for (int i = 0; i < s.n; i++) {
        p->window[i] = s.kernel[i]->value; /* an attribute: constant */
        p->step[i] = s.step[i];
        p->dilation[i] = s.dilation[i];
        p->lo[i] = s.lo[i];
        p->hi[i] = s.hi[i];
    }
    return true;
}

/* Row-major flat indices made column-major within each channel: storage_order = 1. */
static Value *column_major(OnnxNode *n, Value *index, Value *x)
{
    Build *b = n->b;
    int rank = x->type.rank;
    const Dim *area = dim_product(b, rank - 2, x->type.dim + 2);
    Value *area_v = build_dims(b, DLVK_I64, -1, &area);
    Value *rest = build_map2(b, OP_REM, index, area_v), *result = build_map2(b, OP_SUB, index, rest);
    for (int i = rank - 1; i >= 2; i--) { /* peel coordinates off, the fastest first */
        const Dim *stride = dim_product(b, i - 2, x->type.dim + 2);
        Value *size = build_dims(b, DLVK_I64, -1, &x->type.dim[i]);
        Value *place = build_map2(b, OP_MUL, build_map2(b, OP_REM, rest, size), build_dims(b, DLVK_I64, -1, &stride));
        result = build_map2(b, OP_ADD, result, place);
        rest = build_map2(b, OP_DIV, rest, size);
    }
    return result;
}

void lower_max_pool(OnnxNode *n)
{
    Value *x = in(n, 0);
    PoolSpec s;
    if (!pool_spec(n, x, &s)) return;
    n->out[0] = compose_pool(n->b, KIND_MAX, x, &s);
    if (!has_out(n, 1)) return;
    n->out[1] = compose_arg_pool(n->b, KIND_MAX, x, &s);
    if (onnx_int(n, "storage_order", 0)) n->out[1] = column_major(n, n->out[1], x);
}

void lower_average_pool(OnnxNode *n)
{
    Value *x = in(n, 0);
    PoolSpec s;
    if (pool_spec(n, x, &s)) n->out[0] = compose_average_pool(n->b, x, &s, onnx_int(n, "count_include_pad", 0) != 0);
}

/* p is an int since opset 2, a float before. */
static double lp_order(OnnxNode *n)
{
    double p = n->opset < 2 ? onnx_float(n, "p", 2) : (double)onnx_int(n, "p", 2);
    if (!(p >= 1)) onnx_error(n, "attribute 'p' is %g; it must be 1 or more", p);
    return p;
}

static Value *power(Build *b, Value *x, double p)
{
    if (p == 1) return build_map1(b, OP_ABS, x);
    if (p == 2) return build_map2(b, OP_MUL, x, x);
    return build_map2s(b, OP_POW, build_map1(b, OP_ABS, x), p);
}

static Value *root(Build *b, Value *x, double p)
{
    if (p == 1) return x;
    return p == 2 ? build_map1(b, OP_SQRT, x) : build_map2s(b, OP_POW, x, 1 / p);
}

void lower_lp_pool(OnnxNode *n)
{
    Value *x = in(n, 0);
    double p = lp_order(n);
    PoolSpec s;
    if (pool_spec(n, x, &s)) n->out[0] = root(n->b, compose_pool(n->b, KIND_SUM, power(n->b, x, p), &s), p);
}

void lower_global_average_pool(OnnxNode *n)
{
    Value *x = in(n, 0);
    int axes[DLVK_MAX_RANK];
    if (x) n->out[0] = build_mean(n->b, x, axes_from(2, x->type.rank, axes), axes, true);
}

void lower_global_max_pool(OnnxNode *n)
{
    Value *x = in(n, 0);
    int axes[DLVK_MAX_RANK];
    if (x) n->out[0] = build_reduce(n->b, KIND_MAX, x, axes_from(2, x->type.rank, axes), axes, true);
}

void lower_global_lp_pool(OnnxNode *n)
{
    Value *x = in(n, 0);
    int axes[DLVK_MAX_RANK];
    if (!x) return;
    double p = lp_order(n);
    n->out[0] = root(n->b, build_reduce(n->b, KIND_SUM, power(n->b, x, p), axes_from(2, x->type.rank, axes), axes, true), p);
}

/* Indices address the tensor that kernel, strides and pads imply; output_shape only pads it with zeros behind. */
void lower_max_unpool(OnnxNode *n)
{
    Build *b = n->b;
    Value *x = in(n, 0), *index = in(n, 1);
    Spatial s;
    if (!x || !index || !onnx_spatial(n, x, NULL, &s)) return;
    int rank = x->type.rank, count;
    const Dim *shape[DLVK_MAX_RANK], *zero[DLVK_MAX_RANK], *more[DLVK_MAX_RANK], *flat = dim_product(b, rank, x->type.dim);
    for (int i = 0; i < rank; i++) {
        shape[i] = x->type.dim[i];
        zero[i] = dim_of_int(b, 0);
        if (i < 2) continue;
        shape[i] = plus(b, times_int(b, plus_int(b, shape[i], -1), s.step[i - 2]), s.kernel[i - 2]);
        shape[i] = minus(b, shape[i], plus(b, s.lo[i - 2], s.hi[i - 2]));
    }
    const Dim *const *wanted = has_in(n, 2) ? onnx_dims(n, 2, &count) : NULL;
    if (has_in(n, 2) && (!wanted || count != rank)) {
        if (wanted) onnx_error(n, "output_shape has %d entries for rank %d", count, rank);
        return;
    }
    const Dim *total = dim_product(b, rank, shape);
    Value *y = build_full(b, type_make(b->ctx, x->type.dtype, 1, &total), 0);
    y = build_scatter(b, KIND_SET, y, build_reshape(b, index, 1, &flat), build_reshape(b, x, 1, &flat));
    y = build_reshape(b, y, rank, shape);
    if (wanted) {
        for (int i = 0; i < rank; i++) more[i] = minus(b, wanted[i], shape[i]);
        y = build_pad(b, y, zero, more, build_scalar(b, x->type.dtype, 0));
    }
    n->out[0] = y;
}
