/* The GLSL library that kernels draw from: the files codegen/glsl/prelude*.glsl, cut into chunks at lines
 * "//# name: ..."; a kernel gets the chunks whose names it uses, and theirs in turn. */
#ifndef DLVK_CODEGEN_PRELUDE_H
#define DLVK_CODEGEN_PRELUDE_H

#include "ir/pool.h"

#include <stdint.h>

/* The chunks that `code` calls for, in the order of the files. *features (bits of dlvk_feature) says whether 64-bit
 * integers and doubles are native or emulated. */
const char *prelude_for(Pool *p, const char *code, uint32_t *features);
/* An embedded GLSL file by name; a text that fails to compile, naming the file, when there is none. */
const char *prelude_file(const char *name);

#endif
