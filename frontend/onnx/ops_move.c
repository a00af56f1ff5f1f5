/* Shape and movement operators. */
#include "frontend/onnx/indexing.h"
#include <string.h>

/* A shape that only the device knows: 0 copies a dim of x, -1 stands for what is left. As dims again, read back. */
static const Dim *const *resolve_on_device(OnnxNode *n, Value *x, Value *shape, bool allow_zero, int rank)
{
    Build *b = n->b;
    const Dim *dims[DLVK_MAX_RANK];
    if (rank > DLVK_MAX_RANK) {
        onnx_error(n, "rank %d is above the limit of %d", rank, DLVK_MAX_RANK);
        return NULL;
    }
    shape = build_cast(b, shape, DLVK_I64);
    for (int i = 0; i < rank; i++) dims[i] = i < x->type.rank ? x->type.dim[i] : dim_of_int(b, 1);
    if (!allow_zero)
        shape = build_map3(b, OP_SELECT, build_map2s(b, OP_EQ, shape, 0), build_dims(b, DLVK_I64, rank, dims), shape);
    Value *rest = build_map2s(b, OP_EQ, shape, -1);
    Value *known = build_map3(b, OP_SELECT, rest, build_scalar_i(b, DLVK_I64, 1), shape);
    Value *left = build_map2(b, OP_DIV, dim_value(b, DLVK_I64, type_count(b->ctx, x->type)),
                             build_reduce(b, KIND_PROD, known, 1, (int[]){0}, false));
    int count;
    return build_contents(b, build_map3(b, OP_SELECT, rest, left, shape), &count);
}

static const Dim *const *shape_contents(OnnxNode *n, Value *x, Value *shape, bool *allow_zero, int *rank)
{
    int64_t count;
    if (shape->elems || shape->type.rank != 1 || !dim_is_const(shape->type.dim[0], &count) || count == 0 ||
        build_known(n->b, shape))
        return build_contents_range(n->b, shape, -1, INT32_MAX, rank);
    *rank = (int)count;
    const Dim *const *want = resolve_on_device(n, x, shape, *allow_zero, *rank);
    *allow_zero = true;
    return want;
}

static void reshape(OnnxNode *n, Value *x, const Dim *const *want, int rank, bool allow_zero)
{
    Build *b = n->b;
    const Dim *shape[DLVK_MAX_RANK];
    int rest = -1;
    if (rank > DLVK_MAX_RANK) {
        onnx_error(n, "rank %d is above the limit of %d", rank, DLVK_MAX_RANK);
        return;
    }
    for (int i = 0; i < rank; i++) {
        shape[i] = want[i];
        if (dim_is(want[i], 0) && !allow_zero && i < x->type.rank) shape[i] = x->type.dim[i];
        if (!dim_is(want[i], -1)) continue;
        if (rest >= 0) {
            onnx_error(n, "the shape holds more than one -1");
            return;
        }
        rest = i;
        shape[i] = dim_of_int(b, 1);
    }
    if (rest >= 0) shape[rest] = dim_floordiv(&b->ctx->dims, type_count(b->ctx, x->type), dim_product(b, rank, shape));
    n->out[0] = build_reshape(b, x, rank, shape);
}

void lower_reshape(OnnxNode *n)
{
    Value *x = in(n, 0);
    bool allow_zero = onnx_int(n, "allowzero", 0) != 0;
    int rank;
    const Dim *const *want;
    if (n->opset < 5) {
        const int64_t *s = onnx_ints(n, "shape", &rank);
        const Dim **d = POOL_ARRAY(n->b->ctx->pool, const Dim *, rank);
        for (int i = 0; i < rank; i++) d[i] = dim_of_int(n->b, s[i]);
        want = d;
    } else {
        want = in(n, 1) ? shape_contents(n, x, in(n, 1), &allow_zero, &rank) : NULL;
    }
    if (want) reshape(n, x, want, rank, allow_zero);
}

void lower_flatten(OnnxNode *n)
{
    Value *x = in(n, 0);
    int64_t axis = onnx_int(n, "axis", 1);
    if (axis < -x->type.rank || axis > x->type.rank) {
        onnx_error(n, "axis %lld is out of range for rank %d", (long long)axis, x->type.rank);
        return;
    }
    n->out[0] = build_flatten(n->b, x, (int)(axis < 0 ? axis + x->type.rank : axis));
}

