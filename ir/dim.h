/* Dimension expressions: integers known when the inputs' sizes are.
 *
 * A Dim is an immutable expression over symbols, hash-consed in its DimTable and kept in a canonical form (sums and
 * products flattened and sorted, constants folded, common factors cancelled), so that two dims which the rules can
 * prove equal ARE the same pointer. Values are 64-bit; overflow in folding leaves the expression unfolded. */
#ifndef DLVK_IR_DIM_H
#define DLVK_IR_DIM_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include "ir/pool.h"

typedef enum DimKind {
    DIM_CONST,    /* value */
    DIM_SYM,      /* sym */
    DIM_ADD,      /* sum of arg[0..n) ; a constant term, if any, comes last */
    DIM_MUL,      /* product of arg[0..n) ; a constant factor, if any, comes first */
    DIM_FLOORDIV, /* floor(arg[0] / arg[1]) */
    DIM_MOD,      /* arg[0] - arg[1] * floor(arg[0] / arg[1]) */
    DIM_MIN,      /* of arg[0], arg[1] */
    DIM_MAX
} DimKind;

typedef struct Dim Dim;
typedef struct Symbol Symbol;

struct Symbol {
    const char *name;
    int64_t lo, hi;   /* bounds, inclusive; inputs' dims: [0, INT32_MAX] */
    bool data;        /* data-dependent: known only once a step has run */
    const Dim *max;   /* data-dependent: an upper bound in other symbols, or NULL */
    int index;        /* in DimTable.symbols */
    const Dim *dim;   /* the DIM_SYM of this symbol */
};

struct Dim {
    DimKind kind;
    int n;
    int64_t value; /* DIM_CONST. DIM_ADD, DIM_MUL: 1 when left unfolded: two arguments of any kind, and an atom to others */
    Symbol *sym;
    uint32_t hash;
    uint32_t id;      /* order of creation: sorts arguments, same in every run */
    const Dim *const *arg;
};

typedef struct DimTable {
    Pool *pool;
    const Dim **slots;
    uint32_t n, cap, next_id;
    VEC(Symbol *) symbols;
} DimTable;

void dim_table_init(DimTable *t, Pool *pool);
const Dim *dim_const(DimTable *t, int64_t v);
const Dim *dim_symbol(DimTable *t, const char *name); /* the same name gives the same symbol */
/* A new symbol whose name starts with `stem` and is not yet taken. Bounds are [0, INT32_MAX]: set others before the symbol is
 * used in expressions, for they decide what folds. */
const Dim *dim_fresh(DimTable *t, const char *stem, const Dim *max, bool data);
const Dim *dim_add(DimTable *t, const Dim *a, const Dim *b);
const Dim *dim_sub(DimTable *t, const Dim *a, const Dim *b);
const Dim *dim_neg(DimTable *t, const Dim *a);
const Dim *dim_mul(DimTable *t, const Dim *a, const Dim *b);
const Dim *dim_floordiv(DimTable *t, const Dim *a, const Dim *b); /* cancelling takes b to be nonzero; const 0 stays unfolded */
const Dim *dim_ceildiv(DimTable *t, const Dim *a, const Dim *b);  /* -floor(-a / b) */
const Dim *dim_mod(DimTable *t, const Dim *a, const Dim *b);
const Dim *dim_min(DimTable *t, const Dim *a, const Dim *b);
const Dim *dim_max(DimTable *t, const Dim *a, const Dim *b);

static inline bool dim_is_const(const Dim *d, int64_t *v)
{
    if (d->kind != DIM_CONST) return false;
    if (v) *v = d->value;
    return true;
}
static inline bool dim_is(const Dim *d, int64_t v) { return d->kind == DIM_CONST && d->value == v; }

/* Interval arithmetic over the symbols' bounds: a sound enclosure, saturating at INT64_MIN/MAX. */
void dim_range(const Dim *d, int64_t *lo, int64_t *hi);
/* Value for the given symbol values, indexed by Symbol.index. False: overflow or division by zero. */
bool dim_eval(const Dim *d, const int64_t *symbol_values, int64_t *out);
/* d with every symbol s replaced by map[s.index] where that is not NULL. */
const Dim *dim_subst(DimTable *t, const Dim *d, const Dim *const *map);
bool dim_has_data_symbol(const Dim *d);

/* Text: `batch`, `2*seq+1`, `(h+2)/4` (floor), `a%b`, `min(a,b)`, `max(a,b)`; parses back to the same pointer. Symbol names
 * that are not identifiers are quoted with '$"..."'. */
void dim_print(FILE *f, const Dim *d);
char *dim_to_string(Pool *p, const Dim *d);
/* Parses at *s and moves *s past it; NULL on a syntax error. Unknown symbols are created. */
const Dim *dim_parse(DimTable *t, const char **s);

#endif
