/* ai.onnx.preview.training: one step of an optimizer for several tensors at once. */
#include "frontend/onnx/ops_b.h"
#include <string.h>

/* The number of tensors when each comes with `kinds` inputs after R and T; 0, with an error, when it does not divide. */
static int tensors(OnnxNode *n, int kinds)
{
    int count = (n->n_in - 2) / kinds;
    if (count > 0 && n->n_in == 2 + count * kinds && n->n_out == count * (kinds - 1)) return count;
    onnx_error(n, "%d inputs and %d outputs", n->n_in, n->n_out);
    return 0;
}

static Value *scalar(OnnxNode *n, int i, DType t)
{
    return build_cast(n->b, build_reshape(n->b, in(n, i), 0, NULL), t);
}

/* g + norm_coefficient * x */
static Value *regularized(OnnxNode *n, Value *x, Value *g)
{
    double c = onnx_float(n, "norm_coefficient", 0);
    return c == 0 ? g : build_map2(n->b, OP_ADD, build_map2s(n->b, OP_MUL, x, c), g);
}

/* a * x + c * y */
static Value *blend(Build *b, double a, Value *x, double c, Value *y)
{
    return build_map2(b, OP_ADD, build_map2s(b, OP_MUL, x, a), build_map2s(b, OP_MUL, y, c));
}

void lower_adagrad(OnnxNode *n)
{
    Build *b = n->b;
    int count = tensors(n, 3);
    for (int i = 0; i < count; i++) {
        Value *x = in(n, 2 + i), *h = in(n, 2 + 2 * count + i), *g = regularized(n, x, in(n, 2 + count + i));
        if (!x || !g || !h) continue;
        DType t = x->type.dtype;
        Value *decay = build_map2s(b, OP_ADD, build_map2s(b, OP_MUL, scalar(n, 1, t), onnx_float(n, "decay_factor", 0)), 1);
        Value *rate = build_map2(b, OP_DIV, scalar(n, 0, t), decay);
        Value *h_new = build_map2(b, OP_ADD, h, build_map2(b, OP_MUL, g, g));
        Value *adaptive = build_map2s(b, OP_ADD, build_map1(b, OP_SQRT, h_new), onnx_float(n, "epsilon", 1e-6));
        n->out[i] = build_map2(b, OP_SUB, x, build_map2(b, OP_DIV, build_map2(b, OP_MUL, rate, g), adaptive));
        n->out[count + i] = h_new;
    }
}

void lower_adam(OnnxNode *n)
{
    Build *b = n->b;
    int count = tensors(n, 4);
    double alpha = onnx_float(n, "alpha", 0.9), beta = onnx_float(n, "beta", 0.999);
    for (int i = 0; i < count; i++) {
        Value *x = in(n, 2 + i), *g = regularized(n, x, in(n, 2 + count + i));
        Value *v = in(n, 2 + 2 * count + i), *h = in(n, 2 + 3 * count + i);
        if (!x || !g || !v || !h) continue;
        DType t = x->type.dtype;
        Value *rate = scalar(n, 0, t), *step = scalar(n, 1, t), *one = build_scalar(b, t, 1);
        Value *v_new = blend(b, alpha, v, 1 - alpha, g), *h_new = blend(b, beta, h, 1 - beta, build_map2(b, OP_MUL, g, g));
        Value *beta_t = build_map2(b, OP_POW, build_scalar(b, t, beta), step);
        Value *alpha_t = build_map2(b, OP_POW, build_scalar(b, t, alpha), step);
        Value *unbiased = build_map2(b, OP_DIV, build_map1(b, OP_SQRT, build_map2(b, OP_SUB, one, beta_t)),
                                     build_map2(b, OP_SUB, one, alpha_t));
        unbiased = build_map3(b, OP_SELECT, build_map2s(b, OP_GT, step, 0), unbiased, one);
        rate = build_map2(b, OP_MUL, rate, unbiased);
        Value *size = build_map2s(b, OP_ADD, build_map1(b, OP_SQRT, h_new), onnx_float(n, "epsilon", 1e-6));
        Value *moved = build_map2(b, OP_SUB, x, build_map2(b, OP_DIV, build_map2(b, OP_MUL, rate, v_new), size));
        n->out[i] = build_map2s(b, OP_MUL, moved, 1 - onnx_float(n, "norm_coefficient_post", 0));
        n->out[count + i] = v_new;
        n->out[2 * count + i] = h_new;
    }
}

void lower_momentum(OnnxNode *n)
{
    Build *b = n->b;
    int count = tensors(n, 3);
    double alpha = onnx_float(n, "alpha", 0), beta = onnx_float(n, "beta", 1);
    const char *mode = onnx_word(n, "mode", "standard nesterov");
    if (!mode || !onnx_needs(n, "mode") || !onnx_needs(n, "alpha") || !onnx_needs(n, "beta") ||
        !onnx_needs(n, "norm_coefficient"))
        return;
    bool nesterov = strcmp(mode, "nesterov") == 0;
    for (int i = 0; i < count; i++) {
        Value *x = in(n, 2 + i), *v = in(n, 2 + 2 * count + i), *g = regularized(n, x, in(n, 2 + count + i));
        if (!x || !g || !v) continue;
        DType t = x->type.dtype;
        Value *later = build_map2s(b, OP_GT, scalar(n, 1, t), 0);
        Value *used = build_map3(b, OP_SELECT, later, build_scalar(b, t, beta), build_scalar(b, t, 1));
        Value *v_new = build_map2(b, OP_ADD, build_map2s(b, OP_MUL, v, alpha), build_map2(b, OP_MUL, used, g));
        Value *way = nesterov ? build_map2(b, OP_ADD, g, build_map2s(b, OP_MUL, v_new, alpha)) : v_new;
        n->out[i] = build_map2(b, OP_SUB, x, build_map2(b, OP_MUL, scalar(n, 0, t), way));
        n->out[count + i] = v_new;
    }
}
