/* Device memory, one-time commands, and the statuses of failed Vulkan calls. */
#include "runtime/error.h"
#include "runtime/vk.h"
#include <inttypes.h>
#include <string.h>

static const char *result_name(VkResult r)
{
    switch (r) {
#define NAME(x)                                                                                                                  \
    case x: return #x
        NAME(VK_NOT_READY);
        NAME(VK_TIMEOUT);
        NAME(VK_INCOMPLETE);
        NAME(VK_ERROR_OUT_OF_HOST_MEMORY);
        NAME(VK_ERROR_OUT_OF_DEVICE_MEMORY);
        NAME(VK_ERROR_INITIALIZATION_FAILED);
        NAME(VK_ERROR_DEVICE_LOST);
        NAME(VK_ERROR_MEMORY_MAP_FAILED);
        NAME(VK_ERROR_LAYER_NOT_PRESENT);
        NAME(VK_ERROR_EXTENSION_NOT_PRESENT);
        NAME(VK_ERROR_FEATURE_NOT_PRESENT);
        NAME(VK_ERROR_INCOMPATIBLE_DRIVER);
        NAME(VK_ERROR_TOO_MANY_OBJECTS);
        NAME(VK_ERROR_INVALID_SHADER_NV);
        NAME(VK_ERROR_UNKNOWN);
#undef NAME
    default: return NULL;
    }
}

dlvk_status vk_error(VkResult r, const char *call, dlvk_error *err)
{
    dlvk_status st = r == VK_ERROR_OUT_OF_HOST_MEMORY || r == VK_ERROR_OUT_OF_DEVICE_MEMORY ? DLVK_OUT_OF_MEMORY
                     : r == VK_ERROR_DEVICE_LOST                                            ? DLVK_DEVICE_LOST
                     : r == VK_ERROR_INCOMPATIBLE_DRIVER                                    ? DLVK_NO_DEVICE
                                                                                            : DLVK_INTERNAL;
    const char *name = result_name(r);
    return name ? rt_error(err, st, "%s: %s", call, name) : rt_error(err, st, "%s: VkResult %d", call, (int)r);
}

dlvk_status vk_memory_new(dlvk_device *d, MemoryUse use, uint64_t size, const char *what, Memory *m, dlvk_error *err)
{
    *m = (Memory){.size = size};
    if (size > d->info.max_allocation_bytes)
        return rt_error(err, DLVK_OUT_OF_MEMORY, "%s: %" PRIu64 " bytes; device '%s' allocates at most %" PRIu64 " at once", what,
                        size, d->info.name, d->info.max_allocation_bytes);
    uint64_t guard = d->cpu && d->info.max_allocation_bytes - size >= MEMORY_GUARD ? MEMORY_GUARD : 0;
    const VkBufferCreateInfo info = {.sType = VK_STRUCTURE_TYPE_BUFFER_CREATE_INFO,
                                     .size = size + guard,
                                     .usage = VK_BUFFER_USAGE_STORAGE_BUFFER_BIT | VK_BUFFER_USAGE_TRANSFER_SRC_BIT |
                                              VK_BUFFER_USAGE_TRANSFER_DST_BIT | VK_BUFFER_USAGE_SHADER_DEVICE_ADDRESS_BIT};
    VkResult r = vkCreateBuffer(d->device, &info, NULL, &m->buffer);
    if (!r) {
        VkMemoryRequirements req;
        vkGetBufferMemoryRequirements(d->device, m->buffer, &req);
        const VkMemoryAllocateFlagsInfo flags = {.sType = VK_STRUCTURE_TYPE_MEMORY_ALLOCATE_FLAGS_INFO,
                                                 .flags = VK_MEMORY_ALLOCATE_DEVICE_ADDRESS_BIT};
        const VkMemoryAllocateInfo alloc = {.sType = VK_STRUCTURE_TYPE_MEMORY_ALLOCATE_INFO,
                                            .pNext = &flags,
                                            .allocationSize = req.size,
                                            .memoryTypeIndex = d->memory_type[use]};
        r = vkAllocateMemory(d->device, &alloc, NULL, &m->memory);
    }
    if (!r) r = vkBindBufferMemory(d->device, m->buffer, m->memory, 0);
    if (!r && (use != MEMORY_DEVICE || d->unified)) r = vkMapMemory(d->device, m->memory, 0, VK_WHOLE_SIZE, 0, (void **)&m->map);
    if (r) {
        vk_memory_free(d, m);
        if (r == VK_ERROR_OUT_OF_DEVICE_MEMORY || r == VK_ERROR_OUT_OF_HOST_MEMORY || r == VK_ERROR_MEMORY_MAP_FAILED)
            return rt_error(err, DLVK_OUT_OF_MEMORY, "%s: device '%s' has no %" PRIu64 " bytes left", what, d->info.name, size);
        return vk_error(r, what, err);
    }
    if (d->poison && m->map) memset(m->map, 0xff, size); /* NaNs: what is read before it is written shows */
    m->address = vkGetBufferDeviceAddress(
        d->device, &(VkBufferDeviceAddressInfo){.sType = VK_STRUCTURE_TYPE_BUFFER_DEVICE_ADDRESS_INFO, .buffer = m->buffer});
    return DLVK_OK;
}

