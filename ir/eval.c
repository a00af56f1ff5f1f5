/* The interpreter's driver: sizes, regions, control flow, lifetimes. The ops are in ir/eval_*.c.
 *
 * Sizes. A dimension of an input that is a plain symbol defines that symbol; every other one is checked. Data symbols are defined
 * by read_dims and by the shapes of results as they appear, anew in every iteration of a loop. A constraint is checked when
 * the last of its symbols becomes known.
 *
 * Lifetimes. A value dies after its last use by a node of its own region, uses inside nested regions counting as uses by the node
 * that holds them. Constants are converted when first used. */
#include "ir/eval_internal.h"
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

bool eval_fail(Eval *e, const char *fmt, ...)
{
    if (e->quiet) return false;
    va_list ap;
    va_start(ap, fmt);
    char *text = pool_vprintf(e->ctx->pool, fmt, ap);
    va_end(ap);
    ctx_error(e->ctx, DLVK_INVALID_ARGUMENT, "%s", text);
    return false;
}

/* ---- sizes ------------------------------------------------------------------------------------------------------- */

static bool dim_known(const Eval *e, const Dim *d)
{
    if (d->kind == DIM_SYM) return d->sym->index < e->n_sym && e->known[d->sym->index];
    for (int i = 0; i < d->n; i++)
        if (!dim_known(e, d->arg[i])) return false;
    return true;
}

bool solve_dims(Eval *e, int n, const Dim *const *d, int64_t *out, bool any)
{
    for (int i = 0; i < n; i++) {
        out[i] = 0;
        if (!d) continue;
        if (!dim_known(e, d[i])) return eval_fail(e, "the size %s is not known", dim_to_string(e->ctx->pool, d[i]));
        if (!dim_eval(d[i], e->sym, &out[i])) return eval_fail(e, "the size %s overflows", dim_to_string(e->ctx->pool, d[i]));
        if (out[i] < 0 && !any)
            return eval_fail(e, "the size %s is negative: %lld", dim_to_string(e->ctx->pool, d[i]), (long long)out[i]);
    }
    return true;
}

static bool check_constraints(Eval *e)
{
    for (int i = 0; i < e->ctx->constraints.n; i++) {
        const Constraint *c = &e->ctx->constraints.at[i];
        int64_t a, b;
        if (c->guard && !dim_known(e, c->guard)) continue;
        if (!dim_known(e, c->a) || !dim_known(e, c->b) || !dim_eval(c->a, e->sym, &a) || !dim_eval(c->b, e->sym, &b)) continue;
        if (c->kind == DIM_EQ ? a == b : a <= b) continue;
        Pool *p = e->ctx->pool;
        return eval_fail(e, "%s: %s = %lld must %s %s = %lld", c->why ? c->why : "sizes", dim_to_string(p, c->a), (long long)a,
                         c->kind == DIM_EQ ? "equal" : "not exceed", dim_to_string(p, c->b), (long long)b);
    }
    return true;
}

static bool define(Eval *e, Symbol *s, int64_t v, const char *what)
{
    if (s->index >= e->n_sym) return eval_fail(e, "%s: symbol '%s' is of another graph", what, s->name);
    if (v < s->lo || v > s->hi)
        return eval_fail(e, "%s: '%s' is %lld, outside of [%lld, %lld]", what, s->name, (long long)v, (long long)s->lo,
                         (long long)s->hi);
    e->sym[s->index] = v;
    e->known[s->index] = true;
    return true;
}

/* An array has appeared where the graph says t: defines new symbols, checks all else that is known. */
static bool bind_shape(Eval *e, Type t, const Array *a, const char *what, bool *defined)
{
    if (a->dtype != t.dtype || a->rank != t.rank)
        return eval_fail(e, "%s: %s of rank %d where %s of rank %d is expected", what, dtype_name(a->dtype), a->rank,
                         dtype_name(t.dtype), t.rank);
    for (int i = 0; i < t.rank; i++) {
        const Dim *d = t.dim[i];
        int64_t v;
        if (d->kind == DIM_SYM && !dim_known(e, d)) {
            if (!define(e, d->sym, a->dim[i], what)) return false;
            *defined = true;
        } else if (dim_known(e, d) && dim_eval(d, e->sym, &v) && v != a->dim[i]) {
            return eval_fail(e, "%s: axis %d has size %lld where %s = %lld is expected", what, i, (long long)a->dim[i],
                             dim_to_string(e->ctx->pool, d), (long long)v);
        }
    }
    return true;
}

