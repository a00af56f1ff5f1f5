/* The interpreter: dot and conv. Small cases by hand; larger ones against the definition, written as plainly as can be. */
#include "ir/build.h"
#include "tests/ir/eval_check.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <math.h>

Test(eval_contract, dot_by_hand)
{
    eval_expect(K("a", "f32[2,3] {1, 2, 3, 4, 5, 6}") K("b", "f32[3,2] {1, 0, 0, 1, 1, 1}") "%y = dot(%a, %b);",
                "f32[2,2] {4, 5, 10, 11}");
    eval_expect(K("a", "f32[2,1,2] {1, 2, 3, 4}") K("b", "f32[2,2,1] {5, 6, 7, 8}") "%y = dot(%a, %b);", "f32[2,1,1] {17, 53}");
    eval_expect(K("a", "i8[1,2] {100, 100}") K("b", "i8[2,1] {100, 100}") "%y = dot(%a, %b) {dtype=i32};", "i32[1,1] {20000}");
    eval_expect(K("a", "f32[1,0] {}") K("b", "f32[0,2] {}") "%y = dot(%a, %b);", "f32[1,2] {0, 0}");
    eval_expect(K("a", "f32[2,3] splat {2}") K("b", "f32[3,2] splat {3}") "%y = dot(%a, %b);", "f32[2,2] {18, 18, 18, 18}");
}

#define CONV(attrs) "%y = conv(%x, %w) {" attrs "};"
Test(eval_contract, conv_by_hand)
{
    eval_expect(K("x", "f32[1,4,1] {1, 2, 3, 4}") K("w", "f32[2,1,1] {10, 1}")
                    CONV("step=[1], dilation=[1], in_dilation=[1], group=1, lo=[1], hi=[0]"),
                "f32[1,4,1] {1, 12, 23, 34}");
    eval_expect(K("x", "f32[1,4,1] {1, 2, 3, 4}") K("w", "f32[2,1,1] {10, 1}")
                    CONV("step=[2], dilation=[2], in_dilation=[1], group=1, lo=[0], hi=[0]"),
                "f32[1,1,1] {13}");
    /* spread out: 1 0 2 0 3 0 4 */
    eval_expect(K("x", "f32[1,4,1] {1, 2, 3, 4}") K("w", "f32[2,1,1] {10, 1}")
                    CONV("step=[1], dilation=[1], in_dilation=[2], group=1, lo=[0], hi=[0]"),
                "f32[1,6,1] {10, 2, 20, 3, 30, 4}");
    eval_expect(K("x", "f32[1,4,1] {1, 2, 3, 4}") K("w", "f32[1,1,1] {10}")
                    CONV("step=[1], dilation=[1], in_dilation=[1], group=1, lo=[-1], hi=[-1]"),
                "f32[1,2,1] {20, 30}");
    /* two groups of one channel, two outputs each */
    eval_expect(K("x", "f32[1,1,2] {3, 5}") K("w", "f32[1,1,4] {1, 2, 10, 20}")
                    CONV("step=[1], dilation=[1], in_dilation=[1], group=2, lo=[0], hi=[0]"),
                "f32[1,1,4] {3, 6, 50, 100}");
}

/* A random convolution of two spatial axes against seven nested loops. */
typedef struct Case {
    int64_t n, h, w, ci, kh, kw, co, group, step, dilation, spread, lo, hi;
} Case;

static double at(const double *x, const Case *c, int64_t n, int64_t i, int64_t j, int64_t ch)
{
    if (i < 0 || j < 0 || i % c->spread || j % c->spread) return 0;
    i /= c->spread, j /= c->spread;
    return i < c->h && j < c->w ? x[((n * c->h + i) * c->w + j) * c->ci + ch] : 0;
}

