/* The text form of graphs, read back.
 *
 *     graph "name" {
 *       symbol batch in [0, 2147483647];                  // also: max EXPR, data
 *       constraint batch <= 64 "why";                     // == or <=; also: if TAKEN
 *       input %0 "x": f32[batch,3,224,224];
 *       %1 "w": f32[2] = const() {value=f32[2] {1, 2.5}}; // or: splat {0}, digest 0x...
 *       %3: f32[batch,64] = add(%0, %2) @("node/Add", "Add");
 *       %5, %6 = sort(%3) {axis=1, descending=0};
 *       %7: f32[2] = if(%4) region() { yield %1; } region() { yield %2; };
 *       output "y" = %5;
 *     }
 *
 * A value is named by % and letters, digits, '_' or '.'; a name stands for one value in the whole text. Types of results may be
 * left out; where they stand they must be what inference gives. The first error ends the reading. */
#include "ir/lex.h"

#include <string.h>

enum { MAX_NESTING = 64 };

typedef struct Name {
    const char *text;
    Value *value;
} Name;

typedef struct Parser {
    Lexer lex;
    Graph *g;
    Name *names; /* hash table, a power of two */
    uint32_t n_names, cap;
    int nesting;
} Parser;

/* ---- values --------------------------------------------------------------------------------------------------------- */

static Name *name_slot(Name *names, uint32_t cap, const char *text)
{
    uint32_t h = 2166136261u;
    for (const char *s = text; *s; s++) h = (h ^ (unsigned char)*s) * 16777619u;
    for (uint32_t i = h & (cap - 1);; i = (i + 1) & (cap - 1))
        if (!names[i].text || strcmp(names[i].text, text) == 0) return &names[i];
}

static bool define(Parser *p, const char *text, Value *v)
{
    if (p->n_names * 2 >= p->cap) {
        uint32_t cap = p->cap ? p->cap * 2 : 256;
        Name *grown = POOL_ARRAY(p->lex.ctx->pool, Name, cap);
        for (uint32_t i = 0; i < p->cap; i++)
            if (p->names[i].text) *name_slot(grown, cap, p->names[i].text) = p->names[i];
        p->names = grown;
        p->cap = cap;
    }
    Name *slot = name_slot(p->names, p->cap, text);
    if (slot->text) return lex_fail(&p->lex, "%%%s is defined twice", text);
    *slot = (Name){text, v};
    p->n_names++;
    return true;
}

static bool parse_ref(Parser *p, const Region *at, Value **v)
{
    const char *text = lex_expect(&p->lex, '%') ? lex_word(&p->lex, "the name of a value") : NULL;
    if (!text) return false;
    const Name *slot = p->cap ? name_slot(p->names, p->cap, text) : NULL;
    if (!slot || !slot->text) return lex_fail(&p->lex, "%%%s is not defined", text);
    const Region *r = at;
    while (r && r != slot->value->region) r = r->parent;
    if (!r) return lex_fail(&p->lex, "%%%s is defined in a region that is closed", text);
    *v = slot->value;
    return true;
}

typedef struct Def {
    const char *text, *name;
    bool typed;
    Type type;
} Def;

static bool parse_def(Parser *p, Def *d)
{
    *d = (Def){0};
    if (!lex_expect(&p->lex, '%') || !(d->text = lex_word(&p->lex, "the name of a value"))) return false;
    if (lex_peek(&p->lex) == '"' && !(d->name = lex_string(&p->lex))) return false;
    d->typed = lex_accept(&p->lex, ':');
    return !d->typed || lex_type(&p->lex, &d->type);
}

static bool parse_param(Parser *p, Region *r)
{
    Def d;
    if (!parse_def(p, &d)) return false;
    if (!d.typed) return lex_fail(&p->lex, "%%%s needs a type", d.text);
    return define(p, d.text, region_param(r, d.type, d.name));
}

/* ---- nodes ---------------------------------------------------------------------------------------------------------- */

static bool parse_attr(Parser *p, Attr *a)
{
    const char *name = lex_word(&p->lex, "the name of an attribute");
    if (!name) return false;
    int id = 0;
    while (id < A_COUNT && strcmp(attr_name[id], name) != 0) id++;
    if (id == A_COUNT) return lex_fail(&p->lex, "'%s' is no attribute", name);
    *a = (Attr){.id = (AttrId)id};
    if (!lex_expect(&p->lex, '=')) return false;
    switch (attr_type[id]) {
    case ATTR_INT: return lex_int(&p->lex, &a->i);
    case ATTR_INTS: return lex_ints(&p->lex, &a->n, &a->ints);
    case ATTR_DIMS: return lex_dims(&p->lex, &a->n, &a->dims);
    case ATTR_TENSOR: return lex_tensor(&p->lex, &a->tensor);
    case ATTR_STR: return (a->str = lex_string(&p->lex)) != NULL;
    case ATTR_DTYPE: {
        DType t;
        if (!lex_dtype(&p->lex, &t)) return false;
        a->i = t;
        return true;
    }
    case ATTR_KIND:
        if (!(name = lex_word(&p->lex, "a kind"))) return false;
        for (a->i = 0; a->i < KIND_COUNT; a->i++)
            if (strcmp(kind_name[a->i], name) == 0) return true;
        return lex_fail(&p->lex, "'%s' is no kind", name);
    }
    return false;
}

