/* Movement ops of the interpreter: every one is a copy of a box between strided arrays, or an alias of its operand. None
 * looks at an element's value, so they run on stored elements as well as on wide ones, and a splat stays a splat. */
#include "ir/eval_internal.h"
#include <string.h>

#define EACH_SIZE(DO)                                                                                                            \
    switch (esize) {                                                                                                             \
    case 1: DO(uint8_t); break;                                                                                                  \
    case 2: DO(uint16_t); break;                                                                                                 \
    case 4: DO(uint32_t); break;                                                                                                 \
    case 8: DO(uint64_t); break;                                                                                                 \
    default: DO(Str); break;                                                                                                     \
    }

void box_fill(void *dst, int64_t count, const void *elem, int esize)
{
#define FILL(T)                                                                                                                  \
    do {                                                                                                                         \
        T x;                                                                                                                     \
        memcpy(&x, elem, sizeof x);                                                                                              \
        for (int64_t i = 0; i < count; i++) ((T *)dst)[i] = x;                                                                   \
    } while (0)
    EACH_SIZE(FILL)
}

/* Two axes, in tiles: where one side runs along the first axis, a tile keeps both sides in cache. */
static void copy_2d(int64_t n0, int64_t n1, char *dst, int64_t d0, int64_t d1, const char *src, int64_t s0, int64_t s1, int esize)
{
    enum { TILE = 32 };
    if (d1 == 1 && s1 == 1) {
        for (int64_t i = 0; i < n0; i++) memcpy(dst + i * d0 * esize, src + i * s0 * esize, (size_t)(n1 * esize));
        return;
    }
#define TILES(T)                                                                                                                 \
    for (int64_t i0 = 0; i0 < n0; i0 += TILE)                                                                                    \
        for (int64_t j0 = 0; j0 < n1; j0 += TILE)                                                                                \
            for (int64_t i = i0; i < n0 && i < i0 + TILE; i++) {                                                                 \
                T *d = (T *)dst + i * d0;                                                                                        \
                const T *s = (const T *)src + i * s0;                                                                            \
                int64_t end = j0 + TILE < n1 ? j0 + TILE : n1;                                                                   \
                for (int64_t j = j0; j < end; j++) d[j * d1] = s[j * s1];                                                        \
            }
    EACH_SIZE(TILES)
}

void box_copy(int rank, const int64_t *dim, void *dst, const int64_t *ds, const void *src, const int64_t *ss, int esize)
{
    /* Drop axes of size 1 and merge those that are one on both sides; two free places at the end. */
    int64_t n[DLVK_MAX_RANK + 2], d[DLVK_MAX_RANK + 2], s[DLVK_MAX_RANK + 2];
    int r = 0;
    for (int i = 0; i < rank; i++) {
        if (dim[i] == 0) return;
        if (dim[i] == 1) continue;
        if (r && d[r - 1] == ds[i] * dim[i] && s[r - 1] == ss[i] * dim[i])
            n[r - 1] *= dim[i], d[r - 1] = ds[i], s[r - 1] = ss[i];
        else
            n[r] = dim[i], d[r] = ds[i], s[r] = ss[i], r++;
    }
    for (; r < 2; r++) { /* in front */
        memmove(n + 1, n, sizeof *n * (size_t)r), memmove(d + 1, d, sizeof *d * (size_t)r),
            memmove(s + 1, s, sizeof *s * (size_t)r);
        n[0] = 1, d[0] = 0, s[0] = r ? 0 : 1;
        if (r == 0) d[0] = 1;
    }
    /* The pair of the last axis and the one along which the source runs. */
    int p = r - 2;
    for (int i = 0; i < r - 1 && s[r - 1] != 1; i++)
        if (s[i] == 1) p = i;
    int64_t pn = n[p], pd = d[p], ps = s[p];
    memmove(n + p, n + p + 1, sizeof *n * (size_t)(r - p - 1));
    memmove(d + p, d + p + 1, sizeof *d * (size_t)(r - p - 1));
    memmove(s + p, s + p + 1, sizeof *s * (size_t)(r - p - 1));
    int outer = r - 2;
    int64_t index[DLVK_MAX_RANK + 2] = {0};
    do {
        int64_t od = 0, os = 0;
        for (int i = 0; i < outer; i++) od += index[i] * d[i], os += index[i] * s[i];
        copy_2d(pn, n[outer], (char *)dst + od * esize, pd, d[outer], (const char *)src + os * esize, ps, s[outer], esize);
    } while (odometer(outer, n, index));
}

