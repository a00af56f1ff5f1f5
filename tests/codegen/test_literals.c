/* Kernels that differ in scalar constants alone share a module (codegen/literals.c): how many modules and pipelines there are,
 * and that each kernel computes with its own constants. All values are such that f32 computes them exactly. */
#include <criterion/criterion.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "frontend/compile.h"
#include "ir/eval.h"
#include "tests/codegen/gpu.h"

enum { ROWS = 8, SIZE = 64, COUNT = ROWS * SIZE };
#define TYPE "f32[8,64]"

/* y = dequantize(quantize(x . w)), with scale and zero point of this layer's own. */
static const char *layer(Pool *p, const char *x, const char *y, int number)
{
    static const char *const scale[] = {"0.5", "2", "0.25", "4", "8", "0.125"};
    static const char text[] = "%d@ = dot(%#, %w);\n"
                               "%s@: " TYPE " = const() {value=" TYPE " splat {$}};\n"
                               "%z@: " TYPE " = const() {value=" TYPE " splat {!}};\n"
                               "%i@: i32[8,64] = const() {value=i32[8,64] splat {!}};\n"
                               "%lo@: " TYPE " = const() {value=" TYPE " splat {0}};\n"
                               "%hi@: " TYPE " = const() {value=" TYPE " splat {255}};\n"
                               "%a@ = div(%d@, %s@);\n%b@ = round(%a@);\n%c@ = add(%b@, %z@);\n"
                               "%e@ = max(%c@, %lo@);\n%f@ = min(%e@, %hi@);\n%q@: i32[8,64] = cast(%f@) {dtype=i32};\n"
                               "%r@ = sub(%q@, %i@);\n%t@: " TYPE " = cast(%r@) {dtype=f32};\n%@ = mul(%t@, %s@);\n";
    const char *zero = pool_printf(p, "%d", 100 + number);
    char *out = pool_alloc(p, 4 * sizeof text), *to = out;
    for (const char *at = text; *at; at++) {
        const char *put = *at == '@' ? y : *at == '#' ? x : *at == '$' ? scale[number % 6] : *at == '!' ? zero : NULL;
        to += put ? sprintf(to, "%s", put) : (*to = *at, 1);
    }
    *to = 0;
    return out;
}

static Graph *parse(Pool *p, const char *text)
{
    Context *c = context_new(p);
    Graph *g = graph_parse(c, text);
    cr_assert(g && !c->diag.errors, "%s\n%s", c->diag.lines.n ? c->diag.lines.at[0] : "not parsed", text);
    return g;
}

static const char *chain(Pool *p, int layers)
{
    const char *text = "graph \"g\" {\ninput %x \"x\": " TYPE ";\ninput %w \"w\": f32[64,64];\n", *x = "x";
    for (int i = 0; i < layers; i++) {
        const char *y = pool_printf(p, "y%d", i);
        text = pool_printf(p, "%s%s", text, layer(p, x, y, i));
        x = y;
    }
    return pool_printf(p, "%soutput \"y\" = %%%s;\n}\n", text, x);
}

/* Compiles and counts the modules; those with a constant of a layer's, too. */
static void *compile(Pool *p, Graph *g, size_t *size, int *modules, int *sharing)
{
    dlvk_compile_options o = DLVK_COMPILE_OPTIONS_INIT;
    char dir[] = "/tmp/dlvk_literals_XXXXXX";
    cr_assert_not_null(mkdtemp(dir));
    o.dump_glsl = dir;
    void *bundle;
    dlvk_error err;
    glob_t files;
    cr_assert_eq(compile_graph_to_memory(g, &bundle, size, &o, &err), DLVK_OK, "%s", err.text);
    cr_assert_eq(glob(pool_printf(p, "%s/*.comp", dir), 0, NULL, &files), 0);
    *modules = (int)files.gl_pathc, *sharing = 0;
    for (size_t i = 0; i < files.gl_pathc; i++) {
        char *text = pool_alloc(p, 1 << 17);
        FILE *f = fopen(files.gl_pathv[i], "r");
        cr_assert(f && fread(text, 1, (1 << 17) - 1, f));
        fclose(f);
        *sharing += strstr(text, "const float K0 = ") || strstr(text, "    float K0;\n");
        cr_expect_null(strpbrk(text, "\1\2"));
        unlink(files.gl_pathv[i]);
    }
    globfree(&files);
    rmdir(dir);
    return bundle;
}

/* The pipelines that CPU drivers use. */
static int cpu_pipelines(const void *bundle, size_t size)
{
    char *json;
    dlvk_error err;
    bool seen[256] = {0};
    int n = 0;
    cr_assert_eq(dlvk_bundle_describe_memory(bundle, size, &json, &err), DLVK_OK, "%s", err.text);
    for (char *line = strtok(json, "\n"); line; line = strtok(NULL, "\n")) {
        const char *number = strstr(line, "{\"pipeline\": ");
        if (!number || !strstr(line, "\"scalar\"")) continue;
        int i = atoi(number + strlen("{\"pipeline\": "));
        cr_assert(i >= 0 && i < 256);
        n += !seen[i];
        seen[i] = true;
    }
    free(json);
    return n;
}

