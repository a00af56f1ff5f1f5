/* Reductions, scans and what picks extrema. */
#include "frontend/compose.h"
#include "frontend/onnx/onnx.h"

/* n->arg: a Kind, or one of these. */
enum { MEAN = KIND_COUNT, L1, L2, LOG_SUM, LOG_SUM_EXP, SUM_SQUARE };

static Value *sum(Build *b, Value *x, int n, const int *axes, bool keep)
{
    return build_reduce(b, KIND_SUM, x, n, axes, keep);
}

/* max + log(sum(exp(x - max))): nothing overflows. A maximum that is infinite is left out of the difference. */
static Value *log_sum_exp(Build *b, Value *x, int n, const int *axes, bool keep)
{
    if (!x) return NULL;
    Value *zero = build_scalar(b, x->type.dtype, 0), *max = build_reduce(b, KIND_MAX, x, n, axes, true);
    max = build_map3(b, OP_SELECT, build_map1(b, OP_IS_INF, max), zero, max);
    Value *s = sum(b, build_map1(b, OP_EXP, build_map2(b, OP_SUB, x, max)), n, axes, keep);
    Value *shift = keep ? max : build_reduce(b, KIND_MAX, max, n, axes, false); /* of size 1: drops the axes */
    return build_map2(b, OP_ADD, build_map1(b, OP_LOG, s), shift);
}

static Value *reduce(Build *b, int what, Value *x, int n, const int *axes, bool keep)
{
    switch (what) {
    case MEAN: return build_mean(b, x, n, axes, keep);
    case L1: return sum(b, build_map1(b, OP_ABS, x), n, axes, keep);
    case L2: return build_map1(b, OP_SQRT, sum(b, build_map2(b, OP_MUL, x, x), n, axes, keep));
    case LOG_SUM: return build_map1(b, OP_LOG, sum(b, x, n, axes, keep));
    case LOG_SUM_EXP: return log_sum_exp(b, x, n, axes, keep);
    case SUM_SQUARE: return sum(b, build_map2(b, OP_MUL, x, x), n, axes, keep);
    case KIND_MAX:
    case KIND_MIN:
        if (x->type.dtype == DLVK_BOOL) what = what == KIND_MAX ? KIND_OR : KIND_AND;
        /* fall through */
    default: return build_reduce(b, (Kind)what, x, n, axes, keep);
    }
}

/* Without axes all are reduced, or none if noop_with_empty_axes. */
void lower_reduce(OnnxNode *n)
{
    Value *x = in(n, 0);
    int count, all[DLVK_MAX_RANK];
    const int *axes = onnx_axes(n, "axes", 1, x->type.rank, &count);
    if (count <= 0) {
        count = onnx_int(n, "noop_with_empty_axes", 0) ? 0 : axes_from(0, x->type.rank, all);
        axes = all;
    }
    n->out[0] = reduce(n->b, n->arg, x, count, axes, onnx_int(n, "keepdims", 1) != 0);
}

void lower_reduce_mean(OnnxNode *n)
{
    n->arg = MEAN, lower_reduce(n);
}
void lower_reduce_l1(OnnxNode *n)
{
    n->arg = L1, lower_reduce(n);
}
void lower_reduce_l2(OnnxNode *n)
{
    n->arg = L2, lower_reduce(n);
}
void lower_reduce_log_sum(OnnxNode *n)
{
    n->arg = LOG_SUM, lower_reduce(n);
}
void lower_reduce_log_sum_exp(OnnxNode *n)
{
    n->arg = LOG_SUM_EXP, lower_reduce(n);
}
void lower_reduce_sum_square(OnnxNode *n)
{
    n->arg = SUM_SQUARE, lower_reduce(n);
}

void lower_arg_reduce(OnnxNode *n)
{
    Value *x = in(n, 0);
    if (x->type.rank == 0) {
        onnx_error(n, "the input has rank 0");
        return;
    }
    int axis = onnx_axis(n, onnx_int(n, "axis", 0), x->type.rank);
    bool last = onnx_int(n, "select_last_index", 0) != 0, keep = onnx_int(n, "keepdims", 1) != 0;
    n->out[0] = build_argreduce(n->b, (Kind)n->arg, x, axis, last, keep);
}

