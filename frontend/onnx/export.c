/* A graph as an ONNX model (opset 18): every primitive that ONNX has a counterpart of becomes that. What the builder's
 * compositions spread out is gathered again where it is plain to see: the transposes around a convolution, the broadcasts before
 * pointwise operators, transposed matrices, relu. Everything else is refused by name.
 *
 * Nodes come in the graph's order; movement and constants only once something uses them. */
#include "frontend/onnx/export.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "frontend/onnx/importer.h"
#include "ir/build.h"
#include "ir/rewrite.h"
#include "runtime/error.h"
#include "runtime/file.h"

enum { OPSET = 18, IR_VERSION = 8 };

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

typedef struct Export {
    Context *ctx;
    Pool *pool;
    Graph *g;
    const Node *node; /* being written */
    Build b;
    struct {
        const char *name; /* in the model; NULL: not written yet, or only as */
        const char *base; /* what, transposed by perm, this value is */
        int perm[DLVK_MAX_RANK];
    } * value;       /* by id */
    const int *uses; /* by id */
    VEC(Onnx__NodeProto *) nodes;
    VEC(Onnx__TensorProto *) tensors;
    VEC(const char *) names; /* taken */
} Export;

static const char *fail(Export *e, const char *why)
{
    const Node *n = e->node;
    const Origin *o = n ? n->origin : NULL;
    diag_error(&e->ctx->diag, DLVK_UNSUPPORTED, "node '%s' (%s): %s", o && o->name ? o->name : "", n ? op_info[n->op].name : "",
               why);
    return "";
}

/* A name no other value has. */
static const char *new_name(Export *e, const char *stem)
{
    const char *name = stem;
    for (int i = 0, k = 1; i < e->names.n; i++)
        if (!strcmp(e->names.at[i], name)) {
            name = pool_printf(e->pool, "%s_%d", stem, ++k);
            i = -1;
        }
    return *VEC_PUSH(e->pool, e->names) = name;
}

/* ---- messages ---- */

static Onnx__TensorProto *tensor_proto(Export *e, const char *name, const Tensor *t)
{
    Onnx__TensorProto *p = POOL_NEW(e->pool, Onnx__TensorProto);
    onnx__tensor_proto__init(p);
    p->name = (char *)(uintptr_t)name;
    p->has_data_type = true;
    p->data_type = dtype_to_onnx(t->dtype);
    p->n_dims = (size_t)t->rank;
    p->dims = pool_dup(e->pool, t->dim, (size_t)t->rank * sizeof *t->dim);
    p->has_raw_data = true;
    p->raw_data.len = (size_t)dtype_bytes(t->dtype, t->count);
    p->raw_data.data = (uint8_t *)(uintptr_t)t->data;
    if (t->splat && t->count != 1) {
        p->raw_data.data = pool_alloc(e->pool, p->raw_data.len);
        for (int64_t i = 0; i < t->count; i++) {
            if (dtype_is_float(t->dtype))
                elem_set_f(t->dtype, p->raw_data.data, i, elem_get_f(t->dtype, t->data, 0));
            else
                elem_set_i(t->dtype, p->raw_data.data, i, elem_get_i(t->dtype, t->data, 0));
        }
    }
    return p;
}

static const char *add_tensor(Export *e, const char *stem, const Tensor *t)
{
    const char *name = new_name(e, stem);
    *VEC_PUSH(e->pool, e->tensors) = tensor_proto(e, name, t);
    return name;
}

static const char *add_ints(Export *e, int n, const int64_t *x)
{
    const int64_t dim[] = {n};
    return add_tensor(e, "ints", tensor_new(e->pool, DLVK_I64, 1, dim, pool_dup(e->pool, x, (size_t)n * sizeof *x)));
}

static Onnx__NodeProto *add_node(Export *e, const char *op, int n_in, const char *const *in, const char *out)
{
    Onnx__NodeProto *p = POOL_NEW(e->pool, Onnx__NodeProto);
    onnx__node_proto__init(p);
    p->op_type = (char *)(uintptr_t)op;
    p->name = pool_printf(e->pool, "%s_%d", op, e->nodes.n);
    p->n_input = (size_t)n_in;
    p->input = pool_dup(e->pool, in, (size_t)n_in * sizeof *in);
    p->n_output = 1;
    p->output = pool_dup(e->pool, &out, sizeof out);
    p->attribute = POOL_ARRAY(e->pool, Onnx__AttributeProto *, 8);
    return *VEC_PUSH(e->pool, e->nodes) = p;
}

