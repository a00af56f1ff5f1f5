/* Normalizations and softmax. */
#include "frontend/onnx/importer.h"
#include "frontend/onnx/ops_b.h"
#include <math.h>
#include <string.h>

/* y = x (1 - m) + keep m for a running statistic. */
static Value *running(Build *b, Value *keep, Value *x, double momentum)
{
    if (!keep || !x) return NULL;
    DType t = keep->type.dtype;
    Value *m = build_map2s(b, OP_MUL, build_cast(b, x, t), 1 - momentum);
    return build_map2(b, OP_ADD, build_map2s(b, OP_MUL, keep, momentum), m);
}

void lower_batch_norm(OnnxNode *n)
{
    Build *b = n->b;
    Value *x = in(n, 0), *scale = in(n, 1), *bias = in(n, 2), *mean = in(n, 3), *var = in(n, 4);
    if (!x || !scale || !bias || !mean || !var) return;
    double epsilon = onnx_float(n, "epsilon", 1e-5), momentum = onnx_float(n, "momentum", 0.9);
    /* is_test before opset 7; from 7 the number of outputs tells; from 14 training_mode */
    bool training = n->opset >= 14  ? onnx_int(n, "training_mode", 0) != 0
                    : n->opset >= 7 ? n->n_out > 1
                                    : onnx_int(n, "is_test", 0) == 0;
    bool spatial = n->opset >= 9 || onnx_int(n, "spatial", 1) != 0;
    Value *used_mean = mean, *used_var = var;
    ModelParts *parts = n->im->parts;
    if (parts && parts->training && (spatial || x->type.rank <= 2 || mean->type.rank > 1)) {
        BatchNormSpec s = {.epsilon = epsilon, .momentum = momentum, .per_activation = !spatial};
        Value *next[4] = {0};
        s.next_mean = &next[0], s.next_var = &next[1];
        n->out[0] = mode_batch_norm(b, parts, x, scale, bias, mean, var, &s);
        for (int i = 1; i < n->n_out && i < 5; i++) n->out[i] = i < 3 ? next[i - 1] : i == 3 ? mean : var;
        return;
    }
    if (training) compose_batch_statistics(b, x, !spatial, mean, &used_mean, &used_var);
    Value *xs = x;
    if (!spatial && mean->type.rank == 1 && x->type.rank > 2) /* statistics of a whole activation, flat */
        xs = build_reshape(b, x, 2, (const Dim *[]){x->type.dim[0], mean->type.dim[0]});
    Value *y = compose_batch_norm(b, xs, scale, bias, used_mean, used_var, epsilon, 1);
    n->out[0] = xs == x ? y : build_reshape(b, y, x->type.rank, x->type.dim);
    if (!training) return;
    if (has_out(n, 1)) n->out[1] = running(b, mean, used_mean, momentum);
    if (has_out(n, 2)) n->out[2] = running(b, var, used_var, momentum);
    if (has_out(n, 3)) n->out[3] = build_cast(b, used_mean, mean->type.dtype);
    if (has_out(n, 4)) n->out[4] = build_cast(b, used_var, var->type.dtype);
}

void lower_instance_norm(OnnxNode *n)
{
    Value *x = in(n, 0);
    int axes[DLVK_MAX_RANK];
    if (!x) return;
    int count = axes_from(2, x->type.rank, axes);
    Value *y = compose_normalize(n->b, x, count, axes, onnx_float(n, "epsilon", 1e-5), true, NULL, NULL);
    n->out[0] = compose_affine(n->b, y, in(n, 1), in(n, 2), 1);
}

/* stash_type: the type statistics are computed in; 1 is float32. */
static bool stash_wide(const OnnxNode *n)
{
    return onnx_int(n, "stash_type", 1) == 1;
}

void lower_group_norm(OnnxNode *n)
{
    Build *b = n->b;
    Value *x = in(n, 0), *scale = in(n, 1), *bias = in(n, 2);
    if (!x || !scale || !bias || !onnx_needs(n, "num_groups")) return;
    int64_t groups = onnx_int(n, "num_groups", 1);
    if (groups < 1 || x->type.rank < 2) {
        onnx_error(n, "num_groups %lld on an input of rank %d", (long long)groups, x->type.rank);
        return;
    }
    if (n->opset < 21) { /* one scale a group: spread over the group's channels */
        const Dim *g = dim_of_int(b, groups), *one = dim_of_int(b, 1), *per = floor_of(b, x->type.dim[1], groups);
        const Dim *shape[] = {g, one}, *wide[] = {g, per}, *flat = x->type.dim[1];
        scale = build_reshape(b, build_broadcast(b, build_reshape(b, scale, 2, shape), 2, wide), 1, &flat);
        bias = build_reshape(b, build_broadcast(b, build_reshape(b, bias, 2, shape), 2, wide), 1, &flat);
    }
    n->out[0] = compose_group_norm(b, x, scale, bias, groups, onnx_float(n, "epsilon", 1e-5), stash_wide(n));
}

