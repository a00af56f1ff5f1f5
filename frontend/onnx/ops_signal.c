/* Fourier transforms and what goes with them: products with matrices of cosines and sines. */
#include "frontend/onnx/indexing.h"
#include <math.h>
#include <string.h>

/* cos or sin of 2 pi i k / length for i < rows, k < columns: the angle is reduced in integers; computed here in double where it
 * can be. */
static Value *twiddle(Build *b, DType t, const Dim *rows, const Dim *columns, const Dim *length, Op op)
{
    const Dim *shape[] = {rows, columns};
    bool known = dim_is_const(rows, NULL) && dim_is_const(columns, NULL) && dim_is_const(length, NULL);
    DType u = known ? DLVK_F64 : t;
    Value *n = dim_value(b, DLVK_I64, length);
    Value *ik = build_map2(b, OP_MUL, build_iota(b, DLVK_I64, 2, shape, 0), build_iota(b, DLVK_I64, 2, shape, 1));
    ik = build_map2(b, OP_MOD, ik, n);
    Value *angle = build_map2(b, OP_DIV, build_map2s(b, OP_MUL, build_cast(b, ik, u), 2 * M_PI), dim_value(b, u, length));
    return settle(b, build_map1(b, op, angle), t);
}

/* re + i im, along the last axis of [..., length], into [..., bins, 2]; im may be NULL. */
static Value *dft(Build *b, Value *re, Value *im, const Dim *length, const Dim *bins, bool inverse)
{
    if (!re) return NULL;
    DType t = re->type.dtype;
    Value *c = twiddle(b, t, length, bins, length, OP_COS), *s = twiddle(b, t, length, bins, length, OP_SIN);
    if (!inverse) s = build_map1(b, OP_NEG, s); /* e^{-i angle} forward */
    Value *out_re = build_matmul(b, re, c), *out_im = build_matmul(b, re, s);
    if (im) {
        out_re = build_map2(b, OP_SUB, out_re, build_matmul(b, im, s));
        out_im = build_map2(b, OP_ADD, out_im, build_matmul(b, im, c));
    }
    if (!out_re || !out_im) return NULL;
    int last = out_re->type.rank;
    Value *parts[] = {build_unsqueeze(b, out_re, 1, &last), build_unsqueeze(b, out_im, 1, &last)};
    Value *y = build_concat(b, 2, parts, last);
    return inverse ? build_map2(b, OP_DIV, y, dim_value(b, t, length)) : y;
}

/* The real signal [..., length, 1] of which [..., bins] is the half spectrum: each bin stands for its mirror image too, but for
 * the first and, where the length is even, the last. */
static Value *real_dft(Build *b, Value *re, Value *im, const Dim *length, const Dim *bins)
{
    if (!re || !im) return NULL;
    DType t = re->type.dtype;
    Value *k = build_iota(b, DLVK_I64, 1, &bins, 0), *n = dim_value(b, DLVK_I64, length);
    Value *alone = build_map2s(b, OP_EQ, build_map2(b, OP_MOD, build_map2s(b, OP_MUL, k, 2), n), 0);
    Value *weight = build_map2(b, OP_DIV, build_map3(b, OP_SELECT, alone, build_scalar(b, t, 1), build_scalar(b, t, 2)),
                               dim_value(b, t, length));
    Value *y =
        build_map2(b, OP_SUB, build_matmul(b, build_map2(b, OP_MUL, re, weight), twiddle(b, t, bins, length, length, OP_COS)),
                   build_matmul(b, build_map2(b, OP_MUL, im, weight), twiddle(b, t, bins, length, length, OP_SIN)));
    return y ? build_unsqueeze(b, y, 1, &y->type.rank) : NULL;
}

/* [..., 1 or 2]: with the imaginary part, 0, where it is only known at run time whether there is one. */
static Value *with_imaginary(Build *b, Value *x)
{
    const Dim *lo[DLVK_MAX_RANK], *hi[DLVK_MAX_RANK];
    int last = x->type.rank - 1;
    if (last < 0 || dim_is_const(x->type.dim[last], NULL)) return x;
    for (int i = 0; i <= last; i++) lo[i] = hi[i] = dim_of_int(b, 0);
    hi[last] = minus(b, dim_of_int(b, 2), x->type.dim[last]);
    return build_pad(b, x, lo, hi, build_scalar(b, x->type.dtype, 0));
}