static Onnx__AttributeProto *add_attr(Export *e, Onnx__NodeProto *n, const char *name, Onnx__AttributeProto__AttributeType type)
{
    Onnx__AttributeProto *a = POOL_NEW(e->pool, Onnx__AttributeProto);
    onnx__attribute_proto__init(a);
    a->name = (char *)(uintptr_t)name;
    a->has_type = true;
    a->type = type;
    return n->attribute[n->n_attribute++] = a;
}

static void attr_int(Export *e, Onnx__NodeProto *n, const char *name, int64_t v)
{
    Onnx__AttributeProto *a = add_attr(e, n, name, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INT);
    a->has_i = true;
    a->i = v;
}

static void attr_float(Export *e, Onnx__NodeProto *n, const char *name, double v)
{
    Onnx__AttributeProto *a = add_attr(e, n, name, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__FLOAT);
    a->has_f = true;
    a->f = (float)v;
}

static void attr_list(Export *e, Onnx__NodeProto *n, const char *name, int count, const int64_t *v)
{
    Onnx__AttributeProto *a = add_attr(e, n, name, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INTS);
    a->n_ints = (size_t)count;
    a->ints = pool_dup(e->pool, v, (size_t)count * sizeof *v);
}

/* An intermediate result: one input, a fresh name. */
static const char *step1(Export *e, const char *op, const char *x)
{
    const char *out = new_name(e, op);
    add_node(e, op, 1, &x, out);
    return out;
}
static const char *step2(Export *e, const char *op, const char *x, const char *y)
{
    const char *out = new_name(e, op);
    add_node(e, op, 2, (const char *[]){x, y}, out);
    return out;
}

/* ---- sizes ---- */

/* One dimension as an i64[1]: a number, the size of an input's axis, or arithmetic on those. */
static const char *size_name(Export *e, const Dim *d)
{
    static const char *const op[] = {
        [DIM_ADD] = "Add", [DIM_MUL] = "Mul", [DIM_FLOORDIV] = "Div", [DIM_MOD] = "Mod", [DIM_MIN] = "Min", [DIM_MAX] = "Max"};
    if (d->kind == DIM_CONST) return add_ints(e, 1, &d->value);
    if (d->kind == DIM_SYM) {
        for (int i = 0; i < e->g->top->params.n; i++) {
            const Value *v = e->g->top->params.at[i];
            for (int a = 0; a < v->type.rank; a++) {
                if (v->type.dim[a] != d) continue;
                const char *out = new_name(e, d->sym->name);
                Onnx__NodeProto *n = add_node(e, "Shape", 1, &e->value[v->id].name, out);
                attr_int(e, n, "start", a);
                attr_int(e, n, "end", a + 1);
                return out;
            }
        }
        return fail(e, pool_printf(e->pool, "the size %s is no input's", d->sym->name));
    }
    const char *x = size_name(e, d->arg[0]);
    for (int i = 1; i < d->n; i++) x = step2(e, op[d->kind], x, size_name(e, d->arg[i]));
    return x;
}

/* Dimensions as an i64[n]. */
static const char *sizes_name(Export *e, int n, const Dim *const *d)
{
    int64_t *known = POOL_ARRAY(e->pool, int64_t, n);
    const char **part = POOL_ARRAY(e->pool, const char *, n);
    int i = 0;
    while (i < n && dim_is_const(d[i], &known[i])) i++;
    if (i == n) return add_ints(e, n, known);
    for (i = 0; i < n; i++) part[i] = size_name(e, d[i]);
    if (n == 1) return part[0];
    const char *out = new_name(e, "sizes");
    attr_int(e, add_node(e, "Concat", n, part, out), "axis", 0);
    return out;
}

/* Whether all are numbers from 0 on, and those. */
static bool known_sizes(int n, const Dim *const *d, int64_t *out)
{
    for (int i = 0; i < n; i++)
        if (!dim_is_const(d[i], &out[i]) || out[i] < 0) return false;
    return true;
}

/* ---- movement ---- */

static const char *use(Export *e, Value *v);

static bool identity(int rank, const int *perm)
{
    for (int i = 0; i < rank; i++)
        if (perm[i] != i) return false;
    return true;
}

