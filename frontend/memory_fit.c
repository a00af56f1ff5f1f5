/* Training steps within a limit of memory; see memory_fit.h.
 *
 * passes/remat.c searches by simulation; what decides is the footprint of the plan that code generation makes. Where they differ,
 * since buffers have gaps between them and kernels scratch memory of their own, the search is repeated with a lower target. */
#include "frontend/memory_fit.h"

#include <inttypes.h>
#include <string.h>

#include "passes/pass.h"
#include "passes/remat.h"
#include "runtime/arena.h"

enum { ROUNDS = 6, MERGE_LEAST = 4096 };

typedef struct Fit {
    Context *ctx;
    const dlvk_training_options *t;
    CodegenOptions *o;
    Remat *remat;
    int64_t most_merged;
} Fit;

/* Values of the graph's symbols; NULL after an error. */
static int64_t *symbol_values(Context *c, const dlvk_training_options *t)
{
    int64_t *value = POOL_ARRAY(c->pool, int64_t, c->dims.symbols.n + 1);
    for (int i = 0; i < c->dims.symbols.n; i++) {
        const Symbol *s = c->dims.symbols.at[i];
        for (int pass = 0; pass < 2; pass++) /* names count more than the entry for all others */
            for (int k = 0; k < t->n_sizes; k++)
                if (pass ? t->sizes[k].symbol && strcmp(t->sizes[k].symbol, s->name) == 0 : !t->sizes[k].symbol)
                    value[i] = t->sizes[k].value;
    }
    return value;
}

/* The graph of what has been chosen, and its footprint; NULL after an error. */
static Graph *apply(const Fit *f, dlvk_memory *mem)
{
    Graph *g = remat_apply(f->remat);
    if (!g) return NULL;
    if (f->o->validate && graph_verify(g, stderr)) {
        diag_error(&f->ctx->diag, DLVK_INTERNAL, "after rematerialisation the graph is wrong");
        return NULL;
    }
    return codegen_footprint(g, f->o, f->t->sizes, f->t->n_sizes, mem) ? g : NULL;
}

/* The graph r, whose kernels fit into the limit apart; of those that can share dispatches all do that are small enough for it
 * still to hold. Sharing lengthens lives: what is computed again may even end up beside the first time. */
static Graph *share(const Fit *f, Graph *r)
{
    int64_t most = f->most_merged;
    dlvk_memory now;
    for (; r && most >= MERGE_LEAST; most /= 16) {
        f->o->merge_bytes = most;
        if (!codegen_footprint(r, f->o, f->t->sizes, f->t->n_sizes, &now)) return NULL;
        if (now.planned <= f->t->max_memory) return r;
    }
    f->o->merge_bytes = 0;
    return r; /* NULL after an error */
}

/* Memory for sizes that depend on data is found while a step runs. */
static bool has_fixed_sizes(Context *c, const Region *r)
{
    for (int i = 0; i < r->nodes.n; i++) {
        const Node *n = r->nodes.at[i];
        for (int k = 0; k < n->n_out; k++)
            for (int d = 0; d < n->out[k]->type.rank; d++) {
                if (!dim_has_data_symbol(n->out[k]->type.dim[d])) continue;
                c->origin = n->origin;
                ctx_error(c, DLVK_UNSUPPORTED, "max_memory: a size depends on data, so that no limit can be promised");
                c->origin = NULL;
                return false;
            }
        for (int k = 0; k < n->n_region; k++)
            if (!has_fixed_sizes(c, n->region_at[k])) return false;
    }
    return true;
}

Graph *memory_fit(Graph *g, const dlvk_training_options *t, CodegenOptions *o)
{
    Context *c = g->ctx;
    Fit f = {.ctx = c, .t = t, .o = o, .most_merged = o->merge_bytes};
    dlvk_memory whole, now;
    if (!has_fixed_sizes(c, g->top) || !codegen_footprint(g, o, t->sizes, t->n_sizes, &whole)) return NULL;
    o->max_memory = t->max_memory;
    o->unlimited_memory = whole.planned;
    if (whole.planned <= t->max_memory) return g;
    o->merge_bytes = 0;
    o->waves = false; /* which lengthen lives */
    f.remat = remat_new(schedule_build(g, o->optimize), symbol_values(c, t), ARENA_ALIGN);
    int64_t fixed = (int64_t)(whole.planned - whole.planned_arena), target = (int64_t)t->max_memory - fixed;
    for (int i = 0; i < ROUNDS && remat_choose(f.remat, target); i++) {
        Graph *r = apply(&f, &now);
        if (!r || now.planned <= t->max_memory) return share(&f, r);
        target -= (int64_t)(now.planned - t->max_memory);
    }
    remat_choose_least(f.remat);
    Graph *r = apply(&f, &now);
    if (!r || now.planned <= t->max_memory) return share(&f, r);
    diag_error(&c->diag, DLVK_OUT_OF_MEMORY,
               "max_memory: %" PRIu64 " bytes do not suffice: a step takes %" PRIu64
               " when it keeps all that it needs, and at least %" PRIu64 " when it computes again what it can, %" PRIu64
               " more than the limit (%" PRId64 " of them for parameters, optimizer, inputs and outputs)",
               t->max_memory, whole.planned, now.planned, now.planned - t->max_memory, fixed);
    return NULL;
}
