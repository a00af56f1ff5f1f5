/* Operators that make tensors from shapes and attributes, or change an element type. */
#include "frontend/onnx/importer.h"
#include "frontend/onnx/indexing.h"
#include <math.h>
#include <string.h>

static bool type_attr(OnnxNode *n, const char *name, DType otherwise, DType *t)
{
    *t = otherwise;
    if (!onnx_has(n, name)) return true;
    int64_t v = onnx_int(n, name, 0);
    if (dtype_from_onnx(v, t)) return true;
    onnx_error(n, "attribute '%s': element type %lld is not supported", name, (long long)v);
    return false;
}

/* Up to opset 5 the type was a name, as in the schema's enum. */
static bool cast_target(OnnxNode *n, DType *t)
{
    if (!onnx_needs(n, "to")) return false;
    if (n->opset >= 6) return type_attr(n, "to", DLVK_F32, t);
    static const char *const names[] = {"FLOAT",  "UINT8", "INT8",    "UINT16", "INT16",  "INT32", "INT64",
                                        "STRING", "BOOL",  "FLOAT16", "DOUBLE", "UINT32", "UINT64"};
    const char *to = onnx_str(n, "to", "");
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(names[i], to) == 0) return dtype_from_onnx((int)i + 1, t);
    onnx_error(n, "attribute 'to': '%s' is not a type", to);
    return false;
}

/* To a power of two: `up`, which is what the primitive does, `down`, or the nearest, ties up. What is beyond the largest power
 * saturates, or is NaN, as is what is below the smallest. */
static Value *cast_e8m0(OnnxNode *n, Value *x)
{
    Build *b = n->b;
    const char *mode = onnx_str(n, "round_mode", "up");
    bool nearest = strcmp(mode, "nearest") == 0, up = strcmp(mode, "up") == 0;
    if (!up && !nearest && strcmp(mode, "down") != 0) {
        onnx_error(n, "attribute 'round_mode' is '%s'", mode);
        return NULL;
    }
    x = build_cast(b, x, DLVK_F32);
    if (!up) { /* drop the mantissa */
        Value *bits = build_bitcast(b, x, DLVK_U32), *whole = bits;
        if (nearest) whole = build_map2(b, OP_ADD, bits, build_scalar_i(b, DLVK_U32, 0x400000));
        whole = build_map2(b, OP_AND, whole, build_scalar_i(b, DLVK_U32, 0x7f800000));
        x = build_map3(b, OP_SELECT, build_map1(b, OP_IS_NAN, x), x, build_bitcast(b, whole, DLVK_F32));
    }
    if (onnx_int(n, "saturate", 1))
        return build_cast(b, build_map2(b, OP_MIN, x, build_scalar(b, DLVK_F32, 0x1p127)), DLVK_F8E8M0);
    Value *held = build_map2(b, OP_AND, build_map2s(b, OP_GE, x, 0x1p-127), build_map2s(b, OP_LE, x, 0x1p127));
    return build_cast(b, build_map3(b, OP_SELECT, held, x, build_scalar(b, DLVK_F32, NAN)), DLVK_F8E8M0);
}

/* Reals become integers by truncation, out of range as it comes; those below 8 bits, up to opset 24, by rounding and clipping, as
 * ONNX's reference had it then. */
static Value *cast(OnnxNode *n, Value *x, DType t)
{
    Build *b = n->b;
    if (t == DLVK_STRING || x->type.dtype == DLVK_STRING) return onnx_cast_string(n, x, t);
    if (t == DLVK_F8E8M0 && x->type.dtype != t) return cast_e8m0(n, x);
    if (n->opset < 25 && dtype_is_float(x->type.dtype) && dtype_is_int(t) && dtype_bits(t) < 8) {
        double lo, hi;
        int_limits(t, &lo, &hi);
        DType u = x->type.dtype == DLVK_F64 ? DLVK_F64 : DLVK_F32;
        x = build_map1(b, OP_ROUND, build_clamp(b, build_cast(b, x, u), build_scalar(b, u, lo), build_scalar(b, u, hi)));
    }
    return build_cast_sat(b, x, t, onnx_int(n, "saturate", 1) != 0);
}

