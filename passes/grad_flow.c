/* Differentiating control flow.
 *
 * An if's adjoint is an if on the same condition, whose branches repeat the branch and go back through it. A loop's is a loop
 * that runs backwards: the forward one collects the values it carries as they are at the start of every iteration, and the
 * backward one repeats each iteration from those, the last first, and goes back through it. Values around a body that it uses get
 * their adjoints from an if as results, from a loop as sums that it carries. */
#include "passes/grad_internal.h"

/* ---- what depends on wrt ---- */

static bool mark(const Value *v, bool yes, bool *needs)
{
    if (!yes || needs[v->id] || !dtype_is_float(v->type.dtype)) return false;
    return needs[v->id] = true;
}

static void mark_loop(const Node *n, bool *needs)
{
    const Region *body = n->region_at[0];
    int carried = n->n_in - 2;
    bool grew = true;
    for (int k = 0; k < carried; k++) mark(body->params.at[k + 1], needs[n->in[k + 2]->id], needs);
    while (grew) {
        grad_mark(body, needs);
        grew = false;
        for (int k = 0; k < carried; k++) grew |= mark(body->params.at[k + 1], needs[body->results.at[k + 1]->id], needs);
    }
    for (int i = 0; i < n->n_out; i++)
        mark(n->out[i], needs[body->results.at[i + 1]->id] || (i < carried && needs[n->in[i + 2]->id]), needs);
}

void grad_mark(const Region *r, bool *needs)
{
    for (int i = 0; i < r->nodes.n; i++) {
        const Node *n = r->nodes.at[i];
        bool any = false;
        for (int k = 0; k < n->n_in; k++) any |= needs[n->in[k]->id];
        if (n->op == OP_STOP_GRADIENT) continue;
        if (n->op == OP_LOOP) {
            mark_loop(n, needs);
            continue;
        }
        for (int k = 0; n->op == OP_CALL && k < n->n_in; k++) mark(n->region_at[0]->params.at[k], needs[n->in[k]->id], needs);
        for (int k = 0; k < n->n_region; k++) {
            grad_mark(n->region_at[k], needs);
            for (int o = 0; o < n->n_out; o++) mark(n->out[o], needs[n->region_at[k]->results.at[o]->id], needs);
        }
        for (int o = 0; o < n->n_out && !n->n_region; o++) mark(n->out[o], any, needs);
    }
}

/* ---- the copy ---- */

/* Carried values keep their shapes. */
static bool steady(const Node *n)
{
    const Region *body = n->region_at[0];
    for (int k = 0; k < n->n_in - 2; k++) {
        Type t = n->in[k + 2]->type;
        if (!type_equal(t, body->params.at[k + 1]->type) || !type_equal(t, body->results.at[k + 1]->type)) return false;
    }
    return true;
}

/* A new region where an old one's nodes are to be repeated; its parameters are for the caller. */
typedef struct Inside {
    Region *r, *outside;
    const Dim *guard;
} Inside;

static Inside enter(Rewrite *rw, const Region *old)
{
    Inside in = {.outside = rw->b.at};
    in.r = region_new(rw->dst, in.outside);
    in.r->guard = old->guard;
    in.guard = region_enter(in.r);
    rw->b.at = in.r;
    return in;
}

static void leave(Rewrite *rw, const Inside *in)
{
    rw->b.at = in->outside;
    region_leave(in->r, in->guard);
}

static void result(Rewrite *rw, Region *r, Value *v)
{
    *VEC_PUSH(rw->dst->ctx->pool, r->results) = v;
}

/* The attributes with the sizes of the new outputs added, where sizes are recorded. The number of iterations is that of an old
 * scanned output; inference finds it anew when there is none. */
static int loop_attrs(Context *c, const Node *n, Attr *attr)
{
    int carried = n->n_in - 2, count = 0;
    for (int i = 0; i < n->n_attr; i++) {
        Attr a = n->attr[i];
        if (a.id == A_SHAPE) {
            if (n->n_out == carried) continue;
            VEC(const Dim *) d = {0};
            for (int k = 0; k < a.n; k++) *VEC_PUSH(c->pool, d) = a.dims[k];
            for (int k = 0; k < carried; k++) {
                *VEC_PUSH(c->pool, d) = n->out[carried]->type.dim[0];
                for (int x = 0; x < n->in[k + 2]->type.rank; x++) *VEC_PUSH(c->pool, d) = n->in[k + 2]->type.dim[x];
            }
            a.n = d.n;
            a.dims = d.at;
        }
        attr[count++] = a;
    }
    return count;
}

