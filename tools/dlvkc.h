/* What the commands of dlvkc share: options, console, models and inputs, comparison.
 *
 * Everything here is built on the public headers alone. Functions that can fail print their message and return false;
 * the command then returns EXIT_BAD. */
#ifndef DLVK_TOOLS_DLVKC_H
#define DLVK_TOOLS_DLVKC_H

#include "dlvk/compiler.h"
#include "dlvk/runtime.h"
#include "dlvk/train.h"
#include <stdio.h>
#include <yyjson.h>

enum { EXIT_OK = 0, EXIT_FAIL = 1, EXIT_BAD = 2 }; /* success; a comparison failed; bad input or a model not supported */

/* ---- options (args.c) ------------------------------------------------------------------------------------------- */

typedef struct StrList {
    const char **at;
    int n, cap;
} StrList;
void list_add(StrList *l, const char *s);
void list_free(StrList *l);

typedef enum OptKind {
    OPT_FLAG,
    OPT_STR,
    OPT_INT,
    OPT_REAL,
    OPT_BYTES,
    OPT_LIST
} OptKind; /* to: bool, const char *, int, double, uint64_t, StrList */
typedef struct Opt {
    const char *name; /* without dashes; one letter: a short option */
    OptKind kind;
    const char *metavar; /* "FILE"; NULL for flags */
    void *to;
    const char *help;
} Opt;
#define OPT_END                                                                                                                  \
    {                                                                                                                            \
        NULL, OPT_FLAG, NULL, NULL, NULL                                                                                         \
    }

typedef struct Command {
    const char *name, *args, *summary;
    int (*run)(const struct Command *self, int argc, char **argv);
    const char *text; /* for --help: what it does and examples; lines of at most 100 columns */
} Command;
extern const Command *const commands[]; /* ends with NULL; dlvkc.c */

/* Parses argv[0..argc). Words that are no options go to `words`. False: finished, *exit_code says how (--help, or a complaint).
 */
bool args_parse(const Command *c, const Opt *opts, int argc, char **argv, StrList *words, int *exit_code);
/* Complains unless there are between lo and hi words (hi -1: any number). */
bool args_words(const Command *c, const StrList *words, int lo, int hi, const char *what);
/* Of two names the number of edits that tell them apart: for "did you mean". */
int edit_distance(const char *a, const char *b);

/* ---- console (console.c) ---------------------------------------------------------------------------------------- */

