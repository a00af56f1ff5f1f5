/* Type inference of reductions, windows, sorting and contractions. */
#include "ir/infer.h"

#include <string.h>

enum {
    ARITH = 1u << KIND_SUM | 1u << KIND_PROD,
    EXTREME = 1u << KIND_MAX | 1u << KIND_MIN,
    LOGIC = 1u << KIND_AND | 1u << KIND_OR
};

static unsigned kinds_of(DType t)
{
    switch (dtype_class(t)) {
    case DC_FLOAT: return ARITH | EXTREME;
    case DC_INT:
    case DC_UINT: return ARITH | EXTREME | LOGIC;
    case DC_BOOL: return EXTREME | LOGIC;
    case DC_STRING:
    case DC_NONE: break;
    }
    return 0;
}

bool infer_reduce(Region *r, Node *n)
{
    Context *c = r->graph->ctx;
    Type x = n->in[0]->type;
    const int64_t *axes;
    const Dim *dims[DLVK_MAX_RANK];
    int count;
    Kind kind;
    if (!need_kind(r, n, kinds_of(x.dtype), &kind) || !need_axes(r, n, x.rank, &axes, &count)) return false;
    for (int i = 0; i < x.rank; i++) dims[i] = x.dim[i];
    for (int i = 0; i < count; i++) dims[axes[i]] = dim_const(&c->dims, 1);
    n->out[0]->type = type_make(c, x.dtype, x.rank, dims);
    return true;
}

bool infer_argreduce(Region *r, Node *n)
{
    Context *c = r->graph->ctx;
    Type x = n->in[0]->type;
    const Dim *dims[DLVK_MAX_RANK];
    int axis;
    Kind kind;
    if (!need_kind(r, n, EXTREME & kinds_of(x.dtype), &kind) || !need_axis(r, n, x.rank, &axis)) return false;
    for (int i = 0; i < x.rank; i++) dims[i] = x.dim[i];
    dims[axis] = dim_const(&c->dims, 1);
    n->out[0]->type = type_make(c, DLVK_I64, x.rank, dims);
    return true;
}

bool infer_cumulate(Region *r, Node *n)
{
    Type x = n->in[0]->type;
    int axis;
    Kind kind;
    if (!need_kind(r, n, (ARITH | EXTREME) & kinds_of(x.dtype), &kind) || !need_axis(r, n, x.rank, &axis)) return false;
    n->out[0]->type = x;
    return true;
}

/* floor((size - reach) / step) + 1 with reach = (window - 1) * dilation + 1 */
static const Dim *window_dim(DimTable *t, const Dim *size, const Dim *window, int64_t dilation, int64_t step)
{
    const Dim *one = dim_const(t, 1);
    const Dim *reach = dim_add(t, dim_mul(t, dim_sub(t, window, one), dim_const(t, dilation)), one);
    const Dim *d = dim_add(t, dim_floordiv(t, dim_sub(t, size, reach), dim_const(t, step)), one);
    int64_t v;
    return dim_is_const(d, &v) && v < 0 ? dim_const(t, 0) : d;
}

static bool window_type(Region *r, Node *n, unsigned allowed, DType result)
{
    Context *c = r->graph->ctx;
    DimTable *t = &c->dims;
    Type x = n->in[0]->type;
    Kind kind;
    if (!need_kind(r, n, allowed, &kind)) return false;
    const int64_t *window = need_ints(r, n, A_WINDOW, x.rank), *step = need_ints(r, n, A_STEP, x.rank);
    const int64_t *dilation = need_ints(r, n, A_DILATION, x.rank);
    const Dim *const *lo = need_dims(r, n, A_LO, x.rank), *const *hi = need_dims(r, n, A_HI, x.rank);
    const Dim *dims[DLVK_MAX_RANK];
    if (!window || !step || !dilation || !lo || !hi) return false;
    for (int i = 0; i < x.rank; i++) {
        if (window[i] < 1 || step[i] < 1 || dilation[i] < 1)
            return infer_fail(r, n, "window, step and dilation of axis %d must be positive", i);
        const Dim *size = dim_add(t, x.dim[i], dim_add(t, lo[i], hi[i]));
        dims[i] = window_dim(t, size, dim_const(t, window[i]), dilation[i], step[i]);
    }
    n->out[0]->type = type_make(c, result, x.rank, dims);
    return true;
}

bool infer_window(Region *r, Node *n)
{
    return window_type(r, n, kinds_of(n->in[0]->type.dtype), n->in[0]->type.dtype);
}

