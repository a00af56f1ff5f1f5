// F64 where the device has doubles. GLSL has no transcendental functions of them: see prelude_f64_math.glsl.

//# F64:
#define F64 double

//# f64_load:
F64 f64_load(uvec2 v) { return packDouble2x32(v); }

//# f64_store:
uvec2 f64_store(F64 a) { return unpackDouble2x32(a); }

//# f64_nan:
F64 f64_nan() { return packDouble2x32(uvec2(0u, 0x7ff80000u)); }

//# op_is_nan:
bool op_is_nan(F64 a)
{
    uvec2 v = unpackDouble2x32(a);
    uint hi = v.y & 0x7fffffffu;
    return hi > 0x7ff00000u || (hi == 0x7ff00000u && v.x != 0u);
}

//# op_neg:
F64 op_neg(F64 a) { return -a; }

//# op_abs:
F64 op_abs(F64 a) { return abs(a); }

//# op_add:
F64 op_add(F64 a, F64 b) { precise F64 y = a + b; return y; }

//# op_sub:
F64 op_sub(F64 a, F64 b) { precise F64 y = a - b; return y; }

//# op_mul:
F64 op_mul(F64 a, F64 b) { precise F64 y = a * b; return y; }

//# op_div:
F64 op_div(F64 a, F64 b) { return a / b; }

//# op_sqrt:
F64 op_sqrt(F64 a) { return sqrt(a); }

//# op_eq:
bool op_eq(F64 a, F64 b) { return a == b; }

//# op_ne:
bool op_ne(F64 a, F64 b) { return !(a == b); }

//# op_lt:
bool op_lt(F64 a, F64 b) { return a < b; }

//# op_le:
bool op_le(F64 a, F64 b) { return a <= b; }

//# op_gt:
bool op_gt(F64 a, F64 b) { return a > b; }

//# op_ge:
bool op_ge(F64 a, F64 b) { return a >= b; }

//# op_trunc:
F64 op_trunc(F64 a) { return trunc(a); }

//# to_f64:
F64 to_f64(F64 a) { return a; }
F64 to_f64(uint a) { return double(a); }
F64 to_f64(int a) { return double(a); }
F64 to_f64(bool a) { return a ? double(1.0) : double(0.0); }
F64 to_f64(float a) { return double(a); }
