/* Matrix products and convolutions in f32 on a GPU.
 *
 * A team of invocations computes a tile of BM x BN of the result, each of them TM x TN sums. Slices of BK steps of k pass through shared memory,
 * where every step is a row, so that what an invocation multiplies are vectors along the tile's edges. While a slice is worked on, the next
 * one is under way into registers. A GPU that tiles alone would not fill gets more to do at a time from long sums: a workgroup's teams share out
 * its slices and add up at the end, and workgroups share out k (SPLITS > 1). The latter leave their sums in memory; of FAN neighbours the
 * last to arrive adds up theirs, and the last of all these what those have come to, always in the same order. */
layout(constant_id = 0) const bool SHARED = false; /* workgroups share out k */
const bool WHOLE = @{whole};
const int BM = @{bm}, BN = @{bn}, BK = @{bk}, TM = @{tm}, TN = @{tn}, TEAMS = @{teams};
layout(local_size_x = @{bm} / @{tm} * (@{bn} / @{tn}) * @{teams}) in;

const int WIDE = BN / TN, HIGH = BM / TM, TEAM = WIDE * HIGH; /* invocations side by side, above each other, in all */
const int GROUP = TEAM * TEAMS, VECTORS = BK / 4;
const int BAND = 8, FAN = 16;
const int STRIDE_A = BM / 4 + 1, STRIDE_B = BN / 4 + 1; /* vectors to a step of k: odd, so that columns fall into different banks */
const bool LONG = TM * TN >= 64;                        /* what there is to do is more than its code takes to load */
const int RUN = LONG ? BK : 4;                          /* steps of k that stand written out */
const int SUMS = TM * TN / 4, MINE = SUMS / TEAMS;      /* vectors of sums: an invocation's, and what it takes on where teams have met */
const int PIECE = MINE < 4 ? MINE : 4, FLIGHT = 16 / PIECE; /* of these vectors, and workgroups' sums, that are under way at a time */
const int ROWS = 2 * HIGH;                              /* of the result that pass through shared memory at a time */
const int PASSES = BM / ROWS, SOME = ROWS * BN / GROUP, EACH = SOME < 4 ? SOME : 4;
const int TILES = TEAMS * BK * (STRIDE_A + STRIDE_B), MEET = GROUP * TEAMS;
shared vec4 pool[TILES > MEET ? TILES : MEET]; /* A's slices, then B's; then sums */
shared uint arrived;
layout(buffer_reference, std430, buffer_reference_align = 16) coherent buffer Partial { vec4 d[]; };
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

/* The sums of n of those in memory, in order. */
vec4 mine[MINE];
void gather(int at, int n, int step)
{
    Partial partial = Partial(@{partial});
    [[unroll]] for (int j = 0; j < MINE; j++) mine[j] = vec4(0);
    [[unroll]] for (int j0 = 0; j0 < MINE; j0 += PIECE)
        for (int q0 = 0; q0 < n; q0 += FLIGHT) {
            vec4 x[FLIGHT * PIECE];
            [[unroll]] for (int q = 0; q < FLIGHT; q++)
                [[unroll]] for (int j = 0; j < PIECE; j++) x[q * PIECE + j] = partial.d[at + min(q0 + q, n - 1) * step + (j0 + j) * GROUP];
            [[unroll]] for (int q = 0; q < FLIGHT; q++)
                if (q0 + q < n) [[unroll]] for (int j = 0; j < PIECE; j++) mine[j0 + j] += x[q * PIECE + j];
        }
}

