#include "tests/passes/check.h"
#include "ir/kernel.h"

#include <criterion/criterion.h>
#include <math.h>

void fix_open(Fix *f, uint64_t seed)
{
    *f = (Fix){.seed = seed};
    f->c = context_new(&f->pool);
    f->g = graph_new(f->c, "test");
    f->b = (Build){f->c, f->g->top, NULL};
}

void fix_close(Fix *f)
{
    pool_free(&f->pool);
}

static double next(uint64_t *seed) /* in [-1, 1); Knuth's MMIX generator */
{
    *seed = *seed * 6364136223846793005u + 1442695040888963407u;
    return (double)(int64_t)*seed * 0x1p-63;
}

static const Tensor *random_tensor(Pool *p, uint64_t *seed, DType t, int rank, const int64_t *dims)
{
    int64_t count = 1;
    for (int i = 0; i < rank; i++) count *= dims[i];
    void *data = pool_alloc(p, (size_t)dtype_bytes(t, count));
    for (int64_t i = 0; i < count; i++) {
        double x = next(seed);
        if (dtype_is_float(t))
            elem_set_f(t, data, i, 2 * x);
        else
            elem_set_i(t, data, i, t == DLVK_BOOL ? x > 0 : (int64_t)(4 * (x + 1)));
    }
    return tensor_new(p, t, rank, dims, data);
}

static int rank_of(const int64_t *dims)
{
    int n = 0;
    while (dims[n] >= 0) n++;
    return n;
}

const Dim *const *fix_dims(Fix *f, int n, const int64_t *dims)
{
    const Dim **d = POOL_ARRAY(&f->pool, const Dim *, n);
    for (int i = 0; i < n; i++) d[i] = dim_const(&f->c->dims, dims[i]);
    return d;
}

Value *fix_input(Fix *f, DType t, const int64_t *dims)
{
    int rank = rank_of(dims);
    return region_param(f->g->top, type_make(f->c, t, rank, fix_dims(f, rank, dims)), "x");
}

Value *fix_weight(Fix *f, DType t, const int64_t *dims)
{
    return build_const(&f->b, random_tensor(&f->pool, &f->seed, t, rank_of(dims), dims));
}

void fix_output(Fix *f, Value *v)
{
    cr_assert(v != NULL, "%s", f->c->diag.lines.n ? f->c->diag.lines.at[0] : "no value");
    *VEC_PUSH(&f->pool, f->g->top->results) = v;
    *VEC_PUSH(&f->pool, f->g->output_names) = "y";
}

static void compare(const Tensor *a, const Tensor *b, double tolerance, int label)
{
    cr_assert(a->rank == b->rank && a->count == b->count && a->dtype == b->dtype, "types differ");
    for (int i = 0; i < a->rank; i++) cr_assert(a->dim[i] == b->dim[i]);
    for (int64_t i = 0; i < a->count; i++) {
        double x = elem_get_f(a->dtype, a->data, i), y = elem_get_f(b->dtype, b->data, i);
        bool same = x == y || (isnan(x) && isnan(y)) || fabs(x - y) <= tolerance * (1 + fabs(x));
        cr_assert(same, "graph %d, element %lld: %g before the pass, %g after", label, (long long)i, x, y);
    }
}

static void evaluate(Fix *f, const Graph *g, const Tensor *const *in, const Tensor **out)
{
    bool ok = graph_eval(g, in, out, true, &f->pool);
    cr_assert(ok, "%s", f->c->diag.lines.n ? f->c->diag.lines.at[0] : "evaluation failed");
}

Graph *fix_run(Fix *f, Graph *(*pass)(Graph *), double tolerance)
{
    Graph *before = f->g;
    cr_assert(graph_verify(before, stderr) == 0, "the graph is not valid before the pass");
    Graph *after = pass(before);
    cr_assert(after != NULL, "graph %d: %s", f->label, f->c->diag.lines.n ? f->c->diag.lines.at[0] : "the pass failed");
    cr_assert(graph_verify(after, stderr) == 0, "the graph is not valid after the pass");
    int n_in = before->top->params.n, n_out = before->top->results.n;
    const Tensor **in = POOL_ARRAY(&f->pool, const Tensor *, n_in);
    const Tensor **a = POOL_ARRAY(&f->pool, const Tensor *, n_out), **b = POOL_ARRAY(&f->pool, const Tensor *, n_out);
    for (int i = 0; i < n_in; i++) {
        Type t = before->top->params.at[i]->type;
        int64_t dims[DLVK_MAX_RANK];
        for (int d = 0; d < t.rank; d++)
            if (!dim_is_const(t.dim[d], &dims[d])) dims[d] = 3;
        in[i] = random_tensor(&f->pool, &f->seed, t.dtype, t.rank, dims);
    }
    evaluate(f, before, in, a);
    evaluate(f, after, in, b);
    for (int i = 0; i < n_out; i++) compare(a[i], b[i], tolerance, f->label);
    return f->g = after;
}

static int count_region(const Region *r, const bool *live, int op)
{
    int n = 0;
    for (int i = 0; i < r->nodes.n; i++) {
        const Node *x = r->nodes.at[i];
        if (!live[x->id]) continue;
        n += op < 0 || (int)x->op == op;
        for (int k = 0; k < x->n_region; k++) n += count_region(x->region_at[k], live, op);
    }
    return n;
}

int count_op(const Graph *g, Op op)
{
    return count_region(g->top, graph_live(g), (int)op);
}
int count_nodes(const Graph *g)
{
    return count_region(g->top, graph_live(g), -1);
}

int count_kernels(Graph *g, bool attention)
{
    const Schedule *s = schedule_build(g, true);
    int n = 0;
    for (int i = 0; i < s->regions.n; i++)
        for (int k = 0; k < s->regions.at[i]->steps.n; k++) {
            const Kernel *kernel = s->regions.at[i]->steps.at[k].kernel;
            n += kernel && (!attention || kernel->arch == ARCH_ATTENTION);
        }
    return n;
}
