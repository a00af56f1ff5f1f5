/* One kernel's dispatch: its variants' code, its arguments, what it reads and writes. */
#include <string.h>

#include "codegen/plan.h"
#include "dlvk/runtime.h"

static bool generate(KernelGen *kg)
{
    switch (kg->kernel->arch) {
    case ARCH_MAP: return gen_map(kg);
    case ARCH_ROWS: return gen_rows(kg);
    case ARCH_CONTRACT: return gen_contract(kg);
    case ARCH_ATTENTION: return gen_attention(kg);
    case ARCH_SORT: return gen_sort(kg);
    case ARCH_SCATTER: return gen_scatter(kg);
    case ARCH_COMPACT: return gen_compact(kg);
    case ARCH_CUMULATE: return gen_cumulate(kg);
    }
    return false;
}

/* A name for a comment of one line. */
static const char *in_comment(Pool *p, const char *name)
{
    char *s = pool_strdup(p, name ? name : "?");
    for (char *c = s; *c; c++)
        if ((unsigned char)*c < ' ' || *c == '\\') *c = '?';
    return s;
}

/* "// node 'Conv_3' (Conv)" above main(): the source names the model's nodes it came from. */
static const char *with_origins(Pool *p, const Kernel *k, const char *glsl)
{
    const char *main_at = strstr(glsl, "\nvoid main()");
    if (!main_at) return glsl;
    const char *lines = "";
    for (int i = 0; i < k->origins.n; i++)
        lines =
            pool_printf(p, "%s// %s (%s)\n", lines, in_comment(p, k->origins.at[i]->name), in_comment(p, k->origins.at[i]->op));
    return pool_printf(p, "%.*s\n%s%s", (int)(main_at - glsl), glsl, lines, main_at + 1);
}

static bool on_matrices(const PlanBuilder *b, const Dlvk__Plan__Variant *v)
{
    return b->modules.at[b->pipelines.at[v->pipeline]->module].features & DLVK_FEATURE_COOPMAT;
}

/* What a device would not pick is left out where the device is known, which saves most of the shader compiler's time. */
static void add_variant(PlanBuilder *b, Dlvk__Plan__Dispatch *d, const Kernel *k, KernelVariant *v, bool last)
{
    const dlvk_device_info *dev = b->device;
    if (dev) {
        bool fits = !(v->features & ~dev->features) && v->push_bytes <= dev->push_constant_bytes;
        const Dlvk__Plan__Variant *before = d->n_variant ? d->variant[d->n_variant - 1] : NULL;
        /* Behind matrix units goes what they are tested against, and what runs where they fail (runtime/proof.h). */
        bool beside = before && !before->when && !v->when && on_matrices(b, before) && !(v->features & DLVK_FEATURE_COOPMAT);
        if ((before && !before->when && !beside) || (!fits && !last)) return;
        if (before && v->when && before->when == plan_expr(b, v->when) + 1) return; /* the same for lesser devices */
    }
    v->glsl = with_origins(b->pool, k, v->glsl);
    Dlvk__Plan__Variant *m = PLAN_NEW(b, Variant, variant);
    m->pipeline = plan_pipeline(b, plan_module(b, v, k->name), v);
    m->n_grid = 3;
    m->grid = POOL_ARRAY(b->pool, uint32_t, 3);
    for (int i = 0; i < 3; i++) m->grid[i] = plan_expr(b, v->grid[i]);
    m->indirect = v->indirect;
    m->when = v->when ? plan_expr(b, v->when) + 1 : 0;
    m->bound = v->bound;
    if (v->covers) {
        m->n_covers = 1;
        m->covers = POOL_ARRAY(b->pool, uint32_t, 1);
        m->covers[0] = plan_step_of(b, k->before) - 1;
    }
    d->variant[d->n_variant++] = *VEC_PUSH(b->pool, b->variants) = m;
}

