/* Joins map kernels: where one reads, element by element, what another of the same shape computes, one kernel computes both, so
 * that the value between stays in a register for the second and a launch (with the barrier before it) goes away. An optimizer's
 * update of a parameter and of what it keeps beside it is one kernel by this. So are windows over the same elements.
 *
 * Works on a schedule whose steps are in order. Steps that the host decides are not crossed. */
#include <string.h>

#include "ir/steps.h"

enum { MAX_OUT = 8 };

/* Every element of v has words of its own: several stores into one would race. */
static bool whole_words(const Schedule *s, const Value *v)
{
    return dtype_bits(v->type.dtype) >= 32 && !s->alias[v->id];
}

/* Whether one kernel can have the results of both. */
static bool fits(const Schedule *s, const Kernel *a, const Kernel *b)
{
    if (a->out.n + b->out.n > MAX_OUT) return false;
    for (int i = 0; i < a->out.n; i++)
        if (!whole_words(s, a->out.at[i])) return false;
    for (int i = 0; i < b->out.n; i++)
        if (!whole_words(s, b->out.at[i])) return false;
    return type_same_shape(a->out.at[0]->type, b->out.at[0]->type) && schedule_sized(s, a) == schedule_sized(s, b);
}

static bool joins(const Schedule *s, const Kernel *a, const Kernel *b)
{
    return a->arch == ARCH_MAP && b->arch == ARCH_MAP && !a->anchor && !b->anchor && fits(s, a, b);
}

typedef struct Walk {
    Steps *t;
    const Kernel *a, *b;
} Walk;

static bool computes(const Kernel *k, const Value *v)
{
    for (int i = 0; i < k->out.n; i++)
        if (k->out.at[i] == v) return true;
    return false;
}

/* Whether b, in computing v, uses of a's results at most the elements at its own place; with own_place false: none of them. */
static bool in_place(Walk *w, Value *v, bool own_place)
{
    const Schedule *s = w->t->s;
    if (computes(w->a, v)) return own_place;
    if (steps_seen(w->t, v, own_place)) return true;
    if (!v->def || (s->materialized[v->id] && !computes(w->b, v))) return !computes(w->a, schedule_storage(s, v));
    bool point = op_info[v->def->op].point || v->def->op == OP_CAST || v->def->op == OP_BITCAST;
    for (int i = 0; i < v->def->n_in; i++)
        if (!in_place(w, v->def->in[i], own_place && point)) return false;
    return true;
}

static bool reads_in_place(Steps *t, const Kernel *a, const Kernel *b)
{
    Walk w = {t, a, b};
    steps_walk(t);
    for (int i = 0; i < b->out.n; i++)
        if (!in_place(&w, b->out.at[i], true)) return false;
    return true;
}

static const char *both_names(Pool *p, const char *a, const char *b)
{
    return strlen(a) + strlen(b) > 60 ? a : pool_printf(p, "%s_%s", a, b);
}

/* Puts the kernel of step `from` into that of step `to`, one of which computes what the other reads. */
static void join(Steps *t, int first, int second, int at)
{
    Pool *p = t->pool;
    Kernel *a = t->rs->steps.at[first].kernel, *b = t->rs->steps.at[second].kernel;
    for (int i = 0; i < b->out.n; i++) *VEC_PUSH(p, a->out) = b->out.at[i];
    for (int i = 0; i < b->origins.n; i++) {
        bool known = false;
        for (int k = 0; k < a->origins.n; k++) known |= a->origins.at[k] == b->origins.at[i];
        if (!known) *VEC_PUSH(p, a->origins) = b->origins.at[i];
    }
    a->name = both_names(p, a->name, b->name);
    t->rs->steps.at[first].kernel = t->rs->steps.at[second].kernel = NULL;
    t->rs->steps.at[at].kernel = a;
    steps_note(t, first);
    steps_note(t, second);
}

/* Step `second` reads what step `first` computes. */
static bool try_join(Steps *t, int first, int second)
{
    const Kernel *a = t->rs->steps.at[first].kernel, *b = t->rs->steps.at[second].kernel;
    if (!a || !joins(t->s, a, b) || !reads_in_place(t, a, b)) return false;
    bool late = steps_can_sink(t, first, second), early = !late && steps_can_rise(t, second, first);
    if (!late && !early) return false;
    join(t, first, second, late ? second : first);
    return true;
}

static bool is_window(const Kernel *k)
{
    return k && k->arch == ARCH_MAP && k->anchor && (k->anchor->op == OP_WINDOW || k->anchor->op == OP_ARGWINDOW);
}

/* Windows over the same elements are seen by one kernel, whatever each makes of them: max pooling, and what its gradient will
 * want to know of it. */
static void join_windows(Steps *t, int i)
{
    for (int from = 0; is_window(t->rs->steps.at[i].kernel) && from < i; from++) {
        const Kernel *a = t->rs->steps.at[from].kernel, *b = t->rs->steps.at[i].kernel;
        if (!is_window(a) || !fits(t->s, a, b) || !steps_independent(t, from, i) || !steps_can_rise(t, i, from)) continue;
        bool same = t->reads[from].n == t->reads[i].n;
        for (int k = 0; same && k < t->reads[i].n; k++) same = t->reads[from].at[k] == t->reads[i].at[k];
        if (same) join(t, from, i, from);
    }
}

static void join_region(Schedule *s, RegionSchedule *rs)
{
    Steps *t = steps_of(s, rs);
    for (int i = 0; i < rs->steps.n; i++) join_windows(t, i);
    for (int i = 0; i < rs->steps.n; i++) {
        bool more = true;
        while (more && rs->steps.at[i].kernel && rs->steps.at[i].kernel->arch == ARCH_MAP) {
            more = false;
            for (int k = 0; k < t->reads[i].n && !more; k++) {
                int from = t->maker[t->reads[i].at[k]->id];
                more = from >= 0 && from < i && try_join(t, from, i);
            }
        }
    }
    steps_close(t);
}

void schedule_join(Schedule *s)
{
    for (int i = 0; i < s->regions.n; i++) join_region(s, s->regions.at[i]);
}
