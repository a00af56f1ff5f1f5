/* Gradients on the device against differences in the interpreter: what `dlvkc test --grad` does with one model. */
#include "tools/gradient_check.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { ELEMENTS = 24 };               /* of each input */
static const double SECONDS = 8;      /* for all of them */
static const double EIGHT_BITS = 0.5; /* steps above this are those of 8-bit floats */

typedef struct Check {
    const char *path;
    dlvk_device *device;
    int threads;
    const dlvk_host_value *assumed; /* by position; tensors alone */
    dlvk_host_tensor *inputs;       /* views of them */
    int n_in;
    bool light;    /* no inputs were given: those of light models */
    InputSet made; /* they */
    LoadedModel m;
    dlvk_session *session;
    dlvk_slope *slope;
    int n_slopes;
    dlvk_error err;
    char *detail;
} Check;

static GradientOutcome say(Check *c, GradientOutcome outcome, const char *text)
{
    c->detail = text_format("%s", text);
    for (char *p = c->detail; *p; p++)
        if (*p == '\n') *p = p[1] ? ';' : 0;
    return outcome;
}

/* A gradient is as exact as the narrowest type on its way, by which the steps were chosen. */
static double tolerance(const Check *c, int input)
{
    double most = 0, step = 0;
    for (int i = 0; i < c->n_slopes; i++) {
        const dlvk_slope *s = &c->slope[i];
        step = s->step;
        if (s->input == input && !s->jump) most = fmax(most, fmin(fabs(s->down), fabs(s->up)));
    }
    return (step > EIGHT_BITS ? 0.08 : step > 0.01 ? 0.02 : 1e-3) * most + 1e-6;
}

/* Output i + 1 of the bundle is the gradient of the i-th float input. */
static GradientOutcome compare(Check *c, int input, int output, int *compared)
{
    dlvk_host_tensor got;
    if (output_read(c->session, output, &got, &c->err)) return say(c, GRADIENT_FAIL, c->err.text);
    double allowed = tolerance(c, input);
    GradientOutcome outcome = GRADIENT_PASS;
    for (int i = 0; i < c->n_slopes && outcome == GRADIENT_PASS; i++) {
        const dlvk_slope *s = &c->slope[i];
        if (s->input != input || s->jump) continue;
        ++*compared;
        double d = dlvk_host_tensor_get(&got, s->element), lo = fmin(s->down, s->up), hi = fmax(s->down, s->up);
        double kink = 4 * (hi - lo); /* several in one place may pull in opposite directions, and each takes a side of its own */
        if (d >= lo - kink - allowed && d <= hi + kink + allowed) continue;
        char *text = text_format("%s at element %lld: %.7g, but the differences are %.7g below and %.7g above (tolerance %.2g)",
                                 got.name, (long long)s->element, d, s->down, s->up, allowed);
        bool stairs = s->step > EIGHT_BITS;
        outcome = stairs ? say(c, GRADIENT_SKIP, "rounds to 8-bit floats, a staircase") : say(c, GRADIENT_FAIL, text);
        free(text);
    }
    dlvk_host_tensor_free(&got);
    return outcome;
}

static GradientOutcome compare_all(Check *c)
{
    int output = 0, compared = 0;
    GradientOutcome outcome = GRADIENT_PASS;
    for (int i = 0; i < c->n_in && outcome == GRADIENT_PASS; i++) {
        dlvk_tensor_info info;
        dlvk_model_input(c->m.model, i, &info);
        if (is_float(info.dtype)) outcome = compare(c, i, ++output, &compared);
    }
    if (outcome == GRADIENT_PASS && !compared) {
        bool tried = c->n_slopes > 0;
        return say(c, GRADIENT_SKIP, tried ? "the outputs jump at every element tried" : "the float inputs are empty");
    }
    if (outcome == GRADIENT_PASS) c->detail = text_format("%d elements", compared);
    return outcome;
}

static GradientOutcome check(Check *c)
{
    dlvk_gradient_options g = DLVK_GRADIENT_OPTIONS_INIT;
    g.loss = DLVK_LOSS_PROJECTION;
    g.of_inputs = true;
    c->m = (LoadedModel){.device = c->device, .assumed = c->assumed, .n_assumed = c->n_in, .gradient = &g};
    if (model_open(&c->m, c->path, NULL, c->threads, &c->err)) return say(c, GRADIENT_FAIL, c->err.text);
    if (c->light) {
        if (!inputs_light(&c->made, c->m.model)) return say(c, GRADIENT_FAIL, "its inputs cannot be made");
        c->inputs = c->made.at;
        c->n_in = c->made.n;
    }
    if (dlvk_model_inputs(c->m.model) != c->n_in)
        return say(c, GRADIENT_FAIL, "the data set has more or fewer inputs than the model");
    if (dlvk_session_create(c->m.model, &c->session, &c->err)) return say(c, GRADIENT_FAIL, c->err.text);
    for (int i = 0; i < c->n_in; i++) {
        const dlvk_host_tensor *t = &c->inputs[i];
        dlvk_tensor_info info;
        dlvk_model_input(c->m.model, i, &info);
        if (dlvk_session_set_input(c->session, info.name, t->dim, t->rank, t->data, t->bytes, &c->err))
            return say(c, GRADIENT_FAIL, c->err.text);
    }
    if (dlvk_session_run(c->session, &c->err)) return say(c, GRADIENT_FAIL, c->err.text);
    if (dlvk_reference_slopes(c->path, &g, c->inputs, c->n_in, ELEMENTS, SECONDS, &c->slope, &c->n_slopes, &c->err))
        return say(c, GRADIENT_FAIL, c->err.text);
    return compare_all(c);
}

GradientOutcome gradient_check(dlvk_device *device, const char *path, const dlvk_host_value *inputs, int n_in, int threads,
                               char **detail)
{
    for (int i = 0; i < n_in; i++)
        if (inputs[i].kind != DLVK_VALUE_TENSOR) {
            *detail = text_format("input %d is a sequence or optional", i);
            return GRADIENT_SKIP;
        }
    dlvk_host_tensor *views = must_alloc((size_t)n_in + 1, sizeof *views);
    for (int i = 0; i < n_in; i++) views[i] = inputs[i].at[0];
    Check c = {
        .path = path, .device = device, .threads = threads, .assumed = inputs, .inputs = views, .n_in = n_in, .light = !inputs};
    for (int i = 0; i < n_in; i++) views[i].name = NULL;
    GradientOutcome outcome = check(&c);
    dlvk_session_free(c.session);
    c.m.assumed = NULL;
    model_close(&c.m);
    dlvk_free(c.slope);
    if (c.made.at) inputs_free(&c.made);
    free(views);
    *detail = c.detail;
    return outcome;
}
