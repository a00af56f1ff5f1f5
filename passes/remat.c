/* Rematerialisation; see remat.h.
 *
 * The search is greedy (as in Kumar et al., "Efficient Rematerialization for Deep Networks", and XLA's pass): of all values that
 * could be dropped after the forward part, the one that removes the most excess over the target, summed over the steps, per unit
 * of recomputing. Where that leads nowhere it begins from whole segments (Chen et al., "Training Deep Nets with Sublinear Memory
 * Cost"): what lives at their borders is kept, the rest recomputed. What turns out not to be needed is taken back.
 *
 * The simulation is that of the schedule's own steps: a dropped value is computed again before the first step behind the loss
 * that reads it, from what has memory, so that its operands live until then or are recomputed themselves.
 *
 * Requires: the last pass's graph. Keeps: results. Breaks: nothing, but duplicates nodes, which no later pass may share. */
#include "passes/remat.h"

#include <string.h>

#include "ir/rewrite.h"

typedef struct Buffer { /* a value with memory of the arena */
    Value *value;
    int64_t bytes;
    int first;     /* step */
    int n, *reads; /* the buffers that it is computed from */
    bool can_drop;
    double cost; /* of computing it again: bytes moved, and a sixteenth of the operations */
} Buffer;

typedef struct Moment { /* a step of the schedule */
    VEC(int) reads;
    VEC(int) writes;
} Moment;

struct Remat {
    const Schedule *s;
    const RegionSchedule *rs;
    Context *c;
    Pool *pool;
    const int64_t *symbols;
    int64_t align;
    VEC(Buffer) buffers;
    int *buffer_of; /* by value id: 1 + index */
    int *seen;      /* by value id */
    int epoch;
    Moment *step;
    int n_steps, loss; /* the step of the loss */
    bool *drop;        /* by buffer */
    /* of a simulation */
    int *from, *to, *again, *again_to; /* by buffer: its life, and that of what was recomputed; in positions, -1: none */
    int64_t *change;                   /* by position */
    int now;
    double cost;
    int64_t peak;
    double excess;
};

/* ---- what is there -------------------------------------------------------------------------------------------------- */

static bool has_data_size(Type t)
{
    for (int i = 0; i < t.rank; i++)
        if (dim_has_data_symbol(t.dim[i])) return true;
    return false;
}

static int64_t elements(const Remat *r, Type t)
{
    int64_t n = 0;
    if (has_data_size(t) || !dim_eval(type_count(r->c, t), r->symbols, &n)) return 0;
    return n;
}

static int64_t bytes_of(const Remat *r, const Value *v)
{
    int64_t n = elements(r, v->type), bits = r->s->wide[v->id] ? 32 : dtype_bits(v->type.dtype);
    return ((n * bits + 7) / 8 + r->align - 1) / r->align * r->align;
}

static bool is_arena(const Remat *r, const Value *root)
{
    return root->def && root->region == r->rs->region && !value_const(root, NULL);
}

static int buffer(Remat *r, Value *v, int step)
{
    Value *root = schedule_storage(r->s, v);
    if (!is_arena(r, root)) return -1;
    if (!r->buffer_of[root->id]) {
        *VEC_PUSH(r->pool, r->buffers) = (Buffer){.value = root, .bytes = bytes_of(r, root), .first = step};
        r->buffer_of[root->id] = r->buffers.n;
    }
    return r->buffer_of[root->id] - 1;
}

typedef struct Reads {
    VEC(Value *) at;
    double work;
    bool pure; /* nothing but what can be computed anywhere, any number of times */
} Reads;

static bool can_repeat(const Node *n)
{
    if (n->n_region || n->n_out != 1) return false;
    switch (n->op) {
    case OP_COMPACT:
    case OP_READ_DIMS:
    case OP_HOST: return false;
    default: return true;
    }
}

static double work_of(const Remat *r, const Node *n)
{
    double out = (double)elements(r, n->out[0]->type), each = 1;
    if (n->op == OP_DOT) {
        int64_t k = 0;
        const Type t = n->in[0]->type;
        each = dim_eval(t.dim[t.rank - 1], r->symbols, &k) ? 2 * (double)k : 1;
    } else if (n->op == OP_CONV) {
        const Type w = n->in[1]->type;
        int64_t co = 1;
        dim_eval(w.dim[w.rank - 1], r->symbols, &co);
        each = 2 * (double)elements(r, w) / (double)(co > 0 ? co : 1);
    } else if (n->op == OP_REDUCE || n->op == OP_ARGREDUCE) {
        out = (double)elements(r, n->in[0]->type);
    } else if (n->op == OP_WINDOW || n->op == OP_ARGWINDOW) {
        const Attr *w = node_attr(n, A_WINDOW);
        for (int i = 0; i < w->n; i++) each *= (double)w->ints[i];
    }
    return out * each;
}

