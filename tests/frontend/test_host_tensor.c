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

/* Whose keys say nothing, the last of them at the very end. */
Test(host_tensor, headers_that_are_none)
{
    const char *none = "not one of a .npy";
    refuses("{'fortran_order': False, 'shape': (2,), 'descr': '", 8, none);
    refuses("{'fortran_order': False, 'shape': (2,), 'descr': '<f", 8, none);
    refuses("{'descr': '<f4', 'fortran_order': Maybe, 'shape': (2,)}", 8, none);
    refuses("{'descr': '<f4', 'fortran_order': False, 'shape': (2", 8, none);
    refuses("{'descr': '<f4', 'fortran_order': False, 'shape': (-2,)}", 8, "its shape is not one");
    refuses("{'descr': '|S0', 'fortran_order': False, 'shape': (99999999,)}", 8, "its strings are of no length");
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

static uint32_t next(uint32_t *s)
{
    *s ^= *s << 13, *s ^= *s >> 17, *s ^= *s << 5;
    return *s;
}

/* Files of every kind, with a few bytes changed or the end cut off: refused with a message, or read as whole tensors. */
Test(host_tensor, damaged_files_do_no_harm, .timeout = 120)
{
    static const struct {
        int size;
        const char *bytes;
    } file[] = {
#define BYTES(s) {sizeof s - 1, s}
        BYTES("\x08\2\x08\3\x10\1\x42\1x\x4a\x18\0\0\x80\x3f\0\0\0\x40\0\0\x40\x40\0\0\x80\x40\0\0\xa0\x40\0\0\xc0\x40"),
        BYTES("\x08\3\x10\7\x3a\3\1\2\3\x42\3xyz"),                                          /* i64[3] in int64_data */
        BYTES("\x08\3\x10\x08\x32\1z\x32\2yz\x32\4wxyz"),                                    /* strings[3] */
        BYTES("\x08\5\x10\x16\x2a\3\x21\x43\5"),                                             /* i4[5] in int32_data */
        BYTES("\n\1s\x10\1\x1a\n\x08\1\x10\7\x3a\1\7\x42\1y\x1a\x08\x08\2\x10\6\x2a\2\1\2"), /* a sequence of two */
        BYTES("\x93NUMPY\1\0\x3c\0{'descr': '<u2', 'fortran_order': False, 'shape': (2, 2), }\n\1\0\2\0\3\0\4\0"),
        BYTES("\x93NUMPY\1\0\x3a\0{'descr': '<U1', 'fortran_order': False, 'shape': (2,), }\nx\0\0\0y\0\0\0"),
#undef BYTES
    };
    uint32_t seed = 17;
    int read = 0;
    for (int round = 0; round < 4200; round++) {
        int k = round % 7, size = file[k].size;
        uint8_t d[200];
        memcpy(d, file[k].bytes, (size_t)size);
        if (round >= 7) /* the first are whole */
            for (uint32_t n = 1 + next(&seed) % 3; n--;) {
                uint32_t at = next(&seed) % (uint32_t)size, how = next(&seed) % 4;
                d[at] = (uint8_t)(how == 0 ? d[at] ^ 1u << next(&seed) % 8 : how == 1 ? next(&seed) % 20 : next(&seed));
                if (how == 3) size = (int)at + 1;
            }
        FILE *f = fopen(path, "wb");
        cr_assert(f && fwrite(d, 1, (size_t)size, f) == (size_t)size);
        fclose(f);
        dlvk_host_value v;
        dlvk_error err = {""};
        if (dlvk_host_value_read(path, &v, &err) != DLVK_OK) {
            cr_assert(round >= 7 && err.text[0], "round %d: %s", round, err.text);
            continue;
        }
        read++;
        for (int i = 0; i < v.n; i++) {
            int64_t count = 1;
            for (int a = 0; a < v.at[i].rank; a++) count *= v.at[i].dim[a];
            if (v.at[i].dtype == DLVK_STRING) continue;
            cr_assert_eq(v.at[i].bytes, dlvk_dtype_size(v.at[i].dtype, (size_t)count), "round %d", round);
            for (int64_t e = 0; e < count; e++) dlvk_host_tensor_get(&v.at[i], e); /* the sanitizer sees reads past the end */
        }
        dlvk_host_value_free(&v);
    }
    cr_assert(read > 500, "%d", read);
}
