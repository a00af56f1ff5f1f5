/* Contents of small integer tensors as dimension expressions: how Shape/Gather/Concat/Reshape chains vanish at compile time.
 *
 * Every value of at most IR_MAX_ELEMS elements (and constant shape) made by the ops below from operands of known contents has
 * known contents, whatever its rank. Booleans count, as 0 and 1. A rule gives up (NULL) where the exact result is no dim
 * expression. Values are taken to fit their type, as sizes do. */
#include "ir/ir.h"

#include <string.h>

typedef const Dim *const *Elems;

typedef struct Shape {
    int rank;
    int64_t dim[DLVK_MAX_RANK], count;
} Shape;

static bool small_shape(Type t, Shape *s)
{
    DClass cls = dtype_class(t.dtype);
    if (cls != DC_INT && cls != DC_UINT && cls != DC_BOOL) return false;
    s->rank = t.rank;
    s->count = 1;
    if (!type_static(t, s->dim)) return false;
    for (int i = 0; i < t.rank; i++) {
        if (s->dim[i] < 0 || s->dim[i] > IR_MAX_ELEMS) return false;
        s->count *= s->dim[i];
        if (s->count > IR_MAX_ELEMS) return false;
    }
    return true;
}

static bool fits(DType t, int64_t v)
{
    int bits = dtype_bits(t);
    if (dtype_class(t) == DC_BOOL) return v == 0 || v == 1;
    if (dtype_class(t) == DC_UINT) return v >= 0 && (bits >= 63 || v < (int64_t)1 << bits);
    return bits >= 64 || (v >= -((int64_t)1 << (bits - 1)) && v < (int64_t)1 << (bits - 1));
}

/* Coordinates of flat index i. */
static void unravel(const Shape *s, int64_t i, int64_t *at)
{
    for (int a = s->rank - 1; a >= 0; a--) {
        at[a] = i % s->dim[a];
        i /= s->dim[a];
    }
}

static int64_t ravel(const Shape *s, const int64_t *at)
{
    int64_t i = 0;
    for (int a = 0; a < s->rank; a++) i = i * s->dim[a] + at[a];
    return i;
}

/* Truth of a relation between two dims: 1, 0, or -1 where it depends on the sizes. */
static int compare(DimTable *t, Op op, const Dim *a, const Dim *b)
{
    int64_t lo, hi;
    dim_range(dim_sub(t, a, b), &lo, &hi);
    switch (op) {
    case OP_EQ: return a == b ? 1 : lo > 0 || hi < 0 ? 0 : -1;
    case OP_NE: return a == b ? 0 : lo > 0 || hi < 0 ? 1 : -1;
    case OP_LT: return hi < 0 ? 1 : lo >= 0 ? 0 : -1;
    case OP_LE: return hi <= 0 ? 1 : lo > 0 ? 0 : -1;
    case OP_GT: return lo > 0 ? 1 : hi <= 0 ? 0 : -1;
    case OP_GE: return lo >= 0 ? 1 : hi < 0 ? 0 : -1;
    default: return -1;
    }
}

/* Dims divide rounding down, these ops (but for mod) towards zero: the same where the sign of the dividend is known, or
 * nothing remains. Sizes that may be 0 divide as well: what a division by 0 gives, ONNX leaves open. */
static const Dim *divide(DimTable *t, Op op, const Dim *a, const Dim *b)
{
    int64_t alo, ahi, blo, bhi, x, y;
    if (dim_is(b, 0)) return op == OP_MOD ? NULL : dim_const(t, 0);
    if (dim_is_const(a, &x) && dim_is_const(b, &y) && y != -1 && op != OP_MOD) return dim_const(t, op == OP_DIV ? x / y : x % y);
    dim_range(a, &alo, &ahi);
    dim_range(b, &blo, &bhi);
    if (blo < 0) return NULL;
    if (blo == 0) b = dim_max(t, b, dim_const(t, 1));
    if (op == OP_MOD || alo >= 0 || dim_is(dim_mod(t, a, b), 0)) return op == OP_DIV ? dim_floordiv(t, a, b) : dim_mod(t, a, b);
    if (ahi > 0) return NULL;
    a = dim_neg(t, a);
    return dim_neg(t, op == OP_DIV ? dim_floordiv(t, a, b) : dim_mod(t, a, b));
}

