/* Concatenations without copies: where contractions compute all that a concatenation puts together, and nothing else reads it,
 * they store it where it belongs in the whole (Schedule.part), and the kernel that would move it goes away.
 *
 * Works on a schedule whose steps are in order. Only contractions: they store element by element, by emit_store(). */
#include "ir/kernel.h"

typedef struct Place {
    Schedule *s;
    int *uses; /* by value id, in all regions */
} Place;

static void count_uses(Place *p, const Region *r)
{
    for (int i = 0; i < r->nodes.n; i++) {
        const Node *n = r->nodes.at[i];
        for (int k = 0; k < n->n_in; k++) p->uses[n->in[k]->id]++;
        for (int k = 0; k < n->n_region; k++) count_uses(p, n->region_at[k]);
    }
    for (int i = 0; i < r->results.n; i++) p->uses[r->results.at[i]->id]++;
}

/* With float32 sums, and no groups: what becomes a contraction's template for certain (see gen_contract). */
static bool is_contraction(const Kernel *k)
{
    return k->arch == ARCH_CONTRACT && k->anchor->out[0]->type.dtype == DLVK_F32 && attr_i(k->anchor, A_GROUP, 1) == 1;
}

static bool computed_by_contraction(const RegionSchedule *rs, const Value *v)
{
    for (int i = 0; i < rs->steps.n; i++) {
        const Kernel *k = rs->steps.at[i].kernel;
        for (int j = 0; k && j < k->out.n; j++)
            if (k->out.at[j] == v) return is_contraction(k);
    }
    return false;
}

static bool can_place(const Place *p, const RegionSchedule *rs, const Node *cat)
{
    for (int j = 0; j < cat->n_in; j++) {
        const Value *v = cat->in[j];
        DType t = v->type.dtype;
        if ((t != DLVK_F32 && t != DLVK_F16 && t != DLVK_BF16) || p->uses[v->id] != 1 || p->s->alias[v->id] ||
            p->s->part[v->id].whole || !computed_by_contraction(rs, v))
            return false;
    }
    return true;
}

void schedule_place(Schedule *s)
{
    Context *c = s->graph->ctx;
    Place p = {.s = s, .uses = POOL_ARRAY(c->pool, int, s->graph->n_values + 1)};
    count_uses(&p, s->graph->top);
    for (int r = 0; r < s->regions.n; r++) {
        RegionSchedule *rs = s->regions.at[r];
        int kept = 0;
        for (int i = 0; i < rs->steps.n; i++) {
            const Kernel *k = rs->steps.at[i].kernel;
            const Node *n = k && k->arch == ARCH_MAP && !k->anchor && k->out.n == 1 ? k->out.at[0]->def : NULL;
            if (!n || n->op != OP_CONCAT || !can_place(&p, rs, n)) {
                rs->steps.at[kept++] = rs->steps.at[i];
                continue;
            }
            const Dim *at = dim_const(&c->dims, 0);
            int axis = (int)attr_i(n, A_AXIS, 0);
            for (int j = 0; j < n->n_in; j++) {
                s->part[n->in[j]->id] = (Part){.whole = n->out[0], .at = at, .axis = axis};
                at = dim_add(&c->dims, at, n->in[j]->type.dim[axis]);
            }
        }
        rs->steps.n = kept;
    }
}
