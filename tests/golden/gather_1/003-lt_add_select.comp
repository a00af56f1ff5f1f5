#version 460
#extension GL_EXT_buffer_reference : require
#extension GL_EXT_buffer_reference_uvec2 : require
#extension GL_EXT_control_flow_attributes : require
#extension GL_KHR_shader_subgroup_basic : require
struct I64 { uvec2 v; };

I64 i64_load(uvec2 v) { return I64(v); }

bool u2_slt(uvec2 a, uvec2 b) { return int(a.y) < int(b.y) || (a.y == b.y && a.x < b.x); }

struct U64 { uvec2 v; };

bool u2_lt(uvec2 a, uvec2 b) { return a.y < b.y || (a.y == b.y && a.x < b.x); }

bool op_lt(I64 a, I64 b) { return u2_slt(a.v, b.v); }
bool op_lt(U64 a, U64 b) { return u2_lt(a.v, b.v); }

bool op_lt(float a, float b) { return a < b; }
bool op_lt(int a, int b) { return a < b; }
bool op_lt(uint a, uint b) { return a < b; }
bool op_lt(bool a, bool b) { return !a && b; }

uvec2 u2_add(uvec2 a, uvec2 b)
{
    uint carry, lo = uaddCarry(a.x, b.x, carry);
    return uvec2(lo, a.y + b.y + carry);
}

I64 op_add(I64 a, I64 b) { return I64(u2_add(a.v, b.v)); }
U64 op_add(U64 a, U64 b) { return U64(u2_add(a.v, b.v)); }

uvec2 i64_store(I64 a) { return a.v; }

layout(buffer_reference, std430, buffer_reference_align = 8) readonly buffer BufU64 { uvec2 d[]; };
layout(buffer_reference, std430, buffer_reference_align = 8) buffer BufU64W { uvec2 d[]; };
layout(push_constant, std430) uniform Args {
    BufU64 b0;
    BufU64 b1;
    BufU64 b2;
    BufU64W b3;
    int n0;
} a;
layout(local_size_x = 128, local_size_y = 1, local_size_z = 1) in;
layout(constant_id = 0) const uint ITEMS = 1;

// Gather_0 (Gather)
void main()
{
    uint first = (gl_WorkGroupID.x + gl_WorkGroupID.y * gl_NumWorkGroups.x) * ITEMS * 128u + gl_LocalInvocationID.x;
    for (uint item = 0; item < ITEMS; item++) {
        int i = int(first + item * 128u);
        if (i >= a.n0) break;
        I64 v0 = i64_load(a.b0.d[i]);
        I64 v1 = i64_load(a.b1.d[i]);
        bool v2 = op_lt(v0, v1);
        I64 v3 = i64_load(a.b2.d[i]);
        I64 v4 = op_add(v0, v3);
        I64 v5 = (v2 ? v4 : v0);
        a.b3.d[i] = i64_store(v5);
    }
}
