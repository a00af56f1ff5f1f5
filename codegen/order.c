/* Kernels whose elements depend on each other's order: cumulate, sort, scatter, compact. Simple and legal everywhere. */
#include "codegen/shader.h"

enum { GROUP = 64, SORTERS = 128 /* of a line */ };

/* One invocation for each of `count` pieces of work: declares int i. */
static Shader *one_each(KernelGen *kg, const Dim *count)
{
    Shader *s = shader_new(kg, 0);
    s->grid[0] = dim_ceildiv(&s->ctx->dims, count, dim_const(&s->ctx->dims, GROUP));
    s->local[0] = GROUP;
    sh_line(s, "int i = int(%s * %du + gl_LocalInvocationID.x);", GROUP_INDEX, GROUP);
    sh_line(s, "if (i >= %s) return;", arg_int(s, count));
    return s;
}

/* Axes of the line that invocation i walks: all but `axis`. */
static void line_axes(Shader *s, Type t, int axis, const Dim *count, const Ix **ax)
{
    const Ix *i = ix_var(s, "i", count);
    const Dim *stride = dim_const(&s->ctx->dims, 1);
    for (int d = t.rank - 1; d >= 0; d--) {
        ax[d] = ix_const(s, 0);
        if (d == axis) continue;
        ax[d] = ix_split(s, i, stride, t.dim[d]);
        stride = dim_mul(&s->ctx->dims, stride, t.dim[d]);
    }
}

static const Dim *lines(Context *c, Type t, int axis)
{
    const Dim *n = dim_const(&c->dims, 1);
    for (int d = 0; d < t.rank; d++)
        if (d != axis) n = dim_mul(&c->dims, n, t.dim[d]);
    return n;
}

/* One invocation walks a whole line. */
bool gen_cumulate(KernelGen *kg)
{
    Node *n = kg->kernel->anchor;
    Value *x = n->in[0], *v = n->out[0];
    int axis = (int)attr_i(n, A_AXIS, 0);
    Kind kind = (Kind)attr_i(n, A_KIND, KIND_SUM);
    bool reverse = attr_i(n, A_REVERSE, 0), exclusive = attr_i(n, A_EXCLUSIVE, 0);
    const Dim *count = lines(kg->ctx, v->type, axis);
    Shader *s = one_each(kg, count);
    const Ix *ax[DLVK_MAX_RANK];
    line_axes(s, v->type, axis, count, ax);
    const char *len = arg_int(s, v->type.dim[axis]);
    sh_line(s, "%s acc = %s;", glsl_class(v->type.dtype), emit_identity(s, kind, v->type.dtype));
    const char *step = sh_loop(s, "step", "0", len, "1");
    sh_line(s, "int k = %s;", reverse ? sh_printf(s, "%s - 1 - %s", len, step) : step);
    ax[axis] = ix_var(s, "k", v->type.dim[axis]);
    Index at = index_of_axes(v->type, ax);
    const char *flat = ix_text(s, index_flat(s, v->type, &at));
    const char *e = emit_value(s, x, at);
    if (exclusive) emit_store(s, v, flat, "acc");
    sh_line(s, "acc = %s;", emit_combine(s, kind, v->type.dtype, "acc", e));
    if (!exclusive) emit_store(s, v, flat, "acc");
    sh_close(s);
    return true;
}

/* a before b in ascending order: NaN is the greatest. */
static const char *less(Shader *s, DType t, const char *a, const char *b)
{
    if (!dtype_is_float(t)) return sh_printf(s, "op_lt(%s, %s)", a, b);
    return sh_printf(s, "(op_lt(%s, %s) || (op_is_nan(%s) && !op_is_nan(%s)))", a, b, b, a);
}

/* Whether the element at p stands before that at q, a and b being their keys: stable. */
static const char *stands_before(Shader *s, const Node *n, const char *p, const char *a, const char *q, const char *b)
{
    DType t = n->in[0]->type.dtype;
    bool down = attr_i(n, A_DESCENDING, 0);
    const char *before = less(s, t, down ? b : a, down ? a : b), *after = less(s, t, down ? a : b, down ? b : a);
    return sh_printf(s, "(%s || (%s < %s && !%s))", before, p, q, after);
}

