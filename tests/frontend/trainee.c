#include "tests/frontend/trainee.h"

#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

const char *const trainee_name[TENSORS] = {"one.weight", "one.bias", "two.weight", "two.bias"};
const int trainee_size[TENSORS] = {IN * HIDDEN, HIDDEN, HIDDEN *OUT, OUT};

double trainee_start(int i)
{
    return (float)(0.8 * sin(2.3 * i + 0.5));
}
double trainee_x(int batch, int i)
{
    return (float)cos(1.9 * i + 5.1 * batch);
}
double trainee_target(int batch, int i)
{
    return (float)(1.5 * sin(0.7 * i + 1.3 * batch));
}

double trainee_gradient(const double *p, int batch, int rows, double *g)
{
    const double *w1 = p, *b1 = w1 + IN * HIDDEN, *w2 = b1 + HIDDEN, *b2 = w2 + HIDDEN * OUT;
    double *gw1 = g, *gb1 = gw1 + IN * HIDDEN, *gw2 = gb1 + HIDDEN, *gb2 = gw2 + HIDDEN * OUT, loss = 0;
    memset(g, 0, PARAMETERS * sizeof *g);
    for (int r = 0; r < rows; r++) {
        double h[HIDDEN], dh[HIDDEN] = {0};
        for (int j = 0; j < HIDDEN; j++) {
            h[j] = b1[j];
            for (int i = 0; i < IN; i++) h[j] += w1[j * IN + i] * trainee_x(batch, r * IN + i);
            h[j] = tanh(h[j]);
        }
        for (int k = 0; k < OUT; k++) {
            double y = b2[k];
            for (int j = 0; j < HIDDEN; j++) y += w2[k * HIDDEN + j] * h[j];
            double d = y - trainee_target(batch, r * OUT + k), dy = 2 * d / (rows * OUT);
            loss += d * d / (rows * OUT);
            gb2[k] += dy;
            for (int j = 0; j < HIDDEN; j++) {
                gw2[k * HIDDEN + j] += dy * h[j];
                dh[j] += dy * w2[k * HIDDEN + j];
            }
        }
        for (int j = 0; j < HIDDEN; j++) {
            double da = dh[j] * (1 - h[j] * h[j]);
            gb1[j] += da;
            for (int i = 0; i < IN; i++) gw1[j * IN + i] += da * trainee_x(batch, r * IN + i);
        }
    }
    return loss;
}

dlvk_graph *trainee_graph(void)
{
    static const char *const shape[TENSORS] = {"4,3", "4", "2,4", "2"};
    dlvk_graph *g = dlvk_graph_new("trainee");
    dlvk_value p[TENSORS];
    for (int t = 0, i = 0; t < TENSORS; t++) {
        float data[PARAMETERS];
        for (int k = 0; k < trainee_size[t]; k++) data[k] = (float)trainee_start(i++);
        p[t] = dlvk_parameter_data(g, trainee_name[t], DLVK_F32, shape[t], data, (size_t)trainee_size[t] * sizeof *data);
    }
    dlvk_value h = dlvk_tanh(g, dlvk_linear(g, dlvk_input(g, "x", DLVK_F32, "batch,3"), p[0], p[1]));
    dlvk_output(g, "y", dlvk_linear(g, h, p[2], p[3]));
    return g;
}

Trainee trainee_open_graph(dlvk_graph *g, const dlvk_training_options *o)
{
    return trainee_open_with(g, o, NULL);
}

