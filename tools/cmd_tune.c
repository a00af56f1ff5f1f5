/* dlvkc tune: the variant of each kernel that is fastest on a device.
 *
 * A round gives every kernel its next variant and measures all of them at once, by the device's timestamps. Before, the variants
 * of a round have to prove themselves: the model's outputs must be those of the portable variants, and where they are not,
 * halving the round finds the ones that are wrong. */
#include "tools/commands.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct TuneOptions {
    StrList inputs, dims;
    PrecisionArgs precision;
    const char *device, *out, *file;
    double budget, tolerance;
    int seed;
} TuneOptions;

/* The variants of one kernel, and what is known of them. */
typedef struct Candidates {
    char *name;
    int n, usual, portable; /* by number: the default, the last one */
    int right, best;        /* the first of those from the default on that is right; the choice so far */
    bool *built, *wrong;
    bool *apart; /* does the work of other kernels, or not, unlike the default: their times say nothing of each other */
    double *us;  /* 0: not measured */
} Candidates;

typedef struct Tuner {
    const TuneOptions *o;
    LoadedModel m;
    InputSet in;
    dlvk_session *s;
    dlvk_host_tensor *want; /* outputs of the portable variants */
    int n_want;
    Candidates *kernel;
    int n;
    bool narrow; /* some values have 16 bits */
    double end;  /* of the budget, by now_ms() */
    dlvk_error err;
} Tuner;

static bool failed(Tuner *t, dlvk_status s)
{
    if (s) error_say("%s", t->err.text);
    return s != DLVK_OK;
}

/* ---- setting up --------------------------------------------------------------------------------------------------- */

static bool list_kernels(Tuner *t)
{
    t->n = dlvk_model_kernels(t->m.model);
    t->kernel = must_alloc((size_t)t->n + 1, sizeof *t->kernel);
    for (int i = 0; i < t->n; i++) {
        Candidates *c = &t->kernel[i];
        c->n = dlvk_model_kernel_variants(t->m.model, i);
        c->built = must_alloc((size_t)c->n, sizeof *c->built);
        c->wrong = must_alloc((size_t)c->n, sizeof *c->wrong);
        c->apart = must_alloc((size_t)c->n, sizeof *c->apart);
        c->us = must_alloc((size_t)c->n, sizeof *c->us);
        c->usual = c->right = c->best = dlvk_session_variant(t->s, i);
        for (int v = 0; v < c->n; v++) {
            uint32_t features = 0;
            c->built[v] = dlvk_model_kernel_variant(t->m.model, i, v, &features);
            c->apart[v] = dlvk_model_kernel_covers(t->m.model, i, v) != dlvk_model_kernel_covers(t->m.model, i, c->usual);
            if (c->built[v]) c->portable = v;
            if (features & (DLVK_FEATURE_FLOAT16 | DLVK_FEATURE_STORAGE16)) t->narrow = true;
        }
        if (c->usual < 0) {
            error_say("the sizes of a kernel are not known before the model runs: it cannot be tuned");
            return false;
        }
    }
    return true;
}

static bool read_outputs(Tuner *t, dlvk_host_tensor *to)
{
    for (int i = 0; i < t->n_want; i++)
        if (failed(t, output_read(t->s, i, &to[i], &t->err))) return false;
    return true;
}

static void drop_outputs(const Tuner *t, dlvk_host_tensor *x)
{
    for (int i = 0; x && i < t->n_want; i++) dlvk_host_tensor_free(&x[i]);
    free(x);
}

static bool setup(Tuner *t, const char *bundle)
{
    dlvk_load_options lo = DLVK_LOAD_OPTIONS_INIT;
    lo.all_variants = true;
    lo.tuning = "";
    lo.cache = "";
    t->m.owns_device = true;
    if (failed(t, dlvk_device_open(t->o->device, &t->m.device, &t->err)) ||
        failed(t, dlvk_model_load(t->m.device, bundle, &lo, &t->m.model, &t->err)))
        return false;
    if (dlvk_model_states(t->m.model)) {
        error_say("%s: a model with states gives other results with every run, and cannot be tuned", bundle);
        return false;
    }
    return inputs_make(&t->in, t->m.model, &t->o->inputs, &t->o->dims, NULL, (uint64_t)t->o->seed) &&
           !failed(t, dlvk_session_create(t->m.model, &t->s, &t->err)) &&
           !failed(t, inputs_set(&t->in, t->s, &t->err) ? DLVK_OK : DLVK_INVALID_ARGUMENT) &&
           !failed(t, dlvk_session_bind(t->s, &t->err)) && list_kernels(t);
}

/* ---- choosing ----------------------------------------------------------------------------------------------------- */

