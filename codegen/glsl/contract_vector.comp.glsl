/* A few rows times a matrix whose rows lie whole in memory, on a GPU: reading the matrix is all there is to do, once, and by everybody at a time.
 *
 * A workgroup computes COLUMNS neighbouring columns of up to ROWS rows. Invocations that stand side by side load the vectors of a step of k;
 * the teams of them take the steps in turn, and their sums meet in shared memory. */
layout(constant_id = 0) const uint ROWS = 1;
layout(local_size_x = 256) in;

const int WIDTH_B = @{b_width}, COLUMNS = 16, SIDE = COLUMNS / WIDTH_B, TEAMS = 256 / SIDE;
const int AHEAD = 8;  /* steps whose loads are under way at a time */
const int PIECES = 256 / COLUMNS / int(ROWS); /* of the teams, whose sums are added up at a time */
const int EACH = 1;
@{width}
shared float sums[TEAMS * int(ROWS) * COLUMNS];
layout(buffer_reference, std430, buffer_reference_align = 16) readonly buffer Vectors { uvec4 d[]; };
layout(buffer_reference, std430, buffer_reference_align = 16) readonly buffer Floats { vec4 d[]; };
int z, m0; /* the batch; the first row */
@{rows}

//# main
    int t = int(gl_LocalInvocationID.x), groups = (@{n} + COLUMNS - 1) / COLUMNS;
    int number = int(gl_WorkGroupID.x + gl_WorkGroupID.y * gl_NumWorkGroups.x);
    z = number / groups;
    int n0 = (number - z * groups) * COLUMNS;
    m0 = 0;
    if (z < @{z}) {
        [[unroll]] for (int e = 0; e < int(ROWS); e++) {
            int m = min(e, @{m} - 1);
            @{row}
        }
        float acc[ROWS * WIDTH_B];
        [[unroll]] for (uint i = 0; i < ROWS * WIDTH_B; i++) acc[i] = 0;
        int n = n0 + t % SIDE * WIDTH_B;
        bool inside = n < @{n};
        n = inside ? n : 0;
        for (int k0 = t / SIDE; k0 < @{k}; k0 += TEAMS * AHEAD) {
            float left[AHEAD * ROWS];
            @{b_vector} right[AHEAD];
            [[unroll]] for (int u = 0; u < AHEAD; u++) {
                int k = k0 + u * TEAMS;
                bool live = k < @{k};
                k = live ? k : 0;
                {
                    @{b_vector} x;
                    @{b_load}
                    right[u] = live ? x : @{b_vector}(0);
                }
                @{a_slice}
                [[unroll]] for (int e = 0; e < int(ROWS); e++) {
                    int r = e;
                    float x = 0;
                    @{a_load}
                    left[u * int(ROWS) + e] = x;
                }
            }
            [[unroll]] for (int u = 0; u < AHEAD; u++) {
#if @{b_width} == 8
                vec2 q[4] = vec2[](unpackHalf2x16(right[u].x), unpackHalf2x16(right[u].y), unpackHalf2x16(right[u].z), unpackHalf2x16(right[u].w));
                [[unroll]] for (int r = 0; r < int(ROWS); r++)
                    [[unroll]] for (int j = 0; j < 8; j++) acc[r * 8 + j] += left[u * int(ROWS) + r] * q[j / 2][j % 2];
#else
                [[unroll]] for (int r = 0; r < int(ROWS); r++)
                    [[unroll]] for (int j = 0; j < 4; j++) acc[r * 4 + j] += left[u * int(ROWS) + r] * right[u][j];
#endif
            }
        }
        [[unroll]] for (int r = 0; r < int(ROWS); r++)
            [[unroll]] for (int j = 0; j < WIDTH_B; j++) sums[(t / SIDE * int(ROWS) + r) * COLUMNS + t % SIDE * WIDTH_B + j] = acc[r * WIDTH_B + j];
        barrier();
        /* An element of the result, and every PIECES-th team. */
        int element = t % (int(ROWS) * COLUMNS);
        float x = 0;
        [[unroll]] for (int i = 0; i < TEAMS / PIECES; i++) x += sums[(t / (int(ROWS) * COLUMNS) + i * PIECES) * int(ROWS) * COLUMNS + element];
        barrier();
        sums[t] = x;
        barrier();
        int m = element / COLUMNS;
        n = n0 + element % COLUMNS;
        if (t < int(ROWS) * COLUMNS && m < @{m} && n < @{n}) {
            x = 0;
            [[unroll]] for (int i = 0; i < PIECES; i++) x += sums[i * int(ROWS) * COLUMNS + element];
            const int e = 0;
            @{column_values}
            @{results}
            @{value}
            @{put}
        }
    }
