/* Variants that do the work of earlier kernels as well: where they run, these do not; where they do not, nothing is missing. */
#include "planner.h"
#include <stdio.h>
#include <string.h>

enum { MOST = 64 };

/* y = 2 (x + 1) in two kernels; for up to MOST elements the second has a variant for both, which adds `extra`. */
static void two_or_one(Planner *p, const char *extra, uint32_t features)
{
    planner_init(p);
    uint32_t n = planner_symbol(p, "n", 1, 1 << 20, false), bytes = planner_op(p, EXPR(MUL), n, planner_const(p, 4));
    uint32_t groups = planner_op(p, EXPR(CEILDIV), n, planner_const(p, 64));
    uint32_t x = planner_buffer(p, BUF(INPUT), bytes, 0, 0), h = planner_buffer(p, BUF(ARENA), bytes, 0, 1),
             y = planner_buffer(p, BUF(OUTPUT), bytes, 0, 0);
    p->plan.buffer[y]->dtype = DLVK_F32 + 1;
    planner_input(p, "x", DLVK_F32, x, 1, &n);
    planner_output(p, "y", DLVK_F32, y, 1, &n);
    static char both[128];
    snprintf(both, sizeof both, "if (i < n) y.v[i] = 2 * (x.v[i] + 1) + %s;", extra);
    uint32_t first = planner_pipeline(p, "", "F x; F h; int n;", 20, "if (i < n) h.v[i] = x.v[i] + 1;", 0, NULL, 0);
    uint32_t second = planner_pipeline(p, "", "F x; F h; F y; int n;", 28, "if (i < n) y.v[i] = 2 * h.v[i];", 0, NULL, 0);
    uint32_t whole = planner_pipeline(p, "", "F x; F h; F y; int n;", 28, both, features, NULL, 0);
    planner_dispatch(p, planner_top(p), "first", first, groups, PLANNER_MAP(x, h, n));
    const Args args = {.address = {x, h, y},
                       .n_address = 3,
                       .value = {n},
                       .n_value = 1,
                       .reads = {x, h},
                       .n_reads = 2,
                       .writes = {y},
                       .n_writes = 1};
    Dlvk__Plan__Dispatch *d = planner_dispatch(p, planner_top(p), "second", second, groups, &args);
    planner_add_variant(p, d, whole, groups, false);
    uint32_t *covers = d->variant[0]->covers = planner_alloc(p, sizeof *covers);
    covers[0] = 0;
    d->variant[0]->n_covers = 1;
    d->variant[0]->when = planner_op(p, EXPR(FLOORDIV), planner_const(p, MOST), n) + 1;
    const uint32_t passed = planner_op(p, EXPR(MUL), n, planner_const(p, 8));
    planner_top(p)->step[0]->dispatch->bytes = passed;
    d->bytes = passed;
}

static void expect(dlvk_session *s, int64_t n, float extra, int kernels)
{
    float x[2 * MOST], y[2 * MOST];
    const dlvk_kernel_time *times;
    int n_times;
    for (int i = 0; i < 2 * MOST; i++) x[i] = (float)(i + n);
    OK(dlvk_session_set_input(s, "x", &n, 1, x, (size_t)n * 4, err));
    OK(dlvk_session_run(s, err));
    OK(dlvk_session_get_output(s, "y", y, sizeof y, err));
    for (int64_t i = 0; i < n; i++) cr_assert_float_eq(y[i], 2 * (x[i] + 1) + extra, 1e-4f, "%g at %d", (double)y[i], (int)i);
    OK(dlvk_session_kernel_times(s, &times, &n_times, err));
    cr_assert_eq(n_times, kernels);
    cr_assert_str_eq(times[n_times - 1].name, "second");
    cr_assert_eq(times[n_times - 1].kernel, 1);
    cr_assert_eq(times[n_times - 1].bytes, (double)(8 * n)); /* what passes between the two takes as many as each of them */
}

Test(covers, by_size_and_by_choice)
{
    Planner p;
    two_or_one(&p, "7", 0);
    Loaded l = planner_load(&p);
    OK(dlvk_session_profile(l.s, true, err));
    expect(l.s, MOST, 7, 1);
    expect(l.s, MOST + 1, 0, 2);
    expect(l.s, 1, 7, 1);
    OK(dlvk_session_choose(l.s, 1, 1, err));
    expect(l.s, 1, 0, 2);
    expect(l.s, MOST, 0, 2);
    OK(dlvk_session_choose(l.s, 1, -1, err));
    expect(l.s, MOST, 7, 1);
    cr_assert_eq(dlvk_model_kernel_covers(l.m, 1, 0), 1);
    cr_assert_eq(dlvk_model_kernel_covers(l.m, 1, 1), 0);
    cr_assert_eq(dlvk_model_kernel_covers(l.m, 2, 0), 0);
    planner_unload(l, &p);
}

/* On trial it runs beside the two; then it runs alone, or never again. */
static void self_test(bool wrong)
{
    Planner p;
    two_or_one(&p, wrong ? "100" : "0.001", DLVK_FEATURE_COOPMAT);
    Loaded l = planner_load(&p);
    bool tried = dlvk_device_get_info(test_device())->features & DLVK_FEATURE_COOPMAT, used = tried && !wrong;
    OK(dlvk_session_profile(l.s, true, err));
    for (int run = 0; run < 2; run++) {
        expect(l.s, 8, used ? 0.001f : 0, used ? 1 : 2);
        expect(l.s, 2 * MOST, 0, 2);
    }
    cr_assert_eq(dlvk_model_wrong_kernels(l.m, NULL), tried && wrong);
    planner_unload(l, &p);
}

Test(covers, a_right_one_on_trial)
{
    self_test(false);
}

Test(covers, a_wrong_one_on_trial)
{
    self_test(true);
}

Test(covers, only_what_stands_before)
{
    Planner p;
    dlvk_model *m;
    dlvk_error why;
    two_or_one(&p, "0", 0);
    planner_top(&p)->step[1]->dispatch->variant[0]->covers[0] = 1;
    cr_assert_eq(planner_load_model(&p, NULL, &m, &why), DLVK_BAD_FILE);
    cr_assert(strstr(why.text, "does the work of step 1"), "%s", why.text);
    planner_free(&p);
    dlvk_device_close(test_device());
}
