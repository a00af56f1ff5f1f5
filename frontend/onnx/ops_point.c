/* Pointwise operators: arithmetic, comparison, logic, activation functions. */
#include "frontend/compose.h"
#include "frontend/onnx/onnx.h"
#include <math.h>
#include <string.h>

void lower_map1(OnnxNode *n)
{
    n->out[0] = build_map1(n->b, (Op)n->arg, in(n, 0));
}

/* Of integers it is 0, or, beyond 5, 1 or -1: in single precision beyond 3 already. */
void lower_erf(OnnxNode *n)
{
    Value *x = in(n, 0);
    DType t = x->type.dtype;
    n->out[0] = build_cast(n->b, build_map1(n->b, OP_ERF, build_cast(n->b, x, dtype_is_int(t) ? DLVK_F64 : t)), t);
}

void lower_map2(OnnxNode *n)
{
    n->out[0] = build_map2(n->b, (Op)n->arg, in(n, 0), in(n, 1));
}

/* Before opset 7 the second operand was broadcast only on demand, its first axis aligned with attribute `axis`. */
static Value *legacy_operand(OnnxNode *n, Value *x, Value *y)
{
    if (!x || !y || !onnx_int(n, "broadcast", 0) || !onnx_has(n, "axis") || y->type.rank >= x->type.rank) return y;
    int rank = x->type.rank, axis = onnx_axis(n, onnx_int(n, "axis", 0), rank);
    if (axis + y->type.rank > rank) {
        onnx_error(n, "attribute 'axis': %d leaves no room for an operand of rank %d", axis, y->type.rank);
        return NULL;
    }
    const Dim *shape[DLVK_MAX_RANK];
    for (int i = 0; i < rank - axis; i++) shape[i] = i < y->type.rank ? y->type.dim[i] : dim_of_int(n->b, 1);
    return build_reshape(n->b, y, rank - axis, shape);
}

void lower_map2_legacy(OnnxNode *n)
{
    n->out[0] = build_map2(n->b, (Op)n->arg, in(n, 0), legacy_operand(n, in(n, 0), in(n, 1)));
}

/* Any number of operands. */
void lower_map_many(OnnxNode *n)
{
    Value *y = in(n, 0);
    for (int i = 1; i < n->n_in; i++) y = build_map2(n->b, (Op)n->arg, y, in(n, i));
    n->out[0] = y;
}

void lower_mean(OnnxNode *n)
{
    n->arg = OP_ADD;
    lower_map_many(n);
    n->out[0] = build_map2s(n->b, OP_DIV, n->out[0], n->n_in);
}

/* numpy's rule: computed in the wider kind, given back in the first operand's type. */
void lower_pow(OnnxNode *n)
{
    Value *x = in(n, 0), *y = n->opset < 7 ? legacy_operand(n, x, in(n, 1)) : in(n, 1);
    if (!y) return;
    DType t = x->type.dtype, u = dtype_is_int(t) && dtype_is_float(y->type.dtype) ? y->type.dtype : t;
    Value *p = build_map2(n->b, OP_POW, build_cast(n->b, x, u), build_cast(n->b, y, u));
    n->out[0] = build_cast(n->b, p, t);
}

void lower_mod(OnnxNode *n)
{
    bool fmod_ = onnx_int(n, "fmod", 0) != 0;
    if (!fmod_ && dtype_is_float(in(n, 0)->type.dtype)) {
        onnx_error(n, "attribute 'fmod' must be 1 for floating point");
        return;
    }
    n->out[0] = build_map2(n->b, fmod_ ? OP_REM : OP_MOD, in(n, 0), in(n, 1));
}

void lower_bit_shift(OnnxNode *n)
{
    const char *d = onnx_str(n, "direction", "");
    if (strcmp(d, "LEFT") != 0 && strcmp(d, "RIGHT") != 0)
        onnx_error(n, "attribute 'direction' is '%s', neither LEFT nor RIGHT", d);
    else
        n->out[0] = build_map2(n->b, *d == 'L' ? OP_SHL : OP_SHR, in(n, 0), in(n, 1));
}

