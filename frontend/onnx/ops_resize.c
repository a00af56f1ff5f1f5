/* Resize and Upsample, axis by axis: a result is a weighted sum of a few taps around a real coordinate, each a gather along
 * the axis. Where sizes and scales are known the coordinates are computed here, in double precision; otherwise on the
 * device, in single. */
#include "frontend/onnx/indexing.h"
#include <math.h>
#include <string.h>

enum { MAX_TAPS = 64 };

typedef struct Resize {
    const char *mode, *coordinates, *nearest;
    double cubic_a, extrapolation;
    bool antialias, exclude_outside;
} Resize;

/* One axis: `out` elements, `scale` times as many as before; known_scale is NAN where only the device knows it. */
typedef struct ResizeAxis {
    int axis;
    const Dim *out;
    Value *scale, *roi_start, *roi_end; /* of the type of the coordinates */
    double known_scale;
} ResizeAxis;

/* Where each of the results lies in the operand. */
static Value *coordinates_of(OnnxNode *n, const Resize *r, const ResizeAxis *a, const Dim *in_dim)
{
    Build *b = n->b;
    DType u = a->scale->type.dtype;
    const char *how = r->coordinates;
    Value *i = build_iota(b, u, 1, &a->out, 0), *in_size = dim_value(b, u, in_dim);
    Value *last = build_map2s(b, OP_SUB, in_size, 1);
    Value *size = build_map2(b, OP_MUL, a->scale, in_size), *size_less_1 = build_map2s(b, OP_SUB, size, 1);
    Value *is_one = build_map2s(b, OP_EQ, size, 1), *one = build_scalar(b, u, 1);
    size_less_1 = build_map3(b, OP_SELECT, is_one, one, size_less_1); /* not 0 */
    Value *half = build_map2s(b, OP_SUB, build_map2(b, OP_DIV, build_map2s(b, OP_ADD, i, 0.5), a->scale), 0.5);
    if (strcmp(how, "half_pixel") == 0) return half;
    if (strcmp(how, "tf_half_pixel_for_nn") == 0) /* opsets 11 and 12; axes that keep their size stay as they are */
        return build_map3(b, OP_SELECT, build_map2s(b, OP_EQ, a->scale, 1), i, build_map2s(b, OP_ADD, half, 0.5));
    if (strcmp(how, "asymmetric") == 0) return build_map2(b, OP_DIV, i, a->scale);
    if (strcmp(how, "pytorch_half_pixel") == 0) return build_map3(b, OP_SELECT, is_one, build_scalar(b, u, -0.5), half);
    if (strcmp(how, "half_pixel_symmetric") == 0) { /* from the middle, which is exact, outwards */
        Value *off = build_map2(b, OP_SUB, build_map2s(b, OP_ADD, i, 0.5), build_map2s(b, OP_MUL, dim_value(b, u, a->out), 0.5));
        return build_map2(b, OP_ADD, build_map2(b, OP_DIV, off, a->scale), build_map2s(b, OP_MUL, last, 0.5));
    }
    if (strcmp(how, "align_corners") == 0) {
        Value *x = build_map2(b, OP_DIV, build_map2(b, OP_MUL, i, last), size_less_1);
        return build_map3(b, OP_SELECT, is_one, build_scalar(b, u, 0), x);
    }
    if (strcmp(how, "tf_crop_and_resize") == 0) {
        if (!a->roi_start) {
            onnx_error(n, "input 'roi' is needed with tf_crop_and_resize");
            return NULL;
        }
        Value *span = build_map2(b, OP_MUL, build_map2(b, OP_SUB, a->roi_end, a->roi_start), last);
        Value *x = build_map2(b, OP_DIV, build_map2(b, OP_MUL, i, span), size_less_1);
        x = build_map3(b, OP_SELECT, is_one, build_map2s(b, OP_MUL, span, 0.5), x);
        return build_map2(b, OP_ADD, x, build_map2(b, OP_MUL, a->roi_start, last));
    }
    onnx_error(n, "attribute 'coordinate_transformation_mode' is '%s', which is not supported", how);
    return NULL;
}

