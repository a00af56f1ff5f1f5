/* dlvkc train: trains a model on labelled images. */
#include "tools/commands.h"
#include "tools/train.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct Words { /* what the command line says, before it is understood */
    LossArgs loss;
    const char *optimizer, *schedule;
    StrList hyper, freeze, group;
    double momentum, weight_decay, loss_scale;
    bool nesterov, check;
} Words;

static const char *const schedules[] = {[LR_CONSTANT] = "constant",
                                        [LR_STEP] = "step",
                                        [LR_EXPONENTIAL] = "exponential",
                                        [LR_LINEAR] = "linear",
                                        [LR_COSINE] = "cosine"};

static bool parse_schedule(const char *text, LrSchedule *s)
{
    for (size_t i = 0; i < sizeof schedules / sizeof *schedules; i++)
        if (!strcmp(text, schedules[i])) {
            *s = (LrSchedule)i;
            return true;
        }
    error_say("--schedule takes constant, step, exponential, linear or cosine, not '%s'", text);
    return false;
}

/* NAME=VALUE of the optimizer's own. */
static bool parse_hyper(const char *text, const dlvk_optimizer *opt, dlvk_hyper *h)
{
    const char *equals = strchr(text, '=');
    char *end = NULL;
    for (int i = 0; equals && i < opt->n_hyper; i++) {
        size_t n = strlen(opt->hyper[i].name);
        if (n != (size_t)(equals - text) || memcmp(text, opt->hyper[i].name, n) != 0) continue;
        *h = (dlvk_hyper){opt->hyper[i].name, strtod(equals + 1, &end)};
        if (end != equals + 1 && !*end) return true;
    }
    char *names = text_format("%s", "");
    for (int i = 0; i < opt->n_hyper; i++) {
        char *longer = text_format("%s%s%s", names, i ? ", " : "", opt->hyper[i].name);
        free(names);
        names = longer;
    }
    error_say("--hyper takes NAME=VALUE, not '%s'; %s has %s", text, opt->name, opt->n_hyper ? names : "none");
    free(names);
    return false;
}

/* PATTERN:NAME=VALUE,... into *g, whose pattern is part of `text`, which is cut up. */
static bool parse_group(char *text, dlvk_group *g)
{
    const struct {
        const char *name;
        double *to;
    } number[] = {{"lr", &g->lr}, {"weight-decay", &g->weight_decay}, {"l2", &g->l2}, {"l1", &g->l1}};
    char *at = strrchr(text, ':'), *end = text;
    g->pattern = text;
    for (bool more = at != NULL; more; at = end) {
        char *name = at + 1, *equals = strchr(name, '=');
        double *to = NULL;
        *at = '\0';
        if (equals) *equals = '\0';
        for (size_t i = 0; i < sizeof number / sizeof *number; i++)
            if (!strcmp(name, number[i].name)) to = number[i].to;
        if (!equals || !to) return false;
        *to = strtod(equals + 1, &end);
        if (end == equals + 1 || (*end && *end != ',') || !(*to >= 0) || !isfinite(*to)) return false;
        more = *end == ',';
    }
    return end > text && *text;
}

/* Room for what the training options point to. */
typedef struct Lists {
    dlvk_hyper *hyper;
    dlvk_group *group;
    char **text;
    int n_text;
    dlvk_optimizer *own; /* read from a file */
} Lists;

static bool parse_lists(Words *w, dlvk_training_options *t, Lists *l)
{
    l->text = must_alloc(2 + (size_t)w->group.n, sizeof *l->text);
    if (w->momentum > 0) list_add(&w->hyper, l->text[l->n_text++] = text_format("momentum=%.17g", w->momentum));
    if (w->nesterov) list_add(&w->hyper, "nesterov=1");
    l->hyper = must_alloc((size_t)w->hyper.n, sizeof *l->hyper);
    for (int i = 0; i < w->hyper.n; i++)
        if (!parse_hyper(w->hyper.at[i], t->optimizer, &l->hyper[i])) return false;
    l->group = must_alloc((size_t)(w->freeze.n + w->group.n), sizeof *l->group);
    for (int i = 0; i < w->freeze.n; i++) {
        l->group[i] = (dlvk_group)DLVK_GROUP_INIT;
        l->group[i].pattern = w->freeze.at[i];
        l->group[i].frozen = true;
    }
    for (int i = 0; i < w->group.n; i++) {
        dlvk_group *g = &l->group[w->freeze.n + i];
        *g = (dlvk_group)DLVK_GROUP_INIT;
        if (parse_group(l->text[l->n_text++] = text_format("%s", w->group.at[i]), g)) continue;
        error_say("--group takes PATTERN:NAME=X,..., numbers from 0 on for lr, weight-decay, l2 and l1, not '%s'",
                  w->group.at[i]);
        return false;
    }
    t->hyper = l->hyper;
    t->n_hyper = w->hyper.n;
    t->group = l->group;
    t->n_group = w->freeze.n + w->group.n;
    return true;
}

