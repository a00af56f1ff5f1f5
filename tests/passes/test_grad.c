/* Gradients against central differences of the interpreter, in double precision: every row of the op table that has floats in it.
 */
#include "tests/passes/check.h"

#include <criterion/criterion.h>
#include <math.h>

#include "passes/grad.h"

typedef struct Range {
    double lo, hi;
} Range;
static const Range everyday = {-2, 2};

typedef struct Case {
    Fix f;
    VEC(Value *) in;
    VEC(Range) range;
    VEC(Value *) out;
} Case;

static double uniform(Case *c, double lo, double hi)
{
    c->f.seed = c->f.seed * 6364136223846793005u + 1442695040888963407u;
    return lo + (hi - lo) * (double)(c->f.seed >> 11) * 0x1p-53;
}

static int64_t between(Case *c, int64_t lo, int64_t hi)
{
    return lo + (int64_t)(uniform(c, 0, 1) * (double)(hi - lo + 1));
}

static Value *input_in(Case *c, const int64_t *dims, Range r)
{
    Value *v = fix_input(&c->f, DLVK_F64, dims);
    *VEC_PUSH(&c->f.pool, c->in) = v;
    *VEC_PUSH(&c->f.pool, c->range) = r;
    return v;
}

static Value *input(Case *c, const int64_t *dims)
{
    return input_in(c, dims, everyday);
}

static void output(Case *c, Value *v)
{
    cr_assert(v != NULL, "%s", c->f.c->diag.lines.n ? c->f.c->diag.lines.at[0] : "no value");
    *VEC_PUSH(&c->f.pool, c->out) = v;
}

static Value *ints(Case *c, int64_t n, int64_t lo, int64_t hi)
{
    int64_t *x = POOL_ARRAY(&c->f.pool, int64_t, n);
    for (int64_t i = 0; i < n; i++) x[i] = between(c, lo, hi);
    return build_ints(&c->f.b, (int)n, x);
}

/* The sum of all outputs' elements, each with a weight of its own. */
static Value *project(Case *c)
{
    Build *b = &c->f.b;
    Value *sum = NULL;
    for (int i = 0; i < c->out.n; i++) {
        Value *v = c->out.at[i];
        int64_t dims[DLVK_MAX_RANK + 1];
        bool fixed = type_static(v->type, dims);
        dims[v->type.rank] = -1;
        Value *weight = fixed ? fix_weight(&c->f, DLVK_F64, dims) : build_scalar(b, DLVK_F64, 1.5);
        Value *part = build_reduce(b, KIND_SUM, build_map2(b, OP_MUL, v, weight), 0, NULL, false);
        sum = sum ? build_map2(b, OP_ADD, sum, part) : part;
    }
    return sum;
}

static void evaluate(Case *c, const Graph *g, const Tensor *const *in, const Tensor **out)
{
    bool ok = graph_eval(g, in, out, true, &c->f.pool);
    cr_assert(ok, "%s", c->f.c->diag.lines.n ? c->f.c->diag.lines.at[0] : "evaluation failed");
}

static double loss_at(Case *c, const Tensor *const *in)
{
    const Tensor *out;
    evaluate(c, c->f.g, in, &out);
    return elem_get_f(out->dtype, out->data, 0);
}

static const char *first_error(const Case *c)
{
    return c->f.c->diag.lines.n ? c->f.c->diag.lines.at[0] : "";
}

/* The graph of the projection and its gradients with respect to the inputs. */
static Graph *differentiate(Case *c, const char *what)
{
    Value *loss = project(c);
    fix_output(&c->f, loss);
    int n = c->in.n;
    const char **names = POOL_ARRAY(&c->f.pool, const char *, n);
    for (int i = 0; i < n; i++) names[i] = "dx";
    Graph *g = graph_grad(c->f.g, &(GradSpec){.loss = loss, .n = n, .wrt = c->in.at, .name = names});
    cr_assert(g != NULL, "%s: %s", what, first_error(c));
    cr_assert(graph_verify(g, stderr) == 0, "%s: the gradient's graph is not valid", what);
    return g;
}

