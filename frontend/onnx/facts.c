/* The list of ONNX operators for users: what ops.def supports, with what facts.def says of it. */
#include "dlvk/compiler.h"
#include <string.h>

#define AI      ""
#define ML      "ai.onnx.ml"
#define MS      "com.microsoft"
#define PREVIEW "ai.onnx.preview"
#define TRAIN   "ai.onnx.preview.training"

#define DEVICE   "device"
#define HOST     "host"
#define COMPILER "compiler"
static const dlvk_operator_info facts[] = {
#define FACTS(domain, name, versions, types, where, differentiable, least, most)                                                 \
    {domain, #name, versions, types, where, differentiable},
#include "frontend/onnx/facts.def"
};

static bool is_supported(const dlvk_operator_info *f)
{
    static const struct {
        const char *domain, *name;
    } rows[] = {
#define ONNX(domain, name, since, lower, arg) {domain, #name},
#include "frontend/onnx/ops.def"
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (!strcmp(rows[i].domain, f->domain) && !strcmp(rows[i].name, f->name)) return true;
    return false;
}

bool dlvk_operator(int i, dlvk_operator_info *info)
{
    for (size_t k = 0; k < sizeof facts / sizeof *facts; k++)
        if (is_supported(&facts[k]) && i-- == 0) {
            *info = facts[k];
            return true;
        }
    return false;
}
