/* Binding: from the inputs' shapes to sizes, and from sizes to memory. */
#include "runtime/arena.h"
#include "runtime/error.h"
#include "runtime/footprint.h"
#include "runtime/session.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef Dlvk__Plan__Plan Plan;
typedef Dlvk__Plan__Buffer Buffer;
#define KIND(x) DLVK__PLAN__BUFFER__KIND__##x

bool tensor_bytes(dlvk_dtype t, size_t rank, const int64_t *dim, size_t *bytes)
{
    uint64_t count = 1;
    bool empty = false;
    for (size_t i = 0; i < rank; i++) {
        if (dim[i] < 0) return false;
        if (dim[i] == 0)
            empty = true;
        else if (__builtin_mul_overflow(count, (uint64_t)dim[i], &count) || count > 1ull << 58)
            return false;
    }
    *bytes = empty ? 0 : dlvk_dtype_size(t, count);
    return true;
}

/* ---- spaces -------------------------------------------------------------------------------------------------------- */

void space_free(dlvk_session *s, Space *sp)
{
    for (uint32_t i = 0; i < sp->n; i++) vk_memory_free(s->dev, &sp->chunk[i]);
    free(sp->chunk);
    *sp = (Space){0};
}

uint64_t space_bytes(const Space *sp)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < sp->n; i++) sum += sp->chunk[i].size;
    return sum;
}

/* Memory for `peak` bytes; what is already there stays, unless it is too small. Contents may be lost. */
static dlvk_status space_reserve(dlvk_session *s, Space *sp, uint64_t peak, const char *what, dlvk_error *err)
{
    uint32_t n = (uint32_t)((peak + sp->limit - 1) / sp->limit);
    if (n > sp->n) {
        Memory *more = realloc(sp->chunk, n * sizeof *more);
        if (!more) return rt_error(err, DLVK_OUT_OF_MEMORY, "out of memory");
        memset(more + sp->n, 0, (n - sp->n) * sizeof *more);
        sp->chunk = more;
        sp->n = n;
    }
    for (uint32_t i = 0; i < n; i++) {
        uint64_t want = peak - i * sp->limit < sp->limit ? peak - i * sp->limit : sp->limit;
        if (sp->chunk[i].size >= want) continue;
        for (dlvk_session *o = s->next; sp == s->arena && o != s;
             o = o->next) { /* others may be using it, and must find it anew */
            dlvk_status st = session_drain(o, err);
            if (st) return st;
            o->bound = false;
        }
        vk_memory_free(s->dev, &sp->chunk[i]);
        dlvk_status st = vk_memory_new(s->dev, MEMORY_DEVICE, want, what, &sp->chunk[i], err);
        if (st) return st;
    }
    return DLVK_OK;
}

static Slice space_slice(const dlvk_session *s, const Space *sp, uint64_t offset, uint64_t size)
{
    if (!size) return slice_empty(s->dev);
    return slice_of(&sp->chunk[offset / sp->limit], offset % sp->limit, size);
}

/* Evaluates the size of a buffer. */
static dlvk_status buffer_size(const dlvk_session *s, uint32_t buffer, uint64_t *size, dlvk_error *err)
{
    const Buffer *b = s->m->plan->buffer[buffer];
    char what[128];
    int64_t v = 0;
    snprintf(what, sizeof what, "size of buffer %u (%.64s)", buffer, b->name);
    dlvk_status st = rt_env_get(&s->env, b->size, what, &v, err);
    if (st) return st;
    if (v < 0) return rt_error(err, DLVK_INVALID_ARGUMENT, "%s is negative (%" PRId64 ") for these input shapes", what, v);
    *size = (uint64_t)v;
    return rt_check_elements(b, *size, err);
}

