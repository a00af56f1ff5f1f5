/* Losses of models, and the graphs of their gradients. */
#include "frontend/gradient.h"

#include <string.h>

#include "frontend/compose.h"
#include "passes/grad.h"

static const char *const loss_names[] = {
#define NAME(id, name) name,
    DLVK_LOSSES(NAME)
#undef NAME
};

const char *dlvk_loss_name(dlvk_loss loss)
{
    return (unsigned)loss < DLVK_LOSS_COUNT ? loss_names[loss] : "?";
}

bool dlvk_loss_parse(const char *name, dlvk_loss *loss)
{
    for (int i = 0; name && i < DLVK_LOSS_COUNT; i++)
        if (!strcmp(name, loss_names[i])) {
            *loss = (dlvk_loss)i;
            return true;
        }
    return false;
}

const dlvk_gradient_options *gradient_options(const dlvk_gradient_options *g)
{
    static const dlvk_gradient_options defaults = DLVK_GRADIENT_OPTIONS_INIT;
    return g ? g : &defaults;
}

typedef struct Loss {
    Build b;
    const dlvk_gradient_options *o;
    Value *x; /* the model's first output, of 32 bits at least */
    int reduction;
} Loss;

static Value *fail(Loss *l, dlvk_status s, const char *why)
{
    diag_error(&l->b.ctx->diag, s, "loss %s: %s", dlvk_loss_name(l->o->loss), why);
    return NULL;
}

/* Class numbers [n,...] for scores [n,c,...]. */
static bool takes_classes(const Loss *l)
{
    bool whole = !dtype_is_float(l->o->target_type);
    return l->o->loss == DLVK_LOSS_NLL ||
           (l->o->loss == DLVK_LOSS_CROSS_ENTROPY && whole && l->o->target_rank != l->x->type.rank);
}

static Value *target_input(Loss *l)
{
    Region *top = l->b.at;
    DType t = l->o->target_type;
    Type x = l->x->type;
    const Dim *dims[DLVK_MAX_RANK];
    int rank = 0;
    bool classes = takes_classes(l);
    if (classes ? !dtype_is_int(t) : !dtype_is_float(t) && !dtype_is_int(t) && t != DLVK_BOOL)
        return fail(l, DLVK_INVALID_ARGUMENT, classes ? "class numbers are integers" : "targets are numbers");
    for (int i = 0; i < top->params.n; i++)
        if (top->params.at[i]->name && !strcmp(top->params.at[i]->name, "target"))
            return fail(l, DLVK_UNSUPPORTED, "the model has an input 'target' of its own");
    for (int i = 0; i < x.rank; i++) {
        if (classes && i == 1) continue;
        if (dim_has_data_symbol(x.dim[i]))
            return fail(l, DLVK_UNSUPPORTED, "the first output's sizes depend on data, and a target of them cannot be given");
        dims[rank++] = x.dim[i];
    }
    Value *v = region_param(top, type_make(l->b.ctx, t, rank, dims), "target");
    return classes ? v : build_cast(&l->b, v, x.dtype);
}

static Value *class_weights(Loss *l)
{
    int64_t n = l->o->n_class_weight;
    if (!l->o->class_weight || n < 1) return NULL;
    Pool *p = l->b.ctx->pool;
    const float *copy = pool_dup(p, l->o->class_weight, (size_t)n * sizeof *copy);
    return build_cast(&l->b, build_const(&l->b, tensor_new(p, DLVK_F32, 1, &n, copy)), l->x->type.dtype);
}

static Value *class_loss(Loss *l, Value *target)
{
    const dlvk_gradient_options *o = l->o;
    CrossEntropySpec s = {.reduction = l->reduction,
                          .has_ignore = o->has_ignore,
                          .ignore = o->ignore,
                          .smoothing = o->label_smoothing,
                          .weight = class_weights(l)};
    int64_t classes;
    if (l->o->class_weight && l->o->n_class_weight < 1) return fail(l, DLVK_INVALID_ARGUMENT, "there are no class weights");
    if (s.weight && dim_is_const(l->x->type.dim[1], &classes) && classes != o->n_class_weight)
        return fail(l, DLVK_INVALID_ARGUMENT, "there are more or fewer class weights than classes");
    if (o->loss == DLVK_LOSS_NLL) return compose_nll_loss(&l->b, l->x, target, s.weight, s.has_ignore, s.ignore, l->reduction);
    return compose_cross_entropy_loss(&l->b, l->x, target, &s);
}

