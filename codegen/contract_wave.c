/* Contractions on GPUs, and the path that is always legal: what fills codegen/glsl/contract_wave.comp.glsl.
 *
 * An operand that is not plain f32 memory is evaluated, element by element, while it is brought into shared memory: it may be
 * of any float type, and any expression. */
#include "codegen/contract.h"
#include "dlvk/runtime.h"

/* Index of the window along tap i at step k of the flat k, and the channel. */
static const Ix *k_tap(Shader *s, const Contraction *c, int i, const Ix *k)
{
    DimTable *dt = &s->ctx->dims;
    const Dim *stride = c->k;
    for (int j = c->n_tap - 1; j > i; j--) stride = dim_mul(dt, stride, c->tap[j].count);
    return ix_split(s, k, stride, c->tap[i].count);
}

static const Ix *k_inner(Shader *s, const Contraction *c, const Ix *k)
{
    return ix_split(s, k, dim_const(&s->ctx->dims, 1), c->k);
}

/* Row r of the tile: where it begins in A and where its window begins, kept in shared memory. */
static const char *row_text(Shader *s, const Contraction *c)
{
    Piece piece = contract_begin(s);
    s->role = "rows";
    DimTable *dt = &s->ctx->dims;
    if (c->a.affine) sh_line(s, "row_at[r] = %s;", ix_text(s, contract_a_offset(s, c, "m", "z")));
    for (int i = 0; i < c->n_tap; i++) {
        const Tap *p = &c->tap[i];
        if (p->plain && c->a.affine) continue;
        const Ix *x = ix_mul(s, contract_row_axis(s, c, p->axis, "m", "z"), dim_const(dt, p->step));
        sh_line(s, "origin%d[r] = %s;", i, ix_text(s, ix_sub(s, x, ix_dim(s, p->lo))));
    }
    s->role = NULL;
    return contract_end(s, piece);
}

/* What this invocation's k means for A, the same for all its rows. */
static const char *a_slice_text(Shader *s, const Contraction *c)
{
    Piece piece = contract_begin(s);
    s->role = "taps";
    const Ix *k = ix_var(s, "k", c->steps);
    sh_line(s, "int inner = %s;", ix_text(s, k_inner(s, c, k)));
    for (int i = 0; i < c->n_tap; i++) {
        const Tap *p = &c->tap[i];
        if (p->plain && c->a.affine) continue;
        const char *w = ix_text(s, k_tap(s, c, i, k));
        if (p->dilation == 1)
            sh_line(s, "int w%d = %s;", i, w);
        else
            sh_line(s, "int w%d = %s * %s;", i, w, arg_int(s, dim_const(&s->ctx->dims, p->dilation)));
    }
    s->role = NULL;
    return contract_end(s, piece);
}

static const char *a_load_text(Shader *s, const Contraction *c)
{
    Piece piece = contract_begin(s);
    s->role = "taps";
    DimTable *dt = &s->ctx->dims;
    Type ta = c->a.value->type;
    int r = c->out->type.rank;
    const char *ok = "live", *at = "row_at[r]";
    const Ix *ax[DLVK_MAX_RANK];
    for (int i = 0; i < c->n_tap; i++) {
        const Tap *p = &c->tap[i];
        if (p->plain && c->a.affine) continue;
        const char *size = arg_int(s, p->size);
        sh_line(s, "int p%d = origin%d[r] + w%d;", i, i, i);
        if (p->in_dilation != 1) {
            const char *d = arg_int(s, dim_const(dt, p->in_dilation));
            sh_line(s, "int q%d = p%d / %s;", i, i, d);
            ok = sh_printf(s, "%s && p%d >= 0 && q%d * %s == p%d && q%d < %s", ok, i, i, d, i, i, size);
        } else {
            sh_line(s, "int q%d = p%d;", i, i);
            ok = sh_printf(s, "%s && uint(q%d) < uint(%s)", ok, i, size);
        }
        const char *q = sh_printf(s, "q%d", i);
        ax[p->axis] = ix_var(s, q, p->size);
        if (c->a.affine) at = sh_printf(s, "%s + %s * %s", at, q, arg_int(s, p->a_stride));
    }
    sh_open(s, "if (%s) {", ok);
    if (c->a.affine) {
        sh_line(s, "x = %s;", contract_load(s, &c->a, sh_printf(s, "%s + inner * %s", at, arg_int(s, c->a_k))));
    } else {
        const Ix *inner = ix_var(s, "inner", c->k);
        sh_line(s, "int m = min(m0 + r, %s - 1);", arg_size(s, c->m, "m"));
        for (int i = 0; i < r - 1; i++)
            if (!c->conv || i == 0) ax[i] = contract_row_axis(s, c, i, "m", "z");
        ax[r - 1] = inner;
        if (c->conv && !dim_is(c->z, 1)) ax[r - 1] = ix_add(s, inner, ix_mul(s, ix_var(s, "z", c->z), c->k));
        sh_line(s, "x = %s;", emit_value(s, c->a.value, index_of_axes(ta, ax)));
    }
    sh_close(s);
    s->role = NULL;
    return contract_end(s, piece);
}

