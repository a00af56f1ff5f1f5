/* Sliding windows of the interpreter: window (pooling, and any reduction over a neighbourhood) and argwindow.
 *
 * The loop over the window's places is the outer one. For each, the outputs whose element there lies inside the operand
 * form a box, so padding is skipped by bounds and the inner loop runs straight along the last axis. */
#include "ir/eval_internal.h"
#include <string.h>

typedef struct Windows {
    int64_t dim[DLVK_MAX_RANK]; /* of the result */
    int64_t lo[DLVK_MAX_RANK];
    const int64_t *window, *step, *dilation; /* step, dilation may be NULL: ones */
} Windows;

static int64_t of(const int64_t *v, int i)
{
    return v ? v[i] : 1;
}
static int64_t floor_div(int64_t a, int64_t b)
{
    return a / b - (a % b != 0 && (a < 0) != (b < 0));
}

static bool windows(Eval *e, const Node *n, const Array *a, Windows *w)
{
    int64_t hi[DLVK_MAX_RANK];
    w->window = attr_ints(n, A_WINDOW), w->step = attr_ints(n, A_STEP), w->dilation = attr_ints(n, A_DILATION);
    if (!solve_dims(e, a->rank, attr_dims(n, A_LO), w->lo, true) || !solve_dims(e, a->rank, attr_dims(n, A_HI), hi, true))
        return false;
    for (int i = 0; i < a->rank; i++) {
        int64_t room = a->dim[i] + w->lo[i] + hi[i] - (of(w->window, i) - 1) * of(w->dilation, i) - 1;
        w->dim[i] = room < 0 ? 0 : room / of(w->step, i) + 1;
    }
    return true;
}

/* Calls `row` for every run of outputs along the last axis, for every place of the window in row-major order. */
typedef void (*RowFn)(void *user, int64_t out, int64_t in, int64_t n, int64_t in_step);
static void each_row(const Array *a, const Windows *w, RowFn row, void *user)
{
    int64_t place[DLVK_MAX_RANK] = {0}, xs[DLVK_MAX_RANK], ys[DLVK_MAX_RANK];
    if (a->rank == 0) {
        row(user, 0, 0, 1, 0);
        return;
    }
    row_major(a->rank, a->dim, xs);
    row_major(a->rank, w->dim, ys);
    do {
        int64_t size[DLVK_MAX_RANK], index[DLVK_MAX_RANK] = {0}, x0 = 0, y0 = 0;
        bool none = false;
        for (int i = 0; i < a->rank; i++) {
            int64_t shift = place[i] * of(w->dilation, i) - w->lo[i], step = of(w->step, i);
            int64_t first = -floor_div(shift, step), last = floor_div(a->dim[i] - 1 - shift, step);
            first = first < 0 ? 0 : first;
            last = last >= w->dim[i] ? w->dim[i] - 1 : last;
            size[i] = last - first + 1;
            if (size[i] <= 0) none = true;
            x0 += (first * step + shift) * xs[i];
            y0 += first * ys[i];
        }
        if (none) continue;
        int last = a->rank - 1;
        do {
            int64_t x = x0, y = y0;
            for (int i = 0; i < last; i++) x += index[i] * of(w->step, i) * xs[i], y += index[i] * ys[i];
            row(user, y, x, size[last], of(w->step, last));
        } while (odometer(last, size, index));
    } while (odometer(a->rank, w->window, place));
}

typedef struct Fold {
    const Array *a;
    Array *y;
    int64_t *key;
    Kind k;
} Fold;

static void fold_row(void *user, int64_t out, int64_t in, int64_t n, int64_t step)
{
    const Fold *f = user;
    if (array_is_float(f->a))
        for (int64_t j = 0; j < n; j++) f->y->f[out + j] = fold_f(f->k, f->y->f[out + j], f->a->f[in + j * step]);
    else
        for (int64_t j = 0; j < n; j++)
            f->y->i[out + j] = int_wrap(f->a->dtype, fold_i(f->k, f->a->dtype, f->y->i[out + j], f->a->i[in + j * step]));
}

bool eval_window(Eval *e, const Node *n, Array *const *in, Array **out)
{
    Windows w;
    if (!windows(e, n, in[0], &w)) return false;
    Array *a = array_dense(e, in[0]);
    Kind k = (Kind)attr_i(n, A_KIND, KIND_SUM);
    Array *y = out[0] = array_new(e, a->dtype, a->rank, w.dim, false);
    double f = identity_f(k);
    int64_t i = array_is_float(a) ? 0 : identity_i(k, a->dtype);
    box_fill(y->data, y->count, array_is_float(a) ? (void *)&f : (void *)&i, y->esize);
    each_row(a, &w, fold_row, &(Fold){.a = a, .y = y, .k = k});
    array_unref(e, a);
    return true;
}

static void best_row(void *user, int64_t out, int64_t in, int64_t n, int64_t step)
{
    const Fold *f = user;
    for (int64_t j = 0; j < n; j++) {
        int64_t key = extremum_key(f->a, in + j * step, f->k);
        if (f->y->i[out + j] >= 0 && key <= f->key[out + j]) continue; /* the first of equals */
        f->y->i[out + j] = in + j * step;
        f->key[out + j] = key;
    }
}

/* Of operand element x_at, in window y_at: the flat index in the window. */
static int64_t place_in_window(const Array *a, const Array *y, const Windows *w, int64_t x_at, int64_t y_at)
{
    int64_t place = 0, stride = 1;
    for (int i = a->rank - 1; i >= 0; i--) {
        int64_t x = x_at % a->dim[i], q = y_at % y->dim[i];
        place += (x + w->lo[i] - q * of(w->step, i)) / of(w->dilation, i) * stride;
        stride *= of(w->window, i);
        x_at /= a->dim[i];
        y_at /= y->dim[i];
    }
    return place;
}

/* A window that lies in the padding altogether gives index 0. */
bool eval_argwindow(Eval *e, const Node *n, Array *const *in, Array **out)
{
    Windows w;
    if (!windows(e, n, in[0], &w)) return false;
    Array *y = out[0] = array_new(e, DLVK_I64, in[0]->rank, w.dim, false);
    Array *key = array_new(e, DLVK_I64, in[0]->rank, w.dim, false);
    box_fill(y->data, y->count, &(int64_t){-1}, y->esize);
    each_row(in[0], &w, best_row, &(Fold){.a = in[0], .y = y, .key = key->i, .k = (Kind)attr_i(n, A_KIND, KIND_MAX)});
    for (int64_t i = 0; i < y->count; i++)
        if (y->i[i] < 0)
            y->i[i] = 0;
        else if (attr_i(n, A_PLACE, 0))
            y->i[i] = place_in_window(in[0], y, &w, y->i[i], i);
    array_unref(e, key);
    return true;
}
