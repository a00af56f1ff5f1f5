/* Pointwise ops of the interpreter: the C columns of ops.def, one loop an op and class of operand.
 *
 * Integers are computed wider than they are and wrapped afterwards: signed ones in 128 bits, where nothing overflows and
 * INT64_MIN / -1 does not trap; unsigned ones in uint64_t, which wraps by itself. */
#include "ir/eval_internal.h"
#include <math.h>
#include <string.h>

#pragma GCC diagnostic ignored "-Wtype-limits" /* the table's `a < 0` is instantiated for unsigned types, too */

typedef __int128 Signed;
typedef uint64_t Unsigned;

static double FMAX(double a, double b)
{
    return isnan(a) || isnan(b) ? a + b : a > b ? a : b;
}
static double FMIN(double a, double b)
{
    return isnan(a) || isnan(b) ? a + b : a < b ? a : b;
}
static double FSIGN(double a)
{
    return isnan(a) ? a : (a > 0) - (a < 0);
}
static double FMOD(double a, double b)
{
    double r = fmod(a, b);
    if (r == 0) return copysign(0, b);
    return (r < 0) != (b < 0) ? r + b : r;
}

/* A negative power of an integer is its truncated value: 0 but for those of 1 and -1. */
static uint64_t IPOW(Signed a, Signed b)
{
    if (b < 0) return a == 1 ? 1 : a == -1 ? (b & 1 ? UINT64_MAX : 1) : 0;
    uint64_t r = 1, x = (uint64_t)a;
    for (uint64_t n = (uint64_t)b; n; n >>= 1, x *= x)
        if (n & 1) r *= x;
    return r;
}

#define IDIV(a, b) ((b) == 0 ? 0 : (a) / (b))
#define IREM(a, b) ((b) == 0 ? 0 : (a) % (b))
#define IMOD(a, b) ((b) == 0 ? 0 : (a) % (b) != 0 && ((a) % (b) < 0) != ((b) < 0) ? (a) % (b) + (b) : (a) % (b))
#define IABS(a)    ((a) < 0 ? -(a) : (a))
#define ISIGN(a)   (((a) > 0) - ((a) < 0))
#define ISHL(a, b) ((b) >= 0 && (b) < (unsigned)bits ? (uint64_t)(a) << (int)(b) : 0)
#define ISHR(a, b) ((b) >= 0 && (b) < (unsigned)bits ? (a) >> (int)(b) : (a) < 0 ? -1 : 0)

/* A loop's operands: step 0 repeats a splat's element. */
typedef struct Loop {
    int64_t n;
    int bits;
    DType dtype; /* of the result */
    union {
        const double *f;
        const int64_t *i;
    } in[3];
    int64_t step[3];
    union {
        double *f;
        int64_t *i;
    } out;
} Loop;

/* What the result and operand 0 are in a loop over floats, by rule. */
#define OUT_F_SAME(x) l->out.f[k] = (x)
#define OUT_F_CMP(x)  l->out.i[k] = (x) != 0
#define OUT_F_PICK(x) l->out.f[k] = (x)
#define IN_F_SAME     f
#define IN_F_CMP      f
#define IN_F_PICK     i

#define LOOP_F(name, rule, c_f)                                                                                                  \
    static void f_##name(const Loop *l)                                                                                          \
    {                                                                                                                            \
        for (int64_t k = 0; k < l->n; k++) {                                                                                     \
            const double a = (double)l->in[0].IN_F_##rule[k * l->step[0]], b = l->in[1].f[k * l->step[1]],                       \
                         c = l->in[2].f[k * l->step[2]];                                                                         \
            (void)b, (void)c;                                                                                                    \
            OUT_F_##rule(c_f);                                                                                                   \
        }                                                                                                                        \
    }
