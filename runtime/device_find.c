/* Finding devices, and what they can do. */
#include "runtime/device.h"
#include "runtime/error.h"
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct {
    uint32_t bit;
    const char *name;
} feature_names[] = {
    {DLVK_FEATURE_INT64, "int64"},       {DLVK_FEATURE_FLOAT64, "float64"},
    {DLVK_FEATURE_FLOAT16, "float16"},   {DLVK_FEATURE_INT16, "int16"},
    {DLVK_FEATURE_INT8, "int8"},         {DLVK_FEATURE_STORAGE16, "storage16"},
    {DLVK_FEATURE_STORAGE8, "storage8"}, {DLVK_FEATURE_SUBGROUP, "subgroup"},
    {DLVK_FEATURE_COOPMAT, "coopmat"},   {DLVK_FEATURE_WAVE, "wave"},
    {DLVK_FEATURE_SCALAR, "scalar"},     {DLVK_FEATURE_WG512, "wg512"},
    {DLVK_FEATURE_WG1024, "wg1024"},     {DLVK_FEATURE_SHADER_OBJECT, "shader_object"},
    {DLVK_FEATURE_QUADS, "quads"},
};
#define N_FEATURES (sizeof feature_names / sizeof *feature_names)

const char *dlvk_feature_name(uint32_t feature)
{
    for (size_t i = 0; i < N_FEATURES; i++)
        if (feature_names[i].bit == feature) return feature_names[i].name;
    return NULL;
}

const char *dlvk_feature_names(uint32_t features, const char *between, char *buf, size_t size)
{
    size_t at = 0;
    snprintf(buf, size, "none");
    for (uint32_t b = 1; b && at < size; b <<= 1) {
        if (!(features & b)) continue;
        const char *name = dlvk_feature_name(b);
        at += (size_t)snprintf(buf + at, size - at, "%s%s", at ? between : "", name ? name : "unknown");
    }
    return buf;
}

/* ---- instance ---------------------------------------------------------------------------------------------------- */

static VKAPI_ATTR VkBool32 VKAPI_CALL on_message(VkDebugUtilsMessageSeverityFlagBitsEXT severity,
                                                 VkDebugUtilsMessageTypeFlagsEXT type,
                                                 const VkDebugUtilsMessengerCallbackDataEXT *data, void *user)
{
    (void)severity;
    (void)type;
    if (user) atomic_fetch_add(&((dlvk_device *)user)->messages, 1);
    fprintf(stderr, "validation: %s\n", data->pMessage);
    return VK_FALSE;
}

static bool has_layer(const char *name)
{
    uint32_t n = 0;
    vkEnumerateInstanceLayerProperties(&n, NULL);
    VkLayerProperties *list = calloc(n + 1, sizeof *list);
    bool found = false;
    if (list && vkEnumerateInstanceLayerProperties(&n, list) == VK_SUCCESS)
        for (uint32_t i = 0; i < n; i++) found |= strcmp(list[i].layerName, name) == 0;
    free(list);
    return found;
}

static const char no_device[] = "no Vulkan device found. Install the GPU's Vulkan driver, or Mesa's software device lavapipe: "
                                "apt install mesa-vulkan-drivers. "
                                "Where VK_DRIVER_FILES is set, it must name the driver's .json file";

