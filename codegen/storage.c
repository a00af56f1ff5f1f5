/* Elements in memory and in registers: loads, stores, literals, conversions between types.
 *
 * Elements below 32 bits are packed several to a word as in ONNX, or, where the value is `wide`, one to a word. Those of 16 bits
 * are loaded and stored by themselves where the device can, and as halves of words where nothing beyond the Vulkan minimum is
 * there; smaller ones always as parts of words. */
#include <math.h>
#include <string.h>

#include "codegen/shader.h"

const char *glsl_class(DType t)
{
    switch (dtype_class(t)) {
    case DC_FLOAT: return t == DLVK_F64 ? "F64" : "float";
    case DC_INT: return t == DLVK_I64 ? "I64" : "int";
    case DC_STRING:
    case DC_UINT: return t == DLVK_U64 ? "U64" : "uint";
    default: return "bool";
    }
}

char glsl_class_letter(DType t)
{
    switch (dtype_class(t)) {
    case DC_FLOAT: return t == DLVK_F64 ? 'd' : 'f';
    case DC_INT: return t == DLVK_I64 ? 'l' : 'i';
    case DC_STRING:
    case DC_UINT: return t == DLVK_U64 ? 'm' : 'u';
    default: return 'b';
    }
}

int storage_per_word(const KernelGen *kg, const Value *v)
{
    int bits = dtype_bits(v->type.dtype);
    if (bits >= 32 || bits == 0) return 1;
    const Value *root = schedule_storage(kg->sched, (Value *)v);
    return kg->sched->wide[root->id] ? 1 : 32 / bits;
}

/* The conversion functions of a float type below 32 bits: f16_to_f32, f32_to_f16. */
static const char *small_float(DType t)
{
    return dtype_name(t);
}

/* A value of type t from its bits in the low end of a uint. */
const char *emit_from_bits(Shader *s, DType t, const char *x)
{
    int bits = dtype_bits(t);
    switch (dtype_class(t)) {
    case DC_FLOAT:
        return t == DLVK_F32 ? sh_printf(s, "uintBitsToFloat(%s)", x) : sh_printf(s, "%s_to_f32(%s)", small_float(t), x);
    case DC_INT: return bits == 32 ? sh_printf(s, "int(%s)", x) : sh_printf(s, "bitfieldExtract(int(%s), 0, %d)", x, bits);
    case DC_BOOL: return sh_printf(s, "((%s) != 0u)", x);
    default: return x;
    }
}

const char *emit_bits(Shader *s, DType t, const char *x)
{
    int bits = dtype_bits(t);
    switch (dtype_class(t)) {
    case DC_FLOAT:
        if (t == DLVK_F32) return sh_printf(s, "floatBitsToUint(%s)", x);
        return sh_printf(s, "f32_to_%s%s(%s)", small_float(t), t == DLVK_F8E5M2 ? "_keep" : "", x);
    case DC_INT: return bits == 32 ? sh_printf(s, "uint(%s)", x) : sh_printf(s, "(uint(%s) & 0x%xu)", x, (1u << bits) - 1);
    case DC_BOOL: return sh_printf(s, "uint(%s)", x);
    default: return x;
    }
}

/* Block type for whole-word access to t. */
static const char *word_block(DType t)
{
    switch (glsl_class_letter(t)) {
    case 'f': return "BufF32";
    case 'i': return "BufI32";
    case 'u':
    case 'b': return "BufU32";
    default: return "BufU64";
    }
}

const char *storage_block(const KernelGen *kg, const Value *v)
{
    return storage_per_word(kg, v) > 1 ? "BufU32" : word_block(v->type.dtype);
}

const char *emit_load(Shader *s, Value *v, const char *flat)
{
    DType t = v->type.dtype;
    int per = storage_per_word(s->kg, v);
    if (per == 1) {
        const char *b = arg_buffer(s, v, false, word_block(t));
        switch (glsl_class_letter(t)) {
        case 'l': return sh_printf(s, "i64_load(%s.d[%s])", b, flat);
        case 'm': return sh_printf(s, "u64_load(%s.d[%s])", b, flat);
        case 'd': return sh_printf(s, "f64_load(%s.d[%s])", b, flat);
        case 'b': return sh_printf(s, "(%s.d[%s] != 0u)", b, flat);
        default: return sh_printf(s, "%s.d[%s]", b, flat);
        }
    }
    const char *b = arg_buffer(s, v, false, "BufU32");
    if (per == 2) return emit_from_bits(s, t, sh_printf(s, "load16(%s, %s)", b, flat));
    int shift = per == 4 ? 2 : per == 8 ? 3 : 4, bits = 32 / per;
    const char *x =
        sh_printf(s, "bitfieldExtract(%s.d[%s >> %d], (%s & %d) * %d, %d)", b, flat, shift, flat, per - 1, bits, bits);
    return emit_from_bits(s, t, x);
}

