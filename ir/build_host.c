/* Host functions and string constants; see build.h. */
#include "ir/build.h"

#include <string.h>

bool build_host(Build *b, const char *name, const char *text, int n_in, Value *const *in, int n_out, const Type *types,
                Value **out)
{
    Context *c = b->ctx;
    int64_t *dtypes = POOL_ARRAY(c->pool, int64_t, n_out), *ranks = POOL_ARRAY(c->pool, int64_t, n_out);
    VEC(const Dim *) shape = {0}, fresh = {0};
    for (int i = 0; i < n_in; i++)
        if (!in[i]) return false;
    for (int i = 0; i < n_out; i++) {
        dtypes[i] = types[i].dtype;
        ranks[i] = types[i].rank;
        for (int d = 0; d < types[i].rank; d++) {
            const Dim *size = types[i].dim[d];
            if (!size) *VEC_PUSH(c->pool, fresh) = size = dim_fresh(&c->dims, "size", NULL, true);
            *VEC_PUSH(c->pool, shape) = size;
        }
    }
    Attr attr[] = {{.id = A_NAME, .str = name},    {.id = A_TEXT, .str = text},         at_ints(A_DTYPES, n_out, dtypes),
                   at_ints(A_RANKS, n_out, ranks), at_dims(A_SHAPE, shape.n, shape.at), at_dims(A_VALUES, fresh.n, fresh.at)};
    Node *n = build_node(b, OP_HOST, n_in, in, 6, attr, 0, NULL);
    for (int i = 0; n && i < n_out; i++) out[i] = n->out[i];
    return n != NULL;
}

Value *build_str(Build *b, const char *s)
{
    Str *data = POOL_NEW(b->ctx->pool, Str);
    *data = (Str){pool_strdup(b->ctx->pool, s), strlen(s)};
    return build_const(b, tensor_new(b->ctx->pool, DLVK_STRING, 0, NULL, data));
}
