/* The memory of training steps: what is predicted is what is allocated, and under a limit values are computed twice without
 * changing what is learned. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/frontend/trainee.h"

enum { ROWS = 64, STEPS = 3 };

/* Convolutions with batch norm, a way past them, dropout and pooling. */
static dlvk_graph *convolutions(void)
{
    dlvk_graph *g = dlvk_graph_new("convolutions");
    dlvk_window w = dlvk_window_2d(3, 1, 1), pool = dlvk_window_2d(2, 2, 0);
    dlvk_value x = dlvk_dense(g, dlvk_input(g, "x", DLVK_F32, "batch,3"), "in", 4 * 8 * 8);
    x = dlvk_reshape(g, x, "batch,4,8,8");
    for (int i = 0; i < 3; i++) {
        char name[2][16];
        snprintf(name[0], sizeof name[0], "conv%d", i);
        snprintf(name[1], sizeof name[1], "norm%d", i);
        dlvk_value y = dlvk_relu(g, dlvk_batch_norm(g, dlvk_conv(g, x, name[0], 4, &w), name[1], 1e-5));
        x = dlvk_add(g, x, i == 1 ? dlvk_dropout(g, y, 0.25) : y);
    }
    x = dlvk_flatten(g, dlvk_max_pool(g, x, &pool), 1);
    dlvk_output(g, "y", dlvk_dense(g, x, "out", OUT));
    return g;
}

/* A long chain, of which nearly everything can be computed again. */
static dlvk_graph *chain(void)
{
    dlvk_graph *g = dlvk_graph_new("chain");
    dlvk_value x = dlvk_input(g, "x", DLVK_F32, "batch,3");
    for (int i = 0; i < 24; i++) {
        char name[32];
        snprintf(name, sizeof name, "layer%d", i);
        x = dlvk_tanh(g, dlvk_dense(g, x, name, 32));
    }
    dlvk_output(g, "y", dlvk_dense(g, x, "out", OUT));
    return g;
}

static const dlvk_symbol_size all_rows = {NULL, ROWS};

static dlvk_training_options options(uint64_t limit)
{
    dlvk_training_options o = DLVK_TRAINING_OPTIONS_INIT;
    o.optimizer = dlvk_optimizer_find("adam");
    o.loss.loss = DLVK_LOSS_MSE;
    o.loss.target_type = DLVK_F32;
    o.max_memory = limit;
    o.sizes = &all_rows;
    o.n_sizes = 1;
    return o;
}

typedef struct Outcome {
    dlvk_memory memory;
    int kernels;
    size_t bytes; /* of all states, one after the other */
    uint8_t *states;
} Outcome;

static void take_states(dlvk_session *s, const dlvk_model *m, Outcome *r)
{
    dlvk_tensor_info info;
    dlvk_error err;
    r->states = malloc(1 << 20);
    for (int i = 0; i < dlvk_model_states(m); i++) {
        size_t count = 1;
        cr_assert_eq(dlvk_model_state(m, i, &info), DLVK_OK);
        for (int a = 0; a < info.rank; a++) count *= (size_t)info.dim[a];
        size_t n = dlvk_dtype_size(info.dtype, count);
        cr_assert(r->bytes + n <= 1 << 20);
        cr_assert_eq(dlvk_session_get_state(s, info.name, r->states + r->bytes, n, &err), DLVK_OK, "%s", err.text);
        r->bytes += n;
    }
}

static Outcome train(dlvk_graph *g, uint64_t limit, dlvk_dtype precision)
{
    Outcome r = {0};
    dlvk_error err;
    dlvk_compile_options co = DLVK_COMPILE_OPTIONS_INIT;
    co.precision = precision;
    co.validate = true;
    dlvk_training_options o = options(limit);
    Trainee t = trainee_open_with(g, &o, &co);
    for (int i = 0; i < dlvk_model_inputs(t.model); i++) {
        dlvk_tensor_info info;
        uint64_t seed = 7;
        if (!dlvk_model_input(t.model, i, &info) && strcmp(info.name, "seed") == 0)
            trainee_scalar(t.session, "seed", &seed, sizeof seed);
    }
    for (int i = 0; i < STEPS; i++) cr_assert(isfinite(trainee_step(&t, i, 0, ROWS, 0.01f)));
    dlvk_session_memory(t.session, &r.memory);
    r.kernels = dlvk_model_kernels(t.model);
    cr_assert_eq(r.memory.total, r.memory.planned, "allocated %llu, predicted %llu", (unsigned long long)r.memory.total,
                 (unsigned long long)r.memory.planned);
    cr_assert_eq(r.memory.arena, r.memory.planned_arena);
    cr_assert_eq(r.memory.limit, limit);
    if (limit) cr_assert(r.memory.total <= limit);
    take_states(t.session, t.model, &r);
    if (limit && dlvk_device_get_info(t.device)) { /* shapes that take more are refused, and nothing is lost */
        float x[2 * ROWS * IN] = {0}, y[2 * ROWS * OUT] = {0};
        int64_t dx[] = {2 * ROWS, IN}, dy[] = {2 * ROWS, OUT};
        cr_assert_eq(dlvk_session_set_input(t.session, "x", dx, 2, x, sizeof x, &err), DLVK_OK);
        cr_assert_eq(dlvk_session_set_input(t.session, "target", dy, 2, y, sizeof y, &err), DLVK_OK);
        cr_assert_eq(dlvk_session_run(t.session, &err), DLVK_OUT_OF_MEMORY);
        cr_assert(strstr(err.text, "more"), "%s", err.text);
        cr_assert(isfinite(trainee_step(&t, 0, 0, ROWS, 0.01f)));
    }
    trainee_close(&t);
    return r;
}

