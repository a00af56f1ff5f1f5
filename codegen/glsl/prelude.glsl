// The GLSL library of the kernels, in chunks. A chunk begins with a line
//     //# NAME:
// and lasts to the next such line: NAME with all its overloads. A kernel gets the chunks whose names it uses, each behind those
// that its own text names (codegen/prelude.c), so a chunk must not call itself through another.
//
//     prelude.glsl             integers, bools, comparisons, conversions of 32 bits; what kernels of every kind share
//     prelude_math.glsl        functions of a float
//     prelude_narrow.glsl      bf16, float8, float4 as bits
//     prelude_f16_native.glsl  f16 by the device's conversions, or
//     prelude_f16_soft.glsl    as bits
//     prelude_wide.glsl        64-bit words as uvec2, for the files below
//     prelude_i64_native.glsl  I64 and U64 as int64_t and uint64_t, or
//     prelude_i64_emul.glsl    as structs; then, for both,
//     prelude_i64_math.glsl    what is written in terms of the other 64-bit functions
//     prelude_f64_native.glsl  F64 as double, or
//     prelude_f64_soft.glsl    as a struct, in IEEE arithmetic on integers; then, for both,
//     prelude_f64_math.glsl    transcendental functions
//     prelude_f64_i64.glsl     conversions between F64 and I64, U64
//
// Names of functions are the same for all classes of operands (op_add, to_int), so the i64 and f64 files count only
// for a kernel that has such values. Integer operations never trap; what C leaves undefined is defined as in ir/ops.def.

//# fastdiv:
// n / d.x for n < 2^31; d as runtime/plan.proto describes it.
uint fastdiv(uint n, uvec3 d)
{
    uint hi, lo;
    umulExtended(n << 1, d.y, hi, lo);
    return hi >> d.z;
}

//# fastmod:
uint fastmod(uint n, uvec3 d) { return n - fastdiv(n, d) * d.x; }

//# to_index:
// An index into an axis; one that no axis has stays too small or too large.
int to_index(int i) { return i; }
int to_index(uint i) { return int(min(i, 0x7fffffffu)); }

//# INF:
#define INF uintBitsToFloat(0x7f800000u)

//# NAN:
#define NAN uintBitsToFloat(0x7fc00000u)

//# op_is_nan:
// On the bits: a compiler may take a comparison for granted.
bool op_is_nan(float x) { return (floatBitsToUint(x) & 0x7fffffffu) > 0x7f800000u; }

//# op_is_inf:
bool op_is_inf(float x) { return (floatBitsToUint(x) & 0x7fffffffu) == 0x7f800000u; }

//# op_max:
float op_max(float a, float b) { return op_is_nan(a) ? a : op_is_nan(b) ? b : max(a, b); }
int op_max(int a, int b) { return max(a, b); }
uint op_max(uint a, uint b) { return max(a, b); }
bool op_max(bool a, bool b) { return a || b; }

//# op_min:
float op_min(float a, float b) { return op_is_nan(a) ? a : op_is_nan(b) ? b : min(a, b); }
int op_min(int a, int b) { return min(a, b); }
uint op_min(uint a, uint b) { return min(a, b); }
bool op_min(bool a, bool b) { return a && b; }

//# op_ne:
bool op_ne(float a, float b) { return !(a == b); }
bool op_ne(int a, int b) { return a != b; }
bool op_ne(uint a, uint b) { return a != b; }
bool op_ne(bool a, bool b) { return a != b; }

//# op_eq:
bool op_eq(float a, float b) { return a == b; }
bool op_eq(int a, int b) { return a == b; }
bool op_eq(uint a, uint b) { return a == b; }
bool op_eq(bool a, bool b) { return a == b; }

//# op_lt:
bool op_lt(float a, float b) { return a < b; }
bool op_lt(int a, int b) { return a < b; }
bool op_lt(uint a, uint b) { return a < b; }
bool op_lt(bool a, bool b) { return !a && b; }

//# op_le:
bool op_le(float a, float b) { return a <= b; }
bool op_le(int a, int b) { return a <= b; }
bool op_le(uint a, uint b) { return a <= b; }
bool op_le(bool a, bool b) { return !a || b; }

//# op_gt:
bool op_gt(float a, float b) { return a > b; }
bool op_gt(int a, int b) { return a > b; }
bool op_gt(uint a, uint b) { return a > b; }
bool op_gt(bool a, bool b) { return a && !b; }

//# op_ge:
bool op_ge(float a, float b) { return a >= b; }
bool op_ge(int a, int b) { return a >= b; }
bool op_ge(uint a, uint b) { return a >= b; }
bool op_ge(bool a, bool b) { return a || !b; }

//# op_div:
int op_div(int a, int b) { return b == 0 ? 0 : b == -1 ? -a : a / b; }
uint op_div(uint a, uint b) { return b == 0u ? 0u : a / b; }

//# float_div:
// Rounded correctly, where a GPU's own division may be off by 2.5 ulp: the remainder, which fma gives exactly, corrects the quotient.
// For devices whose fma is one operation; CPU drivers divide correctly by themselves.
float float_div(float a, float b)
{
    // The reciprocal of a large b, which the division makes use of, may be flushed to zero.
    float scale = magnitude_bits(b) >= 0x7e800000u ? 0.25 : 1.0; // 2^126
    precise float u = a * scale, v = b * scale;
    precise float q = u / v;
    precise float r = fma(-q, v, u);
    precise float c = q + r / v;
    uint eq = floatBitsToUint(q) & 0x7f800000u, eb = floatBitsToUint(v) & 0x7f800000u;
    return eq == 0u || eq == 0x7f800000u || eb == 0u ? q : c;
}

