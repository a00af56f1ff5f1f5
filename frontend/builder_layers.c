/* The graph builder: layers, which are made of its other public functions and of parameters in a scope of their own. */
#include "frontend/builder.h"
#include <math.h>
#include <stdio.h>

typedef struct Sizes { /* a shape of numbers as text */
    char text[DLVK_MAX_RANK * 24];
} Sizes;

static Sizes sizes(int n, const int64_t *dim)
{
    Sizes s = {.text = ""};
    int at = 0;
    for (int i = 0; i < n; i++)
        at += snprintf(s.text + at, sizeof s.text - (size_t)at, "%s%lld", i ? "," : "", (long long)dim[i]);
    return s;
}

static bool known_axis(dlvk_graph *g, Value *x, int axis, int64_t *size)
{
    BUILDER_GUARD(g, "layer", {
        int a = builder_axis(g, axis, x->type.rank);
        return a >= 0 && builder_known(g, x->type.dim[a], "the size of the axis that a layer's weights run along", size);
    });
    return false;
}

/* Opens a layer: its scope, and the size of x's axis. False, with nothing open, when x is missing or the size unknown. */
static bool layer_begin(dlvk_graph *g, const char *name, dlvk_value x, int axis, int64_t *size)
{
    if (!g || !x) return false;
    dlvk_scope_push(g, name);
    if (known_axis(g, inside(x), axis, size)) return true;
    dlvk_scope_pop(g);
    return false;
}

static dlvk_value layer_end(dlvk_graph *g, dlvk_value y)
{
    dlvk_scope_pop(g);
    return y;
}

static dlvk_value vector(dlvk_graph *g, const char *name, dlvk_value like, int64_t n, dlvk_init init)
{
    return dlvk_parameter(g, name, dlvk_type(like), sizes(1, &n).text, init, 1);
}

/* How far from 0 weights and biases begin: Kaiming's uniform initialisation (He et al. 2015) with a slope of sqrt(5), as
 * PyTorch's layers. */
static double kaiming_bound(int64_t fan_in)
{
    return 1 / sqrt((double)(fan_in > 0 ? fan_in : 1));
}

dlvk_value dlvk_dense(dlvk_graph *g, dlvk_value x, const char *name, int64_t units)
{
    int64_t in;
    if (!layer_begin(g, name, x, -1, &in)) return NULL;
    double bound = kaiming_bound(in);
    dlvk_value w = dlvk_parameter(g, "weight", dlvk_type(x), sizes(2, (int64_t[]){units, in}).text, DLVK_INIT_UNIFORM, bound);
    dlvk_value bias = dlvk_parameter(g, "bias", dlvk_type(x), sizes(1, &units).text, DLVK_INIT_UNIFORM, bound);
    return layer_end(g, bias ? dlvk_linear(g, x, w, bias) : NULL);
}

static dlvk_value conv(dlvk_graph *g, dlvk_value x, const char *name, int64_t channels, const dlvk_window *o, bool transposed)
{
    int64_t in;
    if (!o || !layer_begin(g, name, x, 1, &in)) return NULL;
    int64_t groups = o->groups > 0 ? o->groups : 1, dim[5] = {channels, in / groups};
    if (transposed) {
        dim[0] = in;
        dim[1] = channels / groups;
    }
    int rank = dlvk_rank(x);
    for (int i = 2; i < rank && i < 5; i++) dim[i] = o->kernel[i - 2];
    int64_t fan_in = 1;
    for (int i = 1; i < rank && i < 5; i++) fan_in *= dim[i];
    double bound = kaiming_bound(fan_in);
    dlvk_value w = dlvk_parameter(g, "weight", dlvk_type(x), sizes(rank < 5 ? rank : 5, dim).text, DLVK_INIT_UNIFORM, bound);
    dlvk_value bias =
        o->no_bias ? NULL : dlvk_parameter(g, "bias", dlvk_type(x), sizes(1, &channels).text, DLVK_INIT_UNIFORM, bound);
    bool ok = w && (bias || o->no_bias);
    return layer_end(g, !ok ? NULL : transposed ? dlvk_convolve_transposed(g, x, w, bias, o) : dlvk_convolve(g, x, w, bias, o));
}

dlvk_value dlvk_conv(dlvk_graph *g, dlvk_value x, const char *name, int64_t channels, const dlvk_window *o)
{
    return conv(g, x, name, channels, o, false);
}

dlvk_value dlvk_conv_transposed(dlvk_graph *g, dlvk_value x, const char *name, int64_t channels, const dlvk_window *o)
{
    return conv(g, x, name, channels, o, true);
}

static dlvk_value batch_norm(dlvk_graph *g, dlvk_value x, const dlvk_value p[4], double epsilon)
{
    BatchNormSpec s = {.epsilon = epsilon, .momentum = 0.9};
    BUILDER_RETURN(g, "batch_norm",
                   mode_batch_norm(&g->b, &g->parts, inside(x), inside(p[0]), inside(p[1]), inside(p[2]), inside(p[3]), &s));
}

dlvk_value dlvk_dropout(dlvk_graph *g, dlvk_value x, double rate)
{
    BUILDER_RETURN(g, "dropout", mode_dropout(&g->b, &g->parts, inside(x), build_scalar(&g->b, DLVK_F32, rate), NULL));
}

dlvk_value dlvk_batch_norm(dlvk_graph *g, dlvk_value x, const char *name, double epsilon)
{
    int64_t c;
    if (!layer_begin(g, name, x, 1, &c)) return NULL;
    dlvk_value p[] = {vector(g, "weight", x, c, DLVK_INIT_ONES), vector(g, "bias", x, c, DLVK_INIT_ZEROS),
                      vector(g, "running_mean", x, c, DLVK_INIT_ZEROS), vector(g, "running_var", x, c, DLVK_INIT_ONES)};
    return layer_end(g, batch_norm(g, x, p, epsilon));
}

