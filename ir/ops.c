/* The op table and the names of kinds and attributes, from ir/ops.def and the lists in ir/ir.h. */
#include "ir/ir.h"

#include <string.h>

const OpInfo op_info[OP_COUNT] = {
#define POINT(id, name, arity, takes, rule, glsl_f, glsl_i, c_f, c_i)                                                            \
    [OP_##id] = {#name, arity, 1, true, TAKES_##takes, RULE_##rule, glsl_f, glsl_i},
#define STRUCT(id, name, n_in, n_out) [OP_##id] = {#name, n_in, n_out, false, 0, RULE_NONE, "", ""},
#include "ir/ops.def"
};

const char *const kind_name[KIND_COUNT] = {
    [KIND_SUM] = "sum", [KIND_PROD] = "prod", [KIND_MAX] = "max", [KIND_MIN] = "min",
    [KIND_AND] = "and", [KIND_OR] = "or",     [KIND_SET] = "set",
};

#define IR_ATTR_NAME(id, name, type) [A_##id] = name,
#define IR_ATTR_TYPE(id, name, type) [A_##id] = ATTR_##type,
const char *const attr_name[A_COUNT] = {IR_ATTRS(IR_ATTR_NAME)};
const AttrType attr_type[A_COUNT] = {IR_ATTRS(IR_ATTR_TYPE)};

bool op_parse(const char *name, Op *op)
{
    for (int i = 0; i < OP_COUNT; i++) {
        if (strcmp(op_info[i].name, name) == 0) {
            *op = (Op)i;
            return true;
        }
    }
    return false;
}
