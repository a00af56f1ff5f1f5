/* Training steps: the model in training mode, the loss, its gradients, and an optimizer's update of every parameter; see
 * training.h and dlvk/train.h. */
#include "frontend/training.h"

#include <math.h>
#include <string.h>

#include "frontend/builder.h"
#include "frontend/gradient.h"
#include "passes/grad.h"

const dlvk_training_options *training_options(const dlvk_training_options *t)
{
    static const dlvk_training_options defaults = DLVK_TRAINING_OPTIONS_INIT;
    return t ? t : &defaults;
}

static const Origin training_origin = {.name = "optimizer", .op = "Optimizer"};
static NameScope training_scope = {.path = "optimizer."};

typedef enum Role { ROLE_CONSTANT, ROLE_TRAINED, ROLE_STATISTIC } Role;

typedef struct State {
    Value *now, *next;
    const Tensor *start; /* NULL: zeros */
    int weight;          /* among the model's; -1: the optimizer's own */
    bool slot;           /* kept only where it is used */
} State;

typedef struct Trainer {
    Context *ctx;
    Pool *pool;
    const ModelParts *m;
    const dlvk_training_options *o;
    Graph *loss; /* a model of its own; or NULL */
    const dlvk_optimizer *opt;
    double hyper[8];
    bool evaluate;
    bool *still;              /* by weight: no gradient reaches it */
    bool again;               /* some of these have just been found */
    Role *role;               /* by weight */
    const dlvk_group **group; /* by weight; NULL: none */
    VEC(State) states;
    int *state_of;                /* by weight: 1 + its place among the states */
    int step, micro, scale, good; /* 1 + their places; 0: not there */
    Graph *g;
    Build b;
    Value *seed, *lr;
    Value *due, *finite, *apply; /* bool scalars, or NULL for true: enough batches; no infinite gradient; both */
} Trainer;

static bool fail(Trainer *t, dlvk_status s, const char *what, const char *why)
{
    diag_error(&t->ctx->diag, s, "training: %s%s%s", what ? what : "", what ? ": " : "", why);
    return false;
}

/* ---- options -------------------------------------------------------------------------------------------------------- */

static bool fits(const char *pattern, const char *name)
{
    for (; *pattern; pattern++, name++) {
        if (*pattern == '*') {
            for (pattern++;; name++) {
                if (fits(pattern, name)) return true;
                if (!*name) return false;
            }
        }
        if (!*name || (*pattern != '?' && *pattern != *name)) return false;
    }
    return !*name;
}

static bool read_optimizer(Trainer *t)
{
    const dlvk_training_options *o = t->o;
    if (o->struct_size != sizeof *o || o->loss.struct_size != sizeof o->loss)
        return fail(t, DLVK_INVALID_ARGUMENT, "options", "struct_size: initialise with DLVK_TRAINING_OPTIONS_INIT");
    t->opt = o->optimizer ? o->optimizer : dlvk_optimizer_find("sgd");
    int most = (int)(sizeof t->opt->hyper / sizeof *t->opt->hyper), slots = (int)(sizeof t->opt->slot / sizeof *t->opt->slot);
    if (!t->opt->update || t->opt->n_hyper > most || t->opt->n_slot > slots || t->opt->n_hyper < 0 || t->opt->n_slot < 0)
        return fail(t, DLVK_INVALID_ARGUMENT, t->opt->name, "an optimizer without an update, or with too much of the rest");
    for (int i = 0; i < t->opt->n_hyper; i++) t->hyper[i] = t->opt->hyper[i].value;
    for (int i = 0; i < o->n_hyper; i++) {
        int k = 0;
        while (k < t->opt->n_hyper && (!o->hyper[i].name || strcmp(t->opt->hyper[k].name, o->hyper[i].name) != 0)) k++;
        if (k == t->opt->n_hyper)
            return fail(t, DLVK_INVALID_ARGUMENT, o->hyper[i].name, "the optimizer has no such hyperparameter");
        t->hyper[k] = o->hyper[i].value;
    }
    if (o->accumulate < 0 || o->accumulate > 1 << 20) return fail(t, DLVK_INVALID_ARGUMENT, "accumulate", "out of range");
    if (!(o->clip_value >= 0) || !(o->clip_norm >= 0)) return fail(t, DLVK_INVALID_ARGUMENT, "clipping", "a negative limit");
    if (!(o->ema >= 0 && o->ema < 1)) return fail(t, DLVK_INVALID_ARGUMENT, "ema", "not in [0, 1)");
    if (o->ema_evaluate && o->ema == 0) return fail(t, DLVK_INVALID_ARGUMENT, "ema_evaluate", "there is no moving average");
    if (!(o->loss_scale >= 0 && o->loss_scale <= 0x1p24) || o->loss_scale_growth < 1)
        return fail(t, DLVK_INVALID_ARGUMENT, "loss_scale", "out of range");
    for (int i = 0; i < o->n_group; i++)
        if (!o->group[i].pattern || o->group[i].struct_size != sizeof(dlvk_group))
            return fail(t, DLVK_INVALID_ARGUMENT, "a group", "no pattern, or not initialised with DLVK_GROUP_INIT");
    return true;
}

