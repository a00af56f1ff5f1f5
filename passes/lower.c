/* Lower: from the graph stage to primitives. Calls are replaced by their bodies; gradient markers and the barriers around
 * parameters, which mean nothing to code generation, vanish.
 *
 * Requires: any valid graph. Keeps: types and symbols. Breaks: composites can no longer be recognised. */
#include "passes/passes.h"

static bool lower(Rewrite *rw, const Node *old, Value *const *in, Value **out)
{
    if (old->op == OP_STOP_GRADIENT || (old->op == OP_BARRIER && value_const(old->in[0], NULL))) {
        out[0] = in[0];
        return true;
    }
    if (old->op != OP_CALL) return false;
    rewrite_inline(rw, old, in, out);
    return true;
}

Graph *pass_lower(Graph *g)
{
    return graph_rewrite(g, lower, NULL, true);
}
