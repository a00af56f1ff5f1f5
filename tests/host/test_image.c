/* Image decoders: the plain formats byte by byte, and all of them on files that are damaged. */
#include "call.h"
#include "dlvk/compiler.h"
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DATA "/usr/share/libonnx-testdata/data/node/"

static dlvk_status decode(TestCall *c, const void *file, size_t size, const char *format)
{
    *c = (TestCall){.call = {.n_in = 1, .n_out = 1}};
    c->in[0] = (dlvk_host_array){.dtype = DLVK_U8, .rank = 1, .dim = {(int64_t)size}, .data = file};
    c->out[0] = (dlvk_host_array){.dtype = DLVK_U8, .rank = 3};
    return host_run(c, "image_decode", format);
}

static void expect(const void *file, size_t size, const char *format, int64_t height, int64_t width, const uint8_t *pixels)
{
    TestCall c;
    cr_assert_eq(decode(&c, file, size, format), DLVK_OK, "%s", c.err.text);
    int64_t channels = strcmp(format, "Grayscale") ? 3 : 1;
    const int64_t *d = c.out[0].dim;
    cr_assert(d[0] == height && d[1] == width && d[2] == channels, "%d x %d x %d", (int)d[0], (int)d[1], (int)d[2]);
    cr_assert_arr_eq(c.out[0].data, pixels, (size_t)(height * width * channels));
    host_free(&c);
}
#define TEXT(s) s, sizeof(s) - 1

Test(image, portable_maps)
{
    expect(TEXT("P1\n# a comment\n3 2\n1 0 1\n010\n"), "RGB", 2, 3,
           (const uint8_t[]){0, 0, 0, 255, 255, 255, 0, 0, 0, 255, 255, 255, 0, 0, 0, 255, 255, 255});
    expect(TEXT("P2 2 1 10\n0 5"), "Grayscale", 1, 2, (const uint8_t[]){0, 128});
    expect(TEXT("P3 1 1 255 1 2 3"), "BGR", 1, 1, (const uint8_t[]){3, 2, 1});
    expect(TEXT("P4 9 2\n\x80\x80\xff\x00"), "Grayscale", 2, 9,
           (const uint8_t[]){0, 255, 255, 255, 255, 255, 255, 255, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255});
    expect(TEXT("P5 2 1 65535\n\xff\xff\x80\x00"), "Grayscale", 1, 2, (const uint8_t[]){255, 128});
    expect(TEXT("P6 1 2 255\nabcdef"), "RGB", 2, 1, (const uint8_t *)"abcdef");
}

/* A bitmap's headers: width, height, bits a pixel, compression, colours; the palette and the rows follow. */
static size_t bitmap(uint8_t *out, int32_t width, int32_t height, uint16_t bits, uint32_t compression, uint32_t colours,
                     const void *rest, size_t size)
{
    uint32_t offset = 54 + 4 * colours + (compression == 3 ? 12 : 0);
    memset(out, 0, 54);
    memcpy(out, "BM", 2);
    memcpy(out + 10, &offset, 4);
    out[14] = 40;
    memcpy(out + 18, &width, 4);
    memcpy(out + 22, &height, 4);
    out[26] = 1;
    memcpy(out + 28, &bits, 2);
    memcpy(out + 30, &compression, 4);
    memcpy(out + 46, &colours, 4);
    memcpy(out + 54, rest, size);
    return 54 + size;
}

