/* How far ahead queries see, where masks tell when compiling, so that blocks of keys can be left out. */
#include "codegen/attention.h"

#include <math.h>

/* What hides a key however large its product is: what is added to it, and what it is set to. */
#define ADDED (-1e30)
#define SET   (-6e4)

/* A value that scores depend on, and its axes along which their queries and keys are counted; -1: it is the same for all. */
typedef struct At {
    const Value *v;
    int m, n;
} At;

static At operand(At a, int i)
{
    return (At){a.v->def->in[i], a.m, a.n};
}

/* The axis of x that `axis` of y comes from when x is reshaped to y, where that only adds or drops axes of 1. */
static bool unreshaped(Type x, Type y, int *axis)
{
    int i = 0, found = -1;
    for (int k = 0; k < y.rank; k++) {
        if (dim_is(y.dim[k], 1)) continue;
        while (i < x.rank && dim_is(x.dim[i], 1)) i++;
        if (i == x.rank || x.dim[i] != y.dim[k]) return false;
        if (k == *axis) found = i;
        i++;
    }
    *axis = found;
    return true;
}

static bool exact(DType t)
{
    return t == DLVK_I32 || t == DLVK_I64 || t == DLVK_F32 || t == DLVK_F64;
}

/* What a's elements are taken from; whole: without having been narrowed. */
static At source(At a, bool whole)
{
    for (; a.v->def; a = operand(a, 0)) {
        const Node *n = a.v->def;
        if (n->op == OP_RESHAPE) {
            if (!unreshaped(n->in[0]->type, a.v->type, &a.m) || !unreshaped(n->in[0]->type, a.v->type, &a.n)) break;
        } else if (n->op == OP_BROADCAST) {
            if (a.m >= 0 && dim_is(n->in[0]->type.dim[a.m], 1)) a.m = -1;
            if (a.n >= 0 && dim_is(n->in[0]->type.dim[a.n], 1)) a.n = -1;
        } else if (n->op != OP_CAST || (whole && !exact(a.v->type.dtype))) {
            break;
        }
    }
    return a;
}

/* Whether a's elements are the number of their query (`of_key`: their key), plus *plus. */
static bool counts(At a, bool of_key, int64_t *plus)
{
    double c;
    a = source(a, true);
    const Node *n = a.v->def;
    if (!n || !exact(a.v->type.dtype)) return false;
    if (n->op == OP_IOTA) {
        *plus = 0;
        return attr_i(n, A_AXIS, 0) == (of_key ? a.n : a.m);
    }
    if ((n->op != OP_ADD && n->op != OP_SUB) || !value_scalar(n->in[1], &c) || !(c >= -1e6 && c <= 1e6) || c != floor(c))
        return false;
    if (!counts(operand(a, 0), of_key, plus)) return false;
    *plus += n->op == OP_ADD ? (int64_t)c : -(int64_t)c;
    return true;
}

static int64_t nearer(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static int64_t farther(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

/* How far ahead elements of a constant are above x; x is NaN: are not 0. */
static int64_t constant(At a, const Tensor *t, double x)
{
    int64_t far = -ATTEND_FAR, stride_m = 1, stride_n = 1;
    if (a.m < 0 || a.n < 0 || t->splat || t->count > 1 << 24) return ATTEND_FAR;
    for (int i = t->rank - 1; i > a.m; i--) stride_m *= t->dim[i];
    for (int i = t->rank - 1; i > a.n; i--) stride_n *= t->dim[i];
    for (int64_t i = 0; i < t->count; i++)
        if (isnan(x) ? elem_get_f(t->dtype, t->data, i) != 0 : !(elem_get_f(t->dtype, t->data, i) <= x))
            far = farther(far, i / stride_n % t->dim[a.n] - i / stride_m % t->dim[a.m]);
    return far;
}

/* The bool a is `truth` at most where the key's number is at most the query's plus what is returned. */
static int64_t where_is(At a, bool truth)
{
    const Tensor *t;
    double c;
    if (value_scalar(a.v, &c)) return (c != 0) == truth ? ATTEND_FAR : -ATTEND_FAR;
    a = source(a, true);
    const Node *n = a.v->def;
    if (!n) return ATTEND_FAR;
    if (value_const(a.v, &t)) return truth ? constant(a, t, NAN) : ATTEND_FAR;
    Op op = n->op;
    if (op == OP_CAST && a.v->type.dtype == DLVK_BOOL) return where_is(operand(a, 0), truth);
    if (a.v->type.dtype != DLVK_BOOL && (op == OP_NOT || op == OP_AND || op == OP_OR)) return ATTEND_FAR; /* bit by bit */
    if (op == OP_NOT) return where_is(operand(a, 0), !truth);
    if (op == OP_AND || op == OP_OR) {
        int64_t x = where_is(operand(a, 0), truth), y = where_is(operand(a, 1), truth);
        return (op == OP_AND) == truth ? nearer(x, y) : farther(x, y);
    }
    if (op != OP_LT && op != OP_LE && op != OP_GT && op != OP_GE) return ATTEND_FAR;
    bool less = (op == OP_LT || op == OP_LE) == truth, equal = (op == OP_LE || op == OP_GE) == truth;
    int64_t key, query;
    if (!counts(operand(a, !less), true, &key) || !counts(operand(a, less), false, &query)) return ATTEND_FAR;
    return query - key - !equal;
}

/* a's elements are above x at most where where_is says. */
static int64_t above(const Attend *t, At a, double x)
{
    const Tensor *c;
    double y;
    a = source(a, false);
    const Node *n = a.v->def;
    if (!n || a.v == t->a->qk->out[0]) return ATTEND_FAR;
    if (value_const(a.v, &c)) return constant(a, c, x);
    if (n->op == OP_ADD) return nearer(above(t, operand(a, 0), ADDED), above(t, operand(a, 1), ADDED));
    if (n->op != OP_SELECT) return ATTEND_FAR;
    int64_t far[2];
    for (int i = 0; i < 2; i++) {
        far[i] = where_is(operand(a, 0), i == 0);
        if (value_scalar(n->in[1 + i], &y))
            far[i] = y <= x ? -ATTEND_FAR : far[i];
        else
            far[i] = nearer(far[i], above(t, operand(a, 1 + i), x));
    }
    return farther(far[0], far[1]);
}

int64_t attend_ahead(const Attend *t)
{
    int rank = t->a->scores->type.rank;
    return above(t, (At){t->a->scores, rank - 2, rank - 1}, SET);
}
