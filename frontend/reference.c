/* A model run in the interpreter: the oracle beside which compiled bundles are held. */
#include "frontend/reference.h"
#include "dlvk/compiler.h"
#include "frontend/compile.h"
#include "frontend/host_tensor.h"
#include "frontend/onnx/import.h"
#include "ir/eval.h"
#include "runtime/error.h"
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>

typedef struct Run {
    const char *path;
    const dlvk_host_value *inputs;
    int n_in;
    Pool pool;
    OnnxModel *model;
} Run;

/* Types that numpy lacks travel as unsigned integers of their width. */
static bool same_bits(DType want, DType got)
{
    return want == got || (dtype_bits(want) == dtype_bits(got) && dtype_class(got) == DC_UINT && dtype_class(want) == DC_FLOAT);
}

/* The graph's input that x is for, by name or position. */
static bool find_formal(const Graph *g, const OnnxAssumed *x, Formal *f)
{
    bool listed = g->signature && g->signature->inputs.n;
    for (int i = 0; i < (listed ? g->signature->inputs.n : g->top->params.n); i++) {
        *f = listed ? g->signature->inputs.at[i] : (Formal){g->top->params.at[i]->name, DLVK_VALUE_TENSOR, i, 1};
        if (x->name ? strcmp(f->name, x->name) == 0 : i == x->position) return true;
    }
    return false;
}

const Tensor **reference_inputs(Pool *pool, const Graph *g, int n_in, const OnnxAssumed *inputs, dlvk_error *err)
{
    int n = g->top->params.n;
    const Tensor **t = POOL_ARRAY(pool, const Tensor *, n);
    for (int k = 0; k < n_in; k++) {
        const OnnxAssumed *x = &inputs[k];
        Formal f;
        if (!find_formal(g, x, &f)) {
            rt_error(err, DLVK_INVALID_ARGUMENT, "the model has no input '%s'", x->name ? x->name : "");
            return NULL;
        }
        if (f.n != x->n) {
            rt_error(err, DLVK_INVALID_ARGUMENT, "input '%s' has %d tensors; the model wants %d", f.name, x->n, f.n);
            return NULL;
        }
        for (int i = 0; i < f.n; i++) {
            const Value *p = g->top->params.at[f.first + i];
            if (same_bits(p->type.dtype, x->at[i]->dtype) && p->type.rank == x->at[i]->rank) {
                t[f.first + i] = tensor_new(pool, p->type.dtype, x->at[i]->rank, x->at[i]->dim, x->at[i]->data);
                continue;
            }
            rt_error(err, DLVK_INVALID_ARGUMENT, "input '%s' is %s of rank %d; the model wants %s", p->name,
                     dtype_name(x->at[i]->dtype), x->at[i]->rank, type_to_string(pool, p->type));
            return NULL;
        }
    }
    for (int i = 0; i < n; i++)
        if (!t[i]) {
            rt_error(err, DLVK_INVALID_ARGUMENT, "input '%s' is not given", g->top->params.at[i]->name);
            return NULL;
        }
    return t;
}

static dlvk_status run(Run *r, dlvk_host_tensor **outputs, int *n_out, dlvk_error *err)
{
    Context *ctx;
    const OnnxAssumed *assumed = host_values_assumed(&r->pool, r->n_in, r->inputs);
    Graph *g = onnx_import_file_assuming(&r->pool, r->path, r->n_in, assumed, NULL, &ctx, &r->model);
    if (!g) return compile_report(&ctx->diag, err);
    const Tensor **in = reference_inputs(&r->pool, g, r->n_in, assumed, err);
    if (!in) return DLVK_INVALID_ARGUMENT;
    int n = g->top->results.n;
    const Tensor **out = POOL_ARRAY(&r->pool, const Tensor *, n);
    if (!graph_eval(g, in, out, false, &r->pool)) return compile_report(&ctx->diag, err);
    dlvk_host_tensor *result = calloc((size_t)(n ? n : 1), sizeof *result);
    dlvk_status s = result ? DLVK_OK : DLVK_OUT_OF_MEMORY;
    for (int i = 0; i < n && s == DLVK_OK; i++) {
        if (!host_tensor_from(&result[i], out[i], g->output_names.at[i]))
            s = rt_error(err, DLVK_OUT_OF_MEMORY, "out of memory for output '%s'", g->output_names.at[i]);
    }
    if (s != DLVK_OK) {
        for (int i = 0; i < n && result; i++) dlvk_host_tensor_free(&result[i]);
        free(result);
        return s;
    }
    *outputs = result;
    *n_out = n;
    return DLVK_OK;
}

dlvk_status dlvk_reference_run(const char *onnx, const dlvk_host_value *inputs, int n_in, dlvk_host_tensor **outputs, int *n_out,
                               dlvk_error *err)
{
    if (!onnx || !outputs || !n_out || (n_in && !inputs)) return rt_error(err, DLVK_INVALID_ARGUMENT, "an argument is NULL");
    Run r = {.path = onnx, .inputs = inputs, .n_in = n_in};
    jmp_buf oom;
    dlvk_status s;
    if (setjmp(oom) == 0) {
        r.pool.oom = &oom;
        s = run(&r, outputs, n_out, err);
    } else {
        s = rt_error(err, DLVK_OUT_OF_MEMORY, "out of memory while running '%s' (%zu bytes in use)", onnx, r.pool.total);
    }
    onnx_model_free(r.model);
    pool_free(&r.pool);
    return s;
}
