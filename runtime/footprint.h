/* What a plan takes of device memory: a pure function, so that the compiler and tools predict what a session allocates. */
#ifndef DLVK_RUNTIME_FOOTPRINT_H
#define DLVK_RUNTIME_FOOTPRINT_H

#include "dlvk/runtime.h"
#include "runtime/arena.h"
#include "runtime/expr.h"

/* The planned fields of *mem (planned_arena, planned, limit, unlimited) for the sizes that the environment knows; buffers of
 * data-dependent size are left out. */
dlvk_status rt_footprint(const Env *e, dlvk_memory *mem, dlvk_error *err);
/* The same for sizes by name. Those that are not named, and have no entry for all others, are an error if an input has them. */
dlvk_status rt_footprint_at(const Dlvk__Plan__Plan *p, const dlvk_symbol_size *sizes, int n, dlvk_memory *mem, dlvk_error *err);
/* An ARENA buffer of so many bytes, as arena_pack() takes it. */
ArenaItem rt_arena_item(const Dlvk__Plan__Buffer *b, uint64_t size);
/* owner[i]: for every constant, the buffer whose memory it shares: itself, or an earlier one of the same bytes. */
void rt_constant_owners(const Dlvk__Plan__Plan *p, uint32_t *owner, uint32_t *of_blob);
/* An error where a buffer of so many bytes holds more elements than kernels can count. */
dlvk_status rt_check_elements(const Dlvk__Plan__Buffer *b, uint64_t bytes, dlvk_error *err);
/* An error where the plan has a limit that these sizes exceed. */
dlvk_status rt_footprint_check(const Dlvk__Plan__Plan *p, const dlvk_memory *mem, dlvk_error *err);

#endif
