/* GLSL to SPIR-V: shaderc, then SPIRV-Tools' validator on request. Safe to call from several threads. */
#ifndef DLVK_CODEGEN_SPIRV_H
#define DLVK_CODEGEN_SPIRV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct SpirvJob {
    const char *name, *glsl; /* in */
    bool optimize;           /* in: by SPIRV-Tools */
    bool unroll;             /* in: and loops that are marked are unrolled by it, not by the driver */
    uint32_t *words;         /* out: malloc'd; NULL on failure */
    size_t bytes;
    char *error; /* out: malloc'd message with the numbered source, or NULL */
} SpirvJob;

typedef struct SpirvOptions {
    bool validate;
    int threads; /* 0: all cores */
    void (*progress)(void *user, int done, int total);
    void *user;
} SpirvOptions;

/* Compiles all jobs; false when one failed. */
bool spirv_compile(SpirvJob *jobs, int n, const SpirvOptions *o);

#endif
