/* Adjoints of gather and scatter. Duplicate indices: what was read twice gets two contributions, what was overwritten gets none.
 */
#include "passes/grad_internal.h"

static Value *clamped(Build *b, Value *index, const Dim *n)
{
    const Dim *last = dim_sub(&b->ctx->dims, n, dim_const(&b->ctx->dims, 1));
    index = build_cast(b, index, DLVK_I64);
    index = build_map2(b, OP_MAX, index, build_scalar_i(b, DLVK_I64, 0));
    return build_map2(b, OP_MIN, index, build_dims(b, DLVK_I64, -1, &last));
}

/* [a..., i..., c...] to [i..., a..., c...]: `moved` axes from `from` on come to the front. Back again: front = false. */
static Value *move_axes(Build *b, Value *x, int from, int moved, bool front)
{
    int perm[DLVK_MAX_RANK] = {0};
    if (!x) return NULL;
    for (int i = 0; i < x->type.rank; i++) {
        int before = i < moved ? from + i : i < from + moved ? i - moved : i;
        if (front)
            perm[i] = before;
        else
            perm[before] = i;
    }
    return build_transpose(b, x, perm);
}

void adjoint_gather(Adjoint *a)
{
    Build *b = a->b;
    Value *x = a->in[0], *index = a->in[1];
    int axis = (int)attr_i(a->n, A_AXIS, 0), rank = x->type.rank;
    const Dim *rows[DLVK_MAX_RANK], *into[DLVK_MAX_RANK], *count = type_count(b->ctx, index->type);
    if (!wants(a, 0)) return;
    Value *d = move_axes(b, a->d[0], axis, index->type.rank, true);
    rows[0] = count;
    into[0] = x->type.dim[axis];
    for (int i = 1; i < rank; i++) rows[i] = into[i] = x->type.dim[i <= axis ? i - 1 : i];
    d = build_reshape(b, d, rank, rows);
    index = build_reshape(b, clamped(b, index, x->type.dim[axis]), 1, &count);
    Value *none = build_full(b, type_make(b->ctx, x->type.dtype, rank, into), 0);
    a->dx[0] = move_axes(b, build_scatter(b, KIND_SUM, none, index, d), axis, 1, false);
}

Value *grad_take_along(Build *b, Value *x, Value *index, int axis)
{
    DimTable *t = &b->ctx->dims;
    int last = x->type.rank - 1;
    Value *front_x = move_axes(b, x, axis, 1, true), *front_i = move_axes(b, index, axis, 1, true);
    const Dim *n = x->type.dim[axis], *count = type_count(b->ctx, x->type), *lanes = dim_const(t, 1);
    for (int i = 0; i <= last; i++)
        if (i != axis) lanes = dim_mul(t, lanes, x->type.dim[i]);
    front_i = build_reshape(b, front_i, 2, (const Dim *[]){n, lanes});
    Value *lane = build_iota(b, DLVK_I64, 2, (const Dim *[]){dim_const(t, 1), lanes}, 1);
    Value *flat = add(b, mul(b, front_i, build_dims(b, DLVK_I64, -1, &lanes)), lane);
    Value *y = build_gather(b, build_reshape(b, front_x, 1, &count), flat, 0);
    if (!y || !front_x) return NULL;
    return move_axes(b, reshape_like(b, y, front_x), axis, 1, false);
}

/* A condition a row, [m], as [m, 1, ...] for the updates' rank. */
static Value *by_row(Build *b, Value *rows, int rank)
{
    const Dim *shape[DLVK_MAX_RANK];
    if (!rows) return NULL;
    for (int i = 0; i < rank; i++) shape[i] = i ? dim_const(&b->ctx->dims, 1) : rows->type.dim[0];
    return build_reshape(b, rows, rank, shape);
}

/* Updates whose index lies within the data. */
static Value *in_range(Build *b, Value *index, const Dim *n)
{
    Value *i = build_cast(b, index, DLVK_I64), *end = build_dims(b, DLVK_I64, -1, &n);
    return build_map2(b, OP_AND, build_map2(b, OP_GE, i, build_scalar_i(b, DLVK_I64, 0)), build_map2(b, OP_LT, i, end));
}

/* Which row of the updates was written last to each row of the data; -1: none. */
static Value *writers(Build *b, Value *index, const Dim *n)
{
    Value *none = build_full(b, type_make(b->ctx, DLVK_I64, 1, &n), -1);
    return build_scatter(b, KIND_SET, none, index, build_iota(b, DLVK_I64, 1, index->type.dim, 0));
}

