/* IDX files, and images as a model's input; see dataset.h. */
#include "tools/dataset.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

/* ---- IDX: a magic number (0, 0, type, rank), sizes as big-endian 32-bit numbers, data ---- */

enum { IDX_UBYTE = 8, IDX_MAX_RANK = 3 };

/* The file of that kind, whichever of its usual names it has; to be freed, NULL when there is none. */
static char *find_file(const char *dir, const char *part, const char *kind)
{
    static const char *const form[] = {"%s/%s-%s-ubyte", "%s/%s-%s-ubyte.gz"};
    for (int dotted = 0; dotted < 2; dotted++)
        for (int i = 0; i < 2; i++) {
            char *path = i ? text_format(form[1], dir, part, kind) : text_format(form[0], dir, part, kind);
            char *dash = dotted ? strstr(path + strlen(dir) + 1 + strlen(part), "-idx") : NULL;
            if (dash) *dash = '.';
            if (!access(path, F_OK)) return path;
            free(path);
        }
    return NULL;
}

static bool read_all(gzFile f, const char *path, void *to, size_t size)
{
    for (size_t at = 0; at < size;) {
        unsigned part = size - at < 1u << 30 ? (unsigned)(size - at) : 1u << 30;
        int n = gzread(f, (char *)to + at, part);
        if (n <= 0) {
            int code;
            const char *why = gzerror(f, &code);
            error_say("%s: %s", path,
                      code == Z_ERRNO                       ? strerror(errno)
                      : code == Z_OK || code == Z_BUF_ERROR ? "it is cut short"
                                                            : why);
            return false;
        }
        at += (size_t)n;
    }
    return true;
}

/* Its sizes and, malloc'ed, its bytes. zlib reads files that are not compressed, too. */
static bool read_idx(gzFile f, const char *path, int rank, int64_t *dim, unsigned char **data)
{
    unsigned char head[4 + 4 * IDX_MAX_RANK], beyond;
    if (!read_all(f, path, head, 4)) return false;
    if (head[0] || head[1] || head[2] != IDX_UBYTE || head[3] != rank) {
        error_say("%s: the magic number is %02x%02x%02x%02x; an IDX file of bytes in %d dimensions has %08x", path, head[0],
                  head[1], head[2], head[3], rank, (unsigned)(IDX_UBYTE << 8 | rank));
        return false;
    }
    if (!read_all(f, path, head + 4, 4 * (size_t)rank)) return false;
    int64_t size = 1;
    for (int i = 0; i < rank; i++) {
        const unsigned char *b = head + 4 + 4 * i;
        dim[i] = (int64_t)b[0] << 24 | b[1] << 16 | b[2] << 8 | b[3];
        if (dim[i] <= 0 || __builtin_mul_overflow(size, dim[i], &size) || size > INT64_C(1) << 36) {
            error_say("%s: dimension %d is %" PRId64, path, i, dim[i]);
            return false;
        }
    }
    *data = malloc((size_t)size);
    if (!*data) {
        error_say("%s: out of memory (%" PRId64 " bytes)", path, size);
        return false;
    }
    if (!read_all(f, path, *data, (size_t)size)) return false;
    if (gzread(f, &beyond, 1) != 0) {
        error_say("%s: it is longer than its header says", path);
        return false;
    }
    return true;
}

static bool open_idx(const char *dir, const char *part, const char *kind, int rank, int64_t *dim, unsigned char **data,
                     char **path)
{
    *path = find_file(dir, part, kind);
    if (!*path) {
        error_say("%s: there is no %s-%s-ubyte, with or without .gz", dir, part, kind);
        return false;
    }
    gzFile f = gzopen(*path, "rb");
    if (!f) {
        error_say("%s: %s", *path, errno ? strerror(errno) : "out of memory");
        return false;
    }
    gzbuffer(f, 1 << 17);
    bool ok = read_idx(f, *path, rank, dim, data);
    gzclose_r(f);
    return ok;
}

bool dataset_exists(const char *dir, const char *part)
{
    char *path = find_file(dir, part, "images-idx3");
    free(path);
    return path != NULL;
}

bool dataset_read(const char *dir, const char *part, Dataset *d)
{
    int64_t images[3], labels[1];
    char *images_path = NULL, *labels_path = NULL;
    *d = (Dataset){0};
    bool ok = open_idx(dir, part, "images-idx3", 3, images, &d->pixels, &images_path) &&
              open_idx(dir, part, "labels-idx1", 1, labels, &d->labels, &labels_path);
    if (ok && images[0] != labels[0]) {
        error_say("%s has %" PRId64 " images, %s %" PRId64 " labels", images_path, images[0], labels_path, labels[0]);
        ok = false;
    }
    if (ok) {
        d->count = images[0];
        d->height = images[1];
        d->width = images[2];
        d->size = images[1] * images[2];
        for (int64_t i = 0; i < d->count; i++)
            if (d->labels[i] >= d->classes) d->classes = d->labels[i] + 1;
    }
    free(images_path);
    free(labels_path);
    if (!ok) dataset_free(d);
    return ok;
}

