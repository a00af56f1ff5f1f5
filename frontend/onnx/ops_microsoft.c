/* Operators of the domain com.microsoft that ONNX Runtime's optimizer puts in place of what exporters write: compositions of
 * others. */
#include "frontend/onnx/ops_b.h"

/* n->arg: by tanh. */
void lower_bias_gelu(OnnxNode *n)
{
    Value *x = has_in(n, 1) ? build_map2(n->b, OP_ADD, in(n, 0), in(n, 1)) : in(n, 0);
    n->out[0] = compose_gelu(n->b, x, n->arg);
}

void lower_quick_gelu(OnnxNode *n)
{
    Value *x = in(n, 0), *s = build_map2s(n->b, OP_MUL, x, onnx_float(n, "alpha", 1.702));
    n->out[0] = build_map2(n->b, OP_MUL, x, build_map1(n->b, OP_SIGMOID, s));
}

/* x with its last two axes exchanged, and before that, with transBatch, the first axis moved to the last place but one. */
static Value *turned(OnnxNode *n, Value *x, const char *trans, const char *batch)
{
    int r = x->type.rank, perm[DLVK_MAX_RANK];
    bool swap = onnx_int(n, trans, 0), first = onnx_int(n, batch, 0);
    if (r < 2 || (!swap && !first)) return x;
    for (int i = 0; i < r; i++) perm[i] = i;
    if (first) {
        for (int i = 0; i < r - 2; i++) perm[i] = i + 1;
        perm[r - 2] = 0;
    }
    if (swap) {
        int last = perm[r - 1];
        perm[r - 1] = perm[r - 2];
        perm[r - 2] = last;
    }
    return build_transpose(n->b, x, perm);
}

void lower_fused_matmul(OnnxNode *n)
{
    if (!in(n, 0) || !in(n, 1)) return;
    Value *x = turned(n, in(n, 0), "transA", "transBatchA"), *y = turned(n, in(n, 1), "transB", "transBatchB");
    n->out[0] = build_map2s(n->b, OP_MUL, build_matmul(n->b, x, y), onnx_float(n, "alpha", 1));
}

/* Inputs: x, skip, scale, bias of the norm (not with n->arg, which asks for the root mean square), bias of the sum. Outputs: the
 * norm of the sum, its mean and inverse deviation, the sum. */
void lower_skip_norm(OnnxNode *n)
{
    Build *b = n->b;
    int bias = n->arg ? 3 : 4;
    if (!in(n, 0) || !in(n, 1) || !in(n, 2)) return;
    Value *sum = build_map2(b, OP_ADD, in(n, 0), in(n, 1)), *mean = NULL, *inv = NULL;
    double epsilon = onnx_float(n, "epsilon", 1e-12);
    if (has_in(n, bias)) sum = build_map2(b, OP_ADD, sum, in(n, bias));
    if (!sum) return;
    int last = sum->type.rank - 1;
    if (n->arg) {
        n->out[0] = compose_rms_norm(b, sum, in(n, 2), last, epsilon, true);
        if (has_out(n, 1) || has_out(n, 2)) onnx_error(n, "outputs 1 and 2 are not supported");
    } else {
        Value *y = build_map2(b, OP_MUL, compose_normalize(b, sum, 1, &last, epsilon, true, &mean, &inv), in(n, 2));
        n->out[0] = has_in(n, 3) ? build_map2(b, OP_ADD, y, in(n, 3)) : y;
        if (has_out(n, 1)) n->out[1] = mean;
        if (has_out(n, 2)) n->out[2] = inv;
    }
    if (has_out(n, 3)) n->out[3] = sum;
}

/* Operand k with its scale and zero point, as f32. */
static Value *real_operand(OnnxNode *n, int k)
{
    Build *b = n->b;
    Value *x = in(n, k), *zero = in(n, k + 2);
    if (!x || !in(n, k + 1)) return NULL;
    x = build_cast(b, x, DLVK_I32);
    if (zero) x = build_map2(b, OP_SUB, x, build_cast(b, zero, DLVK_I32));
    return build_map2(b, OP_MUL, build_cast(b, x, DLVK_F32), in(n, k + 1));
}

/* n->arg: the op on the real values. */
void lower_qlinear_map2(OnnxNode *n)
{
    Value *x = real_operand(n, 0), *y = real_operand(n, 3);
    if (!x || !y || !in(n, 6)) return;
    n->out[0] = onnx_requantize(n, build_map2(n->b, (Op)n->arg, x, y), in(n, 6), in(n, 7), in(n, 0)->type.dtype);
}

/* A, its scale and zero point, the same of B, where they may be one for each column, C of int32, scale and zero point of the
 * result. Without these last the result is real. */
void lower_qgemm(OnnxNode *n)
{
    Build *b = n->b;
    Value *x = in(n, 0), *y = in(n, 3);
    const int swap[] = {1, 0};
    if (!x || !y || !in(n, 1) || !in(n, 4)) return;
    if (x->type.rank != 2 || y->type.rank != 2) {
        onnx_error(n, "operands of rank %d and %d; both must be matrices", x->type.rank, y->type.rank);
        return;
    }
    bool turn_y = onnx_int(n, "transB", 0);
    x = onnx_centered(n, x, in(n, 2), 0);
    y = onnx_centered(n, y, in(n, 5), turn_y ? 0 : 1);
    if (onnx_int(n, "transA", 0)) x = build_transpose(b, x, swap);
    if (turn_y) y = build_transpose(b, y, swap);
    Value *sum = build_matmul(b, x, y);
    if (has_in(n, 6)) sum = build_map2(b, OP_ADD, sum, in(n, 6));
    Value *scale = build_map2s(b, OP_MUL, build_map2(b, OP_MUL, in(n, 1), in(n, 4)), onnx_float(n, "alpha", 1));
    Value *real = build_map2(b, OP_MUL, build_cast(b, sum, DLVK_F32), scale);
    n->out[0] = has_in(n, 7) ? onnx_requantize(n, real, in(n, 7), in(n, 8), in(n, 0)->type.dtype) : real;
}
