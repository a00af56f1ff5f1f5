/* Map kernels whose operands and result are contiguous along different axes, as a transpose's are, on a GPU.
 *
 * An invocation computes a square block of the result over two axes: the result's last one, and the one along which operands are
 * contiguous. It loads such operands in strips along theirs, one for each place along the result's, and takes their elements from
 * its registers while it walks along the result's. So both sides move in vectors of 16 bytes, which those of the neighbouring
 * invocations make whole lines of memory, and nobody waits for anyone. Other operands are loaded where they are used, as in any
 * map kernel. */
#include <string.h>

#include "codegen/shader.h"
#include "dlvk/runtime.h"

enum { GROUP = 256, NEIGHBOURS = 8, LEAVES = 16, NEAR = 4 };

typedef struct Axes {
    int rank,
        a; /* operands are contiguous along axis a, the result along the last one; neighbouring axes are one where they can be */
    const Dim *dim[DLVK_MAX_RANK], *stride[DLVK_MAX_RANK];
} Axes;

/* The stored values that v is made of element by element, as seen through movement; false: not all are of this kind. */
static bool find_leaves(KernelGen *kg, Value *v, Affine *leaf, int *n)
{
    const Tensor *t;
    const Node *d = v->def;
    if (value_const(v, &t) && (t->splat || t->count == 1)) return true;
    bool own = kg->kernel->out.at[0] == v;
    if (d && (own || !kg->sched->materialized[v->id]) && (op_info[d->op].point || d->op == OP_CAST)) {
        for (int i = 0; i < d->n_in; i++)
            if (!find_leaves(kg, d->in[i], leaf, n)) return false;
        return true;
    }
    if (*n == LEAVES) return false;
    if (own && d) { /* value_affine() would take it for stored */
        kg->sched->materialized[v->id] = false;
        bool ok = value_affine(kg, v, &leaf[*n]);
        kg->sched->materialized[v->id] = true;
        return ok && ++*n;
    }
    return value_affine(kg, v, &leaf[*n]) && ++*n;
}

/* False: nothing is transposed. */
static bool find_axes(KernelGen *kg, Value *v, Axes *x)
{
    DimTable *dt = &kg->ctx->dims;
    Affine leaf[LEAVES];
    int n = 0;
    *x = (Axes){.a = -1};
    if (!find_leaves(kg, v, leaf, &n)) return false;
    const Dim *stride = dim_const(dt, 1), *inner[LEAVES];
    /* From the last axis on; the list is turned round afterwards. */
    for (int i = v->type.rank - 1; i >= 0; i--) {
        const Dim *d = v->type.dim[i];
        if (dim_is(d, 1)) continue;
        bool merge = x->rank > 0;
        for (int k = 0; k < n && merge; k++) merge = leaf[k].stride[i] == dim_mul(dt, inner[k], x->dim[x->rank - 1]);
        if (merge) {
            x->dim[x->rank - 1] = dim_mul(dt, d, x->dim[x->rank - 1]);
            stride = dim_mul(dt, stride, d);
            continue;
        }
        for (int k = 0; k < n; k++) {
            inner[k] = leaf[k].stride[i];
            if (x->rank > 0 && x->a < 0 && dim_is(inner[k], 1)) x->a = x->rank;
        }
        x->dim[x->rank] = d;
        x->stride[x->rank++] = stride;
        stride = dim_mul(dt, stride, d);
    }
    return x->a > 0;
}

/* a with `from` of stride 1 and the strip's axis, which is strip * width + j, put in other terms; NULL: not of that form. */
static const Ix *turned(Shader *s, const Ix *flat, const Ix *pa, const Ix *pb, const Dim *width, const Ix *to_a, const Ix *to_b)
{
    const Ix *rest = ix_without(s, flat, pa);
    if (!rest || rest->kind != IX_SUM) return NULL;
    const Dim *stride = NULL;
    for (int i = 0; i < rest->n; i++)
        if (rest->term[i].x == s->strip.j) stride = rest->term[i].stride;
    if (!stride) return NULL;
    rest = ix_sub(s, rest, ix_mul(s, ix_add(s, ix_mul(s, pb, width), s->strip.j), stride));
    if (ix_depends(rest, pb) || ix_depends(rest, s->strip.j)) return NULL;
    return ix_add(s, ix_add(s, rest, ix_mul(s, to_b, stride)), to_a);
}

