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

// On the bits: a compiler may take a comparison for granted.
bool op_is_nan(float x) { return (floatBitsToUint(x) & 0x7fffffffu) > 0x7f800000u; }

float op_max(float a, float b) { return op_is_nan(a) ? a : op_is_nan(b) ? b : max(a, b); }
int op_max(int a, int b) { return max(a, b); }
uint op_max(uint a, uint b) { return max(a, b); }
bool op_max(bool a, bool b) { return a || b; }

layout(buffer_reference, std430, buffer_reference_align = 4) readonly buffer BufF32 { float d[]; };
layout(buffer_reference, std430, buffer_reference_align = 4) buffer BufF32W { float d[]; };
layout(push_constant, std430) uniform Args {
    BufF32 b0;
    BufF32W b1;
    int n0;
    uint d0_n, d0_m, d0_s;
    uint d1_n, d1_m, d1_s;
    int n1;
    int n2;
    int n3;
} a;
#define a_d0 uvec3(a.d0_n, a.d0_m, a.d0_s)
#define a_d1 uvec3(a.d1_n, a.d1_m, a.d1_s)
layout(local_size_x = 128, local_size_y = 1, local_size_z = 1) in;
layout(constant_id = 0) const uint ITEMS = 1;

// MaxPool_0 (MaxPool)
void main()
{
    uint first = (gl_WorkGroupID.x + gl_WorkGroupID.y * gl_NumWorkGroups.x) * ITEMS * 128u + gl_LocalInvocationID.x;
    for (uint item = 0; item < ITEMS; item++) {
        int i = int(first + item * 128u);
        if (i >= a.n0) break;
        float acc0 = uintBitsToFloat(0xff800000u);
        int x2 = int(fastdiv(uint(i), a_d0));
        int x3 = int(fastmod(fastdiv(uint(i), a_d1), a_d1));
        int x4 = int(fastmod(uint(i), a_d1));
        if (0 < 3) for (int k5 = 0;;) {
            int x7 = x3 + k5 + a.n1;
            int p6 = x7;
            if (uint(p6) < uint(a.n2)) {
                if (0 < 3) for (int k8 = 0;;) {
                    int x10 = x4 + k8 + a.n1;
                    int p9 = x10;
                    if (uint(p9) < uint(a.n2)) {
                        int x11 = x2 * a.n3 + p6 * a.n2 + p9;
                        precise float v12 = a.b0.d[x11];
                        acc0 = op_max(acc0, v12);
                    }
                    if (++k8 >= 3) break;
                }
            }
            if (++k5 >= 3) break;
        }
        a.b1.d[i] = acc0;
    }
}
