/* Attention: what its variants have in common, and their order of preference; see attention.h. */
#include "codegen/attention.h"

#include <string.h>

#include "dlvk/runtime.h"

static bool not_stored(void *arg, const Value *v)
{
    const KernelGen *kg = arg;
    return v->def && !kg->sched->materialized[v->id];
}

static View operand_view(KernelGen *kg, Value *v)
{
    return view_of(&kg->ctx->dims, v, not_stored, kg);
}

static Attend analyse(KernelGen *kg)
{
    DimTable *dt = &kg->ctx->dims;
    const Attention *a = kg->kernel->attention;
    Type s = a->qk->out[0]->type, out = a->pv->out[0]->type, q = a->qk->in[0]->type;
    Attend t = {.a = a, .m = out.dim[out.rank - 2], .n = s.dim[s.rank - 1], .z = dim_const(dt, 1)};
    for (int i = 0; i < out.rank - 2; i++) t.z = dim_mul(dt, t.z, out.dim[i]);
    dim_is_const(q.dim[q.rank - 1], &t.d);
    dim_is_const(out.dim[out.rank - 1], &t.e);
    t.q = operand_view(kg, a->qk->in[0]);
    t.k = operand_view(kg, a->qk->in[1]);
    t.v = operand_view(kg, a->pv->in[1]);
    t.factor = t.q.factor * t.k.factor;
    return t;
}

enum { STRIP = 8 };

/* Batch z, row and column of a value whose last two axes are these. */
static Index index_in(Shader *s, const Attend *t, Type type, const Ix *row, const Ix *col)
{
    DimTable *dt = &s->ctx->dims;
    const Ix *ax[DLVK_MAX_RANK];
    const Dim *stride = dim_const(dt, 1);
    for (int i = type.rank - 3; i >= 0; i--) {
        ax[i] = dim_is(type.dim[i], 1) ? ix_const(s, 0) : ix_split(s, ix_var(s, "z", t->z), stride, type.dim[i]);
        stride = dim_mul(dt, stride, type.dim[i]);
    }
    ax[type.rank - 2] = row;
    ax[type.rank - 1] = col;
    return index_of_axes(type, ax);
}

static const Ix *base(Shader *s, const Attend *t, Value *operand, const View *view)
{
    const Ix *zero = ix_const(s, 0);
    return emit_view(s, operand, index_in(s, t, operand->type, zero, zero), view->root);
}

bool attend_base_divides(Shader *s, const Attend *t, Value *operand, const View *view, int by)
{
    Piece piece = contract_begin(s); /* no text comes of it */
    const Ix *at = base(s, t, operand, view);
    contract_end(s, piece);
    return ix_divisible(s, at, dim_const(&s->ctx->dims, by));
}

static const char *base_text(Shader *s, const Attend *t, Value *operand, const View *view, const char *name)
{
    Piece piece = contract_begin(s);
    s->role = name;
    const char *text = ix_text(s, base(s, t, operand, view));
    s->role = NULL;
    sh_line(s, "%s = %s;", name, text);
    return contract_end(s, piece);
}

const char *attend_load(Shader *s, const View *view, const char *at)
{
    return emit_load(s, view->root, at);
}

static const char *score_text(Shader *s, const Attend *t, const char *vector)
{
    Piece piece = contract_begin(s);
    Value *dot = t->a->qk->out[0], *scores = t->a->scores;
    s->role = "score";
    if (t->factor != 1) sh_line(s, "x *= %s;", emit_literal(s, DLVK_F32, t->factor, 0));
    const Ix *m = ix_var(s, "m", t->m), *n = ix_var(s, "n", t->n);
    if (vector) {
        s->vector = ix_var(s, "lane_number", dim_const(&s->ctx->dims, 8));
        n = ix_add(s, ix_var(s, vector, t->n), s->vector);
    }
    emit_bind(s, dot, index_in(s, t, dot->type, m, n), "x");
    const char *y = emit_value(s, scores, index_in(s, t, scores->type, m, n));
    if (strcmp(y, "x")) sh_line(s, "x = %s;", y);
    s->vector = NULL;
    s->role = NULL;
    return contract_end(s, piece);
}

