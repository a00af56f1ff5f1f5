/* Reading and writing the buffers that live between runs. */
#include "runtime/error.h"
#include "runtime/session.h"
#include <string.h>

int dlvk_model_states(const dlvk_model *m)
{
    return m ? (int)m->plan->n_state : 0;
}

dlvk_status dlvk_model_state(const dlvk_model *m, int i, dlvk_tensor_info *info)
{
    if (!m || !info || i < 0 || (size_t)i >= m->plan->n_state) return DLVK_INVALID_ARGUMENT;
    const Dlvk__Plan__Param *t = m->plan->state[i];
    *info = (dlvk_tensor_info){.name = t->name, .dtype = (dlvk_dtype)t->dtype, .rank = (int)t->n_dim};
    for (size_t d = 0; d < t->n_dim; d++) info->dim[d] = m->plan->expr[t->dim[d]]->value;
    return DLVK_OK;
}

static const Dlvk__Plan__Param *state_named(const Dlvk__Plan__Plan *p, const char *name)
{
    for (size_t i = 0; i < p->n_state; i++)
        if (strcmp(p->state[i]->name, name) == 0) return p->state[i];
    return NULL;
}

dlvk_status session_share_states(dlvk_session *s, const dlvk_session *with, dlvk_error *err)
{
    const Dlvk__Plan__Plan *p = s->m->plan;
    for (size_t i = 0; i < p->n_state; i++) {
        const Dlvk__Plan__Param *there = state_named(with->m->plan, p->state[i]->name);
        if (!there || with->slice[there->buffer].size < (uint64_t)p->expr[p->buffer[p->state[i]->buffer]->size]->value)
            return rt_error(err, DLVK_INVALID_ARGUMENT, "the session's program '%s' has no state '%s'", with->m->plan->name,
                            p->state[i]->name);
        s->slice[p->state[i]->buffer] = with->slice[there->buffer];
    }
    return DLVK_OK;
}

/* Waits for every session on these states. */
static dlvk_status drain_all(dlvk_session *s, dlvk_error *err)
{
    dlvk_session *x = s;
    dlvk_status st;
    do {
        st = session_drain(x, err);
        x = x->next;
    } while (!st && x != s);
    return st;
}

/* The place of a state; checks that `bytes` is what it takes. */
static dlvk_status find(dlvk_session *s, const char *name, size_t bytes, Slice *at, dlvk_error *err)
{
    if (!s || !name) return rt_error(err, DLVK_INVALID_ARGUMENT, "state: a NULL argument");
    for (int i = 0; i < dlvk_model_states(s->m); i++) {
        dlvk_tensor_info info;
        size_t want = 0;
        if (dlvk_model_state(s->m, i, &info) || strcmp(info.name, name) != 0) continue;
        *at = s->slice[s->m->plan->state[i]->buffer];
        if (!tensor_bytes(info.dtype, (size_t)info.rank, info.dim, &want) || want > at->size)
            return rt_error(err, DLVK_BAD_FILE, "corrupt plan: state '%s' does not fit its buffer", name);
        if (want != bytes) return rt_error(err, DLVK_INVALID_ARGUMENT, "state '%s' has %zu bytes, not %zu", name, want, bytes);
        return drain_all(s, err);
    }
    return rt_error(err, DLVK_INVALID_ARGUMENT, "the model has no state '%s'", name);
}

dlvk_status dlvk_session_set_state(dlvk_session *s, const char *name, const void *data, size_t bytes, dlvk_error *err)
{
    Slice at;
    dlvk_status st = find(s, name, bytes, &at, err);
    if (st || !bytes) return st;
    if (!data) return rt_error(err, DLVK_INVALID_ARGUMENT, "state '%s': data is NULL", name);
    return vk_upload(s->dev, &(Upload){at, data, bytes, bytes}, 1, 1, err);
}

dlvk_status dlvk_session_get_state(dlvk_session *s, const char *name, void *data, size_t bytes, dlvk_error *err)
{
    Slice at;
    dlvk_status st = find(s, name, bytes, &at, err);
    if (st || !bytes) return st;
    if (!data) return rt_error(err, DLVK_INVALID_ARGUMENT, "state '%s': data is NULL", name);
    if (at.map) {
        memcpy(data, at.map, bytes);
        return DLVK_OK;
    }
    Memory staging;
    OneTime once;
    st = vk_memory_new(s->dev, MEMORY_DOWNLOAD, bytes, name, &staging, err);
    if (st) return st;
    st = vk_one_time_begin(s->dev, &once, err);
    if (!st) vkCmdCopyBuffer(once.cmd, at.buffer, staging.buffer, 1, &(VkBufferCopy){.srcOffset = at.offset, .size = bytes});
    if (!st) st = vk_one_time_end(s->dev, &once, err);
    if (!st) memcpy(data, staging.map, bytes);
    vk_memory_free(s->dev, &staging);
    return st;
}
