/* Rows kernels: reductions over one set of axes with the pointwise code around them, in one pass over memory per dependence.
 *
 * A row is one setting of the axes that are kept. LANES invocations share it: each walks every LANES-th element, partial
 * results meet in a tree over shared memory. With LANES = 1 the barriers fold away. On GPUs neighbouring invocations load
 * neighbours: they share a row where its elements lie side by side, and have a row each where the rows do. */
#include "codegen/shader.h"
#include "dlvk/runtime.h"

const char *emit_lane_reduce(Shader *s, Kind k, DType t, const char *acc)
{
    char c = glsl_class_letter(t);
    sh_open(s, "if (LANES > 1) {");
    sh_line(s, "barrier();");
    if (c == 'b')
        sh_line(s, "red_u[gl_LocalInvocationID.x] = uint(%s);", acc);
    else
        sh_line(s, "red_%c[gl_LocalInvocationID.x] = %s;", c, acc);
    sh_line(s, "barrier();");
    sh_open(s, "for (uint half_row = LANES / 2; half_row > 0; half_row /= 2) {");
    sh_open(s, "if (lane < half_row) {");
    const char *step = s->columns ? " * (GROUP / LANES)" : ""; /* between neighbouring lanes */
    const char *x = "red_u[gl_LocalInvocationID.x] != 0u";
    const char *y = sh_printf(s, "red_u[gl_LocalInvocationID.x + half_row%s] != 0u", step);
    if (c == 'b') {
        sh_line(s, "red_u[gl_LocalInvocationID.x] = uint(%s);",
                emit_combine(s, k, t, sh_printf(s, "(%s)", x), sh_printf(s, "(%s)", y)));
    } else {
        x = sh_printf(s, "red_%c[gl_LocalInvocationID.x]", c);
        y = sh_printf(s, "red_%c[gl_LocalInvocationID.x + half_row%s]", c, step);
        sh_line(s, "%s = %s;", x, emit_combine(s, k, t, x, y));
    }
    sh_close(s);
    sh_line(s, "barrier();");
    sh_close(s);
    if (c == 'b')
        sh_line(s, "%s = red_u[gl_LocalInvocationID.x - lane%s] != 0u;", acc, step);
    else
        sh_line(s, "%s = red_%c[gl_LocalInvocationID.x - lane%s];", acc, c, step);
    sh_close(s);
    return acc;
}

typedef struct Shape {
    uint32_t lanes, group;
} Shape;

/* How many lanes share a row, and how large a workgroup is. Sizes that are not known get a middling choice. */
static Shape choose(const Dim *rows, const Dim *length, bool scalar, bool columns)
{
    int64_t r, n;
    bool know_r = dim_is_const(rows, &r), know_n = dim_is_const(length, &n);
    if (scalar) {
        /* Vector lanes want a row each; few long rows are shared to use them at all. */
        if (know_r && r < 16 && (!know_n || n >= 256)) return (Shape){64, 64};
        if (know_r && r >= 512) return (Shape){1, 32};
        return (Shape){1, 8};
    }
    uint32_t lanes = 1;
    if (columns) { /* 8 neighbouring rows are a sector of memory; the rest of the group shares each */
        uint32_t near = 1;
        while (near < (know_r && r >= 4096 ? 32 : 8) && (!know_r || near < r)) near *= 2;
        while (lanes < 256 / near && (!know_n || lanes * 4 < n)) lanes *= 2;
        return (Shape){lanes, near * lanes < 64 ? 64 : near * lanes};
    }
    if (!know_n)
        lanes = 32;
    else
        while (lanes < 256 && lanes * 4 < n) lanes *= 2;
    return (Shape){lanes, lanes > 128 ? lanes : 128};
}

/* Whether a value of the kernel has the rows' full length; else it has one element a row. */
static bool is_full(Type rows, const bool *reduced, Type t)
{
    for (int d = 0; d < t.rank; d++)
        if (reduced[d] && t.dim[d] != rows.dim[d]) return false;
    for (int d = 0; d < t.rank; d++)
        if (reduced[d] && !dim_is(t.dim[d], 1)) return true;
    return false;
}

