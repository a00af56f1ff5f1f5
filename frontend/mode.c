/* Models for both training and inference; see mode.h. */
#include "frontend/mode.h"

#include "frontend/compose.h"

static Value *hide(Build *b, Value *v)
{
    return build_op(b, OP_BARRIER, 1, &v, 0, NULL);
}

void mode_begin(Build *b, ModelParts *m)
{
    m->trains = true;
    m->training = hide(b, build_scalar_i(b, DLVK_BOOL, 0));
    m->seed = hide(b, build_scalar_i(b, DLVK_U64, 0));
}

Value *mode_weight(Build *b, ModelParts *m, Value *constant, const char *name)
{
    Value *v = hide(b, constant);
    if (!v) return NULL;
    v->name = name;
    if (dtype_is_float(v->type.dtype)) *VEC_PUSH(b->ctx->pool, m->weights) = v;
    return v;
}

/* ---- resolving ---- */

typedef struct Resolve {
    const ModelParts *parts;
    bool *hidden; /* by value id */
    bool keep;    /* parameters stay behind their barriers */
    ModeReplace replace;
    void *user;
} Resolve;

static bool resolve(Rewrite *rw, const Node *old, Value *const *in, Value **out)
{
    const Resolve *r = rw->user;
    double x;
    if (old->op == OP_BARRIER && r->hidden[old->out[0]->id]) {
        if (r->keep && old->out[0] != r->parts->training && old->out[0] != r->parts->seed) return false;
        Value *v = r->replace ? r->replace(rw, old->out[0], r->user) : NULL;
        if (!v) v = in[0];
        out[0] = v;
        return true;
    }
    if (old->op == OP_SELECT && value_scalar(in[0], &x)) { /* on the mode: what it does not choose is not even differentiated */
        out[0] = in[x != 0 ? 1 : 2];
        return true;
    }
    return false;
}

Rewrite *mode_resolve(const ModelParts *m, ModeReplace replace, void *user)
{
    Resolve *r = POOL_NEW(m->graph->ctx->pool, Resolve);
    *r = (Resolve){.parts = m, .replace = replace, .user = user, .keep = !replace};
    r->hidden = POOL_ARRAY(m->graph->ctx->pool, bool, m->graph->n_values);
    for (int i = 0; i < m->weights.n; i++) r->hidden[m->weights.at[i]->id] = true;
    if (m->trains) r->hidden[m->training->id] = r->hidden[m->seed->id] = true;
    return rewrite_start(m->graph, resolve, r, false);
}

Graph *mode_inference(const ModelParts *m)
{
    int errors = m->graph->ctx->diag.errors;
    Graph *g = mode_resolve(m, NULL, NULL)->dst;
    return m->graph->ctx->diag.errors > errors ? NULL : g;
}

/* ---- what differs ---- */

Value *mode_dropout(Build *b, ModelParts *m, Value *x, Value *ratio, Value **mask)
{
    if (!x || !ratio) return NULL;
    Value *place = build_scalar_i(b, DLVK_U64, (int64_t)(++m->random * 0x9E3779B97F4A7C15u));
    Value *seed = build_map2(b, OP_XOR, m->seed, place);
    Attr shape = at_dims(A_SHAPE, x->type.rank, x->type.dim);
    Value *bits = build_map2s(b, OP_SHR, build_op(b, OP_RANDOM, 1, &seed, 1, &shape), 8);
    Value *uniform = build_map2s(b, OP_MUL, build_cast(b, bits, DLVK_F32), 0x1p-24);
    Value *keep = build_map2(b, OP_GE, uniform, ratio);
    Value *rest = build_map2(b, OP_SUB, build_scalar(b, DLVK_F32, 1), ratio);
    Value *gain = build_cast(b, build_map2(b, OP_DIV, build_scalar(b, DLVK_F32, 1), rest), x->type.dtype);
    Value *y = build_map3(b, OP_SELECT, keep, build_map2(b, OP_MUL, x, gain), build_scalar(b, x->type.dtype, 0));
    if (mask) *mask = build_map3(b, OP_SELECT, m->training, keep, build_scalar_i(b, DLVK_BOOL, 1));
    return build_map3(b, OP_SELECT, m->training, y, x);
}

/* keep * of + (1 - keep) * x, for a running statistic. One that several norms share is moved by each of them in turn. */
static Value *moved(Build *b, ModelParts *m, Value *of, Value *x, double keep)
{
    if (!of || !x) return NULL;
    Statistic *s = NULL;
    bool top = b->at == m->graph->top;
    for (int i = 0; top && i < m->statistics.n; i++)
        if (m->statistics.at[i].of == of) s = &m->statistics.at[i];
    Value *part = build_map2s(b, OP_MUL, build_cast(b, x, of->type.dtype), 1 - keep);
    Value *next = build_map2(b, OP_ADD, build_map2s(b, OP_MUL, s ? s->next : of, keep), part);
    for (int i = 0; next && top && !s && i < m->weights.n; i++)
        if (m->weights.at[i] == of) *VEC_PUSH(b->ctx->pool, m->statistics) = (Statistic){of, next};
    if (next && s) s->next = next;
    return next;
}

Value *mode_batch_norm(Build *b, ModelParts *m, Value *x, Value *scale, Value *bias, Value *mean, Value *var,
                       const BatchNormSpec *s)
{
    if (!x || !mean || !var) return NULL;
    Value *batch_mean, *batch_var;
    compose_batch_statistics(b, x, s->per_activation, mean, &batch_mean, &batch_var);
    Value *next_mean = moved(b, m, mean, batch_mean, s->momentum), *next_var = moved(b, m, var, batch_var, s->momentum);
    if (s->next_mean) *s->next_mean = next_mean;
    if (s->next_var) *s->next_var = next_var;
    if (!batch_mean || !batch_var) return NULL;
    mean = build_map3(b, OP_SELECT, m->training, batch_mean, build_cast(b, mean, batch_mean->type.dtype));
    var = build_map3(b, OP_SELECT, m->training, batch_var, build_cast(b, var, batch_var->type.dtype));
    return compose_batch_norm_call(b, x, scale, bias, mean, var, s->epsilon);
}
