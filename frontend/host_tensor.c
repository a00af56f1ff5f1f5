/* Host tensors in files: .npy (read and written) and ONNX TensorProto (read). */
#include "frontend/host_tensor.h"
#include "dlvk/compiler.h"
#include "frontend/onnx/import.h"
#include "runtime/error.h"
#include "runtime/file.h"
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void dlvk_host_tensor_free(dlvk_host_tensor *t)
{
    if (!t) return;
    free(t->name);
    free(t->data);
    *t = (dlvk_host_tensor){0};
}

/* The whole file, malloc'd, with a byte to spare. */
static dlvk_status read_all(const char *path, unsigned char **out, size_t *size, dlvk_error *err)
{
    FILE *f = fopen(path, "rb");
    unsigned char *data = NULL;
    size_t n = 0, cap = 0;
    while (f && !ferror(f) && !feof(f)) {
        if (n == cap) {
            unsigned char *more = realloc(data, cap = cap ? 2 * cap : 65536);
            if (!more) {
                free(data);
                fclose(f);
                return rt_error(err, DLVK_OUT_OF_MEMORY, "'%s': out of memory", path);
            }
            data = more;
        }
        n += fread(data + n, 1, cap - n, f);
    }
    bool failed = !f || ferror(f);
    int saved = errno;
    if (f) fclose(f);
    if (failed) {
        free(data);
        return rt_error(err, DLVK_IO_ERROR, "cannot read '%s': %s", path, strerror(saved));
    }
    *out = data;
    *size = n;
    return DLVK_OK;
}

/* numpy's type codes. Types it lacks travel as unsigned integers. */
static const struct {
    DType type;
    const char *code;
} codes[] = {{DLVK_F32, "f4"}, {DLVK_F64, "f8"}, {DLVK_F16, "f2"}, {DLVK_I64, "i8"}, {DLVK_I32, "i4"}, {DLVK_I16, "i2"},
             {DLVK_I8, "i1"},  {DLVK_U64, "u8"}, {DLVK_U32, "u4"}, {DLVK_U16, "u2"}, {DLVK_U8, "u1"},  {DLVK_BOOL, "b1"}};
enum { N_CODES = sizeof codes / sizeof *codes };

/* What follows 'key': in the header's dictionary; NULL when it is not there. */
static const char *find_key(const char *header, const char *key)
{
    const char *s = strstr(header, key);
    if (!s) return NULL;
    s += strlen(key);
    while (*s == '\'' || *s == '"' || *s == ':' || isspace((unsigned char)*s)) s++;
    return s;
}

/* Parses {'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }. */
static const char *parse_header(const char *header, dlvk_host_tensor *t, bool *fortran, size_t *width, char *kind)
{
    const char *descr = find_key(header, "descr"), *order = find_key(header, "fortran_order"), *shape = find_key(header, "shape");
    bool dictionary = descr && order && shape && *shape == '(' && strchr(shape, ')');
    if (!dictionary || strlen(descr) < 4 || (strncmp(order, "True", 4) != 0 && strncmp(order, "False", 5) != 0))
        return "its header is not one of a .npy";
    if (*descr == '>') return "it is big-endian";
    int type = -1;
    for (int i = 0; i < N_CODES; i++)
        if (strncmp(descr + 1, codes[i].code, 2) == 0 && strchr("<|=", *descr) && (descr[3] == '\'' || descr[3] == '"')) type = i;
    *kind = 0;
    if (type < 0 && (descr[1] == 'U' || descr[1] == 'S') && strchr("<|=", *descr)) {
        *kind = descr[1];
        *width = strtoul(descr + 2, NULL, 10);
        if (*width > SIZE_MAX / 64) return "its strings are too long";
        if (*width == 0) return "its strings are of no length";
    }
    if (descr[1] == 'O') return "it holds Python objects; strings are read from numpy's types U and S (x.astype('U'))";
    if (type < 0 && !*kind) return "its element type is not supported";
    t->dtype = *kind ? DLVK_STRING : codes[type].type;
    *fortran = strncmp(order, "True", 4) == 0;
    t->rank = 0;
    for (const char *s = shape + 1; *s != ')';) {
        if (!isdigit((unsigned char)*s)) {
            if (!strchr(", L", *s)) return "its shape is not one"; /* L: as Python 2 wrote them */
            s++;
            continue;
        }
        char *end;
        errno = 0;
        long long d = strtoll(s, &end, 10);
        if (errno || t->rank == DLVK_MAX_RANK) return "its shape is too large";
        t->dim[t->rank++] = d;
        s = end;
    }
    return NULL;
}

