/* Regions as steps: dispatches, and control flow as copies between buffers that branches and iterations share. */
#include <string.h>

#include "codegen/plan.h"

typedef struct StepList {
    VEC(Dlvk__Plan__Step *) at;
} StepList;

/* Opens step number b->step; whatever is touched until the next is alive in it. */
static Dlvk__Plan__Step *step_new(PlanBuilder *b, StepList *l, Dlvk__Plan__Step__KindCase kind)
{
    Dlvk__Plan__Step *s = PLAN_NEW(b, Step, step);
    s->kind_case = kind;
    *VEC_PUSH(b->pool, l->at) = s;
    return s;
}

static void add_copy(PlanBuilder *b, StepList *l, uint32_t from, const Dim *from_offset, uint32_t to, const Dim *to_offset,
                     const Dim *bytes)
{
    Dlvk__Plan__Step *s = step_new(b, l, DLVK__PLAN__STEP__KIND_COPY);
    const Dim *zero = dim_const(&b->ctx->dims, 0);
    plan_touch(b, from);
    plan_touch(b, to);
    s->copy = PLAN_NEW(b, Copy, copy);
    s->copy->from = from;
    s->copy->to = to;
    s->copy->bytes = plan_expr(b, bytes);
    s->copy->from_offset = plan_expr(b, from_offset ? from_offset : zero);
    s->copy->to_offset = plan_expr(b, to_offset ? to_offset : zero);
    b->step++;
}

static void add_define(PlanBuilder *b, StepList *l, const Dim *symbol, const Dim *value)
{
    Dlvk__Plan__Step *s = step_new(b, l, DLVK__PLAN__STEP__KIND_DEFINE);
    s->define = PLAN_NEW(b, Define, define);
    s->define->symbol = plan_symbol(b, symbol->sym);
    s->define->value = plan_expr(b, value);
    b->step++;
}

static uint32_t *source_of(PlanBuilder *b, const Node *n, size_t *count)
{
    *count = n->origin ? 1 : 0;
    uint32_t *s = POOL_ARRAY(b->pool, uint32_t, 1);
    if (n->origin) s[0] = plan_source(b, n->origin);
    return s;
}

static void add_read_dims(PlanBuilder *b, StepList *l, uint32_t buffer, DType t, const Dim *const *symbols, int n,
                          const Node *node)
{
    Dlvk__Plan__Step *s = step_new(b, l, DLVK__PLAN__STEP__KIND_READ_DIMS);
    plan_touch(b, buffer);
    s->read_dims = PLAN_NEW(b, ReadDims, read_dims);
    s->read_dims->buffer = buffer;
    s->read_dims->dtype = (uint32_t)t;
    s->read_dims->symbol = POOL_ARRAY(b->pool, uint32_t, n);
    for (int i = 0; i < n; i++) s->read_dims->symbol[s->read_dims->n_symbol++] = plan_symbol(b, symbols[i]->sym);
    s->read_dims->source = source_of(b, node, &s->read_dims->n_source);
    b->step++;
}

static bool is_data_symbol(const Dim *d)
{
    return d->kind == DIM_SYM && d->sym->data;
}

static Dlvk__Plan__HostValue **host_values(PlanBuilder *b, int n, Value *const *v)
{
    Dlvk__Plan__HostValue **list = POOL_ARRAY(b->pool, Dlvk__Plan__HostValue *, n);
    for (int i = 0; i < n; i++) {
        list[i] = PLAN_NEW(b, HostValue, host_value);
        list[i]->buffer = plan_buffer(b, v[i]);
        list[i]->dtype = (uint32_t)v[i]->type.dtype;
        list[i]->dim = POOL_ARRAY(b->pool, uint32_t, v[i]->type.rank);
        for (int d = 0; d < v[i]->type.rank; d++) list[i]->dim[list[i]->n_dim++] = plan_expr(b, v[i]->type.dim[d]);
    }
    return list;
}

