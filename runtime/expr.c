/* Expressions: evaluation without overflow, solving for symbols, printing. */
#include "runtime/expr.h"
#include "runtime/error.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef Dlvk__Plan__Expr Expr;
typedef Dlvk__Plan__Plan Plan;
#define OP(x) DLVK__PLAN__EXPR__OP__##x

dlvk_status rt_env_init(Env *e, const Plan *plan, dlvk_error *err)
{
    *e = (Env){.plan = plan,
               .symbol = calloc(plan->n_symbol + 1, sizeof *e->symbol),
               .known = calloc(plan->n_symbol + 1, sizeof *e->known),
               .origin = calloc(plan->n_symbol + 1, sizeof *e->origin),
               .value = calloc(plan->n_expr + 1, sizeof *e->value),
               .state = calloc(plan->n_expr + 1, sizeof *e->state)};
    if (!e->symbol || !e->known || !e->origin || !e->value || !e->state) {
        rt_env_free(e);
        return rt_error(err, DLVK_OUT_OF_MEMORY, "out of memory");
    }
    rt_env_update(e);
    return DLVK_OK;
}

static void forget_all(Env *e)
{
    for (size_t i = 0; i < e->plan->n_symbol; i++) {
        e->known[i] = false;
        free(e->origin[i]);
        e->origin[i] = NULL;
    }
}

void rt_env_free(Env *e)
{
    if (e->origin) forget_all(e);
    free(e->symbol);
    free(e->known);
    free(e->origin);
    free(e->value);
    free(e->state);
    *e = (Env){0};
}

static int64_t floordiv(int64_t a, int64_t b)
{
    return a / b - (a % b != 0 && (a < 0) != (b < 0));
}

static ExprState apply(int op, int64_t a, int64_t b, int64_t *v)
{
    switch (op) {
    case OP(ADD): return __builtin_add_overflow(a, b, v) ? EXPR_OVERFLOW : EXPR_KNOWN;
    case OP(SUB): return __builtin_sub_overflow(a, b, v) ? EXPR_OVERFLOW : EXPR_KNOWN;
    case OP(MUL): return __builtin_mul_overflow(a, b, v) ? EXPR_OVERFLOW : EXPR_KNOWN;
    case OP(MIN): *v = a < b ? a : b; return EXPR_KNOWN;
    case OP(MAX): *v = a > b ? a : b; return EXPR_KNOWN;
    default: break;
    }
    if (b == 0) return EXPR_DIV_ZERO;
    if (a == INT64_MIN && b == -1) return EXPR_OVERFLOW;
    int64_t q = floordiv(a, b);
    *v = op == OP(FLOORDIV) ? q : op == OP(MOD) ? a - b * q : q + (a % b != 0);
    return EXPR_KNOWN;
}

void rt_env_update(Env *e)
{
    for (size_t i = 0; i < e->plan->n_expr; i++) {
        const Expr *x = e->plan->expr[i];
        if (x->op == OP(CONST)) {
            e->value[i] = x->value;
            e->state[i] = EXPR_KNOWN;
        } else if (x->op == OP(SYMBOL)) {
            e->value[i] = e->symbol[x->symbol];
            e->state[i] = e->known[x->symbol] ? EXPR_KNOWN : EXPR_UNKNOWN;
        } else if (e->state[x->a] != EXPR_KNOWN || e->state[x->b] != EXPR_KNOWN) {
            e->state[i] = e->state[x->a] != EXPR_KNOWN ? e->state[x->a] : e->state[x->b];
        } else {
            e->state[i] = (uint8_t)apply((int)x->op, e->value[x->a], e->value[x->b], &e->value[i]);
        }
    }
}

