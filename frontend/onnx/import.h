/* From an ONNX file to a graph: what the compile driver calls. */
#ifndef DLVK_FRONTEND_ONNX_IMPORT_H
#define DLVK_FRONTEND_ONNX_IMPORT_H

#include "ir/ir.h"

typedef struct OnnxModel OnnxModel; /* the file's contents: constants and names of the graph point into it */

/* An input that the compilation may take as known. It stays in the graph's signature, unused. */
typedef struct OnnxFixed {
    const char *name; /* or NULL: */
    int position;     /* among the inputs */
    const Tensor *value;
} OnnxFixed;

/* The float initializers of the main graph, for differentiation: each behind a barrier, so that nothing is made of it but what the
 * model's nodes say. */
typedef struct OnnxWeights {
    int n;
    Value **at; /* named; results of barriers */
} OnnxWeights;

/* Imports a model. *keep is set before anything can fail, to a model (or NULL) that onnx_model_free() frees once the graph is no
 * longer needed. NULL: errors are in ctx->diag, all of them: one line an offending node. */
Graph *onnx_import_file(Context *ctx, const char *path, OnnxModel **keep);
/* weights: where to list them; NULL: they are constants like any other. */
Graph *onnx_import_file_fixed(Context *ctx, const char *path, int n_fixed, const OnnxFixed *fixed, OnnxWeights *weights,
                              OnnxModel **keep);
/* Without the fixed inputs if that works, and with those of them that are small otherwise. Makes the context. */
Graph *onnx_import_file_assuming(Pool *pool, const char *path, int n, const OnnxFixed *assumed, OnnxWeights *weights, Context **ctx,
                                 OnnxModel **keep);
void onnx_model_free(OnnxModel *m); /* NULL is allowed */

/* A TensorProto as it lies in a file by itself, its data copied to p. NULL, and the reason in *why, when it is not a tensor. */
const Tensor *onnx_tensor_parse(Pool *p, const void *bytes, size_t size, const char **name, const char **why);

#endif
