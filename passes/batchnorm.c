/* Batch-norm folding: multiplications and additions by constants per channel go into the weights and the bias before them.
 *
 * In chains of x + c, x - c, x * c and x / c with constants that vary along one axis at most:
 *   (y + c) + d      ->  y + (c + d)
 *   (y * c) * d      ->  y * (c * d)
 *   ((y + c) * d) + e  ->  y * d + (c * d + e)
 *   conv(x, w) * c   ->  conv(x, w * c)              and the same for dot, through reshapes that keep the last axis
 *   (conv(x, w) + b) * c  ->  conv(x, w * c) + b * c
 * where c and d are known and what they act on has no other use. Rounding changes as it does in every runtime that folds.
 *
 * Requires: constants folded, convolutions channels last (after layout). Keeps: values up to rounding. Breaks: nothing. */
#include "passes/passes.h"

#include <math.h>
#include <string.h>

typedef struct Folding {
    const int *uses;  /* by old value id */
    VEC(bool) shared; /* by new value id: has several uses */
    Context *c;
    Build *b;
} Folding;

/* Has the one use at hand, which stands in the same region: what a loop repeats must not grow. */
static bool exclusive(const Folding *f, const Value *v)
{
    return v->region == f->b->at && (v->id >= f->shared.n || !f->shared.at[v->id]);
}

static void note_shared(Folding *f, const Value *v)
{
    while (f->shared.n <= v->id) *VEC_PUSH(f->c->pool, f->shared) = false;
    f->shared.at[v->id] = true;
}

/* A constant that varies along one axis at most, seen through a broadcast. */
static bool per_channel(const Value *v, int *axis)
{
    if (v->def && v->def->op == OP_BROADCAST) v = v->def->in[0];
    const Tensor *t;
    if (!value_const(v, &t)) return false;
    *axis = -1;
    for (int a = 0; a < t->rank; a++) {
        if (t->dim[a] == 1 || t->splat) continue;
        if (*axis >= 0) return false;
        *axis = a;
    }
    return true;
}

static bool made_by(const Value *v, Op op)
{
    return v->def && v->def->op == op;
}

/* v = y op c with a constant per channel and y its own. */
static bool affine(const Folding *f, const Value *v, Op op, Value **y, Value **c)
{
    int axis;
    if (!made_by(v, op) || !exclusive(f, v) || !per_channel(v->def->in[1], &axis)) return false;
    *y = v->def->in[0];
    *c = v->def->in[1];
    return true;
}

/* Element i of k as t has it, which is broadcast to k's shape. */
static double element(const Tensor *t, const Tensor *k, int64_t i)
{
    int64_t at = 0, stride = 1;
    for (int a = k->rank - 1, b = t->rank - 1; b >= 0; a--, b--) {
        if (t->dim[b] != 1) at += i % k->dim[a] * stride;
        i /= k->dim[a];
        stride *= t->dim[b];
    }
    return elem_get_f(t->dtype, t->data, t->splat ? 0 : at);
}

/* Whether k, made of numbers of x and y, has an element beyond the range of its type, or none but such as vanish in it: the
 * square of 1e30 is no number to multiply by. (Of trained channels some may be dead, whose factors are tiny: what they give
 * vanishes anyway.) */
static bool leaves_range(Op op, const Tensor *k, const Tensor *x, const Tensor *y)
{
    bool vanish = false, stay = false;
    for (int64_t i = 0; i < (k->splat ? 1 : k->count); i++) {
        double z = elem_get_f(k->dtype, k->data, i), a = element(x, k, i), b = element(y, k, i);
        if (!isfinite(z) && isfinite(a) && isfinite(b)) return true;
        stay |= z != 0;
        vanish |= z == 0 && a != 0 && isfinite(b) && (op == OP_MUL ? b != 0 : op == OP_DIV);
    }
    return vanish && !stay;
}

/* x op y of two constants, computed where they are small; NULL when they vary along different axes, or leave their range. */
static Value *combine(const Folding *f, Op op, Value *x, Value *y)
{
    Type t = x->type;
    int a, b;
    if (!per_channel(x, &a) || !per_channel(y, &b) || (a >= 0 && b >= 0 && a != b)) return NULL;
    Value *p = made_by(x, OP_BROADCAST) ? x->def->in[0] : x, *q = made_by(y, OP_BROADCAST) ? y->def->in[0] : y;
    const Tensor *k = build_known(f->b, build_map2(f->b, op, p, q)), *tp, *tq;
    if (k && value_const(p, &tp) && value_const(q, &tq) && leaves_range(op, k, tp, tq)) return NULL;
    return k ? build_broadcast(f->b, build_const(f->b, k), t.rank, t.dim) : NULL;
}

/* The constant c as one that multiplies weights of this rank and n output channels; NULL when it varies along another axis. */
static Value *along_last(const Folding *f, Value *c, int rank, int64_t n)
{
    int axis;
    double x;
    const Dim *shape[DLVK_MAX_RANK];
    if (!per_channel(c, &axis)) return NULL;
    if (axis < 0) return value_scalar(c, &x) ? build_scalar(f->b, c->type.dtype, x) : NULL;
    if (made_by(c, OP_BROADCAST)) c = c->def->in[0];
    if (axis != c->type.rank - 1 || !dim_is(c->type.dim[axis], n)) return NULL;
    for (int i = 0; i < rank; i++) shape[i] = dim_const(&f->c->dims, i == rank - 1 ? n : 1);
    return build_reshape(f->b, c, rank, shape);
}

