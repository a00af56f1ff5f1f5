/* The graph builder against hand-written loops: graphs are run in the interpreter. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "frontend/builder.h"
#include "ir/eval.h"
#include "tests/frontend/onnx_model.h"

/* Inputs by order of declaration, as floats (or i64 where the parameter is an integer). */
typedef struct Feed {
    int rank;
    int64_t dim[4];
    const void *data;
} Feed;

static const Tensor *run(dlvk_graph *g, const Feed *feed, const Tensor **all)
{
    Graph *ir = builder_finish(g);
    dlvk_error err;
    cr_assert_eq(dlvk_graph_status(g, &err), DLVK_OK, "%s", err.text);
    cr_assert_not_null(ir);
    cr_assert_eq(graph_verify(ir, stderr), 0);
    const Tensor *in[8], *out[8];
    cr_assert_leq(ir->top->results.n, 8);
    g->pool->oom = NULL;
    for (int i = 0; i < ir->top->params.n; i++)
        in[i] = tensor_new(g->pool, ir->top->params.at[i]->type.dtype, feed[i].rank, feed[i].dim, feed[i].data);
    bool ok = graph_eval(ir, in, out, true, g->pool);
    cr_assert(ok, "%s", g->ctx->diag.lines.n ? g->ctx->diag.lines.at[0] : "?");
    if (all) memcpy(all, out, sizeof *all * (size_t)ir->top->results.n);
    return out[0];
}

static double at(const Tensor *t, int64_t i)
{
    return elem_get_f(t->dtype, t->data, t->splat ? 0 : i);
}

#define CLOSE(x, y) cr_assert_float_eq((x), (y), 1e-6, "%g, expected %g", (double)(x), (double)(y))

static float pseudo(int i)
{
    return (float)(i * 37 % 19 - 9) / 8;
}

Test(builder, every_pointwise_op_is_public)
{
    bool have[OP_COUNT] = {[OP_SELECT] = true};
#define MARK(id, name) have[OP_##id] = true;
    DLVK_UNARY(MARK)
    DLVK_BINARY(MARK)
    for (int i = 0; i < OP_COUNT; i++) cr_assert(!op_info[i].point || have[i], "dlvk_%s is missing", op_info[i].name);
}

Test(builder, mlp)
{
    dlvk_graph *g = dlvk_graph_new("mlp");
    float w1[12], b1[3] = {0.5f, -1, 0.25f}, w2[6], b2[2] = {1, -1}, x[8];
    for (int i = 0; i < 12; i++) w1[i] = pseudo(i);
    for (int i = 0; i < 6; i++) w2[i] = pseudo(i + 5);
    for (int i = 0; i < 8; i++) x[i] = pseudo(i + 3);
    dlvk_value v = dlvk_input(g, "x", DLVK_F32, "batch,4");
    v = dlvk_linear(g, v, dlvk_parameter_data(g, "w1", DLVK_F32, "3,4", w1, sizeof w1),
                    dlvk_parameter_data(g, "b1", DLVK_F32, "3", b1, sizeof b1));
    v = dlvk_relu(g, v);
    v = dlvk_linear(g, v, dlvk_parameter_data(g, "w2", DLVK_F32, "2,3", w2, sizeof w2),
                    dlvk_parameter_data(g, "b2", DLVK_F32, "2", b2, sizeof b2));
    dlvk_output(g, "y", dlvk_softmax(g, v, -1));
    cr_assert_str_eq(dlvk_describe(g, v), "f32[batch,2]");
    const Tensor *y = run(g, &(Feed){2, {2, 4}, x}, NULL);
    for (int n = 0; n < 2; n++) {
        double h[3], z[2];
        for (int i = 0; i < 3; i++) {
            h[i] = (double)b1[i];
            for (int k = 0; k < 4; k++) h[i] += (double)w1[i * 4 + k] * (double)x[n * 4 + k];
            if (h[i] < 0) h[i] = 0;
        }
        for (int i = 0; i < 2; i++) {
            z[i] = (double)b2[i];
            for (int k = 0; k < 3; k++) z[i] += (double)w2[i * 3 + k] * h[k];
        }
        double s = exp(z[0]) + exp(z[1]);
        CLOSE(at(y, n * 2), exp(z[0]) / s);
        CLOSE(at(y, n * 2 + 1), exp(z[1]) / s);
    }
    dlvk_graph_free(g);
}

