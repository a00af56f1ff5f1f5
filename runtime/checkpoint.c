/* Checkpoints: the states of a session in a file. All integers are little-endian.
 *
 *      0  magic        8 bytes, 89 'D' 'L' 'V' 'S' 0d 0a 1a
 *      8  version      u32, 1
 *     12  states       u32
 *     16  file size    u64
 *     24  table size   u64: bytes of the table that follows
 *     32  table CRC    u32, CRC-32C
 *     36  header CRC   u32, CRC-32C of bytes 0..35
 *     40  the table    for each state: u32 name length, u32 type (the number that ONNX gives it), u32 rank, u32 CRC-32C of its
 * data, u64 a dim, u64 data size, the name, zeros up to a multiple of 8 the data     of each state in turn, filled up with zeros
 * to a multiple of 8 */
#include <stdlib.h>
#include <string.h>

#include "runtime/bytes.h"
#include "runtime/crc32c.h"
#include "runtime/error.h"
#include "runtime/file.h"
#include "runtime/session.h"

#define MAGIC                                                                                                                    \
    "\x89"                                                                                                                       \
    "DLVS\r\n\x1a"
enum { VERSION = 1, HEADER = 40 };

static uint64_t up8(uint64_t n)
{
    return (n + 7) / 8 * 8;
}

static const uint32_t onnx_type[DLVK_DTYPE_COUNT] = {
#define ONNX_TYPE(id, name, bits, cls, onnx) [DLVK_##id] = onnx,
    DLVK_DTYPES(ONNX_TYPE)
#undef ONNX_TYPE
};

/* Everything but the data and its checksums: what a file for these states must look like. */
typedef struct Layout {
    uint8_t *head; /* header and table */
    uint64_t head_size, size;
    uint64_t *entry, *at, *bytes; /* by state: where its entry lies in head, and its data in the file */
} Layout;

static void layout_free(Layout *l)
{
    free(l->head);
    free(l->entry);
    free(l->at);
    free(l->bytes);
}

static dlvk_status layout_make(const dlvk_model *m, Layout *l, dlvk_error *err)
{
    size_t n = (size_t)dlvk_model_states(m);
    *l = (Layout){.entry = calloc(n + 1, 8), .at = calloc(n + 1, 8), .bytes = calloc(n + 1, 8), .head_size = HEADER};
    dlvk_tensor_info info;
    for (size_t i = 0; i < n; i++) {
        dlvk_model_state(m, (int)i, &info);
        l->head_size += up8(24 + 8 * (uint64_t)info.rank + strlen(info.name));
    }
    l->head = calloc(1, l->head_size);
    if (!l->entry || !l->at || !l->bytes || !l->head) return rt_error(err, DLVK_OUT_OF_MEMORY, "out of memory");
    uint64_t at = HEADER;
    l->size = l->head_size;
    for (size_t i = 0; i < n; i++) {
        size_t bytes = 0;
        dlvk_model_state(m, (int)i, &info);
        if (!tensor_bytes(info.dtype, (size_t)info.rank, info.dim, &bytes))
            return rt_error(err, DLVK_BAD_FILE, "corrupt plan: state '%s' has an impossible size", info.name);
        size_t length = strlen(info.name);
        uint8_t *e = l->head + at;
        bytes_put32(e, (uint32_t)length);
        bytes_put32(e + 4, onnx_type[info.dtype]);
        bytes_put32(e + 8, (uint32_t)info.rank);
        for (int d = 0; d < info.rank; d++) bytes_put64(e + 16 + 8 * d, (uint64_t)info.dim[d]);
        bytes_put64(e + 16 + 8 * info.rank, bytes);
        memcpy(e + 24 + 8 * info.rank, info.name, length);
        l->entry[i] = at;
        l->at[i] = l->size;
        l->bytes[i] = bytes;
        at += up8(24 + 8 * (uint64_t)info.rank + length);
        l->size += up8(bytes);
    }
    memcpy(l->head, MAGIC, 8);
    bytes_put32(l->head + 8, VERSION);
    bytes_put32(l->head + 12, (uint32_t)n);
    bytes_put64(l->head + 16, l->size);
    bytes_put64(l->head + 24, l->head_size - HEADER);
    return DLVK_OK;
}

/* Once the data's checksums are in the table. */
static void layout_seal(Layout *l)
{
    bytes_put32(l->head + 32, rt_crc32c(0, l->head + HEADER, l->head_size - HEADER));
    bytes_put32(l->head + 36, rt_crc32c(0, l->head, 36));
}

