/* The driver of differentiation: copies the graph, then walks the old one backwards, building adjoints at the end of the copy.
 *
 * Requires: any valid graph. Keeps: all that the graph computes; calls are replaced by their bodies. Breaks: nothing. */
#include "passes/grad.h"

#include <string.h>

#include "passes/grad_internal.h"

static AdjointRule *const rules[OP_COUNT] = {
#define POINT(id, ...)                [OP_##id] = adjoint_point,
#define STRUCT(id, name, n_in, n_out) [OP_##id] = adjoint_##name,
#include "ir/ops.def"
};

void grad_add(Grad *g, const Value *old, Value *d)
{
    if (!d || !g->needs[old->id]) return;
    Value **sum = &g->adjoint[old->id];
    *sum = *sum ? add(g->b, *sum, d) : d;
}

static void visit(Grad *g, const Node *n)
{
    Pool *p = g->c->pool;
    bool any = false;
    for (int i = 0; i < n->n_out; i++) any |= g->adjoint[n->out[i]->id] != NULL;
    if (!any) return;
    Adjoint a = {.g = g, .b = g->b, .n = n};
    a.in = POOL_ARRAY(p, Value *, n->n_in);
    a.dx = POOL_ARRAY(p, Value *, n->n_in);
    a.out = POOL_ARRAY(p, Value *, n->n_out);
    a.d = POOL_ARRAY(p, Value *, n->n_out);
    for (int i = 0; i < n->n_in; i++)
        if (!(a.in[i] = g->rw->map[n->in[i]->id])) return; /* an error has been recorded */
    for (int i = 0; i < n->n_out; i++) {
        a.out[i] = g->rw->map[n->out[i]->id];
        a.d[i] = g->adjoint[n->out[i]->id];
    }
    g->c->origin = n->origin;
    rules[n->op](&a);
    for (int i = 0; i < n->n_in; i++) grad_add(g, n->in[i], a.dx[i]);
}

void grad_region(Grad *g, const Region *old)
{
    for (int i = old->nodes.n - 1; i >= 0; i--) visit(g, old->nodes.at[i]);
}

/* ---- paths, for messages ---- */

static const char *name_of(const Node *n)
{
    return n->origin && n->origin->name ? n->origin->name : op_info[n->op].name;
}

/* The node that gave v its adjoint. */
static const Node *user_of(const Grad *g, const Value *v)
{
    const Region *r = v->region;
    for (int i = 0; i < r->nodes.n; i++) {
        const Node *n = r->nodes.at[i];
        bool uses = false, passed = false;
        for (int k = 0; k < n->n_in; k++) uses |= n->in[k] == v;
        for (int k = 0; k < n->n_out; k++) passed |= g->adjoint[n->out[k]->id] != NULL;
        if (uses && passed) return n;
    }
    return NULL;
}

enum { PATH = 12 }; /* nodes named on either side */

/* "w -> before -> here -> after -> the loss"; nodes of one origin are one. */
static const char *path_of(const Grad *g, const Node *here)
{
    Pool *p = g->c->pool;
    const char *path = name_of(here), *shown = path;
    const Value *v = NULL;
    const Node *n = here;
    for (int steps = 0; n;) {
        v = NULL;
        for (int i = 0; i < n->n_in && !v; i++)
            if (g->needs[n->in[i]->id]) v = n->in[i];
        const Node *before = v ? v->def : NULL;
        if (v && (!before || v->name) && ++steps <= PATH) {
            bool own = before && strcmp(name_of(before), v->name) == 0;
            if (!before || !own) path = pool_printf(p, "%s -> %s", v->name ? v->name : "a body's parameter", path);
        } else if (before && strcmp(name_of(before), shown) != 0 && ++steps <= PATH) {
            path = pool_printf(p, "%s -> %s", shown = name_of(before), path);
        }
        n = before;
    }
    shown = name_of(here);
    n = here;
    for (int steps = 0; n;) {
        v = NULL;
        for (int i = 0; i < n->n_out && !v; i++)
            if (g->adjoint[n->out[i]->id]) v = n->out[i];
        n = v && v != g->loss ? user_of(g, v) : NULL;
        if (n && strcmp(name_of(n), shown) != 0 && strcmp(name_of(n), "loss") != 0 && ++steps <= PATH)
            path = pool_printf(p, "%s -> %s", path, shown = name_of(n));
    }
    return pool_printf(p, "%s -> loss", path);
}

void grad_blocked(Adjoint *a, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    const char *why = pool_vprintf(a->g->c->pool, fmt, ap);
    va_end(ap);
    ctx_error(a->g->c, DLVK_UNSUPPORTED, "%s; a gradient is needed along %s", why, path_of(a->g, a->n));
    for (int i = 0; i < a->n->n_in; i++)
        if (wants(a, i)) a->dx[i] = zeros_like(a->b, a->in[i]); /* so that further nodes at fault are found */
}

/* ---- where gradients end ---- */

static bool reads(const Node *n, const Value *v)
{
    for (int i = 0; i < n->n_in; i++)
        if (n->in[i] == v) return true;
    for (int r = 0; r < n->n_region; r++) {
        const Region *region = n->region_at[r];
        for (int i = 0; i < region->nodes.n; i++)
            if (reads(region->nodes.at[i], v)) return true;
        for (int i = 0; i < region->results.n; i++)
            if (region->results.at[i] == v) return true;
    }
    return false;
}

