/* Rows of constant matrices become whole vectors, and products stay what they are. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include "tests/passes/check.h"

static Fix f;
static void setup(void)
{
    fix_open(&f, 5);
}
static void teardown(void)
{
    fix_close(&f);
}
TestSuite(align, .init = setup, .fini = teardown);

/* The columns that product number `which` of the graph has in memory. */
static int64_t columns(const Graph *g, int which)
{
    int64_t n = 0;
    for (int i = 0; i < g->top->nodes.n; i++) {
        const Node *x = g->top->nodes.at[i];
        if ((x->op != OP_DOT && x->op != OP_CONV) || which-- > 0) continue;
        const Value *v = x->in[1];
        while (v->def->n_in) v = v->def->in[0];
        dim_is_const(v->type.dim[v->type.rank - 1], &n);
        break;
    }
    return n;
}

static Value *product(DType t, int64_t n)
{
    Value *w = fix_weight(&f, t, DIMS(6, n));
    return build_matmul(&f.b, fix_input(&f, DLVK_F32, DIMS(4, 6)), build_cast(&f.b, w, DLVK_F32));
}

Test(align, rows_become_whole_vectors)
{
    fix_output(&f, product(DLVK_F32, 35));
    fix_output(&f, product(DLVK_F16, 35));
    fix_output(&f, product(DLVK_F16, 40)); /* they are */
    fix_output(&f, product(DLVK_F32, 5));  /* would grow by too much */
    ConvSpec s = {.spatial = 1, .group = 1};
    const Dim *const *none = fix_dims(&f, 1, (const int64_t[]){0});
    s.lo = s.hi = none;
    fix_output(&f, build_conv(&f.b, fix_input(&f, DLVK_F32, DIMS(2, 7, 6)), fix_weight(&f, DLVK_F32, DIMS(3, 6, 34)), &s));
    Graph *g = fix_run(&f, pass_align, 0);
    static const int64_t want[] = {36, 40, 40, 5, 36};
    for (int i = 0; i < 5; i++) cr_expect(eq(i64, columns(g, i), want[i]));
}

/* A constant that others read too, as a table of words is, is not stored twice. */
Test(align, what_is_used_elsewhere_stays)
{
    Value *w = fix_weight(&f, DLVK_F32, DIMS(6, 35));
    fix_output(&f, build_matmul(&f.b, fix_input(&f, DLVK_F32, DIMS(4, 6)), w));
    fix_output(&f, build_map1(&f.b, OP_ABS, w));
    cr_expect(eq(i64, columns(fix_run(&f, pass_align, 0), 0), 35));
}