void lower_cast(OnnxNode *n)
{
    DType t;
    if (cast_target(n, &t)) n->out[0] = cast(n, in(n, 0), t);
}

void lower_cast_like(OnnxNode *n)
{
    n->out[0] = cast(n, in(n, 0), in(n, 1)->type.dtype);
}

void lower_bitcast(OnnxNode *n)
{
    DType t;
    if (cast_target(n, &t)) n->out[0] = build_bitcast(n->b, in(n, 0), t);
}

void lower_identity(OnnxNode *n)
{
    n->out[0] = in(n, 0);
    n->seq_out[0] = n->seq_in[0];
}

static Value *const_of(OnnxNode *n, DType t, int rank, int64_t count, const void *data)
{
    return build_const(n->b, tensor_new(n->b->ctx->pool, t, rank, &count, data));
}

void lower_constant(OnnxNode *n)
{
    static const char *const tensors[] = {"value", "sparse_value"};
    for (int i = 0; i < 2; i++)
        if (onnx_has(n, tensors[i])) {
            const Tensor *t = onnx_tensor(n, tensors[i]);
            n->out[0] = t ? build_const(n->b, t) : NULL;
            return;
        }
    int count;
    const float *floats = onnx_floats(n, "value_floats", &count);
    if (floats) {
        n->out[0] = const_of(n, DLVK_F32, 1, count, floats);
        return;
    }
    const int64_t *ints = onnx_ints(n, "value_ints", &count);
    if (ints) {
        n->out[0] = const_of(n, DLVK_I64, 1, count, ints);
        return;
    }
    const char *const *strings = onnx_strs(n, "value_strings", &count);
    const char *string = strings ? NULL : onnx_str(n, "value_string", NULL);
    if (strings || string) {
        int rank = strings ? 1 : 0;
        if (!rank) strings = &string, count = 1;
        Str *s = POOL_ARRAY(n->b->ctx->pool, Str, count);
        for (int i = 0; i < count; i++) s[i] = (Str){.at = strings[i], .len = strlen(strings[i])};
        n->out[0] = const_of(n, DLVK_STRING, rank, count, s);
    } else if (onnx_has(n, "value_float")) {
        n->out[0] = build_scalar(n->b, DLVK_F32, onnx_float(n, "value_float", 0));
    } else if (onnx_has(n, "value_int")) {
        n->out[0] = build_scalar_i(n->b, DLVK_I64, onnx_int(n, "value_int", 0));
    } else {
        onnx_error(n, "no attribute holds the value");
    }
}

/* One constant element, broadcast: large weights made so stay one element. */
void lower_constant_of_shape(OnnxNode *n)
{
    int rank;
    const Dim *const *shape = onnx_dims(n, 0, &rank);
    const Tensor *t = onnx_has(n, "value") ? onnx_tensor(n, "value") : NULL;
    if (!shape || (onnx_has(n, "value") && !t)) return;
    if (t && t->count != 1) {
        onnx_error(n, "attribute 'value' has %lld elements, not one", (long long)t->count);
        return;
    }
    Value *v = t ? const_of(n, t->dtype, 0, 1, t->data) : build_scalar(n->b, DLVK_F32, 0);
    n->out[0] = build_broadcast(n->b, v, rank, shape);
}

void lower_shape(OnnxNode *n)
{
    Type x = in(n, 0)->type;
    int64_t start = onnx_int(n, "start", 0), end = onnx_int(n, "end", x.rank);
    start = start < 0 ? start + x.rank : start;
    end = end < 0 ? end + x.rank : end;
    start = start < 0 ? 0 : start > x.rank ? x.rank : start;
    end = end < start ? start : end > x.rank ? x.rank : end;
    n->out[0] = build_dims(n->b, DLVK_I64, (int)(end - start), x.dim + start);
}

void lower_size(OnnxNode *n)
{
    const Dim *count = type_count(n->b->ctx, in(n, 0)->type);
    n->out[0] = build_dims(n->b, DLVK_I64, -1, &count);
}

