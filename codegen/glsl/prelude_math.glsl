// Functions of a float, accurate to a few units of the last place (tests/codegen/test_prelude.c): GLSL's own are allowed
// absolute errors of 2^-11. Each reduces its argument to a short interval and evaluates a polynomial fitted there for the
// least maximal error. `precise` keeps the steps apart that make up for each other's rounding.

//# op_round:
float op_round(float x) { return roundEven(x); }

//# op_rsqrt:
float op_rsqrt(float x) { return 1.0 / sqrt(x); }

//# float_scale:
// x * 2^n for |n| < 280, rounded once: two factors, for one alone may not be a float.
float float_scale(float x, int n)
{
    int half_n = n >> 1;
    return x * uintBitsToFloat(uint(half_n + 127) << 23) * uintBitsToFloat(uint(n - half_n + 127) << 23);
}

//# exp_reduce:
// x = n*ln(2) + r with |r| <= ln(2)/2; returns exp(r) - 1.
float exp_reduce(float x, out int n)
{
    float k = roundEven(x * 1.44269504);
    precise float r = x - k * 0.693359375; // exact: 9 bits times at most 8
    r = r + k * 2.12194440e-4;
    n = int(k);
    float p = 0.00139421609;
    p = p * r + 0.00836377591;
    p = p * r + 0.0416663624;
    p = p * r + 0.166665733;
    p = p * r + 0.5;
    return r + r * r * p;
}

//# op_exp:
float op_exp(float x)
{
    if (op_is_nan(x)) return x;
    if (x > 88.7228394) return INF;
    if (x < -104.0) return 0.0;
    int n;
    float p = exp_reduce(x, n);
    return float_scale(1.0 + p, n);
}

//# exp_by_exp2:
// For GPUs, whose exp2 is a single instruction and right to 4 units of the last place where |x| <= 1/2.
float exp_by_exp2(float x)
{
    float y = clamp(x, -104.0, 89.0);
    float n = roundEven(y * 1.44269504);
    precise float f = fma(y, 1.44269502, -n); // exact but for the constant's rest
    f = fma(y, 1.92596299e-8, f);
    float r = float_scale(exp2(f), int(n));
    return op_is_nan(x) ? x : r;
}

//# op_expm1:
float op_expm1(float x)
{
    if (op_is_nan(x) || abs(x) < 1e-7) return x;
    if (x > 88.7228394) return INF;
    if (x < -18.0) return -1.0;
    int n;
    float p = exp_reduce(x, n);
    float t = uintBitsToFloat(uint(n + 126) << 23); // 2^(n-1), since 2^n may overflow
    precise float y = t * p + (t - 0.5);
    return 2.0 * y;
}

//# log_reduce:
// x = 2^e * m, m in [sqrt(1/2), sqrt(2)), for finite x > 0; returns m.
float log_reduce(float x, out int e)
{
    int down = 0;
    if (x < 1.17549435e-38) x *= 8388608.0, down = 23;
    uint u = floatBitsToUint(x) - 0x3f3504f3u; // sqrt(1/2)
    e = (int(u) >> 23) - down;
    return uintBitsToFloat((u & 0x7fffffu) + 0x3f3504f3u);
}

//# op_log:
float op_log(float x)
{
    if (op_is_nan(x) || x == INF) return x;
    if (x <= 0.0) return x == 0.0 ? -INF : NAN;
    int e;
    float m = log_reduce(x, e), f = m - 1.0, s = f / (2.0 + f), z = s * s, h = 0.5 * f * f;
    float p = 0.233553037;
    p = p * z + 0.285498828;
    p = p * z + 0.400001317;
    p = p * z + 0.666666687;
    precise float k = float(e);
    // log(1+f) = f - h + s*(h + z*p); the parts of k*ln(2) go where their size belongs
    precise float tail = s * (h + z * p) + k * 1.42860682e-6;
    return k * 0.693145752 - ((h - tail) - f);
}

//# op_log1p:
float op_log1p(float x)
{
    precise float u = 1.0 + x;
    if (u == 1.0 || u == INF) return x;
    precise float d = u - 1.0;
    float y = op_log(u);
    return d == x ? y : y * (x / d); // corrects for what 1 + x has lost (W. Kahan)
}

