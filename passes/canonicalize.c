/* Canonicalisation: algebraic identities on pointwise ops, reductions, windows and movement, one node at a time.
 *
 * Identities on floats are those that hold for every value, with these accepted exceptions: the sign of a zero (x + 0, pow(x,
 * 0.5)), pow(-inf, 0.5), the order in which nested sums add up, and that differences from a mean add up to 0. A division becomes
 * a multiplication by powers of two only.
 *
 * Constants are folded on the way, so that one sweep sees them all.
 *
 * Requires: any valid graph. Keeps: values but for the above, symbols. Breaks: nothing. */
#include "passes/passes.h"

#include <math.h>
#include <string.h>

typedef struct Match { /* the node at hand */
    Rewrite *rw;
    Build *b;
    const Node *old;
    Value *const *in;
    bool is_float;
} Match;

static bool is_op(const Value *v, Op op)
{
    return v->def && v->def->op == op;
}
static bool is_num(const Value *v, double x)
{
    double y;
    return value_scalar(v, &y) && y == x;
}

/* Pointwise. */

/* x op e = x, on either side where `left` says so. */
static Value *neutral(const Match *m, double e, bool left)
{
    if (is_num(m->in[1], e)) return m->in[0];
    return left && is_num(m->in[0], e) ? m->in[1] : NULL;
}

/* Small enough that its inverse is a normal number of every type. */
static bool power_of_two(double x)
{
    int e;
    return isnormal(x) && fabs(frexp(x, &e)) == 0.5 && e > -12 && e < 14;
}

static Value *divide(const Match *m)
{
    double c;
    if (is_num(m->in[1], 1)) return m->in[0];
    if (!m->is_float || !value_scalar(m->in[1], &c) || (c != 0 && !power_of_two(c))) return NULL;
    return build_map2s(m->b, OP_MUL, m->in[0], 1 / c); /* by infinity too: lavapipe gives 0 for x / 0 where 0 is a constant */
}

static Value *power(const Match *m)
{
    double c;
    Value *x = m->in[0];
    if (!value_scalar(m->in[1], &c)) return NULL;
    if (c == 0) return build_full(m->b, x->type, 1);
    if (c == 1) return x;
    if (c == 2) return build_map2(m->b, OP_MUL, x, x);
    if (!m->is_float) return NULL;
    if (c == 3) return build_map2(m->b, OP_MUL, build_map2(m->b, OP_MUL, x, x), x);
    if (c == 0.5) return build_map1(m->b, OP_SQRT, x);
    return c == -1 ? build_map2(m->b, OP_DIV, build_full(m->b, x->type, 1), x) : NULL;
}

/* max(max(x, c), d) = max(x, max(c, d)): constants meet. */
static Value *extremum(const Match *m)
{
    Value *x = m->in[0], *y = m->in[1];
    double c;
    if (x == y) return x;
    if (!value_scalar(y, &c) || !is_op(x, m->old->op) || !value_scalar(x->def->in[1], &c)) return NULL;
    return build_map2(m->b, m->old->op, x->def->in[0], build_map2(m->b, m->old->op, x->def->in[1], y));
}

static Value *select(const Match *m)
{
    double c;
    if (m->in[1] == m->in[2]) return m->in[1];
    return value_scalar(m->in[0], &c) ? m->in[c != 0 ? 1 : 2] : NULL;
}

/* The constant comes second, which halves the patterns to look for. */
static Value *constant_last(const Match *m)
{
    if (!value_scalar(m->in[0], NULL) || value_scalar(m->in[1], NULL)) return NULL;
    return build_point(m->b, m->old->op, 2, (Value *[]){m->in[1], m->in[0]});
}

