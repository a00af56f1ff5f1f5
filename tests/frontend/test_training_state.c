/* What training keeps from step to step: the same bits from the same seed, checkpoints, accumulation, groups, and callers'
 * optimizers. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "tests/frontend/onnx_model.h"
#include "tests/frontend/trainee.h"

static dlvk_training_options options(const char *optimizer)
{
    dlvk_training_options o = DLVK_TRAINING_OPTIONS_INIT;
    o.optimizer = dlvk_optimizer_find(optimizer);
    return o;
}

static void set_seed(Trainee *t, uint64_t seed)
{
    trainee_scalar(t->session, "seed", &seed, sizeof seed);
}

/* The trainee with dropout between its layers. */
static Trainee open_dropout(void)
{
    dlvk_training_options o = options("adam");
    o.loss.loss = DLVK_LOSS_MSE;
    o.loss.target_type = DLVK_F32;
    dlvk_graph *g = dlvk_graph_new("dropout");
    dlvk_value h = dlvk_relu(g, dlvk_dense(g, dlvk_input(g, "x", DLVK_F32, "batch,3"), "one", 16));
    dlvk_output(g, "y", dlvk_dense(g, dlvk_dropout(g, h, 0.25), "two", 2));
    return trainee_open_graph(g, &o);
}

enum { WEIGHTS = 16 * 3 };

static void run(Trainee *t, int from, int to)
{
    for (int i = from; i < to; i++) trainee_step(t, i % 7, 0, BATCH, 0.01f);
}

static void weights_of(Trainee *t, float *w)
{
    dlvk_error err;
    cr_assert_eq(dlvk_session_get_state(t->session, "one.weight", w, WEIGHTS * sizeof *w, &err), DLVK_OK, "%s", err.text);
}

Test(training_state, same_seed_same_bits_and_resumed, .timeout = 120)
{
    enum { STEPS = 500 };
    char path[] = "/tmp/dlvk-checkpoint-XXXXXX";
    float once[WEIGHTS], again[WEIGHTS], resumed[WEIGHTS], other[WEIGHTS];
    dlvk_error err;
    int fd = mkstemp(path);
    cr_assert(fd >= 0);
    close(fd);
    Trainee t = open_dropout();
    dlvk_session *second;
    set_seed(&t, 42);
    run(&t, 0, STEPS);
    weights_of(&t, once);

    cr_assert_eq(dlvk_session_create(t.model, &second, &err), DLVK_OK, "%s", err.text);
    Trainee u = {.model = t.model, .session = second};
    set_seed(&u, 42);
    run(&u, 0, STEPS / 2);
    cr_assert_eq(dlvk_session_save(second, path, &err), DLVK_OK, "%s", err.text);
    run(&u, STEPS / 2, STEPS);
    weights_of(&u, again);
    cr_assert_arr_eq(once, again, sizeof once);

    cr_assert_eq(dlvk_session_load(second, path, &err), DLVK_OK, "%s", err.text);
    run(&u, STEPS / 2, STEPS);
    weights_of(&u, resumed);
    cr_assert_arr_eq(once, resumed, sizeof once);

    set_seed(&u, 43);
    cr_assert_eq(dlvk_session_load(second, path, &err), DLVK_OK, "%s", err.text);
    run(&u, STEPS / 2, STEPS);
    weights_of(&u, other);
    cr_assert(memcmp(once, other, sizeof once) != 0, "the seed does not matter");
    dlvk_session_free(second);
    trainee_close(&t);
    unlink(path);
}

/* What an evaluation sees is the mean over masks. */
Test(training_state, dropout_is_off_in_evaluations_and_different_in_every_step, .timeout = 60)
{
    Trainee t = open_dropout();
    float seen[4], one = trainee_evaluate(&t, 0), two = trainee_evaluate(&t, 0);
    cr_assert_eq(one, two);
    set_seed(&t, 1);
    for (int i = 0; i < 4; i++) seen[i] = trainee_step(&t, 0, 0, BATCH, 0);
    for (int i = 0; i < 4; i++)
        for (int k = 0; k < i; k++) cr_assert_neq(seen[i], seen[k]);
    trainee_close(&t);
}