typedef enum Colour { PLAIN, RED, GREEN, YELLOW, BOLD, DIM } Colour;
const char *colour(FILE *f, Colour c); /* "" unless f is a terminal and NO_COLOR is unset */
void error_say(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void note_say(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
double now_ms(void);
/* A status line on a terminal, from two seconds after the first call on; fits dlvk_compile_options.progress. */
void progress_show(void *user, const char *stage, int done, int total);
void progress_end(void);
char *text_format(const char *fmt, ...) __attribute__((format(printf, 1, 2))); /* to be freed; exits when out of memory */
void *must_alloc(size_t count, size_t size);                                   /* zeroed; exits when out of memory */
bool is_float(dlvk_dtype t);                                                   /* input.c */
const char *size_text(double bytes, char buf[32]);                             /* "1.5 MiB" */
const char *type_text(dlvk_dtype t, int rank, const int64_t *dim, const char *const *symbol, char *buf, size_t size);

/* ---- options of several commands; precision (precision.c) --------------------------------------------------------- */

typedef struct PrecisionArgs {
    const char *name; /* NULL: f32 */
    StrList keep;
    bool print;
} PrecisionArgs;
#define PRECISION_OPTS(p)                                                                                                        \
    {"precision", OPT_STR, "f32|f16|bf16", &(p).name,                                                                            \
     "type of values in memory, weights included; f32, the default: as the model says"},                                         \
        {"keep-f32", OPT_LIST, "PATTERN", &(p).keep,                                                                             \
         "nodes of such a name or operator (*, ? and [] as in a shell) stay f32; repeatable"},                                   \
    {                                                                                                                            \
        "print-policy", OPT_FLAG, NULL, &(p).print, "print which values are stored narrow, which are not, and why"               \
    }
#define DEVICE_OPT(to)                                                                                                           \
    {                                                                                                                            \
        "device", OPT_STR, "N|NAME", &(to), "number or part of the name, see `dlvkc devices`; otherwise the best"                \
    }
#define TUNING_OPT(to)                                                                                                           \
    {                                                                                                                            \
        "tuning", OPT_STR, "FILE", &(to), "of `dlvkc tune --file`, for this bundle; empty: not even the bundle's own"            \
    }
/* Puts them into o, which points into p from then on. */
dlvk_status precision_set(const PrecisionArgs *p, dlvk_compile_options *o, dlvk_error *err);
/* The options about the loss (loss.c), which several commands share. */
typedef struct LossArgs {
    const char *name, *ignore, *class_weights; /* name: never NULL */
    double smoothing, delta;                   /* 0: as the loss has it */
    float *weight;
} LossArgs;
#define LOSS_OPTS(l)                                                                                                             \
    {"loss", OPT_STR, "LOSS", &(l).name,                                                                                         \
     "cross-entropy (the default), mse, l1, huber, bce, nll, kl, or a model of yours that computes it:\nFILE.onnx"},             \
        {"ignore", OPT_STR, "CLASS", &(l).ignore, "cross-entropy, nll: targets of this class do not count"},                     \
        {"class-weights", OPT_STR, "W,W,...", &(l).class_weights, "cross-entropy, nll: what each class counts"},                 \
        {"label-smoothing", OPT_REAL, "S", &(l).smoothing, "cross-entropy: move S of every target to all classes alike"},        \
    {                                                                                                                            \
        "delta", OPT_REAL, "D", &(l).delta, "huber: where the square becomes a line; 1"                                          \
    }
/* Puts them into g, which points into l from then on; targets of classes are i64, others f32. False, with a message. */
bool loss_set(LossArgs *l, bool trains, dlvk_gradient_options *g);
void loss_free(LossArgs *l);
/* The tolerance of a comparison with float32, relative to a tensor's largest magnitude: 0, 1e-2 or 8e-2. */
double precision_tolerance(const PrecisionArgs *p);

/* ---- models and their inputs (model.c, input.c) ------------------------------------------------------------------ */

bool ends_with(const char *s, const char *end);
/* The model's path with another ending for .onnx or .dlvk; to be freed. */
char *path_beside(const char *model, const char *ending);
bool path_is_bundle(const char *path);
/* Opens a device and loads a bundle, or compiles an ONNX file in memory and loads that. */
typedef struct LoadedModel {
    dlvk_device *device; /* NULL at first: opened and owned by this; otherwise shared with the caller, who closes it */
    bool owns_device;
    dlvk_model *model;
    void *bundle; /* of a model compiled here, else NULL */
    size_t bundle_size;
    double compile_ms, load_ms;
    const dlvk_host_value *assumed; /* the caller's: values of inputs that a compilation may use; see compiler.h */
    int n_assumed;
    const PrecisionArgs *precision;        /* the caller's; NULL: f32 */
    const char *tuning;                    /* the caller's: a tuning file; NULL: what the bundle holds */
    const dlvk_gradient_options *gradient; /* the caller's: compile the model's gradient; NULL: the model */
    const dlvk_training_options *training; /* the caller's: compile its training; NULL */
} LoadedModel;
dlvk_status model_open(LoadedModel *m, const char *path, const char *device, int threads, dlvk_error *err);
/* The same, the compilation knowing the inputs that specs (NAME=FILE|random|zeros|ones) give by files. */
bool model_open_given(LoadedModel *m, const char *path, const char *device, const StrList *specs);
void model_close(LoadedModel *m);
/* A note if the self-test of kernels on matrix units has failed (dlvk_model_wrong_kernels()). */
void say_wrong_kernels(dlvk_model *m);

/* Values of inputs for a compilation, by name: those of NAME=FILE|random|zeros|ones that are files. */
typedef struct ValueSet {
    dlvk_host_value *at;
    int n;
} ValueSet;
bool values_read(ValueSet *set, const StrList *specs);
void values_free(ValueSet *set);

typedef struct InputSet {
    dlvk_host_tensor *at; /* one a model input, in the model's order */
    int n;
} InputSet;
/* Makes every input of the model: from `specs` (NAME=FILE|random|zeros|ones), and what no spec names as `otherwise`, with a
 * note (NULL otherwise: silently random). Sizes come from the files, then from `dims` (SYMBOL=N), then 1, with a note. */
bool inputs_make(InputSet *set, const dlvk_model *m, const StrList *specs, const StrList *dims, const char *otherwise,
                 uint64_t seed);
/* What ONNX's own runner feeds the light models: element i of n is i/n. */
bool inputs_light(InputSet *set, const dlvk_model *m);
/* The inputs as the model declares them: views, *values to be freed with free(). */
int inputs_values(const InputSet *set, const dlvk_model *m, dlvk_host_value **values);
bool inputs_set(const InputSet *set, dlvk_session *s, dlvk_error *err);
void inputs_free(InputSet *set);

/* ---- what is written (output.c) ----------------------------------------------------------------------------------- */

/* Output i of the last run, as a host tensor with the output's name. */
dlvk_status output_read(dlvk_session *s, int i, dlvk_host_tensor *t, dlvk_error *err);
/* Writes DIR/NAME.npy, slashes in the name as underscores. */
bool output_write(const char *dir, const char *name, const dlvk_host_tensor *t);
bool dir_make(const char *dir);                                   /* unless it is there */
bool file_write(const char *path, const void *data, size_t size); /* dlvk_file_write, with a message */
/* JSON, and frees the document. Bytes of names that are no UTF-8 are U+FFFD. */
char *json_text(yyjson_mut_doc *doc);
bool json_write(const char *path, yyjson_mut_doc *doc);

/* ---- comparison (compare.c) ------------------------------------------------------------------------------------- */

/* The largest magnitude of a tensor's finite elements. */
double tensor_scale(const dlvk_host_tensor *t);
/* numpy.allclose: |got - want| <= atol + rtol * |want|, NaN equal to NaN; type and shape must agree. False: `why` says what
 * differs and names the worst element. */
bool tensor_compare(const dlvk_host_tensor *got, const dlvk_host_tensor *want, double rtol, double atol, char *why, size_t size);
/* The same for the data of ONNX's suite, which stores bfloat16 as the integers of the same bits, and compares those: a value one
 * unit in the last place off will do. (The suite allows 1e-3 of the integer, up to 32 units.) */
bool tensor_compare_stored(const dlvk_host_tensor *got, const dlvk_host_tensor *want, double rtol, double atol, char *why,
                           size_t size);
/* For outputs that depend on random numbers, whose values may be others: type and shape must agree; where `want` is finite
 * everywhere `got` is, too; and DLVK_RANDOM_BITS are zeros and ones. Types are as tensor_compare_stored() takes them. */
bool tensor_compare_random(const dlvk_host_tensor *got, const dlvk_host_tensor *want, dlvk_chance chance, char *why, size_t size);
/* Whether a value that was read is of the kind and length of the model's. An optional's value is read as a sequence of one. */
bool value_fits(const dlvk_value_info *info, const dlvk_host_value *v, char *why, size_t size);

#endif
