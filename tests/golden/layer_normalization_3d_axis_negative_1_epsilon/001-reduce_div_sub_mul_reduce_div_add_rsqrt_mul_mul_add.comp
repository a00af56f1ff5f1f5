#version 460
#extension GL_EXT_buffer_reference : require
#extension GL_EXT_buffer_reference_uvec2 : require
#extension GL_EXT_control_flow_attributes : require
#extension GL_KHR_shader_subgroup_basic : require
// n / d.x for n < 2^31; d as runtime/plan.proto describes it.
uint fastdiv(uint n, uvec3 d)
{
    uint hi, lo;
    umulExtended(n << 1, d.y, hi, lo);
    return hi >> d.z;
}

uint fastmod(uint n, uvec3 d) { return n - fastdiv(n, d) * d.x; }

// Rounded correctly, where a GPU's own division may be off by 2.5 ulp: the remainder, which fma gives exactly, corrects the quotient.
// For devices whose fma is one operation; CPU drivers divide correctly by themselves.
float float_div(float a, float b)
{
    precise float q = a / b;
    precise float r = fma(-q, b, a);
    precise float c = q + r / b;
    uint eq = floatBitsToUint(q) & 0x7f800000u, eb = floatBitsToUint(b) & 0x7f800000u;
    return eq == 0u || eq == 0x7f800000u || eb == 0u ? q : c;
}

float op_rsqrt(float x) { return 1.0 / sqrt(x); }

layout(buffer_reference, std430, buffer_reference_align = 4) readonly buffer BufF32 { float d[]; };
layout(buffer_reference, std430, buffer_reference_align = 4) buffer BufF32W { float d[]; };
layout(push_constant, std430) uniform Args {
    BufF32 b0;
    BufF32W b1;
    BufF32W b2;
    BufF32 b3;
    BufF32 b4;
    BufF32W b5;
    int n0;
    uint d0_n, d0_m, d0_s;
    int n1;
} a;
#define a_d0 uvec3(a.d0_n, a.d0_m, a.d0_s)
layout(constant_id = 0) const uint LANES = 1; /* invocations that share a row: a power of two */
layout(constant_id = 1) const uint GROUP = 64;
layout(local_size_x_id = 1) in;
shared float red_f[256];

// LayerNormalization_0 (LayerNormalization)
void main()
{
    uint lane = gl_LocalInvocationID.x % LANES;
    uint row_number = (gl_WorkGroupID.x + gl_WorkGroupID.y * gl_NumWorkGroups.x) * (GROUP / LANES) + gl_LocalInvocationID.x / LANES;
    bool live = row_number < uint(a.n0);
    int row = live ? int(row_number) : 0; /* a row too many is computed and not stored: barriers want everyone */
    int x0 = int(fastdiv(uint(row), a_d0));
    int x1 = int(fastmod(uint(row), a_d0));
    float acc2 = 0.0;
    if (0 < a.n1) for (int k3 = 0;;) {
        int k4 = k3 + int(lane);
        if (true && (int(LANES) == 1 || k4 < a.n1)) {
            int x5 = row * a.n1 + k4;
            precise float v6 = a.b0.d[x5];
            acc2 = acc2 + v6;
        }
        if ((k3 += int(LANES)) >= a.n1) break;
    }
    if (LANES > 1) {
        barrier();
        red_f[gl_LocalInvocationID.x] = acc2;
        barrier();
        for (uint half_row = LANES / 2; half_row > 0; half_row /= 2) {
            if (lane < half_row) {
                red_f[gl_LocalInvocationID.x] = red_f[gl_LocalInvocationID.x] + red_f[gl_LocalInvocationID.x + half_row];
            }
            barrier();
        }
        acc2 = red_f[gl_LocalInvocationID.x - lane];
    }
    float acc7 = 0.0;
    if (0 < a.n1) for (int k8 = 0;;) {
        int k9 = k8 + int(lane);
        if (true && (int(LANES) == 1 || k9 < a.n1)) {
            int x10 = row * a.n1 + k9;
            precise float v11 = a.b0.d[x10];
            precise float v12 = 5.0;
            precise float v13 = float_div(acc2, v12);
            precise float v14 = v11 - v13;
            precise float v15 = v14 * v14;
            acc7 = acc7 + v15;
        }
        if ((k8 += int(LANES)) >= a.n1) break;
    }
    if (LANES > 1) {
        barrier();
        red_f[gl_LocalInvocationID.x] = acc7;
        barrier();
        for (uint half_row = LANES / 2; half_row > 0; half_row /= 2) {
            if (lane < half_row) {
                red_f[gl_LocalInvocationID.x] = red_f[gl_LocalInvocationID.x] + red_f[gl_LocalInvocationID.x + half_row];
            }
            barrier();
        }
        acc7 = red_f[gl_LocalInvocationID.x - lane];
    }
    precise float v16 = 5.0;
    precise float v17 = float_div(acc7, v16);
    precise float v18 = 0.100000001;
    precise float v19 = v17 + v18;
    precise float v20 = op_rsqrt(v19);
    if (live && lane == 0) {
        a.b1.d[row] = v20;
    }
    precise float v21 = float_div(acc2, v16);
    if (live && lane == 0) {
        a.b2.d[row] = v21;
    }
    if (0 < a.n1) for (int k22 = 0;;) {
        int k23 = k22 + int(lane);
        if (live && (int(LANES) == 1 || k23 < a.n1)) {
            int x24 = row * a.n1 + k23;
            precise float v25 = a.b0.d[x24];
            precise float v26 = v25 - v21;
            precise float v27 = v26 * v20;
            precise float v28 = a.b3.d[k23];
            precise float v29 = v27 * v28;
            precise float v30 = a.b4.d[k23];
            precise float v31 = v29 + v30;
            a.b5.d[x24] = v31;
        }
        if ((k22 += int(LANES)) >= a.n1) break;
    }
}
