/* ONNX files as parts of graphs that are built in C. */
#include <string.h>

#include "frontend/builder.h"
#include "frontend/onnx/import.h"

static void drop_model(void *m)
{
    onnx_model_free(m);
}

static OnnxModel *read_once(dlvk_graph *g, const char *path)
{
    for (int i = 0; i < g->files.n; i++)
        if (strcmp(g->files.at[i].path, path) == 0) return g->files.at[i].model;
    OnnxModel *m = NULL;
    bool ok = onnx_model_read(g->ctx, path, &m);
    if (m) pool_on_free(g->pool, drop_model, m);
    if (ok) *VEC_PUSH(g->pool, g->files) = (BuilderFile){pool_strdup(g->pool, path), m};
    return ok ? m : NULL;
}

static void build_file(dlvk_graph *g, const char *path, int n_in, const char *const *names, const dlvk_value *in, int n_out,
                       dlvk_value *out)
{
    if (!path) diag_error(&g->ctx->diag, DLVK_INVALID_ARGUMENT, "dlvk_onnx: the path is NULL");
    for (int i = 0; i < n_in; i++) {
        if (!names[i]) diag_error(&g->ctx->diag, DLVK_INVALID_ARGUMENT, "dlvk_onnx: the name of input %d is NULL", i);
        if (!in[i] || !names[i]) return;
    }
    if (!path) return;
    OnnxModel *m = read_once(g, path);
    Value **made = POOL_ARRAY(g->pool, Value *, n_out);
    const char *prefix = g->scope ? g->scope->path : "";
    if (!m || !onnx_import_into(&g->b, g->graph, m, prefix, n_in, names, builder_values(g, n_in, in), n_out, made)) return;
    for (int i = 0; i < n_out; i++) out[i] = outside(made[i]);
}

void dlvk_onnx(dlvk_graph *g, const char *path, int n_in, const char *const *names, const dlvk_value *in, int n_out,
               dlvk_value *out)
{
    for (int i = 0; i < n_out; i++) out[i] = NULL;
    BUILDER_GUARD(g, "onnx", build_file(g, path, n_in, names, in, n_out, out));
}
