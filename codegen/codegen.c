/* The driver of code generation: schedule to plan and blobs; see codegen.h. */
#include "codegen/codegen.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "codegen/plan.h"
#include "codegen/spirv.h"
#include "runtime/footprint.h"

static const SpirvText *find_spirv(const Compiled *c, const ModuleEntry *e)
{
    for (size_t i = 0; i < c->n_spirv; i++)
        if (c->spirv[i].key == e->key && c->spirv[i].push_bytes == e->push_bytes) return &c->spirv[i];
    return NULL;
}

/* SPIR-V for every module; equal texts are compiled once, also those of another program. Fills the modules' messages. */
static bool compile_modules(PlanBuilder *b, const CodegenOptions *o, Compiled *out, Dlvk__Plan__Plan *plan)
{
    int n = b->modules.n, jobs_n = 0;
    SpirvJob *jobs = POOL_ARRAY(b->pool, SpirvJob, n + 1);
    SpirvText *all = realloc(out->spirv, (out->n_spirv + (size_t)n + 1) * sizeof *all);
    if (!all) return diag_error(&b->ctx->diag, DLVK_OUT_OF_MEMORY, "compiling kernels"), false;
    out->spirv = all;
    const size_t before = out->n_spirv;
    for (int i = 0; i < n; i++) {
        const ModuleEntry *e = &b->modules.at[i];
        if (find_spirv(out, e)) continue;
        all[out->n_spirv++] = (SpirvText){.key = e->key, .push_bytes = e->push_bytes};
        jobs[jobs_n++] = (SpirvJob){.name = e->name, .glsl = e->glsl, .optimize = o->optimize, .unroll = e->unroll};
    }
    SpirvOptions so = {.validate = o->validate, .threads = o->threads, .progress = o->progress, .user = o->user};
    bool ok = spirv_compile(jobs, jobs_n, &so);
    for (int j = 0; j < jobs_n; j++) {
        if (jobs[j].error)
            diag_error(&b->ctx->diag, DLVK_INTERNAL, "%s", jobs[j].error);
        else if (!jobs[j].words)
            diag_error(&b->ctx->diag, DLVK_OUT_OF_MEMORY, "compiling kernel '%s'", jobs[j].name);
        free(jobs[j].error);
        all[before + (size_t)j].words = jobs[j].words;
        all[before + (size_t)j].bytes = jobs[j].bytes;
    }
    if (!ok) return false;

    plan->module = POOL_ARRAY(b->pool, Dlvk__Plan__Module *, n);
    for (int i = 0; i < n; i++) {
        ModuleEntry *e = &b->modules.at[i];
        Dlvk__Plan__Module *m = PLAN_NEW(b, Module, module);
        m->name = pool_strdup(b->pool, e->name);
        m->features = e->features;
        m->push_bytes = e->push_bytes;
        const SpirvText *t = find_spirv(out, e);
        m->blob = plan_blob(b, t->words, t->bytes, t->bytes);
        if (o->keep_glsl) m->glsl = plan_blob(b, e->glsl, strlen(e->glsl), strlen(e->glsl)) + 1;
        plan->module[plan->n_module++] = m;
    }
    return true;
}

static void dump_glsl(PlanBuilder *b, const char *dir)
{
    if (mkdir(dir, 0777) && errno != EEXIST) {
        diag_error(&b->ctx->diag, DLVK_IO_ERROR, "%s: %s", dir, strerror(errno));
        return;
    }
    for (int i = 0; i < b->modules.n; i++) {
        char *path = pool_printf(b->pool, "%s/%03d-%s.comp", dir, i, b->modules.at[i].name);
        FILE *f = fopen(path, "w");
        bool ok = f && fputs(b->modules.at[i].glsl, f) >= 0;
        if (f && fclose(f)) ok = false;
        if (!ok) diag_error(&b->ctx->diag, DLVK_IO_ERROR, "%s: %s", path, strerror(errno));
    }
}

static Dlvk__Plan__Tensor *tensor_message(PlanBuilder *b, const char *name, Value *v)
{
    Dlvk__Plan__Tensor *t = PLAN_NEW(b, Tensor, tensor);
    t->name = pool_strdup(b->pool, name ? name : "");
    t->dtype = (uint32_t)v->type.dtype;
    t->n_dim = (size_t)v->type.rank;
    t->dim = POOL_ARRAY(b->pool, uint32_t, v->type.rank);
    for (int i = 0; i < v->type.rank; i++) t->dim[i] = plan_expr(b, v->type.dim[i]);
    t->buffer = plan_buffer(b, v);
    return t;
}

