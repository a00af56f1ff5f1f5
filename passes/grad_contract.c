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
    if (!w || !(w = split_last(b, w, s->group))) return NULL; /* [k..., ci/g, g, co/g] */
    for (int i = 0; i < s->spatial; i++) perm[i] = i;
    perm[s->spatial] = s->spatial + 2;
    perm[s->spatial + 1] = s->spatial + 1;
    perm[s->spatial + 2] = s->spatial;
    return join_last(b, build_transpose(b, w, perm));
}

static Value *wrt_input(Build *b, Value *x, Value *w, Value *d, const Spec *s)
{
    DimTable *t = &b->ctx->dims;
    const Dim *lo[DLVK_MAX_RANK], *hi[DLVK_MAX_RANK], *one = dim_const(t, 1);
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

/* The batch is contracted: it stands where channels stood, and x's channels where the batch stood. */
static Value *wrt_weights(Build *b, Value *x, Value *w, Value *d, const Spec *s)
{
    DimTable *t = &b->ctx->dims;
    const Dim *lo[DLVK_MAX_RANK], *hi[DLVK_MAX_RANK], *one = dim_const(t, 1);
    int perm[DLVK_MAX_RANK], n = s->spatial;
    for (int i = 0; i < n; i++) {
        const Dim *reach = dim_mul(t, dim_sub(t, w->type.dim[i], one), dim_const(t, s->dilation[i]));
        const Dim *out = dim_mul(t, dim_sub(t, d->type.dim[i + 1], one), dim_const(t, s->step[i]));
        const Dim *in = dim_mul(t, dim_sub(t, x->type.dim[i + 1], one), dim_const(t, s->in_dilation[i]));
        lo[i] = s->lo[i];
        hi[i] = dim_sub(t, dim_add(t, reach, out), dim_add(t, in, s->lo[i]));
    }
    x = split_last(b, x, s->group); /* [n, s..., g, ci/g] to [ci/g, s..., g*n] */
    if (!x) return NULL;
    perm[0] = n + 2;
    for (int i = 0; i < n; i++) perm[i + 1] = i + 1;
    perm[n + 1] = n + 1;
    perm[n + 2] = 0;
    x = join_last(b, build_transpose(b, x, perm));
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