static const char *transpose_name(Export *e, const char *x, int rank, const int *perm, const char *out)
{
    int64_t list[DLVK_MAX_RANK];
    for (int i = 0; i < rank; i++) list[i] = perm[i];
    out = out ? out : new_name(e, "Transpose");
    attr_list(e, add_node(e, "Transpose", 1, &x, out), "perm", rank, list);
    return out;
}

/* Whether a transpose by perm takes back what v, a reshape, did: only axes of size 1 have moved. */
static bool undoes(const Value *v, const int *perm)
{
    const Type *from = &v->def->in[0]->type;
    int last = -1;
    if (from->rank != v->type.rank) return false;
    for (int i = 0; i < from->rank; i++) {
        if (v->type.dim[perm[i]] != from->dim[i]) return false;
        if (dim_is(from->dim[i], 1)) continue;
        if (perm[i] < last) return false;
        last = perm[i];
    }
    return true;
}

/* v with its axes in another order: what a chain of transposes leaves of it. */
static const char *transposed(Export *e, Value *v, const int *perm, const char *out)
{
    int rank = v->type.rank, q[DLVK_MAX_RANK];
    memcpy(q, perm, (size_t)rank * sizeof *q);
    while (v->def && v->def->op == OP_TRANSPOSE && !e->value[v->id].name) {
        const int64_t *p = attr_ints(v->def, A_PERM);
        for (int i = 0; i < rank; i++) q[i] = (int)p[q[i]];
        v = v->def->in[0];
    }
    if (!e->value[v->id].name && v->def && v->def->op == OP_RESHAPE && undoes(v, q)) return use(e, v->def->in[0]);
    const char *base = e->value[v->id].name ? NULL : e->value[v->id].base;
    if (base)
        for (int i = 0; i < rank; i++) q[i] = e->value[v->id].perm[q[i]];
    else
        base = use(e, v);
    return identity(rank, q) ? base : transpose_name(e, base, rank, q, out);
}

static const char *reshape_name(Export *e, const Node *n)
{
    const Attr *shape = node_attr(n, A_SHAPE);
    int64_t dim[DLVK_MAX_RANK];
    int unknown = 0;
    bool zero = false;
    for (int i = 0; i < shape->n; i++) {
        if (!dim_is_const(shape->dims[i], &dim[i])) {
            dim[i] = -1;
            unknown++;
        }
        zero |= dim[i] == 0;
    }
    const char *to = unknown <= 1 && !zero ? add_ints(e, shape->n, dim) : sizes_name(e, shape->n, shape->dims);
    const char *in[] = {use(e, n->in[0]), to}, *out = new_name(e, "Reshape");
    Onnx__NodeProto *p = add_node(e, "Reshape", 2, in, out);
    if (zero) attr_int(e, p, "allowzero", 1);
    return out;
}

static const char *slice_name(Export *e, const Node *n, const Dim *const *start, const Dim *const *size, const int64_t *step)
{
    DimTable *t = &e->ctx->dims;
    int rank = n->in[0]->type.rank;
    const Dim *end[DLVK_MAX_RANK];
    int64_t axis[DLVK_MAX_RANK];
    for (int i = 0; i < rank; i++) {
        const Dim *last = dim_mul(t, dim_add(t, size[i], dim_const(t, -1)), dim_const(t, step[i]));
        end[i] = dim_add(t, dim_add(t, start[i], last), dim_const(t, 1));
        axis[i] = i;
    }
    const char *in[] = {use(e, n->in[0]), sizes_name(e, rank, start), sizes_name(e, rank, end), add_ints(e, rank, axis),
                        add_ints(e, rank, step)};
    const char *out = new_name(e, "Slice");
    add_node(e, "Slice", 5, in, out);
    return out;
}

static const char *reverse_name(Export *e, const Node *n)
{
    const Attr *axes = node_attr(n, A_AXES);
    int64_t list[3][DLVK_MAX_RANK];
    for (int i = 0; i < axes->n; i++) {
        list[0][i] = -1;
        list[1][i] = INT64_MIN;
        list[2][i] = -1;
    }
    const char *in[] = {use(e, n->in[0]), add_ints(e, axes->n, list[0]), add_ints(e, axes->n, list[1]),
                        add_ints(e, axes->n, axes->ints), add_ints(e, axes->n, list[2])};
    const char *out = new_name(e, "Slice");
    add_node(e, "Slice", 5, in, out);
    return out;
}