static bool parse_origin_part(Parser *p, const char **s)
{
    *s = NULL;
    return lex_accept(&p->lex, '_') || (*s = lex_string(&p->lex)) != NULL;
}

static bool parse_origin(Parser *p)
{
    p->lex.ctx->origin = NULL;
    if (!lex_accept(&p->lex, '@')) return true;
    Origin *o = POOL_NEW(p->lex.ctx->pool, Origin);
    p->lex.ctx->origin = o;
    return lex_expect(&p->lex, '(') && parse_origin_part(p, &o->name) && lex_expect(&p->lex, ',') &&
           parse_origin_part(p, &o->op) && lex_expect(&p->lex, ')');
}

static bool parse_region(Parser *p, Region *r);

/* The errors that the node's own checks recorded get the line number too. */
static bool reject(Parser *p, int lines, const char *op)
{
    Diag *d = &p->lex.ctx->diag;
    for (int i = lines; i < d->lines.n; i++)
        d->lines.at[i] = pool_printf(p->lex.ctx->pool, "line %d: %s", lex_line(&p->lex), d->lines.at[i]);
    if (d->lines.n == lines) return lex_fail(&p->lex, "this %s is not legal", op);
    p->lex.failed = true;
    return false;
}

static bool parse_node(Parser *p, Region *r)
{
    Pool *pool = p->lex.ctx->pool;
    VEC(Def) defs = {0};
    VEC(Value *) in = {0};
    VEC(Attr) attrs = {0};
    VEC(Region *) regions = {0};
    if (lex_peek(&p->lex) == '%') {
        do {
            if (!parse_def(p, VEC_PUSH(pool, defs))) return false;
        } while (lex_accept(&p->lex, ','));
        if (!lex_expect(&p->lex, '=')) return false;
    }
    Op op;
    const char *name = lex_word(&p->lex, "an operation");
    if (!name) return false;
    if (!op_parse(name, &op)) return lex_fail(&p->lex, "'%s' is no operation", name);
    if (!lex_expect(&p->lex, '(')) return false;
    if (!lex_accept(&p->lex, ')')) {
        do {
            if (!parse_ref(p, r, VEC_PUSH(pool, in))) return false;
        } while (lex_accept(&p->lex, ','));
        if (!lex_expect(&p->lex, ')')) return false;
    }
    if (lex_accept(&p->lex, '{') && !lex_accept(&p->lex, '}')) {
        do {
            if (!parse_attr(p, VEC_PUSH(pool, attrs))) return false;
        } while (lex_accept(&p->lex, ','));
        if (!lex_expect(&p->lex, '}')) return false;
    }
    while (lex_accept_word(&p->lex, "region")) {
        Region *body = *VEC_PUSH(pool, regions) = region_new(p->g, r);
        if (!parse_region(p, body)) return false;
    }
    if (!parse_origin(p) || !lex_expect(&p->lex, ';')) return false;
    int lines = p->lex.ctx->diag.lines.n, errors = p->lex.ctx->diag.errors;
    Node *n = node_new(r, op, in.n, in.at, attrs.n, attrs.at, regions.n, regions.at);
    if (!n || p->lex.ctx->diag.errors > errors) return reject(p, lines, name);
    if (n->n_out != defs.n) return lex_fail(&p->lex, "%s gives %d results, not %d", name, n->n_out, defs.n);
    for (int i = 0; i < defs.n; i++) {
        const Def *d = &defs.at[i];
        if (d->typed && !type_equal(d->type, n->out[i]->type))
            return lex_fail(&p->lex, "%%%s is said to be %s but is %s", d->text, type_to_string(pool, d->type),
                            type_to_string(pool, n->out[i]->type));
        n->out[i]->name = d->name;
        if (!define(p, d->text, n->out[i])) return false;
    }
    return true;
}