/* The buffers of a kernel's own. Counters count as read only: no other kernel touches these, and none shall wait for them. */
static void own_buffer(PlanBuilder *b, Dlvk__Plan__Dispatch *d, const KernelArg *a, Dlvk__Plan__BufferRef *ref)
{
    if (a->dim) {
        ref->buffer = plan_scratch(b, a->dim, "partial sums");
        d->reads[d->n_reads++] = d->writes[d->n_writes++] = ref->buffer;
    } else {
        int64_t at = plan_counters(b, a->bytes, &ref->buffer);
        d->reads[d->n_reads++] = ref->buffer;
        ref->offset = plan_expr(b, dim_const(&b->ctx->dims, at)) + 1;
    }
}

static Dlvk__Plan__Arg *make_arg(PlanBuilder *b, Dlvk__Plan__Dispatch *d, const KernelArg *a)
{
    Dlvk__Plan__Arg *m = PLAN_NEW(b, Arg, arg);
    if (a->kind == ARG_BUFFER) {
        m->kind_case = DLVK__PLAN__ARG__KIND_ADDRESS;
        m->address = PLAN_NEW(b, BufferRef, buffer_ref);
        if (a->buffer)
            m->address->buffer = plan_buffer(b, a->buffer);
        else
            own_buffer(b, d, a, m->address);
    } else if (a->kind == ARG_INT) {
        m->kind_case = DLVK__PLAN__ARG__KIND_VALUE;
        m->value = plan_expr(b, a->dim);
    } else {
        m->kind_case = DLVK__PLAN__ARG__KIND_DIVISOR;
        m->divisor = plan_expr(b, a->dim);
    }
    return m;
}

/* Operations and bytes, for profiles: a contraction's multiplications and additions, else one for each element of the largest
 * value. */
static const Dim *count_flops(Context *c, const Kernel *k)
{
    DimTable *dt = &c->dims;
    const Dim *n = type_count(c, k->out.n ? k->out.at[0]->type : k->anchor->out[0]->type);
    if (k->arch == ARCH_ROWS) return dim_mul(dt, type_count(c, k->reduces.at[0]->in[0]->type), dim_const(dt, k->reduces.n));
    if (k->arch == ARCH_ATTENTION) {
        const Type q = k->attention->qk->in[0]->type, s = k->attention->qk->out[0]->type, v = k->anchor->out[0]->type;
        return dim_mul(dt, type_count(c, s), dim_mul(dt, dim_const(dt, 2), dim_add(dt, q.dim[q.rank - 1], v.dim[v.rank - 1])));
    }
    if (k->arch != ARCH_CONTRACT) return n;
    const Node *a = k->anchor;
    n = dim_mul(dt, type_count(c, a->out[0]->type), dim_const(dt, 2));
    if (a->op == OP_DOT) return dim_mul(dt, n, a->in[0]->type.dim[a->in[0]->type.rank - 1]);
    for (int i = 0; i < a->in[1]->type.rank - 1; i++) n = dim_mul(dt, n, a->in[1]->type.dim[i]);
    return n;
}

/* Buffers of which each is listed once. */
static void add_buffers(PlanBuilder *b, uint32_t *list, size_t *n, Value *const *v, int n_v)
{
    for (int i = 0; i < n_v; i++) {
        uint32_t buffer = plan_buffer(b, v[i]);
        size_t k = 0;
        while (k < *n && list[k] != buffer) k++;
        if (k == *n) list[(*n)++] = buffer;
    }
}

static void add_variants(PlanBuilder *b, Dlvk__Plan__Dispatch *d, const Kernel *k, KernelGen *kg, const Dim *const *groups)
{
    for (int i = 0; i < kg->variants.n; i++) {
        Shader *s = kg->variants.at[i];
        uint32_t features = s->features;
        KernelVariant v;
        /* 64-bit integers, doubles, f16, 16-bit loads and stores: native where the device has them, emulated beside it. */
        if (s->twin != TWIN_PLAIN)
            s->features = features | DLVK_FEATURE_INT64 | DLVK_FEATURE_FLOAT64 | DLVK_FEATURE_FLOAT16 | DLVK_FEATURE_STORAGE16;
        if (groups) s->grid[0] = groups[i];
        shader_finish(s, &v);
        if (s->twin == TWIN_BOTH && (v.features & ~features)) {
            add_variant(b, d, k, &v, false);
            s->features = features;
            shader_finish(s, &v);
        }
        add_variant(b, d, k, &v, i == kg->variants.n - 1 && !s->covers);
    }
}

