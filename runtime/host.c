/* Host steps: tensors read back, a function called, its results put where the device finds them. And the strings of a session.
 *
 * A session's table of strings holds the model's own, then those of its inputs, then what host steps of the latest run made. A
 * run begins by forgetting the last of these. */
#include "runtime/error.h"
#include "runtime/session.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- memory of host steps ------------------------------------------------------------------------------------------ */

struct HostBlock {
    HostBlock *next;
    size_t used, size;
    _Alignas(16) uint8_t data[];
};

static void *host_alloc(dlvk_session *s, size_t bytes)
{
    HostBlock *b = s->host_memory;
    if (bytes > SIZE_MAX / 2) return NULL;
    bytes = (bytes + 15) / 16 * 16;
    if (!b || bytes > b->size - b->used) {
        size_t size = bytes > 65536 ? bytes : 65536;
        b = calloc(1, sizeof *b + size);
        if (!b) return NULL;
        b->size = size;
        b->next = s->host_memory;
        s->host_memory = b;
    }
    void *p = b->data + b->used;
    b->used += bytes;
    return p;
}

static void host_forget(dlvk_session *s)
{
    while (s->host_memory) {
        HostBlock *b = s->host_memory;
        s->host_memory = b->next;
        free(b);
    }
}

/* ---- strings -------------------------------------------------------------------------------------------------------- */

static dlvk_status no_memory(dlvk_error *err)
{
    return rt_error(err, DLVK_OUT_OF_MEMORY, "out of memory for strings");
}

dlvk_status session_strings_init(dlvk_session *s, dlvk_error *err)
{
    const Dlvk__Plan__Plan *p = s->m->plan;
    bool ok = strings_intern(&s->strings, (dlvk_string){"", 0}) != STRING_NONE;
    for (size_t i = 0; ok && i < p->n_string; i++)
        ok = strings_intern(&s->strings, (dlvk_string){(const char *)p->string[i].data, p->string[i].len}) != STRING_NONE;
    s->own_strings = s->kept_strings = s->strings.n;
    return ok ? DLVK_OK : no_memory(err);
}

void session_strings_free(dlvk_session *s)
{
    host_forget(s);
    strings_free(&s->strings);
}

dlvk_status input_strings(dlvk_session *s, Input *in, const char *name, const dlvk_string *x, size_t n, dlvk_error *err)
{
    size_t bytes = n * sizeof *x;
    for (size_t i = 0; i < n; i++) {
        if (x[i].len && !x[i].at) return rt_error(err, DLVK_INVALID_ARGUMENT, "input '%s': string %zu is NULL", name, i);
        if (__builtin_add_overflow(bytes, x[i].len, &bytes)) return no_memory(err);
    }
    dlvk_string *copy = malloc(bytes + 1);
    if (!copy) return no_memory(err);
    char *to = (char *)(copy + n);
    for (size_t i = 0; i < n; i++) {
        copy[i] = (dlvk_string){to, x[i].len};
        if (x[i].len) memcpy(to, x[i].at, x[i].len);
        to += x[i].len;
    }
    /* The table names the texts of the last run until the next one; so do results that came through from the input. */
    if (in->old_strings)
        free(in->strings);
    else
        in->old_strings = in->strings;
    in->strings = copy;
    s->strings_stale = true;
    return DLVK_OK;
}

dlvk_status session_strings_begin(dlvk_session *s, dlvk_error *err)
{
    const Dlvk__Plan__Plan *p = s->m->plan;
    strings_truncate(&s->strings, s->strings_stale ? s->own_strings : s->kept_strings);
    host_forget(s);
    if (!s->strings_stale) return DLVK_OK;
    for (uint32_t i = 0; i < p->n_input; i++) {
        Input *in = &s->input[i];
        if (!in->strings) continue;
        uint8_t *to = in->mem.map ? in->mem.map : in->staging.map;
        for (size_t k = 0; k < in->bytes / STRING_HANDLE_BYTES; k++) {
            uint32_t handle = strings_intern(&s->strings, in->strings[k]);
            if (handle == STRING_NONE) return no_memory(err);
            memcpy(to + STRING_HANDLE_BYTES * k, &handle, STRING_HANDLE_BYTES);
        }
        in->dirty = !in->mem.map;
        free(in->old_strings);
        in->old_strings = NULL;
    }
    s->kept_strings = s->strings.n;
    s->strings_stale = false;
    return DLVK_OK;
}