static void add_signature(PlanBuilder *b, Dlvk__Plan__Plan *plan, bool inputs)
{
    Graph *g = b->s->graph;
    int n = (inputs ? g->top->params.n : g->top->results.n) - g->n_states;
    Dlvk__Plan__Tensor **list = POOL_ARRAY(b->pool, Dlvk__Plan__Tensor *, n);
    for (int i = 0; i < n; i++) {
        Value *v = inputs ? g->top->params.at[i] : g->top->results.at[i];
        list[i] = tensor_message(b, inputs ? v->name : g->output_names.at[i], v);
        if (!inputs && g->chance) list[i]->chance = g->chance[i];
        Dlvk__Plan__Buffer *m = b->buffers.at[list[i]->buffer].msg;
        if (!inputs && m->kind == DLVK__PLAN__BUFFER__KIND__ARENA) m->kind = DLVK__PLAN__BUFFER__KIND__OUTPUT;
    }
    if (inputs)
        plan->input = list, plan->n_input = (size_t)n;
    else
        plan->output = list, plan->n_output = (size_t)n;
}

static size_t add_formals(PlanBuilder *b, int n, const Formal *f, Dlvk__Plan__Formal ***list)
{
    *list = POOL_ARRAY(b->pool, Dlvk__Plan__Formal *, n);
    for (int i = 0; i < n; i++) {
        Dlvk__Plan__Formal *m = (*list)[i] = PLAN_NEW(b, Formal, formal);
        m->name = pool_strdup(b->pool, f[i].name ? f[i].name : "");
        m->kind = (Dlvk__Plan__Formal__Kind)f[i].kind;
        m->first = (uint32_t)f[i].first;
        m->count = (uint32_t)f[i].n;
    }
    return (size_t)n;
}

static void add_states(PlanBuilder *b, Dlvk__Plan__Plan *plan)
{
    const Graph *g = b->s->graph;
    plan->state = POOL_ARRAY(b->pool, Dlvk__Plan__Param *, g->n_states);
    for (int i = 0; i < g->n_states; i++) {
        Value *v = g->top->params.at[g->top->params.n - g->n_states + i];
        Dlvk__Plan__Tensor *t = tensor_message(b, v->name, v);
        Dlvk__Plan__Param *m = PLAN_NEW(b, Param, param);
        m->name = t->name;
        m->dtype = t->dtype;
        m->n_dim = t->n_dim;
        m->dim = t->dim;
        m->buffer = t->buffer;
        plan->state[plan->n_state++] = m;
    }
}

static void add_constraints(PlanBuilder *b, Dlvk__Plan__Plan *plan)
{
    plan->constraint = POOL_ARRAY(b->pool, Dlvk__Plan__Constraint *, b->ctx->constraints.n);
    for (int i = 0; i < b->ctx->constraints.n; i++) {
        const Constraint *c = &b->ctx->constraints.at[i];
        Dlvk__Plan__Constraint *m = PLAN_NEW(b, Constraint, constraint);
        m->kind = c->kind == DIM_EQ ? DLVK__PLAN__CONSTRAINT__KIND__EQ : DLVK__PLAN__CONSTRAINT__KIND__LE;
        /* In a branch: times its guard, which has no value (and the constraint no say) unless the branch is taken, and then is 1.
         */
        m->a = plan_expr(b, c->guard ? dim_mul(&b->ctx->dims, c->a, c->guard) : c->a);
        m->b = plan_expr(b, c->guard ? dim_mul(&b->ctx->dims, c->b, c->guard) : c->b);
        m->why = pool_strdup(b->pool, c->why ? c->why : "");
        plan->constraint[plan->n_constraint++] = m;
    }
}

static void *pool_resize(void *pool, void *old, size_t from, size_t to)
{
    void *p = pool_alloc(pool, to);
    return from ? memcpy(p, old, from) : p;
}

static void add_strings(Pool *p, const StringTable *t, Dlvk__Plan__Plan *plan)
{
    if (t->n < 2) return;
    plan->string = POOL_ARRAY(p, ProtobufCBinaryData, t->n - 1);
    for (uint32_t i = 1; i < t->n; i++)
        plan->string[plan->n_string++] = (ProtobufCBinaryData){t->at[i].len, (uint8_t *)(uintptr_t)t->at[i].at};
}

static void add_program(Pool *p, Dlvk__Plan__Plan *to, Dlvk__Plan__Plan *program)
{
    Dlvk__Plan__Plan **list = POOL_ARRAY(p, Dlvk__Plan__Plan *, to->n_program + 1);
    for (size_t i = 0; i < to->n_program; i++) list[i] = to->program[i];
    list[to->n_program++] = program;
    to->program = list;
}

