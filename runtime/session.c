/* Sessions: making them, and their inputs and outputs. */
#include "runtime/arena.h"
#include "runtime/error.h"
#include "runtime/proof.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static dlvk_status make_tables(dlvk_session *s, dlvk_error *err)
{
    const dlvk_model *m = s->m;
    const Dlvk__Plan__Plan *p = m->plan;
    s->slice = calloc(p->n_buffer + 1, sizeof *s->slice);
    s->input = calloc(p->n_input + 1, sizeof *s->input);
    s->dynamic = calloc(p->n_buffer + 1, sizeof *s->dynamic);
    s->download_at = calloc(p->n_output + 1, sizeof *s->download_at);
    s->rec = calloc(m->n_segment + 1, sizeof *s->rec);
    s->nodes = calloc(2 * (size_t)m->n_step + 1, sizeof *s->nodes);
    s->choice = calloc(m->n_step + 1, sizeof *s->choice);
    if (!s->choice || !s->slice || !s->input || !s->dynamic || !s->download_at || !s->rec || !s->nodes)
        return rt_error(err, DLVK_OUT_OF_MEMORY, "out of memory");
    for (uint32_t i = 0; i < p->n_buffer; i++) {
        s->slice[i] = slice_empty(s->dev);
        if (p->buffer[i]->kind == DLVK__PLAN__BUFFER__KIND__CONSTANT)
            s->slice[i] = m->weight[i];
        else if (m->data_dep[p->buffer[i]->size])
            s->dynamic[s->n_dynamic++].buffer = i;
    }
    for (size_t i = 0; i < p->n_symbol; i++) s->has_data_symbols |= p->symbol[i]->data;
    return rt_env_init(&s->env, p, err);
}

static dlvk_status make_commands(dlvk_session *s, dlvk_error *err)
{
    VkDevice device = s->dev->device;
    uint32_t n_input = (uint32_t)s->m->plan->n_input, n = 3 + SMALL_COMMANDS + s->m->n_segment + n_input;
    VkCommandBuffer *cmd = calloc(n, sizeof *cmd);
    if (!cmd) return rt_error(err, DLVK_OUT_OF_MEMORY, "out of memory");
    const VkCommandPoolCreateInfo pool = {.sType = VK_STRUCTURE_TYPE_COMMAND_POOL_CREATE_INFO,
                                          .flags = VK_COMMAND_POOL_CREATE_RESET_COMMAND_BUFFER_BIT,
                                          .queueFamilyIndex = s->dev->family};
    const VkSemaphoreTypeCreateInfo type = {.sType = VK_STRUCTURE_TYPE_SEMAPHORE_TYPE_CREATE_INFO,
                                            .semaphoreType = VK_SEMAPHORE_TYPE_TIMELINE};
    const VkSemaphoreCreateInfo semaphore = {.sType = VK_STRUCTURE_TYPE_SEMAPHORE_CREATE_INFO, .pNext = &type};
    const VkQueryPoolCreateInfo queries = {
        .sType = VK_STRUCTURE_TYPE_QUERY_POOL_CREATE_INFO, .queryType = VK_QUERY_TYPE_TIMESTAMP, .queryCount = 2};
    VkResult r = vkCreateCommandPool(device, &pool, NULL, &s->pool);
    if (!r) r = vkCreateSemaphore(device, &semaphore, NULL, &s->timeline);
    if (!r && s->dev->timestamp_ns > 0) r = vkCreateQueryPool(device, &queries, NULL, &s->queries);
    const VkCommandBufferAllocateInfo alloc = {.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_ALLOCATE_INFO,
                                               .commandPool = s->pool,
                                               .level = VK_COMMAND_BUFFER_LEVEL_PRIMARY,
                                               .commandBufferCount = n};
    if (!r) r = vkAllocateCommandBuffers(device, &alloc, cmd);
    dlvk_status st = r ? vk_error(r, "a session's command buffers", err) : DLVK_OK;
    uint32_t k = 0;
    s->begin = cmd[k++];
    s->end = cmd[k++];
    s->sync = cmd[k++];
    for (uint32_t i = 0; i < SMALL_COMMANDS; i++) s->small[i] = cmd[k++];
    for (uint32_t i = 0; i < s->m->n_segment; i++) s->rec[i].cmd = cmd[k++];
    for (uint32_t i = 0; i < n_input; i++) s->input[i].upload = cmd[k++];
    free(cmd);
    if (!st) st = command_begin(s->begin, false, err);
    if (!st) vk_full_barrier(s->begin);
    if (!st && s->queries) {
        vkCmdResetQueryPool(s->begin, s->queries, 0, 2);
        vkCmdWriteTimestamp2(s->begin, VK_PIPELINE_STAGE_2_ALL_COMMANDS_BIT, s->queries, 0);
    }
    if (!st) st = command_end(s->begin, err);
    if (!st) st = command_begin(s->sync, true, err);
    if (!st) vk_full_barrier(s->sync);
    return st ? st : command_end(s->sync, err);
}

