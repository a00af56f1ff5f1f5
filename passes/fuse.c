/* Forms kernels: decides which values get memory and which kernel computes each.
 *
 * Requires a graph without call and stop_gradient nodes. The graph itself stays as it is; the result is a Schedule.
 *
 * Kernels form around anchors, in the nodes' order: rows (reductions over the same axes with the pointwise code between and
 * behind them), contractions with the pointwise code behind them, loops (windows, arg-reductions) with the chain behind them.
 * What is left is pointwise and movement: it is computed where it is used, unless it is used more than once and dear, or its
 * user would evaluate it many times over. */
#include "passes/fuse_internal.h"

bool fuse_is_splat(const Value *v)
{
    const Tensor *t;
    return value_const(v, &t) && (t->splat || t->count == 1);
}

static bool is_loop_op(Op op)
{
    return op == OP_WINDOW || op == OP_ARGWINDOW || op == OP_ARGREDUCE;
}

bool fuse_is_host_op(Op op)
{
    return op == OP_IF || op == OP_LOOP || op == OP_READ_DIMS || op == OP_HOST;
}

bool fuse_is_pointwise(const Node *n)
{
    return op_info[n->op].point || n->op == OP_CAST || n->op == OP_BITCAST;
}

/* ---- kernels ------------------------------------------------------------------------------------------------------- */

Kernel *fuse_kernel(Fuse *f, Archetype arch, Node *anchor)
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
        if (!u || f->group[u->id] || !fuse_is_pointwise(u) || !type_same_shape(u->out[0]->type, v->type)) break;
        f->group[u->id] = k;
        v = u->out[0];
    }
    *VEC_PUSH(f->pool, k->out) = v;
}

/* Behind a contraction, elements keep their flat number: pointwise code, and reshapes on the way to more of it. */
static bool joins_epilogue(const void *shape, const Node *first, const Node *n)
{
    (void)shape;
    (void)first;
    return fuse_is_pointwise(n) || n->op == OP_RESHAPE;
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
        if (!u || u->n_out != 1 || f->group[u->id] || !(fuse_is_pointwise(u) || u->op == OP_TRANSPOSE || u->op == OP_RESHAPE))
            break;
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
        Kernel *k = fuse_kernel(f, ARCH_ATTENTION, n);
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
            fuse_rows(f, i);
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
        Kernel *k = fuse_kernel(f, arch, n);
        f->group[n->id] = k;
        if (arch == ARCH_CONTRACT)
            fuse_grow(f, k, i, joins_epilogue, NULL);
        else if (arch == ARCH_MAP)
            take_chain(f, k, n->out[0]);
        else
            for (int j = 0; j < n->n_out; j++)
                if (f->uses[n->out[j]->id] || (arch == ARCH_SORT && j == 1) || arch == ARCH_COMPACT)
                    *VEC_PUSH(f->pool, k->out) = n->out[j];
    }
}

/* ---- the rest ------------------------------------------------------------------------------------------------------ */

/* Whether v is nearly all of what it is a slice of: of a padded value that several see shifted. */
static bool is_most(const Fuse *f, const Value *v)
{
    if (!v->def || v->def->op != OP_SLICE || f->must[v->id] || v->def->in[0]->region != f->region) return false;
    Type t = v->type, from = v->def->in[0]->type;
    for (int i = 0; i < t.rank; i++) {
        int64_t n, all;
        bool near = dim_is_const(t.dim[i], &n) && dim_is_const(from.dim[i], &all) && all <= n + n / 4;
        if (t.dim[i] != from.dim[i] && !near) return false;
    }
    return true;
}

