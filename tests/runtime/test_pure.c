/* The runtime's pure functions: arena packing, expressions, the divisor's words. */
#include "planner.h"
#include "runtime/arena.h"
#include "runtime/expr.h"
#include <stdlib.h>
#include <string.h>

static uint32_t next(uint32_t *s)
{
    return *s = *s * 1664525u + 1013904223u, *s >> 8;
}

/* Random lifetimes: no two live items overlap, none crosses a limit, the peak is the highest end and no more than twice the
 * most that is ever alive. */
Test(arena, random)
{
    uint32_t seed = 7;
    for (int round = 0; round < 300; round++) {
        ArenaItem item[60];
        size_t n = next(&seed) % 60;
        uint64_t limit = round % 2 ? 16384 : 0, peak, top = 0, most = 0;
        for (size_t i = 0; i < n; i++) {
            uint32_t first = next(&seed) % 50;
            item[i] =
                (ArenaItem){.size = next(&seed) % 10 ? next(&seed) % 10000 : 0, .first = first, .last = first + next(&seed) % 10};
        }
        cr_assert(arena_pack(item, n, limit, &peak));
        for (size_t i = 0; i < n; i++) {
            if (!item[i].size) continue;
            uint64_t end = item[i].offset + item[i].size;
            cr_assert_eq(item[i].offset % ARENA_ALIGN, 0);
            if (limit) cr_assert_eq(item[i].offset / limit, (end - 1) / limit);
            if (end > top) top = end;
            for (size_t k = 0; k < i; k++) {
                bool together = item[k].size && item[k].first <= item[i].last && item[i].first <= item[k].last;
                cr_assert(!together || item[k].offset >= end || item[k].offset + item[k].size <= item[i].offset);
            }
        }
        for (uint32_t t = 0; t < 60; t++) {
            uint64_t sum = 0;
            for (size_t i = 0; i < n; i++)
                if (item[i].first <= t && t <= item[i].last) sum += (item[i].size + 255) / 256 * 256;
            if (sum > most) most = sum;
        }
        cr_assert_eq(peak, (top + 255) / 256 * 256);
        if (!limit) cr_assert_leq(peak, 2 * most);
    }
    ArenaItem huge = {.size = 20000};
    uint64_t peak;
    cr_assert_not(arena_pack(&huge, 1, 16384, &peak));
    cr_assert(arena_pack(NULL, 0, 0, &peak) && peak == 0);
}

static uint32_t mul_hi(uint32_t a, uint32_t b)
{
    return (uint32_t)((uint64_t)a * b >> 32);
}

/* The words as plan.proto defines them divide exactly. That the runtime packs these words is tested on the device. */
Test(divisor, exact)
{
    uint32_t seed = 3;
    for (uint64_t k = 0; k < 4000; k++) {
        uint32_t d = k < 2000   ? (uint32_t)k + 1
                     : k < 2100 ? 0x7fffffffu - (uint32_t)(k - 2000)
                     : k < 2130 ? 1u << (k - 2100)
                                : (next(&seed) << 8 | next(&seed) % 256) >> 1;
        if (!d) continue;
        uint32_t shift = 0;
        while (1ull << shift < d) shift++;
        uint64_t m = ((1ull << (31 + shift)) + d - 1) / d;
        cr_assert_leq(m, UINT32_MAX);
        for (int i = 0; i < 400; i++) {
            uint32_t n = i < 100   ? (uint32_t)i
                         : i < 200 ? 0x7fffffffu - (uint32_t)(i - 100)
                                   : (next(&seed) << 8 | next(&seed) % 256) >> 1;
            if (i >= 300) n = n / d * d - (i & 1 && n >= d); /* just below and at multiples */
            cr_assert_eq(mul_hi(n << 1, (uint32_t)m) >> shift, n / d, "%u / %u", n, d);
        }
    }
}

Test(expr, values_and_text)
{
    Planner p;
    planner_init(&p);
    uint32_t s = planner_symbol(&p, "s", INT64_MIN, INT64_MAX, false), three = planner_const(&p, 3),
             minus = planner_const(&p, -3);
    uint32_t big = planner_const(&p, INT64_MAX);
    planner_input(&p, "x", DLVK_U8, planner_buffer(&p, BUF(INPUT), s, 0, 0), 1, &s);
    const struct {
        int op;
        uint32_t b;
        int64_t at7; /* s = 7 */
        const char *text;
    } row[] = {
        {EXPR(ADD), three, 10, "s+3"},
        {EXPR(SUB), three, 4, "s-3"},
        {EXPR(MUL), minus, -21, "s*-3"},
        {EXPR(FLOORDIV), three, 2, "s/3"},
        {EXPR(FLOORDIV), minus, -3, "s/-3"},
        {EXPR(CEILDIV), three, 3, "ceildiv(s,3)"},
        {EXPR(CEILDIV), minus, -2, "ceildiv(s,-3)"},
        {EXPR(MOD), three, 1, "s%3"},
        {EXPR(MOD), minus, -2, "s%-3"},
        {EXPR(MIN), three, 3, "min(s,3)"},
        {EXPR(MAX), three, 7, "max(s,3)"},
    };
    uint32_t x[16], zero = planner_const(&p, 0);
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) x[i] = planner_op(&p, row[i].op, s, row[i].b);
    uint32_t overflow = planner_op(&p, EXPR(MUL), big, s), by_zero = planner_op(&p, EXPR(MOD), s, zero);
    uint32_t nested = planner_op(&p, EXPR(SUB), s, planner_op(&p, EXPR(SUB), three, planner_op(&p, EXPR(MUL), x[0], x[3])));
    uint32_t deep = s; /* a graph of 60 nodes whose text would have 2^60 symbols */
    for (int i = 0; i < 60; i++) deep = planner_op(&p, EXPR(ADD), deep, deep);
    Env e;
    char text[64];
    int64_t dim = 7, v;
    OK(rt_env_init(&e, &p.plan, err));
    OK(rt_env_solve(&e, (const int64_t *const[]){&dim}, err));
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        OK(rt_env_get(&e, x[i], "test", &v, err));
        cr_assert_eq(v, row[i].at7, "%s is %d", row[i].text, (int)v);
        cr_assert_str_eq(rt_expr_print(&p.plan, x[i], text, sizeof text), row[i].text);
    }
    dlvk_error err;
    cr_assert_eq(rt_env_get(&e, overflow, "test", &v, &err), DLVK_INVALID_ARGUMENT);
    cr_assert(strstr(err.text, "exceeds 64 bits"));
    cr_assert_eq(rt_env_get(&e, by_zero, "test", &v, &err), DLVK_INVALID_ARGUMENT);
    cr_assert(strstr(err.text, "divides by zero"));
    cr_assert_str_eq(rt_expr_print(&p.plan, nested, text, sizeof text), "s-(3-(s+3)*(s/3))");
    cr_assert_eq(strlen(rt_expr_print(&p.plan, deep, text, sizeof text)), sizeof text - 1);
    rt_env_free(&e);
    planner_free(&p);
}
