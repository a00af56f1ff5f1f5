/* Depthwise convolutions, in f16, of what a product of matrices gives, which gets no memory.
 *
 * A workgroup computes BAND rows of an image of the result, in CHANNELS channels. First it multiplies all pixels that these see with
 * CHANNELS columns of the matrix, and leaves what becomes of the sums in shared memory, vectors of eight channels; then it convolves
 * them. Each subgroup takes MAT pixels at a time, whose vectors pass through shared memory of its own: loaded from memory as matrices they
 * would come element by element. Pixels of the last tile may be computed twice, so that nothing has to be tested. What is the same for all
 * pixels, biases and the window's weights, is loaded at the beginning, while the pixels are under way. */
layout(constant_id = 0) const uint GROUP = 256;
layout(constant_id = 1) const uint MAT = 16; /* of the device's matrices; see Pipeline in plan.proto */
layout(constant_id = 2) const uint LANES = 32;
layout(constant_id = 3) const int CHANNELS = 16;
layout(constant_id = 4) const int BAND = 1;
layout(constant_id = 5) const int INNER = 16;  /* channels of A */
layout(constant_id = 6) const int ALL = 16;    /* columns of the matrix */
layout(constant_id = 7) const int HIGH = 16;   /* of A's images */
layout(constant_id = 8) const int WIDE = 16;
layout(constant_id = 9) const int OUT_HIGH = 16;
layout(constant_id = 10) const int OUT_WIDE = 16;
layout(constant_id = 11) const int ROWS = 3; /* the window */
layout(constant_id = 12) const int COLUMNS = 3;
layout(constant_id = 13) const int STEP_Y = 1;
layout(constant_id = 14) const int STEP_X = 1;
layout(constant_id = 15) const int TOP = 1; /* rows of zeros before */
layout(constant_id = 16) const int LEFT = 1;
layout(constant_id = 17) const int A_BASE = 0; /* in memory: A's images and pixels, */
layout(constant_id = 18) const int A_IMAGE = 0;
layout(constant_id = 19) const int A_PIXEL = 0;
layout(constant_id = 20) const int B_BASE = 0; /* the matrix, */
layout(constant_id = 21) const int B_ROW = 0;
layout(constant_id = 22) const int W_BASE = 0; /* the window's weights */
layout(constant_id = 23) const int W_ROW = 0;
layout(constant_id = 24) const int W_COLUMN = 0;
layout(local_size_x_id = 0) in;

const int VECTORS = CHANNELS / 8, BANDS = (OUT_HIGH + BAND - 1) / BAND, SLICES = ALL / CHANNELS;
const int MOST_ROWS = (BAND - 1) * STEP_Y + ROWS, PIXELS = (MOST_ROWS < HIGH ? MOST_ROWS : HIGH) * WIDE;
/* From one vector of channels to the next, so that those that neighbours load, and pixels STEP_X apart, lie in other banks. */
const int BESIDE = STEP_X % 2 == 0 ? 1 : 8 / VECTORS, APART = PIXELS + (8 + BESIDE - PIXELS % 8) % 8;
const int EACH = 1;
@{widths}
shared uvec4 hidden[VECTORS * APART];
layout(buffer_reference, std430, buffer_reference_align = 16) readonly buffer Vectors { uvec4 d[]; };
/* Of k; so many pass through shared memory at a time, if possible no more than there are. */
const int STEPS = (INNER + int(MAT) - 1) / int(MAT);
const int CHUNK = STEPS <= 5 ? STEPS : STEPS % 5 == 0 ? 5 : STEPS % 4 == 0 ? 4 : STEPS % 3 == 0 ? 3 : 4;
const int ACROSS = CHUNK * int(MAT) / 8, STRIDE_A = ACROSS + 1, STRIDE_B = VECTORS + 1, STRIDE_C = CHANNELS / 4 + 1; /* vectors */
const int LOADS = (int(MAT) * ACROSS + int(LANES) - 1) / int(LANES), ROUND = int(GROUP / LANES * MAT);
const int ALL_B = STEPS * int(MAT) * VECTORS, LOADS_B = (ALL_B + int(GROUP) - 1) / int(GROUP);
const int STRIDE = STRIDE_A > STRIDE_C ? STRIDE_A : STRIDE_C, SIZE = int(MAT) * STRIDE;
shared uvec4 columns[STEPS * int(MAT) * STRIDE_B];
shared uvec4 own[int(GROUP / LANES) * SIZE]; /* each subgroup's: pixels, then sums */
uvec4 next[LOADS];
int lane;

