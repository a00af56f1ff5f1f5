/* A model's files: the ONNX file itself and the external data it names. */
#include "frontend/onnx/importer.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* Maps a regular file to read; false and errno. Empty files give at = NULL. */
static bool map_file(const char *path, void **at, size_t *size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) return false;
    struct stat st;
    bool ok = fstat(fd, &st) == 0;
    if (ok && !S_ISREG(st.st_mode)) {
        errno = S_ISDIR(st.st_mode) ? EISDIR : EINVAL;
        ok = false;
    }
    *at = NULL;
    if (ok) {
        *size = (size_t)st.st_size;
        if (*size) *at = mmap(NULL, *size, PROT_READ, MAP_PRIVATE, fd, 0);
        ok = *at != MAP_FAILED;
    }
    int saved = errno;
    close(fd);
    errno = saved;
    return ok;
}

/* The folder of a file, links resolved; malloc'd, or NULL. */
static char *folder_of(const char *path)
{
    char *copy = strdup(path);
    if (!copy) return NULL;
    char *slash = strrchr(copy, '/');
    if (slash) slash[slash == copy] = 0;
    char *dir = realpath(slash ? copy : ".", NULL);
    free(copy);
    return dir;
}

/* A location must name a file below the model's folder: no "..", not absolute, and no link that leads out. */
static char *resolve_external(Pool *p, const OnnxModel *m, const char *location, const char **why)
{
    bool escapes = location[0] == '/';
    for (const char *c = location; *c; c += strcspn(c, "/"), c += strspn(c, "/"))
        if (strcspn(c, "/") == 2 && c[0] == '.' && c[1] == '.') escapes = true;
    char *real = NULL;
    if (!escapes) {
        real = realpath(pool_printf(p, "%s/%s", m->dir, location), NULL);
        if (!real) {
            *why = pool_printf(p, "external data '%s': %s", location, strerror(errno));
            return NULL;
        }
        size_t n = strlen(m->dir);
        bool root = strcmp(m->dir, "/") == 0;
        escapes = !root && (strncmp(real, m->dir, n) != 0 || real[n] != '/');
    }
    if (escapes) {
        *why = pool_printf(p, "external data '%s' lies outside of the model's folder", location);
        free(real);
        return NULL;
    }
    return real;
}

const ExternalFile *onnx_external(Pool *p, OnnxModel *m, const char *location, const char **why)
{
    for (const ExternalFile *f = m->files; f; f = f->next)
        if (strcmp(f->location, location) == 0) return f;
    char *real = resolve_external(p, m, location, why);
    if (!real) return NULL;
    ExternalFile *f = calloc(1, sizeof *f);
    bool ok = f && (f->location = strdup(location)) && map_file(real, &f->at, &f->size);
    free(real);
    if (!ok) {
        *why = pool_printf(p, "external data '%s': %s", location, strerror(errno));
        if (f) free(f->location);
        free(f);
        return NULL;
    }
    f->next = m->files;
    m->files = f;
    return f;
}

void onnx_model_free(OnnxModel *m)
{
    if (!m) return;
    while (m->files) {
        ExternalFile *f = m->files;
        m->files = f->next;
        if (f->at) munmap(f->at, f->size);
        free(f->location);
        free(f);
    }
    if (m->proto) onnx__model_proto__free_unpacked(m->proto, NULL);
    free(m->dir);
    free(m);
}

enum { MAX_NESTING = 400 }; /* messages inside each other; protobuf-c unpacks them by recursion */

static bool read_varint(const uint8_t **at, const uint8_t *end, uint64_t *v)
{
    *v = 0;
    for (int shift = 0; *at < end && shift < 64; shift += 7) {
        uint8_t c = *(*at)++;
        *v |= (uint64_t)(c & 127) << shift;
        if (c < 128) return true;
    }
    return false;
}