static void store_sorted(Shader *s, const Node *n, const char *flat, const char *value, const char *pos)
{
    const Kernel *k = s->kg->kernel;
    for (int o = 0; o < k->out.n; o++) {
        Value *v = k->out.at[o];
        emit_store(s, v, flat, v == n->out[0] ? value : emit_cast(s, DLVK_I32, v->type.dtype, pos, true));
    }
}

/* Short lines: each element counts those that stand before it, and so knows its place. */
static bool sort_by_counting(KernelGen *kg)
{
    Node *n = kg->kernel->anchor;
    Value *x = n->in[0];
    int axis = (int)attr_i(n, A_AXIS, 0);
    const Dim *count = type_count(kg->ctx, x->type);
    Shader *s = one_each(kg, count);
    Index here = index_of_flat(s, x->type, ix_var(s, "i", count));
    const Ix *ax[DLVK_MAX_RANK];
    for (int d = 0; d < x->type.rank; d++) ax[d] = index_axis(s, x->type, &here, d);
    const char *me = emit_value(s, x, here), *pos = ix_text(s, ax[axis]);
    sh_line(s, "int place = 0;");
    const char *k = sh_loop(s, "k", "0", arg_int(s, x->type.dim[axis]), "1");
    ax[axis] = ix_var(s, k, x->type.dim[axis]);
    const char *other = emit_value(s, x, index_of_axes(x->type, ax));
    sh_line(s, "if (%s) place++;", stands_before(s, n, k, other, pos, me));
    sh_close(s);
    ax[axis] = ix_var(s, "place", x->type.dim[axis]);
    Index at = index_of_axes(x->type, ax);
    store_sorted(s, n, ix_text(s, index_flat(s, x->type, &at)), me, pos);
    return true;
}

/* Batcher's bitonic network, in the form whose comparators all point upwards (the first of each merge compares mirror images), so
 * that what lies beyond the end, being greater than everything, needs no comparison. One workgroup sorts the positions of a line,
 * in the memory of the second output. */
static bool sort_by_network(KernelGen *kg)
{
    Node *n = kg->kernel->anchor;
    Value *x = n->in[0], *order = n->out[1];
    int axis = (int)attr_i(n, A_AXIS, 0);
    const Dim *length = x->type.dim[axis], *count = lines(kg->ctx, x->type, axis);
    Shader *s = shader_new(kg, 0);
    s->grid[0] = count;
    s->local[0] = SORTERS;
    sh_line(s, "int i = int(%s), me = int(gl_LocalInvocationID.x);", GROUP_INDEX);
    sh_line(s, "if (i >= %s) return;", arg_int(s, count));
    const Ix *ax[DLVK_MAX_RANK];
    line_axes(s, x->type, axis, count, ax);
    const char *len = arg_int(s, length), *memory = arg_buffer(s, order, true, "BufU64"), *key[2];
    const char *name[] = {"lo", "hi"}, *flat[2];
    const char *trips = sh_printf(s, "(%s + %d) / %d", len, SORTERS - 1, SORTERS);

    const char *step = sh_loop(s, "step", "0", trips, "1");
    sh_line(s, "int k = %s * %d + me;", step, SORTERS);
    ax[axis] = ix_var(s, "k", length);
    Index at = index_of_axes(x->type, ax);
    sh_open(s, "if (k < %s) {", len);
    emit_store(s, order, ix_text(s, index_flat(s, x->type, &at)), emit_cast(s, DLVK_I32, DLVK_I64, "k", true));
    sh_close(s);
    sh_close(s);
    sh_line(s, "memoryBarrierBuffer();");
    sh_line(s, "barrier();");

    sh_open(s, "for (int size = 2; size < 2 * %s; size *= 2) {", len);
    sh_line(s, "int pairs = (%s + size - 1) / size * (size / 2), trips = (pairs + %d) / %d;", len, SORTERS - 1, SORTERS);
    sh_open(s, "for (int stride = size / 2; stride > 0; stride /= 2) {");
    step = sh_loop(s, "step", "0", "trips", "1");
    sh_line(s, "int pair = %s * %d + me, lo = pair + (pair & -stride);", step, SORTERS);
    sh_line(s, "int hi = 2 * stride == size ? lo ^ (size - 1) : lo + stride;");
    sh_open(s, "if (hi < %s) {", len);
    for (int k = 0; k < 2; k++) {
        ax[axis] = ix_var(s, name[k], length);
        at = index_of_axes(x->type, ax);
        flat[k] = ix_text(s, index_flat(s, x->type, &at));
        const char *who = sh_printf(s, "at_%s", name[k]), *word = sh_printf(s, "i64_load(%s.d[%s])", memory, flat[k]);
        sh_line(s, "int %s = %s;", who, emit_cast(s, DLVK_I64, DLVK_I32, word, true));
        ax[axis] = ix_var(s, who, length);
        key[k] = emit_value(s, x, index_of_axes(x->type, ax));
    }
    sh_open(s, "if (%s) {", stands_before(s, n, "at_hi", key[1], "at_lo", key[0]));
    emit_store(s, order, flat[0], emit_cast(s, DLVK_I32, DLVK_I64, "at_hi", true));
    emit_store(s, order, flat[1], emit_cast(s, DLVK_I32, DLVK_I64, "at_lo", true));
    sh_close(s);
    sh_close(s);
    sh_close(s);
    sh_line(s, "memoryBarrierBuffer();");
    sh_line(s, "barrier();");
    sh_close(s);
    sh_close(s);

    bool wanted = false;
    for (int o = 0; o < kg->kernel->out.n; o++) wanted |= kg->kernel->out.at[o] == n->out[0];
    if (!wanted) return true;
    step = sh_loop(s, "step", "0", trips, "1");
    sh_line(s, "int k = %s * %d + me;", step, SORTERS);
    sh_open(s, "if (k < %s) {", len);
    ax[axis] = ix_var(s, "k", length);
    at = index_of_axes(x->type, ax);
    const char *to = ix_text(s, index_flat(s, x->type, &at));
    sh_line(s, "int from = %s;", emit_cast(s, DLVK_I64, DLVK_I32, sh_printf(s, "i64_load(%s.d[%s])", memory, to), true));
    ax[axis] = ix_var(s, "from", length);
    emit_store(s, n->out[0], to, emit_value(s, x, index_of_axes(x->type, ax)));
    sh_close(s);
    sh_close(s);
    return true;
}

