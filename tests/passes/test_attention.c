/* Where fusion finds attention, and what else is left to compute then. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <math.h>

#include "tests/passes/check.h"

static Fix f;
static void setup(void)
{
    fix_open(&f, 7);
}
static void teardown(void)
{
    fix_close(&f);
}
TestSuite(attention, .init = setup, .fini = teardown);

static int kernels(bool attention)
{
    return count_kernels(f.g, attention);
}

static Value *projected(Value *x, const int64_t *split)
{
    int64_t width = split[2] * split[3];
    const Dim *d[4];
    for (int i = 0; i < 4; i++) d[i] = dim_const(&f.c->dims, split[i]);
    Value *y = build_matmul(&f.b, x, fix_input(&f, DLVK_F32, DIMS(width, width)));
    return build_transpose(&f.b, build_reshape(&f.b, y, 4, d), (int[]){0, 2, 1, 3});
}

static Value *turned(Value *x)
{
    return build_transpose(&f.b, x, (int[]){0, 1, 3, 2});
}

/* Three projections, attention, and one more. */
Test(attention, bert)
{
    const int64_t *split = DIMS(2, 10, 3, 8);
    Value *x = fix_input(&f, DLVK_F32, DIMS(2, 10, 24)), *q = projected(x, split), *k = projected(x, split),
          *v = projected(x, split);
    Value *mask = fix_input(&f, DLVK_F32, DIMS(2, 1, 1, 10));
    Value *s = build_map2(&f.b, OP_ADD, build_map2s(&f.b, OP_DIV, build_matmul(&f.b, q, turned(k)), 2.8), mask);
    Value *y = build_transpose(&f.b, build_matmul(&f.b, build_softmax(&f.b, s, -1, false), v), (int[]){0, 2, 1, 3});
    const Dim *flat[] = {dim_const(&f.c->dims, 2), dim_const(&f.c->dims, 10), dim_const(&f.c->dims, 24)};
    fix_output(&f, build_matmul(&f.b, build_reshape(&f.b, y, 3, flat), fix_input(&f, DLVK_F32, DIMS(24, 24))));
    cr_expect(eq(int, kernels(true), 1));
    cr_expect(eq(int, kernels(false), 5));
}

/* One head of keys for two of queries, and both sides scaled: nothing is copied. */
Test(attention, shared_heads)
{
    Value *q = fix_input(&f, DLVK_F32, DIMS(2, 4, 10, 8)), *kv[2];
    for (int i = 0; i < 2; i++) {
        const Dim *spread[5], *merged[4];
        for (int a = 0; a < 5; a++) spread[a] = dim_const(&f.c->dims, DIMS(2, 2, 2, 10, 8)[a]);
        for (int a = 0; a < 4; a++) merged[a] = q->type.dim[a];
        Value *x = build_unsqueeze(&f.b, fix_input(&f, DLVK_F32, DIMS(2, 2, 10, 8)), 1, (int[]){2});
        kv[i] = build_reshape(&f.b, build_broadcast(&f.b, x, 5, spread), 4, merged);
    }
    Value *s = build_matmul(&f.b, build_map2s(&f.b, OP_MUL, q, 0.6), build_map2s(&f.b, OP_MUL, turned(kv[0]), 0.6));
    fix_output(&f, build_matmul(&f.b, build_softmax(&f.b, s, -1, false), kv[1]));
    cr_expect(eq(int, kernels(true), 1));
    cr_expect(eq(int, kernels(false), 1));
}

/* A causal mask from indices; rows that attend to nothing give zeros. */
Test(attention, empty_rows)
{
    Value *q = fix_input(&f, DLVK_F32, DIMS(1, 2, 6, 8)), *k = fix_input(&f, DLVK_F32, DIMS(1, 2, 5, 8));
    Value *s = build_matmul(&f.b, q, turned(k));
    Type t = s->type;
    Value *row = build_iota(&f.b, DLVK_I64, 4, t.dim, 2), *col = build_iota(&f.b, DLVK_I64, 4, t.dim, 3);
    s = build_map3(&f.b, OP_SELECT, build_map2(&f.b, OP_LT, col, row), s, build_scalar(&f.b, DLVK_F32, -INFINITY));
    Value *p = build_softmax(&f.b, s, -1, false);
    p = build_map3(&f.b, OP_SELECT, build_map1(&f.b, OP_IS_NAN, p), build_scalar(&f.b, DLVK_F32, 0), p);
    fix_output(&f, build_matmul(&f.b, p, k));
    cr_expect(eq(int, kernels(true), 1));
    cr_expect(eq(int, kernels(false), 1));
}

/* Whoever else wants scores or weights has them stored. */
Test(attention, weights_wanted)
{
    Value *q = fix_input(&f, DLVK_F32, DIMS(1, 2, 6, 8));
    Value *p = build_softmax(&f.b, build_matmul(&f.b, q, turned(q)), -1, false);
    fix_output(&f, build_matmul(&f.b, p, q));
    fix_output(&f, p);
    cr_expect(eq(int, kernels(true), 0));
}

Test(attention, head_too_large)
{
    Value *q = fix_input(&f, DLVK_F32, DIMS(1, 2, 6, 300));
    fix_output(&f, build_matmul(&f.b, build_softmax(&f.b, build_matmul(&f.b, q, turned(q)), -1, false), q));
    cr_expect(eq(int, kernels(true), 0));
}

/* A softmax over something else than the keys. */
Test(attention, other_axis)
{
    Value *q = fix_input(&f, DLVK_F32, DIMS(1, 2, 6, 8));
    fix_output(&f, build_matmul(&f.b, build_softmax(&f.b, build_matmul(&f.b, q, turned(q)), -2, false), q));
    cr_expect(eq(int, kernels(true), 0));
}
