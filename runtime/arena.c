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

typedef struct Packing {
    ArenaItem *items;
    size_t n;
    const Order *order;
    size_t *placed; /* by offset; scratch */
    uint64_t limit;
} Packing;

static uint32_t begin_of(const ArenaItem *x, uint64_t roomy)
{
    return x->size <= roomy ? x->first - x->before : x->first;
}

static uint32_t end_of(const ArenaItem *x, uint64_t roomy)
{
    return x->size <= roomy ? x->last + x->after : x->last;
}

/* Gives items offsets, those of at most `roomy` bytes with the steps around their lives. Returns the peak. */
static uint64_t place(const Packing *p, uint64_t roomy)
{
    size_t n_placed = 0, *placed = p->placed;
    uint64_t peak = 0, limit = p->limit;
    for (size_t k = 0; k < p->n; k++) {
        ArenaItem *it = &p->items[p->order[k].index];
        uint64_t size = arena_round_up(it->size), at = 0;
        if (size == 0) {
            it->offset = 0;
            continue;
        }
        uint32_t begin = begin_of(it, roomy), end = end_of(it, roomy);
        for (size_t j = 0; j < n_placed; j++) {
            const ArenaItem *o = &p->items[placed[j]];
            if (begin_of(o, roomy) > end || end_of(o, roomy) < begin) continue;
            if (limit && at % limit + size > limit) at = (at / limit + 1) * limit;
            if (o->offset >= at + size) break; /* the gap before o is wide enough */
            uint64_t past = o->offset + arena_round_up(o->size);
            if (past > at) at = past;
        }
        if (limit && at % limit + size > limit) at = (at / limit + 1) * limit;
        it->offset = at;
        if (at + size > peak) peak = at + size;
        size_t j = n_placed++;
        for (; j > 0 && p->items[placed[j - 1]].offset > at; j--) placed[j] = placed[j - 1];
        placed[j] = p->order[k].index;
    }
    return peak;
}

bool arena_pack(ArenaItem *items, size_t n, uint64_t limit, uint64_t *peak)
{
    Order *order = malloc((n + 1) * sizeof *order);
    size_t *placed = malloc((n + 1) * sizeof *placed);
    uint64_t sum = 0;
    bool ok = order && placed, around = false;
    *peak = 0;
    limit = limit / ARENA_ALIGN * ARENA_ALIGN;
    for (size_t i = 0; ok && i < n; i++) {
        order[i] = (Order){&items[i], i};
        ok = items[i].size < 1ull << 62 && (!limit || arena_round_up(items[i].size) <= limit) &&
             (sum += arena_round_up(items[i].size)) < 1ull << 62;
        around |= items[i].before || items[i].after;
    }
    if (ok) {
        qsort(order, n, sizeof *order, by_size);
        const Packing p = {items, n, order, placed, limit};
        const uint64_t least = *peak = place(&p, 0);
        for (uint64_t roomy = around ? least : 0; roomy; roomy /= 8)
            if ((*peak = place(&p, roomy)) <= least) break;
        if (*peak > least) *peak = place(&p, 0);
    }
    free(order);
    free(placed);
    return ok;
}
