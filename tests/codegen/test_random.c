/* Families of random graphs: every pointwise op, casts, movement, sources; see random.h. */
#include "tests/codegen/random.h"

/* ---- pointwise: a row of ops.def is tested by being there ----------------------------------------------------------- */

static const struct PointRow {
    Op op;
    int takes;
} point_rows[] = {
#define POINT(id, name, arity, takes, ...) {OP_##id, TAKES_##takes},
#include "ir/ops.def"
};
enum { POINT_ROWS = sizeof point_rows / sizeof *point_rows, TOGETHER = 8 };

static int rows_of(DType t, Op *op)
{
    int n = 0, cls = dtype_is_float(t) ? TAKES_F : t == DLVK_BOOL ? TAKES_B : TAKES_I;
    for (int i = 0; i < POINT_ROWS; i++)
        if (point_rows[i].takes & cls) op[n++] = point_rows[i].op;
    return n;
}

/* The seed counts through all types and their ops, TOGETHER at a time; returns the number of such groups. Emulated doubles take
 * seconds to compile: test_prelude.c has them all, here they come one by one, behind the others. */
static int point_group(uint64_t seed, DType *type, Op *op, int *n)
{
    Op all[POINT_ROWS];
    int total = 0, k = 0;
    for (int pass = 0; pass < 2; pass++) {
        if (pass) k = (int)(seed % (uint64_t)(total + rows_of(DLVK_F64, all)));
        for (DType i = 0; i < DLVK_STRING; i++) {
            DType t = i + 1 == DLVK_STRING ? DLVK_F64 : i + (i >= DLVK_F64);
            int rows = rows_of(t, all), step = t == DLVK_F64 ? 1 : TOGETHER;
            for (int at = 0; at < rows; at += step, k--) {
                total += !pass && t != DLVK_F64;
                if (!pass || k != 0) continue;
                *type = t;
                *n = rows - at < step ? rows - at : step;
                for (int j = 0; j < *n; j++) op[j] = all[at + j];
            }
        }
    }
    return total;
}

static void point(Case *c)
{
    DType t;
    Op op[TOGETHER];
    int n, kept = 0, tests = 0;
    point_group(c->seed, &t, op, &n);
    c->ulps = t == DLVK_F64 ? 2000 : 16;
    const Dim *d[2] = {any_dim(c, 1, 5), any_dim(c, 200, 500)};
    Value *a = input(c, t, 2, d, FILL_WIDE), *b = input(c, t, 2, d, FILL_WIDE), *p = input(c, DLVK_BOOL, 2, d, FILL_WIDE);
    Value *keep[TOGETHER], *test[TOGETHER];
    for (int i = 0; i < n; i++) {
        const OpInfo *o = &op_info[op[i]];
        Value *in[3] = {o->rule == RULE_PICK ? p : a, o->rule == RULE_PICK ? a : b, b};
        Value *y = build_point(&c->b, op[i], o->n_in, in);
        *(o->rule == RULE_CMP ? &test[tests++] : &keep[kept++]) = y;
    }
    if (kept) result(c, build_concat(&c->b, kept, keep, 0));
    if (tests) result(c, build_concat(&c->b, tests, test, 0));
}
static int point_cases(void)
{
    DType t;
    Op op[TOGETHER];
    int n;
    return point_group(0, &t, op, &n) + 3;
}
Test(random, point)
{
    random_family("point", point, point_cases());
}
LISTED(point, point_cases())

/* ---- casts: from one type to all, brought to f32, i64 and u64 for comparison ------------------------------------------ */

static void cast(Case *c)
{
    DType from = (DType)(c->seed % DLVK_STRING);
    int part = (int)(c->seed % 3);
    const Dim *d[1] = {any_dim(c, 100, 400)};
    c->exact = true;
    Value *x = input(c, from, 1, d, FILL_WIDE), *group[4][DLVK_STRING];
    int n[4] = {0};
    for (DType to = (DType)part; to < DLVK_STRING; to += 3) {
        Value *y = build_cast_sat(&c->b, x, to, chance(c, 50));
        int k = to == DLVK_F64 ? 3 : dtype_is_float(to) ? 0 : to == DLVK_U64 ? 1 : 2;
        static const DType common[] = {DLVK_F32, DLVK_U64, DLVK_I64, DLVK_F64};
        group[k][n[k]++] = build_cast(&c->b, y, common[k]);
    }
    for (int k = 0; k < 4; k++)
        if (n[k]) result(c, build_concat(&c->b, n[k], group[k], 0));
}
Test(random, cast)
{
    random_family("cast", cast, DLVK_STRING);
}
LISTED(cast, DLVK_STRING)

