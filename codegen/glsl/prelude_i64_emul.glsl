// I64 and U64 for devices without 64-bit integers: structs around a uvec2 (low, high).

//# I64:
struct I64 { uvec2 v; };

//# U64:
struct U64 { uvec2 v; };

//# i64_load:
I64 i64_load(uvec2 v) { return I64(v); }

//# i64_store:
uvec2 i64_store(I64 a) { return a.v; }

//# u64_load:
U64 u64_load(uvec2 v) { return U64(v); }

//# u64_store:
uvec2 u64_store(U64 a) { return a.v; }

//# op_add:
I64 op_add(I64 a, I64 b) { return I64(u2_add(a.v, b.v)); }
U64 op_add(U64 a, U64 b) { return U64(u2_add(a.v, b.v)); }

//# op_sub:
I64 op_sub(I64 a, I64 b) { return I64(u2_sub(a.v, b.v)); }
U64 op_sub(U64 a, U64 b) { return U64(u2_sub(a.v, b.v)); }

//# op_mul:
I64 op_mul(I64 a, I64 b) { return I64(u2_mul(a.v, b.v)); }
U64 op_mul(U64 a, U64 b) { return U64(u2_mul(a.v, b.v)); }

//# op_neg:
I64 op_neg(I64 a) { return I64(u2_neg(a.v)); }
U64 op_neg(U64 a) { return U64(u2_neg(a.v)); }

//# op_abs:
I64 op_abs(I64 a) { return int(a.v.y) < 0 ? I64(u2_neg(a.v)) : a; }
U64 op_abs(U64 a) { return a; }

//# op_div:
I64 op_div(I64 a, I64 b)
{
    uvec2 q = u2_divide(int(a.v.y) < 0 ? u2_neg(a.v) : a.v, int(b.v.y) < 0 ? u2_neg(b.v) : b.v).xy;
    return I64(int(a.v.y ^ b.v.y) < 0 ? u2_neg(q) : q);
}
U64 op_div(U64 a, U64 b) { return U64(u2_divide(a.v, b.v).xy); }

//# op_rem:
I64 op_rem(I64 a, I64 b)
{
    uvec2 r = u2_divide(int(a.v.y) < 0 ? u2_neg(a.v) : a.v, int(b.v.y) < 0 ? u2_neg(b.v) : b.v).zw;
    return I64(int(a.v.y) < 0 ? u2_neg(r) : r);
}
U64 op_rem(U64 a, U64 b) { return U64(u2_divide(a.v, b.v).zw); }

//# op_eq:
bool op_eq(I64 a, I64 b) { return a.v == b.v; }
bool op_eq(U64 a, U64 b) { return a.v == b.v; }

//# op_ne:
bool op_ne(I64 a, I64 b) { return a.v != b.v; }
bool op_ne(U64 a, U64 b) { return a.v != b.v; }

//# op_lt:
bool op_lt(I64 a, I64 b) { return u2_slt(a.v, b.v); }
bool op_lt(U64 a, U64 b) { return u2_lt(a.v, b.v); }

//# op_le:
bool op_le(I64 a, I64 b) { return !u2_slt(b.v, a.v); }
bool op_le(U64 a, U64 b) { return !u2_lt(b.v, a.v); }

//# op_gt:
bool op_gt(I64 a, I64 b) { return u2_slt(b.v, a.v); }
bool op_gt(U64 a, U64 b) { return u2_lt(b.v, a.v); }

//# op_ge:
bool op_ge(I64 a, I64 b) { return !u2_slt(a.v, b.v); }
bool op_ge(U64 a, U64 b) { return !u2_lt(a.v, b.v); }

//# op_and:
I64 op_and(I64 a, I64 b) { return I64(a.v & b.v); }
U64 op_and(U64 a, U64 b) { return U64(a.v & b.v); }

//# op_or:
I64 op_or(I64 a, I64 b) { return I64(a.v | b.v); }
U64 op_or(U64 a, U64 b) { return U64(a.v | b.v); }

//# op_xor:
I64 op_xor(I64 a, I64 b) { return I64(a.v ^ b.v); }
U64 op_xor(U64 a, U64 b) { return U64(a.v ^ b.v); }

//# op_not:
I64 op_not(I64 a) { return I64(~a.v); }
U64 op_not(U64 a) { return U64(~a.v); }

//# op_shl:
I64 op_shl(I64 a, I64 b) { return b.v.y == 0u && b.v.x < 64u ? I64(u2_shl(a.v, int(b.v.x))) : I64(uvec2(0u)); }
U64 op_shl(U64 a, U64 b) { return b.v.y == 0u && b.v.x < 64u ? U64(u2_shl(a.v, int(b.v.x))) : U64(uvec2(0u)); }

//# op_shr:
I64 op_shr(I64 a, I64 b) { return I64(u2_sar(a.v, b.v.y == 0u && b.v.x < 64u ? int(b.v.x) : 63)); }
U64 op_shr(U64 a, U64 b) { return b.v.y == 0u && b.v.x < 64u ? U64(u2_shr(a.v, int(b.v.x))) : U64(uvec2(0u)); }

//# to_i64:
I64 to_i64(I64 a) { return a; }
I64 to_i64(U64 a) { return I64(a.v); }
I64 to_i64(int a) { return I64(uvec2(uint(a), uint(a >> 31))); }
I64 to_i64(uint a) { return I64(uvec2(a, 0u)); }
I64 to_i64(bool a) { return I64(uvec2(a ? 1u : 0u, 0u)); }
I64 to_i64(float x) // truncates and saturates; NaN gives 0
{
    if (op_is_nan(x)) return I64(uvec2(0u));
    float t = abs(x);
    if (t >= 9223372036854775808.0) return I64(x > 0.0 ? uvec2(0xffffffffu, 0x7fffffffu) : uvec2(0u, 0x80000000u));
    uvec2 m = u2_from_float(t);
    return I64(x < 0.0 ? u2_neg(m) : m);
}

//# to_u64:
U64 to_u64(U64 a) { return a; }
U64 to_u64(I64 a) { return U64(a.v); }
U64 to_u64(int a) { return U64(uvec2(uint(a), uint(a >> 31))); }
U64 to_u64(uint a) { return U64(uvec2(a, 0u)); }
U64 to_u64(bool a) { return U64(uvec2(a ? 1u : 0u, 0u)); }
U64 to_u64(float x) // below 0 as to_i64, which wraps
{
    if (!(x >= 9223372036854775808.0)) return U64(to_i64(x).v);
    return U64(x >= 18446744073709551616.0 ? uvec2(0xffffffffu) : u2_from_float(x));
}

//# to_int:
int to_int(I64 a) { return int(a.v.x); }
int to_int(U64 a) { return int(a.v.x); }

//# to_uint:
uint to_uint(I64 a) { return a.v.x; }
uint to_uint(U64 a) { return a.v.x; }

//# to_bool:
bool to_bool(I64 a) { return a.v != uvec2(0u); }
bool to_bool(U64 a) { return a.v != uvec2(0u); }
