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

// Transpose_0 (Transpose)
void main()
{
    lane = gl_SubgroupSize == 8 ? gl_SubgroupInvocationID : gl_LocalInvocationID.x;
    int lane_number = int(lane), first = int((gl_WorkGroupID.x + gl_WorkGroupID.y * gl_NumWorkGroups.x) * ITEMS);
    int last = min(first + int(ITEMS), a.n0);
    if (first < last) for (int block0 = first;;) {
        int x1 = int(fastmod(uint(lane_number), a_d0));
        int x2 = int(fastdiv(uint(lane_number), a_d0));
        int x3 = x1 * a.n1 + block0 * a.n2 + x2;
        precise float v4 = a.b0.d[x3];
        int x5 = block0 * a.n3 + lane_number;
        a.b1.d[x5] = v4;
        if (++block0 >= last) break;
    }
}
