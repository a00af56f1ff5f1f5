/* A loaded model: its plan, the pipelines and weights on the device, and the plan's steps grouped for recording. */
#ifndef DLVK_RUNTIME_MODEL_H
#define DLVK_RUNTIME_MODEL_H

#include "dlvk/host.h"
#include "runtime/bundle.h"
#include "runtime/vk.h"

/* Where a buffer of the plan lies. size 0: nowhere, though its address can be read. */
typedef struct Slice {
    VkBuffer buffer;
    uint64_t offset, size;
    VkDeviceAddress address;
    uint8_t *map; /* NULL where the host cannot see it */
} Slice;

static inline Slice slice_of(const Memory *m, uint64_t offset, uint64_t size)
{
    return (Slice){m->buffer, offset, size, m->address + offset, m->map ? m->map + offset : NULL};
}

static inline Slice slice_empty(const dlvk_device *d)
{
    return (Slice){.address = d->nothing.address};
}

/* A maximal run of dispatches and copies in one region, but that the plan's `prepared` steps are one of their own: what goes into
 * one command buffer. */
typedef struct Segment {
    uint32_t first, n; /* steps, by number */
    uint32_t *symbol;  /* data symbols its sizes depend on */
    uint32_t n_symbol;
    uint32_t dispatches;
    bool in_loop;
} Segment;

typedef enum NodeKind { NODE_SEGMENT, NODE_READ, NODE_DEFINE, NODE_IF, NODE_LOOP, NODE_HOST } NodeKind;

typedef struct Block {
    struct Node *node;
    uint32_t n;
} Block;

typedef struct Node {
    NodeKind kind;
    uint32_t at;              /* number of its (first) step */
    uint32_t segment;         /* NODE_SEGMENT: index */
    const dlvk_host_op *host; /* NODE_HOST */
    Block body, otherwise;
} Node;

struct dlvk_model {
    dlvk_device *dev;
    Bundle bundle; /* plan is kept; data only where states are initialised from it */
    void *copy;    /* of the bundle's data, where it came from memory */
    const Dlvk__Plan__Plan *plan;
    dlvk_model **program;          /* the plan's further programs; their bundle is this one's */
    bool *data_dep;                /* by expression: depends on a data symbol */
    const Dlvk__Plan__Step **step; /* by number */
    uint32_t n_step;
    Block top;
    Segment *segment;
    uint32_t n_segment;
    pthread_mutex_t build_lock; /* of the next two while they are filled; a session reads what it has asked for */
    bool build_lock_made;
    VkPipeline *pipeline;        /* by index in the plan; those that are not built are null */
    VkShaderEXT *shader;         /* instead of pipelines, where the device takes shader objects; else NULL */
    uint32_t **code;             /* by module: SPIR-V of what may be built yet, once the bundle is closed */
    int threads;                 /* that build */
    VkPipelineLayout layout[65]; /* by push constant words */
    atomic_uchar *verdict;       /* by pipeline: a Verdict on those that need matrix units */
    char *cache;                 /* the file of pipelines and verdicts, or NULL */
    Memory *chunk;               /* that hold the weights */
    uint32_t n_chunk;
    Slice *weight;   /* by buffer; CONSTANT ones */
    char **dim_text; /* of inputs, then outputs, DLVK_MAX_RANK each; NULL for constants */
    Dlvk__Plan__Tunings *tuning_file;
    const Dlvk__Plan__Tuning **tuning; /* those that hold here, of the file or the bundle */
    uint32_t n_tuning;
};

/* tuning.c. After model_program(): finds the tunings for this device, from the file if the options name one. */
dlvk_status model_tuning(dlvk_model *m, const dlvk_load_options *o, dlvk_error *err);
void model_tuning_free(dlvk_model *m);

/* program.c */
dlvk_status model_program(dlvk_model *m, const dlvk_load_options *o, dlvk_error *err);
void model_program_free(dlvk_model *m);
/* "conv_relu (from /layer1/conv, /layer1/relu)" */
const char *model_kernel_text(const Dlvk__Plan__Plan *plan, const Dlvk__Plan__Dispatch *d, char *buf, size_t size);

/* pipeline.c: builds what runs at all sizes, or all. The rest is built when a session needs it. */
dlvk_status model_pipelines(dlvk_model *m, const dlvk_load_options *o, dlvk_error *err);
/* Builds those of the pipelines that are not built; used: by index in the plan. Safe to call from several threads. */
dlvk_status model_build(dlvk_model *m, const bool *used, dlvk_error *err);
/* Keeps the SPIR-V of what is not built, for the bundle is about to be closed. */
dlvk_status model_keep_code(dlvk_model *m, dlvk_error *err);
const uint32_t *model_code(const dlvk_model *m, uint32_t module);
void model_pipelines_free(dlvk_model *m);
/* Whether the device has what the variant needs, and has not been seen to get it wrong. */
bool model_runs(const dlvk_model *m, const Dlvk__Plan__Variant *v);
bool model_built(dlvk_model *m, const Dlvk__Plan__Variant *v);

/* proof.c */
typedef enum Verdict { VERDICT_OPEN, VERDICT_RIGHT, VERDICT_WRONG, VERDICT_UNSEEN } Verdict;
bool model_on_matrices(const dlvk_model *m, const Dlvk__Plan__Variant *v);
bool model_on_trial(const dlvk_model *m, const Dlvk__Plan__Variant *v);        /* and it has yet to show that it is right */
dlvk_status model_verdicts(dlvk_model *m, const char *cache, dlvk_error *err); /* what the cache file knows */
enum { MODEL_MAX_SPEC = 256 }; /* specialization constants of a pipeline; plan_check.c sees to it */
typedef struct Spec {
    VkSpecializationMapEntry entry[MODEL_MAX_SPEC];
    uint32_t value[MODEL_MAX_SPEC];
} Spec;
/* The pipeline's constants, those of matrix kernels completed by what the device is (see Pipeline in plan.proto). */
VkSpecializationInfo model_spec(const dlvk_model *m, const Dlvk__Plan__Pipeline *p, Spec *s);
/* "CALL, module 'NAME'", for messages. */
void model_pipeline_call(const char *call, const dlvk_model *m, uint32_t pipeline, char *buf, size_t size);

/* shader_object.c */
dlvk_status model_shaders(dlvk_model *m, const uint32_t *list, int n, dlvk_error *err);
void model_shaders_free(dlvk_model *m);

/* weights.c */
dlvk_status model_weights(dlvk_model *m, int threads, dlvk_error *err);
void model_weights_free(dlvk_model *m);
/* What a slice is filled with: `length` bytes, repeated until `bytes` of it are written. */
typedef struct Upload {
    Slice to;
    const uint8_t *data;
    uint64_t length, bytes;
} Upload;
dlvk_status vk_upload(dlvk_device *d, const Upload *list, size_t n, int threads, dlvk_error *err);

#endif
