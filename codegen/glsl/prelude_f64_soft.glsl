// F64 for devices without doubles: IEEE 754 binary64 arithmetic on integers, rounded to nearest even, denormals included.

//# F64:
struct F64 { uvec2 v; };

//# f64_load:
F64 f64_load(uvec2 v) { return F64(v); }

//# f64_store:
uvec2 f64_store(F64 a) { return a.v; }

//# f64_nan:
F64 f64_nan() { return F64(uvec2(0u, 0x7ff80000u)); }

//# f64_exponent:
int f64_exponent(uvec2 v) { return int((v.y >> 20) & 0x7ffu); }

//# f64_mantissa:
// Of a finite number not zero: the 53-bit mantissa, its top bit set (of denormals, too), and the biased exponent for it.
uvec2 f64_mantissa(uvec2 v, out int e)
{
    e = f64_exponent(v);
    uvec2 m = uvec2(v.x, v.y & 0xfffffu);
    if (e != 0) return uvec2(m.x, m.y | 0x100000u);
    int up = 52 - u2_msb(m);
    e = 1 - up;
    return u2_shl(m, up);
}

//# u2_shr_sticky:
// Shifts right, by any n >= 0; the low bit stays set when a set bit is lost.
uvec2 u2_shr_sticky(uvec2 a, int n)
{
    if (n == 0) return a;
    if (n > 63) return uvec2((a.x | a.y) != 0u ? 1u : 0u, 0u);
    uvec2 r = u2_shr(a, n);
    if (u2_shl(r, n) != a) r.x |= 1u;
    return r;
}

//# f64_pack:
// Rounds m * 2^(e - 1023 - 62), whose low bit may be sticky.
F64 f64_pack(uint sign, int e, uvec2 m)
{
    int top = u2_msb(m);
    if (top < 0) return F64(uvec2(0u, sign << 31));
    if (top == 63) m = u2_shr_sticky(m, 1);
    else m = u2_shl(m, 62 - top);
    e += top - 62;
    if (e >= 0x7ff) return F64(uvec2(0u, (sign << 31) | 0x7ff00000u));
    if (e <= 0) m = u2_shr_sticky(m, 1 - e), e = 1;
    m = u2_shr(u2_add(m, uvec2(0x1ffu + ((m.x >> 10) & 1u), 0u)), 10);
    return F64(uvec2(m.x, (m.y + (uint(e - 1) << 20)) | (sign << 31))); // the mantissa's own top bit counts as one in the exponent
}

//# op_is_nan:
bool op_is_nan(F64 a)
{
    uint hi = a.v.y & 0x7fffffffu;
    return hi > 0x7ff00000u || (hi == 0x7ff00000u && a.v.x != 0u);
}

//# op_neg:
F64 op_neg(F64 a) { return F64(uvec2(a.v.x, a.v.y ^ 0x80000000u)); }

//# op_abs:
F64 op_abs(F64 a) { return F64(uvec2(a.v.x, a.v.y & 0x7fffffffu)); }

//# op_add:
F64 op_add(F64 a, F64 b)
{
    uvec2 x = a.v, y = b.v;
    if (u2_lt(uvec2(x.x, x.y & 0x7fffffffu), uvec2(y.x, y.y & 0x7fffffffu))) x = b.v, y = a.v; // |x| >= |y|
    int ex = f64_exponent(x), ey = f64_exponent(y);
    bool differ = int(x.y ^ y.y) < 0;
    if (ex == 0x7ff) {
        if (x.x != 0u || (x.y & 0xfffffu) != 0u || (ey == 0x7ff && differ)) return f64_nan();
        return F64(x);
    }
    uvec2 mx = uvec2(x.x, x.y & 0xfffffu), my = uvec2(y.x, y.y & 0xfffffu);
    if (ex == 0) ex = 1;
    else mx.y |= 0x100000u;
    if (ey == 0) ey = 1;
    else my.y |= 0x100000u;
    mx = u2_shl(mx, 10);
    my = u2_shr_sticky(u2_shl(my, 10), ex - ey);
    uvec2 m = differ ? u2_sub(mx, my) : u2_add(mx, my);
    uint sign = x.y >> 31;
    if (m == uvec2(0u)) sign = (x.y & y.y) >> 31;
    return f64_pack(sign, ex, m);
}

//# op_sub:
F64 op_sub(F64 a, F64 b) { return op_add(a, op_neg(b)); }

//# op_mul:
F64 op_mul(F64 a, F64 b)
{
    uint sign = (a.v.y ^ b.v.y) >> 31;
    uvec2 x = uvec2(a.v.x, a.v.y & 0x7fffffffu), y = uvec2(b.v.x, b.v.y & 0x7fffffffu);
    bool zero = x == uvec2(0u) || y == uvec2(0u);
    if (x.y >= 0x7ff00000u || y.y >= 0x7ff00000u) {
        if (zero || op_is_nan(a) || op_is_nan(b)) return f64_nan();
        return F64(uvec2(0u, (sign << 31) | 0x7ff00000u));
    }
    if (zero) return F64(uvec2(0u, sign << 31));
    int ex, ey;
    uvec2 mx = u2_shl(f64_mantissa(x, ex), 11), my = u2_shl(f64_mantissa(y, ey), 10);
    uint h0, l0, h1, l1, h2, l2, h3, l3; // the high 64 bits of the product, the rest as a sticky bit
    umulExtended(mx.x, my.x, h0, l0);
    umulExtended(mx.x, my.y, h1, l1);
    umulExtended(mx.y, my.x, h2, l2);
    umulExtended(mx.y, my.y, h3, l3);
    uvec2 mid = u2_add(u2_add(uvec2(l1, 0u), uvec2(l2, 0u)), uvec2(h0, 0u));
    uvec2 m = u2_add(u2_add(uvec2(l3, h3), uvec2(h1, 0u)), u2_add(uvec2(h2, 0u), uvec2(mid.y, 0u)));
    if ((mid.x | l0) != 0u) m.x |= 1u;
    return f64_pack(sign, ex + ey - 1022, m);
}