void lower_cumulate(OnnxNode *n)
{
    const int64_t *axis;
    int count;
    if (!onnx_known_ints(n, in(n, 1), "axis", &count, &axis) || count != 1) return;
    n->out[0] = build_cumulate(n->b, (Kind)n->arg, in(n, 0), onnx_axis(n, *axis, in(n, 0)->type.rank),
                               onnx_int(n, "exclusive", 0) != 0, onnx_int(n, "reverse", 0) != 0);
}

/* 1 at the first maximum along the axis, 0 elsewhere; before opset 13 along all axes from `axis` on, taken as one. */
void lower_hardmax(OnnxNode *n)
{
    Build *b = n->b;
    Value *x = in(n, 0), *y = x;
    int axis = onnx_axis(n, onnx_int(n, "axis", n->opset < 13 ? 1 : -1), x->type.rank);
    if (n->opset < 13) y = build_flatten(b, x, axis), axis = 1;
    Value *best = build_argreduce(b, KIND_MAX, y, axis, false, true);
    y = build_cast(b, build_map2(b, OP_EQ, compose_index(b, y, axis, DLVK_I64), best), x->type.dtype);
    n->out[0] = build_reshape(b, y, x->type.rank, x->type.dim);
}

/* Determinants of [..., m, m] by elimination with partial pivoting, m steps written out. */
void lower_det(OnnxNode *n)
{
    Build *b = n->b;
    Value *a = in(n, 0);
    int64_t m;
    enum { MAX_SIZE = 32 };
    int rank = a->type.rank, row = rank - 2, column = rank - 1;
    if (rank < 2 || !dim_is_const(a->type.dim[row], &m) || m > MAX_SIZE || !dim_is(a->type.dim[column], m)) {
        onnx_error(n, "%s is not square matrices of a known size of at most %d", type_to_string(b->ctx->pool, a->type), MAX_SIZE);
        return;
    }
    DType t = a->type.dtype;
    Value *zero = build_scalar(b, t, 0), *one = build_scalar(b, t, 1);
    Value *det = build_full(b, type_make(b->ctx, t, row, a->type.dim), 1);
    for (; a && m > 0; m--) {
        const Dim *first = dim_of_int(b, 0), *size = dim_of_int(b, 1), *rest = dim_of_int(b, m - 1);
        Value *head = build_slice_axis(b, a, column, first, size); /* [..., m, 1] */
        Value *best = build_argreduce(b, KIND_MAX, build_map1(b, OP_ABS, head), row, false, true);
        Value *i = compose_index(b, a, row, DLVK_I64), *is_best = build_map2(b, OP_EQ, i, best);
        Value *top = build_slice_axis(b, a, row, first, size); /* the row that the pivot's is exchanged with */
        Value *pivots = build_reduce(b, KIND_SUM, build_map3(b, OP_SELECT, is_best, a, zero), 1, &row, true);
        Value *pivot = build_slice_axis(b, pivots, column, first, size);
        Value *sign = build_map3(b, OP_SELECT, build_map2s(b, OP_EQ, best, 0), one, build_scalar(b, t, -1));
        det = build_map2(b, OP_MUL, det, build_squeeze(b, build_map2(b, OP_MUL, pivot, sign), 2, (int[]){row, column}));
        a = build_slice_axis(b, build_map3(b, OP_SELECT, is_best, top, a), row, size, rest);
        Value *by = build_map3(b, OP_SELECT, build_map2s(b, OP_EQ, pivot, 0), one, pivot);
        Value *factor = build_map2(b, OP_DIV, build_slice_axis(b, a, column, first, size), by);
        a = build_map2(b, OP_SUB, a, build_map2(b, OP_MUL, factor, pivots));
        a = build_slice_axis(b, a, column, size, rest);
    }
    n->out[0] = det;
}
