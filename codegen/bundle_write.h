/* Writing bundles. The format is described in runtime/bundle.h. */
#ifndef DLVK_CODEGEN_BUNDLE_WRITE_H
#define DLVK_CODEGEN_BUNDLE_WRITE_H

#include "dlvk/types.h"
#include "plan.pb-c.h"

/* The stored bytes of one blob of the plan. */
typedef struct BlobData {
    const void *data;
    uint64_t length; /* stored */
    uint64_t bytes;  /* in memory: > length repeats the stored bytes (a splat). 0: the same as length */
} BlobData;

/* Serialises `plan` with its blobs. plan->blob must be empty: one entry for each element of `blobs` is made, in this order, so
 * that buffers and modules refer to blobs by their index here. Equal blobs are stored once. The same arguments give the same
 * bytes. *out is malloc'ed. */
dlvk_status bundle_write_memory(const Dlvk__Plan__Plan *plan, const BlobData *blobs, size_t n, void **out, size_t *size,
                                dlvk_error *err);
/* The same to a file: written whole beside it, then renamed; on failure nothing is left behind. */
dlvk_status bundle_write_file(const Dlvk__Plan__Plan *plan, const BlobData *blobs, size_t n, const char *path, dlvk_error *err);

#endif
