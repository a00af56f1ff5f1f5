/* Depthwise convolutions of f16, channels last, on a GPU: sums of f32 for a vector of eight neighbouring channels.
 *
 * An invocation computes PIXELS neighbours along the last spatial axis, which share what they load of the rows they see, and the weights. */
layout(constant_id = 0) const uint PIXELS = 1;
layout(constant_id = 1) const uint ROWS = 3; /* the window */
layout(constant_id = 2) const uint COLUMNS = 3;
layout(constant_id = 3) const uint STEP = 1; /* along the last axis */
layout(local_size_x = 128) in;

const int EACH = int(PIXELS), SPAN = (EACH - 1) * int(STEP) + int(COLUMNS);
@{width}
layout(buffer_reference, std430, buffer_reference_align = 16) readonly buffer Vectors { uvec4 d[]; };

//# main
    int item = int((gl_WorkGroupID.x + gl_WorkGroupID.y * gl_NumWorkGroups.x) * 128u + gl_LocalInvocationID.x);
    if (item >= @{items}) return;
    @{place}
    float sum[EACH][WIDTH];
    [[unroll]] for (int e = 0; e < EACH; e++)
        [[unroll]] for (int j = 0; j < WIDTH; j++) sum[e][j] = 0;
    [[unroll]] for (int r = 0; r < int(ROWS); r++) {
        bool inside = uint(top + r) < uint(@{rows});
        int row = a_at + (inside ? top + r : 0) * @{a_row};
        uvec4 pixel[SPAN], weight[COLUMNS];
        [[unroll]] for (int i = 0; i < SPAN; i++) {
            bool live = inside && uint(left + i) < uint(@{columns});
            pixel[i] = Vectors(@{a}).d[(row + (live ? left + i : 0) * @{a_column}) >> 3];
            pixel[i] = live ? pixel[i] : uvec4(0);
        }
        [[unroll]] for (int i = 0; i < int(COLUMNS); i++) weight[i] = Vectors(@{b}).d[(b_at + r * @{b_row} + i * @{b_column}) >> 3];
        [[unroll]] for (int q = 0; q < 4; q++) {
            vec2 p[SPAN], w[COLUMNS];
            [[unroll]] for (int i = 0; i < SPAN; i++) p[i] = unpackHalf2x16(pixel[i][q]);
            [[unroll]] for (int i = 0; i < int(COLUMNS); i++) w[i] = unpackHalf2x16(weight[i][q]);
            [[unroll]] for (int e = 0; e < EACH; e++)
                [[unroll]] for (int i = 0; i < int(COLUMNS); i++) {
                    sum[e][2 * q] += p[e * int(STEP) + i].x * w[i].x;
                    sum[e][2 * q + 1] += p[e * int(STEP) + i].y * w[i].y;
                }
        }
    }
    const int z = 0;
    @{results}
    @{column_values}
    [[unroll]] for (int e = 0; e < EACH; e++) {
        int m = m_first + min(e, m_last), n = strip * WIDTH;
        @{value}
    }
    [[unroll]] for (int e = 0; e < EACH; e++) {
        int m = m_first + e, n = strip * WIDTH;
        if (e <= m_last) {
            @{put}
        }
    }
