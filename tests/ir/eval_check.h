/* Tests of the interpreter: graphs as text, with the results they must give as tensors in the same text. */
#ifndef DLVK_TESTS_EVAL_CHECK_H
#define DLVK_TESTS_EVAL_CHECK_H

#include "ir/eval.h"

/* All lines of the diagnosis, in the context's pool. */
const char *diag_text(const Context *c);

/* A constant, for the body of a graph. */
#define K(name, tensor) "%" name " = const() {value=" tensor "};\n"

/* Evaluates a graph of this body, whose nodes define %y, and compares %y with the tensor `want` (its type included; floats to
 * 1e-12). */
void eval_expect(const char *body, const char *want);
/* A graph with inputs, which are tensors in text form; either the outputs are `want`, or evaluation fails and says `fault`. */
void eval_expect_graph(const char *graph, int n_in, const char *const *in, int n_out, const char *const *want, const char *fault);

#endif
