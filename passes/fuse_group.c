/* Kernels that grow: rows and contractions take in what stands behind and beside them, as long as they need not wait for
 * themselves. */
#include "passes/fuse_internal.h"
#include <string.h>

typedef struct Late {
    const Fuse *f;
    const Node *n;
    int epoch;
} Late;

static bool is_late(void *arg, Node *m)
{
    const Late *l = arg;
    return m != l->n && l->f->seen_node[m->id] == l->epoch;
}

static bool depends(const Fuse *f, const Node *n, int epoch)
{
    for (int j = 0; j < n->n_in; j++)
        if (f->seen[n->in[j]->id] == epoch) return true;
    Late late = {f, n, epoch};
    return n->n_region > 0 || fuse_visit_sizers(f, n, is_late, &late); /* a region may capture anything */
}

static void taint_node(Fuse *f, const Node *n, int epoch)
{
    f->seen_node[n->id] = epoch;
    for (int j = 0; j < n->n_out; j++) f->seen[n->out[j]->id] = epoch;
}

/* Marks what must not be taken into the group around node number `at`: values that need the group's and are computed by other
 * kernels, for the group would then wait for itself. Kernels count as a whole: one that needs the group in any of its nodes
 * gives all its values after it. */
static void taint(Fuse *f, int at, int epoch)
{
    Region *r = f->region;
    int below = ++f->epoch; /* depends on the group's first node at all */
    taint_node(f, r->nodes.at[at], below);
    for (int i = at + 1; i < r->nodes.n; i++)
        if (depends(f, r->nodes.at[i], below)) taint_node(f, r->nodes.at[i], below);
    bool *late = f->late;
    memset(late, 0, (size_t)f->n_kernels);
    for (int i = at + 1; i < r->nodes.n; i++) {
        Node *n = r->nodes.at[i];
        if (f->group[n->id] && f->seen_node[n->id] == below) late[f->group[n->id]->id] = true;
    }
    /* What is late, and what needs it, is repainted in the group's own colour. */
    bool more = true;
    while (more) {
        more = false;
        for (int i = 0; i < r->nodes.n; i++) {
            Node *n = r->nodes.at[i];
            if (f->seen_node[n->id] == epoch || i == at) continue;
            Kernel *k = f->group[n->id];
            if ((k && late[k->id]) || depends(f, n, epoch)) {
                taint_node(f, n, epoch);
                if (k && !late[k->id]) late[k->id] = true;
                more = true;
            }
        }
    }
}

double fuse_cost(const Node *n)
{
    switch (n->op) {
    case OP_RESHAPE:
    case OP_BROADCAST:
    case OP_TRANSPOSE:
    case OP_SLICE:
    case OP_REVERSE:
    case OP_IOTA:
    case OP_DIMS: return 0.25;
    case OP_CAST: return value_widened(n->out[0]) ? 0 : 1; /* so that values get memory as they would in float32 */
    case OP_PAD:
    case OP_GATHER: return 2;
    case OP_CONCAT: return 2 * n->n_in;
    case OP_EXP:
    case OP_LOG:
    case OP_LOG1P:
    case OP_EXPM1:
    case OP_SIN:
    case OP_COS:
    case OP_TAN:
    case OP_ASIN:
    case OP_ACOS:
    case OP_ATAN:
    case OP_SINH:
    case OP_COSH:
    case OP_TANH:
    case OP_ASINH:
    case OP_ACOSH:
    case OP_ATANH:
    case OP_ERF:
    case OP_SIGMOID:
    case OP_POW:
    case OP_ATAN2:
    case OP_RANDOM: return 10;
    default: return 1;
    }
}

static int uses_inside(const Fuse *f, const Kernel *k, const Value *v)
{
    int inside = 0;
    for (int j = 0; j < f->region->nodes.n; j++) {
        const Node *u = f->region->nodes.at[j];
        for (int m = 0; f->group[u->id] == k && m < u->n_in; m++) inside += u->in[m] == v;
    }
    return inside;
}

enum { CHEAP = 4 }; /* nodes */

/* n's value is made in a few cheap steps of another one that the group gives its users anyway, and its own one user can as well
 * make it himself: instead of storing it, n and the steps are left to him. The gradients of normalisations are full of these. */
