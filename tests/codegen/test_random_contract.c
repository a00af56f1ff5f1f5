/* Families of random graphs: matrix products and convolutions with what stands before and behind them; see random.h. */
#include "tests/codegen/random.h"

/* m, n and k: sizes about the edges of tiles, odd ones, 1, now and then 0. */
static const Dim *extent(Case *c)
{
    static const int64_t edges[] = {1, 1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 32, 33, 48, 63, 64, 65, 100};
    if (chance(c, 3)) return any_dim(c, 0, 2);
    if (c->bindings > 1) return any_dim(c, 1, chance(c, 50) ? 8 : 70);
    return fixed(c, edges[pick(c, sizeof edges / sizeof *edges)]);
}

FAMILY(dot, 40)
{
    const Dim *a[5], *b[5];
    int batch = chance(c, 50) ? 0 : 1 + pick(c, 2);
    DType t = chance(c, 85) ? float_type(c) : DLVK_I32;
    for (int i = 0; i < batch; i++) {
        a[i] = b[i] = any_dim(c, 1, 4);
        if (chance(c, 20)) a[i] = fixed(c, 1);
        if (chance(c, 20)) b[i] = fixed(c, 1);
    }
    a[batch] = extent(c);
    a[batch + 1] = b[batch] = extent(c);
    b[batch + 1] = extent(c);
    Value *x = operand(c, t, batch + 2, a, FILL_EVERYDAY), *y = operand(c, t, batch + 2, b, FILL_EVERYDAY);
    if (chance(c, 10)) y = build_reshape(&c->b, operand(c, t, 2, b + batch, FILL_EVERYDAY), 2, b + batch);
    result(c, epilogue(c, build_matmul(&c->b, x, y)));
}

/* What a precision pass leaves: values that went through f16, in f32 again. */
static Value *through_f16(Case *c, Value *v)
{
    if (v->type.dtype == DLVK_F16 && chance(c, 60)) return v;
    Value *half = v->type.dtype == DLVK_F16 ? v : build_cast(&c->b, v, DLVK_F16);
    return build_cast(&c->b, half, DLVK_F32);
}

/* Few tiles and long sums, which several workgroups share out. */
FAMILY(dot_long, 8)
{
    bool half = chance(c, 50);
    DType t = half && chance(c, 50) ? DLVK_F16 : DLVK_F32;
    const Dim *m = any_dim(c, 1, 90), *n = fixed(c, between(c, 1, 12) * (chance(c, 70) ? 8 : 1)), *batch = any_dim(c, 1, 3);
    const Dim *k =
        c->bindings > 1 && chance(c, 50) ? any_dim(c, 200, 700) : fixed(c, between(c, 25, 90) * (chance(c, 70) ? 8 : 7));
    const Dim *a[] = {batch, m, k}, *b[] = {batch, k, n}, *turned[] = {batch, n, k};
    Value *x = operand(c, t, 3, a, FILL_EVERYDAY), *y;
    if (chance(c, 30))
        y = build_transpose(&c->b, input(c, t, 3, turned, FILL_EVERYDAY), (int[]){0, 2, 1});
    else
        y = operand(c, t, 3, b, FILL_EVERYDAY);
    if (half) x = through_f16(c, x), y = build_cast(&c->b, through_f16(c, y), x->type.dtype);
    result(c, epilogue(c, build_matmul(&c->b, x, y)));
}