static void give_roles(Trainer *t)
{
    const ModelParts *m = t->m;
    t->role = POOL_ARRAY(t->pool, Role, m->weights.n);
    t->group = POOL_ARRAY(t->pool, const dlvk_group *, m->weights.n);
    t->state_of = POOL_ARRAY(t->pool, int, m->weights.n);
    for (int i = 0; i < m->weights.n; i++) {
        const Value *v = m->weights.at[i];
        for (int k = t->o->n_group - 1; k >= 0; k--)
            if (fits(t->o->group[k].pattern, v->name ? v->name : "")) t->group[i] = &t->o->group[k];
        bool statistic = false;
        for (int k = 0; k < m->statistics.n; k++) statistic |= m->statistics.at[k].of == v;
        if (t->group[i] && t->group[i]->frozen) continue;
        t->role[i] = statistic                                           ? ROLE_STATISTIC
                     : (v->type.rank > 0 || t->group[i]) && !t->still[i] ? ROLE_TRAINED
                                                                         : ROLE_CONSTANT;
    }
}

static double chosen(double of_group, double otherwise)
{
    return of_group == DLVK_AS_IS ? otherwise : of_group;
}

/* ---- states --------------------------------------------------------------------------------------------------------- */

static int add_state(Trainer *t, Region *top, const char *name, Type type, const Tensor *start, int weight)
{
    Value *v = region_param(top, type, name);
    *VEC_PUSH(t->pool, t->states) = (State){.now = v, .next = v, .start = start, .weight = weight};
    return t->states.n; /* 1 + its place */
}

static int add_scalar(Trainer *t, const char *name, DType type, double start)
{
    void *data = pool_alloc(t->pool, 8);
    if (dtype_is_float(type))
        elem_set_f(type, data, 0, start);
    else
        elem_set_i(type, data, 0, (int64_t)start);
    return add_state(t, t->g->top, name, type_make(t->ctx, type, 0, NULL), tensor_new(t->pool, type, 0, NULL, data), -1);
}

static void add_counters(Trainer *t, Region *top)
{
    Type type = type_make(t->ctx, DLVK_I32, 0, NULL);
    if (t->evaluate || t->step) return;
    t->step = add_state(t, top, ":step", type, NULL, -1);
    if (t->o->accumulate > 1) t->micro = add_state(t, top, ":micro", type, NULL, -1);
}

