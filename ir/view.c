/* Views; see view.h. */
#include "ir/view.h"

Value *view_step(const Value *v, double *factor)
{
    const Node *n = v->def;
    double c;
    if (!n) return NULL;
    switch (n->op) {
    case OP_TRANSPOSE:
    case OP_BROADCAST:
    case OP_SLICE:
    case OP_RESHAPE: return n->in[0];
    case OP_CAST: return value_widened(v) ? n->in[0] : NULL;
    case OP_MUL:
        for (int i = 0; i < 2; i++)
            if (value_scalar(n->in[i], &c) && dtype_is_float(v->type.dtype)) {
                *factor *= c;
                return n->in[1 - i];
            }
        return NULL;
    case OP_DIV:
        if (!value_scalar(n->in[1], &c) || !dtype_is_float(v->type.dtype)) return NULL;
        *factor /= c;
        return n->in[0];
    default: return NULL;
    }
}

typedef struct Axis {
    int at;            /* of the value that is looked at; -1: repeated */
    const Dim *stride; /* steps along `at` for one of the first value's */
} Axis;

/* a / b where b divides a for certain. */
static const Dim *exact(DimTable *dt, const Dim *a, const Dim *b)
{
    if (dim_is(b, 0)) return NULL;
    const Dim *q = dim_floordiv(dt, a, b);
    return q && dim_mul(dt, q, b) == a ? q : NULL;
}

/* The axis of a reshape's operand in which axis a of its result is a digit. */
static bool through_reshape(DimTable *dt, Type from, Type to, Axis *a)
{
    if (dim_is(to.dim[a->at], 1)) {
        a->at = -1;
        return true;
    }
    const Dim *inner = dim_const(dt, 1), *below = inner;
    for (int i = a->at + 1; i < to.rank; i++) inner = dim_mul(dt, inner, to.dim[i]);
    for (int i = from.rank - 1; i >= 0; i--) {
        const Dim *q = dim_is(from.dim[i], 1) ? NULL : exact(dt, inner, below);
        if (q && exact(dt, from.dim[i], dim_mul(dt, q, to.dim[a->at]))) {
            a->at = i;
            a->stride = dim_mul(dt, a->stride, q);
            return true;
        }
        below = dim_mul(dt, below, from.dim[i]);
    }
    return false;
}

static bool step_axis(DimTable *dt, const Node *n, Axis *a)
{
    if (a->at < 0) return true;
    switch (n->op) {
    case OP_TRANSPOSE: a->at = (int)attr_ints(n, A_PERM)[a->at]; return true;
    case OP_BROADCAST:
        if (dim_is(n->in[0]->type.dim[a->at], 1)) a->at = -1;
        return true;
    case OP_SLICE: a->stride = dim_mul(dt, a->stride, dim_const(dt, attr_ints(n, A_STEP)[a->at])); return true;
    case OP_RESHAPE: return through_reshape(dt, n->in[0]->type, n->out[0]->type, a);
    default: return true;
    }
}

static const Dim *memory_stride(DimTable *dt, Type t, Axis a)
{
    if (a.at < 0) return dim_const(dt, 0);
    const Dim *d = a.stride;
    for (int i = a.at + 1; i < t.rank; i++) d = dim_mul(dt, d, t.dim[i]);
    return d;
}

View view_of(DimTable *dt, Value *v, bool (*more)(void *arg, const Value *v), void *arg)
{
    const Dim *one = dim_const(dt, 1);
    Axis row = {v->type.rank - 2, one}, col = {v->type.rank - 1, one};
    double factor = 1;
    while (more(arg, v)) {
        Axis r = row, c = col;
        double f = factor;
        Value *x = view_step(v, &f);
        if (!x || !step_axis(dt, v->def, &r) || !step_axis(dt, v->def, &c)) break;
        v = x, row = r, col = c, factor = f;
    }
    return (View){v, memory_stride(dt, v->type, row), memory_stride(dt, v->type, col), factor};
}

typedef struct Prologue {
    Value *leaf;
    int ops;
} Prologue;

/* The same for all positions: one number, or one a channel. */
static bool is_channelwise(const Value *v)
{
    const Tensor *t;
    if (v->def && v->def->op == OP_BROADCAST) v = v->def->in[0];
    if (!value_const(v, &t)) return false;
    for (int i = 0; i < v->type.rank - 1; i++)
        if (!dim_is(v->type.dim[i], 1)) return false;
    return true;
}

static bool is_prologue(Prologue *p, const Value *v)
{
    if (is_channelwise(v)) return true;
    const Node *n = v->def;
    if (n && value_widened(v)) {
        Value *x = n->in[0];
        bool in_memory = x->def && x->def->parent == n->parent && (x->def->op == OP_CONCAT || node_attr(x->def, A_STORED));
        if (!in_memory || (p->leaf && p->leaf != x)) return false;
        p->leaf = x;
        return true;
    }
    if (!n || ++p->ops > 6) return false;
    switch (n->op) {
    case OP_ADD:
    case OP_SUB:
    case OP_MUL:
    case OP_MAX:
    case OP_MIN:
        if (!is_prologue(p, n->in[1])) return false;
        return is_prologue(p, n->in[0]);
    case OP_NEG: return is_prologue(p, n->in[0]);
    default: return false;
    }
}

