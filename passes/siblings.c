/* Siblings: products of one matrix with several constant ones become a single product with them side by side, of whose columns
 * each takes a slice: the projections of attention to queries, keys and values. One larger kernel has more to share out than
 * three small ones, and costs one launch.
 *
 * Biases, and reshapes that keep the columns or count them in heads, come along, so that the slices are all that is left to read;
 * then nothing but movement may follow: pointwise code would have been part of the products' kernels, and no longer is.
 *
 * Requires: constants folded, lowered. Keeps: values. Breaks: nothing. */
#include "passes/passes.h"

#include <string.h>

enum { LONGEST = 6, MOST = 16, VECTOR = 8 };

/* From a product to what is sliced. */
typedef struct Chain {
    const Node *dot, *node[LONGEST]; /* each the only user of the one before */
    const Tensor *weight, *bias[LONGEST];
    const Value *end;
    int n;
    int64_t columns;
    bool heads; /* ends with the columns counted in heads */
} Chain;

typedef struct Group {
    Chain of[MOST];
    int n;
    Value *slice[MOST]; /* in the new graph */
} Group;

typedef struct Siblings {
    Graph *g;
    const int *uses;
    const Node **user; /* by value id: some live user in its region */
    int *moved;        /* by value id: uses by movement of its region */
    VEC(Group *) groups;
    Group **group; /* by node id, of products */
    Value **done;  /* by value id: ends of chains in the new graph */
} Siblings;

static bool is_movement(Op op)
{
    return op == OP_RESHAPE || op == OP_TRANSPOSE || op == OP_SLICE || op == OP_BROADCAST;
}

static bool plain(const Tensor *t)
{
    return t->dtype == DLVK_F32 || t->dtype == DLVK_F16 || t->dtype == DLVK_BF16;
}

/* The constant matrix [k, n]. */
static const Tensor *weight_of(const Value *v)
{
    const Tensor *t;
    return value_const(v, &t) && t->rank == 2 && plain(t) ? t : NULL;
}

/* A constant for each column, the same in all rows. */
static const Tensor *bias_of(const Value *v, int64_t columns)
{
    const Tensor *t;
    if (v->def && v->def->op == OP_BROADCAST) v = v->def->in[0];
    if (!value_const(v, &t) || !plain(t)) return NULL;
    bool one = t->count == 1, all = t->rank > 0 && t->count == columns && t->dim[t->rank - 1] == columns;
    return one || all ? t : NULL;
}

static bool extends(Chain *c, const Node *u, const Value *v)
{
    Type t = u->out[0]->type;
    int64_t heads, size;
    if (u->op == OP_ADD) return (c->bias[c->n] = bias_of(u->in[u->in[0] == v], c->columns)) != NULL;
    if (u->op != OP_RESHAPE || t.rank < 2) return false;
    if (dim_is(t.dim[t.rank - 1], c->columns)) return true;
    c->heads = dim_is_const(t.dim[t.rank - 2], &heads) && dim_is_const(t.dim[t.rank - 1], &size) && heads * size == c->columns &&
               size % VECTOR == 0;
    return c->heads;
}

static bool chain_from(const Siblings *s, const Node *dot, Chain *c)
{
    *c = (Chain){.dot = dot, .weight = weight_of(dot->in[1]), .end = dot->out[0]};
    if (!c->weight || !dim_is_const(dot->out[0]->type.dim[1], &c->columns) || c->columns % VECTOR) return false;
    while (c->n < LONGEST && !c->heads && s->uses[c->end->id] == 1) {
        const Node *u = s->user[c->end->id];
        if (!u || !extends(c, u, c->end)) break;
        c->node[c->n++] = u;
        c->end = u->out[0];
    }
    return s->uses[c->end->id] > 0 && s->moved[c->end->id] == s->uses[c->end->id];
}

/* Shapes but for the columns, of which heads have the same size. */
static bool alike(const Chain *a, const Chain *b)
{
    if (a->dot->in[0] != b->dot->in[0] || a->weight->dtype != b->weight->dtype || a->n != b->n || a->heads != b->heads)
        return false;
    for (int i = 0; i < a->n; i++) {
        Type t = a->node[i]->out[0]->type, u = b->node[i]->out[0]->type;
        if (a->node[i]->op != b->node[i]->op || t.rank != u.rank || t.dtype != u.dtype) return false;
        int axis = t.rank - 1 - (a->heads && i == a->n - 1);
        for (int k = 0; k < t.rank; k++)
            if (k != axis && t.dim[k] != u.dim[k]) return false;
        if (a->bias[i] && a->bias[i]->dtype != b->bias[i]->dtype) return false;
    }
    return true;
}

