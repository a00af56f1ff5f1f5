/* The graph builder: loops and branches, whose bodies are regions that the builder enters and leaves. */
#include "frontend/builder.h"

static OpenBody *open_body(dlvk_graph *g, Value *control, bool loop)
{
    OpenBody *o = POOL_NEW(g->pool, OpenBody);
    *o = (OpenBody){.outer = g->body, .around = g->b, .control = control, .loop = loop};
    g->body = o;
    g->b.at = loop ? region_new(g->graph, g->b.at) : region_branch(g->graph, g->b.at);
    o->guard = region_enter(g->b.at);
    return o;
}

/* The innermost body, which must be of the kind that ends here; NULL with an error. */
static OpenBody *innermost(dlvk_graph *g, bool loop)
{
    if (g->body && g->body->loop == loop) return g->body;
    BUILDER_ERROR(g, "no %s body is open", loop ? "loop" : "branch");
    return NULL;
}

static void push_results(dlvk_graph *g, Region *r, int n, const dlvk_value *v)
{
    for (int i = 0; i < n; i++) *VEC_PUSH(g->pool, r->results) = inside(v[i]);
}

static bool complete(const Region *r)
{
    for (int i = 0; i < r->results.n; i++)
        if (!r->results.at[i]) return false;
    return true;
}

static void give(Value *const *made, int n, dlvk_value *out)
{
    for (int i = 0; i < n; i++) out[i] = made ? outside(made[i]) : NULL;
}

/* A body whose values failed is opened all the same, so that begin and end stay in pairs; its parameters are then NULL. */
static Value *loop_begin(dlvk_graph *g, Value *trips, int n, const dlvk_value *carried, dlvk_value *inner)
{
    OpenBody *o = open_body(g, trips, true);
    Value *i = region_param(g->b.at, type_make(g->ctx, DLVK_I64, 0, NULL), NULL);
    o->n = n;
    o->carried = builder_values(g, n, carried);
    for (int k = 0; k < n; k++) inner[k] = o->carried[k] ? outside(region_param(g->b.at, o->carried[k]->type, NULL)) : NULL;
    return i;
}

dlvk_value dlvk_loop_begin(dlvk_graph *g, dlvk_value trips, int n, const dlvk_value *carried, dlvk_value *inner)
{
    for (int k = 0; k < n; k++) inner[k] = NULL;
    BUILDER_RETURN(g, "loop", loop_begin(g, inside(trips), n, carried, inner));
}

static void loop_end(dlvk_graph *g, Value *go_on, const dlvk_value *next, int n_scan, const dlvk_value *scan, dlvk_value *out)
{
    OpenBody *o = innermost(g, true);
    if (!o) return;
    Region *body = g->b.at;
    *VEC_PUSH(g->pool, body->results) = go_on ? go_on : build_scalar_i(&g->b, DLVK_BOOL, 1);
    push_results(g, body, o->n, next);
    push_results(g, body, n_scan, scan);
    region_leave(body, o->guard);
    g->b = o->around;
    g->body = o->outer;
    if (!complete(body)) return;
    give(build_loop(&g->b, o->control, build_scalar_i(&g->b, DLVK_BOOL, 1), o->n, o->carried, body), o->n + n_scan, out);
}

void dlvk_loop_end(dlvk_graph *g, dlvk_value go_on, const dlvk_value *next, int n_scan, const dlvk_value *scan, dlvk_value *out)
{
    int n = g && g->body && g->body->loop ? g->body->n + n_scan : 0;
    for (int i = 0; i < n; i++) out[i] = NULL;
    BUILDER_GUARD(g, "loop", loop_end(g, inside(go_on), next, n_scan, scan, out));
}

void dlvk_if_begin(dlvk_graph *g, dlvk_value condition)
{
    BUILDER_GUARD(g, "if", open_body(g, inside(condition), false));
}

static void if_else(dlvk_graph *g, int n, const dlvk_value *results)
{
    OpenBody *o = innermost(g, false);
    if (!o) return;
    if (o->then) {
        BUILDER_ERROR(g, "a second else");
        return;
    }
    push_results(g, g->b.at, n, results);
    o->then = g->b.at;
    region_leave(g->b.at, o->guard);
    g->b.at = region_branch(g->graph, o->around.at);
    o->guard = region_enter(g->b.at);
}

void dlvk_if_else(dlvk_graph *g, int n, const dlvk_value *results)
{
    BUILDER_GUARD(g, "if", if_else(g, n, results));
}

static void if_end(dlvk_graph *g, int n, const dlvk_value *results, dlvk_value *out)
{
    OpenBody *o = innermost(g, false);
    if (!o) return;
    Region *r[] = {o->then, g->b.at};
    region_leave(g->b.at, o->guard);
    g->b = o->around;
    g->body = o->outer;
    if (!r[0]) {
        BUILDER_ERROR(g, "the else body is missing");
        return;
    }
    push_results(g, r[1], n, results);
    if (r[0]->results.n != n) {
        BUILDER_ERROR(g, "the bodies have %d and %d results", r[0]->results.n, n);
        return;
    }
    Node *node = complete(r[0]) && complete(r[1]) ? build_node(&g->b, OP_IF, 1, &o->control, 0, NULL, 2, r) : NULL;
    if (node) give(node->out, n, out);
}

void dlvk_if_end(dlvk_graph *g, int n, const dlvk_value *results, dlvk_value *out)
{
    for (int i = 0; i < n; i++) out[i] = NULL;
    BUILDER_GUARD(g, "if", if_end(g, n, results, out));
}
