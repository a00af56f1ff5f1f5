/* Dimension expressions: the table, the canonical form, and the operators that keep it.
 *
 * The form is a sum of products, multiplied out: a sum's terms are distinct products of atoms (symbols, quotients, remainders,
 * minima, maxima) with a constant factor, ordered by falling degree and then by the structural order of their atoms, which does
 * not depend on when a dim was made. Hence (a+b)-b is a, 2*a-a is a, and (a+1)*b - b is a*b, as pointers.
 *
 * Quotients shed what divides exactly, then common factors: (a*b)/b is a, (4*a+6)/4 is a+1. Cancelling takes the divisor to be
 * nonzero: where it is zero the original has no value. A negative leading numerator over a constant is turned round, so that
 * -floor(-a/s) and (a+s-1)/s are one expression; quotients of quotients by constants merge; what the bounds decide is folded.
 *
 * Where a sum would have too many terms or a factor overflows, the operation stays as an unfolded node of two arguments. */
#include "ir/dim.h"

#include <stdlib.h>
#include <string.h>

enum { MAX_TERMS = 48, MAX_DEGREE = 16 };

typedef struct Term {
    int64_t c;
    int n;
    const Dim *a[MAX_DEGREE]; /* sorted; repeated for powers */
} Term;
typedef struct Poly {
    int n;
    Term t[MAX_TERMS]; /* sorted, nonzero, distinct */
} Poly;

/* ---- table ---------------------------------------------------------------------------------------------------------- */

void dim_table_init(DimTable *t, Pool *pool)
{
    memset(t, 0, sizeof *t);
    t->pool = pool;
}

static uint32_t mix(uint32_t h, uint64_t v)
{
    v = (v ^ h) * 0x9e3779b97f4a7c15u;
    return (uint32_t)(v >> 32) ^ (uint32_t)v;
}

static void table_grow(DimTable *t)
{
    uint32_t cap = t->cap ? t->cap * 2 : 256;
    const Dim **slots = POOL_ARRAY(t->pool, const Dim *, cap);
    for (uint32_t i = 0; i < t->cap; i++) {
        if (!t->slots[i]) continue;
        uint32_t at = t->slots[i]->hash & (cap - 1);
        while (slots[at]) at = (at + 1) & (cap - 1);
        slots[at] = t->slots[i];
    }
    t->slots = slots;
    t->cap = cap;
}

static const Dim *intern(DimTable *t, DimKind kind, int64_t value, Symbol *sym, int n, const Dim *const *arg)
{
    if (t->n * 2 >= t->cap) table_grow(t);
    uint32_t h = mix(mix((uint32_t)kind, (uint64_t)value), sym ? (uint64_t)sym->index + 1 : 0);
    for (int i = 0; i < n; i++) h = mix(h, arg[i]->id);
    uint32_t at = h & (t->cap - 1);
    for (; t->slots[at]; at = (at + 1) & (t->cap - 1)) {
        const Dim *d = t->slots[at];
        if (d->hash != h || d->kind != kind || d->value != value || d->sym != sym || d->n != n) continue;
        if (n == 0 || memcmp(d->arg, arg, (size_t)n * sizeof *arg) == 0) return d;
    }
    Dim *d = POOL_NEW(t->pool, Dim);
    *d = (Dim){.kind = kind, .n = n, .value = value, .sym = sym, .hash = h, .id = t->next_id++};
    if (n) d->arg = pool_dup(t->pool, arg, (size_t)n * sizeof *arg);
    t->slots[at] = d;
    t->n++;
    return d;
}

static const Dim *intern2(DimTable *t, DimKind kind, const Dim *a, const Dim *b)
{
    return intern(t, kind, 0, NULL, 2, (const Dim *const[]){a, b});
}

const Dim *dim_const(DimTable *t, int64_t v)
{
    return intern(t, DIM_CONST, v, NULL, 0, NULL);
}