static void add_args(PlanBuilder *b, Dlvk__Plan__Dispatch *d, const KernelGen *kg, Dlvk__Plan__Arg **to, size_t *n)
{
    int bytes = 0;
    for (int pass = 0; pass < 2; pass++)
        for (int i = 0; i < kg->args.n; i++) {
            const KernelArg *a = &kg->args.at[i];
            if ((a->kind == ARG_BUFFER) != (pass == 0)) continue;
            to[(*n)++] = make_arg(b, d, a);
            bytes += a->kind == ARG_BUFFER ? 8 : a->kind == ARG_INT ? 4 : 12;
        }
    if (!kg->parts || bytes % 8 == 0) return;
    Dlvk__Plan__Arg *m = to[(*n)++] = PLAN_NEW(b, Arg, arg); /* the table's stride */
    m->kind_case = DLVK__PLAN__ARG__KIND_VALUE;
    m->value = plan_expr(b, dim_const(&b->ctx->dims, 0));
}

/* The variants that do another kernel's work as well, which come first, with the arguments and reads of their own. */
static void add_covering(PlanBuilder *b, Dlvk__Plan__Dispatch *d, const Kernel *k, KernelGen *kg)
{
    Dlvk__Plan__Arg **args = POOL_ARRAY(b->pool, Dlvk__Plan__Arg *, kg->args.n + 1);
    size_t n = 0;
    add_variants(b, d, k, kg, NULL);
    if (!d->n_variant) return;
    add_buffers(b, d->reads, &d->n_reads, kg->reads.at, kg->reads.n);
    add_buffers(b, d->writes, &d->n_writes, kg->writes.at, kg->writes.n);
    add_args(b, d, kg, args, &n);
    for (size_t i = 0; i < d->n_variant; i++) d->variant[i]->arg = args, d->variant[i]->n_arg = n;
}

/* The part of kernel k, at number `i` of those in its dispatch. */
static const Kernel *part_of(const Kernel *k, int i)
{
    return i ? k->parts.at[i - 1] : k;
}

/* Generates every part, with the workgroups that come before its own; the whole grids go to `groups`. */
static bool generate_parts(PlanBuilder *b, const Kernel *k, KernelGen *kg, const Dim **groups)
{
    DimTable *dt = &b->ctx->dims;
    const Dim *items = dim_const(dt, 0);
    int n = 1 + k->parts.n, before = b->ctx->diag.errors;
    for (int i = 0; i < n; i++) items = dim_add(dt, items, type_count(b->ctx, part_of(k, i)->out.at[0]->type));
    for (int i = 0; i < n; i++) {
        kg[i] = (KernelGen){.ctx = b->ctx,
                            .pool = b->pool,
                            .sched = b->s,
                            .kernel = part_of(k, i),
                            .strings = b->strings,
                            .loose = b->loose,
                            .parts = n > 1,
                            .items = n > 1 ? items : NULL};
        if (!generate(&kg[i]) || b->ctx->diag.errors > before) return false;
        for (int v = 0; n > 1 && v < kg[i].variants.n; v++) {
            if (i == 0) groups[v] = dim_const(dt, 0);
            arg_first_group(&kg[i], v, groups[v]);
            groups[v] = dim_add(dt, groups[v], kg[i].variants.at[v]->grid[0]);
        }
    }
    return true;
}