void dataset_free(Dataset *d)
{
    free(d->pixels);
    free(d->labels);
    *d = (Dataset){0};
}

/* ---- images as an input ---- */

static bool skipped(const char *name, const char *const *skip)
{
    for (; *skip; skip++)
        if (!strcmp(name, *skip)) return true;
    return false;
}

static bool make_table(ImageInput *in, double mean, double deviation)
{
    dlvk_host_tensor t = {.dtype = in->dtype, .rank = 1, .dim = {256}, .data = in->table};
    in->element = dlvk_dtype_size(in->dtype, 1);
    t.bytes = 256 * in->element;
    if (t.bytes > sizeof in->table || dlvk_dtype_size(in->dtype, 2) != 2 * in->element || in->dtype == DLVK_STRING ||
        in->dtype == DLVK_BOOL) {
        error_say("the input '%s' is of type %s, which is none for images", in->name, dlvk_dtype_name(in->dtype));
        return false;
    }
    for (int i = 0; i < 256; i++) dlvk_host_tensor_set(&t, i, is_float(in->dtype) ? (i / 255.0 - mean) / deviation : i);
    return true;
}

bool image_input_find(ImageInput *in, const dlvk_model *m, const Dataset *d, const char *const *skip, double mean,
                      double deviation)
{
    dlvk_tensor_info info, found = {0};
    int n = 0;
    char type[256];
    for (int i = 0; i < dlvk_model_inputs(m); i++)
        if (!dlvk_model_input(m, i, &info) && !skipped(info.name, skip)) {
            found = info;
            n++;
        }
    if (n != 1) {
        error_say("the model has %d inputs; images go into one", n);
        return false;
    }
    int64_t size = 1;
    for (int i = 1; i < found.rank; i++) size *= found.dim[i] < 0 ? 0 : found.dim[i];
    if (found.rank < 1 || size != d->size) {
        error_say("the input %s %s does not take images of %" PRId64 "x%" PRId64, found.name,
                  type_text(found.dtype, found.rank, found.dim, found.symbol, type, sizeof type), d->height, d->width);
        return false;
    }
    *in = (ImageInput){.name = found.name, .dtype = found.dtype, .rank = found.rank, .batch = found.dim[0]};
    memcpy(in->dim, found.dim, sizeof in->dim);
    return make_table(in, mean, deviation);
}

void image_input_fill(const ImageInput *in, const Dataset *d, const int64_t *index, int64_t n, void *to)
{
    unsigned char *at = to;
    for (int64_t i = 0; i < n; i++) {
        const unsigned char *pixel = d->pixels + index[i] * d->size;
        if (in->element == 4) { /* the usual one, written so that it is fast */
            uint32_t word;
            for (int64_t k = 0; k < d->size; k++, at += 4) {
                memcpy(&word, in->table + 4 * pixel[k], 4);
                memcpy(at, &word, 4);
            }
            continue;
        }
        for (int64_t k = 0; k < d->size; k++, at += in->element) memcpy(at, in->table + in->element * pixel[k], in->element);
    }
}

dlvk_status image_input_set(const ImageInput *in, dlvk_session *s, int64_t n, const Dataset *d, const void *data, dlvk_error *err)
{
    int64_t dim[DLVK_MAX_RANK];
    memcpy(dim, in->dim, sizeof dim);
    dim[0] = n;
    return dlvk_session_set_input(s, in->name, dim, in->rank, data, (size_t)(n * d->size) * in->element, err);
}

/* ---- order ---- */

/* splitmix64's output function, of a counter. */
static uint64_t mix(uint64_t z)
{
    z += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

void dataset_shuffle(int64_t *order, int64_t n, uint64_t seed, int epoch)
{
    uint64_t key = mix(mix(seed) ^ (uint64_t)epoch);
    for (int64_t i = 0; i < n; i++) order[i] = i;
    for (int64_t i = n - 1; i > 0; i--) { /* Fisher and Yates */
        int64_t k = (int64_t)((unsigned __int128)mix(key + (uint64_t)i) * (uint64_t)(i + 1) >> 64), swap = order[i];
        order[i] = order[k];
        order[k] = swap;
    }
}