static void write_file(const char *path, const uint8_t *data, size_t n)
{
    FILE *f = fopen(path, "wb");
    cr_assert(f && fwrite(data, 1, n, f) == n && fclose(f) == 0);
}

Test(training_state, damaged_checkpoints_are_refused_and_change_nothing, .timeout = 120)
{
    char path[] = "/tmp/dlvk-checkpoint-XXXXXX";
    uint8_t file[8192];
    float before[PARAMETERS], after[PARAMETERS];
    dlvk_error err;
    int fd = mkstemp(path);
    cr_assert(fd >= 0);
    close(fd);
    dlvk_training_options o = options("adam"), sgd = options("sgd");
    Trainee t = trainee_open(&o);
    cr_assert_eq(dlvk_session_save(t.session, path, &err), DLVK_OK, "%s", err.text);
    FILE *f = fopen(path, "rb");
    cr_assert_not_null(f);
    size_t n = fread(file, 1, sizeof file, f);
    fclose(f);
    cr_assert(n > 0 && n < sizeof file);
    trainee_step(&t, 0, 0, BATCH, 0.1f);
    trainee_weights(&t, before);
    for (size_t at = 0; at < n; at += at < 600 ? 1 : 13) {
        file[at] ^= 0x20;
        write_file(path, file, n);
        cr_assert_neq(dlvk_session_load(t.session, path, &err), DLVK_OK, "byte %zu does not matter", at);
        file[at] ^= 0x20;
    }
    for (size_t size = 0; size < n; size += 61) {
        write_file(path, file, size);
        cr_assert_neq(dlvk_session_load(t.session, path, &err), DLVK_OK, "%zu bytes of %zu do", size, n);
    }
    trainee_weights(&t, after);
    cr_assert_arr_eq(before, after, sizeof before);
    write_file(path, file, n);
    Trainee u = trainee_open(&sgd);
    cr_assert_eq(dlvk_session_load(u.session, path, &err), DLVK_INVALID_ARGUMENT);
    cr_assert_eq(dlvk_session_load(t.session, path, &err), DLVK_OK, "%s", err.text);
    trainee_close(&u);
    trainee_close(&t);
    unlink(path);
}

Test(training_state, four_batches_of_two_equal_one_of_eight, .timeout = 120)
{
    dlvk_training_options o = options("adam"), whole = o;
    o.accumulate = 4;
    o.clip_norm = whole.clip_norm = 0.2;
    Trainee many = trainee_open(&o), one = trainee_open(&whole);
    float a[PARAMETERS], b[PARAMETERS], start[PARAMETERS];
    trainee_weights(&one, start);
    for (int step = 0; step < 20; step++) {
        for (int k = 0; k < 4; k++) {
            if (k == 3 && step == 0) {
                trainee_weights(&many, a);
                cr_assert_arr_eq(a, start, sizeof a);
            }
            trainee_step(&many, step % 3, 2 * k, 2, 0.02f);
        }
        trainee_step(&one, step % 3, 0, 8, 0.02f);
    }
    trainee_weights(&many, a);
    trainee_weights(&one, b);
    for (int i = 0; i < PARAMETERS; i++)
        cr_assert(fabsf(a[i] - b[i]) <= 1e-5f && b[i] != start[i], "parameter %d: %g and %g", i, (double)a[i], (double)b[i]);
    int32_t steps;
    dlvk_error err;
    cr_assert_eq(dlvk_session_get_state(many.session, ":step", &steps, sizeof steps, &err), DLVK_OK, "%s", err.text);
    cr_assert_eq(steps, 20);
    trainee_close(&many);
    trainee_close(&one);
}

