/* Forms kernels: decides which values get memory and which kernel computes each.
 *
 * Requires a graph without call and stop_gradient nodes. The graph itself stays as it is; the result is a Schedule.
 *
 * Kernels form around anchors, in the nodes' order: rows (reductions over the same axes with the pointwise code between and
 * behind them), contractions with the pointwise code behind them, loops (windows, arg-reductions) with the chain behind them.
 * What is left is pointwise and movement: it is computed where it is used, unless it is used more than once and dear, or its
 * user would evaluate it many times over. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ir/kernel.h"
#include "ir/view.h"

typedef struct Fuse {
    Graph *g;
    Pool *pool;
    Schedule *s;
    Region *region;
    int *uses;      /* by value id: uses by nodes of its own region, each operand slot counted, plus one for anything else */
    Node **user;    /* by value id: some user in its own region */
    bool *must;     /* by value id: needs memory whatever fusion does */
    bool *loaded;   /* by value id: computed by the convolution that reads it, as it loads it */
    Kernel **group; /* by node id: the kernel it was taken into */
    double *cost;   /* by value id: of evaluating it once from what has memory */
    int *seen;      /* by value id: epoch of the traversal */
    int *seen_node; /* by node id */
    Node **sizer;   /* by symbol index: the node that finds out a size that depends on data; NULL: known when inputs arrive */
    int epoch;
    int n_kernels;
    bool *late; /* by kernel id: scratch of taint() */
    bool fuse;
} Fuse;

static bool is_splat(const Value *v)
{
    const Tensor *t;
    return value_const(v, &t) && (t->splat || t->count == 1);
}

static bool is_loop_op(Op op)
{
    return op == OP_WINDOW || op == OP_ARGWINDOW || op == OP_ARGREDUCE;
}

static bool is_host_op(Op op)
{
    return op == OP_IF || op == OP_LOOP || op == OP_READ_DIMS || op == OP_HOST;
}

static bool is_pointwise(const Node *n)
{
    return op_info[n->op].point || n->op == OP_CAST || n->op == OP_BITCAST;
}

/* ---- what must have memory ---------------------------------------------------------------------------------------- */

static void require(Fuse *f, Value *v)
{
    if (v) f->must[v->id] = true;
}

/* A view of memory through movement that keeps addresses affine: then the storage at its bottom is what is needed. */
static void require_affine(Fuse *f, Value *v)
{
    while (f->fuse && v->def && !f->must[v->id] &&
           (value_widened(v) || v->def->op == OP_TRANSPOSE || v->def->op == OP_BROADCAST || v->def->op == OP_SLICE ||
            v->def->op == OP_RESHAPE)) {
        if (v->def->op == OP_RESHAPE || is_splat(v->def->in[0])) break; /* a reshape is a view of its materialised operand */
        v = v->def->in[0];
    }
    require(f, v);
}

/* A convolution on matrix units reads every element of A once a tap, in vectors if channels are neighbours. A transpose that
 * brings them together is a kernel of its own then. In gradients the axes mean other things. */
static bool wants_channels_last(const Fuse *f, const Node *n)
{
    const Value *v = n->in[0];
    DimTable *dt = &f->g->ctx->dims;
    int last = v->type.rank - 1, taps = 0;
    for (int i = 0; i < last - 1; i++) taps += !dim_is(n->in[1]->type.dim[i], 1);
    if (n->op != OP_CONV || !taps || f->g->n_states || !dim_is(dim_mod(dt, v->type.dim[last], dim_const(dt, 8)), 0)) return false;
    while (v->def && value_widened(v)) v = v->def->in[0];
    return v->type.dtype == DLVK_F16 && v->def && v->def->op == OP_TRANSPOSE && attr_ints(v->def, A_PERM)[last] != last &&
           !value_const(v, NULL);
}

/* What has memory where v is read from another kernel: a widened value is made again wherever it is used. */
static Value *read_as(Value *v)
{
    return value_widened(v) ? v->def->in[0] : v;
}

/* v is used in region r, which lies within f's. */
static void capture(Fuse *f, const Region *r, Value *v)
{
    require(f, v);
    if (v->region != r && v->region == f->region) f->uses[v->id]++;
}

