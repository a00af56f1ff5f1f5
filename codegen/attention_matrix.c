/* Attention on matrix units: what fills codegen/glsl/attention_matrix.comp.glsl. */
#include "codegen/attention.h"
#include "dlvk/runtime.h"

static bool divides(Shader *s, const Dim *d, int by)
{
    return dim_is(dim_mod(&s->ctx->dims, d, dim_const(&s->ctx->dims, by)), 0);
}

typedef struct Shape {
    uint32_t subgroups, rows, keys, key_teams;
} Shape;

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
    enum { OWN = 5 };
    bool whole;
    Hole holes[OWN + ATTEND_HOLES] = {
        {"query", attend_operand(s, t, "query", q, &t->q, t->q.col, t->q.row, t->d, "D", &whole)},
        {"key", attend_operand(s, t, "key", k, &t->k, t->k.row, t->k.col, t->d, "D", &whole)},
        {"value", attend_operand(s, t, "value", v, &t->v, t->v.col, t->v.row, t->e, "E", &whole)},
        {"weights", attend_weight(s, t)},
        {"ragged", divides(s, t->n, (int)(x.keys * x.key_teams)) ? "0" : "1"},
    };
    attend_holes(s, t, NULL, false, holes + OWN);
    contract_assemble(s, "attention_matrix.comp.glsl", OWN + ATTEND_HOLES, holes);
}

/* Few workgroups are made more by sharing out the keys within each, many take more queries each, if there are that many of them:
 * a workgroup counts that has three quarters of its queries. */
void attention_matrix(KernelGen *kg, const Attend *t)
{
    DimTable *dt = &kg->ctx->dims;
    int64_t most = t->d > t->e ? t->d : t->e;
    static const struct {
        int64_t size, groups; /* heads up to this size; at least so many workgroups */
        Shape shape;
    } of[] = {
        {64, 128, {16, 16, 64, 1}}, {64, 96, {8, 16, 64, 1}}, {64, 0, {8, 16, 16, 4}},
        {128, 256, {4, 16, 32, 1}}, {128, 0, {4, 16, 16, 2}}, {256, 0, {2, 16, 16, 1}},
    };
    for (size_t i = 0; i < sizeof of / sizeof *of; i++) {
        if (most > of[i].size) continue;
        int64_t rows = of[i].shape.subgroups / of[i].shape.key_teams * of[i].shape.rows;
        const Dim *groups = dim_mul(dt, dim_floordiv(dt, dim_add(dt, t->m, dim_const(dt, rows / 4)), dim_const(dt, rows)), t->z);
        const Dim *when = of[i].groups ? dim_floordiv(dt, groups, dim_const(dt, of[i].groups)) : NULL;
        if (!contract_may_run(&when)) continue;
        one_shape(kg, t, of[i].shape, when);
        if (!when) break;
    }
}
