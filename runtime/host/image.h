/* Image decoders: each takes a whole file to rows of red, green and blue. */
#ifndef DLVK_HOST_IMAGE_H
#define DLVK_HOST_IMAGE_H

#include "runtime/host/host.h"

typedef struct Image {
    dlvk_host_call *call;
    const uint8_t *data; /* the file */
    size_t size;
    int64_t width, height;
    uint8_t *rgb; /* from the call's memory */
} Image;

/* False: the file cannot be decoded. */
typedef bool (*ImageDecode)(Image *im);
/* Memory for width x height; false when that is not plausible, or not to be had. */
bool image_reserve(Image *im, int64_t width, int64_t height);

bool image_bmp(Image *im);
bool image_pnm(Image *im);
bool image_png(Image *im);
bool image_jpeg(Image *im);
bool image_jpeg2000(Image *im);
bool image_tiff(Image *im);
bool image_webp(Image *im);

#endif
