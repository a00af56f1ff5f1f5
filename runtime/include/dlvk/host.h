/* dlvk/host.h: functions that run on the host, in the midst of a model: on strings, and what has no place on a device.
 *
 * A plan names them. A loading model finds each among those its caller brings (dlvk_load_options.host_ops), then in libdlvk-host,
 * a library beside the runtime that holds the string operators, regular expressions and image decoders of ONNX. It is opened when
 * a model first needs it; a runtime without it refuses such models at load, naming the function. */
#ifndef DLVK_HOST_H
#define DLVK_HOST_H

#include "dlvk/types.h"

#ifdef __cplusplus
extern "C" {
#endif

/* A dense tensor in host memory. Strings: data is an array of dlvk_string. */
typedef struct dlvk_host_array {
    dlvk_dtype dtype;
    int rank;
    int64_t dim[DLVK_MAX_RANK];
    const void *data;
} dlvk_host_array;

typedef struct dlvk_host_call dlvk_host_call;
struct dlvk_host_call {
    const char *text; /* what the plan passes besides tensors: "RGB", "LOWER" */
    int n_in, n_out;
    const dlvk_host_array *in;
    dlvk_host_array *out; /* dtype and rank are set; the function sets dim and data */
    /* Zeroed memory for results and for what is needed on the way, aligned to 16 bytes and freed by the caller once the results
     * are of no more use. Results may also point into what `in` holds. NULL: there is none; fail with DLVK_OUT_OF_MEMORY. */
    void *(*alloc)(dlvk_host_call *c, size_t bytes);
    dlvk_error *err; /* for the message of a failure; never NULL */
};

/* Called by one thread at a time for one session, but by any number of threads at once for several: no global state. */
typedef struct dlvk_host_op {
    const char *name; /* as in the plan: "string_concat" */
    dlvk_status (*run)(dlvk_host_call *c);
} dlvk_host_op;

/* The function of that name in libdlvk-host; NULL, and the reason in *err, where there is none. The library is looked for as
 * the environment's DLVK_HOST_LIBRARY says, else beside the runtime, else where the system's loader looks. Any thread. */
DLVK_API const dlvk_host_op *dlvk_host_op_find(const char *name, dlvk_error *err);

/* What libdlvk-host exports: its functions, static storage. A program linked with it can pass them to dlvk_load_options. */
DLVK_API const dlvk_host_op *dlvk_host_ops(int *n);

#ifdef __cplusplus
}
#endif
#endif
