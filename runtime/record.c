/* Recording: a segment's dispatches and copies with the barriers they need, and no others. */
#include "runtime/error.h"
#include "runtime/plan_check.h"
#include "runtime/proof.h"
#include "runtime/session.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef Dlvk__Plan__Dispatch Dispatch;
typedef Dlvk__Plan__Copy Copy;

/* ---- hazards -------------------------------------------------------------------------------------------------------- */

typedef struct Range {
    uint64_t lo, hi; /* device addresses: buffers that share memory are seen to */
    uint32_t part;   /* 1 + the buffer of which some part is written; 0 */
} Range;

typedef struct Ranges {
    Range *at;
    uint32_t n, cap;
} Ranges;

typedef struct Recorder {
    dlvk_session *s;
    Recorded *r;
    VkCommandBuffer cmd;
    Ranges read, written; /* since the last barrier */
    uint32_t args_at;     /* bytes of r->args in use */
    uint32_t dispatch;    /* number in the segment, */
    Ran *ran;             /* and what becomes of it */
    dlvk_error *err;
} Recorder;

static bool overlaps(const Ranges *list, Range x)
{
    for (uint32_t i = 0; i < list->n; i++)
        if (list->at[i].lo < x.hi && x.lo < list->at[i].hi && !(x.part && list->at[i].part == x.part)) return true;
    return false;
}

static bool add(Ranges *list, Range x)
{
    if (list->n == list->cap) {
        uint32_t cap = list->cap ? 2 * list->cap : 64;
        Range *more = realloc(list->at, cap * sizeof *more);
        if (!more) return false;
        list->at = more;
        list->cap = cap;
    }
    list->at[list->n++] = x;
    return true;
}

static Range range_of(const Slice *x)
{
    return (Range){.lo = x->address, .hi = x->address + x->size};
}

/* Before a step that reads and writes these ranges: a barrier if it touches what has been written, or writes what has been read,
 * since the last one. */
static dlvk_status order(Recorder *c, const Range *read, size_t n_read, const Range *write, size_t n_write)
{
    bool hazard = false;
    for (size_t i = 0; i < n_read && !hazard; i++) hazard = overlaps(&c->written, read[i]);
    for (size_t i = 0; i < n_write && !hazard; i++) hazard = overlaps(&c->written, write[i]) || overlaps(&c->read, write[i]);
    if (hazard) {
        const VkMemoryBarrier2 barrier = {.sType = VK_STRUCTURE_TYPE_MEMORY_BARRIER_2,
                                          .srcStageMask = VK_PIPELINE_STAGE_2_COMPUTE_SHADER_BIT | VK_PIPELINE_STAGE_2_COPY_BIT,
                                          .srcAccessMask = VK_ACCESS_2_SHADER_WRITE_BIT | VK_ACCESS_2_TRANSFER_WRITE_BIT,
                                          .dstStageMask = VK_PIPELINE_STAGE_2_COMPUTE_SHADER_BIT | VK_PIPELINE_STAGE_2_COPY_BIT,
                                          .dstAccessMask = VK_ACCESS_2_SHADER_READ_BIT | VK_ACCESS_2_SHADER_WRITE_BIT |
                                                           VK_ACCESS_2_TRANSFER_READ_BIT | VK_ACCESS_2_TRANSFER_WRITE_BIT};
        vkCmdPipelineBarrier2(c->cmd, &(VkDependencyInfo){.sType = VK_STRUCTURE_TYPE_DEPENDENCY_INFO,
                                                          .memoryBarrierCount = 1,
                                                          .pMemoryBarriers = &barrier});
        c->read.n = c->written.n = 0;
    }
    bool ok = true;
    for (size_t i = 0; i < n_read; i++) ok = ok && add(&c->read, read[i]);
    for (size_t i = 0; i < n_write; i++) ok = ok && add(&c->written, write[i]);
    return ok ? DLVK_OK : rt_error(c->err, DLVK_OUT_OF_MEMORY, "out of memory");
}