Test(training_state, groups_choose_rates_decay_and_what_is_frozen, .timeout = 120)
{
    dlvk_group group[] = {DLVK_GROUP_INIT, DLVK_GROUP_INIT, DLVK_GROUP_INIT};
    group[0].pattern = "one.*";
    group[0].frozen = true;
    group[1].pattern = "*.bias";
    group[1].lr = 0.5;
    group[1].l2 = 0;
    group[2].pattern = "two.we??ht";
    group[2].weight_decay = 0.2;
    dlvk_training_options o = options("sgd");
    o.group = group;
    o.n_group = 3;
    o.l2 = 0.1;
    Trainee t = trainee_open(&o);
    dlvk_error err;
    float two[HIDDEN * OUT], bias[OUT], x;
    double w[PARAMETERS], g[PARAMETERS];
    for (int i = 0; i < PARAMETERS; i++) w[i] = trainee_start(i);
    int at = IN * HIDDEN + HIDDEN;
    for (int step = 0; step < 10; step++) {
        float loss = trainee_step(&t, step, 0, BATCH, 0.05f);
        double want = trainee_gradient(w, step, BATCH, g); /* with the frozen layer as it was: the loss tells that it is */
        cr_assert(fabs(loss - want) < 1e-5, "step %d: loss %g, not %g", step, (double)loss, want);
        for (int i = at; i < at + HIDDEN * OUT; i++) w[i] -= 0.05 * (g[i] + 0.1 * w[i]) + 0.05 * 0.2 * w[i];
        for (int i = at + HIDDEN * OUT; i < PARAMETERS; i++) w[i] -= 0.05 * 0.5 * g[i];
    }
    cr_assert_eq(dlvk_session_get_state(t.session, "one.weight", &x, sizeof x, &err), DLVK_INVALID_ARGUMENT);
    cr_assert_eq(dlvk_session_get_state(t.session, "two.weight", two, sizeof two, &err), DLVK_OK, "%s", err.text);
    cr_assert_eq(dlvk_session_get_state(t.session, "two.bias", bias, sizeof bias, &err), DLVK_OK, "%s", err.text);
    for (int i = 0; i < HIDDEN * OUT; i++) cr_assert_float_eq(two[i], w[at + i], 1e-5);
    for (int i = 0; i < OUT; i++) cr_assert_float_eq(bias[i], w[at + HIDDEN * OUT + i], 1e-5);
    trainee_close(&t);
}

/* w - lr * scale * gradient / (1 + age), with an age that starts at 1 and grows: user data, a hyperparameter, a slot. */
static dlvk_value ageing(dlvk_graph *g, dlvk_update *u)
{
    dlvk_value d = dlvk_div(g, u->gradient, dlvk_add_scalar(g, u->slot[0], 1));
    u->slot[0] = dlvk_add_scalar(g, u->slot[0], *(const double *)u->user);
    return dlvk_sub(g, u->parameter, dlvk_mul(g, dlvk_mul_scalar(g, d, u->hyper[0]), u->lr));
}

Test(training_state, a_callers_own_optimizer, .timeout = 60)
{
    double growth = 0.5;
    dlvk_optimizer own = {.name = "ageing",
                          .n_hyper = 1,
                          .hyper = {{"scale", 1}},
                          .n_slot = 1,
                          .slot = {{"age", 1}},
                          .update = ageing,
                          .user = &growth};
    dlvk_training_options o = DLVK_TRAINING_OPTIONS_INIT;
    dlvk_hyper scale = {"scale", 2};
    o.optimizer = &own;
    o.hyper = &scale;
    o.n_hyper = 1;
    Trainee t = trainee_open(&o);
    double w[PARAMETERS], g[PARAMETERS], age = 1;
    float got[PARAMETERS], slot[OUT];
    dlvk_error err;
    for (int i = 0; i < PARAMETERS; i++) w[i] = trainee_start(i);
    for (int step = 0; step < 20; step++, age += growth) {
        trainee_step(&t, step, 0, BATCH, 0.05f);
        trainee_gradient(w, step, BATCH, g);
        for (int i = 0; i < PARAMETERS; i++) w[i] -= 0.05 * 2 * g[i] / (1 + age);
    }
    trainee_weights(&t, got);
    for (int i = 0; i < PARAMETERS; i++) cr_assert_float_eq(got[i], w[i], 1e-5);
    cr_assert_eq(dlvk_session_get_state(t.session, "two.bias:age", slot, sizeof slot, &err), DLVK_OK, "%s", err.text);
    cr_assert_eq(slot[0], 11);
    trainee_close(&t);
}

