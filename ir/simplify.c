/* Identities and merges of single nodes, applied whenever one is built: movement that moves nothing, chains of movement
 * or exact casts, movement of constants that needs no arithmetic. What looks further than at the operand's own definition is
 * for passes/canonicalize.c. */
#include "ir/build_internal.h"

#include <string.h>

typedef struct Request { /* the node asked for */
    Value *x;            /* its first operand */
    Type t;              /* and that one's type */
    int n_attr;
    const Attr *attr;
} Request;

static const Attr *find(const Request *q, AttrId id)
{
    for (int i = 0; i < q->n_attr; i++)
        if (q->attr[i].id == id) return &q->attr[i];
    return NULL;
}

static bool made_by(const Value *v, Op op)
{
    return v->def && v->def->op == op;
}

/* One element, whatever the rank. */
static bool is_single(const Value *v)
{
    for (int i = 0; i < v->type.rank; i++)
        if (!dim_is(v->type.dim[i], 1)) return false;
    return true;
}

static bool same_shape(Type t, const Attr *shape)
{
    if (!shape || shape->n != t.rank) return false;
    return t.rank == 0 || memcmp(shape->dims, t.dim, (size_t)t.rank * sizeof *t.dim) == 0;
}

/* The data of t under other dims; NULL when they are not constant or do not fit. */
static Value *redim(Build *b, const Tensor *t, int rank, const Dim *const *shape)
{
    int64_t dim[DLVK_MAX_RANK], count = 1;
    for (int i = 0; i < rank; i++) {
        if (!dim_is_const(shape[i], &dim[i]) || dim[i] < 0 || __builtin_mul_overflow(count, dim[i], &count)) return NULL;
    }
    if (count != t->count) return NULL;
    Tensor *u = pool_dup(b->ctx->pool, t, sizeof *t);
    u->rank = rank;
    memcpy(u->dim, dim, (size_t)rank * sizeof *dim);
    return build_const(b, u);
}

static Value *reshape(Build *b, const Request *q)
{
    const Attr *shape = find(q, A_SHAPE);
    const Tensor *t;
    if (!shape || shape->n > DLVK_MAX_RANK) return NULL;
    if (same_shape(q->t, shape)) return q->x;
    if (made_by(q->x, OP_RESHAPE)) return build_reshape(b, q->x->def->in[0], shape->n, shape->dims);
    if (value_const(q->x, &t)) return redim(b, t, shape->n, shape->dims);
    if (made_by(q->x, OP_BROADCAST) && is_single(q->x->def->in[0]))
        return build_broadcast(b, build_reshape(b, q->x->def->in[0], 0, NULL), shape->n, shape->dims);
    return NULL;
}

static Value *transpose(Build *b, const Request *q)
{
    const Attr *perm = find(q, A_PERM);
    const Tensor *t;
    const Dim *dims[DLVK_MAX_RANK];
    int p[DLVK_MAX_RANK], rank = q->t.rank, last = -1;
    bool identity = true, reshapes = true;
    if (!perm || perm->n != rank) return NULL;
    for (int i = 0; i < rank; i++) {
        p[i] = (int)perm->ints[i];
        if (p[i] < 0 || p[i] >= rank) return NULL;
        dims[i] = q->t.dim[p[i]];
        identity &= p[i] == i;
        if (dim_is(dims[i], 1)) continue; /* axes of size 1 move for nothing */
        reshapes &= p[i] > last;
        last = p[i];
    }
    if (identity) return q->x;
    if (reshapes) return build_reshape(b, q->x, rank, dims);
    if (made_by(q->x, OP_TRANSPOSE)) {
        const int64_t *inner = attr_ints(q->x->def, A_PERM);
        for (int i = 0; i < rank; i++) p[i] = (int)inner[p[i]];
        return build_transpose(b, q->x->def->in[0], p);
    }
    if (value_const(q->x, &t) && t->splat) return redim(b, t, rank, dims);
    if (made_by(q->x, OP_BROADCAST)) {
        Value *y = q->x->def->in[0];
        if (is_single(y)) return build_broadcast(b, build_reshape(b, y, 0, NULL), rank, dims);
    }
    return NULL;
}

