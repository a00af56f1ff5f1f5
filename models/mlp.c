/* A multilayer perceptron: the smallest complete model.
 *
 *     mlp OUT.dlvk
 *
 * Input: x, f32[batch,784]; output: the ten classes' probabilities. */
#include "program.h"

int main(int argc, char **argv)
{
    if (argc != 2) {
        fprintf(stderr, "usage: %s OUT.dlvk\n", argv[0]);
        return 2;
    }
    dlvk_graph *g = dlvk_graph_new("mlp");
    dlvk_value x = dlvk_input(g, "x", DLVK_F32, "batch,784");
    x = dlvk_relu(g, dlvk_dense(g, x, "hidden", 128));
    dlvk_output(g, "y", dlvk_softmax(g, dlvk_dense(g, x, "classes", 10), -1));
    return write_bundle(g, argv[1]);
}
