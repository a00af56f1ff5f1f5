/* Windows bitmaps and portable any-maps. */
#include "runtime/host/image.h"
#include <limits.h>
#include <string.h>

/* ---- BMP ------------------------------------------------------------------------------------------------------------ */

static uint32_t le(const uint8_t *p, int bytes)
{
    uint32_t v = 0;
    for (int i = 0; i < bytes; i++) v |= (uint32_t)p[i] << 8 * i;
    return v;
}

typedef struct Bmp {
    uint32_t bits, compression, offset, colours;
    uint32_t mask[3];
    uint8_t palette[256][3];
    bool top_down;
} Bmp;
enum { BI_RGB, BI_RLE8, BI_RLE4, BI_BITFIELDS, BI_ALPHABITFIELDS = 6 };

static bool bmp_header(Image *im, Bmp *b)
{
    const uint8_t *d = im->data;
    if (im->size < 26) return false;
    uint32_t header = le(d + 14, 4);
    bool core = header == 12; /* OS/2's: 16-bit sizes, three bytes a colour */
    if ((!core && header < 40) || header > im->size - 14 || (!core && im->size < 54)) return false;
    int32_t width = core ? (int32_t)le(d + 18, 2) : (int32_t)le(d + 18, 4);
    int32_t height = core ? (int32_t)le(d + 20, 2) : (int32_t)le(d + 22, 4);
    b->offset = le(d + 10, 4);
    b->bits = le(d + (core ? 24 : 28), 2);
    b->compression = core ? BI_RGB : le(d + 30, 4);
    b->colours = core ? 0 : le(d + 46, 4);
    b->top_down = height < 0;
    if (height == INT_MIN || !image_reserve(im, width, height < 0 ? -height : height)) return false;
    if (!b->colours && b->bits <= 8) b->colours = 1u << b->bits;
    if (b->colours > 256) b->colours = 256;
    bool fields = b->compression == BI_BITFIELDS || b->compression == BI_ALPHABITFIELDS;
    size_t table = 14 + (size_t)header;
    if (fields) {
        size_t at = 54; /* behind the short header, within the longer ones */
        if (im->size < at + 12) return false;
        for (int k = 0; k < 3; k++) b->mask[k] = le(d + at + 4 * (size_t)k, 4);
        if (header == 40) table += b->compression == BI_BITFIELDS ? 12 : 16;
    } else if (b->bits == 16) {
        b->mask[0] = 0x7c00, b->mask[1] = 0x3e0, b->mask[2] = 0x1f;
    }
    size_t entry = core ? 3 : 4;
    for (uint32_t i = 0; b->bits <= 8 && i < b->colours && table + (i + 1) * entry <= im->size; i++)
        for (int k = 0; k < 3; k++) b->palette[i][k] = d[table + i * entry + 2 - (size_t)k];
    return b->offset <= im->size;
}

static uint8_t *bmp_row(const Image *im, const Bmp *b, int64_t y)
{
    return im->rgb + 3 * im->width * (b->top_down ? y : im->height - 1 - y);
}

/* The bits under a mask, stretched to eight. */
static uint8_t masked(uint32_t v, uint32_t mask)
{
    if (!mask) return 0;
    int shift = __builtin_ctz(mask);
    uint64_t most = mask >> shift;
    return (uint8_t)(((uint64_t)((v & mask) >> shift) * 255 + most / 2) / most);
}

static bool bmp_rows(Image *im, const Bmp *b)
{
    size_t stride = ((size_t)im->width * b->bits + 31) / 32 * 4;
    if (stride > (im->size - b->offset) / (size_t)im->height + 1) return false;
    for (int64_t y = 0; y < im->height; y++) {
        size_t at = b->offset + (size_t)y * stride, need = ((size_t)im->width * b->bits + 7) / 8;
        if (at > im->size || need > im->size - at) return false;
        const uint8_t *from = im->data + at;
        uint8_t *to = bmp_row(im, b, y);
        for (int64_t x = 0; x < im->width; x++, to += 3) {
            if (b->bits <= 8) {
                uint32_t bit = (uint32_t)((size_t)x * b->bits % 8);
                uint32_t i = from[(size_t)x * b->bits / 8] >> (8 - b->bits - bit) & ((1u << b->bits) - 1);
                memcpy(to, b->palette[i], 3);
                continue;
            }
            const uint8_t *p = from + (size_t)x * (b->bits / 8);
            for (int k = 0; k < 3; k++)
                to[k] = b->mask[0] | b->mask[1] | b->mask[2] ? masked(le(p, (int)b->bits / 8), b->mask[k]) : p[2 - k];
        }
    }
    return true;
}

