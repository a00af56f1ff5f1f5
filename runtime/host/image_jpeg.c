/* JPEG, by libjpeg: the accurate integer DCT and smooth upsampling, as ONNX describes. */
#include "runtime/host/image.h"
#ifdef DLVK_HOST_JPEG
#include <setjmp.h>
#include <stdio.h>

#include <jpeglib.h> /* wants stdio.h */

typedef struct Errors {
    struct jpeg_error_mgr base; /* first */
    jmp_buf back;
} Errors;

static void fail(j_common_ptr c)
{
    longjmp(((Errors *)(void *)c->err)->back, 1);
}

static void quiet(j_common_ptr c)
{
    (void)c;
}

static bool read_rows(Image *im, struct jpeg_decompress_struct *d, Errors *e)
{
    if (setjmp(e->back)) return false;
    jpeg_mem_src(d, im->data, (unsigned long)im->size);
    jpeg_read_header(d, TRUE);
    bool inks = d->jpeg_color_space == JCS_CMYK || d->jpeg_color_space == JCS_YCCK;
    d->out_color_space = inks ? JCS_CMYK : JCS_RGB;
    jpeg_start_decompress(d);
    if (!image_reserve(im, d->output_width, d->output_height)) return false;
    uint8_t *row = inks ? host_array(im->call, (size_t)im->width, 4) : NULL;
    while (d->output_scanline < d->output_height) {
        uint8_t *to = im->rgb + 3 * im->width * (int64_t)d->output_scanline, *at = inks ? row : to;
        if (!at) return false;
        jpeg_read_scanlines(d, &at, 1);
        for (int64_t x = 0; inks && x < im->width; x++)
            for (int k = 0; k < 3; k++) /* Adobe's, which are inverted, and the others */
                to[3 * x + k] = (uint8_t)((d->saw_Adobe_marker ? row[4 * x + k] * row[4 * x + 3]
                                                               : (255 - row[4 * x + k]) * (255 - row[4 * x + 3])) /
                                          255);
    }
    jpeg_finish_decompress(d);
    return true;
}

bool image_jpeg(Image *im)
{
    Errors e;
    struct jpeg_decompress_struct d = {.err = jpeg_std_error(&e.base)};
    e.base.error_exit = fail;
    e.base.output_message = quiet;
    if (setjmp(e.back)) return false;
    jpeg_create_decompress(&d);
    bool ok = read_rows(im, &d, &e);
    jpeg_destroy_decompress(&d);
    return ok;
}
#endif
