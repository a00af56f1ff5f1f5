/* dlvk/graph.h: writing a model in C.
 *
 *     dlvk_graph *g = dlvk_graph_new("mlp");
 *     dlvk_value h = dlvk_relu(g, dlvk_dense(g, dlvk_input(g, "x", DLVK_F32, "batch,784"), "hidden", 128));
 *     dlvk_output(g, "y", dlvk_softmax(g, dlvk_dense(g, h, "classes", 10), -1));
 *     dlvk_status s = dlvk_compile_graph(g, &bundle, &size, &options, &err); // dlvk/compiler.h
 *     dlvk_graph_free(g);
 *
 * Values are handles into their graph: they need no freeing and die with it. A function that cannot do what it is asked
 * records the error in the graph and returns NULL, and every function takes a NULL value in silence, so that a model is written
 * without checks; the compilation, or dlvk_graph_status(), reports all errors, each with the scope and the function at fault.
 *
 * Shapes are written as text, dimensions separated by commas, each an expression over numbers and symbols: "batch,3,2*h,w/2"
 * ("/" rounds down; "" is a scalar). A symbol stands for the same size everywhere in a graph. Sizes are bound when inputs
 * arrive. Axes may be negative: counted from the end. Pointwise functions broadcast as numpy does.
 *
 * A graph is used by one thread at a time; different graphs are independent. */
#ifndef DLVK_GRAPH_H
#define DLVK_GRAPH_H

#include "dlvk/compiler.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct dlvk_value_s *dlvk_value;

/* ---- the graph --------------------------------------------------------------------------------------------------- */

/* NULL only when memory has run out. `name` is copied, as is every string and array given to the functions below. */
DLVK_API dlvk_graph *dlvk_graph_new(const char *name);
DLVK_API void dlvk_graph_free(dlvk_graph *g); /* NULL is allowed */
/* DLVK_OK, or the status of the first error; err gets all messages. */
DLVK_API dlvk_status dlvk_graph_status(const dlvk_graph *g, dlvk_error *err);
/* Names made until the matching pop get "NAME." before them: parameters, and what messages and profiles call the nodes. */
DLVK_API void dlvk_scope_push(dlvk_graph *g, const char *name);
DLVK_API void dlvk_scope_pop(dlvk_graph *g);
/* Names a value, for dumps and messages; returns it. */
DLVK_API dlvk_value dlvk_name(dlvk_graph *g, dlvk_value v, const char *name);
/* "f32[batch,10]"; owned by the graph. "?" for NULL. */
DLVK_API const char *dlvk_describe(dlvk_graph *g, dlvk_value v);
DLVK_API int dlvk_rank(dlvk_value v);                   /* -1 for NULL */
DLVK_API int64_t dlvk_dim(dlvk_value v, int axis);      /* -1 where it is symbolic (or v is NULL) */
DLVK_API dlvk_dtype dlvk_type(dlvk_value v);            /* DLVK_DTYPE_COUNT for NULL */
/* Makes v an output; outputs keep the order of these calls. A name may be used once. */
DLVK_API void dlvk_output(dlvk_graph *g, const char *name, dlvk_value v);

/* Writes the graph as an ONNX model of opset 18, parameters as initializers under their full names; the file is written whole or not
 * at all. DLVK_UNSUPPORTED, and a line for each node at fault, where ONNX has no counterpart: log1p, expm1, rem, mod, trunc, atan2,
 * shifts, bitcast, random bits, compact, arg_window, transposed convolutions, windows that are no pools, running products and extrema,
 * reductions of bools, sizes that are no function of the inputs' sizes, loops and branches. Gather and scatter agree where indices are
 * in range. */
DLVK_API dlvk_status dlvk_graph_write_onnx(dlvk_graph *g, const char *path, dlvk_error *err);

/* ---- sources ----------------------------------------------------------------------------------------------------- */

DLVK_API dlvk_value dlvk_input(dlvk_graph *g, const char *name, dlvk_dtype t, const char *shape);