/* Products that are put together along some axis: stored straight into the whole, which others may read in part. */
FAMILY(dot_parts, 6)
{
    DType t = chance(c, 40) ? DLVK_F16 : DLVK_F32;
    int axis = pick(c, 3), parts = 2 + pick(c, 2);
    const Dim *size[3] = {any_dim(c, 1, 3), any_dim(c, 1, 40), any_dim(c, 1, 40)}, *k = any_dim(c, 1, 40);
    Value *part[3];
    for (int i = 0; i < parts; i++) {
        size[axis] = chance(c, 50) ? fixed(c, 8 * between(c, 1, 5)) : any_dim(c, 1, 40);
        const Dim *a[] = {size[0], size[1], k}, *b[] = {size[0], k, size[2]};
        Value *x = input(c, t, 3, a, FILL_EVERYDAY), *y = input(c, t, 3, b, FILL_EVERYDAY);
        part[i] = build_matmul(&c->b, build_cast(&c->b, x, DLVK_F32), build_cast(&c->b, y, DLVK_F32));
        if (chance(c, 50)) part[i] = build_point(&c->b, OP_NEG, 1, &part[i]);
        part[i] = build_cast(&c->b, part[i], t);
    }
    Value *whole = build_concat(&c->b, parts, part, axis);
    if (chance(c, 30)) result(c, build_point(&c->b, OP_NEG, 1, &part[pick(c, parts)]));
    if (chance(c, 30)) result(c, build_point(&c->b, OP_ABS, 1, (Value *[]){build_concat(&c->b, 2, part, axis)}));
    result(c, chance(c, 50) ? whole : epilogue(c, whole));
}

/* Layers that each read what all before them computed. */
FAMILY(dense, 6)
{
    DType t = chance(c, 50) ? DLVK_F16 : DLVK_F32;
    int layers = 2 + pick(c, 3), n = 1;
    const Dim *rows = any_dim(c, 1, 40), *width = fixed(c, chance(c, 70) ? 8 * between(c, 1, 4) : between(c, 1, 20));
    const Dim *d[] = {rows, width, any_dim(c, 1, 9)};
    Value *first = build_cast(&c->b, input(c, t, 3, d, FILL_EVERYDAY), DLVK_F32), *x[6];
    x[0] = build_cast(&c->b, build_reduce(&c->b, KIND_MAX, first, 1, (int[]){2}, false), t);
    for (int i = 0; i < layers; i++) {
        Value *all = n > 1 ? build_concat(&c->b, n, x, 1) : x[0];
        Value *y = build_cast(&c->b, all, DLVK_F32);
        const Dim *k = all->type.dim[1], *b[] = {k, width};
        if (chance(c, 70)) {
            Value *scaled[] = {y, input(c, DLVK_F32, 1, &k, FILL_EVERYDAY)};
            y = build_map(&c->b, OP_MUL, 2, scaled);
            if (chance(c, 50)) y = build_cast(&c->b, build_cast(&c->b, y, t), DLVK_F32);
        }
        Value *w = build_cast(&c->b, input(c, t, 2, b, FILL_EVERYDAY), DLVK_F32);
        x[n++] = build_cast(&c->b, build_matmul(&c->b, y, w), t);
    }
    Value *all = build_concat(&c->b, n, x, 1);
    result(c, chance(c, 50) ? all : build_point(&c->b, OP_NEG, 1, &all));
}

FAMILY(dot_bytes, 6)
{
    static const DType bytes[] = {DLVK_I8, DLVK_U8};
    const Dim *d[3] = {extent(c), extent(c), extent(c)};
    Value *in[2] = {input(c, bytes[pick(c, 2)], 2, d, FILL_WIDE), input(c, bytes[pick(c, 2)], 2, d + 1, FILL_WIDE)};
    Attr acc = {.id = A_DTYPE, .i = DLVK_I32};
    result(c, build_op(&c->b, OP_DOT, 2, in, 1, &acc));
}

static int64_t channels(Case *c)
{
    static const int64_t some[] = {1, 1, 2, 3, 4, 5, 7, 8, 9, 16, 17, 32, 33, 40};
    return some[pick(c, sizeof some / sizeof *some)];
}

