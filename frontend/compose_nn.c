/* Normalization and attention; see compose.h. */
#include "frontend/compose.h"
#include <math.h>

Value *compose_normalize(Build *b, Value *x, int n, const int *axes, double epsilon, bool wide, Value **mean, Value **inv_std)
{
    if (!x) return NULL;
    DType t = x->type.dtype;
    Value *y = build_normalize(b, wide ? compose_widen(b, x) : x, n, axes, epsilon, mean, inv_std);
    return build_cast(b, y, t);
}

Value *compose_layer_norm(Build *b, Value *x, Value *scale, Value *bias, int axis, double epsilon)
{
    if (!x) return NULL;
    int axes[DLVK_MAX_RANK], n = axes_from(axis, x->type.rank, axes);
    Value *y = compose_normalize(b, x, n, axes, epsilon, true, NULL, NULL);
    if (scale) y = build_map2(b, OP_MUL, y, scale);
    if (bias) y = build_map2(b, OP_ADD, y, bias);
    return y;
}

Value *compose_group_norm(Build *b, Value *x, Value *scale, Value *bias, int64_t groups, double epsilon, bool wide)
{
    if (!x) return NULL;
    int rank = x->type.rank, axes[DLVK_MAX_RANK];
    if (rank < 2 || rank >= DLVK_MAX_RANK || groups < 1) {
        ctx_error(b->ctx, DLVK_INVALID_ARGUMENT, "group normalization of rank %d in %lld groups", rank, (long long)groups);
        return NULL;
    }
    const Dim *split[DLVK_MAX_RANK] = {x->type.dim[0], dim_of_int(b, groups), floor_of(b, x->type.dim[1], groups)};
    for (int i = 2; i < rank; i++) split[i + 1] = x->type.dim[i];
    Value *y = build_reshape(b, x, rank + 1, split);
    int n = axes_from(2, rank + 1, axes);
    y = compose_normalize(b, y, n, axes, epsilon, wide, NULL, NULL);
    y = build_reshape(b, y, rank, x->type.dim);
    return compose_affine(b, y, scale, bias, 1);
}

/* Written as x * a + c with a and c free of x, so that constants fold and a convolution before can absorb both. */
static Value *batch_norm(Build *b, Value *x, Value *scale, Value *bias, Value *mean, Value *var, Value *epsilon, int axis)
{
    if (!x || !mean || !var) return NULL;
    DType t = x->type.dtype;
    Value *a = build_map1(b, OP_RSQRT, build_map2(b, OP_ADD, compose_widen(b, var), epsilon));
    if (scale && a) a = build_map2(b, OP_MUL, a, build_cast(b, scale, a->type.dtype));
    if (!a) return NULL;
    Value *c = build_map1(b, OP_NEG, build_map2(b, OP_MUL, build_cast(b, mean, a->type.dtype), a));
    if (bias) c = build_map2(b, OP_ADD, c, build_cast(b, bias, a->type.dtype));
    return build_cast(b, compose_affine(b, build_cast(b, x, a->type.dtype), a, c, axis), t);
}

static DType at_least_f32(DType t)
{
    return dtype_bits(t) < 32 ? DLVK_F32 : t;
}

Value *compose_batch_norm(Build *b, Value *x, Value *scale, Value *bias, Value *mean, Value *var, double epsilon, int axis)
{
    Value *e = var ? build_scalar(b, at_least_f32(var->type.dtype), epsilon) : NULL;
    return batch_norm(b, x, scale, bias, mean, var, e, axis);
}

Value *compose_batch_norm_call(Build *b, Value *x, Value *scale, Value *bias, Value *mean, Value *var, double epsilon)
{
    if (!x || !scale || !bias || !mean || !var) return NULL;
    Value *in[] = {x, scale, bias, mean, var, build_scalar(b, at_least_f32(var->type.dtype), epsilon)}, *param[6];
    Region *body = region_new(b->at->graph, b->at);
    Build inner = {.ctx = b->ctx, .at = body};
    for (int i = 0; i < 6; i++) param[i] = region_param(body, in[i]->type, NULL);
    *VEC_PUSH(b->ctx->pool, body->results) = batch_norm(&inner, param[0], param[1], param[2], param[3], param[4], param[5], 1);
    Attr name = {.id = A_NAME, .str = "batch_norm"};
    Node *n = build_node(b, OP_CALL, 6, in, 1, &name, 1, &body);
    return n ? n->out[0] : NULL;
}

void compose_batch_statistics(Build *b, Value *x, bool per_activation, Value *like, Value **mean, Value **var)
{
    int axes[DLVK_MAX_RANK], n = 0;
    for (int i = 0; i < x->type.rank; i++)
        if (per_activation ? i == 0 : i != 1) axes[n++] = i;
    x = compose_widen(b, x);
    Value *m = build_mean(b, x, n, axes, true), *d = build_map2(b, OP_SUB, x, m);
    Value *v = build_mean(b, build_map2(b, OP_MUL, d, d), n, axes, true);
    *mean = build_reshape(b, m, like->type.rank, like->type.dim);
    *var = build_reshape(b, v, like->type.rank, like->type.dim);
}

