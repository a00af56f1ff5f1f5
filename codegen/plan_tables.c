/* The plan's tables: expressions, symbols, buffers, blobs, modules, pipelines, sources; see plan.h. */
#include <string.h>

#include "codegen/plan.h"

uint32_t plan_symbol(PlanBuilder *b, const Symbol *s)
{
    if (s->index >= b->symbol_cap) { /* loops make symbols of their own while the plan is built */
        int cap = s->index * 2 + 64, *at = POOL_ARRAY(b->pool, int, cap);
        if (b->symbol_cap) memcpy(at, b->symbol_of, (size_t)b->symbol_cap * sizeof *at);
        b->symbol_of = at;
        b->symbol_cap = cap;
    }
    if (!b->symbol_of[s->index]) {
        Dlvk__Plan__Symbol *m = PLAN_NEW(b, Symbol, symbol);
        m->name = pool_strdup(b->pool, s->name);
        m->lo = s->lo;
        m->hi = s->hi;
        m->data = s->data;
        *VEC_PUSH(b->pool, b->symbols) = m;
        b->symbol_of[s->index] = b->symbols.n;
    }
    return (uint32_t)b->symbol_of[s->index] - 1;
}

static uint32_t push_expr(PlanBuilder *b, Dlvk__Plan__Expr__Op op, uint32_t x, uint32_t y)
{
    Dlvk__Plan__Expr *m = PLAN_NEW(b, Expr, expr);
    m->op = op;
    m->a = x;
    m->b = y;
    *VEC_PUSH(b->pool, b->exprs) = m;
    return (uint32_t)b->exprs.n - 1;
}

uint32_t plan_expr(PlanBuilder *b, const Dim *d)
{
    if (d->id >= b->expr_cap) {
        uint32_t cap = b->ctx->dims.next_id * 2 + 64;
        int *at = POOL_ARRAY(b->pool, int, cap);
        if (b->expr_cap) memcpy(at, b->expr_of, b->expr_cap * sizeof *at);
        b->expr_of = at;
        b->expr_cap = cap;
    }
    if (b->expr_of[d->id]) return (uint32_t)b->expr_of[d->id] - 1;
    static const Dlvk__Plan__Expr__Op op_of[] = {
        [DIM_ADD] = DLVK__PLAN__EXPR__OP__ADD,           [DIM_MUL] = DLVK__PLAN__EXPR__OP__MUL,
        [DIM_FLOORDIV] = DLVK__PLAN__EXPR__OP__FLOORDIV, [DIM_MOD] = DLVK__PLAN__EXPR__OP__MOD,
        [DIM_MIN] = DLVK__PLAN__EXPR__OP__MIN,           [DIM_MAX] = DLVK__PLAN__EXPR__OP__MAX};
    uint32_t e;
    if (d->kind == DIM_CONST || d->kind == DIM_SYM) {
        uint32_t sym = d->kind == DIM_SYM ? plan_symbol(b, d->sym) : 0;
        e = push_expr(b, d->kind == DIM_CONST ? DLVK__PLAN__EXPR__OP__CONST : DLVK__PLAN__EXPR__OP__SYMBOL, 0, 0);
        b->exprs.at[e]->value = d->value;
        b->exprs.at[e]->symbol = sym;
    } else {
        e = plan_expr(b, d->arg[0]);
        for (int i = 1; i < d->n; i++) {
            uint32_t rhs = plan_expr(b, d->arg[i]);
            e = push_expr(b, op_of[d->kind], e, rhs);
        }
    }
    b->expr_of[d->id] = (int)e + 1;
    return e;
}

uint32_t plan_blob(PlanBuilder *b, const void *data, uint64_t length, uint64_t bytes)
{
    *VEC_PUSH(b->pool, b->blobs) = (BlobData){data, length, bytes};
    return (uint32_t)b->blobs.n - 1;
}

/* ---- buffers ------------------------------------------------------------------------------------------------------- */

const Dim *plan_type_bytes(PlanBuilder *b, Type t)
{
    DimTable *dt = &b->ctx->dims;
    int bits = dtype_bits(t.dtype);
    const Dim *n = type_count(b->ctx, t);
    if (bits >= 32) return dim_mul(dt, n, dim_const(dt, bits / 8));
    return dim_mul(dt, dim_ceildiv(dt, n, dim_const(dt, 32 / bits)), dim_const(dt, 4));
}

