/* ai.onnx.ml: feature selection, labels, trees. */
#include "frontend/onnx/ops_b.h"
#include <math.h>
#include <string.h>

/* The chosen elements of the last axis. */
void lower_array_feature_extractor(OnnxNode *n)
{
    Value *x = in(n, 0), *index = in(n, 1);
    if (!x || !index) return;
    const Dim *count = type_count(n->b->ctx, index->type);
    Value *y = build_gather(n->b, x, build_reshape(n->b, index, 1, &count), x->type.rank - 1);
    int first = 0;
    n->out[0] = x->type.rank == 1 ? build_unsqueeze(n->b, y, 1, &first) : y;
}

void lower_binarizer(OnnxNode *n)
{
    Value *x = in(n, 0);
    if (x) n->out[0] = build_cast(n->b, build_map2s(n->b, OP_GT, x, onnx_float(n, "threshold", 0)), x->type.dtype);
}

/* A list attribute as a constant vector, whichever of its forms is there: NAME_tensor, NAME_floats, NAME_int64s, NAME_strings. */
static const Tensor *list(OnnxNode *n, const char *name)
{
    Pool *p = n->b->ctx->pool;
    int count;
    const Tensor *t = onnx_tensor(n, pool_printf(p, "%s_tensor", name));
    const float *f = onnx_floats(n, pool_printf(p, "%s_floats", name), &count);
    if (!t) t = onnx_str_list(n, pool_printf(p, "%s_strings", name));
    if (t) return t;
    if (f) return tensor_new(p, DLVK_F32, 1, (int64_t[]){count}, f);
    const int64_t *i = onnx_ints(n, pool_printf(p, "%s_int64s", name), &count);
    return i ? tensor_new(p, DLVK_I64, 1, (int64_t[]){count}, i) : NULL;
}

/* values[i] where x is keys[i], of equal keys the last; `otherwise` where it is none. Keys are compared one and all. A NaN key is
 * met by any NaN. */
static Value *look_up(Build *b, Value *x, const Tensor *keys, const Tensor *values, Value *otherwise)
{
    int last = x->type.rank;
    Value *element = build_unsqueeze(b, x, 1, &last), *table = build_const(b, keys);
    Value *hit = build_map2(b, OP_EQ, element, table);
    if (hit && dtype_is_float(x->type.dtype))
        hit =
            build_map2(b, OP_OR, hit, build_map2(b, OP_AND, build_map1(b, OP_IS_NAN, element), build_map1(b, OP_IS_NAN, table)));
    Value *place = build_map3(b, OP_SELECT, hit, compose_index(b, hit, last, DLVK_I64), build_scalar_i(b, DLVK_I64, -1));
    place = build_reduce(b, KIND_MAX, place, 1, &last, false);
    Value *y = build_gather(b, build_const(b, values), build_map2s(b, OP_MAX, place, 0), 0);
    return build_map3(b, OP_SELECT, build_map2s(b, OP_GE, place, 0), y, otherwise);
}

/* The value for what is not in a table, by its type. */
static Value *default_label(OnnxNode *n, DType t)
{
    Build *b = n->b;
    if (t == DLVK_STRING) return build_str(b, onnx_str(n, "default_string", "_Unused"));
    if (dtype_is_int(t)) return build_scalar_i(b, t, onnx_int(n, "default_int64", -1));
    return build_scalar(b, t, onnx_float(n, "default_float", -0.0));
}

void lower_label_encoder(OnnxNode *n)
{
    Build *b = n->b;
    Value *x = in(n, 0);
    const Tensor *keys = list(n, "keys"), *values = list(n, "values"), *given = onnx_tensor(n, "default_tensor");
    if (!keys || !values || keys->count != values->count || keys->dtype != x->type.dtype || !keys->count) {
        onnx_error(n, "keys and values are missing or do not match");
        return;
    }
    Value *otherwise = given ? build_reshape(b, build_const(b, given), 0, NULL) : default_label(n, values->dtype);
    n->out[0] = look_up(b, x, keys, values, otherwise);
}

/* Labels and their numbers, both ways: the strings of `names`, the integers of `numbers` (NULL: their places). */
static void map_categories(OnnxNode *n, const char *names, const char *numbers)
{
    Build *b = n->b;
    Value *x = in(n, 0);
    const Tensor *text = onnx_str_list(n, names);
    int count = 0;
    const int64_t *given = numbers ? onnx_ints(n, numbers, &count) : NULL;
    if (!text || !text->count || (numbers && (!given || count != text->count)) ||
        (x->type.dtype != DLVK_STRING && x->type.dtype != DLVK_I64)) {
        onnx_error(n, "attribute '%s' is missing or does not fit, or the input is of type %s", names, dtype_name(x->type.dtype));
        return;
    }
    int64_t *number = POOL_ARRAY(b->ctx->pool, int64_t, text->count);
    for (int64_t i = 0; i < text->count; i++) number[i] = given ? given[i] : i;
    const Tensor *ids = tensor_new(b->ctx->pool, DLVK_I64, 1, text->dim, number);
    bool encode = x->type.dtype == DLVK_STRING;
    n->out[0] = look_up(b, x, encode ? text : ids, encode ? ids : text, default_label(n, encode ? DLVK_I64 : DLVK_STRING));
}

