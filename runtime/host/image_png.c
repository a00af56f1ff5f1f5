/* PNG, by libpng. Without alpha, 16 bits scaled to 8, no gamma. */
#include "runtime/host/image.h"
#ifdef DLVK_HOST_PNG
#include <png.h>
#include <setjmp.h>
#include <string.h>

static void read_bytes(png_structp png, png_bytep to, size_t n)
{
    Image *im = png_get_io_ptr(png);
    if (n > im->size) png_error(png, "cut short");
    memcpy(to, im->data, n);
    im->data += n;
    im->size -= n;
}

static void quiet(png_structp png, png_const_charp text)
{
    (void)png, (void)text;
}

static void fail(png_structp png, png_const_charp text)
{
    (void)text;
    png_longjmp(png, 1);
}

static bool read_rows(Image *im, png_structp png, png_infop info)
{
    if (setjmp(png_jmpbuf(png))) return false;
    png_set_read_fn(png, im, read_bytes);
    png_read_info(png, info);
    if (!image_reserve(im, png_get_image_width(png, info), png_get_image_height(png, info))) return false;
    png_set_expand(png);
    png_set_scale_16(png);
    png_set_gray_to_rgb(png);
    png_set_strip_alpha(png);
    int passes = png_set_interlace_handling(png);
    png_read_update_info(png, info);
    if (png_get_rowbytes(png, info) != 3 * (size_t)im->width) return false;
    for (int k = 0; k < passes; k++)
        for (int64_t y = 0; y < im->height; y++) png_read_row(png, im->rgb + 3 * im->width * y, NULL);
    return true;
}

bool image_png(Image *im)
{
    png_structp png = png_create_read_struct(PNG_LIBPNG_VER_STRING, NULL, fail, quiet);
    png_infop info = png ? png_create_info_struct(png) : NULL;
    bool ok = info && read_rows(im, png, info);
    png_destroy_read_struct(&png, &info, NULL);
    return ok;
}
#endif
