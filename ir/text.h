/* The text form, from inside: what printer, parser and verifier share. The grammar is at the head of ir/parse.c. */
#ifndef DLVK_IR_TEXT_H
#define DLVK_IR_TEXT_H

#include "ir/ir.h"

/* A hash of a tensor's type and contents: what stands for a large tensor in the text. */
uint64_t tensor_digest(const Tensor *t);
/* graph_print with remarks: note(user, n), if not NULL, is printed as a comment under node n. */
void graph_print_noted(FILE *f, const Graph *g, int64_t max_elems, const char *(*note)(void *user, const Node *n), void *user);
/* graph_parse where digests are resolved among the constants of `like` (whose data is shared). */
Graph *graph_parse_like(Context *ctx, const char *text, const Graph *like);

#endif