/* Component c (0 real, 1 imaginary) of [..., 1 or 2]; NULL where there is none. */
static Value *component(Build *b, Value *x, int c)
{
    int last = x->type.rank - 1;
    if (c && dim_is(x->type.dim[last], 1)) return NULL;
    return compose_at(b, x, build_scalar_i(b, DLVK_I64, c), last);
}

void lower_dft(OnnxNode *n)
{
    Build *b = n->b;
    Value *x = with_imaginary(b, in(n, 0));
    if (!x) return;
    int rank = x->type.rank, count;
    int64_t axis = onnx_int(n, "axis", 1);
    const int64_t *known;
    if (n->opset >= 20) {
        axis = -2;
        if (in(n, 2)) {
            if (!onnx_known_ints(n, in(n, 2), "axis", &count, &known) || count != 1) return;
            axis = *known;
        }
    }
    int a = onnx_axis(n, axis, rank);
    bool inverse = onnx_int(n, "inverse", 0) != 0, onesided = onnx_int(n, "onesided", 0) != 0;
    if (rank < 2 || a == rank - 1 || (onesided && inverse && !dim_is(x->type.dim[rank - 1], 2))) {
        onnx_error(
            n, rank < 2 || a == rank - 1 ? "axis %d is that of the components" : "a onesided inverse of real numbers (axis %d)",
            a);
        return;
    }
    const Dim *own = x->type.dim[a], *whole = onesided && inverse ? times_int(b, plus_int(b, own, -1), 2) : own;
    const Dim *length = in(n, 1) ? onnx_dim(n, 1) : whole;
    if (!length) return;
    const Dim *bins = onesided ? plus_int(b, floor_of(b, length, 2), 1) : length, *wanted = inverse ? bins : length;
    /* fit the signal to the length: cut, then padded with zeros */
    const Dim *size = dim_min(&b->ctx->dims, own, wanted), *lo[DLVK_MAX_RANK], *hi[DLVK_MAX_RANK];
    for (int i = 0; i < rank; i++) lo[i] = dim_of_int(b, 0), hi[i] = i == a ? minus(b, wanted, size) : lo[i];
    x = build_slice_axis(b, x, a, dim_of_int(b, 0), size);
    x = build_pad(b, x, lo, hi, x ? build_scalar(b, x->type.dtype, 0) : NULL);
    int to_last[DLVK_MAX_RANK], back[DLVK_MAX_RANK + 1], k = 0; /* the signal axis last but for the components */
    for (int i = 0; i < rank - 1; i++)
        if (i != a) to_last[k++] = i;
    to_last[rank - 2] = a;
    to_last[rank - 1] = rank - 1;
    for (int i = 0; i < rank; i++) back[to_last[i]] = i;
    x = build_transpose(b, x, to_last);
    if (!x) return;
    Value *re = component(b, x, 0), *im = component(b, x, 1);
    Value *y = onesided && inverse ? real_dft(b, re, im, length, bins) : dft(b, re, im, length, bins, inverse);
    n->out[0] = build_transpose(b, y, back);
}

/* Frames of the signal [batch, n, 1 or 2] every frame_step samples, times the window, transformed. */
void lower_stft(OnnxNode *n)
{
    Build *b = n->b;
    Value *x = in(n, 0), *window = in(n, 2);
    if (x->type.rank == 2) x = build_unsqueeze(b, x, 1, (int[]){2});
    if (!x || x->type.rank != 3) {
        onnx_error(n, "the signal has rank %d, neither 2 nor 3", in(n, 0)->type.rank);
        return;
    }
    x = with_imaginary(b, x);
    if (!x) return;
    int count;
    const Dim *length = in(n, 3) ? onnx_dim(n, 3) : window && window->type.rank == 1 ? window->type.dim[0] : NULL;
    const int64_t *step;
    if (!length) {
        onnx_error(n, "neither a window nor a frame_length");
        return;
    }
    if (!onnx_known_ints(n, in(n, 1), "frame_step", &count, &step) || count != 1) return;
    const Dim *frames = plus_int(b, floor_of(b, minus(b, x->type.dim[1], length), *step), 1), *grid[] = {frames, length};
    Value *start = build_map2(b, OP_MUL, build_iota(b, DLVK_I64, 2, grid, 0), build_scalar_i(b, DLVK_I64, *step));
    Value *at = build_map2(b, OP_ADD, start, build_iota(b, DLVK_I64, 2, grid, 1));
    Value *parts[2];
    for (int c = 0; c < 2; c++) {
        parts[c] = component(b, x, c);
        if (parts[c]) parts[c] = build_gather(b, parts[c], at, 1); /* [batch, frames, length] */
        if (parts[c] && window) parts[c] = build_map2(b, OP_MUL, parts[c], window);
    }
    const Dim *bins = onnx_int(n, "onesided", 1) ? plus_int(b, floor_of(b, length, 2), 1) : length;
    n->out[0] = dft(b, parts[0], parts[1], length, bins, false);
}

