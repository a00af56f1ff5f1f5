/* The Vulkan side of the runtime: a device and its memory. */
#ifndef DLVK_RUNTIME_VK_H
#define DLVK_RUNTIME_VK_H

#include "dlvk/runtime.h"
#include <pthread.h>
#include <stdatomic.h>
#include <vulkan/vulkan.h>

typedef enum MemoryUse {
    MEMORY_DEVICE,   /* fast for the device; mapped where the device shares the host's memory */
    MEMORY_UPLOAD,   /* mapped; the host writes, the device reads once */
    MEMORY_DOWNLOAD, /* mapped; the device writes, the host reads */
    MEMORY_ARGS,     /* mapped, and near the device where possible: kernels' arguments */
    MEMORY_USES
} MemoryUse;

/* A buffer with memory of its own and a device address. All zero: none. */
typedef struct Memory {
    VkBuffer buffer;
    VkDeviceMemory memory;
    VkDeviceAddress address;
    uint8_t *map; /* NULL where the host cannot see it */
    uint64_t size;
} Memory;

/* lavapipe executes a load whose address is the same in all invocations even where none of them is active, as in the last test of
 * a loop; such loads may run past a buffer's end by a step. So on CPU devices memory has this much behind it, and an empty buffer
 * has an address that can be read. */
enum { MEMORY_GUARD = 64 << 10 };

struct dlvk_device {
    dlvk_device_info info;
    VkInstance instance;
    VkPhysicalDevice physical;
    VkDevice device;
    VkQueue queue;
    uint32_t family;
    pthread_mutex_t queue_lock; /* vkQueueSubmit2 wants external synchronization */
    bool queue_lock_made;
    VkDebugUtilsMessengerEXT messenger;
    atomic_ullong messages;
    uint32_t memory_type[MEMORY_USES];
    bool cpu;            /* a CPU driver */
    bool unified;        /* MEMORY_DEVICE is mapped */
    bool poison;         /* DLVK_POISON is set: memory the host can see begins as NaNs, and every run does */
    bool full_subgroups; /* computeFullSubgroups is enabled */
    uint32_t matrix;     /* rows, columns and depth of the cooperative matrices that DLVK_FEATURE_COOPMAT stands for */
    bool quads; /* lanes hold matrices as NVIDIA's do: four neighbours have rows i and i + 8 of accumulators and left operands (16
                   x 16) between them, in the order of attention_matrix.comp.glsl */
    double timestamp_ns; /* of one tick; 0: the queue has no timestamps */
    uint64_t timestamp_mask;
    uint32_t max_groups[3];
    uint8_t cache_uuid[VK_UUID_SIZE];
    uint32_t driver_number;
    uint8_t shader_uuid[VK_UUID_SIZE];
    /* Of VK_EXT_shader_object; NULL: the device takes pipelines. */
    PFN_vkCreateShadersEXT create_shaders;
    PFN_vkDestroyShaderEXT destroy_shader;
    PFN_vkGetShaderBinaryDataEXT get_shader_binary;
    PFN_vkCmdBindShadersEXT bind_shaders;
    Memory nothing; /* what the address of an empty buffer leads to */
};

/* size > 0. `what` for the message: "weights", "arena", ... */
dlvk_status vk_memory_new(dlvk_device *d, MemoryUse use, uint64_t size, const char *what, Memory *m, dlvk_error *err);
void vk_memory_free(dlvk_device *d, Memory *m);
/* The status for a failed Vulkan call, with its name in the message. */
dlvk_status vk_error(VkResult r, const char *call, dlvk_error *err);
/* Records and runs one command buffer, and waits for it. */
typedef struct OneTime {
    VkCommandPool pool;
    VkCommandBuffer cmd;
    VkFence fence;
} OneTime;
dlvk_status vk_one_time_begin(dlvk_device *d, OneTime *o, dlvk_error *err);
dlvk_status vk_one_time_end(dlvk_device *d, OneTime *o, dlvk_error *err); /* frees; nothing to do where begin failed */
dlvk_status vk_submit(dlvk_device *d, const VkSubmitInfo2 *submit, VkFence fence, dlvk_error *err);
/* Where waiting for a submission has failed: waits for the whole queue, so that what the submission uses can be freed. */
void vk_idle(dlvk_device *d);
/* Everything before is complete and visible to everything after, the host included. */
void vk_full_barrier(VkCommandBuffer cmd);

#endif
