/* Adjoints of contractions: contractions again. */
#include <string.h>

#include "passes/grad_internal.h"

static Value *matrix_transposed(Build *b, Value *x)
{
    int perm[DLVK_MAX_RANK], r = x->type.rank;
    for (int i = 0; i < r; i++) perm[i] = i;
    perm[r - 2] = r - 1;
    perm[r - 1] = r - 2;
    return build_transpose(b, x, perm);
}

void adjoint_dot(Adjoint *a)
{
    Build *b = a->b;
    if (wants(a, 0)) a->dx[0] = build_dot(b, a->d[0], matrix_transposed(b, a->in[1]));
    if (wants(a, 1)) a->dx[1] = build_dot(b, matrix_transposed(b, a->in[0]), a->d[0]);
}

/* Place k of the window at t reads element i of x where t*step + k*dilation = i*in_dilation + lo. All three roles in this
 * relation can be exchanged, which gives both adjoints as convolutions. */
typedef struct Spec {
    int spatial;
    int64_t group;
    const int64_t *step, *dilation, *in_dilation;
    const Dim *const *lo;
} Spec;

/* [..., g*m] to [..., g, m] with the axis g moved to `to`, in front of m or before everything else. */
static Value *split_last(Build *b, Value *x, int64_t groups)
{
    DimTable *t = &b->ctx->dims;
    const Dim *shape[DLVK_MAX_RANK];
    int r = x->type.rank;
    if (r == DLVK_MAX_RANK) {
        ctx_error(b->ctx, DLVK_UNSUPPORTED, "the gradient of a grouped convolution of rank %d", r);
        return NULL;
    }
    for (int i = 0; i < r - 1; i++) shape[i] = x->type.dim[i];
    shape[r - 1] = dim_const(t, groups);
    shape[r] = dim_floordiv(t, x->type.dim[r - 1], dim_const(t, groups));
    return build_reshape(b, x, r + 1, shape);
}

/* The last two axes as one. */
static Value *join_last(Build *b, Value *x)
{
    const Dim *shape[DLVK_MAX_RANK];
    if (!x) return NULL;
    int r = x->type.rank;
    for (int i = 0; i < r - 2; i++) shape[i] = x->type.dim[i];
    shape[r - 2] = dim_mul(&b->ctx->dims, x->type.dim[r - 2], x->type.dim[r - 1]);
    return build_reshape(b, x, r - 1, shape);
}

/* [k..., ci/g, co] to [k..., co/g, ci], turned round in space. */
static Value *turned_weights(Build *b, Value *w, const Spec *s)
{
    int axes[DLVK_MAX_RANK], perm[DLVK_MAX_RANK];
    for (int i = 0; i < s->spatial; i++) axes[i] = i;
    if (s->spatial) w = build_reverse(b, w, s->spatial, axes);
    if (w && s->group == 1) return matrix_transposed(b, w);
    if (!w || !(w = split_last(b, w, s->group))) return NULL; /* [k..., ci/g, g, co/g] */
    for (int i = 0; i < s->spatial; i++) perm[i] = i;
    perm[s->spatial] = s->spatial + 2;
    perm[s->spatial + 1] = s->spatial + 1;
    perm[s->spatial + 2] = s->spatial;
    return join_last(b, build_transpose(b, w, perm));
}

/* Steps larger than 1. Along an axis, place p = q*step + phase of the input is reached by place k of the window at t = q + o
 * where k = phase + lo - o*step. So d, convolved in steps of 1 over the few offsets o, gives all phases, each a set of channels
 * of its own; nothing is multiplied by the zeros that dilating d would put between its elements. */
typedef struct Phases {
    int64_t first, offsets, phases; /* of o; a window of one place reaches a single phase, the first */
    int64_t before;                 /* k + before = phase + (offsets - 1 - (o - first)) * step */
} Phases;

static bool has_phases(const Value *w, const Spec *s, Phases *p)
{
    bool any = false;
    for (int i = 0; i < s->spatial; i++) {
        int64_t k, lo, step = s->step[i];
        if (!dim_is_const(w->type.dim[i], &k) || !dim_is_const(s->lo[i], &lo) || k < 1 || lo < 0 || lo >= k) return false;
        if (s->dilation[i] != 1 || s->in_dilation[i] != 1) return false;
        int64_t last = (step - 1 + lo) / step;
        p[i].first = -((k - 1 - lo) / step);
        p[i].offsets = last - p[i].first + 1;
        p[i].phases = k == 1 ? 1 : step;
        p[i].before = last * step - lo;
        any |= step > 1;
    }
    return any && s->group == 1 && 3 * s->spatial + 2 <= DLVK_MAX_RANK;
}