/* The case whose outputs are this one's gradients. */
static void derive(Case *c, const char *what)
{
    Rewrite *rw = rewrite_start(differentiate(c, what), NULL, NULL, false);
    Region *top = rw->dst->top;
    c->f.g = rw->dst;
    c->f.b = rw->b;
    c->out.n = 0;
    for (int i = 0; i < c->in.n; i++) {
        c->in.at[i] = top->params.at[i];
        output(c, top->results.at[i + 1]);
    }
    top->results.n = c->f.g->output_names.n = 0;
}

static void check(Case *c, const char *what)
{
    Pool *p = &c->f.pool;
    Graph *g = differentiate(c, what);
    int n = c->in.n;
    const Tensor **in = POOL_ARRAY(p, const Tensor *, n), **out = POOL_ARRAY(p, const Tensor *, n + 1);
    for (int i = 0; i < n; i++) {
        int64_t dims[DLVK_MAX_RANK], count = 1;
        type_static(c->in.at[i]->type, dims);
        for (int k = 0; k < c->in.at[i]->type.rank; k++) count *= dims[k];
        double *x = POOL_ARRAY(p, double, count);
        for (int64_t k = 0; k < count; k++) x[k] = uniform(c, c->range.at[i].lo, c->range.at[i].hi);
        in[i] = tensor_new(p, DLVK_F64, c->in.at[i]->type.rank, dims, x);
    }
    evaluate(c, g, in, out);
    const double h = 1e-5;
    for (int i = 0; i < n; i++) {
        const Tensor *d = out[i + 1];
        cr_assert(d->count == in[i]->count, "%s: input %d has another shape than its gradient", what, i);
        for (int64_t k = 0; k < d->count; k++) {
            double *x = (double *)(uintptr_t)in[i]->data + k, at = *x;
            *x = at + h;
            double above = loss_at(c, in);
            *x = at - h;
            double below = loss_at(c, in), want = (above - below) / (2 * h), got = elem_get_f(d->dtype, d->data, k);
            *x = at;
            cr_assert(fabs(got - want) <= 2e-6 * (1 + fabs(want)),
                      "%s: input %d, element %lld of %lld, at %g: gradient %g, difference %g", what, i, (long long)k,
                      (long long)d->count, at, got, want);
        }
    }
    fix_close(&c->f);
}

static void open(Case *c, uint64_t seed)
{
    *c = (Case){0};
    fix_open(&c->f, seed);
    for (int i = 0; i < 4; i++) uniform(c, 0, 1);
}

/* ---- pointwise: a test for every row --------------------------------------------------------------------------------- */

static Range domain(Op op, int operand)
{
    switch (op) {
    case OP_DIV:
    case OP_REM:
    case OP_MOD: return operand ? (Range){0.5, 2} : everyday;
    case OP_POW:
    case OP_SQRT:
    case OP_RSQRT:
    case OP_LOG: return operand ? everyday : (Range){0.2, 2};
    case OP_LOG1P: return (Range){-0.8, 2};
    case OP_TAN: return (Range){-1.2, 1.2};
    case OP_ASIN:
    case OP_ACOS:
    case OP_ATANH: return (Range){-0.9, 0.9};
    case OP_ACOSH: return (Range){1.1, 3};
    default: return everyday;
    }
}

static void check_point(Op op, const char *name, int arity, PointRule rule, uint64_t seed, bool twice)
{
    Case c;
    open(&c, seed);
    int64_t dims[] = {between(&c, 1, 3), between(&c, 1, 4), -1};
    Value *x[3];
    for (int i = 0; i < arity; i++) x[i] = rule == RULE_PICK && i == 0 ? NULL : input_in(&c, dims, domain(op, i));
    if (rule == RULE_PICK) x[0] = build_map2(&c.f.b, OP_GT, fix_weight(&c.f, DLVK_F64, dims), build_scalar(&c.f.b, DLVK_F64, 0));
    output(&c, build_point(&c.f.b, op, arity, x));
    if (twice) derive(&c, name);
    check(&c, name);
}