/* user: the device that counts validation messages, or NULL. */
dlvk_status device_make_instance(dlvk_device *user, VkInstance *out, dlvk_error *err)
{
    static const char layer[] = "VK_LAYER_KHRONOS_validation";
    const char *env = getenv("DLVK_VALIDATE");
    bool validate = user && env && *env && strcmp(env, "0") != 0;
    if (validate && !has_layer(layer))
        return rt_error(err, DLVK_UNSUPPORTED,
                        "DLVK_VALIDATE is set, but the layer %s is not installed: apt install vulkan-validationlayers", layer);
    bool on_device = validate && strcmp(env, "gpu") == 0;
    VkDebugUtilsMessengerCreateInfoEXT messages = {
        .sType = VK_STRUCTURE_TYPE_DEBUG_UTILS_MESSENGER_CREATE_INFO_EXT,
        .messageSeverity = VK_DEBUG_UTILS_MESSAGE_SEVERITY_ERROR_BIT_EXT |
                           (on_device ? 0 : VK_DEBUG_UTILS_MESSAGE_SEVERITY_WARNING_BIT_EXT), /* its set-up warns of itself */
        .messageType = VK_DEBUG_UTILS_MESSAGE_TYPE_VALIDATION_BIT_EXT,
        .pfnUserCallback = on_message,
        .pUserData = user,
    };
    VkValidationFeatureEnableEXT enable[] = {VK_VALIDATION_FEATURE_ENABLE_SYNCHRONIZATION_VALIDATION_EXT,
                                             VK_VALIDATION_FEATURE_ENABLE_GPU_ASSISTED_EXT};
    VkValidationFeaturesEXT features = {.sType = VK_STRUCTURE_TYPE_VALIDATION_FEATURES_EXT,
                                        .pNext = &messages,
                                        .enabledValidationFeatureCount = on_device ? 2 : 1,
                                        .pEnabledValidationFeatures = enable};
    VkApplicationInfo app = {
        .sType = VK_STRUCTURE_TYPE_APPLICATION_INFO, .pEngineName = "dlvk", .apiVersion = VK_API_VERSION_1_3};
    const char *const layers[] = {layer}, *const extensions[] = {VK_EXT_DEBUG_UTILS_EXTENSION_NAME};
    VkInstanceCreateInfo info = {.sType = VK_STRUCTURE_TYPE_INSTANCE_CREATE_INFO, .pApplicationInfo = &app};
    if (validate) {
        info.pNext = &features;
        info.enabledLayerCount = info.enabledExtensionCount = 1;
        info.ppEnabledLayerNames = layers;
        info.ppEnabledExtensionNames = extensions;
    }
    VkResult r = vkCreateInstance(&info, NULL, out);
    if (r == VK_ERROR_INCOMPATIBLE_DRIVER) return rt_error(err, DLVK_NO_DEVICE, "%s", no_device);
    if (r) return vk_error(r, "vkCreateInstance", err);
    if (validate) {
        PFN_vkCreateDebugUtilsMessengerEXT create =
            (PFN_vkCreateDebugUtilsMessengerEXT)(void *)vkGetInstanceProcAddr(*out, "vkCreateDebugUtilsMessengerEXT");
        r = create ? create(*out, &messages, NULL, &user->messenger) : VK_ERROR_EXTENSION_NOT_PRESENT;
        if (r) {
            vkDestroyInstance(*out, NULL);
            *out = NULL;
            return vk_error(r, "vkCreateDebugUtilsMessengerEXT", err);
        }
    }
    return DLVK_OK;
}

/* ---- what a device can do ---------------------------------------------------------------------------------------- */

void device_chain(DeviceFeatures *f, bool coopmat, bool shader_object)
{
    f->base.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_FEATURES_2;
    f->v11.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_1_FEATURES;
    f->v12.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_2_FEATURES;
    f->v13.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_3_FEATURES;
    f->coopmat.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_COOPERATIVE_MATRIX_FEATURES_KHR;
    f->base.pNext = &f->v11;
    f->v11.pNext = &f->v12;
    f->v12.pNext = &f->v13;
    f->shader_object.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SHADER_OBJECT_FEATURES_EXT;
    f->coopmat.pNext = shader_object ? &f->shader_object : NULL;
    f->v13.pNext = coopmat ? &f->coopmat : f->coopmat.pNext;
}

static bool has_extension(VkPhysicalDevice p, const char *name)
{
    uint32_t n = 0;
    vkEnumerateDeviceExtensionProperties(p, NULL, &n, NULL);
    VkExtensionProperties *list = calloc(n + 1, sizeof *list);
    bool found = false;
    if (list && vkEnumerateDeviceExtensionProperties(p, NULL, &n, list) == VK_SUCCESS)
        for (uint32_t i = 0; i < n; i++) found |= strcmp(list[i].extensionName, name) == 0;
    free(list);
    return found;
}

