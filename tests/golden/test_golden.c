/* Golden files: for each tests/golden/NAME.ir, NAME.golden holds the IR behind the passes, the kernels of fusion and their GLSL,
 * so that a change of generated code shows as a diff; NAME.f16.ir is compiled for f16. `cmake --build build --target
 * update-goldens` (DLVK_UPDATE_GOLDENS=1 in the environment of this test) rewrites them. */
#include <criterion/criterion.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "frontend/compile.h"

static char *read_file(Pool *p, const char *path)
{
    FILE *f = fopen(path, "rb");
    if (!f) return NULL;
    fseek(f, 0, SEEK_END);
    long n = ftell(f);
    rewind(f);
    char *text = pool_alloc(p, (size_t)n + 1);
    size_t got = fread(text, 1, (size_t)n, f);
    fclose(f);
    return got == (size_t)n ? text : NULL;
}

static void compile(Pool *p, const char *text, dlvk_dtype precision, const char *print_after, const char *dump_glsl, FILE *log)
{
    Context *c = context_new(p);
    Graph *g = graph_parse(c, text);
    cr_assert(g && !c->diag.errors, "%s", c->diag.lines.n ? c->diag.lines.at[0] : "not parsed");
    dlvk_compile_options o = DLVK_COMPILE_OPTIONS_INIT;
    o.precision = precision;
    o.print_after = print_after;
    o.stop_after = dump_glsl ? NULL : print_after;
    o.dump_glsl = dump_glsl;
    o.log = log;
    o.threads = 1;
    void *bundle = NULL;
    size_t size;
    dlvk_error err;
    cr_assert(compile_graph_to_memory(g, &bundle, &size, &o, &err) == DLVK_OK, "%s", err.text);
    dlvk_free(bundle);
}

/* The modules, without the library functions in front; those that differ in nothing else are there once. */
static void add_modules(Pool *p, const char *dir, FILE *out)
{
    glob_t files;
    const char *before = "";
    if (glob(pool_printf(p, "%s/*.comp", dir), 0, NULL, &files)) return;
    for (size_t i = 0; i < files.gl_pathc; i++) {
        const char *text = read_file(p, files.gl_pathv[i]), *code = text ? strstr(text, "\nlayout(") : NULL;
        if (code && strcmp(code, before)) fprintf(out, "\n// module %s\n%s", strrchr(files.gl_pathv[i], '/') + 1, code + 1);
        before = code ? code : before;
        unlink(files.gl_pathv[i]);
    }
    globfree(&files);
}

static char *generate(Pool *p, const char *ir, dlvk_dtype precision)
{
    char *text = NULL, dir[] = "/tmp/dlvk-golden-XXXXXX";
    size_t size;
    FILE *out = open_memstream(&text, &size);
    cr_assert(out && mkdtemp(dir));
    compile(p, ir, precision, "pack", NULL, out);
    fputc('\n', out);
    compile(p, ir, precision, "fuse", dir, out);
    add_modules(p, dir, out);
    rmdir(dir);
    fclose(out);
    char *copy = pool_strdup(p, text);
    free(text);
    return copy;
}

/* The first line that differs. */
static void report(const char *path, const char *want, const char *got)
{
    int line = 1;
    while (*want && *want == *got) {
        line += *want == '\n';
        want++;
        got++;
    }
    cr_expect(false, "%s:%d differs: '%.*s' instead of '%.*s'; update-goldens rewrites the file", path, line,
              (int)strcspn(got, "\n"), got, (int)strcspn(want, "\n"), want);
}

Test(golden, all)
{
    glob_t files;
    cr_assert(glob(DLVK_SOURCE_DIR "/tests/golden/*.ir", 0, NULL, &files) == 0);
    for (size_t i = 0; i < files.gl_pathc; i++) {
        Pool p = {0};
        const char *ir = read_file(&p, files.gl_pathv[i]);
        cr_assert(ir != NULL);
        const char *got = generate(&p, ir, strstr(files.gl_pathv[i], ".f16.ir") ? DLVK_F16 : DLVK_F32),
                   *path = pool_printf(&p, "%.*s.golden", (int)strlen(files.gl_pathv[i]) - 3, files.gl_pathv[i]);
        if (getenv("DLVK_UPDATE_GOLDENS")) {
            FILE *f = fopen(path, "w");
            cr_assert(f && fputs(got, f) >= 0 && fclose(f) == 0, "%s", path);
        } else {
            const char *want = read_file(&p, path);
            cr_expect(want != NULL, "%s is missing", path);
            if (want && strcmp(want, got)) report(path, want, got);
        }
        pool_free(&p);
    }
    globfree(&files);
}
