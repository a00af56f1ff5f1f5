/* A graph as an ONNX model (opset 18): every primitive that ONNX has a counterpart of becomes that. What the builder's
 * compositions spread out is gathered again where it is plain to see: the transposes around a convolution, the broadcasts before
 * pointwise operators, transposed matrices, relu. Everything else is refused by name.
 *
 * Nodes come in the graph's order; movement and constants only once something uses them. */
#include "frontend/onnx/export_internal.h"

#include <stdlib.h>
#include <string.h>

#include "ir/rewrite.h"
#include "runtime/error.h"
#include "runtime/file.h"

enum { OPSET = 18, IR_VERSION = 8 };

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
        if (!live[n->id] || export_is_lazy(n->op)) continue;
        e->node = n;
        Value *v = n->n_out ? n->out[0] : NULL;
        const char *out = v && claimed[v->id] ? claimed[v->id] : export_new_name(e, v && v->name ? v->name : op_info[n->op].name);
        const char *name = export_result(e, n, out);
        if (v) e->value[v->id].name = name;
    }
    e->node = NULL;
    for (int i = 0; i < top->results.n; i++) {
        const char *name = export_use(e, top->results.at[i]), *out = e->g->output_names.at[i];
        if (strcmp(name, out) != 0) export_add_node(e, "Identity", 1, &name, out);
    }
}

Onnx__ModelProto *onnx_export(Graph *g)
{
    Context *c = g->ctx;
    const Region *top = g->top;
    Export *e = POOL_NEW(c->pool, Export);
    *e = (Export){.ctx = c, .pool = c->pool, .g = g, .b = {.ctx = c, .at = region_new(g, g->top)}, .uses = graph_use_counts(g)};
    e->value = pool_calloc(c->pool, (size_t)g->n_values + 1, sizeof *e->value);
    for (int i = 0; i < top->params.n; i++) e->value[top->params.at[i]->id].name = export_new_name(e, top->params.at[i]->name);
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
