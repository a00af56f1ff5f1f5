/* Families of random graphs: reductions, extrema, scans, windows, sorting; see random.h. */
#include "tests/codegen/random.h"
#include <math.h>

static Kind any_kind(Case *c, DType t)
{
    static const Kind kinds[] = {KIND_SUM, KIND_MAX, KIND_MIN, KIND_PROD, KIND_AND, KIND_OR};
    if (t == DLVK_BOOL) return kinds[pick(c, 2) ? 4 + pick(c, 2) : 1 + pick(c, 2)];
    return kinds[pick(c, dtype_is_float(t) ? 4 : 6)];
}

/* Types whose rounding leaves something to compare. */
static DType sound_type(Case *c)
{
    DType t;
    do t = chance(c, 40) ? DLVK_F32 : (DType)pick(c, DLVK_STRING);
    while (dtype_is_float(t) && dtype_bits(t) <= 8);
    return t;
}

static int any_axes(Case *c, int rank, int *axes)
{
    int n = 0;
    for (int i = 0; i < rank; i++)
        if (chance(c, 50)) axes[n++] = i;
    return n;
}

/* Many NaN in a line. */
static Value *with_nan(Case *c, Value *x)
{
    return build_map3(&c->b, OP_SELECT, build_map2s(&c->b, OP_GT, x, 0), x, build_scalar(&c->b, x->type.dtype, NAN));
}

FAMILY(reduce, 25)
{
    const Dim *d[5];
    int rank = pick(c, 5), axes[5];
    DType t = sound_type(c);
    any_shape(c, rank, d);
    Kind k = any_kind(c, t);
    bool extreme = (k == KIND_MAX || k == KIND_MIN) && chance(c, 30);
    Value *x = operand(c, t, rank, d, extreme ? FILL_WIDE : FILL_POSITIVE);
    for (int n = pick(c, 2); n > 0 && rank; n--) x = moved(c, x);
    if (!extreme && k != KIND_PROD && chance(c, 40)) x = epilogue(c, x); /* products overflow before a zero comes */
    rank = x->type.rank;
    Value *y = build_reduce(&c->b, k, x, any_axes(c, rank, axes), axes, chance(c, 50));
    if (extreme) {
        result(c, y);
        return;
    }
    if (chance(c, 30) && y->type.rank) {
        int first = pick(c, y->type.rank);
        y = build_reduce(&c->b, any_kind(c, t), y, 1, &first, chance(c, 50));
    }
    result(c, epilogue(c, y));
}

/* Few long rows, enough work to be split in two (passes/split.c), and neighbouring rows in neighbouring invocations. */
FAMILY(reduce_long, 4)
{
    DType t = chance(c, 60) ? DLVK_F32 : chance(c, 50) ? DLVK_F16 : DLVK_I32;
    int rows = 1 + pick(c, 70), outer = 1 + pick(c, 30), axes[] = {0, 1};
    bool columns = chance(c, 70);
    const Dim *length = fixed(c, 600000 / (rows * outer)), *d[] = {fixed(c, outer), length, fixed(c, rows)};
    if (!columns) d[0] = fixed(c, rows), d[2] = fixed(c, outer), axes[0] = 2;
    Value *x = operand(c, t, 3, d, FILL_POSITIVE);
    Kind k = dtype_is_float(t) && chance(c, 50) ? KIND_SUM : chance(c, 50) ? KIND_MAX : KIND_MIN;
    result(c, epilogue(c, build_reduce(&c->b, k, x, 2, axes, chance(c, 50))));
}

/* Reductions that do not need each other but go over the same elements, some of them again behind the first ones: the gradient of
 * a normalisation, behind a product. */
