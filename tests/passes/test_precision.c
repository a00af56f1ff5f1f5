/* Mixed precision: what is stored narrow, what is not, and that contractions see the narrow values. */
#include "ir/kernel.h"
#include "passes/pass.h"
#include "tests/passes/check.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>

static Fix f;
static Precision p;
static void setup(void)
{
    fix_open(&f, 1);
    p = (Precision){.storage = DLVK_F16};
    f.c->precision = &p;
}
static void teardown(void)
{
    fix_close(&f);
}
TestSuite(precision, .init = setup, .fini = teardown);

/* Live casts that are to be stored, in all regions. */
static int count_stored(const Region *r, const bool *live)
{
    int n = 0;
    for (int i = 0; i < r->nodes.n; i++) {
        const Node *x = r->nodes.at[i];
        if (live[x->id] && x->op == OP_CAST) n += attr_i(x, A_STORED, 0) != 0;
        for (int k = 0; k < x->n_region; k++) n += count_stored(x->region_at[k], live);
    }
    return n;
}

static int stored(const Graph *g)
{
    return count_stored(g->top, graph_live(g));
}

/* The operands of all contractions that are widened, of how many. */
static int narrow_operands(const Region *r, int *of)
{
    int n = 0;
    for (int i = 0; i < r->nodes.n; i++) {
        const Node *x = r->nodes.at[i];
        bool contraction = x->op == OP_DOT || x->op == OP_CONV;
        for (int k = 0; contraction && k < 2; k++) n += value_widened(x->in[k]);
        if (contraction) *of += 2;
        for (int k = 0; k < x->n_region; k++) n += narrow_operands(x->region_at[k], of);
    }
    return n;
}

static Graph *run(double tolerance)
{
    Graph *g = fix_run(&f, pass_precision, tolerance);
    for (int i = 0; i < g->top->results.n; i++) cr_expect(eq(int, g->top->results.at[i]->type.dtype, DLVK_F32));
    return g;
}

static Value *weight(int64_t rows, int64_t columns)
{
    return fix_weight(&f, DLVK_F32, DIMS(rows, columns));
}

Test(precision, off)
{
    f.c->precision = NULL;
    fix_output(&f, build_matmul(&f.b, fix_input(&f, DLVK_F32, DIMS(4, 8)), weight(8, 8)));
    cr_expect(pass_precision(f.g) == f.g);
}

Test(precision, contractions_see_narrow_operands)
{
    for (int t = 0; t < 2; t++) {
        p.storage = t ? DLVK_BF16 : DLVK_F16;
        Value *x = build_relu(&f.b, build_matmul(&f.b, fix_input(&f, DLVK_F32, DIMS(6, 8)), weight(8, 8)));
        Value *y = build_map2(&f.b, OP_ADD, x, build_matmul(&f.b, x, weight(8, 8)));
        fix_output(&f, build_matmul(&f.b, build_transpose(&f.b, y, (int[]){1, 0}), x));
        int of = 0;
        Graph *g = run(t ? 8e-2 : 1e-2);
        cr_expect(eq(int, narrow_operands(g->top, &of), of));
        cr_expect(eq(int, of, 6));
        cr_expect(eq(int, stored(g), 3)); /* the input's copy, the relu, the sum */
        teardown();
        setup();
    }
}

/* Attention reads queries and keys where they were stored, whatever they are scaled by, and stores its result as the next
 * product reads it. */
Test(precision, attention_makes_no_copies)
{
    const Dim *split[4], *flat[3];
    for (int i = 0; i < 4; i++) split[i] = dim_const(&f.c->dims, DIMS(2, 10, 3, 8)[i]);
    for (int i = 0; i < 3; i++) flat[i] = dim_const(&f.c->dims, DIMS(2, 10, 24)[i]);
    Value *x = fix_input(&f, DLVK_F32, DIMS(2, 10, 24)), *h[3];
    for (int i = 0; i < 3; i++) {
        h[i] = build_reshape(&f.b, build_matmul(&f.b, x, weight(24, 24)), 4, split);
        h[i] = build_transpose(&f.b, h[i], i == 1 ? (int[]){0, 2, 3, 1} : (int[]){0, 2, 1, 3});
    }
    Value *s = build_matmul(&f.b, build_map2s(&f.b, OP_MUL, h[0], 0.06), build_map2s(&f.b, OP_MUL, h[1], 0.05));
    Value *y = build_transpose(&f.b, build_matmul(&f.b, build_softmax(&f.b, s, -1, false), h[2]), (int[]){0, 2, 1, 3});
    fix_output(&f, build_matmul(&f.b, build_reshape(&f.b, y, 3, flat), weight(24, 5)));
    Graph *g = graph_rewrite(run(1e-2), NULL, NULL, true); /* dead nodes go */
    cr_expect(eq(int, count_kernels(g, true), 1));
    cr_expect(eq(int, count_kernels(g, false), 6)); /* and the input's copy, three products before it and one behind */
}