dlvk_status rt_env_get(const Env *e, uint32_t expr, const char *what, int64_t *value, dlvk_error *err)
{
    if (e->state[expr] == EXPR_KNOWN) {
        *value = e->value[expr];
        return DLVK_OK;
    }
    char text[256];
    rt_expr_print(e->plan, expr, text, sizeof text);
    return rt_error(err, e->state[expr] == EXPR_UNKNOWN ? DLVK_BAD_FILE : DLVK_INVALID_ARGUMENT, "%s: %s %s", what, text,
                    e->state[expr] == EXPR_OVERFLOW   ? "exceeds 64 bits for these input shapes"
                    : e->state[expr] == EXPR_DIV_ZERO ? "divides by zero for these input shapes"
                                                      : "depends on a size that is not known at this point");
}

/* ---- solving ----------------------------------------------------------------------------------------------------- */

typedef enum Solve { SOLVED, LATER, CONFLICT } Solve;

/* Makes expression `i` equal v by defining the one unknown symbol in it, through sums, differences and products with known
 * operands. */
static Solve solve(Env *e, uint32_t i, int64_t v, const char *origin)
{
    for (;;) {
        const Expr *x = e->plan->expr[i];
        if (e->state[i] == EXPR_KNOWN) return e->value[i] == v ? SOLVED : CONFLICT;
        if (e->state[i] != EXPR_UNKNOWN) return CONFLICT;
        if (x->op == OP(SYMBOL)) {
            if (e->plan->symbol[x->symbol]->data) return LATER;
            e->symbol[x->symbol] = v;
            e->known[x->symbol] = true;
            e->origin[x->symbol] = strdup(origin);
            return SOLVED;
        }
        bool left = e->state[x->a] == EXPR_KNOWN; /* then the symbol is on the right */
        if (!left && e->state[x->b] != EXPR_KNOWN) return LATER;
        int64_t k = e->value[left ? x->a : x->b];
        if (x->op == OP(ADD)) {
            if (__builtin_sub_overflow(v, k, &v)) return CONFLICT;
        } else if (x->op == OP(SUB)) {
            if (left ? __builtin_sub_overflow(k, v, &v) : __builtin_add_overflow(v, k, &v)) return CONFLICT;
        } else if (x->op == OP(MUL) && k != 0) {
            if (k == -1 ? v == INT64_MIN : v % k != 0) return CONFLICT;
            v /= k;
        } else {
            return LATER;
        }
        i = left ? x->b : x->a;
    }
}

/* " (with batch = 2, dimension 0 of input 'x'; ...)" for the symbols in an expression, for messages. */
static void print_symbols(const Env *e, const uint32_t *expr, int n, char *buf, size_t size)
{
    bool *mark = calloc(e->plan->n_expr + 1, 1);
    size_t at = 0;
    buf[0] = 0;
    if (!mark) return;
    uint32_t top = 0;
    for (int i = 0; i < n; i++) mark[expr[i]] = true, top = expr[i] > top ? expr[i] : top;
    for (uint32_t i = top + 1; i-- > 0;) {
        const Expr *x = e->plan->expr[i];
        if (!mark[i] || x->op == OP(CONST)) continue;
        if (x->op != OP(SYMBOL)) {
            mark[x->a] = mark[x->b] = true;
        } else if (e->known[x->symbol] && at < size) {
            at += (size_t)snprintf(buf + at, size - at, "%s%s = %" PRId64 "%s%s", at ? "; " : " with ",
                                   e->plan->symbol[x->symbol]->name, e->symbol[x->symbol], e->origin[x->symbol] ? ", " : "",
                                   e->origin[x->symbol] ? e->origin[x->symbol] : "");
        }
    }
    free(mark);
}

