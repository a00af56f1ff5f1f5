/* dlvk/train.h: gradients of models, and bundles that train them.
 *
 *     dlvk_gradient_options g = DLVK_GRADIENT_OPTIONS_INIT; // cross-entropy of the first output, class numbers as targets
 *     dlvk_status s = dlvk_compile_gradient("model.onnx", "gradient.dlvk", &g, &o, &err);
 *
 * makes a bundle with the model's inputs and one more, "target"; its outputs are "loss" and, for every float initializer NAME, the
 * loss's gradient "gradient.NAME". An Identity of an initializer that has other uses is an initializer, too: that is how exporters
 * write parameters that happen to be equal.
 *
 *     dlvk_training_options t = DLVK_TRAINING_OPTIONS_INIT; // the same loss, SGD
 *     t.optimizer = dlvk_optimizer_find("adam");
 *     dlvk_status s = dlvk_compile_training("model.onnx", "training.dlvk", &t, &o, &err);
 *
 * makes a bundle that dlvk/runtime.h alone trains: see "training" below. */
#ifndef DLVK_TRAIN_H
#define DLVK_TRAIN_H

#include "dlvk/compiler.h"
#include "dlvk/graph.h"

#ifdef __cplusplus
extern "C" {
#endif

/* X(id, name) */
#define DLVK_LOSSES(X)                                                                                              \
    X(CROSS_ENTROPY, "cross-entropy") /* of logits [n,c,...]; targets: integers [n,...], or of the logits' shape: probabilities */ \
    X(MSE, "mse")                                                                                                   \
    X(L1, "l1")                                                                                                     \
    X(HUBER, "huber")                                                                                               \
    X(BCE, "bce") /* binary cross-entropy of logits; targets in [0, 1] */                                           \
    X(NLL, "nll") /* of log probabilities [n,c,...]; targets: integers [n,...] */                                   \
    X(KL, "kl")   /* target * (log target - x), x being log probabilities */                                        \
    X(PROJECTION, "projection") /* no target: the sum of all float outputs, each element times a fixed random number in [-1, 1) */
typedef enum dlvk_loss {
#define DLVK_LOSS_ENUM(id, name) DLVK_LOSS_##id,
    DLVK_LOSSES(DLVK_LOSS_ENUM)
#undef DLVK_LOSS_ENUM
        DLVK_LOSS_COUNT
} dlvk_loss;
DLVK_API const char *dlvk_loss_name(dlvk_loss loss);              /* "?" for what is none */
DLVK_API bool dlvk_loss_parse(const char *name, dlvk_loss *loss); /* false: there is no such loss */

/* none: the output "loss" has an element for each of the targets; gradients are those of their sum. */
typedef enum dlvk_reduction { DLVK_REDUCTION_MEAN, DLVK_REDUCTION_SUM, DLVK_REDUCTION_NONE } dlvk_reduction;

typedef struct dlvk_gradient_options {
    size_t struct_size; /* set by the INIT macro */
    dlvk_loss loss;
    dlvk_reduction reduction;
    dlvk_dtype target_type;    /* of the input "target". cross-entropy, nll: integers are class numbers */
    int target_rank;           /* cross-entropy: integers of the logits' rank are one-hot; -1: class numbers */
    bool has_ignore;           /* cross-entropy, nll: class numbers `ignore` do not count. Others beyond the classes do, with loss 0 */
    int64_t ignore;
    double label_smoothing;    /* cross-entropy: this much is moved from the targets to all classes alike */
    const float *class_weight; /* cross-entropy, nll: one a class; NULL: all 1. The mean is then weighted, too */
    int n_class_weight;
    double huber_delta;
    bool of_inputs; /* the gradients of the model's float inputs, instead of the initializers' */
    /* A loss of the caller's own, instead of `loss`, whose elements' sum is differentiated: */
    const char *loss_output; /* this output of the model, of floats; NULL */
    const char *loss_model;  /* the first output (of floats) of this ONNX file. Its inputs that are called as outputs of the model are
                                these; if there is none, its first input is the model's first output. Its other inputs become inputs of
                                the bundle, of both programs of a training; NULL */
} dlvk_gradient_options;
#define DLVK_GRADIENT_OPTIONS_INIT \
    { .struct_size = sizeof(dlvk_gradient_options), .target_type = DLVK_I64, .target_rank = -1, .huber_delta = 1 }

/* g NULL: the defaults. A model with nodes through which there is no gradient gives DLVK_UNSUPPORTED and lists them all, each with the
 * path that needs it. */
DLVK_API dlvk_status dlvk_compile_gradient(const char *onnx, const char *out, const dlvk_gradient_options *g,
                                           const dlvk_compile_options *o, dlvk_error *err);
/* The same into memory; free *bundle with dlvk_free(). */
DLVK_API dlvk_status dlvk_compile_gradient_to_memory(const char *onnx, void **bundle, size_t *size, const dlvk_gradient_options *g,
                                                     const dlvk_compile_options *o, dlvk_error *err);

/* What the loss changes by per unit of change of one element, going down and going up, in the interpreter's double precision: what
 * gradients are tested against. Where the two differ the loss has a kink; where it jumps there is no slope. */
typedef struct dlvk_slope {
    int input; /* its position among the model's */
    int64_t element;
    double down, up;
    double step; /* relative to elements above 1; coarser where the model has narrower types */
    bool jump;
} dlvk_slope;
/* Of up to max_elements of each float input, evenly spread. Stops early, with fewer elements an input, after about `seconds` (0:
 * never). *slopes is freed with dlvk_free(). DLVK_UNSUPPORTED when the model has no float input or output. */
DLVK_API dlvk_status dlvk_reference_slopes(const char *onnx, const dlvk_gradient_options *g, const dlvk_host_tensor *inputs, int n_in,
                                           int max_elements, double seconds, dlvk_slope **slopes, int *n_slopes, dlvk_error *err);

/* ---- training ----------------------------------------------------------------------------------------------------- */

/* A training bundle has two programs (dlvk/runtime.h, "programs") over the same states.
 *
 * "train", the one that dlvk_session_create() gives a session of, is one step, in one submit: the model in training mode (batch norm
 * with the batch's statistics, dropout on), the loss, its gradients, and the optimizer, which rewrites the states in place.
 *     inputs   the model's; "target", where the loss has one; "lr", f32 scalar: the learning rate of this step;
 *              "seed", u64 scalar, where the model has dropout: masks are functions of the seed and the step's number
 *     outputs  "loss"; "correct", i32 scalar, where targets are class numbers: how many the model gave the highest score;
 *              "gradient_norm", f32 scalar, where clip_norm is set: before clipping; "skipped", i32 scalar, where loss_scale is set:
 *              1 when a gradient was not finite, and so nothing but :scale was changed
 * "evaluate" is the model in inference mode (running statistics, no dropout) and the loss.
 *     inputs   the model's; "target"
 *     outputs  "loss"; "correct", as above; the model's outputs under their own names, save those that are called so
 *
 * States, all of which dlvk_session_get_state() and _set_state() reach:
 *     NAME        a parameter: every float initializer (or parameter of a dlvk_graph) of rank 1 and more, those of rank 0 that a group
 *                 names, and batch norm's running statistics, which the optimizer leaves alone
 *     NAME:SLOT   what the optimizer keeps for it: "fc.weight:m"
 *     NAME:sum    its gradients so far, where accumulate > 1
 *     NAME:ema    its moving average, where ema > 0
 *     :step       i32 scalar: steps the optimizer has taken
 *     :micro      i32 scalar: batches since the last one, where accumulate > 1
 *     :scale      f32 scalar: what the loss is multiplied by, where loss_scale > 0
 *     :good       i32 scalar: steps taken since that changed
 * Float initializers of rank 0 that no group names, frozen ones, and those that no gradient reaches, keep their bits: they are constants. */

/* One parameter's update, to be built with the functions of dlvk/graph.h. Everything is f32 (f64 for f64 parameters). */
typedef struct dlvk_update {
    const char *name;         /* the parameter's */
    dlvk_value parameter;     /* its present value */
    dlvk_value gradient;      /* of its shape; clipped, accumulated, with l1 and l2 added */
    dlvk_value lr;            /* scalar, times the group's multiplier */
    dlvk_value step;          /* scalar: 1, 2, ... */
    const double *hyper;      /* in the order of the optimizer's `hyper` */
    double weight_decay;      /* decoupled decay that the optimizer is to carry out itself; 0 unless it says own_decay */
    dlvk_value slot[4];       /* in: the slots' present values; out: their next ones. NULL beyond n_slot */
    void *user;               /* the optimizer's */
} dlvk_update;

/* An optimizer: what it keeps for each parameter, and its update as a graph. The built-in ones are rows of a table of these; a
 * caller's own is one more. `update` returns the parameter's next value; it is called once a parameter, while compiling. */
typedef struct dlvk_optimizer {
    const char *name;
    int n_hyper;
    struct { const char *name; double value; } hyper[8]; /* names and defaults */
    int n_slot;
    struct { const char *name; double value; } slot[4];  /* of the parameter's shape; name, and what it starts with */
    double weight_decay;                                 /* default of decoupled decay */
    bool own_decay;                                      /* update handles decoupled decay; else w - lr * decay * w comes before it */
    dlvk_value (*update)(dlvk_graph *g, dlvk_update *u);
    void *user;
} dlvk_optimizer;
/* name       hyperparameters (defaults)                                             slots
 * sgd        momentum 0, dampening 0, nesterov 0                                    momentum
 * adam       beta1 0.9, beta2 0.999, epsilon 1e-8                                   m, v
 * adamw      the same; weight_decay 0.01                                            m, v
 * rmsprop    alpha 0.99, epsilon 1e-8, momentum 0, centered 0                       square, momentum, mean
 * adagrad    epsilon 1e-10, lr_decay 0                                              square
 * adadelta   rho 0.9, epsilon 1e-6                                                  square, delta
 * lamb       beta1 0.9, beta2 0.999, epsilon 1e-6; weight_decay 0.01                m, v
 * lion       beta1 0.9, beta2 0.99                                                  m
 * As PyTorch defines them; LAMB: You et al. 2020 (arXiv:1904.00962, version 5, algorithm 2, phi the identity), Lion: Chen et al. 2023
 * (arXiv:2302.06675). Slots that are not needed (sgd without momentum) are not kept. NULL: there is no such optimizer. */
DLVK_API const dlvk_optimizer *dlvk_optimizer_find(const char *name);
DLVK_API const dlvk_optimizer *dlvk_optimizer_at(int i); /* NULL past the last */
/* An optimizer that is an ONNX file, which computes one parameter's update. Its inputs, in any order: "parameter" and "gradient"; if it wants
 * them, "lr" and "step" (1, 2, ...), scalars; and up to 4 others, which are slots of these names. Its outputs: the next parameter, then the
 * next value of each slot, in the order of the inputs. A slot starts with the number that its input has for an initializer, or with 0.
 * Element types are f32 (f64 for f64 parameters), those of lr and step any; shapes that the file declares do not count: parameter, gradient
 * and slots have the parameter's. The file is read again while compiling. Freed with dlvk_free(). */
DLVK_API dlvk_status dlvk_optimizer_load(const char *onnx, dlvk_optimizer **optimizer, dlvk_error *err);

typedef struct dlvk_hyper {
    const char *name;
    double value;
} dlvk_hyper;

/* Parameters by name: the first group whose pattern fits a name says how it is trained. In fields left at DLVK_AS_IS the options'
 * values hold. */
#define DLVK_AS_IS (-1.0)
typedef struct dlvk_group {
    size_t struct_size;
    const char *pattern; /* '*' stands for any text, '?' for any character */
    double lr;           /* the learning rate's factor */
    double weight_decay, l2, l1;
    bool frozen;         /* keeps its bits; has no slots */
} dlvk_group;
#define DLVK_GROUP_INIT \
    { .struct_size = sizeof(dlvk_group), .lr = 1, .weight_decay = DLVK_AS_IS, .l2 = DLVK_AS_IS, .l1 = DLVK_AS_IS }

typedef struct dlvk_training_options {
    size_t struct_size; /* set by the INIT macro */
    dlvk_gradient_options loss; /* of_inputs does not count */
    const dlvk_optimizer *optimizer; /* NULL: sgd */
    const dlvk_hyper *hyper;         /* that differ from the defaults */
    int n_hyper;
    double weight_decay;        /* decoupled: w -= lr * weight_decay * w. DLVK_AS_IS: the optimizer's default */
    double l2, l1;              /* coupled: l2 * w + l1 * sign(w) is added to the gradient (both: elastic net) */
    const dlvk_group *group;
    int n_group;
    double clip_value;          /* gradient elements are clamped to [-clip_value, clip_value]; 0: not */
    double clip_norm;           /* then all gradients are scaled by min(1, clip_norm / (their global L2 norm + 1e-6)); 0: not */
    int accumulate;             /* so many batches make a step of the optimizer, with the mean of their gradients; 0 and 1: each */
    double ema;                 /* decay of a moving average of the parameters: ema * average + (1 - ema) * w; 0: none */
    bool ema_evaluate;          /* "evaluate" uses the averages */
    double loss_scale;          /* dynamic loss scaling, on the device: the loss is multiplied by this at first, the gradients divided by
                                   it. A step with a gradient that is not finite is skipped, and halves it; loss_scale_growth steps
                                   without double it (up to 2^24). 0: none; DLVK_AS_IS: 32768 where the compile options ask for
                                   precision f16, else none. Powers of two change no bits of what neither under- nor overflows */
    int loss_scale_growth;
    uint64_t max_memory;        /* bytes of device memory that a session of "train" may take at `sizes` (dlvk_memory.total): where keeping all
                                   that the gradients need takes more, some of it is computed twice. DLVK_OUT_OF_MEMORY, with the least
                                   that can be reached, where that does not suffice. Sessions refuse shapes that take more. 0: no limit */
    const dlvk_symbol_size *sizes;     /* with it: of the inputs' symbols, batch and the like */
    int n_sizes;
} dlvk_training_options;
#define DLVK_TRAINING_OPTIONS_INIT \
    { .struct_size = sizeof(dlvk_training_options), .loss = DLVK_GRADIENT_OPTIONS_INIT, .weight_decay = DLVK_AS_IS, \
      .loss_scale = DLVK_AS_IS, \
      .loss_scale_growth = 2000 }

/* t NULL: the defaults. Nodes without a gradient: as for dlvk_compile_gradient. `out` is written whole or not at all. */
DLVK_API dlvk_status dlvk_compile_training(const char *onnx, const char *out, const dlvk_training_options *t,
                                           const dlvk_compile_options *o, dlvk_error *err);
/* The same into memory; free *bundle with dlvk_free(). */
DLVK_API dlvk_status dlvk_compile_training_to_memory(const char *onnx, void **bundle, size_t *size, const dlvk_training_options *t,
                                                     const dlvk_compile_options *o, dlvk_error *err);
/* The same for a model built in C: its outputs are the model's. The graph is left as it was. */
DLVK_API dlvk_status dlvk_compile_graph_training(dlvk_graph *g, void **bundle, size_t *size, const dlvk_training_options *t,
                                                 const dlvk_compile_options *o, dlvk_error *err);

/* Writes a copy of an ONNX file with other weights: each tensor replaces the initializer of its name (or the value of the Constant node
 * whose output has that name), which must have its shape; floats are rounded to the initializer's type. Everything else stays as it is,
 * but equal parameters that share an initializer (see above) get their own first, and external data moves into the file, which may thus
 * not exceed 2 GiB (DLVK_UNSUPPORTED). A weight that the model does not have is DLVK_INVALID_ARGUMENT. `out` is written whole or not at
 * all, and may be `onnx` itself. */
DLVK_API dlvk_status dlvk_onnx_exchange_weights(const char *onnx, const char *out, const dlvk_host_tensor *weights, int n,
                                                dlvk_error *err);

#ifdef __cplusplus
}
#endif
#endif
