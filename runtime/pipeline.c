/* Pipelines: the variants a device runs, built on all cores, kept in a cache file. */
#include "runtime/cache_file.h"
#include "runtime/error.h"
#include "runtime/model.h"
#include "runtime/parallel.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- the cache ----------------------------------------------------------------------------------------------------- */

static void read_cache(const char *path, const dlvk_device *d, CacheFile *c)
{
    uint8_t key[CACHE_KEY];
    const uint32_t id[4] = {d->info.vendor_id, d->info.device_id, d->driver_number, 0};
    memcpy(key, id, 16);
    memcpy(key + 16, d->cache_uuid, 16);
    rt_cache_read(path, key, c);
}

static void write_cache(const char *path, dlvk_device *d, const CacheFile *c, VkPipelineCache vk)
{
    size_t size = 0;
    /* A driver that caches nothing here gives the header alone (and SwiftShader one more of them whenever it is read back). */
    if (vkGetPipelineCacheData(d->device, vk, &size, NULL) != VK_SUCCESS || size <= sizeof(VkPipelineCacheHeaderVersionOne))
        return;
    void *data = malloc(size);
    if (data && vkGetPipelineCacheData(d->device, vk, &size, data) == VK_SUCCESS) rt_cache_write(path, c, data, size);
    free(data);
}

/* ---- variants ------------------------------------------------------------------------------------------------------ */

bool model_runs(const dlvk_model *m, const Dlvk__Plan__Variant *v)
{
    const dlvk_device_info *info = &m->dev->info;
    const Dlvk__Plan__Module *mod = m->plan->module[m->plan->pipeline[v->pipeline]->module];
    return !(mod->features & ~info->features) && mod->push_bytes <= info->push_constant_bytes &&
           atomic_load(&m->verdict[v->pipeline]) <= VERDICT_RIGHT;
}

static bool is_built(const dlvk_model *m, uint32_t pipeline)
{
    return m->shader ? m->shader[pipeline] != VK_NULL_HANDLE : m->pipeline[pipeline] != VK_NULL_HANDLE;
}

bool model_built(dlvk_model *m, const Dlvk__Plan__Variant *v)
{
    pthread_mutex_lock(&m->build_lock);
    bool built = is_built(m, v->pipeline);
    pthread_mutex_unlock(&m->build_lock);
    return built;
}

static dlvk_status no_variant(const dlvk_model *m, const Dlvk__Plan__Dispatch *d, dlvk_error *err)
{
    char text[512], lack[256];
    const Dlvk__Plan__Module *mod = m->plan->module[m->plan->pipeline[d->variant[d->n_variant - 1]->pipeline]->module];
    uint32_t missing = mod->features & ~m->dev->info.features;
    if (missing)
        dlvk_feature_names(missing, ", ", lack, sizeof lack);
    else
        snprintf(lack, sizeof lack, "the push constants it takes");
    return rt_error(err, DLVK_UNSUPPORTED, "device '%s' cannot run kernel %s: it lacks %s", m->dev->info.name,
                    model_kernel_text(m->plan, d, text, sizeof text), lack);
}

/* What is certain before sizes are known: of every dispatch the first variant that this device runs, where it is for all sizes,
 * and if it is to be tried, the first that needs no matrix units. Every dispatch must have some variant for all sizes. */
static dlvk_status pick_variants(dlvk_model *m, bool all, bool *used, dlvk_error *err)
{
    for (uint32_t s = 0; s < m->n_step; s++) {
        if (m->step[s]->kind_case != DLVK__PLAN__STEP__KIND_DISPATCH) continue;
        const Dlvk__Plan__Dispatch *d = m->step[s]->dispatch;
        bool certain = true, found = false, plain = false;
        for (size_t v = 0; v < d->n_variant; v++) {
            const Dlvk__Plan__Variant *x = d->variant[v];
            if (!model_runs(m, x)) continue;
            used[x->pipeline] |= all;
            if (!x->when && !found) {
                found = true;
                plain = certain && model_on_trial(m, x);
                used[x->pipeline] |= certain;
            } else if (!x->when && plain && !model_on_matrices(m, x)) {
                plain = false;
                used[x->pipeline] = true;
            }
            certain = false;
        }
        if (!found) return no_variant(m, d, err);
    }
    return DLVK_OK;
}

/* ---- building ------------------------------------------------------------------------------------------------------ */

typedef struct Build {
    dlvk_model *m;
    VkPipelineCache cache;
    const bool *used;
    uint32_t *list;         /* of used pipelines */
    VkShaderModule *module; /* by index in the plan */
    bool *module_used;
    atomic_int failed; /* a VkResult */
    atomic_uint where; /* the pipeline that failed */
} Build;

const uint32_t *model_code(const dlvk_model *m, uint32_t module)
{
    if (m->code) return m->code[module];
    return (const uint32_t *)(const void *)rt_bundle_blob(&m->bundle, m->plan->blob[m->plan->module[module]->blob]);
}

