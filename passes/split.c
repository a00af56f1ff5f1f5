/* Split: a large reduction to few results becomes two, of parts and of the parts' results.
 *
 * One workgroup, at best, walks along a row (codegen/rows.c). Sums of a batch by channel, as in batch norm and the gradients of
 * biases, have a few long rows: most of the device would have nothing to do. The parts are the inner reduced axes, so that no
 * size has to be divisible; where that makes too few of them an axis is cut by a divisor, and so is a single one, near its square
 * root. Sums are also the more accurate for it.
 *
 * The place of an extremum along a long axis becomes the extremum, and the first or last of the places that have it: reductions,
 * which many share, where a search is one invocation's.
 *
 * Requires: primitives. Keeps: types and symbols; narrow floats are summed in float32 between the two. Breaks: nothing. */
#include "passes/passes.h"

enum {
    LONG = 512,           /* rows that are worth it have so many elements at least, */
    LONG_INNER = 1 << 16, /* and where they are contiguous, which a workgroup walks along well, so many */
    FEW = 16384,          /* there are so many of them at most */
    FEW_INNER = 32,
    WORK = 1 << 17,  /* elements in all */
    PART = 128,      /* in a part; more, */
    PARTS = 1 << 15, /* where there are more parts than these, of all rows together */
    FULL = 4096,     /* parts of contiguous rows, all together: with more of them adding up the parts takes a while */
    SEARCH = 256,    /* elements along an axis that one invocation had better not search alone */
    USUAL = 16       /* what a symbol counts for */
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

/* Cuts one of the n axes where parts of whole axes were too large to be enough for a device: x is replaced, and the list of axes.
 */
static Value *cut_large(Build *b, Value *x, double rows, int *n, int *axes)
{
    double length = 1, part = 1;
    for (int i = 0; i < *n; i++) length *= (double)usual(x->type.dim[axes[i]]);
    double want = rows * length / PARTS > PART ? rows * length / PARTS : PART;
    for (int i = *n - 1; i >= 0 && part < PART; i--) {
        int64_t size = 1, best = 1;
        if (!dim_is_const(x->type.dim[axes[i]], &size) || part * (double)size < 2 * want) {
            part *= (double)usual(x->type.dim[axes[i]]);
            continue;
        }
        for (int64_t d = 2; d < size && part * (double)d <= 2 * want; d++)
            if (size % d == 0) best = d;
        if (part * (double)best < PART || x->type.rank == DLVK_MAX_RANK) return x;
        x = cut(b, x, axes[i], size, best);
        for (int k = *n; k > i; k--) axes[k] = axes[k - 1] + 1;
        ++*n;
        return x;
    }
    return x;
}

/* Which of the n axes, the last of which is contiguous, begin the parts: so many that they are few enough. An axis may be cut for
 * that: x is replaced, and the list of axes. */
static Value *cut_rows(Build *b, Value *x, double rows, int *n, int *axes, int *first)
{
    double parts = rows, part = 1;
    for (int i = 0; i < *n; i++) parts *= (double)usual(x->type.dim[axes[i]]);
    for (*first = *n; *first > 0 && (part < PART || parts > FULL);) {
        int axis = axes[*first - 1];
        int64_t size = 0, d = 2;
        double all = (double)usual(x->type.dim[axis]);
        bool known = dim_is_const(x->type.dim[axis], &size);
        if (part >= PART && !known) break;
        if (part >= PART && parts / all < FULL) {
            while (d < size && (size % d || parts / (double)d > FULL)) d++;
            if (d < size && x->type.rank < DLVK_MAX_RANK) {
                x = cut(b, x, axis, size, d);
                for (int k = *n; k >= *first; k--) axes[k] = axes[k - 1] + 1;
                ++*n;
            }
            break;
        }
        part *= all;
        parts /= all;
        --*first;
    }
    return x;
}

static bool search(Build *b, const Node *old, Value *x, Value **out)
{
    int axis = (int)attr_i(old, A_AXIS, 0);
    bool last = attr_i(old, A_LAST, 0) != 0;
    int64_t size;
    if (!dim_is_const(x->type.dim[axis], &size) || size < SEARCH || size > INT32_MAX) return false;
    Value *best = build_reduce(b, (Kind)attr_i(old, A_KIND, KIND_MAX), x, 1, &axis, true);
    Value *has = build_map2(b, OP_EQ, x, best);
    if (dtype_is_float(x->type.dtype)) has = build_map2(b, OP_OR, has, build_map1(b, OP_IS_NAN, x)); /* which wins */
    Value *place = build_iota(b, DLVK_I32, x->type.rank, x->type.dim, axis);
    place = build_map3(b, OP_SELECT, has, place, build_scalar_i(b, DLVK_I32, last ? 0 : size - 1));
    out[0] = build_cast(b, build_reduce(b, last ? KIND_MAX : KIND_MIN, place, 1, &axis, true), old->out[0]->type.dtype);
    return out[0] != NULL;
}

static bool split(Rewrite *rw, const Node *old, Value *const *in, Value **out)
{
    if (old->op == OP_ARGREDUCE) return search(&rw->b, old, in[0], out);
    if (old->op != OP_REDUCE) return false;
    Build *b = &rw->b;
    Value *x = in[0];
    Type type = old->out[0]->type;
    const Attr *axes = node_attr(old, A_AXES);
    Kind kind = (Kind)attr_i(old, A_KIND, KIND_SUM);
    int all[DLVK_MAX_RANK + 1], outer[DLVK_MAX_RANK], inner[DLVK_MAX_RANK], n = axes->n, n_outer = 0, n_inner = 0;
    int last = type.rank - 1;
    double rows = 1, length = 1, part = 1; /* sizes may be as large as an int64_t each */
    while (last > 0 && dim_is(x->type.dim[last], 1)) last--;
    bool contiguous = axes->n && axes->ints[axes->n - 1] == last;
    for (int i = 0; i < type.rank; i++) rows *= (double)usual(type.dim[i]);
    for (int i = 0; i < n; i++) {
        all[i] = (int)axes->ints[i];
        length *= (double)usual(x->type.dim[all[i]]);
    }
    if (rows > (contiguous ? FEW_INNER : FEW) || length < (contiguous ? LONG_INNER : LONG) || rows * length < WORK) return false;
    int first = 0;
    x = contiguous ? cut_rows(b, x, rows, &n, all, &first) : cut_large(b, x, rows, &n, all);
    for (int i = n - 1; i >= 0; i--) {
        int axis = all[i];
        if (contiguous ? i < first : part >= PART)
            outer[n_outer++] = axis;
        else {
            inner[n_inner++] = axis;
            part *= (double)usual(x->type.dim[axis]);
        }
    }
    if (!n_outer && n_inner > 1) outer[n_outer++] = inner[--n_inner];
    int64_t size, d;
    if (!n_outer && dim_is_const(x->type.dim[inner[0]], &size) && (d = divisor(size)) >= 16 && x->type.rank < DLVK_MAX_RANK) {
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
