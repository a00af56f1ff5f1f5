/* Element types and the conversions between their bits and double. */
#include "ir/dtype.h"

#include <assert.h>
#include <math.h>
#include <string.h>

typedef struct DTypeRow {
    const char *name;
    int bits;
    DClass cls;
    int onnx;
} DTypeRow;

static const DTypeRow rows[DLVK_DTYPE_COUNT] = {
#define ROW(id, name, bits, cls, onnx) [DLVK_##id] = {name, bits, DC_##cls, onnx},
    DLVK_DTYPES(ROW)
#undef ROW
};

/* Narrow floats: sign, `exp` bits of exponent with `bias`, `man` bits of mantissa; subnormals when the exponent is 0.
 * max: the largest finite code. inf, nan: codes without the sign (-1: none). uz: no negative zero; its code is NaN.
 * OCP 8-bit floating point (E4M3, E5M2), OCP microscaling (E2M1), and arXiv:2206.02915 (the UZ forms). */
typedef struct FloatFormat {
    int exp, man, bias;
    int max, inf, nan;
    bool uz, saturates; /* saturates: `saturate` applies (float8); the others overflow to infinity, or clamp for want of one */
} FloatFormat;

static const FloatFormat formats[DLVK_DTYPE_COUNT] = {
    [DLVK_F16] = {5, 10, 15, 0x7bff, 0x7c00, 0x7e00, false, false},
    [DLVK_BF16] = {8, 7, 127, 0x7f7f, 0x7f80, 0x7fc0, false, false},
    [DLVK_F8E4M3FN] = {4, 3, 7, 0x7e, -1, 0x7f, false, true},
    [DLVK_F8E4M3FNUZ] = {4, 3, 8, 0x7f, -1, 0x80, true, true},
    [DLVK_F8E5M2] = {5, 2, 15, 0x7b, 0x7c, 0x7f, false, true},
    [DLVK_F8E5M2FNUZ] = {5, 2, 16, 0x7f, -1, 0x80, true, true},
    [DLVK_F4E2M1] = {2, 1, 1, 0x7, -1, -1, false, false},
};

const char *dtype_name(DType t)
{
    return (unsigned)t < DLVK_DTYPE_COUNT ? rows[t].name : "?";
}
DClass dtype_class(DType t)
{
    return (unsigned)t < DLVK_DTYPE_COUNT ? rows[t].cls : DC_NONE;
}
int dtype_bits(DType t)
{
    return (unsigned)t < DLVK_DTYPE_COUNT ? rows[t].bits : 0;
}
int dtype_to_onnx(DType t)
{
    return (unsigned)t < DLVK_DTYPE_COUNT ? rows[t].onnx : 0;
}

bool dtype_parse(const char *name, DType *t)
{
    for (int i = 0; i < DLVK_DTYPE_COUNT; i++) {
        if (strcmp(rows[i].name, name) == 0) {
            *t = (DType)i;
            return true;
        }
    }
    return false;
}

bool dtype_from_onnx(int64_t onnx, DType *t)
{
    for (int i = 0; i < DLVK_DTYPE_COUNT; i++) {
        if (rows[i].onnx == onnx) {
            *t = (DType)i;
            return true;
        }
    }
    return false;
}

int64_t dtype_bytes(DType t, int64_t count)
{
    int bits = dtype_bits(t);
    return bits < 8 ? (count * bits + 7) / 8 : count * (bits / 8);
}

static double narrow_decode(const FloatFormat *f, unsigned code)
{
    unsigned sign = 1u << (f->exp + f->man);
    unsigned mag = code & (sign - 1);
    if (f->uz ? code == sign : (int)mag == f->nan) return NAN;
    if ((int)mag == f->inf) return code & sign ? -INFINITY : INFINITY;
    if (f->inf >= 0 && (int)mag > f->inf) return NAN;
    int e = (int)(mag >> f->man);
    int m = (int)(mag & ((1u << f->man) - 1));
    double v = e ? ldexp(m + (1 << f->man), e - f->bias - f->man) : ldexp(m, 1 - f->bias - f->man);
    return code & sign ? -v : v;
}