static void mark_captures(Fuse *f, const Region *r)
{
    for (int i = 0; i < r->nodes.n; i++) {
        Node *n = r->nodes.at[i];
        for (int k = 0; k < n->n_in; k++)
            if (n->in[k]->region != r) capture(f, r, read_as(n->in[k]));
        for (int k = 0; k < n->n_region; k++) mark_captures(f, n->region_at[k]);
    }
    for (int i = 0; i < r->results.n; i++) capture(f, r, r->results.at[i]);
}

/* Below a value that has memory whatever fusion does there is nothing to look for. */
static bool may_look_below(void *arg, const Value *v)
{
    const Fuse *f = arg;
    return v->def && v->def->parent == f->region && !f->must[v->id] && !is_splat(v->def->in[0]);
}

/* What attention reads: it needs rows and columns alone to be affine. */
static void require_operands(Fuse *f, const Attention *a)
{
    DimTable *dt = &f->g->ctx->dims;
    Value *operand[] = {a->qk->in[0], a->qk->in[1], a->pv->in[1]};
    for (int i = 0; i < 3; i++) require(f, view_of(dt, operand[i], may_look_below, f).root);
}

/* What others than the region's nodes see. */
static void mark_seen(Fuse *f)
{
    Region *r = f->region;
    for (int i = 0; i < r->params.n; i++) require(f, r->params.at[i]);
    for (int i = 0; i < r->results.n; i++) require(f, r->results.at[i]);
    for (int i = 0; i < r->nodes.n; i++)
        for (int k = 0; k < r->nodes.at[i]->n_region; k++) mark_captures(f, r->nodes.at[i]->region_at[k]);
}

/* What convolutions compute as they load it needs no memory, only what it is computed from. */
static void mark_loaded(Fuse *f)
{
    for (int i = 0; f->fuse && i < f->region->nodes.n; i++) {
        const Node *n = f->region->nodes.at[i];
        Value *stored, *leaf = view_prologue(n, &stored);
        if (!leaf || f->must[stored->id] || f->uses[stored->id] != 1 || f->uses[n->in[0]->id] != 1) continue;
        f->loaded[stored->id] = true;
        require(f, leaf);
    }
}

static void mark_required(Fuse *f)
{
    Region *r = f->region;
    mark_loaded(f);
    for (int i = 0; i < r->nodes.n; i++) {
        Node *n = r->nodes.at[i];
        if (f->group[n->id]) {
            if (n == f->group[n->id]->anchor) require_operands(f, f->group[n->id]->attention);
            continue;
        }
        if (n->op == OP_CONST && !is_splat(n->out[0])) require(f, n->out[0]);
        if (is_host_op(n->op)) {
            for (int k = 0; k < n->n_in; k++) require(f, n->in[k]);
            for (int k = 0; k < n->n_out; k++) require(f, n->out[k]);
        }
        switch (n->op) {
        case OP_DOT:
        case OP_CONV:
            if (wants_channels_last(f, n))
                require(f, read_as(n->in[0]));
            else if (!value_widened(n->in[0]) || !f->loaded[n->in[0]->def->in[0]->id])
                require_affine(f, n->in[0]);
            require_affine(f, n->in[1]);
            break;
        case OP_WINDOW:
        case OP_ARGWINDOW:
        case OP_COMPACT:
        case OP_SORT: require_affine(f, n->in[0]); break;
        case OP_SCATTER:
            require_affine(f, n->in[1]);
            require_affine(f, n->in[2]);
            break;
        case OP_BARRIER: require(f, n->out[0]); break;
        case OP_CAST:
            if (attr_i(n, A_STORED, 0) && !f->loaded[n->out[0]->id]) require(f, n->out[0]);
            break;
        default: break;
        }
        if (n->op == OP_SORT || n->op == OP_SCATTER || n->op == OP_COMPACT || n->op == OP_CUMULATE || n->op == OP_BARRIER)
            for (int k = 0; k < n->n_out; k++) require(f, n->out[k]);
        if (!f->fuse)
            for (int k = 0; k < n->n_out; k++)
                if (!is_splat(n->out[k])) require(f, n->out[k]);
    }
}

static bool is_view(const Node *n)
{
    return n && (n->op == OP_RESHAPE || (n->op == OP_BARRIER && attr_i(n, A_VIEW, 0)));
}

