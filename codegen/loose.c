/* Which values may be computed less exactly than float32: those that are rounded to 16 bits before anyone looks closer.
 *
 * A GPU's own exp2, division and the like are right to some 2^-17 of their result (the Vulkan specification's precisions), of
 * which rounding to f16 leaves 2^-11. Between such a function and the rounding there may be arithmetic that does not magnify
 * errors beyond what float32's own would become, sums, and movement; not what turns an absolute error into a relative one (exp),
 * nor what decides by the last bit.
 *
 * Casts to f16 within a kernel round in a dozen integer instructions. Where they only go on to be factors of what is loose
 * (a layer norm's normalised values), they need not: the product is then more exact. Not before sums, for of a difference from
 * the rounded value nothing else may be wanted. */
#include "codegen/shader.h"

static bool passes_on(const Node *n, int operand)
{
    Kind kind = (Kind)attr_i(n, A_KIND, KIND_SUM);
    switch (n->op) {
    case OP_ADD:
    case OP_SUB:
    case OP_MUL:
    case OP_DIV:
    case OP_MAX:
    case OP_MIN:
    case OP_NEG:
    case OP_ABS:
    case OP_TANH:
    case OP_ERF:
    case OP_SIGMOID:
    case OP_RESHAPE:
    case OP_TRANSPOSE:
    case OP_BROADCAST:
    case OP_SLICE:
    case OP_REVERSE:
    case OP_CONCAT: return true;
    case OP_CAST: return dtype_is_float(n->out[0]->type.dtype);
    case OP_SELECT: return operand > 0;
    case OP_PAD:
    case OP_GATHER: return operand == 0;
    case OP_REDUCE: return kind == KIND_SUM || kind == KIND_MAX || kind == KIND_MIN;
    default: return false;
    }
}

static bool moves(const Node *n)
{
    return n->op == OP_RESHAPE || n->op == OP_TRANSPOSE || n->op == OP_BROADCAST || n->op == OP_SLICE;
}

static void visit(const Schedule *s, const Region *r, uint8_t *loose)
{
    for (int i = 0; i < r->params.n; i++) loose[r->params.at[i]->id] = 0;
    for (int i = 0; i < r->results.n; i++)
        loose[r->results.at[i]->id] &= dtype_bits(r->results.at[i]->type.dtype) <= 16 ? LOOSE : 0;
    for (int i = r->nodes.n - 1; i >= 0; i--) {
        const Node *n = r->nodes.at[i];
        for (int k = 0; k < n->n_region; k++) visit(s, n->region_at[k], loose);
        for (int k = 0; k < n->n_out; k++) {
            const Value *v = n->out[k];
            int bits = dtype_bits(v->type.dtype);
            if (!dtype_is_float(v->type.dtype) || bits > 32 || (bits == 32 && s->materialized[v->id])) loose[v->id] = 0;
        }
        int out = n->n_out == 1 ? loose[n->out[0]->id] : 0;
        bool cast = n->op == OP_CAST && dtype_is_float(n->out[0]->type.dtype);
        bool factor = (n->op == OP_MUL && out & LOOSE) || ((cast || moves(n)) && out & LOOSE_UNROUNDED);
        for (int k = 0; k < n->n_in; k++) {
            const Value *x = n->in[k];
            if (dtype_bits(x->type.dtype) > 16 && !(out & LOOSE && passes_on(n, k))) loose[x->id] &= (uint8_t)~LOOSE;
            if (!factor) loose[x->id] &= (uint8_t)~LOOSE_UNROUNDED;
        }
    }
}

uint8_t *loose_values(Pool *p, const Schedule *s)
{
    uint8_t *loose = POOL_ARRAY(p, uint8_t, s->graph->n_values + 1);
    for (int i = 0; i < s->graph->n_values; i++) loose[i] = LOOSE | LOOSE_UNROUNDED;
    visit(s, s->graph->top, loose);
    return loose;
}