void lower_label_encoder_1(OnnxNode *n)
{
    map_categories(n, "classes_strings", NULL);
}

void lower_category_mapper(OnnxNode *n)
{
    map_categories(n, "cats_strings", "cats_int64s");
}

/* What is in no category becomes zeros; that it be an error, a device does not say. */
void lower_one_hot_encoder(OnnxNode *n)
{
    Build *b = n->b;
    Value *x = in(n, 0);
    int count = 0;
    const int64_t *ints = onnx_ints(n, "cats_int64s", &count);
    const Tensor *strings = onnx_str_list(n, "cats_strings");
    bool text = x->type.dtype == DLVK_STRING;
    if (text ? !strings : !ints) {
        onnx_error(n, "there are no categories for an input of type %s", dtype_name(x->type.dtype));
        return;
    }
    if (!onnx_int(n, "zeros", 1)) {
        onnx_error(n, "attribute 'zeros' is 0: unknown categories cannot be made an error");
        return;
    }
    const Tensor *cats = text ? strings : tensor_new(b->ctx->pool, DLVK_I64, 1, (int64_t[]){count}, ints);
    int last = x->type.rank;
    Value *element = build_unsqueeze(b, text ? x : build_cast(b, x, DLVK_I64), 1, &last);
    n->out[0] = build_cast(b, build_map2(b, OP_EQ, element, build_const(b, cats)), DLVK_F32);
}

/* Inner nodes and, behind them, leaves, which are their own successors. */
typedef struct Forest {
    int nodes, leaves, trees, targets, depth;
    const int64_t *roots, *feature, *missing_true, *target;
    int64_t *next[2]; /* where a test is false, true: [nodes + leaves] */
    const Tensor *mode, *split, *members, *weight;
} Forest;

enum { MODE_LEQ, MODE_LT, MODE_GTE, MODE_GT, MODE_EQ, MODE_NEQ, MODE_MEMBER };
static const Op mode_op[] = {OP_LE, OP_LT, OP_GE, OP_GT, OP_EQ, OP_NE};

enum { MAX_DEPTH = 256 };

/* Steps from the roots until every tree is at a leaf; -1 when that takes too many (the nodes may go round in a circle). */
static int forest_depth(Pool *p, const Forest *f)
{
    bool *here = POOL_ARRAY(p, bool, f->nodes), *after = POOL_ARRAY(p, bool, f->nodes);
    for (int i = 0; i < f->trees; i++) here[f->roots[i]] = true;
    for (int d = 0; d <= MAX_DEPTH; d++) {
        bool any = false;
        memset(after, 0, (size_t)f->nodes);
        for (int i = 0; i < f->nodes; i++)
            for (int k = 0; k < 2 && here[i]; k++) {
                any = true;
                if (f->next[k][i] < f->nodes) after[f->next[k][i]] = true;
            }
        if (!any) return d;
        bool *swap = here;
        here = after;
        after = swap;
    }
    return -1;
}

static int64_t mode_of(const Forest *f, int i)
{
    return elem_get_i(f->mode->dtype, f->mode->data, f->mode->splat ? 0 : i);
}

