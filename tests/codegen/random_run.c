/* Compiling, running and comparing one random graph; see random.h. */
#include "tests/codegen/random.h"

#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "dlvk/runtime.h"
#include "frontend/compile.h"
#include "ir/eval.h"
#include "tests/codegen/gpu.h"

enum { WIDE = DLVK_FEATURE_INT64 | DLVK_FEATURE_FLOAT64, PERTURBED = 2, TIMEOUT_S = 1200 };

/* What the device does without. */
static const struct Config {
    uint32_t off;
    const char *text;
} configs[] = {{0, ""},
               {DLVK_FEATURE_SCALAR, ", without scalar"},
               {DLVK_FEATURE_SCALAR | DLVK_FEATURE_COOPMAT, ", without scalar, coopmat"},
               {WIDE, ", without int64, float64"},
               {DLVK_FEATURE_SCALAR | WIDE, ", without scalar, int64, float64"}};
enum { CONFIGS = sizeof configs / sizeof *configs };
static dlvk_device *devices[CONFIGS]; /* of this process: Criterion runs each test in its own */

static dlvk_device *device_of(int config)
{
    if (!devices[config]) {
        devices[config] = gpu_device();
        cr_assert(devices[config] != NULL, "no Vulkan device");
        dlvk_device_disable(devices[config], configs[config].off);
    }
    return devices[config];
}

/* ---- the line that replays ---------------------------------------------------------------------------------------- */

static char replay[256];

static void died(int signal_number)
{
    ssize_t n = write(2, replay, strlen(replay));
    (void)n;
    signal(signal_number, SIG_DFL);
    raise(signal_number);
}

static void arm(const char *family, uint64_t seed)
{
    snprintf(replay, sizeof replay, "replay: DLVK_TEST_SEED=%llu DLVK_TEST_CASES=1 dlvk_tests --filter random/%s\n",
             (unsigned long long)seed, family);
    static const int signals[] = {SIGALRM, SIGABRT, SIGFPE, SIGSEGV, SIGBUS};
#ifdef __SANITIZE_ADDRESS__
    int n = 2; /* the sanitizer reports the others itself */
#else
    int n = 5;
#endif
    for (int i = 0; i < n; i++) signal(signals[i], died);
    alarm(TIMEOUT_S);
}

/* ---- inputs ------------------------------------------------------------------------------------------------------- */

static double any_float(Case *c, Fill fill)
{
    static const double special[] = {0,       -0.0,           1,     -1, 0.5,   INFINITY, -INFINITY, NAN, 3.4e38,
                                     -3.4e38, 1.17549435e-38, 1e-30, 2,  65504, 16777217};
    double u = (double)(next(c) >> 11) * 0x1p-53 * 2 - 1;
    switch (fill) {
    case FILL_EVERYDAY: return pick(c, 16) ? 2 * u : 0;
    case FILL_POSITIVE: return 0.25 + fabs(u) * 1.75;
    default: break;
    }
    int kind = pick(c, 8);
    if (kind == 0) return special[pick(c, sizeof special / sizeof *special)];
    return kind < 4 ? 4 * u : kind < 6 ? 1000 * u : ldexp(u, pick(c, 240) - 120);
}

/* Denormals, which a device may take for zero, are left out. */
static double normal(DType t, double x)
{
    if (t == DLVK_F64) return fabs(x) < 0x1p-1022 ? 0 : x;
    return fabs(x) >= 0x1p-126 ? x : t == DLVK_F8E8M0 ? 0x1p-126 : 0;
}

static int64_t any_int(Case *c, const Source *s)
{
    if (s->lo <= s->hi) return between(c, s->lo, s->hi);
    if (s->fill == FILL_WIDE) return pick(c, 8) ? (int64_t)(next(c) >> (pick(c, 4) * 16)) : between(c, -70, 70);
    return between(c, s->fill == FILL_POSITIVE ? 1 : -8, 8);
}

static const Tensor *make_input(Case *c, const Source *s, int binding)
{
    Type t = s->value->type;
    int64_t dim[DLVK_MAX_RANK], count = 1;
    for (int i = 0; i < t.rank; i++) {
        cr_assert(dim_eval(t.dim[i], c->size[binding].at, &dim[i]));
        count *= dim[i];
    }
    void *data = pool_alloc(&c->pool, (size_t)dtype_bytes(t.dtype, count) + 8);
    for (int64_t i = 0; i < count; i++)
        if (dtype_is_float(t.dtype))
            elem_set_f(t.dtype, data, i, normal(t.dtype, any_float(c, s->fill)));
        else
            elem_set_i(t.dtype, data, i, t.dtype == DLVK_BOOL ? (int64_t)(next(c) & 1) : any_int(c, s));
    return tensor_new(&c->pool, t.dtype, t.rank, dim, data);
}