/* Memory for v: a reshape is a view of its operand. */
static void materialize(Fuse *f, Value *v)
{
    f->s->materialized[v->id] = true;
    if (is_view(v->def) && v->def->parent == f->region) {
        Value *x = v->def->in[0];
        f->s->alias[v->id] = x;
        if (!f->s->materialized[x->id]) materialize(f, x);
    }
}

/* ---- kernels ------------------------------------------------------------------------------------------------------- */

static Kernel *kernel_new(Fuse *f, Archetype arch, Node *anchor)
{
    Kernel *k = POOL_NEW(f->pool, Kernel);
    k->arch = arch;
    k->anchor = anchor;
    k->id = f->n_kernels++;
    return k;
}

/* Follows the pointwise nodes behind v while each is the only user of the one before, and takes them into k. */
static void take_chain(Fuse *f, Kernel *k, Value *v)
{
    while (f->fuse && !f->must[v->id] && f->uses[v->id] == 1) {
        Node *u = f->user[v->id];
        if (!u || f->group[u->id] || !is_pointwise(u) || !type_same_shape(u->out[0]->type, v->type)) break;
        f->group[u->id] = k;
        v = u->out[0];
    }
    *VEC_PUSH(f->pool, k->out) = v;
}

/* Calls visit(arg, m) for each node m that finds out a size in d, until one returns true. */
static bool visit_sizers(const Fuse *f, const Dim *d, bool (*visit)(void *arg, Node *m), void *arg)
{
    if (d->kind == DIM_SYM && f->sizer[d->sym->index] && visit(arg, f->sizer[d->sym->index])) return true;
    for (int i = 0; i < d->n; i++)
        if (visit_sizers(f, d->arg[i], visit, arg)) return true;
    return false;
}

/* The same for all that n computes with: the dims of its results and its attributes, but for the ones that it finds out. */
static bool visit_node_sizers(const Fuse *f, const Node *n, bool (*visit)(void *arg, Node *m), void *arg)
{
    if (is_host_op(n->op)) return false;
    for (int i = 0; i < n->n_out; i++)
        for (int k = 0; k < n->out[i]->type.rank; k++)
            if (visit_sizers(f, n->out[i]->type.dim[k], visit, arg)) return true;
    for (int i = 0; i < n->n_attr; i++)
        for (int k = 0; attr_type[n->attr[i].id] == ATTR_DIMS && k < n->attr[i].n; k++)
            if (visit_sizers(f, n->attr[i].dims[k], visit, arg)) return true;
    return false;
}

/* Notes which nodes of the region find out sizes. */
static void note_sizers(Fuse *f)
{
    for (int i = 0; i < f->region->nodes.n; i++) {
        Node *n = f->region->nodes.at[i];
        if (n->op == OP_READ_DIMS) {
            const Attr *a = node_attr(n, A_VALUES);
            for (int k = 0; k < a->n; k++) f->sizer[a->dims[k]->sym->index] = n;
            continue;
        }
        if (n->op != OP_COMPACT && n->op != OP_IF && n->op != OP_LOOP) continue;
        for (int j = 0; j < n->n_out; j++)
            for (int k = 0; k < n->out[j]->type.rank; k++) {
                const Dim *d = n->out[j]->type.dim[k];
                if (d->kind == DIM_SYM && d->sym->data && !f->sizer[d->sym->index]) f->sizer[d->sym->index] = n;
            }
    }
}

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
    return n->n_region > 0 || visit_node_sizers(f, n, is_late, &late); /* a region may capture anything */
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

static double own_cost(const Node *n)
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
    if (!is_pointwise(user) && user->op != OP_REDUCE) return;
    for (int i = 0; i < CHEAP; i++) {
        Node *next = NULL;
        bool kept = true; /* all that n needs of the group is stored without it, too */
        if (n == first || n->n_out != 1 || !is_pointwise(n) || own_cost(n) > CHEAP) return;
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
    Type full;
    bool reduced[DLVK_MAX_RANK];
} Rows;

static bool is_full(const Rows *r, Type t)
{
    return type_same_shape(r->full, t);
}

static bool is_row(const Rows *r, Type t)
{
    if (t.rank != r->full.rank) return false;
    for (int i = 0; i < t.rank; i++)
        if (r->reduced[i] ? !dim_is(t.dim[i], 1) : t.dim[i] != r->full.dim[i]) return false;
    return true;
}

