/* Attention on a GPU without matrix units, and everywhere else: what fills codegen/glsl/attention_wave.comp.glsl. */
#include "codegen/attention.h"
#include "dlvk/runtime.h"

enum { ROWS = 32 }; /* queries of a workgroup */

static bool fours(Shader *s, const Dim *d)
{
    DimTable *dt = &s->ctx->dims;
    return dim_is(dim_mod(dt, d, dim_const(dt, 4)), 0);
}

/* The function NAME, which loads four neighbours. rows by elements of `length`, `across` and `along` apart; turned: the
 * neighbours lie in different rows. *whole: loads may be vectors; becomes whether they are. */
static const char *operand(Shader *s, const Attend *t, const char *name, Value *value, const View *v, const Dim *along,
                           const Dim *across, int64_t length, const Dim *rows, bool turned, bool *whole)
{
    DType type = v->root->type.dtype;
    *whole = *whole && (type == DLVK_F32 || type == DLVK_F16) && dim_is(turned ? across : along, 1) &&
             fours(s, turned ? along : across) && (turned ? fours(s, rows) : length % 4 == 0) &&
             attend_base_divides(s, t, value, v, 4);
    const Hole holes[] = {
        {"name", name},
        {"size", sh_printf(s, "%d", (int)length)},
        {"rows", arg_size(s, rows, "rows")},
        {"turned", turned ? "1" : "0"},
        {"whole", *whole ? type == DLVK_F32 ? "4" : "2" : "0"},
        {"across", arg_int(s, across)},
        {"along", arg_int(s, along)},
        {"buffer", arg_buffer(s, v->root, false, "BufU32")},
        {"load", attend_load(s, v, "at")},
    };
    return template_fill(s->pool, "attention_four.glsl", sizeof holes / sizeof *holes, holes);
}

void attention_wave(KernelGen *kg, const Attend *t, uint32_t features)
{
    DimTable *dt = &kg->ctx->dims;
    Shader *s = shader_new(kg, features);
    *VEC_PUSH(s->pool, s->spec) = (uint32_t)t->d;
    *VEC_PUSH(s->pool, s->spec) = (uint32_t)t->e;
    s->grid[0] = dim_mul(dt, dim_ceildiv(dt, t->m, dim_const(dt, ROWS)), t->z);
    Value *q = t->a->qk->in[0], *k = t->a->qk->in[1], *v = t->a->pv->in[1];
    bool turned = !dim_is(t->k.row, 1), q_whole = features != 0, k_whole = q_whole, v_whole = q_whole;
    enum { OWN = 4 };
    Hole holes[OWN + ATTEND_HOLES] = {
        {"k_across", turned ? "true" : "false"}, /* neighbouring invocations have neighbouring keys */
        {"query", operand(s, t, "query", q, &t->q, t->q.col, t->q.row, t->d, t->m, false, &q_whole)},
        {"key", operand(s, t, "key", k, &t->k, t->k.row, t->k.col, t->d, t->n, turned, &k_whole)},
        {"value", operand(s, t, "value", v, &t->v, t->v.col, t->v.row, t->e, t->n, false, &v_whole)},
    };
    attend_holes(s, t, NULL, false, holes + OWN);
    contract_assemble(s, "attention_wave.comp.glsl", OWN + ATTEND_HOLES, holes);
}
