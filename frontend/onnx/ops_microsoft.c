/* Operators of the domain com.microsoft that ONNX Runtime's optimizer puts in place of what exporters write: compositions of
 * others. */
#include "frontend/onnx/indexing.h"
#include "frontend/onnx/ops_b.h"
#include <string.h>

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

/* Embeddings of words, positions and segments (or none), added up and normalized. Inputs: words, segments, the three tables,
 * scale and bias of the norm, mask, positions. */
void lower_embed_layer_norm(OnnxNode *n)
{
    Build *b = n->b;
    const int last = 1;
    Value *words = in(n, 0), *at = in(n, 8), *mask = in(n, 7);
    if (!words || !in(n, 2) || !in(n, 3)) return;
    if (words->type.rank != 2) {
        onnx_error(n, "words of rank %d; it must be 2", words->type.rank);
        return;
    }
    if (!at) at = build_iota(b, DLVK_I64, 2, words->type.dim, 1);
    Value *sum = build_map2(b, OP_ADD, build_gather(b, in(n, 2), words, 0), build_gather(b, in(n, 3), at, 0));
    if (has_in(n, 1) && in(n, 4)) sum = build_map2(b, OP_ADD, sum, build_gather(b, in(n, 4), in(n, 1), 0));
    n->out[0] = compose_layer_norm(b, sum, in(n, 5), in(n, 6), 2, onnx_float(n, "epsilon", 1e-12));
    if (has_out(n, 1))
        n->out[1] =
            mask ? build_reduce(b, KIND_SUM, mask, 1, &last, false) : build_full(b, (Type){DLVK_I32, 1, words->type.dim}, 0);
    if (has_out(n, 2)) n->out[2] = sum;
}

/* x with channels moved to the last axis, or back from there. */
static Value *channels(Build *b, Value *x, bool to_last)
{
    int perm[DLVK_MAX_RANK], r = x ? x->type.rank : 0;
    for (int i = 0; i < r; i++) perm[i] = i == 0 ? 0 : to_last ? (i == r - 1 ? 1 : i + 1) : (i == 1 ? r - 1 : i - 1);
    return r < 3 ? x : build_transpose(b, x, perm);
}

/* Another operator with an activation behind it; n->arg: x, result and sum have their channels last, and so have the weights of
 * NhwcConv, but not those of NhwcFusedConv. Conv adds its fourth input before that. */
void lower_fused(OnnxNode *n)
{
    Build *b = n->b;
    const char *op = n->proto->op_type, *f = onnx_str(n, "activation", "");
    bool conv = strstr(op, "Conv") != NULL;
    Value *x[3], *y;
    int params, count, used = 0;
    const float *p = onnx_floats(n, "activation_params", &count);
    OnnxActivation a;
    for (int i = 0; i < 3; i++) {
        bool last = n->arg && (i == 0 || (i == 1 && strcmp(op, "NhwcConv") == 0));
        x[i] = last ? channels(b, in(n, i), false) : in(n, i);
    }
    if (!onnx_apply(n, conv ? "Conv" : "Gemm", 13, 3, x, 1, &y)) return;
    if (n->arg) y = channels(b, y, true);
    if (conv && has_in(n, 3)) y = build_map2(b, OP_ADD, y, in(n, 3));
    if (strcmp(f, "Clip") == 0 && p && count == 2 && y) {
        y = build_clamp(b, y, build_scalar(b, y->type.dtype, (double)p[0]), build_scalar(b, y->type.dtype, (double)p[1]));
    } else if (*f) {
        if (!onnx_activation(n, f, &a, &params)) return;
        a.alpha = p && used < count && params > 0 ? (double)p[used++] : onnx_float(n, "activation_alpha", a.alpha);
        a.beta = p && used < count && params > 1 ? (double)p[used++] : onnx_float(n, "activation_beta", a.beta);
        y = onnx_activate(b, &a, y);
    }
    n->out[0] = y;
}

/* Operand k with its scale and zero point, as f32. */
static Value *real_operand(OnnxNode *n, int k)
{
    if (!in(n, k) || !in(n, k + 1)) return NULL;
    Value *x = build_cast(n->b, onnx_centered(n, in(n, k), in(n, k + 2), 0), DLVK_F32);
    return build_map2(n->b, OP_MUL, x, in(n, k + 1));
}

/* QLinearX: operator X on real values. n->arg: how many operands, each with its scale and zero point, there are; scale and zero
 * point of the result come behind them, or, where their number is open (0), before. Where's condition comes first. */