/* Relative spacing of the type's numbers, and the absolute one near zero (of f32 and f64: what a device may flush). */
static double spacing(DType t, double *least_step)
{
    double dummy;
    if (!least_step) least_step = &dummy;
    switch (t) {
    case DLVK_F64: *least_step = 0x1p-1022; return 0x1p-52;
    case DLVK_F16: *least_step = 0x1p-24; return 0x1p-10;
    case DLVK_BF16: *least_step = 0x1p-126; return 0x1p-7;
    case DLVK_F8E4M3FN:
    case DLVK_F8E4M3FNUZ: *least_step = 0x1p-9; return 0x1p-3;
    case DLVK_F8E5M2:
    case DLVK_F8E5M2FNUZ: *least_step = 0x1p-16; return 0x1p-2;
    case DLVK_F8E8M0: *least_step = 0x1p-126; return 1;
    case DLVK_F4E2M1: *least_step = 0.5; return 0.5;
    default: *least_step = 0x1p-126; return 0x1p-23;
    }
}

/* The coarsest float type in use: what intermediate results may be rounded to. */
static double graph_spacing(const Case *c, const Region *r)
{
    double worst = 0;
    for (int i = 0; i < r->params.n; i++)
        if (dtype_is_float(r->params.at[i]->type.dtype)) worst = fmax(worst, spacing(r->params.at[i]->type.dtype, NULL));
    for (int i = 0; i < r->nodes.n; i++) {
        const Node *n = r->nodes.at[i];
        for (int k = 0; k < n->n_out; k++)
            if (dtype_is_float(n->out[k]->type.dtype)) worst = fmax(worst, spacing(n->out[k]->type.dtype, NULL));
        for (int k = 0; k < n->n_region; k++) worst = fmax(worst, graph_spacing(c, n->region_at[k]));
    }
    return worst;
}

/* Floats moved by a few roundings: what the results do then says how far a device's may be off. */
static const Tensor *perturb(Case *c, const Tensor *x, double eps)
{
    if (!dtype_is_float(x->dtype)) return x;
    size_t bytes = (size_t)dtype_bytes(x->dtype, x->count);
    void *data = pool_alloc(&c->pool, bytes + 8);
    for (int64_t i = 0; i < x->count; i++) {
        double v = elem_get_f(x->dtype, x->data, i);
        elem_set_f(x->dtype, data, i, v * (1 + (next(c) & 1 ? 4 : -4) * eps));
    }
    return tensor_new(&c->pool, x->dtype, x->rank, x->dim, data);
}

/* ---- comparison --------------------------------------------------------------------------------------------------- */

typedef struct Oracle {
    const Tensor **in, **want, **moved[PERTURBED];
} Oracle;

/* What the type makes of an exact value. */
static double stored(DType t, double x)
{
    uint64_t bits = 0;
    elem_set_f(t, &bits, 0, x);
    return elem_get_f(t, &bits, 0);
}

static bool same(double a, double b)
{
    return a == b || (isnan(a) && isnan(b));
}

