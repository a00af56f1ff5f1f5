/* The compile driver: model to graph, passes, kernels, bundle. The only place that knows all floors. */
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "codegen/codegen.h"
#include "dlvk/compiler.h"
#include "frontend/compile.h"
#include "frontend/gradient.h"
#include "frontend/host_tensor.h"
#include "frontend/memory_fit.h"
#include "frontend/onnx/import.h"
#include "frontend/training.h"
#include "passes/pass.h"

typedef struct Job {
    const char *onnx; /* a file, or */
    Graph *graph;     /* a graph, its context elsewhere */
    const char *out;  /* a file, or */
    void **bundle;    /* memory */
    size_t *size;
    const dlvk_compile_options *o;
    const dlvk_gradient_options *gradient; /* NULL: the model itself, */
    const dlvk_training_options *training; /* or its training */
    const ModelParts *parts;               /* of the graph, to train it */
    Pool pool;
    Context *ctx; /* of the graph, or of the file's as soon as it is read */
    OnnxModel *model, *loss;
    Compiled code;
} Job;

dlvk_status compile_report(const Diag *d, dlvk_error *err)
{
    if (err) {
        size_t n = 0;
        err->text[0] = 0;
        for (int i = 0; i < d->lines.n && n + 8 < sizeof err->text; i++) {
            int m = snprintf(err->text + n, sizeof err->text - n, "%s%s", i ? "\n" : "", d->lines.at[i]);
            if (m < 0 || n + (size_t)m >= sizeof err->text) {
                strcpy(err->text + sizeof err->text - 4, "...");
                break;
            }
            n += (size_t)m;
        }
    }
    return d->status == DLVK_OK ? DLVK_INTERNAL : d->status;
}

static void progress(void *user, int done, int total)
{
    const dlvk_compile_options *o = user;
    o->progress(o->progress_user, "compiling kernels", done, total);
}

static void stage(const dlvk_compile_options *o, const char *name)
{
    if (o->progress) o->progress(o->progress_user, name, 0, 1);
}

static int n_steps(const Schedule *s)
{
    int n = 0;
    for (int i = 0; i < s->regions.n; i++) n += s->regions.at[i]->steps.n;
    return n;
}

/* One graph to one program of the plan. */
static dlvk_status add_program(Job *j, Graph *g, const char *name, bool *stopped, dlvk_error *err)
{
    const dlvk_compile_options *o = j->o;
    Context *ctx = g->ctx;
    bool validate = o->validate;
#ifndef NDEBUG
    validate = true;
#endif
    static const char *const exact[] = TRAINING_EXACT;
    int n_exact = j->training ? (int)(sizeof exact / sizeof *exact) : 0;
    const char **keep = POOL_ARRAY(ctx->pool, const char *, o->n_keep_f32 + n_exact);
    for (int i = 0; i < o->n_keep_f32; i++) keep[i] = o->keep_f32[i];
    for (int i = 0; i < n_exact; i++) keep[o->n_keep_f32 + i] = exact[i];
    Precision precision = {.storage = o->precision, .n_keep = o->n_keep_f32 + n_exact, .keep = keep};
    if (o->precision && o->precision != DLVK_F32 && o->precision != DLVK_F16 && o->precision != DLVK_BF16) {
        diag_error(&ctx->diag, DLVK_INVALID_ARGUMENT, "precision %s: it can be f32, f16 or bf16", dtype_name(o->precision));
        return compile_report(&ctx->diag, err);
    }
    if (o->print_policy) precision.log = o->log ? o->log : stderr;
    bool narrow = o->precision == DLVK_F16 || o->precision == DLVK_BF16;
    PassOptions po = {.precision = narrow ? &precision : NULL,
                      .print_after = o->print_after,
                      .stop_after = o->stop_after,
                      .dump_ir = o->dump_ir,
                      .time_passes = o->time_passes,
                      .validate = validate,
                      .log = o->log ? o->log : stderr};
    stage(o, "optimizing");
    g = passes_run(g, &po, stopped);
    if (!g || ctx->diag.errors) return compile_report(&ctx->diag, err);
    if (*stopped) return DLVK_OK;

    CodegenOptions co = {.optimize = o->optimize > 0,
                         .validate = validate,
                         .keep_glsl = o->keep_glsl,
                         .merge_bytes = o->optimize > 0 ? MERGE_BYTES : 0,
                         .share_literals = o->optimize > 0,
                         .waves = o->optimize > 0,
                         .threads = o->threads,
                         .device = o->device,
                         .dump_glsl = o->dump_glsl,
                         .progress = o->progress ? progress : NULL,
                         .user = (void *)(uintptr_t)o};
    if (j->training && strcmp(name, "train") == 0 && j->training->max_memory) {
        stage(o, "fitting into memory");
        g = memory_fit(g, j->training, &co);
        if (!g) return compile_report(&ctx->diag, err);
    }
    double start = pass_clock();
    Schedule *s = schedule_build(g, o->optimize > 0);
    pass_time(&po, "fuse", pass_clock() - start, n_steps(s));
    if (ctx->diag.errors) return compile_report(&ctx->diag, err);
    if (o->print_after && (strcmp(o->print_after, "fuse") == 0 || strcmp(o->print_after, "all") == 0)) {
        fprintf(po.log, "// after fuse\n");
        schedule_print(po.log, s);
    }
    *stopped = o->stop_after && strcmp(o->stop_after, "fuse") == 0;
    if (*stopped) return DLVK_OK;
    start = pass_clock();
    if (!codegen(s, name, &co, &j->code)) return compile_report(&ctx->diag, err);
    const Dlvk__Plan__Plan *plan = j->code.plan;
    size_t others = plan->n_program;
    pass_time(&po, "GLSL and SPIR-V", pass_clock() - start, (int)(others ? plan->program[others - 1] : plan)->n_module);
    return DLVK_OK;
}

