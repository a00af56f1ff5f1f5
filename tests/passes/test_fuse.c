/* What fusion makes of the backward part of a normalisation behind a product: few values in memory, few kernels. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include "ir/steps.h"
#include "tests/passes/check.h"

static Fix f;
static void setup(void)
{
    fix_open(&f, 11);
}
static void teardown(void)
{
    fix_close(&f);
}
TestSuite(fuse, .init = setup, .fini = teardown);

static const Kernel *kernel_of(const Schedule *s, Archetype arch, int *n)
{
    const Kernel *k = NULL;
    *n = 0;
    for (int i = 0; i < s->regions.at[0]->steps.n; i++) {
        const Kernel *x = s->regions.at[0]->steps.at[i].kernel;
        if (!x || x->arch != arch) continue;
        k = x;
        ++*n;
    }
    return k;
}

/* d = the product, masked, is what is stored; its product with x and its multiple are made where they are read. */
Test(fuse, a_product_stores_one_value_and_two_sums_take_one_kernel)
{
    Value *x = fix_input(&f, DLVK_F32, DIMS(6, 8)), *mask = fix_input(&f, DLVK_F32, DIMS(6, 8));
    Value *y = build_matmul(&f.b, fix_input(&f, DLVK_F32, DIMS(6, 5)), fix_input(&f, DLVK_F32, DIMS(5, 8)));
    Value *d = build_map2(&f.b, OP_MUL, y, mask), *a = fix_input(&f, DLVK_F32, DIMS(1, 8));
    Value *bias = build_reduce(&f.b, KIND_SUM, d, 1, (const int[]){0}, true);
    Value *scale = build_reduce(&f.b, KIND_SUM, build_map2(&f.b, OP_MUL, d, x), 1, (const int[]){0}, true);
    fix_output(&f, build_map2(&f.b, OP_ADD, build_map2(&f.b, OP_MUL, d, a),
                              build_map2(&f.b, OP_ADD, bias, build_map2(&f.b, OP_MUL, x, scale))));
    const Schedule *s = schedule_build(f.g, true);
    int n;
    const Kernel *k = kernel_of(s, ARCH_CONTRACT, &n);
    cr_assert(eq(int, n, 1));
    cr_expect(eq(int, k->out.n, 1));
    cr_expect(k->out.at[0] == d);
    k = kernel_of(s, ARCH_ROWS, &n);
    cr_assert(eq(int, n, 1));
    cr_expect(eq(int, k->reduces.n, 2));
}

/* A sum that needs another one's result by way of another kernel has one of its own. */
Test(fuse, sums_that_wait_for_a_product_stay_apart)
{
    Value *x = fix_input(&f, DLVK_F32, DIMS(8, 8));
    Value *sum = build_reduce(&f.b, KIND_SUM, x, 1, (const int[]){0}, true);
    Value *far = build_matmul(&f.b, sum, fix_input(&f, DLVK_F32, DIMS(8, 8)));
    fix_output(&f, build_reduce(&f.b, KIND_SUM, build_map2(&f.b, OP_MUL, x, far), 1, (const int[]){0}, true));
    const Schedule *s = schedule_build(f.g, true);
    int n;
    kernel_of(s, ARCH_ROWS, &n);
    cr_expect(eq(int, n, 2));
}

/* Products store what is put together where it belongs; whoever reads it needs both of them. */
Test(fuse, a_concatenation_has_several_makers_and_no_kernel)
{
    Value *x = fix_input(&f, DLVK_F32, DIMS(6, 8)), *part[2];
    for (int i = 0; i < 2; i++) part[i] = build_matmul(&f.b, x, fix_input(&f, DLVK_F32, DIMS(8, 4)));
    fix_output(&f, build_map1(&f.b, OP_ABS, build_concat(&f.b, 2, part, 1)));
    Schedule *s = schedule_build(f.g, true);
    int n;
    kernel_of(s, ARCH_MAP, &n);
    cr_assert(eq(int, n, 1));
    kernel_of(s, ARCH_CONTRACT, &n);
    cr_assert(eq(int, n, 2));
    const Steps *t = steps_of(s, s->regions.at[0]);
    cr_expect(steps_independent(t, 0, 1));
    cr_expect(not(steps_independent(t, 0, 2)));
    cr_expect(not(steps_independent(t, 1, 2)));
}

