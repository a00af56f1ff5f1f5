/* Contractions of few results on a GPU: LANES invocations share out the steps of k of each, and add up at the end. Two loads a step are no
 * more than tiles would take where there is so little to do, many are under way at a time, and the code, which takes time to load, is short. */
layout(local_size_x = 128) in;

const int LANES = 32, AHEAD = 4, EACH = 1, r = 0;
@{width}
shared float sums[128];
int z, m0;
@{rows}

//# main
    int t = int(gl_LocalInvocationID.x), lane = t % LANES;
    int result = int(gl_WorkGroupID.x + gl_WorkGroupID.y * gl_NumWorkGroups.x) * (128 / LANES) + t / LANES;
    bool exists = result < @{n} * @{m} * @{z};
    result = exists ? result : 0; /* barriers want everyone */
    int line = result / @{n}, n = result - line * @{n}, m = line % @{m};
    z = line / @{m};
    m0 = m;
    @{row}
    float sum = 0;
    for (int k0 = lane; k0 < @{k}; k0 += LANES * AHEAD) {
        float left[AHEAD], right[AHEAD];
        [[unroll]] for (int u = 0; u < AHEAD; u++) {
            int k = k0 + u * LANES;
            bool live = k < @{k};
            k = live ? k : 0;
            {
                float x = 0;
                @{b_load}
                right[u] = live ? x : 0;
            }
            @{a_slice}
            float x = 0;
            @{a_load}
            left[u] = x;
        }
        [[unroll]] for (int u = 0; u < AHEAD; u++) sum += left[u] * right[u];
    }
    sums[t] = sum;
    barrier();
    [[unroll]] for (int i = 8; i < LANES; i += 8) sum += sums[(t + i) % 128];
    barrier();
    sums[t] = sum;
    barrier();
    if (exists && lane == 0) {
        [[unroll]] for (int i = 1; i < 8; i++) sum += sums[t + i];
        const int e = 0;
        float x = sum;
        @{column_values}
        @{results}
        @{value}
        @{put}
    }