static const Dim *symbol_new(DimTable *t, const char *name)
{
    Symbol *s = POOL_NEW(t->pool, Symbol);
    s->name = name;
    s->hi = INT32_MAX;
    s->index = t->symbols.n;
    *VEC_PUSH(t->pool, t->symbols) = s;
    s->dim = intern(t, DIM_SYM, 0, s, 0, NULL);
    return s->dim;
}

static const Dim *symbol_find(const DimTable *t, const char *name)
{
    for (int i = 0; i < t->symbols.n; i++)
        if (strcmp(t->symbols.at[i]->name, name) == 0) return t->symbols.at[i]->dim;
    return NULL;
}

const Dim *dim_symbol(DimTable *t, const char *name)
{
    const Dim *d = symbol_find(t, name);
    return d ? d : symbol_new(t, pool_strdup(t->pool, name));
}

const Dim *dim_fresh(DimTable *t, const char *stem, const Dim *max, bool data)
{
    const char *name = pool_strdup(t->pool, stem);
    for (int i = t->symbols.n; symbol_find(t, name); i++) name = pool_printf(t->pool, "%s_%d", stem, i);
    const Dim *d = symbol_new(t, name);
    d->sym->data = data;
    d->sym->max = max;
    return d;
}

/* ---- polynomials ---------------------------------------------------------------------------------------------------- */

/* A total order by structure alone: what is printed and parsed in another table sorts the same. */
static int dim_cmp(const Dim *a, const Dim *b)
{
    if (a == b) return 0;
    if (a->kind != b->kind) return a->kind < b->kind ? -1 : 1;
    if (a->kind == DIM_SYM) return strcmp(a->sym->name, b->sym->name);
    if (a->value != b->value) return a->value < b->value ? -1 : 1;
    for (int i = 0; i < a->n && i < b->n; i++) {
        int c = dim_cmp(a->arg[i], b->arg[i]);
        if (c) return c;
    }
    return a->n - b->n;
}

/* Graded lexical order, so that multiplying keeps it: long division needs that. Higher degrees come first. */
static int term_cmp(const Term *x, const Term *y)
{
    if (x->n != y->n) return y->n - x->n;
    for (int i = 0; i < x->n; i++) {
        int c = dim_cmp(x->a[i], y->a[i]);
        if (c) return c;
    }
    return 0;
}

static Term term_const(int64_t c)
{
    Term t;
    t.c = c;
    t.n = 0;
    return t;
}

static void term_copy(Term *to, const Term *from)
{
    to->c = from->c;
    to->n = from->n;
    memcpy(to->a, from->a, (size_t)from->n * sizeof *from->a);
}

/* p += x. False: overflow or too many terms, and p is of no more use. */
static bool poly_add_term(Poly *p, const Term *x)
{
    if (x->c == 0) return true;
    int at = 0, c = 1;
    while (at < p->n && (c = term_cmp(&p->t[at], x)) < 0) at++;
    if (at < p->n && c == 0) {
        if (__builtin_add_overflow(p->t[at].c, x->c, &p->t[at].c)) return false;
        if (p->t[at].c) return true;
        p->n--;
        for (int i = at; i < p->n; i++) term_copy(&p->t[i], &p->t[i + 1]);
        return true;
    }
    if (p->n == MAX_TERMS) return false;
    for (int i = p->n++; i > at; i--) term_copy(&p->t[i], &p->t[i - 1]);
    term_copy(&p->t[at], x);
    return true;
}

static bool term_mul(Term *r, const Term *x, const Term *y)
{
    if (x->n + y->n > MAX_DEGREE || __builtin_mul_overflow(x->c, y->c, &r->c)) return false;
    int i = 0, j = 0;
    r->n = 0;
    while (i < x->n || j < y->n) r->a[r->n++] = j == y->n || (i < x->n && dim_cmp(x->a[i], y->a[j]) <= 0) ? x->a[i++] : y->a[j++];
    return true;
}

/* x / y, if y's atoms are among x's and its factor divides x's. */
static bool term_div(Term *r, const Term *x, const Term *y)
{
    if (y->c == -1 ? x->c == INT64_MIN : x->c % y->c != 0) return false;
    r->c = x->c / y->c;
    r->n = 0;
    int j = 0;
    for (int i = 0; i < x->n; i++) {
        if (j < y->n && x->a[i] == y->a[j])
            j++;
        else
            r->a[r->n++] = x->a[i];
    }
    return j == y->n;
}