static void build_module(void *user, int i)
{
    Build *b = user;
    if (!b->module_used[i]) return;
    const Dlvk__Plan__Blob *blob = b->m->plan->blob[b->m->plan->module[i]->blob];
    const VkShaderModuleCreateInfo info = {
        .sType = VK_STRUCTURE_TYPE_SHADER_MODULE_CREATE_INFO, .codeSize = blob->length, .pCode = model_code(b->m, (uint32_t)i)};
    VkResult r = vkCreateShaderModule(b->m->dev->device, &info, NULL, &b->module[i]);
    if (r) atomic_store(&b->failed, r);
}

VkSpecializationInfo model_spec(const dlvk_model *m, const Dlvk__Plan__Pipeline *p, Spec *s)
{
    for (uint32_t k = 0; k < p->n_spec; k++) {
        s->entry[k] = (VkSpecializationMapEntry){.constantID = k, .offset = 4 * k, .size = 4};
        s->value[k] = p->spec[k];
    }
    if ((m->plan->module[p->module]->features & DLVK_FEATURE_COOPMAT) && p->n_spec >= 3) {
        s->value[0] *= m->dev->info.subgroup_size;
        s->value[1] = m->dev->matrix;
        s->value[2] = m->dev->info.subgroup_size;
        for (uint32_t k = 3; k < p->n_spec; k++)
            if (p->spec[k] == UINT32_MAX) s->value[k] = m->dev->quads;
    }
    return (VkSpecializationInfo){
        .mapEntryCount = (uint32_t)p->n_spec, .pMapEntries = s->entry, .dataSize = 4 * p->n_spec, .pData = s->value};
}

void model_pipeline_call(const char *call, const dlvk_model *m, uint32_t pipeline, char *buf, size_t size)
{
    snprintf(buf, size, "%s, module '%.200s'", call, m->plan->module[m->plan->pipeline[pipeline]->module]->name);
}

static void build_pipeline(void *user, int i)
{
    Build *b = user;
    const Dlvk__Plan__Pipeline *p = b->m->plan->pipeline[b->list[i]];
    const Dlvk__Plan__Module *mod = b->m->plan->module[p->module];
    Spec values;
    const VkSpecializationInfo spec = model_spec(b->m, p, &values);
    bool full = (mod->features & DLVK_FEATURE_COOPMAT) && b->m->dev->full_subgroups;
    const VkComputePipelineCreateInfo info = {
        .sType = VK_STRUCTURE_TYPE_COMPUTE_PIPELINE_CREATE_INFO,
        .stage = {.sType = VK_STRUCTURE_TYPE_PIPELINE_SHADER_STAGE_CREATE_INFO,
                  .flags = full ? VK_PIPELINE_SHADER_STAGE_CREATE_REQUIRE_FULL_SUBGROUPS_BIT : 0,
                  .stage = VK_SHADER_STAGE_COMPUTE_BIT,
                  .module = b->module[p->module],
                  .pName = "main",
                  .pSpecializationInfo = p->n_spec ? &spec : NULL},
        .layout = b->m->layout[mod->push_bytes / 4],
    };
    VkResult r = vkCreateComputePipelines(b->m->dev->device, b->cache, 1, &info, NULL, &b->m->pipeline[b->list[i]]);
    if (r) {
        atomic_store(&b->failed, r);
        atomic_store(&b->where, b->list[i]);
    }
}

static dlvk_status check_spirv(const dlvk_model *m, uint32_t module, dlvk_error *err)
{
    uint32_t magic;
    memcpy(&magic, model_code(m, module), 4);
    if (magic == 0x07230203u) return DLVK_OK;
    return rt_error(err, DLVK_BAD_FILE, "corrupt plan: module '%s' is no SPIR-V", m->plan->module[module]->name);
}

static dlvk_status prepare(Build *b, int *n, dlvk_error *err)
{
    dlvk_model *m = b->m;
    for (uint32_t i = 0; i < m->plan->n_pipeline; i++) {
        if (!b->used[i] || is_built(m, i)) continue;
        b->list[(*n)++] = i;
        uint32_t mod = m->plan->pipeline[i]->module, words = m->plan->module[mod]->push_bytes / 4;
        dlvk_status st = b->module_used[mod] ? DLVK_OK : check_spirv(m, mod, err);
        if (st) return st;
        b->module_used[mod] = true;
        if (m->layout[words]) continue;
        const VkPushConstantRange range = {.stageFlags = VK_SHADER_STAGE_COMPUTE_BIT, .size = 4 * words};
        const VkPipelineLayoutCreateInfo info = {.sType = VK_STRUCTURE_TYPE_PIPELINE_LAYOUT_CREATE_INFO,
                                                 .pushConstantRangeCount = words > 0,
                                                 .pPushConstantRanges = &range};
        VkResult r = vkCreatePipelineLayout(m->dev->device, &info, NULL, &m->layout[words]);
        if (r) return vk_error(r, "vkCreatePipelineLayout", err);
    }
    return DLVK_OK;
}

