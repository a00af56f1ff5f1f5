/* Random graphs of convolutions, pools, movement and pointwise ops through all passes: the values must stay.
 *
 * A failure names its seed; DLVK_SEED=n runs that one alone and prints the graph before and after. */
#include "tests/passes/check.h"

#include <criterion/criterion.h>
#include <stdlib.h>

enum { SEEDS = 300, OPS = 14, LIVE = 6 };

typedef struct Gen {
    Fix *f;
    Build *b;
    uint64_t state;
    Value *live[LIVE]; /* what later ops choose from; newer ones push older ones out */
    int n;
} Gen;

static int pick(Gen *g, int n) /* 0 .. n-1 */
{
    g->state = g->state * 6364136223846793005u + 1442695040888963407u;
    return (int)((g->state >> 33) % (uint64_t)n);
}

static int64_t dim_of(const Value *v, int a)
{
    return v->type.dim[a]->value;
}
static const Dim *num(Gen *g, int64_t v)
{
    return dim_const(&g->f->c->dims, v);
}
static int64_t count(const Value *v)
{
    int64_t n = 1;
    for (int a = 0; a < v->type.rank; a++) n *= dim_of(v, a);
    return n;
}

/* A constant that broadcasts to v: a scalar, one axis, or all of them. */
static Value *operand(Gen *g, const Value *v)
{
    int64_t dims[DLVK_MAX_RANK + 1];
    int how = pick(g, 4), axis = v->type.rank ? pick(g, v->type.rank) : 0;
    for (int a = 0; a < v->type.rank; a++) dims[a] = how == 0 || (how < 3 && a != axis) ? 1 : dim_of(v, a);
    dims[v->type.rank] = -1;
    return fix_weight(g->f, DLVK_F32, dims);
}

static Value *conv(Gen *g, Value *x)
{
    if (x->type.rank != 4) return x;
    int64_t ci = dim_of(x, 1), co = 1 + pick(g, 4), k[2], step[2], dil[2];
    const Dim *pad[2];
    int64_t group = pick(g, 3) == 0 ? ci : 1;
    if (group > 1) co = ci * (1 + pick(g, 2));
    for (int i = 0; i < 2; i++) {
        dil[i] = 1 + pick(g, 2);
        pad[i] = num(g, pick(g, 2));
        k[i] = 1 + pick(g, 3);
        if ((k[i] - 1) * dil[i] + 1 > dim_of(x, i + 2)) k[i] = 1;
        step[i] = 1 + pick(g, 2);
    }
    ConvSpec s = {.spatial = 2, .step = step, .dilation = dil, .lo = pad, .hi = pad, .group = group};
    return build_conv_nchw(g->b, x, fix_weight(g->f, DLVK_F32, DIMS(co, ci / group, k[0], k[1])), &s);
}

static Value *window(Gen *g, Value *x)
{
    static const Kind kinds[] = {KIND_MAX, KIND_SUM, KIND_MIN};
    int64_t w[DLVK_MAX_RANK], step[DLVK_MAX_RANK];
    for (int a = 0; a < x->type.rank; a++) {
        w[a] = a < 2 ? 1 : pick(g, 3) == 0 ? dim_of(x, a) : 1 + pick(g, 2);
        if (w[a] > dim_of(x, a)) w[a] = 1;
        step[a] = a < 2 ? 1 : 1 + pick(g, 2);
    }
    return build_window(g->b, kinds[pick(g, 3)], x, w, step, NULL, NULL, NULL);
}

static Value *point(Gen *g, Value *x)
{
    static const Op unary[] = {OP_TANH, OP_NEG, OP_ABS, OP_SIGMOID, OP_FLOOR},
                    binary[] = {OP_ADD, OP_SUB, OP_MUL, OP_MAX, OP_MIN};
    static const double special[] = {0, 1, 2, 0.5, -1};
    switch (pick(g, 5)) {
    case 0: return build_map1(g->b, unary[pick(g, 4)], x);
    case 1: return build_map2s(g->b, binary[pick(g, 5)], x, special[pick(g, 5)]);
    case 2: return build_map2s(g->b, OP_POW, build_map1(g->b, OP_ABS, x), special[pick(g, 4)]);
    case 3: return build_map2(g->b, binary[pick(g, 5)], operand(g, x), x);
    default: return build_map2(g->b, binary[pick(g, 5)], x, operand(g, x));
    }
}

