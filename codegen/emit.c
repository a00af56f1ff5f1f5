/* Any value at any index, as GLSL: pointwise and movement. Loops are in emit_loops.c; see shader.h. */
#include <assert.h>
#include <math.h>
#include <string.h>

#include "codegen/shader.h"
#include "dlvk/runtime.h"
#include "ir/view.h"

struct Memo {
    const Value *v;
    Index idx;
    const char *name;
    int scope;
};

static bool same_index(const Index *a, const Index *b)
{
    if (a->flat && a->flat == b->flat) return true;
    for (int i = 0; i < a->rank; i++)
        if (!a->ax[i] || a->ax[i] != b->ax[i]) return false;
    return a->rank > 0 || (!a->flat && !b->flat);
}

static const char *memo_find(const Shader *s, const Value *v, const Index *idx)
{
    for (int i = s->memo.n - 1; i >= 0; i--) {
        const Memo *m = &s->memo.at[i];
        if (m->v != v || !same_index(&m->idx, idx)) continue;
        for (int k = 0; k < s->scopes.n; k++)
            if (s->scopes.at[k] == m->scope) return m->name;
    }
    return NULL;
}

/* Every axis and the flat number, so that equal positions compare equal however they were reached. */
static void index_complete(Shader *s, Type t, Index *idx)
{
    if (t.rank == 0) {
        idx->flat = ix_const(s, 0);
        return;
    }
    index_flat(s, t, idx);
}

void emit_bind(Shader *s, Value *v, Index idx, const char *name)
{
    index_complete(s, v->type, &idx);
    *VEC_PUSH(s->pool, s->memo) = (Memo){v, idx, name, s->scopes.at[s->scopes.n - 1]};
}

/* What a GPU computes in a few instructions, where that is exact enough. */
static const char *loose_text(Op op)
{
    switch (op) {
    case OP_EXP: return "exp2($a * 1.44269504)";
    case OP_DIV: return "$a * (1.0 / $b)";
    case OP_RSQRT: return "inversesqrt($a)";
    case OP_SIGMOID: return "1.0 / (1.0 + exp2($a * -1.44269504))";
    case OP_TANH: return "loose_tanh($a)";
    case OP_ERF: return "loose_erf($a)";
    default: return NULL;
    }
}

static bool is_loose(const Shader *s, const Value *v)
{
    return s->strip.width && s->kg->loose[v->id] & LOOSE;
}

const char *emit_point(Shader *s, const Node *n, const char *const *x)
{
    const OpInfo *o = &op_info[n->op];
    DType t = n->in[n->n_in - 1]->type.dtype; /* of the arithmetic: select's last operand, any other's all */
    char c = glsl_class_letter(t);
    const char *text;
    if ((c == 'l' || c == 'm' || c == 'd') && n->op != OP_SELECT) {
        text = o->n_in == 1 ? sh_printf(s, "op_%s($a)", o->name) : sh_printf(s, "op_%s($a, $b)", o->name);
    } else {
        text = c == 'f' ? o->glsl_f : o->glsl_i;
        if (n->op == OP_DIV && c == 'f' && !(s->features & DLVK_FEATURE_SCALAR)) text = "float_div($a, $b)";
        if (n->op == OP_EXP && c == 'f' && s->strip.width) text = "exp_by_exp2($a)";
        if (c == 'f' && n->n_out && is_loose(s, n->out[0]) && loose_text(n->op)) text = loose_text(n->op);
    }
    char out[1024];
    size_t m = 0;
    for (const char *p = text; *p && m + 1 < sizeof out;) {
        if (p[0] == '$' && p[1] >= 'a' && p[1] <= 'c') {
            const char *arg = x[p[1] - 'a'];
            size_t len = strlen(arg);
            assert(m + len < sizeof out);
            memcpy(out + m, arg, len);
            m += len;
            p += 2;
        } else {
            out[m++] = *p++;
        }
    }
    out[m] = 0;
    const char *r = pool_strdup(s->pool, out);
    if (o->rule == RULE_SAME) {
        switch (n->op) {
        case OP_ADD:
        case OP_SUB:
        case OP_MUL:
        case OP_DIV:
        case OP_NEG:
        case OP_ABS:
        case OP_POW:
        case OP_SHL:
        case OP_NOT: return emit_wrap(s, t, r);
        default: break;
        }
    }
    return r;
}

