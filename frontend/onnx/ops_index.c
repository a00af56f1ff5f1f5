/* Operators that move elements by index: gather, scatter, selection, sorting. */
#include "frontend/onnx/indexing.h"
#include "frontend/onnx/ops_b.h"
#include <string.h>

void lower_gather(OnnxNode *n)
{
    Value *x = in(n, 0);
    if (x->type.rank == 0) {
        onnx_error(n, "the data has rank 0");
        return;
    }
    int axis = onnx_axis(n, onnx_int(n, "axis", 0), x->type.rank);
    n->out[0] = build_gather(n->b, x, index_wrap(n->b, in(n, 1), x->type.dim[axis]), axis);
}

void lower_gather_elements(OnnxNode *n)
{
    Value *x = in(n, 0);
    n->out[0] = gather_along(n->b, x, in(n, 1), onnx_axis(n, onnx_int(n, "axis", 0), x->type.rank));
}

void lower_gather_nd(OnnxNode *n)
{
    Build *b = n->b;
    Value *x = in(n, 0), *idx = in(n, 1);
    int last = idx->type.rank - 1;
    int64_t k, batch = onnx_int(n, "batch_dims", 0);
    Value *at = index_tuples(b, x, idx, batch, false);
    if (!at || !dim_is_const(idx->type.dim[last], &k)) return;
    int merged = (int)(batch + k);
    const Dim *shape[2 * DLVK_MAX_RANK];
    memcpy(shape, idx->type.dim, (size_t)last * sizeof *shape);
    memcpy(shape + last, x->type.dim + merged, (size_t)(x->type.rank - merged) * sizeof *shape);
    n->out[0] = build_reshape(b, build_gather(b, merge_front(b, x, merged), at, 0), last + x->type.rank - merged, shape);
}

static bool scatter_kind(OnnxNode *n, Kind *k)
{
    static const struct {
        const char *name;
        Kind kind;
    } kinds[] = {{"none", KIND_SET}, {"add", KIND_SUM}, {"mul", KIND_PROD}, {"max", KIND_MAX}, {"min", KIND_MIN}};
    const char *name = onnx_str(n, "reduction", "none");
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (strcmp(kinds[i].name, name) == 0) {
            *k = kinds[i].kind;
            return true;
        }
    onnx_error(n, "attribute 'reduction' is '%s', which is not supported", name);
    return false;
}

void lower_scatter_elements(OnnxNode *n)
{
    Build *b = n->b;
    Value *x = in(n, 0), *idx = in(n, 1);
    Kind k;
    if (!scatter_kind(n, &k)) return;
    Value *at = flat(b, index_along(b, x, idx, onnx_axis(n, onnx_int(n, "axis", 0), x->type.rank), true));
    Value *y = build_scatter(b, k, flat(b, x), at, flat(b, in(n, 2)));
    n->out[0] = build_reshape(b, y, x->type.rank, x->type.dim);
}

void lower_scatter_nd(OnnxNode *n)
{
    Build *b = n->b;
    Value *x = in(n, 0), *idx = in(n, 1);
    int64_t depth;
    Kind k;
    Value *at = scatter_kind(n, &k) ? index_tuples(b, x, idx, 0, true) : NULL;
    if (!at || !dim_is_const(idx->type.dim[idx->type.rank - 1], &depth)) return;
    Value *y = build_scatter(b, k, merge_front(b, x, (int)depth), at, merge_front(b, in(n, 2), idx->type.rank - 1));
    n->out[0] = build_reshape(b, y, x->type.rank, x->type.dim);
}

void lower_non_zero(OnnxNode *n)
{
    Build *b = n->b;
    Value *x = in(n, 0);
    int rank = x->type.rank;
    Value *at = compact(b, flat(b, build_map2(b, OP_NE, x, build_scalar_i(b, x->type.dtype, 0))));
    if (!at) return;
    Value *rows[DLVK_MAX_RANK];
    for (int i = 0; i < rank; i++) {
        const Dim *stride = dim_product(b, rank - i - 1, x->type.dim + i + 1);
        Value *c = dim_is(stride, 1) ? at : build_map2(b, OP_DIV, at, dim_value(b, DLVK_I64, stride));
        if (i) c = build_map2(b, OP_MOD, c, dim_value(b, DLVK_I64, x->type.dim[i]));
        rows[i] = build_unsqueeze(b, c, 1, (int[]){0});
    }
    n->out[0] = rank ? build_concat(b, rank, rows, 0) : build_unsqueeze(b, at, 1, (int[]){0});
}

