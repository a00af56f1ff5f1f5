/* Index arithmetic; see index.h. */
#include "codegen/index.h"

#include <assert.h>
#include <string.h>

#include "codegen/shader.h"

static bool ix_same(const Ix *a, const Ix *b)
{
    if (a->kind != b->kind || a->dim != b->dim || a->a != b->a || a->b != b->b || a->stride != b->stride || a->size != b->size ||
        a->n != b->n)
        return false;
    if (a->kind == IX_VAR && strcmp(a->text, b->text) != 0) return false;
    for (int i = 0; i < a->n; i++)
        if (a->term[i].x != b->term[i].x || a->term[i].stride != b->term[i].stride) return false;
    return true;
}

static const Ix *ix_intern(Shader *s, Ix x)
{
    for (int i = 0; i < s->ix.n; i++)
        if (ix_same(s->ix.at[i], &x)) return s->ix.at[i];
    Ix *n = POOL_NEW(s->pool, Ix);
    *n = x;
    if (x.n) n->term = pool_dup(s->pool, x.term, (size_t)x.n * sizeof *x.term);
    n->id = (uint32_t)s->ix.n;
    *VEC_PUSH(s->pool, s->ix) = n;
    return n;
}

const Ix *ix_dim(Shader *s, const Dim *d)
{
    return ix_intern(s, (Ix){.kind = IX_DIM, .dim = d, .bound = dim_add(&s->ctx->dims, d, dim_const(&s->ctx->dims, 1))});
}

const Ix *ix_const(Shader *s, int64_t v)
{
    return ix_dim(s, dim_const(&s->ctx->dims, v));
}

const Ix *ix_var(Shader *s, const char *text, const Dim *bound)
{
    struct IxVar *var = NULL;
    for (int i = 0; i < s->ix_vars.n && !var; i++)
        if (strcmp(s->ix_vars.at[i].text, text) == 0) var = &s->ix_vars.at[i];
    if (!var) *(var = VEC_PUSH(s->pool, s->ix_vars)) = (struct IxVar){text, -1};
    if (!sh_scope_open(s, var->scope)) var->scope = s->scopes.at[s->scopes.n - 1];
    return ix_intern(s, (Ix){.kind = IX_VAR, .text = text, .bound = bound});
}

void ix_var_here(Shader *s, const char *text)
{
    for (int i = 0; i < s->ix_vars.n; i++)
        if (strcmp(s->ix_vars.at[i].text, text) == 0) s->ix_vars.at[i].scope = s->scopes.at[s->scopes.n - 1];
}

bool ix_var_visible(const Shader *s, const Ix *a, int scopes)
{
    for (int i = 0; i < s->ix_vars.n; i++)
        for (int k = 0; k < scopes && strcmp(s->ix_vars.at[i].text, a->text) == 0; k++)
            if (s->scopes.at[k] == s->ix_vars.at[i].scope) return true;
    return false;
}

static bool divides(Shader *s, const Dim *by, const Dim *d)
{
    DimTable *dt = &s->ctx->dims;
    if (dim_is(dim_mod(dt, d, by), 0)) return true;
    return (d == s->whole[0] || d == s->whole[1]) && dim_is(dim_mod(dt, dim_const(dt, s->strip.width), by), 0);
}

bool ix_divisible(Shader *s, const Ix *a, const Dim *by)
{
    DimTable *dt = &s->ctx->dims;
    switch (a->kind) {
    case IX_DIM: return divides(s, by, a->dim);
    case IX_SUM:
        if (!divides(s, by, a->dim)) return false;
        for (int i = 0; i < a->n; i++)
            if (!divides(s, by, a->term[i].stride) && !ix_divisible(s, a->term[i].x, by)) return false;
        return true;
    case IX_SPLIT: return (!a->size || dim_is(dim_mod(dt, a->size, by), 0)) && ix_divisible(s, a->a, dim_mul(dt, a->stride, by));
    default: return false;
    }
}

