/* What must have memory whatever fusion does: what others than the region's nodes see, and what kernels read by address. */
#include "passes/fuse_internal.h"

void fuse_require(Fuse *f, Value *v)
{
    if (v) f->must[v->id] = true;
}

/* Axes of size 1 come and go, and nothing else. There are elements: no view goes through a reshape of none. */
static bool keeps_axes(const Node *reshape)
{
    Type from = reshape->in[0]->type, to = reshape->out[0]->type;
    int i = 0, j = 0;
    while (true) {
        while (i < from.rank && dim_is(from.dim[i], 1)) i++;
        while (j < to.rank && dim_is(to.dim[j], 1)) j++;
        if (i == from.rank || j == to.rank) return i == from.rank && j == to.rank;
        if (dim_is(from.dim[i], 0) || from.dim[i++] != to.dim[j++]) return false;
    }
}

/* A view of memory through movement that keeps addresses affine: then the storage at its bottom is what is needed. */
static void require_affine(Fuse *f, Value *v)
{
    while (f->fuse && v->def && !f->must[v->id] &&
           (value_widened(v) || v->def->op == OP_TRANSPOSE || v->def->op == OP_BROADCAST || v->def->op == OP_SLICE ||
            v->def->op == OP_RESHAPE)) {
        /* a reshape is a view of its materialised operand */
        if ((v->def->op == OP_RESHAPE && !keeps_axes(v->def)) || fuse_is_splat(v->def->in[0])) break;
        v = v->def->in[0];
    }
    fuse_require(f, v);
}

/* A convolution on matrix units reads every element of A once a tap, in vectors if channels are neighbours. A transpose that
 * brings them together is a kernel of its own then. In gradients the axes mean other things. */
static bool wants_channels_last(const Fuse *f, const Node *n)
{
    const Value *v = n->in[0];
    DimTable *dt = &f->g->ctx->dims;
    int last = v->type.rank - 1, taps = 0;
    for (int i = 0; i < last - 1; i++) taps += !dim_is(n->in[1]->type.dim[i], 1);
    if (n->op != OP_CONV || !taps || f->g->n_states || !dim_is(dim_mod(dt, v->type.dim[last], dim_const(dt, 8)), 0)) return false;
    while (v->def && value_widened(v)) v = v->def->in[0];
    return v->type.dtype == DLVK_F16 && v->def && v->def->op == OP_TRANSPOSE && attr_ints(v->def, A_PERM)[last] != last &&
           !value_const(v, NULL);
}

/* The weights of a convolution that training changes lie as the model has them, taps innermost: neither columns nor steps of k
 * neighbour, and each element would be loaded by itself, once a tile. Where there are several taps they are put in order first.
 */
static bool wants_order(const Node *n)
{
    const Value *v = n->in[1];
    int last = v->type.rank - 1, taps = 0;
    for (int i = 0; i < last - 1; i++) taps += !dim_is(n->in[1]->type.dim[i], 1);
    while (v->def && value_widened(v)) v = v->def->in[0];
    if (n->op != OP_CONV || attr_i(n, A_GROUP, 1) != 1 || !taps || !v->def || v->def->op != OP_TRANSPOSE || value_const(v, NULL))
        return false;
    const int64_t *perm = attr_ints(v->def, A_PERM);
    return perm[last] < last && perm[last - 1] < last;
}

/* What has memory where v is read from another kernel: a widened value is made again wherever it is used. */
Value *fuse_read_as(Value *v)
{
    return value_widened(v) ? v->def->in[0] : v;
}

/* v is used in region r, which lies within f's. */
static void capture(Fuse *f, const Region *r, Value *v)
{
    fuse_require(f, v);
    if (v->region != r && v->region == f->region) f->uses[v->id]++;
}

static void mark_captures(Fuse *f, const Region *r)
{
    for (int i = 0; i < r->nodes.n; i++) {
        Node *n = r->nodes.at[i];
        for (int k = 0; k < n->n_in; k++)
            if (n->in[k]->region != r) capture(f, r, fuse_read_as(n->in[k]));
        for (int k = 0; k < n->n_region; k++) mark_captures(f, n->region_at[k]);
    }
    for (int i = 0; i < r->results.n; i++) capture(f, r, r->results.at[i]);
}

