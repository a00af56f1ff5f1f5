/* Training on a device: every optimizer against its formula in double precision, and what surrounds the optimizers. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/frontend/trainee.h"

#include "tests/frontend/torch_trajectories.h"

enum { STEPS = 200, BATCHES = 5 };

/* ---- optimizers in double precision: a call a tensor and step; h: hyperparameters, s: slots ---- */

typedef struct Ref {
    int n, t; /* elements; the step, from 1 */
    double lr, decay, h[4];
    double *w, *g, *s[3];
} Ref;

static void sgd(Ref *r)
{
    for (int i = 0; i < r->n; i++) {
        double d = r->g[i], buffer = r->t == 1 ? d : r->h[0] * r->s[0][i] + (1 - r->h[1]) * d;
        if (r->h[0] != 0) {
            r->s[0][i] = buffer;
            d = r->h[2] != 0 ? d + r->h[0] * buffer : buffer;
        }
        r->w[i] -= r->lr * d;
    }
}

static double adam_direction(Ref *r, int i)
{
    double m = r->s[0][i] = r->h[0] * r->s[0][i] + (1 - r->h[0]) * r->g[i];
    double v = r->s[1][i] = r->h[1] * r->s[1][i] + (1 - r->h[1]) * r->g[i] * r->g[i];
    return m / (1 - pow(r->h[0], r->t)) / (sqrt(v / (1 - pow(r->h[1], r->t))) + r->h[2]);
}

static void adam(Ref *r)
{
    for (int i = 0; i < r->n; i++) r->w[i] -= r->lr * r->decay * r->w[i] + r->lr * adam_direction(r, i);
}

static void rmsprop(Ref *r)
{
    for (int i = 0; i < r->n; i++) {
        double g = r->g[i], square = r->s[0][i] = r->h[0] * r->s[0][i] + (1 - r->h[0]) * g * g;
        if (r->h[3] != 0) {
            r->s[2][i] = r->h[0] * r->s[2][i] + (1 - r->h[0]) * g;
            square -= r->s[2][i] * r->s[2][i];
        }
        r->s[1][i] = r->h[2] * r->s[1][i] + g / (sqrt(square) + r->h[1]);
        r->w[i] -= r->lr * r->s[1][i];
    }
}

static void adagrad(Ref *r)
{
    for (int i = 0; i < r->n; i++) {
        r->s[0][i] += r->g[i] * r->g[i];
        r->w[i] -= r->lr / (1 + (r->t - 1) * r->h[1]) * r->g[i] / (sqrt(r->s[0][i]) + r->h[0]);
    }
}

static void adadelta(Ref *r)
{
    for (int i = 0; i < r->n; i++) {
        r->s[0][i] = r->h[0] * r->s[0][i] + (1 - r->h[0]) * r->g[i] * r->g[i];
        double d = sqrt(r->s[1][i] + r->h[1]) / sqrt(r->s[0][i] + r->h[1]) * r->g[i];
        r->s[1][i] = r->h[0] * r->s[1][i] + (1 - r->h[0]) * d * d;
        r->w[i] -= r->lr * d;
    }
}

static void lamb(Ref *r)
{
    double d[PARAMETERS], size = 0, length = 0;
    for (int i = 0; i < r->n; i++) {
        d[i] = adam_direction(r, i) + r->decay * r->w[i];
        size += r->w[i] * r->w[i];
        length += d[i] * d[i];
    }
    for (int i = 0; i < r->n; i++) r->w[i] -= r->lr * (size > 0 && length > 0 ? sqrt(size / length) : 1) * d[i];
}

static void lion(Ref *r)
{
    for (int i = 0; i < r->n; i++) {
        double d = r->h[0] * r->s[0][i] + (1 - r->h[0]) * r->g[i];
        r->s[0][i] = r->h[1] * r->s[0][i] + (1 - r->h[1]) * r->g[i];
        r->w[i] -= r->lr * (r->decay * r->w[i] + (d > 0) - (d < 0));
    }
}

/* Where PyTorch ends; NULL: it is not asked. */
static const double *torch_end(const char *name)
{
    if (!name) return NULL;
    for (size_t i = 0; i < sizeof torch_trajectory / sizeof *torch_trajectory; i++)
        if (strcmp(torch_trajectory[i].name, name) == 0) return torch_trajectory[i].parameter;
    cr_assert_fail("no trajectory '%s'", name);
    return NULL;
}