bool ix_is_zero(const Ix *a)
{
    return a->kind == IX_DIM && dim_is(a->dim, 0);
}

/* a <= b for certain. */
static bool dim_le(Shader *s, const Dim *a, const Dim *b)
{
    DimTable *dt = &s->ctx->dims;
    int64_t x, y, lo;
    if (a == b) return true;
    dim_range(a, &lo, &x);
    dim_range(b, &y, &lo);
    if (x <= y) return true;
    for (int k = 2; k <= 8 && !dim_is_const(b, &y); k *= 2) /* b without what is left of it by 2, 4 or 8 */
        if (a == dim_mul(dt, dim_floordiv(dt, b, dim_const(dt, k)), dim_const(dt, k))) return true;
    return false;
}

/* a / b when b divides a for certain, else NULL. */
static const Dim *dim_exact(Shader *s, const Dim *a, const Dim *b)
{
    if (dim_is(b, 1)) return a;
    const Dim *q = dim_floordiv(&s->ctx->dims, a, b);
    return q && dim_mul(&s->ctx->dims, q, b) == a ? q : NULL;
}

/* The terms from p on, if they are digits of a mixed radix: an upper bound of their sum (exclusive), else NULL. */
static const Dim *terms_bound(Shader *s, const IxTerm *t, int n, int p)
{
    DimTable *dt = &s->ctx->dims;
    if (p == n) return dim_const(dt, 1);
    for (int i = p; i < n; i++)
        if (!t[i].x->bound) return NULL;
    for (int i = p; i + 1 < n; i++)
        if (!dim_le(s, dim_mul(dt, t[i + 1].x->bound, t[i + 1].stride), t[i].stride)) return NULL;
    return dim_mul(dt, t[p].x->bound, t[p].stride);
}

static const Ix *make_sum(Shader *s, int n, const IxTerm *t, const Dim *c)
{
    DimTable *dt = &s->ctx->dims;
    IxTerm out[32];
    int m = 0;
    for (int i = 0; i < n; i++) {
        if (dim_is(t[i].stride, 0) || ix_is_zero(t[i].x)) continue;
        if (t[i].x->kind == IX_DIM) {
            c = dim_add(dt, c, dim_mul(dt, t[i].x->dim, t[i].stride));
            continue;
        }
        int j = 0;
        while (j < m && out[j].x != t[i].x) j++;
        if (j < m) {
            out[j].stride = dim_add(dt, out[j].stride, t[i].stride);
            if (dim_is(out[j].stride, 0)) memmove(&out[j], &out[j + 1], (size_t)(--m - j) * sizeof *out);
            continue;
        }
        assert(m < 32);
        out[m++] = t[i];
        /* Two neighbouring digits of one number are one wider digit. */
        while (m >= 2) {
            const Ix *x = out[m - 2].x, *y = out[m - 1].x;
            if (x->kind != IX_SPLIT || y->kind != IX_SPLIT || x->a != y->a || !y->size) break;
            if (x->stride != dim_mul(dt, y->size, y->stride) || out[m - 2].stride != dim_mul(dt, y->size, out[m - 1].stride))
                break;
            const Dim *stride = out[m - 1].stride;
            const Ix *w = ix_split(s, x->a, y->stride, x->size ? dim_mul(dt, x->size, y->size) : NULL);
            m -= 2;
            out[m++] = (IxTerm){w, stride};
        }
    }
    if (!m) return ix_dim(s, c);
    if (m == 1 && dim_is(out[0].stride, 1) && dim_is(c, 0)) return out[0].x;
    Ix x = {.kind = IX_SUM, .dim = c, .n = m, .term = out};
    if (dim_is(c, 0)) x.bound = terms_bound(s, out, m, 0);
    return ix_intern(s, x);
}

