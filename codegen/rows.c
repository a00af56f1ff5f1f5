/* Rows kernels: reductions over one set of axes with the pointwise code around them, in one pass over memory per dependence.
 *
 * A row is one setting of the axes that are kept. LANES invocations share it: each walks every LANES-th element, partial
 * results meet in a tree over shared memory. With LANES = 1 the barriers fold away. On GPUs neighbouring invocations load
 * neighbours: they share a row where its elements lie side by side, and have a row each where the rows do. */
#include <string.h>

#include "codegen/shader.h"
#include "dlvk/runtime.h"

void emit_lane_reduce(Shader *s, Kind k, DType t, const char *acc, bool each)
{
    /* In two steps of about the root of LANES: the first HEAD lanes combine what they and the lanes HEAD, 2 * HEAD, ... behind
     * them have, then everyone who goes on with it combines theirs. */
    char c = glsl_class_letter(t);
    const char *step = s->columns ? " * (GROUP / LANES)" : ""; /* between neighbouring lanes */
    const char *each_j = each ? "[[unroll]] for (int j = 0; j < WIDTH; j++) " : "", *row = each ? " + j * GROUP" : "";
    const char *mine = sh_printf(s, "red_%c[gl_LocalInvocationID.x%s]", c == 'b' ? 'u' : c, row);
    const char *other = sh_printf(s, "red_%c[gl_LocalInvocationID.x%s + (l - lane)%s]", c == 'b' ? 'u' : c, row, step);
    const char *ahead = sh_printf(s, "red_%c[gl_LocalInvocationID.x%s + l%s]", c == 'b' ? 'u' : c, row, step);
    const char *to = c == 'b' ? "uint" : "", *back = c == 'b' ? " != 0u" : "";
    bool shuffles = s->shuffles && !each && strchr("fiub", c);
    if (shuffles) {
        sh_open(s, "if (LANES <= gl_SubgroupSize) {");
        sh_open(s, "[[unroll]] for (uint o = LANES / 2; o > 0; o /= 2) {");
        const char *theirs = sh_printf(s, "(subgroupShuffleXor(%s(%s), o)%s)", to, acc, back);
        sh_line(s, "%s = %s;", acc, emit_combine(s, k, t, acc, theirs));
        sh_close(s);
        sh_close(s);
    }
    sh_open(s, shuffles ? "else if (LANES > 1) {" : "if (LANES > 1) {");
    sh_line(s, "barrier();");
    sh_line(s, "%s%s = %s(%s);", each_j, mine, to, acc);
    sh_line(s, "barrier();");
    sh_open(s, "if (LANES > HEAD) {");
    sh_open(s, "if (lane < HEAD) {");
    sh_line(s, "[[unroll]] for (uint l = HEAD; l < LANES; l += HEAD)");
    sh_line(s, "    %s%s = %s;", each_j, acc, emit_combine(s, k, t, acc, sh_printf(s, "(%s%s)", ahead, back)));
    sh_line(s, "%s%s = %s(%s);", each_j, mine, to, acc);
    sh_close(s);
    sh_line(s, "barrier();");
    sh_close(s);
    const char *first = sh_printf(s, "red_%c[gl_LocalInvocationID.x%s - lane%s]%s", c == 'b' ? 'u' : c, row, step, back);
    if (s->first_alone) sh_open(s, "if (lane == 0) {");
    sh_line(s, "%s%s = %s;", each_j, acc, first);
    sh_line(s, "[[unroll]] for (uint l = 1; l < HEAD; l++)");
    sh_line(s, "    %s%s = %s;", each_j, acc, emit_combine(s, k, t, acc, sh_printf(s, "(%s%s)", other, back)));
    if (s->first_alone) sh_close(s);
    sh_close(s);
}

