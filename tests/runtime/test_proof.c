/* The self-test of kernels on matrix units: what is wrong never shows, what is right is used, and neither is tried twice. The
 * kernels here only say that they need such units. */
#include "planner.h"
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { N = 8 };
static char file[] = "/tmp/dlvk-proof-XXXXXX";

/* A state counts up in place, by one; the variant that is preferred does as `usual` says. */
static void counting(Planner *p, const char *usual)
{
    static const float start[N] = {1, 2, 3, 4, 5, 6, 7, 8};
    planner_init(p);
    uint32_t n = planner_const(p, N), one = planner_const(p, 1), zero = planner_const(p, 0),
             bytes = planner_const(p, sizeof start);
    uint32_t s = planner_state(p, start, sizeof start, "count", DLVK_F32), y = planner_buffer(p, BUF(OUTPUT), bytes, 0, 0);
    p->plan.buffer[s]->dtype = DLVK_F32 + 1;
    planner_output(p, "y", DLVK_F32, y, 1, &n);
    uint32_t plain = planner_pipeline(p, "", "F s;", 8, "if (i < 8) s.v[i] += 1;", 0, NULL, 0);
    uint32_t fast = planner_pipeline(p, "", "F s;", 8, usual, DLVK_FEATURE_COOPMAT, NULL, 0);
    const Args args = {.address = {s}, .n_address = 1, .reads = {s}, .n_reads = 1, .writes = {s}, .n_writes = 1};
    planner_add_variant(p, planner_dispatch(p, planner_top(p), "count", plain, one, &args), fast, one, false);
    planner_copy(p, planner_top(p), s, y, bytes, zero, zero);
}

static void load(Planner *p, dlvk_model **m, dlvk_session **s)
{
    dlvk_load_options o = DLVK_LOAD_OPTIONS_INIT;
    void *bundle;
    size_t size;
    o.cache = file;
    planner_write(p, &bundle, &size);
    OK(dlvk_model_load_memory(test_device(), bundle, size, &o, m, err));
    free(bundle);
    OK(dlvk_session_create(*m, s, err));
}

static void expect_counted(dlvk_session *s, int runs)
{
    float y[N];
    for (int k = 1; k <= runs; k++) {
        OK(dlvk_session_run(s, err));
        OK(dlvk_session_get_output(s, "y", y, sizeof y, err));
        for (int i = 0; i < N; i++) cr_assert_eq(y[i], (float)(1 + i + k), "%g at %d in run %d", (double)y[i], i, k);
    }
}

static bool has_matrices(void)
{
    int fd = mkstemp(file);
    cr_assert(fd >= 0);
    close(fd);
    return dlvk_device_get_info(test_device())->features & DLVK_FEATURE_COOPMAT;
}

Test(proof, what_is_wrong_never_shows)
{
    Planner p;
    dlvk_model *m;
    dlvk_session *s;
    const char *name = "";
    bool tried = has_matrices();
    counting(&p, "if (i < 8) s.v[i] += i == 5 ? 2 : 1;");
    for (int load_number = 0; load_number < 2; load_number++) {
        load(&p, &m, &s);
        cr_assert_eq(dlvk_model_wrong_kernels(m, &name), tried && load_number);
        expect_counted(s, 3);
        cr_assert_eq(dlvk_session_variant(s, 0), 1);
        cr_assert_eq(dlvk_model_wrong_kernels(m, &name), tried);
        if (tried) cr_assert_str_eq(name, "count");
        cr_assert_not(dlvk_model_kernel_variant(m, 0, 0, NULL));
        dlvk_session_free(s);
        dlvk_model_free(m);
    }
    planner_free(&p);
    unlink(file);
}

Test(proof, what_is_right_is_used_and_remembered)
{
    Planner p;
    dlvk_model *m;
    dlvk_session *s;
    int fast = has_matrices() ? 0 : 1;
    counting(&p, "if (i < 8) s.v[i] = s.v[i] + 1.001;");
    for (int load_number = 0; load_number < 2; load_number++) {
        load(&p, &m, &s);
        /* what it is compared with is there only as long as it has to be */
        cr_assert_eq(dlvk_model_kernel_variant(m, 0, 1, NULL), fast == 1 || !load_number);
        OK(dlvk_session_run(s, err));
        cr_assert_eq(dlvk_session_variant(s, 0), fast);
        cr_assert_eq(dlvk_model_wrong_kernels(m, NULL), 0);
        float y[N];
        OK(dlvk_session_get_output(s, "y", y, sizeof y, err));
        /* The run with the trial went on with what the other variant computed, and was done again. */
        for (int i = 0; i < N; i++) cr_assert_float_eq(y[i], (fast == 0 ? 2.001f : 2) + (float)i, 1e-5f);
        dlvk_session_free(s);
        dlvk_model_free(m);
    }
    planner_free(&p);
    unlink(file);
}

