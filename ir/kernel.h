/* What fusion decides and code generation carries out: which values get memory, and which kernels compute them.
 *
 * A kernel computes its `out` values, each at every index, from materialised values alone. Everything between is
 * recomputed where it is needed: pointwise and movement nodes become expressions, small reductions become loops. The anchor
 * is the one node that sets the kernel's shape of work. */
#ifndef DLVK_IR_KERNEL_H
#define DLVK_IR_KERNEL_H

#include "ir/ir.h"

typedef enum Archetype {
    ARCH_MAP,      /* one invocation an element; nodes it cannot inline elsewhere become loops: the path that is always legal */
    ARCH_ROWS,     /* several reductions over the same axes and the pointwise code around them; lanes share a row */
    ARCH_CONTRACT, /* anchor: dot or conv, with a pointwise epilogue */
    ARCH_SORT,
    ARCH_SCATTER,
    ARCH_COMPACT,
    ARCH_CUMULATE
} Archetype;

typedef struct Kernel {
    Archetype arch;
    int id;
    Node *anchor;        /* contract, sort, scatter, compact, cumulate */
    VEC(Node *) reduces; /* rows: the reductions, in order; all with the same operand shape and axes */
    VEC(Value *) out;
    VEC(const Origin *) origins;
    const char *name;           /* "conv_add_max": the ops in it */
    VEC(struct Kernel *) parts; /* further kernels of the same text that its dispatch carries out too (codegen/merge.c) */
} Kernel;

/* One step of a region: a kernel, or a node that the runtime carries out (if, loop, read_dims). */
typedef struct Step {
    Kernel *kernel;
    Node *node;
} Step;

typedef struct RegionSchedule {
    Region *region;
    VEC(Step) steps;
} RegionSchedule;

typedef struct Schedule {
    Graph *graph;
    bool *materialized; /* by value id: has memory of its own, or shares another's (alias) */
    bool *wide;         /* by value id: elements below 16 bits lie in a 32-bit word each, since the kernel cannot pack them */
    Value **alias;      /* by value id: the value whose memory this reshape is a view of; NULL: none */
    VEC(RegionSchedule *) regions;
} Schedule;

/* The value that owns v's memory. */
static inline Value *schedule_storage(const Schedule *s, Value *v)
{
    while (s->alias[v->id]) v = s->alias[v->id];
    return v;
}
RegionSchedule *schedule_region(const Schedule *s, const Region *r); /* passes/schedule.c */
void schedule_print(FILE *f, const Schedule *s);
Schedule *schedule_build(Graph *g, bool fuse); /* passes/fuse.c: forms the kernels */
void schedule_join(Schedule *s); /* passes/join.c: joins those that compute element by element what others read so */

#endif
