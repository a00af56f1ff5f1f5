/* Straight-line plans: sizes, hazards, arena, arguments, grids, weights, states. */
#include "planner.h"
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

static void set_f(dlvk_session *s, const char *name, const float *x, int64_t n)
{
    OK(dlvk_session_set_input(s, name, &n, 1, x, (size_t)n * 4, err));
}

/* y = 3 x + 1 over a symbolic n; returns the input's and output's size expression. */
static void saxpy(Planner *p)
{
    planner_init(p);
    uint32_t n = planner_symbol(p, "n", 0, INT32_MAX, false), bytes = planner_op(p, EXPR(MUL), n, planner_const(p, 4));
    uint32_t x = planner_buffer(p, BUF(INPUT), bytes, 0, 0), y = planner_buffer(p, BUF(OUTPUT), bytes, 0, 0);
    planner_input(p, "x", DLVK_F32, x, 1, &n);
    planner_output(p, "y", DLVK_F32, y, 1, &n);
    uint32_t pipe = planner_pipeline(p, "layout(constant_id = 0) const float a = 1; layout(constant_id = 1) const float b = 0;",
                                     "F x; F y; int n;", 20, "if (i < n) y.v[i] = a * x.v[i] + b;", 0,
                                     (uint32_t[]){0x40400000, 0x3f800000}, 2);
    planner_dispatch(p, planner_top(p), "saxpy", pipe, planner_op(p, EXPR(CEILDIV), n, planner_const(p, 64)),
                     PLANNER_MAP(x, y, n));
}

static void rerun_with_sizes(void)
{
    Planner p;
    saxpy(&p);
    Loaded l = planner_load(&p);
    const int64_t sizes[] = {1, 1000, 64, 0, 65, 100000, 7};
    for (size_t k = 0; k < sizeof sizes / sizeof *sizes; k++) {
        int64_t n = sizes[k];
        float *x = malloc((size_t)n * 4 + 4), *y = malloc((size_t)n * 4 + 4);
        for (int64_t i = 0; i < n; i++) x[i] = (float)(i % 1000);
        set_f(l.s, "x", x, n);
        OK(dlvk_session_run(l.s, err));
        OK(dlvk_session_run(l.s, err));
        dlvk_tensor_info info;
        size_t bytes;
        OK(dlvk_session_output_info(l.s, 0, &info, &bytes, err));
        cr_assert_eq(info.dim[0], n);
        cr_assert_eq(bytes, (size_t)n * 4);
        OK(dlvk_session_get_output(l.s, "y", y, bytes, err));
        for (int64_t i = 0; i < n; i++) cr_assert_eq(y[i], 3 * x[i] + 1);
        free(x);
        free(y);
    }
    planner_unload(l, &p);
}

Test(runtime, symbolic_size_rerun)
{
    rerun_with_sizes();
}

/* Outputs of all these sizes where the host cannot see the device's memory: small ones come with the run, large ones are fetched.
 */
Test(runtime, symbolic_size_rerun_staged)
{
    setenv("DLVK_STAGING", "1", 1);
    rerun_with_sizes();
}

/* A chain x -> a -> b -> c -> y of +1, in buffers that share arena memory two apart: every link is a hazard. */
Test(runtime, hazards_and_aliasing)
{
    Planner p;
    planner_init(&p);
    enum { LINKS = 12 };
    uint32_t n = planner_symbol(&p, "n", 0, INT32_MAX, false), bytes = planner_op(&p, EXPR(MUL), n, planner_const(&p, 4));
    uint32_t groups = planner_op(&p, EXPR(CEILDIV), n, planner_const(&p, 64));
    uint32_t pipe = planner_pipeline(&p, "", "F x; F y; int n;", 20, "if (i < n) y.v[i] = x.v[n - 1 - i] + 1;", 0, NULL, 0);
    uint32_t from = planner_buffer(&p, BUF(INPUT), bytes, 0, 0);
    planner_input(&p, "x", DLVK_F32, from, 1, &n);
    for (uint32_t k = 0; k < LINKS; k++) {
        bool last = k == LINKS - 1;
        uint32_t to = last ? planner_buffer(&p, BUF(OUTPUT), bytes, 0, 0) : planner_buffer(&p, BUF(ARENA), bytes, k, k + 1);
        planner_dispatch(&p, planner_top(&p), "link", pipe, groups, PLANNER_MAP(from, to, n));
        if (last) planner_output(&p, "y", DLVK_F32, to, 1, &n);
        from = to;
    }
    Loaded l = planner_load(&p);
    for (int64_t size = 100; size <= 100000; size *= 10) {
        float *x = malloc((size_t)size * 4);
        for (int64_t i = 0; i < size; i++) x[i] = (float)i;
        set_f(l.s, "x", x, size);
        OK(dlvk_session_run(l.s, err));
        OK(dlvk_session_get_output(l.s, "y", x, (size_t)size * 4, err));
        for (int64_t i = 0; i < size; i++) cr_assert_eq(x[i], (float)i + LINKS);
        free(x);
        dlvk_memory mem;
        dlvk_session_memory(l.s, &mem);
        cr_assert_eq(mem.planned_arena, 2 * (((uint64_t)size * 4 + 255) / 256 * 256));
        cr_assert_eq(mem.arena, mem.planned_arena);
    }
    planner_unload(l, &p);
}

