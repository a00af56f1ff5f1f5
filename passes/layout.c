/* Layout: the transposes that channels-last convolutions leave behind move down the graph until they cancel.
 *
 * build_conv_nchw() makes transpose(conv(transpose(x))). The transpose after a convolution ("ours") is carried past every
 * op that can as well work on the untransposed operand: op(T(y)) becomes T(op'(y)), with op' on permuted axes. Where the
 * next convolution's own transpose follows, both vanish; so a body of convolutions, pools, residual sums and concats ends
 * up channels last throughout. Operands that are not transposed follow by the inverse transpose, which is free for constants and
 * for broadcasts; an op with more operands that are not free than operands of ours stays as it is. A reshape keeps T by splitting
 * and merging axes in the untransposed order, after one transpose where that needs other neighbours.
 *
 * Requires: any valid graph. Keeps: values and symbols. Breaks: nothing, but leaves transposed constants to fold. */
#include "passes/passes.h"

#include <string.h>

typedef struct Layout {
    VEC(bool) ours; /* by new value id: a transpose to carry on */
    Context *c;
    bool *update; /* by old node id */
} Layout;

static bool is_ours(const Layout *l, const Value *v)
{
    return v->id < l->ours.n && l->ours.at[v->id] && v->def && v->def->op == OP_TRANSPOSE;
}

static void mark(Layout *l, const Value *v)
{
    if (!v) return;
    while (l->ours.n <= v->id) *VEC_PUSH(l->c->pool, l->ours) = false;
    l->ours.at[v->id] = true;
}

static const int64_t *perm_of(const Value *v)
{
    return attr_ints(v->def, A_PERM);
}

static bool same_perm(const Value *v, const int64_t *p, int rank)
{
    return v->type.rank == rank && memcmp(perm_of(v), p, (size_t)rank * sizeof *p) == 0;
}

/* T(y, p), ours. */
static Value *carry(Layout *l, Rewrite *rw, Value *y, const int64_t *p)
{
    int perm[DLVK_MAX_RANK];
    if (!y) return NULL;
    for (int i = 0; i < y->type.rank; i++) perm[i] = (int)p[i];
    Value *v = build_transpose(&rw->b, y, perm);
    mark(l, v);
    return v;
}

/* Whether undo() costs nothing at run time. */
static bool is_free(const Value *v)
{
    while (v->def && v->def->op == OP_BROADCAST) v = v->def->in[0];
    if (value_const(v, NULL)) return true;
    int large = 0; /* axes that move; fewer than two: a reshape */
    for (int i = 0; i < v->type.rank; i++) large += !dim_is(v->type.dim[i], 1);
    return large < 2;
}

/* u with T(u, p) = v */
static Value *undo(Rewrite *rw, Value *v, const int64_t *p)
{
    int rank = v->type.rank, inverse[DLVK_MAX_RANK];
    for (int i = 0; i < rank; i++) inverse[p[i]] = i;
    if (!v->def || v->def->op != OP_BROADCAST) return build_transpose(&rw->b, v, inverse);
    const Dim *dims[DLVK_MAX_RANK];
    for (int i = 0; i < rank; i++) dims[p[i]] = v->type.dim[i];
    return build_broadcast(&rw->b, undo(rw, v->def->in[0], p), rank, dims);
}

/* Attributes that speak of axes, for the untransposed operand. */
static void move_attrs(Context *c, const Node *old, const int64_t *p, int rank, Attr *attr)
{
    for (int k = 0; k < old->n_attr; k++) {
        Attr a = old->attr[k];
        if (a.id == A_AXIS) {
            a.i = p[a.i];
        } else if (a.id == A_AXES) {
            int64_t *axes = POOL_ARRAY(c->pool, int64_t, a.n);
            int n = 0;
            for (int y = 0; y < rank; y++)
                for (int i = 0; i < a.n; i++)
                    if (p[a.ints[i]] == y) axes[n++] = y;
            a.ints = axes;
        } else if (attr_type[a.id] == ATTR_INTS && a.n == rank) {
            int64_t *ints = POOL_ARRAY(c->pool, int64_t, rank);
            for (int i = 0; i < rank; i++) ints[p[i]] = a.ints[i];
            a.ints = ints;
        } else if (attr_type[a.id] == ATTR_DIMS && a.n == rank) {
            const Dim **dims = POOL_ARRAY(c->pool, const Dim *, rank);
            for (int i = 0; i < rank; i++) dims[p[i]] = a.dims[i];
            a.dims = dims;
        }
        attr[k] = a;
    }
}