static const char *b_load_text(Shader *s, const Contraction *c)
{
    Piece piece = contract_begin(s);
    s->role = "taps";
    const Ix *k = ix_var(s, "k", c->steps), *n = ix_var(s, "n", c->n);
    if (c->b.affine) {
        const Ix *at = contract_b_offset(s, c, "z");
        if (c->b_dense)
            at = ix_add(s, at, ix_mul(s, k, c->b_k));
        else
            at = ix_add(s, at, ix_mul(s, k_inner(s, c, k), c->b_k));
        for (int i = 0; i < c->n_tap && !c->b_dense; i++) at = ix_add(s, at, ix_mul(s, k_tap(s, c, i, k), c->tap[i].b_stride));
        at = ix_add(s, at, ix_mul(s, n, c->b_n));
        const char *flat = ix_text(s, at);
        sh_line(s, "x = %s;", contract_load(s, &c->b, flat));
    } else {
        Type tb = c->b.value->type;
        const Ix *ax[DLVK_MAX_RANK];
        for (int i = 0; i < tb.rank - 2; i++)
            ax[i] = c->conv ? k_tap(s, c, i, k) : contract_row_axis(s, c, i, "m0", "z"); /* batch axes: m is not looked at */
        ax[tb.rank - 2] = k_inner(s, c, k);
        ax[tb.rank - 1] = n;
        if (c->conv && !dim_is(c->z, 1)) ax[tb.rank - 1] = ix_add(s, n, ix_mul(s, ix_var(s, "z", c->z), c->n));
        const char *x = emit_value(s, c->b.value, index_of_axes(tb, ax));
        sh_line(s, "x = %s;", x);
    }
    s->role = NULL;
    return contract_end(s, piece);
}

/* Teams that share out k: more where tiles are too few to fill a GPU. */
static uint32_t choose_parts(const Contraction *c)
{
    int64_t m, n, k, z;
    if (!dim_is_const(c->m, &m) || !dim_is_const(c->n, &n) || !dim_is_const(c->steps, &k) || !dim_is_const(c->z, &z)) return 2;
    int64_t tiles = (m + 63) / 64 * ((n + 31) / 32) * z;
    return k >= 256 && tiles < 256 ? 4 : k >= 64 && tiles < 1024 ? 2 : 1;
}

void contract_wave(KernelGen *kg, const Contraction *c, uint32_t features)
{
    DimTable *dt = &kg->ctx->dims;
    Shader *s = shader_new(kg, features);
    /* Four teams take 27 KiB of shared memory: more than every device has, but a GPU for whom large workgroups are no trouble. */
    *VEC_PUSH(s->pool, s->spec) = 64 * (features ? choose_parts(c) : 1);
    const Dim *row_tiles = dim_ceildiv(dt, c->m, dim_const(dt, 64)), *column_tiles = dim_ceildiv(dt, c->n, dim_const(dt, 32));
    s->grid[0] = dim_mul(dt, dim_mul(dt, row_tiles, column_tiles), c->z);
    const char *shared_rows = c->a.affine ? "shared int row_at[BM];\n" : "";
    for (int i = 0; i < c->n_tap; i++)
        if (!c->tap[i].plain || !c->a.affine) shared_rows = sh_printf(s, "%sshared int origin%d[BM];\n", shared_rows, i);
    const char *column_values, *store;
    contract_epilogue(s, c, false, &column_values, &store);
    const Hole holes[] = {
        {"shared_rows", shared_rows},
        {"z", arg_int(s, c->z)},
        {"m", arg_size(s, c->m, "m")},
        {"n", arg_size(s, c->n, "n")},
        {"k", arg_size(s, c->steps, "steps")},
        {"row", row_text(s, c)},
        {"a_slice", a_slice_text(s, c)},
        {"a_load", a_load_text(s, c)},
        {"b_load", b_load_text(s, c)},
        {"column_values", column_values},
        {"store", store},
    };
    contract_assemble(s, "contract_wave.comp.glsl", sizeof holes / sizeof *holes, holes);
}
