/* Attention on matrix units: f16 operands, f32 sums (GL_KHR_cooperative_matrix).
 *
 * ROW_TEAMS subgroups have WM queries each; KEY_TEAMS of them share the same queries and take BN keys each of a block. Queries stay in
 * matrices; keys and values pass through shared memory in vectors of eight halves.
 *
 * How a matrix's elements are dealt out to lanes is the driver's secret. Where an accumulator's turn out to be those of a left operand, and
 * four neighbouring lanes to have whole rows between them (`plain`: found out with matrices that hold their own indices), scores become
 * weights in registers; elsewhere by way of shared memory. The first three constants are the runtime's: see Pipeline in plan.proto. */
layout(constant_id = 0) const uint GROUP = 128;
layout(constant_id = 1) const uint MAT = 16; /* rows, columns and depth of the device's matrices */
layout(constant_id = 2) const uint LANES = 32;
layout(constant_id = 3) const uint D = 64;  /* elements of a query and a key */
layout(constant_id = 4) const uint E = 64;  /* of a value */
layout(constant_id = 5) const uint WM = 16; /* queries of a subgroup */
layout(constant_id = 6) const uint BN = 64; /* keys that a subgroup takes of a block */
layout(constant_id = 7) const uint KEY_TEAMS = 1;
layout(constant_id = 8) const bool PREFETCH = true; /* the next block is under way into registers meanwhile */
layout(local_size_x_id = 0) in;

