/* Adjoints of sources, type changes, movement and markers. */
#include <math.h>

#include "passes/grad_internal.h"

static const Dim *zero(Build *b)
{
    return dim_const(&b->ctx->dims, 0);
}

Value *grad_spread(Build *b, Value *x, int axis, int64_t step)
{
    if (!x || step == 1) return x;
    int rank = x->type.rank, after = axis + 1;
    DimTable *t = &b->ctx->dims;
    const Dim *lo[DLVK_MAX_RANK], *hi[DLVK_MAX_RANK], *shape[DLVK_MAX_RANK];
    for (int i = 0; i <= rank && i < DLVK_MAX_RANK; i++) lo[i] = hi[i] = zero(b);
    if (after < DLVK_MAX_RANK) hi[after] = dim_const(t, step - 1);
    for (int i = 0; i < rank; i++) shape[i] = i == axis ? dim_mul(t, x->type.dim[i], dim_const(t, step)) : x->type.dim[i];
    Value *y = build_unsqueeze(b, x, 1, &after);
    if (y) y = build_pad(b, y, lo, hi, build_scalar(b, y->type.dtype, 0));
    return build_reshape(b, y, rank, shape);
}

/* Sources: nothing before them. Those of integers: nothing gets here. */
void adjoint_const(Adjoint *a)
{
    (void)a;
}
void adjoint_dims(Adjoint *a)
{
    (void)a;
}
void adjoint_iota(Adjoint *a)
{
    (void)a;
}
void adjoint_random(Adjoint *a)
{
    (void)a;
}

/* Floats of 8 bits and less hold what is beyond their range at its end. */
void adjoint_cast(Adjoint *a)
{
    Value *x = a->in[0];
    DType t = x->type.dtype, narrow = a->out[0]->type.dtype;
    a->dx[0] = build_cast(a->b, a->d[0], t);
    if (!dtype_is_float(narrow) || dtype_bits(narrow) > 8 || dtype_bits(t) <= 8) return;
    Value *inside = build_map2s(a->b, OP_LE, build_map1(a->b, OP_ABS, x), dtype_round_f(narrow, INFINITY, true));
    a->dx[0] = where(a->b, inside, a->dx[0]);
}

void adjoint_bitcast(Adjoint *a)
{
    grad_blocked(a, "the bits of a float are not a function with a derivative");
}

void adjoint_reshape(Adjoint *a)
{
    a->dx[0] = reshape_like(a->b, a->d[0], a->in[0]);
}

void adjoint_transpose(Adjoint *a)
{
    const int64_t *perm = attr_ints(a->n, A_PERM);
    int inverse[DLVK_MAX_RANK];
    for (int i = 0; i < a->in[0]->type.rank; i++) inverse[perm[i]] = i;
    a->dx[0] = build_transpose(a->b, a->d[0], inverse);
}

void adjoint_broadcast(Adjoint *a)
{
    Type x = a->in[0]->type, y = a->out[0]->type;
    int axes[DLVK_MAX_RANK], n = 0;
    for (int i = 0; i < x.rank; i++)
        if (dim_is(x.dim[i], 1) && !dim_is(y.dim[i], 1)) axes[n++] = i;
    a->dx[0] = n ? build_reduce(a->b, KIND_SUM, a->d[0], n, axes, true) : a->d[0];
}

/* The elements read, back in their places, zeros around and between. */
void adjoint_slice(Adjoint *a)
{
    Type x = a->in[0]->type, y = a->out[0]->type;
    const Dim *const *start = attr_dims(a->n, A_START), *lo[DLVK_MAX_RANK], *hi[DLVK_MAX_RANK];
    const int64_t *step = attr_ints(a->n, A_STEP);
    DimTable *t = &a->b->ctx->dims;
    Value *d = a->d[0];
    for (int i = 0; i < x.rank; i++) {
        if (dim_is(y.dim[i], 0)) return; /* nothing was read */
        d = grad_spread(a->b, d, i, step[i]);
        const Dim *length = dim_mul(t, y.dim[i], dim_const(t, step[i]));
        lo[i] = start[i];
        hi[i] = dim_sub(t, x.dim[i], dim_add(t, start[i], length));
    }
    a->dx[0] = build_pad(a->b, d, lo, hi, build_scalar(a->b, x.dtype, 0));
}

void adjoint_pad(Adjoint *a)
{
    Build *b = a->b;
    Type x = a->in[0]->type;
    const Dim *const *lo = attr_dims(a->n, A_LO), *const *hi = attr_dims(a->n, A_HI);
    if (wants(a, 0)) a->dx[0] = build_slice(b, a->d[0], lo, x.dim, NULL);
    if (!wants(a, 1)) return;
    Value *padding = build_pad(b, zeros_like(b, a->in[0]), lo, hi, build_scalar(b, x.dtype, 1));
    a->dx[1] = build_reduce(b, KIND_SUM, mul(b, a->d[0], padding), 0, NULL, false);
}

void adjoint_reverse(Adjoint *a)
{
    const Attr *attr = node_attr(a->n, A_AXES);
    int axes[DLVK_MAX_RANK];
    for (int i = 0; i < attr->n; i++) axes[i] = (int)attr->ints[i];
    a->dx[0] = attr->n ? build_reverse(a->b, a->d[0], attr->n, axes) : a->d[0];
}

void adjoint_concat(Adjoint *a)
{
    int axis = (int)attr_i(a->n, A_AXIS, 0);
    const Dim *at = zero(a->b);
    for (int i = 0; i < a->n->n_in; i++) {
        const Dim *size = a->in[i]->type.dim[axis];
        if (wants(a, i)) a->dx[i] = build_slice_axis(a->b, a->d[0], axis, at, size);
        at = dim_add(&a->b->ctx->dims, at, size);
    }
}

void adjoint_stop_gradient(Adjoint *a)
{
    (void)a;
}

void adjoint_barrier(Adjoint *a)
{
    a->dx[0] = a->d[0];
}