/* ---- constants and dims ------------------------------------------------------------------------------------------- */

/* Marked where another kernel might have another one: not 0, 1 and -1, which compilers simplify, nor what is no number; nor the
 * bits that have a meaning of their own among specialization constants. */
static const char *literal_of(Shader *s, const Tensor *t)
{
    t = stored_tensor(s->pool, s->kg->strings, t);
    bool is_float = dtype_class(t->dtype) == DC_FLOAT;
    double f = is_float ? elem_get_f(t->dtype, t->data, 0) : 0;
    int64_t i = is_float ? 0 : elem_get_i(t->dtype, t->data, 0);
    const char *text = emit_literal(s, t->dtype, f, i);
    char letter = glsl_class_letter(t->dtype);
    float as_float = (float)f;
    uint32_t bits = (uint32_t)i;
    if (letter == 'f') memcpy(&bits, &as_float, sizeof bits);
    bool plain = letter == 'f' ? isfinite(as_float) && as_float != 0 && fabsf(as_float) != 1 : i < -1 || i > 1;
    bool word = letter == 'f' || letter == 'i' || letter == 'u';
    return word && plain && bits != UINT32_MAX ? literal_mark(s->pool, letter, bits, text) : text;
}

/* A GLSL int as class t. */
static const char *from_int(Shader *s, DType t, const char *x)
{
    return glsl_class_letter(t) == 'i' ? emit_wrap(s, t, x) : emit_cast(s, DLVK_I32, t, x, true);
}

static const char *emit_dims(Shader *s, Value *v, Index *idx)
{
    const Attr *a = node_attr(v->def, A_VALUES);
    DType t = v->type.dtype;
    if (v->type.rank == 0 || a->n == 1) return from_int(s, t, arg_int(s, a->dims[0]));
    const char *i = ix_text(s, index_axis(s, v->type, idx, 0));
    const char *text = arg_int(s, a->dims[a->n - 1]);
    for (int k = a->n - 2; k >= 0; k--) text = sh_printf(s, "(%s == %d ? %s : %s)", i, k, arg_int(s, a->dims[k]), text);
    return from_int(s, t, text);
}

/* ---- movement ----------------------------------------------------------------------------------------------------- */

/* Before a branch on where `at` is: taken by some lanes only, it cannot load whole vectors, whose other elements may not exist.
 */
static void part_of_vector(Shader *s, const Ix *at)
{
    if (s->vector && ix_depends(at, s->vector)) s->vector = NULL;
}

const char *emit_clamp(Shader *s, const char *inside, const char *p, const char *size)
{
    const char *ok = sh_fresh(s, "ok");
    sh_line(s, "bool %s = %suint(%s) < uint(%s);", ok, inside ? sh_printf(s, "%s && ", inside) : "", p, size);
    sh_line(s, "%s = %s ? %s : 0;", p, ok, p);
    return ok;
}

/* The same on a GPU without branches, behind which loads wait for each other: what is outside is read as the first place, and
 * then left out. */
static const char *emit_pad_clamped(Shader *s, Value *v, const Ix **ax, bool leave)
{
    Node *n = v->def;
    Value *x = n->in[0];
    const Dim *const *lo = attr_dims(n, A_LO), *const *hi = attr_dims(n, A_HI);
    const char *inside = "true", *fill = emit_value(s, n->in[1], (Index){0});
    for (int i = 0; i < v->type.rank; i++) {
        if (dim_is(lo[i], 0) && dim_is(hi[i], 0)) continue;
        const char *p = sh_fresh(s, "p");
        sh_line(s, "int %s = %s;", p, ix_text(s, ax[i]));
        inside = emit_clamp(s, inside, p, arg_int(s, x->type.dim[i]));
        ax[i] = ix_var(s, p, x->type.dim[i]);
    }
    const char *name = strip_declare(s, glsl_class(v->type.dtype), NULL, leave);
    if (leave) strip_open(s);
    const char *element = emit_value(s, x, index_of_axes(x->type, ax));
    sh_line(s, "%s = %s ? %s : %s;", name, inside, element, fill);
    if (leave) strip_close(s);
    return name;
}

