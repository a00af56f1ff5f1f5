/* What a lowering asks of its node: attributes, axes, contents known at compile time, and a way to complain. */
#include "frontend/onnx/importer.h"
#include <string.h>

void onnx_error(OnnxNode *n, const char *fmt, ...)
{
    Context *c = n->im->ctx;
    va_list ap;
    va_start(ap, fmt);
    char *text = pool_vprintf(c->pool, fmt, ap);
    va_end(ap);
    const char *domain = onnx_domain(n->proto->domain);
    diag_error(&c->diag, DLVK_UNSUPPORTED, "node '%s' (%s%s%s, opset %d): %s", n->name, domain, *domain ? "." : "",
               n->proto->op_type ? n->proto->op_type : "", n->opset, text);
}

bool has_in(const OnnxNode *n, int i)
{
    return i < n->n_in && (n->in[i] || (n->seq_in[i] && !n->seq_in[i]->none));
}
bool has_out(const OnnxNode *n, int i)
{
    return i < n->n_out && *n->proto->output[i];
}

static const Onnx__AttributeProto *find_frame(const Frame *f, const char *name)
{
    for (int i = 0; f && i < f->n; i++)
        if (strcmp(f->names[i], name) == 0) return f->attrs[i];
    return NULL;
}

const Onnx__AttributeProto *onnx_attr(const OnnxNode *n, const char *name)
{
    for (size_t i = 0; i < n->proto->n_attribute; i++) {
        const Onnx__AttributeProto *a = n->proto->attribute[i];
        if (!a->name || strcmp(a->name, name) != 0) continue;
        return a->ref_attr_name && *a->ref_attr_name ? find_frame(n->scope->frame, a->ref_attr_name) : a;
    }
    return NULL;
}

bool onnx_has(const OnnxNode *n, const char *name)
{
    return onnx_attr(n, name) != NULL;
}

bool onnx_needs(OnnxNode *n, const char *name)
{
    if (onnx_has(n, name)) return true;
    onnx_error(n, "attribute '%s' is missing", name);
    return false;
}

/* The attribute if it is there and of the type wanted. Files older than IR version 2 leave the type out. */
static const Onnx__AttributeProto *typed(const OnnxNode *n, const char *name, Onnx__AttributeProto__AttributeType type,
                                         const char *type_name)
{
    const Onnx__AttributeProto *a = onnx_attr(n, name);
    if (a && a->has_type && a->type != type && a->type != ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__UNDEFINED) {
        onnx_error((OnnxNode *)(uintptr_t)n, "attribute '%s' is not %s", name, type_name);
        return NULL;
    }
    return a;
}
#define TYPED(n, name, type, text) typed(n, name, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__##type, text)

int64_t onnx_int(const OnnxNode *n, const char *name, int64_t otherwise)
{
    const Onnx__AttributeProto *a = TYPED(n, name, INT, "an integer");
    return a ? a->i : otherwise;
}

double onnx_float(const OnnxNode *n, const char *name, double otherwise)
{
    const Onnx__AttributeProto *a = TYPED(n, name, FLOAT, "a float");
    return a ? (double)a->f : otherwise;
}

static const char *text_of(const OnnxNode *n, ProtobufCBinaryData s)
{
    char *t = pool_alloc(n->im->ctx->pool, s.len + 1);
    if (s.len) memcpy(t, s.data, s.len);
    return t;
}

const char *onnx_str(const OnnxNode *n, const char *name, const char *otherwise)
{
    const Onnx__AttributeProto *a = TYPED(n, name, STRING, "a string");
    return a ? text_of(n, a->s) : otherwise;
}

const char *onnx_word(OnnxNode *n, const char *name, const char *words)
{
    const char *given = onnx_str(n, name, NULL);
    for (const char *s = words; *s; s += strcspn(s, " "), s += *s == ' ') {
        size_t len = strcspn(s, " ");
        if (!given || (strncmp(s, given, len) == 0 && !given[len]))
            return text_of(n, (ProtobufCBinaryData){len, (uint8_t *)(uintptr_t)s});
    }
    onnx_error(n, "attribute '%s' is '%s'; it can be: %s", name, given, words);
    return NULL;
}

const int64_t *onnx_ints(const OnnxNode *n, const char *name, int *count)
{
    const Onnx__AttributeProto *a = TYPED(n, name, INTS, "a list of integers");
    static const int64_t none[1];
    *count = a ? (int)a->n_ints : 0;
    return !a ? NULL : a->n_ints ? a->ints : none;
}

const float *onnx_floats(const OnnxNode *n, const char *name, int *count)
{
    const Onnx__AttributeProto *a = TYPED(n, name, FLOATS, "a list of floats");
    static const float none[1];
    *count = a ? (int)a->n_floats : 0;
    return !a ? NULL : a->n_floats ? a->floats : none;
}

