/* TIFF, by libtiff: the first picture, whatever its layout. */
#include "runtime/host/image.h"
#ifdef DLVK_HOST_TIFF
#include <string.h>
#include <tiffio.h>

typedef struct Source {
    const uint8_t *data;
    size_t size, at;
} Source;

static tmsize_t read_bytes(thandle_t user, void *to, tmsize_t n)
{
    Source *s = user;
    size_t left = s->at < s->size ? s->size - s->at : 0, k = n < 0 ? 0 : (size_t)n < left ? (size_t)n : left;
    memcpy(to, s->data + s->at, k);
    s->at += k;
    return (tmsize_t)k;
}

static tmsize_t write_bytes(thandle_t user, void *from, tmsize_t n)
{
    (void)user, (void)from, (void)n;
    return -1;
}

static toff_t seek_to(thandle_t user, toff_t to, int whence)
{
    Source *s = user;
    s->at = (size_t)(whence == SEEK_SET ? to : whence == SEEK_CUR ? s->at + to : s->size + to);
    if (s->at > s->size) s->at = s->size;
    return s->at;
}

static int close_source(thandle_t user)
{
    (void)user;
    return 0;
}

static toff_t size_of(thandle_t user)
{
    return ((Source *)user)->size;
}

static int quiet(TIFF *t, void *user, const char *module, const char *fmt, va_list ap)
{
    (void)t, (void)user, (void)module, (void)fmt, (void)ap;
    return 1;
}

static bool take(Image *im, TIFF *t)
{
    uint32_t width = 0, height = 0;
    if (!TIFFGetField(t, TIFFTAG_IMAGEWIDTH, &width) || !TIFFGetField(t, TIFFTAG_IMAGELENGTH, &height) ||
        !image_reserve(im, width, height))
        return false;
    uint32_t *pixel = host_array(im->call, (size_t)width * height, sizeof *pixel);
    if (!pixel || !TIFFReadRGBAImageOriented(t, width, height, pixel, ORIENTATION_TOPLEFT, 1)) return false;
    for (size_t i = 0; i < (size_t)width * height; i++) {
        im->rgb[3 * i] = (uint8_t)TIFFGetR(pixel[i]);
        im->rgb[3 * i + 1] = (uint8_t)TIFFGetG(pixel[i]);
        im->rgb[3 * i + 2] = (uint8_t)TIFFGetB(pixel[i]);
    }
    return true;
}

bool image_tiff(Image *im)
{
    Source source = {.data = im->data, .size = im->size};
    TIFFOpenOptions *o = TIFFOpenOptionsAlloc();
    if (!o) return false;
    TIFFOpenOptionsSetErrorHandlerExtR(o, quiet, NULL);
    TIFFOpenOptionsSetWarningHandlerExtR(o, quiet, NULL);
    TIFF *t = TIFFClientOpenExt("image", "rm", &source, read_bytes, write_bytes, seek_to, close_source, size_of, NULL, NULL, o);
    TIFFOpenOptionsFree(o);
    bool ok = t && take(im, t);
    if (t) TIFFClose(t);
    return ok;
}
#endif