static bool copy_loop(Rewrite *rw, const Node *old, Value *const *in, Value **out)
{
    Grad *g = rw->user;
    const Region *body = old->region_at[0];
    bool any = false;
    for (int i = 0; i < old->n_out; i++) any |= g->needs[old->out[i]->id];
    if (!any || !steady(old)) return false;
    for (int k = 0; k < old->n_in - 2; k++)
        if (old->in[k + 2]->type.rank == DLVK_MAX_RANK) return false;
    Inside to = enter(rw, body);
    for (int i = 0; i < body->params.n; i++) {
        const Value *p = body->params.at[i];
        rw->map[p->id] = region_param(to.r, p->type, p->name);
    }
    rewrite_body(rw, body);
    for (int i = 0; i < body->results.n; i++) result(rw, to.r, rw->map[body->results.at[i]->id]);
    for (int i = 1; i < to.r->params.n; i++) result(rw, to.r, to.r->params.at[i]);
    leave(rw, &to);
    Attr *attr = POOL_ARRAY(g->c->pool, Attr, old->n_attr);
    int n_attr = loop_attrs(g->c, old, attr);
    Node *n = build_node(&rw->b, OP_LOOP, old->n_in, in, n_attr, attr, 1, &to.r);
    for (int i = 0; n && i < old->n_out; i++) out[i] = n->out[i];
    g->saving[old->id] = n;
    return true;
}

bool grad_copy(Rewrite *rw, const Node *old, Value *const *in, Value **out)
{
    const Grad *g = rw->user;
    if (old->op == OP_LOOP) return copy_loop(rw, old, in, out);
    if (old->op == OP_BARRIER && g->needs[old->out[0]->id] && !g->needs[old->in[0]->id]) { /* one of wrt */
        out[0] = in[0];
        return true;
    }
    if (old->op != OP_CALL) return false;
    rewrite_inline(rw, old, in, out);
    return true;
}

/* ---- adjoints ---- */

typedef struct Captures { /* old values that bodies use from around them, each once */
    const Grad *g;
    VEC(const Value *) of;
    VEC(Value *) outer; /* their adjoints so far, put aside */
} Captures;

static bool is_inside(const Value *v, const Region *body)
{
    const Region *r = v->region;
    while (r && r != body) r = r->parent;
    return r != NULL;
}

/* What has not been copied is read by dead nodes alone, which pass nothing on. */
static void capture(Captures *c, const Value *v, const Region *body)
{
    if (!c->g->needs[v->id] || !c->g->rw->map[v->id] || is_inside(v, body)) return;
    for (int i = 0; i < c->of.n; i++)
        if (c->of.at[i] == v) return;
    *VEC_PUSH(c->g->c->pool, c->of) = v;
}

static void capture_all(Captures *c, const Region *r, const Region *body)
{
    for (int i = 0; i < r->nodes.n; i++) {
        const Node *n = r->nodes.at[i];
        for (int k = 0; k < n->n_in; k++) capture(c, n->in[k], body);
        for (int k = 0; k < n->n_region; k++) capture_all(c, n->region_at[k], body);
    }
    for (int i = 0; i < r->results.n; i++) capture(c, r->results.at[i], body);
}

static Captures captures_of(Grad *g, const Node *n)
{
    Captures c = {.g = g};
    for (int i = 0; i < n->n_region; i++) capture_all(&c, n->region_at[i], n->region_at[i]);
    return c;
}

static void put_aside(Grad *g, Captures *c)
{
    c->outer.n = 0;
    for (int i = 0; i < c->of.n; i++) {
        Value **d = &g->adjoint[c->of.at[i]->id];
        *VEC_PUSH(g->c->pool, c->outer) = *d;
        *d = NULL;
    }
}

static void put_back(Grad *g, const Captures *c)
{
    for (int i = 0; i < c->of.n; i++) g->adjoint[c->of.at[i]->id] = c->outer.at[i];
}

/* The adjoint of an old value, zeros where nothing has come. */
static Value *adjoint_of(Grad *g, const Value *old)
{
    Value *d = g->adjoint[old->id], *v = g->rw->map[old->id];
    return d ? d : v ? zeros_like(g->b, v) : NULL;
}

void adjoint_call(Adjoint *a) /* its body stands where the call stood */
{
    const Region *body = a->n->region_at[0];
    for (int i = 0; i < a->n->n_out; i++) grad_add(a->g, body->results.at[i], a->d[i]);
    grad_region(a->g, body);
    for (int i = 0; i < a->n->n_in; i++) a->dx[i] = a->g->adjoint[body->params.at[i]->id];
}