/* start + i * delta for i < max(ceil((limit - start) / delta), 0). */
void lower_range(OnnxNode *n)
{
    Build *b = n->b;
    DType t = in(n, 0)->type.dtype;
    Value *x[3];
    for (int i = 0; i < 3; i++) {
        x[i] = in(n, i);
        if (x[i]->type.rank > 0) x[i] = build_reshape(b, x[i], 0, NULL);
    }
    Value *start = x[0], *span = build_map2(b, OP_SUB, x[1], x[0]), *delta = x[2], *count;
    if (dtype_is_int(t)) { /* ceil(a/b) = -floor(-a/b); floor(a/b) = (a - mod(a, b)) / b */
        Value *minus = build_map1(b, OP_NEG, span);
        Value *whole = build_map2(b, OP_SUB, minus, build_map2(b, OP_MOD, minus, delta));
        count = build_map1(b, OP_NEG, build_map2(b, OP_DIV, whole, delta));
    } else {
        count = build_map1(b, OP_CEIL, build_map2(b, OP_DIV, span, delta));
    }
    int rank;
    count = build_map2(b, OP_MAX, build_cast(b, count, DLVK_I64), build_scalar_i(b, DLVK_I64, 0));
    const Dim *const *size = build_contents(b, count, &rank);
    if (!size) return;
    Value *i = build_iota(b, t, 1, size, 0);
    n->out[0] = build_map2(b, OP_ADD, build_map2(b, OP_MUL, i, delta), start);
}

void lower_eye_like(OnnxNode *n)
{
    Build *b = n->b;
    Type x = in(n, 0)->type;
    DType t;
    if (!type_attr(n, "dtype", x.dtype, &t)) return;
    if (x.rank != 2) {
        onnx_error(n, "the input has rank %d, not 2", x.rank);
        return;
    }
    Value *row = build_iota(b, DLVK_I64, 2, x.dim, 0), *column = build_iota(b, DLVK_I64, 2, x.dim, 1);
    Value *k = build_scalar_i(b, DLVK_I64, onnx_int(n, "k", 0));
    n->out[0] = build_cast(b, build_map2(b, OP_EQ, build_map2(b, OP_ADD, row, k), column), t);
}

/* a0 - a1 cos(2 pi i / N) + a2 cos(4 pi i / N). */
static void window(OnnxNode *n, double a0, double a1, double a2)
{
    Build *b = n->b;
    const Dim *size = onnx_dim(n, 0);
    DType t;
    if (!size || !type_attr(n, "output_datatype", DLVK_F32, &t)) return;
    const Dim *period = onnx_int(n, "periodic", 1) ? size : plus_int(b, size, -1);
    DType u = t == DLVK_F64 ? DLVK_F64 : DLVK_F32;
    Value *i = build_map2s(b, OP_MUL, build_iota(b, u, 1, &size, 0), 2 * M_PI);
    Value *angle = build_map2(b, OP_DIV, i, dim_value(b, u, period));
    Value *w = build_map2s(b, OP_MUL, build_map1(b, OP_COS, angle), -a1);
    Value *w2 = a2 != 0 ? build_map2s(b, OP_MUL, build_map1(b, OP_COS, build_map2s(b, OP_MUL, angle, 2)), a2) : NULL;
    if (w2) w = build_map2(b, OP_ADD, w, w2);
    n->out[0] = build_cast(b, build_map2s(b, OP_ADD, w, a0), t);
}

void lower_hann_window(OnnxNode *n)
{
    window(n, 0.5, 0.5, 0);
}
void lower_hamming_window(OnnxNode *n)
{
    window(n, 25.0 / 46, 21.0 / 46, 0);
}
void lower_blackman_window(OnnxNode *n)
{
    window(n, 0.42, 0.5, 0.08);
}

/* Random. */