/* The tensor as floats of another type. */
static const Tensor *tensor_as(Pool *p, const Tensor *x, DType t)
{
    if (x->dtype == t) return x;
    int64_t n = x->splat ? 1 : x->count;
    Tensor *y = pool_dup(p, x, sizeof *y);
    void *data = pool_alloc(p, (size_t)dtype_bytes(t, n));
    for (int64_t i = 0; i < n; i++) elem_set_f(t, data, i, elem_get_f(x->dtype, x->data, i));
    y->dtype = t;
    y->bytes = (size_t)dtype_bytes(t, n);
    y->data = data;
    return y;
}

/* A tensor of f32 (f64 for f64) of a parameter's shape. */
static State *add_companion(Trainer *t, int weight, const char *slot, double start, const Tensor *copy)
{
    const Value *w = t->m->weights.at[weight];
    DType dt = w->type.dtype == DLVK_F64 ? DLVK_F64 : DLVK_F32;
    const char *name = pool_printf(t->pool, "%s:%s", w->name ? w->name : "", slot);
    int64_t dim[DLVK_MAX_RANK];
    const Tensor *init = copy ? tensor_as(t->pool, copy, dt) : NULL;
    if (!init && start != 0 && type_static(w->type, dim)) {
        void *data = pool_alloc(t->pool, 8);
        elem_set_f(dt, data, 0, start);
        Tensor *x = pool_dup(t->pool, tensor_new(t->pool, dt, w->type.rank, dim, data), sizeof *x);
        x->splat = true;
        x->bytes = (size_t)dtype_bytes(dt, 1);
        init = x;
    }
    int place = add_state(t, t->g->top, name, type_make(t->ctx, dt, w->type.rank, w->type.dim), init, -1);
    return &t->states.at[place - 1];
}

static Value *replace(Rewrite *rw, const Value *hidden, void *user)
{
    Trainer *t = user;
    const ModelParts *m = t->m;
    add_counters(t, rw->dst->top);
    if (hidden == m->training) return build_scalar_i(&rw->b, DLVK_BOOL, !t->evaluate);
    if (hidden == m->seed) {
        if (t->evaluate) return NULL;
        /* Every batch has random numbers of its own: seed * K + step * N + batch within the step. */
        Build at = {.ctx = t->ctx, .at = rw->dst->top};
        t->seed = region_param(rw->dst->top, type_make(t->ctx, DLVK_U64, 0, NULL), "seed");
        Value *n = build_cast(&at, t->states.at[t->step - 1].now, DLVK_U64);
        if (t->micro) {
            n = build_map2(&at, OP_MUL, n, build_scalar_i(&at, DLVK_U64, t->o->accumulate));
            n = build_map2(&at, OP_ADD, n, build_cast(&at, t->states.at[t->micro - 1].now, DLVK_U64));
        }
        Value *k = build_map2(&at, OP_MUL, t->seed, build_scalar_i(&at, DLVK_U64, 6364136223846793005));
        return build_map2(&at, OP_ADD, k, n);
    }
    int i = 0;
    while (m->weights.at[i] != hidden) i++;
    if (t->role[i] == ROLE_CONSTANT) return NULL;
    bool average = t->evaluate && t->o->ema_evaluate && t->role[i] == ROLE_TRAINED;
    Type type = hidden->type;
    const char *name = hidden->name;
    if (average) {
        if (type.dtype != DLVK_F64) type.dtype = DLVK_F32;
        name = pool_printf(t->pool, "%s:ema", name);
    }
    const Tensor *start = tensor_as(t->pool, node_attr(hidden->def->in[0]->def, A_VALUE)->tensor, type.dtype);
    t->state_of[i] = add_state(t, rw->dst->top, name, type, start, i);
    Build at = {.ctx = t->ctx, .at = rw->dst->top};
    return build_cast(&at, t->states.at[t->state_of[i] - 1].now, hidden->type.dtype);
}

/* ---- the model and its loss ------------------------------------------------------------------------------------------ */

static bool taken(const Region *top, const char *name)
{
    for (int i = 0; i < top->params.n; i++)
        if (top->params.at[i]->name && strcmp(top->params.at[i]->name, name) == 0) return true;
    return false;
}