/* The largest square matrices, up to 16, of f16 with sums in f32; 0: none. */
static uint32_t find_matrix(VkInstance instance, VkPhysicalDevice p)
{
    PFN_vkGetPhysicalDeviceCooperativeMatrixPropertiesKHR get =
        (PFN_vkGetPhysicalDeviceCooperativeMatrixPropertiesKHR)(void *)vkGetInstanceProcAddr(
            instance, "vkGetPhysicalDeviceCooperativeMatrixPropertiesKHR");
    uint32_t n = 0;
    if (!get || get(p, &n, NULL) != VK_SUCCESS) return 0;
    VkCooperativeMatrixPropertiesKHR *list = calloc(n + 1, sizeof *list);
    if (!list) return 0;
    for (uint32_t i = 0; i < n; i++) list[i].sType = VK_STRUCTURE_TYPE_COOPERATIVE_MATRIX_PROPERTIES_KHR;
    uint32_t size = 0;
    if (get(p, &n, list) != VK_SUCCESS) n = 0;
    for (uint32_t i = 0; i < n; i++) {
        const VkCooperativeMatrixPropertiesKHR *m = &list[i];
        if (m->MSize == m->NSize && m->NSize == m->KSize && (m->MSize == 16 || m->MSize == 8) && m->MSize > size &&
            m->scope == VK_SCOPE_SUBGROUP_KHR && m->AType == VK_COMPONENT_TYPE_FLOAT16_KHR &&
            m->BType == VK_COMPONENT_TYPE_FLOAT16_KHR && m->CType == VK_COMPONENT_TYPE_FLOAT32_KHR &&
            m->ResultType == VK_COMPONENT_TYPE_FLOAT32_KHR)
            size = m->MSize;
    }
    free(list);
    return size;
}

static const char *type_name(VkPhysicalDeviceType t)
{
    switch (t) {
    case VK_PHYSICAL_DEVICE_TYPE_DISCRETE_GPU: return "discrete gpu";
    case VK_PHYSICAL_DEVICE_TYPE_INTEGRATED_GPU: return "integrated gpu";
    case VK_PHYSICAL_DEVICE_TYPE_VIRTUAL_GPU: return "virtual gpu";
    case VK_PHYSICAL_DEVICE_TYPE_CPU: return "cpu";
    default: return "other";
    }
}

/* Lower is better. */
static int rank(VkPhysicalDeviceType t)
{
    switch (t) {
    case VK_PHYSICAL_DEVICE_TYPE_DISCRETE_GPU: return 0;
    case VK_PHYSICAL_DEVICE_TYPE_INTEGRATED_GPU: return 1;
    case VK_PHYSICAL_DEVICE_TYPE_VIRTUAL_GPU: return 2;
    case VK_PHYSICAL_DEVICE_TYPE_CPU: return 3;
    default: return 4;
    }
}

