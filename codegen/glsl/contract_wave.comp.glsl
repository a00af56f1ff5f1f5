/* Matrix products and convolutions on a GPU, and wherever nothing better applies: needs nothing beyond the Vulkan 1.3 minimum.
 *
 * 128 invocations, 16 by 8, compute a tile of 16 * TM rows by 8 * TN columns. Slices of 16 steps of k go through shared memory; a
 * convolution's k runs over the window's taps and the channels alike. */
layout(constant_id = 0) const int TM = 4; /* rows of each invocation */
layout(constant_id = 1) const int TN = 8; /* columns of each invocation */
layout(local_size_x = 128) in;

const int BM = 16 * TM, BN = 8 * TN, BK = 16;
shared float tile_a[BK * (BM + 1)];
shared float tile_b[BK * (BN + 1)];
@{shared_rows}

//# main
    int group = int(gl_WorkGroupID.x + gl_WorkGroupID.y * gl_NumWorkGroups.x);
    int t = int(gl_LocalInvocationID.x);
    if (group < @{groups}) {
        int row_tile = group % @{row_tiles}, column = group / @{row_tiles};
        int z = column / @{column_tiles};
        int n0 = (column - z * @{column_tiles}) * BN, m0 = row_tile * BM;
        float acc[TM * TN];
        [[unroll]] for (int i = 0; i < TM * TN; i++) acc[i] = 0;
        for (int r = t; r < BM; r += 128) {
            int m = min(m0 + r, @{m} - 1);
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
                [[unroll]] for (int r = t / BK; r < BM; r += 128 / BK) {
                    float x = 0;
                    @{a_load}
                    tile_a[kk * (BM + 1) + r] = x;
                }
            }
            [[unroll]] for (int e = t; e < BK * BN; e += 128) {
                int kk = e / BN, k = k0 + kk, n = n0 + e % BN;
                float x = 0;
                if (k < @{k} && n < @{n}) {
                    @{b_load}
                }
                tile_b[kk * (BN + 1) + e % BN] = x;
            }
            barrier();
            [[unroll]] for (int kk = 0; kk < BK; kk++) {
                float b[TN];
                [[unroll]] for (int j = 0; j < TN; j++) b[j] = tile_b[kk * (BN + 1) + t % 8 + j * 8];
                [[unroll]] for (int i = 0; i < TM; i++) {
                    float x = tile_a[kk * (BM + 1) + t / 8 + i * 16];
                    [[unroll]] for (int j = 0; j < TN; j++) acc[i * TN + j] = fma(x, b[j], acc[i * TN + j]);
                }
            }
            barrier();
        }
        [[unroll]] for (int j = 0; j < TN; j++) {
            int n = n0 + t % 8 + j * 8;
            if (n < @{n}) {
                @{column_values}
                [[unroll]] for (int i = 0; i < TM; i++) {
                    int m = m0 + t / 8 + i * 16;
                    if (m < @{m}) {
                        float x = acc[i * TN + j];
                        @{store}
                    }
                }
            }
        }
    }
