/* Every pointwise op's GLSL, on every class of operand, against the interpreter: random and special operands, all pairs of the
 * special ones. The error of floats is measured in units of the last place, and each op has its limit. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "ir/build.h"
#include "ir/eval.h"
#include "tests/codegen/gpu.h"

enum { RANDOM = 20000, SPECIALS_MAX = 64, N_MAX = RANDOM + SPECIALS_MAX * SPECIALS_MAX };

static dlvk_device *device;
static Pool pool;

static void setup(void)
{
    device = gpu_device();
}
static void teardown(void)
{
    dlvk_device_close(device);
    pool_free(&pool);
}
TestSuite(prelude, .init = setup, .fini = teardown);

static uint64_t rng = 0x9e3779b97f4a7c15;
static uint64_t next(void)
{
    rng ^= rng << 13, rng ^= rng >> 7, rng ^= rng << 17;
    return rng * 0x2545f4914f6cdd1d;
}

/* Bits of random and special elements, by type. */
static uint64_t float_bits(DType t, double x)
{
    uint64_t b = 0;
    elem_set_f(t, &b, 0, x);
    return b;
}

static int specials(DType t, uint64_t *s)
{
    static const double f[] = {0,          -0.0,      1,          -1,    0.5,    -0.5, 2,      -2,       3,
                               -3,         1e-10,     -1e-10,     1e-30, -1e-30, 1e30, -1e30,  88,       -88,
                               104,        -104,      0.99999994, 1.5,   -1.5,   2.5,  -2.5,   INFINITY, -INFINITY,
                               NAN,        16777216,  16777217,   4097,  1e5,    -1e7, 3.4e38, -3.4e38,  1.17549435e-38,
                               0.69314718, 3.14159265};
    static const int64_t i[] = {0,  1,  -1, 2,  -2,  3,     -3,        7,         -7,         31,        32,
                                33, 63, 64, 65, 255, 65536, INT32_MAX, INT32_MIN, UINT32_MAX, INT64_MAX, INT64_MIN};
    int n = 0;
    if (dtype_is_float(t))
        for (size_t k = 0; k < sizeof f / sizeof *f; k++) s[n++] = float_bits(t, f[k]);
    else
        for (size_t k = 0; k < sizeof i / sizeof *i; k++) {
            s[n] = 0;
            elem_set_i(t, &s[n++], 0, i[k]);
        }
    return n;
}

static uint64_t random_bits(DType t)
{
    uint64_t r = next(), b = 0;
    if (dtype_is_float(t)) {
        double u = (double)(r >> 11) * 0x1p-53 * 2 - 1;
        switch (r & 3) { /* near zero, everyday, wide, any magnitude */
        case 0: return float_bits(t, u);
        case 1: return float_bits(t, u * 20);
        case 2: return float_bits(t, u * 1e4);
        default: return float_bits(t, ldexp(u, (int)(next() % 200) - 100));
        }
    }
    elem_set_i(t, &b, 0, (int64_t)(r & 7 ? next() : (r >> 8) % 100));
    return b;
}

/* GLSL that reads operand k of invocation i, and that makes a result's word. */
static const char *load(DType t, int k)
{
    static const char *const form[] = {
        "uintBitsToFloat(p.x.d[i * 3 + %d].x)", "f64_load(p.x.d[i * 3 + %d])", "int(p.x.d[i * 3 + %d].x)",
        "i64_load(p.x.d[i * 3 + %d])",          "p.x.d[i * 3 + %d].x",         "u64_load(p.x.d[i * 3 + %d])",
        "(p.x.d[i * 3 + %d].x != 0u)"};
    int f = t == DLVK_F32   ? 0
            : t == DLVK_F64 ? 1
            : t == DLVK_I32 ? 2
            : t == DLVK_I64 ? 3
            : t == DLVK_U32 ? 4
            : t == DLVK_U64 ? 5
                            : 6;
    char buf[128];
    snprintf(buf, sizeof buf, form[f], k);
    return pool_strdup(&pool, buf);
}