Dlvk__Plan__Dispatch *plan_dispatch(PlanBuilder *b, const Kernel *k)
{
    int n = 1 + k->parts.n, args = 0, buffers;
    KernelGen *kg = POOL_ARRAY(b->pool, KernelGen, n);
    const Dim *groups[MAX_PART_VARIANTS];
    b->ctx->origin = k->origins.n ? k->origins.at[0] : NULL;
    KernelGen covering = {.ctx = b->ctx, .pool = b->pool, .sched = b->s, .kernel = k, .strings = b->strings, .loose = b->loose};
    if (k->before && plan_step_of(b, k->before)) gen_expand(&covering);
    if (!generate_parts(b, k, kg, groups)) return NULL;

    Dlvk__Plan__Dispatch *d = PLAN_NEW(b, Dispatch, dispatch);
    d->name = pool_strdup(b->pool, k->name);
    d->parts = n > 1 ? (uint32_t)n : 0;
    buffers = covering.reads.n + covering.writes.n;
    for (int i = 0; i < n; i++) {
        args += kg[i].args.n + 1;
        buffers += kg[i].reads.n + kg[i].writes.n + kg[i].args.n; /* and its own */
    }
    d->reads = POOL_ARRAY(b->pool, uint32_t, buffers);
    d->writes = POOL_ARRAY(b->pool, uint32_t, buffers);
    d->arg = POOL_ARRAY(b->pool, Dlvk__Plan__Arg *, args);
    d->variant = POOL_ARRAY(b->pool, Dlvk__Plan__Variant *, 2 * (covering.variants.n + kg[0].variants.n));
    add_covering(b, d, k, &covering);
    add_variants(b, d, k, &kg[0], n > 1 ? groups : NULL);
    const Dim *bytes = dim_const(&b->ctx->dims, 0), *flops = bytes;
    for (int i = 0; i < n; i++) {
        const Kernel *part = part_of(k, i);
        add_buffers(b, d->reads, &d->n_reads, kg[i].reads.at, kg[i].reads.n);
        add_buffers(b, d->writes, &d->n_writes, kg[i].writes.at, kg[i].writes.n);
        for (int r = 0; r < kg[i].reads.n; r++) bytes = dim_add(&b->ctx->dims, bytes, plan_value_bytes(b, kg[i].reads.at[r]));
        for (int w = 0; w < kg[i].writes.n; w++) bytes = dim_add(&b->ctx->dims, bytes, plan_value_bytes(b, kg[i].writes.at[w]));
        flops = dim_add(&b->ctx->dims, flops, count_flops(b->ctx, part));
    }
    for (int i = 0; i < n; i++) add_args(b, d, &kg[i], d->arg, &d->n_arg);
    for (int i = 0; i < n; i++) {
        const Kernel *part = part_of(k, i);
        uint32_t *source = POOL_ARRAY(b->pool, uint32_t, d->n_source + (size_t)part->origins.n);
        if (d->n_source) memcpy(source, d->source, d->n_source * sizeof *source);
        d->source = source;
        for (int o = 0; o < part->origins.n; o++) d->source[d->n_source++] = plan_source(b, part->origins.at[o]);
    }
    d->flops = plan_expr(b, flops);
    d->bytes = plan_expr(b, bytes);
    return d;
}

const char *kernel_text(PlanBuilder *b, const Kernel *k)
{
    KernelGen kg = {.ctx = b->ctx,
                    .pool = b->pool,
                    .sched = b->s,
                    .kernel = k,
                    .strings = b->strings,
                    .loose = b->loose,
                    .parts = true,
                    .items = dim_const(&b->ctx->dims, 1)};
    if (!generate(&kg) || kg.variants.n > MAX_PART_VARIANTS) return NULL;
    for (int v = 0; v < kg.variants.n; v++) arg_first_group(&kg, v, dim_const(&b->ctx->dims, 0));
    const char *text = "";
    for (int i = 0; i < kg.variants.n; i++) {
        KernelVariant v;
        for (int d = 1; d < 3; d++)
            if (!dim_is(kg.variants.at[i]->grid[d], 1)) return NULL;
        shader_finish(kg.variants.at[i], &v);
        if (v.when) return NULL;
        text = pool_printf(b->pool, "%s%u ", text, v.features);
        for (int c = 0; c < v.n_spec; c++) text = pool_printf(b->pool, "%s%u ", text, v.spec[c]);
        text = pool_printf(b->pool, "%s\n%s", text, v.glsl);
    }
    return text;
}