static Value *resize_nearest(OnnxNode *n, const Resize *r, const ResizeAxis *a, Value *x, Value *at)
{
    Build *b = n->b;
    const char *how = r->nearest;
    if (strcmp(how, "simple") == 0) /* before opset 11: downwards where it grows, upwards where it shrinks */
        at =
            build_map3(b, OP_SELECT, build_map2s(b, OP_LT, a->scale, 1), build_map1(b, OP_CEIL, at), build_map1(b, OP_FLOOR, at));
    else if (strcmp(how, "round_prefer_floor") == 0)
        at = build_map1(b, OP_CEIL, build_map2s(b, OP_SUB, at, 0.5));
    else if (strcmp(how, "round_prefer_ceil") == 0)
        at = build_map1(b, OP_FLOOR, build_map2s(b, OP_ADD, at, 0.5));
    else if (strcmp(how, "floor") == 0 || strcmp(how, "ceil") == 0)
        at = build_map1(b, *how == 'f' ? OP_FLOOR : OP_CEIL, at);
    else
        onnx_error(n, "attribute 'nearest_mode' is '%s', which is not supported", how);
    return build_gather(b, x, settle(b, at, DLVK_I64), a->axis); /* a gather clamps its indices */
}

/* With antialiasing, where the taps are many or their number is known at run time alone: they get an axis of their own. */
static Value *resize_wide(OnnxNode *n, const Resize *r, const ResizeAxis *a, Value *x, Value *at)
{
    Build *b = n->b;
    bool cubic = strcmp(r->mode, "cubic") == 0;
    DType u = a->scale->type.dtype;
    int reach = cubic ? 2 : 1, second = 1, along = a->axis + 1;
    const Dim *size = x->type.dim[a->axis], *least = dim_of_int(b, reach), *one = dim_of_int(b, 1);
    const Dim *half = dim_ceildiv(&b->ctx->dims, times_int(b, size, reach), dim_max(&b->ctx->dims, a->out, one));
    half = plus_int(b, dim_max(&b->ctx->dims, half, least), 1);
    const Dim *shape[] = {a->out, times_int(b, half, 2)};
    Value *shrink = build_map2(b, OP_MIN, a->scale, build_scalar(b, u, 1)), *zero = build_scalar(b, u, 0);
    Value *tap = build_map2(b, OP_SUB, build_iota(b, u, 2, shape, 1), dim_value(b, u, half));
    Value *center = build_unsqueeze(b, at, 1, &second);
    Value *index = build_map2(b, OP_ADD, build_map1(b, OP_FLOOR, center), tap);
    Value *distance = build_map1(b, OP_ABS, build_map2(b, OP_SUB, center, index));
    Value *weight = resample_weight(b, build_map2(b, OP_MUL, distance, shrink), cubic, r->cubic_a);
    if (r->exclude_outside) {
        Value *last = dim_value(b, u, plus_int(b, size, -1));
        Value *inside = build_map2(b, OP_AND, build_map2(b, OP_GE, index, zero), build_map2(b, OP_LE, index, last));
        weight = build_map3(b, OP_SELECT, inside, weight, zero);
    }
    weight = build_map2(b, OP_DIV, weight, build_reduce(b, KIND_SUM, weight, 1, &second, true));
    Value *taken = build_gather(b, x, settle(b, index, DLVK_I64), a->axis); /* [.., out, taps, ..]; a gather clamps its indices */
    if (!taken || !weight) return NULL;
    const Dim *fit[DLVK_MAX_RANK];
    for (int i = 0; i < taken->type.rank; i++) fit[i] = i == a->axis ? shape[0] : i == along ? shape[1] : one;
    weight = build_reshape(b, build_cast(b, weight, x->type.dtype), taken->type.rank, fit);
    return build_reduce(b, KIND_SUM, build_map2(b, OP_MUL, taken, weight), 1, &along, false);
}

