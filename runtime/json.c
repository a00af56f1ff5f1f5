#include "runtime/json.h"
#include <inttypes.h>
#include <string.h>

/* Bytes of the well-formed UTF-8 sequence at p, or 0. */
static int utf8(const unsigned char *p)
{
    int n = p[0] < 0x80                   ? 1
            : p[0] >= 0xc2 && p[0] < 0xe0 ? 2
            : p[0] >= 0xe0 && p[0] < 0xf0 ? 3
            : p[0] >= 0xf0 && p[0] < 0xf5 ? 4
                                          : 0;
    for (int i = 1; i < n; i++)
        if ((p[i] & 0xc0) != 0x80) return 0;
    if ((p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] > 0x9f) || (p[0] == 0xf0 && p[1] < 0x90) ||
        (p[0] == 0xf4 && p[1] > 0x8f))
        return 0;
    return n;
}

static void quote(FILE *f, const char *text)
{
    fputc('"', f);
    for (const unsigned char *p = (const unsigned char *)text; *p;) {
        int n = utf8(p);
        if (*p == '"' || *p == '\\')
            fprintf(f, "\\%c", *p);
        else if (*p < 0x20 || *p == 0x7f)
            fprintf(f, "\\u%04x", *p);
        else if (n == 0)
            fputs("\\ufffd", f);
        else
            fwrite(p, 1, (size_t)n, f);
        p += n ? n : 1;
    }
    fputc('"', f);
}

static void begin(Json *j, const char *key)
{
    if (j->more) fputc(',', j->f);
    if (j->flat)
        fputs(j->more ? " " : "", j->f);
    else if (j->depth)
        fprintf(j->f, "\n%*s", 2 * j->depth, "");
    if (key) {
        quote(j->f, key);
        fputs(": ", j->f);
    }
    j->more = true;
}

void json_open(Json *j, const char *key, char bracket)
{
    begin(j, key);
    fputc(bracket, j->f);
    j->depth++;
    j->more = false;
}

void json_close(Json *j, char bracket)
{
    j->depth--;
    if (j->more && !j->flat) fprintf(j->f, "\n%*s", 2 * j->depth, "");
    fputc(bracket, j->f);
    j->more = true;
}

void json_string(Json *j, const char *key, const char *text)
{
    begin(j, key);
    quote(j->f, text);
}

void json_int(Json *j, const char *key, int64_t v)
{
    begin(j, key);
    fprintf(j->f, "%" PRId64, v);
}

void json_bool(Json *j, const char *key, bool v)
{
    begin(j, key);
    fputs(v ? "true" : "false", j->f);
}