typedef struct Shape {
    uint32_t lanes, group;
    uint32_t width; /* neighbouring elements an invocation takes together: along the row, or of so many rows; 0: one by one */
    uint32_t trips; /* along: each lane takes so many strips of a row, and may keep them; 0: not known */
    bool exact;     /*   and every lane that many; columns: as many elements */
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

enum { BUSY = 1 << 17 }; /* invocations that keep a large GPU's memory busy */
enum { MAX_TRIPS = 8, FEW_TRIPS = 3, SUBGROUP = 32, FEW_ROWS = 1024 };

/* The same for strips: rows or lengths are counted in those. */
static Shape choose_strips(const Dim *rows, const Dim *length, bool columns, uint32_t width, bool few)
{
    int64_t r = 4096, n = 256;
    dim_is_const(rows, &r);
    bool know_n = dim_is_const(length, &n);
    uint32_t lanes = 1, near = 8;
    if (columns) {
        while (lanes < 32 && lanes * 4 < n && lanes * r < BUSY) lanes *= 2;
        while (near * lanes < 256 && near * 2 <= r) near *= 2;
        return (Shape){lanes, near * lanes < 64 ? 64 : near * lanes, width, 0, know_n && n % lanes == 0};
    }
    while (lanes < 256 && lanes < n && (lanes * 4 < n || lanes * r < BUSY)) lanes *= 2;
    if (lanes > 1 && n % lanes && n % (lanes / 2) == 0) lanes /= 2;
    /* A subgroup has no need of barriers; but where rows are few, the more processors have one the better. */
    if (!few && know_n && n > SUBGROUP && n <= 4 * SUBGROUP) lanes = SUBGROUP;
    int64_t trips = (n + lanes - 1) / lanes;
    bool keep = know_n && trips <= MAX_TRIPS;
    return (Shape){lanes, lanes > 128 ? lanes : 128, width, keep ? (uint32_t)trips : 0, keep && n % lanes == 0};
}

/* Whether a value of the kernel has the rows' full length; else it has one element a row. */
static bool is_full(Type rows, const bool *reduced, Type t)
{
    if (t.rank != rows.rank) return false;
    for (int d = 0; d < t.rank; d++)
        if (reduced[d] && t.dim[d] != rows.dim[d]) return false;
    for (int d = 0; d < t.rank; d++)
        if (reduced[d] && !dim_is(t.dim[d], 1)) return true;
    return false;
}

/* Elements of a 16-byte vector of what is reduced. */
static int strip_width(KernelGen *kg)
{
    Value *v = kg->kernel->reduces.at[0]->in[0];
    while (!kg->sched->materialized[v->id] && v->def && v->def->n_in) v = v->def->in[0];
    int bits = storage_per_word(kg, v) > 1 ? 32 / storage_per_word(kg, v) : dtype_bits(v->type.dtype) == 64 ? 64 : 32;
    return bits < 16 ? 8 : 128 / bits;
}

/* Outputs, each element of a strip where there is one. All are computed before any is stored: one may take the place of something
 * that another is computed from (codegen/states.c). */
static bool write_outputs(Shader *s, Value *const *v, Index *at, int n, const char *condition)
{
    const char **x = POOL_ARRAY(s->pool, const char *, n);
    bool *each = POOL_ARRAY(s->pool, bool, n), ok = true;
    for (int i = 0; i < n; i++) {
        each[i] = s->strip.width && ix_depends(index_flat(s, v[i]->type, &at[i]), s->strip.j);
        if (!each[i]) {
            x[i] = emit_stored(s, v[i], at[i]);
            continue;
        }
        x[i] = strip_declare(s, glsl_class(v[i]->type.dtype), NULL, true);
        strip_open(s);
        sh_line(s, "%s = %s;", x[i], emit_stored(s, v[i], at[i]));
        strip_close(s);
    }
    if (condition) sh_open(s, "if (%s) {", condition);
    for (int i = 0; i < n; i++) {
        if (each[i])
            ok &= strip_store(s, v[i], index_memory(s, v[i], &at[i]), x[i]);
        else
            emit_store(s, v[i], ix_text(s, index_memory(s, v[i], &at[i])), x[i]);
    }
    if (condition) sh_close(s);
    return ok;
}

/* Not 0: there are few rows; NULL: certainly. */
static const Dim *few_rows(DimTable *dt, const Dim *rows)
{
    int64_t least, most;
    const Dim *one = dim_const(dt, 1);
    dim_range(rows, &least, &most);
    return most <= FEW_ROWS ? NULL : dim_min(dt, dim_floordiv(dt, dim_const(dt, FEW_ROWS), dim_max(dt, rows, one)), one);
}

/* The axes of a value of the rows' full length at element kx of the row. */
static void full_axes(Shader *s, Type t, const bool *reduced, const Ix *const *ax, const Ix *kx, const Ix **full)
{
    const Dim *stride = dim_const(&s->ctx->dims, 1);
    for (int i = t.rank - 1; i >= 0; i--) {
        full[i] = ax[i];
        if (!reduced[i]) continue;
        full[i] = dim_is(t.dim[i], 1) ? ix_const(s, 0) : ix_split(s, kx, stride, t.dim[i]);
        stride = dim_mul(&s->ctx->dims, stride, t.dim[i]);
    }
}

/* Constants that are the same for all rows (a layer norm's scale and bias), which v is computed with behind the reductions. */
static void find_shared(const Shader *s, Value *v, Type rows, Value **list, int *n, int most, int depth)
{
    if (!v->def || depth > 16 || *n == most || s->kg->sched->materialized[v->id]) return;
    if (v->def->op == OP_BROADCAST && value_const(v->def->in[0], NULL) && v->type.rank == rows.rank) {
        Value *x = v->def->in[0];
        bool same = s->kg->sched->materialized[x->id];
        for (int i = 0; i < *n; i++) same &= list[i] != x;
        if (same) list[(*n)++] = x;
        return;
    }
    if (!op_info[v->def->op].point && v->def->op != OP_CAST) return;
    for (int i = 0; i < v->def->n_in; i++) find_shared(s, v->def->in[i], rows, list, n, most, depth + 1);
}

/* They are loaded before the reductions: no compiler moves a load up over a barrier, and the row is under way anyway. False:
 * there are none. */
static bool load_shared(Shader *s, Type t, const bool *reduced, const Ix *const *ax, const Dim *length)
{
    enum { MOST = 4 };
    const Kernel *k = s->kg->kernel;
    Value *list[MOST];
    int n = 0;
    for (int i = 0; i < k->out.n; i++) {
        Value *v = k->out.at[i];
        for (int j = 0; v->def && is_full(t, reduced, v->type) && j < v->def->n_in; j++)
            find_shared(s, v->def->in[j], t, list, &n, MOST, 0);
    }
    if (!n) return false;
    const Ix *full[DLVK_MAX_RANK], *own[DLVK_MAX_RANK];
    full_axes(s, t, reduced, ax, open_shared_loop(s, "true", length), full);
    strip_open(s);
    for (int i = 0; i < n; i++) {
        Type x = list[i]->type;
        for (int d = 0; d < x.rank; d++) own[d] = dim_is(x.dim[d], 1) ? ix_const(s, 0) : full[d];
        emit_value(s, list[i], index_of_axes(x, own));
    }
    strip_close(s);
    sh_close(s);
    sh_close(s);
    return true;
}

/* ROWS_FEW: strips for so few rows that it does not matter how many fit a processor, and what they share is kept in registers. */
typedef enum Style { ROWS_SCALAR, ROWS_FEW, ROWS_STRIPS, ROWS_PORTABLE } Style;

/* False: not in this style. */
static bool write_rows(KernelGen *kg, Style style, bool alone)
{
    bool strips = style == ROWS_FEW || style == ROWS_STRIPS;
    Shader *s = shader_new(kg, style == ROWS_SCALAR ? DLVK_FEATURE_SCALAR : strips ? STRIPS | DLVK_FEATURE_SUBGROUP : 0);
    s->twin = strips ? TWIN_NATIVE : alone ? TWIN_BOTH : TWIN_PLAIN;
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
    s->columns = style != ROWS_SCALAR && last >= 0 && !reduced[last];
    Shape shape = choose(rows, length, style == ROWS_SCALAR, s->columns);
    if (strips) {
        int width = strip_width(kg);
        const Dim *w = dim_const(dt, width);
        if (last < 0 || !dim_is(dim_mod(dt, s->columns ? t.dim[last] : length, w), 0)) {
            kg->variants.n--;
            return false;
        }
        if (s->columns) rows = dim_floordiv(dt, rows, w);
        shape = choose_strips(rows, s->columns ? length : dim_floordiv(dt, length, w), s->columns, (uint32_t)width,
                              style == ROWS_FEW);
        s->along = !s->columns;
        s->shuffles = s->along && shape.lanes <= SUBGROUP;
        s->trips = shape.trips > 0;
        s->exact = shape.exact;
    }
    *VEC_PUSH(s->pool, s->spec) = shape.lanes;
    *VEC_PUSH(s->pool, s->spec) = shape.group;
    s->local[0] = 0;
    s->grid[0] = dim_ceildiv(dt, rows, dim_const(dt, shape.group / shape.lanes));
    sh_decl(s, "layout(constant_id = 0) const uint LANES = 1; /* invocations that share a row: a power of two */");
    sh_decl(s, "layout(constant_id = 1) const uint GROUP = 64;");
    sh_decl(s, "layout(local_size_x_id = 1) in;");
    sh_decl(s, "const uint HEAD = LANES >= 64 ? 16 : LANES >= 16 ? 4 : LANES;");
    if (shape.width) strip_begin(s, (int)shape.width, "WIDTH");
    if (s->trips) {
        sh_decl(s, "layout(constant_id = %d) const int TRIPS = 1; /* strips that a lane takes of its row */", s->spec.n);
        *VEC_PUSH(s->pool, s->spec) = shape.trips;
    }
    bool declared[128] = {0};
    for (int i = 0; i < k->reduces.n; i++) {
        DType rt = k->reduces.at[i]->out[0]->type.dtype;
        char c = glsl_class_letter(rt);
        if (c == 'b') c = 'u';
        const char *size = shape.width && s->columns ? "GROUP * WIDTH" : "GROUP";
        if (!declared[(int)c]) sh_decl(s, "shared %s red_%c[%s];", c == 'u' ? "uint" : glsl_class(rt), c, size);
        declared[(int)c] = true;
    }

    const char *of[] = {s->columns ? "/ (GROUP / LANES)" : "% LANES", s->columns ? "% (GROUP / LANES)" : "/ LANES"};
    const char *own = s->shuffles ? "own" : "gl_LocalInvocationID.x";
    if (s->shuffles) /* nobody says that subgroups are neighbours in the workgroup's order */
        sh_line(s, "uint own = LANES <= gl_SubgroupSize ? gl_SubgroupID * gl_SubgroupSize + gl_SubgroupInvocationID : "
                   "gl_LocalInvocationID.x;");
    sh_line(s, "uint lane = %s %s;", own, of[0]);
    sh_line(s, "uint row_number = %s * (GROUP / LANES) + %s %s;", group_number(s), own, of[1]);
    sh_line(s, "bool live = row_number < uint(%s);", arg_int(s, rows));
    sh_line(s, "int row = live ? int(row_number) : 0; /* a row too many is computed and not stored: barriers want everyone */");
    s->lanes = "int(LANES)";
    s->lane = "int(lane)";
    s->first_alone = k->reduces.n == 1;
    for (int i = 0; i < k->out.n; i++) s->first_alone &= !is_full(t, reduced, k->out.at[i]->type);

    const Ix *row = ix_var(s, "row", rows), *ax[DLVK_MAX_RANK], *full[DLVK_MAX_RANK];
    if (shape.width && s->columns) row = ix_add(s, ix_mul(s, row, dim_const(dt, shape.width)), s->strip.j);
    const Dim *stride = dim_const(dt, 1);
    for (int i = t.rank - 1; i >= 0; i--) {
        ax[i] = ix_const(s, 0);
        if (reduced[i]) continue;
        ax[i] = dim_is(t.dim[i], 1) ? ix_const(s, 0) : ix_split(s, row, stride, t.dim[i]);
        stride = dim_mul(dt, stride, t.dim[i]);
    }
    for (int i = 0; i < t.rank; i++) /* once, outside the loops */
        if (!s->strip.width || !ix_depends(ax[i], s->strip.j)) ix_text(s, ax[i]);
    if (style == ROWS_FEW) {
        int64_t least, most;
        dim_range(rows, &least, &most);
        s->when = few_rows(dt, rows);
        if (!s->trips || shape.trips > FEW_TRIPS || least > FEW_ROWS || !load_shared(s, t, reduced, ax, length)) {
            kg->variants.n--;
            return false;
        }
    }
    for (int i = 0; i < k->reduces.n; i++) {
        Value *v = k->reduces.at[i]->out[0];
        emit_value(s, v, index_of_axes(v->type, ax));
    }

    /* Outputs of one value a row, by lane 0; then one loop for those with the rows' full length. */
    Value **list = POOL_ARRAY(s->pool, Value *, k->out.n);
    Index *at = POOL_ARRAY(s->pool, Index, k->out.n);
    int n = 0;
    for (int i = 0; i < k->out.n; i++) {
        Value *v = k->out.at[i];
        if (is_full(t, reduced, v->type)) continue;
        /* an element a row, with the row's own axes or reshaped */
        at[n] = type_reduced(t, reduced, v->type) ? index_of_axes(v->type, ax) : index_of_flat(s, v->type, row);
        list[n++] = v;
    }
    bool ok = !n || write_outputs(s, list, at, n, "live && lane == 0");
    if (n < k->out.n) {
        full_axes(s, t, reduced, ax, open_shared_loop(s, "live", length), full);
        n = 0;
        for (int i = 0; i < k->out.n; i++) {
            Value *v = k->out.at[i];
            if (!is_full(t, reduced, v->type)) continue;
            at[n] = index_of_axes(v->type, full);
            list[n++] = v;
        }
        ok &= write_outputs(s, list, at, n, NULL);
        sh_close(s);
        sh_close(s);
    }
    if (!ok) kg->variants.n--;
    return ok;
}

bool gen_rows(KernelGen *kg)
{
    write_rows(kg, ROWS_SCALAR, true);
    if (write_rows(kg, ROWS_FEW, true) && !kg->variants.at[kg->variants.n - 1]->when) {
        write_rows(kg, ROWS_PORTABLE, false);
        return true;
    }
    write_rows(kg, ROWS_PORTABLE, !write_rows(kg, ROWS_STRIPS, true));
    return true;
}
