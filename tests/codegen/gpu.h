/* Running one shader by hand, for tests of generated GLSL below the level of plans. */
#ifndef DLVK_TESTS_GPU_H
#define DLVK_TESTS_GPU_H

#include "dlvk/runtime.h"
#include "ir/pool.h"

/* The device of the tests: the first that the loader offers. NULL when there is none. */
dlvk_device *gpu_device(void);
/* Compiles `glsl` and runs it on n invocations in groups of 64. It sees
 *     layout(push_constant) uniform Push { Words x; WordsW y; uint n; } p;
 * where the 64-bit words x (n_in of them) are given and y (n_out) come back. False: `err` says why. */
bool gpu_run(dlvk_device *d, const char *glsl, uint32_t n, const uint64_t *x, uint32_t n_in, uint64_t *y, uint32_t n_out,
             dlvk_error *err);
/* What a source for gpu_run begins with, behind the prelude's chunks for `code` (prelude_for); `code` holds functions and main().
 */
const char *gpu_source(Pool *p, const char *code, uint32_t features);

#endif
