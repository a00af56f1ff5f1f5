/* What the files of the interpreter (ir/eval*.c) share.
 *
 * An Array is a tensor in flight. Its elements are "wide": a double for every float type, an int64_t for every integer
 * type and bool (unsigned 64-bit values as their bit pattern), a Str for strings. When one node is folded, pure movement
 * works on the stored elements instead ("raw"), so that a large weight is moved without conversion. Arrays are
 * reference counted and listed in their Eval, which frees what is left, also when memory runs out in the middle. */
#ifndef DLVK_IR_EVAL_INTERNAL_H
#define DLVK_IR_EVAL_INTERNAL_H

#include "ir/eval.h"

typedef struct Array Array;
struct Array {
    DType dtype;
    int rank;
    int64_t dim[DLVK_MAX_RANK];
    int64_t count;
    bool splat; /* one element stands for all; never set when count is 0 */
    int esize;  /* bytes an element */
    union {
        void *data;
        double *f;
        int64_t *i;
    };
    Array *base;   /* whose data this is, or NULL */
    bool borrowed; /* data belongs to a Tensor or a pool */
    int refs;
    Array *prev, *next; /* in Eval.arrays */
};

typedef struct Eval {
    Context *ctx;
    Pool *pool;   /* of the results */
    bool quiet;   /* do not report: folding may fail in silence */
    bool in_pool; /* new arrays come from the pool: they are the results */
    bool keep;    /* keep every value */
    int64_t *sym; /* by Symbol.index */
    bool *known;
    int n_sym;
    Array **val; /* by value id; constants appear when first used */
    int *uses;   /* textual uses, by value id */
    int *left;   /* of these, not yet executed */
    int n_val;
    Array *arrays;
    jmp_buf *oom;
} Eval;

/* Reports (unless quiet) and returns false. */
bool eval_fail(Eval *e, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Values of n dims (d NULL: zeros); fails on an unknown symbol, and on a negative value unless `any`. */
bool solve_dims(Eval *e, int n, const Dim *const *d, int64_t *out, bool any);

/* Uninitialised, wide. Never NULL: running out of memory jumps. */
Array *array_new(Eval *e, DType t, int rank, const int64_t *dim, bool splat);
Array *array_raw(Eval *e, DType t, int esize, int rank, const int64_t *dim, bool splat);
Array *array_alias(Eval *e, Array *base, int rank, const int64_t *dim); /* another shape of the same data */
Array *array_dense(Eval *e, Array *a);                                  /* a new reference; not a splat */
Array *array_ref(Array *a);
void array_unref(Eval *e, Array *a);
Array *array_from_tensor(Eval *e, const Tensor *t, bool raw);
const Tensor *array_to_tensor(Eval *e, const Array *a, DType t); /* t: the stored type */
static inline bool array_is_float(const Array *a)
{
    return dtype_is_float(a->dtype);
}

int64_t int_wrap(DType t, int64_t v); /* to the type's width; bool: the low bit */
/* dst[i] = src[i] over a box; strides in elements, of any sign. */
void box_copy(int rank, const int64_t *dim, void *dst, const int64_t *ds, const void *src, const int64_t *ss, int esize);
void box_fill(void *dst, int64_t count, const void *elem, int esize);
void row_major(int rank, const int64_t *dim, int64_t *stride);
/* Steps a multi-index; false after the last. */
bool odometer(int rank, const int64_t *dim, int64_t *index);

/* acc (kind) x, and the identity of a kind. NaN wins in max and min. Integers want int_wrap at the end. */
static inline double fold_f(Kind k, double acc, double x)
{
    switch (k) {
    case KIND_SUM: return acc + x;
    case KIND_PROD: return acc * x;
    case KIND_MAX: return x > acc || x != x ? x : acc;
    case KIND_MIN: return x < acc || x != x ? x : acc;
    default: return x; /* set */
    }
}
int64_t fold_i(Kind k, DType t, int64_t acc, int64_t x);
double identity_f(Kind k);
int64_t identity_i(Kind k, DType t);
/* An integer that sorts as the element does: NaN above all, -0 equal to 0. */
int64_t order_key(const Array *a, int64_t i);
/* Greater for what an argmax (or argmin) prefers; NaN above all in both. */
static inline int64_t extremum_key(const Array *a, int64_t i, Kind k)
{
    int64_t key = order_key(a, i);
    return k == KIND_MAX || (array_is_float(a) && key == INT64_MAX) ? key : ~key;
}

typedef bool (*EvalOp)(Eval *e, const Node *n, Array *const *in, Array **out);
bool eval_point(Eval *e, const Node *n, Array *const *in, Array **out);
#define STRUCT(id, name, n_in, n_out) bool eval_##name(Eval *e, const Node *n, Array *const *in, Array **out);
#include "ir/ops.def"

#endif
