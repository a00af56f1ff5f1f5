/* dlvk/compiler.h: from a model to a bundle.
 *
 *     dlvk_compile_options o = DLVK_COMPILE_OPTIONS_INIT;
 *     dlvk_status s = dlvk_compile_file("model.onnx", "model.dlvk", &o, &err);
 *
 * A compilation touches no device and no global state; any number may run at once on different threads. */
#ifndef DLVK_COMPILER_H
#define DLVK_COMPILER_H

#include "dlvk/types.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct dlvk_graph dlvk_graph;   /* dlvk/graph.h */

typedef struct dlvk_compile_options {
    size_t struct_size;          /* set by the INIT macro */
    const char *print_after;     /* pass name, or "all": the IR goes to `log` after it; NULL: never */
    const char *stop_after;      /* pass name: stop there, write no bundle; NULL */
    const char *dump_ir;         /* directory, made if need be: NN-PASS.ir after every pass; NULL */
    const char *dump_glsl;       /* directory, made if need be: one .comp a module; NULL */
    bool time_passes;            /* a table of milliseconds a pass to `log` */
    bool keep_glsl;              /* put the GLSL into the bundle too, for `dlvkc unpack` */
    bool validate;               /* verify the IR after each pass and validate the SPIR-V; always on in debug builds */
    int optimize;                /* 0: no fusion, no SPIR-V optimizer; 1: default */
    int threads;                 /* for shader compilation; 0: all cores */
    void (*progress)(void *user, const char *stage, int done, int total); /* may be called from any thread; NULL */
    void *progress_user;
    void *log;                   /* FILE *; NULL: stderr */
    const struct dlvk_host_value *assumed; /* values of inputs, by name or (name NULL) position. What they are holds for the bundle: the
                                              length of a sequence, whether an optional has a value, the rank where the model gives none.
                                              What is in them is used only where a model cannot be compiled without it, for axes and the
                                              like, their sizes where these decide what is computed, as which axes are broadcast; such a
                                              bundle holds for these values or sizes. An initializer that is an input as well keeps its
                                              value unless one is given here, by name, or for all inputs */
    int n_assumed;
    dlvk_dtype precision;        /* DLVK_F32 (or 0): as the model says. DLVK_F16, DLVK_BF16: float32 values lie in memory in that type,
                                    the operands of contractions among them; arithmetic and sums stay float32, inputs and outputs keep
                                    their types. What a policy holds to need range or bits (print_policy) stays float32 */
    const char *const *keep_f32; /* with it: patterns (*, ?, [...]) of node names and operators that work on float32 */
    int n_keep_f32;
    bool print_policy;           /* to `log`: the policy, and each value in memory with its type and reason */
    const struct dlvk_device_info *device; /* NULL: the bundle runs on every device. Otherwise (dlvk_device_get_info) it holds of each
                                              kernel the variant that this device picks and no other, which compiles faster */
} dlvk_compile_options;
#define DLVK_COMPILE_OPTIONS_INIT \
    { .struct_size = sizeof(dlvk_compile_options), .optimize = 1 }

/* Compiles an ONNX file. `out` is written whole or not at all (a temporary beside it, then a rename).
 * An unsupported model gives DLVK_UNSUPPORTED and lists all offending nodes, one a line: name, op, opset, attribute, reason. */
DLVK_API dlvk_status dlvk_compile_file(const char *onnx, const char *out, const dlvk_compile_options *o, dlvk_error *err);
/* The same into memory; free *bundle with dlvk_free(). */
DLVK_API dlvk_status dlvk_compile_file_to_memory(const char *onnx, void **bundle, size_t *size, const dlvk_compile_options *o,
                                                 dlvk_error *err);
DLVK_API dlvk_status dlvk_compile_graph(dlvk_graph *g, void **bundle, size_t *size, const dlvk_compile_options *o, dlvk_error *err);
DLVK_API void dlvk_free(void *p);
/* Writes the bundle again, to `out` (which may be the same file), with a tuning that dlvk_session_tuning() made from it; one that is there
 * already for the same device and sizes goes. */
