/* Writing graphs as ONNX: a node, an operator or a chain of them. */
#include "frontend/onnx/export_internal.h"

#include <math.h>
#include <string.h>

/* ONNX operators for pointwise ops: one, or a chain of two. */
static const char *const point_name[OP_COUNT][3] = {
    [OP_ADD] = {"Add"},         [OP_SUB] = {"Sub"},           [OP_MUL] = {"Mul"},
    [OP_DIV] = {"Div"},         [OP_POW] = {"Pow"},           [OP_MAX] = {"Max"},
    [OP_MIN] = {"Min"},         [OP_NEG] = {"Neg"},           [OP_ABS] = {"Abs"},
    [OP_SIGN] = {"Sign"},       [OP_FLOOR] = {"Floor"},       [OP_CEIL] = {"Ceil"},
    [OP_ROUND] = {"Round"},     [OP_SQRT] = {"Sqrt"},         [OP_EXP] = {"Exp"},
    [OP_LOG] = {"Log"},         [OP_SIN] = {"Sin"},           [OP_COS] = {"Cos"},
    [OP_TAN] = {"Tan"},         [OP_ASIN] = {"Asin"},         [OP_ACOS] = {"Acos"},
    [OP_ATAN] = {"Atan"},       [OP_SINH] = {"Sinh"},         [OP_COSH] = {"Cosh"},
    [OP_TANH] = {"Tanh"},       [OP_ASINH] = {"Asinh"},       [OP_ACOSH] = {"Acosh"},
    [OP_ATANH] = {"Atanh"},     [OP_ERF] = {"Erf"},           [OP_SIGMOID] = {"Sigmoid"},
    [OP_EQ] = {"Equal"},        [OP_LT] = {"Less"},           [OP_LE] = {"LessOrEqual"},
    [OP_GT] = {"Greater"},      [OP_GE] = {"GreaterOrEqual"}, [OP_IS_NAN] = {"IsNaN"},
    [OP_IS_INF] = {"IsInf"},    [OP_SELECT] = {"Where"},      [OP_RSQRT] = {"Sqrt", "Reciprocal"},
    [OP_NE] = {"Equal", "Not"},
};
/* Where operands of bools or integers have others. */
static const char *const bool_name[OP_COUNT][3] = {
    [OP_AND] = {"And"}, [OP_OR] = {"Or"}, [OP_XOR] = {"Xor"}, [OP_NOT] = {"Not"}, [OP_MAX] = {"Or"}, [OP_MIN] = {"And"}};
static const char *const int_name[OP_COUNT][3] = {
    [OP_AND] = {"BitwiseAnd"}, [OP_OR] = {"BitwiseOr"}, [OP_XOR] = {"BitwiseXor"}, [OP_NOT] = {"BitwiseNot"}};

/* ---- pointwise ---- */

/* The operand before a broadcast that ONNX's operators do by themselves, and before a reshape that only puts ones in front. */
static Value *unbroadcast(Value *v)
{
    while (v->def && v->def->op == OP_BROADCAST) v = v->def->in[0];
    if (v->def && v->def->op == OP_RESHAPE) {
        Value *x = v->def->in[0];
        int more = v->type.rank - x->type.rank;
        bool ones = more > 0;
        for (int i = 0; ones && i < v->type.rank; i++)
            ones = i < more ? dim_is(v->type.dim[i], 1) : v->type.dim[i] == x->type.dim[i - more];
        if (ones) return x;
    }
    return v;
}

/* Whether the operands by themselves broadcast to the result's shape. */
static bool covers(const Node *n, Value *const *in)
{
    const Type *t = &n->out[0]->type;
    for (int a = 0; a < t->rank; a++) {
        bool found = dim_is(t->dim[a], 1);
        for (int i = 0; !found && i < n->n_in; i++) {
            int own = a - (t->rank - in[i]->type.rank);
            found = own >= 0 && in[i]->type.dim[own] == t->dim[a];
        }
        if (!found) return false;
    }
    return true;
}

/* A sum of a convolution or a matrix product and a vector along its channels: the vector becomes the operator's bias. NULL where
 * it is something else. */
