/* Sequences and optionals whose structure the model fixes: lists of values that exist only while importing. */
#include "frontend/onnx/indexing.h"
#include "frontend/onnx/ops_b.h"
#include <string.h>

static OnnxSeq *seq_new(OnnxNode *n, int count)
{
    OnnxSeq *s = POOL_NEW(n->b->ctx->pool, OnnxSeq);
    s->n = count;
    s->at = POOL_ARRAY(n->b->ctx->pool, Value *, count);
    return s;
}

Value *onnx_stack(OnnxNode *n, int count, Value *const *x)
{
    int zero = 0;
    Value **row = POOL_ARRAY(n->b->ctx->pool, Value *, count);
    for (int i = 0; i < count; i++) {
        if (x[i] && x[0] && (x[i]->type.rank != x[0]->type.rank || x[i]->type.dtype != x[0]->type.dtype)) {
            onnx_error(n, "the tensors of a sequence differ in type or rank, where one of them is chosen at run time");
            return NULL;
        }
        row[i] = build_unsqueeze(n->b, x[i], 1, &zero);
    }
    if (!count) onnx_error(n, "the sequence is empty");
    return count ? build_concat(n->b, count, row, 0) : NULL;
}

const OnnxSeq *onnx_list(OnnxNode *n, const OnnxSeq *s, const char *what)
{
    enum { MOST = 4096 };
    int64_t count = 0;
    if (s->open)
        onnx_error(n,
                   "%s is carried by a loop whose trip count is not known when the model is compiled: there it can only be "
                   "appended to",
                   what);
    else if (s->stack && (!dim_is_const(s->stack->type.dim[0], &count) || count > MOST))
        onnx_error(n, "%s is a sequence whose length is known only when the model runs", what);
    else if (!s->stack)
        return s;
    else {
        OnnxSeq *list = seq_new(n, (int)count);
        for (int i = 0; i < list->n; i++) list->at[i] = compose_at(n->b, s->stack, build_scalar_i(n->b, DLVK_I64, i), 0);
        return list;
    }
    return NULL;
}

/* Input i, which may be a stack. */
static const OnnxSeq *any_seq_in(OnnxNode *n, int i)
{
    const OnnxSeq *s = i < n->n_in ? n->seq_in[i] : NULL;
    if (!s || s->none) onnx_error(n, "input %d is not a sequence", i);
    return s && !s->none ? s : NULL;
}

static const OnnxSeq *seq_in(OnnxNode *n, int i)
{
    const OnnxSeq *s = any_seq_in(n, i);
    return s ? onnx_list(n, s, pool_printf(n->b->ctx->pool, "input %d", i)) : NULL;
}

/* A position in a sequence of `count`, from input i; false after an error. */
static bool position(OnnxNode *n, int i, int count, int otherwise, int *out)
{
    const int64_t *v;
    int one;
    *out = otherwise;
    if (!in(n, i)) return true;
    if (!onnx_known_ints(n, in(n, i), "position", &one, &v) || one != 1) return false;
    int64_t p = *v < 0 ? *v + count : *v;
    if (p < 0 || p >= (otherwise == count ? count + 1 : count)) {
        onnx_error(n, "position %lld in a sequence of %d", (long long)*v, count);
        return false;
    }
    *out = (int)p;
    return true;
}

void lower_sequence_construct(OnnxNode *n)
{
    OnnxSeq *s = seq_new(n, n->n_in);
    memcpy(s->at, n->in, (size_t)n->n_in * sizeof *s->at);
    n->seq_out[0] = s;
}

void lower_sequence_empty(OnnxNode *n)
{
    n->seq_out[0] = seq_new(n, 0);
}