static void write_rows(KernelGen *kg, bool scalar)
{
    Shader *s = shader_new(kg, scalar ? DLVK_FEATURE_SCALAR : 0);
    DimTable *dt = &s->ctx->dims;
    const Kernel *k = kg->kernel;
    Type t = k->reduces.at[0]->in[0]->type;
    const Attr *axes = node_attr(k->reduces.at[0], A_AXES);
    bool reduced[DLVK_MAX_RANK] = {0};
    for (int i = 0; i < axes->n; i++) reduced[axes->ints[i]] = true;
    const Dim *rows = dim_const(dt, 1), *length = dim_const(dt, 1);
    for (int i = 0; i < t.rank; i++) {
        if (reduced[i])
            length = dim_mul(dt, length, t.dim[i]);
        else
            rows = dim_mul(dt, rows, t.dim[i]);
    }
    int last = t.rank - 1;
    while (last > 0 && dim_is(t.dim[last], 1)) last--;
    s->columns = !scalar && last >= 0 && !reduced[last];
    Shape shape = choose(rows, length, scalar, s->columns);
    *VEC_PUSH(s->pool, s->spec) = shape.lanes;
    *VEC_PUSH(s->pool, s->spec) = shape.group;
    s->local[0] = 0;
    s->grid[0] = dim_ceildiv(dt, rows, dim_const(dt, shape.group / shape.lanes));
    sh_decl(s, "layout(constant_id = 0) const uint LANES = 1; /* invocations that share a row: a power of two */");
    sh_decl(s, "layout(constant_id = 1) const uint GROUP = 64;");
    sh_decl(s, "layout(local_size_x_id = 1) in;");
    bool declared[128] = {0};
    for (int i = 0; i < k->reduces.n; i++) {
        DType rt = k->reduces.at[i]->out[0]->type.dtype;
        char c = glsl_class_letter(rt);
        if (c == 'b') c = 'u';
        if (!declared[(int)c]) sh_decl(s, "shared %s red_%c[256];", c == 'u' ? "uint" : glsl_class(rt), c);
        declared[(int)c] = true;
    }

    const char *of[] = {s->columns ? "/ (GROUP / LANES)" : "% LANES", s->columns ? "% (GROUP / LANES)" : "/ LANES"};
    sh_line(s, "uint lane = gl_LocalInvocationID.x %s;", of[0]);
    sh_line(s, "uint row_number = %s * (GROUP / LANES) + gl_LocalInvocationID.x %s;", group_number(s), of[1]);
    sh_line(s, "bool live = row_number < uint(%s);", arg_int(s, rows));
    sh_line(s, "int row = live ? int(row_number) : 0; /* a row too many is computed and not stored: barriers want everyone */");
    s->lanes = "int(LANES)";
    s->lane = "int(lane)";

    const Ix *row = ix_var(s, "row", rows), *ax[DLVK_MAX_RANK], *full[DLVK_MAX_RANK];
    const Dim *stride = dim_const(dt, 1);
    for (int i = t.rank - 1; i >= 0; i--) {
        ax[i] = ix_const(s, 0);
        if (reduced[i]) continue;
        ax[i] = dim_is(t.dim[i], 1) ? ix_const(s, 0) : ix_split(s, row, stride, t.dim[i]);
        stride = dim_mul(dt, stride, t.dim[i]);
    }
    for (int i = 0; i < t.rank; i++) ix_text(s, ax[i]); /* once, outside the loops */
    for (int i = 0; i < k->reduces.n; i++) {
        Value *v = k->reduces.at[i]->out[0];
        emit_value(s, v, index_of_axes(v->type, ax));
    }

    /* Outputs of one value a row, by lane 0; then one loop for those with the rows' full length. */
    int n_full = 0;
    for (int i = 0; i < k->out.n; i++) {
        Value *v = k->out.at[i];
        if (is_full(t, reduced, v->type)) {
            n_full++;
            continue;
        }
        Index at = index_of_axes(v->type, ax);
        const char *x = emit_value(s, v, at);
        sh_open(s, "if (live && lane == 0) {");
        emit_store(s, v, ix_text(s, index_flat(s, v->type, &at)), x);
        sh_close(s);
    }
    if (!n_full) return;
    const Ix *kx = ix_var(s, open_shared_loop(s, "live", length), length);
    stride = dim_const(dt, 1);
    for (int i = t.rank - 1; i >= 0; i--) {
        full[i] = ax[i];
        if (!reduced[i]) continue;
        full[i] = dim_is(t.dim[i], 1) ? ix_const(s, 0) : ix_split(s, kx, stride, t.dim[i]);
        stride = dim_mul(dt, stride, t.dim[i]);
    }
    for (int i = 0; i < k->out.n; i++) {
        Value *v = k->out.at[i];
        if (!is_full(t, reduced, v->type)) continue;
        Index at = index_of_axes(v->type, full);
        const char *x = emit_value(s, v, at);
        emit_store(s, v, ix_text(s, index_flat(s, v->type, &at)), x);
    }
    sh_close(s);
    sh_close(s);
}

bool gen_rows(KernelGen *kg)
{
    write_rows(kg, true);
    write_rows(kg, false);
    return true;
}
