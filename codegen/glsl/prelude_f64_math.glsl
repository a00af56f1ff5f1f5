// Functions of F64 in terms of its arithmetic, for native doubles and emulated ones alike: range reduction and series. Loops over
// tables of coefficients keep the code short where each operation is a page of integer arithmetic.

//# op_is_inf:
bool op_is_inf(F64 a)
{
    uvec2 v = f64_store(a);
    return v.x == 0u && (v.y & 0x7fffffffu) == 0x7ff00000u;
}

//# f64_inf:
F64 f64_inf() { return f64_load(uvec2(0u, 0x7ff00000u)); }

//# f64_negative:
bool f64_negative(F64 a) { return int(f64_store(a).y) < 0; } // -0, too

//# f64_sign_of:
F64 f64_sign_of(F64 magnitude, F64 sign)
{
    uvec2 m = f64_store(magnitude);
    return f64_load(uvec2(m.x, (m.y & 0x7fffffffu) | (f64_store(sign).y & 0x80000000u)));
}

//# op_max:
F64 op_max(F64 a, F64 b) { return op_is_nan(a) || op_gt(a, b) ? a : b; }

//# op_min:
F64 op_min(F64 a, F64 b) { return op_is_nan(a) || op_lt(a, b) ? a : b; }

//# op_sign:
F64 op_sign(F64 a) { return op_eq(a, a) && op_ne(a, to_f64(0.0)) ? f64_sign_of(to_f64(1.0), a) : a; }

//# op_floor:
F64 op_floor(F64 a)
{
    F64 t = op_trunc(a);
    return op_lt(a, t) ? op_sub(t, to_f64(1.0)) : t;
}

//# op_ceil:
F64 op_ceil(F64 a)
{
    F64 t = op_trunc(a);
    return op_lt(t, a) ? f64_sign_of(op_add(t, to_f64(1.0)), a) : t;
}

//# op_round:
// Half to even.
F64 op_round(F64 a)
{
    F64 t = op_trunc(a), d = op_abs(op_sub(a, t)), half_t = op_mul(t, to_f64(0.5));
    bool up = op_gt(d, to_f64(0.5)) || (op_eq(d, to_f64(0.5)) && op_ne(op_trunc(half_t), half_t));
    return up ? op_add(t, f64_sign_of(to_f64(1.0), a)) : t;
}

//# op_rsqrt:
F64 op_rsqrt(F64 a) { return op_div(to_f64(1.0), op_sqrt(a)); }

//# op_rem:
// C's fmod, exactly: long division of the mantissas.
F64 op_rem(F64 a, F64 b)
{
    uvec2 x = f64_store(op_abs(a)), y = f64_store(op_abs(b));
    uint sign = f64_store(a).y & 0x80000000u;
    if (x.y >= 0x7ff00000u || op_is_nan(b) || y == uvec2(0u)) return f64_nan();
    if (u2_lt(x, y)) return a;
    int ex = int(x.y >> 20), ey = int(y.y >> 20);
    uvec2 mx = uvec2(x.x, (x.y & 0xfffffu) | 0x100000u), my = uvec2(y.x, (y.y & 0xfffffu) | 0x100000u);
    if (ex == 0) ex = u2_msb(x) - 51, mx = u2_shl(x, 1 - ex);
    if (ey == 0) ey = u2_msb(y) - 51, my = u2_shl(y, 1 - ey);
    for (int n = ex - ey; n >= 0; n--) {
        if (!u2_lt(mx, my)) mx = u2_sub(mx, my);
        if (n > 0) mx = u2_shl(mx, 1);
    }
    if (mx == uvec2(0u)) return f64_load(uvec2(0u, sign));
    int up = min(52 - u2_msb(mx), ey - 1);
    mx = up >= 0 ? u2_shl(mx, up) : u2_shr(mx, -up);
    if (mx.y >= 0x100000u) mx.y = (mx.y & 0xfffffu) | (uint(ey - up) << 20);
    return f64_load(uvec2(mx.x, mx.y | sign));
}

//# op_mod:
F64 op_mod(F64 a, F64 b)
{
    F64 r = op_rem(a, b), zero = to_f64(0.0);
    if (op_eq(r, zero)) return f64_sign_of(zero, b);
    return op_lt(r, zero) != op_lt(b, zero) ? op_add(r, b) : r;
}