static dlvk_status dim_error(const Env *e, const Dlvk__Plan__Tensor *t, size_t d, int64_t got, dlvk_error *err)
{
    char text[256], with[512];
    rt_expr_print(e->plan, t->dim[d], text, sizeof text);
    print_symbols(e, &t->dim[d], 1, with, sizeof with);
    if (e->state[t->dim[d]] == EXPR_KNOWN)
        return rt_error(err, DLVK_INVALID_ARGUMENT, "input '%s': dimension %zu is %" PRId64 ", the model wants %s%s%" PRId64 "%s",
                        t->name, d, got, e->plan->expr[t->dim[d]]->op == OP(CONST) ? "" : text,
                        e->plan->expr[t->dim[d]]->op == OP(CONST) ? "" : " = ", e->value[t->dim[d]], with);
    return rt_error(err, DLVK_INVALID_ARGUMENT, "input '%s': dimension %zu is %" PRId64 ", but the model wants %s%s", t->name, d,
                    got, text, with);
}

static dlvk_status bounds_ok(const Env *e, uint32_t s, dlvk_error *err)
{
    const Dlvk__Plan__Symbol *sym = e->plan->symbol[s];
    if (e->symbol[s] >= sym->lo && e->symbol[s] <= sym->hi) return DLVK_OK;
    return rt_error(err, DLVK_INVALID_ARGUMENT, "%s = %" PRId64 "%s%s%s is outside of the model's range, %" PRId64 " to %" PRId64,
                    sym->name, e->symbol[s], e->origin[s] ? " (" : "", e->origin[s] ? e->origin[s] : "", e->origin[s] ? ")" : "",
                    sym->lo, sym->hi);
}

dlvk_status rt_env_check_constraints(const Env *e, dlvk_error *err)
{
    for (size_t i = 0; i < e->plan->n_constraint; i++) {
        const Dlvk__Plan__Constraint *c = e->plan->constraint[i];
        if (e->state[c->a] == EXPR_UNKNOWN || e->state[c->b] == EXPR_UNKNOWN) continue;
        int64_t a, b;
        dlvk_status st = rt_env_get(e, c->a, c->why, &a, err);
        if (!st) st = rt_env_get(e, c->b, c->why, &b, err);
        if (st) return st;
        bool eq = c->kind == DLVK__PLAN__CONSTRAINT__KIND__EQ;
        if (eq ? a == b : a <= b) continue;
        char ta[256], tb[256], with[512];
        print_symbols(e, (uint32_t[]){c->a, c->b}, 2, with, sizeof with);
        return rt_error(
            err, DLVK_INVALID_ARGUMENT,
            "the inputs' sizes do not fit together: %s %s %s must hold, but they are %" PRId64 " and %" PRId64 "%s%s%s%s",
            rt_expr_print(e->plan, c->a, ta, sizeof ta), eq ? "==" : "<=", rt_expr_print(e->plan, c->b, tb, sizeof tb), a, b,
            with, c->why[0] ? " (" : "", c->why, c->why[0] ? ")" : "");
    }
    return DLVK_OK;
}

static dlvk_status solve_all(Env *e, const int64_t *const *shape, dlvk_error *err)
{
    const Plan *p = e->plan;
    bool again = true;
    forget_all(e);
    rt_env_update(e);
    while (again) { /* until a pass over the dims defines nothing more */
        again = false;
        for (size_t i = 0; i < p->n_input; i++) {
            for (size_t d = 0; d < p->input[i]->n_dim; d++) {
                uint32_t x = p->input[i]->dim[d];
                bool open = e->state[x] == EXPR_UNKNOWN;
                char origin[160];
                snprintf(origin, sizeof origin, "dimension %zu of input '%.100s'", d, p->input[i]->name);
                Solve s = solve(e, x, shape[i][d], origin);
                if (s == CONFLICT) return dim_error(e, p->input[i], d, shape[i][d], err);
                if (s == SOLVED && open) {
                    rt_env_update(e);
                    again = true;
                }
            }
        }
    }
    for (uint32_t s = 0; s < p->n_symbol; s++) {
        if (p->symbol[s]->data) continue;
        if (!e->known[s])
            return rt_error(err, DLVK_INVALID_ARGUMENT, "the inputs' shapes do not determine the size '%s'", p->symbol[s]->name);
        dlvk_status st = bounds_ok(e, s, err);
        if (st) return st;
    }
    return rt_env_check_constraints(e, err);
}