const char *tile_load(Shader *s, Value *v, const Ix *flat)
{
    Turn *t = s->tile;
    char c = glsl_class_letter(v->type.dtype);
    if (!t || !strip_direct(s) || (c != 'f' && c != 'i' && c != 'u')) return NULL;
    const Ix *from = turned(s, flat, t->pa, t->pb, t->width, t->to_a, t->to_b);
    if (!from) return NULL;
    int k = 0;
    while (k < t->n && (t->load[k].v != v || t->load[k].from != from)) k++;
    if (k == TILE_LOADS) return NULL;
    int per = strip_wide(s, v, from) ? storage_per_word(s->kg, v) : 1;
    if (s->strip.width % per) return NULL;
    if (k == t->n) t->load[t->n++] = (struct TileLoad){v, from, sh_fresh(s, "block"), per};
    s->strip.vectors++;
    const char *x = sh_printf(s, "%s[(j * WIDTH + e) / %d]", t->load[k].name, per);
    return per > 1 ? strip_part(s, v->type.dtype, x, "e") : x;
}

/* What goes before the block's computation: its operands, in strips along their axis. */
static void stage(Shader *s, Turn *t, const char *size_a, const char *size_b, bool whole)
{
    for (int k = 0; k < t->n; k++) {
        const struct TileLoad *l = &t->load[k];
        int size = s->strip.width * s->strip.width / l->per;
        sh_line(s, "%s %s[%d];", l->per > 1 ? "uint" : glsl_class(l->v->type.dtype), l->name, size);
    }
    sh_open(s, "[[unroll]] for (int e = 0; e < WIDTH; e++) {");
    sh_line(s, "int qb = pb * WIDTH + e;");
    sh_open(s, "if (qb < %s) {", size_b);
    ix_var_here(s, "qb");
    for (int k = 0; k < t->n; k++) {
        const struct TileLoad *l = &t->load[k];
        const char *first, *words = NULL;
        strip_open(s);
        if (l->per > 1) words = strip_words(s, l->v, l->from, &first);
        if (words) {
            sh_line(s, "if (j %% %d == 0) %s[(e * WIDTH + j) / %d] = %s[%sj / %d];", l->per, l->name, l->per, words, first,
                    l->per);
        } else {
            if (!whole) sh_open(s, "if (qa * WIDTH + j < %s) {", size_a);
            const char *x = strip_load(s, l->v, l->from);
            if (!x) x = emit_load(s, l->v, ix_text(s, l->from));
            sh_line(s, "%s[e * WIDTH + j] = %s;", l->name, x);
            if (!whole) sh_close(s);
        }
        strip_close(s);
    }
    sh_close(s);
    sh_close(s);
}

/* Blocks of a workgroup along the result's last axis, a power of two: as many as there are, but lines of memory whole. */
static int across(const Dim *strips)
{
    int64_t n;
    int blocks = 8;
    if (!dim_is_const(strips, &n)) return blocks;
    while (blocks > 1 && blocks / 2 >= n) blocks /= 2;
    return blocks;
}