static void add_host(PlanBuilder *b, StepList *l, const Node *n)
{
    Dlvk__Plan__Step *s = step_new(b, l, DLVK__PLAN__STEP__KIND_HOST);
    Dlvk__Plan__Host *m = s->host = PLAN_NEW(b, Host, host);
    const Attr *symbols = node_attr(n, A_VALUES);
    m->op = pool_strdup(b->pool, node_attr(n, A_NAME)->str);
    m->text = pool_strdup(b->pool, node_attr(n, A_TEXT)->str);
    m->n_in = (size_t)n->n_in, m->in = host_values(b, n->n_in, n->in);
    m->n_out = (size_t)n->n_out, m->out = host_values(b, n->n_out, n->out);
    m->symbol = POOL_ARRAY(b->pool, uint32_t, symbols->n);
    for (int i = 0; i < symbols->n; i++) m->symbol[m->n_symbol++] = plan_symbol(b, symbols->dims[i]->sym);
    m->source = source_of(b, n, &m->n_source);
    b->step++;
}

/* The data symbols among `to`'s dims receive the sizes of `from`. */
static void define_sizes(PlanBuilder *b, StepList *l, Type to, Type from)
{
    for (int d = 0; d < to.rank; d++)
        if (is_data_symbol(to.dim[d]) && to.dim[d] != from.dim[d]) add_define(b, l, to.dim[d], from.dim[d]);
}

static bool add_steps(PlanBuilder *b, StepList *l, Region *r);

static Dlvk__Plan__Region *region_message(PlanBuilder *b, StepList *l)
{
    Dlvk__Plan__Region *m = PLAN_NEW(b, Region, region);
    m->n_step = (size_t)l->at.n;
    m->step = l->at.at;
    return m;
}

/* Copies of results into the node's outputs, and the sizes that only this branch knows. */
static void yield_results(PlanBuilder *b, StepList *l, Region *r, Node *n)
{
    for (int i = 0; i < n->n_out; i++) define_sizes(b, l, n->out[i]->type, r->results.at[i]->type);
    for (int i = 0; i < n->n_out; i++)
        add_copy(b, l, plan_buffer(b, r->results.at[i]), NULL, plan_buffer(b, n->out[i]), NULL,
                 plan_value_bytes(b, r->results.at[i]));
}

static bool add_if(PlanBuilder *b, StepList *l, Node *n)
{
    Dlvk__Plan__Step *s = step_new(b, l, DLVK__PLAN__STEP__KIND_BRANCH);
    s->branch = PLAN_NEW(b, If, if);
    s->branch->condition = plan_buffer(b, n->in[0]);
    s->branch->source = source_of(b, n, &s->branch->n_source);
    for (int i = 0; i < n->n_out; i++) plan_buffer(b, n->out[i]);
    b->step++;
    for (int k = 0; k < 2; k++) {
        StepList body = {0};
        if (n->region_at[k]->guard) add_define(b, &body, n->region_at[k]->guard, dim_const(&b->ctx->dims, 1));
        if (!add_steps(b, &body, n->region_at[k])) return false;
        yield_results(b, &body, n->region_at[k], n);
        *(k ? &s->branch->otherwise : &s->branch->then) = region_message(b, &body);
    }
    for (int i = 0; i < n->n_out; i++) plan_buffer(b, n->out[i]);
    return true;
}

static bool always_true(const Value *v)
{
    double x;
    return value_scalar(v, &x) && x != 0;
}

static bool unbounded(const Value *v)
{
    const Tensor *t;
    return value_const(v, &t) && t->count == 1 && elem_get_i(t->dtype, t->data, 0) == INT64_MAX;
}

/* Whether a number of iterations is one that must not change any more: the loop is given it, or an earlier loop has counted it,
 * for a loop is repeated where it is differentiated more than once. */
static bool is_counted(const PlanBuilder *b, const Dim *count, const Node *loop)
{
    const Value *trips = loop->in[0];
    if (trips->elems && trips->elems[0] == count) return true;
    for (const Region *at = loop->region_at[0]->parent; at; at = at->parent)
        for (int i = 0; i < b->counted.n; i++)
            if (b->counted.at[i].count == count && b->counted.at[i].in == at) return true;
    return false;
}

/* Carried value i lives in its parameter's buffer: initialised before the loop, rewritten at the end of each iteration, and the
 * output afterwards. New values pass through temporaries, for one may be another's old value. */
