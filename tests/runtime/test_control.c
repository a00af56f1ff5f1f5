/* Plans in which the host decides: sizes read back, branches, loops. */
#include "planner.h"
#include <stdlib.h>
#include <string.h>

/* Keeps the positive elements: their number is known only when the first kernel has run. */
Test(control, data_dependent_size)
{
    Planner p;
    planner_init(&p);
    uint32_t four = planner_const(&p, 4), one = planner_const(&p, 1);
    uint32_t n = planner_symbol(&p, "n", 0, INT32_MAX, false), k = planner_symbol(&p, "k", 0, INT32_MAX, true);
    uint32_t n_bytes = planner_op(&p, EXPR(MUL), n, four), k_bytes = planner_op(&p, EXPR(MUL), k, four);
    uint32_t x = planner_buffer(&p, BUF(INPUT), n_bytes, 0, 0),
             count = planner_buffer(&p, BUF(ARENA), planner_const(&p, 8), 0, 1);
    uint32_t kept = planner_buffer(&p, BUF(ARENA), n_bytes, 0, 2), twice = planner_buffer(&p, BUF(ARENA), k_bytes, 2, 3);
    uint32_t y = planner_buffer(&p, BUF(OUTPUT), k_bytes, 0, 0);
    planner_input(&p, "x", DLVK_F32, x, 1, &n);
    planner_output(&p, "y", DLVK_F32, y, 1, &k);
    planner_constraint(&p, DLVK__PLAN__CONSTRAINT__KIND__LE, k, n, "no more are kept than there are");
    uint32_t pack = planner_pipeline(&p, "", "F x; F kept; I count; int n;", 28,
                                     "if (i == 0) { int k = 0; for (int j = 0; j < n; j++) if (x.v[j] > 0) kept.v[k++] = x.v[j]; "
                                     "count.v[0] = k; count.v[1] = 0; }",
                                     0, NULL, 0);
    uint32_t scale = planner_pipeline(&p, "", "F x; F y; int n;", 20, "if (i < n) y.v[i] = 2 * x.v[i];", 0, NULL, 0);
    uint32_t groups = planner_op(&p, EXPR(CEILDIV), k, planner_const(&p, 64));
    Region *top = planner_top(&p);
    planner_dispatch(&p, top, "pack", pack, one,
                     &(Args){.address = {x, kept, count},
                             .n_address = 3,
                             .value = {n},
                             .n_value = 1,
                             .reads = {x},
                             .n_reads = 1,
                             .writes = {kept, count},
                             .n_writes = 2});
    planner_read(&p, top, count, DLVK_I64, planner_symbol_index(&p, "k"));
    planner_dispatch(&p, top, "scale", scale, groups, PLANNER_MAP(kept, twice, k));
    planner_dispatch(&p, top, "scale", scale, groups, PLANNER_MAP(twice, y, k));
    Loaded l = planner_load(&p);
    for (int round = 0; round < 12; round++) {
        int64_t size = round * 37 % 400;
        float x_data[400], want[400], got[400];
        int n_want = 0;
        for (int i = 0; i < size; i++) {
            x_data[i] = (float)((i * 7 + round) % 11 - 5);
            if (x_data[i] > 0) want[n_want++] = 4 * x_data[i];
        }
        OK(dlvk_session_set_input(l.s, "x", &size, 1, x_data, (size_t)size * 4, err));
        OK(dlvk_session_run(l.s, err));
        dlvk_tensor_info info;
        size_t bytes;
        OK(dlvk_session_output_info(l.s, 0, &info, &bytes, err));
        cr_assert_eq(info.dim[0], n_want);
        OK(dlvk_session_get_output(l.s, "y", got, sizeof got, err));
        cr_assert_eq(memcmp(got, want, (size_t)n_want * 4), 0, "round %d", round);
    }
    planner_unload(l, &p);
}

/* if (c) y = x + 1, and then another + 1 if (d); else y = 2 x */
Test(control, nested_branches)
{
    Planner p;
    planner_init(&p);
    uint32_t n = planner_const(&p, 5), one = planner_const(&p, 1), bytes = planner_const(&p, 20);
    uint32_t x = planner_buffer(&p, BUF(INPUT), bytes, 0, 0), c = planner_buffer(&p, BUF(INPUT), one, 0, 0),
             d = planner_buffer(&p, BUF(INPUT), one, 0, 0);
    uint32_t y = planner_buffer(&p, BUF(OUTPUT), bytes, 0, 0);
    planner_input(&p, "x", DLVK_F32, x, 1, &n);
    planner_input(&p, "c", DLVK_BOOL, c, 0, NULL);
    planner_input(&p, "d", DLVK_BOOL, d, 1, &one);
    planner_output(&p, "y", DLVK_F32, y, 1, &n);
    uint32_t inc = planner_pipeline(&p, "", "F x; F y;", 16, "if (i < 5) y.v[i] = x.v[i] + 1;", 0, NULL, 0);
    uint32_t twice = planner_pipeline(&p, "", "F x; F y;", 16, "if (i < 5) y.v[i] = x.v[i] * 2;", 0, NULL, 0);
    Args a = {.address = {x, y}, .n_address = 2, .reads = {x}, .n_reads = 1, .writes = {y}, .n_writes = 1};
    Args again = {.address = {y, y}, .n_address = 2, .reads = {y}, .n_reads = 1, .writes = {y}, .n_writes = 1};
    Dlvk__Plan__If *outer = planner_if(&p, planner_top(&p), c);
    planner_dispatch(&p, outer->then, "inc", inc, one, &a);
    planner_dispatch(&p, planner_if(&p, outer->then, d)->then, "inc", inc, one, &again);
    planner_dispatch(&p, outer->otherwise, "twice", twice, one, &a);
    Loaded l = planner_load(&p);
    const float x_data[5] = {1, 2, 3, 4, 5};
    int64_t dim = 5, unit = 1;
    OK(dlvk_session_set_input(l.s, "x", &dim, 1, x_data, sizeof x_data, err));
    for (int k = 0; k < 8; k++) {
        uint8_t cv = k & 1, dv = k >> 1 & 1;
        float got[5];
        OK(dlvk_session_set_input(l.s, "c", NULL, 0, &cv, 1, err));
        OK(dlvk_session_set_input(l.s, "d", &unit, 1, &dv, 1, err));
        OK(dlvk_session_run(l.s, err));
        OK(dlvk_session_get_output(l.s, "y", got, sizeof got, err));
        for (int i = 0; i < 5; i++) cr_assert_eq(got[i], cv ? x_data[i] + 1 + dv : 2 * x_data[i]);
    }
    planner_unload(l, &p);
}

