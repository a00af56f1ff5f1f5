/* Failing drivers: these functions stand before the driver's own and fail one call of a test's choice. Whatever fails, the
 * runtime must say so, free everything and stay usable. */
#include "planner.h"
#include <dlfcn.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <vulkan/vulkan.h>

static atomic_int calls, fail_at; /* the fail_at-th call fails; 0: none */
static VkResult fault;
static const char *fault_in; /* only calls of this function count; NULL: all */

static bool fails(const char *name)
{
    if (!fail_at || (fault_in && strcmp(fault_in, name) != 0)) return false;
    return atomic_fetch_add(&calls, 1) + 1 == fail_at;
}

#define FAULTY(name, params, args)                                                                                               \
    VKAPI_ATTR VkResult VKAPI_CALL name params                                                                                   \
    {                                                                                                                            \
        static PFN_##name real;                                                                                                  \
        if (!real) real = (PFN_##name)dlsym(RTLD_NEXT, #name);                                                                   \
        return fails(#name) ? fault : real args;                                                                                 \
    }
FAULTY(vkCreateBuffer, (VkDevice d, const VkBufferCreateInfo *i, const VkAllocationCallbacks *a, VkBuffer *o), (d, i, a, o))
FAULTY(vkAllocateMemory, (VkDevice d, const VkMemoryAllocateInfo *i, const VkAllocationCallbacks *a, VkDeviceMemory *o),
       (d, i, a, o))
FAULTY(vkMapMemory, (VkDevice d, VkDeviceMemory m, VkDeviceSize at, VkDeviceSize n, VkMemoryMapFlags f, void **o),
       (d, m, at, n, f, o))
FAULTY(vkCreateShaderModule, (VkDevice d, const VkShaderModuleCreateInfo *i, const VkAllocationCallbacks *a, VkShaderModule *o),
       (d, i, a, o))
FAULTY(vkCreatePipelineLayout,
       (VkDevice d, const VkPipelineLayoutCreateInfo *i, const VkAllocationCallbacks *a, VkPipelineLayout *o), (d, i, a, o))
FAULTY(vkCreatePipelineCache,
       (VkDevice d, const VkPipelineCacheCreateInfo *i, const VkAllocationCallbacks *a, VkPipelineCache *o), (d, i, a, o))
FAULTY(vkCreateComputePipelines,
       (VkDevice d, VkPipelineCache c, uint32_t n, const VkComputePipelineCreateInfo *i, const VkAllocationCallbacks *a,
        VkPipeline *o),
       (d, c, n, i, a, o))
FAULTY(vkCreateCommandPool, (VkDevice d, const VkCommandPoolCreateInfo *i, const VkAllocationCallbacks *a, VkCommandPool *o),
       (d, i, a, o))
FAULTY(vkAllocateCommandBuffers, (VkDevice d, const VkCommandBufferAllocateInfo *i, VkCommandBuffer *o), (d, i, o))
FAULTY(vkBeginCommandBuffer, (VkCommandBuffer c, const VkCommandBufferBeginInfo *i), (c, i))
FAULTY(vkEndCommandBuffer, (VkCommandBuffer c), (c))
FAULTY(vkCreateSemaphore, (VkDevice d, const VkSemaphoreCreateInfo *i, const VkAllocationCallbacks *a, VkSemaphore *o),
       (d, i, a, o))
FAULTY(vkCreateFence, (VkDevice d, const VkFenceCreateInfo *i, const VkAllocationCallbacks *a, VkFence *o), (d, i, a, o))
FAULTY(vkCreateQueryPool, (VkDevice d, const VkQueryPoolCreateInfo *i, const VkAllocationCallbacks *a, VkQueryPool *o),
       (d, i, a, o))
FAULTY(vkQueueSubmit2, (VkQueue q, uint32_t n, const VkSubmitInfo2 *s, VkFence f), (q, n, s, f))
FAULTY(vkWaitForFences, (VkDevice d, uint32_t n, const VkFence *f, VkBool32 all, uint64_t t), (d, n, f, all, t))
FAULTY(vkWaitSemaphores, (VkDevice d, const VkSemaphoreWaitInfo *i, uint64_t t), (d, i, t))

static PFN_vkCreateShadersEXT create_shaders;
static VKAPI_ATTR VkResult VKAPI_CALL faulty_shaders(VkDevice d, uint32_t n, const VkShaderCreateInfoEXT *i,
                                                     const VkAllocationCallbacks *a, VkShaderEXT *o)
{
    return fails("vkCreateShadersEXT") ? fault : create_shaders(d, n, i, a, o);
}

VKAPI_ATTR PFN_vkVoidFunction VKAPI_CALL vkGetDeviceProcAddr(VkDevice d, const char *name)
{
    static PFN_vkGetDeviceProcAddr real;
    if (!real) real = (PFN_vkGetDeviceProcAddr)dlsym(RTLD_NEXT, "vkGetDeviceProcAddr");
    PFN_vkVoidFunction f = real(d, name);
    if (!f || strcmp(name, "vkCreateShadersEXT") != 0) return f;
    create_shaders = (PFN_vkCreateShadersEXT)(void *)f;
    return (PFN_vkVoidFunction)(void *)faulty_shaders;
}

/* Weights, a state, an indirect dispatch, sizes read back and a loop whose results grow: something of all that allocates. */
static void everything(Planner *p)
{
    planner_init(p);
    float w[2] = {1, 2};
    uint32_t one = planner_const(p, 1), four = planner_const(p, 4), eight = planner_const(p, 8), zero = planner_const(p, 0);
    uint32_t n = planner_symbol(p, "n", 1, 100, false), k = planner_symbol(p, "k", 0, 100, true),
             count = planner_symbol(p, "count", 0, 100, true);
    uint32_t iter = planner_symbol(p, "iter", 0, 100, true), bytes = planner_op(p, EXPR(MUL), n, four);
    uint32_t x = planner_buffer(p, BUF(INPUT), bytes, 0, 0), c = planner_constant(p, w, sizeof w, sizeof w),
             s = planner_state(p, w, sizeof w, "s", DLVK_F32);
    uint32_t number = planner_buffer(p, BUF(ARENA), eight, 0, 9), trips = planner_buffer(p, BUF(ARENA), eight, 0, 9);
    uint32_t tmp = planner_buffer(p, BUF(ARENA), planner_op(p, EXPR(MUL), k, four), 0, 9);
    uint32_t y = planner_buffer(p, BUF(OUTPUT), planner_op(p, EXPR(MUL), count, four), 0, 0);
    planner_input(p, "x", DLVK_F32, x, 1, &n);
    planner_output(p, "y", DLVK_F32, y, 1, &count);
    uint32_t direct = planner_pipeline(p, "", "F c; F s; I t; int n;", 28,
                                       "if (i == 0) { t.v[0] = n; t.v[1] = 0; s.v[0] += c.v[0]; }", 0, NULL, 0);
    uint32_t indirect =
        planner_pipeline(p, "layout(buffer_reference, std430, buffer_reference_align = 8) buffer X { F c; F s; I t; int n; };",
                         "X a;", 8, "if (i == 0) { a.t.v[0] = a.n; a.t.v[1] = 0; a.s.v[0] += a.c.v[0]; }", 0, NULL, 0);
    Args a = {.address = {c, s, trips},
              .n_address = 3,
              .value = {n},
              .n_value = 1,
              .reads = {c, s},
              .n_reads = 2,
              .writes = {s, trips},
              .n_writes = 2};
    planner_add_variant(p, planner_dispatch(p, planner_top(p), "count", direct, one, &a), indirect, one, true);
    planner_read(p, planner_top(p), trips, DLVK_I64, planner_symbol_index(p, "k"));
    Dlvk__Plan__Loop *l = planner_loop(p, planner_top(p));
    l->trip_count = 1 + trips;
    l->iteration = 1 + number;
    l->count_symbol = 1 + planner_symbol_index(p, "count");
    l->iteration_symbol = 1 + planner_symbol_index(p, "iter");
    uint32_t at = planner_op(p, EXPR(MUL), iter, four);
    planner_copy(p, l->body, x, tmp, four, at, at);
    planner_copy(p, l->body, tmp, y, four, at, at);
    planner_copy(p, planner_top(p), s, tmp, four, zero, zero);
}

/* The life of a model; the first status that is not OK. */
static dlvk_status live(dlvk_device *d, const void *data, size_t size, dlvk_error *err)
{
    dlvk_model *m = NULL;
    dlvk_session *s = NULL;
    float x[40], y[40], state[2];
    dlvk_status st = dlvk_model_load_memory(d, data, size, NULL, &m, err);
    if (!st) st = dlvk_session_create(m, &s, err);
    if (!st) st = dlvk_session_profile(s, true, err);
    for (int64_t n = 1; !st && n <= 40; n += 13) {
        for (int i = 0; i < n; i++) x[i] = (float)(i + n);
        st = dlvk_session_set_input(s, "x", &n, 1, x, (size_t)n * 4, err);
        if (!st) st = dlvk_session_run(s, err);
        if (!st) st = dlvk_session_get_output(s, "y", y, sizeof y, err);
        if (!st) cr_assert_eq(memcmp(x, y, (size_t)n * 4), 0);
        if (!st) st = dlvk_session_get_state(s, "s", state, sizeof state, err);
    }
    dlvk_session_free(s);
    dlvk_model_free(m);
    return st;
}

static void each_fault(VkResult result)
{
    Planner p;
    void *data;
    size_t size;
    everything(&p);
    planner_write(&p, &data, &size);
    dlvk_device *d = test_device();
    fault = result;
    int k = 1;
    for (;; k++) {
        dlvk_error err = {""};
        calls = 0;
        fail_at = k;
        dlvk_status st = live(d, data, size, &err);
        bool reached = calls >= fail_at;
        fail_at = 0;
        if (!reached) {
            cr_assert_eq(st, DLVK_OK, "%s", err.text);
            break;
        }
        cr_assert(st != DLVK_OK && err.text[0], "failure of call %d was not reported", k);
        if (result == VK_ERROR_OUT_OF_DEVICE_MEMORY) cr_assert_eq(st, DLVK_OUT_OF_MEMORY, "call %d: %s", k, err.text);
    }
    cr_assert_gt(k, 40);
    dlvk_error err;
    cr_assert_eq(live(d, data, size, &err), DLVK_OK, "%s", err.text);
    free(data);
    planner_free(&p);
    dlvk_device_close(d);
}

Test(faults, out_of_memory)
{
    each_fault(VK_ERROR_OUT_OF_DEVICE_MEMORY);
}
Test(faults, unknown)
{
    each_fault(VK_ERROR_UNKNOWN);
}

Test(faults, device_lost_names_the_kernels)
{
    Planner p;
    void *data;
    size_t size;
    everything(&p);
    planner_write(&p, &data, &size);
    dlvk_error err = {""};
    dlvk_device *d = test_device();
    fault = VK_ERROR_DEVICE_LOST;
    fault_in = "vkWaitSemaphores";
    fail_at = 1;
    cr_assert_eq(live(d, data, size, &err), DLVK_DEVICE_LOST, "%s", err.text);
    cr_assert(strstr(err.text, "running one of\n  count (from count)"), "%s", err.text);
    fail_at = 0;
    free(data);
    planner_free(&p);
    dlvk_device_close(d);
}

/* A size that no allocation holds: the message says how much was wanted. */
Test(faults, too_large)
{
    Planner p;
    planner_init(&p);
    uint32_t n = planner_symbol(&p, "n", 0, INT32_MAX, false), big = planner_op(&p, EXPR(MUL), n, planner_const(&p, 1 << 23));
    uint32_t x = planner_buffer(&p, BUF(INPUT), n, 0, 0), y = planner_buffer(&p, BUF(OUTPUT), big, 0, 0);
    planner_input(&p, "x", DLVK_U8, x, 1, &n);
    planner_output(&p, "y", DLVK_U8, y, 1, &big);
    Loaded l = planner_load(&p);
    int64_t dim = 1000;
    uint8_t data[1000];
    OK(dlvk_session_set_input(l.s, "x", &dim, 1, data, 1000, err));
    dlvk_error err;
    cr_assert_eq(dlvk_session_run(l.s, &err), DLVK_OUT_OF_MEMORY);
    cr_assert(strstr(err.text, "8388608000 bytes"), "%s", err.text);
    planner_unload(l, &p);
}

/* More elements than the 32 bits that kernels count them in: refused whatever memory there is, and of narrow types as of wide. */
static void too_many_elements(dlvk_dtype dtype)
{
    Planner p;
    planner_init(&p);
    uint32_t n = planner_symbol(&p, "n", 0, INT32_MAX, false);
    uint32_t count = planner_op(&p, EXPR(MUL), n, planner_const(&p, 1 << 16));
    uint32_t bytes = planner_op(&p, EXPR(MUL), count, planner_const(&p, (int64_t)dlvk_dtype_size(dtype, 1)));
    uint32_t x = planner_buffer(&p, BUF(INPUT), n, 0, 0), y = planner_buffer(&p, BUF(OUTPUT), bytes, 0, 0);
    planner_input(&p, "x", DLVK_U8, x, 1, &n);
    planner_output(&p, "y", dtype, y, 1, &count);
    p.plan.buffer[y]->dtype = (uint32_t)dtype + 1;
    Loaded l = planner_load(&p);
    static const uint8_t data[1 << 15];
    int64_t dim = sizeof data;
    OK(dlvk_session_set_input(l.s, "x", &dim, 1, data, sizeof data, err));
    dlvk_error err;
    cr_assert_eq(dlvk_session_run(l.s, &err), DLVK_UNSUPPORTED, "%s", err.text);
    cr_assert(strstr(err.text, "2147483648 elements"), "%s", err.text);
    planner_unload(l, &p);
}
Test(faults, too_many_bytes)
{
    too_many_elements(DLVK_U8);
}
Test(faults, too_many_f16)
{
    too_many_elements(DLVK_F16);
}
Test(faults, too_many_wide_integers)
{
    too_many_elements(DLVK_I64);
}
