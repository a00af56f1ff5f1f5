/* The builder: simplification as nodes are made, contents of integer tensors, sharing, inference errors, rewriting. */
#include "ir/eval.h"
#include "ir/rewrite.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <string.h>

static Pool pool;
static Context *c;
static Graph *g;
static Build b;

static void setup(void)
{
    pool = (Pool){0};
    c = context_new(&pool);
    g = graph_new(c, "test");
    b = (Build){c, g->top, NULL};
}
static void teardown(void)
{
    pool_free(&pool);
}
TestSuite(build, .init = setup, .fini = teardown);

static const Dim *num(int64_t v)
{
    return dim_const(&c->dims, v);
}
static const Dim *sym(const char *s)
{
    return dim_symbol(&c->dims, s);
}

#define SHAPE(...) ((const Dim *const[]){__VA_ARGS__})
#define INPUT(t, ...)                                                                                                            \
    region_param(g->top, type_make(c, t, (int)(sizeof SHAPE(__VA_ARGS__) / sizeof(Dim *)), SHAPE(__VA_ARGS__)), "x")

static void is_type(const Value *v, const char *text)
{
    cr_assert(v != NULL);
    char *have = type_to_string(&pool, v->type);
    cr_expect(strcmp(have, text) == 0, "%s is not %s", have, text);
}

Test(build, movement_that_moves_nothing_vanishes)
{
    Value *x = INPUT(DLVK_F32, num(2), sym("n"), num(1));
    const Dim *flat[] = {dim_mul(&c->dims, num(2), sym("n"))};
    cr_expect(build_reshape(&b, x, 3, x->type.dim) == x);
    cr_expect(build_reshape(&b, build_reshape(&b, x, 1, flat), 3, x->type.dim) == x);
    cr_expect(build_transpose(&b, x, (const int[]){0, 1, 2}) == x);
    cr_expect(build_transpose(&b, build_transpose(&b, x, (const int[]){1, 0, 2}), (const int[]){1, 0, 2}) == x);
    cr_expect(build_transpose(&b, x, (const int[]){0, 2, 1})->def->op == OP_RESHAPE);
    cr_expect(build_broadcast(&b, x, 2, x->type.dim + 1) == x);
    cr_expect(build_slice(&b, x, SHAPE(num(0), num(0), num(0)), x->type.dim, NULL) == x);
    cr_expect(build_reverse(&b, build_reverse(&b, x, 2, (const int[]){0, 2}), 1, (const int[]){0}) == x);
    cr_expect(build_concat(&b, 1, &x, 1) == x);
    cr_expect(build_reduce(&b, KIND_MAX, x, 1, (const int[]){-1}, true) == x);
    cr_expect(build_cast(&b, x, DLVK_F32) == x);
    cr_expect(build_pad(&b, x, SHAPE(num(0), num(0), num(0)), SHAPE(num(0), num(0), num(0)), build_scalar(&b, DLVK_F32, 1)) == x);
}

Test(build, casts_merge_only_when_exact)
{
    Value *x = INPUT(DLVK_F16, num(4)), *i = INPUT(DLVK_I32, num(4));
    cr_expect(build_cast(&b, build_cast(&b, x, DLVK_F32), DLVK_F16) == x);
    cr_expect(build_cast(&b, build_cast(&b, x, DLVK_BF16), DLVK_F16) != x);
    cr_expect(build_cast(&b, build_cast(&b, i, DLVK_I64), DLVK_I32) == i);
    cr_expect(build_cast(&b, build_cast(&b, i, DLVK_F32), DLVK_I32) != i);
    cr_expect(build_cast(&b, build_cast(&b, i, DLVK_F64), DLVK_I32) == i);
    cr_expect(build_cast(&b, build_cast(&b, i, DLVK_I8), DLVK_I32) != i);
}

Test(build, broadcasting_is_numpys)
{
    Value *x = INPUT(DLVK_F32, sym("n"), num(1), num(3)), *y = INPUT(DLVK_F32, num(4), num(1));
    is_type(build_map2(&b, OP_ADD, x, y), "f32[n,4,3]");
    is_type(build_broadcast(&b, x, 4, SHAPE(num(2), num(1), num(5), num(1))), "f32[2,n,5,3]");
    is_type(build_map2s(&b, OP_MUL, x, 2), "f32[n,1,3]");
    cr_expect(eq(int, c->constraints.n, 0));
    is_type(build_map2(&b, OP_ADD, x, INPUT(DLVK_F32, sym("m"), num(1), num(3))), "f32[n,1,3]");
    cr_expect(eq(int, c->constraints.n, 1));
    cr_expect(eq(int, c->diag.errors, 0));
}

