/* Map kernels: one invocation an element, or a 32-bit word of elements; see shader.h. */
#include <string.h>

#include "codegen/prelude.h"
#include "codegen/shader.h"
#include "dlvk/runtime.h"

enum {
    GROUP = 128,
    ENOUGH = 1 << 14 /* invocations */
};

/* Elements that each invocation computes: a CPU driver pays for every workgroup, a GPU hides latency by having many. */
static uint32_t items_for(const Dim *count, bool scalar)
{
    int64_t n, items;
    if (!dim_is_const(count, &n)) return scalar ? 8 : 1;
    items = scalar ? n / (GROUP * 8) : n / (GROUP * 8192);
    return (uint32_t)(items < 1 ? 1 : items > 32 ? 32 : items);
}

/* The elements number i of all outputs. Everything is computed before anything is stored: an output may take the place of
 * something that another is computed from (codegen/states.c). */
static void compute_outputs(Shader *s, const Ix *i)
{
    const Kernel *k = s->kg->kernel;
    const char **x = POOL_ARRAY(s->pool, const char *, k->out.n);
    for (int o = 0; o < k->out.n; o++) x[o] = emit_stored(s, k->out.at[o], index_of_flat(s, k->out.at[o]->type, i));
    for (int o = 0; o < k->out.n; o++) {
        Index at = index_of_flat(s, k->out.at[o]->type, i);
        emit_store(s, k->out.at[o], ix_text(s, index_memory(s, k->out.at[o], &at)), x[o]);
    }
}

/* The number of pieces of work; of parts, whose text must not depend on what other sizes this happens to be equal to, an argument
 * of its own. */
static const char *limit(Shader *s, const Dim *count)
{
    return s->kg->parts ? arg_size(s, count, "limit") : arg_int(s, count);
}

static void write_map(KernelGen *kg, bool scalar)
{
    Shader *s = shader_new(kg, scalar ? DLVK_FEATURE_SCALAR : 0);
    DimTable *dt = &s->ctx->dims;
    Value *v = kg->kernel->out.at[0];
    const Dim *count = type_count(s->ctx, v->type);
    /* Of a part, the words at its ends belong to others as well. */
    int per = kg->sched->part[v->id].whole ? 1 : storage_per_word(kg, v), bits = 32 / per;
    const Dim *words = per == 1 ? count : dim_ceildiv(dt, count, dim_const(dt, per));
    uint32_t items = items_for(kg->items ? kg->items : words, scalar);

    *VEC_PUSH(s->pool, s->spec) = items;
    sh_decl(s, "layout(constant_id = 0) const uint ITEMS = 1;");
    s->local[0] = GROUP;
    s->grid[0] = dim_ceildiv(dt, words, dim_const(dt, (int64_t)GROUP * items));

    sh_line(s, "uint first = %s * ITEMS * %du + gl_LocalInvocationID.x;", group_number(s), GROUP);
    sh_open(s, "for (uint item = 0; item < ITEMS; item++) {");
    sh_line(s, "int i = int(first + item * %du);", GROUP);
    sh_line(s, "if (i >= %s) break;", limit(s, words));
    if (per == 1) {
        compute_outputs(s, ix_var(s, "i", count));
    } else {
        /* The elements of one word in turn, for stores below 32 bits would race. */
        sh_line(s, "uint word = 0;");
        sh_open(s, "for (int part = 0; part < %d; part++) {", per);
        sh_line(s, "int e = i * %d + part;", per);
        sh_line(s, "if (e >= %s) break;", arg_int(s, count));
        const char *x = emit_stored(s, v, index_of_flat(s, v->type, ix_var(s, "e", count)));
        sh_line(s, "word |= %s << (part * %d);", emit_bits(s, v->type.dtype, x), bits);
        sh_close(s);
        sh_line(s, "%s.d[i] = word;", arg_buffer(s, v, true, "BufU32"));
    }
    sh_close(s);
}

/* On a CPU driver, a load is a vector load where eight lanes are seen to read neighbours: so a workgroup is one vector, and
 * everything but the lane's number is the same in all of it. False: there is no such view of the elements. */