/* One kernel writes the second half of a buffer, large numbers, and one, with a variant on trial, the first. */
static void halves(Planner *p, const char *usual)
{
    planner_init(p);
    uint32_t n = planner_const(p, N), one = planner_const(p, 1), bytes = planner_const(p, N * sizeof(float));
    uint32_t y = planner_buffer(p, BUF(OUTPUT), bytes, 0, 0);
    p->plan.buffer[y]->dtype = DLVK_F32 + 1;
    p->plan.buffer[y]->parts = true;
    planner_output(p, "y", DLVK_F32, y, 1, &n);
    const Args args = {.address = {y}, .n_address = 1, .writes = {y}, .n_writes = 1};
    uint32_t rest = planner_pipeline(p, "", "F y;", 8, "if (i >= 4 && i < 8) y.v[i] = 1e6;", 0, NULL, 0);
    uint32_t plain = planner_pipeline(p, "", "F y;", 8, "if (i < 4) y.v[i] = i + 1;", 0, NULL, 0);
    uint32_t fast = planner_pipeline(p, "", "F y;", 8, usual, DLVK_FEATURE_COOPMAT, NULL, 0);
    planner_dispatch(p, planner_top(p), "rest", rest, one, &args);
    planner_add_variant(p, planner_dispatch(p, planner_top(p), "part", plain, one, &args), fast, one, false);
}

Test(proof, a_part_of_a_buffer_is_judged_by_itself)
{
    static const char *const usual[2] = {"if (i < 4) y.v[i] = i == 2 ? 4 : i + 1;", "if (i < 4) y.v[i] = i + 1.001;"};
    bool tried = has_matrices();
    for (int right = 0; right < 2; right++) {
        Planner p;
        dlvk_model *m;
        dlvk_session *s;
        float y[N];
        halves(&p, usual[right]);
        load(&p, &m, &s);
        OK(dlvk_session_run(s, err));
        OK(dlvk_session_get_output(s, "y", y, sizeof y, err));
        cr_assert_eq(dlvk_model_wrong_kernels(m, NULL), tried && !right);
        cr_assert_eq(dlvk_session_variant(s, 1), tried && right ? 0 : 1);
        for (int i = 0; i < N; i++) cr_assert_float_eq(y[i], i < 4 ? (float)(i + 1) : 1e6f, 2e-3f);
        dlvk_session_free(s);
        dlvk_model_free(m);
        planner_free(&p);
        unlink(file);
    }
}

Test(proof, what_is_others_is_not_written_over)
{
    Planner p;
    dlvk_model *m;
    dlvk_session *s;
    float y[N];
    bool tried = has_matrices();
    halves(&p, "if (i < 4) y.v[i] = i + 1; if (i == 5) y.v[i] = 7;");
    load(&p, &m, &s);
    for (int run = 0; run < 2; run++) {
        OK(dlvk_session_run(s, err));
        OK(dlvk_session_get_output(s, "y", y, sizeof y, err));
        cr_assert_eq(y[5], 1e6f, "%g", (double)y[5]);
    }
    cr_assert_eq(dlvk_model_wrong_kernels(m, NULL), tried);
    dlvk_session_free(s);
    dlvk_model_free(m);
    planner_free(&p);
    unlink(file);
}

/* Of a large buffer only some places are compared: what writes none of them has shown nothing. */
Test(proof, what_was_not_seen_is_not_used)
{
    enum { BIG = 1 << 18, AT = 100000 };
    static float y[BIG];
    Planner p;
    dlvk_model *m;
    dlvk_session *s;
    has_matrices();
    planner_init(&p);
    uint32_t n = planner_const(&p, BIG), one = planner_const(&p, 1), bytes = planner_const(&p, sizeof y);
    uint32_t b = planner_buffer(&p, BUF(OUTPUT), bytes, 0, 0);
    p.plan.buffer[b]->dtype = DLVK_F32 + 1;
    p.plan.buffer[b]->parts = true;
    planner_output(&p, "y", DLVK_F32, b, 1, &n);
    const Args args = {.address = {b}, .n_address = 1, .writes = {b}, .n_writes = 1};
    uint32_t plain = planner_pipeline(&p, "", "F y;", 8, "if (i < 4) y.v[100000 + i] = i + 1;", 0, NULL, 0);
    uint32_t fast = planner_pipeline(&p, "", "F y;", 8, "if (i < 4) y.v[100000 + i] = 77;", DLVK_FEATURE_COOPMAT, NULL, 0);
    planner_add_variant(&p, planner_dispatch(&p, planner_top(&p), "part", plain, one, &args), fast, one, false);
    load(&p, &m, &s);
    OK(dlvk_session_run(s, err));
    OK(dlvk_session_get_output(s, "y", y, sizeof y, err));
    for (int i = 0; i < 4; i++) cr_assert_eq(y[AT + i], (float)(i + 1), "%g", (double)y[AT + i]);
    cr_assert_eq(dlvk_session_variant(s, 0), 1);
    dlvk_session_free(s);
    dlvk_model_free(m);
    planner_free(&p);
    unlink(file);
}
