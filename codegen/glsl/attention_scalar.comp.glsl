/* Attention on a driver that runs on the CPU.
 *
 * As in contract_scalar, a workgroup is one vector of eight lanes, and what neighbours in memory is loaded as one. It takes one query after the
 * other, and eight keys at a time. The lanes own elements of heads; the eight products of query and keys are turned round
 * between the lanes so that each then owns a key, for scores and weights. Loops end with their test. (A barrier anywhere would make lavapipe keep
 * all variables in memory: four times slower.) */
layout(constant_id = 0) const int D = 64; /* elements of a query and a key */
layout(constant_id = 1) const int E = 64; /* of a value */
layout(local_size_x = 8) in;

const int DV = (D + 7) / 8, EV = (E + 7) / 8;
uint lane;
@{neighbours}
float query(int at, int c)
{
    int k = c * 8 + int(lane);
    @{q_load}
}
float key(int at, int c)
{
    int k = c * 8 + int(lane);
    @{k_load}
}
float value(int at, int c)
{
    int k = c * 8 + int(lane);
    @{v_load}
}

//# main
    const float NONE = uintBitsToFloat(0xff800000u);
    lane = gl_SubgroupSize == 8 ? gl_SubgroupInvocationID : gl_LocalInvocationID.x;
    int group = int(gl_WorkGroupID.x + gl_WorkGroupID.y * gl_NumWorkGroups.x), row = 0;
    do {
        int number = group * @{rows} + row, z = number / @{m}, m = number - z * @{m};
        if (z < @{z}) {
            int q_base, k_base, v_base;
            @{q_base}
            @{k_base}
            @{v_base}
            float q[DV], acc[EV], top = NONE, total = 0;
            [[unroll]] for (int c = 0; c < DV; c++) q[c] = query(q_base + m * @{q_row}, c);
            [[unroll]] for (int c = 0; c < EV; c++) acc[c] = 0;
            int first = 0;
            if (@{n} > 0) do {
                int n0 = @{vectors} ? min(first, @{n} - 8) : first;
                float dots[8];
                [[unroll]] for (int j = 0; j < 8; j++) {
                    int at = k_base + min(n0 + j, @{n} - 1) * @{k_col};
                    float sum = 0;
                    [[unroll]] for (int c = 0; c < DV; c++) sum += q[c] * key(at, c);
                    dots[j] = sum;
                }
                [[unroll]] for (uint bit = 1; bit < 8; bit *= 2)
                    [[unroll]] for (uint j = 0; j < 8 / (2 * bit); j++) {
                        bool upper = (lane & bit) != 0;
                        float u = dots[j * 2], v = dots[j * 2 + 1];
                        dots[j] = (upper ? v : u) + subgroupShuffleXor(upper ? u : v, bit);
                    }
                float x = dots[0];
                int lane_number = int(lane), vector_at = n0, n = min(n0 + lane_number, @{n} - 1);
                bool live = n0 + lane_number >= first && n0 + lane_number < @{n};
                {
                    @{score}
                }
                x = live ? x : NONE;
                float best = x;
                [[unroll]] for (uint bit = 1; bit < 8; bit *= 2) best = max(best, subgroupShuffleXor(best, bit));
                float highest = max(top, best), from = highest == NONE ? 0.0 : highest; /* nothing attended to yet: nothing to scale */
                float shrink = op_exp(top - from), w = op_exp(x - from);
                top = highest;
                total = total * shrink + w;
                [[unroll]] for (int c = 0; c < EV; c++) acc[c] *= shrink;
                [[unroll]] for (int j = 0; j < 8; j++) {
                    int at = v_base + min(n0 + j, @{n} - 1) * @{v_row};
                    float y = subgroupShuffle(w, j);
                    [[unroll]] for (int c = 0; c < EV; c++) acc[c] += y * value(at, c);
                }
            } while ((first += 8) < @{n});
            [[unroll]] for (uint bit = 1; bit < 8; bit *= 2) total += subgroupShuffleXor(total, bit);
            bool dead = @{n} == 0;
            @{dead}
            [[unroll]] for (int c = 0; c < EV; c++) {
                int e = c * 8 + int(lane);
                if (e < E) {
                    float x = dead ? 0.0 : acc[c] / total;
                    @{store}
                }
            }
        }
    } while (++row < @{rows});