/* One element; which, may depend on data where all are of one type. */
void lower_sequence_at(OnnxNode *n)
{
    const OnnxSeq *s = any_seq_in(n, 0);
    Value *stack = s ? s->stack : NULL;
    bool alike = s && !stack && !s->open;
    for (int i = 0; alike && i < s->n; i++) alike = s->at[i] && s->at[0] && type_equal(s->at[i]->type, s->at[0]->type);
    if (alike && !build_known(n->b, in(n, 1))) stack = onnx_stack(n, s->n, s->at);
    if (stack) {
        n->out[0] = compose_at(n->b, stack, index_wrap(n->b, build_reshape(n->b, in(n, 1), 0, NULL), stack->type.dim[0]), 0);
        return;
    }
    int p;
    s = s ? onnx_list(n, s, "input 0") : NULL;
    if (s && position(n, 1, s->n, 0, &p) && p < s->n) n->out[0] = s->at[p];
}

void lower_sequence_insert(OnnxNode *n)
{
    const OnnxSeq *s = any_seq_in(n, 0);
    bool append = s && s->open && !in(n, 2);
    if (s && !append) s = onnx_list(n, s, "input 0");
    int p = s ? s->n : 0;
    if (!s || (!append && !position(n, 2, s->n, s->n, &p))) return;
    OnnxSeq *y = seq_new(n, s->n + 1);
    y->open = s->open;
    for (int i = 0; i < y->n; i++) y->at[i] = i == p ? in(n, 1) : s->at[i > p ? i - 1 : i];
    n->seq_out[0] = y;
}

void lower_sequence_erase(OnnxNode *n)
{
    const OnnxSeq *s = seq_in(n, 0);
    int p;
    if (!s || !position(n, 1, s->n, s->n - 1, &p) || p < 0) return;
    OnnxSeq *y = seq_new(n, s->n - 1);
    for (int i = 0; i < y->n; i++) y->at[i] = s->at[i >= p ? i + 1 : i];
    n->seq_out[0] = y;
}

void lower_sequence_length(OnnxNode *n)
{
    const OnnxSeq *s = any_seq_in(n, 0);
    if (s && s->stack)
        n->out[0] = dim_value(n->b, DLVK_I64, s->stack->type.dim[0]);
    else if (s && (s = onnx_list(n, s, "input 0")))
        n->out[0] = build_scalar_i(n->b, DLVK_I64, s->n);
}

/* Its first axis moved to `axis`, and there merged with the next one unless it is to stay. */
static Value *concat_stack(OnnxNode *n, Value *x, int axis, bool stays)
{
    Build *b = n->b;
    int perm[DLVK_MAX_RANK], rank = 0;
    for (int i = 0; i < x->type.rank; i++) perm[i] = i < axis ? i + 1 : i == axis ? 0 : i;
    x = build_transpose(b, x, perm);
    if (stays || !x) return x;
    const Dim *shape[DLVK_MAX_RANK];
    for (int i = 0; i < x->type.rank; i++)
        if (i != axis + 1) shape[rank++] = i == axis ? dim_product(b, 2, x->type.dim + axis) : x->type.dim[i];
    return build_reshape(b, x, rank, shape);
}

void lower_concat_from_sequence(OnnxNode *n)
{
    const OnnxSeq *s = any_seq_in(n, 0);
    bool stays = onnx_int(n, "new_axis", 0) != 0;
    if (!onnx_needs(n, "axis")) return;
    if (s && s->stack) {
        int axis = onnx_axis(n, onnx_int(n, "axis", 0), s->stack->type.rank - !stays);
        n->out[0] = concat_stack(n, s->stack, axis, stays);
        return;
    }
    s = s ? onnx_list(n, s, "input 0") : NULL;
    if (!s) return;
    if (s->n == 0) {
        onnx_error(n, "the sequence is empty");
        return;
    }
    int axis = onnx_axis(n, onnx_int(n, "axis", 0), s->at[0]->type.rank + stays);
    Value **x = seq_new(n, s->n)->at;
    for (int i = 0; i < s->n; i++) x[i] = stays ? build_unsqueeze(n->b, s->at[i], 1, &axis) : s->at[i];
    n->out[0] = build_concat(n->b, s->n, x, axis);
}