/* What v is computed from: everything down to values with memory. The values `own` have none as far as this goes. */
static void walk(Remat *r, Value *v, int n_own, Value *const *own, Reads *reads)
{
    if (r->seen[v->id] == r->epoch) return;
    r->seen[v->id] = r->epoch;
    bool mine = false;
    for (int i = 0; i < n_own; i++) mine |= own[i] == v;
    if (!v->def || value_const(v, NULL)) return;
    if (v->region != r->rs->region || (r->s->materialized[v->id] && !mine)) {
        *VEC_PUSH(r->pool, reads->at) = v;
        return;
    }
    reads->pure &= can_repeat(v->def);
    if (v->def->n_out == 1) reads->work += work_of(r, v->def);
    for (int i = 0; i < v->def->n_in; i++) walk(r, v->def->in[i], n_own, own, reads);
}

static void walk_region(Remat *r, const Region *g, Reads *reads)
{
    for (int i = 0; i < g->nodes.n; i++) {
        const Node *n = g->nodes.at[i];
        for (int k = 0; k < n->n_in; k++) {
            Value *v = n->in[k];
            if (v->region == r->rs->region) walk(r, v, 0, NULL, reads);
        }
        for (int k = 0; k < n->n_region; k++) walk_region(r, n->region_at[k], reads);
    }
    for (int i = 0; i < g->results.n; i++)
        if (g->results.at[i]->region == r->rs->region) walk(r, g->results.at[i], 0, NULL, reads);
}

static void note_step(Remat *r, int at)
{
    const Step *st = &r->rs->steps.at[at];
    Reads reads = {.pure = true};
    r->epoch++;
    if (st->kernel) {
        for (int i = 0; i < st->kernel->out.n; i++) walk(r, st->kernel->out.at[i], st->kernel->out.n, st->kernel->out.at, &reads);
        for (int i = 0; i < st->kernel->out.n; i++) {
            int b = buffer(r, st->kernel->out.at[i], at);
            if (b >= 0) *VEC_PUSH(r->pool, r->step[at].writes) = b;
        }
    } else {
        for (int i = 0; i < st->node->n_in; i++) walk(r, st->node->in[i], 0, NULL, &reads);
        for (int i = 0; i < st->node->n_region; i++) walk_region(r, st->node->region_at[i], &reads);
        for (int i = 0; i < st->node->n_out; i++) {
            int b = buffer(r, st->node->out[i], at);
            if (b >= 0) *VEC_PUSH(r->pool, r->step[at].writes) = b;
        }
    }
    for (int i = 0; i < reads.at.n; i++) {
        int b = buffer(r, reads.at.at[i], at);
        if (b >= 0) *VEC_PUSH(r->pool, r->step[at].reads) = b;
    }
}

/* How a buffer could be computed again. */
static void note_source(Remat *r, Buffer *b)
{
    Reads reads = {.pure = true};
    r->epoch++;
    walk(r, b->value, 1, &b->value, &reads);
    b->reads = POOL_ARRAY(r->pool, int, reads.at.n + 1);
    double bytes = (double)b->bytes;
    for (int i = 0; i < reads.at.n; i++) {
        Value *root = schedule_storage(r->s, reads.at.at[i]);
        int k = r->buffer_of[root->id] - 1;
        bytes += (double)bytes_of(r, root);
        if (k >= 0) b->reads[b->n++] = k;
    }
    b->cost = bytes + reads.work / 16;
    b->can_drop = b->can_drop && reads.pure && b->bytes > 0 && b->first <= r->loss;
}

/* ---- simulation ----------------------------------------------------------------------------------------------------- */

