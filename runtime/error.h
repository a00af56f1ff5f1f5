/* Filling a dlvk_error. */
#ifndef DLVK_RUNTIME_ERROR_H
#define DLVK_RUNTIME_ERROR_H

#include "dlvk/types.h"

/* Writes the message (cut with "..." where it does not fit; err may be NULL) and returns `status`, so that a failing
 * function ends in `return rt_error(err, DLVK_..., "...")`. */
dlvk_status rt_error(dlvk_error *err, dlvk_status status, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/* Appends to the message, on a new line. */
void rt_error_more(dlvk_error *err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#endif