static const char *dead_text(Shader *s, const Attend *t)
{
    Piece piece = contract_begin(s);
    Value *dead = t->a->dead;
    s->role = "scale";
    if (t->a->nan_dead) {
        sh_line(s, "dead = dead || op_is_nan(total) || total == 0.0;");
    } else if (dead) {
        const Ix *m = ix_var(s, "m", t->m), *zero = ix_const(s, 0);
        emit_bind(s, t->a->top, index_in(s, t, t->a->top->type, m, zero), "top");
        emit_bind(s, t->a->total, index_in(s, t, t->a->total->type, m, zero), "total");
        sh_line(s, "dead = dead || %s;", emit_value(s, dead, index_in(s, t, dead->type, m, zero)));
    }
    s->role = NULL;
    return contract_end(s, piece);
}

static bool moves(const Node *n)
{
    return n->op == OP_TRANSPOSE || n->op == OP_RESHAPE;
}

static bool rounds(const Node *n)
{
    return n->op == OP_CAST && n->in[0]->type.dtype == DLVK_F32 && n->out[0]->type.dtype == DLVK_F16;
}

/* A variable of v's type with the value of x, if that is more than a variable. */
static const char *name_it(Shader *s, const Value *v, const char *x)
{
    if (strcmp(x, "x") == 0) return x;
    const char *name = sh_fresh(s, "v");
    sh_line(s, "%s %s = %s;", glsl_class(v->type.dtype), name, x);
    return name;
}

static const char *store_text(Shader *s, const Attend *t, bool strips)
{
    Piece piece = contract_begin(s);
    const Attention *a = t->a;
    Value *v = a->pv->out[0], *stored = a->behind.n ? a->behind.at[a->behind.n - 1]->out[0] : v;
    /* Where storing rounds, rounding right before it is left out: it costs branches. */
    int exact = a->behind.n;
    while (emit_store_rounds(s, stored) && exact > 0 && (moves(a->behind.at[exact - 1]) || rounds(a->behind.at[exact - 1])))
        exact--;
    bool round_sum = v->type.dtype != DLVK_F16 || !emit_store_rounds(s, stored) || exact > 0;
    s->role = "out";
    const Dim *columns = v->type.dim[v->type.rank - 1], *width = dim_const(&s->ctx->dims, STRIP);
    const Ix *column = ix_var(s, "e", columns);
    const char *to = NULL;
    if (strips) {
        strip_begin(s, STRIP, "WIDTH");
        column = ix_add(s, ix_mul(s, ix_var(s, "strip", dim_floordiv(&s->ctx->dims, columns, width)), width), s->strip.j);
        to = strip_declare(s, glsl_class(stored->type.dtype), NULL, true);
        strip_open(s);
        sh_line(s, "float x = sum[j];");
    }
    if (t->v.factor != 1) sh_line(s, "x *= %s;", emit_literal(s, DLVK_F32, t->v.factor, 0));
    const char *x = round_sum ? name_it(s, v, emit_cast(s, DLVK_F32, v->type.dtype, "x", true)) : "x";
    Index at = index_in(s, t, v->type, ix_var(s, "m", t->m), column);
    emit_bind(s, v, at, x);
    for (int i = 0; i < a->behind.n; i++) {
        Node *n = a->behind.at[i];
        if (n->op == OP_TRANSPOSE) {
            const Ix *ax[DLVK_MAX_RANK];
            for (int k = 0; k < v->type.rank; k++) ax[k] = index_axis(s, v->type, &at, (int)attr_ints(n, A_PERM)[k]);
            at = index_of_axes(n->out[0]->type, ax);
        } else if (n->op == OP_RESHAPE) {
            at = index_of_flat(s, n->out[0]->type, index_flat(s, v->type, &at));
        }
        v = n->out[0];
        if (moves(n) || i >= exact)
            emit_bind(s, v, at, x);
        else
            x = emit_value(s, v, at);
    }
    if (strips) {
        sh_line(s, "%s = %s;", to, x);
        strip_close(s);
        strip_store(s, v, index_flat(s, v->type, &at), to);
        s->strip.width = 0;
    } else {
        emit_store(s, v, ix_text(s, index_flat(s, v->type, &at)), x);
    }
    s->role = NULL;
    return contract_end(s, piece);
}