void lower_qlinear(OnnxNode *n)
{
    Build *b = n->b;
    const char *op = n->proto->op_type + strlen("QLinear");
    int extra = strcmp(op, "Where") == 0, count = n->arg ? n->arg : (n->n_in - 2) / 3, first = n->arg ? extra : 2;
    int scale = n->arg ? first + 3 * count : 0, opset = (int)onnx_int(n, "opset", 13);
    bool last = onnx_int(n, "channels_last", 0) != 0;
    Value **x = POOL_ARRAY(b->ctx->pool, Value *, count + extra), *y;
    if (extra) x[0] = in(n, 0);
    for (int i = 0; i < count; i++) {
        x[extra + i] = real_operand(n, first + 3 * i);
        if (!x[extra + i]) return;
        if (last) x[extra + i] = channels(b, x[extra + i], false);
    }
    if (!has_in(n, scale)) onnx_error(n, "input %d, the scale of the result, is missing", scale);
    if (!in(n, scale) || !onnx_apply(n, op, opset, count + extra, x, 1, &y)) return;
    n->out[0] =
        onnx_requantize(n, last ? channels(b, y, true) : y, NULL, in(n, scale), in(n, scale + 1), in(n, first)->type.dtype);
}

/* The product of integer matrices, as reals: the product of their scales times it. */
static Value *scaled_product(OnnxNode *n, Value *x, Value *x_scale, Value *x_zero, Value *y, Value *y_scale, Value *y_zero)
{
    Build *b = n->b;
    Value *operand[] = {x, y, x_zero, y_zero}, *sum;
    if (!x || !y || !x_scale || !y_scale || !onnx_apply(n, "MatMulInteger", 10, 4, operand, 1, &sum)) return NULL;
    return build_map2(b, OP_MUL, build_cast(b, sum, DLVK_F32), build_map2(b, OP_MUL, x_scale, y_scale));
}

/* A, B, their scales, their zero points, bias. */
void lower_matmul_integer_to_float(OnnxNode *n)
{
    Value *y = scaled_product(n, in(n, 0), in(n, 2), in(n, 4), in(n, 1), in(n, 3), in(n, 5));
    n->out[0] = has_in(n, 6) ? build_map2(n->b, OP_ADD, y, in(n, 6)) : y;
}

/* A, which is quantized here, B, its scale, its zero point, bias. */
void lower_dynamic_quantize_matmul(OnnxNode *n)
{
    Value *x = in(n, 0), *q[3];
    if (!x || !onnx_apply(n, "DynamicQuantizeLinear", 11, 1, &x, 3, q)) return;
    Value *y = scaled_product(n, q[0], q[1], q[2], in(n, 1), in(n, 2), in(n, 3));
    n->out[0] = has_in(n, 4) ? build_map2(n->b, OP_ADD, y, in(n, 4)) : y;
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
    n->out[0] = has_in(n, 7) ? onnx_requantize(n, sum, scale, in(n, 7), in(n, 8), in(n, 0)->type.dtype)
                             : build_map2(b, OP_MUL, build_cast(b, sum, DLVK_F32), scale);
}

/* Weights [directions, in, gates] as reals [directions, gates, in]; scale and zero point, inputs k and k + 1, are one a
 * direction, or one a gate of each. */
static Value *real_weights(OnnxNode *n, Value *w, int k)
{
    Build *b = n->b;
    const int swap[] = {0, 2, 1}, axes[] = {1, 2};
    Value *per[] = {in(n, k), in(n, k + 1)};
    if (!w || !per[0] || !per[1]) return NULL;
    for (int i = 0; i < 2; i++) {
        int rank = per[i]->type.rank;
        if (rank < 1 || rank > 3) {
            onnx_error(n, "input %d, scale or zero point of weights, is of rank %d; it must be 1 to 3", k + i, rank);
            return NULL;
        }
        per[i] = build_cast(b, build_unsqueeze(b, per[i], 3 - rank, axes), DLVK_F32);
    }
    Value *x = build_map2(b, OP_SUB, build_cast(b, w, DLVK_F32), per[1]);
    return build_transpose(b, build_map2(b, OP_MUL, x, per[0]), swap);
}

/* LSTM's inputs with weights of 8 bits, whose scales and zero points follow. Input and state stay as they are: rounding them to 8
 * bits, too, is how ONNX Runtime saves time. */