static void add_result(Trainer *t, Value *v, const char *name)
{
    *VEC_PUSH(t->pool, t->g->top->results) = v;
    *VEC_PUSH(t->pool, t->g->output_names) = name;
}

/* How many class numbers are those of the highest scores; NULL where targets are none. */
static Value *count_correct(Trainer *t, Value *x)
{
    const Region *top = t->g->top;
    Build *b = &t->b;
    dlvk_loss l = t->o->loss.loss;
    Value *target = NULL;
    for (int i = 0; i < top->params.n; i++)
        if (top->params.at[i]->name && strcmp(top->params.at[i]->name, "target") == 0) target = top->params.at[i];
    if ((l != DLVK_LOSS_CROSS_ENTROPY && l != DLVK_LOSS_NLL) || t->o->loss.loss_output || t->loss || !target ||
        !dtype_is_int(target->type.dtype) || target->type.rank + 1 != x->type.rank)
        return NULL;
    Value *best = build_argreduce(b, KIND_MAX, x, 1, false, false);
    Value *hit = build_map2(b, OP_EQ, best, build_cast(b, target, DLVK_I64));
    return build_reduce(b, KIND_SUM, build_cast(b, hit, DLVK_I32), 0, NULL, false);
}

/* Replaces the outputs by "loss" and "correct"; the model's own follow in an evaluation. */
static bool add_loss(Trainer *t)
{
    Graph *g = t->g;
    int n = g->top->results.n;
    Value **outputs = pool_dup(t->pool, g->top->results.at, (size_t)n * sizeof *outputs);
    const char **names = pool_dup(t->pool, g->output_names.at, (size_t)n * sizeof *names);
    if (!gradient_loss(g, &t->o->loss, t->loss)) return false;
    Value *correct = n && outputs[0] ? count_correct(t, outputs[0]) : NULL;
    if (correct) add_result(t, correct, "correct");
    for (int i = 0; i < n && t->evaluate; i++)
        if (strcmp(names[i], "loss") != 0 && strcmp(names[i], "correct") != 0) add_result(t, outputs[i], names[i]);
    return true;
}

/* ---- a step ---------------------------------------------------------------------------------------------------------- */

static Value *scalar_like(Trainer *t, const Value *x, double v)
{
    return build_scalar(&t->b, x->type.dtype, v);
}

/* next where the step is taken, now elsewhere */
static Value *if_applied(Trainer *t, Value *next, Value *now)
{
    return t->apply && next ? build_map3(&t->b, OP_SELECT, t->apply, next, now) : next;
}