//# to_float:
// Rounded to nearest even.
float to_float(F64 a)
{
    uvec2 v = f64_store(a);
    uint sign = v.y & 0x80000000u;
    int e = int((v.y >> 20) & 0x7ffu);
    if (e == 0x7ff) return uintBitsToFloat(sign | (op_is_nan(a) ? 0x7fc00000u : 0x7f800000u));
    e -= 1023 - 127;
    if (e >= 255) return uintBitsToFloat(sign | 0x7f800000u);
    if (e < -24) return uintBitsToFloat(sign);
    uint m = 0x80000000u | ((v.y & 0xfffffu) << 11) | (v.x >> 21), down = e > 0 ? 8u : uint(9 - e); // 32 bits, the top one set
    uint rest = (v.x & 0x1fffffu) != 0u ? 1u : 0u;
    if (down > 32u) return uintBitsToFloat(sign);
    uint q = down == 32u ? 0u : m >> down, low = down == 32u ? m : m << (32u - down);
    if (low > 0x80000000u || (low == 0x80000000u && (rest | (q & 1u)) != 0u)) q++;
    return uintBitsToFloat(sign | (q + (e > 0 ? uint(e - 1) << 23 : 0u)));
}

//# f64_to_odd:
// A float from which any narrower type is rounded as from the double: truncated, the last bit set if that lost anything.
float f64_to_odd(F64 a)
{
    uvec2 v = f64_store(a);
    uint sign = v.y & 0x80000000u;
    int e = int((v.y >> 20) & 0x7ffu) - (1023 - 127);
    if (e >= 255) return op_is_nan(a) || op_is_inf(a) ? to_float(a) : uintBitsToFloat(sign | 0x7f7fffffu);
    if (e < -23) return uintBitsToFloat(sign | ((v.x | (v.y & 0x7fffffffu)) != 0u ? 1u : 0u));
    uint m = 0x80000000u | ((v.y & 0xfffffu) << 11) | (v.x >> 21), down = e > 0 ? 8u : uint(9 - e);
    if (down > 31u) return uintBitsToFloat(sign | 1u);
    uint q = m >> down;
    if ((m & ((1u << down) - 1u)) != 0u || (v.x & 0x1fffffu) != 0u) q |= 1u;
    return uintBitsToFloat(sign | (q + (e > 0 ? uint(e - 1) << 23 : 0u)));
}

//# f64_to_f16:
uint f64_to_f16(F64 a) { return f32_to_f16(f64_to_odd(a)); }

//# f64_to_bf16:
uint f64_to_bf16(F64 a) { return f32_to_bf16(f64_to_odd(a)); }

//# f64_to_f8e4m3fn:
uint f64_to_f8e4m3fn(F64 a) { return f32_to_f8e4m3fn(f64_to_odd(a)); }

//# f64_to_f8e4m3fn_nosat:
uint f64_to_f8e4m3fn_nosat(F64 a) { return f32_to_f8e4m3fn_nosat(f64_to_odd(a)); }

//# f64_to_f8e4m3fnuz:
uint f64_to_f8e4m3fnuz(F64 a) { return f32_to_f8e4m3fnuz(f64_to_odd(a)); }

//# f64_to_f8e4m3fnuz_nosat:
uint f64_to_f8e4m3fnuz_nosat(F64 a) { return f32_to_f8e4m3fnuz_nosat(f64_to_odd(a)); }

//# f64_to_f8e5m2:
uint f64_to_f8e5m2(F64 a) { return f32_to_f8e5m2(f64_to_odd(a)); }

//# f64_to_f8e5m2_nosat:
uint f64_to_f8e5m2_nosat(F64 a) { return f32_to_f8e5m2_nosat(f64_to_odd(a)); }

//# f64_to_f8e5m2fnuz:
uint f64_to_f8e5m2fnuz(F64 a) { return f32_to_f8e5m2fnuz(f64_to_odd(a)); }

//# f64_to_f8e5m2fnuz_nosat:
uint f64_to_f8e5m2fnuz_nosat(F64 a) { return f32_to_f8e5m2fnuz_nosat(f64_to_odd(a)); }

//# f64_to_f4e2m1:
uint f64_to_f4e2m1(F64 a) { return f32_to_f4e2m1(f64_to_odd(a)); }

//# f64_to_f8e8m0:
uint f64_to_f8e8m0(F64 a) { return f32_to_f8e8m0(f64_to_odd(a)); }

//# f64_to_f8e8m0_nosat:
uint f64_to_f8e8m0_nosat(F64 a) { return f32_to_f8e8m0_nosat(f64_to_odd(a)); }

//# f64_to_word:
// |a| truncated, of a finite a below 2^64.
uvec2 f64_to_word(F64 a)
{
    uvec2 v = f64_store(a), m = uvec2(v.x, (v.y & 0xfffffu) | 0x100000u);
    int e = int((v.y >> 20) & 0x7ffu) - 1075;
    return e >= 0 ? u2_shl(m, e) : e > -53 ? u2_shr(m, -e) : uvec2(0u);
}

