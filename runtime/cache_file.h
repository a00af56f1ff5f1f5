/* The pipeline cache file: sections of opaque bytes, one a device and driver, so that devices do not evict one another.
 *
 * "DLVKPC1\n", then sections of { key (32 bytes), u64 size, u32 CRC-32C, u32 zero, data }. Whatever is not exactly that is
 * ignored: losing the cache costs time only. */
#ifndef DLVK_RUNTIME_CACHE_FILE_H
#define DLVK_RUNTIME_CACHE_FILE_H

#include <stddef.h>
#include <stdint.h>

#define CACHE_KEY 32

typedef struct CacheFile {
    uint8_t *file; /* what was read, as far as it makes sense; or NULL */
    size_t file_size;
    size_t at, size; /* the section of the key; size 0: none */
    uint8_t key[CACHE_KEY];
} CacheFile;

/* Never fails: a file that cannot be used is an empty one. path NULL: none. */
void rt_cache_read(const char *path, const uint8_t *key, CacheFile *c);
static inline const uint8_t *rt_cache_data(const CacheFile *c)
{
    return c->size ? c->file + c->at : NULL;
}
/* Replaces the section, keeping the others, unless it holds these bytes already. Silent where the file cannot be written. */
void rt_cache_write(const char *path, const CacheFile *c, const void *data, size_t size);
void rt_cache_free(CacheFile *c);

#endif
