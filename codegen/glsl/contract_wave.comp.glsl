/* Matrix products and convolutions on a GPU, and wherever nothing better applies: needs nothing beyond the Vulkan 1.3 minimum.
 *
 * 64 invocations, 8 by 8, compute a tile of 64 rows by 32 columns, 8 by 4 each. Slices of 16 steps of k go through shared memory; a
 * convolution's k runs over the window's taps and the channels alike. Sums are vectors with names of their own, not an
 * array, for drivers that keep arrays in memory. */
layout(local_size_x = 64) in;

const int BM = 64, BN = 32, BK = 16;
shared vec4 tile_a[BK * (BM / 4 + 1)];
shared vec4 tile_b[BK * (BN / 4 + 1)];
@{shared_rows}

//# main
    int group = int(gl_WorkGroupID.x + gl_WorkGroupID.y * gl_NumWorkGroups.x);
    int t = int(gl_LocalInvocationID.x);
    int row_tiles = (@{m} + BM - 1) / BM, column_tiles = (@{n} + BN - 1) / BN;
    int row_tile = group % row_tiles, column = group / row_tiles, z = column / column_tiles;
    if (z < @{z}) {
        int n0 = (column - z * column_tiles) * BN, m0 = row_tile * BM;
        vec4 c0 = vec4(0), c1 = vec4(0), c2 = vec4(0), c3 = vec4(0), c4 = vec4(0), c5 = vec4(0), c6 = vec4(0), c7 = vec4(0);
        {
            int r = t, m = min(m0 + r, @{m} - 1);
            @{row}
        }
        barrier();
        for (int k0 = 0; k0 < @{k}; k0 += BK) {
            {
                /* Neighbouring invocations read neighbours along k. */
                int kk = t % BK, k = k0 + kk;
                bool live = k < @{k};
                k = live ? k : 0;
                @{a_slice}
                [[unroll]] for (int e = 0; e < BM * BK / 64; e++) {
                    int r = t / BK + e * (64 / BK);
                    float x = 0;
                    @{a_load}
                    tile_a[kk * (BM / 4 + 1) + r / 4][r % 4] = x;
                }
            }
            [[unroll]] for (int e = 0; e < BN * BK / 64; e++) {
                int kk = t / BN + e * (64 / BN), k = k0 + kk, n = n0 + t % BN;
                float x = 0;
                if (k < @{k} && n < @{n}) {
                    @{b_load}
                }
                tile_b[kk * (BN / 4 + 1) + t % BN / 4][t % 4] = x;
            }
            barrier();
            [[unroll]] for (int kk = 0; kk < BK; kk++) {
                vec4 b = tile_b[kk * (BN / 4 + 1) + t % 8];
                vec4 u = tile_a[kk * (BM / 4 + 1) + t / 8], v = tile_a[kk * (BM / 4 + 1) + 8 + t / 8];
                c0 += u.x * b;
                c1 += u.y * b;
                c2 += u.z * b;
                c3 += u.w * b;
                c4 += v.x * b;
                c5 += v.y * b;
                c6 += v.z * b;
                c7 += v.w * b;
            }
            barrier();
        }
        vec4 acc[8] = vec4[](c0, c1, c2, c3, c4, c5, c6, c7);
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