/* The shape arithmetic that exporters write: reshape to [shape[0], -1, heads, size / heads] and back. */
Test(build, shape_arithmetic_is_folded)
{
    Value *x = INPUT(DLVK_F32, sym("batch"), sym("seq"), num(64));
    Value *shape = build_dims(&b, DLVK_I64, 3, x->type.dim);
    cr_expect(shape->def->op == OP_DIMS);
    Value *first = build_gather(&b, shape, build_ints(&b, 1, (const int64_t[]){0}), 0);
    Value *last = build_slice_axis(&b, shape, 0, num(2), num(1));
    Value *head = build_map2(&b, OP_DIV, last, build_ints(&b, 1, (const int64_t[]){4}));
    cr_expect(head->def->op == OP_CONST);
    Value *twice = build_map2s(&b, OP_MUL, build_slice_axis(&b, shape, 0, num(1), num(1)), 2);
    Value *cat = build_concat(&b, 3, (Value *[]){first, twice, head}, 0);
    Value *prod = build_reduce(&b, KIND_PROD, build_cast(&b, cat, DLVK_I32), 0, NULL, true);
    int n;
    const Dim *const *d = build_contents(&b, cat, &n);
    cr_assert(eq(int, n, 3));
    cr_expect(d[0] == sym("batch"));
    cr_expect(d[1] == dim_mul(&c->dims, num(2), sym("seq")));
    cr_expect(dim_is(d[2], 16));
    cr_expect(prod->elems == NULL || prod->type.rank == 1);
}

/* PyTorch's Pad: constant_of_shape, concat, reshape [-1, 2], reversed slice, transpose, reshape. */
Test(build, contents_of_any_rank)
{
    Value *p = build_concat(
        &b, 2, (Value *[]){build_dims(&b, DLVK_I64, 2, SHAPE(sym("l"), num(7))), build_ints(&b, 2, (const int64_t[]){0, 0})}, 0);
    Value *m = build_reshape(&b, p, 2, SHAPE(num(2), num(2)));
    m = build_reverse(&b, m, 1, (const int[]){0});
    m = build_reshape(&b, build_transpose(&b, m, (const int[]){1, 0}), 1, SHAPE(num(4)));
    cr_assert(m->elems != NULL);
    cr_expect(dim_is(m->elems[0], 0) && m->elems[1] == sym("l") && dim_is(m->elems[2], 0) && dim_is(m->elems[3], 7));
}

Test(build, comparisons_of_sizes_are_decided_where_they_can_be)
{
    Value *n = build_dims(&b, DLVK_I64, -1, SHAPE(sym("n")));
    Value *more = build_map2s(&b, OP_ADD, n, 1);
    cr_expect(build_map2(&b, OP_GT, more, n)->def->op == OP_CONST);
    cr_expect(build_map2(&b, OP_EQ, more, n)->def->op == OP_CONST);
    cr_expect(build_map2s(&b, OP_EQ, n, 3)->def->op == OP_EQ);
    Value *pick = build_map3(&b, OP_SELECT, build_map2s(&b, OP_LT, n, 0), more, n);
    cr_expect(pick->elems && pick->elems[0] == sym("n"));
    /* the length of range(0, n, 2): -floor(-n / 2) */
    Value *minus = build_map1(&b, OP_NEG, n), *two = build_scalar_i(&b, DLVK_I64, 2);
    Value *whole = build_map2(&b, OP_SUB, minus, build_map2(&b, OP_MOD, minus, two));
    Value *count = build_map1(&b, OP_NEG, build_map2(&b, OP_DIV, whole, two));
    cr_assert(count->elems != NULL);
    int64_t values[8] = {0}, out;
    values[sym("n")->sym->index] = 7;
    cr_expect(dim_eval(count->elems[0], values, &out) && out == 4);
}