/* The attribute `seed`, a float or for Dropout an integer; false: the model leaves the choice open. */
static bool given_seed(const OnnxNode *n, double *seed)
{
    const Onnx__AttributeProto *a = onnx_attr(n, "seed");
    if (a) *seed = a->has_i ? (double)a->i : (double)a->f;
    return a != NULL;
}

/* The parts of a model that is imported for training, whose steps each have numbers of their own; else NULL. */
static ModelParts *trained(const OnnxNode *n)
{
    return n->im->parts && n->im->parts->training ? n->im->parts : NULL;
}

/* A seed for a node: the one given, or a hash of its name; in training changed by the step's, which is 0 in an evaluation. */
static Value *seed_of(OnnxNode *n, uint64_t salt)
{
    uint64_t seed = 1469598103934665603u; /* FNV-1a */
    double given;
    if (given_seed(n, &given)) {
        memcpy(&seed, &given, sizeof seed);
    } else {
        for (const char *c = n->name; *c; c++) seed = (seed ^ (unsigned char)*c) * 1099511628211u;
    }
    Value *own = build_scalar_i(n->b, DLVK_U64, (int64_t)(seed + salt * 0x9E3779B97F4A7C15u));
    return trained(n) ? build_map2(n->b, OP_XOR, trained(n)->seed, own) : own;
}

/* Uniform in [0, 1), 24 bits, counter-based. */
static Value *counted(OnnxNode *n, int rank, const Dim *const *shape, uint64_t salt)
{
    Build *b = n->b;
    Value *seed = seed_of(n, salt);
    onnx_random(n);
    Attr a = at_dims(A_SHAPE, rank, shape);
    Value *bits = build_op(b, OP_RANDOM, 1, &seed, 1, &a);
    Value *top = build_map2(b, OP_SHR, bits, build_scalar_i(b, DLVK_U32, 8));
    return build_map2s(b, OP_MUL, build_cast(b, top, DLVK_F32), 0x1p-24);
}

/* The same; with a seed and of modest size, the reference implementation's, which are constants and so not for training steps. */
static Value *uniform(OnnxNode *n, int rank, const Dim *const *shape)
{
    double seed;
    onnx_random(n);
    Value *u = given_seed(n, &seed) ? legacy_uniform(n->b, seed, rank, shape) : NULL;
    if (!u || !trained(n)) return u ? u : counted(n, rank, shape, 0);
    return build_map3(n->b, OP_SELECT, trained(n)->training, counted(n, rank, shape, 0), u);
}

/* Box and Muller. */
static Value *normal(OnnxNode *n, int rank, const Dim *const *shape)
{
    Build *b = n->b;
    Value *u = build_map2(b, OP_SUB, build_scalar(b, DLVK_F32, 1), counted(n, rank, shape, 0)); /* (0, 1] */
    Value *r = build_map1(b, OP_SQRT, build_map2s(b, OP_MUL, build_map1(b, OP_LOG, u), -2));
    Value *turn = build_map2s(b, OP_MUL, counted(n, rank, shape, 1), 2 * M_PI);
    return build_map2(b, OP_MUL, r, build_map1(b, OP_COS, turn));
}

/* arg: 0 uniform, 1 normal. The shape is an attribute, or that of an input (...Like). */
void lower_random(OnnxNode *n)
{
    Build *b = n->b;
    const Dim *dims[DLVK_MAX_RANK];
    Type shape = {.dtype = DLVK_F32, .dim = dims};
    if (in(n, 0)) {
        shape = in(n, 0)->type;
        if (!dtype_is_float(shape.dtype)) shape.dtype = DLVK_F32;
    } else {
        const int64_t *s = onnx_ints(n, "shape", &shape.rank);
        if (!s || shape.rank > DLVK_MAX_RANK) {
            onnx_error(n, "attribute 'shape' is missing or too long");
            return;
        }
        for (int i = 0; i < shape.rank; i++) dims[i] = dim_of_int(b, s[i]);
    }
    DType t;
    if (!type_attr(n, "dtype", shape.dtype, &t)) return;
    Value *x;
    double scale, shift;
    if (n->arg) {
        x = normal(n, shape.rank, shape.dim);
        shift = onnx_float(n, "mean", 0);
        scale = onnx_float(n, "scale", 1);
    } else {
        x = uniform(n, shape.rank, shape.dim);
        shift = onnx_float(n, "low", 0);
        scale = onnx_float(n, "high", 1) - shift;
    }
    n->out[0] = build_cast(b, build_map2s(b, OP_ADD, build_map2s(b, OP_MUL, x, scale), shift), t);
}