/* The states of the old graph are parameters at the same places of the new one. */
static bool differentiate(Trainer *t, Value ***gradients)
{
    Graph *g = t->g;
    VEC(Value *) wrt = {0};
    VEC(const char *) names = {0};
    for (int i = 0; i < t->states.n; i++)
        if (t->states.at[i].weight >= 0 && t->role[t->states.at[i].weight] == ROLE_TRAINED) {
            *VEC_PUSH(t->pool, wrt) = t->states.at[i].now;
            *VEC_PUSH(t->pool, names) = "gradient";
        }
    if (!wrt.n) return fail(t, DLVK_UNSUPPORTED, NULL, "the model has no parameter of floats to train");
    Value *loss = g->top->results.at[0];
    if (t->o->loss_scale > 0) {
        t->scale = add_scalar(t, ":scale", DLVK_F32, t->o->loss_scale);
        t->good = add_scalar(t, ":good", DLVK_I32, 0);
        loss = build_map2(&t->b, OP_MUL, loss, build_cast(&t->b, t->states.at[t->scale - 1].now, loss->type.dtype));
        add_result(t, loss, "scaled");
    }
    for (int i = 0; i < t->states.n; i++)
        if (t->states.at[i].next != t->states.at[i].now) add_result(t, t->states.at[i].next, "statistic");
    int results = g->top->results.n;
    bool *reached = POOL_ARRAY(t->pool, bool, wrt.n);
    Graph *d = graph_grad(g, &(GradSpec){.loss = loss, .n = wrt.n, .wrt = wrt.at, .name = names.at, .reached = reached});
    if (!d) return false;
    for (int i = 0, k = 0; i < t->states.n; i++) {
        int w = t->states.at[i].weight;
        if (w >= 0 && t->role[w] == ROLE_TRAINED && !reached[k++]) t->still[w] = t->again = true;
    }
    if (t->again) return false;
    *gradients = POOL_ARRAY(t->pool, Value *, t->states.n + 1);
    int at = results, statistic = results;
    for (int i = t->states.n - 1; i >= 0; i--)
        if (t->states.at[i].next != t->states.at[i].now)
            t->states.at[i].next = d->top->results.at[--statistic];
        else
            t->states.at[i].next = NULL;
    for (int i = 0; i < t->states.n; i++) {
        State *s = &t->states.at[i];
        s->now = d->top->params.at[s->now->out];
        if (!s->next) s->next = s->now;
        if (s->weight >= 0 && t->role[s->weight] == ROLE_TRAINED) (*gradients)[i] = d->top->results.at[at++];
    }
    d->top->results.n = d->output_names.n = statistic - (t->scale != 0);
    t->g = d;
    t->b = (Build){.ctx = t->ctx, .at = d->top};
    return true;
}

/* The sum of the squares of all gradients' elements. */
static Value *square_sum(Trainer *t, int n, Value *const *gradient)
{
    Value *sum = NULL;
    for (int i = 0; i < n; i++) {
        if (!gradient[i]) continue;
        Value *s = build_reduce(&t->b, KIND_SUM, build_map2(&t->b, OP_MUL, gradient[i], gradient[i]), 0, NULL, false);
        s = build_cast(&t->b, s, DLVK_F32);
        sum = sum ? build_map2(&t->b, OP_ADD, sum, s) : s;
    }
    return sum;
}

/* Gradients as the optimizer is to see them: widened, accumulated, clipped. NULL for parameters that the loss does not depend on.
 */
static void prepare_gradients(Trainer *t, int n, Value **gradient)
{
    Build *b = &t->b;
    Value *unscale = NULL;
    if (t->scale) unscale = build_map2(b, OP_DIV, build_scalar(b, DLVK_F32, 1), t->states.at[t->scale - 1].now);
    for (int i = 0; i < n; i++) {
        double zero;
        Value *d = gradient[i];
        if (!d || (value_scalar(d, &zero) && zero == 0)) {
            gradient[i] = NULL;
            continue;
        }
        d = compose_widen(b, d);
        if (unscale) d = build_map2(b, OP_MUL, d, build_cast(b, unscale, d->type.dtype));
        if (t->micro) {
            State *sum = add_companion(t, t->states.at[i].weight, "sum", 0, NULL);
            Value *all = build_map2(b, OP_ADD, sum->now, d);
            sum->next = build_map3(b, OP_SELECT, t->due, build_full(b, all->type, 0), all);
            d = build_map2s(b, OP_MUL, all, 1.0 / t->o->accumulate);
        }
        gradient[i] = d;
    }
    Value *squares = t->scale || t->o->clip_norm > 0 ? square_sum(t, n, gradient) : NULL;
    if (t->scale && squares) /* false for NaN, too */
        t->finite = build_map2(b, OP_LT, squares, build_scalar(b, DLVK_F32, INFINITY));
    for (int i = 0; i < n && t->o->clip_value > 0; i++) {
        Value *d = gradient[i];
        if (!d) continue;
        d = build_clamp(b, d, scalar_like(t, d, -t->o->clip_value), scalar_like(t, d, t->o->clip_value));
        gradient[i] = d;
    }
    if (t->o->clip_norm <= 0) return;
    if (t->o->clip_value > 0) squares = square_sum(t, n, gradient);
    Value *norm = build_map1(b, OP_SQRT, squares);
    if (!norm) return;
    add_result(t, norm, "gradient_norm");
    Value *scale = build_map2(b, OP_DIV, build_scalar(b, DLVK_F32, t->o->clip_norm), build_map2s(b, OP_ADD, norm, 1e-6));
    scale = build_map2(b, OP_MIN, scale, build_scalar(b, DLVK_F32, 1));
    for (int i = 0; i < n; i++)
        if (gradient[i]) gradient[i] = build_map2(b, OP_MUL, gradient[i], build_cast(b, scale, gradient[i]->type.dtype));
}

