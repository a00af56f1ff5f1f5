/* Running: submitting recorded segments in order, and taking the decisions that are the host's. */
#include "runtime/error.h"
#include "runtime/proof.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* ---- submission ----------------------------------------------------------------------------------------------------- */

static dlvk_status push(dlvk_session *s, VkCommandBuffer cmd, dlvk_error *err)
{
    if (s->n_pending == s->cap_pending) {
        uint32_t cap = s->cap_pending ? 2 * s->cap_pending : 16;
        VkCommandBufferSubmitInfo *more = realloc(s->pending, cap * sizeof *more);
        if (!more) return rt_error(err, DLVK_OUT_OF_MEMORY, "out of memory");
        s->pending = more;
        s->cap_pending = cap;
    }
    s->pending[s->n_pending++] =
        (VkCommandBufferSubmitInfo){.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_SUBMIT_INFO, .commandBuffer = cmd};
    return DLVK_OK;
}

static dlvk_status push_segment(dlvk_session *s, uint32_t segment, dlvk_error *err)
{
    if (s->n_flight == s->cap_flight) {
        uint32_t cap = s->cap_flight ? 2 * s->cap_flight : 16;
        uint32_t *more = realloc(s->flight, cap * sizeof *more);
        if (!more) return rt_error(err, DLVK_OUT_OF_MEMORY, "out of memory");
        s->flight = more;
        s->cap_flight = cap;
    }
    s->flight[s->n_flight++] = segment;
    s->rec[segment].ticket = s->submitted + 1;
    return push(s, s->rec[segment].cmd, err);
}

/* Adds the kernels that may have been running to the message. */
static void name_kernels_in_flight(const dlvk_session *s, dlvk_error *err)
{
    uint32_t named = 0, more = 0;
    for (uint32_t i = 0; i < s->n_flight; i++) {
        const Segment *g = &s->m->segment[s->flight[i]];
        for (uint32_t k = g->first; k < g->first + g->n; k++) {
            char text[256];
            if (s->m->step[k]->kind_case != DLVK__PLAN__STEP__KIND_DISPATCH) continue;
            if (named == 16) {
                more++;
                continue;
            }
            rt_error_more(err, "%s%s", named++ ? "  " : "the device lost was running one of\n  ",
                          model_kernel_text(s->m->plan, s->m->step[k]->dispatch, text, sizeof text));
        }
    }
    if (more) rt_error_more(err, "  and %u more", more);
}

dlvk_status session_flush(dlvk_session *s, dlvk_error *err)
{
    if (!s->n_pending) return DLVK_OK;
    const VkSemaphoreSubmitInfo signal = {.sType = VK_STRUCTURE_TYPE_SEMAPHORE_SUBMIT_INFO,
                                          .semaphore = s->timeline,
                                          .value = s->submitted + 1,
                                          .stageMask = VK_PIPELINE_STAGE_2_ALL_COMMANDS_BIT};
    const VkSubmitInfo2 submit = {.sType = VK_STRUCTURE_TYPE_SUBMIT_INFO_2,
                                  .commandBufferInfoCount = s->n_pending,
                                  .pCommandBufferInfos = s->pending,
                                  .signalSemaphoreInfoCount = 1,
                                  .pSignalSemaphoreInfos = &signal};
    s->n_pending = 0;
    dlvk_status st = vk_submit(s->dev, &submit, VK_NULL_HANDLE, err);
    if (!st) s->submitted++;
    if (st == DLVK_DEVICE_LOST) name_kernels_in_flight(s, err);
    return st;
}

/* Looks whether `ticket` is done for as long as most models run on a GPU: to be woken up takes tens of microseconds. Not on a CPU
 * driver, whose threads want the processor. */
static bool poll_for(dlvk_session *s, uint64_t ticket, uint64_t timeout_ns)
{
    enum { PATIENCE_NS = 10000000 };
    struct timespec start, now;
    uint64_t value = 0;
    if (s->dev->cpu || clock_gettime(CLOCK_MONOTONIC, &start)) return false;
    do {
        if (vkGetSemaphoreCounterValue(s->dev->device, s->timeline, &value) != VK_SUCCESS) return false;
        if (value >= ticket) return true;
        clock_gettime(CLOCK_MONOTONIC, &now);
        uint64_t spent = (uint64_t)(now.tv_sec - start.tv_sec) * 1000000000u + (uint64_t)now.tv_nsec - (uint64_t)start.tv_nsec;
        if (spent >= PATIENCE_NS || spent >= timeout_ns) return false;
    } while (true);
}

