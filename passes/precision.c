/* Mixed precision: values lie in memory as f16 or bf16, arithmetic stays float32.
 *
 * Where fusion would give a float32 value memory, the value is cast to the narrow type, which is what gets memory (`stored`, see
 * OP_CAST), and cast back where it is used. Kernels therefore compute in float32 from the first load to the last store, and round
 * nothing in between. Movement works on the narrow value, and the cast back follows behind it, so that a contraction's operand is
 * cast f32 <- (movement of) a narrow value: "narrow in, float32 accumulation" to code generation. Operands of contractions that
 * are not stored narrow anyway, as inputs and states are, get a narrow copy. Constants become narrow where they feed a
 * contraction or are large.
 *
 * Not touched: types other than float32, inputs and results of regions (a model's signature, states, what loops carry), what a
 * state's next value is computed from by pointwise code (so gradients of weights, and all of an optimizer: they shrink beneath
 * what f16 holds), and what the policy below or the caller (Precision.keep) wants in float32. f16 ends at 65504 and has 11 bits,
 * bf16 has float32's range and 8 bits; a value beyond the range becomes infinite.
 *
 * Requires: primitives. Keeps: types of inputs and results. Breaks: nothing. */
#include <fnmatch.h>
#include <math.h>
#include <string.h>

#include "ir/kernel.h"
#include "ir/view.h"
#include "passes/pass.h"
#include "passes/passes.h"

/* ---- policy -------------------------------------------------------------------------------------------------------- */

enum { OPERAND = 1, RESULT = 2 }; /* what stays float32; operands with everything pointwise that they are computed by */

typedef struct Rule {
    Op op;
    unsigned keeps;
    const char *why;
} Rule;

#define RELATIVE "an absolute error of the operand is a relative one of the result"
#define RANGE    "leaves f16's range"
#define STEP     "decides by the last bit of its operand"
#define SUM      "a sum or product over an axis"
#define SQUARE   "a square has twice the range"
static const Rule policy[] = {
    {OP_EXP, OPERAND | RESULT, RELATIVE},
    {OP_EXPM1, OPERAND | RESULT, RELATIVE},
    {OP_SINH, OPERAND | RESULT, RELATIVE},
    {OP_COSH, OPERAND | RESULT, RELATIVE},
    {OP_POW, OPERAND | RESULT, RELATIVE},
    {OP_SIN, OPERAND, RELATIVE},
    {OP_COS, OPERAND, RELATIVE},
    {OP_TAN, OPERAND | RESULT, RELATIVE},
    {OP_LOG, OPERAND, "an operand rounded to 0 becomes an infinity"},
    {OP_RSQRT, OPERAND | RESULT, RANGE},
    {OP_REM, OPERAND, STEP},
    {OP_MOD, OPERAND, STEP},
    {OP_FLOOR, OPERAND | RESULT, STEP},
    {OP_CEIL, OPERAND | RESULT, STEP},
    {OP_TRUNC, OPERAND | RESULT, STEP},
    {OP_ROUND, OPERAND | RESULT, STEP},
    {OP_EQ, OPERAND, STEP},
    {OP_NE, OPERAND, STEP},
    {OP_BITCAST, OPERAND | RESULT, STEP},
    {OP_SORT, OPERAND | RESULT, STEP},
    {OP_ARGREDUCE, OPERAND, STEP},
    {OP_CUMULATE, OPERAND | RESULT, SUM},
    {OP_REDUCE, RESULT, SUM},
    {OP_SCATTER, RESULT, SUM},
    {OP_DIMS, RESULT, "sizes are exact"},
    {OP_IOTA, RESULT, "indices are exact"},
    {OP_HOST, OPERAND | RESULT, "text shows every digit"},
    {OP_MUL, RESULT, SQUARE}, /* of a value by itself */
};