FAMILY(bitcast, 8)
{
    static const DType pairs[][2] = {{DLVK_F32, DLVK_I32},     {DLVK_U32, DLVK_F32},   {DLVK_F16, DLVK_I16},
                                     {DLVK_U16, DLVK_BF16},    {DLVK_F64, DLVK_U64},   {DLVK_I64, DLVK_F64},
                                     {DLVK_I8, DLVK_F8E4M3FN}, {DLVK_F8E5M2, DLVK_U8}, {DLVK_F4E2M1, DLVK_U4},
                                     {DLVK_U4, DLVK_I4},       {DLVK_F8E8M0, DLVK_U8}};
    int k = (int)(c->seed % (sizeof pairs / sizeof *pairs));
    const Dim *d[3];
    any_shape(c, 2, d);
    c->exact = true;
    result(c, build_bitcast(&c->b, operand(c, pairs[k][0], 2, d, FILL_EVERYDAY), pairs[k][1]));
}

/* ---- movement ------------------------------------------------------------------------------------------------------- */

FAMILY(movement, 70)
{
    const Dim *d[6];
    int rank = pick(c, 6);
    any_shape(c, rank, d);
    c->exact = true;
    Value *v = input(c, any_type(c), rank, d, FILL_EVERYDAY);
    for (int n = between(c, 1, 5); n > 0 && v; n--) {
        v = moved(c, v);
        if (v && chance(c, 10)) result(c, v);
        if (v && chance(c, 15) && !dtype_is_float(v->type.dtype)) v = build_map1(&c->b, OP_NOT, v);
    }
    result(c, v);
}

/* ---- sources -------------------------------------------------------------------------------------------------------- */

FAMILY(source, 20)
{
    DType t = chance(c, 50) ? DLVK_I64 : any_type(c);
    const Dim *d[4];
    int rank = 1 + pick(c, 4);
    any_shape(c, rank, d);
    c->exact = true;
    if (!dtype_is_float(t) && t != DLVK_BOOL) {
        Value *i = build_iota(&c->b, t, rank, d, pick(c, rank));
        for (int n = pick(c, 3); n > 0; n--) i = moved(c, i);
        result(c, build_map2(&c->b, OP_ADD, i, operand(c, t, i->type.rank, i->type.dim, FILL_EVERYDAY)));
    } else {
        result(c, build_map2(&c->b, OP_MUL, build_iota(&c->b, DLVK_F32, rank, d, pick(c, rank)),
                             operand(c, DLVK_F32, rank, d, FILL_EVERYDAY)));
        c->exact = false;
    }
    Value *seed = input(c, DLVK_U64, 0, NULL, FILL_WIDE);
    Attr shape = at_dims(A_SHAPE, rank, d);
    result(c, build_op(&c->b, OP_RANDOM, 1, &seed, 1, &shape));
    result(c, build_dims(&c->b, DLVK_I64, rank, d));
}

/* ---- what is never fused across -------------------------------------------------------------------------------------- */

FAMILY(barrier, 8)
{
    const Dim *d[4];
    int rank = pick(c, 5);
    any_shape(c, rank, d);
    Value *v = operand(c, DLVK_F32, rank, d, FILL_EVERYDAY);
    for (int n = between(c, 1, 2); n > 0 && v; n--) {
        v = chance(c, 50) ? epilogue(c, v) : moved(c, v);
        v = build_op(&c->b, OP_BARRIER, 1, &v, 0, NULL);
        if (chance(c, 30)) result(c, v);
    }
    result(c, chance(c, 70) ? epilogue(c, v) : v);
}

/* Branches that need nothing of each other, and run side by side; some depend on the sizes alone, and are prepared. */
FAMILY(side_by_side, 8)
{
    const Dim *d[] = {any_dim(c, 1, 40), any_dim(c, 1, 30)};
    Value *sum = NULL;
    for (int branches = 2 + pick(c, 3); branches > 0; branches--) {
        Value *x;
        if (chance(c, 40)) { /* of positions */
            x = build_map2(&c->b, OP_SUB, build_iota(&c->b, DLVK_I64, 2, d, 0), build_iota(&c->b, DLVK_I64, 2, d, 1));
            x = build_cast(&c->b, build_cumulate(&c->b, KIND_SUM, x, pick(c, 2), false, chance(c, 50)), DLVK_F32);
        } else {
            x = operand(c, DLVK_F32, 2, d, FILL_EVERYDAY);
        }
        for (int steps = pick(c, 3); steps > 0; steps--)
            x = chance(c, 50) ? build_softmax(&c->b, x, pick(c, 2), false)
                              : build_cumulate(&c->b, chance(c, 50) ? KIND_SUM : KIND_MAX, x, pick(c, 2), false, false);
        if (chance(c, 30)) result(c, x);
        sum = sum ? build_map2(&c->b, OP_ADD, sum, x) : x;
    }
    result(c, epilogue(c, sum));
}
