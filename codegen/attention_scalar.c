/* Attention on CPU drivers: what fills codegen/glsl/attention_scalar.comp.glsl. */
#include "codegen/attention.h"
#include "dlvk/runtime.h"

/* The statement that returns element k = c * 8 + lane of what begins at `at`, of `length`: by a vector load where the lanes'
 * elements are neighbours. */
static const char *load(Shader *s, const View *v, const Dim *along, int64_t length)
{
    DType t = v->root->type.dtype;
    const char *buffer = arg_buffer(s, v->root, false, t == DLVK_F32 ? "BufF32" : "BufU32");
    if (dim_is(along, 1) && length % 8 == 0) {
        if (t == DLVK_F32) return sh_printf(s, "return neighbours(BufF32(address_at(%s, at)), c * 8);", buffer);
        return sh_printf(s, "return %s(neighbours16(Words16(address16_at(%s, at)), c * 8));",
                         t == DLVK_F16 ? "f16_to_f32" : "bf16_to_f32", buffer);
    }
    Piece piece = contract_begin(s);
    sh_line(s, "int i = at + min(k, %d) * %s;", (int)length - 1, arg_int(s, along));
    sh_line(s, "float x = %s;", attend_load(s, v, "i"));
    sh_line(s, "return k < %d ? x : 0.0;", (int)length);
    return contract_end(s, piece);
}

void attention_scalar(KernelGen *kg, const Attend *t)
{
    DimTable *dt = &kg->ctx->dims;
    Shader *s = shader_new(kg, CPU_VECTORS | DLVK_FEATURE_SUBGROUP);
    *VEC_PUSH(s->pool, s->spec) = (uint32_t)t->d;
    *VEC_PUSH(s->pool, s->spec) = (uint32_t)t->e;
    /* About a million multiplications a workgroup, but enough workgroups to share out. */
    const Dim *one = dim_const(dt, 1), *all = dim_mul(dt, t->m, t->z);
    const Dim *work = dim_ceildiv(dt, dim_const(dt, 1000000 / (t->d + t->e)), dim_max(dt, t->n, one));
    const Dim *rows = dim_max(dt, dim_min(dt, work, dim_ceildiv(dt, all, dim_const(dt, 8))), one);
    s->grid[0] = dim_ceildiv(dt, all, rows);
    int64_t least, most;
    dim_range(t->n, &least, &most);
    bool vectors = least >= 8;
    enum { OWN = 5 };
    Hole holes[OWN + ATTEND_HOLES + 1] = {
        {"rows", arg_size(s, rows, "rows")},        {"vectors", vectors ? "true" : "false"},
        {"q_load", load(s, &t->q, t->q.col, t->d)}, {"k_load", load(s, &t->k, t->k.row, t->d)},
        {"v_load", load(s, &t->v, t->v.col, t->e)},
    };
    attend_holes(s, t, vectors ? "vector_at" : NULL, false, holes + OWN);
    const char *text = "";
    for (int i = 0; i < OWN + ATTEND_HOLES; i++) text = sh_printf(s, "%s%s\n", text, holes[i].text);
    holes[OWN + ATTEND_HOLES] = (Hole){"neighbours", neighbours_used(s->pool, text)};
    contract_assemble(s, "attention_scalar.comp.glsl", OWN + ATTEND_HOLES + 1, holes);
}
