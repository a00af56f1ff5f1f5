/* Models written with the builder, on the device, against the interpreter: the whole way from C calls to numbers. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>

#include "dlvk/runtime.h"
#include "frontend/builder.h"
#include "ir/eval.h"

typedef dlvk_value (*Model)(dlvk_graph *g, dlvk_value x);

/* One f32 input "x" and one output "y". Every size in `batches` runs from the same bundle. */
static void check(const char *shape, Model model, int rank, const int64_t *rest, const int *batches, int n_batches)
{
    dlvk_error err;
    dlvk_device *device = NULL;
    if (dlvk_device_open(NULL, &device, &err) == DLVK_NO_DEVICE) cr_skip_test("no Vulkan device");
    cr_assert_not_null(device, "%s", err.text);
    dlvk_graph *g = dlvk_graph_new("model");
    dlvk_output(g, "y", model(g, dlvk_input(g, "x", DLVK_F32, shape)));
    void *bundle;
    size_t size;
    cr_assert_eq(dlvk_compile_graph(g, &bundle, &size, NULL, &err), DLVK_OK, "%s", err.text);
    dlvk_load_options o = DLVK_LOAD_OPTIONS_INIT;
    o.cache = "";
    dlvk_model *m;
    dlvk_session *s;
    cr_assert_eq(dlvk_model_load_memory(device, bundle, size, &o, &m, &err), DLVK_OK, "%s", err.text);
    cr_assert_eq(dlvk_session_create(m, &s, &err), DLVK_OK, "%s", err.text);
    Graph *ir = builder_finish(g);
    g->pool->oom = NULL;
    for (int b = 0; b < n_batches; b++) {
        int64_t dim[4] = {batches[b]}, count = batches[b];
        for (int i = 1; i < rank; i++) count *= dim[i] = rest[i - 1];
        float *x = malloc((size_t)count * sizeof *x);
        for (int64_t i = 0; i < count; i++) x[i] = (float)((i * 7919 + b) % 1009) / 504.5f - 1;
        const Tensor *in = tensor_new(g->pool, DLVK_F32, rank, dim, x), *want;
        cr_assert(graph_eval(ir, &in, &want, true, g->pool));
        float *y = malloc((size_t)want->count * sizeof *y);
        cr_assert_eq(dlvk_session_set_input(s, "x", dim, rank, x, (size_t)count * sizeof *x, &err), DLVK_OK, "%s", err.text);
        cr_assert_eq(dlvk_session_run(s, &err), DLVK_OK, "%s", err.text);
        cr_assert_eq(dlvk_session_get_output(s, "y", y, (size_t)want->count * sizeof *y, &err), DLVK_OK, "%s", err.text);
        for (int64_t i = 0; i < want->count; i++) {
            double w = elem_get_f(want->dtype, want->data, want->splat ? 0 : i);
            cr_assert(fabs((double)y[i] - w) <= 1e-5 + 1e-3 * fabs(w), "batch %d, element %lld: %g, expected %g", batches[b],
                      (long long)i, (double)y[i], w);
        }
        free(x);
        free(y);
    }
    dlvk_session_free(s);
    dlvk_model_free(m);
    dlvk_free(bundle);
    dlvk_graph_free(g);
    dlvk_device_close(device);
}

/* A residual network in small. */
static dlvk_value convolutional(dlvk_graph *g, dlvk_value x)
{
    dlvk_window first = dlvk_window_2d(3, 2, 1), same = dlvk_window_2d(3, 1, 1), pool = dlvk_window_2d(2, 2, 0),
                up = dlvk_window_2d(2, 2, 0);
    first.no_bias = true;
    same.groups = 4;
    x = dlvk_relu(g, dlvk_batch_norm(g, dlvk_conv(g, x, "conv1", 8, &first), "bn1", 1e-5));
    dlvk_value y = dlvk_silu(g, dlvk_group_norm(g, dlvk_conv(g, x, "conv2", 8, &same), "gn", 2, 1e-5));
    x = dlvk_max_pool(g, dlvk_add(g, x, y), &pool);
    x = dlvk_gelu(g, dlvk_conv_transposed(g, x, "up", 4, &up));
    return dlvk_softmax(g, dlvk_dense(g, dlvk_global_average_pool(g, x), "fc", 5), -1);
}

Test(models, convolutional)
{
    check("batch,3,12,12", convolutional, 4, (int64_t[]){3, 12, 12}, (int[]){2, 1, 5}, 3);
}

/* One transformer block over a sequence whose length is known at run time. */
static dlvk_value transformer(dlvk_graph *g, dlvk_value x)
{
    x = dlvk_add(g, x, dlvk_self_attention(g, dlvk_layer_norm(g, x, "ln1", 1e-5), "attention", 2, NULL, true));
    dlvk_value h = dlvk_gelu_tanh(g, dlvk_dense(g, dlvk_rms_norm(g, x, "ln2", 1e-5), "up", 32));
    return dlvk_add(g, x, dlvk_dense(g, h, "down", 16));
}

Test(models, transformer)
{
    check("seq,3,16", transformer, 3, (int64_t[]){3, 16}, (int[]){4, 1}, 2);
}

/* A hand-written recurrence: h = tanh(x_t + h w), all states collected. */
static dlvk_value recurrent(dlvk_graph *g, dlvk_value x)
{
    dlvk_value w = dlvk_parameter(g, "w", DLVK_F32, "6,6", DLVK_INIT_GLOROT, 1), carried[] = {dlvk_full(g, DLVK_F32, "2,6", 0)};
    dlvk_value inner[1], out[2];
    dlvk_value t = dlvk_loop_begin(g, dlvk_size(g, x, 0), 1, carried, inner);
    dlvk_value next[] = {dlvk_tanh(g, dlvk_add(g, dlvk_gather(g, x, t, 0), dlvk_matmul(g, inner[0], w)))};
    dlvk_loop_end(g, NULL, next, 1, next, out);
    return out[1];
}

Test(models, recurrent)
{
    check("seq,2,6", recurrent, 3, (int64_t[]){2, 6}, (int[]){5, 3}, 2);
}
