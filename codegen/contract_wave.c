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
    const Dim *stride = c->taps_first ? dim_const(dt, 1) : c->k;
    for (int j = c->n_tap - 1; j > i; j--) stride = dim_mul(dt, stride, c->tap[j].count);
    return ix_split(s, k, stride, c->tap[i].count);
}

static const Ix *k_inner(Shader *s, const Contraction *c, const Ix *k)
{
    DimTable *dt = &s->ctx->dims;
    const Dim *stride = dim_const(dt, 1);
    for (int i = 0; c->taps_first && i < c->n_tap; i++) stride = dim_mul(dt, stride, c->tap[i].count);
    return ix_split(s, k, stride, c->k);
}

const char *contract_rows(Shader *s, const Contraction *c, const char *type, const char *count)
{
    const char *text = c->a.affine ? sh_printf(s, "%s row_at[%s];\n", type, count) : "";
    for (int i = 0; i < c->n_tap; i++)
        if (!c->tap[i].plain || !c->a.affine) text = sh_printf(s, "%s%s origin%d[%s];\n", text, type, i, count);
    return text;
}

/* Whether a step of the window is one through memory, so that a row's place and a step's need only be added. */
static bool shifts(const Contraction *c, const Tap *p)
{
    return c->a.affine && !p->plain && p->in_dilation == 1;
}

/* A row of the tile: where its window begins, and where that is in A. */
const char *contract_row(Shader *s, const Contraction *c, const char *row)
{
    Piece piece = contract_begin(s);
    s->role = "rows";
    DimTable *dt = &s->ctx->dims;
    if (c->a.affine) sh_line(s, "row_at[%s] = %s;", row, ix_text(s, contract_a_offset(s, c, "m", "z")));
    for (int i = 0; i < c->n_tap; i++) {
        const Tap *p = &c->tap[i];
        if (p->plain && c->a.affine) continue;
        const Ix *x = ix_mul(s, contract_row_axis(s, c, p->axis, "m", "z"), dim_const(dt, p->step));
        sh_line(s, "origin%d[%s] = %s;", i, row, ix_text(s, ix_sub(s, x, ix_dim(s, p->lo))));
        if (!shifts(c, p)) continue;
        s->role = "taps"; /* whose argument it is */
        sh_line(s, "row_at[%s] += origin%d[%s] * %s;", row, i, row, arg_int(s, p->a_stride));
        s->role = "rows";
    }
    s->role = NULL;
    return contract_end(s, piece);
}

/* What this invocation's k means for A, the same for all its rows. */
const char *contract_a_slice(Shader *s, const Contraction *c)
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
    const char *shift = dim_is(c->a_k, 1) ? "inner" : sh_printf(s, "inner * %s", c->a.affine ? arg_int(s, c->a_k) : "0");
    for (int i = 0; i < c->n_tap; i++)
        if (shifts(c, &c->tap[i])) shift = sh_printf(s, "%s + w%d * %s", shift, i, arg_int(s, c->tap[i].a_stride));
    if (c->a.affine) sh_line(s, "int shift = %s;", shift);
    s->role = NULL;
    return contract_end(s, piece);
}

static bool divides(KernelGen *kg, const Dim *d, int by)
{
    return dim_is(dim_mod(&kg->ctx->dims, d, dim_const(&kg->ctx->dims, by)), 0);
}

static int width(Load l)
{
    return l == LOAD_8_F16 ? 8 : l == LOAD_4_F32 ? 4 : 1;
}

static DType element_of(Load l)
{
    return l == LOAD_8_F16 ? DLVK_F16 : DLVK_F32;
}

bool contract_a_along_k(const Contraction *c)
{
    return !c->a.affine || dim_is(c->a_k, 1) || !dim_is(c->a.at.stride[c->row[c->n_row - 1]], 1);
}

bool contract_b_along_k(const Contraction *c)
{
    return c->b.affine && !dim_is(c->b_n, 1) && dim_is(c->b_k, 1);
}

