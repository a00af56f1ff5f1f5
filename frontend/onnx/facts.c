/* What facts.def and attributes.def say of ONNX's operators, and the list for users of those that ops.def supports. */
#include "frontend/onnx/importer.h"
#include <limits.h>
#include <string.h>

#define AI      ""
#define ML      "ai.onnx.ml"
#define MS      "com.microsoft"
#define PREVIEW "ai.onnx.preview"
#define TRAIN   "ai.onnx.preview.training"

#define DEVICE   "device"
#define HOST     "host"
#define COMPILER "compiler"
#define ANY      INT_MAX
static const OnnxFacts facts[] = {
#define FACTS(domain, name, versions, types, where, differentiable, least, most)                                                 \
    {{domain, #name, versions, types, where, differentiable}, least, most},
#include "frontend/onnx/facts.def"
};

const OnnxFacts *onnx_facts(const char *domain, const char *op)
{
    for (size_t i = 0; i < sizeof facts / sizeof *facts; i++)
        if (!strcmp(facts[i].info.name, op) && !strcmp(facts[i].info.domain, domain)) return &facts[i];
    return NULL;
}

const char *onnx_attribute_names(const char *domain, const char *op)
{
    static const struct {
        const char *domain, *name, *names;
    } rows[] = {
#define ATTRIBUTES(domain, name, names) {domain, #name, names},
#include "frontend/onnx/attributes.def"
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (!strcmp(rows[i].name, op) && !strcmp(rows[i].domain, domain)) return rows[i].names;
    return strcmp(domain, MS) ? "" : NULL;
}

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
        if (is_supported(&facts[k].info) && i-- == 0) {
            *info = facts[k].info;
            return true;
        }
    return false;
}