static Value *resize_smooth(OnnxNode *n, const Resize *r, const ResizeAxis *a, Value *x, Value *at)
{
    Build *b = n->b;
    bool cubic = strcmp(r->mode, "cubic") == 0;
    double shrink = r->antialias && a->known_scale < 1 ? a->known_scale : 1; /* < 1: the kernel is stretched by its inverse */
    double reach = cubic ? 2 : 1;
    if (r->antialias && !(reach / shrink < MAX_TAPS / 2 && a->known_scale > 0)) return resize_wide(n, r, a, x, at);
    int first = (int)floor(-reach / shrink) + 1, taps = 2 - 2 * first;
    DType u = a->scale->type.dtype;
    Value *base = build_map1(b, OP_FLOOR, at), *ratio = build_map2(b, OP_SUB, at, base), *zero = build_scalar(b, u, 0);
    Value *last = dim_value(b, u, plus_int(b, x->type.dim[a->axis], -1));
    Value *weight[MAX_TAPS], *index[MAX_TAPS], *total = NULL;
    for (int k = 0; k < taps; k++) {
        /* its sign is known, and so no |x| at 0 spoils the gradient where the ratio is 0 */
        Value *tap = build_scalar(b, u, first + k);
        Value *distance = first + k > 0 ? build_map2(b, OP_SUB, tap, ratio) : build_map2(b, OP_SUB, ratio, tap);
        weight[k] = resample_weight(b, build_map2s(b, OP_MUL, distance, shrink), cubic, r->cubic_a);
        index[k] = build_map2s(b, OP_ADD, base, first + k);
        if (r->exclude_outside) {
            Value *inside = build_map2(b, OP_AND, build_map2(b, OP_GE, index[k], zero), build_map2(b, OP_LE, index[k], last));
            weight[k] = build_map3(b, OP_SELECT, inside, weight[k], zero);
        }
        total = k ? build_map2(b, OP_ADD, total, weight[k]) : weight[k];
    }
    Value *y = NULL;
    for (int k = 0; k < taps; k++) {
        if (r->exclude_outside || r->antialias) weight[k] = build_map2(b, OP_DIV, weight[k], total);
        Value *w = compose_along(b, settle(b, weight[k], x->type.dtype), x->type.rank, a->axis);
        Value *term = build_map2(b, OP_MUL, build_gather(b, x, settle(b, index[k], DLVK_I64), a->axis), w);
        y = k ? build_map2(b, OP_ADD, y, term) : term;
    }
    return y;
}

/* Whole-number magnification to the nearest: every element k times. 0: it is something else. */
static int64_t repetitions(const Resize *r, const ResizeAxis *a)
{
    if (strcmp(r->mode, "nearest") != 0 || !(a->known_scale >= 1 && a->known_scale <= 64) ||
        a->known_scale != floor(a->known_scale))
        return 0;
    bool whole = strcmp(r->coordinates, "asymmetric") == 0, half = strcmp(r->coordinates, "half_pixel") == 0;
    bool floors = strcmp(r->nearest, "floor") == 0 || strcmp(r->nearest, "simple") == 0,
         rounds = strncmp(r->nearest, "round", 5) == 0;
    return (whole && floors) || (half && rounds) ? (int64_t)a->known_scale : 0;
}

static Value *repeat(Build *b, Value *x, int axis, int64_t k)
{
    int rank = x->type.rank;
    const Dim *d = x->type.dim[axis], *one = dim_of_int(b, 1), *before = dim_product(b, axis, x->type.dim);
    const Dim *after = dim_product(b, rank - axis - 1, x->type.dim + axis + 1), *shape[DLVK_MAX_RANK];
    const Dim *split[] = {before, d, one, after}, *repeated[] = {before, d, dim_of_int(b, k), after};
    for (int i = 0; i < rank; i++) shape[i] = i == axis ? times_int(b, d, k) : x->type.dim[i];
    return build_reshape(b, build_broadcast(b, build_reshape(b, x, 4, split), 4, repeated), rank, shape);
}

static Value *resize_axis(OnnxNode *n, const Resize *r, const ResizeAxis *a, Value *x)
{
    Build *b = n->b;
    if (!x || !a->scale) return NULL;
    int64_t times = repetitions(r, a);
    if (times && times_int(b, x->type.dim[a->axis], times) == a->out) return repeat(b, x, a->axis, times);
    Value *at = coordinates_of(n, r, a, x->type.dim[a->axis]);
    bool nearest = strcmp(r->mode, "nearest") == 0;
    if (!nearest && strcmp(r->mode, "linear") != 0 && strcmp(r->mode, "cubic") != 0) {
        onnx_error(n, "attribute 'mode' is '%s', which is not supported", r->mode);
        return NULL;
    }
    const Dim *in_dim = x->type.dim[a->axis];
    Value *y = nearest ? resize_nearest(n, r, a, x, at) : resize_smooth(n, r, a, x, at);
    if (!y || strcmp(r->coordinates, "tf_crop_and_resize") != 0) return y;
    Value *last = dim_value(b, at->type.dtype, plus_int(b, in_dim, -1));
    Value *outside = build_map2(b, OP_OR, build_map2s(b, OP_LT, at, 0), build_map2(b, OP_GT, at, last));
    outside = compose_along(b, settle(b, outside, DLVK_BOOL), y->type.rank, a->axis);
    return build_map3(b, OP_SELECT, outside, build_scalar(b, y->type.dtype, r->extrapolation), y);
}

