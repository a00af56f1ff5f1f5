#include "runtime/cache_file.h"
#include "runtime/crc32c.h"
#include "runtime/file.h"
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

static const char magic[8] = {'D', 'L', 'V', 'K', 'P', 'C', '1', '\n'};
typedef struct Section {
    uint8_t key[CACHE_KEY];
    uint64_t size;
    uint32_t crc, zero;
} Section;

void rt_cache_read(const char *path, const uint8_t *key, CacheFile *c)
{
    *c = (CacheFile){0};
    memcpy(c->key, key, CACHE_KEY);
    void *data = NULL;
    size_t size = 0, at = sizeof magic;
    if (!path || rt_file_read(path, &data, &size, NULL) != DLVK_OK) return;
    c->file = data;
    if (size < at || memcmp(c->file, magic, at) != 0) return;
    while (size - at >= sizeof(Section)) {
        Section s;
        memcpy(&s, c->file + at, sizeof s);
        if (s.size > size - at - sizeof s || rt_crc32c(0, c->file + at + sizeof s, s.size) != s.crc) break;
        if (memcmp(s.key, key, CACHE_KEY) == 0) {
            c->at = at + sizeof s;
            c->size = s.size;
        }
        at += sizeof s + s.size;
    }
    c->file_size = at;
}

void rt_cache_write(const char *path, const CacheFile *c, const void *data, size_t size)
{
    if (size == c->size && (!size || memcmp(data, rt_cache_data(c), size) == 0)) return;
    /* The other devices' sections stand before and after ours in the old file. */
    size_t end = c->file_size > sizeof magic ? c->file_size : sizeof magic;
    size_t ours = c->size ? c->at - sizeof(Section) : end, after = c->size ? c->at + c->size : end;
    Section s = {.size = size, .crc = rt_crc32c(0, data, size)};
    memcpy(s.key, c->key, CACHE_KEY);
    const FilePiece piece[] = {
        {0, magic, sizeof magic},
        {sizeof magic, ours > sizeof magic ? c->file + sizeof magic : NULL, ours - sizeof magic},
        {ours, &s, sizeof s},
        {ours + sizeof s, data, size},
        {ours + sizeof s + size, end > after ? c->file + after : NULL, end - after},
    };
    rt_file_write(path, piece, sizeof piece / sizeof *piece, ours + sizeof s + size + end - after, NULL);
}

void rt_cache_free(CacheFile *c)
{
    free(c->file);
    *c = (CacheFile){0};
}