static const char *pad_name(Export *e, const Node *n)
{
    int rank = n->in[0]->type.rank;
    const Dim *pads[2 * DLVK_MAX_RANK];
    memcpy(pads, attr_dims(n, A_LO), (size_t)rank * sizeof *pads);
    memcpy(pads + rank, attr_dims(n, A_HI), (size_t)rank * sizeof *pads);
    const char *in[] = {use(e, n->in[0]), sizes_name(e, 2 * rank, pads), use(e, n->in[1])}, *out = new_name(e, "Pad");
    add_node(e, "Pad", 3, in, out);
    return out;
}

static const char *dims_name(Export *e, const Node *n)
{
    const Attr *values = node_attr(n, A_VALUES);
    DType t = n->out[0]->type.dtype;
    const char *out = sizes_name(e, values->n, values->dims);
    if (n->out[0]->type.rank == 0) out = step1(e, "Squeeze", out);
    if (t == DLVK_I64) return out;
    const char *cast = new_name(e, "Cast");
    attr_int(e, add_node(e, "Cast", 1, &out, cast), "to", dtype_to_onnx(t));
    return cast;
}

/* Sources and movement, when they are used. */
static const char *use(Export *e, Value *v)
{
    if (e->value[v->id].name) return e->value[v->id].name;
    const Node *n = v->def, *around = e->node;
    const char *name = "";
    const Tensor *t = NULL;
    int perm[DLVK_MAX_RANK];
    for (int i = 0; i < v->type.rank; i++) perm[i] = i;
    if (!n) return "";
    e->node = n;
    if (e->value[v->id].base)
        name = transpose_name(e, e->value[v->id].base, v->type.rank, e->value[v->id].perm, NULL);
    else
        switch (n->op) {
        case OP_CONST:
            value_const(v, &t);
            name = t->dtype == DLVK_STRING ? fail(e, "strings") : add_tensor(e, v->name ? v->name : "constant", t);
            break;
        case OP_DIMS: name = dims_name(e, n); break;
        case OP_BROADCAST: name = step2(e, "Expand", use(e, n->in[0]), sizes_name(e, v->type.rank, v->type.dim)); break;
        case OP_TRANSPOSE: name = transposed(e, v, perm, NULL); break;
        case OP_RESHAPE: name = reshape_name(e, n); break;
        case OP_SLICE: name = slice_name(e, n, attr_dims(n, A_START), v->type.dim, attr_ints(n, A_STEP)); break;
        case OP_REVERSE: name = reverse_name(e, n); break;
        case OP_PAD: name = pad_name(e, n); break;
        case OP_STOP_GRADIENT:
        case OP_BARRIER: name = use(e, n->in[0]); break;
        default: break; /* it was refused */
        }
    e->node = around;
    return e->value[v->id].name = name;
}

static bool is_lazy(Op op)
{
    return op == OP_CONST || op == OP_DIMS || op == OP_BROADCAST || op == OP_TRANSPOSE || op == OP_RESHAPE || op == OP_SLICE ||
           op == OP_REVERSE || op == OP_PAD || op == OP_STOP_GRADIENT || op == OP_BARRIER;
}

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
            conv ? transposed(e, x, (const int[]){0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11}, NULL) : e->value[x->id].name;
        Onnx__NodeProto *p = along && e->nodes.n ? e->nodes.at[e->nodes.n - 1] : NULL;
        if (!p || strcmp(p->output[0], made) != 0 || p->n_input != 2 ||
            (strcmp(p->op_type, "Conv") && strcmp(p->op_type, "Gemm")))
            continue;
        p->input = pool_dup(e->pool, (const char *[]){p->input[0], p->input[1], use(e, bias)}, 3 * sizeof *p->input);
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
    if (!chain[0]) return fail(e, "ONNX has no such operator");
    if (n->op == OP_ADD && class == DC_FLOAT && bias_result(e, n, out)) return out;
    for (int i = 0; i < n->n_in; i++) in[i] = unbroadcast(n->in[i]);
    for (int i = 0; i < n->n_in && !covers(n, in); i++) in[i] = n->in[i];
    bool relu = n->op == OP_MAX && class == DC_FLOAT && value_scalar(in[1], &zero) && zero == 0 && !signbit(zero) &&
                in[0]->type.rank == n->out[0]->type.rank;
    if (relu) {
        name[0] = use(e, in[0]);
        add_node(e, "Relu", 1, name, out);
        return out;
    }
    for (int i = 0; i < n->n_in; i++) name[i] = use(e, in[i]);
    const char *first = chain[1] ? new_name(e, chain[0]) : out;
    add_node(e, chain[0], n->n_in, name, first);
    if (chain[1]) add_node(e, chain[1], 1, &first, out);
    return out;
}

