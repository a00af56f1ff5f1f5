/* The reference implementation's random numbers: against those of numpy.random.RandomState(seed).rand(1000). */
#include "frontend/onnx/indexing.h"
#include <criterion/criterion.h>

Test(legacy_random, as_numpy)
{
    static const struct {
        double seed;
        double at[5]; /* elements 0, 1, 2, 400, 999 */
    } known[] = {{0, {0.548813504, 0.715189366, 0.602763376, 0.401259501, 0.677141144}},
                 {12345, {0.929616093, 0.316375555, 0.183918812, 0.918955861, 0.3086052}},
                 {4294967295, {0.097632029, 0.912382845, 0.789035302, 0.139747282, 0.556626859}}};
    static const int where[] = {0, 1, 2, 400, 999};
    Pool pool = {0};
    Context *c = context_new(&pool);
    Build b = {.ctx = c, .at = graph_new(c, "")->top};
    const Dim *shape[] = {dim_const(&c->dims, 10), dim_const(&c->dims, 100)}, *unknown = dim_symbol(&c->dims, "n");
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        const Tensor *t;
        cr_assert(value_const(legacy_uniform(&b, known[i].seed, 2, shape), &t));
        for (int k = 0; k < 5; k++)
            cr_expect_float_eq(elem_get_f(t->dtype, t->data, where[k]), known[i].at[k], 1e-7, "seed %g, element %d",
                               known[i].seed, where[k]);
    }
    cr_expect_null(legacy_uniform(&b, -1, 2, shape), "not a seed of RandomState");
    cr_expect_null(legacy_uniform(&b, 0, 1, &unknown), "the shape is not known");
    pool_free(&pool);
}