/* a as terms; returns their number, and the constant in *c. */
static int as_terms(Shader *s, const Ix *a, IxTerm *t, const Dim **c)
{
    *c = dim_const(&s->ctx->dims, 0);
    if (a->kind == IX_DIM) {
        *c = a->dim;
        return 0;
    }
    if (a->kind != IX_SUM) {
        t[0] = (IxTerm){a, dim_const(&s->ctx->dims, 1)};
        return 1;
    }
    *c = a->dim;
    memcpy(t, a->term, (size_t)a->n * sizeof *t);
    return a->n;
}

static const Ix *add_scaled(Shader *s, const Ix *a, const Ix *b, const Dim *k)
{
    DimTable *dt = &s->ctx->dims;
    IxTerm t[32];
    const Dim *c, *d;
    if (a->kind == IX_SUM && b->kind == IX_SUM && a->n + b->n > 32) return NULL;
    int n = as_terms(s, a, t, &c);
    int m = as_terms(s, b, t + n, &d);
    for (int i = n; i < n + m; i++) t[i].stride = dim_mul(dt, t[i].stride, k);
    return make_sum(s, n + m, t, dim_add(dt, c, dim_mul(dt, d, k)));
}

const Ix *ix_add(Shader *s, const Ix *a, const Ix *b)
{
    return add_scaled(s, a, b, dim_const(&s->ctx->dims, 1));
}
const Ix *ix_sub(Shader *s, const Ix *a, const Ix *b)
{
    return add_scaled(s, a, b, dim_const(&s->ctx->dims, -1));
}
const Ix *ix_add_dim(Shader *s, const Ix *a, const Dim *d)
{
    return ix_add(s, a, ix_dim(s, d));
}
const Ix *ix_mul(Shader *s, const Ix *a, const Dim *d)
{
    return add_scaled(s, ix_const(s, 0), a, d);
}

const Ix *ix_split(Shader *s, const Ix *a, const Dim *stride, const Dim *size)
{
    DimTable *dt = &s->ctx->dims;
    const Dim *want = size; /* the result's bound, whether or not a remainder is needed */
    if (size && dim_is(size, 1)) return ix_const(s, 0);
    if (a->bound) {
        if (dim_le(s, a->bound, stride)) return ix_const(s, 0);
        if (size && dim_le(s, a->bound, dim_mul(dt, stride, size))) size = NULL;
    }
    if (dim_is(stride, 1) && !size) return a;
    if (a->kind == IX_DIM) {
        const Dim *q = dim_floordiv(dt, a->dim, stride);
        return ix_dim(s, size ? dim_mod(dt, q, size) : q);
    }
    if (a->kind == IX_SUM && dim_is(a->dim, 0)) {
        int p = 0;
        IxTerm t[32];
        for (; p < a->n; p++) {
            const Dim *q = dim_exact(s, a->term[p].stride, stride);
            if (!q) break;
            t[p] = (IxTerm){a->term[p].x, q};
        }
        const Dim *rest = terms_bound(s, a->term, a->n, p);
        if (rest && dim_le(s, rest, stride)) {
            int drop = 0;
            if (size)
                while (drop < p && dim_exact(s, t[drop].stride, size)) drop++;
            const Ix *q = make_sum(s, p - drop, t + drop, dim_const(dt, 0));
            if (!size || (q->bound && dim_le(s, q->bound, size))) return q;
            if (q != a || !dim_is(stride, 1)) return ix_split(s, q, dim_const(dt, 1), size);
        }
    }
    /* Whole multiples of what the remainder is taken of go, as long as what is left is no less than 0. */
    if (a->kind == IX_SUM && size && dim_is(a->dim, 0)) {
        const Dim *whole = dim_mul(dt, stride, size);
        IxTerm t[32];
        int n = 0;
        int64_t least = 0, lo, hi;
        for (int i = 0; i < a->n; i++) {
            if (dim_exact(s, a->term[i].stride, whole)) continue;
            dim_range(a->term[i].stride, &lo, &hi);
            least = lo < least ? lo : least;
            t[n++] = a->term[i];
        }
        if (n < a->n && least == 0) return ix_split(s, make_sum(s, n, t, a->dim), stride, want);
    }
    /* Digits of which `stride` and `size` cut the leading one: t * g + rest with rest < g. */
    if (a->kind == IX_SUM && dim_is(a->dim, 0) && a->n > 1) {
        const Dim *g = a->term[0].stride, *rest = terms_bound(s, a->term, a->n, 1), *q, *m;
        if (rest && dim_le(s, rest, g)) {
            const Ix *tail = make_sum(s, a->n - 1, a->term + 1, dim_const(dt, 0));
            if ((q = dim_exact(s, stride, g))) return ix_split(s, a->term[0].x, q, size);
            if ((q = dim_exact(s, g, stride)) && size && (m = dim_exact(s, size, q)))
                return ix_add(s, ix_mul(s, ix_split(s, a->term[0].x, dim_const(dt, 1), m), q), ix_split(s, tail, stride, NULL));
        }
    }
    if (a->kind == IX_SPLIT) {
        const Dim *st = dim_mul(dt, a->stride, stride);
        if (!a->size) return ix_split(s, a->a, st, size);
        const Dim *q = dim_exact(s, a->size, stride);
        if (q && (!size || dim_exact(s, q, size))) return ix_split(s, a->a, st, size ? size : q);
    }
    const Dim *bound = want;
    if (!bound && a->bound) bound = dim_exact(s, a->bound, stride);
    return ix_intern(s, (Ix){.kind = IX_SPLIT, .a = a, .stride = stride, .size = size, .bound = bound});
}