dlvk_status session_strings_get(const dlvk_session *s, const void *handles, size_t n, dlvk_string *out, const char *who,
                                dlvk_error *err)
{
    for (size_t i = 0; i < n; i++) {
        uint32_t h;
        memcpy(&h, (const uint8_t *)handles + STRING_HANDLE_BYTES * i, STRING_HANDLE_BYTES);
        if (h >= s->strings.n) return rt_error(err, DLVK_BAD_FILE, "corrupt plan: %s: element %zu is no string", who, i);
        out[i] = s->strings.at[h];
    }
    return DLVK_OK;
}

/* ---- a step --------------------------------------------------------------------------------------------------------- */

typedef struct Call {
    dlvk_host_call call; /* first: alloc() finds the session behind it */
    dlvk_session *s;
    const Dlvk__Plan__Host *host;
    char who[128];
    dlvk_error why;
} Call;

static void *call_alloc(dlvk_host_call *c, size_t bytes)
{
    return host_alloc(((Call *)c)->s, bytes);
}

static dlvk_status check_bytes(const Call *c, uint32_t buffer, uint64_t bytes, dlvk_error *err)
{
    uint64_t have = c->s->slice[buffer].size;
    if (bytes <= have) return DLVK_OK;
    return rt_error(err, DLVK_BAD_FILE, "corrupt plan: %s takes %" PRIu64 " bytes of buffer %u, which has %" PRIu64, c->who,
                    bytes, buffer, have);
}

static uint64_t device_bytes(dlvk_dtype t, size_t bytes)
{
    return t == DLVK_STRING ? bytes / sizeof(dlvk_string) * STRING_HANDLE_BYTES : bytes;
}

static dlvk_status read_inputs(Call *c, dlvk_host_array *in, dlvk_error *err)
{
    dlvk_session *s = c->s;
    size_t n = c->host->n_in;
    BufferRead *read = host_alloc(s, (n + 1) * sizeof *read);
    size_t *host_bytes = host_alloc(s, (n + 1) * sizeof *host_bytes);
    if (!read || !host_bytes) return no_memory(err);
    for (size_t i = 0; i < n; i++) {
        const Dlvk__Plan__HostValue *v = c->host->in[i];
        in[i] = (dlvk_host_array){.dtype = (dlvk_dtype)v->dtype, .rank = (int)v->n_dim};
        for (size_t d = 0; d < v->n_dim; d++) {
            dlvk_status st = rt_env_get(&s->env, v->dim[d], c->who, &in[i].dim[d], err);
            if (st) return st;
        }
        if (!tensor_bytes(in[i].dtype, v->n_dim, in[i].dim, &host_bytes[i]))
            return rt_error(err, DLVK_INVALID_ARGUMENT, "%s: operand %zu is too large", c->who, i);
        uint64_t bytes = device_bytes(in[i].dtype, host_bytes[i]);
        dlvk_status st = check_bytes(c, v->buffer, bytes, err);
        if (st) return st;
        void *to = host_alloc(s, bytes);
        if (!to) return no_memory(err);
        in[i].data = to;
        read[i] = (BufferRead){v->buffer, to, bytes};
    }
    dlvk_status st = session_read(s, read, n, c->who, err);
    for (size_t i = 0; !st && i < n; i++) {
        if (in[i].dtype != DLVK_STRING) continue;
        dlvk_string *x = host_alloc(s, host_bytes[i]);
        if (!x) return no_memory(err);
        st = session_strings_get(s, in[i].data, host_bytes[i] / sizeof *x, x, c->who, err);
        in[i].data = x;
    }
    return st;
}

