/* Random dimensions, inputs and the pieces that families are made of; see random.h. */
#include "tests/codegen/random.h"

#include <math.h>

uint64_t next(Case *c)
{
    uint64_t z = c->rng += 0x9e3779b97f4a7c15; /* splitmix64 */
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return z ^ z >> 31;
}

int pick(Case *c, int n)
{
    return (int)(next(c) % (uint64_t)n);
}

int64_t between(Case *c, int64_t lo, int64_t hi)
{
    return hi <= lo ? lo : lo + (int64_t)(next(c) % (uint64_t)(hi - lo + 1));
}

bool chance(Case *c, int percent)
{
    return pick(c, 100) < percent;
}

DType any_type(Case *c)
{
    return chance(c, 35) ? DLVK_F32 : (DType)pick(c, DLVK_STRING);
}

DType float_type(Case *c)
{
    static const DType t[] = {DLVK_F16, DLVK_BF16, DLVK_F64};
    return chance(c, 75) ? DLVK_F32 : t[pick(c, 3)];
}

/* ---- dimensions --------------------------------------------------------------------------------------------------- */

const Dim *fixed(Case *c, int64_t n)
{
    return dim_const(&c->c->dims, n);
}

static int64_t any_size(Case *c, int64_t lo, int64_t hi)
{
    static const int64_t reach[] = {1, 3, 3, 8, 8, 8, 20, 40, 1000000};
    int64_t most_here = lo + reach[pick(c, 9)];
    return between(c, lo, most_here < hi ? most_here : hi);
}

const Dim *any_dim(Case *c, int64_t lo, int64_t hi)
{
    int64_t n = any_size(c, lo, hi);
    if (c->bindings == 1 || lo == hi || chance(c, 40)) return fixed(c, n);
    const Dim *d = dim_fresh(&c->c->dims, "n", NULL, false);
    for (int k = 0; k < BINDINGS; k++) {
        while (c->size[k].n <= d->sym->index) *VEC_PUSH(&c->pool, c->size[k]) = 0;
        c->size[k].at[d->sym->index] = k ? any_size(c, lo, hi) : n;
    }
    return d;
}

static int64_t extreme(Case *c, const Dim *d, bool largest)
{
    int64_t best = 0, v;
    for (int k = 0; k < c->bindings; k++) {
        while (c->size[k].n < c->c->dims.symbols.n) *VEC_PUSH(&c->pool, c->size[k]) = 0;
        cr_assert(dim_eval(d, c->size[k].at, &v));
        if (k == 0 || (largest ? v > best : v < best)) best = v;
    }
    return best;
}

int64_t least(Case *c, const Dim *d)
{
    return extreme(c, d, false);
}

int64_t most(Case *c, const Dim *d)
{
    return extreme(c, d, true);
}

void any_shape(Case *c, int rank, const Dim **dims)
{
    int64_t room = 6000;
    int empty = chance(c, 3) && rank ? pick(c, rank) : -1;
    for (int i = 0; i < rank; i++) {
        int64_t hi = i + 1 < rank ? 1 + (int64_t)(pow((double)room, 1.6 / (rank - i))) : room;
        dims[i] = chance(c, 15) ? fixed(c, 1) : any_dim(c, i == empty ? 0 : 1, hi > 300 ? 300 : hi);
        int64_t n = most(c, dims[i]);
        room /= n ? n : 1;
        if (room < 1) room = 1;
    }
}

/* ---- inputs ------------------------------------------------------------------------------------------------------- */

Value *index_input(Case *c, DType t, int rank, const Dim *const *dims, int64_t lo, int64_t hi)
{
    Value *v = region_param(c->g->top, type_make(c->c, t, rank, dims), pool_printf(&c->pool, "x%d", c->inputs.n));
    *VEC_PUSH(&c->pool, c->inputs) = (Source){v, FILL_EVERYDAY, lo, hi};
    return v;
}

Value *input(Case *c, DType t, int rank, const Dim *const *dims, Fill fill)
{
    Value *v = index_input(c, t, rank, dims, 1, 0);
    c->inputs.at[c->inputs.n - 1].fill = fill;
    return v;
}

Value *constant(Case *c, DType t, int rank, const Dim *const *dims, bool positive)
{
    int64_t dim[DLVK_MAX_RANK], count = 1;
    for (int i = 0; i < rank; i++) {
        dim[i] = dims[i]->value;
        count *= dim[i];
    }
    void *data = pool_alloc(&c->pool, (size_t)dtype_bytes(t, count) + 1);
    for (int64_t i = 0; i < count; i++) {
        int64_t n = between(c, positive ? 1 : -8, 8);
        if (dtype_is_float(t))
            elem_set_f(t, data, i, (double)n / 4 + (n > 0 ? 0.01 : 0));
        else
            elem_set_i(t, data, i, t == DLVK_BOOL ? n > 0 : n);
    }
    return build_const(&c->b, tensor_new(&c->pool, t, rank, dim, data));
}