static Value *point_identity(const Match *m)
{
    Value *x = m->in[0], *v = NULL;
    switch (m->old->op) {
    case OP_ADD: v = neutral(m, 0, true); break;
    case OP_SUB:
    case OP_SHL:
    case OP_SHR: return neutral(m, 0, false);
    case OP_MUL: v = neutral(m, 1, true); break;
    case OP_DIV: return divide(m);
    case OP_POW: return power(m);
    case OP_MAX:
    case OP_MIN: v = extremum(m); break;
    case OP_NEG: return is_op(x, OP_NEG) ? x->def->in[0] : NULL;
    case OP_NOT: return is_op(x, OP_NOT) ? x->def->in[0] : NULL;
    case OP_ABS: return is_op(x, OP_ABS) ? x : NULL;
    case OP_FLOOR:
    case OP_CEIL:
    case OP_TRUNC:
    case OP_ROUND: return is_op(x, OP_FLOOR) || is_op(x, OP_CEIL) || is_op(x, OP_TRUNC) || is_op(x, OP_ROUND) ? x : NULL;
    case OP_AND:
    case OP_OR: return x == m->in[1] ? x : NULL;
    case OP_SELECT: return select(m);
    default: return NULL;
    }
    return v ? v : constant_last(m);
}

/* Where every operand repeats an axis, the op is computed once and its result repeated. */
static Value *before_broadcast(const Match *m)
{
    const Node *n = m->old;
    Type t = m->in[0]->type;
    const Dim *small[DLVK_MAX_RANK], *one = dim_const(&m->b->ctx->dims, 1);
    Value *x[3];
    bool shrinks = false;
    for (int i = 0; i < n->n_in; i++)
        if (!is_op(m->in[i], OP_BROADCAST)) return NULL;
    for (int a = 0; a < t.rank; a++) {
        small[a] = one;
        for (int i = 0; i < n->n_in; i++)
            if (!dim_is(m->in[i]->def->in[0]->type.dim[a], 1)) small[a] = t.dim[a];
        shrinks |= small[a] != t.dim[a];
    }
    if (!shrinks) return NULL;
    bool constant = true;
    for (int i = 0; i < n->n_in; i++) {
        constant &= value_const(m->in[i]->def->in[0], NULL);
        x[i] = build_broadcast(m->b, m->in[i]->def->in[0], t.rank, small);
    }
    Value *y = build_op(m->b, n->op, n->n_in, x, n->n_attr, n->attr);
    const Tensor *k = constant ? build_known(m->b, y) : NULL;
    return build_broadcast(m->b, k ? build_const(m->b, k) : y, t.rank, t.dim);
}

/* A number and a reduction's result in another shape: computed in the shape it has, so that the reduction's kernel can do it (a
 * global mean's division). */
static Value *before_reshape(const Match *m)
{
    const Node *n = m->old;
    int which = n->n_in == 2 && is_op(m->in[1], OP_RESHAPE) ? 1 : 0;
    double c = 0;
    if (!m->is_float || n->n_in > 2 || !is_op(m->in[which], OP_RESHAPE)) return NULL;
    Value *x[2], *sum = m->in[which]->def->in[0];
    if (!is_op(sum, OP_REDUCE) || (n->n_in == 2 && !value_scalar(m->in[1 - which], &c))) return NULL;
    x[which] = sum;
    if (n->n_in == 2) x[1 - which] = build_full(m->b, sum->type, c);
    Type t = n->out[0]->type;
    return build_reshape(m->b, build_op(m->b, n->op, n->n_in, x, n->n_attr, n->attr), t.rank, t.dim);
}

/* Reductions and windows. */

static int axes_of(const Node *n, int *axes)
{
    const Attr *a = node_attr(n, A_AXES);
    for (int i = 0; i < a->n; i++) axes[i] = (int)a->ints[i];
    return a->n;
}

static const Value *without_reshapes(const Value *v)
{
    while (is_op(v, OP_RESHAPE)) v = v->def->in[0];
    return v;
}

