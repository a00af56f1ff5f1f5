/* From an ONNX file to a graph: what the compile driver calls. */
#ifndef DLVK_FRONTEND_ONNX_IMPORT_H
#define DLVK_FRONTEND_ONNX_IMPORT_H

#include "frontend/mode.h"

typedef struct OnnxModel OnnxModel; /* the file's contents: constants and names of the graph point into it */

/* An input's value. What it is (how long a sequence, whether an optional has one) holds for the compilation; what it contains is
 * taken as known where the model cannot be compiled otherwise, and then the input stays in the graph's signature, unused. An
 * initializer that is an input too is one only where a value for it is here, by name or in a list of as many as there are inputs.
 */
typedef struct OnnxAssumed {
    const char *name; /* or NULL: */
    int position;     /* among the inputs */
    dlvk_value_kind kind;
    int n; /* tensors */
    const Tensor *const *at;
} OnnxAssumed;
/* What counts as known: of the values small integers, or all small ones; the sizes of all inputs that have a value; both. */
typedef enum Assume { ASSUME_NONE, ASSUME_INTEGERS, ASSUME_ALL, ASSUME_SIZES, ASSUME_SIZES_AND_ALL } Assume;

/* Imports a model. *keep is set before anything can fail, to a model (or NULL) that onnx_model_free() frees once the graph is no
 * longer needed. NULL: errors are in ctx->diag, all of them: one line an offending node. */
Graph *onnx_import_file(Context *ctx, const char *path, OnnxModel **keep);
/* Assumes no more of the values than needed. Makes the context. parts: where to list the float initializers of the main graph,
 * each behind a barrier, so that nothing is made of it but what the model's nodes say; NULL: they are constants like any other.
 * Where parts->trains is set, nodes that do something else in training select by the parts' mode what to do; otherwise they do
 * what the model says. */
Graph *onnx_import_file_assuming(Pool *pool, const char *path, int n, const OnnxAssumed *assumed, ModelParts *parts,
                                 Context **ctx, OnnxModel **keep);
/* The model's main graph built at b, in a graph that goes on to be built: each of its inputs is the value given under its name,
 * or else its initializer. Its nodes are called PREFIX and their names; declared shapes do not count. Fills the first n_out of
 * its outputs. False: errors are in the context. */
bool onnx_import_into(Build *b, Graph *g, OnnxModel *m, const char *prefix, int n_in, const char *const *names, Value *const *in,
                      int n_out, Value **out);
/* Reads the file alone; false, with an error. */
bool onnx_model_read(Context *ctx, const char *path, OnnxModel **keep);
void onnx_model_free(OnnxModel *m); /* NULL is allowed */

/* A TensorProto as it lies in a file by itself, its data copied to p. NULL, and the reason in *why, when it is not a tensor. */
const Tensor *onnx_tensor_parse(Pool *p, const void *bytes, size_t size, const char **name, const char **why);
/* The same, or a SequenceProto or OptionalProto: kind, n and at of *value. False, and *why. */
bool onnx_value_parse(Pool *p, const void *bytes, size_t size, OnnxAssumed *value, const char **name, const char **why);

#endif
