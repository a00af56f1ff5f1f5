/* Element types. One row a type, in the order of the IR; `onnx` is TensorProto.DataType. */
#ifndef DLVK_IR_DTYPE_H
#define DLVK_IR_DTYPE_H

#include <stdbool.h>
#include <stdint.h>
#include "dlvk/types.h" /* dlvk_dtype: the public enum is the IR's */

typedef dlvk_dtype DType;

typedef enum DClass { DC_NONE, DC_FLOAT, DC_INT, DC_UINT, DC_BOOL, DC_STRING } DClass;

const char *dtype_name(DType t);             /* "f32", "i64", "bool", ...; never NULL */
bool dtype_parse(const char *name, DType *t);
DClass dtype_class(DType t);
int dtype_bits(DType t);                     /* 4 for i4, 8 for bool, 32 for string: its handle on the device */
int dtype_to_onnx(DType t);                  /* TensorProto.DataType */
bool dtype_from_onnx(int64_t onnx, DType *t);   /* false: not a type DLVK has */
static inline bool dtype_is_float(DType t) { return dtype_class(t) == DC_FLOAT; }
static inline bool dtype_is_int(DType t) { return dtype_class(t) == DC_INT || dtype_class(t) == DC_UINT; }

/* One element of a dense array (sub-byte types: two or four to a byte, low bits first) as a double or an integer.
 * Stores to floats round to nearest even, once (F8E8M0: up); float8 stores saturate, as ONNX's Cast does by default; but an
 * infinity stays one where the type has it (f8e5m2): what an unsaturated cast made can be stored.
 * Stores to integers wrap, to bool test for nonzero. A double becomes an integer by truncation: saturating at 64 bits, then
 * wrapping; NaN gives 0. Strings have no elements of this kind. */
double elem_get_f(DType t, const void *data, int64_t i);
int64_t elem_get_i(DType t, const void *data, int64_t i); /* uint64 travels as its bit pattern */
void elem_set_f(DType t, void *data, int64_t i, double v);
/* n dense F32 as F16 or BF16, the same bits, only fast. False: a finite one is beyond the type's range. */
bool floats_narrow(DType t, const void *x, int64_t n, uint16_t *to);
void elem_set_i(DType t, void *data, int64_t i, int64_t v);
/* v as t would hold it. saturate: float8 beyond the largest finite value (infinity included) becomes that value; otherwise infinity,
 * or NaN where the type has none. F16, BF16 and F32 always overflow to infinity, F4E2M1 always clamps. v itself for F64 and non-floats. */
double dtype_round_f(DType t, double v, bool saturate);
int64_t dtype_wrap_i(DType t, int64_t v);     /* v cut to t's width and extended again by its sign; bool: v != 0 */
int64_t dtype_bytes(DType t, int64_t count);  /* bytes of `count` dense elements; strings: of their handles */

#endif
