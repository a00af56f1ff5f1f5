/* dlvkc bench: how long a model takes to load and to run. */
#include "tools/commands.h"
#include "tools/train.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <yyjson.h>

typedef struct BenchOptions {
    StrList inputs, dims;
    const char *device, *json, *tuning;
    PrecisionArgs precision;
    int warmup, runs, seed;
    double min_time;
    bool kernels, turns, train;
    const char *loss, *optimizer; /* --train */
    int batch;
} BenchOptions;

typedef struct Samples {
    double *at;
    int n, cap;
} Samples;

typedef struct Kernel {
    char *name, *nodes;
    Samples us;
    double flops, bytes, median;
} Kernel;

typedef struct Bench {
    Samples wall, device;
    double first_run_ms;
    dlvk_memory memory;
    double last_loss; /* --train: of the last of so many steps */
    int steps;
    Kernel *kernel;
    int n_kernels;
} Bench;

static void sample_add(Samples *s, double v)
{
    if (s->n == s->cap) {
        int cap = s->cap ? 2 * s->cap : 256;
        double *at = must_alloc((size_t)cap, sizeof *at);
        if (s->n) memcpy(at, s->at, (size_t)s->n * sizeof *at);
        free(s->at);
        s->at = at;
        s->cap = cap;
    }
    s->at[s->n++] = v;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Of sorted samples: the smallest that at least q of them do not exceed (nearest rank); the median of an even number is the mean
 * of two. */
static double quantile(const Samples *s, double q)
{
    if (!s->n) return NAN;
    if (q == 0.5 && s->n % 2 == 0) return (s->at[s->n / 2 - 1] + s->at[s->n / 2]) / 2;
    int k = (int)ceil(q * s->n) - 1;
    return s->at[k < 0 ? 0 : k];
}

static void sort(Samples *s)
{
    if (s->n) qsort(s->at, (size_t)s->n, sizeof *s->at, by_value);
}

/* ---- measuring -------------------------------------------------------------------------------------------------- */

static dlvk_status measure_kernels(const BenchOptions *o, Bench *b, dlvk_session *s, dlvk_error *err)
{
    dlvk_status status = dlvk_session_profile(s, true, err);
    int runs = o->runs < 10 ? o->runs : 10;
    for (int r = -1; !status && r < (runs ? runs : 1); r++) { /* run -1 warms up */
        const dlvk_kernel_time *k;
        int n;
        if ((status = dlvk_session_run(s, err)) || (status = dlvk_session_kernel_times(s, &k, &n, err)) || r < 0) continue;
        if (!b->kernel) {
            b->kernel = must_alloc((size_t)n, sizeof *b->kernel);
            b->n_kernels = n;
            for (int i = 0; i < n; i++) {
                b->kernel[i].name = text_format("%s", k[i].name);
                b->kernel[i].nodes = text_format("%s", k[i].nodes ? k[i].nodes : "");
                b->kernel[i].flops = k[i].flops;
                b->kernel[i].bytes = k[i].bytes;
            }
        }
        for (int i = 0; i < n && i < b->n_kernels; i++) sample_add(&b->kernel[i].us, k[i].time_us);
    }
    for (int i = 0; i < b->n_kernels; i++) {
        sort(&b->kernel[i].us);
        b->kernel[i].median = quantile(&b->kernel[i].us, 0.5);
    }
    return status;
}

/* Runs of the session for that many seconds, and `runs` at least. */
static dlvk_status measure_runs(Bench *b, dlvk_session *s, int runs, double seconds, dlvk_error *err)
{
    dlvk_status status = DLVK_OK;
    double start = now_ms();
    b->wall.n = b->device.n = 0;
    while (!status && (b->wall.n < runs || now_ms() - start < seconds * 1e3)) {
        double from = now_ms();
        status = dlvk_session_run(s, err);
        sample_add(&b->wall, now_ms() - from);
        sample_add(&b->device, dlvk_session_device_ms(s));
        if (b->wall.n > 1) progress_show(NULL, "measuring", 0, 0);
    }
    progress_end();
    sort(&b->wall);
    sort(&b->device);
    return status;
}

/* For programs that measure in turn with others: a line {"device": ..., "load_ms": ..., "first_run_ms": ...} when everything is
 * loaded and warm, and then for each line that is read, a number of seconds, one with the medians of the runs in that time. */
static dlvk_status take_turns(Bench *b, dlvk_session *s, const LoadedModel *m, dlvk_error *err)
{
    char line[64];
    dlvk_status status = DLVK_OK;
    printf("{\"device\": \"%s\", \"load_ms\": %.3f, \"first_run_ms\": %.3f}\n", dlvk_device_get_info(m->device)->name, m->load_ms,
           b->first_run_ms);
    while (!status && !fflush(stdout) && fgets(line, sizeof line, stdin)) {
        status = measure_runs(b, s, 3, strtod(line, NULL), err);
        printf("{\"runs\": %d, \"wall_ms\": %.5f, \"wall_min_ms\": %.5f, \"device_ms\": %.5f}\n", b->wall.n,
               quantile(&b->wall, 0.5), quantile(&b->wall, 0), quantile(&b->device, 0.5));
    }
    return status;
}

static dlvk_status measure_session(const BenchOptions *o, Bench *b, dlvk_session *s, dlvk_error *err)
{
    float loss = 0;
    dlvk_status status = measure_runs(b, s, o->runs, o->min_time, err);
    if (!status) dlvk_session_memory(s, &b->memory);
    if (!status && o->train) status = dlvk_session_get_output(s, "loss", &loss, sizeof loss, err);
    b->last_loss = (double)loss;
    b->steps = 1 + o->warmup + b->wall.n;
    return status || !o->kernels ? status : measure_kernels(o, b, s, err);
}

static dlvk_status measure(const BenchOptions *o, Bench *b, const LoadedModel *m, const InputSet *in, dlvk_error *err)
{
    dlvk_session *s = NULL;
    double start = now_ms();
    dlvk_status status = dlvk_session_create(m->model, &s, err);
    if (!status && !inputs_set(in, s, err)) status = DLVK_INVALID_ARGUMENT;
    if (!status) status = dlvk_session_run(s, err);
    b->first_run_ms = now_ms() - start;
    for (int i = 0; !status && i < o->warmup; i++) status = dlvk_session_run(s, err);
    if (!status) status = o->turns ? take_turns(b, s, m, err) : measure_session(o, b, s, err);
    dlvk_session_free(s);
    return status;
}

/* ---- telling ---------------------------------------------------------------------------------------------------- */

static int by_time(const void *a, const void *b)
{
    double x = ((const Kernel *)a)->median, y = ((const Kernel *)b)->median;
    return (x < y) - (x > y);
}

static void print_row(const char *name, const Samples *s)
{
    printf("%-8s %10.3f %10.3f %10.3f %10.3f\n", name, quantile(s, 0), quantile(s, 0.5), quantile(s, 0.9), quantile(s, 0.99));
}

static void print_kernels(const Bench *b)
{
    double sum = 0, run = 0;
    for (int i = 0; i < b->n_kernels; i++) sum += b->kernel[i].median;
    Kernel *sorted = must_alloc((size_t)b->n_kernels, sizeof *sorted);
    memcpy(sorted, b->kernel, (size_t)b->n_kernels * sizeof *sorted);
    qsort(sorted, (size_t)b->n_kernels, sizeof *sorted, by_time);
    printf("\n%d kernels, %.1f us together\n%10s %6s %6s %9s %8s  %-28s nodes\n", b->n_kernels, sum, "us", "%", "sum %",
           "GFLOP/s", "GB/s", "kernel");
    for (int i = 0; i < b->n_kernels; i++) {
        const Kernel *k = &sorted[i];
        double us = k->median > 0 ? k->median : NAN;
        run += k->median;
        printf("%10.1f %6.1f %6.1f %9.1f %8.1f  %-28s %.100s\n", k->median, 100 * k->median / sum, 100 * run / sum,
               k->flops / us * 1e-3, k->bytes / us * 1e-3, k->name, k->nodes);
    }
    free(sorted);
}

static void print_bench(const Bench *b, const LoadedModel *m, const dlvk_device_info *d)
{
    char sum[32], weights[32], arena[32], io[32], planned[32];
    printf("device   %s (%s %s)\n", d->name, d->driver, d->driver_version);
    if (m->bundle) printf("compile  %.1f ms\n", m->compile_ms);
    printf("load     %.1f ms\nfirst    %.1f ms\n", m->load_ms, b->first_run_ms);
    printf("memory   %s (weights %s, arena %s, of it planned %s, inputs and outputs%s %s)\n",
           size_text((double)(b->memory.weights + b->memory.arena + b->memory.io), sum),
           size_text((double)b->memory.weights, weights), size_text((double)b->memory.arena, arena),
           size_text((double)b->memory.planned_arena, planned), m->training ? ", states" : "",
           size_text((double)b->memory.io, io));
    if (m->training) printf("loss     %g after %d steps\n", b->last_loss, b->steps);
    printf("\n%-8s %10s %10s %10s %10s   (%d runs)\n", "ms", "min", "median", "p90", "p99", b->wall.n);
    print_row("wall", &b->wall);
    print_row("device", &b->device);
    if (b->n_kernels) print_kernels(b);
}

static void json_samples(yyjson_mut_doc *doc, yyjson_mut_val *root, const char *key, const Samples *s)
{
    yyjson_mut_val *o = yyjson_mut_obj(doc);
    yyjson_mut_obj_add_val(doc, root, key, o);
    yyjson_mut_obj_add_real(doc, o, "min", quantile(s, 0));
    yyjson_mut_obj_add_real(doc, o, "median", quantile(s, 0.5));
    yyjson_mut_obj_add_real(doc, o, "p90", quantile(s, 0.9));
    yyjson_mut_obj_add_real(doc, o, "p99", quantile(s, 0.99));
}

static bool write_json(const char *path, const char *model, const BenchOptions *opt, const Bench *b, const LoadedModel *m,
                       const dlvk_device_info *d)
{
    yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
    yyjson_mut_val *root = yyjson_mut_obj(doc);
    yyjson_mut_doc_set_root(doc, root);
    yyjson_mut_obj_add_str(doc, root, "model", model);
    yyjson_mut_obj_add_str(doc, root, "precision", opt->precision.name ? opt->precision.name : "f32");
    if (opt->train) {
        yyjson_mut_obj_add_str(doc, root, "loss", opt->loss);
        yyjson_mut_obj_add_str(doc, root, "optimizer", opt->optimizer);
        yyjson_mut_obj_add_real(doc, root, "last_loss", b->last_loss);
    }
    yyjson_mut_obj_add_str(doc, root, "device", d->name);
    yyjson_mut_obj_add_str(doc, root, "driver", d->driver);
    yyjson_mut_obj_add_str(doc, root, "driver_version", d->driver_version);
    yyjson_mut_obj_add_int(doc, root, "runs", b->wall.n);
    if (m->bundle) yyjson_mut_obj_add_real(doc, root, "compile_ms", m->compile_ms);
    yyjson_mut_obj_add_real(doc, root, "load_ms", m->load_ms);
    yyjson_mut_obj_add_real(doc, root, "first_run_ms", b->first_run_ms);
    json_samples(doc, root, "wall_ms", &b->wall);
    json_samples(doc, root, "device_ms", &b->device);
    yyjson_mut_obj_add_uint(doc, root, "memory_bytes", b->memory.weights + b->memory.arena + b->memory.io);
    yyjson_mut_obj_add_uint(doc, root, "weights_bytes", b->memory.weights);
    yyjson_mut_obj_add_uint(doc, root, "arena_bytes", b->memory.arena);
    yyjson_mut_obj_add_uint(doc, root, "planned_arena_bytes", b->memory.planned_arena);
    yyjson_mut_obj_add_uint(doc, root, "io_bytes", b->memory.io);
    if (opt->kernels) {
        yyjson_mut_val *list = yyjson_mut_arr(doc);
        yyjson_mut_obj_add_val(doc, root, "kernels", list);
        for (int i = 0; i < b->n_kernels; i++) {
            const Kernel *k = &b->kernel[i];
            yyjson_mut_val *o = yyjson_mut_arr_add_obj(doc, list);
            yyjson_mut_obj_add_str(doc, o, "name", k->name);
            yyjson_mut_obj_add_str(doc, o, "nodes", k->nodes);
            yyjson_mut_obj_add_real(doc, o, "median_us", k->median);
            yyjson_mut_obj_add_real(doc, o, "flops", k->flops);
            yyjson_mut_obj_add_real(doc, o, "bytes", k->bytes);
        }
    }
    return json_write(path, doc);
}

static void bench_free(Bench *b)
{
    for (int i = 0; i < b->n_kernels; i++) {
        free(b->kernel[i].name);
        free(b->kernel[i].nodes);
        free(b->kernel[i].us.at);
    }
    free(b->kernel);
    free(b->wall.at);
    free(b->device.at);
}

/* A step's inputs are random but for the learning rate, small enough that a long measurement stays finite, and targets, which are
 * classes that there are (or, of floats, in [0, 1]). */
static void fill_for_training(InputSet *in, dlvk_model *m, bool classes)
{
    int64_t most = train_classes(m);
    for (int i = 0; i < in->n; i++) {
        dlvk_host_tensor *t = &in->at[i];
        if (!strcmp(t->name, "lr")) dlvk_host_tensor_set(t, 0, 1e-5);
        if (strcmp(t->name, "target") != 0) continue;
        int64_t count = 1;
        for (int d = 0; d < t->rank; d++) count *= t->dim[d];
        uint64_t state = 1;
        for (int64_t k = 0; k < count; k++) {
            state = state * 6364136223846793005u + 1442695040888963407u;
            uint64_t bits = state >> 33;
            dlvk_host_tensor_set(t, k, classes ? (double)(bits % (uint64_t)(most ? most : 2)) : (double)bits * 0x1p-31);
        }
    }
}

static int bench_main(const BenchOptions *o, const char *path)
{
    dlvk_training_options training = DLVK_TRAINING_OPTIONS_INIT;
    LoadedModel m = {.precision = &o->precision, .tuning = o->tuning};
    InputSet in = {0};
    Bench b = {0};
    StrList dims = {0};
    char *made[64] = {0};
    dlvk_optimizer *own = NULL;
    dlvk_error err;
    int code = EXIT_BAD, n_made = 0;
    if (!o->train && (o->loss || o->optimizer)) {
        error_say("--loss and --optimizer go with --train");
        return EXIT_BAD;
    }
    if (o->train) {
        LossArgs loss = {.name = o->loss};
        if (!loss_set(&loss, true, &training.loss) || !train_parse_optimizer(o->optimizer, &training, &own)) return EXIT_BAD;
        m.training = &training;
    }
    bool opened = model_open_given(&m, path, o->device, &o->inputs);
    dlvk_free(own);
    if (!opened) return EXIT_BAD;
    for (int i = 0; i < o->dims.n; i++) list_add(&dims, o->dims.at[i]);
    if (o->batch) n_made = train_batch_dims(m.model, o->batch, &dims, made);
    if (inputs_make(&in, m.model, &o->inputs, &dims, NULL, (uint64_t)o->seed)) {
        if (o->train) fill_for_training(&in, m.model, training.loss.target_type == DLVK_I64);
        if (measure(o, &b, &m, &in, &err)) {
            error_say("%s", err.text);
        } else if (o->turns) {
            code = EXIT_OK;
        } else {
            const dlvk_device_info *d = dlvk_device_get_info(m.device);
            print_bench(&b, &m, d);
            code = !o->json || write_json(o->json, path, o, &b, &m, d) ? EXIT_OK : EXIT_BAD;
        }
    }
    for (int i = 0; i < n_made; i++) free(made[i]);
    list_free(&dims);
    bench_free(&b);
    inputs_free(&in);
    model_close(&m);
    return code;
}

static int run(const Command *self, int argc, char **argv)
{
    BenchOptions o = {.warmup = 3, .runs = 20, .min_time = 1};
    const Opt opts[] = {
        {"input", OPT_LIST, "NAME=WHAT", &o.inputs, "as of `dlvkc run`; otherwise random"},
        {"dim", OPT_LIST, "SYMBOL=N", &o.dims, "size of a symbolic dimension; repeatable"},
        {"warmup", OPT_INT, "N", &o.warmup, "runs that are not counted; 3"},
        {"runs", OPT_INT, "N", &o.runs, "runs at least; 20"},
        {"min-time", OPT_REAL, "SECONDS", &o.min_time, "measure at least that long; 1"},
        {"batch", OPT_INT, "N", &o.batch, "size of the inputs' first dimension where it is symbolic"},
        {"train", OPT_FLAG, NULL, &o.train, "measure training steps: forward, backward and the optimizer's update"},
        {"loss", OPT_STR, "LOSS", &o.loss, "--train: cross-entropy (the default) or any other of `dlvkc train`"},
        {"optimizer", OPT_STR, "NAME", &o.optimizer, "--train: adam (the default) or any other of `dlvkc train`"},
        {"kernels", OPT_FLAG, NULL, &o.kernels, "device time of every kernel too, the slowest first"},
        {"turns", OPT_FLAG, NULL, &o.turns,
         "for scripts that compare programs: load, print a line of JSON, and then, for each line with a\n"
         "number of seconds on standard input, measure that long and print one"},
        TUNING_OPT(o.tuning),
        PRECISION_OPTS(o.precision),
        {"seed", OPT_INT, "N", &o.seed, "of random inputs; 0"},
        {"json", OPT_STR, "FILE.json", &o.json, "write all figures to a file"},
        DEVICE_OPT(o.device),
        OPT_END,
    };
    StrList words = {0};
    int code;
    bool ok = args_parse(self, opts, argc, argv, &words, &code);
    if (o.train && !o.loss) o.loss = "cross-entropy";
    if (o.train && !o.optimizer) o.optimizer = "adam";
    if (ok) code = args_words(self, &words, 1, 1, "a model") ? bench_main(&o, words.at[0]) : EXIT_BAD;
    list_free(&words);
    list_free(&o.inputs);
    list_free(&o.dims);
    list_free(&o.precision.keep);
    return code;
}

const Command command_bench = {
    "bench", "MODEL(.onnx|.dlvk) [options]", "measure loading and running", run,
    "Measures how long a model takes: to load, for the first run (which allocates, records, and builds\n"
    "what runs at these sizes alone), and then per run, on the host's clock (wall: submit until done)\n"
    "and on the device's. Inputs are uploaded once, outputs are not read back. Load a bundle twice to\n"
    "see its pipeline cache at work.\n\n"
    "  dlvkc bench model.dlvk --dim batch=8\n"
    "  dlvkc bench lenet.onnx --train --batch 128 --precision f16 --kernels\n"
    "  dlvkc bench model.dlvk --runs 100 --min-time 5 --kernels --json bench.json\n"};
