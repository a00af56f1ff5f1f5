/* dlvkc test: models with their test data, in the layout of ONNX's backend tests, many at once on one device. */
#include "tools/commands.h"
#include "tools/gradient_check.h"

#include <dirent.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <yyjson.h>

typedef enum Outcome { PASS, FAIL, ERROR, SKIP } Outcome;
static const char *const outcome_name[] = {"PASS", "FAIL", "ERROR", "SKIP"};

typedef struct Case {
    char *name, *model;
    char *dir; /* holds test_data_set_*; NULL: a light model, whose outputs are MODEL_output_N.pb beside it */
    bool done; /* guarded by Suite.lock, as all below */
    Outcome outcome;
    char *detail;
    double ms;
    int host_steps; /* -1: not known, the model did not compile */
    bool random;    /* some output has other values than expected, and may: it depends on random numbers */
} Case;

typedef struct Suite {
    Case *at;
    int n, cap;
    int next, shown; /* the next case to run, and to print: lines come in the order of the arguments */
    pthread_mutex_t lock;
    dlvk_device *device;
    double rtol, atol, stol;
    PrecisionArgs precision;
    int threads; /* of each test; 0: all cores */
    bool grad;   /* test gradients */
} Suite;

/* ---- finding the cases ------------------------------------------------------------------------------------------ */

static void suite_add(Suite *s, char *name, char *model, char *dir)
{
    if (s->n == s->cap) {
        int cap = s->cap ? 2 * s->cap : 64;
        Case *at = must_alloc((size_t)cap, sizeof *at);
        if (s->n) memcpy(at, s->at, (size_t)s->n * sizeof *at);
        free(s->at);
        s->at = at;
        s->cap = cap;
    }
    s->at[s->n++] = (Case){.name = name, .model = model, .dir = dir, .host_steps = -1};
}

static char *base_name(const char *path)
{
    size_t end = strlen(path);
    while (end > 1 && path[end - 1] == '/') end--;
    size_t start = end;
    while (start > 0 && path[start - 1] != '/') start--;
    return text_format("%.*s", (int)(end - start), path + start);
}

/* Beside light_X.onnx lie light_X_output_0.pb, ... */
static char *light_output(const char *model, int i)
{
    return text_format("%.*s_output_%d.pb", (int)(strlen(model) - strlen(".onnx")), model, i);
}

static bool is_light(const char *model)
{
    if (!ends_with(model, ".onnx")) return false;
    char *output = light_output(model, 0);
    bool yes = !access(output, R_OK);
    free(output);
    return yes;
}

static void suite_add_light(Suite *s, const char *model)
{
    char *name = base_name(model);
    name[strlen(name) - strlen(".onnx")] = 0;
    suite_add(s, name, text_format("%s", model), NULL);
}

static int keep_visible(const struct dirent *e)
{
    return e->d_name[0] != '.';
}

/* A folder with a model.onnx is one case; otherwise it is a folder of such folders or of light models. */
static bool suite_find(Suite *s, const char *path)
{
    struct stat st;
    if (stat(path, &st)) {
        error_say("%s: no such file or folder", path);
        return false;
    }
    if (!S_ISDIR(st.st_mode)) {
        const char *slash = strrchr(path, '/');
        if (is_light(path)) {
            suite_add_light(s, path);
        } else if (ends_with(path, ".onnx")) {
            char *dir = slash ? text_format("%.*s", (int)(slash - path), path) : text_format(".");
            suite_add(s, base_name(path), text_format("%s", path), dir);
        } else {
            error_say("%s: not an ONNX file", path);
            return false;
        }
        return true;
    }
    char *model = text_format("%s/model.onnx", path);
    if (!access(model, F_OK)) {
        suite_add(s, base_name(path), model, text_format("%s", path));
        return true;
    }
    free(model);
    struct dirent **entry;
    int before = s->n, n = scandir(path, &entry, keep_visible, alphasort);
    for (int i = 0; i < n; i++) {
        char *inner = text_format("%s/%s", path, entry[i]->d_name);
        char *inner_model = text_format("%s/model.onnx", inner);
        if (!access(inner_model, F_OK))
            suite_add(s, text_format("%s", entry[i]->d_name), text_format("%s", inner_model), text_format("%s", inner));
        else if (is_light(inner))
            suite_add_light(s, inner);
        free(inner_model);
        free(inner);
        free(entry[i]);
    }
    if (n >= 0) free(entry);
    if (s->n == before) {
        error_say("%s: holds neither a model.onnx, nor folders with one, nor light models", path);
        return false;
    }
    return true;
}

