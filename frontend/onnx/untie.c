/* Parameters that share an initializer only because they were equal. Exporters keep one of equal initializers: in an untrained
 * model all scales are ones and all biases zeros, and so are the running variances and means. What stood for the others is an
 * Identity of the one that is left, which has the parameter's own name; a weight that is used twice is just used twice. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "frontend/onnx/importer.h"

static int uses_in(const Onnx__GraphProto *g, const char *name);

static int uses_of_node(const Onnx__NodeProto *n, const char *name)
{
    int uses = 0;
    for (size_t i = 0; i < n->n_input; i++) uses += !strcmp(n->input[i], name);
    for (size_t i = 0; i < n->n_attribute; i++) {
        if (n->attribute[i]->g) uses += uses_in(n->attribute[i]->g, name);
        for (size_t k = 0; k < n->attribute[i]->n_graphs; k++) uses += uses_in(n->attribute[i]->graphs[k], name);
    }
    return uses;
}

static int uses_in(const Onnx__GraphProto *g, const char *name)
{
    int uses = 0;
    for (size_t i = 0; i < g->n_node; i++) uses += g->node[i] ? uses_of_node(g->node[i], name) : 0;
    for (size_t i = 0; i < g->n_output; i++) uses += g->output[i]->name && !strcmp(g->output[i]->name, name);
    return uses;
}

static const Onnx__TensorProto *find_initializer(const Onnx__GraphProto *g, const char *name)
{
    for (size_t i = 0; i < g->n_initializer; i++)
        if (g->initializer[i]->name && !strcmp(g->initializer[i]->name, name)) return g->initializer[i];
    return NULL;
}

static bool is_output(const Onnx__GraphProto *g, const char *name)
{
    for (size_t i = 0; i < g->n_output; i++)
        if (g->output[i]->name && !strcmp(g->output[i]->name, name)) return true;
    return false;
}

static bool is_made(const Onnx__GraphProto *g, const char *name)
{
    for (size_t i = 0; i < g->n_node; i++)
        for (size_t k = 0; k < g->node[i]->n_output; k++)
            if (!strcmp(g->node[i]->output[k], name)) return true;
    for (size_t i = 0; i < g->n_input; i++)
        if (g->input[i]->name && !strcmp(g->input[i]->name, name)) return true;
    return false;
}

/* Another initializer with t's contents. Fields of an unpacked message are malloc'ed. */
static bool add_copy(Onnx__GraphProto *g, const Onnx__TensorProto *t, const char *name)
{
    size_t size = onnx__tensor_proto__get_packed_size(t);
    uint8_t *bytes = malloc(size + 1);
    Onnx__TensorProto **longer = bytes ? realloc(g->initializer, (g->n_initializer + 1) * sizeof *longer) : NULL;
    if (longer) g->initializer = longer;
    if (bytes) onnx__tensor_proto__pack(t, bytes);
    Onnx__TensorProto *copy = longer ? onnx__tensor_proto__unpack(NULL, size, bytes) : NULL;
    char *own = copy ? strdup(name) : NULL;
    free(bytes);
    if (!own) {
        if (copy) onnx__tensor_proto__free_unpacked(copy, NULL);
        return false;
    }
    if (copy->name && copy->name != (char *)protobuf_c_empty_string) free(copy->name);
    copy->name = own;
    g->initializer[g->n_initializer++] = copy;
    return true;
}

static bool is_named(const Onnx__NodeProto *n, const char *op)
{
    return n->op_type && !strcmp(n->op_type, op) && !*onnx_domain(n->domain);
}

static bool is_float(const Onnx__TensorProto *t)
{
    DType type;
    return dtype_from_onnx(t->data_type, &type) && dtype_is_float(type);
}

/* Every Identity of an initializer of floats that has other uses, too, becomes an initializer. */
static bool untie_identities(Onnx__GraphProto *g)
{
    size_t kept = 0;
    bool ok = true;
    for (size_t i = 0; i < g->n_node; i++) {
        Onnx__NodeProto *n = g->node[i];
        const Onnx__TensorProto *t = NULL;
        if (ok && is_named(n, "Identity") && n->n_input == 1 && n->n_output == 1) t = find_initializer(g, n->input[0]);
        if (t && is_float(t) && !is_output(g, n->output[0]) && uses_in(g, n->input[0]) > 1) {
            ok = add_copy(g, t, n->output[0]);
            onnx__node_proto__free_unpacked(n, NULL);
            g->node[i] = NULL;
        }
    }
    for (size_t i = 0; i < g->n_node; i++)
        if (g->node[i]) g->node[kept++] = g->node[i];
    g->n_node = kept;
    return ok;
}

/* The four vectors of a batch norm, if it has them; else NULL. */
static char **norm_vectors(const Onnx__NodeProto *n)
{
    return is_named(n, "BatchNormalization") && n->n_input >= 5 && n->n_output ? &n->input[1] : NULL;
}

/* How many batch norms have the same four vectors: one norm that is used several times, where the four are not each other's. */
static int uses_of_norm(const Onnx__GraphProto *g, char **vector)
{
    int uses = 0;
    for (int i = 0; i < 4; i++)
        for (int k = 0; k < i; k++)
            if (!strcmp(vector[i], vector[k])) return 1;
    for (size_t i = 0; i < g->n_node; i++) {
        char **other = norm_vectors(g->node[i]);
        int same = 0;
        while (other && same < 4 && !strcmp(other[same], vector[same])) same++;
        uses += same == 4;
    }
    return uses;
}

/* A running statistic that shares its initializer with something else gets one of its own. */
static bool untie_statistic(Onnx__GraphProto *g, char **input, const Onnx__NodeProto *n, const char *what)
{
    const Onnx__TensorProto *t = find_initializer(g, *input);
    if (!t || uses_in(g, *input) <= uses_of_norm(g, norm_vectors(n))) return true;
    size_t size = strlen(n->output[0]) + strlen(what) + 32;
    char *name = malloc(size);
    int k = 0;
    do {
        if (!name) return false;
        snprintf(name, size, k ? "%s.%s.%d" : "%s.%s", n->output[0], what, k);
    } while (k++, find_initializer(g, name) || is_made(g, name));
    if (!add_copy(g, t, name)) {
        free(name);
        return false;
    }
    free(*input);
    *input = name;
    return true;
}

bool onnx_untie(Onnx__GraphProto *g)
{
    bool ok = untie_identities(g);
    for (size_t i = 0; ok && i < g->n_node; i++) {
        Onnx__NodeProto *n = g->node[i];
        char **vector = norm_vectors(n);
        if (vector) ok = untie_statistic(g, &vector[2], n, "running_mean") && untie_statistic(g, &vector[3], n, "running_var");
    }
    return ok;
}
