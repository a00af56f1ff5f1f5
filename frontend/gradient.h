/* From a model's graph to the graph of a loss and its gradients. */
#ifndef DLVK_FRONTEND_GRADIENT_H
#define DLVK_FRONTEND_GRADIENT_H

#include "dlvk/train.h"
#include "frontend/onnx/import.h"

/* g NULL: the defaults. */
const dlvk_gradient_options *gradient_options(const dlvk_gradient_options *g);
/* Replaces the graph's outputs by the loss, and adds the input "target" if the loss has one. NULL after an error. */
Value *gradient_loss(Graph *g, const dlvk_gradient_options *o);
/* The graph with the gradients as outputs, too; g is a model's as it was imported. NULL after an error. */
Graph *gradient_graph(Graph *g, const ModelParts *parts, const dlvk_gradient_options *o);

#endif
