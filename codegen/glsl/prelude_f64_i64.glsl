// Conversions between F64 and 64-bit integers, for all forms of either.

//# to_i64:
// Truncates and saturates; NaN gives 0.
I64 to_i64(F64 a)
{
    if (op_is_nan(a)) return i64_load(uvec2(0u));
    bool negative = f64_negative(a);
    if (op_ge(op_abs(a), to_f64(9223372036854775808.0))) return i64_load(negative ? uvec2(0u, 0x80000000u) : uvec2(0xffffffffu, 0x7fffffffu));
    uvec2 m = f64_to_word(a);
    return i64_load(negative ? u2_neg(m) : m);
}

//# to_u64:
// Below 0 as to_i64, which wraps.
U64 to_u64(F64 a)
{
    if (op_is_nan(a) || f64_negative(a)) return u64_load(i64_store(to_i64(a)));
    return u64_load(op_ge(a, to_f64(18446744073709551616.0)) ? uvec2(0xffffffffu) : f64_to_word(a));
}

//# to_f64:
// One rounding: the high word's share is exact.
F64 to_f64(U64 a)
{
    uvec2 v = u64_store(a);
    return op_add(op_mul(to_f64(v.y), to_f64(4294967296.0)), to_f64(v.x));
}
F64 to_f64(I64 a)
{
    uvec2 v = i64_store(a);
    return op_add(op_mul(to_f64(int(v.y)), to_f64(4294967296.0)), to_f64(v.x));
}