/* Round to nearest even, straight from double: the value in units of its last place, rounded once. */
static unsigned narrow_encode(const FloatFormat *f, double v, bool saturate)
{
    unsigned sign_bit = 1u << (f->exp + f->man);
    unsigned sign = signbit(v) ? sign_bit : 0;
    if (isnan(v)) return f->uz ? sign_bit : f->nan < 0 ? sign_bit : sign | (unsigned)f->nan; /* E2M1 has none: -0 */
    double a = fabs(v);
    int64_t code = (int64_t)f->max + 1;
    if (!isinf(a)) {
        int e, emin = 1 - f->bias;
        frexp(a, &e);
        if (--e < emin || a == 0) e = emin;
        code = ((int64_t)(e - emin) << f->man) + (int64_t)nearbyint(ldexp(a, f->man - e));
    }
    if (code > f->max) {
        if (f->saturates ? saturate : f->inf < 0)
            code = f->max;
        else if (f->inf >= 0)
            code = f->inf;
        else
            return f->uz ? sign_bit : sign | (unsigned)f->nan;
    }
    if (f->uz && code == 0) return 0;
    return sign | (unsigned)code;
}

/* E8M0: powers of two from 2^-127, no sign, no zero. ONNX's Cast rounds up unless told otherwise. */
static unsigned e8m0_encode(double v, bool saturate)
{
    if (isnan(v) || isinf(v)) return 0xff;
    int e;
    double m = frexp(fabs(v), &e); /* m in [0.5, 1): v <= 2^e, and 2^(e-1) exactly when m is 0.5 */
    if (v == 0) return 0;
    if (m == 0.5) e--;
    if (e < -127) e = -127;
    if (e > 127) {
        if (!saturate) return 0xff;
        e = 127;
    }
    return (unsigned)(e + 127);
}

double dtype_round_f(DType t, double v, bool saturate)
{
    if (t == DLVK_F64 || dtype_class(t) != DC_FLOAT) return v;
    if (t == DLVK_F32) return (float)v;
    if (t == DLVK_F8E8M0) {
        unsigned code = e8m0_encode(v, saturate);
        return code == 0xff ? NAN : ldexp(1, (int)code - 127);
    }
    return narrow_decode(&formats[t], narrow_encode(&formats[t], v, saturate));
}

int64_t dtype_wrap_i(DType t, int64_t v)
{
    if (t == DLVK_BOOL) return v != 0;
    int bits = dtype_bits(t);
    if (bits == 0 || bits >= 64) return v;
    uint64_t low = (uint64_t)v & (((uint64_t)1 << bits) - 1);
    if (dtype_class(t) == DC_INT && low >> (bits - 1)) low |= ~(uint64_t)0 << bits;
    return (int64_t)low;
}

/* The bits of element i, in the low end. */
static uint64_t load_bits(int bits, const void *data, int64_t i)
{
    const unsigned char *p = data;
    uint64_t v = 0;
    if (bits < 8) {
        int64_t bit = i * bits;
        return (uint64_t)(p[bit / 8] >> (bit % 8)) & ((1u << bits) - 1);
    }
    memcpy(&v, p + i * (bits / 8), (size_t)bits / 8); /* little endian, as are the files */
    return v;
}

static void store_bits(int bits, void *data, int64_t i, uint64_t v)
{
    unsigned char *p = data;
    if (bits < 8) {
        int64_t bit = i * bits;
        unsigned mask = ((1u << bits) - 1) << (bit % 8);
        p[bit / 8] = (unsigned char)((p[bit / 8] & ~mask) | (((unsigned)v << (bit % 8)) & mask));
        return;
    }
    memcpy(p + i * (bits / 8), &v, (size_t)bits / 8);
}

/* Truncates; what does not fit saturates, NaN gives 0. For U64 the range is that of uint64. */
static int64_t double_to_int(double v, bool is_unsigned)
{
    if (isnan(v)) return 0;
    if (is_unsigned && v >= 0x1p63) return v >= 0x1p64 ? -1 : (int64_t)(uint64_t)v;
    if (v >= 0x1p63) return INT64_MAX;
    if (v < -0x1p63) return INT64_MIN;
    return (int64_t)v;
}

