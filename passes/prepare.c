/* Prepare: kernels that depend on the inputs' sizes alone (masks, positions, tables of angles) come first in a schedule, so that
 * the runtime can run them once for as long as sizes stay, and keep what they make.
 *
 * What leaves the graph is none of these: it is the caller's. Neither is what is put together of several kernels' results. */
#include "ir/steps.h"

static bool has_data_sizes(const Node *n)
{
    for (int i = 0; i < n->n_out; i++)
        for (int k = 0; k < n->out[i]->type.rank; k++)
            if (dim_has_data_symbol(n->out[i]->type.dim[k])) return true;
    for (int i = 0; i < n->n_attr; i++)
        for (int k = 0; attr_type[n->attr[i].id] == ATTR_DIMS && k < n->attr[i].n; k++)
            if (dim_has_data_symbol(n->attr[i].dims[k])) return true;
    return false;
}

void schedule_mark_sized(Schedule *s)
{
    const Region *r = s->graph->top;
    for (int i = 0; i < r->nodes.n; i++) {
        const Node *n = r->nodes.at[i];
        bool sized = n->op != OP_RANDOM && n->op != OP_BARRIER && n->op != OP_HOST && n->op != OP_READ_DIMS && !n->n_region &&
                     !has_data_sizes(n);
        for (int k = 0; k < n->n_in; k++) sized = sized && s->sized[n->in[k]->id];
        for (int k = 0; k < n->n_out; k++) s->sized[n->out[k]->id] = sized;
    }
}

bool schedule_sized(const Schedule *s, const Kernel *k)
{
    for (int i = 0; i < k->out.n; i++)
        if (!s->sized[k->out.at[i]->id] || s->part[k->out.at[i]->id].whole) return false;
    return true;
}

/* Whether step i, all before which have been decided on, is one of these. */
static bool prepares(const Steps *t, int i, const bool *decided)
{
    const Kernel *k = t->rs->steps.at[i].kernel;
    if (!k || !schedule_sized(t->s, k)) return false;
    for (int o = 0; o < k->out.n; o++)
        if (schedule_leaves(t->s, k->out.at[o], 0)) return false;
    for (int r = 0; r < t->reads[i].n; r++) {
        const Value *v = t->reads[i].at[r];
        int maker = t->maker[v->id];
        if (!value_const(v, NULL) && (maker < 0 || !decided[maker])) return false;
    }
    return true;
}

void schedule_prepare(Schedule *s)
{
    RegionSchedule *rs = schedule_region(s, s->graph->top);
    Steps *t = steps_of(s, rs);
    bool *decided = POOL_ARRAY(t->pool, bool, rs->steps.n + 1);
    Step *rest = POOL_ARRAY(t->pool, Step, rs->steps.n + 1);
    int n = 0;
    for (int i = 0; i < rs->steps.n; i++) {
        decided[i] = prepares(t, i, decided);
        if (decided[i])
            rs->steps.at[rs->prepared++] = rs->steps.at[i];
        else
            rest[n++] = rs->steps.at[i];
    }
    for (int i = 0; i < n; i++) rs->steps.at[rs->prepared + i] = rest[i];
}