/* Rounding changes no sign, and so not what is equal to zero: the gradients of relu and its like ask for no more. */
static bool asks_for_zero(const Node *n)
{
    double x;
    for (int i = 0; i < n->n_in; i++)
        if (value_scalar(n->in[i], &x) && x == 0) return true;
    return false;
}

static const Rule *rule_of(const Node *n)
{
    if (n->op == OP_MUL && n->in[0] != n->in[1]) return NULL;
    if ((n->op == OP_EQ || n->op == OP_NE) && asks_for_zero(n)) return NULL;
    for (size_t i = 0; i < sizeof policy / sizeof *policy; i++)
        if (policy[i].op == n->op) return &policy[i];
    return NULL;
}

/* Bounded results, which are no further off than their operands: what comes before them may be narrow whatever comes behind. */
static bool stops(Op op)
{
    return op == OP_DOT || op == OP_CONV || op == OP_SIGMOID || op == OP_TANH || op == OP_ERF || op == OP_ATAN;
}

static bool is_movement(Op op)
{
    return op == OP_RESHAPE || op == OP_TRANSPOSE || op == OP_BROADCAST || op == OP_SLICE || op == OP_REVERSE;
}

/* Nodes through which an operand's error goes on to the result. */
static bool passes_on(const Node *n)
{
    if (op_info[n->op].point) return !stops(n->op);
    switch (n->op) {
    case OP_PAD:
    case OP_CONCAT:
    case OP_GATHER:
    case OP_CAST:
    case OP_BARRIER:
    case OP_STOP_GRADIENT: return true;
    case OP_REDUCE:
    case OP_WINDOW: return attr_i(n, A_KIND, 0) == KIND_MAX || attr_i(n, A_KIND, 0) == KIND_MIN;
    default: return is_movement(n->op);
    }
}

typedef struct Narrowing {
    const Precision *o;
    Graph *g;
    const char **keep; /* by old value id: why it stays float32; NULL: it need not */
    bool *range;       /* by old value id: and so does it as an operand of a contraction */
    bool *store;       /* by old value id: fusion would give it memory, and the pass makes that narrow */
    bool *operand;     /* by old value id: a contraction reads it, perhaps through movement */
    const int *uses;   /* by old value id */
    bool *wide_node;   /* by old node id: the caller wants the node in float32 */
} Narrowing;

static bool is_f32(const Value *v)
{
    return v->type.dtype == DLVK_F32;
}

static void keep_back(Narrowing *p, const Value *v, const char *why)
{
    if (!is_f32(v) || p->keep[v->id]) return;
    p->keep[v->id] = why;
    if (v->def && passes_on(v->def))
        for (int i = 0; i < v->def->n_in; i++) keep_back(p, v->def->in[i], why);
}

static bool wanted_wide(const Precision *o, const Node *n)
{
    for (int i = 0; i < o->n_keep; i++) {
        const char *k = o->keep[i];
        if (fnmatch(k, op_info[n->op].name, 0) == 0) return true;
        if (n->origin && n->origin->name && fnmatch(k, n->origin->name, 0) == 0) return true;
        if (n->origin && n->origin->op && fnmatch(k, n->origin->op, 0) == 0) return true;
    }
    return false;
}

static const Value *below_movement(const Value *v)
{
    while (v->def && is_movement(v->def->op)) v = v->def->in[0];
    return v;
}

static void keep_one(Narrowing *p, const Value *v, const char *why)
{
    if (!p->keep[v->id]) p->keep[v->id] = why;
}

