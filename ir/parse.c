/* The text form of graphs, read back.
 *
 *     graph "name" {
 *       symbol batch in [0, 2147483647];                  // also: max EXPR, data
 *       constraint batch <= 64 "why";                     // == or <=
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
#include "ir/text.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_NESTING = 64 };

typedef struct Name {
    const char *text;
    Value *value;
} Name;

typedef struct Parser {
    Context *ctx;
    Graph *g;
    const Graph *like;
    const char *text, *s, *end;
    bool failed;
    Name *names; /* hash table, a power of two */
    uint32_t n_names, cap;
    VEC(const Tensor *) known; /* constants of `like`, gathered at the first digest */
    VEC(uint64_t) digests;
    int nesting;
} Parser;

/* ---- tokens --------------------------------------------------------------------------------------------------------- */

static int line_of(const Parser *p)
{
    int line = 1;
    for (const char *s = p->text; s < p->s; s++) line += *s == '\n';
    return line;
}

static bool fail(Parser *p, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static bool fail(Parser *p, const char *fmt, ...)
{
    if (p->failed) return false;
    va_list ap;
    va_start(ap, fmt);
    diag_error(&p->ctx->diag, DLVK_BAD_FILE, "line %d: %s", line_of(p), pool_vprintf(p->ctx->pool, fmt, ap));
    va_end(ap);
    p->failed = true;
    return false;
}

static char peek(Parser *p)
{
    for (;;) {
        while (isspace((unsigned char)*p->s)) p->s++;
        if (p->s[0] != '/' || p->s[1] != '/') return *p->s;
        p->s += strcspn(p->s, "\n");
    }
}

static bool accept(Parser *p, char c)
{
    if (peek(p) != c) return false;
    p->s++;
    return true;
}

static bool expect(Parser *p, char c)
{
    if (accept(p, c)) return true;
    return *p->s ? fail(p, "expected '%c' before '%.*s'", c, (int)strcspn(p->s, "\n") < 20 ? (int)strcspn(p->s, "\n") : 20, p->s)
                 : fail(p, "expected '%c' before the end", c);
}

static bool is_word(char c)
{
    return isalnum((unsigned char)c) || c == '_' || c == '.';
}

static bool accept_word(Parser *p, const char *word)
{
    size_t n = strlen(word);
    peek(p);
    if (strncmp(p->s, word, n) != 0 || is_word(p->s[n])) return false;
    p->s += n;
    return true;
}

static const char *parse_word(Parser *p, const char *what)
{
    peek(p);
    size_t n = 0;
    while (is_word(p->s[n])) n++;
    if (n == 0) {
        fail(p, "expected %s", what);
        return NULL;
    }
    char *w = pool_dup(p->ctx->pool, p->s, n + 1);
    w[n] = '\0';
    p->s += n;
    return w;
}

static bool parse_str(Parser *p, Str *out)
{
    if (!expect(p, '"')) return false;
    const char *end = p->s;
    while (*end && *end != '"') end += *end == '\\' && end[1] ? 2 : 1;
    if (!*end) return fail(p, "a string does not end");
    char *r = pool_alloc(p->ctx->pool, (size_t)(end - p->s) + 1);
    size_t n = 0;
    while (p->s < end) {
        char c = *p->s++;
        if (c == '\\') {
            c = *p->s++;
            if (c == 'n') c = '\n';
            if (c == 'x') {
                unsigned byte;
                if (sscanf(p->s, "%2x", &byte) != 1 || !isxdigit((unsigned char)p->s[1]))
                    return fail(p, "'\\x' takes two hexadecimal digits");
                c = (char)byte;
                p->s += 2;
            }
        }
        r[n++] = c;
    }
    p->s = end + 1;
    *out = (Str){r, n};
    return true;
}

static const char *parse_string(Parser *p)
{
    Str s;
    if (!parse_str(p, &s)) return NULL;
    if (strlen(s.at) == s.len) return s.at;
    fail(p, "a name holds a zero byte");
    return NULL;
}

static bool parse_int(Parser *p, int64_t *v)
{
    peek(p);
    char *end;
    errno = 0;
    *v = strtoll(p->s, &end, 10);
    if (end == p->s || errno) return fail(p, errno ? "a number does not fit 64 bits" : "expected a number");
    p->s = end;
    return true;
}

static bool parse_dim(Parser *p, const Dim **d)
{
    peek(p);
    *d = dim_parse(&p->ctx->dims, &p->s);
    return *d || fail(p, "expected a dimension expression");
}

static bool parse_ints(Parser *p, int *n, const int64_t **out)
{
    VEC(int64_t) v = {0};
    if (!expect(p, '[')) return false;
    if (!accept(p, ']')) {
        do {
            if (!parse_int(p, VEC_PUSH(p->ctx->pool, v))) return false;
        } while (accept(p, ','));
        if (!expect(p, ']')) return false;
    }
    *n = v.n;
    *out = v.at;
    return true;
}

static bool parse_dims(Parser *p, int *n, const Dim *const **out)
{
    VEC(const Dim *) v = {0};
    if (!expect(p, '[')) return false;
    if (!accept(p, ']')) {
        do {
            if (!parse_dim(p, VEC_PUSH(p->ctx->pool, v))) return false;
        } while (accept(p, ','));
        if (!expect(p, ']')) return false;
    }
    *n = v.n;
    *out = v.at;
    return true;
}

static bool parse_dtype(Parser *p, DType *t)
{
    const char *w = parse_word(p, "an element type");
    return w && (dtype_parse(w, t) || fail(p, "'%s' is no element type", w));
}

static bool parse_type(Parser *p, Type *t)
{
    if (!parse_dtype(p, &t->dtype) || !parse_dims(p, &t->rank, &t->dim)) return false;
    return t->rank <= DLVK_MAX_RANK || fail(p, "rank %d is above the limit of %d", t->rank, DLVK_MAX_RANK);
}

/* ---- tensors -------------------------------------------------------------------------------------------------------- */

static void gather_known(Parser *p, const Region *r)
{
    for (int i = 0; i < r->nodes.n; i++) {
        const Node *n = r->nodes.at[i];
        for (int k = 0; k < n->n_attr; k++) {
            if (attr_type[n->attr[k].id] != ATTR_TENSOR) continue;
            *VEC_PUSH(p->ctx->pool, p->known) = n->attr[k].tensor;
            *VEC_PUSH(p->ctx->pool, p->digests) = tensor_digest(n->attr[k].tensor);
        }
        for (int k = 0; k < n->n_region; k++) gather_known(p, n->region_at[k]);
    }
}

static bool parse_digest(Parser *p, const Tensor **out)
{
    char *end;
    peek(p);
    uint64_t digest = strtoull(p->s, &end, 16);
    if (end == p->s) return fail(p, "expected a hexadecimal number");
    if (!p->like) return fail(p, "a digest stands for a tensor's contents, which are not in the text");
    if (!p->known.n) gather_known(p, p->like->top);
    for (int i = 0; i < p->known.n; i++) {
        if (p->digests.at[i] != digest) continue;
        p->s = end;
        *out = p->known.at[i];
        return true;
    }
    return fail(p, "no tensor has the digest %.*s", (int)(end - p->s), p->s);
}

static bool parse_elem(Parser *p, DType t, void *data, int64_t i)
{
    char *end = NULL;
    errno = 0;
    peek(p);
    switch (dtype_class(t)) {
    case DC_STRING: return parse_str(p, &((Str *)data)[i]);
    case DC_FLOAT:
        if (accept_word(p, "bits")) {
            size_t width = (size_t)dtype_bits(t) / 8;
            uint64_t bits = strtoull(p->s, &end, 16);
            memcpy((char *)data + (size_t)i * width, &bits, width);
        } else {
            elem_set_f(t, data, i, strtod(p->s, &end));
            errno = 0; /* underflow and overflow are values */
        }
        break;
    case DC_UINT: elem_set_i(t, data, i, (int64_t)strtoull(p->s, &end, 10)); break;
    default: elem_set_i(t, data, i, strtoll(p->s, &end, 10)); break;
    }
    if (end == p->s || errno) return fail(p, "expected a number of type %s", dtype_name(t));
    p->s = end;
    return true;
}

static bool parse_tensor(Parser *p, const Tensor **out)
{
    DType dtype;
    int rank;
    const int64_t *dim;
    int64_t count = 1;
    if (!parse_dtype(p, &dtype) || !parse_ints(p, &rank, &dim)) return false;
    if (rank > DLVK_MAX_RANK) return fail(p, "rank %d is above the limit of %d", rank, DLVK_MAX_RANK);
    for (int i = 0; i < rank; i++)
        if (dim[i] < 0 || __builtin_mul_overflow(count, dim[i], &count) || count > INT64_MAX / 64)
            return fail(p, "not the size of a tensor");
    bool splat = accept_word(p, "splat");
    if (accept_word(p, "digest")) return parse_digest(p, out);
    int64_t stored = splat ? 1 : count;
    if (!expect(p, '{')) return false;
    if (stored > p->end - p->s) return fail(p, "a tensor of %lld elements is not in the text", (long long)count);
    size_t bytes = dtype == DLVK_STRING ? (size_t)stored * sizeof(Str) : (size_t)dtype_bytes(dtype, stored);
    void *data = pool_alloc(p->ctx->pool, bytes);
    for (int64_t i = 0; i < stored; i++)
        if ((i && !expect(p, ',')) || !parse_elem(p, dtype, data, i)) return false;
    if (!expect(p, '}')) return false;
    Tensor shape = *tensor_new(p->ctx->pool, dtype, rank, dim, data);
    shape.splat = splat;
    shape.bytes = bytes;
    *out = pool_dup(p->ctx->pool, &shape, sizeof shape);
    return true;
}

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
        Name *grown = POOL_ARRAY(p->ctx->pool, Name, cap);
        for (uint32_t i = 0; i < p->cap; i++)
            if (p->names[i].text) *name_slot(grown, cap, p->names[i].text) = p->names[i];
        p->names = grown;
        p->cap = cap;
    }
    Name *slot = name_slot(p->names, p->cap, text);
    if (slot->text) return fail(p, "%%%s is defined twice", text);
    *slot = (Name){text, v};
    p->n_names++;
    return true;
}