Test(build, unknown_contents_are_read_back_once)
{
    Value *x = INPUT(DLVK_I64, num(2));
    int n;
    const Dim *const *d = build_contents(&b, x, &n);
    cr_assert(d && n == 2);
    cr_expect(d[0]->kind == DIM_SYM && d[0]->sym->data);
    cr_expect(g->top->nodes.at[0]->op == OP_READ_DIMS);
    cr_expect(build_contents(&b, x, &n)[0] == d[0]);
    Value *y = build_iota(&b, DLVK_F32, 2, d, 0);
    *VEC_PUSH(&pool, g->top->results) = y;
    *VEC_PUSH(&pool, g->output_names) = "y";
    bool *live = graph_live(g);
    cr_expect(live[g->top->nodes.at[0]->id], "what defines a size that is used is live");
    Graph *h = graph_rewrite(g, NULL, NULL, true);
    cr_assert(h != NULL);
    cr_expect(type_equal(h->top->results.at[0]->type, y->type));
    cr_expect(eq(int, h->top->nodes.n, 2));
}

Test(build, known_values_are_evaluated)
{
    Value *x = build_scalar(&b, DLVK_F32, 2);
    for (int i = 0; i < 40; i++) x = build_map2(&b, OP_ADD, x, x); /* a diamond of depth 40 is looked at once */
    const Tensor *t = build_known(&b, x);
    cr_assert(t != NULL);
    cr_expect(elem_get_f(t->dtype, t->data, 0) == 0x1p41);
    cr_expect(build_known(&b, build_map2s(&b, OP_ADD, INPUT(DLVK_F32, num(1)), 1)) == NULL);
}

Test(build, equal_nodes_are_shared_where_visible)
{
    b.cse = cse_new(c);
    Value *x = INPUT(DLVK_F32, num(3));
    cr_expect(build_map1(&b, OP_EXP, x) == build_map1(&b, OP_EXP, x));
    cr_expect(build_scalar(&b, DLVK_F32, 1.5) == build_scalar(&b, DLVK_F32, 1.5));
    cr_expect(build_scalar(&b, DLVK_F32, 1.5) != build_scalar(&b, DLVK_F64, 1.5));
    Region *r1 = region_new(g, g->top), *r2 = region_new(g, g->top);
    Build b1 = {c, r1, b.cse}, b2 = {c, r2, b.cse};
    Value *log1 = build_map1(&b1, OP_LOG, x);
    cr_expect(build_map1(&b2, OP_LOG, x) != log1, "siblings do not see each other");
    cr_expect(build_map1(&b1, OP_EXP, x) == build_map1(&b, OP_EXP, x), "a region sees what is around it");
}

Test(build, illegal_nodes_are_errors_not_crashes)
{
    Value *x = INPUT(DLVK_F32, num(2), num(3)), *i = INPUT(DLVK_I64, num(2), num(3));
    cr_expect(build_map2(&b, OP_ADD, x, i) == NULL);
    cr_expect(build_map1(&b, OP_EXP, i) == NULL);
    cr_expect(build_reshape(&b, x, 1, SHAPE(num(7))) == NULL);
    cr_expect(build_transpose(&b, x, (const int[]){0, 0}) == NULL);
    cr_expect(build_reduce(&b, KIND_SUM, x, 1, (const int[]){2}, true) == NULL);
    cr_expect(build_concat(&b, 2, (Value *[]){x, i}, 0) == NULL);
    cr_expect(build_dot(&b, x, build_reshape(&b, i, 1, SHAPE(num(6)))) == NULL);
    cr_expect(build_gather(&b, x, x, 0) == NULL);
    cr_expect(build_iota(&b, DLVK_I64, 1, SHAPE(num(-3)), 0) == NULL);
    cr_expect(eq(int, c->diag.errors, 9));
    cr_expect(build_map2(&b, OP_ADD, NULL, x) == NULL);
    cr_expect(build_softmax(&b, NULL, 1, false) == NULL);
    cr_expect(build_matmul(&b, x, NULL) == NULL);
    cr_expect(eq(int, c->diag.errors, 9), "a missing operand is passed on in silence");
}

Test(build, matmul_types)
{
    Value *x = INPUT(DLVK_F32, sym("b"), sym("s"), num(8)), *w = INPUT(DLVK_F32, num(8), num(5));
    is_type(build_matmul(&b, x, w), "f32[b,s,5]");
    is_type(build_matmul(&b, INPUT(DLVK_F32, num(8)), w), "f32[5]");
    is_type(build_matmul(&b, x, INPUT(DLVK_F32, num(8))), "f32[b,s]");
    is_type(build_matmul(&b, INPUT(DLVK_F32, num(4), num(1), num(2), num(8)), INPUT(DLVK_F32, num(3), num(8), num(6))),
            "f32[4,3,2,6]");
}

