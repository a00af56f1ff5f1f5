/* Making nodes: the generic forms, sources and pointwise ops. Movement is in build_move.c, reductions and contractions in
 * build_math.c, contents in build_contents.c, the identities in simplify.c. */
#include "ir/build.h"
#include "ir/build_internal.h"
#include "ir/infer.h"

#include <string.h>

Node *build_node(Build *b, Op op, int n_in, Value *const *in, int n_attr, const Attr *attr, int n_region, Region *const *region)
{
    for (int i = 0; i < n_in; i++)
        if (!in[i]) return NULL;
    bool share = b->cse && n_region == 0 && op != OP_BARRIER && op_info[op].n_out > 0;
    Node *n = share ? cse_find(b->cse, b->at, op, n_in, in, n_attr, attr) : NULL;
    if (n) return n;
    n = node_new(b->at, op, n_in, in, n_attr, attr, n_region, region);
    if (n && share) cse_add(b->cse, n);
    return n;
}

static Value *only(Node *n)
{
    return n ? n->out[0] : NULL;
}

Value *build_elems(Build *b, Type t, const Dim *const *elems)
{
    Pool *p = b->ctx->pool;
    int64_t dim[DLVK_MAX_RANK], count = 1;
    type_static(t, dim);
    for (int i = 0; i < t.rank; i++) count *= dim[i];
    bool constant = true, equal = count > 1;
    for (int64_t i = 0; i < count; i++) {
        constant &= dim_is_const(elems[i], NULL);
        equal &= elems[i] == elems[0];
    }
    if (constant) {
        void *data = pool_alloc(p, (size_t)dtype_bytes(t.dtype, count));
        for (int64_t i = 0; i < count; i++) elem_set_i(t.dtype, data, i, elems[i]->value);
        Tensor *whole = pool_dup(p, tensor_new(p, t.dtype, t.rank, dim, data), sizeof *whole);
        if ((whole->splat = equal)) whole->bytes = (size_t)dtype_bytes(t.dtype, 1);
        return build_const(b, whole);
    }
    const Dim *len = dim_const(&b->ctx->dims, count);
    Attr attr[] = {at_dims(A_VALUES, (int)count, elems), at_i(A_DTYPE, t.dtype), at_dims(A_SHAPE, t.rank ? 1 : 0, &len)};
    Value *x = only(build_node(b, OP_DIMS, 0, NULL, 3, attr, 0, NULL));
    if (t.rank <= 1) return x;
    Attr shape = at_dims(A_SHAPE, t.rank, t.dim);
    return only(build_node(b, OP_RESHAPE, 1, &x, 1, &shape, 0, NULL));
}

Value *build_op(Build *b, Op op, int n_in, Value *const *in, int n_attr, const Attr *attr)
{
    for (int i = 0; i < n_in; i++)
        if (!in[i]) return NULL;
    Value *v = build_simplify(b, op, n_in, in, n_attr, attr);
    if (v) return v;
    v = only(build_node(b, op, n_in, in, n_attr, attr, 0, NULL));
    if (!v || !v->elems || op == OP_CONST || op == OP_DIMS) return v;
    if (op == OP_RESHAPE && in[0]->def && in[0]->def->op == OP_DIMS) return v; /* of rank 2 and up: as build_elems makes it */
    return build_elems(b, v->type, v->elems);
}

/* Sources. */

Value *build_const(Build *b, const Tensor *t)
{
    if (!t) return NULL;
    return only(build_node(b, OP_CONST, 0, NULL, 1, &(Attr){.id = A_VALUE, .tensor = t}, 0, NULL));
}

static Value *scalar(Build *b, DType t, double x, int64_t i, bool as_int)
{
    if (t == DLVK_STRING && (as_int ? i == 0 : x == 0)) return build_str(b, ""); /* what pads, and fills */
    if (t == DLVK_STRING) {
        ctx_error(b->ctx, DLVK_UNSUPPORTED, "a number among strings");
        return NULL;
    }
    void *data = pool_alloc(b->ctx->pool, (size_t)dtype_bytes(t, 1));
    if (as_int)
        elem_set_i(t, data, 0, i);
    else
        elem_set_f(t, data, 0, x);
    return build_const(b, tensor_new(b->ctx->pool, t, 0, NULL, data));
}

Value *build_scalar(Build *b, DType t, double x)
{
    if (dtype_is_float(t)) return scalar(b, t, x, 0, false);
    return build_scalar_i(b, t, x >= 0x1p63 ? INT64_MAX : x <= -0x1p63 ? INT64_MIN : x != x ? 0 : (int64_t)x);
}

Value *build_scalar_i(Build *b, DType t, int64_t x)
{
    return dtype_is_float(t) ? scalar(b, t, (double)x, 0, false) : scalar(b, t, 0, x, true);
}

Value *build_full(Build *b, Type t, double x)
{
    return build_broadcast(b, build_scalar(b, t.dtype, x), t.rank, t.dim);
}

Value *build_ints(Build *b, int n, const int64_t *x)
{
    int64_t len = n;
    return build_const(b, tensor_new(b->ctx->pool, DLVK_I64, 1, &len, pool_dup(b->ctx->pool, x, (size_t)n * sizeof *x)));
}