static bool same_axes(const Node *a, const Node *b)
{
    const Attr *x = node_attr(a, A_AXES), *y = node_attr(b, A_AXES);
    return x->n == y->n && memcmp(x->ints, y->ints, (size_t)x->n * sizeof *x->ints) == 0;
}

enum { BESIDE = 4, NEAR = 8 }; /* reductions that share what they read; pointwise nodes before them */

/* Whether v is computed, pointwise, from a value as large as a row that x is computed from, too. x NULL: from `with`. */
static bool shares(const Fuse *f, const Rows *r, const Value *v, const Value *x, const Value *with, int depth)
{
    Context *c = f->g->ctx; /* reshapes on the way keep an element's flat number */
    if (type_count(c, v->type) != type_count(c, r->full) || depth > NEAR) return false;
    bool point = v->def && v->def->parent == f->region && !f->must[v->id] && (is_pointwise(v->def) || v->def->op == OP_RESHAPE);
    for (int i = 0; point && i < v->def->n_in; i++)
        if (shares(f, r, v->def->in[i], x, with, depth + 1)) return true;
    if (!x) return v == with;
    return (!v->def || v->def->op != OP_BROADCAST) && shares(f, r, x, NULL, v, 0);
}

/* A reduction, node number i, that does not need the group of node number `at`, but goes over what one of the group goes over. */
static bool join_beside(Fuse *f, const Kernel *k, const Rows *r, int at, int i, int epoch)
{
    const Node *n = f->region->nodes.at[i];
    if (k->arch != ARCH_ROWS || n->op != OP_REDUCE || k->reduces.n >= BESIDE || !is_full(r, n->in[0]->type) ||
        !same_axes(k->reduces.at[0], n))
        return false;
    bool shared = false;
    for (int j = 0; j < k->reduces.n; j++) shared = shared || shares(f, r, n->in[0], k->reduces.at[j]->in[0], NULL, 0);
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
static void grow(Fuse *f, Kernel *k, int at, bool (*joins)(const void *shape, const Node *first, const Node *n),
                 const void *shape)
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
        if (n->op == OP_RESHAPE && uses_inside(f, k, n->out[0]) == 0)
            f->group[n->id] = NULL; /* nothing behind it: it is a view of what stands before */
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
    if (is_pointwise(n)) return is_full(r, n->out[0]->type) || is_row(r, n->out[0]->type);
    if (n->op == OP_BROADCAST) return is_full(r, n->out[0]->type) && is_row(r, n->in[0]->type);
    return false;
}

static void form_rows(Fuse *f, int at)
{
    Node *first = f->region->nodes.at[at];
    Kernel *k = kernel_new(f, ARCH_ROWS, NULL);
    Rows rows = {.full = first->in[0]->type};
    const Attr *axes = node_attr(first, A_AXES);
    for (int i = 0; i < axes->n; i++) rows.reduced[axes->ints[i]] = true;
    *VEC_PUSH(f->pool, k->reduces) = first;
    grow(f, k, at, joins_rows, &rows);
}

/* Behind a contraction, elements keep their flat number: pointwise code, and reshapes on the way to more of it. */
static bool joins_epilogue(const void *shape, const Node *first, const Node *n)
{
    (void)shape;
    (void)first;
    return is_pointwise(n) || n->op == OP_RESHAPE;
}

/* A value that has memory for the sake of its type alone may as well lie there in another order. */
static bool kept_narrow(const Fuse *f, const Value *v)
{
    Node *u = f->uses[v->id] == 1 ? f->user[v->id] : NULL;
    return v->def && v->def->op == OP_CAST && attr_i(v->def, A_STORED, 0) && u && u->op == OP_TRANSPOSE;
}

/* What stands behind attention, as long as nobody else wants it: pointwise code, and movement, so that the result is written as
 * its reader would have it. Reshapes at the end are views. */
static void take_behind(Fuse *f, Kernel *k)
{
    Attention *a = k->attention;
    Value *v = a->pv->out[0];
    int kept = 0;
    *VEC_PUSH(f->pool, k->out) = v;
    while ((!f->must[v->id] || kept_narrow(f, v)) && f->uses[v->id] == 1) {
        Node *u = f->user[v->id];
        if (!u || u->n_out != 1 || f->group[u->id] || !(is_pointwise(u) || u->op == OP_TRANSPOSE || u->op == OP_RESHAPE)) break;
        v = u->out[0];
        if (value_widened(v) && !f->must[v->id]) break; /* whoever wants it reads what it is made of */
        *VEC_PUSH(f->pool, a->behind) = u;
        if (u->op == OP_RESHAPE) continue;
        kept = a->behind.n;
        k->out.at[0] = v;
    }
    a->behind.n = kept;
    for (int i = 0; i < kept; i++) f->group[a->behind.at[i]->id] = k;
}