/* ---- lifetimes --------------------------------------------------------------------------------------------------- */

static void count_uses(Eval *e, const Region *r)
{
    for (int i = 0; i < r->nodes.n; i++) {
        const Node *n = r->nodes.at[i];
        for (int k = 0; k < n->n_in; k++) e->uses[n->in[k]->id]++;
        for (int k = 0; k < n->n_region; k++) count_uses(e, n->region_at[k]);
    }
    for (int i = 0; i < r->results.n; i++) e->uses[r->results.at[i]->id]++;
}

static void drop(Eval *e, const Value *v)
{
    array_unref(e, e->val[v->id]);
    e->val[v->id] = NULL;
}

static void release_use(Eval *e, const Region *r, const Value *v)
{
    if (v->region == r && --e->left[v->id] == 0 && !e->keep) drop(e, v);
}

static void release_nested(Eval *e, const Region *r, const Region *inside)
{
    for (int i = 0; i < inside->nodes.n; i++) {
        const Node *n = inside->nodes.at[i];
        for (int k = 0; k < n->n_in; k++) release_use(e, r, n->in[k]);
        for (int k = 0; k < n->n_region; k++) release_nested(e, r, n->region_at[k]);
    }
    for (int i = 0; i < inside->results.n; i++) release_use(e, r, inside->results.at[i]);
}

static Array *value_array(Eval *e, const Value *v)
{
    if (!e->val[v->id] && v->def && v->def->op == OP_CONST) eval_const(e, v->def, NULL, &e->val[v->id]);
    if (!e->val[v->id]) eval_fail(e, "value %d is used before it is defined", v->id);
    return e->val[v->id];
}

/* ---- nodes and regions ------------------------------------------------------------------------------------------- */

static const EvalOp eval_ops[OP_COUNT] = {
#define POINT(id, ...)                [OP_##id] = eval_point,
#define STRUCT(id, name, n_in, n_out) [OP_##id] = eval_##name,
#include "ir/ops.def"
};

/* Nothing uses the node, nor the sizes that it defines. */
static bool is_dead(const Eval *e, const Node *n)
{
    if (n->op == OP_READ_DIMS || e->keep) return false;
    for (int i = 0; i < n->n_out; i++) {
        if (e->uses[n->out[i]->id]) return false;
        for (int d = 0; d < n->out[i]->type.rank; d++)
            if (dim_has_data_symbol(n->out[i]->type.dim[d])) return false;
    }
    return true;
}

static bool run_node(Eval *e, const Region *r, const Node *n)
{
    Array *few[8] = {NULL}, **in = n->n_in > 8 ? pool_calloc(e->pool, (size_t)n->n_in, sizeof *in) : few;
    Array *few_out[8] = {NULL}, **out = n->n_out > 8 ? pool_calloc(e->pool, (size_t)n->n_out, sizeof *out) : few_out;
    bool defined = false;
    e->ctx->origin = n->origin;
    for (int i = 0; i < n->n_in; i++)
        if (!(in[i] = value_array(e, n->in[i]))) return false;
    if (!eval_ops[n->op](e, n, in, out)) return false;
    e->ctx->origin = n->origin;
    for (int i = 0; i < n->n_out; i++) {
        if (!bind_shape(e, n->out[i]->type, out[i], op_info[n->op].name, &defined)) return false;
        e->val[n->out[i]->id] = out[i];
    }
    if ((defined || n->op == OP_READ_DIMS) && !check_constraints(e)) return false;
    for (int i = 0; i < n->n_in; i++) release_use(e, r, n->in[i]);
    for (int i = 0; i < n->n_region; i++) release_nested(e, r, n->region_at[i]);
    for (int i = 0; i < n->n_out; i++)
        if (!e->uses[n->out[i]->id] && !e->keep) drop(e, n->out[i]);
    return true;
}