static const Dim *point(DimTable *t, Op op, DType type, const Dim *const *x)
{
    const Dim *a = x[0], *b = x[1];
    int64_t lo, hi, u, v;
    bool is_bool = dtype_class(type) == DC_BOOL;
    switch (op) {
    case OP_ADD: return dim_add(t, a, b);
    case OP_SUB: return dim_sub(t, a, b);
    case OP_MUL: return dim_mul(t, a, b);
    case OP_DIV:
    case OP_REM:
    case OP_MOD: return divide(t, op, a, b);
    case OP_MAX: return dim_max(t, a, b);
    case OP_MIN: return dim_min(t, a, b);
    case OP_NEG: return dim_neg(t, a);
    case OP_ABS: dim_range(a, &lo, &hi); return lo >= 0 ? a : hi <= 0 ? dim_neg(t, a) : NULL;
    case OP_SIGN:
        dim_range(a, &lo, &hi);
        return lo > 0 ? dim_const(t, 1) : hi < 0 ? dim_const(t, -1) : lo == 0 && hi == 0 ? a : NULL;
    case OP_EQ:
    case OP_NE:
    case OP_LT:
    case OP_LE:
    case OP_GT:
    case OP_GE: {
        int truth = compare(t, op, a, b);
        return truth < 0 ? NULL : dim_const(t, truth);
    }
    case OP_AND:
    case OP_OR:
    case OP_XOR:
        if (!dim_is_const(a, &u) || !dim_is_const(b, &v)) return NULL;
        return dim_const(t, op == OP_AND ? u & v : op == OP_OR ? u | v : u ^ v);
    case OP_NOT: return is_bool && dim_is_const(a, &u) ? dim_const(t, !u) : NULL;
    case OP_SELECT: return dim_is_const(a, &u) ? x[u ? 1 : 2] : b == x[2] ? b : NULL;
    default: return NULL;
    }
}

static const Dim *fold_kind(DimTable *t, Kind k, const Dim *a, const Dim *b)
{
    switch (k) {
    case KIND_SUM: return dim_add(t, a, b);
    case KIND_PROD: return dim_mul(t, a, b);
    case KIND_MAX: return a ? dim_max(t, a, b) : b;
    case KIND_MIN: return a ? dim_min(t, a, b) : b;
    default: return NULL;
    }
}

/* One element after the other into y; false where a rule gives up. */
static bool reduce(DimTable *t, const Node *n, const Shape *from, const Shape *to, const Dim **y)
{
    Kind k = (Kind)attr_i(n, A_KIND, -1);
    int64_t at[DLVK_MAX_RANK];
    if (k != KIND_SUM && k != KIND_PROD && k != KIND_MAX && k != KIND_MIN) return false;
    for (int64_t i = 0; i < to->count; i++) y[i] = k == KIND_SUM || k == KIND_PROD ? dim_const(t, k == KIND_PROD) : NULL;
    for (int64_t i = 0; i < from->count; i++) {
        unravel(from, i, at);
        for (int a = 0; a < from->rank; a++)
            if (to->dim[a] == 1) at[a] = 0;
        int64_t j = ravel(to, at);
        y[j] = fold_kind(t, k, y[j], n->in[0]->elems[i]);
    }
    for (int64_t i = 0; i < to->count; i++)
        if (!y[i]) return false;
    return true;
}

