/* NonMaxSuppression: boxes in order of score; a loop over them strikes out what overlaps the box at hand. All batches and
 * classes go through the loop side by side. */
#include "frontend/onnx/ops_b.h"

typedef struct Boxes { /* corners and areas, each [batch, class, n] */
    Value *lo[2], *hi[2], *area;
} Boxes;

static Value *coordinate(Build *b, Value *boxes, int i)
{
    int axis = 3;
    return build_squeeze(b, build_slice_axis(b, boxes, 3, dim_of_int(b, i), dim_of_int(b, 1)), 1, &axis);
}

/* boxes [batch, class, n, 4] */
static Boxes corners(Build *b, Value *boxes, bool center)
{
    Boxes r;
    for (int i = 0; i < 2; i++) {
        Value *p = coordinate(b, boxes, i), *q = coordinate(b, boxes, 2 + i);
        if (center) {
            Value *half = build_map2s(b, OP_MUL, q, 0.5);
            q = build_map2(b, OP_ADD, p, half);
            p = build_map2(b, OP_SUB, p, half);
        }
        r.lo[i] = build_map2(b, OP_MIN, p, q);
        r.hi[i] = build_map2(b, OP_MAX, p, q);
    }
    r.area = build_map2(b, OP_MUL, build_map2(b, OP_SUB, r.hi[0], r.lo[0]), build_map2(b, OP_SUB, r.hi[1], r.lo[1]));
    return r;
}

/* Element i of every row, as [batch, class, 1]. */
static Value *pick(Build *b, Value *x, Value *i)
{
    int axis = 2;
    return build_unsqueeze(b, compose_at(b, x, i, 2), 1, &axis);
}

/* Do the boxes overlap box i by more than the threshold? */
static Value *overlap(Build *b, const Boxes *all, Value *i, Value *threshold)
{
    Value *common = NULL;
    for (int k = 0; k < 2; k++) {
        Value *hi = build_map2(b, OP_MIN, all->hi[k], pick(b, all->hi[k], i));
        Value *lo = build_map2(b, OP_MAX, all->lo[k], pick(b, all->lo[k], i));
        Value *side = build_map2s(b, OP_MAX, build_map2(b, OP_SUB, hi, lo), 0);
        common = common ? build_map2(b, OP_MUL, common, side) : side;
    }
    Value *whole = build_map2(b, OP_SUB, build_map2(b, OP_ADD, all->area, pick(b, all->area, i)), common);
    Value *real = build_map2s(b, OP_GT, whole, 0);
    return build_map2(b, OP_AND, real, build_map2(b, OP_GT, build_map2(b, OP_DIV, common, whole), threshold));
}

/* Input i as a scalar, or the default. */
static Value *scalar_in(OnnxNode *n, int i, DType t, double otherwise)
{
    if (!has_in(n, i)) return dtype_is_float(t) ? build_scalar(n->b, t, otherwise) : build_scalar_i(n->b, t, (int64_t)otherwise);
    return build_cast(n->b, build_reshape(n->b, in(n, i), 0, NULL), t);
}

void lower_non_max_suppression(OnnxNode *n)
{
    Build *b = n->b;
    Value *boxes = in(n, 0), *scores = in(n, 1), *values, *order;
    if (!boxes || !scores) return;
    if (boxes->type.rank != 3 || scores->type.rank != 3) {
        onnx_error(n, "boxes of rank %d and scores of rank %d", boxes->type.rank, scores->type.rank);
        return;
    }
    Value *most = scalar_in(n, 2, DLVK_I64, 0), *threshold = scalar_in(n, 3, boxes->type.dtype, 0);
    if (!build_sort(b, scores, 2, true, &values, &order)) return;
    const Dim *batches = scores->type.dim[0], *classes = scores->type.dim[1], *count = scores->type.dim[2];

    /* corners in order of score: gathered from the flat [batch * count] boxes */
    Value *first = build_map2(b, OP_MUL, compose_index(b, scores, 0, DLVK_I64), build_dims(b, DLVK_I64, -1, &count));
    const Dim *rows[] = {times(b, batches, count), dim_of_int(b, 4)};
    Value *sorted = build_gather(b, build_reshape(b, boxes, 2, rows), build_map2(b, OP_ADD, order, first), 0);
    Boxes all = corners(b, sorted, onnx_int(n, "center_point_box", 0) != 0);
    Value *keep = has_in(n, 4) ? build_map2(b, OP_GT, values, scalar_in(n, 4, scores->type.dtype, 0))
                               : build_full(b, (Type){DLVK_BOOL, 3, scores->type.dim}, 1);
    if (!keep || !all.area || !most || !threshold) return;

    Region *body = region_new(b->at->graph, b->at);
    Value *i = region_param(body, type_make(b->ctx, DLVK_I64, 0, NULL), NULL), *kept = region_param(body, keep->type, NULL);
    Build in_body = {.ctx = b->ctx, .at = body, .cse = NULL};
    Build *l = &in_body;
    Value *later = build_map2(l, OP_GT, compose_index(l, kept, 2, DLVK_I64), i);
    Value *struck = build_map2(l, OP_AND, overlap(l, &all, i, threshold), build_map2(l, OP_AND, later, pick(l, kept, i)));
    Value *left = build_map2(l, OP_AND, kept, build_map1(l, OP_NOT, struck)), *go = build_scalar_i(l, DLVK_BOOL, 1);
    if (!left || !go) return;
    *VEC_PUSH(b->ctx->pool, body->results) = go;
    *VEC_PUSH(b->ctx->pool, body->results) = left;
    Value **out = build_loop(b, build_dims(b, DLVK_I64, -1, &count), build_scalar_i(b, DLVK_BOOL, 1), 1, &keep, body);
    if (!out) return;
    keep = out[0];

    Value *place = build_cumulate(b, KIND_SUM, build_cast(b, keep, DLVK_I64), 2, false, false);
    keep = build_map2(b, OP_AND, keep, build_map2(b, OP_LE, place, most));
    const Dim *flat = dim_product(b, 3, scores->type.dim), *per = times(b, classes, count);
    Value *flat_keep = build_reshape(b, keep, 1, &flat);
    Value *at = build_op(b, OP_COMPACT, 1, &flat_keep, 0, NULL);
    Value *per_batch = build_dims(b, DLVK_I64, -1, &per), *per_class = build_dims(b, DLVK_I64, -1, &count);
    Value *parts[] = {build_map2(b, OP_DIV, at, per_batch),
                      build_map2(b, OP_DIV, build_map2(b, OP_REM, at, per_batch), per_class),
                      build_gather(b, build_reshape(b, order, 1, &flat), at, 0)};
    int axis = 1;
    for (int k = 0; k < 3; k++) parts[k] = build_unsqueeze(b, parts[k], 1, &axis);
    n->out[0] = build_concat(b, 3, parts, 1);
}
