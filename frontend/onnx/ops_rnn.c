/* RNN, GRU, LSTM: the input's part of all gates in one matrix product over all time steps, then a loop over time.
 *
 * Shapes inside: state [batch, hidden], gates [batch, gates * hidden]. A backward pass walks time from the end; with sequence
 * lengths its state stays as it was until its sequence's last step is reached, as a forward pass's does after it. */
#include "frontend/onnx/ops_b.h"
#include <math.h>
#include <string.h>
#include <strings.h>

enum { RNN, GRU, LSTM };
static const int gate_count[] = {1, 3, 4};
static const int function_count[] = {1, 2, 3};
static const char *const default_functions[][3] = {{"Tanh"}, {"Sigmoid", "Tanh"}, {"Sigmoid", "Tanh", "Tanh"}};

/* Which activations take parameters, and their defaults. */
static const struct {
    const char *name;
    int params;
    double alpha, beta;
} activation_table[] = {{"Affine", 2, 1, 0},   {"Elu", 1, 1, 0},        {"HardSigmoid", 2, 0.2, 0.5}, {"LeakyRelu", 1, 0.01, 0},
                        {"Relu", 0, 0, 0},     {"ScaledTanh", 2, 1, 1}, {"Sigmoid", 0, 0, 0},         {"Softplus", 0, 0, 0},
                        {"Softsign", 0, 0, 0}, {"Tanh", 0, 0, 0},       {"ThresholdedRelu", 1, 1, 0}};

typedef struct Cell {
    int kind;
    DType t;
    const Dim *hidden;
    OnnxActivation f[3];
    double clip; /* 0: none */
    bool linear_before_reset, input_forget;
    Value *r;      /* [hidden, gates * hidden] */
    Value *r_bias; /* [gates * hidden]; GRU only, elsewhere part of the input's */
    Value *peephole[3];
    Value *lengths; /* [batch, 1] or NULL */
} Cell;

bool onnx_activation(OnnxNode *n, const char *name, OnnxActivation *f, int *params)
{
    size_t k = 0, end = sizeof activation_table / sizeof *activation_table;
    while (k < end && strcasecmp(activation_table[k].name, name) != 0) k++;
    if (k == end) {
        onnx_error(n, "activation '%s' is unknown", name);
        return false;
    }
    *f = (OnnxActivation){activation_table[k].name, activation_table[k].alpha, activation_table[k].beta};
    *params = activation_table[k].params;
    return true;
}

static bool read_activations(OnnxNode *n, int kind, int directions, OnnxActivation (*f)[3])
{
    int count = 0, n_alpha = 0, n_beta = 0, a = 0, c = 0, want = function_count[kind];
    const char *const *names = onnx_strs(n, "activations", &count);
    const float *alpha = onnx_floats(n, "activation_alpha", &n_alpha), *beta = onnx_floats(n, "activation_beta", &n_beta);
    if (names && count != want * directions) {
        onnx_error(n, "attribute 'activations' has %d entries, expected %d", count, want * directions);
        return false;
    }
    for (int d = 0; d < directions; d++)
        for (int i = 0; i < want; i++) {
            const char *name = names ? names[d * want + i] : default_functions[kind][i];
            int params;
            if (!onnx_activation(n, name, &f[d][i], &params)) return false;
            if (params >= 1 && alpha && a < n_alpha) f[d][i].alpha = (double)alpha[a++];
            if (params >= 2 && beta && c < n_beta) f[d][i].beta = (double)beta[c++];
        }
    return true;
}

Value *onnx_activate(Build *b, const OnnxActivation *f, Value *x)
{
    if (!x) return NULL;
    DType t = x->type.dtype;
    Value *zero = build_scalar(b, t, 0), *one = build_scalar(b, t, 1);
    if (strcmp(f->name, "Sigmoid") == 0) return build_map1(b, OP_SIGMOID, x);
    if (strcmp(f->name, "Tanh") == 0) return build_map1(b, OP_TANH, x);
    if (strcmp(f->name, "Relu") == 0) return build_relu(b, x);
    if (strcmp(f->name, "Softsign") == 0) return build_map2(b, OP_DIV, x, build_map2(b, OP_ADD, build_map1(b, OP_ABS, x), one));
    if (strcmp(f->name, "Softplus") == 0) return compose_softplus(b, x);
    if (strcmp(f->name, "ScaledTanh") == 0)
        return build_map2s(b, OP_MUL, build_map1(b, OP_TANH, build_map2s(b, OP_MUL, x, f->beta)), f->alpha);
    Value *scaled = build_map2s(b, OP_MUL, x, f->alpha);
    if (strcmp(f->name, "Affine") == 0) return build_map2s(b, OP_ADD, scaled, f->beta);
    if (strcmp(f->name, "HardSigmoid") == 0) return build_clamp(b, build_map2s(b, OP_ADD, scaled, f->beta), zero, one);
    Value *positive = build_map2(b, OP_GE, x, zero);
    if (strcmp(f->name, "LeakyRelu") == 0) return build_map3(b, OP_SELECT, positive, x, scaled);
    if (strcmp(f->name, "Elu") == 0)
        return build_map3(b, OP_SELECT, positive, x, build_map2s(b, OP_MUL, build_map1(b, OP_EXPM1, x), f->alpha));
    return build_map3(b, OP_SELECT, build_map2s(b, OP_GT, x, f->alpha), x, zero); /* ThresholdedRelu */
}

