/* The list of operators for users is as long as the table that the importer goes by. */
#include "dlvk/compiler.h"
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#define AI      ""
#define ML      "ai.onnx.ml"
#define MS      "com.microsoft"
#define PREVIEW "ai.onnx.preview"
#define TRAIN   "ai.onnx.preview.training"
static const struct {
    const char *domain, *name;
    int since;
} rows[] = {
#define ONNX(domain, name, since, lower, arg) {domain, #name, since},
#include "frontend/onnx/ops.def"
};

static bool find(const char *domain, const char *name, dlvk_operator_info *o)
{
    for (int i = 0; dlvk_operator(i, o); i++)
        if (!strcmp(o->domain, domain) && !strcmp(o->name, name)) return true;
    return false;
}

/* A row may speak for opsets from its `since` on only if ONNX had the operator by then. */
Test(facts, every_operator_has_its_facts)
{
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        dlvk_operator_info o;
        cr_expect(find(rows[i].domain, rows[i].name, &o), "%s has no row in facts.def", rows[i].name);
        cr_expect(rows[i].since >= atoi(o.versions), "%s: since %d, but ONNX has it from %s on", rows[i].name, rows[i].since,
                  o.versions);
    }
}

Test(facts, there_is_an_end)
{
    dlvk_operator_info o;
    int n = 0;
    while (dlvk_operator(n, &o)) n++;
    cr_expect(n > 200 && !dlvk_operator(n, &o) && !dlvk_operator(-1, &o));
}