//# to_int:
// Truncates and saturates; NaN gives 0.
int to_int(F64 a)
{
    if (op_is_nan(a)) return 0;
    bool negative = f64_negative(a);
    if (op_ge(op_abs(a), to_f64(2147483648.0))) return negative ? int(0x80000000u) : 0x7fffffff;
    int m = int(f64_to_word(a).x);
    return negative ? -m : m;
}

//# to_uint:
// Below 0 as an int, which wraps.
uint to_uint(F64 a)
{
    if (op_is_nan(a) || f64_negative(a)) return uint(to_int(a));
    return op_ge(a, to_f64(4294967296.0)) ? 0xffffffffu : f64_to_word(a).x;
}

//# to_bool:
bool to_bool(F64 a)
{
    uvec2 v = f64_store(a);
    return (v.x | (v.y & 0x7fffffffu)) != 0u;
}

//# f64_scale:
// a * 2^n for |n| < 2200, rounded once.
F64 f64_scale(F64 a, int n)
{
    int half_n = n >> 1;
    return op_mul(op_mul(a, f64_load(uvec2(0u, uint(half_n + 1023) << 20))), f64_load(uvec2(0u, uint(n - half_n + 1023) << 20)));
}

//# f64_exp_series_table:
// (exp(x) - 1) / x, the highest power first
const uvec2 f64_exp_series_table[14] = uvec2[14](
    uvec2(0xa8c07c9du, 0x3da93974u), uvec2(0x13a86d09u, 0x3de61246u), uvec2(0xeff8d898u, 0x3e21eed8u),
    uvec2(0x67f544e4u, 0x3e5ae645u), uvec2(0xb7789f5cu, 0x3e927e4fu), uvec2(0xa556c734u, 0x3ec71de3u),
    uvec2(0x1a01a01au, 0x3efa01a0u), uvec2(0x1a01a01au, 0x3f2a01a0u), uvec2(0x16c16c17u, 0x3f56c16cu),
    uvec2(0x11111111u, 0x3f811111u), uvec2(0x55555555u, 0x3fa55555u), uvec2(0x55555555u, 0x3fc55555u),
    uvec2(0x00000000u, 0x3fe00000u), uvec2(0x00000000u, 0x3ff00000u));

//# f64_exp_series:
F64 f64_exp_series(F64 x)
{
    F64 p = f64_load(f64_exp_series_table[0]);
    for (int i = 1; i < 14; i++) p = op_add(op_mul(p, x), f64_load(f64_exp_series_table[i]));
    return p;
}

//# f64_log_series_table:
// (log((1+s)/(1-s)) - 2s) / s^3 in s^2, the highest power first
const uvec2 f64_log_series_table[12] = uvec2[12](
    uvec2(0x47ae147bu, 0x3fb47ae1u), uvec2(0x590b2164u, 0x3fb642c8u), uvec2(0x18618618u, 0x3fb86186u),
    uvec2(0xbca1af28u, 0x3fbaf286u), uvec2(0x1e1e1e1eu, 0x3fbe1e1eu), uvec2(0x11111111u, 0x3fc11111u),
    uvec2(0x13b13b14u, 0x3fc3b13bu), uvec2(0x745d1746u, 0x3fc745d1u), uvec2(0x1c71c71cu, 0x3fcc71c7u),
    uvec2(0x92492492u, 0x3fd24924u), uvec2(0x9999999au, 0x3fd99999u), uvec2(0x55555555u, 0x3fe55555u));

//# f64_log_series:
F64 f64_log_series(F64 x)
{
    F64 p = f64_load(f64_log_series_table[0]);
    for (int i = 1; i < 12; i++) p = op_add(op_mul(p, x), f64_load(f64_log_series_table[i]));
    return p;
}

//# f64_sin_series_table:
// sin(x) / x in x^2, the highest power first
const uvec2 f64_sin_series_table[10] = uvec2[10](
    uvec2(0x46814157u, 0xbc62f49bu), uvec2(0x7030ad4au, 0x3ce952c7u), uvec2(0xe733b81fu, 0xbd6ae7f3u),
    uvec2(0x13a86d09u, 0x3de61246u), uvec2(0x67f544e4u, 0xbe5ae645u), uvec2(0xa556c734u, 0x3ec71de3u),
    uvec2(0x1a01a01au, 0xbf2a01a0u), uvec2(0x11111111u, 0x3f811111u), uvec2(0x55555555u, 0xbfc55555u),
    uvec2(0x00000000u, 0x3ff00000u));

//# f64_sin_series:
F64 f64_sin_series(F64 x)
{
    F64 p = f64_load(f64_sin_series_table[0]);
    for (int i = 1; i < 10; i++) p = op_add(op_mul(p, x), f64_load(f64_sin_series_table[i]));
    return p;
}