static bool poly_add_scaled(Poly *p, const Poly *q, const Term *by)
{
    for (int i = 0; i < q->n; i++) {
        Term x;
        if (!term_mul(&x, &q->t[i], by) || !poly_add_term(p, &x)) return false;
    }
    return true;
}

static bool is_folded(const Dim *d, DimKind kind)
{
    return d->kind == kind && !d->value;
}

/* A factor or a whole product; what was left unfolded counts as an atom. */
static void term_of(const Dim *d, Term *x)
{
    x->c = 1;
    x->n = 0;
    bool product = is_folded(d, DIM_MUL);
    for (int i = 0; i < (product ? d->n : 1); i++) {
        const Dim *a = product ? d->arg[i] : d;
        if (a->kind == DIM_CONST)
            x->c = a->value;
        else
            x->a[x->n++] = a;
    }
}

static void poly_of(const Dim *d, Poly *p)
{
    bool sum = is_folded(d, DIM_ADD);
    p->n = 0;
    for (int i = 0; i < (sum ? d->n : 1); i++) {
        term_of(sum ? d->arg[i] : d, &p->t[p->n]);
        p->n += p->t[p->n].c != 0;
    }
}

static const Dim *dim_of_term(DimTable *t, const Term *x)
{
    if (x->n == 0) return dim_const(t, x->c);
    if (x->n == 1 && x->c == 1) return x->a[0];
    const Dim *arg[MAX_DEGREE + 1];
    int n = 0;
    if (x->c != 1) arg[n++] = dim_const(t, x->c);
    for (int i = 0; i < x->n; i++) arg[n++] = x->a[i];
    return intern(t, DIM_MUL, 0, NULL, n, arg);
}

static const Dim *dim_of(DimTable *t, const Poly *p)
{
    if (p->n == 0) return dim_const(t, 0);
    if (p->n == 1) return dim_of_term(t, &p->t[0]);
    const Dim *arg[MAX_TERMS];
    for (int i = 0; i < p->n; i++) arg[i] = dim_of_term(t, &p->t[i]);
    return intern(t, DIM_ADD, 0, NULL, p->n, arg);
}

/* Quotient of exact division by long division. */
static bool poly_div_exact(Poly *quotient, const Poly *num, const Poly *den)
{
    Poly rest = *num;
    quotient->n = 0;
    for (int step = 0; rest.n; step++) {
        Term q, minus;
        if (step == 2 * MAX_TERMS || !term_div(&q, &rest.t[0], &den->t[0]) || !poly_add_term(quotient, &q)) return false;
        term_copy(&minus, &q);
        if (__builtin_sub_overflow(0, q.c, &minus.c) || !poly_add_scaled(&rest, den, &minus)) return false;
    }
    return true;
}

static int64_t gcd(int64_t a, int64_t b) /* of magnitudes; INT64_MIN counts as 1, that is, cancels nothing */
{
    if (a == INT64_MIN || b == INT64_MIN) return 1;
    a = a < 0 ? -a : a;
    b = b < 0 ? -b : b;
    while (b) {
        int64_t r = a % b;
        a = b;
        b = r;
    }
    return a;
}

/* g = the greatest term that divides both g and every term of p; g.n < 0 at first means "nothing yet". */
static void term_gcd(Term *g, const Poly *p)
{
    for (int k = 0; k < p->n; k++) {
        const Term *x = &p->t[k];
        if (g->n < 0) {
            term_copy(g, x);
            g->c = gcd(x->c, 0);
            continue;
        }
        g->c = gcd(g->c, x->c);
        int n = 0, j = 0;
        for (int i = 0; i < g->n; i++) {
            while (j < x->n && dim_cmp(x->a[j], g->a[i]) < 0) j++;
            if (j < x->n && x->a[j] == g->a[i]) {
                g->a[n++] = g->a[i];
                j++;
            }
        }
        g->n = n;
    }
}