bool gen_tiles(KernelGen *kg)
{
    DimTable *dt = &kg->ctx->dims;
    Value *v = kg->kernel->out.at[0];
    Axes x;
    int per = storage_per_word(kg, v), width = per > 1 ? 8 : 4, args = kg->args.n;
    if (kg->parts || kg->kernel->out.n > 1 || dtype_bits(v->type.dtype) == 64 || per > 4 || !find_axes(kg, v, &x)) return false;
    int64_t size;
    while (width > 1 && dim_is_const(x.dim[0], &size) && size % width) width /= 2;
    if (width < per || (dim_is_const(x.dim[0], &size) && size < 8) || (dim_is_const(x.dim[x.a], &size) && size < 8)) return false;

    Shader *s = shader_new(kg, STRIPS);
    Turn *t = s->tile = POOL_NEW(s->pool, Turn);
    s->twin = TWIN_NATIVE;
    s->local[0] = GROUP;
    strip_begin(s, width, "WIDTH");
    const Dim *w = dim_const(dt, width), *rests = dim_const(dt, 0);
    for (int i = 0; i < 2; i++) { /* sizes that are not known, for multiples of the width */
        const Dim *d = x.dim[i ? x.a : 0], *left = dim_mod(dt, d, w);
        if (dim_is_const(d, &size) || dim_is(left, 0)) continue;
        s->whole[i] = d;
        rests = dim_add(dt, rests, left);
        s->when = dim_sub(dt, dim_const(dt, 1), dim_min(dt, dim_const(dt, 1), rests));
    }

    const Dim *strips_b = dim_floordiv(dt, x.dim[0], w), *strips_a = dim_ceildiv(dt, x.dim[x.a], w);
    int blocks_b = across(strips_b), blocks_a = GROUP / blocks_b, near = NEAR;
    if (dim_is_const(strips_a, &size)) /* no more along the operands' axis than there are: few, where it is one of channels */
        while (blocks_a > NEIGHBOURS && blocks_a / 2 >= size) blocks_a /= 2, blocks_b *= 2;
    const Dim *tiles_a = dim_ceildiv(dt, strips_a, dim_const(dt, blocks_a));
    const Dim *tiles_b = dim_ceildiv(dt, strips_b, dim_const(dt, blocks_b)), *rest = tiles_b;
    for (int i = 1; i < x.rank; i++)
        if (i != x.a) rest = dim_mul(dt, rest, x.dim[i]);
    /* Neighbouring workgroups share out first what lies side by side in the operands, then in the result. */
    if (dim_is_const(tiles_a, &size))
        while (near > 1 && near / 2 >= size) near /= 2;
    const Dim *side = dim_const(dt, near);
    s->grid[0] = dim_mul(dt, dim_mul(dt, dim_ceildiv(dt, tiles_a, side), side), rest);
    sh_line(s, "int group = int(%s), far = int(fastdiv(uint(group / %d), %s));", GROUP_INDEX, near, arg_divisor(s, rest));
    sh_line(s, "int other = group / %d - far * %s, id = int(gl_LocalInvocationID.x);", near, arg_int(s, rest));
    const Ix *other = ix_var(s, "other", rest), *tile_b = ix_split(s, other, dim_const(dt, 1), tiles_b);
    sh_line(s, "int qa = (far * %d + group %% %d) * %d + id %% %d + id / %d * %d; /* the block along the operands' axis, */",
            near, near, blocks_a, NEIGHBOURS, NEIGHBOURS * blocks_b, NEIGHBOURS);
    sh_line(s, "int pb = %s * %d + id / %d %% %d; /* and along the result's */", ix_text(s, tile_b), blocks_b, NEIGHBOURS,
            blocks_b);
    const char *size_a = arg_int(s, x.dim[x.a]), *size_b = arg_int(s, x.dim[0]);
    sh_line(s, "if (qa * WIDTH >= %s || pb * WIDTH >= %s) return;", size_a, size_b);
    ix_var_here(s, "qa");
    ix_var_here(s, "pb");
    t->pa = ix_var(s, "pa", x.dim[x.a]);
    t->pb = ix_var(s, "pb", strips_b);
    t->width = w;
    t->to_a = ix_add(s, ix_mul(s, ix_var(s, "qa", NULL), w), s->strip.j);
    t->to_b = ix_var(s, "qb", NULL);
    const Ix *flat = ix_add(s, ix_mul(s, t->pb, w), s->strip.j);
    const Dim *outer = tiles_b;
    for (int i = 1; i < x.rank; i++) {
        const Ix *at = i == x.a ? t->pa : ix_split(s, other, outer, x.dim[i]);
        flat = ix_add(s, ix_mul(s, at, x.stride[i]), flat);
        if (i != x.a) outer = dim_mul(dt, outer, x.dim[i]);
    }

    size_t before = s->body.n;
    sh_open(s, "[[unroll]] for (int e = 0; e < WIDTH; e++) {");
    sh_line(s, "int pa = qa * WIDTH + e;");
    sh_open(s, "if (pa < %s) {", size_a);
    ix_var_here(s, "pa");
    const char *y = strip_declare(s, glsl_class(v->type.dtype), NULL, true);
    strip_open(s);
    sh_line(s, "%s = %s;", y, emit_stored(s, v, index_of_flat(s, v->type, flat)));
    strip_close(s);
    Index to = index_of_flat(s, v->type, flat);
    bool ok = strip_store(s, v, index_memory(s, v, &to), y) && t->n > 0;
    sh_close(s);
    sh_close(s);
    if (!ok) {
        kg->variants.n--;
        kg->args.n = args;
        return false;
    }
    char *compute = pool_dup(s->pool, s->body.at + before, s->body.n - before);
    size_t n = s->body.n - before;
    s->body.n = before;
    s->tile = NULL;
    stage(s, t, size_a, size_b, s->whole[1] || dim_is(dim_mod(dt, x.dim[x.a], w), 0));
    sh_text(s, compute, n);
    return true;
}
