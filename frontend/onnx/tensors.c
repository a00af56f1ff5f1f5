/* TensorProto and SparseTensorProto to Tensor, whatever the field the data stands in.
 *
 * Data is used where it lies (in the unpacked message or a mapped file) when its layout is the IR's, and copied otherwise. */
#include "frontend/onnx/importer.h"
#include "value.pb-c.h"
#include <string.h>

/* Fills in type and shape; false, and *why, when they are not representable. */
static bool read_type(Pool *p, size_t n_dims, const int64_t *dims, int onnx_type, Tensor *t, const char **why)
{
    *t = (Tensor){0};
    if (!dtype_from_onnx(onnx_type, &t->dtype)) {
        *why = pool_printf(p, "element type %d is not supported", onnx_type);
        return false;
    }
    if (n_dims > DLVK_MAX_RANK) {
        *why = pool_printf(p, "rank %zu is above the limit of %d", n_dims, DLVK_MAX_RANK);
        return false;
    }
    t->rank = (int)n_dims;
    t->count = 1;
    for (size_t i = 0; i < n_dims; i++) {
        t->dim[i] = dims[i];
        if (dims[i] < 0 || __builtin_mul_overflow(t->count, dims[i], &t->count) || t->count > INT64_MAX / 16) {
            *why = pool_printf(p, "dimension %zu is %lld", i, (long long)dims[i]);
            return false;
        }
    }
    return true;
}

static int64_t elem_align(DType t)
{
    int bytes = t == DLVK_STRING ? 1 : dtype_bits(t) / 8;
    return bytes < 1 ? 1 : bytes;
}

/* A tensor over `size` bytes in the raw layout. */
static const Tensor *over_bytes(Pool *p, const Tensor *t, const void *data, size_t size, const char **why)
{
    int64_t want = dtype_bytes(t->dtype, t->count);
    if (t->dtype == DLVK_STRING) {
        *why = "strings cannot stand in raw or external data";
        return NULL;
    }
    if ((int64_t)size != want) {
        *why = pool_printf(p, "holds %zu bytes of data where its shape needs %lld", size, (long long)want);
        return NULL;
    }
    if (!size || (uintptr_t)data % (uintptr_t)elem_align(t->dtype)) data = pool_dup(p, size ? data : "", size);
    return tensor_new(p, t->dtype, t->rank, t->dim, data);
}

/* int32_data: one element a number; sub-byte types: one byte, of two or four elements, a number. */
static const Tensor *over_int32(Pool *p, const Tensor *t, const int32_t *data, size_t n, const char **why)
{
    int64_t size = elem_align(t->dtype), want = dtype_bytes(t->dtype, t->count) / size;
    if ((int64_t)n != want) {
        *why = pool_printf(p, "int32_data holds %zu numbers where the shape needs %lld", n, (long long)want);
        return NULL;
    }
    if (t->dtype == DLVK_I32) return tensor_new(p, t->dtype, t->rank, t->dim, data);
    char *to = pool_calloc(p, n, (size_t)size);
    for (size_t i = 0; i < n; i++) memcpy(to + (int64_t)i * size, &data[i], (size_t)size);
    return tensor_new(p, t->dtype, t->rank, t->dim, to);
}

static const Tensor *over_strings(Pool *p, const Tensor *t, const ProtobufCBinaryData *s)
{
    Str *to = POOL_ARRAY(p, Str, t->count);
    for (int64_t i = 0; i < t->count; i++) to[i] = (Str){.at = s[i].len ? (const char *)s[i].data : "", .len = s[i].len};
    return tensor_new(p, t->dtype, t->rank, t->dim, to);
}

static const char *entry_value(const Onnx__TensorProto *t, const char *key)
{
    for (size_t i = 0; i < t->n_external_data; i++)
        if (t->external_data[i]->key && strcmp(t->external_data[i]->key, key) == 0) return t->external_data[i]->value;
    return NULL;
}

static bool entry_number(Pool *p, const Onnx__TensorProto *t, const char *key, uint64_t *out, const char **why)
{
    const char *s = entry_value(t, key);
    if (!s) return true;
    uint64_t v = 0;
    const char *c = s;
    for (; *c >= '0' && *c <= '9'; c++)
        if (__builtin_mul_overflow(v, 10u, &v) || __builtin_add_overflow(v, (uint64_t)(*c - '0'), &v)) break;
    if (*c || c == s) {
        *why = pool_printf(p, "external data: %s '%s' is not a number", key, s);
        return false;
    }
    *out = v;
    return true;
}

