/* Attention, rotary embeddings, and the write into a cache of keys and values. */
#include "frontend/onnx/ops_b.h"
#include <math.h>
#include <string.h>

Value *onnx_split_heads(OnnxNode *n, Value *x, const char *attribute)
{
    Build *b = n->b;
    if (!x || x->type.rank == 4) return x;
    int64_t heads = onnx_int(n, attribute, 0);
    if (x->type.rank != 3 || heads < 1) {
        onnx_error(n, "an operand of rank %d with attribute '%s' %lld", x->type.rank, attribute, (long long)heads);
        return NULL;
    }
    const Dim *shape[] = {x->type.dim[0], x->type.dim[1], dim_of_int(b, heads), floor_of(b, x->type.dim[2], heads)};
    const int perm[] = {0, 2, 1, 3};
    return build_transpose(b, build_reshape(b, x, 4, shape), perm);
}

Value *onnx_join_heads(OnnxNode *n, Value *x)
{
    Build *b = n->b;
    if (!x) return NULL;
    const int perm[] = {0, 2, 1, 3};
    const Dim *shape[] = {x->type.dim[0], x->type.dim[2], times(b, x->type.dim[1], x->type.dim[3])};
    return build_reshape(b, build_transpose(b, x, perm), 3, shape);
}

Value *onnx_repeat_heads(OnnxNode *n, Value *x, const Dim *wanted)
{
    Build *b = n->b;
    if (!x || x->type.dim[1] == wanted) return x;
    int64_t have, want;
    if (dim_is_const(x->type.dim[1], &have) && dim_is_const(wanted, &want) && (have < 1 || want % have)) {
        onnx_error(n, "%lld query heads for %lld of keys and values, of which they must be a multiple", (long long)want,
                   (long long)have);
        return NULL;
    }
    const Dim *const *d = x->type.dim, *each = dim_floordiv(&b->ctx->dims, wanted, d[1]);
    const Dim *spread[] = {d[0], d[1], each, d[2], d[3]}, *merged[] = {d[0], wanted, d[2], d[3]};
    int axis = 2;
    x = build_broadcast(b, build_unsqueeze(b, x, 1, &axis), 5, spread);
    return build_reshape(b, x, 4, merged);
}

double onnx_head_scale(OnnxNode *n, Value **q, double none)
{
    Build *b = n->b;
    int64_t size;
    double scale = onnx_float(n, "scale", none);
    if (scale != none) return scale;
    if (dim_is_const((*q)->type.dim[3], &size)) return 1 / sqrt((double)size);
    Value *wide = build_cast(b, build_dims(b, DLVK_I64, -1, &(*q)->type.dim[3]), DLVK_F32);
    *q = build_map2(b, OP_MUL, *q, build_cast(b, build_map1(b, OP_RSQRT, wide), (*q)->type.dtype));
    return 1;
}

/* New keys or values behind those of earlier calls. */
static Value *with_past(OnnxNode *n, int past, Value *x)
{
    Value *both[] = {in(n, past), x};
    return has_in(n, past) ? build_concat(n->b, 2, both, 2) : x;
}

/* The mask input with its last axis as long as the keys (what is missing is not attended to), and the padding of each batch
 * element (nonpad_kv_seqlen) masked off as well. */
static Value *attention_mask(OnnxNode *n, const Dim *keys, DType t)
{
    Build *b = n->b;
    Value *mask = in(n, 3), *length = in(n, 6);
    if (mask && mask->type.rank > 0) {
        int last = mask->type.rank - 1;
        const Dim *lo[DLVK_MAX_RANK], *hi[DLVK_MAX_RANK];
        for (int i = 0; i <= last; i++) lo[i] = hi[i] = dim_of_int(b, 0);
        hi[last] = minus(b, keys, mask->type.dim[last]);
        bool boolean = mask->type.dtype == DLVK_BOOL;
        if (!dim_is(hi[last], 0))
            mask = build_pad(b, mask, lo, hi,
                             boolean ? build_scalar_i(b, DLVK_BOOL, 0) : build_scalar(b, mask->type.dtype, -INFINITY));
        if (!boolean) mask = build_cast(b, mask, t);
    }
    if (!has_in(n, 6)) return mask;
    if (!length) return NULL;
    const Dim *row[] = {dim_of_int(b, 1), dim_of_int(b, 1), dim_of_int(b, 1), keys};
    Value *real =
        build_map2(b, OP_LT, build_iota(b, DLVK_I64, 4, row, 3), compose_along(b, build_cast(b, length, DLVK_I64), 4, 0));
    if (!mask) return real;
    if (mask->type.dtype == DLVK_BOOL) return build_map2(b, OP_AND, mask, real);
    return build_map3(b, OP_SELECT, real, mask, build_scalar(b, t, -INFINITY));
}