static uint32_t feature_bits(const DeviceFeatures *f, const VkPhysicalDeviceProperties *p,
                             const VkPhysicalDeviceVulkan11Properties *p11, bool coopmat)
{
    const VkSubgroupFeatureFlags ops = VK_SUBGROUP_FEATURE_BASIC_BIT | VK_SUBGROUP_FEATURE_ARITHMETIC_BIT |
                                       VK_SUBGROUP_FEATURE_SHUFFLE_BIT | VK_SUBGROUP_FEATURE_BALLOT_BIT |
                                       VK_SUBGROUP_FEATURE_VOTE_BIT;
    const VkPhysicalDeviceFeatures *b = &f->base.features;
    bool shuffles =
        (p11->subgroupSupportedOperations & ops) == ops && (p11->subgroupSupportedStages & VK_SHADER_STAGE_COMPUTE_BIT);
    uint32_t kind = p->deviceType != VK_PHYSICAL_DEVICE_TYPE_CPU ? DLVK_FEATURE_WAVE : shuffles ? DLVK_FEATURE_SCALAR : 0;
    uint32_t most = p->limits.maxComputeWorkGroupInvocations < p->limits.maxComputeWorkGroupSize[0]
                        ? p->limits.maxComputeWorkGroupInvocations
                        : p->limits.maxComputeWorkGroupSize[0];
    return (b->shaderInt64 ? DLVK_FEATURE_INT64 : 0) | (b->shaderFloat64 ? DLVK_FEATURE_FLOAT64 : 0) |
           (f->v12.shaderFloat16 ? DLVK_FEATURE_FLOAT16 : 0) | (b->shaderInt16 ? DLVK_FEATURE_INT16 : 0) |
           (f->v12.shaderInt8 ? DLVK_FEATURE_INT8 : 0) | (f->v11.storageBuffer16BitAccess ? DLVK_FEATURE_STORAGE16 : 0) |
           (f->v12.storageBuffer8BitAccess ? DLVK_FEATURE_STORAGE8 : 0) |
           (shuffles && p11->subgroupSize >= 8 ? DLVK_FEATURE_SUBGROUP : 0) | (coopmat ? DLVK_FEATURE_COOPMAT : 0) | kind |
           (most >= 512 ? DLVK_FEATURE_WG512 : 0) | (most >= 1024 ? DLVK_FEATURE_WG1024 : 0) |
           (f->shader_object.shaderObject ? DLVK_FEATURE_SHADER_OBJECT : 0);
}

static uint32_t compute_family(VkPhysicalDevice p, VkQueueFamilyProperties *props)
{
    VkQueueFamilyProperties list[32];
    uint32_t n = 32;
    vkGetPhysicalDeviceQueueFamilyProperties(p, &n, list);
    for (uint32_t i = 0; i < n; i++)
        if (list[i].queueFlags & VK_QUEUE_COMPUTE_BIT) {
            *props = list[i];
            return i;
        }
    return UINT32_MAX;
}

