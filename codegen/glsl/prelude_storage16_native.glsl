// 16-bit elements, two to a word of memory, on a device that loads and stores them one by one: b is a buffer reference of any
// type, i the element's number.
//# Words16
layout(buffer_reference, std430, buffer_reference_align = 2) readonly buffer Words16 { uint16_t d[]; };

//# Words16W
layout(buffer_reference, std430, buffer_reference_align = 2) buffer Words16W { uint16_t d[]; };

//# load16
#define load16(b, i) uint(Words16(b).d[i])

//# store16
#define store16(b, i, x) Words16W(b).d[i] = uint16_t(x)
