/* The built-in optimizers: rows of a table, written with the public builder as a caller's own would be; see dlvk/train.h. */
#include <math.h>
#include <string.h>

#include "dlvk/train.h"

typedef dlvk_value V;

/* a * x + b * y */
static V blend(dlvk_graph *g, double a, V x, double b, V y)
{
    V ax = a == 1 ? x : dlvk_mul_scalar(g, x, a), by = b == 1 ? y : dlvk_mul_scalar(g, y, b);
    return dlvk_add(g, ax, by);
}

static V square(dlvk_graph *g, V x)
{
    return dlvk_mul(g, x, x);
}

/* w - lr * d */
static V descend(dlvk_graph *g, const dlvk_update *u, V d)
{
    return dlvk_sub(g, u->parameter, dlvk_mul(g, u->lr, d));
}

/* 1 - beta^step without cancellation */
static V unbias(dlvk_graph *g, const dlvk_update *u, double beta)
{
    if (beta <= 0) return dlvk_scalar(g, dlvk_type(u->step), 1);
    return dlvk_neg(g, dlvk_expm1(g, dlvk_mul_scalar(g, u->step, log(beta))));
}

static V sgd(dlvk_graph *g, dlvk_update *u)
{
    double momentum = u->hyper[0], dampening = u->hyper[1];
    V d = u->gradient;
    if (momentum == 0) return descend(g, u, d);
    V next = blend(g, momentum, u->slot[0], 1 - dampening, d);
    if (dampening != 0) { /* the first one is not dampened */
        V first = dlvk_lt(g, u->step, dlvk_scalar(g, dlvk_type(u->step), 1.5));
        next = dlvk_select(g, first, d, next);
    }
    u->slot[0] = next;
    return descend(g, u, u->hyper[2] != 0 ? blend(g, 1, d, momentum, next) : next);
}

/* m_hat / (sqrt(v_hat) + epsilon); moves the slots. */
static V adam_direction(dlvk_graph *g, dlvk_update *u)
{
    double b1 = u->hyper[0], b2 = u->hyper[1];
    u->slot[0] = blend(g, b1, u->slot[0], 1 - b1, u->gradient);
    u->slot[1] = blend(g, b2, u->slot[1], 1 - b2, square(g, u->gradient));
    V size = dlvk_div(g, dlvk_sqrt(g, u->slot[1]), dlvk_sqrt(g, unbias(g, u, b2)));
    return dlvk_div(g, dlvk_div(g, u->slot[0], unbias(g, u, b1)), dlvk_add_scalar(g, size, u->hyper[2]));
}

static V adam(dlvk_graph *g, dlvk_update *u)
{
    return descend(g, u, adam_direction(g, u));
}

static V rmsprop(dlvk_graph *g, dlvk_update *u)
{
    double alpha = u->hyper[0], momentum = u->hyper[2];
    V spread = u->slot[0] = blend(g, alpha, u->slot[0], 1 - alpha, square(g, u->gradient));
    if (u->hyper[3] != 0) {
        u->slot[2] = blend(g, alpha, u->slot[2], 1 - alpha, u->gradient);
        spread = dlvk_sub(g, spread, square(g, u->slot[2]));
    }
    V d = dlvk_div(g, u->gradient, dlvk_add_scalar(g, dlvk_sqrt(g, spread), u->hyper[1]));
    if (momentum != 0) d = u->slot[1] = blend(g, momentum, u->slot[1], 1, d);
    return descend(g, u, d);
}

static V adagrad(dlvk_graph *g, dlvk_update *u)
{
    V lr = u->lr;
    if (u->hyper[1] != 0)
        lr = dlvk_div(g, lr, dlvk_add_scalar(g, dlvk_mul_scalar(g, dlvk_add_scalar(g, u->step, -1), u->hyper[1]), 1));
    u->slot[0] = dlvk_add(g, u->slot[0], square(g, u->gradient));
    V d = dlvk_div(g, u->gradient, dlvk_add_scalar(g, dlvk_sqrt(g, u->slot[0]), u->hyper[0]));
    return dlvk_sub(g, u->parameter, dlvk_mul(g, lr, d));
}

