/* Single elements of host tensors as doubles, for programs that fill and compare tensors of any type. */
#include "dlvk/compiler.h"
#include "ir/dtype.h"

double dlvk_host_tensor_get(const dlvk_host_tensor *t, int64_t i)
{
    if (dtype_is_float(t->dtype)) return elem_get_f(t->dtype, t->data, i);
    int64_t v = elem_get_i(t->dtype, t->data, i);
    return t->dtype == DLVK_U64 ? (double)(uint64_t)v : (double)v;
}

void dlvk_host_tensor_set(dlvk_host_tensor *t, int64_t i, double v)
{
    if (dtype_is_float(t->dtype))
        elem_set_f(t->dtype, t->data, i, v);
    else
        elem_set_i(t->dtype, t->data, i, t->dtype == DLVK_U64 && v >= 0x1p63 ? (int64_t)(uint64_t)v : (int64_t)v);
}