/* Is there a first place along all axes that are padded? */
static bool has_places(const Value *x, const Dim *const *lo, const Dim *const *hi)
{
    for (int i = 0; i < x->type.rank; i++) {
        int64_t least, most;
        dim_range(x->type.dim[i], &least, &most);
        if (least < 1 && !(dim_is(lo[i], 0) && dim_is(hi[i], 0))) return false;
    }
    return true;
}

static const char *emit_pad(Shader *s, Value *v, Index *idx)
{
    Node *n = v->def;
    const Dim *const *lo = attr_dims(n, A_LO), *const *hi = attr_dims(n, A_HI);
    Value *x = n->in[0];
    const Ix *ax[DLVK_MAX_RANK];
    const char *cond = NULL;
    /* Strip that all go the same way load whole vectors on it: the branch stands around loops over the strip. */
    bool leave = strip_again(s, idx);
    for (int i = 0; i < v->type.rank; i++)
        leave &= (dim_is(lo[i], 0) && dim_is(hi[i], 0)) || strip_fixed(s, index_axis(s, v->type, idx, i));
    Outside o;
    if (leave) strip_leave(s, &o);
    for (int i = 0; i < v->type.rank; i++) ax[i] = ix_sub(s, index_axis(s, v->type, idx, i), ix_dim(s, lo[i]));
    if (s->strip.width && has_places(x, lo, hi)) {
        const char *clamped = emit_pad_clamped(s, v, ax, leave);
        if (leave) strip_return(s, &o);
        return clamped;
    }
    for (int i = 0; i < v->type.rank; i++) {
        if (dim_is(lo[i], 0) && dim_is(hi[i], 0)) continue;
        const char *c = sh_printf(s, "uint(%s) < uint(%s)", ix_text(s, ax[i]), arg_int(s, x->type.dim[i]));
        cond = cond ? sh_printf(s, "%s && %s", cond, c) : c;
    }
    const char *fill = emit_value(s, n->in[1], (Index){0});
    const char *name = strip_declare(s, glsl_class(v->type.dtype), NULL, leave);
    const Ix *vector = s->vector;
    for (int i = 0; i < v->type.rank; i++)
        if (!dim_is(lo[i], 0) || !dim_is(hi[i], 0)) part_of_vector(s, ax[i]);
    sh_open(s, "if (%s) {", cond ? cond : "true");
    if (leave) strip_open(s);
    const char *inside = emit_value(s, x, index_of_axes(x->type, ax));
    sh_line(s, "%s = %s;", name, inside);
    if (leave) strip_close(s);
    sh_else(s, "} else {");
    sh_line(s, "%s%s = %s;", leave ? "[[unroll]] for (int j = 0; j < WIDTH; j++) " : "", name, fill);
    sh_close(s);
    s->vector = vector;
    if (leave) strip_return(s, &o);
    return name;
}

/* Whether all pieces of a concat begin and end at whole vectors along the axis. */
static bool whole_vectors(const Node *n, int axis, int width)
{
    for (int k = 0; k < n->n_in; k++) {
        int64_t size;
        if (!dim_is_const(n->in[k]->type.dim[axis], &size) || size == 0 || size % width) return false;
    }
    return true;
}

