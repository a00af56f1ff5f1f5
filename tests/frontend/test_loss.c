/* Losses against formulas written out here, in double precision. */
#include "tests/passes/check.h"

#include <criterion/criterion.h>
#include <math.h>

#include "frontend/compose.h"
#include "passes/grad.h"

enum { N = 3, C = 4, D = 2, ALL = N * C * D, TARGETS = N * D };

static Fix f;
static double x[ALL], other[ALL];
static int64_t classes[TARGETS] = {0, 3, 1, 1, 2, 0};
static float class_weight[C] = {0.5f, 1, 2, 1.5f};

static void setup(void)
{
    fix_open(&f, 11);
    for (int i = 0; i < ALL; i++) {
        x[i] = sin(1.7 * i) * 2;
        other[i] = cos(0.9 * i);
    }
}
static void teardown(void)
{
    fix_close(&f);
}
TestSuite(loss, .init = setup, .fini = teardown);

static Value *floats(const double *data)
{
    return build_const(&f.b, tensor_new(&f.pool, DLVK_F64, 3, (const int64_t[]){N, C, D}, data));
}
static Value *targets(void)
{
    return build_const(&f.b, tensor_new(&f.pool, DLVK_I64, 2, (const int64_t[]){N, D}, classes));
}
static Value *weights(void)
{
    Value *w = build_const(&f.b, tensor_new(&f.pool, DLVK_F32, 1, (const int64_t[]){C}, class_weight));
    return build_cast(&f.b, w, DLVK_F64);
}

static void expect(Value *loss, double want)
{
    fix_output(&f, loss);
    const Tensor *out;
    cr_assert(graph_eval(f.g, NULL, &out, true, &f.pool));
    double got = elem_get_f(out->dtype, out->data, 0);
    cr_expect(out->count == 1 && fabs(got - want) <= 1e-12 * (1 + fabs(want)), "%.15g, not %.15g", got, want);
    f.g->top->results.n = f.g->output_names.n = 0;
}

static double *at(double *data, int n, int c, int d)
{
    return &data[(n * C + c) * D + d];
}

static double log_softmax(int n, int c, int d)
{
    double sum = 0;
    for (int k = 0; k < C; k++) sum += exp(*at(x, n, k, d));
    return *at(x, n, c, d) - log(sum);
}

/* With a smoothing s, the target's share is 1 - s and every class gets s / C; w: use class weights; skip: the class ignored, or
 * -1. */
static double cross_entropy(double s, bool w, int64_t skip, bool mean)
{
    double sum = 0, count = 0;
    for (int i = 0; i < TARGETS; i++) {
        int n = i / D, d = i % D;
        if (classes[i] == skip) continue;
        count += w ? class_weight[classes[i]] : 1;
        for (int c = 0; c < C; c++)
            sum -= (w ? class_weight[c] : 1) * ((c == classes[i] ? 1 - s : 0) + s / C) * log_softmax(n, c, d);
    }
    return mean ? sum / count : sum;
}

Test(loss, cross_entropy_of_class_numbers)
{
    for (int variant = 0; variant < 16; variant++) {
        bool mean = variant & 1, weighted = variant & 2, skips = variant & 4;
        double s = variant & 8 ? 0.1 : 0;
        CrossEntropySpec spec = {.reduction = mean ? LOSS_MEAN : LOSS_SUM,
                                 .has_ignore = skips,
                                 .ignore = 1,
                                 .smoothing = s,
                                 .weight = weighted ? weights() : NULL};
        expect(compose_cross_entropy_loss(&f.b, floats(x), targets(), &spec), cross_entropy(s, weighted, skips ? 1 : -1, mean));
    }
}

Test(loss, cross_entropy_of_probabilities)
{
    double p[ALL], want = 0;
    for (int n = 0; n < N; n++)
        for (int c = 0; c < C; c++)
            for (int d = 0; d < D; d++) {
                *at(p, n, c, d) = (c + 1) / 10.0;
                want -= ((c + 1) / 10.0 * 0.8 + 0.2 / C) * log_softmax(n, c, d);
            }
    CrossEntropySpec spec = {.reduction = LOSS_SUM, .smoothing = 0.2};
    expect(compose_cross_entropy_loss(&f.b, floats(x), floats(p), &spec), want);
    spec.reduction = LOSS_MEAN;
    expect(compose_cross_entropy_loss(&f.b, floats(x), floats(p), &spec), want / TARGETS);
}

Test(loss, of_distances)
{
    double square = 0, distance = 0, huber = 0;
    for (int i = 0; i < ALL; i++) {
        double d = fabs(x[i] - other[i]);
        square += d * d;
        distance += d;
        huber += d < 0.7 ? d * d / 2 : 0.7 * (d - 0.35);
    }
    expect(compose_mse_loss(&f.b, floats(x), floats(other), LOSS_MEAN), square / ALL);
    expect(compose_l1_loss(&f.b, floats(x), floats(other), LOSS_SUM), distance);
    expect(compose_huber_loss(&f.b, floats(x), floats(other), 0.7, LOSS_MEAN), huber / ALL);
}

Test(loss, of_probabilities)
{
    double p[ALL], bce = 0, kl = 0;
    for (int i = 0; i < ALL; i++) {
        p[i] = i % 5 ? (i % 5) / 5.0 : 0;
        double s = 1 / (1 + exp(-x[i]));
        bce -= p[i] * log(s) + (1 - p[i]) * log(1 - s);
        kl += p[i] > 0 ? p[i] * (log(p[i]) - x[i]) : 0;
    }
    expect(compose_bce_loss(&f.b, floats(x), floats(p), LOSS_SUM), bce);
    expect(compose_kl_loss(&f.b, floats(x), floats(p), LOSS_MEAN), kl / ALL);
}

/* log(1 + e^-40) is below what 40 resolves. */
Test(loss, of_a_sure_and_right_logit)
{
    Value *sure = build_scalar(&f.b, DLVK_F64, 40), *one = build_scalar(&f.b, DLVK_F64, 1);
    Value *loss = compose_bce_loss(&f.b, sure, one, LOSS_SUM);
    expect(build_map2s(&f.b, OP_MUL, loss, exp(40)), 1);
}

/* A layer that starts with zeros gives logits of 0, where max(x, 0) and |x| have no slope but their sum with it does. */
Test(loss, slope_of_binary_cross_entropy_at_zero)
{
    Value *logits = fix_input(&f, DLVK_F64, (int64_t[]){3, -1}), *target = build_scalar(&f.b, DLVK_F64, 0.25);
    Value *loss = compose_bce_loss(&f.b, logits, build_broadcast(&f.b, target, 1, logits->type.dim), LOSS_SUM);
    fix_output(&f, loss);
    Graph *g = graph_grad(f.g, &(GradSpec){.loss = loss, .n = 1, .wrt = &logits, .name = (const char *[]){"dx"}});
    const double at[] = {0, -1, 2};
    const Tensor *in = tensor_new(&f.pool, DLVK_F64, 1, (const int64_t[]){3}, at), *out[2];
    cr_assert(g && graph_eval(g, &in, out, true, &f.pool));
    for (int i = 0; i < 3; i++) {
        double want = 1 / (1 + exp(-at[i])) - 0.25, got = elem_get_f(DLVK_F64, out[1]->data, i);
        cr_expect(fabs(got - want) < 1e-12, "at %g: %g, not %g", at[i], got, want);
    }
}
