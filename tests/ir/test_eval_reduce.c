/* The interpreter: reductions, scans, windows, sort, scatter. */
#include "tests/ir/eval_check.h"

#include <criterion/criterion.h>

#define X23 K("x", "f32[2,3] {1, 5, 3, 4, 2, 6}")
#define X6  K("x", "f32[6] {3, 1, 4, 1, 5, 9}")

Test(eval_reduce, kinds_and_axes)
{
    eval_expect(X23 "%y = reduce(%x) {kind=sum, axes=[1]};", "f32[2,1] {9, 12}");
    eval_expect(X23 "%y = reduce(%x) {kind=max, axes=[0]};", "f32[1,3] {4, 5, 6}");
    eval_expect(X23 "%y = reduce(%x) {kind=prod, axes=[0,1]};", "f32[1,1] {720}");
    eval_expect(K("x", "i8[4] {100, 100, 100, -1}") "%y = reduce(%x) {kind=sum, axes=[0]};", "i8[1] {43}");
    eval_expect(K("x", "bool[2,2] {1, 1, 0, 1}") "%y = reduce(%x) {kind=and, axes=[1]};", "bool[2,1] {1, 0}");
    eval_expect(K("x", "bool[2,2] {0, 0, 0, 1}") "%y = reduce(%x) {kind=or, axes=[1]};", "bool[2,1] {0, 1}");
    eval_expect(K("x", "f32[2,3,2] {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}") "%y = reduce(%x) {kind=sum, axes=[0,2]};",
                "f32[1,3,1] {18, 26, 34}");
    eval_expect(K("x", "f32[2,3,2] {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}") "%y = reduce(%x) {kind=sum, axes=[1]};",
                "f32[2,1,2] {9, 12, 27, 30}");
    eval_expect(K("x", "f32[3] {1, nan, 3}") "%y = reduce(%x) {kind=min, axes=[0]};", "f32[1] {nan}");
    eval_expect(K("x", "f32[3] splat {2}") "%y = reduce(%x) {kind=sum, axes=[0]};", "f32[1] {6}");
}

Test(eval_reduce, nothing_gives_the_identity)
{
    eval_expect(K("x", "f32[0,2] {}") "%y = reduce(%x) {kind=max, axes=[0]};", "f32[1,2] {-inf, -inf}");
    eval_expect(K("x", "i16[0] {}") "%y = reduce(%x) {kind=min, axes=[0]};", "i16[1] {32767}");
    eval_expect(K("x", "u8[0] {}") "%y = reduce(%x) {kind=min, axes=[0]};", "u8[1] {255}");
    eval_expect(K("x", "i64[0] {}") "%y = reduce(%x) {kind=max, axes=[0]};", "i64[1] {-9223372036854775808}");
    eval_expect(K("x", "f32[0] {}") "%y = reduce(%x) {kind=prod, axes=[0]};", "f32[1] {1}");
    eval_expect(K("x", "bool[0] {}") "%y = reduce(%x) {kind=and, axes=[0]};", "bool[1] {1}");
}

Test(eval_reduce, extrema)
{
    eval_expect(K("x", "f32[4] {2, 7, 7, 1}") "%y = argreduce(%x) {kind=max, axis=0, last=0};", "i64[1] {1}");
    eval_expect(K("x", "f32[4] {2, 7, 7, 1}") "%y = argreduce(%x) {kind=max, axis=0, last=1};", "i64[1] {2}");
    eval_expect(K("x", "f32[4] {2, nan, 7, -9}") "%y = argreduce(%x) {kind=min, axis=0, last=0};", "i64[1] {1}");
    eval_expect(X23 "%y = argreduce(%x) {kind=min, axis=1, last=0};", "i64[2,1] {0, 1}");
    eval_expect(K("x", "u64[3] {1, 18446744073709551615, 2}") "%y = argreduce(%x) {kind=max, axis=0, last=0};", "i64[1] {1}");
}