static const char *emit_concat(Shader *s, Value *v, Index *idx)
{
    Node *n = v->def;
    DimTable *dt = &s->ctx->dims;
    int axis = (int)attr_i(n, A_AXIS, 0);
    const Ix *ax[DLVK_MAX_RANK];
    for (int i = 0; i < v->type.rank; i++) ax[i] = index_axis(s, v->type, idx, i);
    const Ix *at = ax[axis], *vector = s->vector, *block = NULL;
    bool leave = strip_again(s, idx);
    Outside o;
    if (leave && !strip_fixed(s, at)) {
        block = whole_vectors(n, axis, s->strip.width) ? ix_without(s, at, s->strip.j) : NULL;
        leave = block && strip_fixed(s, block);
        if (!leave) block = NULL;
    }
    if (leave) strip_leave(s, &o);
    if (vector && whole_vectors(n, axis, 8)) block = ix_without(s, at, vector);
    if (!block) part_of_vector(s, at);
    const char *pos = ix_text(s, block ? block : at), *name = strip_declare(s, glsl_class(v->type.dtype), NULL, leave);
    const Dim *start = dim_const(dt, 0);
    for (int k = 0; k < n->n_in; k++) {
        Value *x = n->in[k];
        const Dim *size = x->type.dim[axis], *end = dim_add(dt, start, size);
        if (k == 0)
            sh_open(s, "if (%s < %s) {", pos, arg_int(s, end));
        else if (k + 1 < n->n_in)
            sh_else(s, "} else if (%s < %s) {", pos, arg_int(s, end));
        else
            sh_else(s, "} else {");
        ax[axis] = ix_sub(s, at, ix_dim(s, start));
        if (block && !leave) {
            /* All lanes go the same way; the loads of the other ways are done too, and must find something. */
            const char *c = sh_fresh(s, "c");
            sh_line(s, "int %s = clamp(%s - %s, 0, %s);", c, pos, arg_int(s, start),
                    arg_int(s, dim_sub(dt, size, dim_const(dt, 8))));
            ax[axis] = ix_add(s, ix_var(s, c, size), vector);
        }
        if (leave) strip_open(s);
        sh_line(s, "%s = %s;", name, emit_value(s, x, index_of_axes(x->type, ax)));
        if (leave) strip_close(s);
        start = end;
    }
    sh_close(s);
    s->vector = vector;
    if (leave) strip_return(s, &o);
    return name;
}

static const char *emit_gather(Shader *s, Value *v, Index *idx)
{
    Node *n = v->def;
    Value *data = n->in[0], *at = n->in[1];
    int axis = (int)attr_i(n, A_AXIS, 0), r = at->type.rank;
    const Ix *ax[DLVK_MAX_RANK], *ix[DLVK_MAX_RANK];
    bool leave = strip_direct(s);
    for (int i = 0; i < r; i++) leave &= strip_fixed(s, ix[i] = index_axis(s, v->type, idx, axis + i));
    Outside o;
    if (leave) strip_leave(s, &o);
    const char *k = emit_value(s, at, index_of_axes(at->type, ix));
    const char *limit = arg_int(s, data->type.dim[axis]);
    const char *pos = sh_fresh(s, "g");
    sh_line(s, "int %s = clamp(to_index(%s), 0, %s - 1);", pos, k, limit);
    ax[axis] = ix_var(s, pos, data->type.dim[axis]);
    if (leave) strip_return(s, &o);
    for (int i = 0; i < axis; i++) ax[i] = index_axis(s, v->type, idx, i);
    for (int i = axis + 1; i < data->type.rank; i++) ax[i] = index_axis(s, v->type, idx, i - 1 + r);
    int64_t least, most;
    dim_range(data->type.dim[axis], &least, &most);
    if (least > 0) return emit_value(s, data, index_of_axes(data->type, ax));
    /* Where the axis is empty there is nothing to read, and zero is what it gives. */
    Index found = index_of_axes(data->type, ax);
    leave = strip_again(s, &found);
    if (leave) strip_leave(s, &o);
    const char *name = strip_declare(s, glsl_class(v->type.dtype), emit_literal(s, v->type.dtype, 0, 0), leave);
    sh_open(s, "if (%s > 0) {", limit);
    if (leave) strip_open(s);
    const char *element = emit_value(s, data, found);
    sh_line(s, "%s = %s;", name, element);
    if (leave) strip_close(s);
    sh_close(s);
    if (leave) strip_return(s, &o);
    return name;
}

