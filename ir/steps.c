/* See steps.h. */
#include "ir/steps.h"

void steps_walk(Steps *t)
{
    t->walk++;
}

bool steps_seen(Steps *t, const Value *v, bool state)
{
    int *at = &t->seen[2 * v->id + state];
    bool seen = *at == t->walk;
    *at = t->walk;
    return seen;
}

/* Several steps make what is assembled. */
static void gather_parts(Steps *t, const Value *v, ValueList *reads)
{
    for (int i = 0; t->s->part[v->id].assembled && i < v->def->n_in; i++) {
        *VEC_PUSH(t->pool, *reads) = v->def->in[i];
        gather_parts(t, v->def->in[i], reads);
    }
}

static void gather(Steps *t, const Kernel *k, Value *v, ValueList *reads)
{
    const Schedule *s = t->s;
    if (steps_seen(t, v, false)) return;
    bool own = false;
    for (int i = 0; i < k->out.n; i++) own |= k->out.at[i] == v;
    if (!v->def || (s->materialized[v->id] && !own)) {
        Value *root = schedule_storage(s, v);
        if (steps_seen(t, root, true)) return;
        *VEC_PUSH(t->pool, *reads) = root;
        gather_parts(t, root, reads);
        return;
    }
    for (int i = 0; i < v->def->n_in; i++) gather(t, k, v->def->in[i], reads);
}

static void note(Steps *t, const Kernel *k, int i)
{
    steps_walk(t);
    for (int o = 0; o < k->out.n; o++) {
        t->maker[k->out.at[o]->id] = i;
        gather(t, k, k->out.at[o], &t->reads[i]);
    }
    for (int j = 0; k->before && j < k->before->out.at[0]->def->n_in; j++)
        gather(t, k->before, k->before->out.at[0]->def->in[j], &t->reads[i]);
    for (int p = 0; p < k->parts.n; p++) note(t, k->parts.at[p], i);
}

void steps_note(Steps *t, int i)
{
    t->reads[i] = (ValueList){0};
    if (t->rs->steps.at[i].kernel) note(t, t->rs->steps.at[i].kernel, i);
}

Steps *steps_of(Schedule *s, RegionSchedule *rs)
{
    Pool *p = s->graph->ctx->pool;
    Steps *t = POOL_NEW(p, Steps);
    *t = (Steps){.s = s, .rs = rs, .pool = p};
    t->reads = POOL_ARRAY(p, ValueList, rs->steps.n + 1);
    t->maker = POOL_ARRAY(p, int, s->graph->n_values + 1);
    t->seen = POOL_ARRAY(p, int, 2 * s->graph->n_values + 2);
    for (int i = 0; i <= s->graph->n_values; i++) t->maker[i] = -1;
    for (int i = 0; i < rs->steps.n; i++) steps_note(t, i);
    return t;
}

/* What the host decides, and what tells it a size: other steps stay on their side. */
bool steps_is_fence(const Step *s)
{
    return s->node || (s->kernel && s->kernel->arch == ARCH_COMPACT);
}

static bool needs(const Steps *t, int reader, int maker)
{
    for (int i = 0; i < t->reads[reader].n; i++)
        if (t->maker[t->reads[reader].at[i]->id] == maker) return true;
    return false;
}

bool steps_can_sink(const Steps *t, int from, int to)
{
    for (int i = from + 1; i < to; i++)
        if (steps_is_fence(&t->rs->steps.at[i]) || needs(t, i, from)) return false;
    return true;
}

bool steps_can_rise(const Steps *t, int from, int to)
{
    for (int i = to + 1; i < from; i++)
        if (steps_is_fence(&t->rs->steps.at[i]) || needs(t, from, i)) return false;
    return true;
}

bool steps_independent(const Steps *t, int a, int b)
{
    return !needs(t, a, b) && !needs(t, b, a);
}

void steps_merge(Steps *t, int from, int to)
{
    Kernel *k = t->rs->steps.at[from].kernel, *lead = t->rs->steps.at[to].kernel;
    *VEC_PUSH(t->pool, lead->parts) = k;
    for (int i = 0; i < k->parts.n; i++) *VEC_PUSH(t->pool, lead->parts) = k->parts.at[i];
    k->parts.n = 0;
    t->rs->steps.at[from].kernel = NULL;
    steps_note(t, from);
    steps_note(t, to);
}

void steps_close(Steps *t)
{
    int n = 0, prepared = 0;
    RegionSchedule *rs = t->rs;
    for (int i = 0; i < rs->steps.n; i++) {
        if (!rs->steps.at[i].kernel && !rs->steps.at[i].node) continue;
        rs->steps.at[n++] = rs->steps.at[i];
        prepared += i < rs->prepared;
    }
    rs->steps.n = n;
    rs->prepared = prepared;
}