dlvk_status session_wait_for(dlvk_session *s, uint64_t ticket, uint64_t timeout_ns, bool *done, dlvk_error *err)
{
    *done = ticket <= s->completed;
    if (*done) return DLVK_OK;
    const VkSemaphoreWaitInfo info = {
        .sType = VK_STRUCTURE_TYPE_SEMAPHORE_WAIT_INFO, .semaphoreCount = 1, .pSemaphores = &s->timeline, .pValues = &ticket};
    VkResult r = poll_for(s, ticket, timeout_ns) ? VK_SUCCESS : vkWaitSemaphores(s->dev->device, &info, timeout_ns);
    if (r == VK_TIMEOUT) return DLVK_OK;
    if (r) {
        dlvk_status st = vk_error(r, "vkWaitSemaphores", err);
        if (st == DLVK_DEVICE_LOST) name_kernels_in_flight(s, err);
        vk_idle(s->dev); /* done, or lost: nothing is running any more */
        s->completed = s->submitted;
        s->n_flight = 0;
        return st;
    }
    *done = true;
    s->completed = ticket;
    if (ticket == s->submitted) s->n_flight = 0;
    return DLVK_OK;
}

dlvk_status session_drain(dlvk_session *s, dlvk_error *err)
{
    bool done;
    dlvk_status st = session_flush(s, err);
    return st ? st : session_wait_for(s, s->submitted, UINT64_MAX, &done, err);
}

/* ---- the host's part ------------------------------------------------------------------------------------------------ */

/* A command buffer for one short command, begun. */
static dlvk_status small_begin(dlvk_session *s, VkCommandBuffer *cmd, dlvk_error *err)
{
    uint32_t i = s->next_small++ % SMALL_COMMANDS;
    bool done;
    dlvk_status st = DLVK_OK;
    if (s->small_ticket[i] > s->submitted) st = session_flush(s, err); /* it is pending */
    if (!st) st = session_wait_for(s, s->small_ticket[i], UINT64_MAX, &done, err);
    if (!st) st = command_begin(s->small[i], false, err);
    if (st) return st;
    s->small_ticket[i] = s->submitted + 1;
    *cmd = s->small[i];
    vk_full_barrier(*cmd);
    return DLVK_OK;
}

static dlvk_status small_end(dlvk_session *s, VkCommandBuffer cmd, dlvk_error *err)
{
    vk_full_barrier(cmd);
    dlvk_status st = command_end(cmd, err);
    return st ? st : push(s, cmd, err);
}

/* What the host has set itself: no need to ask the device. NULL where it has not. */
static const uint8_t *input_data(const dlvk_session *s, uint32_t buffer, uint64_t bytes)
{
    const Dlvk__Plan__Plan *p = s->m->plan;
    if (p->buffer[buffer]->kind != DLVK__PLAN__BUFFER__KIND__INPUT) return NULL;
    uint32_t i = 0;
    while (p->input[i]->buffer != buffer) i++;
    if (s->input[i].bytes < bytes) return NULL;
    return s->input[i].mem.map ? s->input[i].mem.map : s->input[i].staging.map;
}

/* Commands that bring what the host cannot see where it can, one behind the other. */
static dlvk_status read_back(dlvk_session *s, const BufferRead *r, size_t n, uint64_t total, dlvk_error *err)
{
    VkCommandBuffer cmd;
    dlvk_status st = DLVK_OK;
    if (s->readback.size < total) {
        vk_memory_free(s->dev, &s->readback); /* not in use: every read waits */
        st = vk_memory_new(s->dev, MEMORY_DOWNLOAD, total < 256 ? 256 : total, "what the host reads", &s->readback, err);
    }
    if (!st) st = small_begin(s, &cmd, err);
    if (st) return st;
    uint64_t at = 0;
    for (size_t i = 0; i < n; i++) {
        const Slice *x = &s->slice[r[i].buffer];
        if (!r[i].bytes || x->map || input_data(s, r[i].buffer, r[i].bytes)) continue;
        vkCmdCopyBuffer(cmd, x->buffer, s->readback.buffer, 1,
                        &(VkBufferCopy){.srcOffset = x->offset, .dstOffset = at, .size = r[i].bytes});
        at += (r[i].bytes + 7) / 8 * 8;
    }
    return small_end(s, cmd, err);
}

