/* Split: a large reduction to few results becomes two, of parts and of the parts' results.
 *
 * One workgroup, at best, walks along a row (codegen/rows.c). Sums of a batch by channel, as in batch norm and the gradients of
 * biases, have a few long rows: most of the device would have nothing to do. The parts are the inner reduced axes, so that no
 * size has to be divisible; a single axis is cut by a divisor near its square root. Sums are also the more accurate for it.
 *
 * Requires: primitives. Keeps: types and symbols; narrow floats are summed in float32 between the two. Breaks: nothing. */
#include "passes/passes.h"

enum {
    LONG = 2048,          /* rows that are worth it have so many elements at least, */
    LONG_INNER = 1 << 16, /* and where they are contiguous, which a workgroup walks along well, so many */
    FEW = 16384,          /* there are so many of them at most */
    FEW_INNER = 32,
    WORK = 1 << 17, /* elements in all */
    PART = 128,     /* in a part */
    USUAL = 16      /* what a symbol counts for */
};

static int64_t usual(const Dim *d)
{
    int64_t n;
    return dim_is_const(d, &n) ? n : USUAL;
}

/* The largest divisor of n that is no larger than its root. */
static int64_t divisor(int64_t n)
{
    int64_t best = 1;
    for (int64_t d = 2; d * d <= n; d++)
        if (n % d == 0) best = d;
    return best;
}

/* x with its axis, of size n, as two. */
static Value *cut(Build *b, Value *x, int axis, int64_t n, int64_t inner)
{
    const Dim *shape[DLVK_MAX_RANK];
    for (int i = 0; i < x->type.rank; i++) shape[i < axis ? i : i + 1] = x->type.dim[i];
    shape[axis] = dim_const(&b->ctx->dims, n / inner);
    shape[axis + 1] = dim_const(&b->ctx->dims, inner);
    return build_reshape(b, x, x->type.rank + 1, shape);
}

static bool split(Rewrite *rw, const Node *old, Value *const *in, Value **out)
{
    if (old->op != OP_REDUCE) return false;
    Build *b = &rw->b;
    Value *x = in[0];
    Type type = old->out[0]->type;
    const Attr *axes = node_attr(old, A_AXES);
    Kind kind = (Kind)attr_i(old, A_KIND, KIND_SUM);
    int outer[DLVK_MAX_RANK], inner[DLVK_MAX_RANK], n_outer = 0, n_inner = 0, last = type.rank - 1;
    double rows = 1, length = 1, part = 1; /* sizes may be as large as an int64_t each */
    while (last > 0 && dim_is(x->type.dim[last], 1)) last--;
    bool contiguous = axes->n && axes->ints[axes->n - 1] == last;
    for (int i = 0; i < type.rank; i++) rows *= (double)usual(type.dim[i]);
    for (int i = axes->n - 1; i >= 0; i--) {
        int axis = (int)axes->ints[i];
        length *= (double)usual(x->type.dim[axis]);
        if (part >= PART)
            outer[n_outer++] = axis;
        else {
            inner[n_inner++] = axis;
            part *= (double)usual(x->type.dim[axis]);
        }
    }
    if (rows > (contiguous ? FEW_INNER : FEW) || length < (contiguous ? LONG_INNER : LONG) || rows * length < WORK) return false;
    if (!n_outer && n_inner > 1) outer[n_outer++] = inner[--n_inner];
    int64_t size, d;
    if (!n_outer && dim_is_const(x->type.dim[inner[0]], &size) && (d = divisor(size)) >= 16 && type.rank < DLVK_MAX_RANK) {
        x = cut(b, x, inner[0], size, size / d);
        outer[n_outer++] = inner[0]++;
    }
    if (!n_outer) return false;
    bool narrow = dtype_is_float(type.dtype) && dtype_bits(type.dtype) < 32;
    if (narrow) x = build_cast(b, x, DLVK_F32);
    x = build_reduce(b, kind, x, n_inner, inner, true);
    x = build_reduce(b, kind, x, n_outer, outer, true);
    if (narrow) x = build_cast(b, x, type.dtype);
    if (x && x->type.rank != type.rank) x = build_reshape(b, x, type.rank, type.dim);
    out[0] = x;
    return x != NULL;
}

Graph *pass_split(Graph *g)
{
    return graph_rewrite(g, split, NULL, false);
}
