/* A multilayer perceptron: the smallest complete model. Input: x, f32[batch,784]; output: the ten classes' scores (logits). */
#include "zoo.h"

void zoo_mlp(dlvk_graph *g)
{
    dlvk_value x = dlvk_input(g, "x", DLVK_F32, "batch,784");
    x = dlvk_relu(g, dlvk_dense(g, x, "hidden", 128));
    dlvk_output(g, "scores", dlvk_dense(g, x, "classes", 10));
}