/* Vectors begin at multiples of their width: so must every index that is not along them, times its stride. */
Load contract_a_vectors(KernelGen *kg, const Contraction *c, Load vectors)
{
    int w = width(vectors), r = c->out->type.rank, last = c->row[c->n_row - 1];
    bool along_k = contract_a_along_k(c);
    bool ok = c->a.affine && c->a.at.buffer->type.dtype == element_of(vectors) && divides(kg, c->a.at.base, w);
    if (along_k)
        ok = ok && dim_is(c->a_k, 1) && divides(kg, c->k, w);
    else
        ok = ok && divides(kg, c->a_k, w) && divides(kg, c->out->type.dim[last], w);
    for (int i = 0; ok && i < r - 1; i++) ok = (!along_k && i == last) || divides(kg, c->a.at.stride[i], w);
    for (int i = 0; ok && !along_k && i < c->n_tap; i++) ok = c->tap[i].axis != last || (c->tap[i].plain && c->tap[i].step == 1);
    return ok ? vectors : LOAD_ELEMENT;
}

/* The last vector of a row of B may reach beyond its columns, where the row has room for it in memory (passes/align.c). */
static bool has_room(KernelGen *kg, const Contraction *c, int w)
{
    DimTable *dt = &kg->ctx->dims;
    const Dim *whole = dim_mul(dt, dim_ceildiv(dt, c->n, dim_const(dt, w)), dim_const(dt, w));
    int64_t least, most;
    dim_range(dim_sub(dt, c->b_k, whole), &least, &most);
    return least >= 0 && (!c->conv || dim_is(c->z, 1));
}

Load contract_b_vectors(KernelGen *kg, const Contraction *c, Load vectors)
{
    int w = width(vectors);
    bool along_k = contract_b_along_k(c);
    bool ok = c->b.affine && c->b.at.buffer->type.dtype == element_of(vectors) && divides(kg, c->b.at.base, w);
    ok = ok && (along_k ? divides(kg, c->k, w) && divides(kg, c->b_n, w)
                        : dim_is(c->b_n, 1) && (divides(kg, c->n, w) || has_room(kg, c, w)) && divides(kg, c->b_k, w));
    for (int i = 0; ok && i < c->n_tap; i++) ok = divides(kg, c->tap[i].b_stride, w);
    for (int i = 0; ok && i < c->n_batch; i++) ok = divides(kg, c->b.at.stride[c->batch[i]], w);
    return ok ? vectors : LOAD_ELEMENT;
}

/* What lies at element `at` of an operand's memory. */
static const char *load_text(Shader *s, const Operand *o, const char *at, Load load)
{
    if (load == LOAD_ELEMENT) return contract_load(s, o, at);
    Value *v = o->at.buffer;
    bool words = storage_per_word(s->kg, v) == 1;
    const char *b = arg_buffer(s, v, false, words ? "BufF32" : "BufU32");
    if (load == LOAD_4_F32) return sh_printf(s, "Floats(%s).d[(%s) >> 2]", b, at);
    if (!words) return sh_printf(s, "Vectors(%s).d[(%s) >> 3]", b, at);
    return sh_printf(s, "halves(Floats(%s).d[(%s) >> 2], Floats(%s).d[((%s) >> 2) + 1])", b, at, b, at);
}