static void apply_policy(Narrowing *p, const Region *r)
{
    for (int i = 0; i < r->params.n; i++) keep_one(p, r->params.at[i], "comes from outside");
    for (int i = 0; i < r->results.n; i++) {
        const Value *v = r->results.at[i];
        keep_one(p, v, "a result");
        /* What a result is but another shape of lies in the same memory. */
        while (v->def && v->def->op == OP_RESHAPE && p->uses[v->def->in[0]->id] == 1) keep_one(p, v = v->def->in[0], "a result");
    }
    for (int i = r->nodes.n - 1; i >= 0; i--) {
        const Node *n = r->nodes.at[i];
        const Rule *rule = rule_of(n);
        for (int k = 0; k < n->n_region; k++) apply_policy(p, n->region_at[k]);
        for (int k = 0; k < n->n_in; k++) {
            const Value *v = n->in[k];
            if (rule && (rule->keeps & OPERAND)) keep_back(p, v, rule->why);
            if (n->op == OP_CAST && dtype_is_int(n->out[0]->type.dtype)) keep_back(p, v, STEP);
            if (n->n_region) keep_one(p, v, "goes into a branch or loop");
        }
        for (int k = 0; k < n->n_out; k++) {
            bool sum = n->op != OP_REDUCE || (attr_i(n, A_KIND, 0) != KIND_MAX && attr_i(n, A_KIND, 0) != KIND_MIN);
            if (rule && (rule->keeps & RESULT) && sum) {
                keep_one(p, n->out[k], rule->why);
                p->range[n->out[k]->id] = n->op != OP_REDUCE && n->op != OP_SCATTER;
            }
            if (n->op == OP_LOOP || n->op == OP_IF || n->op == OP_BARRIER || n->op == OP_COMPACT)
                keep_one(p, n->out[k], "stored as it comes");
        }
        p->wide_node[n->id] = wanted_wide(p->o, n);
        for (int k = 0; p->wide_node[n->id] && k < n->n_in; k++) p->keep[n->in[k]->id] = "asked for";
        for (int k = 0; p->wide_node[n->id] && k < n->n_out; k++) p->keep[n->out[k]->id] = "asked for";
        if ((n->op == OP_DOT || n->op == OP_CONV) && !p->wide_node[n->id] && is_f32(n->out[0]))
            for (int k = 0; k < 2; k++) p->operand[below_movement(n->in[k])->id] = true;
    }
}

/* ---- constants ----------------------------------------------------------------------------------------------------- */

enum { LARGE = 4096 }; /* elements from which a constant is worth narrowing for its bytes alone */

static const Tensor *narrowed(Context *c, const Tensor *t, DType to)
{
    int64_t bytes = dtype_bytes(to, t->count);
    void *data = pool_alloc(c->pool, (size_t)bytes);
    if (!floats_narrow(to, t->data, t->count, data)) return NULL;
    return tensor_new(c->pool, to, t->rank, t->dim, data);
}

static const Tensor *narrow_const(const Narrowing *p, const Value *v)
{
    const Tensor *t;
    if (!is_f32(v) || !value_const(v, &t) || t->splat || t->count < 2) return NULL;
    bool operand = p->operand[v->id];
    if (p->keep[v->id] ? !operand || !strcmp(p->keep[v->id], "asked for") : !operand && t->count < LARGE) return NULL;
    return narrowed(p->g->ctx, t, p->o->storage);
}

/* ---- rewriting ----------------------------------------------------------------------------------------------------- */

/* x, stored as a narrow value of its own. */
static Value *narrow_copy(Rewrite *rw, Value *x)
{
    const Narrowing *p = rw->user;
    Build b = rw->b;
    b.at = x->region;
    const Attr attr[] = {at_i(A_DTYPE, p->o->storage), at_i(A_STORED, 1)};
    return build_op(&b, OP_CAST, 1, &x, 2, attr);
}

/* x as a narrow value, beside its definition: what it was widened from, a narrow constant, or a stored copy. */
static Value *narrow_of(Rewrite *rw, Value *x)
{
    if (!x || value_widened(x)) return x ? x->def->in[0] : NULL;
    Build b = rw->b;
    b.at = x->region;
    if (x->def && is_movement(x->def->op)) {
        Value *y = narrow_of(rw, x->def->in[0]);
        return build_op(&b, x->def->op, 1, &y, x->def->n_attr, x->def->attr);
    }
    return narrow_copy(rw, x);
}

