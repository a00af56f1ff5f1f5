/* dlvkc run: runs a model once on given or made inputs; writes, checks and profiles the result. */
#include "tools/commands.h"

#include <stdlib.h>
#include <string.h>
#include <yyjson.h>

typedef struct RunOptions {
    StrList inputs, dims, expect;
    const char *output_dir, *device, *profile, *reference, *tuning;
    PrecisionArgs precision;
    double rtol, atol, stol;
    int seed;
    bool check;
} RunOptions;

/* An output to DIR/NAME.npy; those of a sequence to DIR/NAME.0.npy and so on. */
static bool write_output(const char *dir, const dlvk_value_info *v, int element, const dlvk_host_tensor *t)
{
    char *name = v->kind == DLVK_VALUE_SEQUENCE ? text_format("%s.%d", v->name, element) : text_format("%s", v->name);
    bool ok = output_write(dir, name, t);
    free(name);
    return ok;
}

/* The kernels as a Chrome trace, which chrome://tracing and ui.perfetto.dev show. */
static bool write_profile(const char *path, dlvk_session *s, const dlvk_device_info *device)
{
    const dlvk_kernel_time *kernel;
    int n;
    dlvk_error err;
    if (dlvk_session_kernel_times(s, &kernel, &n, &err)) {
        error_say("%s", err.text);
        return false;
    }
    yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
    yyjson_mut_val *root = yyjson_mut_obj(doc), *events = yyjson_mut_arr(doc);
    yyjson_mut_doc_set_root(doc, root);
    yyjson_mut_obj_add_strcpy(doc, root, "device", device->name);
    yyjson_mut_obj_add_strcpy(doc, root, "driver", device->driver);
    yyjson_mut_obj_add_real(doc, root, "device_ms", dlvk_session_device_ms(s));
    yyjson_mut_obj_add_str(doc, root, "displayTimeUnit", "ms");
    yyjson_mut_obj_add_val(doc, root, "traceEvents", events);
    for (int i = 0; i < n; i++) {
        yyjson_mut_val *e = yyjson_mut_arr_add_obj(doc, events), *args = yyjson_mut_obj(doc), *grid = yyjson_mut_arr(doc);
        yyjson_mut_obj_add_strcpy(doc, e, "name", kernel[i].name);
        yyjson_mut_obj_add_str(doc, e, "ph", "X");
        yyjson_mut_obj_add_real(doc, e, "ts", kernel[i].start_us);
        yyjson_mut_obj_add_real(doc, e, "dur", kernel[i].time_us);
        yyjson_mut_obj_add_int(doc, e, "pid", 0);
        yyjson_mut_obj_add_int(doc, e, "tid", 0);
        yyjson_mut_obj_add_val(doc, e, "args", args);
        yyjson_mut_obj_add_strcpy(doc, args, "nodes", kernel[i].nodes ? kernel[i].nodes : "");
        yyjson_mut_obj_add_real(doc, args, "flops", kernel[i].flops);
        yyjson_mut_obj_add_real(doc, args, "bytes", kernel[i].bytes);
        yyjson_mut_obj_add_val(doc, args, "grid", grid);
        for (int k = 0; k < 3; k++) yyjson_mut_arr_add_uint(doc, grid, kernel[i].grid[k]);
    }
    return json_write(path, doc);
}

static bool verdict(const char *what, const dlvk_host_tensor *got, const dlvk_host_tensor *want, const RunOptions *o)
{
    char why[1024];
    bool ok = tensor_compare(got, want, o->rtol, o->atol + o->stol * tensor_scale(want), why, sizeof why);
    if (ok)
        printf("%sPASS%s %s %s\n", colour(stdout, GREEN), colour(stdout, PLAIN), got->name, what);
    else
        printf("%sFAIL%s %s %s: %s\n", colour(stdout, RED), colour(stdout, PLAIN), got->name, what, why);
    return ok;
}

static bool value_by_name(const dlvk_model *m, const char *name, size_t len, dlvk_value_info *v)
{
    for (int i = 0; i < dlvk_model_output_values(m); i++) {
        dlvk_model_output_value(m, i, v);
        if (strlen(v->name) == len && !memcmp(v->name, name, len)) return true;
    }
    return false;
}

static int check_expectation(const RunOptions *o, const dlvk_value_info *v, const char *path, const dlvk_host_tensor *out)
{
    dlvk_host_value want;
    dlvk_error err;
    char why[256];
    int code = EXIT_OK;
    if (dlvk_host_value_read(path, &want, &err)) {
        error_say("--expect %s=%s: %s", v->name, path, err.text);
        return EXIT_BAD;
    }
    if (!value_fits(v, &want, why, sizeof why)) {
        printf("%sFAIL%s %s as expected: the output is %s\n", colour(stdout, RED), colour(stdout, PLAIN), v->name, why);
        code = EXIT_FAIL;
    }
    for (int i = 0; code != EXIT_FAIL && i < v->n; i++)
        if (!verdict("as expected", &out[v->first + i], &want.at[i], o)) code = EXIT_FAIL;
    dlvk_host_value_free(&want);
    return code;
}

