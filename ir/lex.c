/* Tokens and leaves of the text form. */
#include "ir/lex.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

int lex_line(const Lexer *l)
{
    int line = 1;
    for (const char *s = l->text; s < l->s; s++) line += *s == '\n';
    return line;
}

bool lex_fail(Lexer *l, const char *fmt, ...)
{
    if (l->failed) return false;
    va_list ap;
    va_start(ap, fmt);
    diag_error(&l->ctx->diag, DLVK_BAD_FILE, "line %d: %s", lex_line(l), pool_vprintf(l->ctx->pool, fmt, ap));
    va_end(ap);
    l->failed = true;
    return false;
}

char lex_peek(Lexer *l)
{
    for (;;) {
        while (isspace((unsigned char)*l->s)) l->s++;
        if (l->s[0] != '/' || l->s[1] != '/') return *l->s;
        l->s += strcspn(l->s, "\n");
    }
}

bool lex_accept(Lexer *l, char c)
{
    if (lex_peek(l) != c) return false;
    l->s++;
    return true;
}

bool lex_expect(Lexer *l, char c)
{
    if (lex_accept(l, c)) return true;
    return *l->s ? lex_fail(l, "expected '%c' before '%.*s'", c, (int)strcspn(l->s, "\n") < 20 ? (int)strcspn(l->s, "\n") : 20,
                            l->s)
                 : lex_fail(l, "expected '%c' before the end", c);
}

static bool is_word(char c)
{
    return isalnum((unsigned char)c) || c == '_' || c == '.';
}

bool lex_accept_word(Lexer *l, const char *word)
{
    size_t n = strlen(word);
    lex_peek(l);
    if (strncmp(l->s, word, n) != 0 || is_word(l->s[n])) return false;
    l->s += n;
    return true;
}

const char *lex_word(Lexer *l, const char *what)
{
    lex_peek(l);
    size_t n = 0;
    while (is_word(l->s[n])) n++;
    if (n == 0) {
        lex_fail(l, "expected %s", what);
        return NULL;
    }
    char *w = pool_dup(l->ctx->pool, l->s, n + 1);
    w[n] = '\0';
    l->s += n;
    return w;
}

bool lex_str(Lexer *l, Str *out)
{
    if (!lex_expect(l, '"')) return false;
    const char *end = l->s;
    while (*end && *end != '"') end += *end == '\\' && end[1] ? 2 : 1;
    if (!*end) return lex_fail(l, "a string does not end");
    char *r = pool_alloc(l->ctx->pool, (size_t)(end - l->s) + 1);
    size_t n = 0;
    while (l->s < end) {
        char c = *l->s++;
        if (c == '\\') {
            c = *l->s++;
            if (c == 'n') c = '\n';
            if (c == 'x') {
                unsigned byte;
                if (sscanf(l->s, "%2x", &byte) != 1 || !isxdigit((unsigned char)l->s[1]))
                    return lex_fail(l, "'\\x' takes two hexadecimal digits");
                c = (char)byte;
                l->s += 2;
            }
        }
        r[n++] = c;
    }
    l->s = end + 1;
    *out = (Str){r, n};
    return true;
}

const char *lex_string(Lexer *l)
{
    Str s;
    if (!lex_str(l, &s)) return NULL;
    if (strlen(s.at) == s.len) return s.at;
    lex_fail(l, "a name holds a zero byte");
    return NULL;
}

bool lex_int(Lexer *l, int64_t *v)
{
    lex_peek(l);
    char *end;
    errno = 0;
    *v = strtoll(l->s, &end, 10);
    if (end == l->s || errno) return lex_fail(l, errno ? "a number does not fit 64 bits" : "expected a number");
    l->s = end;
    return true;
}

bool lex_dim(Lexer *l, const Dim **d)
{
    lex_peek(l);
    *d = dim_parse(&l->ctx->dims, &l->s);
    return *d || lex_fail(l, "expected a dimension expression");
}

bool lex_ints(Lexer *l, int *n, const int64_t **out)
{
    VEC(int64_t) v = {0};
    if (!lex_expect(l, '[')) return false;
    if (!lex_accept(l, ']')) {
        do {
            if (!lex_int(l, VEC_PUSH(l->ctx->pool, v))) return false;
        } while (lex_accept(l, ','));
        if (!lex_expect(l, ']')) return false;
    }
    *n = v.n;
    *out = v.at;
    return true;
}

bool lex_dims(Lexer *l, int *n, const Dim *const **out)
{
    VEC(const Dim *) v = {0};
    if (!lex_expect(l, '[')) return false;
    if (!lex_accept(l, ']')) {
        do {
            if (!lex_dim(l, VEC_PUSH(l->ctx->pool, v))) return false;
        } while (lex_accept(l, ','));
        if (!lex_expect(l, ']')) return false;
    }
    *n = v.n;
    *out = v.at;
    return true;
}

