/* ai.onnx.preview.training's Gradient: the derivative of the sum of a named tensor's elements, by the autodiff pass.
 *
 * The nodes between the named variables and that tensor become a graph of their own, in which the variables, and everything
 * that does not depend on them, are parameters. That is differentiated and put in the place of the node, on the values that the
 * node is given; where these are the variables themselves, the common part is shared with the model's by the passes. */
#include "frontend/onnx/importer.h"
#include "ir/rewrite.h"
#include "passes/grad.h"
#include <string.h>

static bool is_named(const Onnx__GraphProto *g, const char *name)
{
    static const char *const lists[] = {"xs", "zs"};
    for (size_t i = 0; i < g->n_node; i++) {
        const Onnx__NodeProto *p = g->node[i];
        if (!p->op_type || strcmp(p->op_type, "Gradient") != 0) continue;
        for (size_t k = 0; k < p->n_attribute; k++) {
            const Onnx__AttributeProto *a = p->attribute[k];
            if (!a->name || (strcmp(a->name, lists[0]) != 0 && strcmp(a->name, lists[1]) != 0)) continue;
            for (size_t s = 0; s < a->n_strings; s++)
                if (a->strings[s].len == strlen(name) && memcmp(a->strings[s].data, name, strlen(name)) == 0) return true;
        }
    }
    return false;
}

Value *onnx_variable(const Scope *s, Build *b, const char *name, Value *v)
{
    bool imported = scope_opset(s, "ai.onnx.preview.training") > 0; /* otherwise there is no Gradient to look for */
    bool variable = v && imported && !s->parent && !s->frame && is_named(s->im->model->proto->graph, name);
    return variable && (!v->def || v->def->op != OP_BARRIER) ? build_op(b, OP_BARRIER, 1, &v, 0, NULL) : v;
}

/* The graph to differentiate, while it is made. */
typedef struct Extract {
    const bool *depends; /* by value id: on a variable */
    int n;
    Value **variable;  /* of the model's graph */
    VEC(Value *) args; /* of the parameters made so far, what to put for each: by that graph's values, NULL for a variable */
} Extract;

static Value *parameter(Rewrite *rw, Extract *e, Value *old, Value *arg)
{
    Value *p = region_param(rw->dst->top, old->type, old->name);
    *VEC_PUSH(rw->dst->ctx->pool, e->args) = arg;
    return p;
}

/* Variables, and what does not depend on any, become parameters; constants stay. */
static bool extract(Rewrite *rw, const Node *old, Value *const *in, Value **out)
{
    (void)in;
    Extract *e = rw->user;
    if (old->parent != rw->src->top || old->op == OP_CONST || old->op == OP_DIMS) return false;
    bool any = false;
    for (int i = 0; i < old->n_out; i++) {
        any = any || e->depends[old->out[i]->id];
        for (int k = 0; k < e->n; k++)
            if (old->out[i] == e->variable[k]) {
                out[0] = parameter(rw, e, old->out[i], NULL);
                return true;
            }
    }
    if (any) return false;
    for (int i = 0; i < old->n_out; i++) out[i] = parameter(rw, e, old->out[i], old->out[i]);
    return true;
}

static bool uses(const Region *r, const bool *depends)
{
    for (int i = 0; i < r->nodes.n; i++) {
        const Node *n = r->nodes.at[i];
        for (int k = 0; k < n->n_in; k++)
            if (depends[n->in[k]->id]) return true;
        for (int k = 0; k < n->n_region; k++)
            if (uses(n->region_at[k], depends)) return true;
    }
    for (int i = 0; i < r->results.n; i++)
        if (depends[r->results.at[i]->id]) return true;
    return false;
}

/* What depends on the variables; false, with an error, where sizes do. */
static bool mark(OnnxNode *n, const Region *r, bool *depends)
{
    for (int i = 0; i < r->nodes.n; i++) {
        const Node *node = r->nodes.at[i];
        bool any = false;
        for (int k = 0; k < node->n_in; k++) any = any || depends[node->in[k]->id];
        for (int k = 0; k < node->n_region; k++) any = any || uses(node->region_at[k], depends);
        if (any && node->op == OP_READ_DIMS) {
            onnx_error(n, "sizes depend on the values of the variables");
            return false;
        }
        for (int k = 0; any && k < node->n_out; k++) depends[node->out[k]->id] = true;
    }
    return true;
}