static dlvk_status create(dlvk_model *m, dlvk_session *with, dlvk_session **out, dlvk_error *err)
{
    *out = NULL;
    dlvk_session *s = calloc(1, sizeof *s);
    if (!s) return rt_error(err, DLVK_OUT_OF_MEMORY, "out of memory");
    s->m = m;
    s->dev = m->dev;
    s->generation = 1;
    s->next = s;
    s->arena = with ? with->arena : &s->own_arena;
    dlvk_status st = make_tables(s, err);
    if (!st) st = make_commands(s, err);
    if (!st) st = with ? session_share_states(s, with, err) : session_states(s, err);
    if (!st) st = session_counters(s, err);
    if (!st) st = session_strings_init(s, err);
    if (st) {
        dlvk_session_free(s);
        return st;
    }
    if (with) {
        s->next = with->next;
        with->next = s;
    }
    *out = s;
    return DLVK_OK;
}

dlvk_status dlvk_session_create(dlvk_model *m, dlvk_session **s, dlvk_error *err)
{
    if (!m || !s) return rt_error(err, DLVK_INVALID_ARGUMENT, "dlvk_session_create: a NULL argument");
    return create(m, NULL, s, err);
}

dlvk_status dlvk_session_create_with(dlvk_model *program, dlvk_session *with, dlvk_session **s, dlvk_error *err)
{
    if (!program || !with || !s) return rt_error(err, DLVK_INVALID_ARGUMENT, "dlvk_session_create_with: a NULL argument");
    if (program->dev != with->dev || program->bundle.plan != with->m->bundle.plan)
        return rt_error(err, DLVK_INVALID_ARGUMENT,
                        "dlvk_session_create_with: the program and the session are of different models");
    return create(program, with, s, err);
}

void dlvk_session_free(dlvk_session *s)
{
    if (!s) return;
    VkDevice device = s->dev->device;
    dlvk_session *before = s;
    while (before->next != s) before = before->next;
    before->next = s->next;
    s->n_pending = 0;
    if (s->timeline) session_drain(s, NULL);
    for (uint32_t i = 0; s->rec && i < s->m->n_segment; i++) {
        proof_free(s, &s->rec[i]);
        vk_memory_free(s->dev, &s->rec[i].args);
        vkDestroyQueryPool(device, s->rec[i].queries, NULL);
        free(s->rec[i].symbol);
        free(s->rec[i].ran);
    }
    for (size_t i = 0; s->input && i < s->m->plan->n_input; i++) {
        vk_memory_free(s->dev, &s->input[i].mem);
        vk_memory_free(s->dev, &s->input[i].staging);
        free(s->input[i].strings);
        free(s->input[i].old_strings);
    }
    session_strings_free(s);
    for (uint32_t i = 0; i < s->n_dynamic; i++) vk_memory_free(s->dev, &s->dynamic[i].mem);
    space_free(s, &s->own_arena);
    space_free(s, &s->outputs);
    space_free(s, &s->prepared);
    space_free(s, &s->states);
    space_free(s, &s->counters);
    vk_memory_free(s->dev, &s->readback);
    vk_memory_free(s->dev, &s->download);
    vkDestroyQueryPool(device, s->queries, NULL);
    vkDestroySemaphore(device, s->timeline, NULL);
    vkDestroyCommandPool(device, s->pool, NULL);
    profile_free(s);
    rt_env_free(&s->env);
    free(s->slice);
    free(s->input);
    free(s->dynamic);
    free(s->download_at);
    free(s->choice);
    free(s->rec);
    free(s->pending);
    free(s->flight);
    free(s);
}

