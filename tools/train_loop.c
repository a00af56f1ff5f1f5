/* The epochs of dlvkc train: batches in, losses out; see train.h. */
#include "tools/train.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    LR_FALL = 2
}; /* the inverse schedule: after an epoch the rate is 1 / (1 + this) of what it was, after two 1 / (1 + 2 this) */

double train_lr(const TrainOptions *o, int64_t step, int64_t steps_per_epoch, int64_t total)
{
    if (step < o->warmup) return o->lr * (double)(step + 1) / o->warmup;
    double epoch = (double)(step / steps_per_epoch), every = o->lr_every > 0 ? o->lr_every : 1;
    double part = total > o->warmup ? (double)(step - o->warmup) / (double)(total - o->warmup) : 0;
    switch (o->schedule) {
    case LR_STEP: return fmax(o->lr * pow(o->lr_gamma, floor(epoch / every)), o->lr_min);
    case LR_EXPONENTIAL: return fmax(o->lr * pow(o->lr_gamma, epoch), o->lr_min);
    case LR_LINEAR: return o->lr + (o->lr_min - o->lr) * part;
    case LR_COSINE: return o->lr_min + (o->lr - o->lr_min) * (1 + cos(3.14159265358979323846 * part)) / 2;
    default: return o->lr;
    }
}

/* Targets: class numbers, or a row of scores for each image. */
typedef struct Target {
    const char *name;
    dlvk_dtype dtype;
    int rank;
    int64_t width; /* of a row; 0: class numbers */
} Target;

typedef struct Trainer {
    const TrainOptions *o;
    dlvk_device *device;
    dlvk_model *model, *evaluate_model;
    dlvk_session *train, *evaluate;
    Dataset data, val;
    ImageInput image;
    Target target;
    bool seeded, fixed;   /* the step takes a seed; the model fixes the batch */
    int64_t batch, steps; /* in an epoch */
    int64_t *order;
    void *pixels, *targets; /* of the batch in preparation */
    dlvk_error err;
} Trainer;

static bool failed(Trainer *t, dlvk_status s)
{
    if (s) error_say("%s", t->err.text);
    return s != DLVK_OK;
}

/* ---- setting up ---- */

static bool has_input(const dlvk_model *m, const char *name, dlvk_tensor_info *info)
{
    for (int i = 0; i < dlvk_model_inputs(m); i++)
        if (!dlvk_model_input(m, i, info) && !strcmp(info->name, name)) return true;
    return false;
}

static bool has_output(const dlvk_model *m, const char *name)
{
    dlvk_tensor_info info;
    for (int i = 0; i < dlvk_model_outputs(m); i++)
        if (!dlvk_model_output(m, i, &info) && !strcmp(info.name, name)) return true;
    return false;
}

/* The input for the labels: of a loss in a file, the one that is not the model's, which come first. */
static const char *target_name(const Trainer *t)
{
    dlvk_tensor_info info;
    const char *name = NULL;
    if (!t->o->training.loss.loss_model) return "target";
    for (int i = 1; i < dlvk_model_inputs(t->model); i++)
        if (!dlvk_model_input(t->model, i, &info) && strcmp(info.name, "lr") && strcmp(info.name, "seed")) name = info.name;
    return name ? name : "target";
}

/* How labels become targets: the program's input says. */
static bool target_find(Trainer *t)
{
    dlvk_tensor_info info;
    char type[256];
    const dlvk_gradient_options *loss = &t->o->training.loss;
    if (!has_input(t->model, t->target.name, &info)) {
        error_say("the loss has no target, but the data has labels");
        return false;
    }
    bool classes = loss->loss_model ? !is_float(info.dtype) && info.rank == 1
                                    : loss->loss == DLVK_LOSS_CROSS_ENTROPY || loss->loss == DLVK_LOSS_NLL;
    bool fits = info.rank == (classes ? 1 : 2) || (!classes && info.rank == 1);
    int64_t width = classes || info.rank == 1 ? 1 : info.dim[1];
    if (!fits || width < 1) {
        error_say("%s does not take labels: its targets are %s", loss->loss_model ? "the loss" : "the model's first output",
                  type_text(info.dtype, info.rank, info.dim, info.symbol, type, sizeof type));
        return false;
    }
    t->target.dtype = info.dtype;
    t->target.rank = info.rank;
    t->target.width = classes ? 0 : width;
    return true;
}