/* What suits small networks, decays of the schedule included. */
static double default_lr(const char *optimizer)
{
    static const struct {
        const char *name;
        double lr;
    } known[] = {{"rmsprop", 1e-3}, {"sgd", 0.05}, {"adagrad", 0.02}, {"adadelta", 1}, {"lamb", 0.01}, {"lion", 3e-4}};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (!strcmp(optimizer, known[i].name)) return known[i].lr;
    return 3e-3;
}

static bool understand(TrainOptions *o, Words *w, Lists *l)
{
    dlvk_training_options *t = &o->training;
    if (!loss_set(&w->loss, true, &t->loss)) return false;
    if (o->lr == 0) o->lr = default_lr(w->optimizer);
    if (w->weight_decay >= 0) t->weight_decay = w->weight_decay;
    if (w->loss_scale >= 0) t->loss_scale = w->loss_scale;
    t->ema_evaluate = t->ema > 0;
    if (o->epochs < 1 || o->deviation <= 0) {
        error_say(o->epochs < 1 ? "--epochs is at least 1" : "--std is above 0");
        return false;
    }
    return parse_schedule(w->schedule, &o->schedule) && train_parse_optimizer(w->optimizer, t, &l->own) && parse_lists(w, t, l);
}

/* Where results go unless --out says: beside the model, in a folder called after it. */
static int run(const Command *self, int argc, char **argv)
{
    TrainOptions o = {.training = DLVK_TRAINING_OPTIONS_INIT, .epochs = 1, .lr_gamma = 0.1, .lr_every = 1, .deviation = 1};
    Words w = {.loss.name = "cross-entropy", .optimizer = "adam", .schedule = "cosine", .weight_decay = -1, .loss_scale = -1};
    StrList words = {0};
    Lists lists = {0};
    int code;
    const Opt opts[] = {
        {"data", OPT_STR, "DIR", &o.data,
         "IDX files: train-images-idx3-ubyte.gz, train-labels-idx1-ubyte.gz, and the t10k\npair for validation; with or without "
         ".gz"},
        LOSS_OPTS(w.loss),
        {"optimizer", OPT_STR, "NAME", &w.optimizer,
         "adam (the default), sgd, adamw, rmsprop, adagrad, adadelta, lamb or lion, or FILE.onnx"},
        {"lr", OPT_REAL, "X", &o.lr,
         "learning rate; by the optimizer: 0.003 with adam, adamw and files, 0.001 with rmsprop, 0.05 with sgd, 0.02 "
         "with\nadagrad, 1 "
         "with adadelta, 0.01 with lamb, 0.0003 with lion"},
        {"epochs", OPT_INT, "N", &o.epochs, "times through the data; 1"},
        {"batch", OPT_INT, "N", &o.batch, "images a step; the model's own, or 64"},
        PRECISION_OPTS(o.precision),
        {"seed", OPT_INT, "N", &o.seed, "of the order of the images and of dropout; 0"},
        {"out", OPT_STR, "DIR", &o.out, "where model.onnx, log.csv and checkpoints go; MODEL-trained"},
        {"resume", OPT_FLAG, NULL, &o.resume, "go on from the last whole epoch in --out"},
        {"momentum", OPT_REAL, "M", &w.momentum, "of sgd and rmsprop; 0"},
        {"nesterov", OPT_FLAG, NULL, &w.nesterov, "sgd: Nesterov's momentum"},
        {"hyper", OPT_LIST, "NAME=X", &w.hyper, "any other number of the optimizer's: beta1=0.8"},
        {"weight-decay", OPT_REAL, "X", &w.weight_decay, "decoupled; 0.01 with adamw and lamb, otherwise 0"},
        {"l2", OPT_REAL, "X", &o.training.l2, "added to the gradients: X * weight"},
        {"l1", OPT_REAL, "X", &o.training.l1, "added to the gradients: X * sign(weight)"},
        {"freeze", OPT_LIST, "PATTERN", &w.freeze, "parameters that keep their values: conv1.*"},
        {"group", OPT_LIST, "PATTERN:NAME=X,...", &w.group,
         "for parameters of such names: lr (a factor of the learning rate), weight-decay, l2, l1. The first that\nfits counts: "
         "*.bias:lr=2,weight-decay=0"},
        {"clip-norm", OPT_REAL, "X", &o.training.clip_norm, "bound on the norm of all gradients together"},
        {"clip-value", OPT_REAL, "X", &o.training.clip_value, "bound on each element of them"},
        {"max-memory", OPT_BYTES, "SIZE", &o.training.max_memory,
         "device memory that a training step may take at this batch, such as 500M or 2G: where it must,\nit computes values of "
         "the "
         "forward pass twice instead of keeping them"},
        {"loss-scale", OPT_REAL, "X", &w.loss_scale,
         "factor on the loss that keeps small gradients alive in f16, grown and halved as they\nallow; 0: none; 32768 with f16"},
        {"accumulate", OPT_INT, "N", &o.training.accumulate, "batches whose gradients make one step of the optimizer; 1"},
        {"ema", OPT_REAL, "D", &o.training.ema,
         "decay of a moving average of the weights, which is then what is validated\nand written"},
        {"schedule", OPT_STR, "NAME", &w.schedule,
         "of the learning rate: cosine (the default: down to --lr-min with the last step), linear, step,\nexponential or "
         "constant"},
        {"warmup", OPT_INT, "STEPS", &o.warmup, "the first steps, over which it grows from 0"},
        {"lr-min", OPT_REAL, "X", &o.lr_min, "where linear and cosine end, and no schedule goes below; 0"},
        {"lr-gamma", OPT_REAL, "X", &o.lr_gamma, "step, exponential: the factor; 0.1"},
        {"lr-every", OPT_INT, "EPOCHS", &o.lr_every, "step: epochs between factors; 1"},
        {"mean", OPT_REAL, "X", &o.mean, "inputs are (pixel / 255 - mean) / std; 0"},
        {"std", OPT_REAL, "X", &o.deviation, "see --mean; 1"},
        {"check", OPT_FLAG, NULL, &w.check, "only say whether the model can be trained, what of it, and the memory it takes"},
        {"dim", OPT_LIST, "SYMBOL=N", &o.dims, "--check: the size of a symbolic dimension that is not the first"},
        {"json", OPT_FLAG, NULL, &o.json, "one JSON object an epoch (or one, with --check) on standard output"},
        DEVICE_OPT(o.device),
        OPT_END,
    };
    bool ok = args_parse(self, opts, argc, argv, &words, &code);
    if (ok) {
        ok = args_words(self, &words, 1, 1, "the model");
        if (ok && !o.data && !w.check) {
            error_say("--data is missing: a folder with IDX files");
            ok = false;
        }
        o.model = ok ? words.at[0] : NULL;
        char *out = ok ? path_beside(o.model, "-trained") : NULL;
        if (!o.out) o.out = out;
        code = ok && understand(&o, &w, &lists) && train_sizes(&o) && (w.check ? train_check(&o) : train_run(&o)) ? EXIT_OK
                                                                                                                  : EXIT_BAD;
        free(out);
    }
    list_free(&o.precision.keep);
    for (int i = 0; i < lists.n_text; i++) free(lists.text[i]);
    free(lists.text);
    dlvk_free(lists.own);
    loss_free(&w.loss);
    free(lists.hyper);
    free(lists.group);
    list_free(&words);
    list_free(&w.hyper);
    list_free(&w.freeze);
    list_free(&w.group);
    list_free(&o.dims);
    for (int i = 0; i < o.symbols.n; i++) free((char *)(uintptr_t)o.symbols.at[i]);
    list_free(&o.symbols);
    return code;
}