bool emit_store_rounds(const Shader *s, const Value *v)
{
    return v->type.dtype == DLVK_F16 && storage_per_word(s->kg, v) == 2;
}

void emit_store(Shader *s, Value *v, const char *flat, const char *x)
{
    DType t = v->type.dtype;
    if (storage_per_word(s->kg, v) == 2) {
        const char *b = arg_buffer(s, v, true, "BufU32");
        sh_line(s, "store16(%s, %s, %s);", b, flat, emit_bits(s, t, x));
        return;
    }
    const char *b = arg_buffer(s, v, true, word_block(t));
    switch (glsl_class_letter(t)) {
    case 'l': x = sh_printf(s, "i64_store(%s)", x); break;
    case 'm': x = sh_printf(s, "u64_store(%s)", x); break;
    case 'd': x = sh_printf(s, "f64_store(%s)", x); break;
    case 'b': x = sh_printf(s, "uint(%s)", x); break;
    default: break;
    }
    sh_line(s, "%s.d[%s] = %s;", b, flat, x);
}

const char *emit_literal(Shader *s, DType t, double f, int64_t i)
{
    switch (glsl_class_letter(t)) {
    case 'f': {
        float v = (float)f;
        if (isnan(v) || isinf(v))
            return isnan(v) ? "uintBitsToFloat(0x7fc00000u)"
                   : v > 0  ? "uintBitsToFloat(0x7f800000u)"
                            : "uintBitsToFloat(0xff800000u)";
        char text[64];
        snprintf(text, sizeof text, "%.9g", v);
        if (!strpbrk(text, ".e")) strcat(text, ".0");
        return signbit(v) ? sh_printf(s, "(%s)", text) : sh_printf(s, "%s", text);
    }
    case 'd': {
        uint64_t bits;
        memcpy(&bits, &f, 8);
        return sh_printf(s, "f64_load(uvec2(0x%xu, 0x%xu))", (unsigned)bits, (unsigned)(bits >> 32));
    }
    case 'l':
    case 'm':
        return sh_printf(s, "%c64_load(uvec2(0x%xu, 0x%xu))", glsl_class_letter(t) == 'l' ? 'i' : 'u', (unsigned)i,
                         (unsigned)((uint64_t)i >> 32));
    case 'i': return i == INT32_MIN ? "int(0x80000000u)" : i < 0 ? sh_printf(s, "(%d)", (int)i) : sh_printf(s, "%d", (int)i);
    case 'u': return sh_printf(s, "%uu", (unsigned)i);
    default: return i ? "true" : "false";
    }
}

const char *emit_wrap(Shader *s, DType t, const char *x)
{
    int bits = dtype_bits(t);
    if (bits >= 32) return x;
    if (dtype_class(t) == DC_INT) return sh_printf(s, "bitfieldExtract(%s, 0, %d)", x, bits);
    if (dtype_class(t) == DC_UINT) return sh_printf(s, "((%s) & 0x%xu)", x, (1u << bits) - 1);
    return x;
}

/* Rounds a float to the precision of t. */
static const char *round_float(Shader *s, DType t, const char *x, bool saturate)
{
    if (t == DLVK_F32 || t == DLVK_F64) return x;
    if (t == DLVK_F16) return sh_printf(s, "f16_round(%s)", x);
    bool f8 = dtype_bits(t) == 8;
    return sh_printf(s, "%s_to_f32(f32_to_%s%s(%s))", small_float(t), small_float(t), f8 && !saturate ? "_nosat" : "", x);
}

const char *emit_cast(Shader *s, DType from, DType to, const char *x, bool saturate)
{
    char a = glsl_class_letter(from), b = glsl_class_letter(to);
    const char *y;
    if (b == 'b') {
        if (a == 'b') return x;
        return a == 'f' ? sh_printf(s, "op_to_bool(%s)", x) : sh_printf(s, "to_bool(%s)", x);
    }
    if (a == 'd' && b == 'f' && to != DLVK_F32) /* one rounding, not two */
        return sh_printf(s, "%s_to_f32(f64_to_%s%s(%s))", small_float(to), small_float(to),
                         dtype_bits(to) == 8 && !saturate ? "_nosat" : "", x);
    static const char *const to_name[128] = {
        ['f'] = "to_float", ['i'] = "to_int", ['u'] = "to_uint", ['l'] = "to_i64", ['m'] = "to_u64", ['d'] = "to_f64"};
    y = a == b ? x : sh_printf(s, "%s(%s)", to_name[(int)b], x);
    if (b == 'f') return round_float(s, to, y, saturate);
    return emit_wrap(s, to, y);
}
