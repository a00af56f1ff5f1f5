/* Building the plan message: its tables, each filled on demand. Internal to codegen. */
#ifndef DLVK_CODEGEN_PLAN_H
#define DLVK_CODEGEN_PLAN_H

#include "codegen/codegen.h"
#include "codegen/shader.h"

typedef struct ModuleEntry {
    const char *glsl;
    uint64_t key;
    const char *name;
    uint32_t features, push_bytes;
    uint32_t arg_bytes; /* of the arguments that are pushed; 0: they lie in memory */
    bool unroll;        /* see Shader.unroll */
} ModuleEntry;

typedef struct BufferEntry {
    Value *value; /* storage root; NULL: the plan's own (loop state) */
    Dlvk__Plan__Buffer *msg;
    int depth; /* loops around its birth */
} BufferEntry;

typedef struct Outer {
    int buffer, depth;
} Outer;

typedef struct Counted { /* a loop in this region has counted its iterations */
    const Dim *count;
    const Region *in;
} Counted;

typedef struct PlanBuilder {
    Context *ctx;
    Pool *pool;
    Schedule *s;
    /* See CodegenOptions. */
    const struct dlvk_device_info *device;
    VEC(const Dim *) expr_dims; /* parallel to exprs; NULL for inner nodes of n-ary ones */
    VEC(Dlvk__Plan__Expr *) exprs;
    int *expr_of; /* by Dim id: 1 + index */
    uint32_t expr_cap;
    VEC(Dlvk__Plan__Symbol *) symbols;
    int *symbol_of; /* by Symbol index: 1 + index */
    int symbol_cap;
    VEC(BufferEntry) buffers;
    int *buffer_of; /* by value id: 1 + index */
    VEC(BlobData) blobs;
    VEC(ModuleEntry) modules;
    VEC(Dlvk__Plan__Pipeline *) pipelines;
    VEC(Dlvk__Plan__Variant *) variants;
    VEC(Dlvk__Plan__Source *) sources;
    VEC(const Origin *) source_of;
    StringTable *strings;
    const uint8_t *loose;
    uint32_t counters; /* 1 + the buffer of all kernels' counters; 0: none */
    int64_t counter_bytes;
    uint32_t step;         /* the number of the step being made */
    VEC(uint32_t) step_of; /* by kernel id: 1 + the step that is its dispatch */
    uint32_t prepared;     /* see Plan.prepared */
    int depth;             /* loops around it */
    VEC(Outer) outer;      /* buffers of outer loops touched in inner ones */
    VEC(Counted) counted;
} PlanBuilder;

uint32_t plan_expr(PlanBuilder *b, const Dim *d);
uint32_t plan_symbol(PlanBuilder *b, const Symbol *s);
uint32_t plan_blob(PlanBuilder *b, const void *data, uint64_t length, uint64_t bytes);
/* The buffer of v's storage, made on first use; alive at the current step from now on. */
uint32_t plan_buffer(PlanBuilder *b, Value *v);
uint32_t plan_scratch(PlanBuilder *b, const Dim *bytes, const char *name); /* a buffer of the plan's own */
/* Zeros kept between runs, of one dispatch: where they begin in *buffer. */
int64_t plan_counters(PlanBuilder *b, int64_t bytes, uint32_t *buffer);
void plan_touch(PlanBuilder *b, uint32_t buffer);
const Dim *plan_type_bytes(PlanBuilder *b, Type t);    /* packed */
const Dim *plan_value_bytes(PlanBuilder *b, Value *v); /* of its storage */
uint32_t plan_source(PlanBuilder *b, const Origin *o);
uint32_t plan_module(PlanBuilder *b, const KernelVariant *v, const char *name);
/* Of a module's text without its comments: FNV-1a, which alone is no proof; equality. */
uint64_t text_key(const char *text);
bool same_text(const char *a, const char *b);
uint32_t plan_pipeline(PlanBuilder *b, uint32_t module, const KernelVariant *v);

/* 1 + the step that is a kernel's dispatch; 0: there is none yet. */
static inline uint32_t plan_step_of(const PlanBuilder *b, const Kernel *k)
{
    return k->id < b->step_of.n ? b->step_of.at[k->id] : 0;
}
/* The dispatch of a kernel (codegen/dispatch.c). NULL: an error is recorded. */
Dlvk__Plan__Dispatch *plan_dispatch(PlanBuilder *b, const Kernel *k);
/* What two kernels must have in common to be parts of one dispatch: the code and constants of all their variants. NULL: it cannot
 * be a part. */
enum { MAX_PART_VARIANTS = 4 };
const char *kernel_text(PlanBuilder *b, const Kernel *k);
/* Kernels of a region that can share a dispatch, and read and write at most `bytes`, do so from here on (codegen/merge.c). */
void plan_merge(PlanBuilder *b, RegionSchedule *rs, int64_t bytes);
/* Takes the marks of literals out of the modules' texts. Those that differ in marked ones alone become one module, where that is
 * wanted (codegen/literals.c). */
void plan_share_literals(PlanBuilder *b, bool wanted);
/* codegen/waves.c: steps that can run side by side stand together; and in the plan that has been made, how far buffers' lives
 * reach before all that runs beside them is done. */
void plan_gather_waves(PlanBuilder *b, RegionSchedule *rs);
void plan_widen_lives(PlanBuilder *b, const Dlvk__Plan__Region *top);
Dlvk__Plan__Region *plan_region(PlanBuilder *b, Region *r);   /* codegen/steps.c */
void plan_states(PlanBuilder *b, Dlvk__Plan__Region *region); /* codegen/states.c: the top region's last steps */

/* A message in the pool, initialised. */
#define PLAN_NEW(b, T, lower) plan_init_##lower((b)->pool)
#define PLAN_MESSAGES(X)                                                                                                         \
    X(Expr, expr)                                                                                                                \
    X(Symbol, symbol)                                                                                                            \
    X(Buffer, buffer)                                                                                                            \
    X(Module, module)                                                                                                            \
    X(Pipeline, pipeline)                                                                                                        \
    X(Source, source)                                                                                                            \
    X(Step, step)                                                                                                                \
    X(Dispatch, dispatch)                                                                                                        \
    X(Variant, variant)                                                                                                          \
    X(Arg, arg)                                                                                                                  \
    X(BufferRef, buffer_ref) X(Region, region) X(ReadDims, read_dims) X(If, if) X(Loop, loop) X(Copy, copy) X(Define, define)    \
        X(Host, host) X(HostValue, host_value) X(Tensor, tensor) X(Param, param) X(Formal, formal) X(Constraint, constraint)     \
            X(Plan, plan)
#define PLAN_INIT(T, lower)                                                                                                      \
    static inline Dlvk__Plan__##T *plan_init_##lower(Pool *p)                                                                    \
    {                                                                                                                            \
        Dlvk__Plan__##T *m = pool_alloc(p, sizeof *m);                                                                           \
        dlvk__plan__##lower##__init(m);                                                                                          \
        return m;                                                                                                                \
    }
PLAN_MESSAGES(PLAN_INIT)
#undef PLAN_INIT

#endif
