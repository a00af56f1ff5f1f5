/* Dimension expressions as text: printing, and a recursive-descent parser. */
#include "ir/dim.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

/* ---- printing ------------------------------------------------------------------------------------------------------- */

static bool is_identifier(const char *s)
{
    if (!isalpha((unsigned char)*s) && *s != '_') return false;
    if (strcmp(s, "min") == 0 || strcmp(s, "max") == 0) return false;
    for (; *s; s++)
        if (!isalnum((unsigned char)*s) && *s != '_') return false;
    return true;
}

static void print_symbol(FILE *f, const char *name)
{
    if (is_identifier(name)) {
        fputs(name, f);
        return;
    }
    fputs("$\"", f);
    for (; *name; name++) {
        if (*name == '"' || *name == '\\') fputc('\\', f);
        if (*name == '\n')
            fputs("\\n", f);
        else
            fputc(*name, f);
    }
    fputc('"', f);
}

static void print_in(FILE *f, const Dim *d, bool parens)
{
    if (parens) fputc('(', f);
    dim_print(f, d);
    if (parens) fputc(')', f);
}

static bool is_quotient(const Dim *d)
{
    return d->kind == DIM_FLOORDIV || d->kind == DIM_MOD;
}
static bool is_negative(const Dim *d)
{
    if (d->kind == DIM_MUL) d = d->arg[0];
    return d->kind == DIM_CONST && d->value < 0;
}

static void print_magnitude(FILE *f, int64_t v)
{
    fprintf(f, "%llu", v < 0 ? 0 - (unsigned long long)v : (unsigned long long)v);
}

/* An operation that would not fold: shown as it is. */
static bool is_opaque(const Dim *d)
{
    return (d->kind == DIM_ADD || d->kind == DIM_MUL) && d->value;
}

/* One of a sum's terms, without its sign if negative. */
static void print_magnitude_of(FILE *f, const Dim *d)
{
    if (d->kind == DIM_CONST) {
        print_magnitude(f, d->value);
        return;
    }
    if (d->kind != DIM_MUL) {
        dim_print(f, d);
        return;
    }
    for (int i = 0; i < d->n; i++) {
        const Dim *a = d->arg[i];
        if (i == 0 && dim_is(a, -1)) continue;
        if (i == 0 && a->kind == DIM_CONST)
            print_magnitude(f, a->value);
        else
            print_in(f, a, a->kind == DIM_ADD || a->kind == DIM_MUL || is_quotient(a) || is_negative(a));
        if (i + 1 < d->n) fputc('*', f);
    }
}

void dim_print(FILE *f, const Dim *d)
{
    switch (d->kind) {
    case DIM_SYM: print_symbol(f, d->sym->name); return;
    case DIM_ADD:
        for (int i = 0; i < d->n; i++) {
            const Dim *a = d->arg[i];
            bool whole = is_opaque(a) || a->kind == DIM_ADD;
            if (!whole && is_negative(a))
                fputc('-', f);
            else if (i)
                fputc('+', f);
            if (whole)
                print_in(f, a, true);
            else
                print_magnitude_of(f, a);
        }
        return;
    case DIM_CONST:
    case DIM_MUL:
        if (is_negative(d)) fputc('-', f);
        print_magnitude_of(f, d);
        return;
    case DIM_FLOORDIV:
    case DIM_MOD:
        print_in(f, d->arg[0], d->arg[0]->kind == DIM_ADD || is_quotient(d->arg[0]) || is_negative(d->arg[0]));
        fputc(d->kind == DIM_MOD ? '%' : '/', f);
        print_in(f, d->arg[1],
                 d->arg[1]->kind == DIM_ADD || d->arg[1]->kind == DIM_MUL || is_quotient(d->arg[1]) || is_negative(d->arg[1]));
        return;
    case DIM_MIN:
    case DIM_MAX:
        fputs(d->kind == DIM_MIN ? "min(" : "max(", f);
        dim_print(f, d->arg[0]);
        fputc(',', f);
        dim_print(f, d->arg[1]);
        fputc(')', f);
        return;
    }
}

char *dim_to_string(Pool *p, const Dim *d)
{
    char *text = NULL;
    size_t n = 0;
    FILE *f = open_memstream(&text, &n);
    if (!f) return pool_strdup(p, "?");
    dim_print(f, d);
    fclose(f);
    char *r = pool_strdup(p, text ? text : "?");
    free(text);
    return r;
}

