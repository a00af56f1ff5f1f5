/* Common subexpressions are shared and dead code is dropped: a rewrite without a rule.
 *
 * Requires: any valid graph. Keeps: everything that the outputs need. Breaks: nothing. */
#include "passes/passes.h"

Graph *pass_cse(Graph *g)
{
    return graph_rewrite(g, NULL, NULL, true);
}