/* The operand's index for movement that only rearranges; false: not such an op. */
static bool moved_index(Shader *s, Value *v, Index *idx, Index *out)
{
    Node *n = v->def;
    Value *x = n->n_in ? n->in[0] : NULL;
    const Ix *ax[DLVK_MAX_RANK];
    int rank = v->type.rank;
    switch (n->op) {
    case OP_RESHAPE: *out = index_of_flat(s, x->type, rank ? index_flat(s, v->type, idx) : ix_const(s, 0)); return true;
    case OP_TRANSPOSE:
        for (int i = 0; i < rank; i++) ax[attr_ints(n, A_PERM)[i]] = index_axis(s, v->type, idx, i);
        break;
    case OP_BROADCAST:
        for (int i = 0; i < rank; i++) ax[i] = dim_is(x->type.dim[i], 1) ? ix_const(s, 0) : index_axis(s, v->type, idx, i);
        break;
    case OP_SLICE:
        for (int i = 0; i < rank; i++)
            ax[i] = ix_add_dim(s, ix_mul(s, index_axis(s, v->type, idx, i), dim_const(&s->ctx->dims, attr_ints(n, A_STEP)[i])),
                               attr_dims(n, A_START)[i]);
        break;
    case OP_REVERSE:
        for (int i = 0; i < rank; i++) ax[i] = index_axis(s, v->type, idx, i);
        for (int k = 0; k < node_attr(n, A_AXES)->n; k++) {
            int i = (int)attr_ints(n, A_AXES)[k];
            ax[i] = ix_sub(s, ix_dim(s, dim_sub(&s->ctx->dims, v->type.dim[i], dim_const(&s->ctx->dims, 1))), ax[i]);
        }
        break;
    default: return false;
    }
    *out = index_of_axes(x->type, ax);
    return true;
}

const Ix *emit_view(Shader *s, Value *v, Index idx, const Value *root)
{
    double factor = 1; /* the caller's affair */
    idx.rank = v->type.rank;
    index_complete(s, v->type, &idx);
    while (v != root) {
        Index at = idx;
        moved_index(s, v, &idx, &at);
        v = view_step(v, &factor);
        idx = at;
        idx.rank = v->type.rank;
        index_complete(s, v->type, &idx);
    }
    return idx.flat;
}

/* 1 + erf(x) and 1 + tanh(x), of which GELU consists, in half the instructions of the functions themselves, and without
 * cancellation where x is below 0; NULL: v is no such sum, or has to be exact. */
static const char *emit_loose_sum(Shader *s, const Value *v, Index *idx)
{
    const Node *n = v->def;
    const Tensor *t;
    for (int i = 0; n->op == OP_ADD && is_loose(s, v) && i < 2; i++) {
        Value *f = n->in[i], *other = n->in[1 - i];
        if (other->def && other->def->op == OP_BROADCAST) other = other->def->in[0];
        bool one = value_const(other, &t) && (t->splat || t->count == 1) && elem_get_f(t->dtype, t->data, 0) == 1;
        if (!one || s->kg->sched->materialized[f->id] || !f->def || (f->def->op != OP_ERF && f->def->op != OP_TANH)) continue;
        return sh_printf(s, "loose_1_and_%s(%s)", op_info[f->def->op].name, emit_value(s, f->def->in[0], *idx));
    }
    return NULL;
}

static const char *emit_def(Shader *s, Value *v, Index *idx)
{
    Node *n = v->def;
    Index at;
    if (moved_index(s, v, idx, &at)) return emit_value(s, n->in[0], at);
    const char *sum = emit_loose_sum(s, v, idx);
    if (sum) return sum;
    if (op_info[n->op].point) {
        const char *x[3];
        for (int i = 0; i < n->n_in; i++) x[i] = emit_value(s, n->in[i], *idx);
        return emit_point(s, n, x);
    }
    switch (n->op) {
    case OP_CAST:
        if (s->strip.width && s->kg->loose[v->id] & LOOSE_UNROUNDED && v->type.dtype == DLVK_F16 &&
            n->in[0]->type.dtype == DLVK_F32)
            return emit_value(s, n->in[0], *idx);
        return emit_cast(s, n->in[0]->type.dtype, v->type.dtype, emit_value(s, n->in[0], *idx), attr_i(n, A_SATURATE, 1));
    case OP_BITCAST: {
        DType f = n->in[0]->type.dtype, t = v->type.dtype;
        const char *x = emit_value(s, n->in[0], *idx);
        if (dtype_bits(f) == 64) return sh_printf(s, "%s_load(%s_store(%s))", dtype_name(t), dtype_name(f), x);
        return emit_from_bits(s, t, emit_bits(s, f, x));
    }
    case OP_STOP_GRADIENT:
    case OP_BARRIER: return emit_value(s, n->in[0], *idx);
    case OP_IOTA: return from_int(s, v->type.dtype, ix_text(s, index_axis(s, v->type, idx, (int)attr_i(n, A_AXIS, 0))));
    case OP_DIMS: return emit_dims(s, v, idx);
    case OP_RANDOM: {
        const char *seed = emit_value(s, n->in[0], (Index){0});
        return sh_printf(s, "random_bits(%s, uint(%s))", seed,
                         ix_text(s, v->type.rank ? index_flat(s, v->type, idx) : ix_const(s, 0)));
    }
    case OP_PAD: return emit_pad(s, v, idx);
    case OP_CONCAT: return emit_concat(s, v, idx);
    case OP_GATHER: return emit_gather(s, v, idx);
    default: return emit_loop_op(s, v, *idx);
    }
}