/* [k..., ci, co] to [offsets..., co, phases... * ci]. */
static Value *phase_weights(Build *b, Value *w, const Spec *s, const Phases *p)
{
    DimTable *t = &b->ctx->dims;
    const Dim *lo[DLVK_MAX_RANK], *hi[DLVK_MAX_RANK], *shape[DLVK_MAX_RANK], *zero = dim_const(t, 0);
    int n = s->spatial, axes[DLVK_MAX_RANK], perm[DLVK_MAX_RANK];
    lo[n] = hi[n] = lo[n + 1] = hi[n + 1] = zero;
    for (int i = 0; i < n; i++) {
        lo[i] = dim_const(t, p[i].before);
        hi[i] = dim_sub(t, dim_const(t, p[i].offsets * p[i].phases - p[i].before), w->type.dim[i]);
        shape[2 * i] = dim_const(t, p[i].offsets);
        shape[2 * i + 1] = dim_const(t, p[i].phases);
    }
    shape[2 * n] = w->type.dim[n], shape[2 * n + 1] = w->type.dim[n + 1];
    w = build_reshape(b, build_pad(b, w, lo, hi, build_scalar(b, w->type.dtype, 0)), 2 * n + 2, shape);
    for (int i = 0; w && i < n; i++) {
        axes[i] = 2 * i;
        perm[i] = 2 * i;
        perm[n + 1 + i] = 2 * i + 1;
    }
    perm[n] = 2 * n + 1;
    perm[2 * n + 1] = 2 * n;
    w = build_transpose(b, build_reverse(b, w, n, axes), perm);
    for (int i = 0; w && i < n; i++) w = join_last(b, w);
    return w;
}

static Value *wrt_strided_input(Build *b, Value *x, Value *w, Value *d, const Spec *s, const Phases *p)
{
    DimTable *t = &b->ctx->dims;
    const Dim *lo[DLVK_MAX_RANK], *hi[DLVK_MAX_RANK], *shape[DLVK_MAX_RANK], *zero = dim_const(t, 0);
    int n = s->spatial, perm[DLVK_MAX_RANK];
    for (int i = 0; i < n; i++) {
        const Dim *places = dim_ceildiv(t, x->type.dim[i + 1], dim_const(t, s->step[i]));
        lo[i] = dim_const(t, -p[i].first);
        hi[i] = dim_sub(t, dim_add(t, places, dim_const(t, p[i].offsets - 1)), dim_add(t, d->type.dim[i + 1], lo[i]));
        shape[i + 1] = places;
        shape[n + 1 + i] = dim_const(t, p[i].phases);
        perm[1 + 2 * i] = i + 1;
        perm[2 + 2 * i] = n + 1 + i;
    }
    shape[0] = x->type.dim[0], shape[2 * n + 1] = x->type.dim[n + 1];
    perm[0] = 0, perm[2 * n + 1] = 2 * n + 1;
    ConvSpec c = {.spatial = n, .lo = lo, .hi = hi, .group = 1};
    Value *y = build_transpose(b, build_reshape(b, build_conv(b, d, phase_weights(b, w, s, p), &c), 2 * n + 2, shape), perm);
    if (!y) return NULL;
    for (int i = 0; i < 2 * n + 2; i++) { /* the phases that no window reaches */
        bool phase = i > 0 && i <= 2 * n && i % 2 == 0;
        lo[i] = zero;
        hi[i] = phase ? dim_const(t, s->step[i / 2 - 1] - p[i / 2 - 1].phases) : zero;
    }
    y = build_pad(b, y, lo, hi, build_scalar(b, y->type.dtype, 0));
    for (int i = 0; i < n; i++) shape[i + 1] = dim_mul(t, shape[i + 1], dim_const(t, s->step[i]));
    shape[n + 1] = x->type.dim[n + 1];
    y = build_reshape(b, y, n + 2, shape);
    for (int i = 0; y && i < n; i++)
        if (shape[i + 1] != x->type.dim[i + 1]) y = build_slice_axis(b, y, i + 1, zero, x->type.dim[i + 1]);
    return y;
}