/* ---- operators of structure ---- */

static const char *reduce_result(Export *e, const Node *n, const char *out)
{
    static const char *const op[KIND_COUNT] = {
        [KIND_SUM] = "ReduceSum", [KIND_PROD] = "ReduceProd", [KIND_MAX] = "ReduceMax", [KIND_MIN] = "ReduceMin"};
    const Attr *axes = node_attr(n, A_AXES);
    Kind k = (Kind)attr_i(n, A_KIND, 0);
    if (!op[k]) return fail(e, "a reduction that ONNX does not have");
    const char *in[] = {use(e, n->in[0]), add_ints(e, axes->n, axes->ints)};
    Onnx__NodeProto *p = add_node(e, op[k], 2, in, out);
    attr_int(e, p, "keepdims", 1);
    if (!axes->n) attr_int(e, p, "noop_with_empty_axes", 1);
    return out;
}

static const char *argreduce_result(Export *e, const Node *n, const char *out)
{
    const char *x = use(e, n->in[0]);
    Onnx__NodeProto *p = add_node(e, attr_i(n, A_KIND, 0) == KIND_MAX ? "ArgMax" : "ArgMin", 1, &x, out);
    attr_int(e, p, "axis", attr_i(n, A_AXIS, 0));
    attr_int(e, p, "keepdims", 1);
    attr_int(e, p, "select_last_index", attr_i(n, A_LAST, 0));
    return out;
}

static const char *cumulate_result(Export *e, const Node *n, const char *out)
{
    if (attr_i(n, A_KIND, 0) != KIND_SUM) return fail(e, "running products, maxima and minima are not in ONNX");
    int64_t axis = attr_i(n, A_AXIS, 0);
    Onnx__NodeProto *p = add_node(e, "CumSum", 2, (const char *[]){use(e, n->in[0]), add_ints(e, 1, &axis)}, out);
    attr_int(e, p, "exclusive", attr_i(n, A_EXCLUSIVE, 0));
    attr_int(e, p, "reverse", attr_i(n, A_REVERSE, 0));
    return out;
}

static const char *sort_result(Export *e, const Node *n, const char *out)
{
    int axis = (int)attr_i(n, A_AXIS, 0);
    const char *in[] = {use(e, n->in[0]), size_name(e, n->in[0]->type.dim[axis])}, *indices = new_name(e, "indices");
    Onnx__NodeProto *p = add_node(e, "TopK", 2, in, out);
    p->n_output = 2;
    p->output = pool_dup(e->pool, (const char *[]){out, indices}, 2 * sizeof out);
    attr_int(e, p, "axis", axis);
    attr_int(e, p, "largest", attr_i(n, A_DESCENDING, 0));
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
    if (!plain || !known_sizes(s, lo + 2, pads) || !known_sizes(s, hi + 2, pads + s))
        return fail(e, "a window that is no pool of ONNX's");
    for (int i = 2; i < rank; i++) {
        taps *= window[i];
        if (k == KIND_SUM && dilation[i] != 1) return fail(e, "a dilated average pool");
    }
    const char *x = use(e, n->in[0]), *pooled = k == KIND_MAX ? out : new_name(e, "pool");
    if (k == KIND_MIN) x = step1(e, "Neg", x);
    Onnx__NodeProto *p = add_node(e, k == KIND_SUM ? "AveragePool" : "MaxPool", 1, &x, pooled);
    attr_list(e, p, "kernel_shape", s, window + 2);
    attr_list(e, p, "strides", s, step + 2);
    attr_list(e, p, "pads", 2 * s, pads);
    if (k == KIND_SUM)
        attr_int(e, p, "count_include_pad", 1);
    else
        attr_list(e, p, "dilations", s, dilation + 2);
    if (k == KIND_MIN) add_node(e, "Neg", 1, &pooled, out);
    if (k == KIND_SUM) {
        Value *times = build_scalar(&e->b, n->in[0]->type.dtype, (double)taps);
        const Tensor *t;
        value_const(times, &t);
        add_node(e, "Mul", 2, (const char *[]){pooled, add_tensor(e, "taps", t)}, out);
    }
    return out;
}

