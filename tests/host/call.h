/* Calling functions of libdlvk-host as the runtime does. */
#ifndef DLVK_TESTS_HOST_CALL_H
#define DLVK_TESTS_HOST_CALL_H

#include "dlvk/host.h"

typedef struct TestCall {
    dlvk_host_call call; /* first */
    dlvk_host_array in[4], out[2];
    void *memory;
    size_t taken, limit; /* bytes; more than the limit there are not (0: any number) */
    dlvk_error err;
} TestCall;

/* Runs the function on c->call.n_in operands; out[] needs type and rank. The test is skipped where libdlvk-host lacks it. */
dlvk_status host_run(TestCall *c, const char *name, const char *text);
void host_free(TestCall *c);

#endif