Test(training_state, evaluations_see_what_steps_wrote, .timeout = 60)
{
    dlvk_training_options o = options("adamw");
    Trainee t = trainee_open(&o);
    double w[PARAMETERS], g[PARAMETERS];
    float p[PARAMETERS], zero[HIDDEN * OUT] = {0};
    dlvk_error err;
    for (int step = 0; step < 5; step++) {
        trainee_step(&t, step, 0, BATCH, 0.05f);
        trainee_weights(&t, p);
        for (int i = 0; i < PARAMETERS; i++) w[i] = p[i];
        float loss = trainee_evaluate(&t, 9);
        cr_assert_float_eq(loss, trainee_gradient(w, 9, BATCH, g), 1e-5);
    }
    float y[BATCH * OUT];
    cr_assert_eq(dlvk_session_get_output(t.evaluation, "y", y, sizeof y, &err), DLVK_OK, "%s", err.text);
    cr_assert_eq(dlvk_session_set_state(t.evaluation, "two.weight", zero, sizeof zero, &err), DLVK_OK, "%s", err.text);
    memset(&w[IN * HIDDEN + HIDDEN], 0, sizeof zero / sizeof *zero * sizeof *w);
    float loss = trainee_step(&t, 3, 0, BATCH, 0.05f);
    cr_assert_float_eq(loss, trainee_gradient(w, 3, BATCH, g), 1e-5);
    cr_assert_eq(dlvk_model_programs(t.model), 2);
    cr_assert_str_eq(dlvk_model_program_name(t.model, 0), "train");
    cr_assert_str_eq(dlvk_model_program_name(t.model, 1), "evaluate");
    dlvk_model *none;
    cr_assert_eq(dlvk_model_program(t.model, "predict", &none, &err), DLVK_INVALID_ARGUMENT);
    trainee_close(&t);
}