/* How many operands follow the first into the other order; 0: the op stays. */
static int operands_moved(const Node *old, Value *const *in)
{
    if (op_info[old->op].point) return old->n_in;
    switch (old->op) {
    case OP_CONCAT: return old->n_in;
    case OP_CAST:
    case OP_BITCAST:
    case OP_BARRIER:
    case OP_REDUCE:
    case OP_ARGREDUCE:
    case OP_CUMULATE:
    case OP_WINDOW:
    case OP_ARGWINDOW:
    case OP_BROADCAST:
    case OP_SLICE:
    case OP_REVERSE:
    case OP_PAD:
    case OP_SORT: return 1;
    case OP_GATHER: return in[1]->type.rank == 1 ? 1 : 0; /* the result has the operand's axes */
    default: return 0;
    }
}

/* The permutation most operands of ours have, when they outweigh those that would need a transpose. */
static const int64_t *choose(const Layout *l, int n, Value *const *in)
{
    const int64_t *best = NULL;
    int most = 0;
    for (int i = 0; i < n; i++) {
        if (!is_ours(l, in[i])) continue;
        int same = 0, cost = 0;
        for (int k = 0; k < n; k++) {
            if (is_ours(l, in[k]) && same_perm(in[k], perm_of(in[i]), in[i]->type.rank))
                same++;
            else if (!is_free(in[k]))
                cost++;
        }
        if (same > most && same >= cost) {
            most = same;
            best = perm_of(in[i]);
        }
    }
    return best;
}

/* Operand axes in another order are the same to the op: not to a flat index in them. */
static bool keeps_meaning(const Node *old, const int64_t *p, int rank)
{
    int64_t before = -1;
    if (old->op != OP_ARGWINDOW) return true;
    for (int i = 0; i < rank; i++) {
        if (attr_ints(old, A_WINDOW)[i] == 1) continue;
        if (p[i] < before) return false;
        before = p[i];
    }
    return attr_i(old, A_PLACE, 0);
}

static bool sink(Layout *l, Rewrite *rw, const Node *old, int moved, Value *const *in, Value **out)
{
    Context *c = rw->dst->ctx;
    const int64_t *p = choose(l, moved, in);
    if (!p || !keeps_meaning(old, p, in[0]->type.rank)) return false;
    Value **x = POOL_ARRAY(c->pool, Value *, old->n_in);
    for (int i = 0; i < old->n_in; i++) x[i] = i < moved ? undo(rw, in[i], p) : in[i];
    Attr *attr = POOL_ARRAY(c->pool, Attr, old->n_attr);
    move_attrs(c, old, p, in[0]->type.rank, attr);
    if (old->n_out == 1) {
        out[0] = carry(l, rw, build_op(&rw->b, old->op, old->n_in, x, old->n_attr, attr), p);
        return true;
    }
    Node *n = build_node(&rw->b, old->op, old->n_in, x, old->n_attr, attr, 0, NULL);
    for (int i = 0; n && i < old->n_out; i++) out[i] = carry(l, rw, n->out[i], p);
    return true;
}

/* Runs of axes that a reshape maps onto each other: axes [in0, in1) of x hold the elements of axes [out0, out1) of y. */
typedef struct Group {
    int in0, in1, out0, out1;
    int at; /* the first of its axes in the untransposed order */
} Group;

static void prefix_products(DimTable *t, Type x, const Dim **prefix)
{
    prefix[0] = dim_const(t, 1);
    for (int i = 0; i < x.rank; i++) prefix[i + 1] = dim_mul(t, prefix[i], x.dim[i]);
}

static int find_groups(DimTable *t, Type x, Type y, Group *g)
{
    const Dim *px[DLVK_MAX_RANK + 1], *py[DLVK_MAX_RANK + 1];
    int n = 0, in0 = 0, out0 = 0;
    prefix_products(t, x, px);
    prefix_products(t, y, py);
    for (int i = 1; i <= x.rank; i++) {
        for (int j = out0; j <= y.rank; j++) {
            if (px[i] != py[j]) continue;
            g[n++] = (Group){in0, i, out0, j, 0};
            in0 = i;
            out0 = j;
            break;
        }
    }
    if (in0 < x.rank || out0 < y.rank) g[n++] = (Group){in0, x.rank, out0, y.rank, 0};
    return n;
}