static bool all_finite(const Tensor *t)
{
    for (int64_t i = 0; i < (t->splat ? 1 : t->count); i++)
        if (!isfinite(elem_get_f(t->dtype, t->data, i))) return false;
    return true;
}

/* A contraction of constant weights scaled along its last axis by c; NULL when v is none, or not v's own, or the weights would be
 * too large for their type. */
static Value *scale_contraction(const Folding *f, Value *v, Value *c)
{
    if (!exclusive(f, v)) return NULL;
    if (made_by(v, OP_RESHAPE)) {
        Value *x = v->def->in[0];
        Type t = x->type, u = v->type;
        if (t.rank < 1 || u.rank < 1 || t.dim[t.rank - 1] != u.dim[u.rank - 1] || made_by(x, OP_RESHAPE)) return NULL;
        Value *y = scale_contraction(f, x, c);
        return y ? build_reshape(f->b, y, u.rank, u.dim) : NULL;
    }
    int64_t n;
    if (!made_by(v, OP_CONV) && !made_by(v, OP_DOT)) return NULL;
    Value *w = v->def->in[1];
    if (!value_const(w, NULL) || !dtype_is_float(w->type.dtype) || w->type.dtype != v->type.dtype) return NULL;
    if (!dim_is_const(w->type.dim[w->type.rank - 1], &n)) return NULL;
    Value *s = along_last(f, c, w->type.rank, n);
    const Tensor *k = s ? build_known(f->b, build_map2(f->b, OP_MUL, w, s)) : NULL;
    if (!k || !all_finite(k)) return NULL;
    Value *in[] = {v->def->in[0], build_const(f->b, k)};
    return build_op(f->b, v->def->op, 2, in, v->def->n_attr, v->def->attr);
}

static Value *fold_mul(const Folding *f, Value *x, Value *c)
{
    Value *y, *d, *v;
    if (!exclusive(f, x)) return NULL;
    if (affine(f, x, OP_MUL, &y, &d) && (d = combine(f, OP_MUL, d, c))) return build_map2(f->b, OP_MUL, y, d);
    if ((v = scale_contraction(f, x, c))) return v;
    if (affine(f, x, OP_ADD, &y, &d) && (v = scale_contraction(f, y, c)) && (d = combine(f, OP_MUL, d, c)))
        return build_map2(f->b, OP_ADD, v, d);
    return NULL;
}

static Value *fold_add(const Folding *f, Value *x, Value *c)
{
    Value *y, *z, *d, *e, *sum;
    if (!exclusive(f, x)) return NULL;
    if (affine(f, x, OP_ADD, &y, &d) && (sum = combine(f, OP_ADD, d, c))) return build_map2(f->b, OP_ADD, y, sum);
    if (affine(f, x, OP_MUL, &y, &d) && affine(f, y, OP_ADD, &z, &e) && (e = combine(f, OP_MUL, e, d)) &&
        (e = combine(f, OP_ADD, e, c))) {
        Value *scaled = fold_mul(f, z, d);
        return build_map2(f->b, OP_ADD, scaled ? scaled : build_map2(f->b, OP_MUL, z, d), e);
    }
    return NULL;
}

/* x - c = x + (-c); x / c = x * (1 / c) where that goes into weights. The constant is made the second operand. */
static bool normal_form(const Folding *f, const Node *old, Value *const *in, Op *op, Value **x, Value **c)
{
    int axis;
    *op = old->op;
    *x = in[0];
    *c = in[1];
    if (!dtype_is_float(in[0]->type.dtype)) return false;
    bool commutes = old->op == OP_ADD || old->op == OP_MUL;
    if (commutes && per_channel(in[0], &axis) && !per_channel(in[1], &axis)) {
        *x = in[1];
        *c = in[0];
    }
    if (!per_channel(*c, &axis) || per_channel(*x, &axis)) return false;
    if (commutes) return true;
    if (old->op != OP_SUB && old->op != OP_DIV) return false;
    Value *one = build_scalar(f->b, in[0]->type.dtype, old->op == OP_SUB ? 0 : 1);
    *c = combine(f, old->op, build_broadcast(f->b, one, in[1]->type.rank, in[1]->type.dim), *c);
    *op = old->op == OP_SUB ? OP_ADD : OP_MUL;
    return *c != NULL;
}

static bool batchnorm(Rewrite *rw, const Node *old, Value *const *in, Value **out)
{
    Folding *f = rw->user;
    Value *x, *c;
    Op op;
    f->b = &rw->b;
    for (int i = 0; i < old->n_in; i++)
        if (f->uses[old->in[i]->id] > 1) note_shared(f, in[i]);
    if ((old->op != OP_ADD && old->op != OP_SUB && old->op != OP_MUL && old->op != OP_DIV) ||
        !normal_form(f, old, in, &op, &x, &c))
        return false;
    out[0] = op == OP_ADD ? fold_add(f, x, c) : fold_mul(f, x, c);
    if (!out[0] && old->op == OP_SUB) out[0] = build_map2(f->b, OP_ADD, x, c); /* exact, and the next one can find it */
    return out[0] != NULL;
}

Graph *pass_batchnorm(Graph *g)
{
    Folding f = {.uses = graph_use_counts(g), .c = g->ctx};
    return graph_rewrite(g, batchnorm, &f, false);
}
