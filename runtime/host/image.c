/* ImageDecoder: formats told apart by their first bytes, pixels brought to the order asked for. */
#include "runtime/host/image.h"
#include <string.h>

#ifdef DLVK_HOST_PNG
#define PNG_DECODE image_png
#else
#define PNG_DECODE NULL
#endif
#ifdef DLVK_HOST_JPEG
#define JPEG_DECODE image_jpeg
#else
#define JPEG_DECODE NULL
#endif
#ifdef DLVK_HOST_OPENJPEG
#define JPEG2000_DECODE image_jpeg2000
#else
#define JPEG2000_DECODE NULL
#endif
#ifdef DLVK_HOST_TIFF
#define TIFF_DECODE image_tiff
#else
#define TIFF_DECODE NULL
#endif
#ifdef DLVK_HOST_WEBP
#define WEBP_DECODE image_webp
#else
#define WEBP_DECODE NULL
#endif

static const struct {
    const char *magic;
    size_t at, length;
    const char *name, *library;
    ImageDecode decode; /* NULL: the library was not there */
} formats[] = {
    {"BM", 0, 2, "BMP", "", image_bmp},
    {"\x89PNG\r\n\x1a\n", 0, 8, "PNG", "libpng", PNG_DECODE},
    {"\xff\xd8\xff", 0, 3, "JPEG", "libjpeg", JPEG_DECODE},
    {"\0\0\0\x0cjP  \r\n\x87\n", 0, 12, "JPEG 2000", "openjpeg", JPEG2000_DECODE},
    {"\xff\x4f\xff\x51", 0, 4, "JPEG 2000", "openjpeg", JPEG2000_DECODE},
    {"II*\0", 0, 4, "TIFF", "libtiff", TIFF_DECODE},
    {"MM\0*", 0, 4, "TIFF", "libtiff", TIFF_DECODE},
    {"II+\0", 0, 4, "TIFF", "libtiff", TIFF_DECODE},
    {"MM\0+", 0, 4, "TIFF", "libtiff", TIFF_DECODE},
    {"WEBP", 8, 4, "WebP", "libwebp", WEBP_DECODE},
    {"P1", 0, 2, "PNM", "", image_pnm},
    {"P2", 0, 2, "PNM", "", image_pnm},
    {"P3", 0, 2, "PNM", "", image_pnm},
    {"P4", 0, 2, "PNM", "", image_pnm},
    {"P5", 0, 2, "PNM", "", image_pnm},
    {"P6", 0, 2, "PNM", "", image_pnm},
};

bool image_reserve(Image *im, int64_t width, int64_t height)
{
    const int64_t most = INT64_C(1) << 28; /* pixels */
    if (width < 1 || height < 1 || width > most || height > most / width) return false;
    im->width = width;
    im->height = height;
    im->rgb = host_array(im->call, (size_t)(width * height), 3);
    return im->rgb != NULL;
}

/* The luma of ITU-R 601, in 16 bits of fraction. */
static uint8_t gray(const uint8_t *p)
{
    return (uint8_t)((p[0] * 19595u + p[1] * 38470u + p[2] * 7471u + 0x8000u) >> 16);
}

/* text: "RGB", "BGR" or "Grayscale". What cannot be decoded gives an image without pixels, as ONNX wants it. */
dlvk_status host_image_decode(dlvk_host_call *c)
{
    if (!host_signature(c, 1, (dlvk_dtype[]){DLVK_U8}, 1, (dlvk_dtype[]){DLVK_U8}) || c->out[0].rank != 3) return DLVK_BAD_FILE;
    Image im = {.call = c, .data = c->in[0].data, .size = (size_t)host_count(&c->in[0])};
    bool ok = false;
    for (size_t i = 0; i < sizeof formats / sizeof *formats && !ok; i++) {
        if (im.size < formats[i].at + formats[i].length ||
            memcmp(im.data + formats[i].at, formats[i].magic, formats[i].length) != 0)
            continue;
        if (!formats[i].decode)
            return host_fail(c, DLVK_UNSUPPORTED, "a %s file, and libdlvk-host was built without %s", formats[i].name,
                             formats[i].library);
        ok = formats[i].decode(&im);
    }
    if (!ok) im.width = im.height = 0;
    int channels = strcmp(c->text, "Grayscale") == 0 ? 1 : 3;
    int64_t n = im.width * im.height;
    for (int64_t i = 0; i < n; i++) {
        uint8_t *p = im.rgb + 3 * i, red = p[0];
        if (channels == 1)
            im.rgb[i] = gray(p);
        else if (c->text[0] == 'B')
            p[0] = p[2], p[2] = red;
    }
    c->out[0].dim[0] = im.height;
    c->out[0].dim[1] = im.width;
    c->out[0].dim[2] = channels;
    c->out[0].data = im.rgb ? im.rgb : (const void *)"";
    return DLVK_OK;
}