/* What fusion gives memory is narrow, but for the result; what fusion keeps in registers is not cast. */
Test(precision, memory_is_narrow)
{
    Value *x = build_relu(&f.b, build_matmul(&f.b, fix_input(&f, DLVK_F32, DIMS(6, 8)), weight(8, 8)));
    x = build_map1(&f.b, OP_SIGMOID, build_map2s(&f.b, OP_MUL, x, 0.5));
    fix_output(&f, build_matmul(&f.b, build_concat(&f.b, 2, (Value *[]){x, x}, 1), weight(16, 3)));
    Graph *g = run(1e-2);
    Schedule *s = schedule_build(g, true);
    int wide = 0, narrow = 0;
    for (int i = 0; i < g->top->nodes.n; i++) {
        const Value *v = g->top->nodes.at[i]->out[0];
        if (!s->materialized[v->id]) continue;
        wide += v->type.dtype == DLVK_F32;
        narrow += v->type.dtype == DLVK_F16;
    }
    cr_expect(eq(int, wide, 1));
    cr_expect(ge(int, narrow, 5)); /* two weights, the input's copy, the sigmoid, the concat */
}

Test(precision, arguments_of_exp_stay)
{
    Value *q = fix_input(&f, DLVK_F32, DIMS(6, 8)), *k = fix_input(&f, DLVK_F32, DIMS(8, 6));
    Value *scores = build_map2s(&f.b, OP_MUL, build_matmul(&f.b, q, k), 3);
    Value *y = build_softmax(&f.b, scores, -1, false);
    fix_output(&f, build_matmul(&f.b, y, fix_input(&f, DLVK_F32, DIMS(6, 4))));
    cr_expect(eq(int, stored(run(1e-2)), 4)); /* copies of three inputs, the probabilities; not the scores */
}

Test(precision, what_is_asked_for_stays)
{
    static const char *const keep[] = {"sigm?id", "dot"};
    Value *x = build_matmul(&f.b, fix_input(&f, DLVK_F32, DIMS(6, 8)), weight(8, 8));
    fix_output(&f, build_matmul(&f.b, build_map1(&f.b, OP_SIGMOID, x), weight(8, 8)));
    p.keep = keep;
    p.n_keep = 1;
    int of = 0;
    Graph *before = f.g, *g = run(1e-2);
    cr_expect(eq(int, narrow_operands(g->top, &of), 4)); /* the sigmoid is stored wide, but has a narrow copy */
    p.n_keep = 2;
    f.g = before;
    g = run(1e-6);
    cr_expect(eq(int, narrow_operands(g->top, &of), 0));
    cr_expect(eq(int, stored(g), 0));
}

/* A master weight: what updates it reads float32, what multiplies by it a copy. */
Test(precision, states_keep_their_bits)
{
    Value *x = fix_input(&f, DLVK_F32, DIMS(8, 8)), *w = fix_input(&f, DLVK_F32, DIMS(8, 8));
    Value *g = build_map2s(&f.b, OP_MUL, build_matmul(&f.b, x, w), 0x1p-16); /* two users: it has memory */
    Value *norm = build_reduce(&f.b, KIND_SUM, build_map2(&f.b, OP_MUL, g, g), 0, NULL, true);
    fix_output(&f, build_map2(&f.b, OP_SUB, w, build_map2(&f.b, OP_DIV, g, norm)));
    f.g->n_states = 1;
    f.g->state = POOL_ARRAY(&f.pool, const Tensor *, 1);
    Graph *after = run(1e-2);
    const Node *sub = after->top->results.at[0]->def;
    cr_assert(eq(int, sub->op, OP_SUB));
    cr_expect(sub->in[0] == after->top->params.at[1]);
    cr_expect(eq(int, stored(after), 2)); /* copies of both for the product; not the gradient */
}