void lower_dynamic_quantize_lstm(OnnxNode *n)
{
    Value *x[8];
    for (int i = 0; i < 8; i++) x[i] = in(n, i);
    for (int i = 0; i < 2; i++) x[1 + i] = real_weights(n, x[1 + i], 8 + 2 * i);
    if (x[0] && x[1] && x[2]) onnx_apply(n, "LSTM", 14, 8, x, n->n_out, n->out);
}

/* Which keys are none of padding, [batch, 1, 1, keys]. ends: their number [batch]; or where they end and then where they begin,
 * [2 * batch]; or [3 * batch + 2], their number and then where each batch element would begin if padding were left out, which
 * does not matter here. */
static Value *real_keys(Build *b, Value *ends, const Dim *batch, const Dim *keys)
{
    const Dim *one = dim_of_int(b, 1), *row[] = {one, one, one, keys}, *none = dim_of_int(b, 0), *count = ends->type.dim[0];
    Value *at = build_iota(b, DLVK_I64, 4, row, 3);
    bool begins = dim_is(minus(b, count, times_int(b, batch, 2)), 0),
         packed = dim_is(minus(b, count, plus_int(b, times_int(b, batch, 3), 2)), 0);
    Value *end = begins || packed ? build_slice_axis(b, ends, 0, none, batch) : ends;
    Value *real = build_map2(b, OP_LT, at, compose_along(b, end, 4, 0));
    if (!begins) return real;
    Value *begin = build_slice_axis(b, ends, 0, batch, batch);
    return build_map2(b, OP_AND, real, build_map2(b, OP_GE, at, compose_along(b, begin, 4, 0)));
}

/* Attention of x = query, key, value, [batch, seq, hidden] each, or [batch, heads, seq, size]. padding: integers [batch, keys] or
 * [batch, queries, keys], 0 where a key is padding, or of rank 1 (real_keys); bias is added to the scores; either may be NULL.
 * past: earlier keys and values, or NULL; present: gets them with the new ones behind. */