static void any_conv(Case *c, DType t, bool half)
{
    int64_t step[3], dilation[3], in_dilation[3], kernel[3], group = 1, ci = channels(c), co = channels(c);
    const Dim *lo[3], *hi[3], *x_dims[5], *w_dims[5];
    int sp = chance(c, 60) ? 2 : 1 + pick(c, 3);
    if (chance(c, 35)) { /* groups; many with one channel each are depthwise */
        group = chance(c, 50) ? ci : between(c, 2, 5);
        if (chance(c, 50)) ci = 1;
        if (group * ci > 70) ci = 1;
        co = group * (chance(c, 50) ? 1 : between(c, 1, 9));
    }
    bool nchw = chance(c, 50), plain = chance(c, 30);
    x_dims[0] = any_dim(c, 1, 3);
    x_dims[nchw ? 1 : sp + 1] = fixed(c, ci * group);
    for (int i = 0; i < sp; i++) {
        kernel[i] = plain && chance(c, 70) ? 1 : between(c, 1, 5);
        step[i] = between(c, 1, chance(c, 50) ? 1 : 3);
        dilation[i] = between(c, 1, chance(c, 80) ? 1 : 3);
        in_dilation[i] = between(c, 1, chance(c, 85) ? 1 : 3);
        int64_t before = plain ? 0 : between(c, -1, kernel[i]), after = plain ? 0 : between(c, -1, kernel[i] + 1);
        lo[i] = fixed(c, before);
        hi[i] = fixed(c, after);
        /* large enough for one window */
        int64_t reach = (kernel[i] - 1) * dilation[i] + 1 - before - after,
                need = (reach - 1 + in_dilation[i] - 1) / in_dilation[i] + 1;
        if (need < 2) need = 2;
        x_dims[nchw ? i + 2 : i + 1] = any_dim(c, need, need + (sp == 1 ? 60 : sp == 2 ? 14 : 4));
        w_dims[nchw ? i + 2 : i] = fixed(c, kernel[i]);
    }
    w_dims[nchw ? 1 : sp] = fixed(c, ci);
    w_dims[nchw ? 0 : sp + 1] = fixed(c, co);
    ConvSpec s = {
        .spatial = sp, .step = step, .dilation = dilation, .in_dilation = in_dilation, .lo = lo, .hi = hi, .group = group};
    Value *x = operand(c, t, sp + 2, x_dims, FILL_EVERYDAY), *w = operand(c, t, sp + 2, w_dims, FILL_EVERYDAY);
    if (half) x = through_f16(c, x), w = build_cast(&c->b, through_f16(c, w), x->type.dtype);
    result(c, epilogue(c, nchw ? build_conv_nchw(&c->b, x, w, &s) : build_conv(&c->b, x, w, &s)));
}

FAMILY(conv, 60)
{
    any_conv(c, chance(c, 90) ? float_type(c) : DLVK_I32, false);
}

FAMILY(conv_half, 20)
{
    any_conv(c, chance(c, 50) ? DLVK_F16 : DLVK_F32, true);
}

/* Operands that lie along k or across it, sizes about the edges of the large tiles, sums long enough to be shared out;
 * every variant of the kernel. */
FAMILY(contract_variants, 4)
{
    static const DType types[] = {DLVK_F16, DLVK_F16, DLVK_F32, DLVK_F32, DLVK_BF16};
    c->variants = true;
    c->bindings = chance(c, 70) ? BINDINGS : 1;
    DType t = types[pick(c, 5)];
    bool wide = chance(c, 25);
    const Dim *m = any_dim(c, 1, 140), *n = fixed(c, wide ? 256 : between(c, 1, 12) * (chance(c, 70) ? 8 : 1)),
              *batch = fixed(c, chance(c, 70) ? 1 : 2);
    int64_t eights = wide ? between(c, 4, 12) : between(c, 4, 64);
    const Dim *k =
        c->bindings > 1 && chance(c, 40) ? any_dim(c, 30, wide ? 90 : 500) : fixed(c, eights * (chance(c, 70) ? 8 : 7));
    const Dim *a[] = {batch, m, k}, *b[] = {batch, k, n}, *at[] = {batch, k, m}, *bt[] = {batch, n, k};
    static const int turned[] = {0, 2, 1};
    bool turn_a = chance(c, 40), turn_b = chance(c, 40), f32 = chance(c, 50);
    Value *x = input(c, t, 3, turn_a ? at : a, FILL_EVERYDAY), *y = input(c, t, 3, turn_b ? bt : b, FILL_EVERYDAY);
    if (turn_a) x = build_transpose(&c->b, x, turned);
    if (turn_b) y = build_transpose(&c->b, y, turned);
    if (f32) x = build_cast(&c->b, x, DLVK_F32), y = build_cast(&c->b, y, DLVK_F32);
    result(c, epilogue(c, build_matmul(&c->b, x, y)));
}

