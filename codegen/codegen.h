/* From a schedule to a plan: GLSL, SPIR-V and everything the runtime needs to know. */
#ifndef DLVK_CODEGEN_CODEGEN_H
#define DLVK_CODEGEN_CODEGEN_H

#include "codegen/bundle_write.h"
#include "dlvk/runtime.h"
#include "ir/kernel.h"

enum { MERGE_BYTES = 32 << 20 }; /* larger kernels gain nothing by sharing a dispatch */

typedef struct CodegenOptions {
    /* Only the variants that this device picks; NULL: all. */
    const struct dlvk_device_info *device;
    bool optimize, validate, keep_glsl;
    int64_t merge_bytes;   /* kernels of equal code that read and write at most as much share dispatches; 0: none do */
    bool share_literals;   /* kernels that differ in scalar constants of the model alone share a module (codegen/literals.c) */
    bool waves;            /* steps that can run side by side stand together (codegen/waves.c) */
    int threads;           /* for the shader compiler; 0: all cores */
    const char *dump_glsl; /* directory for one .comp a module, or NULL */
    void (*progress)(void *user, int done, int total);
    void *user;
    uint64_t max_memory, unlimited_memory; /* of the plan's fields of these names */
} CodegenOptions;

typedef struct SpirvText {
    uint64_t key; /* of the GLSL */
    uint32_t push_bytes;
    uint32_t *words;
    size_t bytes;
} SpirvText;

typedef struct Compiled {
    Dlvk__Plan__Plan *plan; /* in the context's pool, as are the blobs' descriptions */
    BlobData *blobs;
    size_t n_blobs;
    SpirvText *spirv; /* of all programs' modules, equal ones once; from malloc: compiled_free() */
    size_t n_spirv;
} Compiled;

/* False: errors are in the context. Constants are referred to, not copied: the graph must outlive the writing of the bundle.
 * *out is empty at first; called again with the same, on another graph of the context, it adds a program to the plan, whose
 * states are the first one's of the same names. */
bool codegen(Schedule *s, const char *program, const CodegenOptions *o, Compiled *out);
void compiled_free(Compiled *c);
/* The planned fields of *mem for what codegen() would make of the graph's schedule, at these sizes (see dlvk_bundle_memory);
 * equal constants count as many. False: errors are in the context. */
bool codegen_footprint(Graph *g, const CodegenOptions *o, const dlvk_symbol_size *sizes, int n, dlvk_memory *mem);

#endif