static void leave_tail(Fuse *f, Kernel *k, const Node *first, Node *n)
{
    Node *tail[CHEAP], *user = f->user[n->out[0]->id];
    while (user && user->op == OP_RESHAPE && !f->must[user->out[0]->id] && f->uses[user->out[0]->id] == 1)
        user = f->user[user->out[0]->id];
    if (n == first || f->must[n->out[0]->id] || f->uses[n->out[0]->id] != 1 || !user || f->group[user->id] == k) return;
    if (!fuse_is_pointwise(user) && user->op != OP_REDUCE) return;
    for (int i = 0; i < CHEAP; i++) {
        Node *next = NULL;
        bool kept = true; /* all that n needs of the group is stored without it, too */
        if (n == first || n->n_out != 1 || !fuse_is_pointwise(n) || fuse_cost(n) > CHEAP) return;
        tail[i] = n;
        for (int j = 0; j < n->n_in; j++) {
            Value *x = n->in[j];
            if (!x->def || x->def->parent != f->region || f->group[x->def->id] != k) continue;
            if (value_widened(x) && f->must[x->def->in[0]->id]) continue;
            if (f->must[x->id] || uses_inside(f, k, x) < f->uses[x->id]) continue;
            if (f->uses[x->id] != 1 || (next && next != x->def)) return;
            kept = false;
            next = x->def;
        }
        if (kept) {
            while (i >= 0) f->group[tail[i--]->id] = NULL;
            return;
        }
        n = next;
    }
}

/* The shape of a rows kernel: full, or with the reduced axes of size 1. */
typedef struct Rows {
    Context *ctx;
    Type full;
    bool reduced[DLVK_MAX_RANK];
    const Dim *count; /* of the rows */
} Rows;

static bool is_full(const Rows *r, Type t)
{
    return type_same_shape(r->full, t);
}

static bool is_row(const Rows *r, Type t)
{
    return type_reduced(r->full, r->reduced, t);
}

/* Or reshaped: as many elements as there are rows, in their order. An optimizer knows a sum by channel as a vector. */
static bool is_row_like(const Rows *r, Type t)
{
    return is_row(r, t) || (r->count != type_count(r->ctx, r->full) && type_count(r->ctx, t) == r->count);
}

static bool same_axes(const Node *a, const Node *b)
{
    const Attr *x = node_attr(a, A_AXES), *y = node_attr(b, A_AXES);
    return x->n == y->n && memcmp(x->ints, y->ints, (size_t)x->n * sizeof *x->ints) == 0;
}

enum { BESIDE = 4, NEAR = 8 }; /* reductions that share what they read; pointwise nodes before them */

/* Marks the values as large as a row that v is computed from by pointwise nodes, and v, until it meets one that `other` marks. */
static bool meets(Fuse *f, const Rows *r, const Value *v, int mark, int other, int depth)
{
    Context *c = f->g->ctx; /* reshapes on the way keep an element's flat number */
    Near *near = &f->near[v->id];
    if (depth > NEAR || type_count(c, v->type) != type_count(c, r->full)) return false;
    if (near->mark == other && (!v->def || v->def->op != OP_BROADCAST)) return true;
    if (near->mark == mark && near->depth <= depth) return false;
    *near = (Near){mark, depth};
    bool point =
        v->def && v->def->parent == f->region && !f->must[v->id] && (fuse_is_pointwise(v->def) || v->def->op == OP_RESHAPE);
    for (int i = 0; point && i < v->def->n_in; i++)
        if (meets(f, r, v->def->in[i], mark, other, depth + 1)) return true;
    return false;
}

/* Whether v and x are computed, pointwise, from some value as large as a row. */
static bool shares(Fuse *f, const Rows *r, const Value *v, const Value *x)
{
    int first = ++f->mark, second = ++f->mark;
    meets(f, r, x, first, -1, 0);
    return meets(f, r, v, second, first, 0);
}

/* A reduction, node number i, that does not need the group of node number `at`, but goes over what one of the group goes over. */
static bool join_beside(Fuse *f, const Kernel *k, const Rows *r, int at, int i, int epoch)
{
    const Node *n = f->region->nodes.at[i];
    if (k->arch != ARCH_ROWS || n->op != OP_REDUCE || k->reduces.n >= BESIDE || !is_full(r, n->in[0]->type) ||
        !same_axes(k->reduces.at[0], n))
        return false;
    bool shared = false;
    for (int j = 0; j < k->reduces.n; j++) shared = shared || shares(f, r, n->in[0], k->reduces.at[j]->in[0]);
    if (!shared) return false;
    taint(f, i, epoch);
    for (int j = at; j < i; j++) { /* what the group needs must not need n */
        const Node *m = f->region->nodes.at[j];
        if (f->group[m->id] == k && f->seen_node[m->id] == epoch) return false;
    }
    return true;
}

