/* Merging: small kernels of equal code that do not depend on each other become parts of one dispatch, the workgroups of one part
 * behind those of the other. What a launch costs, and more so the barriers between kernels that come one after the other for no
 * reason, is then paid once: by the updates of all a model's parameters, by the narrow copies of all its weights.
 *
 * A kernel moves down to another's place when nothing on the way needs its results, or up when it needs nothing made on the way.
 * That lengthens lives, so large kernels, which gain nothing, are left alone. */
#include <string.h>

#include "codegen/plan.h"
#include "ir/steps.h"

typedef struct Candidate {
    int step;
    const char *text;
    bool prepared, done; /* prepared: depends on sizes alone */
} Candidate;

static bool is_small(PlanBuilder *b, const Steps *t, int step, int64_t most)
{
    const Kernel *k = t->rs->steps.at[step].kernel;
    int64_t sum = 0, n;
    for (int i = 0; i < t->reads[step].n + k->out.n; i++) {
        Value *v = i < k->out.n ? k->out.at[i] : t->reads[step].at[i - k->out.n];
        if (!dim_is_const(plan_value_bytes(b, v), &n) || n == 0) return false;
        sum += n;
    }
    return sum <= most;
}

static bool same(const Candidate *a, const Candidate *b)
{
    return !a->done && !b->done && a->prepared == b->prepared && strcmp(a->text, b->text) == 0;
}

void plan_merge(PlanBuilder *b, RegionSchedule *rs, int64_t bytes)
{
    Steps *t = steps_of(b->s, rs);
    VEC(Candidate) list = {0};
    for (int i = 0; i < rs->steps.n; i++) {
        const Kernel *k = rs->steps.at[i].kernel;
        if (!k || (k->arch != ARCH_MAP && k->arch != ARCH_ROWS) || !is_small(b, t, i, bytes)) continue;
        const char *text = kernel_text(b, k);
        if (text) *VEC_PUSH(b->pool, list) = (Candidate){i, text, i < rs->prepared, false};
    }
    for (int last = list.n - 1; last >= 0; last--) { /* down to the last */
        for (int i = last - 1; i >= 0; i--)
            if (same(&list.at[i], &list.at[last]) && steps_independent(t, list.at[i].step, list.at[last].step) &&
                steps_can_sink(t, list.at[i].step, list.at[last].step))
                steps_merge(t, list.at[i].step, list.at[last].step), list.at[i].done = true;
    }
    for (int first = 0; first < list.n; first++) /* up to the first */
        for (int i = first + 1; i < list.n; i++)
            if (same(&list.at[i], &list.at[first]) && steps_independent(t, list.at[first].step, list.at[i].step) &&
                steps_can_rise(t, list.at[i].step, list.at[first].step))
                steps_merge(t, list.at[i].step, list.at[first].step), list.at[i].done = true;
    steps_close(t);
}
