/* Space to depth: few channels and a step become many channels without, and the results stay. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include "passes/pass.h"
#include "tests/passes/check.h"

static Fix f;
static void setup(void)
{
    static const Precision half = {.storage = DLVK_F16};
    fix_open(&f, 1);
    f.c->precision = &half;
}
static void teardown(void)
{
    fix_close(&f);
}
TestSuite(depth, .init = setup, .fini = teardown);

/* x [2, 13, 10, in] with a window of k and that step, a border of `border` before and behind: is the step gone? */
static bool goes(int64_t in, int64_t k, int64_t step, int64_t border)
{
    int64_t steps[] = {step, step};
    const Dim *const *pad = fix_dims(&f, 2, (const int64_t[]){border, border});
    ConvSpec s = {.spatial = 2, .step = steps, .lo = pad, .hi = pad, .group = 1};
    Value *x = fix_input(&f, DLVK_F32, DIMS(2, 13, 10, in));
    fix_output(&f, build_conv(&f.b, x, fix_weight(&f, DLVK_F32, DIMS(k, k, in, 5)), &s));
    Graph *g = fix_run(&f, pass_depth, 1e-12);
    for (int i = 0; i < g->top->nodes.n; i++) {
        const Node *n = g->top->nodes.at[i];
        int64_t channels;
        if (n->op == OP_CONV)
            return attr_ints(n, A_STEP)[0] == 1 && dim_is_const(n->in[1]->type.dim[2], &channels) && channels % 8 == 0;
    }
    return false;
}

Test(depth, of_a_first_convolution)
{
    cr_expect(goes(3, 7, 2, 3));
}

Test(depth, of_a_window_that_the_step_does_not_divide)
{
    cr_expect(goes(3, 3, 2, 1));
}

Test(depth, of_patches)
{
    cr_expect(goes(3, 4, 4, 0));
}

Test(depth, leaves_windows_that_would_grow_much)
{
    cr_expect(not(goes(1, 3, 2, 1)));
}

Test(depth, leaves_full_vectors)
{
    cr_expect(not(goes(8, 3, 2, 1)));
}
