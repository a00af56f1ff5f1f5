/* What operator lowerings share: indices into tensors, known values, limits of types. */
#ifndef DLVK_FRONTEND_ONNX_INDEXING_H
#define DLVK_FRONTEND_ONNX_INDEXING_H

#include "frontend/compose.h"
#include "frontend/onnx/onnx.h"

/* A dimension as a tensor of rank 0. */
static inline Value *dim_value(Build *b, DType t, const Dim *d)
{
    return build_cast(b, build_dims(b, DLVK_I64, -1, &d), t);
}
/* The least and the greatest value of an integer type. */
void int_limits(DType t, double *lo, double *hi);
/* A constant where the value can be computed now (in its own precision), then cast to t. */
Value *settle(Build *b, Value *v, DType t);
/* Integer indices as i64 with negative ones counted from the end of an axis of size d. */
Value *index_wrap(Build *b, Value *idx, const Dim *d);
/* x seen as one axis. */
Value *flat(Build *b, Value *x);
/* Flat indices into x of the elements whose coordinate on `axis` is idx, the others those of the position in idx's shape. What
 * ONNX leaves open: an index outside its axis is clamped to it, as gathers do, or with `drop` becomes -1, which scatters drop. */
Value *index_along(Build *b, Value *x, Value *idx, int axis, bool drop);
/* x[.., idx[..], ..]: one element of x for each of idx, which has x's rank; negative indices count from the end. */
Value *gather_along(Build *b, Value *x, Value *idx, int axis);
/* Row numbers for index tuples: idx [batch..., q..., k] picks in axes [batch, batch + k) of x, whose first `batch` axes idx
 * shares. The result is flat; x seen with its first batch + k axes merged has the rows. */
Value *index_tuples(Build *b, Value *x, Value *idx, int64_t batch, bool drop);
/* x with its first n axes merged. */
Value *merge_front(Build *b, Value *x, int n);
/* Weight of a tap at distance t >= 0 when resampling: Keys' cubic (https://doi.org/10.1109/TASSP.1981.1163711) of parameter a, or
 * the triangle. */
Value *resample_weight(Build *b, Value *t, bool cubic, double a);
/* Uniform in [0, 1), f32: the first numbers of numpy's RandomState(seed), as in ONNX's reference implementation. NULL when these
 * are too many for a constant, or the shape is not known, or the seed is none of RandomState's. */
Value *legacy_uniform(Build *b, double seed, int rank, const Dim *const *shape);
/* Positions of the true elements of a bool vector, i64. */
Value *compact(Build *b, Value *mask);

#endif