FAMILY(rows_beside, 8)
{
    const Dim *d[3] = {any_dim(c, 1, 3), any_dim(c, 1, 40), fixed(c, chance(c, 50) ? 8 : 1 + pick(c, 20))};
    int axes[3], n = any_axes(c, 3, axes);
    Value *x = operand(c, DLVK_F32, 3, d, FILL_EVERYDAY), *y = operand(c, DLVK_F32, 3, d, FILL_EVERYDAY);
    if (chance(c, 50)) x = build_matmul(&c->b, x, operand(c, DLVK_F32, 2, (const Dim *[]){d[2], d[2]}, FILL_EVERYDAY));
    Value *sum = build_reduce(&c->b, KIND_SUM, x, n, axes, true);
    Value *product = build_map2(&c->b, OP_MUL, x, y), *most = build_reduce(&c->b, KIND_MAX, y, n, axes, true);
    Value *products = build_reduce(&c->b, KIND_SUM, product, n, axes, true);
    Value *centred = build_map2(&c->b, OP_MUL, build_map2(&c->b, OP_SUB, y, most), x);
    result(c, build_reduce(&c->b, KIND_MIN, centred, n, axes, true));
    result(c, build_map2(&c->b, OP_ADD, sum, products));
    if (chance(c, 50)) result(c, build_map2(&c->b, OP_SUB, x, most));
}

/* Several reductions of one operand with pointwise code between: softmax, norms, and what looks like them. */
FAMILY(rows, 25)
{
    const Dim *d[4], *part[4];
    DType t = float_type(c);
    int rank = 1 + pick(c, 4), axes[4], axis = pick(c, rank);
    any_shape(c, rank, d);
    for (int i = 0; i < rank; i++)
        if (least(c, d[i]) == 0) d[i] = fixed(c, 3);
    Value *x = operand(c, t, rank, d, FILL_EVERYDAY), *y, *mean = NULL, *inv = NULL;
    int n = any_axes(c, rank, axes);
    switch (pick(c, 4)) {
    case 0: y = build_softmax(&c->b, x, axis, chance(c, 30)); break;
    case 1:
        y = build_normalize(&c->b, x, n, axes, 1e-3, &mean, &inv);
        if (chance(c, 30)) result(c, mean);
        if (chance(c, 30)) result(c, inv);
        for (int i = 0; i < rank; i++) part[i] = chance(c, 60) ? d[i] : fixed(c, 1);
        y = build_map2(&c->b, OP_MUL, y, operand(c, t, rank, part, FILL_EVERYDAY));
        y = build_map2(&c->b, OP_ADD, y, operand(c, t, rank, part, FILL_EVERYDAY));
        break;
    case 2: { /* masked softmax */
        Value *mask = operand(c, DLVK_BOOL, rank, d, FILL_EVERYDAY);
        Value *low = build_full(&c->b, x->type, -1e4);
        y = build_softmax(&c->b, build_map3(&c->b, OP_SELECT, mask, x, low), axis, false);
        break;
    }
    default: {
        Value *sum = build_reduce(&c->b, KIND_SUM, build_map2(&c->b, OP_MUL, x, x), n, axes, true);
        Value *top = build_reduce(&c->b, KIND_MAX, x, n, axes, true);
        y = build_map2(&c->b, OP_DIV, build_map2(&c->b, OP_SUB, x, top), build_map2s(&c->b, OP_ADD, sum, 1));
        if (chance(c, 40)) result(c, sum);
        if (chance(c, 40)) y = build_map2(&c->b, OP_MUL, y, build_reduce(&c->b, KIND_SUM, y, 1, &axis, true));
        break;
    }
    }
    result(c, epilogue(c, y));
}

FAMILY(argreduce, 15)
{
    const Dim *d[4];
    int rank = 1 + pick(c, 4), axis = pick(c, rank);
    DType t = sound_type(c);
    any_shape(c, rank, d);
    if (t == DLVK_BOOL) t = DLVK_U8;
    if (least(c, d[axis]) == 0) d[axis] = fixed(c, 5);
    Value *x = operand(c, t, rank, d, chance(c, 50) ? FILL_WIDE : FILL_EVERYDAY);
    if (dtype_is_float(t) && chance(c, 30)) x = with_nan(c, x);
    Value *y = build_argreduce(&c->b, chance(c, 50) ? KIND_MAX : KIND_MIN, x, axis, chance(c, 50), chance(c, 50));
    result(c, chance(c, 50) ? y : build_map2s(&c->b, OP_ADD, y, 1));
    if (chance(c, 40)) result(c, build_gather(&c->b, x, y, axis));
}

