/* Reverse-mode differentiation: a graph that computes a scalar becomes a graph that computes its gradients too.
 *
 * The result is an ordinary graph, made of ordinary nodes, and goes through the passes like any other. Where the derivative does
 * not exist (|x| at 0, the place of a jump) it is one of the one-sided ones or 0, as in PyTorch: the first of equal maxima
 * gets a pooling window's gradient, equal maxima of a reduction share it. */
#ifndef DLVK_PASSES_GRAD_H
#define DLVK_PASSES_GRAD_H

#include "ir/ir.h"

typedef struct GradSpec {
    Value *loss; /* floats, among g's results: the sum of its elements is what is differentiated */
    int n;
    Value *const *wrt;       /* floats of g's top region: parameters, or results of nodes */
    const char *const *name; /* of the new outputs */
    bool *reached;           /* which of wrt a gradient reaches. If it reaches none that is an error. NULL: no matter */
} GradSpec;

/* A copy of g with one more output for each of wrt: the loss's gradient, zeros where the loss does not depend on it. Barriers
 * whose results are among wrt (which keep them from being folded away until here) are gone.
 * NULL, with every node that has no gradient in the context's errors, and for each the path that needs one. */
Graph *graph_grad(Graph *g, const GradSpec *spec);

#endif