/* The limit as low as a message of refusal says that it can be; that is what it then takes. */
static uint64_t least(dlvk_graph *(*make)(void), dlvk_dtype precision)
{
    dlvk_error err;
    void *bundle = NULL;
    size_t size;
    dlvk_compile_options co = DLVK_COMPILE_OPTIONS_INIT;
    co.precision = precision;
    dlvk_training_options o = options(4096);
    dlvk_graph *g = make();
    cr_assert_eq(dlvk_compile_graph_training(g, &bundle, &size, &o, &co, &err), DLVK_OUT_OF_MEMORY, "%s", err.text);
    cr_assert_null(bundle);
    dlvk_graph_free(g);
    unsigned long long limit, whole, reached, shortfall;
    const char *at = strstr(err.text, "max_memory: ");
    cr_assert(at && sscanf(at, "max_memory: %llu bytes do not suffice: a step takes %llu", &limit, &whole) == 2, "%s", err.text);
    at = strstr(err.text, "at least ");
    cr_assert(at && sscanf(at, "at least %llu when it computes again what it can, %llu more", &reached, &shortfall) == 2, "%s",
              err.text);
    cr_assert_eq(limit, 4096);
    cr_assert_eq(reached - limit, shortfall);
    cr_assert(reached < whole);
    return reached;
}

static void compare(const Outcome *a, const Outcome *b)
{
    cr_assert_eq(a->bytes, b->bytes);
    const float *x = (const float *)a->states, *y = (const float *)b->states;
    size_t n = a->bytes / sizeof *x, differ = 0;
    for (size_t i = 0; i < n; i++) differ += memcmp(&x[i], &y[i], sizeof *x) != 0;
    cr_assert_eq(differ, 0, "%zu of %zu numbers differ", differ, n);
}

/* more: at most so many kernels more than without a limit, which are those that compute again: parameters' updates share
 * dispatches. */
static void check(dlvk_graph *(*make)(void), dlvk_dtype precision, double part, int n, int more)
{
    Outcome kept = train(make(), 0, precision);
    uint64_t low = least(make, precision), fixed = kept.memory.planned - kept.memory.planned_arena;
    uint64_t limits[] = {low, (low + kept.memory.planned) / 2, kept.memory.planned};
    cr_assert((double)(low - fixed) < part * (double)kept.memory.planned_arena, "%llu of %llu bytes of activations",
              (unsigned long long)(low - fixed), (unsigned long long)kept.memory.planned_arena);
    for (int i = 0; i < n; i++) {
        Outcome again = train(make(), limits[i], precision);
        cr_assert_eq(again.memory.unlimited, kept.memory.planned);
        cr_assert(again.kernels <= kept.kernels + more, "%d kernels, %d without a limit", again.kernels, kept.kernels);
        compare(&kept, &again);
        free(again.states);
    }
    free(kept.states);
}

Test(memory, chain_within_limits_learns_the_same_bits, .timeout = 120)
{
    check(chain, DLVK_F32, 0.65, 3, 24);
}

Test(memory, convolutions_within_limits_learn_the_same_bits, .timeout = 120)
{
    check(convolutions, DLVK_F32, 0.9, 2, 60);
}

Test(memory, mixed_precision_within_limits_learns_the_same_bits, .timeout = 120)
{
    check(convolutions, DLVK_F16, 0.95, 1, 80);
}

/* What the convolutions' step keeps at once, in tensors as large as their activations. Once, normalised values were stored beside
 * what they can be made of again, and it kept 17.3 (10.2). */
Test(memory, normalised_values_are_not_kept, .timeout = 120)
{
    static const struct {
        dlvk_dtype precision;
        double tensors;
    } of[] = {{DLVK_F32, 14}, {DLVK_F16, 9}};
    for (int i = 0; i < 2; i++) {
        Outcome r = train(convolutions(), 0, of[i].precision);
        double tensors = (double)r.memory.planned_arena / (ROWS * 4 * 8 * 8 * sizeof(float));
        cr_assert(tensors < of[i].tensors, "%g tensors", tensors);
        free(r.states);
    }
}