/* Vectors of the pixels from `at` on, beginning with step k. */
void fetch(int at, int k)
{
    [[unroll]] for (int e = 0; e < LOADS; e++) {
        uint i = min(uint(lane) + e * LANES, MAT * ACROSS - 1);
        int inner = k + int(i % ACROSS) * 8;
        uvec4 x = Vectors(@{a}).d[uint(at + int(i / ACROSS) * A_PIXEL + min(inner, INNER - 8)) / 8];
        next[e] = inner < INNER ? x : uvec4(0);
    }
}

/* Into shared memory of the subgroup. */
void put(int mine)
{
    [[unroll]] for (int e = 0; e < LOADS; e++) {
        uint i = min(uint(lane) + e * LANES, MAT * ACROSS - 1);
        own[mine + i / ACROSS * STRIDE_A + i % ACROSS] = next[e];
    }
}

//# main
    int t = int(gl_LocalInvocationID.x);
    uint whole = gl_WorkGroupID.x + gl_WorkGroupID.y * gl_NumWorkGroups.x, rest = whole / SLICES;
    int slice = int(whole % SLICES), band = int(rest % BANDS), image = int(rest / BANDS);
    if (image < @{images}) {
        int row0 = band * BAND, high = min(BAND, OUT_HIGH - row0), first = max(row0 * STEP_Y - TOP, 0);
        int pixels = (min((row0 + BAND - 1) * STEP_Y - TOP + ROWS, HIGH) - first) * WIDE;
        int a_at = A_BASE + image * A_IMAGE + first * WIDE * A_PIXEL, b_at = B_BASE + slice * CHANNELS;
        lane = int(gl_SubgroupInvocationID);
        int team = int(gl_SubgroupID), mine = team * SIZE, last = pixels - int(MAT);
        fetch(a_at + min(team * int(MAT), last) * A_PIXEL, 0);
        uvec4 b_next[LOADS_B];
        [[unroll]] for (int e = 0; e < LOADS_B; e++) {
            uint i = min(uint(t) + e * GROUP, ALL_B - 1);
            int k = int(i / VECTORS);
            b_next[e] = Vectors(@{b}).d[uint(b_at + min(k, INNER - 1) * B_ROW) / 8 + i % VECTORS];
        }
        int own_h = int(uint(lane) % VECTORS), hidden_strip = slice * VECTORS + own_h;
        @{expanded_columns}
        int h = int(uint(t) % VECTORS), strip = slice * VECTORS + h;
        const int z = 0;
        @{results}
        @{column_values}
        uvec4 weight[ROWS * COLUMNS];
        [[unroll]] for (int r = 0; r < ROWS; r++)
            [[unroll]] for (int i = 0; i < COLUMNS; i++)
                weight[r * COLUMNS + i] = Vectors(@{w}).d[uint(W_BASE + strip * 8 + r * W_ROW + i * W_COLUMN) / 8];
        /* Stored before the barrier, so that it is loaded before it, both at a time. */
        put(mine);
        [[unroll]] for (int e = 0; e < LOADS_B; e++) {
            uint i = min(uint(t) + e * GROUP, ALL_B - 1);
            int k = int(i / VECTORS);
            columns[k * STRIDE_B + i % VECTORS] = k < INNER ? b_next[e] : uvec4(0);
        }
        barrier();
        for (int done = 0; done < pixels; done += ROUND) {
            int pixel = min(done + team * int(MAT), last), after = min(done + ROUND + team * int(MAT), last);
            coopmat<float, gl_ScopeSubgroup, MAT, MAT, gl_MatrixUseAccumulator> acc[CHANNELS / MAT];
            [[unroll]] for (int j = 0; j < CHANNELS / int(MAT); j++)
                acc[j] = coopmat<float, gl_ScopeSubgroup, MAT, MAT, gl_MatrixUseAccumulator>(0.0);
            for (int s0 = 0; s0 < STEPS; s0 += CHUNK) {
                if (s0 + done > 0) {
                    put(mine);
                    subgroupMemoryBarrierShared();
                    subgroupBarrier();
                }
                /* What comes next is under way meanwhile. */
                bool more = s0 + CHUNK < STEPS;
                if (more || done + ROUND < pixels) fetch(a_at + (more ? pixel : after) * A_PIXEL, more ? (s0 + CHUNK) * int(MAT) : 0);
                [[unroll]] for (int s = 0; s < CHUNK; s++)
                    if (STEPS % CHUNK == 0 || s0 + s < STEPS) {
                        coopmat<float16_t, gl_ScopeSubgroup, MAT, MAT, gl_MatrixUseA> rows;
                        coopMatLoad(rows, own, mine + s * int(MAT) / 8, STRIDE_A, gl_CooperativeMatrixLayoutRowMajor);
                        [[unroll]] for (int j = 0; j < CHANNELS / int(MAT); j++) {
                            coopmat<float16_t, gl_ScopeSubgroup, MAT, MAT, gl_MatrixUseB> some;
                            coopMatLoad(some, columns, (s0 + s) * int(MAT) * STRIDE_B + j * int(MAT) / 8, STRIDE_B,
                                        gl_CooperativeMatrixLayoutRowMajor);
                            acc[j] = coopMatMulAdd(rows, some, acc[j]);
                        }
                    }
                subgroupMemoryBarrierShared();
                subgroupBarrier();
            }
            [[unroll]] for (int j = 0; j < CHANNELS / int(MAT); j++)
                coopMatStore(acc[j], own, mine + j * int(MAT) / 4, STRIDE_C, gl_CooperativeMatrixLayoutRowMajor);
            subgroupMemoryBarrierShared();
            subgroupBarrier();
            for (int p = int(uint(lane) / VECTORS); p < int(MAT); p += int(LANES) / VECTORS) {
                float sum[8];
                [[unroll]] for (int j = 0; j < 8; j++) sum[j] = uintBitsToFloat(own[mine + p * STRIDE_C + own_h * 2 + j / 4][j % 4]);
                uvec4 x;
                @{expanded}
                hidden[own_h * APART + pixel + p] = x;
            }
            subgroupMemoryBarrierShared();
            subgroupBarrier();
        }
        barrier();
        for (int place = int(uint(t) / VECTORS); place < high * OUT_WIDE; place += int(GROUP) / VECTORS) {
            int y = int(uint(place) / OUT_WIDE), x = place - y * OUT_WIDE, top = (row0 + y) * STEP_Y - TOP, left = x * STEP_X - LEFT;
            float sum[1][8];
            [[unroll]] for (int j = 0; j < 8; j++) sum[0][j] = 0;
            [[unroll]] for (int r = 0; r < ROWS; r++)
                [[unroll]] for (int i = 0; i < COLUMNS; i++) {
                    bool live = uint(top + r) < uint(HIGH) && uint(left + i) < uint(WIDE);
                    uvec4 some = hidden[h * APART + (live ? (top + r - first) * WIDE + left + i : 0)];
                    uvec4 by = weight[r * COLUMNS + i];
                    [[unroll]] for (int q = 0; q < 4; q++) {
                        vec2 p = unpackHalf2x16(live ? some[q] : 0u), w = unpackHalf2x16(by[q]);
                        sum[0][2 * q] += p.x * w.x;
                        sum[0][2 * q + 1] += p.y * w.y;
                    }
                }
            const int e = 0;
            int m = (image * OUT_HIGH + row0 + y) * OUT_WIDE + x, n = strip * 8;
            {
                @{value}
            }
            {
                @{put}
            }
        }
    }
