/* Times: of whole runs always, of every dispatch on request. */
#include "runtime/error.h"
#include "runtime/session.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Ticks between two timestamps, which may wrap, in nanoseconds. */
static double between(const dlvk_session *s, uint64_t from, uint64_t to)
{
    return (double)((to - from) & s->dev->timestamp_mask) * s->dev->timestamp_ns;
}

static bool get_ticks(const dlvk_session *s, VkQueryPool pool, uint32_t first, uint32_t n, uint64_t *ticks)
{
    return vkGetQueryPoolResults(s->dev->device, pool, first, n, n * sizeof *ticks, ticks, sizeof *ticks,
                                 VK_QUERY_RESULT_64_BIT) == VK_SUCCESS;
}

double dlvk_session_device_ms(const dlvk_session *s)
{
    uint64_t t[2];
    if (!s || !s->ran || !s->queries || s->completed != s->submitted || !get_ticks(s, s->queries, 0, 2, t)) return 0;
    return between(s, t[0], t[1]) / 1e6;
}

/* text, to which the names of a dispatch's model nodes are added; NULL: there are none so far. */
static char *add_nodes(const dlvk_session *s, uint32_t step, char *text)
{
    const Dlvk__Plan__Dispatch *d = s->m->step[step]->dispatch;
    for (size_t i = 0; i < d->n_source; i++) {
        const char *name = s->m->plan->source[d->source[i]]->name;
        size_t at = text ? strlen(text) : 0, size = at + strlen(name) + 3;
        char *more = realloc(text, size);
        if (!more) break;
        text = more;
        snprintf(text + at, size - at, "%s%s", at ? ", " : "", name);
    }
    return text;
}

/* The model nodes of a dispatch, behind those of the ones whose work it does. */
static const char *node_text(dlvk_session *s, const Segment *g, const Recorded *r, uint32_t step)
{
    bool alone = true;
    for (uint32_t b = g->first; b < step; b++) alone &= r->ran[b - g->first].by != step + 1;
    char **text = &s->nodes[2 * step + !alone];
    if (!*text) {
        for (uint32_t b = g->first; !alone && b < step; b++)
            if (r->ran[b - g->first].by == step + 1) *text = add_nodes(s, b, *text);
        *text = add_nodes(s, step, *text);
    }
    return *text ? *text : "";
}

static double value(const dlvk_session *s, uint32_t expr)
{
    return s->env.state[expr] == EXPR_KNOWN ? (double)s->env.value[expr] : 0;
}

/* What dispatch d would count, whose work that of t does: all but what it would have left in memory for it. */
static void add_covered(const dlvk_session *s, const Dlvk__Plan__Dispatch *d, dlvk_kernel_time *t)
{
    t->flops += value(s, d->flops);
    t->bytes += value(s, d->bytes);
    for (size_t i = 0; i < d->n_writes; i++) t->bytes -= 2 * (double)s->slice[d->writes[i]].size;
}

dlvk_status profile_collect(dlvk_session *s, uint32_t segment, dlvk_error *err)
{
    const Segment *g = &s->m->segment[segment];
    const Recorded *r = &s->rec[segment];
    uint64_t start = 0;
    if (!g->dispatches || !r->queries || !get_ticks(s, s->queries, 0, 1, &start)) return DLVK_OK;
    if (s->n_times + g->dispatches > s->cap_times) {
        uint32_t cap = 2 * (s->n_times + g->dispatches);
        dlvk_kernel_time *more = realloc(s->times, cap * sizeof *more);
        if (!more) return rt_error(err, DLVK_OUT_OF_MEMORY, "out of memory");
        s->times = more;
        s->cap_times = cap;
    }
    uint64_t *ticks = malloc(2 * g->dispatches * sizeof *ticks);
    if (!ticks) return rt_error(err, DLVK_OUT_OF_MEMORY, "out of memory");
    bool ok = get_ticks(s, r->queries, 0, 2 * g->dispatches, ticks);
    int number = 0; /* of the segment's first dispatch */
    for (uint32_t i = 0; i < g->first; i++) number += s->m->step[i]->kind_case == DLVK__PLAN__STEP__KIND_DISPATCH;
    for (uint32_t i = g->first, k = 0; ok && i < g->first + g->n; i++) {
        if (s->m->step[i]->kind_case != DLVK__PLAN__STEP__KIND_DISPATCH) continue;
        const Dlvk__Plan__Dispatch *d = s->m->step[i]->dispatch;
        const Ran *ran = &r->ran[i - g->first];
        dlvk_kernel_time *t = &s->times[s->n_times];
        *t = (dlvk_kernel_time){.name = d->name,
                                .nodes = node_text(s, g, r, i),
                                .start_us = between(s, start, ticks[2 * k]) / 1e3,
                                .time_us = between(s, ticks[2 * k], ticks[2 * k + 1]) / 1e3,
                                .flops = value(s, d->flops),
                                .bytes = value(s, d->bytes),
                                .grid = {ran->grid[0], ran->grid[1], ran->grid[2]},
                                .kernel = number + (int)k};
        for (uint32_t b = g->first; b < i; b++)
            if (r->ran[b - g->first].by == i + 1) add_covered(s, s->m->step[b]->dispatch, t);
        s->n_times += !ran->by;
        k++;
    }
    free(ticks);
    return ok ? DLVK_OK : rt_error(err, DLVK_INTERNAL, "no timestamps from the device");
}

dlvk_status dlvk_session_profile(dlvk_session *s, bool on, dlvk_error *err)
{
    if (!s) return rt_error(err, DLVK_INVALID_ARGUMENT, "dlvk_session_profile: a NULL argument");
    if (on && s->dev->timestamp_ns <= 0)
        return rt_error(err, DLVK_UNSUPPORTED, "device '%s' has no timestamps", s->dev->info.name);
    dlvk_status st = session_drain(s, err);
    if (!st && s->profile != on) s->generation++;
    if (!st) s->profile = on;
    return st;
}

dlvk_status dlvk_session_kernel_times(dlvk_session *s, const dlvk_kernel_time **kernels, int *n, dlvk_error *err)
{
    if (!s || !kernels || !n) return rt_error(err, DLVK_INVALID_ARGUMENT, "dlvk_session_kernel_times: a NULL argument");
    *kernels = s->times;
    *n = (int)s->n_times;
    return DLVK_OK;
}

void profile_free(dlvk_session *s)
{
    for (uint32_t i = 0; s->nodes && i < 2 * s->m->n_step; i++) free(s->nodes[i]);
    free(s->nodes);
    free(s->times);
}