//# trig_reduce:
// x = q*pi/2 + r with |r| <= pi/4, for finite x; returns r.
float trig_reduce(float x, out int q)
{
    if (abs(x) < 4096.0) { // pi/2 in three parts of 12 bits, whose products with q are exact, and the rest
        precise float k = roundEven(x * 0.636619772), r = x - k * 1.5703125;
        q = int(k);
        r = r - k * 4.83751297e-4;
        r = r - k * 7.54953362e-8;
        r = r - k * 2.56334407e-12;
        return r;
    }
    // Payne and Hanek: the product of the mantissa with just those bits of 2/pi that matter modulo 4
    const uint two_over_pi[8] = uint[8](0x00000000u, 0xa2f9836eu, 0x4e441529u, 0xfc2757d1u, 0xf534ddc0u, 0xdb629599u, 0x3c439041u, 0xfe5163abu);
    uint u = floatBitsToUint(x), m = (u & 0x7fffffu) | 0x800000u;
    int e = int((u >> 23) & 255u) - 150 + 30; // x = m * 2^(e-30); the window starts so that two integer bits come out
    uint word = uint(e) >> 5, shift = uint(e) & 31u, w[3];
    for (uint i = 0u; i < 3u; i++) {
        uint hi = two_over_pi[word + i], lo = two_over_pi[word + i + 1u];
        w[i] = shift == 0u ? hi : (hi << shift) | (lo >> (32u - shift));
    }
    uint hi, lo, carry, top = m * w[0];
    umulExtended(m, w[1], hi, lo);
    top += hi;
    uint hi2, lo2;
    umulExtended(m, w[2], hi2, lo2);
    lo = uaddCarry(lo, hi2, carry);
    top += carry; // top.lo is m*w modulo 4, times 2^62
    q = int(top >> 30);
    uint fh = (top << 2) | (lo >> 30), fl = lo << 2;
    bool up = fh >= 0x80000000u; // to the nearest multiple: the fraction in [-1/2, 1/2)
    if (up) {
        q++;
        fh = ~fh, fl = ~fl;
    }
    int lead = fh == 0u ? 32 : 31 - findMSB(fh);
    if (lead == 32) fh = fl, fl = 0u;
    else if (lead > 0) fh = (fh << lead) | (fl >> (32 - lead));
    float r = float(fh) * uintBitsToFloat(uint(127 - 32 - lead) << 23) * 1.57079633;
    if ((floatBitsToUint(x) & 0x80000000u) != 0u) q = -q, r = -r;
    q &= 3;
    return up ? -r : r;
}

//# sin_poly:
float sin_poly(float r)
{
    float z = r * r, p = 2.72438592e-06;
    p = p * z - 0.00019840039;
    p = p * z + 0.00833333191;
    p = p * z - 0.166666672;
    return r + r * z * p;
}

//# cos_poly:
float cos_poly(float r)
{
    float z = r * r, p = -2.72958886e-07;
    p = p * z + 2.48005617e-05;
    p = p * z - 0.00138888881;
    p = p * z + 0.0416666679;
    return 1.0 - (0.5 * z - z * z * p);
}

//# op_sin:
float op_sin(float x)
{
    if (!(abs(x) < INF)) return NAN;
    int q;
    float r = trig_reduce(x, q), y = (q & 1) != 0 ? cos_poly(r) : sin_poly(r);
    return (q & 2) != 0 ? -y : y;
}

//# op_cos:
float op_cos(float x)
{
    if (!(abs(x) < INF)) return NAN;
    int q;
    float r = trig_reduce(x, q), y = (q & 1) != 0 ? sin_poly(r) : cos_poly(r);
    return ((q + 1) & 2) != 0 ? -y : y;
}

//# op_tan:
float op_tan(float x)
{
    if (!(abs(x) < INF)) return NAN;
    int q;
    float r = trig_reduce(x, q), s = sin_poly(r), c = cos_poly(r);
    return (q & 1) != 0 ? -c / s : s / c;
}

