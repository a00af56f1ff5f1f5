/* What a plan takes of device memory; see footprint.h. */
#include "runtime/footprint.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/arena.h"
#include "runtime/bundle.h"
#include "runtime/error.h"

typedef Dlvk__Plan__Plan Plan;
#define KIND(x) DLVK__PLAN__BUFFER__KIND__##x

/* Kernels count elements in signed 32 bits, and the lanes of the last workgroup some beyond the end. */
#define MAX_ELEMENTS (INT32_MAX - UINT16_MAX)

dlvk_status rt_check_elements(const Dlvk__Plan__Buffer *b, uint64_t bytes, dlvk_error *err)
{
    /* what does not lie packed has an element a word, as the handles of strings are */
    size_t bits = b->dtype && b->dtype != DLVK_STRING + 1 ? dlvk_dtype_size((dlvk_dtype)(b->dtype - 1), 8) : 32;
    if (bytes / bits <= MAX_ELEMENTS / 8) return DLVK_OK;
    return rt_error(err, DLVK_UNSUPPORTED,
                    "'%s' has %" PRIu64 " elements (%" PRIu64 " bytes); kernels count up to %d in one tensor", b->name,
                    bytes / bits * 8, bytes, MAX_ELEMENTS);
}

void rt_constant_owners(const Plan *p, uint32_t *owner, uint32_t *of_blob)
{
    for (uint32_t i = 0; i < p->n_buffer; i++) {
        const Dlvk__Plan__Buffer *b = p->buffer[i];
        if (b->kind != KIND(CONSTANT)) continue;
        uint32_t first = of_blob[b->blob - 1];
        bool shared = first && p->expr[p->buffer[first - 1]->size]->value >= p->expr[b->size]->value;
        owner[i] = shared ? first - 1 : i;
        if (!shared) of_blob[b->blob - 1] = i + 1;
    }
}

ArenaItem rt_arena_item(const Dlvk__Plan__Buffer *b, uint64_t size)
{
    return (ArenaItem){.size = size, .first = b->first, .last = b->last, .before = b->before, .after = b->after};
}

dlvk_status rt_footprint(const Env *e, dlvk_memory *mem, dlvk_error *err)
{
    const Plan *p = e->plan;
    ArenaItem *item = calloc(p->n_buffer + 1, sizeof *item);
    uint32_t *owner = calloc(p->n_buffer + 1, sizeof *owner), *of_blob = calloc(p->n_blob + 1, sizeof *of_blob);
    bool ok = item && owner && of_blob;
    uint64_t sum = 0, arena = 0;
    size_t n = 0;
    if (ok && p->n_blob) rt_constant_owners(p, owner, of_blob);
    for (uint32_t i = 0; ok && i < p->n_buffer; i++) {
        const Dlvk__Plan__Buffer *b = p->buffer[i];
        if (e->state[b->size] != EXPR_KNOWN || e->value[b->size] < 0) continue;
        uint64_t size = (uint64_t)e->value[b->size];
        if (b->kind == KIND(ARENA))
            item[n++] = rt_arena_item(b, size);
        else if (b->kind != KIND(CONSTANT) || !p->n_blob || owner[i] == i)
            sum += arena_round_up(size);
    }
    ok = ok && arena_pack(item, n, 0, &arena);
    mem->planned_arena = arena;
    mem->planned = sum + arena;
    mem->limit = p->max_memory;
    mem->unlimited = p->unlimited_memory;
    free(item);
    free(owner);
    free(of_blob);
    return ok ? DLVK_OK : rt_error(err, DLVK_OUT_OF_MEMORY, "the arena: too large, or out of memory");
}

dlvk_status rt_footprint_check(const Plan *p, const dlvk_memory *mem, dlvk_error *err)
{
    if (!p->max_memory || mem->planned <= p->max_memory) return DLVK_OK;
    return rt_error(err, DLVK_OUT_OF_MEMORY,
                    "the bundle was compiled for at most %" PRIu64 " bytes of device memory; these input shapes take %" PRIu64
                    ", %" PRIu64 " more: compile it for these shapes",
                    p->max_memory, mem->planned, mem->planned - p->max_memory);
}

static const dlvk_symbol_size *size_of(const char *symbol, const dlvk_symbol_size *sizes, int n)
{
    const dlvk_symbol_size *other = NULL;
    for (int i = 0; i < n; i++) {
        if (!sizes[i].symbol)
            other = &sizes[i];
        else if (!strcmp(sizes[i].symbol, symbol))
            return &sizes[i];
    }
    return other;
}

dlvk_status rt_footprint_at(const Plan *p, const dlvk_symbol_size *sizes, int n, dlvk_memory *mem, dlvk_error *err)
{
    Env e;
    dlvk_status st = rt_env_init(&e, p, err);
    if (st) return st;
    for (uint32_t i = 0; !st && i < p->n_symbol; i++) {
        if (p->symbol[i]->data) continue;
        const dlvk_symbol_size *x = size_of(p->symbol[i]->name, sizes, n);
        st = x ? rt_env_define(&e, i, x->value, err)
               : rt_error(err, DLVK_INVALID_ARGUMENT, "memory depends on the size of '%s', which is not given",
                          p->symbol[i]->name);
    }
    rt_env_update(&e);
    if (!st) st = rt_footprint(&e, mem, err);
    rt_env_free(&e);
    return st;
}

dlvk_status dlvk_bundle_memory(const void *data, size_t size, const char *program, const dlvk_symbol_size *sizes, int n,
                               dlvk_memory *mem, dlvk_error *err)
{
    if (!data || !mem || (n && !sizes)) return rt_error(err, DLVK_INVALID_ARGUMENT, "dlvk_bundle_memory: a NULL argument");
    Bundle b;
    dlvk_status st = rt_bundle_open_memory(data, size, 0, &b, err);
    if (st) return st;
    *mem = (dlvk_memory){0};
    const Plan *p = b.plan;
    if (program && strcmp(program, p->name) != 0) {
        size_t i = 0;
        while (i < p->n_program && strcmp(program, p->program[i]->name) != 0) i++;
        if (i == p->n_program)
            st = rt_error(err, DLVK_INVALID_ARGUMENT, "the bundle has no program '%s'", program);
        else
            p = p->program[i];
    }
    if (!st) st = rt_footprint_at(p, sizes, n, mem, err);
    rt_bundle_close(&b);
    return st;
}