/* Runs: n times a byte of pixels; or after a 0: end of line, end, a jump, or n pixels as they are, padded to 16 bits. */
static bool bmp_runs(Image *im, const Bmp *b)
{
    const uint8_t *p = im->data + b->offset, *end = im->data + im->size;
    int64_t x = 0, y = 0;
    int per = b->compression == BI_RLE8 ? 1 : 2;
    while (end - p >= 2 && y < im->height) {
        int n = *p++, v = *p++;
        bool literal = n == 0;
        if (literal && v == 0) {
            x = 0, y++;
            continue;
        }
        if (literal && v == 1) return true;
        if (literal && v == 2) {
            if (end - p < 2) return false;
            x += *p++, y += *p++;
            continue;
        }
        if (literal) n = v;
        if (literal && end - p < (n + per - 1) / per) return false;
        for (int i = 0; i < n; i++, x++) {
            int byte = literal ? p[i / per] : v, index = per == 1 ? byte : i % 2 ? byte & 15 : byte >> 4;
            if (x < im->width) memcpy(bmp_row(im, b, y) + 3 * x, b->palette[index], 3);
        }
        if (literal) p += ((n + per - 1) / per + 1) / 2 * 2;
        if (p > end) return false;
    }
    return true;
}

bool image_bmp(Image *im)
{
    Bmp b = {0};
    if (!bmp_header(im, &b)) return false;
    bool plain = b.compression == BI_RGB &&
                 (b.bits == 1 || b.bits == 2 || b.bits == 4 || b.bits == 8 || b.bits == 16 || b.bits == 24 || b.bits == 32);
    if (plain || ((b.compression == BI_BITFIELDS || b.compression == BI_ALPHABITFIELDS) && (b.bits == 16 || b.bits == 32)))
        return bmp_rows(im, &b);
    if ((b.compression == BI_RLE8 && b.bits == 8) || (b.compression == BI_RLE4 && b.bits == 4)) return bmp_runs(im, &b);
    return false;
}

/* ---- PNM ------------------------------------------------------------------------------------------------------------ */

static bool is_space(uint8_t c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

/* The next number; -1: there is none. digits: only so many of them belong to it (the bits of P1 may stand close together). */
static int64_t pnm_number(const Image *im, size_t *at, int digits)
{
    while (*at < im->size && (is_space(im->data[*at]) || im->data[*at] == '#')) {
        if (im->data[*at] == '#')
            while (*at < im->size && im->data[*at] != '\n') ++*at;
        else
            ++*at;
    }
    int64_t v = -1;
    for (; *at < im->size && digits-- > 0 && im->data[*at] >= '0' && im->data[*at] <= '9'; ++*at)
        v = (v < 0 ? 0 : v) * 10 + (im->data[*at] - '0');
    return v;
}

/* Sample number i of the pixels behind `start`; -1: the file has none. Text is read in order. */
static int64_t pnm_sample(const Image *im, int kind, size_t start, size_t *at, int64_t i, int64_t most)
{
    if (kind <= 3) return pnm_number(im, at, kind == 1 ? 1 : 9);
    size_t k;
    if (kind == 4) {
        k = start + (size_t)(i / im->width) * (((size_t)im->width + 7) / 8) + (size_t)(i % im->width) / 8;
        return k < im->size ? im->data[k] >> (7 - i % im->width % 8) & 1 : -1;
    }
    size_t bytes = most > 255 ? 2 : 1;
    k = start + (size_t)i * bytes;
    if (k + bytes > im->size) return -1;
    return bytes == 2 ? im->data[k] << 8 | im->data[k + 1] : im->data[k];
}

bool image_pnm(Image *im)
{
    int kind = im->data[1] - '0', channels = kind % 3 == 0 ? 3 : 1;
    size_t at = 2;
    int64_t width = pnm_number(im, &at, 9), height = pnm_number(im, &at, 9);
    int64_t most = kind % 3 == 1 ? 1 : pnm_number(im, &at, 9);
    size_t start = at + 1; /* one white space ends the header */
    if (most < 1 || most > 65535 || !image_reserve(im, width, height)) return false;
    for (int64_t i = 0; i < width * height * channels; i++) {
        int64_t v = pnm_sample(im, kind, start, &at, i, most);
        if (v < 0) return false;
        if (v > most) v = most;
        if (kind % 3 == 1) v = 1 - v; /* a 1 is black */
        uint8_t byte = (uint8_t)((v * 255 + most / 2) / most);
        for (int k = 0; k < 3; k++)
            if (channels == 1 || k == i % 3) im->rgb[channels == 1 ? 3 * i + k : i] = byte;
    }
    return true;
}
