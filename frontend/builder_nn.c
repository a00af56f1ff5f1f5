/* The graph builder: contractions, convolution, pooling, attention, losses. */
#include "frontend/builder.h"
#include <math.h>

dlvk_value dlvk_matmul(dlvk_graph *g, dlvk_value x, dlvk_value y)
{
    BUILDER_RETURN(g, "matmul", build_matmul(&g->b, inside(x), inside(y)));
}

static Value *linear(dlvk_graph *g, Value *x, Value *w, Value *bias)
{
    const int swap[] = {1, 0};
    if (!x || !w) return NULL;
    if (w->type.rank != 2) {
        BUILDER_ERROR(g, "a weight of rank %d", w->type.rank);
        return NULL;
    }
    Value *y = build_matmul(&g->b, x, build_transpose(&g->b, w, swap));
    return bias ? build_map2(&g->b, OP_ADD, y, bias) : y;
}

dlvk_value dlvk_linear(dlvk_graph *g, dlvk_value x, dlvk_value w, dlvk_value bias)
{
    BUILDER_RETURN(g, "linear", linear(g, inside(x), inside(w), inside(bias)));
}

/* ---- windows ---- */

dlvk_window dlvk_window_2d(int64_t kernel, int64_t stride, int64_t pad)
{
    return (dlvk_window){
        .struct_size = sizeof(dlvk_window), .kernel = {kernel, kernel}, .stride = {stride, stride}, .pad = {pad, pad}};
}

typedef struct Window {
    int n;
    int64_t step[3], dilation[3], group;
    const Dim *lo[3], *hi[3];
} Window;

/* The spec's entries for x's spatial axes, with defaults; false with an error. */
static bool read_window(dlvk_graph *g, Value *x, const dlvk_window *o, Window *w)
{
    if (!x) return false;
    w->n = x->type.rank - 2;
    if (!o || w->n < 1 || w->n > 3) {
        BUILDER_ERROR(g, "a window over a value of rank %d; ranks 3 to 5 are possible", x->type.rank);
        return false;
    }
    w->group = o->groups ? o->groups : 1;
    for (int i = 0; i < w->n; i++) {
        w->step[i] = o->stride[i] ? o->stride[i] : 1;
        w->dilation[i] = o->dilation[i] ? o->dilation[i] : 1;
        w->lo[i] = dim_of_int(&g->b, o->pad[i]);
        w->hi[i] = dim_of_int(&g->b, o->pad[i] + o->pad_end[i]);
        if (w->step[i] < 1 || w->dilation[i] < 1 || w->group < 1) {
            BUILDER_ERROR(g, "stride %lld, dilation %lld, groups %lld", (long long)w->step[i], (long long)w->dilation[i],
                          (long long)w->group);
            return false;
        }
    }
    return true;
}

static Value *convolve(dlvk_graph *g, Value *x, Value *w, Value *bias, const dlvk_window *o, bool transposed)
{
    Window s;
    if (!w || !read_window(g, x, o, &s)) return NULL;
    if (w->type.rank != x->type.rank) {
        BUILDER_ERROR(g, "a weight of rank %d for a value of rank %d", w->type.rank, x->type.rank);
        return NULL;
    }
    for (int i = 0; i < s.n && transposed; i++) s.hi[i] = plus_int(&g->b, s.hi[i], -o->output_padding[i]);
    ConvSpec c = {.spatial = s.n, .step = s.step, .dilation = s.dilation, .lo = s.lo, .hi = s.hi, .group = s.group};
    Value *y = transposed ? compose_conv_transpose(&g->b, x, w, &c) : build_conv_nchw(&g->b, x, w, &c);
    return compose_affine(&g->b, y, NULL, bias, 1);
}

dlvk_value dlvk_convolve(dlvk_graph *g, dlvk_value x, dlvk_value w, dlvk_value bias, const dlvk_window *o)
{
    BUILDER_RETURN(g, "convolve", convolve(g, inside(x), inside(w), inside(bias), o, false));
}

dlvk_value dlvk_convolve_transposed(dlvk_graph *g, dlvk_value x, dlvk_value w, dlvk_value bias, const dlvk_window *o)
{
    BUILDER_RETURN(g, "convolve_transposed", convolve(g, inside(x), inside(w), inside(bias), o, true));
}

typedef enum Pooling { POOL_REDUCE, POOL_ARG, POOL_AVERAGE } Pooling;

static Value *pool(dlvk_graph *g, Pooling how, dlvk_kind k, Value *x, const dlvk_window *o)
{
    Window w;
    Kind kind;
    unsigned extremes = 1 << DLVK_MAX | 1 << DLVK_MIN, all = extremes | 1 << DLVK_SUM | 1 << DLVK_PROD;
    if (!read_window(g, x, o, &w) || !builder_kind(g, k, how == POOL_ARG ? extremes : all, &kind)) return NULL;
    PoolSpec s = {.n = w.n, .ceil_mode = o->ceil_mode};
    for (int i = 0; i < w.n; i++) {
        s.window[i] = o->kernel[i];
        s.step[i] = w.step[i];
        s.dilation[i] = w.dilation[i];
        s.lo[i] = w.lo[i];
        s.hi[i] = w.hi[i];
        if (o->kernel[i] < 1) {
            BUILDER_ERROR(g, "a window of size %lld", (long long)o->kernel[i]);
            return NULL;
        }
    }
    if (how == POOL_AVERAGE) return compose_average_pool(&g->b, x, &s, o->count_padding);
    return how == POOL_ARG ? compose_arg_pool(&g->b, kind, x, &s) : compose_pool(&g->b, kind, x, &s);
}