static const char *bias_result(Export *e, const Node *n, const char *out)
{
    for (int i = 0; i < 2; i++) {
        Value *x = n->in[i], *bias = n->in[1 - i], *source = x;
        while (bias->def && (bias->def->op == OP_BROADCAST || bias->def->op == OP_RESHAPE)) bias = bias->def->in[0];
        if (bias->type.rank != 1 || (bias->def && bias->def->op != OP_BARRIER)) continue;
        if (x->def && x->def->op == OP_TRANSPOSE && e->uses[x->id] == 1) source = x->def->in[0];
        bool conv = source->def && source->def->op == OP_CONV, dot = x->def && x->def->op == OP_DOT && x->type.rank == 2;
        if ((!conv && !dot) || e->uses[source->id] != 1 || !type_equal(x->type, n->out[0]->type)) continue;
        int axis = conv ? 1 : x->type.rank - 1; /* along which the bias must run */
        Value *spread = n->in[1 - i];
        while (spread->def && spread->def->op == OP_BROADCAST) spread = spread->def->in[0];
        bool along = bias->type.dim[0] == x->type.dim[axis];
        for (int a = 0; a < spread->type.rank; a++) {
            int at = a + x->type.rank - spread->type.rank;
            along &= at == axis ? spread->type.dim[a] == bias->type.dim[0] : dim_is(spread->type.dim[a], 1);
        }
        const char *made =
            conv ? export_transposed(e, x, (const int[]){0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11}, NULL) : e->value[x->id].name;
        Onnx__NodeProto *p = along && e->nodes.n ? e->nodes.at[e->nodes.n - 1] : NULL;
        if (!p || strcmp(p->output[0], made) != 0 || p->n_input != 2 ||
            (strcmp(p->op_type, "Conv") && strcmp(p->op_type, "Gemm")))
            continue;
        p->input = pool_dup(e->pool, (const char *[]){p->input[0], p->input[1], export_use(e, bias)}, 3 * sizeof *p->input);
        p->n_input = 3;
        p->output[0] = (char *)(uintptr_t)out;
        return out;
    }
    return NULL;
}

static const char *point_result(Export *e, const Node *n, const char *out)
{
    Value *in[3];
    const char *name[3];
    double zero;
    DClass class = dtype_class(n->in[0]->type.dtype);
    const char *const *chain = point_name[n->op];
    if (class == DC_BOOL && bool_name[n->op][0]) chain = bool_name[n->op];
    if ((class == DC_INT || class == DC_UINT) && int_name[n->op][0]) chain = int_name[n->op];
    if (!chain[0]) return export_fail(e, "ONNX has no such operator");
    if (n->op == OP_ADD && class == DC_FLOAT && bias_result(e, n, out)) return out;
    for (int i = 0; i < n->n_in; i++) in[i] = unbroadcast(n->in[i]);
    for (int i = 0; i < n->n_in && !covers(n, in); i++) in[i] = n->in[i];
    bool relu = n->op == OP_MAX && class == DC_FLOAT && value_scalar(in[1], &zero) && zero == 0 && !signbit(zero) &&
                in[0]->type.rank == n->out[0]->type.rank;
    if (relu) {
        name[0] = export_use(e, in[0]);
        export_add_node(e, "Relu", 1, name, out);
        return out;
    }
    for (int i = 0; i < n->n_in; i++) name[i] = export_use(e, in[i]);
    const char *first = chain[1] ? export_new_name(e, chain[0]) : out;
    export_add_node(e, chain[0], n->n_in, name, first);
    if (chain[1]) export_add_node(e, chain[1], 1, &first, out);
    return out;
}

/* ---- operators of structure ---- */

static const char *reduce_result(Export *e, const Node *n, const char *out)
{
    static const char *const op[KIND_COUNT] = {
        [KIND_SUM] = "ReduceSum", [KIND_PROD] = "ReduceProd", [KIND_MAX] = "ReduceMax", [KIND_MIN] = "ReduceMin"};
    const Attr *axes = node_attr(n, A_AXES);
    Kind k = (Kind)attr_i(n, A_KIND, 0);
    if (!op[k]) return export_fail(e, "a reduction that ONNX does not have");
    const char *in[] = {export_use(e, n->in[0]), export_add_ints(e, axes->n, axes->ints)};
    Onnx__NodeProto *p = export_add_node(e, op[k], 2, in, out);
    export_attr_int(e, p, "keepdims", 1);
    if (!axes->n) export_attr_int(e, p, "noop_with_empty_axes", 1);
    return out;
}

