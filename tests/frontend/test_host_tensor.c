/* Host tensors in files. */
#include "dlvk/compiler.h"
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char dir[64], path[96];

static void start(void)
{
    strcpy(dir, "/tmp/dlvk-test-XXXXXX");
    cr_assert(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/t.npy", dir);
}

static void finish(void)
{
    unlink(path);
    rmdir(dir);
}

TestSuite(host_tensor, .init = start, .fini = finish);

/* A .npy of format `version` whose dictionary is `header`. */
static void write_npy(int version, const char *header, const void *data, size_t size)
{
    FILE *f = fopen(path, "wb");
    size_t n = strlen(header);
    fwrite("\x93NUMPY", 1, 6, f);
    fputc(version, f);
    fputc(0, f);
    for (int i = 0; i < (version == 1 ? 2 : 4); i++) fputc((int)(n >> 8 * i & 255), f);
    fwrite(header, 1, n, f);
    fwrite(data, 1, size, f);
    fclose(f);
}

static dlvk_host_tensor read_ok(void)
{
    dlvk_host_tensor t;
    dlvk_error err = {0};
    cr_assert_eq(dlvk_host_tensor_read(path, &t, &err), DLVK_OK, "%s", err.text);
    return t;
}

Test(host_tensor, fortran_order_is_turned)
{
    const int16_t data[] = {1, 4, 2, 5, 3, 6};
    write_npy(2, "{'descr': '<i2', 'fortran_order': True, 'shape': (2, 3), }\n", data, sizeof data);
    dlvk_host_tensor t = read_ok();
    cr_assert(t.rank == 2 && t.dim[0] == 2 && t.dim[1] == 3 && t.dtype == DLVK_I16);
    for (int i = 0; i < 6; i++) cr_assert_eq(dlvk_host_tensor_get(&t, i), i + 1);
    dlvk_host_tensor_free(&t);
}

Test(host_tensor, rank_0)
{
    const double x = 2.5;
    write_npy(1, "{'descr': '<f8', 'fortran_order': False, 'shape': (), }\n", &x, sizeof x);
    dlvk_host_tensor t = read_ok();
    cr_assert(t.rank == 0 && t.bytes == 8 && dlvk_host_tensor_get(&t, 0) == 2.5);
    dlvk_host_tensor_free(&t);
}

static void refuses(const char *header, size_t size, const char *reason)
{
    static const char zeros[64];
    dlvk_host_tensor t;
    dlvk_error err = {0};
    write_npy(1, header, zeros, size);
    cr_assert_eq(dlvk_host_tensor_read(path, &t, &err), DLVK_BAD_FILE);
    cr_assert(strstr(err.text, reason), "%s", err.text);
    cr_assert_null(t.data);
}

Test(host_tensor, cut_short)
{
    refuses("{'descr': '<f4', 'fortran_order': False, 'shape': (3,)}", 11, "cut short");
}
Test(host_tensor, big_endian)
{
    refuses("{'descr': '>f4', 'fortran_order': False, 'shape': (3,)}", 12, "big-endian");
}
Test(host_tensor, objects)
{
    refuses("{'descr': '|O', 'fortran_order': False, 'shape': (3,)}", 24, "Python objects");
}
Test(host_tensor, sizes_that_overflow)
{
    refuses("{'descr': '<f4', 'fortran_order': False, 'shape': (4611686018427387904, 4611686018427387904)}", 12, "cut short");
}

Test(host_tensor, neither_format)
{
    dlvk_host_tensor t;
    FILE *f = fopen(path, "wb");
    fputs("What is this?", f);
    fclose(f);
    cr_assert_eq(dlvk_host_tensor_read(path, &t, NULL), DLVK_BAD_FILE);
    unlink(path);
    cr_assert_eq(dlvk_host_tensor_read(path, &t, NULL), DLVK_IO_ERROR);
}

Test(host_tensor, written_and_read_back)
{
    float data[] = {1, -2, 0.5f};
    dlvk_host_tensor t = {.dtype = DLVK_F32, .rank = 1, .dim = {3}, .bytes = sizeof data, .data = data};
    cr_assert_eq(dlvk_host_tensor_write_npy(path, &t, NULL), DLVK_OK);
    dlvk_host_tensor u = read_ok();
    cr_assert(u.dtype == DLVK_F32 && u.bytes == sizeof data);
    cr_assert_arr_eq(u.data, data, sizeof data);
    dlvk_host_tensor_free(&u);
}

/* Types that numpy lacks become unsigned integers: bfloat16 of their width, 4-bit integers one to a byte. */
Test(host_tensor, types_that_numpy_lacks)
{
    uint16_t bits[] = {0x3F80, 0xC000};
    dlvk_host_tensor t = {.dtype = DLVK_BF16, .rank = 1, .dim = {2}, .bytes = sizeof bits, .data = bits};
    cr_assert_eq(dlvk_host_tensor_write_npy(path, &t, NULL), DLVK_OK);
    dlvk_host_tensor u = read_ok();
    cr_assert(u.dtype == DLVK_U16 && memcmp(u.data, bits, sizeof bits) == 0);
    dlvk_host_tensor_free(&u);
    uint8_t packed[] = {0x21, 0x0F};
    t = (dlvk_host_tensor){.dtype = DLVK_I4, .rank = 1, .dim = {3}, .bytes = 2, .data = packed};
    cr_assert_eq(dlvk_host_tensor_write_npy(path, &t, NULL), DLVK_OK);
    u = read_ok();
    const uint8_t each[] = {1, 2, 15};
    cr_assert(u.dtype == DLVK_U8 && u.bytes == 3 && memcmp(u.data, each, 3) == 0);
    dlvk_host_tensor_free(&u);
}

/* numpy's fixed-width types: as unicode, or where they are no UTF-8 as bytes. */
Test(host_tensor, strings)
{
    static const dlvk_string cases[][3] = {{{"a", 1}, {"\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80", 9}, {NULL, 0}},
                                           {{"a", 1}, {"\xff\x80", 2}, {"", 0}}};
    for (int k = 0; k < 2; k++) {
        dlvk_host_tensor t = {
            .dtype = DLVK_STRING, .rank = 2, .dim = {1, 3}, .bytes = sizeof cases[k], .data = (void *)(uintptr_t)cases[k]};
        cr_assert_eq(dlvk_host_tensor_write_npy(path, &t, NULL), DLVK_OK);
        dlvk_host_tensor u = read_ok();
        cr_assert(u.dtype == DLVK_STRING && u.rank == 2 && u.dim[1] == 3 && u.bytes == sizeof cases[k]);
        for (int i = 0; i < 3; i++) {
            dlvk_string got = ((dlvk_string *)u.data)[i];
            cr_assert_eq(got.len, cases[k][i].len);
            cr_assert(!got.len || memcmp(got.at, cases[k][i].at, got.len) == 0);
        }
        dlvk_host_tensor_free(&u);
    }
}

Test(host_tensor, strings_beyond_unicode)
{
    const uint32_t v = 0x110000;
    dlvk_host_tensor t;
    dlvk_error err = {0};
    write_npy(1, "{'descr': '<U1', 'fortran_order': False, 'shape': (1,), }\n", &v, sizeof v);
    cr_assert_eq(dlvk_host_tensor_read(path, &t, &err), DLVK_BAD_FILE);
    cr_assert(strstr(err.text, "Unicode"), "%s", err.text);
}

Test(host_tensor, a_folder_that_is_not_there)
{
    float x = 0;
    dlvk_host_tensor t = {.dtype = DLVK_F32, .bytes = 4, .data = &x};
    dlvk_error err = {0};
    cr_assert_eq(dlvk_host_tensor_write_npy("/nowhere/at/all.npy", &t, &err), DLVK_IO_ERROR);
    cr_assert(strstr(err.text, "/nowhere/at/all.npy"));
}
