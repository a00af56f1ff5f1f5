/* Writing graphs as ONNX: constants and movement, which are written when something uses them. */
#include "frontend/onnx/export_internal.h"

#include <string.h>

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
    out = out ? out : export_new_name(e, "Transpose");
    export_attr_list(e, export_add_node(e, "Transpose", 1, &x, out), "perm", rank, list);
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
const char *export_transposed(Export *e, Value *v, const int *perm, const char *out)
{
    int rank = v->type.rank, q[DLVK_MAX_RANK];
    memcpy(q, perm, (size_t)rank * sizeof *q);
    while (v->def && v->def->op == OP_TRANSPOSE && !e->value[v->id].name) {
        const int64_t *p = attr_ints(v->def, A_PERM);
        for (int i = 0; i < rank; i++) q[i] = (int)p[q[i]];
        v = v->def->in[0];
    }
    if (!e->value[v->id].name && v->def && v->def->op == OP_RESHAPE && undoes(v, q)) return export_use(e, v->def->in[0]);
    const char *base = e->value[v->id].name ? NULL : e->value[v->id].base;
    if (base)
        for (int i = 0; i < rank; i++) q[i] = e->value[v->id].perm[q[i]];
    else
        base = export_use(e, v);
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
    const char *to = unknown <= 1 && !zero ? export_add_ints(e, shape->n, dim) : export_sizes_name(e, shape->n, shape->dims);
    const char *in[] = {export_use(e, n->in[0]), to}, *out = export_new_name(e, "Reshape");
    Onnx__NodeProto *p = export_add_node(e, "Reshape", 2, in, out);
    if (zero) export_attr_int(e, p, "allowzero", 1);
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
    const char *in[] = {export_use(e, n->in[0]), export_sizes_name(e, rank, start), export_sizes_name(e, rank, end),
                        export_add_ints(e, rank, axis), export_add_ints(e, rank, step)};
    const char *out = export_new_name(e, "Slice");
    export_add_node(e, "Slice", 5, in, out);
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
    const char *in[] = {export_use(e, n->in[0]), export_add_ints(e, axes->n, list[0]), export_add_ints(e, axes->n, list[1]),
                        export_add_ints(e, axes->n, axes->ints), export_add_ints(e, axes->n, list[2])};
    const char *out = export_new_name(e, "Slice");
    export_add_node(e, "Slice", 5, in, out);
    return out;
}

static const char *pad_name(Export *e, const Node *n)
{
    int rank = n->in[0]->type.rank;
    const Dim *pads[2 * DLVK_MAX_RANK];
    memcpy(pads, attr_dims(n, A_LO), (size_t)rank * sizeof *pads);
    memcpy(pads + rank, attr_dims(n, A_HI), (size_t)rank * sizeof *pads);
    const char *in[] = {export_use(e, n->in[0]), export_sizes_name(e, 2 * rank, pads), export_use(e, n->in[1])},
               *out = export_new_name(e, "Pad");
    export_add_node(e, "Pad", 3, in, out);
    return out;
}

static const char *dims_name(Export *e, const Node *n)
{
    const Attr *values = node_attr(n, A_VALUES);
    DType t = n->out[0]->type.dtype;
    const char *out = export_sizes_name(e, values->n, values->dims);
    if (n->out[0]->type.rank == 0) out = export_step1(e, "Squeeze", out);
    if (t == DLVK_I64) return out;
    const char *cast = export_new_name(e, "Cast");
    export_attr_int(e, export_add_node(e, "Cast", 1, &out, cast), "to", dtype_to_onnx(t));
    return cast;
}

/* Sources and movement, when they are used. */
const char *export_use(Export *e, Value *v)
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
            name = t->dtype == DLVK_STRING ? export_fail(e, "strings") : export_add_tensor(e, v->name ? v->name : "constant", t);
            break;
        case OP_DIMS: name = dims_name(e, n); break;
        case OP_BROADCAST:
            name = export_step2(e, "Expand", export_use(e, n->in[0]), export_sizes_name(e, v->type.rank, v->type.dim));
            break;
        case OP_TRANSPOSE: name = export_transposed(e, v, perm, NULL); break;
        case OP_RESHAPE: name = reshape_name(e, n); break;
        case OP_SLICE: name = slice_name(e, n, attr_dims(n, A_START), v->type.dim, attr_ints(n, A_STEP)); break;
        case OP_REVERSE: name = reverse_name(e, n); break;
        case OP_PAD: name = pad_name(e, n); break;
        case OP_STOP_GRADIENT:
        case OP_BARRIER: name = export_use(e, n->in[0]); break;
        default: break; /* it was refused */
        }
    e->node = around;
    return e->value[v->id].name = name;
}

bool export_is_lazy(Op op)
{
    return op == OP_CONST || op == OP_DIMS || op == OP_BROADCAST || op == OP_TRANSPOSE || op == OP_RESHAPE || op == OP_SLICE ||
           op == OP_REVERSE || op == OP_PAD || op == OP_STOP_GRADIENT || op == OP_BARRIER;
}