/* Text of the first difference; NULL: none. */
static const char *difference(Case *c, int output, DType t, const Oracle *o, const void *got, double eps)
{
    const Tensor *w = o->want[output];
    double largest = 0, least_step, own = spacing(t, &least_step);
    for (int64_t i = 0; i < w->count; i++) {
        double x = dtype_is_float(t) ? fabs(elem_get_f(w->dtype, w->data, i)) : 0;
        if (isfinite(x) && x > largest) largest = x;
    }
    for (int64_t i = 0; i < w->count; i++) {
        if (!dtype_is_float(t)) {
            int64_t a = elem_get_i(w->dtype, w->data, i), b = elem_get_i(t, got, i);
            bool sure = true;
            for (int k = 0; k < PERTURBED && o->moved[k]; k++)
                sure &= o->moved[k][output]->count == w->count && elem_get_i(t, o->moved[k][output]->data, i) == a;
            if (a != b && sure)
                return pool_printf(&c->pool, "element %lld of %lld is %lld, should be %lld", (long long)i, (long long)w->count,
                                   (long long)b, (long long)a);
            continue;
        }
        double exact = elem_get_f(w->dtype, w->data, i), a = stored(t, exact), b = elem_get_f(t, got, i);
        if (same(a, b)) continue;
        double room = least_step, wide = 1;
        if (c->exact)
            room = fabs(exact) < least_step && (t == DLVK_F32 || t == DLVK_F64) ? least_step : 0;
        else if (c->ulps > 0)
            room += fabs(exact) * (own * (t == DLVK_F32 || t == DLVK_F64 ? c->ulps : 2));
        else
            room += (fabs(exact) + largest) * 8 * eps;
        bool sure = true;
        for (int k = 0; k < PERTURBED && o->moved[k]; k++) {
            if (o->moved[k][output]->count != w->count) {
                sure = false;
                break;
            }
            double m = elem_get_f(w->dtype, o->moved[k][output]->data, i), d = fabs(m - exact);
            if (isnan(m) != isnan(exact) || isinf(m) != isinf(exact)) sure = false;
            if (d > 0) wide = fmax(wide, 4 * d);
            if (isfinite(d)) room += 4 * d;
        }
        /* Beyond f32, in which narrower types are computed, too. */
        if (!c->exact && t != DLVK_F64 && fabs(exact) > 3.4e38 && (isnan(b) || same(b, stored(t, copysign(INFINITY, exact)))))
            continue;
        /* Rounding up to infinity, or not quite. */
        if (isinf(a) || isinf(b)) {
            double near = isinf(a) ? b : a;
            if (!c->exact && !isnan(near) &&
                (same(stored(t, near * (1 + 2 * own + 8 * eps)), isinf(a) ? a : b) || fabs(exact) > 3e38))
                continue;
        }
        if (!sure || fabs(exact - b) <= room) continue;
        return pool_printf(&c->pool, "element %lld of %lld is %.9g, should be %.9g (within %.3g)", (long long)i,
                           (long long)w->count, b, exact, room);
    }
    return NULL;
}

static const char *set_inputs(Case *c, dlvk_session *s, const Oracle *o, dlvk_error *err)
{
    for (int i = 0; i < c->inputs.n; i++) {
        const Tensor *x = o->in[i];
        if (dlvk_session_set_input(s, c->inputs.at[i].value->name, x->dim, x->rank, x->data,
                                   (size_t)dtype_bytes(x->dtype, x->count), err) != DLVK_OK)
            return err->text;
    }
    return NULL;
}

static const char *check_outputs(Case *c, dlvk_session *s, const Oracle *o, double eps, dlvk_error *err)
{
    for (int i = 0; i < c->g->top->results.n; i++) {
        const Tensor *w = o->want[i];
        const char *name = c->g->output_names.at[i];
        dlvk_tensor_info info;
        size_t bytes;
        if (dlvk_session_output_info(s, i, &info, &bytes, err) != DLVK_OK) return err->text;
        bool shape = info.rank == w->rank;
        for (int d = 0; shape && d < w->rank; d++) shape = info.dim[d] == w->dim[d];
        if (!shape) {
            bool sure = true; /* a data-dependent size may hang on a rounding */
            for (int k = 0; k < PERTURBED && o->moved[k]; k++) sure &= o->moved[k][i]->count == w->count;
            if (!sure) continue;
            return pool_printf(&c->pool, "output %s: another shape, first axis %lld instead of %lld", name,
                               (long long)info.dim[0], (long long)w->dim[0]);
        }
        void *data = pool_alloc(&c->pool, bytes + 8);
        if (dlvk_session_get_output(s, name, data, bytes, err) != DLVK_OK) return err->text;
        const char *bad = difference(c, i, c->g->top->results.at[i]->type.dtype, o, data, eps);
        if (bad) return pool_printf(&c->pool, "output %s: %s", name, bad);
    }
    return NULL;
}

/* ---- one case ----------------------------------------------------------------------------------------------------- */

static const char *run_once(Case *c, dlvk_session *s, const Oracle *o, double eps, dlvk_error *err)
{
    return dlvk_session_run(s, err) == DLVK_OK ? check_outputs(c, s, o, eps, err) : err->text;
}

/* Each variant of each kernel that the device can run, twice: kernels that leave something behind for themselves must leave it as
 * they found it. */