//# asin_poly:
float asin_poly(float x)
{
    float z = x * x, p = 0.0339210071;
    p = p * z + 0.0170058329;
    p = p * z + 0.0311319102;
    p = p * z + 0.0445966274;
    p = p * z + 0.0750010312;
    p = p * z + 0.166666657;
    return x + x * z * p;
}

//# op_asin:
float op_asin(float x)
{
    float a = abs(x);
    if (!(a <= 1.0)) return NAN;
    if (a <= 0.5) return asin_poly(x);
    precise float y = 1.57079637 - (2.0 * asin_poly(sqrt(0.5 - 0.5 * a)) + 4.37113883e-08); // pi/2 and its rest
    return x < 0.0 ? -y : y;
}

//# op_acos:
float op_acos(float x)
{
    float a = abs(x);
    if (!(a <= 1.0)) return NAN;
    precise float y;
    if (a <= 0.5) {
        y = 1.57079637 - (asin_poly(x) + 4.37113883e-08);
        return y;
    }
    y = 2.0 * asin_poly(sqrt(0.5 - 0.5 * a));
    return x < 0.0 ? 3.14159274 - (y + 8.74227766e-08) : y;
}

//# atan_poly:
float atan_poly(float x)
{
    float z = x * x, p = -0.0646596551;
    p = p * z + 0.10748598;
    p = p * z - 0.142644837;
    p = p * z + 0.199995592;
    p = p * z - 0.333333313;
    return x + x * z * p;
}

//# op_atan:
float op_atan(float x)
{
    if (op_is_nan(x)) return x;
    float a = abs(x);
    precise float y;
    if (a > 2.41421356) y = 1.57079637 - (atan_poly(1.0 / a) + 4.37113883e-08);
    else if (a > 0.414213562) y = 0.785398185 + (atan_poly((a - 1.0) / (a + 1.0)) - 2.18556941e-08);
    else y = atan_poly(a);
    return x < 0.0 ? -y : a == 0.0 ? x : y;
}

//# op_atan2:
float op_atan2(float y, float x)
{
    if (op_is_nan(x) || op_is_nan(y)) return NAN;
    bool left = (floatBitsToUint(x) & 0x80000000u) != 0u;
    float ax = abs(x), ay = abs(y), t;
    if (ax == INF && ay == INF) t = left ? 2.35619449 : 0.785398163;
    else if (ay == 0.0) t = left ? 3.14159274 : 0.0;
    else if (ax == 0.0 || ay == INF) t = 1.57079633;
    else if (ax == INF) t = left ? 3.14159274 : 0.0;
    else {
        // scaled, so that the quotient neither overflows nor loses bits
        if (max(ax, ay) > 1e30) ax *= 9.31322575e-10, ay *= 9.31322575e-10;
        else if (max(ax, ay) < 1e-30) ax *= 1073741824.0, ay *= 1073741824.0;
        precise float r = ax == 0.0 ? 1.57079637 : op_atan(ay / ax);
        t = left ? 3.14159274 - (r + 8.74227766e-08) : r;
    }
    return (floatBitsToUint(y) & 0x80000000u) != 0u ? -t : t;
}

//# op_sinh:
float op_sinh(float x)
{
    float a = abs(x), y;
    if (a < 1.0) {
        float z = x * x, p = 2.8063007e-06;
        p = p * z + 0.000198380993;
        p = p * z + 0.00833333936;
        p = p * z + 0.166666672;
        return x + x * z * p;
    }
    bool large = a > 88.0;
    float e = op_exp(large ? 0.5 * a : a), h = 0.5 * e;
    y = large ? h * e : h - 0.5 / e;
    return x < 0.0 ? -y : y;
}

//# op_cosh:
float op_cosh(float x)
{
    float a = abs(x);
    bool large = a > 88.0;
    float e = op_exp(large ? 0.5 * a : a), h = 0.5 * e;
    return large ? h * e : h + 0.5 / e;
}

//# op_tanh:
float op_tanh(float x)
{
    if (op_is_nan(x)) return x;
    float a = abs(x), y;
    if (a < 1e-4) return x;
    if (a > 9.2) {
        y = 1.0;
    } else {
        float t = op_expm1(2.0 * a);
        y = t / (t + 2.0);
    }
    return x < 0.0 ? -y : y;
}