void lower_squeeze(OnnxNode *n)
{
    int count;
    const int *axes = onnx_axes(n, "axes", 1, in(n, 0)->type.rank, &count);
    if (count == 0 && (onnx_has(n, "axes") || in(n, 1)))
        n->out[0] = in(n, 0);
    else
        n->out[0] = build_squeeze(n->b, in(n, 0), count < 0 ? 0 : count, axes);
}

void lower_unsqueeze(OnnxNode *n)
{
    int count;
    onnx_ints(n, "axes", &count);
    if (in(n, 1)) {
        int64_t many = 1;
        if (in(n, 1)->type.rank == 1 && !dim_is_const(in(n, 1)->type.dim[0], &many)) many = -1;
        count = many <= DLVK_MAX_RANK ? (int)many : DLVK_MAX_RANK + 1; /* too many, as onnx_axes will say */
    }
    const int *axes = count < 0 ? NULL : onnx_axes(n, "axes", 1, in(n, 0)->type.rank + count, &count);
    if (axes) n->out[0] = build_unsqueeze(n->b, in(n, 0), count, axes);
}

void lower_transpose(OnnxNode *n)
{
    Value *x = in(n, 0);
    int count, perm[DLVK_MAX_RANK];
    const int64_t *p = onnx_ints(n, "perm", &count);
    if (p && count != x->type.rank) {
        onnx_error(n, "attribute 'perm' has %d axes for rank %d", count, x->type.rank);
        return;
    }
    for (int i = 0; i < x->type.rank; i++) perm[i] = p ? onnx_axis(n, p[i], x->type.rank) : x->type.rank - 1 - i;
    n->out[0] = build_transpose(n->b, x, perm);
}

void lower_concat(OnnxNode *n)
{
    if (n->opset >= 4 && !onnx_needs(n, "axis")) return;
    int axis = onnx_axis(n, onnx_int(n, "axis", 1), in(n, 0)->type.rank);
    n->out[0] = build_concat(n->b, n->n_in, n->in, axis);
}

/* Sizes from the attribute, the input, or equal parts; with num_outputs the last may be smaller. */
void lower_split(OnnxNode *n)
{
    Build *b = n->b;
    Value *x = in(n, 0);
    int axis = onnx_axis(n, onnx_int(n, "axis", 0), x->type.rank), count = 0;
    const Dim *d = x->type.rank ? x->type.dim[axis] : NULL, *at = dim_of_int(b, 0);
    const int64_t *ints = onnx_ints(n, "split", &count);
    const Dim *const *sizes = !ints && in(n, 1) ? onnx_dims(n, 1, &count) : NULL;
    if (!d || ((ints || in(n, 1)) && (ints || sizes) && count != n->n_out)) {
        onnx_error(n, "%d sizes for %d outputs", count, n->n_out);
        return;
    }
    if (!ints && !sizes && in(n, 1)) return;
    if (n->opset >= 18 && onnx_int(n, "num_outputs", n->n_out) != n->n_out) {
        onnx_error(n, "attribute 'num_outputs' is %lld, and there are %d", (long long)onnx_int(n, "num_outputs", 0), n->n_out);
        return;
    }
    const Dim *chunk = ceil_of(b, d, n->n_out);
    for (int i = 0; i < n->n_out; i++) {
        const Dim *rest = minus(b, d, at), *size = chunk;
        if (ints)
            size = dim_of_int(b, ints[i]);
        else if (sizes)
            size = sizes[i];
        else if (i == n->n_out - 1)
            size = rest;
        else if (dim_is_const(d, NULL))
            size = dim_min(&b->ctx->dims, chunk, at_least_0(b, rest));
        n->out[i] = build_slice_axis(b, x, axis, at, size);
        at = plus(b, at, size);
    }
    if (ints || sizes) ctx_constrain(b->ctx, DIM_EQ, at, d);
}

