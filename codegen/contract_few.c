/* Contractions in f32 on GPUs that have little to do. */
#include "codegen/contract.h"
#include "dlvk/runtime.h"

/* Convolutions of one channel, as images begin with, and products of a few steps: there is next to nothing to share through
 * shared memory, and what counts is how the result is stored. */
bool contract_short(KernelGen *kg, const Contraction *c)
{
    enum { FEW = 16 };
    int64_t steps;
    return dim_is(c->z, 1) && dim_is_const(c->steps, &steps) && steps <= FEW && gen_strips(kg);
}

void contract_few(KernelGen *kg, const Contraction *c, uint32_t features)
{
    enum { RESULTS = 4096, LEAST = 32, MOST = 1 << 20, GROUP = 4 };
    DimTable *dt = &kg->ctx->dims;
    const Dim *one = dim_const(dt, 1), *results = dim_max(dt, dim_mul(dt, dim_mul(dt, c->m, c->n), c->z), one);
    int64_t least, most;
    dim_range(results, &least, &most);
    if (c->conv || least > RESULTS) return; /* convolutions are seldom so small, and many */
    const Dim *when = dim_floordiv(dt, dim_const(dt, RESULTS), results);
    when = dim_min(dt, dim_min(dt, when, dim_floordiv(dt, c->steps, dim_const(dt, LEAST))), one);
    when = dim_min(dt, when, dim_floordiv(dt, dim_const(dt, MOST), dim_max(dt, dim_mul(dt, results, c->steps), one)));
    if (!contract_may_run(&when)) return;
    Shader *s = shader_new(kg, features);
    s->grid[0] = dim_ceildiv(dt, results, dim_const(dt, GROUP));
    s->when = when;
    const Tiles t = {.a = LOAD_ELEMENT,
                     .b = LOAD_ELEMENT,
                     .split = contract_splits(s, NULL, 0, NULL),
                     .row_type = "int",
                     .rows = "1",
                     .row = "0"};
    contract_tiles(s, c, "contract_few.comp.glsl", &t);
}