/* ---- arguments ------------------------------------------------------------------------------------------------------ */

static void put32(uint8_t **p, uint32_t v)
{
    memcpy(*p, &v, 4);
    *p += 4;
}

/* See Arg.divisor in plan.proto. */
static void put_divisor(uint8_t **p, uint32_t d)
{
    uint32_t shift = 0;
    while (d > 1 && (uint64_t)1 << shift < d) shift++;
    put32(p, d);
    put32(p, d ? (uint32_t)((((uint64_t)1 << (31 + shift)) + d - 1) / d) : 0);
    put32(p, shift);
}

static dlvk_status pack_args(Recorder *c, const Dispatch *d, Arguments args, uint8_t *to)
{
    for (size_t i = 0; i < args.n; i++) {
        const Dlvk__Plan__Arg *a = args.at[i];
        int64_t v = 0;
        dlvk_status st = DLVK_OK;
        if (a->kind_case == DLVK__PLAN__ARG__KIND_ADDRESS) {
            if (a->address->offset) st = rt_env_get(&c->s->env, a->address->offset - 1, d->name, &v, c->err);
            const Slice *x = &c->s->slice[a->address->buffer];
            if (!st && (v < 0 || (uint64_t)v > x->size))
                st = rt_error(c->err, DLVK_BAD_FILE,
                              "corrupt plan: kernel '%s' begins at byte %" PRId64 " of buffer %u, which has %" PRIu64, d->name, v,
                              a->address->buffer, x->size);
            if (st) return st;
            uint64_t address = x->address + (uint64_t)v;
            memcpy(to, &address, 8);
            to += 8;
            continue;
        }
        bool divisor = a->kind_case == DLVK__PLAN__ARG__KIND_DIVISOR;
        st = rt_env_get(&c->s->env, divisor ? a->divisor : a->value, d->name, &v, c->err);
        if (!st && (v > INT32_MAX || v < (divisor ? 0 : INT32_MIN)))
            st = rt_error(c->err, DLVK_UNSUPPORTED,
                          "kernel '%s' takes the size %" PRId64 " for these input shapes, which exceeds 32 bits", d->name, v);
        if (st) return st;
        if (divisor)
            put_divisor(&to, (uint32_t)v);
        else
            put32(&to, (uint32_t)(int32_t)v);
    }
    return DLVK_OK;
}

/* ---- steps ---------------------------------------------------------------------------------------------------------- */

/* The workgroups in each direction; a wide x is folded into y as plan.proto says. */
static dlvk_status get_grid(Recorder *c, const Dispatch *d, const Dlvk__Plan__Variant *v, uint32_t grid[3])
{
    const uint32_t *most = c->s->dev->max_groups;
    int64_t g[3];
    for (int k = 0; k < 3; k++) {
        dlvk_status st = rt_env_get(&c->s->env, v->grid[k], d->name, &g[k], c->err);
        if (st) return st;
        if (g[k] < 0)
            return rt_error(c->err, DLVK_BAD_FILE, "corrupt plan: kernel '%s' has %" PRId64 " workgroups", d->name, g[k]);
    }
    if (g[0] > most[0] && g[1] == 1) {
        g[1] = (g[0] + most[0] - 1) / most[0];
        g[0] = (g[0] + g[1] - 1) / g[1];
    }
    for (int k = 0; k < 3; k++) {
        if (g[k] > most[k] && g[0] && g[1] && g[2]) {
            char text[512];
            return rt_error(c->err, DLVK_UNSUPPORTED,
                            "kernel %s: a grid of %" PRId64 " x %" PRId64 " x %" PRId64
                            " workgroups exceeds the device's %u x %u x %u",
                            model_kernel_text(c->s->m->plan, d, text, sizeof text), g[0], g[1], g[2], most[0], most[1], most[2]);
        }
        grid[k] = (uint32_t)g[k];
    }
    return DLVK_OK;
}

