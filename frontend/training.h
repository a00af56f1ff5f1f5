/* From a model to the graphs of its training programs. */
#ifndef DLVK_FRONTEND_TRAINING_H
#define DLVK_FRONTEND_TRAINING_H

#include "dlvk/train.h"
#include "frontend/mode.h"

/* Names of nodes that must compute in the types they are written in, whatever the precision of the rest: patterns. */
#define TRAINING_EXACT                                                                                                           \
    {                                                                                                                            \
        "optimizer", "optimizer.*"                                                                                               \
    }

/* t NULL: the defaults. */
const dlvk_training_options *training_options(const dlvk_training_options *t);
/* The graph of one step, or of an evaluation: states, as Graph has them, are in both. The model is left as it was, but for the
 * constraints that its context gains. NULL, with errors in the context, when it cannot be trained so. */
/* loss: what the option loss_model names, imported into the same context; or NULL. still: by weight, false at first: the graph of
 * a step says there, for that of an evaluation, which weights no gradient reaches; they are constants of both. */
Graph *training_graph(const ModelParts *m, const dlvk_training_options *t, Graph *loss, bool evaluate, bool *still);

#endif
