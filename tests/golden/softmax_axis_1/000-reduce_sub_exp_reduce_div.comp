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

#define INF uintBitsToFloat(0x7f800000u)

// x = n*ln(2) + r with |r| <= ln(2)/2; returns exp(r) - 1.
float exp_reduce(float x, out int n)
{
    float k = roundEven(x * 1.44269504);
    precise float r = x - k * 0.693359375; // exact: 9 bits times at most 8
    r = r + k * 2.12194440e-4;
    n = int(k);
    float p = 0.00139421609;
    p = p * r + 0.00836377591;
    p = p * r + 0.0416663624;
    p = p * r + 0.166665733;
    p = p * r + 0.5;
    return r + r * r * p;
}

// x * 2^n for |n| < 280, rounded once: two factors, for one alone may not be a float.
float float_scale(float x, int n)
{
    int half_n = n >> 1;
    return x * uintBitsToFloat(uint(half_n + 127) << 23) * uintBitsToFloat(uint(n - half_n + 127) << 23);
}

float op_exp(float x)
{
    if (op_is_nan(x)) return x;
    if (x > 88.7228394) return INF;
    if (x < -104.0) return 0.0;
    int n;
    float p = exp_reduce(x, n);
    return float_scale(1.0 + p, n);
}

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
} a;
#define a_d0 uvec3(a.d0_n, a.d0_m, a.d0_s)
layout(constant_id = 0) const uint LANES = 1; /* invocations that share a row: a power of two */
layout(constant_id = 1) const uint GROUP = 64;
layout(local_size_x_id = 1) in;
shared float red_f[256];

// Softmax_0 (Softmax)
void main()
{
    uint lane = gl_LocalInvocationID.x % LANES;
    uint row_number = (gl_WorkGroupID.x + gl_WorkGroupID.y * gl_NumWorkGroups.x) * (GROUP / LANES) + gl_LocalInvocationID.x / LANES;
    bool live = row_number < uint(a.n0);
    int row = live ? int(row_number) : 0; /* a row too many is computed and not stored: barriers want everyone */
    int x0 = int(fastdiv(uint(row), a_d0));
    int x1 = int(fastmod(uint(row), a_d0));
    float acc2 = uintBitsToFloat(0xff800000u);
    if (0 < a.n1) for (int k3 = 0;;) {
        int k4 = k3 + int(lane);
        if (true && (int(LANES) == 1 || k4 < a.n1)) {
            int x5 = x0 * a.n2 + k4 * a.n3 + x1;
            precise float v6 = a.b0.d[x5];
            acc2 = op_max(acc2, v6);
        }
        if ((k3 += int(LANES)) >= a.n1) break;
    }
    if (LANES > 1) {
        barrier();
        red_f[gl_LocalInvocationID.x] = acc2;
        barrier();
        for (uint half_row = LANES / 2; half_row > 0; half_row /= 2) {
            if (lane < half_row) {
                red_f[gl_LocalInvocationID.x] = op_max(red_f[gl_LocalInvocationID.x], red_f[gl_LocalInvocationID.x + half_row]);
            }
            barrier();
        }
        acc2 = red_f[gl_LocalInvocationID.x - lane];
    }
    float acc7 = 0.0;
    if (0 < a.n1) for (int k8 = 0;;) {
        int k9 = k8 + int(lane);
        if (true && (int(LANES) == 1 || k9 < a.n1)) {
            int x10 = x0 * a.n2 + k9 * a.n3 + x1;
            precise float v11 = a.b0.d[x10];
            precise float v12 = v11 - acc2;
            precise float v13 = op_exp(v12);
            acc7 = acc7 + v13;
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
    if (0 < a.n1) for (int k14 = 0;;) {
        int k15 = k14 + int(lane);
        if (live && (int(LANES) == 1 || k15 < a.n1)) {
            int x16 = x0 * a.n2 + k15 * a.n3 + x1;
            precise float v17 = a.b0.d[x16];
            precise float v18 = v17 - acc2;
            precise float v19 = op_exp(v18);
            precise float v20 = v19 / acc7;
            a.b1.d[x16] = v20;
        }
        if ((k14 += int(LANES)) >= a.n1) break;
    }
}