/* Which keys a query sees by their distance: is_causal, and the windows of opset 25, where -1 is no bound. */
static bool attention_window(OnnxNode *n, AttentionSpec *s)
{
    s->left = onnx_int(n, "left_window_size", -1);
    s->right = onnx_int(n, "right_window_size", -1);
    if (s->left < -1 || s->right < -1) {
        onnx_error(n, "left_window_size %lld, right_window_size %lld: neither may be below -1", (long long)s->left,
                   (long long)s->right);
        return false;
    }
    if (onnx_int(n, "is_causal", 0)) s->right = 0;
    s->has_left = s->left >= 0;
    s->has_right = s->right >= 0;
    return true;
}

/* How far the diagonal is shifted: by the keys that come before this block of queries. */
static Value *window_offset(OnnxNode *n, Value *q)
{
    Build *b = n->b;
    if (has_in(n, 4)) return in(n, 4) ? build_dims(b, DLVK_I64, -1, &in(n, 4)->type.dim[2]) : NULL;
    if (!in(n, 6)) return NULL;
    Value *length = compose_along(b, build_cast(b, in(n, 6), DLVK_I64), 4, 0);
    return build_map2(b, OP_SUB, length, build_dims(b, DLVK_I64, -1, &q->type.dim[2]));
}

/* What scores are computed in where the model says so. */
static bool softmax_type(OnnxNode *n, DType *t)
{
    int64_t precision = onnx_int(n, "softmax_precision", 0);
    if (!precision || (dtype_from_onnx(precision, t) && dtype_is_float(*t))) return true;
    onnx_error(n, "attribute 'softmax_precision' is %lld", (long long)precision);
    return false;
}

void lower_attention(OnnxNode *n)
{
    Build *b = n->b;
    Value *q = in(n, 0), *k = in(n, 1), *v = in(n, 2), *scores = NULL;
    if (!q || !k || !v) return;
    bool flat = q->type.rank == 3;
    q = onnx_split_heads(n, q, "q_num_heads");
    k = with_past(n, 4, onnx_split_heads(n, k, "kv_num_heads"));
    v = with_past(n, 5, onnx_split_heads(n, v, "kv_num_heads"));
    if (!q || !k || !v) return;
    if (q->type.rank != 4 || k->type.rank != 4 || v->type.rank != 4) {
        onnx_error(n, "operands of rank %d, %d, %d", q->type.rank, k->type.rank, v->type.rank);
        return;
    }
    if (has_out(n, 1)) n->out[1] = k;
    if (has_out(n, 2)) n->out[2] = v;
    DType t = q->type.dtype;
    AttentionSpec s = {.scale = onnx_head_scale(n, &q, -INFINITY),
                       .softcap = onnx_float(n, "softcap", 0),
                       .softmax_type = t,
                       .keep = onnx_int(n, "qk_matmul_output_mode", 0),
                       .scores = has_out(n, 3) ? &scores : NULL};
    if (!attention_window(n, &s)) return;
    if (!softmax_type(n, &s.softmax_type)) return;
    s.mask = attention_mask(n, k->type.dim[2], t);
    bool windowed = s.has_left || s.has_right;
    if (windowed) s.offset = window_offset(n, q);
    if (((has_in(n, 3) || has_in(n, 6)) && !s.mask) || (windowed && (has_in(n, 4) || has_in(n, 6)) && !s.offset)) return;
    Value *y = compose_attention(b, q, onnx_repeat_heads(n, k, q->type.dim[1]), onnx_repeat_heads(n, v, q->type.dim[1]), &s);
    n->out[0] = flat ? onnx_join_heads(n, y) : y;
    if (has_out(n, 3)) n->out[3] = scores;
}