/* Two dispatches of one pipeline, y = x * k + c, with literals of their own behind the arguments; and literals where there is no
 * room. */
Test(runtime, literals)
{
    Planner p;
    planner_init(&p);
    enum { N = 100 };
    uint32_t n = planner_const(&p, N), bytes = planner_const(&p, 4 * N), groups = planner_const(&p, 2);
    uint32_t x = planner_buffer(&p, BUF(INPUT), bytes, 0, 0), t = planner_buffer(&p, BUF(ARENA), bytes, 0, 1),
             y = planner_buffer(&p, BUF(OUTPUT), bytes, 0, 0);
    planner_input(&p, "x", DLVK_F32, x, 1, &n);
    planner_output(&p, "y", DLVK_F32, y, 1, &n);
    uint32_t pipe = planner_pipeline(&p, "", "F x; F y; int n; float k; int c;", 28, "if (i < n) y.v[i] = x.v[i] * k + float(c);",
                                     0, NULL, 0);
    uint32_t words[2][2] = {{0x40200000u /* 2.5 */, 7}, {0xbf800000u /* -1 */, UINT32_MAX}};
    Dlvk__Plan__Variant *v[2] = {planner_dispatch(&p, planner_top(&p), "first", pipe, groups, PLANNER_MAP(x, t, n))->variant[0],
                                 planner_dispatch(&p, planner_top(&p), "second", pipe, groups, PLANNER_MAP(t, y, n))->variant[0]};
    for (int i = 0; i < 2; i++) v[i]->literal = words[i], v[i]->n_literal = 2;
    Loaded l = planner_load(&p);
    float data[N];
    for (int i = 0; i < N; i++) data[i] = (float)i;
    set_f(l.s, "x", data, N);
    OK(dlvk_session_run(l.s, err));
    OK(dlvk_session_get_output(l.s, "y", data, sizeof data, err));
    for (int i = 0; i < N; i++) cr_assert_eq(data[i], -((float)i * 2.5f + 7) - 1);
    uint32_t many[3] = {0};
    v[1]->literal = many, v[1]->n_literal = 3; /* 32 bytes of the module's 28 */
    dlvk_model *m;
    dlvk_error why;
    cr_assert_eq(planner_load_model(&p, NULL, &m, &why), DLVK_BAD_FILE);
    cr_assert(strstr(why.text, "push constants"), "%s", why.text);
    v[1]->literal = NULL, v[1]->n_literal = 0, v[0]->literal = NULL, v[0]->n_literal = 0;
    planner_unload(l, &p);
}