static void recompute(Remat *r, int b)
{
    if (r->again[b] >= 0) return;
    const Buffer *x = &r->buffers.at[b];
    for (int i = 0; i < x->n; i++)
        if (r->drop[x->reads[i]]) recompute(r, x->reads[i]);
    for (int i = 0; i < x->n; i++) (r->drop[x->reads[i]] ? r->again_to : r->to)[x->reads[i]] = r->now;
    r->again[b] = r->again_to[b] = r->now++;
    r->cost += x->cost;
}

static void live_between(Remat *r, int from, int to, int64_t bytes)
{
    if (from < 0) return;
    r->change[from] += bytes;
    r->change[to + 1] -= bytes;
}

static void simulate(Remat *r, int64_t target)
{
    int n = r->buffers.n;
    for (int i = 0; i < n; i++) r->from[i] = r->to[i] = r->again[i] = r->again_to[i] = -1;
    memset(r->change, 0, (size_t)(r->n_steps + n + 2) * sizeof *r->change);
    r->now = 0;
    r->cost = 0;
    for (int t = 0; t < r->n_steps; t++) {
        const Moment *m = &r->step[t];
        bool late = t > r->loss;
        for (int i = 0; late && i < m->reads.n; i++)
            if (r->drop[m->reads.at[i]]) recompute(r, m->reads.at[i]);
        for (int i = 0; i < m->reads.n; i++) (late && r->drop[m->reads.at[i]] ? r->again_to : r->to)[m->reads.at[i]] = r->now;
        for (int i = 0; i < m->writes.n; i++) r->from[m->writes.at[i]] = r->to[m->writes.at[i]] = r->now;
        r->now++;
    }
    for (int i = 0; i < n; i++) {
        live_between(r, r->from[i], r->to[i], r->buffers.at[i].bytes);
        live_between(r, r->again[i], r->again_to[i], r->buffers.at[i].bytes);
    }
    int64_t live = 0;
    r->peak = 0;
    r->excess = 0;
    for (int t = 0; t < r->now; t++) {
        live += r->change[t];
        if (live > r->peak) r->peak = live;
        if (live > target) r->excess += (double)(live - target);
    }
}

/* ---- search --------------------------------------------------------------------------------------------------------- */

typedef struct Candidate {
    int buffer;
    double score; /* of excess removed per cost; may be out of date */
} Candidate;

static double score(Remat *r, int b, int64_t target, double excess, double cost)
{
    r->drop[b] = true;
    simulate(r, target);
    r->drop[b] = false;
    double gain = excess - r->excess, more = r->cost - cost;
    return gain <= 0 ? 0 : gain / (more > 1 ? more : 1);
}

/* Drops one after the other until the target is met. Scores are brought up to date only at the top of the list, all of them when
 * that has nothing more to offer. */
static bool greedy(Remat *r, int64_t target)
{
    int n = 0;
    Candidate *list = POOL_ARRAY(r->pool, Candidate, r->buffers.n + 1);
    bool fresh = false;
    simulate(r, target);
    double excess = r->excess, cost = r->cost;
    while (excess > 0) {
        int best = -1;
        for (int i = 0; i < n; i++)
            if (!r->drop[list[i].buffer] && list[i].score > 0 && (best < 0 || list[i].score > list[best].score)) best = i;
        if (best < 0) {
            if (fresh) return false;
            n = 0;
            for (int i = 0; i < r->buffers.n; i++)
                if (r->buffers.at[i].can_drop && !r->drop[i]) list[n++] = (Candidate){i, score(r, i, target, excess, cost)};
            fresh = true;
            continue;
        }
        double was = list[best].score, is = fresh ? was : score(r, list[best].buffer, target, excess, cost);
        list[best].score = is;
        double next = 0;
        for (int i = 0; i < n; i++)
            if (i != best && !r->drop[list[i].buffer] && list[i].score > next) next = list[i].score;
        if (is <= 0 || is < next) continue;
        r->drop[list[best].buffer] = true;
        fresh = false;
        simulate(r, target);
        excess = r->excess;
        cost = r->cost;
    }
    return true;
}

