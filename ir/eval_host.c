/* Host functions in the interpreter: the same that the runtime calls. */
#include "dlvk/host.h"
#include "ir/eval_internal.h"
#include <stdlib.h>
#include <string.h>

typedef struct Call {
    dlvk_host_call call; /* first: alloc() finds the rest behind it */
    Pool *pool;
    dlvk_error why;
} Call;

static void *call_alloc(dlvk_host_call *c, size_t bytes)
{
    return pool_alloc(((Call *)c)->pool, bytes);
}

/* Texts and results are in the pool of the results: strings point to them. */
bool eval_host(Eval *e, const Node *n, Array *const *in, Array **out)
{
    const char *name = node_attr(n, A_NAME)->str;
    dlvk_host_array *x = POOL_ARRAY(e->pool, dlvk_host_array, n->n_in), *y = POOL_ARRAY(e->pool, dlvk_host_array, n->n_out);
    Call c = {.pool = e->pool};
    for (int i = 0; i < n->n_in; i++) {
        Array *dense = array_dense(e, in[i]);
        const Tensor *t = array_to_tensor(e, dense, in[i]->dtype);
        x[i] = (dlvk_host_array){.dtype = t->dtype, .rank = t->rank, .data = t->data};
        memcpy(x[i].dim, t->dim, sizeof x[i].dim);
        array_unref(e, dense);
    }
    for (int i = 0; i < n->n_out; i++) y[i] = (dlvk_host_array){.dtype = n->out[i]->type.dtype, .rank = n->out[i]->type.rank};
    const dlvk_host_op *op = dlvk_host_op_find(name, &c.why);
    if (!op) return eval_fail(e, "host function '%s': %s", name, c.why.text);
    c.call = (dlvk_host_call){.text = node_attr(n, A_TEXT)->str,
                              .n_in = n->n_in,
                              .n_out = n->n_out,
                              .in = x,
                              .out = y,
                              .alloc = call_alloc,
                              .err = &c.why};
    dlvk_status st = op->run(&c.call);
    if (st) return eval_fail(e, "host function '%s': %s", name, st == DLVK_OUT_OF_MEMORY ? "out of memory" : c.why.text);
    for (int i = 0; i < n->n_out; i++)
        out[i] = array_from_tensor(e, tensor_new(e->pool, y[i].dtype, y[i].rank, y[i].dim, y[i].data), false);
    return true;
}
