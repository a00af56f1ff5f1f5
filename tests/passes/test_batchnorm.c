/* Batch-norm folding. */
#include "tests/passes/check.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>

static Fix f;
static void setup(void)
{
    fix_open(&f, 2);
}
static void teardown(void)
{
    fix_close(&f);
}
TestSuite(batchnorm, .init = setup, .fini = teardown);

static Value *conv(Value *x, int64_t in, int64_t out)
{
    ConvSpec s = {.spatial = 2, .group = 1};
    return build_conv_nchw(&f.b, x, fix_weight(&f, DLVK_F32, DIMS(out, in, 3, 2)), &s);
}

static Value *channel(int64_t c)
{
    return fix_weight(&f, DLVK_F32, DIMS(1, c, 1, 1));
}

/* (x - mean) / sqrt(var + eps) * scale + bias, as an importer writes it */
static Value *norm(Value *x, int64_t c)
{
    Value *var = build_map1(&f.b, OP_ABS, channel(c));
    Value *inv = build_map1(&f.b, OP_RSQRT, build_map2s(&f.b, OP_ADD, var, 1e-3));
    x = build_map2(&f.b, OP_SUB, x, channel(c));
    x = build_map2(&f.b, OP_MUL, x, build_map2(&f.b, OP_MUL, channel(c), inv));
    return build_map2(&f.b, OP_ADD, x, channel(c));
}

static Graph *run(void)
{
    fix_run(&f, pass_fold, 1e-5);
    fix_run(&f, pass_layout, 1e-5);
    fix_run(&f, pass_fold, 1e-5);
    return fix_run(&f, pass_batchnorm, 1e-5);
}

Test(batchnorm, into_convolution_with_bias)
{
    Value *x = fix_input(&f, DLVK_F32, DIMS(2, 3, 6, 5));
    fix_output(&f, norm(build_map2(&f.b, OP_ADD, conv(x, 3, 4), channel(4)), 4));
    Graph *g = run();
    cr_expect(eq(int, count_op(g, OP_MUL), 0));
    cr_expect(eq(int, count_op(g, OP_SUB), 0));
    cr_expect(eq(int, count_op(g, OP_ADD), 1));
    cr_expect(eq(int, count_op(g, OP_CONV), 1));
}

Test(batchnorm, alone_is_one_multiplication_and_one_addition)
{
    Value *x = fix_input(&f, DLVK_F32, DIMS(2, 3, 6, 5));
    fix_output(&f, norm(x, 3));
    Graph *g = run();
    cr_expect(eq(int, count_op(g, OP_MUL), 1));
    cr_expect(eq(int, count_op(g, OP_ADD), 1));
    cr_expect(eq(int, count_op(g, OP_SUB), 0));
}

Test(batchnorm, shared_convolution_is_not_doubled)
{
    Value *x = fix_input(&f, DLVK_F32, DIMS(1, 2, 5, 5)), *y = conv(x, 2, 4);
    fix_output(&f, norm(y, 4));
    fix_output(&f, y);
    Graph *g = run();
    cr_expect(eq(int, count_op(g, OP_CONV), 1));
    cr_expect(eq(int, count_op(g, OP_MUL), 1));
}

Test(batchnorm, into_matmul)
{
    Value *x = fix_input(&f, DLVK_F32, DIMS(2, 3, 4)), *w = fix_weight(&f, DLVK_F32, DIMS(4, 5));
    Value *y = build_map2(&f.b, OP_ADD, build_matmul(&f.b, x, w), fix_weight(&f, DLVK_F32, DIMS(5)));
    y = build_map2s(&f.b, OP_DIV, y, 3);
    y = build_map2(&f.b, OP_MUL, y, fix_weight(&f, DLVK_F32, DIMS(5)));
    fix_output(&f, y);
    Graph *g = run();
    cr_expect(eq(int, count_op(g, OP_MUL) + count_op(g, OP_DIV), 0));
    cr_expect(eq(int, count_op(g, OP_ADD), 1));
}