/* y = w x + 1, of shapes that the file does not know; w is the file's where none is given. */
Test(builder, onnx_file_as_a_part)
{
    TestModel m;
    model_init(&m, 17);
    model_input(&m, "x", 1, "4");
    model_input(&m, "w", 1, "");
    float w = 3, one = 1;
    Onnx__TensorProto *t = model_initializer(&m, "w", 1, 0, NULL), *c = model_initializer(&m, "one", 1, 0, NULL);
    t->n_float_data = 1, t->float_data = &w;
    c->n_float_data = 1, c->float_data = &one;
    model_node(&m, "Mul", "w,x", "p");
    model_node(&m, "Add", "p,one", "y");
    model_output(&m, "y");
    model_output(&m, "p");
    model_write(&m);
    dlvk_graph *g = dlvk_graph_new("parts");
    dlvk_value x = dlvk_input(g, "x", DLVK_F32, "n,2"), in[] = {x, dlvk_add_scalar(g, x, 1)}, out[2], y;
    const char *names[] = {"x", "w"};
    dlvk_onnx(g, m.path, 1, names, in, 1, &y);
    dlvk_onnx(g, m.path, 2, names, in, 2, out);
    cr_assert_str_eq(dlvk_describe(g, y), "f32[n,2]");
    dlvk_output(g, "y", y);
    dlvk_output(g, "z", out[0]);
    dlvk_output(g, "p", out[1]);
    const float data[] = {2, -1, 0.5f, 4};
    const Tensor *all[3];
    run(g, &(Feed){2, {2, 2}, data}, all);
    for (int i = 0; i < 4; i++) {
        double v = (double)data[i];
        CLOSE(at(all[0], i), 3 * v + 1);
        CLOSE(at(all[1], i), (v + 1) * v + 1);
        CLOSE(at(all[2], i), (v + 1) * v);
    }
    dlvk_graph_free(g);

    static const struct {
        const char *input, *says;
        int outputs;
    } bad[] = {{"a", "has no input 'a'", 1}, {"w", "input 'x' of graph", 1}, {"x", "has 2 outputs, and 3 are wanted", 3}};
    for (int i = 0; i < 3; i++) {
        dlvk_error err;
        dlvk_value none[3];
        g = dlvk_graph_new("bad");
        x = dlvk_input(g, "x", DLVK_F32, "n");
        dlvk_onnx(g, m.path, 1, &bad[i].input, &x, bad[i].outputs, none);
        cr_expect(none[0] == NULL);
        cr_expect_eq(dlvk_graph_status(g, &err), DLVK_INVALID_ARGUMENT);
        cr_expect(strstr(err.text, bad[i].says) != NULL, "%s", err.text);
        dlvk_graph_free(g);
    }
    static const struct {
        const char *input[2], *says;
        bool path;
    } twice[] = {{{"x", "x"}, "input 'x' of graph 'test' is given twice", true},
                 {{"x", NULL}, "the name of input 1 is NULL", true},
                 {{"x", "w"}, "the path is NULL", false}};
    for (int i = 0; i < 3; i++) {
        dlvk_error err;
        g = dlvk_graph_new("bad");
        x = dlvk_input(g, "x", DLVK_F32, "n");
        dlvk_onnx(g, twice[i].path ? m.path : NULL, 2, twice[i].input, (dlvk_value[]){x, x}, 1, &y);
        cr_expect(y == NULL);
        cr_expect_eq(dlvk_graph_status(g, &err), DLVK_INVALID_ARGUMENT);
        cr_expect(strstr(err.text, twice[i].says) != NULL, "%s", err.text);
        dlvk_graph_free(g);
    }
    model_free(&m);
}