const Command command_train = {
    "train", "MODEL.onnx (--data DIR [options] | --check)", "trains a model on labelled images", run,
    "Trains every float initializer, writes after each epoch the model with its new weights (DIR/model.onnx), the\n"
    "log (DIR/log.csv: epoch,train_loss,val_loss,val_accuracy,lr,seconds) and a checkpoint to go on from. The\n"
    "same seed gives the same order of images; where the model's batch is symbolic, an epoch ends with a\n"
    "smaller batch, and where it is fixed, what is left over is left out. A loss of your own, --loss FILE.onnx,\n"
    "is an ONNX model whose inputs are outputs of the model, by their names, and the labels. An optimizer of\n"
    "your own, --optimizer FILE.onnx, is one with the inputs parameter, gradient, lr and step and one for each state\n"
    "that it keeps, and the next parameter and states as outputs.\n\n"
    "  dlvkc zoo lenet -o lenet.onnx\n"
    "  dlvkc train --check lenet.onnx --batch 128\n"
    "  dlvkc train lenet.onnx --data /usr/share/datasets/fashion-mnist --epochs 2 --batch 128\n"
    "  dlvkc train net.onnx --data dir --optimizer sgd --momentum 0.9 --lr 0.1 --schedule cosine --epochs 10\n"};
