/* Reading bundles: mapping, checksums, and the refusal of whatever is not exactly right. */
#include "runtime/bundle.h"
#include "runtime/bytes.h"
#include "runtime/crc32c.h"
#include "runtime/error.h"
#include "runtime/parallel.h"
#include "runtime/plan_check.h"
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static bool all_zero(const uint8_t *p, uint64_t n)
{
    for (uint64_t i = 0; i < n; i++)
        if (p[i]) return false;
    return true;
}

static dlvk_status read_header(Bundle *b, uint64_t *plan_size, dlvk_error *err)
{
    const uint8_t *h = b->data;
    if (b->size < 8 || memcmp(h, DLVK_BUNDLE_MAGIC, 8) != 0)
        return rt_error(err, DLVK_BAD_FILE, "not a DLVK bundle (it does not begin with the magic bytes)");
    if (b->size < DLVK_BUNDLE_HEADER)
        return rt_error(err, DLVK_BAD_FILE, "truncated: %zu bytes, less than the header of %u", b->size, DLVK_BUNDLE_HEADER);
    if (bytes_get32(h + 8) != DLVK_BUNDLE_VERSION)
        return rt_error(err, DLVK_BAD_FILE,
                        "the bundle has format version %u; this runtime reads version %u: compile the model again",
                        bytes_get32(h + 8), DLVK_BUNDLE_VERSION);
    if (bytes_get32(h + 60) != rt_crc32c(0, h, 60))
        return rt_error(err, DLVK_BAD_FILE, "corrupt: the header's checksum does not match");
    uint64_t size = bytes_get64(h + 16);
    if (size > b->size) return rt_error(err, DLVK_BAD_FILE, "truncated: %zu bytes of %" PRIu64, b->size, size);
    if (size < b->size) return rt_error(err, DLVK_BAD_FILE, "%zu bytes follow the bundle's end", b->size - (size_t)size);
    *plan_size = bytes_get64(h + 32);
    b->blob_offset = bytes_get64(h + 40);
    if (bytes_get32(h + 12) != DLVK_BUNDLE_HEADER || bytes_get64(h + 24) != DLVK_BUNDLE_HEADER || !all_zero(h + 52, 8) ||
        *plan_size > size - DLVK_BUNDLE_HEADER || b->blob_offset < DLVK_BUNDLE_HEADER + *plan_size || b->blob_offset > size)
        return rt_error(err, DLVK_BAD_FILE, "corrupt: the header's offsets do not fit together");
    if (bytes_get32(h + 48) != rt_crc32c(0, h + DLVK_BUNDLE_HEADER, (size_t)*plan_size))
        return rt_error(err, DLVK_BAD_FILE, "corrupt: the plan's checksum does not match");
    return DLVK_OK;
}

/* Blobs lie in order without overlap, except that one may repeat an earlier one (equal blobs are stored once). */
static dlvk_status check_layout(const Bundle *b, dlvk_error *err)
{
    const Dlvk__Plan__Plan *p = b->plan;
    uint64_t end =
        DLVK_BUNDLE_HEADER + bytes_get64(b->data + 32) - b->blob_offset; /* before offset 0: wraps, and so does the sum below */
    uint64_t last_offset = 0;
    bool any = false;
    for (size_t i = 0; i < p->n_blob; i++) {
        const Dlvk__Plan__Blob *blob = p->blob[i];
        if (!blob->length) continue;
        if (any && blob->offset <= last_offset) {
            bool found = false;
            for (size_t k = 0; k < i && !found; k++)
                found = p->blob[k]->offset == blob->offset && p->blob[k]->length == blob->length && p->blob[k]->crc == blob->crc;
            if (!found) return rt_error(err, DLVK_BAD_FILE, "corrupt: blob %zu overlaps others", i);
            continue;
        }
        if (any && blob->offset < end) return rt_error(err, DLVK_BAD_FILE, "corrupt: blob %zu overlaps others", i);
        if (!all_zero(b->data + b->blob_offset + end, blob->offset - end))
            return rt_error(err, DLVK_BAD_FILE, "corrupt: bytes before blob %zu are not zero", i);
        last_offset = blob->offset;
        end = blob->offset + blob->length;
        any = true;
    }
    if (any && b->blob_offset % DLVK_BUNDLE_ALIGN) return rt_error(err, DLVK_BAD_FILE, "corrupt: the blobs are not aligned");
    uint64_t tail = b->size - b->blob_offset - end;
    if (!all_zero(b->data + b->blob_offset + end, tail))
        return rt_error(err, DLVK_BAD_FILE, "corrupt: bytes at the end are not zero");
    if (any ? tail != 0 : b->blob_offset != b->size)
        return rt_error(err, DLVK_BAD_FILE, "corrupt: %" PRIu64 " bytes belong to no blob", tail);
    return DLVK_OK;
}