//# f64_cos_series_table:
// cos(x) in x^2, the highest power first
const uvec2 f64_cos_series_table[10] = uvec2[10](
    uvec2(0x63b97d97u, 0xbca68278u), uvec2(0xe733b81fu, 0x3d2ae7f3u), uvec2(0xa8c07c9du, 0xbda93974u),
    uvec2(0xeff8d898u, 0x3e21eed8u), uvec2(0xb7789f5cu, 0xbe927e4fu), uvec2(0x1a01a01au, 0x3efa01a0u),
    uvec2(0x16c16c17u, 0xbf56c16cu), uvec2(0x55555555u, 0x3fa55555u), uvec2(0x00000000u, 0xbfe00000u),
    uvec2(0x00000000u, 0x3ff00000u));

//# f64_cos_series:
F64 f64_cos_series(F64 x)
{
    F64 p = f64_load(f64_cos_series_table[0]);
    for (int i = 1; i < 10; i++) p = op_add(op_mul(p, x), f64_load(f64_cos_series_table[i]));
    return p;
}

//# f64_atan_series_table:
// atan(x) / x in x^2, |x| <= 1/8, the highest power first
const uvec2 f64_atan_series_table[10] = uvec2[10](
    uvec2(0xbca1af28u, 0xbfaaf286u), uvec2(0x1e1e1e1eu, 0x3fae1e1eu), uvec2(0x11111111u, 0xbfb11111u),
    uvec2(0x13b13b14u, 0x3fb3b13bu), uvec2(0x745d1746u, 0xbfb745d1u), uvec2(0x1c71c71cu, 0x3fbc71c7u),
    uvec2(0x92492492u, 0xbfc24924u), uvec2(0x9999999au, 0x3fc99999u), uvec2(0x55555555u, 0xbfd55555u),
    uvec2(0x00000000u, 0x3ff00000u));

//# f64_atan_series:
F64 f64_atan_series(F64 x)
{
    F64 p = f64_load(f64_atan_series_table[0]);
    for (int i = 1; i < 10; i++) p = op_add(op_mul(p, x), f64_load(f64_atan_series_table[i]));
    return p;
}

//# f64_sinh_series_table:
// sinh(x) / x in x^2, |x| < 1, the highest power first
const uvec2 f64_sinh_series_table[11] = uvec2[11](
    uvec2(0xf6dcf572u, 0x3bd71b8eu), uvec2(0x46814157u, 0x3c62f49bu), uvec2(0x7030ad4au, 0x3ce952c7u),
    uvec2(0xe733b81fu, 0x3d6ae7f3u), uvec2(0x13a86d09u, 0x3de61246u), uvec2(0x67f544e4u, 0x3e5ae645u),
    uvec2(0xa556c734u, 0x3ec71de3u), uvec2(0x1a01a01au, 0x3f2a01a0u), uvec2(0x11111111u, 0x3f811111u),
    uvec2(0x55555555u, 0x3fc55555u), uvec2(0x00000000u, 0x3ff00000u));

//# f64_sinh_series:
F64 f64_sinh_series(F64 x)
{
    F64 p = f64_load(f64_sinh_series_table[0]);
    for (int i = 1; i < 11; i++) p = op_add(op_mul(p, x), f64_load(f64_sinh_series_table[i]));
    return p;
}

//# f64_erf_series_table:
// erf(x) / x in x^2, |x| < 2, the highest power first
const uvec2 f64_erf_series_table[34] = uvec2[34](
    uvec2(0xb3b1916bu, 0xb7e51e98u), uvec2(0xac4d9ceau, 0x3836731bu), uvec2(0x545013acu, 0xb887298eu),
    uvec2(0xf9dd3b8du, 0x38d72c97u), uvec2(0xa57148a3u, 0xb9267657u), uvec2(0x3be51298u, 0x39751219u),
    uvec2(0x76e54127u, 0xb9c31b77u), uvec2(0xddb047b0u, 0x3a10baeau), uvec2(0xff27ce65u, 0xba5c40abu),
    uvec2(0x977a0028u, 0x3aa6f928u), uvec2(0xc2b2753au, 0xbaf1f690u), uvec2(0x2fb19fa6u, 0x3b3af83cu),
    uvec2(0xc48c133cu, 0xbb83676fu), uvec2(0x31489f29u, 0x3bcab5ccu), uvec2(0xa061c479u, 0xbc118cc8u),
    uvec2(0x9bc67b8cu, 0x3c55f791u), uvec2(0xaf3447f6u, 0xbc9a2007u), uvec2(0x537f4765u, 0x3cdd70b3u),
    uvec2(0x71a885cfu, 0xbd1f56f0u), uvec2(0xe4a97007u, 0x3d5f683au), uvec2(0xcb0c46eau, 0xbd9d8453u),
    uvec2(0x5e55a730u, 0x3dd9e6adu), uvec2(0x81c5d36du, 0xbe151d71u), uvec2(0x20624c1cu, 0x3e4fcc57u),
    uvec2(0xec43e71au, 0xbe85f742u), uvec2(0x9dc651a3u, 0x3ebb9e6cu), uvec2(0xc3e0c2ebu, 0xbeef4d25u),
    uvec2(0x6f9b89b7u, 0x3f1f9a32u), uvec2(0x40040b86u, 0xbf4c02dbu), uvec2(0xd0e6a53fu, 0x3f7565bcu),
    uvec2(0x31288b51u, 0xbf9b82ceu), uvec2(0x1a042be2u, 0x3fbce2f2u), uvec2(0x6b0379e7u, 0xbfd81274u),
    uvec2(0x50429b6du, 0x3ff20dd7u));