static void form_attention(Fuse *f)
{
    Region *r = f->region;
    for (int i = 0; f->fuse && i < r->nodes.n; i++) {
        Node *n = r->nodes.at[i];
        Attention *a = n->op == OP_DOT && !f->group[n->id] ? attention_match(f->pool, n, f->uses) : NULL;
        if (!a) continue;
        Kernel *k = kernel_new(f, ARCH_ATTENTION, n);
        k->attention = a;
        f->group[n->id] = f->group[a->qk->id] = k;
        for (int j = 0; j < a->nodes.n; j++) f->group[a->nodes.at[j]->id] = k;
    }
}

static void form_anchored(Fuse *f)
{
    Region *r = f->region;
    for (int i = 0; i < r->nodes.n; i++) {
        Node *n = r->nodes.at[i];
        if (f->group[n->id]) {
            if (f->group[n->id]->anchor == n && f->group[n->id]->attention) take_behind(f, f->group[n->id]);
            continue;
        }
        if (n->op == OP_REDUCE) {
            form_rows(f, i);
            continue;
        }
        Archetype arch;
        switch (n->op) {
        case OP_DOT:
        case OP_CONV: arch = ARCH_CONTRACT; break;
        case OP_SORT: arch = ARCH_SORT; break;
        case OP_SCATTER: arch = ARCH_SCATTER; break;
        case OP_COMPACT: arch = ARCH_COMPACT; break;
        case OP_CUMULATE: arch = ARCH_CUMULATE; break;
        default:
            if (!is_loop_op(n->op)) continue;
            arch = ARCH_MAP;
        }
        Kernel *k = kernel_new(f, arch, n);
        f->group[n->id] = k;
        if (arch == ARCH_CONTRACT)
            grow(f, k, i, joins_epilogue, NULL);
        else if (arch == ARCH_MAP)
            take_chain(f, k, n->out[0]);
        else
            for (int j = 0; j < n->n_out; j++)
                if (f->uses[n->out[j]->id] || (arch == ARCH_SORT && j == 1)) *VEC_PUSH(f->pool, k->out) = n->out[j];
    }
}

/* ---- concatenations without copies --------------------------------------------------------------------------------- */

typedef struct Assembly {
    Fuse *f;
    bool *fixed; /* by value id: its memory must be its own, and without gaps */
    VEC(Value *) part;
} Assembly;

/* What is put together, seen through concatenations of concatenations. */
static void add_parts(Assembly *a, const Node *cat)
{
    for (int i = 0; i < cat->n_in; i++) {
        Node *d = cat->in[i]->def;
        if (d && d->op == OP_CONCAT && d->parent == cat->parent && attr_i(d, A_AXIS, 0) == attr_i(cat, A_AXIS, 0))
            add_parts(a, d);
        else
            *VEC_PUSH(a->f->pool, a->part) = cat->in[i];
    }
}

/* Is v the result of a kernel that can store it anywhere? */
static bool can_move(const Assembly *a, const Value *v)
{
    const Kernel *k = v->def && v->def->parent == a->f->region ? a->f->group[v->def->id] : NULL;
    if (!k || a->fixed[v->id] || !(k->arch == ARCH_CONTRACT || k->arch == ARCH_ROWS || k->arch == ARCH_MAP)) return false;
    for (int i = 0; i < k->out.n; i++)
        if (k->out.at[i] == v) return true;
    return false;
}

/* All parts follow each other in one whole already, of which this is a piece then. */
static bool lies_within(Assembly *a, const Value *v, int axis)
{
    const Part *first = &a->f->s->part[a->part.at[0]->id];
    const Dim *at = first->at;
    for (int i = 0; i < a->part.n; i++) {
        const Part *p = &a->f->s->part[a->part.at[i]->id];
        if (!p->whole || p->whole != first->whole || p->axis != axis || p->at != at) return false;
        at = dim_add(&a->f->g->ctx->dims, at, a->part.at[i]->type.dim[axis]);
    }
    return !a->fixed[v->id];
}