/* Pieces of one size (the last may be smaller), of listed sizes, or of size 1 with or without the axis. */
void lower_split_to_sequence(OnnxNode *n)
{
    Build *b = n->b;
    Value *x = in(n, 0), *split = in(n, 1);
    int axis = onnx_axis(n, onnx_int(n, "axis", 0), x->type.rank), count = 0;
    int64_t d;
    const int64_t *sizes = NULL;
    if (!x->type.rank || !dim_is_const(x->type.dim[axis], &d)) {
        onnx_error(n, "the size of axis %d must be known when the model is compiled", axis);
        return;
    }
    if (split && !onnx_known_ints(n, split, "split", &count, &sizes)) return;
    int64_t chunk = split ? (split->type.rank == 0 ? sizes[0] : 0) : 1, pieces = chunk > 0 ? (d + chunk - 1) / chunk : count;
    if (pieces > INT32_MAX || chunk < 0 || (split && split->type.rank == 0 && chunk == 0)) {
        onnx_error(n, "a split size of %lld", (long long)chunk);
        return;
    }
    OnnxSeq *s = seq_new(n, (int)pieces);
    bool drop = !split && !onnx_int(n, "keepdims", 1);
    int64_t at = 0;
    for (int i = 0; i < s->n; i++) {
        int64_t size = chunk > 0 ? (chunk < d - at ? chunk : d - at) : sizes[i];
        s->at[i] = build_slice_axis(b, x, axis, dim_of_int(b, at), dim_of_int(b, size));
        if (drop) s->at[i] = build_squeeze(b, s->at[i], 1, &axis);
        at += size;
    }
    n->seq_out[0] = s;
}

void lower_sequence_map(OnnxNode *n)
{
    const OnnxSeq *first = seq_in(n, 0);
    if (!first) return;
    OnnxItem *in_items = POOL_ARRAY(n->b->ctx->pool, OnnxItem, n->n_in), *out = POOL_ARRAY(n->b->ctx->pool, OnnxItem, n->n_out);
    OnnxSeq **results = POOL_ARRAY(n->b->ctx->pool, OnnxSeq *, n->n_out);
    for (int k = 0; k < n->n_out; k++) n->seq_out[k] = results[k] = seq_new(n, first->n);
    for (int k = 1; k < n->n_in; k++)
        if (n->seq_in[k] && !(n->seq_in[k] = seq_in(n, k))) return;
    n->seq_in[0] = first;
    for (int i = 0; i < first->n; i++) {
        for (int k = 0; k < n->n_in; k++) {
            const OnnxSeq *s = n->seq_in[k];
            if (s && s->n != first->n) {
                onnx_error(n, "input %d has %d elements, input 0 has %d", k, s->n, first->n);
                return;
            }
            in_items[k] = (OnnxItem){.value = s ? s->at[i] : n->in[k]};
        }
        if (!onnx_inline(n, "body", n->n_in, in_items, n->n_out, out)) return;
        for (int k = 0; k < n->n_out; k++) results[k]->at[i] = out[k].value;
    }
}

/* Optionals: a value is an optional that holds it. */

void lower_optional(OnnxNode *n)
{
    static const OnnxSeq none = {.none = true};
    if (!has_in(n, 0)) {
        n->seq_out[0] = &none;
        return;
    }
    n->out[0] = in(n, 0);
    n->seq_out[0] = n->seq_in[0];
}

void lower_optional_has_element(OnnxNode *n)
{
    n->out[0] = build_scalar_i(n->b, DLVK_BOOL, has_in(n, 0));
}

void lower_optional_get_element(OnnxNode *n)
{
    if (!has_in(n, 0))
        onnx_error(n, "the optional is empty");
    else
        lower_optional(n);
}
