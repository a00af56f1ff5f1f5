/* Contractions on matrix units: what fills codegen/glsl/contract_matrix.comp.glsl. */
#include "codegen/contract.h"
#include "dlvk/runtime.h"

/* Tiles, rows by columns, as the specialization constants and the time of a workgroup have them. */
#define TILE(M, N, SUB_M, SUB_N, SLICE, DEPTH) .m = M, .n = N, .sub_m = SUB_M, .sub_n = SUB_N, .slice = SLICE, .depth = DEPTH

enum { PROCESSORS = 132, SMALL_ROWS = 32, SMALL_COLUMNS = 64 };

/* What a large tile takes on the GPU that all this was measured on (docs/performance.md), in nanoseconds: `first` for 32 steps of
 * k where a processor has one workgroup, `more` for each that shares it, up to `together`; and `fixed`, before and behind. */
static const struct Large {
    Cut cut;
    int64_t together, first, more, fixed;
} large[] = {
    {{TILE(128, 256, 64, 64, 32, 1), .most = 1}, 1, 906, 0, 9000},  {{TILE(128, 128, 32, 64, 64, 1), .most = 1}, 1, 512, 0, 5000},
    {{TILE(64, 128, 64, 32, 32, 1), .most = 1}, 3, 500, 200, 5000}, {{TILE(64, 128, 32, 64, 64, 1), .most = 1}, 1, 360, 0, 5000},
    {{TILE(128, 64, 64, 32, 32, 1), .most = 1}, 3, 550, 220, 5000},
};
enum { N_LARGE = sizeof large / sizeof *large };

static const Dim *tiles_of(DimTable *dt, const Contraction *c, int64_t rows, int64_t columns)
{
    const Dim *m = dim_ceildiv(dt, c->m, dim_const(dt, rows)), *n = dim_ceildiv(dt, c->n, dim_const(dt, columns));
    return dim_mul(dt, dim_mul(dt, m, n), c->z);
}

/* Workgroups come in waves that fill all processors; the last one may not. */
static const Dim *time_of(DimTable *dt, const Contraction *c, const struct Large *l)
{
    const Dim *processors = dim_const(dt, PROCESSORS), *filled = dim_const(dt, PROCESSORS * l->together);
    const Dim *slices = dim_ceildiv(dt, c->steps, dim_const(dt, 32)), *tiles = tiles_of(dt, c, l->cut.m, l->cut.n);
    const Dim *waves = dim_floordiv(dt, tiles, filled), *rest = dim_sub(dt, tiles, dim_mul(dt, waves, filled));
    const Dim *sharing = dim_ceildiv(dt, rest, processors), *any = dim_min(dt, sharing, dim_const(dt, 1));
    const Dim *slice = dim_const(dt, l->first + l->more * (l->together - 1)), *fixed = dim_const(dt, l->fixed);
    const Dim *last = dim_add(dt, dim_const(dt, l->first - l->more), dim_mul(dt, dim_const(dt, l->more), sharing));
    return dim_add(dt, dim_mul(dt, waves, dim_add(dt, dim_mul(dt, slices, slice), fixed)),
                   dim_mul(dt, any, dim_add(dt, dim_mul(dt, slices, last), fixed)));
}

/* Fewer tiles than a GPU has processors: workgroups share a tile's k. Sharing costs what three slices take, so convolutions with
 * little to sum up do without where they can. */
static Cut small_cut(const Contraction *c)
{
    int64_t n_least, n_most, steps;
    dim_range(c->n, &n_least, &n_most);
    bool few = !c->a.leaf && dim_is_const(c->steps, &steps) && steps < 1024;
    if (n_most <= 32) return (Cut){TILE(32, 32, 16, 16, 64, 1), .enough = 256, .least = 128, .most = 64, .apart = true};
    if (!c->conv) return (Cut){TILE(32, 64, 16, 32, 64, 2), .enough = 256, .least = 256, .most = 64, .apart = true};
    if (few) return (Cut){TILE(32, 32, 16, 16, 128, 1), .enough = 132, .least = 256, .most = 64, .apart = true};
    return (Cut){TILE(32, 64, 16, 16, 64, 1), .enough = 256, .least = 128, .most = 64, .apart = true};
}

/* Where there is enough work, the larger a tile the better: fewer bytes are read for it. But the number of tiles hardly ever is a
 * multiple of what a GPU has room for, so of the large ones that is taken that should take the least time, unless it is a small
 * one. With fewer tiles than processors the time is that of one workgroup. */
static int choose_cuts(DimTable *dt, const Contraction *c, Cut *cut)
{
    int64_t n_least, n_most;
    dim_range(c->n, &n_least, &n_most);
    if (n_most <= 32) {
        const Dim *tiles = dim_mul(dt, dim_ceildiv(dt, c->m, dim_const(dt, 64)), c->z);
        cut[0] = (Cut){TILE(64, 32, 32, 16, 32, 2), .most = 1, .when = dim_floordiv(dt, tiles, dim_const(dt, 132))};
        cut[1] = small_cut(c);
        return 2;
    }
    const Dim *small = tiles_of(dt, c, SMALL_ROWS, SMALL_COLUMNS), *slices = dim_ceildiv(dt, c->steps, dim_const(dt, 32));
    const Dim *processors = dim_const(dt, PROCESSORS), *time[N_LARGE];
    const Dim *best = dim_floordiv(dt, dim_mul(dt, dim_mul(dt, small, slices), dim_const(dt, 230)), processors);
    best = dim_add(dt, best, dim_const(dt, 4000));
    int n = 0;
    for (int i = 0; i < N_LARGE; i++) {
        if (n_most <= 64 && large[i].cut.n > 64) continue;
        cut[n] = large[i].cut;
        best = dim_min(dt, best, time[n++] = time_of(dt, c, &large[i]));
    }
    for (int i = 0; i < n; i++) cut[i].when = dim_floordiv(dt, best, time[i]);
    if (c->conv)
        cut[n++] = (Cut){TILE(SMALL_ROWS, SMALL_COLUMNS, 16, 32, 64, 2), .most = 1, .when = dim_floordiv(dt, small, processors)};
    cut[n++] = small_cut(c);
    return n;
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
    Cut cut[MOST_CUTS];
    int n = choose_cuts(&kg->ctx->dims, c, cut);
    contract_cuts(kg, c, cut, &n);
    for (int i = 0; i < n; i++) one_cut(kg, c, &cut[i]);
}