FAMILY(conv_variants, 3)
{
    c->variants = true;
    bool half = chance(c, 50);
    any_conv(c, half ? DLVK_F16 : DLVK_F32, half);
}

/* A normalisation before a convolution of 1 x 1, of values that mixed precision stores: computed where they are loaded. */
FAMILY(conv_prologue, 4)
{
    c->variants = true;
    static const Op ops[] = {OP_MUL, OP_ADD, OP_SUB, OP_MAX, OP_MIN};
    const Attr stored[] = {{.id = A_DTYPE, .i = DLVK_F16}, {.id = A_STORED, .i = 1}};
    int64_t ci = chance(c, 60) ? 8 * between(c, 1, 20) : between(c, 1, 60), step[] = {between(c, 1, 2), 1}, one[] = {1, 1};
    const Dim *none[] = {fixed(c, 0), fixed(c, 0)}, *k[] = {fixed(c, 1), fixed(c, 1), fixed(c, ci), fixed(c, between(c, 1, 90))};
    const Dim *d[] = {any_dim(c, 1, 2), any_dim(c, 2, 9), any_dim(c, 2, 9), k[2]};
    Value *x = build_cast(&c->b, input(c, DLVK_F16, 4, d, FILL_EVERYDAY), DLVK_F32);
    x = build_point(&c->b, OP_NEG, 1, &x);
    x = build_cast(&c->b, build_op(&c->b, OP_CAST, 1, &x, 2, stored), DLVK_F32);
    for (int i = between(c, 1, 4); i > 0; i--) {
        const Dim *each[] = {k[0], k[0], k[0], chance(c, 70) ? k[2] : k[0]};
        Value *by[] = {x, constant(c, DLVK_F32, 4, each, false)};
        x = build_map(&c->b, ops[pick(c, 5)], 2, by);
    }
    x = build_cast(&c->b, build_op(&c->b, OP_CAST, 1, &x, 2, stored), DLVK_F32);
    Value *w = build_cast(&c->b, input(c, DLVK_F16, 4, k, FILL_EVERYDAY), DLVK_F32);
    ConvSpec s = {.spatial = 2, .step = step, .dilation = one, .in_dilation = one, .lo = none, .hi = none, .group = 1};
    result(c, epilogue(c, build_conv(&c->b, x, w, &s)));
}

/* A depthwise convolution of what a 1 x 1 gives, by way of pointwise code and 16 bits: one kernel or two. */
FAMILY(conv_expand, 4)
{
    c->variants = true;
    static const Op ops[] = {OP_MUL, OP_ADD, OP_SUB, OP_MAX, OP_MIN};
    const Attr stored[] = {{.id = A_DTYPE, .i = DLVK_F16}, {.id = A_STORED, .i = 1}};
    int64_t ci = 8 * between(c, 1, 9), co = 16 * between(c, 1, 4), one[] = {1, 1}, step[] = {between(c, 1, 2), between(c, 1, 2)};
    int64_t taps[] = {between(c, 2, 4), 0};
    taps[1] = between(c, 2, 9 / taps[0]);
    const Dim *none[] = {fixed(c, 0), fixed(c, 0)}, *ones = fixed(c, 1), *lo[2], *hi[2];
    const Dim *d[] = {any_dim(c, 1, 9), fixed(c, between(c, 5, 13)), fixed(c, between(c, 5, 20)), fixed(c, ci)};
    for (int i = 0; i < 2; i++) lo[i] = fixed(c, between(c, 0, taps[i] - 1)), hi[i] = fixed(c, between(c, 0, taps[i] - 1));
    Value *x = build_cast(&c->b, input(c, DLVK_F16, 4, d, FILL_EVERYDAY), DLVK_F32);
    x = build_point(&c->b, OP_NEG, 1, &x);
    x = build_cast(&c->b, build_op(&c->b, OP_CAST, 1, &x, 2, stored), DLVK_F32);
    const Dim *k[] = {ones, ones, d[3], fixed(c, co)}, *w[] = {fixed(c, taps[0]), fixed(c, taps[1]), ones, k[3]};
    ConvSpec s = {.spatial = 2, .step = one, .dilation = one, .in_dilation = one, .lo = none, .hi = none, .group = 1};
    x = build_conv(&c->b, x, build_cast(&c->b, input(c, DLVK_F16, 4, k, FILL_EVERYDAY), DLVK_F32), &s);
    for (int i = between(c, 0, 3); i > 0; i--) {
        const Dim *each[] = {ones, ones, ones, chance(c, 70) ? k[3] : ones};
        Value *by[] = {x, constant(c, DLVK_F32, 4, each, false)};
        x = build_map(&c->b, ops[pick(c, 5)], 2, by);
    }
    if (chance(c, 40)) x = build_map(&c->b, OP_MUL, 2, (Value *[]){x, build_point(&c->b, OP_SIGMOID, 1, &x)});
    Value *hidden = build_op(&c->b, OP_CAST, 1, &x, 2, stored);
    if (chance(c, 15)) result(c, hidden); /* somebody else wants it: two kernels */
    s = (ConvSpec){.spatial = 2, .step = step, .dilation = one, .in_dilation = one, .lo = lo, .hi = hi, .group = co};
    Value *by = build_cast(&c->b, input(c, DLVK_F16, 4, w, FILL_EVERYDAY), DLVK_F32);
    x = epilogue(c, build_conv(&c->b, build_cast(&c->b, hidden, DLVK_F32), by, &s));
    result(c, chance(c, 50) ? build_cast(&c->b, x, DLVK_F16) : x);
}