static const char *argreduce_result(Export *e, const Node *n, const char *out)
{
    const char *x = export_use(e, n->in[0]);
    Onnx__NodeProto *p = export_add_node(e, attr_i(n, A_KIND, 0) == KIND_MAX ? "ArgMax" : "ArgMin", 1, &x, out);
    export_attr_int(e, p, "axis", attr_i(n, A_AXIS, 0));
    export_attr_int(e, p, "keepdims", 1);
    export_attr_int(e, p, "select_last_index", attr_i(n, A_LAST, 0));
    return out;
}

static const char *cumulate_result(Export *e, const Node *n, const char *out)
{
    if (attr_i(n, A_KIND, 0) != KIND_SUM) return export_fail(e, "running products, maxima and minima are not in ONNX");
    int64_t axis = attr_i(n, A_AXIS, 0);
    Onnx__NodeProto *p =
        export_add_node(e, "CumSum", 2, (const char *[]){export_use(e, n->in[0]), export_add_ints(e, 1, &axis)}, out);
    export_attr_int(e, p, "exclusive", attr_i(n, A_EXCLUSIVE, 0));
    export_attr_int(e, p, "reverse", attr_i(n, A_REVERSE, 0));
    return out;
}

static const char *sort_result(Export *e, const Node *n, const char *out)
{
    int axis = (int)attr_i(n, A_AXIS, 0);
    const char *in[] = {export_use(e, n->in[0]), export_size_name(e, n->in[0]->type.dim[axis])},
               *indices = export_new_name(e, "indices");
    Onnx__NodeProto *p = export_add_node(e, "TopK", 2, in, out);
    p->n_output = 2;
    p->output = pool_dup(e->pool, (const char *[]){out, indices}, 2 * sizeof out);
    export_attr_int(e, p, "axis", axis);
    export_attr_int(e, p, "largest", attr_i(n, A_DESCENDING, 0));
    e->value[n->out[1]->id].name = indices;
    return out;
}

/* Pools: windows over all axes but the first two. */
static const char *window_result(Export *e, const Node *n, const char *out)
{
    const int64_t *window = attr_ints(n, A_WINDOW), *step = attr_ints(n, A_STEP), *dilation = attr_ints(n, A_DILATION);
    const Dim *const *lo = attr_dims(n, A_LO), *const *hi = attr_dims(n, A_HI);
    Kind k = (Kind)attr_i(n, A_KIND, 0);
    int rank = n->in[0]->type.rank, s = rank - 2;
    int64_t pads[2 * DLVK_MAX_RANK], taps = 1;
    bool plain = rank >= 3 && (k == KIND_MAX || k == KIND_MIN || k == KIND_SUM) && dtype_is_float(n->in[0]->type.dtype);
    for (int i = 0; plain && i < 2; i++) plain = window[i] == 1 && step[i] == 1 && dim_is(lo[i], 0) && dim_is(hi[i], 0);
    if (!plain || !export_known_sizes(s, lo + 2, pads) || !export_known_sizes(s, hi + 2, pads + s))
        return export_fail(e, "a window that is no pool of ONNX's");
    for (int i = 2; i < rank; i++) {
        taps *= window[i];
        if (k == KIND_SUM && dilation[i] != 1) return export_fail(e, "a dilated average pool");
    }
    const char *x = export_use(e, n->in[0]), *pooled = k == KIND_MAX ? out : export_new_name(e, "pool");
    if (k == KIND_MIN) x = export_step1(e, "Neg", x);
    Onnx__NodeProto *p = export_add_node(e, k == KIND_SUM ? "AveragePool" : "MaxPool", 1, &x, pooled);
    export_attr_list(e, p, "kernel_shape", s, window + 2);
    export_attr_list(e, p, "strides", s, step + 2);
    export_attr_list(e, p, "pads", 2 * s, pads);
    if (k == KIND_SUM)
        export_attr_int(e, p, "count_include_pad", 1);
    else
        export_attr_list(e, p, "dilations", s, dilation + 2);
    if (k == KIND_MIN) export_add_node(e, "Neg", 1, &pooled, out);
    if (k == KIND_SUM) {
        Value *times = build_scalar(&e->b, n->in[0]->type.dtype, (double)taps);
        const Tensor *t;
        value_const(times, &t);
        export_add_node(e, "Mul", 2, (const char *[]){pooled, export_add_tensor(e, "taps", t)}, out);
    }
    return out;
}

