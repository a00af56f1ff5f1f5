/* Matrix products and convolutions in f32 on a GPU, where there are tiles enough to fill it.
 *
 * A workgroup computes a tile of 64 rows by as many columns as it has invocations (64 or 128); each invocation owns 8 x 8 sums. Slices of
 * 16 steps of k pass through shared memory, where every step is a row, so that what an invocation multiplies are vectors along the tile's edges.
 * While a slice is worked on, the next one is under way into registers. */
layout(constant_id = 0) const uint GROUP = 128;
layout(local_size_x_id = 0) in;

const bool WHOLE = @{whole};
const int TEAM = int(GROUP), BM = 64, BN = TEAM, BK = 16, VECTORS = BK / 4;
const int BAND = 8;
const int WIDE = BN / 8;                               /* invocations side by side */
const int STRIDE_A = BM / 4 + 1, STRIDE_B = BN / 4 + 1; /* vectors to a step of k: odd, so that columns fall into different banks */
const int EACH = 16;                                   /* rows of the result that pass through shared memory at a time */
const int AT_B = BK * STRIDE_A;                        /* where B's slice begins, behind A's */
shared vec4 pool[BK * (STRIDE_A + STRIDE_B)];
#define K_END @{k}
@{slices}

/* Sums leave by way of the same memory. Stored as vectors they would have to stand in neighbouring registers, and the driver's compiler moves
 * them there once a slice: those of products are single numbers, the components of a row's vectors in planes. Invocations that stand together
 * store to different banks, and load from different ones. */
const bool PLANES = @{conv} == 0;
const int PLANE = BN / 4 + 8, PITCH = PLANES ? 4 * PLANE + 4 : BN;
void put_sum(int row, int vector, vec4 x)
{
    if (PLANES)
        [[unroll]] for (int c = 0; c < 4; c++) {
            int at = row * PITCH + c * PLANE + vector;
            pool[at / 4][at % 4] = x[c];
        }
    else
        pool[row * (BN / 4) + vector] = x;
}

float get_sum(int row, int column)
{
    int at = row * PITCH + (PLANES ? column % 4 * PLANE + column / 4 : column);
    return pool[at / 4][at % 4];
}
//# main
    t = int(gl_LocalInvocationID.x);
    int row_tiles = (@{m} + BM - 1) / BM, column_tiles = (@{n} + BN - 1) / BN;
    int number = int(gl_WorkGroupID.x + gl_WorkGroupID.y * gl_NumWorkGroups.x);
    z = number / (row_tiles * column_tiles);
    int tile = number - z * row_tiles * column_tiles;
    if (z < @{z}) {
        /* Bands of rows, walked column by column: what runs at one time shares A and B. */
        int band = tile / (BAND * column_tiles), within = tile - band * BAND * column_tiles;
        int band_rows = min(BAND, row_tiles - band * BAND);
        m0 = (band * BAND + within % band_rows) * BM, n0 = within / band_rows * BN;
        /* 4 x 8 invocations stand together, so that pairs of neighbours, or of every second, load the same: then half as many words move. */
        int tx = t / 32 % (WIDE / 8) * 8 + t / 2 % 8, ty = t / 32 / (WIDE / 8) * 4 + t / 16 % 2 * 2 + t % 2;
        [[unroll]] for (int e = 0; e < LOADS_A; e++) {
            int m = min(m0 + across_a(e), @{m} - 1);
            @{row}
        }
        vec4 acc[16];
        [[unroll]] for (int i = 0; i < 16; i++) acc[i] = vec4(0);
        fetch(0);
        for (int k0 = 0; k0 < @{k}; k0 += BK) {
            put(0, AT_B);
            barrier();
            if (k0 + BK < @{k}) fetch(k0 + BK);
            /* Written out whole, convolutions are no faster, and take a long time to compile; products are 3 % faster. */
#if @{conv}
            [[dont_unroll]] for (int k8 = 0; k8 < BK; k8 += 8) [[unroll]] for (int k = k8; k < k8 + 8; k++) {
#else
            [[unroll]] for (int k = 0; k < BK; k++) {
#endif
                vec4 u[2] = vec4[](pool[k * STRIDE_A + ty], pool[k * STRIDE_A + ty + 8]);
                vec4 v[2] = vec4[](pool[AT_B + k * STRIDE_B + tx], pool[AT_B + k * STRIDE_B + tx + WIDE]);
                [[unroll]] for (int i = 0; i < 8; i++)
                    [[unroll]] for (int j = 0; j < 2; j++) acc[i * 2 + j] += u[i / 4][i % 4] * v[j];
            }
            barrier();
        }
        /* Two rows of each invocation at a time: 16 rows of the tile, of which an invocation finishes one column. */
        for (int p = 0; p < 4; p++) {
            [[unroll]] for (int q = 0; q < 16; q++)
                if (p == q / 4) put_sum(ty * 2 + q / 2 % 2, tx + q % 2 * WIDE, acc[q]);
            barrier();
            int column = n0 + t, n = min(column, @{n} - 1), row = m0 + p / 2 * 32 + p % 2 * 2;
            @{column_values}
            @{results}
            [[unroll]] for (int e = 0; e < EACH; e++) {
                int m = min(row + e / 2 * 4 + e % 2, @{m} - 1);
                float x = get_sum(e, t);
                @{value}
            }
            [[unroll]] for (int e = 0; e < EACH; e++) {
                int m = row + e / 2 * 4 + e % 2;
                if (column < @{n} && m < @{m}) {
                    @{put}
                }
            }
            barrier();
        }
    }
