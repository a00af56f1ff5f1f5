/* Random graphs on the device against the interpreter: what the families of tests/codegen/test_random*.c share.
 *
 * A family builds one graph from a seed. It is compiled with and without fusion, run with and without the device's optional
 * features, and, where its dimensions are symbols, at several sizes by the same bundle; every output is compared with the
 * interpreter's (ir/eval.h, in double precision). The environment:
 *
 *     DLVK_TEST_SEED=N     the first seed (1)
 *     DLVK_TEST_CASES=N    seeds tried by each family; each has its own default
 *
 * so that the line printed by a failure replays it. */
#ifndef DLVK_TESTS_RANDOM_H
#define DLVK_TESTS_RANDOM_H

#include <criterion/criterion.h>

#include "ir/build.h"

enum { BINDINGS = 3 }; /* sizes that one symbolic bundle is run at */

typedef enum Fill {
    FILL_EVERYDAY, /* within [-2, 2]; integers within [-8, 8] */
    FILL_POSITIVE, /* within [0.25, 2]; integers within [1, 8] */
    FILL_WIDE      /* any magnitude, infinities, NaN; integers of any bits */
} Fill;

typedef struct Source {
    Value *value;
    Fill fill;
    int64_t lo, hi; /* of integers, where lo <= hi */
} Source;

typedef struct Case {
    Pool pool;
    Context *c;
    Graph *g;
    Build b;
    uint64_t seed, rng;
    int bindings; /* 1: all dims are constants */
    VEC(Source) inputs;
    VEC(int64_t) size[BINDINGS]; /* by symbol index */
    double ulps;                 /* > 0: one operation, exact but for so many units in the last place */
    bool exact;
    bool variants; /* run every variant of each kernel, those too that the device would not pick */
} Case;

uint64_t next(Case *c);
int pick(Case *c, int n); /* 0 .. n-1 */
int64_t between(Case *c, int64_t lo, int64_t hi);
bool chance(Case *c, int percent);
DType any_type(Case *c);   /* any numeric type or bool */
DType float_type(Case *c); /* mostly f32 */

/* A dimension in [lo, hi], small ones more often: a constant or, in symbolic cases, perhaps a symbol. */
const Dim *any_dim(Case *c, int64_t lo, int64_t hi);
const Dim *fixed(Case *c, int64_t n);
void any_shape(Case *c, int rank, const Dim **dims); /* of a few thousand elements at most; now and then empty */
int64_t least(Case *c, const Dim *d);                /* over the bindings */
int64_t most(Case *c, const Dim *d);

Value *input(Case *c, DType t, int rank, const Dim *const *dims, Fill fill);
Value *index_input(Case *c, DType t, int rank, const Dim *const *dims, int64_t lo, int64_t hi);
Value *constant(Case *c, DType t, int rank, const Dim *const *dims, bool positive); /* every size in dims is known */
/* The same type, but perhaps a constant, a view of something larger, transposed or repeated, or computed. */
Value *operand(Case *c, DType t, int rank, const Dim *const *dims, Fill fill);
/* Pointwise code around v: bias, residual, relu, scale, reshapes; perhaps a further output on the way. */
Value *epilogue(Case *c, Value *v);
/* One random movement op. */
Value *moved(Case *c, Value *v);
void result(Case *c, Value *v);

typedef void (*Family)(Case *c);
void random_family(const char *name, Family f, int cases);
/* Families list themselves before any test runs, for the one that asks whether they make everything there is (random_cover.c). */
typedef struct Listed {
    const char *name;
    Family f;
    int cases;
    const struct Listed *next;
} Listed;
extern const Listed *random_families;
#define LISTED(name, how_many)                                                                                                   \
    __attribute__((constructor)) static void list_##name(void)                                                                   \
    {                                                                                                                            \
        static Listed l = {#name, name, 0, NULL};                                                                                \
        l.cases = how_many;                                                                                                      \
        l.next = random_families;                                                                                                \
        random_families = &l;                                                                                                    \
    }
/* The family's graph of this seed; pool_free(&c->pool) when done. */
void random_build(Case *c, const char *name, Family f, uint64_t seed);
#define FAMILY(name, cases)                                                                                                      \
    static void name(Case *c);                                                                                                   \
    Test(random, name)                                                                                                           \
    {                                                                                                                            \
        random_family(#name, name, cases);                                                                                       \
    }                                                                                                                            \
    LISTED(name, cases)                                                                                                          \
    static void name(Case *c)

#endif