dlvk_status session_read(dlvk_session *s, const BufferRead *r, size_t n, const char *who, dlvk_error *err)
{
    uint64_t copied = 0;
    bool seen = false;
    for (size_t i = 0; i < n; i++) {
        const Slice *x = &s->slice[r[i].buffer];
        if (x->size < r[i].bytes)
            return rt_error(err, DLVK_BAD_FILE, "corrupt plan: %s reads %" PRIu64 " bytes of buffer %u, which has %" PRIu64, who,
                            r[i].bytes, r[i].buffer, x->size);
        if (!r[i].bytes || input_data(s, r[i].buffer, r[i].bytes)) continue;
        seen |= x->map != NULL;
        if (!x->map) copied += (r[i].bytes + 7) / 8 * 8;
    }
    dlvk_status st = copied ? read_back(s, r, n, copied, err) : seen ? push(s, s->sync, err) : DLVK_OK;
    if (!st && (copied || seen)) st = session_drain(s, err);
    uint64_t at = 0;
    for (size_t i = 0; !st && i < n; i++) {
        if (!r[i].bytes) continue;
        const uint8_t *from = input_data(s, r[i].buffer, r[i].bytes);
        if (!from) from = s->slice[r[i].buffer].map;
        if (!from) from = s->readback.map + at, at += (r[i].bytes + 7) / 8 * 8;
        memcpy(r[i].to, from, r[i].bytes);
    }
    return st;
}

static dlvk_status read_buffer(dlvk_session *s, uint32_t buffer, void *to, uint32_t bytes, const char *who, dlvk_error *err)
{
    return session_read(s, &(BufferRead){buffer, to, bytes}, 1, who, err);
}

static dlvk_status read_bool(dlvk_session *s, uint32_t buffer, const char *who, bool *v, dlvk_error *err)
{
    uint8_t byte = 0;
    dlvk_status st = read_buffer(s, buffer, &byte, 1, who, err);
    *v = byte != 0;
    return st;
}

dlvk_status session_symbols_changed(dlvk_session *s, dlvk_error *err)
{
    rt_env_update(&s->env);
    dlvk_status st = rt_env_check_constraints(&s->env, err);
    return st ? st : session_bind_dynamic(s, err);
}

static dlvk_status run_read(dlvk_session *s, const Dlvk__Plan__ReadDims *r, dlvk_error *err)
{
    bool wide = r->dtype == DLVK_I64 || r->dtype == DLVK_U64;
    uint32_t bytes = (uint32_t)r->n_symbol * (wide ? 8 : 4);
    uint8_t *raw = malloc(bytes + 1);
    dlvk_status st =
        raw ? read_buffer(s, r->buffer, raw, bytes, "a read of sizes", err) : rt_error(err, DLVK_OUT_OF_MEMORY, "out of memory");
    for (uint32_t i = 0; !st && i < r->n_symbol; i++) {
        int64_t v64;
        int32_t v32;
        uint32_t u32;
        if (wide)
            memcpy(&v64, raw + 8 * i, 8);
        else if (r->dtype == DLVK_I32)
            memcpy(&v32, raw + 4 * i, 4), v64 = v32;
        else
            memcpy(&u32, raw + 4 * i, 4), v64 = u32;
        st = rt_env_define(&s->env, r->symbol[i], v64, err);
    }
    free(raw);
    return st ? st : session_symbols_changed(s, err);
}

/* A size that a branch or an iteration decides, known without looking at data. */
static dlvk_status run_define(dlvk_session *s, const Dlvk__Plan__Define *d, dlvk_error *err)
{
    int64_t v;
    dlvk_status st = rt_env_get(&s->env, d->value, "a size", &v, err);
    if (!st) st = rt_env_define(&s->env, d->symbol, v, err);
    return st ? st : session_symbols_changed(s, err);
}

static dlvk_status run_block(dlvk_session *s, const Block *b, dlvk_error *err);

static dlvk_status loop_values(dlvk_session *s, const Dlvk__Plan__Loop *l, int64_t i, dlvk_error *err)
{
    dlvk_status st = DLVK_OK;
    if (l->iteration) {
        const Slice *x = &s->slice[l->iteration - 1];
        VkCommandBuffer cmd;
        if (x->size < 8)
            return rt_error(err, DLVK_BAD_FILE, "corrupt plan: a loop's iteration number has %" PRIu64 " bytes", x->size);
        st = small_begin(s, &cmd, err);
        if (!st) vkCmdUpdateBuffer(cmd, x->buffer, x->offset, 8, &i);
        if (!st) st = small_end(s, cmd, err);
    }
    if (!st && l->iteration_symbol) st = rt_env_define(&s->env, l->iteration_symbol - 1, i, err);
    if (!st && l->count_symbol) st = rt_env_define(&s->env, l->count_symbol - 1, i + 1, err);
    return !st && (l->iteration_symbol || l->count_symbol) ? session_symbols_changed(s, err) : st;
}

