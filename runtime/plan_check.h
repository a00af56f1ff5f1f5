/* Is a plan sound? After rt_plan_check, every index in it may be used without looking. */
#ifndef DLVK_RUNTIME_PLAN_CHECK_H
#define DLVK_RUNTIME_PLAN_CHECK_H

#include "dlvk/types.h"
#include "plan.pb-c.h"

#define PLAN_MAX_DEPTH 32 /* of regions in regions */

/* Refuses wire data nested so deeply that unpacking it would exhaust the stack; call before unpacking. */
dlvk_status rt_plan_check_wire(const void *data, size_t size, dlvk_error *err);
/* blob_bytes: the size of the bundle's blob section. */
dlvk_status rt_plan_check(const Dlvk__Plan__Plan *plan, uint64_t blob_bytes, dlvk_error *err);
/* Steps in a region, its inner regions included. */
uint32_t rt_plan_steps(const Dlvk__Plan__Region *region);
/* The arguments that a variant of a dispatch takes, and their bytes. */
typedef struct Arguments {
    Dlvk__Plan__Arg **at;
    size_t n;
} Arguments;
Arguments rt_plan_args(const Dlvk__Plan__Dispatch *d, const Dlvk__Plan__Variant *v);
uint32_t rt_plan_arg_bytes(Arguments a);

#endif