static const char *run_variants(Case *c, dlvk_model *m, dlvk_session *s, const Oracle *o, double eps, dlvk_error *err)
{
    const char *bad = NULL;
    for (int k = 0; k < dlvk_model_kernels(m) && !bad; k++) {
        for (int v = 0; v < dlvk_model_kernel_variants(m, k) && !bad; v++) {
            if (!dlvk_model_kernel_variant(m, k, v, NULL)) continue;
            if (dlvk_session_choose(s, k, v, err) != DLVK_OK) return err->text;
            for (int run = 0; run < 2 && !bad; run++) bad = run_once(c, s, o, eps, err);
            if (bad) bad = pool_printf(&c->pool, "variant %d of kernel %d: %s", v, k, bad);
        }
        if (dlvk_session_choose(s, k, -1, err) != DLVK_OK && !bad) bad = err->text;
    }
    return bad;
}

static const char *run_bundle(Case *c, const void *bundle, size_t bytes, int config, const Oracle *o, double eps)
{
    dlvk_error err;
    dlvk_model *m = NULL;
    dlvk_session *s = NULL;
    const char *bad = NULL;
    dlvk_load_options lo = DLVK_LOAD_OPTIONS_INIT;
    lo.cache = "";
    lo.threads = 1;
    lo.all_variants = c->variants;
    if (dlvk_model_load_memory(device_of(config), bundle, bytes, &lo, &m, &err) != DLVK_OK ||
        dlvk_session_create(m, &s, &err) != DLVK_OK)
        bad = pool_strdup(&c->pool, err.text);
    for (int k = 0; k < c->bindings && !bad; k++) {
        bad = set_inputs(c, s, &o[k], &err);
        if (!bad) bad = run_once(c, s, &o[k], eps, &err);
        if (!bad && c->variants) bad = run_variants(c, m, s, &o[k], eps, &err);
        if (!bad && dlvk_model_wrong_kernels(m, NULL))
            bad = "a kernel came out wrong in its self-test"; /* and others took its place */
        if (bad) bad = pool_printf(&c->pool, "%s%s", c->bindings == 1 ? "" : pool_printf(&c->pool, "binding %d: ", k), bad);
    }
    dlvk_session_free(s);
    dlvk_model_free(m);
    return bad;
}

static const char *evaluate(Case *c, Oracle *o, double eps)
{
    int n_in = c->inputs.n, n_out = c->g->top->results.n;
    for (int k = 0; k < c->bindings; k++) {
        most(c, fixed(c, 0)); /* the table reaches all symbols */
        o[k].in = POOL_ARRAY(&c->pool, const Tensor *, n_in);
        o[k].want = POOL_ARRAY(&c->pool, const Tensor *, n_out);
        for (int i = 0; i < n_in; i++) o[k].in[i] = make_input(c, &c->inputs.at[i], k);
        if (!graph_eval(c->g, o[k].in, o[k].want, true, &c->pool))
            return pool_printf(&c->pool, "interpreter, binding %d: %s", k,
                               c->c->diag.lines.n ? c->c->diag.lines.at[0] : "failed");
        for (int p = 0; p < PERTURBED && !c->exact && !c->ulps; p++) {
            const Tensor **in = POOL_ARRAY(&c->pool, const Tensor *, n_in);
            o[k].moved[p] = POOL_ARRAY(&c->pool, const Tensor *, n_out);
            for (int i = 0; i < n_in; i++) in[i] = perturb(c, o[k].in[i], eps);
            if (!graph_eval(c->g, in, o[k].moved[p], true, &c->pool)) return "interpreter: fails on perturbed inputs";
        }
    }
    return NULL;
}

/* Whether the mixed-precision pass must keep the results within the roundings of the type it stores in. */
static bool narrows(const Case *c)
{
    bool f32 = false;
    for (int i = 0; i < c->inputs.n; i++) {
        if (c->inputs.at[i].fill == FILL_WIDE) return false;
        f32 |= c->inputs.at[i].value->type.dtype == DLVK_F32;
    }
    return f32 && !c->exact && !c->ulps;
}

static const char *run_narrow(Case *c, const char **how)
{
    Oracle o[BINDINGS] = {0};
    DType t = chance(c, 50) ? DLVK_F16 : DLVK_BF16;
    double eps = fmax(graph_spacing(c, c->g->top), spacing(t, NULL));
    void *bundle = NULL;
    size_t bytes = 0;
    dlvk_error err;
    dlvk_compile_options co = DLVK_COMPILE_OPTIONS_INIT;
    co.validate = true;
    co.threads = 1;
    co.precision = t;
    *how = pool_printf(&c->pool, "precision=%s", dtype_name(t));
    const char *bad = evaluate(c, o, eps);
    if (!bad && compile_graph_to_memory(c->g, &bundle, &bytes, &co, &err) != DLVK_OK) bad = pool_strdup(&c->pool, err.text);
    if (!bad) bad = run_bundle(c, bundle, bytes, 0, o, eps);
    dlvk_free(bundle);
    return bad;
}

