/* Attention on matrix units: f16 operands, f32 sums (GL_KHR_cooperative_matrix).
 *
 * ROW_TEAMS subgroups have WM queries each; KEY_TEAMS of them share the same queries and take BN keys each of a block. Queries stay in
 * matrices; keys and values pass through shared memory in vectors of eight halves, the next block under way into registers meanwhile.
 *
 * How a matrix's elements are dealt out to lanes is the driver's secret. Where it is known (QUADS), scores become weights in registers;
 * elsewhere by way of shared memory, a matrix at a time. Constants 0 to 2 and QUADS are the runtime's: see Pipeline in plan.proto.
 *
 * What was summed is scaled down only where a score exceeds the one that weights are relative to by SLACK, as weights of up to 256 are as
 * exact as those up to 1. */
layout(constant_id = 0) const uint GROUP = 128;
layout(constant_id = 1) const uint MAT = 16; /* rows, columns and depth of the device's matrices */
layout(constant_id = 2) const uint LANES = 32;
layout(constant_id = 3) const uint D = 64;  /* elements of a query and a key */
layout(constant_id = 4) const uint E = 64;  /* of a value */
layout(constant_id = 5) const uint WM = 16; /* queries of a subgroup */
layout(constant_id = 6) const uint BN = 64; /* keys that a subgroup takes of a block */
layout(constant_id = 7) const uint KEY_TEAMS = 1;
layout(constant_id = 8) const bool QUADS = false;
layout(local_size_x_id = 0) in;

const uint TEAMS = GROUP / LANES, ROW_TEAMS = TEAMS / KEY_TEAMS, ROWS = ROW_TEAMS * WM, BLOCK = KEY_TEAMS * BN;
const uint DV = (D + 15) / 16 * 2, EV = (E + 15) / 16 * 2;                     /* vectors of a key, of a value */
const uint FM = WM / MAT, FN = BN / MAT, FD = DV * 8 / MAT, FE = EV * 8 / MAT; /* matrices */
const uint STRIDE_K = DV + 1, STRIDE_V = EV + 1;                               /* odd, so that rows begin in different banks */
const uint LOADS_K = (BLOCK * DV + GROUP - 1) / GROUP, LOADS_V = (BLOCK * EV + GROUP - 1) / GROUP;
const bool WHOLE_K = BLOCK * DV % GROUP == 0, WHOLE_V = BLOCK * EV % GROUP == 0;
const uint EACH = MAT * MAT / LANES; /* of a matrix, to a lane */
const uint OWNERS = LANES / MAT;     /* lanes that have a row between them, in shared memory */
const uint PATCH = MAT * MAT / 4;    /* vectors of a matrix of sums */
/* In the same memory: two blocks of keys and values, so that there is one barrier a block; before them queries, behind them where both fit
 * (APART); at last, matrices of results. Without QUADS, patches stand where the next block will be: scores of a matrix, or its weights. */
