/* Attention on a GPU without matrix units, and everywhere else: what fills codegen/glsl/attention_wave.comp.glsl. */
#include "codegen/attention.h"

enum { ROWS = 32 }; /* queries of a workgroup */

void attention_wave(KernelGen *kg, const Attend *t)
{
    DimTable *dt = &kg->ctx->dims;
    Shader *s = shader_new(kg, 0);
    *VEC_PUSH(s->pool, s->spec) = (uint32_t)t->d;
    *VEC_PUSH(s->pool, s->spec) = (uint32_t)t->e;
    s->grid[0] = dim_mul(dt, dim_ceildiv(dt, t->m, dim_const(dt, ROWS)), t->z);
    enum { OWN = 4 };
    Hole holes[OWN + ATTEND_HOLES] = {
        {"k_across", dim_is(t->k.row, 1) ? "false" : "true"}, /* neighbouring invocations have neighbouring keys */
        {"q", attend_load(s, &t->q, "at")},
        {"k", attend_load(s, &t->k, "at")},
        {"v", attend_load(s, &t->v, "at")},
    };
    attend_holes(s, t, NULL, holes + OWN);
    contract_assemble(s, "attention_wave.comp.glsl", OWN + ATTEND_HOLES, holes);
}