static int64_t count_of(const dlvk_host_tensor *t)
{
    int64_t n = 1;
    for (int i = 0; i < t->rank; i++)
        if (__builtin_mul_overflow(n, t->dim[i], &n) || n > INT64_MAX / 16) return -1;
    return n;
}

/* From column-major to row-major. */
static void reorder(const dlvk_host_tensor *t, const char *from, char *to, size_t elem)
{
    int64_t n = count_of(t), at[DLVK_MAX_RANK] = {0};
    for (int64_t i = 0; i < n; i++) {
        int64_t offset = 0, stride = 1;
        for (int d = 0; d < t->rank; d++) offset += at[d] * stride, stride *= t->dim[d];
        memcpy(to + (size_t)i * elem, from + (size_t)offset * elem, elem);
        for (int d = t->rank - 1; d >= 0 && ++at[d] == t->dim[d]; d--) at[d] = 0;
    }
}

static const char *parse_npy(const unsigned char *data, size_t size, dlvk_host_tensor *t)
{
    if (size < 12 || data[6] < 1 || data[6] > 3) return "its version of the format is not known";
    size_t prefix = data[6] == 1 ? 10 : 12, length = (size_t)data[8] | (size_t)data[9] << 8;
    if (data[6] > 1) length |= (size_t)data[10] << 16 | (size_t)data[11] << 24;
    if (length > size - prefix) return "it is cut short";
    char *header = malloc(length + 1);
    if (!header) return "out of memory";
    memcpy(header, data + prefix, length);
    header[length] = 0;
    bool fortran = false;
    size_t width = 0;
    char kind;
    const char *why = parse_header(header, t, &fortran, &width, &kind);
    free(header);
    if (why) return why;
    int64_t count = count_of(t);
    size_t elem = kind ? width * (kind == 'U' ? 4 : 1) : dlvk_dtype_size(t->dtype, 1);
    if (count < 0 || (elem && (size_t)count > (size - prefix - length) / elem)) return "it is cut short";
    if (kind) {
        if (fortran && t->rank > 1) return "its strings are in Fortran order";
        return host_strings_from_npy(t, kind, width, (const char *)data + prefix + length, count);
    }
    t->bytes = (size_t)count * elem;
    t->data = malloc(t->bytes ? t->bytes : 1);
    if (!t->data) return "out of memory";
    if (fortran && t->rank > 1)
        reorder(t, (const char *)data + prefix + length, t->data, elem);
    else
        memcpy(t->data, data + prefix + length, t->bytes);
    return NULL;
}

bool host_tensor_from(dlvk_host_tensor *out, const Tensor *t, const char *name)
{
    *out = (dlvk_host_tensor){.dtype = t->dtype, .rank = t->rank, .bytes = dlvk_dtype_size(t->dtype, (size_t)t->count)};
    memcpy(out->dim, t->dim, (size_t)t->rank * sizeof *t->dim);
    out->name = name ? strdup(name) : NULL;
    if (t->dtype == DLVK_STRING) {
        if (host_strings_copy(out, t->data, t->count, t->splat) && (!name || out->name)) return true;
        dlvk_host_tensor_free(out);
        return false;
    }
    out->data = malloc(out->bytes ? out->bytes : 1);
    if (!out->data || (name && !out->name)) {
        dlvk_host_tensor_free(out);
        return false;
    }
    if (!t->splat) {
        memcpy(out->data, t->data, out->bytes);
        return true;
    }
    for (int64_t i = 0; i < t->count; i++) {
        if (dtype_is_float(t->dtype))
            elem_set_f(t->dtype, out->data, i, elem_get_f(t->dtype, t->data, 0));
        else
            elem_set_i(t->dtype, out->data, i, elem_get_i(t->dtype, t->data, 0));
    }
    return true;
}

