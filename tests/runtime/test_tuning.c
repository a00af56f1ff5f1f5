/* Choosing variants, and tunings: they are used where they fit, and refused where they do not. */
#include "planner.h"
#include "runtime/file.h"
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* y = x + 1 over a symbolic n; the default variant adds 2 instead, so that it shows which one runs. */
static void two_variants(Planner *p, const char *usual)
{
    planner_init(p);
    uint32_t n = planner_symbol(p, "n", 0, INT32_MAX, false), bytes = planner_op(p, EXPR(MUL), n, planner_const(p, 4));
    uint32_t groups = planner_op(p, EXPR(CEILDIV), n, planner_const(p, 64));
    uint32_t x = planner_buffer(p, BUF(INPUT), bytes, 0, 0), y = planner_buffer(p, BUF(OUTPUT), bytes, 0, 0);
    planner_input(p, "x", DLVK_I32, x, 1, &n);
    planner_output(p, "y", DLVK_I32, y, 1, &n);
    uint32_t one = planner_pipeline(p, "", "I x; I y; int n;", 20, "if (i < n) y.v[i] = x.v[i] + 1;", 0, NULL, 0);
    uint32_t two = planner_pipeline(p, "", "I x; I y; int n;", 20, usual, 0, NULL, 0);
    const Args args = *PLANNER_MAP(x, y, n);
    planner_add_variant(p, planner_dispatch(p, planner_top(p), "add", one, groups, &args), two, groups, false);
}

static void expect_added(dlvk_session *s, int64_t n, int32_t added)
{
    int32_t x[100] = {0}, y[100];
    for (int i = 0; i < 100; i++) x[i] = 10 * i;
    OK(dlvk_session_set_input(s, "x", &n, 1, x, (size_t)n * 4, err));
    OK(dlvk_session_run(s, err));
    OK(dlvk_session_get_output(s, "y", y, sizeof y, err));
    for (int64_t i = 0; i < n; i++) cr_assert_eq(y[i], x[i] + added, "%d at %d", y[i], (int)i);
}

/* The plan's bundle, loaded with a tuning file (NULL: without) on the shared device. */
static dlvk_status load_with(Planner *p, const char *tuning, bool all, dlvk_model **m, dlvk_error *err)
{
    dlvk_load_options o = DLVK_LOAD_OPTIONS_INIT;
    o.tuning = tuning;
    o.all_variants = all;
    return planner_load_model(p, &o, m, err);
}

static void write_file(const char *path, const void *data, size_t size)
{
    OK(rt_file_write(path, &(FilePiece){0, data, size}, 1, size, err));
}

Test(tuning, chosen_saved_and_used_at_the_same_sizes)
{
    Planner p;
    dlvk_model *m;
    dlvk_session *s;
    two_variants(&p, "if (i < n) y.v[i] = x.v[i] + 2;");
    OK(load_with(&p, NULL, true, &m, err));
    cr_assert_eq(dlvk_model_kernels(m), 1);
    cr_assert_eq(dlvk_model_kernel_variants(m, 0), 2);
    cr_assert_eq(dlvk_model_kernel_variants(m, 1), 0);
    OK(dlvk_session_create(m, &s, err));
    cr_assert_eq(dlvk_session_variant(s, 0), -1);
    expect_added(s, 70, 2);
    cr_assert_eq(dlvk_session_variant(s, 0), 0);
    OK(dlvk_session_choose(s, 0, 1, err));
    expect_added(s, 70, 1);
    cr_assert_eq(dlvk_session_variant(s, 0), 1);
    void *file;
    size_t size;
    OK(dlvk_session_tuning(s, &file, &size, err));
    OK(dlvk_session_choose(s, 0, -1, err));
    expect_added(s, 70, 2);
    dlvk_error why;
    cr_assert_eq(dlvk_session_choose(s, 0, 2, &why), DLVK_INVALID_ARGUMENT);
    cr_assert_eq(dlvk_session_choose(s, 1, 0, &why), DLVK_INVALID_ARGUMENT);
    dlvk_session_free(s);
    dlvk_model_free(m);

    char path[] = "/tmp/dlvk-tuning-XXXXXX";
    close(mkstemp(path));
    write_file(path, file, size);
    OK(load_with(&p, path, false, &m, err));
    OK(dlvk_session_create(m, &s, err));
    expect_added(s, 70, 1);
    expect_added(s, 69, 2); /* for these sizes it says nothing */
    expect_added(s, 70, 1);
    dlvk_session_free(s);
    dlvk_model_free(m);

    Planner other;
    two_variants(&other, "if (i < n) y.v[i] = x.v[i] + 3;");
    cr_assert_eq(load_with(&other, path, false, &m, &why), DLVK_INVALID_ARGUMENT);
    cr_assert(strstr(why.text, "another model"), "%s", why.text);
    ((uint8_t *)file)[size - 1] ^= 1;
    write_file(path, file, size);
    cr_assert_eq(load_with(&p, path, false, &m, &why), DLVK_BAD_FILE);
    cr_assert(strstr(why.text, "damaged"), "%s", why.text);
    write_file(path, "nothing of the kind", 19);
    cr_assert_eq(load_with(&p, path, false, &m, &why), DLVK_BAD_FILE);
    unlink(path);
    free(file);
    planner_free(&other);
    planner_free(&p);
    dlvk_device_close(test_device());
}

/* In a bundle: one for other devices is passed over, one of other kernels means that something is corrupt. */
Test(tuning, foreign_in_a_bundle)
{
    Planner p;
    dlvk_model *m;
    dlvk_session *s;
    dlvk_error why;
    const dlvk_device_info *d = dlvk_device_get_info(test_device());
    two_variants(&p, "if (i < n) y.v[i] = x.v[i] + 2;");
    OK(load_with(&p, NULL, true, &m, err));
    OK(dlvk_session_create(m, &s, err));
    OK(dlvk_session_choose(s, 0, 1, err));
    expect_added(s, 5, 1);
    void *file;
    size_t size;
    OK(dlvk_session_tuning(s, &file, &size, err));
    dlvk_session_free(s);
    dlvk_model_free(m);
    Dlvk__Plan__Tunings *t = dlvk__plan__tunings__unpack(NULL, size - 16, (uint8_t *)file + 16);
    cr_assert(t && t->n_tuning == 1 && t->tuning[0]->device == d->device_id);
    p.plan.tuning = t->tuning;
    p.plan.n_tuning = 1;
    OK(load_with(&p, NULL, false, &m, err));
    OK(dlvk_session_create(m, &s, err));
    expect_added(s, 5, 1);
    dlvk_session_free(s);
    dlvk_model_free(m);
    t->tuning[0]->device ^= 1;
    OK(load_with(&p, NULL, false, &m, err));
    OK(dlvk_session_create(m, &s, err));
    expect_added(s, 5, 2);
    dlvk_session_free(s);
    dlvk_model_free(m);
    t->tuning[0]->variant[0] = 3;
    cr_assert_eq(load_with(&p, NULL, false, &m, &why), DLVK_BAD_FILE);
    t->tuning[0]->variant[0] = 1;
    t->tuning[0]->plan ^= 1;
    cr_assert_eq(load_with(&p, NULL, false, &m, &why), DLVK_BAD_FILE);
    OK(load_with(&p, "", false, &m, err));
    dlvk_model_free(m);
    p.plan.tuning = NULL;
    p.plan.n_tuning = 0;
    dlvk__plan__tunings__free_unpacked(t, NULL);
    free(file);
    planner_free(&p);
    dlvk_device_close(test_device());
}
