/* How a loss changes with single elements of its inputs, by differences in the interpreter: the oracle of gradients. */
#include <math.h>
#include <setjmp.h>
#include <stdlib.h>
#include <time.h>

#include "frontend/compile.h"
#include "frontend/gradient.h"
#include "frontend/host_tensor.h"
#include "frontend/reference.h"
#include "ir/eval.h"
#include "runtime/error.h"

typedef struct Slopes {
    const char *path;
    const dlvk_gradient_options *o;
    const dlvk_host_tensor *inputs;
    int n_in, max_elements;
    double seconds;
    Pool pool;
    OnnxModel *model, *loss;
    Graph *graph;
    const Tensor **in;
    dlvk_slope *at; /* malloc'ed */
    int n;
    double step; /* relative to the elements */
} Slopes;

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* The sum of the loss's elements. What the interpreter allocates is freed again. */
static bool loss_now(const Slopes *s, double *loss)
{
    Pool local = {.oom = s->pool.oom};
    const Tensor *out;
    bool ok = graph_eval(s->graph, s->in, &out, true, &local);
    *loss = 0;
    for (int64_t i = 0; ok && i < out->count; i++) *loss += elem_get_f(out->dtype, out->data, out->splat ? 0 : i);
    pool_free(&local);
    return ok;
}

static double type_step(DType t)
{
    switch (t) {
    case DLVK_F64: return 0x1p-16;
    case DLVK_F32: return 0x1p-10;
    case DLVK_F16: return 0x1p-5;
    case DLVK_BF16: return 0x1p-3;
    default: return dtype_is_float(t) ? 1 : 0;
    }
}

/* Steps are fractions of the element's magnitude, of 1 for those below: not so small that they drown in the rounding of inputs,
 * or in that of the narrowest type which the model casts to. */
static double coarsest_step(const Region *r)
{
    double step = 0;
    for (int i = 0; i < r->params.n; i++) step = fmax(step, type_step(r->params.at[i]->type.dtype));
    for (int i = 0; i < r->nodes.n; i++) {
        const Node *n = r->nodes.at[i];
        for (int k = 0; k < n->n_out && n->op == OP_CAST; k++) step = fmax(step, type_step(n->out[k]->type.dtype));
        for (int k = 0; k < n->n_region; k++) step = fmax(step, coarsest_step(n->region_at[k]));
    }
    return step;
}

/* The slope between x and x + step, which is rounded to the element's type. */
static bool slope_to(const Slopes *s, Tensor *x, int64_t i, double step, double base, double *slope)
{
    void *data = (void *)(uintptr_t)x->data;
    double at = elem_get_f(x->dtype, data, i), loss;
    elem_set_f(x->dtype, data, i, at + step);
    double moved = elem_get_f(x->dtype, data, i) - at;
    bool ok = loss_now(s, &loss);
    elem_set_f(x->dtype, data, i, at);
    *slope = moved != 0 ? (loss - base) / moved : NAN;
    return ok;
}

/* Across a jump the slope grows as the step shrinks. */
static bool jumps(double wide, double narrow)
{
    return !isfinite(narrow) || (fabs(narrow) > 2.5 * fabs(wide) && fabs(narrow) > 0.01);
}

static bool measure(Slopes *s, int input, int64_t element, double base)
{
    Tensor *x = (Tensor *)(uintptr_t)s->in[input];
    double at = elem_get_f(x->dtype, x->data, element), h = s->step * fmax(1, fabs(at));
    double up[2], down[2];
    for (int k = 0; k < 2; k++)
        if (!slope_to(s, x, element, k ? h / 4 : h, base, &up[k]) || !slope_to(s, x, element, k ? -h / 4 : -h, base, &down[k]))
            return false;
    /* between two values of an 8-bit float, neither of which is left */
    bool plateau = s->step >= type_step(DLVK_F8E4M3FN) && up[1] == 0 && down[1] == 0;
    s->at[s->n++] = (dlvk_slope){.input = input,
                                 .element = element,
                                 .down = down[1],
                                 .up = up[1],
                                 .step = s->step,
                                 .jump = plateau || jumps(up[0], up[1]) || jumps(down[0], down[1])};
    return true;
}

