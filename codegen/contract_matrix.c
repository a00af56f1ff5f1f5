/* Contractions on matrix units: what fills codegen/glsl/contract_matrix.comp.glsl. */
#include "codegen/contract.h"
#include "dlvk/runtime.h"

/* Tiles of 128 x 256 to 32 x 64, rows by columns, as the specialization constants and the time of a workgroup have them. */
#define TILE(M, N, SUB_M, SUB_N, SLICE, DEPTH) .m = M, .n = N, .sub_m = SUB_M, .sub_n = SUB_N, .slice = SLICE, .depth = DEPTH

/* Where there is enough work, the larger a tile the better: fewer bytes are read for it. With fewer tiles than a GPU has
 * processors the time is that of one workgroup, which waits for memory: two slices are under way, and workgroups share a tile's
 * k. The numbers were measured (docs/performance.md). */
static int choose_cuts(DimTable *dt, const Contraction *c, Cut *cut)
{
    int64_t n_least, n_most;
    dim_range(c->n, &n_least, &n_most);
    if (n_most <= 32) {
        cut[0] = (Cut){TILE(64, 32, 32, 16, 32, 2), .enough = 256, .least = 128, .most = 16};
        return 1;
    }
    const Dim *side = dim_const(dt, 128), *rows = dim_mul(dt, dim_ceildiv(dt, c->m, side), c->z);
    const Dim *large = dim_floordiv(dt, dim_mul(dt, rows, dim_floordiv(dt, c->n, dim_const(dt, 256))), side);
    const Dim *square = dim_floordiv(dt, dim_mul(dt, rows, dim_ceildiv(dt, c->n, side)), side);
    int i = 0;
    if (dim_is(dim_mod(dt, c->n, dim_const(dt, 256)), 0))
        cut[i++] = (Cut){TILE(128, 256, 64, 64, 32, 1), .most = 1, .when = large};
    if (n_most > 64) cut[i++] = (Cut){TILE(128, 128, 64, 64, 32, 1), .most = 1, .when = square};
    cut[i++] = (Cut){TILE(32, 64, 16, 32, 64, 2), .enough = 256, .least = 256, .most = 16};
    return i;
}

static void one_cut(KernelGen *kg, const Contraction *c, const Cut *t)
{
    Shader *s = shader_new(kg, DLVK_FEATURE_WAVE | DLVK_FEATURE_COOPMAT | DLVK_FEATURE_FLOAT16 | DLVK_FEATURE_STORAGE16);
    /* The subgroups in a workgroup; the next two are filled in by the runtime. */
    const uint32_t spec[] = {t->m / t->sub_m * (t->n / t->sub_n), 16, 32, t->m, t->n, t->sub_m, t->sub_n, t->slice, t->depth};
    for (size_t k = 0; k < sizeof spec / sizeof *spec; k++) *VEC_PUSH(s->pool, s->spec) = spec[k];
    s->grid[0] = dim_mul(&kg->ctx->dims, t->tiles, t->splits);
    s->when = t->when;
    const Tiles tiles = {.a = contract_a_vectors(kg, c, LOAD_8_F16),
                         .b = contract_b_vectors(kg, c, LOAD_8_F16),
                         .split = contract_splits(s, t, 1, "shares"),
                         .row_type = "int",
                         .rows = "LOADS_A",
                         .row = "e",
                         .strips = true};
    contract_tiles(s, c, "contract_matrix.comp.glsl", &tiles);
}

void contract_matrix(KernelGen *kg, const Contraction *c)
{
    Cut cut[5];
    int n = choose_cuts(&kg->ctx->dims, c, cut);
    contract_cuts(kg, c, cut, &n);
    for (int i = 0; i < n; i++) one_cut(kg, c, &cut[i]);
}
