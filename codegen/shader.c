/* Text, arguments and assembly of one kernel's GLSL; see shader.h. */
#include "codegen/shader.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "codegen/prelude.h"
#include "dlvk/runtime.h"

typedef struct Text {
    char *at;
    size_t n, cap;
} Text;

static void text_add(Pool *p, Text *t, const char *s, size_t n)
{
    if (t->n + n + 1 > t->cap) {
        size_t cap = (t->cap ? t->cap * 2 : 1024) + n;
        char *at = pool_alloc(p, cap);
        if (t->n) memcpy(at, t->at, t->n);
        t->at = at;
        t->cap = cap;
    }
    memcpy(t->at + t->n, s, n);
    t->n += n;
    t->at[t->n] = 0;
}

static void text_puts(Pool *p, Text *t, const char *s)
{
    text_add(p, t, s, strlen(s));
}

static void text_indented(Shader *s, const char *line)
{
    Text *t = (Text *)&s->body;
    for (int i = 0; i < s->depth; i++) text_puts(s->pool, t, "    ");
    text_puts(s->pool, t, line);
    text_puts(s->pool, t, "\n");
}

#define FORMAT(line)                                                                                                             \
    va_list ap;                                                                                                                  \
    va_start(ap, fmt);                                                                                                           \
    const char *line = pool_vprintf(s->pool, fmt, ap);                                                                           \
    va_end(ap)

void sh_line(Shader *s, const char *fmt, ...)
{
    FORMAT(line);
    text_indented(s, line);
}

static void scope_push(Shader *s)
{
    *VEC_PUSH(s->pool, s->scopes) = s->next_scope++;
    *VEC_PUSH(s->pool, s->ends) = NULL;
    s->depth++;
}

static void scope_pop(Shader *s)
{
    s->scopes.n--;
    s->ends.n--;
    s->depth--;
}

void sh_open(Shader *s, const char *fmt, ...)
{
    FORMAT(line);
    text_indented(s, line);
    scope_push(s);
}

void sh_else(Shader *s, const char *fmt, ...)
{
    FORMAT(line);
    scope_pop(s);
    text_indented(s, line);
    scope_push(s);
}

void sh_close(Shader *s)
{
    const char *end = s->ends.at[s->ends.n - 1];
    if (end) text_indented(s, end);
    scope_pop(s);
    text_indented(s, "}");
}

const char *sh_loop(Shader *s, const char *stem, const char *from, const char *limit, const char *step)
{
    const char *k = sh_fresh(s, stem);
    sh_open(s, "if (%s < %s) for (int %s = %s;;) {", from, limit, k, from);
    const char *next = strcmp(step, "1") ? sh_printf(s, "(%s += %s)", k, step) : sh_printf(s, "++%s", k);
    s->ends.at[s->ends.n - 1] = sh_printf(s, "if (%s >= %s) break;", next, limit);
    return k;
}

void sh_text(Shader *s, const char *text, size_t n)
{
    text_add(s->pool, (Text *)&s->body, text, n);
}

bool sh_scope_open(const Shader *s, int scope)
{
    for (int i = 0; i < s->scopes.n; i++)
        if (s->scopes.at[i] == scope) return true;
    return false;
}

void sh_decl(Shader *s, const char *fmt, ...)
{
    FORMAT(line);
    text_puts(s->pool, (Text *)&s->decl, line);
    text_puts(s->pool, (Text *)&s->decl, "\n");
}

const char *sh_printf(Shader *s, const char *fmt, ...)
{
    FORMAT(line);
    return line;
}

const char *sh_fresh(Shader *s, const char *stem)
{
    return pool_printf(s->pool, "%s%d", stem, s->next++);
}

/* ---- arguments ---------------------------------------------------------------------------------------------------- */

static bool same_role(const char *a, const char *b)
{
    return a == b || (a && b && strcmp(a, b) == 0);
}

