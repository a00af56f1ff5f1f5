// 64-bit words as uvec2 (low, high): unsigned arithmetic modulo 2^64. What the emulated I64, U64 and F64 are made of.

//# u2_add:
uvec2 u2_add(uvec2 a, uvec2 b)
{
    uint carry, lo = uaddCarry(a.x, b.x, carry);
    return uvec2(lo, a.y + b.y + carry);
}

//# u2_sub:
uvec2 u2_sub(uvec2 a, uvec2 b)
{
    uint borrow, lo = usubBorrow(a.x, b.x, borrow);
    return uvec2(lo, a.y - b.y - borrow);
}

//# u2_neg:
uvec2 u2_neg(uvec2 a) { return uvec2(uint(-int(a.x)), ~a.y + (a.x == 0u ? 1u : 0u)); }

//# u2_lt:
bool u2_lt(uvec2 a, uvec2 b) { return a.y < b.y || (a.y == b.y && a.x < b.x); }

//# u2_slt:
bool u2_slt(uvec2 a, uvec2 b) { return int(a.y) < int(b.y) || (a.y == b.y && a.x < b.x); }

//# u2_shl:
// By 0 to 63.
uvec2 u2_shl(uvec2 a, int n)
{
    return n == 0 ? a : n < 32 ? uvec2(a.x << n, (a.y << n) | (a.x >> (32 - n))) : uvec2(0u, a.x << (n - 32));
}

//# u2_shr:
uvec2 u2_shr(uvec2 a, int n)
{
    return n == 0 ? a : n < 32 ? uvec2((a.x >> n) | (a.y << (32 - n)), a.y >> n) : uvec2(a.y >> (n - 32), 0u);
}

//# u2_sar:
uvec2 u2_sar(uvec2 a, int n)
{
    int h = int(a.y);
    return n == 0 ? a : n < 32 ? uvec2((a.x >> n) | (a.y << (32 - n)), uint(h >> n)) : uvec2(uint(h >> (n - 32)), uint(h >> 31));
}

//# u2_msb:
// Of the highest bit set; -1 for zero.
int u2_msb(uvec2 a) { return a.y != 0u ? findMSB(a.y) + 32 : findMSB(a.x); }

//# u2_mul:
uvec2 u2_mul(uvec2 a, uvec2 b)
{
    uint hi, lo;
    umulExtended(a.x, b.x, hi, lo);
    return uvec2(lo, hi + a.x * b.y + a.y * b.x);
}

//# u2_divide:
// Quotient (xy) and remainder (zw); by zero: zero, and zero. Long division, one bit of the quotient a step.
uvec4 u2_divide(uvec2 a, uvec2 b)
{
    if (b.x == 0u && b.y == 0u) return uvec4(0u);
    if (a.y == 0u && b.y == 0u) return uvec4(a.x / b.x, 0u, a.x % b.x, 0u);
    uvec2 q = uvec2(0u);
    int n = u2_msb(a) - u2_msb(b);
    if (n >= 0) {
        b = u2_shl(b, n);
        for (; n >= 0; n--) {
            q = u2_shl(q, 1);
            if (!u2_lt(a, b)) {
                a = u2_sub(a, b);
                q.x |= 1u;
            }
            b = u2_shr(b, 1);
        }
    }
    return uvec4(q, a);
}

//# u2_to_float:
// Rounded to nearest even: the top 32 bits, with what lies below as a sticky bit, convert exactly as the whole does.
float u2_to_float(uvec2 a)
{
    if (a.y == 0u) return uint_to_float(a.x);
    int n = 31 - findMSB(a.y);
    uvec2 m = u2_shl(a, n);
    return uint_to_float(m.y | (m.x != 0u ? 1u : 0u)) * uintBitsToFloat(uint(127 + 32 - n) << 23);
}

//# u2_from_float:
// Of a finite x with 0 <= x < 2^64, truncated.
uvec2 u2_from_float(float x)
{
    uint u = floatBitsToUint(x);
    int e = int(u >> 23) - 150;
    uvec2 m = uvec2((u & 0x7fffffu) | 0x800000u, 0u);
    return e >= 0 ? u2_shl(m, e) : e > -24 ? uvec2(m.x >> -e, 0u) : uvec2(0u);
}
