/* The interpreter: pointwise ops, where C leaves something open or integers wrap. Their GLSL is held against it in
 * tests/codegen/test_prelude.c. */
#include "tests/ir/eval_check.h"

#include <criterion/criterion.h>

#define AB(t, a, b) K("a", t "[3] {" a "}") K("b", t "[3] {" b "}")

Test(eval_point, integers_wrap_to_their_width)
{
    eval_expect(AB("i8", "127, -128, 100", "1, 1, 100") "%y = add(%a, %b);", "i8[3] {-128, -127, -56}");
    eval_expect(AB("u8", "255, 0, 16", "1, 1, 16") "%y = sub(%a, %b);", "u8[3] {254, 255, 0}");
    eval_expect(AB("i64", "9223372036854775807, -9223372036854775808, 3", "2, -1, 3") "%y = mul(%a, %b);",
                "i64[3] {-2, -9223372036854775808, 9}");
    eval_expect(AB("u64", "18446744073709551615, 5, 0", "2, 7, 1") "%y = sub(%a, %b);",
                "u64[3] {18446744073709551613, 18446744073709551614, 18446744073709551615}");
    eval_expect(K("a", "i4[3] {7, -8, 3}") "%y = neg(%a);", "i4[3] {-7, -8, -3}");
}

Test(eval_point, division_never_traps)
{
    eval_expect(AB("i64", "-9223372036854775808, 7, -7", "-1, 0, 2") "%y = div(%a, %b);", "i64[3] {-9223372036854775808, 0, -3}");
    eval_expect(AB("i32", "-2147483648, 7, -7", "-1, 0, 2") "%y = rem(%a, %b);", "i32[3] {0, 0, -1}");
    eval_expect(AB("i32", "-7, 7, -6", "2, -2, 3") "%y = mod(%a, %b);", "i32[3] {1, -1, 0}");
    eval_expect(AB("f32", "-7, 7, 6", "2, -2, -3") "%y = mod(%a, %b);", "f32[3] {1, -1, -0}");
    eval_expect(AB("f32", "-7, 7, 5", "2, -2, inf") "%y = rem(%a, %b);", "f32[3] {-1, 1, 5}");
    eval_expect(AB("u64", "18446744073709551615, 7, 8", "10, 0, 3") "%y = div(%a, %b);", "u64[3] {1844674407370955161, 0, 2}");
}

Test(eval_point, powers_and_shifts)
{
    eval_expect(AB("i32", "3, -1, 2", "4, -3, -1") "%y = pow(%a, %b);", "i32[3] {81, -1, 0}");
    eval_expect(AB("i32", "1, 1, -8", "31, 32, 1") "%y = shl(%a, %b);", "i32[3] {-2147483648, 0, -16}");
    eval_expect(AB("i32", "-8, -8, 8", "1, 99, 99") "%y = shr(%a, %b);", "i32[3] {-4, -1, 0}");
    eval_expect(AB("u8", "200, 200, 3", "3, 8, 7") "%y = shr(%a, %b);", "u8[3] {25, 0, 0}");
    eval_expect(AB("u8", "200, 200, 3", "1, 8, 7") "%y = shl(%a, %b);", "u8[3] {144, 0, 128}");
}

Test(eval_point, nan_wins_and_compares_false)
{
    eval_expect(AB("f32", "nan, 1, 2", "1, nan, 3") "%y = max(%a, %b);", "f32[3] {nan, nan, 3}");
    eval_expect(AB("f32", "nan, 1, 2", "1, nan, 3") "%y = min(%a, %b);", "f32[3] {nan, nan, 2}");
    eval_expect(AB("f32", "nan, 1, 2", "nan, nan, 2") "%y = ne(%a, %b);", "bool[3] {1, 1, 0}");
    eval_expect(AB("f32", "nan, 1, 2", "nan, nan, 2") "%y = ge(%a, %b);", "bool[3] {0, 0, 1}");
    eval_expect(K("a", "f32[4] {nan, -0, 3, -4}") "%y = sign(%a);", "f32[4] {nan, -0, 1, -1}");
    eval_expect(K("a", "f32[4] {0.5, 1.5, -2.5, 3.2}") "%y = round(%a);", "f32[4] {0, 2, -2, 3}");
    eval_expect(AB("u64", "18446744073709551615, 5, 0", "2, 7, 0") "%y = lt(%a, %b);", "bool[3] {0, 1, 0}");
}

Test(eval_point, bools_and_select)
{
    eval_expect(K("a", "bool[2] {0, 1}") "%y = not(%a);", "bool[2] {1, 0}");
    eval_expect(K("a", "i8[2] {0, 1}") "%y = not(%a);", "i8[2] {-1, -2}");
    eval_expect(K("a", "bool[2] {0, 1}") K("b", "bool[2] {1, 1}") "%y = xor(%a, %b);", "bool[2] {1, 0}");
    eval_expect(K("c", "bool[2] {0, 1}") K("a", "f32[2] splat {5}") K("b", "f32[2] {nan, 6}") "%y = select(%c, %a, %b);",
                "f32[2] {nan, 5}");
}
