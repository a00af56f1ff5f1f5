/* Matrix products and convolutions on a driver that runs on the CPU.
 *
 * Such drivers run eight invocations in one vector. A load whose address is the same in all of them is one scalar load that
 * the multiplication broadcasts; a load whose addresses differ is a gather, slower than all that is done with it. So the
 * lanes own columns of B, and everything about A, rows and positions and borders, is the same in all lanes. A workgroup is
 * one vector; it walks over several tiles of P rows by C * 8 columns, since starting a workgroup costs as much as thousands of multiplications.
 *
 * Loops are masked and write back every variable at their end, so KB steps of k stand in one trip. Mesa's lavapipe runs what follows
 * a loop's exit test to the loop's end once more, with all lanes masked but uniform loads carried out: the test stands last, in do-while loops. */
layout(constant_id = 0) const int P = 6;        /* rows of a tile */
layout(constant_id = 1) const int C = 4;        /* vectors of 8 columns in a tile */
layout(constant_id = 2) const int KB = 16;      /* steps of k in one trip round the loop */
layout(constant_id = 3) const int KM = 8;       /* the same, where some row of the tile lies outside; divides KB */
layout(constant_id = 4) const bool TAIL = true; /* KB need not divide the length of k, or B's columns may lie scattered */
layout(constant_id = 5) const int RUN = 1;      /* channels, where k also runs over the window's last axis; else KB */
layout(constant_id = 6) const bool LONG = false; /* a window of many products: see BLOCK */
layout(local_size_x = 8) in;

/* So many products are summed by themselves before they go to the sum of the others: fewer roundings at the sum's full size. Only between
 * the taps of a window: one more loop around that over k costs a matrix product 6 %. */
const int BLOCK = 256;

uint lane;          /* the column of each vector that this invocation owns */
bool dense;         /* the tile's columns are neighbours in B, and all exist */
float acc[P * C];
float total[P * C]; /* with LONG: the blocks before */
int gathered;       /* products in acc */
int row_at[P];      /* where each row's operand begins in A */
int ia[P];          /* the same for the current tap of the window */
uint inside[P];     /* all bits set: the tap lies inside A, else 0 */
bool whole;         /* nothing that the tile reads for the current tap lies outside */
int last_at[P];     /* position of the first tap along the window's last axis, where k runs over that as well */
int column_at[C];   /* offsets of this lane's columns in B */
int n0;             /* the tile's first column */
@{origins}

@{neighbours}
/* acc += A[rows, k .. k + count) * B[k .. k + count, columns) */
void steps(int count, int k, int ib, bool vectors, bool masked)
{
    @{a_pointers}
    /* Two products by themselves before they are added: half as many roundings at the sum's full size. */
    [[unroll]] for (int u0 = 0; u0 < count; u0 += 2) {
        @{a_eight}
        float b[2 * C];
        [[unroll]] for (int s = 0; s < 2; s++) {
            int u = u0 + s;
            if (u < count) {
                if (vectors) {
                    @{b_type} q = @{b_row};
                    [[unroll]] for (int j = 0; j < C; j++) b[s * C + j] = @{b_vector};
                } else {
                    [[unroll]] for (int j = 0; j < C; j++) b[s * C + j] = @{b_element};
                }
            }
        }
        [[unroll]] for (int i = 0; i < P; i++) {
            float sum[C];
            [[unroll]] for (int s = 0; s < 2; s++) {
                int u = u0 + s;
                if (u < count) {
                    float x = @{a_element};
                    if (masked) x = uintBitsToFloat(floatBitsToUint(x) & @{inside});
                    [[unroll]] for (int j = 0; j < C; j++) sum[j] = s == 0 ? x * b[j] : sum[j] + x * b[C + j];
                }
            }
            [[unroll]] for (int j = 0; j < C; j++) acc[i * C + j] += sum[j];
        }
    }
}

/* All of k for one tap of the window, B's part of which begins at ib; returns where the next one's begins in a dense B. */
int contract(int ib)
{
    if (LONG) {
        if (gathered >= BLOCK) {
            [[unroll]] for (int j = 0; j < P * C; j++) {
                total[j] += acc[j];
                acc[j] = 0;
            }
            gathered = 0;
        }
        gathered += @{k};
    }
    int k = 0;
    if (@{fast}) {
        if (whole) {
            if (@{once} || KB <= @{k}) do {
                steps(KB, k, ib, @{vectors}, false);
                k += KB;
                ib += KB * @{b_step};
            } while (!@{once} && k + KB <= @{k});
        } else {
            if (@{once} || KM <= @{k}) do {
                steps(KM, k, ib, @{vectors}, true);
                k += KM;
                ib += KM * @{b_step};
            } while (!@{once} && k + KM <= @{k});
        }
    }
    if (TAIL && k < @{k}) do {
        steps(1, k, ib, @{fast} && @{vectors}, @{padded});
        k++;
        ib += @{b_step};
    } while (k < @{k});
    return ib;
}

//# main
    lane = gl_SubgroupSize == 8 ? gl_SubgroupInvocationID : gl_LocalInvocationID.x;
    int group = int(gl_WorkGroupID.x + gl_WorkGroupID.y * gl_NumWorkGroups.x);
    int row_groups = ((@{m} + P - 1) / P + @{tiles} - 1) / @{tiles}, column_tiles = (@{n} + C * 8 - 1) / (C * 8);
    /* Tiles of one column and batch follow each other, so that B stays in the cache. */
    int row_group = group % row_groups, column = group / row_groups, z = column / column_tiles;
    if (z < @{z}) {
        int first = (column - z * column_tiles) * (C * 8);
        /* The last tile starts early instead of reading beyond the end of a row; what its neighbour has is not stored. */
        dense = @{dense};
        n0 = dense ? min(first, @{n} - C * 8) : first;
        [[unroll]] for (int j = 0; j < C; j++) column_at[j] = min(n0 + j * 8 + int(lane), @{n} - 1) * @{b_column};
        int tile = 0;
        do {
            int m0 = (row_group * @{tiles} + tile) * P;
            if (m0 < @{m}) {
                [[unroll]] for (int j = 0; j < P * C; j++) acc[j] = total[j] = 0;
                gathered = 0;
                @{rows}
                @{taps}
                [[unroll]] for (int j = 0; j < C; j++) {
                    int vector_at = n0 + j * 8, lane_number = int(lane), n = vector_at + lane_number;
                    if (n >= first && n < @{n}) {
                        @{column_values}
                        [[unroll]] for (int i = 0; i < P; i++) {
                            int m = min(m0 + i, @{m} - 1);
                            float x = acc[i * C + j] + (LONG ? total[i * C + j] : 0.0);
                            @{store}
                        }
                    }
                }
            }
        } while (++tile < @{tiles});
    }
