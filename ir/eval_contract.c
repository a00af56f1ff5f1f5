/* Contractions of the interpreter: dot and conv, in double or, for integers, modulo 2^64 and then wrapped. */
#include "ir/eval_internal.h"
#include <string.h>

enum { GEMM_PACK = 256 * 64 };
#define T    double
#define GEMM gemm_f
#include "ir/eval_gemm.h"
#define T    uint64_t
#define GEMM gemm_u
#include "ir/eval_gemm.h"

typedef struct Product {
    bool is_float;
    Array *rows; /* of pointers */
    Array *pack, *splat_row;
} Product;

/* Scratch is arrays, which are freed even when memory runs out. splat_row: k elements of a splat left operand. */
static Product product_begin(Eval *e, const Array *a, int64_t rows, int64_t k)
{
    Product p = {.is_float = array_is_float(a)};
    p.rows = array_raw(e, a->dtype, sizeof(void *), 1, &rows, false);
    p.pack = array_raw(e, a->dtype, 8, 1, (int64_t[]){GEMM_PACK}, false);
    if (a->splat) {
        p.splat_row = array_raw(e, a->dtype, 8, 1, &k, false);
        box_fill(p.splat_row->data, k, a->data, 8);
    }
    return p;
}

static void product_end(Eval *e, Product *p)
{
    array_unref(e, p->rows), array_unref(e, p->pack), array_unref(e, p->splat_row);
}

static void product(const Product *p, int64_t m, int64_t n, int64_t k, int64_t at, const Array *b, int64_t offset, int64_t b_row,
                    Array *c, int64_t c_offset, int64_t c_row)
{
    int64_t b_col = b->splat ? 0 : 1;
    if (b->splat) offset = b_row = 0;
    if (p->is_float)
        gemm_f(m, n, k, p->rows->data, at, b->f + offset, b_row, b_col, c->f + c_offset, c_row, p->pack->data);
    else
        gemm_u(m, n, k, p->rows->data, at, (const uint64_t *)b->i + offset, b_row, b_col, (uint64_t *)c->i + c_offset, c_row,
               p->pack->data);
}

static Array *zeros(Eval *e, DType t, int rank, const int64_t *dim)
{
    Array *y = array_new(e, t, rank, dim, false);
    memset(y->data, 0, (size_t)y->count * 8);
    return y;
}

static void wrap_ints(Array *y)
{
    for (int64_t i = 0; i < y->count && !array_is_float(y); i++) y->i[i] = int_wrap(y->dtype, y->i[i]);
}

bool eval_dot(Eval *e, const Node *n, Array *const *in, Array **out)
{
    const Array *a = in[0], *b = in[1];
    int r = a->rank;
    int64_t dim[DLVK_MAX_RANK], batch = 1;
    for (int i = 0; i < r - 2; i++) {
        if (a->dim[i] != b->dim[i])
            return eval_fail(e, "dot: batch axis %d has size %lld and %lld", i, (long long)a->dim[i], (long long)b->dim[i]);
        batch *= dim[i] = a->dim[i];
    }
    int64_t m = dim[r - 2] = a->dim[r - 2], k = a->dim[r - 1], cols = dim[r - 1] = b->dim[r - 1];
    if (b->dim[r - 2] != k) return eval_fail(e, "dot: inner sizes %lld and %lld", (long long)k, (long long)b->dim[r - 2]);
    Array *y = out[0] = zeros(e, n->out[0]->type.dtype, r, dim);
    if (!y->count || !k) return true;
    Product p = product_begin(e, a, m, k);
    const void **rows = p.rows->data;
    for (int64_t s = 0; s < batch; s++) {
        for (int64_t i = 0; i < m; i++) rows[i] = a->splat ? p.splat_row->f : a->f + (s * m + i) * k;
        product(&p, m, cols, k, 0, b, s * k * cols, cols, y, s * m * cols, cols);
    }
    product_end(e, &p);
    wrap_ints(y);
    return true;
}