const Dim *plan_value_bytes(PlanBuilder *b, Value *v)
{
    DimTable *dt = &b->ctx->dims;
    v = schedule_storage(b->s, v);
    /* compact's indices are followed by their number, and there may be as many as operand elements */
    if (v->def && v->def->op == OP_COMPACT)
        return dim_mul(dt, dim_add(dt, v->def->in[0]->type.dim[0], dim_const(dt, 1)), dim_const(dt, 8));
    if (b->s->wide[v->id]) return dim_mul(dt, type_count(b->ctx, v->type), dim_const(dt, 4));
    return plan_type_bytes(b, v->type);
}

void plan_touch(PlanBuilder *b, uint32_t buffer)
{
    BufferEntry *e = &b->buffers.at[buffer];
    if (b->step < e->msg->first) e->msg->first = b->step;
    if (b->step > e->msg->last) e->msg->last = b->step;
    if (e->depth < b->depth) *VEC_PUSH(b->pool, b->outer) = (Outer){(int)buffer, e->depth};
}

static uint32_t buffer_new(PlanBuilder *b, Value *v, const Dim *bytes, const char *name)
{
    Dlvk__Plan__Buffer *m = PLAN_NEW(b, Buffer, buffer);
    m->kind = DLVK__PLAN__BUFFER__KIND__ARENA;
    m->size = plan_expr(b, bytes);
    m->first = m->last = b->step;
    m->name = pool_strdup(b->pool, name ? name : "");
    if (v && !b->s->wide[v->id]) m->dtype = (uint32_t)v->type.dtype + 1;
    *VEC_PUSH(b->pool, b->buffers) = (BufferEntry){v, m, b->depth};
    return (uint32_t)b->buffers.n - 1;
}

uint32_t plan_scratch(PlanBuilder *b, const Dim *bytes, const char *name)
{
    return buffer_new(b, NULL, bytes, name);
}

const Tensor *stored_tensor(Pool *p, StringTable *strings, const Tensor *t)
{
    if (t->dtype != DLVK_STRING) return t;
    int64_t n = t->splat ? 1 : t->count;
    uint32_t *handle = POOL_ARRAY(p, uint32_t, n);
    for (int64_t i = 0; i < n; i++) handle[i] = strings_intern(strings, ((const Str *)t->data)[i]);
    Tensor r = *tensor_new(p, DLVK_U32, t->rank, t->dim, handle);
    r.splat = t->splat;
    r.bytes = (size_t)n * sizeof *handle;
    return pool_dup(p, &r, sizeof r);
}

int64_t plan_counters(PlanBuilder *b, int64_t bytes, uint32_t *buffer)
{
    if (!b->counters) {
        b->counters = buffer_new(b, NULL, dim_const(&b->ctx->dims, 0), "counters") + 1;
        b->buffers.at[b->counters - 1].msg->kind = DLVK__PLAN__BUFFER__KIND__COUNTER;
    }
    *buffer = b->counters - 1;
    int64_t at = b->counter_bytes;
    b->counter_bytes += bytes;
    b->buffers.at[*buffer].msg->size = plan_expr(b, dim_const(&b->ctx->dims, b->counter_bytes));
    return at;
}

/* A constant's bytes: padded to whole words by the runtime's upload, a splat stored once. */
static uint32_t constant_blob(PlanBuilder *b, const Tensor *t, uint64_t size)
{
    t = stored_tensor(b->ctx->pool, b->strings, t);
    if (!t->splat) return plan_blob(b, t->data, t->bytes, t->bytes);
    /* The pattern must be a whole number of words, or of elements below 8 bits. */
    uint64_t unit = t->bytes ? t->bytes : 1, len = unit < 4 ? 4 : unit;
    uint8_t *p = pool_alloc(b->pool, len);
    int bits = dtype_bits(t->dtype);
    for (int64_t i = 0; i < (int64_t)len * 8 / bits; i++) {
        if (dtype_class(t->dtype) == DC_FLOAT)
            elem_set_f(t->dtype, p, i, elem_get_f(t->dtype, t->data, 0));
        else
            elem_set_i(t->dtype, p, i, elem_get_i(t->dtype, t->data, 0));
    }
    return plan_blob(b, p, size < len ? size : len, size);
}

