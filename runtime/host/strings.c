/* The string operators. */
#include "runtime/host/host.h"
#include <locale.h>
#include <stdlib.h>
#include <string.h>
#include <wchar.h>
#include <wctype.h>

#define S DLVK_STRING

/* ---- concatenation -------------------------------------------------------------------------------------------------- */

/* Two tensors of one shape. */
dlvk_status host_string_concat(dlvk_host_call *c)
{
    if (!host_signature(c, 2, (dlvk_dtype[]){S, S}, 1, (dlvk_dtype[]){S})) return DLVK_BAD_FILE;
    int64_t n = host_count(&c->in[0]);
    if (n != host_count(&c->in[1])) return host_fail(c, DLVK_INVALID_ARGUMENT, "operands of different sizes");
    const dlvk_string *a = host_strings(&c->in[0]), *b = host_strings(&c->in[1]);
    dlvk_string *y = host_result(c, 0, &c->in[0], sizeof *y);
    size_t bytes = 0;
    for (int64_t i = 0; i < n; i++)
        if (__builtin_add_overflow(bytes, a[i].len, &bytes) || __builtin_add_overflow(bytes, b[i].len, &bytes)) y = NULL;
    char *to = y ? c->alloc(c, bytes) : NULL;
    if (!to) return host_no_memory(c);
    for (int64_t i = 0; i < n; i++) {
        y[i] = (dlvk_string){to, a[i].len + b[i].len};
        if (a[i].len) memcpy(to, a[i].at, a[i].len);
        if (b[i].len) memcpy(to + a[i].len, b[i].at, b[i].len);
        to += y[i].len;
    }
    return DLVK_OK;
}

/* ---- splitting ------------------------------------------------------------------------------------------------------ */

/* ASCII white space, as Python's str.split() takes it in bytes; beyond ASCII what Unicode calls white space, in UTF-8. Returns
 * its length, 0: none here. */
static size_t space_at(const char *s, size_t left)
{
    static const char *const wide[] = {"\xc2\x85",     "\xc2\xa0",     "\xe1\x9a\x80", "\xe2\x80\xa8",
                                       "\xe2\x80\xa9", "\xe2\x80\xaf", "\xe2\x81\x9f", "\xe3\x80\x80"};
    if (*s == ' ' || (*s >= '\t' && *s <= '\r') || (*s >= 0x1c && *s <= 0x1f)) return 1;
    if (left >= 3 && memcmp(s, "\xe2\x80", 2) == 0 && (unsigned char)s[2] >= 0x80 && (unsigned char)s[2] <= 0x8a) return 3;
    for (size_t i = 0; i < sizeof wide / sizeof *wide; i++) {
        size_t n = strlen(wide[i]);
        if (left >= n && memcmp(s, wide[i], n) == 0) return n;
    }
    return 0;
}

static size_t skip_space(const dlvk_string *s, size_t at)
{
    for (size_t n; at < s->len && (n = space_at(s->at + at, s->len - at));) at += n;
    return at;
}

/* White space goes from both ends. */
static dlvk_string trim(dlvk_string s)
{
    size_t at = skip_space(&s, 0), end = at;
    for (size_t k = at; k < s.len;) {
        size_t gap = space_at(s.at + k, s.len - k);
        k += gap ? gap : 1;
        if (!gap) end = k;
    }
    return end > at ? (dlvk_string){s.at + at, end - at} : (dlvk_string){"", 0};
}

/* The parts of s, at most `limit` + 1 (limit < 0: any number); out NULL: only counts them. An empty `by` stands for any white
 * space, and then there are no empty parts. */
static int64_t split(dlvk_string s, dlvk_string by, int64_t limit, dlvk_string *out)
{
    if (!by.len) s = trim(s);
    if (!by.len && !s.len) return 0;
    int64_t n = 0;
    for (size_t at = 0, end = 0;;) {
        size_t gap = 0;
        for (end = at; end < s.len && n != limit; end++) {
            size_t left = s.len - end;
            if (!by.len)
                gap = skip_space(&s, end) - end;
            else
                gap = left >= by.len && memcmp(s.at + end, by.at, by.len) == 0 ? by.len : 0;
            if (gap) break;
        }
        if (n == limit) end = s.len;
        if (out) out[n] = (dlvk_string){s.len ? s.at + at : "", end - at};
        n++;
        if (!gap) return n;
        at = end + gap;
    }
}

