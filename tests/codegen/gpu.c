/* Running one shader by hand; see gpu.h. */
#include "tests/codegen/gpu.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "codegen/prelude.h"
#include "codegen/spirv.h"
#include "runtime/vk.h"

dlvk_device *gpu_device(void)
{
    dlvk_device *d;
    dlvk_error err;
    setenv("DLVK_POISON", "1", 1); /* what a kernel does not write is not there from the last one that did */
    if (dlvk_device_open(NULL, &d, &err) == DLVK_OK) return d;
    fprintf(stderr, "%s\n", err.text);
    return NULL;
}

const char *gpu_source(Pool *p, const char *code, uint32_t features)
{
    const char *prelude = prelude_for(p, code, &features);
    return pool_printf(p,
                       "#version 460\n#extension GL_EXT_buffer_reference : require\n%s"
                       "layout(local_size_x = 64) in;\n"
                       "layout(buffer_reference, std430, buffer_reference_align = 8) readonly buffer Words { uvec2 d[]; };\n"
                       "layout(buffer_reference, std430, buffer_reference_align = 8) buffer WordsW { uvec2 d[]; };\n"
                       "layout(push_constant, std430) uniform Push { Words x; WordsW y; uint n; } p;\n%s",
                       prelude, code);
}

typedef struct Pipe {
    VkShaderModule module;
    VkPipelineLayout layout;
    VkPipeline pipeline;
} Pipe;

static void pipe_free(dlvk_device *d, Pipe *p)
{
    vkDestroyPipeline(d->device, p->pipeline, NULL);
    vkDestroyPipelineLayout(d->device, p->layout, NULL);
    vkDestroyShaderModule(d->device, p->module, NULL);
}

static bool pipe_new(dlvk_device *d, const SpirvJob *job, Pipe *p, dlvk_error *err)
{
    VkShaderModuleCreateInfo mi = {VK_STRUCTURE_TYPE_SHADER_MODULE_CREATE_INFO, .codeSize = job->bytes, .pCode = job->words};
    VkPushConstantRange range = {VK_SHADER_STAGE_COMPUTE_BIT, 0, 24};
    VkPipelineLayoutCreateInfo li = {VK_STRUCTURE_TYPE_PIPELINE_LAYOUT_CREATE_INFO, .pushConstantRangeCount = 1,
                                     .pPushConstantRanges = &range};
    VkResult r = vkCreateShaderModule(d->device, &mi, NULL, &p->module);
    if (r == VK_SUCCESS) r = vkCreatePipelineLayout(d->device, &li, NULL, &p->layout);
    VkComputePipelineCreateInfo ci = {VK_STRUCTURE_TYPE_COMPUTE_PIPELINE_CREATE_INFO,
                                      .stage = {VK_STRUCTURE_TYPE_PIPELINE_SHADER_STAGE_CREATE_INFO,
                                                .stage = VK_SHADER_STAGE_COMPUTE_BIT, .module = p->module, .pName = "main"},
                                      .layout = p->layout};
    if (r == VK_SUCCESS) r = vkCreateComputePipelines(d->device, VK_NULL_HANDLE, 1, &ci, NULL, &p->pipeline);
    if (r != VK_SUCCESS) vk_error(r, "making a pipeline", err);
    return r == VK_SUCCESS;
}

bool gpu_run(dlvk_device *d, const char *glsl, uint32_t n, const uint64_t *x, uint32_t n_in, uint64_t *y, uint32_t n_out,
             dlvk_error *err)
{
    SpirvJob job = {.name = "test", .glsl = glsl, .optimize = true};
    Memory in = {0}, out = {0};
    Pipe pipe = {0};
    OneTime once;
    bool ok = spirv_compile(&job, 1, &(SpirvOptions){.validate = true, .threads = 1});
    if (!ok) snprintf(err->text, sizeof err->text, "%s", job.error ? job.error : "no message");
    ok = ok && vk_memory_new(d, MEMORY_UPLOAD, n_in * 8u, "test input", &in, err) == DLVK_OK;
    ok = ok && vk_memory_new(d, MEMORY_DOWNLOAD, n_out * 8u, "test output", &out, err) == DLVK_OK;
    ok = ok && pipe_new(d, &job, &pipe, err);
    if (ok) memcpy(in.map, x, n_in * 8u);
    ok = ok && vk_one_time_begin(d, &once, err) == DLVK_OK;
    if (ok) {
        struct {
            uint64_t x, y;
            uint32_t n, pad;
        } push = {in.address, out.address, n, 0};
        vkCmdBindPipeline(once.cmd, VK_PIPELINE_BIND_POINT_COMPUTE, pipe.pipeline);
        vkCmdPushConstants(once.cmd, pipe.layout, VK_SHADER_STAGE_COMPUTE_BIT, 0, sizeof push, &push);
        vkCmdDispatch(once.cmd, (n + 63) / 64, 1, 1);
        VkMemoryBarrier2 barrier = {VK_STRUCTURE_TYPE_MEMORY_BARRIER_2,     NULL,
                                    VK_PIPELINE_STAGE_2_COMPUTE_SHADER_BIT, VK_ACCESS_2_SHADER_STORAGE_WRITE_BIT,
                                    VK_PIPELINE_STAGE_2_HOST_BIT,           VK_ACCESS_2_HOST_READ_BIT};
        VkDependencyInfo dep = {VK_STRUCTURE_TYPE_DEPENDENCY_INFO, .memoryBarrierCount = 1, .pMemoryBarriers = &barrier};
        vkCmdPipelineBarrier2(once.cmd, &dep);
        ok = vk_one_time_end(d, &once, err) == DLVK_OK;
    }
    if (ok) memcpy(y, out.map, n_out * 8u);
    pipe_free(d, &pipe);
    vk_memory_free(d, &in);
    vk_memory_free(d, &out);
    free(job.words);
    free(job.error);
    return ok;
}