/* ---- running one ------------------------------------------------------------------------------------------------ */

/* The outcome of a failed call: messages of many lines go into one. */
static Outcome complain(Case *c, const char *what, const char *text)
{
    c->detail = what ? text_format("%s: %s", what, text) : text_format("%s", text);
    size_t n = strlen(c->detail);
    while (n && c->detail[n - 1] == '\n') c->detail[--n] = 0;
    for (char *p = c->detail; *p; p++)
        if (*p == '\n') *p = ';';
    return ERROR;
}

/* The suite stores bfloat16 as the integers of the same bits. */
static void as_stored(dlvk_host_tensor *t, dlvk_dtype want)
{
    if (want == DLVK_BF16 && t->dtype == DLVK_U16) t->dtype = want;
}

/* Output i of the model. What depends on random numbers may have other values than the file. */
static Outcome compare_tensor(const Suite *s, Case *c, dlvk_session *session, int i, const dlvk_host_tensor *want)
{
    dlvk_host_tensor got = {0};
    dlvk_tensor_info info;
    size_t bytes;
    dlvk_error err;
    char why[1024];
    Outcome outcome = PASS;
    if (output_read(session, i, &got, &err) || dlvk_session_output_info(session, i, &info, &bytes, &err)) {
        outcome = complain(c, NULL, err.text);
    } else if (!tensor_compare_stored(&got, want, s->rtol, s->atol + s->stol * tensor_scale(want), why, sizeof why)) {
        bool random = info.chance != DLVK_CERTAIN && tensor_compare_random(&got, want, info.chance, why, sizeof why);
        c->random |= random;
        outcome = random ? PASS : FAIL;
        if (!random) c->detail = text_format("output '%s': %s", got.name, why);
    }
    dlvk_host_tensor_free(&got);
    return outcome;
}

static Outcome compare_output(const Suite *s, Case *c, dlvk_session *session, const dlvk_value_info *v, const char *want_path)
{
    dlvk_host_value want = {0};
    dlvk_error err;
    char why[1024];
    Outcome outcome = PASS;
    if (dlvk_host_value_read(want_path, &want, &err)) return complain(c, want_path, err.text);
    if (!value_fits(v, &want, why, sizeof why)) {
        outcome = FAIL;
        c->detail = text_format("output '%s' is %s", v->name, why);
    }
    for (int i = 0; outcome == PASS && i < v->n; i++) outcome = compare_tensor(s, c, session, v->first + i, &want.at[i]);
    dlvk_host_value_free(&want);
    return outcome;
}

static Outcome run_light(const Suite *s, Case *c, const dlvk_model *model, dlvk_session *session)
{
    InputSet in;
    dlvk_error err;
    if (!inputs_light(&in, model)) return complain(c, NULL, "its inputs cannot be made");
    bool ok = inputs_set(&in, session, &err) && !dlvk_session_run(session, &err);
    inputs_free(&in);
    if (!ok) return complain(c, NULL, err.text);
    Outcome outcome = PASS;
    for (int i = 0; outcome == PASS && i < dlvk_model_output_values(model); i++) {
        dlvk_value_info v;
        dlvk_model_output_value(model, i, &v);
        char *want = light_output(c->model, i);
        outcome = compare_output(s, c, session, &v, want);
        free(want);
    }
    return outcome;
}

static Outcome set_tensor(Case *c, const dlvk_model *model, dlvk_session *session, int i, dlvk_host_tensor *t)
{
    dlvk_tensor_info info;
    dlvk_error err;
    dlvk_model_input(model, i, &info);
    as_stored(t, info.dtype);
    if (t->dtype != info.dtype) {
        char *why =
            text_format("input '%s' is %s, the test gives %s", info.name, dlvk_dtype_name(info.dtype), dlvk_dtype_name(t->dtype));
        complain(c, NULL, why);
        free(why);
        return ERROR;
    }
    bool ok = !dlvk_session_set_input(session, info.name, t->dim, t->rank, t->data, t->bytes, &err);
    return ok ? PASS : complain(c, NULL, err.text);
}

