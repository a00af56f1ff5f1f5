/* dlvkc operators: the ONNX operators that models may use; docs/operators.md is its output. */
#include "tools/commands.h"

#include <stdlib.h>
#include <string.h>
#include <yyjson.h>

static const char *domain_name(const dlvk_operator_info *o)
{
    return *o->domain ? o->domain : "ai.onnx";
}

static void print_text(void)
{
    dlvk_operator_info o;
    for (int i = 0; dlvk_operator(i, &o); i++)
        printf("%-26s %-24s %-8s %-4s %s (%s)\n", o.name, domain_name(&o), o.where, o.differentiable ? "grad" : "", o.types,
               o.versions);
}

static void print_markdown(void)
{
    dlvk_operator_info o, before = {0};
    int n = 0;
    while (dlvk_operator(n, &o)) n++;
    printf(
        "# Operators\n\n"
        "Written by `dlvkc operators --markdown`: the %d ONNX operators that models may use, up to opset 28 of ONNX 1.23. "
        "Functions of a\n"
        "model, and operators that it defines by them, are imported by their bodies.\n\n"
        "- *Versions*: the opsets that changed the operator; each is honoured as it was.\n"
        "- *Types* of the data: floats (f16 bf16 f32 f64), integers (i8 i16 i32 i64 u8 u16 u32 u64) or those that are signed or "
        "unsigned,\n"
        "  float8 (f8e4m3fn f8e4m3fnuz f8e5m2 f8e5m2fnuz), narrow (i2 u2 i4 u4 f4e2m1 f8e8m0), bool, string.\n"
        "- *Runs on*: the device; the host, as a step of the plan that `dlvkc inspect` shows; or nowhere: the compiler leaves "
        "nothing of it.\n"
        "- *Gradient*: whether gradients pass through it, with respect to its float operands ([gradients.md](gradients.md)).\n",
        n);
    for (int i = 0; dlvk_operator(i, &o); i++) {
        if (!before.domain || strcmp(before.domain, o.domain) != 0)
            printf("\n## %s\n\n| operator | versions | types | runs on | gradient |\n| --- | --- | --- | --- | --- |\n",
                   domain_name(&o));
        printf("| %s | %s | %s | %s | %s |\n", o.name, o.versions, o.types, o.where, o.differentiable ? "yes" : "");
        before = o;
    }
}

static bool print_json(void)
{
    yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
    yyjson_mut_val *root = yyjson_mut_arr(doc);
    yyjson_mut_doc_set_root(doc, root);
    dlvk_operator_info o;
    for (int i = 0; dlvk_operator(i, &o); i++) {
        yyjson_mut_val *v = yyjson_mut_arr_add_obj(doc, root), *versions = yyjson_mut_arr(doc);
        yyjson_mut_obj_add_str(doc, v, "domain", domain_name(&o));
        yyjson_mut_obj_add_str(doc, v, "name", o.name);
        for (char *p = (char *)o.versions; *p;) yyjson_mut_arr_add_int(doc, versions, strtol(p, &p, 10));
        yyjson_mut_obj_add_val(doc, v, "versions", versions);
        yyjson_mut_obj_add_str(doc, v, "types", o.types);
        yyjson_mut_obj_add_str(doc, v, "where", o.where);
        yyjson_mut_obj_add_bool(doc, v, "differentiable", o.differentiable);
    }
    char *text = json_text(doc);
    if (text) puts(text);
    free(text);
    return text != NULL;
}

static int run(const Command *self, int argc, char **argv)
{
    bool markdown = false, json = false;
    const Opt opts[] = {
        {"markdown", OPT_FLAG, NULL, &markdown, "as a page: docs/operators.md"},
        {"json", OPT_FLAG, NULL, &json, "as a list of {domain, name, versions, types, where, differentiable}"},
        OPT_END,
    };
    StrList words = {0};
    int code;
    bool ok = args_parse(self, opts, argc, argv, &words, &code);
    if (ok && !args_words(self, &words, 0, 0, "")) ok = false, code = EXIT_BAD;
    list_free(&words);
    if (!ok) return code;
    if (json) return print_json() ? EXIT_OK : EXIT_BAD;
    (markdown ? print_markdown : print_text)();
    return EXIT_OK;
}

const Command command_operators = {
    "operators", "[--markdown | --json]", "list the ONNX operators that models may use", run,
    "Lists every ONNX operator that is supported: its opsets, the types of its data, whether it runs on\n"
    "the device or on the host, and whether gradients pass through it.\n\n"
    "  dlvkc operators | grep Attention\n"
    "  dlvkc operators --markdown > docs/operators.md\n"};
