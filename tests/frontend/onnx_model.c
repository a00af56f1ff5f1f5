/* See onnx_model.h. */
#include "tests/frontend/onnx_model.h"
#include <ctype.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void list_add(TestModel *m, size_t *n, void *list, void *item)
{
    void ***at = list, **more = POOL_ARRAY(&m->pool, void *, *n + 1);
    if (*n) memcpy(more, *at, *n * sizeof *more);
    more[(*n)++] = item;
    *at = more;
}

void model_opset(TestModel *m, size_t *n, Onnx__OperatorSetIdProto ***list, const char *domain, int version)
{
    Onnx__OperatorSetIdProto *o = POOL_NEW(&m->pool, Onnx__OperatorSetIdProto);
    onnx__operator_set_id_proto__init(o);
    o->domain = pool_strdup(&m->pool, domain);
    o->has_version = 1;
    o->version = version;
    list_add(m, n, list, o);
}

void model_init(TestModel *m, int opset)
{
    *m = (TestModel){0};
    onnx__model_proto__init(&m->proto);
    onnx__graph_proto__init(&m->graph);
    m->graph.name = pool_strdup(&m->pool, "test");
    m->proto.has_ir_version = 1;
    m->proto.ir_version = 8;
    m->proto.graph = &m->graph;
    model_opset(m, &m->proto.n_opset_import, &m->proto.opset_import, "", opset);
    strcpy(m->dir, "/tmp/dlvk-test-XXXXXX");
    if (!mkdtemp(m->dir)) abort();
    snprintf(m->path, sizeof m->path, "%s/model.onnx", m->dir);
}

void model_free(TestModel *m)
{
    DIR *d = opendir(m->dir);
    for (struct dirent *e; d && (e = readdir(d));) {
        char path[512];
        snprintf(path, sizeof path, "%s/%s", m->dir, e->d_name);
        if (e->d_name[0] != '.') unlink(path);
    }
    if (d) closedir(d);
    rmdir(m->dir);
    pool_free(&m->pool);
}

/* "a,b,c" as an array of names; "" has none. */
static void split(TestModel *m, const char *text, size_t *n, char ***out)
{
    while (text && *text) {
        size_t len = strcspn(text, ",");
        char *name = pool_alloc(&m->pool, len + 1);
        memcpy(name, text, len);
        list_add(m, n, out, name);
        if (!text[len]) break;
        text += len + 1;
        if (!*text) list_add(m, n, out, pool_strdup(&m->pool, ""));
    }
}

static Onnx__ValueInfoProto *value_info(TestModel *m, const char *name, int type, const char *dims)
{
    Onnx__ValueInfoProto *v = POOL_NEW(&m->pool, Onnx__ValueInfoProto);
    onnx__value_info_proto__init(v);
    v->name = pool_strdup(&m->pool, name);
    if (!dims) return v;
    Onnx__TypeProto *t = POOL_NEW(&m->pool, Onnx__TypeProto);
    Onnx__TypeProto__Tensor *tensor = POOL_NEW(&m->pool, Onnx__TypeProto__Tensor);
    Onnx__TensorShapeProto *shape = POOL_NEW(&m->pool, Onnx__TensorShapeProto);
    onnx__type_proto__init(t);
    onnx__type_proto__tensor__init(tensor);
    onnx__tensor_shape_proto__init(shape);
    v->type = t;
    t->value_case = ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE;
    t->tensor_type = tensor;
    tensor->has_elem_type = 1;
    tensor->elem_type = type;
    tensor->shape = shape;
    size_t n = 0;
    char **names = NULL;
    split(m, dims, &n, &names);
    for (size_t i = 0; i < n; i++) {
        Onnx__TensorShapeProto__Dimension *d = POOL_NEW(&m->pool, Onnx__TensorShapeProto__Dimension);
        onnx__tensor_shape_proto__dimension__init(d);
        if (isdigit((unsigned char)names[i][0])) {
            d->value_case = ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_VALUE;
            d->dim_value = atoll(names[i]);
        } else if (names[i][0] != '?') {
            d->value_case = ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_PARAM;
            d->dim_param = names[i];
        }
        list_add(m, &shape->n_dim, &shape->dim, d);
    }
    return v;
}

void model_input(TestModel *m, const char *name, int type, const char *dims)
{
    list_add(m, &m->graph.n_input, &m->graph.input, value_info(m, name, type, dims));
}

void model_output(TestModel *m, const char *name)
{
    list_add(m, &m->graph.n_output, &m->graph.output, value_info(m, name, 0, NULL));
}