static const char *store(DType t, const char *x)
{
    switch (t) {
    case DLVK_F32: return pool_printf(&pool, "uvec2(floatBitsToUint(%s), 0u)", x);
    case DLVK_F64: return pool_printf(&pool, "f64_store(%s)", x);
    case DLVK_I64: return pool_printf(&pool, "i64_store(%s)", x);
    case DLVK_U64: return pool_printf(&pool, "u64_store(%s)", x);
    default: return pool_printf(&pool, "uvec2(uint(%s), 0u)", x);
    }
}

static bool is_wide(DType t)
{
    return t == DLVK_F64 || t == DLVK_I64 || t == DLVK_U64;
}

static const char *op_code(Op op, DType t, DType result)
{
    const OpInfo *o = &op_info[op];
    const char *text = is_wide(t) && op != OP_SELECT
                           ? pool_printf(&pool, "op_%s($a%s%s)", o->name, o->n_in > 1 ? ", $b" : "", o->n_in > 2 ? ", $c" : "")
                       : dtype_is_float(t) ? o->glsl_f
                                           : o->glsl_i;
    bool cpu = dlvk_device_get_info(device)->features & DLVK_FEATURE_SCALAR;
    if (op == OP_DIV && dtype_is_float(t) && !is_wide(t) && !cpu) text = "float_div($a, $b)"; /* as emit_point() does */
    char out[1024] = "";
    for (const char *s = text; *s; s++) {
        char one[2] = {*s, 0};
        if (*s == '$') {
            int k = *++s - 'a';
            strcat(out, load(op == OP_SELECT && k == 0 ? DLVK_BOOL : t, k));
        } else {
            strcat(out, one);
        }
    }
    return pool_printf(&pool, "void main()\n{\n    uint i = gl_GlobalInvocationID.x;\n    if (i < p.n) p.y.d[i] = %s;\n}\n",
                       store(result, pool_strdup(&pool, out)));
}

/* The interpreter's result: floats as doubles. */
static const Tensor *oracle(Op op, DType t, uint32_t n, const uint64_t *x, DType *result)
{
    Context *c = context_new(&pool);
    Graph *g = graph_new(c, "point");
    Build b = {.ctx = c, .at = g->top};
    const Dim *dim = dim_const(&c->dims, n);
    const Tensor *in[3], *out;
    Value *v[3];
    for (int k = 0; k < op_info[op].n_in; k++) {
        DType tk = op == OP_SELECT && k == 0 ? DLVK_BOOL : t;
        size_t bytes = (size_t)dtype_bytes(tk, 1);
        char *data = pool_alloc(&pool, bytes * n);
        for (uint32_t i = 0; i < n; i++) memcpy(data + i * bytes, &x[i * 3 + (uint32_t)k], bytes);
        in[k] = tensor_new(&pool, tk, 1, (int64_t[]){n}, data);
        v[k] = region_param(g->top, type_make(c, tk, 1, &dim), NULL);
    }
    Node *node = node_new(g->top, op, op_info[op].n_in, v, 0, NULL, 0, NULL);
    cr_assert(node != NULL, "%s", op_info[op].name);
    *VEC_PUSH(&pool, g->top->results) = node->out[0];
    *VEC_PUSH(&pool, g->output_names) = "y";
    (void)b;
    cr_assert(graph_eval(g, in, &out, true, &pool), "%s", op_info[op].name);
    *result = node->out[0]->type.dtype;
    return out;
}

/* Distance in units of the last place of the expected value, denormals counting as zeros do: as steps of the least normal's. */
static double ulps(DType t, double want, double got)
{
    if (isnan(want) || isnan(got)) return isnan(want) && isnan(got) ? 0 : INFINITY;
    double most = t == DLVK_F32 ? 0x1.ffffffp127 : 0x1.fffffffffffffp1023;
    if (fabs(want) > most)
        return got == copysign(INFINITY, want) ? 0 : fabs(want) < most * 1.000001 && fabs(got) > most * 0.999999 ? 1 : INFINITY;
    if (isinf(got)) return fabs(want) > most * 0.999999 ? 1 : INFINITY;
    int e, least = t == DLVK_F32 ? -125 : -1021, digits = t == DLVK_F32 ? 24 : 53;
    frexp(want, &e);
    if (e < least) return fabs(want - got) <= ldexp(1, least) ? 0 : INFINITY; /* a device may flush denormals */
    return fabs(want - got) / ldexp(1, e - digits);
}