/* Batch norm over two channels: the running statistics move a tenth of the way, and evaluations use them. */
Test(training_state, batch_norm_keeps_running_statistics, .timeout = 60)
{
    dlvk_training_options o = options("sgd");
    o.loss.loss_output = "cost";
    dlvk_graph *g = dlvk_graph_new("norm");
    dlvk_value y = dlvk_batch_norm(g, dlvk_input(g, "x", DLVK_F32, "batch,2"), "bn", 1e-5);
    dlvk_output(g, "y", y);
    dlvk_output(g, "cost", dlvk_mean(g, dlvk_mul(g, y, y), 0, NULL, false));
    Trainee t = trainee_open_graph(g, &o);
    dlvk_model *program;
    dlvk_session *e;
    dlvk_error err;
    cr_assert_eq(dlvk_model_program(t.model, "evaluate", &program, &err), DLVK_OK, "%s", err.text);
    cr_assert_eq(dlvk_session_create_with(program, t.session, &e, &err), DLVK_OK, "%s", err.text);
    float x[8], out[8], mean[2], var[2], lr = 0;
    double want_mean[2] = {0, 0}, want_var[2] = {1, 1};
    trainee_scalar(t.session, "lr", &lr, sizeof lr);
    for (int step = 0; step < 5; step++) {
        double m[2] = {0}, v[2] = {0};
        for (int i = 0; i < 8; i++) {
            x[i] = (float)(3 * sin(i * 1.7 + step) + 1);
            m[i % 2] += x[i] / 4;
        }
        for (int i = 0; i < 8; i++) v[i % 2] += (x[i] - m[i % 2]) * (x[i] - m[i % 2]) / 4;
        for (int c = 0; c < 2; c++) {
            want_mean[c] = 0.9 * want_mean[c] + 0.1 * m[c];
            want_var[c] = 0.9 * want_var[c] + 0.1 * v[c];
        }
        int64_t dim[] = {4, 2};
        cr_assert_eq(dlvk_session_set_input(t.session, "x", dim, 2, x, sizeof x, &err), DLVK_OK, "%s", err.text);
        float loss = trainee_loss(t.session);
        cr_assert_float_eq(loss, 1, 1e-4); /* normalised by the batch */
        cr_assert_eq(dlvk_session_set_input(e, "x", dim, 2, x, sizeof x, &err), DLVK_OK, "%s", err.text);
        trainee_loss(e);
        cr_assert_eq(dlvk_session_get_output(e, "y", out, sizeof out, &err), DLVK_OK, "%s", err.text);
        for (int i = 0; i < 8; i++) cr_assert_float_eq(out[i], (x[i] - want_mean[i % 2]) / sqrt(want_var[i % 2] + 1e-5), 1e-4);
    }
    cr_assert_eq(dlvk_session_get_state(t.session, "bn.running_mean", mean, sizeof mean, &err), DLVK_OK, "%s", err.text);
    cr_assert_eq(dlvk_session_get_state(t.session, "bn.running_var", var, sizeof var, &err), DLVK_OK, "%s", err.text);
    for (int c = 0; c < 2; c++) {
        cr_assert_float_eq(mean[c], want_mean[c], 1e-5);
        cr_assert_float_eq(var[c], want_var[c], 1e-5);
    }
    dlvk_session_free(e);
    trainee_close(&t);
}

/* A target that makes gradients infinite: that step is skipped to the bit, and the scale halved; then all goes on as if it had
 * not been. Afterwards the scale grows. */
Test(training_state, an_infinite_gradient_skips_one_step_and_halves_the_scale, .timeout = 120)
{
    dlvk_training_options o = options("adam");
    o.loss_scale = 1024;
    o.loss_scale_growth = 4;
    Trainee t = trainee_open(&o), u = trainee_open(&o);
    float a[PARAMETERS], b[PARAMETERS], bad[BATCH * OUT] = {INFINITY}, scale = 0;
    int64_t dim[] = {BATCH, OUT};
    int32_t skipped, step;
    dlvk_error err;
    for (int i = 0; i < 10; i++) {
        if (i == 3) {
            char slot[2][OUT * sizeof(float)];
            trainee_weights(&t, a);
            cr_assert_eq(dlvk_session_get_state(t.session, "two.bias:v", slot[0], sizeof slot[0], &err), DLVK_OK, "%s", err.text);
            cr_assert_eq(dlvk_session_set_input(t.session, "target", dim, 2, bad, sizeof bad, &err), DLVK_OK, "%s", err.text);
            trainee_loss(t.session);
            cr_assert_eq(dlvk_session_get_output(t.session, "skipped", &skipped, sizeof skipped, &err), DLVK_OK, "%s", err.text);
            cr_assert_eq(skipped, 1);
            trainee_weights(&t, b);
            cr_assert_arr_eq(a, b, sizeof a);
            cr_assert_eq(dlvk_session_get_state(t.session, "two.bias:v", slot[1], sizeof slot[1], &err), DLVK_OK, "%s", err.text);
            cr_assert_arr_eq(slot[0], slot[1], sizeof slot[0]);
            cr_assert_eq(dlvk_session_get_state(t.session, ":scale", &scale, sizeof scale, &err), DLVK_OK, "%s", err.text);
            cr_assert_eq(scale, 512);
        }
        trainee_step(&t, i, 0, BATCH, 0.01f);
        trainee_step(&u, i, 0, BATCH, 0.01f);
        cr_assert_eq(dlvk_session_get_output(t.session, "skipped", &skipped, sizeof skipped, &err), DLVK_OK, "%s", err.text);
        cr_assert_eq(skipped, 0);
    }
    trainee_weights(&t, a);
    trainee_weights(&u, b);
    cr_assert_arr_eq(a, b, sizeof a);
    cr_assert_eq(dlvk_session_get_state(t.session, ":step", &step, sizeof step, &err), DLVK_OK, "%s", err.text);
    cr_assert_eq(step, 10);
    cr_assert_eq(dlvk_session_get_state(t.session, ":scale", &scale, sizeof scale, &err), DLVK_OK, "%s", err.text);
    cr_assert_eq(scale, 1024); /* 512, and four good steps; three more are not enough */
    trainee_close(&t);
    trainee_close(&u);
}

