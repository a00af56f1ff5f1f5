/* Element types: every pattern of the narrow ones, rounding against a search of neighbours, packing. */
#include "ir/dtype.h"

#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

static bool same_number(double a, double b)
{
    return (isnan(a) && isnan(b)) || (a == b && signbit(a) == signbit(b));
}

static unsigned bits_of(DType t, double v)
{
    uint32_t bits = 0;
    elem_set_f(t, &bits, 0, v);
    return bits;
}

Test(dtype, rows_are_consistent)
{
    for (int i = 0; i < DLVK_DTYPE_COUNT; i++) {
        DType t = (DType)i, u;
        cr_expect(dtype_parse(dtype_name(t), &u) && u == t);
        cr_expect(dtype_from_onnx(dtype_to_onnx(t), &u) && u == t);
    }
    DType t;
    cr_expect(!dtype_parse("f99", &t) && !dtype_from_onnx(0, &t) && !dtype_from_onnx(14, &t));
    cr_expect(dtype_bytes(DLVK_I4, 3) == 2 && dtype_bytes(DLVK_U2, 5) == 2 && dtype_bytes(DLVK_F64, 3) == 24);
    cr_expect_str_eq(dtype_name((DType)999), "?");
}

/* What a pattern stands for, stored again, gives the pattern. */
static void check_patterns(DType t)
{
    unsigned n = 1u << dtype_bits(t);
    for (unsigned code = 0; code < n; code++) {
        double v = elem_get_f(t, &code, 0);
        unsigned again = bits_of(t, v);
        if (isnan(v))
            cr_expect(isnan(elem_get_f(t, &again, 0)), "%s 0x%x", dtype_name(t), code);
        else
            cr_expect(again == code, "%s 0x%x -> %g -> 0x%x", dtype_name(t), code, v, again);
        cr_expect(isinf(v) || same_number(dtype_round_f(t, v, true), v), "%s 0x%x", dtype_name(t), code);
        cr_expect(same_number(dtype_round_f(t, v, false), v), "%s 0x%x", dtype_name(t), code);
    }
}

/* Between neighbours x < y: x up to the middle, y beyond it, and at the middle the one with the even code. */
static void check_rounding(DType t)
{
    unsigned half = 1u << (dtype_bits(t) - 1);
    for (unsigned code = 0; code + 1 < half; code++) {
        unsigned next = code + 1;
        double x = elem_get_f(t, &code, 0), y = elem_get_f(t, &next, 0), mid = (x + y) / 2;
        if (!isfinite(x) || !isfinite(y)) continue;
        for (int sign = -1; sign <= 1; sign += 2) {
            double even = code % 2 ? y : x;
            cr_expect(dtype_round_f(t, sign * nextafter(mid, 0), true) == sign * x, "%s below the middle of %g and %g",
                      dtype_name(t), x, y);
            cr_expect(dtype_round_f(t, sign * nextafter(mid, INFINITY), true) == sign * y, "%s above the middle of %g and %g",
                      dtype_name(t), x, y);
            cr_expect(dtype_round_f(t, sign * mid, true) == sign * even, "%s at the middle of %g and %g", dtype_name(t), x, y);
        }
    }
}

Test(dtype, narrow_floats)
{
    const DType all[] = {DLVK_F16, DLVK_BF16, DLVK_F8E4M3FN, DLVK_F8E4M3FNUZ, DLVK_F8E5M2, DLVK_F8E5M2FNUZ, DLVK_F4E2M1};
    for (unsigned i = 0; i < sizeof all / sizeof *all; i++) {
        check_patterns(all[i]);
        check_rounding(all[i]);
    }
    check_patterns(DLVK_F8E8M0);
}