static int check_expectations(const RunOptions *o, const dlvk_model *m, const dlvk_host_tensor *out)
{
    int code = EXIT_OK;
    for (int i = 0; i < o->expect.n; i++) {
        const char *spec = o->expect.at[i], *equals = spec;
        dlvk_value_info v;
        bool found = false;
        while (!found && (equals = strchr(equals, '='))) found = value_by_name(m, spec, (size_t)(equals++ - spec), &v);
        if (!found) {
            error_say("--expect takes NAME=FILE, NAME being an output of the model, not '%s'", spec);
            return EXIT_BAD;
        }
        int c = check_expectation(o, &v, equals, out);
        if (c > code) code = c;
    }
    return code;
}

static int check_reference(const RunOptions *o, const char *path, const dlvk_model *m, const InputSet *in,
                           const dlvk_host_tensor *out, int n)
{
    dlvk_host_value *values;
    int n_values = inputs_values(in, m, &values);
    dlvk_host_tensor *want = NULL;
    int n_want = 0, code = EXIT_OK;
    dlvk_error err;
    bool failed = dlvk_reference_run(path, values, n_values, &want, &n_want, &err);
    free(values);
    if (failed) {
        error_say("the interpreter: %s", err.text);
        return EXIT_BAD;
    }
    for (int i = 0; i < n; i++) {
        const dlvk_host_tensor *w = i < n_want ? &want[i] : NULL;
        if (!w) {
            error_say("the interpreter gave %d outputs, the device %d", n_want, n);
            code = EXIT_FAIL;
            break;
        }
        if (!verdict("as the interpreter says", &out[i], w, o)) code = EXIT_FAIL;
    }
    for (int i = 0; i < n_want; i++) dlvk_host_tensor_free(&want[i]);
    dlvk_free(want);
    return code;
}

/* The strings of an output in quotes, as far as they are few; bytes that are no text as \xHH. */
static void print_strings(const dlvk_host_tensor *t)
{
    enum { MOST = 32 };
    size_t n = t->bytes / sizeof(dlvk_string);
    const dlvk_string *s = t->data;
    for (size_t i = 0; i < n && i < MOST; i++) {
        printf("%s\"", i ? " " : "    ");
        for (size_t k = 0; k < s[i].len; k++) {
            unsigned char c = (unsigned char)s[i].at[k];
            if (c == '"' || c == '\\')
                printf("\\%c", c);
            else if (c < ' ' || c == 0x7f)
                printf("\\x%02x", c);
            else
                putchar(c);
        }
        putchar('"');
    }
    if (n > MOST) printf(" and %zu more", n - MOST);
    if (n) putchar('\n');
}

/* One run with everything that is asked for; returns the exit code. */
static int run_session(const RunOptions *o, const char *path, LoadedModel *m, const InputSet *in, dlvk_session *s)
{
    dlvk_error err;
    int n = dlvk_model_outputs(m->model), code = EXIT_OK;
    if (!inputs_set(in, s, &err) || (o->profile && dlvk_session_profile(s, true, &err)) || dlvk_session_run(s, &err)) {
        error_say("%s", err.text);
        return EXIT_BAD;
    }
    dlvk_host_tensor *out = must_alloc((size_t)n, sizeof *out);
    for (int k = 0; k < dlvk_model_output_values(m->model); k++) {
        dlvk_value_info v;
        dlvk_model_output_value(m->model, k, &v);
        if (v.n == 0) printf("%s %s\n", v.name, v.kind == DLVK_VALUE_NONE ? "none" : "an empty sequence");
        for (int i = 0; code == EXIT_OK && i < v.n; i++) {
            dlvk_host_tensor *t = &out[v.first + i];
            char type[256];
            if (output_read(s, v.first + i, t, &err)) {
                error_say("%s", err.text);
                code = EXIT_BAD;
            } else {
                printf("%s %s\n", t->name, type_text(t->dtype, t->rank, t->dim, NULL, type, sizeof type));
                if (t->dtype == DLVK_STRING) print_strings(t);
                if (o->output_dir && !write_output(o->output_dir, &v, i, t)) code = EXIT_BAD;
            }
        }
    }
    if (code == EXIT_OK && o->profile && !write_profile(o->profile, s, dlvk_device_get_info(m->device))) code = EXIT_BAD;
    if (code == EXIT_OK) code = check_expectations(o, m->model, out);
    if (code != EXIT_BAD && (o->check || o->reference)) {
        int c = check_reference(o, o->reference ? o->reference : path, m->model, in, out, n);
        if (c > code) code = c;
    }
    for (int i = 0; i < n; i++) dlvk_host_tensor_free(&out[i]);
    free(out);
    return code;
}

