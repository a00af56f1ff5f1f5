/* What the tests of passes share: small graphs, and the check that a pass keeps what they compute. */
#ifndef DLVK_TESTS_PASSES_CHECK_H
#define DLVK_TESTS_PASSES_CHECK_H

#include "ir/eval.h"
#include "passes/passes.h"

typedef struct Fix { /* a graph under construction */
    Pool pool;
    Context *c;
    Graph *g;
    Build b;
    uint64_t seed;
    int label; /* named by failures */
} Fix;

void fix_open(Fix *f, uint64_t seed);
void fix_close(Fix *f);
/* Parameters and random constants; dims end at -1. */
Value *fix_input(Fix *f, DType t, const int64_t *dims);
Value *fix_weight(Fix *f, DType t, const int64_t *dims);
void fix_output(Fix *f, Value *v);
const Dim *const *fix_dims(Fix *f, int n, const int64_t *dims);
#define DIMS(...) ((const int64_t[]){__VA_ARGS__, -1})

/* Runs the pass (verified) and compares both graphs on random inputs: |a - b| <= tolerance * (1 + |a|). Symbolic dims are 3. */
Graph *fix_run(Fix *f, Graph *(*pass)(Graph *), double tolerance);
/* Live nodes of that op, in all regions. */
int count_op(const Graph *g, Op op);
int count_nodes(const Graph *g);
/* Kernels that fusion forms; of attention alone. */
int count_kernels(Graph *g, bool attention);

#endif