Test(dtype, largest_and_smallest)
{
    const struct {
        DType t;
        double max, min;
    } row[] = {{DLVK_F16, 65504, 0x1p-24},    {DLVK_BF16, 0x1.fep127, 0x1p-133},
               {DLVK_F8E4M3FN, 448, 0x1p-9},  {DLVK_F8E4M3FNUZ, 240, 0x1p-10},
               {DLVK_F8E5M2, 57344, 0x1p-16}, {DLVK_F8E5M2FNUZ, 57344, 0x1p-17},
               {DLVK_F4E2M1, 6, 0.5}};
    for (unsigned i = 0; i < sizeof row / sizeof *row; i++) {
        DType t = row[i].t;
        cr_expect(dtype_round_f(t, row[i].max, false) == row[i].max, "%s", dtype_name(t));
        cr_expect(dtype_round_f(t, row[i].min, false) == row[i].min, "%s", dtype_name(t));
        cr_expect(dtype_round_f(t, row[i].min / 2, false) == 0, "%s", dtype_name(t));
        cr_expect(dtype_round_f(t, row[i].min * 0.51, false) == row[i].min, "%s", dtype_name(t));
    }
}

/* ONNX's Cast: the table of its float8 conversions, and the codes of its test data. */
Test(dtype, overflow_of_float8)
{
    const struct {
        DType t;
        unsigned nan, sat_inf, sat_big, inf, big;
    } row[] = {{DLVK_F8E4M3FN, 0x7f, 0x7e, 0x7e, 0x7f, 0x7f},
               {DLVK_F8E4M3FNUZ, 0x80, 0x7f, 0x7f, 0x80, 0x80},
               {DLVK_F8E5M2, 0x7f, 0x7c, 0x7b, 0x7c, 0x7c},
               {DLVK_F8E5M2FNUZ, 0x80, 0x7f, 0x7f, 0x80, 0x80}};
    for (unsigned i = 0; i < sizeof row / sizeof *row; i++) {
        DType t = row[i].t;
        bool uz = row[i].nan == 0x80;
        cr_expect(bits_of(t, NAN) == row[i].nan && bits_of(t, INFINITY) == row[i].sat_inf && bits_of(t, 1e6) == row[i].sat_big,
                  "%s", dtype_name(t));
        cr_expect(bits_of(t, -1e6) == (row[i].sat_big | 0x80) && bits_of(t, -0.0) == (uz ? 0 : 0x80) &&
                  bits_of(t, -1e-9) == (uz ? 0 : 0x80));
        unsigned inf = row[i].inf, big = row[i].big;
        cr_expect(same_number(dtype_round_f(t, INFINITY, false), elem_get_f(t, &inf, 0)), "%s", dtype_name(t));
        cr_expect(same_number(dtype_round_f(t, 1e6, false), elem_get_f(t, &big, 0)), "%s", dtype_name(t));
    }
    cr_expect(dtype_round_f(DLVK_F8E4M3FN, 463, true) == 448 && isnan(dtype_round_f(DLVK_F8E4M3FN, 465, false)));
    cr_expect(dtype_round_f(DLVK_F4E2M1, 1e9, false) == 6 && dtype_round_f(DLVK_F4E2M1, -INFINITY, true) == -6);
    cr_expect(isinf(dtype_round_f(DLVK_F16, 65520, true)) && dtype_round_f(DLVK_F16, 65519.99, true) == 65504);
    cr_expect(isinf(dtype_round_f(DLVK_F32, 1e39, true)) && dtype_round_f(DLVK_F64, 1e300, true) == 1e300);
}

Test(dtype, powers_of_two)
{
    cr_expect(dtype_round_f(DLVK_F8E8M0, 1.0, true) == 1 && dtype_round_f(DLVK_F8E8M0, 1.01, true) == 2 &&
              dtype_round_f(DLVK_F8E8M0, -3, true) == 4);
    cr_expect(dtype_round_f(DLVK_F8E8M0, 0, true) == 0x1p-127 && dtype_round_f(DLVK_F8E8M0, 1e300, true) == 0x1p127);
    cr_expect(isnan(dtype_round_f(DLVK_F8E8M0, 1e300, false)) && isnan(dtype_round_f(DLVK_F8E8M0, INFINITY, true)));
}

