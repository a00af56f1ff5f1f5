/* The comparison of dlvkc: numpy.allclose with the worst element named. */
#include "tools/dlvkc.h"
#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

static dlvk_host_tensor f32(int n, const float *v)
{
    return (dlvk_host_tensor){.dtype = DLVK_F32, .rank = 2, .dim = {n / 2, 2}, .bytes = (size_t)n * sizeof *v, .data = (void *)v};
}

Test(compare, tolerances)
{
    char why[512];
    const float want[] = {1, -2, 1000, 0}, near[] = {1.0009f, -2, 1000.9f, 5e-8f}, far[] = {1, -2, 1002, 2e-7f};
    dlvk_host_tensor w = f32(4, want), n = f32(4, near), f = f32(4, far);
    cr_assert(tensor_compare(&w, &w, 0, 0, why, sizeof why));
    cr_assert(tensor_compare(&n, &w, 1e-3, 1e-7, why, sizeof why));
    cr_assert_not(tensor_compare(&n, &w, 1e-4, 1e-7, why, sizeof why));
    cr_assert_not(tensor_compare(&f, &w, 1e-3, 1e-7, why, sizeof why));
    cr_assert(strstr(why, "2 of 4 elements differ"), "%s", why);
    cr_assert(strstr(why, "[1,0]: got 1002, expected 1000") || strstr(why, "[1,1]: got 2"), "%s", why);
}

Test(compare, not_finite)
{
    char why[512];
    const float a[] = {NAN, INFINITY, -INFINITY, 0}, b[] = {NAN, INFINITY, INFINITY, 0}, c[] = {0, INFINITY, -INFINITY, 0};
    dlvk_host_tensor x = f32(4, a), y = f32(4, b), z = f32(4, c);
    cr_assert(tensor_compare(&x, &x, 0, 0, why, sizeof why));
    cr_assert_not(tensor_compare(&x, &y, 1, 1, why, sizeof why));
    cr_assert(strstr(why, "[1,0]"), "%s", why);
    cr_assert_not(tensor_compare(&x, &z, 1, 1, why, sizeof why));
    cr_assert_not(tensor_compare(&z, &x, 1, 1, why, sizeof why));
}

Test(compare, type_and_shape)
{
    char why[512];
    const float v[] = {1, 2, 3, 4};
    dlvk_host_tensor x = f32(4, v), y = x, z = x;
    y.dim[0] = 1, y.dim[1] = 4;
    z.dtype = DLVK_I32;
    cr_assert_not(tensor_compare(&x, &y, 1, 1, why, sizeof why));
    cr_assert_str_eq(why, "got f32[2,2], expected f32[1,4]");
    cr_assert_not(tensor_compare(&x, &z, 1, 1, why, sizeof why));
}

Test(compare, random)
{
    char why[512];
    const float v[] = {1, 0, 0.5f, 2}, bits[] = {1, 0, 0, 1}, others[] = {0, 1, 1, 0}, broken[] = {1, 0, NAN, 1};
    dlvk_host_tensor x = f32(4, v), b = f32(4, bits), o = f32(4, others), nan = f32(4, broken), wide = b;
    wide.dim[0] = 1, wide.dim[1] = 4;
    cr_assert(tensor_compare_random(&x, &b, DLVK_RANDOM, why, sizeof why));
    cr_assert(tensor_compare_random(&o, &b, DLVK_RANDOM_BITS, why, sizeof why));
    cr_assert_not(tensor_compare_random(&x, &b, DLVK_RANDOM_BITS, why, sizeof why));
    cr_assert(strstr(why, "[1,0] is 0.5 where only 0 and 1 can be"), "%s", why);
    cr_assert_not(tensor_compare_random(&nan, &b, DLVK_RANDOM, why, sizeof why));
    cr_assert(strstr(why, "[1,0] is nan"), "%s", why);
    cr_assert(tensor_compare_random(&nan, &nan, DLVK_RANDOM, why, sizeof why));
    cr_assert_not(tensor_compare_random(&b, &wide, DLVK_RANDOM, why, sizeof why));
    cr_assert_str_eq(why, "got f32[2,2], expected f32[1,4]");
    wide = b, wide.dtype = DLVK_I32;
    cr_assert_not(tensor_compare_random(&b, &wide, DLVK_RANDOM, why, sizeof why));
}

/* What is set comes back, in every type; the values are exact in all of them. */
Test(compare, elements_of_every_type)
{
    for (int t = 0; t < DLVK_DTYPE_COUNT; t++) {
        if (t == DLVK_STRING || t == DLVK_F8E8M0) continue; /* e8m0: powers of two only, no zero */
        unsigned char data[32] = {0};
        dlvk_host_tensor x = {
            .dtype = (dlvk_dtype)t, .rank = 1, .dim = {3}, .bytes = dlvk_dtype_size((dlvk_dtype)t, 3), .data = data};
        for (int i = 0; i < 3; i++) dlvk_host_tensor_set(&x, i, i == 1);
        for (int i = 0; i < 3; i++)
            cr_assert_eq(dlvk_host_tensor_get(&x, i), i == 1, "%s element %d", dlvk_dtype_name((dlvk_dtype)t), i);
    }
}

Test(compare, bfloat16_stored_as_integers)
{
    char why[512];
    uint16_t want[] = {0x3EF5, 0x7FC0}, near[] = {0x3EF6, 0x7FC0}, far[] = {0x3EF7, 0x7FC0};
    dlvk_host_tensor w = {.dtype = DLVK_U16, .rank = 1, .dim = {2}, .bytes = 4, .data = want}, n = w, f = w;
    n.dtype = f.dtype = DLVK_BF16;
    n.data = near;
    f.data = far;
    cr_assert(tensor_compare_stored(&n, &w, 1e-3, 1e-7, why, sizeof why));
    cr_assert_not(tensor_compare_stored(&f, &w, 1e-3, 1e-7, why, sizeof why));
    cr_assert(strstr(why, "[0]"), "%s", why);
    cr_assert(tensor_compare_stored(&f, &w, 1e-2, 1e-7, why, sizeof why), "values count too");
}