/* in: strings, the delimiter (empty: white space), the greatest number of splits (i64; negative: none). out: parts, filled up
 * with empty strings; how many there are of each. */
dlvk_status host_string_split(dlvk_host_call *c)
{
    if (!host_signature(c, 3, (dlvk_dtype[]){S, S, DLVK_I64}, 2, (dlvk_dtype[]){S, DLVK_I64})) return DLVK_BAD_FILE;
    const dlvk_string *x = host_strings(&c->in[0]);
    int64_t n = host_count(&c->in[0]), most = 0;
    if (host_count(&c->in[1]) != 1 || host_count(&c->in[2]) != 1 || c->in[0].rank == DLVK_MAX_RANK)
        return host_fail(c, DLVK_INVALID_ARGUMENT, "one delimiter and one number of splits are needed");
    dlvk_string by = host_strings(&c->in[1])[0];
    int64_t limit = *(const int64_t *)c->in[2].data, *count = host_result(c, 1, &c->in[0], sizeof *count);
    if (!count) return host_no_memory(c);
    for (int64_t i = 0; i < n; i++) {
        count[i] = split(x[i], by, limit, NULL);
        if (count[i] > most) most = count[i];
    }
    dlvk_host_array like = c->in[0];
    like.dim[like.rank++] = most;
    if (n && most > INT32_MAX / n) return host_no_memory(c);
    dlvk_string *y = host_result(c, 0, &like, sizeof *y);
    if (!y) return host_no_memory(c);
    for (int64_t i = 0; i < n; i++) split(x[i], by, limit, y + i * most);
    return DLVK_OK;
}

/* ---- normalisation -------------------------------------------------------------------------------------------------- */

/* One code point of UTF-8; bytes that are none stand for themselves, beyond Unicode, and come out again as they are. */
enum { RAW_BYTE = 0x110000 };

static uint32_t decode(const dlvk_string *s, size_t *at)
{
    const unsigned char *p = (const unsigned char *)s->at + *at;
    size_t left = s->len - *at, n = *p < 0x80                 ? 1
                                    : *p >= 0xc2 && *p < 0xe0 ? 2
                                    : (*p & 0xf0) == 0xe0     ? 3
                                    : (*p & 0xf8) == 0xf0     ? 4
                                                              : 0;
    uint32_t v = n == 1 ? (uint32_t)*p : n ? *p & (0x7fu >> n) : 0u;
    bool ok = n && n <= left;
    for (size_t i = 1; ok && i < n; i++) {
        ok = (p[i] & 0xc0) == 0x80;
        v = v << 6 | (p[i] & 0x3f);
    }
    ok = ok && v < RAW_BYTE && (v < 0xd800 || v > 0xdfff) && !(n == 3 && v < 0x800) && !(n == 4 && v < 0x10000);
    *at += ok ? n : 1;
    return ok ? v : (uint32_t)RAW_BYTE + *p;
}

static char *encode(char *to, uint32_t v)
{
    if (v >= RAW_BYTE || v < 0x80) {
        *to++ = (char)(v >= RAW_BYTE ? v - (uint32_t)RAW_BYTE : v);
        return to;
    }
    int more = v < 0x800 ? 1 : v < 0x10000 ? 2 : 3;
    *to++ = (char)((0xff00 >> (more + 1) & 0xff) | v >> 6 * more);
    while (more--) *to++ = (char)(0x80 | (v >> 6 * more & 0x3f));
    return to;
}

static bool case_of(dlvk_host_call *c, dlvk_string s, bool upper, locale_t locale, dlvk_string *out)
{
    char *start = host_array(c, s.len, 4), *to = start; /* a code point takes at most four bytes */
    if (!start) return false;
    for (size_t at = 0; at < s.len;) {
        uint32_t v = decode(&s, &at);
        if (v < RAW_BYTE) v = (uint32_t)(upper ? towupper_l((wint_t)v, locale) : towlower_l((wint_t)v, locale));
        to = encode(to, v);
    }
    *out = (dlvk_string){start, (size_t)(to - start)};
    return true;
}

static bool equal(dlvk_string a, dlvk_string b)
{
    return a.len == b.len && (!a.len || memcmp(a.at, b.at, a.len) == 0);
}

/* "NAME", "NAME.UTF-8" or, where the system has neither, the C library's own case tables. */
static locale_t open_locale(const char *name)
{
    char utf8[128] = "";
    if (strlen(name) < sizeof utf8 - 8) strcat(strcpy(utf8, name), ".UTF-8");
    const char *const names[] = {utf8, name, "C.UTF-8", "C"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        locale_t l = *names[i] ? newlocale(LC_CTYPE_MASK, names[i], (locale_t)0) : (locale_t)0;
        if (l) return l;
    }
    return (locale_t)0;
}