/* An input that is wanted in another order, and nowhere else: its copy may as well be made in that, by one kernel. */
static bool copied_in_place(const Narrowing *p, const Value *v)
{
    bool turned = false;
    for (; v->def && is_movement(v->def->op); v = v->def->in[0]) {
        if (v->def->op == OP_BROADCAST || p->uses[v->id] != 1) return false;
        turned |= v->def->op == OP_TRANSPOSE;
    }
    return turned && !v->def && p->uses[v->id] == 1;
}

static Value *widen(Rewrite *rw, Value *x)
{
    return x ? build_cast(&rw->b, x, DLVK_F32) : NULL;
}

/* Movement of narrow values: the same on what they were widened from. */
static bool move_narrow(Rewrite *rw, const Node *old, Value *const *in, Value **out)
{
    const Narrowing *p = rw->user;
    int n = old->op == OP_CONCAT ? old->n_in : 1;
    double fill;
    if (!is_movement(old->op) && old->op != OP_CONCAT && old->op != OP_PAD && old->op != OP_GATHER) return false;
    Value **x = POOL_ARRAY(rw->dst->ctx->pool, Value *, old->n_in);
    for (int i = 0; i < old->n_in; i++) x[i] = in[i];
    for (int i = 0; i < n; i++) {
        if (!value_widened(in[i]) || in[i]->def->in[0]->type.dtype != p->o->storage) return false;
        x[i] = in[i]->def->in[0];
    }
    if (old->op == OP_PAD) {
        if (!value_scalar(in[1], &fill) || (isfinite(fill) && !isfinite(dtype_round_f(p->o->storage, fill, false)))) return false;
        x[1] = build_scalar(&rw->b, p->o->storage, fill);
    }
    out[0] = widen(rw, build_op(&rw->b, old->op, old->n_in, x, old->n_attr, old->attr));
    return true;
}

/* What an operand of a contraction is a multiple of, if that is narrow already: the number is left for the result, so that no
 * copy is made for its sake. */
static Value *without_factor(Value *x, double *factor)
{
    double c = 1;
    Value *y = x->def && x->def->op == OP_MUL ? view_step(x, &c) : NULL;
    if (!y || !value_widened(y) || !type_same_shape(y->type, x->type)) return x;
    *factor *= c;
    return y;
}

static bool narrow(Rewrite *rw, const Node *old, Value *const *in, Value **out)
{
    const Narrowing *p = rw->user;
    const Value *v = old->n_out == 1 ? old->out[0] : NULL;
    if (!v || old->n_region || !is_f32(v)) return false;
    if (old->op == OP_CONST) {
        const Tensor *t = narrow_const(p, v);
        if (t) out[0] = widen(rw, build_const(&rw->b, t));
        return t != NULL;
    }
    if (move_narrow(rw, old, in, out)) return true;
    Value *x[2] = {in[0], old->n_in > 1 ? in[1] : NULL};
    bool contraction = (old->op == OP_DOT || old->op == OP_CONV) && !p->wide_node[old->id];
    double factor = 1;
    for (int k = 0; contraction && k < 2; k++) {
        const Value *root = below_movement(old->in[k]);
        x[k] = without_factor(in[k], &factor);
        bool decided = value_const(root, NULL); /* narrow where that is possible */
        if (!is_f32(x[k]) || p->range[root->id] || decided) continue;
        x[k] = widen(rw, copied_in_place(p, old->in[k]) ? narrow_copy(rw, x[k]) : narrow_of(rw, x[k]));
    }
    if (!contraction && !p->store[v->id]) return false;
    out[0] = build_op(&rw->b, old->op, old->n_in, contraction ? x : in, old->n_attr, old->attr);
    if (factor != 1) out[0] = build_map2s(&rw->b, OP_MUL, out[0], factor);
    if (p->store[v->id]) out[0] = widen(rw, copied_in_place(p, v) ? narrow_copy(rw, out[0]) : narrow_of(rw, out[0]));
    return true;
}