/* Memory for v, or for what it is most of, which others see too; a slice is read where it lies. */
static void keep(Fuse *f, Value *v)
{
    Value *x = v;
    for (Value *at = v; at->def && (is_most(f, at) || (at->def->op == OP_RESHAPE && !f->must[at->id])); at = at->def->in[0])
        if (at->def->op == OP_SLICE) x = at->def->in[0];
    if (!f->s->materialized[x->id]) fuse_materialize(f, x);
    for (Value *at = v; at != x; at = at->def->in[0]) f->cost[at->id] = 1;
}

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
        if (fuse_is_host_op(n->op)) {
            for (int j = 0; j < n->n_out; j++) mat[n->out[j]->id] = true;
            continue;
        }
        Value *v = n->out[0];
        if (n->op == OP_CONST) {
            mat[v->id] = f->must[v->id];
            continue;
        }
        double c = fuse_cost(n);
        for (int j = 0; j < n->n_in; j++) {
            Value *x = n->in[j];
            /* Evaluated over and over; an index, for a vector of elements at a time, and it takes a kernel to spare that. */
            bool index = n->op == OP_GATHER && j == 1, many = index || n->op == OP_BROADCAST;
            if (many && !mat[x->id] && !fuse_is_splat(x) && x->def && x->def->parent == r && f->cost[x->id] > (index ? 6 : 2))
                keep(f, x);
            c += mat[x->id] ? 0 : f->cost[x->id];
        }
        f->cost[v->id] = c;
        bool has_users = f->uses[v->id] > 0;
        if (f->must[v->id] || (has_users && ((f->uses[v->id] > 1 && c > 3) || c > 60))) keep(f, v);
    }
}

/* Values with memory that no kernel computes yet become map kernels. */
static void form_map_kernels(Fuse *f)
{
    Region *r = f->region;
    for (int i = 0; i < r->nodes.n; i++) {
        Node *n = r->nodes.at[i];
        if (f->group[n->id] || n->op == OP_CONST || fuse_is_host_op(n->op)) continue;
        Value *v = n->out[0];
        if (!f->s->materialized[v->id] || f->s->alias[v->id] || f->s->part[v->id].assembled) continue;
        Kernel *k = fuse_kernel(f, ARCH_MAP, NULL);
        f->group[n->id] = k;
        *VEC_PUSH(f->pool, k->out) = v;
    }
}

/* Depthwise convolutions whose kernels may compute what they work on, too: the one result of a kernel that nobody else wants. */
static void note_before(Fuse *f)
{
    Region *r = f->region;
    for (int i = 0; f->fuse && i < r->nodes.n; i++) {
        Node *n = r->nodes.at[i];
        Expansion x;
        if (n->op != OP_CONV || !view_expansion(n, &x) || x.conv->parent != r) continue;
        Kernel *k = f->group[n->id], *before = f->group[x.conv->id];
        if (k->arch != ARCH_CONTRACT || k->anchor != n || !before || before == k || before->anchor != x.conv) continue;
        bool alone = before->out.n == 1 && before->out.at[0] == x.stored && f->uses[x.stored->id] == 1 &&
                     f->uses[n->in[0]->id] == 1 && !f->s->alias[x.stored->id] && !f->s->part[x.stored->id].whole;
        if (alone && f->s->materialized[x.conv->in[0]->def->in[0]->id]) k->before = before;
    }
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
    fuse_note_sizers(f);
    count_uses(f);
    fuse_mark_seen(f);
    form_attention(f);
    fuse_mark_required(f);
    form_anchored(f);
    fuse_parts(f);
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
    note_before(f);

    RegionSchedule *rs = POOL_NEW(f->pool, RegionSchedule);
    rs->region = r;
    *VEC_PUSH(f->pool, f->s->regions) = rs;
    fuse_order(f, rs);
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
    s->sized = POOL_ARRAY(p, bool, nv);
    Fuse f = {.g = g, .pool = p, .s = s, .fuse = fuse};
    f.uses = POOL_ARRAY(p, int, nv);
    f.user = POOL_ARRAY(p, Node *, nv);
    f.must = POOL_ARRAY(p, bool, nv);
    f.loaded = POOL_ARRAY(p, bool, nv);
    f.cost = POOL_ARRAY(p, double, nv);
    f.seen = POOL_ARRAY(p, int, nv);
    f.seen_node = POOL_ARRAY(p, int, nn);
    f.near = POOL_ARRAY(p, Near, nv);
    f.sizer = POOL_ARRAY(p, Node *, g->ctx->dims.symbols.n + 1);
    f.group = POOL_ARRAY(p, Kernel *, nn);
    f.late = POOL_ARRAY(p, bool, nn);
    schedule_one(&f, g->top);
    schedule_mark_sized(s);
    if (fuse) schedule_join(s);
    if (fuse) schedule_prepare(s);
    return s;
}