/* floor(d * scale), exactly for the scale as a binary fraction. */
static const Dim *scaled_dim(Build *b, const Dim *d, double scale)
{
    int exponent;
    int64_t mantissa = (int64_t)ldexp(frexp(scale, &exponent), 24);
    int shift = 24 - exponent;
    while (mantissa && mantissa % 2 == 0) mantissa /= 2, shift--;
    if (shift < 0) return times_int(b, d, mantissa << -shift);
    return floor_of(b, times_int(b, d, mantissa), (int64_t)1 << (shift > 62 ? 62 : shift));
}

/* scale and result size of every axis asked for, from `scales` or `sizes`; false after an error. */
static bool resize_sizes(OnnxNode *n, Value *x, Value *scales, Value *sizes, const int *axes, int count, ResizeAxis *a)
{
    Build *b = n->b;
    const Tensor *known = scales ? build_known(b, scales) : NULL;
    int n_dims = count;
    const Dim *const *dims = NULL;
    if (sizes) {
        dims = build_contents(b, sizes, &n_dims);
    } else if (scales && !known) {
        const Dim *picked[DLVK_MAX_RANK];
        for (int i = 0; i < count; i++) picked[i] = x->type.dim[axes[i]];
        /* in integers, for 5 times 2.6f is less than 13, but not in single precision */
        Value *fixed_point = build_cast(b, build_map2s(b, OP_MUL, build_cast(b, scales, DLVK_F32), 0x1p32), DLVK_I64);
        Value *size = build_map2(b, OP_MUL, build_dims(b, DLVK_I64, count, picked), fixed_point);
        dims = build_contents(b, build_map2(b, OP_SHR, size, build_scalar_i(b, DLVK_I64, 32)), &n_dims);
    }
    if ((!dims && !known) || n_dims != count || (known && known->count != count)) {
        if (dims || known || !(sizes || scales)) onnx_error(n, "scales or sizes must have one entry per axis");
        return false;
    }
    bool fixed = true; /* everything is known: coordinates in double */
    for (int i = 0; i < count; i++) {
        const Dim *d = x->type.dim[axes[i]];
        a[i].axis = axes[i];
        a[i].known_scale = known ? elem_get_f(known->dtype, known->data, known->splat ? 0 : i) : NAN;
        if (known && !(a[i].known_scale > 0 && a[i].known_scale < 0x1p31)) {
            onnx_error(n, "a scale of %g", a[i].known_scale);
            return false;
        }
        a[i].out = known ? scaled_dim(b, d, a[i].known_scale) : dims[i];
        int64_t from, to;
        if (dim_is_const(d, &from) && dim_is_const(a[i].out, &to)) {
            if (sizes) a[i].known_scale = from ? (double)to / (double)from : 1;
        } else {
            fixed = false;
        }
        if (isnan(a[i].known_scale)) fixed = false;
    }
    DType u = fixed ? DLVK_F64 : DLVK_F32;
    for (int i = 0; i < count; i++) {
        const Dim *d = x->type.dim[axes[i]];
        if (!isnan(a[i].known_scale))
            a[i].scale = build_scalar(b, u, a[i].known_scale);
        else if (sizes)
            a[i].scale = build_map2(b, OP_DIV, dim_value(b, u, a[i].out), dim_value(b, u, d));
        else
            a[i].scale = build_cast(b, compose_at(b, scales, build_scalar_i(b, DLVK_I64, i), 0), u);
    }
    return true;
}

/* One scale for all axes: the smallest or the largest of those that `sizes` asks for. */
static bool keep_aspect_ratio(OnnxNode *n, Value *x, ResizeAxis *a, int count)
{
    const char *policy = onnx_str(n, "keep_aspect_ratio_policy", "stretch");
    if (strcmp(policy, "stretch") == 0) return true;
    bool larger = strcmp(policy, "not_smaller") == 0;
    if (!larger && strcmp(policy, "not_larger") != 0) {
        onnx_error(n, "attribute 'keep_aspect_ratio_policy' is '%s', which is not supported", policy);
        return false;
    }
    Build *b = n->b;
    DimTable *table = &b->ctx->dims;
    double known = larger ? 0 : INFINITY; /* NaN as soon as one is */
    Value *scale = a[0].scale;
    const Dim *out[DLVK_MAX_RANK];
    for (int i = 0; i < count; i++) {
        double s = a[i].known_scale;
        known = isnan(s) || isnan(known) ? NAN : larger ? fmax(known, s) : fmin(known, s);
        if (i > 0) scale = build_map2(b, larger ? OP_MAX : OP_MIN, scale, a[i].scale);
        for (int k = 0; k < count; k++) { /* rounding is monotone: the extremum of the rounded sizes, floor(size * s_k + 1/2) */
            const Dim *from = x->type.dim[a[k].axis], *twice = times_int(b, times(b, a[k].out, x->type.dim[a[i].axis]), 2);
            const Dim *size = dim_floordiv(table, plus(b, twice, from), times_int(b, from, 2));
            out[i] = k == 0 ? size : larger ? dim_max(table, out[i], size) : dim_min(table, out[i], size);
        }
    }
    for (int i = 0; i < count; i++) {
        a[i].known_scale = known;
        a[i].scale = scale;
        a[i].out = out[i];
    }
    return true;
}

