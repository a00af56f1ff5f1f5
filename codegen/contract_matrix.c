/* Contractions on matrix units: what fills codegen/glsl/contract_matrix.comp.glsl. */
#include "codegen/contract.h"
#include "dlvk/runtime.h"

/* Tiles, rows by columns, as the specialization constants and the time of a workgroup have them. */
#define TILE(M, N, SUB_M, SUB_N, SLICE, DEPTH) .m = M, .n = N, .sub_m = SUB_M, .sub_n = SUB_N, .slice = SLICE, .depth = DEPTH

enum { PROCESSORS = 132 };

/* What a tile takes on the GPU that all this was measured on (docs/performance.md), in nanoseconds: `first` for 32 steps of k
 * where a processor has one workgroup, `more` for each that shares it, up to `together`; and `fixed`, before and behind. */
typedef struct Timed {
    Cut cut;
    int64_t together, first, more, fixed;
} Timed;
static const Timed large[] = {
    {{TILE(128, 256, 64, 64, 32, 1), .most = 1}, 1, 906, 0, 11500},
    {{TILE(128, 128, 32, 64, 64, 1), .most = 1}, 1, 512, 0, 7500},
    {{TILE(64, 128, 64, 32, 32, 1), .most = 1}, 3, 500, 200, 7500},
    {{TILE(64, 128, 32, 64, 64, 1), .most = 1}, 1, 375, 0, 8000},
    {{TILE(128, 64, 64, 32, 32, 1), .most = 1}, 3, 550, 220, 7500},
    {{TILE(192, 192, 96, 32, 32, 1), .most = 1}, 1, 980, 0, 12500},
    {{TILE(192, 128, 48, 64, 32, 1), .stages = 2, .most = 1}, 1, 770, 0, 9500},
};
/* With fewer tiles than processors workgroups share a tile's k, where there is much of it. */
static const Timed small = {{TILE(32, 64, 16, 32, 64, 2), .enough = 256, .least = 256, .most = 64}, 3, 225, 110, 5700};
enum { N_LARGE = sizeof large / sizeof *large, SHARING = 3500, SHARED_STEPS = 1024 };

/* Workgroups come in waves that fill all processors; the last one may not. */
static const Dim *time_of(DimTable *dt, const Contraction *c, const Timed *t)
{
    const Dim *one = dim_const(dt, 1), *tiles = contract_tiles_of(dt, c, &t->cut),
              *splits = contract_splits_of(dt, c, &t->cut, tiles);
    const Dim *processors = dim_const(dt, PROCESSORS), *filled = dim_const(dt, PROCESSORS * t->together);
    const Dim *slices = dim_ceildiv(dt, c->steps, dim_mul(dt, splits, dim_const(dt, 32))), *groups = dim_mul(dt, tiles, splits);
    const Dim *waves = dim_floordiv(dt, groups, filled), *rest = dim_sub(dt, groups, dim_mul(dt, waves, filled));
    const Dim *mates = dim_ceildiv(dt, rest, processors), *any = dim_min(dt, mates, one);
    const Dim *slice = dim_const(dt, t->first + t->more * (t->together - 1)), *fixed = dim_const(dt, t->fixed);
    const Dim *last = dim_add(dt, dim_const(dt, t->first - t->more), dim_mul(dt, dim_const(dt, t->more), mates));
    const Dim *sharing = dim_mul(dt, dim_min(dt, dim_sub(dt, splits, one), one), dim_const(dt, SHARING));
    const Dim *time = dim_add(dt, dim_mul(dt, waves, dim_add(dt, dim_mul(dt, slices, slice), fixed)),
                              dim_mul(dt, any, dim_add(dt, dim_mul(dt, slices, last), fixed)));
    return dim_add(dt, time, sharing);
}

/* Where there is enough work, the larger a tile the better: fewer bytes are read for it. But the number of tiles hardly ever is a
 * multiple of what a GPU has room for, so that one is taken that should take the least time. */
static int choose_cuts(DimTable *dt, const Contraction *c, Cut *cut)
{
    int64_t n_least, n_most, steps;
    dim_range(c->n, &n_least, &n_most);
    if (n_most <= 32) {
        cut[0] = (Cut){TILE(64, 32, 32, 16, 32, 2), .most = 1};
        cut[0].when = dim_floordiv(dt, contract_tiles_of(dt, c, &cut[0]), dim_const(dt, PROCESSORS));
        cut[1] = (Cut){TILE(32, 32, 16, 16, 64, 1), .enough = 256, .least = 128, .most = 64};
        return 2;
    }
    Timed few = small;
    if (c->conv) few.cut.sub_n = 16; /* twice the subgroups, for loads that take longer to work out */
    if (c->conv && !c->a.leaf) few.cut.turns = 2, few.cut.depth = 1; /* each half of them with a slice of its own */
    if (c->a.leaf) /* what is computed as it is loaded makes steps dearer: shared even where there are few */
        few.cut.least = 128;
    else if (dim_is_const(c->steps, &steps) && steps < SHARED_STEPS)
        few.cut.most = 1;
    const Dim *time[N_LARGE], *best = time_of(dt, c, &few);
    int n = 0;
    for (int i = 0; i < N_LARGE; i++) {
        if (n_most <= 64 && large[i].cut.n > 64) continue;
        /* Rows of 24 vectors are no part of what a workgroup of 256 stores at a time; and where loads are computed these tiles
         * are no faster. */
        if (large[i].cut.m == 192 && (c->a.leaf || !contract_a_along_k(c))) continue;
        cut[n] = large[i].cut;
        best = dim_min(dt, best, time[n++] = time_of(dt, c, &large[i]));
    }
    for (int i = 0; i < n; i++) /* where there is no tile, none takes any time */
        cut[i].when = dim_floordiv(dt, best, dim_max(dt, time[i], dim_const(dt, 1)));
    cut[n++] = few.cut;
    return n;
}

static void one_cut(KernelGen *kg, const Contraction *c, const Cut *t)
{
    Shader *s = shader_new(kg, DLVK_FEATURE_WAVE | DLVK_FEATURE_COOPMAT | DLVK_FEATURE_FLOAT16 | DLVK_FEATURE_STORAGE16);
    /* The subgroups in a workgroup; the next two are filled in by the runtime. */
    bool whole = contract_whole(kg, c, t->slice);
    const uint32_t subgroups = t->m / t->sub_m * (t->n / t->sub_n), turns = t->turns ? t->turns : 1;
    const uint32_t spec[] = {subgroups, 16, 32, t->m, t->n, t->sub_m, t->sub_n, t->slice, t->depth, whole, turns};
    for (size_t k = 0; k < sizeof spec / sizeof *spec; k++) *VEC_PUSH(s->pool, s->spec) = spec[k];
    s->grid[0] = dim_mul(&kg->ctx->dims, t->tiles, t->splits);
    s->when = t->when;
    const Tiles tiles = {.a = contract_a_vectors(kg, c, LOAD_8_F16),
                         .b = contract_b_vectors(kg, c, LOAD_8_F16),
                         .split = contract_splits(s, t, 1, "shares"),
                         .row_type = "int",
                         .rows = "LOADS_A",
                         .row = "e",
                         .strips = true,
                         .twice = t->stages == 2};
    contract_tiles(s, c, "contract_matrix.comp.glsl", &tiles);
}

void contract_matrix(KernelGen *kg, const Contraction *c)
{
    Cut cut[MOST_CUTS];
    int n = choose_cuts(&kg->ctx->dims, c, cut);
    contract_cuts(kg, c, cut, &n);
    for (int i = 0; i < n; i++) one_cut(kg, c, &cut[i]);
}
