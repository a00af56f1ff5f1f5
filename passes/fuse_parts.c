/* Concatenations without copies. */
#include "passes/fuse_internal.h"

typedef struct Assembly {
    Fuse *f;
    bool *fixed; /* by value id: its memory must be its own, and without gaps */
    VEC(Value *) part;
} Assembly;

/* What is put together, seen through concatenations of concatenations. */
static void add_parts(Assembly *a, const Node *cat)
{
    for (int i = 0; i < cat->n_in; i++) {
        Node *d = cat->in[i]->def;
        if (d && d->op == OP_CONCAT && d->parent == cat->parent && attr_i(d, A_AXIS, 0) == attr_i(cat, A_AXIS, 0))
            add_parts(a, d);
        else
            *VEC_PUSH(a->f->pool, a->part) = cat->in[i];
    }
}

/* Is v the result of a kernel that can store it anywhere? */
static bool can_move(const Assembly *a, const Value *v)
{
    const Kernel *k = v->def && v->def->parent == a->f->region ? a->f->group[v->def->id] : NULL;
    if (!k || a->fixed[v->id] || !(k->arch == ARCH_CONTRACT || k->arch == ARCH_ROWS || k->arch == ARCH_MAP)) return false;
    for (int i = 0; i < k->out.n; i++)
        if (k->out.at[i] == v) return true;
    return false;
}

/* All parts follow each other in one whole already, of which this is a piece then. */
static bool lies_within(Assembly *a, const Value *v, int axis)
{
    const Part *first = &a->f->s->part[a->part.at[0]->id];
    const Dim *at = first->at;
    for (int i = 0; i < a->part.n; i++) {
        const Part *p = &a->f->s->part[a->part.at[i]->id];
        if (!p->whole || p->whole != first->whole || p->axis != axis || p->at != at) return false;
        at = dim_add(&a->f->g->ctx->dims, at, a->part.at[i]->type.dim[axis]);
    }
    return !a->fixed[v->id];
}

static bool can_assemble(Assembly *a)
{
    int epoch = ++a->f->epoch;
    for (int i = 0; i < a->part.n; i++) {
        const Value *v = a->part.at[i];
        if (!can_move(a, v) || a->f->s->part[v->id].whole || a->f->seen[v->id] == epoch) return false;
        a->f->seen[v->id] = epoch;
    }
    return true;
}

/* Where kernels around anchors compute all that a concatenation puts together, they store it where it belongs in the whole. What
 * is a piece of a greater whole, as the inputs of all but a dense block's last layer are, lies in that. The greatest come last.
 */
void fuse_parts(Fuse *f)
{
    Region *r = f->region;
    DimTable *dt = &f->g->ctx->dims;
    Assembly a = {.f = f, .fixed = POOL_ARRAY(f->pool, bool, f->g->n_values + 1)};
    if (!f->fuse || f->g->n_states) return;
    for (int i = 0; i < r->results.n; i++) a.fixed[r->results.at[i]->id] = true;
    for (int i = 0; i < r->nodes.n; i++) {
        const Node *n = r->nodes.at[i];
        if (n->n_region || fuse_is_host_op(n->op) || (f->group[n->id] && f->group[n->id]->attention)) return;
        if (!fuse_is_view(n)) continue;
        a.fixed[n->in[0]->id] = a.fixed[n->out[0]->id] = true;
    }
    for (int i = r->nodes.n - 1; i >= 0; i--) {
        const Node *n = r->nodes.at[i];
        if (n->op != OP_CONCAT || f->group[n->id]) continue;
        Value *v = n->out[0];
        DType t = v->type.dtype;
        if (f->uses[v->id] == 0 || (t != DLVK_F32 && t != DLVK_F16 && t != DLVK_BF16)) continue;
        int axis = (int)attr_i(n, A_AXIS, 0);
        a.part.n = 0;
        add_parts(&a, n);
        Part *whole = &f->s->part[v->id];
        if (lies_within(&a, v, axis)) {
            *whole = f->s->part[a.part.at[0]->id];
        } else if (can_assemble(&a)) {
            const Dim *at = dim_const(dt, 0);
            for (int k = 0; k < a.part.n; k++) {
                f->s->part[a.part.at[k]->id] = (Part){.whole = v, .at = at, .axis = axis};
                at = dim_add(dt, at, a.part.at[k]->type.dim[axis]);
            }
        } else {
            continue;
        }
        whole->assembled = true;
        fuse_require(f, v);
    }
}