static Value *target_loss(Loss *l)
{
    Build *b = &l->b;
    Value *x = l->x;
    bool of_classes = l->o->loss == DLVK_LOSS_CROSS_ENTROPY || l->o->loss == DLVK_LOSS_NLL;
    if (!dtype_is_float(x->type.dtype)) return fail(l, DLVK_UNSUPPORTED, "the model's first output is not of floats");
    if (of_classes && x->type.rank < 2)
        return fail(l, DLVK_UNSUPPORTED, "the model's first output has no axis of classes (its second)");
    Value *t = target_input(l);
    if (!t) return NULL;
    switch (l->o->loss) {
    case DLVK_LOSS_CROSS_ENTROPY:
    case DLVK_LOSS_NLL: return class_loss(l, t);
    case DLVK_LOSS_MSE: return compose_mse_loss(b, x, t, l->reduction);
    case DLVK_LOSS_L1: return compose_l1_loss(b, x, t, l->reduction);
    case DLVK_LOSS_HUBER: return compose_huber_loss(b, x, t, l->o->huber_delta, l->reduction);
    case DLVK_LOSS_BCE: return compose_bce_loss(b, x, t, l->reduction);
    case DLVK_LOSS_KL: return compose_kl_loss(b, x, t, l->reduction);
    case DLVK_LOSS_PROJECTION:
    case DLVK_LOSS_COUNT: break;
    }
    return fail(l, DLVK_INVALID_ARGUMENT, "there is no such loss");
}

/* Random numbers in [-1, 1) of v's shape that are the same on every device: 24 random bits each, which every float type from 32
 * bits on holds. */
static Value *weights_for(Build *b, const Value *v, DType t, int64_t seed)
{
    Attr shape = at_dims(A_SHAPE, v->type.rank, v->type.dim);
    Value *key = build_scalar_i(b, DLVK_U64, seed);
    Value *bits = build_op(b, OP_RANDOM, 1, &key, 1, &shape);
    Value *x = build_cast(b, build_map2s(b, OP_SHR, bits, 8), t);
    return build_map2s(b, OP_SUB, build_map2s(b, OP_MUL, x, 0x1p-23), 1);
}

static Value *projection(Loss *l, const Region *top)
{
    Build *b = &l->b;
    DType t = DLVK_F32;
    Value *sum = NULL;
    for (int i = 0; i < top->results.n; i++)
        if (top->results.at[i]->type.dtype == DLVK_F64) t = DLVK_F64;
    for (int i = 0; i < top->results.n; i++) {
        Value *y = top->results.at[i];
        if (!dtype_is_float(y->type.dtype)) continue;
        y = build_cast(b, y, t);
        y = build_reduce(b, KIND_SUM, build_map2(b, OP_MUL, y, weights_for(b, y, t, i + 1)), 0, NULL, false);
        sum = sum ? build_map2(b, OP_ADD, sum, y) : y;
    }
    return sum ? sum : fail(l, DLVK_UNSUPPORTED, "the model has no output of floats");
}

static bool taken(const Region *top, const char *name)
{
    for (int i = 0; i < top->params.n; i++)
        if (top->params.at[i]->name && !strcmp(top->params.at[i]->name, name)) return true;
    return false;
}

/* The loss that another model computes of the outputs; see loss_model in dlvk/train.h. */
static Value *modelled_loss(Loss *l, const Graph *g, Graph *model)
{
    Context *c = g->ctx;
    Region *top = model->top;
    Value **in = POOL_ARRAY(c->pool, Value *, top->params.n + 1), **out = POOL_ARRAY(c->pool, Value *, top->results.n + 1);
    bool any = false;
    for (int i = 0; i < top->params.n; i++)
        for (int k = 0; k < g->top->results.n; k++)
            if (!strcmp(top->params.at[i]->name, g->output_names.at[k])) in[i] = g->top->results.at[k], any = true;
    if (!any && top->params.n && g->top->results.n) in[0] = g->top->results.at[0];
    for (int i = 0; i < top->params.n; i++) {
        const Value *p = top->params.at[i];
        if (!in[i] && taken(g->top, p->name)) {
            diag_error(&c->diag, DLVK_UNSUPPORTED, "the model and its loss both have an input '%s'", p->name);
            return NULL;
        }
        if (!in[i]) in[i] = region_param(g->top, p->type, p->name);
        bool fits = in[i]->type.dtype == p->type.dtype && in[i]->type.rank == p->type.rank;
        for (int d = 0; fits && d < p->type.rank; d++) ctx_constrain(c, DIM_EQ, in[i]->type.dim[d], p->type.dim[d]);
        if (!fits) {
            diag_error(&c->diag, DLVK_INVALID_ARGUMENT, "input '%s' of the loss is %s, the model gives %s", p->name,
                       type_to_string(c->pool, p->type), type_to_string(c->pool, in[i]->type));
            return NULL;
        }
    }
    if (c->diag.errors || !rewrite_graph(&l->b, model, in, out)) return NULL;
    if (!top->results.n || !dtype_is_float(out[0]->type.dtype)) {
        diag_error(&c->diag, DLVK_INVALID_ARGUMENT, "%s: its first output is not of floats", l->o->loss_model);
        return NULL;
    }
    return compose_widen(&l->b, out[0]);
}

