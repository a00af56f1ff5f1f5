/* Waves: steps between two barriers, which run side by side. A barrier waits for all that is under way, and few kernels of a
 * training step fill a GPU, so steps that need nothing of each other stand together; and what one of them leaves is not
 * overwritten by the others.
 *
 * The order is that of the schedule, which keeps little alive, save that a step stands earlier where it can run in a wave that
 * has begun. */
#include "codegen/plan.h"
#include "ir/steps.h"

enum {
    NEAR = 2,     /* steps that anything may pass */
    AHEAD = 16,   /* steps that are looked at: what is moved further would live for long */
    TYPICAL = 64, /* of a size that is not known */
    SMALL = 16    /* times less than the region's largest value: what may live a little longer */
};

typedef struct Before {
    VEC(int) step; /* those that must have run */
} Before;

/* Before a state's next value is written all others have read the present one. */
static void add_states(const PlanBuilder *b, const Steps *t, Before *before)
{
    const Graph *g = b->s->graph;
    for (int i = 0; i < g->n_states; i++) {
        const Value *p = g->top->params.at[g->top->params.n - g->n_states + i];
        const Value *next = schedule_storage(b->s, g->top->results.at[g->top->results.n - g->n_states + i]);
        int writer = t->maker[next->id];
        if (writer < 0) continue;
        for (int k = 0; k < t->rs->steps.n; k++)
            for (int r = 0; k != writer && r < t->reads[k].n; r++)
                if (t->reads[k].at[r] == p) *VEC_PUSH(b->pool, before[writer].step) = k;
    }
}

/* Whether all that step i needs has run before wave number `now`. */
static bool ready(const Before *before, const int *wave, int i, int now)
{
    for (int k = 0; k < before[i].step.n; k++) {
        int w = wave[before[i].step.at[k]];
        if (!w || w == now) return false;
    }
    return true;
}

/* Bytes that a step leaves, all sizes being typical. States are written over. */
static int64_t bytes_left(PlanBuilder *b, const int64_t *sizes, const Kernel *k)
{
    const Graph *g = b->s->graph;
    int64_t sum = 0, bytes;
    for (int p = -1; k && p < k->parts.n; p++) {
        const Kernel *part = p < 0 ? k : k->parts.at[p];
        for (int i = 0; i < part->out.n; i++)
            if (!schedule_leaves(b->s, part->out.at[i], g->top->results.n - g->n_states))
                sum += dim_eval(plan_value_bytes(b, part->out.at[i]), sizes, &bytes) ? bytes : INT32_MAX;
    }
    return sum;
}

void plan_gather_waves(PlanBuilder *b, RegionSchedule *rs)
{
    const Steps *t = steps_of(b->s, rs);
    int n = rs->steps.n, *wave = POOL_ARRAY(b->pool, int, n + 1), now = 0, at = 0; /* wave: 0: not placed yet */
    Before *before = POOL_ARRAY(b->pool, Before, n + 1);
    Step *order = POOL_ARRAY(b->pool, Step, n + 1);
    for (int i = 0; i < n; i++)
        for (int r = 0; r < t->reads[i].n; r++) {
            int maker = t->maker[t->reads[i].at[r]->id];
            if (maker >= 0 && maker != i) *VEC_PUSH(b->pool, before[i].step) = maker;
        }
    if (rs->region == b->s->graph->top) add_states(b, t, before);
    const DimTable *dt = &b->ctx->dims;
    int64_t *sizes = POOL_ARRAY(b->pool, int64_t, dt->symbols.n + 1), *left = POOL_ARRAY(b->pool, int64_t, n + 1), most = 0;
    for (int i = 0; i < dt->symbols.n; i++) {
        const Symbol *s = dt->symbols.at[i];
        sizes[i] = TYPICAL < s->lo ? s->lo : TYPICAL > s->hi ? s->hi : TYPICAL;
    }
    for (int i = 0; i < n; i++) {
        left[i] = bytes_left(b, sizes, rs->steps.at[i].kernel);
        if (left[i] > most) most = left[i];
    }
    for (int i = 0; i < rs->prepared; i++) { /* which runs by itself */
        wave[i] = ++now;
        order[at++] = rs->steps.at[i];
    }
    for (int i = 0; i < n; i++) {
        if (wave[i]) continue;
        wave[i] = ++now;
        order[at++] = rs->steps.at[i];
        for (int k = i + 1, seen = 0, passed = 0; !steps_is_fence(&rs->steps.at[i]) && k < n; k++) {
            if (wave[k]) continue;
            if (steps_is_fence(&rs->steps.at[k])) break;
            if (left[k] && ++seen > AHEAD) continue;
            if (!ready(before, wave, k, now) || (passed > NEAR && left[k] > most / SMALL)) {
                passed++;
                continue;
            }
            wave[k] = now;
            order[at++] = rs->steps.at[k];
        }
    }
    for (int i = 0; i < n; i++) rs->steps.at[i] = order[i];
}

