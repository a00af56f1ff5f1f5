/* ONNX models made in C, for the importer's tests: everything lives in a pool. */
#ifndef DLVK_TESTS_ONNX_MODEL_H
#define DLVK_TESTS_ONNX_MODEL_H

#include "ir/pool.h"
#include "onnx.pb-c.h"

typedef struct TestModel {
    Pool pool;
    Onnx__ModelProto proto;
    Onnx__GraphProto graph;
    char dir[64]; /* a fresh folder; the model is written to dir/model.onnx */
    char path[96];
} TestModel;

void model_init(TestModel *m, int opset);
void model_free(TestModel *m); /* and the folder with the files in it */
/* dims: numbers or names, as "batch,3,?" ("?": neither); "" is rank 0. */
void model_input(TestModel *m, const char *name, int type, const char *dims);
void model_output(TestModel *m, const char *name);
/* in, out: names with commas between; an empty name is an omitted input. */
Onnx__NodeProto *graph_node(TestModel *m, Onnx__GraphProto *g, const char *op, const char *in, const char *out);
Onnx__NodeProto *model_node(TestModel *m, const char *op, const char *in, const char *out);
Onnx__NodeProto *node_new_proto(TestModel *m, const char *op, const char *in, const char *out);
Onnx__AttributeProto *node_attr_new(TestModel *m, Onnx__NodeProto *n, const char *name, int type);
void node_int(TestModel *m, Onnx__NodeProto *n, const char *name, int64_t v);
Onnx__TensorProto *model_tensor(TestModel *m, const char *name, int type, int rank, const int64_t *dims);
Onnx__TensorProto *model_initializer(TestModel *m, const char *name, int type, int rank, const int64_t *dims);
void tensor_external(TestModel *m, Onnx__TensorProto *t, const char *location, const char *offset, const char *length);
Onnx__FunctionProto *model_function(TestModel *m, const char *domain, const char *name, const char *in, const char *out);
void model_opset(TestModel *m, size_t *n, Onnx__OperatorSetIdProto ***list, const char *domain, int version);
/* Appends to a repeated field. */
void list_add(TestModel *m, size_t *n, void *list, void *item);
void model_file(const TestModel *m, const char *name, const void *data, size_t size);
void model_write(TestModel *m);

#endif
