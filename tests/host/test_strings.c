/* The functions on strings, by themselves. */
#include "call.h"
#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MOST = 8 };

/* Words separated by '|' as a tensor [n]; "" is one empty string. */
static dlvk_host_array words(const char *text, dlvk_string *to)
{
    int64_t n = 0;
    for (const char *end;; text = end + 1) {
        end = text + strcspn(text, "|");
        to[n++] = (dlvk_string){text, (size_t)(end - text)};
        if (!*end) break;
    }
    return (dlvk_host_array){.dtype = DLVK_STRING, .rank = 1, .dim = {n}, .data = to};
}

static void check(const dlvk_host_array *got, const char *want)
{
    char text[512] = "";
    int64_t n = 1;
    for (int i = 0; i < got->rank; i++) n *= got->dim[i];
    for (int64_t i = 0; i < n; i++) {
        dlvk_string s = ((const dlvk_string *)got->data)[i];
        if (i) strcat(text, "|");
        if (s.len) strncat(text, s.at, s.len);
    }
    cr_assert_str_eq(text, want);
}

static void split(const char *x, const char *by, int64_t limit, const char *want, const char *counts)
{
    dlvk_string s[MOST], delimiter = {by, strlen(by)};
    TestCall c = {.call = {.n_in = 3, .n_out = 2}};
    c.in[0] = words(x, s);
    c.in[1] = (dlvk_host_array){.dtype = DLVK_STRING, .data = &delimiter};
    c.in[2] = (dlvk_host_array){.dtype = DLVK_I64, .data = &limit};
    c.out[0] = (dlvk_host_array){.dtype = DLVK_STRING, .rank = 2};
    c.out[1] = (dlvk_host_array){.dtype = DLVK_I64, .rank = 1};
    cr_assert_eq(host_run(&c, "string_split", ""), DLVK_OK, "%s", c.err.text);
    check(&c.out[0], want);
    for (int64_t i = 0; i < c.out[1].dim[0]; i++) cr_assert_eq(((const int64_t *)c.out[1].data)[i], counts[i] - '0');
    host_free(&c);
}

Test(host_strings, split)
{
    split("a.b.c|d", ".", -1, "a|b|c|d||", "31");
    split("a..b|.", ".", -1, "a||b|||", "32");
    split("a--b--c", "--", 1, "a|b--c", "2");
    split("", ".", -1, "", "1");
    split("x", ".", 0, "x", "1");
    split("  one \t two  |three", "", -1, "one|two|three|", "21");
    split(" one  two  three ", "", 1, "one|two  three", "2");
    split("\xe3\x80\x80"
          "a\xc2\xa0"
          "b",
          "", -1, "a|b", "2"); /* white space beyond ASCII */
    split("", "", -1, "", "0");
}

static void normalize(const char *x, const char *stops, const char *how, const char *want)
{
    dlvk_string s[MOST], stop[MOST];
    TestCall c = {.call = {.n_in = 2, .n_out = 1}};
    c.in[0] = words(x, s);
    c.in[1] = words(stops, stop);
    c.out[0] = (dlvk_host_array){.dtype = DLVK_STRING, .rank = 1};
    cr_assert_eq(host_run(&c, "string_normalize", how), DLVK_OK, "%s", c.err.text);
    check(&c.out[0], want);
    host_free(&c);
}

Test(host_strings, normalize)
{
    normalize("Monday|tuesday|Wednesday", "monday", "LOWER insensitive en_US", "tuesday|wednesday");
    normalize("Monday|tuesday", "monday", "NONE sensitive en_US", "Monday|tuesday");
    normalize("Monday|monday", "MONDAY", "UPPER insensitive no_SUCH_locale", "");
    normalize("stra\xc3\x9f"
              "e|\xc3\xa4\xff",
              "none", "UPPER sensitive en_US",
              "STRA\xc3\x9f"
              "E|\xc3\x84\xff"); /* bytes that are no text stay */
}