#define POINT(id, name, arity, takes, rule, ...)                                                                                 \
    Test(grad, name)                                                                                                             \
    {                                                                                                                            \
        for (uint64_t seed = 1; seed <= 8 && (TAKES_##takes & TAKES_F) && RULE_##rule != RULE_CMP; seed++)                       \
            check_point(OP_##id, #name, arity, RULE_##rule, seed, seed > 4);                                                     \
    }
#include "ir/ops.def"

/* Equal operands share; a comparison passes nothing on. */
Test(grad, ties_and_steps)
{
    Case c;
    open(&c, 1);
    Build *b = &c.f.b;
    Value *x = input(&c, DIMS(5));
    output(&c, build_map2(b, OP_MAX, x, x));
    output(&c, build_cast(b, build_map2s(b, OP_GT, x, 0), DLVK_F64));
    output(&c, build_map2(b, OP_MUL, x, x));
    check(&c, "ties");
}

/* Norms of a vector of zeros: of their slopes to all sides the mean is taken, as differences to both sides do. */
Test(grad, norms_of_zeros)
{
    Case c;
    open(&c, 1);
    Build *b = &c.f.b;
    int axis = 0;
    Value *x = input_in(&c, DIMS(3), (Range){0, 0}), *size = build_map1(b, OP_ABS, x);
    output(&c, build_map1(b, OP_SQRT, build_reduce(b, KIND_SUM, build_map2(b, OP_MUL, x, x), 1, &axis, false)));
    Value *cubes = build_map2s(b, OP_POW, size, 3);
    output(&c, build_map2s(b, OP_POW, build_reduce(b, KIND_SUM, cubes, 1, &axis, false), 1.0 / 3));
    check(&c, "norms");
}

/* ---- the others ------------------------------------------------------------------------------------------------------ */

typedef void Family(Case *c);

/* Each seed once, and every other one for the gradient of the gradient. */
static void run(const char *name, Family f, int seeds)
{
    for (int i = 0; i < seeds + (seeds + 1) / 2; i++) {
        Case c;
        int seed = i < seeds ? i + 1 : 2 * (i - seeds) + 1;
        open(&c, (uint64_t)seed * 7919);
        f(&c);
        const char *what = pool_printf(&c.f.pool, "%s, seed %d%s", name, seed, i < seeds ? "" : ", twice");
        if (i >= seeds) derive(&c, what);
        check(&c, what);
    }
}
#define FAMILY(name, seeds)                                                                                                      \
    static void name(Case *c);                                                                                                   \
    Test(grad, name)                                                                                                             \
    {                                                                                                                            \
        run(#name, name, seeds);                                                                                                 \
    }                                                                                                                            \
    static void name(Case *c)

static const Dim *dim(Case *c, int64_t v)
{
    return dim_const(&c->f.c->dims, v);
}

FAMILY(movement, 6)
{
    Build *b = &c->f.b;
    int64_t m = between(c, 1, 4), n = between(c, 2, 5);
    Value *x = input(c, (int64_t[]){m, n, -1}), *pad = input(c, (int64_t[]){-1});
    output(c, build_transpose(b, build_reshape(b, x, 3, (const Dim *[]){dim(c, n), dim(c, 1), dim(c, m)}), (int[]){2, 0, 1}));
    output(c, build_broadcast(b, build_reshape(b, x, 3, (const Dim *[]){dim(c, m), dim(c, 1), dim(c, n)}), 3,
                              (const Dim *[]){dim(c, m), dim(c, 3), dim(c, n)}));
    output(c, build_reverse(b, x, 1, (int[]){1}));
    output(c, build_pad(b, x, (const Dim *[]){dim(c, 1), dim(c, 0)}, (const Dim *[]){dim(c, 0), dim(c, 2)}, pad));
    output(c, build_concat(b, 3, (Value *[]){x, build_map2(b, OP_MUL, x, x), x}, 1));
    output(c, build_cast(b, build_cast(b, x, DLVK_F64), DLVK_F64));
    output(c, build_op(b, OP_BARRIER, 1, &x, 0, NULL));
}

FAMILY(slices, 12)
{
    int64_t n = between(c, 3, 9), step = between(c, 1, 3), start = between(c, 0, 2),
            m = between(c, 1, (n - start - 1) / step + 1);
    Value *x = input(c, (int64_t[]){2, n, 3, -1});
    output(c, build_slice(&c->f.b, x, (const Dim *[]){dim(c, 0), dim(c, start), dim(c, 0)},
                          (const Dim *[]){dim(c, 2), dim(c, m), dim(c, 2)}, (int64_t[]){1, step, 2}));
}

FAMILY(reductions, 6)
{
    Build *b = &c->f.b;
    int axes[] = {0, 2};
    Value *x = input(c, (int64_t[]){between(c, 1, 3), 2, between(c, 1, 3), -1});
    output(c, build_reduce(b, KIND_SUM, x, 2, axes, true));
    output(c, build_reduce(b, KIND_PROD, x, 2, axes, false));
    output(c, build_reduce(b, KIND_MAX, x, 2, axes, true));
    output(c, build_reduce(b, KIND_MIN, x, 1, axes, false));
}

Test(grad, product_with_zeros)
{
    Case c;
    open(&c, 3);
    Value *x = input(&c, DIMS(4)), *zero = fix_weight(&c.f, DLVK_F64, DIMS(4));
    zero = build_map2s(&c.f.b, OP_GT, zero, 0); /* where it holds, x - x, which moves with nothing */
    Value *y = build_map3(&c.f.b, OP_SELECT, zero, build_map2(&c.f.b, OP_SUB, x, x), x);
    output(&c, build_reduce(&c.f.b, KIND_PROD, y, 0, NULL, false));
    output(&c, build_cumulate(&c.f.b, KIND_PROD, y, 0, false, true));
    check(&c, "product with zeros");
}

FAMILY(running, 8)
{
    bool exclusive = between(c, 0, 1), reverse = between(c, 0, 1);
    Value *x = input(c, (int64_t[]){2, between(c, 1, 4), 2, -1});
    output(c, build_cumulate(&c->f.b, KIND_SUM, x, 1, exclusive, reverse));
    output(c, build_cumulate(&c->f.b, KIND_PROD, x, 1, exclusive, reverse));
}

FAMILY(windows, 16)
{
    int64_t window[] = {1, between(c, 1, 3), between(c, 2, 3)}, step[] = {1, between(c, 1, 3), window[2]};
    int64_t dilation[] = {1, between(c, 1, 2), 1};
    if (between(c, 0, 1)) step[1] = window[1], dilation[1] = 1;
    const Dim *lo[] = {dim(c, 0), dim(c, between(c, 0, window[1] - 1)), dim(c, between(c, 0, 1))};
    const Dim *hi[] = {dim(c, 0), dim(c, between(c, 0, window[1] - 1)), dim(c, between(c, 0, 1))};
    Value *x = input(c, (int64_t[]){2, between(c, 5, 8), between(c, 3, 7), -1});
    output(c, build_window(&c->f.b, KIND_SUM, x, window, step, dilation, lo, hi));
    output(c, build_window(&c->f.b, KIND_MAX, x, window, step, dilation, lo, hi));
    output(c, build_window(&c->f.b, KIND_MIN, x, window, step, dilation, lo, hi));
}

FAMILY(wide_windows, 2)
{
    int64_t window[] = {1, 40}, step[] = {1, 3}, square[] = {1, 5, 4}, by[] = {1, 1, 2}, apart[] = {1, 2, 1};
    output(c, build_window(&c->f.b, KIND_MAX, input(c, DIMS(2, 50)), window, step, NULL, NULL, NULL));
    output(c, build_window(&c->f.b, KIND_MAX, input(c, DIMS(1, 11, 8)), square, by, apart, NULL, NULL));
}

FAMILY(sorted, 4)
{
    Value *values, *indices;
    build_sort(&c->f.b, input(c, (int64_t[]){3, between(c, 1, 5), 2, -1}), 1, between(c, 0, 1), &values, &indices);
    output(c, values);
}

FAMILY(dots, 4)
{
    int64_t batch = between(c, 1, 2), m = between(c, 1, 3), k = between(c, 1, 4), n = between(c, 1, 3);
    output(c, build_dot(&c->f.b, input(c, (int64_t[]){batch, m, k, -1}), input(c, (int64_t[]){batch, k, n, -1})));
}

FAMILY(convolutions, 24)
{
    int64_t group = between(c, 1, 3), ci = group * between(c, 1, 2), co = group * between(c, 1, 2);
    int64_t k[2], step[2], dilation[2], in_dilation[2], size[2];
    const Dim *lo[2], *hi[2];
    for (int i = 0; i < 2; i++) {
        k[i] = between(c, 1, 3);
        step[i] = between(c, 1, 3);
        dilation[i] = between(c, 1, 2);
        in_dilation[i] = between(c, 0, 3) ? 1 : between(c, 2, 3);
        size[i] = between(c, (k[i] - 1) * dilation[i] + 1, 7);
        lo[i] = dim(c, between(c, size[i] > 5 ? -1 : 0, 2));
        hi[i] = dim(c, between(c, size[i] > 5 ? -1 : 0, 2));
    }
    ConvSpec s = {2, step, dilation, in_dilation, lo, hi, group};
    Value *x = input(c, (int64_t[]){2, size[0], size[1], ci, -1});
    output(c, build_conv(&c->f.b, x, input(c, (int64_t[]){k[0], k[1], ci / group, co, -1}), &s));
}

FAMILY(gathers, 8)
{
    Build *b = &c->f.b;
    int64_t n = between(c, 2, 4), m = between(c, 1, 3) * 2;
    int axis = (int)between(c, 0, 2);
    Value *index = ints(c, m, -1, n), *x = input(c, axis == 0 ? DIMS(n, 2, 3) : axis == 1 ? DIMS(2, n, 3) : DIMS(2, 3, n));
    output(c, build_gather(b, x, index, axis));
    output(c, build_gather(b, x, build_reshape(b, index, 2, (const Dim *[]){dim(c, 2), dim(c, m / 2)}), axis));
    output(c, build_gather(b, x, build_scalar_i(b, DLVK_I64, 1), axis));
}

FAMILY(scatters, 8)
{
    static const Kind kinds[] = {KIND_SET, KIND_SUM, KIND_PROD, KIND_MAX, KIND_MIN};
    int64_t n = between(c, 2, 4), m = between(c, 1, 6);
    Value *index = ints(c, m, -1, n), *x = input(c, (int64_t[]){n, 2, -1}), *u = input(c, (int64_t[]){m, 2, -1});
    for (int i = 0; i < 5; i++) output(c, build_scatter(&c->f.b, kinds[i], x, index, u));
}

FAMILY(composites, 3)
{
    Build *b = &c->f.b;
    int axis = 1;
    Value *x = input(c, (int64_t[]){2, between(c, 2, 4), -1});
    output(c, build_softmax(b, x, 1, false));
    output(c, build_softmax(b, x, 1, true));
    output(c, build_normalize(b, x, 1, &axis, 1e-3, NULL, NULL));
    output(c, build_op(b, OP_STOP_GRADIENT, 1, &(Value *){build_scalar(b, DLVK_F64, 1)}, 0, NULL));
}

/* ---- control flow ---------------------------------------------------------------------------------------------------- */

static void result(Case *c, Region *r, Value *v)
{
    *VEC_PUSH(&c->f.pool, r->results) = v;
}

FAMILY(branches, 4)
{
    Build *b = &c->f.b;
    Value *x = input(c, DIMS(3)), *y = input(c, DIMS(3)),
          *condition = build_map2s(b, OP_GT, build_gather(b, x, build_scalar_i(b, DLVK_I64, 0), 0), 0);
    Value *idle = build_map1(b, OP_COS, x); /* read by a node alone that nobody wants */
    Region *r[2], *top = b->at;
    for (int i = 0; i < 2; i++) {
        r[i] = region_branch(c->f.g, top);
        const Dim *guard = region_enter(r[i]);
        b->at = r[i];
        build_map1(b, OP_EXP, idle);
        result(c, r[i], i ? build_map1(b, OP_SIN, build_map2(b, OP_MUL, x, y)) : build_map2(b, OP_MUL, x, x));
        result(c, r[i], y);
        b->at = top;
        region_leave(r[i], guard);
    }
    Node *n = build_node(b, OP_IF, 1, &condition, 0, NULL, 2, r);
    cr_assert(n != NULL, "%s", first_error(c));
    output(c, n->out[0]);
    output(c, n->out[1]);
}

/* h = tanh(w h + x[i]); the trip count perhaps from data, and the loop perhaps left early; h is also collected. */
static Node *recurrence(Case *c, Value *w, Value *xs, Value *h, bool data, bool early)
{
    Build *b = &c->f.b;
    Region *top = b->at, *r = region_new(c->f.g, top);
    Value *trips = build_scalar_i(b, DLVK_I64, 4), *one = build_scalar(b, DLVK_BOOL, 1), *idle = build_map1(b, OP_COS, w);
    if (data) trips = build_reduce(b, KIND_SUM, build_cast(b, build_map2s(b, OP_GT, xs, -9), DLVK_I64), 0, NULL, false);
    Value *i = region_param(r, type_make(c->f.c, DLVK_I64, 0, NULL), "i"), *state = region_param(r, h->type, "h");
    b->at = r;
    build_map1(b, OP_EXP, idle); /* which nobody wants */
    Value *next = build_map1(b, OP_TANH, build_map2(b, OP_ADD, build_map2(b, OP_MUL, w, state), build_gather(b, xs, i, 0)));
    result(c, r, early ? build_map2s(b, OP_LT, i, 2) : one);
    result(c, r, next);
    result(c, r, build_map2(b, OP_MUL, next, next));
    b->at = top;
    Node *n = build_node(b, OP_LOOP, 3, (Value *[]){trips, one, h}, 0, NULL, 1, &r);
    cr_assert(n != NULL, "%s", first_error(c));
    return n;
}

FAMILY(loops, 6)
{
    bool data = between(c, 0, 1), early = between(c, 0, 1);
    Value *xs = input(c, data ? DIMS(5, 1) : DIMS(5, 2)), *h = input(c, data ? DIMS(1) : DIMS(2)),
          *w = input(c, data ? DIMS(1) : DIMS(2));
    Node *n = recurrence(c, w, xs, h, data, early);
    output(c, n->out[0]);
    output(c, n->out[1]);
}

/* A loop in a loop: the inner one runs on what the outer one carries. */
FAMILY(nested_loops, 2)
{
    Build *b = &c->f.b;
    Value *w = input(c, DIMS(2)), *xs = input(c, DIMS(4, 2)), *h = input(c, DIMS(2));
    Region *top = b->at, *r = region_new(c->f.g, top);
    region_param(r, type_make(c->f.c, DLVK_I64, 0, NULL), "i");
    Value *state = region_param(r, h->type, "h");
    b->at = r;
    Node *inner = recurrence(c, w, xs, state, false, false);
    result(c, r, build_scalar(b, DLVK_BOOL, 1));
    result(c, r, build_map2(b, OP_ADD, inner->out[0], build_map2(b, OP_MUL, state, w)));
    b->at = top;
    Value *in[] = {build_scalar_i(b, DLVK_I64, 3), build_scalar(b, DLVK_BOOL, 1), h};
    Node *n = build_node(b, OP_LOOP, 3, in, 0, NULL, 1, &r);
    cr_assert(n != NULL, "%s", first_error(c));
    output(c, n->out[0]);
}

FAMILY(calls, 2)
{
    Build *b = &c->f.b;
    Value *x = input(c, DIMS(3));
    Region *top = b->at, *r = region_new(c->f.g, top);
    Value *p = region_param(r, x->type, "p");
    b->at = r;
    result(c, r, build_map2(b, OP_MUL, build_map1(b, OP_EXP, p), p));
    b->at = top;
    Attr name = {.id = A_NAME, .str = "swish"};
    Node *n = build_node(b, OP_CALL, 1, &x, 1, &name, 1, &r);
    cr_assert(n != NULL, "%s", first_error(c));
    output(c, n->out[0]);
    output(c, x);
}

/* ---- what has none --------------------------------------------------------------------------------------------------- */

Test(grad, a_node_without_gradient_is_named_with_its_path)
{
    Case c;
    open(&c, 1);
    Build *b = &c.f.b;
    Value *x = input(&c, DIMS(3));
    c.f.c->origin = &(Origin){"bits", "Reinterpret"};
    Value *y = build_bitcast(b, build_bitcast(b, build_map1(b, OP_EXP, x), DLVK_F64), DLVK_F64);
    cr_assert(y != NULL);
    y = build_cumulate(b, KIND_MAX, build_map1(b, OP_EXP, x), 0, false, false);
    c.f.c->origin = NULL;
    output(&c, build_map1(b, OP_SIN, y));
    Value *loss = project(&c);
    fix_output(&c.f, loss);
    Graph *g = graph_grad(c.f.g, &(GradSpec){.loss = loss, .n = 1, .wrt = &x, .name = (const char *[]){"dx"}});
    cr_expect(g == NULL);
    cr_expect(c.f.c->diag.status == DLVK_UNSUPPORTED);
    cr_assert(c.f.c->diag.lines.n == 1);
    cr_expect(strstr(first_error(&c), "node 'bits' (Reinterpret): ") != NULL, "%s", first_error(&c));
    cr_expect(strstr(first_error(&c), "x -> bits -> sin -> mul -> reduce") != NULL, "%s", first_error(&c));
    fix_close(&c.f);
}
