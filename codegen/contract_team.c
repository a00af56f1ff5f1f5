/* Contractions in f32 on GPUs, products and those that training is full of: fills codegen/glsl/contract_team.comp.glsl. */
#include "codegen/contract.h"
#include "dlvk/runtime.h"

/* Not 0 where d is at least n; where it is less. */
static const Dim *least(DimTable *dt, const Dim *d, int64_t n)
{
    return dim_min(dt, dim_floordiv(dt, d, dim_const(dt, n)), dim_const(dt, 1));
}

static const Dim *less(DimTable *dt, const Dim *d, int64_t n)
{
    return dim_sub(dt, dim_const(dt, 1), least(dt, d, n));
}

static bool is_f16(const Contraction *c)
{
    return c->a.affine && c->b.affine && c->a.at.buffer->type.dtype == DLVK_F16 && c->b.at.buffer->type.dtype == DLVK_F16;
}

/* Few rows (the gradient of a first layer's weights): all the workgroups there are share out k. Few columns, and tiles that fill
 * a GPU. Half as many columns as contract_tile wants, and just enough tiles: two teams each, written out. Long sums, as gradients
 * of weights are: sums of 8 x 8 where that leaves tiles enough. Few columns or a short k otherwise; small products; and columns
 * of B that lie along k, of which contract_wave takes single elements: small tiles, whose code is short, for it takes longer to
 * load than to run. */
static int choose_cuts(DimTable *dt, const Contraction *c, Cut *cut)
{
    enum { FEW = 16, NARROW = 32, HALF = 64, SHORT = 64, MIDDLE = 256, DEEP = 1024, LONG = 8192, FULL = 256, MOST = 1024 };
    /* f16 runs on matrix units nearly everywhere; the rest does without what is for special sizes, which takes a while to
     * compile. */
    bool f16 = is_f16(c);
    const Dim *small = contract_tiles_of(dt, c, &(Cut){32, 32}), *square = contract_tiles_of(dt, c, &(Cut){64, 64}),
              *full = least(dt, contract_tiles_of(dt, c, &(Cut){64, NARROW}), FULL), *long_k = least(dt, c->steps, SHORT);
    /* What contract_tile is for. */
    const Dim *enough = least(dt, square, FULL);
    if (!c->conv)
        enough = dim_mul(dt, enough,
                         dim_max(dt, less(dt, c->n, HALF + 1), least(dt, contract_tiles_of(dt, c, &(Cut){64, 128}), FULL)));
    const Dim *ample = dim_mul(dt, enough, least(dt, c->n, NARROW + 1)), *other = dim_sub(dt, dim_const(dt, 1), ample);
    const Dim *narrow = less(dt, c->n, NARROW + 1), *longest = dim_mul(dt, least(dt, c->steps, LONG), other);
    const Dim *half = dim_mul(dt, dim_mul(dt, ample, less(dt, c->n, HALF + 1)), less(dt, square, MOST));
    const Dim *some = contract_b_along_k(c) ? dim_const(dt, 1)
                                            : dim_max(dt, dim_max(dt, less(dt, c->n, FEW + 1), less(dt, c->steps, SHORT)),
                                                      least(dt, c->steps, LONG));
    if (!c->conv && !f16) {
        const Dim *deep = dim_mul(dt, least(dt, c->steps, DEEP), less(dt, small, HALF + 1));
        some = dim_max(dt, some, dim_max(dt, less(dt, c->steps, MIDDLE + 1), deep));
    }
    some = dim_mul(dt, some, other);
    const Cut list[] = {
        {16, 32, 4, 4, .slice = 16, .parts = 4, .enough = 256, .least = 256, .most = 256,
         .when = dim_mul(dt, less(dt, c->m, FEW + 1), least(dt, c->steps, LONG))},
        {64, 32, 8, 4, .slice = 16, .parts = 2, .most = 1, .when = dim_mul(dt, dim_mul(dt, narrow, full), long_k)},
        {64, 64, 8, 8, .slice = 8, .parts = 2, .most = 1, .when = dim_mul(dt, half, least(dt, c->steps, 2 * SHORT))},
        {64, 64, 8, 8, .slice = 16, .parts = 1, .enough = 512, .least = 512, .most = 256,
         .when = dim_mul(dt, longest, least(dt, square, FEW))},
        {32, 64, 8, 8, .slice = 8, .parts = 4, .enough = 396, .least = 128, .most = 256,
         .when = dim_mul(dt, longest, dim_mul(dt, least(dt, c->n, HALF), least(dt, c->m, NARROW)))},
        {32, 32, 4, 4, .slice = 16, .parts = 1, .most = 1,
         .when = dim_mul(dt, dim_mul(dt, less(dt, c->steps, SHORT), other), least(dt, small, FULL))},
        {32, 32, 4, 4, .slice = 16, .parts = 2, .most = 1, .when = dim_mul(dt, some, least(dt, small, FULL))},
        {32, 32, 4, 4, .slice = 16, .parts = 4, .enough = 256, .least = 128, .most = 64, .when = some},
    };
    int n = 0;
    for (size_t i = 0; i < sizeof list / sizeof *list; i++)
        if (!f16 || list[i].sub_n < 8) cut[n++] = list[i];
    return n;
}