/* A position from a Slice: negative counts from the end; clamped to [lo, hi]. */
static const Dim *slice_bound(Build *b, const Dim *v, const Dim *d, int64_t lo, const Dim *hi)
{
    DimTable *t = &b->ctx->dims;
    enum { HUGE_BITS = 40 };
    const Dim *huge = dim_const(t, (int64_t)1 << HUGE_BITS);
    int64_t c, low, high;
    if (dim_is_const(v, &c)) {
        if (c > (int64_t)INT32_MAX) return hi;
        if (c < (int64_t)INT32_MIN) return dim_const(t, lo);
    }
    dim_range(v, &low, &high);
    if (low < 0 && high >= 0) { /* the sign is not known: floor(v / huge) is -1 for a negative v and 0 otherwise */
        v = dim_max(t, dim_neg(t, huge), dim_min(t, v, dim_sub(t, huge, dim_const(t, 1))));
        v = dim_sub(t, v, dim_mul(t, d, dim_floordiv(t, v, huge)));
    } else if (high < 0) {
        v = dim_add(t, v, d);
    }
    return dim_max(t, dim_min(t, v, hi), dim_const(t, lo));
}

/* One axis sliced. Steps below zero: reversed first, so that position i becomes d - 1 - i. */
static Value *slice_axis(Build *b, Value *x, int axis, const Dim *start, const Dim *end, int64_t step)
{
    DimTable *t = &b->ctx->dims;
    const Dim *d = x->type.dim[axis], *last = plus_int(b, d, -1);
    if (step < 0) {
        start = dim_sub(t, last, slice_bound(b, start, d, 0, last));
        end = dim_sub(t, last, slice_bound(b, end, d, -1, last));
        step = -step;
        if (!dim_is(d, 0)) start = at_least_0(b, start);
        x = build_reverse(b, x, 1, &axis);
    } else {
        start = slice_bound(b, start, d, 0, d);
        end = slice_bound(b, end, d, 0, d);
    }
    const Dim *size = at_least_0(b, ceil_of(b, minus(b, end, start), step));
    if (!x || (dim_is(start, 0) && size == d && step == 1)) return x;
    const Dim *starts[DLVK_MAX_RANK], *sizes[DLVK_MAX_RANK];
    int64_t steps[DLVK_MAX_RANK];
    for (int i = 0; i < x->type.rank; i++) {
        starts[i] = i == axis ? start : dim_const(t, 0);
        sizes[i] = i == axis ? size : x->type.dim[i];
        steps[i] = i == axis ? step : 1;
    }
    return build_slice(b, x, starts, sizes, steps);
}

void lower_slice(OnnxNode *n)
{
    Build *b = n->b;
    Value *x = in(n, 0);
    int rank = x->type.rank, n_starts, n_ends, n_axes, n_steps = -1;
    const Dim *const *starts, *const *ends;
    const int64_t *steps = NULL;
    if (n->opset < 10) {
        const int64_t *s = onnx_ints(n, "starts", &n_starts), *e = onnx_ints(n, "ends", &n_ends);
        const Dim **d = POOL_ARRAY(b->ctx->pool, const Dim *, n_starts + n_ends);
        for (int i = 0; i < n_starts; i++) d[i] = dim_of_int(b, s[i]);
        for (int i = 0; i < n_ends; i++) d[n_starts + i] = dim_of_int(b, e[i]);
        starts = d;
        ends = d + n_starts;
    } else {
        starts = onnx_signed_dims(n, 1, INT64_MIN, &n_starts);
        ends = onnx_signed_dims(n, 2, INT64_MIN, &n_ends);
        if (in(n, 4) && !onnx_known_ints(n, in(n, 4), "steps", &n_steps, &steps)) return;
    }
    const int *axes = onnx_axes(n, "axes", n->opset < 10 ? -1 : 3, rank, &n_axes);
    if (!starts || !ends || (n_axes == 0 && n_starts > 0)) return;
    if (n_starts != n_ends || (axes && n_axes != n_starts) || (!axes && n_starts > rank) || (steps && n_steps != n_starts)) {
        onnx_error(n, "starts, ends, axes and steps differ in length");
        return;
    }
    for (int i = 0; i < n_starts; i++) {
        if (steps && steps[i] == 0) {
            onnx_error(n, "a step of 0");
            return;
        }
        if (x) x = slice_axis(b, x, axes ? axes[i] : i, starts[i], ends[i], steps ? steps[i] : 1);
    }
    n->out[0] = x;
}