/* float -> half through double must not round twice: just above a middle that float cannot see. */
Test(dtype, one_rounding)
{
    double x = 1 + 0x1p-11 + 0x1p-40;
    cr_expect((double)(float)x == 1 + 0x1p-11 && dtype_round_f(DLVK_F16, x, true) == 1 + 0x1p-10);
    float f;
    int64_t big = ((int64_t)1 << 60) + ((int64_t)1 << 36) + 1; /* (double) of this is a tie for float; the integer is not */
    elem_set_i(DLVK_F32, &f, 0, big);
    cr_expect(f == (float)big && f != (float)(double)big);
    elem_set_i(DLVK_F32, &f, 0, -big);
    cr_expect(f == (float)-big);
}

Test(dtype, integers_wrap_and_pack)
{
    const DType all[] = {DLVK_I64, DLVK_I32, DLVK_I16, DLVK_I8, DLVK_I4, DLVK_I2,
                         DLVK_U64, DLVK_U32, DLVK_U16, DLVK_U8, DLVK_U4, DLVK_U2};
    for (unsigned k = 0; k < sizeof all / sizeof *all; k++) {
        DType t = all[k];
        int bits = dtype_bits(t);
        unsigned char data[64] = {0}, guard[64];
        for (int i = 0; i < 7; i++) {
            int64_t v = i * 1000003 - 3;
            memcpy(guard, data, sizeof data);
            elem_set_i(t, data, i, v);
            int64_t want = bits == 64 ? v : v & (((int64_t)1 << bits) - 1);
            if (dtype_class(t) == DC_INT && bits < 64 && want >> (bits - 1)) want -= (int64_t)1 << bits;
            cr_expect(elem_get_i(t, data, i) == want && dtype_wrap_i(t, v) == want, "%s", dtype_name(t));
            for (int j = 0; j < 7; j++)
                if (j != i)
                    cr_expect(elem_get_i(t, data, j) == elem_get_i(t, guard, j), "%s: element %d touched by %d", dtype_name(t), j,
                              i);
        }
    }
    unsigned char nibbles[2] = {0};
    elem_set_i(DLVK_U4, nibbles, 0, 1);
    elem_set_i(DLVK_U4, nibbles, 1, 2);
    cr_expect(nibbles[0] == 0x21); /* low bits first */
    int64_t v;
    elem_set_f(DLVK_I64, &v, 0, 1e30);
    cr_expect(v == INT64_MAX);
    elem_set_f(DLVK_I64, &v, 0, -2.9);
    cr_expect(v == -2);
    elem_set_f(DLVK_U64, &v, 0, 0x1.8p63);
    cr_expect(elem_get_f(DLVK_U64, &v, 0) == 0x1.8p63);
    elem_set_f(DLVK_I64, &v, 0, NAN);
    cr_expect(v == 0);
    unsigned char b;
    elem_set_f(DLVK_BOOL, &b, 0, 0.25);
    cr_expect(b == 1 && elem_get_i(DLVK_BOOL, &b, 0) == 1);
}

/* Every sign and exponent, with mantissas at and around the halfway points. */
Test(dtype, narrow_many_at_once)
{
    static const uint32_t ends[] = {0,      1,      0xfff,   0x1000,   0x1001,   0x1fff,   0x2000,   0x3000,   0x7fff,
                                    0x8000, 0x8001, 0x18000, 0x3fffff, 0x400000, 0x7fe000, 0x7fefff, 0x7ff000, 0x7fffff};
    enum { ENDS = sizeof ends / sizeof *ends };
    for (int k = 0; k < 2; k++) {
        DType t = k ? DLVK_BF16 : DLVK_F16;
        for (uint32_t top = 0; top < 512; top++) {
            uint32_t bits[ENDS];
            uint16_t got[ENDS], want[ENDS];
            bool fits = true;
            for (int i = 0; i < ENDS; i++) {
                float x;
                bits[i] = top << 23 | ends[i];
                memcpy(&x, &bits[i], 4);
                elem_set_f(t, want, i, (double)x);
                fits &= !isfinite(x) || isfinite(elem_get_f(t, want, i));
            }
            cr_assert_eq(floats_narrow(t, bits, ENDS, got), fits, "%s, exponent %u", dtype_name(t), top);
            for (int i = 0; i < ENDS; i++)
                cr_assert_eq(got[i], want[i], "%s of %08x: %04x, not %04x", dtype_name(t), bits[i], got[i], want[i]);
        }
    }
}
