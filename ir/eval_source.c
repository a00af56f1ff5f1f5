/* Sources and type changes of the interpreter. */
#include "ir/eval_internal.h"
#include <math.h>
#include <string.h>

bool eval_const(Eval *e, const Node *n, Array *const *in, Array **out)
{
    (void)in;
    out[0] = array_from_tensor(e, node_attr(n, A_VALUE)->tensor, false);
    return true;
}

bool eval_dims(Eval *e, const Node *n, Array *const *in, Array **out)
{
    (void)in;
    const Attr *values = node_attr(n, A_VALUES);
    Type t = n->out[0]->type;
    int64_t count = values ? values->n : 0;
    Array *y = out[0] = array_new(e, t.dtype, t.rank, &count, false);
    if (count > y->count) return eval_fail(e, "dims: more than one value in a scalar");
    if (!solve_dims(e, (int)count, attr_dims(n, A_VALUES), y->i, true)) return false;
    for (int64_t i = 0; i < count; i++) {
        int64_t v = y->i[i];
        if (array_is_float(y))
            y->f[i] = (double)v;
        else
            y->i[i] = int_wrap(t.dtype, v);
    }
    return true;
}

bool eval_iota(Eval *e, const Node *n, Array *const *in, Array **out)
{
    (void)in;
    Type t = n->out[0]->type;
    int axis = (int)attr_i(n, A_AXIS, 0);
    int64_t dim[DLVK_MAX_RANK], inner = 1;
    if (!solve_dims(e, t.rank, attr_dims(n, A_SHAPE), dim, false)) return false;
    for (int i = axis + 1; i < t.rank; i++) inner *= dim[i];
    Array *y = out[0] = array_new(e, t.dtype, t.rank, dim, false);
    for (int64_t i = 0; i < y->count; i++) {
        int64_t v = i / inner % dim[axis];
        if (array_is_float(y))
            y->f[i] = (double)v;
        else
            y->i[i] = int_wrap(t.dtype, v);
    }
    return true;
}

/* Philox4x32-10 (Salmon et al., Parallel random numbers: as easy as 1, 2, 3, SC11). The counter is the element's flat index (64
 * bits, then zeros), the key the seed; an element is word 0 of the block, so that kernels need nothing of their neighbours. */
static uint32_t philox(uint64_t seed, uint64_t index)
{
    uint32_t c0 = (uint32_t)index, c1 = (uint32_t)(index >> 32), c2 = 0, c3 = 0, k0 = (uint32_t)seed, k1 = (uint32_t)(seed >> 32);
    for (int round = 0; round < 10; round++) {
        uint64_t p0 = (uint64_t)0xD2511F53 * c0, p1 = (uint64_t)0xCD9E8D57 * c2;
        c0 = (uint32_t)(p1 >> 32) ^ c1 ^ k0, c1 = (uint32_t)p1;
        c2 = (uint32_t)(p0 >> 32) ^ c3 ^ k1, c3 = (uint32_t)p0;
        k0 += 0x9E3779B9, k1 += 0xBB67AE85;
    }
    return c0;
}

bool eval_random(Eval *e, const Node *n, Array *const *in, Array **out)
{
    Type t = n->out[0]->type;
    int64_t dim[DLVK_MAX_RANK];
    if (!solve_dims(e, t.rank, attr_dims(n, A_SHAPE), dim, false)) return false;
    if (in[0]->count != 1) return eval_fail(e, "random: the seed has %lld elements, not one", (long long)in[0]->count);
    Array *y = out[0] = array_new(e, t.dtype, t.rank, dim, false);
    for (int64_t i = 0; i < y->count; i++) y->i[i] = philox((uint64_t)in[0]->i[0], (uint64_t)i);
    return true;
}

/* Truncated. ONNX leaves out of range open; here NaN is 0, types of up to 32 bits saturate as 32-bit integers (a positive
 * value for an unsigned type as uint32, all else as int32) and then wrap; 64-bit types saturate, unsigned ones wrap below 0. */
static int64_t float_to_int(DType t, double x)
{
    if (isnan(x)) return 0;
    bool is_unsigned = dtype_class(t) == DC_UINT;
    x = trunc(x);
    if (dtype_bits(t) < 64) {
        double lo = INT32_MIN, hi = is_unsigned && x > 0 ? UINT32_MAX : INT32_MAX;
        return int_wrap(t, (int64_t)(x < lo ? lo : x > hi ? hi : x));
    }
    if (x < -0x1p63) return INT64_MIN;
    if (x < 0x1p63) return (int64_t)x;
    if (!is_unsigned) return INT64_MAX;
    return x < 0x1p64 ? (int64_t)(uint64_t)x : -1;
}

bool eval_cast(Eval *e, const Node *n, Array *const *in, Array **out)
{
    const Array *a = in[0];
    DType t = n->out[0]->type.dtype;
    bool saturate = attr_i(n, A_SATURATE, 1) != 0, from_float = array_is_float(a), from_uint = dtype_class(a->dtype) == DC_UINT;
    if (dtype_class(t) == DC_STRING || dtype_class(a->dtype) == DC_STRING)
        return eval_fail(e, "cast: from %s to %s is not done by the interpreter", dtype_name(a->dtype), dtype_name(t));
    Array *y = out[0] = array_new(e, t, a->rank, a->dim, a->splat);
    int64_t count = y->splat ? 1 : y->count;
    for (int64_t i = 0; i < count; i++) {
        if (t == DLVK_BOOL) {
            y->i[i] = from_float ? a->f[i] != 0 : a->i[i] != 0;
        } else if (!dtype_is_float(t)) {
            y->i[i] = from_float ? float_to_int(t, a->f[i]) : int_wrap(t, a->i[i]);
        } else if (from_float) {
            y->f[i] = dtype_round_f(t, a->f[i], saturate);
        } else if (t == DLVK_F32) { /* rounded once */
            y->f[i] = from_uint ? (float)(uint64_t)a->i[i] : (float)a->i[i];
        } else {
            double x = from_uint ? (double)(uint64_t)a->i[i] : (double)a->i[i];
            y->f[i] = dtype_round_f(t, x, saturate);
        }
    }
    return true;
}

bool eval_bitcast(Eval *e, const Node *n, Array *const *in, Array **out)
{
    const Array *a = in[0];
    DType t = n->out[0]->type.dtype;
    Array *y = out[0] = array_new(e, t, a->rank, a->dim, a->splat);
    int64_t count = y->splat ? 1 : y->count;
    for (int64_t i = 0; i < count; i++) {
        uint64_t bits = 0;
        if (array_is_float(a))
            elem_set_f(a->dtype, &bits, 0, a->f[i]);
        else
            elem_set_i(a->dtype, &bits, 0, a->i[i]);
        if (dtype_is_float(t))
            y->f[i] = elem_get_f(t, &bits, 0);
        else
            y->i[i] = elem_get_i(t, &bits, 0);
    }
    return true;
}
