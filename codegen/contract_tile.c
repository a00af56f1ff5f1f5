/* Contractions in f32 on GPUs, where there is much to do: what fills codegen/glsl/contract_tile.comp.glsl. */
#include "codegen/contract.h"
#include "dlvk/runtime.h"

enum { ROWS = 64, ENOUGH = 256 };

/* The columns of a tile, 64 or 128, or 0 where tiles would be too few: then smaller ones, and k shared out, do better. */
static int64_t choose_columns(const Contraction *c)
{
    int64_t m, n, z;
    if (!dim_is_const(c->m, &m) || !dim_is_const(c->n, &n) || !dim_is_const(c->z, &z) || n <= 32) return 0;
    int64_t rows = (m + ROWS - 1) / ROWS * z;
    if (n > 64 && rows * ((n + 127) / 128) >= ENOUGH) return 128;
    return rows * ((n + 63) / 64) >= ENOUGH ? 64 : 0;
}

bool contract_tile(KernelGen *kg, const Contraction *c, uint32_t features)
{
    DimTable *dt = &kg->ctx->dims;
    int64_t columns = choose_columns(c);
    if (!columns) return false;
    Shader *s = shader_new(kg, features);
    *VEC_PUSH(s->pool, s->spec) = (uint32_t)columns;
    const Dim *row_tiles = dim_ceildiv(dt, c->m, dim_const(dt, ROWS)), *column_tiles = dim_ceildiv(dt, c->n, dim_const(dt, columns));
    s->grid[0] = dim_mul(dt, dim_mul(dt, row_tiles, column_tiles), c->z);
    Load a = contract_a_vectors(kg, c, LOAD_4_F32), b = contract_b_vectors(kg, c, LOAD_4_F32);
    Epilogue behind = contract_epilogue(s, c, false);
    const Hole holes[] = {
        {"a_steps", a == LOAD_ELEMENT || contract_a_along_k(c) ? "true" : "false"},
        {"b_columns", contract_b_along_k(c) ? "false" : "true"},
        {"a_whole", a == LOAD_ELEMENT ? "0" : "1"},
        {"b_whole", b == LOAD_ELEMENT ? "0" : "1"},
        {"rows", contract_rows(s, c, "int", "LOADS_A")},
        {"z", arg_int(s, c->z)},
        {"m", arg_size(s, c->m, "m")},
        {"n", arg_size(s, c->n, "n")},
        {"k", arg_size(s, c->steps, "steps")},
        {"row", contract_row(s, c, "e")},
        {"a_slice", contract_a_slice(s, c)},
        {"a_load", contract_a_load(s, c, a, "e")},
        {"b_load", contract_b_load(s, c, b)},
        {"column_values", behind.column_values},
        {"results", behind.results},
        {"value", behind.value},
        {"put", behind.put},
    };
    contract_assemble(s, "contract_tile.comp.glsl", sizeof holes / sizeof *holes, holes);
    return true;
}