/* Every label must be one of the model's classes. */
static bool labels_check(const Dataset *d, int64_t classes, const char *what)
{
    for (int64_t i = 0; classes > 0 && i < d->count; i++)
        if (d->labels[i] >= classes) {
            error_say("the %s data: label %" PRId64 " is %d; the model has %" PRId64 " classes", what, i, d->labels[i], classes);
            return false;
        }
    return true;
}

/* Classes: the width of the model's first output, which the evaluation has under its own name. */
static int64_t model_classes(const Trainer *t)
{
    dlvk_tensor_info info;
    if (t->target.width) return t->target.width > 1 ? t->target.width : 0;
    for (int i = 0; i < dlvk_model_outputs(t->evaluate_model); i++)
        if (!dlvk_model_output(t->evaluate_model, i, &info) && strcmp(info.name, "loss") && strcmp(info.name, "correct"))
            return info.rank == 2 ? info.dim[1] : 0;
    return 0;
}

static bool load(Trainer *t)
{
    dlvk_compile_options co = DLVK_COMPILE_OPTIONS_INIT;
    dlvk_load_options lo = DLVK_LOAD_OPTIONS_INIT;
    void *bundle = NULL;
    size_t size;
    co.progress = progress_show;
    lo.cache = "";
    bool ok = !failed(t, precision_set(&t->o->precision, &co, &t->err)) &&
              !failed(t, dlvk_device_open(t->o->device, &t->device, &t->err));
    if (ok) co.device = dlvk_device_get_info(t->device);
    ok = ok && !failed(t, dlvk_compile_training_to_memory(t->o->model, &bundle, &size, &t->o->training, &co, &t->err));
    progress_end();
    ok = ok && !failed(t, dlvk_model_load_memory(t->device, bundle, size, &lo, &t->model, &t->err)) &&
         !failed(t, dlvk_session_create(t->model, &t->train, &t->err)) &&
         !failed(t, dlvk_model_program(t->model, "evaluate", &t->evaluate_model, &t->err)) &&
         !failed(t, dlvk_session_create_with(t->evaluate_model, t->train, &t->evaluate, &t->err));
    dlvk_free(bundle);
    return ok;
}

static bool prepare(Trainer *t)
{
    const TrainOptions *o = t->o;
    dlvk_tensor_info info;
    if (!load(t)) return false;
    t->target.name = target_name(t);
    const char *const others[] = {t->target.name, "lr", "seed", NULL};
    if (!image_input_find(&t->image, t->model, &t->data, others, o->mean, o->deviation) || !target_find(t)) return false;
    t->seeded = has_input(t->model, "seed", &info);
    t->fixed = t->image.batch > 0;
    t->batch = o->batch ? o->batch : t->fixed ? t->image.batch : TRAIN_BATCH;
    if (t->fixed && t->batch != t->image.batch) {
        error_say("the model fixes the batch to %" PRId64 "; --batch %d does not fit", t->image.batch, o->batch);
        return false;
    }
    if (t->batch > t->data.count) {
        error_say("a batch of %" PRId64 " is more than the %" PRId64 " images there are", t->batch, t->data.count);
        return false;
    }
    int64_t classes = model_classes(t);
    if (!labels_check(&t->data, classes, "training") || !labels_check(&t->val, classes, "validation")) return false;
    t->steps = t->fixed ? t->data.count / t->batch : (t->data.count + t->batch - 1) / t->batch;
    t->order = must_alloc((size_t)(t->data.count > t->val.count ? t->data.count : t->val.count), sizeof *t->order);
    t->pixels = must_alloc((size_t)(t->batch * t->data.size), t->image.element);
    t->targets = must_alloc((size_t)(t->batch * (t->target.width ? t->target.width : 1)), 8);
    return true;
}

static void trainer_free(Trainer *t)
{
    dlvk_session_free(t->evaluate);
    dlvk_session_free(t->train);
    say_wrong_kernels(t->model);
    dlvk_model_free(t->model);
    dlvk_device_close(t->device);
    dataset_free(&t->data);
    dataset_free(&t->val);
    free(t->order);
    free(t->pixels);
    free(t->targets);
}

/* ---- batches ---- */

static void batch_fill(Trainer *t, const Dataset *d, const int64_t *index, int64_t n)
{
    int64_t width = t->target.width ? t->target.width : 1;
    dlvk_host_tensor target = {.dtype = t->target.dtype, .rank = 1, .dim = {n * width}, .data = t->targets};
    target.bytes = dlvk_dtype_size(target.dtype, (size_t)(n * width));
    image_input_fill(&t->image, d, index, n, t->pixels);
    for (int64_t i = 0; i < n; i++)
        for (int64_t k = 0; k < width; k++) {
            int label = d->labels[index[i]];
            dlvk_host_tensor_set(&target, i * width + k, width > 1 ? label == k : label);
        }
}

