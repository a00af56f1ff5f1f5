/* What the adjoint rules share. A rule is given a node of the old graph, and through old ids what became of its values in the new
 * one; it builds, in the new graph, what each operand contributes to the loss per unit of change. */
#ifndef DLVK_PASSES_GRAD_INTERNAL_H
#define DLVK_PASSES_GRAD_INTERNAL_H

#include "ir/rewrite.h"

typedef struct Grad {
    Rewrite *rw;
    Build *b;
    Context *c;
    bool *needs;         /* by old value id: a float that depends on one of wrt */
    Value **adjoint;     /* by old value id: the sum of contributions so far; NULL: zero */
    bool *used;          /* by old value id: the loss depends on it; for messages alone */
    const Node **saving; /* by old node id: of a loop, its copy that collects the carried values */
    const Value *loss;
} Grad;

/* in, out: the node's values in the new graph. d: the adjoints of its results, NULL where zero (not all are). Writes into dx
 * (NULL at first: zero) those of the operands that g->needs asks for. Errors are recorded in the context. */
typedef struct Adjoint {
    Grad *g;
    Build *b;
    const Node *n; /* of the old graph */
    Value **in, **out, **d, **dx;
} Adjoint;
typedef void AdjointRule(Adjoint *a);

static inline bool wants(const Adjoint *a, int i)
{
    return a->g->needs[a->n->in[i]->id];
}
/* The node has no gradient, for this reason. */
void grad_blocked(Adjoint *a, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Adds to the adjoint of an old value. */
void grad_add(Grad *g, const Value *old, Value *d);
/* Adjoints through the nodes of an old region, last to first, into its parameters and the values around it. */
void grad_region(Grad *g, const Region *old);
/* The rule of the copy: loops collect what their adjoints will need. grad_flow.c */
bool grad_copy(Rewrite *rw, const Node *old, Value *const *in, Value **out);
/* Which floats depend on those marked in needs. grad_flow.c */
void grad_mark(const Region *r, bool *needs);

AdjointRule adjoint_point;
#define POINT(...)
#define STRUCT(id, name, n_in, n_out) AdjointRule adjoint_##name;
#include "ir/ops.def"

/* Shorthands. */
static inline Value *zeros_like(Build *b, const Value *v)
{
    return build_full(b, v->type, 0);
}
static inline Value *add(Build *b, Value *x, Value *y)
{
    return build_map2(b, OP_ADD, x, y);
}
static inline Value *mul(Build *b, Value *x, Value *y)
{
    return build_map2(b, OP_MUL, x, y);
}
/* x where the condition holds, else 0. */
static inline Value *where(Build *b, Value *condition, Value *x)
{
    return x ? build_map3(b, OP_SELECT, condition, x, build_scalar(b, x->type.dtype, 0)) : NULL;
}
static inline Value *reshape_like(Build *b, Value *x, const Value *like)
{
    return build_reshape(b, x, like->type.rank, like->type.dim);
}

/* n elements an axis become n*step: each followed by step-1 zeros. grad_move.c */
Value *grad_spread(Build *b, Value *x, int axis, int64_t step);
/* x[..., index[..., i, ...], ...] along the axis, index of the result's shape. grad_gather.c */
Value *grad_take_along(Build *b, Value *x, Value *index, int axis);

#endif
