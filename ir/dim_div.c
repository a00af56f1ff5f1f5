/* Quotients and remainders of dimension expressions. */
#include "ir/dim_poly.h"

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
    for (int i = 0; i < p->n; i++) g = magnitude_gcd(g, p->t[i].c);
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
    return s == 1 ? num : dim_raw(t, DIM_FLOORDIV, num, dim_const(t, s));
}

const Dim *dim_floordiv(DimTable *t, const Dim *a, const Dim *b)
{
    if (dim_is(b, 1) || dim_is(a, 0)) return dim_is(b, 0) ? dim_raw(t, DIM_FLOORDIV, a, b) : a;
    if (dim_is(b, 0)) return dim_raw(t, DIM_FLOORDIV, a, b);
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
    if (!poly_div_term(&num, &g) || !poly_div_term(&den, &g)) return dim_raw(t, DIM_FLOORDIV, a, b);
    if (den.n == 1 && !split_term(&num, &quot, &den.t[0])) return dim_raw(t, DIM_FLOORDIV, a, b);
    const Dim *rest, *out = dim_of(t, &quot), *n = dim_of(t, &num), *d = dim_of(t, &den);
    int64_t lo, hi;
    if (n->kind == DIM_CONST && n != a) return dim_add(t, out, dim_floordiv(t, n, d));
    rest = den.n == 1 && den.t[0].n == 0 && den.t[0].c > 0 ? floordiv_const(t, &num, den.t[0].c) : dim_raw(t, DIM_FLOORDIV, n, d);
    if (!rest) return dim_raw(t, DIM_FLOORDIV, a, b);
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
    if (dim_is(b, 0)) return dim_raw(t, DIM_MOD, a, b);
    if (dim_is(b, 1) || dim_is(b, -1) || dim_is(a, 0) || a == b) return dim_const(t, 0);
    if (a->kind == DIM_CONST && b->kind == DIM_CONST)
        return dim_const(t, a->value % b->value + (a->value % b->value != 0 && (a->value < 0) != (b->value < 0) ? b->value : 0));
    Poly num, den, quot;
    poly_of(a, &num);
    poly_of(b, &den);
    if (poly_div_exact(&quot, &num, &den)) return dim_const(t, 0);
    if (den.n == 1 && !split_term(&num, &quot, &den.t[0])) return dim_raw(t, DIM_MOD, a, b);
    const Dim *n = dim_of(t, &num);
    if (n->kind == DIM_CONST && n != a) return dim_mod(t, n, b);
    if (fits_below(t, n, b)) return n;
    if (dim_is_const(b, NULL) && b->value > 0) {
        /* (g*p + g*c1 + c0) mod g*s = g * ((p + c1) mod s) + c0, 0 <= c0 < g */
        int64_t g = b->value, c = 0;
        if (num.n && num.t[num.n - 1].n == 0) c = num.t[--num.n].c;
        if (num.n == 0) return dim_const(t, c);
        for (int i = 0; i < num.n; i++) g = magnitude_gcd(g, num.t[i].c);
        if (g > 1) {
            for (int i = 0; i < num.n; i++) num.t[i].c /= g;
            const Dim *inner = dim_add(t, dim_of(t, &num), dim_const(t, c / g));
            inner = dim_mod(t, inner, dim_const(t, b->value / g));
            return dim_add(t, dim_mul(t, dim_const(t, g), inner), dim_const(t, c % g));
        }
    }
    return dim_raw(t, DIM_MOD, n, b);
}
