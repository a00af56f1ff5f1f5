#version 460
#extension GL_EXT_buffer_reference : require
#extension GL_EXT_buffer_reference_uvec2 : require
#extension GL_EXT_control_flow_attributes : require
#extension GL_KHR_shader_subgroup_basic : require
#extension GL_EXT_shader_explicit_arithmetic_types_int64 : require
#define ADDRESS uint64_t

#define address_at(b, i) (uint64_t(b) + uint64_t(int64_t(i) << 2)) /* of the i-th word behind the buffer reference b */
// n / d.x for n < 2^31; d as runtime/plan.proto describes it.
uint fastdiv(uint n, uvec3 d)
{
    uint hi, lo;
    umulExtended(n << 1, d.y, hi, lo);
    return hi >> d.z;
}

uint fastmod(uint n, uvec3 d) { return n - fastdiv(n, d) * d.x; }

layout(buffer_reference, std430, buffer_reference_align = 4) readonly buffer BufF32 { float d[]; };
layout(buffer_reference, std430, buffer_reference_align = 4) buffer BufF32W { float d[]; };
layout(push_constant, std430) uniform Args {
    BufF32 b0;
    BufF32 b1;
    BufF32W b2;
    int n0;
    int n1;
    int n2;
    int n3;
    int n4;
    int n5;
    uint d0_n, d0_m, d0_s;
    int n6;
    int n7;
    int n8;
    int n9;
    uint d1_n, d1_m, d1_s;
} a;
#define a_d0 uvec3(a.d0_n, a.d0_m, a.d0_s)
#define a_d1 uvec3(a.d1_n, a.d1_m, a.d1_s)
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
int origin0[P];
int origin1[P];

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
    [[unroll]] for (int i = 0; i < P; i++) qa[i] = address_at(a.b0, ia[i] + (masked ? 0 : last_at[i] * 1));
    [[unroll]] for (int u = 0; u < count; u++) {
        float b[C];
        if (vectors) {
            BufF32 q = BufF32(address_at(a.b1, ib + u / RUN * RUN * a.n0 + n0 + u % RUN * a.n0));
            [[unroll]] for (int j = 0; j < C; j++) b[j] = neighbours(q, j * 8);
        } else {
            [[unroll]] for (int j = 0; j < C; j++) b[j] = a.b1.d[ib + u / RUN * RUN * a.n0 + column_at[j] + u % RUN * a.n0];
        }
        [[unroll]] for (int i = 0; i < P; i++) {
            float x = BufF32(qa[i]).d[(masked ? clamp(last_at[i] + u / RUN * 1, 0, a.n2 - 1) * 1 : u / RUN * 1) + u % RUN * 1];
            if (masked) x = uintBitsToFloat(floatBitsToUint(x) & (uint(last_at[i] + u / RUN * 1) < uint(a.n2) ? inside[i] : 0u));
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
            if (true || KB <= a.n3) do {
                steps(KB, k, ib, false, false);
                k += KB;
                ib += KB * a.n0;
            } while (!true && k + KB <= a.n3);
        } else {
            if (true || KM <= a.n3) do {
                steps(KM, k, ib, false, true);
                k += KM;
                ib += KM * a.n0;
            } while (!true && k + KM <= a.n3);
        }
    }
    if (TAIL && k < a.n3) do {
        steps(1, k, ib, true && false, true);
        k++;
        ib += a.n0;
    } while (k < a.n3);
    return ib;
}



// Conv_0 (Conv)
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
                    row_at[i] = 0;
                    int x1 = int(fastdiv(uint(m), a_d0));
                    int x2 = x1 + (-1);
                    origin0[i] = x2;
                    int x3 = int(fastmod(uint(m), a_d0));
                    int x4 = x3 + (-1);
                    origin1[i] = x4;
                }
                int ib = 0;
                for (int w0 = 0;;) {
                    whole = true;
                    [[unroll]] for (int i = 0; i < P; i++) {
                        int p0 = origin0[i] + w0;
                        bool ok0 = uint(p0) < uint(a.n6);
                        bool ok = true && ok0;
                        inside[i] = ok ? ~0u : 0u;
                        ia[i] = ok ? row_at[i] + p0 * a.n6 : row_at[i]; /* outside: any address will do */
                        whole = whole && ok;
                        last_at[i] = origin1[i];
                        whole = whole && last_at[i] >= 0 && last_at[i] + a.n7 < a.n6;
                    }
                    ib = contract(ib);
                    if (++w0 >= a.n8) break; /* at the end: see the template's head */
                }
                [[unroll]] for (int j = 0; j < C; j++) {
                    int vector_at = n0 + j * 8, lane_number = int(lane), n = vector_at + lane_number;
                    if (n >= first && n < a.n1) {
                        
                        [[unroll]] for (int i = 0; i < P; i++) {
                            int m = min(m0 + i, a.n4 - 1);
                            float x = acc[i * C + j];
                            int x0 = m + n;
                            a.b2.d[x0] = x;
                        }
                    }
                }
            }
        } while (++tile < a.n5);
    }

}
