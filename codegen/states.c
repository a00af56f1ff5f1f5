/* States: every one's next value ends up in its buffer, by being computed right there where that is safe, or by a copy at the
 * end.
 *
 * In place is safe when the kernel that computes the next value is the last step to read the present one, and reads of it nothing
 * but the element that it is about to write. */
#include <string.h>

#include "codegen/plan.h"

typedef struct Use { /* of a buffer, in steps of the top region; -1: none */
    int last_read, writer, writers;
} Use;

typedef struct States {
    PlanBuilder *b;
    Dlvk__Plan__Region *region;
    Use *use;
    uint32_t *same; /* by buffer: the one that takes its place, or itself */
    bool *seen;     /* by value id, twice: walked as a pointwise operand, as another */
} States;

static void each_buffer(const Dlvk__Plan__Step *s, void (*visit)(void *user, uint32_t *buffer, bool write), void *user);

static void each_in(const Dlvk__Plan__Region *r, void (*visit)(void *user, uint32_t *buffer, bool write), void *user)
{
    for (size_t i = 0; r && i < r->n_step; i++) each_buffer(r->step[i], visit, user);
}

static void each_arg(size_t n, Dlvk__Plan__Arg **arg, void (*visit)(void *user, uint32_t *buffer, bool write), void *user)
{
    for (size_t i = 0; i < n; i++)
        if (arg[i]->kind_case == DLVK__PLAN__ARG__KIND_ADDRESS) visit(user, &arg[i]->address->buffer, false);
}

/* Every reference to a buffer in a step. */
static void each_buffer(const Dlvk__Plan__Step *s, void (*visit)(void *user, uint32_t *buffer, bool write), void *user)
{
    switch (s->kind_case) {
    case DLVK__PLAN__STEP__KIND_DISPATCH: {
        Dlvk__Plan__Dispatch *d = s->dispatch;
        for (size_t i = 0; i < d->n_reads; i++) visit(user, &d->reads[i], false);
        for (size_t i = 0; i < d->n_writes; i++) visit(user, &d->writes[i], true);
        each_arg(d->n_arg, d->arg, visit, user);
        for (size_t i = 0; i < d->n_variant; i++) each_arg(d->variant[i]->n_arg, d->variant[i]->arg, visit, user);
        return;
    }
    case DLVK__PLAN__STEP__KIND_COPY:
        visit(user, &s->copy->from, false);
        visit(user, &s->copy->to, true);
        return;
    case DLVK__PLAN__STEP__KIND_READ_DIMS: visit(user, &s->read_dims->buffer, false); return;
    case DLVK__PLAN__STEP__KIND_BRANCH:
        visit(user, &s->branch->condition, false);
        each_in(s->branch->then, visit, user);
        each_in(s->branch->otherwise, visit, user);
        return;
    case DLVK__PLAN__STEP__KIND_LOOP: {
        uint32_t *field[] = {&s->loop->trip_count, &s->loop->condition, &s->loop->iteration};
        for (int i = 0; i < 3; i++) { /* 1 + buffer */
            if (!*field[i]) continue;
            uint32_t buffer = *field[i] - 1;
            visit(user, &buffer, i == 2);
            *field[i] = buffer + 1;
        }
        each_in(s->loop->body, visit, user);
        return;
    }
    case DLVK__PLAN__STEP__KIND_HOST:
        for (size_t i = 0; i < s->host->n_in; i++) visit(user, &s->host->in[i]->buffer, false);
        for (size_t i = 0; i < s->host->n_out; i++) visit(user, &s->host->out[i]->buffer, true);
        return;
    default: return;
    }
}

typedef struct Gather {
    Use *use;
    int step;
} Gather;

static void gather(void *user, uint32_t *buffer, bool write)
{
    Gather *g = user;
    Use *u = &g->use[*buffer];
    if (!write) {
        u->last_read = g->step;
        return;
    }
    u->writer = g->step;
    u->writers++;
}

static void replace(void *user, uint32_t *buffer, bool write)
{
    (void)write;
    const States *s = user;
    *buffer = s->same[*buffer];
}

/* Whether what v is computed from, within its kernel, has of p at most the element at v's own place; with pointwise false:
 * nothing of p at all. */
static bool reads_own(States *s, const Kernel *k, Value *v, const Value *p, bool pointwise, bool root)
{
    const Schedule *sched = s->b->s;
    if (s->seen[2 * v->id + pointwise]) return true;
    s->seen[2 * v->id + pointwise] = true;
    if (schedule_storage(sched, v) == p) return pointwise;
    bool own = root;
    for (int i = 0; i < k->out.n; i++) own |= k->out.at[i] == v;
    if (!v->def || (sched->materialized[v->id] && !own)) return true;
    bool same_place = pointwise && (op_info[v->def->op].point || v->def->op == OP_RESHAPE);
    for (int i = 0; i < v->def->n_in; i++)
        if (!reads_own(s, k, v->def->in[i], p, same_place, false)) return false;
    return true;
}

/* The kernel that computes v; *lead is the one that it is a part of, or itself. */
static const Kernel *kernel_of(const States *s, const Value *v, const Kernel **lead)
{
    const RegionSchedule *rs = schedule_region(s->b->s, s->b->s->graph->top);
    for (int i = 0; i < rs->steps.n; i++) {
        const Kernel *k = rs->steps.at[i].kernel;
        for (int p = -1; k && p < k->parts.n; p++) {
            const Kernel *part = p < 0 ? k : k->parts.at[p];
            for (int o = 0; o < part->out.n; o++)
                if (part->out.at[o] == v) {
                    *lead = k;
                    return part;
                }
        }
    }
    return NULL;
}

