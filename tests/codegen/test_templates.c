/* What the templates of codegen/glsl/ have to keep to, and no driver at hand may complain about. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "codegen/glsl_files.h"

/* The type that `name` is declared with in shared memory; false: it is no such array. */
static bool shared_type(const char *text, const char *name, char type[16])
{
    char found[64];
    for (const char *at = text; (at = strstr(at, "shared ")); at++)
        if (sscanf(at, "shared %15s %63[A-Za-z0-9_]", type, found) == 2 && strcmp(found, name) == 0) return true;
    return false;
}

/* Cooperative matrices want addresses that are multiples of 16 bytes (VUID-RuntimeSpirv-OpCooperativeMatrixLoadKHR-08986). In
 * shared memory only a vector's size sees to that: what of it lies behind another variable of four bytes is taken for its
 * neighbour. */
Test(templates, matrices_lie_in_shared_arrays_of_vectors)
{
    static const char *const calls[] = {"coopMatLoad(", "coopMatStore("};
    int seen = 0;
    for (int f = 0; f < glsl_file_count; f++)
        for (int c = 0; c < 2; c++)
            for (const char *text = glsl_files[f].text, *at = text; (at = strstr(at, calls[c])); at++) {
                char name[64], type[16];
                const char *second = strchr(at, ',');
                cr_assert(second && sscanf(second, ", %63[A-Za-z0-9_]", name) == 1, "%s: %.60s", glsl_files[f].name, at);
                if (!shared_type(text, name, type)) continue;
                cr_expect(strcmp(type, "vec4") == 0 || strcmp(type, "uvec4") == 0, "%s: %s is an array of %s", glsl_files[f].name,
                          name, type);
                seen++;
            }
    cr_assert_geq(seen, 8);
}