static bool add_loop(PlanBuilder *b, StepList *l, Node *n)
{
    Region *body = n->region_at[0];
    DimTable *dt = &b->ctx->dims;
    int carried = n->n_in - 2;
    uint32_t first_step = b->step;
    const Dim *flag = dim_const(dt, 4);
    bool conditional = !always_true(n->in[1]) || !always_true(body->results.at[0]);
    uint32_t cond = 0;
    if (conditional) {
        cond = plan_scratch(b, flag, "loop condition");
        add_copy(b, l, plan_buffer(b, n->in[1]), NULL, cond, NULL, flag);
    }
    for (int i = 0; i < carried; i++) {
        Value *p = body->params.at[i + 1];
        define_sizes(b, l, p->type, n->in[i + 2]->type);
        add_copy(b, l, plan_buffer(b, n->in[i + 2]), NULL, plan_buffer(b, p), NULL, plan_value_bytes(b, n->in[i + 2]));
    }
    const Dim *iteration = dim_fresh(dt, "iteration", NULL, true);
    const Dim *count = NULL;
    for (int i = carried; i < n->n_out; i++) {
        const Dim *d = n->out[i]->type.dim[0];
        if (is_data_symbol(d) && !is_counted(b, d, n)) count = d;
    }
    Dlvk__Plan__Step *s = step_new(b, l, DLVK__PLAN__STEP__KIND_LOOP);
    Dlvk__Plan__Loop *m = s->loop = PLAN_NEW(b, Loop, loop);
    m->source = source_of(b, n, &m->n_source);
    if (!unbounded(n->in[0])) m->trip_count = plan_buffer(b, n->in[0]) + 1;
    if (conditional) m->condition = cond + 1;
    m->iteration = plan_buffer(b, body->params.at[0]) + 1;
    if (count) m->count_symbol = plan_symbol(b, count->sym) + 1;
    m->iteration_symbol = plan_symbol(b, iteration->sym) + 1;
    for (int i = carried; i < n->n_out; i++) plan_buffer(b, n->out[i]);
    b->step++;

    b->depth++;
    StepList steps = {0};
    if (!add_steps(b, &steps, body)) return false;
    for (int i = carried; i < n->n_out; i++) {
        Value *r = body->results.at[i + 1];
        const Dim *bytes = dim_const(dt, dtype_bits(r->type.dtype));
        bytes = dim_ceildiv(dt, dim_mul(dt, bytes, type_count(b->ctx, r->type)), dim_const(dt, 8));
        add_copy(b, &steps, plan_buffer(b, r), NULL, plan_buffer(b, n->out[i]), dim_mul(dt, iteration, bytes), bytes);
    }
    /* New values, and new sizes, pass through temporaries: one may be another's old one, or be made of it. */
    uint32_t *temp = POOL_ARRAY(b->pool, uint32_t, carried + 1);
    Type *sizes = POOL_ARRAY(b->pool, Type, carried + 1);
    for (int i = 0; i < carried; i++) {
        Value *r = body->results.at[i + 1], *root = schedule_storage(b->s, r), *p = body->params.at[i + 1];
        bool resized = false;
        const Dim *dim[DLVK_MAX_RANK];
        for (int d = 0; d < p->type.rank; d++) {
            dim[d] = p->type.dim[d];
            if (!is_data_symbol(dim[d]) || dim[d] == r->type.dim[d]) continue;
            dim[d] = dim_fresh(dt, "next", NULL, true);
            add_define(b, &steps, dim[d], r->type.dim[d]);
            resized = true;
        }
        sizes[i] = type_make(b->ctx, p->type.dtype, p->type.rank, dim);
        temp[i] = plan_buffer(b, r);
        if (root == p || (root->def != NULL && !resized)) continue;
        const Dim *bytes = plan_type_bytes(b, sizes[i]);
        temp[i] = plan_scratch(b, bytes, "loop value");
        add_copy(b, &steps, plan_buffer(b, r), NULL, temp[i], NULL, bytes);
    }
    if (conditional) add_copy(b, &steps, plan_buffer(b, body->results.at[0]), NULL, cond, NULL, flag);
    for (int i = 0; i < carried; i++) define_sizes(b, &steps, body->params.at[i + 1]->type, sizes[i]);
    for (int i = 0; i < carried; i++) {
        Value *p = body->params.at[i + 1];
        if (schedule_storage(b->s, body->results.at[i + 1]) == p) continue;
        add_copy(b, &steps, temp[i], NULL, plan_buffer(b, p), NULL, plan_type_bytes(b, sizes[i]));
    }
    m->body = region_message(b, &steps);
    uint32_t last_step = b->step - 1;
    b->depth--;
    if (count) *VEC_PUSH(b->pool, b->counted) = (Counted){count, body->parent};
    /* What lives around the loop lives through all of it, as do its carried buffers. */
    int kept = 0;
    for (int i = 0; i < b->outer.n; i++) {
        Outer o = b->outer.at[i];
        Dlvk__Plan__Buffer *buf = b->buffers.at[o.buffer].msg;
        if (buf->last < last_step) buf->last = last_step;
        if (o.depth < b->depth) b->outer.at[kept++] = o;
    }
    b->outer.n = kept;
    for (int i = 0; i <= carried; i++) {
        Dlvk__Plan__Buffer *buf = b->buffers.at[plan_buffer(b, body->params.at[i])].msg;
        if (buf->first > first_step) buf->first = first_step;
        if (buf->last < last_step) buf->last = last_step;
    }
    for (int i = 0; i < carried; i++) {
        Value *p = body->params.at[i + 1];
        for (int d = 0; d < p->type.rank; d++)
            if (n->out[i]->type.dim[d]->kind == DIM_SYM && n->out[i]->type.dim[d]->sym->data &&
                n->out[i]->type.dim[d] != p->type.dim[d])
                add_define(b, l, n->out[i]->type.dim[d], p->type.dim[d]);
        add_copy(b, l, plan_buffer(b, p), NULL, plan_buffer(b, n->out[i]), NULL, plan_value_bytes(b, p));
    }
    return true;
}