/* How a parameter starts when nothing else supplies its values. Random ones depend on the graph's seed and the parameter's name. */
typedef enum dlvk_init {
    DLVK_INIT_ZEROS,
    DLVK_INIT_ONES,
    DLVK_INIT_UNIFORM, /* in [-scale, scale) */
    DLVK_INIT_NORMAL,  /* standard deviation `scale` */
    DLVK_INIT_GLOROT,  /* uniform, sqrt(6 / (fan in + fan out)) * scale */
    DLVK_INIT_HE       /* normal, sqrt(2 / fan in) * scale */
} dlvk_init;
/* A weight of constant shape. Its full name is the scopes' names and `name`, joined with dots, and must be new. */
DLVK_API dlvk_value dlvk_parameter(dlvk_graph *g, const char *name, dlvk_dtype t, const char *shape, dlvk_init init, double scale);
/* The same with its values: dense, `bytes` long, copied. */
DLVK_API dlvk_value dlvk_parameter_data(dlvk_graph *g, const char *name, dlvk_dtype t, const char *shape, const void *data, size_t bytes);
DLVK_API void dlvk_graph_seed(dlvk_graph *g, uint64_t seed); /* 0 at first */
/* Asked for the values of every parameter made with dlvk_parameter (those of layers too) from then on: fill `data` (dense)
 * and return true, or return false to leave it to the initialiser. */
typedef bool (*dlvk_weights)(void *user, const char *name, dlvk_dtype t, int rank, const int64_t *dims, void *data, size_t bytes);
DLVK_API void dlvk_graph_weights(dlvk_graph *g, dlvk_weights supply, void *user);

DLVK_API dlvk_value dlvk_constant(dlvk_graph *g, dlvk_dtype t, int rank, const int64_t *dims, const void *data); /* dense, copied */
DLVK_API dlvk_value dlvk_scalar(dlvk_graph *g, dlvk_dtype t, double x);
DLVK_API dlvk_value dlvk_full(dlvk_graph *g, dlvk_dtype t, const char *shape, double x);
DLVK_API dlvk_value dlvk_iota(dlvk_graph *g, dlvk_dtype t, const char *shape, int axis); /* the index along axis */
DLVK_API dlvk_value dlvk_size(dlvk_graph *g, dlvk_value x, int axis);                    /* i64 scalar */
/* 32 random bits an element (u32), a function of the seed (u64 scalar) and the position: Philox 4x32-10. */
DLVK_API dlvk_value dlvk_random_bits(dlvk_graph *g, const char *shape, dlvk_value seed);
/* [0, 1) with 24 random bits, f32. */
DLVK_API dlvk_value dlvk_random_uniform(dlvk_graph *g, const char *shape, dlvk_value seed);

/* ---- pointwise --------------------------------------------------------------------------------------------------- */

/* dlvk_NAME(g, x): operands and result of one type; is_nan and is_inf give bool. not: logical on bool, bitwise on integers. */
#define DLVK_UNARY(X)                                                                                                      \
    X(NEG, neg) X(ABS, abs) X(SIGN, sign) X(FLOOR, floor) X(CEIL, ceil) X(TRUNC, trunc) X(ROUND, round) X(SQRT, sqrt)       \
    X(RSQRT, rsqrt) X(EXP, exp) X(LOG, log) X(LOG1P, log1p) X(EXPM1, expm1) X(SIN, sin) X(COS, cos) X(TAN, tan)             \
    X(ASIN, asin) X(ACOS, acos) X(ATAN, atan) X(SINH, sinh) X(COSH, cosh) X(TANH, tanh) X(ASINH, asinh) X(ACOSH, acosh)     \
    X(ATANH, atanh) X(ERF, erf) X(SIGMOID, sigmoid) X(IS_NAN, is_nan) X(IS_INF, is_inf) X(NOT, not)
/* dlvk_NAME(g, x, y): operands of one type; comparisons (eq .. ge) give bool. Integer division truncates, x/0 = 0. rem has the
 * sign of x, mod that of y. NaN wins in max and min. shr is arithmetic on signed integers. */