/* ---- inputs --------------------------------------------------------------------------------------------------------- */

static dlvk_status find(Dlvk__Plan__Tensor **list, size_t n, const char *kind, const char *name, uint32_t *index, dlvk_error *err)
{
    char names[512] = "";
    for (uint32_t i = 0; i < n; i++) {
        if (strcmp(list[i]->name, name) == 0) {
            *index = i;
            return DLVK_OK;
        }
        size_t at = strlen(names);
        snprintf(names + at, sizeof names - at, "%s'%s'", i ? ", " : "", list[i]->name);
    }
    return rt_error(err, DLVK_INVALID_ARGUMENT, "the model has no %s '%s'; it has %s", kind, name, n ? names : "none");
}

/* Memory for `bytes` of an input, reusing what is there. Padded, so that kernels may load whole vectors at its end. */
static dlvk_status reserve_input(dlvk_session *s, Input *in, const char *name, size_t bytes, dlvk_error *err)
{
    uint64_t size = arena_round_up(bytes), most = s->dev->info.max_allocation_bytes;
    if (size > most && bytes <= most) size = most;
    dlvk_status st = DLVK_OK;
    if (size > in->mem.size) {
        vk_memory_free(s->dev, &in->mem);
        in->upload_bytes = 0;
        s->bound = s->ran = false; /* an output may lie in the memory just freed */
        st = vk_memory_new(s->dev, MEMORY_DEVICE, size, name, &in->mem, err);
    }
    if (!st && !s->dev->unified && size > in->staging.size) {
        vk_memory_free(s->dev, &in->staging);
        in->upload_bytes = 0;
        st = vk_memory_new(s->dev, MEMORY_UPLOAD, size, name, &in->staging, err);
    }
    if (st) in->set = s->bound = false;
    return st;
}

dlvk_status dlvk_session_set_input(dlvk_session *s, const char *name, const int64_t *dim, int rank, const void *data,
                                   size_t bytes, dlvk_error *err)
{
    if (!s || !name || (rank > 0 && !dim) || (bytes && !data))
        return rt_error(err, DLVK_INVALID_ARGUMENT, "dlvk_session_set_input: a NULL argument");
    const Dlvk__Plan__Plan *p = s->m->plan;
    uint32_t i = 0;
    dlvk_status st = find(p->input, p->n_input, "input", name, &i, err);
    if (st) return st;
    const Dlvk__Plan__Tensor *t = p->input[i];
    Input *in = &s->input[i];
    if (rank < 0 || (size_t)rank != t->n_dim)
        return rt_error(err, DLVK_INVALID_ARGUMENT, "input '%s' has %zu dimensions, not %d", name, t->n_dim, rank);
    size_t want = 0;
    if (!tensor_bytes((dlvk_dtype)t->dtype, t->n_dim, dim, &want))
        return rt_error(err, DLVK_INVALID_ARGUMENT, "input '%s': a negative dimension, or too large a tensor", name);
    if (want != bytes)
        return rt_error(err, DLVK_INVALID_ARGUMENT, "input '%s' of this shape and type %s takes %zu bytes, not %zu", name,
                        dlvk_dtype_name((dlvk_dtype)t->dtype), want, bytes);
    st = session_drain(s, err); /* a run in flight may be reading the old value */
    bool strings = t->dtype == DLVK_STRING;
    size_t count = bytes / sizeof(dlvk_string);
    if (!st && strings) st = input_strings(s, in, name, data, count, err);
    if (strings) bytes = count * STRING_HANDLE_BYTES;
    if (!st) st = reserve_input(s, in, name, bytes, err);
    if (st) return st;
    if (!in->set || (rank && memcmp(in->dim, dim, (size_t)rank * sizeof *dim) != 0)) s->bound = false;
    if (rank) memcpy(in->dim, dim, (size_t)rank * sizeof *dim);
    if (bytes && !strings) memcpy(in->mem.map ? in->mem.map : in->staging.map, data, bytes);
    in->bytes = bytes;
    in->set = true;
    in->dirty = !in->mem.map;
    return DLVK_OK;
}