/* Weights, one of them a splat of a 3-float pattern; an indirect variant; a divisor. y[i] = w[i % 6] + s[i / d] */
Test(runtime, weights_indirect_divisor)
{
    for (int indirect = 0; indirect < 2; indirect++) {
        Planner p;
        planner_init(&p);
        enum { N = 999 };
        float w[6] = {1, 2, 3, 4, 5, 6}, pattern[3] = {100, 200, 300};
        uint32_t n = planner_const(&p, N), d = planner_symbol(&p, "d", 1, INT32_MAX, false);
        uint32_t x = planner_buffer(&p, BUF(INPUT), d, 0, 0), y = planner_buffer(&p, BUF(OUTPUT), planner_const(&p, 4 * N), 0, 0);
        uint32_t cw = planner_constant(&p, w, sizeof w, sizeof w), cs = planner_constant(&p, pattern, sizeof pattern, 4 * N);
        planner_input(&p, "x", DLVK_U8, x, 1, &d);
        planner_output(&p, "y", DLVK_F32, y, 1, &n);
        const char *body = "if (i < n) y.v[i] = w.v[i % 6] + s.v[fastdiv(i, mul, shift)] + 1000 * int(d);";
        uint32_t direct_pipe = planner_pipeline(&p, "", "F w; F s; F y; int n; uint d, mul, shift;", 40, body, 0, NULL, 0);
        Args a = {.address = {cw, cs, y},
                  .n_address = 3,
                  .value = {n},
                  .n_value = 1,
                  .divisor = {d},
                  .n_divisor = 1,
                  .reads = {cw, cs},
                  .n_reads = 2,
                  .writes = {y},
                  .n_writes = 1};
        uint32_t groups = planner_const(&p, (N + 63) / 64);
        Dlvk__Plan__Dispatch *disp = planner_dispatch(&p, planner_top(&p), "add", direct_pipe, groups, &a);
        if (indirect) {
            uint32_t pipe = planner_pipeline(
                &p,
                "layout(buffer_reference, std430, buffer_reference_align = 8) buffer X { F w; F s; F y; int n; uint d, mul, "
                "shift; };",
                "X a;", 8, "if (i < a.n) a.y.v[i] = a.w.v[i % 6] + a.s.v[fastdiv(i, a.mul, a.shift)] + 1000 * int(a.d);", 0, NULL,
                0);
            planner_add_variant(&p, disp, pipe, groups, true);
        }
        Loaded l = planner_load(&p);
        for (int64_t div = 1; div < 40; div++) {
            uint8_t any[64] = {0};
            float got[N];
            OK(dlvk_session_set_input(l.s, "x", &div, 1, any, (size_t)div, err));
            OK(dlvk_session_run(l.s, err));
            OK(dlvk_session_get_output(l.s, "y", got, sizeof got, err));
            for (int i = 0; i < N; i++)
                cr_assert_eq(got[i], w[i % 6] + pattern[i / div % 3] + 1000 * (float)div, "%d / %d: %g", i, (int)div, got[i]);
        }
        dlvk_session_free(l.s);
        dlvk_model_free(l.m);
        cr_assert_eq(dlvk_device_validation_messages(test_device()), 0);
        planner_free(&p);
    }
    dlvk_device_close(test_device());
}

/* More workgroups than fit one direction; each writes one element. */
Test(runtime, wide_grid_is_folded)
{
    Planner p;
    planner_init(&p);
    enum { GROUPS = 70001 };
    uint32_t n = planner_const(&p, GROUPS), y = planner_buffer(&p, BUF(OUTPUT), planner_const(&p, 4 * GROUPS), 0, 0);
    planner_output(&p, "y", DLVK_I32, y, 1, &n);
    uint32_t pipe =
        planner_pipeline(&p, "", "I y; int n;", 12, "if (i / 64u < n && i % 64u == 0u) y.v[i / 64u] = int(i / 64u);", 0, NULL, 0);
    planner_dispatch(&p, planner_top(&p), "wide", pipe, n,
                     &(Args){.address = {y}, .n_address = 1, .value = {n}, .n_value = 1, .writes = {y}, .n_writes = 1});
    Loaded l = planner_load(&p);
    OK(dlvk_session_run(l.s, err));
    int32_t *got = malloc(4 * GROUPS);
    OK(dlvk_session_get_output(l.s, "y", got, 4 * GROUPS, err));
    for (int i = 0; i < GROUPS; i++) cr_assert_eq(got[i], i);
    free(got);
    planner_unload(l, &p);
}

