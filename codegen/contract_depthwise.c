/* Depthwise convolutions on GPUs: what fills codegen/glsl/contract_depthwise.comp.glsl. */
#include "codegen/contract.h"
#include "dlvk/runtime.h"

enum { GROUP = 128, VECTOR = 8, MOST_TAPS = 7 };

/* Channels neighbour in memory, in whole vectors, and each goes its own way. */
static bool fits(KernelGen *kg, const Contraction *c)
{
    DimTable *dt = &kg->ctx->dims;
    const Dim *vector = dim_const(dt, VECTOR);
    int64_t taps;
    if (!c->conv || c->n_tap != 2 || !dim_is(c->k, 1) || !dim_is(c->n, 1) || !c->a.affine || !c->b.affine) return false;
    if (c->a.at.buffer->type.dtype != DLVK_F16 || c->b.at.buffer->type.dtype != DLVK_F16) return false;
    if (!dim_is(c->a_k, 1) || !dim_is(c->b_n, 1) || !dim_is(dim_mod(dt, c->z, vector), 0)) return false;
    const Dim *strides[] = {c->a.at.base,       c->b.at.base,       c->a.at.stride[0], c->tap[0].a_stride,
                            c->tap[1].a_stride, c->tap[0].b_stride, c->tap[1].b_stride};
    for (size_t i = 0; i < sizeof strides / sizeof *strides; i++)
        if (!dim_is(dim_mod(dt, strides[i], vector), 0)) return false;
    for (int i = 0; i < 2; i++) {
        const Tap *p = &c->tap[i];
        if (!dim_is_const(p->count, &taps) || taps > MOST_TAPS || p->dilation != 1 || p->in_dilation != 1 || p->axis != i + 1)
            return false;
    }
    return true;
}

static bool one_count(KernelGen *kg, const Contraction *c, int pixels, const Dim *when)
{
    int args = kg->args.n;
    DimTable *dt = &kg->ctx->dims;
    Shader *s = shader_new(kg, STRIPS | DLVK_FEATURE_STORAGE16);
    s->twin = TWIN_NATIVE;
    const Tap *ty = &c->tap[0], *tx = &c->tap[1];
    Type t = c->out->type;
    const Dim *one = dim_const(dt, 1);
    int64_t rows = 1, columns = 1;
    dim_is_const(ty->count, &rows);
    dim_is_const(tx->count, &columns);
    const uint32_t spec[] = {(uint32_t)pixels, (uint32_t)rows, (uint32_t)columns, (uint32_t)tx->step};
    for (size_t i = 0; i < sizeof spec / sizeof *spec; i++) *VEC_PUSH(s->pool, s->spec) = spec[i];
    s->when = when;

    /* To what stands behind, channels are columns. */
    Contraction whole = *c;
    whole.n = c->z;
    whole.z = one;
    Epilogue behind = contract_epilogue(s, &whole, LANES_STRIPS);
    if (*behind.width) { /* not in strips */
        kg->variants.n--;
        kg->args.n = args;
        return false;
    }
    const Dim *strips = dim_floordiv(dt, c->z, dim_const(dt, VECTOR)), *blocks = dim_ceildiv(dt, t.dim[2], dim_const(dt, pixels));
    const Dim *lines = dim_mul(dt, t.dim[0], t.dim[1]), *line_items = dim_mul(dt, strips, blocks);
    const Dim *items = dim_mul(dt, lines, line_items);
    s->grid[0] = dim_ceildiv(dt, items, dim_const(dt, GROUP));

    Piece piece = contract_begin(s);
    const Ix *item = ix_var(s, "item", items);
    sh_line(s, "int strip = %s;", ix_text(s, ix_split(s, item, one, strips)));
    sh_line(s, "int block = %s;", ix_text(s, ix_split(s, item, strips, blocks)));
    sh_line(s, "int line = %s;", ix_text(s, ix_split(s, item, line_items, lines)));
    const Ix *line = ix_var(s, "line", lines), *strip = ix_mul(s, ix_var(s, "strip", strips), dim_const(dt, VECTOR));
    sh_line(s, "int image = %s;", ix_text(s, ix_split(s, line, t.dim[1], t.dim[0])));
    const Ix *y = ix_mul(s, ix_split(s, line, one, t.dim[1]), dim_const(dt, ty->step));
    const Ix *x = ix_mul(s, ix_var(s, "block", blocks), dim_const(dt, pixels * tx->step));
    sh_line(s, "int top = %s;", ix_text(s, ix_sub(s, y, ix_dim(s, ty->lo))));
    sh_line(s, "int left = %s;", ix_text(s, ix_sub(s, x, ix_dim(s, tx->lo))));
    const Ix *a =
        ix_add(s, ix_add(s, ix_dim(s, c->a.at.base), ix_mul(s, ix_var(s, "image", t.dim[0]), c->a.at.stride[0])), strip);
    sh_line(s, "int a_at = %s;", ix_text(s, a));
    sh_line(s, "int b_at = %s;", ix_text(s, ix_add(s, ix_dim(s, c->b.at.base), strip)));
    const char *width = arg_int(s, t.dim[2]);
    sh_line(s, "int m_first = line * %s + block * EACH;", width);
    sh_line(s, "int m_last = min(EACH, %s - block * EACH) - 1;", width);
    const char *place = contract_end(s, piece);

    const Hole holes[] = {
        {"width", behind.width},
        {"items", arg_size(s, items, "items")},
        {"place", place},
        {"rows", arg_int(s, ty->size)},
        {"columns", arg_int(s, tx->size)},
        {"a", arg_buffer(s, c->a.at.buffer, false, "BufU32")},
        {"a_row", arg_int(s, ty->a_stride)},
        {"a_column", arg_int(s, tx->a_stride)},
        {"b", arg_buffer(s, c->b.at.buffer, false, "BufU32")},
        {"b_row", arg_int(s, ty->b_stride)},
        {"b_column", arg_int(s, tx->b_stride)},
        {"column_values", behind.column_values},
        {"results", behind.results},
        {"value", behind.value},
        {"put", behind.put},
    };
    contract_assemble(s, "contract_depthwise.comp.glsl", sizeof holes / sizeof *holes, holes);
    return true;
}

bool gen_depthwise(KernelGen *kg)
{
    /* Invocations that keep a large GPU busy; more pixels each where there are so many. */
    enum { BUSY = 1 << 15 };
    static const int counts[] = {4, 2, 1};
    DimTable *dt = &kg->ctx->dims;
    if (kg->kernel->arch != ARCH_CONTRACT) return false;
    const Contraction c = contract_analyse(kg);
    if (!fits(kg, &c)) return false;
    const Dim *vectors = dim_mul(dt, c.m, dim_floordiv(dt, c.z, dim_const(dt, VECTOR)));
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        const Dim *when = counts[i] == 1 ? NULL : dim_floordiv(dt, vectors, dim_const(dt, (int64_t)BUSY * counts[i]));
        if (!contract_may_run(&when)) continue;
        if (!one_count(kg, &c, counts[i], when)) return false;
        if (!when) return true;
    }
    return false;
}