static Value *activate(Build *b, const Cell *cell, int which, Value *x)
{
    DType t = cell->t;
    if (cell->clip > 0) x = build_clamp(b, x, build_scalar(b, t, -cell->clip), build_scalar(b, t, cell->clip));
    return onnx_activate(b, &cell->f[which], x);
}

/* Gate i's columns of [batch, gates * hidden] or of [hidden, gates * hidden], or its part of a vector. */
static Value *gate(Build *b, const Cell *c, Value *x, int i)
{
    return x ? build_slice_axis(b, x, x->type.rank - 1, times_int(b, c->hidden, i), c->hidden) : NULL;
}

static Value *sum(Build *b, Value *x, Value *y)
{
    return y ? build_map2(b, OP_ADD, x, y) : x;
}

static Value *peep(Build *b, const Cell *c, Value *x, int i, Value *state)
{
    return c->peephole[i] ? build_map2(b, OP_ADD, x, build_map2(b, OP_MUL, c->peephole[i], state)) : x;
}

static void lstm_step(Build *b, const Cell *c, Value *x, Value **state)
{
    Value *g = build_map2(b, OP_ADD, x, build_matmul(b, state[0], c->r)); /* gates i, o, f, c */
    Value *i = activate(b, c, 0, peep(b, c, gate(b, c, g, 0), 0, state[1]));
    Value *f = c->input_forget ? build_map2(b, OP_SUB, build_scalar(b, c->t, 1), i)
                               : activate(b, c, 0, peep(b, c, gate(b, c, g, 2), 2, state[1]));
    Value *fresh = activate(b, c, 1, gate(b, c, g, 3));
    Value *memory = build_map2(b, OP_ADD, build_map2(b, OP_MUL, f, state[1]), build_map2(b, OP_MUL, i, fresh));
    Value *o = activate(b, c, 0, peep(b, c, gate(b, c, g, 1), 1, memory));
    state[0] = build_map2(b, OP_MUL, o, activate(b, c, 2, memory));
    state[1] = memory;
}

static void gru_step(Build *b, const Cell *c, Value *x, Value **state)
{
    Value *h = state[0]; /* gates z, r, h */
    const Dim *two = times_int(b, c->hidden, 2), *zero = dim_of_int(b, 0);
    Value *zr = build_map2(b, OP_ADD, build_slice_axis(b, x, -1, zero, two),
                           build_matmul(b, h, build_slice_axis(b, c->r, -1, zero, two)));
    if (c->r_bias) zr = build_map2(b, OP_ADD, zr, build_slice_axis(b, c->r_bias, -1, zero, two));
    Value *z = activate(b, c, 0, gate(b, c, zr, 0)), *r = activate(b, c, 0, gate(b, c, zr, 1));
    Value *rh = gate(b, c, c->r, 2), *bias = gate(b, c, c->r_bias, 2), *part;
    if (c->linear_before_reset)
        part = build_map2(b, OP_MUL, r, sum(b, build_matmul(b, h, rh), bias));
    else
        part = sum(b, build_matmul(b, build_map2(b, OP_MUL, r, h), rh), bias);
    Value *fresh = activate(b, c, 1, build_map2(b, OP_ADD, gate(b, c, x, 2), part));
    /* (1 - z) fresh + z h */
    state[0] = build_map2(b, OP_ADD, fresh, build_map2(b, OP_MUL, z, build_map2(b, OP_SUB, h, fresh)));
}

static void rnn_step(Build *b, const Cell *c, Value *x, Value **state)
{
    state[0] = activate(b, c, 0, build_map2(b, OP_ADD, x, build_matmul(b, state[0], c->r)));
}

/* One time step: `state` is replaced, the result is what Y holds for it. t: the step's place in the sequence. */
static Value *step(Build *b, const Cell *c, Value *x, Value *t, Value **state)
{
    Value *old[2] = {state[0], state[1]};
    (c->kind == LSTM ? lstm_step : c->kind == GRU ? gru_step : rnn_step)(b, c, x, state);
    if (!c->lengths || !state[0]) return state[0];
    Value *live = build_map2(b, OP_LT, t, c->lengths);
    for (int i = 0; i < (c->kind == LSTM ? 2 : 1); i++) state[i] = build_map3(b, OP_SELECT, live, state[i], old[i]);
    return build_map3(b, OP_SELECT, live, state[0], build_scalar(b, c->t, 0));
}

