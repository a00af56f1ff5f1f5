/* Graphs written as ONNX and read again: the interpreter finds the same numbers in both. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "dlvk/train.h"
#include "frontend/builder.h"
#include "frontend/onnx/import.h"
#include "ir/eval.h"
#include "tests/frontend/onnx_model.h"

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

/* ---- other weights in the same file ---- */

static dlvk_host_tensor two(const char *name, dlvk_dtype t, void *data, size_t bytes)
{
    return (dlvk_host_tensor){.name = (char *)(uintptr_t)name, .dtype = t, .rank = 1, .dim = {2}, .bytes = bytes, .data = data};
}

/* y = x + a + b + c + d, the four in every way a weight may be stored. */
Test(export, exchange)
{
    TestModel m;
    const int64_t dims[] = {2};
    float external[2] = {16, 32}, a[2] = {1, 2}, fresh[2] = {0.5f, 0.25f};
    uint16_t half[2] = {0x3c00, 0x4000};
    dlvk_error err;
    model_init(&m, 13);
    model_input(&m, "x", ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT, "2");
    Onnx__TensorProto *t = model_initializer(&m, "a", ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT, 1, dims);
    t->n_float_data = 2;
    t->float_data = a;
    t = model_initializer(&m, "b", ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT16, 1, dims);
    t->has_raw_data = true;
    t->raw_data = (ProtobufCBinaryData){sizeof half, (uint8_t *)half};
    t = model_initializer(&m, "c", ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT, 1, dims);
    tensor_external(&m, t, "weights.bin", "0", "8");
    model_file(&m, "weights.bin", external, sizeof external);
    Onnx__NodeProto *n = model_node(&m, "Constant", "", "d");
    n->n_input = 0;
    t = model_tensor(&m, "value", ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT, 1, dims);
    t->n_float_data = 2;
    t->float_data = a;
    node_attr_new(&m, n, "value", ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__TENSOR)->t = t;
    node_int(&m, model_node(&m, "Cast", "b", "b32"), "to", ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT);
    model_node(&m, "Sum", "x,a,b32,c,d", "y");
    model_output(&m, "y");
    model_write(&m);

    char out[128], elsewhere[64];
    snprintf(out, sizeof out, "%s/new.onnx", m.dir);
    dlvk_host_tensor w[] = {two("a", DLVK_F32, fresh, 8), two("b", DLVK_F32, fresh, 8), two("d", DLVK_F32, fresh, 8)};
    cr_assert_eq(dlvk_onnx_exchange_weights(m.path, out, w, 3, &err), DLVK_OK, "%s", err.text);
    temp_file(elsewhere); /* without the external file beside it */
    cr_assert_eq(rename(out, elsewhere), 0);
    float x[2] = {0, 0};
    dlvk_host_tensor in = two("x", DLVK_F32, x, 8), *y;
    dlvk_host_value given = {.kind = DLVK_VALUE_TENSOR, .n = 1, .at = &in};
    int n_y;
    cr_assert_eq(dlvk_reference_run(elsewhere, &given, 1, &y, &n_y, &err), DLVK_OK, "%s", err.text);
    cr_assert_eq(dlvk_host_tensor_get(&y[0], 0), 16 + 3 * 0.5);
    cr_assert_eq(dlvk_host_tensor_get(&y[0], 1), 32 + 3 * 0.25);
    dlvk_host_tensor_free(&y[0]);
    dlvk_free(y);
    unlink(elsewhere);

    w[0].dim[0] = 3;
    cr_assert_eq(dlvk_onnx_exchange_weights(m.path, out, w, 1, &err), DLVK_INVALID_ARGUMENT);
    cr_assert_not_null(strstr(err.text, "'a': the new values are of another type or shape"), "%s", err.text);
    w[0] = two("z", DLVK_F32, fresh, 8);
    cr_assert_eq(dlvk_onnx_exchange_weights(m.path, out, w, 1, &err), DLVK_INVALID_ARGUMENT);
    cr_assert_not_null(strstr(err.text, "'z': the model has no initializer of that name"), "%s", err.text);
    cr_assert_eq(dlvk_onnx_exchange_weights("/nowhere.onnx", out, w, 1, &err), DLVK_IO_ERROR);
    cr_assert(access(out, F_OK) != 0);
    model_free(&m);
}
