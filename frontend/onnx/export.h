/* Writing graphs and trained weights as ONNX files. */
#ifndef DLVK_FRONTEND_ONNX_EXPORT_H
#define DLVK_FRONTEND_ONNX_EXPORT_H

#include "ir/ir.h"
#include "onnx.pb-c.h"

/* The graph as a model in its context's pool; NULL, with an error for every node that ONNX has no counterpart of, otherwise. */
Onnx__ModelProto *onnx_export(Graph *g);
/* Packs a model into a file, written whole or not at all. */
dlvk_status onnx_write_file(const Onnx__ModelProto *m, const char *path, dlvk_error *err);

#endif