/* Whether other parts of the dispatch use p. */
static bool others_read(States *s, const Kernel *lead, const Kernel *k, const Value *p)
{
    for (int i = -1; i < lead->parts.n; i++) {
        const Kernel *part = i < 0 ? lead : lead->parts.at[i];
        if (part == k) continue;
        memset(s->seen, 0, (size_t)s->b->s->graph->n_values * 2);
        for (int o = 0; o < part->out.n; o++)
            if (!reads_own(s, part, part->out.at[o], p, false, true)) return true;
    }
    return false;
}

static bool in_place(States *s, const Value *p, uint32_t state, Value *next, uint32_t buffer)
{
    const Graph *g = s->b->s->graph;
    const Use *from = &s->use[state], *to = &s->use[buffer];
    const BufferEntry *x = &s->b->buffers.at[state], *y = &s->b->buffers.at[buffer];
    if (y->msg->kind != DLVK__PLAN__BUFFER__KIND__ARENA || x->msg->size != y->msg->size || s->same[buffer] != buffer)
        return false;
    if (to->writers != 1 || from->last_read > to->writer) return false;
    int outputs = g->top->results.n - g->n_states;
    for (int i = 0; i < g->top->results.n; i++) {
        const Value *r = schedule_storage(s->b->s, g->top->results.at[i]);
        if (r == p || (i < outputs && r == next)) return false;
    }
    const Kernel *lead = NULL, *k = kernel_of(s, next, &lead);
    if (!k || others_read(s, lead, k, p)) return false;
    for (int i = 0; i < k->out.n; i++) {
        /* Maps compute all before they store any, and so do rows for each row and for each element of one. */
        bool together = (k->arch == ARCH_MAP && !k->anchor) ||
                        (k->arch == ARCH_ROWS && type_count(s->b->ctx, k->out.at[i]->type) == type_count(s->b->ctx, next->type));
        bool mine = k->out.at[i] == next || together;
        memset(s->seen, 0, (size_t)g->n_values * 2);
        if (!reads_own(s, k, k->out.at[i], p, mine, true)) return false;
    }
    return true;
}

static void add_copy(States *s, uint32_t from, uint32_t to)
{
    PlanBuilder *b = s->b;
    Dlvk__Plan__Step *step = PLAN_NEW(b, Step, step);
    step->kind_case = DLVK__PLAN__STEP__KIND_COPY;
    step->copy = PLAN_NEW(b, Copy, copy);
    step->copy->from = from;
    step->copy->to = to;
    step->copy->bytes = b->buffers.at[to].msg->size;
    step->copy->from_offset = step->copy->to_offset = plan_expr(b, dim_const(&b->ctx->dims, 0));
    plan_touch(b, from);
    plan_touch(b, to);
    s->region->step[s->region->n_step++] = step;
    b->step++;
}

void plan_states(PlanBuilder *b, Dlvk__Plan__Region *region)
{
    const Graph *g = b->s->graph;
    int n = g->n_states, nb = b->buffers.n + 2 * n, copies = 0;
    if (!n) return;
    States s = {.b = b, .region = region};
    uint32_t *from = POOL_ARRAY(b->pool, uint32_t, n), *to = POOL_ARRAY(b->pool, uint32_t, n);
    s.use = POOL_ARRAY(b->pool, Use, nb);
    s.same = POOL_ARRAY(b->pool, uint32_t, nb);
    s.seen = POOL_ARRAY(b->pool, bool, g->n_values * 2);
    for (int i = 0; i < nb; i++) {
        s.use[i] = (Use){-1, -1, 0};
        s.same[i] = (uint32_t)i;
    }
    for (size_t i = 0; i < region->n_step; i++) each_buffer(region->step[i], gather, &(Gather){s.use, (int)i});
    for (int i = 0; i < n; i++) {
        Value *p = g->top->params.at[g->top->params.n - n + i];
        Value *next = schedule_storage(b->s, g->top->results.at[g->top->results.n - n + i]);
        if (next == p) continue;
        uint32_t state = plan_buffer(b, p), buffer = plan_buffer(b, next);
        if (in_place(&s, p, state, next, buffer)) {
            s.same[buffer] = state;
            b->buffers.at[buffer].msg->size = plan_expr(b, dim_const(&b->ctx->dims, 0)); /* nobody's now */
        } else {
            from[copies] = buffer;
            to[copies++] = state;
        }
    }
    each_in(region, replace, &s);
    region->step = memcpy(POOL_ARRAY(b->pool, Dlvk__Plan__Step *, region->n_step + 2 * (size_t)n), region->step,
                          region->n_step * sizeof(Dlvk__Plan__Step *));
    for (int i = 0; i < copies; i++) { /* what another state starts with is saved before that is overwritten */
        from[i] = s.same[from[i]];
        if (b->buffers.at[from[i]].msg->kind != DLVK__PLAN__BUFFER__KIND__STATE) continue;
        uint32_t saved = plan_scratch(b, dim_const(&b->ctx->dims, b->exprs.at[b->buffers.at[from[i]].msg->size]->value), "state");
        add_copy(&s, from[i], saved);
        from[i] = saved;
    }
    for (int i = 0; i < copies; i++) add_copy(&s, from[i], to[i]);
}
