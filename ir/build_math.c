/* Reductions, contractions, and the composites used everywhere. */
#include "ir/build.h"
#include "ir/build_internal.h"

#include <string.h>

/* Reductions. */

/* Removes the axes of the mask, all of size 1 by now. */
static Value *drop_axes(Build *b, Value *x, unsigned mask)
{
    const Dim *shape[DLVK_MAX_RANK];
    int rank = 0;
    if (!x) return NULL;
    for (int i = 0; i < x->type.rank; i++)
        if (!(mask >> i & 1)) shape[rank++] = x->type.dim[i];
    return build_reshape(b, x, rank, shape);
}

Value *build_reduce(Build *b, Kind k, Value *x, int n, const int *axes, bool keep)
{
    unsigned mask;
    int64_t list[DLVK_MAX_RANK];
    int count = 0;
    if (!x || !build_axis_mask(b, n, axes, x->type.rank, &mask)) return NULL;
    for (int i = 0; i < x->type.rank; i++)
        if (mask >> i & 1) list[count++] = i;
    Attr attr[] = {at_i(A_KIND, k), at_ints(A_AXES, count, list)};
    Value *y = build_op(b, OP_REDUCE, 1, &x, 2, attr);
    return keep ? y : drop_axes(b, y, mask);
}

Value *build_mean(Build *b, Value *x, int n, const int *axes, bool keep)
{
    unsigned mask;
    if (!x || !build_axis_mask(b, n, axes, x->type.rank, &mask)) return NULL;
    const Dim *count = dim_const(&b->ctx->dims, 1);
    for (int i = 0; i < x->type.rank; i++)
        if (mask >> i & 1) count = dim_mul(&b->ctx->dims, count, x->type.dim[i]);
    Value *sum = build_reduce(b, KIND_SUM, x, n, axes, keep);
    return build_map2(b, OP_DIV, sum, build_cast(b, build_dims(b, DLVK_I64, -1, &count), x->type.dtype));
}

Value *build_argreduce(Build *b, Kind k, Value *x, int axis, bool last, bool keep)
{
    if (!x || (axis = build_axis(b, axis, x->type.rank)) < 0) return NULL;
    Attr attr[] = {at_i(A_KIND, k), at_i(A_AXIS, axis), at_i(A_LAST, last)};
    Value *y = build_op(b, OP_ARGREDUCE, 1, &x, 3, attr);
    return keep ? y : drop_axes(b, y, 1u << axis);
}

Value *build_cumulate(Build *b, Kind k, Value *x, int axis, bool exclusive, bool reverse)
{
    if (!x || (axis = build_axis(b, axis, x->type.rank)) < 0) return NULL;
    Attr attr[] = {at_i(A_KIND, k), at_i(A_AXIS, axis), at_i(A_EXCLUSIVE, exclusive), at_i(A_REVERSE, reverse)};
    return build_op(b, OP_CUMULATE, 1, &x, 4, attr);
}

static const int64_t ones[DLVK_MAX_RANK] = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1};

Value *build_window(Build *b, Kind k, Value *x, const int64_t *window, const int64_t *step, const int64_t *dilation,
                    const Dim *const *lo, const Dim *const *hi)
{
    if (!x) return NULL;
    int r = x->type.rank;
    Attr attr[] = {at_i(A_KIND, k),
                   at_ints(A_WINDOW, r, window),
                   at_ints(A_STEP, r, step ? step : ones),
                   at_ints(A_DILATION, r, dilation ? dilation : ones),
                   at_dims(A_LO, r, lo ? lo : build_zeros(b, r)),
                   at_dims(A_HI, r, hi ? hi : build_zeros(b, r))};
    return build_op(b, OP_WINDOW, 1, &x, 6, attr);
}

bool build_sort(Build *b, Value *x, int axis, bool descending, Value **values, Value **indices)
{
    *values = *indices = NULL;
    if (!x || (axis = build_axis(b, axis, x->type.rank)) < 0) return false;
    Attr attr[] = {at_i(A_AXIS, axis), at_i(A_DESCENDING, descending)};
    Node *n = build_node(b, OP_SORT, 1, &x, 2, attr, 0, NULL);
    if (!n) return false;
    *values = n->out[0];
    *indices = n->out[1];
    return true;
}

/* Contractions. */

Value *build_dot(Build *b, Value *x, Value *y)
{
    return build_op(b, OP_DOT, 2, (Value *[]){x, y}, 0, NULL);
}

static bool all_ones(Type t, int axes)
{
    for (int i = 0; i < axes; i++)
        if (!dim_is(t.dim[i], 1)) return false;
    return true;
}

/* [batch..., m, k] x [k, n]: one matrix of batch*m rows. */
static Value *matmul_shared(Build *b, Value *x, Value *y)
{
    int r = x->type.rank, s = y->type.rank;
    const Dim *rows = dim_const(&b->ctx->dims, 1), *shape[DLVK_MAX_RANK], *k = x->type.dim[r - 1];
    for (int i = 0; i < r - 1; i++) rows = dim_mul(&b->ctx->dims, rows, shape[i] = x->type.dim[i]);
    x = build_reshape(b, x, 2, (const Dim *[]){rows, k});
    y = build_reshape(b, y, 2, (const Dim *[]){y->type.dim[s - 2], y->type.dim[s - 1]});
    Value *z = build_dot(b, x, y);
    if (!z) return NULL;
    int rank = r > s ? r : s;
    memmove(shape + (rank - r), shape, (size_t)(r - 1) * sizeof *shape);
    for (int i = 0; i < rank - r; i++) shape[i] = dim_const(&b->ctx->dims, 1);
    shape[rank - 1] = z->type.dim[1];
    return build_reshape(b, z, rank, shape);
}