/* 200 steps on the device and here; what `o` says of clipping, decay, and averages holds in both. */
static void follow(dlvk_training_options *o, void (*reference)(Ref *), double lr, const char *torch_name)
{
    static double w[PARAMETERS], g[PARAMETERS], slots[3][PARAMETERS], average[PARAMETERS];
    static float start[PARAMETERS], got[PARAMETERS], got_average[PARAMETERS];
    memset(slots, 0, sizeof slots);
    for (int i = 0; i < PARAMETERS; i++) average[i] = w[i] = trainee_start(i);
    Trainee t = trainee_open(o);
    trainee_weights(&t, start);
    for (int i = 0; i < PARAMETERS; i++) cr_assert_eq(start[i], (float)w[i]);
    double decay = o->weight_decay == DLVK_AS_IS ? o->optimizer->weight_decay : o->weight_decay;
    for (int step = 1; step <= STEPS; step++) {
        float loss = trainee_step(&t, step % BATCHES, 0, BATCH, (float)lr);
        double want = trainee_gradient(w, step % BATCHES, BATCH, g), norm = 0;
        cr_assert(fabs(loss - want) <= 1e-4 * (1 + fabs(want)), "step %d: loss %g, not %g", step, (double)loss, want);
        for (int i = 0; i < PARAMETERS; i++) {
            if (o->clip_value > 0) g[i] = fmax(-o->clip_value, fmin(o->clip_value, g[i]));
            norm += g[i] * g[i];
        }
        for (int i = 0; i < PARAMETERS; i++) {
            if (o->clip_norm > 0) g[i] *= fmin(1, o->clip_norm / (sqrt(norm) + 1e-6));
            g[i] += o->l2 * w[i] + o->l1 * ((w[i] > 0) - (w[i] < 0));
        }
        for (int k = 0, at = 0; k < TENSORS; at += trainee_size[k++]) {
            Ref r = {.n = trainee_size[k], .t = step, .lr = (float)lr, .decay = decay, .w = w + at, .g = g + at};
            for (int i = 0; i < 3; i++) r.s[i] = slots[i] + at;
            for (int i = 0; i < o->optimizer->n_hyper; i++) {
                r.h[i] = o->optimizer->hyper[i].value;
                for (int j = 0; j < o->n_hyper; j++)
                    if (strcmp(o->hyper[j].name, o->optimizer->hyper[i].name) == 0) r.h[i] = o->hyper[j].value;
            }
            reference(&r);
        }
        for (int i = 0; i < PARAMETERS; i++) average[i] = o->ema * average[i] + (1 - o->ema) * w[i];
    }
    trainee_weights(&t, got);
    const double *torch = torch_end(torch_name);
    for (int k = 0, at = 0; k < TENSORS; at += trainee_size[k++]) {
        double most = 0;
        for (int i = at; i < at + trainee_size[k]; i++) most = fmax(most, fabs(w[i]));
        for (int i = at; i < at + trainee_size[k]; i++)
            cr_assert(fabs(got[i] - w[i]) <= 1e-4 * most, "%s: element %d of %s is %g, not %g", o->optimizer->name, i - at,
                      trainee_name[k], (double)got[i], w[i]);
        for (int i = at; torch && i < at + trainee_size[k]; i++)
            cr_assert(fabs(got[i] - torch[i]) <= 1e-4 * most, "%s: element %d of %s is %g, PyTorch's %g", torch_name, i - at,
                      trainee_name[k], (double)got[i], torch[i]);
        if (o->ema <= 0) continue;
        char name[64];
        dlvk_error err;
        snprintf(name, sizeof name, "%s:ema", trainee_name[k]);
        cr_assert_eq(dlvk_session_get_state(t.session, name, got_average, (size_t)trainee_size[k] * sizeof(float), &err), DLVK_OK,
                     "%s", err.text);
        for (int i = 0; i < trainee_size[k]; i++)
            cr_assert(fabs(got_average[i] - average[at + i]) <= 1e-4 * most, "average: %g, not %g", (double)got_average[i],
                      average[at + i]);
    }
    trainee_close(&t);
}

#define HYPER(...) .hyper = (dlvk_hyper[]){__VA_ARGS__}, .n_hyper = sizeof((dlvk_hyper[]){__VA_ARGS__}) / sizeof(dlvk_hyper)
#define FOLLOW(formula, rate, torch_name, opt, ...)                                                                              \
    do {                                                                                                                         \
        dlvk_training_options o = DLVK_TRAINING_OPTIONS_INIT;                                                                    \
        dlvk_training_options given = {__VA_ARGS__};                                                                             \
        if (given.weight_decay == 0) given.weight_decay = DLVK_AS_IS;                                                            \
        given.struct_size = o.struct_size;                                                                                       \
        given.loss_scale_growth = o.loss_scale_growth;                                                                           \
        given.loss = o.loss;                                                                                                     \
        given.optimizer = dlvk_optimizer_find(opt);                                                                              \
        cr_assert_not_null(given.optimizer);                                                                                     \
        follow(&given, formula, rate, torch_name);                                                                               \
    } while (0)

