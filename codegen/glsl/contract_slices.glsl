/* A team's part of the next slice of k, under way into registers. The template has BM, BN, VECTORS (of a slice's steps), TEAM (the
 * invocations that share a slice) and K_END, where k ends. Vectors in memory lie along A's steps of k, else along its rows; along
 * B's columns, else along its steps of k. */
const int LOADS_A = BM * VECTORS / TEAM, LOADS_B = BN * VECTORS / TEAM;
const bool A_STEPS = @{a_along_k}, B_COLUMNS = @{b_along_n};
layout(buffer_reference, std430, buffer_reference_align = 16) readonly buffer Floats { vec4 d[]; };
int t, z, m0, n0; /* this invocation's number in its team; the tile's batch, row and column */
vec4 next_a[LOADS_A], next_b[LOADS_B];
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
        bool live = k < K_END;
        k = live ? k : 0;
        @{a_slice}
        vec4 x = vec4(0);
        @{a_load}
        next_a[e] = x;
#else
        [[unroll]] for (int u = 0; u < 4; u++) {
            int k = k0 + along_a(e) + u;
            bool live = k < K_END;
            k = live ? k : 0;
            @{a_slice}
            float x = 0;
            @{a_load}
            next_a[e][u] = x;
        }
#endif
    }
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
}