static Outcome set_input(Case *c, const dlvk_model *model, dlvk_session *session, int i, const char *path)
{
    dlvk_value_info info;
    dlvk_host_value v;
    dlvk_error err;
    char why[256];
    dlvk_model_input_value(model, i, &info);
    if (dlvk_host_value_read(path, &v, &err)) return complain(c, path, err.text);
    Outcome outcome = value_fits(&info, &v, why, sizeof why) ? PASS : complain(c, info.name, why);
    for (int k = 0; outcome == PASS && k < v.n; k++) outcome = set_tensor(c, model, session, info.first + k, &v.at[k]);
    dlvk_host_value_free(&v);
    return outcome;
}

static Outcome run_data_set(const Suite *s, Case *c, const dlvk_model *model, dlvk_session *session, const char *set)
{
    dlvk_error err;
    Outcome outcome = PASS;
    int outputs = 0;
    for (int i = 0; outcome == PASS && i < dlvk_model_input_values(model); i++) {
        char *path = text_format("%s/%s/input_%d.pb", c->dir, set, i);
        outcome = set_input(c, model, session, i, path);
        free(path);
    }
    if (outcome == PASS && dlvk_session_run(session, &err)) outcome = complain(c, NULL, err.text);
    for (int i = 0; outcome == PASS && i < dlvk_model_output_values(model); i++) {
        dlvk_value_info v;
        dlvk_model_output_value(model, i, &v);
        char *path = text_format("%s/%s/output_%d.pb", c->dir, set, i);
        if (!access(path, F_OK)) outcome = compare_output(s, c, session, &v, path), outputs++;
        free(path);
    }
    if (outcome == PASS && !outputs) outcome = complain(c, set, "holds no expected output");
    return outcome;
}

static int keep_data_set(const struct dirent *e)
{
    return !strncmp(e->d_name, "test_data_set_", 14);
}

/* Steps of the plan that the host computes. */
static int host_steps_in(yyjson_val *steps)
{
    static const char *const inner[] = {"then", "else", "body"};
    size_t i, n;
    yyjson_val *s;
    int sum = 0;
    yyjson_arr_foreach(steps, i, n, s)
    {
        sum += yyjson_obj_get(s, "host") != NULL;
        for (size_t k = 0; k < sizeof inner / sizeof *inner; k++) sum += host_steps_in(yyjson_obj_get(s, inner[k]));
    }
    return sum;
}

static int host_steps(const LoadedModel *m)
{
    char *json = NULL;
    if (!m->bundle || dlvk_bundle_describe_memory(m->bundle, m->bundle_size, &json, NULL)) return -1;
    yyjson_doc *doc = yyjson_read(json, strlen(json), 0);
    int n = doc ? host_steps_in(yyjson_obj_get(yyjson_doc_get_root(doc), "program")) : -1;
    yyjson_doc_free(doc);
    free(json);
    return n;
}

enum { MAX_ASSUMED = 64 };

/* The inputs of the first data set: operators take axes, steps and scales from inputs there, which the compilation must know. */
static int read_assumed(const Case *c, dlvk_host_value *v)
{
    int n = 0;
    for (; c->dir && n < MAX_ASSUMED; n++) {
        char *path = text_format("%s/test_data_set_0/input_%d.pb", c->dir, n);
        bool ok = !access(path, F_OK) && !dlvk_host_value_read(path, &v[n], NULL);
        free(path);
        if (!ok) break;
        free(v[n].name); /* the suite goes by position */
        v[n].name = NULL;
    }
    return n;
}

/* Whether some tensor of the first data set, among its inputs or its outputs, is of floats. */
static bool holds_floats(const Case *c, const char *what)
{
    bool found = false, more = true;
    for (int i = 0; more && !found; i++) {
        char *path = text_format("%s/test_data_set_0/%s_%d.pb", c->dir, what, i);
        dlvk_host_tensor t = {0};
        more = !access(path, F_OK);
        found = more && !dlvk_host_tensor_read(path, &t, NULL) && is_float(t.dtype);
        dlvk_host_tensor_free(&t);
        free(path);
    }
    return found;
}

static Outcome run_gradient(const Suite *s, Case *c)
{
    const char *none = !c->dir ? NULL : !holds_floats(c, "input") ? "no input" : !holds_floats(c, "output") ? "no output" : NULL;
    if (none) {
        c->detail = text_format("%s is a tensor of floats", none);
        return SKIP;
    }
    static const Outcome outcomes[] = {[GRADIENT_PASS] = PASS, [GRADIENT_FAIL] = FAIL, [GRADIENT_SKIP] = SKIP};
    dlvk_host_value inputs[MAX_ASSUMED];
    int n = read_assumed(c, inputs);
    Outcome outcome = outcomes[gradient_check(s->device, c->model, c->dir ? inputs : NULL, n, s->threads, &c->detail)];
    for (int i = 0; i < n; i++) dlvk_host_value_free(&inputs[i]);
    return outcome;
}

