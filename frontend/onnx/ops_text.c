/* Text as numbers: counts of n-grams. */
#include "frontend/onnx/indexing.h"
#include <string.h>

/* How often each of the n-grams pool[count][n] occurs in the rows of x [rows, length], its elements `stride` apart: [rows,
 * count]. */
static Value *count_grams(Build *b, Value *x, Value *pool, int64_t n, int64_t stride)
{
    const Dim *starts = at_least_0(b, plus_int(b, x->type.dim[1], -(n - 1) * stride)), *window[] = {starts, dim_of_int(b, n)};
    Value *at = build_map2(b, OP_MUL, build_iota(b, DLVK_I64, 2, window, 1), build_scalar_i(b, DLVK_I64, stride));
    Value *grams = build_gather(b, x, build_map2(b, OP_ADD, at, build_iota(b, DLVK_I64, 2, window, 0)), 1);
    grams = build_unsqueeze(b, grams, 1, (int[]){2}); /* [rows, starts, 1, n] */
    Value *same = build_reduce(b, KIND_AND, build_map2(b, OP_EQ, grams, pool), 1, (int[]){3}, false);
    return build_reduce(b, KIND_SUM, build_cast(b, same, DLVK_F32), 1, (int[]){1}, false);
}

/* Columns counts[:, g] put where index[g] says; columns without an n-gram are 0. */
static Value *place_columns(OnnxNode *n, Value *counts, int64_t total, const int64_t *index)
{
    Build *b = n->b;
    int64_t width = 0;
    for (int64_t g = 0; g < total; g++) {
        if (index[g] < 0 || index[g] >= INT32_MAX) {
            onnx_error(n, "attribute 'ngram_indexes' holds %lld", (long long)index[g]);
            return NULL;
        }
        width = index[g] + 1 > width ? index[g] + 1 : width;
    }
    int64_t *from = POOL_ARRAY(b->ctx->pool, int64_t, width);
    for (int64_t c = 0; c < width; c++) from[c] = total; /* the column of zeros behind the others */
    for (int64_t g = 0; g < total; g++) from[index[g]] = g;
    const Dim *none[] = {dim_of_int(b, 0), dim_of_int(b, 0)}, *more[] = {dim_of_int(b, 0), dim_of_int(b, 1)};
    counts = build_pad(b, counts, none, more, build_scalar(b, DLVK_F32, 0));
    return build_gather(b, counts, build_const(b, tensor_new(b->ctx->pool, DLVK_I64, 1, &width, from)), 1);
}

void lower_tfidf_vectorizer(OnnxNode *n)
{
    Build *b = n->b;
    Value *x = in(n, 0), *counts = NULL;
    int n_starts, n_index, n_pool, n_weights;
    const int64_t *starts = onnx_ints(n, "ngram_counts", &n_starts), *index = onnx_ints(n, "ngram_indexes", &n_index);
    const int64_t *ints = onnx_ints(n, "pool_int64s", &n_pool);
    const Tensor *strings = onnx_str_list(n, "pool_strings"),
                 *pool = ints ? tensor_new(b->ctx->pool, DLVK_I64, 1, (int64_t[]){n_pool}, ints) : strings;
    if (!ints && strings) n_pool = (int)strings->count;
    const float *weights = onnx_floats(n, "weights", &n_weights);
    const char *mode = onnx_word(n, "mode", "TF IDF TFIDF");
    if (!mode || !onnx_needs(n, "mode") || !onnx_needs(n, "min_gram_length") || !onnx_needs(n, "max_gram_length") ||
        !onnx_needs(n, "max_skip_count"))
        return;
    int64_t least = onnx_int(n, "min_gram_length", 1), most = onnx_int(n, "max_gram_length", 1),
            skips = onnx_int(n, "max_skip_count", 0);
    if (!starts || !index || !pool || x->type.rank < 1 || x->type.rank > 2 || skips < 0 || skips > 64 ||
        (pool->dtype == DLVK_STRING) != (x->type.dtype == DLVK_STRING)) {
        onnx_error(n, "n-grams of the input's kind are needed, in an input of rank 1 or 2 (it is %s), with at most 64 skips",
                   type_to_string(b->ctx->pool, x->type));
        return;
    }
    if (least < 1 || most < least || (weights && n_weights != n_index)) {
        onnx_error(n, "n-grams of %lld to %lld elements, %d weights for %d indexes", (long long)least, (long long)most, n_weights,
                   n_index);
        return;
    }
    bool one_row = x->type.rank == 1;
    if (one_row) x = build_unsqueeze(b, x, 1, (int[]){0});
    if (pool->dtype == DLVK_I64) x = build_cast(b, x, DLVK_I64);
    size_t element = pool->dtype == DLVK_I64 ? sizeof(int64_t) : sizeof(Str);
    int64_t total = 0; /* n-grams seen: their columns in `counts` */
    for (int64_t k = 1; k <= n_starts && x; k++) {
        int64_t first = starts[k - 1], end = k < n_starts ? starts[k] : n_pool;
        int64_t size = first >= 0 && first <= end && end <= n_pool ? (end - first) / k : -1, shape[] = {size, k};
        if (size < 0 || total + size > n_index) {
            onnx_error(n, "attribute 'ngram_counts' does not fit the %d elements and %d indexes", n_pool, n_index);
            return;
        }
        if (!size) continue;
        total += size;
        Value *grams = build_const(
                  b, tensor_new(b->ctx->pool, pool->dtype, 2, shape, (const char *)pool->data + (size_t)first * element)),
              *sum = NULL;
        for (int64_t s = 0; k >= least && k <= most && s <= (k > 1 ? skips : 0); s++) {
            Value *c = count_grams(b, x, grams, k, s + 1);
            sum = sum ? build_map2(b, OP_ADD, sum, c) : c;
        }
        const Dim *unused[] = {x->type.dim[0], dim_of_int(b, size)};
        if (!sum) sum = build_full(b, type_make(b->ctx, DLVK_F32, 2, unused), 0);
        counts = counts ? build_concat(b, 2, (Value *[]){counts, sum}, 1) : sum;
    }
    if (strcmp(mode, "TF") != 0 && counts) { /* IDF: the weight of what occurs; TFIDF: times how often */
        int64_t many = total;
        if (strcmp(mode, "IDF") == 0) counts = build_cast(b, build_map2s(b, OP_GT, counts, 0), DLVK_F32);
        if (weights && n_weights == total)
            counts = build_map2(b, OP_MUL, counts, build_const(b, tensor_new(b->ctx->pool, DLVK_F32, 1, &many, weights)));
    }
    Value *y = counts ? place_columns(n, counts, total, index) : NULL;
    n->out[0] = one_row ? build_squeeze(b, y, 1, (int[]){0}) : y;
}
