/* The commands of dlvkc, one file each. */
#ifndef DLVK_TOOLS_COMMANDS_H
#define DLVK_TOOLS_COMMANDS_H

#include "tools/dlvkc.h"

extern const Command command_compile, command_run, command_test, command_grad, command_bench, command_inspect, command_unpack,
    command_devices, command_zoo, command_operators, command_classify, command_train, command_tune;

#endif
