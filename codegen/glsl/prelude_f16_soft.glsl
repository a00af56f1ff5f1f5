// f16 by integer arithmetic, for devices without it.
//# f32_to_f16:
uint f32_to_f16(float x)
{
    uint sign = (floatBitsToUint(x) >> 16) & 0x8000u;
    if (op_is_nan(x)) return sign | 0x7e00u;
    if (magnitude_bits(x) >= 0x47800000u) return sign | 0x7c00u; // 65536
    return sign | narrow_encode(x, 10, 15); // rounding up from 65520 gives infinity by itself
}

//# f16_pair:
uint f16_pair(float x, float y) { return f32_to_f16(x) | f32_to_f16(y) << 16; }
