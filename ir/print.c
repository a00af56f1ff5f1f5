/* Graphs as text. Values are numbered as they appear, so that the text does not depend on a graph's history. */
#include "ir/text.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct Printer {
    FILE *f;
    int64_t max_elems;
    int *number; /* by value id: 1 + the number shown; 0: not yet shown */
    int shown, n_values;
    const char *(*note)(void *user, const Node *n);
    void *user;
} Printer;

/* ---- leaves --------------------------------------------------------------------------------------------------------- */

static void print_bytes(FILE *f, const char *s, size_t n)
{
    fputc('"', f);
    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)s[i];
        if (c == '"' || c == '\\')
            fprintf(f, "\\%c", c);
        else if (c == '\n')
            fputs("\\n", f);
        else if (c < 0x20 || c == 0x7f)
            fprintf(f, "\\x%02x", c);
        else
            fputc(c, f);
    }
    fputc('"', f);
}

static void print_string(FILE *f, const char *s)
{
    print_bytes(f, s, strlen(s));
}

/* Decimal digits enough to come back as the same element. A NaN other than the one stored for NAN shows its bits. */
static void print_float(FILE *f, DType t, const void *data, int64_t i)
{
    double v = elem_get_f(t, data, i);
    if (isnan(v)) {
        uint64_t bits = 0, usual = 0;
        size_t width = (size_t)dtype_bits(t) / 8;
        memcpy(&bits, (const char *)data + (size_t)i * width, width);
        elem_set_f(t, &usual, 0, NAN);
        if (bits == usual)
            fputs("nan", f);
        else
            fprintf(f, "bits 0x%llx", (unsigned long long)bits);
        return;
    }
    char text[40];
    snprintf(text, sizeof text, "%.6g", v);
    if (dtype_round_f(t, strtod(text, NULL), true) != v)
        snprintf(text, sizeof text, t == DLVK_F64 || t == DLVK_F8E8M0 ? "%.17g" : "%.9g", v);
    fputs(text, f);
}

static void print_elem(FILE *f, const Tensor *t, int64_t i)
{
    switch (dtype_class(t->dtype)) {
    case DC_FLOAT: print_float(f, t->dtype, t->data, i); return;
    case DC_UINT: fprintf(f, "%llu", (unsigned long long)elem_get_i(t->dtype, t->data, i)); return;
    case DC_STRING: print_bytes(f, ((const Str *)t->data)[i].at, ((const Str *)t->data)[i].len); return;
    default: fprintf(f, "%lld", (long long)elem_get_i(t->dtype, t->data, i)); return;
    }
}

static uint64_t mix(uint64_t h, uint64_t v)
{
    h = (h ^ v) * 0x9e3779b97f4a7c15u;
    return h ^ h >> 29;
}

static uint64_t hash_bytes(uint64_t h, const void *data, size_t n)
{
    const unsigned char *p = data;
    uint64_t lane[4] = {h, ~h, h + 1, h ^ 0x5555}, w;
    for (; n >= 32; n -= 32, p += 32) {
        for (int k = 0; k < 4; k++) {
            memcpy(&w, p + 8 * k, 8);
            lane[k] = mix(lane[k], w);
        }
    }
    for (; n; n -= n < 8 ? n : 8, p += 8) {
        w = 0;
        memcpy(&w, p, n < 8 ? n : 8);
        lane[0] = mix(lane[0], w);
    }
    return mix(mix(lane[0], lane[1]), mix(lane[2], lane[3]));
}

uint64_t tensor_digest(const Tensor *t)
{
    uint64_t h = mix(mix((uint64_t)t->dtype, (uint64_t)t->rank), t->splat);
    h = hash_bytes(h, t->dim, (size_t)t->rank * sizeof *t->dim);
    if (t->dtype != DLVK_STRING) return hash_bytes(h, t->data, t->bytes);
    for (size_t i = 0; i < t->bytes / sizeof(Str); i++)
        h = hash_bytes(mix(h, ((const Str *)t->data)[i].len), ((const Str *)t->data)[i].at, ((const Str *)t->data)[i].len);
    return h;
}