const uint SIZE_K = BLOCK * STRIDE_K, SIZE_KV = SIZE_K + BLOCK * STRIDE_V, SIZE_Q = ROWS * STRIDE_K, SIZE_OUT = TEAMS * PATCH;
const uint LEAST = QUADS ? 0 : SIZE_OUT, STAGE = SIZE_KV > LEAST ? SIZE_KV : LEAST, ROOM = QUADS ? 2816 : 0;
const bool APART = STAGE * 2 + SIZE_Q <= ROOM; /* 45 KiB */
const uint Q_AT = APART ? STAGE * 2 : 0, SIZE_IN = APART ? STAGE * 2 + SIZE_Q : STAGE * 2 > SIZE_Q ? STAGE * 2 : SIZE_Q;
const uint SIZE = SIZE_IN > SIZE_OUT ? SIZE_IN : SIZE_OUT;
const uint FIT = SIZE / SIZE_OUT, AT_ONCE = FIT < FM * FE ? FIT : FM * FE; /* matrices of each team that find room there */
const uint RESULTS = ROW_TEAMS * AT_ONCE * MAT * MAT, BATCH = RESULTS % (GROUP * 4) == 0 ? 4 : 1;
shared uvec4 tile[SIZE];
shared vec2 stats[QUADS && KEY_TEAMS == 1 ? 1 : TEAMS * WM]; /* of rows: what weights are relative to, and their sum */
shared uint sighted[(ROWS + 31) / 32]; /* bits of queries that see a key */
shared float factors[QUADS ? 1 : TEAMS * WM];
#define FLOATS(i) tile[(i) / 4][(i) % 4]
layout(buffer_reference, std430, buffer_reference_align = 16) readonly buffer Vectors { uvec4 d[]; };
/* With QUADS, element e of a lane: which of the lane's two rows, 8 apart; and which column. */
#define UPPER(e) (((e) >> 2) & 1)
#define COLUMN(lane, e) (((lane) & 3) * 2 + ((e) & 1) + ((e) & 2) * 4)
#define SEEN (-3e4)
#define NONE uintBitsToFloat(0xff800000u)
#define SUMS coopmat<float, gl_ScopeSubgroup, MAT, MAT, gl_MatrixUseAccumulator>
#define LEFT coopmat<float16_t, gl_ScopeSubgroup, MAT, MAT, gl_MatrixUseA>
#define RIGHT coopmat<float16_t, gl_ScopeSubgroup, MAT, MAT, gl_MatrixUseB>
uvec4 halves(float h[8])
{
    return uvec4(packHalf2x16(vec2(h[0], h[1])), packHalf2x16(vec2(h[2], h[3])), packHalf2x16(vec2(h[4], h[5])), packHalf2x16(vec2(h[6], h[7])));
}
@{query}
@{key}
@{value}
#define RAGGED @{ragged}
@{weights}
/* Rows of the last block may lie beyond the end; their scores are made NONE. Invocations that are too many load what the last does. */
#define FETCH_K(n) [[unroll]] for (uint i = 0; i < LOADS_K; i++) { \
        int v = WHOLE_K ? t + int(i * GROUP) : min(t + int(i * GROUP), int(BLOCK * DV) - 1); \
        next_k[i] = key(k_base, min((n) + v / int(DV), @{n} - 1), v % int(DV) * 8, true); \
    }
#define FETCH_V(n) [[unroll]] for (uint i = 0; i < LOADS_V; i++) { \
        int v = WHOLE_V ? t + int(i * GROUP) : min(t + int(i * GROUP), int(BLOCK * EV) - 1); \
        next_v[i] = value(v_base, min((n) + v / int(EV), @{n} - 1), v % int(EV) * 8, RAGGED == 0 || (n) + v / int(EV) < @{n}); \
    }
#define PUT_K(stage) [[unroll]] for (uint i = 0; i < LOADS_K; i++) { \
        uint v = t + i * GROUP; \
        if (WHOLE_K || v < BLOCK * DV) tile[(stage) * STAGE + v / DV * STRIDE_K + v % DV] = next_k[i]; \
    }
#define PUT_V(stage) [[unroll]] for (uint i = 0; i < LOADS_V; i++) { \
        uint v = t + i * GROUP; \
        if (WHOLE_V || v < BLOCK * EV) tile[(stage) * STAGE + SIZE_K + v / EV * STRIDE_V + v % EV] = next_v[i]; \
    }
/* What a subgroup has stored is there for its lanes. */
#define MEET subgroupMemoryBarrierShared(); subgroupBarrier();

