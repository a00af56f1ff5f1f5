/* Matrix products and convolutions in f32 on a GPU.
 *
 * A team of invocations computes a tile of BM x BN of the result, each of them TM x TN sums. Slices of 16 steps of k pass through shared memory,
 * where every step is a row, so that what an invocation multiplies are vectors along the tile's edges. While a slice is worked on, the next
 * one is under way into registers. A GPU that tiles alone would not fill gets more to do at a time from long sums: a workgroup's teams share out
 * its slices and add up at the end, and workgroups share out k (SPLITS > 1). The latter leave their sums in memory; of FAN neighbours the
 * last to arrive adds up theirs, and the last of all these what those have come to, always in the same order. */
layout(constant_id = 0) const bool SHARED = false; /* workgroups share out k */
const int BM = @{bm}, BN = @{bn}, TM = @{tm}, TN = @{tn}, TEAMS = @{teams};
layout(local_size_x = @{bm} / @{tm} * (@{bn} / @{tn}) * @{teams}) in;

const int WIDE = BN / TN, HIGH = BM / TM, TEAM = WIDE * HIGH; /* invocations side by side, above each other, in all */
const int GROUP = TEAM * TEAMS;
const int BK = 16, VECTORS = BK / 4;
const int BAND = 8, FAN = 16;
const int STRIDE_A = BM / 4 + 1, STRIDE_B = BN / 4 + 1; /* vectors to a step of k: odd, so that columns fall into different banks */
const int ROWS = 2 * HIGH;                              /* of the result that pass through shared memory at a time */
const int PASSES = BM / ROWS, SOME = ROWS * BN / GROUP, EACH = SOME < 4 ? SOME : 4;
shared vec4 tile_a[TEAMS * BK * STRIDE_A];
shared vec4 tile_b[TEAMS * BK * STRIDE_B];
shared uint arrived;
layout(buffer_reference, std430, buffer_reference_align = 4) coherent buffer Partial { float d[]; };
layout(buffer_reference, std430, buffer_reference_align = 4) coherent buffer Counters { uint d[]; };
#define SPLITS @{splits}
int k_end;
#define K_END k_end
@{slices}

/* Whether this workgroup is the last of `all` to come here; by then all that the others have written can be read. */
bool arrive(int counter, int all)
{
    Counters counters = Counters(@{counters});
    memoryBarrierBuffer();
    barrier();
    if (gl_LocalInvocationID.x == 0) {
        arrived = atomicAdd(counters.d[counter], 1u);
        if (arrived == uint(all - 1)) counters.d[counter] = 0;
    }
    barrier();
    memoryBarrierBuffer();
    return arrived == uint(all - 1);
}

/* The sum of n of the sums in memory, of which eight are under way at a time. */
float gather(int at, int n, int step)
{
    Partial partial = Partial(@{partial});
    float x = 0;
    for (int q0 = 0; q0 < n; q0 += 8) {
        float y[8];
        [[unroll]] for (int q = 0; q < 8; q++) y[q] = partial.d[at + min(q0 + q, n - 1) * step];
        [[unroll]] for (int q = 0; q < 8; q++) x += q0 + q < n ? y[q] : 0.0;
    }
    return x;
}

