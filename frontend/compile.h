/* Compiling a graph that is already in memory: what the public builder and the ONNX driver share. */
#ifndef DLVK_FRONTEND_COMPILE_H
#define DLVK_FRONTEND_COMPILE_H

#include "dlvk/compiler.h"
#include "dlvk/train.h"
#include "frontend/mode.h"
#include "ir/ir.h"

/* The same for its training. */
dlvk_status compile_training_to_memory(const ModelParts *m, void **bundle, size_t *size, const dlvk_training_options *t,
                                       const dlvk_compile_options *o, dlvk_error *err);
/* *bundle is malloc'ed. The graph is left as it was; its context gains symbols and errors. */
dlvk_status compile_graph_to_memory(Graph *g, void **bundle, size_t *size, const dlvk_compile_options *o, dlvk_error *err);

/* All lines of the diagnosis, as many as fit; returns its status. */
dlvk_status compile_report(const Diag *d, dlvk_error *err);

#endif
