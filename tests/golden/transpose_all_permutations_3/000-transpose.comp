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

layout(buffer_reference, std430, buffer_reference_align = 4) readonly buffer BufF32 { float d[]; };
layout(buffer_reference, std430, buffer_reference_align = 4) buffer BufF32W { float d[]; };
layout(push_constant, std430) uniform Args {
    BufF32 b0;
    BufF32W b1;
    int n0;
    uint d0_n, d0_m, d0_s;
    int n1;
    int n2;
    int n3;
    int n4;
} a;
#define a_d0 uvec3(a.d0_n, a.d0_m, a.d0_s)
layout(local_size_x = 8, local_size_y = 1, local_size_z = 1) in;
layout(constant_id = 0) const uint ITEMS = 1; /* vectors that a workgroup computes */
uint lane;
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


// Transpose_0 (Transpose)
void main()
{
    lane = gl_LocalInvocationID.x;
    int lane_number = int(lane), first = int((gl_WorkGroupID.x + gl_WorkGroupID.y * gl_NumWorkGroups.x) * ITEMS);
    int last = a.n0 - 1;
    for (int item = 0; item < int(ITEMS) && first + item <= last; item++) {
        int block = min(first + item, last);
        int x0 = int(fastmod(uint(lane_number), a_d0));
        int x1 = int(fastdiv(uint(lane_number), a_d0));
        int x2 = x0 * a.n1 + block * a.n2 + x1;
        precise float v3 = a.b0.d[x2];
        int x4 = block * a.n3 + lane_number;
        a.b1.d[x4] = v3;
    }
}
