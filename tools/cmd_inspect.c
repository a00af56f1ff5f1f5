/* dlvkc inspect: what is in a bundle, in words or as JSON. */
#include "tools/commands.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <yyjson.h>

/* Numbers stand as they are; what depends on sizes is a text. */
static double number(yyjson_val *v)
{
    return yyjson_is_num(v) ? yyjson_get_num(v) : -1;
}

static const char *text(yyjson_val *o, const char *key)
{
    const char *s = yyjson_get_str(yyjson_obj_get(o, key));
    return s ? s : "";
}

static void print_value(yyjson_val *v)
{
    if (yyjson_is_str(v))
        printf("%s", yyjson_get_str(v));
    else
        printf("%" PRId64, yyjson_get_sint(v));
}

static void print_list(yyjson_val *list, const char *separator)
{
    size_t i, n;
    yyjson_val *v;
    yyjson_arr_foreach(list, i, n, v)
    {
        if (i) printf("%s", separator);
        print_value(v);
    }
}

/* The heading stands before the first line of a section. */
static void heading(const char *name, size_t line)
{
    printf("%s%-12s%s", colour(stdout, BOLD), line ? "" : name, colour(stdout, PLAIN));
}

/* Sequences and empty optionals; what the tensors in them are stands among the inputs and outputs. */
static void print_values(yyjson_val *root, const char *key)
{
    size_t i, n, line = 0;
    yyjson_val *v;
    yyjson_arr_foreach(yyjson_obj_get(root, key), i, n, v)
    {
        if (!strcmp(text(v, "kind"), "tensor")) continue;
        heading(line ? "" : "sequences", line);
        line++;
        printf("%s: %s", key[0] == 'i' ? "input" : "output", text(v, "name"));
        int64_t count = yyjson_get_sint(yyjson_obj_get(v, "count"));
        if (!strcmp(text(v, "kind"), "none"))
            printf(" is an optional without a value\n");
        else
            printf(" is a sequence of %" PRId64 "\n", count);
    }
}

static void print_tensors(yyjson_val *root, const char *key)
{
    size_t i, n;
    yyjson_val *t;
    yyjson_arr_foreach(yyjson_obj_get(root, key), i, n, t)
    {
        heading(key, i);
        printf("%s %s[", text(t, "name"), text(t, "type"));
        print_list(yyjson_obj_get(t, "shape"), ",");
        printf("]\n");
    }
}

static void print_sizes(yyjson_val *root)
{
    size_t i, n;
    yyjson_val *v;
    yyjson_arr_foreach(yyjson_obj_get(root, "symbols"), i, n, v)
    {
        heading("symbols", i);
        printf("%s", text(v, "name"));
        int64_t lo = yyjson_get_sint(yyjson_obj_get(v, "lo")), hi = yyjson_get_sint(yyjson_obj_get(v, "hi"));
        if (lo > 0) printf(", at least %" PRId64, lo);
        if (hi < INT32_MAX) printf(", at most %" PRId64, hi);
        printf("%s\n", yyjson_get_bool(yyjson_obj_get(v, "data")) ? ", known once the model has computed it" : "");
    }
    yyjson_arr_foreach(yyjson_obj_get(root, "constraints"), i, n, v)
    {
        heading("constraints", i);
        print_value(yyjson_obj_get(v, "left"));
        printf(" %s ", text(v, "relation"));
        print_value(yyjson_obj_get(v, "right"));
        printf("  (%s)\n", text(v, "why"));
    }
}

static void print_tunings(yyjson_val *root)
{
    size_t i, n, k, sizes;
    yyjson_val *t, *name, *v;
    yyjson_arr_foreach(yyjson_obj_get(root, "tunings"), i, n, t)
    {
        heading("tuned for", i);
        printf("%s: %" PRId64 " kernels", text(t, "device"), yyjson_get_sint(yyjson_obj_get(t, "kernels")));
        yyjson_obj_foreach(yyjson_obj_get(t, "sizes"), k, sizes, name, v)
            printf("%s%s=%" PRId64, k ? ", " : ", where ", yyjson_get_str(name), yyjson_get_sint(v));
        printf("\n");
    }
}

