/* Polynomials over atoms: what a dimension expression is while two are combined. On the stack, of limited size. */
#ifndef DLVK_IR_DIM_POLY_H
#define DLVK_IR_DIM_POLY_H

#include "ir/dim.h"

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

/* A total order by structure alone: what is printed and parsed in another table sorts the same. */
int dim_cmp(const Dim *a, const Dim *b);
/* False from any of these: overflow or too many terms, and the result is of no use. */
bool poly_add_term(Poly *p, const Term *x);                            /* p += x */
bool poly_add_scaled(Poly *p, const Poly *q, const Term *by);          /* p += q * by */
bool poly_div_term(Poly *p, const Term *by);                           /* p /= by, which divides it */
bool poly_div_exact(Poly *quotient, const Poly *num, const Poly *den); /* false also when there is a remainder */
bool term_div(Term *r, const Term *x, const Term *y);                  /* false when y does not divide x */
Term term_const(int64_t c);
void term_copy(Term *to, const Term *from);
/* g becomes the greatest term that divides both g and every term of p; g->n < 0 at first means "nothing yet". */
void term_gcd(Term *g, const Poly *p);
int64_t magnitude_gcd(int64_t a, int64_t b); /* INT64_MIN counts as 1, that is, cancels nothing */
/* d as a polynomial, and back. Only what a limit left unfolded, and what is no sum or product, counts as an atom. */
void poly_of(const Dim *d, Poly *p);
const Dim *dim_of(DimTable *t, const Poly *p);
/* The expression as it stands, unsimplified. */
const Dim *dim_raw(DimTable *t, DimKind kind, const Dim *a, const Dim *b);

#endif