enum { PROCESSORS = 132 };

/* How long a product takes, in steps of k: workgroups come in rounds that fill all of a GPU's processors. */
static const Dim *time_of(DimTable *dt, const Contraction *c, const Cut *cut)
{
    const Dim *tiles = contract_tiles_of(dt, c, cut), *splits = contract_splits_of(dt, c, cut, tiles);
    return dim_mul(dt, dim_ceildiv(dt, dim_mul(dt, tiles, splits), dim_const(dt, PROCESSORS)), dim_ceildiv(dt, c->steps, splits));
}

/* All other products: two or three workgroups a processor, of which three is what there is room for. */
static int choose_rest(DimTable *dt, const Contraction *c, Cut *cut)
{
    cut[0] = cut[1] = (Cut){32, 64, 8, 8, .slice = 8, .parts = 4, .enough = 2 * PROCESSORS, .least = 128, .most = 64};
    cut[1].enough = 3 * PROCESSORS;
    cut[0].when = dim_floordiv(dt, time_of(dt, c, &cut[1]), dim_max(dt, time_of(dt, c, &cut[0]), dim_const(dt, 1)));
    return 2;
}

static void one_cut(KernelGen *kg, const Contraction *c, uint32_t features, const Cut *cut, int n, int i)
{
    Shader *s = shader_new(kg, features);
    *VEC_PUSH(s->pool, s->spec) = !dim_is(cut[i].splits, 1);
    s->grid[0] = dim_mul(&kg->ctx->dims, cut[i].tiles, cut[i].splits);
    s->when = cut[i].when;
    const char *shares = sh_printf(s, "(SHARED ? %s : 1)", arg_size(s, cut[i].splits, "shares"));
    const Tiles t = {.a = contract_a_vectors(kg, c, LOAD_4_F32),
                     .b = contract_b_vectors(kg, c, LOAD_4_F32),
                     .split = contract_splits(s, cut, n, shares),
                     .row_type = "int",
                     .rows = "LOADS_A",
                     .row = "e",
                     .unroll = cut[i].sub_m == 8 && (!c->conv || (cut[i].parts == 2 && cut[i].sub_n == 8)),
                     .whole = contract_whole(kg, c, cut[i].slice * cut[i].parts),
                     .cut = &cut[i]};
    contract_tiles(s, c, "contract_team.comp.glsl", &t);
}

static bool all_cuts(KernelGen *kg, const Contraction *c, uint32_t features, Cut *cut, int n)
{
    contract_cuts(kg, c, cut, &n);
    for (int i = 0; i < n; i++) one_cut(kg, c, features, cut, n, i);
    return n && !cut[n - 1].when;
}

bool contract_team(KernelGen *kg, const Contraction *c, uint32_t features)
{
    Cut cut[MOST_CUTS];
    return all_cuts(kg, c, features, cut, choose_cuts(&kg->ctx->dims, c, cut));
}

void contract_rest(KernelGen *kg, const Contraction *c, uint32_t features)
{
    Cut cut[MOST_CUTS];
    if (c->conv || is_f16(c))
        contract_wave(kg, c, features);
    else
        all_cuts(kg, c, features, cut, choose_rest(&kg->ctx->dims, c, cut));
}
