/* Lower, fold, canonicalize, cse: node counts and unchanged values. */
#include "tests/passes/check.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <math.h>

static Fix f;
static void setup(void)
{
    fix_open(&f, 3);
}
static void teardown(void)
{
    fix_close(&f);
}
TestSuite(passes, .init = setup, .fini = teardown);

static Value *x4(void)
{
    return fix_input(&f, DLVK_F32, DIMS(2, 3, 4, 5));
}

Test(passes, lower_inlines_calls_and_drops_markers)
{
    Value *x = x4(), *in[] = {build_op(&f.b, OP_STOP_GRADIENT, 1, &x, 0, NULL)};
    Region *body = region_new(f.g, f.g->top);
    Build inner = {f.c, body, NULL};
    Value *p = region_param(body, x->type, "p");
    *VEC_PUSH(&f.pool, body->results) = build_map2s(&inner, OP_ADD, build_map1(&inner, OP_EXP, p), 1);
    Attr name = {.id = A_NAME, .str = "softplus_like"};
    Node *call = build_node(&f.b, OP_CALL, 1, in, 1, &name, 1, &body);
    fix_output(&f, build_map1(&f.b, OP_LOG, call->out[0]));
    Graph *g = fix_run(&f, pass_lower, 0);
    cr_expect(eq(int, count_op(g, OP_CALL), 0));
    cr_expect(eq(int, count_op(g, OP_STOP_GRADIENT), 0));
    cr_expect(eq(int, count_op(g, OP_EXP), 1));
}

Test(passes, fold_constants_but_not_into_large_ones)
{
    Value *a = fix_weight(&f, DLVK_F32, DIMS(3, 4)), *b = fix_weight(&f, DLVK_F32, DIMS(4, 5));
    Value *y = build_map1(&f.b, OP_TANH, build_matmul(&f.b, a, b));
    Value *x = fix_input(&f, DLVK_F32, DIMS(400, 3, 5));
    Value *wide = build_broadcast(&f.b, y, 3, x->type.dim);
    fix_output(&f, build_map2(&f.b, OP_ADD, x, wide));
    Graph *g = fix_run(&f, pass_fold, 1e-6);
    cr_expect(eq(int, count_op(g, OP_TANH) + count_op(g, OP_DOT), 0));
    cr_expect(eq(int, count_op(g, OP_BROADCAST), 1));
}

Test(passes, fold_takes_the_branch_of_a_known_if)
{
    Value *x = x4(), *yes = build_scalar_i(&f.b, DLVK_BOOL, 1);
    Region *r[2];
    for (int i = 0; i < 2; i++) {
        r[i] = region_new(f.g, f.g->top);
        Build inner = {f.c, r[i], NULL};
        *VEC_PUSH(&f.pool, r[i]->results) = build_map1(&inner, i ? OP_NEG : OP_EXP, x);
    }
    Node *n = build_node(&f.b, OP_IF, 1, &yes, 0, NULL, 2, r);
    fix_output(&f, n->out[0]);
    Graph *g = fix_run(&f, pass_fold, 0);
    cr_expect(eq(int, count_op(g, OP_IF) + count_op(g, OP_NEG), 0));
    cr_expect(eq(int, count_op(g, OP_EXP), 1));
}

Test(passes, identities_vanish)
{
    Value *x = x4(), *y = x;
    y = build_map2s(&f.b, OP_ADD, y, 0);
    y = build_map2s(&f.b, OP_MUL, y, 1);
    y = build_map2(&f.b, OP_MUL, build_full(&f.b, y->type, 1), y);
    y = build_map1(&f.b, OP_NEG, build_map1(&f.b, OP_NEG, y));
    y = build_map2s(&f.b, OP_SUB, y, 0);
    y = build_map2s(&f.b, OP_POW, y, 1);
    y = build_map2(&f.b, OP_MAX, y, y);
    fix_output(&f, build_map3(&f.b, OP_SELECT, build_scalar_i(&f.b, DLVK_BOOL, 0), x, y));
    Graph *g = fix_run(&f, pass_canonicalize, 0);
    g = fix_run(&f, pass_canonicalize, 0);
    cr_expect(g->top->results.at[0] == g->top->params.at[0]);
    cr_expect(eq(int, count_nodes(g), 0));
}

