/* Compositions of primitives that the ONNX importer and the public graph builder share: pooling, transposed convolution,
 * normalization, attention, losses. Like ir/build.h they return NULL after an error and pass a NULL operand on in silence. */
#ifndef DLVK_FRONTEND_COMPOSE_H
#define DLVK_FRONTEND_COMPOSE_H

#include "ir/build.h"

/* Dimension arithmetic with less ink. */
static inline const Dim *dim_of_int(Build *b, int64_t v)
{
    return dim_const(&b->ctx->dims, v);
}
static inline const Dim *plus(Build *b, const Dim *x, const Dim *y)
{
    return dim_add(&b->ctx->dims, x, y);
}
static inline const Dim *minus(Build *b, const Dim *x, const Dim *y)
{
    return dim_sub(&b->ctx->dims, x, y);
}
static inline const Dim *times(Build *b, const Dim *x, const Dim *y)
{
    return dim_mul(&b->ctx->dims, x, y);
}
static inline const Dim *times_int(Build *b, const Dim *x, int64_t y)
{
    return times(b, x, dim_of_int(b, y));
}
static inline const Dim *plus_int(Build *b, const Dim *x, int64_t y)
{
    return plus(b, x, dim_of_int(b, y));
}
static inline const Dim *floor_of(Build *b, const Dim *x, int64_t y)
{
    return dim_floordiv(&b->ctx->dims, x, dim_of_int(b, y));
}
static inline const Dim *ceil_of(Build *b, const Dim *x, int64_t y)
{
    return dim_ceildiv(&b->ctx->dims, x, dim_of_int(b, y));
}
static inline const Dim *at_least_0(Build *b, const Dim *x)
{
    return dim_max(&b->ctx->dims, x, dim_of_int(b, 0));
}
const Dim *dim_product(Build *b, int n, const Dim *const *d);

/* axes = first, first+1, ..., rank-1; returns their number. */
int axes_from(int first, int rank, int *axes);

/* A vector [c] as [1,...,c,...,1] of the given rank, c standing at `axis`. Values of other ranks pass unchanged. */
Value *compose_along(Build *b, Value *v, int rank, int axis);
/* x * scale + bias, both vectors along `axis`; either may be NULL. */
Value *compose_affine(Build *b, Value *x, Value *scale, Value *bias, int axis);
/* The indices 0.. along `axis` of x's shape, of type t: [1,...,n,...,1]. */
Value *compose_index(Build *b, Value *x, int axis, DType t);
/* x[..., i, ...] for a scalar index: the axis goes away. */
Value *compose_at(Build *b, Value *x, Value *index, int axis);
/* Value swapped to f32 if it is of a narrower float type, else unchanged. */
Value *compose_widen(Build *b, Value *x);

/* A sliding window over the last n axes. Sizes of the result: (in + lo + hi - dilation * (window-1) - 1) / step + 1, rounded
 * down, or up with ceil_mode (a window must then still start within the operand or its leading padding). */
typedef struct PoolSpec {
    int n;
    int64_t window[DLVK_MAX_RANK], step[DLVK_MAX_RANK], dilation[DLVK_MAX_RANK];
    const Dim *lo[DLVK_MAX_RANK], *hi[DLVK_MAX_RANK];
    bool ceil_mode;
} PoolSpec;
Value *compose_pool(Build *b, Kind k, Value *x, const PoolSpec *s);
Value *compose_arg_pool(Build *b, Kind k, Value *x, const PoolSpec *s); /* flat indices into x, i64 */
/* count_padding: divide by the number of a window's elements that lie in the operand or its padding, which is its size save where
 * ceil_mode lets it reach beyond; otherwise by the number of those that lie in the operand. */
Value *compose_average_pool(Build *b, Value *x, const PoolSpec *s, bool count_padding);

/* Transposed convolution: x [n,ci,s...], w [ci,co/group,k...], lo and hi crop the full result
 * (in-1)*step + dilation*(k-1) + 1. Only step, dilation, lo, hi and group of the spec are read. */
Value *compose_conv_transpose(Build *b, Value *x, Value *w, const ConvSpec *s);

/* log(1 + e^x), exact at both ends, with its slope of 1/2 at 0. */
Value *compose_softplus(Build *b, Value *x);
/* Its small part, log(1 + e^-|x|); *above: the other one, max(x, 0). Slopes at 0 are right for the sum only. */
Value *compose_softplus_parts(Build *b, Value *x, Value **above);