void lower_is_inf(OnnxNode *n)
{
    bool negative = onnx_int(n, "detect_negative", 1) != 0, positive = onnx_int(n, "detect_positive", 1) != 0;
    Value *x = in(n, 0), *inf = build_map1(n->b, OP_IS_INF, x);
    if (!negative || !positive) {
        Op side = positive ? OP_GT : OP_LT;
        Value *sign = positive || negative ? build_map2s(n->b, side, x, 0) : build_scalar_i(n->b, DLVK_BOOL, 0);
        inf = build_map2(n->b, OP_AND, inf, sign);
    }
    n->out[0] = inf;
}

void lower_where(OnnxNode *n)
{
    n->out[0] = build_map3(n->b, OP_SELECT, in(n, 0), in(n, 1), in(n, 2));
}

void lower_reciprocal(OnnxNode *n)
{
    n->out[0] = build_map2(n->b, OP_DIV, build_scalar(n->b, in(n, 0)->type.dtype, 1), in(n, 0));
}

void lower_clip(OnnxNode *n)
{
    Value *x = in(n, 0), *lo = in(n, 1), *hi = in(n, 2);
    if (n->opset < 11) {
        if (onnx_has(n, "min")) lo = build_scalar(n->b, x->type.dtype, onnx_float(n, "min", 0));
        if (onnx_has(n, "max")) hi = build_scalar(n->b, x->type.dtype, onnx_float(n, "max", 0));
    }
    n->out[0] = build_clamp(n->b, x, lo, hi);
}

/* Activations. */

void lower_relu(OnnxNode *n)
{
    n->out[0] = build_relu(n->b, in(n, 0));
}

/* x where x > limit, otherwise `below`: at the limit too, of which gradients take the slope, as with PyTorch. */
static Value *above_or(Build *b, Value *x, double limit, Value *below)
{
    return build_map3(b, OP_SELECT, build_map2s(b, OP_GT, x, limit), x, below);
}

void lower_leaky_relu(OnnxNode *n)
{
    Value *x = in(n, 0);
    double alpha = onnx_float(n, "alpha", 0.01);
    Value *below = build_map2s(n->b, OP_MUL, x, alpha);
    if (!isfinite(alpha)) below = build_map3(n->b, OP_SELECT, build_map2s(n->b, OP_EQ, x, 0), x, below);
    n->out[0] = above_or(n->b, x, 0, below);
}

/* A slope of rank 1 ran along the channels before opset 7; after, it broadcasts as numpy does. */
void lower_prelu(OnnxNode *n)
{
    Value *x = in(n, 0), *slope = in(n, 1);
    if (n->opset < 7 && slope->type.rank == 1 && x->type.rank > 2 && !dim_is(slope->type.dim[0], 1))
        slope = compose_along(n->b, slope, x->type.rank, 1);
    n->out[0] = above_or(n->b, x, 0, build_map2(n->b, OP_MUL, x, slope));
}

void lower_thresholded_relu(OnnxNode *n)
{
    Value *x = in(n, 0);
    n->out[0] = above_or(n->b, x, onnx_float(n, "alpha", 1), build_scalar(n->b, x->type.dtype, 0));
}

void lower_elu(OnnxNode *n)
{
    Value *x = in(n, 0), *e = build_map1(n->b, OP_EXPM1, x);
    n->out[0] = above_or(n->b, x, 0, build_map2s(n->b, OP_MUL, e, onnx_float(n, "alpha", 1)));
}

