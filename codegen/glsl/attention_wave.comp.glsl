/* Attention without matrix units, within what Vulkan 1.3 guarantees (16 KiB of shared memory, 128 invocations).
 *
 * A workgroup of 8 by 16 invocations has 32 queries of one batch, and walks over the keys in blocks of 64. An invocation keeps the scores
 * of 4 queries and 4 keys; their weights meet in shared memory and are multiplied with slabs of 64 elements of the values. Operands
 * come in chunks of 16: elements of queries and keys; values. Four chunks are under way into registers, so that one is fetched while the
 * four before it are worked on. What is said of queries stands in vectors of four: an invocation's four rows. See codegen/attention.h. */
layout(constant_id = 0) const int D = 64; /* elements of a query and a key */
layout(constant_id = 1) const int E = 64; /* of a value */
layout(local_size_x = 128) in;

const int BM = 32, BN = 64, BK = 16;
const int CHUNKS = (D + BK - 1) / BK, SLABS_D = (CHUNKS + 3) / 4, SLABS_E = (E + 63) / 64;
const int STRIDE_A = BM / 4 + 1, STRIDE_B = BN / 4 + 1; /* vectors to a step: odd, so that columns fall into different banks */
shared vec4 tile_a[BK * STRIDE_A];   /* queries: rows in vectors, by element */
shared vec4 tile_b[BK * STRIDE_B];   /* keys in vectors, by element; elements of values in vectors, by key */
shared vec4 weights[BN * STRIDE_A];  /* rows in vectors, by key */
shared uint blind;
layout(buffer_reference, std430, buffer_reference_align = 16) readonly buffer Floats { vec4 d[]; };
layout(buffer_reference, std430, buffer_reference_align = 8) readonly buffer Halves { uvec2 d[]; };
@{query}
@{key}
@{value}
/* The largest, or the sum, of what the 16 invocations of the same rows have. */
vec4 meet(vec4 x, int t, bool sum)
{
    barrier();
    tile_a[t] = x;
    barrier();
    vec4 r = tile_a[t / 16 * 16];
    [[unroll]] for (int i = 1; i < 16; i++) {
        vec4 y = tile_a[t / 16 * 16 + i];
        r = sum ? r + y : max(r, y);
    }
    return r;
}
vec4 exp4(vec4 x)
{
    return vec4(op_exp(x.x), op_exp(x.y), op_exp(x.z), op_exp(x.w));
}
/* Chunk c of the keys from n on, and of 16 values from n on, elements from e: into registers i and i + 1. */
#define FETCH_K(c, i, n) \
    ahead[i] = key(k_base, (n) + (@{k_across} ? t % 16 * 4 : t / 4), (c) * BK + (@{k_across} ? t / 16 : t % 4 * 4)); \
    ahead[i + 1] = key(k_base, (n) + (@{k_across} ? t % 16 * 4 : t / 4 + 32), (c) * BK + (@{k_across} ? t / 16 + 8 : t % 4 * 4));
#define FETCH_V(e, i, n) \
    ahead[i] = (n) + t / 16 < @{n} ? value(v_base, (n) + t / 16, (e) + t % 16 * 4) : vec4(0); \
    ahead[i + 1] = (n) + t / 16 + 8 < @{n} ? value(v_base, (n) + t / 16 + 8, (e) + t % 16 * 4) : vec4(0);

