/* Strings to numbers and back, as ONNX's Cast has it. */
#define _GNU_SOURCE /* strtod_l */
#include "runtime/host/host.h"
#include <errno.h>
#include <float.h>
#include <inttypes.h>
#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* ---- to numbers ----------------------------------------------------------------------------------------------------- */

typedef union Number {
    float f32;
    double f64;
    int64_t i64;
    uint64_t u64;
    uint8_t b;
} Number;

/* A terminated text without white space around it. False: not a number. */
static bool parse(const char *s, dlvk_dtype t, locale_t c, Number *y)
{
    char *end = NULL;
    errno = 0;
    if (t == DLVK_BOOL && (strcasecmp(s, "true") == 0 || strcasecmp(s, "false") == 0)) {
        y->b = *s == 't' || *s == 'T';
        return true;
    }
    if (t == DLVK_F32) {
        y->f32 = strtof_l(s, &end, c);
    } else if (t == DLVK_F64 || t == DLVK_BOOL) {
        y->f64 = strtod_l(s, &end, c);
        if (t == DLVK_BOOL) y->b = y->f64 != 0;
    } else {
        bool natural = t == DLVK_U64 && *s != '-';
        if (natural)
            y->u64 = strtoull(s, &end, 10);
        else
            y->i64 = strtoll(s, &end, 10);
        if (errno == ERANGE) return false;
        if (*end) { /* "100.5" is 100 */
            double v = strtod_l(s, &end, c);
            if (!(v >= -0x1p63 && v < (natural ? 0x1p64 : 0x1p63))) return false;
            if (natural)
                y->u64 = (uint64_t)v;
            else
                y->i64 = (int64_t)v;
        }
    }
    return end != s && !*end;
}

/* Hexadecimal numbers and the names of NaNs, which strtod takes, are none of ONNX's. */
static bool plain(const char *s)
{
    return !strpbrk(s, "xX(");
}

dlvk_status host_string_parse(dlvk_host_call *c)
{
    if (!host_signature(c, 1, (dlvk_dtype[]){DLVK_STRING}, 1, (dlvk_dtype[]){DLVK_DTYPE_COUNT})) return DLVK_BAD_FILE;
    dlvk_dtype t = c->out[0].dtype;
    size_t size = t == DLVK_BOOL ? 1 : t == DLVK_F32 ? 4 : t == DLVK_F64 || t == DLVK_I64 || t == DLVK_U64 ? 8 : 0;
    int64_t n = host_count(&c->in[0]);
    char *y = host_result(c, 0, &c->in[0], size ? size : 1);
    locale_t locale = newlocale(LC_ALL_MASK, "C", (locale_t)0);
    if (!size) return host_fail(c, DLVK_BAD_FILE, "corrupt plan: strings do not become this type");
    if (!y || !locale) return host_no_memory(c);
    dlvk_status st = DLVK_OK;
    for (int64_t i = 0; !st && i < n; i++) {
        dlvk_string s = host_strings(&c->in[0])[i];
        while (s.len && strchr(" \t\r\n", s.at[0])) s.at++, s.len--;
        while (s.len && strchr(" \t\r\n", s.at[s.len - 1])) s.len--;
        char text[512];
        Number v = {0};
        bool fits = s.len < sizeof text;
        if (fits) memcpy(text, s.at ? s.at : "", s.len), text[s.len] = 0;
        if (!fits || strlen(text) != s.len || !plain(text) || !parse(text, t, locale, &v))
            st = host_fail(c, DLVK_INVALID_ARGUMENT, "string %" PRId64 ", '%.*s', is not a number of the type asked for", i,
                           (int)(s.len < 64 ? s.len : 64), s.at ? s.at : "");
        memcpy(y + (size_t)i * size, &v, size);
    }
    freelocale(locale);
    return st;
}

/* ---- to strings ----------------------------------------------------------------------------------------------------- */

/* v with `bits` bits of significand. */
static double round_to(double v, int bits)
{
    int e;
    if (bits == 24) return (float)v;
    if (bits >= 53 || v == 0 || !isfinite(v)) return v;
    double m = frexp(v, &e);
    return ldexp(nearbyint(ldexp(m, bits)), e - bits);
}

/* The decimal point, which the locale may have made another character, goes where the exponent says. */
static void print_float(double v, int bits, char *out, size_t size)
{
    char text[64], digits[32];
    int precision = 0, n = 0;
    if (isnan(v) || isinf(v)) {
        snprintf(out, size, "%s", isnan(v) ? "NaN" : v < 0 ? "-INF" : "INF");
        return;
    }
    /* The fewest digits that lead back to v. */
    do {
        snprintf(text, sizeof text, "%.*e", precision, v);
    } while (precision++ < 17 && round_to(strtod(text, NULL), bits) != v);
    const char *e = strchr(text, 'e');
    int exponent = atoi(e + 1);
    for (const char *p = text; p < e; p++)
        if (*p >= '0' && *p <= '9') digits[n++] = *p;
    const char *sign = signbit(v) ? "-" : "";
    if (v != 0 && (exponent < -4 || exponent >= 16)) /* as numpy and Python change over */
        snprintf(out, size, "%s%c%s%.*se%c%02d", sign, digits[0], n > 1 ? "." : "", n - 1, digits + 1, exponent < 0 ? '-' : '+',
                 abs(exponent));
    else if (exponent < 0)
        snprintf(out, size, "%s0.%.*s%.*s", sign, -exponent - 1, "0000", n, digits);
    else if (n <= exponent + 1)
        snprintf(out, size, "%s%.*s%.*s.0", sign, n, digits, exponent + 1 - n, "00000000000000000");
    else
        snprintf(out, size, "%s%.*s.%.*s", sign, exponent + 1, digits, n - exponent - 1, digits + exponent + 1);
}

/* text: for floats, the bits of significand that their own type has (they may come in a wider one). */
dlvk_status host_number_print(dlvk_host_call *c)
{
    if (!host_signature(c, 1, (dlvk_dtype[]){DLVK_DTYPE_COUNT}, 1, (dlvk_dtype[]){DLVK_STRING})) return DLVK_BAD_FILE;
    const dlvk_host_array *x = &c->in[0];
    int64_t n = host_count(x);
    int bits = atoi(c->text);
    dlvk_string *y = host_result(c, 0, x, sizeof *y);
    if (!y) return host_no_memory(c);
    for (int64_t i = 0; i < n; i++) {
        char text[64];
        switch (x->dtype) {
        case DLVK_F32: print_float((double)((const float *)x->data)[i], bits, text, sizeof text); break;
        case DLVK_F64: print_float(((const double *)x->data)[i], bits, text, sizeof text); break;
        case DLVK_I64: snprintf(text, sizeof text, "%" PRId64, ((const int64_t *)x->data)[i]); break;
        case DLVK_U64: snprintf(text, sizeof text, "%" PRIu64, ((const uint64_t *)x->data)[i]); break;
        case DLVK_BOOL: snprintf(text, sizeof text, "%s", ((const uint8_t *)x->data)[i] ? "True" : "False"); break;
        default: return host_fail(c, DLVK_BAD_FILE, "corrupt plan: this type does not become strings");
        }
        size_t len = strlen(text);
        char *to = c->alloc(c, len);
        if (!to) return host_no_memory(c);
        memcpy(to, text, len);
        y[i] = (dlvk_string){to, len};
    }
    return DLVK_OK;
}
