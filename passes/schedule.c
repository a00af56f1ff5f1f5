/* Looking at schedules; see ir/kernel.h. */
#include "ir/kernel.h"

RegionSchedule *schedule_region(const Schedule *s, const Region *r)
{
    for (int i = 0; i < s->regions.n; i++)
        if (s->regions.at[i]->region == r) return s->regions.at[i];
    return NULL;
}

static void print_region(FILE *f, const Schedule *s, const Region *r, int depth)
{
    static const char *const arch[] = {"map", "rows", "contract", "attention", "sort", "scatter", "compact", "cumulate"};
    RegionSchedule *rs = schedule_region(s, r);
    for (int i = 0; rs && i < rs->steps.n; i++) {
        const Step *st = &rs->steps.at[i];
        fprintf(f, "%*s", depth * 2, "");
        if (st->kernel) {
            fprintf(f, "%s %s ->", arch[st->kernel->arch], st->kernel->name);
            for (int k = 0; k < st->kernel->out.n; k++) {
                char *t = type_to_string(s->graph->ctx->pool, st->kernel->out.at[k]->type);
                fprintf(f, " %%%d: %s", st->kernel->out.at[k]->id, t);
            }
            fputc('\n', f);
            continue;
        }
        fprintf(f, "%s\n", op_info[st->node->op].name);
        for (int k = 0; k < st->node->n_region; k++) print_region(f, s, st->node->region_at[k], depth + 1);
    }
}

void schedule_print(FILE *f, const Schedule *s)
{
    print_region(f, s, s->graph->top, 0);
}