static bool can_assemble(Assembly *a)
{
    int epoch = ++a->f->epoch;
    for (int i = 0; i < a->part.n; i++) {
        const Value *v = a->part.at[i];
        if (!can_move(a, v) || a->f->s->part[v->id].whole || a->f->seen[v->id] == epoch) return false;
        a->f->seen[v->id] = epoch;
    }
    return true;
}

/* Where kernels around anchors compute all that a concatenation puts together, they store it where it belongs in the whole. What
 * is a piece of a greater whole, as the inputs of all but a dense block's last layer are, lies in that. The greatest come last.
 */
static void form_parts(Fuse *f)
{
    Region *r = f->region;
    DimTable *dt = &f->g->ctx->dims;
    Assembly a = {.f = f, .fixed = POOL_ARRAY(f->pool, bool, f->g->n_values + 1)};
    if (!f->fuse || f->g->n_states) return;
    for (int i = 0; i < r->results.n; i++) a.fixed[r->results.at[i]->id] = true;
    for (int i = 0; i < r->nodes.n; i++) {
        const Node *n = r->nodes.at[i];
        if (n->n_region || is_host_op(n->op) || (f->group[n->id] && f->group[n->id]->attention)) return;
        if (!is_view(n)) continue;
        a.fixed[n->in[0]->id] = a.fixed[n->out[0]->id] = true;
    }
    for (int i = r->nodes.n - 1; i >= 0; i--) {
        const Node *n = r->nodes.at[i];
        if (n->op != OP_CONCAT || f->group[n->id]) continue;
        Value *v = n->out[0];
        DType t = v->type.dtype;
        if (f->uses[v->id] == 0 || (t != DLVK_F32 && t != DLVK_F16 && t != DLVK_BF16)) continue;
        int axis = (int)attr_i(n, A_AXIS, 0);
        a.part.n = 0;
        add_parts(&a, n);
        Part *whole = &f->s->part[v->id];
        if (lies_within(&a, v, axis)) {
            *whole = f->s->part[a.part.at[0]->id];
        } else if (can_assemble(&a)) {
            const Dim *at = dim_const(dt, 0);
            for (int k = 0; k < a.part.n; k++) {
                f->s->part[a.part.at[k]->id] = (Part){.whole = v, .at = at, .axis = axis};
                at = dim_add(dt, at, a.part.at[k]->type.dim[axis]);
            }
        } else {
            continue;
        }
        whole->assembled = true;
        require(f, v);
    }
}

/* ---- the rest ------------------------------------------------------------------------------------------------------ */

static void form_maps(Fuse *f)
{
    Region *r = f->region;
    bool *mat = f->s->materialized;
    for (int i = 0; i < r->params.n; i++) mat[r->params.at[i]->id] = true;
    for (int i = 0; i < r->nodes.n; i++) {
        Node *n = r->nodes.at[i];
        Kernel *k = f->group[n->id];
        if (k) {
            for (int j = 0; j < k->out.n; j++) mat[k->out.at[j]->id] = true;
            continue;
        }
        if (is_host_op(n->op)) {
            for (int j = 0; j < n->n_out; j++) mat[n->out[j]->id] = true;
            continue;
        }
        Value *v = n->out[0];
        if (n->op == OP_CONST) {
            mat[v->id] = f->must[v->id];
            continue;
        }
        double c = own_cost(n);
        for (int j = 0; j < n->n_in; j++) {
            Value *x = n->in[j];
            bool many = n->op == OP_BROADCAST || (n->op == OP_GATHER && j == 1); /* evaluated over and over */
            if (many && !mat[x->id] && !is_splat(x) && x->def && x->def->parent == r && f->cost[x->id] > 2) materialize(f, x);
            c += mat[x->id] ? 0 : f->cost[x->id];
        }
        f->cost[v->id] = c;
        bool has_users = f->uses[v->id] > 0;
        if (f->must[v->id] || (has_users && ((f->uses[v->id] > 1 && c > 3) || c > 60))) materialize(f, v);
    }
}

