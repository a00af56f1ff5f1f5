/* Families of random graphs: gather, scatter, compaction, control flow; see random.h. */
#include "tests/codegen/random.h"

FAMILY(gather, 20)
{
    static const DType types[] = {DLVK_I64, DLVK_I32, DLVK_I64, DLVK_U8, DLVK_I16, DLVK_U32};
    const Dim *d[4], *at[2];
    int rank = 1 + pick(c, 4), axis = pick(c, rank), r = pick(c, 3);
    any_shape(c, rank, d);
    for (int i = 0; i < r; i++) at[i] = any_dim(c, 0, 7);
    Value *x = operand(c, any_type(c), rank, d, FILL_EVERYDAY);
    Value *idx = index_input(c, types[pick(c, 6)], r, at, -3, most(c, d[axis]) + 2);
    if (chance(c, 30)) idx = build_map2s(&c->b, OP_ADD, idx, 1);
    if (chance(c, 30)) idx = build_relu(&c->b, idx);
    if (dtype_bits(idx->type.dtype) == 64 && chance(c, 20)) idx = build_map2s(&c->b, OP_MUL, idx, 0x1p32 + 1);
    Value *y = build_gather(&c->b, x, idx, axis);
    result(c, chance(c, 50) ? moved(c, y) : epilogue(c, y));
}

/* Columns, of which neighbours are anywhere, of what depends on where along other axes: so many that GPUs' code computes several
 * neighbours at a time. */
FAMILY(columns, 4)
{
    const Dim *d[] = {fixed(c, between(c, 60, 70)), fixed(c, 4), fixed(c, 11)}, *at = fixed(c, 256), *none = fixed(c, 0),
              *two = fixed(c, 2);
    Value *x = input(c, DLVK_F32, 3, d, FILL_EVERYDAY), *idx = index_input(c, DLVK_I32, 1, &at, 0, 10);
    static const int64_t window[] = {2, 1, 1}, one[] = {1, 1, 1};
    switch ((int)(c->seed % 4)) {
    case 0:
        x = build_pad(&c->b, x, (const Dim *[]){two, none, none}, (const Dim *[]){none, none, none},
                      build_scalar(&c->b, DLVK_F32, 1));
        break;
    case 1: x = build_concat(&c->b, 2, (Value *[]){x, input(c, DLVK_F32, 3, d, FILL_EVERYDAY)}, 0); break;
    case 2:
        x = build_window(&c->b, KIND_SUM, x, window, one, one, (const Dim *[]){none, none, none},
                         (const Dim *[]){none, none, none});
        break;
    default: x = build_reduce(&c->b, KIND_MAX, x, 1, (int[]){1}, false);
    }
    result(c, build_gather(&c->b, x, idx, x->type.rank - 1));
}

FAMILY(scatter, 25)
{
    static const DType types[] = {DLVK_I64, DLVK_I32, DLVK_I64, DLVK_U8, DLVK_I16};
    static const Kind kinds[] = {KIND_SET, KIND_SUM, KIND_PROD, KIND_MAX, KIND_MIN};
    const Dim *d[3], *u[3], *m = chance(c, 60) ? any_dim(c, 0, 20) : any_dim(c, 120, 400); /* a few, or enough to sort */
    int rank = 1 + pick(c, 3);
    DType t = chance(c, 50) ? DLVK_F32 : (DType)pick(c, DLVK_STRING);
    if (t == DLVK_BOOL || (dtype_is_float(t) && dtype_bits(t) <= 8)) t = DLVK_I8;
    any_shape(c, rank, d);
    for (int i = 0; i < rank; i++) u[i] = i ? d[i] : m;
    Value *data = operand(c, t, rank, d, FILL_POSITIVE), *updates = operand(c, t, rank, u, FILL_POSITIVE);
    Value *idx = index_input(c, types[pick(c, 5)], 1, &m, -2, least(c, d[0]) + 1);
    Value *y = build_scatter(&c->b, kinds[pick(c, 5)], data, idx, updates);
    if (chance(c, 30)) y = build_scatter(&c->b, kinds[pick(c, 5)], y, idx, updates);
    result(c, epilogue(c, y));
}