/* The element number `flat`; a vector load where lanes read neighbours. */
static const char *load_at(Shader *s, Value *v, const Ix *flat)
{
    const char *wide = tile_load(s, v, flat);
    if (!wide) wide = strip_load(s, v, flat);
    if (wide) return wide;
    bool half = dtype_bits(v->type.dtype) == 16;
    const Ix *base = s->vector && (v->type.dtype == DLVK_F32 || half) ? ix_without(s, flat, s->vector) : NULL;
    if (!base) return emit_load(s, v, ix_text(s, flat));
    if (half)
        return emit_from_bits(
            s, v->type.dtype,
            sh_printf(s, "neighbours16(Words16(address16_at(%s, %s)), 0)", arg_buffer(s, v, false, "BufU32"), ix_text(s, base)));
    return sh_printf(s, "neighbours(BufF32(address_at(%s, %s)), 0)", arg_buffer(s, v, false, "BufF32"), ix_text(s, base));
}

static bool is_output_of_kernel(const Shader *s, const Value *v)
{
    for (int i = 0; i < s->kg->kernel->out.n; i++)
        if (s->kg->kernel->out.at[i] == v) return true;
    return false;
}

const char *emit_value(Shader *s, Value *v, Index idx)
{
    idx.rank = v->type.rank;
    index_complete(s, v->type, &idx);
    const char *known = memo_find(s, v, &idx);
    if (known) return known;

    const Tensor *t;
    if (value_const(v, &t) && (t->splat || t->count == 1)) return literal_of(s, t);
    if (strip_direct(s) && strip_fixed(s, idx.flat)) { /* the same for all lanes */
        Outside o;
        strip_leave(s, &o);
        const char *name = emit_value(s, v, idx);
        strip_return(s, &o);
        return name;
    }
    const char *text;
    bool load = s->kg->sched->materialized[v->id] && !(v->def && is_output_of_kernel(s, v));
    if (load)
        text = load_at(s, v, index_memory(s, v, &idx));
    else
        text = emit_def(s, v, &idx);

    const char *name = text;
    bool plain = strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789_[]") == strlen(text);
    if (!plain) {
        name = sh_fresh(s, "v");
        /* precise: what is computed twice must come out the same (a softmax's x - max(x) is then never above 0), which a
         * multiplication and an addition made one would spoil. */
        sh_line(s, "%s%s %s = %s;", glsl_class_letter(v->type.dtype) == 'f' && !is_loose(s, v) ? "precise " : "",
                glsl_class(v->type.dtype), name, text);
    }
    *VEC_PUSH(s->pool, s->memo) = (Memo){v, idx, name, s->scopes.at[s->scopes.n - 1]};
    return name;
}

const char *emit_stored(Shader *s, Value *v, Index idx)
{
    bool narrow = v->def && v->def->op == OP_CAST && v->type.dtype == DLVK_F16;
    return narrow && glsl_class_letter(v->def->in[0]->type.dtype) == 'f' ? emit_value(s, v->def->in[0], idx)
                                                                         : emit_value(s, v, idx);
}

/* ---- affine views -------------------------------------------------------------------------------------------------- */