static const Tensor *read_external(Pool *p, OnnxModel *m, const Onnx__TensorProto *proto, const Tensor *t, const char **why)
{
    const char *location = entry_value(proto, "location");
    if (!m || !location || !*location) {
        *why = m ? "external data without a location" : "external data outside of a model";
        return NULL;
    }
    uint64_t offset = 0, length = (uint64_t)dtype_bytes(t->dtype, t->count);
    if (!entry_number(p, proto, "offset", &offset, why) || !entry_number(p, proto, "length", &length, why)) return NULL;
    const ExternalFile *f = onnx_external(p, m, location, why);
    if (!f) return NULL;
    if (offset > f->size || length > f->size - offset) {
        *why = pool_printf(p, "external data '%s' has %zu bytes, too few for %llu at offset %llu", location, f->size,
                           (unsigned long long)length, (unsigned long long)offset);
        return NULL;
    }
    return over_bytes(p, t, length ? (const char *)f->at + offset : "", (size_t)length, why);
}

const Tensor *onnx_tensor_read(Pool *p, OnnxModel *m, const Onnx__TensorProto *proto, const char **why)
{
    Tensor t;
    if (!read_type(p, proto->n_dims, proto->dims, proto->data_type, &t, why)) return NULL;
    if (proto->segment) {
        *why = "segmented tensors are not supported";
        return NULL;
    }
    if (proto->has_data_location && proto->data_location == ONNX__TENSOR_PROTO__DATA_LOCATION__EXTERNAL)
        return read_external(p, m, proto, &t, why);
    if (proto->has_raw_data) return over_bytes(p, &t, proto->raw_data.data, proto->raw_data.len, why);
    size_t n;
    const void *data;
    switch (t.dtype) {
    case DLVK_F32: n = proto->n_float_data, data = proto->float_data; break;
    case DLVK_F64: n = proto->n_double_data, data = proto->double_data; break;
    case DLVK_I64: n = proto->n_int64_data, data = proto->int64_data; break;
    case DLVK_U32:
    case DLVK_U64: n = proto->n_uint64_data, data = proto->uint64_data; break;
    case DLVK_STRING: n = proto->n_string_data, data = proto->string_data; break;
    default: return over_int32(p, &t, proto->int32_data, proto->n_int32_data, why);
    }
    if ((int64_t)n != t.count) {
        *why = pool_printf(p, "holds %zu elements where its shape needs %lld", n, (long long)t.count);
        return NULL;
    }
    if (t.dtype == DLVK_STRING) return over_strings(p, &t, data);
    if (t.dtype == DLVK_U32) {
        uint32_t *to = POOL_ARRAY(p, uint32_t, n);
        for (size_t i = 0; i < n; i++) to[i] = (uint32_t)proto->uint64_data[i];
        data = to;
    }
    return tensor_new(p, t.dtype, t.rank, t.dim, n ? data : "");
}

const Tensor *onnx_sparse_read(Pool *p, OnnxModel *m, const Onnx__SparseTensorProto *proto, const char **why)
{
    const Tensor *values = proto->values ? onnx_tensor_read(p, m, proto->values, why) : NULL;
    const Tensor *index = proto->indices ? onnx_tensor_read(p, m, proto->indices, why) : NULL;
    Tensor t;
    if (!values || !index || !read_type(p, proto->n_dims, proto->dims, dtype_to_onnx(values->dtype), &t, why)) {
        if (!*why) *why = "a sparse tensor without values or indices";
        return NULL;
    }
    int columns = index->rank == 2 ? t.rank : 1; /* coordinates, or one linear index */
    bool fits = values->rank == 1 && index->dtype == DLVK_I64 && (index->rank == 1 || index->rank == 2) &&
                index->dim[0] == values->count && (index->rank == 1 || index->dim[1] == t.rank) && t.dtype != DLVK_STRING;
    if (!fits) {
        *why = "a sparse tensor's values and indices do not fit together";
        return NULL;
    }
    void *data = pool_alloc(p, (size_t)dtype_bytes(t.dtype, t.count));
    for (int64_t i = 0; i < values->count; i++) {
        int64_t at = 0;
        bool inside = true;
        for (int c = 0; c < columns; c++) {
            int64_t x = ((const int64_t *)index->data)[i * columns + c], limit = index->rank == 2 ? t.dim[c] : t.count;
            inside = inside && x >= 0 && x < limit;
            at = index->rank == 2 ? at * t.dim[c] + x : x;
        }
        if (!inside) {
            *why = pool_printf(p, "index %lld of a sparse tensor is out of range", (long long)i);
            return NULL;
        }
        if (dtype_is_float(t.dtype))
            elem_set_f(t.dtype, data, at, elem_get_f(t.dtype, values->data, i));
        else
            elem_set_i(t.dtype, data, at, elem_get_i(t.dtype, values->data, i));
    }
    return tensor_new(p, t.dtype, t.rank, t.dim, data);
}

