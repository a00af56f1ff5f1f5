/* Losses; see compose.h. */
#include "frontend/compose.h"

Value *compose_loss_reduce(Build *b, Value *loss, int reduction)
{
    if (reduction == LOSS_SUM) return build_reduce(b, KIND_SUM, loss, 0, NULL, false);
    if (reduction == LOSS_MEAN) return build_mean(b, loss, 0, NULL, false);
    return loss;
}

/* The chosen class is picked by comparison and a sum, not by a gather: it fuses with the softmax before, an index outside the
 * classes picks nothing, and its gradient is a plain select. */
Value *compose_nll_loss(Build *b, Value *log_prob, Value *target, Value *weight, bool has_ignore, int64_t ignore, int reduction)
{
    if (!log_prob || !target) return NULL;
    DType t = log_prob->type.dtype, it = target->type.dtype;
    if (target->type.rank + 1 != log_prob->type.rank) {
        ctx_error(b->ctx, DLVK_INVALID_ARGUMENT, "targets of rank %d for scores of rank %d", target->type.rank,
                  log_prob->type.rank);
        return NULL;
    }
    int axis = 1;
    Value *hit = build_map2(b, OP_EQ, compose_index(b, log_prob, 1, it), build_unsqueeze(b, target, 1, &axis));
    Value *keep = has_ignore ? build_map2(b, OP_NE, target, build_scalar_i(b, it, ignore)) : NULL;
    Value *zero = build_scalar(b, t, 0);
    Value *loss =
        build_map1(b, OP_NEG, build_reduce(b, KIND_SUM, build_map3(b, OP_SELECT, hit, log_prob, zero), 1, &axis, false));
    Value *w = NULL; /* weight of each element, where they are not all one */
    if (weight)
        w = build_reduce(b, KIND_SUM, build_map3(b, OP_SELECT, hit, compose_along(b, weight, log_prob->type.rank, 1), zero), 1,
                         &axis, false);
    if (w) loss = build_map2(b, OP_MUL, loss, w);
    if (keep) {
        loss = build_map3(b, OP_SELECT, keep, loss, zero);
        w = build_map3(b, OP_SELECT, keep, w ? w : build_scalar(b, t, 1), zero);
    }
    if (reduction != LOSS_MEAN || !w) return compose_loss_reduce(b, loss, reduction);
    return build_map2(b, OP_DIV, compose_loss_reduce(b, loss, LOSS_SUM), compose_loss_reduce(b, w, LOSS_SUM));
}

Value *compose_mse_loss(Build *b, Value *x, Value *target, int reduction)
{
    Value *d = build_map2(b, OP_SUB, x, target);
    return compose_loss_reduce(b, build_map2(b, OP_MUL, d, d), reduction);
}

static Value *distance(Build *b, Value *x, Value *target)
{
    return build_map1(b, OP_ABS, build_map2(b, OP_SUB, x, target));
}

Value *compose_l1_loss(Build *b, Value *x, Value *target, int reduction)
{
    return compose_loss_reduce(b, distance(b, x, target), reduction);
}

Value *compose_huber_loss(Build *b, Value *x, Value *target, double delta, int reduction)
{
    Value *d = distance(b, x, target);
    if (!d) return NULL;
    Value *inner = build_map2s(b, OP_MUL, build_map2(b, OP_MUL, d, d), 0.5);
    Value *outer = build_map2s(b, OP_MUL, build_map2s(b, OP_SUB, d, delta / 2), delta);
    return compose_loss_reduce(b, build_map3(b, OP_SELECT, build_map2s(b, OP_LT, d, delta), inner, outer), reduction);
}

/* softplus(x) - x t; what is small comes last, so that it is not lost where max(x, 0) and x t are alike */
Value *compose_bce_loss(Build *b, Value *x, Value *target, int reduction)
{
    Value *above, *tail = compose_softplus_parts(b, x, &above);
    Value *rest = build_map2(b, OP_SUB, above, build_map2(b, OP_MUL, x, target));
    return compose_loss_reduce(b, build_map2(b, OP_ADD, rest, tail), reduction);
}

Value *compose_kl_loss(Build *b, Value *log_prob, Value *target, int reduction)
{
    if (!target) return NULL;
    Value *zero = build_scalar(b, target->type.dtype, 0), *positive = build_map2(b, OP_GT, target, zero);
    Value *log_target = build_map1(b, OP_LOG, build_map3(b, OP_SELECT, positive, target, build_scalar(b, target->type.dtype, 1)));
    return compose_loss_reduce(b, build_map2(b, OP_MUL, target, build_map2(b, OP_SUB, log_target, log_prob)), reduction);
}

/* -sum over classes of weight * p * log_prob; p NULL: 1 everywhere. */
static Value *class_sum(Build *b, Value *log_prob, Value *p, Value *weight)
{
    int axis = 1;
    if (p) log_prob = build_map2(b, OP_MUL, log_prob, p);
    if (weight && log_prob) log_prob = build_map2(b, OP_MUL, log_prob, compose_along(b, weight, log_prob->type.rank, 1));
    return build_map1(b, OP_NEG, build_reduce(b, KIND_SUM, log_prob, 1, &axis, false));
}

Value *compose_cross_entropy_loss(Build *b, Value *logits, Value *target, const CrossEntropySpec *s)
{
    if (!logits || !target) return NULL;
    DType t = logits->type.dtype;
    Value *lp = build_softmax(b, logits, 1, true), *classes = build_cast(b, build_dims(b, DLVK_I64, -1, &logits->type.dim[1]), t);
    if (target->type.rank == logits->type.rank) { /* probabilities */
        Value *p = build_cast(b, target, t);
        if (s->smoothing > 0) {
            p = build_map2s(b, OP_MUL, p, 1 - s->smoothing);
            p = build_map2(b, OP_ADD, p, build_map2(b, OP_DIV, build_scalar(b, t, s->smoothing), classes));
        }
        return compose_loss_reduce(b, class_sum(b, lp, p, s->weight), s->reduction);
    }
    if (s->smoothing <= 0) return compose_nll_loss(b, lp, target, s->weight, s->has_ignore, s->ignore, s->reduction);
    Value *one =
        build_map2s(b, OP_MUL, compose_nll_loss(b, lp, target, s->weight, s->has_ignore, s->ignore, LOSS_NONE), 1 - s->smoothing);
    Value *all = build_map2(b, OP_DIV, build_map2s(b, OP_MUL, class_sum(b, lp, NULL, s->weight), s->smoothing), classes);
    if (s->has_ignore) {
        Value *keep = build_map2(b, OP_NE, target, build_scalar_i(b, target->type.dtype, s->ignore));
        all = build_map3(b, OP_SELECT, keep, all, build_scalar(b, t, 0));
    }
    Value *loss = build_map2(b, OP_ADD, one, all);
    if (s->reduction != LOSS_MEAN) return compose_loss_reduce(b, loss, s->reduction);
    /* the mean is over the weights of the targets: the loss of a log probability of -1 everywhere */
    Value *count = compose_nll_loss(b, build_full(b, logits->type, -1), target, s->weight, s->has_ignore, s->ignore, LOSS_SUM);
    return build_map2(b, OP_DIV, compose_loss_reduce(b, loss, LOSS_SUM), count);
}
