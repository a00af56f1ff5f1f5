// 16-bit elements, two to a word of memory, on a device that knows nothing below 32 bits: b is a reference to uints, i the
// element's number. Each of the two who may store into a word changes its own half of it.
//# load16
#define load16(b, i) bitfieldExtract(b.d[(i) >> 1], ((i) & 1) * 16, 16)

//# store16
#define store16(b, i, x)                                             \
    {                                                                \
        atomicAnd(b.d[(i) >> 1], 0xffff0000u >> (((i) & 1) * 16));   \
        atomicOr(b.d[(i) >> 1], uint(x) << (((i) & 1) * 16));        \
    }
