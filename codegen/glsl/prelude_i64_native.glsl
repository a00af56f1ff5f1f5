// I64 and U64 where the device has 64-bit integers.

//# I64:
#define I64 int64_t

//# U64:
#define U64 uint64_t

//# i64_load:
I64 i64_load(uvec2 v) { return packInt2x32(ivec2(v)); }

//# i64_store:
uvec2 i64_store(I64 a) { return uvec2(unpackInt2x32(a)); }

//# u64_load:
U64 u64_load(uvec2 v) { return packUint2x32(v); }

//# u64_store:
uvec2 u64_store(U64 a) { return unpackUint2x32(a); }

//# op_add:
I64 op_add(I64 a, I64 b) { return a + b; }
U64 op_add(U64 a, U64 b) { return a + b; }

//# op_sub:
I64 op_sub(I64 a, I64 b) { return a - b; }
U64 op_sub(U64 a, U64 b) { return a - b; }

//# op_mul:
I64 op_mul(I64 a, I64 b) { return a * b; }
U64 op_mul(U64 a, U64 b) { return a * b; }

//# op_neg:
I64 op_neg(I64 a) { return -a; }
U64 op_neg(U64 a) { return U64(0) - a; }

//# op_abs:
I64 op_abs(I64 a) { return a < I64(0) ? -a : a; }
U64 op_abs(U64 a) { return a; }

//# op_div:
I64 op_div(I64 a, I64 b) { return b == I64(0) ? I64(0) : b == I64(-1) ? -a : a / b; }
U64 op_div(U64 a, U64 b) { return b == U64(0) ? U64(0) : a / b; }

//# op_rem:
I64 op_rem(I64 a, I64 b) { return b == I64(0) || b == I64(-1) ? I64(0) : a - a / b * b; }
U64 op_rem(U64 a, U64 b) { return b == U64(0) ? U64(0) : a % b; }

//# op_eq:
bool op_eq(I64 a, I64 b) { return a == b; }
bool op_eq(U64 a, U64 b) { return a == b; }

//# op_ne:
bool op_ne(I64 a, I64 b) { return a != b; }
bool op_ne(U64 a, U64 b) { return a != b; }

//# op_lt:
bool op_lt(I64 a, I64 b) { return a < b; }
bool op_lt(U64 a, U64 b) { return a < b; }

//# op_le:
bool op_le(I64 a, I64 b) { return a <= b; }
bool op_le(U64 a, U64 b) { return a <= b; }

//# op_gt:
bool op_gt(I64 a, I64 b) { return a > b; }
bool op_gt(U64 a, U64 b) { return a > b; }

//# op_ge:
bool op_ge(I64 a, I64 b) { return a >= b; }
bool op_ge(U64 a, U64 b) { return a >= b; }

//# op_and:
I64 op_and(I64 a, I64 b) { return a & b; }
U64 op_and(U64 a, U64 b) { return a & b; }

//# op_or:
I64 op_or(I64 a, I64 b) { return a | b; }
U64 op_or(U64 a, U64 b) { return a | b; }

//# op_xor:
I64 op_xor(I64 a, I64 b) { return a ^ b; }
U64 op_xor(U64 a, U64 b) { return a ^ b; }

//# op_not:
I64 op_not(I64 a) { return ~a; }
U64 op_not(U64 a) { return ~a; }

//# op_shl:
I64 op_shl(I64 a, I64 b) { return U64(b) < U64(64) ? a << int(b) : I64(0); }
U64 op_shl(U64 a, U64 b) { return U64(b) < U64(64) ? a << int(b) : U64(0); }

//# op_shr:
I64 op_shr(I64 a, I64 b) { return a >> (U64(b) < U64(64) ? int(b) : 63); }
U64 op_shr(U64 a, U64 b) { return b < U64(64) ? a >> int(b) : U64(0); }

//# to_i64:
I64 to_i64(I64 a) { return a; }
I64 to_i64(U64 a) { return I64(a); }
I64 to_i64(int a) { return I64(a); }
I64 to_i64(uint a) { return I64(a); }
I64 to_i64(bool a) { return a ? I64(1) : I64(0); }
I64 to_i64(float x) // truncates and saturates; NaN gives 0
{
    if (op_is_nan(x)) return I64(0);
    if (abs(x) >= 9223372036854775808.0) return packInt2x32(x > 0.0 ? ivec2(-1, 0x7fffffff) : ivec2(0, int(0x80000000u)));
    return I64(x);
}

//# to_u64:
U64 to_u64(U64 a) { return a; }
U64 to_u64(I64 a) { return U64(a); }
U64 to_u64(int a) { return U64(I64(a)); }
U64 to_u64(uint a) { return U64(a); }
U64 to_u64(bool a) { return a ? U64(1) : U64(0); }
U64 to_u64(float x) // below 0 as to_i64, which wraps
{
    if (!(x >= 9223372036854775808.0)) return U64(to_i64(x));
    return x >= 18446744073709551616.0 ? packUint2x32(uvec2(0xffffffffu)) : U64(x);
}

//# to_int:
int to_int(I64 a) { return int(a); }
int to_int(U64 a) { return int(a); }

//# to_uint:
uint to_uint(I64 a) { return uint(a); }
uint to_uint(U64 a) { return uint(a); }

//# to_bool:
bool to_bool(I64 a) { return a != I64(0); }
bool to_bool(U64 a) { return a != U64(0); }