/* v, one number or the same number everywhere, is how many elements of x `sum` adds up for each of its own. */
static bool is_count(const Match *m, const Value *v, const Node *sum)
{
    DimTable *t = &m->b->ctx->dims;
    const Dim *count = dim_const(t, 1);
    const Attr *axes = node_attr(sum, A_AXES);
    double x;
    int64_t n;
    for (int i = 0; i < axes->n; i++) count = dim_mul(t, count, sum->in[0]->type.dim[axes->ints[i]]);
    if (value_scalar(v, &x)) return dim_is_const(count, &n) && x == (double)n;
    while (is_op(v, OP_RESHAPE) || is_op(v, OP_BROADCAST) || is_op(v, OP_CAST)) {
        int bits = dtype_is_float(v->type.dtype) ? 16 : 32; /* in fewer it may have wrapped */
        if (v->def->op == OP_CAST && dtype_bits(v->type.dtype) < bits) return false;
        v = v->def->in[0];
    }
    return v->elems && dim_is(type_count(m->b->ctx, v->type), 1) && v->elems[0] == count;
}

/* The sums over the node's axes are 0: v is a difference from the mean over these, or made of such. */
static bool sums_to_zero(const Match *m, const Value *v, int depth)
{
    const Attr *axes = node_attr(m->old, A_AXES);
    if (!v->def || depth > 6) return false;
    Value **in = v->def->in;
    if (v->def->op == OP_NEG) return sums_to_zero(m, in[0], depth + 1);
    if (v->def->op == OP_ADD) return sums_to_zero(m, in[0], depth + 1) && sums_to_zero(m, in[1], depth + 1);
    if ((v->def->op != OP_MUL && v->def->op != OP_SUB) || !m->is_float) return false;
    for (int k = v->def->op == OP_SUB; k < 2; k++) {
        if (!is_op(in[k], OP_BROADCAST)) continue;
        const Value *row = in[k]->def->in[0], *mean = without_reshapes(row);
        bool same = true; /* along the axes */
        for (int i = 0; i < axes->n; i++) same = same && dim_is(row->type.dim[axes->ints[i]], 1);
        if (!same) continue;
        if (v->def->op == OP_MUL && sums_to_zero(m, in[1 - k], depth + 1)) return true;
        if (v->def->op == OP_MUL || !is_op(mean, OP_DIV)) continue;
        const Value *sum = without_reshapes(mean->def->in[0]);
        if (!is_op(sum, OP_REDUCE) || attr_i(sum->def, A_KIND, -1) != KIND_SUM || sum->def->in[0] != in[0]) continue;
        const Attr *over = node_attr(sum->def, A_AXES);
        if (over->n == axes->n && memcmp(over->ints, axes->ints, (size_t)axes->n * sizeof *axes->ints) == 0 &&
            type_same_shape(sum->type, row->type) && is_count(m, mean->def->in[1], sum->def))
            return true;
    }
    return false;
}

/* A reduction of the same kind of a reduction: one over both's axes. */
static Value *reduce(const Match *m)
{
    int axes[2 * DLVK_MAX_RANK], n = axes_of(m->old, axes);
    Value *x = m->in[0];
    Kind k = (Kind)attr_i(m->old, A_KIND, 0);
    if (k == KIND_SUM && sums_to_zero(m, x, 0)) return build_full(m->b, m->old->out[0]->type, 0);
    if (!is_op(x, OP_REDUCE) || (Kind)attr_i(x->def, A_KIND, 0) != k) return NULL;
    n += axes_of(x->def, axes + n); /* disjoint: the axes that x reduced have size 1 and are reduced no more */
    return build_reduce(m->b, k, x->def->in[0], n, axes, true);
}

/* A window as large as its axes, without padding: a reduction. */
static Value *window(const Match *m)
{
    const int64_t *w = attr_ints(m->old, A_WINDOW);
    const Dim *const *lo = attr_dims(m->old, A_LO), *const *hi = attr_dims(m->old, A_HI);
    Type t = m->in[0]->type;
    int axes[DLVK_MAX_RANK], n = 0;
    for (int a = 0; a < t.rank; a++) {
        bool still = w[a] == 1 && attr_ints(m->old, A_STEP)[a] == 1;
        if (!dim_is(lo[a], 0) || !dim_is(hi[a], 0)) return NULL;
        if (dim_is(t.dim[a], w[a]) && attr_ints(m->old, A_DILATION)[a] == 1)
            axes[n++] = a;
        else if (!still)
            return NULL;
    }
    return build_reduce(m->b, (Kind)attr_i(m->old, A_KIND, 0), m->in[0], n, axes, true);
}