/* Stable; NaN is the greatest. */
bool gen_sort(KernelGen *kg)
{
    Node *n = kg->kernel->anchor;
    int64_t length;
    bool is_short = dim_is_const(n->in[0]->type.dim[attr_i(n, A_AXIS, 0)], &length) && length <= SORTERS;
    return is_short ? sort_by_counting(kg) : sort_by_network(kg);
}

/* Whether the scatter's indices are in ascending order, as pass_scatter leaves them. */
static bool is_sorted(const Value *idx)
{
    const Node *d = idx->def;
    return d && d->op == OP_SORT && idx == d->out[0] && !attr_i(d, A_DESCENDING, 0);
}

/* The number of indices below `row`, or with `through` up to it: bisection with as many steps in every lane. */
static const char *count_below(Shader *s, Value *idx, const char *row, bool through)
{
    const char *n = sh_fresh(s, "below"), *len = arg_int(s, idx->type.dim[0]);
    sh_line(s, "int %s = 0;", n);
    const char *bit = sh_loop(s, "bit", "0", sh_printf(s, "findMSB(%s) + 1", len), "1");
    sh_line(s, "int probe%s = %s + (1 << (findMSB(%s) - %s));", n, n, len, bit);
    sh_open(s, "if (probe%s <= %s) {", n, len);
    const Ix *at = ix_var(s, sh_printf(s, "(probe%s - 1)", n), idx->type.dim[0]);
    const char *e = emit_value(s, idx, index_of_axes(idx->type, &at));
    sh_line(s, "if (%s) %s = probe%s;", through ? sh_printf(s, "!op_lt(%s, %s)", row, e) : sh_printf(s, "op_lt(%s, %s)", e, row),
            n, n);
    sh_close(s);
    sh_close(s);
    return n;
}

/* Each result element takes its updates one after the other, without atomics: it finds them by bisection, or, where they are in
 * no order, looks at all of them. */