void lower_selu(OnnxNode *n)
{
    Value *x = in(n, 0), *e = build_map1(n->b, OP_EXPM1, x);
    double alpha = onnx_float(n, "alpha", n->opset < 6 ? 1.6732 : 1.67326319217681884765625);
    double gamma = onnx_float(n, "gamma", n->opset < 6 ? 1.0507 : 1.05070102214813232421875);
    n->out[0] = build_map2s(n->b, OP_MUL, above_or(n->b, x, 0, build_map2s(n->b, OP_MUL, e, alpha)), gamma);
}

void lower_celu(OnnxNode *n)
{
    double alpha = onnx_float(n, "alpha", 1);
    Value *x = in(n, 0), *e = build_map1(n->b, OP_EXPM1, build_map2s(n->b, OP_DIV, x, alpha));
    n->out[0] = above_or(n->b, x, 0, build_map2s(n->b, OP_MUL, e, alpha));
}

static Value *clamp_01(Build *b, Value *x)
{
    return x ? build_clamp(b, x, build_scalar(b, x->type.dtype, 0), build_scalar(b, x->type.dtype, 1)) : NULL;
}

static Value *hard_sigmoid(Build *b, Value *x, double alpha, double beta)
{
    return clamp_01(b, build_map2s(b, OP_ADD, build_map2s(b, OP_MUL, x, alpha), beta));
}

void lower_hard_sigmoid(OnnxNode *n)
{
    n->out[0] = hard_sigmoid(n->b, in(n, 0), onnx_float(n, "alpha", 0.2), onnx_float(n, "beta", 0.5));
}

void lower_hard_swish(OnnxNode *n)
{
    Value *x = in(n, 0);
    n->out[0] = build_map2(n->b, OP_MUL, x, hard_sigmoid(n->b, x, 1.0 / 6, 0.5));
}

void lower_softplus(OnnxNode *n)
{
    n->out[0] = compose_softplus(n->b, in(n, 0));
}

void lower_softsign(OnnxNode *n)
{
    Value *x = in(n, 0);
    n->out[0] = build_map2(n->b, OP_DIV, x, build_map2s(n->b, OP_ADD, build_map1(n->b, OP_ABS, x), 1));
}

void lower_mish(OnnxNode *n)
{
    Value *x = in(n, 0);
    n->out[0] = build_map2(n->b, OP_MUL, x, build_map1(n->b, OP_TANH, compose_softplus(n->b, x)));
}

void lower_swish(OnnxNode *n)
{
    Value *x = in(n, 0), *s = build_map2s(n->b, OP_MUL, x, onnx_float(n, "alpha", 1));
    n->out[0] = build_map2(n->b, OP_MUL, x, build_map1(n->b, OP_SIGMOID, s));
}

void lower_gelu(OnnxNode *n)
{
    const char *how = onnx_str(n, "approximate", "none");
    bool by_tanh = strcmp(how, "tanh") == 0;
    if (!by_tanh && strcmp(how, "none") != 0)
        onnx_error(n, "attribute 'approximate' is '%s', neither none nor tanh", how);
    else
        n->out[0] = compose_gelu(n->b, in(n, 0), by_tanh);
}

/* bias is subtracted from what lies above lambd and added to what lies below -lambd; the rest is 0. */
void lower_shrink(OnnxNode *n)
{
    Build *b = n->b;
    Value *x = in(n, 0);
    DType t = x->type.dtype, wide = dtype_is_int(t) ? DLVK_F32 : t; /* the attributes are floats */
    double lambd = onnx_float(n, "lambd", 0.5), bias = onnx_float(n, "bias", 0);
    x = build_cast(b, x, wide);
    Value *high =
        build_map3(b, OP_SELECT, build_map2s(b, OP_GT, x, lambd), build_map2s(b, OP_SUB, x, bias), build_scalar(b, wide, 0));
    Value *y = build_map3(b, OP_SELECT, build_map2s(b, OP_LT, x, -lambd), build_map2s(b, OP_ADD, x, bias), high);
    n->out[0] = build_cast(b, y, t);
}
