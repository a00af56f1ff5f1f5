/* Finds attention among primitives: softmax(scores of q k) v, whoever wrote it and however.
 *
 * What must hold is what the kernel needs, no more. Scores are any pointwise code on the first dot's result and on other values:
 * scales, biases, masks, caps. Between the dots, reshapes may change the axes before the last two, and casts the type. Behind
 * softmax, weights may become 0 in rows that attend to nothing. Nobody else uses anything in between (a training step does, and
 * then the kernels are those of its parts). The head sizes are constants, since the kernel keeps rows of them in registers. */
#include <math.h>

#include "ir/kernel.h"

enum { MOST = 256 }; /* of a head's elements */

typedef struct Match {
    Pool *pool;
    const int *uses;
    Attention *a;
    Value *e, *weights; /* exponentials; softmax's result */
    bool *dep;          /* by node id: computed from the first dot */
    bool *needed;       /* by node id: goes into the weights */
} Match;

static bool is_plain_float(const Value *v)
{
    return dtype_is_float(v->type.dtype) && dtype_bits(v->type.dtype) <= 32 && dtype_bits(v->type.dtype) >= 16;
}

static bool is_pointwise(const Node *n)
{
    return op_info[n->op].point || n->op == OP_CAST;
}

/* The same matrices in another order of batches. */
static bool keeps_matrices(const Node *n)
{
    Type from = n->in[0]->type, to = n->out[0]->type;
    return from.rank >= 2 && to.rank >= 2 && from.dim[from.rank - 1] == to.dim[to.rank - 1] &&
           from.dim[from.rank - 2] == to.dim[to.rank - 2];
}

static bool made_by(const Value *v, Op op)
{
    return v->def && v->def->op == op;
}

/* A reduction of x along its last axis, repeated along it again: the reduction's result. */
static Value *spread_reduction(const Value *v, Kind k, const Value *x)
{
    if (!made_by(v, OP_BROADCAST) || !made_by(v->def->in[0], OP_REDUCE)) return NULL;
    const Node *n = v->def->in[0]->def;
    const Attr *axes = node_attr(n, A_AXES);
    if ((Kind)attr_i(n, A_KIND, 0) != k || n->in[0] != x || axes->n != 1 || axes->ints[0] != x->type.rank - 1) return NULL;
    return n->out[0];
}

/* v is e / sum(e), e = exp(s - max(s)). */
static bool match_softmax(Match *m, Value *v)
{
    if (!made_by(v, OP_DIV) || v->type.rank < 2) return false;
    m->weights = v;
    m->e = v->def->in[0];
    m->a->total = spread_reduction(v->def->in[1], KIND_SUM, m->e);
    if (!m->a->total || !made_by(m->e, OP_EXP) || !made_by(m->e->def->in[0], OP_SUB)) return false;
    const Node *d = m->e->def->in[0]->def;
    m->a->scores = d->in[0];
    m->a->top = spread_reduction(d->in[1], KIND_MAX, d->in[0]);
    return m->a->top && is_plain_float(d->in[0]);
}

/* From pv's left operand back to softmax. */
static bool match_weights(Match *m, Value *v)
{
    double c;
    while (v->def && is_plain_float(v)) {
        Node *n = v->def;
        if (n->op == OP_CAST || (n->op == OP_RESHAPE && keeps_matrices(n))) {
            v = n->in[0];
        } else if (n->op == OP_SELECT && !m->a->dead && value_scalar(n->in[1], &c) && c == 0) {
            m->a->dead = n->in[0];
            v = n->in[2];
        } else {
            break;
        }
    }
    return match_softmax(m, v);
}

/* Marks what v is computed from. */
static void mark_needed(Match *m, const Value *v, const Region *r)
{
    if (!v->def || v->def->parent != r || m->needed[v->def->id]) return;
    m->needed[v->def->id] = true;
    if (v->def == m->a->qk) return;
    for (int i = 0; i < v->def->n_in; i++) mark_needed(m, v->def->in[i], r);
}

static bool any_operand(const Match *m, const Node *n)
{
    for (int i = 0; i < n->n_in; i++)
        if (n->in[i]->def && m->dep[n->in[i]->def->id]) return true;
    return false;
}

/* Whether everything computed from qk goes into pv's weights and nowhere else. Lists it. */
static bool closed(Match *m)
{
    Attention *a = m->a;
    const Region *r = a->pv->parent;
    mark_needed(m, a->pv->in[0], r);
    if (!m->needed[a->qk->id]) return false;
    m->dep[a->qk->id] = true;
    int slots = 0, wanted = m->uses[a->qk->out[0]->id];
    for (int i = 0; i < r->nodes.n; i++) {
        Node *n = r->nodes.at[i];
        if (!any_operand(m, n)) continue;
        if (n != a->pv && !m->needed[n->id]) return false;
        for (int k = 0; k < n->n_in; k++) slots += n->in[k]->def && m->dep[n->in[k]->def->id];
        if (n == a->pv) continue;
        if (n->n_out != 1) return false;
        m->dep[n->id] = true;
        wanted += m->uses[n->out[0]->id];
        *VEC_PUSH(m->pool, a->nodes) = n;
    }
    return slots == wanted && !(a->pv->in[1]->def && m->dep[a->pv->in[1]->def->id]);
}

