/* Attention on matrix units where it is known which lane holds which element of a matrix (DLVK_FEATURE_QUADS): lanes load what they
 * hold from memory, 16 bytes at a time, and there is neither shared memory nor a barrier between the subgroups.
 *
 * Four lanes (c = 0 to 3) have rows g and g + 8 of queries and sums, and columns g and g + 8 of right operands. What a product sums over may come
 * in any order, and so may the columns of a result: the elements of queries and keys come as lane c has them, 8 neighbours out of 32; and
 * a lane has 8 neighbours of values, which are columns of 8 matrices, so that it has 16 neighbours of each of its results at last.
 *
 * A subgroup has 16 queries; KEY_TEAMS of them have the same ones and take every KEY_TEAMS'th block of BN keys. See
 * attention_matrix.comp.glsl. Constants 0 to 2 are the runtime's. */
layout(constant_id = 0) const uint GROUP = 128;
layout(constant_id = 1) const uint MAT = 16;
layout(constant_id = 2) const uint LANES = 32;
layout(constant_id = 3) const uint D = 64; /* elements of a query and a key: a multiple of 32 */
layout(constant_id = 4) const uint E = 64; /* of a value: a multiple of 64 */
layout(constant_id = 5) const uint BN = 16;
layout(constant_id = 6) const uint KEY_TEAMS = 4;
layout(local_size_x_id = 0) in;

const uint TEAMS = GROUP / 32, ROW_TEAMS = TEAMS / KEY_TEAMS, FN = BN / 16, FD = D / 16, FE = E / 16;
const uint HELD_K = FN * D / 16, HELD_V = FN * E / 16; /* vectors of keys and values that a lane holds */
const uint PARTS = KEY_TEAMS > 1 ? TEAMS * (E / 8) * 32 : 1;
shared vec4 part[PARTS];
shared vec2 stats[KEY_TEAMS > 1 ? TEAMS * 16 : 1]; /* of rows: what weights are relative to, and their sum */
shared uint sighted;
layout(buffer_reference, std430, buffer_reference_align = 16) readonly buffer Vectors { uvec4 d[]; };
/* Where a lane has an element: of accumulators and left operands, by row and column; of right ones, by row and column. */
#define UPPER(e) (((e) >> 2) & 1)
#define COLUMN(e) (c * 2 + ((e) & 1) + ((e) & 2) * 4)
#define RIGHT_AT(row_high, column_high) ((row_high) * 2 + (column_high) * 4)
#define SEEN (-3e4)
#define NONE uintBitsToFloat(0xff800000u)
#define SUMS coopmat<float, gl_ScopeSubgroup, 16, 16, gl_MatrixUseAccumulator>
#define LEFT coopmat<float16_t, gl_ScopeSubgroup, 16, 16, gl_MatrixUseA>
#define RIGHT coopmat<float16_t, gl_ScopeSubgroup, 16, 16, gl_MatrixUseB>
#define PUT_PAIR(matrix, at, x, y) { matrix[at] = x; matrix[(at) + 1] = y; }
@{query}
@{key}
@{value}
#define RAGGED @{ragged}
@{weights}
#define ROW_K(n, i) (RAGGED == 0 ? (n) + (i) : min((n) + (i), @{n} - 1))
#define FETCH_K(n) [[unroll]] for (uint j = 0; j < FN * 2; j++) \
        [[unroll]] for (uint h = 0; h < D / 32; h++) held_k[j * (D / 32) + h] = key(k_base, ROW_K(n, int(j) * 8 + g), int(h) * 32 + c * 8, true);
#define FETCH_V(n) [[unroll]] for (uint j = 0; j < FN * 4; j++) \
        [[unroll]] for (uint h = 0; h < E / 64; h++) \
            held_v[j * (E / 64) + h] = value(v_base, ROW_K(n, int(j / 2) * 8 + c * 2 + int(j % 2)), int(h) * 64 + g * 8, true);

