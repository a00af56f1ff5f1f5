/* Memory that lives as long as one compilation: a bump allocator.
 *
 * Everything the compiler builds (graphs, types, dimension expressions, strings) is taken from one Pool and freed
 * with it, so no node has an owner of its own. Running out of memory does not return: it jumps to `oom`, which the
 * compile driver sets, and the driver frees the pool and reports DLVK_OUT_OF_MEMORY. */
#ifndef DLVK_IR_POOL_H
#define DLVK_IR_POOL_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

typedef struct PoolBlock PoolBlock;
typedef struct PoolDrop PoolDrop;

typedef struct Pool {
    PoolBlock *head;
    PoolDrop *drops;
    size_t total;  /* bytes taken from malloc */
    size_t wanted; /* and those that it did not give */
    jmp_buf *oom;  /* where to go when memory runs out; NULL: abort() */
} Pool;

/* Zeroed memory, aligned for any type. n = 0 gives a valid pointer. Never NULL. */
void *pool_alloc(Pool *p, size_t n);
/* `count` elements of `size` bytes, zeroed; an overflowing product counts as out of memory. */
void *pool_calloc(Pool *p, size_t count, size_t size);
void *pool_dup(Pool *p, const void *src, size_t n);
char *pool_strdup(Pool *p, const char *s);
char *pool_printf(Pool *p, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
char *pool_vprintf(Pool *p, const char *fmt, va_list ap);
/* Calls drop(what) when the pool is freed: for what graphs refer to without it being of the pool. */
void pool_on_free(Pool *p, void (*drop)(void *what), void *what);
void pool_free(Pool *p);

#define POOL_NEW(p, T) ((T *)pool_alloc((p), sizeof(T)))
#define POOL_ARRAY(p, T, n) ((T *)pool_calloc((p), (size_t)(n), sizeof(T)))

/* A growing array in a pool: `VEC(Node *) v = {0}; *VEC_PUSH(pool, v) = x;` */
#define VEC(T)      \
    struct {        \
        T *at;      \
        int n, cap; \
    }
#define VEC_PUSH(p, v) \
    (((v).n == (v).cap ? (void)((v).at = pool_grow((p), (v).at, &(v).cap, sizeof *(v).at)) : (void)0), &(v).at[(v).n++])
void *pool_grow(Pool *p, void *old, int *cap, size_t elem);

#endif
