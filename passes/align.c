/* Align: constant matrices whose rows are no multiple of 16 bytes, as a vocabulary of an odd number of words makes them, get a
 * few columns of zeros more, and the products read a slice of them: then their kernels load rows in vectors, and are none the
 * wiser.
 *
 * Requires: constants folded (what folds again would undo it). Keeps: values. Breaks: nothing. */
#include "passes/passes.h"

#include <string.h>

enum { VECTOR = 16, LEAST = 32 /* columns: fewer would grow by too much */ };

/* The constant that the second operand is, perhaps widened; NULL: it is no such thing. */
static const Tensor *matrix_of(const Value *v)
{
    const Tensor *t;
    if (value_widened(v)) v = v->def->in[0];
    if (!value_const(v, &t) || t->splat || t->rank < 2) return NULL;
    return t->dtype == DLVK_F32 || t->dtype == DLVK_F16 || t->dtype == DLVK_BF16 ? t : NULL;
}

static const Tensor *with_columns(Pool *p, const Tensor *t, int64_t columns)
{
    int64_t had = t->dim[t->rank - 1], rows = t->count / had, size = dtype_bytes(t->dtype, 1), dim[DLVK_MAX_RANK];
    char *data = pool_alloc(p, (size_t)(rows * columns * size));
    for (int64_t r = 0; r < rows; r++) {
        char *row = data + r * columns * size;
        memcpy(row, (const char *)t->data + r * had * size, (size_t)(had * size));
        memset(row + had * size, 0, (size_t)((columns - had) * size));
    }
    memcpy(dim, t->dim, (size_t)t->rank * sizeof *dim);
    dim[t->rank - 1] = columns;
    return tensor_new(p, t->dtype, t->rank, dim, data);
}

static bool align(Rewrite *rw, const Node *old, Value *const *in, Value **out)
{
    const int *uses = rw->user;
    if ((old->op != OP_DOT && old->op != OP_CONV) || attr_i(old, A_GROUP, 1) != 1) return false;
    const Tensor *t = matrix_of(in[1]);
    if (!t) return false;
    DimTable *dt = &rw->b.ctx->dims;
    const Value *narrow = value_widened(old->in[1]) ? old->in[1]->def->in[0] : old->in[1];
    int64_t n = t->dim[t->rank - 1], per = VECTOR / dtype_bytes(t->dtype, 1), columns = (n + per - 1) / per * per;
    if (n < LEAST || columns == n || uses[narrow->id] != 1) return false;
    Value *x = build_const(&rw->b, with_columns(rw->b.ctx->pool, t, columns));
    x = build_slice_axis(&rw->b, x, t->rank - 1, dim_const(dt, 0), dim_const(dt, n));
    if (narrow != old->in[1]) x = build_cast(&rw->b, x, in[1]->type.dtype);
    out[0] = build_op(&rw->b, old->op, 2, (Value *[]){in[0], x}, old->n_attr, old->attr);
    return true;
}

Graph *pass_align(Graph *g)
{
    return graph_rewrite(g, align, graph_use_counts(g), true);
}