/* ---- lifetimes ------------------------------------------------------------------------------------------------------ */

typedef struct Wave {
    PlanBuilder *b;
    uint32_t number;        /* of the wave */
    uint32_t *read, *wrote; /* by buffer: the last wave that did */
} Wave;

static bool waits(const Wave *w, const uint32_t *buffer, size_t n, bool writes)
{
    for (size_t i = 0; i < n; i++) {
        bool parts = writes && w->b->buffers.at[buffer[i]].msg->parts;
        if (w->wrote[buffer[i]] == w->number && !parts) return true;
        if (writes && w->read[buffer[i]] == w->number) return true;
    }
    return false;
}

/* In a plan's top region, as the runtime does: whether it puts a barrier before the step. */
static bool begins(Wave *w, const Dlvk__Plan__Step *s)
{
    const uint32_t *reads = NULL, *writes = NULL;
    size_t n_reads = 0, n_writes = 0;
    bool alone = false;
    if (s->kind_case == DLVK__PLAN__STEP__KIND_DISPATCH)
        reads = s->dispatch->reads, n_reads = s->dispatch->n_reads, writes = s->dispatch->writes,
        n_writes = s->dispatch->n_writes;
    else if (s->kind_case == DLVK__PLAN__STEP__KIND_COPY)
        reads = &s->copy->from, writes = &s->copy->to, n_reads = n_writes = 1;
    else
        alone = true;
    bool new = alone || waits(w, reads, n_reads, false) || waits(w, writes, n_writes, true);
    if (new) w->number++;
    for (size_t i = 0; i < n_reads; i++) w->read[reads[i]] = w->number;
    for (size_t i = 0; i < n_writes; i++) w->wrote[writes[i]] = w->number;
    return new;
}

void plan_widen_lives(PlanBuilder *b, const Dlvk__Plan__Region *top)
{
    int n = b->buffers.n;
    Wave w = {.b = b, .number = 1, .read = POOL_ARRAY(b->pool, uint32_t, n + 1), .wrote = POOL_ARRAY(b->pool, uint32_t, n + 1)};
    for (size_t i = 0; i < top->n_step; i++)
        if (top->step[i]->kind_case == DLVK__PLAN__STEP__KIND_BRANCH || top->step[i]->kind_case == DLVK__PLAN__STEP__KIND_LOOP)
            return; /* steps are not numbered as they stand in `top` then */
    uint32_t *first = POOL_ARRAY(b->pool, uint32_t, top->n_step + 1), *last = POOL_ARRAY(b->pool, uint32_t, top->n_step + 1);
    for (uint32_t i = 0; i < top->n_step; i++) first[i] = begins(&w, top->step[i]) || !i ? i : first[i - 1];
    for (uint32_t i = (uint32_t)top->n_step; i-- > 0;)
        last[i] = i + 1 < top->n_step && first[i + 1] == first[i] ? last[i + 1] : i;
    for (int i = 0; i < n; i++) {
        Dlvk__Plan__Buffer *m = b->buffers.at[i].msg;
        if (m->kind != DLVK__PLAN__BUFFER__KIND__ARENA || m->first > m->last || m->last >= top->n_step) continue;
        m->before = m->first - first[m->first];
        m->after = last[m->last] - m->last;
    }
}
