/* Building a new graph from an old one, and which nodes of a graph are live. */
#include "ir/rewrite.h"

#include <string.h>

/* Liveness. */

typedef struct Live {
    const Graph *g;
    bool *node, *symbol;
    VEC(const Node *) todo; /* live, operands not yet looked at */
    const Node **sizer;     /* by symbol: the node that finds it out */
    bool grew;              /* a symbol was added since the sizers were looked at */
} Live;

static void use_dim(Live *l, const Dim *d)
{
    if (d->kind == DIM_SYM && d->sym->data && !l->symbol[d->sym->index]) {
        l->symbol[d->sym->index] = true;
        l->grew = true;
    }
    for (int i = 0; i < d->n; i++) use_dim(l, d->arg[i]);
    if (d->kind == DIM_SYM && d->sym->max) use_dim(l, d->sym->max);
}

static void use_node(Live *l, const Node *n)
{
    if (!n || l->node[n->id]) return;
    l->node[n->id] = true;
    *VEC_PUSH(l->g->ctx->pool, l->todo) = n;
}

static void use_type(Live *l, Type t)
{
    for (int i = 0; i < t.rank; i++) use_dim(l, t.dim[i]);
}

static void use_results(Live *l, const Region *r)
{
    for (int i = 0; i < r->params.n; i++) use_type(l, r->params.at[i]->type);
    for (int i = 0; i < r->results.n; i++) {
        use_type(l, r->results.at[i]->type);
        use_node(l, r->results.at[i]->def);
    }
}

static void use_operands(Live *l, const Node *n)
{
    for (int i = 0; i < n->n_in; i++) use_node(l, n->in[i]->def);
    for (int i = 0; i < n->n_out; i++) use_type(l, n->out[i]->type);
    for (int i = 0; i < n->n_attr; i++)
        for (int k = 0; attr_type[n->attr[i].id] == ATTR_DIMS && k < n->attr[i].n; k++) use_dim(l, n->attr[i].dims[k]);
    for (int i = 0; i < n->n_region; i++) use_results(l, n->region_at[i]);
}

static void note_sizer(Live *l, const Dim *d, const Node *n)
{
    if (d->kind == DIM_SYM && d->sym->data && !l->sizer[d->sym->index]) l->sizer[d->sym->index] = n;
}

/* Sizes are found out by the nodes that have them among their `values`, or first in the type of a result. */
static void find_sizers(Live *l, const Region *r)
{
    for (int i = 0; i < r->nodes.n; i++) {
        const Node *n = r->nodes.at[i];
        const Attr *a = n->op == OP_READ_DIMS || n->op == OP_HOST ? node_attr(n, A_VALUES) : NULL;
        for (int k = 0; k < n->n_region; k++) find_sizers(l, n->region_at[k]);
        for (int k = 0; a && k < a->n; k++) note_sizer(l, a->dims[k], n);
        for (int k = 0; k < n->n_out && (n->op == OP_COMPACT || n->op == OP_IF || n->op == OP_LOOP); k++)
            for (int d = 0; d < n->out[k]->type.rank; d++) note_sizer(l, n->out[k]->type.dim[d], n);
    }
}

bool *graph_live(const Graph *g)
{
    Pool *p = g->ctx->pool;
    Live l = {.g = g};
    l.node = POOL_ARRAY(p, bool, g->n_nodes);
    l.symbol = POOL_ARRAY(p, bool, g->ctx->dims.symbols.n);
    l.sizer = POOL_ARRAY(p, const Node *, g->ctx->dims.symbols.n);
    find_sizers(&l, g->top);
    use_results(&l, g->top);
    do {
        while (l.todo.n) use_operands(&l, l.todo.at[--l.todo.n]);
        l.grew = false;
        for (int i = 0; i < g->ctx->dims.symbols.n; i++)
            if (l.symbol[i]) use_node(&l, l.sizer[i]);
    } while (l.grew || l.todo.n);
    return l.node;
}

static void count_region(const Region *r, const bool *live, int *uses)
{
    for (int i = 0; i < r->nodes.n; i++) {
        const Node *n = r->nodes.at[i];
        if (!live[n->id]) continue;
        for (int k = 0; k < n->n_in; k++) uses[n->in[k]->id]++;
        for (int k = 0; k < n->n_region; k++) count_region(n->region_at[k], live, uses);
    }
    for (int i = 0; i < r->results.n; i++) uses[r->results.at[i]->id]++;
}

int *graph_use_counts(const Graph *g)
{
    int *uses = POOL_ARRAY(g->ctx->pool, int, g->n_values);
    count_region(g->top, graph_live(g), uses);
    return uses;
}

/* Rewriting. */

typedef struct Walk { /* what a Rewrite carries behind the rule's back */
    Rewrite rw;
    RewriteRule rule;
    const bool *live;
} Walk;

static Region *copy_region(Rewrite *rw, const Region *old)
{
    Region *at = rw->b.at, *r = region_new(rw->dst, at);
    r->guard = old->guard;
    const Dim *guard = region_enter(r);
    for (int i = 0; i < old->params.n; i++) {
        Value *p = old->params.at[i];
        rw->map[p->id] = region_param(r, p->type, p->name);
    }
    rw->b.at = r;
    rewrite_body(rw, old);
    rw->b.at = at;
    region_leave(r, guard);
    for (int i = 0; i < old->results.n; i++) *VEC_PUSH(rw->dst->ctx->pool, r->results) = rw->map[old->results.at[i]->id];
    return r;
}

Node *rewrite_copy(Rewrite *rw, const Node *old, Value *const *in)
{
    Region **regions = POOL_ARRAY(rw->dst->ctx->pool, Region *, old->n_region);
    for (int i = 0; i < old->n_region; i++) regions[i] = copy_region(rw, old->region_at[i]);
    return build_node(&rw->b, old->op, old->n_in, in, old->n_attr, old->attr, old->n_region, regions);
}