//# f64_erf_series:
F64 f64_erf_series(F64 x)
{
    F64 p = f64_load(f64_erf_series_table[0]);
    for (int i = 1; i < 34; i++) p = op_add(op_mul(p, x), f64_load(f64_erf_series_table[i]));
    return p;
}

//# f64_atan_quarters:
// atan(k/4)
const uvec2 f64_atan_quarters[5] = uvec2[5](
    uvec2(0x00000000u, 0x00000000u), uvec2(0xf92c80ddu, 0x3fcf5b75u), uvec2(0x0561bb4fu, 0x3fddac67u),
    uvec2(0xa3269ee1u, 0x3fe4978fu), uvec2(0x54442d18u, 0x3fe921fbu));

//# f64_exp_reduce:
// x = n*ln(2) + r with |r| <= ln(2)/2; returns exp(r) - 1.
F64 f64_exp_reduce(F64 x, out int n)
{
    F64 k = op_round(op_mul(x, f64_load(uvec2(0x652b82feu, 0x3ff71547u)))); // 1 / ln(2)
    F64 r = op_sub(op_sub(x, op_mul(k, f64_load(uvec2(0xfefa2000u, 0x3fe62e42u)))), op_mul(k, f64_load(uvec2(0x793c7673u, 0x3d69ef35u)))); // ln(2) in two parts
    n = to_int(k);
    return op_mul(r, f64_exp_series(r));
}

//# op_exp:
F64 op_exp(F64 x)
{
    if (op_is_nan(x)) return x;
    if (op_gt(x, to_f64(709.79))) return f64_inf();
    if (op_lt(x, to_f64(-746.0))) return to_f64(0.0);
    int n;
    F64 p = f64_exp_reduce(x, n);
    return f64_scale(op_add(to_f64(1.0), p), n);
}

//# op_expm1:
F64 op_expm1(F64 x)
{
    if (op_is_nan(x) || op_lt(op_abs(x), to_f64(1e-17))) return x;
    if (op_gt(x, to_f64(709.79))) return f64_inf();
    if (op_lt(x, to_f64(-40.0))) return to_f64(-1.0);
    int n;
    F64 p = f64_exp_reduce(x, n), t = f64_load(uvec2(0u, uint(n + 1022) << 20)); // 2^(n-1)
    F64 y = op_add(op_mul(t, p), op_sub(t, to_f64(0.5)));
    return op_add(y, y);
}

//# op_log:
F64 op_log(F64 x)
{
    F64 zero = to_f64(0.0);
    if (op_is_nan(x) || op_eq(x, f64_inf())) return x;
    if (op_le(x, zero)) return op_eq(x, zero) ? op_neg(f64_inf()) : f64_nan();
    int e = 0;
    if (op_lt(x, f64_load(uvec2(0u, 0x00100000u)))) x = op_mul(x, f64_load(uvec2(0u, 0x43500000u))), e = -54; // denormal
    uvec2 v = f64_store(x);
    uint hi = v.y - 0x3fe6a09eu; // sqrt(1/2)
    e += int(hi) >> 20;
    F64 m = f64_load(uvec2(v.x, (hi & 0xfffffu) + 0x3fe6a09eu)), f = op_sub(m, to_f64(1.0));
    F64 s = op_div(f, op_add(to_f64(2.0), f)), z = op_mul(s, s), h = op_mul(to_f64(0.5), op_mul(f, f)), k = to_f64(e);
    F64 tail = op_add(op_mul(s, op_add(h, op_mul(z, f64_log_series(z)))), op_mul(k, f64_load(uvec2(0x793c7673u, 0x3d69ef35u))));
    return op_sub(op_mul(k, f64_load(uvec2(0xfefa2000u, 0x3fe62e42u))), op_sub(op_sub(h, tail), f));
}

