/* Tests of the interpreter; see eval_check.h. */
#include "tests/ir/eval_check.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <math.h>
#include <string.h>

const char *diag_text(const Context *c)
{
    const char *all = "";
    for (int i = 0; i < c->diag.lines.n; i++) all = pool_printf(c->pool, "%s%s\n", all, c->diag.lines.at[i]);
    return all;
}

static Graph *parse(Pool *p, const char *text)
{
    Context *c = context_new(p);
    Graph *g = graph_parse(c, text);
    cr_assert(g != NULL, "%s%s", text, diag_text(c));
    return g;
}

static const Tensor *tensor(Pool *p, const char *text)
{
    const Tensor *t;
    Graph *g = parse(p, pool_printf(p, "graph \"t\" {\n%%x = const() {value=%s};\noutput \"x\" = %%x;\n}\n", text));
    cr_assert(value_const(g->top->results.at[0], &t));
    return t;
}

static bool same_float(double a, double b)
{
    return (isnan(a) && isnan(b)) || a == b || fabs(a - b) <= 1e-12 * fabs(b);
}

static void compare(const Tensor *got, const Tensor *want, const char *what)
{
    cr_assert(got->dtype == want->dtype, "%s: %s, not %s", what, dtype_name(got->dtype), dtype_name(want->dtype));
    cr_assert(got->rank == want->rank, "%s: rank %d, not %d", what, got->rank, want->rank);
    for (int i = 0; i < got->rank; i++)
        cr_assert(got->dim[i] == want->dim[i], "%s: axis %d has size %lld, not %lld", what, i, (long long)got->dim[i],
                  (long long)want->dim[i]);
    for (int64_t i = 0; i < got->count; i++) {
        int64_t a = got->splat ? 0 : i, b = want->splat ? 0 : i;
        if (dtype_is_float(got->dtype)) {
            double x = elem_get_f(got->dtype, got->data, a), y = elem_get_f(want->dtype, want->data, b);
            cr_expect(same_float(x, y), "%s: element %lld is %.17g, not %.17g", what, (long long)i, x, y);
        } else if (got->dtype == DLVK_STRING) {
            const Str *x = (const Str *)got->data + a, *y = (const Str *)want->data + b;
            cr_expect(x->len == y->len && !memcmp(x->at, y->at, x->len), "%s: element %lld", what, (long long)i);
        } else {
            int64_t x = elem_get_i(got->dtype, got->data, a), y = elem_get_i(want->dtype, want->data, b);
            cr_expect(x == y, "%s: element %lld is %lld, not %lld", what, (long long)i, (long long)x, (long long)y);
        }
    }
}

void eval_expect_graph(const char *graph, int n_in, const char *const *in, int n_out, const char *const *want, const char *fault)
{
    Pool p = {0};
    Graph *g = parse(&p, graph);
    const Tensor **inputs = POOL_ARRAY(&p, const Tensor *, n_in), **outputs = POOL_ARRAY(&p, const Tensor *, g->top->results.n);
    for (int i = 0; i < n_in; i++) inputs[i] = tensor(&p, in[i]);
    bool ok = graph_eval(g, inputs, outputs, false, &p);
    if (fault) {
        bool said = !ok && strstr(diag_text(g->ctx), fault) != NULL;
        cr_expect(said, "wanted: %s\ngot: %s", fault, diag_text(g->ctx));
    } else {
        cr_assert(ok, "%s%s", graph, diag_text(g->ctx));
        cr_assert(n_out == g->top->results.n);
        for (int i = 0; i < n_out; i++) compare(outputs[i], tensor(&p, want[i]), g->output_names.at[i]);
    }
    pool_free(&p);
}

void eval_expect(const char *body, const char *want)
{
    Pool p = {0};
    const char *graph = pool_printf(&p, "graph \"t\" {\n%soutput \"%s\" = %%y;\n}\n", body, "y");
    eval_expect_graph(graph, 0, NULL, 1, &want, NULL);
    /* The last node once more, alone: constant folding gives the same. */
    Graph *g = parse(&p, graph);
    const Node *n = g->top->nodes.at[g->top->nodes.n - 1];
    const Tensor **in = POOL_ARRAY(&p, const Tensor *, n->n_in), **out = POOL_ARRAY(&p, const Tensor *, n->n_out);
    bool known = !n->n_region;
    for (int i = 0; i < n->n_in; i++) known &= value_const(n->in[i], &in[i]);
    if (known && node_eval(n, in, out, &p)) compare(out[g->top->results.at[0]->out], tensor(&p, want), "folded");
    pool_free(&p);
}