static double limit(Op op, DType t)
{
    switch (op) {
    case OP_ADD:
    case OP_SUB:
    case OP_MUL:
    case OP_NEG:
    case OP_ABS:
    case OP_FLOOR:
    case OP_CEIL:
    case OP_TRUNC:
    case OP_ROUND:
    case OP_MAX:
    case OP_MIN:
    case OP_SIGN:
    case OP_REM:
    case OP_SELECT: return 0.5;
    case OP_DIV:
    case OP_SQRT:
    case OP_MOD: return t == DLVK_F64 ? 0.5 : 2.5;
    case OP_RSQRT: return 4;
    default: return t == DLVK_F64 ? 2000 : 4;
    }
}

/* features: those of the device that the GLSL may use. */
static void check(Op op, DType t, uint32_t features)
{
    static uint64_t x[N_MAX * 3], y[N_MAX];
    uint64_t s[SPECIALS_MAX];
    const OpInfo *o = &op_info[op];
    int ns = specials(t, s);
    uint32_t n = 0;
    for (int a = 0; a < ns; a++)
        for (int b = 0; b < (o->n_in > 1 ? ns : 1); b++, n++) x[n * 3] = s[a], x[n * 3 + 1] = s[b], x[n * 3 + 2] = s[a];
    for (int k = 0; k < RANDOM; k++, n++)
        for (uint32_t j = 0; j < 3; j++) x[n * 3 + j] = random_bits(t);
    if (op == OP_SELECT)
        for (uint32_t i = 0; i < n; i++) x[i * 3] &= 1;
    if (t == DLVK_BOOL)
        for (uint32_t i = 0; i < 3 * n; i++) x[i] &= 1;

    DType result;
    clock_t start = clock();
    const Tensor *want = oracle(op, t, n, x, &result);
    dlvk_error err;
    const char *glsl = gpu_source(&pool, op_code(op, t, result), features);
    cr_assert(gpu_run(device, glsl, n, x, n * 3, y, n, &err), "%s of %s: %s", o->name, dtype_name(t), err.text);
    double worst = 0;
    uint32_t at = 0;
    for (uint32_t i = 0; i < n; i++) {
        double d;
        if (dtype_is_float(result))
            d = ulps(result, ((const double *)want->data)[i], elem_get_f(result, &y[i], 0));
        else
            d = elem_get_i(result, want->data, i) == elem_get_i(result, &y[i], 0) ? 0 : INFINITY;
        if (d > worst) worst = d, at = i;
    }
    if (getenv("PRELUDE_TABLE"))
        fprintf(stderr, "%-9s %-4s %8.2f ulp  %6.3f s cpu\n", o->name, dtype_name(t), worst,
                (double)(clock() - start) / CLOCKS_PER_SEC);
    if (dtype_is_float(result))
        cr_expect(worst <= limit(op, result), "%s of %s: %g ulp at (%a, %a): %a, should be %a", o->name, dtype_name(t), worst,
                  elem_get_f(t, &x[at * 3], 0), elem_get_f(t, &x[at * 3 + 1], 0), elem_get_f(result, &y[at], 0),
                  ((const double *)want->data)[at]);
    else
        cr_expect(worst == 0, "%s of %s (%llx, %llx): %lld, should be %lld", o->name, dtype_name(t),
                  (unsigned long long)x[at * 3], (unsigned long long)x[at * 3 + 1], (long long)elem_get_i(result, &y[at], 0),
                  (long long)elem_get_i(result, want->data, at));
}

enum { WIDE = DLVK_FEATURE_INT64 | DLVK_FEATURE_FLOAT64 };

/* native: with the device's 64-bit arithmetic, where it has it; if not, that is the emulation, and once is enough. Emulated
 * doubles cost a driver seconds a function to compile; where there are native ones these have tested the functions, which
 * are the same code, so that only the arithmetic below is left. */
