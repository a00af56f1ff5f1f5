/* Rematerialisation: less memory for more arithmetic.
 *
 * Values of the forward part that the backward part reads are computed again there instead of being kept. Which, is searched for
 * by simulation over a schedule's steps; the graph is then built anew in the order of these steps, with the recomputed nodes
 * before the first step that wants them, behind barriers (`view`) that keep fusion from moving them back. */
#ifndef DLVK_PASSES_REMAT_H
#define DLVK_PASSES_REMAT_H

#include "ir/kernel.h"

typedef struct Remat Remat;

/* For the graph that s schedules, whose first result is the loss: what stands behind the step that computes it is the backward
 * part. symbol_values: by Symbol.index, of all but data symbols. align: what the arena rounds sizes up to. */
Remat *remat_new(const Schedule *s, const int64_t *symbol_values, int64_t align);
/* The peak of what the arena holds, as simulated with the present choice. */
int64_t remat_peak(const Remat *r);
/* Chooses values to recompute, at little cost, such that the simulated peak is at most `target` bytes; false, and nothing is
 * chosen, when the search finds no such choice. */
bool remat_choose(Remat *r, int64_t target);
/* Chooses for the smallest peak that the search finds. */
void remat_choose_least(Remat *r);
/* The graph with what was chosen. NULL: errors are in the context. */
Graph *remat_apply(const Remat *r);

#endif
