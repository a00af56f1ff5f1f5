/* Convolution and matrix multiplication, real and quantized. */
#include "frontend/onnx/ops_b.h"
#include <math.h>
#include <string.h>

bool onnx_spatial_ints(OnnxNode *n, const char *name, int count, int64_t otherwise, int64_t *out)
{
    int have;
    const int64_t *v = onnx_ints(n, name, &have);
    if (v && have != count) {
        onnx_error(n, "attribute '%s' has %d entries, expected %d", name, have, count);
        return false;
    }
    for (int i = 0; i < count; i++) {
        out[i] = v ? v[i] : otherwise;
        if (out[i] >= -INT32_MAX && out[i] <= INT32_MAX) continue;
        onnx_error(n, "attribute '%s' has an entry of %lld", name, (long long)out[i]);
        return false;
    }
    return true;
}

/* Padding such that the result has ceil(in / step) elements; the odd one goes behind (SAME_UPPER) or before. */
static void same_padding(Build *b, const Dim *in, Spatial *s, int i)
{
    const Dim *extent = plus_int(b, times_int(b, plus_int(b, s->kernel[i], -1), s->dilation[i]), 1);
    const Dim *last = plus_int(b, ceil_of(b, in, s->step[i]), -1);
    const Dim *total = at_least_0(b, minus(b, plus(b, times_int(b, last, s->step[i]), extent), in));
    const Dim *less = floor_of(b, total, 2), *more = minus(b, total, less);
    s->lo[i] = s->same_upper ? less : more;
    s->hi[i] = s->same_upper ? more : less;
}

bool onnx_spatial(OnnxNode *n, Value *x, const Dim *const *kernel, Spatial *s)
{
    if (!x) return false;
    Build *b = n->b;
    *s = (Spatial){.n = x->type.rank - 2};
    if (s->n < 1) {
        onnx_error(n, "input of rank %d; at least 3 is needed", x->type.rank);
        return false;
    }
    int64_t pads[2 * DLVK_MAX_RANK], shape[DLVK_MAX_RANK];
    if (!kernel && !onnx_needs(n, "kernel_shape")) return false;
    if (!onnx_spatial_ints(n, "kernel_shape", s->n, 1, shape) || !onnx_spatial_ints(n, "strides", s->n, 1, s->step) ||
        !onnx_spatial_ints(n, "dilations", s->n, 1, s->dilation) || !onnx_spatial_ints(n, "pads", 2 * s->n, 0, pads))
        return false;
    for (int i = 0; i < s->n; i++) {
        if (shape[i] < 1 || s->step[i] < 1 || s->dilation[i] < 1) {
            onnx_error(n, "kernel_shape, strides and dilations must be positive");
            return false;
        }
        s->kernel[i] = kernel ? kernel[i] : dim_of_int(b, shape[i]);
        s->lo[i] = dim_of_int(b, pads[i]);
        s->hi[i] = dim_of_int(b, pads[s->n + i]);
        if (kernel && onnx_has(n, "kernel_shape")) ctx_constrain(b->ctx, DIM_EQ, kernel[i], dim_of_int(b, shape[i]));
    }
    const char *pad = onnx_str(n, "auto_pad", "NOTSET");
    s->same_upper = strcmp(pad, "SAME_UPPER") == 0;
    s->same = s->same_upper || strcmp(pad, "SAME_LOWER") == 0;
    bool valid = strcmp(pad, "VALID") == 0;
    if (!s->same && !valid && strcmp(pad, "NOTSET") != 0 && *pad) {
        onnx_error(n, "attribute 'auto_pad' is '%s'", pad);
        return false;
    }
    for (int i = 0; i < s->n; i++) {
        if (valid) s->lo[i] = s->hi[i] = dim_of_int(b, 0);
        if (s->same) same_padding(b, x->type.dim[2 + i], s, i);
    }
    return true;
}

static bool conv_operands(OnnxNode *n, Value *x, Value *w)
{
    if (!x || !w) return false;
    if (x->type.rank == w->type.rank && x->type.rank >= 3) return true;
    onnx_error(n, "input of rank %d and weight of rank %d", x->type.rank, w->type.rank);
    return false;
}

static Value *convolve(OnnxNode *n, Value *x, Value *w)
{
    Spatial s;
    if (!conv_operands(n, x, w) || !onnx_spatial(n, x, w->type.dim + 2, &s)) return NULL;
    ConvSpec c = {
        .spatial = s.n, .step = s.step, .dilation = s.dilation, .lo = s.lo, .hi = s.hi, .group = onnx_int(n, "group", 1)};
    return build_conv_nchw(n->b, x, w, &c);
}

void lower_conv(OnnxNode *n)
{
    n->out[0] = compose_affine(n->b, convolve(n, in(n, 0), in(n, 1)), NULL, in(n, 2), 1);
}