static void stamp(Recorder *c, uint32_t which)
{
    if (c->r->queries) vkCmdWriteTimestamp2(c->cmd, VK_PIPELINE_STAGE_2_ALL_COMMANDS_BIT, c->r->queries, 2 * c->dispatch + which);
}

static dlvk_status record_dispatch(Recorder *c, const Dispatch *d, const Dlvk__Plan__Variant *v)
{
    dlvk_session *s = c->s;
    const Dlvk__Plan__Module *mod = s->m->plan->module[s->m->plan->pipeline[v->pipeline]->module];
    uint32_t *grid = c->ran->grid;
    dlvk_status st = get_grid(c, d, v, grid);
    if (st) return st;
    if (!grid[0] || !grid[1] || !grid[2]) {
        stamp(c, 0);
        stamp(c, 1);
        return DLVK_OK;
    }
    Range *range = malloc((d->n_reads + d->n_writes + 1) * sizeof *range);
    if (!range) return rt_error(c->err, DLVK_OUT_OF_MEMORY, "out of memory");
    size_t n_read = 0, n_write = 0;
    for (size_t i = 0; i < d->n_reads; i++) {
        const Slice *x = &s->slice[d->reads[i]];
        if (x->size && s->m->plan->buffer[d->reads[i]]->kind != DLVK__PLAN__BUFFER__KIND__CONSTANT) range[n_read++] = range_of(x);
    }
    for (size_t i = 0; i < d->n_writes; i++) {
        if (!s->slice[d->writes[i]].size) continue;
        range[n_read + n_write] = range_of(&s->slice[d->writes[i]]);
        range[n_read + n_write++].part = s->m->plan->buffer[d->writes[i]]->parts ? d->writes[i] + 1 : 0;
    }
    st = order(c, range, n_read, range + n_read, n_write);
    free(range);

    const Arguments args = rt_plan_args(d, v);
    uint8_t push[256] = {0};
    if (!st && v->indirect) {
        st = pack_args(c, d, args, c->r->args.map + c->args_at);
        uint64_t address = c->r->args.address + c->args_at;
        memcpy(push, &address, 8);
        memcpy(push + 8, &d->parts, 4);
        c->args_at += (rt_plan_arg_bytes(args) + 63) / 64 * 64;
    } else if (!st) {
        st = pack_args(c, d, args, push);
        if (v->n_literal) memcpy(push + rt_plan_arg_bytes(args), v->literal, 4 * v->n_literal);
    }
    if (st) return st;
    stamp(c, 0);
    if (s->m->shader)
        s->dev->bind_shaders(c->cmd, 1, (const VkShaderStageFlagBits[]){VK_SHADER_STAGE_COMPUTE_BIT}, &s->m->shader[v->pipeline]);
    else
        vkCmdBindPipeline(c->cmd, VK_PIPELINE_BIND_POINT_COMPUTE, s->m->pipeline[v->pipeline]);
    if (mod->push_bytes)
        vkCmdPushConstants(c->cmd, s->m->layout[mod->push_bytes / 4], VK_SHADER_STAGE_COMPUTE_BIT, 0, mod->push_bytes, push);
    vkCmdDispatch(c->cmd, grid[0], grid[1], grid[2]);
    stamp(c, 1);
    return DLVK_OK;
}

