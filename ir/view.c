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
