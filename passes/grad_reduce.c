/* Adjoints of reductions, running reductions, windows and sort. */
#include <string.h>

#include "passes/grad_internal.h"

static Kind kind_of(const Node *n)
{
    return (Kind)attr_i(n, A_KIND, KIND_SUM);
}

/* Of the elements along an axis, for each the product of all others; zeros among them do no harm. */
static Value *product_of_others(Build *b, Value *x, int axis)
{
    return mul(b, build_cumulate(b, KIND_PROD, x, axis, true, false), build_cumulate(b, KIND_PROD, x, axis, true, true));
}

/* One axis after the other: the product of all others is that along the axis, times what the remaining axes give. */
static Value *reduce_prod(Build *b, Value *x, Value *d, const Attr *axes)
{
    Value *stage[DLVK_MAX_RANK + 1] = {x};
    int n = axes->n;
    for (int i = 0; i < n; i++) {
        int axis = (int)axes->ints[i];
        stage[i + 1] = build_reduce(b, KIND_PROD, stage[i], 1, &axis, true);
    }
    for (int i = n - 1; i >= 0; i--) d = mul(b, d, product_of_others(b, stage[i], (int)axes->ints[i]));
    return d;
}

void adjoint_reduce(Adjoint *a)
{
    Build *b = a->b;
    Value *x = a->in[0], *d = a->d[0];
    const Attr *axes = node_attr(a->n, A_AXES);
    int axis[DLVK_MAX_RANK];
    for (int i = 0; i < axes->n; i++) axis[i] = (int)axes->ints[i];
    switch (kind_of(a->n)) {
    case KIND_SUM: a->dx[0] = build_broadcast(b, d, x->type.rank, x->type.dim); return;
    case KIND_PROD: a->dx[0] = axes->n ? reduce_prod(b, x, d, axes) : d; return;
    case KIND_MAX:
    case KIND_MIN: {
        Value *hit = build_cast(b, build_map2(b, OP_EQ, x, a->out[0]), x->type.dtype); /* equal ones share it */
        Value *count = axes->n ? build_reduce(b, KIND_SUM, hit, axes->n, axis, true) : hit;
        a->dx[0] = mul(b, hit, build_map2(b, OP_DIV, d, count));
        return;
    }
    default: grad_blocked(a, "a reduction of kind %s has no gradient", kind_name[kind_of(a->n)]);
    }
}

void adjoint_argreduce(Adjoint *a)
{
    (void)a; /* integers */
}
void adjoint_argwindow(Adjoint *a)
{
    (void)a;
}

/* Along the axis, [i, j]: v with a new axis of size 1 before it (columns) or behind it (rows). */
static Value *as_columns(Build *b, Value *v, int axis)
{
    return build_unsqueeze(b, v, 1, &axis);
}
static Value *as_rows(Build *b, Value *v, int axis)
{
    int after = axis + 1;
    return build_unsqueeze(b, v, 1, &after);
}
static Value *positions(Build *b, Value *x, int axis)
{
    const Dim *shape[DLVK_MAX_RANK];
    for (int i = 0; i < x->type.rank; i++) shape[i] = i == axis ? x->type.dim[i] : dim_const(&b->ctx->dims, 1);
    return build_iota(b, DLVK_I64, x->type.rank, shape, axis);
}

/* A matrix of positions of x by results of y: P[i, j] is the product that y[j] is of, without x[i]. Quadratic, but no zero
 * is divided by. */
static Value *cumulated_product(Adjoint *a, int axis, bool exclusive, bool reverse)
{
    Build *b = a->b;
    Value *x = a->in[0], *at = positions(b, x, axis);
    if (x->type.rank == DLVK_MAX_RANK) {
        grad_blocked(a, "of rank %d, a running product has no gradient", x->type.rank);
        return NULL;
    }
    Value *i = as_rows(b, at, axis), *j = as_columns(b, at, axis);
    Value *others =
        build_map3(b, OP_SELECT, build_map2(b, OP_EQ, i, j), build_scalar(b, x->type.dtype, 1), as_columns(b, x, axis));
    Value *p = build_cumulate(b, KIND_PROD, others, axis + 1, exclusive, reverse);
    Op in_product = exclusive ? (reverse ? OP_GT : OP_LT) : (reverse ? OP_GE : OP_LE);
    Value *terms = where(b, build_map2(b, in_product, i, j), mul(b, p, as_columns(b, a->d[0], axis)));
    int last = axis + 1;
    return build_reduce(b, KIND_SUM, terms, 1, &last, false);
}

