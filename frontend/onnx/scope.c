/* Names of a model: tables chained from a subgraph outwards, and the opsets that hold inside. */
#include "frontend/onnx/importer.h"
#include <string.h>

void scope_init(Scope *s, Importer *im, Scope *parent)
{
    *s = (Scope){.im = im, .parent = parent};
    if (parent) {
        s->frame = parent->frame;
        s->n_opset = parent->n_opset;
        s->opset = parent->opset;
    }
}

static uint32_t hash_name(const char *s)
{
    uint32_t h = 2166136261u; /* FNV-1a */
    for (; *s; s++) h = (h ^ (unsigned char)*s) * 16777619u;
    return h;
}

/* The slot of a name: the one that holds it, or the free one where it belongs. */
static Entry *find_slot(Entry *slots, int cap, const char *name)
{
    uint32_t i = hash_name(name) & (uint32_t)(cap - 1);
    while (slots[i].name && strcmp(slots[i].name, name) != 0) i = (i + 1) & (uint32_t)(cap - 1);
    return &slots[i];
}

bool scope_define(Scope *s, const char *name, OnnxItem item)
{
    if (2 * (s->n + 1) > s->cap) {
        int cap = s->cap ? 2 * s->cap : 16;
        Entry *slots = POOL_ARRAY(s->im->ctx->pool, Entry, cap);
        for (int i = 0; i < s->cap; i++)
            if (s->slots[i].name) *find_slot(slots, cap, s->slots[i].name) = s->slots[i];
        s->slots = slots;
        s->cap = cap;
    }
    Entry *e = find_slot(s->slots, s->cap, name);
    if (e->name) return false;
    *e = (Entry){.name = name, .item = item};
    s->n++;
    return true;
}

const Entry *scope_find(const Scope *s, const char *name)
{
    for (; s; s = s->parent) {
        if (!s->cap) continue;
        const Entry *e = find_slot(s->slots, s->cap, name);
        if (e->name) return e;
    }
    return NULL;
}

const char *onnx_domain(const char *domain)
{
    return !domain || strcmp(domain, "ai.onnx") == 0 ? "" : domain;
}

int scope_opset(const Scope *s, const char *domain)
{
    for (size_t i = 0; i < s->n_opset; i++)
        if (strcmp(onnx_domain(s->opset[i]->domain), domain) == 0) {
            int64_t v = s->opset[i]->version;
            return v < 0 ? 0 : v > INT32_MAX ? INT32_MAX : (int)v;
        }
    return 0;
}