/* reshape(T(y, p)) = T'(reshape(transpose(y))), where the inner transpose makes the axes of each group neighbours: it costs
 * no more than T would, and mostly nothing. */
static bool sink_reshape(Layout *l, Rewrite *rw, const Node *old, Value *const *in, Value **out)
{
    DimTable *t = &rw->dst->ctx->dims;
    Group g[2 * DLVK_MAX_RANK + 1];
    Type to = old->out[0]->type;
    const int64_t *p = perm_of(in[0]);
    int order[DLVK_MAX_RANK], n_order = 0, rank = 0;
    const Dim *shape[DLVK_MAX_RANK];
    int64_t back[DLVK_MAX_RANK];
    for (int i = 0; i < in[0]->type.rank; i++)
        if (dim_is(in[0]->type.dim[i], 0)) return false;
    int n = find_groups(t, in[0]->type, to, g);
    for (int k = 0; k < n; k++) {
        g[k].at = g[k].in0 < g[k].in1 ? (int)p[g[k].in0] : k ? g[k - 1].at : -1;
        for (int i = g[k].in0; i < g[k].in1; i++)
            if (p[i] < g[k].at) g[k].at = (int)p[i];
    }
    for (int at = -1; at < in[0]->type.rank; at++) {
        for (int k = 0; k < n; k++) {
            if (g[k].at != at) continue;
            for (int i = g[k].in0; i < g[k].in1; i++) order[n_order++] = (int)p[i];
            for (int j = g[k].out0; j < g[k].out1; j++) {
                back[j] = rank;
                shape[rank++] = to.dim[j];
            }
        }
    }
    Value *y = build_transpose(&rw->b, in[0]->def->in[0], order);
    out[0] = carry(l, rw, build_reshape(&rw->b, y, rank, shape), back);
    return true;
}

/* A transpose of T: one of both, still ours, unless they cancel. */
static bool merge_transposes(Layout *l, Rewrite *rw, const Node *old, Value *const *in, Value **out)
{
    const int64_t *p = perm_of(in[0]), *q = attr_ints(old, A_PERM);
    int64_t both[DLVK_MAX_RANK];
    for (int i = 0; i < in[0]->type.rank; i++) both[i] = p[q[i]];
    out[0] = carry(l, rw, in[0]->def->in[0], both);
    return true;
}

static bool layout(Rewrite *rw, const Node *old, Value *const *in, Value **out)
{
    Layout *l = rw->user;
    if (old->op == OP_TRANSPOSE && is_ours(l, in[0])) return merge_transposes(l, rw, old, in, out);
    if (old->op == OP_TRANSPOSE && in[0]->def && in[0]->def->op == OP_CONV) {
        out[0] = carry(l, rw, in[0], attr_ints(old, A_PERM));
        return true;
    }
    if (l->update[old->id]) return false;
    if (old->op == OP_RESHAPE && is_ours(l, in[0])) return sink_reshape(l, rw, old, in, out);
    int moved = operands_moved(old, in);
    return moved && sink(l, rw, old, moved, in, out);
}

/* Nodes that compute nothing but states' next values from what they are given, element by element: an optimizer's update. States
 * have their own order, so a transpose carried past these would take one for every state that comes in, and one back. */
static bool *find_updates(Graph *g)
{
    Region *top = g->top;
    bool *update = POOL_ARRAY(g->ctx->pool, bool, g->n_nodes + 1), *other = POOL_ARRAY(g->ctx->pool, bool, g->n_values + 1);
    for (int i = 0; i < top->results.n - g->n_states; i++) other[top->results.at[i]->id] = true;
    for (int i = top->nodes.n - 1; i >= 0; i--) {
        Node *n = top->nodes.at[i];
        bool point = op_info[n->op].point || n->op == OP_CAST;
        update[n->id] = point && !other[n->out[0]->id];
        for (int k = 0; k < n->n_in && !update[n->id]; k++) other[n->in[k]->id] = true;
        if (n->n_region) /* which may use anything */
            for (int k = 0; k < i; k++)
                for (int o = 0; o < top->nodes.at[k]->n_out; o++) other[top->nodes.at[k]->out[o]->id] = true;
    }
    return update;
}

Graph *pass_layout(Graph *g)
{
    Layout l = {.c = g->ctx, .update = find_updates(g)};
    return graph_rewrite(g, layout, &l, true);
}
