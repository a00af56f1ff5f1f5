/* Images: sampling grids, blocks of pixels. */
#include "frontend/onnx/indexing.h"
#include <string.h>

/* [n, c, h, w] with c = b*b*c' or c'*b*b, and back. arg: 0 depth to space, 1 space to depth. */
void lower_depth_space(OnnxNode *n)
{
    Build *b = n->b;
    Value *x = in(n, 0);
    int64_t s = onnx_int(n, "blocksize", 0);
    const char *mode = onnx_word(n, "mode", "DCR CRD");
    if (!mode) return;
    bool crd = strcmp(mode, "CRD") == 0;
    if (x->type.rank != 4 || s < 1 || s > INT16_MAX) {
        onnx_error(n, "rank %d, attribute 'blocksize' %lld: rank 4 and a positive size are needed", x->type.rank, (long long)s);
        return;
    }
    const Dim *const *d = x->type.dim, *k = dim_of_int(b, s);
    if (n->arg == 0) {
        const Dim *c = floor_of(b, d[1], s * s);
        const Dim *dcr_shape[] = {d[0], k, k, c, d[2], d[3]}, *crd_shape[] = {d[0], c, k, k, d[2], d[3]};
        const Dim *result[] = {d[0], c, times(b, d[2], k), times(b, d[3], k)};
        x = build_reshape(b, x, 6, crd ? crd_shape : dcr_shape);
        x = build_transpose(b, x, crd ? (int[]){0, 1, 4, 2, 5, 3} : (int[]){0, 3, 4, 1, 5, 2});
        n->out[0] = build_reshape(b, x, 4, result);
    } else {
        const Dim *h = floor_of(b, d[2], s), *w = floor_of(b, d[3], s);
        const Dim *split[] = {d[0], d[1], h, k, w, k}, *result[] = {d[0], times_int(b, d[1], s * s), h, w};
        x = build_transpose(b, build_reshape(b, x, 6, split), (int[]){0, 3, 5, 1, 2, 4});
        n->out[0] = build_reshape(b, x, 4, result);
    }
}

/* Coordinates mirrored at lo and hi until they lie between them: a wave of period 2 (hi - lo). */
static Value *reflect(Build *b, Value *x, double lo, Value *span)
{
    Value *period = build_map2s(b, OP_MUL, span, 2), *t = build_map2s(b, OP_SUB, x, lo);
    t = build_map2(b, OP_MOD, t, period);
    t = build_map2(b, OP_MIN, t, build_map2(b, OP_SUB, period, t));
    return build_map2s(b, OP_ADD, t, lo);
}

typedef struct GridAxis {
    Value *index[4], *weight[4], *inside[4]; /* by tap; inside: NULL when every index is made valid */
} GridAxis;

