/* Opening a device. */
#include "runtime/device.h"
#include "runtime/error.h"
#include <stdlib.h>
#include <string.h>

static dlvk_status make_device(dlvk_device *d, const DeviceFeatures *have, dlvk_error *err)
{
    bool coopmat = (d->info.features & DLVK_FEATURE_COOPMAT) != 0;
    DeviceFeatures want = {0};
    bool shader_object = (d->info.features & DLVK_FEATURE_SHADER_OBJECT) != 0;
    device_chain(&want, coopmat, shader_object);
#define TAKE(part, feature) want.part.feature = have->part.feature
    TAKE(base, features.shaderInt64);
    TAKE(base, features.shaderFloat64);
    TAKE(base, features.shaderInt16);
    TAKE(v11, storageBuffer16BitAccess);
    TAKE(v11, uniformAndStorageBuffer16BitAccess);
    TAKE(v12, storageBuffer8BitAccess);
    TAKE(v12, uniformAndStorageBuffer8BitAccess);
    TAKE(v12, shaderFloat16);
    TAKE(v12, shaderInt8);
    TAKE(v12, shaderSubgroupExtendedTypes);
    TAKE(v12, scalarBlockLayout);
    TAKE(v12, bufferDeviceAddress);
    TAKE(v12, timelineSemaphore);
    TAKE(v12, vulkanMemoryModel);
    TAKE(v12, vulkanMemoryModelDeviceScope);
    TAKE(v13, synchronization2);
    TAKE(v13, maintenance4);
    TAKE(v13, subgroupSizeControl);
    TAKE(v13, computeFullSubgroups);
    TAKE(v13, shaderIntegerDotProduct);
    if (coopmat) TAKE(coopmat, cooperativeMatrix);
    if (shader_object) TAKE(shader_object, shaderObject);
#undef TAKE
    d->full_subgroups = have->v13.computeFullSubgroups;
    const float priority = 1;
    const VkDeviceQueueCreateInfo queue = {.sType = VK_STRUCTURE_TYPE_DEVICE_QUEUE_CREATE_INFO,
                                           .queueFamilyIndex = d->family,
                                           .queueCount = 1,
                                           .pQueuePriorities = &priority};
    const char *extensions[2];
    uint32_t n_extension = 0;
    if (coopmat) extensions[n_extension++] = VK_KHR_COOPERATIVE_MATRIX_EXTENSION_NAME;
    if (shader_object) extensions[n_extension++] = VK_EXT_SHADER_OBJECT_EXTENSION_NAME;
    const VkDeviceCreateInfo info = {.sType = VK_STRUCTURE_TYPE_DEVICE_CREATE_INFO,
                                     .pNext = &want.base,
                                     .queueCreateInfoCount = 1,
                                     .pQueueCreateInfos = &queue,
                                     .enabledExtensionCount = n_extension,
                                     .ppEnabledExtensionNames = extensions};
    VkResult r = vkCreateDevice(d->physical, &info, NULL, &d->device);
    if (r) return vk_error(r, "vkCreateDevice", err);
    vkGetDeviceQueue(d->device, d->family, 0, &d->queue);
    if (!shader_object) return DLVK_OK;
#define LOAD(field, name) d->field = (PFN_##name)(void *)vkGetDeviceProcAddr(d->device, #name)
    LOAD(destroy_shader, vkDestroyShaderEXT);
    LOAD(get_shader_binary, vkGetShaderBinaryDataEXT);
    LOAD(bind_shaders, vkCmdBindShadersEXT);
    if (d->destroy_shader && d->get_shader_binary && d->bind_shaders) LOAD(create_shaders, vkCreateShadersEXT);
#undef LOAD
    return DLVK_OK;
}

/* The first type that has all of `need`, preferring those with more of `like` and fewer of `avoid`. */
static uint32_t pick_type(const VkPhysicalDeviceMemoryProperties *m, uint32_t allowed, VkMemoryPropertyFlags need,
                          VkMemoryPropertyFlags like, VkMemoryPropertyFlags avoid)
{
    uint32_t best = UINT32_MAX;
    int best_score = 0;
    for (uint32_t i = 0; i < m->memoryTypeCount; i++) {
        VkMemoryPropertyFlags f = m->memoryTypes[i].propertyFlags;
        if (!(allowed & 1u << i) || (f & need) != need) continue;
        if (f & (VK_MEMORY_PROPERTY_PROTECTED_BIT | VK_MEMORY_PROPERTY_DEVICE_COHERENT_BIT_AMD)) continue;
        int score = 1 + 4 * __builtin_popcount(f & like) - 2 * __builtin_popcount(f & avoid) + 16;
        if (score > best_score) best = i, best_score = score;
    }
    return best;
}

#define LOCAL   VK_MEMORY_PROPERTY_DEVICE_LOCAL_BIT
#define VISIBLE (VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT | VK_MEMORY_PROPERTY_HOST_COHERENT_BIT)
#define CACHED  VK_MEMORY_PROPERTY_HOST_CACHED_BIT