/* On the device, with and without its features for CPU drivers, against the interpreter: the same numbers. */
static void check(Pool *p, Graph *g, const void *bundle, size_t size, int inputs)
{
    static float x[COUNT], w[SIZE * SIZE], y[COUNT];
    bool yes = true;
    for (int i = 0; i < COUNT; i++) x[i] = (float)(i * 37 % 41 - 20);
    for (int i = 0; i < SIZE * SIZE; i++) w[i] = (float)(i * 29 % 7 % 3 - 1);
    const Tensor *in[] = {tensor_new(p, DLVK_F32, 2, (int64_t[]){ROWS, SIZE}, x),
                          tensor_new(p, DLVK_F32, 2, (int64_t[]){SIZE, SIZE}, w), tensor_new(p, DLVK_BOOL, 0, NULL, &yes)},
                 *want;
    cr_assert(graph_eval(g, in, &want, true, p));
    for (int gpu = 0; gpu < 2; gpu++) {
        dlvk_device *d = gpu_device();
        dlvk_load_options o = DLVK_LOAD_OPTIONS_INIT;
        dlvk_error err;
        dlvk_model *m;
        dlvk_session *s;
        if (!d) cr_skip_test("no Vulkan device");
        if (gpu) dlvk_device_disable(d, DLVK_FEATURE_SCALAR);
        o.cache = "";
        cr_assert_eq(dlvk_model_load_memory(d, bundle, size, &o, &m, &err), DLVK_OK, "%s", err.text);
        cr_assert_eq(dlvk_session_create(m, &s, &err), DLVK_OK, "%s", err.text);
        cr_assert_eq(dlvk_session_set_input(s, "x", (int64_t[]){ROWS, SIZE}, 2, x, sizeof x, &err), DLVK_OK, "%s", err.text);
        cr_assert_eq(dlvk_session_set_input(s, "w", (int64_t[]){SIZE, SIZE}, 2, w, sizeof w, &err), DLVK_OK, "%s", err.text);
        if (inputs > 2) cr_assert_eq(dlvk_session_set_input(s, "yes", NULL, 0, &yes, 1, &err), DLVK_OK, "%s", err.text);
        cr_assert_eq(dlvk_session_run(s, &err), DLVK_OK, "%s", err.text);
        cr_assert_eq(dlvk_session_get_output(s, "y", y, sizeof y, &err), DLVK_OK, "%s", err.text);
        int different = 0, other = 0;
        for (int i = 0; i < COUNT; i++) {
            different += y[i] != (float)elem_get_f(want->dtype, want->data, i);
            other += y[i] != y[0];
        }
        cr_expect_eq(different, 0, "%d elements differ", different);
        cr_expect(other, "all elements are the same, which shows nothing");
        dlvk_session_free(s);
        dlvk_model_free(m);
        dlvk_device_close(d);
    }
}

Test(literals, layers_share_modules, .timeout = 120)
{
    Pool p = {0};
    int few, many, sharing;
    size_t size;
    void *bundle = compile(&p, parse(&p, chain(&p, 1)), &size, &few, &sharing);
    cr_expect_eq(sharing, 0, "a layer alone keeps its literals");
    int pipelines = cpu_pipelines(bundle, size);
    cr_expect_gt(pipelines, 0);
    dlvk_free(bundle);
    Graph *g = parse(&p, chain(&p, 10));
    bundle = compile(&p, g, &size, &many, &sharing);
    cr_expect_eq(cpu_pipelines(bundle, size), pipelines);
    cr_expect_eq(many, few, "10 layers have %d modules, one has %d", many, few);
    cr_expect_eq(sharing, many);
    check(&p, g, bundle, size, 2);
    dlvk_free(bundle);
    pool_free(&p);
}

/* In a branch of a loop's body, and behind the loop. */
Test(literals, in_branches_and_loops, .timeout = 120)
{
    Pool p = {0};
    const char *text =
        pool_printf(&p,
                    "graph \"g\" {\ninput %%x \"x\": " TYPE ";\ninput %%w \"w\": f32[64,64];\ninput %%yes \"yes\": bool[];\n"
                    "%%three: i64[] = const() {value=i64[] {3}};\n%%go: bool[] = const() {value=bool[] {1}};\n"
                    "%%last = loop(%%three, %%go, %%x) region(%%i: i64[], %%v: " TYPE ") {\n"
                    "%%next = if(%%yes) region() {\n%syield %%p;\n} region() {\n%syield %%q;\n};\nyield %%go, "
                    "%%next;\n};\n%soutput \"y\" = %%y;\n}\n",
                    layer(&p, "v", "p", 0), layer(&p, "v", "q", 1), layer(&p, "last", "y", 2));
    Graph *g = parse(&p, text);
    int modules, sharing;
    size_t size;
    void *bundle = compile(&p, g, &size, &modules, &sharing);
    cr_expect_gt(sharing, 0);
    check(&p, g, bundle, size, 3);
    dlvk_free(bundle);
    pool_free(&p);
}
