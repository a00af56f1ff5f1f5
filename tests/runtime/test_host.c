/* Host steps and strings: plans made by hand, functions of the caller's. */
#include "dlvk/host.h"
#include "planner.h"
#include "runtime/strings.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

Test(strings, equal_strings_have_one_handle)
{
    StringTable t = {0};
    char text[1000][8];
    for (uint32_t i = 0; i < 1000; i++) {
        snprintf(text[i], sizeof text[i], "%u", i);
        cr_assert_eq(strings_intern(&t, (dlvk_string){text[i], strlen(text[i])}), i + 1);
    }
    cr_assert_eq(strings_intern(&t, (dlvk_string){NULL, 0}), 0);
    cr_assert_eq(strings_intern(&t, (dlvk_string){"999", 3}), 1000);
    strings_truncate(&t, 500);
    cr_assert_eq(strings_intern(&t, (dlvk_string){"7", 1}), 8);
    cr_assert_eq(strings_intern(&t, (dlvk_string){"999", 3}), 500);
    cr_assert_eq(t.at[500].len, 3);
    strings_free(&t);
}

/* The strings of x that are not "no", each twice. */
static dlvk_status twice(dlvk_host_call *c)
{
    const dlvk_string *x = c->in[0].data;
    int64_t n = 0;
    dlvk_string *y = c->alloc(c, (size_t)c->in[0].dim[0] * 2 * sizeof *y);
    if (!y) return DLVK_OUT_OF_MEMORY;
    for (int64_t i = 0; i < c->in[0].dim[0]; i++) {
        if (x[i].len == 4) {
            snprintf(c->err->text, sizeof c->err->text, "'%.*s' will not do", (int)x[i].len, x[i].at);
            return DLVK_INVALID_ARGUMENT;
        }
        if (x[i].len != 2 || memcmp(x[i].at, "no", 2) != 0) y[n++] = x[i], y[n++] = x[i];
    }
    c->out[0].dim[0] = n;
    c->out[0].data = y;
    return DLVK_OK;
}

static Dlvk__Plan__HostValue *host_value(Planner *p, uint32_t buffer, dlvk_dtype t, uint32_t dim)
{
    Dlvk__Plan__HostValue *v = planner_alloc(p, sizeof *v);
    dlvk__plan__host_value__init(v);
    v->buffer = buffer;
    v->dtype = (uint32_t)t;
    v->n_dim = 1;
    v->dim = planner_alloc(p, sizeof *v->dim);
    v->dim[0] = dim;
    return v;
}

/* x: strings [n] -> y: strings [m], by the host function `op`. */
static void one_step(Planner *p, const char *op)
{
    planner_init(p);
    uint32_t n = planner_symbol(p, "n", 0, INT32_MAX, false), m = planner_symbol(p, "m", 0, INT32_MAX, true);
    uint32_t four = planner_const(p, 4);
    uint32_t x = planner_buffer(p, BUF(INPUT), planner_op(p, EXPR(MUL), n, four), 0, 0);
    uint32_t y = planner_buffer(p, BUF(OUTPUT), planner_op(p, EXPR(MUL), m, four), 0, 0);
    planner_input(p, "x", DLVK_STRING, x, 1, &n);
    planner_output(p, "y", DLVK_STRING, y, 1, &m);
    Dlvk__Plan__Step *s = planner_alloc(p, sizeof *s);
    dlvk__plan__step__init(s);
    s->kind_case = DLVK__PLAN__STEP__KIND_HOST;
    s->host = planner_alloc(p, sizeof *s->host);
    dlvk__plan__host__init(s->host);
    s->host->op = planner_alloc(p, strlen(op) + 1);
    strcpy(s->host->op, op);
    s->host->n_in = s->host->n_out = s->host->n_symbol = 1;
    s->host->in = planner_alloc(p, sizeof *s->host->in);
    s->host->out = planner_alloc(p, sizeof *s->host->out);
    s->host->in[0] = host_value(p, x, DLVK_STRING, n);
    s->host->out[0] = host_value(p, y, DLVK_STRING, m);
    s->host->symbol = planner_alloc(p, sizeof *s->host->symbol);
    s->host->symbol[0] = planner_symbol_index(p, "m");
    Region *top = planner_top(p);
    top->step = planner_alloc(p, sizeof *top->step);
    top->step[0] = s;
    top->n_step = 1;
}

Test(runtime, host_step_of_the_callers)
{
    Planner p;
    Loaded l = {0};
    const dlvk_host_op op = {"twice", twice};
    dlvk_load_options o = DLVK_LOAD_OPTIONS_INIT;
    o.host_ops = &op;
    o.n_host_ops = 1;
    one_step(&p, "twice");
    OK(planner_load_model(&p, &o, &l.m, err));
    OK(dlvk_session_create(l.m, &l.s, err));
    for (int run = 0; run < 3; run++) {
        char a[] = "a", b[] = "bbb";
        const dlvk_string x[] = {{a, 1}, {"no", 2}, {b, 3}, {"", 0}, {a, 1}},
                          want[] = {x[0], x[0], x[2], x[2], x[3], x[3], x[4], x[4]};
        const int64_t n = 5 - run; /* other sizes, too */
        OK(dlvk_session_set_input(l.s, "x", &n, 1, x, (size_t)n * sizeof *x, err));
        memset(b, 'b', sizeof b - 1);
        OK(dlvk_session_run(l.s, err));
        dlvk_string y[8];
        size_t bytes = 0;
        OK(dlvk_session_output_info(l.s, 0, NULL, &bytes, err));
        cr_assert_eq(bytes, 2 * (size_t)(n - 1) * sizeof *y);
        OK(dlvk_session_get_output(l.s, "y", y, sizeof y, err));
        for (size_t i = 0; i < bytes / sizeof *y; i++)
            cr_assert(y[i].len == want[i].len && memcmp(y[i].at, want[i].at, y[i].len) == 0, "%zu: %.*s", i, (int)y[i].len,
                      y[i].at);
    }
    const int64_t one = 1;
    const dlvk_string bad = {"four", 4};
    OK(dlvk_session_set_input(l.s, "x", &one, 1, &bad, sizeof bad, err));
    dlvk_error why;
    cr_assert_eq(dlvk_session_run(l.s, &why), DLVK_INVALID_ARGUMENT);
    cr_assert(strstr(why.text, "'twice'") && strstr(why.text, "'four' will not do"), "%s", why.text);
    const dlvk_string null = {NULL, 1};
    cr_assert_eq(dlvk_session_set_input(l.s, "x", &one, 1, &null, sizeof null, &why), DLVK_INVALID_ARGUMENT);
    cr_assert_eq(dlvk_session_set_input(l.s, "x", &one, 1, &bad, 4, &why), DLVK_INVALID_ARGUMENT);
    planner_unload(l, &p);
}

Test(runtime, unknown_host_step_is_refused)
{
    Planner p;
    dlvk_model *m = NULL;
    dlvk_error err;
    one_step(&p, "no_such_function");
    cr_assert_eq(planner_load_model(&p, NULL, &m, &err), DLVK_UNSUPPORTED);
    cr_assert(strstr(err.text, "'no_such_function'"), "%s", err.text);
    cr_assert_null(m);
    planner_free(&p);
}