/* The taps of one axis: whole coordinates, brought inside as padding_mode says, and their weights. */
static void grid_axis(Build *b, Value *g, const Dim *d, int mode, const char *padding, bool corners, GridAxis *out)
{
    DType u = g->type.dtype;
    Value *size = dim_value(b, u, d), *last = build_map2s(b, OP_SUB, size, 1), *zero = build_scalar(b, u, 0);
    g = build_map2s(b, OP_ADD, g, 1);
    Value *at = build_map2s(
        b, OP_MUL, corners ? build_map2(b, OP_MUL, g, last) : build_map2s(b, OP_SUB, build_map2(b, OP_MUL, g, size), 1), 0.5);
    double lo = corners ? 0 : -0.5;
    Value *span = corners ? last : size;
    if (mode == 0) at = build_map1(b, OP_ROUND, at);
    if (strcmp(padding, "border") == 0) { /* what lies in the border pixels' outer halves stays there */
        Value *outside =
            build_map2(b, OP_OR, build_map2s(b, OP_LT, at, lo), build_map2(b, OP_GT, at, build_map2s(b, OP_ADD, span, lo)));
        at = build_map3(b, OP_SELECT, outside, build_clamp(b, at, zero, last), at);
    }
    if (strcmp(padding, "reflection") == 0) at = reflect(b, at, lo, span);
    int first = mode == 3 ? -1 : 0, taps = mode == 0 ? 1 : mode + 1;
    Value *base = build_map1(b, OP_FLOOR, at), *ratio = build_map2(b, OP_SUB, at, base);
    for (int k = 0; k < taps; k++) {
        Value *i = build_map2s(b, OP_ADD, base, first + k);
        out->inside[k] = NULL;
        if (strcmp(padding, "zeros") == 0)
            out->inside[k] = build_map2(b, OP_AND, build_map2(b, OP_GE, i, zero), build_map2(b, OP_LE, i, last));
        if (strcmp(padding, "reflection") == 0) i = build_map1(b, OP_ROUND, reflect(b, i, lo, span));
        out->index[k] = build_cast(b, build_clamp(b, i, zero, last), DLVK_I64);
        /* its sign is known, and so no |x| at 0 spoils the gradient where the ratio is 0 */
        Value *tap = build_scalar(b, u, first + k);
        Value *distance = first + k > 0 ? build_map2(b, OP_SUB, tap, ratio) : build_map2(b, OP_SUB, ratio, tap);
        out->weight[k] = mode ? resample_weight(b, distance, mode == 3, -0.75) : NULL;
    }
}

/* One combination of taps, a digit of `code` an axis: data read there, weighted. rows: x as [n * positions, c]. */
static Value *grid_tap(Build *b, Value *x, Value *rows, const GridAxis *axis, int spatial, int taps, int code)
{
    Value *at = NULL, *weight = NULL, *inside = NULL;
    for (int s = 0; s < spatial; s++, code /= taps) {
        int k = code % taps;
        const GridAxis *a = &axis[s];
        Value *stride = dim_value(b, DLVK_I64, dim_product(b, spatial - s - 1, x->type.dim + 3 + s));
        Value *c = build_map2(b, OP_MUL, a->index[k], stride);
        at = s ? build_map2(b, OP_ADD, at, c) : c;
        if (a->weight[k]) weight = weight ? build_map2(b, OP_MUL, weight, a->weight[k]) : a->weight[k];
        if (a->inside[k]) inside = inside ? build_map2(b, OP_AND, inside, a->inside[k]) : a->inside[k];
    }
    if (!at) return NULL;
    Value *batch = build_iota(b, DLVK_I64, at->type.rank, at->type.dim, 0);
    const Dim *positions = dim_product(b, spatial, x->type.dim + 2);
    at = build_map2(b, OP_ADD, at, build_map2(b, OP_MUL, batch, dim_value(b, DLVK_I64, positions)));
    Value *y = build_gather(b, rows, at, 0); /* [n, out..., c] */
    int channel = at->type.rank;
    if (weight)
        y = build_map2(b, OP_MUL, y, build_cast(b, build_unsqueeze(b, weight, 1, &channel), y ? y->type.dtype : DLVK_F32));
    if (inside) y = build_map3(b, OP_SELECT, build_unsqueeze(b, inside, 1, &channel), y, build_scalar(b, x->type.dtype, 0));
    return y;
}

