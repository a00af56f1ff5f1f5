/* Losses. */
#include "frontend/onnx/ops_b.h"
#include <string.h>

static bool loss_reduction(OnnxNode *n, int *reduction)
{
    const char *r = onnx_str(n, "reduction", "mean");
    *reduction = strcmp(r, "none") == 0 ? LOSS_NONE : strcmp(r, "sum") == 0 ? LOSS_SUM : LOSS_MEAN;
    if (*reduction != LOSS_MEAN || strcmp(r, "mean") == 0) return true;
    onnx_error(n, "attribute 'reduction' is '%s'", r);
    return false;
}

static Value *nll(OnnxNode *n, Value *log_prob)
{
    int reduction;
    if (!loss_reduction(n, &reduction)) return NULL;
    return compose_nll_loss(n->b, log_prob, in(n, 1), in(n, 2), onnx_has(n, "ignore_index"), onnx_int(n, "ignore_index", 0),
                            reduction);
}

void lower_nll_loss(OnnxNode *n)
{
    n->out[0] = nll(n, in(n, 0));
}

void lower_softmax_cross_entropy(OnnxNode *n)
{
    Value *log_prob = build_softmax(n->b, in(n, 0), 1, true);
    n->out[0] = nll(n, log_prob);
    if (has_out(n, 1)) n->out[1] = log_prob;
}
