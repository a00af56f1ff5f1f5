// Arithmetic on buffer references in 64-bit integers: 32-bit indices would be extended at every load.
//# ADDRESS
#define ADDRESS uint64_t

//# address_at
#define address_at(b, i) (uint64_t(b) + uint64_t(int64_t(i) << 2)) /* of the i-th word behind the buffer reference b */

//# address16_at
#define address16_at(b, i) (uint64_t(b) + uint64_t(int64_t(i) << 1)) /* the same for elements of 16 bits */