Test(builder, convolution_with_groups_stride_and_padding)
{
    dlvk_graph *g = dlvk_graph_new("conv");
    enum { N = 1, C = 4, H = 5, W = 6, O = 6, K = 3, S = 2, P = 1, G = 2 };
    float x[N * C * H * W], w[O * C / G * K * K], bias[O];
    for (int i = 0; i < (int)(sizeof x / sizeof *x); i++) x[i] = pseudo(i);
    for (int i = 0; i < (int)(sizeof w / sizeof *w); i++) w[i] = pseudo(i * 5 + 1);
    for (int i = 0; i < O; i++) bias[i] = pseudo(i * 3);
    dlvk_window o = dlvk_window_2d(K, S, P);
    o.groups = G;
    dlvk_value v = dlvk_input(g, "x", DLVK_F32, "n,4,h,w");
    dlvk_output(g, "y",
                dlvk_convolve(g, v, dlvk_parameter_data(g, "w", DLVK_F32, "6,2,3,3", w, sizeof w),
                              dlvk_parameter_data(g, "b", DLVK_F32, "6", bias, sizeof bias), &o));
    const Tensor *y = run(g, &(Feed){4, {N, C, H, W}, x}, NULL);
    int oh = (H + 2 * P - K) / S + 1, ow = (W + 2 * P - K) / S + 1;
    cr_assert_eq(y->dim[2], oh);
    cr_assert_eq(y->dim[3], ow);
    for (int c = 0; c < O; c++)
        for (int i = 0; i < oh; i++)
            for (int j = 0; j < ow; j++) {
                double sum = (double)bias[c];
                for (int k = 0; k < C / G; k++)
                    for (int p = 0; p < K; p++)
                        for (int q = 0; q < K; q++) {
                            int r = i * S - P + p, s = j * S - P + q, ci = c / (O / G) * (C / G) + k;
                            if (r >= 0 && r < H && s >= 0 && s < W)
                                sum += (double)x[(ci * H + r) * W + s] * (double)w[((c * (C / G) + k) * K + p) * K + q];
                        }
                CLOSE(at(y, (c * oh + i) * ow + j), sum);
            }
    dlvk_graph_free(g);
}

/* The transposed convolution is the adjoint of the convolution: <conv(x), y> = <x, convT(y)>. */
Test(builder, transposed_convolution_is_the_adjoint)
{
    dlvk_graph *g = dlvk_graph_new("adjoint");
    enum { X = 2 * 4 * 7 * 7, Y = 2 * 6 * 4 * 4 };
    float x[X], y[Y], w[6 * 2 * 3 * 3];
    for (int i = 0; i < X; i++) x[i] = pseudo(i);
    for (int i = 0; i < Y; i++) y[i] = pseudo(i * 7 + 2);
    for (int i = 0; i < 108; i++) w[i] = pseudo(i * 11 + 3);
    dlvk_window o = dlvk_window_2d(3, 2, 1);
    o.groups = 2;
    dlvk_value vx = dlvk_input(g, "x", DLVK_F32, "2,4,7,7"), vy = dlvk_input(g, "y", DLVK_F32, "2,6,4,4");
    dlvk_value vw = dlvk_parameter_data(g, "w", DLVK_F32, "6,2,3,3", w, sizeof w);
    dlvk_output(g, "a", dlvk_reduce(g, DLVK_SUM, dlvk_mul(g, dlvk_convolve(g, vx, vw, NULL, &o), vy), 0, NULL, false));
    dlvk_output(g, "b", dlvk_reduce(g, DLVK_SUM, dlvk_mul(g, vx, dlvk_convolve_transposed(g, vy, vw, NULL, &o)), 0, NULL, false));
    const Tensor *out[2];
    run(g, (Feed[]){{4, {2, 4, 7, 7}, x}, {4, {2, 6, 4, 4}, y}}, out);
    CLOSE(at(out[0], 0), at(out[1], 0));
    cr_assert_gt(fabs(at(out[0], 0)), 1e-3);
    dlvk_graph_free(g);
}

Test(builder, pooling_in_ceil_mode)
{
    dlvk_graph *g = dlvk_graph_new("pool");
    float x[25];
    for (int i = 0; i < 25; i++) x[i] = pseudo(i);
    dlvk_window o = dlvk_window_2d(2, 2, 0);
    o.ceil_mode = true;
    dlvk_value v = dlvk_input(g, "x", DLVK_F32, "1,1,h,h");
    dlvk_output(g, "max", dlvk_max_pool(g, v, &o));
    dlvk_output(g, "mean", dlvk_average_pool(g, v, &o));
    dlvk_output(g, "sum", dlvk_window_reduce(g, DLVK_SUM, v, &o));
    dlvk_output(g, "where", dlvk_arg_window(g, DLVK_MAX, v, &o));
    const Tensor *out[4];
    run(g, &(Feed){4, {1, 1, 5, 5}, x}, out);
    for (int i = 0; i < 3; i++)
        for (int j = 0; j < 3; j++) {
            double max = -INFINITY, sum = 0;
            int n = 0;
            for (int r = 2 * i; r < 2 * i + 2 && r < 5; r++)
                for (int c = 2 * j; c < 2 * j + 2 && c < 5; c++, n++) {
                    max = fmax(max, (double)x[r * 5 + c]);
                    sum += (double)x[r * 5 + c];
                }
            cr_assert_eq(out[0]->dim[2], 3);
            CLOSE(at(out[0], i * 3 + j), max);
            CLOSE(at(out[1], i * 3 + j), sum / n);
            CLOSE(at(out[2], i * 3 + j), sum);
            CLOSE(x[(int)at(out[3], i * 3 + j)], max);
        }
    dlvk_graph_free(g);
}