//# op_asinh:
float op_asinh(float x)
{
    float a = abs(x);
    if (op_is_nan(x) || op_is_inf(x) || a < 1e-4) return x;
    bool large = a > 1e9; // log(2a)
    float y = op_log1p(large ? a : a + a * a / (1.0 + sqrt(1.0 + a * a)));
    if (large) y += 0.693147181;
    return x < 0.0 ? -y : y;
}

//# op_acosh:
float op_acosh(float x)
{
    if (!(x >= 1.0)) return NAN;
    float t = x - 1.0;
    bool large = x > 1e9;
    float y = op_log1p(large ? x : t + sqrt(2.0 * t + t * t));
    return large ? y + 0.693147181 : y;
}

//# op_atanh:
float op_atanh(float x)
{
    float a = abs(x);
    if (!(a <= 1.0)) return NAN;
    if (a < 1e-4) return x;
    float y = a == 1.0 ? INF : 0.5 * op_log1p(2.0 * a / (1.0 - a));
    return x < 0.0 ? -y : y;
}

//# op_erf:
float op_erf(float x)
{
    if (op_is_nan(x)) return x;
    float a = abs(x), z = x * x, p;
    if (a < 0.9) {
        p = 8.53883903e-05;
        p = p * z - 0.000818192726;
        p = p * z + 0.0052044359;
        p = p * z - 0.0268607531;
        p = p * z + 0.112837195;
        p = p * z - 0.376126349;
        p = p * z + 1.12837923;
        return x * p;
    }
    if (a > 4.0) return x < 0.0 ? -1.0 : 1.0;
    float u = a - 2.475; // exp(z) * erfc(a)
    p = -4.05008104e-05;
    p = p * u - 0.000120113211;
    p = p * u - 0.000259736378;
    p = p * u + 0.00015860975;
    p = p * u - 0.000633297022;
    p = p * u + 0.00270431885;
    p = p * u - 0.00821617339;
    p = p * u + 0.0255359877;
    p = p * u - 0.0756152347;
    p = p * u + 0.212680355;
    float y = 1.0 - p * op_exp(-z);
    return x < 0.0 ? -y : y;
}

//# loose_erf:
// For results that are rounded to 16 bits: Abramowitz and Stegun 7.1.26, which is right to 1.5e-7, and the series for small x.
float loose_erf(float x)
{
    float a = abs(x), z = x * x, t = 1.0 / (0.3275911 * a + 1.0);
    float p = t * ((((1.061405429 * t - 1.453152027) * t + 1.421413741) * t - 0.284496736) * t + 0.254829592);
    float y = 1.0 - p * exp2(z * -1.44269504);
    return a < 0.05 ? x * (1.12837917 - 0.376126389 * z) : x < 0.0 ? -y : y;
}

//# loose_tanh:
// The same; 1 - 2/(exp(2x) + 1).
float loose_tanh(float x)
{
    float a = abs(x), z = x * x, y = 1.0 - 2.0 / (exp2(a * 2.88539008) + 1.0);
    return a < 0.1 ? x * (1.0 - z * (0.333333333 - 0.133333333 * z)) : x < 0.0 ? -y : y;
}

//# loose_1_and_erf:
// 1 + erf(x) = 2 / (1 + exp(-2 atanh(erf(x)))), with x times a polynomial of x^2 for the exponent: right to 2^-14 of the result, or of
// half the smallest f16 once that is multiplied by x. What is not a number stays so by the last x.
float loose_1_and_erf(float x)
{
    float z = min(x * x, 17.0), p = -2.29488421e-07;
    p = p * z + 1.02443555e-05;
    p = p * z - 1.79160357e-04;
    p = p * z + 1.38432346e-03;
    p = p * z + 1.59017462e-03;
    p = p * z - 2.97640890e-01;
    p = p * z - 3.25547791;
    return 2.0 / (1.0 + exp2(p * x));
}

//# loose_1_and_tanh:
float loose_1_and_tanh(float x)
{
    return 2.0 / (1.0 + exp2(x * -2.88539008));
}

