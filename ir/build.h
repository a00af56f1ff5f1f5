/* Making nodes: what the ONNX importer, the public graph builder, the passes and autodiff all call.
 *
 * Functions named after a primitive make that primitive, folding away what is an identity (a reshape to the same shape,
 * a cast to the same type) and merging obvious chains. The others are compositions. All return NULL after an error, which the context
 * has recorded, and pass a NULL operand on in silence. Axes may be given negative, counted from the end. */
#ifndef DLVK_IR_BUILD_H
#define DLVK_IR_BUILD_H

#include "ir/ir.h"

typedef struct CseTable CseTable;
typedef struct Build {
    Context *ctx;
    Region *at;
    CseTable *cse; /* NULL: do not share equal nodes */
} Build;

/* Equal nodes made through one table are shared, where the first is visible from the second's region. */
CseTable *cse_new(Context *c);

/* Any op by its generic form: what the functions below end in. One output. Simplifies; gives a const or dims node where the
 * contents are known. build_node makes the node as it is, but for sharing. */
Value *build_op(Build *b, Op op, int n_in, Value *const *in, int n_attr, const Attr *attr);
Node *build_node(Build *b, Op op, int n_in, Value *const *in, int n_attr, const Attr *attr, int n_region, Region *const *region);

/* A loop around a finished body: n carried values begin as init. Its outputs, one for each result of the body but the first. Scanned
 * results of which a byte holds several go through whole bytes, in which every iteration's begin at a byte of their own. */
Value **build_loop(Build *b, Value *trips, Value *go_on, int n, Value *const *init, Region *body);

/* Sources. */
Value *build_const(Build *b, const Tensor *t);
Value *build_scalar(Build *b, DType t, double x);                 /* rank 0 */
Value *build_scalar_i(Build *b, DType t, int64_t x);
Value *build_full(Build *b, Type t, double x);                    /* broadcast scalar */
Value *build_ints(Build *b, int n, const int64_t *x);             /* i64[n] */
Value *build_dims(Build *b, DType t, int n, const Dim *const *d); /* t[n]; n = -1: rank 0 of d[0]. Floats: cast from i64 */
Value *build_iota(Build *b, DType t, int rank, const Dim *const *shape, int axis);

/* Pointwise. build_point wants equal shapes; build_map broadcasts as numpy does, first. */
Value *build_point(Build *b, Op op, int n, Value *const *in);
Value *build_map(Build *b, Op op, int n, Value *const *in);
Value *build_map1(Build *b, Op op, Value *x);
Value *build_map2(Build *b, Op op, Value *x, Value *y);
Value *build_map3(Build *b, Op op, Value *x, Value *y, Value *z);
Value *build_map2s(Build *b, Op op, Value *x, double y); /* y: a constant of x's type */
Value *build_cast(Build *b, Value *x, DType t);
Value *build_cast_sat(Build *b, Value *x, DType t, bool saturate);
Value *build_bitcast(Build *b, Value *x, DType t);

/* Movement. */
Value *build_reshape(Build *b, Value *x, int rank, const Dim *const *shape);
Value *build_transpose(Build *b, Value *x, const int *perm);
Value *build_broadcast(Build *b, Value *x, int rank, const Dim *const *shape); /* aligns on the right; both ways, as numpy: the result may
                                                                                  be larger than `shape` where that is 1 */
Value *build_slice(Build *b, Value *x, const Dim *const *start, const Dim *const *size, const int64_t *step);
Value *build_slice_axis(Build *b, Value *x, int axis, const Dim *start, const Dim *size);
Value *build_pad(Build *b, Value *x, const Dim *const *lo, const Dim *const *hi, Value *value); /* negative: crops */
Value *build_reverse(Build *b, Value *x, int n, const int *axes);
Value *build_concat(Build *b, int n, Value *const *x, int axis);
Value *build_squeeze(Build *b, Value *x, int n, const int *axes); /* axes of size 1; n = 0: all of them */
Value *build_unsqueeze(Build *b, Value *x, int n, const int *axes); /* axes of the result */
Value *build_flatten(Build *b, Value *x, int axis); /* to [prod(:axis), prod(axis:)] */

/* Reductions. axes NULL: all. keep = false removes the reduced axes. */
Value *build_reduce(Build *b, Kind k, Value *x, int n, const int *axes, bool keep);
Value *build_mean(Build *b, Value *x, int n, const int *axes, bool keep);
Value *build_argreduce(Build *b, Kind k, Value *x, int axis, bool last, bool keep);
Value *build_cumulate(Build *b, Kind k, Value *x, int axis, bool exclusive, bool reverse);
Value *build_window(Build *b, Kind k, Value *x, const int64_t *window, const int64_t *step, const int64_t *dilation,
                    const Dim *const *lo, const Dim *const *hi);
bool build_sort(Build *b, Value *x, int axis, bool descending, Value **values, Value **indices);

/* Contractions. */
Value *build_dot(Build *b, Value *x, Value *y);    /* the primitive: same batch dims */
Value *build_matmul(Build *b, Value *x, Value *y); /* numpy's matmul: rank 1, batch broadcasting */
typedef struct ConvSpec {
    int spatial;                          /* number of spatial axes */
    const int64_t *step, *dilation, *in_dilation; /* NULL: ones */
    const Dim *const *lo, *const *hi;     /* NULL: zeros */
    int64_t group;
} ConvSpec;
Value *build_conv(Build *b, Value *x, Value *w, const ConvSpec *s);       /* the primitive, channels last */
Value *build_conv_nchw(Build *b, Value *x, Value *w, const ConvSpec *s);  /* x [n,c,s...], w [co,ci/group,k...] as in ONNX */

/* Gather, scatter. */
Value *build_gather(Build *b, Value *data, Value *idx, int axis);
Value *build_scatter(Build *b, Kind k, Value *data, Value *idx, Value *updates);

/* A function of dlvk/host.h on tensors of any types. types: of the results; a NULL among their dims is a size that the function finds
 * out. False after an error. */
bool build_host(Build *b, const char *name, const char *text, int n_in, Value *const *in, int n_out, const Type *types, Value **out);
Value *build_str(Build *b, const char *s); /* a string constant of rank 0 */

/* Composites used everywhere. */
Value *build_relu(Build *b, Value *x);
Value *build_softmax(Build *b, Value *x, int axis, bool log);
Value *build_clamp(Build *b, Value *x, Value *lo, Value *hi); /* either may be NULL */
Value *build_normalize(Build *b, Value *x, int n, const int *axes, double epsilon, Value **mean, Value **inv_std); /* (x-mean)*rsqrt(var+eps) */

/* The contents of an integer tensor of rank <= 1 as dims. Unknown contents become fresh data symbols, read back at run time
 * (a read_dims node); NULL, with an error, when the tensor has no constant length. *n gets the length. */
const Dim *const *build_contents(Build *b, Value *v, int *n);
/* The same for values that may be negative, or are otherwise bounded. */
const Dim *const *build_contents_range(Build *b, Value *v, int64_t lo, int64_t hi, int *n);
/* The value as a constant tensor, evaluated on the host if need be; NULL when it depends on inputs. */
const Tensor *build_known(Build *b, Value *v);

static inline Attr at_i(AttrId id, int64_t i) { return (Attr){.id = id, .i = i}; }
static inline Attr at_ints(AttrId id, int n, const int64_t *v) { return (Attr){.id = id, .n = n, .ints = v}; }
static inline Attr at_dims(AttrId id, int n, const Dim *const *d) { return (Attr){.id = id, .n = n, .dims = d}; }

#endif
