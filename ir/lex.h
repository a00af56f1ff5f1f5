/* Reading the text form, below the grammar: tokens, strings, numbers, lists, types and tensors. */
#ifndef DLVK_IR_LEX_H
#define DLVK_IR_LEX_H

#include "ir/text.h"

typedef struct Lexer {
    Context *ctx;
    const Graph *like; /* where digests are looked up, or NULL */
    const char *text, *s, *end;
    bool failed;
    VEC(const Tensor *) known; /* constants of `like`, gathered at the first digest */
    VEC(uint64_t) digests;
} Lexer;

/* What returns bool or a pointer is false or NULL after an error, which is recorded, with its line, unless one was before. */
bool lex_fail(Lexer *l, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
int lex_line(const Lexer *l);
char lex_peek(Lexer *l); /* the next character that is neither space nor comment; '\0' at the end */
bool lex_accept(Lexer *l, char c);
bool lex_expect(Lexer *l, char c);
bool lex_accept_word(Lexer *l, const char *word);
const char *lex_word(Lexer *l, const char *what);
bool lex_str(Lexer *l, Str *out);
const char *lex_string(Lexer *l);
bool lex_int(Lexer *l, int64_t *v);
bool lex_ints(Lexer *l, int *n, const int64_t **out);
bool lex_dim(Lexer *l, const Dim **d);
bool lex_dims(Lexer *l, int *n, const Dim *const **out);
bool lex_dtype(Lexer *l, DType *t);
bool lex_type(Lexer *l, Type *t);
bool lex_tensor(Lexer *l, const Tensor **out);

#endif