static bool parse_ref(Parser *p, const Region *at, Value **v)
{
    const char *text = expect(p, '%') ? parse_word(p, "the name of a value") : NULL;
    if (!text) return false;
    const Name *slot = p->cap ? name_slot(p->names, p->cap, text) : NULL;
    if (!slot || !slot->text) return fail(p, "%%%s is not defined", text);
    const Region *r = at;
    while (r && r != slot->value->region) r = r->parent;
    if (!r) return fail(p, "%%%s is defined in a region that is closed", text);
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
    if (!expect(p, '%') || !(d->text = parse_word(p, "the name of a value"))) return false;
    if (peek(p) == '"' && !(d->name = parse_string(p))) return false;
    d->typed = accept(p, ':');
    return !d->typed || parse_type(p, &d->type);
}

static bool parse_param(Parser *p, Region *r)
{
    Def d;
    if (!parse_def(p, &d)) return false;
    if (!d.typed) return fail(p, "%%%s needs a type", d.text);
    return define(p, d.text, region_param(r, d.type, d.name));
}

/* ---- nodes ---------------------------------------------------------------------------------------------------------- */

static bool parse_attr(Parser *p, Attr *a)
{
    const char *name = parse_word(p, "the name of an attribute");
    if (!name) return false;
    int id = 0;
    while (id < A_COUNT && strcmp(attr_name[id], name) != 0) id++;
    if (id == A_COUNT) return fail(p, "'%s' is no attribute", name);
    *a = (Attr){.id = (AttrId)id};
    if (!expect(p, '=')) return false;
    switch (attr_type[id]) {
    case ATTR_INT: return parse_int(p, &a->i);
    case ATTR_INTS: return parse_ints(p, &a->n, &a->ints);
    case ATTR_DIMS: return parse_dims(p, &a->n, &a->dims);
    case ATTR_TENSOR: return parse_tensor(p, &a->tensor);
    case ATTR_STR: return (a->str = parse_string(p)) != NULL;
    case ATTR_DTYPE: {
        DType t;
        if (!parse_dtype(p, &t)) return false;
        a->i = t;
        return true;
    }
    case ATTR_KIND:
        if (!(name = parse_word(p, "a kind"))) return false;
        for (a->i = 0; a->i < KIND_COUNT; a->i++)
            if (strcmp(kind_name[a->i], name) == 0) return true;
        return fail(p, "'%s' is no kind", name);
    }
    return false;
}