Test(build, convolution_types)
{
    Value *x = INPUT(DLVK_F32, sym("n"), num(4), sym("h"), num(10)), *w = INPUT(DLVK_F32, num(6), num(2), num(3), num(3));
    ConvSpec s = {.spatial = 2,
                  .step = (const int64_t[]){2, 1},
                  .dilation = (const int64_t[]){1, 2},
                  .lo = SHAPE(num(1), num(0)),
                  .hi = SHAPE(num(1), num(0)),
                  .group = 2};
    Value *y = build_conv_nchw(&b, x, w, &s);
    cr_assert(y != NULL);
    cr_expect(eq(int, y->type.rank, 4));
    cr_expect(dim_is(y->type.dim[1], 6) && dim_is(y->type.dim[3], 6));
    cr_expect(y->type.dim[2] == dim_floordiv(&c->dims, dim_add(&c->dims, sym("h"), num(1)), num(2)));
}

Test(build, a_loop_of_unknown_length_has_a_size_of_its_own)
{
    Value *x = INPUT(DLVK_F32, num(3)), *go = INPUT(DLVK_BOOL, num(1));
    go = build_reshape(&b, go, 0, NULL);
    Region *body = region_new(g, g->top);
    Build in = {c, body, NULL};
    region_param(body, type_make(c, DLVK_I64, 0, NULL), "i");
    Value *p = region_param(body, x->type, "p"), *q = build_map1(&in, OP_TANH, p);
    *VEC_PUSH(&pool, body->results) = go;
    *VEC_PUSH(&pool, body->results) = q;
    *VEC_PUSH(&pool, body->results) = q;
    Node *n = build_node(&b, OP_LOOP, 3, (Value *[]){build_scalar_i(&b, DLVK_I64, 5), go, x}, 0, NULL, 1, &body);
    cr_assert(n && n->n_out == 2);
    is_type(n->out[0], "f32[3]");
    cr_expect(n->out[1]->type.dim[0]->kind == DIM_SYM && n->out[1]->type.dim[0]->sym->data);
    *VEC_PUSH(&pool, g->top->results) = n->out[1];
    *VEC_PUSH(&pool, g->output_names) = "y";
    Graph *h = graph_rewrite(g, NULL, NULL, true);
    cr_assert(h != NULL);
    cr_expect(type_equal(h->top->results.at[0]->type, n->out[1]->type), "a copy keeps its symbols");
}

/* if (cond) x reshaped to [1] else x reshaped to [2], for x of n elements. */
static Graph *squeeze_either_way(void)
{
    Value *cond = region_param(g->top, type_make(c, DLVK_BOOL, 0, NULL), "cond"), *x = INPUT(DLVK_F32, sym("n"));
    Region *r[2];
    for (int i = 0; i < 2; i++) {
        r[i] = region_branch(g, g->top);
        Build in = {c, r[i], NULL};
        const Dim *guard = region_enter(r[i]);
        *VEC_PUSH(&pool, r[i]->results) = build_reshape(&in, x, 1, SHAPE(num(i + 1)));
        region_leave(r[i], guard);
    }
    Node *n = build_node(&b, OP_IF, 1, &cond, 0, NULL, 2, r);
    cr_assert(n != NULL);
    *VEC_PUSH(&pool, g->top->results) = n->out[0];
    *VEC_PUSH(&pool, g->output_names) = "y";
    return g;
}

static bool runs(const Graph *h, bool cond, int64_t n)
{
    uint8_t flag = cond;
    float data[2] = {1, 2};
    const Tensor *in[] = {tensor_new(&pool, DLVK_BOOL, 0, NULL, &flag), tensor_new(&pool, DLVK_F32, 1, &n, data)}, *out;
    return graph_eval(h, in, &out, false, &pool) && out->count == n;
}

Test(build, what_a_branch_asks_of_sizes_holds_when_it_is_taken)
{
    Graph *h = squeeze_either_way();
    for (int pass = 0; pass < 2; pass++) {
        cr_expect(eq(int, graph_verify(h, stderr), 0));
        cr_expect(eq(int, c->constraints.n, 2));
        cr_expect(runs(h, true, 1) && runs(h, false, 2));
        cr_expect(not(runs(h, true, 2)));
        cr_expect(not(runs(h, false, 1)));
        c->diag.errors = 0; /* what running with sizes that do not fit recorded */
        h = graph_rewrite(h, NULL, NULL, true);
        cr_assert(h != NULL);
    }
}