/* Nodes between qk and v, one way or another, that are not as they should be. */
static bool pointwise_scores(Match *m, const Value *v, int depth)
{
    const Node *n = v->def;
    if (!n || !m->dep[n->id] || n == m->a->qk) return true;
    if (depth > 64 || v->type.rank < 2 || !(is_pointwise(n) || (n->op == OP_RESHAPE && keeps_matrices(n)))) return false;
    for (int i = 0; i < n->n_in; i++)
        if (!pointwise_scores(m, n->in[i], depth + 1)) return false;
    return true;
}

/* Whether v is computed from the rows' maxima and sums alone, with one number a row. */
static bool of_rows(Match *m, const Value *v, int depth)
{
    const Node *n = v->def;
    if (v == m->a->top || v == m->a->total || value_scalar(v, NULL)) return true;
    if (!n || !m->dep[n->id] || depth > 16 || !(is_pointwise(n) || n->op == OP_BROADCAST)) return false;
    for (int i = 0; i < n->n_in; i++)
        if (!of_rows(m, n->in[i], depth + 1)) return false;
    return true;
}

static bool match_dead(Match *m)
{
    Value *dead = m->a->dead;
    if (!dead) return true;
    if (made_by(dead, OP_IS_NAN)) {
        Value *v = dead->def->in[0];
        while (made_by(v, OP_CAST) || (made_by(v, OP_RESHAPE) && keeps_matrices(v->def))) v = v->def->in[0];
        m->a->nan_dead = v == m->weights;
        return m->a->nan_dead;
    }
    return of_rows(m, dead, 0);
}

/* The dots that scores may come from, by pointwise code and reshapes: tried one by one. */
static bool match_from(Match *m, Value *v, int depth, bool *seen)
{
    Node *n = v->def;
    Attention *a = m->a;
    if (!n || n->parent != a->pv->parent || depth > 64 || seen[n->id]) return false;
    seen[n->id] = true;
    if (n->op == OP_DOT) {
        Type t = n->out[0]->type, s = a->scores->type;
        if (!is_plain_float(n->out[0]) || !is_plain_float(n->in[0]) || !is_plain_float(n->in[1])) return false;
        if (t.dim[t.rank - 1] != s.dim[s.rank - 1] || t.dim[t.rank - 2] != s.dim[s.rank - 2]) return false;
        const Graph *g = n->parent->graph;
        a->qk = n;
        a->nodes.n = 0;
        m->dep = POOL_ARRAY(m->pool, bool, g->n_nodes);
        m->needed = POOL_ARRAY(m->pool, bool, g->n_nodes);
        return closed(m) && pointwise_scores(m, a->scores, 0) && match_dead(m);
    }
    if (!is_pointwise(n) && !(n->op == OP_RESHAPE && keeps_matrices(n))) return false;
    for (int i = 0; i < n->n_in; i++)
        if (match_from(m, n->in[i], depth + 1, seen)) return true;
    return false;
}

static bool head_size(const Dim *d)
{
    int64_t n;
    return dim_is_const(d, &n) && n >= 1 && n <= MOST;
}

static bool reads_memory(const Value *v)
{
    while (v->def && (v->def->op == OP_BROADCAST || v->def->op == OP_RESHAPE || v->def->op == OP_CAST)) v = v->def->in[0];
    return !value_scalar(v, NULL);
}

Attention *attention_match(Pool *p, Node *pv, const int *uses)
{
    if (pv->op != OP_DOT || !is_plain_float(pv->out[0]) || !is_plain_float(pv->in[1]) || !reads_memory(pv->in[1])) return NULL;
    Match m = {.pool = p, .uses = uses, .a = POOL_NEW(p, Attention)};
    Attention *a = m.a;
    a->pv = pv;
    if (!match_weights(&m, pv->in[0])) return NULL;
    bool *seen = POOL_ARRAY(p, bool, pv->parent->graph->n_nodes);
    if (!match_from(&m, a->scores, 0, seen)) return NULL;
    Type q = a->qk->in[0]->type, out = pv->out[0]->type;
    if (!head_size(q.dim[q.rank - 1]) || !head_size(out.dim[out.rank - 1])) return NULL;
    if (!reads_memory(a->qk->in[0]) || !reads_memory(a->qk->in[1])) return NULL;
    /* every value in between belongs to a softmax that was understood */
    for (int i = 0; i < a->nodes.n; i++) {
        Value *v = a->nodes.at[i]->out[0];
        const Node *n = a->nodes.at[i];
        bool part = is_pointwise(n) || n->op == OP_BROADCAST || n->op == OP_RESHAPE || v == a->top || v == a->total;
        if (!part) return NULL;
    }
    return a;
}