static dlvk_status normalize(dlvk_host_call *c, char action, bool sensitive, locale_t locale)
{
    const dlvk_host_array *in = &c->in[0];
    const dlvk_string *x = host_strings(in), *given = host_strings(&c->in[1]);
    int64_t n = host_count(in), stops = host_count(&c->in[1]), kept = 0;
    dlvk_string *y = host_array(c, (size_t)n + 1, sizeof *y), *stop = host_array(c, (size_t)stops, sizeof *stop);
    if (!y || !stop) return host_no_memory(c);
    for (int64_t k = 0; k < stops; k++) {
        stop[k] = given[k];
        if (!sensitive && !case_of(c, given[k], false, locale, &stop[k])) return host_no_memory(c);
    }
    for (int64_t i = 0; i < n; i++) {
        dlvk_string word = x[i];
        bool drop = false;
        if (!sensitive && stops && !case_of(c, x[i], false, locale, &word)) return host_no_memory(c);
        for (int64_t k = 0; k < stops && !drop; k++) drop = equal(word, stop[k]);
        if (drop) continue;
        y[kept] = x[i];
        if (action != 'N' && !case_of(c, x[i], action == 'U', locale, &y[kept])) return host_no_memory(c);
        kept++;
    }
    if (!kept) y[kept++] = (dlvk_string){"", 0};
    c->out[0].dim[0] = 1;
    c->out[0].dim[in->rank - 1] = kept;
    c->out[0].data = y;
    return DLVK_OK;
}

/* in: [C] or [1, C]; stop words. text: "LOWER|UPPER|NONE sensitive LOCALE" or "... insensitive LOCALE". */
dlvk_status host_string_normalize(dlvk_host_call *c)
{
    if (!host_signature(c, 2, (dlvk_dtype[]){S, S}, 1, (dlvk_dtype[]){S})) return DLVK_BAD_FILE;
    const dlvk_host_array *x = &c->in[0];
    if (x->rank < 1 || x->rank > 2 || x->rank != c->out[0].rank || (x->rank == 2 && x->dim[0] != 1))
        return host_fail(c, DLVK_INVALID_ARGUMENT, "the operand must be [C] or [1, C]");
    const char *how = strchr(c->text, ' '), *name = how ? strchr(how + 1, ' ') : NULL;
    if (!name || !strchr("LUN", c->text[0])) return host_fail(c, DLVK_BAD_FILE, "corrupt plan: '%s'", c->text);
    locale_t locale = open_locale(name + 1);
    if (!locale) return host_fail(c, DLVK_UNSUPPORTED, "the system has no locale '%s'", name + 1);
    dlvk_status st = normalize(c, c->text[0], how[1] == 's', locale);
    freelocale(locale);
    return st;
}

/* ---- order ---------------------------------------------------------------------------------------------------------- */

static int compare(const dlvk_string *a, const dlvk_string *b)
{
    size_t n = a->len < b->len ? a->len : b->len;
    int c = n ? memcmp(a->at, b->at, n) : 0;
    return c ? c : (a->len > b->len) - (a->len < b->len);
}

static int compare_refs(const void *a, const void *b)
{
    return compare(*(const dlvk_string *const *)a, *(const dlvk_string *const *)b);
}

/* For every string how many different ones come before it, in the order of their bytes (which is that of code points in UTF-8).
 */
dlvk_status host_string_rank(dlvk_host_call *c)
{
    if (!host_signature(c, 1, (dlvk_dtype[]){S}, 1, (dlvk_dtype[]){DLVK_I64})) return DLVK_BAD_FILE;
    int64_t n = host_count(&c->in[0]), rank = 0, *y = host_result(c, 0, &c->in[0], sizeof *y);
    const dlvk_string *x = host_strings(&c->in[0]), **ref = host_array(c, (size_t)n, sizeof *ref);
    if (!y || !ref) return host_no_memory(c);
    for (int64_t i = 0; i < n; i++) ref[i] = &x[i];
    qsort(ref, (size_t)n, sizeof *ref, compare_refs);
    for (int64_t i = 0; i < n; i++) {
        if (i && compare(ref[i - 1], ref[i])) rank++;
        y[ref[i] - x] = rank;
    }
    return DLVK_OK;
}