void adjoint_cumulate(Adjoint *a)
{
    int axis = (int)attr_i(a->n, A_AXIS, 0);
    bool exclusive = attr_i(a->n, A_EXCLUSIVE, 0), reverse = attr_i(a->n, A_REVERSE, 0);
    Kind k = kind_of(a->n);
    if (k == KIND_SUM)
        a->dx[0] = build_cumulate(a->b, KIND_SUM, a->d[0], axis, exclusive, !reverse);
    else if (k == KIND_PROD)
        a->dx[0] = cumulated_product(a, axis, exclusive, reverse);
    else
        grad_blocked(a, "a running %s has no gradient", kind_name[k]);
}

/* Windows. Element p of the operand is place k of window q when q*step + k*dilation = p + lo. */

typedef struct Win {
    int rank;
    const int64_t *window, *step, *dilation;
    const Dim *const *lo;
} Win;

static Win win_of(const Node *n)
{
    return (Win){n->in[0]->type.rank, attr_ints(n, A_WINDOW), attr_ints(n, A_STEP), attr_ints(n, A_DILATION), attr_dims(n, A_LO)};
}

/* Sum windows: a sum over the windows that p is in, of the same size and dilation. */
static Value *window_sum(Build *b, Value *d, const Win *w, Type x)
{
    DimTable *t = &b->ctx->dims;
    const Dim *lo[DLVK_MAX_RANK], *hi[DLVK_MAX_RANK];
    for (int i = 0; i < w->rank; i++) {
        d = grad_spread(b, d, i, w->step[i]);
        if (!d) return NULL;
        const Dim *reach = dim_const(t, (w->window[i] - 1) * w->dilation[i]);
        lo[i] = dim_sub(t, reach, w->lo[i]);
        hi[i] = dim_sub(t, dim_add(t, x.dim[i], reach), dim_add(t, d->type.dim[i], lo[i]));
    }
    d = build_pad(b, d, lo, hi, build_scalar(b, x.dtype, 0));
    return build_window(b, KIND_SUM, d, w->window, NULL, w->dilation, NULL, NULL);
}

/* Windows by the places of the operand: place p + lo is number p % s of the p / s-th s places, s being the step. It is in the
 * window that begins `back` times s before for some of the numbers back = 0, 1, ..., n - 1 (n[i] on axis i). So an axis becomes
 * three: of times s places, of n if that is above 1, and of s if that is. */
typedef struct Asked {
    const Win *w;
    const Dim *count[DLVK_MAX_RANK]; /* times s places */
    int64_t back[DLVK_MAX_RANK];     /* the first number on each axis */
    int64_t n[DLVK_MAX_RANK];
    int64_t most[DLVK_MAX_RANK]; /* back + n at most */
} Asked;

/* The shape of all that is asked, or of what depends on the numbers alone; the axes of n go to `of_n`, if not NULL. Returns the
 * rank. */
static int asked_shape(Build *b, const Asked *q, bool numbers, const Dim **shape, int *of_n)
{
    int rank = 0;
    for (int i = 0; i < q->w->rank; i++) {
        shape[rank++] = numbers ? dim_const(&b->ctx->dims, 1) : q->count[i];
        if (q->n[i] > 1 && of_n) *of_n++ = rank;
        if (q->n[i] > 1) shape[rank++] = dim_const(&b->ctx->dims, q->n[i]);
        if (q->w->step[i] > 1) shape[rank++] = dim_const(&b->ctx->dims, q->w->step[i]);
    }
    return rank;
}