/* Padding with the value that a window or convolution pads with anyway becomes its own. */
static bool pads_like(const Node *n, const Value *value)
{
    double x;
    if (!value_scalar(value, &x)) return false;
    if (n->op == OP_CONV) return x == 0;
    switch ((Kind)attr_i(n, A_KIND, -1)) {
    case KIND_SUM: return x == 0;
    case KIND_PROD: return x == 1;
    case KIND_MAX: return x == -INFINITY;
    case KIND_MIN: return x == INFINITY;
    default: return false;
    }
}

static Value *absorb_pad(const Match *m)
{
    const Node *pad = m->in[0]->def;
    if (!pad || pad->op != OP_PAD || !pads_like(m->old, pad->in[1])) return NULL;
    DimTable *t = &m->b->ctx->dims;
    int first = m->old->op == OP_CONV ? 1 : 0, n = m->in[0]->type.rank - 2 * first;
    const Dim *const *lo = attr_dims(pad, A_LO), *const *hi = attr_dims(pad, A_HI);
    const Dim *new_lo[DLVK_MAX_RANK], *new_hi[DLVK_MAX_RANK];
    if (first && !(dim_is(lo[0], 0) && dim_is(hi[0], 0) && dim_is(lo[n + 1], 0) && dim_is(hi[n + 1], 0))) return NULL;
    for (int i = 0; i < n; i++) {
        new_lo[i] = dim_add(t, lo[i + first], attr_dims(m->old, A_LO)[i]);
        new_hi[i] = dim_add(t, hi[i + first], attr_dims(m->old, A_HI)[i]);
        /* between dilated elements the two would differ */
        if (first && attr_ints(m->old, A_IN_DILATION)[i] != 1) return NULL;
    }
    Attr *attr = pool_dup(m->b->ctx->pool, m->old->attr, (size_t)m->old->n_attr * sizeof *attr);
    for (int i = 0; i < m->old->n_attr; i++) {
        if (attr[i].id == A_LO) attr[i].dims = new_lo;
        if (attr[i].id == A_HI) attr[i].dims = new_hi;
    }
    Value *in[] = {pad->in[0], first ? m->in[1] : NULL};
    return build_op(m->b, m->old->op, m->old->n_in, in, m->old->n_attr, attr);
}

/* Movement. */

/* Constant indices that count up by one: a slice. */
static Value *gather(const Match *m)
{
    Value *x = m->in[0], *idx = m->in[1];
    int axis = (int)attr_i(m->old, A_AXIS, 0);
    int64_t n = 1, first, v, size;
    if (!idx->elems || idx->type.rank > 1 || (idx->type.rank == 1 && !dim_is_const(idx->type.dim[0], &n)) || n < 1) return NULL;
    if (!dim_is_const(x->type.dim[axis], &size) || !dim_is_const(idx->elems[0], &first)) return NULL;
    for (int64_t i = 1; i < n; i++)
        if (!dim_is_const(idx->elems[i], &v) || v != first + i) return NULL;
    if (first < 0 || first + n > size) return NULL;
    DimTable *t = &m->b->ctx->dims;
    Value *y = build_slice_axis(m->b, x, axis, dim_const(t, first), dim_const(t, n));
    return build_reshape(m->b, y, m->old->out[0]->type.rank, m->old->out[0]->type.dim);
}

/* The same number, of the same type, to the bit: integers may differ where doubles do not. */
static bool same_number(const Value *x, const Value *y)
{
    const Tensor *a, *b;
    return value_const(x, &a) && value_const(y, &b) && a->dtype == b->dtype && a->dtype != DLVK_STRING && a->bytes == b->bytes &&
           memcmp(a->data, b->data, a->bytes) == 0;
}