static bool batch_set(Trainer *t, dlvk_session *s, const Dataset *d, int64_t n)
{
    int64_t dim[] = {n, t->target.width};
    size_t count = (size_t)(n * (t->target.width ? t->target.width : 1));
    return !failed(t, image_input_set(&t->image, s, n, d, t->pixels, &t->err)) &&
           !failed(t, dlvk_session_set_input(s, t->target.name, dim, t->target.rank, t->targets,
                                             dlvk_dtype_size(t->target.dtype, count), &t->err));
}

static bool read_float(Trainer *t, dlvk_session *s, const char *name, double *v)
{
    float x;
    if (failed(t, dlvk_session_get_output(s, name, &x, sizeof x, &t->err))) return false;
    *v = (double)x;
    return true;
}

static void report_progress(const Trainer *t, int epoch, int64_t step, double loss, double ms)
{
    if (!isatty(STDERR_FILENO)) return;
    double rate = ms > 0 ? (double)((step + 1) * t->batch) / ms * 1e3 : 0;
    fprintf(stderr, "\r\033[Kepoch %d of %d: %" PRId64 " of %" PRId64 " batches, loss %.4f, %.0f images/s", epoch, t->o->epochs,
            step + 1, t->steps, loss, rate);
}

/* While the device is at one batch, the host makes the next. */
static bool train_epoch(Trainer *t, EpochResult *r)
{
    const TrainOptions *o = t->o;
    double sum = 0, weight = 0, start = now_ms(), shown = start;
    dataset_shuffle(t->order, t->data.count, (uint64_t)o->seed, r->epoch);
    batch_fill(t, &t->data, t->order, t->batch);
    for (int64_t i = 0; i < t->steps; i++) {
        int64_t from = i * t->batch, n = t->data.count - from < t->batch ? t->data.count - from : t->batch, next = from + n;
        int64_t step = (r->epoch - 1) * t->steps + i;
        uint64_t seed = (uint64_t)o->seed;
        double loss;
        bool done;
        r->lr = train_lr(o, step, t->steps, o->epochs * t->steps);
        float lr = (float)r->lr;
        if (!batch_set(t, t->train, &t->data, n) ||
            failed(t, dlvk_session_set_input(t->train, "lr", NULL, 0, &lr, sizeof lr, &t->err)))
            return false;
        if (t->seeded && failed(t, dlvk_session_set_input(t->train, "seed", NULL, 0, &seed, sizeof seed, &t->err))) return false;
        if (failed(t, dlvk_session_submit(t->train, &t->err))) return false;
        int64_t following = t->data.count - next < t->batch ? t->data.count - next : t->batch;
        if (i + 1 < t->steps) batch_fill(t, &t->data, t->order + next, following);
        if (failed(t, dlvk_session_wait(t->train, UINT64_MAX, &done, &t->err)) || !read_float(t, t->train, "loss", &loss))
            return false;
        sum += loss * (double)n;
        weight += (double)n;
        if (now_ms() - shown > 200) {
            shown = now_ms();
            report_progress(t, r->epoch, i, sum / weight, shown - start);
        }
    }
    if (isatty(STDERR_FILENO)) fprintf(stderr, "\r\033[K");
    r->train_loss = sum / weight;
    if (isfinite(r->train_loss)) return true;
    note_say("the loss of epoch %d is no number any more: a smaller learning rate may help", r->epoch);
    return true;
}

/* ---- validation ---- */

/* Of rows of scores (or single ones, for two classes: logits), how many agree with the labels. */
static bool count_correct(Trainer *t, const int64_t *index, int64_t n, double *correct)
{
    dlvk_host_tensor y = {0};
    bool ok = false;
    for (int i = 0; i < dlvk_model_outputs(t->evaluate_model) && !ok; i++) {
        if (failed(t, output_read(t->evaluate, i, &y, &t->err))) return false;
        ok = strcmp(y.name, "loss") != 0;
        if (!ok) dlvk_host_tensor_free(&y);
    }
    for (int64_t i = 0; ok && i < n; i++) {
        int64_t width = t->target.width ? t->target.width : model_classes(t), best = 0;
        if (width == 1) {
            *correct += (dlvk_host_tensor_get(&y, i) > 0) == (t->val.labels[index[i]] != 0);
            continue;
        }
        for (int64_t k = 1; k < width; k++)
            if (dlvk_host_tensor_get(&y, i * width + k) > dlvk_host_tensor_get(&y, i * width + best)) best = k;
        *correct += best == t->val.labels[index[i]];
    }
    dlvk_host_tensor_free(&y);
    return true;
}

