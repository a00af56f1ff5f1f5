/* Contractions on matrix units: what fills codegen/glsl/contract_matrix.comp.glsl. */
#include "codegen/contract.h"
#include "dlvk/runtime.h"

/* The tile of a workgroup and the piece of it that each subgroup owns. */
typedef struct Tile {
    uint32_t m, n, sub_m, sub_n;
} Tile;

/* The larger a tile, the fewer bytes are read for it; but there must be enough of them. */
static Tile choose_tile(const Contraction *c)
{
    static const Tile large = {128, 256, 64, 64}, square = {128, 128, 64, 64}, middle = {64, 64, 32, 32},
                      small = {32, 64, 16, 32}, narrow = {64, 32, 32, 16};
    int64_t m, n, z, n_least, n_most;
    dim_range(c->n, &n_least, &n_most);
    if (n_most <= 32) return narrow;
    if (!dim_is_const(c->m, &m) || !dim_is_const(c->n, &n) || !dim_is_const(c->z, &z)) return middle;
    int64_t rows = (m + 127) / 128;
    if (rows * (n / 256) * z >= 128 && n % 256 == 0) return large;
    if (rows * ((n + 127) / 128) * z >= 128 && n > 64) return square;
    return (m + 63) / 64 * ((n + 63) / 64) * z >= 256 ? middle : small;
}

void contract_matrix(KernelGen *kg, const Contraction *c)
{
    DimTable *dt = &kg->ctx->dims;
    Shader *s = shader_new(kg, DLVK_FEATURE_WAVE | DLVK_FEATURE_COOPMAT | DLVK_FEATURE_FLOAT16 | DLVK_FEATURE_STORAGE16);
    Tile t = choose_tile(c);
    /* The subgroups in a workgroup; the next two are filled in by the runtime. */
    const uint32_t spec[] = {t.m / t.sub_m * (t.n / t.sub_n), 16, 32, t.m, t.n, t.sub_m, t.sub_n};
    for (int i = 0; i < 7; i++) *VEC_PUSH(s->pool, s->spec) = spec[i];

    const Dim *row_tiles = dim_ceildiv(dt, c->m, dim_const(dt, t.m)), *column_tiles = dim_ceildiv(dt, c->n, dim_const(dt, t.n));
    const Dim *tiles = dim_mul(dt, dim_mul(dt, row_tiles, column_tiles), c->z);
    Splits split = contract_split(s, tiles, c->steps, 128, 4 * t.m * t.n);
    s->grid[0] = dim_mul(dt, tiles, split.count);

    bool along_k = c->b.affine && !dim_is(c->b_n, 1) && dim_is(c->b_k, 1);
    Load a = contract_a_vectors(kg, c, LOAD_8_F16), b = contract_b_vectors(kg, c, LOAD_8_F16, along_k);
    Epilogue behind = contract_epilogue(s, c, false);
    const Hole holes[] = {
        {"b_rows", along_k ? "false" : "true"},
        {"splits", split.text},
        {"partial", split.partial},
        {"counters", split.counters},
        {"shared_rows", contract_rows(s, c)},
        {"z", arg_int(s, c->z)},
        {"m", arg_size(s, c->m, "m")},
        {"n", arg_size(s, c->n, "n")},
        {"k", arg_size(s, c->steps, "steps")},
        {"row", contract_row(s, c)},
        {"a_whole", a == LOAD_ELEMENT ? "0" : "1"},
        {"b_whole", b == LOAD_ELEMENT ? "0" : "1"},
        {"a_slice", contract_a_slice(s, c)},
        {"a_load", contract_a_load(s, c, a)},
        {"b_load", contract_b_load(s, c, b)},
        {"column_values", behind.column_values},
        {"results", behind.results},
        {"value", behind.value},
        {"put", behind.put},
    };
    contract_assemble(s, "contract_matrix.comp.glsl", sizeof holes / sizeof *holes, holes);
}