/* A result whose element [i] is a's at offset + sum i*stride. */
static Array *copy_view(Eval *e, const Array *a, int rank, const int64_t *dim, int64_t offset, const int64_t *stride)
{
    Array *r = array_raw(e, a->dtype, a->esize, rank, dim, a->splat);
    if (r->splat) {
        memcpy(r->data, a->data, (size_t)a->esize);
    } else if (r->count) {
        int64_t ds[DLVK_MAX_RANK];
        row_major(rank, dim, ds);
        box_copy(rank, dim, r->data, ds, (const char *)a->data + offset * a->esize, stride, a->esize);
    }
    return r;
}

bool eval_reshape(Eval *e, const Node *n, Array *const *in, Array **out)
{
    int64_t dim[DLVK_MAX_RANK], count = 1;
    int rank = n->out[0]->type.rank;
    if (!solve_dims(e, rank, attr_dims(n, A_SHAPE), dim, false)) return false;
    for (int i = 0; i < rank; i++) count = dim[i] ? count * dim[i] : 0;
    for (int i = 0; i < rank; i++)
        if (dim[i] == 0) count = 0;
    if (count != in[0]->count)
        return eval_fail(e, "reshape: %lld elements do not fit a shape of %lld", (long long)in[0]->count, (long long)count);
    out[0] = array_alias(e, in[0], rank, dim);
    return true;
}

bool eval_transpose(Eval *e, const Node *n, Array *const *in, Array **out)
{
    const int64_t *perm = attr_ints(n, A_PERM);
    int64_t dim[DLVK_MAX_RANK], stride[DLVK_MAX_RANK], s[DLVK_MAX_RANK];
    row_major(in[0]->rank, in[0]->dim, s);
    for (int i = 0; i < in[0]->rank; i++) dim[i] = in[0]->dim[perm[i]], stride[i] = s[perm[i]];
    out[0] = copy_view(e, in[0], in[0]->rank, dim, 0, stride);
    return true;
}

bool eval_broadcast(Eval *e, const Node *n, Array *const *in, Array **out)
{
    const Array *a = in[0];
    int64_t dim[DLVK_MAX_RANK], s[DLVK_MAX_RANK];
    if (!solve_dims(e, a->rank, attr_dims(n, A_SHAPE), dim, false)) return false;
    row_major(a->rank, a->dim, s);
    for (int i = 0; i < a->rank; i++) {
        if (a->dim[i] != dim[i] && a->dim[i] != 1)
            return eval_fail(e, "broadcast: axis %d has size %lld, which cannot become %lld", i, (long long)a->dim[i],
                             (long long)dim[i]);
        if (a->dim[i] == 1) s[i] = 0;
    }
    Array view = *a;
    if (a->count == 1) view.splat = true;
    out[0] = copy_view(e, &view, a->rank, dim, 0, s);
    return true;
}

bool eval_slice(Eval *e, const Node *n, Array *const *in, Array **out)
{
    const Array *a = in[0];
    int64_t start[DLVK_MAX_RANK], dim[DLVK_MAX_RANK], s[DLVK_MAX_RANK], offset = 0;
    const int64_t *step = attr_ints(n, A_STEP);
    if (!solve_dims(e, a->rank, attr_dims(n, A_START), start, true) || !solve_dims(e, a->rank, attr_dims(n, A_SHAPE), dim, false))
        return false;
    row_major(a->rank, a->dim, s);
    for (int i = 0; i < a->rank; i++) {
        int64_t by = step ? step[i] : 1;
        if (dim[i] > 0 && (start[i] < 0 || start[i] + (dim[i] - 1) * by >= a->dim[i]))
            return eval_fail(e, "slice: elements %lld to %lld of axis %d, which has %lld", (long long)start[i],
                             (long long)(start[i] + (dim[i] - 1) * by), i, (long long)a->dim[i]);
        offset += start[i] * s[i];
        s[i] *= by;
    }
    out[0] = copy_view(e, a, a->rank, dim, offset, s);
    return true;
}

bool eval_reverse(Eval *e, const Node *n, Array *const *in, Array **out)
{
    const Array *a = in[0];
    const Attr *axes = node_attr(n, A_AXES);
    int64_t s[DLVK_MAX_RANK], offset = 0;
    row_major(a->rank, a->dim, s);
    for (int i = 0; axes && i < axes->n; i++) {
        int64_t x = axes->ints[i];
        offset += (a->dim[x] - 1) * s[x];
        s[x] = -s[x];
    }
    out[0] = copy_view(e, a, a->rank, a->dim, offset, s);
    return true;
}