/* ---- parsing -------------------------------------------------------------------------------------------------------- */

enum { MAX_DEPTH = 200 };
typedef struct Parser {
    DimTable *t;
    const char *s;
    int depth;
} Parser;

static const Dim *parse_sum(Parser *p);

static char peek(Parser *p)
{
    while (*p->s == ' ' || *p->s == '\t') p->s++;
    return *p->s;
}

static bool accept(Parser *p, char c)
{
    if (peek(p) != c) return false;
    p->s++;
    return true;
}

/* 2^63 is a number only as the magnitude of INT64_MIN: right after a minus sign, which it then has taken. */
static const Dim *parse_number(Parser *p, bool *negative)
{
    uint64_t v = 0;
    for (; isdigit((unsigned char)*p->s); p->s++)
        if (__builtin_mul_overflow(v, (uint64_t)10, &v) || __builtin_add_overflow(v, (uint64_t)(*p->s - '0'), &v)) return NULL;
    if (v <= INT64_MAX) return dim_const(p->t, (int64_t)v);
    if (v != (uint64_t)1 << 63 || !*negative) return NULL;
    *negative = false;
    return dim_const(p->t, INT64_MIN);
}

static const Dim *parse_quoted(Parser *p)
{
    size_t n = 0;
    char *name = pool_alloc(p->t->pool, strlen(p->s) + 1);
    for (; *p->s != '"'; p->s++) {
        bool escaped = *p->s == '\\';
        p->s += escaped;
        if (*p->s == '\0') return NULL;
        name[n++] = escaped && *p->s == 'n' ? '\n' : *p->s;
    }
    p->s++;
    return dim_symbol(p->t, name);
}

static const Dim *parse_primary(Parser *p, bool *negative)
{
    char c = peek(p);
    if (isdigit((unsigned char)c)) return parse_number(p, negative);
    if (accept(p, '(')) {
        const Dim *d = parse_sum(p);
        return d && accept(p, ')') ? d : NULL;
    }
    if (c == '$' && p->s[1] == '"') {
        p->s += 2;
        return parse_quoted(p);
    }
    if (!isalpha((unsigned char)c) && c != '_') return NULL;
    const char *start = p->s;
    while (isalnum((unsigned char)*p->s) || *p->s == '_') p->s++;
    char *name = pool_dup(p->t->pool, start, (size_t)(p->s - start) + 1);
    name[p->s - start] = '\0';
    bool min = strcmp(name, "min") == 0;
    if (!min && strcmp(name, "max") != 0) return dim_symbol(p->t, name);
    const Dim *a, *b;
    if (!accept(p, '(') || !(a = parse_sum(p)) || !accept(p, ',') || !(b = parse_sum(p)) || !accept(p, ')')) return NULL;
    return min ? dim_min(p->t, a, b) : dim_max(p->t, a, b);
}

/* What multiplies or divides d. */
static const Dim *parse_factors(Parser *p, const Dim *d)
{
    while (d) {
        bool no = false;
        const Dim *x;
        char c = peek(p);
        if (c != '*' && c != '/' && c != '%') break;
        p->s++;
        if (!(x = parse_primary(p, &no))) return NULL;
        d = c == '*' ? dim_mul(p->t, d, x) : c == '/' ? dim_floordiv(p->t, d, x) : dim_mod(p->t, d, x);
    }
    return d;
}

/* A leading minus belongs to the first factor, one between terms to the whole term: -x/2 is (-x)/2, a-x/2 is a-(x/2). */
static const Dim *parse_sum(Parser *p)
{
    if (p->depth == MAX_DEPTH) return NULL;
    p->depth++;
    bool negative = accept(p, '-');
    const Dim *d = parse_primary(p, &negative);
    if (d && negative) d = dim_neg(p->t, d);
    d = parse_factors(p, d);
    while (d && (peek(p) == '+' || peek(p) == '-')) {
        negative = *p->s++ == '-';
        const Dim *x = parse_factors(p, parse_primary(p, &negative));
        d = !x ? NULL : negative ? dim_sub(p->t, d, x) : dim_add(p->t, d, x);
    }
    p->depth--;
    return d;
}

const Dim *dim_parse(DimTable *t, const char **s)
{
    Parser p = {t, *s, 0};
    const Dim *d = parse_sum(&p);
    *s = p.s;
    return d;
}