/* Rows that a condition picks: their number is known only when it has run. */
FAMILY(compact, 15)
{
    const Dim *d[3];
    int rank = 1 + pick(c, 3), zero = 0;
    any_shape(c, rank, d);
    if (least(c, d[0]) == 0) d[0] = fixed(c, 9);
    Value *x = operand(c, DLVK_F32, rank, d, FILL_EVERYDAY), *row = x;
    for (int i = 1; i < rank; i++) row = build_reduce(&c->b, KIND_MAX, row, 1, (int[]){1}, false);
    Value *mask = build_map2s(&c->b, OP_GT, row, chance(c, 20) ? 100 : chance(c, 20) ? -100 : 0.5);
    Value *at = build_op(&c->b, OP_COMPACT, 1, &mask, 0, NULL);
    Value *y = build_gather(&c->b, x, at, 0);
    if (chance(c, 50)) y = build_relu(&c->b, y);
    if (chance(c, 50)) result(c, at);
    if (chance(c, 40)) result(c, build_reduce(&c->b, KIND_SUM, y, 1, &zero, chance(c, 50)));
    if (chance(c, 30)) result(c, build_concat(&c->b, 2, (Value *[]){y, x}, 0));
    result(c, y);
}

/* Transposes large enough for tiles of shared memory, of narrow elements too: whole tiles and parts of them, rows that begin in
 * the midst of a word. */
FAMILY(turned, 10)
{
    static const DType types[] = {DLVK_F16, DLVK_F16, DLVK_BF16, DLVK_F32, DLVK_U8, DLVK_I16};
    static const int orders[][3] = {{2, 1, 0}, {0, 2, 1}, {1, 2, 0}};
    DType t = types[pick(c, 6)];
    const Dim *d[3], *to[3];
    const int *order = orders[pick(c, 3)];
    for (int i = 0; i < 3; i++) {
        d[i] = fixed(c, between(c, 1, 10) * (chance(c, 60) ? 8 : chance(c, 50) ? 2 : 7));
        if (c->bindings > 1 && chance(c, 30)) d[i] = dim_mul(&c->c->dims, any_dim(c, 1, 12), fixed(c, chance(c, 50) ? 8 : 4));
        if (c->bindings > 1 && chance(c, 30)) d[i] = any_dim(c, 1, 80);
    }
    d[order[1] == 1 ? 1 : 0] = any_dim(c, 1, 4);
    for (int i = 0; i < 3; i++) to[i] = d[order[i]];
    Value *y = build_transpose(&c->b, operand(c, t, 3, d, FILL_EVERYDAY), order);
    if (chance(c, 30)) y = build_map2(&c->b, OP_ADD, y, build_transpose(&c->b, input(c, t, 3, d, FILL_EVERYDAY), order));
    if (chance(c, 30)) y = build_map2(&c->b, OP_MUL, y, input(c, t, 3, to, FILL_EVERYDAY));
    if (dtype_is_float(t) && chance(c, 30)) y = build_cast(&c->b, y, t == DLVK_F32 ? DLVK_F16 : DLVK_F32);
    result(c, y);
}

/* ---- control flow ----------------------------------------------------------------------------------------------------- */

/* Some code on v that keeps its shape; it may use `other`, of the same type, from outside of the region. */
static Value *step(Case *c, Build *b, Value *v, Value *other)
{
    int last = -1;
    switch (pick(c, 5)) {
    case 0: return build_map2(b, OP_ADD, v, other);
    case 1: return build_map1(b, OP_TANH, v);
    case 2: return v->type.rank ? build_softmax(b, v, last, false) : build_map1(b, OP_SIGMOID, v);
    case 3: return v->type.rank ? build_reverse(b, v, 1, &last) : v;
    default: return build_map2(b, OP_MUL, build_map2s(b, OP_ADD, v, 0.5), other);
    }
}

static Build inside(const Case *c, Region *r)
{
    return (Build){c->c, r, NULL};
}

static void yield(Case *c, Region *r, Value *v)
{
    cr_assert(v != NULL, "%s", c->c->diag.lines.n ? c->c->diag.lines.at[0] : "no value");
    *VEC_PUSH(&c->pool, r->results) = v;
}