bool ix_depends(const Ix *a, const Ix *on)
{
    if (a == on) return true;
    if (a->a && ix_depends(a->a, on)) return true;
    if (a->b && ix_depends(a->b, on)) return true;
    for (int i = 0; i < a->n; i++)
        if (ix_depends(a->term[i].x, on)) return true;
    return false;
}

const Ix *ix_without(Shader *s, const Ix *a, const Ix *x)
{
    if (a == x) return ix_const(s, 0);
    if (a->kind != IX_SUM) return NULL;
    IxTerm rest[32];
    int n = 0;
    for (int i = 0; i < a->n; i++) {
        if (a->term[i].x == x && dim_is(a->term[i].stride, 1)) continue;
        if (ix_depends(a->term[i].x, x)) return NULL;
        rest[n++] = a->term[i];
    }
    return n == a->n - 1 ? make_sum(s, n, rest, a->dim) : NULL;
}

const Dim *type_stride(Shader *s, Type t, int axis)
{
    const Dim *d = dim_const(&s->ctx->dims, 1);
    for (int i = axis + 1; i < t.rank; i++) d = dim_mul(&s->ctx->dims, d, t.dim[i]);
    return d;
}

Index index_of_flat(Shader *s, Type t, const Ix *flat)
{
    (void)s;
    Index i = {.rank = t.rank, .flat = flat};
    return i;
}

Index index_of_axes(Type t, const Ix *const *ax)
{
    Index i = {.rank = t.rank};
    for (int k = 0; k < t.rank; k++) i.ax[k] = ax[k];
    return i;
}

const Ix *index_axis(Shader *s, Type t, Index *i, int axis)
{
    if (!i->ax[axis])
        i->ax[axis] = dim_is(t.dim[axis], 1) ? ix_const(s, 0) : ix_split(s, i->flat, type_stride(s, t, axis), t.dim[axis]);
    return i->ax[axis];
}

