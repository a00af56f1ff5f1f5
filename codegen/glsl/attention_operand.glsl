/* Eight elements of row `row`, from the k-th on; zeros beyond the last. */
uvec4 @{name}(int base, int row, int k, bool live)
{
#if @{whole}
    uvec4 x = uvec4(0);
    int at = base + row * @{across} + k;
    if (live && k < int(@{size})) x = Vectors(@{buffer}).d[at >> 3];
    return x;
#else
    float h[8];
    [[unroll]] for (int i = 0; i < 8; i++) {
        float x = 0;
        int at = base + row * @{across} + (k + i) * @{along};
        if (live && k + i < int(@{size})) x = @{load};
        h[i] = x;
    }
    return halves(h);
#endif
}
