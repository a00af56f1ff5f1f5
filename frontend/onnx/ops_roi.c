/* Sampling at computed places: deformable convolution, regions of interest, and the selection of boxes. */
#include "frontend/onnx/ops_b.h"
#include <math.h>
#include <string.h>

static Value *dim_value(Build *b, DType t, const Dim *d)
{
    return build_dims(b, t, -1, &d);
}

/* 0, 1, ... along `axis` of an otherwise size-1 shape of the given rank. */
static Value *counter(Build *b, DType t, int rank, int axis, const Dim *size)
{
    const Dim *shape[DLVK_MAX_RANK];
    for (int i = 0; i < rank; i++) shape[i] = i == axis ? size : dim_of_int(b, 1);
    return build_iota(b, t, rank, shape, axis);
}

Value *onnx_interpolate(OnnxNode *n, Value *flat, Value *base, int spatial, const Dim *const *size, Value *const *pos,
                        Kind combine)
{
    Build *b = n->b;
    Value *tap[DLVK_MAX_RANK][2], *weight[DLVK_MAX_RANK][2], *result = NULL;
    if (!flat || !base) return NULL;
    for (int i = 0; i < spatial; i++) {
        if (!pos[i]) return NULL;
        DType t = pos[i]->type.dtype;
        Value *low = build_map1(b, OP_FLOOR, pos[i]), *part = build_map2(b, OP_SUB, pos[i], low);
        Value *end = dim_value(b, t, plus_int(b, size[i], -1)), *zero = build_scalar(b, t, 0), *one = build_scalar(b, t, 1);
        const Dim *stride = dim_product(b, spatial - 1 - i, size + i + 1);
        for (int k = 0; k < 2; k++) {
            Value *at = k ? build_map2(b, OP_ADD, low, one) : low;
            Value *inside = build_map2(b, OP_AND, build_map2(b, OP_GE, at, zero), build_map2(b, OP_LE, at, end));
            weight[i][k] = build_map3(b, OP_SELECT, inside, k ? part : build_map2(b, OP_SUB, one, part), zero);
            tap[i][k] =
                build_map2(b, OP_MUL, build_cast(b, build_clamp(b, at, zero, end), DLVK_I64), dim_value(b, DLVK_I64, stride));
        }
    }
    for (int corner = 0; corner < 1 << spatial; corner++) {
        Value *index = base, *w = NULL;
        for (int i = 0; i < spatial; i++) {
            int k = corner >> i & 1;
            index = build_map2(b, OP_ADD, index, tap[i][k]);
            w = w ? build_map2(b, OP_MUL, w, weight[i][k]) : weight[i][k];
        }
        Value *v = build_gather(b, flat, index, 0);
        if (!v || !w) return NULL;
        v = build_map2(b, OP_MUL, v, build_cast(b, w, v->type.dtype));
        result = result ? build_map2(b, combine == KIND_SUM ? OP_ADD : OP_MAX, result, v) : v;
    }
    return result;
}

static Value *flatten_all(Build *b, Value *x)
{
    const Dim *count = x ? type_count(b->ctx, x->type) : NULL;
    return x ? build_reshape(b, x, 1, &count) : NULL;
}

