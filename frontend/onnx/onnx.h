/* The ONNX importer, from inside: what operator lowerings see.
 *
 * Every operator is one row of frontend/onnx/ops.def: ONNX(domain, Name, since, lower, arg). `lower` builds the outputs with
 * ir/build.h; `arg` is an int it gets as n->arg (an Op, a Kind, 0), so one function serves many rows. Older meanings that
 * differ have rows of their own (or the lowering asks n->opset).
 *
 * A lowering never reports NULL operands: build functions pass them on. Its own complaints go through onnx_error(). It is
 * not called at all when an input failed to import or a required one is missing, so a NULL input is an omitted one. */
#ifndef DLVK_FRONTEND_ONNX_ONNX_H
#define DLVK_FRONTEND_ONNX_ONNX_H

#include "ir/build.h"
#include "onnx.pb-c.h"

typedef struct Importer Importer;
typedef struct Scope Scope; /* names visible in a (sub)graph; chained outwards */

/* A sequence, its elements known one by one at import; or an optional without a value. A loop whose trip count is not known can
 * append to a sequence: then what comes out has its elements, which are of one type, along a new first axis of a tensor. */
typedef struct OnnxSeq {
    bool none; /* optional, empty */
    const struct OnnxSeq
        *open; /* in such a loop's body: the carried sequence that this goes on from; `at` is what was appended */
    int n;
    Value **at;
    Value *stack; /* instead of at: as many elements as are known at run time */
} OnnxSeq;

/* What a name in a model stands for: one of these. */
typedef struct OnnxItem {
    Value *value;
    const OnnxSeq *seq;
    dlvk_chance chance;
} OnnxItem;

typedef struct OnnxNode {
    Importer *im;
    Build *b;     /* where to build */
    Scope *scope; /* for subgraph attributes */
    const Onnx__NodeProto *proto;
    const char *name; /* node name, or "OpType_INDEX" where it has none */
    int opset;        /* of this node's domain */
    int arg;
    int n_in, n_out; /* as in the proto; trailing and middle "" inputs are NULL values */
    Value **in;
    Value **out;                       /* the lowering fills these */
    const OnnxSeq **seq_in, **seq_out; /* where a value is a sequence, in[] or out[] is NULL */
} OnnxNode;

typedef void (*OnnxLower)(OnnxNode *n);

/* Input i, or NULL when absent (omitted or "") or not a tensor (a sequence). */
static inline Value *in(const OnnxNode *n, int i)
{
    return i < n->n_in ? n->in[i] : NULL;
}
bool has_in(const OnnxNode *n, int i);  /* input i is given, as a tensor or a sequence */
bool has_out(const OnnxNode *n, int i); /* the model names output i */

/* Attributes, with a default. */
int64_t onnx_int(const OnnxNode *n, const char *name, int64_t otherwise);
double onnx_float(const OnnxNode *n, const char *name, double otherwise);
const char *onnx_str(const OnnxNode *n, const char *name, const char *otherwise);
bool onnx_has(const OnnxNode *n, const char *name);
bool onnx_needs(OnnxNode *n, const char *name); /* false, with an error, when it is missing */
/* A string attribute that is one of `words`, with spaces between; the first, where it is absent. NULL, with an error, for
 * another. */
const char *onnx_word(OnnxNode *n, const char *name, const char *words);
const int64_t *onnx_ints(const OnnxNode *n, const char *name, int *count); /* NULL when absent */
const float *onnx_floats(const OnnxNode *n, const char *name, int *count);
const char *const *onnx_strs(const OnnxNode *n, const char *name, int *count);
const Tensor *onnx_str_list(const OnnxNode *n, const char *name); /* strings of any bytes, as a vector; NULL when absent */
const Onnx__AttributeProto *onnx_attr(const OnnxNode *n, const char *name);
const Tensor *onnx_tensor(const OnnxNode *n, const char *name);
/* A subgraph attribute's nodes built at n->b, its formal inputs bound to `in`; fills out[n_out]. False: an error was recorded. */
bool onnx_inline(OnnxNode *n, const char *name, int n_in, const OnnxItem *in, int n_out, OnnxItem *out);

/* A value the compilation must know: a constant of rank <= 1 (or any, for onnx_known). An error naming `what` otherwise. */
const Tensor *onnx_known(OnnxNode *n, Value *v, const char *what);
bool onnx_known_ints(OnnxNode *n, Value *v, const char *what, int *count, const int64_t **out);

/* Axis attribute or value, made non-negative; an error and 0 when out of range. */
int onnx_axis(OnnxNode *n, int64_t axis, int rank);
/* Axes from attribute `name` (older opsets) or from input i (newer); NULL and *count = -1 when neither is there;
 * NULL and 0 after an error. */
const int *onnx_axes(OnnxNode *n, const char *name, int i, int rank, int *count);
/* An integer tensor's contents as dims (shapes, starts, pads); see build_contents. */
const Dim *const *onnx_dims(OnnxNode *n, int i, int *count);
/* One dim from a scalar or a tensor of one element; NULL after an error. */
const Dim *onnx_dim(OnnxNode *n, int i);
/* Dims again, for values that may be negative: from lo on. */
const Dim *const *onnx_signed_dims(OnnxNode *n, int i, int64_t lo, int *count);
/* Records an error that names the node, its operator and opset: status DLVK_UNSUPPORTED. */
void onnx_error(OnnxNode *n, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* What operator `op` of ai.onnx gives in that opset for these operands (which may be NULL) and this node's attributes, for
 * operators that are others with something before or behind them. has_out() in there asks about this node. False: it failed, and
 * an error tells why. */
bool onnx_apply(OnnxNode *n, const char *op, int opset, int n_in, Value *const *in, int n_out, Value **out);
/* Tells that the node's outputs depend on random numbers. */
void onnx_random(OnnxNode *n);
/* Cast to or from strings. */
Value *onnx_cast_string(OnnxNode *n, Value *x, DType t);

/* Lowerings, declared from the table. */
#define ONNX(domain, name, since, lower, arg) void lower(OnnxNode *n);
#include "frontend/onnx/ops.def"

#endif
