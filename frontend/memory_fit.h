/* Training steps within a limit of memory. */
#ifndef DLVK_FRONTEND_MEMORY_FIT_H
#define DLVK_FRONTEND_MEMORY_FIT_H

#include "codegen/codegen.h"
#include "dlvk/train.h"

/* A schedule whose session takes at most t->max_memory bytes at t->sizes: s itself, or one of a graph that computes some of its
 * values twice (passes/remat.h). Sets what *o must have to compile it. NULL, with an error in the context, when the limit cannot
 * be met. */
Graph *memory_fit(Graph *g, const dlvk_training_options *t, CodegenOptions *o);

#endif