//# op_log1p:
F64 op_log1p(F64 x)
{
    F64 one = to_f64(1.0), u = op_add(one, x);
    if (op_eq(u, one) || op_is_inf(u)) return op_is_inf(u) && f64_negative(u) ? f64_nan() : x;
    F64 d = op_sub(u, one), y = op_log(u);
    return op_eq(d, x) ? y : op_mul(y, op_div(x, d));
}

//# f64_trig_large:
// The same for |x| >= 2^20 (Payne and Hanek): the product of the mantissa with just those bits of 2/pi that matter modulo 4.
const uint f64_two_over_pi[40] = uint[40](
    0x00000000u, 0x00000000u, 0xa2f9836eu, 0x4e441529u, 0xfc2757d1u, 0xf534ddc0u, 0xdb629599u, 0x3c439041u,
    0xfe5163abu, 0xdebbc561u, 0xb7246e3au, 0x424dd2e0u, 0x06492eeau, 0x09d1921cu, 0xfe1deb1cu, 0xb129a73eu,
    0xe88235f5u, 0x2ebb4484u, 0xe99c7026u, 0xb45f7e41u, 0x3991d639u, 0x835339f4u, 0x9c845f8bu, 0xbdf9283bu,
    0x1ff897ffu, 0xde05980fu, 0xef2f118bu, 0x5a0a6d1fu, 0x6d367ecfu, 0x27cb09b7u, 0x4f463f66u, 0x9e5fea2du,
    0x7527bac7u, 0xebe5f17bu, 0x3d0739f7u, 0x8a5292eau, 0x6bfb5fb1u, 0x1f8d5d08u, 0x56033046u, 0xfc7b6babu);
F64 f64_trig_large(F64 x, out int q)
{
    uvec2 v = f64_store(x), m = uvec2(v.x, (v.y & 0xfffffu) | 0x100000u);
    uint at = ((v.y >> 20) & 0x7ffu) - 1013u, shift = at & 31u, w[6], y[6];
    for (uint i = 0u; i < 6u; i++) { // least word first
        uint k = (at >> 5) + 5u - i;
        w[i] = shift == 0u ? f64_two_over_pi[k] : (f64_two_over_pi[k] << shift) | (f64_two_over_pi[k + 1u] >> (32u - shift));
        y[i] = 0u;
    }
    for (int part = 0; part < 2; part++) {
        uint carry = 0u;
        for (int i = part; i < 6; i++) {
            uvec2 t;
            umulExtended(m[part], w[i - part], t.y, t.x);
            t = u2_add(u2_add(t, uvec2(y[i], 0u)), uvec2(carry, 0u));
            y[i] = t.x, carry = t.y;
        }
    }
    q = int(y[5] >> 30);
    bool up = (y[5] & 0x20000000u) != 0u; // to the nearest multiple: the fraction in [-1/2, 1/2)
    F64 r = to_f64(0.0);
    for (int i = 2; i < 6; i++) {
        uint f = (y[i] << 2) | (y[i - 1] >> 30);
        r = op_mul(op_add(r, to_f64(up ? ~f : f)), to_f64(2.3283064365386963e-10));
    }
    r = op_mul(r, f64_load(uvec2(0x54442d18u, 0x3ff921fbu)));
    if (up) q++;
    if (f64_negative(x)) q = -q, up = !up;
    return up ? op_neg(r) : r;
}

//# f64_trig_reduce:
// x = q*pi/2 + r with |r| <= pi/4, for finite x; returns r. Small x: pi/2 in three parts of 33 bits and the rest.
F64 f64_trig_reduce(F64 x, out int q)
{
    if (op_ge(op_abs(x), to_f64(1048576.0))) return f64_trig_large(x, q);
    F64 k = op_round(op_mul(x, f64_load(uvec2(0x6dc9c883u, 0x3fe45f30u))));
    q = to_int(k);
    F64 r = op_sub(x, op_mul(k, f64_load(uvec2(0x54400000u, 0x3ff921fbu))));
    r = op_sub(r, op_mul(k, f64_load(uvec2(0x1a600000u, 0x3dd0b461u))));
    r = op_sub(r, op_mul(k, f64_load(uvec2(0x2e000000u, 0x3ba3198au))));
    return op_sub(r, op_mul(k, f64_load(uvec2(0x252049c1u, 0x397b839au))));
}

