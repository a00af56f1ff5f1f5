/* Errors and constraints of one compilation. */
#include "ir/ir.h"

#include <string.h>

/* More than this many lines help no one; the count goes on. */
enum { DIAG_MAX_LINES = 1000 };

static void diag_verror(Diag *d, dlvk_status s, const char *prefix, const char *fmt, va_list ap)
{
    if (d->errors++ == 0) d->status = s;
    if (d->lines.n >= DIAG_MAX_LINES) return;
    const char *text = pool_vprintf(d->pool, fmt, ap);
    if (*prefix) text = pool_printf(d->pool, "%s%s", prefix, text);
    if (!d->lines.n || strcmp(d->lines.at[d->lines.n - 1], text) != 0) *VEC_PUSH(d->pool, d->lines) = text;
}

void diag_error(Diag *d, dlvk_status s, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    diag_verror(d, s, "", fmt, ap);
    va_end(ap);
}

/* "node 'NAME' (OP)", or "" outside any node. */
static const char *origin_text(Context *c)
{
    const Origin *o = c->origin;
    if (!o || (!o->name && !o->op)) return "";
    if (!o->name) return pool_printf(c->pool, "node (%s)", o->op);
    return o->op ? pool_printf(c->pool, "node '%s' (%s)", o->name, o->op) : pool_printf(c->pool, "node '%s'", o->name);
}

void ctx_error(Context *c, dlvk_status s, const char *fmt, ...)
{
    const char *at = origin_text(c);
    va_list ap;
    va_start(ap, fmt);
    diag_verror(&c->diag, s, *at ? pool_printf(c->pool, "%s: ", at) : "", fmt, ap);
    va_end(ap);
}

Context *context_new(Pool *pool)
{
    Context *c = POOL_NEW(pool, Context);
    c->pool = pool;
    c->diag.pool = pool;
    dim_table_init(&c->dims, pool);
    return c;
}

void ctx_constrain(Context *c, int kind, const Dim *a, const Dim *b)
{
    if (!a || !b || a == b) return;
    int64_t lo, hi; /* of b - a */
    dim_range(dim_sub(&c->dims, b, a), &lo, &hi);
    if (kind == DIM_LE ? lo >= 0 : lo == 0 && hi == 0) return;
    if (kind == DIM_LE ? hi < 0 : lo > 0 || hi < 0) {
        ctx_error(c, DLVK_INVALID_ARGUMENT, kind == DIM_LE ? "a size of %s must not exceed %s" : "sizes %s and %s must be equal",
                  dim_to_string(c->pool, a), dim_to_string(c->pool, b));
        return;
    }
    for (int i = 0; i < c->constraints.n; i++) {
        const Constraint *k = &c->constraints.at[i];
        if ((int)k->kind != kind || (k->guard && k->guard != c->guard)) continue;
        if ((k->a == a && k->b == b) || (kind == DIM_EQ && k->a == b && k->b == a)) return;
    }
    Constraint *k = VEC_PUSH(c->pool, c->constraints);
    k->kind = kind;
    k->a = a;
    k->b = b;
    k->why = origin_text(c);
    k->guard = c->guard;
}
