/* Kernels as shader objects (VK_EXT_shader_object): for CPU drivers, whose pipeline caches are empty, but whose compiled shaders
 * can be stored. On lavapipe a stored one loads in a tenth of the time that its SPIR-V takes.
 *
 * The section in the cache file: entries of { key, data padded to 16 bytes }. */
#include "runtime/cache_file.h"
#include "runtime/error.h"
#include "runtime/model.h"
#include "runtime/parallel.h"
#include <stdlib.h>
#include <string.h>

typedef struct Key {
    uint64_t hash, size;  /* of SPIR-V, specialization and push constants; of the data */
    uint32_t crc, length; /* of the SPIR-V */
    uint64_t zero;
} Key;

typedef struct Job {
    dlvk_model *m;
    const uint32_t *list; /* of pipelines */
    CacheFile file;
    Key *key;          /* by place in the list */
    size_t *found;     /* 1 + offset of its data in the section, or 0 */
    atomic_bool fresh; /* one was compiled */
    atomic_int failed; /* a VkResult */
    atomic_uint where;
} Job;

static uint64_t mix(uint64_t h, const void *data, size_t n) /* FNV-1a */
{
    for (const uint8_t *p = data; n--;) h = (h ^ *p++) * 0x100000001b3u;
    return h;
}

static void make_key(Job *j, int i)
{
    const Dlvk__Plan__Plan *plan = j->m->plan;
    const Dlvk__Plan__Pipeline *p = plan->pipeline[j->list[i]];
    const Dlvk__Plan__Module *mod = plan->module[p->module];
    const Dlvk__Plan__Blob *blob = plan->blob[mod->blob];
    uint64_t h = mix(0xcbf29ce484222325u, model_code(j->m, p->module), blob->length);
    h = mix(h, p->spec, p->n_spec * sizeof *p->spec);
    h = mix(h, &mod->push_bytes, sizeof mod->push_bytes);
    j->key[i] = (Key){.hash = h, .crc = blob->crc, .length = (uint32_t)blob->length};
}

static bool same_key(const Key *a, const Key *b)
{
    return a->hash == b->hash && a->crc == b->crc && a->length == b->length;
}

/* Looks every key up in the section. */
static void find_all(Job *j, int n)
{
    const uint8_t *section = rt_cache_data(&j->file);
    for (size_t at = 0; j->file.size - at >= sizeof(Key);) {
        Key k;
        memcpy(&k, section + at, sizeof k);
        at += sizeof k;
        if (k.size > j->file.size - at) return;
        for (int i = 0; i < n; i++) {
            if (!same_key(&k, &j->key[i])) continue;
            j->key[i].size = k.size;
            j->found[i] = 1 + at;
        }
        uint64_t padded = (k.size + 15) / 16 * 16;
        if (padded > j->file.size - at) return;
        at += padded;
    }
}

static VkResult create(Job *j, int i, VkShaderCodeTypeEXT type, const void *code, size_t size)
{
    dlvk_device *d = j->m->dev;
    const Dlvk__Plan__Pipeline *p = j->m->plan->pipeline[j->list[i]];
    const Dlvk__Plan__Module *mod = j->m->plan->module[p->module];
    const VkPushConstantRange range = {.stageFlags = VK_SHADER_STAGE_COMPUTE_BIT, .size = mod->push_bytes};
    Spec values;
    const VkSpecializationInfo spec = model_spec(j->m, p, &values);
    bool full = (mod->features & DLVK_FEATURE_COOPMAT) && d->full_subgroups;
    const VkShaderCreateInfoEXT info = {.sType = VK_STRUCTURE_TYPE_SHADER_CREATE_INFO_EXT,
                                        .flags = full ? VK_SHADER_CREATE_REQUIRE_FULL_SUBGROUPS_BIT_EXT : 0,
                                        .stage = VK_SHADER_STAGE_COMPUTE_BIT,
                                        .codeType = type,
                                        .codeSize = size,
                                        .pCode = code,
                                        .pName = "main",
                                        .pushConstantRangeCount = mod->push_bytes > 0,
                                        .pPushConstantRanges = &range,
                                        .pSpecializationInfo = p->n_spec ? &spec : NULL};
    return d->create_shaders(d->device, 1, &info, NULL, &j->m->shader[j->list[i]]);
}