/* A mask of positions, and what is looked up for them, depend on the sizes alone: their kernels come first. What reads the input
 * does not, nor does what is a result itself. */
Test(fuse, what_depends_on_sizes_alone_is_prepared)
{
    const Dim *n = dim_symbol(&f.c->dims, "n"), *shape[] = {n, n};
    Value *x = region_param(f.g->top, type_make(f.c, DLVK_F32, 2, shape), "x");
    Value *row = build_iota(&f.b, DLVK_I64, 2, shape, 0), *column = build_iota(&f.b, DLVK_I64, 2, shape, 1);
    Value *sum = build_cumulate(&f.b, KIND_SUM, build_map2(&f.b, OP_SUB, row, column), 1, false, false);
    fix_output(&f, build_map2(&f.b, OP_ADD, x, build_cast(&f.b, sum, DLVK_F32)));
    fix_output(&f, build_cumulate(&f.b, KIND_SUM, row, 0, false, false));
    const Schedule *s = schedule_build(f.g, true);
    const RegionSchedule *rs = s->regions.at[0];
    cr_assert(eq(int, rs->prepared, 1));
    cr_assert(eq(int, rs->steps.n, 3));
    cr_expect(rs->steps.at[0].kernel->out.at[0] == sum);
}

/* One of the rows of each matrix, which a product reads where it lies: no kernel puts them together. */
Test(fuse, rows_are_read_where_they_lie)
{
    Value *x = build_map1(&f.b, OP_ABS, fix_input(&f, DLVK_F32, DIMS(4, 7, 8)));
    Value *row = build_slice_axis(&f.b, x, 1, dim_const(&f.c->dims, 2), dim_const(&f.c->dims, 1));
    row = build_reshape(&f.b, row, 2, fix_dims(&f, 2, (const int64_t[]){4, 8}));
    fix_output(&f, x);
    fix_output(&f, build_matmul(&f.b, row, fix_weight(&f, DLVK_F32, DIMS(8, 5))));
    const Schedule *s = schedule_build(f.g, true);
    cr_expect(eq(int, s->regions.at[0]->steps.n, 2));
}

/* Narrow memory that the next product reads as rows of another shape: one output, of which that is a view. */
Test(fuse, a_narrow_value_behind_a_product_is_stored_once)
{
    Value *y = build_matmul(&f.b, fix_input(&f, DLVK_F32, DIMS(6, 8)), fix_weight(&f, DLVK_F32, DIMS(8, 16)));
    y = build_map1(&f.b, OP_ABS, build_reshape(&f.b, y, 3, fix_dims(&f, 3, (const int64_t[]){3, 2, 16})));
    const Attr attr[] = {at_i(A_DTYPE, DLVK_F16), at_i(A_STORED, 1)};
    Value *narrow = build_op(&f.b, OP_CAST, 1, &y, 2, attr);
    Value *rows = build_cast(&f.b, build_reshape(&f.b, narrow, 2, fix_dims(&f, 2, (const int64_t[]){6, 16})), DLVK_F32);
    fix_output(&f, build_matmul(&f.b, rows, fix_weight(&f, DLVK_F32, DIMS(16, 5))));
    const Schedule *s = schedule_build(f.g, true);
    cr_assert(eq(int, s->regions.at[0]->steps.n, 2));
    const Kernel *k = s->regions.at[0]->steps.at[0].kernel;
    cr_assert(eq(int, k->out.n, 1));
    cr_expect(k->out.at[0] == narrow);
}