const char *contract_a_load(Shader *s, const Contraction *c, Load load, const char *row)
{
    Piece piece = contract_begin(s);
    s->role = "taps";
    DimTable *dt = &s->ctx->dims;
    Type ta = c->a.value->type;
    int r = c->out->type.rank;
    const char *ok = "live", *at = sh_printf(s, "row_at[%s] + shift", row);
    const Ix *ax[DLVK_MAX_RANK];
    for (int i = 0; i < c->n_tap; i++) {
        const Tap *p = &c->tap[i];
        if (p->plain && c->a.affine) continue;
        const char *size = arg_int(s, p->size);
        sh_line(s, "int p%d = origin%d[%s] + w%d;", i, i, row, i);
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
        if (c->a.affine && !shifts(c, p)) at = sh_printf(s, "%s + %s * %s", at, q, arg_int(s, p->a_stride));
    }
    sh_open(s, "if (%s) {", ok);
    if (c->a.affine) {
        const char *x = load_text(s, &c->a, at, load);
        if (c->a.leaf) x = load == LOAD_ELEMENT ? sh_printf(s, "before(%s, inner)", x) : contract_before_vector(s, c, x);
        sh_line(s, "x = %s;", x);
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

const char *contract_b_load(Shader *s, const Contraction *c, Load load)
{
    Piece piece = contract_begin(s);
    s->role = "taps";
    const Ix *k = ix_var(s, "k", c->steps), *n = ix_var(s, "n", c->n);
    if (c->b.affine) {
        const Ix *at = contract_b_offset(s, c, "z");
        if (c->b_step)
            at = ix_add(s, at, ix_mul(s, k, c->b_step));
        else
            at = ix_add(s, at, ix_mul(s, k_inner(s, c, k), c->b_k));
        for (int i = 0; i < c->n_tap && !c->b_step; i++) at = ix_add(s, at, ix_mul(s, k_tap(s, c, i, k), c->tap[i].b_stride));
        at = ix_add(s, at, ix_mul(s, n, c->b_n));
        const char *flat = ix_text(s, at);
        sh_line(s, "x = %s;", load_text(s, &c->b, flat, load));
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

/* Two teams that share out k, unless there is more than enough for all of a GPU's processors to do. (Four take longer.) */
static int choose_cuts(DimTable *dt, const Contraction *c, bool large, Cut *cut)
{
    cut[0] = cut[1] = (Cut){.m = 64, .n = 32, .parts = 1, .most = 1};
    if (!large) return 1;
    const Dim *tiles = dim_ceildiv(dt, c->m, dim_const(dt, cut->m));
    tiles = dim_mul(dt, dim_mul(dt, tiles, dim_ceildiv(dt, c->n, dim_const(dt, cut->n))), c->z);
    cut[0].when = dim_floordiv(dt, tiles, dim_const(dt, 1024));
    cut[1].parts = 2;
    cut[1].enough = cut[1].least = 256;
    cut[1].most = 64;
    return 2;
}

static void one_cut(KernelGen *kg, const Contraction *c, uint32_t features, const Cut *cut, int n, int i)
{
    Shader *s = shader_new(kg, features);
    *VEC_PUSH(s->pool, s->spec) = 64 * cut[i].parts;
    *VEC_PUSH(s->pool, s->spec) = !dim_is(cut[i].splits, 1);
    s->grid[0] = dim_mul(&kg->ctx->dims, cut[i].tiles, cut[i].splits);
    s->when = cut[i].when;
    Tiles t = {.split = contract_splits(s, cut, n, "(SHARED ? shares : 1)"),
               .row_type = "shared int",
               .rows = "BM",
               .row = "r",
               .unroll = features != 0};
    /* SwiftShader dies of the vector loads. */
    t.a_by_rows = features != 0 && c->a.affine;
    if (features) t.a = contract_a_vectors(kg, c, LOAD_4_F32);
    if (features && !contract_b_along_k(c)) t.b = contract_b_vectors(kg, c, LOAD_4_F32);
    contract_tiles(s, c, "contract_wave.comp.glsl", &t);
}

void contract_wave(KernelGen *kg, const Contraction *c, uint32_t features)
{
    Cut cut[MOST_CUTS];
    int n = choose_cuts(&kg->ctx->dims, c, features != 0, cut);
    contract_cuts(kg, c, cut, &n);
    for (int i = 0; i < n; i++) one_cut(kg, c, features, cut, n, i);
}