//# main
    const float NONE = uintBitsToFloat(0xff800000u);
    int t = int(gl_LocalInvocationID.x), ty = t / 16, tx = t % 16;
    int group = int(gl_WorkGroupID.x + gl_WorkGroupID.y * gl_NumWorkGroups.x);
    int tiles = (@{m} + BM - 1) / BM, z = group / tiles, m0 = (group - z * tiles) * BM;
    if (z < @{z}) {
        int q_base, k_base, v_base;
        @{q_base}
        @{k_base}
        @{v_base}
        vec4 top = vec4(NONE), total = vec4(0);
        vec4 acc[SLABS_E * 4], held[CHUNKS], ahead[8];
        [[unroll]] for (int i = 0; i < SLABS_E * 4; i++) acc[i] = vec4(0);
        [[unroll]] for (int i = 0; i < CHUNKS; i++) held[i] = query(q_base, m0 + t / 4, i * BK + t % 4 * 4);
        if (@{n} > 0)
            [[unroll]] for (int i = 0; i < 4; i++)
                if (i < CHUNKS) {
                    FETCH_K(i, i * 2, 0)
                }
        int from = 0, end = @{n};
#if @{causal}
        /* The keys that these queries may see; and if one sees none of them, the others too, as it weighs all the same. */
        end = min((max(m0 + BM + @{ahead}, 0) + BN - 1) / BN * BN, end);
        for (;;) {
#endif
        for (int n0 = from; n0 < end; n0 += BN) {
            vec4 c[4] = vec4[](vec4(0), vec4(0), vec4(0), vec4(0)); /* by query */
            [[unroll]] for (int i = 0; i < SLABS_D * 4; i++) {
                int at = i % 4 * 2;
                if (i < CHUNKS) {
                    barrier();
                    [[unroll]] for (int j = 0; j < 4; j++) tile_a[(t % 4 * 4 + j) * STRIDE_A + t / 16][t / 4 % 4] = held[i][j];
                    if (@{k_across}) {
                        [[unroll]] for (int h = 0; h < 2; h++) tile_b[(t / 16 + h * 8) * STRIDE_B + t % 16] = ahead[at + h];
                    } else {
                        [[unroll]] for (int h = 0; h < 2; h++)
                            [[unroll]] for (int j = 0; j < 4; j++)
                                tile_b[(t % 4 * 4 + j) * STRIDE_B + t / 16 + h * 8][t / 4 % 4] = ahead[at + h][j];
                    }
                }
                if (i + 4 >= SLABS_D * 4) {
                    FETCH_V(0, at, n0 + i % 4 * 16)
                } else if (i + 4 < CHUNKS) {
                    FETCH_K(i + 4, at, n0)
                }
                if (i < CHUNKS) {
                    barrier();
                    [[unroll]] for (int k = 0; k < BK; k++) {
                        vec4 b = tile_b[k * STRIDE_B + tx], a = tile_a[k * STRIDE_A + ty];
                        [[unroll]] for (int j = 0; j < 4; j++) c[j] += a[j] * b;
                    }
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
            vec4 base = mix(highest, vec4(0), equal(highest, vec4(NONE))); /* nothing attended to yet: nothing to scale */
            vec4 shrink = exp4(top - base);
            top = highest;
            total *= shrink;
            [[unroll]] for (int j = 0; j < 4; j++) {
                vec4 w = exp4(s[j] - base);
                total += w;
                weights[(tx * 4 + j) * STRIDE_A + ty] = w;
            }
            [[unroll]] for (int i = 0; i < SLABS_E * 4; i++) acc[i] *= shrink[i % 4];
            [[unroll]] for (int slab = 0; slab < SLABS_E; slab++)
                [[unroll]] for (int i = 0; i < 4; i++) {
                    barrier();
                    [[unroll]] for (int h = 0; h < 2; h++) tile_b[(t / 16 + h * 8) * STRIDE_B + t % 16] = ahead[i * 2 + h];
                    if (slab + 1 < SLABS_E) {
                        FETCH_V((slab + 1) * 64, i * 2, n0 + i * 16)
                    } else if (i < CHUNKS) {
                        FETCH_K(i, i * 2, n0 + BN)
                    }
                    barrier();
                    [[unroll]] for (int k = 0; k < BK; k++) {
                        vec4 b = tile_b[k * STRIDE_B + tx], a = weights[(i * BK + k) * STRIDE_A + ty];
                        [[unroll]] for (int j = 0; j < 4; j++) acc[slab * 4 + j] += a[j] * b;
                    }
                }
        }
#if @{causal}
            if (end == @{n}) break;
            if (t == 0) blind = 0;
            barrier();
            if (any(lessThan(top, vec4(-3e4)))) blind = 1;
            barrier();
            if (blind == 0) break;
            from = end;
            end = @{n};
        }
#endif
        total = meet(total, t, true);
        vec4 tops = top, totals = total;
        [[unroll]] for (int i = 0; i < 4; i++) {
            int m = min(m0 + ty * 4 + i, @{m} - 1);
            float top = tops[i], total = totals[i];
            bool dead = @{n} == 0;
            @{dead}
            [[unroll]] for (int slab = 0; slab < SLABS_E; slab++)
                [[unroll]] for (int j = 0; j < 4; j++) {
                    int e = slab * 64 + tx * 4 + j;
                    float x = dead ? 0.0 : acc[slab * 4 + i][j] / total;
                    if (m0 + ty * 4 + i < @{m} && e < E) {
                        @{store}
                    }
                }
        }
    }
