/* Families of random graphs: attention as exporters write it, and as they do not; see random.h. What is drawn: where the scale
 * stands, masks of every kind, which rows they leave empty, shared heads of keys, merged batches, and in which order axes lie. */
#include <math.h>

#include "tests/codegen/random.h"

typedef struct Heads {
    const Dim *batch, *heads, *m, *n;
    int64_t d, e;
} Heads;

/* [batch, heads, length, size] from an input that lies otherwise. */
static Value *heads(Case *c, DType t, const Heads *h, const Dim *heads, const Dim *length, int64_t size)
{
    const Dim *split[] = {h->batch, length, heads, fixed(c, size)}, *plain[] = {h->batch, heads, length, fixed(c, size)};
    if (chance(c, 25)) return input(c, t, 4, plain, FILL_EVERYDAY);
    if (chance(c, 30)) return build_transpose(&c->b, input(c, t, 4, split, FILL_EVERYDAY), (int[]){0, 2, 1, 3});
    const Dim *flat[] = {h->batch, length, dim_mul(&c->c->dims, heads, fixed(c, size))};
    Value *x = input(c, t, 3, flat, FILL_EVERYDAY);
    if (chance(c, 30)) x = build_map2s(&c->b, OP_MUL, x, 0.5);
    return build_transpose(&c->b, build_reshape(&c->b, x, 4, split), (int[]){0, 2, 1, 3});
}

/* Each head of keys or values serves `times` heads of queries. */
static Value *repeated(Case *c, Value *x, int64_t times)
{
    const Dim *const *d = x->type.dim;
    const Dim *spread[] = {d[0], d[1], fixed(c, times), d[2], d[3]};
    const Dim *merged[] = {d[0], dim_mul(&c->c->dims, d[1], fixed(c, times)), d[2], d[3]};
    int axis = 2;
    if (times == 1) return x;
    return build_reshape(&c->b, build_broadcast(&c->b, build_unsqueeze(&c->b, x, 1, &axis), 5, spread), 4, merged);
}

/* Where keys are seen: by padding, or by order. */
static Value *seen(Case *c, const Heads *h, Value *scores)
{
    Build *b = &c->b;
    if (chance(c, 50)) {
        const Dim *shape[] = {h->batch, fixed(c, 1), chance(c, 50) ? h->m : fixed(c, 1), h->n};
        return input(c, DLVK_BOOL, 4, shape, FILL_EVERYDAY);
    }
    Type t = scores->type;
    Value *row = build_iota(b, DLVK_I64, 4, t.dim, 2), *col = build_iota(b, DLVK_I64, 4, t.dim, 3);
    return build_map2(b, OP_LE, build_map2(b, OP_ADD, col, build_scalar_i(b, DLVK_I64, between(c, -1, 1))), row);
}

static Value *masked(Case *c, const Heads *h, Value *s, bool *empty_rows)
{
    Build *b = &c->b;
    DType t = s->type.dtype;
    double none = chance(c, 50) ? -INFINITY : t == DLVK_F16 ? -65504 : -3.4028234663852886e38;
    *empty_rows = false;
    if (chance(c, 30)) { /* a bias by position */
        const Dim *shape[] = {fixed(c, 1), h->heads, h->m, h->n};
        s = build_map2(b, OP_ADD, s, input(c, t, 4, shape, FILL_EVERYDAY));
    }
    if (chance(c, 15)) s = build_map2s(b, OP_MUL, build_map1(b, OP_TANH, build_map2s(b, OP_DIV, s, 3)), 3);
    if (chance(c, 40)) return s;
    *empty_rows = true;
    if (chance(c, 50)) return build_map3(b, OP_SELECT, seen(c, h, s), s, build_scalar(b, t, none));
    Value *bias = build_map3(b, OP_SELECT, seen(c, h, s), build_scalar(b, t, 0), build_scalar(b, t, none));
    return build_map2(b, OP_ADD, s, bias);
}

