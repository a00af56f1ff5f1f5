/* The passes, in the order they run. Each builds a new graph and returns NULL, with errors in the context, when it cannot.
 * A file a pass; its head says what the pass requires, keeps and breaks. */
#ifndef DLVK_PASSES_PASSES_H
#define DLVK_PASSES_PASSES_H

#include "ir/rewrite.h"

/* X(name of this run, function) */
#define DLVK_PASSES(X)                                                                                                           \
    X(lower, pass_lower)                                                                                                         \
    X(fold, pass_fold)                                                                                                           \
    X(canonicalize, pass_canonicalize)                                                                                           \
    X(layout, pass_layout)                                                                                                       \
    X(canonicalize_layout, pass_canonicalize)                                                                                    \
    X(batchnorm, pass_batchnorm)                                                                                                 \
    X(scatter, pass_scatter)                                                                                                     \
    X(depth, pass_depth)                                                                                                         \
    X(canonicalize_late, pass_canonicalize)                                                                                      \
    X(siblings, pass_siblings)                                                                                                   \
    X(precision, pass_precision)                                                                                                 \
    X(split, pass_split)                                                                                                         \
    X(cse, pass_cse)                                                                                                             \
    X(align, pass_align)                                                                                                         \
    X(pack, pass_pack)

Graph *pass_lower(Graph *g);
Graph *pass_fold(Graph *g);
Graph *pass_canonicalize(Graph *g);
Graph *pass_layout(Graph *g);
Graph *pass_batchnorm(Graph *g);
Graph *pass_siblings(Graph *g);
Graph *pass_precision(Graph *g);
Graph *pass_depth(Graph *g);
Graph *pass_scatter(Graph *g);
Graph *pass_split(Graph *g);
Graph *pass_cse(Graph *g);
Graph *pass_align(Graph *g);
Graph *pass_pack(Graph *g);

/* The rule of pass_fold, for passes that make new constants on their way. */
bool fold_node(Rewrite *rw, const Node *old, Value *const *in, Value **out);

#endif