typedef struct CrcJob {
    const Bundle *b;
    atomic_int bad; /* 1 + index of a blob whose checksum fails */
} CrcJob;

static void check_blob(void *user, int i)
{
    CrcJob *j = user;
    const Dlvk__Plan__Blob *blob = j->b->plan->blob[i];
    if (rt_crc32c(0, rt_bundle_blob(j->b, blob), blob->length) != blob->crc) atomic_store(&j->bad, i + 1);
}

static dlvk_status check_all(Bundle *b, int threads, dlvk_error *err)
{
    uint64_t plan_size = 0;
    dlvk_status st = read_header(b, &plan_size, err);
    if (st) return st;
    b->plan_size = plan_size;
    const uint8_t *wire = b->data + DLVK_BUNDLE_HEADER;
    st = rt_plan_check_wire(wire, (size_t)plan_size, err);
    if (st) return st;
    b->plan = dlvk__plan__plan__unpack(NULL, (size_t)plan_size, wire);
    if (!b->plan) return rt_error(err, DLVK_BAD_FILE, "corrupt: the plan cannot be decoded");
    st = rt_plan_check(b->plan, b->size - b->blob_offset, err);
    if (st) return st;
    for (size_t i = 0; i < b->plan->n_program; i++) {
        b->plan->program[i]->blob = b->plan->blob;
        b->plan->program[i]->n_blob = b->plan->n_blob;
    }
    st = check_layout(b, err);
    if (st) return st;
    CrcJob job = {.b = b};
    rt_parallel(threads, (int)b->plan->n_blob, check_blob, &job);
    int bad = atomic_load(&job.bad);
    if (bad) return rt_error(err, DLVK_BAD_FILE, "corrupt: the checksum of blob %d does not match", bad - 1);
    return DLVK_OK;
}

dlvk_status rt_bundle_open_memory(const void *data, size_t size, int threads, Bundle *b, dlvk_error *err)
{
    *b = (Bundle){.data = data, .size = size};
    if ((uintptr_t)data % 8) return rt_error(err, DLVK_INVALID_ARGUMENT, "a bundle in memory must be aligned to 8 bytes");
    dlvk_status st = check_all(b, threads, err);
    if (st) rt_bundle_close(b);
    return st;
}

dlvk_status rt_bundle_open(const char *path, int threads, Bundle *b, dlvk_error *err)
{
    *b = (Bundle){0};
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat sb;
    if (fd < 0 || fstat(fd, &sb) != 0) {
        dlvk_status st = rt_error(err, DLVK_IO_ERROR, "%s: %s", path, strerror(errno));
        if (fd >= 0) close(fd);
        return st;
    }
    if (!S_ISREG(sb.st_mode) || sb.st_size == 0) {
        close(fd);
        return rt_error(err, DLVK_BAD_FILE, "%s: %s", path, S_ISREG(sb.st_mode) ? "empty" : "not a regular file");
    }
    void *data = mmap(NULL, (size_t)sb.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    int reason = errno;
    close(fd);
    if (data == MAP_FAILED) return rt_error(err, DLVK_IO_ERROR, "%s: mapping it: %s", path, strerror(reason));
    (void)posix_madvise(data, (size_t)sb.st_size, POSIX_MADV_WILLNEED); /* a hint; loading works without */
    *b = (Bundle){.data = data, .size = (size_t)sb.st_size, .mapped = true};
    dlvk_error inner;
    dlvk_status st = check_all(b, threads, &inner);
    if (st) {
        rt_bundle_close(b);
        return rt_error(err, st, "%s: %s", path, inner.text);
    }
    return DLVK_OK;
}

void rt_bundle_close(Bundle *b)
{
    for (size_t i = 0; b->plan && i < b->plan->n_program; i++) {
        if (b->plan->program[i]->blob != b->plan->blob) continue;
        b->plan->program[i]->blob = NULL;
        b->plan->program[i]->n_blob = 0;
    }
    if (b->plan) dlvk__plan__plan__free_unpacked(b->plan, NULL);
    if (b->mapped) munmap((void *)(uintptr_t)b->data, b->size);
    *b = (Bundle){0};
}
