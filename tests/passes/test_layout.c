/* Layout: bodies of convolutions end up channels last, with a transpose where they start and none where they pool away. */
#include "tests/passes/check.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>

static Fix f;
static void setup(void)
{
    fix_open(&f, 1);
}
static void teardown(void)
{
    fix_close(&f);
}
TestSuite(layout, .init = setup, .fini = teardown);

static Value *conv(Value *x, int64_t in, int64_t out, int64_t k, int64_t step)
{
    int64_t steps[] = {step, step};
    const Dim *const *pad = fix_dims(&f, 2, (const int64_t[]){k / 2, k / 2});
    ConvSpec s = {.spatial = 2, .step = steps, .lo = pad, .hi = pad, .group = 1};
    return build_conv_nchw(&f.b, x, fix_weight(&f, DLVK_F32, DIMS(out, in, k, k)), &s);
}

static Value *pool(Value *x)
{
    const Dim *const *lo = fix_dims(&f, 4, (const int64_t[]){0, 0, 1, 1}), *const *hi =
                                                                               fix_dims(&f, 4, (const int64_t[]){0, 0, 0, 1});
    return build_window(&f.b, KIND_MAX, x, (const int64_t[]){1, 1, 3, 2}, (const int64_t[]){1, 1, 2, 2}, NULL, lo, hi);
}

/* A node layout() moves through twice: fold between, so that transposed constants are gone. */
static Graph *run(void)
{
    fix_run(&f, pass_layout, 1e-12);
    return fix_run(&f, pass_fold, 1e-12);
}

Test(layout, residual_block_has_one_transpose)
{
    Value *x = fix_input(&f, DLVK_F32, DIMS(2, 3, 9, 8));
    Value *y = build_relu(&f.b, conv(x, 3, 4, 3, 2));
    y = pool(y);
    Value *bias = build_reshape(&f.b, fix_weight(&f, DLVK_F32, DIMS(4)), 3, fix_dims(&f, 3, (const int64_t[]){4, 1, 1}));
    Value *z = build_map2(&f.b, OP_ADD, conv(y, 4, 4, 3, 1), bias);
    y = build_relu(&f.b, build_map2(&f.b, OP_ADD, y, z));
    y = build_mean(&f.b, y, 2, (const int[]){2, 3}, true);
    fix_output(&f, build_flatten(&f.b, y, 1));
    cr_expect(eq(int, count_op(f.g, OP_TRANSPOSE), 6));
    Graph *g = run();
    cr_expect(eq(int, count_op(g, OP_TRANSPOSE), 1));
}

Test(layout, concat_pad_slice_reverse_cast_follow)
{
    Value *x = fix_input(&f, DLVK_F32, DIMS(1, 2, 5, 4));
    Value *y = conv(x, 2, 3, 1, 1), *z = conv(x, 2, 2, 3, 1);
    y = build_concat(&f.b, 2, (Value *[]){y, z}, 1);
    y = build_pad(&f.b, y, fix_dims(&f, 4, (const int64_t[]){0, 0, 1, 0}), fix_dims(&f, 4, (const int64_t[]){0, 1, 0, 2}),
                  build_scalar(&f.b, DLVK_F32, 0.5));
    y = build_reverse(&f.b, y, 1, (const int[]){3});
    y = build_slice(&f.b, y, fix_dims(&f, 4, (const int64_t[]){0, 1, 1, 2}), fix_dims(&f, 4, (const int64_t[]){1, 5, 3, 2}),
                    (const int64_t[]){1, 1, 2, 1});
    y = build_cast(&f.b, build_cast(&f.b, y, DLVK_F16), DLVK_F32);
    y = build_cumulate(&f.b, KIND_SUM, y, 2, false, true);
    y = conv(y, 5, 2, 1, 1);
    Value *arg = build_argreduce(&f.b, KIND_MAX, y, 1, false, true);
    fix_output(&f, build_gather(&f.b, y, build_ints(&f.b, 2, (const int64_t[]){1, 0}), 3));
    fix_output(&f, arg);
    Graph *g = run();
    cr_expect(eq(int, count_op(g, OP_TRANSPOSE), 2)); /* in and out; the argreduce leaves one channel, so a reshape */
}

Test(layout, channel_shuffle_stays_channels_last)
{
    Value *x = fix_input(&f, DLVK_F32, DIMS(2, 2, 3, 3));
    Value *y = conv(x, 2, 6, 1, 1);
    y = build_reshape(&f.b, y, 5, fix_dims(&f, 5, (const int64_t[]){2, 2, 3, 3, 3}));
    y = build_transpose(&f.b, y, (const int[]){0, 2, 1, 3, 4});
    y = build_reshape(&f.b, y, 4, fix_dims(&f, 4, (const int64_t[]){2, 6, 3, 3}));
    y = conv(y, 6, 2, 3, 1);
    fix_output(&f, build_flatten(&f.b, build_reduce(&f.b, KIND_MAX, y, 2, (const int[]){2, 3}, true), 1));
    Graph *g = run();
    cr_expect(eq(int, count_op(g, OP_TRANSPOSE), 2)); /* the input's and the shuffle itself */
}

Test(layout, squeeze_and_excite_gates_without_transposes)
{
    Value *x = fix_input(&f, DLVK_F32, DIMS(2, 2, 4, 4));
    Value *y = conv(x, 2, 6, 3, 1);
    Value *gate = build_mean(&f.b, y, 2, (const int[]){2, 3}, true);
    gate = build_map1(&f.b, OP_SIGMOID, conv(gate, 6, 6, 1, 1));
    y = conv(build_map2(&f.b, OP_MUL, y, gate), 6, 3, 1, 1);
    fix_output(&f, build_mean(&f.b, y, 2, (const int[]){2, 3}, false));
    Graph *g = run();
    cr_expect(eq(int, count_op(g, OP_TRANSPOSE), 1));
}

Test(layout, symbolic_sizes_move_too)
{
    const Dim *dims[] = {dim_symbol(&f.c->dims, "n"), dim_const(&f.c->dims, 2), dim_symbol(&f.c->dims, "h"),
                         dim_symbol(&f.c->dims, "w")};
    Value *x = region_param(f.g->top, type_make(f.c, DLVK_F32, 4, dims), "x");
    Value *y = build_relu(&f.b, conv(x, 2, 4, 3, 1));
    y = build_relu(&f.b, conv(y, 4, 4, 3, 2));
    fix_output(&f, build_flatten(&f.b, build_mean(&f.b, y, 2, (const int[]){2, 3}, true), 1));
    Graph *g = run();
    cr_expect(eq(int, count_op(g, OP_TRANSPOSE), 1));
}

Test(layout, other_transposes_stay)
{
    Value *x = fix_input(&f, DLVK_F32, DIMS(2, 3, 4));
    Value *y = build_transpose(&f.b, x, (const int[]){0, 2, 1});
    fix_output(&f, build_softmax(&f.b, y, 2, false));
    Graph *g = run();
    cr_expect(eq(int, count_op(g, OP_TRANSPOSE), 1));
    cr_expect(g->top->results.at[0]->def->op == OP_DIV);
}