static bool validate(Trainer *t, EpochResult *r)
{
    double loss = 0, correct = 0;
    int64_t seen = 0;
    bool told = has_output(t->evaluate_model, "correct"),
         counts = told || t->target.width > 1 || model_classes(t) > 1 || t->o->training.loss.loss == DLVK_LOSS_BCE;
    r->val_loss = r->val_accuracy = NAN;
    for (int64_t i = 0; i < t->val.count; i++) t->order[i] = i;
    for (int64_t from = 0; from < t->val.count; from += t->batch) {
        int64_t n = t->val.count - from < t->batch ? t->val.count - from : t->batch;
        double batch_loss;
        if (n < t->batch && t->fixed) break;
        batch_fill(t, &t->val, t->order + from, n);
        if (!batch_set(t, t->evaluate, &t->val, n) || failed(t, dlvk_session_run(t->evaluate, &t->err)) ||
            !read_float(t, t->evaluate, "loss", &batch_loss))
            return false;
        loss += batch_loss * (double)n;
        int32_t right = 0;
        if (told && failed(t, dlvk_session_get_output(t->evaluate, "correct", &right, sizeof right, &t->err))) return false;
        if (told) correct += right;
        if (!told && counts && !count_correct(t, t->order + from, n, &correct)) return false;
        seen += n;
    }
    if (!seen) return true;
    r->val_loss = loss / (double)seen;
    if (counts) r->val_accuracy = correct / (double)seen;
    return true;
}

/* ---- the whole ---- */

static void report_epoch(const Trainer *t, const EpochResult *r)
{
    if (t->o->json) {
        printf("{\"epoch\": %d, \"train_loss\": %.9g", r->epoch, r->train_loss);
        if (!isnan(r->val_loss)) printf(", \"val_loss\": %.9g", r->val_loss);
        if (!isnan(r->val_accuracy)) printf(", \"val_accuracy\": %.9g", r->val_accuracy);
        printf(", \"lr\": %.9g, \"seconds\": %.3f}\n", r->lr, r->seconds);
    } else {
        printf("epoch %d  train loss %.4f", r->epoch, r->train_loss);
        if (!isnan(r->val_loss)) printf("  validation loss %.4f", r->val_loss);
        if (!isnan(r->val_accuracy)) printf("  accuracy %.4f", r->val_accuracy);
        printf("  %.1f s\n", r->seconds);
    }
    fflush(stdout);
}

static bool train_all(Trainer *t)
{
    const TrainOptions *o = t->o;
    TrainLog log = {0};
    bool ok = !o->resume || (train_log_read(&log, o->out) && train_restore(o, t->train, log.n));
    if (ok && log.n >= o->epochs) note_say("%d epochs are done already; --epochs says %d", log.n, o->epochs);
    for (int epoch = log.n + 1; ok && epoch <= o->epochs; epoch++) {
        EpochResult r = {.epoch = epoch};
        double start = now_ms();
        ok = train_epoch(t, &r) && validate(t, &r);
        r.seconds = (now_ms() - start) / 1e3;
        if (!ok) break;
        report_epoch(t, &r);
        train_log_add(&log, r);
        ok = train_export(o, t->model, t->train) && train_checkpoint(o, t->train, epoch) && train_log_write(&log, o->out);
        if (ok) train_checkpoint_remove(o, epoch - 1);
    }
    train_log_free(&log);
    return ok;
}

bool train_run(const TrainOptions *o)
{
    Trainer t = {.o = o};
    bool ok = dataset_read(o->data, "train", &t.data);
    if (ok && dataset_exists(o->data, "t10k"))
        ok = dataset_read(o->data, "t10k", &t.val);
    else if (ok)
        note_say("%s has no t10k pair: there is no validation", o->data);
    if (ok && t.val.count && (t.val.height != t.data.height || t.val.width != t.data.width)) {
        error_say("the images for training and for validation are of different sizes");
        ok = false;
    }
    ok = ok && prepare(&t) && dir_make(o->out) && train_all(&t);
    trainer_free(&t);
    return ok;
}