static bool all_fixed(int rank, const Dim *const *dims)
{
    for (int i = 0; i < rank; i++)
        if (!dim_is_const(dims[i], NULL)) return false;
    return true;
}

Value *operand(Case *c, DType t, int rank, const Dim *const *dims, Fill fill)
{
    DimTable *dt = &c->c->dims;
    const Dim *d[DLVK_MAX_RANK], *start[DLVK_MAX_RANK];
    Value *v;
    switch (pick(c, 9)) {
    case 0:
    case 1: /* a constant */
        if (fill == FILL_WIDE || !all_fixed(rank, dims)) break;
        return constant(c, t, rank, dims, fill == FILL_POSITIVE);
    case 2: { /* transposed */
        int perm[DLVK_MAX_RANK];
        for (int i = 0; i < rank; i++) perm[i] = i;
        for (int i = rank - 1; i > 0; i--) {
            int j = pick(c, i + 1), p = perm[i];
            perm[i] = perm[j];
            perm[j] = p;
        }
        for (int i = 0; i < rank; i++) d[perm[i]] = dims[i];
        v = input(c, t, rank, d, fill);
        return build_transpose(&c->b, v, perm);
    }
    case 3: { /* a part */
        int64_t step[DLVK_MAX_RANK];
        for (int i = 0; i < rank; i++) {
            int64_t before = between(c, 0, 2);
            step[i] = between(c, 1, 2);
            start[i] = fixed(c, before);
            d[i] = dim_add(dt, dim_mul(dt, dims[i], fixed(c, step[i])), fixed(c, before));
        }
        v = input(c, t, rank, d, fill);
        return build_slice(&c->b, v, start, dims, step);
    }
    case 4: /* repeated along some axes */
        for (int i = 0; i < rank; i++) d[i] = chance(c, 40) ? fixed(c, 1) : dims[i];
        v = input(c, t, rank, d, fill);
        return build_broadcast(&c->b, v, rank, dims);
    case 5: /* computed */
        v = input(c, t, rank, dims, fill);
        if (t == DLVK_BOOL) return build_map1(&c->b, OP_NOT, v);
        return build_map1(&c->b, fill == FILL_POSITIVE ? OP_ABS : OP_NEG, v);
    default: break;
    }
    return input(c, t, rank, dims, fill);
}

void result(Case *c, Value *v)
{
    cr_assert(v != NULL, "seed %llu: %s", (unsigned long long)c->seed, c->c->diag.lines.n ? c->c->diag.lines.at[0] : "no value");
    *VEC_PUSH(&c->pool, c->g->output_names) = pool_printf(&c->pool, "y%d", c->g->top->results.n);
    *VEC_PUSH(&c->pool, c->g->top->results) = v;
}

/* ---- pieces ------------------------------------------------------------------------------------------------------- */

static Value *flattened(Case *c, Value *v)
{
    const Dim *n = type_count(c->c, v->type);
    return build_reshape(&c->b, v, 1, &n);
}

Value *epilogue(Case *c, Value *v)
{
    for (int n = pick(c, 5); n > 0; n--) {
        DType t = v->type.dtype;
        int r = v->type.rank;
        const Dim *d[DLVK_MAX_RANK];
        bool is_float = dtype_is_float(t);
        if (t == DLVK_BOOL) break;
        switch (pick(c, 8)) {
        case 0: /* bias */
            if (r == 0) break;
            v = build_map2(&c->b, OP_ADD, v, operand(c, t, 1, &v->type.dim[r - 1], FILL_EVERYDAY));
            break;
        case 1: /* bias along another axis */
            if (r == 0) break;
            for (int i = 0, k = pick(c, r); i < r; i++) d[i] = i == k ? v->type.dim[i] : fixed(c, 1);
            v = build_map2(&c->b, OP_MUL, v, operand(c, t, r, d, FILL_EVERYDAY));
            break;
        case 2: v = build_map2(&c->b, OP_ADD, v, operand(c, t, r, v->type.dim, FILL_EVERYDAY)); break;
        case 3: v = build_relu(&c->b, v); break;
        case 4: v = build_map2s(&c->b, OP_MUL, v, 3); break;
        case 5: { /* reshape, then more */
            Value *flat = flattened(c, v);
            v = build_map2(&c->b, OP_SUB, flat, operand(c, t, 1, flat->type.dim, FILL_EVERYDAY));
            break;
        }
        case 6:
            if (is_float) v = build_map1(&c->b, OP_TANH, v);
            break;
        default:
            if (chance(c, 40)) result(c, v);
            break;
        }
    }
    return v;
}

static Value *reshaped(Case *c, Value *v)
{
    const Dim *d[DLVK_MAX_RANK];
    int r = v->type.rank, n = 0;
    DimTable *dt = &c->c->dims;
    for (int i = 0; i < r; i++) {
        if (chance(c, 15) && n + (r - i) < DLVK_MAX_RANK - 1) d[n++] = fixed(c, 1);
        int64_t size, f = between(c, 2, 4);
        if (n && chance(c, 40)) {
            d[n - 1] = dim_mul(dt, d[n - 1], v->type.dim[i]);
        } else if (dim_is_const(v->type.dim[i], &size) && size && size % f == 0 && n + (r - i) < DLVK_MAX_RANK - 1) {
            d[n++] = fixed(c, chance(c, 50) ? f : size / f);
            d[n] = fixed(c, size / d[n - 1]->value);
            n++;
        } else {
            d[n++] = v->type.dim[i];
        }
    }
    return build_reshape(&c->b, v, n, d);
}