void rewrite_visit(Rewrite *rw, const Node *old)
{
    const Walk *w = (const Walk *)rw;
    Context *c = rw->dst->ctx;
    Value **in = POOL_ARRAY(c->pool, Value *, old->n_in), **out = POOL_ARRAY(c->pool, Value *, old->n_out);
    for (int i = 0; i < old->n_in; i++)
        if (!(in[i] = rw->map[old->in[i]->id])) return; /* an error has been recorded */
    c->origin = old->origin;
    if (!w->rule || !w->rule(rw, old, in, out)) {
        if (old->n_out == 1 && old->n_region == 0) {
            out[0] = build_op(&rw->b, old->op, old->n_in, in, old->n_attr, old->attr);
        } else {
            Node *n = rewrite_copy(rw, old, in);
            for (int i = 0; n && i < old->n_out; i++) out[i] = n->out[i];
        }
    }
    for (int i = 0; i < old->n_out; i++) {
        rw->map[old->out[i]->id] = out[i];
        if (out[i] && !out[i]->name) out[i]->name = old->out[i]->name;
    }
}

void rewrite_body(Rewrite *rw, const Region *old)
{
    Walk *w = (Walk *)rw;
    for (int i = 0; i < old->nodes.n; i++)
        if (w->live[old->nodes.at[i]->id]) rewrite_visit(rw, old->nodes.at[i]);
}

void rewrite_inline(Rewrite *rw, const Node *call, Value *const *in, Value **out)
{
    const Region *body = call->region_at[0];
    for (int i = 0; i < call->n_in; i++) rw->map[body->params.at[i]->id] = in[i];
    rewrite_body(rw, body);
    for (int i = 0; i < call->n_out; i++) out[i] = rw->map[body->results.at[i]->id];
}

Value **rewrite_splice(Build *b, Graph *from, Value *const *args)
{
    Pool *p = b->ctx->pool;
    const Origin *origin = b->ctx->origin;
    Walk w = {.rw = {.src = from, .dst = b->at->graph, .b = *b}, .live = graph_live(from)};
    w.rw.map = POOL_ARRAY(p, Value *, from->n_values);
    for (int i = 0; i < from->top->params.n; i++) w.rw.map[from->top->params.at[i]->id] = args[i];
    rewrite_body(&w.rw, from->top);
    Value **out = POOL_ARRAY(p, Value *, from->top->results.n);
    for (int i = 0; i < from->top->results.n; i++) out[i] = w.rw.map[from->top->results.at[i]->id];
    b->ctx->origin = origin;
    return out;
}

Rewrite *rewrite_begin(Graph *src, RewriteRule rule, void *user, bool cse)
{
    Context *c = src->ctx;
    Walk *w = POOL_NEW(c->pool, Walk);
    *w = (Walk){.rule = rule, .live = graph_live(src)};
    Rewrite *rw = &w->rw;
    rw->src = src;
    rw->dst = graph_new(c, src->name);
    rw->dst->signature = src->signature;
    rw->dst->chance = src->chance;
    rw->dst->n_states = src->n_states;
    rw->dst->state = src->state;
    rw->map = POOL_ARRAY(c->pool, Value *, src->n_values);
    rw->b = (Build){c, rw->dst->top, cse ? cse_new(c) : NULL};
    rw->user = user;
    for (int i = 0; i < src->top->params.n; i++) {
        Value *p = src->top->params.at[i];
        rw->map[p->id] = region_param(rw->dst->top, p->type, p->name);
    }
    return rw;
}

Graph *rewrite_end(Rewrite *rw)
{
    Graph *src = rw->src, *dst = rw->dst;
    Pool *p = dst->ctx->pool;
    for (int i = 0; i < src->top->results.n; i++) *VEC_PUSH(p, dst->top->results) = rw->map[src->top->results.at[i]->id];
    for (int i = 0; i < src->output_names.n; i++) *VEC_PUSH(p, dst->output_names) = src->output_names.at[i];
    return dst;
}

Rewrite *rewrite_start(Graph *src, RewriteRule rule, void *user, bool cse)
{
    const Origin *origin = src->ctx->origin;
    Rewrite *rw = rewrite_begin(src, rule, user, cse);
    rewrite_body(rw, src->top);
    rewrite_end(rw);
    src->ctx->origin = origin;
    return rw;
}

bool rewrite_graph(Build *b, Graph *src, Value *const *in, Value **out)
{
    Context *c = src->ctx;
    const Origin *origin = c->origin;
    Walk w = {.live = graph_live(src)};
    w.rw = (Rewrite){.src = src, .dst = b->at->graph, .map = POOL_ARRAY(c->pool, Value *, src->n_values), .b = *b};
    for (int i = 0; i < src->top->params.n; i++) w.rw.map[src->top->params.at[i]->id] = in[i];
    rewrite_body(&w.rw, src->top);
    c->origin = origin;
    bool ok = true;
    for (int i = 0; i < src->top->results.n; i++) ok &= (out[i] = w.rw.map[src->top->results.at[i]->id]) != NULL;
    return ok;
}

Graph *graph_rewrite(Graph *src, RewriteRule rule, void *user, bool cse)
{
    Context *c = src->ctx;
    int errors = c->diag.errors;
    Graph *g = rewrite_start(src, rule, user, cse)->dst;
    for (int i = 0; i < g->top->results.n && c->diag.errors == errors; i++)
        if (!g->top->results.at[i]) ctx_error(c, DLVK_INTERNAL, "a rewrite of '%s' lost output %d", src->name, i);
    return c->diag.errors > errors ? NULL : g;
}