/* Packs the buffers of one kind, save those of data-dependent size, into a space. Only the arena's share memory over time. */
static dlvk_status pack(dlvk_session *s, int kind, Space *sp, const char *what, uint64_t *planned, dlvk_error *err)
{
    const Plan *p = s->m->plan;
    ArenaItem *item = calloc(p->n_buffer + 1, sizeof *item);
    uint32_t *index = calloc(p->n_buffer + 1, sizeof *index), n = 0;
    dlvk_status st = item && index ? DLVK_OK : rt_error(err, DLVK_OUT_OF_MEMORY, "out of memory");
    for (uint32_t i = 0; !st && i < p->n_buffer; i++) {
        const Buffer *b = p->buffer[i];
        if ((int)b->kind != kind || s->m->data_dep[b->size]) continue;
        index[n] = i;
        item[n] = kind == KIND(ARENA) ? rt_arena_item(b, 0) : (ArenaItem){.last = UINT32_MAX};
        st = buffer_size(s, i, &item[n].size, err);
        if (!st && item[n].size > s->dev->info.max_allocation_bytes)
            st = rt_error(err, DLVK_OUT_OF_MEMORY,
                          "buffer %u (%s) takes %" PRIu64 " bytes for these input shapes; device '%s' allocates at most %" PRIu64
                          " at once",
                          i, b->name, item[n].size, s->dev->info.name, s->dev->info.max_allocation_bytes);
        n++;
    }
    uint64_t peak = 0;
    sp->limit = s->dev->info.max_allocation_bytes / ARENA_ALIGN * ARENA_ALIGN;
    if (!st && planned) {
        if (!arena_pack(item, n, 0, planned)) st = rt_error(err, DLVK_OUT_OF_MEMORY, "%s: too large, or out of memory", what);
        peak = *planned;
    }
    if (!st && (!planned || peak > sp->limit) && !arena_pack(item, n, sp->limit, &peak))
        st = rt_error(err, DLVK_OUT_OF_MEMORY, "%s: too large, or out of memory", what);
    if (!st) st = space_reserve(s, sp, peak, what, err);
    if (sp == s->arena) s->arena_bytes = peak;
    for (uint32_t i = 0; !st && i < n; i++) s->slice[index[i]] = space_slice(s, sp, item[i].offset, item[i].size);
    free(item);
    free(index);
    return st;
}

/* ---- states --------------------------------------------------------------------------------------------------------- */

/* Memory for the buffers of a kind that outlives runs, with what they begin with. */
static dlvk_status lasting(dlvk_session *s, int kind, Space *sp, const char *what, dlvk_error *err)
{
    static const uint8_t zeros[64];
    const Plan *p = s->m->plan;
    dlvk_status st = pack(s, kind, sp, what, NULL, err);
    Upload *up = calloc(2 * p->n_buffer + 1, sizeof *up);
    if (!st && !up) st = rt_error(err, DLVK_OUT_OF_MEMORY, "out of memory");
    size_t n = 0;
    for (uint32_t i = 0; !st && i < p->n_buffer; i++) {
        const Buffer *b = p->buffer[i];
        Slice to = s->slice[i];
        if ((int)b->kind != kind || !to.size) continue;
        const Dlvk__Plan__Blob *blob = b->blob ? p->blob[b->blob - 1] : NULL;
        uint64_t have = blob ? blob->bytes : 0;
        if (have) up[n++] = (Upload){to, rt_bundle_blob(&s->m->bundle, blob), blob->length, have};
        if (have == to.size) continue;
        to.offset += have;
        to.map = to.map ? to.map + have : NULL;
        up[n++] = (Upload){to, zeros, sizeof zeros, to.size - have};
    }
    if (!st) st = vk_upload(s->dev, up, n, 0, err);
    free(up);
    return st;
}

dlvk_status session_states(dlvk_session *s, dlvk_error *err)
{
    return lasting(s, KIND(STATE), &s->states, "state", err);
}

dlvk_status session_counters(dlvk_session *s, dlvk_error *err)
{
    return lasting(s, KIND(COUNTER), &s->counters, "counters", err);
}

/* ---- inputs and outputs --------------------------------------------------------------------------------------------- */

/* An input's memory was made for its data; its buffer may want more (padding). */
static dlvk_status bind_input(dlvk_session *s, uint32_t i, dlvk_error *err)
{
    const Dlvk__Plan__Tensor *t = s->m->plan->input[i];
    Input *in = &s->input[i];
    uint64_t size = 0;
    dlvk_status st = buffer_size(s, t->buffer, &size, err);
    if (st) return st;
    if (size < in->bytes)
        return rt_error(err, DLVK_BAD_FILE, "corrupt plan: input '%s' takes %zu bytes, its buffer %" PRIu64, t->name, in->bytes,
                        size);
    if (size > in->mem.size) {
        Memory grown;
        st = vk_memory_new(s->dev, MEMORY_DEVICE, size, t->name, &grown, err);
        if (st) return st;
        if (grown.map && in->bytes)
            memcpy(grown.map, in->mem.map, in->bytes);
        else
            in->dirty = true; /* staging still has it */
        vk_memory_free(s->dev, &in->mem);
        in->mem = grown;
        in->upload_bytes = 0;
    }
    s->slice[t->buffer] = size ? slice_of(&in->mem, 0, size) : slice_empty(s->dev);
    return DLVK_OK;
}