/* Values with memory that no kernel computes yet become map kernels. */
static void form_map_kernels(Fuse *f)
{
    Region *r = f->region;
    for (int i = 0; i < r->nodes.n; i++) {
        Node *n = r->nodes.at[i];
        if (f->group[n->id] || n->op == OP_CONST || is_host_op(n->op)) continue;
        Value *v = n->out[0];
        if (!f->s->materialized[v->id] || f->s->alias[v->id] || f->s->part[v->id].assembled) continue;
        Kernel *k = kernel_new(f, ARCH_MAP, NULL);
        f->group[n->id] = k;
        *VEC_PUSH(f->pool, k->out) = v;
    }
}

/* ---- order --------------------------------------------------------------------------------------------------------- */

typedef struct Walk {
    Fuse *f;
    Kernel *k;
    VEC(Value *) inputs;
    VEC(Node *) sizers;
    VEC(const char *) names;
    int epoch;
} Walk;

static bool add_sizer(void *arg, Node *m)
{
    Walk *w = arg;
    if (m->parent == w->f->region) *VEC_PUSH(w->f->pool, w->sizers) = m;
    return false;
}

static void add_origin(Walk *w, const Origin *o)
{
    if (!o) return;
    for (int i = 0; i < w->k->origins.n; i++)
        if (w->k->origins.at[i] == o) return;
    *VEC_PUSH(w->f->pool, w->k->origins) = o;
}

/* Everything the kernel computes itself, down to what it reads. */
static void walk_value(Walk *w, Value *v, bool root)
{
    Fuse *f = w->f;
    if (f->seen[v->id] == w->epoch) return;
    f->seen[v->id] = w->epoch;
    bool own = root;
    for (int i = 0; i < w->k->out.n; i++) own |= w->k->out.at[i] == v;
    if (is_splat(v) && !own) return;
    bool elsewhere = v->region != f->region && !(value_widened(v) && !f->s->materialized[v->id]);
    if (!v->def || (f->s->materialized[v->id] && !own) || elsewhere) {
        while (f->s->alias[v->id]) v = f->s->alias[v->id];
        *VEC_PUSH(f->pool, w->inputs) = v;
        return;
    }
    for (int i = 0; i < v->def->n_in; i++) walk_value(w, v->def->in[i], false);
    visit_node_sizers(f, v->def, add_sizer, w);
    add_origin(w, v->def->origin);
    Op op = v->def->op;
    if (op != OP_RESHAPE && op != OP_BROADCAST && op != OP_CONST && op != OP_DIMS)
        *VEC_PUSH(f->pool, w->names) = op_info[op].name;
}

static void name_kernel(Walk *w)
{
    char name[64] = "";
    for (int i = 0; i < w->names.n; i++) {
        if (strlen(name) + strlen(w->names.at[i]) + 2 > sizeof name) break;
        if (*name) strcat(name, "_");
        strcat(name, w->names.at[i]);
    }
    if (w->k->attention) strcpy(name, "attention");
    w->k->name = pool_strdup(w->f->pool, *name ? name : "copy");
}

typedef struct Order {
    Fuse *f;
    RegionSchedule *rs;
    char *state; /* by node id: 0 not begun, 1 under way, 2 done. A kernel's state is that of its first output's node */
} Order;

static void place_node(Order *o, Node *n);

static void place_value(Order *o, Value *v)
{
    if (v->def && v->def->parent == o->f->region) place_node(o, v->def);
}

static void place_captures(Order *o, Region *r)
{
    for (int i = 0; i < r->nodes.n; i++) {
        Node *n = r->nodes.at[i];
        for (int k = 0; k < n->n_in; k++) place_value(o, schedule_storage(o->f->s, read_as(n->in[k])));
        for (int k = 0; k < n->n_region; k++) place_captures(o, n->region_at[k]);
    }
    for (int i = 0; i < r->results.n; i++) place_value(o, schedule_storage(o->f->s, r->results.at[i]));
}

static void place_node(Order *o, Node *n)
{
    Fuse *f = o->f;
    Kernel *k = f->group[n->id];
    Node *key = k ? k->out.at[0]->def : n;
    if (o->state[key->id]) return;
    o->state[key->id] = 1;
    if (k) {
        Walk w = {.f = f, .k = k, .epoch = ++f->epoch};
        for (int i = 0; i < k->out.n; i++) walk_value(&w, k->out.at[i], true);
        for (int i = 0; i < w.inputs.n; i++) place_value(o, w.inputs.at[i]);
        for (int i = 0; i < w.sizers.n; i++) place_node(o, w.sizers.at[i]);
        name_kernel(&w);
        *VEC_PUSH(f->pool, o->rs->steps) = (Step){.kernel = k};
    } else if (is_host_op(n->op)) {
        for (int i = 0; i < n->n_in; i++) place_value(o, schedule_storage(f->s, n->in[i]));
        for (int i = 0; i < n->n_region; i++) place_captures(o, n->region_at[i]);
        *VEC_PUSH(f->pool, o->rs->steps) = (Step){.node = n};
    } else if (n->n_out == 1 && f->s->part[n->out[0]->id].assembled) {
        for (int i = 0; i < n->n_in; i++) place_value(o, n->in[i]);
    }
    o->state[key->id] = 2;
}

