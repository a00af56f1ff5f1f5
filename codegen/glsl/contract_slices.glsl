/* A team's part of the next slice of k, under way into registers. The template has BM, BN, BK, VECTORS (of a slice's steps), TEAM (the
 * invocations that share a slice), K_END, where k ends, WHOLE, whether slices are whole up to there, and `pool` in shared memory. Vectors in memory lie along A's steps of k, else along its rows; along
 * B's columns, else along its steps of k. */
const int LOADS_A = BM * VECTORS / TEAM, LOADS_B = BN * VECTORS / TEAM;
const bool A_STEPS = @{a_along_k}, B_COLUMNS = @{b_along_n};
layout(buffer_reference, std430, buffer_reference_align = 16) readonly buffer Floats { vec4 d[]; };
int t, z, m0, n0; /* this invocation's number in its team; the tile's batch, row and column */
vec4 next_a[LOADS_A], next_b[LOADS_B];
int fetched; /* the step that they begin at */
@{rows}
int across_a(int e) { return A_STEPS ? t / VECTORS + e * (TEAM / VECTORS) : t % (BM / 4) * 4; }
int along_a(int e) { return A_STEPS ? t % VECTORS * 4 : t / (BM / 4) + e * (TEAM / (BM / 4)); }
int across_b(int e) { return B_COLUMNS ? t % (BN / 4) * 4 : t / VECTORS + e * (TEAM / VECTORS); }
int along_b(int e) { return B_COLUMNS ? t / (BN / 4) + e * (TEAM / (BN / 4)) : t % VECTORS * 4; }

void fetch(int k0)
{
    [[unroll]] for (int e = 0; e < LOADS_A; e++) {
        int r = across_a(e);
#if @{a_whole}
        int k = k0 + along_a(e);
        bool live = WHOLE || k < K_END;
        k = live ? k : 0;
        @{a_slice}
        vec4 x = vec4(0);
        @{a_load}
        next_a[e] = x;
#else
        [[unroll]] for (int u = 0; u < 4; u++) {
            int k = k0 + along_a(e) + u;
            bool live = WHOLE || k < K_END;
            k = live ? k : 0;
            @{a_slice}
            float x = 0;
            @{a_load}
            next_a[e][u] = x;
        }
#endif
    }
#if @{clamp}
    /* What lies outside is loaded as the last that there is: columns are not stored, and steps become 0 once they have come (put()). */
    [[unroll]] for (int e = 0; e < LOADS_B; e++) {
        int n = min(n0 + across_b(e), B_COLUMNS && @{b_whole} != 0 ? (@{n} - 1) / 4 * 4 : @{n} - 1);
#if @{b_whole}
        int k = WHOLE ? k0 + along_b(e) : min(k0 + along_b(e), B_COLUMNS ? K_END - 1 : K_END - 4);
        vec4 x;
        @{b_load}
        next_b[e] = x;
#else
        [[unroll]] for (int u = 0; u < 4; u++) {
            int k = k0 + along_b(e) + (B_COLUMNS ? 0 : u);
            if (!WHOLE) k = min(k, K_END - 1);
            float x;
            @{b_load}
            next_b[e][u] = x;
            if (B_COLUMNS) n = min(n + 1, @{n} - 1);
        }
#endif
    }
    fetched = k0;
#else
    [[unroll]] for (int e = 0; e < LOADS_B; e++) {
        int k = k0 + along_b(e), n = n0 + across_b(e);
#if @{b_whole}
        vec4 x = vec4(0);
        if (k < K_END && n < @{n}) {
            @{b_load}
        }
        next_b[e] = x;
#else
        [[unroll]] for (int u = 0; u < 4; u++) {
            float x = 0;
            if (k < K_END && n < @{n}) {
                @{b_load}
            }
            next_b[e][u] = x;
            B_COLUMNS ? n++ : k++;
        }
#endif
    }
#endif
}

/* What was under way into shared memory, where A's slice begins at at_a and B's at at_b: vectors, of which every step has STRIDE_A and STRIDE_B.
 * A vector along the steps becomes a component of four. The places are sums of what is known before the loop and of constants. */
void put(int at_a, int at_b)
{
    int to_a = at_a + (A_STEPS ? along_a(0) * STRIDE_A + t / VECTORS / 4 : along_a(0) * STRIDE_A + across_a(0) / 4);
    int to_b = at_b + (B_COLUMNS ? along_b(0) * STRIDE_B + across_b(0) / 4 : along_b(0) * STRIDE_B + t / VECTORS / 4), c = t / VECTORS % 4;
#if @{clamp}
    if (!WHOLE && fetched + BK > K_END)
        [[unroll]] for (int e = 0; e < LOADS_B; e++)
            [[unroll]] for (int u = 0; u < 4; u++)
                if (fetched + along_b(e) + (B_COLUMNS ? 0 : u) >= K_END) next_b[e][u] = 0;
#endif
    [[unroll]] for (int e = 0; e < LOADS_A; e++) {
        if (A_STEPS)
            [[unroll]] for (int u = 0; u < 4; u++) pool[to_a + e * (TEAM / VECTORS / 4) + u * STRIDE_A][c] = next_a[e][u];
        else
            pool[to_a + e * (TEAM / (BM / 4)) * STRIDE_A] = next_a[e];
    }
    [[unroll]] for (int e = 0; e < LOADS_B; e++) {
        if (B_COLUMNS)
            pool[to_b + e * (TEAM / (BN / 4)) * STRIDE_B] = next_b[e];
        else
            [[unroll]] for (int u = 0; u < 4; u++) pool[to_b + e * (TEAM / VECTORS / 4) + u * STRIDE_B][c] = next_b[e][u];
    }
}