/* Nothing to write, whatever the sizes: there may not even be an element to name in the source. */
static bool is_empty(PlanBuilder *b, const Kernel *k)
{
    for (int i = 0; i < k->out.n; i++)
        if (!dim_is(type_count(b->ctx, k->out.at[i]->type), 0)) return false;
    return k->arch != ARCH_COMPACT;
}

/* What a kernel makes that runs before all others, and only where sizes have changed. */
static void keep_outputs(PlanBuilder *b, const Kernel *k)
{
    for (int i = 0; i < k->out.n; i++) {
        uint32_t buffer = plan_buffer(b, k->out.at[i]); /* may move the table */
        b->buffers.at[buffer].msg->kind = DLVK__PLAN__BUFFER__KIND__PREPARED;
    }
    for (int i = 0; i < k->parts.n; i++) keep_outputs(b, k->parts.at[i]);
}

static bool add_kernel(PlanBuilder *b, StepList *l, const Kernel *k)
{
    if (is_empty(b, k)) return true;
    Dlvk__Plan__Step *s = step_new(b, l, DLVK__PLAN__STEP__KIND_DISPATCH);
    s->dispatch = plan_dispatch(b, k);
    if (!s->dispatch) return false;
    while (b->step_of.n <= k->id) *VEC_PUSH(b->pool, b->step_of) = 0;
    b->step_of.at[k->id] = ++b->step;
    if (k->arch != ARCH_COMPACT) return true;
    /* The number of indices stands behind the longest list there could be. */
    DimTable *dt = &b->ctx->dims;
    Value *v = k->out.at[0];
    const Dim *eight = dim_const(dt, 8);
    uint32_t count = plan_scratch(b, eight, "count");
    add_copy(b, l, plan_buffer(b, v), dim_mul(dt, k->anchor->in[0]->type.dim[0], eight), count, NULL, eight);
    add_read_dims(b, l, count, DLVK_I64, v->type.dim, 1, k->anchor);
    return true;
}

static bool add_steps(PlanBuilder *b, StepList *l, Region *r)
{
    RegionSchedule *rs = schedule_region(b->s, r);
    bool ok = true;
    for (int i = 0; i < rs->steps.n; i++) {
        Step *s = &rs->steps.at[i];
        if (i < rs->prepared) keep_outputs(b, s->kernel);
        if (s->kernel)
            ok &= add_kernel(b, l, s->kernel);
        else if (s->node->op == OP_IF)
            ok &= add_if(b, l, s->node);
        else if (s->node->op == OP_LOOP)
            ok &= add_loop(b, l, s->node);
        else if (s->node->op == OP_HOST)
            add_host(b, l, s->node);
        else
            add_read_dims(b, l, plan_buffer(b, s->node->in[0]), s->node->in[0]->type.dtype, node_attr(s->node, A_VALUES)->dims,
                          node_attr(s->node, A_VALUES)->n, s->node);
        if (i < rs->prepared) b->prepared = b->step;
    }
    return ok;
}

Dlvk__Plan__Region *plan_region(PlanBuilder *b, Region *r)
{
    StepList l = {0};
    bool ok = add_steps(b, &l, r);
    return ok ? region_message(b, &l) : NULL;
}