/* The second matrix is often a weight that lies transposed: Gemm takes it as it is. */
static const char *dot_result(Export *e, const Node *n, const char *out)
{
    Value *y = n->in[1];
    bool turned = y->type.rank == 2 && y->def && y->def->op == OP_TRANSPOSE && dtype_is_float(y->type.dtype);
    if (n->in[0]->type.dtype != n->out[0]->type.dtype) return fail(e, "a product that widens its operands");
    const char *in[] = {use(e, n->in[0]), use(e, turned ? y->def->in[0] : y)};
    Onnx__NodeProto *p = add_node(e, turned ? "Gemm" : "MatMul", 2, in, out);
    if (turned) attr_int(e, p, "transB", 1);
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
        if (apart[i] != 1) return fail(e, "a transposed convolution");
        if (!dim_is_const(n->in[1]->type.dim[i], &shape[i])) return fail(e, "a kernel without a known size");
    }
    if (!known_sizes(s, attr_dims(n, A_LO), pads) || !known_sizes(s, attr_dims(n, A_HI), pads + s))
        return fail(e, "padding that is no number, or negative");
    const char *in[] = {transposed(e, n->in[0], to_first, NULL), transposed(e, n->in[1], kernel, NULL)};
    const char *first = new_name(e, "Conv");
    Onnx__NodeProto *p = add_node(e, "Conv", 2, in, first);
    attr_list(e, p, "kernel_shape", s, shape);
    attr_list(e, p, "strides", s, attr_ints(n, A_STEP));
    attr_list(e, p, "dilations", s, attr_ints(n, A_DILATION));
    attr_list(e, p, "pads", 2 * s, pads);
    attr_int(e, p, "group", attr_i(n, A_GROUP, 1));
    e->value[n->out[0]->id].base = first; /* channels stand second there, and last in the value */
    for (int i = 0; i < s + 2; i++) e->value[n->out[0]->id].perm[i] = i == 0 ? 0 : i == s + 1 ? 1 : i + 1;
    (void)out;
    return NULL;
}

static const char *gather_result(Export *e, const Node *n, const char *out)
{
    const char *in[] = {use(e, n->in[0]), use(e, n->in[1])};
    DType t = n->in[1]->type.dtype;
    if (t != DLVK_I64 && t != DLVK_I32) return fail(e, "indices that are neither i32 nor i64");
    attr_int(e, add_node(e, "Gather", 2, in, out), "axis", attr_i(n, A_AXIS, 0));
    return out;
}

static const char *scatter_result(Export *e, const Node *n, const char *out)
{
    static const char *const how[KIND_COUNT] = {
        [KIND_SET] = "none", [KIND_SUM] = "add", [KIND_PROD] = "mul", [KIND_MAX] = "max", [KIND_MIN] = "min"};
    const char *text = how[attr_i(n, A_KIND, 0)];
    if (!text || n->in[1]->type.dtype != DLVK_I64) return fail(e, "a scatter that ONNX does not have");
    int64_t last = -1;
    const char *index = step2(e, "Unsqueeze", use(e, n->in[1]), add_ints(e, 1, &last));
    Onnx__NodeProto *p = add_node(e, "ScatterND", 3, (const char *[]){use(e, n->in[0]), index, use(e, n->in[2])}, out);
    Onnx__AttributeProto *a = add_attr(e, p, "reduction", ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__STRING);
    a->has_s = true;
    a->s = (ProtobufCBinaryData){strlen(text), (uint8_t *)(uintptr_t)text};
    return out;
}

static const char *cast_result(Export *e, const Node *n, const char *out)
{
    const char *x = use(e, n->in[0]);
    attr_int(e, add_node(e, "Cast", 1, &x, out), "to", dtype_to_onnx(n->out[0]->type.dtype));
    return out;
}

static const char *concat_result(Export *e, const Node *n, const char *out)
{
    const char **in = POOL_ARRAY(e->pool, const char *, n->n_in);
    for (int i = 0; i < n->n_in; i++) in[i] = use(e, n->in[i]);
    attr_int(e, add_node(e, "Concat", n->n_in, in, out), "axis", attr_i(n, A_AXIS, 0));
    return out;
}