//# op_div:
F64 op_div(F64 a, F64 b)
{
    uint sign = (a.v.y ^ b.v.y) >> 31;
    uvec2 x = uvec2(a.v.x, a.v.y & 0x7fffffffu), y = uvec2(b.v.x, b.v.y & 0x7fffffffu);
    bool x_inf = x.y >= 0x7ff00000u, y_inf = y.y >= 0x7ff00000u, x_zero = x == uvec2(0u), y_zero = y == uvec2(0u);
    if (op_is_nan(a) || op_is_nan(b) || (x_inf && y_inf) || (x_zero && y_zero)) return f64_nan();
    if (x_inf || y_zero) return F64(uvec2(0u, (sign << 31) | 0x7ff00000u));
    if (y_inf || x_zero) return F64(uvec2(0u, sign << 31));
    int ex, ey;
    uvec2 r = f64_mantissa(x, ex), d = f64_mantissa(y, ey), q = uvec2(0u);
    int e = ex - ey + 1023;
    if (u2_lt(r, d)) r = u2_shl(r, 1), e--;
    for (int i = 0; i < 55; i++) {
        q = u2_shl(q, 1);
        if (!u2_lt(r, d)) r = u2_sub(r, d), q.x |= 1u;
        r = u2_shl(r, 1);
    }
    q = u2_shl(q, 8);
    if (r != uvec2(0u)) q.x |= 1u;
    return f64_pack(sign, e, q);
}

//# op_sqrt:
F64 op_sqrt(F64 a)
{
    if (op_is_nan(a) || a.v.y == 0x80000000u && a.v.x == 0u || a.v == uvec2(0u)) return a;
    if (int(a.v.y) < 0) return f64_nan();
    if (a.v.y == 0x7ff00000u) return a;
    int e;
    uvec2 m = u2_shl(f64_mantissa(a.v, e), 10); // bits come out at the top, two a step
    bool odd = ((e - 1023) & 1) != 0;
    if (odd) m = u2_shl(m, 1);
    uvec2 root = uvec2(0u), r = uvec2(0u);
    for (int i = 0; i < 56; i++) {
        r = u2_add(u2_shl(r, 2), uvec2(m.y >> 30, 0u));
        m = u2_shl(m, 2);
        uvec2 t = u2_add(u2_shl(root, 2), uvec2(1u, 0u));
        root = u2_shl(root, 1);
        if (!u2_lt(r, t)) r = u2_sub(r, t), root.x |= 1u;
    }
    root = u2_shl(root, 7);
    if (r != uvec2(0u)) root.x |= 1u;
    return f64_pack(0u, ((e - 1023) >> 1) + 1023, root);
}

//# op_eq:
bool op_eq(F64 a, F64 b)
{
    return !op_is_nan(a) && !op_is_nan(b) && (a.v == b.v || ((a.v.x | b.v.x) == 0u && ((a.v.y | b.v.y) & 0x7fffffffu) == 0u));
}

//# op_ne:
bool op_ne(F64 a, F64 b) { return !op_eq(a, b); }

//# op_lt:
bool op_lt(F64 a, F64 b)
{
    if (op_is_nan(a) || op_is_nan(b) || op_eq(a, b)) return false;
    bool na = int(a.v.y) < 0, nb = int(b.v.y) < 0;
    if (na != nb) return na;
    return na ? u2_lt(b.v, a.v) : u2_lt(a.v, b.v);
}

//# op_le:
bool op_le(F64 a, F64 b) { return op_lt(a, b) || op_eq(a, b); }

//# op_gt:
bool op_gt(F64 a, F64 b) { return op_lt(b, a); }

//# op_ge:
bool op_ge(F64 a, F64 b) { return op_lt(b, a) || op_eq(a, b); }

//# op_trunc:
F64 op_trunc(F64 a)
{
    int e = f64_exponent(a.v) - 1023;
    if (e >= 52) return a;
    if (e < 0) return F64(uvec2(0u, a.v.y & 0x80000000u));
    return F64(u2_shl(u2_shr(a.v, 52 - e), 52 - e));
}

//# to_f64:
F64 to_f64(F64 a) { return a; }
F64 to_f64(uint a) { return f64_pack(0u, 1023 + 62, uvec2(a, 0u)); }
F64 to_f64(int a) { return f64_pack(a < 0 ? 1u : 0u, 1023 + 62, uvec2(uint(abs(a)), 0u)); }
F64 to_f64(bool a) { return F64(uvec2(0u, a ? 0x3ff00000u : 0u)); }
F64 to_f64(float a)
{
    uint u = floatBitsToUint(a), sign = u >> 31, m = u & 0x7fffffu;
    int e = int((u >> 23) & 255u);
    if (e == 255) return m != 0u ? f64_nan() : F64(uvec2(0u, (sign << 31) | 0x7ff00000u));
    return e == 0 ? f64_pack(sign, 1023 - 149 + 62, uvec2(m, 0u)) : f64_pack(sign, e - 127 - 23 + 1023 + 62, uvec2(m | 0x800000u, 0u));
}