/* Steps in which the host takes part, in the order of the program. */
static void print_host_steps(yyjson_val *steps, size_t *line)
{
    static const char *const kinds[][2] = {
        {"host", "computes"}, {"if", "branches"}, {"loop", "loops"}, {"read_dims", "reads sizes"}};
    static const char *const inner[] = {"then", "else", "body"};
    size_t i, n;
    yyjson_val *s;
    yyjson_arr_foreach(steps, i, n, s)
    {
        for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++) {
            yyjson_val *what = yyjson_obj_get(s, kinds[k][0]);
            if (!what) continue;
            heading("host steps", (*line)++);
            printf("%" PRId64 ": %s", yyjson_get_sint(yyjson_obj_get(s, "step")), kinds[k][1]);
            if (k == 0) printf(" %s", yyjson_get_str(what));
            yyjson_val *nodes = yyjson_obj_get(s, "nodes");
            if (yyjson_arr_size(nodes)) printf(" for ");
            print_list(nodes, ", ");
            printf("\n");
        }
        for (size_t k = 0; k < sizeof inner / sizeof *inner; k++) print_host_steps(yyjson_obj_get(s, inner[k]), line);
    }
}

static void print_variants(yyjson_val *variants)
{
    size_t i, n;
    yyjson_val *v;
    yyjson_arr_foreach(variants, i, n, v)
    {
        if (i) printf(" | ");
        yyjson_val *features = yyjson_obj_get(v, "features");
        if (!yyjson_arr_size(features)) printf("any");
        print_list(features, "+");
    }
}

static void print_kernels(yyjson_val *kernels)
{
    size_t i, n;
    yyjson_val *k;
    if (yyjson_arr_size(kernels)) printf("\n%6s %10s %10s  %s\n", "step", "MFLOP", "MB", "kernel (variants; nodes)");
    yyjson_arr_foreach(kernels, i, n, k)
    {
        double flops = number(yyjson_obj_get(k, "flops")), bytes = number(yyjson_obj_get(k, "bytes"));
        printf("%6" PRId64, yyjson_get_sint(yyjson_obj_get(k, "step")));
        if (flops >= 0)
            printf(" %10.3f", flops * 1e-6);
        else
            printf(" %10s", "by size");
        if (bytes >= 0)
            printf(" %10.3f", bytes * 1e-6);
        else
            printf(" %10s", "by size");
        printf("  %s%s%s (", colour(stdout, BOLD), text(k, "name"), colour(stdout, PLAIN));
        print_variants(yyjson_obj_get(k, "variants"));
        printf("; ");
        print_list(yyjson_obj_get(k, "nodes"), ", ");
        printf(")\n");
    }
}

static void print_program(yyjson_val *root)
{
    char a[32], b[32];
    size_t i, n, line = 0;
    yyjson_val *memory = yyjson_obj_get(root, "memory"), *kernels = yyjson_obj_get(root, "kernels"), *k;
    yyjson_val *arena = yyjson_obj_get(memory, "arena");
    if (*text(root, "name")) heading("program", 0), printf("%s\n", text(root, "name"));
    print_tensors(root, "inputs");
    print_tensors(root, "outputs");
    print_values(root, "input_values");
    print_values(root, "output_values");
    print_tensors(root, "states");
    print_sizes(root);
    print_tunings(root);
    heading("memory", 0);
    printf("weights %s, arena %s\n", size_text(number(yyjson_obj_get(memory, "weights")), a),
           arena ? size_text(number(arena), b) : "by the inputs' sizes");
    double flops = 0;
    bool fixed = true;
    yyjson_arr_foreach(kernels, i, n, k)
    {
        double f = number(yyjson_obj_get(k, "flops"));
        flops += f;
        fixed = fixed && f >= 0;
    }
    heading("work", 0);
    printf("%zu kernels from %zu modules", yyjson_arr_size(kernels), yyjson_arr_size(yyjson_obj_get(root, "modules")));
    if (fixed)
        printf(", %.3f GFLOP\n", flops * 1e-9);
    else
        printf(", FLOP by the inputs' sizes\n");
    int64_t prepared = yyjson_get_sint(yyjson_obj_get(root, "prepared"));
    if (prepared) {
        heading("prepared", 0);
        printf("steps before %" PRId64 " depend on sizes alone: they run once for the same sizes\n", prepared);
    }
    print_host_steps(yyjson_obj_get(root, "program"), &line);
    if (!line) heading("host steps", 0), printf("none: a run is one submission\n");
    print_kernels(kernels);
}