static dlvk_status record_copy(Recorder *c, const Copy *x)
{
    const Slice *from = &c->s->slice[x->from], *to = &c->s->slice[x->to];
    int64_t bytes, at_from, at_to;
    dlvk_status st = rt_env_get(&c->s->env, x->bytes, "bytes of a copy", &bytes, c->err);
    if (!st) st = rt_env_get(&c->s->env, x->from_offset, "offset of a copy", &at_from, c->err);
    if (!st) st = rt_env_get(&c->s->env, x->to_offset, "offset of a copy", &at_to, c->err);
    if (st || bytes == 0) return st;
    if (bytes < 0 || at_from < 0 || at_to < 0 || (uint64_t)bytes > from->size ||
        (uint64_t)at_from > from->size - (uint64_t)bytes || (uint64_t)bytes > to->size ||
        (uint64_t)at_to > to->size - (uint64_t)bytes)
        return rt_error(c->err, DLVK_BAD_FILE,
                        "corrupt plan: a copy of %" PRId64 " bytes from byte %" PRId64 " of %" PRIu64 " to byte %" PRId64
                        " of %" PRIu64,
                        bytes, at_from, from->size, at_to, to->size);
    Range read = {.lo = from->address + (uint64_t)at_from, .hi = from->address + (uint64_t)(at_from + bytes)};
    Range write = {.lo = to->address + (uint64_t)at_to, .hi = to->address + (uint64_t)(at_to + bytes)};
    if (read.lo < write.hi && write.lo < read.hi) {
        if (read.lo == write.lo) return DLVK_OK; /* onto itself */
        return rt_error(c->err, DLVK_BAD_FILE, "corrupt plan: a copy overlaps itself");
    }
    st = order(c, &read, 1, &write, 1);
    if (st) return st;
    const VkBufferCopy copy = {
        .srcOffset = from->offset + (uint64_t)at_from, .dstOffset = to->offset + (uint64_t)at_to, .size = (uint64_t)bytes};
    vkCmdCopyBuffer(c->cmd, from->buffer, to->buffer, 1, &copy);
    return DLVK_OK;
}

/* ---- command buffers ------------------------------------------------------------------------------------------------ */

dlvk_status command_begin(VkCommandBuffer cmd, bool reused_in_flight, dlvk_error *err)
{
    const VkCommandBufferBeginInfo info = {.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_BEGIN_INFO,
                                           .flags = reused_in_flight ? VK_COMMAND_BUFFER_USAGE_SIMULTANEOUS_USE_BIT : 0};
    VkResult r = vkBeginCommandBuffer(cmd, &info);
    return r ? vk_error(r, "vkBeginCommandBuffer", err) : DLVK_OK;
}

dlvk_status command_end(VkCommandBuffer cmd, dlvk_error *err)
{
    VkResult r = vkEndCommandBuffer(cmd);
    return r ? vk_error(r, "vkEndCommandBuffer", err) : DLVK_OK;
}

/* The first variant that runs at the sizes there are; `plain`: of those that need no matrix units. */
static dlvk_status first_variant(const dlvk_session *s, const Dispatch *d, bool plain, const Dlvk__Plan__Variant **v,
                                 dlvk_error *err)
{
    *v = NULL;
    for (size_t i = 0; i < d->n_variant && !*v; i++) {
        const Dlvk__Plan__Variant *x = d->variant[i];
        int64_t when = 1;
        if (!model_runs(s->m, x) || (plain && model_on_matrices(s->m, x))) continue;
        dlvk_status st = x->when ? rt_env_get(&s->env, x->when - 1, d->name, &when, err) : DLVK_OK;
        if (st) return st;
        if (when) *v = x;
    }
    return DLVK_OK;
}

dlvk_status session_variant(const dlvk_session *s, uint32_t step, const Dlvk__Plan__Variant **v, dlvk_error *err)
{
    const Dispatch *d = s->m->step[step]->dispatch;
    *v = s->choice[step] ? d->variant[s->choice[step] - 1] : NULL;
    int64_t right = *v && model_runs(s->m, *v);
    dlvk_status st = right && (*v)->bound && (*v)->when ? rt_env_get(&s->env, (*v)->when - 1, d->name, &right, err) : DLVK_OK;
    if (st || right) return st;
    st = first_variant(s, d, false, v, err);
    return st || *v ? st : rt_error(err, DLVK_UNSUPPORTED, "no variant of kernel '%s' is right on this device", d->name);
}

