/* Between the IR's tensors and the public ones. */
#ifndef DLVK_FRONTEND_HOST_TENSOR_H
#define DLVK_FRONTEND_HOST_TENSOR_H

#include "dlvk/compiler.h"
#include "frontend/onnx/import.h"
#include "ir/ir.h"

/* A dense copy under a name (or NULL); false when out of memory. Not for strings. */
bool host_tensor_from(dlvk_host_tensor *out, const Tensor *t, const char *name);
/* Inputs for the importer to use as it needs: views of the tensors. */
const OnnxAssumed *host_tensors_assumed(Pool *p, int n, const dlvk_host_tensor *t);
const OnnxAssumed *host_values_assumed(Pool *p, int n, const dlvk_host_value *v);

#endif
