/* Models run in the interpreter. */
#ifndef DLVK_FRONTEND_REFERENCE_H
#define DLVK_FRONTEND_REFERENCE_H

#include "dlvk/compiler.h"
#include "ir/ir.h"

/* The inputs in the order of the graph's: views. NULL, with an error, when one is missing or does not fit. */
const Tensor **reference_inputs(Pool *pool, const Graph *g, const dlvk_host_tensor *inputs, int n_in, dlvk_error *err);

#endif