/* What a step of a segment runs: decided once, for another session may settle what is on trial at any time. */
typedef struct Choice {
    const Dlvk__Plan__Variant *v;     /* NULL: no dispatch, or its sizes are not known, or another step does its work */
    const Dlvk__Plan__Variant *plain; /* v is on trial beside this one; NULL: it is not */
    uint32_t by;                      /* 1 + that other step; 0: none */
} Choice;

static dlvk_status choose(const dlvk_session *s, uint32_t step, Choice *x, dlvk_error *err)
{
    *x = (Choice){0};
    if (s->m->step[step]->kind_case != DLVK__PLAN__STEP__KIND_DISPATCH) return DLVK_OK;
    dlvk_status st = session_variant(s, step, &x->v, err);
    if (st) x->v = NULL;
    return st || !proof_wanted(s, x->v) ? st : first_variant(s, s->m->step[step]->dispatch, true, &x->plain, err);
}

/* Of n steps from number `first` on, takes out those whose work others do: not while these are on trial, for what they are
 * compared with needs it. */
static void leave_covered(Choice *list, uint32_t first, uint32_t n)
{
    for (uint32_t i = n; i-- > 0;) {
        const Dlvk__Plan__Variant *v = list[i].plain ? NULL : list[i].v;
        for (size_t k = 0; v && k < v->n_covers; k++)
            if (v->covers[k] >= first && list[v->covers[k] - first].v) list[v->covers[k] - first] = (Choice){.by = first + i + 1};
    }
}

static dlvk_status build_chosen(dlvk_session *s, const Choice *list, uint32_t n, dlvk_error *err)
{
    bool *used = calloc(s->m->plan->n_pipeline + 1, 1);
    if (!used) return rt_error(err, DLVK_OUT_OF_MEMORY, "out of memory");
    for (uint32_t i = 0; i < n; i++) {
        if (list[i].v) used[list[i].v->pipeline] = true;
        if (list[i].plain) used[list[i].plain->pipeline] = true;
    }
    dlvk_status st = model_build(s->m, used, err);
    free(used);
    return st;
}

dlvk_status session_pipelines(dlvk_session *s, dlvk_error *err)
{
    Choice *list = calloc(s->m->n_step + 1, sizeof *list);
    if (!list) return rt_error(err, DLVK_OUT_OF_MEMORY, "out of memory");
    for (uint32_t i = 0; i < s->m->n_step; i++) (void)choose(s, i, &list[i], NULL);
    leave_covered(list, 0, s->m->n_step);
    dlvk_status st = build_chosen(s, list, s->m->n_step, err);
    free(list);
    return st;
}

/* A variant on trial, and then the one that it is compared with, whose results stay; or, where another step tries it, the latter
 * alone. */
static dlvk_status record_proof(Recorder *c, uint32_t step, const Choice *x)
{
    const Dispatch *d = c->s->m->step[step]->dispatch;
    const Proof *p = proof_of(c->r, step);
    if (!p) return record_dispatch(c, d, x->plain);
    VkQueryPool queries = c->r->queries;
    proof_save(c->s, c->r, p, d, c->cmd);
    c->r->queries = NULL;
    dlvk_status st = record_dispatch(c, d, x->v);
    c->r->queries = queries;
    proof_fetch(c->s, c->r, p, d, c->cmd, PROOF_GOT);
    if (!st) st = record_dispatch(c, d, x->plain);
    proof_fetch(c->s, c->r, p, d, c->cmd, PROOF_WANT);
    return st;
}

/* Bytes of Recorded.args for a variant's arguments. */
static uint64_t memory_args(const Dispatch *d, const Dlvk__Plan__Variant *v)
{
    return v->indirect ? (rt_plan_arg_bytes(rt_plan_args(d, v)) + 63) / 64 * 64 : 0;
}