static const char *iota_result(Export *e, const Node *n, const char *out)
{
    int axis = (int)attr_i(n, A_AXIS, 0), rank = n->out[0]->type.rank, n_ones = 0;
    int64_t zero = 0, one = 1, axes[DLVK_MAX_RANK];
    const Tensor *z = tensor_new(e->pool, DLVK_I64, 0, NULL, pool_dup(e->pool, &zero, sizeof zero));
    const Tensor *o = tensor_new(e->pool, DLVK_I64, 0, NULL, pool_dup(e->pool, &one, sizeof one));
    const Dim *size = n->out[0]->type.dim[axis];
    const char *count = step1(e, "Squeeze", size_name(e, size)),
               *in[] = {add_tensor(e, "zero", z), count, add_tensor(e, "one", o)};
    const char *x = new_name(e, "Range");
    add_node(e, "Range", 3, in, x);
    for (int i = 0; i < rank; i++)
        if (i != axis) axes[n_ones++] = i;
    if (n_ones) x = step2(e, "Unsqueeze", x, add_ints(e, n_ones, axes));
    const char *shape = sizes_name(e, rank, n->out[0]->type.dim), *cast = n_ones ? new_name(e, "Cast") : out;
    attr_int(e, add_node(e, "Cast", 1, &x, cast), "to", dtype_to_onnx(n->out[0]->type.dtype));
    if (n_ones) add_node(e, "Expand", 2, (const char *[]){cast, shape}, out);
    return out;
}

/* Composites that ONNX has, too. */
static const char *call_result(Export *e, const Node *n, const char *out)
{
    const Attr *name = node_attr(n, A_NAME);
    double epsilon;
    const char *in[5];
    if (!name || strcmp(name->str, "batch_norm") || n->n_in != 6 || !value_scalar(n->in[5], &epsilon))
        return fail(e, "a composite that ONNX does not have");
    for (int i = 0; i < 5; i++) in[i] = use(e, n->in[i]);
    attr_float(e, add_node(e, "BatchNormalization", 5, in, out), "epsilon", epsilon);
    return out;
}

/* A node's result under the name `out`, or, where that is decided later, NULL. */
static const char *result(Export *e, const Node *n, const char *out)
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
    default: return fail(e, "it cannot be written as ONNX");
    }
}

/* ---- the model ---- */

static Onnx__ValueInfoProto *value_info(Export *e, const char *name, Type t)
{
    Onnx__ValueInfoProto *v = POOL_NEW(e->pool, Onnx__ValueInfoProto);
    Onnx__TypeProto *type = POOL_NEW(e->pool, Onnx__TypeProto);
    Onnx__TypeProto__Tensor *tensor = POOL_NEW(e->pool, Onnx__TypeProto__Tensor);
    Onnx__TensorShapeProto *shape = POOL_NEW(e->pool, Onnx__TensorShapeProto);
    onnx__value_info_proto__init(v);
    onnx__type_proto__init(type);
    onnx__type_proto__tensor__init(tensor);
    onnx__tensor_shape_proto__init(shape);
    v->name = (char *)(uintptr_t)name;
    v->type = type;
    type->value_case = ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE;
    type->tensor_type = tensor;
    tensor->has_elem_type = true;
    tensor->elem_type = dtype_to_onnx(t.dtype);
    tensor->shape = shape;
    shape->n_dim = (size_t)t.rank;
    shape->dim = POOL_ARRAY(e->pool, Onnx__TensorShapeProto__Dimension *, t.rank);
    for (int i = 0; i < t.rank; i++) {
        Onnx__TensorShapeProto__Dimension *d = shape->dim[i] = POOL_NEW(e->pool, Onnx__TensorShapeProto__Dimension);
        onnx__tensor_shape_proto__dimension__init(d);
        if (dim_is_const(t.dim[i], &d->dim_value)) {
            d->value_case = ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_VALUE;
        } else {
            d->value_case = ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_PARAM;
            d->dim_param = dim_to_string(e->pool, t.dim[i]);
        }
    }
    return v;
}