/* Where element `at` of the result of a movement op comes from in its operand; -1: from the padding value. */
static int64_t moved_from(const Node *n, const Shape *from, int64_t *at)
{
    const int64_t *ints;
    int64_t to[DLVK_MAX_RANK], v;
    switch (n->op) {
    case OP_TRANSPOSE:
        ints = attr_ints(n, A_PERM);
        memcpy(to, at, sizeof to);
        for (int a = 0; a < from->rank; a++) at[ints[a]] = to[a];
        break;
    case OP_BROADCAST:
        for (int a = 0; a < from->rank; a++)
            if (from->dim[a] == 1) at[a] = 0;
        break;
    case OP_SLICE:
        ints = attr_ints(n, A_STEP);
        for (int a = 0; a < from->rank; a++) {
            if (!dim_is_const(attr_dims(n, A_START)[a], &v)) return -2;
            at[a] = v + at[a] * ints[a];
        }
        break;
    case OP_PAD:
        for (int a = 0; a < from->rank; a++) {
            if (!dim_is_const(attr_dims(n, A_LO)[a], &v)) return -2;
            at[a] -= v;
            if (at[a] < 0 || at[a] >= from->dim[a]) return -1;
        }
        break;
    case OP_REVERSE:
        ints = attr_ints(n, A_AXES);
        for (int i = 0; i < node_attr(n, A_AXES)->n; i++) at[ints[i]] = from->dim[ints[i]] - 1 - at[ints[i]];
        break;
    default: return -2;
    }
    for (int a = 0; a < from->rank; a++)
        if (at[a] < 0 || at[a] >= from->dim[a]) return -2;
    return ravel(from, at);
}

static bool move(const Node *n, const Shape *from, const Shape *to, const Dim **y)
{
    int64_t at[DLVK_MAX_RANK] = {0};
    for (int64_t i = 0; i < to->count; i++) {
        unravel(to, i, at);
        int64_t j = moved_from(n, from, at);
        if (j < -1 || (j == -1 && !n->in[1]->elems)) return false;
        y[i] = j < 0 ? n->in[1]->elems[0] : n->in[0]->elems[j];
    }
    return true;
}

static bool concat(const Node *n, const Shape *to, const Dim **y)
{
    int axis = (int)attr_i(n, A_AXIS, 0);
    int64_t at[DLVK_MAX_RANK] = {0};
    for (int64_t i = 0; i < to->count; i++) {
        unravel(to, i, at);
        for (int k = 0; k < n->n_in; k++) {
            Shape from;
            if (!n->in[k]->elems || !small_shape(n->in[k]->type, &from)) return false;
            for (int a = 0; a < from.rank; a++)
                if (a != axis && at[a] >= from.dim[a]) return false; /* an error is recorded */
            if (at[axis] < from.dim[axis]) {
                y[i] = n->in[k]->elems[ravel(&from, at)];
                break;
            }
            at[axis] -= from.dim[axis];
        }
        if (!y[i]) return false;
    }
    return true;
}

static bool gather(const Node *n, const Shape *from, const Shape *to, const Dim **y)
{
    int axis = (int)attr_i(n, A_AXIS, 0);
    const Value *idx = n->in[1];
    Shape is;
    int64_t at[DLVK_MAX_RANK] = {0}, src[DLVK_MAX_RANK] = {0}, v;
    if (!idx->elems || !small_shape(idx->type, &is) || from->dim[axis] < 1) return false;
    for (int64_t i = 0; i < to->count; i++) {
        unravel(to, i, at);
        if (!dim_is_const(idx->elems[ravel(&is, at + axis)], &v)) return false;
        v = v < 0 ? 0 : v >= from->dim[axis] ? from->dim[axis] - 1 : v;
        for (int a = 0; a < from->rank; a++) src[a] = a < axis ? at[a] : a == axis ? v : at[a + is.rank - 1];
        y[i] = n->in[0]->elems[ravel(from, src)];
    }
    return true;
}

