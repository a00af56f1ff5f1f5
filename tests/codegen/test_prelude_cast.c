/* Conversions of the GLSL prelude: every pair of classes against the interpreter's cast, and every narrow float type's encoder
 * and decoder against ir/dtype.c, from float and from double, saturating or not. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "ir/build.h"
#include "ir/eval.h"
#include "tests/codegen/gpu.h"

enum { N = 1 << 15 };

static dlvk_device *device;
static Pool pool;
static uint64_t x[N], y[N];

static void setup(void)
{
    device = gpu_device();
}
static void teardown(void)
{
    dlvk_device_close(device);
    pool_free(&pool);
}
TestSuite(prelude_cast, .init = setup, .fini = teardown);

static uint64_t rng = 0x9e3779b97f4a7c15;
static uint64_t next(void)
{
    rng ^= rng << 13, rng ^= rng >> 7, rng ^= rng << 17;
    return rng * 0x2545f4914f6cdd1d;
}

static void run(const char *expression, uint32_t features)
{
    dlvk_error err;
    const char *code = pool_printf(
        &pool, "void main()\n{\n    uint i = gl_GlobalInvocationID.x;\n    uvec2 w = p.x.d[i];\n    p.y.d[i] = %s;\n}\n",
        expression);
    cr_assert(device != NULL, "no Vulkan device");
    cr_assert(gpu_run(device, gpu_source(&pool, code, features), N, x, N, y, N, &err), "%s", err.text);
}

static uint32_t features_of(bool native)
{
    uint32_t f = dlvk_device_get_info(device)->features;
    return native ? f : f & ~(uint32_t)(DLVK_FEATURE_INT64 | DLVK_FEATURE_FLOAT64);
}

/* Values about the limits of every type, where rounding and saturation are decided. */
static double interesting(void)
{
    double u = (double)(next() >> 11) * 0x1p-53 + 1;
    static const double limit[] = {INFINITY,     NAN,          0,        -0.0,      1,        448,      464,     465,
                                   240,          248,          57344,    61440,     61439,    6,        5,       7,
                                   65504,        65520,        65519.99, 0x1p31,    0x1p32,   0x1p63,   0x1p64,  3.4e38,
                                   3.5e38,       0x1p-24,      0x1p-25,  0x1.8p-25, 0x1p-133, 0x1p-134, 0x1p-10, 0x1.8p-9,
                                   2147483647.5, 4294967295.5, 0x1p127,  0x1.1p127, 0x1p-127, 0x1p-128};
    double v;
    switch (next() % 4) {
    case 0: v = limit[next() % (sizeof limit / sizeof *limit)]; break;
    case 1: v = ldexp(u, (int)(next() % 40) - 20); break;
    case 2: v = ldexp(floor(u * 64) / 64, (int)(next() % 80) - 40); break; /* ties */
    default: v = ldexp(u, (int)(next() % 300) - 150);
    }
    return next() & 1 ? -v : v;
}

static void fill(DType t)
{
    for (int i = 0; i < N; i++) {
        x[i] = 0;
        if (dtype_is_float(t))
            elem_set_f(t, &x[i], 0, interesting());
        else
            elem_set_i(t, &x[i], 0, (int64_t)(next() >> (next() % 64)) * (next() & 1 ? 1 : -1));
    }
}

static bool denormal(DType t, uint64_t bits)
{
    double v = fabs(elem_get_f(t, &bits, 0));
    return v > 0 && v < (t == DLVK_F64 ? 0x1p-1022 : 0x1p-126);
}

static const char *from_word(DType t)
{
    switch (t) {
    case DLVK_F32: return "uintBitsToFloat(w.x)";
    case DLVK_F64: return "f64_load(w)";
    case DLVK_I64: return "i64_load(w)";
    case DLVK_U64: return "u64_load(w)";
    case DLVK_I32: return "int(w.x)";
    case DLVK_U32: return "w.x";
    default: return "(w.x != 0u)";
    }
}

static const char *to_word(DType t, const char *s)
{
    switch (t) {
    case DLVK_F32: return pool_printf(&pool, "uvec2(floatBitsToUint(to_float(%s)), 0u)", s);
    case DLVK_F64: return pool_printf(&pool, "f64_store(to_f64(%s))", s);
    case DLVK_I64: return pool_printf(&pool, "i64_store(to_i64(%s))", s);
    case DLVK_U64: return pool_printf(&pool, "u64_store(to_u64(%s))", s);
    case DLVK_I32: return pool_printf(&pool, "uvec2(uint(to_int(%s)), 0u)", s);
    case DLVK_U32: return pool_printf(&pool, "uvec2(to_uint(%s), 0u)", s);
    default: return pool_printf(&pool, "uvec2(to_bool(%s) ? 1u : 0u, 0u)", s);
    }
}

static bool same(DType t, uint64_t want, uint64_t got)
{
    if (!dtype_is_float(t)) return want == got;
    double a = elem_get_f(t, &want, 0), b = elem_get_f(t, &got, 0);
    return (isnan(a) && isnan(b)) || want == got;
}

