#version 460
#extension GL_EXT_buffer_reference : require
#extension GL_EXT_buffer_reference_uvec2 : require
#extension GL_EXT_control_flow_attributes : require
#extension GL_KHR_shader_subgroup_basic : require
#extension GL_EXT_shader_explicit_arithmetic_types_int64 : require
#define I64 int64_t

I64 i64_load(uvec2 v) { return packInt2x32(ivec2(v)); }

#define U64 uint64_t

bool op_lt(I64 a, I64 b) { return a < b; }
bool op_lt(U64 a, U64 b) { return a < b; }

bool op_lt(float a, float b) { return a < b; }
bool op_lt(int a, int b) { return a < b; }
bool op_lt(uint a, uint b) { return a < b; }
bool op_lt(bool a, bool b) { return !a && b; }

I64 op_add(I64 a, I64 b) { return a + b; }
U64 op_add(U64 a, U64 b) { return a + b; }

uvec2 i64_store(I64 a) { return uvec2(unpackInt2x32(a)); }

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