static V adadelta(dlvk_graph *g, dlvk_update *u)
{
    double rho = u->hyper[0], epsilon = u->hyper[1];
    u->slot[0] = blend(g, rho, u->slot[0], 1 - rho, square(g, u->gradient));
    V reach = dlvk_sqrt(g, dlvk_add_scalar(g, u->slot[1], epsilon));
    V d = dlvk_mul(g, dlvk_div(g, reach, dlvk_sqrt(g, dlvk_add_scalar(g, u->slot[0], epsilon))), u->gradient);
    u->slot[1] = blend(g, rho, u->slot[1], 1 - rho, square(g, d));
    return descend(g, u, d);
}

static V norm(dlvk_graph *g, V x)
{
    return dlvk_sqrt(g, dlvk_reduce(g, DLVK_SUM, square(g, x), 0, NULL, false));
}

static V lamb(dlvk_graph *g, dlvk_update *u)
{
    V d = adam_direction(g, u);
    if (u->weight_decay != 0) d = blend(g, 1, d, u->weight_decay, u->parameter);
    V size = norm(g, u->parameter), length = norm(g, d), zero = dlvk_scalar(g, dlvk_type(d), 0);
    V both = dlvk_gt(g, dlvk_mul(g, size, length), zero);
    V trust = dlvk_select(g, both, dlvk_div(g, size, length), dlvk_scalar(g, dlvk_type(d), 1));
    return descend(g, u, dlvk_mul(g, trust, d));
}

static V lion(dlvk_graph *g, dlvk_update *u)
{
    double b1 = u->hyper[0], b2 = u->hyper[1];
    V d = dlvk_sign(g, blend(g, b1, u->slot[0], 1 - b1, u->gradient));
    u->slot[0] = blend(g, b2, u->slot[0], 1 - b2, u->gradient);
    return descend(g, u, d);
}

#define ADAM_HYPER(epsilon)                                                                                                      \
    .n_hyper = 3, .hyper = {{"beta1", 0.9}, {"beta2", 0.999}, {"epsilon", epsilon}}, .n_slot = 2, .slot = {{"m", 0}, {"v", 0}}

static const dlvk_optimizer table[] = {
    {.name = "sgd",
     .n_hyper = 3,
     .hyper = {{"momentum", 0}, {"dampening", 0}, {"nesterov", 0}},
     .n_slot = 1,
     .slot = {{"momentum", 0}},
     .update = sgd},
    {.name = "adam", ADAM_HYPER(1e-8), .update = adam},
    {.name = "adamw", ADAM_HYPER(1e-8), .weight_decay = 0.01, .update = adam},
    {.name = "rmsprop",
     .n_hyper = 4,
     .hyper = {{"alpha", 0.99}, {"epsilon", 1e-8}, {"momentum", 0}, {"centered", 0}},
     .n_slot = 3,
     .slot = {{"square", 0}, {"momentum", 0}, {"mean", 0}},
     .update = rmsprop},
    {.name = "adagrad",
     .n_hyper = 2,
     .hyper = {{"epsilon", 1e-10}, {"lr_decay", 0}},
     .n_slot = 1,
     .slot = {{"square", 0}},
     .update = adagrad},
    {.name = "adadelta",
     .n_hyper = 2,
     .hyper = {{"rho", 0.9}, {"epsilon", 1e-6}},
     .n_slot = 2,
     .slot = {{"square", 0}, {"delta", 0}},
     .update = adadelta},
    {.name = "lamb", ADAM_HYPER(1e-6), .weight_decay = 0.01, .own_decay = true, .update = lamb},
    {.name = "lion", .n_hyper = 2, .hyper = {{"beta1", 0.9}, {"beta2", 0.99}}, .n_slot = 1, .slot = {{"m", 0}}, .update = lion},
};

const dlvk_optimizer *dlvk_optimizer_at(int i)
{
    return i >= 0 && i < (int)(sizeof table / sizeof *table) ? &table[i] : NULL;
}

const dlvk_optimizer *dlvk_optimizer_find(const char *name)
{
    const dlvk_optimizer *o = NULL;
    for (int i = 0; name && (o = dlvk_optimizer_at(i)); i++)
        if (strcmp(o->name, name) == 0) return o;
    return NULL;
}