static OnnxAssumed assumed(Pool *p, const char *name, int position, dlvk_value_kind kind, int n, const dlvk_host_tensor *t)
{
    const Tensor **at = POOL_ARRAY(p, const Tensor *, n);
    for (int i = 0; i < n; i++) at[i] = tensor_new(p, t[i].dtype, t[i].rank, t[i].dim, t[i].data);
    return (OnnxAssumed){name, position, kind, n, at};
}

const OnnxAssumed *host_tensors_assumed(Pool *p, int n, const dlvk_host_tensor *t)
{
    OnnxAssumed *a = POOL_ARRAY(p, OnnxAssumed, n);
    for (int i = 0; i < n; i++) a[i] = assumed(p, t[i].name, i, DLVK_VALUE_TENSOR, 1, &t[i]);
    return a;
}

const OnnxAssumed *host_values_assumed(Pool *p, int n, const dlvk_host_value *v)
{
    OnnxAssumed *a = POOL_ARRAY(p, OnnxAssumed, n);
    for (int i = 0; i < n; i++) a[i] = assumed(p, v[i].name, i, v[i].kind, v[i].n, v[i].at);
    return a;
}

static bool value_make(dlvk_host_value *v, dlvk_value_kind kind, int n)
{
    *v = (dlvk_host_value){.kind = kind, .n = n, .at = calloc((size_t)n + 1, sizeof *v->at)};
    return v->at != NULL;
}

void dlvk_host_value_free(dlvk_host_value *v)
{
    if (!v) return;
    for (int i = 0; i < v->n; i++) dlvk_host_tensor_free(&v->at[i]);
    free(v->at);
    free(v->name);
    *v = (dlvk_host_value){0};
}

static dlvk_status copy_value(const char *path, const OnnxAssumed *from, const char *name, dlvk_host_value *v, dlvk_error *err)
{
    bool ok = value_make(v, from->kind, from->n) && (!name || (v->name = strdup(name)));
    for (int i = 0; ok && i < from->n; i++) {
        ok = host_tensor_from(&v->at[i], from->at[i], from->kind == DLVK_VALUE_TENSOR ? name : NULL);
    }
    return ok ? DLVK_OK : rt_error(err, DLVK_OUT_OF_MEMORY, "'%s': out of memory", path);
}

static dlvk_status parse_pb(const char *path, const unsigned char *data, size_t size, dlvk_host_value *v, dlvk_error *err)
{
    Pool pool = {0};
    jmp_buf oom;
    dlvk_status s;
    if (setjmp(oom) == 0) {
        pool.oom = &oom;
        const char *name = NULL, *why = "";
        OnnxAssumed value;
        s = onnx_value_parse(&pool, data, size, &value, &name, &why)
                ? copy_value(path, &value, name, v, err)
                : rt_error(err, DLVK_BAD_FILE, "'%s' is neither a .npy nor an ONNX tensor, sequence or optional: %s", path, why);
    } else {
        s = rt_error(err, DLVK_OUT_OF_MEMORY, "'%s': out of memory", path);
    }
    pool_free(&pool);
    return s;
}

dlvk_status dlvk_host_value_read(const char *path, dlvk_host_value *v, dlvk_error *err)
{
    if (!path || !v) return rt_error(err, DLVK_INVALID_ARGUMENT, "path or value is NULL");
    *v = (dlvk_host_value){0};
    unsigned char *data = NULL;
    size_t size = 0;
    dlvk_status s = read_all(path, &data, &size, err);
    if (s != DLVK_OK) return s;
    if (size >= 6 && memcmp(data, "\x93NUMPY", 6) == 0) {
        const char *why = value_make(v, DLVK_VALUE_TENSOR, 1) ? parse_npy(data, size, v->at) : "out of memory";
        if (why) s = rt_error(err, DLVK_BAD_FILE, "'%s': %s", path, why);
    } else {
        s = parse_pb(path, data, size, v, err);
    }
    free(data);
    if (s != DLVK_OK) dlvk_host_value_free(v);
    return s;
}

