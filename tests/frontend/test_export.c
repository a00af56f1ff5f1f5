/* Graphs written as ONNX and read again: the interpreter finds the same numbers in both. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "frontend/builder.h"
#include "frontend/onnx/import.h"
#include "ir/eval.h"

typedef dlvk_value (*Model)(dlvk_graph *g, dlvk_value x);

static void temp_file(char *path)
{
    strcpy(path, "/tmp/dlvk-export-XXXXXX");
    int fd = mkstemp(path);
    cr_assert(fd >= 0);
    close(fd);
}

static dlvk_graph *build(const char *shape, Model model)
{
    dlvk_graph *g = dlvk_graph_new("model");
    dlvk_output(g, "y", model(g, dlvk_input(g, "x", DLVK_F32, shape)));
    return g;
}

static void round_trip(const char *shape, Model model, int rank, const int64_t *dim)
{
    char path[64];
    dlvk_error err;
    temp_file(path);
    dlvk_graph *g = build(shape, model);
    cr_assert_eq(dlvk_graph_write_onnx(g, path, &err), DLVK_OK, "%s", err.text);
    Pool pool = {0};
    Context *ctx = context_new(&pool);
    OnnxModel *keep;
    Graph *again = onnx_import_file(ctx, path, &keep);
    unlink(path);
    cr_assert_not_null(again, "%s", ctx->diag.lines.n ? ctx->diag.lines.at[0] : "");
    Graph *ir = builder_finish(g);
    g->pool->oom = NULL;
    int64_t count = 1;
    for (int i = 0; i < rank; i++) count *= dim[i];
    float *data = malloc((size_t)count * sizeof *data);
    for (int64_t i = 0; i < count; i++) data[i] = (float)((i * 7919 + 3) % 1009) / 504.5f - 1;
    const Tensor *in = tensor_new(&pool, DLVK_F32, rank, dim, data), *want, *got;
    cr_assert(graph_eval(ir, &in, &want, true, g->pool));
    cr_assert(graph_eval(again, &in, &got, true, &pool));
    cr_assert_eq(got->count, want->count);
    cr_assert_eq(again->top->results.at[0]->type.rank, ir->top->results.at[0]->type.rank);
    for (int64_t i = 0; i < want->count; i++) {
        double w = elem_get_f(DLVK_F64, want->data, want->splat ? 0 : i), v = elem_get_f(DLVK_F64, got->data, got->splat ? 0 : i);
        cr_assert(fabs(w - v) <= 1e-6 * (1 + fabs(w)), "element %lld: %g, written and read %g", (long long)i, w, v);
    }
    free(data);
    onnx_model_free(keep);
    pool_free(&pool);
    dlvk_graph_free(g);
}

static dlvk_value convolutional(dlvk_graph *g, dlvk_value x)
{
    dlvk_window first = dlvk_window_2d(3, 2, 1), same = dlvk_window_2d(3, 1, 1), pool = dlvk_window_2d(2, 2, 0);
    first.no_bias = true;
    same.groups = 4;
    x = dlvk_relu(g, dlvk_batch_norm(g, dlvk_conv(g, x, "conv1", 8, &first), "bn1", 1e-3));
    dlvk_value y = dlvk_silu(g, dlvk_group_norm(g, dlvk_conv(g, x, "conv2", 8, &same), "gn", 2, 1e-5));
    x = dlvk_add(g, dlvk_max_pool(g, dlvk_add(g, x, y), &pool), dlvk_average_pool(g, x, &pool));
    x = dlvk_sub(g, x, dlvk_window_reduce(g, DLVK_MIN, x, &same));
    x = dlvk_hard_swish(g, dlvk_pad(g, x, 2, "1", "2", 0.5));
    return dlvk_softmax(g, dlvk_dense(g, dlvk_global_average_pool(g, x), "fc", 5), -1);
}

Test(export, convolutional)
{
    round_trip("batch,3,12,12", convolutional, 4, (int64_t[]){2, 3, 12, 12});
}

static dlvk_value transformer(dlvk_graph *g, dlvk_value x)
{
    x = dlvk_add(g, x, dlvk_self_attention(g, dlvk_layer_norm(g, x, "ln1", 1e-5), "attention", 2, NULL, true));
    dlvk_value h = dlvk_gelu(g, dlvk_dense(g, dlvk_rms_norm(g, x, "ln2", 1e-5), "up", 32));
    return dlvk_add(g, x, dlvk_dense(g, h, "down", 16));
}

Test(export, transformer)
{
    round_trip("batch,seq,16", transformer, 3, (int64_t[]){2, 3, 16});
}

static dlvk_value movement(dlvk_graph *g, dlvk_value x)
{
    dlvk_value indices, parts[2], sorted = dlvk_sort(g, x, 1, true, &indices);
    parts[0] = dlvk_reverse(g, dlvk_slice(g, x, 0, "1", "n-1"), 1);
    parts[1] = dlvk_mul(g, dlvk_slice(g, sorted, 0, "0", "n-1"), dlvk_iota(g, DLVK_F32, "n-1,4", 1));
    dlvk_value y = dlvk_transpose(g, dlvk_concat(g, 2, parts, 1), (const int[]){1, 0});
    dlvk_value best = dlvk_arg_reduce(g, DLVK_MAX, x, 1);
    dlvk_value picked = dlvk_gather(g, dlvk_parameter(g, "table", DLVK_F32, "4,3", DLVK_INIT_NORMAL, 1), best, 0);
    dlvk_value far = dlvk_select(g, dlvk_gt(g, y, dlvk_scalar(g, DLVK_F32, 0)), y, dlvk_cumulate(g, DLVK_SUM, y, 0, true, true));
    dlvk_value total = dlvk_cast(g, dlvk_size(g, x, 0), DLVK_F32);
    far = dlvk_div(g, dlvk_add(g, far, dlvk_rsqrt(g, dlvk_exp(g, far))), total);
    return dlvk_add(g, dlvk_reduce(g, DLVK_SUM, far, 2, (const int[]){0, 1}, false),
                    dlvk_reduce(g, DLVK_PROD, picked, 1, (const int[]){1}, false));
}

Test(export, movement)
{
    round_trip("n,4", movement, 2, (int64_t[]){5, 4});
}

/* What ONNX cannot say is refused, all of it at once, no file is written, and the graph compiles as before. */
Test(export, refusals)
{
    dlvk_error err;
    char path[64];
    dlvk_graph *g = dlvk_graph_new("refused");
    dlvk_value x = dlvk_input(g, "x", DLVK_F32, "n,4");
    dlvk_window w = dlvk_window_2d(2, 2, 0);
    dlvk_scope_push(g, "a");
    dlvk_output(g, "y", dlvk_log1p(g, x));
    dlvk_scope_pop(g);
    dlvk_output(g, "z", dlvk_conv_transposed(g, dlvk_reshape(g, x, "n,1,2,2"), "up", 1, &w));
    temp_file(path);
    unlink(path);
    cr_assert_eq(dlvk_graph_write_onnx(g, path, &err), DLVK_UNSUPPORTED);
    cr_assert_not_null(strstr(err.text, "node 'a.log1p' (log1p): ONNX has no such operator"), "%s", err.text);
    cr_assert_not_null(strstr(err.text, "a transposed convolution"), "%s", err.text);
    cr_assert(access(path, F_OK) != 0);
    cr_assert_eq(dlvk_graph_status(g, &err), DLVK_OK, "%s", err.text);
    cr_assert_eq(dlvk_graph_write_onnx(g, "/nowhere/at/all.onnx", &err), DLVK_UNSUPPORTED);
    cr_assert_eq(dlvk_graph_write_onnx(NULL, path, &err), DLVK_INVALID_ARGUMENT);
    dlvk_graph_free(g);
}
