/* What the operator files of ops_b.def share. */
#ifndef DLVK_FRONTEND_ONNX_OPS_B_H
#define DLVK_FRONTEND_ONNX_OPS_B_H

#include "frontend/compose.h"
#include "frontend/onnx/onnx.h"

/* Attributes kernel_shape, strides, dilations, pads, auto_pad, ceil_mode of the convolution and pooling operators, for the
 * trailing axes of x. kernel: the sizes where kernel_shape may be absent (a convolution's weight's dims), or NULL. */
typedef struct Spatial {
    int n;
    const Dim *kernel[DLVK_MAX_RANK];
    int64_t step[DLVK_MAX_RANK], dilation[DLVK_MAX_RANK];
    const Dim *lo[DLVK_MAX_RANK], *hi[DLVK_MAX_RANK];
    bool same, same_upper; /* auto_pad is SAME_UPPER or SAME_LOWER */
} Spatial;
bool onnx_spatial(OnnxNode *n, Value *x, const Dim *const *kernel, Spatial *s);
/* An integer attribute with one entry per spatial axis, filled with `otherwise` where absent. */
bool onnx_spatial_ints(OnnxNode *n, const char *name, int count, int64_t otherwise, int64_t *out);

/* Tensors of one type along a new first axis; NULL, with an error, for none of them, or when ranks or types differ. */
Value *onnx_stack(OnnxNode *n, int count, Value *const *x);
/* A sequence as the list of its elements. NULL, with an error that says which (`what`), when their number is not known. */
const OnnxSeq *onnx_list(OnnxNode *n, const OnnxSeq *s, const char *what);

/* Saturating quantization: round(x / scale) + zero_point in zero_point's type (t where that is NULL); of integers that stand for
 * x * x_scale, round(x * (x_scale / scale)). x_scale is NULL for real values. */
Value *onnx_requantize(OnnxNode *n, Value *x, Value *x_scale, Value *scale, Value *zero_point, DType t);
/* x - zero_point as i32; a zero point of rank 1 runs along `axis` of x. */
Value *onnx_centered(OnnxNode *n, Value *x, Value *zero_point, int axis);

/* Linear interpolation in flat data at the real positions pos[0..spatial) of an array of the given sizes that starts at flat
 * index base. base (i64) and pos broadcast against each other. Taps outside the array count as zero. combine: KIND_SUM
 * adds the weighted taps, KIND_MAX takes the greatest. */
Value *onnx_interpolate(OnnxNode *n, Value *flat, Value *base, int spatial, const Dim *const *size, Value *const *pos,
                        Kind combine);

/* [batch, seq, heads * size] as [batch, heads, seq, size], heads being an attribute; rank 4 passes. And back. */
Value *onnx_split_heads(OnnxNode *n, Value *x, const char *attribute);
Value *onnx_join_heads(OnnxNode *n, Value *x);

/* Attribute 'scale' (`none` means that it is absent), by default 1/sqrt(head size); where that size is symbolic it goes into the
 * queries [.., .., .., size] at once. */
double onnx_head_scale(OnnxNode *n, Value **q, double none);

/* A function that recurrent and fused operators apply: one of RNN's list, in any case. */
typedef struct OnnxActivation {
    const char *name;
    double alpha, beta;
} OnnxActivation;
/* With its default parameters, of which it has *params. False, with an error: there is none of this name. */
bool onnx_activation(OnnxNode *n, const char *name, OnnxActivation *f, int *params);
Value *onnx_activate(Build *b, const OnnxActivation *f, Value *x);

/* Channels that come in pairs (x1, x2) turn by the angle of their position: the first `turned` ones of x [.., .., .., size],
 * whose heads run along axis 1 or 2. cosine, sine: [batch, seq, turned / 2]. Pairs are neighbours if `pairs`, else halves. */
Value *onnx_rotate(Build *b, Value *x, Value *cosine, Value *sine, int head_axis, const Dim *turned, bool pairs);
/* Every head of keys or values [batch, heads, ..] as often as there are wanted heads for it: [h0, h0, h1, h1, ..]. */
Value *onnx_repeat_heads(OnnxNode *n, Value *x, const Dim *wanted);

/* A loop over `length` time steps. `one` replaces the n states by the next ones and returns what is collected; t is the step's
 * number (i64). Gives the collected values stacked along a new first axis; state[] becomes the last. */
typedef Value *(*TimeStep)(Build *b, void *user, Value *t, Value **state);
Value *onnx_over_time(Build *b, const Dim *length, int n, Value **state, TimeStep one, void *user);

#endif
