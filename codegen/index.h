/* Index arithmetic inside a kernel.
 *
 * An Ix is an integer expression over invocation and loop variables, hash-consed per shader. Linear combinations are kept
 * as sums of (term, stride) in mixed radix where they are one, so that taking apart what was put together (a reshape, a transpose
 * of merged axes) costs no division. An Index is a position in a value's shape, known by its axes, by its flat number, or both;
 * what is missing is derived when asked for. */
#ifndef DLVK_CODEGEN_INDEX_H
#define DLVK_CODEGEN_INDEX_H

#include "ir/ir.h"

typedef struct Shader Shader;

typedef enum IxKind { IX_DIM, IX_VAR, IX_SUM, IX_SPLIT, IX_MIN, IX_MAX } IxKind;
typedef struct Ix Ix;
typedef struct IxTerm {
    const Ix *x;
    const Dim *stride;
} IxTerm;
struct Ix {
    IxKind kind;
    const Dim *dim;           /* IX_DIM: the constant */
    const char *text;         /* IX_VAR: GLSL int */
    const Dim *bound;         /* value lies in [0, bound); NULL: not known to */
    const Ix *a, *b;          /* SPLIT: of a; MIN, MAX */
    const Dim *stride, *size; /* SPLIT: (a / stride) % size; size NULL: no remainder */
    int n;                    /* SUM: of term[i].x * term[i].stride, + dim (never NULL in a SUM) */
    const IxTerm *term;
    uint32_t id;
};

typedef struct Index {
    int rank;
    const Ix *ax[DLVK_MAX_RANK]; /* NULL: derive from flat */
    const Ix *flat;              /* NULL: derive from ax */
} Index;

const Ix *ix_dim(Shader *s, const Dim *d);
const Ix *ix_const(Shader *s, int64_t v);
const Ix *ix_var(Shader *s, const char *text, const Dim *bound); /* text: a GLSL int variable, unique in the shader */
void ix_var_here(Shader *s, const char *text);                   /* the variable is declared anew, in the innermost block */
bool ix_var_visible(const Shader *s, const Ix *a, int scopes); /* the variable a exists in the first so many of the open blocks */
const Ix *ix_add(Shader *s, const Ix *a, const Ix *b);
const Ix *ix_add_dim(Shader *s, const Ix *a, const Dim *d);
const Ix *ix_mul(Shader *s, const Ix *a, const Dim *d);
const Ix *ix_sub(Shader *s, const Ix *a, const Ix *b);
const Ix *ix_split(Shader *s, const Ix *a, const Dim *stride, const Dim *size); /* a >= 0 */
bool ix_is_zero(const Ix *a);
bool ix_divisible(Shader *s, const Ix *a, const Dim *by); /* for certain */

Index index_of_flat(Shader *s, Type t, const Ix *flat);
Index index_of_axes(Type t, const Ix *const *ax);
const Ix *index_axis(Shader *s, Type t, Index *i, int axis);
const Ix *index_flat(Shader *s, Type t, Index *i);
/* Where v's element lies in the memory that v is in: index_flat(), unless v is a part of something else (see Part in
 * ir/kernel.h). */
const Ix *index_memory(Shader *s, const Value *v, Index *i);
const Dim *type_stride(Shader *s, Type t, int axis); /* product of the dims behind axis */

bool ix_depends(const Ix *a, const Ix *on);
/* a without its term x, where a is x, or a sum in which x stands once, with stride 1, and nothing else depends on it; else NULL.
 */
const Ix *ix_without(Shader *s, const Ix *a, const Ix *x);

/* GLSL text of type int, made of names that are in scope. */
const char *ix_text(Shader *s, const Ix *a);

#endif
