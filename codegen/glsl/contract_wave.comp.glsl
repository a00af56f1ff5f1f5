/* Matrix products and convolutions on a GPU, and wherever nothing better applies: needs nothing beyond the Vulkan 1.3 minimum.
 *
 * A workgroup computes a tile of 64 rows by 32 columns. It has PARTS teams of 64 invocations, 8 by 8 with 8 by 4 sums each; the teams
 * share out the slices of 16 steps of k between them and add up at the end, so that few tiles with a long k keep a GPU busy. While a slice in shared
 * memory is worked on, the next one is under way into registers. A convolution's k runs over the window's taps and the channels
 * alike. Where tiles are too few to fill a GPU, workgroups share out k (SPLITS > 1), too: each leaves its sums in memory, and the one that
 * finds itself the last adds them up, in order. Sums are vectors with names of their own, not an array, for drivers that keep arrays in memory. */
layout(constant_id = 0) const uint GROUP = 64;
layout(constant_id = 1) const bool SHARED = false; /* workgroups share out k */
layout(local_size_x_id = 0) in;

const int PARTS = int(GROUP / 64);
const int BM = 64, BN = 32, BK = 16;
const int EACH = BM * BN / int(GROUP); /* elements of the result that an invocation finishes */
const bool A_ALONG_K = @{a_along_k}; /* what neighbours in memory; otherwise rows */
const int STRIDE_A = BM / 4 + 1, STRIDE_B = BN / 4 + 1; /* vectors to a step of k: odd, so that columns fall into different banks */
shared vec4 tile_a[PARTS * BK * STRIDE_A];
shared vec4 tile_b[PARTS * BK * STRIDE_B];
shared uint arrived;
layout(buffer_reference, std430, buffer_reference_align = 16) readonly buffer Floats { vec4 d[]; };
layout(buffer_reference, std430, buffer_reference_align = 16) coherent buffer Partial { vec4 d[]; };
layout(buffer_reference, std430, buffer_reference_align = 4) coherent buffer Counters { uint d[]; };
#define SPLITS @{splits}
@{rows}

