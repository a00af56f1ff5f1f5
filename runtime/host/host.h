/* libdlvk-host, from inside: what its functions share. */
#ifndef DLVK_HOST_HOST_H
#define DLVK_HOST_HOST_H

#include "dlvk/host.h"

/* Every function of the library: X(name in plans, function). Those that need a library are there where it was when this one was
 * built. */
#define HOST_STRING_OPS(X) X(string_concat) X(string_split) X(string_normalize) X(string_rank) X(string_parse) X(number_print)
#ifdef DLVK_HOST_RE2
#define HOST_REGEX_OPS(X) X(regex_full_match)
#else
#define HOST_REGEX_OPS(X)
#endif
#define HOST_OPS(X) HOST_STRING_OPS(X) HOST_REGEX_OPS(X) X(image_decode)

#ifdef __cplusplus
extern "C" {
#endif

#define HOST_DECLARE(name) dlvk_status host_##name(dlvk_host_call *c);
HOST_OPS(HOST_DECLARE)

/* Writes the message and returns the status. */
dlvk_status host_fail(dlvk_host_call *c, dlvk_status status, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
dlvk_status host_no_memory(dlvk_host_call *c);
/* Memory for `count` elements; NULL where there is none, or not that much. */
void *host_array(dlvk_host_call *c, size_t count, size_t size);
int64_t host_count(const dlvk_host_array *a);
/* Gives result i the shape of `like`, and memory for its elements, of `size` bytes each; NULL when out of memory, or of another
 * rank. */
void *host_result(dlvk_host_call *c, int i, const dlvk_host_array *like, size_t size);
static inline const dlvk_string *host_strings(const dlvk_host_array *a)
{
    return (const dlvk_string *)a->data;
}
/* Are there so many operands and results, with these types (DLVK_DTYPE_COUNT: any)? */
bool host_signature(const dlvk_host_call *c, int n_in, const dlvk_dtype *in, int n_out, const dlvk_dtype *out);

#ifdef __cplusplus
}
#endif
#endif