/* sum = 0; for (i = 0; i < trips && go; i++) { sum += i + 1; stacked[i] = sum; go = sum < limit; }  stacked has as many elements
 * as there were iterations. */
static void loop_plan(Planner *p, bool with_condition)
{
    planner_init(p);
    uint32_t one = planner_const(p, 1), four = planner_const(p, 4), eight = planner_const(p, 8);
    uint32_t count = planner_symbol(p, "count", 0, INT32_MAX, true), iter = planner_symbol(p, "iter", 0, INT32_MAX, true);
    uint32_t trips = planner_buffer(p, BUF(INPUT), eight, 0, 0), limit = planner_buffer(p, BUF(INPUT), four, 0, 0);
    uint32_t sum = planner_buffer(p, BUF(ARENA), four, 0, 5), go = planner_buffer(p, BUF(ARENA), four, 0, 5),
             number = planner_buffer(p, BUF(ARENA), eight, 0, 5);
    uint32_t stacked = planner_buffer(p, BUF(OUTPUT), planner_op(p, EXPR(MUL), count, four), 0, 0);
    planner_input(p, "trips", DLVK_I64, trips, 0, NULL);
    planner_input(p, "limit", DLVK_I32, limit, 0, NULL);
    planner_output(p, "stacked", DLVK_I32, stacked, 1, &count);
    uint32_t init = planner_pipeline(p, "", "I sum; I go; I limit;", 24,
                                     "if (i == 0) { sum.v[0] = 0; go.v[0] = 0 < limit.v[0] ? 1 : 0; }", 0, NULL, 0);
    uint32_t step =
        planner_pipeline(p, "", "I sum; I go; I limit; I number;", 32,
                         "if (i == 0) { sum.v[0] += number.v[0] + 1; go.v[0] = sum.v[0] < limit.v[0] ? 1 : 0; }", 0, NULL, 0);
    planner_dispatch(
        p, planner_top(p), "init", init, one,
        &(Args){.address = {sum, go, limit}, .n_address = 3, .reads = {limit}, .n_reads = 1, .writes = {sum, go}, .n_writes = 2});
    Dlvk__Plan__Loop *l = planner_loop(p, planner_top(p));
    l->trip_count = 1 + trips;
    l->condition = with_condition ? 1 + go : 0;
    l->iteration = 1 + number;
    l->count_symbol = 1 + planner_symbol_index(p, "count");
    l->iteration_symbol = 1 + planner_symbol_index(p, "iter");
    planner_dispatch(p, l->body, "step", step, one,
                     &(Args){.address = {sum, go, limit, number},
                             .n_address = 4,
                             .reads = {sum, limit, number},
                             .n_reads = 3,
                             .writes = {sum, go},
                             .n_writes = 2});
    planner_copy(p, l->body, sum, stacked, four, planner_const(p, 0), planner_op(p, EXPR(MUL), iter, four));
}

Test(control, loop)
{
    for (int with_condition = 0; with_condition < 2; with_condition++) {
        Planner p;
        loop_plan(&p, with_condition);
        Loaded l = planner_load(&p);
        const int64_t trip_list[] = {3, 0, 100, 1, 2, 17, 1000};
        const int32_t limit_list[] = {1000000, 10, 0, 1, 300};
        for (size_t k = 0; k < 7 * 5; k++) {
            int64_t trips = trip_list[k / 5];
            int32_t limit = limit_list[k % 5], want[1000], got[1000], n = 0, sum = 0;
            for (; n < trips && (!with_condition || sum < limit); n++) want[n] = sum += n + 1;
            if (k % 5 > 1 && trips > 100) continue; /* time */
            OK(dlvk_session_set_input(l.s, "trips", NULL, 0, &trips, 8, err));
            OK(dlvk_session_set_input(l.s, "limit", NULL, 0, &limit, 4, err));
            OK(dlvk_session_run(l.s, err));
            dlvk_tensor_info info;
            size_t bytes;
            OK(dlvk_session_output_info(l.s, 0, &info, &bytes, err));
            cr_assert_eq(info.dim[0], n, "%d trips, limit %d: %d iterations", (int)trips, limit, (int)info.dim[0]);
            OK(dlvk_session_get_output(l.s, "stacked", got, sizeof got, err));
            cr_assert_eq(memcmp(got, want, (size_t)n * 4), 0);
        }
        dlvk_session_free(l.s);
        dlvk_model_free(l.m);
        planner_free(&p);
        cr_assert_eq(dlvk_device_validation_messages(test_device()), 0);
    }
    dlvk_device_close(test_device());
}
