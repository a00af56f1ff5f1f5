/* Building a new graph from an old one: the frame of every pass.
 *
 * The nodes that the outputs need (all others are dead) are visited in order, regions included. For each, `rule` may
 * build its replacement in the new graph and put the new outputs into out[]; returning false copies the node. New nodes
 * get the old one's origin, values their names. With cse, equal nodes of one region (and the regions around it) are shared. */
#ifndef DLVK_IR_REWRITE_H
#define DLVK_IR_REWRITE_H

#include "ir/build.h"

typedef struct Rewrite {
    Graph *src, *dst;
    Value **map; /* by the old value's id: the new value */
    Build b;     /* where new nodes go */
    void *user;
} Rewrite;

/* READ_DIMS nodes have no outputs: one (or a HOST node) is live when a live node's types or attributes use one of its symbols. */
typedef bool (*RewriteRule)(Rewrite *rw, const Node *old, Value *const *in, Value **out);
Graph *graph_rewrite(Graph *src, RewriteRule rule, void *user, bool cse);
/* The same for who has more to build on the copy, rw->dst, or to rewrite regions of the old graph again; never NULL. */
Rewrite *rewrite_start(Graph *src, RewriteRule rule, void *user, bool cse);
/* The same in parts, for who decides on the nodes' order: the new graph with its parameters; one node, whose operands the map
 * has; the results. */
Rewrite *rewrite_begin(Graph *src, RewriteRule rule, void *user, bool cse);
void rewrite_visit(Rewrite *rw, const Node *old);
Graph *rewrite_end(Rewrite *rw);
/* For rules. The nodes of a region of the old graph, rewritten to where rw->b stands; results stay in rw->map. The caller maps
 * the region's parameters first. */
void rewrite_body(Rewrite *rw, const Region *old);
/* For rules. The body of a call, rewritten in the call's place. */
void rewrite_inline(Rewrite *rw, const Node *call, Value *const *in, Value **out);
/* The nodes of a graph's top region at b, on these arguments in place of its parameters: its results there. */
Value **rewrite_splice(Build *b, Graph *from, Value *const *args);
/* A graph's top region built at b, its parameters standing for `in`; results to out[]. False after an error. */
bool rewrite_graph(Build *b, Graph *src, Value *const *in, Value **out);
/* The copy of an old node on new operands; NULL after an error. */
Node *rewrite_copy(Rewrite *rw, const Node *old, Value *const *in);
/* Which nodes of the graph its results need, by node id. */
bool *graph_live(const Graph *g);
/* Uses of every value by live nodes and results, by value id; regions included. */
int *graph_use_counts(const Graph *g);

#endif
