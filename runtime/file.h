/* Writing files so that a reader sees the old one or the new one, never a part. */
#ifndef DLVK_RUNTIME_FILE_H
#define DLVK_RUNTIME_FILE_H

#include "dlvk/types.h"
#include <stdbool.h>

typedef struct FilePiece {
    uint64_t offset;
    const void *data;
    uint64_t length;
} FilePiece;

/* A file that is being written under another name, beside the one that it then replaces. Links are followed. What is no file, as
 * a pipe or a device, is written to as it stands. */
typedef struct FileOut {
    int fd;
    char *path, *temp; /* NULL: no file */
} FileOut;
bool rt_file_begin(FileOut *f, const char *path); /* false: errno says why, and there is nothing to end */
/* Closes fd; ok: all was written. False: nothing is left behind, and errno says why. */
bool rt_file_end(FileOut *f, bool ok);

/* A file of `size` bytes with the pieces, in the order of their offsets, and zeros between. */
dlvk_status rt_file_write(const char *path, const FilePiece *pieces, size_t n, uint64_t size, dlvk_error *err);
/* All of a file, malloc'ed. */
dlvk_status rt_file_read(const char *path, void **data, size_t *size, dlvk_error *err);

#endif
