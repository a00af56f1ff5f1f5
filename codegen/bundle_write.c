/* Writing bundles (format: runtime/bundle.h), without a second copy of the weights in memory when the target is a file. */
#include "codegen/bundle_write.h"
#include "runtime/bundle.h"
#include "runtime/bytes.h"
#include "runtime/crc32c.h"
#include "runtime/error.h"
#include "runtime/file.h"
#include <stdlib.h>
#include <string.h>

typedef struct Layout {
    Dlvk__Plan__Plan plan; /* a copy of the caller's top message, with our blob entries */
    Dlvk__Plan__Blob *blob;
    Dlvk__Plan__Blob **list;
    bool *first;   /* blob i is the one that stores its bytes */
    uint8_t *head; /* header and plan */
    size_t head_size;
    uint64_t blob_offset, size;
} Layout;

static uint64_t align_up(uint64_t n)
{
    return (n + DLVK_BUNDLE_ALIGN - 1) / DLVK_BUNDLE_ALIGN * DLVK_BUNDLE_ALIGN;
}

static void layout_free(Layout *l)
{
    free(l->blob);
    free(l->list);
    free(l->first);
    free(l->head);
}

/* Finds an earlier blob with the same bytes, through a table keyed by checksum and length. */
static size_t find_equal(const Layout *l, const BlobData *blobs, size_t i, size_t *table, size_t slots)
{
    size_t h = (l->blob[i].crc ^ (size_t)(blobs[i].length * 0x9e3779b97f4a7c15u)) & (slots - 1);
    for (; table[h]; h = (h + 1) & (slots - 1)) {
        size_t k = table[h] - 1;
        if (l->blob[k].crc == l->blob[i].crc && blobs[k].length == blobs[i].length &&
            memcmp(blobs[k].data, blobs[i].data, blobs[i].length) == 0)
            return k;
    }
    table[h] = i + 1;
    return i;
}

static dlvk_status layout_make(Layout *l, const Dlvk__Plan__Plan *plan, const BlobData *blobs, size_t n, dlvk_error *err)
{
    size_t slots = 16;
    while (slots < 2 * n) slots *= 2;
    size_t *table = calloc(slots, sizeof *table);
    *l = (Layout){.plan = *plan,
                  .blob = calloc(n + 1, sizeof *l->blob),
                  .list = calloc(n + 1, sizeof *l->list),
                  .first = calloc(n + 1, sizeof *l->first)};
    if (!table || !l->blob || !l->list || !l->first) {
        free(table);
        return rt_error(err, DLVK_OUT_OF_MEMORY, "out of memory writing a bundle");
    }
    uint64_t end = 0;
    for (size_t i = 0; i < n; i++) {
        Dlvk__Plan__Blob *b = &l->blob[i];
        dlvk__plan__blob__init(b);
        b->length = blobs[i].length;
        b->bytes = blobs[i].bytes ? blobs[i].bytes : blobs[i].length;
        b->crc = rt_crc32c(0, blobs[i].data, blobs[i].length);
        l->list[i] = b;
        if (!b->length) continue; /* an empty blob lies nowhere: offset 0 */
        size_t same = find_equal(l, blobs, i, table, slots);
        l->first[i] = same == i;
        b->offset = same == i ? align_up(end) : l->blob[same].offset;
        if (same == i) end = b->offset + b->length;
    }
    free(table);
    l->plan.blob = l->list;
    l->plan.n_blob = n;
    size_t plan_size = dlvk__plan__plan__get_packed_size(&l->plan);
    l->head_size = DLVK_BUNDLE_HEADER + plan_size;
    l->blob_offset = n ? align_up(l->head_size) : l->head_size;
    l->size = l->blob_offset + end;
    uint8_t *h = l->head = calloc(1, l->head_size);
    if (!h) return rt_error(err, DLVK_OUT_OF_MEMORY, "out of memory writing a bundle");
    dlvk__plan__plan__pack(&l->plan, h + DLVK_BUNDLE_HEADER);
    memcpy(h, DLVK_BUNDLE_MAGIC, 8);
    bytes_put32(h + 8, DLVK_BUNDLE_VERSION);
    bytes_put32(h + 12, DLVK_BUNDLE_HEADER);
    bytes_put64(h + 16, l->size);
    bytes_put64(h + 24, DLVK_BUNDLE_HEADER);
    bytes_put64(h + 32, plan_size);
    bytes_put64(h + 40, l->blob_offset);
    bytes_put32(h + 48, rt_crc32c(0, h + DLVK_BUNDLE_HEADER, plan_size));
    bytes_put32(h + 60, rt_crc32c(0, h, 60));
    return DLVK_OK;
}

dlvk_status bundle_write_memory(const Dlvk__Plan__Plan *plan, const BlobData *blobs, size_t n, void **out, size_t *size,
                                dlvk_error *err)
{
    Layout l;
    dlvk_status st = layout_make(&l, plan, blobs, n, err);
    uint8_t *data = st ? NULL : calloc(1, l.size);
    if (!st && !data) st = rt_error(err, DLVK_OUT_OF_MEMORY, "out of memory: a bundle of %llu bytes", (unsigned long long)l.size);
    if (!st) {
        memcpy(data, l.head, l.head_size);
        for (size_t i = 0; i < n; i++)
            if (l.first[i]) memcpy(data + l.blob_offset + l.blob[i].offset, blobs[i].data, blobs[i].length);
        *out = data;
        *size = l.size;
    }
    layout_free(&l);
    return st;
}

dlvk_status bundle_write_file(const Dlvk__Plan__Plan *plan, const BlobData *blobs, size_t n, const char *path, dlvk_error *err)
{
    Layout l;
    dlvk_status st = layout_make(&l, plan, blobs, n, err);
    FilePiece *piece = st ? NULL : calloc(n + 1, sizeof *piece);
    if (!st && !piece) st = rt_error(err, DLVK_OUT_OF_MEMORY, "out of memory writing a bundle");
    if (!st) {
        size_t k = 0;
        piece[k++] = (FilePiece){0, l.head, l.head_size};
        for (size_t i = 0; i < n; i++)
            if (l.first[i]) piece[k++] = (FilePiece){l.blob_offset + l.blob[i].offset, blobs[i].data, blobs[i].length};
        st = rt_file_write(path, piece, k, l.size, err);
    }
    free(piece);
    layout_free(&l);
    return st;
}
