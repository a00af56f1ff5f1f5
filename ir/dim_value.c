/* What a dimension expression is worth: bounds, value, substitution. */
#include "ir/dim.h"

#include <stdlib.h>

/* ---- bounds: INT64_MIN and INT64_MAX stand for minus and plus infinity --------------------------------------------- */

typedef struct Range {
    int64_t lo, hi;
} Range;

static bool infinite(int64_t x)
{
    return x == INT64_MIN || x == INT64_MAX;
}
static int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}
static int64_t most(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

static int64_t clamp(__int128 v)
{
    return v < INT64_MIN ? INT64_MIN : v > INT64_MAX ? INT64_MAX : (int64_t)v;
}

static int64_t mul1(int64_t x, int64_t y)
{
    if (x == 0 || y == 0) return 0;
    if (infinite(x) || infinite(y)) return (x < 0) != (y < 0) ? INT64_MIN : INT64_MAX;
    return clamp((__int128)x * y);
}

static int64_t div1(int64_t x, int64_t y) /* floor; y >= 1 */
{
    if (infinite(y)) return x < 0 ? -1 : 0;
    if (infinite(x)) return x;
    return x / y - (x % y < 0);
}

static Range range_add(Range a, Range b)
{
    return (Range){infinite(a.lo) || infinite(b.lo) ? INT64_MIN : clamp((__int128)a.lo + b.lo),
                   infinite(a.hi) || infinite(b.hi) ? INT64_MAX : clamp((__int128)a.hi + b.hi)};
}

static Range range_mul(Range a, Range b)
{
    int64_t p = mul1(a.lo, b.lo), q = mul1(a.lo, b.hi), r = mul1(a.hi, b.lo), s = mul1(a.hi, b.hi);
    return (Range){least(least(p, q), least(r, s)), most(most(p, q), most(r, s))};
}

static Range range_floordiv(Range a, Range b)
{
    if (b.lo < 0) { /* of unknown sign; a quotient is no larger than its numerator */
        int64_t m = a.lo == INT64_MIN ? INT64_MAX : most(llabs(a.lo), infinite(a.hi) ? INT64_MAX : llabs(a.hi));
        return infinite(m) ? (Range){INT64_MIN, INT64_MAX} : (Range){-m, m};
    }
    if (b.lo == 0) b.lo = 1; /* a zero divisor has no value at all */
    if (b.hi < 1) b.hi = 1;
    return (Range){div1(a.lo, a.lo < 0 ? b.lo : b.hi), div1(a.hi, a.hi < 0 ? b.hi : b.lo)};
}

static Range range_mod(Range a, Range b)
{
    if (b.lo < 0) return (Range){b.lo == INT64_MIN ? b.lo : b.lo + 1, b.hi > 0 ? (infinite(b.hi) ? b.hi : b.hi - 1) : 0};
    int64_t top = infinite(b.hi) ? b.hi : most(b.hi - 1, 0);
    return (Range){0, a.lo >= 0 ? least(a.hi, top) : top};
}

static Range range_of(const Dim *d);

/* The factor's place in term d where `atom` stands, or -1; a term that is no product is its own only factor. */
static int factor_index(const Dim *d, const Dim *atom)
{
    if (d->kind != DIM_MUL) return d == atom ? 0 : -1;
    for (int i = 0; i < d->n; i++)
        if (d->arg[i] == atom) return i;
    return -1;
}

/* Term d without its factor `skip`. */
static Range range_term(const Dim *d, int skip)
{
    if (d->kind != DIM_MUL) return skip == 0 ? (Range){1, 1} : range_of(d);
    Range r = {1, 1};
    for (int i = 0; i < d->n; i++)
        if (i != skip) r = range_mul(r, range_of(d->arg[i]));
    return r;
}

/* Terms that share a factor are bounded together: a*b - a as a*(b-1), or its lower bound would be lost. */
static Range range_sum(const Dim *d)
{
    const Dim *first = d->arg[0], *common = NULL;
    for (int f = 0; f < (first->kind == DIM_MUL ? first->n : 1) && !common; f++) {
        const Dim *atom = first->kind == DIM_MUL ? first->arg[f] : first;
        common = atom->kind == DIM_CONST ? NULL : atom;
        for (int i = 1; i < d->n && common; i++)
            if (factor_index(d->arg[i], atom) < 0) common = NULL;
    }
    Range r = {0, 0};
    for (int i = 0; i < d->n; i++) r = range_add(r, range_term(d->arg[i], common ? factor_index(d->arg[i], common) : -1));
    return common ? range_mul(r, range_of(common)) : r;
}

static Range range_of(const Dim *d)
{
    switch (d->kind) {
    case DIM_CONST: return (Range){d->value, d->value};
    case DIM_SYM: {
        Range r = {d->sym->lo, d->sym->hi};
        if (d->sym->max) r.hi = least(r.hi, range_of(d->sym->max).hi);
        return r;
    }
    case DIM_ADD: return range_sum(d);
    case DIM_MUL: return range_term(d, -1);
    default: break;
    }
    Range a = range_of(d->arg[0]), b = range_of(d->arg[1]);
    switch (d->kind) {
    case DIM_FLOORDIV: return range_floordiv(a, b);
    case DIM_MOD: return range_mod(a, b);
    case DIM_MIN: return (Range){least(a.lo, b.lo), least(a.hi, b.hi)};
    default: return (Range){most(a.lo, b.lo), most(a.hi, b.hi)};
    }
}

void dim_range(const Dim *d, int64_t *lo, int64_t *hi)
{
    Range r = range_of(d);
    *lo = r.lo;
    *hi = r.hi;
}

/* ---- value ---------------------------------------------------------------------------------------------------------- */

/* In 128 bits, for the sake of sums whose terms overflow and whose value does not. */
static bool eval(const Dim *d, const int64_t *v, __int128 *out)
{
    __int128 a, b;
    switch (d->kind) {
    case DIM_CONST: *out = d->value; return true;
    case DIM_SYM: *out = v[d->sym->index]; return true;
    case DIM_ADD:
    case DIM_MUL:
        *out = d->kind == DIM_MUL;
        for (int i = 0; i < d->n; i++) {
            if (!eval(d->arg[i], v, &a)) return false;
            if (d->kind == DIM_ADD ? __builtin_add_overflow(*out, a, out) : __builtin_mul_overflow(*out, a, out)) return false;
        }
        return true;
    default: break;
    }
    if (!eval(d->arg[0], v, &a) || !eval(d->arg[1], v, &b)) return false;
    switch (d->kind) {
    case DIM_MIN: *out = a < b ? a : b; return true;
    case DIM_MAX: *out = a > b ? a : b; return true;
    default: break;
    }
    if (b == 0 || (b == -1 && a < -((__int128)1 << 126))) return false;
    __int128 rem = a % b, quot = a / b;
    bool down = rem != 0 && (rem < 0) != (b < 0);
    *out = d->kind == DIM_MOD ? rem + (down ? b : 0) : quot - down;
    return true;
}

bool dim_eval(const Dim *d, const int64_t *symbol_values, int64_t *out)
{
    __int128 v;
    if (!eval(d, symbol_values, &v) || v < INT64_MIN || v > INT64_MAX) return false;
    *out = (int64_t)v;
    return true;
}

/* ---- structure ------------------------------------------------------------------------------------------------------ */

const Dim *dim_subst(DimTable *t, const Dim *d, const Dim *const *map)
{
    switch (d->kind) {
    case DIM_CONST: return d;
    case DIM_SYM: return map[d->sym->index] ? map[d->sym->index] : d;
    case DIM_ADD:
    case DIM_MUL: {
        const Dim *r = dim_subst(t, d->arg[0], map);
        for (int i = 1; i < d->n; i++) {
            const Dim *x = dim_subst(t, d->arg[i], map);
            r = d->kind == DIM_ADD ? dim_add(t, r, x) : dim_mul(t, r, x);
        }
        return r;
    }
    default: break;
    }
    const Dim *a = dim_subst(t, d->arg[0], map), *b = dim_subst(t, d->arg[1], map);
    switch (d->kind) {
    case DIM_FLOORDIV: return dim_floordiv(t, a, b);
    case DIM_MOD: return dim_mod(t, a, b);
    case DIM_MIN: return dim_min(t, a, b);
    default: return dim_max(t, a, b);
    }
}

bool dim_has_data_symbol(const Dim *d)
{
    if (d->kind == DIM_SYM) return d->sym->data;
    for (int i = 0; i < d->n; i++)
        if (dim_has_data_symbol(d->arg[i])) return true;
    return false;
}