dlvk_status rt_env_solve(Env *e, const int64_t *const *shape, dlvk_error *err)
{
    dlvk_status st = solve_all(e, shape, err);
    if (st) {
        forget_all(e);
        rt_env_update(e);
    }
    return st;
}

dlvk_status rt_env_define(Env *e, uint32_t symbol, int64_t value, dlvk_error *err)
{
    e->symbol[symbol] = value;
    e->known[symbol] = true;
    return bounds_ok(e, symbol, err);
}

void rt_env_forget(Env *e, uint32_t symbol)
{
    e->known[symbol] = false;
}

void rt_env_forget_data(Env *e)
{
    for (size_t i = 0; i < e->plan->n_symbol; i++)
        if (e->plan->symbol[i]->data) e->known[i] = false;
    rt_env_update(e);
}

void rt_expr_data_deps(const Plan *p, bool *dep)
{
    for (size_t i = 0; i < p->n_expr; i++) {
        const Expr *x = p->expr[i];
        dep[i] = x->op == OP(CONST) ? false : x->op == OP(SYMBOL) ? p->symbol[x->symbol]->data != 0 : dep[x->a] || dep[x->b];
    }
}

/* ---- printing ---------------------------------------------------------------------------------------------------- */

typedef struct Text {
    const Plan *plan;
    char *at, *end; /* end: of the room, the terminator included */
} Text;

static void put(Text *t, const char *s)
{
    size_t n = strlen(s), room = (size_t)(t->end - t->at) - 1;
    if (n > room) n = room;
    memcpy(t->at, s, n);
    t->at += n;
    *t->at = 0;
}

static int level(int op)
{
    return op == OP(ADD) || op == OP(SUB) ? 1 : op == OP(CONST) || op == OP(SYMBOL) || op == OP(MIN) || op == OP(MAX) ? 3 : 2;
}

/* An expression is a graph, so its text may be far longer than the plan; every call ends once the room is used up, and each leaf
 * uses some. */
static void print(Text *t, uint32_t i, int outer, int depth)
{
    const Expr *x = t->plan->expr[i];
    if (t->end - t->at <= 1) return;
    if (depth > 200) {
        put(t, "...");
        return;
    }
    int mine = level((int)x->op);
    char number[24];
    bool call = x->op == OP(MIN) || x->op == OP(MAX) || x->op == OP(CEILDIV);
    const char *sign = x->op == OP(ADD)        ? "+"
                       : x->op == OP(SUB)      ? "-"
                       : x->op == OP(MUL)      ? "*"
                       : x->op == OP(FLOORDIV) ? "/"
                                               : "%";
    if (x->op == OP(CONST)) {
        snprintf(number, sizeof number, "%" PRId64, x->value);
        put(t, number);
    } else if (x->op == OP(SYMBOL)) {
        put(t, t->plan->symbol[x->symbol]->name[0] ? t->plan->symbol[x->symbol]->name : "?");
    } else if (call) {
        put(t, x->op == OP(MIN) ? "min(" : x->op == OP(MAX) ? "max(" : "ceildiv(");
        print(t, x->a, 0, depth + 1);
        put(t, ",");
        print(t, x->b, 0, depth + 1);
        put(t, ")");
    } else {
        if (mine < outer) put(t, "(");
        print(t, x->a, mine, depth + 1);
        put(t, sign);
        bool chain = t->plan->expr[x->b]->op == x->op && (x->op == OP(ADD) || x->op == OP(MUL));
        print(t, x->b, chain ? mine : mine + 1, depth + 1);
        if (mine < outer) put(t, ")");
    }
}

char *rt_expr_print(const Plan *plan, uint32_t expr, char *buf, size_t size)
{
    buf[0] = 0;
    print(&(Text){plan, buf, buf + size}, expr, 0, 0);
    return buf;
}
