/* Depthwise convolutions that compute what they work on, a product of matrices: what fills
 * codegen/glsl/contract_expand.comp.glsl. A variant of the depthwise one's kernel, beside those that work on what the product's
 * kernel has left in memory; so all sizes and devices that it is not for have both kernels. */
#include <string.h>

#include "codegen/contract.h"
#include "dlvk/runtime.h"
#include "ir/view.h"

enum { STRIP = 8, MAT = 16, CHUNK = 5, LANES = 32, PROCESSORS = 132, SHARED_BYTES = 40 << 10 };

/* Numbers, in the order of the template's constants from CHANNELS and BAND on, which are the workgroup's. */
typedef struct Sizes {
    int64_t inner, all, high, wide, out_high, out_wide, rows, columns, step_y, step_x, top, left;
    int64_t a_base, a_image, a_pixel, b_base, b_row, w_base, w_row, w_column; /* in memory */
} Sizes;

typedef struct Expand {
    Contraction c;
    Expansion x;
    Affine a, b; /* the matrices */
    Sizes n;
} Expand;

static bool analyse(KernelGen *kg, Expand *t)
{
    DimTable *dt = &kg->ctx->dims;
    t->c = contract_analyse(kg);
    if (!view_expansion(kg->kernel->anchor, &t->x) || !t->c.b.affine) return false;
    const Contraction *c = &t->c;
    Value *a = t->x.conv->in[0]->def->in[0], *b = t->x.conv->in[1]->def->in[0];
    if (!value_affine(kg, a, &t->a) || !value_affine(kg, b, &t->b)) return false;
    const Affine *w = &c->b.at;
    const Dim *size[] = {a->type.dim[3],
                         b->type.dim[3],
                         a->type.dim[1],
                         a->type.dim[2],
                         c->out->type.dim[1],
                         c->out->type.dim[2],
                         c->tap[0].count,
                         c->tap[1].count,
                         dim_const(dt, c->tap[0].step),
                         dim_const(dt, c->tap[1].step),
                         c->tap[0].lo,
                         c->tap[1].lo,
                         t->a.base,
                         t->a.stride[0],
                         t->a.stride[2],
                         t->b.base,
                         t->b.stride[2],
                         w->base,
                         c->tap[0].b_stride,
                         c->tap[1].b_stride};
    enum { N = sizeof size / sizeof *size, LIE = 8 };
    int64_t *n = &t->n.inner;
    for (int i = 0; i < N; i++) /* places in whole vectors */
        if (!dim_is_const(size[i], &n[i]) || (i >= N - LIE && n[i] % STRIP)) return false;
    return dim_is(t->a.stride[3], 1) && dim_is(t->b.stride[3], 1) && dim_is(c->b_n, 1) &&
           t->a.stride[1] == dim_mul(dt, t->a.stride[2], a->type.dim[2]);
}

/* Pixels that a band's first part computes, those of band number `at`; all of them if there are fewer rows. */
static int64_t pixels_of(const Sizes *n, int64_t band, int64_t at)
{
    int64_t first = at * band * n->step_y - n->top, last = first + (band - 1) * n->step_y + n->rows;
    if (first < 0) first = 0;
    return ((last < n->high ? last : n->high) - first) * n->wide;
}

typedef struct Shape {
    int channels, subgroups;
    int64_t band, time; /* rows of the result; estimated nanoseconds, 0: there is none */
} Shape;

/* The time of a shape, for so many images, as measured on one GPU (docs/performance.md): what is always there, the work of a
 * workgroup, which processors share, and what each waits for. */
static int64_t time_of(const Sizes *n, const Shape *x, int64_t images)
{
    int64_t bands = (n->out_high + x->band - 1) / x->band, most = 0, fewest = INT64_MAX, steps = (n->inner + MAT - 1) / MAT;
    for (int64_t i = 0; i < bands; i++) {
        int64_t pixels = pixels_of(n, x->band, i);
        most = pixels > most ? pixels : most;
        fewest = pixels < fewest ? pixels : fewest;
    }
    int64_t chunk = steps < CHUNK ? steps : CHUNK, across = 2 * chunk > x->channels / 4 ? 2 * chunk : x->channels / 4;
    int64_t bytes = 2 * x->channels * (most + 8) + steps * MAT * (x->channels + 8) * 2 + x->subgroups * MAT * (across + 1) * 16;
    if (fewest < MAT || bytes > SHARED_BYTES) return 0;
    int64_t groups = images * bands * (n->all / x->channels), tiles = x->channels / MAT, invocations = x->subgroups * LANES;
    int64_t rounds = (most + x->subgroups * MAT - 1) / (x->subgroups * MAT);
    int64_t places = (x->band * n->out_wide * x->channels / STRIP + invocations - 1) / invocations;
    int64_t work = x->subgroups * (300 + rounds * (170 * tiles + 34 * steps * (tiles + 1)) + 150 * places) / 4;
    /* The last wave may leave processors idle, but workgroups that share one overlap. */
    int64_t waves = (groups + PROCESSORS - 1) / PROCESSORS, busy = groups > PROCESSORS ? groups : PROCESSORS;
    return 4000 + work * (3 * busy + PROCESSORS * waves) / (4 * PROCESSORS) + rounds * (43 * tiles + 51 * steps * (tiles + 1));
}

/* The same of the two kernels. */
static int64_t time_apart(const Sizes *n, int64_t images)
{
    return 9300 + images * n->all * (254 * n->high * n->wide + 150 * n->out_high * n->out_wide) / 100000;
}

