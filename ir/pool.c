/* The bump allocator behind a compilation. */
#include "ir/pool.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct PoolBlock {
    PoolBlock *next;
    size_t used, size; /* of at[] */
    _Alignas(max_align_t) unsigned char at[];
};

struct PoolDrop {
    PoolDrop *next;
    void (*drop)(void *what);
    void *what;
};

enum { ALIGN = _Alignof(max_align_t), BLOCK_MIN = 64 << 10, BLOCK_MAX = 4 << 20 };

static _Noreturn void out_of_memory(Pool *p, size_t wanted)
{
    p->wanted = wanted;
    if (p->oom) longjmp(*p->oom, 1);
    abort();
}

void *pool_alloc(Pool *p, size_t n)
{
    if (n > SIZE_MAX / 2) out_of_memory(p, n);
    n = n ? (n + ALIGN - 1) & ~(size_t)(ALIGN - 1) : (size_t)ALIGN;
    PoolBlock *b = p->head;
    if (!b || b->size - b->used < n) {
        /* Blocks grow with the pool; what is large gets a block of its own behind the head, which stays in use. */
        size_t want = p->total / 4 < BLOCK_MIN ? BLOCK_MIN : p->total / 4 > BLOCK_MAX ? BLOCK_MAX : p->total / 4;
        want &= ~(size_t)(ALIGN - 1);
        bool alone = n > want / 2;
        size_t size = alone ? n : want;
        PoolBlock *fresh = calloc(1, sizeof *fresh + size); /* large zeroed blocks cost nothing until touched */
        if (!fresh) out_of_memory(p, size);
        fresh->size = size;
        p->total += size;
        if (alone && b) {
            fresh->next = b->next;
            b->next = fresh;
        } else {
            fresh->next = b;
            p->head = fresh;
        }
        b = fresh;
    }
    void *r = b->at + b->used;
    b->used += n;
    return r;
}

void *pool_calloc(Pool *p, size_t count, size_t size)
{
    size_t n;
    if (__builtin_mul_overflow(count, size, &n)) out_of_memory(p, SIZE_MAX);
    return pool_alloc(p, n);
}

void *pool_dup(Pool *p, const void *src, size_t n)
{
    void *r = pool_alloc(p, n);
    if (n) memcpy(r, src, n);
    return r;
}

char *pool_strdup(Pool *p, const char *s)
{
    return pool_dup(p, s, strlen(s) + 1);
}

char *pool_vprintf(Pool *p, const char *fmt, va_list ap)
{
    va_list again;
    va_copy(again, ap);
    int n = vsnprintf(NULL, 0, fmt, ap);
    char *r = pool_alloc(p, n < 0 ? 1 : (size_t)n + 1);
    if (n > 0) vsnprintf(r, (size_t)n + 1, fmt, again);
    va_end(again);
    return r;
}

char *pool_printf(Pool *p, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    char *r = pool_vprintf(p, fmt, ap);
    va_end(ap);
    return r;
}

void pool_on_free(Pool *p, void (*drop)(void *what), void *what)
{
    PoolDrop *d = POOL_NEW(p, PoolDrop);
    *d = (PoolDrop){p->drops, drop, what};
    p->drops = d;
}

void pool_free(Pool *p)
{
    for (const PoolDrop *d = p->drops; d; d = d->next) d->drop(d->what);
    p->drops = NULL;
    for (PoolBlock *b = p->head, *next; b; b = next) {
        next = b->next;
        free(b);
    }
    p->head = NULL;
    p->total = 0;
}

void *pool_grow(Pool *p, void *old, int *cap, size_t elem)
{
    if (*cap > INT32_MAX / 2) out_of_memory(p, SIZE_MAX);
    int grown = *cap ? *cap * 2 : 8;
    void *r = pool_calloc(p, (size_t)grown, elem);
    if (*cap) memcpy(r, old, (size_t)*cap * elem);
    *cap = grown;
    return r;
}