/* A name of the graph as its value; NULL after an error. */
static Value *named(OnnxNode *n, const char *attr, const char *name)
{
    const Entry *e = scope_find(n->scope, name);
    Value *v = e ? e->item.value : NULL;
    if (v && dtype_is_float(v->type.dtype)) return v;
    if (!e || v || e->item.seq)
        onnx_error(n, "attribute '%s': '%s' %s", attr, name, e ? "is not a tensor of floats" : "is not defined");
    return NULL;
}

/* The variables of both lists, and what the node gives for each; how many, or -1 after an error. */
static int variables(OnnxNode *n, Value ***list, int *n_xs)
{
    int n_zs = 0;
    const char *const *xs = onnx_strs(n, "xs", n_xs), *const *zs = onnx_strs(n, "zs", &n_zs);
    if (!xs) *n_xs = 0;
    if (!zs) n_zs = 0;
    if (*n_xs + n_zs != n->n_in || n->n_out > *n_xs) {
        onnx_error(n, "%d inputs and %d outputs for %d names in 'xs' and %d in 'zs'", n->n_in, n->n_out, *n_xs, n_zs);
        return -1;
    }
    *list = POOL_ARRAY(n->b->ctx->pool, Value *, n->n_in);
    for (int i = 0; i < n->n_in; i++) {
        const char *name = i < *n_xs ? xs[i] : zs[i - *n_xs];
        const Entry *e = scope_find(n->scope, name);
        /* a variable that is not differentiated may be of integers: labels */
        Value *v = i < *n_xs ? named(n, "xs", name) : e ? e->item.value : NULL;
        if (i >= *n_xs && !v) onnx_error(n, "attribute 'zs': '%s' is not defined, or not a tensor", name);
        if (!v) return -1;
        if (!in(n, i) || in(n, i)->type.dtype != v->type.dtype || in(n, i)->type.rank != v->type.rank) {
            onnx_error(n, "input %d is not of the type of '%s'", i, name);
            return -1;
        }
        for (int d = 0; d < v->type.rank; d++) ctx_constrain(n->b->ctx, DIM_EQ, in(n, i)->type.dim[d], v->type.dim[d]);
        (*list)[i] = v;
    }
    return n->n_in;
}

void lower_gradient(OnnxNode *n)
{
    Graph *graph = n->im->graph;
    Pool *p = graph->ctx->pool;
    if (n->b->at != graph->top || n->im->part) {
        onnx_error(n, "it stands in %s, which is not supported", n->im->part ? "a part of another graph" : "a branch or loop");
        return;
    }
    Extract e = {0};
    int n_xs;
    const char *y_name = onnx_str(n, "y", "");
    Value *y = named(n, "y", y_name);
    e.n = y ? variables(n, &e.variable, &n_xs) : -1;
    if (e.n < 0) return;
    bool *depends = POOL_ARRAY(p, bool, graph->n_values);
    for (int i = 0; i < e.n; i++) depends[e.variable[i]->id] = true;
    if (!mark(n, graph->top, depends)) return;
    e.depends = depends;
    for (int i = 0; i < graph->top->params.n; i++) *VEC_PUSH(p, e.args) = graph->top->params.at[i];
    *VEC_PUSH(p, graph->top->results) = y; /* the graph has no results yet */
    Rewrite *rw = rewrite_start(graph, extract, &e, false);
    graph->top->results.n = 0;

    Value **wrt = POOL_ARRAY(p, Value *, n_xs);
    const char **names = POOL_ARRAY(p, const char *, n_xs);
    for (int i = 0; i < n_xs; i++) {
        Value *x = rw->map[e.variable[i]->id];
        wrt[i] = x ? x : (rw->map[e.variable[i]->id] = parameter(rw, &e, e.variable[i], NULL)); /* y does without it */
        names[i] = y_name;
    }
    GradSpec spec = {.loss = rw->dst->top->results.at[0], .n = n_xs, .wrt = wrt, .name = names};
    Graph *g = spec.loss ? graph_grad(rw->dst, &spec) : NULL;
    if (!g) return;
    for (int i = 0; i < e.n; i++) {
        Value *x = rw->map[e.variable[i]->id];
        if (x && x->region == rw->dst->top && !x->def) e.args.at[x->out] = in(n, i);
    }
    Value *const *results = rewrite_splice(n->b, g, e.args.at);
    for (int i = 0; i < n->n_out; i++) n->out[i] = results[1 + i];
}