static bool write_vectors(KernelGen *kg)
{
    DimTable *dt = &kg->ctx->dims;
    Value *v = kg->kernel->out.at[0];
    const Dim *count = type_count(kg->ctx, v->type), *eight = dim_const(dt, 8);
    if (storage_per_word(kg, v) > 2 || !dim_is(dim_mod(dt, count, eight), 0) || dim_is(count, 0)) return false;
    const Dim *blocks = dim_floordiv(dt, count, eight);
    int64_t n;
    uint32_t items = 16;
    if (dim_is_const(kg->items ? dim_floordiv(dt, kg->items, eight) : blocks, &n))
        items = (uint32_t)(n < 32 ? 1 : n < 8192 ? n / 16 : 512);

    Shader *s = shader_new(kg, CPU_VECTORS);
    *VEC_PUSH(s->pool, s->spec) = items;
    s->local[0] = 8;
    s->grid[0] = dim_ceildiv(dt, blocks, dim_const(dt, items));
    sh_decl(s, "layout(constant_id = 0) const uint ITEMS = 1; /* vectors that a workgroup computes */");
    sh_decl(s, "uint lane;");
    /* The subgroup's number where it can be: lavapipe knows then that lanes differ by one. */
    sh_line(s, "lane = gl_SubgroupSize == 8 ? gl_SubgroupInvocationID : gl_LocalInvocationID.x;");
    sh_line(s, "int lane_number = int(lane), first = int(%s * ITEMS);", group_number(s));
    sh_line(s, "int last = min(first + int(ITEMS), %s);", limit(s, blocks));
    const char *block = sh_loop(s, "block", "first", "last", "1");
    s->vector = ix_var(s, "lane_number", eight);
    const Ix *i = ix_add(s, ix_mul(s, ix_var(s, block, blocks), eight), s->vector);
    compute_outputs(s, i);
    sh_close(s);
    const char *functions = neighbours_used(s->pool, s->body.at);
    if (*functions) sh_decl(s, "%s", functions);
    return true;
}

/* Neighbouring elements that an invocation of a GPU computes, 16 bytes of the result where that leaves enough invocations; 0: no
 * such view. */
static int strip_width(KernelGen *kg, const Value *v, const Dim *count)
{
    DimTable *dt = &kg->ctx->dims;
    int per = storage_per_word(kg, v), width = per > 1 ? 8 : dtype_bits(v->type.dtype) == 64 ? 2 : 4;
    int64_t n;
    while (!kg->parts && width > per && dim_is_const(count, &n) && n / width < ENOUGH) width /= 2;
    while (width >= per && !dim_is(dim_mod(dt, count, dim_const(dt, width)), 0)) width /= 2;
    return width >= per && width > 1 ? width : 0;
}

bool gen_strips(KernelGen *kg)
{
    DimTable *dt = &kg->ctx->dims;
    const Kernel *k = kg->kernel;
    const Dim *count = type_count(kg->ctx, k->out.at[0]->type);
    int width = strip_width(kg, k->out.at[0], count), args = kg->args.n;
    if (!width) return false;
    const Dim *w = dim_const(dt, width), *strips = dim_floordiv(dt, count, w);
    Shader *s = shader_new(kg, STRIPS);
    s->twin = TWIN_NATIVE;
    s->local[0] = GROUP;
    s->grid[0] = dim_ceildiv(dt, strips, dim_const(dt, GROUP));
    strip_begin(s, width, "WIDTH");
    sh_line(s, "int strip = int(%s * %du + gl_LocalInvocationID.x);", group_number(s), GROUP);
    sh_line(s, "if (strip >= %s) return;", limit(s, strips));
    const Ix *i = ix_add(s, ix_mul(s, ix_var(s, "strip", strips), w), s->strip.j);
    const char **x = POOL_ARRAY(s->pool, const char *, k->out.n);
    for (int o = 0; o < k->out.n; o++) x[o] = strip_declare(s, glsl_class(k->out.at[o]->type.dtype), NULL, true);
    strip_open(s);
    for (int o = 0; o < k->out.n; o++)
        sh_line(s, "%s = %s;", x[o], emit_stored(s, k->out.at[o], index_of_flat(s, k->out.at[o]->type, i)));
    strip_close(s);
    /* What is scattered over memory anyway is as well loaded by one invocation, so that it stores whole words. */
    bool ok = s->strip.elements - (storage_per_word(kg, k->out.at[0]) > 1 ? s->strip.scattered : 0) <= s->strip.vectors;
    for (int o = 0; o < k->out.n && ok; o++) {
        Index at = index_of_flat(s, k->out.at[o]->type, i);
        ok = strip_store(s, k->out.at[o], index_memory(s, k->out.at[o], &at), x[o]);
    }
    if (ok) return true;
    kg->variants.n--;
    kg->args.n = args;
    return false;
}

bool gen_map(KernelGen *kg)
{
    if (!write_vectors(kg)) write_map(kg, true);
    bool strips = gen_depthwise(kg) || (gen_tiles(kg) && !kg->variants.at[kg->variants.n - 1]->when) || gen_strips(kg);
    write_map(kg, false);
    if (strips) kg->variants.at[kg->variants.n - 1]->twin = TWIN_PLAIN;
    return true;
}