static void check_conv(const Case *c, bool splat_weights)
{
    Pool p = {0};
    Context *ctx = context_new(&p);
    Graph *g = graph_new(ctx, "conv");
#define D(v) dim_const(&ctx->dims, v)
    int64_t xd[4] = {c->n, c->h, c->w, c->ci}, wd[4] = {c->kh, c->kw, c->ci / c->group, c->co};
    Value *in[2];
    in[0] = region_param(g->top, type_make(ctx, DLVK_F64, 4, (const Dim *[]){D(xd[0]), D(xd[1]), D(xd[2]), D(xd[3])}), "x");
    in[1] = region_param(g->top, type_make(ctx, DLVK_F64, 4, (const Dim *[]){D(wd[0]), D(wd[1]), D(wd[2]), D(wd[3])}), "w");
    Build b = {.ctx = ctx, .at = g->top};
    int64_t step[2] = {c->step, c->step}, dilation[2] = {c->dilation, c->dilation}, spread[2] = {c->spread, c->spread};
    ConvSpec s = {2, step, dilation, spread, (const Dim *[]){D(c->lo), D(c->lo)}, (const Dim *[]){D(c->hi), D(c->hi)}, c->group};
    Value *y = build_conv(&b, in[0], in[1], &s);
    cr_assert(y != NULL);
    *VEC_PUSH(&p, g->top->results) = y;
    *VEC_PUSH(&p, g->output_names) = "y";
    int64_t nx = xd[0] * xd[1] * xd[2] * xd[3], nw = wd[0] * wd[1] * wd[2] * wd[3];
    double *x = POOL_ARRAY(&p, double, nx), *w = POOL_ARRAY(&p, double, nw);
    for (int64_t i = 0; i < nx; i++) x[i] = sin((double)i * 12.9898);
    for (int64_t i = 0; i < nw; i++) w[i] = splat_weights ? 0.25 : cos((double)i * 78.233);
    Tensor wt = *tensor_new(&p, DLVK_F64, 4, wd, w);
    wt.splat = splat_weights;
    const Tensor *inputs[2] = {tensor_new(&p, DLVK_F64, 4, xd, x), &wt}, *out;
    cr_assert(graph_eval(g, inputs, &out, true, &p));
    const double *got = out->data;
    int64_t per = c->ci / c->group, each = c->co / c->group;
    for (int64_t n = 0; n < out->dim[0]; n++)
        for (int64_t i = 0; i < out->dim[1]; i++)
            for (int64_t j = 0; j < out->dim[2]; j++)
                for (int64_t o = 0; o < c->co; o++, got++) {
                    double want = 0;
                    for (int64_t ki = 0; ki < c->kh; ki++)
                        for (int64_t kj = 0; kj < c->kw; kj++)
                            for (int64_t k = 0; k < per; k++)
                                want += at(x, c, n, i * c->step + ki * c->dilation - c->lo,
                                           j * c->step + kj * c->dilation - c->lo, o / each * per + k) *
                                        w[((ki * c->kw + kj) * per + k) * c->co + o];
                    cr_assert(fabs(*got - want) < 1e-11, "%lld %lld %lld %lld: %g, should be %g", (long long)n, (long long)i,
                              (long long)j, (long long)o, *got, want);
                }
    pool_free(&p);
}

Test(eval_contract, conv_by_definition)
{
    static const Case cases[] = {
        /* n h  w  ci  kh kw co group step dilation spread lo hi */
        {1, 9, 7, 6, 3, 3, 10, 1, 1, 1, 1, 1, 1}, {2, 8, 8, 70, 1, 1, 67, 1, 1, 1, 1, 0, 0},
        {1, 9, 9, 8, 3, 2, 12, 4, 2, 1, 1, 1, 1}, {1, 9, 9, 5, 3, 3, 5, 5, 1, 2, 1, 2, 2},
        {1, 5, 6, 4, 3, 3, 6, 2, 1, 1, 2, 2, 3},  {1, 5, 6, 300, 2, 2, 3, 1, 1, 1, 3, -1, 2},
        {1, 6, 6, 4, 2, 2, 8, 4, 3, 1, 1, 0, 1},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        check_conv(&cases[i], false);
        check_conv(&cases[i], true);
    }
}