static KernelArg *arg_find(KernelGen *kg, KernelArg want)
{
    int of_kind = 0;
    for (int i = 0; i < kg->args.n; i++) {
        KernelArg *a = &kg->args.at[i];
        if (a->kind != want.kind) continue;
        of_kind++;
        if (a->buffer == want.buffer && a->dim == want.dim && a->write == want.write && same_role(a->role, want.role) &&
            (!want.type || strcmp(a->type, want.type) == 0))
            return a;
    }
    static const char *const form[] = {[ARG_BUFFER] = "a.b%d", [ARG_INT] = "a.n%d", [ARG_DIVISOR] = "a_d%d"};
    snprintf(want.name, sizeof want.name, form[want.kind], of_kind);
    KernelArg *a = VEC_PUSH(kg->pool, kg->args);
    *a = want;
    return a;
}

const char *arg_buffer(Shader *s, Value *v, bool write, const char *type)
{
    KernelGen *kg = s->kg;
    v = schedule_storage(kg->sched, v);
    bool known = false;
    if (write) {
        for (int i = 0; i < kg->writes.n; i++) known |= kg->writes.at[i] == v;
        if (!known) *VEC_PUSH(kg->pool, kg->writes) = v;
    } else {
        for (int i = 0; i < kg->reads.n; i++) known |= kg->reads.at[i] == v;
        if (!known) *VEC_PUSH(kg->pool, kg->reads) = v;
    }
    return pool_strdup(s->pool, arg_find(kg, (KernelArg){.kind = ARG_BUFFER, .buffer = v, .write = write, .type = type})->name);
}

const char *arg_scratch(Shader *s, const Dim *bytes)
{
    return pool_strdup(s->pool,
                       arg_find(s->kg, (KernelArg){.kind = ARG_BUFFER, .write = true, .type = "BufF32", .dim = bytes})->name);
}

const char *arg_counters(Shader *s, int n)
{
    KernelArg want = {.kind = ARG_BUFFER, .write = true, .type = "BufU32", .bytes = 4 * n};
    return pool_strdup(s->pool, arg_find(s->kg, want)->name);
}

const char *arg_int(Shader *s, const Dim *d)
{
    if (dim_is(d, 0)) return "0";
    if (dim_is(d, 1)) return "1";
    if (dim_is(d, -1)) return "(-1)";
    return pool_strdup(s->pool, arg_find(s->kg, (KernelArg){.kind = ARG_INT, .dim = d, .role = s->role})->name);
}

const char *arg_size(Shader *s, const Dim *d, const char *role)
{
    return pool_strdup(s->pool, arg_find(s->kg, (KernelArg){.kind = ARG_INT, .dim = d, .role = role})->name);
}

const char *arg_divisor(Shader *s, const Dim *d)
{
    return pool_strdup(s->pool, arg_find(s->kg, (KernelArg){.kind = ARG_DIVISOR, .dim = d, .role = s->role})->name);
}

static const char *first_group_role(Pool *p, int variant)
{
    return pool_printf(p, "first group of variant %d", variant);
}

void arg_first_group(KernelGen *kg, int variant, const Dim *first)
{
    arg_find(kg, (KernelArg){.kind = ARG_INT, .dim = first, .role = first_group_role(kg->pool, variant)});
}

const char *group_number(const Shader *s)
{
    return s->kg->parts ? "my_group" : GROUP_INDEX;
}

/* ---- assembly ----------------------------------------------------------------------------------------------------- */

Shader *shader_new(KernelGen *kg, uint32_t features)
{
    Shader *s = POOL_NEW(kg->pool, Shader);
    s->kg = kg;
    s->ctx = kg->ctx;
    s->pool = kg->pool;
    s->features = features;
    s->depth = 1;
    s->scopes.n = 0;
    *VEC_PUSH(s->pool, s->scopes) = s->next_scope++;
    *VEC_PUSH(s->pool, s->ends) = NULL;
    for (int i = 0; i < 3; i++) s->grid[i] = dim_const(&kg->ctx->dims, 1);
    s->local[0] = 64;
    s->local[1] = s->local[2] = 1;
    *VEC_PUSH(kg->pool, kg->variants) = s;
    return s;
}

/* Block types that arguments may have: GLSL element type and alignment. */
static const struct BufType {
    const char *name, *elem;
    int align;
} buf_types[] = {
    {"BufF32", "float", 4},  {"BufI32", "int", 4},   {"BufU32", "uint", 4},
    {"BufVec4", "vec4", 16}, {"BufU64", "uvec2", 8}, {"BufUvec4", "uvec4", 16},
};

