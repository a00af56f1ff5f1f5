/* A small network that the training tests train, and the same in double precision, written out: y = W2 tanh(W1 x + b1) + b2. */
#ifndef DLVK_TESTS_TRAINEE_H
#define DLVK_TESTS_TRAINEE_H

#include "dlvk/runtime.h"
#include "dlvk/train.h"

enum { IN = 3, HIDDEN = 4, OUT = 2, TENSORS = 4, PARAMETERS = IN * HIDDEN + HIDDEN + HIDDEN * OUT + OUT, BATCH = 8 };

extern const char *const trainee_name[TENSORS];
extern const int trainee_size[TENSORS];
double trainee_start(int i);             /* parameter i at first */
double trainee_x(int batch, int i);      /* input element i of a batch, */
double trainee_target(int batch, int i); /* and target */
/* Gradients of the mean squared error over batch number `batch`; the loss. */
double trainee_gradient(const double *p, int batch, int rows, double *g);

/* The network as a graph, compiled for training on mse, loaded, and a session of its step. */
typedef struct Trainee {
    dlvk_device *device;
    dlvk_model *model;
    dlvk_session *session, *evaluation; /* evaluation: made by trainee_evaluate */
} Trainee;
/* Without a device the test is skipped. rows: what one step sees. */
Trainee trainee_open(const dlvk_training_options *t);
/* The same on a graph of the caller's, whose input is "x". */
Trainee trainee_open_graph(dlvk_graph *g, const dlvk_training_options *t);
Trainee trainee_open_with(dlvk_graph *g, const dlvk_training_options *t, const dlvk_compile_options *c);
dlvk_graph *trainee_graph(void);
void trainee_close(Trainee *t);
/* One step on `rows` rows of a batch, from row `first` on; the loss. */
float trainee_step(Trainee *t, int batch, int first, int rows, float lr);
float trainee_evaluate(Trainee *t, int batch);
void trainee_weights(Trainee *t, float *p);
float trainee_loss(dlvk_session *s);
void trainee_scalar(dlvk_session *s, const char *input, const void *value, size_t bytes);

#endif