static dlvk_value layer_norm(dlvk_graph *g, dlvk_value x, dlvk_value w, dlvk_value bias, double epsilon)
{
    BUILDER_RETURN(g, "layer_norm", compose_layer_norm(&g->b, inside(x), inside(w), inside(bias), dlvk_rank(x) - 1, epsilon));
}

dlvk_value dlvk_layer_norm(dlvk_graph *g, dlvk_value x, const char *name, double epsilon)
{
    int64_t n;
    if (!layer_begin(g, name, x, -1, &n)) return NULL;
    dlvk_value w = vector(g, "weight", x, n, DLVK_INIT_ONES), bias = vector(g, "bias", x, n, DLVK_INIT_ZEROS);
    return layer_end(g, layer_norm(g, x, w, bias, epsilon));
}

static dlvk_value rms_norm(dlvk_graph *g, dlvk_value x, dlvk_value w, double epsilon)
{
    BUILDER_RETURN(g, "rms_norm", compose_rms_norm(&g->b, inside(x), inside(w), dlvk_rank(x) - 1, epsilon, true));
}

dlvk_value dlvk_rms_norm(dlvk_graph *g, dlvk_value x, const char *name, double epsilon)
{
    int64_t n;
    if (!layer_begin(g, name, x, -1, &n)) return NULL;
    return layer_end(g, rms_norm(g, x, vector(g, "weight", x, n, DLVK_INIT_ONES), epsilon));
}

static dlvk_value group_norm(dlvk_graph *g, dlvk_value x, dlvk_value w, dlvk_value bias, int64_t groups, double epsilon)
{
    BUILDER_RETURN(g, "group_norm", compose_group_norm(&g->b, inside(x), inside(w), inside(bias), groups, epsilon, true));
}

/* groups 0: one a channel. */
static dlvk_value group_norm_layer(dlvk_graph *g, dlvk_value x, const char *name, int64_t groups, double epsilon)
{
    int64_t c;
    if (!layer_begin(g, name, x, 1, &c)) return NULL;
    dlvk_value w = vector(g, "weight", x, c, DLVK_INIT_ONES), bias = vector(g, "bias", x, c, DLVK_INIT_ZEROS);
    return layer_end(g, group_norm(g, x, w, bias, groups ? groups : c, epsilon));
}

dlvk_value dlvk_group_norm(dlvk_graph *g, dlvk_value x, const char *name, int64_t groups, double epsilon)
{
    return group_norm_layer(g, x, name, groups > 0 ? groups : -1, epsilon);
}

dlvk_value dlvk_instance_norm(dlvk_graph *g, dlvk_value x, const char *name, double epsilon)
{
    return group_norm_layer(g, x, name, 0, epsilon);
}

dlvk_value dlvk_embedding(dlvk_graph *g, dlvk_value indices, const char *name, dlvk_dtype t, int64_t count, int64_t size)
{
    if (!g || !indices) return NULL;
    dlvk_scope_push(g, name);
    dlvk_value w = dlvk_parameter(g, "weight", t, sizes(2, (int64_t[]){count, size}).text, DLVK_INIT_NORMAL, 0.02);
    return layer_end(g, dlvk_gather(g, w, indices, 0));
}

/* [batch,seq,width] as [batch,heads,seq,width/heads], and back. */
static Value *to_heads(dlvk_graph *g, Value *x, int64_t heads)
{
    if (!x) return NULL;
    const Dim *const *d = x->type.dim, *shape[] = {d[0], d[1], dim_of_int(&g->b, heads), floor_of(&g->b, d[2], heads)};
    return build_transpose(&g->b, build_reshape(&g->b, x, 4, shape), (const int[]){0, 2, 1, 3});
}

static Value *from_heads(dlvk_graph *g, Value *x)
{
    if (!x) return NULL;
    const Dim *const *d = x->type.dim, *shape[] = {d[0], d[2], times(&g->b, d[1], d[3])};
    return build_reshape(&g->b, build_transpose(&g->b, x, (const int[]){0, 2, 1, 3}), 3, shape);
}

static dlvk_value split_heads(dlvk_graph *g, dlvk_value x, int64_t heads)
{
    BUILDER_RETURN(g, "heads", to_heads(g, inside(x), heads));
}
static dlvk_value join_heads(dlvk_graph *g, dlvk_value x)
{
    BUILDER_RETURN(g, "heads", from_heads(g, inside(x)));
}
static void bad_heads(dlvk_graph *g, int rank, int64_t width, int64_t heads)
{
    BUILDER_GUARD(
        g, "self_attention",
        BUILDER_ERROR(g, "%lld heads over a value of rank %d and width %lld", (long long)heads, rank, (long long)width));
}

dlvk_value dlvk_self_attention(dlvk_graph *g, dlvk_value x, const char *name, int64_t heads, dlvk_value mask, bool causal)
{
    static const char *const names[] = {"query", "key", "value"};
    int64_t width;
    dlvk_value part[3];
    if (!layer_begin(g, name, x, -1, &width)) return NULL;
    if (dlvk_rank(x) != 3 || heads < 1 || width % heads) {
        bad_heads(g, dlvk_rank(x), width, heads);
        return layer_end(g, NULL);
    }
    for (int i = 0; i < 3; i++) part[i] = split_heads(g, dlvk_dense(g, x, names[i], width), heads);
    dlvk_value y = join_heads(g, dlvk_attention(g, part[0], part[1], part[2], mask, causal, 0));
    return layer_end(g, dlvk_dense(g, y, "out", width));
}