/* Sizes that the last iteration found, and which branches it took: they hold no more, and what they are compared with is about to
 * change one by one. The sizes that b itself defines at its end are the next iteration's. */
static void forget_iteration(dlvk_session *s, const Block *b, bool inner)
{
    for (uint32_t i = 0; i < b->n; i++) {
        const Node *n = &b->node[i];
        const Dlvk__Plan__Step *step = s->m->step[n->at];
        const Dlvk__Plan__ReadDims *r = n->kind == NODE_READ ? step->read_dims : NULL;
        for (size_t k = 0; r && k < r->n_symbol; k++) rt_env_forget(&s->env, r->symbol[k]);
        const Dlvk__Plan__Host *h = n->kind == NODE_HOST ? step->host : NULL;
        for (size_t k = 0; h && k < h->n_symbol; k++) rt_env_forget(&s->env, h->symbol[k]);
        if (n->kind == NODE_LOOP && step->loop->count_symbol) rt_env_forget(&s->env, step->loop->count_symbol - 1);
        if (n->kind == NODE_DEFINE && inner) rt_env_forget(&s->env, step->define->symbol);
        forget_iteration(s, &n->body, true);
        forget_iteration(s, &n->otherwise, true);
    }
}

static dlvk_status run_loop(dlvk_session *s, const Node *n, dlvk_error *err)
{
    const Dlvk__Plan__Loop *l = s->m->step[n->at]->loop;
    int64_t trips = INT64_MAX, i = 0;
    bool more = true;
    dlvk_status st = l->trip_count ? read_buffer(s, l->trip_count - 1, &trips, 8, "a loop", err) : DLVK_OK;
    if (!st && l->condition && trips > 0) st = read_bool(s, l->condition - 1, "a loop", &more, err);
    for (; !st && more && i < trips; i++) {
        if (i > 0) {
            forget_iteration(s, &n->body, false);
            rt_env_update(&s->env);
        }
        st = loop_values(s, l, i, err);
        if (!st) st = run_block(s, &n->body, err);
        if (!st && l->condition && i + 1 < trips) st = read_bool(s, l->condition - 1, "a loop", &more, err);
    }
    if (!st && l->count_symbol) {
        st = rt_env_define(&s->env, l->count_symbol - 1, i, err);
        if (!st) st = session_symbols_changed(s, err);
    }
    return st;
}

static dlvk_status run_segment(dlvk_session *s, uint32_t segment, dlvk_error *err)
{
    dlvk_status st = session_record(s, segment, err);
    if (!st) st = push_segment(s, segment, err);
    if (!st && (s->profile || s->rec[segment].n_proof)) st = session_drain(s, err);
    if (!st && s->profile) st = profile_collect(s, segment, err);
    if (!st && s->rec[segment].n_proof) proof_judge(s, &s->rec[segment]);
    return st;
}

/* The steps that depend on sizes alone, unless what they have made is still there. */
static dlvk_status run_prepared(dlvk_session *s, uint32_t segment, dlvk_error *err)
{
    if (s->prepared_generation == s->generation) return DLVK_OK;
    dlvk_status st = run_segment(s, segment, err);
    if (!st) st = push(s, s->sync, err); /* what comes next begins without a barrier */
    s->prepared_generation = st ? 0 : s->generation;
    return st;
}

static dlvk_status run_block(dlvk_session *s, const Block *b, dlvk_error *err)
{
    for (uint32_t i = 0; i < b->n; i++) {
        const Node *n = &b->node[i];
        const Dlvk__Plan__Step *step = s->m->step[n->at];
        dlvk_status st = DLVK_OK;
        bool yes = false;
        switch (n->kind) {
        case NODE_SEGMENT:
            st = n->at < s->m->plan->prepared ? run_prepared(s, n->segment, err) : run_segment(s, n->segment, err);
            break;
        case NODE_READ: st = run_read(s, step->read_dims, err); break;
        case NODE_DEFINE: st = run_define(s, step->define, err); break;
        case NODE_LOOP: st = run_loop(s, n, err); break;
        case NODE_HOST: st = session_host_step(s, step->host, n->host, err); break;
        case NODE_IF:
            st = read_bool(s, step->branch->condition, "a branch", &yes, err);
            if (!st) st = run_block(s, yes ? &n->body : &n->otherwise, err);
            break;
        }
        if (st) return st;
    }
    return DLVK_OK;
}

/* ---- a run ---------------------------------------------------------------------------------------------------------- */