static bool read_forest(OnnxNode *n, Forest *f)
{
    static const char *const names[][2] = {{"nodes_falsenodeids", "nodes_falseleafs"}, {"nodes_truenodeids", "nodes_trueleafs"}};
    Pool *p = n->b->ctx->pool;
    int missing = 0, targets = 0, count[4];
    int64_t n_targets = onnx_int(n, "n_targets", 1);
    if (n_targets < 1 || n_targets > INT32_MAX) {
        onnx_error(n, "attribute 'n_targets' is %lld", (long long)n_targets);
        return false;
    }
    *f = (Forest){.targets = (int)n_targets};
    f->feature = onnx_ints(n, "nodes_featureids", &f->nodes);
    f->roots = onnx_ints(n, "tree_roots", &f->trees);
    f->target = onnx_ints(n, "leaf_targetids", &targets);
    f->missing_true = onnx_ints(n, "nodes_missing_value_tracks_true", &missing);
    f->weight = onnx_tensor(n, "leaf_weights");
    f->mode = onnx_tensor(n, "nodes_modes");
    f->split = onnx_tensor(n, "nodes_splits");
    f->members = onnx_tensor(n, "membership_values");
    bool ok = f->feature && f->roots && f->target && f->weight && f->mode && f->split && f->weight->count == targets &&
              f->mode->count == f->nodes && f->split->count == f->nodes && (!f->missing_true || missing == f->nodes);
    f->leaves = targets;
    for (int k = 0; k < 2 && ok; k++) {
        const int64_t *to = onnx_ints(n, names[k][0], &count[0]), *leaf = onnx_ints(n, names[k][1], &count[1]);
        ok = to && leaf && count[0] == f->nodes && count[1] == f->nodes;
        f->next[k] = POOL_ARRAY(p, int64_t, f->nodes + f->leaves);
        for (int i = 0; i < f->leaves && ok; i++) f->next[k][f->nodes + i] = f->nodes + i;
        for (int i = 0; i < f->nodes && ok; i++) {
            ok = to[i] >= 0 && to[i] < (leaf[i] ? f->leaves : f->nodes);
            f->next[k][i] = ok && leaf[i] ? f->nodes + to[i] : to[i];
        }
    }
    for (int i = 0; i < f->trees && ok; i++) ok = f->roots[i] >= 0 && f->roots[i] < f->nodes;
    for (int i = 0; i < f->nodes && ok; i++) ok = mode_of(f, i) >= MODE_LEQ && mode_of(f, i) <= MODE_MEMBER;
    if (ok) ok = (f->depth = forest_depth(p, f)) >= 0;
    if (!ok) onnx_error(n, "the attributes do not describe trees of at most %d levels", MAX_DEPTH);
    return ok;
}

static Value *ints(Build *b, int n, const int64_t *v)
{
    return build_ints(b, n, v);
}

/* Members of every node's set as a table [nodes, most]; places left over hold NaN, which equals nothing. */
static Value *member_table(OnnxNode *n, const Forest *f)
{
    Pool *p = n->b->ctx->pool;
    int64_t most = 1, at = 0, total = f->members ? f->members->count : 0;
    for (int pass = 0;; pass++) {
        DType t = f->split->dtype;
        int64_t dim[] = {f->nodes, most};
        void *table = pass ? pool_alloc(p, (size_t)dtype_bytes(t, f->nodes * most)) : NULL;
        for (int64_t i = 0; pass && i < f->nodes * most; i++) elem_set_f(t, table, i, NAN);
        at = 0;
        for (int i = 0; i < f->nodes; i++) {
            if (mode_of(f, i) != MODE_MEMBER) continue;
            int64_t k = 0;
            for (; at < total; at++, k++) {
                double v = elem_get_f(f->members->dtype, f->members->data, at);
                if (isnan(v)) break;
                if (pass) elem_set_f(t, table, i * most + k, v);
            }
            at++;
            if (k > most) most = k;
        }
        if (pass) return build_const(n->b, tensor_new(p, t, 2, dim, table));
    }
}

/* Is the test of node `at` true for the value x? Both [batch, trees]. */
static Value *test_node(OnnxNode *n, const Forest *f, Value *at, Value *x)
{
    Build *b = n->b;
    Value *split = build_gather(b, build_const(b, f->split), at, 0);
    Value *mode = build_gather(b, build_cast(b, build_const(b, f->mode), DLVK_I32), at, 0), *truth = NULL;
    for (int m = MODE_LEQ; m <= MODE_MEMBER; m++) {
        bool used = false;
        for (int i = 0; i < f->nodes; i++) used |= mode_of(f, i) == m;
        if (!used) continue;
        Value *t;
        if (m == MODE_MEMBER) {
            int last = 2;
            Value *set = build_gather(b, member_table(n, f), at, 0); /* [batch, trees, most] */
            t = build_reduce(b, KIND_OR, build_map2(b, OP_EQ, build_unsqueeze(b, x, 1, &last), set), 1, &last, false);
        } else {
            t = build_map2(b, mode_op[m], x, split);
        }
        truth = truth ? build_map3(b, OP_SELECT, build_map2s(b, OP_EQ, mode, m), t, truth) : t;
    }
    if (!f->missing_true) return truth;
    Value *missing = build_map2s(b, OP_NE, build_gather(b, ints(b, f->nodes, f->missing_true), at, 0), 0);
    return build_map3(b, OP_SELECT, build_map1(b, OP_IS_NAN, x), missing, truth);
}

