/* Writing graphs as ONNX: what the files of the exporter share. */
#ifndef DLVK_FRONTEND_ONNX_EXPORT_INTERNAL_H
#define DLVK_FRONTEND_ONNX_EXPORT_INTERNAL_H

#include "frontend/onnx/export.h"
#include "frontend/onnx/importer.h"
#include "ir/build.h"

typedef struct Export {
    Context *ctx;
    Pool *pool;
    Graph *g;
    const Node *node; /* being written */
    Build b;
    struct {
        const char *name; /* in the model; NULL: not written yet, or only as */
        const char *base; /* what, transposed by perm, this value is */
        int perm[DLVK_MAX_RANK];
    } * value;       /* by id */
    const int *uses; /* by id */
    VEC(Onnx__NodeProto *) nodes;
    VEC(Onnx__TensorProto *) tensors;
    VEC(const char *) names; /* taken */
} Export;

/* export_messages.c */
/* An error that names the node being written; "". */
const char *export_fail(Export *e, const char *why);
Onnx__AttributeProto *export_add_attr(Export *e, Onnx__NodeProto *n, const char *name, Onnx__AttributeProto__AttributeType type);
/* A name no other value has. */
const char *export_new_name(Export *e, const char *stem);
const char *export_add_tensor(Export *e, const char *stem, const Tensor *t);
const char *export_add_ints(Export *e, int n, const int64_t *x);
Onnx__NodeProto *export_add_node(Export *e, const char *op, int n_in, const char *const *in, const char *out);
void export_attr_int(Export *e, Onnx__NodeProto *n, const char *name, int64_t v);
void export_attr_float(Export *e, Onnx__NodeProto *n, const char *name, double v);
void export_attr_list(Export *e, Onnx__NodeProto *n, const char *name, int count, const int64_t *v);
/* An intermediate result: an operator on one operand or two. */
const char *export_step1(Export *e, const char *op, const char *x);
const char *export_step2(Export *e, const char *op, const char *x, const char *y);
/* One size as a vector of one. */
const char *export_size_name(Export *e, const Dim *d);
/* A vector of sizes as a value of the model. */
const char *export_sizes_name(Export *e, int n, const Dim *const *d);
/* Whether all are constants, and which. */
bool export_known_sizes(int n, const Dim *const *d, int64_t *out);

/* export_move.c */
/* v transposed by perm, under the name `out` (NULL: any). */
const char *export_transposed(Export *e, Value *v, const int *perm, const char *out);
/* Whether nodes of this kind are written only once something uses them. */
bool export_is_lazy(Op op);
/* The name of a value in the model. Sources and movement are written when they are first used. */
const char *export_use(Export *e, Value *v);

/* export_ops.c */
/* A node's result under the name `out`, or, where that is decided later, NULL. */
const char *export_result(Export *e, const Node *n, const char *out);

#endif
