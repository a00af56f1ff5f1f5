/* shaderc and SPIRV-Tools; see spirv.h. */
#include "codegen/spirv.h"

#include <pthread.h>
#include <shaderc/shaderc.h>
#include <spirv-tools/libspirv.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct Work {
    SpirvJob *jobs;
    int n;
    const SpirvOptions *o;
    atomic_int next, done, failed;
} Work;

/* "message" and the source with line numbers, so that the error can be read where it stands. */
static char *failure(const SpirvJob *j, const char *what, const char *message)
{
    char *text = NULL;
    size_t size = 0;
    FILE *f = open_memstream(&text, &size);
    if (!f) return NULL;
    fprintf(f, "%s '%s': %s\n", what, j->name, message);
    int line = 1;
    for (const char *p = j->glsl; *p; line++) {
        size_t len = strcspn(p, "\n");
        fprintf(f, "%4d  %.*s\n", line, (int)len, p);
        p += len + (p[len] != 0);
    }
    fclose(f);
    return text;
}

static bool validate(SpirvJob *j)
{
    spv_context ctx = spvContextCreate(SPV_ENV_VULKAN_1_3);
    spv_diagnostic diag = NULL;
    spv_const_binary_t binary = {j->words, j->bytes / 4};
    spv_result_t r = spvValidate(ctx, &binary, &diag);
    if (r != SPV_SUCCESS)
        j->error = failure(j, "invalid SPIR-V of kernel", diag && diag->error ? diag->error : "no reason given");
    spvDiagnosticDestroy(diag);
    spvContextDestroy(ctx);
    return r == SPV_SUCCESS;
}

/* The passes of SPIRV-Tools that are worth their time, each once. Its list for performance takes eight times as long for twice
 * the code, most of it loop unrolling and what cleans up behind it, which drivers do where loops are marked. Without scalar
 * replacement sums lie in memory (a GEMM took ten times as long, and 1.6 times as long without any pass). */
static const char *const inlined[] = {
    "--strip-debug",
    "--eliminate-dead-branches",
    "--merge-return",
    "--inline-entry-points-exhaustive",
    "--eliminate-dead-functions",
    "--private-to-local",
};
static const char *const to_values[] = {
    "--scalar-replacement=100",
    "--convert-local-access-chains",
    "--eliminate-local-single-block",
    "--eliminate-local-single-store",
    "--ssa-rewrite",
    "--ccp",
};
/* Values again behind it. For kernels that ask for it: with f32 contractions left to the driver's own unrolling ResNet-50
 * took 1.01 instead of 0.79 ms on an NVIDIA GPU, while products on matrix units took the same time. */
static const char *const unrolled[] = {
    "--eliminate-dead-code-aggressive",
    "--loop-unroll",
    "--eliminate-dead-branches",
    "--simplify-instructions",
};
static const char *const tidy[] = {
    "--eliminate-dead-branches", "--simplify-instructions", "--redundancy-elimination",         "--vector-dce",
    "--eliminate-dead-inserts",  "--merge-blocks",          "--eliminate-dead-code-aggressive",
};

static bool add_passes(spv_optimizer_t *opt, const char *const *list, size_t n)
{
    const char *flags[16];
    memcpy(flags, list, n * sizeof *list); /* the library's argument is not const */
    return spvOptimizerRegisterPassesFromFlags(opt, flags, n);
}

static bool register_passes(spv_optimizer_t *opt, bool unroll)
{
#define ADD(list) add_passes(opt, list, sizeof(list) / sizeof *(list))
    return ADD(inlined) && ADD(to_values) && (!unroll || (ADD(unrolled) && ADD(to_values))) && ADD(tidy);
#undef ADD
}

/* What the optimizer has to say goes without saying: it fails, or not. Without a consumer it would crash. */
static void ignore(spv_message_level_t level, const char *source, const spv_position_t *at, const char *message)
{
    (void)level, (void)source, (void)at, (void)message;
}

/* Takes the words as they are where `optimize` is not set. */
static bool finish(SpirvJob *j, const uint32_t *words, size_t n)
{
    spv_optimizer_t *opt = j->optimize ? spvOptimizerCreate(SPV_ENV_VULKAN_1_3) : NULL;
    spv_optimizer_options options = opt ? spvOptimizerOptionsCreate() : NULL;
    spv_binary out = NULL;
    if (opt) {
        spvOptimizerSetMessageConsumer(opt, ignore);
        spvOptimizerOptionsSetRunValidator(options, false);
        if (!register_passes(opt, j->unroll) || spvOptimizerRun(opt, words, n, &out, options) != SPV_SUCCESS || !out)
            j->error = failure(j, "SPIRV-Tools cannot optimize kernel", "no reason given");
        else
            words = out->code, n = out->wordCount;
    }
    if (!j->error && (j->words = malloc(n * 4))) memcpy(j->words, words, j->bytes = n * 4);
    spvBinaryDestroy(out);
    spvOptimizerOptionsDestroy(options);
    spvOptimizerDestroy(opt);
    return j->words != NULL;
}

static bool compile_one(shaderc_compiler_t compiler, const shaderc_compile_options_t options, SpirvJob *j, bool check)
{
    shaderc_compilation_result_t r =
        shaderc_compile_into_spv(compiler, j->glsl, strlen(j->glsl), shaderc_compute_shader, j->name, "main", options);
    bool ok = shaderc_result_get_compilation_status(r) == shaderc_compilation_status_success;
    if (ok) {
        ok = finish(j, (const uint32_t *)(const void *)shaderc_result_get_bytes(r), shaderc_result_get_length(r) / 4);
    } else {
        j->error = failure(j, "GLSL of kernel", shaderc_result_get_error_message(r));
    }
    shaderc_result_release(r);
    return ok && (!check || validate(j));
}

static void *worker(void *arg)
{
    Work *w = arg;
    shaderc_compiler_t compiler = shaderc_compiler_initialize();
    shaderc_compile_options_t options = shaderc_compile_options_initialize();
    if (options) {
        shaderc_compile_options_set_target_env(options, shaderc_target_env_vulkan, shaderc_env_version_vulkan_1_3);
        shaderc_compile_options_set_optimization_level(options, shaderc_optimization_level_zero);
    }
    for (int i; (i = atomic_fetch_add(&w->next, 1)) < w->n;) {
        if (!compiler || !options || !compile_one(compiler, options, &w->jobs[i], w->o->validate)) atomic_store(&w->failed, 1);
        int done = atomic_fetch_add(&w->done, 1) + 1;
        if (w->o->progress) w->o->progress(w->o->user, done, w->n);
    }
    shaderc_compile_options_release(options);
    shaderc_compiler_release(compiler);
    return NULL;
}

bool spirv_compile(SpirvJob *jobs, int n, const SpirvOptions *o)
{
    Work w = {.jobs = jobs, .n = n, .o = o};
    long cores = o->threads > 0 ? o->threads : sysconf(_SC_NPROCESSORS_ONLN);
    pthread_t thread[64];
    int started = 0;
    while (started < cores - 1 && started < n - 1 && started < 64 && pthread_create(&thread[started], NULL, worker, &w) == 0)
        started++;
    worker(&w);
    for (int i = 0; i < started; i++) pthread_join(thread[i], NULL);
    return !w.failed;
}