Test(passes, powers_and_divisions_get_cheaper)
{
    Value *x = build_map1(&f.b, OP_ABS, x4());
    Value *y = build_map2s(&f.b, OP_POW, x, 2);
    y = build_map2s(&f.b, OP_DIV, y, 8);
    fix_output(&f, build_map2s(&f.b, OP_POW, y, 0.5));
    fix_output(&f, build_map2s(&f.b, OP_DIV, y, 3));
    fix_output(&f, build_map2s(&f.b, OP_POW, build_map1(&f.b, OP_NEG, x), 3));
    Graph *g = fix_run(&f, pass_canonicalize, 1e-15);
    cr_expect(eq(int, count_op(g, OP_POW), 0));
    cr_expect(eq(int, count_op(g, OP_DIV), 1));
    cr_expect(eq(int, count_op(g, OP_SQRT), 1));
}

Test(passes, ops_run_before_broadcasts)
{
    Value *row = fix_input(&f, DLVK_F32, DIMS(1, 7)), *column = fix_input(&f, DLVK_F32, DIMS(5, 1));
    const Dim *const *full = fix_dims(&f, 3, (const int64_t[]){4, 5, 7});
    Value *x = build_broadcast(&f.b, row, 3, full), *y = build_broadcast(&f.b, column, 3, full);
    fix_output(&f, build_map1(&f.b, OP_EXP, build_map2(&f.b, OP_ADD, x, y)));
    Graph *g = fix_run(&f, pass_canonicalize, 0);
    g = fix_run(&f, pass_canonicalize, 0);
    const Node *last = g->top->results.at[0]->def;
    cr_expect(last->op == OP_BROADCAST);
    cr_expect(dim_is(last->in[0]->type.dim[0], 1));
}

Test(passes, windows_that_cover_all_are_reductions)
{
    Value *x = x4();
    fix_output(&f, build_window(&f.b, KIND_SUM, x, (const int64_t[]){1, 1, 4, 5}, NULL, NULL, NULL, NULL));
    Graph *g = fix_run(&f, pass_canonicalize, 1e-12);
    cr_expect(eq(int, count_op(g, OP_WINDOW), 0));
    cr_expect(eq(int, count_op(g, OP_REDUCE), 1));
}

Test(passes, reductions_of_reductions_are_one)
{
    Value *x = x4();
    Value *y = build_reduce(&f.b, KIND_SUM, x, 1, (const int[]){3}, true);
    fix_output(&f, build_reduce(&f.b, KIND_SUM, y, 2, (const int[]){1, 2}, false));
    Graph *g = fix_run(&f, pass_canonicalize, 1e-12);
    cr_expect(eq(int, count_op(g, OP_REDUCE), 1));
}

Test(passes, differences_from_the_mean_add_up_to_nothing)
{
    Value *x = x4(), *mean = build_mean(&f.b, x, 2, (const int[]){2, 3}, true);
    Value *d = build_map2(&f.b, OP_SUB, x, mean), *factor = fix_input(&f, DLVK_F32, DIMS(2, 3, 1, 1));
    Value *y = build_map1(&f.b, OP_NEG, build_map2(&f.b, OP_MUL, build_map2(&f.b, OP_ADD, d, d), factor));
    fix_output(&f, build_reduce(&f.b, KIND_SUM, y, 2, (const int[]){2, 3}, true));
    Graph *g = fix_run(&f, pass_canonicalize, 1e-12);
    cr_expect(eq(int, count_op(g, OP_REDUCE), 0));
}

/* A count of 300 is 44 for a byte: what is divided by it is no mean. */
Test(passes, a_count_that_wrapped_makes_no_mean)
{
    const Dim *shape[] = {dim_symbol(&f.c->dims, "n"), dim_const(&f.c->dims, 100)};
    const Dim *count = dim_mul(&f.c->dims, shape[0], shape[1]);
    Value *x = region_param(f.g->top, type_make(f.c, DLVK_F32, 2, shape), "x");
    for (int i = 0; i < 2; i++) {
        Value *n = build_cast(&f.b, build_dims(&f.b, DLVK_I64, -1, &count), i ? DLVK_U8 : DLVK_I32);
        Value *sum = build_reduce(&f.b, KIND_SUM, x, 2, (const int[]){0, 1}, true);
        Value *d = build_map2(&f.b, OP_SUB, x, build_map2(&f.b, OP_DIV, sum, build_cast(&f.b, n, DLVK_F32)));
        fix_output(&f, build_reduce(&f.b, KIND_SUM, d, 2, (const int[]){0, 1}, true));
    }
    cr_expect(eq(int, count_op(fix_run(&f, pass_canonicalize, 1e-4), OP_REDUCE), 2));
}

