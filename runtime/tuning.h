/* Reading tuning files; see tuning.c. */
#ifndef DLVK_RUNTIME_TUNING_H
#define DLVK_RUNTIME_TUNING_H

#include "dlvk/types.h"
#include "plan.pb-c.h"

/* *t is freed with dlvk__plan__tunings__free_unpacked(). */
dlvk_status rt_tunings_read(const void *data, size_t size, Dlvk__Plan__Tunings **t, dlvk_error *err);

#endif