/* A kernel of three variants: the first for n >= 100, the next for n >= 10, the last for all; y is which one ran. */
static Loaded load_by_size(Planner *p)
{
    planner_init(p);
    uint32_t n = planner_symbol(p, "n", 1, INT32_MAX, false), one = planner_const(p, 1);
    uint32_t x = planner_buffer(p, BUF(INPUT), n, 0, 0), y = planner_buffer(p, BUF(OUTPUT), planner_const(p, 4), 0, 0);
    planner_input(p, "x", DLVK_U8, x, 1, &n);
    planner_output(p, "y", DLVK_I32, y, 1, &one);
    static const char *const body[] = {"if (i == 0) y.v[0] = 1;", "if (i == 0) y.v[0] = 10;", "if (i == 0) y.v[0] = 100;"};
    Dlvk__Plan__Dispatch *d =
        planner_dispatch(p, planner_top(p), "which", planner_pipeline(p, "", "I y;", 8, body[0], 0, NULL, 0), one,
                         &(Args){.address = {y}, .n_address = 1, .writes = {y}, .n_writes = 1});
    for (int i = 1; i < 3; i++) {
        planner_add_variant(p, d, planner_pipeline(p, "", "I y;", 8, body[i], 0, NULL, 0), one, false);
        uint32_t least = planner_const(p, i == 1 ? 10 : 100);
        d->variant[0]->when = planner_op(p, DLVK__PLAN__EXPR__OP__FLOORDIV, n, least) + 1;
    }
    return planner_load(p);
}

static int run_at(dlvk_session *s, int64_t size)
{
    uint8_t any[512] = {0};
    int32_t got = 0;
    dlvk_error e;
    bool ok = !dlvk_session_set_input(s, "x", &size, 1, any, (size_t)size, &e) && !dlvk_session_run(s, &e) &&
              !dlvk_session_get_output(s, "y", &got, sizeof got, &e);
    return ok ? got : -1;
}

/* Each is built when it is first needed. */
Test(runtime, variants_by_size)
{
    Planner p;
    Loaded l = load_by_size(&p);
    for (int v = 0; v < 3; v++) cr_assert_not(dlvk_model_kernel_variant(l.m, 0, v, NULL));
    for (int64_t size = 1; size <= 500; size = size * 3 + 1) {
        int got = run_at(l.s, size);
        cr_assert_eq(got, size >= 100 ? 100 : size >= 10 ? 10 : 1, "%d for %d", got, (int)size);
        cr_assert(dlvk_model_kernel_variant(l.m, 0, 2, NULL));
        cr_assert_eq(dlvk_model_kernel_variant(l.m, 0, 1, NULL), size >= 10);
        cr_assert_eq(dlvk_model_kernel_variant(l.m, 0, 0, NULL), size >= 100);
    }
    planner_unload(l, &p);
}

static void *run_sizes(void *session)
{
    int bad = 0;
    for (int64_t size = 1; size <= 500; size = size * 3 + 1)
        bad += run_at(session, size) != (size >= 100 ? 100 : size >= 10 ? 10 : 1);
    return bad ? session : NULL;
}

/* Sessions of several threads that need the same variants for the first time. */
Test(runtime, variants_built_by_several_threads)
{
    Planner p;
    Loaded l = load_by_size(&p);
    enum { N = 4 };
    dlvk_session *s[N];
    pthread_t thread[N];
    for (int i = 0; i < N; i++) OK(dlvk_session_create(l.m, &s[i], err));
    for (int i = 0; i < N; i++) cr_assert_eq(pthread_create(&thread[i], NULL, run_sizes, s[i]), 0);
    for (int i = 0; i < N; i++) {
        void *bad;
        pthread_join(thread[i], &bad);
        cr_assert_null(bad);
        dlvk_session_free(s[i]);
    }
    planner_unload(l, &p);
}

/* A counter that lives between runs, and one model with two sessions whose counters are apart. */
Test(runtime, state)
{
    Planner p;
    planner_init(&p);
    int32_t start[3] = {10, 20, 30};
    uint32_t n = planner_const(&p, 3), st = planner_state(&p, start, sizeof start, "count", DLVK_I32),
             y = planner_buffer(&p, BUF(OUTPUT), planner_const(&p, 12), 0, 0);
    planner_output(&p, "y", DLVK_I32, y, 1, &n);
    uint32_t pipe = planner_pipeline(&p, "", "I s;", 8, "if (i < 3) s.v[i]++;", 0, NULL, 0), zero = planner_const(&p, 0);
    planner_dispatch(&p, planner_top(&p), "count", pipe, planner_const(&p, 1),
                     &(Args){.address = {st}, .n_address = 1, .reads = {st}, .n_reads = 1, .writes = {st}, .n_writes = 1});
    planner_copy(&p, planner_top(&p), st, y, planner_const(&p, 12), zero, zero);
    Loaded l = planner_load(&p);
    dlvk_session *other;
    OK(dlvk_session_create(l.m, &other, err));
    int32_t got[3];
    for (int k = 1; k <= 5; k++) {
        OK(dlvk_session_run(l.s, err));
        OK(dlvk_session_get_output(l.s, "y", got, sizeof got, err));
        for (int i = 0; i < 3; i++) cr_assert_eq(got[i], start[i] + k);
    }
    OK(dlvk_session_run(other, err));
    OK(dlvk_session_get_output(other, "y", got, sizeof got, err));
    for (int i = 0; i < 3; i++) cr_assert_eq(got[i], start[i] + 1);
    dlvk_session_free(other);
    planner_unload(l, &p);
}

