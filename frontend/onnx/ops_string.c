/* Strings. Whatever moves or compares them is as for any type; what looks into them is a function of libdlvk-host. */
#include "dlvk/host.h"
#include "frontend/compose.h"
#include "frontend/onnx/onnx.h"
#include <string.h>

/* A function with one result of x's shape. */
static Value *host_map(Build *b, const char *name, const char *text, int n, Value *const *in, DType t)
{
    Type type = in[0] ? in[0]->type : (Type){0};
    Value *y = NULL;
    type.dtype = t;
    return in[0] && build_host(b, name, text, n, in, 1, &type, &y) ? y : NULL;
}

/* ONNX's types of fewer bits go by way of the next that has all their values. */
Value *onnx_cast_string(OnnxNode *n, Value *x, DType t)
{
    Build *b = n->b;
    DType from = x->type.dtype, number = from == DLVK_STRING ? t : from, wide = number;
    if (from == t) return x;
    if (dtype_is_int(number)) wide = number == DLVK_U64 ? DLVK_U64 : DLVK_I64;
    static const int significand[DLVK_DTYPE_COUNT] = {
        [DLVK_F32] = 24,       [DLVK_F64] = 53,   [DLVK_F16] = 11,       [DLVK_BF16] = 8,   [DLVK_F8E4M3FN] = 4,
        [DLVK_F8E4M3FNUZ] = 4, [DLVK_F8E5M2] = 3, [DLVK_F8E5M2FNUZ] = 3, [DLVK_F8E8M0] = 1, [DLVK_F4E2M1] = 2};
    if (from == DLVK_STRING) {
        if (dtype_is_float(t) && t != DLVK_F32) wide = DLVK_F64;
        return build_cast_sat(b, host_map(b, "string_parse", "", 1, &x, wide), t, onnx_int(n, "saturate", 1) != 0);
    }
    if (dtype_is_float(from) && from != DLVK_F64) wide = DLVK_F32;
    x = build_cast(b, x, wide);
    return host_map(b, "number_print", pool_printf(b->ctx->pool, "%d", significand[from]), 1, &x, DLVK_STRING);
}

static bool is_string(OnnxNode *n, Value *x, int input)
{
    if (x && x->type.dtype == DLVK_STRING) return true;
    if (x) onnx_error(n, "input %d holds %s, not strings", input, dtype_name(x->type.dtype));
    return false;
}

void lower_string_concat(OnnxNode *n)
{
    Value *x = in(n, 0), *y = in(n, 1);
    if (!is_string(n, x, 0) || !is_string(n, y, 1)) return;
    x = build_broadcast(n->b, x, y->type.rank, y->type.dim);
    y = x ? build_broadcast(n->b, y, x->type.rank, x->type.dim) : NULL;
    n->out[0] = host_map(n->b, "string_concat", "", 2, (Value *[]){x, y}, DLVK_STRING);
}

void lower_string_split(OnnxNode *n)
{
    Build *b = n->b;
    Value *x = in(n, 0);
    if (!is_string(n, x, 0)) return;
    if (x->type.rank == DLVK_MAX_RANK) {
        onnx_error(n, "an input of rank %d", x->type.rank);
        return;
    }
    const Dim *dims[DLVK_MAX_RANK] = {NULL};
    for (int i = 0; i < x->type.rank; i++) dims[i] = x->type.dim[i];
    Value *args[] = {x, build_str(b, onnx_str(n, "delimiter", "")), build_scalar_i(b, DLVK_I64, onnx_int(n, "maxsplit", -1))};
    Type types[] = {{DLVK_STRING, x->type.rank + 1, dims}, {DLVK_I64, x->type.rank, dims}};
    Value *out[2];
    if (!build_host(b, "string_split", "", 3, args, 2, types, out)) return;
    for (int i = 0; i < n->n_out && i < 2; i++) n->out[i] = out[i];
}

