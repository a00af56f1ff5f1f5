/* The bundle file: header, plan, blobs. All integers are little-endian.
 *
 *      0  magic        8 bytes, 89 'D' 'L' 'V' 'K' 0d 0a 1a: no text, and broken by transfers that change line ends
 *      8  version      u32
 *     12  header size  u32, 64
 *     16  file size    u64
 *     24  plan offset  u64, 64
 *     32  plan size    u64
 *     40  blob offset  u64, the start of the blob section: the plan's end rounded up to 4096
 *     48  plan CRC     u32, CRC-32C
 *     52  zero         8 bytes
 *     60  header CRC   u32, CRC-32C of bytes 0..59
 *     64  the plan     a serialised dlvk.plan.Plan (plan.proto); its Blob entries locate and check the blobs
 *         blobs        each at a multiple of 4096; what lies between is zero; the file ends with the last one
 *
 * Every byte of the file is thus checked: by a checksum or for being zero. */
#ifndef DLVK_RUNTIME_BUNDLE_H
#define DLVK_RUNTIME_BUNDLE_H

#include "dlvk/types.h"
#include "plan.pb-c.h"
#include <stdbool.h>

#define DLVK_BUNDLE_MAGIC                                                                                                        \
    "\x89"                                                                                                                       \
    "DLVK\r\n\x1a"
#define DLVK_BUNDLE_VERSION 1u
#define DLVK_BUNDLE_HEADER  64u
#define DLVK_BUNDLE_ALIGN   4096u

typedef struct Bundle {
    const uint8_t *data;
    size_t size;
    bool mapped; /* close unmaps */
    uint64_t blob_offset, plan_size;
    Dlvk__Plan__Plan *plan; /* checked (plan_check.h). Its programs refer to its table of blobs while the bundle is open */
} Bundle;

/* Maps and checks a file. `threads` share the checksums; 0: all cores. */
dlvk_status rt_bundle_open(const char *path, int threads, Bundle *b, dlvk_error *err);
/* The same on memory, which must outlive the Bundle. */
dlvk_status rt_bundle_open_memory(const void *data, size_t size, int threads, Bundle *b, dlvk_error *err);
void rt_bundle_close(Bundle *b);
static inline const uint8_t *rt_bundle_blob(const Bundle *b, const Dlvk__Plan__Blob *blob)
{
    return b->data + b->blob_offset + blob->offset;
}

#endif