Test(training, sgd, .timeout = 120)
{
    FOLLOW(sgd, 0.1, "sgd", "sgd", .l2 = 0);
    FOLLOW(sgd, 0.05, "momentum and l2", "sgd", HYPER({"momentum", 0.9}), .l2 = 0.01);
    FOLLOW(sgd, 0.05, "nesterov and clip_norm", "sgd", HYPER({"momentum", 0.8}, {"nesterov", 1}), .clip_norm = 0.3);
    FOLLOW(sgd, 0.05, "dampening and clip_value", "sgd", HYPER({"momentum", 0.8}, {"dampening", 0.5}), .clip_value = 0.05,
           .ema = 0.95);
}

Test(training, adam, .timeout = 120)
{
    FOLLOW(adam, 0.01, "adam", "adam", .l2 = 0);
    FOLLOW(adam, 0.01, "adamw", "adamw", .ema = 0.9);
    FOLLOW(adam, 0.01, "adamw, other numbers", "adamw", HYPER({"beta1", 0.8}, {"epsilon", 1e-5}), .weight_decay = 0.1);
}

Test(training, rmsprop, .timeout = 120)
{
    FOLLOW(rmsprop, 0.005, "rmsprop", "rmsprop", .l2 = 0);
    FOLLOW(rmsprop, 0.005, "rmsprop, centred", "rmsprop", HYPER({"momentum", 0.5}, {"centered", 1}, {"epsilon", 1e-3}),
           .l2 = 0.01);
}

Test(training, adagrad_and_adadelta, .timeout = 120)
{
    FOLLOW(adagrad, 0.05, "adagrad", "adagrad", .l2 = 0);
    FOLLOW(adagrad, 0.05, "adagrad, decaying", "adagrad", HYPER({"lr_decay", 0.01}, {"epsilon", 1e-6}), .l2 = 0.001);
    FOLLOW(adadelta, 1, "adadelta", "adadelta", .l2 = 0);
}

Test(training, lamb_and_lion, .timeout = 120)
{
    FOLLOW(lamb, 0.01, NULL, "lamb", .l2 = 0);
    FOLLOW(lion, 0.001, NULL, "lion", .weight_decay = 0.1);
}

/* However many parameters there are, updates of equal code are one dispatch. Biases' stand behind the sums that are their gradients. */
Test(training, updates_share_dispatches, .timeout = 60)
{
    enum { LAYERS = 6 };
    dlvk_training_options o = DLVK_TRAINING_OPTIONS_INIT;
    o.optimizer = dlvk_optimizer_find("adam");
    o.loss.loss = DLVK_LOSS_MSE;
    o.loss.target_type = DLVK_F32;
    dlvk_graph *g = dlvk_graph_new("deep");
    dlvk_value h = dlvk_input(g, "x", DLVK_F32, "batch,16");
    for (int i = 0; i < LAYERS; i++) {
        char name[32];
        snprintf(name, sizeof name, "fc%d", i);
        h = dlvk_tanh(g, dlvk_dense(g, h, name, 16));
    }
    dlvk_output(g, "y", h);
    void *bundle;
    size_t size;
    char *json;
    dlvk_error err;
    cr_assert_eq(dlvk_compile_graph_training(g, &bundle, &size, &o, NULL, &err), DLVK_OK, "%s", err.text);
    dlvk_graph_free(g);
    cr_assert_eq(dlvk_bundle_describe_memory(bundle, size, &json, &err), DLVK_OK, "%s", err.text);
    int updates = 0;
    char *end = strstr(json, "\"program\"");
    cr_assert_not_null(end);
    for (char *line = strtok(json, "\n"); line && line < end; line = strtok(NULL, "\n"))
        updates += strstr(line, "\"nodes\"") && strstr(line, "optimizer.sub") && !strstr(line, "reduce");
    cr_assert_eq(updates, 1, "%d dispatches update %d weights", updates, LAYERS);
    free(json);
    dlvk_free(bundle);
}

/* l1 * sign(w) makes weights jump about zero: few steps' worth of it, from far away. */
Test(training, elastic_net, .timeout = 120)
{
    FOLLOW(sgd, 0.001, NULL, "sgd", .l1 = 0.1, .l2 = 0.1);
}