static Region *if_branch(Adjoint *a, const Region *old, Captures *c)
{
    Grad *g = a->g;
    Inside to = enter(g->rw, old);
    rewrite_body(g->rw, old);
    put_aside(g, c);
    for (int i = 0; i < a->n->n_out; i++) {
        const Value *y = g->rw->map[old->results.at[i]->id];
        if (a->d[i] && y) grad_add(g, old->results.at[i], reshape_like(g->b, a->d[i], y));
    }
    grad_region(g, old);
    for (int i = 0; i < c->of.n; i++) result(g->rw, to.r, adjoint_of(g, c->of.at[i]));
    put_back(g, c);
    leave(g->rw, &to);
    return to.r;
}

void adjoint_if(Adjoint *a)
{
    Captures c = captures_of(a->g, a->n);
    if (!c.of.n) return;
    Region *branch[] = {if_branch(a, a->n->region_at[0], &c), if_branch(a, a->n->region_at[1], &c)};
    Node *n = build_node(a->b, OP_IF, 1, a->in, 0, NULL, 2, branch);
    for (int i = 0; n && i < c.of.n; i++) grad_add(a->g, c.of.at[i], n->out[i]);
}

/* One iteration backwards: its results are the adjoints of the carried values before it, and the sums. */
static void loop_body(Adjoint *a, const Node *forward, const Dim *trips, Region *r, const bool *goes, Captures *c)
{
    Grad *g = a->g;
    Build *b = g->b;
    const Region *body = a->n->region_at[0];
    int carried = a->n->n_in - 2, k = 1;
    const Dim *last = dim_sub(&g->c->dims, trips, dim_const(&g->c->dims, 1));
    Value *i = build_map2(b, OP_SUB, build_dims(b, DLVK_I64, -1, &last), r->params.at[0]);
    g->rw->map[body->params.at[0]->id] = i;
    for (int j = 0; j < carried; j++)
        g->rw->map[body->params.at[j + 1]->id] = build_gather(b, forward->out[a->n->n_out + j], i, 0);
    rewrite_body(g->rw, body);
    for (int j = 0; j < carried; j++)
        if (goes[j]) grad_add(g, body->results.at[j + 1], r->params.at[k++]);
    for (int j = carried; j < a->n->n_out; j++)
        if (a->d[j]) grad_add(g, body->results.at[j + 1], build_gather(b, a->d[j], i, 0));
    grad_region(g, body);
    result(g->rw, r, build_scalar(b, DLVK_BOOL, 1));
    for (int j = 0; j < carried; j++)
        if (goes[j]) result(g->rw, r, adjoint_of(g, body->params.at[j + 1]));
    for (int j = 0; j < c->of.n; j++) {
        Value *more = g->adjoint[c->of.at[j]->id];
        result(g->rw, r, more ? add(b, r->params.at[k], more) : r->params.at[k]);
        k++;
    }
}

void adjoint_loop(Adjoint *a)
{
    Grad *g = a->g;
    Build *b = a->b;
    const Node *n = a->n, *forward = g->saving[n->id];
    const Region *body = n->region_at[0];
    int carried = n->n_in - 2;
    if (!forward) {
        grad_blocked(a, "a loop whose carried values change their shapes has no gradient");
        return;
    }
    const Dim *trips = forward->out[carried]->type.dim[0]; /* a scanned one, or the first collected */
    Captures c = captures_of(g, n);
    VEC(Value *) in = {0};
    bool *goes = POOL_ARRAY(g->c->pool, bool, carried);
    *VEC_PUSH(g->c->pool, in) = build_dims(b, DLVK_I64, -1, &trips);
    *VEC_PUSH(g->c->pool, in) = build_scalar(b, DLVK_BOOL, 1);
    for (int k = 0; k < carried; k++)
        if ((goes[k] = g->needs[body->params.at[k + 1]->id] || a->d[k]))
            *VEC_PUSH(g->c->pool, in) = a->d[k] ? a->d[k] : zeros_like(b, a->in[k + 2]);
    for (int k = 0; k < c.of.n; k++) *VEC_PUSH(g->c->pool, in) = zeros_like(b, g->rw->map[c.of.at[k]->id]);
    for (int k = 0; k < in.n; k++)
        if (!in.at[k]) return; /* an error has been recorded */
    Inside to = enter(g->rw, body);
    region_param(to.r, type_make(g->c, DLVK_I64, 0, NULL), "iteration");
    for (int k = 2; k < in.n; k++) region_param(to.r, in.at[k]->type, NULL);
    put_aside(g, &c);
    loop_body(a, forward, trips, to.r, goes, &c);
    put_back(g, &c);
    leave(g->rw, &to);
    Node *back = build_node(b, OP_LOOP, in.n, in.at, 0, NULL, 1, &to.r);
    int k = 0;
    for (int j = 0; back && j < carried; j++)
        if (goes[j]) a->dx[j + 2] = back->out[k++];
    for (int j = 0; back && j < c.of.n; j++) grad_add(g, c.of.at[j], back->out[k++]);
}
