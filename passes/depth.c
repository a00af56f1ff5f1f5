/* Space to depth: a convolution of a few channels that strides becomes one of many that does not.
 *
 * A pixel of three channels fills no vector, and matrix units are fed element by element: the first convolution of most image
 * models takes them longer than ten others. Blocks of step x step pixels become channels, zeros are put behind them up to a
 * multiple of eight, and the weights, which are constants, are laid out likewise, with zeros up to a multiple of the step.
 *
 * Only for values that will be f16 in memory, where matrix units wait. Requires: channels-last convolutions with constant weights
 * (after layout). Keeps: values up to the order of sums. Breaks: nothing. */
#include "passes/pass.h"
#include "passes/passes.h"

enum { VECTOR = 8, MOST_GROWTH = 3 }; /* multiplications may become so many times as many */

typedef struct Blocks {
    int spatial;
    int64_t step[DLVK_MAX_RANK], taps[DLVK_MAX_RANK]; /* taps: of the new convolution */
    int64_t channels;                                 /* of a block */
} Blocks;

static bool worth_it(const Node *n, Blocks *k)
{
    const Type x = n->in[0]->type, w = n->in[1]->type;
    const int64_t *step = attr_ints(n, A_STEP), *dilation = attr_ints(n, A_DILATION), *in_dilation = attr_ints(n, A_IN_DILATION);
    int r = x.rank;
    double before, after;
    k->spatial = r - 2;
    if (attr_i(n, A_GROUP, 1) != 1 || !step || 2 * k->spatial + 2 > DLVK_MAX_RANK || !dim_is_const(x.dim[r - 1], &k->channels))
        return false;
    if (k->channels % VECTOR == 0) return false;
    before = after = (double)k->channels;
    bool strides = false;
    for (int i = 0; i < k->spatial; i++) {
        int64_t size;
        if (!dim_is_const(w.dim[i], &size) || !dim_is_const(x.dim[i + 1], &(int64_t){0})) return false;
        if ((dilation && dilation[i] != 1) || (in_dilation && in_dilation[i] != 1)) return false;
        k->step[i] = step[i];
        k->taps[i] = (size + step[i] - 1) / step[i];
        k->channels *= step[i];
        strides |= step[i] > 1;
        before *= (double)size;
        after *= (double)(k->taps[i] * step[i]);
    }
    double padded = (double)((k->channels + VECTOR - 1) / VECTOR * VECTOR) / (double)k->channels;
    return strides && after * padded <= MOST_GROWTH * before;
}

/* v, whose axes from `first` on are k's spatial ones, in multiples of the step, and then one of channels: blocks become channels,
 * of which there are a multiple of VECTOR. What stands behind stays. */
static Value *to_depth(Build *b, Value *v, int first, const Blocks *k)
{
    DimTable *dt = &b->ctx->dims;
    const Dim *zero = dim_const(dt, 0), *shape[DLVK_MAX_RANK], *lo[DLVK_MAX_RANK], *hi[DLVK_MAX_RANK];
    int perm[DLVK_MAX_RANK], r = v->type.rank, n = k->spatial, at = first;
    for (int i = 0; i < r + n; i++) perm[i] = i;
    for (int i = 0; i < first; i++) shape[i] = v->type.dim[i];
    for (int i = 0; i < n; i++) {
        shape[first + 2 * i] = dim_floordiv(dt, v->type.dim[first + i], dim_const(dt, k->step[i]));
        shape[first + 2 * i + 1] = dim_const(dt, k->step[i]);
        perm[first + i] = first + 2 * i;
        perm[first + n + i] = first + 2 * i + 1;
    }
    for (int i = first + n; i < r; i++) shape[i + n] = v->type.dim[i];
    v = build_transpose(b, build_reshape(b, v, r + n, shape), perm);
    if (!v) return NULL;
    for (int i = 0; i < n; i++) shape[at++] = v->type.dim[first + i];
    shape[at++] = dim_const(dt, k->channels);
    for (int i = first + 2 * n + 1; i < r + n; i++) shape[at++] = v->type.dim[i];
    for (int i = 0; i < r; i++) lo[i] = hi[i] = zero;
    hi[first + n] = dim_const(dt, (VECTOR - k->channels % VECTOR) % VECTOR);
    return build_pad(b, build_reshape(b, v, r, shape), lo, hi, build_scalar(b, v->type.dtype, 0));
}

static bool depth(Rewrite *rw, const Node *old, Value *const *in, Value **out)
{
    Build *b = &rw->b;
    DimTable *dt = &b->ctx->dims;
    Blocks k;
    if (old->op != OP_CONV || !value_const(in[1], NULL) || !worth_it(old, &k)) return false;
    const Precision *p = b->ctx->precision;
    if (in[0]->type.dtype != DLVK_F16 && (in[0]->type.dtype != DLVK_F32 || !p || p->storage != DLVK_F16)) return false;
    const Dim *zero = dim_const(dt, 0), *lo[DLVK_MAX_RANK], *hi[DLVK_MAX_RANK], *const *border = attr_dims(old, A_LO);
    Value *x = in[0], *w = in[1], *none = build_scalar(b, x->type.dtype, 0);
    int r = x->type.rank;
    for (int i = 0; i < r; i++) lo[i] = hi[i] = zero;
    for (int i = 0; i < k.spatial; i++) { /* as much of the image as the taps see, whole blocks of it */
        const Dim *blocks = dim_add(dt, old->out[0]->type.dim[i + 1], dim_const(dt, k.taps[i] - 1));
        lo[i + 1] = border[i];
        hi[i + 1] = dim_sub(dt, dim_mul(dt, blocks, dim_const(dt, k.step[i])), dim_add(dt, border[i], x->type.dim[i + 1]));
    }
    x = to_depth(b, build_pad(b, x, lo, hi, none), 1, &k);
    for (int i = 0; i < r; i++) lo[i] = hi[i] = zero;
    for (int i = 0; i < k.spatial; i++) hi[i] = dim_sub(dt, dim_const(dt, k.taps[i] * k.step[i]), w->type.dim[i]);
    w = to_depth(b, build_pad(b, w, lo, hi, none), 0, &k);
    const Tensor *weights = x && w ? build_known(b, w) : NULL;
    if (!weights) return false;
    const ConvSpec spec = {.spatial = k.spatial, .group = 1};
    out[0] = build_conv(b, x, build_const(b, weights), &spec);
    return out[0] != NULL;
}

Graph *pass_depth(Graph *g)
{
    return graph_rewrite(g, depth, NULL, false);
}
