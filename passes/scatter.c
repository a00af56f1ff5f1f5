/* Scatter: updates are put into the order of the rows they go to.
 *
 * A scatter kernel lets each element of the result look for its updates. Among sorted ones it finds them by bisection
 * (codegen/order.c); else it has to look at all of them, which is good for a few. The sort is stable, so that updates of one row
 * are applied in the order they had.
 *
 * Requires: primitives. Keeps: everything else. Breaks: nothing. */
#include "passes/passes.h"

enum { FEW = 128 };

static bool in_order(Rewrite *rw, const Node *old, Value *const *in, Value **out)
{
    int64_t count;
    if (old->op != OP_SCATTER || (dim_is_const(in[1]->type.dim[0], &count) && count <= FEW)) return false;
    Value *rows, *order;
    if (!build_sort(&rw->b, in[1], 0, false, &rows, &order)) return false;
    Node *n = rewrite_copy(rw, old, (Value *[]){in[0], rows, build_gather(&rw->b, in[2], order, 0)});
    if (!n) return false;
    out[0] = n->out[0];
    return true;
}

Graph *pass_scatter(Graph *g)
{
    return graph_rewrite(g, in_order, NULL, false);
}
