/* Operators of the domain com.microsoft that ONNX Runtime's optimizer puts in place of what exporters write: compositions of
 * others. */
#include "frontend/onnx/indexing.h"
#include "frontend/onnx/ops_b.h"
#include <math.h>

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

/* Attention of [batch, seq, hidden] operands. padding: integers [batch, keys], 0 where a key is padding, or [batch], the number
 * of keys that are none; bias is added to the scores; either may be NULL. past, present: the inputs and outputs of earlier keys
 * and values, below 0 where there are none. */
static void microsoft_attention(OnnxNode *n, Value *q, Value *k, Value *v, Value *padding, Value *bias, int past, int present)
{
    Build *b = n->b;
    int64_t size;
    Value *x[3] = {onnx_split_heads(n, q, "num_heads"), onnx_split_heads(n, k, "num_heads"), onnx_split_heads(n, v, "num_heads")};
    for (int i = 1; i < 3; i++) {
        Value *both[] = {past >= 0 && has_in(n, past + i - 1) ? in(n, past + i - 1) : NULL, x[i]};
        if (both[0]) x[i] = build_concat(b, 2, both, 2);
        if (present >= 0 && has_out(n, present + i - 1)) n->out[present + i - 1] = x[i];
    }
    if (!x[0] || !x[1] || !x[2]) return;
    DType t = x[0]->type.dtype;
    double scale = onnx_float(n, "scale", 0);
    if (scale == 0 && !dim_is_const(x[0]->type.dim[3], &size)) {
        onnx_error(n, "the head size is unknown and attribute 'scale' is missing");
        return;
    }
    AttentionSpec s = {.scale = scale ? scale : 1 / sqrt((double)size), .softmax_type = t, .mask = bias};
    if (padding) {
        const Dim *keys = x[1]->type.dim[2], *row[] = {dim_of_int(b, 1), dim_of_int(b, 1), dim_of_int(b, 1), keys};
        int middle[] = {1, 2};
        padding = build_cast(b, padding, DLVK_I64);
        if (padding->type.rank == 1)
            padding = build_map2(b, OP_LT, build_iota(b, DLVK_I64, 4, row, 3), compose_along(b, padding, 4, 0));
        else if (padding->type.rank == 2)
            padding = build_map2s(b, OP_NE, build_unsqueeze(b, padding, 2, middle), 0);
        else {
            onnx_error(n, "a mask of rank %d is not supported", padding->type.rank);
            return;
        }
        Value *filter = build_scalar(b, t, onnx_float(n, "mask_filter_value", -10000));
        padding = build_map3(b, OP_SELECT, padding, build_scalar(b, t, 0), filter);
        s.mask = bias ? build_map2(b, OP_ADD, bias, padding) : padding;
    }
    if (onnx_int(n, "unidirectional", 0)) { /* the last query sees the last key */
        const Dim *ahead = minus(b, x[1]->type.dim[2], x[0]->type.dim[2]);
        s.has_right = true;
        s.offset = dim_value(b, DLVK_I64, ahead);
    }
    n->out[0] = onnx_join_heads(n, compose_attention(b, x[0], x[1], x[2], &s));
}

/* Inputs: query, key, value, bias of all three in a row, padding, bias of the scores, past keys, past values. */
void lower_multi_head_attention(OnnxNode *n)
{
    Build *b = n->b;
    Value *x[3] = {in(n, 0), in(n, 1), in(n, 2)};
    if (!x[0] || !x[1] || !x[2] || x[0]->type.rank != 3 || x[1]->type.rank != 3 || x[2]->type.rank != 3) {
        onnx_error(n, "query, key and value must be three inputs of rank 3; packed ones are not supported");
        return;
    }
    const Dim *at = dim_of_int(b, 0);
    for (int i = 0; i < 3 && has_in(n, 3); i++) {
        const Dim *width = x[i]->type.dim[2];
        x[i] = build_map2(b, OP_ADD, x[i], build_slice_axis(b, in(n, 3), 0, at, width));
        if (!x[i]) return;
        at = plus(b, at, width);
    }
    microsoft_attention(n, x[0], x[1], x[2], in(n, 4), in(n, 5), 6, 1);
}

