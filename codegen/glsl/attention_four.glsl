/* Four neighbours: elements of row `row` from the k-th on, or where rows neighbour, element k of rows from `row` on. Zeros stand for
 * elements beyond the last, the last row for rows beyond it. */
vec4 @{name}(int base, int row, int k)
{
    vec4 x = vec4(0);
#if @{whole}
    int at = base + min(row, @{rows} - @{turned} * 3 - 1) * @{across} + k * @{along};
#if @{whole} == 4
    if (k < @{size}) x = Floats(@{buffer}).d[at >> 2];
#else
    uvec2 h = uvec2(0);
    if (k < @{size}) h = Halves(@{buffer}).d[at >> 2];
    x = vec4(unpackHalf2x16(h.x), unpackHalf2x16(h.y));
#endif
#else
    [[unroll]] for (int i = 0; i < 4; i++) {
        int of = k + i * (1 - @{turned}), at = base + min(row + i * @{turned}, @{rows} - 1) * @{across} + of * @{along};
        if (of < @{size}) x[i] = @{load};
    }
#endif
    return x;
}