static void classes(bool native)
{
    static const DType types[] = {DLVK_F32, DLVK_F64, DLVK_I64, DLVK_U64, DLVK_I32, DLVK_U32, DLVK_BOOL};
    enum { TYPES = sizeof types / sizeof *types };
    for (int a = 0; a < TYPES; a++)
        for (int b = 0; b < TYPES; b++) {
            fill(types[a]);
            if (types[a] == DLVK_BOOL)
                for (int i = 0; i < N; i++) x[i] &= 1;
            run(to_word(types[b], from_word(types[a])), features_of(native));
            Context *c = context_new(&pool);
            Graph *g = graph_new(c, "cast");
            const Dim *dim = dim_const(&c->dims, N);
            Value *v = region_param(g->top, type_make(c, types[a], 1, &dim), NULL);
            Node *n = node_new(g->top, OP_CAST, 1, &v, 1, &(Attr){.id = A_DTYPE, .i = types[b]}, 0, NULL);
            size_t size = (size_t)dtype_bytes(types[a], 1);
            char *data = pool_alloc(&pool, size * N);
            for (int i = 0; i < N; i++) memcpy(data + (size_t)i * size, &x[i], size);
            const Tensor *in = tensor_new(&pool, types[a], 1, (int64_t[]){N}, data), *out;
            cr_assert(n && node_eval(n, &in, &out, &pool));
            for (int i = 0; i < N; i++) {
                uint64_t want = 0;
                size_t w = (size_t)dtype_bytes(types[b], 1);
                memcpy(&want, (const char *)out->data + (size_t)i * w, w);
                if (types[b] == DLVK_F32 && denormal(DLVK_F32, want)) continue; /* a device may flush */
                if (types[a] == DLVK_F32 && denormal(DLVK_F32, x[i])) continue;
                cr_assert(same(types[b], want, y[i]), "%s to %s of %llx: %llx, should be %llx", dtype_name(types[a]),
                          dtype_name(types[b]), (unsigned long long)x[i], (unsigned long long)y[i], (unsigned long long)want);
            }
        }
}

Test(prelude_cast, classes_native)
{
    classes(true);
}
Test(prelude_cast, classes_emulated)
{
    classes(false);
}

static const DType narrow[] = {DLVK_F16,    DLVK_BF16,       DLVK_F8E4M3FN, DLVK_F8E4M3FNUZ,
                               DLVK_F8E5M2, DLVK_F8E5M2FNUZ, DLVK_F8E8M0,   DLVK_F4E2M1};

Test(prelude_cast, narrow_decode)
{
    for (size_t k = 0; k < sizeof narrow / sizeof *narrow; k++) {
        DType t = narrow[k];
        uint64_t codes = UINT64_C(1) << dtype_bits(t);
        for (uint64_t base = 0; base < codes; base += N) {
            for (uint64_t i = 0; i < N; i++) x[i] = (base + i) % codes;
            run(pool_printf(&pool, "uvec2(floatBitsToUint(%s_to_f32(w.x)), 0u)", dtype_name(t)), features_of(true));
            for (int i = 0; i < N; i++) {
                double want = elem_get_f(t, &x[i], 0), got = elem_get_f(DLVK_F32, &y[i], 0);
                bool equal = (isnan(want) && isnan(got)) || (want == got && signbit(want) == signbit(got));
                cr_assert(equal || (fabs(want) < 0x1p-126 && got == 0), "%s %llx: %a, should be %a", dtype_name(t),
                          (unsigned long long)x[i], got, want);
            }
        }
    }
}

static void encode(DType from, bool saturate)
{
    for (size_t k = 0; k < sizeof narrow / sizeof *narrow; k++) {
        DType t = narrow[k];
        const char *nosat = dtype_bits(t) == 8 && !saturate ? "_nosat" : "";
        fill(from);
        run(pool_printf(&pool, "uvec2(%s_to_%s%s(%s), 0u)", dtype_name(from), dtype_name(t), nosat, from_word(from)),
            features_of(false));
        for (int i = 0; i < N; i++) {
            double want = dtype_round_f(t, elem_get_f(from, &x[i], 0), saturate), got = elem_get_f(t, &y[i], 0);
            if (from == DLVK_F32 && denormal(DLVK_F32, x[i])) continue;
            bool equal = (isnan(want) && isnan(got)) || (want == got && signbit(want) == signbit(got));
            cr_assert(equal, "%s to %s%s of %a: %a, should be %a", dtype_name(from), dtype_name(t), nosat,
                      elem_get_f(from, &x[i], 0), got, want);
        }
    }
}

Test(prelude_cast, narrow_encode)
{
    encode(DLVK_F32, true);
}
Test(prelude_cast, narrow_encode_nosat)
{
    encode(DLVK_F32, false);
}
Test(prelude_cast, narrow_encode_f64)
{
    encode(DLVK_F64, true);
}
Test(prelude_cast, narrow_encode_f64_nosat)
{
    encode(DLVK_F64, false);
}