const Ix *index_flat(Shader *s, Type t, Index *i)
{
    if (i->flat) return i->flat;
    IxTerm terms[32];
    int n = 0;
    const Dim *c = dim_const(&s->ctx->dims, 0);
    for (int k = 0; k < t.rank; k++) {
        const Dim *st = type_stride(s, t, k);
        if (i->ax[k]->kind == IX_SUM && n + i->ax[k]->n <= 24) {
            for (int j = 0; j < i->ax[k]->n; j++)
                terms[n++] = (IxTerm){i->ax[k]->term[j].x, dim_mul(&s->ctx->dims, i->ax[k]->term[j].stride, st)};
            c = dim_add(&s->ctx->dims, c, dim_mul(&s->ctx->dims, i->ax[k]->dim, st));
        } else {
            terms[n++] = (IxTerm){i->ax[k], st};
        }
    }
    return i->flat = make_sum(s, n, terms, c);
}

const Ix *index_memory(Shader *s, const Value *v, Index *i)
{
    DimTable *dt = &s->ctx->dims;
    Type t = v->type;
    const Part *p = &s->kg->sched->part[v->id];
    if (!p->whole) return index_flat(s, t, i);
    Type whole = p->whole->type;
    const Ix *at = ix_dim(s, dim_mul(dt, p->at, type_stride(s, whole, p->axis)));
    bool axes = true;
    for (int k = 0; k < t.rank; k++) axes &= i->ax[k] != NULL;
    if (!axes) {
        const Dim *run = dim_mul(dt, type_stride(s, t, p->axis), t.dim[p->axis]);
        const Dim *whole_run = dim_mul(dt, type_stride(s, whole, p->axis), whole.dim[p->axis]);
        const Ix *flat = index_flat(s, t, i), *before = ix_split(s, flat, run, NULL);
        return ix_add(s, at, ix_add(s, flat, ix_mul(s, before, dim_sub(dt, whole_run, run))));
    }
    for (int k = 0; k < t.rank; k++) at = ix_add(s, at, ix_mul(s, i->ax[k], type_stride(s, whole, k)));
    return at;
}

/* ---- text --------------------------------------------------------------------------------------------------------- */

const char *ix_text(Shader *s, const Ix *a)
{
    if (a->kind == IX_DIM) return arg_int(s, a->dim);
    if (a->kind == IX_VAR) return a->text;
    for (int i = s->ix_names.n - 1; i >= 0; i--)
        if (s->ix_names.at[i].ix == a && sh_scope_open(s, s->ix_names.at[i].scope)) return s->ix_names.at[i].name;

    if (s->strip.open && strip_fixed(s, a)) {
        Outside o;
        strip_leave(s, &o);
        const char *name = ix_text(s, a);
        strip_return(s, &o);
        return name;
    }
    const char *text = NULL;
    if (a->kind == IX_SUM) {
        for (int i = 0; i < a->n; i++) {
            const char *x = ix_text(s, a->term[i].x), *k = arg_int(s, a->term[i].stride);
            const char *t = dim_is(a->term[i].stride, 1)    ? x
                            : dim_is(a->term[i].stride, -1) ? sh_printf(s, "-%s", x)
                                                            : sh_printf(s, "%s * %s", x, k);
            text = text ? sh_printf(s, "%s + %s", text, t) : t;
        }
        if (!dim_is(a->dim, 0)) text = sh_printf(s, "%s + %s", text, arg_int(s, a->dim));
    } else if (a->kind == IX_SPLIT) {
        const char *x = ix_text(s, a->a);
        if (!dim_is(a->stride, 1))
            x = sh_printf(s, "fastdiv(uint(%s), %s)", x, arg_divisor(s, a->stride));
        else
            x = sh_printf(s, "uint(%s)", x);
        if (a->size) x = sh_printf(s, "fastmod(%s, %s)", x, arg_divisor(s, a->size));
        text = sh_printf(s, "int(%s)", x);
    } else {
        text = sh_printf(s, "%s(%s, %s)", a->kind == IX_MIN ? "min" : "max", ix_text(s, a->a), ix_text(s, a->b));
    }
    const char *name = sh_fresh(s, "x");
    sh_line(s, "int %s = %s;", name, text);
    *VEC_PUSH(s->pool, s->ix_names) = (struct IxName){a, name, s->scopes.at[s->scopes.n - 1]};
    return name;
}