Value *onnx_rotate(Build *b, Value *x, Value *cosine, Value *sine, int head_axis, const Dim *turned, bool pairs)
{
    if (!x) return NULL;
    const Dim *size = x->type.dim[3], *half = floor_of(b, turned, 2), *two = dim_of_int(b, 2);
    cosine = build_unsqueeze(b, cosine, 1, &head_axis);
    sine = build_unsqueeze(b, sine, 1, &head_axis);
    Value *head = build_slice_axis(b, x, 3, dim_of_int(b, 0), turned);
    const Dim *const *d = x->type.dim;
    const Dim *shape[] = {d[0], d[1], d[2], pairs ? half : two, pairs ? two : half}, *back[] = {d[0], d[1], d[2], turned};
    int axis = pairs ? 4 : 3;
    Value *split = build_reshape(b, head, 5, shape), *side[2], *turn[2];
    for (int i = 0; i < 2; i++)
        side[i] = build_squeeze(b, build_slice_axis(b, split, axis, dim_of_int(b, i), dim_of_int(b, 1)), 1, &axis);
    turn[0] = build_map2(b, OP_SUB, build_map2(b, OP_MUL, cosine, side[0]), build_map2(b, OP_MUL, sine, side[1]));
    turn[1] = build_map2(b, OP_ADD, build_map2(b, OP_MUL, sine, side[0]), build_map2(b, OP_MUL, cosine, side[1]));
    for (int i = 0; i < 2; i++) turn[i] = build_unsqueeze(b, turn[i], 1, &axis);
    Value *y = build_reshape(b, build_concat(b, 2, turn, axis), 4, back);
    if (turned == size) return y;
    Value *both[] = {y, build_slice_axis(b, x, 3, turned, minus(b, size, turned))};
    return build_concat(b, 2, both, 3);
}

/* n->arg: com.microsoft's, where the positions come second and may be one number, where they start, and the number of heads may
 * be left to the caches' width. */
void lower_rotary_embedding(OnnxNode *n)
{
    Build *b = n->b;
    int first = n->arg ? 2 : 1;
    Value *x = in(n, 0), *cosine = in(n, first), *sine = in(n, first + 1), *at = in(n, n->arg ? 1 : 3);
    if (!x || !cosine || !sine || (n->arg && !at)) return;
    if (!cosine->type.rank || !sine->type.rank) {
        onnx_error(n, "cosines and sines are scalars");
        return;
    }
    int rank = x->type.rank, sequence = rank == 4 ? 2 : 1;
    const Dim *const *whole = x->type.dim;
    int64_t heads = onnx_int(n, "num_heads", 0), turned = onnx_int(n, "rotary_embedding_dim", 0);
    if (rank == 3) { /* [batch, seq, heads, size] */
        if (heads < 1 && !n->arg) {
            onnx_error(n, "attribute 'num_heads' is %lld for an input of rank 3", (long long)heads);
            return;
        }
        const Dim *size = heads > 0 ? floor_of(b, whole[2], heads) : times_int(b, cosine->type.dim[cosine->type.rank - 1], 2);
        const Dim *split[] = {whole[0], whole[1], dim_floordiv(&b->ctx->dims, whole[2], size), size};
        x = build_reshape(b, x, 4, split);
    }
    if (!x || x->type.rank != 4) {
        if (x) onnx_error(n, "an input of rank %d", rank);
        return;
    }
    if (n->arg && at->type.rank == 1) { /* where the first position is */
        const Dim *run[] = {whole[0], whole[sequence]};
        at = build_map2(b, OP_ADD, build_iota(b, DLVK_I64, 2, run, 1), build_reshape(b, build_cast(b, at, DLVK_I64), 0, NULL));
    }
    if (at) {
        cosine = build_gather(b, cosine, at, 0);
        sine = build_gather(b, sine, at, 0);
    }
    Value *y = onnx_rotate(b, x, cosine, sine, 3 - sequence, turned > 0 ? dim_of_int(b, turned) : x->type.dim[3],
                           onnx_int(n, "interleaved", 0) != 0);
    if (onnx_has(n, "scale")) y = build_map2s(b, OP_MUL, y, onnx_float(n, "scale", 1));
    n->out[0] = rank == 3 ? build_reshape(b, y, 3, whole) : y;
}

/* The value that graph attribute `name` makes of v; v itself where it is absent. */
static Value *modified(OnnxNode *n, const char *name, Value *v)
{
    if (!v || !onnx_has(n, name)) return v;
    OnnxItem in_item = {.value = v}, out = {0};
    return onnx_inline(n, name, 1, &in_item, 1, &out) ? out.value : NULL;
}