static Outcome run_case(const Suite *s, Case *c)
{
    if (s->grad) return run_gradient(s, c);
    LoadedModel m = {.device = s->device, .precision = &s->precision};
    dlvk_session *session = NULL;
    dlvk_error err;
    Outcome outcome = PASS;
    dlvk_host_value assumed[MAX_ASSUMED];
    m.assumed = assumed;
    int n_assumed = m.n_assumed = read_assumed(c, assumed);
    bool failed = model_open(&m, c->model, NULL, s->threads, &err) != DLVK_OK;
    for (int i = 0; i < n_assumed; i++) dlvk_host_value_free(&assumed[i]);
    m.n_assumed = 0;
    if (failed) return complain(c, NULL, err.text);
    c->host_steps = host_steps(&m);
    if (dlvk_session_create(m.model, &session, &err)) {
        outcome = complain(c, NULL, err.text);
    } else if (!c->dir) {
        outcome = run_light(s, c, m.model, session);
    } else {
        struct dirent **set;
        int n = scandir(c->dir, &set, keep_data_set, alphasort);
        if (n <= 0) outcome = complain(c, c->dir, "holds no test_data_set_*");
        for (int i = 0; i < n; i++) {
            if (outcome == PASS) outcome = run_data_set(s, c, m.model, session, set[i]->d_name);
            free(set[i]);
        }
        if (n >= 0) free(set);
    }
    dlvk_session_free(session);
    model_close(&m);
    return outcome;
}

/* ---- running all ------------------------------------------------------------------------------------------------ */

static void show_finished(Suite *s)
{
    for (; s->shown < s->n && s->at[s->shown].done; s->shown++) {
        const Case *c = &s->at[s->shown];
        printf("%s%s%s %s ",
               colour(stdout, c->outcome == PASS   ? GREEN
                              : c->outcome == SKIP ? YELLOW
                                                   : RED),
               outcome_name[c->outcome], colour(stdout, PLAIN), c->name);
        if (c->detail)
            printf("%s\n", c->detail);
        else
            printf("%.0f ms%s\n", c->ms, c->random ? " (random: type and shape)" : "");
    }
    fflush(stdout);
}

static void *worker(void *arg)
{
    Suite *s = arg;
    for (;;) {
        pthread_mutex_lock(&s->lock);
        Case *c = s->next < s->n ? &s->at[s->next++] : NULL;
        pthread_mutex_unlock(&s->lock);
        if (!c) return NULL;
        double start = now_ms();
        Outcome outcome = run_case(s, c);
        pthread_mutex_lock(&s->lock);
        c->outcome = outcome;
        c->ms = now_ms() - start;
        c->done = true;
        show_finished(s);
        pthread_mutex_unlock(&s->lock);
    }
}

static void run_all(Suite *s, int jobs)
{
    if (jobs > s->n) jobs = s->n;
    if (jobs > 1 && !s->threads) s->threads = 1;
    pthread_t *thread = must_alloc((size_t)jobs, sizeof *thread);
    int started = 0;
    while (started < jobs - 1 && !pthread_create(&thread[started], NULL, worker, s)) started++;
    worker(s); /* this thread works too, alone if need be */
    for (int i = 0; i < started; i++) pthread_join(thread[i], NULL);
    free(thread);
}

static bool write_json(const Suite *s, const char *path)
{
    yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
    yyjson_mut_val *root = yyjson_mut_arr(doc);
    yyjson_mut_doc_set_root(doc, root);
    for (int i = 0; i < s->n; i++) {
        const Case *c = &s->at[i];
        yyjson_mut_val *o = yyjson_mut_arr_add_obj(doc, root);
        yyjson_mut_obj_add_str(doc, o, "name", c->name);
        yyjson_mut_obj_add_str(doc, o, "status", outcome_name[c->outcome]);
        yyjson_mut_obj_add_str(doc, o, "detail", c->detail ? c->detail : "");
        yyjson_mut_obj_add_real(doc, o, "ms", c->ms);
        yyjson_mut_obj_add_bool(doc, o, "random", c->outcome == PASS && c->random);
        if (c->host_steps >= 0)
            yyjson_mut_obj_add_int(doc, o, "host_steps", c->host_steps);
        else
            yyjson_mut_obj_add_null(doc, o, "host_steps");
    }
    return json_write(path, doc);
}