/* results: new references. The arguments' references stay the caller's. */
static bool run_region(Eval *e, const Region *r, Array *const *args, Array **results)
{
    bool defined = r->guard != NULL;
    if (r->guard && !define(e, r->guard->sym, 1, "branch")) return false;
    for (int i = 0; i < r->params.n; i++) {
        const Value *v = r->params.at[i];
        if (!bind_shape(e, v->type, args[i], v->name ? v->name : "parameter", &defined)) return false;
        drop(e, v);
        e->val[v->id] = array_ref(args[i]);
        e->left[v->id] = e->uses[v->id];
    }
    if (defined && !check_constraints(e)) return false;
    for (int i = 0; i < r->nodes.n; i++)
        for (int k = 0; k < r->nodes.at[i]->n_out; k++) e->left[r->nodes.at[i]->out[k]->id] = e->uses[r->nodes.at[i]->out[k]->id];
    for (int i = 0; i < r->nodes.n; i++) {
        const Node *n = r->nodes.at[i];
        if (n->op != OP_CONST && !is_dead(e, n) && !run_node(e, r, n)) return false;
    }
    for (int i = 0; i < r->results.n; i++) {
        Array *a = value_array(e, r->results.at[i]);
        if (!a) return false;
        results[i] = array_ref(a);
    }
    if (r->guard) e->known[r->guard->sym->index] = false;
    for (int i = 0; i < r->params.n && !e->keep; i++) drop(e, r->params.at[i]);
    for (int i = 0; i < r->nodes.n && !e->keep; i++)
        for (int k = 0; k < r->nodes.at[i]->n_out; k++) drop(e, r->nodes.at[i]->out[k]);
    return true;
}

bool eval_if(Eval *e, const Node *n, Array *const *in, Array **out)
{
    if (in[0]->count != 1) return eval_fail(e, "if: the condition has %lld elements", (long long)in[0]->count);
    return run_region(e, n->region_at[in[0]->i[0] ? 0 : 1], NULL, out);
}

bool eval_call(Eval *e, const Node *n, Array *const *in, Array **out)
{
    return run_region(e, n->region_at[0], in, out);
}

bool eval_read_dims(Eval *e, const Node *n, Array *const *in, Array **out)
{
    (void)out;
    const Attr *values = node_attr(n, A_VALUES);
    for (int i = 0; values && i < values->n; i++) {
        const Dim *d = values->dims[i];
        int64_t v = in[0]->i[in[0]->splat ? 0 : i], have;
        if (d->kind == DIM_SYM) {
            if (!define(e, d->sym, v, "read_dims")) return false;
        } else if (dim_known(e, d) && dim_eval(d, e->sym, &have) && have != v) {
            return eval_fail(e, "read_dims: %lld where %s = %lld is expected", (long long)v, dim_to_string(e->ctx->pool, d),
                             (long long)have);
        }
    }
    return true;
}

/* Scanned values of all iterations, on a new first axis. */
static bool stack(Eval *e, int64_t count, Array *const *parts, Type t, Array **out)
{
    int64_t dim[DLVK_MAX_RANK] = {count};
    for (int i = 1; i < t.rank; i++) {
        dim[i] = 0;
        if (count)
            dim[i] = parts[0]->dim[i - 1];
        else if (dim_known(e, t.dim[i]) && !solve_dims(e, 1, &t.dim[i], &dim[i], false))
            return false;
    }
    Array *y = *out = array_new(e, t.dtype, t.rank, dim, false);
    for (int64_t k = 0; k < count; k++) {
        if (parts[k]->count * count != y->count || memcmp(parts[k]->dim, dim + 1, sizeof(int64_t) * (size_t)(t.rank - 1)) != 0)
            return eval_fail(e, "loop: a scanned value changed its shape in iteration %lld", (long long)k);
        char *to = (char *)y->data + (size_t)(k * parts[k]->count) * (size_t)y->esize;
        if (parts[k]->splat)
            box_fill(to, parts[k]->count, parts[k]->data, y->esize);
        else
            memcpy(to, parts[k]->data, (size_t)parts[k]->count * (size_t)y->esize);
    }
    return true;
}

