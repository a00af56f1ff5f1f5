/* Picks from the GLSL library what a kernel uses; see prelude.h. */
#include "codegen/prelude.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "codegen/glsl_files.h"
#include "dlvk/runtime.h"

enum { MAX_CHUNKS = 1024 };

typedef struct Chunk {
    const char *name;
    size_t name_len;
    const char *text; /* behind the "//#" line */
    size_t len;
    bool used;
} Chunk;

const char *prelude_file(const char *name)
{
    for (int i = 0; i < glsl_file_count; i++)
        if (strcmp(glsl_files[i].name, name) == 0) return glsl_files[i].text;
    return "#error no such template\n";
}

/* Whether a prelude file speaks for a device with these features. */
static bool file_applies(const char *name, uint32_t features)
{
    if (strncmp(name, "prelude", 7) != 0) return false;
    if (strstr(name, "i64_native")) return features & DLVK_FEATURE_INT64;
    if (strstr(name, "i64_emul")) return !(features & DLVK_FEATURE_INT64);
    if (strstr(name, "f64_native")) return features & DLVK_FEATURE_FLOAT64;
    if (strstr(name, "f64_soft")) return !(features & DLVK_FEATURE_FLOAT64);
    return true;
}

static int read_chunks(uint32_t features, Chunk *c)
{
    int n = 0;
    for (int i = 0; i < glsl_file_count; i++) {
        if (!file_applies(glsl_files[i].name, features)) continue;
        const char *p = strstr(glsl_files[i].text, "//# ");
        while (p && n < MAX_CHUNKS) {
            const char *name = p + 4, *body = strchr(p, '\n');
            if (!body) break;
            const char *next = strstr(body, "\n//# ");
            c[n].name = name;
            c[n].name_len = strcspn(name, " :\n");
            c[n].text = body + 1;
            c[n].len = next ? (size_t)(next - body) : strlen(body + 1);
            c[n].used = false;
            n++;
            p = next ? next + 1 : NULL;
        }
    }
    return n;
}

/* Marks the chunks named by the identifiers in text. Returns whether any was new. */
static bool mark(Chunk *c, int n, const char *text, size_t len)
{
    bool found = false;
    for (size_t i = 0; i < len;) {
        if (text[i] == '/' && i + 1 < len && text[i + 1] == '/') {
            while (i < len && text[i] != '\n') i++;
            continue;
        }
        if (!isalpha((unsigned char)text[i]) && text[i] != '_') {
            i++;
            continue;
        }
        size_t start = i;
        while (i < len && (isalnum((unsigned char)text[i]) || text[i] == '_')) i++;
        for (int k = 0; k < n; k++) /* a name may have several chunks: one a file, for its classes of types */
            if (!c[k].used && c[k].name_len == i - start && memcmp(c[k].name, text + start, i - start) == 0) c[k].used = found = true;
    }
    return found;
}

const char *prelude_for(Pool *p, const char *code, uint32_t *features)
{
    Chunk c[MAX_CHUNKS];
    int n = read_chunks(*features, c);
    bool more = mark(c, n, code, strlen(code));
    while (more) {
        more = false;
        for (int i = 0; i < n; i++)
            if (c[i].used) more |= mark(c, n, c[i].text, c[i].len);
    }
    size_t len = 1;
    for (int i = 0; i < n; i++)
        if (c[i].used) len += c[i].len;
    char *out = pool_alloc(p, len + 512), *at = out + 256;
    size_t m = 0;
    for (int i = 0; i < n; i++)
        if (c[i].used) {
            memcpy(at + m, c[i].text, c[i].len);
            m += c[i].len;
        }
    at[m] = 0;

    /* Extensions come first, and only what is used is asked of the device. */
    char head[256] = "";
    if (strstr(at, "int64_t")) strcat(head, "#extension GL_EXT_shader_explicit_arithmetic_types_int64 : require\n");
    else *features &= ~(uint32_t)DLVK_FEATURE_INT64;
    if (strstr(at, "double") || strstr(at, "float64_t")) strcat(head, "#extension GL_EXT_shader_explicit_arithmetic_types_float64 : require\n");
    else *features &= ~(uint32_t)DLVK_FEATURE_FLOAT64;
    size_t h = strlen(head);
    memcpy(at - h, head, h);
    return at - h;
}