dlvk_value dlvk_window_reduce(dlvk_graph *g, dlvk_kind k, dlvk_value x, const dlvk_window *o)
{
    BUILDER_RETURN(g, "window_reduce", pool(g, POOL_REDUCE, k, inside(x), o));
}

dlvk_value dlvk_arg_window(dlvk_graph *g, dlvk_kind k, dlvk_value x, const dlvk_window *o)
{
    BUILDER_RETURN(g, "arg_window", pool(g, POOL_ARG, k, inside(x), o));
}

dlvk_value dlvk_max_pool(dlvk_graph *g, dlvk_value x, const dlvk_window *o)
{
    BUILDER_RETURN(g, "max_pool", pool(g, POOL_REDUCE, DLVK_MAX, inside(x), o));
}

dlvk_value dlvk_average_pool(dlvk_graph *g, dlvk_value x, const dlvk_window *o)
{
    BUILDER_RETURN(g, "average_pool", pool(g, POOL_AVERAGE, DLVK_SUM, inside(x), o));
}

static Value *global_average_pool(dlvk_graph *g, Value *x)
{
    int axes[DLVK_MAX_RANK];
    if (!x) return NULL;
    int n = axes_from(2, x->type.rank, axes);
    return n ? build_mean(&g->b, x, n, axes, false) : x;
}

dlvk_value dlvk_global_average_pool(dlvk_graph *g, dlvk_value x)
{
    BUILDER_RETURN(g, "global_average_pool", global_average_pool(g, inside(x)));
}

static Value *attention(dlvk_graph *g, Value *q, Value *k, Value *v, Value *mask, bool causal, double scale)
{
    if (!q || !k || !v) return NULL;
    if (q->type.rank < 2 || k->type.rank < 2 || v->type.rank < 2) {
        BUILDER_ERROR(g, "operands of rank %d, %d and %d", q->type.rank, k->type.rank, v->type.rank);
        return NULL;
    }
    if (scale == 0) {
        int64_t size;
        if (!builder_known(g, q->type.dim[q->type.rank - 1], "the head size", &size)) return NULL;
        scale = 1 / sqrt((double)size);
    }
    AttentionSpec s = {.scale = scale, .has_right = causal, .mask = mask, .softmax_type = q->type.dtype};
    return compose_attention(&g->b, q, k, v, &s);
}

dlvk_value dlvk_attention(dlvk_graph *g, dlvk_value q, dlvk_value k, dlvk_value v, dlvk_value mask, bool causal, double scale)
{
    BUILDER_RETURN(g, "attention", attention(g, inside(q), inside(k), inside(v), inside(mask), causal, scale));
}

/* ---- losses ---- */

static Value *nll(dlvk_graph *g, Value *scores, Value *target, bool logits)
{
    if (!scores || !target) return NULL;
    if (scores->type.rank < 2 || !dtype_is_int(target->type.dtype)) {
        BUILDER_ERROR(g, "scores of rank %d, targets of type %s", scores->type.rank, dtype_name(target->type.dtype));
        return NULL;
    }
    if (logits) scores = build_softmax(&g->b, scores, 1, true);
    return compose_nll_loss(&g->b, scores, target, NULL, false, 0, LOSS_MEAN);
}

dlvk_value dlvk_mse_loss(dlvk_graph *g, dlvk_value x, dlvk_value target)
{
    BUILDER_RETURN(g, "mse_loss", compose_mse_loss(&g->b, inside(x), inside(target), LOSS_MEAN));
}

dlvk_value dlvk_l1_loss(dlvk_graph *g, dlvk_value x, dlvk_value target)
{
    BUILDER_RETURN(g, "l1_loss", compose_l1_loss(&g->b, inside(x), inside(target), LOSS_MEAN));
}

dlvk_value dlvk_huber_loss(dlvk_graph *g, dlvk_value x, dlvk_value target, double delta)
{
    BUILDER_RETURN(g, "huber_loss", compose_huber_loss(&g->b, inside(x), inside(target), delta, LOSS_MEAN));
}

dlvk_value dlvk_cross_entropy_loss(dlvk_graph *g, dlvk_value logits, dlvk_value target)
{
    BUILDER_RETURN(g, "cross_entropy_loss", nll(g, inside(logits), inside(target), true));
}

dlvk_value dlvk_nll_loss(dlvk_graph *g, dlvk_value log_prob, dlvk_value target)
{
    BUILDER_RETURN(g, "nll_loss", nll(g, inside(log_prob), inside(target), false));
}

dlvk_value dlvk_bce_loss(dlvk_graph *g, dlvk_value logits, dlvk_value target)
{
    BUILDER_RETURN(g, "bce_loss", compose_bce_loss(&g->b, inside(logits), inside(target), LOSS_MEAN));
}
