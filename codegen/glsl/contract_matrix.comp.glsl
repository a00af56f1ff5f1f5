/* Matrix products and convolutions on matrix units: f16 operands, f32 sums (GL_KHR_cooperative_matrix).
 *
 * A workgroup computes a tile of BM x BN; its subgroups own pieces of WM x WN each, kept in accumulators. A and B pass through shared memory in
 * slices of BK steps of k, as vectors of eight halves, in rows that are one vector longer than they need be, so that they begin in
 * different banks. While a slice is worked on, the next DEPTH are under way into registers; with two STAGES shared memory holds
 * one of these already. The first three constants are the runtime's: see Pipeline in plan.proto.
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
layout(constant_id = 8) const uint DEPTH = 1; /* slices under way into registers */
layout(constant_id = 9) const bool WHOLE = false; /* there are no steps in a slice that do not exist */
layout(constant_id = 10) const uint TURNS = 1; /* teams of subgroups that fetch slices in turn; more than 1: DEPTH is 1, and there is one stage */
layout(local_size_x_id = 0) in;

const uint VECTORS = BK / 8;
const int BAND = 4;
const uint FM = WM / MAT, FN = WN / MAT;             /* matrices in a subgroup's piece */
const uint TEAM = GROUP / TURNS;
const uint LOADS_A = BM * VECTORS / TEAM, LOADS_B = BN * VECTORS / TEAM;
const uint STEPS = BK / MAT;                         /* of a slice */
/* In shared memory, as in memory: rows of A, else steps of k; steps of k of B, else columns. */
const bool A_ROWS = @{a_along_k}, B_ROWS = @{b_along_n};
const uint ACROSS = A_ROWS ? VECTORS : BM / 8, BCROSS = B_ROWS ? BN / 8 : VECTORS; /* vectors in such a row */
const uint STRIDE_A = ACROSS + 1, STRIDE_B = BCROSS + 1;
const uint SIZE_A = (A_ROWS ? BM : BK) * STRIDE_A, SIZE_B = (B_ROWS ? BK : BN) * STRIDE_B, SIZE = SIZE_A + SIZE_B;
#define STAGES @{stages} /* slices in shared memory; 2: DEPTH is 1 */
/* Sums leave their accumulators by way of the same memory (vectors, for matrices have to be aligned to 16 bytes), a row of each
 * subgroup's matrices at a time, of which lanes finish strips of WIDTH neighbouring columns. */
@{width}
const int QUADS = (WIDTH + 3) / 4;
const uint STRIDE_C = WN / 4 + 2, SIZE_C = GROUP / LANES * MAT * STRIDE_C;
const int STRIPS = int(WN) / WIDTH, ALL = int(MAT) * STRIPS, EACH = (ALL + int(LANES) - 1) / int(LANES);
shared uvec4 tiles[STAGES * SIZE > SIZE_C ? STAGES * SIZE : SIZE_C];
shared uint arrived;
layout(buffer_reference, std430, buffer_reference_align = 16) readonly buffer Vectors { uvec4 d[]; };
layout(buffer_reference, std430, buffer_reference_align = 16) coherent buffer Floats { vec4 d[]; };
layout(buffer_reference, std430, buffer_reference_align = 16) coherent buffer Partial { float d[]; };
layout(buffer_reference, std430, buffer_reference_align = 4) coherent buffer Counters { uint d[]; };
#define SPLITS @{splits}
uvec4 halves(vec4 a, vec4 b)
{
    return uvec4(packHalf2x16(a.xy), packHalf2x16(a.zw), packHalf2x16(b.xy), packHalf2x16(b.zw));
}
int t, z, m0, n0, k_end;                      /* this invocation's number in its team; the tile's batch, row and column; where its share of k ends */
uvec4 next_a[DEPTH * LOADS_A], next_b[DEPTH * LOADS_B]; /* this invocation's part of the next slices */
@{rows}
/* The first row of shared memory that this invocation stores to, where rows are so many vectors. Eight invocations store at a time: with four
 * vectors two rows, which are four apart, for neighbouring ones would share a bank. */
uint line(uint across)
{
    uint r = uint(t) / across;
    return across == 4 && TEAM % 32 == 0 ? (r & ~7u) | (r & 1u) << 2 | (r >> 1 & 3u) : r;
}
int across_a(uint e) { return int(A_ROWS ? line(VECTORS) + e * (TEAM / VECTORS) : t % ACROSS * 8); }
int along_a(uint e) { return int(A_ROWS ? t % VECTORS * 8 : line(ACROSS) + e * (TEAM / ACROSS)); }
int across_b(uint e) { return int(B_ROWS ? t % BCROSS * 8 : line(VECTORS) + e * (TEAM / VECTORS)); }
int along_b(uint e) { return int(B_ROWS ? line(BCROSS) + e * (TEAM / BCROSS) : t % VECTORS * 8); }

