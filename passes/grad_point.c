/* Adjoints of the pointwise ops: the rows of passes/adjoints.def as functions. */
#include "passes/grad_internal.h"

#define NONE                    NULL
#define F(op, x)                build_map1(m, OP_##op, x)
#define NEG(x)                  F(NEG, x)
#define ADD(x, y)               add(m, x, y)
#define SUB(x, y)               build_map2(m, OP_SUB, x, y)
#define MUL(x, y)               mul(m, x, y)
#define DIV(x, y)               build_map2(m, OP_DIV, x, y)
#define POW(x, y)               build_map2(m, OP_POW, x, y)
#define NE(x, y)                build_map2(m, OP_NE, x, y)
#define GT(x, y)                build_map2(m, OP_GT, x, y)
#define GE(x, y)                build_map2(m, OP_GE, x, y)
#define SQ(x)                   MUL(x, x)
#define K(x)                    build_scalar(m, d->type.dtype, x)
#define WHERE(c, x)             where(m, c, x)
#define PICK(c, x, y)           build_map3(m, OP_SELECT, c, x, y)
#define SHARE(better, x, other) share(m, OP_##better, x, other, y, d)

/* d where x is better than y, half of it where they are equal. Where y is a number, equal ones get nothing (as with PyTorch's
 * relu), and the result tells which these are: x need not be kept for it. */
static Value *share(Build *m, Op better, Value *x, Value *y, Value *best, Value *d)
{
    if (!x || !y) return NULL;
    if (value_scalar(y, NULL)) return where(m, build_map2(m, better, best, y), d);
    DType t = x->type.dtype;
    Value *half = where(m, build_map2(m, OP_EQ, x, y), build_full(m, x->type, 0.5));
    return mul(m, d, build_map3(m, OP_SELECT, build_map2(m, better, x, y), build_scalar(m, t, 1), half));
}

#define ADJOINT(id, da, db, dc)                                                                                                  \
    static void point_##id(const Adjoint *r, Build *m, Value *a, Value *b, Value *c, Value *y, Value *d)                         \
    {                                                                                                                            \
        (void)m, (void)a, (void)b, (void)c, (void)y, (void)d;                                                                    \
        if (wants(r, 0)) r->dx[0] = da;                                                                                          \
        if (r->n->n_in > 1 && wants(r, 1)) r->dx[1] = db;                                                                        \
        if (r->n->n_in > 2 && wants(r, 2)) r->dx[2] = dc;                                                                        \
    }
#include "passes/adjoints.def"

typedef void PointRow(const Adjoint *r, Build *m, Value *a, Value *b, Value *c, Value *y, Value *d);
static PointRow *const rows[OP_COUNT] = {
#define POINT(id, ...) [OP_##id] = point_##id,
#include "ir/ops.def"
};

void adjoint_point(Adjoint *a)
{
    int n = a->n->n_in;
    rows[a->n->op](a, a->b, a->in[0], n > 1 ? a->in[1] : NULL, n > 2 ? a->in[2] : NULL, a->out[0], a->d[0]);
}