static bool poly_div_term(Poly *p, const Term *by)
{
    Poly r;
    r.n = 0;
    for (int i = 0; i < p->n; i++) {
        Term q;
        if (!term_div(&q, &p->t[i], by) || !poly_add_term(&r, &q)) return false;
    }
    *p = r;
    return true;
}

/* ---- sums and products ---------------------------------------------------------------------------------------------- */

/* With arguments in order, so that an operation that does not fold is at least commutative. */
static const Dim *intern_sorted(DimTable *t, DimKind kind, const Dim *a, const Dim *b)
{
    bool unfolded = kind == DIM_ADD || kind == DIM_MUL;
    return intern(t, kind, unfolded, NULL, 2, dim_cmp(a, b) <= 0 ? (const Dim *const[]){a, b} : (const Dim *const[]){b, a});
}

static const Dim *add_scaled(DimTable *t, const Dim *a, const Dim *b, int64_t by)
{
    int64_t v;
    if (a->kind == DIM_CONST && b->kind == DIM_CONST && !__builtin_mul_overflow(b->value, by, &v) &&
        !__builtin_add_overflow(a->value, v, &v))
        return dim_const(t, v);
    if (dim_is(b, 0)) return a;
    Poly p, q;
    Term factor = term_const(by);
    poly_of(a, &p);
    poly_of(b, &q);
    if (poly_add_scaled(&p, &q, &factor)) return dim_of(t, &p);
    return by == 1 ? intern_sorted(t, DIM_ADD, a, b) : dim_add(t, a, dim_mul(t, dim_const(t, by), b));
}

const Dim *dim_add(DimTable *t, const Dim *a, const Dim *b)
{
    return dim_is(a, 0) ? b : add_scaled(t, a, b, 1);
}
const Dim *dim_sub(DimTable *t, const Dim *a, const Dim *b)
{
    return a == b ? dim_const(t, 0) : add_scaled(t, a, b, -1);
}
const Dim *dim_neg(DimTable *t, const Dim *a)
{
    return dim_mul(t, dim_const(t, -1), a);
}

const Dim *dim_mul(DimTable *t, const Dim *a, const Dim *b)
{
    int64_t v;
    if (a->kind == DIM_CONST && b->kind == DIM_CONST && !__builtin_mul_overflow(a->value, b->value, &v)) return dim_const(t, v);
    if (dim_is(a, 0) || dim_is(b, 1)) return a;
    if (dim_is(b, 0) || dim_is(a, 1)) return b;
    Poly p, q, r;
    poly_of(a, &p);
    poly_of(b, &q);
    r.n = 0;
    bool ok = true;
    for (int i = 0; ok && i < q.n; i++) ok = poly_add_scaled(&r, &p, &q.t[i]);
    return ok ? dim_of(t, &r) : intern_sorted(t, DIM_MUL, a, b);
}

/* ---- quotients and remainders --------------------------------------------------------------------------------------- */

static int64_t floor_div(int64_t a, int64_t b) /* b != 0, not INT64_MIN / -1 */
{
    return a / b - (a % b != 0 && (a < 0) != (b < 0));
}

/* Provable 0 <= a < b. */
static bool fits_below(DimTable *t, const Dim *a, const Dim *b)
{
    int64_t lo, hi;
    dim_range(a, &lo, &hi);
    if (lo < 0) return false;
    dim_range(dim_sub(t, b, a), &lo, &hi);
    return lo >= 1;
}

/* Moves what divides by the one term `by` from num to quot; over a constant, coefficients are reduced towards zero and
 * the constant to [0, s). */
static bool split_term(Poly *num, Poly *quot, const Term *by)
{
    Poly rest;
    rest.n = quot->n = 0;
    for (int i = 0; i < num->n; i++) {
        Term q, x;
        term_copy(&x, &num->t[i]);
        if (by->n == 0 && by->c > 0) {
            term_copy(&q, &x);
            q.c = x.n ? x.c / by->c : floor_div(x.c, by->c);
            x.c = (int64_t)((uint64_t)x.c - (uint64_t)q.c * (uint64_t)by->c); /* fits, though the product may not */
        } else if (term_div(&q, &x, by)) {
            x.c = 0;
        } else {
            q.c = 0;
        }
        if (!poly_add_term(quot, &q) || !poly_add_term(&rest, &x)) return false;
    }
    *num = rest;
    return true;
}