static Value *wrt_input(Build *b, Value *x, Value *w, Value *d, const Spec *s)
{
    DimTable *t = &b->ctx->dims;
    const Dim *lo[DLVK_MAX_RANK], *hi[DLVK_MAX_RANK], *one = dim_const(t, 1);
    Phases phases[DLVK_MAX_RANK];
    if (has_phases(w, s, phases)) return wrt_strided_input(b, x, w, d, s, phases);
    for (int i = 0; i < s->spatial; i++) {
        const Dim *reach = dim_mul(t, dim_sub(t, w->type.dim[i], one), dim_const(t, s->dilation[i]));
        const Dim *have = dim_mul(t, dim_sub(t, d->type.dim[i + 1], one), dim_const(t, s->step[i]));
        const Dim *want = dim_mul(t, dim_sub(t, x->type.dim[i + 1], one), dim_const(t, s->in_dilation[i]));
        lo[i] = dim_sub(t, reach, s->lo[i]);
        hi[i] = dim_add(t, dim_sub(t, want, have), s->lo[i]);
    }
    ConvSpec c = {.spatial = s->spatial,
                  .step = s->in_dilation,
                  .in_dilation = s->step,
                  .dilation = s->dilation,
                  .lo = lo,
                  .hi = hi,
                  .group = s->group};
    return build_conv(b, d, turned_weights(b, w, s), &c);
}

/* Windows of one place, next to each other: a matrix product. */
static bool is_product(const Value *x, const Value *w, const Value *d, const Spec *s)
{
    bool one = s->group == 1;
    for (int i = 0; i < s->spatial; i++)
        one = one && dim_is(w->type.dim[i], 1) && s->step[i] == 1 && s->in_dilation[i] == 1 && dim_is(s->lo[i], 0) &&
              x->type.dim[i + 1] == d->type.dim[i + 1];
    return one;
}

/* [n, s..., c] to [n*s..., c] */
static Value *as_rows(Build *b, Value *x)
{
    const Dim *shape[] = {type_count(b->ctx, (Type){x->type.dtype, x->type.rank - 1, x->type.dim}),
                          x->type.dim[x->type.rank - 1]};
    return build_reshape(b, x, 2, shape);
}

/* The batch is contracted: it stands where channels stood, and x's channels where the batch stood. */
static Value *wrt_weights(Build *b, Value *x, Value *w, Value *d, const Spec *s)
{
    DimTable *t = &b->ctx->dims;
    const Dim *lo[DLVK_MAX_RANK], *hi[DLVK_MAX_RANK], *one = dim_const(t, 1);
    int perm[DLVK_MAX_RANK], n = s->spatial;
    if (is_product(x, w, d, s)) return reshape_like(b, build_dot(b, matrix_transposed(b, as_rows(b, x)), as_rows(b, d)), w);
    for (int i = 0; i < n; i++) {
        const Dim *reach = dim_mul(t, dim_sub(t, w->type.dim[i], one), dim_const(t, s->dilation[i]));
        const Dim *out = dim_mul(t, dim_sub(t, d->type.dim[i + 1], one), dim_const(t, s->step[i]));
        const Dim *in = dim_mul(t, dim_sub(t, x->type.dim[i + 1], one), dim_const(t, s->in_dilation[i]));
        lo[i] = s->lo[i];
        hi[i] = dim_sub(t, dim_add(t, reach, out), dim_add(t, in, s->lo[i]));
    }
    for (int i = 0; i < n; i++) perm[i + 1] = i + 1;
    perm[0] = n + 1;
    perm[n + 1] = 0;
    if (s->group == 1) {
        x = build_transpose(b, x, perm);
    } else { /* [n, s..., g, ci/g] to [ci/g, s..., g*n] */
        x = split_last(b, x, s->group);
        perm[0] = n + 2;
        perm[n + 1] = n + 1;
        perm[n + 2] = 0;
        x = x ? join_last(b, build_transpose(b, x, perm)) : NULL;
    }
    if (!x) return NULL;
    for (int i = 0; i < n; i++) perm[i] = i + 1; /* d: [n, t..., co] to [t..., n, co] */
    perm[n] = 0;
    perm[n + 1] = n + 1;
    d = build_transpose(b, d, perm);
    ConvSpec c = {.spatial = n,
                  .step = s->dilation,
                  .in_dilation = s->in_dilation,
                  .dilation = s->step,
                  .lo = lo,
                  .hi = hi,
                  .group = s->group};
    Value *y = build_conv(b, x, d, &c); /* [ci/g, k..., co] to [k..., ci/g, co]: perm again */
    return build_transpose(b, y, perm);
}

void adjoint_conv(Adjoint *a)
{
    const Node *n = a->n;
    Spec s = {.spatial = n->in[0]->type.rank - 2,
              .group = attr_i(n, A_GROUP, 1),
              .step = attr_ints(n, A_STEP),
              .dilation = attr_ints(n, A_DILATION),
              .in_dilation = attr_ints(n, A_IN_DILATION),
              .lo = attr_dims(n, A_LO)};
    if (wants(a, 0)) a->dx[0] = wrt_input(a->b, a->in[0], a->in[1], a->d[0], &s);
    if (wants(a, 1)) a->dx[1] = wrt_weights(a->b, a->in[0], a->in[1], a->d[0], &s);
}
