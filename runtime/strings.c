/* The table of strings; see strings.h. */
#include "runtime/strings.h"
#include <stdlib.h>
#include <string.h>

static uint32_t hash(dlvk_string s)
{
    uint32_t h = 2166136261u; /* FNV-1a */
    for (size_t i = 0; i < s.len; i++) h = (h ^ (uint8_t)s.at[i]) * 16777619u;
    return h ^ h >> 15;
}

static void *resize(StringTable *t, void *old, size_t from, size_t to)
{
    return t->resize ? t->resize(t->user, old, from, to) : realloc(old, to);
}

/* The slot of s, or the free one where it belongs. */
static uint32_t *find(const StringTable *t, dlvk_string s)
{
    for (uint32_t i = hash(s);; i++) {
        uint32_t *slot = &t->slot[i & (t->slots - 1)];
        if (*slot == STRING_NONE) return slot;
        dlvk_string x = t->at[*slot];
        if (x.len == s.len && (!s.len || memcmp(x.at, s.at, s.len) == 0)) return slot;
    }
}

static void fill_slots(StringTable *t)
{
    memset(t->slot, 0xff, t->slots * sizeof *t->slot);
    for (uint32_t i = 0; i < t->n; i++) *find(t, t->at[i]) = i;
}

/* Room for one more. */
static bool reserve(StringTable *t)
{
    if (t->n == t->cap) {
        if (t->cap >= 1u << 30) return false;
        uint32_t cap = t->cap ? 2 * t->cap : 16;
        dlvk_string *at = resize(t, t->at, t->cap * sizeof *at, cap * sizeof *at);
        if (!at) return false;
        t->at = at;
        t->cap = cap;
    }
    if (t->slots >= 2 * t->cap) return true;
    uint32_t *slot = resize(t, t->slot, t->slots * sizeof *slot, 2 * (size_t)t->cap * sizeof *slot);
    if (!slot) return false;
    t->slot = slot;
    t->slots = 2 * t->cap;
    fill_slots(t);
    return true;
}

uint32_t strings_intern(StringTable *t, dlvk_string s)
{
    if (!t->n) { /* the empty string comes first */
        if (!reserve(t)) return STRING_NONE;
        t->at[t->n++] = (dlvk_string){"", 0};
        fill_slots(t);
    }
    if (!reserve(t)) return STRING_NONE;
    uint32_t *slot = find(t, s);
    if (*slot == STRING_NONE) {
        *slot = t->n;
        t->at[t->n++] = s;
    }
    return *slot;
}

void strings_truncate(StringTable *t, uint32_t n)
{
    if (n >= t->n) return;
    t->n = n;
    fill_slots(t);
}

void strings_free(StringTable *t)
{
    free(t->at);
    free(t->slot);
    *t = (StringTable){0};
}