static bool update(Trainer *t, dlvk_graph *builder, int state, Value *d, Value *step)
{
    Build *b = &t->b;
    int weight = t->states.at[state].weight;
    const dlvk_group *group = t->group[weight];
    const dlvk_training_options *o = t->o;
    Value *now = t->states.at[state].now, *w = build_cast(b, now, d->type.dtype);
    double l2 = chosen(group ? group->l2 : DLVK_AS_IS, o->l2), l1 = chosen(group ? group->l1 : DLVK_AS_IS, o->l1);
    double decay = chosen(o->weight_decay, t->opt->weight_decay);
    if (group) decay = chosen(group->weight_decay, decay);
    if (l2 != 0) d = build_map2(b, OP_ADD, d, build_map2s(b, OP_MUL, w, l2));
    if (l1 != 0) d = build_map2(b, OP_ADD, d, build_map2s(b, OP_MUL, build_map1(b, OP_SIGN, w), l1));
    Value *lr = build_cast(b, t->lr, d->type.dtype);
    if (group && group->lr != 1) lr = build_map2s(b, OP_MUL, lr, group->lr);
    if (decay != 0 && !t->opt->own_decay) {
        Value *keep = build_map2(b, OP_SUB, scalar_like(t, d, 1), build_map2s(b, OP_MUL, lr, decay));
        w = build_map2(b, OP_MUL, w, keep);
    }
    dlvk_update u = {.name = now->name,
                     .parameter = outside(w),
                     .gradient = outside(d),
                     .lr = outside(lr),
                     .step = outside(build_cast(b, step, d->type.dtype)),
                     .hyper = t->hyper,
                     .weight_decay = t->opt->own_decay ? decay : 0,
                     .user = t->opt->user};
    int first = t->states.n;
    for (int i = 0; i < t->opt->n_slot; i++) {
        State *s = add_companion(t, weight, t->opt->slot[i].name, t->opt->slot[i].value, NULL);
        s->slot = true;
        u.slot[i] = outside(s->now);
    }
    jmp_buf *oom = t->pool->oom; /* the builder's functions set their own */
    Value *next = inside(t->opt->update(builder, &u));
    t->pool->oom = oom;
    if (builder->out_of_memory) longjmp(*oom, 1);
    if (t->ctx->diag.errors) return false;
    if (!next || !type_equal(next->type, w->type))
        return fail(t, DLVK_INVALID_ARGUMENT, now->name, "the optimizer's update gives no value of the parameter's type");
    for (int i = 0; i < t->opt->n_slot; i++) {
        State *s = &t->states.at[first + i];
        Value *v = inside(u.slot[i]);
        if (!v || !type_equal(v->type, s->now->type))
            return fail(t, DLVK_INVALID_ARGUMENT, now->name, "the optimizer's update changes a slot's type");
        s->next = v == s->now ? v : if_applied(t, v, s->now);
    }
    next = if_applied(t, build_cast(b, next, now->type.dtype), now);
    t->states.at[state].next = next;
    if (o->ema <= 0) return true;
    State *s = add_companion(t, weight, "ema", 0, t->states.at[state].start);
    Value *average = build_map2s(b, OP_MUL, s->now, o->ema);
    average = build_map2(b, OP_ADD, average, build_map2s(b, OP_MUL, build_cast(b, next, d->type.dtype), 1 - o->ema));
    s->next = if_applied(t, average, s->now);
    return true;
}