void lower_compress(OnnxNode *n)
{
    Build *b = n->b;
    Value *x = in(n, 0);
    bool whole = !onnx_has(n, "axis");
    int axis = whole ? 0 : onnx_axis(n, onnx_int(n, "axis", 0), x->type.rank);
    Value *keep = in(n, 1);
    if (whole) x = flat(b, x);
    if (x && keep && x->type.rank > 0 && keep->type.rank == 1) /* what the condition says beyond the axis is of nothing */
        keep = build_slice_axis(b, keep, 0, dim_of_int(b, 0), dim_min(&b->ctx->dims, keep->type.dim[0], x->type.dim[axis]));
    n->out[0] = build_gather(b, x, compact(b, keep), axis);
}

void lower_topk(OnnxNode *n)
{
    Build *b = n->b;
    Value *x = in(n, 0), *values, *indices;
    if (x->type.rank == 0) {
        onnx_error(n, "the input has rank 0");
        return;
    }
    int axis = onnx_axis(n, onnx_int(n, "axis", -1), x->type.rank);
    const Dim *k = n->opset < 10 ? dim_of_int(b, onnx_int(n, "k", 1)) : onnx_dim(n, 1);
    if (!k || !build_sort(b, x, axis, onnx_int(n, "largest", 1) != 0, &values, &indices)) return;
    n->out[0] = build_slice_axis(b, values, axis, dim_of_int(b, 0), k);
    if (n->n_out > 1) n->out[1] = build_slice_axis(b, indices, axis, dim_of_int(b, 0), k);
}

void lower_one_hot(OnnxNode *n)
{
    Build *b = n->b;
    Value *idx = build_cast(b, in(n, 0), DLVK_I64), *values = in(n, 2);
    int count, rank = in(n, 0)->type.rank + 1, axis = onnx_axis(n, onnx_int(n, "axis", -1), rank);
    const Dim *const *depth = build_contents(b, build_cast(b, in(n, 1), DLVK_I64), &count);
    if (depth && count != 1) onnx_error(n, "the depth has %d elements", count);
    if (!depth || count != 1) return;
    if (!values || values->type.rank != 1) {
        onnx_error(n, "the values have rank %d; they are two in a row", values ? values->type.rank : 0);
        return;
    }
    ctx_constrain(b->ctx, DIM_EQ, values->type.dim[0], dim_of_int(b, 2));
    idx = build_unsqueeze(b, index_wrap(b, build_cast(b, idx, DLVK_I64), depth[0]), 1, &axis);
    Value *classes = compose_along(b, build_iota(b, DLVK_I64, 1, depth, 0), rank, axis);
    Value *on = compose_at(b, values, build_scalar_i(b, DLVK_I64, 1), 0),
          *off = compose_at(b, values, build_scalar_i(b, DLVK_I64, 0), 0);
    n->out[0] = build_map3(b, OP_SELECT, build_map2(b, OP_EQ, idx, classes), on, off);
}

/* The first sequence_lens[b] elements of each batch entry turned round. */
void lower_reverse_sequence(OnnxNode *n)
{
    Build *b = n->b;
    Value *x = in(n, 0);
    int rank = x->type.rank, batch = onnx_axis(n, onnx_int(n, "batch_axis", 1), rank),
        time = onnx_axis(n, onnx_int(n, "time_axis", 0), rank);
    if (batch == time) {
        onnx_error(n, "attributes 'batch_axis' and 'time_axis' are both %d", batch);
        return;
    }
    Value *len = compose_along(b, build_cast(b, in(n, 1), DLVK_I64), rank, batch);
    Value *t = build_iota(b, DLVK_I64, rank, x->type.dim, time);
    Value *turned = build_map2(b, OP_SUB, build_map2s(b, OP_SUB, len, 1), t);
    n->out[0] = gather_along(b, x, build_map3(b, OP_SELECT, build_map2(b, OP_LT, t, len), turned, t), time);
}

/* The permutation *perm, stably sorted by the column of rows that is number `step` from behind. */
static Value *sort_by_column(Build *b, void *rows, Value *step, Value **perm)
{
    const Dim *last = plus_int(b, ((Value *)rows)->type.dim[1], -1);
    Value *column = compose_at(b, rows, build_map2(b, OP_SUB, dim_value(b, DLVK_I64, last), step), 1), *sorted, *idx;
    if (!build_sort(b, build_gather(b, column, *perm, 0), 0, false, &sorted, &idx)) return NULL;
    *perm = build_gather(b, *perm, idx, 0);
    return step;
}

