/* dlvkc classify: how well a model tells labelled images apart. */
#include "tools/commands.h"
#include "tools/dataset.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

typedef struct ClassifyOptions {
    const char *data, *part, *device, *names;
    int batch;
    double mean, deviation;
    bool json;
} ClassifyOptions;

/* counts[true class * classes + class given] */
typedef struct Confusion {
    int classes;
    int64_t *counts, total, correct;
} Confusion;

/* Runs one batch and counts what its first output says: a row of scores for each image. */
static bool classify_batch(dlvk_session *s, const Dataset *d, int64_t from, int64_t n, Confusion *c)
{
    dlvk_host_tensor y;
    dlvk_error err;
    bool ok = !dlvk_session_run(s, &err) && !output_read(s, 0, &y, &err);
    if (!ok) {
        error_say("%s", err.text);
        return false;
    }
    ok = y.rank == 2 && y.dim[0] == n && y.dim[1] >= d->classes;
    if (!ok) error_say("the first output '%s' is no row of at least %d scores for each image", y.name, d->classes);
    int64_t width = ok ? y.dim[1] : 0;
    if (ok && !c->counts) {
        c->classes = (int)width;
        c->counts = must_alloc((size_t)(width * width), sizeof *c->counts);
    }
    for (int64_t i = 0; ok && i < n; i++) {
        int64_t best = 0;
        for (int64_t k = 1; k < width; k++)
            if (dlvk_host_tensor_get(&y, i * width + k) > dlvk_host_tensor_get(&y, i * width + best)) best = k;
        c->counts[d->labels[from + i] * width + best]++;
        c->correct += best == d->labels[from + i];
        c->total++;
    }
    dlvk_host_tensor_free(&y);
    return ok;
}

static bool classify_all(const ClassifyOptions *o, const LoadedModel *m, const Dataset *d, Confusion *c)
{
    static const char *const none[] = {NULL};
    ImageInput in;
    dlvk_session *s = NULL;
    dlvk_error err;
    if (!image_input_find(&in, m->model, d, none, o->mean, o->deviation)) return false;
    int64_t batch = in.batch > 0 ? in.batch : o->batch, *index = must_alloc((size_t)batch, sizeof *index);
    void *pixels = must_alloc((size_t)(batch * d->size), in.element);
    bool ok = !dlvk_session_create(m->model, &s, &err);
    if (!ok) error_say("%s", err.text);
    for (int64_t from = 0; ok && from < d->count; from += batch) {
        int64_t n = d->count - from < batch ? d->count - from : batch;
        if (n < batch && in.batch > 0) {
            note_say("the model fixes the batch to %" PRId64 ": the last %" PRId64 " images are left out", batch, n);
            break;
        }
        for (int64_t i = 0; i < n; i++) index[i] = from + i;
        image_input_fill(&in, d, index, n, pixels);
        ok = !image_input_set(&in, s, n, d, pixels, &err);
        if (!ok)
            error_say("%s", err.text);
        else
            ok = classify_batch(s, d, from, n, c);
    }
    dlvk_session_free(s);
    free(index);
    free(pixels);
    return ok;
}

/* Name k of a list with commas; its number where the list is too short. */
static void class_name(const char *names, int k, char *buf, size_t size)
{
    const char *at = names;
    for (int i = 0; at && i < k; i++) at = (at = strchr(at, ',')) ? at + 1 : NULL;
    if (at && *at)
        snprintf(buf, size, "%.*s", (int)strcspn(at, ","), at);
    else
        snprintf(buf, size, "%d", k);
}