dlvk_status session_output_dims(const dlvk_session *s, uint32_t i, int64_t *dim, size_t *bytes, dlvk_error *err)
{
    const Dlvk__Plan__Tensor *t = s->m->plan->output[i];
    for (size_t d = 0; d < t->n_dim; d++) {
        char what[160];
        snprintf(what, sizeof what, "output '%.100s', dimension %zu", t->name, d);
        dlvk_status st = rt_env_get(&s->env, t->dim[d], what, &dim[d], err);
        if (st) return st;
        if (dim[d] < 0)
            return rt_error(err, DLVK_INVALID_ARGUMENT, "%s is negative (%" PRId64 ") for these input shapes", what, dim[d]);
    }
    if (!tensor_bytes((dlvk_dtype)t->dtype, t->n_dim, dim, bytes))
        return rt_error(err, DLVK_INVALID_ARGUMENT, "output '%s' is too large", t->name);
    size_t stored = t->dtype == DLVK_STRING ? *bytes / sizeof(dlvk_string) * STRING_HANDLE_BYTES : *bytes;
    if (stored > s->slice[t->buffer].size)
        return rt_error(err, DLVK_BAD_FILE, "corrupt plan: output '%s' takes %zu bytes, its buffer %" PRIu64, t->name, stored,
                        s->slice[t->buffer].size);
    return DLVK_OK;
}

/* ---- binding -------------------------------------------------------------------------------------------------------- */

dlvk_status session_bind(dlvk_session *s, dlvk_error *err)
{
    const Plan *p = s->m->plan;
    if (s->bound) return DLVK_OK;
    const int64_t **shape = calloc(p->n_input + 1, sizeof *shape);
    dlvk_status st = shape ? session_drain(s, err) : rt_error(err, DLVK_OUT_OF_MEMORY, "out of memory");
    for (size_t i = 0; !st && i < p->n_input; i++) {
        shape[i] = s->input[i].dim;
        if (!s->input[i].set) st = rt_error(err, DLVK_INVALID_ARGUMENT, "input '%s' has not been set", p->input[i]->name);
    }
    s->ran = false;
    s->generation++;
    if (!st) st = rt_env_solve(&s->env, shape, err);
    free(shape);
    if (!st) session_tune(s);
    if (!st) st = session_pipelines(s, err);
    for (uint32_t i = 0; !st && i < p->n_input; i++) st = bind_input(s, i, err);
    dlvk_memory planned;
    if (!st) st = rt_footprint(&s->env, &planned, err);
    if (!st) st = rt_footprint_check(p, &planned, err);
    if (!st) s->planned = planned.planned;
    if (!st) st = pack(s, KIND(ARENA), s->arena, "arena", &s->planned_arena, err);
    if (!st) st = pack(s, KIND(OUTPUT), &s->outputs, "outputs", NULL, err);
    if (!st) st = pack(s, KIND(PREPARED), &s->prepared, "what depends on sizes alone", NULL, err);
    for (uint32_t i = 0; !st && i < p->n_output; i++) {
        int64_t dim[DLVK_MAX_RANK];
        size_t bytes;
        bool later = s->m->data_dep[p->buffer[p->output[i]->buffer]->size];
        for (size_t d = 0; d < p->output[i]->n_dim; d++) later |= s->m->data_dep[p->output[i]->dim[d]];
        if (!later) st = session_output_dims(s, i, dim, &bytes, err);
    }
    s->bound = !st;
    return st;
}

/* Moves a buffer into more memory: at least double, so that a buffer that grows step by step is copied seldom. */
static dlvk_status grow(dlvk_session *s, Dynamic *d, uint64_t size, dlvk_error *err)
{
    uint64_t keep = d->live ? s->slice[d->buffer].size : 0, most = s->dev->info.max_allocation_bytes;
    uint64_t room = 2 * d->mem.size > size ? 2 * d->mem.size : size;
    Memory grown;
    dlvk_status st = session_drain(s, err); /* the old memory may be in use */
    if (!st)
        st = vk_memory_new(s->dev, MEMORY_DEVICE, room < most || size > most ? room : most, "a buffer of data-dependent size",
                           &grown, err);
    if (st) return st;
    if (keep && grown.map) {
        memcpy(grown.map, d->mem.map, keep);
    } else if (keep) {
        OneTime once;
        st = vk_one_time_begin(s->dev, &once, err);
        if (!st) vkCmdCopyBuffer(once.cmd, d->mem.buffer, grown.buffer, 1, &(VkBufferCopy){.size = keep});
        if (!st) st = vk_one_time_end(s->dev, &once, err);
    }
    if (st) {
        vk_memory_free(s->dev, &grown);
        return st;
    }
    vk_memory_free(s->dev, &d->mem);
    d->mem = grown;
    s->generation++;
    return DLVK_OK;
}

dlvk_status session_bind_dynamic(dlvk_session *s, dlvk_error *err)
{
    for (uint32_t i = 0; i < s->n_dynamic; i++) {
        Dynamic *d = &s->dynamic[i];
        uint64_t size = 0;
        if (s->env.state[s->m->plan->buffer[d->buffer]->size] == EXPR_UNKNOWN) continue;
        dlvk_status st = buffer_size(s, d->buffer, &size, err);
        if (!st && size > d->mem.size) st = grow(s, d, size, err);
        if (st) return st;
        s->slice[d->buffer] = size ? slice_of(&d->mem, 0, size) : slice_empty(s->dev);
        d->live = true;
    }
    return DLVK_OK;
}