void lower_conv_transpose(OnnxNode *n)
{
    Build *b = n->b;
    Value *x = in(n, 0), *w = in(n, 1);
    Spatial s;
    if (!conv_operands(n, x, w) || !onnx_spatial(n, x, w->type.dim + 2, &s)) return;
    int count;
    const int64_t *shape = onnx_ints(n, "output_shape", &count);
    int64_t extra[DLVK_MAX_RANK];
    if (!onnx_spatial_ints(n, "output_padding", s.n, 0, extra)) return;
    if (shape && count != s.n && count != s.n + 2) { /* exporters also write batch and channels */
        onnx_error(n, "attribute 'output_shape' has %d entries, expected %d", count, s.n);
        return;
    }
    if (shape) shape += count - s.n;
    for (int i = 0; i < s.n; i++) {
        if (shape || s.same) {
            const Dim *in_size = x->type.dim[2 + i];
            const Dim *full = plus(b, times_int(b, plus_int(b, in_size, -1), s.step[i]),
                                   plus_int(b, times_int(b, plus_int(b, s.kernel[i], -1), s.dilation[i]), 1 + extra[i]));
            const Dim *out = shape ? dim_of_int(b, shape[i]) : times_int(b, in_size, s.step[i]);
            const Dim *total = minus(b, full, out), *less = floor_of(b, total, 2);
            s.lo[i] = s.same_upper ? less : minus(b, total, less);
            s.hi[i] = minus(b, total, s.lo[i]);
        }
        s.hi[i] = plus_int(b, s.hi[i], -extra[i]);
    }
    ConvSpec c = {
        .spatial = s.n, .step = s.step, .dilation = s.dilation, .lo = s.lo, .hi = s.hi, .group = onnx_int(n, "group", 1)};
    if (c.group < 1) {
        onnx_error(n, "attribute 'group' is %lld", (long long)c.group);
        return;
    }
    n->out[0] = compose_affine(b, compose_conv_transpose(b, x, w, &c), NULL, in(n, 2), 1);
}

Value *onnx_centered(OnnxNode *n, Value *x, Value *zero_point, int axis)
{
    if (!x) return NULL;
    Value *y = build_cast(n->b, x, DLVK_I32);
    if (!zero_point) return y;
    Value *z = build_cast(n->b, zero_point, DLVK_I32);
    if (z && z->type.rank == 1 && dim_is(z->type.dim[0], 1)) z = build_squeeze(n->b, z, 0, NULL);
    return build_map2(n->b, OP_SUB, y, compose_along(n->b, z, x->type.rank, axis));
}

Value *onnx_requantize(OnnxNode *n, Value *x, Value *x_scale, Value *scale, Value *zero_point, DType t)
{
    Build *b = n->b;
    if (!x || !scale) return NULL;
    if (zero_point) t = zero_point->type.dtype;
    /* One factor, as ONNX Runtime has it: ties are ties there and here. */
    x = x_scale ? build_map2(b, OP_MUL, build_cast(b, x, DLVK_F32), build_map2(b, OP_DIV, x_scale, scale))
                : build_map2(b, OP_DIV, x, scale);
    x = build_map1(b, OP_ROUND, x);
    if (zero_point) x = build_map2(b, OP_ADD, x, build_cast(b, zero_point, DLVK_F32));
    int bits = dtype_bits(t);
    bool is_signed = dtype_class(t) == DC_INT;
    double lo = is_signed ? -ldexp(1, bits - 1) : 0, hi = ldexp(1, is_signed ? bits - 1 : bits) - 1;
    x = build_clamp(b, x, build_scalar(b, DLVK_F32, lo), build_scalar(b, DLVK_F32, hi));
    return build_cast(b, x, t);
}

void lower_conv_integer(OnnxNode *n)
{
    n->out[0] = convolve(n, onnx_centered(n, in(n, 0), in(n, 2), 1), onnx_centered(n, in(n, 1), in(n, 3), 0));
}

static Value *f32(OnnxNode *n, Value *v)
{
    return build_cast(n->b, v, DLVK_F32);
}

void lower_qlinear_conv(OnnxNode *n)
{
    Build *b = n->b;
    Value *acc = convolve(n, onnx_centered(n, in(n, 0), in(n, 2), 1), onnx_centered(n, in(n, 3), in(n, 5), 0));
    if (!acc || !in(n, 7)) return;
    acc = compose_affine(b, acc, NULL, in(n, 8), 1);
    Value *w_scale = in(n, 4);
    if (w_scale && w_scale->type.rank == 1 && dim_is(w_scale->type.dim[0], 1)) w_scale = build_squeeze(b, w_scale, 0, NULL);
    Value *scale = build_map2(b, OP_MUL, f32(n, in(n, 1)), f32(n, w_scale));
    if (!acc || !scale) return;
    n->out[0] = onnx_requantize(n, acc, compose_along(b, scale, acc->type.rank, 1), f32(n, in(n, 6)), in(n, 7), DLVK_U8);
}