/* a / b, neither negative: a division of integers takes a while, and so much has to be known before the first load. */
int quotient(int a, int b)
{
    if (a >= 1 << 21) return a / b;
    int q = int(float(a) * (1.0 / float(b))), rest = a - q * b; /* one too many or too few at most */
    return q + int(rest >= b) - int(rest < 0);
}

void put(uint d, uint at)
{
    uint at_a = at + line(ACROSS) * STRIDE_A + t % ACROSS, at_b = at + line(BCROSS) * STRIDE_B + t % BCROSS;
    [[unroll]] for (uint e = 0; e < LOADS_A; e++) tiles[at_a + e * (TEAM / ACROSS) * STRIDE_A] = next_a[d * LOADS_A + e];
    [[unroll]] for (uint e = 0; e < LOADS_B; e++) tiles[SIZE_A + at_b + e * (TEAM / BCROSS) * STRIDE_B] = next_b[d * LOADS_B + e];
}

void fetch(int k0, uint d)
{
#if @{a_whole}
    [[unroll]] for (uint e = 0; e < LOADS_A; e++) {
        int r = across_a(e), k = k0 + along_a(e);
        bool live = WHOLE || k < k_end;
        k = live ? k : 0;
        @{a_slice}
        uvec4 x = uvec4(0);
        @{a_load}
        next_a[d * LOADS_A + e] = x;
    }
#else
    float h[LOADS_A * 8];
    [[unroll]] for (int u = 0; u < 8; u++) {
        int k = k0 + along_a(0) + u;
        bool live = WHOLE || k < k_end;
        k = live ? k : 0;
        @{a_slice}
        [[unroll]] for (uint e = 0; e < LOADS_A; e++) {
            int r = across_a(e);
            float x = 0;
            @{a_load}
            h[e * 8 + u] = x;
        }
    }
    [[unroll]] for (uint e = 0; e < LOADS_A; e++) {
        uint i = e * 8;
        next_a[d * LOADS_A + e] = halves(vec4(h[i], h[i + 1], h[i + 2], h[i + 3]), vec4(h[i + 4], h[i + 5], h[i + 6], h[i + 7]));
    }
#endif
    [[unroll]] for (uint e = 0; e < LOADS_B; e++) {
        int k = k0 + along_b(e), n = n0 + across_b(e);
#if @{b_whole}
        uvec4 x = uvec4(0);
        n = min(n, @{n} - 1) & (B_ROWS ? -8 : -1); /* for columns that do not exist some others: nobody stores them */
        if (WHOLE || k < k_end) {
            @{b_load}
        }
        next_b[d * LOADS_B + e] = x;
#else
        float h[8];
        [[unroll]] for (int u = 0; u < 8; u++) {
            float x = 0;
            if ((WHOLE || k < k_end) && n < @{n}) {
                @{b_load}
            }
            h[u] = x;
            B_ROWS ? n++ : k++;
        }
        next_b[d * LOADS_B + e] = halves(vec4(h[0], h[1], h[2], h[3]), vec4(h[4], h[5], h[6], h[7]));
#endif
    }
}