Test(builder, layers_name_their_parameters)
{
    dlvk_graph *g = dlvk_graph_new("names");
    dlvk_value x = dlvk_input(g, "x", DLVK_F32, "batch,8");
    dlvk_scope_push(g, "block");
    dlvk_dense(g, x, "fc", 4);
    dlvk_scope_pop(g);
    bool weight = false, bias = false;
    for (int i = 0; i < g->names.n; i++) {
        weight |= strcmp(g->names.at[i], "block.fc.weight") == 0;
        bias |= strcmp(g->names.at[i], "block.fc.bias") == 0;
    }
    cr_assert(weight && bias);
    dlvk_scope_push(g, "block");
    cr_assert_null(dlvk_dense(g, x, "fc", 4), "the names are taken");
    dlvk_graph_free(g);
}

static bool supply_half(void *user, const char *name, dlvk_dtype t, int rank, const int64_t *dims, void *data, size_t bytes)
{
    (void)rank, (void)dims;
    ++*(int *)user;
    if (t != DLVK_F32 || !strstr(name, "weight")) return false;
    for (size_t i = 0; i < bytes / sizeof(float); i++) ((float *)data)[i] = 0.5f;
    return true;
}

Test(builder, weights_are_supplied_or_initialised)
{
    dlvk_graph *g = dlvk_graph_new("weights");
    int asked = 0;
    float x[4] = {1, 2, 3, 4};
    dlvk_graph_weights(g, supply_half, &asked);
    dlvk_output(g, "y", dlvk_dense(g, dlvk_input(g, "x", DLVK_F32, "1,4"), "fc", 2));
    const Tensor *y = run(g, &(Feed){2, {1, 4}, x}, NULL);
    cr_assert_eq(asked, 2);
    for (int i = 0; i < 2; i++) cr_assert(fabs(at(y, i) - 5) <= 0.5, "the bias begins within 1/sqrt(4)");
    cr_assert(at(y, 0) != at(y, 1));
    dlvk_graph_free(g);
}

/* Normalization layers: what comes out has mean 0 and variance 1 over the axes they normalize. */
Test(builder, normalization)
{
    dlvk_graph *g = dlvk_graph_new("norm");
    float x[2 * 4 * 6];
    for (int i = 0; i < 48; i++) x[i] = pseudo(i) * 3 + 2;
    dlvk_value v = dlvk_input(g, "x", DLVK_F32, "2,4,6");
    dlvk_output(g, "layer", dlvk_layer_norm(g, v, "ln", 0));
    dlvk_output(g, "group", dlvk_group_norm(g, v, "gn", 2, 0));
    dlvk_output(g, "instance", dlvk_instance_norm(g, v, "in", 0));
    const Tensor *out[3];
    run(g, &(Feed){3, {2, 4, 6}, x}, out);
    const int length[] = {6, 12, 6};
    for (int k = 0; k < 3; k++)
        for (int row = 0; row < 48 / length[k]; row++) {
            double sum = 0, square = 0;
            for (int i = 0; i < length[k]; i++) {
                double y = at(out[k], row * length[k] + i);
                sum += y;
                square += y * y;
            }
            CLOSE(sum / length[k], 0);
            CLOSE(square / length[k], 1);
        }
    dlvk_graph_free(g);
}

Test(builder, causal_attention)
{
    dlvk_graph *g = dlvk_graph_new("attention");
    enum { S = 4, D = 3 };
    float q[S * D], k[S * D], v[S * D];
    for (int i = 0; i < S * D; i++) q[i] = pseudo(i), k[i] = pseudo(i * 3 + 1), v[i] = pseudo(i * 5 + 2);
    dlvk_value in[3];
    for (int i = 0; i < 3; i++) in[i] = dlvk_input(g, (const char *[]){"q", "k", "v"}[i], DLVK_F32, "1,s,3");
    dlvk_output(g, "y", dlvk_attention(g, in[0], in[1], in[2], NULL, true, 0));
    const Tensor *y = run(g, (Feed[]){{3, {1, S, D}, q}, {3, {1, S, D}, k}, {3, {1, S, D}, v}}, NULL);
    for (int i = 0; i < S; i++) {
        double e[S], sum = 0, want[D] = {0};
        for (int j = 0; j <= i; j++) {
            double dot = 0;
            for (int d = 0; d < D; d++) dot += (double)q[i * D + d] * (double)k[j * D + d];
            sum += e[j] = exp(dot / sqrt(D));
        }
        for (int j = 0; j <= i; j++)
            for (int d = 0; d < D; d++) want[d] += e[j] / sum * (double)v[j * D + d];
        for (int d = 0; d < D; d++) CLOSE(at(y, i * D + d), want[d]);
    }
    dlvk_graph_free(g);
}