//# main
    int t = int(gl_LocalInvocationID.x % 64), part = int(gl_LocalInvocationID.x / 64);
    int row_tiles = (@{m} + BM - 1) / BM, column_tiles = (@{n} + BN - 1) / BN;
    int shares = max(int(gl_NumWorkGroups.x) / (row_tiles * column_tiles * @{z}), 1); /* a grid folded into y has none */
    int whole = int(gl_WorkGroupID.x + gl_WorkGroupID.y * gl_NumWorkGroups.x), group = whole / SPLITS;
    int row_tile = group % row_tiles, column = group / row_tiles, z = column / column_tiles;
    if (z < @{z}) {
        int n0 = (column - z * column_tiles) * BN, m0 = row_tile * BM;
        int at_a = part * BK * STRIDE_A, at_b = part * BK * STRIDE_B;
        vec4 c0 = vec4(0), c1 = vec4(0), c2 = vec4(0), c3 = vec4(0), c4 = vec4(0), c5 = vec4(0), c6 = vec4(0), c7 = vec4(0);
        if (part == 0) {
            int r = t, m = min(m0 + r, @{m} - 1);
            @{row}
        }
        int slices = (@{k} + PARTS * BK - 1) / (PARTS * BK), share = (slices + SPLITS - 1) / SPLITS * (PARTS * BK);
        int k_first = (whole - group * SPLITS) * share, k_end = min(k_first + share, @{k});
#if @{a_whole}
        vec4 next_a[BM * BK / 256];
#else
        float next_a[BM * BK / 64];
#endif
#if @{b_whole}
        vec4 next_b[BN * BK / 256];
#else
        float next_b[BN * BK / 64];
#endif
        for (int k0 = k_first - PARTS * BK; k0 < k_end; k0 += PARTS * BK) {
            if (k0 >= k_first) {
#if @{a_whole}
                [[unroll]] for (int e = 0; e < BM * BK / 256; e++) {
                    int r = t / (BK / 4) + e * (256 / BK);
                    if (A_ALONG_K)
                        [[unroll]] for (int u = 0; u < 4; u++)
                            tile_a[at_a + (t % (BK / 4) * 4 + u) * STRIDE_A + r / 4][r % 4] = next_a[e][u];
                    else
                        tile_a[at_a + (t / (BM / 4) + e * (256 / BM)) * STRIDE_A + t % (BM / 4)] = next_a[e];
                }
#else
                [[unroll]] for (int e = 0; e < BM * BK / 64; e++) {
                    int r = A_ALONG_K ? t / BK + e * (64 / BK) : t, u = A_ALONG_K ? t % BK : e;
                    tile_a[at_a + u * STRIDE_A + r / 4][r % 4] = next_a[e];
                }
#endif
#if @{b_whole}
                [[unroll]] for (int e = 0; e < BN * BK / 256; e++)
                    tile_b[at_b + (t / (BN / 4) + e * (256 / BN)) * STRIDE_B + t % (BN / 4)] = next_b[e];
#else
                [[unroll]] for (int e = 0; e < BN * BK / 64; e++)
                    tile_b[at_b + (t / BN + e * (64 / BN)) * STRIDE_B + t % BN / 4][t % 4] = next_b[e];
#endif
            }
            barrier();
            {
                /* Neighbouring invocations read neighbours in memory. */
#if @{a_whole}
                [[unroll]] for (int e = 0; e < BM * BK / 256; e++) {
                    int r = A_ALONG_K ? t / (BK / 4) + e * (256 / BK) : t % (BM / 4) * 4;
                    int k = k0 + (PARTS + part) * BK + (A_ALONG_K ? t % (BK / 4) * 4 : t / (BM / 4) + e * (256 / BM));
                    bool live = k < k_end;
                    k = live ? k : 0;
                    @{a_slice}
                    vec4 x = vec4(0);
                    @{a_load}
                    next_a[e] = x;
                }
#else
                [[unroll]] for (int e = 0; e < BM * BK / 64; e++) {
                    int r = A_ALONG_K ? t / BK + e * (64 / BK) : t, k = k0 + (PARTS + part) * BK + (A_ALONG_K ? t % BK : e);
                    bool live = k < k_end;
                    k = live ? k : 0;
                    @{a_slice}
                    float x = 0;
                    @{a_load}
                    next_a[e] = x;
                }
#endif
            }
#if @{b_whole}
            [[unroll]] for (int e = 0; e < BN * BK / 256; e++) {
                int k = k0 + (PARTS + part) * BK + t / (BN / 4) + e * (256 / BN), n = n0 + t % (BN / 4) * 4;
                vec4 x = vec4(0);
#else
            [[unroll]] for (int e = 0; e < BN * BK / 64; e++) {
                int k = k0 + (PARTS + part) * BK + t / BN + e * (64 / BN), n = n0 + t % BN;
                float x = 0;
#endif
                if (k < k_end && n < @{n}) {
                    @{b_load}
                }
                next_b[e] = x;
            }
            if (k0 >= k_first) {
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
        /* The teams' sums meet in shared memory, half of them at a time; each invocation takes EACH / 4 vectors on. */
        const vec4 acc[8] = vec4[](c0, c1, c2, c3, c4, c5, c6, c7);
        vec4 mine[EACH / 4];
        if (PARTS == 1)
            [[unroll]] for (int i = 0; i < EACH / 4; i++) mine[i] = acc[i];
        else
            [[unroll]] for (int upper = 0; upper < 2; upper++) {
                [[unroll]] for (int i = 0; i < 4; i++) tile_a[part * 256 + i * 64 + t] = acc[upper * 4 + i];
                barrier();
                [[unroll]] for (int i = 0; i < EACH / 8; i++) {
                    vec4 x = tile_a[(part + i * PARTS) * 64 + t];
                    [[unroll]] for (int p = 1; p < PARTS; p++) x += tile_a[p * 256 + (part + i * PARTS) * 64 + t];
                    mine[upper * (EACH / 8) + i] = x;
                }
                barrier();
            }
        bool last = true;
        if (SPLITS > 1) {
            Partial partial = Partial(@{partial});
            [[unroll]] for (int i = 0; i < EACH / 4; i++) partial.d[whole * 512 + (part + i * PARTS) * 64 + t] = mine[i];
            memoryBarrierBuffer();
            barrier();
            Counters counters = Counters(@{counters});
            if (gl_LocalInvocationID.x == 0) {
                arrived = atomicAdd(counters.d[group], 1u);
                if (arrived == uint(SPLITS - 1)) counters.d[group] = 0;
            }
            barrier();
            memoryBarrierBuffer();
            last = arrived == uint(SPLITS - 1);
            if (last) {
                [[unroll]] for (int i = 0; i < EACH / 4; i++) mine[i] = vec4(0);
                for (int s0 = 0; s0 < SPLITS; s0 += 4) {
                    vec4 x[EACH]; /* four parts' sums are under way at a time */
                    [[unroll]] for (int s = 0; s < 4; s++)
                        [[unroll]] for (int i = 0; i < EACH / 4; i++)
                            x[s * (EACH / 4) + i] =
                                partial.d[(group * SPLITS + min(s0 + s, SPLITS - 1)) * 512 + (part + i * PARTS) * 64 + t];
                    [[unroll]] for (int s = 0; s < 4; s++)
                        if (s0 + s < SPLITS) [[unroll]] for (int i = 0; i < EACH / 4; i++) mine[i] += x[s * (EACH / 4) + i];
                }
            }
        }
        if (last) {
            @{results}
            @{unroll} for (int e = 0; e < EACH; e++) {
                int i = part + e / 4 * PARTS;
                int m = min(m0 + t / 8 * 4 + i % 4 + i / 4 * 32, @{m} - 1), n = min(n0 + t % 8 * 4 + e % 4, @{n} - 1);
                float x = mine[e / 4][e % 4];
                @{column_values}
                @{value}
            }
            @{unroll} for (int e = 0; e < EACH; e++) {
                int i = part + e / 4 * PARTS;
                int m = m0 + t / 8 * 4 + i % 4 + i / 4 * 32, n = n0 + t % 8 * 4 + e % 4;
                if (m < @{m} && n < @{n}) {
                    @{put}
                }
            }
        }
    }