bool infer_argwindow(Region *r, Node *n)
{
    return window_type(r, n, EXTREME & kinds_of(n->in[0]->type.dtype), DLVK_I64);
}

bool infer_sort(Region *r, Node *n)
{
    Type x = n->in[0]->type;
    int axis;
    if (x.dtype == DLVK_STRING) return infer_fail(r, n, "strings are not sorted");
    if (!need_axis(r, n, x.rank, &axis)) return false;
    n->out[0]->type = x;
    n->out[1]->type = type_make(r->graph->ctx, DLVK_I64, x.rank, x.dim);
    return true;
}

/* The result's element type: attribute dtype, or the operands'. Integers of 8 bits may differ in sign. */
static bool product_dtype(Region *r, Node *n, DType *out)
{
    DType a = n->in[0]->type.dtype, b = n->in[1]->type.dtype;
    const Attr *t = node_attr(n, A_DTYPE);
    bool bytes = dtype_is_int(a) && dtype_is_int(b) && dtype_bits(a) == 8 && dtype_bits(b) == 8;
    if (a != b && !(t && bytes)) return infer_fail(r, n, "operands of types %s and %s", dtype_name(a), dtype_name(b));
    if (!dtype_is_float(a) && !dtype_is_int(a)) return infer_fail(r, n, "does not take %s", dtype_name(a));
    if (t && dtype_is_float((DType)t->i) != dtype_is_float(a))
        return infer_fail(r, n, "%s does not accumulate in %s", dtype_name(a), dtype_name((DType)t->i));
    *out = t ? (DType)t->i : a;
    return true;
}

bool infer_dot(Region *r, Node *n)
{
    Context *c = r->graph->ctx;
    Type x = n->in[0]->type, y = n->in[1]->type;
    const Dim *dims[DLVK_MAX_RANK];
    DType out;
    if (x.rank < 2 || y.rank != x.rank)
        return infer_fail(r, n, "operands %s and %s", type_to_string(c->pool, x), type_to_string(c->pool, y));
    if (!product_dtype(r, n, &out)) return false;
    memcpy(dims, x.dim, (size_t)x.rank * sizeof *dims);
    same_dims(c, x.rank - 2, dims, y.dim);
    same_dim(c, x.dim[x.rank - 1], y.dim[x.rank - 2]);
    dims[x.rank - 1] = y.dim[x.rank - 1];
    n->out[0]->type = type_make(c, out, x.rank, dims);
    return true;
}

bool infer_conv(Region *r, Node *n)
{
    Context *c = r->graph->ctx;
    DimTable *t = &c->dims;
    Type x = n->in[0]->type, w = n->in[1]->type;
    int s = x.rank - 2;
    DType out;
    if (s < 0 || w.rank != x.rank)
        return infer_fail(r, n, "operands %s and %s", type_to_string(c->pool, x), type_to_string(c->pool, w));
    if (!product_dtype(r, n, &out)) return false;
    const int64_t *step = need_ints(r, n, A_STEP, s), *dilation = need_ints(r, n, A_DILATION, s);
    const int64_t *in_dilation = need_ints(r, n, A_IN_DILATION, s);
    const Dim *const *lo = need_dims(r, n, A_LO, s), *const *hi = need_dims(r, n, A_HI, s);
    const Dim *dims[DLVK_MAX_RANK];
    if (!step || !dilation || !in_dilation || !lo || !hi) return false;
    int64_t group = attr_i(n, A_GROUP, 1), co;
    if (group < 1 || (dim_is_const(w.dim[s + 1], &co) && co % group))
        return infer_fail(r, n, "%s output channels in %lld groups", dim_to_string(c->pool, w.dim[s + 1]), (long long)group);
    same_dim(c, x.dim[s + 1], dim_mul(t, dim_const(t, group), w.dim[s]));
    dims[0] = x.dim[0];
    dims[s + 1] = w.dim[s + 1];
    for (int i = 0; i < s; i++) {
        if (step[i] < 1 || dilation[i] < 1 || in_dilation[i] < 1)
            return infer_fail(r, n, "step and dilation of spatial axis %d must be positive", i);
        const Dim *one = dim_const(t, 1), *size = x.dim[i + 1];
        if (in_dilation[i] > 1) size = dim_add(t, dim_mul(t, dim_sub(t, size, one), dim_const(t, in_dilation[i])), one);
        size = dim_add(t, size, dim_add(t, lo[i], hi[i]));
        dims[i + 1] = window_dim(t, size, w.dim[i], dilation[i], step[i]);
    }
    n->out[0]->type = type_make(c, out, x.rank, dims);
    return true;
}
