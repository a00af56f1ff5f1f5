/* Sharing of equal nodes: a hash table over op, operands and attributes. Constants count as equal by content when small, by
 * identity of their data when not. */
#include "ir/build_internal.h"

#include <string.h>

enum { SMALL_CONST = 4096 };

struct CseTable {
    Pool *pool;
    Node **slots;
    uint32_t *hashes;
    uint32_t n, cap; /* cap: a power of two */
};

CseTable *cse_new(Context *c)
{
    CseTable *t = POOL_NEW(c->pool, CseTable);
    t->pool = c->pool;
    t->cap = 256;
    t->slots = POOL_ARRAY(c->pool, Node *, t->cap);
    t->hashes = POOL_ARRAY(c->pool, uint32_t, t->cap);
    return t;
}

static uint32_t mix(uint32_t h, const void *data, size_t n)
{
    const unsigned char *s = data;
    for (size_t i = 0; i < n; i++) h = (h ^ s[i]) * 16777619u; /* FNV-1a */
    return h;
}

static uint32_t hash_tensor(uint32_t h, const Tensor *t)
{
    int shape[] = {(int)t->dtype, t->rank, t->splat};
    h = mix(h, shape, sizeof shape);
    h = mix(h, t->dim, (size_t)t->rank * sizeof *t->dim);
    if (t->bytes <= SMALL_CONST && t->dtype != DLVK_STRING) return mix(h, t->data, t->bytes);
    return mix(h, &t->data, sizeof t->data);
}

static bool same_tensor(const Tensor *a, const Tensor *b)
{
    if (a == b) return true;
    if (a->dtype != b->dtype || a->rank != b->rank || a->splat != b->splat || a->bytes != b->bytes) return false;
    if (a->rank && memcmp(a->dim, b->dim, (size_t)a->rank * sizeof *a->dim) != 0) return false;
    if (a->data == b->data) return true;
    return a->bytes <= SMALL_CONST && a->dtype != DLVK_STRING && memcmp(a->data, b->data, a->bytes) == 0;
}

static uint32_t hash_attr(const Attr *a)
{
    uint32_t h = mix(2166136261u, &a->id, sizeof a->id);
    switch (attr_type[a->id]) {
    case ATTR_INTS: return mix(h, a->ints, (size_t)a->n * sizeof *a->ints);
    case ATTR_DIMS:
        for (int i = 0; i < a->n; i++) h = mix(h, &a->dims[i]->id, sizeof a->dims[i]->id);
        return h;
    case ATTR_TENSOR: return hash_tensor(h, a->tensor);
    case ATTR_STR: return mix(h, a->str, strlen(a->str));
    case ATTR_INT:
    case ATTR_DTYPE:
    case ATTR_KIND: break;
    }
    return mix(h, &a->i, sizeof a->i);
}

static bool same_attr(const Attr *a, const Attr *b)
{
    switch (attr_type[a->id]) {
    case ATTR_INTS: return a->n == b->n && (a->n == 0 || memcmp(a->ints, b->ints, (size_t)a->n * sizeof *a->ints) == 0);
    case ATTR_DIMS: return a->n == b->n && (a->n == 0 || memcmp(a->dims, b->dims, (size_t)a->n * sizeof *a->dims) == 0);
    case ATTR_TENSOR: return same_tensor(a->tensor, b->tensor);
    case ATTR_STR: return strcmp(a->str, b->str) == 0;
    case ATTR_INT:
    case ATTR_DTYPE:
    case ATTR_KIND: break;
    }
    return a->i == b->i;
}

static uint32_t hash_node(Op op, int n_in, Value *const *in, int n_attr, const Attr *attr)
{
    uint32_t h = mix(2166136261u, &op, sizeof op);
    for (int i = 0; i < n_in; i++) h = mix(h, &in[i]->id, sizeof in[i]->id);
    for (int i = 0; i < n_attr; i++) h += hash_attr(&attr[i]); /* in any order */
    return h ? h : 1;
}

static bool visible(const Node *n, const Region *at)
{
    while (at && at != n->parent) at = at->parent;
    return at != NULL;
}

static bool same_node(const Node *n, Op op, int n_in, Value *const *in, int n_attr, const Attr *attr)
{
    if (n->op != op || n->n_in != n_in || n->n_attr != n_attr) return false;
    for (int i = 0; i < n_in; i++)
        if (n->in[i] != in[i]) return false;
    for (int i = 0; i < n_attr; i++) {
        const Attr *a = node_attr(n, attr[i].id);
        if (!a || !same_attr(a, &attr[i])) return false;
    }
    return true;
}

Node *cse_find(CseTable *t, const Region *at, Op op, int n_in, Value *const *in, int n_attr, const Attr *attr)
{
    uint32_t h = hash_node(op, n_in, in, n_attr, attr);
    for (uint32_t i = h & (t->cap - 1); t->slots[i]; i = (i + 1) & (t->cap - 1))
        if (t->hashes[i] == h && visible(t->slots[i], at) && same_node(t->slots[i], op, n_in, in, n_attr, attr))
            return t->slots[i];
    return NULL;
}

static void insert(CseTable *t, Node *n, uint32_t h)
{
    uint32_t i = h & (t->cap - 1);
    while (t->slots[i]) i = (i + 1) & (t->cap - 1);
    t->slots[i] = n;
    t->hashes[i] = h;
}

void cse_add(CseTable *t, Node *n)
{
    if (++t->n * 2 > t->cap) {
        CseTable old = *t;
        t->cap *= 2;
        t->slots = POOL_ARRAY(t->pool, Node *, t->cap);
        t->hashes = POOL_ARRAY(t->pool, uint32_t, t->cap);
        for (uint32_t i = 0; i < old.cap; i++)
            if (old.slots[i]) insert(t, old.slots[i], old.hashes[i]);
    }
    insert(t, n, hash_node(n->op, n->n_in, n->in, n->n_attr, n->attr));
}