/* Depthwise convolutions and pooling of f16: several pixels an invocation, borders, steps, a vector of channels or not. */
FAMILY(windows_half, 6)
{
    c->variants = true;
    int64_t ci = chance(c, 75) ? 8 * between(c, 1, 5) : between(c, 1, 20);
    int64_t kernel[] = {1, between(c, 1, 4), between(c, 1, 5), 1}, step[] = {1, between(c, 1, 2), between(c, 1, 3), 1};
    int64_t dilation[] = {1, 1, chance(c, 85) ? 1 : 2, 1};
    const Dim *lo[4], *hi[4], *d[] = {any_dim(c, 1, 2), any_dim(c, 4, 9), any_dim(c, 10, 23), fixed(c, ci)};
    for (int i = 0; i < 4; i++) {
        lo[i] = fixed(c, between(c, 0, kernel[i] - 1));
        hi[i] = fixed(c, between(c, 0, kernel[i] - 1));
    }
    Value *x = input(c, DLVK_F16, 4, d, FILL_EVERYDAY), *y;
    if (chance(c, 30)) {
        y = build_window(&c->b, chance(c, 50) ? KIND_MAX : KIND_MIN, x, kernel, step, dilation, lo, hi);
    } else {
        const Dim *w[] = {fixed(c, kernel[1]), fixed(c, kernel[2]), fixed(c, 1), d[3]};
        ConvSpec s = {.spatial = 2, .step = step + 1, .dilation = dilation + 1, .lo = lo + 1, .hi = hi + 1, .group = ci};
        y = build_cast(&c->b, input(c, DLVK_F16, 4, w, FILL_EVERYDAY), DLVK_F32);
        y = build_conv(&c->b, build_cast(&c->b, x, DLVK_F32), y, &s);
    }
    y = epilogue(c, y);
    result(c, chance(c, 50) ? build_cast(&c->b, y, DLVK_F16) : y);
}

/* A few rows times a matrix. */
FAMILY(dot_vector, 4)
{
    c->variants = true;
    DType t = chance(c, 60) ? DLVK_F16 : DLVK_F32;
    const Dim *batch = any_dim(c, 1, 2), *m = any_dim(c, 1, 4), *n = fixed(c, 8 * between(c, 1, 9)), *k = any_dim(c, 1, 300);
    const Dim *a[] = {batch, m, k}, *b[] = {batch, k, n};
    Value *x = operand(c, t, 3, a, FILL_EVERYDAY), *y = input(c, t, 3, b, FILL_EVERYDAY);
    x = build_cast(&c->b, x, DLVK_F32);
    result(c, epilogue(c, build_matmul(&c->b, x, build_cast(&c->b, y, DLVK_F32))));
}