/* The first node on the way from v to the loss that takes what depends on v and passes no gradient on; NULL: none leads there. */
static const Node *end_of(const Grad *g, const Value *v, bool *seen)
{
    const Region *r = v->region;
    seen[v->id] = true;
    for (int i = 0; i < r->nodes.n; i++) {
        const Node *n = r->nodes.at[i];
        bool passed = false, wanted = false, used = false;
        for (int k = 0; k < n->n_out; k++) {
            passed |= g->adjoint[n->out[k]->id] != NULL;
            wanted |= g->needs[n->out[k]->id];
            used |= g->used[n->out[k]->id];
        }
        if (!used || !reads(n, v)) continue;
        if (passed || !wanted) return n;
        for (int k = 0; k < n->n_out; k++) {
            const Node *end = g->needs[n->out[k]->id] && !seen[n->out[k]->id] ? end_of(g, n->out[k], seen) : NULL;
            if (end) return end;
        }
    }
    return NULL;
}

/* What the loss depends on. */
static void mark_used(const Region *r, bool *used, bool all)
{
    for (int i = r->nodes.n - 1; i >= 0; i--) {
        const Node *n = r->nodes.at[i];
        bool any = all;
        for (int k = 0; k < n->n_out; k++) any |= used[n->out[k]->id];
        for (int k = 0; any && k < n->n_in; k++) used[n->in[k]->id] = true;
        for (int k = 0; any && k < n->n_region; k++) {
            const Region *inside = n->region_at[k];
            for (int o = 0; o < inside->results.n; o++) used[inside->results.at[o]->id] = true;
            mark_used(inside, used, true);
        }
    }
}

/* An error for each node at which the gradients of wrt end. */
static void report_ends(Grad *g, const Graph *src, const GradSpec *spec)
{
    Pool *p = g->c->pool;
    bool *told = POOL_ARRAY(p, bool, src->n_nodes);
    g->used = POOL_ARRAY(p, bool, src->n_values);
    g->used[g->loss->id] = true;
    mark_used(src->top, g->used, false);
    for (int i = 0; i < spec->n; i++) {
        const Node *end = end_of(g, spec->wrt[i], POOL_ARRAY(p, bool, src->n_values));
        if (!end || told[end->id]) continue;
        told[end->id] = true;
        g->c->origin = end->origin;
        ctx_error(g->c, DLVK_UNSUPPORTED, "it passes no gradient on; one is needed along %s", path_of(g, end));
    }
    g->c->origin = NULL;
    if (!g->c->diag.errors) ctx_error(g->c, DLVK_UNSUPPORTED, "the loss does not depend on any parameter");
}

/* ---- the whole ---- */

Graph *graph_grad(Graph *src, const GradSpec *spec)
{
    Context *c = src->ctx;
    Pool *p = c->pool;
    const Origin *origin = c->origin;
    int errors = c->diag.errors;
    Grad g = {.c = c, .loss = spec->loss};
    if (!spec->loss || !dtype_is_float(spec->loss->type.dtype)) {
        diag_error(&c->diag, DLVK_INVALID_ARGUMENT, "the loss is %s, not of floats",
                   spec->loss ? type_to_string(p, spec->loss->type) : "missing");
        return NULL;
    }
    g.needs = POOL_ARRAY(p, bool, src->n_values);
    g.adjoint = POOL_ARRAY(p, Value *, src->n_values);
    g.saving = POOL_ARRAY(p, const Node *, src->n_nodes);
    for (int i = 0; i < spec->n; i++) g.needs[spec->wrt[i]->id] = true;
    grad_mark(src->top, g.needs);
    g.rw = rewrite_start(src, grad_copy, &g, true);
    g.b = &g.rw->b;
    if (c->diag.errors > errors) return NULL;

    grad_add(&g, spec->loss, build_full(g.b, spec->loss->type, 1));
    grad_region(&g, src->top);
    bool any = false;
    for (int i = 0; i < spec->n && spec->reached; i++) any |= spec->reached[i] = g.adjoint[spec->wrt[i]->id] != NULL;
    if (spec->reached && !any && c->diag.errors == errors) report_ends(&g, src, spec);
    c->origin = origin;
    for (int i = 0; i < spec->n; i++) {
        Value *v = g.rw->map[spec->wrt[i]->id], *d = g.adjoint[spec->wrt[i]->id];
        if (!v) v = spec->wrt[i]; /* the outputs do without it: only its type is of use */
        *VEC_PUSH(p, g.rw->dst->top->results) = d ? d : zeros_like(g.b, v);
        *VEC_PUSH(p, g.rw->dst->output_names) = spec->name[i];
    }
    for (int i = 0; i < g.rw->dst->top->results.n && c->diag.errors == errors; i++)
        if (!g.rw->dst->top->results.at[i]) ctx_error(c, DLVK_INTERNAL, "differentiation lost output %d", i);
    return c->diag.errors > errors ? NULL : g.rw->dst;
}