uint32_t plan_buffer(PlanBuilder *b, Value *v)
{
    v = schedule_storage(b->s, v);
    if (!b->buffer_of[v->id]) {
        const Dim *bytes = plan_value_bytes(b, v);
        uint32_t i = buffer_new(b, v, bytes, v->name);
        b->buffer_of[v->id] = (int)i + 1;
        Dlvk__Plan__Buffer *m = b->buffers.at[i].msg;
        m->parts = b->s->part[v->id].assembled;
        const Tensor *t;
        int64_t size;
        if (value_const(v, &t) && dim_is_const(bytes, &size)) {
            m->kind = DLVK__PLAN__BUFFER__KIND__CONSTANT;
            m->blob = constant_blob(b, t, (uint64_t)size) + 1;
        } else if (!v->def && v->region == b->s->graph->top) {
            const Graph *g = b->s->graph;
            int state = v->out - (g->top->params.n - g->n_states);
            m->kind = state < 0 ? DLVK__PLAN__BUFFER__KIND__INPUT : DLVK__PLAN__BUFFER__KIND__STATE;
            if (state >= 0 && g->state[state] && dim_is_const(bytes, &size))
                m->blob = constant_blob(b, g->state[state], (uint64_t)size) + 1;
        }
    }
    uint32_t i = (uint32_t)b->buffer_of[v->id] - 1;
    plan_touch(b, i);
    return i;
}

/* ---- modules, pipelines, sources ----------------------------------------------------------------------------------- */

/* Past any comments, which name nodes; those that have lines to themselves go with the line, since kernels of one structure may
 * have come from different numbers of nodes. */
static const char *skip_comments(const char *text, const char *at)
{
    while (at[0] == '/' && at[1] == '/') {
        bool whole_line = at == text || at[-1] == '\n';
        at += strcspn(at, "\n");
        if (!*at || !whole_line) break;
        at++;
    }
    return at;
}

uint64_t text_key(const char *text)
{
    uint64_t h = 0xcbf29ce484222325u;
    for (const char *s = skip_comments(text, text); *s; s = skip_comments(text, s + 1)) h = (h ^ (uint8_t)*s) * 0x100000001b3u;
    return h;
}

bool same_text(const char *a, const char *b)
{
    const char *x = skip_comments(a, a), *y = skip_comments(b, b);
    while (*x && *x == *y) x = skip_comments(a, x + 1), y = skip_comments(b, y + 1);
    return *x == *y;
}

uint32_t plan_module(PlanBuilder *b, const KernelVariant *v, const char *name)
{
    uint64_t key = text_key(v->glsl);
    /* A preference for one kind of driver is the variant's, not the code's. */
    for (int i = 0; i < b->modules.n; i++) {
        ModuleEntry *m = &b->modules.at[i];
        if (m->key == key && m->features == v->features && same_text(m->glsl, v->glsl)) return (uint32_t)i;
    }
    *VEC_PUSH(b->pool, b->modules) = (ModuleEntry){v->glsl, key, name, v->features, v->push_bytes, v->arg_bytes, v->unroll};
    return (uint32_t)b->modules.n - 1;
}

uint32_t plan_pipeline(PlanBuilder *b, uint32_t module, const KernelVariant *v)
{
    for (int i = 0; i < b->pipelines.n; i++) {
        Dlvk__Plan__Pipeline *p = b->pipelines.at[i];
        if (p->module == module && (int)p->n_spec == v->n_spec && memcmp(p->spec, v->spec, (size_t)v->n_spec * 4) == 0)
            return (uint32_t)i;
    }
    Dlvk__Plan__Pipeline *p = PLAN_NEW(b, Pipeline, pipeline);
    p->module = module;
    p->n_spec = (size_t)v->n_spec;
    p->spec = pool_dup(b->pool, v->spec, (size_t)v->n_spec * 4 + 1);
    *VEC_PUSH(b->pool, b->pipelines) = p;
    return (uint32_t)b->pipelines.n - 1;
}

uint32_t plan_source(PlanBuilder *b, const Origin *o)
{
    for (int i = 0; i < b->source_of.n; i++)
        if (b->source_of.at[i] == o) return (uint32_t)i;
    Dlvk__Plan__Source *m = PLAN_NEW(b, Source, source);
    m->name = pool_strdup(b->pool, o->name ? o->name : "");
    m->op = pool_strdup(b->pool, o->op ? o->op : "");
    *VEC_PUSH(b->pool, b->sources) = m;
    *VEC_PUSH(b->pool, b->source_of) = o;
    return (uint32_t)b->sources.n - 1;
}