#define DLVK_BINARY(X)                                                                                                     \
    X(ADD, add) X(SUB, sub) X(MUL, mul) X(DIV, div) X(REM, rem) X(MOD, mod) X(POW, pow) X(MAX, max) X(MIN, min)             \
    X(ATAN2, atan2) X(EQ, eq) X(NE, ne) X(LT, lt) X(LE, le) X(GT, gt) X(GE, ge) X(AND, and) X(OR, or) X(XOR, xor)           \
    X(SHL, shl) X(SHR, shr)
#define DLVK_DECLARE_UNARY(id, name) DLVK_API dlvk_value dlvk_##name(dlvk_graph *g, dlvk_value x);
#define DLVK_DECLARE_BINARY(id, name) DLVK_API dlvk_value dlvk_##name(dlvk_graph *g, dlvk_value x, dlvk_value y);
DLVK_UNARY(DLVK_DECLARE_UNARY)
DLVK_BINARY(DLVK_DECLARE_BINARY)
DLVK_API dlvk_value dlvk_select(dlvk_graph *g, dlvk_value condition, dlvk_value yes, dlvk_value no); /* condition: bool */
DLVK_API dlvk_value dlvk_add_scalar(dlvk_graph *g, dlvk_value x, double y);
DLVK_API dlvk_value dlvk_mul_scalar(dlvk_graph *g, dlvk_value x, double y);
DLVK_API dlvk_value dlvk_clamp(dlvk_graph *g, dlvk_value x, double lo, double hi);
DLVK_API dlvk_value dlvk_cast(dlvk_graph *g, dlvk_value x, dlvk_dtype t); /* to float8: saturating, as ONNX's Cast */
DLVK_API dlvk_value dlvk_bitcast(dlvk_graph *g, dlvk_value x, dlvk_dtype t);

/* Activations, of floats. gelu is exact (erf), gelu_tanh its usual approximation. */
DLVK_API dlvk_value dlvk_relu(dlvk_graph *g, dlvk_value x);
DLVK_API dlvk_value dlvk_leaky_relu(dlvk_graph *g, dlvk_value x, double alpha);
DLVK_API dlvk_value dlvk_elu(dlvk_graph *g, dlvk_value x, double alpha);
DLVK_API dlvk_value dlvk_gelu(dlvk_graph *g, dlvk_value x);
DLVK_API dlvk_value dlvk_gelu_tanh(dlvk_graph *g, dlvk_value x);
DLVK_API dlvk_value dlvk_silu(dlvk_graph *g, dlvk_value x);
DLVK_API dlvk_value dlvk_mish(dlvk_graph *g, dlvk_value x);
DLVK_API dlvk_value dlvk_softplus(dlvk_graph *g, dlvk_value x);
DLVK_API dlvk_value dlvk_hard_sigmoid(dlvk_graph *g, dlvk_value x); /* clamp(x / 6 + 1/2, 0, 1) */
DLVK_API dlvk_value dlvk_hard_swish(dlvk_graph *g, dlvk_value x);

/* ---- movement ---------------------------------------------------------------------------------------------------- */

/* One dimension of `shape` may be "?": what the others leave over. */
DLVK_API dlvk_value dlvk_reshape(dlvk_graph *g, dlvk_value x, const char *shape);
DLVK_API dlvk_value dlvk_transpose(dlvk_graph *g, dlvk_value x, const int *perm); /* rank entries: result axis i is axis perm[i] of x */
DLVK_API dlvk_value dlvk_broadcast(dlvk_graph *g, dlvk_value x, const char *shape);
/* count elements from start on along one axis; the texts are dimension expressions. */
DLVK_API dlvk_value dlvk_slice(dlvk_graph *g, dlvk_value x, int axis, const char *start, const char *count);
DLVK_API dlvk_value dlvk_stride(dlvk_graph *g, dlvk_value x, int axis, int64_t step); /* every step-th element, from the first */
DLVK_API dlvk_value dlvk_pad(dlvk_graph *g, dlvk_value x, int axis, const char *before, const char *after, double value);
DLVK_API dlvk_value dlvk_reverse(dlvk_graph *g, dlvk_value x, int axis);
DLVK_API dlvk_value dlvk_concat(dlvk_graph *g, int n, const dlvk_value *x, int axis);
DLVK_API dlvk_value dlvk_squeeze(dlvk_graph *g, dlvk_value x, int axis);
DLVK_API dlvk_value dlvk_unsqueeze(dlvk_graph *g, dlvk_value x, int axis);
DLVK_API dlvk_value dlvk_flatten(dlvk_graph *g, dlvk_value x, int axis); /* [product of dims before axis, product from axis on] */