static Node *any_if(Case *c, Build *b, Value *condition, Value *x, Value *other, int depth)
{
    Region *r[2];
    for (int k = 0; k < 2; k++) {
        r[k] = region_new(c->g, b->at);
        Build in = inside(c, r[k]);
        Value *v = chance(c, 15) ? x : step(c, &in, x, other);
        if (depth && chance(c, 40)) v = any_if(c, &in, condition, v, other, depth - 1)->out[0];
        yield(c, r[k], v);
        yield(c, r[k], build_map2s(&in, OP_MUL, other, k + 2));
    }
    Node *n = build_node(b, OP_IF, 1, &condition, 0, NULL, 2, r);
    cr_assert(n != NULL, "%s", c->c->diag.lines.n ? c->c->diag.lines.at[0] : "no node");
    return n;
}

FAMILY(branch, 12)
{
    const Dim *d[3];
    int rank = pick(c, 4);
    any_shape(c, rank, d);
    Value *x = input(c, DLVK_F32, rank, d, FILL_EVERYDAY), *other = operand(c, DLVK_F32, rank, d, FILL_EVERYDAY);
    Value *condition = input(c, DLVK_BOOL, 0, NULL, FILL_EVERYDAY);
    if (chance(c, 50)) condition = build_map2s(&c->b, OP_GT, build_reduce(&c->b, KIND_MAX, x, 0, NULL, false), 1);
    Node *n = any_if(c, &c->b, condition, step(c, &c->b, x, other), other, 1);
    result(c, step(c, &c->b, n->out[0], other));
    result(c, n->out[1]);
}

/* A loop: two carried values, which may change places, perhaps a condition, perhaps scanned values, of parts of bytes too. */
FAMILY(loop, 15)
{
    const Dim *d[3];
    int rank = pick(c, 4);
    any_shape(c, rank, d);
    Type t = type_make(c->c, DLVK_F32, rank, d);
    Value *x = input(c, DLVK_F32, rank, d, FILL_EVERYDAY), *other = operand(c, DLVK_F32, rank, d, FILL_EVERYDAY);
    Value *trips = chance(c, 50) ? index_input(c, DLVK_I64, 0, NULL, 0, 5) : build_scalar_i(&c->b, DLVK_I64, between(c, 0, 5));
    bool conditional = chance(c, 40), scanned = chance(c, 50);
    Value *go = conditional && chance(c, 50) ? input(c, DLVK_BOOL, 0, NULL, FILL_EVERYDAY) : build_scalar_i(&c->b, DLVK_BOOL, 1);
    const DType part[] = {DLVK_I4, DLVK_U4, DLVK_I2, DLVK_U2, DLVK_F4E2M1};
    Value *small = scanned && chance(c, 60) ? index_input(c, DLVK_I32, rank, d, 0, 1) : NULL;
    Region *r = region_new(c->g, c->g->top);
    Value *i = region_param(r, type_make(c->c, DLVK_I64, 0, NULL), NULL), *p = region_param(r, t, NULL),
          *q = region_param(r, t, NULL);
    Build b = inside(c, r);
    Value *count = build_cast(&b, i, DLVK_F32);
    Value *v = step(c, &b, p, other), *w = chance(c, 40) ? p : build_map2(&b, OP_ADD, q, count);
    if (chance(c, 30)) v = any_if(c, &b, build_map2s(&b, OP_LT, i, 2), v, w, 0)->out[0];
    yield(c, r, conditional ? build_map2s(&b, OP_LT, i, between(c, 0, 4)) : build_scalar_i(&b, DLVK_BOOL, 1));
    yield(c, r, chance(c, 30) ? w : v);
    yield(c, r, chance(c, 20) ? q : w);
    if (scanned) yield(c, r, chance(c, 50) ? v : count);
    if (small) yield(c, r, build_cast(&b, build_map2(&b, OP_ADD, small, build_cast(&b, i, DLVK_I32)), part[pick(c, 5)]));
    Value **out = build_loop(&c->b, trips, go, 2, (Value *[]){x, other}, r);
    cr_assert(out != NULL, "seed %llu: %s", (unsigned long long)c->seed, c->c->diag.lines.n ? c->c->diag.lines.at[0] : "no node");
    for (int k = 0; k < r->results.n - 1; k++) result(c, out[k]);
    if (chance(c, 50)) result(c, step(c, &c->b, out[0], other));
}
