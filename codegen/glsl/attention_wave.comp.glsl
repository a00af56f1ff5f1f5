/* Attention wherever nothing better applies: needs nothing beyond the Vulkan 1.3 minimum.
 *
 * A workgroup of 8 by 8 invocations has 32 queries of one batch, and walks over the keys in blocks of 32. An invocation keeps the scores
 * of 4 queries and 4 keys; their weights meet in shared memory and are multiplied with slices of 32 elements of the values. What
 * is said of queries stands in vectors of four: an invocation's four rows. See codegen/attention.h. */
layout(constant_id = 0) const int D = 64; /* elements of a query and a key */
layout(constant_id = 1) const int E = 64; /* of a value */
layout(local_size_x = 64) in;

const int BM = 32, BN = 32, BK = 16;
const int SLICES = (E + 31) / 32;
const int STRIDE = 9; /* vectors to a step: odd, so that columns fall into different banks */
shared vec4 tile_a[BK * STRIDE];  /* queries: rows in vectors, by element */
shared vec4 tile_b[BN * STRIDE];  /* keys in vectors, by element; elements of values in vectors, by key */
shared vec4 weights[BN * STRIDE]; /* rows in vectors, by key */
shared vec4 rows[64];

/* The largest, or the sum, of what the 8 invocations of the same rows have. */
vec4 meet(vec4 x, int t, bool sum)
{
    barrier();
    rows[t] = x;
    barrier();
    vec4 r = rows[t / 8 * 8];
    [[unroll]] for (int i = 1; i < 8; i++) {
        vec4 y = rows[t / 8 * 8 + i];
        r = sum ? r + y : max(r, y);
    }
    return r;
}
vec4 exp4(vec4 x)
{
    return vec4(op_exp(x.x), op_exp(x.y), op_exp(x.z), op_exp(x.w));
}

//# main
    const float NONE = uintBitsToFloat(0xff800000u);
    int t = int(gl_LocalInvocationID.x), ty = t / 8, tx = t % 8;
    int group = int(gl_WorkGroupID.x + gl_WorkGroupID.y * gl_NumWorkGroups.x);
    int tiles = (@{m} + BM - 1) / BM, z = group / tiles, m0 = (group - z * tiles) * BM;
    if (z < @{z}) {
        int q_base, k_base, v_base;
        @{q_base}
        @{k_base}
        @{v_base}
        vec4 top = vec4(NONE), total = vec4(0);
        vec4 acc[SLICES * 4];
        [[unroll]] for (int i = 0; i < SLICES * 4; i++) acc[i] = vec4(0);
        for (int n0 = 0; n0 < @{n}; n0 += BN) {
            vec4 c[4] = vec4[](vec4(0), vec4(0), vec4(0), vec4(0)); /* by query */
            for (int k0 = 0; k0 < D; k0 += BK) {
                barrier();
                [[unroll]] for (int i = 0; i < 8; i++) {
                    int r = t / BK + i * 4, k = t % BK;
                    float x = 0;
                    if (m0 + r < @{m} && k0 + k < D) {
                        int at = q_base + (m0 + r) * @{q_row} + (k0 + k) * @{q_col};
                        x = @{q};
                    }
                    tile_a[k * STRIDE + r / 4][r % 4] = x;
                }
                [[unroll]] for (int i = 0; i < 8; i++) {
                    int r = @{k_across} ? t % BN : t / BK + i * 4, k = @{k_across} ? t / BN + i * 2 : t % BK;
                    float x = 0;
                    if (n0 + r < @{n} && k0 + k < D) {
                        int at = k_base + (n0 + r) * @{k_col} + (k0 + k) * @{k_row};
                        x = @{k};
                    }
                    tile_b[k * STRIDE + r / 4][r % 4] = x;
                }
                barrier();
                [[unroll]] for (int kk = 0; kk < BK; kk++) {
                    vec4 b = tile_b[kk * STRIDE + tx], a = tile_a[kk * STRIDE + ty];
                    [[unroll]] for (int i = 0; i < 4; i++) c[i] += a[i] * b;
                }
            }
            /* As columns of four queries each. */
            vec4 s[4], block = vec4(NONE);
            [[unroll]] for (int j = 0; j < 4; j++) {
                s[j] = vec4(NONE);
                int n = n0 + tx * 4 + j;
                if (n < @{n}) {
                    [[unroll]] for (int i = 0; i < 4; i++) {
                        int m = min(m0 + ty * 4 + i, @{m} - 1);
                        float x = c[i][j];
                        @{score}
                        s[j][i] = x;
                    }
                }
                block = max(block, s[j]);
            }
            vec4 highest = max(top, meet(block, t, false));
            vec4 from = mix(highest, vec4(0), equal(highest, vec4(NONE))); /* nothing attended to yet: nothing to scale */
            vec4 shrink = exp4(top - from);
            top = highest;
            total *= shrink;
            [[unroll]] for (int j = 0; j < 4; j++) {
                vec4 w = exp4(s[j] - from);
                total += w;
                weights[(tx * 4 + j) * STRIDE + ty] = w;
            }
            [[unroll]] for (int slice = 0; slice < SLICES; slice++) {
                barrier();
                [[unroll]] for (int i = 0; i < 16; i++) {
                    int n = n0 + t / 32 + i * 2, e = slice * 32 + t % 32;
                    float x = 0;
                    if (n < @{n} && e < E) {
                        int at = v_base + n * @{v_row} + e * @{v_col};
                        x = @{v};
                    }
                    tile_b[(t / 32 + i * 2) * STRIDE + t % 32 / 4][t % 4] = x;
                }
                barrier();
                [[unroll]] for (int i = 0; i < 4; i++) acc[slice * 4 + i] *= shrink[i];
                [[unroll]] for (int n = 0; n < BN; n++) {
                    vec4 b = tile_b[n * STRIDE + tx], a = weights[n * STRIDE + ty];
                    [[unroll]] for (int i = 0; i < 4; i++) acc[slice * 4 + i] += a[i] * b;
                }
            }
        }
        total = meet(total, t, true);
        vec4 tops = top, totals = total;
        [[unroll]] for (int i = 0; i < 4; i++) {
            int m = min(m0 + ty * 4 + i, @{m} - 1);
            float top = tops[i], total = totals[i];
            bool dead = @{n} == 0;
            @{dead}
            [[unroll]] for (int slice = 0; slice < SLICES; slice++)
                [[unroll]] for (int j = 0; j < 4; j++) {
                    int e = slice * 32 + tx * 4 + j;
                    float x = dead ? 0.0 : acc[slice * 4 + i][j] / total;
                    if (m0 + ty * 4 + i < @{m} && e < E) {
                        @{store}
                    }
                }
        }
    }