/* floor(p / s) for a constant s > 1, p reduced: cancel, merge with a quotient inside, turn a negative numerator round. */
static const Dim *floordiv_const(DimTable *t, Poly *p, int64_t s)
{
    int64_t c = 0, g = s;
    if (p->n && p->t[p->n - 1].n == 0) c = p->t[--p->n].c;
    if (p->n == 0) return dim_const(t, floor_div(c, s));
    for (int i = 0; i < p->n; i++) g = gcd(g, p->t[i].c);
    /* floor((g*p + c) / (g*s)) = floor((p + floor(c/g)) / s) */
    for (int i = 0; i < p->n; i++) p->t[i].c /= g;
    s /= g;
    c = floor_div(c, g);
    Term rest = term_const(c);
    const Dim *inner = p->n == 1 && p->t[0].c == 1 && p->t[0].n == 1 ? p->t[0].a[0] : NULL;
    if (s > 1 && inner && inner->kind == DIM_FLOORDIV && inner->arg[1]->kind == DIM_CONST && inner->arg[1]->value > 0) {
        /* floor((floor(y/k) + c) / s) = floor((y + c*k) / (k*s)) */
        int64_t k = inner->arg[1]->value, ck, ks;
        if (!__builtin_mul_overflow(c, k, &ck) && !__builtin_mul_overflow(k, s, &ks))
            return dim_floordiv(t, dim_add(t, inner->arg[0], dim_const(t, ck)), dim_const(t, ks));
    }
    if (s > 1 && p->t[0].c < 0) {
        /* floor(-x/s) = -floor((x + s-1) / s) */
        Poly turned;
        turned.n = 0;
        Term minus = term_const(-1), shift = term_const(s - 1 - c);
        if (poly_add_scaled(&turned, p, &minus) && poly_add_term(&turned, &shift))
            return dim_neg(t, dim_floordiv(t, dim_of(t, &turned), dim_const(t, s)));
    }
    if (!poly_add_term(p, &rest)) return NULL;
    const Dim *num = dim_of(t, p);
    return s == 1 ? num : intern2(t, DIM_FLOORDIV, num, dim_const(t, s));
}

const Dim *dim_floordiv(DimTable *t, const Dim *a, const Dim *b)
{
    if (dim_is(b, 1) || dim_is(a, 0)) return dim_is(b, 0) ? intern2(t, DIM_FLOORDIV, a, b) : a;
    if (dim_is(b, 0)) return intern2(t, DIM_FLOORDIV, a, b);
    if (a == b) return dim_const(t, 1);
    if (a->kind == DIM_CONST && b->kind == DIM_CONST && !(a->value == INT64_MIN && b->value == -1))
        return dim_const(t, floor_div(a->value, b->value));
    Poly num, den, quot;
    poly_of(a, &num);
    poly_of(b, &den);
    if (poly_div_exact(&quot, &num, &den)) return dim_of(t, &quot);
    quot.n = 0;
    if (den.t[0].c < 0 && den.t[0].c != INT64_MIN) { /* a/b = -a/-b */
        const Dim *na = dim_neg(t, a), *nb = dim_neg(t, b);
        poly_of(na, &num);
        poly_of(nb, &den);
    }
    Term g = {.n = -1};
    term_gcd(&g, &num);
    term_gcd(&g, &den);
    if (!poly_div_term(&num, &g) || !poly_div_term(&den, &g)) return intern2(t, DIM_FLOORDIV, a, b);
    if (den.n == 1 && !split_term(&num, &quot, &den.t[0])) return intern2(t, DIM_FLOORDIV, a, b);
    const Dim *rest, *out = dim_of(t, &quot), *n = dim_of(t, &num), *d = dim_of(t, &den);
    int64_t lo, hi;
    if (n->kind == DIM_CONST && n != a) return dim_add(t, out, dim_floordiv(t, n, d));
    rest = den.n == 1 && den.t[0].n == 0 && den.t[0].c > 0 ? floordiv_const(t, &num, den.t[0].c) : intern2(t, DIM_FLOORDIV, n, d);
    if (!rest) return intern2(t, DIM_FLOORDIV, a, b);
    if (fits_below(t, n, d)) return out;
    dim_range(rest, &lo, &hi);
    if (lo == hi && lo != INT64_MIN && hi != INT64_MAX) rest = dim_const(t, lo);
    return dim_add(t, out, rest);
}