/* x with its batch axes broadcast to those given. */
static Value *with_batch(Build *b, Value *x, int batch, const Dim *const *dims)
{
    const Dim *shape[DLVK_MAX_RANK];
    memcpy(shape, dims, (size_t)batch * sizeof *shape);
    for (int i = 0; i < 2; i++) shape[batch + i] = x->type.dim[x->type.rank - 2 + i];
    return build_broadcast(b, x, batch + 2, shape);
}

static Value *matmul_batched(Build *b, Value *x, Value *y)
{
    const Dim *one = dim_const(&b->ctx->dims, 1), *dims[DLVK_MAX_RANK];
    int rank = x->type.rank > y->type.rank ? x->type.rank : y->type.rank;
    for (int a = 0; a < rank - 2; a++) {
        int xa = a - (rank - x->type.rank), ya = a - (rank - y->type.rank);
        const Dim *p = xa < 0 ? one : x->type.dim[xa], *q = ya < 0 ? one : y->type.dim[ya];
        dims[a] = dim_is(p, 1) ? q : dim_is(q, 1) || dim_is_const(p, NULL) ? p : dim_is_const(q, NULL) ? q : p;
    }
    return build_dot(b, with_batch(b, x, rank - 2, dims), with_batch(b, y, rank - 2, dims));
}

Value *build_matmul(Build *b, Value *x, Value *y)
{
    if (!x || !y) return NULL;
    if (x->type.rank == 0 || y->type.rank == 0) {
        ctx_error(b->ctx, DLVK_INVALID_ARGUMENT, "matmul of a scalar");
        return NULL;
    }
    bool row = x->type.rank == 1, column = y->type.rank == 1;
    if (row) x = build_unsqueeze(b, x, 1, (const int[]){0});
    if (column) y = build_unsqueeze(b, y, 1, (const int[]){1});
    if (!x || !y) return NULL;
    bool shared = all_ones(y->type, y->type.rank - 2);
    Value *z = shared && !(y->type.rank == 2 && x->type.rank == 2) ? matmul_shared(b, x, y) : matmul_batched(b, x, y);
    if (!z) return NULL;
    unsigned drop = (row ? 1u << (z->type.rank - 2) : 0) | (column ? 1u << (z->type.rank - 1) : 0);
    return drop ? drop_axes(b, z, drop) : z;
}

Value *build_conv(Build *b, Value *x, Value *w, const ConvSpec *s)
{
    int n = s->spatial;
    Attr attr[] = {at_ints(A_STEP, n, s->step ? s->step : ones),
                   at_ints(A_DILATION, n, s->dilation ? s->dilation : ones),
                   at_ints(A_IN_DILATION, n, s->in_dilation ? s->in_dilation : ones),
                   at_dims(A_LO, n, s->lo ? s->lo : build_zeros(b, n)),
                   at_dims(A_HI, n, s->hi ? s->hi : build_zeros(b, n)),
                   at_i(A_GROUP, s->group)};
    return build_op(b, OP_CONV, 2, (Value *[]){x, w}, 6, attr);
}

Value *build_conv_nchw(Build *b, Value *x, Value *w, const ConvSpec *s)
{
    int n = s->spatial, to_last[DLVK_MAX_RANK], to_first[DLVK_MAX_RANK], kernel[DLVK_MAX_RANK];
    if (!x || !w) return NULL;
    if (x->type.rank != n + 2 || w->type.rank != n + 2) {
        ctx_error(b->ctx, DLVK_INVALID_ARGUMENT, "convolution of %s with %s over %d spatial axes",
                  type_to_string(b->ctx->pool, x->type), type_to_string(b->ctx->pool, w->type), n);
        return NULL;
    }
    to_last[0] = to_first[0] = 0;
    to_last[n + 1] = 1;
    to_first[1] = n + 1;
    for (int i = 0; i < n; i++) {
        to_last[i + 1] = i + 2;
        to_first[i + 2] = i + 1;
        kernel[i] = i + 2;
    }
    kernel[n] = 1;
    kernel[n + 1] = 0;
    Value *y = build_conv(b, build_transpose(b, x, to_last), build_transpose(b, w, kernel), s);
    return build_transpose(b, y, to_first);
}

/* Composites. */

Value *build_relu(Build *b, Value *x)
{
    return build_map2s(b, OP_MAX, x, 0);
}

Value *build_softmax(Build *b, Value *x, int axis, bool log)
{
    Value *shifted = build_map2(b, OP_SUB, x, build_reduce(b, KIND_MAX, x, 1, &axis, true));
    Value *e = build_map1(b, OP_EXP, shifted);
    Value *sum = build_reduce(b, KIND_SUM, e, 1, &axis, true);
    return log ? build_map2(b, OP_SUB, shifted, build_map1(b, OP_LOG, sum)) : build_map2(b, OP_DIV, e, sum);
}

Value *build_clamp(Build *b, Value *x, Value *lo, Value *hi)
{
    if (lo) x = build_map2(b, OP_MAX, x, lo);
    if (hi) x = build_map2(b, OP_MIN, x, hi);
    return x;
}

Value *build_normalize(Build *b, Value *x, int n, const int *axes, double epsilon, Value **mean, Value **inv_std)
{
    Value *m = build_mean(b, x, n, axes, true);
    Value *d = build_map2(b, OP_SUB, x, m);
    Value *var = build_mean(b, build_map2(b, OP_MUL, d, d), n, axes, true);
    Value *inv = build_map1(b, OP_RSQRT, build_map2s(b, OP_ADD, var, epsilon));
    if (mean) *mean = m;
    if (inv_std) *inv_std = inv;
    return build_map2(b, OP_MUL, d, inv);
}
