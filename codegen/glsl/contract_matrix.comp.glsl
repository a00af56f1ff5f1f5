/* Matrix products and convolutions on matrix units: f16 operands, f32 sums (GL_KHR_cooperative_matrix).
 *
 * A workgroup computes a tile of BM x BN; its subgroups own pieces of WM x WN each, kept in accumulators. A and B pass through shared memory in
 * slices of 32 steps of k, as vectors of eight halves, in rows that are one vector longer than they need be, so that they begin in
 * different banks. While a slice is worked on, the next one is under way into registers. The first three constants are the runtime's: see
 * Pipeline in plan.proto.
 *
 * Where the grid would not fill a GPU, workgroups share out k (SPLITS > 1): each leaves its sums in memory, and the one that
 * finds itself the last adds them up, in order. */
layout(constant_id = 0) const uint GROUP = 128;
layout(constant_id = 1) const uint MAT = 16; /* rows, columns and depth of the device's matrices */
layout(constant_id = 2) const uint LANES = 32;
layout(constant_id = 3) const uint BM = 64;
layout(constant_id = 4) const uint BN = 64;
layout(constant_id = 5) const uint WM = 32;
layout(constant_id = 6) const uint WN = 32;
layout(constant_id = 7) const uint BK = 32;
layout(constant_id = 8) const uint PARTS = 1;
layout(constant_id = 9) const bool SHARED = false; /* workgroups share out k */
layout(local_size_x_id = 0) in;

const uint VECTORS = BK / 8;
const int BAND = 8;
const uint FM = WM / MAT, FN = WN / MAT;             /* matrices in a subgroup's piece */
const uint LOADS_A = BM * VECTORS / GROUP, LOADS_B = BN * VECTORS / GROUP;
const uint TEAM = BM / WM * (BN / WN);               /* subgroups that share a slice's part of k */
const int EACH = int(MAT * MAT / LANES / PARTS);     /* elements of a matrix that a lane finishes */
const bool B_ROWS = @{b_rows};                       /* B in shared memory: rows of k, else columns of n */
const uint STRIDE_A = VECTORS + 1, STRIDE_B = B_ROWS ? BN / 8 + 1 : VECTORS + 1;
shared uvec4 tile_a[BM * STRIDE_A];
shared uvec4 tile_b[(B_ROWS ? BK : BN) * STRIDE_B];
shared float sums[GROUP / LANES * MAT * MAT];
shared uint arrived;
layout(buffer_reference, std430, buffer_reference_align = 16) readonly buffer Vectors { uvec4 d[]; };
layout(buffer_reference, std430, buffer_reference_align = 16) readonly buffer Floats { vec4 d[]; };
layout(buffer_reference, std430, buffer_reference_align = 16) coherent buffer Partial { float d[]; };
layout(buffer_reference, std430, buffer_reference_align = 4) coherent buffer Counters { uint d[]; };
#define SPLITS @{splits}
uvec4 halves(vec4 a, vec4 b)
{
    return uvec4(packHalf2x16(a.xy), packHalf2x16(a.zw), packHalf2x16(b.xy), packHalf2x16(b.zw));
}
@{shared_rows}

