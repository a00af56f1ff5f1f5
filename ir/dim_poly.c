/* Polynomial arithmetic on the terms of dimension expressions. */
#include "ir/dim_poly.h"

#include <string.h>

int dim_cmp(const Dim *a, const Dim *b)
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

Term term_const(int64_t c)
{
    Term t;
    t.c = c;
    t.n = 0;
    return t;
}

void term_copy(Term *to, const Term *from)
{
    to->c = from->c;
    to->n = from->n;
    memcpy(to->a, from->a, (size_t)from->n * sizeof *from->a);
}

bool poly_add_term(Poly *p, const Term *x)
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
bool term_div(Term *r, const Term *x, const Term *y)
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

bool poly_add_scaled(Poly *p, const Poly *q, const Term *by)
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

void poly_of(const Dim *d, Poly *p)
{
    bool sum = is_folded(d, DIM_ADD);
    p->n = 0;
    for (int i = 0; i < (sum ? d->n : 1); i++) {
        term_of(sum ? d->arg[i] : d, &p->t[p->n]);
        p->n += p->t[p->n].c != 0;
    }
}

/* Quotient of exact division by long division. */
bool poly_div_exact(Poly *quotient, const Poly *num, const Poly *den)
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

int64_t magnitude_gcd(int64_t a, int64_t b)
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

void term_gcd(Term *g, const Poly *p)
{
    for (int k = 0; k < p->n; k++) {
        const Term *x = &p->t[k];
        if (g->n < 0) {
            term_copy(g, x);
            g->c = magnitude_gcd(x->c, 0);
            continue;
        }
        g->c = magnitude_gcd(g->c, x->c);
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

bool poly_div_term(Poly *p, const Term *by)
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
