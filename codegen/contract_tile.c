/* Contractions in f32 on GPUs, where there is much to do: what fills codegen/glsl/contract_tile.comp.glsl. */
#include "codegen/contract.h"
#include "dlvk/runtime.h"

enum { SLICE = 16 }; /* steps of k between two barriers, as the template has them */

static void one_tile(KernelGen *kg, const Contraction *c, uint32_t features, int64_t columns, const Dim *tiles, const Dim *when)
{
    Shader *s = shader_new(kg, features);
    *VEC_PUSH(s->pool, s->spec) = (uint32_t)columns;
    s->grid[0] = tiles;
    s->when = when;
    const Tiles t = {.a = contract_a_vectors(kg, c, LOAD_4_F32),
                     .b = contract_b_vectors(kg, c, LOAD_4_F32),
                     .row_type = "int",
                     .rows = "LOADS_A",
                     .row = "e",
                     .unroll = true,
                     .whole = contract_whole(kg, c, SLICE)};
    contract_tiles(s, c, "contract_tile.comp.glsl", &t);
}

bool contract_tile(KernelGen *kg, const Contraction *c, uint32_t features)
{
    enum { ROWS = 64, ENOUGH = 256 };
    DimTable *dt = &kg->ctx->dims;
    int64_t n_least, n_most;
    dim_range(c->n, &n_least, &n_most);
    const Dim *rows = dim_mul(dt, dim_ceildiv(dt, c->m, dim_const(dt, ROWS)), c->z);
    for (int64_t columns = 128; columns >= 64; columns /= 2) {
        if (n_most <= columns / 2 || (!c->conv && columns < 128 && n_least > columns))
            continue; /* for wide products: contract_rest() */
        const Dim *tiles = dim_mul(dt, rows, dim_ceildiv(dt, c->n, dim_const(dt, columns)));
        const Dim *when = dim_floordiv(dt, tiles, dim_const(dt, ENOUGH));
        if (!contract_may_run(&when)) continue;
        one_tile(kg, c, features, columns, tiles, when);
        if (!when) return true;
    }
    return false;
}