//# f64_sin_cos:
// sin (turn 0) or cos (turn 1) of x.
F64 f64_sin_cos(F64 x, int turn)
{
    if (op_is_nan(x) || op_is_inf(x)) return f64_nan();
    int q;
    F64 r = f64_trig_reduce(x, q), z = op_mul(r, r), y;
    q += turn;
    if ((q & 1) != 0) y = f64_cos_series(z);
    else y = op_mul(r, f64_sin_series(z));
    return (q & 2) != 0 ? op_neg(y) : y;
}

//# op_sin:
F64 op_sin(F64 x) { return f64_sin_cos(x, 0); }

//# op_cos:
F64 op_cos(F64 x) { return f64_sin_cos(x, 1); }

//# op_tan:
F64 op_tan(F64 x)
{
    if (op_is_nan(x) || op_is_inf(x)) return f64_nan();
    int q;
    F64 r = f64_trig_reduce(x, q), z = op_mul(r, r), s = op_mul(r, f64_sin_series(z)), c = f64_cos_series(z);
    return (q & 1) != 0 ? op_neg(op_div(c, s)) : op_div(s, c);
}

//# op_atan:
F64 op_atan(F64 x)
{
    if (op_is_nan(x)) return x;
    F64 a = op_abs(x), one = to_f64(1.0);
    bool inverse = op_gt(a, one);
    if (inverse) a = op_div(one, a);
    F64 quarters = op_round(op_mul(a, to_f64(4.0))), c = op_mul(quarters, to_f64(0.25));
    F64 t = op_div(op_sub(a, c), op_add(one, op_mul(a, c)));
    F64 y = op_add(op_mul(t, f64_atan_series(op_mul(t, t))), f64_load(f64_atan_quarters[to_int(quarters)]));
    if (inverse) y = op_sub(f64_load(uvec2(0x54442d18u, 0x3ff921fbu)), op_sub(y, f64_load(uvec2(0x33145c07u, 0x3c91a626u)))); // pi/2 and its rest
    return f64_sign_of(y, x);
}

//# op_atan2:
F64 op_atan2(F64 y, F64 x)
{
    if (op_is_nan(x) || op_is_nan(y)) return f64_nan();
    F64 ax = op_abs(x), ay = op_abs(y), zero = to_f64(0.0), pi = f64_load(uvec2(0x54442d18u, 0x400921fbu)), t;
    bool left = f64_negative(x);
    if (op_is_inf(ax) && op_is_inf(ay)) t = op_mul(pi, to_f64(left ? 0.75 : 0.25));
    else if (op_eq(ay, zero) || op_is_inf(ax)) t = left ? pi : zero;
    else if (op_eq(ax, zero) || op_is_inf(ay)) t = op_mul(pi, to_f64(0.5));
    else {
        if (op_gt(op_max(ax, ay), f64_load(uvec2(0u, 0x7f000000u)))) ax = f64_scale(ax, -60), ay = f64_scale(ay, -60);
        else if (op_lt(op_max(ax, ay), f64_load(uvec2(0u, 0x01000000u)))) ax = f64_scale(ax, 60), ay = f64_scale(ay, 60);
        t = op_atan(op_div(ay, ax));
        if (left) t = op_sub(pi, op_sub(t, f64_load(uvec2(0x33145c07u, 0x3ca1a626u))));
    }
    return f64_sign_of(t, y);
}

//# op_asin:
F64 op_asin(F64 x)
{
    F64 one = to_f64(1.0), a = op_abs(x);
    if (!op_le(a, one)) return f64_nan();
    return op_atan(op_div(x, op_sqrt(op_mul(op_sub(one, a), op_add(one, a)))));
}

//# op_acos:
F64 op_acos(F64 x)
{
    F64 one = to_f64(1.0);
    if (!op_le(op_abs(x), one)) return f64_nan();
    F64 y = op_atan(op_sqrt(op_div(op_sub(one, x), op_add(one, x))));
    return op_add(y, y);
}

//# op_sinh:
F64 op_sinh(F64 x)
{
    F64 a = op_abs(x);
    if (op_lt(a, to_f64(1.0))) return op_mul(x, f64_sinh_series(op_mul(x, x)));
    bool large = op_gt(a, to_f64(700.0));
    F64 e = op_exp(large ? op_mul(to_f64(0.5), a) : a), h = op_mul(to_f64(0.5), e);
    F64 y = large ? op_mul(h, e) : op_sub(h, op_div(to_f64(0.5), e));
    return op_is_nan(x) ? x : f64_sign_of(y, x);
}

//# op_cosh:
F64 op_cosh(F64 x)
{
    F64 a = op_abs(x);
    bool large = op_gt(a, to_f64(700.0));
    F64 e = op_exp(large ? op_mul(to_f64(0.5), a) : a), h = op_mul(to_f64(0.5), e);
    return large ? op_mul(h, e) : op_add(h, op_div(to_f64(0.5), e));
}