static bool is_measured(const Slopes *s, int input)
{
    return dtype_is_float(s->in[input]->dtype) && s->in[input]->count > 0;
}

/* Round after round over the inputs, so that all have their share when time runs out. */
static bool measure_all(Slopes *s)
{
    int n = s->graph->top->params.n;
    double base, start = now();
    if (!loss_now(s, &base)) return false;
    for (int k = 0; k < s->max_elements; k++)
        for (int i = 0; i < n; i++) {
            int64_t count = s->in[i]->count, take = count < s->max_elements ? count : s->max_elements;
            if (!is_measured(s, i) || k >= take) continue;
            if (s->seconds > 0 && k && now() - start > s->seconds) return true;
            if (!measure(s, i, (int64_t)((double)k / (double)take * (double)count), base)) return false;
        }
    return true;
}

/* Perturbed in place, so: copies. */
static const Tensor **own_inputs(Slopes *s, dlvk_error *err)
{
    const Tensor **in = reference_inputs(&s->pool, s->graph, s->n_in, host_tensors_assumed(&s->pool, s->n_in, s->inputs), err);
    for (int i = 0; in && i < s->graph->top->params.n; i++) {
        Tensor *t = pool_dup(&s->pool, in[i], sizeof *t);
        t->data = pool_dup(&s->pool, t->data, t->bytes);
        in[i] = t;
    }
    return in;
}

static dlvk_status run(Slopes *s, dlvk_error *err)
{
    Context *c;
    const OnnxAssumed *assumed = host_tensors_assumed(&s->pool, s->n_in, s->inputs);
    s->graph = onnx_import_file_assuming(&s->pool, s->path, s->n_in, assumed, NULL, &c, &s->model);
    Graph *loss = s->graph && s->o->loss_model ? onnx_import_file(c, s->o->loss_model, &s->loss) : NULL;
    if (!s->graph || c->diag.errors || !gradient_loss(s->graph, s->o, loss) || c->diag.errors)
        return compile_report(&c->diag, err);
    s->step = coarsest_step(s->graph->top);
    if (!(s->in = own_inputs(s, err))) return DLVK_INVALID_ARGUMENT;
    size_t floats = 0;
    for (int i = 0; i < s->graph->top->params.n; i++) floats += dtype_is_float(s->in[i]->dtype);
    if (!floats) return rt_error(err, DLVK_UNSUPPORTED, "the model has no input of floats");
    s->at = calloc(floats * (size_t)s->max_elements, sizeof *s->at);
    if (!s->at) return rt_error(err, DLVK_OUT_OF_MEMORY, "out of memory for %d slopes an input", s->max_elements);
    return measure_all(s) ? DLVK_OK : compile_report(&c->diag, err);
}

dlvk_status dlvk_reference_slopes(const char *onnx, const dlvk_gradient_options *g, const dlvk_host_tensor *inputs, int n_in,
                                  int max_elements, double seconds, dlvk_slope **slopes, int *n_slopes, dlvk_error *err)
{
    if (!onnx || !slopes || !n_slopes || (n_in && !inputs)) return rt_error(err, DLVK_INVALID_ARGUMENT, "an argument is NULL");
    if (max_elements < 1) return rt_error(err, DLVK_INVALID_ARGUMENT, "max_elements is %d", max_elements);
    Slopes s = {
        .path = onnx, .o = gradient_options(g), .inputs = inputs, .n_in = n_in, .max_elements = max_elements, .seconds = seconds};
    jmp_buf oom;
    dlvk_status status;
    if (setjmp(oom) == 0) {
        s.pool.oom = &oom;
        status = run(&s, err);
    } else {
        status = rt_error(err, DLVK_OUT_OF_MEMORY, "out of memory while running '%s'", onnx);
    }
    onnx_model_free(s.model);
    onnx_model_free(s.loss);
    pool_free(&s.pool);
    if (status == DLVK_OK) {
        *slopes = s.at;
        *n_slopes = s.n;
    } else {
        free(s.at);
    }
    return status;
}
