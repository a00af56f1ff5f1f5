/* Reductions, scans, sort, scatter and compaction of the interpreter. */
#include "ir/eval_internal.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

int64_t fold_i(Kind k, DType t, int64_t acc, int64_t x)
{
    bool is_unsigned = dtype_class(t) != DC_INT;
    bool less = is_unsigned ? (uint64_t)acc < (uint64_t)x : acc < x;
    switch (k) {
    case KIND_SUM: return (int64_t)((uint64_t)acc + (uint64_t)x);
    case KIND_PROD: return (int64_t)((uint64_t)acc * (uint64_t)x);
    case KIND_MAX: return less ? x : acc;
    case KIND_MIN: return less ? acc : x;
    case KIND_AND: return acc & x;
    case KIND_OR: return acc | x;
    default: return x;
    }
}

double identity_f(Kind k)
{
    return k == KIND_PROD ? 1 : k == KIND_MAX ? -INFINITY : k == KIND_MIN ? INFINITY : 0;
}

int64_t identity_i(Kind k, DType t)
{
    int64_t lowest = dtype_class(t) == DC_INT ? (int64_t)(UINT64_MAX << (dtype_bits(t) - 1)) : 0;
    switch (k) {
    case KIND_PROD: return 1;
    case KIND_MAX: return lowest;
    case KIND_MIN: return int_wrap(t, ~lowest);
    case KIND_AND: return int_wrap(t, -1);
    default: return 0;
    }
}

int64_t order_key(const Array *a, int64_t i)
{
    if (a->splat) i = 0;
    if (!array_is_float(a))
        return dtype_class(a->dtype) == DC_UINT ? (int64_t)((uint64_t)a->i[i] ^ (UINT64_C(1) << 63)) : a->i[i];
    double x = a->f[i];
    if (isnan(x)) return INT64_MAX;
    if (x == 0) return 0;
    int64_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits < 0 ? bits ^ INT64_MAX : bits;
}

static void wrap_all(Array *a)
{
    for (int64_t i = 0; i < a->count; i++) a->i[i] = int_wrap(a->dtype, a->i[i]);
}

static void fill_identity(Array *a, Kind k)
{
    bool is_float = array_is_float(a);
    double f = identity_f(k);
    int64_t i = is_float ? 0 : identity_i(k, a->dtype);
    box_fill(a->data, a->count, is_float ? (void *)&f : (void *)&i, a->esize);
}

/* The operand is walked once in its order. Neighbouring axes that are all reduced, or all kept, count as one. */
bool eval_reduce(Eval *e, const Node *n, Array *const *in, Array **out)
{
    const Attr *axes = node_attr(n, A_AXES);
    Kind k = (Kind)attr_i(n, A_KIND, KIND_SUM);
    Array *a = in[0];
    bool cut[DLVK_MAX_RANK] = {false}, cuts[DLVK_MAX_RANK + 1];
    int64_t dim[DLVK_MAX_RANK], size[DLVK_MAX_RANK + 1], step[DLVK_MAX_RANK + 1], index[DLVK_MAX_RANK + 1] = {0};
    for (int i = 0; axes && i < axes->n; i++) cut[axes->ints[i]] = true;
    int r = 0;
    for (int i = 0; i < a->rank; i++) {
        dim[i] = cut[i] ? 1 : a->dim[i];
        if (r && cuts[r - 1] == cut[i])
            size[r - 1] *= a->dim[i];
        else
            size[r] = a->dim[i], cuts[r++] = cut[i];
    }
    if (!r) size[r] = 1, cuts[r++] = false;
    for (int64_t i = r - 1, s = 1; i >= 0; i--) step[i] = cuts[i] ? 0 : s, s *= cuts[i] ? 1 : size[i];

    Array *y = out[0] = array_new(e, a->dtype, a->rank, dim, false);
    fill_identity(y, k);
    if (!a->count) return true;
    int64_t inner = size[r - 1], at = 0, x_step = a->splat ? 0 : 1, y_step = step[r - 1];
    do {
        int64_t o = 0;
        for (int i = 0; i < r - 1; i++) o += index[i] * step[i];
        if (array_is_float(a)) {
            const double *x = a->f + at * x_step;
            for (int64_t j = 0; j < inner; j++) y->f[o + j * y_step] = fold_f(k, y->f[o + j * y_step], x[j * x_step]);
        } else {
            const int64_t *x = a->i + at * x_step;
            for (int64_t j = 0; j < inner; j++) y->i[o + j * y_step] = fold_i(k, a->dtype, y->i[o + j * y_step], x[j * x_step]);
        }
        at += inner;
    } while (odometer(r - 1, size, index));
    if (!array_is_float(a)) wrap_all(y);
    return true;
}

