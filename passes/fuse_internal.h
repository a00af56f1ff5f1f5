/* Forming kernels: what the files passes/fuse*.c share. */
#ifndef DLVK_PASSES_FUSE_INTERNAL_H
#define DLVK_PASSES_FUSE_INTERNAL_H

#include "ir/kernel.h"
#include "ir/view.h"

typedef struct Near {
    int mark, depth;
} Near;

typedef struct Fuse {
    Graph *g;
    Pool *pool;
    Schedule *s;
    Region *region;
    int *uses;      /* by value id: uses by nodes of its own region, each operand slot counted, plus one for anything else */
    Node **user;    /* by value id: some user in its own region */
    bool *must;     /* by value id: needs memory whatever fusion does */
    bool *loaded;   /* by value id: computed by the convolution that reads it, as it loads it */
    Kernel **group; /* by node id: the kernel it was taken into */
    double *cost;   /* by value id: of evaluating it once from what has memory */
    int *seen;      /* by value id: epoch of the traversal */
    int *seen_node; /* by node id */
    Node **sizer;   /* by symbol index: the node that finds out a size that depends on data; NULL: known when inputs arrive */
    Near *near;     /* by value id: by how few pointwise nodes it was reached, in the traversal `mark` */
    int epoch, mark;
    int n_kernels;
    bool *late; /* by kernel id: scratch of taint() */
    bool fuse;
} Fuse;

/* fuse.c */
bool fuse_is_splat(const Value *v);
bool fuse_is_host_op(Op op);
bool fuse_is_pointwise(const Node *n);
Kernel *fuse_kernel(Fuse *f, Archetype arch, Node *anchor);

/* fuse_memory.c */
void fuse_require(Fuse *f, Value *v);
Value *fuse_read_as(Value *v); /* what has memory where v is read from another kernel */
bool fuse_is_view(const Node *n);
void fuse_materialize(Fuse *f, Value *v);
void fuse_mark_seen(Fuse *f);
void fuse_mark_required(Fuse *f); /* attention has been formed before */

/* fuse_sizes.c */
void fuse_note_sizers(Fuse *f);
/* Calls visit(arg, m) for each node m that finds out a size that n computes with, until one returns true. */
bool fuse_visit_sizers(const Fuse *f, const Node *n, bool (*visit)(void *arg, Node *m), void *arg);

/* fuse_group.c */
double fuse_cost(const Node *n); /* of evaluating n once */
void fuse_grow(Fuse *f, Kernel *k, int at, bool (*joins)(const void *shape, const Node *first, const Node *n), const void *shape);
void fuse_rows(Fuse *f, int at); /* the rows kernel around the reduction that is node number `at` */

/* fuse_parts.c: needs the kernels around anchors */
void fuse_parts(Fuse *f);

/* fuse_order.c */
void fuse_order(Fuse *f, RegionSchedule *rs);

#endif