/* Weights of empty rows made zeros, in either of two ways. */
static Value *without_nan(Case *c, Value *s, Value *p)
{
    Build *b = &c->b;
    Value *zero = build_scalar(b, p->type.dtype, 0);
    int last = -1;
    if (chance(c, 50)) return build_map3(b, OP_SELECT, build_map1(b, OP_IS_NAN, p), zero, p);
    Value *none = build_map2s(b, OP_EQ, build_reduce(b, KIND_MAX, s, 1, &last, true), -INFINITY);
    return build_map3(b, OP_SELECT, none, zero, p);
}

/* size: of heads; 0: any. eights: of their elements, at most */
static void any_attention(Case *c, DType t, int64_t longest, int64_t size, int64_t eights)
{
    Build *b = &c->b;
    int64_t times = chance(c, 25) ? 2 : 1, kv_heads = between(c, 1, 3);
    Heads h = {any_dim(c, 1, 2), fixed(c, kv_heads * times), any_dim(c, 1, longest), any_dim(c, 2, longest), 0, 0};
    h.d = chance(c, 60) ? 8 * between(c, 1, eights) : between(c, 1, 40);
    h.e = chance(c, 70) ? h.d : between(c, 1, 70);
    if (size) h.d = h.e = size;
    Value *q = heads(c, t, &h, h.heads, h.m, h.d), *k = heads(c, t, &h, fixed(c, kv_heads), h.n, h.d);
    Value *v = repeated(c, heads(c, t, &h, fixed(c, kv_heads), h.n, h.e), times);
    Value *kt = build_transpose(b, repeated(c, k, times), (int[]){0, 1, 3, 2});
    bool both = chance(c, 30), merged = chance(c, 20), empty;
    if (both) {
        q = build_map2s(b, OP_MUL, q, 0.6);
        kt = build_map2s(b, OP_MUL, kt, 0.6);
    }
    const Dim *const *dq = q->type.dim, *z[] = {dim_mul(&c->c->dims, h.batch, h.heads)};
    if (merged) {
        const Dim *three[][3] = {{z[0], h.m, dq[3]}, {z[0], dq[3], h.n}};
        q = build_reshape(b, q, 3, three[0]);
        kt = build_reshape(b, kt, 3, three[1]);
    }
    Value *s = build_matmul(b, q, kt);
    if (merged) {
        const Dim *four[] = {h.batch, h.heads, h.m, h.n};
        s = build_reshape(b, s, 4, four);
    }
    if (!both) s = chance(c, 50) ? build_map2s(b, OP_MUL, s, 0.3) : build_map2s(b, OP_DIV, s, 5.7);
    s = masked(c, &h, s, &empty);
    bool wide = t != DLVK_F32 && chance(c, 50);
    if (wide) s = build_cast(b, s, DLVK_F32);
    Value *p = build_softmax(b, s, -1, false);
    if (empty && chance(c, 40)) p = without_nan(c, s, p);
    if (wide) p = build_cast(b, p, t);
    Value *y = build_matmul(b, p, v);
    if (chance(c, 60)) {
        y = build_transpose(b, y, (int[]){0, 2, 1, 3});
        const Dim *flat[] = {h.batch, h.m, dim_mul(&c->c->dims, h.heads, fixed(c, h.e))};
        if (chance(c, 70)) y = build_reshape(b, y, 3, flat);
    }
    result(c, epilogue(c, y));
    if (chance(c, 10)) result(c, p); /* then the weights have to be stored, and there are three kernels */
}

FAMILY(attention, 16)
{
    any_attention(c, float_type(c), 40, 0, 5);
}

FAMILY(attention_half, 3)
{
    any_attention(c, DLVK_F16, 80, 0, 5);
}

/* Every variant of the kernel; heads of all sizes. */
FAMILY(attention_variants, 1)
{
    c->variants = true;
    any_attention(c, chance(c, 50) ? DLVK_F16 : DLVK_F32, 140, 0, chance(c, 40) ? 32 : 8);
}

/* The size that most models have, and some kernels are for. */
FAMILY(attention_64, 1)
{
    c->variants = chance(c, 50);
    any_attention(c, DLVK_F16, 140, 64, 0);
}

FAMILY(attention_long, 3)
{
    any_attention(c, DLVK_F32, 200, 0, 5);
}