bool lex_dtype(Lexer *l, DType *t)
{
    const char *w = lex_word(l, "an element type");
    return w && (dtype_parse(w, t) || lex_fail(l, "'%s' is no element type", w));
}

bool lex_type(Lexer *l, Type *t)
{
    if (!lex_dtype(l, &t->dtype) || !lex_dims(l, &t->rank, &t->dim)) return false;
    return t->rank <= DLVK_MAX_RANK || lex_fail(l, "rank %d is above the limit of %d", t->rank, DLVK_MAX_RANK);
}

/* ---- tensors -------------------------------------------------------------------------------------------------------- */

static void gather_known(Lexer *l, const Region *r)
{
    for (int i = 0; i < r->nodes.n; i++) {
        const Node *n = r->nodes.at[i];
        for (int k = 0; k < n->n_attr; k++) {
            if (attr_type[n->attr[k].id] != ATTR_TENSOR) continue;
            *VEC_PUSH(l->ctx->pool, l->known) = n->attr[k].tensor;
            *VEC_PUSH(l->ctx->pool, l->digests) = tensor_digest(n->attr[k].tensor);
        }
        for (int k = 0; k < n->n_region; k++) gather_known(l, n->region_at[k]);
    }
}

static bool parse_digest(Lexer *l, const Tensor **out)
{
    char *end;
    lex_peek(l);
    uint64_t digest = strtoull(l->s, &end, 16);
    if (end == l->s) return lex_fail(l, "expected a hexadecimal number");
    if (!l->like) return lex_fail(l, "a digest stands for a tensor's contents, which are not in the text");
    if (!l->known.n) gather_known(l, l->like->top);
    for (int i = 0; i < l->known.n; i++) {
        if (l->digests.at[i] != digest) continue;
        l->s = end;
        *out = l->known.at[i];
        return true;
    }
    return lex_fail(l, "no tensor has the digest %.*s", (int)(end - l->s), l->s);
}

static bool parse_elem(Lexer *l, DType t, void *data, int64_t i)
{
    char *end = NULL;
    errno = 0;
    lex_peek(l);
    switch (dtype_class(t)) {
    case DC_STRING: return lex_str(l, &((Str *)data)[i]);
    case DC_FLOAT:
        if (lex_accept_word(l, "bits")) {
            size_t width = (size_t)dtype_bits(t) / 8;
            uint64_t bits = strtoull(l->s, &end, 16);
            memcpy((char *)data + (size_t)i * width, &bits, width);
        } else {
            elem_set_f(t, data, i, strtod(l->s, &end));
            errno = 0; /* underflow and overflow are values */
        }
        break;
    case DC_UINT: elem_set_i(t, data, i, (int64_t)strtoull(l->s, &end, 10)); break;
    default: elem_set_i(t, data, i, strtoll(l->s, &end, 10)); break;
    }
    if (end == l->s || errno) return lex_fail(l, "expected a number of type %s", dtype_name(t));
    l->s = end;
    return true;
}

bool lex_tensor(Lexer *l, const Tensor **out)
{
    DType dtype;
    int rank;
    const int64_t *dim;
    int64_t count = 1;
    if (!lex_dtype(l, &dtype) || !lex_ints(l, &rank, &dim)) return false;
    if (rank > DLVK_MAX_RANK) return lex_fail(l, "rank %d is above the limit of %d", rank, DLVK_MAX_RANK);
    for (int i = 0; i < rank; i++)
        if (dim[i] < 0 || __builtin_mul_overflow(count, dim[i], &count) || count > INT64_MAX / 64)
            return lex_fail(l, "not the size of a tensor");
    bool splat = lex_accept_word(l, "splat");
    if (lex_accept_word(l, "digest")) return parse_digest(l, out);
    int64_t stored = splat ? 1 : count;
    if (!lex_expect(l, '{')) return false;
    if (stored > l->end - l->s) return lex_fail(l, "a tensor of %lld elements is not in the text", (long long)count);
    size_t bytes = dtype == DLVK_STRING ? (size_t)stored * sizeof(Str) : (size_t)dtype_bytes(dtype, stored);
    void *data = pool_alloc(l->ctx->pool, bytes);
    for (int64_t i = 0; i < stored; i++)
        if ((i && !lex_expect(l, ',')) || !parse_elem(l, dtype, data, i)) return false;
    if (!lex_expect(l, '}')) return false;
    Tensor shape = *tensor_new(l->ctx->pool, dtype, rank, dim, data);
    shape.splat = splat;
    shape.bytes = bytes;
    *out = pool_dup(l->ctx->pool, &shape, sizeof shape);
    return true;
}