static dlvk_status build_all(Build *b, int n, dlvk_error *err)
{
    dlvk_model *m = b->m;
    rt_parallel(m->threads, (int)m->plan->n_module, build_module, b);
    if (b->failed) return vk_error(b->failed, "vkCreateShaderModule", err);
    rt_parallel(m->threads, n, build_pipeline, b);
    if (!b->failed) return DLVK_OK;
    char call[300];
    model_pipeline_call("vkCreateComputePipelines", m, b->where, call, sizeof call);
    return vk_error(b->failed, call, err);
}

static dlvk_status build_cached(Build *b, int n, dlvk_error *err)
{
    const char *path = b->m->cache;
    dlvk_device *d = b->m->dev;
    CacheFile file;
    read_cache(path, d, &file);
    const VkPipelineCacheCreateInfo info = {.sType = VK_STRUCTURE_TYPE_PIPELINE_CACHE_CREATE_INFO,
                                            .initialDataSize = file.size,
                                            .pInitialData = rt_cache_data(&file)};
    VkResult r = vkCreatePipelineCache(d->device, &info, NULL, &b->cache);
    dlvk_status st = r ? vk_error(r, "vkCreatePipelineCache", err) : build_all(b, n, err);
    if (!st && path) write_cache(path, d, &file, b->cache);
    vkDestroyPipelineCache(d->device, b->cache, NULL);
    rt_cache_free(&file);
    return st;
}

static dlvk_status build(dlvk_model *m, const bool *used, dlvk_error *err)
{
    size_t n_pipeline = m->plan->n_pipeline, n_module = m->plan->n_module;
    Build b = {.m = m,
               .used = used,
               .list = calloc(n_pipeline + 1, sizeof *b.list),
               .module = calloc(n_module + 1, sizeof *b.module),
               .module_used = calloc(n_module + 1, 1)};
    bool ok = b.list && b.module && b.module_used;
    int n = 0;
    dlvk_status st = ok ? prepare(&b, &n, err) : rt_error(err, DLVK_OUT_OF_MEMORY, "out of memory");
    if (!st && n) st = m->dev->create_shaders ? model_shaders(m, b.list, n, err) : build_cached(&b, n, err);
    for (size_t i = 0; b.module && i < n_module; i++) vkDestroyShaderModule(m->dev->device, b.module[i], NULL);
    free(b.list);
    free(b.module);
    free(b.module_used);
    return st;
}

dlvk_status model_build(dlvk_model *m, const bool *used, dlvk_error *err)
{
    dlvk_status st = DLVK_OK;
    pthread_mutex_lock(&m->build_lock);
    for (size_t i = 0; i < m->plan->n_pipeline; i++) {
        if (!used[i] || is_built(m, (uint32_t)i)) continue;
        st = build(m, used, err);
        break;
    }
    pthread_mutex_unlock(&m->build_lock);
    return st;
}

dlvk_status model_pipelines(dlvk_model *m, const dlvk_load_options *o, dlvk_error *err)
{
    size_t n = m->plan->n_pipeline;
    bool *used = calloc(n + 1, 1);
    m->threads = o->threads;
    m->build_lock_made = pthread_mutex_init(&m->build_lock, NULL) == 0;
    m->pipeline = calloc(n + 1, sizeof *m->pipeline);
    if (m->dev->create_shaders) m->shader = calloc(n + 1, sizeof *m->shader);
    bool ok = used && m->build_lock_made && m->pipeline && (m->shader || !m->dev->create_shaders);
    dlvk_status st = ok ? pick_variants(m, o->all_variants, used, err) : rt_error(err, DLVK_OUT_OF_MEMORY, "out of memory");
    if (!st) st = model_build(m, used, err);
    free(used);
    return st;
}

dlvk_status model_keep_code(dlvk_model *m, dlvk_error *err)
{
    uint32_t **code = calloc(m->plan->n_module + 1, sizeof *code);
    dlvk_status st = code ? DLVK_OK : rt_error(err, DLVK_OUT_OF_MEMORY, "out of memory");
    for (size_t i = 0; !st && i < m->plan->n_pipeline; i++) {
        uint32_t mod = m->plan->pipeline[i]->module;
        const Dlvk__Plan__Blob *blob = m->plan->blob[m->plan->module[mod]->blob];
        if (code[mod] || is_built(m, (uint32_t)i) || (m->plan->module[mod]->features & ~m->dev->info.features)) continue;
        code[mod] = malloc(blob->length);
        if (code[mod])
            memcpy(code[mod], model_code(m, mod), blob->length);
        else
            st = rt_error(err, DLVK_OUT_OF_MEMORY, "out of memory");
    }
    m->code = code;
    return st;
}

void model_pipelines_free(dlvk_model *m)
{
    for (size_t i = 0; m->pipeline && i < m->plan->n_pipeline; i++) vkDestroyPipeline(m->dev->device, m->pipeline[i], NULL);
    for (size_t i = 0; i < sizeof m->layout / sizeof *m->layout; i++) vkDestroyPipelineLayout(m->dev->device, m->layout[i], NULL);
    free(m->pipeline);
    for (size_t i = 0; m->code && i < m->plan->n_module; i++) free(m->code[i]);
    if (m->build_lock_made) pthread_mutex_destroy(&m->build_lock);
    free(m->code);
    free(m->verdict);
    free(m->cache);
    model_shaders_free(m);
}