/* The second matrix is often a weight that lies transposed: Gemm takes it as it is. */
static const char *dot_result(Export *e, const Node *n, const char *out)
{
    Value *y = n->in[1];
    bool turned = y->type.rank == 2 && y->def && y->def->op == OP_TRANSPOSE && dtype_is_float(y->type.dtype);
    if (n->in[0]->type.dtype != n->out[0]->type.dtype) return export_fail(e, "a product that widens its operands");
    const char *in[] = {export_use(e, n->in[0]), export_use(e, turned ? y->def->in[0] : y)};
    Onnx__NodeProto *p = export_add_node(e, turned ? "Gemm" : "MatMul", 2, in, out);
    if (turned) export_attr_int(e, p, "transB", 1);
    return out;
}

static const char *conv_result(Export *e, const Node *n, const char *out)
{
    int s = n->in[0]->type.rank - 2, to_first[DLVK_MAX_RANK] = {0, s + 1}, kernel[DLVK_MAX_RANK] = {s + 1, s};
    int64_t pads[2 * DLVK_MAX_RANK], shape[DLVK_MAX_RANK];
    const int64_t *apart = attr_ints(n, A_IN_DILATION);
    for (int i = 0; i < s; i++) {
        to_first[2 + i] = i + 1;
        kernel[2 + i] = i;
        if (apart[i] != 1) return export_fail(e, "a transposed convolution");
        if (!dim_is_const(n->in[1]->type.dim[i], &shape[i])) return export_fail(e, "a kernel without a known size");
    }
    if (!export_known_sizes(s, attr_dims(n, A_LO), pads) || !export_known_sizes(s, attr_dims(n, A_HI), pads + s))
        return export_fail(e, "padding that is no number, or negative");
    const char *in[] = {export_transposed(e, n->in[0], to_first, NULL), export_transposed(e, n->in[1], kernel, NULL)};
    const char *first = export_new_name(e, "Conv");
    Onnx__NodeProto *p = export_add_node(e, "Conv", 2, in, first);
    export_attr_list(e, p, "kernel_shape", s, shape);
    export_attr_list(e, p, "strides", s, attr_ints(n, A_STEP));
    export_attr_list(e, p, "dilations", s, attr_ints(n, A_DILATION));
    export_attr_list(e, p, "pads", 2 * s, pads);
    export_attr_int(e, p, "group", attr_i(n, A_GROUP, 1));
    e->value[n->out[0]->id].base = first; /* channels stand second there, and last in the value */
    for (int i = 0; i < s + 2; i++) e->value[n->out[0]->id].perm[i] = i == 0 ? 0 : i == s + 1 ? 1 : i + 1;
    (void)out;
    return NULL;
}

static const char *gather_result(Export *e, const Node *n, const char *out)
{
    const char *in[] = {export_use(e, n->in[0]), export_use(e, n->in[1])};
    DType t = n->in[1]->type.dtype;
    if (t != DLVK_I64 && t != DLVK_I32) return export_fail(e, "indices that are neither i32 nor i64");
    export_attr_int(e, export_add_node(e, "Gather", 2, in, out), "axis", attr_i(n, A_AXIS, 0));
    return out;
}

static const char *scatter_result(Export *e, const Node *n, const char *out)
{
    static const char *const how[KIND_COUNT] = {
        [KIND_SET] = "none", [KIND_SUM] = "add", [KIND_PROD] = "mul", [KIND_MAX] = "max", [KIND_MIN] = "min"};
    const char *text = how[attr_i(n, A_KIND, 0)];
    if (!text || n->in[1]->type.dtype != DLVK_I64) return export_fail(e, "a scatter that ONNX does not have");
    int64_t last = -1;
    const char *index = export_step2(e, "Unsqueeze", export_use(e, n->in[1]), export_add_ints(e, 1, &last));
    Onnx__NodeProto *p =
        export_add_node(e, "ScatterND", 3, (const char *[]){export_use(e, n->in[0]), index, export_use(e, n->in[2])}, out);
    Onnx__AttributeProto *a = export_add_attr(e, p, "reduction", ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__STRING);
    a->has_s = true;
    a->s = (ProtobufCBinaryData){strlen(text), (uint8_t *)(uintptr_t)text};
    return out;
}