//# main
    int id = int(gl_LocalInvocationID.x), team = id / TEAM;
    t = id % TEAM;
    uint row_tiles = uint(@{m} + BM - 1) / BM, column_tiles = uint(@{n} + BN - 1) / BN; /* divisions of unsigned numbers are shorter */
    uint group = gl_WorkGroupID.x + gl_WorkGroupID.y * gl_NumWorkGroups.x, place = group / uint(SPLITS), tiles = row_tiles * column_tiles;
    int whole = int(group), number = int(place), share = whole - number * SPLITS;
    if (place < tiles * @{z}) {
        z = @{z} == 1 ? 0 : int(place / tiles);
        place -= z * tiles;
        /* Bands of rows, walked column by column: what runs at one time shares A and B. */
        uint band = place / (BAND * column_tiles), within = place - band * BAND * column_tiles;
        uint band_rows = min(BAND, row_tiles - band * BAND), column_tile = within / band_rows;
        m0 = int(band * BAND + within - column_tile * band_rows) * BM, n0 = int(column_tile) * BN;
        int at_a = team * BK * STRIDE_A, at_b = TEAMS * BK * STRIDE_A + team * BK * STRIDE_B;
        /* 4 x 8 invocations stand together, so that pairs of neighbours, or of every second, load the same: then half as many words move. */
        int tx = WIDE < 8 ? t % WIDE : t / 32 % max(WIDE / 8, 1) * 8 + t / 2 % 8;
        int ty = WIDE < 8 ? t / WIDE : t / 32 / max(WIDE / 8, 1) * 4 + t / 16 % 2 * 2 + t % 2;
        [[unroll]] for (int e = 0; e < LOADS_A; e++) {
            int m = min(m0 + across_a(e), @{m} - 1);
            @{row}
        }
        vec4 acc[SUMS];
        [[unroll]] for (int i = 0; i < SUMS; i++) acc[i] = vec4(0);
        int slices = (@{k} + TEAMS * BK - 1) / (TEAMS * BK), k_first = (slices + SPLITS - 1) / SPLITS * (TEAMS * BK) * share;
        k_end = min(k_first + (slices + SPLITS - 1) / SPLITS * (TEAMS * BK), @{k});
        /* Code takes time to load, more than it runs for where there is little to do: there each part stands here once. */
        if (LONG && k_first < k_end) fetch(k_first + team * BK);
        [[dont_unroll]] for (int k0 = LONG ? k_first : k_first - TEAMS * BK; k0 < k_end; k0 += TEAMS * BK) {
            if (LONG || k0 >= k_first) put(at_a, at_b);
            barrier();
            if (k0 + TEAMS * BK < k_end) fetch(k0 + TEAMS * BK + team * BK);
            if (LONG || k0 >= k_first)
                [[dont_unroll]] for (int k4 = 0; k4 < BK; k4 += RUN) [[unroll]] for (int k = k4; k < k4 + RUN; k++) {
                    vec4 u[TM / 4], v[TN / 4];
                    [[unroll]] for (int i = 0; i < TM / 4; i++) u[i] = pool[at_a + k * STRIDE_A + ty + i * HIGH];
                    [[unroll]] for (int j = 0; j < TN / 4; j++) v[j] = pool[at_b + k * STRIDE_B + tx + j * WIDE];
                    [[unroll]] for (int i = 0; i < TM; i++)
                        [[unroll]] for (int j = 0; j < TN / 4; j++) acc[i * (TN / 4) + j] += u[i / 4][i % 4] * v[j];
                }
            barrier();
        }
        bool last = true;
        if (SPLITS > 1) {
            Partial partial = Partial(@{partial});
            [[unroll]] for (int j = 0; j < MINE; j++) {
                if (TEAMS == 1) {
                    mine[j] = acc[j];
                    continue;
                }
                [[unroll]] for (int i = 0; i < TEAMS; i++) pool[(team * TEAMS + i) * TEAM + t] = acc[j * TEAMS + i];
                barrier();
                mine[j] = pool[id];
                [[unroll]] for (int i = 1; i < TEAMS; i++) mine[j] += pool[i * GROUP + id];
                if (j + 1 < MINE) barrier();
            }
            int step = SUMS * TEAM, parts = SPLITS, at = whole * step + id;
            [[unroll]] for (int j = 0; j < MINE; j++) partial.d[at + j * GROUP] = mine[j];
            int fans = (SPLITS + FAN - 1) / FAN, fan = share / FAN;
            at -= share * step;
            if (fans > 1) {
                int here = min(FAN, SPLITS - fan * FAN);
                last = arrive(int(tiles) * @{z} + number * fans + fan, here);
                if (last) {
                    gather(at + fan * FAN * step, here, step);
                    [[unroll]] for (int j = 0; j < MINE; j++) partial.d[at + fan * FAN * step + j * GROUP] = mine[j];
                }
                parts = fans, step *= FAN;
            }
            if (last) last = arrive(number, parts);
            if (last) gather(at, parts, step);
        }
        /* Two rows of each invocation at a time pass through shared memory, where the teams' sums meet; then an invocation has one column. */
        if (last) {
            int column = n0 + id % BN, first = id / BN;
            for (int p = 0; p < PASSES; p++) {
                if (SPLITS == 1) {
                    [[unroll]] for (int q = 0; q < SUMS; q++)
                        if (p == q / (TN / 2))
                            pool[team * (ROWS * BN / 4) + (ty * 2 + q / (TN / 4) % 2) * (BN / 4) + tx + q % (TN / 4) * WIDE] = acc[q];
                } else {
                    [[unroll]] for (int j = 0; j < MINE; j++) {
                        int q = j * TEAMS + team;
                        if (p == q / (TN / 2)) pool[(ty * 2 + q / (TN / 4) % 2) * (BN / 4) + tx + q % (TN / 4) * WIDE] = mine[j];
                    }
                }
                barrier();
                /* A row's number from its place among those of the pass. */
                int n = min(column, @{n} - 1), row = m0 + p / 2 * (4 * HIGH) + p % 2 * 2;
                @{column_values}
                [[dont_unroll]] for (int e0 = 0; e0 < SOME; e0 += EACH) {
                @{results}
                [[unroll]] for (int e = 0; e < EACH; e++) {
                    int r = first + (e0 + e) * (GROUP / BN), m = min(row + r / 2 * 4 + r % 2, @{m} - 1);
                    float x = pool[r * (BN / 4) + id % BN / 4][id % 4];
                    if (SPLITS == 1)
                        [[unroll]] for (int i = 1; i < TEAMS; i++) x += pool[i * (ROWS * BN / 4) + r * (BN / 4) + id % BN / 4][id % 4];
                    @{value}
                }
                [[unroll]] for (int e = 0; e < EACH; e++) {
                    int r = first + (e0 + e) * (GROUP / BN), m = row + r / 2 * 4 + r % 2;
                    if (column < @{n} && m < @{m}) {
                        @{put}
                    }
                }
                }
                barrier();
            }
        }
    }
