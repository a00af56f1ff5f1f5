/* JPEG 2000, by openjpeg: boxed (JP2) and bare code streams. */
#include "runtime/host/image.h"
#ifdef DLVK_HOST_OPENJPEG
#include <openjpeg.h>
#include <string.h>

typedef struct Source {
    const uint8_t *data;
    size_t size, at;
} Source;

static OPJ_SIZE_T read_bytes(void *to, OPJ_SIZE_T n, void *user)
{
    Source *s = user;
    size_t left = s->size - s->at;
    if (!left) return (OPJ_SIZE_T)-1;
    if (n > left) n = left;
    memcpy(to, s->data + s->at, n);
    s->at += n;
    return n;
}

static OPJ_BOOL seek_to(OPJ_OFF_T to, void *user)
{
    Source *s = user;
    if (to < 0 || (size_t)to > s->size) return OPJ_FALSE;
    s->at = (size_t)to;
    return OPJ_TRUE;
}

static OPJ_OFF_T skip_over(OPJ_OFF_T n, void *user)
{
    Source *s = user;
    if (n < 0 ? (size_t)-n > s->at : (size_t)n > s->size - s->at) return -1;
    s->at = (size_t)((OPJ_OFF_T)s->at + n);
    return n;
}

/* Component k at a pixel, as eight bits. */
static uint8_t sample(const opj_image_t *p, int k, int64_t x, int64_t y)
{
    const opj_image_comp_t *c = &p->comps[k];
    int64_t cx = x / c->dx, cy = y / c->dy, v;
    if (cx >= c->w) cx = c->w - 1;
    if (cy >= c->h) cy = c->h - 1;
    v = c->data[cy * c->w + cx];
    if (c->sgnd) v += INT64_C(1) << (c->prec - 1);
    if (c->prec > 8)
        v >>= c->prec - 8;
    else if (c->prec < 8)
        v = v * 255 / ((1 << c->prec) - 1);
    return (uint8_t)(v < 0 ? 0 : v > 255 ? 255 : v);
}

static uint8_t clip(double v)
{
    return (uint8_t)(v < 0 ? 0 : v > 255 ? 255 : v + 0.5);
}

static bool take(Image *im, const opj_image_t *p)
{
    bool ok = p->numcomps > 0;
    for (OPJ_UINT32 k = 0; ok && k < p->numcomps && k < 3; k++) {
        const opj_image_comp_t *c = &p->comps[k];
        ok = c->data && c->w && c->h && c->dx && c->dy && c->prec >= 1 && c->prec <= 31;
    }
    if (!ok || !image_reserve(im, (int64_t)p->x1 - p->x0, (int64_t)p->y1 - p->y0)) return false;
    for (int64_t y = 0; y < im->height; y++) {
        for (int64_t x = 0; x < im->width; x++) {
            uint8_t *to = im->rgb + 3 * (y * im->width + x);
            for (int k = 0; k < 3; k++) to[k] = sample(p, p->numcomps >= 3 ? k : 0, x, y);
            if (p->color_space != OPJ_CLRSPC_SYCC || p->numcomps < 3) continue;
            double luma = to[0], blue = to[1] - 128.0, red = to[2] - 128.0;
            to[0] = clip(luma + 1.402 * red);
            to[1] = clip(luma - 0.344136 * blue - 0.714136 * red);
            to[2] = clip(luma + 1.772 * blue);
        }
    }
    return true;
}

bool image_jpeg2000(Image *im)
{
    Source source = {.data = im->data, .size = im->size};
    opj_codec_t *codec = opj_create_decompress(im->data[0] == 0xff ? OPJ_CODEC_J2K : OPJ_CODEC_JP2);
    opj_stream_t *stream = opj_stream_default_create(OPJ_TRUE);
    opj_image_t *picture = NULL;
    opj_dparameters_t parameters;
    opj_set_default_decoder_parameters(&parameters);
    bool ok = codec && stream && opj_setup_decoder(codec, &parameters);
    if (ok) {
        opj_stream_set_user_data(stream, &source, NULL);
        opj_stream_set_user_data_length(stream, source.size);
        opj_stream_set_read_function(stream, read_bytes);
        opj_stream_set_skip_function(stream, skip_over);
        opj_stream_set_seek_function(stream, seek_to);
        ok = opj_read_header(stream, codec, &picture) && opj_decode(codec, stream, picture) && take(im, picture);
    }
    opj_image_destroy(picture);
    opj_destroy_codec(codec);
    opj_stream_destroy(stream);
    return ok;
}
#endif