/* x * Phi(x), by erf or by the tanh approximation of Hendrycks and Gimpel (arXiv:1606.08415). */
Value *compose_gelu(Build *b, Value *x, bool by_tanh);

/* (x - mean) / sqrt(var + epsilon) over the axes, computed in at least 32 bits if `wide`; mean and inv_std may be NULL. */
Value *compose_normalize(Build *b, Value *x, int n, const int *axes, double epsilon, bool wide, Value **mean, Value **inv_std);
/* Layer norm over axes axis..rank-1, then * scale + bias (either may be NULL), broadcast as numpy does. */
Value *compose_layer_norm(Build *b, Value *x, Value *scale, Value *bias, int axis, double epsilon);
/* x [n,c,...] in `groups` groups of channels; scale and bias [c] or NULL. */
Value *compose_group_norm(Build *b, Value *x, Value *scale, Value *bias, int64_t groups, double epsilon, bool wide);
/* Inference: channels on axis 1. */
Value *compose_batch_norm(Build *b, Value *x, Value *scale, Value *bias, Value *mean, Value *var, double epsilon, int axis);
/* The same, channels on axis 1, scale and bias given, as a call that passes can still tell: "batch_norm" of x, scale, bias, mean,
 * var and epsilon (a scalar constant of x's type, of f32 at least). */
Value *compose_batch_norm_call(Build *b, Value *x, Value *scale, Value *bias, Value *mean, Value *var, double epsilon);
/* Mean and population variance over all axes but 1 (or only over axis 0 with per_activation), shaped like `like`. */
void compose_batch_statistics(Build *b, Value *x, bool per_activation, Value *like, Value **mean, Value **var);
/* x / sqrt(mean(x^2) + epsilon) over axes axis.., times scale (or NULL), whose type the result has then. */
Value *compose_rms_norm(Build *b, Value *x, Value *scale, int axis, double epsilon, bool wide);

/* softmax(q k^T * scale + mask) v with q [..., n, d], k [..., m, d], v [..., m, e]; mask: bool (true: attend), float (added), or
 * NULL. A row with nothing to attend to is zero. */
typedef struct AttentionSpec {
    double scale;
    double softcap;           /* 0: none */
    bool has_left, has_right; /* query i sees key j only if i + offset - left <= j, and j <= i + offset + right */
    int64_t left, right;      /* causal: has_right, right 0 */
    Value *offset;            /* i64, broadcasts to the scores; NULL: 0 */
    Value *mask;              /* broadcasts to the scores */
    DType softmax_type;
    int64_t keep;   /* which scores go to *scores: 0 raw, 1 after softcap, 2 after mask, 3 softmax */
    Value **scores; /* NULL: not wanted */
} AttentionSpec;
Value *compose_attention(Build *b, Value *q, Value *k, Value *v, const AttentionSpec *s);

/* -weight[t] * log_prob[n, t, ...]: log_prob [n,c,d...], target integers [n,d...], weight [c] or NULL. Elements whose target is
 * `ignore` (when has_ignore) give 0. reduction: 0 none, 1 sum, 2 mean (weighted, over the elements that count). */
enum { LOSS_NONE, LOSS_SUM, LOSS_MEAN };
Value *compose_nll_loss(Build *b, Value *log_prob, Value *target, Value *weight, bool has_ignore, int64_t ignore, int reduction);
Value *compose_loss_reduce(Build *b, Value *loss, int reduction);
/* Of floats of one shape. huber: d^2/2 for a distance d < delta, delta (d - delta/2) beyond. bce: x are logits, targets in [0,
 * 1]. kl: target * (log target - log_prob), 0 where the target is 0. */
Value *compose_mse_loss(Build *b, Value *x, Value *target, int reduction);
Value *compose_l1_loss(Build *b, Value *x, Value *target, int reduction);
Value *compose_huber_loss(Build *b, Value *x, Value *target, double delta, int reduction);
Value *compose_bce_loss(Build *b, Value *logits, Value *target, int reduction);
Value *compose_kl_loss(Build *b, Value *log_prob, Value *target, int reduction);
/* logits [n,c,d...]; target: integers [n,d...], or probabilities [n,c,d...], of which a smoothing of s moves s to all classes
 * alike. Mean: as compose_nll_loss, but over all [n,d...] for probabilities. */
typedef struct CrossEntropySpec {
    int reduction;
    bool has_ignore;
    int64_t ignore; /* integers only */
    double smoothing;
    Value *weight; /* [c] or NULL */
} CrossEntropySpec;
Value *compose_cross_entropy_loss(Build *b, Value *logits, Value *target, const CrossEntropySpec *s);

#endif
