/* Arrays of the interpreter: allocation, and conversion from and to stored tensors. */
#include "ir/eval_internal.h"
#include <stdlib.h>
#include <string.h>

static void out_of_memory(Eval *e)
{
    longjmp(*e->oom, 1);
}

static Array *array_header(Eval *e, DType t, int esize, int rank, const int64_t *dim)
{
    Array *a = calloc(1, sizeof *a);
    if (!a) out_of_memory(e);
    a->dtype = t, a->rank = rank, a->esize = esize, a->refs = 1, a->count = 1;
    a->next = e->arrays;
    if (a->next) a->next->prev = a;
    e->arrays = a;
    bool empty = false;
    for (int i = 0; i < rank; i++) {
        a->dim[i] = dim[i];
        if (dim[i] == 0) empty = true;
    }
    for (int i = 0; i < rank && !empty; i++)
        if (__builtin_mul_overflow(a->count, dim[i], &a->count)) out_of_memory(e);
    if (empty) a->count = 0;
    return a;
}

Array *array_raw(Eval *e, DType t, int esize, int rank, const int64_t *dim, bool splat)
{
    Array *a = array_header(e, t, esize, rank, dim);
    size_t bytes;
    a->splat = splat && a->count > 0;
    if (__builtin_mul_overflow((size_t)(a->splat ? 1 : a->count), (size_t)esize, &bytes)) out_of_memory(e);
    a->borrowed = e->in_pool;
    a->data = e->in_pool ? pool_alloc(e->pool, bytes) : malloc(bytes ? bytes : 1);
    if (!a->data) out_of_memory(e);
    return a;
}

static int wide_size(DType t)
{
    return dtype_class(t) == DC_STRING ? (int)sizeof(Str) : 8;
}

Array *array_new(Eval *e, DType t, int rank, const int64_t *dim, bool splat)
{
    return array_raw(e, t, wide_size(t), rank, dim, splat);
}

Array *array_alias(Eval *e, Array *base, int rank, const int64_t *dim)
{
    Array *a = array_header(e, base->dtype, base->esize, rank, dim);
    a->data = base->data;
    a->splat = base->splat && a->count > 0;
    a->base = array_ref(base);
    return a;
}

Array *array_dense(Eval *e, Array *a)
{
    if (!a->splat) return array_ref(a);
    Array *r = array_raw(e, a->dtype, a->esize, a->rank, a->dim, false);
    box_fill(r->data, r->count, a->data, a->esize);
    return r;
}

Array *array_ref(Array *a)
{
    a->refs++;
    return a;
}

void array_unref(Eval *e, Array *a)
{
    while (a && --a->refs == 0) {
        Array *base = a->base;
        if (a->next) a->next->prev = a->prev;
        *(a->prev ? &a->prev->next : &e->arrays) = a->next;
        if (!base && !a->borrowed) free(a->data);
        free(a);
        a = base;
    }
}

/* The types that matter for speed are converted in loops the compiler can see through; the rest element by element. */
#define LOAD(T, field)                                                                                                           \
    do {                                                                                                                         \
        const T *src = t->data;                                                                                                  \
        for (int64_t k = 0; k < n; k++) a->field[k] = src[k];                                                                    \
    } while (0)
#define STORE(T, field)                                                                                                          \
    do {                                                                                                                         \
        T *dst = data;                                                                                                           \
        for (int64_t k = 0; k < n; k++) dst[k] = (T)a->field[k];                                                                 \
    } while (0)

Array *array_from_tensor(Eval *e, const Tensor *t, bool raw)
{
    bool string = dtype_class(t->dtype) == DC_STRING;
    if (raw || string || t->dtype == DLVK_F64 || t->dtype == DLVK_I64 || t->dtype == DLVK_U64) {
        Array *a = array_header(e, t->dtype, string ? (int)sizeof(Str) : dtype_bits(t->dtype) / 8, t->rank, t->dim);
        a->data = (void *)t->data; /* arrays are written only by their maker */
        a->borrowed = true;
        a->splat = t->splat && a->count > 0;
        return a;
    }
    Array *a = array_new(e, t->dtype, t->rank, t->dim, t->splat);
    int64_t n = a->splat ? 1 : a->count;
    switch (t->dtype) {
    case DLVK_F32: LOAD(float, f); break;
    case DLVK_I32: LOAD(int32_t, i); break;
    case DLVK_I8: LOAD(int8_t, i); break;
    case DLVK_U8: LOAD(uint8_t, i); break;
    default:
        if (array_is_float(a))
            for (int64_t k = 0; k < n; k++) a->f[k] = elem_get_f(t->dtype, t->data, k);
        else
            for (int64_t k = 0; k < n; k++) a->i[k] = elem_get_i(t->dtype, t->data, k);
    }
    return a;
}

const Tensor *array_to_tensor(Eval *e, const Array *a, DType t)
{
    Tensor *r = POOL_NEW(e->pool, Tensor);
    r->dtype = t, r->rank = a->rank, r->count = a->count, r->splat = a->splat;
    memcpy(r->dim, a->dim, sizeof r->dim);
    int64_t n = a->splat ? 1 : a->count;
    bool string = dtype_class(t) == DC_STRING, wide = a->esize == wide_size(a->dtype);
    r->bytes = string ? (size_t)n * sizeof(Str) : (size_t)dtype_bytes(t, n);
    if (t == a->dtype && (!wide || string || dtype_bits(t) == 64)) { /* already as stored */
        const Array *owner = a;
        while (owner->base) owner = owner->base;
        r->data = owner->borrowed && e->in_pool ? a->data : pool_dup(e->pool, a->data, r->bytes);
        return r;
    }
    void *data = pool_alloc(e->pool, r->bytes);
    r->data = data;
    switch (t) {
    case DLVK_F64: STORE(double, f); break;
    case DLVK_F32: STORE(float, f); break;
    case DLVK_I32: STORE(int32_t, i); break;
    case DLVK_BOOL: STORE(uint8_t, i); break;
    default:
        if (array_is_float(a))
            for (int64_t k = 0; k < n; k++) elem_set_f(t, data, k, a->f[k]);
        else
            for (int64_t k = 0; k < n; k++) elem_set_i(t, data, k, a->i[k]);
    }
    return r;
}

int64_t int_wrap(DType t, int64_t v)
{
    return t == DLVK_BOOL ? v & 1 : dtype_wrap_i(t, v);
}

void row_major(int rank, const int64_t *dim, int64_t *stride)
{
    int64_t s = 1;
    for (int i = rank - 1; i >= 0; i--) stride[i] = s, s *= dim[i];
}

bool odometer(int rank, const int64_t *dim, int64_t *index)
{
    for (int i = rank - 1; i >= 0; i--) {
        if (++index[i] < dim[i]) return true;
        index[i] = 0;
    }
    return false;
}