static bool parse_origin_part(Parser *p, const char **s)
{
    *s = NULL;
    return accept(p, '_') || (*s = parse_string(p)) != NULL;
}

static bool parse_origin(Parser *p)
{
    p->ctx->origin = NULL;
    if (!accept(p, '@')) return true;
    Origin *o = POOL_NEW(p->ctx->pool, Origin);
    p->ctx->origin = o;
    return expect(p, '(') && parse_origin_part(p, &o->name) && expect(p, ',') && parse_origin_part(p, &o->op) && expect(p, ')');
}

static bool parse_region(Parser *p, Region *r);

/* The errors that the node's own checks recorded get the line number too. */
static bool reject(Parser *p, int lines, const char *op)
{
    Diag *d = &p->ctx->diag;
    for (int i = lines; i < d->lines.n; i++)
        d->lines.at[i] = pool_printf(p->ctx->pool, "line %d: %s", line_of(p), d->lines.at[i]);
    if (d->lines.n == lines) return fail(p, "this %s is not legal", op);
    p->failed = true;
    return false;
}

static bool parse_node(Parser *p, Region *r)
{
    Pool *pool = p->ctx->pool;
    VEC(Def) defs = {0};
    VEC(Value *) in = {0};
    VEC(Attr) attrs = {0};
    VEC(Region *) regions = {0};
    if (peek(p) == '%') {
        do {
            if (!parse_def(p, VEC_PUSH(pool, defs))) return false;
        } while (accept(p, ','));
        if (!expect(p, '=')) return false;
    }
    Op op;
    const char *name = parse_word(p, "an operation");
    if (!name) return false;
    if (!op_parse(name, &op)) return fail(p, "'%s' is no operation", name);
    if (!expect(p, '(')) return false;
    if (!accept(p, ')')) {
        do {
            if (!parse_ref(p, r, VEC_PUSH(pool, in))) return false;
        } while (accept(p, ','));
        if (!expect(p, ')')) return false;
    }
    if (accept(p, '{') && !accept(p, '}')) {
        do {
            if (!parse_attr(p, VEC_PUSH(pool, attrs))) return false;
        } while (accept(p, ','));
        if (!expect(p, '}')) return false;
    }
    while (accept_word(p, "region")) {
        Region *body = *VEC_PUSH(pool, regions) = region_new(p->g, r);
        if (!parse_region(p, body)) return false;
    }
    if (!parse_origin(p) || !expect(p, ';')) return false;
    int lines = p->ctx->diag.lines.n, errors = p->ctx->diag.errors;
    Node *n = node_new(r, op, in.n, in.at, attrs.n, attrs.at, regions.n, regions.at);
    if (!n || p->ctx->diag.errors > errors) return reject(p, lines, name);
    if (n->n_out != defs.n) return fail(p, "%s gives %d results, not %d", name, n->n_out, defs.n);
    for (int i = 0; i < defs.n; i++) {
        const Def *d = &defs.at[i];
        if (d->typed && !type_equal(d->type, n->out[i]->type))
            return fail(p, "%%%s is said to be %s but is %s", d->text, type_to_string(pool, d->type),
                        type_to_string(pool, n->out[i]->type));
        n->out[i]->name = d->name;
        if (!define(p, d->text, n->out[i])) return false;
    }
    return true;
}