void lower_grid_sample(OnnxNode *n)
{
    Build *b = n->b;
    Value *x = in(n, 0), *grid = in(n, 1);
    const char *name = onnx_str(n, "mode", "linear"), *padding = onnx_str(n, "padding_mode", "zeros");
    int spatial = x->type.rank - 2, mode = strstr(name, "nearest")  ? 0
                                           : strstr(name, "linear") ? 1
                                           : strstr(name, "cubic")  ? 3
                                                                    : -1;
    if (mode < 0 || (strcmp(padding, "zeros") && strcmp(padding, "border") && strcmp(padding, "reflection"))) {
        onnx_error(n, "mode '%s' with padding_mode '%s' is not supported", name, padding);
        return;
    }
    if (spatial < 1 || spatial > 3 || grid->type.rank != x->type.rank) {
        onnx_error(n, "grid %s does not fit input %s", type_to_string(b->ctx->pool, grid->type),
                   type_to_string(b->ctx->pool, x->type));
        return;
    }
    ctx_constrain(b->ctx, DIM_EQ, grid->type.dim[spatial + 1], dim_of_int(b, spatial));
    DType t = x->type.dtype, wide = mode && t != DLVK_F64 && t != DLVK_F32 ? DLVK_F32 : t;
    x = build_cast(b, x, wide);
    grid = build_cast(b, grid, grid->type.dtype == DLVK_F64 ? DLVK_F64 : DLVK_F32);
    GridAxis axis[3];
    int perm[5], back[5], taps = mode == 0 ? 1 : mode + 1, combinations = 1;
    perm[0] = back[0] = 0;
    for (int s = 0; s < spatial; s++) { /* the grid's last axis counts from the innermost axis outwards */
        Value *g = compose_at(b, grid, build_scalar_i(b, DLVK_I64, spatial - 1 - s), spatial + 1);
        if (!g || !x) return;
        grid_axis(b, g, x->type.dim[2 + s], mode, padding, onnx_int(n, "align_corners", 0) != 0, &axis[s]);
        perm[1 + s] = 2 + s;
        back[2 + s] = 1 + s;
        combinations *= taps;
    }
    perm[spatial + 1] = 1;
    back[1] = spatial + 1;
    Value *rows = merge_front(b, build_transpose(b, x, perm), spatial + 1), *y = NULL;
    for (int code = 0; code < combinations; code++) {
        Value *term = grid_tap(b, x, rows, axis, spatial, taps, code);
        y = code ? build_map2(b, OP_ADD, y, term) : term;
    }
    n->out[0] = build_cast(b, build_transpose(b, y, back), t);
}

/* theta [n, r, r+1] times the homogeneous positions of a grid over [-1, 1]^r. */
void lower_affine_grid(OnnxNode *n)
{
    Build *b = n->b;
    Value *theta = in(n, 0);
    DType t = theta->type.dtype;
    int count;
    const Dim *const *size = onnx_dims(n, 1, &count);
    if (!size) return;
    int spatial = count - 2;
    if (spatial < 2 || spatial > 3 || theta->type.rank != 3) {
        onnx_error(n, "size has %d entries, theta has rank %d", count, theta->type.rank);
        return;
    }
    bool corners = onnx_int(n, "align_corners", 0) != 0;
    Value *column[4];
    const Dim *shape[5];
    shape[0] = size[0];
    for (int s = 0; s < spatial; s++) shape[1 + s] = size[2 + s];
    shape[spatial + 1] = dim_of_int(b, 1);
    for (int s = 0; s < spatial; s++) { /* x, the innermost axis, comes first */
        const Dim *d = shape[spatial - s];
        Value *i = build_iota(b, t, spatial + 2, shape, spatial - s);
        if (corners) { /* 2 i / (d - 1) - 1: -1 where there is but one, as in the reference implementation */
            const Dim *steps = dim_max(&b->ctx->dims, plus_int(b, d, -1), dim_of_int(b, 1));
            i = build_map2(b, OP_DIV, build_map2s(b, OP_MUL, i, 2), dim_value(b, t, steps));
        } else /* (2 i + 1) / d - 1 */
            i = build_map2(b, OP_DIV, build_map2s(b, OP_ADD, build_map2s(b, OP_MUL, i, 2), 1), dim_value(b, t, d));
        column[s] = build_map2s(b, OP_SUB, i, 1);
    }
    column[spatial] = build_full(b, type_make(b->ctx, t, spatial + 2, shape), 1);
    Value *grid = build_concat(b, spatial + 1, column, spatial + 1);
    const Dim *flat_shape[] = {size[0], dim_product(b, spatial, shape + 1), dim_of_int(b, spatial + 1)};
    Value *y = build_matmul(b, build_reshape(b, grid, 3, flat_shape), build_transpose(b, theta, (int[]){0, 2, 1}));
    shape[spatial + 1] = dim_of_int(b, spatial);
    n->out[0] = build_reshape(b, y, spatial + 2, shape);
}