/* ---- reductions -------------------------------------------------------------------------------------------------- */

typedef enum dlvk_kind { DLVK_SUM, DLVK_PROD, DLVK_MAX, DLVK_MIN, DLVK_ALL, DLVK_ANY, DLVK_SET } dlvk_kind; /* ALL and ANY: of bool */
/* Over n axes (n = 0: all). keep: reduced axes stay, with size 1. */
DLVK_API dlvk_value dlvk_reduce(dlvk_graph *g, dlvk_kind k, dlvk_value x, int n, const int *axes, bool keep);
DLVK_API dlvk_value dlvk_mean(dlvk_graph *g, dlvk_value x, int n, const int *axes, bool keep);
DLVK_API dlvk_value dlvk_variance(dlvk_graph *g, dlvk_value x, int n, const int *axes, bool keep); /* of the population */
/* Index (i64) of the first greatest (k = DLVK_MAX) or least (DLVK_MIN) element along the axis, which goes away. */
DLVK_API dlvk_value dlvk_arg_reduce(dlvk_graph *g, dlvk_kind k, dlvk_value x, int axis);
/* Running sum, product, maximum or minimum. exclusive: without the element at hand; reverse: from the end. */
DLVK_API dlvk_value dlvk_cumulate(dlvk_graph *g, dlvk_kind k, dlvk_value x, int axis, bool exclusive, bool reverse);
/* Stable; values and indices (i64; NULL: not wanted) of x's shape. */
DLVK_API dlvk_value dlvk_sort(dlvk_graph *g, dlvk_value x, int axis, bool descending, dlvk_value *indices);
DLVK_API dlvk_value dlvk_top_k(dlvk_graph *g, dlvk_value x, int axis, int64_t k, dlvk_value *indices); /* the greatest first */
DLVK_API dlvk_value dlvk_softmax(dlvk_graph *g, dlvk_value x, int axis);
DLVK_API dlvk_value dlvk_log_softmax(dlvk_graph *g, dlvk_value x, int axis);

/* ---- gather and scatter ------------------------------------------------------------------------------------------ */

/* Shape: data's before the axis, indices', data's after it. Indices (integers) out of range are clamped. */
DLVK_API dlvk_value dlvk_gather(dlvk_graph *g, dlvk_value data, dlvk_value indices, int axis);
/* data [n, r...], indices [m], updates [m, r...]: row indices[i] of data is set to (k = DLVK_SET), or combined with, updates[i], in
 * order; out of range: dropped. */
DLVK_API dlvk_value dlvk_scatter(dlvk_graph *g, dlvk_kind k, dlvk_value data, dlvk_value indices, dlvk_value updates);
DLVK_API dlvk_value dlvk_compact(dlvk_graph *g, dlvk_value condition); /* bool [n]: i64 positions of the true ones; a size known at run time */

/* ---- contractions ------------------------------------------------------------------------------------------------ */

DLVK_API dlvk_value dlvk_matmul(dlvk_graph *g, dlvk_value x, dlvk_value y); /* numpy's: batch axes broadcast */
DLVK_API dlvk_value dlvk_linear(dlvk_graph *g, dlvk_value x, dlvk_value w, dlvk_value bias); /* x [...,in] w [out,in] bias [out] or NULL */