/* The sizes that the function found: new ones are defined, the others must be as the plan has them. */
static dlvk_status take_sizes(Call *c, dlvk_error *err)
{
    dlvk_session *s = c->s;
    const Dlvk__Plan__Plan *p = s->m->plan;
    for (size_t i = 0; i < c->host->n_out; i++) {
        const Dlvk__Plan__HostValue *v = c->host->out[i];
        for (size_t d = 0; d < v->n_dim; d++) {
            const Dlvk__Plan__Expr *x = p->expr[v->dim[d]];
            bool own = false;
            for (size_t k = 0; k < c->host->n_symbol && x->op == DLVK__PLAN__EXPR__OP__SYMBOL; k++)
                own |= c->host->symbol[k] == x->symbol && !s->env.known[x->symbol];
            int64_t have = c->call.out[i].dim[d], want = have;
            dlvk_status st =
                own ? rt_env_define(&s->env, x->symbol, have, err) : rt_env_get(&s->env, v->dim[d], c->who, &want, err);
            if (own) rt_env_update(&s->env);
            if (st) return st;
            if (have != want)
                return rt_error(err, DLVK_INVALID_ARGUMENT,
                                "%s: axis %zu of result %zu has size %" PRId64 ", %" PRId64 " is expected", c->who, d, i, have,
                                want);
        }
    }
    return session_symbols_changed(s, err);
}

static dlvk_status write_outputs(Call *c, dlvk_error *err)
{
    dlvk_session *s = c->s;
    size_t n = 0;
    Upload *up = host_alloc(s, (c->host->n_out + 1) * sizeof *up);
    if (!up) return no_memory(err);
    for (size_t i = 0; i < c->host->n_out; i++) {
        const Dlvk__Plan__HostValue *v = c->host->out[i];
        const dlvk_host_array *x = &c->call.out[i];
        size_t bytes;
        if (!tensor_bytes(x->dtype, v->n_dim, x->dim, &bytes))
            return rt_error(err, DLVK_INVALID_ARGUMENT, "%s: result %zu is too large", c->who, i);
        const void *data = x->data;
        if (x->dtype == DLVK_STRING) {
            const dlvk_string *text = x->data;
            bytes /= sizeof *text;
            uint32_t *handle = host_alloc(s, bytes * STRING_HANDLE_BYTES);
            if (!handle) return no_memory(err);
            for (size_t k = 0; k < bytes; k++)
                if ((handle[k] = strings_intern(&s->strings, text[k])) == STRING_NONE) return no_memory(err);
            bytes *= STRING_HANDLE_BYTES;
            data = handle;
        }
        dlvk_status st = check_bytes(c, v->buffer, bytes, err);
        if (st) return st;
        if (bytes) up[n++] = (Upload){s->slice[v->buffer], data, bytes, bytes};
    }
    return vk_upload(s->dev, up, n, 1, err);
}

dlvk_status session_host_step(dlvk_session *s, const Dlvk__Plan__Host *h, const dlvk_host_op *op, dlvk_error *err)
{
    Call c = {.s = s, .host = h};
    snprintf(c.who, sizeof c.who, "host step '%.32s'%s%.64s%s", h->op, h->n_source ? " (from " : "",
             h->n_source ? s->m->plan->source[h->source[0]]->name : "", h->n_source ? ")" : "");
    dlvk_host_array *in = host_alloc(s, (h->n_in + 1) * sizeof *in), *out = host_alloc(s, (h->n_out + 1) * sizeof *out);
    dlvk_status st = in && out ? session_drain(s, err) : no_memory(err); /* what it writes may be in use */
    if (!st) st = read_inputs(&c, in, err);
    if (st) return st;
    for (size_t i = 0; i < h->n_out; i++)
        out[i] = (dlvk_host_array){.dtype = (dlvk_dtype)h->out[i]->dtype, .rank = (int)h->out[i]->n_dim};
    c.call = (dlvk_host_call){
        .text = h->text, .n_in = (int)h->n_in, .n_out = (int)h->n_out, .in = in, .out = out, .alloc = call_alloc, .err = &c.why};
    st = op->run(&c.call);
    if (st) return rt_error(err, st, "%s: %s", c.who, st == DLVK_OUT_OF_MEMORY ? "out of memory" : c.why.text);
    st = take_sizes(&c, err);
    return st ? st : write_outputs(&c, err);
}