/* Every one-dimensional run along an axis: `at` its first element, `step` to the next. */
typedef struct Lanes {
    int64_t n, step, count;
} Lanes;
static Lanes lanes(const Array *a, int axis)
{
    Lanes l = {a->dim[axis], 1, 0};
    for (int i = axis + 1; i < a->rank; i++) l.step *= a->dim[i];
    l.count = l.n ? a->count / l.n : 0;
    return l;
}
static int64_t lane_start(const Lanes *l, int64_t lane)
{
    return lane / l->step * l->step * l->n + lane % l->step;
}

bool eval_argreduce(Eval *e, const Node *n, Array *const *in, Array **out)
{
    const Array *a = in[0];
    int axis = (int)attr_i(n, A_AXIS, 0);
    Kind k = (Kind)attr_i(n, A_KIND, KIND_MAX);
    bool last = attr_i(n, A_LAST, 0) != 0;
    int64_t dim[DLVK_MAX_RANK];
    memcpy(dim, a->dim, sizeof dim);
    dim[axis] = 1;
    Array *y = out[0] = array_new(e, DLVK_I64, a->rank, dim, false);
    if (y->count && !a->dim[axis]) return eval_fail(e, "argreduce: axis %d is empty", axis);
    Lanes l = lanes(a, axis);
    for (int64_t lane = 0; lane < l.count; lane++) {
        int64_t at = lane_start(&l, lane), best = 0, best_key = 0;
        for (int64_t i = 0; i < l.n; i++) {
            int64_t key = extremum_key(a, at + i * l.step, k);
            if (i == 0 || key > best_key || (last && key == best_key)) best = i, best_key = key;
        }
        y->i[lane] = best;
    }
    return true;
}

bool eval_cumulate(Eval *e, const Node *n, Array *const *in, Array **out)
{
    Array *a = array_dense(e, in[0]);
    Kind k = (Kind)attr_i(n, A_KIND, KIND_SUM);
    bool exclusive = attr_i(n, A_EXCLUSIVE, 0) != 0, reverse = attr_i(n, A_REVERSE, 0) != 0;
    Array *y = out[0] = array_new(e, a->dtype, a->rank, a->dim, false);
    Lanes l = lanes(a, (int)attr_i(n, A_AXIS, 0));
    bool is_float = array_is_float(a);
    for (int64_t lane = 0; lane < l.count; lane++) {
        int64_t at = lane_start(&l, lane), step = l.step;
        double f = identity_f(k);
        int64_t x = is_float ? 0 : identity_i(k, a->dtype);
        if (reverse) at += (l.n - 1) * step, step = -step;
        for (int64_t i = 0; i < l.n; i++, at += step) {
            if (is_float) {
                double next = fold_f(k, f, a->f[at]);
                y->f[at] = exclusive ? f : next, f = next;
            } else {
                int64_t next = int_wrap(a->dtype, fold_i(k, a->dtype, x, a->i[at]));
                y->i[at] = exclusive ? x : next, x = next;
            }
        }
    }
    array_unref(e, a);
    return true;
}