/* The loss's model, if it has one. */
static bool import_loss(Job *j, Context *ctx, const dlvk_gradient_options *o, Graph **loss)
{
    if (o->loss_model) *loss = onnx_import_file(ctx, o->loss_model, &j->loss);
    return !ctx->diag.errors;
}

/* What constrains one program's sizes does not constrain the other's. */
static dlvk_status add_training(Job *j, const ModelParts *m, bool *stopped, dlvk_error *err)
{
    Context *ctx = m->graph->ctx;
    dlvk_status st = DLVK_OK;
    Graph *loss = NULL;
    if (!import_loss(j, ctx, &j->training->loss, &loss)) return compile_report(&ctx->diag, err);
    int constraints = ctx->constraints.n;
    dlvk_training_options t = *j->training;
    if (t.loss_scale == DLVK_AS_IS) t.loss_scale = j->o->precision == DLVK_F16 ? 0x1p15 : 0;
    bool *still = POOL_ARRAY(ctx->pool, bool, m->weights.n);
    for (int evaluate = 0; !st && evaluate < 2 && !*stopped; evaluate++) {
        ctx->constraints.n = constraints;
        stage(j->o, evaluate ? "evaluation" : "differentiating");
        Graph *g = training_graph(m, &t, loss, evaluate, still);
        st = g && !ctx->diag.errors ? add_program(j, g, evaluate ? "evaluate" : "train", stopped, err)
                                    : compile_report(&ctx->diag, err);
    }
    ctx->constraints.n = constraints;
    return st;
}

static dlvk_status run(Job *j, dlvk_error *err)
{
    const dlvk_compile_options *o = j->o;
    Graph *g = j->graph;
    j->ctx = g ? g->ctx : NULL;
    ModelParts listed = {.trains = j->training != NULL};
    const ModelParts *parts = j->parts;
    if (!g) {
        stage(o, "reading the model");
        const OnnxAssumed *assumed = host_values_assumed(&j->pool, o->n_assumed, o->assumed);
        g = onnx_import_file_assuming(&j->pool, j->onnx, o->n_assumed, assumed, j->gradient || j->training ? &listed : NULL,
                                      &j->ctx, &j->model);
        Graph *loss = NULL;
        if (g && j->gradient && import_loss(j, j->ctx, j->gradient, &loss)) g = gradient_graph(g, &listed, j->gradient, loss);
        if (!g || j->ctx->diag.errors) return compile_report(&j->ctx->diag, err);
        parts = &listed;
    }
    bool stopped = false;
    dlvk_status st = j->training ? add_training(j, parts, &stopped, err) : add_program(j, g, "", &stopped, err);
    if (st || stopped) return st;
    stage(o, "writing");
    if (j->out) return bundle_write_file(j->code.plan, j->code.blobs, j->code.n_blobs, j->out, err);
    return bundle_write_memory(j->code.plan, j->code.blobs, j->code.n_blobs, j->bundle, j->size, err);
}

/* Where it ran out. Nothing is allocated here. */
static dlvk_status out_of_memory(const Job *j, const Pool *pool, dlvk_error *err)
{
    const Origin *at = j->ctx ? j->ctx->origin : NULL;
    const char *name = at && at->name ? at->name : "", *op = at && at->op ? at->op : "";
    if (err)
        snprintf(err->text, sizeof err->text,
                 "%s%.1000s%s%.1000s%sout of memory while compiling (%zu bytes in use, %zu more wanted)", at ? "node '" : "",
                 name, at ? "' (" : "", op, at ? "): " : "", pool->total, pool->wanted);
    return DLVK_OUT_OF_MEMORY;
}