/* The next loss scale; statistics of a skipped batch do not count either. */
static void scale_loss(Trainer *t)
{
    Build *b = &t->b;
    State *scale = &t->states.at[t->scale - 1], *good = &t->states.at[t->good - 1];
    Value *zero = build_scalar_i(b, DLVK_I32, 0), *one = build_scalar_i(b, DLVK_I32, 1);
    Value *count = build_map2(b, OP_ADD, good->now, one);
    Value *grown = build_map2(b, OP_GE, count, build_scalar_i(b, DLVK_I32, t->o->loss_scale_growth));
    Value *more = build_map2(b, OP_MIN, build_map2s(b, OP_MUL, scale->now, 2), build_scalar(b, DLVK_F32, 0x1p24));
    Value *next = build_map3(b, OP_SELECT, grown, more, scale->now);
    next = build_map3(b, OP_SELECT, t->finite, next, build_map2s(b, OP_MUL, scale->now, 0.5));
    count = build_map3(b, OP_SELECT, grown, zero, count);
    count = build_map3(b, OP_SELECT, t->finite, count, zero);
    scale->next = t->due ? build_map3(b, OP_SELECT, t->due, next, scale->now) : next;
    good->next = t->due ? build_map3(b, OP_SELECT, t->due, count, good->now) : count;
    for (int i = 0; i < t->states.n; i++) {
        State *s = &t->states.at[i];
        if (s->weight >= 0 && t->role[s->weight] == ROLE_STATISTIC && s->next != s->now)
            s->next = build_map3(b, OP_SELECT, t->finite, s->next, s->now);
    }
    Value *skipped = build_map1(b, OP_NOT, t->finite);
    if (t->due) skipped = build_map2(b, OP_AND, skipped, t->due);
    add_result(t, build_cast(b, skipped, DLVK_I32), "skipped");
}

static bool add_updates(Trainer *t)
{
    Build *b = &t->b;
    Value **gradient;
    if (!differentiate(t, &gradient)) return false;
    int n = t->states.n;
    t->lr = region_param(t->g->top, type_make(t->ctx, DLVK_F32, 0, NULL), "lr");
    Value *step = t->states.at[t->step - 1].now, *one = build_scalar_i(b, DLVK_I32, 1), *later = build_map2(b, OP_ADD, step, one);
    if (t->micro) {
        Value *micro = t->states.at[t->micro - 1].now;
        t->due = build_map2(b, OP_GE, micro, build_scalar_i(b, DLVK_I32, t->o->accumulate - 1));
        t->states.at[t->micro - 1].next =
            build_map3(b, OP_SELECT, t->due, build_scalar_i(b, DLVK_I32, 0), build_map2(b, OP_ADD, micro, one));
    }
    t->ctx->origin = &training_origin;
    prepare_gradients(t, n, gradient);
    t->apply = t->due && t->finite ? build_map2(b, OP_AND, t->due, t->finite) : t->due ? t->due : t->finite;
    t->states.at[t->step - 1].next = if_applied(t, later, step);
    if (t->finite) scale_loss(t);
    dlvk_graph builder = builder_on(t->g);
    builder.scope = &training_scope;
    for (int i = 0; i < n && !t->ctx->diag.errors; i++) {
        t->ctx->origin = &training_origin;
        if (gradient[i] && !update(t, &builder, i, gradient[i], later)) return false;
    }
    t->ctx->origin = NULL;
    return !t->ctx->diag.errors;
}

/* ---- the whole -------------------------------------------------------------------------------------------------------- */

/* Slots that no update reads or changes are not kept. */
static void drop_unused(Trainer *t)
{
    Region *top = t->g->top;
    int results = top->results.n, n = 0;
    for (int i = 0; i < t->states.n; i++) *VEC_PUSH(t->pool, top->results) = t->states.at[i].next;
    int *uses = graph_use_counts(t->g);
    top->results.n = results;
    for (int i = 0; i < t->states.n; i++) {
        State s = t->states.at[i];
        if (s.slot && s.next == s.now && uses[s.now->id] == 1) continue;
        t->states.at[n++] = s;
    }
    t->states.n = n;
}