/* v[... - back ...] along the windows' axes, in that shape. */
static Value *shifted(Build *b, Value *v, const Asked *q, double outside)
{
    DimTable *t = &b->ctx->dims;
    const Dim *lo[DLVK_MAX_RANK], *hi[DLVK_MAX_RANK], *shape[DLVK_MAX_RANK];
    int axes[DLVK_MAX_RANK], n = 0, rank = q->w->rank;
    for (int i = 0; v && i < rank; i++) {
        lo[i] = dim_const(t, q->most[i] - 1);
        hi[i] = dim_max(t, dim_sub(t, q->count[i], v->type.dim[i]), dim_const(t, 0));
    }
    /* Padded for all that is asked alike: one kernel, of which each term reads a part. */
    v = build_pad(b, v, lo, hi, v ? build_scalar(b, v->type.dtype, outside) : NULL);
    for (int i = 0; v && i < rank; i++) {
        const Dim *from = dim_const(t, q->most[i] - q->back[i] - q->n[i]),
                  *all = dim_add(t, q->count[i], dim_const(t, q->n[i] - 1));
        if (v->type.dim[i] != all) v = build_slice_axis(b, v, i, from, all);
    }
    for (int i = rank - 1; i >= 0; i--) {
        if (q->n[i] == 1) continue;
        const Dim *all[] = {q->count[i], dim_const(t, q->n[i])};
        Value *at = build_map2s(b, OP_ADD, build_iota(b, DLVK_I32, 2, all, 0), (double)(q->n[i] - 1));
        v = build_gather(b, v, build_map2(b, OP_SUB, at, build_iota(b, DLVK_I32, 2, all, 1)), i);
    }
    rank = asked_shape(b, q, false, shape, NULL);
    for (int i = 0, at = 0; i < q->w->rank; i++) {
        at += 1 + (q->n[i] > 1);
        if (q->w->step[i] > 1) axes[n++] = at++;
    }
    return build_broadcast(b, n ? build_unsqueeze(b, v, n, axes) : v, rank, shape);
}

/* Where in the window the place lies; negative: outside it. NULL: nowhere is one inside, or after an error. */
static Value *place_of(Build *b, const Asked *q)
{
    const Win *w = q->w;
    const Dim *shape[DLVK_MAX_RANK];
    int64_t dim[DLVK_MAX_RANK], count = 1;
    int rank = asked_shape(b, q, true, shape, NULL);
    for (int i = 0; i < rank; i++) count *= dim_is_const(shape[i], &dim[i]) ? dim[i] : 1;
    int32_t *place = POOL_ARRAY(b->ctx->pool, int32_t, count);
    bool any = false;
    for (int64_t k = 0; k < count; k++) {
        int64_t rest = k, stride = 1;
        bool inside = true;
        for (int i = w->rank - 1; i >= 0; i--) {
            int64_t at = rest % w->step[i];
            rest /= w->step[i];
            at += (q->back[i] + rest % q->n[i]) * w->step[i];
            rest /= q->n[i];
            inside = inside && at % w->dilation[i] == 0 && at / w->dilation[i] < w->window[i];
            place[k] += (int32_t)(at / w->dilation[i] * stride);
            stride *= w->window[i];
        }
        if (!inside) place[k] = -1;
        any |= inside;
    }
    return any ? build_const(b, tensor_new(b->ctx->pool, DLVK_I32, rank, dim, place)) : NULL;
}

/* What the windows asked give to each place, the axes of n being summed; NULL: nothing. */
static Value *answers(Build *b, Value *best, Value *d, const Asked *q)
{
    const Dim *shape[DLVK_MAX_RANK];
    int of_n[DLVK_MAX_RANK], n = 0, rank = asked_shape(b, q, false, shape, of_n);
    Value *place = place_of(b, q);
    if (!place) return NULL;
    for (int i = 0; i < q->w->rank; i++) n += q->n[i] > 1;
    Value *found = build_map2(b, OP_EQ, shifted(b, best, q, -2), build_broadcast(b, place, rank, shape));
    Value *term = where(b, found, shifted(b, d, q, 0));
    return n ? build_reduce(b, KIND_SUM, term, n, of_n, false) : term;
}

enum { FEW_TERMS = 9, MOST_PLACES = 4096 };

/* Of windows with too many places: they scatter what they got. */
static Value *window_scatter(Adjoint *a)
{
    Build *b = a->b;
    Value *x = a->in[0], *d = a->d[0], *best = build_op(b, OP_ARGWINDOW, 1, &x, a->n->n_attr, a->n->attr);
    const Dim *count = type_count(b->ctx, x->type), *many = type_count(b->ctx, d->type);
    Value *none = build_full(b, type_make(b->ctx, x->type.dtype, 1, &count), 0);
    Value *sum = build_scatter(b, KIND_SUM, none, build_reshape(b, best, 1, &many), build_reshape(b, d, 1, &many));
    return reshape_like(b, sum, x);
}

