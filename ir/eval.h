/* The interpreter: any graph, on the host, floating point in double precision. It is the specification of every op, the oracle of
 * the tests, and what folds constants.
 *
 * Floats of every type are held as doubles and rounded to their type only by cast and at inputs and constants; integers
 * wrap to their width. */
#ifndef DLVK_IR_EVAL_H
#define DLVK_IR_EVAL_H

#include "ir/ir.h"

/* Evaluates g. inputs: one a top parameter, dense and of its dtype. outputs (n results) are allocated in pool, dense, of the
 * results' dtype, or F64 for every float type if `keep_double`. symbol values are solved from the inputs' shapes.
 * False: an error is in ctx->diag (a shape that does not fit, a violated constraint). */
bool graph_eval(const Graph *g, const Tensor *const *inputs, const Tensor **outputs, bool keep_double, Pool *pool);
/* One node on constant operands: constant folding. outputs as above, of the node's dtypes; all dims must be constant.
 * False when the node cannot be evaluated (inputs unknown, symbolic shape, minutes of work). Movement of splats stays a splat. */
bool node_eval(const Node *n, const Tensor *const *in, const Tensor **out, Pool *pool);
/* Every value of the top region after graph_eval, by value id: for finding the first kernel that diverges. */
bool graph_eval_all(const Graph *g, const Tensor *const *inputs, const Tensor **values, bool keep_double, Pool *pool);

#endif