static void add_buffer_types(Shader *s, Text *t)
{
    for (size_t k = 0; k < sizeof buf_types / sizeof *buf_types; k++) {
        const struct BufType *b = &buf_types[k];
        for (int write = 0; write < 2; write++)
            for (int i = 0; i < s->kg->args.n; i++) {
                const KernelArg *a = &s->kg->args.at[i];
                if (a->kind != ARG_BUFFER || a->write != write || strcmp(a->type, b->name) != 0) continue;
                text_puts(
                    s->pool, t,
                    pool_printf(s->pool,
                                "layout(buffer_reference, std430, buffer_reference_align = %d) %sbuffer %s%s { %s d[]; };\n",
                                b->align, write ? "" : "readonly ", b->name, write ? "W" : "", b->elem));
                break;
            }
    }
}

/* The block's members, addresses first; returns their size. */
static uint32_t add_members(Shader *s, Text *t)
{
    uint32_t bytes = 0;
    for (int pass = 0; pass < 2; pass++)
        for (int i = 0; i < s->kg->args.n; i++) {
            const KernelArg *a = &s->kg->args.at[i];
            const char *id = strchr(a->name, 'a') + 2; /* behind "a." or "a_" */
            if ((a->kind == ARG_BUFFER) != (pass == 0)) continue;
            if (a->kind == ARG_BUFFER) {
                text_puts(s->pool, t, pool_printf(s->pool, "    %s%s %s;\n", a->type, a->write ? "W" : "", id));
                bytes += 8;
            } else if (a->kind == ARG_INT) {
                text_puts(s->pool, t, pool_printf(s->pool, "    int %s;\n", id));
                bytes += 4;
            } else {
                text_puts(s->pool, t, pool_printf(s->pool, "    uint %s_n, %s_m, %s_s;\n", id, id, id));
                bytes += 12;
            }
        }
    return bytes;
}

/* The argument block of a part, the table of them, and the search that main() begins with. */
static const char *add_parts(Shader *s, const char *members, Text *t)
{
    Pool *p = s->pool;
    const KernelGen *kg = s->kg;
    int variant = 0;
    while (kg->variants.at[variant] != s) variant++;
    const char *role = first_group_role(p, variant), *first = "";
    for (int i = 0; i < kg->args.n; i++)
        if (same_role(kg->args.at[i].role, role)) first = kg->args.at[i].name + 2;
    text_puts(p, t, pool_printf(p, "struct Part {\n%s};\n", members));
    text_puts(p, t,
              "layout(buffer_reference, std430, buffer_reference_align = 8) readonly buffer Parts { Part at[]; };\n"
              "layout(push_constant, std430) uniform Push { Parts table; uint n_parts; };\n"
              "uint my_part, my_group;\n"
              "#define a table.at[my_part]\n");
    return pool_printf(
        p,
        "    my_part = 0, my_group = " GROUP_INDEX ";\n"
        "    for (uint end = n_parts; end - my_part > 1;) { /* the last part that begins at or before this workgroup */\n"
        "        uint middle = (my_part + end) / 2;\n"
        "        if (uint(table.at[middle].%s) <= my_group)\n"
        "            my_part = middle;\n"
        "        else\n"
        "            end = middle;\n"
        "    }\n"
        "    my_group -= uint(a.%s);\n",
        first, first);
}

