/* What fusion decides and code generation carries out: which values get memory, and which kernels compute them.
 *
 * A kernel computes its `out` values, each at every index, from materialised values alone. Everything between is
 * recomputed where it is needed: pointwise and movement nodes become expressions, small reductions become loops. The anchor
 * is the one node that sets the kernel's shape of work. */
#ifndef DLVK_IR_KERNEL_H
#define DLVK_IR_KERNEL_H

#include "ir/ir.h"

typedef enum Archetype {
    ARCH_MAP,       /* one invocation an element; nodes it cannot inline elsewhere become loops: the path that is always legal */
    ARCH_ROWS,      /* several reductions over the same axes and the pointwise code around them; lanes share a row */
    ARCH_CONTRACT,  /* anchor: dot or conv, with a pointwise epilogue */
    ARCH_ATTENTION, /* anchor: the second dot of softmax(scores of q and k) v; neither scores nor weights get memory */
    ARCH_SORT,
    ARCH_SCATTER,
    ARCH_COMPACT,
    ARCH_CUMULATE
} Archetype;

/* softmax over the last axis of what is computed, element by element, from a dot; and the dot of its weights with values. */
typedef struct Attention {
    Node *qk, *pv;      /* the dots: [..., m, d] x [..., d, n], [..., m, n] x [..., n, e] */
    Value *scores;      /* what softmax is taken of: pointwise code on qk's result and on anything else */
    Value *top, *total; /* its rows' maxima, and their sums of exponentials */
    Value *dead;        /* bool, the same all along a row: weights are 0 where it is true; NULL: nowhere */
    bool nan_dead;      /* they are 0 where softmax gives NaN, which is all along a row */
    VEC(Node *) nodes;  /* everything between the dots */
    VEC(Node *) behind; /* pv's result on its way to the kernel's: movement and pointwise code, in order */
} Attention;

typedef struct Kernel {
    Archetype arch;
    int id;
    Node *anchor; /* contract, attention, sort, scatter, compact, cumulate */
    Attention *attention;
    VEC(Node *) reduces; /* rows: the reductions, in order; all with the same operand shape and axes */
    VEC(Value *) out;
    VEC(const Origin *) origins;
    struct Kernel *before; /* contract: the kernel whose one result, which nobody else uses, is what a depthwise convolution works
                              on (view_expansion()): some variants do its work as well, and then it does not run. NULL: none */
    const char *name;      /* "conv_add_max": the ops in it */
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
    int prepared; /* the first so many are kernels that depend on the inputs' sizes alone (passes/prepare.c) */
} RegionSchedule;

/* Where a value lies that has no memory of its own: in a concatenation, from index `at` of its axis on. */
typedef struct Part {
    Value *whole; /* NULL: nowhere else */
    const Dim *at;
    int axis;
    bool assembled; /* the value is a concatenation, whose operands' kernels store it where it lies: no kernel moves them */
} Part;

typedef struct Schedule {
    Graph *graph;
    bool *materialized; /* by value id: has memory of its own, or shares another's (alias) */
    bool *wide;         /* by value id: elements below 16 bits lie in a 32-bit word each, since the kernel cannot pack them */
    Value **alias;      /* by value id: the value whose memory this reshape is a view of; NULL: none */
    Part *part;         /* by value id */
    bool *sized;        /* by value id: depends on nothing but constants and the inputs' sizes */
    VEC(RegionSchedule *) regions;
} Schedule;

/* The value that owns v's memory, all of it or, where v is a part, more. */
static inline Value *schedule_storage(const Schedule *s, Value *v)
{
    while (s->alias[v->id]) v = s->alias[v->id];
    return s->part[v->id].whole ? s->part[v->id].whole : v;
}
/* Whether v's memory is that of a result of the graph, from the one of this number on. */
static inline bool schedule_leaves(const Schedule *s, const Value *v, int first)
{
    const Region *top = s->graph->top;
    for (int i = first; i < top->results.n; i++)
        if (schedule_storage(s, top->results.at[i]) == v) return true;
    return false;
}
/* Attention whose second dot is pv, and whose scores and weights nobody else uses; NULL. uses: by value id, of all operand slots
 * and regions' results. passes/attention.c */
Attention *attention_match(Pool *p, Node *pv, const int *uses);
RegionSchedule *schedule_region(const Schedule *s, const Region *r); /* passes/schedule.c */
void schedule_print(FILE *f, const Schedule *s);
Schedule *schedule_build(Graph *g, bool fuse);           /* passes/fuse.c: forms the kernels */
bool schedule_sized(const Schedule *s, const Kernel *k); /* all that it computes is `sized` */
void schedule_mark_sized(Schedule *s);                   /* passes/prepare.c */
void schedule_prepare(Schedule *s);                      /* passes/prepare.c: puts those kernels first */
void schedule_join(Schedule *s); /* passes/join.c: joins those that compute element by element what others read so */

#endif