dlvk_status dlvk_host_tensor_read(const char *path, dlvk_host_tensor *t, dlvk_error *err)
{
    if (!path || !t) return rt_error(err, DLVK_INVALID_ARGUMENT, "path or tensor is NULL");
    *t = (dlvk_host_tensor){0};
    dlvk_host_value v;
    dlvk_status s = dlvk_host_value_read(path, &v, err);
    if (s != DLVK_OK) return s;
    if (v.kind == DLVK_VALUE_TENSOR) {
        *t = v.at[0];
        v.n = 0;
    } else {
        s = rt_error(err, DLVK_UNSUPPORTED, "'%s' holds a sequence or optional where a tensor is wanted", path);
    }
    dlvk_host_value_free(&v);
    return s;
}

/* Header and elements, those below a byte one to a byte. */
static bool write_npy(FILE *f, const dlvk_host_tensor *t)
{
    const char *code = NULL;
    int bits = dtype_bits(t->dtype);
    for (int i = 0; i < N_CODES; i++)
        if (codes[i].type == t->dtype) code = codes[i].code;
    int64_t count = count_of(t);
    char text[32], kind = 0;
    size_t width = t->dtype == DLVK_STRING ? host_strings_npy_width(t, count, &kind) : 0;
    if (kind) snprintf(text, sizeof text, "%c%zu", kind, width), code = text;
    if (!code) code = bits == 16 ? "u2" : "u1";
    char header[512];
    int n = snprintf(header, sizeof header, "{'descr': '%c%s', 'fortran_order': False, 'shape': (",
                     bits > 8 && kind != 'S' ? '<' : '|', code);
    for (int i = 0; i < t->rank; i++)
        n += snprintf(header + n, sizeof header - (size_t)n, "%lld,%s", (long long)t->dim[i], i + 1 < t->rank ? " " : "");
    n += snprintf(header + n, sizeof header - (size_t)n, "), }");
    while ((10 + n + 1) % 64) header[n++] = ' '; /* the data starts at a multiple of 64 */
    header[n++] = '\n';
    unsigned char prefix[10] = {0x93, 'N', 'U', 'M', 'P', 'Y', 1, 0, (unsigned char)n, (unsigned char)(n >> 8)};
    if (fwrite(prefix, 1, sizeof prefix, f) != sizeof prefix || fwrite(header, 1, (size_t)n, f) != (size_t)n) return false;
    if (kind) return host_strings_to_npy(f, t, count, kind, width);
    if (bits >= 8) return fwrite(t->data, 1, t->bytes, f) == t->bytes;
    const unsigned char *data = t->data;
    int64_t each = 8 / bits;
    for (int64_t i = 0; i < count; i++)
        if (fputc(data[i / each] >> (i % each * bits) & ((1 << bits) - 1), f) == EOF) return false;
    return true;
}

dlvk_status dlvk_host_tensor_write_npy(const char *path, const dlvk_host_tensor *t, dlvk_error *err)
{
    if (!path || !t || (!t->data && t->bytes)) return rt_error(err, DLVK_INVALID_ARGUMENT, "path or tensor is NULL");
    FileOut file;
    bool begun = rt_file_begin(&file, path);
    int fd = begun ? dup(file.fd) : -1; /* fclose() takes one with it */
    FILE *f = fd < 0 ? NULL : fdopen(fd, "wb");
    bool ok = f && write_npy(f, t);
    int saved = errno;
    if (f && fclose(f) != 0 && ok) ok = false, saved = errno;
    if (!f && fd >= 0) close(fd);
    errno = saved;
    if (begun) ok = rt_file_end(&file, ok);
    return ok ? DLVK_OK : rt_error(err, DLVK_IO_ERROR, "cannot write '%s': %s", path, strerror(errno));
}