/* Segments of the forward part that compute about so many bytes: what is read behind a border is kept, the rest dropped. */
static void drop_segments(Remat *r, int64_t bytes)
{
    int *last = POOL_ARRAY(r->pool, int, r->buffers.n + 1);
    for (int t = 0; t <= r->loss; t++)
        for (int i = 0; i < r->step[t].reads.n; i++) last[r->step[t].reads.at[i]] = t;
    for (int i = 0; i < r->buffers.n; i++) r->drop[i] = r->buffers.at[i].can_drop;
    int64_t sum = 0;
    for (int t = 0; t <= r->loss; t++) {
        for (int i = 0; i < r->step[t].writes.n; i++) sum += r->buffers.at[r->step[t].writes.at[i]].bytes;
        if (sum < bytes) continue;
        sum = 0;
        for (int i = 0; i < r->buffers.n; i++)
            if (r->buffers.at[i].first <= t && last[i] > t) r->drop[i] = false;
    }
}

static void drop_nothing(Remat *r)
{
    memset(r->drop, 0, (size_t)r->buffers.n * sizeof *r->drop);
}

/* Takes back what the target does not need, the dearest first. */
static void prune(Remat *r, int64_t target)
{
    bool *tried = POOL_ARRAY(r->pool, bool, r->buffers.n + 1);
    for (;;) {
        int dearest = -1;
        for (int i = 0; i < r->buffers.n; i++)
            if (r->drop[i] && !tried[i] && (dearest < 0 || r->buffers.at[i].cost > r->buffers.at[dearest].cost)) dearest = i;
        if (dearest < 0) break;
        tried[dearest] = true;
        r->drop[dearest] = false;
        simulate(r, target);
        if (r->peak > target) r->drop[dearest] = true;
    }
    simulate(r, target);
}

static const int64_t segments[] = {2, 3, 4, 6, 8, 12, 16, 24, 32};

/* False: `drop` is what came nearest. */
static bool search(Remat *r, int64_t target)
{
    int n = (int)(sizeof segments / sizeof *segments);
    bool *best = POOL_ARRAY(r->pool, bool, r->buffers.n + 1);
    int64_t least = INT64_MAX, all = 0;
    for (int i = 0; i < r->buffers.n; i++)
        if (r->buffers.at[i].first <= r->loss) all += r->buffers.at[i].bytes;
    for (int k = -1; k < n; k++) {
        drop_nothing(r);
        if (k >= 0) drop_segments(r, all / segments[k]);
        bool met = greedy(r, target);
        simulate(r, target);
        if (r->peak < least) {
            least = r->peak;
            memcpy(best, r->drop, (size_t)r->buffers.n * sizeof *best);
        }
        if (met) break;
    }
    memcpy(r->drop, best, (size_t)r->buffers.n * sizeof *best);
    if (least <= target) prune(r, target);
    simulate(r, target);
    return least <= target;
}

bool remat_choose(Remat *r, int64_t target)
{
    if (target >= 0 && search(r, target)) return true;
    drop_nothing(r);
    simulate(r, 0);
    return false;
}

void remat_choose_least(Remat *r)
{
    drop_nothing(r);
    simulate(r, 0);
    bool *best = POOL_ARRAY(r->pool, bool, r->buffers.n + 1);
    int64_t least = r->peak;
    for (int misses = 0; misses < 2 && least > 0;) {
        bool met = search(r, least - least / (misses ? 64 : 12) - 1);
        if (!met) misses++;
        if (r->peak >= least) continue;
        least = r->peak;
        memcpy(best, r->drop, (size_t)r->buffers.n * sizeof *best);
    }
    memcpy(r->drop, best, (size_t)r->buffers.n * sizeof *best);
    simulate(r, least);
}

int64_t remat_peak(const Remat *r)
{
    return r->peak;
}

Remat *remat_new(const Schedule *s, const int64_t *symbol_values, int64_t align)
{
    const Graph *g = s->graph;
    Context *c = g->ctx;
    Remat *r = POOL_NEW(c->pool, Remat);
    *r = (Remat){.s = s, .rs = schedule_region(s, g->top), .c = c, .pool = c->pool, .symbols = symbol_values, .align = align};
    r->n_steps = r->rs->steps.n;
    r->buffer_of = POOL_ARRAY(c->pool, int, g->n_values + 1);
    r->seen = POOL_ARRAY(c->pool, int, g->n_values + 1);
    r->step = POOL_ARRAY(c->pool, Moment, r->n_steps + 1);
    for (int i = 0; i < r->n_steps; i++) note_step(r, i);
    int n = r->buffers.n;
    for (int i = 0; i < n; i++) r->buffers.at[i].can_drop = true;
    for (int i = 0; i < g->top->results.n; i++) { /* outputs and states have memory of their own */
        int b = r->buffer_of[schedule_storage(s, g->top->results.at[i])->id] - 1;
        if (b < 0) continue;
        if (i == 0) r->loss = r->buffers.at[b].first;
        r->buffers.at[b].can_drop = false;
        r->buffers.at[b].bytes = 0;
    }
    for (int i = 0; i < n; i++) note_source(r, &r->buffers.at[i]);
    r->drop = POOL_ARRAY(c->pool, bool, n + 1);
    r->from = POOL_ARRAY(c->pool, int, n + 1);
    r->to = POOL_ARRAY(c->pool, int, n + 1);
    r->again = POOL_ARRAY(c->pool, int, n + 1);
    r->again_to = POOL_ARRAY(c->pool, int, n + 1);
    r->change = POOL_ARRAY(c->pool, int64_t, r->n_steps + n + 2);
    simulate(r, 0);
    return r;
}