Value *view_prologue(const Node *conv, Value **stored)
{
    enum { COLUMNS = 512 };
    int64_t columns;
    int taps = conv->op == OP_CONV ? conv->in[0]->type.rank - 2 : 0;
    if (taps == 0 || attr_i(conv, A_GROUP, 1) != 1 || !value_widened(conv->in[0])) return NULL;
    if (!dim_is_const(conv->out[0]->type.dim[taps + 1], &columns) || columns > COLUMNS) return NULL;
    for (int i = 0; i < taps; i++)
        if (!dim_is(conv->in[1]->type.dim[i], 1) || !dim_is(attr_dims(conv, A_LO)[i], 0) || !dim_is(attr_dims(conv, A_HI)[i], 0))
            return NULL;
    *stored = conv->in[0]->def->in[0];
    const Node *cast = (*stored)->def;
    Prologue p = {0};
    if (!cast || cast->op != OP_CAST || !attr_i(cast, A_STORED, 0) || !is_prologue(&p, cast->in[0])) return NULL;
    return p.leaf;
}

/* v, computed from one convolution's results and what is channelwise. */
static bool is_expanded(Expansion *x, const Value *v, int depth)
{
    enum { DEEP = 16 };
    Node *n = v->def;
    if (is_channelwise(v)) return true;
    if (!n || n->n_out != 1 || v->type.dtype != DLVK_F32 || depth > DEEP) return false;
    if (n->op == OP_CONV) {
        bool same = !x->conv || x->conv == n;
        x->conv = n;
        return same;
    }
    if (!op_info[n->op].point) return false;
    for (int i = 0; i < n->n_in; i++)
        if (!is_expanded(x, n->in[i], depth + 1)) return false;
    return true;
}

static bool is_multiple(const Dim *d, int64_t by, int64_t most)
{
    int64_t n;
    return dim_is_const(d, &n) && n % by == 0 && n >= by && n <= most;
}

/* In memory as it is, in 16 bits. */
static bool lies_plain(const Value *v)
{
    const Node *n = v->def;
    return v->type.dtype == DLVK_F16 && (!n || n->op == OP_CONST || (n->op == OP_CAST && attr_i(n, A_STORED, 0)));
}

/* Of 1 x 1, from channels that neighbour in memory: a product of matrices. */
static bool is_product(const Node *conv)
{
    const Value *a = conv->in[0], *b = conv->in[1];
    Type t = a->type;
    if (t.rank != 4 || attr_i(conv, A_GROUP, 1) != 1 || !value_widened(a) || !value_widened(b)) return false;
    if (!lies_plain(a->def->in[0]) || !lies_plain(b->def->in[0])) return false;
    for (int i = 0; i < 2; i++)
        if (!dim_is(b->type.dim[i], 1) || t.dim[i + 1] != conv->out[0]->type.dim[i + 1] || !dim_is(attr_dims(conv, A_LO)[i], 0))
            return false;
    return is_multiple(t.dim[3], 8, 256) && is_multiple(b->type.dim[3], 16, 4096);
}

bool view_expansion(const Node *n, Expansion *x)
{
    enum { PIXELS = 512, TAPS = 9 };
    *x = (Expansion){0};
    if (n->op != OP_CONV || n->in[0]->type.rank != 4 || !value_widened(n->in[0]) || !value_widened(n->in[1])) return false;
    Type t = n->in[0]->type, w = n->in[1]->type, out = n->out[0]->type;
    int64_t taps, all = 1, lo, hi, size[2] = {0}, channels;
    if (!dim_is_const(t.dim[3], &channels) || attr_i(n, A_GROUP, 1) != channels || t.dim[3] != out.dim[3]) return false;
    const int64_t *dil = attr_ints(n, A_DILATION), *in_dil = attr_ints(n, A_IN_DILATION);
    for (int i = 1; i >= 0; i--) {
        if ((dil && dil[i] != 1) || (in_dil && in_dil[i] != 1)) return false;
        if (!dim_is_const(w.dim[i], &taps) || taps < 2 || (all *= taps) > TAPS || !dim_is_const(t.dim[i + 1], &size[i]) ||
            size[i] < taps)
            return false;
        if (!dim_is_const(attr_dims(n, A_LO)[i], &lo) || !dim_is_const(attr_dims(n, A_HI)[i], &hi)) return false;
        if (lo < 0 || hi < 0 || lo >= taps || hi >= taps || !dim_is_const(out.dim[i + 1], &channels)) return false;
        /* All pixels, or those that a row of the result sees: no fewer than a matrix has rows, no more than shared memory holds.
         */
        int64_t most = size[0] * size[1] <= PIXELS ? size[0] : taps;
        int64_t least = most == size[0] ? most : taps - (lo > hi ? lo : hi);
        if (i == 0 && (least * size[1] < 16 || most * size[1] > PIXELS)) return false;
    }
    x->stored = n->in[0]->def->in[0];
    Node *cast = x->stored->def;
    if (!cast || cast->op != OP_CAST || !attr_i(cast, A_STORED, 0) || x->stored->type.dtype != DLVK_F16) return false;
    return lies_plain(n->in[1]->def->in[0]) && is_expanded(x, cast->in[0], 0) && x->conv && is_product(x->conv);
}