void vk_memory_free(dlvk_device *d, Memory *m)
{
    if (m->buffer) vkDestroyBuffer(d->device, m->buffer, NULL);
    if (m->memory) vkFreeMemory(d->device, m->memory, NULL);
    *m = (Memory){0};
}

void vk_full_barrier(VkCommandBuffer cmd)
{
    /* Not all commands: a GPU takes twice as long for that. */
    const VkPipelineStageFlags2 used = VK_PIPELINE_STAGE_2_COMPUTE_SHADER_BIT | VK_PIPELINE_STAGE_2_ALL_TRANSFER_BIT;
    const VkMemoryBarrier2 barrier = {.sType = VK_STRUCTURE_TYPE_MEMORY_BARRIER_2,
                                      .srcStageMask = used,
                                      .srcAccessMask = VK_ACCESS_2_MEMORY_WRITE_BIT,
                                      .dstStageMask = used | VK_PIPELINE_STAGE_2_HOST_BIT,
                                      .dstAccessMask =
                                          VK_ACCESS_2_MEMORY_READ_BIT | VK_ACCESS_2_MEMORY_WRITE_BIT | VK_ACCESS_2_HOST_READ_BIT};
    vkCmdPipelineBarrier2(
        cmd,
        &(VkDependencyInfo){.sType = VK_STRUCTURE_TYPE_DEPENDENCY_INFO, .memoryBarrierCount = 1, .pMemoryBarriers = &barrier});
}

dlvk_status vk_submit(dlvk_device *d, const VkSubmitInfo2 *submit, VkFence fence, dlvk_error *err)
{
    pthread_mutex_lock(&d->queue_lock);
    VkResult r = vkQueueSubmit2(d->queue, 1, submit, fence);
    pthread_mutex_unlock(&d->queue_lock);
    return r ? vk_error(r, "vkQueueSubmit2", err) : DLVK_OK;
}

void vk_idle(dlvk_device *d)
{
    pthread_mutex_lock(&d->queue_lock);
    vkQueueWaitIdle(d->queue);
    pthread_mutex_unlock(&d->queue_lock);
}

dlvk_status vk_one_time_begin(dlvk_device *d, OneTime *o, dlvk_error *err)
{
    *o = (OneTime){0};
    const VkCommandPoolCreateInfo pool = {.sType = VK_STRUCTURE_TYPE_COMMAND_POOL_CREATE_INFO,
                                          .flags = VK_COMMAND_POOL_CREATE_TRANSIENT_BIT,
                                          .queueFamilyIndex = d->family};
    VkResult r = vkCreateCommandPool(d->device, &pool, NULL, &o->pool);
    const VkCommandBufferAllocateInfo alloc = {.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_ALLOCATE_INFO,
                                               .commandPool = o->pool,
                                               .level = VK_COMMAND_BUFFER_LEVEL_PRIMARY,
                                               .commandBufferCount = 1};
    if (!r) r = vkAllocateCommandBuffers(d->device, &alloc, &o->cmd);
    if (!r) r = vkCreateFence(d->device, &(VkFenceCreateInfo){.sType = VK_STRUCTURE_TYPE_FENCE_CREATE_INFO}, NULL, &o->fence);
    if (!r)
        r = vkBeginCommandBuffer(o->cmd, &(VkCommandBufferBeginInfo){.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_BEGIN_INFO,
                                                                     .flags = VK_COMMAND_BUFFER_USAGE_ONE_TIME_SUBMIT_BIT});
    if (!r) {
        vk_full_barrier(o->cmd);
        return DLVK_OK;
    }
    vkDestroyFence(d->device, o->fence, NULL);
    vkDestroyCommandPool(d->device, o->pool, NULL);
    *o = (OneTime){0};
    return vk_error(r, "a command buffer", err);
}

dlvk_status vk_one_time_end(dlvk_device *d, OneTime *o, dlvk_error *err)
{
    if (!o->pool) return DLVK_OK;
    vk_full_barrier(o->cmd);
    VkResult r = vkEndCommandBuffer(o->cmd);
    dlvk_status st = r ? vk_error(r, "vkEndCommandBuffer", err) : DLVK_OK;
    const VkCommandBufferSubmitInfo cmd = {.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_SUBMIT_INFO, .commandBuffer = o->cmd};
    const VkSubmitInfo2 submit = {
        .sType = VK_STRUCTURE_TYPE_SUBMIT_INFO_2, .commandBufferInfoCount = 1, .pCommandBufferInfos = &cmd};
    if (!st) st = vk_submit(d, &submit, o->fence, err);
    if (!st && (r = vkWaitForFences(d->device, 1, &o->fence, VK_TRUE, UINT64_MAX))) {
        st = vk_error(r, "vkWaitForFences", err);
        vk_idle(d);
    }
    vkDestroyFence(d->device, o->fence, NULL);
    vkDestroyCommandPool(d->device, o->pool, NULL);
    *o = (OneTime){0};
    return st;
}
