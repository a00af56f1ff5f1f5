/* Attention on matrix units: what fills codegen/glsl/attention_matrix.comp.glsl. */
#include "codegen/attention.h"
#include "dlvk/runtime.h"

static bool divides(Shader *s, const Dim *d, int by)
{
    return dim_is(dim_mod(&s->ctx->dims, d, dim_const(&s->ctx->dims, by)), 0);
}

/* Whether rows of `length` elements can be read as vectors of eight halves. */
static const char *whole(Shader *s, const Attend *t, Value *operand, const View *v, const Dim *along, const Dim *across,
                         int64_t length)
{
    bool ok = v->root->type.dtype == DLVK_F16 && dim_is(along, 1) && divides(s, across, 8) && length % 8 == 0 &&
              attend_base_divides(s, t, operand, v, 8);
    return ok ? "1" : "0";
}

typedef struct Shape {
    uint32_t subgroups, rows, keys, key_teams, prefetch;
} Shape;

/* Few workgroups are made more by sharing out the keys within each. What each takes of shared memory is at most 32 KiB. */
static Shape choose(const Attend *t)
{
    int64_t most = t->d > t->e ? t->d : t->e, m, z;
    bool few = !dim_is_const(t->m, &m) || !dim_is_const(t->z, &z) || (m + 63) / 64 * z < 256;
    Shape x = most <= 64 ? (Shape){4, 16, 64, 1, 1} : most <= 128 ? (Shape){4, 16, 32, 1, 1} : (Shape){2, 16, 16, 1, 1};
    if (few) x = most <= 64 ? (Shape){4, 16, 16, 4, 1} : most <= 128 ? (Shape){4, 16, 16, 2, 1} : (Shape){2, 16, 16, 1, 1};
    return x;
}

void attention_matrix(KernelGen *kg, const Attend *t)
{
    DimTable *dt = &kg->ctx->dims;
    Shader *s = shader_new(kg, DLVK_FEATURE_WAVE | DLVK_FEATURE_COOPMAT | DLVK_FEATURE_FLOAT16 | DLVK_FEATURE_STORAGE16 |
                                   DLVK_FEATURE_SUBGROUP);
    Shape x = choose(t);
    const uint32_t spec[] = {x.subgroups, 16, 32, (uint32_t)t->d, (uint32_t)t->e, x.rows, x.keys, x.key_teams, x.prefetch};
    for (int i = 0; i < 9; i++) *VEC_PUSH(s->pool, s->spec) = spec[i];
    int64_t rows = x.subgroups / x.key_teams * x.rows;
    s->grid[0] = dim_mul(dt, dim_ceildiv(dt, t->m, dim_const(dt, rows)), t->z);
    Value *q = t->a->qk->in[0], *k = t->a->qk->in[1], *v = t->a->pv->in[1];
    const Hole holes[] = {
        {"m", arg_size(s, t->m, "m")},
        {"n", arg_size(s, t->n, "n")},
        {"z", arg_size(s, t->z, "z")},
        {"q_base", attend_base(s, t, q, &t->q, "q_base")},
        {"k_base", attend_base(s, t, k, &t->k, "k_base")},
        {"v_base", attend_base(s, t, v, &t->v, "v_base")},
        {"q_row", arg_size(s, t->q.row, "q_row")},
        {"q_col", arg_int(s, t->q.col)},
        {"k_row", arg_int(s, t->k.row)},
        {"k_col", arg_size(s, t->k.col, "k_col")},
        {"v_row", arg_size(s, t->v.row, "v_row")},
        {"v_col", arg_int(s, t->v.col)},
        {"q_whole", whole(s, t, q, &t->q, t->q.col, t->q.row, t->d)},
        {"k_whole", whole(s, t, k, &t->k, t->k.row, t->k.col, t->d)},
        {"v_whole", whole(s, t, v, &t->v, t->v.col, t->v.row, t->e)},
        {"q_buffer", arg_buffer(s, t->q.root, false, "BufU32")},
        {"k_buffer", arg_buffer(s, t->k.root, false, "BufU32")},
        {"v_buffer", arg_buffer(s, t->v.root, false, "BufU32")},
        {"q", attend_load(s, &t->q, "at")},
        {"k", attend_load(s, &t->k, "at")},
        {"v", attend_load(s, &t->v, "at")},
        {"score", attend_score(s, t, NULL)},
        {"dead", attend_dead(s, t)},
        {"store", attend_store(s, t)},
    };
    contract_assemble(s, "attention_matrix.comp.glsl", sizeof holes / sizeof *holes, holes);
}
