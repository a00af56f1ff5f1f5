/* Strings as numbers. On a device a string is a handle: its place in a table that the host keeps. Equal strings have equal
 * handles, so that kernels move and compare them as they do integers. Handle 0 is the empty string. */
#ifndef DLVK_RUNTIME_STRINGS_H
#define DLVK_RUNTIME_STRINGS_H

#include "dlvk/types.h"

enum { STRING_HANDLE_BYTES = 4 };
#define STRING_NONE UINT32_MAX /* out of memory */

typedef struct StringTable {
    dlvk_string *at; /* texts belong to who interned them, and must stay */
    uint32_t n, cap;
    uint32_t *slot; /* open addressing: handles; STRING_NONE: free */
    uint32_t slots;
    /* As realloc, the old size given as well; NULL: realloc and free. */
    void *(*resize)(void *user, void *old, size_t from, size_t to);
    void *user;
} StringTable;

/* The handle of s, which is added where it is not there yet. */
uint32_t strings_intern(StringTable *t, dlvk_string s);
void strings_truncate(StringTable *t, uint32_t n); /* forgets all handles from n on */
void strings_free(StringTable *t);                 /* of a table without `resize` */

#endif