Value *compose_rms_norm(Build *b, Value *x, Value *scale, int axis, double epsilon, bool wide)
{
    if (!x) return NULL;
    DType t = x->type.dtype;
    int axes[DLVK_MAX_RANK], n = axes_from(axis, x->type.rank, axes);
    if (wide) x = compose_widen(b, x);
    Value *square = build_mean(b, build_map2(b, OP_MUL, x, x), n, axes, true);
    Value *y = build_map2(b, OP_MUL, x, build_map1(b, OP_RSQRT, build_map2s(b, OP_ADD, square, epsilon)));
    y = build_cast(b, y, t);
    return scale ? build_map2(b, OP_MUL, build_cast(b, y, scale->type.dtype), scale) : y;
}

/* Where scores are kept: NULL when everywhere. */
static Value *attention_allowed(Build *b, Value *scores, const AttentionSpec *s)
{
    Value *allowed = s->mask && s->mask->type.dtype == DLVK_BOOL ? s->mask : NULL;
    if (!s->has_left && !s->has_right) return allowed;
    int rank = scores->type.rank;
    Value *row = compose_index(b, scores, rank - 2, DLVK_I64), *col = compose_index(b, scores, rank - 1, DLVK_I64);
    if (s->offset) row = build_map2(b, OP_ADD, row, s->offset);
    Value *ahead = build_map2(b, OP_SUB, col, row); /* how far the key lies in the query's future */
    Value *bound[] = {s->has_left ? build_map2(b, OP_GE, ahead, build_scalar_i(b, DLVK_I64, -s->left)) : NULL,
                      s->has_right ? build_map2(b, OP_LE, ahead, build_scalar_i(b, DLVK_I64, s->right)) : NULL};
    for (int i = 0; i < 2; i++)
        if (bound[i]) allowed = allowed ? build_map2(b, OP_AND, allowed, bound[i]) : bound[i];
    return allowed;
}

static void keep_scores(const AttentionSpec *s, int stage, Value *scores)
{
    if (s->scores && s->keep == stage) *s->scores = scores;
}

Value *compose_attention(Build *b, Value *q, Value *k, Value *v, const AttentionSpec *s)
{
    if (!q || !k || !v) return NULL;
    int rank = k->type.rank, perm[DLVK_MAX_RANK];
    for (int i = 0; i < rank; i++) perm[i] = i < rank - 2 ? i : rank - 1 - (i - (rank - 2));
    DType t = q->type.dtype;
    double root = sqrt(s->scale); /* both sides are scaled, so that half floats do not overflow */
    Value *scores = build_matmul(b, build_map2s(b, OP_MUL, q, root), build_map2s(b, OP_MUL, build_transpose(b, k, perm), root));
    if (!scores) return NULL;
    keep_scores(s, 0, scores);
    if (s->softcap > 0) {
        scores = build_map1(b, OP_TANH, build_map2s(b, OP_DIV, scores, s->softcap));
        scores = build_map2s(b, OP_MUL, scores, s->softcap);
    }
    keep_scores(s, 1, scores);
    if (s->mask && s->mask->type.dtype != DLVK_BOOL) scores = build_map2(b, OP_ADD, scores, s->mask);
    Value *allowed = scores ? attention_allowed(b, scores, s) : NULL;
    if (allowed) scores = build_map3(b, OP_SELECT, allowed, scores, build_scalar(b, t, -INFINITY));
    keep_scores(s, 2, scores);
    if (!scores) return NULL;
    Value *p = build_softmax(b, build_cast(b, scores, s->softmax_type), -1, false);
    if (p && (s->mask || s->offset || s->has_left)) { /* a row of -inf only: softmax gives NaN */
        int last = -1;
        Value *top = build_reduce(b, KIND_MAX, scores, 1, &last, true);
        Value *none = build_map2s(b, OP_EQ, top, -INFINITY);
        p = build_map3(b, OP_SELECT, none, build_scalar(b, p->type.dtype, 0), p);
    }
    keep_scores(s, 3, build_cast(b, p, t));
    if (!p) return NULL;
    return build_cast(b, build_matmul(b, p, build_cast(b, v, p->type.dtype)), t);
}

/* max(x, 0) + log(1 + exp(-|x|)), with selects in the place of functions whose slopes at 0 would not add up */
Value *compose_softplus_parts(Build *b, Value *x, Value **above)
{
    if (!x) return *above = NULL;
    Value *zero = build_scalar(b, x->type.dtype, 0), *positive = build_map2(b, OP_GT, x, zero);
    *above = build_map3(b, OP_SELECT, positive, x, zero);
    Value *below = build_map3(b, OP_SELECT, positive, build_map1(b, OP_NEG, x), x);
    return build_map1(b, OP_LOG1P, build_map1(b, OP_EXP, below));
}

Value *compose_softplus(Build *b, Value *x)
{
    Value *above, *tail = compose_softplus_parts(b, x, &above);
    return build_map2(b, OP_ADD, above, tail);
}

Value *compose_gelu(Build *b, Value *x, bool by_tanh)
{
    Value *f;
    if (by_tanh) {
        Value *cubed = build_map2(b, OP_MUL, x, build_map2(b, OP_MUL, x, x));
        Value *inner = build_map2(b, OP_ADD, x, build_map2s(b, OP_MUL, cubed, 0.044715));
        f = build_map1(b, OP_TANH, build_map2s(b, OP_MUL, inner, sqrt(2 / M_PI)));
    } else {
        f = build_map1(b, OP_ERF, build_map2s(b, OP_MUL, x, sqrt(0.5)));
    }
    return build_map2(b, OP_MUL, build_map2s(b, OP_MUL, x, 0.5), build_map2s(b, OP_ADD, f, 1));
}
