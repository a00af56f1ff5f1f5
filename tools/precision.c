/* The options about precision, which several commands share. */
#include "tools/dlvkc.h"

#include <string.h>

static const struct {
    const char *name;
    dlvk_dtype type;
    double tolerance;
} precisions[] = {{"f32", DLVK_F32, 0}, {"f16", DLVK_F16, 1e-2}, {"bf16", DLVK_BF16, 8e-2}};

static int find(const PrecisionArgs *p)
{
    for (int i = 0; i < 3; i++)
        if (p && p->name && !strcmp(p->name, precisions[i].name)) return i;
    return p && p->name ? -1 : 0;
}

dlvk_status precision_set(const PrecisionArgs *p, dlvk_compile_options *o, dlvk_error *err)
{
    int i = find(p);
    if (i < 0) {
        snprintf(err->text, sizeof err->text, "--precision takes f32, f16 or bf16, not '%s'", p->name);
        return DLVK_INVALID_ARGUMENT;
    }
    o->precision = precisions[i].type;
    if (p) {
        o->keep_f32 = p->keep.at;
        o->n_keep_f32 = p->keep.n;
        o->print_policy = p->print;
    }
    return DLVK_OK;
}

double precision_tolerance(const PrecisionArgs *p)
{
    int i = find(p);
    return i < 0 ? 0 : precisions[i].tolerance;
}