/* Rows of x (its axis 0) in lexicographic order: stable sorts by each column, the last one first. The permutation. */
static Value *sort_rows(OnnxNode *n, Value *rows)
{
    Build *b = n->b;
    int64_t columns;
    enum { MANY = 16 };
    if (!rows) return NULL;
    Value *perm = build_iota(b, DLVK_I64, 1, rows->type.dim, 0);
    if (!dim_is_const(rows->type.dim[1], &columns) || columns > MANY)
        return onnx_over_time(b, rows->type.dim[1], 1, &perm, sort_by_column, rows) ? perm : NULL;
    for (int64_t step = 0; step < columns; step++)
        if (!sort_by_column(b, rows, build_scalar_i(b, DLVK_I64, step), &perm)) return NULL;
    return perm;
}

/* Positions 0..n-1 that a permutation sends each element to. */
static Value *invert(Build *b, Value *perm)
{
    if (!perm) return NULL;
    Value *i = build_iota(b, DLVK_I64, 1, perm->type.dim, 0);
    return build_scatter(b, KIND_SET, i, perm, i);
}

void lower_unique(OnnxNode *n)
{
    Build *b = n->b;
    Value *x = in(n, 0);
    bool whole = !onnx_has(n, "axis");
    int rank = x->type.rank, axis = whole ? 0 : onnx_axis(n, onnx_int(n, "axis", 0), rank);
    int front[DLVK_MAX_RANK], back[DLVK_MAX_RANK]; /* the axis moved to the front, and back again */
    for (int i = 0; i < rank; i++) {
        front[i] = i == 0 ? axis : i <= axis ? i - 1 : i;
        back[front[i]] = i;
    }
    Value *moved = whole ? build_unsqueeze(b, flat(b, x), 1, (int[]){1}) : build_transpose(b, x, front);
    Value *rows = build_flatten(b, moved, 1);
    if (rows && rows->type.dtype == DLVK_STRING) { /* by their places in the order of all */
        Type ranks = {DLVK_I64, rows->type.rank, rows->type.dim};
        if (!build_host(b, "string_rank", "", 1, &rows, 1, &ranks, &rows)) return;
    }
    Value *perm = sort_rows(n, rows);
    if (!perm) return;
    const Dim *count = rows->type.dim[0];
    Value *sorted = build_gather(b, rows, perm, 0), *i = build_iota(b, DLVK_I64, 1, &count, 0);
    /* first[i]: row i differs from the one before it */
    Value *before =
        build_gather(b, sorted, build_clamp(b, build_map2s(b, OP_SUB, i, 1), build_scalar_i(b, DLVK_I64, 0), NULL), 0);
    Value *first = build_reduce(b, KIND_OR, build_map2(b, OP_NE, sorted, before), 1, (int[]){1}, false);
    first = build_map2(b, OP_OR, first, build_map2s(b, OP_EQ, i, 0));
    Value *starts = compact(b, first);
    if (!starts) return;
    Value *group = build_map2s(b, OP_SUB, build_cumulate(b, KIND_SUM, build_cast(b, first, DLVK_I64), 0, false, false), 1);
    Value *inverse = build_scatter(b, KIND_SET, i, perm, group);
    Value *where = build_gather(b, perm, starts, 0); /* of the first occurrence: the sorts are stable */
    const Dim *unique = starts->type.dim[0];
    Value *bounds[] = {starts, build_dims(b, DLVK_I64, 1, &count)};
    Value *next = build_slice_axis(b, build_concat(b, 2, bounds, 0), 0, dim_of_int(b, 1), unique);
    Value *counts = build_map2(b, OP_SUB, next, starts);
    if (!onnx_int(n, "sorted", 1)) { /* in the order of first occurrence */
        Value *ordered, *order;
        if (!build_sort(b, where, 0, false, &ordered, &order)) return;
        where = ordered;
        counts = build_gather(b, counts, order, 0);
        inverse = build_gather(b, invert(b, order), inverse, 0);
    }
    Value *y = build_gather(b, moved, where, 0);
    if (whole)
        y = build_reshape(b, y, 1, &unique);
    else
        y = build_transpose(b, y, back);
    Value *out[] = {y, where, inverse, counts};
    for (int k = 0; k < n->n_out && k < 4; k++) n->out[k] = out[k];
}