const Dim *dim_ceildiv(DimTable *t, const Dim *a, const Dim *b)
{
    return dim_neg(t, dim_floordiv(t, dim_neg(t, a), b));
}

const Dim *dim_mod(DimTable *t, const Dim *a, const Dim *b)
{
    if (dim_is(b, 0)) return intern2(t, DIM_MOD, a, b);
    if (dim_is(b, 1) || dim_is(b, -1) || dim_is(a, 0) || a == b) return dim_const(t, 0);
    if (a->kind == DIM_CONST && b->kind == DIM_CONST)
        return dim_const(t, a->value % b->value + (a->value % b->value != 0 && (a->value < 0) != (b->value < 0) ? b->value : 0));
    Poly num, den, quot;
    poly_of(a, &num);
    poly_of(b, &den);
    if (poly_div_exact(&quot, &num, &den)) return dim_const(t, 0);
    if (den.n == 1 && !split_term(&num, &quot, &den.t[0])) return intern2(t, DIM_MOD, a, b);
    const Dim *n = dim_of(t, &num);
    if (n->kind == DIM_CONST && n != a) return dim_mod(t, n, b);
    if (fits_below(t, n, b)) return n;
    if (dim_is_const(b, NULL) && b->value > 0) {
        /* (g*p + g*c1 + c0) mod g*s = g * ((p + c1) mod s) + c0, 0 <= c0 < g */
        int64_t g = b->value, c = 0;
        if (num.n && num.t[num.n - 1].n == 0) c = num.t[--num.n].c;
        if (num.n == 0) return dim_const(t, c);
        for (int i = 0; i < num.n; i++) g = gcd(g, num.t[i].c);
        if (g > 1) {
            for (int i = 0; i < num.n; i++) num.t[i].c /= g;
            const Dim *inner = dim_add(t, dim_of(t, &num), dim_const(t, c / g));
            inner = dim_mod(t, inner, dim_const(t, b->value / g));
            return dim_add(t, dim_mul(t, dim_const(t, g), inner), dim_const(t, c % g));
        }
    }
    return intern2(t, DIM_MOD, n, b);
}

/* ---- minimum and maximum -------------------------------------------------------------------------------------------- */

static const Dim *extremum(DimTable *t, DimKind kind, const Dim *a, const Dim *b)
{
    if (a == b) return a;
    if (dim_cmp(a, b) > 0) return extremum(t, kind, b, a);
    int64_t lo, hi; /* of b - a */
    dim_range(dim_sub(t, b, a), &lo, &hi);
    if (lo >= 0) return kind == DIM_MIN ? a : b;
    if (hi <= 0) return kind == DIM_MIN ? b : a;
    DimKind other = kind == DIM_MIN ? DIM_MAX : DIM_MIN;
    for (int i = 0; i < 2; i++) {
        const Dim *x = i ? b : a, *y = i ? a : b; /* min(min(p,q), p) = min(p,q); min(max(p,q), p) = p */
        if ((x->kind == kind || x->kind == other) && (x->arg[0] == y || x->arg[1] == y)) return x->kind == kind ? x : y;
    }
    return intern_sorted(t, kind, a, b);
}

const Dim *dim_min(DimTable *t, const Dim *a, const Dim *b)
{
    return extremum(t, DIM_MIN, a, b);
}
const Dim *dim_max(DimTable *t, const Dim *a, const Dim *b)
{
    return extremum(t, DIM_MAX, a, b);
}