static void export_nodes(Export *e)
{
    const Region *top = e->g->top;
    const bool *live = graph_live(e->g);
    const char **claimed = POOL_ARRAY(e->pool, const char *, e->g->n_values); /* the output a value is, if only one */
    for (int i = top->results.n - 1; i >= 0; i--) claimed[top->results.at[i]->id] = e->g->output_names.at[i];
    for (int i = 0; i < top->nodes.n; i++) {
        const Node *n = top->nodes.at[i];
        if (!live[n->id] || is_lazy(n->op)) continue;
        e->node = n;
        Value *v = n->n_out ? n->out[0] : NULL;
        const char *out = v && claimed[v->id] ? claimed[v->id] : new_name(e, v && v->name ? v->name : op_info[n->op].name);
        const char *name = result(e, n, out);
        if (v) e->value[v->id].name = name;
    }
    e->node = NULL;
    for (int i = 0; i < top->results.n; i++) {
        const char *name = use(e, top->results.at[i]), *out = e->g->output_names.at[i];
        if (strcmp(name, out) != 0) add_node(e, "Identity", 1, &name, out);
    }
}

Onnx__ModelProto *onnx_export(Graph *g)
{
    Context *c = g->ctx;
    const Region *top = g->top;
    Export *e = POOL_NEW(c->pool, Export);
    *e = (Export){.ctx = c, .pool = c->pool, .g = g, .b = {.ctx = c, .at = region_new(g, g->top)}, .uses = graph_use_counts(g)};
    e->value = pool_calloc(c->pool, (size_t)g->n_values + 1, sizeof *e->value);
    for (int i = 0; i < top->params.n; i++) e->value[top->params.at[i]->id].name = new_name(e, top->params.at[i]->name);
    for (int i = 0; i < g->output_names.n; i++) *VEC_PUSH(c->pool, e->names) = g->output_names.at[i];
    int before = c->diag.errors;
    export_nodes(e);
    if (c->diag.errors > before) return NULL;

    Onnx__GraphProto *graph = POOL_NEW(c->pool, Onnx__GraphProto);
    Onnx__ModelProto *m = POOL_NEW(c->pool, Onnx__ModelProto);
    Onnx__OperatorSetIdProto *opset = POOL_NEW(c->pool, Onnx__OperatorSetIdProto);
    onnx__graph_proto__init(graph);
    onnx__model_proto__init(m);
    onnx__operator_set_id_proto__init(opset);
    graph->name = pool_strdup(c->pool, g->name && *g->name ? g->name : "graph");
    graph->n_node = (size_t)e->nodes.n;
    graph->node = e->nodes.at;
    graph->n_initializer = (size_t)e->tensors.n;
    graph->initializer = e->tensors.at;
    graph->n_input = (size_t)top->params.n;
    graph->input = POOL_ARRAY(c->pool, Onnx__ValueInfoProto *, top->params.n);
    graph->n_output = (size_t)top->results.n;
    graph->output = POOL_ARRAY(c->pool, Onnx__ValueInfoProto *, top->results.n);
    for (int i = 0; i < top->params.n; i++)
        graph->input[i] = value_info(e, e->value[top->params.at[i]->id].name, top->params.at[i]->type);
    for (int i = 0; i < top->results.n; i++) graph->output[i] = value_info(e, g->output_names.at[i], top->results.at[i]->type);
    opset->has_version = true;
    opset->version = OPSET;
    m->has_ir_version = true;
    m->ir_version = IR_VERSION;
    m->producer_name = pool_strdup(c->pool, "dlvk");
    m->n_opset_import = 1;
    m->opset_import = pool_dup(c->pool, &opset, sizeof opset);
    m->graph = graph;
    return m;
}

dlvk_status onnx_write_file(const Onnx__ModelProto *m, const char *path, dlvk_error *err)
{
    size_t size = onnx__model_proto__get_packed_size(m);
    if (size > INT32_MAX)
        return rt_error(err, DLVK_UNSUPPORTED, "%s: the model takes %zu bytes; an ONNX file holds 2 GiB, its weights included",
                        path, size);
    uint8_t *bytes = malloc(size + 1);
    if (!bytes) return rt_error(err, DLVK_OUT_OF_MEMORY, "out of memory writing %s (%zu bytes)", path, size);
    onnx__model_proto__pack(m, bytes);
    dlvk_status s = rt_file_write(path, &(FilePiece){0, bytes, size}, 1, size, err);
    free(bytes);
    return s;
}