static void build_one(void *user, int i)
{
    Job *j = user;
    if (j->found[i]) {
        void *aligned = aligned_alloc(16, (j->key[i].size + 15) / 16 * 16 + 16);
        if (aligned) memcpy(aligned, rt_cache_data(&j->file) + j->found[i] - 1, j->key[i].size);
        VkResult r =
            aligned ? create(j, i, VK_SHADER_CODE_TYPE_BINARY_EXT, aligned, j->key[i].size) : VK_ERROR_OUT_OF_HOST_MEMORY;
        free(aligned);
        if (r == VK_SUCCESS) return;
        j->m->shader[j->list[i]] = VK_NULL_HANDLE; /* of another build of the driver, say: compile */
    }
    uint32_t module = j->m->plan->pipeline[j->list[i]]->module;
    const Dlvk__Plan__Blob *blob = j->m->plan->blob[j->m->plan->module[module]->blob];
    atomic_store(&j->fresh, true);
    VkResult r = create(j, i, VK_SHADER_CODE_TYPE_SPIRV_EXT, model_code(j->m, module), blob->length);
    if (r) {
        j->m->shader[j->list[i]] = VK_NULL_HANDLE;
        atomic_store(&j->failed, r);
        atomic_store(&j->where, j->list[i]);
    }
}

/* More than this does not come together for one bundle: what is not of the list is of other ones that lay there before. */
enum { SECTION = 64 << 20 };

/* Copies the old section's entries that are not of the list; returns where they end. */
static uint8_t *keep_others(const Job *j, int n, uint8_t *to)
{
    const uint8_t *section = rt_cache_data(&j->file);
    for (size_t at = 0; j->file.size - at >= sizeof(Key);) {
        Key k;
        memcpy(&k, section + at, sizeof k);
        if (k.size > j->file.size - at - sizeof k) break;
        size_t bytes = sizeof k + (k.size + 15) / 16 * 16;
        if (bytes > j->file.size - at) break;
        bool listed = false;
        for (int i = 0; i < n && !listed; i++) listed = same_key(&k, &j->key[i]);
        if (!listed) to = (uint8_t *)memcpy(to, section + at, bytes) + bytes;
        at += bytes;
    }
    return to;
}

/* All the shaders' binaries, as a section. Losing it costs time only, so nothing here is an error. When the bundle is loaded,
 * what is not of the list is dropped as another bundle's; later it is what was built before. */
static void save(Job *j, int n, const char *path)
{
    dlvk_device *d = j->m->dev;
    uint64_t total = 0, others = j->m->code && j->file.size < SECTION ? j->file.size : 0;
    for (int i = 0; i < n; i++) {
        size_t size = 0;
        if (d->get_shader_binary(d->device, j->m->shader[j->list[i]], &size, NULL) != VK_SUCCESS) return;
        j->key[i].size = size;
        total += sizeof(Key) + (size + 15) / 16 * 16;
    }
    uint8_t *section = calloc(1, total + others), *to = section, *aligned = NULL;
    if (section && others) to = keep_others(j, n, to);
    for (int i = 0; section && i < n; i++) {
        size_t size = j->key[i].size, padded = (size + 15) / 16 * 16;
        free(aligned);
        aligned = aligned_alloc(16, padded + 16);
        if (!aligned || d->get_shader_binary(d->device, j->m->shader[j->list[i]], &size, aligned) != VK_SUCCESS) {
            free(section);
            section = NULL;
            break;
        }
        memcpy(to, &j->key[i], sizeof(Key));
        memcpy(to + sizeof(Key), aligned, size);
        to += sizeof(Key) + padded;
    }
    if (section) rt_cache_write(path, &j->file, section, (size_t)(to - section));
    free(aligned);
    free(section);
}

dlvk_status model_shaders(dlvk_model *m, const uint32_t *list, int n, dlvk_error *err)
{
    const char *path = m->cache;
    uint8_t key[CACHE_KEY];
    const uint32_t id[4] = {m->dev->info.vendor_id, m->dev->info.device_id, m->dev->driver_number, 1}; /* 1: shader objects */
    memcpy(key, id, 16);
    memcpy(key + 16, m->dev->shader_uuid, 16);
    Job j = {.m = m, .list = list, .key = calloc((size_t)n + 1, sizeof *j.key), .found = calloc((size_t)n + 1, sizeof *j.found)};
    dlvk_status st = j.key && j.found ? DLVK_OK : rt_error(err, DLVK_OUT_OF_MEMORY, "out of memory");
    rt_cache_read(path, key, &j.file);
    for (int i = 0; !st && path && i < n; i++) make_key(&j, i);
    if (!st) find_all(&j, n);
    if (!st) rt_parallel(m->threads, n, build_one, &j);
    if (!st && j.failed) {
        char call[300];
        model_pipeline_call("vkCreateShadersEXT", m, j.where, call, sizeof call);
        st = vk_error(j.failed, call, err);
    }
    if (!st && path && j.fresh) save(&j, n, path);
    rt_cache_free(&j.file);
    free(j.key);
    free(j.found);
    return st;
}

void model_shaders_free(dlvk_model *m)
{
    for (size_t i = 0; m->shader && i < m->plan->n_pipeline; i++)
        if (m->shader[i]) m->dev->destroy_shader(m->dev->device, m->shader[i], NULL);
    free(m->shader);
}