/* A window over up to 3 spatial axes. Unset (0) stride, dilation and groups count as 1; pad_end is added to `pad` behind. */
typedef struct dlvk_window {
    size_t struct_size;                                     /* set by the INIT macro */
    int64_t kernel[3], stride[3], dilation[3], pad[3], pad_end[3];
    int64_t groups;                                         /* convolutions */
    bool ceil_mode;                                         /* pools: round result sizes up */
    bool count_padding;                                     /* average pool: divide by the window's size at borders, too */
    bool no_bias;                                           /* convolution layers */
    int64_t output_padding[3];                              /* transposed convolution */
} dlvk_window;
#define DLVK_WINDOW_INIT { .struct_size = sizeof(dlvk_window) }
/* A square 2-D window. */
DLVK_API dlvk_window dlvk_window_2d(int64_t kernel, int64_t stride, int64_t pad);

/* x [n,ci,s...], w [co,ci/groups,k...], bias [co] or NULL. The kernel's size is w's. */
DLVK_API dlvk_value dlvk_convolve(dlvk_graph *g, dlvk_value x, dlvk_value w, dlvk_value bias, const dlvk_window *o);
/* x [n,ci,s...], w [ci,co/groups,k...]: sizes (s-1)*stride + dilation*(k-1) + 1 + output_padding - 2*pad - pad_end. */
DLVK_API dlvk_value dlvk_convolve_transposed(dlvk_graph *g, dlvk_value x, dlvk_value w, dlvk_value bias, const dlvk_window *o);
DLVK_API dlvk_value dlvk_max_pool(dlvk_graph *g, dlvk_value x, const dlvk_window *o);     /* over x's axes from 2 on */
DLVK_API dlvk_value dlvk_average_pool(dlvk_graph *g, dlvk_value x, const dlvk_window *o);
DLVK_API dlvk_value dlvk_global_average_pool(dlvk_graph *g, dlvk_value x);               /* [n,c,s...] to [n,c] */
/* Any reduction (sum, prod, max, min) over windows of x's axes from 2 on; padding counts as the reduction's identity. */
DLVK_API dlvk_value dlvk_window_reduce(dlvk_graph *g, dlvk_kind k, dlvk_value x, const dlvk_window *o);
/* Where each window's greatest (DLVK_MAX) or least (DLVK_MIN) element lies: flat indices into x, i64. */
DLVK_API dlvk_value dlvk_arg_window(dlvk_graph *g, dlvk_kind k, dlvk_value x, const dlvk_window *o);
/* softmax(q k^T * scale + mask) v: q [...,n,d] k [...,m,d] v [...,m,e]. scale 0: 1/sqrt(d). mask: bool (true: attend), float (added), or
 * NULL; causal: query i sees keys up to i. */
DLVK_API dlvk_value dlvk_attention(dlvk_graph *g, dlvk_value q, dlvk_value k, dlvk_value v, dlvk_value mask, bool causal, double scale);

/* ---- layers: compositions that make their own parameters --------------------------------------------------------- */

/* Parameters NAME.weight and NAME.bias of x's type; sizes that a weight needs must be constant in x. Weights and biases of dense layers
 * and convolutions begin uniform in +-1/sqrt(inputs of an output), norms with 1 and 0. */
DLVK_API dlvk_value dlvk_dense(dlvk_graph *g, dlvk_value x, const char *name, int64_t units); /* over the last axis; weight [units,in] */
DLVK_API dlvk_value dlvk_conv(dlvk_graph *g, dlvk_value x, const char *name, int64_t channels, const dlvk_window *o);
DLVK_API dlvk_value dlvk_conv_transposed(dlvk_graph *g, dlvk_value x, const char *name, int64_t channels, const dlvk_window *o);
/* Parameters weight, bias, running_mean, running_var over axis 1. Normalises by the running statistics and, in the training program of
 * dlvk_compile_graph_training(), by the batch's; the running ones are then moved a tenth of the way to them. */
