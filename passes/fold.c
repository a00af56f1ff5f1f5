/* Constant folding: nodes whose operands are constants become constants, an `if` on a constant becomes its branch.
 *
 * A result may not be much larger than what it is made from, so that a broadcast, an iota or a pad does not fill the bundle;
 * the operands of contractions are the exception, since their kernels read memory. Splats stay splats.
 *
 * Requires: any valid graph. Keeps: values up to the rounding of one operation in double. Breaks: nothing. */
#include "ir/eval.h"
#include "passes/passes.h"

enum { SMALL = 64 * 1024 }; /* bytes that any result may have */
#define LONG 0x1p31         /* operations */

/* Whether storing n's results densely takes much more than storing its operands does. */
static bool grows(const Node *n, const Tensor *const *x)
{
    int64_t before = 0, after = 0, dim[DLVK_MAX_RANK];
    bool splats = n->n_in > 0;
    for (int i = 0; i < n->n_in; i++) {
        before += (int64_t)x[i]->bytes;
        splats &= x[i]->splat || x[i]->count == 1;
    }
    if (splats && (op_info[n->op].point || n->op == OP_CAST)) return false; /* a splat again */
    for (int i = 0; i < n->n_out; i++) {
        Type t = n->out[i]->type;
        int64_t count = 1;
        if (!type_static(t, dim)) return true;
        for (int a = 0; a < t.rank; a++) count *= dim[a];
        after += dtype_bytes(t.dtype, count);
    }
    return after > SMALL && after > 2 * before;
}

/* The operands' tensors; NULL when n does not fold. A pointwise op takes broadcast constants beside others of full size (or
 * its result would be a broadcast as well), a reduction splats: the counts of padded average pools are windows over ones. */
static const Tensor **operands(Rewrite *rw, const Node *n, Value *const *in)
{
    if (n->op == OP_CONST || n->op == OP_DIMS || n->op == OP_RANDOM || n->op == OP_BROADCAST || n->op == OP_BARRIER ||
        n->n_region || n->n_out == 0)
        return NULL;
    const Tensor **x = POOL_ARRAY(rw->dst->ctx->pool, const Tensor *, n->n_in);
    int full = 0;
    for (int i = 0; i < n->n_in; i++) {
        bool spread = in[i]->def && in[i]->def->op == OP_BROADCAST && value_const(in[i]->def->in[0], NULL);
        bool reduces = (n->op == OP_REDUCE || n->op == OP_WINDOW || n->op == OP_CUMULATE) && value_scalar(in[i], NULL);
        if (!value_const(in[i], &x[i]) && !(spread && (op_info[n->op].point || reduces))) return NULL;
        full += !spread || reduces;
    }
    if (n->n_in && !full) return NULL;
    for (int i = 0; i < n->n_in; i++)
        if (!x[i] && !(x[i] = build_known(&rw->b, in[i]))) return NULL;
    return x;
}

/* One constant matrix for all batches: kernels need no copies of it. */
static bool is_shared(const Value *v)
{
    const Tensor *t;
    if (!v->def || v->def->op != OP_BROADCAST || !value_const(v->def->in[0], &t) || t->splat || t->rank < 2) return false;
    int r = v->type.rank;
    return dim_is(v->type.dim[r - 1], t->dim[t->rank - 1]) && dim_is(v->type.dim[r - 2], t->dim[t->rank - 2]);
}

static Value *known(Rewrite *rw, Value *v)
{
    if (is_shared(v)) return v;
    const Tensor *t = value_const(v, NULL) ? NULL : build_known(&rw->b, v);
    return t ? build_const(&rw->b, t) : v;
}

/* The branch taken, in place of the if. */
static bool take_branch(Rewrite *rw, const Node *old, Value *const *in, Value **out)
{
    double condition;
    if (!value_scalar(in[0], &condition)) return false;
    const Region *branch = old->region_at[condition != 0 ? 0 : 1];
    for (int i = 0; i < old->n_out; i++)
        if (!type_equal(old->out[i]->type, branch->results.at[i]->type)) return false; /* sizes that only the if knows */
    rewrite_body(rw, branch);
    for (int i = 0; i < old->n_out; i++) out[i] = rw->map[branch->results.at[i]->id];
    return true;
}

bool fold_node(Rewrite *rw, const Node *old, Value *const *in, Value **out)
{
    Pool *p = rw->dst->ctx->pool;
    if (old->op == OP_IF) return take_branch(rw, old, in, out);
    if (old->op == OP_DOT || old->op == OP_CONV) {
        Value *x[] = {known(rw, in[0]), known(rw, in[1])};
        if ((x[0] != in[0] || x[1] != in[1]) && !(value_const(x[0], NULL) && value_const(x[1], NULL))) {
            out[0] = build_op(&rw->b, old->op, 2, x, old->n_attr, old->attr);
            return true;
        }
    }
    const Tensor **x = operands(rw, old, in), **y = POOL_ARRAY(p, const Tensor *, old->n_out);
    if (!x || grows(old, x)) return false;
    if (!node_eval(old, x, y, p)) return false;
    for (int i = 0; i < old->n_out; i++) out[i] = build_const(&rw->b, y[i]);
    return true;
}

Graph *pass_fold(Graph *g)
{
    return graph_rewrite(g, fold_node, NULL, true);
}
