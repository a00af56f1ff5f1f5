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
