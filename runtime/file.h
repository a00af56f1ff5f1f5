/* Writing files so that a reader sees the old one or the new one, never a part. */
#ifndef DLVK_RUNTIME_FILE_H
#define DLVK_RUNTIME_FILE_H

#include "dlvk/types.h"

typedef struct FilePiece {
    uint64_t offset;
    const void *data;
    uint64_t length;
} FilePiece;

/* A file of `size` bytes with the pieces at their offsets and zeros between: written under another name beside `path`, then
 * renamed. On failure nothing is left behind. */
dlvk_status rt_file_write(const char *path, const FilePiece *pieces, size_t n, uint64_t size, dlvk_error *err);
/* All of a file, malloc'ed. */
dlvk_status rt_file_read(const char *path, void **data, size_t *size, dlvk_error *err);

#endif