static bool choose(Tuner *t, int kernel, int variant)
{
    return !failed(t, dlvk_session_choose(t->s, kernel, variant == t->kernel[kernel].usual ? -1 : variant, &t->err));
}

/* Every kernel as what is known to be right: the best so far. */
static bool choose_best(Tuner *t)
{
    for (int i = 0; i < t->n; i++)
        if (!choose(t, i, t->kernel[i].best)) return false;
    return true;
}

/* Do the model's outputs agree with the portable variants'? */
static bool outputs_agree(Tuner *t, bool *agree)
{
    dlvk_host_tensor *got = must_alloc((size_t)t->n_want + 1, sizeof *got);
    bool ok = !failed(t, dlvk_session_run(t->s, &t->err)) && read_outputs(t, got);
    *agree = ok;
    for (int i = 0; ok && i < t->n_want; i++) {
        char why[256];
        double scale = is_float(t->want[i].dtype) ? tensor_scale(&t->want[i]) : 0;
        double tolerance = t->o->tolerance > 0 ? t->o->tolerance : t->narrow ? 1e-2 : 1e-3;
        *agree &= tensor_compare(&got[i], &t->want[i], 0, tolerance * scale, why, sizeof why);
    }
    drop_outputs(t, got);
    return ok;
}

/* Tries variant[i] of the kernels which[from, to); those that are to blame for a difference are marked as wrong. What is left of
 * them in the session afterwards is right. */
static bool prove(Tuner *t, const int *which, const int *variant, int from, int to)
{
    bool agree;
    for (int i = from; i < to; i++)
        if (!choose(t, which[i], variant[i])) return false;
    if (from == to) return true;
    if (!outputs_agree(t, &agree)) return false;
    if (agree) return true;
    for (int i = from; i < to; i++)
        if (!choose(t, which[i], t->kernel[which[i]].portable)) return false;
    if (to - from == 1) {
        Candidates *c = &t->kernel[which[from]];
        c->wrong[variant[from]] = true;
        note_say("variant %d of kernel %d (%s) is wrong on this device", variant[from], which[from], c->name ? c->name : "?");
        return true;
    }
    int half = (from + to) / 2;
    return prove(t, which, variant, from, half) && prove(t, which, variant, half, to);
}

/* From the default on, the first variant of every kernel that is right: what the others are compared with. */
static bool find_right(Tuner *t)
{
    int *which = must_alloc((size_t)t->n + 1, sizeof *which), *variant = must_alloc((size_t)t->n + 1, sizeof *variant), n = t->n;
    for (int i = 0; i < n; i++) which[i] = i;
    bool ok = true;
    while (ok && n > 0) {
        for (int i = 0; i < n; i++) variant[i] = t->kernel[which[i]].right;
        ok = prove(t, which, variant, 0, n);
        int left = 0;
        for (int i = 0; ok && i < n; i++) {
            Candidates *c = &t->kernel[which[i]];
            if (!c->wrong[c->right] || c->right == c->portable) continue;
            while (!c->built[++c->right]) {
            }
            which[left++] = which[i];
        }
        n = left;
    }
    for (int i = 0; i < t->n; i++) t->kernel[i].best = t->kernel[i].right;
    free(which);
    free(variant);
    return ok && choose_best(t);
}

/* ---- measuring ---------------------------------------------------------------------------------------------------- */

static void add_times(Tuner *t, double *us, int n)
{
    const dlvk_kernel_time *k;
    int times;
    double *sum = must_alloc((size_t)n, sizeof *sum);
    if (!dlvk_session_kernel_times(t->s, &k, &times, &t->err))
        for (int i = 0; i < times; i++) {
            sum[k[i].kernel] += k[i].time_us; /* once for each time round a loop */
            if (!t->kernel[k[i].kernel].name) t->kernel[k[i].kernel].name = text_format("%s", k[i].name);
        }
    for (int i = 0; i < n; i++)
        if (us[i] == 0 || sum[i] < us[i]) us[i] = sum[i];
    free(sum);
}

/* Milliseconds of a whole run as chosen, the shortest. */
static bool whole(Tuner *t, double seconds, double *ms)
{
    double start = now_ms();
    for (int r = 0; r < 3 || now_ms() - start < seconds * 1e3; r++) {
        double from = now_ms();
        if (failed(t, dlvk_session_run(t->s, &t->err))) return false;
        if (r && now_ms() - from < *ms) *ms = now_ms() - from;
    }
    return true;
}

/* The shortest time of every kernel as it is chosen, over runs for `seconds`, and 3 at least (1, where they take as long as
 * that). Before, the device's clocks get time to rise from where comparing outputs let them fall. */