FAMILY(cumulate, 15)
{
    const Dim *d[4];
    int rank = 1 + pick(c, 4);
    DType t = sound_type(c);
    any_shape(c, rank, d);
    if (t == DLVK_BOOL) t = DLVK_I32;
    Value *x = operand(c, t, rank, d, FILL_POSITIVE);
    if (dtype_is_float(t)) x = build_map2s(&c->b, OP_DIV, x, 1.1);
    Kind k = (Kind)pick(c, 4);
    if (k == KIND_PROD && most(c, x->type.dim[0]) > 30) k = KIND_SUM;
    result(c, epilogue(c, build_cumulate(&c->b, k, x, pick(c, rank), chance(c, 50), chance(c, 50))));
}

static void any_window(Case *c, Type t, int64_t *window, int64_t *step, int64_t *dilation, const Dim **lo, const Dim **hi)
{
    for (int i = 0; i < t.rank; i++) {
        int64_t n = least(c, t.dim[i]);
        bool all = chance(c, 35);
        dilation[i] = between(c, 1, 2);
        window[i] = all ? 1 : between(c, 1, n > 9 ? 9 : n > 2 ? n / 2 + 1 : 1);
        if ((window[i] - 1) * dilation[i] >= n) dilation[i] = 1;
        step[i] = all ? 1 : between(c, 1, 3);
        lo[i] = fixed(c, all ? 0 : between(c, 0, window[i] - 1));
        hi[i] = fixed(c, all ? 0 : between(c, 0, window[i]));
    }
}

FAMILY(window, 24)
{
    const Dim *d[4], *lo[4], *hi[4];
    int64_t window[4], step[4], dilation[4];
    int rank = 1 + pick(c, 4);
    DType t = sound_type(c);
    any_shape(c, rank, d);
    bool empty = false; /* windows may lie in padding alone */
    for (int i = 0; i < rank; i++) {
        if (least(c, d[i]) == 0 && chance(c, 70)) d[i] = fixed(c, 8);
        empty |= least(c, d[i]) == 0;
    }
    if (t == DLVK_BOOL) t = DLVK_F32;
    Kind k = any_kind(c, t);
    bool extreme = (k == KIND_MAX || k == KIND_MIN) && chance(c, 50);
    Value *x = operand(c, t, rank, d, extreme ? FILL_WIDE : FILL_POSITIVE), *y;
    if (extreme && dtype_is_float(t) && chance(c, 50)) x = with_nan(c, x);
    any_window(c, x->type, window, step, dilation, lo, hi);
    y = build_window(&c->b, k, x, window, step, dilation, lo, hi);
    result(c, extreme ? y : epilogue(c, y));
    if (!empty && chance(c, 40)) {
        Attr attr[] = {at_i(A_KIND, chance(c, 50) ? KIND_MAX : KIND_MIN),
                       at_ints(A_WINDOW, rank, window),
                       at_ints(A_STEP, rank, step),
                       at_ints(A_DILATION, rank, dilation),
                       at_dims(A_LO, rank, lo),
                       at_dims(A_HI, rank, hi)};
        result(c, build_op(&c->b, OP_ARGWINDOW, 1, &x, 6, attr));
    }
}

FAMILY(sort, 12)
{
    const Dim *d[3];
    int rank = 1 + pick(c, 3);
    DType t = sound_type(c);
    int axis = pick(c, rank);
    any_shape(c, rank, d);
    if (chance(c, 40)) { /* longer than a workgroup */
        for (int i = 0; i < rank; i++) d[i] = i == axis ? any_dim(c, 100, 2000) : fixed(c, between(c, 1, 2));
        if (chance(c, 50)) t = DLVK_I8; /* with many equal elements */
    }
    Value *x = operand(c, t, rank, d, chance(c, 50) ? FILL_WIDE : FILL_EVERYDAY), *values, *indices;
    build_sort(&c->b, x, axis, chance(c, 50), &values, &indices);
    if (chance(c, 70)) result(c, values);
    if (chance(c, 70) || !c->g->top->results.n) result(c, indices);
}