//# float_rem:
// C's fmodf, exactly: long division of the mantissas, one quotient bit a step.
float float_rem(float a, float b)
{
    uint ua = floatBitsToUint(a) & 0x7fffffffu, ub = floatBitsToUint(b) & 0x7fffffffu, sign = floatBitsToUint(a) & 0x80000000u;
    if (ua >= 0x7f800000u || ub > 0x7f800000u || ub == 0u) return NAN;
    if (ua < ub) return a;
    int ea = int(ua >> 23), eb = int(ub >> 23);
    uint ma = (ua & 0x7fffffu) | 0x800000u, mb = (ub & 0x7fffffu) | 0x800000u;
    if (ea == 0) ea = findMSB(ua) - 22, ma = ua << (1 - ea); // denormal
    if (eb == 0) eb = findMSB(ub) - 22, mb = ub << (1 - eb);
    for (int n = ea - eb; n >= 0; n--) {
        if (ma >= mb) ma -= mb;
        if (n > 0) ma <<= 1;
    }
    if (ma == 0u) return uintBitsToFloat(sign);
    int up = min(23 - findMSB(ma), eb - 1); // back to 24 bits, or as far as the exponent lets
    ma = up >= 0 ? ma << up : ma >> -up;
    return uintBitsToFloat(sign | (ma >= 0x800000u ? (uint(eb - up) << 23) | (ma & 0x7fffffu) : ma));
}

//# op_rem:
int op_rem(int a, int b) { return b == 0 ? 0 : a - op_div(a, b) * b; } // GLSL's % is undefined for negative operands
uint op_rem(uint a, uint b) { return b == 0u ? 0u : a % b; }
float op_rem(float a, float b) { return float_rem(a, b); }

//# op_mod:
int op_mod(int a, int b)
{
    int r = op_rem(a, b);
    return r != 0 && (r ^ b) < 0 ? r + b : r;
}
uint op_mod(uint a, uint b) { return op_rem(a, b); }
float op_mod(float a, float b)
{
    float r = op_rem(a, b);
    if (r == 0.0) return uintBitsToFloat(floatBitsToUint(b) & 0x80000000u);
    return (r < 0.0) != (b < 0.0) ? r + b : r;
}

//# op_abs:
int op_abs(int a) { return abs(a); }
uint op_abs(uint a) { return a; }

//# op_sign:
float op_sign(float a) { return a > 0.0 ? 1.0 : a < 0.0 ? -1.0 : a; } // NaN and zeros as they are
int op_sign(int a) { return sign(a); }
uint op_sign(uint a) { return min(a, 1u); }

//# op_and:
int op_and(int a, int b) { return a & b; }
uint op_and(uint a, uint b) { return a & b; }
bool op_and(bool a, bool b) { return a && b; }

//# op_or:
int op_or(int a, int b) { return a | b; }
uint op_or(uint a, uint b) { return a | b; }
bool op_or(bool a, bool b) { return a || b; }

//# op_xor:
int op_xor(int a, int b) { return a ^ b; }
uint op_xor(uint a, uint b) { return a ^ b; }
bool op_xor(bool a, bool b) { return a != b; }

//# op_not:
int op_not(int a) { return ~a; }
uint op_not(uint a) { return ~a; }
bool op_not(bool a) { return !a; }

//# op_shl:
int op_shl(int a, int b) { return uint(b) < 32u ? a << b : 0; }
uint op_shl(uint a, uint b) { return b < 32u ? a << b : 0u; }

//# op_shr:
int op_shr(int a, int b) { return uint(b) < 32u ? a >> b : a < 0 ? -1 : 0; }
uint op_shr(uint a, uint b) { return b < 32u ? a >> b : 0u; }

//# to_int:
// Truncates and saturates; NaN gives 0.
int to_int(float x)
{
    return op_is_nan(x) ? 0 : x >= 2147483648.0 ? 0x7fffffff : x <= -2147483648.0 ? int(0x80000000u) : int(x);
}
int to_int(int x) { return x; }
int to_int(uint x) { return int(x); }
int to_int(bool x) { return x ? 1 : 0; }

//# to_uint:
// Below 0 as an int, which wraps.
uint to_uint(float x) { return x >= 4294967296.0 ? 0xffffffffu : x > 0.0 ? uint(x) : uint(to_int(x)); }
uint to_uint(int x) { return uint(x); }
uint to_uint(uint x) { return x; }
uint to_uint(bool x) { return x ? 1u : 0u; }

//# uint_to_float:
// Rounded to nearest even, once; SwiftShader's own conversion is not.
float uint_to_float(uint x) { return float(x >> 16) * 65536.0 + float(x & 0xffffu); }

//# to_float:
float to_float(float x) { return x; }
float to_float(int x) { return float(x); }
float to_float(uint x) { return uint_to_float(x); }
float to_float(bool x) { return x ? 1.0 : 0.0; }

//# to_bool:
bool to_bool(float x) { return (floatBitsToUint(x) & 0x7fffffffu) != 0u; } // NaN is true
bool to_bool(int x) { return x != 0; }
bool to_bool(uint x) { return x != 0u; }
bool to_bool(bool x) { return x; }

//# op_to_bool:
bool op_to_bool(float x) { return to_bool(x); }