/* Below a value that has memory whatever fusion does there is nothing to look for. */
static bool may_look_below(void *arg, const Value *v)
{
    const Fuse *f = arg;
    return v->def && v->def->parent == f->region && !f->must[v->id] && !fuse_is_splat(v->def->in[0]);
}

/* What attention reads: it needs rows and columns alone to be affine. */
static void require_operands(Fuse *f, const Attention *a)
{
    DimTable *dt = &f->g->ctx->dims;
    Value *operand[] = {a->qk->in[0], a->qk->in[1], a->pv->in[1]};
    for (int i = 0; i < 3; i++) fuse_require(f, view_of(dt, operand[i], may_look_below, f).root);
}

/* What others than the region's nodes see. */
void fuse_mark_seen(Fuse *f)
{
    Region *r = f->region;
    for (int i = 0; i < r->params.n; i++) fuse_require(f, r->params.at[i]);
    for (int i = 0; i < r->results.n; i++) fuse_require(f, r->results.at[i]);
    for (int i = 0; i < r->nodes.n; i++)
        for (int k = 0; k < r->nodes.at[i]->n_region; k++) mark_captures(f, r->nodes.at[i]->region_at[k]);
}

/* What convolutions compute as they load it needs no memory, only what it is computed from. */
static void mark_loaded(Fuse *f)
{
    for (int i = 0; f->fuse && i < f->region->nodes.n; i++) {
        const Node *n = f->region->nodes.at[i];
        Value *stored, *leaf = view_prologue(n, &stored);
        if (!leaf || f->must[stored->id] || f->uses[stored->id] != 1 || f->uses[n->in[0]->id] != 1) continue;
        f->loaded[stored->id] = true;
        fuse_require(f, leaf);
    }
}

void fuse_mark_required(Fuse *f)
{
    Region *r = f->region;
    mark_loaded(f);
    for (int i = 0; i < r->nodes.n; i++) {
        Node *n = r->nodes.at[i];
        if (f->group[n->id]) {
            if (n == f->group[n->id]->anchor) require_operands(f, f->group[n->id]->attention);
            continue;
        }
        if (n->op == OP_CONST && !fuse_is_splat(n->out[0])) fuse_require(f, n->out[0]);
        if (fuse_is_host_op(n->op)) {
            for (int k = 0; k < n->n_in; k++) fuse_require(f, n->in[k]);
            for (int k = 0; k < n->n_out; k++) fuse_require(f, n->out[k]);
        }
        switch (n->op) {
        case OP_DOT:
        case OP_CONV:
            if (wants_channels_last(f, n))
                fuse_require(f, fuse_read_as(n->in[0]));
            else if (!value_widened(n->in[0]) || !f->loaded[n->in[0]->def->in[0]->id])
                require_affine(f, n->in[0]);
            if (wants_order(n))
                fuse_require(f, fuse_read_as(n->in[1]));
            else
                require_affine(f, n->in[1]);
            break;
        case OP_WINDOW:
        case OP_ARGWINDOW:
        case OP_COMPACT:
        case OP_SORT: require_affine(f, n->in[0]); break;
        case OP_SCATTER:
            require_affine(f, n->in[1]);
            require_affine(f, n->in[2]);
            break;
        case OP_BARRIER: fuse_require(f, n->out[0]); break;
        case OP_CAST:
            if (attr_i(n, A_STORED, 0) && !f->loaded[n->out[0]->id]) fuse_require(f, n->out[0]);
            break;
        default: break;
        }
        if (n->op == OP_SORT || n->op == OP_SCATTER || n->op == OP_COMPACT || n->op == OP_CUMULATE || n->op == OP_BARRIER)
            for (int k = 0; k < n->n_out; k++) fuse_require(f, n->out[k]);
        if (!f->fuse)
            for (int k = 0; k < n->n_out; k++)
                if (!fuse_is_splat(n->out[k])) fuse_require(f, n->out[k]);
    }
}

bool fuse_is_view(const Node *n)
{
    return n && (n->op == OP_RESHAPE || (n->op == OP_BARRIER && attr_i(n, A_VIEW, 0)));
}

/* Memory for v: a reshape is a view of its operand. */
void fuse_materialize(Fuse *f, Value *v)
{
    f->s->materialized[v->id] = true;
    if (fuse_is_view(v->def) && v->def->parent == f->region) {
        Value *x = v->def->in[0];
        f->s->alias[v->id] = x;
        if (!f->s->materialized[x->id]) fuse_materialize(f, x);
    }
}
