/* Type inference, from inside: one function an op, and what they share. */
#ifndef DLVK_IR_INFER_H
#define DLVK_IR_INFER_H

#include "ir/ir.h"

/* Fills the types of n->out[]; false, with an error recorded, when operands or attributes are not legal. A missing one is
 * a link error. */
#define POINT(id, name, ...)
#define STRUCT(id, name, n_in, n_out) bool infer_##name(Region *r, Node *n);
#include "ir/ops.def"
bool infer_point(Region *r, Node *n);

/* Two dims that must be equal: records the constraint and returns the one to go on with, a constant before others. */
const Dim *same_dim(Context *c, const Dim *a, const Dim *b);
/* Makes the dims of several equally ranked shapes one: acc[] is updated in place. */
void same_dims(Context *c, int rank, const Dim **acc, const Dim *const *other);
/* a <= b, checked when sizes are bound; what depends on data is left to the kernels, which clamp. */
void at_most(Context *c, const Dim *a, const Dim *b);

/* Attributes that must be there, with `len` entries (-1: any). NULL, with an error, otherwise. */
const Attr *need_attr(Region *r, const Node *n, AttrId id, int len);
const int64_t *need_ints(Region *r, const Node *n, AttrId id, int len);
const Dim *const *need_dims(Region *r, const Node *n, AttrId id, int len);
bool need_axis(Region *r, const Node *n, int rank, int *axis);
bool need_kind(Region *r, const Node *n, unsigned allowed, Kind *kind);
/* Strictly increasing axes below rank. */
bool need_axes(Region *r, const Node *n, int rank, const int64_t **axes, int *count);
bool infer_fail(Region *r, const Node *n, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
void add_attr(Context *c, Node *n, Attr a);

#endif
