/* Whether the random families make everything there is: each row of ops.def, each archetype of kernels, steps that are prepared,
 * and that need nothing of each other. Needs no device. */
#include "ir/kernel.h"
#include "ir/steps.h"
#include "passes/pass.h"
#include "passes/passes.h"
#include "tests/codegen/random.h"

typedef struct Cover {
    bool op[OP_COUNT], archetype[ARCH_CUMULATE + 1], prepared, independent;
} Cover;

/* Rows that no random graph holds, and who tests them. */
static const Op elsewhere[] = {
    OP_CALL,          /* gone before code is generated: tests/passes */
    OP_HOST,          /* not of the device: tests/host */
    OP_STOP_GRADIENT, /* the same as its operand, but to gradients: tests/passes */
    OP_READ_DIMS,     /* sizes read back by the host: tests/ir, and operators such as Reshape to an input's contents */
};

static void see_ops(const Region *r, Cover *seen)
{
    for (int i = 0; i < r->nodes.n; i++) {
        const Node *n = r->nodes.at[i];
        seen->op[n->op] = true;
        for (int k = 0; k < n->n_region; k++) see_ops(n->region_at[k], seen);
    }
}

static bool see_kernels(Graph *g, Cover *seen)
{
    bool stopped;
    PassOptions options = {0};
    g = passes_run(g, &options, &stopped);
    Schedule *s = g ? schedule_build(g, true) : NULL;
    for (int i = 0; s && i < s->regions.n; i++) {
        RegionSchedule *rs = s->regions.at[i];
        for (int k = 0; k < rs->steps.n; k++)
            if (rs->steps.at[k].kernel) seen->archetype[rs->steps.at[k].kernel->arch] = true;
        seen->prepared |= rs->prepared > 0;
        if (rs->steps.n > 1) seen->independent |= steps_independent(steps_of(s, rs), 0, 1);
    }
    return s != NULL;
}

Test(random, everything_is_made)
{
    Cover seen = {0};
    for (const Listed *l = random_families; l; l = l->next)
        for (int seed = 1; seed <= l->cases; seed++) {
            Case c;
            random_build(&c, l->name, l->f, (uint64_t)seed);
            see_ops(c.g->top, &seen);
            if (seed <= 8) cr_assert(see_kernels(c.g, &seen), "random/%s, seed %d", l->name, seed);
            pool_free(&c.pool);
        }
    for (size_t i = 0; i < sizeof elsewhere / sizeof *elsewhere; i++) {
        cr_expect(!seen.op[elsewhere[i]], "'%s' is in a random graph: the list is out of date", op_info[elsewhere[i]].name);
        seen.op[elsewhere[i]] = true;
    }
    for (int i = 0; i < OP_COUNT; i++) cr_expect(seen.op[i], "no random graph has the op '%s'", op_info[i].name);
    cr_expect(seen.prepared, "no random graph has a step that is prepared");
    cr_expect(seen.independent, "no random graph has steps that need nothing of each other");
    for (int i = 0; i <= ARCH_CUMULATE; i++) cr_expect(seen.archetype[i], "no random graph has a kernel of archetype %d", i);
}
