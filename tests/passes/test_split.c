/* Splitting of large reductions. */
#include "tests/passes/check.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>

static Fix f;
static void setup(void)
{
    fix_open(&f, 5);
}
static void teardown(void)
{
    fix_close(&f);
}
TestSuite(split, .init = setup, .fini = teardown);

/* The number of reductions behind the pass of one over `axes` (which end at -1). */
static int reductions(DType t, Kind kind, const int64_t *dims, const int *axes, double tolerance)
{
    int n = 0;
    while (axes[n] >= 0) n++;
    fix_output(&f, build_reduce(&f.b, kind, fix_input(&f, t, dims), n, axes, false));
    return count_op(fix_run(&f, pass_split, tolerance), OP_REDUCE);
}
#define AXES(...) ((const int[]){__VA_ARGS__, -1})

Test(split, by_channel)
{
    cr_expect(eq(int, reductions(DLVK_F32, KIND_SUM, DIMS(16, 32, 32, 33), AXES(0, 1, 2), 1e-9), 2));
}

Test(split, whole_tensor)
{
    cr_expect(eq(int, reductions(DLVK_F32, KIND_MAX, DIMS(9, 256, 257), AXES(0, 1, 2), 0), 2));
}

Test(split, one_axis_is_cut)
{
    cr_expect(eq(int, reductions(DLVK_F32, KIND_SUM, DIMS(600 * 1000), AXES(0), 1e-9), 2));
}

Test(split, integers)
{
    cr_expect(eq(int, reductions(DLVK_I32, KIND_SUM, DIMS(3, 4096, 50), AXES(1), 0), 2));
}

Test(split, halves_are_added_in_float32)
{
    fix_output(&f, build_reduce(&f.b, KIND_SUM, fix_input(&f, DLVK_F16, DIMS(64, 4096, 2)), 2, (const int[]){0, 1}, true));
    Graph *g = fix_run(&f, pass_split, 2e-3);
    cr_expect(eq(int, count_op(g, OP_REDUCE), 2));
    cr_expect(eq(int, count_op(g, OP_CAST), 2));
}

Test(split, short_rows_stay)
{
    cr_expect(eq(int, reductions(DLVK_F32, KIND_SUM, DIMS(1024, 768), AXES(1), 0), 1));
}

Test(split, little_work_stays)
{
    cr_expect(eq(int, reductions(DLVK_F32, KIND_SUM, DIMS(4, 12, 12, 64), AXES(0, 1, 2), 0), 1));
}

Test(split, prime_axis_stays)
{
    cr_expect(eq(int, reductions(DLVK_F32, KIND_SUM, DIMS(600011), AXES(0), 0), 1));
}