static void count_uses(Fuse *f)
{
    Region *r = f->region;
    for (int i = 0; i < r->nodes.n; i++) {
        Node *n = r->nodes.at[i];
        for (int k = 0; k < n->n_in; k++) {
            f->uses[n->in[k]->id]++;
            f->user[n->in[k]->id] = n;
        }
    }
    for (int i = 0; i < r->results.n; i++) f->uses[r->results.at[i]->id]++;
}

static void schedule_one(Fuse *f, Region *r)
{
    f->region = r;
    note_sizers(f);
    count_uses(f);
    mark_seen(f);
    form_attention(f);
    mark_required(f);
    form_anchored(f);
    form_parts(f);
    form_maps(f);
    /* A required reshape of a value inside a group makes that value an output of the group. */
    for (int i = 0; i < r->nodes.n; i++) {
        Node *n = r->nodes.at[i];
        Kernel *k = f->group[n->id];
        if (!k || n->n_out == 0 || !f->s->materialized[n->out[0]->id]) continue;
        bool listed = false;
        for (int j = 0; j < k->out.n; j++) listed |= k->out.at[j]->def == n;
        if (!listed) *VEC_PUSH(f->pool, k->out) = n->out[0];
    }
    form_map_kernels(f);

    RegionSchedule *rs = POOL_NEW(f->pool, RegionSchedule);
    rs->region = r;
    *VEC_PUSH(f->pool, f->s->regions) = rs;
    Order o = {f, rs, pool_alloc(f->pool, (size_t)f->g->n_nodes + 1)};
    for (int i = 0; i < r->nodes.n; i++) {
        Node *n = r->nodes.at[i];
        if (f->group[n->id] || is_host_op(n->op)) place_node(&o, n);
    }
    for (int i = 0; i < rs->steps.n; i++) {
        Kernel *k = rs->steps.at[i].kernel;
        if (!k || k->arch == ARCH_MAP) continue;
        for (int j = 0; j < k->out.n; j++) {
            int bits = dtype_bits(k->out.at[j]->type.dtype);
            f->s->wide[k->out.at[j]->id] = bits > 0 && bits < 16;
        }
    }
    for (int i = 0; i < r->nodes.n; i++)
        for (int k = 0; k < r->nodes.at[i]->n_region; k++) schedule_one(f, r->nodes.at[i]->region_at[k]);
}

Schedule *schedule_build(Graph *g, bool fuse)
{
    Pool *p = g->ctx->pool;
    int nv = g->n_values + 1, nn = g->n_nodes + 1;
    Schedule *s = POOL_NEW(p, Schedule);
    s->graph = g;
    s->materialized = POOL_ARRAY(p, bool, nv);
    s->wide = POOL_ARRAY(p, bool, nv);
    s->alias = POOL_ARRAY(p, Value *, nv);
    s->part = POOL_ARRAY(p, Part, nv);
    Fuse f = {.g = g, .pool = p, .s = s, .fuse = fuse};
    f.uses = POOL_ARRAY(p, int, nv);
    f.user = POOL_ARRAY(p, Node *, nv);
    f.must = POOL_ARRAY(p, bool, nv);
    f.loaded = POOL_ARRAY(p, bool, nv);
    f.cost = POOL_ARRAY(p, double, nv);
    f.seen = POOL_ARRAY(p, int, nv);
    f.seen_node = POOL_ARRAY(p, int, nn);
    f.sizer = POOL_ARRAY(p, Node *, g->ctx->dims.symbols.n + 1);
    f.group = POOL_ARRAY(p, Kernel *, nn);
    f.late = POOL_ARRAY(p, bool, nn);
    schedule_one(&f, g->top);
    if (fuse) schedule_join(s);
    return s;
}
