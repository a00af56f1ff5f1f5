/* Models run in the interpreter. */
#ifndef DLVK_FRONTEND_REFERENCE_H
#define DLVK_FRONTEND_REFERENCE_H

#include "dlvk/compiler.h"
#include "frontend/onnx/import.h"

/* The inputs in the order of the graph's: views. NULL, with an error, when one is missing or does not fit. */
const Tensor **reference_inputs(Pool *pool, const Graph *g, int n_in, const OnnxAssumed *inputs, dlvk_error *err);

#endif