static void check_all(DType t, bool native)
{
    int takes = dtype_is_float(t) ? TAKES_F : t == DLVK_BOOL ? TAKES_B : TAKES_I;
    cr_assert(device != NULL, "no Vulkan device");
    uint32_t features = dlvk_device_get_info(device)->features;
    if (!native && !(features & (t == DLVK_F64 ? DLVK_FEATURE_FLOAT64 : DLVK_FEATURE_INT64))) return;
    if (!native) features &= ~(uint32_t)WIDE;
    for (Op op = 0; op < OP_COUNT; op++) {
        const OpInfo *o = &op_info[op];
        if (!o->point || !(o->takes & takes)) continue;
        if (!native && t == DLVK_F64 && o->rule == RULE_SAME && limit(op, t) > 0.5) continue;
        check(op, t, features);
    }
}

Test(prelude, f32)
{
    check_all(DLVK_F32, true);
}
Test(prelude, i32)
{
    check_all(DLVK_I32, true);
}
Test(prelude, u32)
{
    check_all(DLVK_U32, true);
}
Test(prelude, boolean)
{
    check_all(DLVK_BOOL, true);
}
Test(prelude, i64)
{
    check_all(DLVK_I64, true);
}
Test(prelude, u64)
{
    check_all(DLVK_U64, true);
}
Test(prelude, f64)
{
    check_all(DLVK_F64, true);
}
Test(prelude, f64_emulated)
{
    check_all(DLVK_F64, false);
}
Test(prelude, i64_emulated)
{
    check_all(DLVK_I64, false);
}
Test(prelude, u64_emulated)
{
    check_all(DLVK_U64, false);
}

static double one_and_erf(double x)
{
    return erfc(-x);
}
static double one_and_tanh(double x)
{
    return 2 / (1 + exp(-2 * x));
}

/* Functions for results that are rounded to 16 bits: right to a quarter of f16's last place, or of its smallest number once they
 * are multiplied by x, as in GELU. */
Test(prelude, loose)
{
    static const struct {
        const char *name;
        double (*of)(double);
    } f[] = {{"loose_erf", erf}, {"loose_tanh", tanh}, {"loose_1_and_erf", one_and_erf}, {"loose_1_and_tanh", one_and_tanh}};
    enum { N = 20000 };
    static uint64_t x[N], y[N];
    for (uint32_t i = 0; i < N; i++) {
        double u = (double)(next() >> 11) * 0x1p-53 * 2 - 1;
        x[i] = float_bits(DLVK_F32, i % 2 ? 9 * u : i % 8 ? ldexp(u, -(int)(next() % 20)) : 100 * u);
    }
    cr_assert(device != NULL, "no Vulkan device");
    uint32_t features = dlvk_device_get_info(device)->features;
    x[0] = float_bits(DLVK_F32, INFINITY), x[1] = float_bits(DLVK_F32, -INFINITY);
    if (features & DLVK_FEATURE_FLOAT16) x[2] = float_bits(DLVK_F32, NAN); /* which SwiftShader's exp2 loses */
    for (size_t k = 0; k < sizeof f / sizeof *f; k++) {
        const char *code =
            pool_printf(&pool,
                        "void main()\n{\n    uint i = gl_GlobalInvocationID.x;\n"
                        "    if (i < p.n) p.y.d[i] = uvec2(floatBitsToUint(%s(uintBitsToFloat(p.x.d[i].x))), 0u);\n}\n",
                        f[k].name);
        dlvk_error err;
        const char *glsl = gpu_source(&pool, code, features);
        cr_assert(gpu_run(device, glsl, N, x, N, y, N, &err), "%s: %s", f[k].name, err.text);
        for (uint32_t i = 0; i < N; i++) {
            double a = elem_get_f(DLVK_F32, &x[i], 0), want = f[k].of(a), got = elem_get_f(DLVK_F32, &y[i], 0);
            bool same = isnan(a) ? isnan(got) : fabs(got - want) <= 0x1p-13 * fabs(want) || fabs((got - want) * a) <= 0x1p-26;
            cr_expect(same, "%s(%a) is %a, should be %a", f[k].name, a, got, want);
        }
    }
}