/* A depthwise convolution over the input behind the last kernel - 1 elements of the call before. */
void lower_causal_conv(OnnxNode *n)
{
    Build *b = n->b;
    Value *x = in(n, 0), *w = in(n, 1), *past = in(n, 3);
    if (!x || !w || (has_in(n, 3) && !past)) return;
    int64_t channels = 0;
    const char *f = onnx_str(n, "activation", "none");
    bool silu = strcmp(f, "silu") == 0 || strcmp(f, "swish") == 0;
    if (x->type.rank != 3 || w->type.rank != 3 || (!silu && strcmp(f, "none") != 0)) {
        onnx_error(n, "operands of rank %d and %d, activation '%s'", x->type.rank, w->type.rank, f);
        return;
    }
    if (!dim_is_const(w->type.dim[0], &channels) && !dim_is_const(x->type.dim[1], &channels)) {
        onnx_error(n, "the number of channels is symbolic; it must be known, for it is the number of groups");
        return;
    }
    const Dim *before = plus_int(b, w->type.dim[2], -1), *shape[] = {x->type.dim[0], x->type.dim[1], before};
    Value *both[] = {past ? past : build_full(b, (Type){x->type.dtype, 3, shape}, 0), x}, *padded = build_concat(b, 2, both, 2);
    ConvSpec c = {.spatial = 1, .group = channels};
    Value *y = compose_affine(b, build_conv_nchw(b, padded, w, &c), NULL, in(n, 2), 1);
    n->out[0] = silu ? build_map2(b, OP_MUL, y, build_map1(b, OP_SIGMOID, y)) : y;
    if (has_out(n, 1)) n->out[1] = build_slice_axis(b, padded, 2, x->type.dim[2], before);
}

/* The activation of the first operand scales the second. */
void lower_swiglu(OnnxNode *n)
{
    lower_swish(n);
    n->out[0] = build_map2(n->b, OP_MUL, n->out[0], in(n, 1));
}

void lower_matmul(OnnxNode *n)
{
    n->out[0] = build_matmul(n->b, in(n, 0), in(n, 1));
}

/* A per-row parameter of a matmul operand: [m] runs along the last but one axis. */
static Value *row_vector(OnnxNode *n, Value *v, Value *x)
{
    if (!v || !x || v->type.rank != 1) return v;
    if (dim_is(v->type.dim[0], 1)) return build_squeeze(n->b, v, 0, NULL);
    return x->type.rank < 2 ? v : compose_along(n->b, v, x->type.rank, x->type.rank - 2);
}

void lower_matmul_integer(OnnxNode *n)
{
    Value *x = in(n, 0), *y = in(n, 1);
    if (!x || !y) return;
    x = onnx_centered(n, x, row_vector(n, in(n, 2), x), x->type.rank - 1);
    y = onnx_centered(n, y, in(n, 3), y->type.rank - 1);
    n->out[0] = build_matmul(n->b, x, y);
}

void lower_qlinear_matmul(OnnxNode *n)
{
    Build *b = n->b;
    Value *x = in(n, 0), *y = in(n, 3);
    if (!x || !y || !in(n, 7)) return;
    Value *scale_x = row_vector(n, f32(n, in(n, 1)), x), *scale_y = f32(n, in(n, 4));
    x = onnx_centered(n, x, row_vector(n, in(n, 2), x), x->type.rank - 1);
    y = onnx_centered(n, y, in(n, 5), y->type.rank - 1);
    Value *sum = build_matmul(b, x, y), *scale = build_map2(b, OP_MUL, scale_x, scale_y);
    n->out[0] = onnx_requantize(n, sum, scale, row_vector(n, f32(n, in(n, 6)), sum), row_vector(n, in(n, 7), sum), DLVK_U8);
}

/* x * f in x's type; an integer x takes an integer factor only. */
static Value *scaled(OnnxNode *n, Value *x, const char *name)
{
    double f = onnx_float(n, name, 1);
    if (f == 1 || !x) return x;
    if (dtype_is_int(x->type.dtype) && f != floor(f)) {
        onnx_error(n, "attribute '%s' is %g for integers", name, f);
        return NULL;
    }
    return build_map2s(n->b, OP_MUL, x, f);
}

void lower_gemm(OnnxNode *n)
{
    Value *x = in(n, 0), *y = in(n, 1), *c = in(n, 2);
    const int swap[] = {1, 0};
    if (!x || !y) return;
    if (x->type.rank != 2 || y->type.rank != 2) {
        onnx_error(n, "operands of rank %d and %d; both must be matrices", x->type.rank, y->type.rank);
        return;
    }
    if (onnx_int(n, "transA", 0)) x = build_transpose(n->b, x, swap);
    if (onnx_int(n, "transB", 0)) y = build_transpose(n->b, y, swap);
    Value *r = scaled(n, build_matmul(n->b, x, y), "alpha");
    if (has_in(n, 2)) r = build_map2(n->b, OP_ADD, r, scaled(n, c, "beta"));
    n->out[0] = r;
}