Test(host_strings, rank)
{
    dlvk_string s[MOST];
    TestCall c = {.call = {.n_in = 1, .n_out = 1}};
    c.in[0] = words("b|a|ab||b|\xc3\xa4", s);
    c.out[0] = (dlvk_host_array){.dtype = DLVK_I64, .rank = 1};
    cr_assert_eq(host_run(&c, "string_rank", ""), DLVK_OK);
    cr_assert_arr_eq(c.out[0].data, ((const int64_t[]){3, 1, 2, 0, 3, 4}), 6 * sizeof(int64_t));
    host_free(&c);
}

/* What is printed leads back to the same number, in any type. */
Test(host_strings, numbers_there_and_back)
{
    double x[4096];
    uint64_t seed = 1;
    for (int i = 0; i < 4096; i++) {
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        memcpy(&x[i], &seed, sizeof x[i]);
        if (i < 2048) x[i] = (double)(int64_t)seed / 0x1p50;
        if (isnan(x[i])) x[i] = -INFINITY;
    }
    TestCall a = {.call = {.n_in = 1, .n_out = 1}}, b = a;
    a.in[0] = (dlvk_host_array){.dtype = DLVK_F64, .rank = 1, .dim = {4096}, .data = x};
    a.out[0] = (dlvk_host_array){.dtype = DLVK_STRING, .rank = 1};
    cr_assert_eq(host_run(&a, "number_print", "53"), DLVK_OK);
    b.in[0] = a.out[0];
    b.out[0] = (dlvk_host_array){.dtype = DLVK_F64, .rank = 1};
    cr_assert_eq(host_run(&b, "string_parse", ""), DLVK_OK, "%s", b.err.text);
    cr_assert_arr_eq(b.out[0].data, x, sizeof x);
    host_free(&a);
    host_free(&b);
}

Test(host_strings, what_is_no_number)
{
    static const char *const bad[] = {"Hello", "", "1 2", "0x10", "1e", "--1", "nan(2)"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        for (int k = 0; k < 2; k++) {
            dlvk_string s = {bad[i], strlen(bad[i])};
            TestCall c = {.call = {.n_in = 1, .n_out = 1}};
            c.in[0] = (dlvk_host_array){.dtype = DLVK_STRING, .data = &s};
            c.out[0] = (dlvk_host_array){.dtype = k ? DLVK_I64 : DLVK_F32};
            cr_assert_eq(host_run(&c, "string_parse", ""), DLVK_INVALID_ARGUMENT, "'%s'", bad[i]);
            cr_assert(strstr(c.err.text, bad[i]), "%s", c.err.text);
            host_free(&c);
        }
    }
}

Test(host_strings, out_of_memory)
{
    dlvk_string s[MOST], t[MOST];
    for (size_t limit = 1; limit < 200; limit += 8) {
        TestCall c = {.call = {.n_in = 2, .n_out = 1}, .limit = limit};
        c.in[0] = words("one|two|three", s);
        c.in[1] = words("1|2|3", t);
        c.out[0] = (dlvk_host_array){.dtype = DLVK_STRING, .rank = 1};
        dlvk_status st = host_run(&c, "string_concat", "");
        cr_assert(st == DLVK_OUT_OF_MEMORY || (st == DLVK_OK && limit >= 62));
        if (!st) check(&c.out[0], "one1|two2|three3");
        host_free(&c);
    }
}

Test(host_strings, regular_expressions)
{
    dlvk_string s[MOST], pattern = {"a(b|c)*\\pL", 10}, bad = {"a(", 2};
    TestCall c = {.call = {.n_in = 2, .n_out = 1}};
    c.in[0] = words("abc|abbb|xabc|a\xc3\xa4|ab1", s);
    c.in[1] = (dlvk_host_array){.dtype = DLVK_STRING, .data = &pattern};
    c.out[0] = (dlvk_host_array){.dtype = DLVK_BOOL, .rank = 1};
    cr_assert_eq(host_run(&c, "regex_full_match", ""), DLVK_OK, "%s", c.err.text);
    cr_assert_arr_eq(c.out[0].data, ((const uint8_t[]){1, 1, 0, 1, 0}), 5);
    c.in[1].data = &bad;
    cr_assert_eq(host_run(&c, "regex_full_match", ""), DLVK_INVALID_ARGUMENT);
    cr_assert(strstr(c.err.text, "a("), "%s", c.err.text);
    host_free(&c);
}