static void print_tensor(const Printer *p, const Tensor *t)
{
    fprintf(p->f, "%s[", dtype_name(t->dtype));
    for (int i = 0; i < t->rank; i++) fprintf(p->f, "%s%lld", i ? "," : "", (long long)t->dim[i]);
    int64_t stored = t->splat ? 1 : t->count;
    fputs(t->splat ? "] splat" : "]", p->f);
    if (p->max_elems >= 0 && stored > p->max_elems) {
        fprintf(p->f, " digest 0x%016llx", (unsigned long long)tensor_digest(t));
        return;
    }
    fputs(" {", p->f);
    for (int64_t i = 0; i < stored; i++) {
        if (i) fputs(", ", p->f);
        print_elem(p->f, t, i);
    }
    fputc('}', p->f);
}

static void print_dims(FILE *f, int n, const Dim *const *d)
{
    fputc('[', f);
    for (int i = 0; i < n; i++) {
        if (i) fputc(',', f);
        if (d[i])
            dim_print(f, d[i]);
        else
            fputc('?', f);
    }
    fputc(']', f);
}

static void print_type(FILE *f, Type t)
{
    fputs(dtype_name(t.dtype), f);
    print_dims(f, t.rank, t.dim);
}

/* ---- nodes ---------------------------------------------------------------------------------------------------------- */

static void print_ref(Printer *p, const Value *v)
{
    /* A reference to what has not been shown is a broken graph, which the verifier prints too. */
    if (!v || v->id < 0 || v->id >= p->n_values || !p->number[v->id])
        fprintf(p->f, "%%undefined_%d", v ? v->id : -1);
    else
        fprintf(p->f, "%%%d", p->number[v->id] - 1);
}

static void print_refs(Printer *p, int n, Value *const *v)
{
    for (int i = 0; i < n; i++) {
        if (i) fputs(", ", p->f);
        print_ref(p, v[i]);
    }
}

static void print_def(Printer *p, const Value *v)
{
    if (v->id >= 0 && v->id < p->n_values) p->number[v->id] = ++p->shown;
    print_ref(p, v);
    if (v->name) {
        fputc(' ', p->f);
        print_string(p->f, v->name);
    }
    fputs(": ", p->f);
    print_type(p->f, v->type);
}

static void print_attr(Printer *p, const Attr *a)
{
    fprintf(p->f, "%s=", attr_name[a->id]);
    switch (attr_type[a->id]) {
    case ATTR_INT: fprintf(p->f, "%lld", (long long)a->i); return;
    case ATTR_INTS:
        fputc('[', p->f);
        for (int i = 0; i < a->n; i++) fprintf(p->f, "%s%lld", i ? "," : "", (long long)a->ints[i]);
        fputc(']', p->f);
        return;
    case ATTR_DIMS: print_dims(p->f, a->n, a->dims); return;
    case ATTR_DTYPE: fputs(dtype_name((DType)a->i), p->f); return;
    case ATTR_KIND: fputs(a->i >= 0 && a->i < KIND_COUNT ? kind_name[a->i] : "?", p->f); return;
    case ATTR_TENSOR: print_tensor(p, a->tensor); return;
    case ATTR_STR: print_string(p->f, a->str); return;
    }
}

static void print_origin_part(FILE *f, const char *s)
{
    if (s)
        print_string(f, s);
    else
        fputc('_', f);
}

static void print_node(Printer *p, const Node *n, int depth);

static void print_region(Printer *p, const Region *r, int depth)
{
    fputs(" region(", p->f);
    for (int i = 0; i < r->params.n; i++) {
        if (i) fputs(", ", p->f);
        print_def(p, r->params.at[i]);
    }
    fputc(')', p->f);
    if (r->guard) {
        fputs(" if ", p->f);
        dim_print(p->f, r->guard);
    }
    fputs(" {\n", p->f);
    for (int i = 0; i < r->nodes.n; i++) print_node(p, r->nodes.at[i], depth + 1);
    fprintf(p->f, "%*syield%s", 2 * depth + 2, "", r->results.n ? " " : "");
    print_refs(p, r->results.n, r->results.at);
    fprintf(p->f, ";\n%*s}", 2 * depth, "");
}

