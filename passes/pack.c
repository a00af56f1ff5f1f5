/* Pack: results that leave a region, of types below 16 bits, are copied by a kernel of their own.
 *
 * Only map kernels can pack several elements into a word; what the others write of such types lies in words of its own
 * (`wide`, ir/kernel.h). Callers, branches and loops want ONNX's packed form, so a barrier stands before them.
 *
 * Requires: primitives. Keeps: everything else. Breaks: nothing. */
#include "passes/passes.h"

static bool narrow(const Value *v)
{
    int bits = dtype_bits(v->type.dtype);
    return bits > 0 && bits < 16;
}

static void mark(const Region *r, bool *leaves)
{
    for (int i = 0; i < r->results.n; i++) leaves[r->results.at[i]->id] = true;
    for (int i = 0; i < r->nodes.n; i++) {
        const Node *n = r->nodes.at[i];
        bool host = n->op == OP_IF || n->op == OP_LOOP || n->op == OP_READ_DIMS || n->op == OP_HOST;
        for (int k = 0; host && k < n->n_in; k++) leaves[n->in[k]->id] = true;
        for (int k = 0; k < n->n_region; k++) mark(n->region_at[k], leaves);
    }
}

static bool pack(Rewrite *rw, const Node *old, Value *const *in, Value **out)
{
    const bool *leaves = rw->user;
    bool any = false;
    for (int i = 0; i < old->n_out; i++) any |= leaves[old->out[i]->id] && narrow(old->out[i]);
    if (!any || old->op == OP_CONST || old->op == OP_BARRIER || old->op == OP_IF || old->op == OP_LOOP || old->op == OP_HOST)
        return false;
    Node *n = rewrite_copy(rw, old, in);
    if (!n) return false;
    for (int i = 0; i < old->n_out; i++) {
        out[i] = n->out[i];
        if (leaves[old->out[i]->id] && narrow(old->out[i])) out[i] = build_op(&rw->b, OP_BARRIER, 1, &out[i], 0, NULL);
    }
    return true;
}

Graph *pass_pack(Graph *g)
{
    bool *leaves = POOL_ARRAY(g->ctx->pool, bool, g->n_values);
    mark(g->top, leaves);
    return graph_rewrite(g, pack, leaves, false);
}
