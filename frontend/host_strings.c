/* Strings of host tensors: copies in one allocation, and numpy's fixed-width unicode ('<U5', UTF-32) and bytes ('|S5'). */
#include "frontend/host_tensor.h"
#include <stdlib.h>
#include <string.h>

bool host_strings_copy(dlvk_host_tensor *out, const Str *s, int64_t n, bool splat)
{
    size_t text = 0;
    for (int64_t i = 0; i < n; i++) text += s[splat ? 0 : i].len;
    out->bytes = (size_t)n * sizeof(dlvk_string);
    dlvk_string *to = malloc(out->bytes + text + 1);
    out->data = to;
    if (!to) return false;
    char *at = (char *)(to + n);
    for (int64_t i = 0; i < n; i++) {
        Str x = s[splat ? 0 : i];
        if (x.len) memcpy(at, x.at, x.len);
        to[i] = (dlvk_string){at, x.len};
        at += x.len;
    }
    return true;
}

/* ---- numpy ---------------------------------------------------------------------------------------------------------- */

static char *put_utf8(char *to, uint32_t v)
{
    if (v < 0x80) {
        *to++ = (char)v;
        return to;
    }
    int more = v < 0x800 ? 1 : v < 0x10000 ? 2 : 3;
    *to++ = (char)((0xff00 >> (more + 1) & 0xff) | v >> 6 * more);
    while (more--) *to++ = (char)(0x80 | (v >> 6 * more & 0x3f));
    return to;
}

/* The next code point; -1: this is no UTF-8. */
static int64_t get_utf8(const dlvk_string *s, size_t *at)
{
    const unsigned char *p = (const unsigned char *)s->at + *at;
    int more = *p < 0x80 ? 0 : *p >= 0xc2 && *p < 0xe0 ? 1 : (*p & 0xf0) == 0xe0 ? 2 : (*p & 0xf8) == 0xf0 ? 3 : -1;
    if (more < 0 || (size_t)more >= s->len - *at) return -1;
    uint32_t v = *p & (more ? 0x3fu >> more : 0x7fu);
    for (int i = 1; i <= more; i++) {
        if ((p[i] & 0xc0) != 0x80) return -1;
        v = v << 6 | (p[i] & 0x3f);
    }
    *at += (size_t)more + 1;
    return v < 0x110000 ? (int64_t)v : -1;
}

const char *host_strings_from_npy(dlvk_host_tensor *t, char kind, size_t width, const char *data, int64_t count)
{
    size_t unit = kind == 'U' ? 4 : 1, most;
    if (__builtin_mul_overflow((size_t)count, sizeof(dlvk_string) + 4 * width, &most)) return "it is too large";
    dlvk_string *to = malloc(most + 1);
    if (!to) return "out of memory";
    t->data = to;
    t->bytes = (size_t)count * sizeof *to;
    char *at = (char *)(to + count);
    for (int64_t i = 0; i < count; i++, data += width * unit) {
        size_t n = width;
        const char *zero = "\0\0\0";
        while (n && memcmp(data + (n - 1) * unit, zero, unit) == 0) n--; /* numpy fills up with zeros */
        char *start = at;
        for (size_t k = 0; k < n; k++) {
            uint32_t v = 0;
            memcpy(&v, data + k * unit, unit);
            if (v >= 0x110000) return "it holds what is not Unicode";
            if (kind == 'U')
                at = put_utf8(at, v);
            else
                *at++ = data[k];
        }
        to[i] = (dlvk_string){start, (size_t)(at - start)};
    }
    return NULL;
}

size_t host_strings_npy_width(const dlvk_host_tensor *t, int64_t count, char *kind)
{
    size_t points = 1, bytes = 1; /* numpy has no width 0 */
    *kind = 'U';
    for (int64_t i = 0; i < count; i++) {
        const dlvk_string *s = (const dlvk_string *)t->data + i;
        size_t n = 0;
        for (size_t at = 0; *kind == 'U' && at < s->len; n++)
            if (get_utf8(s, &at) < 0) *kind = 'S';
        if (n > points) points = n;
        if (s->len > bytes) bytes = s->len;
    }
    return *kind == 'U' ? points : bytes;
}

bool host_strings_to_npy(FILE *f, const dlvk_host_tensor *t, int64_t count, char kind, size_t width)
{
    bool ok = true;
    for (int64_t i = 0; ok && i < count; i++) {
        const dlvk_string *s = (const dlvk_string *)t->data + i;
        for (size_t at = 0, k = 0; ok && k < width; k++) {
            uint32_t v = at < s->len ? (kind == 'U' ? (uint32_t)get_utf8(s, &at) : (unsigned char)s->at[at++]) : 0;
            ok = fwrite(&v, kind == 'U' ? 4 : 1, 1, f) == 1;
        }
    }
    return ok;
}
