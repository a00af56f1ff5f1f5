/* Products of a few rows with a matrix, on GPUs: what fills codegen/glsl/contract_vector.comp.glsl. */
#include "codegen/contract.h"
#include "dlvk/runtime.h"

void contract_vector(KernelGen *kg, const Contraction *c)
{
    enum { COLUMNS = 16 };
    static const int64_t most[] = {1, 4};
    DimTable *dt = &kg->ctx->dims;
    Load b = contract_b_vectors(kg, c, LOAD_8_F16);
    if (b == LOAD_ELEMENT) b = contract_b_vectors(kg, c, LOAD_4_F32);
    if (c->conv || b == LOAD_ELEMENT || contract_b_along_k(c) || c->a.splat) return;
    for (size_t i = 0; i < sizeof most / sizeof *most; i++) {
        const Dim *when = dim_floordiv(dt, dim_const(dt, most[i]), dim_max(dt, c->m, dim_const(dt, 1)));
        if (!contract_may_run(&when)) continue;
        Shader *s = shader_new(kg, DLVK_FEATURE_WAVE | DLVK_FEATURE_WG512 | DLVK_FEATURE_STORAGE16);
        *VEC_PUSH(s->pool, s->spec) = (uint32_t)most[i];
        s->grid[0] = dim_mul(dt, dim_ceildiv(dt, c->n, dim_const(dt, COLUMNS)), c->z);
        s->when = when;
        s->bound = true;
        s->twin = TWIN_NATIVE;
        const Tiles t = {
            .a = LOAD_ELEMENT, .b = b, .split = contract_splits(s, NULL, 0, NULL), .row_type = "int", .rows = "ROWS", .row = "e"};
        contract_tiles(s, c, "contract_vector.comp.glsl", &t);
        if (!when) return;
    }
}
