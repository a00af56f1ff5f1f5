#version 460
#extension GL_EXT_buffer_reference : require
#extension GL_EXT_buffer_reference_uvec2 : require
#extension GL_EXT_control_flow_attributes : require
#extension GL_KHR_shader_subgroup_basic : require
#extension GL_EXT_shader_explicit_arithmetic_types_int64 : require
#define ADDRESS uint64_t

#define address_at(b, i) (uint64_t(b) + uint64_t(int64_t(i) << 2)) /* of the i-th word behind the buffer reference b */
layout(buffer_reference, std430, buffer_reference_align = 4) readonly buffer BufF32 { float d[]; };
layout(buffer_reference, std430, buffer_reference_align = 4) buffer BufF32W { float d[]; };
layout(push_constant, std430) uniform Args {
    BufF32 b0;
    BufF32 b1;
    BufF32 b2;
    BufF32W b3;
    int n0;
    int n1;
    int n2;
    int n3;
    int n4;
    int n5;
    int n6;
    int n7;
    int n8;
} a;
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
layout(local_size_x = 8) in;

uint lane;          /* the column of each vector that this invocation owns */
bool dense;         /* the tile's columns are neighbours in B, and all exist */
float acc[P * C];
int row_at[P];      /* where each row's operand begins in A */
int ia[P];          /* the same for the current tap of the window */
uint inside[P];     /* all bits set: the tap lies inside A, else 0 */
bool whole;         /* nothing that the tile reads for the current tap lies outside */
int last_at[P];     /* position of the first tap along the window's last axis, where k runs over that as well */
int column_at[C];   /* offsets of this lane's columns in B */
int n0;             /* the tile's first column */


/* Eight neighbours, one for each lane. Written so that a CPU driver sees eight scalar loads in a row and makes them one vector load. */
float neighbours(BufF32 q, int i)
{
    float r = q.d[i];
    r = mix(r, q.d[i + 1], lane == 1);
    r = mix(r, q.d[i + 2], lane == 2);
    r = mix(r, q.d[i + 3], lane == 3);
    r = mix(r, q.d[i + 4], lane == 4);
    r = mix(r, q.d[i + 5], lane == 5);
    r = mix(r, q.d[i + 6], lane == 6);
    return mix(r, q.d[i + 7], lane == 7);
}
/* acc += A[rows, k .. k + count) * B[k .. k + count, columns) */
void steps(int count, int k, int ib, bool vectors, bool masked)
{
    ADDRESS qa[P];
    [[unroll]] for (int i = 0; i < P; i++) qa[i] = address_at(a.b0, ia[i] + k);
    [[unroll]] for (int u = 0; u < count; u++) {
        float b[C];
        if (vectors) {
            BufF32 q = BufF32(address_at(a.b1, ib + n0 + u % RUN * a.n0));
            [[unroll]] for (int j = 0; j < C; j++) b[j] = neighbours(q, j * 8);
        } else {
            [[unroll]] for (int j = 0; j < C; j++) b[j] = a.b1.d[ib + column_at[j] + u % RUN * a.n0];
        }
        [[unroll]] for (int i = 0; i < P; i++) {
            float x = BufF32(qa[i]).d[u];
            if (masked) x = uintBitsToFloat(floatBitsToUint(x) & inside[i]);
            [[unroll]] for (int j = 0; j < C; j++) acc[i * C + j] += x * b[j];
        }
    }
}

/* All of k for one tap of the window, B's part of which begins at ib; returns where the next one's begins in a dense B. */
int contract(int ib)
{
    int k = 0;
    if (true) {
        if (whole) {
            if (false || KB <= a.n3) do {
                steps(KB, k, ib, false, false);
                k += KB;
                ib += KB * a.n0;
            } while (!false && k + KB <= a.n3);
        } else {
            if (false || KM <= a.n3) do {
                steps(KM, k, ib, false, true);
                k += KM;
                ib += KM * a.n0;
            } while (!false && k + KM <= a.n3);
        }
    }
    if (TAIL && k < a.n3) do {
        steps(1, k, ib, true && false, false);
        k++;
        ib += a.n0;
    } while (k < a.n3);
    return ib;
}



// Gemm_0 (Gemm)
void main()
{
    lane = gl_SubgroupSize == 8 ? gl_SubgroupInvocationID : gl_LocalInvocationID.x;
    int group = int(gl_WorkGroupID.x + gl_WorkGroupID.y * gl_NumWorkGroups.x);
    int row_groups = ((a.n4 + P - 1) / P + a.n5 - 1) / a.n5, column_tiles = (a.n1 + C * 8 - 1) / (C * 8);
    /* Tiles of one column and batch follow each other, so that B stays in the cache. */
    int row_group = group % row_groups, column = group / row_groups, z = column / column_tiles;
    if (z < 1) {
        int first = (column - z * column_tiles) * (C * 8);
        /* The last tile starts early instead of reading beyond the end of a row; what its neighbour has is not stored. */
        dense = false;
        n0 = dense ? min(first, a.n1 - C * 8) : first;
        [[unroll]] for (int j = 0; j < C; j++) column_at[j] = min(n0 + j * 8 + int(lane), a.n1 - 1) * 1;
        int tile = 0;
        do {
            int m0 = (row_group * a.n5 + tile) * P;
            if (m0 < a.n4) {
                [[unroll]] for (int j = 0; j < P * C; j++) acc[j] = 0;
                [[unroll]] for (int i = 0; i < P; i++) {
                    int m = min(m0 + i, a.n4 - 1);
                    int x3 = m * a.n6;
                    row_at[i] = x3;
                }
                whole = true;
                [[unroll]] for (int i = 0; i < P; i++) {
                    ia[i] = row_at[i];
                }
                contract(0);
                [[unroll]] for (int j = 0; j < C; j++) {
                    int vector_at = n0 + j * 8, lane_number = int(lane), n = vector_at + lane_number;
                    if (n >= first && n < a.n1) {
                        precise float v0 = a.b2.d[n];
                        [[unroll]] for (int i = 0; i < P; i++) {
                            int m = min(m0 + i, a.n4 - 1);
                            float x = acc[i * C + j];
                            precise float v1 = x + v0;
                            int x2 = m * a.n2 + n;
                            a.b3.d[x2] = v1;
                        }
                    }
                }
            }
        } while (++tile < a.n5);
    }

}