bool eval_loop(Eval *e, const Node *n, Array *const *in, Array **out)
{
    const Region *body = n->region_at[0];
    int carried = n->n_in - 2, scanned = n->n_out - carried;
    if (in[0]->count != 1 || in[1]->count != 1) return eval_fail(e, "loop: trip count and condition must be single elements");
    int64_t trips = in[0]->i[0], k = 0;
    bool go_on = in[1]->i[0] != 0;
    bool *known = pool_dup(e->pool, e->known, (size_t)e->n_sym * sizeof *known);
    Array **args = POOL_ARRAY(e->pool, Array *, carried + 1), **results = POOL_ARRAY(e->pool, Array *, body->results.n);
    VEC(Array *) *scans = pool_calloc(e->pool, (size_t)scanned, sizeof *scans);
    for (int i = 0; i < carried; i++) args[i + 1] = array_ref(in[i + 2]);
    for (; k < trips && go_on; k++) {
        memcpy(e->known, known, (size_t)e->n_sym * sizeof *known);
        args[0] = array_new(e, DLVK_I64, 0, NULL, false);
        args[0]->i[0] = k;
        if (!run_region(e, body, args, results)) return false;
        array_unref(e, args[0]);
        go_on = results[0]->i[0] != 0;
        array_unref(e, results[0]);
        for (int i = 0; i < carried; i++) {
            array_unref(e, args[i + 1]);
            args[i + 1] = results[i + 1];
        }
        for (int i = 0; i < scanned; i++) *VEC_PUSH(e->pool, scans[i]) = results[carried + 1 + i];
    }
    for (int i = 0; i < carried; i++) out[i] = args[i + 1];
    for (int i = 0; i < scanned; i++) {
        if (!stack(e, k, scans[i].at, n->out[carried + i]->type, &out[carried + i])) return false;
        for (int64_t j = 0; j < k; j++) array_unref(e, scans[i].at[j]);
    }
    return true;
}

/* ---- entry points ------------------------------------------------------------------------------------------------ */

static void eval_end(Eval *e)
{
    while (e->arrays) {
        Array *a = e->arrays;
        e->arrays = a->next;
        if (!a->base && !a->borrowed) free(a->data);
        free(a);
    }
}

/* Runs `body` so that running out of memory, in the pool or outside of it, frees the arrays before it goes on to the pool's
 * handler. */
static bool with_eval(Eval *e, bool (*body)(Eval *, void *), void *user)
{
    jmp_buf here, *volatile outer = e->pool->oom;
    const Origin *volatile origin = e->ctx->origin;
    if (setjmp(here)) {
        e->pool->oom = outer;
        eval_end(e);
        e->ctx->origin = origin;
        if (!outer) abort();
        longjmp(*outer, 1);
    }
    e->oom = &here;
    e->pool->oom = &here;
    bool ok = body(e, user);
    e->pool->oom = outer;
    eval_end(e);
    e->ctx->origin = origin;
    return ok;
}

typedef struct GraphRun {
    const Graph *g;
    const Tensor *const *inputs;
    const Tensor **outputs, **values;
    bool keep_double;
} GraphRun;

static const Tensor *result_tensor(Eval *e, const GraphRun *run, const Array *a)
{
    return array_to_tensor(e, a, run->keep_double && array_is_float(a) ? DLVK_F64 : a->dtype);
}

static void eval_sizes(Eval *e, int n_values)
{
    e->n_sym = e->ctx->dims.symbols.n;
    e->n_val = n_values;
    e->sym = POOL_ARRAY(e->pool, int64_t, e->n_sym);
    e->known = POOL_ARRAY(e->pool, bool, e->n_sym);
    e->val = POOL_ARRAY(e->pool, Array *, n_values);
    e->uses = POOL_ARRAY(e->pool, int, n_values);
    e->left = POOL_ARRAY(e->pool, int, n_values);
}

static bool bind_input(Eval *e, const Value *v, const Array *a)
{
    bool defined = false;
    return bind_shape(e, v->type, a, pool_printf(e->ctx->pool, "input '%s'", v->name ? v->name : ""), &defined);
}

static bool run_graph(Eval *e, void *user)
{
    GraphRun *run = user;
    const Region *top = run->g->top;
    eval_sizes(e, run->g->n_values);
    count_uses(e, top);
    Array **args = POOL_ARRAY(e->pool, Array *, top->params.n), **results = POOL_ARRAY(e->pool, Array *, top->results.n);
    for (int i = 0; i < top->params.n; i++) {
        const Value *v = top->params.at[i];
        if (!run->inputs[i]) return eval_fail(e, "input '%s' is missing", v->name ? v->name : "");
        args[i] = array_from_tensor(e, run->inputs[i], false);
        if (!bind_input(e, v, args[i])) return false;
    }
    for (int i = 0; i < top->params.n; i++) /* again, now that every symbol is known */
        if (!bind_input(e, top->params.at[i], args[i])) return false;
    if (!check_constraints(e) || !run_region(e, top, args, results)) return false;
    for (int i = 0; i < top->results.n && run->outputs; i++) {
        Array *dense = array_dense(e, results[i]);
        run->outputs[i] = result_tensor(e, run, dense);
        array_unref(e, dense);
    }
    if (!run->values) return true;
    for (int i = 0; i < top->params.n; i++) run->values[top->params.at[i]->id] = result_tensor(e, run, args[i]);
    for (int i = 0; i < top->nodes.n; i++)
        for (int k = 0; k < top->nodes.at[i]->n_out; k++) {
            const Value *v = top->nodes.at[i]->out[k];
            const Array *a = value_array(e, v);
            run->values[v->id] = a ? result_tensor(e, run, a) : NULL;
        }
    return true;
}

