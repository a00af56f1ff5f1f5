/* Sequences and optionals in a plan's signature: what the model says of them, and signatures that do not fit the plan. */
#include "tests/runtime/planner.h"
#include <stdlib.h>
#include <string.h>

typedef struct Case {
    Planner p;
    Dlvk__Plan__Formal formal[3], *list[3];
} Case;

/* Inputs x[0], x[1] and y, output x[0]; formals: a sequence, a tensor, an optional without a value. */
static void case_init(Case *c)
{
    planner_init(&c->p);
    uint32_t four = planner_const(&c->p, 4), first = 0;
    static const char *const names[] = {"x[0]", "x[1]", "y"};
    for (int i = 0; i < 3; i++) {
        uint32_t b = planner_buffer(&c->p, BUF(INPUT), four, 0, 0);
        if (!i) first = b;
        planner_input(&c->p, names[i], DLVK_U8, b, 1, &four);
    }
    planner_output(&c->p, "out", DLVK_U8, first, 1, &four);
    static char *const formal_names[] = {"x", "y", "z"};
    static const uint32_t firsts[] = {0, 2, 3}, counts[] = {2, 1, 0};
    static const int kinds[] = {DLVK_VALUE_SEQUENCE, DLVK_VALUE_TENSOR, DLVK_VALUE_NONE};
    for (int i = 0; i < 3; i++) {
        dlvk__plan__formal__init(&c->formal[i]);
        c->formal[i].name = formal_names[i];
        c->formal[i].kind = (Dlvk__Plan__Formal__Kind)kinds[i];
        c->formal[i].first = firsts[i];
        c->formal[i].count = counts[i];
        c->list[i] = &c->formal[i];
    }
    c->p.plan.n_formal_input = 3;
    c->p.plan.formal_input = c->list;
}

static void case_free(Case *c)
{
    c->p.plan.n_formal_input = 0;
    c->p.plan.formal_input = NULL;
    planner_free(&c->p);
}

Test(signature, says_what_belongs_together)
{
    Case c;
    case_init(&c);
    Loaded l = planner_load(&c.p);
    dlvk_value_info v;
    cr_assert_eq(dlvk_model_input_values(l.m), 3);
    OK(dlvk_model_input_value(l.m, 0, &v));
    cr_assert(v.kind == DLVK_VALUE_SEQUENCE && v.first == 0 && v.n == 2 && strcmp(v.name, "x") == 0);
    OK(dlvk_model_input_value(l.m, 2, &v));
    cr_assert(v.kind == DLVK_VALUE_NONE && v.n == 0);
    cr_assert_eq(dlvk_model_input_value(l.m, 3, &v), DLVK_INVALID_ARGUMENT);
    cr_assert_eq(dlvk_model_output_values(l.m), 1, "outputs without a record are tensors");
    OK(dlvk_model_output_value(l.m, 0, &v));
    cr_assert(v.kind == DLVK_VALUE_TENSOR && v.first == 0 && v.n == 1 && strcmp(v.name, "out") == 0);
    c.p.plan.n_formal_input = 0;
    planner_unload(l, &c.p);
}

Test(signature, that_does_not_fit_is_refused)
{
    for (int k = 0; k < 7; k++) {
        Case c;
        case_init(&c);
        switch (k) {
        case 0: c.formal[0].first = 1; break;
        case 1: c.formal[0].count = UINT32_MAX; break;
        case 2: c.formal[1].count = 2; break; /* a tensor is one */
        case 3: c.formal[2].count = 1; break; /* nothing is none */
        case 4: c.formal[2].kind = (Dlvk__Plan__Formal__Kind)7; break;
        case 5: c.p.plan.n_formal_input = 1; break; /* y belongs to none */
        case 6: c.p.plan.output[0]->chance = 3; break;
        }
        void *bundle;
        size_t size;
        dlvk_model *m = NULL;
        dlvk_error err = {""};
        planner_write(&c.p, &bundle, &size);
        cr_assert_eq(dlvk_model_load_memory(test_device(), bundle, size, NULL, &m, &err), DLVK_BAD_FILE, "case %d: %s", k,
                     err.text);
        cr_assert(strstr(err.text, k < 6 ? "signature" : "random in no way"), "case %d: %s", k, err.text);
        free(bundle);
        case_free(&c);
    }
    dlvk_device_close(test_device());
}