/* Whether messages of type d lie deeper than the limit in these bytes. What is malformed is left for the unpacking to refuse. */
static bool nests(const ProtobufCMessageDescriptor *d, const uint8_t *at, const uint8_t *end, int depth)
{
    uint64_t tag, n;
    while (at < end && read_varint(&at, end, &tag)) {
        uint64_t skip = (tag & 7) == 1 ? 8 : (tag & 7) == 5 ? 4 : 0;
        if ((tag & 7) == 0 || (tag & 7) == 2) {
            if (!read_varint(&at, end, &n)) return false;
            skip = (tag & 7) == 2 ? n : 0;
        }
        if (skip > (uint64_t)(end - at)) return false;
        const ProtobufCFieldDescriptor *f =
            (tag & 7) == 2 && tag >> 3 <= UINT32_MAX ? protobuf_c_message_descriptor_get_field(d, (unsigned)(tag >> 3)) : NULL;
        if (f && f->type == PROTOBUF_C_TYPE_MESSAGE && (depth == MAX_NESTING || nests(f->descriptor, at, at + skip, depth + 1)))
            return true;
        at += skip;
    }
    return false;
}

bool onnx_nests_too_deep(const ProtobufCMessageDescriptor *d, const void *bytes, size_t size)
{
    const uint8_t *at = bytes;
    return nests(d, at, at + size, 1);
}

/* Reads the file into m; false with an error recorded. */
static bool load(Context *ctx, const char *path, OnnxModel *m)
{
    void *at;
    size_t size;
    if (!map_file(path, &at, &size)) {
        diag_error(&ctx->diag, DLVK_IO_ERROR, "cannot read '%s': %s", path, strerror(errno));
        return false;
    }
    m->dir = folder_of(path);
    bool sound = size && !onnx_nests_too_deep(&onnx__model_proto__descriptor, at, size);
    m->proto = sound ? onnx__model_proto__unpack(NULL, size, at) : NULL;
    if (at) munmap(at, size);
    if (!m->dir || !m->proto || !m->proto->has_ir_version || !m->proto->graph) {
        diag_error(&ctx->diag, DLVK_BAD_FILE, "'%s' is not an ONNX model, or is cut short", path);
        return false;
    }
    if (m->proto->ir_version < 3) {
        diag_error(&ctx->diag, DLVK_UNSUPPORTED, "'%s' has IR version %lld; 3 and newer are supported", path,
                   (long long)m->proto->ir_version);
        return false;
    }
    return true;
}

bool onnx_model_read(Context *ctx, const char *path, OnnxModel **keep)
{
    OnnxModel *m = *keep = calloc(1, sizeof *m);
    if (!m) diag_error(&ctx->diag, DLVK_OUT_OF_MEMORY, "out of memory reading '%s'", path);
    return m && load(ctx, path, m);
}

static Graph *import_file(Context *ctx, const char *path, int n, const OnnxAssumed *assumed, Assume assume, ModelParts *parts,
                          OnnxModel **keep)
{
    return onnx_model_read(ctx, path, keep) ? onnx_import_model(ctx, *keep, n, assumed, assume, parts) : NULL;
}

Graph *onnx_import_file(Context *ctx, const char *path, OnnxModel **keep)
{
    return import_file(ctx, path, 0, NULL, ASSUME_NONE, NULL, keep);
}

/* Some models take from an input what shapes depend on: axes, steps, scales. In others sizes decide what is computed: which axes
 * are broadcast, how many axes a result has. */
Graph *onnx_import_file_assuming(Pool *pool, const char *path, int n, const OnnxAssumed *assumed, ModelParts *parts,
                                 Context **ctx, OnnxModel **keep)
{
    for (Assume assume = ASSUME_NONE;; assume++) {
        *ctx = context_new(pool);
        Graph *g = import_file(*ctx, path, n, assumed, assume, parts, keep);
        dlvk_status s = (*ctx)->diag.status;
        if (g || !n || assume == ASSUME_SIZES_AND_ALL || (s != DLVK_UNSUPPORTED && s != DLVK_INVALID_ARGUMENT)) return g;
        onnx_model_free(*keep);
        *keep = NULL;
    }
}