static Value *sliced(Case *c, Value *v)
{
    const Dim *start[DLVK_MAX_RANK], *size[DLVK_MAX_RANK];
    int64_t step[DLVK_MAX_RANK];
    for (int i = 0; i < v->type.rank; i++) {
        int64_t n = least(c, v->type.dim[i]), from = between(c, 0, n < 3 ? n : 3);
        start[i] = fixed(c, from);
        step[i] = between(c, 1, 3);
        /* ceil((n - from) / step), or somewhat less */
        size[i] = dim_ceildiv(&c->c->dims, dim_sub(&c->c->dims, v->type.dim[i], start[i]), fixed(c, step[i]));
        if (least(c, size[i]) > 1 && chance(c, 30)) size[i] = dim_sub(&c->c->dims, size[i], fixed(c, 1));
        if (chance(c, 30)) size[i] = v->type.dim[i], start[i] = fixed(c, 0), step[i] = 1;
    }
    return build_slice(&c->b, v, start, size, step);
}

static Value *padded(Case *c, Value *v)
{
    const Dim *lo[DLVK_MAX_RANK], *hi[DLVK_MAX_RANK];
    for (int i = 0; i < v->type.rank; i++) {
        int64_t n = least(c, v->type.dim[i]), crop = n < 2 ? 0 : 1;
        lo[i] = fixed(c, chance(c, 40) ? 0 : between(c, -crop, 3));
        hi[i] = fixed(c, chance(c, 40) ? 0 : between(c, -(n > 3 ? crop : 0), 3));
    }
    return build_pad(&c->b, v, lo, hi, build_scalar(&c->b, v->type.dtype, chance(c, 50) ? 0 : 1));
}

static Value *joined(Case *c, Value *v)
{
    Value *x[4];
    int n = 1 + pick(c, 4), axis = pick(c, v->type.rank), at = pick(c, n);
    for (int k = 0; k < n; k++) {
        const Dim *d[DLVK_MAX_RANK];
        for (int i = 0; i < v->type.rank; i++) d[i] = v->type.dim[i];
        if (chance(c, 70)) d[axis] = any_dim(c, 0, 5);
        x[k] = k == at || chance(c, 10) ? v : operand(c, v->type.dtype, v->type.rank, d, FILL_EVERYDAY);
    }
    return build_concat(&c->b, n, x, axis);
}

static Value *gathered(Case *c, Value *v)
{
    static const DType types[] = {DLVK_I64, DLVK_I64, DLVK_I32, DLVK_I8, DLVK_U16, DLVK_U64};
    int axis = pick(c, v->type.rank), r = pick(c, 3);
    const Dim *d[3];
    for (int i = 0; i < r; i++) d[i] = any_dim(c, 0, 5);
    Value *at = index_input(c, types[pick(c, 6)], r, d, -2, most(c, v->type.dim[axis]) + 1);
    return build_gather(&c->b, v, at, axis);
}

Value *moved(Case *c, Value *v)
{
    int r = v->type.rank;
    if (r == 0) {
        const Dim *d[] = {any_dim(c, 0, 7), any_dim(c, 1, 5)};
        return build_broadcast(&c->b, v, 2, d);
    }
    bool large = most(c, type_count(c->c, v->type)) > 20000 || r > 6;
    switch (pick(c, 8)) {
    case 0: return reshaped(c, v);
    case 1: {
        int perm[DLVK_MAX_RANK];
        for (int i = 0; i < r; i++) perm[i] = i;
        for (int i = r - 1; i > 0; i--) {
            int j = pick(c, i + 1), p = perm[i];
            perm[i] = perm[j];
            perm[j] = p;
        }
        return build_transpose(&c->b, v, perm);
    }
    case 2: {
        const Dim *d[DLVK_MAX_RANK];
        for (int i = 0; i <= r; i++) d[i] = i == 0 ? any_dim(c, 1, 3) : v->type.dim[i - 1];
        for (int i = 1; i <= r; i++)
            if (dim_is(d[i], 1)) d[i] = any_dim(c, 1, 3);
        int more = pick(c, 2);
        return large ? v : build_broadcast(&c->b, v, r + more, d + 1 - more);
    }
    case 3: return sliced(c, v);
    case 4: return large ? v : padded(c, v);
    case 5: {
        int axes[DLVK_MAX_RANK], n = 0;
        for (int i = 0; i < r; i++)
            if (chance(c, 50)) axes[n++] = i;
        return build_reverse(&c->b, v, n, axes);
    }
    case 6: return large ? sliced(c, v) : joined(c, v);
    default: return large ? reshaped(c, v) : gathered(c, v);
    }
}