void lower_bernoulli(OnnxNode *n)
{
    Build *b = n->b;
    Value *p = in(n, 0);
    DType t;
    if (!type_attr(n, "dtype", p->type.dtype, &t)) return;
    Value *hit = build_map2(b, OP_LT, uniform(n, p->type.rank, p->type.dim), build_cast(b, p, DLVK_F32));
    n->out[0] = build_cast(b, hit, t);
}

/* Samples a class by the Gumbel-max trick: argmax(log p - log(-log u)). */
void lower_multinomial(OnnxNode *n)
{
    Build *b = n->b;
    Value *x = in(n, 0);
    DType t;
    if (!type_attr(n, "dtype", DLVK_I32, &t)) return;
    if (x->type.rank != 2) {
        onnx_error(n, "the input has rank %d, not 2", x->type.rank);
        return;
    }
    const Dim *shape[] = {x->type.dim[0], dim_of_int(b, onnx_int(n, "sample_size", 1)), x->type.dim[1]};
    Value *u = build_map2s(b, OP_ADD, counted(n, 3, shape, 0), 0x1p-25); /* keeps log(u) finite */
    Value *g = build_map1(b, OP_LOG, build_map1(b, OP_NEG, build_map1(b, OP_LOG, u)));
    Value *logits = build_unsqueeze(b, build_cast(b, x, DLVK_F32), 1, (int[]){1});
    Value *best = build_argreduce(b, KIND_MAX, build_map2(b, OP_SUB, logits, g), 2, false, false);
    n->out[0] = build_cast(b, best, t);
}

/* Inference: the input itself. With training_mode: elements are dropped and the others scaled up. */
void lower_dropout(OnnxNode *n)
{
    Build *b = n->b;
    Value *x = in(n, 0), *mode = n->opset >= 12 ? in(n, 2) : NULL;
    double off, none;
    Value *mask = build_broadcast(b, build_scalar_i(b, n->opset < 10 ? x->type.dtype : DLVK_BOOL, 1), x->type.rank, x->type.dim);
    n->out[0] = x;
    if (trained(n)) {
        Value *ratio = n->opset >= 12 ? in(n, 1) : NULL;
        if (!ratio) ratio = build_scalar(b, DLVK_F32, onnx_float(n, "ratio", 0.5));
        n->out[0] = mode_dropout(b, trained(n), x, build_cast(b, ratio, DLVK_F32), &mask);
        if (n->n_out > 1) n->out[1] = build_cast(b, mask, n->opset < 10 ? x->type.dtype : DLVK_BOOL);
        return;
    }
    if (mode && !(value_scalar(mode, &off) && off == 0) && !(in(n, 1) && value_scalar(in(n, 1), &none) && none == 0)) {
        Value *ratio = in(n, 1) ? build_cast(b, in(n, 1), DLVK_F32) : build_scalar(b, DLVK_F32, 0.5);
        Value *keep = build_map2(b, OP_GE, uniform(n, x->type.rank, x->type.dim), ratio);
        Value *gain =
            build_map2(b, OP_DIV, build_scalar(b, DLVK_F32, 1), build_map2(b, OP_SUB, build_scalar(b, DLVK_F32, 1), ratio));
        Value *y = build_map2(b, OP_MUL, x, build_cast(b, gain, x->type.dtype));
        y = build_map3(b, OP_SELECT, keep, y, build_scalar(b, x->type.dtype, 0));
        n->out[0] = build_map3(b, OP_SELECT, mode, y, x);
        mask = build_map3(b, OP_SELECT, mode, keep, mask);
    }
    if (n->n_out > 1) n->out[1] = mask;
}