/* kept = x, which runs where sizes have changed; y = kept + x. (A compiler would prepare nothing that reads an input: this shows
 * when it ran.) */
static void prepared(Planner *p)
{
    planner_init(p);
    uint32_t n = planner_symbol(p, "n", 0, INT32_MAX, false), bytes = planner_op(p, EXPR(MUL), n, planner_const(p, 4));
    uint32_t x = planner_buffer(p, BUF(INPUT), bytes, 0, 0), y = planner_buffer(p, BUF(OUTPUT), bytes, 0, 0);
    uint32_t kept = planner_buffer(p, BUF(PREPARED), bytes, 0, 0), groups = planner_op(p, EXPR(CEILDIV), n, planner_const(p, 64));
    planner_input(p, "x", DLVK_F32, x, 1, &n);
    planner_output(p, "y", DLVK_F32, y, 1, &n);
    uint32_t first = planner_pipeline(p, "", "F x; F y; int n;", 20, "if (i < n) y.v[i] = x.v[i];", 0, NULL, 0);
    uint32_t second = planner_pipeline(p, "", "F x; F k; F y; int n;", 28, "if (i < n) y.v[i] = k.v[i] + x.v[i];", 0, NULL, 0);
    planner_dispatch(p, planner_top(p), "prepare", first, groups, PLANNER_MAP(x, kept, n));
    Args a = {.address = {x, kept, y},
              .n_address = 3,
              .value = {n},
              .n_value = 1,
              .reads = {x, kept},
              .n_reads = 2,
              .writes = {y},
              .n_writes = 1};
    planner_dispatch(p, planner_top(p), "use", second, groups, &a);
    p->plan.prepared = 1;
}

static void prepared_runs(void)
{
    static const struct {
        int64_t n;
        float x, y;
    } run[] = {{10, 1, 2}, {10, 5, 6}, {10, 2, 3}, {5000, 7, 14}, {5000, 1, 8}, {10, 3, 6}};
    Planner p;
    prepared(&p);
    Loaded l = planner_load(&p);
    for (size_t k = 0; k < sizeof run / sizeof *run; k++) {
        size_t n = (size_t)run[k].n;
        float *x = malloc(n * 4);
        for (size_t i = 0; i < n; i++) x[i] = run[k].x;
        set_f(l.s, "x", x, run[k].n);
        OK(dlvk_session_run(l.s, err));
        OK(dlvk_session_get_output(l.s, "y", x, n * 4, err));
        for (size_t i = 0; i < n; i++) cr_assert_eq(x[i], run[k].y, "run %zu, element %zu: %g", k, i, (double)x[i]);
        free(x);
        dlvk_memory mem;
        dlvk_session_memory(l.s, &mem);
        if (k == 0) cr_assert_eq(mem.total, mem.planned);
    }
    planner_unload(l, &p);
}

Test(runtime, steps_on_sizes_alone_run_once)
{
    prepared_runs();
}

Test(runtime, steps_on_sizes_alone_run_once_staged)
{
    setenv("DLVK_STAGING", "1", 1);
    prepared_runs();
}

static void refused(Planner *p, const char *why)
{
    dlvk_model *m = NULL;
    dlvk_error err = {""};
    cr_assert_eq(planner_load_model(p, NULL, &m, &err), DLVK_BAD_FILE);
    cr_assert(strstr(err.text, why), "%s", err.text);
    planner_free(p);
}

Test(runtime, what_is_prepared_is_checked)
{
    Planner p;
    prepared(&p);
    p.plan.prepared = 3;
    refused(&p, "there are fewer");
    prepared(&p);
    p.plan.prepared = 0;
    refused(&p, "which is kept");
    prepared(&p);
    p.plan.prepared = 2;
    refused(&p, "is prepared, and writes");
}