Test(batchnorm, a_scale_along_rows_stays)
{
    Value *x = fix_input(&f, DLVK_F32, DIMS(3, 4)), *w = fix_weight(&f, DLVK_F32, DIMS(4, 5));
    fix_output(&f, build_map2(&f.b, OP_MUL, build_matmul(&f.b, x, w), fix_weight(&f, DLVK_F32, DIMS(3, 1))));
    Graph *g = run();
    cr_expect(eq(int, count_op(g, OP_MUL), 1));
}

/* x * 1e30 * 1e30 has values where the product of the factors has none, and so have x / 1e-30 / 1e-30, and x * 1e-30 * 1e-30 for
 * large x. */
Test(batchnorm, factors_whose_product_has_no_number_stay)
{
    const double factor[][2] = {{1e30, 1e30}, {1e-30, 1e-30}, {1e-30, 1e30}};
    for (int i = 0; i < 3; i++) {
        Value *x = fix_input(&f, DLVK_F32, DIMS(2, 3));
        fix_output(&f, build_map2s(&f.b, OP_MUL, build_map2s(&f.b, OP_MUL, x, factor[i][0]), factor[i][1]));
    }
    Graph *g = fix_run(&f, pass_batchnorm, 1e-5);
    cr_expect(eq(int, count_op(g, OP_MUL), 5));
}

/* Of trained channels some are dead, and their factors tiny: the others' are one all the same. */
Test(batchnorm, dead_channels_keep_no_layer_from_folding)
{
    static const float factor[] = {1e-25f, 2, 3};
    const int64_t dim[] = {3};
    Value *x = fix_input(&f, DLVK_F32, DIMS(2, 3)), *k = build_const(&f.b, tensor_new(&f.pool, DLVK_F32, 1, dim, factor));
    for (int i = 0; i < 2; i++) x = build_map2(&f.b, OP_MUL, x, k);
    fix_output(&f, x);
    cr_expect(eq(int, count_op(fix_run(&f, pass_batchnorm, 1e-5), OP_MUL), 1));
}

/* 300 * 300 is no half, though half of a thousandth of it is. */
Test(batchnorm, weights_that_would_overflow_stay)
{
    for (int i = 0; i < 2; i++) {
        const Dim *const *shape = fix_dims(&f, 2, (const int64_t[]){4, 5});
        Value *x = build_map2s(&f.b, OP_MUL, fix_input(&f, DLVK_F16, DIMS(3, 4)), 0x1p-10);
        Value *w = build_full(&f.b, type_make(f.c, DLVK_F16, 2, shape), i ? 300 : 30);
        fix_output(&f, build_map2s(&f.b, OP_MUL, build_matmul(&f.b, x, w), 300));
    }
    Graph *g = fix_run(&f, pass_fold, 0);
    cr_expect(eq(int, count_op(g, OP_MUL), 4));
    cr_expect(eq(int, count_op(fix_run(&f, pass_batchnorm, 1e-2), OP_MUL), 3));
}

Test(batchnorm, equal_weights_stay_one_element)
{
    Value *x = fix_input(&f, DLVK_F32, DIMS(1, 8, 9, 9));
    Value *w = build_full(&f.b, type_make(f.c, DLVK_F32, 4, fix_dims(&f, 4, (const int64_t[]){16, 8, 3, 3})), 0.25);
    ConvSpec s = {.spatial = 2, .group = 1};
    Value *y = build_conv_nchw(&f.b, x, w, &s);
    fix_output(&f, build_map2s(&f.b, OP_MUL, y, 3));
    Graph *g = run();
    cr_expect(eq(int, count_op(g, OP_MUL), 0));
    for (int i = 0; i < g->top->nodes.n; i++) {
        const Node *n = g->top->nodes.at[i];
        const Tensor *t;
        if (n->op == OP_CONV) cr_expect(value_const(n->in[1], &t) && t->splat);
    }
}