static void begin_plan(PlanBuilder *b, Schedule *s, const CodegenOptions *o, StringTable *strings)
{
    Context *c = s->graph->ctx;
    *strings = (StringTable){.resize = pool_resize, .user = c->pool};
    *b = (PlanBuilder){
        .ctx = c, .pool = c->pool, .s = s, .device = o->device, .strings = strings, .loose = loose_values(c->pool, s)};
    b->buffer_of = POOL_ARRAY(c->pool, int, s->graph->n_values + 1);
}

/* All but the modules, whose GLSL is ready. NULL: errors are in the context. */
static Dlvk__Plan__Plan *make_plan(PlanBuilder *b, const char *program, const CodegenOptions *o)
{
    const Graph *g = b->s->graph;
    Dlvk__Plan__Plan *plan = PLAN_NEW(b, Plan, plan);
    plan->producer = pool_strdup(b->pool, "dlvk " DLVK_VERSION);
    plan->model = pool_strdup(b->pool, g->name ? g->name : "");
    plan->name = pool_strdup(b->pool, program);

    add_signature(b, plan, true);
    for (int i = 0; i < b->s->regions.n; i++) {
        if (o->merge_bytes) plan_merge(b, b->s->regions.at[i], o->merge_bytes);
        if (o->waves) plan_gather_waves(b, b->s->regions.at[i]);
    }
    plan->region = plan_region(b, g->top);
    if (!plan->region) return NULL;
    plan->prepared = b->prepared;
    plan_states(b, plan->region);
    if (o->waves) plan_widen_lives(b, plan->region);
    add_states(b, plan);
    add_signature(b, plan, false);
    const Signature *sig = g->signature;
    if (sig) {
        plan->n_formal_input = add_formals(b, sig->inputs.n, sig->inputs.at, &plan->formal_input);
        plan->n_formal_output = add_formals(b, sig->outputs.n, sig->outputs.at, &plan->formal_output);
    }
    add_constraints(b, plan);
    add_strings(b->pool, b->strings, plan);
    return plan;
}

static void take_tables(PlanBuilder *b, Dlvk__Plan__Plan *plan)
{
    plan->n_symbol = (size_t)b->symbols.n, plan->symbol = b->symbols.at;
    plan->n_expr = (size_t)b->exprs.n, plan->expr = b->exprs.at;
    plan->n_pipeline = (size_t)b->pipelines.n, plan->pipeline = b->pipelines.at;
    plan->n_source = (size_t)b->sources.n, plan->source = b->sources.at;
    plan->n_buffer = (size_t)b->buffers.n;
    plan->buffer = POOL_ARRAY(b->pool, Dlvk__Plan__Buffer *, b->buffers.n);
    for (int i = 0; i < b->buffers.n; i++) plan->buffer[i] = b->buffers.at[i].msg;
}

bool codegen_footprint(Graph *g, const CodegenOptions *o, const dlvk_symbol_size *sizes, int n, dlvk_memory *mem)
{
    PlanBuilder b;
    StringTable strings;
    dlvk_error err;
    begin_plan(&b, schedule_build(g, o->optimize), o, &strings);
    Dlvk__Plan__Plan *plan = make_plan(&b, "", o);
    if (!plan || b.ctx->diag.errors) return false;
    take_tables(&b, plan);
    *mem = (dlvk_memory){0};
    dlvk_status st = rt_footprint_at(plan, sizes, n, mem, &err);
    if (st) diag_error(&b.ctx->diag, st, "%s", err.text);
    return !st;
}

bool codegen(Schedule *s, const char *program, const CodegenOptions *o, Compiled *out)
{
    Context *c = s->graph->ctx;
    PlanBuilder b;
    StringTable strings;
    begin_plan(&b, s, o, &strings);
    for (size_t i = 0; i < out->n_blobs; i++) *VEC_PUSH(c->pool, b.blobs) = out->blobs[i];
    Dlvk__Plan__Plan *plan = make_plan(&b, program, o);
    if (!plan) return false;
    plan_share_literals(&b, o->share_literals);
    if (o->dump_glsl) dump_glsl(&b, o->dump_glsl);
    if (!compile_modules(&b, o, out, plan)) return false;
    take_tables(&b, plan);
    plan->max_memory = o->max_memory;
    plan->unlimited_memory = o->unlimited_memory;
    if (out->plan)
        add_program(c->pool, out->plan, plan);
    else
        out->plan = plan;
    out->blobs = b.blobs.at;
    out->n_blobs = (size_t)b.blobs.n;
    return c->diag.errors == 0;
}

void compiled_free(Compiled *c)
{
    for (size_t i = 0; i < c->n_spirv; i++) free(c->spirv[i].words);
    free(c->spirv);
    *c = (Compiled){0};
}