void lower_expand(OnnxNode *n)
{
    Value *x = in(n, 0);
    int rank;
    const Dim *const *want = onnx_dims(n, 1, &rank), *shape[DLVK_MAX_RANK];
    if (!want) return;
    if (rank > DLVK_MAX_RANK) {
        onnx_error(n, "rank %d is above the limit of %d", rank, DLVK_MAX_RANK);
        return;
    }
    for (int i = 0; i < rank; i++) { /* sizes that only the device knows */
        int k = i - rank + x->type.rank;
        shape[i] = want[i];
        if (!x || k < 0 || !dim_has_data_symbol(want[i]) || dim_is(x->type.dim[k], 1)) continue;
        if (dim_is_const(x->type.dim[k], NULL)) { /* that of x, or 1, for want of another choice */
            shape[i] = x->type.dim[k];
        } else { /* x may have 1 there and be repeated: a gather clamps its indices */
            shape[i] = dim_max(&n->b->ctx->dims, x->type.dim[k], want[i]);
            x = build_gather(n->b, x, build_iota(n->b, DLVK_I64, 1, &shape[i], 0), k);
        }
    }
    n->out[0] = build_broadcast(n->b, x, rank, shape);
}

/* Axes that repeat are split in two, [1, d], the first of them broadcast, and merged again. */
static Value *tile(Build *b, Value *x, const Dim *const *repeats)
{
    for (int axis = 0; x && axis < x->type.rank; axis++) {
        if (dim_is(repeats[axis], 1)) continue;
        const Dim *shape[DLVK_MAX_RANK];
        int rank = x->type.rank;
        memcpy(shape, x->type.dim, (size_t)rank * sizeof *shape);
        shape[axis] = times(b, shape[axis], repeats[axis]);
        const Dim *split[] = {dim_product(b, axis, x->type.dim), repeats[axis], x->type.dim[axis],
                              dim_product(b, rank - axis - 1, x->type.dim + axis + 1)};
        const Dim *one[] = {split[0], dim_of_int(b, 1), split[2], split[3]};
        x = build_reshape(b, build_broadcast(b, build_reshape(b, x, 4, one), 4, split), rank, shape);
    }
    return x;
}

void lower_tile(OnnxNode *n)
{
    Build *b = n->b;
    Value *x = in(n, 0);
    int count, rank = x->type.rank;
    const Dim *repeats[DLVK_MAX_RANK];
    if (n->opset < 6) { /* tiles and axis, both scalars */
        const int64_t *axis;
        int n_axis;
        const Dim *const *tiles =
            build_contents(b, build_cast(b, in(n, 1), DLVK_I64), &count); /* of the data's type, reals too */
        if (!tiles || !onnx_known_ints(n, build_cast(b, in(n, 2), DLVK_I64), "axis", &n_axis, &axis) || n_axis != 1) return;
        int a = onnx_axis(n, *axis, rank);
        for (int i = 0; i < rank; i++) repeats[i] = i == a ? tiles[0] : dim_of_int(b, 1);
        n->out[0] = tile(b, x, repeats);
        return;
    }
    const Dim *const *d = onnx_dims(n, 1, &count);
    if (d && count != rank) onnx_error(n, "%d repeats for rank %d", count, rank);
    if (d && count == rank) n->out[0] = tile(b, x, d);
}

/* Padding by indices: where each element of the padded axis comes from. */
static Value *pad_by_index(Build *b, Value *x, int axis, const Dim *lo, const Dim *hi, char mode)
{
    const Dim *d = x->type.dim[axis], *size = plus(b, d, plus(b, lo, hi));
    if (size == d && dim_is(lo, 0)) return x;
    Value *i = build_iota(b, DLVK_I64, 1, &size, 0), *n = dim_value(b, DLVK_I64, d), *zero = build_scalar_i(b, DLVK_I64, 0);
    Value *last = dim_value(b, DLVK_I64, plus_int(b, d, -1));
    i = build_map2(b, OP_SUB, i, dim_value(b, DLVK_I64, lo));
    if (mode == 'w') {
        i = build_map2(b, OP_MOD, i, n);
    } else if (mode == 'e') {
        i = build_clamp(b, i, zero, last);
    } else { /* reflect: a wave of period 2 (d - 1), all zero when d is 1 */
        Value *period = build_map2s(b, OP_MUL, last, 2);
        i = build_map2(b, OP_MOD, i, period);
        i = build_map2(b, OP_MIN, i, build_map2(b, OP_SUB, period, i));
    }
    return build_gather(b, x, i, axis);
}

