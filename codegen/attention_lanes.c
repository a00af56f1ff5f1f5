/* Attention on matrix units whose lanes are known: what fills codegen/glsl/attention_lanes.comp.glsl. */
#include "codegen/attention.h"
#include "dlvk/runtime.h"

typedef struct Shape {
    uint32_t subgroups, keys, key_teams; /* of a workgroup; keys of each at a time; subgroups that share out the keys */
} Shape;

/* False: its operands do not lie in vectors. */
static bool one_shape(KernelGen *kg, const Attend *t, Shape x, const Dim *when)
{
    DimTable *dt = &kg->ctx->dims;
    Shader *s = shader_new(kg, STRIPS | DLVK_FEATURE_COOPMAT | DLVK_FEATURE_QUADS | DLVK_FEATURE_FLOAT16 |
                                   DLVK_FEATURE_STORAGE16 | DLVK_FEATURE_SUBGROUP);
    const uint32_t spec[] = {x.subgroups, 16, 32, (uint32_t)t->d, (uint32_t)t->e, x.keys, x.key_teams};
    for (size_t i = 0; i < sizeof spec / sizeof *spec; i++) *VEC_PUSH(s->pool, s->spec) = spec[i];
    int64_t teams = x.subgroups / x.key_teams, ahead = attend_ahead(t);
    const Dim *tiles = dim_ceildiv(dt, t->m, dim_const(dt, 16)), *per = dim_const(dt, teams);
    if (ahead > -ATTEND_FAR && ahead < ATTEND_FAR)
        s->grid[0] = dim_mul(dt, dim_ceildiv(dt, tiles, per), t->z);
    else
        s->grid[0] = dim_ceildiv(dt, dim_mul(dt, tiles, t->z), per);
    s->when = when;
    Value *q = t->a->qk->in[0], *k = t->a->qk->in[1], *v = t->a->pv->in[1];
    enum { OWN = 5 };
    bool q_whole, k_whole, v_whole;
    Hole holes[OWN + ATTEND_HOLES] = {
        {"query", attend_operand(s, t, "query", q, &t->q, t->q.col, t->q.row, t->d, "D", &q_whole)},
        {"key", attend_operand(s, t, "key", k, &t->k, t->k.row, t->k.col, t->d, "D", &k_whole)},
        {"value", attend_operand(s, t, "value", v, &t->v, t->v.col, t->v.row, t->e, "E", &v_whole)},
        {"weights", attend_weight(s, t)},
        {"ragged", dim_is(dim_mod(dt, t->n, dim_const(dt, x.keys)), 0) ? "0" : "1"},
    };
    if (!q_whole || !k_whole || !v_whole) {
        kg->variants.n--;
        return false;
    }
    attend_holes(s, t, NULL, true, holes + OWN);
    contract_assemble(s, "attention_lanes.comp.glsl", OWN + ATTEND_HOLES, holes);
    return true;
}

/* At least 1 where d is from `least` to `most`. */
static const Dim *between(DimTable *dt, const Dim *d, int64_t least, int64_t most)
{
    const Dim *high = dim_floordiv(dt, dim_const(dt, most), dim_max(dt, d, dim_const(dt, 1)));
    return least ? dim_min(dt, high, dim_floordiv(dt, d, dim_const(dt, least))) : high;
}

/* Few queries are made more subgroups by sharing out their keys. Many would read long rows of keys too often: these go through
 * shared memory. */
void attention_lanes(KernelGen *kg, const Attend *t)
{
    if (t->d % 32 || t->d > 64 || t->e != 64) return;
    DimTable *dt = &kg->ctx->dims;
    const Dim *one = dim_const(dt, 1), *tiles = dim_mul(dt, dim_ceildiv(dt, t->m, dim_const(dt, 16)), t->z);
    enum { ANY = 1 << 30 };
    static const struct {
        int64_t least, most, longest; /* tiles of 16 queries; keys, */
        int64_t multiple;             /* which are a multiple of this */
        Shape shape;
    } of[] = {{768, ANY, 256, 32, {4, 32, 1}},
              {768, ANY, 256, 1, {2, 16, 1}},
              {256, 767, 1024, 1, {4, 16, 4}},
              {0, 132, 1024, 1, {8, 16, 8}}};
    for (size_t i = 0; i < sizeof of / sizeof *of; i++) {
        const Dim *rest = dim_mod(dt, t->n, dim_const(dt, of[i].multiple)), *even = dim_sub(dt, one, dim_min(dt, one, rest));
        const Dim *when = dim_min(dt, between(dt, tiles, of[i].least, of[i].most), between(dt, t->n, 0, of[i].longest));
        when = dim_min(dt, when, even);
        if (!contract_may_run(&when)) continue;
        if (!one_shape(kg, t, of[i].shape, when) || !when) break;
    }
}