static void print_text(const ClassifyOptions *o, const Confusion *c)
{
    int shown = c->classes, width = 1;
    char name[40];
    while (shown > 0) { /* classes that never occur at the end are left out */
        bool used = false;
        for (int k = 0; k < c->classes; k++)
            used |= c->counts[(shown - 1) * c->classes + k] || c->counts[k * c->classes + shown - 1];
        if (used) break;
        shown--;
    }
    for (int i = 0; i < shown; i++) {
        class_name(o->names, i, name, sizeof name);
        if ((int)strlen(name) > width) width = (int)strlen(name);
    }
    printf("accuracy %.4f (%" PRId64 " of %" PRId64 ")\n", (double)c->correct / (double)c->total, c->correct, c->total);
    if (shown > 40) return;
    printf("\nrows: what it is; columns: what the model takes it for\n%*s", width, "");
    for (int k = 0; k < shown; k++) printf(" %5d", k);
    putchar('\n');
    for (int i = 0; i < shown; i++) {
        class_name(o->names, i, name, sizeof name);
        printf("%*s", width, name);
        for (int k = 0; k < shown; k++) {
            const char *on = i == k ? colour(stdout, BOLD) : "", *off = i == k ? colour(stdout, PLAIN) : "";
            printf(" %s%5" PRId64 "%s", on, c->counts[i * c->classes + k], off);
        }
        putchar('\n');
    }
}

static void print_json(const Confusion *c)
{
    printf("{\"accuracy\": %.9g, \"correct\": %" PRId64 ", \"total\": %" PRId64 ", \"confusion\": [",
           (double)c->correct / (double)c->total, c->correct, c->total);
    for (int i = 0; i < c->classes; i++) {
        printf("%s[", i ? ", " : "");
        for (int k = 0; k < c->classes; k++) printf("%s%" PRId64, k ? ", " : "", c->counts[i * c->classes + k]);
        putchar(']');
    }
    printf("]}\n");
}

static bool classify(const ClassifyOptions *o, const char *path)
{
    Dataset d;
    LoadedModel m = {0};
    Confusion c = {0};
    dlvk_error err;
    if (!dataset_read(o->data, o->part, &d)) return false;
    bool ok = !model_open(&m, path, o->device, 0, &err);
    if (!ok) error_say("%s", err.text);
    ok = ok && classify_all(o, &m, &d, &c);
    if (ok && !c.total) {
        error_say("there is not one whole batch of images");
        ok = false;
    }
    if (ok && o->json)
        print_json(&c);
    else if (ok)
        print_text(o, &c);
    free(c.counts);
    model_close(&m);
    dataset_free(&d);
    return ok;
}

static int run(const Command *self, int argc, char **argv)
{
    ClassifyOptions o = {.part = "t10k", .batch = 250, .deviation = 1};
    StrList words = {0};
    int code;
    const Opt opts[] = {
        {"data", OPT_STR, "DIR", &o.data, "IDX files: PART-images-idx3-ubyte and PART-labels-idx1-ubyte, with or without .gz"},
        {"part", OPT_STR, "PART", &o.part, "t10k (the default) or train"},
        {"names", OPT_STR, "A,B,...", &o.names, "names of the classes, for the table"},
        {"batch", OPT_INT, "N", &o.batch, "images a run; 250"},
        {"mean", OPT_REAL, "X", &o.mean, "inputs are (pixel / 255 - mean) / std; 0"},
        {"std", OPT_REAL, "X", &o.deviation, "see --mean; 1"},
        {"json", OPT_FLAG, NULL, &o.json, "accuracy and table as JSON"},
        DEVICE_OPT(o.device),
        OPT_END,
    };
    bool ok = args_parse(self, opts, argc, argv, &words, &code);
    if (ok) {
        ok = args_words(self, &words, 1, 1, "the model");
        if (ok && (!o.data || o.batch < 1 || o.deviation <= 0)) {
            error_say(!o.data ? "--data is missing: a folder with IDX files" : "--batch is at least 1, --std above 0");
            ok = false;
        }
        code = ok && classify(&o, words.at[0]) ? EXIT_OK : EXIT_BAD;
    }
    list_free(&words);
    return code;
}

const Command command_classify = {
    "classify", "MODEL --data DIR [options]", "how well a model tells labelled images apart", run,
    "Runs a bundle or an ONNX file over labelled images; prints how many the first output gives the highest score\n"
    "to the right class, and which classes are taken for which.\n\n"
    "  dlvkc classify lenet.dlvk --data /usr/share/datasets/fashion-mnist\n"};
