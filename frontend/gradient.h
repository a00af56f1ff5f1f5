/* From a model's graph to the graph of a loss and its gradients. */
#ifndef DLVK_FRONTEND_GRADIENT_H
#define DLVK_FRONTEND_GRADIENT_H

#include "dlvk/train.h"
#include "frontend/onnx/import.h"

/* g NULL: the defaults. */
const dlvk_gradient_options *gradient_options(const dlvk_gradient_options *g);
/* Replaces the graph's outputs by the loss, and adds the inputs that the loss has of its own: "target", or what `model` takes,
 * which is what the option loss_model names, imported into the same context, or NULL. NULL after an error. */
Value *gradient_loss(Graph *g, const dlvk_gradient_options *o, Graph *model);
/* The graph with the gradients as outputs, too; g is a model's as it was imported. NULL after an error. */
Graph *gradient_graph(Graph *g, const ModelParts *parts, const dlvk_gradient_options *o, Graph *model);

#endif