static bool measure(Tuner *t, double seconds, double *us)
{
    double ms = INFINITY;
    if (!whole(t, 0.2, &ms) || failed(t, dlvk_session_profile(t->s, true, &t->err)) || failed(t, dlvk_session_run(t->s, &t->err)))
        return false;
    double start = now_ms();
    for (int r = 0; r < 1 || now_ms() - start < seconds * 1e3 || (r < 3 && now_ms() - start < 3e3 * seconds); r++) {
        if (failed(t, dlvk_session_run(t->s, &t->err))) return false;
        add_times(t, us, t->n);
    }
    return !failed(t, dlvk_session_profile(t->s, false, &t->err));
}

/* Round v: the kernels' variant v, where it is built. */
static bool round_run(Tuner *t, int v, double seconds)
{
    int *which = must_alloc((size_t)t->n + 1, sizeof *which), *variant = must_alloc((size_t)t->n + 1, sizeof *variant), n = 0;
    double *us = must_alloc((size_t)t->n + 1, sizeof *us);
    for (int i = 0; i < t->n; i++)
        if (v < t->kernel[i].n && t->kernel[i].built[v] && !t->kernel[i].wrong[v] && !t->kernel[i].apart[v] &&
            !t->kernel[i].us[v]) {
            variant[n] = v;
            which[n++] = i;
        }
    bool ok = n == 0 || (choose_best(t) && prove(t, which, variant, 0, n) && measure(t, seconds, us));
    for (int i = 0; ok && i < n; i++) {
        Candidates *c = &t->kernel[which[i]];
        if (!c->wrong[v]) c->us[v] = us[which[i]];
    }
    free(which);
    free(variant);
    free(us);
    return ok;
}

/* What is measurably faster than the default, or than what stands for it where it is wrong; or that. */
static void decide(Tuner *t)
{
    for (int i = 0; i < t->n; i++) {
        Candidates *c = &t->kernel[i];
        double limit = 0.95 * c->us[c->right];
        c->best = c->right;
        for (int v = 0; v < c->n; v++) {
            if (c->wrong[v] || c->us[v] <= 0 || c->us[v] >= limit) continue;
            c->best = v;
            limit = c->us[v];
        }
    }
}

static bool reference(Tuner *t)
{
    t->n_want = dlvk_model_outputs(t->m.model);
    t->want = must_alloc((size_t)t->n_want + 1, sizeof *t->want);
    for (int i = 0; i < t->n; i++) {
        t->kernel[i].best = t->kernel[i].portable;
        if (!choose(t, i, t->kernel[i].portable)) return false;
    }
    return !failed(t, dlvk_session_run(t->s, &t->err)) && read_outputs(t, t->want);
}

static bool choose_right(Tuner *t)
{
    for (int i = 0; i < t->n; i++)
        if (!choose(t, i, t->kernel[i].right)) return false;
    return true;
}

/* The defaults first, which are what the others are compared with; then the rest, as long as there is time. */
static bool tune(Tuner *t)
{
    int rounds = 0;
    double before = INFINITY, after = INFINITY, share = t->o->budget / 20;
    double *us = must_alloc((size_t)t->n + 1, sizeof *us);
    for (int i = 0; i < t->n; i++)
        if (t->kernel[i].n > rounds) rounds = t->kernel[i].n;
    t->end = now_ms() + t->o->budget * 1e3;
    bool ok = reference(t) && find_right(t) && measure(t, share, us);
    for (int i = 0; ok && i < t->n; i++) t->kernel[i].us[t->kernel[i].right] = us[i];
    int done = 0;
    for (; ok && done < rounds && now_ms() < t->end; done++) ok = round_run(t, done, share);
    if (ok && done < rounds) note_say("the budget was over after %d of %d rounds", done, rounds);
    if (ok) decide(t);
    for (int turn = 0; ok && turn < 2; turn++)
        ok = choose_right(t) && whole(t, share, &before) && choose_best(t) && whole(t, share, &after);
    bool agree = false;
    if (ok) ok = outputs_agree(t, &agree);
    if (ok && !agree) {
        error_say("the chosen variants are right one by one, and wrong together");
        ok = false;
    }
    if (ok) printf("a run took %.3f ms, and takes %.3f ms\n", before, after);
    if (ok && after > before) {
        note_say("which is no gain: the defaults stay");
        ok = choose_right(t);
        for (int i = 0; i < t->n; i++) t->kernel[i].best = t->kernel[i].right;
    }
    free(us);
    return ok;
}

/* ---- telling ------------------------------------------------------------------------------------------------------ */