/* Fills d->info and what else depends on the physical device alone; *f: what it supports. */
static void examine(dlvk_device *d, VkPhysicalDevice physical, DeviceFeatures *f)
{
    VkPhysicalDeviceProperties base;
    dlvk_device_info *info = &d->info;
    d->physical = physical;
    vkGetPhysicalDeviceProperties(physical, &base);
    snprintf(info->name, sizeof info->name, "%s", base.deviceName);
    info->api_version = base.apiVersion;
    info->vendor_id = base.vendorID;
    info->device_id = base.deviceID;
    info->type = type_name(base.deviceType);
    d->cpu = base.deviceType == VK_PHYSICAL_DEVICE_TYPE_CPU;
    d->driver_number = base.driverVersion;
    memcpy(d->cache_uuid, base.pipelineCacheUUID, sizeof d->cache_uuid);
    if (base.apiVersion < VK_API_VERSION_1_3) {
        snprintf(info->why, sizeof info->why, "its driver has Vulkan %u.%u, DLVK needs 1.3",
                 VK_API_VERSION_MAJOR(base.apiVersion), VK_API_VERSION_MINOR(base.apiVersion));
        return;
    }
    VkPhysicalDeviceShaderObjectPropertiesEXT pso = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SHADER_OBJECT_PROPERTIES_EXT};
    bool shader_object = d->cpu && has_extension(physical, VK_EXT_SHADER_OBJECT_EXTENSION_NAME);
    VkPhysicalDeviceVulkan13Properties p13 = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_3_PROPERTIES,
                                              .pNext = shader_object ? &pso : NULL};
    VkPhysicalDeviceVulkan12Properties p12 = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_2_PROPERTIES, .pNext = &p13};
    VkPhysicalDeviceVulkan11Properties p11 = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_1_PROPERTIES, .pNext = &p12};
    VkPhysicalDeviceProperties2 props = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PROPERTIES_2, .pNext = &p11};
    vkGetPhysicalDeviceProperties2(physical, &props);
    bool coopmat = has_extension(physical, VK_KHR_COOPERATIVE_MATRIX_EXTENSION_NAME);
    *f = (DeviceFeatures){0};
    device_chain(f, coopmat, shader_object);
    vkGetPhysicalDeviceFeatures2(physical, &f->base);
    if (coopmat && f->coopmat.cooperativeMatrix && f->v12.vulkanMemoryModel) d->matrix = find_matrix(d->instance, physical);
    /* The kernels' tiles want as much shared memory as every GPU with matrices has, a CPU driver's only in its tests. */
    uint32_t lanes = p11.subgroupSize;
    coopmat = d->matrix && lanes >= d->matrix && lanes <= 32 && (d->cpu || base.limits.maxComputeSharedMemorySize >= 48 << 10);

    d->quads = base.vendorID == 0x10de && lanes == 32 && d->matrix == 16;
    memcpy(d->shader_uuid, pso.shaderBinaryUUID, sizeof d->shader_uuid);

    const VkPhysicalDeviceLimits *lim = &base.limits;
    snprintf(info->driver, sizeof info->driver, "%s", p12.driverName);
    snprintf(info->driver_version, sizeof info->driver_version, "%s", p12.driverInfo);
    info->features = feature_bits(f, &base, &p11, coopmat) | (coopmat && d->quads ? DLVK_FEATURE_QUADS : 0);
    info->max_allocation_bytes =
        p11.maxMemoryAllocationSize < p13.maxBufferSize ? p11.maxMemoryAllocationSize : p13.maxBufferSize;
    info->subgroup_size = p11.subgroupSize;
    info->max_workgroup_size = lim->maxComputeWorkGroupInvocations;
    info->shared_memory_bytes = lim->maxComputeSharedMemorySize;
    info->push_constant_bytes = lim->maxPushConstantsSize;
    memcpy(d->max_groups, lim->maxComputeWorkGroupCount, sizeof d->max_groups);
    VkPhysicalDeviceMemoryProperties mem;
    vkGetPhysicalDeviceMemoryProperties(physical, &mem);
    for (uint32_t i = 0; i < mem.memoryHeapCount; i++)
        if ((mem.memoryHeaps[i].flags & VK_MEMORY_HEAP_DEVICE_LOCAL_BIT) && mem.memoryHeaps[i].size > info->memory_bytes)
            info->memory_bytes = mem.memoryHeaps[i].size;

    VkQueueFamilyProperties family = {0};
    d->family = compute_family(physical, &family);
    d->timestamp_ns = family.timestampValidBits ? (double)lim->timestampPeriod : 0;
    d->timestamp_mask = family.timestampValidBits >= 64 ? UINT64_MAX : (1ull << family.timestampValidBits) - 1;
    const char *lack = d->family == UINT32_MAX       ? "a compute queue"
                       : !f->v12.bufferDeviceAddress ? "bufferDeviceAddress"
                       : !f->v12.timelineSemaphore   ? "timelineSemaphore"
                       : !f->v13.synchronization2    ? "synchronization2"
                       : !f->v13.maintenance4        ? "maintenance4"
                                                     : NULL;
    if (lack) snprintf(info->why, sizeof info->why, "it lacks %s", lack);
    info->usable = !lack;
    d->poison = getenv("DLVK_POISON") != NULL;
    const char *disable = getenv("DLVK_DISABLE");
    while (disable && *disable) {
        size_t n = strcspn(disable, ", ");
        for (size_t i = 0; i < N_FEATURES; i++)
            if (strlen(feature_names[i].name) == n && strncmp(feature_names[i].name, disable, n) == 0)
                dlvk_device_disable(d, feature_names[i].bit);
        disable += n + strspn(disable + n, ", ");
    }
}

/* ---- listing and choosing ---------------------------------------------------------------------------------------- */

typedef struct Found {
    VkPhysicalDevice physical;
    int order;
    uint32_t index;
} Found;

static int by_order(const void *pa, const void *pb)
{
    const Found *a = pa, *b = pb;
    return a->order != b->order ? a->order - b->order : a->index < b->index ? -1 : 1;
}