static void print_summary(yyjson_val *root)
{
    char size[32];
    size_t i, n;
    yyjson_val *further;
    heading("model", 0);
    printf("%s, %s, made by %s\n", *text(root, "model") ? text(root, "model") : "(no name)",
           size_text(number(yyjson_obj_get(root, "file_bytes")), size), text(root, "producer"));
    print_program(root);
    yyjson_arr_foreach(yyjson_obj_get(root, "programs"), i, n, further)
    {
        printf("\n");
        print_program(further);
    }
}

static dlvk_status describe(const char *path, const ValueSet *assumed, char **json, dlvk_error *err)
{
    if (path_is_bundle(path)) return dlvk_bundle_describe(path, json, err);
    dlvk_compile_options o = DLVK_COMPILE_OPTIONS_INIT;
    o.progress = progress_show;
    o.assumed = assumed->at;
    o.n_assumed = assumed->n;
    void *bundle = NULL;
    size_t size;
    dlvk_status s = dlvk_compile_file_to_memory(path, &bundle, &size, &o, err);
    progress_end();
    if (!s) s = dlvk_bundle_describe_memory(bundle, size, json, err);
    dlvk_free(bundle);
    return s;
}

static int run(const Command *self, int argc, char **argv)
{
    bool as_json = false;
    StrList words = {0}, assume = {0};
    ValueSet assumed = {0};
    const Opt opts[] = {
        {"json", OPT_FLAG, NULL, &as_json, "everything, as JSON"},
        {"assume", OPT_LIST, "NAME=FILE", &assume, "of an ONNX file: as `dlvkc compile`; repeatable"},
        OPT_END,
    };
    int code;
    char *json = NULL;
    dlvk_error err;
    if (args_parse(self, opts, argc, argv, &words, &code)) {
        code = EXIT_BAD;
        if (args_words(self, &words, 1, 1, "a bundle or model") && values_read(&assumed, &assume)) {
            if (describe(words.at[0], &assumed, &json, &err))
                error_say("%s", err.text);
            else
                code = EXIT_OK;
        }
    }
    values_free(&assumed);
    list_free(&assume);
    list_free(&words);
    if (json && as_json) fputs(json, stdout);
    if (json && !as_json) {
        yyjson_doc *doc = yyjson_read(json, strlen(json), 0);
        if (doc) print_summary(yyjson_doc_get_root(doc));
        yyjson_doc_free(doc);
    }
    free(json);
    return code;
}

const Command command_inspect = {
    "inspect", "MODEL(.dlvk|.onnx) [--json]", "show what is in a bundle", run,
    "Shows a bundle's inputs and outputs, the symbols and constraints of their sizes, memory, the steps\n"
    "in which the host takes part, and each kernel with its arithmetic, the memory it moves, the device\n"
    "features of its variants in order of preference, and the model nodes it came from. An ONNX file is\n"
    "compiled in memory first. No device is needed.\n\n"
    "  dlvkc inspect model.dlvk\n"
    "  dlvkc inspect model.onnx --json | jq '.kernels[].name'\n"};