void lower_pad(OnnxNode *n)
{
    Build *b = n->b;
    Value *x = in(n, 0), *value = in(n, 2);
    int rank = x->type.rank, count, n_axes = -1;
    const Dim *const *pads, *lo[DLVK_MAX_RANK], *hi[DLVK_MAX_RANK];
    const int *axes = NULL;
    if (n->opset < 11) {
        const int64_t *p = onnx_ints(n, n->opset < 2 ? "paddings" : "pads", &count);
        const Dim **d = POOL_ARRAY(b->ctx->pool, const Dim *, count);
        for (int i = 0; i < count; i++) d[i] = dim_of_int(b, p[i]);
        pads = d;
        value = build_scalar(b, x->type.dtype, onnx_float(n, "value", 0));
    } else {
        pads = onnx_signed_dims(n, 1, INT32_MIN, &count);
        if (in(n, 3)) axes = onnx_axes(n, "axes", 3, rank, &n_axes);
        if (in(n, 3) && !axes) return;
    }
    if (!pads) return;
    if (count != 2 * (axes ? n_axes : rank)) {
        onnx_error(n, "%d pads for %d axes", count, axes ? n_axes : rank);
        return;
    }
    for (int i = 0; i < rank; i++) lo[i] = hi[i] = dim_of_int(b, 0);
    for (int i = 0; i < count / 2; i++) {
        lo[axes ? axes[i] : i] = pads[i];
        hi[axes ? axes[i] : i] = pads[i + count / 2];
    }
    const char *mode = onnx_str(n, "mode", "constant");
    if (strcmp(mode, "constant") == 0) {
        if (!value) value = build_scalar(b, x->type.dtype, 0);
        if (value && value->type.rank) value = build_reshape(b, value, 0, NULL);
        n->out[0] = build_pad(b, x, lo, hi, value);
        return;
    }
    if (strcmp(mode, "reflect") != 0 && strcmp(mode, "edge") != 0 && strcmp(mode, "wrap") != 0) {
        onnx_error(n, "attribute 'mode' is '%s', which is not supported", mode);
        return;
    }
    for (int i = 0; x && i < rank; i++) x = pad_by_index(b, x, i, lo[i], hi[i], *mode);
    n->out[0] = x;
}

void lower_trilu(OnnxNode *n)
{
    Build *b = n->b;
    Value *x = in(n, 0), *k = in(n, 1) ? build_cast(b, in(n, 1), DLVK_I64) : build_scalar_i(b, DLVK_I64, 0);
    int rank = x->type.rank;
    if (rank < 2) {
        onnx_error(n, "the input has rank %d, below 2", rank);
        return;
    }
    Value *row = compose_index(b, x, rank - 2, DLVK_I64), *column = compose_index(b, x, rank - 1, DLVK_I64);
    if (k && k->type.rank) k = build_reshape(b, k, 0, NULL);
    Value *keep = build_map2(b, onnx_int(n, "upper", 1) ? OP_GE : OP_LE, build_map2(b, OP_SUB, column, row), k);
    n->out[0] = build_map3(b, OP_SELECT, keep, x, build_scalar_i(b, x->type.dtype, 0));
}

/* Cropped or padded around the middle of each axis; odd differences leave the larger part behind. */
void lower_center_crop_pad(OnnxNode *n)
{
    Build *b = n->b;
    DimTable *t = &b->ctx->dims;
    Value *x = in(n, 0);
    int count, n_axes;
    const Dim *const *want = onnx_dims(n, 1, &count);
    const int *axes = onnx_axes(n, "axes", -1, x->type.rank, &n_axes);
    if (!want) return;
    if (count != (axes ? n_axes : x->type.rank)) {
        onnx_error(n, "%d sizes for %d axes", count, axes ? n_axes : x->type.rank);
        return;
    }
    const Dim *lo[DLVK_MAX_RANK], *hi[DLVK_MAX_RANK];
    for (int i = 0; i < x->type.rank; i++) lo[i] = hi[i] = dim_of_int(b, 0);
    Value *y = x;
    for (int i = 0; i < count; i++) {
        int a = axes ? axes[i] : i;
        const Dim *d = x->type.dim[a], *size = dim_min(t, d, want[i]);
        y = build_slice_axis(b, y, a, floor_of(b, minus(b, d, size), 2), size);
        lo[a] = floor_of(b, minus(b, want[i], size), 2);
        hi[a] = minus(b, minus(b, want[i], size), lo[a]);
    }
    n->out[0] = build_pad(b, y, lo, hi, build_scalar(b, x->type.dtype, 0));
}