/* 2595 log10(1 + f / 700) */
static Value *to_mel(Build *b, Value *hertz)
{
    Value *x = build_map2s(b, OP_ADD, build_map2s(b, OP_DIV, build_cast(b, hertz, DLVK_F32), 700), 1);
    return build_map2s(b, OP_MUL, build_map1(b, OP_LOG, x), 2595 / M_LN10);
}

/* Triangles over the spectrogram's bins, their corners evenly spaced on the mel scale. */
void lower_mel_weight_matrix(OnnxNode *n)
{
    Build *b = n->b;
    const Dim *bands = onnx_dim(n, 0), *length = onnx_dim(n, 1);
    DType t = DLVK_F32;
    if (!bands || !length) return;
    if (!dtype_from_onnx(onnx_int(n, "output_datatype", 1), &t)) onnx_error(n, "attribute 'output_datatype' is not supported");
    const Dim *corners = plus_int(b, bands, 2), *shape[] = {plus_int(b, floor_of(b, length, 2), 1), bands};
    Value *low = to_mel(b, in(n, 3)), *high = to_mel(b, in(n, 4));
    Value *step = build_map2(b, OP_DIV, build_map2(b, OP_SUB, high, low), dim_value(b, DLVK_F32, corners));
    Value *mel = build_map2(b, OP_ADD, build_map2(b, OP_MUL, build_iota(b, DLVK_F32, 1, &corners, 0), step), low);
    Value *hertz = build_map2s(b, OP_MUL, build_map1(b, OP_EXPM1, build_map2s(b, OP_MUL, mel, M_LN10 / 2595)), 700);
    Value *rate = build_cast(b, in(n, 2), DLVK_F32);
    Value *bin = build_map1(
        b, OP_FLOOR, build_map2(b, OP_DIV, build_map2(b, OP_MUL, hertz, dim_value(b, DLVK_F32, plus_int(b, length, 1))), rate));
    Value *corner[3], *j = build_iota(b, DLVK_F32, 2, shape, 0), *zero = build_scalar(b, DLVK_F32, 0),
                      *one = build_scalar(b, DLVK_F32, 1);
    for (int i = 0; i < 3; i++) corner[i] = build_slice_axis(b, bin, 0, dim_of_int(b, i), bands);
    Value *rise = build_map2(b, OP_SUB, corner[1], corner[0]), *fall = build_map2(b, OP_SUB, corner[2], corner[1]);
    Value *up = build_map2(b, OP_DIV, build_map2(b, OP_SUB, j, corner[0]), build_map2(b, OP_MAX, rise, one));
    up = build_map3(b, OP_SELECT, build_map2s(b, OP_EQ, rise, 0), one, up);
    Value *down = build_map2(b, OP_DIV, build_map2(b, OP_SUB, corner[2], j), build_map2(b, OP_MAX, fall, one));
    Value *on_rise = build_map2(b, OP_AND, build_map2(b, OP_GE, j, corner[0]), build_map2(b, OP_LE, j, corner[1]));
    Value *on_fall = build_map2(b, OP_AND, build_map2(b, OP_GE, j, corner[1]), build_map2(b, OP_LT, j, corner[2]));
    Value *y = build_map3(b, OP_SELECT, on_fall, down, build_map3(b, OP_SELECT, on_rise, up, zero));
    n->out[0] = build_cast(b, y, t);
}