//# op_sigmoid:
float op_sigmoid(float x)
{
    float e = op_exp(-abs(x)); // NaN stays
    return x < 0.0 ? e / (1.0 + e) : 1.0 / (1.0 + e);
}

//# float_pow:
// The logarithm is carried as a sum of two floats whose first has 12 bits, so that its products are exact.
float float_pow(float a, float b)
{
    if (b == 0.0 || a == 1.0) return 1.0;
    if (op_is_nan(a) || op_is_nan(b)) return NAN;
    float x = abs(a), t = abs(b);
    bool integer = t >= 8388608.0 || trunc(t) == t, odd = t < 16777216.0 && integer && (int(t) & 1) != 0;
    bool negative = (floatBitsToUint(a) & 0x80000000u) != 0u && odd;
    if (t == INF) return x == 1.0 ? 1.0 : (x > 1.0) == (b > 0.0) ? INF : 0.0;
    if (x == 0.0 || x == INF) {
        float y = (x == 0.0) == (b > 0.0) ? 0.0 : INF;
        return negative ? -y : y;
    }
    if (a < 0.0 && !integer) return NAN;
    int e;
    precise float m = log_reduce(x, e), f = m - 1.0, d = m + 1.0;
    // s = f/d as s_hi + s_lo
    precise float s = f / d, s_hi = uintBitsToFloat(floatBitsToUint(s) & 0xfffff000u);
    precise float d_hi = uintBitsToFloat(floatBitsToUint(d) & 0xfffff000u), d_lo = m - (d_hi - 1.0);
    precise float s_lo = ((f - s_hi * d_hi) - s_hi * d_lo) / d;
    precise float z = s * s, p = 0.193889469;
    p = p * z + 0.22190021;
    p = p * z + 0.285717756;
    p = p * z + 0.399999976;
    p = p * z + 0.666666687;
    // log(m) = 2*s_hi + (2*s_lo + s*z*p); times 1/ln(2) = c_hi + c_lo
    precise float low = 2.0 * s_lo + s * z * p, hi = 2.0 * s_hi + low;
    hi = uintBitsToFloat(floatBitsToUint(hi) & 0xfffff000u);
    low = low - (hi - 2.0 * s_hi);
    precise float l_hi = hi * 1.4423828125, l_lo = low * 1.44269504 + hi * 3.12228389e-4, k = float(e);
    precise float sum = k + (l_hi + l_lo), g_hi = uintBitsToFloat(floatBitsToUint(sum) & 0xfffff000u);
    precise float g_lo = ((k - g_hi) + l_hi) + l_lo;
    // b * log2(x)
    precise float b_hi = uintBitsToFloat(floatBitsToUint(b) & 0xfffff000u), b_lo = b - b_hi;
    precise float y_hi = b_hi * g_hi, y_lo = b_lo * g_hi + b * g_lo, y = y_hi + y_lo;
    if (y >= 128.0 || y < -151.0 || op_is_nan(y)) {
        float huge = (b > 0.0) == (x > 1.0) ? INF : 0.0;
        return negative ? -huge : huge;
    }
    precise float n = roundEven(y), r = (y_hi - n) + y_lo;
    float q = 1.53112342e-05;
    q = q * r + 0.000154626134;
    q = q * r + 0.00133334508;
    q = q * r + 0.00961805414;
    q = q * r + 0.0555041097;
    q = q * r + 0.240226507;
    q = q * r + 0.693147182;
    float result = float_scale(1.0 + r * q, int(n));
    return negative ? -result : result;
}

//# op_pow:
uint op_pow(uint a, uint b)
{
    uint r = 1u;
    for (; b != 0u; b >>= 1, a *= a)
        if ((b & 1u) != 0u) r *= a;
    return r;
}
int op_pow(int a, int b) // a negative power of an integer is its truncated value
{
    if (b < 0) return a == 1 ? 1 : a == -1 ? ((b & 1) != 0 ? -1 : 1) : 0;
    return int(op_pow(uint(a), uint(b)));
}
float op_pow(float a, float b) { return float_pow(a, b); }