Onnx__NodeProto *node_new_proto(TestModel *m, const char *op, const char *in, const char *out)
{
    Onnx__NodeProto *n = POOL_NEW(&m->pool, Onnx__NodeProto);
    onnx__node_proto__init(n);
    const char *dot = strrchr(op, '.'); /* "domain.Op" */
    n->op_type = pool_strdup(&m->pool, dot ? dot + 1 : op);
    if (dot) n->domain = pool_printf(&m->pool, "%.*s", (int)(dot - op), op);
    split(m, in, &n->n_input, &n->input);
    split(m, out, &n->n_output, &n->output);
    return n;
}

Onnx__NodeProto *graph_node(TestModel *m, Onnx__GraphProto *g, const char *op, const char *in, const char *out)
{
    Onnx__NodeProto *n = node_new_proto(m, op, in, out);
    list_add(m, &g->n_node, &g->node, n);
    return n;
}

Onnx__NodeProto *model_node(TestModel *m, const char *op, const char *in, const char *out)
{
    return graph_node(m, &m->graph, op, in, out);
}

Onnx__AttributeProto *node_attr_new(TestModel *m, Onnx__NodeProto *n, const char *name, int type)
{
    Onnx__AttributeProto *a = POOL_NEW(&m->pool, Onnx__AttributeProto);
    onnx__attribute_proto__init(a);
    a->name = pool_strdup(&m->pool, name);
    a->has_type = 1;
    a->type = (Onnx__AttributeProto__AttributeType)type;
    if (n) list_add(m, &n->n_attribute, &n->attribute, a);
    return a;
}

void node_int(TestModel *m, Onnx__NodeProto *n, const char *name, int64_t v)
{
    Onnx__AttributeProto *a = node_attr_new(m, n, name, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INT);
    a->has_i = 1;
    a->i = v;
}

Onnx__TensorProto *model_tensor(TestModel *m, const char *name, int type, int rank, const int64_t *dims)
{
    Onnx__TensorProto *t = POOL_NEW(&m->pool, Onnx__TensorProto);
    onnx__tensor_proto__init(t);
    t->name = pool_strdup(&m->pool, name);
    t->has_data_type = 1;
    t->data_type = type;
    t->n_dims = (size_t)rank;
    t->dims = pool_dup(&m->pool, dims, (size_t)rank * sizeof *dims);
    return t;
}

Onnx__TensorProto *model_initializer(TestModel *m, const char *name, int type, int rank, const int64_t *dims)
{
    Onnx__TensorProto *t = model_tensor(m, name, type, rank, dims);
    list_add(m, &m->graph.n_initializer, &m->graph.initializer, t);
    return t;
}

void tensor_external(TestModel *m, Onnx__TensorProto *t, const char *location, const char *offset, const char *length)
{
    const char *entry[][2] = {{"location", location}, {"offset", offset}, {"length", length}};
    t->has_data_location = 1;
    t->data_location = ONNX__TENSOR_PROTO__DATA_LOCATION__EXTERNAL;
    for (int i = 0; i < 3; i++) {
        if (!entry[i][1]) continue;
        Onnx__StringStringEntryProto *e = POOL_NEW(&m->pool, Onnx__StringStringEntryProto);
        onnx__string_string_entry_proto__init(e);
        e->key = pool_strdup(&m->pool, entry[i][0]);
        e->value = pool_strdup(&m->pool, entry[i][1]);
        list_add(m, &t->n_external_data, &t->external_data, e);
    }
}

Onnx__FunctionProto *model_function(TestModel *m, const char *domain, const char *name, const char *in, const char *out)
{
    Onnx__FunctionProto *f = POOL_NEW(&m->pool, Onnx__FunctionProto);
    onnx__function_proto__init(f);
    f->domain = pool_strdup(&m->pool, domain);
    f->name = pool_strdup(&m->pool, name);
    split(m, in, &f->n_input, &f->input);
    split(m, out, &f->n_output, &f->output);
    list_add(m, &m->proto.n_functions, &m->proto.functions, f);
    return f;
}

void model_file(const TestModel *m, const char *name, const void *data, size_t size)
{
    char path[512];
    snprintf(path, sizeof path, "%s/%s", m->dir, name);
    FILE *f = fopen(path, "wb");
    if (!f || fwrite(data, 1, size, f) != size || fclose(f) != 0) abort();
}

void model_write(TestModel *m)
{
    size_t size = onnx__model_proto__get_packed_size(&m->proto);
    uint8_t *bytes = malloc(size ? size : 1);
    onnx__model_proto__pack(&m->proto, bytes);
    model_file(m, "model.onnx", bytes, size);
    free(bytes);
}