/* Stable merge sort of (key, index), bottom up. */
typedef struct Item {
    int64_t key, index;
} Item;
static Item *merge_sort(Item *v, Item *spare, int64_t n)
{
    for (int64_t width = 1; width < n; width *= 2) {
        for (int64_t lo = 0; lo < n; lo += 2 * width) {
            int64_t mid = lo + width < n ? lo + width : n, hi = mid + width < n ? mid + width : n;
            for (int64_t i = lo, j = mid, k = lo; k < hi; k++)
                spare[k] = j >= hi || (i < mid && v[i].key <= v[j].key) ? v[i++] : v[j++];
        }
        Item *t = v;
        v = spare, spare = t;
    }
    return v;
}

bool eval_sort(Eval *e, const Node *n, Array *const *in, Array **out)
{
    Array *a = array_dense(e, in[0]);
    bool descending = attr_i(n, A_DESCENDING, 0) != 0;
    Array *y = out[0] = array_new(e, a->dtype, a->rank, a->dim, false);
    Array *index = out[1] = array_new(e, DLVK_I64, a->rank, a->dim, false);
    Lanes l = lanes(a, (int)attr_i(n, A_AXIS, 0));
    Array *items = array_raw(e, DLVK_I64, sizeof(Item), 1, (int64_t[]){2 * l.n}, false); /* listed, so never leaked */
    for (int64_t lane = 0; lane < l.count; lane++) {
        Item *v = items->data;
        int64_t at = lane_start(&l, lane);
        for (int64_t i = 0; i < l.n; i++) {
            int64_t key = order_key(a, at + i * l.step);
            v[i] = (Item){descending ? ~key : key, i};
        }
        v = merge_sort(v, v + l.n, l.n);
        for (int64_t i = 0; i < l.n; i++) {
            y->i[at + i * l.step] = a->i[at + v[i].index * l.step];
            index->i[at + i * l.step] = v[i].index;
        }
    }
    array_unref(e, items);
    array_unref(e, a);
    return true;
}

/* data[indices[j]] (kind)= updates[j], for j in order; indices out of range are skipped. */
bool eval_scatter(Eval *e, const Node *n, Array *const *in, Array **out)
{
    const Array *a = in[0], *index = in[1], *u = in[2];
    Kind k = (Kind)attr_i(n, A_KIND, KIND_SET);
    Array *y = out[0] = array_new(e, a->dtype, a->rank, a->dim, false);
    if (a->splat)
        box_fill(y->data, y->count, a->data, a->esize);
    else
        memcpy(y->data, a->data, (size_t)a->count * (size_t)a->esize);
    int64_t row = 1, step = u->splat ? 0 : 1;
    for (int i = 1; i < a->rank; i++) row *= a->dim[i];
    if (u->count != index->count * row)
        return eval_fail(e, "scatter: %lld updates for %lld indices", (long long)u->count, (long long)index->count);
    for (int64_t j = 0; j < index->count && a->rank > 0; j++) {
        int64_t i = index->i[index->splat ? 0 : j];
        if (i < 0 || i >= a->dim[0]) continue;
        for (int64_t c = 0, from = j * row, to = i * row; c < row; c++, from++, to++) {
            if (a->esize != 8)
                ((Str *)y->data)[to] = ((const Str *)u->data)[from * step];
            else if (array_is_float(a))
                y->f[to] = fold_f(k, y->f[to], u->f[from * step]);
            else
                y->i[to] = int_wrap(a->dtype, fold_i(k, a->dtype, y->i[to], u->i[from * step]));
        }
    }
    return true;
}

bool eval_compact(Eval *e, const Node *n, Array *const *in, Array **out)
{
    (void)n;
    const Array *a = in[0];
    int64_t count = 0;
    for (int64_t i = 0; i < a->count; i++) count += a->i[a->splat ? 0 : i] != 0;
    Array *y = out[0] = array_new(e, DLVK_I64, 1, &count, false);
    for (int64_t i = 0, k = 0; i < a->count; i++)
        if (a->i[a->splat ? 0 : i]) y->i[k++] = i;
    return true;
}