DLVK_API dlvk_value dlvk_batch_norm(dlvk_graph *g, dlvk_value x, const char *name, double epsilon);
/* Over the last axis; weight and bias of its size. */
DLVK_API dlvk_value dlvk_layer_norm(dlvk_graph *g, dlvk_value x, const char *name, double epsilon);
DLVK_API dlvk_value dlvk_rms_norm(dlvk_graph *g, dlvk_value x, const char *name, double epsilon); /* weight only */
/* Channels (axis 1) in groups; as many groups as channels is instance norm. */
DLVK_API dlvk_value dlvk_group_norm(dlvk_graph *g, dlvk_value x, const char *name, int64_t groups, double epsilon);
DLVK_API dlvk_value dlvk_instance_norm(dlvk_graph *g, dlvk_value x, const char *name, double epsilon);
/* indices: integers; adds an axis of `size` at the end. weight [count,size]. */
DLVK_API dlvk_value dlvk_embedding(dlvk_graph *g, dlvk_value indices, const char *name, dlvk_dtype t, int64_t count, int64_t size);
/* x; in a training program each element is 0 with probability `rate`, and otherwise x / (1 - rate). */
DLVK_API dlvk_value dlvk_dropout(dlvk_graph *g, dlvk_value x, double rate);
/* Self-attention over x [batch,seq,width] in `heads` heads; dense layers query, key, value, out. */
DLVK_API dlvk_value dlvk_self_attention(dlvk_graph *g, dlvk_value x, const char *name, int64_t heads, dlvk_value mask, bool causal);

/* ---- losses: scalars, the mean over all elements ----------------------------------------------------------------- */

DLVK_API dlvk_value dlvk_mse_loss(dlvk_graph *g, dlvk_value x, dlvk_value target);
DLVK_API dlvk_value dlvk_l1_loss(dlvk_graph *g, dlvk_value x, dlvk_value target);
DLVK_API dlvk_value dlvk_huber_loss(dlvk_graph *g, dlvk_value x, dlvk_value target, double delta);
DLVK_API dlvk_value dlvk_cross_entropy_loss(dlvk_graph *g, dlvk_value logits, dlvk_value target); /* [n,c,...], integers [n,...] */
DLVK_API dlvk_value dlvk_nll_loss(dlvk_graph *g, dlvk_value log_prob, dlvk_value target);
DLVK_API dlvk_value dlvk_bce_loss(dlvk_graph *g, dlvk_value logits, dlvk_value target);           /* target in [0, 1] */

/* ---- control flow ------------------------------------------------------------------------------------------------ */

/* Between begin, (else) and end, functions build inside the body, which may use every value made before. Bodies nest.
 *
 * Loop: begin gives the iteration number (i64 scalar) and, in inner[], the carried values; end takes the condition to go on (bool
 * scalar; NULL: always), the carried values' next versions, and values to collect: out[] gets the n last carried values, then
 * n_scan stacked ones with a new first axis. trips: i64 scalar. */
DLVK_API dlvk_value dlvk_loop_begin(dlvk_graph *g, dlvk_value trips, int n, const dlvk_value *carried, dlvk_value *inner);
DLVK_API void dlvk_loop_end(dlvk_graph *g, dlvk_value go_on, const dlvk_value *next, int n_scan, const dlvk_value *scan, dlvk_value *out);
DLVK_API void dlvk_if_begin(dlvk_graph *g, dlvk_value condition); /* bool scalar */
DLVK_API void dlvk_if_else(dlvk_graph *g, int n, const dlvk_value *results);
DLVK_API void dlvk_if_end(dlvk_graph *g, int n, const dlvk_value *results, dlvk_value *out); /* results of the two bodies: same types */

/* ---- ONNX files -------------------------------------------------------------------------------------------------- */

/* An ONNX file's main graph, built here. in[i] takes the place of its input names[i], of whose element type it must be; shapes that the file
 * declares do not count. Inputs that are not named have their initializers. out[] gets the first n_out outputs, or NULL. Initializers are
 * constants. The file is read once a graph. Gradient nodes are refused. */
DLVK_API void dlvk_onnx(dlvk_graph *g, const char *path, int n_in, const char *const *names, const dlvk_value *in, int n_out,
                        dlvk_value *out);

/* ---- markers ----------------------------------------------------------------------------------------------------- */

DLVK_API dlvk_value dlvk_stop_gradient(dlvk_graph *g, dlvk_value x);
DLVK_API dlvk_value dlvk_barrier(dlvk_graph *g, dlvk_value x); /* never fused across, never recomputed */

#ifdef __cplusplus
}
#endif
#endif
