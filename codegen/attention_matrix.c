/* Attention on matrix units: what fills codegen/glsl/attention_matrix.comp.glsl. */
#include "codegen/attention.h"
#include "dlvk/runtime.h"

static bool divides(Shader *s, const Dim *d, int by)
{
    return dim_is(dim_mod(&s->ctx->dims, d, dim_const(&s->ctx->dims, by)), 0);
}

/* The function NAME, which loads eight elements of one of the operands' rows: in one go where they are neighbours for certain.
 * along, across: elements between those of a row, and between rows; size: how many a row has, in GLSL. */
static const char *operand(Shader *s, const Attend *t, const char *name, Value *value, const View *v, const Dim *along,
                           const Dim *across, int64_t length, const char *size)
{
    bool whole = v->root->type.dtype == DLVK_F16 && dim_is(along, 1) && divides(s, across, 8) && length % 8 == 0 &&
                 attend_base_divides(s, t, value, v, 8);
    const Hole holes[] = {
        {"name", name},
        {"size", size},
        {"whole", whole ? "1" : "0"},
        {"across", arg_int(s, across)},
        {"along", arg_int(s, along)},
        {"buffer", arg_buffer(s, v->root, false, "BufU32")},
        {"load", attend_load(s, v, "at")},
    };
    return template_fill(s->pool, "attention_operand.glsl", sizeof holes / sizeof *holes, holes);
}

typedef struct Shape {
    uint32_t subgroups, rows, keys, key_teams;
} Shape;

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

static void one_shape(KernelGen *kg, const Attend *t, Shape x, const Dim *when)
{
    DimTable *dt = &kg->ctx->dims;
    Shader *s = shader_new(kg, DLVK_FEATURE_WAVE | DLVK_FEATURE_COOPMAT | DLVK_FEATURE_FLOAT16 | DLVK_FEATURE_STORAGE16 |
                                   DLVK_FEATURE_SUBGROUP | (x.subgroups > 8 ? DLVK_FEATURE_WG512 : 0));
    const uint32_t spec[] = {x.subgroups, 16, 32, (uint32_t)t->d, (uint32_t)t->e, x.rows, x.keys, x.key_teams, UINT32_MAX};
    for (size_t i = 0; i < sizeof spec / sizeof *spec; i++) *VEC_PUSH(s->pool, s->spec) = spec[i];
    int64_t rows = x.subgroups / x.key_teams * x.rows;
    s->grid[0] = dim_mul(dt, dim_ceildiv(dt, t->m, dim_const(dt, rows)), t->z);
    s->when = when;
    Value *q = t->a->qk->in[0], *k = t->a->qk->in[1], *v = t->a->pv->in[1];
    enum { OWN = 6 };
    double factor;
    bool folded = scores_factor(t, &factor);
    Hole holes[OWN + ATTEND_HOLES] = {
        {"query", operand(s, t, "query", q, &t->q, t->q.col, t->q.row, t->d, "D")},
        {"key", operand(s, t, "key", k, &t->k, t->k.row, t->k.col, t->d, "D")},
        {"value", operand(s, t, "value", v, &t->v, t->v.col, t->v.row, t->e, "E")},
        {"scale", sh_printf(s, "%.9g", (folded ? factor : 1) * 1.4426950408889634)},
        {"folded", folded ? "1" : "0"},
        {"ragged", divides(s, t->n, (int)(x.keys * x.key_teams)) ? "0" : "1"},
    };
    attend_holes(s, t, NULL, holes + OWN);
    contract_assemble(s, "attention_matrix.comp.glsl", OWN + ATTEND_HOLES, holes);
}

/* Few workgroups are made more by sharing out the keys within each, many take more queries each. `tiles` counts 64 queries. */
void attention_matrix(KernelGen *kg, const Attend *t)
{
    DimTable *dt = &kg->ctx->dims;
    int64_t most = t->d > t->e ? t->d : t->e;
    const Dim *tiles = dim_mul(dt, dim_ceildiv(dt, t->m, dim_const(dt, 64)), t->z);
    static const struct {
        int64_t size, tiles; /* heads up to this size; at least so many tiles */
        Shape shape;
    } of[] = {
        {64, 512, {16, 16, 64, 1}}, {64, 192, {8, 16, 64, 1}}, {64, 0, {8, 16, 16, 4}},
        {128, 256, {4, 16, 32, 1}}, {128, 0, {4, 16, 16, 2}},  {256, 0, {2, 16, 16, 1}},
    };
    for (size_t i = 0; i < sizeof of / sizeof *of; i++) {
        if (most > of[i].size) continue;
        const Dim *when = of[i].tiles ? dim_floordiv(dt, tiles, dim_const(dt, of[i].tiles)) : NULL;
        if (!contract_may_run(&when)) continue;
        one_shape(kg, t, of[i].shape, when);
        if (!when) break;
    }
}