/* How many times s before windows begin that have a place among s, on axis i. */
static int64_t hits(const Win *w, int i, int64_t most)
{
    int64_t n = 0;
    for (int64_t k = 0; k < most; k++) { /* k*step, ..., k*step + step-1: is a multiple of the dilation among them? */
        int64_t next = (k * w->step[i] + w->dilation[i] - 1) / w->dilation[i];
        n += next * w->dilation[i] < (k + 1) * w->step[i] && next < w->window[i];
    }
    return n;
}

/* Extreme windows: the place found gets it all. An element asks all the windows that it is in, each by its own term if they are
 * few. */
static Value *window_extreme(Adjoint *a, const Win *w)
{
    Build *b = a->b;
    DimTable *t = &b->ctx->dims;
    Value *x = a->in[0], *d = a->d[0];
    Asked q = {.w = w};
    int64_t terms = 1, places = 1, most[DLVK_MAX_RANK];
    const Dim *whole[DLVK_MAX_RANK], *zero = dim_const(t, 0);
    int rank = 0;
    for (int i = 0; i < w->rank; i++) {
        most[i] = (w->window[i] - 1) * w->dilation[i] / w->step[i] + 1;
        bool fits = places <= MOST_PLACES && most[i] <= MOST_PLACES && w->step[i] <= MOST_PLACES;
        places = fits ? places * most[i] * w->step[i] : MOST_PLACES + 1;
        terms = fits ? terms * hits(w, i, most[i]) : MOST_PLACES;
        q.count[i] = dim_ceildiv(t, dim_add(t, x->type.dim[i], w->lo[i]), dim_const(t, w->step[i]));
        whole[i] = dim_mul(t, q.count[i], dim_const(t, w->step[i]));
        q.n[i] = 1;
        q.most[i] = most[i];
        rank += 1 + (most[i] > 1) + (w->step[i] > 1);
    }
    if (places > MOST_PLACES || rank > DLVK_MAX_RANK) return window_scatter(a);
    Attr *attr = POOL_ARRAY(b->ctx->pool, Attr, a->n->n_attr + 1);
    memcpy(attr, a->n->attr, (size_t)a->n->n_attr * sizeof *attr);
    attr[a->n->n_attr] = at_i(A_PLACE, 1);
    Value *best = build_cast(b, build_op(b, OP_ARGWINDOW, 1, &x, a->n->n_attr + 1, attr), DLVK_I32), *sum = NULL;
    bool few = terms <= FEW_TERMS;
    for (int i = 0; i < w->rank && !few; i++) q.n[i] = most[i];
    for (bool last = !best; !last;) {
        Value *term = answers(b, best, d, &q);
        sum = sum && term ? add(b, sum, term) : term ? term : sum;
        last = true;
        for (int i = w->rank - 1; i >= 0 && few && last; i--) {
            last = ++q.back[i] == most[i];
            if (last) q.back[i] = 0;
        }
    }
    sum = build_reshape(b, sum, w->rank, whole);
    for (int i = 0; sum && i < w->rank; i++)
        if (whole[i] != x->type.dim[i] || w->lo[i] != zero) sum = build_slice_axis(b, sum, i, w->lo[i], x->type.dim[i]);
    return sum;
}

void adjoint_window(Adjoint *a)
{
    Win w = win_of(a->n);
    Kind k = kind_of(a->n);
    if (k == KIND_SUM)
        a->dx[0] = window_sum(a->b, a->d[0], &w, a->in[0]->type);
    else if (k == KIND_MAX || k == KIND_MIN)
        a->dx[0] = window_extreme(a, &w);
    else
        grad_blocked(a, "a window of kind %s has no gradient", kind_name[k]);
}

/* The inverse of the permutation is its argsort. */
void adjoint_sort(Adjoint *a)
{
    Build *b = a->b;
    int axis = (int)attr_i(a->n, A_AXIS, 0);
    Value *sorted, *inverse;
    if (a->d[0] && build_sort(b, a->out[1], axis, false, &sorted, &inverse))
        a->dx[0] = grad_take_along(b, a->d[0], inverse, axis);
}