static void scatter_set(Adjoint *a, Value *rows, Value *valid)
{
    Build *b = a->b;
    Value *x = a->in[0], *index = a->in[1];
    int rank = x->type.rank;
    Value *writer = writers(b, index, x->type.dim[0]);
    if (!writer) return;
    if (wants(a, 0)) a->dx[0] = where(b, by_row(b, build_map2s(b, OP_LT, writer, 0), rank), a->d[0]);
    if (!wants(a, 2)) return;
    Value *me = build_iota(b, DLVK_I64, 1, index->type.dim, 0);
    Value *won = build_map2(b, OP_EQ, build_gather(b, writer, rows, 0), me);
    a->dx[2] = where(b, by_row(b, build_map2(b, OP_AND, won, valid), rank), build_gather(b, a->d[0], rows, 0));
}

/* The product of the others, for elements v of those multiplied: `nonzero` is the product of all that are not zero, `zeros` the
 * number of the rest. */
static Value *without(Build *b, Value *v, Value *nonzero, Value *zeros)
{
    DType t = v->type.dtype;
    Value *is_zero = build_map2s(b, OP_EQ, v, 0);
    Value *own = build_map3(b, OP_SELECT, is_zero, build_scalar(b, t, 1), v);
    Value *other_zeros = build_map2(b, OP_SUB, zeros, build_cast(b, is_zero, t));
    return where(b, build_map2s(b, OP_EQ, other_zeros, 0), build_map2(b, OP_DIV, nonzero, own));
}

static void scatter_prod(Adjoint *a, Value *rows, Value *valid)
{
    Build *b = a->b;
    Value *x = a->in[0], *index = a->in[1], *u = a->in[2];
    DType t = x->type.dtype;
    Value *one = build_scalar(b, t, 1), *x0 = build_map2s(b, OP_EQ, x, 0), *u0 = build_map2s(b, OP_EQ, u, 0);
    Value *zeros = build_scatter(b, KIND_SUM, build_cast(b, x0, t), index, build_cast(b, u0, t));
    Value *nonzero =
        build_scatter(b, KIND_PROD, build_map3(b, OP_SELECT, x0, one, x), index, build_map3(b, OP_SELECT, u0, one, u));
    if (wants(a, 0)) a->dx[0] = mul(b, a->d[0], without(b, x, nonzero, zeros));
    if (!wants(a, 2)) return;
    Value *others = without(b, u, build_gather(b, nonzero, rows, 0), build_gather(b, zeros, rows, 0));
    a->dx[2] = where(b, valid, mul(b, build_gather(b, a->d[0], rows, 0), others));
}

/* Equal extremes share it. */
static void scatter_extreme(Adjoint *a, Value *rows, Value *valid)
{
    Build *b = a->b;
    Value *x = a->in[0], *index = a->in[1], *u = a->in[2], *y = a->out[0];
    DType t = x->type.dtype;
    Value *x_hit = build_cast(b, build_map2(b, OP_EQ, x, y), t);
    Value *u_hit = build_cast(b, build_map2(b, OP_EQ, u, build_gather(b, y, rows, 0)), t);
    Value *share = build_map2(b, OP_DIV, a->d[0], build_scatter(b, KIND_SUM, x_hit, index, u_hit));
    if (wants(a, 0)) a->dx[0] = mul(b, x_hit, share);
    if (wants(a, 2)) a->dx[2] = where(b, valid, mul(b, u_hit, build_gather(b, share, rows, 0)));
}

void adjoint_scatter(Adjoint *a)
{
    Build *b = a->b;
    const Dim *n = a->in[0]->type.dim[0];
    int rank = a->in[0]->type.rank;
    Value *rows = clamped(b, a->in[1], n), *valid = in_range(b, a->in[1], n);
    switch ((Kind)attr_i(a->n, A_KIND, KIND_SET)) {
    case KIND_SET: scatter_set(a, rows, valid); return;
    case KIND_SUM:
        a->dx[0] = a->d[0];
        if (wants(a, 2)) a->dx[2] = where(b, by_row(b, valid, rank), build_gather(b, a->d[0], rows, 0));
        return;
    case KIND_PROD: scatter_prod(a, rows, by_row(b, valid, rank)); return;
    default: scatter_extreme(a, rows, by_row(b, valid, rank)); return;
    }
}

void adjoint_compact(Adjoint *a)
{
    (void)a; /* integers */
}
void adjoint_read_dims(Adjoint *a)
{
    (void)a;
}
void adjoint_host(Adjoint *a)
{
    (void)a; /* text and images: steps, where there are numbers at all */
}