/* Memory for indirect arguments, queries and grids. */
static dlvk_status prepare(dlvk_session *s, const Segment *g, Recorded *r, Choice *list, dlvk_error *err)
{
    uint64_t bytes = 0;
    dlvk_status st = DLVK_OK;
    for (uint32_t i = 0; !st && i < g->n; i++) st = choose(s, g->first + i, &list[i], err);
    leave_covered(list, g->first, g->n);
    if (!st) st = build_chosen(s, list, g->n, err);
    for (uint32_t i = 0; !st && i < g->n; i++) {
        if (!list[i].v) continue;
        const Dispatch *d = s->m->step[g->first + i]->dispatch;
        bytes += memory_args(d, list[i].v) + (list[i].plain ? memory_args(d, list[i].plain) : 0);
        if (list[i].plain) st = proof_add(s, r, g->first + i, list[i].v, err);
    }
    if (!st) st = proof_memory(s, r, err);
    if (!st && bytes > r->args.size) {
        vk_memory_free(s->dev, &r->args);
        st = vk_memory_new(s->dev, MEMORY_ARGS, bytes, "arguments", &r->args, err);
    }
    if (!st && !r->ran && !(r->ran = calloc(g->n + 1, sizeof *r->ran))) st = rt_error(err, DLVK_OUT_OF_MEMORY, "out of memory");
    if (!st && !r->symbol && !(r->symbol = calloc(g->n_symbol + 1, sizeof *r->symbol)))
        st = rt_error(err, DLVK_OUT_OF_MEMORY, "out of memory");
    if (!st && s->profile != (r->queries != NULL) && g->dispatches && s->dev->timestamp_ns > 0) {
        vkDestroyQueryPool(s->dev->device, r->queries, NULL);
        r->queries = NULL;
        const VkQueryPoolCreateInfo info = {.sType = VK_STRUCTURE_TYPE_QUERY_POOL_CREATE_INFO,
                                            .queryType = VK_QUERY_TYPE_TIMESTAMP,
                                            .queryCount = 2 * g->dispatches};
        VkResult vr = s->profile ? vkCreateQueryPool(s->dev->device, &info, NULL, &r->queries) : VK_SUCCESS;
        if (vr) st = vk_error(vr, "vkCreateQueryPool", err);
    }
    return st;
}

static bool is_current(const dlvk_session *s, const Segment *g, const Recorded *r)
{
    bool same = r->generation == s->generation;
    for (uint32_t i = 0; same && i < g->n_symbol; i++) same = r->symbol[i] == s->env.symbol[g->symbol[i]];
    return same;
}

static dlvk_status record_segment(dlvk_session *s, const Segment *g, uint32_t segment, Choice *list, dlvk_error *err)
{
    Recorded *r = &s->rec[segment];
    dlvk_status st = prepare(s, g, r, list, err);
    if (!st) st = command_begin(r->cmd, g->in_loop, err);
    if (st) return st;
    Recorder c = {.s = s, .r = r, .cmd = r->cmd, .err = err};
    if (r->queries) vkCmdResetQueryPool(c.cmd, r->queries, 0, 2 * g->dispatches);
    /* What the run begins with has its barrier already (barriers are not free: each makes lavapipe wait and restart). */
    const Block *top = &s->m->top;
    bool begins = false;
    for (uint32_t i = 0; i < top->n && i <= (s->m->plan->prepared > 0); i++)
        begins |= top->node[i].kind == NODE_SEGMENT && top->node[i].segment == segment;
    if (!begins || !s->dev->unified) vk_full_barrier(c.cmd);
    for (uint32_t i = g->first; !st && i < g->first + g->n; i++) {
        const Dlvk__Plan__Step *step = s->m->step[i];
        if (step->kind_case == DLVK__PLAN__STEP__KIND_COPY) {
            st = record_copy(&c, step->copy);
        } else {
            const Choice *x = &list[i - g->first];
            c.ran = &r->ran[i - g->first];
            *c.ran = (Ran){.by = x->by};
            if (x->v)
                st = x->plain ? record_proof(&c, i, x) : record_dispatch(&c, step->dispatch, x->v);
            else
                stamp(&c, 0), stamp(&c, 1);
            c.dispatch++;
        }
    }
    free(c.read.at);
    free(c.written.at);
    return st ? st : command_end(c.cmd, err);
}

