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
#include "ir/dim_poly.h"

#include <string.h>

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

const Dim *dim_raw(DimTable *t, DimKind kind, const Dim *a, const Dim *b)
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

/* ---- sums and products ---------------------------------------------------------------------------------------------- */

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

const Dim *dim_of(DimTable *t, const Poly *p)
{
    if (p->n == 0) return dim_const(t, 0);
    if (p->n == 1) return dim_of_term(t, &p->t[0]);
    const Dim *arg[MAX_TERMS];
    for (int i = 0; i < p->n; i++) arg[i] = dim_of_term(t, &p->t[i]);
    return intern(t, DIM_ADD, 0, NULL, p->n, arg);
}

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