Value *onnx_over_time(Build *b, const Dim *length, int n, Value **state, TimeStep one, void *user)
{
    Context *ctx = b->ctx;
    int zero = 0;
    for (int i = 0; i < n; i++)
        if (!state[i]) return NULL;
    if (dim_is(length, 1)) /* one step: no loop */
        return build_unsqueeze(b, one(b, user, build_scalar_i(b, DLVK_I64, 0), state), 1, &zero);
    Region *body = region_new(b->at->graph, b->at);
    Build in_body = {.ctx = ctx, .at = body};
    Value *t = region_param(body, type_make(ctx, DLVK_I64, 0, NULL), NULL);
    Value **inner = POOL_ARRAY(ctx->pool, Value *, n);
    for (int i = 0; i < n; i++) inner[i] = region_param(body, state[i]->type, NULL);
    Value *y = one(&in_body, user, t, inner);
    *VEC_PUSH(ctx->pool, body->results) = build_scalar_i(&in_body, DLVK_BOOL, 1);
    for (int i = 0; i < n; i++) *VEC_PUSH(ctx->pool, body->results) = inner[i];
    *VEC_PUSH(ctx->pool, body->results) = y;
    for (int i = 0; i < body->results.n; i++)
        if (!body->results.at[i]) return NULL;
    Value **out = build_loop(b, build_dims(b, DLVK_I64, -1, &length), build_scalar_i(b, DLVK_BOOL, 1), n, state, body);
    if (!out) return NULL;
    memcpy(state, out, sizeof *state * (size_t)n);
    return out[n];
}

typedef struct Pass { /* of one direction over time */
    const Cell *cell;
    Value *x; /* [seq, batch, gates * hidden] */
    bool backward;
} Pass;

static Value *pass_step(Build *b, void *user, Value *t, Value **state)
{
    const Pass *p = user;
    const Dim *last = plus_int(b, p->x->type.dim[0], -1);
    if (p->backward) t = build_map2(b, OP_SUB, build_dims(b, DLVK_I64, -1, &last), t);
    return step(b, p->cell, compose_at(b, p->x, t, 0), t, state);
}

/* All time steps of one direction. Gives y [seq, batch, hidden]; `state` becomes the last. */
static Value *run(Build *b, const Cell *c, Value *x, bool backward, Value **state)
{
    if (!x) return NULL;
    int zero = 0;
    Pass p = {c, x, backward};
    Value *y = onnx_over_time(b, x->type.dim[0], c->kind == LSTM ? 2 : 1, state, pass_step, &p);
    return backward ? build_reverse(b, y, 1, &zero) : y;
}

/* Direction d of [directions, ...], without that axis; NULL for NULL. */
static Value *direction_of(Build *b, Value *v, int d)
{
    if (!v) return NULL;
    int axis = 0;
    return build_squeeze(b, build_slice_axis(b, v, 0, dim_of_int(b, d), dim_of_int(b, 1)), 1, &axis);
}

/* The initial state, time-major: [directions, batch, hidden]; zeros where absent. */
static Value *initial_state(OnnxNode *n, int i, bool batch_first, Type t)
{
    const int swap[] = {1, 0, 2};
    if (!has_in(n, i)) return build_full(n->b, t, 0);
    return batch_first ? build_transpose(n->b, in(n, i), swap) : in(n, i);
}

/* Input i, if it is there, must be of this shape. */
static bool has_shape(OnnxNode *n, int i, int rank, const Dim *const *dims)
{
    Value *v = in(n, i);
    if (!v) return true;
    if (v->type.rank != rank) {
        onnx_error(n, "input %d is of rank %d; it must be %d", i, v->type.rank, rank);
        return false;
    }
    for (int d = 0; d < rank; d++) ctx_constrain(n->b->ctx, DIM_EQ, v->type.dim[d], dims[d]);
    return true;
}

