/* The list of functions, and what they share. */
#include "runtime/host/host.h"
#include <stdarg.h>
#include <stdio.h>

static const dlvk_host_op ops[] = {
#define ROW(name) {#name, host_##name},
    HOST_OPS(ROW)
#undef ROW
};

const dlvk_host_op *dlvk_host_ops(int *n)
{
    *n = (int)(sizeof ops / sizeof *ops);
    return ops;
}

dlvk_status host_fail(dlvk_host_call *c, dlvk_status status, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(c->err->text, sizeof c->err->text, fmt, ap);
    va_end(ap);
    return status;
}

dlvk_status host_no_memory(dlvk_host_call *c)
{
    return host_fail(c, DLVK_OUT_OF_MEMORY, "out of memory");
}

void *host_array(dlvk_host_call *c, size_t count, size_t size)
{
    size_t bytes;
    return __builtin_mul_overflow(count, size, &bytes) ? NULL : c->alloc(c, bytes);
}

int64_t host_count(const dlvk_host_array *a)
{
    int64_t n = 1;
    for (int i = 0; i < a->rank; i++) n *= a->dim[i];
    return n;
}

void *host_result(dlvk_host_call *c, int i, const dlvk_host_array *like, size_t size)
{
    if (like->rank != c->out[i].rank) return NULL; /* no such plan is ever written */
    for (int d = 0; d < like->rank; d++) c->out[i].dim[d] = like->dim[d];
    void *data = host_array(c, (size_t)host_count(like), size);
    c->out[i].data = data;
    return data;
}

bool host_signature(const dlvk_host_call *c, int n_in, const dlvk_dtype *in, int n_out, const dlvk_dtype *out)
{
    bool ok = c->n_in == n_in && c->n_out == n_out;
    for (int i = 0; ok && i < n_in; i++) ok = in[i] == DLVK_DTYPE_COUNT || c->in[i].dtype == in[i];
    for (int i = 0; ok && i < n_out; i++) ok = out[i] == DLVK_DTYPE_COUNT || c->out[i].dtype == out[i];
    if (!ok) host_fail((dlvk_host_call *)c, DLVK_BAD_FILE, "corrupt plan: operands or results that the function does not take");
    return ok;
}
