/* dlvk/runtime.h: running bundles. Needs libdlvk-runtime and a Vulkan driver, nothing else.
 *
 *     dlvk_device *dev;  dlvk_device_open(NULL, &dev, &err);
 *     dlvk_model *m;     dlvk_model_load(dev, "model.dlvk", NULL, &m, &err);
 *     dlvk_session *s;   dlvk_session_create(m, &s, &err);
 *     dlvk_session_set_input(s, "x", shape, 4, pixels, bytes, &err);
 *     dlvk_session_run(s, &err);
 *     dlvk_session_get_output(s, "y", scores, sizeof scores, &err);
 *
 * Strings are kept by the session and stand on the device as handles; what the plan asks the host to compute runs in
 * dlvk_session_submit, on the calling thread (dlvk/host.h).
 *
 * Threads: a device and a model may be used by any number of threads at once; a session by one at a time. Several
 * sessions of one model share its weights. */
#ifndef DLVK_RUNTIME_H
#define DLVK_RUNTIME_H

#include "dlvk/types.h"

#ifdef __cplusplus
extern "C" {
#endif

/* What a kernel may need beyond the Vulkan 1.3 minimum. Bits of a device and of a module. */
typedef enum dlvk_feature {
    DLVK_FEATURE_INT64 = 1 << 0,
    DLVK_FEATURE_FLOAT64 = 1 << 1,
    DLVK_FEATURE_FLOAT16 = 1 << 2, /* arithmetic */
    DLVK_FEATURE_INT16 = 1 << 3,
    DLVK_FEATURE_INT8 = 1 << 4,
    DLVK_FEATURE_STORAGE16 = 1 << 5, /* 16-bit loads and stores */
    DLVK_FEATURE_STORAGE8 = 1 << 6,
    DLVK_FEATURE_SUBGROUP = 1 << 7, /* subgroup arithmetic, shuffle, ballot and vote in compute shaders, 8 lanes at least */
    DLVK_FEATURE_COOPMAT = 1 << 8,  /* VK_KHR_cooperative_matrix: 16x16x16 or 8x8x8, f16 with sums in f32 */
    DLVK_FEATURE_WAVE = 1 << 9,     /* a GPU: loads of neighbouring invocations coalesce */
    DLVK_FEATURE_SCALAR = 1 << 10,  /* a CPU driver with shuffles: loads at one address for all lanes are cheap, others serial */
    DLVK_FEATURE_WG512 = 1 << 11,   /* workgroups of 512 */
    DLVK_FEATURE_WG1024 = 1 << 12,
    /* A CPU driver with VK_EXT_shader_object: taken instead of pipelines, whose cache is empty there. Only DLVK_DISABLE can switch it off:
     * it is decided when the device is opened. */
    DLVK_FEATURE_SHADER_OBJECT = 1 << 13,
    DLVK_FEATURE_QUADS = 1 << 14, /* with coopmat: lanes hold matrices of 16 x 16 as NVIDIA's do */
} dlvk_feature;

/* ---- devices ---------------------------------------------------------------------------------------------------- */

typedef struct dlvk_device dlvk_device;
typedef struct dlvk_device_info {
    char name[256], driver[256], driver_version[256];
    uint32_t api_version; /* as VK_MAKE_API_VERSION */
    uint32_t vendor_id, device_id;
    const char *type;      /* "discrete gpu", "integrated gpu", "cpu", ...; static storage */
    uint32_t features;     /* dlvk_feature bits */
    uint64_t memory_bytes; /* of the largest device-local heap */
    uint64_t max_allocation_bytes;
    uint32_t subgroup_size, max_workgroup_size, shared_memory_bytes, push_constant_bytes;
    bool usable; /* false: lacks Vulkan 1.3 or a mandatory feature; `why` says which */
    char why[256];
} dlvk_device_info;

/* Lists every Vulkan device of the drivers that VK_DRIVER_FILES (or the system) names, the best first: discrete,
 * integrated, virtual GPUs, then CPUs. *list is one allocation, freed with free(). No device: DLVK_NO_DEVICE and how to get
 * lavapipe. */
DLVK_API dlvk_status dlvk_devices(dlvk_device_info **list, int *n, dlvk_error *err);
/* `which`: NULL for the best, a decimal index into dlvk_devices' list, or part of a name (case ignored).
 * DLVK_STAGING=1 in the environment treats a device that shares the host's memory like one that does not, for tests. */
DLVK_API dlvk_status dlvk_device_open(const char *which, dlvk_device **d, dlvk_error *err);
DLVK_API void dlvk_device_close(dlvk_device *d); /* after all its models are freed. NULL is allowed */
DLVK_API const dlvk_device_info *dlvk_device_get_info(const dlvk_device *d);
/* Features to do without (switches kernel variants off); call before loading models. Also: environment
 * DLVK_DISABLE=float16,coopmat,... */
DLVK_API void dlvk_device_disable(dlvk_device *d, uint32_t features);
/* Messages of the Khronos validation layer so far. The layer is on, with synchronization validation, where the environment has
 * DLVK_VALIDATE=1 when the device is opened (=gpu: kernels check their addresses, too); its messages also go to stderr. 0 where
 * it is off. */
DLVK_API uint64_t dlvk_device_validation_messages(const dlvk_device *d);
/* The name of one feature bit as DLVK_DISABLE takes it ("float16", "coopmat", ...); NULL for a bit that is none. */
DLVK_API const char *dlvk_feature_name(uint32_t feature);
/* The names of several, with `between` between them, in buf, cut where it is full; "none" where there are none. Returns buf. */
DLVK_API const char *dlvk_feature_names(uint32_t features, const char *between, char *buf, size_t size);

/* ---- models ----------------------------------------------------------------------------------------------------- */

typedef struct dlvk_model dlvk_model;
typedef struct dlvk_load_options {
    size_t struct_size;
    const char *cache; /* pipeline cache file; NULL: beside the bundle (BUNDLE.cache), "": none */
    int threads;       /* that build pipelines; 0: all cores */
    const struct dlvk_host_op
        *host_ops; /* functions of the caller's for host steps (dlvk/host.h), which must outlive the model */
    int n_host_ops;
    const char *tuning; /* file of dlvk_session_tuning(), for this model and device; "": not even the bundle's own; NULL: those */
    bool all_variants;  /* build every variant that this device runs, for dlvk_session_choose(), and at once: otherwise what runs
                         * only at some sizes is built for the first session that has these */
} dlvk_load_options;
#define DLVK_LOAD_OPTIONS_INIT                                                                                                   \
    {                                                                                                                            \
        .struct_size = sizeof(dlvk_load_options)                                                                                 \
    }

DLVK_API dlvk_status dlvk_model_load(dlvk_device *d, const char *path, const dlvk_load_options *o, dlvk_model **m,
                                     dlvk_error *err);
/* `data`, aligned to 8 bytes, must stay until the call returns. */
DLVK_API dlvk_status dlvk_model_load_memory(dlvk_device *d, const void *data, size_t size, const dlvk_load_options *o,
                                            dlvk_model **m, dlvk_error *err);
DLVK_API void dlvk_model_free(dlvk_model *m); /* after all its sessions are freed. NULL is allowed */

typedef struct dlvk_tensor_info {
    const char *name; /* owned by the model */
    dlvk_dtype dtype;
    int rank;
    int64_t dim[DLVK_MAX_RANK];        /* -1 where it depends on a symbol */
    const char *symbol[DLVK_MAX_RANK]; /* the expression's text where dim is -1, else NULL; owned by the model */
    dlvk_chance chance;                /* of an output of an ONNX file: whether it depends on random numbers */
} dlvk_tensor_info;
DLVK_API int dlvk_model_inputs(const dlvk_model *m);
DLVK_API int dlvk_model_outputs(const dlvk_model *m);
DLVK_API dlvk_status dlvk_model_input(const dlvk_model *m, int i, dlvk_tensor_info *info);
DLVK_API dlvk_status dlvk_model_output(const dlvk_model *m, int i, dlvk_tensor_info *info);

/* An input or output as the model's file declares it: the inputs (or outputs) [first, first + n). */
typedef struct dlvk_value_info {
    const char *name; /* owned by the model */
    dlvk_value_kind kind;
    int first, n; /* n is 1 for a tensor, 0 for an optional without a value */
} dlvk_value_info;
DLVK_API int dlvk_model_input_values(const dlvk_model *m);
DLVK_API int dlvk_model_output_values(const dlvk_model *m);
DLVK_API dlvk_status dlvk_model_input_value(const dlvk_model *m, int i, dlvk_value_info *info);
DLVK_API dlvk_status dlvk_model_output_value(const dlvk_model *m, int i, dlvk_value_info *info);

/* ---- sessions --------------------------------------------------------------------------------------------------- */

typedef struct dlvk_session dlvk_session;
DLVK_API dlvk_status dlvk_session_create(dlvk_model *m, dlvk_session **s, dlvk_error *err);
DLVK_API void dlvk_session_free(dlvk_session *s); /* waits for a run in flight. NULL is allowed */
/* Sets an input: shape and dense data (bytes must be exactly what they take), copied before the call returns. A new shape solves
 * the memory plan again at the next run; nothing is recompiled. Of a tensor of strings, data is an array of dlvk_string, and
 * bytes its size; the texts are copied as well. */
DLVK_API dlvk_status dlvk_session_set_input(dlvk_session *s, const char *name, const int64_t *dim, int rank, const void *data,
                                            size_t bytes, dlvk_error *err);
/* Solves sizes, allocates and records for the shapes set so far, without running. Optional. */
DLVK_API dlvk_status dlvk_session_bind(dlvk_session *s, dlvk_error *err);
DLVK_API dlvk_status dlvk_session_run(dlvk_session *s, dlvk_error *err); /* = submit, then wait */
DLVK_API dlvk_status dlvk_session_submit(dlvk_session *s,
                                         dlvk_error *err); /* returns at once where the plan has no host decision in it */
DLVK_API dlvk_status dlvk_session_wait(dlvk_session *s, uint64_t timeout_ns, bool *done, dlvk_error *err);
/* After a run: the shape of an output, and its data (dense; *bytes says how much there is). Of a tensor of strings, data is an
 * array of dlvk_string; the texts are the session's, and stay until its next run (or its end). */
DLVK_API dlvk_status dlvk_session_output_info(dlvk_session *s, int i, dlvk_tensor_info *info, size_t *bytes, dlvk_error *err);
DLVK_API dlvk_status dlvk_session_get_output(dlvk_session *s, const char *name, void *data, size_t bytes, dlvk_error *err);

/* States: named buffers of the model that live from run to run (optimizer state, caches). Every session has its own, which begin
 * with the values in the bundle. Reading and writing one waits for a run in flight. */
DLVK_API int dlvk_model_states(const dlvk_model *m);
DLVK_API dlvk_status dlvk_model_state(const dlvk_model *m, int i, dlvk_tensor_info *info);
DLVK_API dlvk_status dlvk_session_get_state(dlvk_session *s, const char *name, void *data, size_t bytes, dlvk_error *err);
DLVK_API dlvk_status dlvk_session_set_state(dlvk_session *s, const char *name, const void *data, size_t bytes, dlvk_error *err);

/* Programs: a bundle may hold several, which share its states; a training bundle (dlvk/train.h) has "train" and "evaluate". Each
 * is a model of its own, with its own inputs and outputs. The first is what dlvk_model_load() gives; a bundle of one calls it "".
 */
DLVK_API int dlvk_model_programs(const dlvk_model *m);
DLVK_API const char *dlvk_model_program_name(const dlvk_model *m,
                                             int i); /* owned by the model; NULL when there is no such program */
/* The program of that name. It belongs to m and goes with it. */
DLVK_API dlvk_status dlvk_model_program(dlvk_model *m, const char *name, dlvk_model **program, dlvk_error *err);
/* A session of another program on the states of `with`, a session of the same bundle: what either writes, both read. Runs follow
 * each other in the order of their submission. The two belong to one thread at a time, as one session would; free `with` last.
 *
 *     dlvk_session_create(m, &train, &err);
 *     dlvk_model_program(m, "evaluate", &evaluate_program, &err);
 *     dlvk_session_create_with(evaluate_program, train, &evaluate, &err); */
DLVK_API dlvk_status dlvk_session_create_with(dlvk_model *program, dlvk_session *with, dlvk_session **s, dlvk_error *err);

/* All states of a session in one file, to go on later from the very same bits: names, types, shapes and values, in a format with
 * a version and checksums. save replaces a file whole or not at all. load refuses a file whose states are not this model's, all
 * of them by name, type and shape, and changes nothing then. Inputs (seed, learning rate) are the caller's and not in it. */
DLVK_API dlvk_status dlvk_session_save(dlvk_session *s, const char *path, dlvk_error *err);
DLVK_API dlvk_status dlvk_session_load(dlvk_session *s, const char *path, dlvk_error *err);

/* Device memory, in bytes. io: inputs, outputs, states and what depends on sizes alone, and the staging memory of devices that
 * need it. total: all of this without the staging; in a session whose shapes have not changed, and without data-dependent sizes,
 * it equals `planned`. Sessions on the same states take turns in one arena, which is as large as the largest of theirs: it counts
 * in each. */
typedef struct dlvk_memory {
    uint64_t weights, arena, io; /* allocated */
    uint64_t planned_arena;      /* what the plan predicts for these sizes */
    uint64_t total;              /* allocated */
    uint64_t planned;            /* predicted */
    uint64_t limit;              /* that `planned` may not exceed (dlvk_training_options.max_memory); 0: none */
    uint64_t unlimited; /* what the program would take without its limit, for the sizes that it was compiled for; 0: no limit */
} dlvk_memory;
DLVK_API void dlvk_session_memory(const dlvk_session *s, dlvk_memory *mem);
/* The same without a device, as predicted for given sizes (the allocated fields are 0). program: a name, or NULL for the first. A
 * symbol of an input without a size is DLVK_INVALID_ARGUMENT. */
DLVK_API dlvk_status dlvk_bundle_memory(const void *data, size_t size, const char *program, const dlvk_symbol_size *sizes, int n,
                                        dlvk_memory *mem, dlvk_error *err);

/* Profiling: device time of every dispatch of the next runs. `kernels` is owned by the session, valid until the next run. */
typedef struct dlvk_kernel_time {
    const char *name;         /* kernel */
    const char *nodes;        /* model nodes, separated by ", " */
    double start_us, time_us; /* from the start of the run */
    double flops, bytes;      /* counted by the compiler */
    uint32_t grid[3];
    int kernel; /* its number, see dlvk_model_kernels() */
} dlvk_kernel_time;
DLVK_API dlvk_status dlvk_session_profile(dlvk_session *s, bool on, dlvk_error *err);
DLVK_API dlvk_status dlvk_session_kernel_times(dlvk_session *s, const dlvk_kernel_time **kernels, int *n, dlvk_error *err);
DLVK_API double
dlvk_session_device_ms(const dlvk_session *s); /* of the last run, from the first command to the last; always measured */

/* Variants: a bundle holds several of each kernel, and the first that the device runs (and that is for the sizes there are) is
 * the default. Which is fastest is found by measurement: load with all_variants, choose, compare dlvk_session_kernel_times();
 * then dlvk_session_tuning() puts the choice into a file for dlvk_load_options.tuning, or for dlvk_bundle_tune()
 * (dlvk/compiler.h), which puts it into the bundle. A tuning holds for one kind of device (vendor and device number), one
 * bundle's kernels, and the sizes that were bound; at other sizes the defaults run, and a bundle's tunings for other devices are
 * passed over. */
DLVK_API int dlvk_model_kernels(const dlvk_model *m); /* dispatches of the program, those in branches and loops too */
DLVK_API int dlvk_model_kernel_variants(const dlvk_model *m, int kernel); /* 0: there is no such kernel */
/* Of a variant, what it needs (bits of dlvk_feature). False: it is not built, as when the device lacks something. */
DLVK_API bool dlvk_model_kernel_variant(const dlvk_model *m, int kernel, int variant, uint32_t *features);
/* Of how many other kernels the variant does the work as well: where it runs they do not, and dlvk_session_kernel_times() does not
 * list them. The kernel's time is then that of all of them, and to be compared with such variants' times alone. */
DLVK_API int dlvk_model_kernel_covers(const dlvk_model *m, int kernel, int variant);
/* The variant that runs at the sizes bound, where no other kernel does its work; -1 where that is not known yet. */
DLVK_API int dlvk_session_variant(dlvk_session *s, int kernel);
/* Makes a kernel run as that variant from the next run on; -1: as the default. DLVK_UNSUPPORTED: it is not built. */
DLVK_API dlvk_status dlvk_session_choose(dlvk_session *s, int kernel, int variant, dlvk_error *err);
/* Variants on matrix units (DLVK_FEATURE_COOPMAT) are used only where they have been seen right: the first run that would use one
 * runs it beside another variant, goes on with the results of the latter, and compares. A session's first run is then taken back
 * and done again, so that its results are those of later ones; for that long the states exist twice. The verdict holds for all
 * sessions and is kept in the model's cache file, for the device and driver. dlvk_session_choose() is not asked. The number of
 * kernels with a variant that was found wrong, which others run in place of, and, if there are any, the first one's name: */
DLVK_API int dlvk_model_wrong_kernels(const dlvk_model *m, const char **name);
/* A tuning file with the choices of a session that has been bound. *data is freed with free(). */
DLVK_API dlvk_status dlvk_session_tuning(dlvk_session *s, void **data, size_t *size, dlvk_error *err);

/* ---- bundles without a device ------------------------------------------------------------------------------------- */

/* The whole plan as JSON text, free with free(): file, inputs, outputs, states, symbols, constraints, kernels (with model nodes,
 * variants, features, specialization constants, buffers read and written, FLOPs and bytes), modules, buffers with lifetimes,
 * blobs, and the program as a tree of steps. Sizes are numbers, or texts where they depend on symbols. */
DLVK_API dlvk_status dlvk_bundle_describe(const char *path, char **json, dlvk_error *err);
DLVK_API dlvk_status dlvk_bundle_describe_memory(const void *data, size_t size, char **json, dlvk_error *err);
/* Writes a file as all of DLVK's are: under another name, then renamed, so that whoever reads sees the old one or the new one; what
 * is no file, as a pipe or a device, is written to as it stands. DLVK_IO_ERROR: nothing is left behind. */
DLVK_API dlvk_status dlvk_file_write(const char *path, const void *data, size_t size, dlvk_error *err);
/* Writes into a directory (made if need be): plan.json, MODULE.spv, MODULE.comp where the GLSL was kept, and the stored bytes of
 * constants and states as NAME.bin (NAME.splat.bin where they repeat). */
DLVK_API dlvk_status dlvk_bundle_unpack(const char *path, const char *dir, dlvk_error *err);

#ifdef __cplusplus
}
#endif
#endif