/* A pad of a pad by the same value. */
static Value *pad(const Match *m)
{
    const Node *inner = m->in[0]->def;
    if (!inner || inner->op != OP_PAD || (inner->in[1] != m->in[1] && !same_number(inner->in[1], m->in[1]))) return NULL;
    const Dim *lo[DLVK_MAX_RANK], *hi[DLVK_MAX_RANK];
    for (int i = 0; i < m->in[0]->type.rank; i++) {
        lo[i] = dim_add(&m->b->ctx->dims, attr_dims(m->old, A_LO)[i], attr_dims(inner, A_LO)[i]);
        hi[i] = dim_add(&m->b->ctx->dims, attr_dims(m->old, A_HI)[i], attr_dims(inner, A_HI)[i]);
    }
    return build_pad(m->b, inner->in[0], lo, hi, m->in[1]);
}

/* A slice of a concat that lies within one operand. */
static Value *slice(const Match *m)
{
    const Node *cat = m->in[0]->def;
    if (!cat || cat->op != OP_CONCAT) return NULL;
    int axis = (int)attr_i(cat, A_AXIS, 0);
    const int64_t *step = attr_ints(m->old, A_STEP);
    const Dim *const *start = attr_dims(m->old, A_START), *const *shape = attr_dims(m->old, A_SHAPE);
    int64_t from, size, at = 0, len;
    if (!dim_is_const(start[axis], &from) || !dim_is_const(shape[axis], &size) || size < 1) return NULL;
    for (int i = 0; i < cat->n_in && dim_is_const(cat->in[i]->type.dim[axis], &len); i++, at += len) {
        if (from < at || from + (size - 1) * step[axis] >= at + len) continue;
        const Dim *inner[DLVK_MAX_RANK];
        memcpy(inner, start, (size_t)m->in[0]->type.rank * sizeof *inner);
        inner[axis] = dim_const(&m->b->ctx->dims, from - at);
        return build_slice(m->b, cat->in[i], inner, shape, step);
    }
    return NULL;
}

/* Rows that were put into another order and then counted as one axis: a product can count them itself, and read them where they
 * lie. */
static Value *dot(const Match *m)
{
    const Node *merge = m->in[0]->def, *turn = merge && merge->op == OP_RESHAPE ? merge->in[0]->def : NULL;
    Value *y = m->in[1];
    if (!turn || turn->op != OP_TRANSPOSE || merge->out[0]->type.rank != 2) return NULL;
    Type t = turn->out[0]->type;
    const Dim *shape[DLVK_MAX_RANK];
    int r = t.rank;
    if (r < 3 || t.dim[r - 1] != y->type.dim[0] || attr_ints(turn, A_PERM)[r - 1] != r - 1) return NULL;
    memcpy(shape, t.dim, sizeof shape);
    shape[r - 2] = y->type.dim[0];
    shape[r - 1] = y->type.dim[1];
    Value *z = build_dot(m->b, turn->out[0], build_broadcast(m->b, y, r, shape));
    return build_reshape(m->b, z, 2, m->old->out[0]->type.dim);
}

static bool canonicalize(Rewrite *rw, const Node *old, Value *const *in, Value **out)
{
    if (fold_node(rw, old, in, out)) return true;
    if (old->n_out != 1 || old->n_in == 0) return false;
    Match m = {rw, &rw->b, old, in, dtype_is_float(in[0]->type.dtype)};
    Value *v = NULL;
    if (op_info[old->op].point) {
        v = point_identity(&m);
        if (!v) v = before_broadcast(&m);
        if (!v) v = before_reshape(&m);
    } else {
        switch (old->op) {
        case OP_CAST: v = before_broadcast(&m); break;
        case OP_REDUCE: v = reduce(&m); break;
        case OP_WINDOW:
            v = window(&m);
            if (!v) v = absorb_pad(&m);
            break;
        case OP_CONV: v = absorb_pad(&m); break;
        case OP_DOT: v = dot(&m); break;
        case OP_GATHER: v = gather(&m); break;
        case OP_PAD: v = pad(&m); break;
        case OP_SLICE: v = slice(&m); break;
        default: break;
        }
    }
    out[0] = v;
    return v != NULL;
}

Graph *pass_canonicalize(Graph *g)
{
    return graph_rewrite(g, canonicalize, NULL, true);
}