Test(builder, losses)
{
    dlvk_graph *g = dlvk_graph_new("losses");
    float x[6] = {1, -2, 0.5f, 3, 0, -1}, t[6] = {0, 1, 0.5f, 1, 1, 0};
    int64_t classes[2] = {2, 0};
    dlvk_value v = dlvk_input(g, "x", DLVK_F32, "2,3"), target = dlvk_input(g, "t", DLVK_F32, "2,3");
    dlvk_value c = dlvk_input(g, "c", DLVK_I64, "2");
    dlvk_output(g, "mse", dlvk_mse_loss(g, v, target));
    dlvk_output(g, "huber", dlvk_huber_loss(g, v, target, 1));
    dlvk_output(g, "bce", dlvk_bce_loss(g, v, target));
    dlvk_output(g, "ce", dlvk_cross_entropy_loss(g, v, c));
    const Tensor *out[4];
    run(g, (Feed[]){{2, {2, 3}, x}, {2, {2, 3}, t}, {1, {2}, classes}}, out);
    double mse = 0, huber = 0, bce = 0, ce = 0;
    for (int i = 0; i < 6; i++) {
        double d = fabs((double)x[i] - (double)t[i]), p = 1 / (1 + exp(-(double)x[i]));
        mse += d * d / 6;
        huber += (d < 1 ? d * d / 2 : d - 0.5) / 6;
        bce -= ((double)t[i] * log(p) + (1 - (double)t[i]) * log(1 - p)) / 6;
    }
    for (int i = 0; i < 2; i++) {
        double s = 0;
        for (int k = 0; k < 3; k++) s += exp((double)x[i * 3 + k]);
        ce += (log(s) - (double)x[i * 3 + classes[i]]) / 2;
    }
    CLOSE(at(out[0], 0), mse);
    CLOSE(at(out[1], 0), huber);
    CLOSE(at(out[2], 0), bce);
    CLOSE(at(out[3], 0), ce);
    dlvk_graph_free(g);
}

/* Fibonacci by a loop with two carried values and one collected; then the greater of two by a branch. */
Test(builder, loop_and_branch)
{
    dlvk_graph *g = dlvk_graph_new("flow");
    dlvk_value carried[2] = {dlvk_scalar(g, DLVK_I64, 0), dlvk_scalar(g, DLVK_I64, 1)}, inner[2], out[3], pick[1];
    dlvk_value x = dlvk_input(g, "x", DLVK_I64, "");
    dlvk_loop_begin(g, x, 2, carried, inner);
    dlvk_value next[2] = {inner[1], dlvk_add(g, inner[0], inner[1])};
    dlvk_loop_end(g, NULL, next, 1, inner, out);
    dlvk_if_begin(g, dlvk_gt(g, out[0], dlvk_scalar(g, DLVK_I64, 50)));
    dlvk_value yes[1] = {dlvk_add(g, out[0], x)};
    dlvk_if_else(g, 1, yes);
    dlvk_value no[1] = {dlvk_neg(g, out[0])};
    dlvk_if_end(g, 1, no, pick);
    dlvk_output(g, "last", out[0]);
    dlvk_output(g, "all", out[2]);
    dlvk_output(g, "pick", pick[0]);
    const Tensor *t[3];
    int64_t n = 10;
    run(g, &(Feed){0, {0}, &n}, t);
    CLOSE(at(t[0], 0), 55);
    cr_assert_eq(t[1]->count, 10);
    CLOSE(at(t[1], 9), 34);
    CLOSE(at(t[2], 0), 65);
    n = 5;
    run(g, &(Feed){0, {0}, &n}, t);
    CLOSE(at(t[2], 0), -5);
    dlvk_graph_free(g);
}