//# op_tanh:
F64 op_tanh(F64 x)
{
    F64 a = op_abs(x);
    if (op_is_nan(x) || op_lt(a, to_f64(1e-9))) return x;
    if (op_gt(a, to_f64(22.0))) return f64_sign_of(to_f64(1.0), x);
    F64 t = op_expm1(op_add(a, a));
    return f64_sign_of(op_div(t, op_add(t, to_f64(2.0))), x);
}

//# op_asinh:
F64 op_asinh(F64 x)
{
    F64 a = op_abs(x), one = to_f64(1.0), z = op_mul(a, a);
    if (op_is_nan(x) || op_is_inf(x) || op_lt(a, to_f64(1e-9))) return x;
    bool large = op_gt(a, to_f64(1e17)); // log(2a)
    F64 y = op_log1p(large ? a : op_add(a, op_div(z, op_add(one, op_sqrt(op_add(one, z))))));
    return f64_sign_of(large ? op_add(y, f64_load(uvec2(0xfefa39efu, 0x3fe62e42u))) : y, x);
}

//# op_acosh:
F64 op_acosh(F64 x)
{
    F64 one = to_f64(1.0), t = op_sub(x, one);
    if (!op_ge(x, one)) return f64_nan();
    bool large = op_gt(x, to_f64(1e17));
    F64 y = op_log1p(large ? x : op_add(t, op_sqrt(op_add(op_add(t, t), op_mul(t, t)))));
    return large ? op_add(y, f64_load(uvec2(0xfefa39efu, 0x3fe62e42u))) : y;
}

//# op_atanh:
F64 op_atanh(F64 x)
{
    F64 a = op_abs(x), one = to_f64(1.0);
    if (!op_le(a, one)) return f64_nan();
    if (op_lt(a, to_f64(1e-9))) return x;
    if (op_eq(a, one)) return f64_sign_of(f64_inf(), x);
    return f64_sign_of(op_mul(to_f64(0.5), op_log1p(op_div(op_add(a, a), op_sub(one, a)))), x);
}

//# op_erf:
// The series below 2; above, 1 - erfc by its continued fraction exp(-x^2) / sqrt(pi) / (x + 1/2 / (x + 2/2 / (x + 3/2 / ...))).
F64 op_erf(F64 x)
{
    if (op_is_nan(x)) return x;
    F64 a = op_abs(x), z = op_mul(x, x);
    if (op_lt(a, to_f64(2.0))) return op_mul(x, f64_erf_series(z));
    if (op_gt(a, to_f64(6.0))) return f64_sign_of(to_f64(1.0), x);
    F64 t = a;
    for (int k = 60; k > 0; k--) t = op_add(a, op_div(to_f64(0.5 * float(k)), t));
    F64 erfc = op_div(op_mul(op_exp(op_neg(z)), f64_load(uvec2(0x50429b6du, 0x3fe20dd7u))), t);
    return f64_sign_of(op_sub(to_f64(1.0), erfc), x);
}

//# op_sigmoid:
F64 op_sigmoid(F64 x)
{
    F64 one = to_f64(1.0), e = op_exp(op_neg(op_abs(x))), d = op_add(one, e);
    return op_div(op_lt(x, to_f64(0.0)) ? e : one, d);
}

//# op_pow:
// Small integer powers by multiplication, the others as exp(b * log(a)), whose relative error grows with the result's exponent.
F64 op_pow(F64 a, F64 b)
{
    F64 zero = to_f64(0.0), one = to_f64(1.0), x = op_abs(a), t = op_abs(b);
    if (op_eq(b, zero) || op_eq(a, one)) return one;
    if (op_is_nan(a) || op_is_nan(b)) return f64_nan();
    F64 half_t = op_mul(t, to_f64(0.5));
    bool integer = op_eq(op_trunc(t), t), odd = integer && op_ne(op_trunc(half_t), half_t), negative = f64_negative(a) && odd, up = op_gt(b, zero);
    if (op_is_inf(b)) return op_eq(x, one) ? one : op_gt(x, one) == up ? f64_inf() : zero;
    F64 y;
    if (op_eq(x, zero) || op_is_inf(x)) {
        y = op_eq(x, zero) == up ? zero : f64_inf();
    } else if (f64_negative(a) && !integer) {
        return f64_nan();
    } else if (integer && op_le(t, to_f64(32.0))) {
        F64 power = x;
        y = one;
        for (int n = to_int(t); n != 0; n >>= 1) {
            if ((n & 1) != 0) y = op_mul(y, power);
            power = op_mul(power, power);
        }
        if (!up) y = op_div(one, y);
    } else {
        y = op_exp(op_mul(b, op_log(x)));
    }
    return negative ? op_neg(y) : y;
}