/* Inputs: x, weights and bias of query, key and value side by side, padding, past (not supported), bias of the scores. */
void lower_packed_attention(OnnxNode *n)
{
    Build *b = n->b;
    if (!in(n, 0) || !in(n, 1)) return;
    if (has_in(n, 4) || has_out(n, 1) || onnx_has(n, "qkv_hidden_sizes") || onnx_int(n, "do_rotary", 0)) {
        onnx_error(n, "past, present, 'qkv_hidden_sizes' and 'do_rotary' are not supported");
        return;
    }
    Value *all = build_matmul(b, in(n, 0), in(n, 1)), *x[3];
    if (has_in(n, 2)) all = build_map2(b, OP_ADD, all, in(n, 2));
    if (!all) return;
    if (all->type.rank != 3) {
        onnx_error(n, "an input of rank %d; it must be 3", in(n, 0)->type.rank);
        return;
    }
    const Dim *width = floor_of(b, all->type.dim[2], 3);
    for (int i = 0; i < 3; i++) x[i] = build_slice_axis(b, all, 2, times_int(b, width, i), width);
    microsoft_attention(n, x[0], x[1], x[2], in(n, 3), in(n, 5), -1, -1);
}

/* Bytes [.., m] as the two numbers of 4 bits that each holds, the low one first: f32 [.., 2 m]. */
static Value *nibbles(Build *b, Value *x)
{
    if (!x) return NULL;
    int rank = x->type.rank;
    Value *part[] = {build_map2(b, OP_AND, x, build_scalar_i(b, DLVK_U8, 15)),
                     build_map2(b, OP_SHR, x, build_scalar_i(b, DLVK_U8, 4))};
    const Dim *shape[DLVK_MAX_RANK];
    for (int i = 0; i < rank; i++) shape[i] = i == rank - 1 ? times_int(b, x->type.dim[i], 2) : x->type.dim[i];
    for (int i = 0; i < 2; i++) part[i] = build_unsqueeze(b, part[i], 1, &rank);
    return build_cast(b, build_reshape(b, build_concat(b, 2, part, rank), rank, shape), DLVK_F32);
}

/* x [.., K] times the transpose of a matrix [N, K] of 4-bit numbers in blocks along K: bytes [N, blocks, block_size / 2], scales
 * [N, blocks], zero points (8 where there are none) packed the same way [N, (blocks + 1) / 2] or of x's type [N, blocks]. */
void lower_matmul_nbits(OnnxNode *n)
{
    Build *b = n->b;
    Value *x = in(n, 0), *w = in(n, 1), *zero = in(n, 3);
    int64_t k = onnx_int(n, "K", 0), rows = onnx_int(n, "N", 0), block = onnx_int(n, "block_size", 0),
            bits = onnx_int(n, "bits", 4);
    if (!x || !w || !in(n, 2) || (has_in(n, 3) && !zero)) return;
    if (bits != 4 || has_in(n, 4) || k < 1 || k > INT32_MAX || rows < 1 || rows > INT32_MAX || block < 2 || block > INT32_MAX ||
        block % 2) {
        onnx_error(n, "bits %lld, K %lld, N %lld, block_size %lld, or an input g_idx, are not supported", (long long)bits,
                   (long long)k, (long long)rows, (long long)block);
        return;
    }
    int64_t blocks = (k + block - 1) / block;
    const Dim *one = dim_of_int(b, 1), *start = dim_of_int(b, 0), *many = dim_of_int(b, blocks);
    const Dim *bytes[] = {dim_of_int(b, rows), many, dim_of_int(b, block / 2)}, *each[] = {bytes[0], many, one};
    const Dim *packed[] = {bytes[0], dim_of_int(b, (blocks + 1) / 2)}, *flat_shape[] = {bytes[0], dim_of_int(b, blocks * block)};
    const int swap[] = {1, 0};
    w = nibbles(b, build_reshape(b, w, 3, bytes));
    if (zero && zero->type.dtype == DLVK_U8)
        zero = build_slice_axis(b, nibbles(b, build_reshape(b, zero, 2, packed)), 1, start, many);
    w = zero ? build_map2(b, OP_SUB, w, build_cast(b, build_reshape(b, zero, 3, each), DLVK_F32)) : build_map2s(b, OP_SUB, w, 8);
    w = build_map2(b, OP_MUL, w, build_cast(b, build_reshape(b, in(n, 2), 3, each), DLVK_F32));
    w = build_slice_axis(b, build_reshape(b, w, 2, flat_shape), 1, start, dim_of_int(b, k));
    Value *y = build_matmul(b, x, build_cast(b, build_transpose(b, w, swap), x->type.dtype));
    n->out[0] = has_in(n, 5) ? build_map2(b, OP_ADD, y, in(n, 5)) : y;
}