Test(builder, reshape_slice_gather_and_top_k)
{
    dlvk_graph *g = dlvk_graph_new("move");
    float x[12];
    for (int i = 0; i < 12; i++) x[i] = (float)(i * 7 % 12);
    dlvk_value v = dlvk_input(g, "x", DLVK_F32, "3,n"), index;
    dlvk_value r = dlvk_reshape(g, v, "n,?");
    cr_assert_str_eq(dlvk_describe(g, r), "f32[n,3]");
    dlvk_output(g, "slice", dlvk_slice(g, v, 1, "1", "n-2"));
    dlvk_output(g, "top", dlvk_top_k(g, v, -1, 2, &index));
    dlvk_output(g, "at", index);
    dlvk_output(g, "gathered", dlvk_gather(g, v, dlvk_constant(g, DLVK_I32, 1, (int64_t[]){2}, (int32_t[]){2, 0}), 0));
    const Tensor *t[4];
    run(g, &(Feed){2, {3, 4}, x}, t);
    cr_assert_eq(t[0]->dim[1], 2);
    CLOSE(at(t[0], 2), x[5]);
    for (int row = 0; row < 3; row++) {
        CLOSE(at(t[1], row * 2), x[row * 4 + (int)at(t[2], row * 2)]);
        for (int i = 0; i < 4; i++) cr_assert_leq((double)x[row * 4 + i], at(t[1], row * 2));
    }
    CLOSE(at(t[3], 0), x[8]);
    CLOSE(at(t[3], 4), x[0]);
    dlvk_graph_free(g);
}

static void expect_error(dlvk_graph *g, const char *part)
{
    dlvk_error err;
    void *bundle;
    size_t size;
    cr_assert_neq(dlvk_compile_graph(g, &bundle, &size, NULL, &err), DLVK_OK, "an error about %s", part);
    cr_assert_not_null(strstr(err.text, part), "'%s' is not in: %s", part, err.text);
    cr_assert_neq(dlvk_graph_status(g, NULL), DLVK_OK);
    dlvk_graph_free(g);
}

Test(builder, errors_are_kept_and_name_their_place)
{
    dlvk_graph *g = dlvk_graph_new("bad");
    dlvk_scope_push(g, "stem");
    dlvk_value x = dlvk_input(g, "x", DLVK_F32, "batch,3");
    dlvk_value bad = dlvk_matmul(g, x, dlvk_parameter(g, "w", DLVK_F32, "4,5", DLVK_INIT_ZEROS, 1));
    cr_assert_null(bad);
    cr_assert_null(dlvk_relu(g, bad));
    dlvk_output(g, "y", bad);
    expect_error(g, "stem.matmul");

    g = dlvk_graph_new("bad");
    cr_assert_null(dlvk_input(g, "x", DLVK_F32, "batch,,3"));
    expect_error(g, "batch,,3");

    g = dlvk_graph_new("bad");
    cr_assert_null(dlvk_softmax(g, dlvk_input(g, "x", DLVK_F32, "2,3"), 2));
    expect_error(g, "axis 2");

    g = dlvk_graph_new("bad");
    x = dlvk_input(g, "x", DLVK_F32, "2,3");
    cr_assert_null(dlvk_add(g, x, dlvk_scalar(g, DLVK_I64, 1)));
    expect_error(g, "f32 and i64");

    g = dlvk_graph_new("bad");
    dlvk_loop_begin(g, dlvk_scalar(g, DLVK_I64, 3), 0, NULL, NULL);
    dlvk_output(g, "y", dlvk_input(g, "x", DLVK_F32, "2"));
    expect_error(g, "loop");

    expect_error(dlvk_graph_new("bad"), "no output");
}

Test(builder, null_graphs_and_values_are_refused)
{
    cr_assert_null(dlvk_input(NULL, "x", DLVK_F32, "1"));
    cr_assert_null(dlvk_dense(NULL, NULL, "x", 1));
    cr_assert_eq(dlvk_graph_status(NULL, NULL), DLVK_INVALID_ARGUMENT);
    cr_assert_eq(dlvk_rank(NULL), -1);
    dlvk_graph_free(NULL);
    dlvk_graph *g = dlvk_graph_new(NULL);
    cr_assert_null(dlvk_add(g, NULL, NULL));
    cr_assert_null(dlvk_conv(g, NULL, "c", 3, NULL));
    cr_assert_eq(dlvk_graph_status(g, NULL), DLVK_OK, "a missing operand is not a new error");
    dlvk_graph_free(g);
}