//# main
    int t = int(gl_LocalInvocationID.x), lane = int(gl_SubgroupInvocationID);
    int team = int(gl_SubgroupID % TEAM), team_part = int(gl_SubgroupID / TEAM);
    int row_tiles = (@{m} + int(BM) - 1) / int(BM), column_tiles = (@{n} + int(BN) - 1) / int(BN);
    int shares = max(int(gl_NumWorkGroups.x) / (row_tiles * column_tiles * @{z}), 1); /* a grid folded into y has none */
    int whole = int(gl_WorkGroupID.x + gl_WorkGroupID.y * gl_NumWorkGroups.x), number = whole / SPLITS, part = whole - number * SPLITS;
    int z = number / (row_tiles * column_tiles), tile = number - z * row_tiles * column_tiles;
    if (z < @{z}) {
        /* Bands of rows, walked column by column: what runs at one time shares A and B. */
        int band = tile / (BAND * column_tiles), within = tile - band * BAND * column_tiles;
        int band_rows = min(BAND, row_tiles - band * BAND);
        int m0 = (band * BAND + within % band_rows) * int(BM), n0 = within / band_rows * int(BN);
        int slices = (@{k} + int(BK) - 1) / int(BK), share = (slices + SPLITS - 1) / SPLITS * int(BK);
        int k_first = part * share, k_end = min(k_first + share, @{k});
        int row0 = team / int(BN / WN) * int(WM), column0 = team % int(BN / WN) * int(WN);
        coopmat<float, gl_ScopeSubgroup, MAT, MAT, gl_MatrixUseAccumulator> acc[FM * FN];
        [[unroll]] for (uint i = 0; i < FM * FN; i++) acc[i] = coopmat<float, gl_ScopeSubgroup, MAT, MAT, gl_MatrixUseAccumulator>(0.0);
        for (int r = t; r < int(BM); r += int(GROUP)) {
            int m = min(m0 + r, @{m} - 1);
            @{row}
        }
        uvec4 next_a[LOADS_A], next_b[LOADS_B];
        int a_at = t / int(VECTORS) * int(STRIDE_A) + t % int(VECTORS);
        for (int k0 = k_first - int(BK); k0 < k_end; k0 += int(BK)) {
            if (k0 >= k_first) {
                [[unroll]] for (uint e = 0; e < LOADS_A; e++) tile_a[a_at + e * (GROUP / VECTORS) * STRIDE_A] = next_a[e];
                [[unroll]] for (uint e = 0; e < LOADS_B; e++) {
                    uint v = t + e * GROUP;
                    tile_b[B_ROWS ? v / (BN / 8) * STRIDE_B + v % (BN / 8) : v / VECTORS * STRIDE_B + v % VECTORS] = next_b[e];
                }
            }
            barrier();
            {
                int first = k0 + int(BK) + t % int(VECTORS) * 8;
#if @{a_whole}
                int k = first;
                bool live = k < k_end;
                k = live ? k : 0;
                @{a_slice}
                [[unroll]] for (uint e = 0; e < LOADS_A; e++) {
                    int r = int(t / VECTORS + e * (GROUP / VECTORS));
                    uvec4 x = uvec4(0);
                    @{a_load}
                    next_a[e] = x;
                }
#else
                float h[LOADS_A * 8];
                [[unroll]] for (int u = 0; u < 8; u++) {
                    int k = first + u;
                    bool live = k < k_end;
                    k = live ? k : 0;
                    @{a_slice}
                    [[unroll]] for (uint e = 0; e < LOADS_A; e++) {
                        int r = int(t / VECTORS + e * (GROUP / VECTORS));
                        float x = 0;
                        @{a_load}
                        h[e * 8 + u] = x;
                    }
                }
                [[unroll]] for (uint e = 0; e < LOADS_A; e++) {
                    uint i = e * 8;
                    next_a[e] = halves(vec4(h[i], h[i + 1], h[i + 2], h[i + 3]), vec4(h[i + 4], h[i + 5], h[i + 6], h[i + 7]));
                }
#endif
            }
            [[unroll]] for (uint e = 0; e < LOADS_B; e++) {
                int v = int(t + e * GROUP);
                int k = k0 + int(BK) + (B_ROWS ? v / int(BN / 8) : v % int(VECTORS) * 8);
                int n = n0 + (B_ROWS ? v % int(BN / 8) * 8 : v / int(VECTORS));
#if @{b_whole}
                uvec4 x = uvec4(0);
                if (k < k_end && n < @{n}) {
                    @{b_load}
                }
                next_b[e] = x;
#else
                float h[8];
                [[unroll]] for (int u = 0; u < 8; u++) {
                    float x = 0;
                    if (k < k_end && n < @{n}) {
                        @{b_load}
                    }
                    h[u] = x;
                    B_ROWS ? n++ : k++;
                }
                next_b[e] = halves(vec4(h[0], h[1], h[2], h[3]), vec4(h[4], h[5], h[6], h[7]));
#endif
            }
            if (k0 >= k_first) {
                [[unroll]] for (uint kp = 0; kp < BK / MAT / PARTS; kp++) {
                    uint kk = team_part * (BK / MAT / PARTS) + kp;
                    coopmat<float16_t, gl_ScopeSubgroup, MAT, MAT, gl_MatrixUseA> a[FM];
                    [[unroll]] for (uint i = 0; i < FM; i++)
                        coopMatLoad(a[i], tile_a, (row0 + i * MAT) * STRIDE_A + kk * (MAT / 8), STRIDE_A, gl_CooperativeMatrixLayoutRowMajor);
                    [[unroll]] for (uint j = 0; j < FN; j++) {
                        coopmat<float16_t, gl_ScopeSubgroup, MAT, MAT, gl_MatrixUseB> b;
                        if (B_ROWS)
                            coopMatLoad(b, tile_b, kk * MAT * STRIDE_B + (column0 + j * MAT) / 8, STRIDE_B, gl_CooperativeMatrixLayoutRowMajor);
                        else
                            coopMatLoad(b, tile_b, (column0 + j * MAT) * STRIDE_B + kk * (MAT / 8), STRIDE_B, gl_CooperativeMatrixLayoutColumnMajor);
                        [[unroll]] for (uint i = 0; i < FM; i++) acc[i * FN + j] = coopMatMulAdd(a[i], b, acc[i * FN + j]);
                    }
                }
            }
            barrier();
        }
        bool last = true;
        /* Of each matrix of the piece, this lane finishes EACH elements, from `mine` on. */
        int own = team * int(MAT * MAT), mine = team_part * int(LANES) + lane;
        int piece = team * int(FM * FN * MAT * MAT) + mine, piece_end = int(BM * BN);
        if (SPLITS > 1) {
            Partial partial = Partial(@{partial});
            if (PARTS == 1) {
                [[unroll]] for (uint q = 0; q < FM * FN; q++)
                    coopMatStore(acc[q], partial.d, whole * piece_end + piece - mine + q * MAT * MAT, MAT, gl_CooperativeMatrixLayoutRowMajor);
            } else {
                [[unroll]] for (uint q = 0; q < FM * FN; q++) {
                    coopMatStore(acc[q], sums, own + team_part * int(TEAM * MAT * MAT), MAT, gl_CooperativeMatrixLayoutRowMajor);
                    barrier();
                    [[unroll]] for (int e = 0; e < EACH; e++) {
                        float x = 0;
                        int i = mine + e * int(LANES * PARTS);
                        [[unroll]] for (int s = 0; s < int(PARTS); s++) x += sums[own + s * int(TEAM * MAT * MAT) + i];
                        partial.d[whole * piece_end + piece + q * MAT * MAT + e * int(LANES * PARTS)] = x;
                    }
                    barrier();
                }
            }
            memoryBarrierBuffer();
            barrier();
            Counters counters = Counters(@{counters});
            if (t == 0) {
                arrived = atomicAdd(counters.d[number], 1u);
                if (arrived == uint(SPLITS - 1)) counters.d[number] = 0;
            }
            barrier();
            memoryBarrierBuffer();
            last = arrived == uint(SPLITS - 1);
        }
        if (last)
            for (int p = 0; p < int(FM * FN); p++) {
                /* The code behind stands here once, for all matrices of the piece. */
                float sum[EACH];
                if (SPLITS > 1) {
                    Partial partial = Partial(@{partial});
                    int at = number * SPLITS * piece_end + piece + p * int(MAT * MAT);
                    [[unroll]] for (int e = 0; e < EACH; e++) sum[e] = 0;
                    for (int s0 = 0; s0 < SPLITS; s0 += 8) {
                        float x[8 * EACH]; /* eight parts' sums are under way at a time */
                        [[unroll]] for (int s = 0; s < 8; s++)
                            [[unroll]] for (int e = 0; e < EACH; e++)
                                x[s * EACH + e] = partial.d[at + min(s0 + s, SPLITS - 1) * piece_end + e * int(LANES * PARTS)];
                        [[unroll]] for (int s = 0; s < 8; s++)
                            if (s0 + s < SPLITS) [[unroll]] for (int e = 0; e < EACH; e++) sum[e] += x[s * EACH + e];
                    }
                } else {
                    [[unroll]] for (uint q = 0; q < FM * FN; q++)
                        if (p == q)
                            coopMatStore(acc[q], sums, own + team_part * int(TEAM * MAT * MAT), MAT, gl_CooperativeMatrixLayoutRowMajor);
                    if (PARTS > 1) {
                        barrier();
                    } else {
                        subgroupMemoryBarrierShared();
                        subgroupBarrier();
                    }
                    [[unroll]] for (int e = 0; e < EACH; e++) {
                        sum[e] = 0;
                        [[unroll]] for (int s = 0; s < int(PARTS); s++)
                            sum[e] += sums[own + s * int(TEAM * MAT * MAT) + mine + e * int(LANES * PARTS)];
                    }
                    if (PARTS > 1) {
                        barrier();
                    } else {
                        subgroupMemoryBarrierShared();
                        subgroupBarrier();
                    }
                }
                int column = n0 + column0 + p % int(FN) * int(MAT) + mine % int(MAT), n = min(column, @{n} - 1);
                int row = m0 + row0 + p / int(FN) * int(MAT) + mine / int(MAT);
                @{column_values}
                @{results}
                [[unroll]] for (int e = 0; e < EACH; e++) {
                    int m = min(row + e * int(LANES * PARTS / MAT), @{m} - 1);
                    float x = sum[e];
                    @{value}
                }
                [[unroll]] for (int e = 0; e < EACH; e++) {
                    int m = row + e * int(LANES * PARTS / MAT);
                    if (column < @{n} && m < @{m}) {
                        @{put}
                    }
                }
            }
    }