/* Values in memory as f16 and bf16, weights and optimizer in f32: near to float32, with a loss scale for f16 that is there
 * unasked. */
Test(training_state, narrow_values_train_alike, .timeout = 120)
{
    static const dlvk_dtype types[] = {DLVK_F32, DLVK_F16, DLVK_BF16};
    float w[3][PARAMETERS], scale;
    dlvk_error err;
    for (int k = 0; k < 3; k++) {
        dlvk_training_options o = options("adam");
        dlvk_compile_options c = DLVK_COMPILE_OPTIONS_INIT;
        o.loss.loss = DLVK_LOSS_MSE;
        o.loss.target_type = DLVK_F32;
        c.precision = types[k];
        Trainee t = trainee_open_with(trainee_graph(), &o, &c);
        for (int step = 0; step < 50; step++) trainee_step(&t, step % 5, 0, BATCH, 0.01f);
        trainee_weights(&t, w[k]);
        bool scaled = dlvk_session_get_state(t.session, ":scale", &scale, sizeof scale, &err) == DLVK_OK;
        cr_assert_eq(scaled, types[k] == DLVK_F16);
        trainee_close(&t);
    }
    for (int i = 0; i < PARAMETERS; i++) {
        cr_assert_float_eq(w[1][i], w[0][i], 0.01, "f16: %g, not %g", (double)w[1][i], (double)w[0][i]);
        cr_assert_float_eq(w[2][i], w[0][i], 0.08, "bf16: %g, not %g", (double)w[2][i], (double)w[0][i]);
    }
    cr_assert(memcmp(w[1], w[0], sizeof w[0]) != 0 && memcmp(w[2], w[0], sizeof w[0]) != 0);
}

/* The mean squared error once more, as a model of its own with an input "wanted". */
Test(training_state, a_loss_in_a_file_of_its_own, .timeout = 60)
{
    TestModel m;
    model_init(&m, 17);
    model_input(&m, "y", ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT, "rows,2");
    model_input(&m, "wanted", ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT, "rows,2");
    model_node(&m, "Sub", "y,wanted", "d");
    model_node(&m, "Mul", "d,d", "dd");
    node_int(&m, model_node(&m, "ReduceMean", "dd", "cost"), "keepdims", 0);
    model_output(&m, "cost");
    model_write(&m);
    dlvk_training_options o = options("sgd");
    o.loss.loss_model = m.path;
    Trainee t = trainee_open_graph(trainee_graph(), &o);
    double w[PARAMETERS], g[PARAMETERS];
    float x[BATCH * IN], y[BATCH * OUT], got[PARAMETERS], lr = 0.1f;
    for (int i = 0; i < PARAMETERS; i++) w[i] = trainee_start(i);
    dlvk_error err;
    trainee_scalar(t.session, "lr", &lr, sizeof lr);
    for (int step = 0; step < 5; step++) {
        for (int i = 0; i < BATCH * IN; i++) x[i] = (float)trainee_x(step, i);
        for (int i = 0; i < BATCH * OUT; i++) y[i] = (float)trainee_target(step, i);
        int64_t dx[] = {BATCH, IN}, dy[] = {BATCH, OUT};
        cr_assert_eq(dlvk_session_set_input(t.session, "x", dx, 2, x, sizeof x, &err), DLVK_OK, "%s", err.text);
        cr_assert_eq(dlvk_session_set_input(t.session, "wanted", dy, 2, y, sizeof y, &err), DLVK_OK, "%s", err.text);
        float loss = trainee_loss(t.session);
        cr_assert_float_eq(loss, trainee_gradient(w, step, BATCH, g), 1e-5);
        for (int i = 0; i < PARAMETERS; i++) w[i] -= (double)lr * g[i];
    }
    trainee_weights(&t, got);
    for (int i = 0; i < PARAMETERS; i++) cr_assert_float_eq(got[i], w[i], 1e-5);
    trainee_close(&t);
    model_free(&m);
}

