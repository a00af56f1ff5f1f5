/* dlvk/train.h: gradients of ONNX models.
 *
 *     dlvk_gradient_options g = DLVK_GRADIENT_OPTIONS_INIT; // cross-entropy of the first output, class numbers as targets
 *     dlvk_status s = dlvk_compile_gradient("model.onnx", "gradient.dlvk", &g, &o, &err);
 *
 * makes a bundle with the model's inputs and one more, "target"; its outputs are "loss" and, for every float initializer NAME, the
 * loss's gradient "gradient.NAME". */
#ifndef DLVK_TRAIN_H
#define DLVK_TRAIN_H

#include "dlvk/compiler.h"

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
    bool has_ignore;           /* cross-entropy, nll: class numbers `ignore` do not count */
    int64_t ignore;
    double label_smoothing;    /* cross-entropy: this much is moved from the targets to all classes alike */
    const float *class_weight; /* cross-entropy, nll: one a class; NULL: all 1. The mean is then weighted, too */
    int n_class_weight;
    double huber_delta;
    bool of_inputs; /* the gradients of the model's float inputs, instead of the initializers' */
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

#ifdef __cplusplus
}
#endif
#endif