static int test_main(Suite *s, const StrList *paths, const char *device, const char *json, int jobs)
{
    dlvk_error err;
    for (int i = 0; i < paths->n; i++)
        if (!suite_find(s, paths->at[i])) return EXIT_BAD;
    if (dlvk_device_open(device, &s->device, &err)) {
        error_say("%s", err.text);
        return EXIT_BAD;
    }
    run_all(s, jobs ? jobs : (int)sysconf(_SC_NPROCESSORS_ONLN));
    dlvk_device_close(s->device);
    int passed = 0, skipped = 0;
    for (int i = 0; i < s->n; i++) {
        passed += s->at[i].outcome == PASS;
        skipped += s->at[i].outcome == SKIP;
    }
    int failed = s->n - passed - skipped;
    bool written = !json || write_json(s, json);
    printf("%d passed, %d failed", passed, failed);
    if (skipped) printf(", %d skipped", skipped);
    printf("\n");
    return !written ? EXIT_BAD : failed ? EXIT_FAIL : EXIT_OK;
}

static int run(const Command *self, int argc, char **argv)
{
    Suite s = {.rtol = 1e-3, .atol = 1e-7, .stol = -1, .lock = PTHREAD_MUTEX_INITIALIZER};
    const char *device = NULL, *json = NULL;
    int jobs = 0, code;
    const Opt opts[] = {
        {"device", OPT_STR, "N|NAME", &device, "number or part of the name, see `dlvkc devices`; otherwise the best"},
        {"jobs", OPT_INT, "N", &jobs, "tests at a time; 0, the default: one a core"},
        {"threads", OPT_INT, "N", &s.threads,
         "threads a test compiles and builds with; by default one, or all cores if it runs alone"},
        {"grad", OPT_FLAG, NULL, &s.grad, "test gradients: see above"},
        {"json", OPT_STR, "FILE.json", &json, "write a list of {name, status, detail, ms, random, host_steps}"},
        {"rtol", OPT_REAL, "R", &s.rtol, "relative tolerance; 1e-3, the ONNX suite's"},
        {"atol", OPT_REAL, "A", &s.atol, "absolute tolerance; 1e-7, the ONNX suite's"},
        {"stol", OPT_REAL, "S", &s.stol,
         "tolerance relative to the output's largest magnitude; 0, with f16 1e-2, with bf16 8e-2"},
        PRECISION_OPTS(s.precision),
        OPT_END,
    };
    StrList words = {0};
    bool parsed = args_parse(self, opts, argc, argv, &words, &code);
    if (s.stol < 0) s.stol = precision_tolerance(&s.precision);
    if (parsed)
        code =
            args_words(self, &words, 1, -1, "a folder with a model.onnx") ? test_main(&s, &words, device, json, jobs) : EXIT_BAD;
    list_free(&words);
    for (int i = 0; i < s.n; i++) {
        free(s.at[i].name);
        free(s.at[i].model);
        free(s.at[i].dir);
        free(s.at[i].detail);
    }
    free(s.at);
    list_free(&s.precision.keep);
    return code;
}

const Command command_test = {
    "test", "DIR... [options]", "run models against their test data, as in ONNX's suite", run,
    "Runs every given model on its test data and prints PASS, FAIL (a wrong number) or ERROR (did not\n"
    "compile or run) for each, with the reason. A DIR holds model.onnx and test_data_set_*/ with\n"
    "input_N.pb and output_N.pb, or is a folder of such folders. A file light_X.onnx with\n"
    "light_X_output_N.pb beside it works too.\n\n"
    "An output that depends on an operator which ONNX declares not deterministic may have other values\n"
    "than the file: then its type, its shape, whether it is finite where the file is, and of samples of\n"
    "zeros and ones that it has no other, are what is tested; PASS says so.\n\n"
    "--grad tests, at the inputs of the first data set, the gradient of a random projection of the\n"
    "outputs with respect to the float inputs, on the device, against differences in the\n"
    "double-precision interpreter. SKIP: no input or no output is a float, or the outputs jump there.\n\n"
    "  dlvkc test /usr/share/libonnx-testdata/data/node/test_add\n"
    "  dlvkc test /usr/share/libonnx-testdata/data/node --json results.json\n"
    "  dlvkc test /usr/share/libonnx-testdata/data/light/light_squeezenet.onnx\n"};
