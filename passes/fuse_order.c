/* The kernels' order, what each reads, and what it is called. */
#include "passes/fuse_internal.h"
#include <string.h>

typedef struct Walk {
    Fuse *f;
    Kernel *k;
    VEC(Value *) inputs;
    VEC(Node *) sizers;
    VEC(const char *) names;
    int epoch;
} Walk;

static bool add_sizer(void *arg, Node *m)
{
    Walk *w = arg;
    if (m->parent == w->f->region) *VEC_PUSH(w->f->pool, w->sizers) = m;
    return false;
}

static void add_origin(Walk *w, const Origin *o)
{
    if (!o) return;
    for (int i = 0; i < w->k->origins.n; i++)
        if (w->k->origins.at[i] == o) return;
    *VEC_PUSH(w->f->pool, w->k->origins) = o;
}

/* Everything the kernel computes itself, down to what it reads. */
static void walk_value(Walk *w, Value *v, bool root)
{
    Fuse *f = w->f;
    if (f->seen[v->id] == w->epoch) return;
    f->seen[v->id] = w->epoch;
    bool own = root;
    for (int i = 0; i < w->k->out.n; i++) own |= w->k->out.at[i] == v;
    if (fuse_is_splat(v) && !own) return;
    bool elsewhere = v->region != f->region && !(value_widened(v) && !f->s->materialized[v->id]);
    if (!v->def || (f->s->materialized[v->id] && !own) || elsewhere) {
        while (f->s->alias[v->id]) v = f->s->alias[v->id];
        *VEC_PUSH(f->pool, w->inputs) = v;
        return;
    }
    for (int i = 0; i < v->def->n_in; i++) walk_value(w, v->def->in[i], false);
    fuse_visit_sizers(f, v->def, add_sizer, w);
    add_origin(w, v->def->origin);
    Op op = v->def->op;
    if (op != OP_RESHAPE && op != OP_BROADCAST && op != OP_CONST && op != OP_DIMS)
        *VEC_PUSH(f->pool, w->names) = op_info[op].name;
}

static void name_kernel(Walk *w)
{
    char name[64] = "";
    for (int i = 0; i < w->names.n; i++) {
        if (strlen(name) + strlen(w->names.at[i]) + 2 > sizeof name) break;
        if (*name) strcat(name, "_");
        strcat(name, w->names.at[i]);
    }
    if (w->k->attention) strcpy(name, "attention");
    w->k->name = pool_strdup(w->f->pool, *name ? name : "copy");
}

typedef struct Order {
    Fuse *f;
    RegionSchedule *rs;
    char *state; /* by node id: 0 not begun, 1 under way, 2 done. A kernel's state is that of its first output's node */
} Order;

static void place_node(Order *o, Node *n);

static void place_value(Order *o, Value *v)
{
    if (v->def && v->def->parent == o->f->region) place_node(o, v->def);
}

static void place_captures(Order *o, Region *r)
{
    for (int i = 0; i < r->nodes.n; i++) {
        Node *n = r->nodes.at[i];
        for (int k = 0; k < n->n_in; k++) place_value(o, schedule_storage(o->f->s, fuse_read_as(n->in[k])));
        for (int k = 0; k < n->n_region; k++) place_captures(o, n->region_at[k]);
    }
    for (int i = 0; i < r->results.n; i++) place_value(o, schedule_storage(o->f->s, r->results.at[i]));
}

static void place_node(Order *o, Node *n)
{
    Fuse *f = o->f;
    Kernel *k = f->group[n->id];
    Node *key = k ? k->out.at[0]->def : n;
    if (o->state[key->id]) return;
    o->state[key->id] = 1;
    if (k) {
        Walk w = {.f = f, .k = k, .epoch = ++f->epoch};
        for (int i = 0; i < k->out.n; i++) walk_value(&w, k->out.at[i], true);
        for (int i = 0; i < w.inputs.n; i++) place_value(o, w.inputs.at[i]);
        for (int i = 0; i < w.sizers.n; i++) place_node(o, w.sizers.at[i]);
        name_kernel(&w);
        *VEC_PUSH(f->pool, o->rs->steps) = (Step){.kernel = k};
    } else if (fuse_is_host_op(n->op)) {
        for (int i = 0; i < n->n_in; i++) place_value(o, schedule_storage(f->s, n->in[i]));
        for (int i = 0; i < n->n_region; i++) place_captures(o, n->region_at[i]);
        *VEC_PUSH(f->pool, o->rs->steps) = (Step){.node = n};
    } else if (n->n_out == 1 && f->s->part[n->out[0]->id].assembled) {
        for (int i = 0; i < n->n_in; i++) place_value(o, n->in[i]);
    }
    o->state[key->id] = 2;
}

void fuse_order(Fuse *f, RegionSchedule *rs)
{
    Order o = {f, rs, pool_alloc(f->pool, (size_t)f->g->n_nodes + 1)};
    for (int i = 0; i < rs->region->nodes.n; i++) {
        Node *n = rs->region->nodes.at[i];
        if (f->group[n->id] || fuse_is_host_op(n->op)) place_node(&o, n);
    }
}