/* Attention with two places where a graph of the model steps in. */
void lower_flex_attention(OnnxNode *n)
{
    Build *b = n->b;
    Value *q = in(n, 0), *k = in(n, 1), *v = in(n, 2);
    const int perm[] = {0, 1, 3, 2};
    if (!q || !k || !v) return;
    if (q->type.rank != 4 || k->type.rank != 4 || v->type.rank != 4) {
        onnx_error(n, "operands of rank %d, %d, %d", q->type.rank, k->type.rank, v->type.rank);
        return;
    }
    double scale = onnx_head_scale(n, &q, -INFINITY);
    DType t = q->type.dtype == DLVK_F64 ? DLVK_F64 : DLVK_F32;
    if (!softmax_type(n, &t)) return;
    k = onnx_repeat_heads(n, k, q->type.dim[1]);
    v = onnx_repeat_heads(n, v, q->type.dim[1]);
    Value *scores = build_matmul(b, q, build_transpose(b, k, perm));
    scores = modified(n, "score_mod", build_cast(b, build_map2s(b, OP_MUL, scores, scale), t));
    Value *p = modified(n, "prob_mod", build_softmax(b, scores, -1, false));
    n->out[0] = v ? build_matmul(b, build_cast(b, p, v->type.dtype), v) : NULL;
}

/* The recurrence of linear attention, heads side by side. Time comes first: [seq, batch, heads, size]. */
typedef struct LinearStep {
    Value *q, *k, *v, *decay, *beta; /* the last two may be NULL */
    const Dim *repeat;               /* query heads for each head of keys and values */
    double scale;
} LinearStep;

/* state [batch, heads, size of k, size of v] */
static Value *linear_step(Build *b, void *user, Value *t, Value **state)
{
    const LinearStep *s = user;
    const int row = 2, column = 3;
    Value *m = state[0], *k = compose_at(b, s->k, t, 0), *v = compose_at(b, s->v, t, 0), *q = compose_at(b, s->q, t, 0);
    if (s->decay)
        m = build_map2(b, OP_MUL, m, build_unsqueeze(b, build_map1(b, OP_EXP, compose_at(b, s->decay, t, 0)), 1, &column));
    if (s->beta) { /* write only what the state does not yet recall */
        Value *recalled = build_reduce(b, KIND_SUM, build_map2(b, OP_MUL, m, build_unsqueeze(b, k, 1, &column)), 1, &row, false);
        v = build_map2(b, OP_MUL, compose_at(b, s->beta, t, 0), build_map2(b, OP_SUB, v, recalled));
    }
    m = build_map2(b, OP_ADD, m, build_map2(b, OP_MUL, build_unsqueeze(b, k, 1, &column), build_unsqueeze(b, v, 1, &row)));
    state[0] = m;
    if (!m || !q) return NULL;
    const Dim *const *d = m->type.dim, *split[] = {d[0], d[1], s->repeat, d[2]},
                     *joined[] = {d[0], times(b, d[1], s->repeat), d[3]};
    Value *y = build_matmul(b, build_reshape(b, q, 4, split), m);
    return build_map2s(b, OP_MUL, build_reshape(b, y, 3, joined), s->scale);
}

/* [batch, seq, heads * size] as f32 [seq, batch, heads, size]. */
static Value *time_first(OnnxNode *n, Value *x, int64_t heads)
{
    Build *b = n->b;
    const int perm[] = {1, 0, 2, 3};
    if (!x) return NULL;
    if (x->type.rank != 3) {
        onnx_error(n, "an operand of rank %d; all must be 3", x->type.rank);
        return NULL;
    }
    const Dim *const *d = x->type.dim, *shape[] = {d[0], d[1], dim_of_int(b, heads), floor_of(b, d[2], heads)};
    return build_cast(b, build_transpose(b, build_reshape(b, x, 4, shape), perm), DLVK_F32);
}