dlvk_status session_record(dlvk_session *s, uint32_t segment, dlvk_error *err)
{
    const Segment *g = &s->m->segment[segment];
    Recorded *r = &s->rec[segment];
    if (is_current(s, g, r)) return DLVK_OK;
    dlvk_status st = r->ticket > s->completed ? session_drain(s, err) : DLVK_OK;
    if (st) return st;
    r->generation = 0;
    proof_free(s, r);
    Choice *list = calloc(g->n + 1, sizeof *list);
    st = list ? record_segment(s, g, segment, list, err) : rt_error(err, DLVK_OUT_OF_MEMORY, "out of memory");
    free(list);
    if (st) return st;
    for (uint32_t i = 0; i < g->n_symbol; i++) r->symbol[i] = s->env.symbol[g->symbol[i]];
    r->generation = s->generation;
    return DLVK_OK;
}

/* The commands around a run: timestamps, and what the host is to read. */
dlvk_status session_record_ends(dlvk_session *s, dlvk_error *err)
{
    const Dlvk__Plan__Plan *p = s->m->plan;
    if (s->end_generation == s->generation && !s->has_data_symbols) return DLVK_OK;
    uint64_t total = 0;
    for (uint32_t i = 0; i < p->n_output && !s->dev->unified; i++) {
        uint64_t size = s->slice[p->output[i]->buffer].size;
        bool at_once = size <= DOWNLOAD_AT_ONCE || p->output[i]->dtype == DLVK_STRING;
        s->download_at[i] = at_once ? total : UINT64_MAX;
        if (at_once) total += (size + 255) / 256 * 256;
    }
    dlvk_status st = DLVK_OK;
    if (total > s->download.size) {
        vk_memory_free(s->dev, &s->download);
        st = vk_memory_new(s->dev, MEMORY_DOWNLOAD, total, "outputs", &s->download, err);
    }
    if (!st) st = command_begin(s->end, false, err);
    if (st) return st;
    if (total || s->dev->unified) vk_full_barrier(s->end);
    for (uint32_t i = 0; i < p->n_output && !s->dev->unified; i++) {
        const Slice *x = &s->slice[p->output[i]->buffer];
        const VkBufferCopy copy = {.srcOffset = x->offset, .dstOffset = s->download_at[i], .size = x->size};
        if (x->size && s->download_at[i] != UINT64_MAX) vkCmdCopyBuffer(s->end, x->buffer, s->download.buffer, 1, &copy);
    }
    if (total) vk_full_barrier(s->end);
    if (s->queries) vkCmdWriteTimestamp2(s->end, VK_PIPELINE_STAGE_2_ALL_COMMANDS_BIT, s->queries, 1);
    st = command_end(s->end, err);
    if (!st) s->end_generation = s->generation;
    return st;
}

dlvk_status session_record_upload(dlvk_session *s, uint32_t i, dlvk_error *err)
{
    Input *in = &s->input[i];
    if (in->upload_bytes == in->bytes) return DLVK_OK;
    dlvk_status st = command_begin(in->upload, false, err);
    if (st) return st;
    vk_full_barrier(in->upload);
    vkCmdCopyBuffer(in->upload, in->staging.buffer, in->mem.buffer, 1, &(VkBufferCopy){.size = in->bytes});
    st = command_end(in->upload, err);
    in->upload_bytes = st ? 0 : in->bytes;
    return st;
}
