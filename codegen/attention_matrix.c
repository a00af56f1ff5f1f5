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
    uint32_t subgroups, rows, keys, key_teams, prefetch;
} Shape;

static void one_shape(KernelGen *kg, const Attend *t, Shape x, const Dim *when)
{
    DimTable *dt = &kg->ctx->dims;
    Shader *s = shader_new(kg, DLVK_FEATURE_WAVE | DLVK_FEATURE_COOPMAT | DLVK_FEATURE_FLOAT16 | DLVK_FEATURE_STORAGE16 |
                                   DLVK_FEATURE_SUBGROUP);
    const uint32_t spec[] = {x.subgroups, 16, 32, (uint32_t)t->d, (uint32_t)t->e, x.rows, x.keys, x.key_teams, x.prefetch};
    for (int i = 0; i < 9; i++) *VEC_PUSH(s->pool, s->spec) = spec[i];
    int64_t rows = x.subgroups / x.key_teams * x.rows;
    s->grid[0] = dim_mul(dt, dim_ceildiv(dt, t->m, dim_const(dt, rows)), t->z);
    s->when = when;
    Value *q = t->a->qk->in[0], *k = t->a->qk->in[1], *v = t->a->pv->in[1];
    enum { OWN = 3 };
    Hole holes[OWN + ATTEND_HOLES] = {
        {"query", operand(s, t, "query", q, &t->q, t->q.col, t->q.row, t->d, "D")},
        {"key", operand(s, t, "key", k, &t->k, t->k.row, t->k.col, t->d, "D")},
        {"value", operand(s, t, "value", v, &t->v, t->v.col, t->v.row, t->e, "E")},
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
        {64, 256, {8, 16, 64, 1, 1}},  {64, 40, {4, 16, 64, 1, 1}}, {64, 0, {4, 16, 16, 4, 1}},
        {128, 256, {4, 16, 32, 1, 1}}, {128, 0, {4, 16, 16, 2, 1}}, {256, 0, {2, 16, 16, 1, 1}},
    };
    for (size_t i = 0; i < sizeof of / sizeof *of; i++) {
        if (most > of[i].size) continue;
        const Dim *when = of[i].tiles ? dim_floordiv(dt, tiles, dim_const(dt, of[i].tiles)) : NULL;
        if (!contract_may_run(&when)) continue;
        one_shape(kg, t, of[i].shape, when);
        if (!when) break;
    }
}