/* Taps are sampled into columns [n, group, ci/group * k, positions], which the weights then contract. */
void lower_deform_conv(OnnxNode *n)
{
    Build *b = n->b;
    Value *x = in(n, 0), *w = in(n, 1), *offset = in(n, 2), *mask = in(n, 4);
    Spatial s = {0};
    if (!x || !w || !offset || (w->type.rank == x->type.rank && !onnx_spatial(n, x, w->type.dim + 2, &s))) return;
    int sp = s.n, rank = 4 + sp; /* n, offset group, channel in it, tap, positions... */
    int64_t group = onnx_int(n, "group", 1), og = onnx_int(n, "offset_group", 1), kernel[DLVK_MAX_RANK], taps = 1;
    if (w->type.rank != x->type.rank || offset->type.rank != x->type.rank || rank + 1 > DLVK_MAX_RANK || og < 1 || group < 1) {
        onnx_error(n, "input, weight and offset of rank %d, %d, %d", x->type.rank, w->type.rank, offset->type.rank);
        return;
    }
    for (int i = 0; i < sp; i++) {
        if (!dim_is_const(s.kernel[i], &kernel[i]) || kernel[i] < 1 || kernel[i] > INT32_MAX) {
            onnx_error(n, "a kernel of unknown size, or of none");
            return;
        }
        taps *= kernel[i];
    }
    const Dim *const *out = offset->type.dim + 2, *batch = x->type.dim[0], *channels = x->type.dim[1];
    const Dim *shape[DLVK_MAX_RANK] = {batch, dim_of_int(b, og), dim_of_int(b, 1), dim_of_int(b, taps)};
    const Dim *oshape[DLVK_MAX_RANK] = {batch, shape[1], shape[3], dim_of_int(b, sp)};
    for (int i = 0; i < sp; i++) shape[4 + i] = oshape[4 + i] = out[i];
    Value *off = compose_widen(b, build_reshape(b, offset, rank, oshape)), *pos[DLVK_MAX_RANK];
    int64_t after = taps;
    for (int i = 0; i < sp; i++) {
        Value *o = build_slice_axis(b, off, 3, dim_of_int(b, i), dim_of_int(b, 1));
        o = build_reshape(b, o, rank, shape);
        if (!o) return;
        DType t = o->type.dtype;
        after /= kernel[i];
        Value *tap = counter(b, t, rank, 3, dim_of_int(b, taps)); /* its coordinate i: tap / after % kernel */
        tap = build_map2s(b, OP_MOD, build_map1(b, OP_FLOOR, build_map2s(b, OP_DIV, tap, (double)after)), (double)kernel[i]);
        Value *at = build_map2s(b, OP_MUL, counter(b, t, rank, 4 + i, out[i]), (double)s.step[i]);
        at = build_map2(b, OP_ADD, at, build_map2s(b, OP_MUL, tap, (double)s.dilation[i]));
        at = build_map2(b, OP_SUB, at, dim_value(b, t, s.lo[i]));
        pos[i] = build_map2(b, OP_ADD, o, at);
    }
    const Dim *area = dim_product(b, sp, x->type.dim + 2), *per = floor_of(b, channels, og);
    Value *base = build_map2(b, OP_MUL, counter(b, DLVK_I64, rank, 0, batch), dim_value(b, DLVK_I64, channels));
    base =
        build_map2(b, OP_ADD, base, build_map2(b, OP_MUL, counter(b, DLVK_I64, rank, 1, shape[1]), dim_value(b, DLVK_I64, per)));
    base = build_map2(b, OP_ADD, base, counter(b, DLVK_I64, rank, 2, per));
    base = build_map2(b, OP_MUL, base, dim_value(b, DLVK_I64, area));
    Value *col = onnx_interpolate(n, flatten_all(b, x), base, sp, x->type.dim + 2, pos, KIND_SUM);
    if (mask) col = build_map2(b, OP_MUL, col, build_reshape(b, mask, rank, shape));

    const Dim *positions = dim_product(b, sp, out), *g = dim_of_int(b, group);
    const Dim *depth = times_int(b, floor_of(b, channels, group), taps), *co = w->type.dim[0], *cog = floor_of(b, co, group);
    const Dim *cshape[] = {batch, g, depth, positions}, *wshape[] = {dim_of_int(b, 1), g, cog, depth},
              *yshape[DLVK_MAX_RANK] = {batch, co};
    for (int i = 0; i < sp; i++) yshape[2 + i] = out[i];
    Value *y = build_matmul(b, build_reshape(b, w, 4, wshape), build_reshape(b, col, 4, cshape));
    n->out[0] = compose_affine(b, build_reshape(b, y, x->type.rank, yshape), NULL, in(n, 3), 1);
}

/* Column i of a matrix, as [rows, 1, ...] of the given rank. */
static Value *column(Build *b, Value *m, int i, int rank)
{
    const Dim *shape[DLVK_MAX_RANK];
    for (int k = 0; k < rank; k++) shape[k] = k ? dim_of_int(b, 1) : m->type.dim[0];
    return build_reshape(b, build_slice_axis(b, m, 1, dim_of_int(b, i), dim_of_int(b, 1)), rank, shape);
}

/* Flat start of each region's image and each channel in it: [rois, channels, 1, ...]. */
static Value *image_base(Build *b, Value *x, Value *batch_index, int rank)
{
    Value *base = build_map2(b, OP_MUL, build_cast(b, batch_index, DLVK_I64), dim_value(b, DLVK_I64, x->type.dim[1]));
    base = build_map2(b, OP_ADD, base, counter(b, DLVK_I64, rank, 1, x->type.dim[1]));
    return build_map2(b, OP_MUL, base, dim_value(b, DLVK_I64, dim_product(b, 2, x->type.dim + 2)));
}