/* ---- the new graph -------------------------------------------------------------------------------------------------- */

typedef struct Apply {
    const Remat *r;
    Rewrite *rw;
    Value **early; /* by old value id: what it was mapped to in the forward part */
    bool late;
    Kernel *kernel; /* whose values are being computed */
} Apply;

static Value *view(Apply *a, Value *x)
{
    return build_op(&a->rw->b, OP_BARRIER, 1, &x, 1, (const Attr[]){at_i(A_VIEW, 1)});
}

/* Brings the map's entry for v up to what is to be read at this place. */
static void provide(Apply *a, Value *v)
{
    const Remat *r = a->r;
    Value **at = &a->rw->map[v->id];
    if (*at || !v->def || v->region != r->rs->region) return;
    bool memory = r->s->materialized[v->id] && !r->s->alias[v->id] && !value_const(v, NULL);
    int b = memory ? r->buffer_of[v->id] - 1 : -1;
    bool before = a->late && a->early[v->id];
    if (before && (value_const(v, NULL) || (b >= 0 && !r->drop[b]))) {
        *at = memory ? view(a, a->early[v->id]) : a->early[v->id];
        return;
    }
    for (int i = 0; i < v->def->n_in; i++) provide(a, v->def->in[i]);
    rewrite_visit(a->rw, v->def);
    if (before && b >= 0 && *at) *at = view(a, *at);
}

static void provide_captures(Apply *a, const Region *g)
{
    for (int i = 0; i < g->nodes.n; i++) {
        const Node *n = g->nodes.at[i];
        for (int k = 0; k < n->n_in; k++) provide(a, n->in[k]);
        for (int k = 0; k < n->n_region; k++) provide_captures(a, n->region_at[k]);
    }
    for (int i = 0; i < g->results.n; i++) provide(a, g->results.at[i]);
}

static void apply_step(Apply *a, const Step *st)
{
    if (st->kernel) {
        for (int i = 0; i < st->kernel->out.n; i++) provide(a, st->kernel->out.at[i]);
        return;
    }
    for (int i = 0; i < st->node->n_in; i++) provide(a, st->node->in[i]);
    for (int i = 0; i < st->node->n_region; i++) provide_captures(a, st->node->region_at[i]);
    rewrite_visit(a->rw, st->node);
}

Graph *remat_apply(const Remat *r)
{
    Graph *g = r->s->graph;
    int errors = r->c->diag.errors;
    Apply a = {.r = r, .rw = rewrite_begin(g, NULL, NULL, false)};
    const Origin *origin = r->c->origin;
    for (int t = 0; t < r->n_steps; t++) {
        if (t == r->loss + 1) {
            a.late = true;
            a.early = pool_dup(r->pool, a.rw->map, (size_t)g->n_values * sizeof *a.early);
            for (int i = 0; i < g->top->nodes.n; i++)
                for (int k = 0; k < g->top->nodes.at[i]->n_out; k++) a.rw->map[g->top->nodes.at[i]->out[k]->id] = NULL;
        }
        apply_step(&a, &r->rs->steps.at[t]);
    }
    for (int i = 0; i < g->top->results.n; i++) {
        Value *v = g->top->results.at[i];
        if (a.late && a.early[v->id]) a.rw->map[v->id] = a.early[v->id];
        provide(&a, v);
    }
    r->c->origin = origin;
    Graph *dst = rewrite_end(a.rw);
    return r->c->diag.errors > errors ? NULL : dst;
}