Test(eval_reduce, cumulate)
{
    eval_expect(X6 "%y = cumulate(%x) {kind=sum, axis=0, exclusive=0, reverse=0};", "f32[6] {3, 4, 8, 9, 14, 23}");
    eval_expect(X6 "%y = cumulate(%x) {kind=sum, axis=0, exclusive=1, reverse=0};", "f32[6] {0, 3, 4, 8, 9, 14}");
    eval_expect(X6 "%y = cumulate(%x) {kind=max, axis=0, exclusive=0, reverse=1};", "f32[6] {9, 9, 9, 9, 9, 9}");
    eval_expect(X6 "%y = cumulate(%x) {kind=sum, axis=0, exclusive=1, reverse=1};", "f32[6] {20, 19, 15, 14, 9, 0}");
    eval_expect(X23 "%y = cumulate(%x) {kind=prod, axis=0, exclusive=0, reverse=0};", "f32[2,3] {1, 5, 3, 4, 10, 18}");
}

Test(eval_reduce, windows)
{
    eval_expect(X6 "%y = window(%x) {kind=sum, window=[3], step=[1], dilation=[1], lo=[1], hi=[1]};",
                "f32[6] {4, 8, 6, 10, 15, 14}");
    eval_expect(X6 "%y = window(%x) {kind=max, window=[2], step=[2], dilation=[2], lo=[0], hi=[0]};", "f32[2] {4, 5}");
    eval_expect(X6 "%y = window(%x) {kind=max, window=[1], step=[3], dilation=[1], lo=[1], hi=[0]};", "f32[3] {-inf, 4, 9}");
    eval_expect(X23 "%y = window(%x) {kind=sum, window=[2,2], step=[1,1], dilation=[1,1], lo=[0,0], hi=[0,0]};",
                "f32[1,2] {12, 16}");
    eval_expect(X6 "%y = argwindow(%x) {kind=max, window=[3], step=[1], dilation=[1], lo=[1], hi=[1]};",
                "i64[6] {0, 2, 2, 4, 5, 5}");
    eval_expect(X23 "%y = argwindow(%x) {kind=min, window=[2,1], step=[1,1], dilation=[1,1], lo=[0,0], hi=[0,0]};",
                "i64[1,3] {0, 4, 2}");
}

Test(eval_reduce, sort)
{
    eval_expect(K("x", "f32[5] {3, nan, -1, 3, 0}") "%y, %i = sort(%x) {axis=0, descending=0};", "f32[5] {-1, 0, 3, 3, nan}");
    eval_expect(K("x", "f32[5] {3, nan, -1, 3, 0}") "%v, %y = sort(%x) {axis=0, descending=0};", "i64[5] {2, 4, 0, 3, 1}");
    eval_expect(K("x", "i32[5] {3, 9, -1, 3, 0}") "%v, %y = sort(%x) {axis=0, descending=1};", "i64[5] {1, 0, 3, 4, 2}");
    eval_expect(X23 "%y, %i = sort(%x) {axis=0, descending=1};", "f32[2,3] {4, 5, 6, 1, 2, 3}");
    eval_expect(K("x", "u64[2] {18446744073709551615, 1}") "%y, %i = sort(%x) {axis=0, descending=0};",
                "u64[2] {1, 18446744073709551615}");
}

#define SCATTER                                                                                                                  \
    K("x", "f32[3,2] {1, 2, 3, 4, 5, 6}") K("i", "i64[4] {2, 0, 2, 7}") K("u", "f32[4,2] {10, 20, 30, 40, 50, 60, 70, 80}")
Test(eval_reduce, scatter_and_compact)
{
    eval_expect(SCATTER "%y = scatter(%x, %i, %u) {kind=set};", "f32[3,2] {30, 40, 3, 4, 50, 60}");
    eval_expect(SCATTER "%y = scatter(%x, %i, %u) {kind=sum};", "f32[3,2] {31, 42, 3, 4, 65, 86}");
    eval_expect(SCATTER "%y = scatter(%x, %i, %u) {kind=min};", "f32[3,2] {1, 2, 3, 4, 5, 6}");
    eval_expect(K("x", "bool[5] {0, 1, 1, 0, 1}") "%y = compact(%x);", "i64[3] {1, 2, 4}");
    eval_expect(K("x", "bool[5] splat {0}") "%y = compact(%x);", "i64[0] {}");
}