Test(precision, constants_beyond_the_range_stay)
{
    int64_t dim[] = {2, 2};
    static const float large[] = {1, 2, 3, 1e6f}, fits[] = {1, 2, 3, 60000};
    Value *x = fix_input(&f, DLVK_F32, DIMS(2, 2));
    fix_output(&f, build_matmul(&f.b, x, build_const(&f.b, tensor_new(&f.pool, DLVK_F32, 2, dim, large))));
    fix_output(&f, build_matmul(&f.b, x, build_const(&f.b, tensor_new(&f.pool, DLVK_F32, 2, dim, fits))));
    int wide = 0;
    Graph *g = run(1e-2);
    const bool *live = graph_live(g);
    for (int i = 0; i < g->top->nodes.n; i++) {
        const Node *n = g->top->nodes.at[i];
        if (live[n->id] && n->op == OP_CONST) wide += n->out[0]->type.dtype == DLVK_F32;
    }
    cr_expect(eq(int, wide, 1));
}

/* The weights of a loop are narrowed once, outside; what it carries stays. */
Test(precision, loops_see_narrow_weights)
{
    Value *x = fix_input(&f, DLVK_F32, DIMS(4, 8)), *w = weight(8, 8);
    Region *body = region_new(f.g, f.g->top);
    region_param(body, type_make(f.c, DLVK_I64, 0, NULL), "i");
    Value *carried = region_param(body, x->type, "h");
    Build b = {f.c, body, NULL};
    Value *y = build_map1(&b, OP_TANH, build_matmul(&b, carried, w));
    *VEC_PUSH(&f.pool, body->results) = build_scalar_i(&b, DLVK_BOOL, 1);
    *VEC_PUSH(&f.pool, body->results) = y;
    Value *in[] = {build_scalar_i(&f.b, DLVK_I64, 3), build_scalar_i(&f.b, DLVK_BOOL, 1), x};
    Node *loop = build_node(&f.b, OP_LOOP, 3, in, 0, NULL, 1, &body);
    cr_assert(loop != NULL);
    fix_output(&f, loop->out[0]);
    int of = 0;
    Graph *g = run(1e-2);
    cr_expect(eq(int, narrow_operands(g->top, &of), 2));
    Schedule *s = schedule_build(g, true);
    for (int i = 0; i < g->top->nodes.n; i++) {
        const Node *n = g->top->nodes.at[i];
        if (n->op == OP_CONST && n->out[0]->type.rank == 2) cr_expect(eq(int, n->out[0]->type.dtype, DLVK_F16));
        for (int k = 0; k < n->n_out; k++) cr_expect(eq(int, value_widened(n->out[k]) && s->materialized[n->out[k]->id], 0));
    }
}

/* What only has another shape than a result lies in the result's memory: nothing is stored beside it. */
Test(precision, a_result_in_another_shape_is_not_narrow)
{
    Value *y = build_matmul(&f.b, fix_input(&f, DLVK_F32, DIMS(6, 8)), weight(8, 8));
    fix_output(&f, build_reshape(&f.b, y, 3, fix_dims(&f, 3, (const int64_t[]){2, 3, 8})));
    cr_expect(eq(int, stored(run(1e-2)), 1)); /* the input's copy */
}

/* An input's narrow copy is made in the order in which it is read, by one kernel. */
Test(precision, an_input_is_turned_and_narrowed_at_once)
{
    int64_t step[] = {2, 2};
    const Dim *const *none = fix_dims(&f, 2, (const int64_t[]){0, 0});
    ConvSpec s = {.spatial = 2, .step = step, .lo = none, .hi = none, .group = 1};
    fix_output(&f,
               build_conv_nchw(&f.b, fix_input(&f, DLVK_F32, DIMS(2, 8, 6, 6)), fix_weight(&f, DLVK_F32, DIMS(5, 8, 2, 2)), &s));
    Graph *g = run(1e-2);
    cr_expect(eq(int, stored(g), 2)); /* the product, too */
    for (int i = 0; i < g->top->nodes.n; i++) {
        const Node *n = g->top->nodes.at[i];
        if (n->op == OP_CAST && attr_i(n, A_STORED, 0)) cr_expect(n->in[0]->def != NULL);
    }
}