/* A weight times what five random operators say, summed by the loss: steps differ, the same seed repeats them, an evaluation has
 * the numbers of a plain run. */
Test(training_state, random_operators_advance_with_the_step, .timeout = 120)
{
    static const char *const op[] = {"RandomNormal", "RandomUniform", "RandomNormalLike", "Bernoulli", "Multinomial"};
    enum { OPS = 5, STEPS = 4 };
    for (int o = 0; o < OPS; o++) {
        TestModel m;
        model_init(&m, 17);
        model_input(&m, "x", ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT, "4,64");
        Onnx__TensorProto *w = model_initializer(&m, "w", ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT, 1, (int64_t[]){1});
        float one = 1;
        w->has_raw_data = true;
        w->raw_data = (ProtobufCBinaryData){sizeof one, pool_dup(&m.pool, &one, sizeof one)};
        Onnx__NodeProto *n = model_node(&m, op[o], o < 2 ? "" : "x", "r");
        if (o < 2) {
            n->n_input = 0;
            Onnx__AttributeProto *shape = node_attr_new(&m, n, "shape", ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INTS);
            shape->ints = pool_dup(&m.pool, (int64_t[]){4, 64}, 2 * sizeof(int64_t));
            shape->n_ints = 2;
        }
        Onnx__AttributeProto *seed = node_attr_new(&m, n, "seed", ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__FLOAT);
        seed->has_f = true;
        seed->f = 3;
        if (o == 4) node_int(&m, n, "sample_size", 64);
        node_int(&m, model_node(&m, "Cast", "r", "noise"), "to", ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT);
        model_node(&m, "Mul", "noise,w", "weighted");
        model_node(&m, "Mul", "weighted,x", "placed");
        node_int(&m, model_node(&m, "ReduceMean", "placed", "cost"), "keepdims", 0);
        model_output(&m, "cost");
        model_write(&m);

        dlvk_training_options t = options("sgd");
        t.loss.loss_output = "cost";
        void *bundle;
        size_t size;
        dlvk_error err;
        dlvk_device *device;
        dlvk_model *model, *evaluate;
        dlvk_session *train[2], *evaluation;
        if (dlvk_device_open(NULL, &device, &err)) cr_skip_test("%s", err.text);
        cr_assert_eq(dlvk_compile_training_to_memory(m.path, &bundle, &size, &t, NULL, &err), DLVK_OK, "%s: %s", op[o], err.text);
        cr_assert_eq(dlvk_model_load_memory(device, bundle, size, NULL, &model, &err), DLVK_OK, "%s", err.text);
        float x[256], seen[2][STEPS], lr = 0;
        uint64_t number = 7;
        for (int i = 0; i < 256; i++) x[i] = (float)(i + 1) / 257; /* probabilities, and places told apart */
        for (int k = 0; k < 2; k++) {
            cr_assert_eq(dlvk_session_create(model, &train[k], &err), DLVK_OK, "%s", err.text);
            cr_assert_eq(dlvk_session_set_input(train[k], "x", (int64_t[]){4, 64}, 2, x, sizeof x, &err), DLVK_OK, "%s",
                         err.text);
            trainee_scalar(train[k], "lr", &lr, sizeof lr);
            trainee_scalar(train[k], "seed", &number, sizeof number);
            for (int i = 0; i < STEPS; i++) seen[k][i] = trainee_loss(train[k]);
        }
        for (int i = 0; i < STEPS; i++) {
            cr_assert_eq(seen[0][i], seen[1][i], "%s: the seed does not repeat step %d", op[o], i);
            for (int k = 0; k < i; k++) cr_assert_neq(seen[0][i], seen[0][k], "%s: steps %d and %d are alike", op[o], k, i);
        }
        cr_assert_eq(dlvk_model_program(model, "evaluate", &evaluate, &err), DLVK_OK, "%s", err.text);
        cr_assert_eq(dlvk_session_create_with(evaluate, train[0], &evaluation, &err), DLVK_OK, "%s", err.text);
        cr_assert_eq(dlvk_session_set_input(evaluation, "x", (int64_t[]){4, 64}, 2, x, sizeof x, &err), DLVK_OK, "%s", err.text);
        float first = trainee_loss(evaluation);
        cr_assert_eq(trainee_loss(evaluation), first);
        dlvk_session_free(evaluation);
        for (int k = 0; k < 2; k++) dlvk_session_free(train[k]);
        dlvk_model_free(model);
        dlvk_device_close(device);
        dlvk_free(bundle);
        model_free(&m);
    }
}

