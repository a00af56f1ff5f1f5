/* dlvk/types.h: what the runtime, the compiler and the graph builder have in common.
 *
 * Every call that can fail returns a dlvk_status and, where it takes a `dlvk_error *`, fills it with one or more lines
 * naming the node, attribute and limit at fault. A NULL dlvk_error is allowed. Nothing here has global state. */
#ifndef DLVK_TYPES_H
#define DLVK_TYPES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define DLVK_API __attribute__((visibility("default")))
#else
#define DLVK_API
#endif

#define DLVK_MAX_RANK 12 /* dimensions a tensor may have */

typedef enum dlvk_status {
    DLVK_OK = 0,
    DLVK_INVALID_ARGUMENT, /* the caller's fault: a NULL, an unknown name, a size that violates a constraint */
    DLVK_UNSUPPORTED,      /* the model asks for what DLVK (or this device) does not have */
    DLVK_BAD_FILE,         /* unreadable, truncated, corrupt, or of another version */
    DLVK_IO_ERROR,         /* the operating system refused; the message holds its reason */
    DLVK_OUT_OF_MEMORY,    /* host or device memory */
    DLVK_NO_DEVICE,        /* no Vulkan 1.3 device, or none that matches */
    DLVK_DEVICE_LOST,      /* the driver lost the device; the message names the kernels in flight */
    DLVK_INTERNAL          /* a bug in DLVK */
} dlvk_status;

DLVK_API const char *dlvk_status_name(dlvk_status s); /* "ok", "invalid argument", ... */

/* A message; `text` is always terminated, and cut with "..." where it does not fit. */
typedef struct dlvk_error {
    char text[4096];
} dlvk_error;

/* Element types: name, bits, class, number in ONNX's TensorProto.DataType. A string is a handle of 32 bits on the device, and a
 * dlvk_string on the host. */
#define DLVK_DTYPES(X)                 \
    X(F32, "f32", 32, FLOAT, 1)        \
    X(F64, "f64", 64, FLOAT, 11)       \
    X(F16, "f16", 16, FLOAT, 10)       \
    X(BF16, "bf16", 16, FLOAT, 16)     \
    X(F8E4M3FN, "f8e4m3fn", 8, FLOAT, 17)     \
    X(F8E4M3FNUZ, "f8e4m3fnuz", 8, FLOAT, 18) \
    X(F8E5M2, "f8e5m2", 8, FLOAT, 19)         \
    X(F8E5M2FNUZ, "f8e5m2fnuz", 8, FLOAT, 20) \
    X(F8E8M0, "f8e8m0", 8, FLOAT, 24)  \
    X(F4E2M1, "f4e2m1", 4, FLOAT, 23)  \
    X(I64, "i64", 64, INT, 7)          \
    X(I32, "i32", 32, INT, 6)          \
    X(I16, "i16", 16, INT, 5)          \
    X(I8, "i8", 8, INT, 3)             \
    X(I4, "i4", 4, INT, 22)            \
    X(I2, "i2", 2, INT, 26)            \
    X(U64, "u64", 64, UINT, 13)        \
    X(U32, "u32", 32, UINT, 12)        \
    X(U16, "u16", 16, UINT, 4)         \
    X(U8, "u8", 8, UINT, 2)            \
    X(U4, "u4", 4, UINT, 21)           \
    X(U2, "u2", 2, UINT, 25)           \
    X(BOOL, "bool", 8, BOOL, 9)        \
    X(STRING, "string", 32, STRING, 8)

typedef enum dlvk_dtype {
#define DLVK_DTYPE_ENUM(id, name, bits, cls, onnx) DLVK_##id,
    DLVK_DTYPES(DLVK_DTYPE_ENUM)
#undef DLVK_DTYPE_ENUM
        DLVK_DTYPE_COUNT
} dlvk_dtype;

DLVK_API const char *dlvk_dtype_name(dlvk_dtype t); /* "f32", "i64", ...; "?" for a number that is no type */
/* One element of a tensor of strings on the host: any bytes, in ONNX mostly UTF-8, not terminated. */
typedef struct dlvk_string {
    const char *at; /* may be NULL where len is 0 */
    size_t len;
} dlvk_string;

/* Bytes of `count` dense elements on the host; types below 8 bits are packed, the low bits first, and rounded up to a byte; strings
 * take sizeof(dlvk_string), their text not counted. */
DLVK_API size_t dlvk_dtype_size(dlvk_dtype t, size_t count);

/* The size that a symbol stands for: "batch" is 64. symbol NULL: every symbol without an entry of its own. */
typedef struct dlvk_symbol_size {
    const char *symbol;
    int64_t value;
} dlvk_symbol_size;

/* What an input or output of a model is. An optional that has a value counts as that value; `none` is one without. A sequence has its
 * length from the compilation, and each of its tensors is an input or output by itself: NAME[0], NAME[1], ... */
typedef enum dlvk_value_kind { DLVK_VALUE_TENSOR, DLVK_VALUE_SEQUENCE, DLVK_VALUE_NONE } dlvk_value_kind;

/* Whether an output depends on random numbers (of the operators that ONNX declares not deterministic, even with a seed): not; it
 * does; it does, and has zeros and ones alone, as a sample of Bernoulli's or a comparison. */
typedef enum dlvk_chance { DLVK_CERTAIN, DLVK_RANDOM, DLVK_RANDOM_BITS } dlvk_chance;

#ifdef __cplusplus
}
#endif
#endif