const uint ROW_TEAMS = GROUP / LANES / KEY_TEAMS, ROWS = ROW_TEAMS * WM, BLOCK = KEY_TEAMS * BN;
const uint DV = (D + 15) / 16 * 2, EV = (E + 15) / 16 * 2;                                 /* vectors of a key, of a value */
const uint FM = WM / MAT, FN = BN / MAT, FD = DV * 8 / MAT, FE = EV * 8 / MAT;             /* matrices */
const uint STRIDE_K = DV + 1, STRIDE_V = EV + 1;
const uint LOADS_K = (BLOCK * DV + GROUP - 1) / GROUP, LOADS_V = (BLOCK * EV + GROUP - 1) / GROUP;
const uint EACH = MAT * MAT / LANES;   /* of a matrix, to a lane */
const uint OWNERS = LANES / MAT;       /* lanes that have a row between them, in shared memory */
const uint PATCH = MAT * MAT;
shared uvec4 tile_k[(BLOCK > ROWS ? BLOCK : ROWS) * STRIDE_K];
shared uvec4 tile_v[BLOCK * STRIDE_V];
shared vec4 patches[GROUP / LANES * PATCH / 4];  /* scores of a matrix; vectors, since matrices have to be aligned to 16 bytes */
shared uvec4 tile_p[GROUP / LANES * PATCH / 8];  /* their weights */
shared vec2 stats[GROUP / LANES * WM];       /* of rows: the largest score, and the sum of exponentials */
shared float factors[GROUP / LANES * WM];
shared uint secret;
#define PATCHES(i) patches[(i) / 4][(i) % 4]
layout(buffer_reference, std430, buffer_reference_align = 16) readonly buffer Vectors { uvec4 d[]; };
/* Element e of a lane, in matrices of 16 x 16 and 32 lanes: which of the lane's two rows, 8 apart; and which column. */
#define UPPER(e) (((e) >> 2) & 1)
#define COLUMN(lane, e) (((lane) & 3) * 2 + ((e) & 1) + ((e) & 2) * 4)
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
/* exp(x - y) */
float weight(float x, float y)
{
    const float LOG2_E = 1.44269504;
    return exp2((x - y) * LOG2_E);
}

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
        /* Queries, and who has which element of a matrix. */
        if (t == 0) secret = 0;
        for (int v = t; v < int(ROWS * DV); v += int(GROUP)) {
            int r = v / int(DV), k = v % int(DV);
            tile_k[r * STRIDE_K + k] = query(q_base, m0 + r, k * 8, m0 + r < @{m});
        }
        for (int i = t; i < int(MAT * MAT); i += int(GROUP)) PATCHES(i) = float(i);
        for (int i = t; i < int(MAT * MAT / 8); i += int(GROUP)) {
            float h[8];
            [[unroll]] for (int j = 0; j < 8; j++) h[j] = float(i * 8 + j);
            tile_v[i] = halves(h);
        }
        barrier();
        LEFT queries[FM * FD], left;
        [[unroll]] for (uint i = 0; i < FM; i++)
            [[unroll]] for (uint k = 0; k < FD; k++)
                coopMatLoad(queries[i * FD + k], tile_k, (row_team * WM + i * MAT) * STRIDE_K + k * (MAT / 8), STRIDE_K, gl_CooperativeMatrixLayoutRowMajor);
        SUMS where;
        coopMatLoad(where, patches, 0, MAT / 4, gl_CooperativeMatrixLayoutRowMajor);
        coopMatLoad(left, tile_v, 0, MAT / 8, gl_CooperativeMatrixLayoutRowMajor);
        int row_of[EACH];
        bool same = LANES == 32 && MAT == 16;
        [[unroll]] for (int e = 0; e < int(EACH); e++) {
            int place = (lane / 4 + UPPER(e) * 8) * 16 + COLUMN(lane, e);
            same = same && int(where[e]) == place && int(left[e]) == place;
            row_of[e] = int(where[e]) / int(MAT);
        }
        if (!same) secret = 1;
        barrier();
        bool plain = LANES == 32 && MAT == 16 && secret == 0;

        SUMS acc[FM * FE];
        [[unroll]] for (uint i = 0; i < FM * FE; i++) acc[i] = SUMS(0.0);
        float top[FM * 2], total[FM * 2]; /* of rows lane / 4 and lane / 4 + 8; elsewhere of row lane / OWNERS */
        [[unroll]] for (uint i = 0; i < FM * 2; i++) {
            top[i] = NONE;
            total[i] = 0;
        }
        int key0 = key_team * int(BN), row0 = row_team * int(WM);
        uvec4 next_k[PREFETCH ? LOADS_K : 1], next_v[PREFETCH ? LOADS_V : 1];
        for (int n0 = PREFETCH ? -int(BLOCK) : 0; n0 < @{n}; n0 += int(BLOCK)) {
            if (PREFETCH) {
                if (n0 >= 0) {
                    [[unroll]] for (uint i = 0; i < LOADS_K; i++) {
                        uint v = t + i * GROUP;
                        if (BLOCK * DV % GROUP == 0 || v < BLOCK * DV) tile_k[v / DV * STRIDE_K + v % DV] = next_k[i];
                    }
                    [[unroll]] for (uint i = 0; i < LOADS_V; i++) {
                        uint v = t + i * GROUP;
                        if (BLOCK * EV % GROUP == 0 || v < BLOCK * EV) tile_v[v / EV * STRIDE_V + v % EV] = next_v[i];
                    }
                }
                barrier();
                if (n0 + int(BLOCK) < @{n}) {
                    [[unroll]] for (uint i = 0; i < LOADS_K; i++) {
                        int v = t + int(i * GROUP), r = v / int(DV) + n0 + int(BLOCK);
                        next_k[i] = key(k_base, r, v % int(DV) * 8, r < @{n} && (BLOCK * DV % GROUP == 0 || v < int(BLOCK * DV)));
                    }
                    [[unroll]] for (uint i = 0; i < LOADS_V; i++) {
                        int v = t + int(i * GROUP), r = v / int(EV) + n0 + int(BLOCK);
                        next_v[i] = value(v_base, r, v % int(EV) * 8, r < @{n} && (BLOCK * EV % GROUP == 0 || v < int(BLOCK * EV)));
                    }
                }
            } else {
                for (int v = t; v < int(BLOCK * DV); v += int(GROUP)) {
                    int r = v / int(DV);
                    tile_k[r * STRIDE_K + v % int(DV)] = key(k_base, n0 + r, v % int(DV) * 8, n0 + r < @{n});
                }
                for (int v = t; v < int(BLOCK * EV); v += int(GROUP)) {
                    int r = v / int(EV);
                    tile_v[r * STRIDE_V + v % int(EV)] = value(v_base, n0 + r, v % int(EV) * 8, n0 + r < @{n});
                }
                barrier();
            }
            if (n0 >= 0) {
                SUMS c[FM * FN];
                [[unroll]] for (uint i = 0; i < FM * FN; i++) c[i] = SUMS(0.0);
                [[unroll]] for (uint k = 0; k < FD; k++)
                    [[unroll]] for (uint j = 0; j < FN; j++) {
                        RIGHT b;
                        coopMatLoad(b, tile_k, (key0 + j * MAT) * STRIDE_K + k * (MAT / 8), STRIDE_K, gl_CooperativeMatrixLayoutColumnMajor);
                        [[unroll]] for (uint i = 0; i < FM; i++) c[i * FN + j] = coopMatMulAdd(queries[i * FD + k], b, c[i * FN + j]);
                    }
                LEFT weights[FM * FN];
                bool ragged = n0 + key0 + int(BN) > @{n};
                if (plain) {
                    [[unroll]] for (uint i = 0; i < FM; i++) {
                        float best[2] = float[](NONE, NONE);
                        [[unroll]] for (uint j = 0; j < FN; j++)
                            [[unroll]] for (int e = 0; e < int(EACH); e++) {
                                int at = n0 + key0 + int(j * MAT) + COLUMN(lane, e), n = min(at, @{n} - 1);
                                int m = min(m0 + row0 + int(i * MAT) + lane / 4 + UPPER(e) * 8, @{m} - 1);
                                float x = c[i * FN + j][e];
                                @{score}
                                if (ragged && at >= @{n}) x = NONE;
                                c[i * FN + j][e] = x;
                                best[UPPER(e)] = max(best[UPPER(e)], x);
                            }
                        float from[2], sum[2] = float[](0.0, 0.0), shrink[2];
                        [[unroll]] for (int h = 0; h < 2; h++) {
                            best[h] = max(best[h], subgroupShuffleXor(best[h], 1));
                            best[h] = max(best[h], subgroupShuffleXor(best[h], 2));
                            float highest = max(top[i * 2 + h], best[h]);
                            from[h] = highest == NONE ? 0.0 : highest; /* nothing attended to yet: nothing to scale */
                            shrink[h] = weight(top[i * 2 + h], from[h]);
                            top[i * 2 + h] = highest;
                        }
                        [[unroll]] for (uint j = 0; j < FN; j++)
                            [[unroll]] for (int e = 0; e < int(EACH); e++) {
                                float w = weight(c[i * FN + j][e], from[UPPER(e)]);
                                sum[UPPER(e)] += w;
                                weights[i * FN + j][e] = float16_t(w);
                            }
                        [[unroll]] for (int h = 0; h < 2; h++) total[i * 2 + h] = total[i * 2 + h] * shrink[h] + sum[h];
                        [[unroll]] for (uint j = 0; j < FE; j++)
                            [[unroll]] for (int e = 0; e < int(EACH); e++) acc[i * FE + j][e] *= shrink[UPPER(e)];
                    }
                } else {
                    int mine = team * int(PATCH), r = lane / int(OWNERS), own = lane % int(OWNERS);
                    [[unroll]] for (uint i = 0; i < FM; i++) {
                        /* A row's owners take eight keys at a time. */
                        float best = NONE;
                        int m = min(m0 + row0 + int(i * MAT) + r, @{m} - 1);
                        [[unroll]] for (uint j = 0; j < FN; j++) {
                            coopMatStore(c[i * FN + j], patches, mine / 4, MAT / 4, gl_CooperativeMatrixLayoutRowMajor);
                            subgroupMemoryBarrierShared();
                            subgroupBarrier();
                            for (int k = own * 8; k < int(MAT); k += int(OWNERS) * 8)
                                for (int u = k; u < k + 8; u++) {
                                    int at = n0 + key0 + int(j * MAT) + u, n = min(at, @{n} - 1);
                                    float x = PATCHES(mine + r * int(MAT) + u);
                                    @{score}
                                    if (at >= @{n}) x = NONE;
                                    PATCHES(mine + r * int(MAT) + u) = x;
                                    best = max(best, x);
                                }
                            subgroupMemoryBarrierShared();
                            subgroupBarrier();
                            coopMatLoad(c[i * FN + j], patches, mine / 4, MAT / 4, gl_CooperativeMatrixLayoutRowMajor);
                            subgroupMemoryBarrierShared();
                            subgroupBarrier();
                        }
                        [[unroll]] for (int o = 1; o < int(OWNERS); o *= 2) best = max(best, subgroupShuffleXor(best, o));
                        float highest = max(top[i], best), from = highest == NONE ? 0.0 : highest, shrink = weight(top[i], from), sum = 0;
                        top[i] = highest;
                        [[unroll]] for (uint j = 0; j < FN; j++) {
                            coopMatStore(c[i * FN + j], patches, mine / 4, MAT / 4, gl_CooperativeMatrixLayoutRowMajor);
                            subgroupMemoryBarrierShared();
                            subgroupBarrier();
                            for (int k = own; k < int(MAT / 8); k += int(OWNERS)) {
                                float h[8];
                                [[unroll]] for (int u = 0; u < 8; u++) {
                                    h[u] = weight(PATCHES(mine + r * int(MAT) + k * 8 + u), from);
                                    sum += h[u];
                                }
                                tile_p[(team * int(MAT) + r) * int(MAT / 8) + k] = halves(h);
                            }
                            subgroupMemoryBarrierShared();
                            subgroupBarrier();
                            coopMatLoad(weights[i * FN + j], tile_p, team * PATCH / 8, MAT / 8, gl_CooperativeMatrixLayoutRowMajor);
                            subgroupMemoryBarrierShared();
                            subgroupBarrier();
                        }
                        total[i] = total[i] * shrink + sum;
                        if (own == 0) factors[team * int(WM) + r] = shrink;
                        subgroupMemoryBarrierShared();
                        subgroupBarrier();
                        [[unroll]] for (uint j = 0; j < FE; j++)
                            [[unroll]] for (int e = 0; e < int(EACH); e++) acc[i * FE + j][e] *= factors[team * int(WM) + row_of[e]];
                        subgroupMemoryBarrierShared();
                        subgroupBarrier();
                    }
                }
                [[unroll]] for (uint j = 0; j < FN; j++)
                    [[unroll]] for (uint k = 0; k < FE; k++) {
                        RIGHT b;
                        coopMatLoad(b, tile_v, (key0 + j * MAT) * STRIDE_V + k * (MAT / 8), STRIDE_V, gl_CooperativeMatrixLayoutRowMajor);
                        [[unroll]] for (uint i = 0; i < FM; i++) acc[i * FE + k] = coopMatMulAdd(weights[i * FN + j], b, acc[i * FE + k]);
                    }
            }
            barrier();
        }
        /* What the teams of the same queries have found, added up. */
        [[unroll]] for (uint i = 0; i < FM; i++) {
            if (plain) {
                [[unroll]] for (int h = 0; h < 2; h++) {
                    float sum = total[i * 2 + h];
                    sum += subgroupShuffleXor(sum, 1);
                    sum += subgroupShuffleXor(sum, 2);
                    if ((lane & 3) == 0) stats[team * int(WM) + int(i * MAT) + lane / 4 + h * 8] = vec2(top[i * 2 + h], sum);
                }
            } else {
                float sum = total[i];
                [[unroll]] for (int o = 1; o < int(OWNERS); o *= 2) sum += subgroupShuffleXor(sum, o);
                if (lane % int(OWNERS) == 0) stats[team * int(WM) + int(i * MAT) + lane / int(OWNERS)] = vec2(top[i], sum);
            }
        }
        barrier();
        for (int r = t; r < int(ROWS); r += int(GROUP)) {
            int first = r / int(WM) * int(KEY_TEAMS * WM) + r % int(WM), m = min(m0 + r, @{m} - 1);
            float top = NONE, total = 0;
            [[unroll]] for (int k = 0; k < int(KEY_TEAMS); k++) top = max(top, stats[first + k * int(WM)].x);
            float from = top == NONE ? 0.0 : top;
            [[unroll]] for (int k = 0; k < int(KEY_TEAMS); k++)
                total += stats[first + k * int(WM)].y * weight(stats[first + k * int(WM)].x, from);
            bool dead = @{n} == 0;
            @{dead}
            [[unroll]] for (int k = 0; k < int(KEY_TEAMS); k++)
                factors[first + k * int(WM)] = dead ? 0.0 : weight(stats[first + k * int(WM)].x, from) / total;
        }
        barrier();
        [[unroll]] for (uint i = 0; i < FM; i++) {
            float f[EACH];
            [[unroll]] for (int e = 0; e < int(EACH); e++) f[e] = factors[team * int(WM) + int(i * MAT) + row_of[e]];
            [[unroll]] for (uint k = 0; k < FE; k++)
                [[unroll]] for (int e = 0; e < int(EACH); e++) acc[i * FE + k][e] = f[e] == 0.0 ? 0.0 : acc[i * FE + k][e] * f[e];
        }
        /* The code behind stands here once, for all matrices. */
        for (int p = 0; p < int(FM * FE); p++) {
            [[unroll]] for (uint q = 0; q < FM * FE; q++)
                if (p == q) coopMatStore(acc[q], patches, team * int(PATCH) / 4, MAT / 4, gl_CooperativeMatrixLayoutRowMajor);
            barrier();
            for (int i = t; i < int(ROW_TEAMS * MAT * MAT); i += int(GROUP)) {
                int of = i / int(MAT * MAT), within = i % int(MAT * MAT);
                float x = 0;
                [[unroll]] for (int k = 0; k < int(KEY_TEAMS); k++) x += PATCHES((of * int(KEY_TEAMS) + k) * int(PATCH) + within);
                int row = m0 + of * int(WM) + p / int(FE) * int(MAT) + within / int(MAT), m = min(row, @{m} - 1);
                int e = p % int(FE) * int(MAT) + within % int(MAT);
                if (row < @{m} && e < int(E)) {
                    @{store}
                }
            }
            barrier();
        }
    }