Test(passes, other_sums_of_differences_stay)
{
    Value *x = x4(), *mean = build_mean(&f.b, x, 2, (const int[]){2, 3}, true);
    Value *d = build_map2(&f.b, OP_SUB, x, mean), *wide = fix_input(&f, DLVK_F32, DIMS(2, 3, 4, 1));
    fix_output(&f, build_reduce(&f.b, KIND_SUM, d, 1, (const int[]){3}, true));
    fix_output(&f, build_reduce(&f.b, KIND_SUM, build_map2(&f.b, OP_MUL, d, wide), 2, (const int[]){2, 3}, true));
    fix_output(&f, build_reduce(&f.b, KIND_MAX, d, 2, (const int[]){2, 3}, true));
    fix_output(&f, build_reduce(&f.b, KIND_SUM, build_map2(&f.b, OP_MUL, d, d), 2, (const int[]){2, 3}, true));
    Graph *g = fix_run(&f, pass_canonicalize, 1e-12);
    cr_expect(eq(int, count_op(g, OP_REDUCE), 5));
}

Test(passes, padding_becomes_the_windows_and_convolutions_own)
{
    Value *x = x4();
    const Dim *const *lo = fix_dims(&f, 4, (const int64_t[]){0, 0, 1, 2}), *const *hi =
                                                                               fix_dims(&f, 4, (const int64_t[]){0, 0, 3, 0});
    Value *low = build_pad(&f.b, x, lo, hi, build_scalar(&f.b, DLVK_F32, -INFINITY));
    fix_output(&f, build_window(&f.b, KIND_MAX, low, (const int64_t[]){1, 1, 2, 3}, NULL, NULL, NULL, NULL));
    Value *last = build_transpose(&f.b, x, (const int[]){0, 2, 3, 1});
    lo = fix_dims(&f, 4, (const int64_t[]){0, 1, 2, 0});
    Value *zero = build_pad(&f.b, last, lo, lo, build_scalar(&f.b, DLVK_F32, 0));
    ConvSpec s = {.spatial = 2, .group = 1};
    fix_output(&f, build_conv(&f.b, zero, fix_weight(&f, DLVK_F32, DIMS(3, 3, 3, 4)), &s));
    Graph *g = fix_run(&f, pass_canonicalize, 1e-12);
    cr_expect(eq(int, count_op(g, OP_PAD), 0));
}

/* 2^53 and the next integer are one double. */
Test(passes, paddings_of_two_values_stay)
{
    Value *x = fix_input(&f, DLVK_I64, DIMS(3));
    const Dim *const *one = fix_dims(&f, 1, (const int64_t[]){1});
    for (int i = 0; i < 2; i++) {
        Value *y = build_pad(&f.b, x, one, one, build_scalar_i(&f.b, DLVK_I64, INT64_C(1) << 53));
        fix_output(&f, build_pad(&f.b, y, one, one, build_scalar_i(&f.b, DLVK_I64, (INT64_C(1) << 53) + i)));
    }
    cr_expect(eq(int, count_op(fix_run(&f, pass_canonicalize, 0), OP_PAD), 3));
}

/* Rows in another order need no copy. */
Test(passes, products_count_their_rows_themselves)
{
    Value *x = build_transpose(&f.b, fix_input(&f, DLVK_F32, DIMS(3, 5, 8)), (int[]){1, 0, 2});
    const Dim *flat[] = {dim_const(&f.c->dims, 15), dim_const(&f.c->dims, 8)};
    fix_output(&f, build_dot(&f.b, build_reshape(&f.b, x, 2, flat), fix_weight(&f, DLVK_F32, DIMS(8, 7))));
    cr_expect(eq(int, count_kernels(f.g, false), 2));
    cr_expect(eq(int, count_kernels(fix_run(&f, pass_canonicalize, 1e-12), false), 1));
    cr_expect(eq(int, count_op(fix_run(&f, pass_canonicalize, 0), OP_BROADCAST), 1)); /* of the weights, which are not repeated */
}

static Value *head(Value *x, int64_t columns, bool bias)
{
    Value *y = build_matmul(&f.b, x, fix_weight(&f, DLVK_F32, DIMS(8, columns)));
    if (bias) y = build_map2(&f.b, OP_ADD, fix_weight(&f, DLVK_F32, DIMS(columns)), y);
    const Dim *split[] = {dim_const(&f.c->dims, 2), dim_const(&f.c->dims, 5), dim_const(&f.c->dims, columns / 8),
                          dim_const(&f.c->dims, 8)};
    return build_transpose(&f.b, build_reshape(&f.b, y, 4, split), (int[]){0, 2, 1, 3});
}

