/* Views: values that are elements of another's memory, reached through movement.
 *
 * What a kernel with a loop over rows and columns wants to know of a matrix operand: whose memory it reads, and how far apart
 * neighbours lie there along its last two axes. All other axes may be as tangled as they like (repeated heads, merged batches);
 * where they lead is index arithmetic, done once a tile. Widening casts and multiplication by a number count as movement: the
 * reader applies them. */
#ifndef DLVK_IR_VIEW_H
#define DLVK_IR_VIEW_H

#include "ir/ir.h"

typedef struct View {
    Value *root;          /* whose memory is read, laid out in row-major order */
    const Dim *row, *col; /* elements between neighbours along the last two axes; 0: repeated */
    double factor;        /* what the elements are multiplied by */
} View;

/* One step down: the operand that v's definition moves, widens or scales; NULL when it does something else. */
Value *view_step(const Value *v, double *factor);
/* Steps down from v (of rank >= 2) while its last two axes keep to one axis each, and `more` agrees to look below a value. */
View view_of(DimTable *dt, Value *v, bool (*more)(void *arg, const Value *v), void *arg);

/* What a convolution's operand is computed from where the convolution can do so itself, as it loads it: the value in 16 bits of
 * which each element of the operand is made, with nothing else but numbers and what is constant along the channels, by a few
 * cheap operations. (A normalisation before a convolution of 1 x 1 is of this form.) NULL: there is none, or too many columns
 * would make it anew. *stored: the cast to 16 bits that is left out of memory then. */
Value *view_prologue(const Node *conv, Value **stored);

/* A depthwise convolution, in two axes, of what is computed from the results of another convolution, of 1 x 1, by pointwise code
 * with nothing else but numbers and what is constant along the channels: as an inverted residual begins. One kernel can compute
 * both; these are the needs of codegen/contract_expand.c. Sizes but the batch's are constants. */
typedef struct Expansion {
    Node *conv;    /* of 1 x 1 */
    Value *stored; /* the cast to 16 bits that the depthwise one works on */
} Expansion;
bool view_expansion(const Node *depthwise, Expansion *x);

#endif