void lower_string_normalizer(OnnxNode *n)
{
    Build *b = n->b;
    Value *x = in(n, 0);
    const char *action = onnx_str(n, "case_change_action", "NONE"), *locale = onnx_str(n, "locale", "en_US");
    const Tensor *stop = onnx_str_list(n, "stopwords");
    if (!stop) stop = tensor_new(b->ctx->pool, DLVK_STRING, 1, (int64_t[]){0}, "");
    if (!is_string(n, x, 0)) return;
    if (strcmp(action, "NONE") && strcmp(action, "LOWER") && strcmp(action, "UPPER")) {
        onnx_error(n, "attribute 'case_change_action' is '%s'", action);
        return;
    }
    if (x->type.rank < 1 || x->type.rank > 2) {
        onnx_error(n, "an input of rank %d; [C] and [1, C] are allowed", x->type.rank);
        return;
    }
    if (x->type.rank == 2) ctx_constrain(b->ctx, DIM_EQ, x->type.dim[0], dim_of_int(b, 1));
    const Dim *dims[] = {x->type.rank == 2 ? dim_of_int(b, 1) : NULL, NULL};
    const char *text =
        pool_printf(b->ctx->pool, "%s %s %s", action, onnx_int(n, "is_case_sensitive", 0) ? "sensitive" : "insensitive", locale);
    Type type = {DLVK_STRING, x->type.rank, dims};
    build_host(b, "string_normalize", text, 2, (Value *[]){x, build_const(b, stop)}, 1, &type, n->out);
}

typedef struct Trial {
    dlvk_host_call call; /* first: trial_alloc() finds the rest behind it */
    Pool *pool;
} Trial;

static void *trial_alloc(dlvk_host_call *c, size_t bytes)
{
    return pool_alloc(((Trial *)c)->pool, bytes);
}

/* Is the pattern one? Known by matching no strings at all with it; to a compiler without libdlvk-host any is. */
static bool is_pattern(OnnxNode *n, const char *text)
{
    const Tensor *pattern;
    dlvk_error err;
    const dlvk_host_op *op = dlvk_host_op_find("regex_full_match", &err);
    Value *v = build_str(n->b, text);
    if (!op || !v || !value_const(v, &pattern)) return true;
    dlvk_host_array in[] = {{.dtype = DLVK_STRING, .rank = 1}, {.dtype = DLVK_STRING, .data = pattern->data}},
                    out = {.dtype = DLVK_BOOL, .rank = 1};
    Trial t = {{.text = "", .n_in = 2, .n_out = 1, .in = in, .out = &out, .alloc = trial_alloc, .err = &err}, n->b->ctx->pool};
    if (op->run(&t.call) == DLVK_OK) return true;
    onnx_error(n, "%s", err.text);
    return false;
}

void lower_regex_full_match(OnnxNode *n)
{
    const char *pattern = onnx_needs(n, "pattern") ? onnx_str(n, "pattern", NULL) : NULL;
    if (pattern && is_string(n, in(n, 0), 0) && is_pattern(n, pattern))
        n->out[0] = host_map(n->b, "regex_full_match", "", 2, (Value *[]){in(n, 0), build_str(n->b, pattern)}, DLVK_BOOL);
}

void lower_image_decoder(OnnxNode *n)
{
    Build *b = n->b;
    Value *x = in(n, 0);
    const char *format = onnx_str(n, "pixel_format", "RGB");
    if (strcmp(format, "RGB") && strcmp(format, "BGR") && strcmp(format, "Grayscale")) {
        onnx_error(n, "attribute 'pixel_format' is '%s'", format);
        return;
    }
    if (x->type.dtype != DLVK_U8 || x->type.rank != 1) {
        onnx_error(n, "an input of type %s and rank %d, not u8 of rank 1", dtype_name(x->type.dtype), x->type.rank);
        return;
    }
    const Dim *dims[] = {NULL, NULL, dim_of_int(b, strcmp(format, "Grayscale") ? 3 : 1)};
    Type type = {DLVK_U8, 3, dims};
    build_host(b, "image_decode", format, 1, &x, 1, &type, n->out);
}
