// 64-bit integers: what is written in terms of the other functions, for both forms of I64 and U64.

//# to_index:
int to_index(I64 a)
{
    uvec2 v = i64_store(a);
    return mix(mix(0x7fffffff, -1, int(v.y) < 0), int(v.x), v.y == uint(int(v.x) >> 31));
}
int to_index(U64 a)
{
    uvec2 v = u64_store(a);
    return mix(0x7fffffff, int(v.x), v.y == 0u && int(v.x) >= 0);
}

//# op_max:
I64 op_max(I64 a, I64 b) { return op_lt(a, b) ? b : a; }
U64 op_max(U64 a, U64 b) { return op_lt(a, b) ? b : a; }

//# op_min:
I64 op_min(I64 a, I64 b) { return op_lt(b, a) ? b : a; }
U64 op_min(U64 a, U64 b) { return op_lt(b, a) ? b : a; }

//# op_sign:
I64 op_sign(I64 a)
{
    uvec2 v = i64_store(a);
    return to_i64(int(v.y) < 0 ? -1 : v == uvec2(0u) ? 0 : 1);
}
U64 op_sign(U64 a) { return to_u64(u64_store(a) == uvec2(0u) ? 0u : 1u); }

//# op_mod:
I64 op_mod(I64 a, I64 b)
{
    I64 r = op_rem(a, b);
    uvec2 v = i64_store(r);
    return v != uvec2(0u) && int(v.y ^ i64_store(b).y) < 0 ? op_add(r, b) : r;
}
U64 op_mod(U64 a, U64 b) { return op_rem(a, b); }

//# op_pow:
U64 op_pow(U64 a, U64 b)
{
    U64 r = to_u64(1u);
    for (uvec2 n = u64_store(b); n != uvec2(0u); n = u2_shr(n, 1)) {
        if ((n.x & 1u) != 0u) r = op_mul(r, a);
        a = op_mul(a, a);
    }
    return r;
}
I64 op_pow(I64 a, I64 b) // a negative power of an integer is its truncated value
{
    uvec2 v = i64_store(a), n = i64_store(b);
    if (int(n.y) >= 0) return to_i64(op_pow(to_u64(a), to_u64(b)));
    if (v == uvec2(0xffffffffu)) return to_i64((n.x & 1u) != 0u ? -1 : 1);
    return to_i64(v == uvec2(1u, 0u) ? 1 : 0);
}

//# to_float:
// Rounded to nearest even, which a native conversion need not be.
float to_float(U64 a) { return u2_to_float(u64_store(a)); }
float to_float(I64 a)
{
    uvec2 v = i64_store(a);
    return int(v.y) < 0 ? -u2_to_float(u2_neg(v)) : u2_to_float(v);
}

//# random_bits:
// Philox4x32-10 (Salmon et al., SC11), as ir/eval_source.c has it: the counter is the element's index, the key the seed; word 0.
uint random_bits(U64 seed, uint index)
{
    uvec2 key = u64_store(seed);
    uvec4 c = uvec4(index, 0u, 0u, 0u);
    for (int i = 0; i < 10; i++) {
        uint hi0, lo0, hi1, lo1;
        umulExtended(0xd2511f53u, c.x, hi0, lo0);
        umulExtended(0xcd9e8d57u, c.z, hi1, lo1);
        c = uvec4(hi1 ^ c.y ^ key.x, lo1, hi0 ^ c.w ^ key.y, lo0);
        key += uvec2(0x9e3779b9u, 0xbb67ae85u);
    }
    return c.x;
}