/* One input channel a group: too thin for a matrix product. */
static void depthwise(const Array *w, int64_t place, int64_t count, int64_t group, int64_t co, const void *const *rows, Array *y)
{
    int64_t each = co / group, step = w->splat ? 0 : 1;
    for (int64_t i = 0; i < count; i++) {
        if (!rows[i]) continue;
        for (int64_t c = 0; c < co; c++) {
            int64_t from = step * (place * co + c), to = i * co + c;
            if (array_is_float(y))
                y->f[to] += ((const double *)rows[i])[c / each] * w->f[from];
            else
                y->i[to] = (int64_t)((uint64_t)y->i[to] + ((const uint64_t *)rows[i])[c / each] * (uint64_t)w->i[from]);
        }
    }
}

/* y[n, t, co] += sum over places p of the kernel: x[n, t*step + p*dilation - lo, ci] w[p, ci, co], where x is spread out by
 * in_dilation. For each place the rows of x that the outputs meet are gathered as pointers; NULL is padding. */
bool eval_conv(Eval *e, const Node *n, Array *const *in, Array **out)
{
    const Array *x = in[0], *w = in[1];
    int r = x->rank, spatial = r - 2;
    const int64_t *step = attr_ints(n, A_STEP), *dilation = attr_ints(n, A_DILATION), *spread = attr_ints(n, A_IN_DILATION);
    int64_t group = attr_i(n, A_GROUP, 1), ci = x->dim[r - 1], per_group = w->dim[r - 2], co = w->dim[r - 1];
    int64_t lo[DLVK_MAX_RANK], hi[DLVK_MAX_RANK], dim[DLVK_MAX_RANK], xs[DLVK_MAX_RANK];
    if (!solve_dims(e, spatial, attr_dims(n, A_LO), lo, true) || !solve_dims(e, spatial, attr_dims(n, A_HI), hi, true))
        return false;
    if (group < 1 || ci != per_group * group || co % group)
        return eval_fail(e, "conv: %lld input and %lld output channels, weights of %lld, %lld groups", (long long)ci,
                         (long long)co, (long long)per_group, (long long)group);
    dim[0] = x->dim[0], dim[r - 1] = co;
    for (int i = 0; i < spatial; i++) {
        int64_t size = x->dim[i + 1] ? (x->dim[i + 1] - 1) * (spread ? spread[i] : 1) + 1 : 0;
        int64_t room = size + lo[i] + hi[i] - (w->dim[i] - 1) * (dilation ? dilation[i] : 1) - 1;
        dim[i + 1] = room < 0 ? 0 : room / (step ? step[i] : 1) + 1;
    }
    Array *y = out[0] = zeros(e, n->out[0]->type.dtype, r, dim);
    if (!y->count || !w->count || !x->count) return true;
    int64_t count = y->count / co, place[DLVK_MAX_RANK] = {0}, places = 0;
    Product p = product_begin(e, x, count, ci);
    const void **rows = p.rows->data;
    row_major(r, x->dim, xs);
    do {
        int64_t t[DLVK_MAX_RANK] = {0};
        for (int64_t i = 0; i < count; i++) {
            int64_t at = t[0] * xs[0];
            bool inside = true;
            for (int s = 0; s < spatial && inside; s++) {
                int64_t q = t[s + 1] * (step ? step[s] : 1) + place[s] * (dilation ? dilation[s] : 1) - lo[s],
                        by = spread ? spread[s] : 1;
                inside = q >= 0 && q % by == 0 && q / by < x->dim[s + 1];
                at += q / by * xs[s + 1];
            }
            rows[i] = !inside ? NULL : x->splat ? p.splat_row->f : x->f + at;
            odometer(r - 1, dim, t);
        }
        if (per_group == 1)
            depthwise(w, places, count, group, co, rows, y);
        else
            for (int64_t g = 0, each = co / group; g < group; g++)
                product(&p, count, each, per_group, g * per_group, w, places * per_group * co + g * each, co, y, g * each, co);
        places++;
    } while (odometer(spatial, w->dim, place));
    product_end(e, &p);
    wrap_ints(y);
    return true;
}