/* Every tree's leaf for every row: indices [batch, trees]. */
static Value *walk(OnnxNode *n, const Forest *f, Value *x)
{
    Build *b = n->b;
    const Dim *shape[] = {x->type.dim[0], dim_of_int(b, f->trees)}, *width = x->type.dim[1], *flat = type_count(b->ctx, x->type);
    Value *at = build_broadcast(b, ints(b, f->trees, f->roots), 2, shape), *cells = build_reshape(b, x, 1, &flat);
    Value *row = build_map2(b, OP_MUL, build_iota(b, DLVK_I64, 2, (const Dim *[]){shape[0], dim_of_int(b, 1)}, 0),
                            build_dims(b, DLVK_I64, -1, &width));
    for (int d = 0; d < f->depth; d++) {
        Value *node =
            build_map2(b, OP_MIN, at, build_scalar_i(b, DLVK_I64, f->nodes - 1)); /* a leaf tests something, and stays */
        Value *feature = build_gather(b, ints(b, f->nodes, f->feature), node, 0);
        Value *truth = test_node(n, f, node, build_gather(b, cells, build_map2(b, OP_ADD, row, feature), 0));
        int all = f->nodes + f->leaves;
        at = build_map3(b, OP_SELECT, truth, build_gather(b, ints(b, all, f->next[1]), at, 0),
                        build_gather(b, ints(b, all, f->next[0]), at, 0));
    }
    return build_map2(b, OP_SUB, at, build_scalar_i(b, DLVK_I64, f->nodes));
}

enum { AGGREGATE_AVERAGE, AGGREGATE_SUM, AGGREGATE_MIN, AGGREGATE_MAX };
enum { POST_NONE, POST_SOFTMAX, POST_LOGISTIC, POST_SOFTMAX_ZERO, POST_PROBIT };

static Value *post_transform(OnnxNode *n, Value *y)
{
    Build *b = n->b;
    int64_t post = onnx_int(n, "post_transform", POST_NONE);
    if (post == POST_NONE) return y;
    if (post == POST_SOFTMAX) return build_softmax(b, y, -1, false);
    if (post == POST_LOGISTIC) return build_map1(b, OP_SIGMOID, y);
    if (post == POST_SOFTMAX_ZERO && y) { /* scores of zero stay zero, the others share one */
        Value *zero = build_scalar(b, y->type.dtype, 0), *none = build_map2(b, OP_EQ, y, zero);
        Value *p = build_softmax(b, build_map3(b, OP_SELECT, none, build_scalar(b, y->type.dtype, -INFINITY), y), -1, false);
        return build_map3(b, OP_SELECT, none, zero, p);
    }
    if (y) onnx_error(n, "attribute 'post_transform' is %lld", (long long)post);
    return NULL;
}

void lower_tree_ensemble(OnnxNode *n)
{
    Build *b = n->b;
    Value *x = in(n, 0);
    Forest f;
    if (!x || !read_forest(n, &f)) return;
    if (x->type.rank != 2 || f.split->dtype != x->type.dtype || f.weight->dtype != x->type.dtype) {
        onnx_error(n, "an input of rank %d and type %s for splits of type %s", x->type.rank, dtype_name(x->type.dtype),
                   dtype_name(f.split->dtype));
        return;
    }
    Value *leaf = walk(n, &f, x);
    int last = 2, middle = 1;
    Value *weight = build_unsqueeze(b, build_gather(b, build_const(b, f.weight), leaf, 0), 1, &last);
    Value *target = build_unsqueeze(b, build_gather(b, ints(b, f.leaves, f.target), leaf, 0), 1, &last);
    const Dim *row[] = {dim_of_int(b, 1), dim_of_int(b, 1), dim_of_int(b, f.targets)};
    Value *mine = build_map2(b, OP_EQ, target, build_iota(b, DLVK_I64, 3, row, 2)); /* [batch, trees, targets] */
    int64_t how = onnx_int(n, "aggregate_function", AGGREGATE_SUM);
    if (how < AGGREGATE_AVERAGE || how > AGGREGATE_MAX) {
        onnx_error(n, "attribute 'aggregate_function' is %lld", (long long)how);
        return;
    }
    Kind k = how == AGGREGATE_MIN ? KIND_MIN : how == AGGREGATE_MAX ? KIND_MAX : KIND_SUM;
    double none = k == KIND_MIN ? INFINITY : k == KIND_MAX ? -INFINITY : 0;
    Value *y =
        build_reduce(b, k, build_map3(b, OP_SELECT, mine, weight, build_scalar(b, x->type.dtype, none)), 1, &middle, false);
    if (how == AGGREGATE_AVERAGE) y = build_map2s(b, OP_DIV, y, f.trees);
    n->out[0] = post_transform(n, y);
}