static void gather(Siblings *s, const Region *r, const bool *live)
{
    int first = s->groups.n;
    for (int i = 0; i < r->nodes.n; i++) {
        const Node *n = r->nodes.at[i];
        Chain c;
        if (!live[n->id] || n->op != OP_DOT || n->out[0]->type.rank != 2 || !chain_from(s, n, &c)) continue;
        Group *g = NULL;
        for (int k = first; k < s->groups.n && !g; k++)
            if (s->groups.at[k]->n < MOST && alike(&s->groups.at[k]->of[0], &c)) g = s->groups.at[k];
        if (!g) *VEC_PUSH(s->g->ctx->pool, s->groups) = g = POOL_NEW(s->g->ctx->pool, Group);
        g->of[g->n++] = c;
        s->group[n->id] = g;
    }
    /* Behind its own, so that no product of a branch is taken for one of theirs: what it computes stays inside. */
    for (int i = 0; i < r->nodes.n; i++)
        for (int k = 0; k < r->nodes.at[i]->n_region; k++) gather(s, r->nodes.at[i]->region_at[k], live);
}

static void note_users(Siblings *s, const Region *r, const bool *live)
{
    for (int i = 0; i < r->nodes.n; i++) {
        const Node *n = r->nodes.at[i];
        if (!live[n->id]) continue;
        for (int k = 0; k < n->n_region; k++) note_users(s, n->region_at[k], live);
        for (int k = 0; k < n->n_in; k++) {
            if (n->in[k]->region != r) continue;
            s->user[n->in[k]->id] = n;
            s->moved[n->in[k]->id] += is_movement(n->op);
        }
    }
}

/* Tensors side by side along their last axis; each of columns[i] columns, or a single number for all of these. */
static const Tensor *side_by_side(Pool *p, int n, const Tensor *const *t, const int64_t *columns, int64_t rows, int rank)
{
    int64_t size = dtype_bytes(t[0]->dtype, 1), all = 0;
    for (int i = 0; i < n; i++) all += columns[i];
    char *data = pool_alloc(p, (size_t)(rows * all * size)), *to = data;
    for (int64_t r = 0; r < rows; r++)
        for (int i = 0; i < n; i++) {
            const char *from = t[i]->data;
            bool one = t[i]->splat || t[i]->count == 1;
            if (!one) memcpy(to, from + r * columns[i] * size, (size_t)(columns[i] * size));
            for (int64_t k = 0; one && k < columns[i]; k++) memcpy(to + k * size, from, (size_t)size);
            to += columns[i] * size;
        }
    const int64_t dim[] = {rows, all};
    return tensor_new(p, t[0]->dtype, rank, rank == 2 ? dim : dim + 1, data);
}

/* The one product, what comes along, and the slices. */
static void build_group(Rewrite *rw, Group *g, Value *a)
{
    Build *b = &rw->b;
    Pool *p = b->ctx->pool;
    DimTable *dt = &b->ctx->dims;
    const Chain *c = &g->of[0];
    const Tensor *t[MOST];
    int64_t columns[MOST], all = 0;
    for (int i = 0; i < g->n; i++) {
        t[i] = g->of[i].weight;
        all += columns[i] = g->of[i].columns;
    }
    Value *v = build_dot(b, a, build_const(b, side_by_side(p, g->n, t, columns, c->weight->dim[0], 2)));
    int axis = 1;
    int64_t size = 1;
    for (int k = 0; k < c->n; k++) {
        Type type = c->node[k]->out[0]->type;
        if (c->node[k]->op == OP_ADD) {
            for (int i = 0; i < g->n; i++) t[i] = g->of[i].bias[k];
            Value *bias = build_const(b, side_by_side(p, g->n, t, columns, 1, 1));
            v = build_map2(b, OP_ADD, v, bias);
            continue;
        }
        const Dim *shape[DLVK_MAX_RANK];
        memcpy(shape, type.dim, sizeof shape);
        axis = type.rank - 1;
        if (c->heads && k == c->n - 1) dim_is_const(type.dim[axis--], &size);
        shape[axis] = dim_const(dt, all / size);
        v = build_reshape(b, v, type.rank, shape);
    }
    int64_t at = 0;
    for (int i = 0; i < g->n; i++) {
        g->slice[i] = build_slice_axis(b, v, axis, dim_const(dt, at / size), dim_const(dt, columns[i] / size));
        at += columns[i];
    }
}

static bool join(Rewrite *rw, const Node *old, Value *const *in, Value **out)
{
    Siblings *s = rw->user;
    Group *g = s->group[old->id];
    if (g && g->n > 1 && !g->slice[0]) {
        build_group(rw, g, in[0]);
        for (int i = 0; i < g->n; i++) s->done[g->of[i].end->id] = g->slice[i];
    }
    if (old->n_out != 1 || !s->done[old->out[0]->id]) return false;
    out[0] = s->done[old->out[0]->id];
    return true;
}

Graph *pass_siblings(Graph *g)
{
    Pool *p = g->ctx->pool;
    Siblings s = {.g = g, .uses = graph_use_counts(g)};
    s.user = POOL_ARRAY(p, const Node *, g->n_values);
    s.moved = POOL_ARRAY(p, int, g->n_values);
    s.group = POOL_ARRAY(p, Group *, g->n_nodes);
    s.done = POOL_ARRAY(p, Value *, g->n_values);
    const bool *live = graph_live(g);
    note_users(&s, g->top, live);
    gather(&s, g->top, live);
    return graph_rewrite(g, join, &s, true);
}
