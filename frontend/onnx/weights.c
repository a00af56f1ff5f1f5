/* An ONNX file with other weights in it: everything else stays as it was, external data moves into the file. */
#include <stdlib.h>
#include <string.h>

#include "dlvk/train.h"
#include "frontend/compile.h"
#include "frontend/onnx/export.h"
#include "frontend/onnx/importer.h"
#include "runtime/error.h"

typedef struct Exchange {
    Pool pool;
    Context *ctx;
    OnnxModel *model;
    const dlvk_host_tensor *weight;
    int n;
    bool *placed;
} Exchange;

static void fault(Exchange *x, dlvk_status s, const char *name, const char *why)
{
    diag_error(&x->ctx->diag, s, "'%s': %s", name ? name : "", why);
}

/* The tensor's data becomes `bytes`, wherever it stood. Fields of an unpacked message are malloc'ed. */
static void set_data(Exchange *x, Onnx__TensorProto *t, const void *bytes, size_t size)
{
    uint8_t *copy = malloc(size + 1);
    if (!copy) {
        fault(x, DLVK_OUT_OF_MEMORY, t->name, "out of memory");
        return;
    }
    if (size) memcpy(copy, bytes, size);
    if (t->has_raw_data) free(t->raw_data.data);
    t->has_raw_data = true;
    t->raw_data = (ProtobufCBinaryData){size, copy};
    free(t->float_data);
    free(t->int32_data);
    free(t->int64_data);
    free(t->double_data);
    free(t->uint64_data);
    t->float_data = NULL;
    t->int32_data = NULL;
    t->int64_data = NULL;
    t->double_data = NULL;
    t->uint64_data = NULL;
    t->n_float_data = t->n_int32_data = t->n_int64_data = t->n_double_data = t->n_uint64_data = 0;
    for (size_t i = 0; i < t->n_external_data; i++) onnx__string_string_entry_proto__free_unpacked(t->external_data[i], NULL);
    free(t->external_data);
    t->external_data = NULL;
    t->n_external_data = 0;
    t->has_data_location = false;
    t->data_location = ONNX__TENSOR_PROTO__DATA_LOCATION__DEFAULT;
}

static void take_in(Exchange *x, Onnx__TensorProto *t)
{
    const char *why = "";
    if (!t || !t->has_data_location || t->data_location != ONNX__TENSOR_PROTO__DATA_LOCATION__EXTERNAL) return;
    const Tensor *read = onnx_tensor_read(&x->pool, x->model, t, &why);
    if (read)
        set_data(x, t, read->data, read->bytes);
    else
        fault(x, DLVK_BAD_FILE, t->name, why);
}

static void take_in_graph(Exchange *x, Onnx__GraphProto *g);

static void take_in_nodes(Exchange *x, size_t n, Onnx__NodeProto **nodes)
{
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < nodes[i]->n_attribute; k++) {
            Onnx__AttributeProto *a = nodes[i]->attribute[k];
            take_in(x, a->t);
            for (size_t j = 0; j < a->n_tensors; j++) take_in(x, a->tensors[j]);
            if (a->g) take_in_graph(x, a->g);
            for (size_t j = 0; j < a->n_graphs; j++) take_in_graph(x, a->graphs[j]);
        }
}

static void take_in_graph(Exchange *x, Onnx__GraphProto *g)
{
    for (size_t i = 0; i < g->n_initializer; i++) take_in(x, g->initializer[i]);
    for (size_t i = 0; i < g->n_sparse_initializer; i++) {
        take_in(x, g->sparse_initializer[i]->values);
        take_in(x, g->sparse_initializer[i]->indices);
    }
    take_in_nodes(x, g->n_node, g->node);
}

/* The weight of that name, once it is known to fit; NULL when there is none or, with an error, it does not. */
static const dlvk_host_tensor *weight_for(Exchange *x, const char *name, const Onnx__TensorProto *t, DType *type)
{
    for (int i = 0; name && i < x->n; i++) {
        const dlvk_host_tensor *w = &x->weight[i];
        if (!w->name || strcmp(w->name, name) != 0) continue;
        bool same = (size_t)w->rank == t->n_dims;
        for (int a = 0; same && a < w->rank; a++) same = w->dim[a] == t->dims[a];
        x->placed[i] = true;
        if (same && dtype_from_onnx(t->data_type, type) &&
            (*type == w->dtype || (dtype_is_float(*type) && dtype_is_float(w->dtype))))
            return w;
        fault(x, DLVK_INVALID_ARGUMENT, name, "the new values are of another type or shape than the model's");
        return NULL;
    }
    return NULL;
}

static void exchange(Exchange *x, const char *name, Onnx__TensorProto *t)
{
    DType type;
    const dlvk_host_tensor *w = weight_for(x, name, t, &type);
    if (!w) return;
    int64_t count = 1;
    for (int i = 0; i < w->rank; i++) count *= w->dim[i];
    size_t size = (size_t)dtype_bytes(type, count);
    void *bytes = w->data;
    if (type != w->dtype) {
        bytes = pool_alloc(&x->pool, size);
        for (int64_t i = 0; i < count; i++) elem_set_f(type, bytes, i, elem_get_f(w->dtype, w->data, i));
    }
    set_data(x, t, bytes, size);
}

static void exchange_all(Exchange *x, Onnx__GraphProto *g)
{
    for (size_t i = 0; i < g->n_initializer; i++) exchange(x, g->initializer[i]->name, g->initializer[i]);
    for (size_t i = 0; i < g->n_node; i++) {
        Onnx__NodeProto *n = g->node[i];
        bool constant = n->op_type && !strcmp(n->op_type, "Constant") && n->n_output == 1;
        for (size_t k = 0; constant && k < n->n_attribute; k++)
            if (n->attribute[k]->t) exchange(x, n->output[0], n->attribute[k]->t);
    }
    for (int i = 0; i < x->n; i++)
        if (!x->placed[i]) fault(x, DLVK_INVALID_ARGUMENT, x->weight[i].name, "the model has no initializer of that name");
}

static dlvk_status run(Exchange *x, const char *onnx, const char *out, dlvk_error *err)
{
    x->ctx = context_new(&x->pool);
    x->placed = POOL_ARRAY(&x->pool, bool, x->n);
    if (onnx_model_read(x->ctx, onnx, &x->model)) {
        Onnx__ModelProto *m = x->model->proto;
        if (!onnx_untie(m->graph)) fault(x, DLVK_OUT_OF_MEMORY, m->graph->name, "out of memory");
        exchange_all(x, m->graph);
        take_in_graph(x, m->graph);
        for (size_t i = 0; i < m->n_functions; i++) take_in_nodes(x, m->functions[i]->n_node, m->functions[i]->node);
    }
    if (x->ctx->diag.errors) return compile_report(&x->ctx->diag, err);
    return onnx_write_file(x->model->proto, out, err);
}

dlvk_status dlvk_onnx_exchange_weights(const char *onnx, const char *out, const dlvk_host_tensor *weights, int n, dlvk_error *err)
{
    if (!onnx || !out || (n && !weights))
        return rt_error(err, DLVK_INVALID_ARGUMENT, "dlvk_onnx_exchange_weights: an argument is NULL");
    Exchange x = {.weight = weights, .n = n};
    jmp_buf oom;
    dlvk_status s;
    if (setjmp(oom) == 0) {
        x.pool.oom = &oom;
        s = run(&x, onnx, out, err);
    } else {
        s = rt_error(err, DLVK_OUT_OF_MEMORY, "out of memory writing %s", out);
    }
    onnx_model_free(x.model);
    pool_free(&x.pool);
    return s;
}
