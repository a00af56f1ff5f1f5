/* Picks from the GLSL library what a kernel uses; see prelude.h. */
#include "codegen/prelude.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "codegen/glsl_files.h"
#include "dlvk/runtime.h"

enum { MAX_CHUNKS = 1024, HEAD = 1024 };

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

/* Does the code name one of these classes, or a function that makes one? */
static bool uses_i64(const char *code)
{
    return strstr(code, "I64") || strstr(code, "U64") || strstr(code, "i64") || strstr(code, "u64") ||
           strstr(code, "random_bits");
}
static bool uses_f64(const char *code)
{
    return strstr(code, "F64") || strstr(code, "f64");
}

/* Whether a prelude file speaks for a device with these features, and of classes that the code has: the functions of all
 * classes share their names, and op_max of two floats must not bring in 64-bit integers. */
static bool file_applies(const char *name, uint32_t features, const char *code)
{
    if (strncmp(name, "prelude", 7) != 0) return false;
    if (strstr(name, "f16_native")) return features & DLVK_FEATURE_FLOAT16;
    if (strstr(name, "f16_soft")) return !(features & DLVK_FEATURE_FLOAT16);
    if (strstr(name, "storage16_native")) return features & DLVK_FEATURE_STORAGE16;
    if (strstr(name, "storage16_words")) return !(features & DLVK_FEATURE_STORAGE16);
    if (strstr(name, "address")) return features & DLVK_FEATURE_INT64;
    if (strstr(name, "f64_i64")) return uses_i64(code) && uses_f64(code);
    if (strstr(name, "i64") && !uses_i64(code)) return false;
    if (strstr(name, "f64") && !uses_f64(code)) return false;
    if (strstr(name, "i64_native")) return features & DLVK_FEATURE_INT64;
    if (strstr(name, "i64_emul")) return !(features & DLVK_FEATURE_INT64);
    if (strstr(name, "f64_native")) return features & DLVK_FEATURE_FLOAT64;
    if (strstr(name, "f64_soft")) return !(features & DLVK_FEATURE_FLOAT64);
    return true;
}

static int read_chunks(uint32_t features, const char *code, Chunk *c)
{
    int n = 0;
    for (int i = 0; i < glsl_file_count; i++) {
        if (!file_applies(glsl_files[i].name, features, code)) continue;
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

typedef struct Library {
    Chunk at[MAX_CHUNKS];
    int n;
    int order[MAX_CHUNKS], n_order; /* the chunks used, each behind those it calls */
    size_t len;
} Library;

/* Takes the chunks named by the identifiers in text, and first what those name. A name may have several chunks: one a
 * file, for its classes of types. */
static void take(Library *l, const char *text, size_t len)
{
    for (size_t i = 0; i < len;) {
        if (text[i] == '/' && i + 1 < len && text[i + 1] == '/') {
            while (i < len && text[i] != '\n') i++;
            continue;
        }
        if (!isalnum((unsigned char)text[i]) && text[i] != '_') {
            i++;
            continue;
        }
        size_t start = i;
        while (i < len && (isalnum((unsigned char)text[i]) || text[i] == '_')) i++;
        for (int k = 0; k < l->n; k++) {
            Chunk *c = &l->at[k];
            if (c->used || c->name_len != i - start || memcmp(c->name, text + start, i - start) != 0) continue;
            c->used = true;
            take(l, c->text, c->len);
            l->order[l->n_order++] = k;
            l->len += c->len;
        }
    }
}

const char *prelude_for(Pool *p, const char *code, uint32_t *features)
{
    Library *l = POOL_NEW(p, Library);
    l->n = read_chunks(*features, code, l->at);
    take(l, code, strlen(code));
    char *out = pool_alloc(p, l->len + HEAD + 256), *at = out + HEAD;
    size_t m = 0;
    for (int i = 0; i < l->n_order; i++) {
        const Chunk *c = &l->at[l->order[i]];
        memcpy(at + m, c->text, c->len);
        m += c->len;
    }
    at[m] = 0;

    /* Extensions come first, and only what is used is asked of the device. */
    char head[HEAD] = "";
    if (strstr(at, "int64_t"))
        strcat(head, "#extension GL_EXT_shader_explicit_arithmetic_types_int64 : require\n");
    else
        *features &= ~(uint32_t)DLVK_FEATURE_INT64;
    if (strstr(at, "double") || strstr(at, "float64_t"))
        strcat(head, "#extension GL_EXT_shader_explicit_arithmetic_types_float64 : require\n");
    else
        *features &= ~(uint32_t)DLVK_FEATURE_FLOAT64;
    if (strstr(at, "uint16_t"))
        strcat(head, "#extension GL_EXT_shader_16bit_storage : require\n");
    else
        *features &= ~(uint32_t)DLVK_FEATURE_STORAGE16;
    if (strstr(at, "Float2x16") || strstr(code, "float16_t"))
        strcat(head, "#extension GL_EXT_shader_explicit_arithmetic_types_float16 : require\n");
    else
        *features &= ~(uint32_t)DLVK_FEATURE_FLOAT16;
    if (strstr(code, "subgroupShuffle")) strcat(head, "#extension GL_KHR_shader_subgroup_shuffle : require\n");
    if (strstr(code, "subgroupBroadcastFirst")) strcat(head, "#extension GL_KHR_shader_subgroup_ballot : require\n");
    if (strstr(code, "subgroupAny")) strcat(head, "#extension GL_KHR_shader_subgroup_vote : require\n");
    if (strstr(code, "coopmat<"))
        strcat(head, "#extension GL_KHR_cooperative_matrix : require\n"
                     "#extension GL_KHR_memory_scope_semantics : require\n");
    size_t h = strlen(head);
    memcpy(at - h, head, h);
    return at - h;
}