static void microsoft_attention(OnnxNode *n, Value **x, Value *padding, Value *bias, Value **past, Value **present)
{
    Build *b = n->b;
    for (int i = 0; i < 3; i++) {
        Value *both[] = {i > 0 ? past[i - 1] : NULL, onnx_split_heads(n, x[i], "num_heads")};
        if (both[0] && both[0]->type.rank != 4) onnx_error(n, "past keys or values of rank %d, not 4", both[0]->type.rank);
        if (!both[1] || (both[0] && both[0]->type.rank != 4)) return;
        x[i] = both[0] ? build_concat(b, 2, both, 2) : both[1];
        if (!x[i]) return;
        if (i > 0) present[i - 1] = x[i];
    }
    DType t = x[0]->type.dtype;
    AttentionSpec s = {.scale = onnx_head_scale(n, &x[0], 0), .softmax_type = t, .mask = bias};
    if (padding) {
        const Dim *keys = x[1]->type.dim[2];
        int middle[] = {1, 2}, rank = padding->type.rank;
        padding = build_cast(b, padding, DLVK_I64);
        if (rank == 1)
            padding = real_keys(b, padding, x[0]->type.dim[0], keys);
        else if (rank == 2 || rank == 3)
            padding = build_map2s(b, OP_NE, build_unsqueeze(b, padding, 4 - rank, middle), 0);
        else {
            onnx_error(n, "a mask of rank %d is not supported", rank);
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

/* Pieces of x along its last axis; width[] NULL: all alike. False after an error. */
static bool pieces(Build *b, Value *x, int count, const Dim *const *width, Value **piece)
{
    if (!x) return false;
    if (!x->type.rank) ctx_error(b->ctx, DLVK_INVALID_ARGUMENT, "a scalar cannot be cut into %d", count);
    if (!x->type.rank) return false;
    int last = x->type.rank - 1;
    const Dim *at = dim_of_int(b, 0), *each = floor_of(b, x->type.dim[last], count);
    for (int i = 0; i < count; i++) {
        piece[i] = build_slice_axis(b, x, last, at, width ? width[i] : each);
        if (!piece[i]) return false;
        at = plus(b, at, width ? width[i] : each);
    }
    return true;
}

/* Inputs: query, key, value, bias of all three in a row (but not for keys and values that come as heads), padding, bias of the
 * scores, past keys, past values. */
void lower_multi_head_attention(OnnxNode *n)
{
    Value *x[3] = {in(n, 0), in(n, 1), in(n, 2)}, *bias[3], *past[] = {in(n, 6), in(n, 7)}, *present[2] = {NULL, NULL};
    if (has_in(n, 8) || has_in(n, 9)) {
        onnx_error(n, "inputs 8 and 9, 'past_sequence_length' and 'cache_indirection' of caches with room, are not supported");
        return;
    }
    if (!x[0] || !x[1] || !x[2] || x[0]->type.rank != 3) {
        onnx_error(n, "query, key and value must be three inputs, query of rank 3; packed ones are not supported");
        return;
    }
    if (has_in(n, 3)) {
        const Dim *width[3];
        for (int i = 0; i < 3; i++)
            if (x[i]->type.rank != 3 && x[i]->type.rank != 4) {
                onnx_error(n, "key and value of rank %d and %d", x[1]->type.rank, x[2]->type.rank);
                return;
            }
        for (int i = 0; i < 3; i++) {
            const Dim *const *d = x[i]->type.dim;
            width[i] = x[i]->type.rank == 4 ? times(n->b, d[1], d[3]) : d[x[i]->type.rank - 1];
        }
        if (!pieces(n->b, in(n, 3), 3, width, bias)) return;
        for (int i = 0; i < 3; i++)
            if (x[i]->type.rank == 3) x[i] = build_map2(n->b, OP_ADD, x[i], bias[i]);
    }
    microsoft_attention(n, x, in(n, 4), in(n, 5), past, present);
    for (int i = 0; i < 2; i++)
        if (has_out(n, 1 + i)) n->out[1 + i] = present[i];
}

/* Inputs: x, weights and bias of query, key and value side by side, padding, past keys and values along a first axis of 2, bias
 * of the scores. n->arg: x and weights are integers, with scales in inputs 3 and 4, zero points in 6 and 7; padding is input 5,
 * past input 8. */
void lower_packed_attention(OnnxNode *n)
{
    Build *b = n->b;
    int q = n->arg, count = 0, front = 0;
    Value *earlier = in(n, q ? 8 : 4), *x[3], *past[2] = {NULL, NULL}, *present[2];
    const int64_t *sizes = onnx_ints(n, "qkv_hidden_sizes", &count);
    const Dim *width[3];
    const char *room = onnx_int(n, "past_present_share_buffer", 0) ? "attribute 'past_present_share_buffer'"
                       : !q && has_in(n, 6)                        ? "input 6, 'past_sequence_length'"
                                                                   : NULL;
    if (room) {
        onnx_error(n, "%s, of caches with room, is not supported", room);
        return;
    }
    if (onnx_int(n, "do_rotary", 0) || (sizes && count != 3) || !in(n, 0) || in(n, 0)->type.rank != 3) {
        onnx_error(n, "'do_rotary', 'qkv_hidden_sizes' other than three, or an input not of rank 3, are not supported");
        return;
    }
    for (int i = 0; sizes && i < 3; i++) width[i] = dim_of_int(b, sizes[i]);
    Value *all =
        q ? scaled_product(n, in(n, 0), in(n, 3), in(n, 6), in(n, 1), in(n, 4), in(n, 7)) : build_matmul(b, in(n, 0), in(n, 1));
    if (has_in(n, 2)) all = build_map2(b, OP_ADD, all, in(n, 2));
    if (!pieces(b, all, 3, sizes ? width : NULL, x)) return;
    for (int i = 0; earlier && i < 2; i++) past[i] = compose_at(b, earlier, build_scalar_i(b, DLVK_I64, i), 0);
    microsoft_attention(n, x, in(n, q ? 5 : 3), q ? NULL : in(n, 5), past, present);
    if (!n->out[0] || !has_out(n, 1)) return;
    for (int i = 0; i < 2; i++) present[i] = build_unsqueeze(b, present[i], 1, &front);
    n->out[1] = build_concat(b, 2, present, 0);
}

/* Attention to a cache of keys and values that several queries share. Inputs: query, key, value (or all of them side by side in
 * the first), past keys and values, the number of each batch element's keys - 1, the greatest such number, caches of cosines and
 * sines, positions, bias of the scores. New keys stand behind those that each element has: at its number of keys - queries, or at
 * 0 where there are fewer. */
void lower_group_query_attention(OnnxNode *n)
{
    Build *b = n->b;
    Value *x[3] = {in(n, 0), in(n, 1), in(n, 2)};
    int64_t heads = onnx_int(n, "num_heads", 0), kv = onnx_int(n, "kv_num_heads", 0),
            window = onnx_int(n, "local_window_size", -1);
    if (!has_in(n, 5) || !has_in(n, 6)) {
        onnx_error(n, "inputs 5 and 6, how many keys there are, are missing");
        return;
    }
    static const char *const quantized[] = {"k_quant_type", "v_quant_type"};
    for (int i = 0; i < 2; i++)
        if (strcmp(onnx_str(n, quantized[i], "NONE"), "NONE") != 0 || has_in(n, 12 + i)) {
            onnx_error(n, "'%s' other than NONE, and scales of such a cache in input %d, are not supported", quantized[i],
                       12 + i);
            return;
        }
    const Dim *total = onnx_dim(n, 6);
    if (!x[0] || !in(n, 5) || !total) return;
    if (onnx_int(n, "smooth_softmax", 0) > 0 || has_in(n, 11) || has_in(n, 1) != has_in(n, 2) || heads < 1 || kv < 1 ||
        heads % kv || x[0]->type.rank != 3 || onnx_int(n, "qk_output", 0)) {
        onnx_error(n,
                   "num_heads %lld, kv_num_heads %lld, a query of rank %d, 'smooth_softmax', 'head_sink' or 'qk_output' are not "
                   "supported",
                   (long long)heads, (long long)kv, x[0]->type.rank);
        return;
    }
    if (!has_in(n, 1)) {
        const Dim *each = floor_of(b, x[0]->type.dim[2], heads + 2 * kv),
                  *width[] = {times_int(b, each, heads), times_int(b, each, kv), times_int(b, each, kv)};
        if (!pieces(b, x[0], 3, width, x)) return;
    }
    for (int i = 0; i < 3; i++)
        if (!(x[i] = onnx_split_heads(n, x[i], i ? "kv_num_heads" : "num_heads"))) return;
    const Dim *queries = x[0]->type.dim[2], *batch = x[0]->type.dim[0], *run[] = {batch, queries},
              *one[] = {batch, dim_of_int(b, 1)};
    Value *start =
        build_map2(b, OP_SUB, build_cast(b, flat(b, in(n, 5)), DLVK_I64), dim_value(b, DLVK_I64, plus_int(b, queries, -1)));
    start = build_clamp(b, start, build_scalar_i(b, DLVK_I64, 0), NULL);
    if (onnx_int(n, "do_rotary", 0)) {
        Value *at =
            has_in(n, 9) ? in(n, 9) : build_map2(b, OP_ADD, build_iota(b, DLVK_I64, 2, run, 1), build_reshape(b, start, 2, one));
        if (!in(n, 7) || !in(n, 8)) return;
        if (in(n, 7)->type.rank != 2 || in(n, 8)->type.rank != 2) {
            onnx_error(n, "cosines and sines of rank %d and %d, not 2", in(n, 7)->type.rank, in(n, 8)->type.rank);
            return;
        }
        Value *cosine = build_gather(b, in(n, 7), at, 0), *sine = build_gather(b, in(n, 8), at, 0);
        for (int i = 0; i < 2 && cosine; i++)
            x[i] = onnx_rotate(b, x[i], cosine, sine, 1, times_int(b, cosine->type.dim[2], 2),
                               onnx_int(n, "rotary_interleaved", 0) != 0);
    }
    for (int i = 1; i < 3 && x[i]; i++) {
        Value *past = in(n, 2 + i), *write[3];
        const Dim *zero[4], *more[4], *shape[4];
        for (int k = 0; k < 4; k++) {
            zero[k] = more[k] = dim_of_int(b, 0);
            shape[k] = k == 2 ? total : x[i]->type.dim[k];
        }
        if (past && past->type.rank != 4) {
            onnx_error(n, "past keys or values of rank %d, not 4", past->type.rank);
            return;
        }
        if (past) more[2] = at_least_0(b, minus(b, total, past->type.dim[2]));
        write[0] = past ? build_pad(b, past, zero, more, build_scalar(b, past->type.dtype, 0))
                        : build_full(b, (Type){x[i]->type.dtype, 4, shape}, 0);
        write[1] = x[i];
        write[2] = start;
        if (!write[0] || !onnx_apply(n, "TensorScatter", 24, 3, write, 1, &x[i])) return;
        if (has_out(n, i)) n->out[i] = x[i];
        if (x[i]->type.dim[2] != total) x[i] = build_slice_axis(b, x[i], 2, dim_of_int(b, 0), total); /* caches may have room */
        x[i] = onnx_repeat_heads(n, x[i], dim_of_int(b, heads));
    }
    if (!x[0] || !x[1] || !x[2]) return;
    AttentionSpec s = {.scale = onnx_head_scale(n, &x[0], 0),
                       .softcap = onnx_float(n, "softcap", 0),
                       .softmax_type = DLVK_F32,
                       .mask = in(n, 10),
                       .has_right = true,
                       .has_left = window >= 0,
                       .left = window,
                       .offset = compose_along(b, start, 4, 0)};
    n->out[0] = build_cast(b, onnx_join_heads(n, compose_attention(b, x[0], x[1], x[2], &s)), x[0]->type.dtype);
}

/* Bytes [.., m] as the numbers of so many bits that each holds, the lowest first: f32 [.., m * 8 / bits]. */
static Value *unpacked(Build *b, Value *x, int bits)
{
    if (!x) return NULL;
    int rank = x->type.rank, each = 8 / bits;
    Value *part[8];
    for (int i = 0; i < each; i++) {
        Value *low = build_map2(b, OP_SHR, x, build_scalar_i(b, DLVK_U8, (int64_t)i * bits));
        part[i] = build_unsqueeze(b, build_map2(b, OP_AND, low, build_scalar_i(b, DLVK_U8, (1 << bits) - 1)), 1, &rank);
    }
    const Dim *shape[DLVK_MAX_RANK];
    for (int i = 0; i < rank; i++) shape[i] = i == rank - 1 ? times_int(b, x->type.dim[i], each) : x->type.dim[i];
    return build_cast(b, build_reshape(b, build_concat(b, each, part, rank), rank, shape), DLVK_F32);
}

/* x [.., K] times the transpose of a matrix [N, K] of numbers of 2, 4 or 8 bits in blocks along K: bytes [N, blocks, block_size *
 * bits / 8], scales [N, blocks], zero points (by default half the range) packed the same way [N, bytes] or of x's type [N,
 * blocks]. */
void lower_matmul_nbits(OnnxNode *n)
{
    Build *b = n->b;
    Value *x = in(n, 0), *w = in(n, 1), *zero = in(n, 3);
    int64_t k = onnx_int(n, "K", 0), rows = onnx_int(n, "N", 0), block = onnx_int(n, "block_size", 0),
            bits = onnx_int(n, "bits", 4);
    if (!x || !w || !in(n, 2) || (has_in(n, 3) && !zero)) return;
    if ((bits != 2 && bits != 4 && bits != 8) || has_in(n, 4) || k < 1 || k > INT32_MAX || rows < 1 || rows > INT32_MAX ||
        block < 1 || block > INT32_MAX || block * bits % 8) {
        onnx_error(n, "bits %lld, K %lld, N %lld, block_size %lld, or an input g_idx, are not supported", (long long)bits,
                   (long long)k, (long long)rows, (long long)block);
        return;
    }
    int64_t blocks = (k + block - 1) / block;
    const Dim *one = dim_of_int(b, 1), *start = dim_of_int(b, 0), *many = dim_of_int(b, blocks);
    const Dim *bytes[] = {dim_of_int(b, rows), many, dim_of_int(b, block * bits / 8)}, *each[] = {bytes[0], many, one};
    const Dim *packed[] = {bytes[0], dim_of_int(b, (blocks * bits + 7) / 8)},
              *flat_shape[] = {bytes[0], dim_of_int(b, blocks * block)};
    const int swap[] = {1, 0};
    w = unpacked(b, build_reshape(b, w, 3, bytes), (int)bits);
    if (zero && zero->type.dtype == DLVK_U8)
        zero = build_slice_axis(b, unpacked(b, build_reshape(b, zero, 2, packed), (int)bits), 1, start, many);
    w = zero ? build_map2(b, OP_SUB, w, build_cast(b, build_reshape(b, zero, 3, each), DLVK_F32))
             : build_map2s(b, OP_SUB, w, 1 << (bits - 1));
    w = build_map2(b, OP_MUL, w, build_cast(b, build_reshape(b, in(n, 2), 3, each), DLVK_F32));
    w = build_slice_axis(b, build_reshape(b, w, 2, flat_shape), 1, start, dim_of_int(b, k));
    Value *y = build_matmul(b, x, build_cast(b, build_transpose(b, w, swap), x->type.dtype));
    n->out[0] = has_in(n, 5) ? build_map2(b, OP_ADD, y, in(n, 5)) : y;
}