/* After the word "region". */
static bool parse_region(Parser *p, Region *r)
{
    if (p->nesting == MAX_NESTING) return fail(p, "regions are nested more than %d deep", MAX_NESTING);
    p->nesting++;
    if (!expect(p, '(')) return false;
    if (!accept(p, ')')) {
        do {
            if (!parse_param(p, r)) return false;
        } while (accept(p, ','));
        if (!expect(p, ')')) return false;
    }
    if (!expect(p, '{')) return false;
    while (!accept_word(p, "yield"))
        if (!parse_node(p, r)) return false;
    if (!accept(p, ';')) {
        do {
            if (!parse_ref(p, r, VEC_PUSH(p->ctx->pool, r->results))) return false;
        } while (accept(p, ','));
        if (!expect(p, ';')) return false;
    }
    p->nesting--;
    return expect(p, '}');
}

/* ---- graph ---------------------------------------------------------------------------------------------------------- */

static bool parse_symbol(Parser *p)
{
    const Dim *d;
    if (!parse_dim(p, &d)) return false;
    if (d->kind != DIM_SYM) return fail(p, "expected the name of a symbol");
    Symbol *s = d->sym;
    if (!accept_word(p, "in")) return fail(p, "expected 'in'");
    if (!expect(p, '[') || !parse_int(p, &s->lo) || !expect(p, ',') || !parse_int(p, &s->hi) || !expect(p, ']')) return false;
    if (accept_word(p, "max") && !parse_dim(p, &s->max)) return false;
    s->data = accept_word(p, "data");
    return expect(p, ';');
}