static dlvk_status find_all(VkInstance instance, Found **out, uint32_t *n, dlvk_error *err)
{
    *n = 0;
    *out = NULL;
    VkResult r = vkEnumeratePhysicalDevices(instance, n, NULL);
    if (r == VK_ERROR_INITIALIZATION_FAILED || (!r && *n == 0)) return rt_error(err, DLVK_NO_DEVICE, "%s", no_device);
    if (r) return vk_error(r, "vkEnumeratePhysicalDevices", err);
    VkPhysicalDevice *list = calloc(*n, sizeof *list);
    Found *found = calloc(*n, sizeof *found);
    r = list && found ? vkEnumeratePhysicalDevices(instance, n, list) : VK_ERROR_OUT_OF_HOST_MEMORY;
    if (r < 0) {
        free(list);
        free(found);
        return vk_error(r, "vkEnumeratePhysicalDevices", err);
    }
    for (uint32_t i = 0; i < *n; i++) {
        VkPhysicalDeviceProperties p;
        vkGetPhysicalDeviceProperties(list[i], &p);
        found[i] = (Found){list[i], rank(p.deviceType) + (p.apiVersion < VK_API_VERSION_1_3 ? 8 : 0), i};
    }
    qsort(found, *n, sizeof *found, by_order);
    free(list);
    *out = found;
    return DLVK_OK;
}

dlvk_status dlvk_devices(dlvk_device_info **out, int *n_out, dlvk_error *err)
{
    if (!out || !n_out) return rt_error(err, DLVK_INVALID_ARGUMENT, "dlvk_devices: a NULL argument");
    *out = NULL;
    *n_out = 0;
    VkInstance instance;
    dlvk_status st = device_make_instance(NULL, &instance, err);
    if (st) return st;
    Found *found = NULL;
    uint32_t n = 0;
    st = find_all(instance, &found, &n, err);
    dlvk_device_info *list = st ? NULL : calloc(n, sizeof *list);
    if (!st && !list) st = rt_error(err, DLVK_OUT_OF_MEMORY, "out of memory");
    for (uint32_t i = 0; !st && i < n; i++) {
        dlvk_device d = {.instance = instance};
        DeviceFeatures f;
        examine(&d, found[i].physical, &f);
        list[i] = d.info;
    }
    free(found);
    vkDestroyInstance(instance, NULL);
    *out = list;
    *n_out = st ? 0 : (int)n;
    return st;
}

static bool contains_nocase(const char *text, const char *part)
{
    for (; *text; text++) {
        size_t i = 0;
        while (part[i] && tolower((unsigned char)text[i]) == tolower((unsigned char)part[i])) i++;
        if (!part[i]) return true;
    }
    return !*part;
}

/* Finds `which` and examines it. */
dlvk_status device_choose(dlvk_device *d, const char *which, DeviceFeatures *f, dlvk_error *err)
{
    Found *found = NULL;
    uint32_t n = 0;
    dlvk_status st = find_all(d->instance, &found, &n, err);
    if (st) return st;
    char *end = NULL;
    unsigned long index = which && isdigit((unsigned char)*which) ? strtoul(which, &end, 10) : 0;
    bool by_index = end && !*end;
    char names[1024] = "";
    bool matched = false, done = false;
    for (uint32_t i = 0; i < n && !done; i++) {
        d->info = (dlvk_device_info){0};
        examine(d, found[i].physical, f);
        size_t at = strlen(names);
        snprintf(names + at, sizeof names - at, "%s%u: %s%s%s", i ? "; " : "", i, d->info.name,
                 d->info.usable ? "" : " unusable: ", d->info.why);
        if (by_index ? i != index : which && !contains_nocase(d->info.name, which) && !contains_nocase(d->info.driver, which))
            continue;
        matched = true;
        done = d->info.usable || by_index;
    }
    free(found);
    if (done && d->info.usable) return DLVK_OK;
    if (matched && by_index)
        return rt_error(err, DLVK_NO_DEVICE, "device %lu (%s) cannot be used: %s", index, d->info.name, d->info.why);
    if (matched) return rt_error(err, DLVK_NO_DEVICE, "no usable Vulkan 1.3 device: %s", names);
    return rt_error(err, DLVK_NO_DEVICE, "no device matches '%s'; there are: %s", which, names);
}