static dlvk_status pick_types(dlvk_device *d, dlvk_error *err)
{
    const VkBufferCreateInfo info = {.sType = VK_STRUCTURE_TYPE_BUFFER_CREATE_INFO,
                                     .size = 4096,
                                     .usage = VK_BUFFER_USAGE_STORAGE_BUFFER_BIT | VK_BUFFER_USAGE_TRANSFER_SRC_BIT |
                                              VK_BUFFER_USAGE_TRANSFER_DST_BIT | VK_BUFFER_USAGE_SHADER_DEVICE_ADDRESS_BIT};
    VkMemoryRequirements2 req = {.sType = VK_STRUCTURE_TYPE_MEMORY_REQUIREMENTS_2};
    vkGetDeviceBufferMemoryRequirements(
        d->device,
        &(VkDeviceBufferMemoryRequirements){.sType = VK_STRUCTURE_TYPE_DEVICE_BUFFER_MEMORY_REQUIREMENTS, .pCreateInfo = &info},
        &req);
    VkPhysicalDeviceMemoryProperties m;
    vkGetPhysicalDeviceMemoryProperties(d->physical, &m);
    uint32_t allowed = req.memoryRequirements.memoryTypeBits;
    /* Reading mapped memory is only fast where it is cached, and a discrete GPU's is not. */
    bool shared = strcmp(d->info.type, "cpu") == 0 || strcmp(d->info.type, "integrated gpu") == 0;
    const char *staging = getenv("DLVK_STAGING"); /* so that the way of discrete GPUs can be tested without one */
    if (staging && *staging && strcmp(staging, "0") != 0) shared = false;
    uint32_t unified = shared ? pick_type(&m, allowed, LOCAL | VISIBLE | CACHED, 0, 0) : UINT32_MAX;
    d->unified = unified != UINT32_MAX;
    d->memory_type[MEMORY_DEVICE] = d->unified ? unified : pick_type(&m, allowed, LOCAL, 0, VISIBLE);
    if (d->memory_type[MEMORY_DEVICE] == UINT32_MAX) d->memory_type[MEMORY_DEVICE] = pick_type(&m, allowed, 0, 0, 0);
    d->memory_type[MEMORY_UPLOAD] = pick_type(&m, allowed, VISIBLE, 0, LOCAL);
    d->memory_type[MEMORY_DOWNLOAD] = pick_type(&m, allowed, VISIBLE, CACHED, LOCAL);
    d->memory_type[MEMORY_ARGS] = pick_type(&m, allowed, VISIBLE, LOCAL, 0);
    for (int i = 0; i < MEMORY_USES; i++)
        if (d->memory_type[i] == UINT32_MAX)
            return rt_error(err, DLVK_UNSUPPORTED, "device '%s' has no suitable memory type", d->info.name);
    return DLVK_OK;
}

dlvk_status dlvk_device_open(const char *which, dlvk_device **out, dlvk_error *err)
{
    if (!out) return rt_error(err, DLVK_INVALID_ARGUMENT, "dlvk_device_open: a NULL argument");
    *out = NULL;
    dlvk_device *d = calloc(1, sizeof *d);
    if (!d) return rt_error(err, DLVK_OUT_OF_MEMORY, "out of memory");
    DeviceFeatures f;
    dlvk_status st = device_make_instance(d, &d->instance, err);
    if (!st) st = device_choose(d, which, &f, err);
    if (!st) st = make_device(d, &f, err);
    if (!st) st = pick_types(d, err);
    if (!st) st = vk_memory_new(d, MEMORY_DEVICE, MEMORY_GUARD, "device", &d->nothing, err);
    if (!st) d->queue_lock_made = pthread_mutex_init(&d->queue_lock, NULL) == 0;
    if (!st && !d->queue_lock_made) st = rt_error(err, DLVK_OUT_OF_MEMORY, "out of memory");
    if (st) {
        dlvk_device_close(d);
        return st;
    }
    *out = d;
    return DLVK_OK;
}

void dlvk_device_close(dlvk_device *d)
{
    if (!d) return;
    if (d->device) {
        vk_memory_free(d, &d->nothing);
        vkDestroyDevice(d->device, NULL);
    }
    if (d->messenger) {
        PFN_vkDestroyDebugUtilsMessengerEXT destroy =
            (PFN_vkDestroyDebugUtilsMessengerEXT)(void *)vkGetInstanceProcAddr(d->instance, "vkDestroyDebugUtilsMessengerEXT");
        if (destroy) destroy(d->instance, d->messenger, NULL);
    }
    if (d->instance) vkDestroyInstance(d->instance, NULL);
    if (d->queue_lock_made) pthread_mutex_destroy(&d->queue_lock);
    free(d);
}

const dlvk_device_info *dlvk_device_get_info(const dlvk_device *d)
{
    return d ? &d->info : NULL;
}
void dlvk_device_disable(dlvk_device *d, uint32_t features)
{
    d->info.features &= ~features;
    /* A CPU driver runs what was written for GPUs, if told to. */
    if (d->cpu && (features & DLVK_FEATURE_SCALAR)) d->info.features |= DLVK_FEATURE_WAVE & ~features;
}
uint64_t dlvk_device_validation_messages(const dlvk_device *d)
{
    return atomic_load(&d->messages);
}