static int run_model(const RunOptions *o, const char *path)
{
    LoadedModel m = {.precision = &o->precision, .tuning = o->tuning};
    InputSet in = {0};
    dlvk_session *s = NULL;
    dlvk_error err;
    int code = EXIT_BAD;
    if (o->check && !o->reference && path_is_bundle(path)) {
        error_say("--check runs the interpreter, which needs the ONNX file: --reference MODEL.onnx with a bundle");
        return EXIT_BAD;
    }
    if (o->output_dir && !dir_make(o->output_dir)) return EXIT_BAD;
    if (!model_open_given(&m, path, o->device, &o->inputs)) return EXIT_BAD;
    if (inputs_make(&in, m.model, &o->inputs, &o->dims, "random", (uint64_t)o->seed)) {
        if (dlvk_session_create(m.model, &s, &err))
            error_say("%s", err.text);
        else
            code = run_session(o, path, &m, &in, s);
    }
    dlvk_session_free(s);
    inputs_free(&in);
    model_close(&m);
    return code;
}

static int run(const Command *self, int argc, char **argv)
{
    RunOptions o = {.rtol = 1e-3, .atol = 1e-7, .stol = -1};
    const Opt opts[] = {
        {"input", OPT_LIST, "NAME=WHAT", &o.inputs,
         "FILE.npy, FILE.pb, random, zeros or ones; a sequence: FILE.pb or FILE,FILE,...; repeatable"},
        {"dim", OPT_LIST, "SYMBOL=N", &o.dims, "size of a symbolic dimension of inputs without a file; repeatable"},
        {"output-dir", OPT_STR, "DIR", &o.output_dir,
         "write every output to DIR/NAME.npy, those of a sequence to DIR/NAME.0.npy, ..."},
        {"expect", OPT_LIST, "NAME=FILE", &o.expect,
         "compare an output with a .npy or .pb; exit code 1 if it differs; repeatable"},
        {"check", OPT_FLAG, NULL, &o.check,
         "compare all outputs with the double-precision interpreter; exit code 1 if one differs"},
        {"reference", OPT_STR, "MODEL.onnx", &o.reference, "the same for a bundle: the ONNX file it was made from"},
        {"rtol", OPT_REAL, "R", &o.rtol, "relative tolerance of comparisons; 1e-3"},
        {"atol", OPT_REAL, "A", &o.atol, "absolute tolerance of comparisons; 1e-7"},
        {"stol", OPT_REAL, "S", &o.stol,
         "tolerance relative to the output's largest magnitude; 0, with f16 1e-2, with bf16 8e-2"},
        TUNING_OPT(o.tuning),
        PRECISION_OPTS(o.precision),
        {"seed", OPT_INT, "N", &o.seed, "of random inputs; 0"},
        DEVICE_OPT(o.device),
        {"profile", OPT_STR, "FILE.json", &o.profile, "device time of every kernel, as a trace for ui.perfetto.dev"},
        OPT_END,
    };
    StrList words = {0};
    int code;
    bool parsed = args_parse(self, opts, argc, argv, &words, &code);
    if (o.stol < 0) o.stol = precision_tolerance(&o.precision);
    if (parsed) code = args_words(self, &words, 1, 1, "a model") ? run_model(&o, words.at[0]) : EXIT_BAD;
    list_free(&words);
    list_free(&o.inputs);
    list_free(&o.dims);
    list_free(&o.expect);
    list_free(&o.precision.keep);
    return code;
}

const Command command_run = {
    "run", "MODEL(.onnx|.dlvk) [options]", "run a model once, write and check its outputs", run,
    "Runs a model once and prints name, type and shape of every output. An ONNX file is compiled in\n"
    "memory first. Inputs come from files or are made; one that is not mentioned is random, and a note\n"
    "says so. Random floats lie in [-1, 1), 8-bit integers in their whole range, and other integers,\n"
    "mostly indices and masks, are 0 or 1. The compilation of an ONNX file may use what the files hold:\n"
    "how long a sequence is, and axes where the model takes them from inputs.\n\n"
    "  dlvkc run model.dlvk --input pixels=cat.npy --output-dir out\n"
    "  dlvkc run model.onnx --dim batch=4 --dim seq=128 --input ids=zeros\n"
    "  dlvkc run model.dlvk --input x=input_0.pb --expect y=output_0.pb\n"
    "  dlvkc run model.onnx --check                      # against the interpreter\n"};