//# main
    int lane = int(gl_SubgroupInvocationID), team = int(subgroupBroadcastFirst(gl_SubgroupID)), g = lane >> 2, c = lane & 3;
    int row_team = team / int(KEY_TEAMS), key_team = team - row_team * int(KEY_TEAMS);
    int group = int(gl_WorkGroupID.x + gl_WorkGroupID.y * gl_NumWorkGroups.x);
    int tiles = (@{m} + 15) / 16;
#if @{causal}
    /* Those that see most come first. */
    int tile = (tiles - 1) / int(ROW_TEAMS) - group / @{z}, z = group % @{z};
    tile = tile * int(ROW_TEAMS) + row_team;
    bool live = tile >= 0 && tile < tiles;
#else
    int z = (group * int(ROW_TEAMS) + row_team) / tiles, tile = group * int(ROW_TEAMS) + row_team - z * tiles;
    bool live = z < @{z};
#endif
    if (live) {
        int m0 = tile * 16, q_base, k_base, v_base;
        @{q_base}
        @{k_base}
        @{v_base}
        uvec4 held_k[HELD_K], held_v[HELD_V], held_q[D / 16];
        int from = 0, end = @{n};
#if @{causal}
        end = min((max(m0 + 16 + @{ahead}, 0) + int(BN) - 1) / int(BN) * int(BN), @{n});
        if (KEY_TEAMS > 1 && gl_LocalInvocationID.x == 0) sighted = 0;
#endif
        [[unroll]] for (uint i = 0; i < 2; i++)
            [[unroll]] for (uint h = 0; h < D / 32; h++) held_q[i * (D / 32) + h] = query(q_base, min(m0 + g + int(i) * 8, @{m} - 1), int(h) * 32 + c * 8, true);
        int n0 = key_team * int(BN);
        if (n0 < end) FETCH_K(n0)
        LEFT queries[FD];
        [[unroll]] for (uint k = 0; k < FD; k++)
            [[unroll]] for (uint i = 0; i < 4; i++) {
                f16vec2 x = unpackFloat2x16(held_q[i / 2 * (D / 32) + k / 2][k % 2 * 2 + i % 2]);
                PUT_PAIR(queries[k], i * 2, x.x, x.y)
            }
        SUMS acc[FE];
        [[unroll]] for (uint i = 0; i < FE; i++) acc[i] = SUMS(0.0);
        /* Of rows g and g + 8. */
        float top[2] = float[](NONE, NONE), total[2] = float[](0.0, 0.0);
#if @{causal}
        for (;;) {
#endif
        for (; n0 < end; n0 += int(BN * KEY_TEAMS)) {
            FETCH_V(n0)
            SUMS s[FN];
            [[unroll]] for (uint j = 0; j < FN; j++) s[j] = SUMS(0.0);
            [[unroll]] for (uint k = 0; k < FD; k++)
                [[unroll]] for (uint j = 0; j < FN; j++) {
                    RIGHT b;
                    [[unroll]] for (uint i = 0; i < 4; i++) {
                        f16vec2 x = unpackFloat2x16(held_k[(j * 2 + i / 2) * (D / 32) + k / 2][k % 2 * 2 + i % 2]);
                        PUT_PAIR(b, RIGHT_AT(i % 2, i / 2), x.x, x.y)
                    }
                    s[j] = coopMatMulAdd(queries[k], b, s[j]);
                }
            if (n0 + int(BN * KEY_TEAMS) < end) FETCH_K(n0 + int(BN * KEY_TEAMS))
#if !FOLDED
            [[unroll]] for (uint j = 0; j < FN; j++)
                [[unroll]] for (int e = 0; e < 8; e++) {
                    int n = ROW_K(n0, int(j) * 16 + COLUMN(e)), m = min(m0 + g + UPPER(e) * 8, @{m} - 1);
                    float x = s[j][e];
                    @{score}
                    s[j][e] = x;
                }
#endif
            if (RAGGED != 0 && n0 + int(BN) > @{n}) {
                [[unroll]] for (uint j = 0; j < FN; j++) {
                    [[unroll]] for (int e = 0; e < 8; e++)
                        if (n0 + int(j * 16) + COLUMN(e) >= @{n}) s[j][e] = NONE;
                    [[unroll]] for (uint i = 0; i < 4; i++)
                        if (n0 + int(j * 16) + c * 2 + int(i % 2 + i / 2 * 8) >= @{n})
                            [[unroll]] for (uint h = 0; h < E / 64; h++) held_v[(j * 4 + i) * (E / 64) + h] = uvec4(0);
                }
            }
            float best[2];
            [[unroll]] for (int h = 0; h < 2; h++) {
                best[h] = NONE;
                [[unroll]] for (uint j = 0; j < FN; j++)
                    best[h] = max(best[h], max(max(s[j][h * 4], s[j][h * 4 + 1]), max(s[j][h * 4 + 2], s[j][h * 4 + 3])));
            }
            if (subgroupAny(best[0] > top[0] + SLACK || best[1] > top[1] + SLACK)) {
                float shrink[2];
                [[unroll]] for (int h = 0; h < 2; h++) {
                    float highest = max(best[h], top[h]);
                    highest = max(highest, subgroupShuffleXor(highest, 1));
                    highest = max(highest, subgroupShuffleXor(highest, 2));
                    shrink[h] = weight(top[h], reference(highest));
                    top[h] = highest;
                    total[h] *= shrink[h];
                }
                [[unroll]] for (uint j = 0; j < FE; j++)
                    [[unroll]] for (int e = 0; e < 8; e++) acc[j][e] *= shrink[UPPER(e)];
            }
            LEFT weights[FN];
            float base[2] = float[](reference(top[0]), reference(top[1]));
            [[unroll]] for (uint j = 0; j < FN; j++)
                [[unroll]] for (uint e = 0; e < 8; e += 2) {
                    vec2 w = vec2(weight(s[j][e], base[UPPER(e)]), weight(s[j][e + 1], base[UPPER(e)]));
                    total[UPPER(e)] += w.x + w.y;
                    f16vec2 narrow = f16vec2(w);
                    PUT_PAIR(weights[j], e, narrow.x, narrow.y)
                }
            [[unroll]] for (uint j = 0; j < FN; j++)
                [[unroll]] for (uint f = 0; f < FE; f++) {
                    RIGHT b;
                    [[unroll]] for (uint i = 0; i < 4; i++) {
                        uint high = i % 2, u = f % 4; /* elements 2 u and 2 u + 1 of the lane's eight: columns g and g + 8 */
                        f16vec2 x = unpackFloat2x16(held_v[(j * 4 + high * 2) * (E / 64) + f / 4][u]);
                        f16vec2 y = unpackFloat2x16(held_v[(j * 4 + high * 2 + 1) * (E / 64) + f / 4][u]);
                        if (i / 2 == 0)
                            PUT_PAIR(b, RIGHT_AT(high, 0), x.x, y.x)
                        else
                            PUT_PAIR(b, RIGHT_AT(high, 1), x.y, y.y)
                    }
                    acc[f] = coopMatMulAdd(weights[j], b, acc[f]);
                }
        }
#if @{causal}
            if (end == @{n}) break;
            bool unseen;
            if (KEY_TEAMS > 1) {
                barrier();
                [[unroll]] for (int h = 0; h < 2; h++)
                    if (top[h] > SEEN) atomicOr(sighted, 1u << (g + h * 8));
                barrier();
                unseen = sighted != 0xffffu;
            } else {
                /* of a row's four lanes one is enough */
                float high[2];
                [[unroll]] for (int h = 0; h < 2; h++) {
                    high[h] = max(top[h], subgroupShuffleXor(top[h], 1));
                    high[h] = max(high[h], subgroupShuffleXor(high[h], 2));
                }
                unseen = subgroupAny(!(high[0] > SEEN && high[1] > SEEN));
            }
            if (!unseen) break;
            from = end; /* a multiple of BN */
            n0 = from + key_team * int(BN);
            end = @{n};
            if (n0 < end) FETCH_K(n0)
        }
#endif
        /* The lanes' sums added up, and what the teams of the same queries have found. */
        float f[2];
        [[unroll]] for (int h = 0; h < 2; h++) {
            total[h] += subgroupShuffleXor(total[h], 1);
            total[h] += subgroupShuffleXor(total[h], 2);
            if (KEY_TEAMS > 1 && c == 0) stats[team * 16 + g + h * 8] = vec2(top[h], total[h]);
        }
        if (KEY_TEAMS > 1) barrier();
        [[unroll]] for (int h = 0; h < 2; h++) {
            vec2 of[KEY_TEAMS];
            int m = min(m0 + g + h * 8, @{m} - 1);
            [[unroll]] for (int k = 0; k < int(KEY_TEAMS); k++) of[k] = KEY_TEAMS == 1 ? vec2(top[h], total[h]) : stats[(row_team * int(KEY_TEAMS) + k) * 16 + g + h * 8];
            float mine = top[h], top = NONE, total = 0;
            [[unroll]] for (int k = 0; k < int(KEY_TEAMS); k++) top = max(top, of[k].x);
            float base = reference(top);
            [[unroll]] for (int k = 0; k < int(KEY_TEAMS); k++) total += of[k].y * weight(of[k].x, base);
            bool dead = @{n} == 0;
            @{dead}
            f[h] = dead ? 0.0 : weight(mine, base) / total;
        }
        [[unroll]] for (uint k = 0; k < FE; k++)
            [[unroll]] for (int e = 0; e < 8; e++) acc[k][e] = f[UPPER(e)] == 0.0 ? 0.0 : acc[k][e] * f[UPPER(e)];
        /* Strips of eight neighbours: row g + 8 (i / 2), columns from 16 c + 8 (i % 2) on. */
        if (KEY_TEAMS > 1) {
            [[unroll]] for (uint i = 0; i < E / 16; i++)
                [[unroll]] for (uint h = 0; h < 2; h++) {
                    uint r = i % 4 / 2 * 4 + i % 2, k = i / 4 * 4 + h * 2;
                    part[(uint(team) * (E / 8) + i * 2 + h) * 32 + uint(lane)] = vec4(acc[k][r], acc[k][r + 2], acc[k + 1][r], acc[k + 1][r + 2]);
                }
            barrier();
        }
        [[unroll]] for (uint turn = 0; turn < (E / 16 + KEY_TEAMS - 1) / KEY_TEAMS; turn++) {
            uint i = turn * KEY_TEAMS + uint(key_team);
            int m = m0 + g + int(i % 4 / 2 * 8), strip = int(i / 4) * 8 + c * 2 + int(i % 2);
            float sum[8];
            if (KEY_TEAMS > 1) {
                [[unroll]] for (uint j = 0; j < 8; j++) sum[j] = 0;
                [[unroll]] for (uint k = 0; k < KEY_TEAMS; k++)
                    [[unroll]] for (uint h = 0; h < 2; h++) {
                        vec4 x = part[((uint(row_team) * KEY_TEAMS + k) * (E / 8) + min(i, E / 16 - 1) * 2 + h) * 32 + uint(lane)];
                        [[unroll]] for (uint j = 0; j < 4; j++) sum[h * 4 + j] += x[j];
                    }
            } else {
                [[unroll]] for (uint j = 0; j < 8; j++) sum[j] = acc[turn / 4 * 4 + j / 2][turn % 4 / 2 * 4 + turn % 2 + j % 2 * 2];
            }
            if (i < E / 16 && m < @{m}) {
                @{strip}
            }
        }
    }