static void report(const Tuner *t)
{
    int changed = 0;
    for (int i = 0; i < t->n; i++) {
        const Candidates *c = &t->kernel[i];
        if (c->best == c->usual) continue;
        char was[128], is[128];
        uint32_t features[2] = {0};
        dlvk_model_kernel_variant(t->m.model, i, c->usual, &features[0]);
        dlvk_model_kernel_variant(t->m.model, i, c->best, &features[1]);
        dlvk_feature_names(features[0], "+", was, sizeof was);
        dlvk_feature_names(features[1], "+", is, sizeof is);
        char before[32] = "wrong";
        if (!c->wrong[c->usual]) snprintf(before, sizeof before, "%.1f", c->us[c->usual]);
        printf("%4d  %8.1f us instead of %8s  variant %d (%s) instead of %d (%s)  %s\n", i, c->us[c->best], before, c->best, is,
               c->usual, was, c->name);
        changed++;
    }
    printf("%d of %d kernels have another variant than the default\n", changed, t->n);
}

static bool save(Tuner *t, const char *bundle, const char *out)
{
    void *data = NULL;
    size_t size;
    if (failed(t, dlvk_session_tuning(t->s, &data, &size, &t->err))) return false;
    bool ok = !t->o->file || file_write(t->o->file, data, size);
    if (ok && out) ok = !failed(t, dlvk_bundle_tune(bundle, data, size, out, &t->err));
    free(data);
    return ok;
}

static int tune_main(const TuneOptions *o, const char *path)
{
    Tuner t = {.o = o};
    const char *bundle = path, *out = o->out;
    char *made = NULL;
    bool ok = true;
    if (!path_is_bundle(path)) { /* for all devices: the bundle serves them still */
        if (!out) out = made = path_beside(path, ".dlvk");
        dlvk_compile_options co = DLVK_COMPILE_OPTIONS_INIT;
        co.progress = progress_show;
        ok = !failed(&t, precision_set(&o->precision, &co, &t.err)) && !failed(&t, dlvk_compile_file(path, out, &co, &t.err));
        progress_end();
        bundle = out;
    } else if (!out && !o->file) {
        out = path;
    }
    ok = ok && setup(&t, bundle) && tune(&t) && save(&t, bundle, out);
    if (ok) report(&t);
    if (ok && out) printf("%s\n", out);
    if (ok && o->file) printf("%s\n", o->file);
    drop_outputs(&t, t.want);
    for (int i = 0; i < t.n; i++) {
        free(t.kernel[i].name);
        free(t.kernel[i].built);
        free(t.kernel[i].wrong);
        free(t.kernel[i].apart);
        free(t.kernel[i].us);
    }
    free(t.kernel);
    dlvk_session_free(t.s);
    inputs_free(&t.in);
    model_close(&t.m);
    free(made);
    return ok ? EXIT_OK : EXIT_BAD;
}

static int run(const Command *self, int argc, char **argv)
{
    TuneOptions o = {.budget = 20};
    const Opt opts[] = {
        {"budget", OPT_REAL, "SECONDS", &o.budget, "for measuring; 20"},
        {"o", OPT_STR, "OUT.dlvk", &o.out, "the bundle with the tuning in it; otherwise MODEL.dlvk"},
        {"file", OPT_STR, "FILE", &o.file, "the tuning alone, for --tuning of `dlvkc run` and `dlvkc bench`"},
        {"input", OPT_LIST, "NAME=WHAT", &o.inputs, "as of `dlvkc run`; otherwise random"},
        {"dim", OPT_LIST, "SYMBOL=N", &o.dims, "size of a symbolic dimension; the tuning is for these sizes; repeatable"},
        {"stol", OPT_REAL, "T", &o.tolerance,
         "how far outputs may be from the portable variants', relative to their largest magnitude; 1e-3,\nor 1e-2 where values "
         "have 16 bits"},
        PRECISION_OPTS(o.precision),
        {"seed", OPT_INT, "N", &o.seed, "of random inputs; 0"},
        DEVICE_OPT(o.device),
        OPT_END,
    };
    StrList words = {0};
    int code;
    if (args_parse(self, opts, argc, argv, &words, &code)) {
        code = EXIT_BAD;
        if (args_words(self, &words, 1, 1, "a model")) code = tune_main(&o, words.at[0]);
    }
    list_free(&words);
    list_free(&o.inputs);
    list_free(&o.dims);
    list_free(&o.precision.keep);
    return code;
}

const Command command_tune = {
    "tune", "MODEL(.onnx|.dlvk) [options]", "find the fastest variant of each kernel on a device", run,
    "Measures the variants of every kernel that a bundle holds, checks that they are right, and puts the fastest into\n"
    "the bundle, for this kind of device and these sizes; elsewhere it runs as before. A bundle may be tuned again for\n"
    "other devices and sizes.\n\n"
    "  dlvkc tune model.dlvk --dim batch=1 --budget 30\n"
    "  dlvkc tune model.onnx --precision f16 -o model.dlvk\n"
    "  dlvkc tune model.dlvk --file h200.tune && dlvkc bench model.dlvk --tuning h200.tune\n"};