//# main
    int t = int(gl_LocalInvocationID.x), lane = int(gl_SubgroupInvocationID), team = int(gl_SubgroupID);
    int row_team = team / int(KEY_TEAMS), key_team = team - row_team * int(KEY_TEAMS);
    int group = int(gl_WorkGroupID.x + gl_WorkGroupID.y * gl_NumWorkGroups.x);
    int tiles = (@{m} + int(ROWS) - 1) / int(ROWS), z = group / tiles, m0 = (group - z * tiles) * int(ROWS);
    if (z < @{z}) {
        int q_base, k_base, v_base;
        @{q_base}
        @{k_base}
        @{v_base}
        uvec4 next_k[LOADS_K], next_v[LOADS_V];
        int from = 0, end = @{n};
#if @{causal}
        end = min((max(m0 + int(ROWS) + @{ahead}, 0) + int(BLOCK) - 1) / int(BLOCK) * int(BLOCK), @{n});
#endif
        if (@{n} > 0) {
            FETCH_K(from)
            FETCH_V(from)
        }
        if (t < int(ROWS + 31) / 32) sighted[t] = 0;
        for (int v = t; v < int(ROWS * DV); v += int(GROUP)) {
            int r = v / int(DV), k = v % int(DV);
            tile[Q_AT + r * STRIDE_K + k] = query(q_base, min(m0 + r, @{m} - 1), k * 8, true);
        }
        if (APART) {
            PUT_K(0)
            PUT_V(0)
        }
        barrier();
        LEFT queries[FM * FD];
        [[unroll]] for (uint i = 0; i < FM; i++)
            [[unroll]] for (uint k = 0; k < FD; k++)
                coopMatLoad(queries[i * FD + k], tile, Q_AT + (row_team * WM + i * MAT) * STRIDE_K + k * (MAT / 8), STRIDE_K, gl_CooperativeMatrixLayoutRowMajor);
        if (!APART) {
            barrier();
            PUT_K(0)
            PUT_V(0)
            if (!QUADS)
                for (int i = t; i < int(MAT * MAT); i += int(GROUP)) FLOATS(int(STAGE * 4) + i) = floatBitsToUint(float(i));
            barrier();
        }
        int row_of[EACH]; /* of a matrix, where a lane's element stands */
        if (QUADS) {
            [[unroll]] for (int e = 0; e < int(EACH); e++) row_of[e] = lane / 4 + UPPER(e) * 8;
        } else {
            SUMS where;
            coopMatLoad(where, tile, STAGE, MAT / 4, gl_CooperativeMatrixLayoutRowMajor);
            [[unroll]] for (int e = 0; e < int(EACH); e++) row_of[e] = int(where[e]) / int(MAT);
            barrier();
        }

        SUMS acc[FM * FE];
        [[unroll]] for (uint i = 0; i < FM * FE; i++) acc[i] = SUMS(0.0);
        /* Of rows lane / 4 and lane / 4 + 8; elsewhere of row lane / OWNERS: the largest score there was when sums were scaled last. */
        float top[FM * 2], total[FM * 2];
        [[unroll]] for (uint i = 0; i < FM * 2; i++) {
            top[i] = NONE;
            total[i] = 0;
        }
        int key0 = key_team * int(BN), row0 = row_team * int(WM);
        uint stage = 0;
#if @{causal}
        /* The keys that these queries may see; and if one sees none of them, the others too, as it weighs all the same. */
        for (;;) {
#endif
        for (int n0 = from; n0 < end; n0 += int(BLOCK)) {
            /* Behind the last block its last key again. */
            FETCH_K(n0 + int(BLOCK))
            FETCH_V(n0 + int(BLOCK))
            SUMS c[FM * FN];
            [[unroll]] for (uint i = 0; i < FM * FN; i++) c[i] = SUMS(0.0);
            [[unroll]] for (uint k = 0; k < FD; k++) {
                [[unroll]] for (uint j = 0; j < FN; j++) {
                    RIGHT b;
                    coopMatLoad(b, tile, (stage) * STAGE + (key0 + j * MAT) * STRIDE_K + k * (MAT / 8), STRIDE_K, gl_CooperativeMatrixLayoutColumnMajor);
                    [[unroll]] for (uint i = 0; i < FM; i++) c[i * FN + j] = coopMatMulAdd(queries[i * FD + k], b, c[i * FN + j]);
                }
            }
            LEFT weights[FM * FN];
            if (QUADS) {
#if !FOLDED
                [[unroll]] for (uint i = 0; i < FM; i++)
                    [[unroll]] for (uint j = 0; j < FN; j++)
                        [[unroll]] for (int e = 0; e < int(EACH); e++) {
                            int n = min(n0 + key0 + int(j * MAT) + COLUMN(lane, e), @{n} - 1);
                            int m = min(m0 + row0 + int(i * MAT) + lane / 4 + UPPER(e) * 8, @{m} - 1);
                            float x = c[i * FN + j][e];
                            @{score}
                            c[i * FN + j][e] = x;
                        }
#endif
                if (RAGGED != 0 && n0 + key0 + int(BN) > @{n}) {
                    [[unroll]] for (uint j = 0; j < FN; j++)
                        [[unroll]] for (int e = 0; e < int(EACH); e++)
                            if (n0 + key0 + int(j * MAT) + COLUMN(lane, e) >= @{n})
                                [[unroll]] for (uint i = 0; i < FM; i++) c[i * FN + j][e] = NONE;
                }
                float best[FM * 2];
                bool higher = false;
                /* Four chains a row of matrices, since one comparison after the other is a wait each. */
                [[unroll]] for (uint i = 0; i < FM; i++) {
                    float of[4] = float[](NONE, NONE, NONE, NONE);
                    [[unroll]] for (uint j = 0; j < FN; j++)
                        [[unroll]] for (uint e = 0; e < EACH; e += 2) of[e / 2] = max(of[e / 2], max(c[i * FN + j][e], c[i * FN + j][e + 1]));
                    best[i * 2] = max(of[0], of[1]);
                    best[i * 2 + 1] = max(of[2], of[3]);
                }
                [[unroll]] for (uint i = 0; i < FM * 2; i++) higher = higher || best[i] > top[i] + SLACK;
                if (subgroupAny(higher)) {
                    [[unroll]] for (uint i = 0; i < FM; i++) {
                        float shrink[2];
                        [[unroll]] for (int h = 0; h < 2; h++) {
                            float highest = max(best[i * 2 + h], top[i * 2 + h]);
                            highest = max(highest, subgroupShuffleXor(highest, 1));
                            highest = max(highest, subgroupShuffleXor(highest, 2));
                            shrink[h] = weight(top[i * 2 + h], reference(highest));
                            top[i * 2 + h] = highest;
                            total[i * 2 + h] *= shrink[h];
                        }
                        [[unroll]] for (uint j = 0; j < FE; j++)
                            [[unroll]] for (int e = 0; e < int(EACH); e++) acc[i * FE + j][e] *= shrink[UPPER(e)];
                    }
                }
                [[unroll]] for (uint i = 0; i < FM; i++) {
                    float base[2] = float[](reference(top[i * 2]), reference(top[i * 2 + 1])), sum[4] = float[](0.0, 0.0, 0.0, 0.0);
                    [[unroll]] for (uint j = 0; j < FN; j++)
                        [[unroll]] for (uint e = 0; e < EACH; e += 2) {
                            vec2 w = vec2(weight(c[i * FN + j][e], base[UPPER(e)]), weight(c[i * FN + j][e + 1], base[UPPER(e)]));
                            sum[e / 2] += w.x + w.y;
                            f16vec2 narrow = f16vec2(w);
                            weights[i * FN + j][e] = narrow.x;
                            weights[i * FN + j][e + 1] = narrow.y;
                        }
                    total[i * 2] += sum[0] + sum[1];
                    total[i * 2 + 1] += sum[2] + sum[3];
                }
            } else {
                int mine = int((1 - stage) * STAGE + team * PATCH), r = lane / int(OWNERS), own = lane % int(OWNERS);
                [[unroll]] for (uint i = 0; i < FM; i++) {
                    /* A row's owners take eight keys at a time. */
                    float highest = top[i];
                    int m = min(m0 + row0 + int(i * MAT) + r, @{m} - 1);
                    [[unroll]] for (uint j = 0; j < FN; j++) {
                        coopMatStore(c[i * FN + j], tile, mine, MAT / 4, gl_CooperativeMatrixLayoutRowMajor);
                        MEET
                        for (int k = own * 8; k < int(MAT); k += int(OWNERS) * 8)
                            for (int u = k; u < k + 8; u++) {
                                int at = n0 + key0 + int(j * MAT) + u, n = min(at, @{n} - 1);
                                float x = uintBitsToFloat(FLOATS(mine * 4 + r * int(MAT) + u));
#if !FOLDED
                                @{score}
#endif
                                if (at >= @{n}) x = NONE;
                                FLOATS(mine * 4 + r * int(MAT) + u) = floatBitsToUint(x);
                                highest = max(highest, x);
                            }
                        MEET
                        coopMatLoad(c[i * FN + j], tile, mine, MAT / 4, gl_CooperativeMatrixLayoutRowMajor);
                        MEET
                    }
                    [[unroll]] for (int o = 1; o < int(OWNERS); o *= 2) highest = max(highest, subgroupShuffleXor(highest, o));
                    float base = reference(highest), shrink = weight(top[i], base), sum = 0;
                    top[i] = highest;
                    [[unroll]] for (uint j = 0; j < FN; j++) {
                        coopMatStore(c[i * FN + j], tile, mine, MAT / 4, gl_CooperativeMatrixLayoutRowMajor);
                        MEET
                        uvec4 packed[MAT / 8];
                        for (int k = own; k < int(MAT / 8); k += int(OWNERS)) {
                            float h[8];
                            [[unroll]] for (int u = 0; u < 8; u++) {
                                h[u] = weight(uintBitsToFloat(FLOATS(mine * 4 + r * int(MAT) + k * 8 + u)), base);
                                sum += h[u];
                            }
                            packed[k] = halves(h);
                        }
                        MEET
                        for (int k = own; k < int(MAT / 8); k += int(OWNERS)) tile[mine + r * int(MAT / 8) + k] = packed[k];
                        MEET
                        coopMatLoad(weights[i * FN + j], tile, mine, MAT / 8, gl_CooperativeMatrixLayoutRowMajor);
                        MEET
                    }
                    total[i] = total[i] * shrink + sum;
                    if (own == 0) factors[team * int(WM) + r] = shrink;
                    MEET
                    [[unroll]] for (uint j = 0; j < FE; j++)
                        [[unroll]] for (int e = 0; e < int(EACH); e++) acc[i * FE + j][e] *= factors[team * int(WM) + row_of[e]];
                    MEET
                }
            }
            [[unroll]] for (uint j = 0; j < FN; j++)
                [[unroll]] for (uint k = 0; k < FE; k++) {
                    RIGHT b;
                    coopMatLoad(b, tile, (stage) * STAGE + SIZE_K + (key0 + j * MAT) * STRIDE_V + k * (MAT / 8), STRIDE_V, gl_CooperativeMatrixLayoutRowMajor);
                    [[unroll]] for (uint i = 0; i < FM; i++) acc[i * FE + k] = coopMatMulAdd(weights[i * FN + j], b, acc[i * FE + k]);
                }
            if (!QUADS) barrier();
            stage = 1 - stage;
            PUT_K(stage)
            PUT_V(stage)
            barrier();
        }
#if @{causal}
            if (end == @{n}) break;
            [[unroll]] for (uint i = 0; i < (QUADS ? FM * 2 : FM); i++) {
                int r = row0 + int(QUADS ? i / 2 * MAT + i % 2 * 8 : i * MAT) + lane / (QUADS ? 4 : int(OWNERS));
                if (top[i] > SEEN) atomicOr(sighted[r / 32], 1u << (r % 32));
            }
            barrier();
            bool all_see = true;
            [[unroll]] for (uint r = 0; r < ROWS; r += 32) all_see = all_see && sighted[r / 32] == (ROWS - r < 32 ? (1u << (ROWS - r)) - 1u : ~0u);
            if (all_see) break;
            from = end;
            end = @{n};
        }
#endif
        /* The lanes' sums added up, and what the teams of the same queries have found. */
        [[unroll]] for (uint i = 0; i < (QUADS ? FM * 2 : FM); i++) {
            if (QUADS) {
                total[i] += subgroupShuffleXor(total[i], 1);
                total[i] += subgroupShuffleXor(total[i], 2);
            } else {
                for (int o = 1; o < int(OWNERS); o *= 2) total[i] += subgroupShuffleXor(total[i], o);
            }
        }
        if (!QUADS || KEY_TEAMS > 1) {
            int each = QUADS ? 4 : int(OWNERS);
            if (lane % each == 0)
                [[unroll]] for (uint i = 0; i < (QUADS ? FM * 2 : FM); i++)
                    stats[team * int(WM) + int(QUADS ? i / 2 * MAT + i % 2 * 8 : i * MAT) + lane / each] = vec2(top[i], total[i]);
            barrier();
        }
        float f[FM * EACH]; /* the first is for all of its row */
        [[unroll]] for (uint i = 0; i < FM * EACH; i++) {
            if (QUADS && i % 4 != 0) {
                f[i] = f[i / 4 * 4];
                continue;
            }
            vec2 of[KEY_TEAMS];
            int r = int(i / EACH * MAT) + row_of[i % EACH], m = min(m0 + row0 + r, @{m} - 1);
            [[unroll]] for (int k = 0; k < int(KEY_TEAMS); k++)
                of[k] = QUADS && KEY_TEAMS == 1 ? vec2(top[i / 4], total[i / 4]) : stats[(row_team * int(KEY_TEAMS) + k) * int(WM) + r];
            float mine = QUADS ? top[i / 4] : stats[team * int(WM) + r].x, top = NONE, total = 0;
            [[unroll]] for (int k = 0; k < int(KEY_TEAMS); k++) top = max(top, of[k].x);
            float base = reference(top);
            [[unroll]] for (int k = 0; k < int(KEY_TEAMS); k++) total += of[k].y * weight(of[k].x, base);
            bool dead = @{n} == 0;
            @{dead}
            f[i] = dead ? 0.0 : weight(mine, base) / total;
        }
        [[unroll]] for (uint i = 0; i < FM; i++)
            [[unroll]] for (uint k = 0; k < FE; k++)
                [[unroll]] for (int e = 0; e < int(EACH); e++) {
                    float x = acc[i * FE + k][e], y = f[i * EACH + e];
                    acc[i * FE + k][e] = y == 0.0 ? 0.0 : x * y;
                }
        for (int p0 = 0; p0 < int(FM * FE); p0 += int(AT_ONCE)) {
            [[unroll]] for (uint q = 0; q < FM * FE; q++)
                if (q >= p0 && q < p0 + int(AT_ONCE))
                    coopMatStore(acc[q], tile, (team * int(AT_ONCE) + int(q) - p0) * int(PATCH), MAT / 4, gl_CooperativeMatrixLayoutRowMajor);
            barrier();
            for (int first = t; first < int(RESULTS); first += int(GROUP * BATCH)) {
                float sums[BATCH];
                [[unroll]] for (int u = 0; u < int(BATCH); u++) {
                    int i = first + u * int(GROUP), which = i / int(MAT * MAT), of = which / int(AT_ONCE), p = which % int(AT_ONCE);
                    sums[u] = 0;
                    [[unroll]] for (int k = 0; k < int(KEY_TEAMS); k++)
                        sums[u] += uintBitsToFloat(FLOATS(((of * int(KEY_TEAMS) + k) * int(AT_ONCE) + p) * int(MAT * MAT) + i % int(MAT * MAT)));
                }
                [[unroll]] for (int u = 0; u < int(BATCH); u++) {
                    int i = first + u * int(GROUP), which = i / int(MAT * MAT), within = i % int(MAT * MAT);
                    int of = which / int(AT_ONCE), p = p0 + which % int(AT_ONCE);
                    int row = m0 + of * int(WM) + p / int(FE) * int(MAT) + within / int(MAT), m = min(row, @{m} - 1);
                    int e = p % int(FE) * int(MAT) + within % int(MAT);
                    float x = sums[u];
                    if (p < int(FM * FE) && row < @{m} && e < int(E)) {
                        @{store}
                    }
                }
            }
            if (AT_ONCE < FM * FE) barrier();
        }
    }
