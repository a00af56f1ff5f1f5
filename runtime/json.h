/* Writing JSON to a stream. */
#ifndef DLVK_RUNTIME_JSON_H
#define DLVK_RUNTIME_JSON_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

typedef struct Json {
    FILE *f;
    int depth;
    bool more; /* the next value needs a comma */
    bool flat; /* on one line */
} Json;

/* key NULL: an element of an array. */
void json_open(Json *j, const char *key, char bracket); /* '{' or '[' */
void json_close(Json *j, char bracket);                 /* '}' or ']' */
void json_string(Json *j, const char *key, const char *text);
void json_int(Json *j, const char *key, int64_t v);
void json_bool(Json *j, const char *key, bool v);

#endif