#define LOOP_I(name, T, prefix, c_i)                                                                                             \
    static void prefix##name(const Loop *l)                                                                                      \
    {                                                                                                                            \
        const int bits = l->bits;                                                                                                \
        (void)bits;                                                                                                              \
        for (int64_t k = 0; k < l->n; k++) {                                                                                     \
            const T a = (T)(prefix##element)l->in[0].i[k * l->step[0]], b = (T)(prefix##element)l->in[1].i[k * l->step[1]],      \
                    c = (T)(prefix##element)l->in[2].i[k * l->step[2]];                                                          \
            (void)b, (void)c;                                                                                                    \
            l->out.i[k] = int_wrap(l->dtype, (int64_t)(c_i));                                                                    \
        }                                                                                                                        \
    }
typedef int64_t i_element;
typedef uint64_t u_element;

/* The loops each `takes` asks for, and their place in the tables. */
#define NO(...)
#define F_F    LOOP_F
#define F_FI   LOOP_F
#define F_FIB  LOOP_F
#define F_FIBS LOOP_F
#define F_I    NO
#define F_IB   NO
#define I_F(...)
#define I_FI(name, c_i)                                               LOOP_I(name, Signed, i_, c_i) LOOP_I(name, Unsigned, u_, c_i)
#define I_FIB                                                         I_FI
#define I_FIBS                                                        I_FI
#define I_I                                                           I_FI
#define I_IB                                                          I_FI
#define POINT(id, name, arity, takes, rule, glsl_f, glsl_i, c_f, c_i) F_##takes(name, rule, c_f)
#include "ir/ops.def"
#define POINT(id, name, arity, takes, rule, glsl_f, glsl_i, c_f, c_i) I_##takes(name, c_i)
#include "ir/ops.def"

typedef void (*LoopFn)(const Loop *);
#undef F_F
#undef F_FI
#undef F_FIB
#undef F_FIBS
#undef F_I
#undef F_IB
#define F_F(name)         f_##name
#define F_FI(name)        f_##name
#define F_FIB(name)       f_##name
#define F_FIBS(name)      f_##name
#define F_I(name)         NULL
#define F_IB(name)        NULL
#define INT_F(p, name)    NULL
#define INT_FI(p, name)   p##name
#define INT_FIB(p, name)  p##name
#define INT_FIBS(p, name) p##name
#define INT_I(p, name)    p##name
#define INT_IB(p, name)   p##name
static const struct {
    LoopFn f, i, u;
} loops[OP_COUNT] = {
#define POINT(id, name, arity, takes, rule, glsl_f, glsl_i, c_f, c_i)                                                            \
    [OP_##id] = {F_##takes(name), INT_##takes(i_, name), INT_##takes(u_, name)},
#include "ir/ops.def"
};

static bool same_string(Str a, Str b)
{
    return a.len == b.len && (!a.len || memcmp(a.at, b.at, a.len) == 0);
}

/* eq, ne and select of strings. */
static Array *strings(Eval *e, const Node *n, Array *const *in, const Array *like, bool splat)
{
    bool pick = n->op == OP_SELECT;
    Array *r = array_new(e, pick ? DLVK_STRING : DLVK_BOOL, like->rank, like->dim, splat);
    const Str *a = in[pick ? 1 : 0]->data, *b = in[pick ? 2 : 1]->data;
    int64_t sa = !in[pick ? 1 : 0]->splat, sb = !in[pick ? 2 : 1]->splat;
    for (int64_t k = 0; k < (r->splat ? 1 : r->count); k++) {
        if (pick)
            ((Str *)r->data)[k] = in[0]->i[in[0]->splat ? 0 : k] ? a[k * sa] : b[k * sb];
        else
            r->i[k] = same_string(a[k * sa], b[k * sb]) == (n->op == OP_EQ);
    }
    return r;
}

bool eval_point(Eval *e, const Node *n, Array *const *in, Array **out)
{
    const OpInfo *info = &op_info[n->op];
    const Array *like = in[info->rule == RULE_PICK ? 1 : 0];
    bool splat = true;
    for (int i = 0; i < n->n_in; i++) {
        if (in[i]->rank != like->rank || (i > 0 && in[i]->dtype != like->dtype))
            return eval_fail(e, "%s: operands of different types", info->name);
        for (int d = 0; d < like->rank; d++)
            if (in[i]->dim[d] != like->dim[d])
                return eval_fail(e, "%s: operand %d has size %lld in axis %d, another has %lld", info->name, i,
                                 (long long)in[i]->dim[d], d, (long long)like->dim[d]);
        splat = splat && in[i]->splat;
    }
    DClass c = dtype_class(like->dtype);
    if (c == DC_STRING) {
        out[0] = strings(e, n, in, like, splat);
        return true;
    }
    LoopFn fn = c == DC_FLOAT                  ? loops[n->op].f
                : c == DC_INT                  ? loops[n->op].i
                : c == DC_UINT || c == DC_BOOL ? loops[n->op].u
                                               : NULL;
    if (!fn) return eval_fail(e, "%s: no evaluation for %s", info->name, dtype_name(like->dtype));
    DType t = info->rule == RULE_CMP ? DLVK_BOOL : like->dtype;
    Array *r = array_new(e, t, like->rank, like->dim, splat);
    Loop l = {.n = r->splat ? 1 : r->count, .bits = dtype_bits(like->dtype), .dtype = t, .out.f = r->f};
    for (int i = 0; i < 3; i++) {
        const Array *x = in[i < n->n_in ? i : 0];
        l.in[i].f = x->f;
        l.step[i] = i < n->n_in && !x->splat; /* an operand the op does not have is read, but not used */
    }
    fn(&l);
    out[0] = r;
    return true;
}