/* After the word "region". */
static bool parse_region(Parser *p, Region *r)
{
    if (p->nesting == MAX_NESTING) return lex_fail(&p->lex, "regions are nested more than %d deep", MAX_NESTING);
    p->nesting++;
    if (!lex_expect(&p->lex, '(')) return false;
    if (!lex_accept(&p->lex, ')')) {
        do {
            if (!parse_param(p, r)) return false;
        } while (lex_accept(&p->lex, ','));
        if (!lex_expect(&p->lex, ')')) return false;
    }
    if (lex_accept_word(&p->lex, "if") && !lex_dim(&p->lex, &r->guard)) return false;
    if (!lex_expect(&p->lex, '{')) return false;
    const Dim *guard = region_enter(r);
    bool ok = true;
    while (ok && !lex_accept_word(&p->lex, "yield")) ok = parse_node(p, r);
    region_leave(r, guard);
    if (!ok) return false;
    if (!lex_accept(&p->lex, ';')) {
        do {
            if (!parse_ref(p, r, VEC_PUSH(p->lex.ctx->pool, r->results))) return false;
        } while (lex_accept(&p->lex, ','));
        if (!lex_expect(&p->lex, ';')) return false;
    }
    p->nesting--;
    return lex_expect(&p->lex, '}');
}

/* ---- graph ---------------------------------------------------------------------------------------------------------- */

static bool parse_symbol(Parser *p)
{
    const Dim *d;
    if (!lex_dim(&p->lex, &d)) return false;
    if (d->kind != DIM_SYM) return lex_fail(&p->lex, "expected the name of a symbol");
    Symbol *s = d->sym;
    if (!lex_accept_word(&p->lex, "in")) return lex_fail(&p->lex, "expected 'in'");
    if (!lex_expect(&p->lex, '[') || !lex_int(&p->lex, &s->lo) || !lex_expect(&p->lex, ',') || !lex_int(&p->lex, &s->hi) ||
        !lex_expect(&p->lex, ']'))
        return false;
    if (lex_accept_word(&p->lex, "max") && !lex_dim(&p->lex, &s->max)) return false;
    s->data = lex_accept_word(&p->lex, "data");
    return lex_expect(&p->lex, ';');
}

static bool parse_constraint(Parser *p)
{
    Constraint k = {.why = ""};
    if (!lex_dim(&p->lex, &k.a)) return false;
    lex_peek(&p->lex);
    if (strncmp(p->lex.s, "==", 2) != 0 && strncmp(p->lex.s, "<=", 2) != 0) return lex_fail(&p->lex, "expected == or <=");
    k.kind = *p->lex.s == '<' ? DIM_LE : DIM_EQ;
    p->lex.s += 2;
    if (!lex_dim(&p->lex, &k.b)) return false;
    if (lex_accept_word(&p->lex, "if") && !lex_dim(&p->lex, &k.guard)) return false;
    if (lex_peek(&p->lex) == '"' && !(k.why = lex_string(&p->lex))) return false;
    *VEC_PUSH(p->lex.ctx->pool, p->lex.ctx->constraints) = k;
    return lex_expect(&p->lex, ';');
}

static bool parse_output(Parser *p)
{
    const char *name = lex_string(&p->lex);
    if (!name || !lex_expect(&p->lex, '=')) return false;
    *VEC_PUSH(p->lex.ctx->pool, p->g->output_names) = name;
    return parse_ref(p, p->g->top, VEC_PUSH(p->lex.ctx->pool, p->g->top->results)) && lex_expect(&p->lex, ';');
}

static bool parse_body(Parser *p)
{
    const char *name;
    if (!lex_accept_word(&p->lex, "graph")) return lex_fail(&p->lex, "expected 'graph'");
    if (!(name = lex_string(&p->lex)) || !lex_expect(&p->lex, '{')) return false;
    p->g = graph_new(p->lex.ctx, name);
    while (!lex_accept(&p->lex, '}')) {
        bool ok = lex_accept_word(&p->lex, "symbol")       ? parse_symbol(p)
                  : lex_accept_word(&p->lex, "constraint") ? parse_constraint(p)
                  : lex_accept_word(&p->lex, "input")      ? parse_param(p, p->g->top) && lex_expect(&p->lex, ';')
                  : lex_accept_word(&p->lex, "output")     ? parse_output(p)
                                                           : parse_node(p, p->g->top);
        if (!ok) return false;
    }
    return lex_peek(&p->lex) == '\0' || lex_fail(&p->lex, "text after the graph");
}

Graph *graph_parse_like(Context *ctx, const char *text, const Graph *like)
{
    const Origin *origin = ctx->origin;
    Parser p = {.lex = {.ctx = ctx, .like = like, .text = text, .s = text, .end = text + strlen(text)}};
    bool ok = parse_body(&p);
    ctx->origin = origin;
    return ok ? p.g : NULL;
}

Graph *graph_parse(Context *ctx, const char *text)
{
    return graph_parse_like(ctx, text, NULL);
}