Value *build_dims(Build *b, DType t, int n, const Dim *const *d)
{
    if (dtype_is_float(t)) return build_cast(b, build_dims(b, DLVK_I64, n, d), t);
    const Dim *len = dim_const(&b->ctx->dims, n < 0 ? 1 : n);
    for (int i = 0; i < (n < 0 ? 1 : n); i++)
        if (!d[i]) return NULL;
    if (!dtype_is_int(t)) return build_cast(b, build_dims(b, DLVK_I64, n, d), t);
    return build_elems(b, type_make(b->ctx, t, n < 0 ? 0 : 1, &len), d);
}

Value *build_iota(Build *b, DType t, int rank, const Dim *const *shape, int axis)
{
    axis = build_axis(b, axis, rank);
    if (axis < 0) return NULL;
    Attr attr[] = {at_dims(A_SHAPE, rank, shape), at_i(A_AXIS, axis), at_i(A_DTYPE, t)};
    return build_op(b, OP_IOTA, 0, NULL, 3, attr);
}

/* Pointwise. */

Value *build_point(Build *b, Op op, int n, Value *const *in)
{
    return build_op(b, op, n, in, 0, NULL);
}

bool build_common_shape(Build *b, int n, Value *const *in, int *rank, const Dim **dims)
{
    *rank = 0;
    for (int i = 0; i < n; i++) {
        if (!in[i]) return false;
        if (in[i]->type.rank > *rank) *rank = in[i]->type.rank;
    }
    for (int a = 0; a < *rank; a++) dims[a] = dim_const(&b->ctx->dims, 1);
    for (int i = 0; i < n; i++) {
        Type t = in[i]->type;
        for (int a = 0; a < t.rank; a++) {
            const Dim **d = &dims[a + *rank - t.rank];
            if (dim_is(t.dim[a], 1)) continue;
            *d = dim_is(*d, 1) ? t.dim[a] : same_dim(b->ctx, *d, t.dim[a]);
        }
    }
    return true;
}

/* Of the rank, and no axis to repeat: dims that differ are constrained to be equal. */
static bool fits_shape(const Value *x, int rank, const Dim *const *dims)
{
    if (x->type.rank != rank) return false;
    for (int a = 0; a < rank; a++)
        if (dim_is(x->type.dim[a], 1) && !dim_is(dims[a], 1)) return false;
    return true;
}

Value *build_map(Build *b, Op op, int n, Value *const *in)
{
    const Dim *dims[DLVK_MAX_RANK];
    Value *x[3];
    int rank;
    if (!build_common_shape(b, n, in, &rank, dims)) return NULL;
    for (int i = 0; i < n; i++) x[i] = fits_shape(in[i], rank, dims) ? in[i] : build_broadcast(b, in[i], rank, dims);
    return build_point(b, op, n, x);
}

Value *build_map1(Build *b, Op op, Value *x)
{
    return build_point(b, op, 1, &x);
}
Value *build_map2(Build *b, Op op, Value *x, Value *y)
{
    return build_map(b, op, 2, (Value *[]){x, y});
}
Value *build_map3(Build *b, Op op, Value *x, Value *y, Value *z)
{
    return build_map(b, op, 3, (Value *[]){x, y, z});
}

Value *build_map2s(Build *b, Op op, Value *x, double y)
{
    return x ? build_map2(b, op, x, build_scalar(b, x->type.dtype, y)) : NULL;
}

Value *build_cast_sat(Build *b, Value *x, DType t, bool saturate)
{
    bool fp8 = dtype_is_float(t) && dtype_bits(t) <= 8;
    Attr attr[] = {at_i(A_DTYPE, t), at_i(A_SATURATE, 0)};
    return build_op(b, OP_CAST, 1, &x, fp8 && !saturate ? 2 : 1, attr); /* saturating is the default */
}

Value *build_cast(Build *b, Value *x, DType t)
{
    return build_cast_sat(b, x, t, true);
}

Value *build_bitcast(Build *b, Value *x, DType t)
{
    Attr attr = at_i(A_DTYPE, t);
    return build_op(b, OP_BITCAST, 1, &x, 1, &attr);
}

/* The type of whole bytes that has all values of t. */
static DType whole_bytes(DType t)
{
    if (dtype_bits(t) >= 8) return t;
    return dtype_is_float(t) ? DLVK_F8E4M3FN : dtype_class(t) == DC_INT ? DLVK_I8 : DLVK_U8;
}

Value **build_loop(Build *b, Value *trips, Value *go_on, int n, Value *const *init, Region *body)
{
    Pool *p = b->ctx->pool;
    Build inner = {.ctx = b->ctx, .at = body};
    Value **in = POOL_ARRAY(p, Value *, n + 2), **out = POOL_ARRAY(p, Value *, body->results.n);
    DType *type = POOL_ARRAY(p, DType, body->results.n);
    in[0] = trips;
    in[1] = go_on;
    for (int i = 0; i < n; i++) in[2 + i] = init[i];
    for (int i = 1; i < body->results.n; i++) {
        Value **v = &body->results.at[i];
        if (!*v) return NULL;
        type[i - 1] = (*v)->type.dtype;
        if (i > n) *v = build_cast(&inner, *v, whole_bytes(type[i - 1]));
    }
    Node *loop = build_node(b, OP_LOOP, n + 2, in, 0, NULL, 1, &body);
    if (!loop) return NULL;
    for (int i = 0; i < loop->n_out; i++) out[i] = i < n ? loop->out[i] : build_cast(b, loop->out[i], type[i]);
    return out;
}
