/* Models written with dlvk/graph.h alone. `dlvkc zoo` writes them as ONNX files or bundles. */
#ifndef MODELS_ZOO_H
#define MODELS_ZOO_H

#include "dlvk/graph.h"

typedef struct ZooModel {
    const char *name, *about;
    void (*build)(dlvk_graph *g); /* inputs, outputs and all; errors stay in the graph */
} ZooModel;
extern const ZooModel zoo[]; /* ends with a NULL name */

void zoo_lenet(dlvk_graph *g);
void zoo_mlp(dlvk_graph *g);
void zoo_resnet18(dlvk_graph *g);
void zoo_resnet34(dlvk_graph *g);
void zoo_resnet50(dlvk_graph *g);
void zoo_resnet101(dlvk_graph *g);
void zoo_resnet152(dlvk_graph *g);

#endif