static dlvk_status guarded(Job *j, dlvk_error *err)
{
    static const dlvk_compile_options defaults = DLVK_COMPILE_OPTIONS_INIT;
    if (!j->o) j->o = &defaults;
    jmp_buf oom;
    Pool *pool = j->graph ? j->graph->ctx->pool : &j->pool;
    jmp_buf *before = pool->oom;
    dlvk_status s;
    if (setjmp(oom) == 0) {
        pool->oom = &oom;
        s = run(j, err);
    } else {
        s = out_of_memory(j, pool, err);
    }
    pool->oom = before;
    compiled_free(&j->code);
    onnx_model_free(j->model);
    onnx_model_free(j->loss);
    pool_free(&j->pool);
    return s;
}

static dlvk_status missing(dlvk_error *err, const char *what)
{
    if (err) snprintf(err->text, sizeof err->text, "%s is NULL", what);
    return DLVK_INVALID_ARGUMENT;
}

dlvk_status dlvk_compile_file(const char *onnx, const char *out, const dlvk_compile_options *o, dlvk_error *err)
{
    if (!onnx || !out) return missing(err, onnx ? "out" : "onnx");
    Job j = {.onnx = onnx, .out = out, .o = o};
    return guarded(&j, err);
}

dlvk_status dlvk_compile_file_to_memory(const char *onnx, void **bundle, size_t *size, const dlvk_compile_options *o,
                                        dlvk_error *err)
{
    if (!onnx || !bundle || !size) return missing(err, onnx ? "bundle or size" : "onnx");
    *bundle = NULL;
    *size = 0;
    Job j = {.onnx = onnx, .bundle = bundle, .size = size, .o = o};
    return guarded(&j, err);
}

dlvk_status dlvk_compile_gradient(const char *onnx, const char *out, const dlvk_gradient_options *g,
                                  const dlvk_compile_options *o, dlvk_error *err)
{
    if (!onnx || !out) return missing(err, onnx ? "out" : "onnx");
    Job j = {.onnx = onnx, .out = out, .gradient = gradient_options(g), .o = o};
    return guarded(&j, err);
}

dlvk_status dlvk_compile_gradient_to_memory(const char *onnx, void **bundle, size_t *size, const dlvk_gradient_options *g,
                                            const dlvk_compile_options *o, dlvk_error *err)
{
    if (!onnx || !bundle || !size) return missing(err, onnx ? "bundle or size" : "onnx");
    *bundle = NULL;
    *size = 0;
    Job j = {.onnx = onnx, .bundle = bundle, .size = size, .gradient = gradient_options(g), .o = o};
    return guarded(&j, err);
}

dlvk_status dlvk_compile_training(const char *onnx, const char *out, const dlvk_training_options *t,
                                  const dlvk_compile_options *o, dlvk_error *err)
{
    if (!onnx || !out) return missing(err, onnx ? "out" : "onnx");
    Job j = {.onnx = onnx, .out = out, .training = training_options(t), .o = o};
    return guarded(&j, err);
}

dlvk_status dlvk_compile_training_to_memory(const char *onnx, void **bundle, size_t *size, const dlvk_training_options *t,
                                            const dlvk_compile_options *o, dlvk_error *err)
{
    if (!onnx || !bundle || !size) return missing(err, onnx ? "bundle or size" : "onnx");
    *bundle = NULL;
    *size = 0;
    Job j = {.onnx = onnx, .bundle = bundle, .size = size, .training = training_options(t), .o = o};
    return guarded(&j, err);
}

dlvk_status compile_training_to_memory(const ModelParts *m, void **bundle, size_t *size, const dlvk_training_options *t,
                                       const dlvk_compile_options *o, dlvk_error *err)
{
    *bundle = NULL;
    *size = 0;
    Job j = {.graph = m->graph, .bundle = bundle, .size = size, .training = training_options(t), .parts = m, .o = o};
    return guarded(&j, err);
}

dlvk_status compile_graph_to_memory(Graph *g, void **bundle, size_t *size, const dlvk_compile_options *o, dlvk_error *err)
{
    *bundle = NULL;
    *size = 0;
    Job j = {.graph = g, .bundle = bundle, .size = size, .o = o};
    return guarded(&j, err);
}

void dlvk_free(void *p)
{
    free(p);
}
