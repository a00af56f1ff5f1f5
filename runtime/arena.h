/* Packing buffers into one arena by their lifetimes. A pure function: the compiler predicts with it what the runtime allocates.
 */
#ifndef DLVK_RUNTIME_ARENA_H
#define DLVK_RUNTIME_ARENA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ARENA_ALIGN 256u /* of every offset; also the granularity of sizes */
static inline uint64_t arena_round_up(uint64_t bytes)
{
    return (bytes + ARENA_ALIGN - 1) / ARENA_ALIGN * ARENA_ALIGN;
}

typedef struct ArenaItem {
    uint64_t size;          /* bytes; 0 takes no room */
    uint32_t first, last;   /* alive in these steps, both included */
    uint32_t before, after; /* steps around these in which its memory had better not be others' either */
    uint64_t offset;        /* out */
} ArenaItem;

/* Gives every item an offset such that items alive at the same time do not overlap, and sets *peak to the bytes needed. `limit`
 * (0: none) is the size of one allocation: no item crosses a multiple of it. False: an item is larger than the limit, the
 * sizes' sum exceeds 2^62, or no memory. */
/* Room for `before` and `after` is found as far as the peak does not grow by it, for small items rather than large ones. */
bool arena_pack(ArenaItem *items, size_t n, uint64_t limit, uint64_t *peak);

#endif