//# main
    t = int(TURNS > 1 ? gl_LocalInvocationID.x % TEAM : gl_LocalInvocationID.x);
    int lane = int(gl_SubgroupInvocationID), team = int(gl_SubgroupID);
    int row_tiles = (@{m} + int(BM) - 1) / int(BM), column_tiles = (@{n} + int(BN) - 1) / int(BN);
    int tiles_z = row_tiles * column_tiles, shares = max(quotient(int(gl_NumWorkGroups.x), tiles_z * @{z}), 1); /* a grid folded into y has none */
    int whole = int(gl_WorkGroupID.x + gl_WorkGroupID.y * gl_NumWorkGroups.x), number = quotient(whole, SPLITS), part = whole - number * SPLITS;
    z = @{z} == 1 ? int(number >= tiles_z) : quotient(number, tiles_z);
    int tile = number - z * tiles_z;
    /* CPU drivers, whose matrices are smaller, would take minutes to compile the steps unrolled, which elsewhere keep matrices in registers:
     * there the number of steps looks as if it could vary. */
    uint steps = MAT < 16 ? STEPS + uint(@{k} < 0) : STEPS;
    if (z < @{z}) {
        /* Bands of rows, walked column by column: what runs at one time shares A and B. */
        int band = quotient(tile, BAND * column_tiles), within = tile - band * BAND * column_tiles;
        int band_rows = min(BAND, row_tiles - band * BAND), column_tile = quotient(within, band_rows);
        m0 = (band * BAND + within - column_tile * band_rows) * int(BM), n0 = column_tile * int(BN);
        int slices = (@{k} + int(BK) - 1) / int(BK), share = quotient(slices + SPLITS - 1, SPLITS) * int(BK);
        int k_first = part * share;
        k_end = min(k_first + share, @{k});
        int row0 = team / int(BN / WN) * int(WM), column0 = team % int(BN / WN) * int(WN);
        coopmat<float, gl_ScopeSubgroup, MAT, MAT, gl_MatrixUseAccumulator> acc[FM * FN];
        [[unroll]] for (uint i = 0; i < FM * FN; i++) acc[i] = coopmat<float, gl_ScopeSubgroup, MAT, MAT, gl_MatrixUseAccumulator>(0.0);
        [[unroll]] for (uint e = 0; e < LOADS_A; e++) {
            int m = min(m0 + across_a(e), @{m} - 1);
            @{row}
        }
        /* A subgroup that waits for one of its loads waits for all of them; so where loads take long, the next slices are of a team each. */
        uint turn = TURNS > 1 ? gl_LocalInvocationID.x / TEAM : 0, next = 0; /* this team's number; whose turn it is */
        if (k_first + int(turn * BK) < k_end) fetch(k_first + int(turn * BK), 0);
        if (turn == 0) {
            put(0, 0);
            [[unroll]] for (uint d = 1; d <= DEPTH; d++)
                if (k_first + int(d * TURNS * BK) < k_end) fetch(k_first + int(d * TURNS * BK), d % DEPTH);
        }
#if STAGES == 2
        coopmat<float16_t, gl_ScopeSubgroup, MAT, MAT, gl_MatrixUseA> ma[2 * FM];
        coopmat<float16_t, gl_ScopeSubgroup, MAT, MAT, gl_MatrixUseB> mb[2 * FN];
        /* One barrier a slice: once it is there, so is the slice, and of the one before nobody needs more than its last matrices. While these are
         * multiplied, its memory takes the slice behind. Before the first slice there are none. */
        [[unroll]] for (uint i = 0; i < FM; i++) ma[FM + i] = coopmat<float16_t, gl_ScopeSubgroup, MAT, MAT, gl_MatrixUseA>(0.0);
        [[unroll]] for (uint j = 0; j < FN; j++) mb[FN + j] = coopmat<float16_t, gl_ScopeSubgroup, MAT, MAT, gl_MatrixUseB>(0.0);
#define LOAD(S) \
        [[unroll]] for (uint i = 0; i < FM; i++) { \
            uint r = row0 + i * MAT; \
            if (A_ROWS) \
                coopMatLoad(ma[S % 2 * FM + i], tiles, at + r * STRIDE_A + S * MAT / 8, STRIDE_A, gl_CooperativeMatrixLayoutRowMajor); \
            else \
                coopMatLoad(ma[S % 2 * FM + i], tiles, at + S * MAT * STRIDE_A + r / 8, STRIDE_A, gl_CooperativeMatrixLayoutColumnMajor); \
        } \
        [[unroll]] for (uint j = 0; j < FN; j++) { \
            uint c = column0 + j * MAT; \
            if (B_ROWS) \
                coopMatLoad(mb[S % 2 * FN + j], tiles, at + SIZE_A + S * MAT * STRIDE_B + c / 8, STRIDE_B, gl_CooperativeMatrixLayoutRowMajor); \
            else \
                coopMatLoad(mb[S % 2 * FN + j], tiles, at + SIZE_A + c * STRIDE_B + S * MAT / 8, STRIDE_B, gl_CooperativeMatrixLayoutColumnMajor); \
        }
#define MULTIPLY(S) \
        [[unroll]] for (uint j = 0; j < FN; j++) \
            [[unroll]] for (uint i = 0; i < FM; i++) \
                acc[i * FN + j] = coopMatMulAdd(ma[(S) % 2 * FM + i], mb[(S) % 2 * FN + j], acc[i * FN + j]);
        for (int k0 = k_first; k0 < k_end; k0 += int(BK)) {
            uint at = (uint(k0 - k_first) / BK & 1u) * SIZE;
            barrier();
            LOAD(0)
            put(0, SIZE - at);
            MULTIPLY(1)
            if (k0 + int(2 * BK) < k_end) fetch(k0 + int(2 * BK), 0);
            [[unroll]] for (uint s = 1; s < steps; s++) {
                LOAD(s)
                MULTIPLY(s + 1)
            }
        }
        MULTIPLY(1)
        barrier();
#else
        barrier();
        for (int k1 = k_first; k1 < k_end; k1 += int(DEPTH * BK))
        [[unroll]] for (uint d = 0; d < DEPTH; d++) {
            int k0 = k1 + int(d * BK);
            if (d > 0 && k0 >= k_end) break;
            /* Matrices are loaded one step ahead. Once the last ones are, the slice in shared memory makes room for the next,
             * while the last step is multiplied. */
            coopmat<float16_t, gl_ScopeSubgroup, MAT, MAT, gl_MatrixUseA> a[2 * FM];
            coopmat<float16_t, gl_ScopeSubgroup, MAT, MAT, gl_MatrixUseB> b[2 * FN];
            [[unroll]] for (uint s = 0; s <= steps; s++) {
                if (s < steps) {
                    uint kk = s * MAT;
                    [[unroll]] for (uint i = 0; i < FM; i++) {
                        uint r = row0 + i * MAT;
                        if (A_ROWS)
                            coopMatLoad(a[s % 2 * FM + i], tiles, r * STRIDE_A + kk / 8, STRIDE_A, gl_CooperativeMatrixLayoutRowMajor);
                        else
                            coopMatLoad(a[s % 2 * FM + i], tiles, kk * STRIDE_A + r / 8, STRIDE_A, gl_CooperativeMatrixLayoutColumnMajor);
                    }
                    [[unroll]] for (uint j = 0; j < FN; j++) {
                        uint c = column0 + j * MAT;
                        if (B_ROWS)
                            coopMatLoad(b[s % 2 * FN + j], tiles, SIZE_A + kk * STRIDE_B + c / 8, STRIDE_B, gl_CooperativeMatrixLayoutRowMajor);
                        else
                            coopMatLoad(b[s % 2 * FN + j], tiles, SIZE_A + c * STRIDE_B + kk / 8, STRIDE_B, gl_CooperativeMatrixLayoutColumnMajor);
                    }
                } else {
                    barrier();
                    next = next + 1 < TURNS ? next + 1 : 0;
                    if (turn == next) {
                        int k = k0 + int((DEPTH * TURNS + 1) * BK);
                        put((d + 1) % DEPTH, 0);
                        if (k < k_end) fetch(k, (d + 1) % DEPTH);
                    }
                }
                if (s > 0)
                    [[unroll]] for (uint j = 0; j < FN; j++)
                        [[unroll]] for (uint i = 0; i < FM; i++)
                            acc[i * FN + j] = coopMatMulAdd(a[(s + 1) % 2 * FM + i], b[(s + 1) % 2 * FN + j], acc[i * FN + j]);
            }
            barrier();
        }
#endif
        bool last = true;
        int own = team * int(MAT * STRIDE_C), piece = team * int(FM * FN * MAT * MAT), piece_end = int(BM * BN);
        if (SPLITS > 1) {
            Partial partial = Partial(@{partial});
            [[unroll]] for (uint q = 0; q < FM * FN; q++)
                coopMatStore(acc[q], partial.d, whole * piece_end + piece + q * MAT * MAT, MAT, gl_CooperativeMatrixLayoutRowMajor);
            /* One invocation speaks for all of them: what the others have stored is behind the barrier of its workgroup. */
#define AROUND gl_ScopeWorkgroup, gl_ScopeWorkgroup, gl_StorageSemanticsBuffer | gl_StorageSemanticsShared, gl_SemanticsAcquireRelease
            Counters counters = Counters(@{counters});
            controlBarrier(AROUND);
            if (gl_LocalInvocationIndex == 0) {
                memoryBarrier(gl_ScopeDevice, gl_StorageSemanticsBuffer, gl_SemanticsRelease);
                arrived = atomicAdd(counters.d[number], 1u);
                if (arrived == uint(SPLITS - 1)) counters.d[number] = 0;
                memoryBarrier(gl_ScopeDevice, gl_StorageSemanticsBuffer, gl_SemanticsAcquire);
            }
            controlBarrier(AROUND);
            last = arrived == uint(SPLITS - 1);
        }
        if (last) {
            /* A lane's strips lie below each other, in as many columns as it has turns in a row: where strips are wide one, and what only columns
             * tell is known before. */
            const int TURNS = max(STRIPS / int(LANES), 1), BELOW = max(int(LANES) / STRIPS, 1);
            int row = m0 + row0, own_row = int(min(uint(lane), uint(ALL - 1)) / uint(STRIPS));
            int column = n0 + column0, own_column = int(uint(lane) % uint(STRIPS)) * WIDTH;
            bool inside = ALL >= int(LANES) || lane < ALL;
#if @{strips}
            int n = min(column + own_column, @{n} - WIDTH), strip = n / WIDTH;
            @{column_values}
#endif
            for (int p = 0; p < int(FM); p++, row += int(MAT)) {
                /* The code behind stands here once, for all rows of matrices. */
                float sum[EACH][WIDTH];
                if (SPLITS > 1) {
                    Partial partial = Partial(@{partial});
                    Floats quads = Floats(@{partial});
                    [[unroll]] for (int e = 0; e < EACH; e++)
                        [[unroll]] for (int j = 0; j < WIDTH; j++) sum[e][j] = 0;
                    for (int s0 = 0; s0 < SPLITS; s0 += 4) {
                        /* Four parts' sums are under way at a time, each vector loaded once: these loads go past the nearest cache. */
                        vec4 x[4 * EACH * QUADS];
                        [[unroll]] for (int s = 0; s < 4; s++)
                            [[unroll]] for (int e = 0; e < EACH; e++) {
                                int r = own_row + e / TURNS * BELOW, c = own_column + e % TURNS * int(LANES), q = (s * EACH + e) * QUADS;
                                int at = (number * SPLITS + min(s0 + s, SPLITS - 1)) * piece_end + piece;
                                at += (p * int(FN) + c / int(MAT)) * int(MAT * MAT) + r * int(MAT) + c % int(MAT);
                                if (WIDTH % 4 == 0) {
                                    [[unroll]] for (int j = 0; j < QUADS; j++) x[q + j] = quads.d[(at >> 2) + j];
                                } else {
                                    x[q].x = partial.d[at];
                                }
                            }
                        [[unroll]] for (int s = 0; s < 4; s++)
                            if (s0 + s < SPLITS)
                                [[unroll]] for (int e = 0; e < EACH; e++)
                                    [[unroll]] for (int j = 0; j < WIDTH; j++) sum[e][j] += x[(s * EACH + e) * QUADS + j / 4][j % 4];
                    }
                } else {
                    [[unroll]] for (uint i = 0; i < FM; i++)
                        if (p == i)
                            [[unroll]] for (uint j = 0; j < FN; j++)
                                coopMatStore(acc[i * FN + j], tiles, own + j * (MAT / 4), STRIDE_C, gl_CooperativeMatrixLayoutRowMajor);
                    subgroupMemoryBarrierShared();
                    subgroupBarrier();
                    [[unroll]] for (int e = 0; e < EACH; e++) {
                        int at = own + (own_row + e / TURNS * BELOW) * int(STRIDE_C), c = own_column + e % TURNS * int(LANES);
#if @{strips}
                        /* Of eight lanes that load side by side, half begin with the second vector: then no two use one bank. */
                        int second = lane >> 2 & 1;
                        uvec4 x = tiles[at + (c >> 2) + second], y = tiles[at + (c >> 2) + 1 - second];
                        uvec4 low = mix(x, y, bvec4(second != 0)), high = mix(y, x, bvec4(second != 0));
                        [[unroll]] for (int j = 0; j < 4; j++) sum[e][j] = uintBitsToFloat(low[j]), sum[e][4 + j] = uintBitsToFloat(high[j]);
#else
                        sum[e][0] = uintBitsToFloat(tiles[at + (c >> 2)][c & 3]);
#endif
                    }
                    subgroupMemoryBarrierShared();
                    subgroupBarrier();
                }
                @{results}
                [[unroll]] for (int e = 0; e < EACH; e++) {
                    int m = min(row + own_row + e / TURNS * BELOW, @{m} - 1);
#if !@{strips}
                    int n = min(column + own_column + e % TURNS * int(LANES), @{n} - 1);
                    @{column_values}
#endif
                    float x = sum[e][0];
                    @{value}
                }
                [[unroll]] for (int e = 0; e < EACH; e++) {
                    int m = row + own_row + e / TURNS * BELOW, n = column + own_column + e % TURNS * int(LANES), strip = n / WIDTH;
                    if (inside && m < @{m} && n < @{n}) {
                        @{put}
                    }
                }
            }
        }
    }