static const char *cast_result(Export *e, const Node *n, const char *out)
{
    const char *x = export_use(e, n->in[0]);
    export_attr_int(e, export_add_node(e, "Cast", 1, &x, out), "to", dtype_to_onnx(n->out[0]->type.dtype));
    return out;
}

static const char *concat_result(Export *e, const Node *n, const char *out)
{
    const char **in = POOL_ARRAY(e->pool, const char *, n->n_in);
    for (int i = 0; i < n->n_in; i++) in[i] = export_use(e, n->in[i]);
    export_attr_int(e, export_add_node(e, "Concat", n->n_in, in, out), "axis", attr_i(n, A_AXIS, 0));
    return out;
}

static const char *iota_result(Export *e, const Node *n, const char *out)
{
    int axis = (int)attr_i(n, A_AXIS, 0), rank = n->out[0]->type.rank, n_ones = 0;
    int64_t zero = 0, one = 1, axes[DLVK_MAX_RANK];
    const Tensor *z = tensor_new(e->pool, DLVK_I64, 0, NULL, pool_dup(e->pool, &zero, sizeof zero));
    const Tensor *o = tensor_new(e->pool, DLVK_I64, 0, NULL, pool_dup(e->pool, &one, sizeof one));
    const Dim *size = n->out[0]->type.dim[axis];
    const char *count = export_step1(e, "Squeeze", export_size_name(e, size)),
               *in[] = {export_add_tensor(e, "zero", z), count, export_add_tensor(e, "one", o)};
    const char *x = export_new_name(e, "Range");
    export_add_node(e, "Range", 3, in, x);
    for (int i = 0; i < rank; i++)
        if (i != axis) axes[n_ones++] = i;
    if (n_ones) x = export_step2(e, "Unsqueeze", x, export_add_ints(e, n_ones, axes));
    const char *shape = export_sizes_name(e, rank, n->out[0]->type.dim), *cast = n_ones ? export_new_name(e, "Cast") : out;
    export_attr_int(e, export_add_node(e, "Cast", 1, &x, cast), "to", dtype_to_onnx(n->out[0]->type.dtype));
    if (n_ones) export_add_node(e, "Expand", 2, (const char *[]){cast, shape}, out);
    return out;
}

/* Composites that ONNX has, too. */
static const char *call_result(Export *e, const Node *n, const char *out)
{
    const Attr *name = node_attr(n, A_NAME);
    double epsilon;
    const char *in[5];
    if (!name || strcmp(name->str, "batch_norm") || n->n_in != 6 || !value_scalar(n->in[5], &epsilon))
        return export_fail(e, "a composite that ONNX does not have");
    for (int i = 0; i < 5; i++) in[i] = export_use(e, n->in[i]);
    export_attr_float(e, export_add_node(e, "BatchNormalization", 5, in, out), "epsilon", epsilon);
    return out;
}

/* A node's result under the name `out`, or, where that is decided later, NULL. */
const char *export_result(Export *e, const Node *n, const char *out)
{
    if (op_info[n->op].point) return point_result(e, n, out);
    switch (n->op) {
    case OP_IOTA: return iota_result(e, n, out);
    case OP_CAST: return cast_result(e, n, out);
    case OP_CONCAT: return concat_result(e, n, out);
    case OP_REDUCE: return reduce_result(e, n, out);
    case OP_ARGREDUCE: return argreduce_result(e, n, out);
    case OP_CUMULATE: return cumulate_result(e, n, out);
    case OP_WINDOW: return window_result(e, n, out);
    case OP_SORT: return sort_result(e, n, out);
    case OP_DOT: return dot_result(e, n, out);
    case OP_CONV: return conv_result(e, n, out);
    case OP_GATHER: return gather_result(e, n, out);
    case OP_SCATTER: return scatter_result(e, n, out);
    case OP_CALL: return call_result(e, n, out);
    default: return export_fail(e, "it cannot be written as ONNX");
    }
}