static void resize(OnnxNode *n, const Resize *r, Value *roi, Value *scales, Value *sizes)
{
    Build *b = n->b;
    Value *x = in(n, 0), *y = x;
    ResizeAxis a[DLVK_MAX_RANK] = {0};
    int count, all[DLVK_MAX_RANK];
    const int *axes = onnx_axes(n, "axes", -1, x->type.rank, &count);
    if (!axes && count == 0) return;
    if (!axes) count = axes_from(0, x->type.rank, all), axes = all;
    if (!resize_sizes(n, x, scales, sizes, axes, count, a) || (sizes && !keep_aspect_ratio(n, x, a, count))) return;
    DType t = x->type.dtype, wide = t == DLVK_F64 || strcmp(r->mode, "nearest") == 0 ? t : DLVK_F32;
    bool crop = strcmp(r->coordinates, "tf_crop_and_resize") == 0;
    if (crop && roi && (roi->type.rank != 1 || dim_is(roi->type.dim[0], 0))) roi = NULL;
    y = build_cast(b, y, wide);
    for (int i = 0; i < count; i++) {
        if (crop && roi) {
            DType u = a[i].scale ? a[i].scale->type.dtype : DLVK_F32;
            a[i].roi_start = build_cast(b, compose_at(b, roi, build_scalar_i(b, DLVK_I64, i), 0), u);
            a[i].roi_end = build_cast(b, compose_at(b, roi, build_scalar_i(b, DLVK_I64, i + count), 0), u);
        }
        double start = 0, end = 1;
        bool whole = !crop || (a[i].roi_start && value_scalar(a[i].roi_start, &start) && value_scalar(a[i].roi_end, &end) &&
                               start == 0 && end == 1);
        if (whole && a[i].out == x->type.dim[a[i].axis] && (sizes || a[i].known_scale == 1)) continue;
        y = resize_axis(n, r, &a[i], y);
    }
    n->out[0] = build_cast(b, y, t);
}

void lower_resize(OnnxNode *n)
{
    Resize r = {.mode = onnx_str(n, "mode", "nearest"),
                .coordinates = onnx_str(n, "coordinate_transformation_mode", n->opset < 11 ? "asymmetric" : "half_pixel"),
                .nearest = onnx_str(n, "nearest_mode", n->opset < 11 ? "simple" : "round_prefer_floor"),
                .cubic_a = onnx_float(n, "cubic_coeff_a", -0.75),
                .extrapolation = onnx_float(n, "extrapolation_value", 0),
                .antialias = onnx_int(n, "antialias", 0) != 0,
                .exclude_outside = onnx_int(n, "exclude_outside", 0) != 0};
    if (n->opset < 11) {
        resize(n, &r, NULL, in(n, 1), NULL);
        return;
    }
    Value *scales = in(n, 2), *sizes = in(n, 3);
    if (sizes && scales && scales->type.rank == 1 && dim_is(scales->type.dim[0], 0)) scales = NULL; /* "not given", in opset 11 */
    if (!sizes == !scales)
        onnx_error(n, "one of the inputs 'scales' and 'sizes' must be given");
    else
        resize(n, &r, in(n, 1), scales, sizes);
}

void lower_upsample(OnnxNode *n)
{
    Build *b = n->b;
    const char *mode = onnx_str(n, "mode", "nearest");
    Resize r = {.mode = strcmp(mode, "bilinear") == 0 ? "linear" : mode, .coordinates = "asymmetric", .nearest = "simple"};
    Value *scales = in(n, 1);
    if (n->opset < 9) {
        int64_t count;
        int listed;
        const float *s = onnx_floats(n, "scales", &listed);
        float nchw[] = {1, 1, (float)onnx_float(n, "height_scale", 1), (float)onnx_float(n, "width_scale", 1)};
        count = s ? listed : 4;
        scales = build_const(b, tensor_new(b->ctx->pool, DLVK_F32, 1, &count, s ? s : pool_dup(b->ctx->pool, nchw, sizeof nchw)));
    }
    resize(n, &r, NULL, scales, NULL);
}