bool gen_scatter(KernelGen *kg)
{
    Node *n = kg->kernel->anchor;
    Value *data = n->in[0], *idx = n->in[1], *upd = n->in[2], *v = n->out[0];
    Kind kind = (Kind)attr_i(n, A_KIND, KIND_SET);
    DType t = v->type.dtype, u = dtype_class(idx->type.dtype) == DC_UINT ? DLVK_U32 : DLVK_I32;
    if (dtype_bits(idx->type.dtype) == 64) u = idx->type.dtype;
    const Dim *count = type_count(kg->ctx, v->type);
    Shader *s = one_each(kg, count);
    Index here = index_of_flat(s, v->type, ix_var(s, "i", count));
    const Ix *ax[DLVK_MAX_RANK];
    for (int d = 0; d < v->type.rank; d++) ax[d] = index_axis(s, v->type, &here, d);
    const char *row = sh_fresh(s, "row");
    sh_line(s, "%s %s = %s;", glsl_class(u), row, emit_cast(s, DLVK_I32, u, ix_text(s, ax[0]), true));
    sh_line(s, "%s acc = %s;", glsl_class(t), emit_value(s, data, here));
    const char *m, *mine;
    if (is_sorted(idx)) {
        const char *first = count_below(s, idx, row, false), *end = count_below(s, idx, row, true);
        /* one trip more than there are updates: SwiftShader loses what a lane computes in the trip after which it leaves alone */
        m = sh_loop(s, "m", first, sh_printf(s, "%s + 1", end), "1");
        mine = sh_printf(s, "%s < %s", m, end);
        ax[0] = ix_var(s, m, idx->type.dim[0]);
    } else {
        m = sh_loop(s, "m", "0", arg_int(s, idx->type.dim[0]), "1");
        ax[0] = ix_var(s, m, idx->type.dim[0]);
        mine = sh_printf(s, "op_eq(%s, %s)", emit_value(s, idx, index_of_axes(idx->type, &ax[0])), row);
    }
    sh_open(s, "if (%s) {", mine);
    const char *e = emit_value(s, upd, index_of_axes(upd->type, ax));
    sh_line(s, "acc = %s;", emit_combine(s, kind, t, "acc", e));
    sh_close(s);
    sh_close(s);
    emit_store(s, v, "i", "acc");
    return true;
}

/* One workgroup: each invocation counts the true elements of its stretch, learns where its own begin, and writes their indices.
 */
bool gen_compact(KernelGen *kg)
{
    Node *n = kg->kernel->anchor;
    Value *mask = n->in[0], *v = n->out[0];
    Shader *s = shader_new(kg, 0);
    s->local[0] = GROUP;
    const char *len = arg_int(s, mask->type.dim[0]);
    sh_decl(s, "shared int found[%d];", GROUP);
    sh_line(s, "int me = int(gl_LocalInvocationID.x), per = (%s + %d) / %d;", len, GROUP - 1, GROUP);
    sh_line(s, "int first = me * per, last = min(first + per, %s), count = 0;", len);
    for (int pass = 0; pass < 2; pass++) {
        const char *step = sh_loop(s, "step", "0", "per", "1"), *k = sh_fresh(s, "k");
        sh_line(s, "int %s = first + %s;", k, step);
        sh_open(s, "if (%s < last) {", k);
        const Ix *i = ix_var(s, k, mask->type.dim[0]);
        sh_open(s, "if (%s) {", emit_value(s, mask, index_of_axes(mask->type, &i)));
        if (pass) emit_store(s, v, "at", emit_cast(s, DLVK_I32, v->type.dtype, k, true));
        sh_line(s, "%s++;", pass ? "at" : "count");
        sh_close(s);
        sh_close(s);
        sh_close(s);
        if (pass) break;
        sh_line(s, "found[me] = count;");
        sh_line(s, "barrier();");
        sh_line(s, "int at = 0, all = 0;");
        sh_open(s, "for (int j = 0; j < %d; j++) {", GROUP);
        sh_line(s, "if (j < me) at += found[j];");
        sh_line(s, "all += found[j];");
        sh_close(s);
    }
    /* The number found stands behind the last index that there could be. */
    sh_open(s, "if (me == 0) {");
    emit_store(s, v, len, emit_cast(s, DLVK_I32, v->type.dtype, "all", true));
    sh_close(s);
    return true;
}