/* Products of the same matrix become one, with biases and heads; not what pointwise code follows, or has another shape. */
Test(passes, siblings_are_one_product)
{
    Value *x = fix_input(&f, DLVK_F32, DIMS(2, 5, 8));
    for (int i = 0; i < 3; i++) fix_output(&f, head(x, i == 0 ? 32 : 16, true));
    fix_run(&f, pass_canonicalize, 1e-12); /* equal reshapes are shared */
    Graph *g = fix_run(&f, pass_siblings, 0);
    cr_expect(eq(int, count_op(g, OP_DOT), 1));
    cr_expect(eq(int, count_op(g, OP_ADD), 1));
    teardown();
    setup();
    x = fix_input(&f, DLVK_F32, DIMS(2, 5, 8));
    fix_output(&f, head(x, 16, true));
    fix_output(&f, head(x, 16, false));
    fix_output(&f, build_map1(&f.b, OP_EXP, build_matmul(&f.b, x, fix_weight(&f, DLVK_F32, DIMS(8, 16)))));
    fix_run(&f, pass_canonicalize, 1e-12);
    cr_expect(eq(int, count_op(fix_run(&f, pass_siblings, 0), OP_DOT), 3));
}

static Value *turned_product(Value *x)
{
    return build_transpose(&f.b, build_matmul(&f.b, x, fix_weight(&f, DLVK_F32, DIMS(8, 16))), (int[]){1, 0});
}

/* What a branch computes, nobody else has when the other one is taken. */
Test(passes, products_of_a_branch_are_no_siblings_of_those_around)
{
    Value *x = fix_input(&f, DLVK_F32, DIMS(5, 8)), *yes = build_reshape(&f.b, fix_input(&f, DLVK_BOOL, DIMS(1)), 0, NULL);
    Region *r[2], *top = f.b.at;
    for (int i = 0; i < 2; i++) {
        f.b.at = r[i] = region_new(f.g, top);
        Value *y = turned_product(x);
        *VEC_PUSH(&f.pool, r[i]->results) = i ? build_map1(&f.b, OP_EXP, y) : y;
    }
    f.b.at = top;
    fix_output(&f, build_node(&f.b, OP_IF, 1, &yes, 0, NULL, 2, r)->out[0]);
    fix_output(&f, turned_product(x));
    cr_expect(eq(int, count_op(fix_run(&f, pass_siblings, 0), OP_DOT), 3));
}

Test(passes, gathers_of_neighbours_and_slices_of_concats_are_slices)
{
    Value *x = x4(), *y = fix_input(&f, DLVK_F32, DIMS(2, 2, 4, 5));
    Value *idx = build_ints(&f.b, 2, (const int64_t[]){1, 2});
    Value *g1 = build_gather(&f.b, x, idx, 2);
    Value *cat = build_concat(&f.b, 2, (Value *[]){x, y}, 1);
    fix_output(&f, g1);
    fix_output(&f, build_slice_axis(&f.b, cat, 1, dim_const(&f.c->dims, 3), dim_const(&f.c->dims, 2)));
    Graph *g = fix_run(&f, pass_canonicalize, 0);
    cr_expect(eq(int, count_op(g, OP_GATHER), 0));
    cr_expect(eq(int, count_op(g, OP_CONCAT), 0));
    cr_expect(eq(int, count_op(g, OP_SLICE), 1)); /* the second is the whole of y */
}

Test(passes, equal_nodes_are_shared_and_dead_ones_gone)
{
    Value *x = x4();
    Value *a = build_map1(&f.b, OP_EXP, x), *b = build_map1(&f.b, OP_EXP, x);
    build_map1(&f.b, OP_LOG, x);
    fix_output(&f, build_map2(&f.b, OP_ADD, build_map2s(&f.b, OP_MUL, a, 2), build_map2s(&f.b, OP_MUL, b, 2)));
    Graph *g = fix_run(&f, pass_cse, 0);
    cr_expect(eq(int, count_op(g, OP_MUL), 1));
    cr_expect(eq(int, g->top->nodes.n, count_nodes(g)));
    cr_expect(eq(int, count_op(g, OP_EXP), 1));
    cr_expect(eq(int, count_op(g, OP_LOG), 0));
}
