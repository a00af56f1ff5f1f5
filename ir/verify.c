/* Checks a whole graph: structure, scopes, attributes, and types against inference. All failures are gathered; the graph is
 * then shown with a remark under each node at fault. */
#include "ir/text.h"

#include <string.h>

typedef struct Verifier {
    const Graph *g;
    Pool *pool;
    int failures;
    FILE *out;
    bool *value_seen, *node_seen; /* by id: that ids are unique */
    bool *defined;                /* by value id: in scope here */
    bool *sized;                  /* by symbol index: data symbols whose size is known here */
    VEC(int) sized_list;          /* those, in order */
    const char **note;            /* by node id: the remark under it */
} Verifier;

static void report(Verifier *v, const Node *n, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
static void report(Verifier *v, const Node *n, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    const char *text = pool_vprintf(v->pool, fmt, ap);
    va_end(ap);
    v->failures++;
    if (v->out) {
        const Origin *o = n ? n->origin : NULL;
        if (n)
            fprintf(v->out, "node %d, %s", n->id, n->op < OP_COUNT ? op_info[n->op].name : "?");
        else
            fputs("graph", v->out);
        if (o) fprintf(v->out, " (%s '%s')", o->op ? o->op : "from", o->name ? o->name : "");
        fprintf(v->out, ": %s\n", text);
    }
    if (!n || n->id < 0 || n->id >= v->g->n_nodes) return;
    const char *before = v->note[n->id];
    v->note[n->id] = before ? pool_printf(v->pool, "%s; %s", before, text) : text;
}

/* ---- values --------------------------------------------------------------------------------------------------------- */

static void check_dim(Verifier *v, const Node *n, const Dim *d, const char *where)
{
    if (!d) {
        report(v, n, "%s has an unknown dimension", where);
        return;
    }
    const DimTable *t = &v->g->ctx->dims;
    if (d->kind == DIM_SYM) {
        if (d->sym->index >= t->symbols.n || t->symbols.at[d->sym->index] != d->sym)
            report(v, n, "%s: symbol %s is of another compilation", where, d->sym->name);
        else if (d->sym->data && !v->sized[d->sym->index])
            report(v, n, "%s: the size %s is used before the node that finds it out", where, d->sym->name);
    }
    for (int i = 0; i < d->n; i++) check_dim(v, n, d->arg[i], where);
}

static void check_type(Verifier *v, const Node *n, Type t, const char *where)
{
    if ((unsigned)t.dtype >= DLVK_DTYPE_COUNT) report(v, n, "%s: no element type %d", where, (int)t.dtype);
    if (t.rank < 0 || t.rank > DLVK_MAX_RANK) {
        report(v, n, "%s: rank %d", where, t.rank);
        return;
    }
    for (int i = 0; i < t.rank; i++) check_dim(v, n, t.dim[i], where);
}

static bool check_def(Verifier *v, const Node *n, const Region *r, const Value *x, int index)
{
    const char *where = n ? "result" : "parameter";
    if (!x) {
        report(v, n, "%s %d is missing", where, index);
        return false;
    }
    if (x->def != n || x->region != r || x->out != index) report(v, n, "%s %d does not point back", where, index);
    if (x->id < 0 || x->id >= v->g->n_values || v->value_seen[x->id]) {
        report(v, n, "%s %d has the id %d, which is taken or out of range", where, index, x->id);
        return false;
    }
    v->value_seen[x->id] = true;
    check_type(v, n, x->type, where);
    v->defined[x->id] = true;
    return true;
}

static bool check_use(Verifier *v, const Node *n, const Value *x, const char *where, int index)
{
    if (!x || x->id < 0 || x->id >= v->g->n_values || x->region->graph != v->g) {
        report(v, n, "%s %d is missing or of another graph", where, index);
        return false;
    }
    if (v->defined[x->id]) return true;
    report(v, n, "%s %d is not defined before it is used", where, index);
    return false;
}

/* ---- nodes ---------------------------------------------------------------------------------------------------------- */

static int regions_wanted(Op op)
{
    return op == OP_IF ? 2 : op == OP_LOOP || op == OP_CALL ? 1 : 0;
}

static void size_symbol(Verifier *v, const Dim *d)
{
    if (!d || d->kind != DIM_SYM || d->sym->index >= v->g->ctx->dims.symbols.n || v->sized[d->sym->index]) return;
    v->sized[d->sym->index] = true;
    *VEC_PUSH(v->pool, v->sized_list) = d->sym->index;
}

/* The data symbols that a node makes known. */
static void size_symbols(Verifier *v, const Node *n)
{
    bool values = n->op == OP_READ_DIMS || n->op == OP_HOST;
    if (n->op != OP_COMPACT && !values && !regions_wanted(n->op)) return;
    const Attr *a = node_attr(n, values ? A_VALUES : A_SHAPE);
    for (int i = 0; a && i < a->n; i++) size_symbol(v, a->dims[i]);
}

static void check_attrs(Verifier *v, const Node *n)
{
    for (int i = 0; i < n->n_attr; i++) {
        const Attr *a = &n->attr[i];
        if ((unsigned)a->id >= A_COUNT) {
            report(v, n, "no attribute %d", (int)a->id);
            continue;
        }
        const char *name = attr_name[a->id];
        if (node_attr(n, a->id) != a) report(v, n, "attribute '%s' is there twice", name);
        switch (attr_type[a->id]) {
        case ATTR_INT: break;
        case ATTR_INTS:
            if (a->n < 0 || (a->n && !a->ints)) report(v, n, "attribute '%s' is missing its entries", name);
            break;
        case ATTR_DIMS:
            if (a->n < 0 || (a->n && !a->dims))
                report(v, n, "attribute '%s' is missing its entries", name);
            else
                for (int k = 0; k < a->n; k++) check_dim(v, n, a->dims[k], name);
            break;
        case ATTR_DTYPE:
            if (a->i < 0 || a->i >= DLVK_DTYPE_COUNT) report(v, n, "attribute '%s' is no element type", name);
            break;
        case ATTR_KIND:
            if (a->i < 0 || a->i >= KIND_COUNT) report(v, n, "attribute '%s' is no kind", name);
            break;
        case ATTR_TENSOR:
        case ATTR_STR:
            if (!a->tensor) report(v, n, "attribute '%s' is empty", name);
            break;
        }
    }
}

/* Infers the types anew, on a copy whose results are its own; what inference records in the context is taken back. */
static void check_types(Verifier *v, Region *r, const Node *n)
{
    Context *c = v->g->ctx;
    Diag before = c->diag;
    const Origin *origin = c->origin;
    int constraints = c->constraints.n, symbols = c->dims.symbols.n;
    Node copy = *n;
    copy.attr = pool_dup(v->pool, n->attr, (size_t)n->n_attr * sizeof *n->attr);
    copy.out = POOL_ARRAY(v->pool, Value *, n->n_out);
    for (int i = 0; i < n->n_out; i++) {
        copy.out[i] = pool_dup(v->pool, n->out[i], sizeof *n->out[i]);
        copy.out[i]->type = (Type){0};
    }
    c->origin = NULL;
    bool ok = node_infer(r, &copy);
    if (!ok || c->diag.errors > before.errors)
        report(v, n, "not legal: %s", c->diag.lines.n > before.lines.n ? c->diag.lines.at[before.lines.n] : "inference fails");
    else if (c->constraints.n > constraints)
        report(v, n, "needs %s %s %s, which is not among the constraints",
               dim_to_string(v->pool, c->constraints.at[constraints].a),
               c->constraints.at[constraints].kind == DIM_LE ? "<=" : "==",
               dim_to_string(v->pool, c->constraints.at[constraints].b));
    else if (c->dims.symbols.n > symbols)
        report(v, n, "does not hold the size that it finds out");
    else
        for (int i = 0; i < n->n_out; i++)
            if (!type_equal(n->out[i]->type, copy.out[i]->type))
                report(v, n, "result %d is said to be %s but is %s", i, type_to_string(v->pool, n->out[i]->type),
                       type_to_string(v->pool, copy.out[i]->type));
    c->constraints.n = constraints;
    c->origin = origin;
    c->diag.errors = before.errors;
    c->diag.status = before.status;
    c->diag.lines.n = before.lines.n;
}

static void check_region(Verifier *v, Region *r, Region *parent);

static void check_node(Verifier *v, Region *r, const Node *n)
{
    int failures = v->failures;
    if (n->parent != r) report(v, n, "stands in a region it does not point to");
    if ((unsigned)n->op >= OP_COUNT) {
        report(v, n, "no operation %d", (int)n->op);
        return;
    }
    const OpInfo *info = &op_info[n->op];
    if (info->n_in >= 0 && n->n_in != info->n_in) report(v, n, "takes %d operands, not %d", info->n_in, n->n_in);
    if (info->n_out >= 0 && n->n_out != info->n_out) report(v, n, "gives %d results, not %d", info->n_out, n->n_out);
    if (n->n_region != regions_wanted(n->op)) report(v, n, "has %d regions, not %d", n->n_region, regions_wanted(n->op));
    for (int i = 0; i < n->n_in; i++) check_use(v, n, n->in[i], "operand", i);
    for (int i = 0; i < n->n_region; i++) check_region(v, n->region_at[i], r);
    size_symbols(v, n);
    check_attrs(v, n);
    bool defs = true;
    for (int i = 0; i < n->n_out; i++) defs = check_def(v, n, r, n->out[i], i) && defs;
    if (defs && v->failures == failures) check_types(v, r, n);
}

static void undefine(Verifier *v, const Value *x)
{
    if (x && x->id >= 0 && x->id < v->g->n_values) v->defined[x->id] = false;
}

/* What the region defines goes out of scope with it. */
static void check_region(Verifier *v, Region *r, Region *parent)
{
    if (!r || r->graph != v->g || r->parent != parent) {
        report(v, NULL, "a region is missing or does not point back");
        return;
    }
    int sized = v->sized_list.n;
    const Dim *guard = region_enter(r);
    if (r->guard) size_symbol(v, r->guard);
    for (int i = 0; i < r->params.n; i++) {
        const Value *x = r->params.at[i];
        for (int k = 0; parent && x && k < x->type.rank; k++)
            size_symbol(v, x->type.dim[k]); /* sizes that change as a loop runs */
        check_def(v, NULL, r, x, i);
    }
    for (int i = 0; i < r->nodes.n; i++) {
        const Node *n = r->nodes.at[i];
        if (!n || n->id < 0 || n->id >= v->g->n_nodes || v->node_seen[n->id]) {
            report(v, NULL, "node %d of a region has an id that is taken or out of range", i);
            continue;
        }
        v->node_seen[n->id] = true;
        check_node(v, r, n);
    }
    for (int i = 0; i < r->results.n; i++) check_use(v, NULL, r->results.at[i], parent ? "a region's result" : "output", i);
    region_leave(r, guard);
    if (!parent) return;
    for (int i = 0; i < r->params.n; i++) undefine(v, r->params.at[i]);
    for (int i = 0; i < r->nodes.n; i++)
        for (int k = 0; r->nodes.at[i] && k < r->nodes.at[i]->n_out; k++) undefine(v, r->nodes.at[i]->out[k]);
    while (v->sized_list.n > sized) v->sized[v->sized_list.at[--v->sized_list.n]] = false;
}

static const char *remark(void *user, const Node *n)
{
    const Verifier *v = user;
    return n->id >= 0 && n->id < v->g->n_nodes ? v->note[n->id] : NULL;
}

int graph_verify(const Graph *g, FILE *out)
{
    Pool *p = g->ctx->pool;
    Verifier v = {.g = g, .out = out, .pool = p};
    v.value_seen = POOL_ARRAY(p, bool, g->n_values);
    v.defined = POOL_ARRAY(p, bool, g->n_values);
    v.node_seen = POOL_ARRAY(p, bool, g->n_nodes);
    v.sized = POOL_ARRAY(p, bool, g->ctx->dims.symbols.n);
    v.note = POOL_ARRAY(p, const char *, g->n_nodes);
    if (g->output_names.n != g->top->results.n)
        report(&v, NULL, "%d outputs with %d names", g->top->results.n, g->output_names.n);
    check_region(&v, g->top, NULL);
    if (out && v.failures) graph_print_noted(out, g, 16, remark, &v);
    return v.failures;
}
