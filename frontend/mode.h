/* What a model does otherwise in training than in inference, and the parts of a model that training needs to know.
 *
 * A model is imported or built once, for both: what differs is selected by one bool scalar, `training`, and random numbers come
 * from one u64 scalar, `seed`. Both, and every parameter, are results of barriers, so that nothing is made of their values, until
 * mode_resolve() replaces them. */
#ifndef DLVK_FRONTEND_MODE_H
#define DLVK_FRONTEND_MODE_H

#include "ir/rewrite.h"

typedef struct Statistic { /* a parameter that training moves without a gradient */
    Value *of, *next;
} Statistic;

typedef struct ModelParts {
    Graph *graph;
    bool trains;            /* `training` and `seed` are there */
    Value *training, *seed; /* else NULL */
    VEC(Value *) weights;   /* parameters of floats: named results of barriers on constants */
    VEC(Statistic) statistics;
    int random; /* places that draw random numbers, so far */
} ModelParts;

/* Makes `training` and `seed`, before anything else; sets trains. */
void mode_begin(Build *b, ModelParts *m);
/* A constant as a parameter; only those of floats are listed. */
Value *mode_weight(Build *b, ModelParts *m, Value *constant, const char *name);

/* What stands in for a barrier's result in a copy of the graph; NULL: the constant it hides. */
typedef Value *(*ModeReplace)(Rewrite *rw, const Value *hidden, void *user);
/* A copy of the graph, rw->dst, for one mode. replace NULL: for inference, with the parameters behind their barriers as they are.
 */
Rewrite *mode_resolve(const ModelParts *m, ModeReplace replace, void *user);
/* A copy for inference. */
Graph *mode_inference(const ModelParts *m);

/* x, or in training with each element 0 with probability `ratio` (f32 scalar) and the others divided by 1 - ratio. mask, if not
 * NULL, gets what is kept (bool). */
Value *mode_dropout(Build *b, ModelParts *m, Value *x, Value *ratio, Value **mask);
/* Batch norm with channels on axis 1: by the batch's statistics in training (over all axes but 1, or over axis 0 alone with
 * per_activation), and then mean and var are to become momentum * mean + (1 - momentum) * the batch's; by mean and var else. The
 * new ones go to next_mean and next_var, if not NULL. */
typedef struct BatchNormSpec {
    double epsilon, momentum;
    bool per_activation;
    Value **next_mean, **next_var;
} BatchNormSpec;
Value *mode_batch_norm(Build *b, ModelParts *m, Value *x, Value *scale, Value *bias, Value *mean, Value *var,
                       const BatchNormSpec *s);

#endif