bool value_affine(KernelGen *kg, Value *v, Affine *a)
{
    DimTable *dt = &kg->ctx->dims;
    if (kg->sched->materialized[v->id] || !v->def) {
        const Part *p = &kg->sched->part[v->id];
        Type t = p->whole ? p->whole->type : v->type;
        a->buffer = schedule_storage(kg->sched, v);
        const Dim *st = dim_const(dt, 1);
        for (int i = t.rank - 1; i >= 0; i--) {
            a->stride[i] = st;
            st = dim_mul(dt, st, t.dim[i]);
        }
        a->base = p->whole ? dim_mul(dt, p->at, a->stride[p->axis]) : dim_const(dt, 0);
        return true;
    }
    Node *n = v->def;
    Affine x;
    switch (n->op) {
    case OP_TRANSPOSE:
        if (!value_affine(kg, n->in[0], &x)) return false;
        *a = x;
        for (int i = 0; i < v->type.rank; i++) a->stride[i] = x.stride[attr_ints(n, A_PERM)[i]];
        return true;
    case OP_BROADCAST:
        if (!value_affine(kg, n->in[0], &x)) return false;
        *a = x;
        for (int i = 0; i < v->type.rank; i++)
            if (dim_is(n->in[0]->type.dim[i], 1)) a->stride[i] = dim_const(dt, 0);
        return true;
    case OP_SLICE:
        if (!value_affine(kg, n->in[0], &x)) return false;
        *a = x;
        for (int i = 0; i < v->type.rank; i++) {
            a->base = dim_add(dt, a->base, dim_mul(dt, x.stride[i], attr_dims(n, A_START)[i]));
            a->stride[i] = dim_mul(dt, x.stride[i], dim_const(dt, attr_ints(n, A_STEP)[i]));
        }
        return true;
    case OP_REVERSE:
        if (!value_affine(kg, n->in[0], &x)) return false;
        *a = x;
        for (int k = 0; k < node_attr(n, A_AXES)->n; k++) {
            int i = (int)attr_ints(n, A_AXES)[k];
            a->base = dim_add(dt, a->base, dim_mul(dt, x.stride[i], dim_sub(dt, v->type.dim[i], dim_const(dt, 1))));
            a->stride[i] = dim_mul(dt, x.stride[i], dim_const(dt, -1));
        }
        return true;
    case OP_RESHAPE: {
        /* Only where every axis of the operand keeps its stride: axes of size 1 come and go, and a split or merged axis is dense.
         */
        if (!value_affine(kg, n->in[0], &x)) return false;
        Type from = n->in[0]->type, to = v->type;
        int i = 0, j = 0;
        a->buffer = x.buffer;
        a->base = x.base;
        while (i < from.rank || j < to.rank) {
            if (i < from.rank && dim_is(from.dim[i], 1)) {
                i++;
                continue;
            }
            if (j < to.rank && dim_is(to.dim[j], 1)) {
                a->stride[j++] = dim_const(dt, 0);
                continue;
            }
            if (i == from.rank || j == to.rank) return false;
            if (from.dim[i] == to.dim[j]) {
                a->stride[j++] = x.stride[i++];
                continue;
            }
            /* One operand axis into several. */
            int k = j;
            const Dim *prod = to.dim[k++];
            while (k < to.rank && prod != from.dim[i]) prod = dim_mul(dt, prod, to.dim[k++]);
            if (prod == from.dim[i]) {
                const Dim *st = x.stride[i++];
                for (int m = k - 1; m >= j; m--) {
                    a->stride[m] = st;
                    st = dim_mul(dt, st, to.dim[m]);
                }
                j = k;
                continue;
            }
            /* Several operand axes, each dense over the next, into one. */
            k = i;
            prod = from.dim[k++];
            while (k < from.rank && prod != to.dim[j]) {
                if (x.stride[k - 1] != dim_mul(dt, x.stride[k], from.dim[k])) return false;
                prod = dim_mul(dt, prod, from.dim[k++]);
            }
            if (prod != to.dim[j]) return false;
            a->stride[j++] = x.stride[k - 1];
            i = k;
        }
        return true;
    }
    default: return false;
    }
}
