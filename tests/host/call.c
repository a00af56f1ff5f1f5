#include "call.h"
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

static void *take(dlvk_host_call *call, size_t bytes)
{
    TestCall *c = (TestCall *)call;
    if (bytes > SIZE_MAX / 2 || (c->limit && (c->taken += bytes) > c->limit)) return NULL;
    void **block = calloc(1, sizeof(max_align_t) + bytes);
    if (!block) return NULL;
    *block = c->memory;
    c->memory = block;
    return (char *)block + sizeof(max_align_t);
}

dlvk_status host_run(TestCall *c, const char *name, const char *text)
{
    const dlvk_host_op *op = dlvk_host_op_find(name, &c->err);
    if (!op && strstr(c->err.text, "has no function")) cr_skip_test("%s", c->err.text);
    cr_assert(op, "%s", c->err.text);
    c->call.text = text;
    c->call.in = c->in;
    c->call.out = c->out;
    c->call.alloc = take;
    c->call.err = &c->err;
    return op->run(&c->call);
}

void host_free(TestCall *c)
{
    for (void **b = c->memory; b;) {
        void **next = *b;
        free(b);
        b = next;
    }
    *c = (TestCall){0};
}