static dlvk_status run_all(dlvk_session *s, dlvk_error *err)
{
    dlvk_status st = push(s, s->begin, err);
    for (uint32_t i = 0; !st && i < s->m->plan->n_input; i++) {
        Input *in = &s->input[i];
        if (!in->dirty || !in->bytes) continue;
        st = session_record_upload(s, i, err);
        if (!st) st = push(s, in->upload, err);
        in->dirty = st != DLVK_OK;
    }
    if (!st) st = run_block(s, &s->m->top, err);
    if (!st) st = session_record_ends(s, err);
    if (!st) st = push(s, s->end, err);
    return st ? st : session_flush(s, err);
}

/* DLVK_POISON: nothing that a run computes is there from the last one. */
static dlvk_status poison(dlvk_session *s, dlvk_error *err)
{
    dlvk_status st = session_drain(s, err);
    for (dlvk_session *o = s->next; !st && o != s; o = o->next) st = session_drain(o, err); /* they share the arena */
    for (uint32_t i = 0; !st && i < s->m->plan->n_buffer; i++) {
        int kind = (int)s->m->plan->buffer[i]->kind;
        bool computed = kind == DLVK__PLAN__BUFFER__KIND__ARENA || kind == DLVK__PLAN__BUFFER__KIND__OUTPUT;
        if (computed && s->slice[i].map) memset(s->slice[i].map, 0xff, s->slice[i].size);
    }
    return st;
}

static dlvk_status run_once(dlvk_session *s, dlvk_error *err)
{
    dlvk_status st = session_strings_begin(s, err);
    if (!st && s->dev->poison) st = poison(s, err);
    if (st) return st;
    if (s->has_data_symbols) {
        rt_env_forget_data(&s->env);
        for (uint32_t i = 0; i < s->n_dynamic; i++) s->dynamic[i].live = false;
    }
    s->n_times = 0;
    st = run_all(s, err);
    s->ran = !st;
    if (st) { /* leave nothing half done behind */
        s->prepared_generation = 0;
        s->n_pending = 0;
        session_drain(s, NULL);
        for (uint32_t i = 0; i < s->m->n_segment; i++)
            if (s->rec[i].ticket > s->submitted) s->rec[i].ticket = 0;
        for (uint32_t i = 0; i < SMALL_COMMANDS; i++)
            if (s->small_ticket[i] > s->submitted) s->small_ticket[i] = 0;
        for (uint32_t i = 0; i < s->m->plan->n_input; i++) s->input[i].dirty = !s->dev->unified;
    }
    return st;
}

/* A run with trials goes on with what the other variants computed. It is taken back and done again, so that its results are, bit
 * for bit, those of every later run. */
static dlvk_status first_run(dlvk_session *s, dlvk_error *err)
{
    Memory states = {0};
    dlvk_status st = proof_keep_states(s, &states, false, err);
    s->tried = false;
    if (!st) st = run_once(s, err);
    while (!st && s->tried) { /* where the first was wrong, the next variant may be on trial; each trial settles one */
        s->tried = false;
        st = session_drain(s, err);
        if (!st) st = proof_keep_states(s, &states, true, err);
        if (!st) st = run_once(s, err);
    }
    vk_memory_free(s->dev, &states);
    return st;
}

dlvk_status dlvk_session_submit(dlvk_session *s, dlvk_error *err)
{
    if (!s) return rt_error(err, DLVK_INVALID_ARGUMENT, "dlvk_session_submit: a NULL argument");
    dlvk_status st = session_drain(s, err);
    if (!st) st = session_bind(s, err);
    if (st) return st;
    return !s->ran && proof_awaited(s) ? first_run(s, err) : run_once(s, err);
}

dlvk_status dlvk_session_wait(dlvk_session *s, uint64_t timeout_ns, bool *done, dlvk_error *err)
{
    bool ignored;
    if (!s) return rt_error(err, DLVK_INVALID_ARGUMENT, "dlvk_session_wait: a NULL argument");
    return session_wait_for(s, s->submitted, timeout_ns, done ? done : &ignored, err);
}

dlvk_status dlvk_session_run(dlvk_session *s, dlvk_error *err)
{
    dlvk_status st = dlvk_session_submit(s, err);
    return st ? st : dlvk_session_wait(s, UINT64_MAX, NULL, err);
}

dlvk_status dlvk_session_bind(dlvk_session *s, dlvk_error *err)
{
    if (!s) return rt_error(err, DLVK_INVALID_ARGUMENT, "dlvk_session_bind: a NULL argument");
    dlvk_status st = session_bind(s, err);
    if (st || s->has_data_symbols) return st; /* the rest waits for the data */
    for (uint32_t i = 0; !st && i < s->m->n_segment; i++) st = session_record(s, i, err);
    return st ? st : session_record_ends(s, err);
}
