// Arithmetic on buffer references where the device has no 64-bit integers.
//# ADDRESS
#define ADDRESS uvec2

//# address_at
uvec2 address_at_pair(uvec2 base, int i)
{
    uint carry, low = uaddCarry(base.x, uint(i) << 2, carry);
    return uvec2(low, base.y + carry + uint(i >> 30));
}
#define address_at(b, i) address_at_pair(uvec2(b), i) /* of the i-th word behind the buffer reference b */