void lower_linear_attention(OnnxNode *n)
{
    Build *b = n->b;
    Value *q = in(n, 0), *past = in(n, 3), *decay = in(n, 4), *beta = in(n, 5);
    int64_t q_heads = onnx_int(n, "q_num_heads", 0), heads = onnx_int(n, "kv_num_heads", 0), wide = heads;
    const char *rule = onnx_str(n, "update_rule", "gated_delta");
    bool gated = strncmp(rule, "gated", 5) == 0, delta = strstr(rule, "delta") != NULL;
    if (strcmp(rule, "linear") != 0 && strcmp(rule, "gated") != 0 && strcmp(rule, "delta") != 0 &&
        strcmp(rule, "gated_delta") != 0) {
        onnx_error(n, "attribute 'update_rule' is '%s'", rule);
        return;
    }
    if (heads < 1 || q_heads < 1 || q_heads % heads || gated != has_in(n, 4) || delta != has_in(n, 5)) {
        onnx_error(n, "q_num_heads %lld, kv_num_heads %lld, or inputs that update_rule '%s' does not go with", (long long)q_heads,
                   (long long)heads, rule);
        return;
    }
    if (!q || (gated && !decay) || (delta && !beta)) return;
    LinearStep s = {.q = time_first(n, q, q_heads), .k = time_first(n, in(n, 1), heads), .v = time_first(n, in(n, 2), heads)};
    if (!s.q || !s.k || !s.v) return;
    s.scale = onnx_head_scale(n, &s.q, 0);
    s.repeat = dim_of_int(b, q_heads / heads);
    s.decay = time_first(n, decay, heads); /* one a head, or one a key channel */
    if (beta && beta->type.rank == 3) dim_is_const(beta->type.dim[2], &wide);
    s.beta = time_first(n, beta, wide == 1 ? 1 : heads);
    if ((decay && !s.decay) || (beta && !s.beta) || (has_in(n, 3) && !past)) return;
    const Dim *shape[] = {q->type.dim[0], dim_of_int(b, heads), s.k->type.dim[3], s.v->type.dim[3]};
    Value *state = past ? build_cast(b, past, DLVK_F32) : build_full(b, (Type){DLVK_F32, 4, shape}, 0);
    Value *y = onnx_over_time(b, s.q->type.dim[0], 1, &state, linear_step, &s); /* [seq, batch, q heads, size of v] */
    const int perm[] = {1, 0, 2, 3};
    const Dim *out[] = {q->type.dim[0], q->type.dim[1], times_int(b, shape[3], q_heads)};
    n->out[0] = build_cast(b, build_reshape(b, build_transpose(b, y, perm), 3, out), q->type.dtype);
    if (has_out(n, 1)) n->out[1] = build_cast(b, state, past ? past->type.dtype : q->type.dtype);
}

/* cache[b, ..., write[b] + s, ...] = update[b, ..., s, ...] */
void lower_tensor_scatter(OnnxNode *n)
{
    Build *b = n->b;
    Value *cache = in(n, 0), *update = in(n, 1), *write = build_cast(b, in(n, 2), DLVK_I64);
    if (!cache || !update) return;
    int rank = cache->type.rank, axis = onnx_axis(n, onnx_int(n, "axis", -2), rank);
    const char *mode = onnx_str(n, "mode", "linear");
    bool circular = strcmp(mode, "circular") == 0;
    if (rank < 2 || axis == 0 || update->type.rank != rank || (!circular && strcmp(mode, "linear") != 0)) {
        onnx_error(n, "mode '%s', axis %d, operands of rank %d and %d", mode, axis, rank, update->type.rank);
        return;
    }
    const Dim *const *d = cache->type.dim, *batch = d[0], *length = d[axis], *count = update->type.dim[axis];
    const Dim *inner = dim_product(b, axis - 1, d + 1), *rest = dim_product(b, rank - axis - 1, d + axis + 1);
    const Dim *rows = times(b, times(b, batch, inner), length), *written = times(b, times(b, batch, inner), count);
    const Dim *grid[] = {batch, inner, count}, *data_shape[] = {rows, rest}, *update_shape[] = {written, rest};
    Value *at = build_iota(b, DLVK_I64, 3, grid, 2), *max = build_dims(b, DLVK_I64, -1, &length);
    if (has_in(n, 2)) at = build_map2(b, OP_ADD, at, compose_along(b, write, 3, 0));
    Value *row =
        build_map2(b, OP_ADD, build_map2(b, OP_MUL, build_iota(b, DLVK_I64, 3, grid, 0), build_dims(b, DLVK_I64, -1, &inner)),
                   build_iota(b, DLVK_I64, 3, grid, 1));
    Value *index = build_map2(b, OP_ADD, build_map2(b, OP_MUL, row, max), circular ? build_map2(b, OP_MOD, at, max) : at);
    if (!circular) /* past the end: nowhere, rather than in the next row */
        index = build_map3(b, OP_SELECT, build_map2(b, OP_LT, at, max), index, build_scalar_i(b, DLVK_I64, -1));
    Value *y = build_scatter(b, KIND_SET, build_reshape(b, cache, 2, data_shape), build_reshape(b, index, 1, &written),
                             build_reshape(b, update, 2, update_shape));
    n->out[0] = build_reshape(b, y, rank, d);
}