/* ---- telling ------------------------------------------------------------------------------------------------------- */

static void print_values(const Narrowing *p, const Schedule *s, const Region *r)
{
    FILE *f = p->o->log;
    for (int i = 0; i < r->nodes.n; i++) {
        const Node *n = r->nodes.at[i];
        for (int k = 0; k < n->n_region; k++) print_values(p, s, n->region_at[k]);
        for (int k = 0; k < n->n_out; k++) {
            const Value *v = n->out[k];
            if (!is_f32(v) || !s->materialized[v->id] || s->alias[v->id]) continue;
            bool narrow = p->store[v->id] || (n->op == OP_CONST && narrow_const(p, v));
            const char *why = narrow ? "" : p->keep[v->id] ? p->keep[v->id] : "one number, small, or beyond the range";
            fprintf(f, "  %-5s %-10s %-28s %s (%s)%s%s\n", narrow ? dtype_name(p->o->storage) : "f32", op_info[n->op].name,
                    type_to_string(p->g->ctx->pool, v->type), n->origin && n->origin->name ? n->origin->name : "",
                    n->origin && n->origin->op ? n->origin->op : "", *why ? ": " : "", why);
        }
    }
}

static void print_policy(const Narrowing *p, const Schedule *s)
{
    FILE *f = p->o->log;
    const char *to = dtype_name(p->o->storage);
    fprintf(f, "precision %s: float32 arithmetic on values stored as %s, but for\n", to, to);
    for (size_t i = 0; i < sizeof policy / sizeof *policy; i++) {
        const Rule *r = &policy[i];
        fprintf(f, "  %-10s %s: %s\n", op_info[r->op].name,
                r->keeps == RESULT    ? "results"
                : r->keeps == OPERAND ? "operands"
                                      : "operands and results",
                r->why);
    }
    for (int i = 0; i < p->o->n_keep; i++) fprintf(f, "  nodes like '%s': asked for\n", p->o->keep[i]);
    fprintf(f, "values in memory:\n");
    print_values(p, s, p->g->top);
}

/* ---- the pass ------------------------------------------------------------------------------------------------------ */

static void choose(Narrowing *p, const Schedule *s, const Region *r)
{
    for (int i = 0; i < r->nodes.n; i++) {
        const Node *n = r->nodes.at[i];
        for (int k = 0; k < n->n_region; k++) choose(p, s, n->region_at[k]);
        for (int k = 0; k < n->n_out && n->op != OP_CONST; k++) {
            const Value *v = n->out[k];
            p->store[v->id] = is_f32(v) && s->materialized[v->id] && !s->alias[v->id] && !p->keep[v->id] && n->n_out == 1;
        }
    }
}

Graph *pass_precision(Graph *g)
{
    Context *c = g->ctx;
    if (!c->precision) return g;
    g = graph_rewrite(g, NULL, NULL, true); /* fusion shall see what is live, once */
    if (!g) return NULL;
    Narrowing p = {.o = c->precision, .g = g};
    p.keep = POOL_ARRAY(c->pool, const char *, g->n_values);
    p.range = POOL_ARRAY(c->pool, bool, g->n_values);
    p.store = POOL_ARRAY(c->pool, bool, g->n_values);
    p.operand = POOL_ARRAY(c->pool, bool, g->n_values);
    p.wide_node = POOL_ARRAY(c->pool, bool, g->n_nodes);
    p.uses = graph_use_counts(g);
    for (int i = 0; i < g->n_states; i++) keep_back(&p, g->top->results.at[g->top->results.n - 1 - i], "what a state becomes");
    apply_policy(&p, g->top);
    const Schedule *s = schedule_build(g, true);
    choose(&p, s, g->top);
    if (p.o->log) print_policy(&p, s);
    return graph_rewrite(g, narrow, &p, true);
}
