/* Who reads and who makes what among a region's steps, for moving and merging them. */
#ifndef DLVK_IR_STEPS_H
#define DLVK_IR_STEPS_H

#include "ir/kernel.h"

typedef struct ValueList {
    Value **at;
    int n, cap;
} ValueList;

typedef struct Steps {
    Schedule *s;
    RegionSchedule *rs;
    Pool *pool;
    ValueList *reads; /* by step: the storage that its kernel reads */
    int *maker;       /* by value id: the step that computes it, -1: another region, or nothing */
    int *seen;        /* by value id, twice: scratch of steps_seen() */
    int walk;
} Steps;

Steps *steps_of(Schedule *s, RegionSchedule *rs);
/* Takes notice of what step i has become. */
void steps_note(Steps *t, int i);
/* Whether nothing between the two needs what step `from` computes, so that it can move down to `to`'s place; whether step `from`
 * needs nothing that is computed between the two, so that it can move up there. What they have to do with each other is not
 * asked. */
bool steps_can_sink(const Steps *t, int from, int to);
bool steps_can_rise(const Steps *t, int from, int to);
bool steps_is_fence(const Step *s);                   /* other steps stay on their side of it */
bool steps_independent(const Steps *t, int a, int b); /* neither needs the other's results */
/* Makes the kernel of step `from`, parts and all, a part of that of step `to`; steps_close() takes away what steps are empty. */
void steps_merge(Steps *t, int from, int to);
void steps_close(Steps *t);
/* Walks over expressions: steps_walk() begins one, steps_seen() says whether it has been at v in this state. */
void steps_walk(Steps *t);
bool steps_seen(Steps *t, const Value *v, bool state);

#endif
