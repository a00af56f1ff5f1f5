/* Host tensors and what is known of constant values. */
#include "ir/ir.h"

#include <assert.h>
#include <string.h>

const Tensor *tensor_new(Pool *p, DType t, int rank, const int64_t *dim, const void *data)
{
    assert(rank >= 0 && rank <= DLVK_MAX_RANK);
    Tensor *r = POOL_NEW(p, Tensor);
    r->dtype = t;
    r->rank = rank;
    r->count = 1;
    for (int i = 0; i < rank; i++) {
        r->dim[i] = dim[i];
        bool over = __builtin_mul_overflow(r->count, dim[i], &r->count);
        assert(!over && dim[i] >= 0);
        (void)over;
    }
    r->bytes = t == DLVK_STRING ? (size_t)r->count * sizeof(Str) : (size_t)dtype_bytes(t, r->count);
    r->data = data;
    return r;
}

bool value_const(const Value *v, const Tensor **t)
{
    if (!v || !v->def || v->def->op != OP_CONST) return false;
    const Attr *a = node_attr(v->def, A_VALUE);
    if (!a) return false;
    if (t) *t = a->tensor;
    return true;
}

bool value_scalar(const Value *v, double *x)
{
    /* Broadcasting and reshaping a single value repeats it; an empty result holds none, and any value will do. */
    while (v && v->def && (v->def->op == OP_BROADCAST || v->def->op == OP_RESHAPE)) v = v->def->in[0];
    const Tensor *t;
    if (!value_const(v, &t) || t->dtype == DLVK_STRING || !(t->splat || t->count == 1)) return false;
    if (x) *x = elem_get_f(t->dtype, t->data, 0);
    return true;
}
