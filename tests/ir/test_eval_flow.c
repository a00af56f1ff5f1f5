/* The interpreter: sizes solved from inputs, control flow, sizes that depend on data. */
#include "tests/ir/eval_check.h"

#include <criterion/criterion.h>

#define RUN(graph, in, ...)                                                                                                      \
    eval_expect_graph(graph, (int)(sizeof(in) / sizeof *in), in, (int)(sizeof((const char *[]){__VA_ARGS__}) / sizeof(char *)),  \
                      (const char *[]){__VA_ARGS__}, NULL)
#define FAULT(graph, in, says) eval_expect_graph(graph, (int)(sizeof(in) / sizeof *in), in, 0, NULL, says)

static const char *const sizes =
    "graph \"sizes\" { symbol n in [1, 8]; symbol m in [0, 100]; constraint m <= 3*n \"node 'Q'\";"
    "input %a \"a\": f32[n,2*n+m]; input %b \"b\": f32[m];"
    "%y = slice(%a) {start=[0,2*n], shape=[n,m], step=[1,1]}; %d = dims() {values=[n,m,n*m], dtype=i64, shape=[3]};"
    "output \"y\" = %y; output \"d\" = %d; }";

Test(eval_flow, sizes_from_shapes)
{
    static const char *const in[] = {"f32[1,3] {1, 2, 3}", "f32[1] {9}"};
    RUN(sizes, in, "f32[1,1] {3}", "i64[3] {1, 1, 1}");
}

Test(eval_flow, sizes_that_do_not_fit)
{
    static const char *const bad[] = {"f32[1,4] {1, 2, 3, 4}", "f32[1] {9}"};
    FAULT(sizes, bad, "input 'a'");
    static const char *const low[] = {"f32[0,4] {}", "f32[4] {1, 2, 3, 4}"};
    FAULT(sizes, low, "'n' is 0, outside of [1, 8]");
    static const char *const much[] = {"f32[1,6] {1, 2, 3, 4, 5, 6}", "f32[4] {1, 2, 3, 4}"};
    FAULT(sizes, much, "node 'Q'");
    static const char *const type[] = {"i32[1,3] {1, 2, 3}", "f32[1] {9}"};
    FAULT(sizes, type, "input 'a': i32");
}

Test(eval_flow, branches)
{
    static const char *const graph =
        "graph \"if\" { input %c \"c\": bool[]; input %x \"x\": f32[2];"
        "%k = const() {value=f32[2] {10, 20}};"
        "%y = if(%c) region() { %a = add(%x, %k); yield %a; } region() { yield %x; }; output \"y\" = %y; }";
    static const char *const yes[] = {"bool[] {1}", "f32[2] {1, 2}"}, *const no[] = {"bool[] {0}", "f32[2] {1, 2}"};
    RUN(graph, yes, "f32[2] {11, 22}");
    RUN(graph, no, "f32[2] {1, 2}");
}

/* Powers of two until one exceeds 20, each stacked; a captured value, a nested call. */
static const char *const powers = "graph \"loop\" { input %n \"n\": i64[]; input %go \"go\": bool[]; input %x \"x\": i64[];"
                                  "%limit = const() {value=i64[] {20}};"
                                  "%last, %all, %seen = loop(%n, %go, %x) region(%i: i64[], %v \"v\": i64[]) {"
                                  "  %w = call(%v) {name=\"twice\"} region(%p: i64[]) { %q = add(%p, %p); yield %q; };"
                                  "  %more = le(%w, %limit); yield %more, %w, %w, %i; };"
                                  "output \"last\" = %last; output \"all\" = %all; output \"i\" = %seen; }";

Test(eval_flow, loops)
{
    static const char *const till[] = {"i64[] {9223372036854775807}", "bool[] {1}", "i64[] {3}"};
    RUN(powers, till, "i64[] {24}", "i64[3] {6, 12, 24}", "i64[3] {0, 1, 2}");
    static const char *const twice[] = {"i64[] {2}", "bool[] {1}", "i64[] {3}"};
    RUN(powers, twice, "i64[] {12}", "i64[2] {6, 12}", "i64[2] {0, 1}");
    static const char *const never[] = {"i64[] {2}", "bool[] {0}", "i64[] {3}"};
    RUN(powers, never, "i64[] {3}", "i64[0] {}", "i64[0] {}");
}

Test(eval_flow, sizes_from_data)
{
    static const char *const graph =
        "graph \"data\" { symbol n in [0, 9]; symbol k in [0, 9] max n data; symbol m in [0, 9] data;"
        "input %x \"x\": f32[n]; input %c \"c\": bool[n]; input %s \"s\": i64[];"
        "read_dims(%s) {values=[m]}; %i = compact(%c) {shape=[k]}; %g = gather(%x, %i) {axis=0};"
        "%r = reshape(%g) {shape=[k,1]}; %y = broadcast(%r) {shape=[k,m]}; output \"y\" = %y; }";
    static const char *const in[] = {"f32[4] {1, 2, 3, 4}", "bool[4] {0, 1, 0, 1}", "i64[] {3}"};
    RUN(graph, in, "f32[2,3] {2, 2, 2, 4, 4, 4}");
    static const char *const bad[] = {"f32[4] {1, 2, 3, 4}", "bool[4] {0, 1, 0, 1}", "i64[] {10}"};
    FAULT(graph, bad, "'m' is 10");
}

/* In a loop a data symbol has a new value in every iteration. */
Test(eval_flow, sizes_in_a_loop)
{
    static const char *const graph =
        "graph \"data\" { symbol k in [0, 9] data;"
        "input %n \"n\": i64[]; input %x \"x\": i64[4];"
        "%t = const() {value=bool[] {1}}; %zero = const() {value=i64[1] {0}};"
        "%sum, %counts = loop(%n, %t, %zero) region(%i: i64[], %acc: i64[1]) {"
        "  %i1 = reshape(%i) {shape=[1]}; %ib = broadcast(%i1) {shape=[4]}; %c = gt(%x, %ib);"
        "  %at = compact(%c) {shape=[k]}; %v = gather(%x, %at) {axis=0}; %s = reduce(%v) {kind=sum, axes=[0]};"
        "  %next = add(%acc, %s); %count = dims() {values=[k], dtype=i64, shape=[]}; yield %t, %next, %count; };"
        "output \"sum\" = %sum; output \"counts\" = %counts; }";
    static const char *const in[] = {"i64[] {3}", "i64[4] {0, 1, 2, 3}"};
    RUN(graph, in, "i64[1] {14}", "i64[3] {3, 2, 1}"); /* 1+2+3, 2+3, 3 */
}
