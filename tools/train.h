/* dlvkc train, in parts: cmd_train.c has the options, train_loop.c the epochs, train_files.c what is read and written,
 * train_options.c what other commands that train share with it. */
#ifndef DLVK_TOOLS_TRAIN_H
#define DLVK_TOOLS_TRAIN_H

#include "tools/dataset.h"

enum { TRAIN_BATCH = 64 }; /* where neither --batch nor the model says otherwise */

typedef enum LrSchedule { LR_CONSTANT, LR_STEP, LR_EXPONENTIAL, LR_LINEAR, LR_COSINE } LrSchedule;

typedef struct TrainOptions {
    const char *model, *data, *out, *device;
    dlvk_training_options training;
    PrecisionArgs precision;
    int epochs, batch, seed, warmup, lr_every; /* batch 0: the model's, or 64; warmup in steps; lr_every in epochs */
    double lr, lr_min, lr_gamma, mean, deviation;
    LrSchedule schedule;
    StrList dims;              /* train_check: SYMBOL=N */
    StrList symbols;           /* their symbols */
    dlvk_symbol_size size[32]; /* what training.sizes points to */
    bool json, resume;
} TrainOptions;

/* Means over an epoch. NAN: there is none. */
typedef struct EpochResult {
    int epoch; /* from 1 */
    double train_loss, val_loss, val_accuracy, lr, seconds;
} EpochResult;

/* --optimizer by name, or an ONNX file (train_options.c): *own is then to be freed with dlvk_free(). False, with a message. */
bool train_parse_optimizer(const char *name, dlvk_training_options *t, dlvk_optimizer **own);
/* "SYMBOL=BATCH" for the first dimension of every input of m that is a symbol alone and not among `dims`; each added to dims and
 * to `made`, an array of 64, to be freed. Returns their number. */
int train_batch_dims(const dlvk_model *m, int batch, StrList *dims, char **made);
/* The sizes of symbols for the options: --dim, and the batch for all others. Fills o->training.sizes; false with a message. */
bool train_sizes(TrainOptions *o);
/* How many classes the targets of the loss may name: of the first output of the evaluation, along axis 1; 0: not known. */
int64_t train_classes(dlvk_model *train);

/* The learning rate of step `step` (from 0) of `total`. */
double train_lr(const TrainOptions *o, int64_t step, int64_t steps_per_epoch, int64_t total);
/* Compiles, trains and writes; false, with a message. */
bool train_run(const TrainOptions *o);
/* Whether the model can be trained, and if so, what that takes; false when not, or with a message. No data is needed. */
bool train_check(const TrainOptions *o);

/* ---- files -------------------------------------------------------------------------------------------------------- */

typedef struct TrainLog {
    EpochResult *row;
    int n;
} TrainLog;
void train_log_add(TrainLog *l, EpochResult r);
bool train_log_write(const TrainLog *l, const char *dir);
bool train_log_read(TrainLog *l, const char *dir); /* of a run that is resumed */
void train_log_free(TrainLog *l);
bool train_has_state(const dlvk_model *m, const char *name);
/* Whether a state is a parameter: those that stand beside one are called NAME:SLOT, those of the optimizer as a whole :NAME. */
bool train_is_parameter(const dlvk_model *m, const char *name);
/* DIR/model.onnx: the model with the session's parameters (averages: with their moving averages). */
bool train_export(const TrainOptions *o, const dlvk_model *m, dlvk_session *s);
/* DIR/checkpoint-EPOCH.state: what a training goes on from. Written before the log has the epoch, and the one before it is
 * removed after, so that the log's last epoch always has one. */
bool train_checkpoint(const TrainOptions *o, dlvk_session *s, int epoch);
bool train_restore(const TrainOptions *o, dlvk_session *s, int epoch);
void train_checkpoint_remove(const TrainOptions *o, int epoch);

#endif