void shader_finish(Shader *s, KernelVariant *out)
{
    const char *search = "";
    Text t = {0}, members = {0}, code = {0};
    Pool *p = s->pool;
    uint32_t packed = add_members(s, &members), bytes = (packed + 7) & ~7u;
    /* GPUs have 256 bytes of push constants (one that has not takes the next variant): arguments in memory cost a read before any
     * other can begin. */
    bool indirect = bytes > (s->features & DLVK_FEATURE_WAVE ? 256 : 128) || s->kg->parts;

    add_buffer_types(s, &code);
    if (bytes == 0) {
        /* A kernel without arguments would have nothing to write to. */
    } else if (s->kg->parts) {
        search = add_parts(s, members.at, &code);
    } else if (indirect) {
        text_puts(p, &code, "layout(buffer_reference, std430, buffer_reference_align = 8) readonly buffer Args {\n");
        text_puts(p, &code, members.at);
        text_puts(p, &code, "};\nlayout(push_constant, std430) uniform Push { Args a; };\n");
    } else {
        text_puts(p, &code, "layout(push_constant, std430) uniform Args {\n");
        text_puts(p, &code, members.at);
        text_puts(p, &code, "} a;\n");
    }
    int divisors = 0;
    for (int i = 0; i < s->kg->args.n; i++)
        if (s->kg->args.at[i].kind == ARG_DIVISOR) {
            text_puts(p, &code,
                      pool_printf(p, "#define a_d%d uvec3(a.d%d_n, a.d%d_m, a.d%d_s)\n", divisors, divisors, divisors, divisors));
            divisors++;
        }
    if (s->local[0])
        text_puts(p, &code,
                  pool_printf(p, "layout(local_size_x = %d, local_size_y = %d, local_size_z = %d) in;\n", s->local[0],
                              s->local[1], s->local[2]));
    if (s->decl.n) text_puts(p, &code, s->decl.at);
    text_puts(p, &code, "\nvoid main()\n{\n");
    text_puts(p, &code, search);
    if (s->body.n) text_puts(p, &code, s->body.at);
    text_puts(p, &code, "}\n");

    text_puts(p, &t,
              "#version 460\n"
              "#extension GL_EXT_buffer_reference : require\n"
              "#extension GL_EXT_buffer_reference_uvec2 : require\n"
              "#extension GL_EXT_control_flow_attributes : require\n"
              "#extension GL_KHR_shader_subgroup_basic : require\n");
    const char *prelude = prelude_for(p, code.at, &s->features);
    text_puts(p, &t, prelude);
    text_puts(p, &t, code.at);

    uint32_t *spec = POOL_ARRAY(p, uint32_t, s->spec.n + 1);
    if (s->spec.n) memcpy(spec, s->spec.at, (size_t)s->spec.n * sizeof *spec);
    *out = (KernelVariant){.glsl = t.at,
                           .features = s->features,
                           .spec = spec,
                           .n_spec = s->spec.n,
                           .grid = {s->grid[0], s->grid[1], s->grid[2]},
                           .when = s->when,
                           .unroll = s->unroll,
                           .covers = s->covers,
                           .bound = s->bound || s->whole[0] || s->whole[1],
                           .push_bytes = s->kg->parts ? 16
                                         : indirect   ? 8
                                                      : bytes,
                           .arg_bytes = indirect ? 0 : packed,
                           .indirect = indirect};
}

const char *neighbours_used(Pool *p, const char *text)
{
    return pool_printf(p, "%s%s", strstr(text, "neighbours(") ? prelude_file("neighbours.glsl") : "",
                       strstr(text, "neighbours16(") ? prelude_file("neighbours16.glsl") : "");
}

/* ---- templates ---------------------------------------------------------------------------------------------------- */

const char *template_fill(Pool *p, const char *name, int n, const Hole *holes)
{
    const char *src = prelude_file(name);
    Text t = {0};
    text_puts(p, &t, "");
    while (*src) {
        const char *hole = strstr(src, "@{");
        if (!hole) {
            text_puts(p, &t, src);
            break;
        }
        const char *line = hole;
        while (line > src && line[-1] != '\n') line--;
        text_add(p, &t, src, (size_t)(hole - src));
        const char *end = strchr(hole, '}');
        size_t len = (size_t)(end - hole - 2);
        const char *text = NULL;
        for (int i = 0; i < n && !text; i++)
            if (strlen(holes[i].name) == len && memcmp(holes[i].name, hole + 2, len) == 0) text = holes[i].text;
        if (!text) text = pool_printf(p, "#error no text for hole %.*s in %s\n", (int)len, hole + 2, name);
        /* A hole alone on its line: every line of the text gets the line's indentation. */
        size_t indent = strspn(line, " ");
        if (line + indent == hole && (end[1] == '\n' || end[1] == 0)) {
            bool first = true;
            while (*text) {
                const char *nl = strchr(text, '\n');
                size_t m = nl ? (size_t)(nl - text) : strlen(text);
                if (!first) {
                    text_puts(p, &t, "\n");
                    for (size_t i = 0; i < indent && m; i++) text_puts(p, &t, " ");
                }
                text_add(p, &t, text, m);
                first = false;
                text += m + (nl ? 1 : 0);
            }
        } else {
            text_puts(p, &t, text);
        }
        src = end + 1;
    }
    return t.at;
}