void attend_holes(Shader *s, const Attend *t, const char *vector, bool strips, Hole *holes)
{
    const Attention *a = t->a;
    int64_t ahead = attend_ahead(t);
    const Hole all[ATTEND_HOLES] = {
        {"m", arg_size(s, t->m, "m")},
        {"n", arg_size(s, t->n, "n")},
        {"z", arg_size(s, t->z, "z")},
        {"q_base", base_text(s, t, a->qk->in[0], &t->q, "q_base")},
        {"k_base", base_text(s, t, a->qk->in[1], &t->k, "k_base")},
        {"v_base", base_text(s, t, a->pv->in[1], &t->v, "v_base")},
        {"q_row", arg_size(s, t->q.row, "q_row")},
        {"q_col", arg_int(s, t->q.col)},
        {"k_row", arg_int(s, t->k.row)},
        {"k_col", arg_size(s, t->k.col, "k_col")},
        {"v_row", arg_size(s, t->v.row, "v_row")},
        {"v_col", arg_int(s, t->v.col)},
        {"score", score_text(s, t, vector)},
        {"dead", dead_text(s, t)},
        {"causal", ahead > -ATTEND_FAR && ahead < ATTEND_FAR ? "1" : "0"},
        {"ahead", sh_printf(s, "%lld", (long long)ahead)},
        {strips ? "strip" : "store", store_text(s, t, strips)},
    };
    memcpy(holes, all, sizeof all);
}

static bool divides(Shader *s, const Dim *d, int by)
{
    return dim_is(dim_mod(&s->ctx->dims, d, dim_const(&s->ctx->dims, by)), 0);
}

const char *attend_operand(Shader *s, const Attend *t, const char *name, Value *value, const View *v, const Dim *along,
                           const Dim *across, int64_t length, const char *size, bool *whole)
{
    *whole = v->root->type.dtype == DLVK_F16 && dim_is(along, 1) && divides(s, across, 8) && length % 8 == 0 &&
             attend_base_divides(s, t, value, v, 8);
    const Hole holes[] = {
        {"name", name},
        {"size", size},
        {"whole", *whole ? "1" : "0"},
        {"across", arg_int(s, across)},
        {"along", arg_int(s, along)},
        {"buffer", arg_buffer(s, v->root, false, "BufU32")},
        {"load", attend_load(s, v, "at")},
    };
    return template_fill(s->pool, "attention_operand.glsl", sizeof holes / sizeof *holes, holes);
}

/* Whether scores are the product times a positive number, *f. */
static bool scores_factor(const Attend *t, double *f)
{
    const Value *v = t->a->scores;
    *f = t->factor;
    double c;
    while (v != t->a->qk->out[0]) {
        const Node *n = v->def;
        if (!n) return false;
        if (n->op == OP_RESHAPE || (n->op == OP_CAST && dtype_is_float(n->in[0]->type.dtype) && dtype_is_float(v->type.dtype))) {
            v = n->in[0];
        } else if ((n->op == OP_MUL || n->op == OP_DIV) && value_scalar(n->in[1], &c)) {
            *f = n->op == OP_MUL ? *f * c : *f / c;
            v = n->in[0];
        } else if (n->op == OP_MUL && value_scalar(n->in[0], &c)) {
            *f *= c;
            v = n->in[1];
        } else {
            return false;
        }
    }
    return *f > 0;
}

const char *attend_weight(Shader *s, const Attend *t)
{
    double factor;
    bool folded = scores_factor(t, &factor);
    const Hole holes[] = {
        {"scale", sh_printf(s, "%.9g", (folded ? factor : 1) * 1.4426950408889634)},
        {"folded", folded ? "1" : "0"},
    };
    return template_fill(s->pool, "attention_weight.glsl", sizeof holes / sizeof *holes, holes);
}

bool gen_attention(KernelGen *kg)
{
    Attend t = analyse(kg);
    attention_scalar(kg, &t);
    if (t.q.root->type.dtype == DLVK_F16 && t.k.root->type.dtype == DLVK_F16 && t.v.root->type.dtype == DLVK_F16)
        attention_lanes(kg, &t), attention_matrix(kg, &t);
    attention_wave(kg, &t, DLVK_FEATURE_WAVE | DLVK_FEATURE_WG512 | DLVK_FEATURE_STORAGE16);
    attention_wave(kg, &t, 0);
    return true;
}