static Shape choose_shape(const Sizes *n, int64_t images)
{
    Shape best = {0};
    for (int channels = 16; channels <= 32 && n->all % channels == 0; channels *= 2)
        for (int subgroups = 4; subgroups <= 8; subgroups *= 2)
            for (int64_t band = 1; band <= n->out_high; band++) {
                Shape x = {.channels = channels, .subgroups = subgroups, .band = band};
                x.time = time_of(n, &x, images);
                if (x.time && (!best.time || x.time < best.time)) best = x;
            }
    return best;
}

/* What becomes of eight neighbouring sums of the product, sum[]: x, as many halves; and before, what is the same for all pixels.
 */
static const char *expanded(Shader *s, const Expand *t, const char **columns)
{
    DimTable *dt = &s->ctx->dims;
    Piece outer = contract_begin(s);
    s->role = "hidden";
    strip_begin(s, STRIP, "HALVES");
    const Dim *strips = dim_const(dt, t->n.all / STRIP);
    const Ix *zero = ix_const(s, 0), *channel = ix_mul(s, ix_var(s, "hidden_strip", strips), dim_const(dt, STRIP));
    channel = ix_add(s, channel, s->strip.j);
    const Ix *ax[] = {zero, zero, zero, channel};
    Value *last = t->x.stored->def->in[0], *sum = t->x.conv->out[0];
    strip_open(s);
    contract_column_values(s, sum, last, channel, 0);
    strip_close(s);
    *columns = contract_cut(s, outer);
    Piece inner = contract_begin(s);
    const char *y = strip_declare(s, "float", NULL, true);
    strip_open(s);
    sh_line(s, "float one = sum[j];");
    emit_bind(s, sum, index_of_axes(sum->type, ax), "one");
    sh_line(s, "%s = %s;", y, emit_value(s, last, index_of_axes(last->type, ax)));
    strip_close(s);
    int stem = (int)(strchr(y, '[') - y);
    for (int i = 0; i < 4; i++) sh_line(s, "x[%d] = f16_pair(%.*s[%d], %.*s[%d]);", i, stem, y, 2 * i, stem, y, 2 * i + 1);
    s->strip = (Strip){0};
    s->role = NULL;
    const char *text = contract_end(s, inner);
    contract_end(s, outer);
    return text;
}

static bool one_shape(KernelGen *kg, const Expand *t, Shape shape, const Dim *when)
{
    DimTable *dt = &kg->ctx->dims;
    const Contraction *c = &t->c;
    Shader *s = shader_new(kg, DLVK_FEATURE_WAVE | DLVK_FEATURE_COOPMAT | DLVK_FEATURE_FLOAT16 | DLVK_FEATURE_STORAGE16);
    s->covers = true;
    s->when = when;
    const int64_t spec[] = {shape.subgroups, MAT, LANES, shape.channels, shape.band}, *sizes = &t->n.inner;
    for (size_t i = 0; i < sizeof spec / sizeof *spec; i++) *VEC_PUSH(s->pool, s->spec) = (uint32_t)spec[i];
    for (size_t i = 0; i < sizeof t->n / sizeof *sizes; i++) *VEC_PUSH(s->pool, s->spec) = (uint32_t)sizes[i];
    const Dim *images = c->out->type.dim[0];
    int64_t bands = (t->n.out_high + shape.band - 1) / shape.band;
    s->grid[0] = dim_mul(dt, images, dim_const(dt, bands * (t->n.all / shape.channels)));
    const char *columns, *before = expanded(s, t, &columns);
    Contraction all = *c; /* to what stands behind, channels are columns */
    all.n = c->z;
    all.z = dim_const(dt, 1);
    Epilogue behind = contract_epilogue(s, &all, LANES_STRIPS);
    const Hole holes[] = {
        {"widths", behind.width},
        {"images", arg_size(s, images, "images")},
        {"a", arg_buffer(s, t->a.buffer, false, "BufU32")},
        {"b", arg_buffer(s, t->b.buffer, false, "BufU32")},
        {"w", arg_buffer(s, c->b.at.buffer, false, "BufU32")},
        {"expanded_columns", columns},
        {"expanded", before},
        {"column_values", behind.column_values},
        {"results", behind.results},
        {"value", behind.value},
        {"put", behind.put},
    };
    contract_assemble(s, "contract_expand.comp.glsl", sizeof holes / sizeof *holes, holes);
    return !*behind.width;
}

static bool same_shape(const Shape *a, const Shape *b)
{
    return a->channels == b->channels && a->subgroups == b->subgroups && a->band == b->band;
}

/* For up to so many images as long as that should take clearly less time than two kernels; for more of them other shapes may be
 * better. */
void gen_expand(KernelGen *kg)
{
    enum { MOST = 4 }; /* images for which this has been measured */
    Expand t = {0};
    DimTable *dt = &kg->ctx->dims;
    if (!analyse(kg, &t)) return;
    const Dim *images = dim_max(dt, t.c.out->type.dim[0], dim_const(dt, 1));
    Shape shape = {0};
    bool ok = true, all = false;
    for (int64_t n = 1; ok && !all && n <= MOST + 1; n++) {
        Shape next = n & (n - 1) ? shape : choose_shape(&t.n, n);
        next.time = next.band && n <= MOST ? time_of(&t.n, &next, n) : 0;
        bool wins = next.time && next.time + next.time / 4 < time_apart(&t.n, n);
        if (n > 1 && !(wins && same_shape(&shape, &next))) {
            const Dim *when = dim_floordiv(dt, dim_const(dt, n - 1), images);
            if (contract_may_run(&when)) ok = one_shape(kg, &t, shape, when);
            all = !when;
        }
        if (!wins) break;
        shape = next;
    }
    if (!ok) kg->variants.n = kg->args.n = kg->reads.n = kg->writes.n = 0;
}