static bool constant(DimTable *t, const Tensor *x, const Shape *to, const Dim **y)
{
    for (int64_t i = 0; i < to->count; i++) y[i] = dim_const(t, elem_get_i(x->dtype, x->data, x->splat ? 0 : i));
    return true;
}

/* A cast keeps values that surely fit; to bool it keeps what is surely 0 or not. */
static bool cast(DimTable *t, const Node *n, const Shape *to, const Dim **y)
{
    DType out = n->out[0]->type.dtype;
    for (int64_t i = 0; i < to->count; i++) {
        const Dim *x = n->in[0]->elems[i];
        int64_t lo, hi;
        dim_range(x, &lo, &hi);
        if (dtype_class(out) == DC_BOOL) {
            if (lo <= 0 && hi >= 0 && !dim_is(x, 0)) return false;
            x = dim_const(t, !dim_is(x, 0));
        } else if (dtype_bits(out) < 64 && !(fits(out, lo) && fits(out, hi)) && !(out == DLVK_I32 && !dim_is_const(x, NULL))) {
            return false; /* sizes are taken to fit 32 bits */
        }
        y[i] = x;
    }
    return true;
}

static bool apply(Context *c, const Node *n, const Shape *to, const Dim **y)
{
    DimTable *t = &c->dims;
    Shape from = {0};
    if (n->op == OP_CONST) return constant(t, node_attr(n, A_VALUE)->tensor, to, y);
    if (n->op == OP_DIMS) {
        memcpy(y, attr_dims(n, A_VALUES), (size_t)to->count * sizeof *y);
        return true;
    }
    if (n->op == OP_IOTA) {
        int64_t at[DLVK_MAX_RANK] = {0};
        for (int64_t i = 0; i < to->count; i++) {
            unravel(to, i, at);
            y[i] = dim_const(t, at[attr_i(n, A_AXIS, 0)]);
        }
        return true;
    }
    if (n->op == OP_CONCAT) return concat(n, to, y);
    if (n->n_in < 1) return false;
    if (op_info[n->op].point) {
        for (int k = 0; k < n->n_in; k++) /* of other shapes, where an error is recorded */
            if (!n->in[k]->elems || !small_shape(n->in[k]->type, &from) || from.count != to->count) return false;
        for (int64_t i = 0; i < to->count; i++) {
            const Dim *x[3] = {0};
            for (int k = 0; k < n->n_in; k++) x[k] = n->in[k]->elems[i];
            if (!(y[i] = point(t, n->op, n->out[0]->type.dtype, x))) return false;
        }
        return true;
    }
    if (!n->in[0]->elems || !small_shape(n->in[0]->type, &from)) return false;
    switch (n->op) {
    case OP_RESHAPE:
    case OP_STOP_GRADIENT:
        if (from.count != to->count) return false;
        memcpy(y, n->in[0]->elems, (size_t)to->count * sizeof *y);
        return true;
    case OP_CAST: return cast(t, n, to, y);
    case OP_REDUCE: return reduce(t, n, &from, to, y);
    case OP_GATHER: return gather(n, &from, to, y);
    case OP_TRANSPOSE:
    case OP_BROADCAST:
    case OP_SLICE:
    case OP_PAD:
    case OP_REVERSE: return move(n, &from, to, y);
    default: return false;
    }
}

const Dim *const *node_elems(Context *c, const Node *n)
{
    Shape to;
    if (n->n_out != 1 || !small_shape(n->out[0]->type, &to)) return NULL;
    const Dim *y[IR_MAX_ELEMS] = {0};
    if (!apply(c, n, &to, y)) return NULL;
    for (int64_t i = 0; i < to.count; i++) {
        int64_t v; /* constants that wrap are the evaluator's to fold */
        if (dim_is_const(y[i], &v) && !fits(n->out[0]->type.dtype, v)) return NULL;
    }
    return pool_dup(c->pool, y, (size_t)to.count * sizeof *y);
}
