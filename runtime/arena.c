/* Greedy packing by size: the largest item first, each at the lowest offset where it fits between those already placed that live
 * at the same time. (Pisarchyk and Lee, "Efficient Memory Management for Deep Neural Net Inference", 2020: the best
 * of the simple rules.) */
#include "runtime/arena.h"
#include <stdlib.h>

typedef struct Order {
    const ArenaItem *item;
    size_t index;
} Order;

static int by_size(const void *pa, const void *pb)
{
    const Order *a = pa, *b = pb;
    if (a->item->size != b->item->size) return a->item->size > b->item->size ? -1 : 1;
    if (a->item->first != b->item->first) return a->item->first < b->item->first ? -1 : 1;
    return a->index < b->index ? -1 : 1; /* a total order: the same plan is packed alike everywhere */
}

bool arena_pack(ArenaItem *items, size_t n, uint64_t limit, uint64_t *peak)
{
    Order *order = malloc((n + 1) * sizeof *order);
    size_t *placed = malloc((n + 1) * sizeof *placed); /* by offset */
    size_t n_placed = 0;
    uint64_t sum = 0;
    bool ok = order && placed;
    *peak = 0;
    limit = limit / ARENA_ALIGN * ARENA_ALIGN;
    for (size_t i = 0; ok && i < n; i++) {
        order[i] = (Order){&items[i], i};
        ok = items[i].size < 1ull << 62 && (!limit || arena_round_up(items[i].size) <= limit) &&
             (sum += arena_round_up(items[i].size)) < 1ull << 62;
    }
    if (ok) qsort(order, n, sizeof *order, by_size);
    for (size_t k = 0; ok && k < n; k++) {
        ArenaItem *it = &items[order[k].index];
        uint64_t size = arena_round_up(it->size), at = 0;
        if (size == 0) {
            it->offset = 0;
            continue;
        }
        for (size_t j = 0; j < n_placed; j++) {
            const ArenaItem *o = &items[placed[j]];
            if (o->first > it->last || o->last < it->first) continue;
            if (limit && at % limit + size > limit) at = (at / limit + 1) * limit;
            if (o->offset >= at + size) break; /* the gap before o is wide enough */
            uint64_t end = o->offset + arena_round_up(o->size);
            if (end > at) at = end;
        }
        if (limit && at % limit + size > limit) at = (at / limit + 1) * limit;
        it->offset = at;
        if (at + size > *peak) *peak = at + size;
        size_t j = n_placed++;
        for (; j > 0 && items[placed[j - 1]].offset > at; j--) placed[j] = placed[j - 1];
        placed[j] = order[k].index;
    }
    free(order);
    free(placed);
    return ok;
}
