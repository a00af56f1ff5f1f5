/* The interpreter: sources, type changes and movement. */
#include "tests/ir/eval_check.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <string.h>

#define X23 K("x", "f32[2,3] {1, 2, 3, 4, 5, 6}")

Test(eval_move, sources)
{
    eval_expect("%y = iota() {shape=[2,3], axis=1, dtype=i32};", "i32[2,3] {0, 1, 2, 0, 1, 2}");
    eval_expect("%y = iota() {shape=[2,3], axis=0, dtype=f16};", "f16[2,3] {0, 0, 0, 1, 1, 1}");
    eval_expect("%y = iota() {shape=[0,3], axis=0, dtype=f32};", "f32[0,3] {}");
    eval_expect("%y = dims() {values=[7/2,-3], dtype=i64, shape=[2]};", "i64[2] {3, -3}");
}

/* The known answer of Philox4x32-10 for a counter and a key of zeros. */
Test(eval_move, random_bits)
{
    eval_expect(K("s", "u64[] {0}") "%y = random(%s) {shape=[1]};", "u32[1] {1713891541}"); /* 6627e8d5 */
    eval_expect(K("s", "u64[] {0}") "%r = random(%s) {shape=[2,2]}; %y = slice(%r) {start=[0,0], shape=[1,1], step=[1,1]};",
                "u32[1,1] {1713891541}");
}

Test(eval_move, reshape_transpose_broadcast)
{
    eval_expect(X23 "%y = reshape(%x) {shape=[3,1,2]};", "f32[3,1,2] {1, 2, 3, 4, 5, 6}");
    eval_expect(X23 "%y = transpose(%x) {perm=[1,0]};", "f32[3,2] {1, 4, 2, 5, 3, 6}");
    eval_expect(K("x", "i8[2,2,3] {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11}") "%y = transpose(%x) {perm=[2,0,1]};",
                "i8[3,2,2] {0, 3, 6, 9, 1, 4, 7, 10, 2, 5, 8, 11}");
    eval_expect(K("x", "i4[2,3] {-1, 2, -3, 4, -5, 6}") "%y = transpose(%x) {perm=[1,0]};", "i4[3,2] {-1, 4, 2, -5, -3, 6}");
    eval_expect(K("x", "i64[2,1] {7, 8}") "%y = broadcast(%x) {shape=[2,3]};", "i64[2,3] {7, 7, 7, 8, 8, 8}");
    eval_expect(K("x", "i64[1,1] {7}") "%y = broadcast(%x) {shape=[0,3]};", "i64[0,3] {}");
    eval_expect(K("x", "string[1,2] {\"a\", \"bc\"}") "%y = broadcast(%x) {shape=[2,2]};",
                "string[2,2] {\"a\", \"bc\", \"a\", \"bc\"}");
}

Test(eval_move, slice_reverse_pad_concat)
{
    eval_expect(K("x", "f32[7] {0, 1, 2, 3, 4, 5, 6}") "%y = slice(%x) {start=[1], shape=[3], step=[2]};", "f32[3] {1, 3, 5}");
    eval_expect(X23 "%y = slice(%x) {start=[1,1], shape=[1,2], step=[1,1]};", "f32[1,2] {5, 6}");
    eval_expect(X23 "%y = slice(%x) {start=[0,3], shape=[2,0], step=[1,1]};", "f32[2,0] {}");
    eval_expect(X23 "%y = reverse(%x) {axes=[1]};", "f32[2,3] {3, 2, 1, 6, 5, 4}");
    eval_expect(X23 "%y = reverse(%x) {axes=[0,1]};", "f32[2,3] {6, 5, 4, 3, 2, 1}");
    eval_expect(X23 K("v", "f32[] {9}") "%y = pad(%x, %v) {lo=[1,0], hi=[0,2]};",
                "f32[3,5] {9, 9, 9, 9, 9, 1, 2, 3, 9, 9, 4, 5, 6, 9, 9}");
    eval_expect(K("x", "f32[2] splat {9}") K("v", "f32[] {9}") "%y = pad(%x, %v) {lo=[1], hi=[1]};", "f32[4] {9, 9, 9, 9}");
    eval_expect(K("x", "f32[2] splat {8}") K("v", "f32[] {9}") "%y = pad(%x, %v) {lo=[1], hi=[1]};", "f32[4] {9, 8, 8, 9}");
    eval_expect(X23 K("z", "f32[2,1] {7, 8}") "%y = concat(%x, %z, %x) {axis=1};",
                "f32[2,7] {1, 2, 3, 7, 1, 2, 3, 4, 5, 6, 8, 4, 5, 6}");
    eval_expect(K("a", "u8[0,2] {}") K("b", "u8[1,2] {1, 2}") "%y = concat(%a, %b) {axis=0};", "u8[1,2] {1, 2}");
}

Test(eval_move, gather_clamps)
{
    eval_expect(K("x", "f32[3,2] {1, 2, 3, 4, 5, 6}") K("i", "i64[2,2] {2, 0, -5, 9}") "%y = gather(%x, %i) {axis=0};",
                "f32[2,2,2] {5, 6, 1, 2, 1, 2, 5, 6}");
    eval_expect(X23 K("i", "i32[] {1}") "%y = gather(%x, %i) {axis=1};", "f32[2] {2, 5}");
}

Test(eval_move, casts)
{
    eval_expect(K("x", "f32[6] {1.9, -1.9, nan, 3e9, -3e9, 300}") "%y = cast(%x) {dtype=i32};",
                "i32[6] {1, -1, 0, 2147483647, -2147483648, 300}");
    eval_expect(K("x", "f32[3] {300, -1, 1e30}") "%y = cast(%x) {dtype=u8};", "u8[3] {44, 255, 255}");
    eval_expect(K("x", "f64[3] {1e19, 1e30, -1}") "%y = cast(%x) {dtype=u64};",
                "u64[3] {10000000000000000000, 18446744073709551615, 18446744073709551615}");
    eval_expect(K("x", "f32[4] {0, -0, nan, 0.1}") "%y = cast(%x) {dtype=bool};", "bool[4] {0, 0, 1, 1}");
    eval_expect(K("x", "i64[2] {9007199791611905, -1}") "%y = cast(%x) {dtype=f32};",
                "f32[2] {9007200328482816, -1}"); /* rounded once */
    eval_expect(K("x", "f32[4] {1000, -inf, nan, 0.1}") "%y = cast(%x) {dtype=f8e4m3fn};",
                "f8e4m3fn[4] {448, -448, nan, 0.1015625}");
    eval_expect(K("x", "f32[3] {1000, -inf, 464}") "%y = cast(%x) {dtype=f8e4m3fn, saturate=0};", "f8e4m3fn[3] {nan, nan, 448}");
    eval_expect(K("x", "f32[2] {1, -0}") "%y = bitcast(%x) {dtype=u32};", "u32[2] {1065353216, 2147483648}");
}

/* A splat is moved without being spread out: this one would take 4 TB. */
Test(eval_move, splats_stay)
{
    const char *graph = "graph \"t\" {\n" K(
        "x",
        "f32[1000000,1000000] splat {0.5}") "%a = transpose(%x) {perm=[1,0]};"
                                            "%b = neg(%a); %c = reshape(%b) {shape=[1000000000000]}; %d = reverse(%c) {axes=[0]};"
                                            "%y = slice(%d) {start=[5], shape=[2], step=[1]}; output \"y\" = %y; }";
    eval_expect_graph(graph, 0, NULL, 1, (const char *[]){"f32[2] {-0.5, -0.5}"}, NULL);
}