static void print_node(Printer *p, const Node *n, int depth)
{
    fprintf(p->f, "%*s", 2 * depth, "");
    for (int i = 0; i < n->n_out; i++) {
        print_def(p, n->out[i]);
        fputs(i + 1 < n->n_out ? ", " : " = ", p->f);
    }
    fprintf(p->f, "%s(", op_info[n->op].name);
    print_refs(p, n->n_in, n->in);
    fputc(')', p->f);
    for (int i = 0; i < n->n_attr; i++) {
        fputs(i ? ", " : " {", p->f);
        print_attr(p, &n->attr[i]);
    }
    if (n->n_attr) fputc('}', p->f);
    for (int i = 0; i < n->n_region; i++) print_region(p, n->region_at[i], depth);
    if (n->origin) {
        fputs(" @(", p->f);
        print_origin_part(p->f, n->origin->name);
        fputs(", ", p->f);
        print_origin_part(p->f, n->origin->op);
        fputc(')', p->f);
    }
    fputs(";\n", p->f);
    const char *note = p->note ? p->note(p->user, n) : NULL;
    if (note) fprintf(p->f, "%*s// ^^^ %s\n", 2 * depth, "", note);
}

/* ---- graph ---------------------------------------------------------------------------------------------------------- */

static void print_symbols(FILE *f, const Context *c)
{
    for (int i = 0; i < c->dims.symbols.n; i++) {
        const Symbol *s = c->dims.symbols.at[i];
        fputs("  symbol ", f);
        dim_print(f, s->dim);
        fprintf(f, " in [%lld, %lld]", (long long)s->lo, (long long)s->hi);
        if (s->max) {
            fputs(" max ", f);
            dim_print(f, s->max);
        }
        fputs(s->data ? " data;\n" : ";\n", f);
    }
    for (int i = 0; i < c->constraints.n; i++) {
        const Constraint *k = &c->constraints.at[i];
        fputs("  constraint ", f);
        dim_print(f, k->a);
        fputs(k->kind == DIM_LE ? " <= " : " == ", f);
        dim_print(f, k->b);
        if (k->guard) {
            fputs(" if ", f);
            dim_print(f, k->guard);
        }
        if (k->why && *k->why) {
            fputc(' ', f);
            print_string(f, k->why);
        }
        fputs(";\n", f);
    }
}

void graph_print_noted(FILE *f, const Graph *g, int64_t max_elems, const char *(*note)(void *user, const Node *n), void *user)
{
    Printer p = {.f = f, .max_elems = max_elems, .n_values = g->n_values, .note = note, .user = user};
    p.number = calloc((size_t)g->n_values + 1, sizeof *p.number);
    if (!p.number) return;
    const Region *top = g->top;
    fputs("graph ", f);
    print_string(f, g->name ? g->name : "");
    fputs(" {\n", f);
    print_symbols(f, g->ctx);
    for (int i = 0; i < top->params.n; i++) {
        fputs("  input ", f);
        print_def(&p, top->params.at[i]);
        fputs(";\n", f);
    }
    for (int i = 0; i < top->nodes.n; i++) print_node(&p, top->nodes.at[i], 1);
    for (int i = 0; i < top->results.n; i++) {
        fputs("  output ", f);
        print_string(f, i < g->output_names.n && g->output_names.at[i] ? g->output_names.at[i] : "");
        fputs(" = ", f);
        print_ref(&p, top->results.at[i]);
        fputs(";\n", f);
    }
    fputs("}\n", f);
    free(p.number);
}

void graph_print(FILE *f, const Graph *g, int64_t max_elems)
{
    graph_print_noted(f, g, max_elems, NULL, NULL);
}