DLVK_API dlvk_status dlvk_bundle_tune(const char *bundle, const void *tuning, size_t size, const char *out, dlvk_error *err);

/* A tensor on the host, owned by whoever made it (dlvk_host_tensor_free). Dense. Strings: data is an array of dlvk_string, with the texts
 * behind it in the same allocation, or elsewhere; bytes counts the array alone. */
typedef struct dlvk_host_tensor {
    char *name; /* or NULL */
    dlvk_dtype dtype;
    int rank;
    int64_t dim[DLVK_MAX_RANK];
    size_t bytes;
    void *data;
} dlvk_host_tensor;
DLVK_API void dlvk_host_tensor_free(dlvk_host_tensor *t);
/* Reads a .npy or an ONNX TensorProto .pb, told apart by content. */
DLVK_API dlvk_status dlvk_host_tensor_read(const char *path, dlvk_host_tensor *t, dlvk_error *err);
/* Element i in row-major order as a double (bool: 0 or 1; 64-bit integers past 2^53 are rounded), and back, rounded to the
 * tensor's type. Not for strings. */
DLVK_API double dlvk_host_tensor_get(const dlvk_host_tensor *t, int64_t i);
DLVK_API void dlvk_host_tensor_set(dlvk_host_tensor *t, int64_t i, double v);
/* Writes a .npy. Types numpy lacks are written as their bits in the unsigned type of the same width; strings, which must be UTF-8, as
 * numpy's unicode type, or where they are not, as its bytes. */
DLVK_API dlvk_status dlvk_host_tensor_write_npy(const char *path, const dlvk_host_tensor *t, dlvk_error *err);

/* An input or output on the host, owned by whoever made it (dlvk_host_value_free): a tensor, a sequence of tensors, or an optional
 * without a value. */
typedef struct dlvk_host_value {
    char *name; /* or NULL */
    dlvk_value_kind kind;
    int n;                /* tensors: 1 for a tensor, 0 for none */
    dlvk_host_tensor *at; /* their names do not count */
} dlvk_host_value;
DLVK_API void dlvk_host_value_free(dlvk_host_value *v);
/* Reads a .npy, or an ONNX TensorProto, SequenceProto or OptionalProto. The format does not tell an optional tensor from a sequence of one:
 * that is read as a sequence. */
DLVK_API dlvk_status dlvk_host_value_read(const char *path, dlvk_host_value *v, dlvk_error *err);

/* Runs a model in the interpreter: double-precision reference. inputs by name, or by position where the name is NULL; outputs are
 * allocated, n_out set: those of a sequence one by one, as in a bundle. */
DLVK_API dlvk_status dlvk_reference_run(const char *onnx, const dlvk_host_value *inputs, int n_in, dlvk_host_tensor **outputs, int *n_out,
                                        dlvk_error *err);

/* An ONNX operator that models may use. The texts live as long as the library. */
typedef struct dlvk_operator_info {
    const char *domain;   /* "" for ai.onnx */
    const char *name;
    const char *versions; /* the opsets of its domain that changed it, ascending: "1 6 13" */
    const char *types;    /* of its data: DLVK's names (dlvk_dtype_name), or sets: floats (f16 bf16 f32 f64), integers (i8 to i64, u8 to u64),
                             signed, unsigned, float8 (f8e4m3fn f8e4m3fnuz f8e5m2 f8e5m2fnuz), narrow (i2 u2 i4 u4 f4e2m1 f8e8m0) */
    const char *where;    /* "device"; "host": steps of a plan that the host computes; "compiler": nothing is left of it to run */
    bool differentiable;  /* gradients pass through it, with respect to its float operands */
} dlvk_operator_info;
/* The operators from i = 0 on, by domain and name. False: there are no more. Any thread may call it. */
DLVK_API bool dlvk_operator(int i, dlvk_operator_info *info);

#ifdef __cplusplus
}
#endif
#endif