const char *const *onnx_strs(const OnnxNode *n, const char *name, int *count)
{
    const Onnx__AttributeProto *a = TYPED(n, name, STRINGS, "a list of strings");
    *count = a ? (int)a->n_strings : 0;
    if (!a) return NULL;
    const char **s = POOL_ARRAY(n->im->ctx->pool, const char *, a->n_strings);
    for (size_t i = 0; i < a->n_strings; i++) s[i] = text_of(n, a->strings[i]);
    return s;
}

const Tensor *onnx_str_list(const OnnxNode *n, const char *name)
{
    const Onnx__AttributeProto *a = TYPED(n, name, STRINGS, "a list of strings");
    if (!a) return NULL;
    Str *s = POOL_ARRAY(n->im->ctx->pool, Str, a->n_strings);
    for (size_t i = 0; i < a->n_strings; i++)
        s[i] = (Str){a->strings[i].len ? (const char *)a->strings[i].data : "", a->strings[i].len};
    return tensor_new(n->im->ctx->pool, DLVK_STRING, 1, (int64_t[]){(int64_t)a->n_strings}, s);
}

const Tensor *onnx_tensor(const OnnxNode *n, const char *name)
{
    const Onnx__AttributeProto *a = onnx_attr(n, name);
    const char *why = "is not a tensor";
    const Tensor *t = NULL;
    if (a && a->sparse_tensor)
        t = onnx_sparse_read(n->im->ctx->pool, n->im->model, a->sparse_tensor, &why);
    else if (a && a->t)
        t = onnx_tensor_read(n->im->ctx->pool, n->im->model, a->t, &why);
    if (a && !t) onnx_error((OnnxNode *)(uintptr_t)n, "attribute '%s': %s", name, why);
    return t;
}

int onnx_axis(OnnxNode *n, int64_t axis, int rank)
{
    if (axis >= -rank && axis < rank) return (int)(axis < 0 ? axis + rank : axis);
    onnx_error(n, "axis %lld is out of range for rank %d", (long long)axis, rank);
    return 0;
}

const Tensor *onnx_known(OnnxNode *n, Value *v, const char *what)
{
    if (!v) return NULL;
    const Tensor *t = build_known(n->b, v);
    if (!t) onnx_error(n, "%s must be known when the model is compiled", what);
    return t;
}

bool onnx_known_ints(OnnxNode *n, Value *v, const char *what, int *count, const int64_t **out)
{
    const Tensor *t = onnx_known(n, v, what);
    if (!t) return false;
    if (t->rank > 1 || !dtype_is_int(t->dtype)) {
        onnx_error(n, "%s is not a list of integers", what);
        return false;
    }
    int64_t *x = POOL_ARRAY(n->im->ctx->pool, int64_t, t->count);
    for (int64_t i = 0; i < t->count; i++) x[i] = elem_get_i(t->dtype, t->data, t->splat ? 0 : i);
    *count = (int)t->count;
    *out = x;
    return true;
}

const int *onnx_axes(OnnxNode *n, const char *name, int i, int rank, int *count)
{
    const int64_t *ints = onnx_ints(n, name, count);
    if (!ints && i >= 0 && in(n, i) && !onnx_known_ints(n, in(n, i), name, count, &ints)) {
        *count = 0;
        return NULL;
    }
    if (!ints) {
        *count = -1;
        return NULL;
    }
    int *axes = POOL_ARRAY(n->im->ctx->pool, int, *count), errors = n->im->ctx->diag.errors;
    unsigned seen = 0;
    for (int k = 0; k < *count && n->im->ctx->diag.errors == errors; k++) {
        axes[k] = onnx_axis(n, ints[k], rank);
        if (seen & 1u << axes[k]) onnx_error(n, "axis %d is given twice", axes[k]);
        seen |= 1u << axes[k];
    }
    if (n->im->ctx->diag.errors == errors) return axes;
    *count = 0;
    return NULL;
}

const Dim *const *onnx_dims(OnnxNode *n, int i, int *count)
{
    *count = 0;
    return in(n, i) ? build_contents(n->b, in(n, i), count) : NULL;
}

const Dim *onnx_dim(OnnxNode *n, int i)
{
    int count;
    const Dim *const *d = onnx_dims(n, i, &count);
    if (d && count != 1) onnx_error(n, "input %d has %d elements, not one", i, count);
    return d && count == 1 ? *d : NULL;
}

const Dim *const *onnx_signed_dims(OnnxNode *n, int i, int64_t lo, int *count)
{
    *count = 0;
    return in(n, i) ? build_contents_range(n->b, in(n, i), lo, INT64_MAX, count) : NULL;
}