enum { ROI_RANK = 6 }; /* roi, channel, bin row, bin column, sample row, sample column */

/* One axis (0 rows, 1 columns) of RoiAlign: where samples are, which of them count, and how many there are a bin. */
static bool roi_samples(OnnxNode *n, Value *x, Value *rois, int axis, Value **pos, Value **counts, Value **number)
{
    Build *b = n->b;
    DType t = rois->type.dtype;
    const char *mode = onnx_word(n, "coordinate_transformation_mode", "half_pixel output_half_pixel");
    if (!mode) return NULL;
    bool shift = n->opset >= 16 && strcmp(mode, "half_pixel") == 0;
    double scale = onnx_float(n, "spatial_scale", 1), half = shift ? 0.5 : 0;
    int64_t bins = onnx_int(n, axis ? "output_width" : "output_height", 1), ratio = onnx_int(n, "sampling_ratio", 0);
    Value *start = build_map2s(b, OP_SUB, build_map2s(b, OP_MUL, column(b, rois, 1 - axis, ROI_RANK), scale), half);
    Value *end = build_map2s(b, OP_SUB, build_map2s(b, OP_MUL, column(b, rois, 3 - axis, ROI_RANK), scale), half);
    Value *size = build_map2(b, OP_SUB, end, start);
    if (!shift) size = build_map2s(b, OP_MAX, size, 1);
    Value *bin = build_map2s(b, OP_DIV, size, (double)bins);
    const Dim *grid = dim_of_int(b, ratio);
    if (ratio > 0) {
        *number = build_scalar(b, t, (double)ratio);
    } else { /* as many as the bin has pixels: each region its own number, the greatest sets the shape */
        *number = build_map1(b, OP_CEIL, bin);
        Value *most = build_map2s(b, OP_MAX, build_reduce(b, KIND_MAX, *number, 0, NULL, false), 0);
        int count;
        const Dim *const *d = build_contents(b, build_cast(b, most, DLVK_I64), &count);
        if (!d) return false;
        grid = d[0];
    }
    Value *i = counter(b, t, ROI_RANK, 4 + axis, grid);
    Value *p = build_map2(b, OP_DIV, build_map2(b, OP_MUL, build_map2s(b, OP_ADD, i, 0.5), bin), *number);
    p = build_map2(b, OP_ADD, p, build_map2(b, OP_MUL, counter(b, t, ROI_RANK, 2 + axis, dim_of_int(b, bins)), bin));
    p = build_map2(b, OP_ADD, p, start);
    Value *limit = dim_value(b, t, x->type.dim[2 + axis]);
    *counts = build_map2(b, OP_LT, i, *number);
    Value *near = build_map2(b, OP_AND, build_map2s(b, OP_GE, p, -1), build_map2(b, OP_LE, p, limit));
    /* far outside reads zero, just outside the border */
    p = build_clamp(b, p, build_scalar(b, t, 0), build_map2s(b, OP_SUB, limit, 1));
    *pos = build_map3(b, OP_SELECT, near, p, build_scalar(b, t, -2));
    return *pos && *counts && *number;
}

void lower_roi_align(OnnxNode *n)
{
    Build *b = n->b;
    Value *x = in(n, 0), *rois = compose_widen(b, in(n, 1)), *batch = in(n, 2), *pos[2], *counts[2], *number[2];
    if (!x || !rois || !batch) return;
    if (x->type.rank != 4 || rois->type.rank != 2 || batch->type.rank != 1) {
        onnx_error(n, "operands of rank %d, %d, %d", x->type.rank, rois->type.rank, batch->type.rank);
        return;
    }
    for (int i = 0; i < 2; i++)
        if (!roi_samples(n, x, rois, i, &pos[i], &counts[i], &number[i])) return;
    const char *mode = onnx_str(n, "mode", "avg");
    bool max = strcmp(mode, "max") == 0;
    if (!max && strcmp(mode, "avg") != 0) {
        onnx_error(n, "attribute 'mode' is '%s'", mode);
        return;
    }
    Value *base = image_base(b, x, compose_along(b, batch, ROI_RANK, 0), ROI_RANK);
    Value *v = onnx_interpolate(n, flatten_all(b, x), base, 2, x->type.dim + 2, pos, max ? KIND_MAX : KIND_SUM);
    if (!v) return;
    DType t = v->type.dtype;
    const int axes[] = {4, 5};
    Value *zero = build_scalar(b, t, 0);
    if (onnx_int(n, "sampling_ratio", 0) <= 0)
        v = build_map3(b, OP_SELECT, build_map2(b, OP_AND, counts[0], counts[1]), v, max ? build_scalar(b, t, -INFINITY) : zero);
    v = build_reduce(b, max ? KIND_MAX : KIND_SUM, v, 2, axes, true);
    Value *count = build_cast(b, build_map2(b, OP_MUL, number[0], number[1]), t);
    v = max ? build_map3(b, OP_SELECT, build_map2(b, OP_GT, count, zero), v, zero)
            : build_map2(b, OP_DIV, v, build_map2s(b, OP_MAX, count, 1));
    n->out[0] = build_squeeze(b, v, 2, axes);
}

