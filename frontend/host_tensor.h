/* Between the IR's tensors and the public ones. */
#ifndef DLVK_FRONTEND_HOST_TENSOR_H
#define DLVK_FRONTEND_HOST_TENSOR_H

#include "dlvk/compiler.h"
#include "frontend/onnx/import.h"
#include "ir/ir.h"
#include <stdio.h>

/* A dense copy under a name (or NULL); false when out of memory. */
bool host_tensor_from(dlvk_host_tensor *out, const Tensor *t, const char *name);
/* Inputs for the importer to use as it needs: views of the tensors. */
const OnnxAssumed *host_tensors_assumed(Pool *p, int n, const dlvk_host_tensor *t);
const OnnxAssumed *host_values_assumed(Pool *p, int n, const dlvk_host_value *v);

/* Strings (frontend/host_strings.c). A copy of n strings in one allocation; false when out of memory. */
bool host_strings_copy(dlvk_host_tensor *out, const Str *s, int64_t n, bool splat);
/* From numpy's elements of `width` characters, kind 'U' or 'S'; what is wrong with them, or NULL. */
const char *host_strings_from_npy(dlvk_host_tensor *t, char kind, size_t width, const char *data, int64_t count);
/* The kind that holds these strings, and their greatest width in it. */
size_t host_strings_npy_width(const dlvk_host_tensor *t, int64_t count, char *kind);
bool host_strings_to_npy(FILE *f, const dlvk_host_tensor *t, int64_t count, char kind, size_t width);

#endif