Test(image, bitmaps)
{
    uint8_t file[256];
    /* Rows from the bottom, or from the top where the height is negative; padded to four bytes; blue first. */
    size_t n = bitmap(file, 1, 2, 24, 0, 0, "\1\2\3\0\4\5\6\0", 8);
    expect(file, n, "RGB", 2, 1, (const uint8_t[]){6, 5, 4, 3, 2, 1});
    n = bitmap(file, 1, -2, 24, 0, 0, "\1\2\3\0\4\5\6\0", 8);
    expect(file, n, "RGB", 2, 1, (const uint8_t[]){3, 2, 1, 6, 5, 4});
    n = bitmap(file, 1, 1, 32, 0, 0, "\1\2\3\377", 4);
    expect(file, n, "BGR", 1, 1, (const uint8_t[]){1, 2, 3});
    n = bitmap(file, 3, 1, 1, 0, 2, "\0\0\0\0\0\0\377\0\xa0\0\0\0", 12);
    expect(file, n, "RGB", 1, 3, (const uint8_t[]){255, 0, 0, 0, 0, 0, 255, 0, 0});
    n = bitmap(file, 3, 1, 4, 0, 2, "\0\0\0\0\1\2\3\0\x01\x10\0\0", 12);
    expect(file, n, "RGB", 1, 3, (const uint8_t[]){0, 0, 0, 3, 2, 1, 3, 2, 1});
    n = bitmap(file, 2, 1, 16, 0, 0, "\x1f\x00\x00\x7c", 4); /* five bits each */
    expect(file, n, "RGB", 1, 2, (const uint8_t[]){0, 0, 255, 255, 0, 0});
    n = bitmap(file, 1, 1, 16, 3, 0, "\x00\xf8\0\0\xe0\x07\0\0\x1f\0\0\0\xe0\x07\0\0", 16); /* 5-6-5, by masks */
    expect(file, n, "RGB", 1, 1, (const uint8_t[]){0, 255, 0});
    /* Runs: two of colour 1, the end of the line; three as they are, padded; the end. */
    n = bitmap(file, 3, 2, 8, 1, 2, "\0\0\0\0\1\2\3\0\2\1\0\0\0\3\1\0\1\0\0\1", 20);
    expect(file, n, "RGB", 2, 3, (const uint8_t[]){3, 2, 1, 0, 0, 0, 3, 2, 1, 3, 2, 1, 3, 2, 1, 0, 0, 0});
    n = bitmap(file, 3, 1, 4, 2, 2, "\0\0\0\0\1\2\3\0\3\x10\0\1", 12);
    expect(file, n, "RGB", 1, 3, (const uint8_t[]){3, 2, 1, 0, 0, 0, 3, 2, 1});
}

/* ONNX: an empty matrix. */
Test(image, what_is_no_image)
{
    expect(TEXT(""), "RGB", 0, 0, (const uint8_t[]){0});
    expect(TEXT("Is this an image?"), "Grayscale", 0, 0, (const uint8_t[]){0});
    expect(TEXT("P6 1000000 1000000 255\n"), "RGB", 0, 0, (const uint8_t[]){0});
    expect(TEXT("P6 2 2 255\nabc"), "RGB", 0, 0, (const uint8_t[]){0});
    uint8_t file[256];
    size_t n = bitmap(file, INT32_MAX, INT32_MIN, 24, 0, 0, "", 0);
    expect(file, n, "RGB", 0, 0, (const uint8_t[]){0});
    n = bitmap(file, 1000, 1000, 1, 0, 256, "", 0);
    expect(file, n, "RGB", 0, 0, (const uint8_t[]){0});
}

/* The suite's files cut short, and with bytes changed: whatever comes out has the size it claims. */
static void damage(const char *format)
{
    char path[256];
    dlvk_host_tensor t = {0};
    snprintf(path, sizeof path, DATA "test_image_decoder_decode_%s_rgb/test_data_set_0/input_0.pb", format);
    if (dlvk_host_tensor_read(path, &t, NULL)) cr_skip_test("libonnx-testdata is not installed");
    uint8_t *copy = malloc(t.bytes);
    uint32_t seed = 1;
    for (int k = 0; k < 400; k++) {
        size_t size = k < 200 ? t.bytes * (size_t)k / 200 : t.bytes;
        memcpy(copy, t.data, t.bytes);
        for (int i = 0; k >= 200 && i <= k % 4; i++) {
            seed = seed * 1664525u + 1013904223u;
            copy[seed % (k % 2 ? t.bytes : t.bytes < 128 ? t.bytes : 128)] ^= (uint8_t)(1u << (seed >> 24) % 8);
        }
        TestCall c;
        dlvk_status st = decode(&c, copy, size, "RGB");
        cr_assert(st == DLVK_OK || st == DLVK_UNSUPPORTED, "%s", c.err.text);
        uint32_t sum = 0;
        const int64_t *d = c.out[0].dim;
        for (int64_t i = 0; st == DLVK_OK && i < d[0] * d[1] * d[2]; i++) sum += ((const uint8_t *)c.out[0].data)[i];
        cr_assert(st || sum < UINT32_MAX);
        host_free(&c);
    }
    free(copy);
    dlvk_host_tensor_free(&t);
}

Test(image, damaged_bmp)
{
    damage("bmp");
}
Test(image, damaged_pnm)
{
    damage("pnm");
}
Test(image, damaged_png)
{
    damage("png");
}
Test(image, damaged_jpeg)
{
    damage("jpeg");
}
Test(image, damaged_jpeg2000)
{
    damage("jpeg2k");
}
Test(image, damaged_tiff)
{
    damage("tiff");
}
Test(image, damaged_webp)
{
    damage("webp");
}