static void spatial_ints(OnnxNode *n, const char *name, int count, int64_t otherwise, int64_t *out)
{
    int given;
    const int64_t *v = onnx_ints(n, name, &given);
    if (v && given != count) onnx_error(n, "attribute '%s' has %d entries, not %d", name, given, count);
    for (int i = 0; i < count; i++) out[i] = v && i < given ? v[i] : otherwise;
}

/* Columns [n, c * prod(block), l] added up where their elements came from in the padded image, which is then cropped. */
void lower_col2im(OnnxNode *n)
{
    Build *b = n->b;
    Value *x = in(n, 0);
    int spatial, n_block;
    const Dim *const *image = onnx_dims(n, 1, &spatial), *const *block = onnx_dims(n, 2, &n_block);
    if (!image || !block) return;
    if (spatial < 1 || 2 * spatial > DLVK_MAX_RANK || n_block != spatial || x->type.rank != 3) {
        onnx_error(n, "image_shape and block_shape have %d and %d entries, the input rank %d", spatial, n_block, x->type.rank);
        return;
    }
    int64_t step[DLVK_MAX_RANK], dilation[DLVK_MAX_RANK], pads[2 * DLVK_MAX_RANK];
    spatial_ints(n, "strides", spatial, 1, step);
    spatial_ints(n, "dilations", spatial, 1, dilation);
    spatial_ints(n, "pads", 2 * spatial, 0, pads);
    const Dim *padded[DLVK_MAX_RANK], *grid[DLVK_MAX_RANK];
    const Dim *elements = dim_product(b, spatial, block);
    const Dim *channels = dim_floordiv(&b->ctx->dims, x->type.dim[1], elements);
    for (int s = 0; s < spatial; s++) {
        padded[s] = plus_int(b, image[s], pads[s] + pads[s + spatial]);
        const Dim *reach = plus_int(b, times_int(b, plus_int(b, block[s], -1), dilation[s]), 1);
        grid[s] = block[s];
        grid[spatial + s] = plus_int(b, floor_of(b, minus(b, padded[s], reach), step[s]), 1);
    }
    Value *at = NULL; /* the flat position in the padded image, over [block..., positions...] */
    for (int s = 0; s < spatial; s++) {
        Value *in_block = build_map2s(b, OP_MUL, build_iota(b, DLVK_I64, 2 * spatial, grid, s), (double)dilation[s]);
        Value *position = build_map2s(b, OP_MUL, build_iota(b, DLVK_I64, 2 * spatial, grid, spatial + s), (double)step[s]);
        Value *c = build_map2(b, OP_ADD, in_block, position);
        c = build_map2(b, OP_MUL, c, dim_value(b, DLVK_I64, dim_product(b, spatial - s - 1, padded + s + 1)));
        at = s ? build_map2(b, OP_ADD, at, c) : c;
    }
    const Dim *nc = times(b, x->type.dim[0], channels), *area = dim_product(b, spatial, padded);
    const Dim *split[] = {nc, times(b, elements, x->type.dim[2])}, *empty[] = {area, nc};
    Value *updates = build_transpose(b, build_reshape(b, x, 2, split), (int[]){1, 0});
    Value *y = build_full(b, type_make(b->ctx, x->type.dtype, 2, empty), 0);
    y = build_transpose(b, build_scatter(b, KIND_SUM, y, flat(b, at), updates), (int[]){1, 0});
    const Dim *full[DLVK_MAX_RANK] = {x->type.dim[0], channels};
    memcpy(full + 2, padded, (size_t)spatial * sizeof *full);
    y = build_reshape(b, y, spatial + 2, full);
    for (int s = 0; s < spatial; s++) y = build_slice_axis(b, y, 2 + s, dim_of_int(b, pads[s]), image[s]);
    n->out[0] = y;
}
