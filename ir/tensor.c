/* Host tensors. */
#include "ir/ir.h"

#include <assert.h>

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