static Value *broadcast(Build *b, const Request *q)
{
    const Attr *shape = find(q, A_SHAPE);
    if (same_shape(q->t, shape)) return q->x;
    if (!made_by(q->x, OP_BROADCAST)) return NULL;
    return build_op(b, OP_BROADCAST, 1, q->x->def->in, q->n_attr, q->attr);
}

static Value *slice(Build *b, const Request *q)
{
    const Attr *start = find(q, A_START), *shape = find(q, A_SHAPE), *step = find(q, A_STEP);
    int rank = q->t.rank;
    bool whole = true;
    if (!start || !shape || !step || start->n != rank || shape->n != rank || step->n != rank) return NULL;
    for (int i = 0; i < rank; i++)
        whole &= dim_is(start->dims[i], 0) && shape->dims[i] == q->t.dim[i] && (step->ints[i] == 1 || dim_is(q->t.dim[i], 1));
    if (whole) return q->x;
    if (!made_by(q->x, OP_SLICE)) return NULL;
    const Node *inner = q->x->def;
    const Dim *from[DLVK_MAX_RANK];
    int64_t by[DLVK_MAX_RANK];
    for (int i = 0; i < rank; i++) {
        const Dim *stride = dim_const(&b->ctx->dims, attr_ints(inner, A_STEP)[i]);
        from[i] = dim_add(&b->ctx->dims, attr_dims(inner, A_START)[i], dim_mul(&b->ctx->dims, start->dims[i], stride));
        by[i] = attr_ints(inner, A_STEP)[i] * step->ints[i];
    }
    return build_slice(b, inner->in[0], from, shape->dims, by);
}

static Value *pad(const Request *q)
{
    const Attr *lo = find(q, A_LO), *hi = find(q, A_HI);
    if (!lo || !hi) return NULL;
    for (int i = 0; i < lo->n; i++)
        if (!dim_is(lo->dims[i], 0)) return NULL;
    for (int i = 0; i < hi->n; i++)
        if (!dim_is(hi->dims[i], 0)) return NULL;
    return q->x;
}

static Value *reverse(Build *b, const Request *q)
{
    const Attr *axes = find(q, A_AXES);
    unsigned mask = 0, asked = 0;
    if (!axes) return NULL;
    for (int i = 0; i < axes->n; i++) {
        if (axes->ints[i] < 0 || axes->ints[i] >= q->t.rank) return NULL;
        asked |= 1u << axes->ints[i];
        if (!dim_is(q->t.dim[axes->ints[i]], 1)) mask |= 1u << axes->ints[i];
    }
    bool twice = made_by(q->x, OP_REVERSE);
    if (mask == asked && mask && !twice) return NULL;
    Value *x = q->x;
    if (twice) {
        const Attr *inner = node_attr(x->def, A_AXES);
        for (int i = 0; i < inner->n; i++) mask ^= 1u << inner->ints[i];
        x = x->def->in[0];
    }
    int list[DLVK_MAX_RANK], n = 0;
    for (int i = 0; i < q->t.rank; i++)
        if (mask >> i & 1) list[n++] = i;
    return n ? build_reverse(b, x, n, list) : x;
}

static Value *concat(Build *b, const Request *q, int n_in, Value *const *in)
{
    int axis = (int)(find(q, A_AXIS) ? find(q, A_AXIS)->i : -1), n = 0;
    if (n_in == 1 && axis >= 0 && axis < q->t.rank) return q->x;
    if (axis < 0 || axis >= q->t.rank) return NULL;
    Value **kept = POOL_ARRAY(b->ctx->pool, Value *, n_in);
    for (int i = 0; i < n_in; i++)
        if (in[i]->type.rank == q->t.rank && in[i]->type.dtype == q->t.dtype && !dim_is(in[i]->type.dim[axis], 0))
            kept[n++] = in[i];
        else if (in[i]->type.rank != q->t.rank || in[i]->type.dtype != q->t.dtype)
            return NULL;
    if (n == n_in) return NULL;
    return n ? build_concat(b, n, kept, axis) : q->x; /* all are empty: the first is as good as their sum */
}

