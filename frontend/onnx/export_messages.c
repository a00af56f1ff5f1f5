/* Writing graphs as ONNX: names, messages, and sizes as values. */
#include "frontend/onnx/export_internal.h"

#include <string.h>

const char *export_fail(Export *e, const char *why)
{
    const Node *n = e->node;
    const Origin *o = n ? n->origin : NULL;
    diag_error(&e->ctx->diag, DLVK_UNSUPPORTED, "node '%s' (%s): %s", o && o->name ? o->name : "", n ? op_info[n->op].name : "",
               why);
    return "";
}

/* A name no other value has. */
const char *export_new_name(Export *e, const char *stem)
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

const char *export_add_tensor(Export *e, const char *stem, const Tensor *t)
{
    const char *name = export_new_name(e, stem);
    *VEC_PUSH(e->pool, e->tensors) = tensor_proto(e, name, t);
    return name;
}

const char *export_add_ints(Export *e, int n, const int64_t *x)
{
    const int64_t dim[] = {n};
    return export_add_tensor(e, "ints", tensor_new(e->pool, DLVK_I64, 1, dim, pool_dup(e->pool, x, (size_t)n * sizeof *x)));
}

Onnx__NodeProto *export_add_node(Export *e, const char *op, int n_in, const char *const *in, const char *out)
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

Onnx__AttributeProto *export_add_attr(Export *e, Onnx__NodeProto *n, const char *name, Onnx__AttributeProto__AttributeType type)
{
    Onnx__AttributeProto *a = POOL_NEW(e->pool, Onnx__AttributeProto);
    onnx__attribute_proto__init(a);
    a->name = (char *)(uintptr_t)name;
    a->has_type = true;
    a->type = type;
    return n->attribute[n->n_attribute++] = a;
}

void export_attr_int(Export *e, Onnx__NodeProto *n, const char *name, int64_t v)
{
    Onnx__AttributeProto *a = export_add_attr(e, n, name, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INT);
    a->has_i = true;
    a->i = v;
}

void export_attr_float(Export *e, Onnx__NodeProto *n, const char *name, double v)
{
    Onnx__AttributeProto *a = export_add_attr(e, n, name, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__FLOAT);
    a->has_f = true;
    a->f = (float)v;
}

void export_attr_list(Export *e, Onnx__NodeProto *n, const char *name, int count, const int64_t *v)
{
    Onnx__AttributeProto *a = export_add_attr(e, n, name, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INTS);
    a->n_ints = (size_t)count;
    a->ints = pool_dup(e->pool, v, (size_t)count * sizeof *v);
}

/* An intermediate result: one input, a fresh name. */
const char *export_step1(Export *e, const char *op, const char *x)
{
    const char *out = export_new_name(e, op);
    export_add_node(e, op, 1, &x, out);
    return out;
}
const char *export_step2(Export *e, const char *op, const char *x, const char *y)
{
    const char *out = export_new_name(e, op);
    export_add_node(e, op, 2, (const char *[]){x, y}, out);
    return out;
}

/* ---- sizes ---- */

/* One dimension as an i64[1]: a number, the size of an input's axis, or arithmetic on those. */
const char *export_size_name(Export *e, const Dim *d)
{
    static const char *const op[] = {
        [DIM_ADD] = "Add", [DIM_MUL] = "Mul", [DIM_FLOORDIV] = "Div", [DIM_MOD] = "Mod", [DIM_MIN] = "Min", [DIM_MAX] = "Max"};
    if (d->kind == DIM_CONST) return export_add_ints(e, 1, &d->value);
    if (d->kind == DIM_SYM) {
        for (int i = 0; i < e->g->top->params.n; i++) {
            const Value *v = e->g->top->params.at[i];
            for (int a = 0; a < v->type.rank; a++) {
                if (v->type.dim[a] != d) continue;
                const char *out = export_new_name(e, d->sym->name);
                Onnx__NodeProto *n = export_add_node(e, "Shape", 1, &e->value[v->id].name, out);
                export_attr_int(e, n, "start", a);
                export_attr_int(e, n, "end", a + 1);
                return out;
            }
        }
        return export_fail(e, pool_printf(e->pool, "the size %s is no input's", d->sym->name));
    }
    const char *x = export_size_name(e, d->arg[0]);
    for (int i = 1; i < d->n; i++) x = export_step2(e, op[d->kind], x, export_size_name(e, d->arg[i]));
    return x;
}

/* Dimensions as an i64[n]. */
const char *export_sizes_name(Export *e, int n, const Dim *const *d)
{
    int64_t *known = POOL_ARRAY(e->pool, int64_t, n);
    const char **part = POOL_ARRAY(e->pool, const char *, n);
    int i = 0;
    while (i < n && dim_is_const(d[i], &known[i])) i++;
    if (i == n) return export_add_ints(e, n, known);
    for (i = 0; i < n; i++) part[i] = export_size_name(e, d[i]);
    if (n == 1) return part[0];
    const char *out = export_new_name(e, "sizes");
    export_attr_int(e, export_add_node(e, "Concat", n, part, out), "axis", 0);
    return out;
}

/* Whether all are numbers from 0 on, and those. */
bool export_known_sizes(int n, const Dim *const *d, int64_t *out)
{
    for (int i = 0; i < n; i++)
        if (!dim_is_const(d[i], &out[i]) || out[i] < 0) return false;
    return true;
}