double elem_get_f(DType t, const void *data, int64_t i)
{
    switch (dtype_class(t)) {
    case DC_FLOAT: {
        uint64_t bits = load_bits(dtype_bits(t), data, i);
        if (t == DLVK_F64) {
            double d;
            memcpy(&d, &bits, sizeof d);
            return d;
        }
        if (t == DLVK_F32) {
            float f;
            uint32_t low = (uint32_t)bits;
            memcpy(&f, &low, sizeof f);
            return f;
        }
        if (t == DLVK_F8E8M0) return bits == 0xff ? NAN : ldexp(1, (int)bits - 127);
        return narrow_decode(&formats[t], (unsigned)bits);
    }
    case DC_INT:
    case DC_BOOL: return (double)elem_get_i(t, data, i);
    case DC_UINT: return (double)(uint64_t)elem_get_i(t, data, i);
    default: assert(!"a string has no number"); return 0;
    }
}

int64_t elem_get_i(DType t, const void *data, int64_t i)
{
    if (dtype_class(t) == DC_FLOAT) return double_to_int(elem_get_f(t, data, i), false);
    assert(dtype_bits(t));
    return dtype_wrap_i(t, (int64_t)load_bits(dtype_bits(t), data, i));
}

/* The bits of a magnitude, rounded to nearest even; infinity from 65520 on. */
static uint32_t half_bits(uint32_t mag)
{
    float x;
    uint32_t shifted;
    if (mag > 0x7f800000u) return 0x7e00;
    if (mag >= 0x477ff000u) return 0x7c00;
    if (mag >= 0x38800000u) return (mag + 0xfff + (mag >> 13 & 1) - 0x38000000u) >> 13;
    memcpy(&x, &mag, sizeof x); /* denormal: the addition rounds to units of 2^-24, the last place of 0.5 */
    x += 0.5f;
    memcpy(&shifted, &x, sizeof x);
    return shifted - 0x3f000000u;
}

bool floats_narrow(DType t, const void *x, int64_t n, uint16_t *to)
{
    const uint32_t inf = t == DLVK_F16 ? 0x7c00 : 0x7f80;
    bool fits = true;
    for (int64_t i = 0; i < n; i++) {
        uint32_t u, mag, code;
        memcpy(&u, (const char *)x + 4 * i, sizeof u);
        mag = u & 0x7fffffffu;
        code = t == DLVK_F16 ? half_bits(mag) : mag > 0x7f800000u ? 0x7fc0 : (mag + 0x7fff + (mag >> 16 & 1)) >> 16;
        fits &= code != inf || mag == 0x7f800000u;
        to[i] = (uint16_t)(code | (u >> 16 & 0x8000));
    }
    return fits;
}

void elem_set_f(DType t, void *data, int64_t i, double v)
{
    if (t == DLVK_F64) {
        memcpy((unsigned char *)data + i * 8, &v, 8);
    } else if (t == DLVK_F32) {
        float f = (float)v;
        memcpy((unsigned char *)data + i * 4, &f, 4);
    } else if (t == DLVK_BOOL) {
        store_bits(8, data, i, v != 0);
    } else if (dtype_class(t) == DC_FLOAT) {
        bool saturate = !isinf(v) || formats[t].inf < 0; /* an infinity that the type has stays one */
        store_bits(dtype_bits(t), data, i, t == DLVK_F8E8M0 ? e8m0_encode(v, true) : narrow_encode(&formats[t], v, saturate));
    } else {
        elem_set_i(t, data, i, double_to_int(v, t == DLVK_U64));
    }
}

void elem_set_i(DType t, void *data, int64_t i, int64_t v)
{
    if (dtype_class(t) != DC_FLOAT) {
        assert(dtype_bits(t));
        store_bits(dtype_bits(t), data, i, (uint64_t)dtype_wrap_i(t, v));
    } else if (t == DLVK_F64) {
        elem_set_f(t, data, i, (double)v);
    } else {
        /* More than 53 bits do not fit a double: fold the low ones into a sticky bit, so that the store below is the only
         * rounding. */
        uint64_t mag = v < 0 ? 0 - (uint64_t)v : (uint64_t)v;
        if (mag >> 53) mag = (mag >> 11 | (uint64_t)((mag & 0x7ff) != 0)) << 11;
        elem_set_f(t, data, i, v < 0 ? -(double)mag : (double)mag);
    }
}