bool graph_eval(const Graph *g, const Tensor *const *inputs, const Tensor **outputs, bool keep_double, Pool *pool)
{
    Eval e = {.ctx = g->ctx, .pool = pool};
    return with_eval(&e, run_graph, &(GraphRun){g, inputs, outputs, NULL, keep_double});
}

bool graph_eval_all(const Graph *g, const Tensor *const *inputs, const Tensor **values, bool keep_double, Pool *pool)
{
    Eval e = {.ctx = g->ctx, .pool = pool, .keep = true};
    return with_eval(&e, run_graph, &(GraphRun){g, inputs, NULL, values, keep_double});
}

typedef struct NodeRun {
    const Node *node;
    const Tensor *const *in;
    const Tensor **out;
} NodeRun;

/* Ops that look at no element of the operands whose bits are set. */
static unsigned moved_operands(const Node *n)
{
    switch (n->op) {
    case OP_RESHAPE:
    case OP_TRANSPOSE:
    case OP_BROADCAST:
    case OP_SLICE:
    case OP_PAD:
    case OP_REVERSE:
    case OP_CONCAT:
    case OP_STOP_GRADIENT:
    case OP_BARRIER: return ~0u;
    case OP_GATHER: return 1;
    default: return 0;
    }
}

static bool run_folding(Eval *e, void *user)
{
    NodeRun *run = user;
    const Node *n = run->node;
    e->n_sym = 0;
    unsigned moved = n->n_in && dtype_bits(n->in[0]->type.dtype) % 8 == 0 ? moved_operands(n) : 0;
    Array **in = POOL_ARRAY(e->pool, Array *, n->n_in), **out = POOL_ARRAY(e->pool, Array *, n->n_out);
    for (int i = 0; i < n->n_in; i++) {
        if (!run->in[i]) return false;
        in[i] = array_from_tensor(e, run->in[i], i < 32 ? moved >> i & 1 : moved != 0 && moved != 1);
    }
    e->in_pool = moved != 0;
    if (!eval_ops[n->op](e, n, in, out)) return false;
    for (int i = 0; i < n->n_out; i++) {
        bool defined = false;
        if (!bind_shape(e, n->out[i]->type, out[i], op_info[n->op].name, &defined)) return false;
        run->out[i] = array_to_tensor(e, out[i], out[i]->dtype);
    }
    return true;
}

static double elements(const Value *v)
{
    double count = 1;
    int64_t d;
    for (int i = 0; i < v->type.rank; i++)
        if (dim_is_const(v->type.dim[i], &d)) count *= (double)d;
    return count;
}

/* Whether computing n would take minutes, or gigabytes that no operand has taken before: a model could ask for it by a number. */
static bool takes_long(const Node *n)
{
    double work = n->n_out && elements(n->out[0]) > 1 ? elements(n->out[0]) : 1;
    int64_t v;
    const Attr *window = node_attr(n, A_WINDOW);
    for (int i = 0; i < n->n_in && n->op != OP_GATHER; i++) work = fmax(work, elements(n->in[i]));
    for (int i = 0; window && i < window->n; i++) work *= (double)window->ints[i];
    for (int a = 0; n->op == OP_CONV && a < n->in[1]->type.rank - 1; a++)
        if (dim_is_const(n->in[1]->type.dim[a], &v)) work *= (double)v;
    if (n->op == OP_DOT && dim_is_const(n->in[0]->type.dim[n->in[0]->type.rank - 1], &v)) work *= (double)v;
    return work > (n->op == OP_IOTA || n->op == OP_RANDOM ? 0x1p24 : 0x1p30);
}

bool node_eval(const Node *n, const Tensor *const *in, const Tensor **out, Pool *pool)
{
    if (n->n_region || n->op == OP_READ_DIMS || takes_long(n)) return false;
    for (int i = 0; i < n->n_out; i++)
        if (!type_static(n->out[i]->type, NULL)) return false;
    Eval e = {.ctx = n->parent->graph->ctx, .pool = pool, .quiet = true};
    return with_eval(&e, run_folding, &(NodeRun){n, in, out});
}