static bool check_operands(OnnxNode *n, int kind, int64_t directions, bool batch_first)
{
    Value *x = in(n, 0), *w = in(n, 1), *r = in(n, 2);
    if (!x || !w || !r) return false;
    if (x->type.rank != 3 || w->type.rank != 3 || r->type.rank != 3) {
        onnx_error(n, "X, W and R of rank %d, %d and %d; all must be 3", x->type.rank, w->type.rank, r->type.rank);
        return false;
    }
    Build *b = n->b;
    int gates = gate_count[kind];
    const Dim *count = dim_of_int(b, directions), *hidden = r->type.dim[2], *batch = x->type.dim[batch_first ? 0 : 1];
    const Dim *weights[] = {count, times_int(b, hidden, gates), x->type.dim[2]}, *again[] = {count, weights[1], hidden};
    const Dim *bias[] = {count, times_int(b, hidden, 2 * gates)}, *peepholes[] = {count, times_int(b, hidden, 3)};
    const Dim *state[] = {batch_first ? batch : count, batch_first ? count : batch, hidden};
    if (onnx_has(n, "hidden_size")) ctx_constrain(b->ctx, DIM_EQ, hidden, dim_of_int(b, onnx_int(n, "hidden_size", 0)));
    return has_shape(n, 1, 3, weights) && has_shape(n, 2, 3, again) && has_shape(n, 3, 2, bias) && has_shape(n, 4, 1, &batch) &&
           has_shape(n, 5, 3, state) && (kind != LSTM || (has_shape(n, 6, 3, state) && has_shape(n, 7, 2, peepholes)));
}

/* arg: RNN, GRU or LSTM. */
void lower_recurrent(OnnxNode *n)
{
    Build *b = n->b;
    int kind = n->arg, states = kind == LSTM ? 2 : 1, gates = gate_count[kind];
    const int swap3[] = {1, 0, 2}, swap[] = {1, 0};
    const char *way = onnx_str(n, "direction", "forward");
    bool both = strcmp(way, "bidirectional") == 0, reverse = strcmp(way, "reverse") == 0;
    bool batch_first = onnx_int(n, "layout", 0) != 0;
    int directions = both ? 2 : 1;
    if (!both && !reverse && strcmp(way, "forward") != 0) {
        onnx_error(n, "attribute 'direction' is '%s'", way);
        return;
    }
    OnnxActivation f[2][3];
    if (!check_operands(n, kind, directions, batch_first) || !read_activations(n, kind, directions, f)) return;
    Value *x = batch_first ? build_transpose(b, in(n, 0), swap3) : in(n, 0);
    if (!x) return;
    DType t = x->type.dtype;
    const Dim *hidden = in(n, 2)->type.dim[2], *batch = x->type.dim[1], *wide = times_int(b, hidden, gates);
    const Dim *state_shape[] = {dim_of_int(b, directions), batch, hidden};
    Value *h0 = initial_state(n, 5, batch_first, (Type){t, 3, state_shape});
    Value *c0 = states == 2 ? initial_state(n, 6, batch_first, (Type){t, 3, state_shape}) : NULL;
    Value *lengths = build_cast(b, in(n, 4), DLVK_I64), *y[2], *last[2][2] = {{NULL}};
    int one = 1;
    for (int d = 0; d < directions; d++) {
        Cell c = {.kind = kind, .t = t, .hidden = hidden, .clip = onnx_float(n, "clip", 0)};
        memcpy(c.f, f[d], sizeof c.f);
        c.linear_before_reset = onnx_int(n, "linear_before_reset", 0) != 0;
        c.input_forget = onnx_int(n, "input_forget", 0) != 0;
        c.lengths = lengths ? build_unsqueeze(b, lengths, 1, &one) : NULL;
        c.r = build_transpose(b, direction_of(b, in(n, 2), d), swap);
        Value *xw = build_matmul(b, x, build_transpose(b, direction_of(b, in(n, 1), d), swap));
        Value *bias = direction_of(b, in(n, 3), d);
        if (bias) {
            Value *r_bias = build_slice_axis(b, bias, 0, wide, wide);
            xw = build_map2(b, OP_ADD, xw, build_slice_axis(b, bias, 0, dim_of_int(b, 0), wide));
            if (kind == GRU)
                c.r_bias = r_bias;
            else
                xw = build_map2(b, OP_ADD, xw, r_bias);
        }
        Value *p = kind == LSTM ? direction_of(b, in(n, 7), d) : NULL;
        for (int i = 0; i < 3 && p; i++) c.peephole[i] = gate(b, &c, p, i); /* i, o, f */
        Value *state[2] = {direction_of(b, h0, d), direction_of(b, c0, d)};
        y[d] = build_unsqueeze(b, run(b, &c, xw, reverse || d == 1, state), 1, &one); /* [seq, 1, batch, hidden] */
        for (int i = 0; i < states; i++) {
            int at = batch_first ? 1 : 0;
            last[i][d] = build_unsqueeze(b, state[i], 1, &at);
        }
    }
    const int batch_major[] = {2, 0, 1, 3};
    Value *all = build_concat(b, directions, y, 1);
    if (has_out(n, 0)) n->out[0] = batch_first ? build_transpose(b, all, batch_major) : all;
    for (int i = 0; i < states; i++)
        if (has_out(n, 1 + i)) n->out[1 + i] = build_concat(b, directions, last[i], batch_first ? 1 : 0);
}