static void refused(const dlvk_training_options *o, const char *says)
{
    dlvk_graph *g = trainee_graph();
    void *bundle;
    size_t size;
    dlvk_error err;
    dlvk_status s = dlvk_compile_graph_training(g, &bundle, &size, o, NULL, &err);
    cr_assert(s != DLVK_OK && strstr(err.text, says), "status %d: %s", s, err.text);
    dlvk_graph_free(g);
}

Test(training_state, bad_options_are_refused)
{
    dlvk_hyper hyper = {"beta3", 1};
    dlvk_group all = DLVK_GROUP_INIT;
    all.pattern = "*";
    all.frozen = true;
    dlvk_training_options o = options("adam");
    o.loss.loss = DLVK_LOSS_MSE;
    o.loss.target_type = DLVK_F32;
    dlvk_training_options a = o;
    a.hyper = &hyper, a.n_hyper = 1;
    refused(&a, "beta3");
    a = o, a.clip_norm = NAN;
    refused(&a, "clipping");
    a = o, a.ema = 1;
    refused(&a, "ema");
    a = o, a.loss.loss_output = "nothing";
    refused(&a, "nothing");
    a = o, a.group = &all, a.n_group = 1;
    refused(&a, "no parameter");
    const float weight = 1;
    a = o, a.loss.loss = DLVK_LOSS_CROSS_ENTROPY, a.loss.target_type = DLVK_I64, a.loss.class_weight = &weight;
    refused(&a, "no class weights");
    a.loss.struct_size = 0;
    refused(&a, "struct_size");
}

/* Both sessions use one arena: it moves when the evaluation needs more, and the steps go on as if nothing had been. */
Test(training_state, evaluations_between_steps_change_nothing)
{
    dlvk_training_options o = DLVK_TRAINING_OPTIONS_INIT;
    float weights[2][PARAMETERS], loss[2];
    for (int with = 0; with < 2; with++) {
        Trainee t = trainee_open(&o);
        for (int step = 0; step < 6; step++) {
            trainee_step(&t, step, 0, 1 + step / 2, 0.1f);
            if (with) trainee_evaluate(&t, step);
        }
        loss[with] = trainee_evaluate(&t, 9);
        trainee_weights(&t, weights[with]);
        trainee_close(&t);
    }
    cr_assert(memcmp(weights[0], weights[1], sizeof weights[0]) == 0);
    cr_assert_eq(loss[0], loss[1]);
}