dlvk_status dlvk_session_save(dlvk_session *s, const char *path, dlvk_error *err)
{
    if (!s || !path) return rt_error(err, DLVK_INVALID_ARGUMENT, "dlvk_session_save: a NULL argument");
    size_t n = (size_t)dlvk_model_states(s->m);
    Layout l;
    dlvk_status st = layout_make(s->m, &l, err);
    FilePiece *piece = calloc(n + 1, sizeof *piece);
    uint8_t *data = st ? NULL : malloc(l.size - l.head_size + 1);
    if (!st && (!piece || !data)) st = rt_error(err, DLVK_OUT_OF_MEMORY, "out of memory");
    for (size_t i = 0; !st && i < n; i++) {
        uint8_t *to = data + (l.at[i] - l.head_size);
        st = dlvk_session_get_state(s, s->m->plan->state[i]->name, to, l.bytes[i], err);
        if (st) break;
        bytes_put32(l.head + l.entry[i] + 12, rt_crc32c(0, to, l.bytes[i]));
        piece[i + 1] = (FilePiece){l.at[i], to, l.bytes[i]};
    }
    if (!st) {
        layout_seal(&l);
        piece[0] = (FilePiece){0, l.head, l.head_size};
        st = rt_file_write(path, piece, n + 1, l.size, err);
    }
    free(data);
    free(piece);
    layout_free(&l);
    return st;
}

/* Names the first state in which the file and the model differ. */
static dlvk_status differs(const char *path, const dlvk_model *m, const Layout *l, const uint8_t *file, size_t size,
                           dlvk_error *err)
{
    size_t n = (size_t)dlvk_model_states(m);
    for (size_t i = 0; i < n; i++) {
        uint64_t e = l->entry[i], end = i + 1 < n ? l->entry[i + 1] : l->head_size;
        if (end > size || memcmp(file + e, l->head + e, end - e) != 0)
            return rt_error(err, DLVK_INVALID_ARGUMENT,
                            "%s: not a checkpoint of this model: its state %zu is not '%s' of the same type", path, i,
                            m->plan->state[i]->name);
    }
    return rt_error(err, DLVK_INVALID_ARGUMENT, "%s: not a checkpoint of this model: it has %u states, the model %zu", path,
                    bytes_get32(file + 12), n);
}

static dlvk_status check(const char *path, const dlvk_model *m, Layout *l, const uint8_t *file, size_t size, dlvk_error *err)
{
    if (size < HEADER || memcmp(file, MAGIC, 8) != 0) return rt_error(err, DLVK_BAD_FILE, "%s: not a checkpoint", path);
    if (bytes_get32(file + 8) != VERSION)
        return rt_error(err, DLVK_BAD_FILE, "%s: a checkpoint of version %u; this runtime reads version %d", path,
                        bytes_get32(file + 8), VERSION);
    if (bytes_get32(file + 36) != rt_crc32c(0, file, 36))
        return rt_error(err, DLVK_BAD_FILE, "%s: corrupt: the header's checksum", path);
    uint64_t table = bytes_get64(file + 24);
    if (table > size - HEADER || bytes_get32(file + 32) != rt_crc32c(0, file + HEADER, table))
        return rt_error(err, DLVK_BAD_FILE, "%s: truncated or corrupt: the table's checksum", path);
    size_t n = (size_t)dlvk_model_states(m);
    for (size_t i = 0; i < n && l->head_size <= size; i++) memcpy(l->head + l->entry[i] + 12, file + l->entry[i] + 12, 4);
    layout_seal(l);
    if (l->head_size > size || memcmp(l->head, file, l->head_size) != 0) return differs(path, m, l, file, size, err);
    if (size != l->size) return rt_error(err, DLVK_BAD_FILE, "%s: %zu bytes, not %llu", path, size, (unsigned long long)l->size);
    for (size_t i = 0; i < n; i++) {
        const uint8_t *data = file + l->at[i];
        bool ok = rt_crc32c(0, data, l->bytes[i]) == bytes_get32(l->head + l->entry[i] + 12);
        for (uint64_t k = l->bytes[i]; k < up8(l->bytes[i]); k++) ok &= !data[k];
        if (!ok) return rt_error(err, DLVK_BAD_FILE, "%s: corrupt: state '%s'", path, m->plan->state[i]->name);
    }
    return DLVK_OK;
}

dlvk_status dlvk_session_load(dlvk_session *s, const char *path, dlvk_error *err)
{
    if (!s || !path) return rt_error(err, DLVK_INVALID_ARGUMENT, "dlvk_session_load: a NULL argument");
    Layout l = {0};
    void *file = NULL;
    size_t size = 0;
    dlvk_status st = rt_file_read(path, &file, &size, err);
    if (!st) st = layout_make(s->m, &l, err);
    if (!st) st = check(path, s->m, &l, file, size, err);
    for (int i = 0; !st && i < dlvk_model_states(s->m); i++)
        st = dlvk_session_set_state(s, s->m->plan->state[i]->name, (uint8_t *)file + l.at[i], l.bytes[i], err);
    free(file);
    layout_free(&l);
    return st;
}