/* States become the last parameters, and their next values the last results. */
static Graph *finish(Trainer *t)
{
    Graph *g = t->g;
    Region *top = g->top;
    bool *made = POOL_ARRAY(t->pool, bool, g->n_values);
    for (int i = 0; i < t->states.n; i++) made[t->states.at[i].now->id] = true;
    drop_unused(t);
    VEC(Value *) params = {0};
    for (int i = 0; i < top->params.n; i++)
        if (!made[top->params.at[i]->id]) *VEC_PUSH(t->pool, params) = top->params.at[i];
    const Tensor **start = POOL_ARRAY(t->pool, const Tensor *, t->states.n + 1);
    for (int i = 0; i < t->states.n; i++) {
        const State *s = &t->states.at[i];
        *VEC_PUSH(t->pool, params) = s->now;
        add_result(t, s->next, s->now->name);
        start[i] = s->start;
    }
    for (int i = 0; i < params.n; i++) params.at[i]->out = i;
    top->params.at = params.at;
    top->params.n = params.n;
    top->params.cap = params.cap;
    g->n_states = t->states.n;
    g->state = start;
    return g;
}

/* The model in its mode, with weights as states. */
static bool copy_model(Trainer *t)
{
    const ModelParts *m = t->m;
    Region *top = m->graph->top;
    int results = top->results.n, n = t->evaluate ? 0 : m->statistics.n;
    for (int i = 0; i < n; i++) *VEC_PUSH(t->pool, top->results) = m->statistics.at[i].next; /* so that they are copied */
    Rewrite *rw = mode_resolve(m, replace, t);
    top->results.n = results;
    t->g = rw->dst;
    t->g->top->results.n = results;
    t->g->signature = NULL;
    t->b = (Build){.ctx = t->ctx, .at = t->g->top};
    if (t->ctx->diag.errors) return false;
    add_counters(t, t->g->top);
    for (int i = 0; i < n; i++)
        for (int w = 0; w < m->weights.n; w++)
            if (m->weights.at[w] == m->statistics.at[i].of && t->state_of[w])
                t->states.at[t->state_of[w] - 1].next = rw->map[m->statistics.at[i].next->id];
    return true;
}

static Graph *make(Trainer *t)
{
    if (!read_optimizer(t)) return NULL;
    give_roles(t);
    if (!copy_model(t) || !add_loss(t)) return NULL;
    if (t->evaluate) return finish(t);
    for (int i = 0; i < t->m->weights.n; i++) t->still[i] |= t->role[i] == ROLE_TRAINED && !t->state_of[i];
    static const char *const own[] = {"lr", "seed"};
    for (int i = 0; i < 2; i++)
        if (taken(t->m->graph->top, own[i])) {
            fail(t, DLVK_UNSUPPORTED, own[i], "the model has an input of this name");
            return NULL;
        }
    return add_updates(t) ? finish(t) : NULL;
}

Graph *training_graph(const ModelParts *m, const dlvk_training_options *o, Graph *loss, bool evaluate, bool *still)
{
    Context *c = m->graph->ctx;
    if (m->graph->signature) {
        diag_error(&c->diag, DLVK_UNSUPPORTED, "training: an input or output of the model is a sequence or an optional");
        return NULL;
    }
    int constraints = c->constraints.n;
    for (;;) {
        Trainer t = {.ctx = c, .pool = c->pool, .m = m, .o = o, .loss = loss, .evaluate = evaluate, .still = still};
        Graph *g = make(&t);
        if (g || !t.again || c->diag.errors) return g;
        c->constraints.n = constraints; /* once more, without those that no gradient reaches */
    }
}