bool eval_pad(Eval *e, const Node *n, Array *const *in, Array **out)
{
    const Array *a = in[0], *value = in[1];
    int64_t lo[DLVK_MAX_RANK], hi[DLVK_MAX_RANK], dim[DLVK_MAX_RANK], s[DLVK_MAX_RANK], d[DLVK_MAX_RANK], offset = 0;
    if (!solve_dims(e, a->rank, attr_dims(n, A_LO), lo, false) || !solve_dims(e, a->rank, attr_dims(n, A_HI), hi, false))
        return false;
    for (int i = 0; i < a->rank; i++) dim[i] = lo[i] + a->dim[i] + hi[i];
    bool splat = a->count == 0 || (a->splat && !memcmp(a->data, value->data, (size_t)a->esize));
    Array *r = array_raw(e, a->dtype, a->esize, a->rank, dim, splat);
    out[0] = r;
    if (r->count) box_fill(r->data, r->splat ? 1 : r->count, value->data, a->esize);
    if (r->splat || !a->count) return true;
    row_major(a->rank, a->dim, s);
    row_major(a->rank, dim, d);
    for (int i = 0; i < a->rank; i++) {
        offset += lo[i] * d[i];
        if (a->splat) s[i] = 0;
    }
    box_copy(a->rank, a->dim, (char *)r->data + offset * a->esize, d, a->data, s, a->esize);
    return true;
}

bool eval_concat(Eval *e, const Node *n, Array *const *in, Array **out)
{
    int axis = (int)attr_i(n, A_AXIS, 0), rank = in[0]->rank;
    int64_t dim[DLVK_MAX_RANK], d[DLVK_MAX_RANK], s[DLVK_MAX_RANK], at = 0;
    memcpy(dim, in[0]->dim, sizeof dim);
    dim[axis] = 0;
    const Array *first = NULL;
    bool splat = true;
    for (int i = 0; i < n->n_in; i++) {
        for (int k = 0; k < rank; k++)
            if (k != axis && in[i]->dim[k] != dim[k])
                return eval_fail(e, "concat: operand %d has size %lld in axis %d, the first has %lld", i,
                                 (long long)in[i]->dim[k], k, (long long)dim[k]);
        dim[axis] += in[i]->dim[axis];
        if (!in[i]->count) continue;
        if (!first) first = in[i];
        splat = splat && in[i]->splat && !memcmp(in[i]->data, first->data, (size_t)first->esize);
    }
    Array *r = array_raw(e, in[0]->dtype, in[0]->esize, rank, dim, splat);
    out[0] = r;
    if (r->splat) memcpy(r->data, first->data, (size_t)r->esize);
    if (r->splat || !r->count) return true;
    row_major(rank, dim, d);
    for (int i = 0; i < n->n_in; i++) {
        const Array *a = in[i];
        row_major(rank, a->dim, s);
        if (a->splat) memset(s, 0, sizeof s);
        box_copy(rank, a->dim, (char *)r->data + at * d[axis] * r->esize, d, a->data, s, r->esize);
        at += a->dim[axis];
    }
    return true;
}

bool eval_gather(Eval *e, const Node *n, Array *const *in, Array **out)
{
    const Array *a = in[0], *index = in[1];
    int axis = (int)attr_i(n, A_AXIS, 0), rank = 0;
    int64_t dim[2 * DLVK_MAX_RANK], outer = 1, inner = 1, rows = a->dim[axis];
    if (a->rank - 1 + index->rank > DLVK_MAX_RANK) return eval_fail(e, "gather: rank above %d", DLVK_MAX_RANK);
    for (int i = 0; i < axis; i++) outer *= dim[rank++] = a->dim[i];
    for (int i = 0; i < index->rank; i++) dim[rank++] = index->dim[i];
    for (int i = axis + 1; i < a->rank; i++) inner *= dim[rank++] = a->dim[i];
    Array *r = array_raw(e, a->dtype, a->esize, rank, dim, a->splat);
    out[0] = r;
    if (r->count == 0) return true;
    if (rows == 0) {
        memset(r->data, 0, (size_t)((r->splat ? 1 : r->count) * r->esize));
        return true;
    }
    if (r->splat) {
        memcpy(r->data, a->data, (size_t)a->esize);
        return true;
    }
    char *to = r->data;
    size_t bytes = (size_t)(inner * a->esize);
    for (int64_t o = 0; o < outer; o++)
        for (int64_t k = 0; k < index->count; k++, to += bytes) {
            int64_t i = index->i[index->splat ? 0 : k];
            if (dtype_class(index->dtype) == DC_UINT && i < 0) i = rows; /* beyond 2^63 */
            i = i < 0 ? 0 : i >= rows ? rows - 1 : i;
            memcpy(to, (const char *)a->data + (size_t)(o * rows + i) * bytes, bytes);
        }
    return true;
}

bool eval_stop_gradient(Eval *e, const Node *n, Array *const *in, Array **out)
{
    (void)e, (void)n;
    out[0] = array_ref(in[0]);
    return true;
}

bool eval_barrier(Eval *e, const Node *n, Array *const *in, Array **out)
{
    return eval_stop_gradient(e, n, in, out);
}