void lower_layer_norm(OnnxNode *n)
{
    Build *b = n->b;
    Value *x = in(n, 0), *mean = NULL, *inv = NULL;
    int axes[DLVK_MAX_RANK];
    if (!x) return;
    int count = axes_from(onnx_axis(n, onnx_int(n, "axis", -1), x->type.rank), x->type.rank, axes);
    Value *y = compose_normalize(b, x, count, axes, onnx_float(n, "epsilon", 1e-5), stash_wide(n), &mean, &inv);
    if (has_in(n, 1)) y = build_map2(b, OP_MUL, y, in(n, 1));
    if (has_in(n, 2)) y = build_map2(b, OP_ADD, y, in(n, 2));
    n->out[0] = y;
    if (has_out(n, 1)) n->out[1] = mean;
    if (has_out(n, 2)) n->out[2] = inv;
}

void lower_rms_norm(OnnxNode *n)
{
    Value *x = in(n, 0);
    if (!x) return;
    int axis = onnx_axis(n, onnx_int(n, "axis", -1), x->type.rank);
    n->out[0] = compose_rms_norm(n->b, x, in(n, 1), axis, onnx_float(n, "epsilon", 1e-5), stash_wide(n));
}

void lower_mean_variance_norm(OnnxNode *n)
{
    Build *b = n->b;
    Value *x = in(n, 0);
    if (!x) return;
    int count, axes[DLVK_MAX_RANK];
    const int *given = onnx_axes(n, "axes", -1, x->type.rank, &count);
    if (!given) { /* by default all but the channels */
        count = 0;
        for (int i = 0; i < x->type.rank; i++)
            if (i != 1) axes[count++] = i;
        given = axes;
    }
    Value *d = build_map2(b, OP_SUB, x, build_mean(b, x, count, given, true));
    Value *var = build_mean(b, build_map2(b, OP_MUL, d, d), count, given, true);
    n->out[0] = build_map2(b, OP_DIV, d, build_map2s(b, OP_ADD, build_map1(b, OP_SQRT, var), 1e-9));
}

void lower_lp_norm(OnnxNode *n)
{
    Build *b = n->b;
    Value *x = in(n, 0);
    if (!x) return;
    int axis = onnx_axis(n, onnx_int(n, "axis", -1), x->type.rank);
    int64_t p = onnx_int(n, "p", 2);
    if (p != 1 && p != 2) {
        onnx_error(n, "attribute 'p' is %lld; 1 and 2 are defined", (long long)p);
        return;
    }
    Value *norm = build_reduce(b, KIND_SUM, p == 1 ? build_map1(b, OP_ABS, x) : build_map2(b, OP_MUL, x, x), 1, &axis, true);
    if (p == 2) norm = build_map1(b, OP_SQRT, norm);
    DType t = x->type.dtype;
    Value *divisor = build_map3(b, OP_SELECT, build_map2s(b, OP_EQ, norm, 0), build_scalar(b, t, 1), norm);
    n->out[0] = build_map2(b, OP_DIV, x, divisor);
}

/* x / (bias + alpha / size * sum of squares over neighbouring channels) ^ beta */
void lower_lrn(OnnxNode *n)
{
    Build *b = n->b;
    Value *x = in(n, 0);
    int64_t size = onnx_int(n, "size", 0);
    if (!x) return;
    if (size < 1 || x->type.rank < 2) {
        onnx_error(n, "attribute 'size' is %lld, the input of rank %d", (long long)size, x->type.rank);
        return;
    }
    PoolSpec s = {.n = x->type.rank - 1};
    int64_t before = (size - 1) / 2, after = size - 1 - before, channels;
    if (dim_is_const(x->type.dim[1], &channels)) { /* what reaches further adds zeros */
        int64_t reach = channels > 1 ? channels - 1 : 0;
        before = before < reach ? before : reach;
        after = after < reach ? after : reach;
    } else if (size > INT16_MAX) {
        onnx_error(n, "attribute 'size' is %lld, and the number of channels is not known", (long long)size);
        return;
    }
    for (int i = 0; i < s.n; i++) {
        s.window[i] = i ? 1 : before + 1 + after;
        s.step[i] = s.dilation[i] = 1;
        s.lo[i] = dim_of_int(b, i ? 0 : before);
        s.hi[i] = dim_of_int(b, i ? 0 : after);
    }
    Value *sum = compose_pool(b, KIND_SUM, build_map2(b, OP_MUL, x, x), &s);
    Value *base = build_map2s(b, OP_MUL, sum, onnx_float(n, "alpha", 1e-4) / (double)size);
    base = build_map2s(b, OP_ADD, base, onnx_float(n, "bias", 1));
    n->out[0] = build_map2(b, OP_DIV, x, build_map2s(b, OP_POW, base, onnx_float(n, "beta", 0.75)));
}

/* arg: 1 for LogSoftmax. Before opset 13 the operand counts as a matrix, `axis` splitting rows from columns. */
void lower_softmax(OnnxNode *n)
{
    Build *b = n->b;
    Value *x = in(n, 0);
    if (!x) return;
    int rank = x->type.rank, axis = onnx_axis(n, onnx_int(n, "axis", n->opset < 13 ? 1 : -1), rank);
    bool flat = false;
    for (int i = axis + 1; i < rank && n->opset < 13; i++) flat |= !dim_is(x->type.dim[i], 1);
    if (!flat) {
        n->out[0] = build_softmax(b, x, axis, n->arg);
        return;
    }
    Value *y = build_softmax(b, build_flatten(b, x, axis), 1, n->arg);
    n->out[0] = build_reshape(b, y, rank, x->type.dim);
}
