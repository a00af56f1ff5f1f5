/* Quantization: linear, per tensor, per axis, or per block. */
#include "frontend/onnx/indexing.h"

/* A scale or zero point made to fit x: a vector along `axis`, or blocks of block_size elements along it. */
static Value *fit(OnnxNode *n, Value *s, Value *x, int64_t axis)
{
    Build *b = n->b;
    if (!s || s->type.rank == 0) return s;
    int64_t block = onnx_int(n, "block_size", 0);
    /* One element serves the whole tensor, in whatever shape exporters give it, and the axis, by default 1, need not exist. */
    if (s->type.rank == 1 && dim_is(s->type.dim[0], 1)) return build_squeeze(b, s, 0, NULL);
    int rank = x->type.rank, a = onnx_axis(n, axis, rank);
    if (s->type.rank == 1 && !block) return compose_along(b, s, rank, a);
    if (s->type.rank != rank || block < 0) {
        onnx_error(n, "a scale of rank %d, block_size %lld, for an input of rank %d", s->type.rank, (long long)block, rank);
        return NULL;
    }
    if (block <= 1) return s;
    const Dim *blocks[4] = {dim_product(b, a, s->type.dim), s->type.dim[a], dim_of_int(b, 1),
                            dim_product(b, rank - a - 1, s->type.dim + a + 1)};
    const Dim *repeated[4] = {blocks[0], blocks[1], dim_of_int(b, block), blocks[3]}, *shape[DLVK_MAX_RANK];
    for (int i = 0; i < rank; i++) shape[i] = i == a ? times_int(b, s->type.dim[i], block) : s->type.dim[i];
    Value *wide = build_reshape(b, build_broadcast(b, build_reshape(b, s, 4, blocks), 4, repeated), rank, shape);
    return build_slice_axis(b, wide, a, dim_of_int(b, 0), x->type.dim[a]);
}

/* The type in which x is divided by its scale: attribute 'precision', or the scale's own; reals, where that is no type for it. */
static bool division_type(OnnxNode *n, DType x, DType scale, DType *t)
{
    int64_t given = onnx_int(n, "precision", 0);
    *t = scale;
    if (given) {
        if (dtype_from_onnx(given, t) && dtype_is_float(*t)) return true;
        onnx_error(n, "attribute 'precision': element type %lld is no float type", (long long)given);
        return false;
    }
    if (!dtype_is_float(scale)) *t = DLVK_F32;
    if (scale == DLVK_F8E8M0) *t = dtype_is_float(x) ? x : DLVK_F32;
    return true;
}

/* saturate(round(x / scale) + zero_point) */
void lower_quantize_linear(OnnxNode *n)
{
    Build *b = n->b;
    Value *x = in(n, 0), *scale = in(n, 1), *zero = in(n, 2);
    DType t = DLVK_U8, u;
    int64_t declared = onnx_int(n, "output_dtype", 0), axis = onnx_int(n, "axis", 1);
    if (zero) t = zero->type.dtype;
    if (!zero && declared && !dtype_from_onnx(declared, &t)) {
        onnx_error(n, "attribute 'output_dtype': element type %lld is not supported", (long long)declared);
        return;
    }
    if (!division_type(n, x->type.dtype, scale->type.dtype, &u)) return;
    /* Where u is narrow the quotient is rounded to it by a cast, for arithmetic alone would leave it wide up to the ROUND. */
    DType wide = dtype_bits(u) < 32 ? DLVK_F32 : u;
    Value *divisor = build_cast(b, build_cast(b, fit(n, scale, x, axis), u), wide);
    Value *y = build_cast(b, build_map2(b, OP_DIV, build_cast(b, build_cast(b, x, u), wide), divisor), u);
    if (dtype_is_float(t)) {
        if (zero && t == DLVK_F4E2M1) y = build_map2(b, OP_ADD, y, build_cast(b, fit(n, zero, x, axis), u));
        n->out[0] = build_cast_sat(b, y, t, onnx_int(n, "saturate", 1) != 0);
        return;
    }
    if (!dtype_is_int(t) || dtype_bits(t) > 32) {
        onnx_error(n, "quantization to %s is not defined", dtype_name(t));
        return;
    }
    double lo, hi;
    int_limits(t, &lo, &hi);
    /* in 32 bits: a narrower scale's type does not hold the limits */
    y = build_cast(b, build_map1(b, OP_ROUND, y), DLVK_F32);
    if (zero) y = build_map2(b, OP_ADD, y, build_cast(b, fit(n, zero, x, axis), DLVK_F32));
    n->out[0] = build_cast(b, build_clamp(b, y, build_scalar(b, DLVK_F32, lo), build_scalar(b, DLVK_F32, hi)), t);
}

/* (x - zero_point) * scale */
void lower_dequantize_linear(OnnxNode *n)
{
    Build *b = n->b;
    Value *x = in(n, 0), *scale = in(n, 1), *zero = in(n, 2);
    int64_t axis = onnx_int(n, "axis", 1), declared = onnx_int(n, "output_dtype", 0);
    DType t = scale->type.dtype, u = dtype_is_float(x->type.dtype) ? DLVK_F32 : DLVK_I32, result = t;
    if (declared && !dtype_from_onnx(declared, &result)) {
        onnx_error(n, "attribute 'output_dtype': element type %lld is not supported", (long long)declared);
        return;
    }
    Value *y = build_cast(b, x, u);
    if (zero) y = build_map2(b, OP_SUB, y, build_cast(b, fit(n, zero, x, axis), u));
    y = build_map2(b, OP_MUL, build_cast(b, y, DLVK_F32), build_cast(b, fit(n, scale, x, axis), DLVK_F32));
    n->out[0] = build_cast(b, y, result);
}

/* To u8, over the range of x with 0 in it. */
void lower_dynamic_quantize_linear(OnnxNode *n)
{
    Build *b = n->b;
    Value *x = in(n, 0), *zero = build_scalar(b, x->type.dtype, 0), *top = build_scalar(b, x->type.dtype, 255);
    Value *lo = build_map2(b, OP_MIN, build_reduce(b, KIND_MIN, x, 0, NULL, false), zero);
    Value *hi = build_map2(b, OP_MAX, build_reduce(b, KIND_MAX, x, 0, NULL, false), zero);
    Value *scale = build_map2(b, OP_DIV, build_map2(b, OP_SUB, hi, lo), top);
    Value *empty = build_map2s(b, OP_EQ, scale, 0),
          *by = build_map3(b, OP_SELECT, empty, build_scalar(b, x->type.dtype, 1), scale);
    Value *zp = build_map1(b, OP_ROUND, build_clamp(b, build_map1(b, OP_NEG, build_map2(b, OP_DIV, lo, by)), zero, top));
    Value *y = build_map2(b, OP_ADD, build_map1(b, OP_ROUND, build_map2(b, OP_DIV, x, by)), zp);
    Value *out[] = {build_cast(b, build_clamp(b, y, zero, top), DLVK_U8), scale, build_cast(b, zp, DLVK_U8)};
    for (int i = 0; i < n->n_out && i < 3; i++) n->out[i] = out[i];
}
