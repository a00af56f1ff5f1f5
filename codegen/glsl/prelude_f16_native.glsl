// f16 by the device's own conversions.
//# f32_to_f16:
uint f32_to_f16(float x) { return packFloat2x16(f16vec2(float16_t(x), float16_t(0))); }