/* With fusion on the device as it is; and once more in another way. */
static const char *run_case(Case *c, const char **how)
{
    Oracle o[BINDINGS] = {0};
    double eps = graph_spacing(c, c->g->top);
    if (graph_verify(c->g, stderr)) return "the graph is not valid";
    const char *bad = evaluate(c, o, eps);
    int other = 1 + pick(c, 2 * CONFIGS - 1);
    void *bundle = NULL;
    size_t bytes = 0;
    for (int way = 0; way < (c->variants ? 1 : 2) && !bad; way++) {
        /* all variants: those for GPUs, which a CPU driver would not try by itself */
        int config = way ? other % CONFIGS : c->variants, optimize = way ? other < CONFIGS : 1;
        *how = pool_printf(&c->pool, "optimize=%d%s", optimize, configs[config].text);
        if (!bundle || !optimize) {
            dlvk_compile_options co = DLVK_COMPILE_OPTIONS_INIT;
            co.optimize = optimize;
            co.validate = true;
            co.threads = 1;
            dlvk_error err;
            dlvk_free(bundle);
            if (compile_graph_to_memory(c->g, &bundle, &bytes, &co, &err) != DLVK_OK) bad = pool_strdup(&c->pool, err.text);
        }
        if (!bad) bad = run_bundle(c, bundle, bytes, config, o, eps);
    }
    dlvk_free(bundle);
    if (!bad && !c->variants && narrows(c) && chance(c, 30)) bad = run_narrow(c, how);
    return bad;
}

/* A symbol is known by the input that has it as a dimension: one more where there is none. */
static void name_symbols(Case *c)
{
    int n = c->c->dims.symbols.n;
    for (int i = 0; i < n; i++) {
        const Symbol *s = c->c->dims.symbols.at[i];
        bool known = s->data;
        for (int k = 0; k < c->inputs.n && !known; k++) {
            Type t = c->inputs.at[k].value->type;
            for (int d = 0; d < t.rank; d++) known |= t.dim[d] == s->dim;
        }
        if (!known) input(c, DLVK_U8, 1, &s->dim, FILL_EVERYDAY);
    }
}

const Listed *random_families;

void random_build(Case *c, const char *name, Family f, uint64_t seed)
{
    *c = (Case){.seed = seed, .rng = seed * 0x9e3779b97f4a7c15};
    for (const char *p = name; *p; p++) c->rng = c->rng * 31 + (unsigned char)*p;
    arm(name, seed);
    c->c = context_new(&c->pool);
    c->g = graph_new(c->c, name);
    c->b = (Build){c->c, c->g->top, NULL};
    c->bindings = chance(c, 40) ? BINDINGS : 1;
    f(c);
    name_symbols(c);
}

static bool run_seed(const char *name, Family f, uint64_t seed)
{
    Case c;
    random_build(&c, name, f, seed);
    const char *how = "", *bad = run_case(&c, &how);
    if (bad) {
        fprintf(stderr, "random/%s, %s: %s\n%s", name, how, bad, replay);
        graph_print(stderr, c.g, 16);
        for (int k = 0; k < c.bindings && c.bindings > 1; k++) {
            fprintf(stderr, "binding %d:", k);
            for (int i = 0; i < c.c->dims.symbols.n && i < c.size[k].n; i++)
                fprintf(stderr, " %s = %lld", c.c->dims.symbols.at[i]->name, (long long)c.size[k].at[i]);
            fputc('\n', stderr);
        }
    }
    pool_free(&c.pool);
    return !bad;
}

void random_family(const char *name, Family f, int cases)
{
    const char *first = getenv("DLVK_TEST_SEED"), *many = getenv("DLVK_TEST_CASES");
    uint64_t seed = first ? strtoull(first, NULL, 0) : 1;
    if (many) cases = atoi(many);
    int failed = 0;
    for (int i = 0; i < cases && failed < 5; i++) failed += !run_seed(name, f, seed + (uint64_t)i);
    uint64_t messages = 0;
    for (int i = 0; i < CONFIGS; i++) {
        if (devices[i]) messages += dlvk_device_validation_messages(devices[i]);
        dlvk_device_close(devices[i]);
        devices[i] = NULL;
    }
    alarm(0);
    cr_expect(failed == 0, "%d of random/%s fail", failed, name);
    cr_expect(messages == 0, "%llu messages of the validation layer", (unsigned long long)messages);
}