static Value *output_loss(Loss *l, const Graph *g)
{
    for (int i = 0; i < g->top->results.n; i++) {
        Value *y = g->top->results.at[i];
        if (!strcmp(g->output_names.at[i], l->o->loss_output) && dtype_is_float(y->type.dtype)) return compose_widen(&l->b, y);
    }
    diag_error(&g->ctx->diag, DLVK_INVALID_ARGUMENT, "no output of floats is called '%s'", l->o->loss_output);
    return NULL;
}

Value *gradient_loss(Graph *g, const dlvk_gradient_options *o, Graph *model)
{
    static const int reductions[] = {LOSS_MEAN, LOSS_SUM, LOSS_NONE};
    static const Origin origin = {.name = "loss", .op = "Loss"};
    Context *c = g->ctx;
    Loss l = {.b = {.ctx = c, .at = g->top}, .o = o};
    if (o->struct_size != sizeof *o) {
        diag_error(&c->diag, DLVK_INVALID_ARGUMENT, "struct_size: initialise with DLVK_GRADIENT_OPTIONS_INIT");
        return NULL;
    }
    if ((unsigned)o->reduction > DLVK_REDUCTION_NONE) return fail(&l, DLVK_INVALID_ARGUMENT, "there is no such reduction");
    l.reduction = reductions[o->reduction];
    c->origin = &origin;
    l.x = g->top->results.n ? compose_widen(&l.b, g->top->results.at[0]) : NULL;
    Value *loss = NULL;
    if (model)
        loss = modelled_loss(&l, g, model);
    else if (o->loss_output)
        loss = output_loss(&l, g);
    else if (!l.x)
        fail(&l, DLVK_UNSUPPORTED, "the model has no output");
    else
        loss = o->loss == DLVK_LOSS_PROJECTION ? projection(&l, g->top) : target_loss(&l);
    c->origin = NULL;
    if (g->signature) {
        Signature *s = pool_dup(c->pool, g->signature, sizeof *s);
        s->outputs.n = 0;
        g->signature = s;
    }
    g->top->results.n = g->output_names.n = 0;
    *VEC_PUSH(c->pool, g->top->results) = loss;
    *VEC_PUSH(c->pool, g->output_names) = "loss";
    return loss;
}

Graph *gradient_graph(Graph *g, const ModelParts *parts, const dlvk_gradient_options *o, Graph *model)
{
    Context *c = g->ctx;
    VEC(Value *) wrt = {0};
    VEC(const char *) names = {0};
    for (int i = 0; o->of_inputs && i < g->top->params.n; i++)
        if (dtype_is_float(g->top->params.at[i]->type.dtype)) *VEC_PUSH(c->pool, wrt) = g->top->params.at[i];
    for (int i = 0; !o->of_inputs && i < parts->weights.n; i++) *VEC_PUSH(c->pool, wrt) = parts->weights.at[i];
    if (!wrt.n) {
        diag_error(&c->diag, DLVK_UNSUPPORTED,
                   o->of_inputs ? "the model has no input of floats" : "the model has no initializer of floats");
        return NULL;
    }
    for (int i = 0; i < wrt.n; i++)
        *VEC_PUSH(c->pool, names) = pool_printf(c->pool, "gradient.%s", wrt.at[i]->name ? wrt.at[i]->name : "");
    Value *loss = gradient_loss(g, o, model);
    if (!loss || c->diag.errors) return NULL;
    return graph_grad(g, &(GradSpec){.loss = loss, .n = wrt.n, .wrt = wrt.at, .name = names.at});
}
