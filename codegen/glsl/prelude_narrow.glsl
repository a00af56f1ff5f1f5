// Float types below 32 bits as bits in the low end of a uint: NAME_to_f32, and f32_to_NAME, which rounds to nearest even.
// Overflow and NaN follow ONNX's Cast: f16, bf16 overflow to infinity; float8 saturates, and with _nosat becomes infinite, or
// NaN where the type has no infinity; f4e2m1 always saturates, and its NaN is -0.

//# narrow_decode:
// man bits of mantissa; `up` is 2^(127 - bias) and makes the float's exponent the type's, denormals included.
float narrow_decode(uint magnitude, uint sign, int man, int bias)
{
    if ((magnitude >> man) == 0u) { // denormal: an integer in units of 2^(1 - bias - man)
        float x = float(magnitude) * uintBitsToFloat(uint(128 - bias - man) << 23);
        return sign != 0u ? -x : x;
    }
    return uintBitsToFloat((sign << 31) | ((magnitude << (23 - man)) + (uint(127 - bias) << 23)));
}

//# magnitude_bits:
// Compares as |x| does, but as an integer: a driver that believes x to be no less than 0 (the result of a rsqrt, which for -0 is
// -infinity) leaves abs() out.
uint magnitude_bits(float x) { return floatBitsToUint(x) & 0x7fffffffu; }

//# narrow_encode:
// The magnitude of a finite x, rounded, with no regard to the type's largest.
uint narrow_encode(float x, int man, int bias)
{
    uint u = floatBitsToUint(x) & 0x7fffffffu;
    if (u < uint(128 - bias) << 23) { // denormal
        precise float scaled = uintBitsToFloat(u) * uintBitsToFloat(uint(126 + bias + man) << 23);
        return uint(roundEven(scaled));
    }
    int down = 23 - man;
    u += (1u << (down - 1)) - 1u + ((u >> down) & 1u);
    return (u >> down) - (uint(127 - bias) << man);
}

//# f16_to_f32:
float f16_to_f32(uint h) { return unpackHalf2x16(h).x; }

//# f16_half:
// Number j % 2 of the two in a word.
float f16_half(uint w, int j)
{
    vec2 x = unpackHalf2x16(w);
    return (j & 1) != 0 ? x.y : x.x;
}

//# f16_round:
// x as f16 can hold it. Not there and back by conversions: a driver may leave out such a pair.
float f16_round(float x)
{
    uint u = floatBitsToUint(x), m = u & 0x7fffffffu;
    if (m >= 0x477ff000u) { // from 65520 on
        m = max(m, 0x7f800000u);
    } else if (m < 0x38800000u) { // denormal: in units of 2^-24, as floats from a half on
        precise float shifted = uintBitsToFloat(m) + 0.5;
        precise float back = shifted - 0.5;
        m = floatBitsToUint(back);
    } else {
        m = (m + 0xfffu + ((m >> 13) & 1u)) & 0xffffe000u;
    }
    return uintBitsToFloat((u & 0x80000000u) | m);
}

//# bf16_to_f32:
float bf16_to_f32(uint h) { return uintBitsToFloat(h << 16); }

//# f32_to_bf16:
uint f32_to_bf16(float x)
{
    uint u = floatBitsToUint(x);
    if (op_is_nan(x)) return ((u >> 16) & 0x8000u) | 0x7fc0u;
    return (u + 0x7fffu + ((u >> 16) & 1u)) >> 16;
}

//# f8e4m3fn_to_f32:
float f8e4m3fn_to_f32(uint h) { return (h & 0x7fu) == 0x7fu ? NAN : narrow_decode(h & 0x7fu, (h >> 7) & 1u, 3, 7); }

//# f8e4m3fnuz_to_f32:
float f8e4m3fnuz_to_f32(uint h) { return (h & 0xffu) == 0x80u ? NAN : narrow_decode(h & 0x7fu, (h >> 7) & 1u, 3, 8); }

//# f8e5m2_to_f32:
float f8e5m2_to_f32(uint h)
{
    uint m = h & 0x7fu, sign = (h >> 7) & 1u;
    if (m >= 0x7cu) return m > 0x7cu ? NAN : sign != 0u ? -INF : INF;
    return narrow_decode(m, sign, 2, 15);
}

//# f8e5m2fnuz_to_f32:
float f8e5m2fnuz_to_f32(uint h) { return (h & 0xffu) == 0x80u ? NAN : narrow_decode(h & 0x7fu, (h >> 7) & 1u, 2, 16); }