static Value *move(Gen *g, Value *x)
{
    int rank = x->type.rank, perm[DLVK_MAX_RANK], axis = pick(g, rank);
    const Dim *a[DLVK_MAX_RANK], *c[DLVK_MAX_RANK];
    switch (pick(g, 7)) {
    case 0:
        for (int i = 0; i < rank; i++) perm[i] = i;
        for (int i = rank - 1; i > 0; i--) {
            int j = pick(g, i + 1), t = perm[i];
            perm[i] = perm[j];
            perm[j] = t;
        }
        return build_transpose(g->b, x, perm);
    case 1: return build_reverse(g->b, x, 1, &axis);
    case 2:
        for (int i = 0; i < rank; i++) {
            a[i] = num(g, i == axis ? pick(g, 2) : 0);
            c[i] = num(g, i == axis ? pick(g, 3) : 0);
        }
        return build_pad(g->b, x, a, c, build_scalar(g->b, DLVK_F32, pick(g, 2)));
    case 3:
        for (int i = 0; i < rank; i++) {
            int64_t from = pick(g, (int)dim_of(x, i));
            a[i] = num(g, from);
            c[i] = num(g, dim_of(x, i) - from);
        }
        return build_slice(g->b, x, a, c, NULL);
    case 4: { /* split an axis, swap, merge: a shuffle */
        int64_t n = dim_of(x, axis);
        if (n % 2 || rank > 5) return x;
        int k = 0;
        for (int i = 0; i < rank; i++) {
            if (i == axis) a[k++] = num(g, 2);
            a[k++] = num(g, i == axis ? n / 2 : dim_of(x, i));
        }
        for (int i = 0; i <= rank; i++) perm[i] = i;
        perm[axis] = axis + 1;
        perm[axis + 1] = axis;
        return build_reshape(g->b, build_transpose(g->b, build_reshape(g->b, x, rank + 1, a), perm), rank, x->type.dim);
    }
    case 5: return build_gather(g->b, x, build_ints(g->b, 2, (const int64_t[]){0, dim_of(x, axis) - 1}), axis);
    default: /* to rank 3 and back */
        if (rank != 4) return x;
        a[0] = x->type.dim[0];
        a[1] = x->type.dim[1];
        a[2] = num(g, dim_of(x, 2) * dim_of(x, 3));
        return build_reshape(g->b, build_map1(g->b, OP_NEG, build_reshape(g->b, x, 3, a)), 4, x->type.dim);
    }
}

static Value *reduce(Gen *g, Value *x)
{
    static const Kind kinds[] = {KIND_MAX, KIND_SUM, KIND_MIN};
    int axes[DLVK_MAX_RANK], n = 0;
    for (int i = 0; i < x->type.rank; i++)
        if (pick(g, 2)) axes[n++] = i;
    Value *y = pick(g, 2) ? build_mean(g->b, x, n, axes, true) : build_reduce(g->b, kinds[pick(g, 3)], x, n, axes, true);
    return pick(g, 2) ? build_map2(g->b, OP_SUB, x, y) : y;
}

static Value *combine(Gen *g, Value *x)
{
    Value *y = g->live[pick(g, g->n)];
    if (y->type.rank != x->type.rank) return x;
    int differ = -1, n = 0;
    for (int a = 0; a < x->type.rank; a++)
        if (dim_of(x, a) != dim_of(y, a)) differ = a, n++;
    if (n == 0 && pick(g, 2)) return build_map2(g->b, OP_ADD, x, y);
    if (n > 1) return x;
    return build_concat(g->b, 3, (Value *[]){x, y, x}, differ < 0 ? pick(g, x->type.rank) : differ);
}

static void generate(Gen *g)
{
    g->live[g->n++] = fix_input(g->f, DLVK_F32, DIMS(1 + pick(g, 2), 1 + pick(g, 4), 3 + pick(g, 4), 3 + pick(g, 4)));
    for (int i = 0; i < OPS; i++) {
        Value *x = g->live[pick(g, g->n)], *y = x;
        switch (pick(g, 8)) {
        case 0:
        case 1: y = conv(g, x); break;
        case 2: y = window(g, x); break;
        case 3:
        case 4: y = point(g, x); break;
        case 5: y = move(g, x); break;
        case 6: y = reduce(g, x); break;
        default: y = combine(g, x); break;
        }
        if (!y || count(y) > 4000 || count(y) == 0) continue;
        if (g->n < LIVE)
            g->live[g->n++] = y;
        else
            g->live[1 + pick(g, LIVE - 1)] = y;
    }
    for (int i = 1; i < g->n; i++) fix_output(g->f, g->live[i]);
    if (g->n == 1) fix_output(g->f, build_map1(g->b, OP_NEG, g->live[0]));
}

static Graph *all_passes(Graph *g)
{
#define RUN(name, pass)                                                                                                          \
    if (g && graph_verify(g = pass(g), stderr)) return NULL;
    DLVK_PASSES(RUN)
    if (getenv("DLVK_SEED")) graph_print(stderr, g, 4);
    return g;
}

static void check_seed(int seed, bool verbose)
{
    Fix f;
    fix_open(&f, (uint64_t)seed);
    Gen g = {.f = &f, .b = &f.b, .state = (uint64_t)seed * 7919 + 1};
    generate(&g);
    if (verbose) graph_print(stderr, f.g, 4);
    f.label = seed;
    fix_run(&f, all_passes, 2e-4);
    if (verbose) graph_print(stderr, f.g, 4);
    fix_close(&f);
}

Test(passes, random_graphs_keep_their_values)
{
    const char *one = getenv("DLVK_SEED");
    for (int seed = one ? atoi(one) : 0; seed < (one ? atoi(one) + 1 : SEEDS); seed++) check_seed(seed, one != NULL);
}