//# main
    int id = int(gl_LocalInvocationID.x), team = id / TEAM;
    t = id % TEAM;
    int row_tiles = (@{m} + BM - 1) / BM, column_tiles = (@{n} + BN - 1) / BN;
    int shares = max(int(gl_NumWorkGroups.x) / (row_tiles * column_tiles * @{z}), 1); /* a grid folded into y has none */
    int whole = int(gl_WorkGroupID.x + gl_WorkGroupID.y * gl_NumWorkGroups.x), number = whole / SPLITS, share = whole - number * SPLITS;
    z = number / (row_tiles * column_tiles);
    int tile = number - z * row_tiles * column_tiles;
    if (z < @{z}) {
        /* Bands of rows, walked column by column: what runs at one time shares A and B. */
        int band = tile / (BAND * column_tiles), within = tile - band * BAND * column_tiles;
        int band_rows = min(BAND, row_tiles - band * BAND);
        m0 = (band * BAND + within % band_rows) * BM, n0 = within / band_rows * BN;
        int at_a = team * BK * STRIDE_A, at_b = team * BK * STRIDE_B;
        /* 4 x 8 invocations stand together. */
        int tx = WIDE < 8 ? t % WIDE : t / 32 % max(WIDE / 8, 1) * 8 + t % 8, ty = WIDE < 8 ? t / WIDE : t / 32 / max(WIDE / 8, 1) * 4 + t / 8 % 4;
        [[unroll]] for (int e = 0; e < LOADS_A; e++) {
            int m = min(m0 + across_a(e), @{m} - 1);
            @{row}
        }
        vec4 acc[TM * TN / 4];
        [[unroll]] for (int i = 0; i < TM * TN / 4; i++) acc[i] = vec4(0);
        int slices = (@{k} + TEAMS * BK - 1) / (TEAMS * BK), k_first = (slices + SPLITS - 1) / SPLITS * (TEAMS * BK) * share;
        k_end = min(k_first + (slices + SPLITS - 1) / SPLITS * (TEAMS * BK), @{k});
        /* Code takes time to load, more than it runs for where there is little to do: each part stands here once. */
        [[dont_unroll]] for (int k0 = k_first - TEAMS * BK; k0 < k_end; k0 += TEAMS * BK) {
            if (k0 >= k_first) {
                [[unroll]] for (int e = 0; e < LOADS_A; e++) {
                    int r = across_a(e), k = along_a(e);
                    if (A_STEPS)
                        [[unroll]] for (int u = 0; u < 4; u++) tile_a[at_a + (k + u) * STRIDE_A + r / 4][r % 4] = next_a[e][u];
                    else
                        tile_a[at_a + k * STRIDE_A + r / 4] = next_a[e];
                }
                [[unroll]] for (int e = 0; e < LOADS_B; e++) {
                    int n = across_b(e), k = along_b(e);
                    if (B_COLUMNS)
                        tile_b[at_b + k * STRIDE_B + n / 4] = next_b[e];
                    else
                        [[unroll]] for (int u = 0; u < 4; u++) tile_b[at_b + (k + u) * STRIDE_B + n / 4][n % 4] = next_b[e][u];
                }
            }
            barrier();
            if (k0 + TEAMS * BK < k_end) fetch(k0 + TEAMS * BK + team * BK);
            if (k0 >= k_first)
                [[dont_unroll]] for (int k4 = 0; k4 < BK; k4 += 4) [[unroll]] for (int k = k4; k < k4 + 4; k++) {
                    vec4 u[TM / 4], v[TN / 4];
                    [[unroll]] for (int i = 0; i < TM / 4; i++) u[i] = tile_a[at_a + k * STRIDE_A + ty + i * HIGH];
                    [[unroll]] for (int j = 0; j < TN / 4; j++) v[j] = tile_b[at_b + k * STRIDE_B + tx + j * WIDE];
                    [[unroll]] for (int i = 0; i < TM; i++)
                        [[unroll]] for (int j = 0; j < TN / 4; j++) acc[i * (TN / 4) + j] += u[i / 4][i % 4] * v[j];
                }
            barrier();
        }
        /* Two rows of each invocation at a time pass through shared memory, where the teams' sums meet; then an invocation has one column. */
        int column = n0 + id % BN, first = id / BN, parts = SPLITS, step = BM * BN, at = whole * (BM * BN) + first * BN + id % BN;
        bool last = true;
        if (SPLITS > 1) {
            Partial partial = Partial(@{partial});
            [[unroll]] for (int p = 0; p < PASSES; p++) {
                [[unroll]] for (int q = 0; q < TN / 2; q++)
                    tile_b[at_b + (ty * 2 + q / (TN / 4)) * (BN / 4) + tx + q % (TN / 4) * WIDE] = acc[p * (TN / 2) + q];
                barrier();
                [[dont_unroll]] for (int e = 0; e < SOME; e++) {
                    int r = first + e * (GROUP / BN);
                    float x = 0;
                    [[unroll]] for (int i = 0; i < TEAMS; i++) x += tile_b[i * BK * STRIDE_B + r * (BN / 4) + id % BN / 4][id % 4];
                    partial.d[at + p * ROWS * BN + e * GROUP] = x;
                }
                barrier();
            }
            int fans = (SPLITS + FAN - 1) / FAN, fan = share / FAN;
            if (fans > 1) {
                int here = min(FAN, SPLITS - fan * FAN);
                last = arrive(row_tiles * column_tiles * @{z} + number * fans + fan, here);
                at += (fan * FAN - share) * step;
                if (last)
                    for (int i = 0; i < BM * BN / GROUP; i++)
                        partial.d[at + i * GROUP] = gather(at + i * GROUP, here, step);
                parts = fans, step *= FAN;
                at -= fan * step;
            } else {
                at -= share * step;
            }
            if (last) last = arrive(number, parts);
        }
        if (last) {
            for (int p = 0; p < PASSES; p++) {
                if (SPLITS == 1) {
                    [[unroll]] for (int q = 0; q < TM * TN / 4; q++)
                        if (p == q / (TN / 2))
                            tile_b[at_b + (ty * 2 + q / (TN / 4) % 2) * (BN / 4) + tx + q % (TN / 4) * WIDE] = acc[q];
                    barrier();
                }
                /* A row's number from its place among those of the pass. */
                int n = min(column, @{n} - 1), row = m0 + p / 2 * (4 * HIGH) + p % 2 * 2;
                @{column_values}
                [[dont_unroll]] for (int e0 = 0; e0 < SOME; e0 += EACH) {
                @{results}
                [[unroll]] for (int e = 0; e < EACH; e++) {
                    int r = first + (e0 + e) * (GROUP / BN), m = min(row + r / 2 * 4 + r % 2, @{m} - 1);
                    float x = 0;
                    if (SPLITS > 1)
                        x = gather(at + p * ROWS * BN + (e0 + e) * GROUP, parts, step);
                    else
                        [[unroll]] for (int i = 0; i < TEAMS; i++) x += tile_b[i * BK * STRIDE_B + r * (BN / 4) + id % BN / 4][id % 4];
                    @{value}
                }
                [[unroll]] for (int e = 0; e < EACH; e++) {
                    int r = first + (e0 + e) * (GROUP / BN), m = row + r / 2 * 4 + r % 2;
                    if (column < @{n} && m < @{m}) {
                        @{put}
                    }
                }
                }
                if (SPLITS == 1) barrier();
            }
        }
    }
