/* What the files of the builder share. */
#ifndef DLVK_IR_BUILD_INTERNAL_H
#define DLVK_IR_BUILD_INTERNAL_H

#include "ir/build.h"

/* An existing value equal to op(in...), or NULL: identities and merged chains of movement and casts. ir/simplify.c */
Value *build_simplify(Build *b, Op op, int n_in, Value *const *in, int n_attr, const Attr *attr);
/* A value with these contents: a const where all are constant, else dims. */
Value *build_elems(Build *b, Type t, const Dim *const *elems);

/* Sharing. ir/cse.c */
Node *cse_find(CseTable *t, const Region *at, Op op, int n_in, Value *const *in, int n_attr, const Attr *attr);
void cse_add(CseTable *t, Node *n);

/* The shape n values broadcast to, constraining symbolic dims to be equal. False when one is NULL. */
bool build_common_shape(Build *b, int n, Value *const *in, int *rank, const Dim **dims);
/* A possibly negative axis; -1, with an error, when it is out of range. */
int build_axis(Build *b, int axis, int rank);
/* The set of axes as a bit mask; axes NULL: all. False, with an error, when one is out of range or given twice. */
bool build_axis_mask(Build *b, int n, const int *axes, int rank, unsigned *mask);
const Dim *const *build_zeros(Build *b, int n); /* n dims 0 */

#endif
