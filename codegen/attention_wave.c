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
    const Hole holes[] = {
        {"m", arg_size(s, t->m, "m")},
        {"n", arg_size(s, t->n, "n")},
        {"z", arg_size(s, t->z, "z")},
        {"q_base", attend_base(s, t, t->a->qk->in[0], &t->q, "q_base")},
        {"k_base", attend_base(s, t, t->a->qk->in[1], &t->k, "k_base")},
        {"v_base", attend_base(s, t, t->a->pv->in[1], &t->v, "v_base")},
        {"q_row", arg_size(s, t->q.row, "q_row")},
        {"q_col", arg_int(s, t->q.col)},
        {"k_row", arg_int(s, t->k.row)},
        {"k_col", arg_size(s, t->k.col, "k_col")},
        {"v_row", arg_size(s, t->v.row, "v_row")},
        {"v_col", arg_int(s, t->v.col)},
        {"k_across", dim_is(t->k.row, 1) ? "false" : "true"}, /* neighbouring invocations have neighbouring keys */
        {"q", attend_load(s, &t->q, "at")},
        {"k", attend_load(s, &t->k, "at")},
        {"v", attend_load(s, &t->v, "at")},
        {"score", attend_score(s, t, NULL)},
        {"dead", attend_dead(s, t)},
        {"store", attend_store(s, t)},
    };
    contract_assemble(s, "attention_wave.comp.glsl", sizeof holes / sizeof *holes, holes);
}