/* Takes into k every later node that depends on node number `at`, through the group alone, and that `joins` accepts. The group's
 * values that others use become its outputs. */
void fuse_grow(Fuse *f, Kernel *k, int at, bool (*joins)(const void *shape, const Node *first, const Node *n), const void *shape)
{
    Region *r = f->region;
    Node *first = r->nodes.at[at];
    f->group[first->id] = k;
    if (f->fuse) {
        int epoch = ++f->epoch;
        taint(f, at, epoch);
        for (int i = at + 1; i < r->nodes.n; i++) {
            Node *n = r->nodes.at[i];
            bool inside = false, tainted = depends(f, n, epoch);
            for (int j = 0; j < n->n_in; j++) {
                Node *d = n->in[j]->def;
                inside |= d && d->parent == r && f->group[d->id] == k;
            }
            bool free = !tainted && !f->group[n->id];
            if (free && ((inside && joins(shape, first, n)) || (!inside && join_beside(f, k, shape, at, i, epoch)))) {
                f->group[n->id] = k;
                if (n->op == OP_REDUCE) *VEC_PUSH(f->pool, k->reduces) = n;
            } else if (inside || tainted) {
                taint_node(f, n, epoch);
            }
        }
    }
    for (int i = r->nodes.n - 1; f->fuse && i > at; i--) {
        Node *n = r->nodes.at[i];
        if (f->group[n->id] != k) continue;
        bool widened = value_widened(n->out[0]) && !f->must[n->out[0]->id];
        if ((n->op == OP_RESHAPE || widened) && uses_inside(f, k, n->out[0]) == 0)
            f->group[n->id] = NULL; /* nothing behind it: it is a view of what stands before, or its readers make it again */
        else
            leave_tail(f, k, first, n);
    }
    for (int i = r->nodes.n - 1; i >= at; i--) {
        Node *n = r->nodes.at[i];
        if (f->group[n->id] != k) continue;
        int inside = uses_inside(f, k, n->out[0]);
        if (value_widened(n->out[0]) && !f->must[n->out[0]->id]) { /* whoever else wants it reads what it is made of */
            if (!inside) f->group[n->id] = NULL;
            continue;
        }
        if (f->must[n->out[0]->id] || inside < f->uses[n->out[0]->id]) *VEC_PUSH(f->pool, k->out) = n->out[0];
    }
    if (k->out.n == 0) *VEC_PUSH(f->pool, k->out) = first->out[0];
}

static bool joins_rows(const void *shape, const Node *first, const Node *n)
{
    const Rows *r = shape;
    if (n->op == OP_REDUCE) return is_full(r, n->in[0]->type) && same_axes(first, n);
    if (fuse_is_pointwise(n)) return is_full(r, n->out[0]->type) || is_row_like(r, n->out[0]->type);
    /* To a vector, not back: whoever broadcasts the result makes it again where he wants it, instead of its being stored. */
    if (n->op == OP_RESHAPE)
        return is_row_like(r, n->in[0]->type) && is_row_like(r, n->out[0]->type) && !is_row(r, n->out[0]->type);
    if (n->op == OP_BROADCAST) return is_full(r, n->out[0]->type) && is_row(r, n->in[0]->type);
    return false;
}

void fuse_rows(Fuse *f, int at)
{
    Node *first = f->region->nodes.at[at];
    Kernel *k = fuse_kernel(f, ARCH_ROWS, NULL);
    Rows rows = {.ctx = f->g->ctx, .full = first->in[0]->type, .count = type_count(f->g->ctx, first->out[0]->type)};
    const Attr *axes = node_attr(first, A_AXES);
    for (int i = 0; i < axes->n; i++) rows.reduced[axes->ints[i]] = true;
    *VEC_PUSH(f->pool, k->reduces) = first;
    fuse_grow(f, k, at, joins_rows, &rows);
}
