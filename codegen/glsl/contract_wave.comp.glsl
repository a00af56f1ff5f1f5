/* Matrix products and convolutions on a GPU, and wherever nothing better applies: needs nothing beyond the Vulkan 1.3 minimum.
 *
 * A workgroup computes a tile of 64 rows by 32 columns. It has PARTS teams of 64 invocations, 8 by 8 with 8 by 4 sums each; the teams
 * share out the slices of 16 steps of k between them and add up at the end, so that few tiles with a long k keep a GPU busy. While a slice in shared
 * memory is worked on, the next one is under way into registers. A convolution's k runs over the window's taps and the channels
 * alike. Sums are vectors with names of their own, not an array, for drivers that keep arrays in memory. */
layout(constant_id = 0) const uint GROUP = 64;
layout(local_size_x_id = 0) in;

const int PARTS = int(GROUP / 64);
const int BM = 64, BN = 32, BK = 16;
const int STRIDE_A = BM / 4 + 1, STRIDE_B = BN / 4 + 1; /* vectors to a step of k: odd, so that columns fall into different banks */
shared vec4 tile_a[PARTS * BK * STRIDE_A];
shared vec4 tile_b[PARTS * BK * STRIDE_B];
@{shared_rows}

//# main
    int group = int(gl_WorkGroupID.x + gl_WorkGroupID.y * gl_NumWorkGroups.x);
    int t = int(gl_LocalInvocationID.x % 64), part = int(gl_LocalInvocationID.x / 64);
    int row_tiles = (@{m} + BM - 1) / BM, column_tiles = (@{n} + BN - 1) / BN;
    int row_tile = group % row_tiles, column = group / row_tiles, z = column / column_tiles;
    if (z < @{z}) {
        int n0 = (column - z * column_tiles) * BN, m0 = row_tile * BM;
        int at_a = part * BK * STRIDE_A, at_b = part * BK * STRIDE_B;
        vec4 c0 = vec4(0), c1 = vec4(0), c2 = vec4(0), c3 = vec4(0), c4 = vec4(0), c5 = vec4(0), c6 = vec4(0), c7 = vec4(0);
        if (part == 0) {
            int r = t, m = min(m0 + r, @{m} - 1);
            @{row}
        }
        float next_a[BM * BK / 64], next_b[BN * BK / 64];
        for (int k0 = -PARTS * BK; k0 < @{k}; k0 += PARTS * BK) {
            if (k0 >= 0) {
                [[unroll]] for (int e = 0; e < BM * BK / 64; e++) {
                    int r = t / BK + e * (64 / BK);
                    tile_a[at_a + t % BK * STRIDE_A + r / 4][r % 4] = next_a[e];
                }
                [[unroll]] for (int e = 0; e < BN * BK / 64; e++)
                    tile_b[at_b + (t / BN + e * (64 / BN)) * STRIDE_B + t % BN / 4][t % 4] = next_b[e];
            }
            barrier();
            {
                /* Neighbouring invocations read neighbours along k. */
                int k = k0 + (PARTS + part) * BK + t % BK;
                bool live = k < @{k};
                k = live ? k : 0;
                @{a_slice}
                [[unroll]] for (int e = 0; e < BM * BK / 64; e++) {
                    int r = t / BK + e * (64 / BK);
                    float x = 0;
                    @{a_load}
                    next_a[e] = x;
                }
            }
            [[unroll]] for (int e = 0; e < BN * BK / 64; e++) {
                int k = k0 + (PARTS + part) * BK + t / BN + e * (64 / BN), n = n0 + t % BN;
                float x = 0;
                if (k < @{k} && n < @{n}) {
                    @{b_load}
                }
                next_b[e] = x;
            }
            if (k0 >= 0) {
                /* A slice by itself: a short sum of short sums rounds less than one long sum. */
                vec4 s0 = vec4(0), s1 = vec4(0), s2 = vec4(0), s3 = vec4(0), s4 = vec4(0), s5 = vec4(0), s6 = vec4(0), s7 = vec4(0);
                [[unroll]] for (int kk = 0; kk < BK; kk++) {
                    vec4 b = tile_b[at_b + kk * STRIDE_B + t % 8];
                    vec4 u = tile_a[at_a + kk * STRIDE_A + t / 8], v = tile_a[at_a + kk * STRIDE_A + 8 + t / 8];
                    s0 += u.x * b;
                    s1 += u.y * b;
                    s2 += u.z * b;
                    s3 += u.w * b;
                    s4 += v.x * b;
                    s5 += v.y * b;
                    s6 += v.z * b;
                    s7 += v.w * b;
                }
                c0 += s0, c1 += s1, c2 += s2, c3 += s3, c4 += s4, c5 += s5, c6 += s6, c7 += s7;
            }
            barrier();
        }
        vec4 acc[8] = vec4[](c0, c1, c2, c3, c4, c5, c6, c7);
        /* Team 0 takes in the sums of the others, one after the other, as many as fit into tile_a at a time. */
        for (int p = 1; p < PARTS; p++)
            for (int half_of = 0; half_of < 2; half_of++) {
                if (part == p) [[unroll]] for (int i = 0; i < 4; i++) tile_a[i * 64 + t] = acc[half_of * 4 + i];
                barrier();
                if (part == 0) [[unroll]] for (int i = 0; i < 4; i++) acc[half_of * 4 + i] += tile_a[i * 64 + t];
                barrier();
            }
        if (part == 0)
            for (int j = 0; j < 4; j++) {
                int n = n0 + t % 8 * 4 + j;
                if (n < @{n}) {
                    @{column_values}
                    for (int i = 0; i < 8; i++) {
                        int m = m0 + t / 8 * 4 + i % 4 + i / 4 * 32;
                        if (m < @{m}) {
                            float x = acc[i][j];
                            @{store}
                        }
                    }
                }
            }
    }