/* ---- outputs -------------------------------------------------------------------------------------------------------- */

static dlvk_status finished(dlvk_session *s, dlvk_error *err)
{
    if (!s->ran) return rt_error(err, DLVK_INVALID_ARGUMENT, "the session has not been run with its present inputs");
    return session_drain(s, err);
}

dlvk_status dlvk_session_output_info(dlvk_session *s, int i, dlvk_tensor_info *info, size_t *bytes, dlvk_error *err)
{
    if (!s || i < 0 || (size_t)i >= s->m->plan->n_output)
        return rt_error(err, DLVK_INVALID_ARGUMENT, "dlvk_session_output_info: no such output");
    const Dlvk__Plan__Tensor *t = s->m->plan->output[i];
    dlvk_tensor_info out = {
        .name = t->name, .dtype = (dlvk_dtype)t->dtype, .rank = (int)t->n_dim, .chance = (dlvk_chance)t->chance};
    size_t n = 0;
    dlvk_status st = finished(s, err);
    if (!st) st = session_output_dims(s, (uint32_t)i, out.dim, &n, err);
    if (st) return st;
    if (info) *info = out;
    if (bytes) *bytes = n;
    return DLVK_OK;
}

dlvk_status dlvk_session_get_output(dlvk_session *s, const char *name, void *data, size_t bytes, dlvk_error *err)
{
    if (!s || !name || (bytes && !data)) return rt_error(err, DLVK_INVALID_ARGUMENT, "dlvk_session_get_output: a NULL argument");
    const Dlvk__Plan__Plan *p = s->m->plan;
    uint32_t i = 0;
    int64_t dim[DLVK_MAX_RANK];
    size_t want = 0;
    dlvk_status st = find(p->output, p->n_output, "output", name, &i, err);
    if (!st) st = finished(s, err);
    if (!st) st = session_output_dims(s, i, dim, &want, err);
    if (st) return st;
    if (bytes < want)
        return rt_error(err, DLVK_INVALID_ARGUMENT, "output '%s' has %zu bytes, there is room for %zu", name, want, bytes);
    const Slice *x = &s->slice[p->output[i]->buffer];
    if (want && p->output[i]->dtype == DLVK_STRING)
        return session_strings_get(s, x->map ? x->map : s->download.map + s->download_at[i], want / sizeof(dlvk_string), data,
                                   name, err);
    if (want && !x->map && s->download_at[i] == UINT64_MAX)
        return session_read(s, &(BufferRead){p->output[i]->buffer, data, want}, 1, name, err);
    if (want) memcpy(data, x->map ? x->map : s->download.map + s->download_at[i], want);
    return DLVK_OK;
}

void dlvk_session_memory(const dlvk_session *s, dlvk_memory *mem)
{
    *mem = (dlvk_memory){.planned_arena = s->planned_arena,
                         .planned = s->planned,
                         .limit = s->m->plan->max_memory,
                         .unlimited = s->m->plan->unlimited_memory,
                         .arena = s->arena_bytes,
                         .io = space_bytes(&s->outputs) + space_bytes(&s->states) + space_bytes(&s->prepared)};
    for (uint32_t i = 0; i < s->m->n_chunk; i++) mem->weights += s->m->chunk[i].size;
    for (uint32_t i = 0; i < s->n_dynamic; i++) mem->arena += s->dynamic[i].mem.size;
    mem->total = mem->weights + mem->arena + mem->io + space_bytes(&s->counters);
    for (size_t i = 0; i < s->m->plan->n_input; i++) {
        mem->total += s->input[i].mem.size;
        mem->io += s->input[i].mem.size + s->input[i].staging.size;
    }
    mem->io += s->download.size + s->readback.size;
}
