// f16 by the device's own conversions.
//# f32_to_f16:
uint f32_to_f16(float x) { return packFloat2x16(f16vec2(float16_t(x), float16_t(0))); }

//# f16_pair:
uint f16_pair(float x, float y) { return packFloat2x16(f16vec2(vec2(x, y))); }