/* Half away from zero, as C's round(). */
static Value *round_away(Build *b, Value *x)
{
    Value *up = build_map1(b, OP_FLOOR, build_map2s(b, OP_ADD, x, 0.5)),
          *down = build_map1(b, OP_CEIL, build_map2s(b, OP_SUB, x, 0.5));
    return build_map3(b, OP_SELECT, build_map2s(b, OP_LT, x, 0), down, up);
}

/* Pixels of each bin along one axis: bool [rois, 1, bins, pixels]. */
static Value *roi_bins(OnnxNode *n, Value *x, Value *rois, int axis, int64_t bins)
{
    Build *b = n->b;
    DType t = rois->type.dtype;
    double scale = onnx_float(n, "spatial_scale", 1);
    Value *start = round_away(b, build_map2s(b, OP_MUL, column(b, rois, 2 - axis, 4), scale));
    Value *end = round_away(b, build_map2s(b, OP_MUL, column(b, rois, 4 - axis, 4), scale));
    Value *size = build_map2s(b, OP_MAX, build_map2s(b, OP_ADD, build_map2(b, OP_SUB, end, start), 1), 1);
    Value *bin = build_map2s(b, OP_DIV, size, (double)bins), *i = counter(b, t, 4, 2, dim_of_int(b, bins));
    Value *first = build_map2(b, OP_ADD, start, build_map1(b, OP_FLOOR, build_map2(b, OP_MUL, i, bin)));
    Value *last = build_map1(b, OP_CEIL, build_map2(b, OP_MUL, build_map2s(b, OP_ADD, i, 1), bin));
    last = build_map2(b, OP_ADD, start, last);
    Value *p = counter(b, t, 4, 3, x->type.dim[2 + axis]);
    return build_map2(b, OP_AND, build_map2(b, OP_GE, p, first), build_map2(b, OP_LT, p, last));
}

void lower_max_roi_pool(OnnxNode *n)
{
    Build *b = n->b;
    Value *x = in(n, 0), *rois = compose_widen(b, in(n, 1));
    int64_t bins[2];
    if (!x || !rois || !onnx_spatial_ints(n, "pooled_shape", 2, 1, bins)) return;
    if (x->type.rank != 4 || rois->type.rank != 2) {
        onnx_error(n, "operands of rank %d and %d", x->type.rank, rois->type.rank);
        return;
    }
    Value *low = build_scalar(b, x->type.dtype, -INFINITY), *images = build_cast(b, column(b, rois, 0, 1), DLVK_I64);
    Value *v = build_gather(b, x, images, 0); /* [rois, c, h, w]; one axis after the other is moved last and pooled */
    const int swap[] = {0, 1, 3, 2}, last = 4, before = 3;
    for (int axis = 1; axis >= 0 && v; axis--) {
        Value *bin = roi_bins(n, x, rois, axis, bins[axis]);                        /* [rois, 1, bins, pixels] */
        v = build_unsqueeze(b, axis ? v : build_transpose(b, v, swap), 1, &before); /* [rois, c, other, 1, pixels] */
        int two = 2;
        v = build_map3(b, OP_SELECT, build_unsqueeze(b, bin, 1, &two), v, low);
        v = build_reduce(b, KIND_MAX, v, 1, &last, false); /* [rois, c, other, bins] */
    }
    v = build_transpose(b, v, swap);
    n->out[0] = build_map3(b, OP_SELECT, build_map2(b, OP_EQ, v, low), build_scalar(b, x->type.dtype, 0), v);
}