Trainee trainee_open_with(dlvk_graph *g, const dlvk_training_options *o, const dlvk_compile_options *c)
{
    Trainee t = {0};
    dlvk_error err;
    dlvk_load_options load = DLVK_LOAD_OPTIONS_INIT;
    void *bundle;
    size_t size;
    load.cache = "";
    if (dlvk_device_open(NULL, &t.device, &err) == DLVK_NO_DEVICE) cr_skip_test("no Vulkan device");
    cr_assert_not_null(t.device, "%s", err.text);
    dlvk_compile_options co = DLVK_COMPILE_OPTIONS_INIT;
    if (c) co = *c;
    co.device = dlvk_device_get_info(t.device);
    cr_assert_eq(dlvk_compile_graph_training(g, &bundle, &size, o, &co, &err), DLVK_OK, "%s", err.text);
    cr_assert_eq(dlvk_model_load_memory(t.device, bundle, size, &load, &t.model, &err), DLVK_OK, "%s", err.text);
    cr_assert_eq(dlvk_session_create(t.model, &t.session, &err), DLVK_OK, "%s", err.text);
    dlvk_free(bundle);
    dlvk_graph_free(g);
    return t;
}

Trainee trainee_open(const dlvk_training_options *options)
{
    dlvk_training_options o = *options;
    o.loss.loss = DLVK_LOSS_MSE;
    o.loss.target_type = DLVK_F32;
    return trainee_open_graph(trainee_graph(), &o);
}

void trainee_close(Trainee *t)
{
    dlvk_session_free(t->evaluation);
    dlvk_session_free(t->session);
    dlvk_model_free(t->model);
    dlvk_device_close(t->device);
}

void trainee_scalar(dlvk_session *s, const char *input, const void *value, size_t bytes)
{
    dlvk_error err;
    cr_assert_eq(dlvk_session_set_input(s, input, NULL, 0, value, bytes, &err), DLVK_OK, "%s", err.text);
}

static void set_batch(dlvk_session *s, int batch, int first, int rows)
{
    float x[64 * IN], y[64 * OUT];
    dlvk_error err;
    for (int i = 0; i < rows * IN; i++) x[i] = (float)trainee_x(batch, first * IN + i);
    for (int i = 0; i < rows * OUT; i++) y[i] = (float)trainee_target(batch, first * OUT + i);
    int64_t dx[] = {rows, IN}, dy[] = {rows, OUT};
    cr_assert_eq(dlvk_session_set_input(s, "x", dx, 2, x, (size_t)(rows * IN) * sizeof *x, &err), DLVK_OK, "%s", err.text);
    cr_assert_eq(dlvk_session_set_input(s, "target", dy, 2, y, (size_t)(rows * OUT) * sizeof *y, &err), DLVK_OK, "%s", err.text);
}

float trainee_loss(dlvk_session *s)
{
    dlvk_error err;
    float loss;
    cr_assert_eq(dlvk_session_run(s, &err), DLVK_OK, "%s", err.text);
    cr_assert_eq(dlvk_session_get_output(s, "loss", &loss, sizeof loss, &err), DLVK_OK, "%s", err.text);
    return loss;
}

float trainee_step(Trainee *t, int batch, int first, int rows, float lr)
{
    set_batch(t->session, batch, first, rows);
    trainee_scalar(t->session, "lr", &lr, sizeof lr);
    return trainee_loss(t->session);
}

float trainee_evaluate(Trainee *t, int batch)
{
    dlvk_error err;
    if (!t->evaluation) {
        dlvk_model *program = NULL;
        cr_assert_eq(dlvk_model_program(t->model, "evaluate", &program, &err), DLVK_OK, "%s", err.text);
        cr_assert_eq(dlvk_session_create_with(program, t->session, &t->evaluation, &err), DLVK_OK, "%s", err.text);
    }
    set_batch(t->evaluation, batch, 0, BATCH);
    return trainee_loss(t->evaluation);
}

void trainee_weights(Trainee *t, float *p)
{
    dlvk_error err;
    for (int i = 0; i < TENSORS; p += trainee_size[i++])
        cr_assert_eq(dlvk_session_get_state(t->session, trainee_name[i], p, (size_t)trainee_size[i] * sizeof *p, &err), DLVK_OK,
                     "%s", err.text);
}