/* A tensor that does not point into its message. */
static const Tensor *own_tensor(Pool *p, const Onnx__TensorProto *proto, const char **why)
{
    const Tensor *t = onnx_tensor_read(p, NULL, proto, why);
    if (t && t->dtype == DLVK_STRING) {
        Str *s = (Str *)(uintptr_t)t->data;
        for (int64_t i = 0; i < t->count; i++) s[i].at = pool_dup(p, s[i].at, s[i].len);
    } else if (t) {
        t = tensor_new(p, t->dtype, t->rank, t->dim, pool_dup(p, t->data, t->bytes));
    }
    return t;
}

const Tensor *onnx_tensor_parse(Pool *p, const void *bytes, size_t size, const char **name, const char **why)
{
    Onnx__TensorProto *proto = onnx__tensor_proto__unpack(NULL, size, bytes);
    if (!proto || !proto->has_data_type) {
        if (proto) onnx__tensor_proto__free_unpacked(proto, NULL);
        *why = "not an ONNX TensorProto";
        return NULL;
    }
    *name = proto->name ? pool_strdup(p, proto->name) : NULL;
    const Tensor *t = own_tensor(p, proto, why);
    onnx__tensor_proto__free_unpacked(proto, NULL);
    return t;
}

/* A sequence of tensors, or an optional: of one it says how it is, of a sequence it is that sequence. */
static bool read_value(Pool *p, const Dlvk__Data__Value *v, OnnxAssumed *value, const char **why)
{
    enum { NOTHING, TENSOR, SEQUENCE = 3, OPTIONAL = 5 };
    size_t inner = v->n_sequence + v->n_optional;
    if (inner == 1 && !v->n_tensor) return read_value(p, v->n_sequence ? v->sequence[0] : v->optional[0], value, why);
    bool known = v->elem_type == NOTHING || v->elem_type == TENSOR || v->elem_type == SEQUENCE || v->elem_type == OPTIONAL;
    if (inner || !known || (v->n_tensor && v->elem_type != TENSOR) || v->base.n_unknown_fields) {
        *why = "a sequence or optional of other things than tensors";
        return false;
    }
    const Tensor **t = POOL_ARRAY(p, const Tensor *, v->n_tensor);
    for (size_t i = 0; i < v->n_tensor; i++)
        if (!(t[i] = own_tensor(p, v->tensor[i], why))) return false;
    value->kind = v->elem_type == TENSOR ? DLVK_VALUE_SEQUENCE : DLVK_VALUE_NONE;
    value->n = (int)v->n_tensor;
    value->at = t;
    return true;
}

bool onnx_value_parse(Pool *p, const void *bytes, size_t size, OnnxAssumed *value, const char **name, const char **why)
{
    const Tensor *t = onnx_tensor_parse(p, bytes, size, name, why);
    if (t) {
        const Tensor **at = POOL_NEW(p, const Tensor *);
        *at = t;
        *value = (OnnxAssumed){.kind = DLVK_VALUE_TENSOR, .n = 1, .at = at};
        return true;
    }
    /* None of the three says what it is. A sequence read as a tensor has a segment, or lacks data. */
    bool deep = onnx_nests_too_deep(&dlvk__data__value__descriptor, bytes, size);
    Dlvk__Data__Value *v = deep ? NULL : dlvk__data__value__unpack(NULL, size, bytes);
    bool ok = v && v->has_elem_type && read_value(p, v, value, why);
    if (ok) *name = v->name ? pool_strdup(p, v->name) : NULL;
    if (v) dlvk__data__value__free_unpacked(v, NULL);
    return ok;
}