//# f4e2m1_to_f32:
float f4e2m1_to_f32(uint h) { return narrow_decode(h & 7u, (h >> 3) & 1u, 1, 1); }

//# f8e8m0_to_f32:
float f8e8m0_to_f32(uint h)
{
    h &= 0xffu;
    return h == 0xffu ? NAN : uintBitsToFloat(h == 0u ? 0x400000u : h << 23);
}

//# narrow_encode8:
// A float8: `most` its largest magnitude, `over` what lies above, `nan` its NaN; for the fnuz types NaN is -0, so `over` or `nan` of
// 0x80 stand without a sign, and a zero has none.
uint narrow_encode8(float x, int man, int bias, uint most, uint over, uint nan, bool fnuz)
{
    uint sign = (floatBitsToUint(x) >> 24) & 0x80u;
    uint m = nan;
    if (!op_is_nan(x)) {
        m = magnitude_bits(x) >= 0x49742400u ? most + 1u /* 1e6 */ : narrow_encode(x, man, bias);
        if (m > most) m = over;
    }
    return fnuz && (m == 0u || m == 0x80u) ? m : sign | m;
}

//# f32_to_f8e4m3fn:
uint f32_to_f8e4m3fn(float x) { return narrow_encode8(x, 3, 7, 0x7eu, 0x7eu, 0x7fu, false); }

//# f32_to_f8e4m3fn_nosat:
uint f32_to_f8e4m3fn_nosat(float x) { return narrow_encode8(x, 3, 7, 0x7eu, 0x7fu, 0x7fu, false); }

//# f32_to_f8e4m3fnuz:
uint f32_to_f8e4m3fnuz(float x) { return narrow_encode8(x, 3, 8, 0x7fu, 0x7fu, 0x80u, true); }

//# f32_to_f8e4m3fnuz_nosat:
uint f32_to_f8e4m3fnuz_nosat(float x) { return narrow_encode8(x, 3, 8, 0x7fu, 0x80u, 0x80u, true); }

//# f32_to_f8e5m2:
uint f32_to_f8e5m2(float x) { return narrow_encode8(x, 2, 15, 0x7bu, 0x7bu, 0x7fu, false); }

//# f32_to_f8e5m2_nosat:
uint f32_to_f8e5m2_nosat(float x) { return narrow_encode8(x, 2, 15, 0x7bu, 0x7cu, 0x7fu, false); }

//# f32_to_f8e5m2_keep:
// For stores: finite values saturate, infinity (of an unsaturated cast) stays.
uint f32_to_f8e5m2_keep(float x) { return magnitude_bits(x) == 0x7f800000u ? f32_to_f8e5m2_nosat(x) : f32_to_f8e5m2(x); }

//# f32_to_f8e5m2fnuz:
uint f32_to_f8e5m2fnuz(float x) { return narrow_encode8(x, 2, 16, 0x7fu, 0x7fu, 0x80u, true); }

//# f32_to_f8e5m2fnuz_nosat:
uint f32_to_f8e5m2fnuz_nosat(float x) { return narrow_encode8(x, 2, 16, 0x7fu, 0x80u, 0x80u, true); }

//# f32_to_f4e2m1:
uint f32_to_f4e2m1(float x)
{
    if (op_is_nan(x)) return 8u;
    uint sign = (floatBitsToUint(x) >> 28) & 8u;
    return sign | (magnitude_bits(x) >= 0x40c00000u ? 7u /* 6 */ : narrow_encode(x, 1, 1));
}

//# f8e8m0_round:
// The exponent of the power of two at or above |x|; 255 for what has none.
uint f8e8m0_round(float x)
{
    uint u = floatBitsToUint(x) & 0x7fffffffu;
    if (u >= 0x7f800000u) return 255u;
    if (u <= 0x400000u) return 0u; // 2^-127 and less
    return (u >> 23) + ((u & 0x7fffffu) != 0u ? 1u : 0u);
}

//# f32_to_f8e8m0:
uint f32_to_f8e8m0(float x)
{
    uint e = f8e8m0_round(x);
    return (floatBitsToUint(x) & 0x7fffffffu) < 0x7f800000u ? min(e, 254u) : e;
}

//# f32_to_f8e8m0_nosat:
uint f32_to_f8e8m0_nosat(float x) { return f8e8m0_round(x); }
