/* WebP, by libwebp; of an animation there is no first picture. */
#include "runtime/host/image.h"
#ifdef DLVK_HOST_WEBP
#include <webp/decode.h>

bool image_webp(Image *im)
{
    int width = 0, height = 0;
    if (!WebPGetInfo(im->data, im->size, &width, &height) || !image_reserve(im, width, height)) return false;
    return WebPDecodeRGBInto(im->data, im->size, im->rgb, (size_t)(3 * im->width * im->height), 3 * width) != NULL;
}
#endif