static bool parse_constraint(Parser *p)
{
    Constraint k = {.why = ""};
    if (!parse_dim(p, &k.a)) return false;
    peek(p);
    if (strncmp(p->s, "==", 2) != 0 && strncmp(p->s, "<=", 2) != 0) return fail(p, "expected == or <=");
    k.kind = *p->s == '<' ? DIM_LE : DIM_EQ;
    p->s += 2;
    if (!parse_dim(p, &k.b) || (peek(p) == '"' && !(k.why = parse_string(p)))) return false;
    *VEC_PUSH(p->ctx->pool, p->ctx->constraints) = k;
    return expect(p, ';');
}

static bool parse_output(Parser *p)
{
    const char *name = parse_string(p);
    if (!name || !expect(p, '=')) return false;
    *VEC_PUSH(p->ctx->pool, p->g->output_names) = name;
    return parse_ref(p, p->g->top, VEC_PUSH(p->ctx->pool, p->g->top->results)) && expect(p, ';');
}

static bool parse_body(Parser *p)
{
    const char *name;
    if (!accept_word(p, "graph")) return fail(p, "expected 'graph'");
    if (!(name = parse_string(p)) || !expect(p, '{')) return false;
    p->g = graph_new(p->ctx, name);
    while (!accept(p, '}')) {
        bool ok = accept_word(p, "symbol")       ? parse_symbol(p)
                  : accept_word(p, "constraint") ? parse_constraint(p)
                  : accept_word(p, "input")      ? parse_param(p, p->g->top) && expect(p, ';')
                  : accept_word(p, "output")     ? parse_output(p)
                                                 : parse_node(p, p->g->top);
        if (!ok) return false;
    }
    return peek(p) == '\0' || fail(p, "text after the graph");
}

Graph *graph_parse_like(Context *ctx, const char *text, const Graph *like)
{
    const Origin *origin = ctx->origin;
    Parser p = {.ctx = ctx, .like = like, .text = text, .s = text, .end = text + strlen(text)};
    bool ok = parse_body(&p);
    ctx->origin = origin;
    return ok ? p.g : NULL;
}

Graph *graph_parse(Context *ctx, const char *text)
{
    return graph_parse_like(ctx, text, NULL);
}