/* Axes of size 1 need no reduction. */
static Value *reduce(Build *b, const Request *q)
{
    const Attr *axes = find(q, A_AXES), *kind = find(q, A_KIND);
    int list[DLVK_MAX_RANK], n = 0;
    if (!axes || !kind || axes->n > DLVK_MAX_RANK) return NULL;
    for (int i = 0; i < axes->n; i++) {
        if (axes->ints[i] < 0 || axes->ints[i] >= q->t.rank) return NULL;
        if (!dim_is(q->t.dim[axes->ints[i]], 1)) list[n++] = (int)axes->ints[i];
    }
    if (n == 0) return q->x;
    return n < axes->n ? build_reduce(b, (Kind)kind->i, q->x, n, list, true) : NULL;
}

/* Every value of a is one of b. */
static bool lossless(DType a, DType b)
{
    static const struct {
        DType t;
        int mantissa, exponent; /* bits, the leading one included */
    } floats[] = {{DLVK_F64, 53, 11}, {DLVK_F32, 24, 8}, {DLVK_F16, 11, 5}, {DLVK_BF16, 8, 8}};
    DClass ca = dtype_class(a), cb = dtype_class(b);
    int wa = dtype_bits(a), wb = dtype_bits(b), fa = -1, fb = -1;
    if (a == b) return true;
    for (int i = 0; i < 4; i++) {
        if (floats[i].t == a) fa = i;
        if (floats[i].t == b) fb = i;
    }
    if (ca == DC_BOOL) return fb >= 0 || cb == DC_INT || cb == DC_UINT;
    if (fa >= 0 && fb >= 0) return floats[fa].mantissa <= floats[fb].mantissa && floats[fa].exponent <= floats[fb].exponent;
    if (ca == DC_UINT && cb == DC_UINT) return wa <= wb;
    if (ca == DC_INT && cb == DC_INT) return wa <= wb;
    if (ca == DC_UINT && cb == DC_INT) return wa < wb;
    if ((ca == DC_INT || ca == DC_UINT) && fb >= 0)
        return wa <= (ca == DC_INT ? floats[fb].mantissa + 1 : floats[fb].mantissa) && wa <= 32;
    return false;
}

static Value *cast(Build *b, const Request *q)
{
    const Attr *to = find(q, A_DTYPE);
    if (!to) return NULL;
    if (to->i == (int64_t)q->t.dtype) return q->x;
    if (!made_by(q->x, OP_CAST)) return NULL;
    Value *x = q->x->def->in[0];
    DType a = x->type.dtype, mid = q->t.dtype, c = (DType)to->i;
    if (!lossless(a, mid)) return NULL;
    /* an integer that became a float and then an integer again: out of range, the rules differ */
    if (!dtype_is_float(a) && dtype_is_float(mid) && !dtype_is_float(c) && c != DLVK_BOOL && !lossless(a, c)) return NULL;
    return build_op(b, OP_CAST, 1, &x, q->n_attr, q->attr);
}

Value *build_simplify(Build *b, Op op, int n_in, Value *const *in, int n_attr, const Attr *attr)
{
    if (n_in < 1) return NULL;
    Request q = {in[0], in[0]->type, n_attr, attr};
    switch (op) {
    case OP_RESHAPE: return reshape(b, &q);
    case OP_TRANSPOSE: return transpose(b, &q);
    case OP_BROADCAST: return broadcast(b, &q);
    case OP_SLICE: return slice(b, &q);
    case OP_PAD: return pad(&q);
    case OP_REVERSE: return reverse(b, &q);
    case OP_CONCAT: return concat(b, &q, n_in, in);
    case OP_REDUCE: return reduce(b, &q);
    case OP_CAST: return cast(b, &q);
    case OP_BITCAST: return find(&q, A_DTYPE) && find(&q, A_DTYPE)->i == (int64_t)q.t.dtype ? q.x : NULL;
    default: return NULL;
    }
}
