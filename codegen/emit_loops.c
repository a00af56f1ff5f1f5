/* Ops that gather several elements into one, as loops inside one invocation: the path that is always legal.
 *
 * With s->lanes set (codegen/rows.c) a reduction of the row is shared by that many invocations and ends in a tree over
 * shared memory; nothing else changes. */
#include <assert.h>

#include "codegen/shader.h"

const char *emit_identity(Shader *s, Kind k, DType t)
{
    bool is_float = dtype_is_float(t);
    int bits = dtype_bits(t);
    switch (k) {
    case KIND_PROD: return emit_literal(s, t, 1, 1);
    case KIND_AND: /* narrow unsigned types are kept without bits above their own */
        return emit_literal(s, t, 0, t == DLVK_BOOL ? 1 : dtype_class(t) == DC_UINT && bits < 64 ? ((int64_t)1 << bits) - 1 : -1);
    case KIND_MAX:
        if (is_float) return emit_literal(s, t, -1.0 / 0.0, 0);
        return emit_literal(s, t, 0, dtype_class(t) == DC_INT ? (bits == 64 ? INT64_MIN : -((int64_t)1 << (bits - 1))) : 0);
    case KIND_MIN:
        if (is_float) return emit_literal(s, t, 1.0 / 0.0, 0);
        if (t == DLVK_BOOL) return "true";
        if (dtype_class(t) == DC_INT) return emit_literal(s, t, 0, bits == 64 ? INT64_MAX : ((int64_t)1 << (bits - 1)) - 1);
        return emit_literal(s, t, 0, bits == 64 ? -1 : ((int64_t)1 << bits) - 1);
    default: return emit_literal(s, t, 0, 0);
    }
}

const char *emit_combine(Shader *s, Kind k, DType t, const char *acc, const char *x)
{
    static const Op op[KIND_COUNT] = {[KIND_SUM] = OP_ADD, [KIND_PROD] = OP_MUL, [KIND_MAX] = OP_MAX,
                                      [KIND_MIN] = OP_MIN, [KIND_AND] = OP_AND,  [KIND_OR] = OP_OR};
    if (k == KIND_SET) return x;
    Value v = {.type = {.dtype = t}};
    Value *in[2] = {&v, &v};
    Node n = {.op = op[k], .n_in = 2, .in = in};
    return emit_point(s, &n, (const char *[]){acc, x});
}

static const char *open_loop(Shader *s, const Dim *count, const char *stem, const Ix **ix)
{
    const char *k = sh_loop(s, stem, "0", arg_int(s, count), "1");
    *ix = ix_var(s, k, count);
    return k;
}

const Ix *open_shared_loop(Shader *s, const char *condition, const Dim *count)
{
    if (s->along) { /* strips of the row; always under the same names, so that what one loop loads is known in the next */
        DimTable *dt = &s->ctx->dims;
        const Dim *width = dim_const(dt, s->strip.width), *strips = dim_floordiv(dt, count, width);
        const char *first = "trip * int(LANES)";
        if (s->trips)
            sh_open(s, "[[unroll]] for (int trip = 0; trip < TRIPS; trip++) {");
        else
            first = sh_loop(s, "k", "0", arg_int(s, strips), s->lanes);
        sh_line(s, "int strip = %s + %s;", first, s->lane);
        sh_open(s, s->exact ? "if (%s) {" : "if (%s && strip < %s) {", condition, arg_int(s, strips));
        s->trip_scopes = s->scopes.n;
        return ix_add(s, ix_mul(s, ix_var(s, "strip", strips), width), s->strip.j);
    }
    const char *first = sh_loop(s, "k", "0", arg_int(s, count), s->lanes), *k = sh_fresh(s, "k");
    sh_line(s, "int %s = %s + %s;", k, first, s->lane);
    if (s->exact)
        sh_open(s, "if (%s) {", condition);
    else
        sh_open(s, "if (%s && (%s == 1 || %s < %s)) {", condition, s->lanes, k, arg_int(s, count));
    return ix_var(s, k, count);
}

/* An accumulator, and where the loops around it stand. */
typedef struct Accumulate {
    const char *acc;
    const char *bits; /* of extrema: the largest of the elements' bits but the sign, which tells of NaN; NULL: acc does */
    bool each,
        left; /* there is one for each element of the strip, and loops over it go innermost; which took leaving such a loop */
    Outside o;
} Accumulate;

/* fixed: the loops are the same for the whole strip. */
static Accumulate accumulate(Shader *s, const Value *v, Index *idx, bool fixed, DType t, const char *init)
{
    Accumulate a = {.left = fixed && strip_again(s, idx)};
    if (a.left) strip_leave(s, &a.o);
    a.each = s->strip.width && !s->strip.open && v->type.rank && ix_depends(index_flat(s, v->type, idx), s->strip.j);
    a.acc = strip_declare(s, glsl_class(t), init, a.each);
    return a;
}

/* The result, brought from type t to v's, and from now on known as v. */
static const char *accumulated(Shader *s, Value *v, Index *idx, DType t, const Accumulate *a)
{
    const char *x = t == v->type.dtype ? a->acc : emit_cast(s, t, v->type.dtype, a->acc, true);
    if (a->each && x != a->acc) {
        sh_line(s, "[[unroll]] for (int j = 0; j < WIDTH; j++) %s = %s;", a->acc, x);
        x = a->acc;
    }
    if (a->left) {
        if (a->each) emit_bind(s, v, *idx, x);
        strip_return(s, &a->o);
    }
    return x;
}

/* Extrema of floats on a GPU keep a NaN beside them, for asking acc and each element takes seven instructions instead of three.
 */
static void watch_nan(Shader *s, const Value *v, Accumulate *a)
{
    Kind k = (Kind)attr_i(v->def, A_KIND, KIND_SUM);
    if (s->strip.width && (k == KIND_MAX || k == KIND_MIN) && glsl_class_letter(v->type.dtype) == 'f')
        a->bits = strip_declare(s, "uint", "0u", a->each);
}

static void reduce_element(Shader *s, const Value *v, const Accumulate *a, const char *x)
{
    Kind k = (Kind)attr_i(v->def, A_KIND, KIND_SUM);
    if (!a->bits) {
        sh_line(s, "%s = %s;", a->acc, emit_combine(s, k, v->type.dtype, a->acc, x));
        return;
    }
    sh_line(s, "%s = %s(%s, %s);", a->acc, k == KIND_MAX ? "max" : "min", a->acc, x);
    sh_line(s, "%s = max(%s, floatBitsToUint(%s) & 0x7fffffffu);", a->bits, a->bits, x);
}

static void show_nan(Shader *s, const Accumulate *a)
{
    if (a->bits)
        sh_line(s, "%sif (%s > 0x7f800000u) %s = uintBitsToFloat(0x7fc00000u);",
                a->each ? "[[unroll]] for (int j = 0; j < WIDTH; j++) " : "", a->bits, a->acc);
}

/* Whether v is computed from a reduction of the kernel that has no name yet. */
static bool waits(const Shader *s, const Value *v, bool *seen)
{
    if (seen[v->id]) return false;
    seen[v->id] = true;
    const Kernel *k = s->kg->kernel;
    for (int i = 0; i < k->reduces.n; i++) {
        if (k->reduces.at[i]->out[0] != v) continue;
        for (int j = 0; j < s->reduced.n; j++)
            if (s->reduced.at[j] == v) return false;
        return true;
    }
    bool own = false;
    for (int i = 0; i < k->out.n; i++) own |= k->out.at[i] == v;
    if (!v->def || (s->kg->sched->materialized[v->id] && !own)) return false;
    for (int i = 0; i < v->def->n_in; i++)
        if (waits(s, v->def->in[i], seen)) return true;
    return false;
}

enum { AT_ONCE = 8 };

/* v, and what else of a rows kernel can be reduced in the same loop. */
static int reduced_at_once(Shader *s, Value *v, Value **list)
{
    int n = 1;
    list[0] = v;
    if (!s->lanes || s->strip.open) return n;
    const Kernel *k = s->kg->kernel;
    for (int i = 0; i < k->reduces.n && n < AT_ONCE; i++) {
        Value *w = k->reduces.at[i]->out[0];
        bool done = w == v;
        for (int j = 0; j < s->reduced.n; j++) done |= s->reduced.at[j] == w;
        bool *seen = done ? NULL : POOL_ARRAY(s->pool, bool, s->kg->sched->graph->n_values + 1);
        if (!done && !waits(s, w->def->in[0], seen)) list[n++] = w;
    }
    for (int i = 0; i < n; i++) *VEC_PUSH(s->pool, s->reduced) = list[i];
    return n;
}

static const char *emit_reduce(Shader *s, Value *v, Index *idx)
{
    Value *all[AT_ONCE];
    Index where[AT_ONCE];
    Accumulate sum[AT_ONCE];
    int n_all = reduced_at_once(s, v, all);
    Node *n = v->def;
    Value *x = n->in[0];
    const Attr *axes = node_attr(n, A_AXES);
    const Ix *ax[DLVK_MAX_RANK];
    bool reduced[DLVK_MAX_RANK] = {0};
    for (int i = 0; i < axes->n; i++) reduced[axes->ints[i]] = true;
    for (int i = 0; i < v->type.rank; i++) ax[i] = reduced[i] ? ix_const(s, 0) : index_axis(s, v->type, idx, i);

    for (int i = 0; i < n_all; i++) {
        DType u = all[i]->type.dtype;
        where[i] = i ? index_of_axes(all[i]->type, ax) : *idx;
        sum[i] = accumulate(s, all[i], &where[i], true, u, emit_identity(s, (Kind)attr_i(all[i]->def, A_KIND, KIND_SUM), u));
        watch_nan(s, all[i], &sum[i]);
    }
    Accumulate a = sum[0];
    int opened = 0;
    if (s->lanes) {
        /* One loop over all reduced axes, dealt out to the lanes. */
        const Dim *count = dim_const(&s->ctx->dims, 1);
        for (int i = 0; i < x->type.rank; i++)
            if (reduced[i]) count = dim_mul(&s->ctx->dims, count, x->type.dim[i]);
        const Ix *flat = open_shared_loop(s, "true", count);
        opened = 2;
        const Dim *stride = dim_const(&s->ctx->dims, 1);
        for (int i = x->type.rank - 1; i >= 0; i--)
            if (reduced[i]) {
                ax[i] = ix_split(s, flat, stride, x->type.dim[i]);
                stride = dim_mul(&s->ctx->dims, stride, x->type.dim[i]);
            }
    } else {
        for (int i = 0; i < x->type.rank; i++)
            if (reduced[i]) {
                open_loop(s, x->type.dim[i], "k", &ax[i]);
                opened++;
            }
    }
    bool strip = a.each || (s->along && s->lanes && !s->strip.open);
    if (strip) strip_open(s);
    for (int i = 0; i < n_all; i++) {
        Value *y = all[i]->def->in[0];
        reduce_element(s, all[i], &sum[i], emit_value(s, y, index_of_axes(y->type, ax)));
    }
    if (strip) strip_close(s);
    while (opened--) sh_close(s);
    for (int i = 0; i < n_all; i++) show_nan(s, &sum[i]);
    for (int i = 0; s->lanes && i < n_all; i++) {
        emit_lane_reduce(s, (Kind)attr_i(all[i]->def, A_KIND, KIND_SUM), all[i]->type.dtype, sum[i].acc, a.each);
        if (i) emit_bind(s, all[i], where[i], sum[i].acc);
    }
    return accumulated(s, v, idx, v->type.dtype, &a);
}

/* The extremum's position: pos of the first or last best element. Integers compare as themselves; NaN wins and stays. */
static void emit_arg_step(Shader *s, Kind kind, DType t, bool last, const char *best, const char *where, const char *x,
                          const char *pos)
{
    const char *rel = kind == KIND_MAX ? (last ? "op_ge" : "op_gt") : (last ? "op_le" : "op_lt");
    const char *better = sh_printf(s, "%s(%s, %s)", rel, x, best);
    if (dtype_is_float(t)) /* a NaN wins, the first or the last of them */
        better = last ? sh_printf(s, "op_is_nan(%s) || (!op_is_nan(%s) && %s)", x, best, better)
                      : sh_printf(s, "!op_is_nan(%s) && (op_is_nan(%s) || %s)", best, x, better);
    sh_open(s, "if (%s < 0 || (%s)) {", where, better);
    sh_line(s, "%s = %s;", best, x);
    sh_line(s, "%s = %s;", where, pos);
    sh_close(s);
}

static const char *emit_argreduce(Shader *s, Value *v, Index *idx)
{
    Node *n = v->def;
    Value *x = n->in[0];
    int axis = (int)attr_i(n, A_AXIS, 0);
    DType t = x->type.dtype;
    const Ix *ax[DLVK_MAX_RANK];
    for (int i = 0; i < v->type.rank; i++) ax[i] = index_axis(s, v->type, idx, i);
    const char *best = sh_fresh(s, "best"), *where = sh_fresh(s, "where");
    sh_line(s, "%s %s = %s;", glsl_class(t), best, emit_literal(s, t, 0, 0));
    sh_line(s, "int %s = -1;", where);
    const char *k = open_loop(s, x->type.dim[axis], "k", &ax[axis]);
    const char *e = emit_value(s, x, index_of_axes(x->type, ax));
    emit_arg_step(s, (Kind)attr_i(n, A_KIND, KIND_MAX), t, attr_i(n, A_LAST, 0), best, where, e, k);
    sh_close(s);
    return emit_cast(s, DLVK_I32, DLVK_I64, sh_printf(s, "max(%s, 0)", where), true);
}

/* A loop over a window. A small one's size is written out, against the rule for sizes: drivers unroll it, which with the hoisting
 * above made max pooling on lavapipe four times as fast, and models have few sizes. */
static const Ix *open_window(Shader *s, int64_t count)
{
    const Ix *k;
    const Dim *d = dim_const(&s->ctx->dims, count);
    if (count > 7) {
        open_loop(s, d, "k", &k);
        return k;
    }
    if (!s->strip.width) return ix_var(s, sh_loop(s, "k", "0", sh_printf(s, "%d", (int)count), "1"), d);
    /* On a GPU the loads of all places are to be under way at a time. */
    const char *name = sh_fresh(s, "k");
    sh_open(s, "[[unroll]] for (int %s = 0; %s < %d; %s++) {", name, name, (int)count, name);
    return ix_var(s, name, d);
}

/* A window that does nothing along an axis. */
static bool is_one(int64_t window, int64_t step, const Dim *lo, const Dim *hi)
{
    return window == 1 && step == 1 && dim_is(lo, 0) && dim_is(hi, 0);
}

static const char *emit_window(Shader *s, Value *v, Index *idx)
{
    Node *n = v->def;
    Value *x = n->in[0];
    Kind kind = (Kind)attr_i(n, A_KIND, KIND_MAX);
    const int64_t *window = attr_ints(n, A_WINDOW), *step = attr_ints(n, A_STEP), *dil = attr_ints(n, A_DILATION);
    const Dim *const *lo = attr_dims(n, A_LO), *const *hi = attr_dims(n, A_HI);
    DimTable *dt = &s->ctx->dims;
    DType t = x->type.dtype;
    bool arg = n->op == OP_ARGWINDOW, fixed = s->strip.open, in_window = arg && attr_i(n, A_PLACE, 0);
    const Ix *place = ix_const(s, 0);
    for (int i = 0; i < v->type.rank && fixed; i++)
        fixed = is_one(window[i], step[i], lo[i], hi[i]) || strip_fixed(s, index_axis(s, v->type, idx, i));
    const Ix *ax[DLVK_MAX_RANK];
    int opened = 0;
    for (int i = 0; i < v->type.rank; i++) ix_text(s, index_axis(s, v->type, idx, i)); /* once, outside the loops */
    Accumulate a = accumulate(s, v, idx, fixed, t, emit_identity(s, kind, t));
    if (!arg) watch_nan(s, v, &a);
    const char *acc = a.acc, *where = arg ? strip_declare(s, "int", "-1", a.each) : NULL;
    /* On a GPU, what is outside is read as the first place and then left out, for loads behind branches wait for each other. */
    bool branches = arg || !s->strip.width;
    const char *inside = NULL;
    for (int i = 0; i < v->type.rank; i++) {
        const Ix *o = index_axis(s, v->type, idx, i);
        if (is_one(window[i], step[i], lo[i], hi[i])) {
            ax[i] = o;
            continue;
        }
        const Ix *k = open_window(s, window[i]);
        if (in_window) place = ix_add(s, ix_mul(s, place, dim_const(dt, window[i])), k);
        const char *p = sh_fresh(s, "p");
        const Ix *at = ix_add(s, ix_mul(s, o, dim_const(dt, step[i])), ix_mul(s, k, dim_const(dt, dil[i])));
        at = ix_sub(s, at, ix_dim(s, lo[i]));
        sh_line(s, "int %s = %s;", p, ix_text(s, at));
        opened++;
        if (dim_is(lo[i], 0) && dim_is(hi[i], 0)) {
        } else if (branches) {
            sh_open(s, "if (uint(%s) < uint(%s)) {", p, arg_int(s, x->type.dim[i]));
            opened++;
        } else {
            inside = emit_clamp(s, inside, p, arg_int(s, x->type.dim[i]));
        }
        ax[i] = ix_var(s, p, x->type.dim[i]);
    }
    Index at = index_of_axes(x->type, ax);
    if (a.each) strip_open(s);
    const char *e = emit_value(s, x, at);
    if (inside) e = sh_printf(s, "(%s ? %s : %s)", inside, e, emit_identity(s, kind, t));
    if (arg)
        emit_arg_step(s, kind, t, false, acc, where, e, ix_text(s, in_window ? place : index_flat(s, x->type, &at)));
    else
        reduce_element(s, v, &a, e);
    if (a.each) strip_close(s);
    while (opened--) sh_close(s);
    show_nan(s, &a);
    if (!arg) return accumulated(s, v, idx, t, &a);
    a.acc = strip_declare(s, glsl_class(DLVK_I64), NULL, a.each);
    const char *found = emit_cast(s, DLVK_I32, DLVK_I64, sh_printf(s, "max(%s, 0)", where), true);
    sh_line(s, "%s%s = %s;", a.each ? "[[unroll]] for (int j = 0; j < WIDTH; j++) " : "", a.acc, found);
    return accumulated(s, v, idx, DLVK_I64, &a);
}

static const char *emit_cumulate(Shader *s, Value *v, Index *idx)
{
    Node *n = v->def;
    Value *x = n->in[0];
    int axis = (int)attr_i(n, A_AXIS, 0);
    Kind kind = (Kind)attr_i(n, A_KIND, KIND_SUM);
    bool reverse = attr_i(n, A_REVERSE, 0), exclusive = attr_i(n, A_EXCLUSIVE, 0);
    DType t = v->type.dtype;
    const Ix *ax[DLVK_MAX_RANK];
    for (int i = 0; i < v->type.rank; i++) ax[i] = index_axis(s, v->type, idx, i);
    const char *acc = sh_fresh(s, "acc"), *at = ix_text(s, ax[axis]),
               *last = sh_printf(s, "%s - 1", arg_int(s, x->type.dim[axis]));
    sh_line(s, "%s %s = %s;", glsl_class(t), acc, emit_identity(s, kind, t));
    const char *k = sh_loop(s, "k", "0", arg_int(s, x->type.dim[axis]), "1");
    sh_open(s, "if (%s %s %s) {", k, exclusive ? "<" : "<=", reverse ? sh_printf(s, "%s - %s", last, at) : at);
    if (reverse) {
        const char *up = k;
        k = sh_fresh(s, "k");
        sh_line(s, "int %s = %s - %s;", k, last, up);
    }
    ax[axis] = ix_var(s, k, x->type.dim[axis]);
    sh_line(s, "%s = %s;", acc, emit_combine(s, kind, t, acc, emit_value(s, x, index_of_axes(x->type, ax))));
    sh_close(s);
    sh_close(s);
    return acc;
}

/* acc += x * y, in the accumulator's type. */
static void emit_fma(Shader *s, DType t, const char *acc, DType tx, const char *x, DType ty, const char *y)
{
    x = emit_cast(s, tx, t, x, true);
    y = emit_cast(s, ty, t, y, true);
    Value v = {.type = {.dtype = t}};
    Value *in[2] = {&v, &v};
    Node mul = {.op = OP_MUL, .n_in = 2, .in = in};
    const char *p = emit_point(s, &mul, (const char *[]){x, y});
    sh_line(s, "%s = %s;", acc, emit_combine(s, KIND_SUM, t, acc, p));
}

/* Floats below 32 bits accumulate as f32. */
static DType acc_type(DType t)
{
    return dtype_is_float(t) && t != DLVK_F64 ? DLVK_F32 : t;
}

/* Steps of a sum; on a GPU the loads of a few are to be under way at a time. */
static const Ix *open_steps(Shader *s, const Dim *count)
{
    enum { FEW = 16 };
    const Ix *k;
    int64_t n;
    if (!s->strip.width || !dim_is_const(count, &n) || n > FEW) {
        open_loop(s, count, "k", &k);
        return k;
    }
    const char *name = sh_fresh(s, "k");
    sh_open(s, "[[unroll]] for (int %s = 0; %s < %d; %s++) {", name, name, (int)n, name);
    return ix_var(s, name, count);
}

static const char *emit_dot(Shader *s, Value *v, Index *idx)
{
    Value *x = v->def->in[0], *y = v->def->in[1];
    int r = v->type.rank;
    DType t = acc_type(v->type.dtype);
    const Ix *ax[DLVK_MAX_RANK], *bx[DLVK_MAX_RANK];
    for (int i = 0; i < r - 2; i++) ax[i] = bx[i] = index_axis(s, v->type, idx, i);
    ax[r - 2] = index_axis(s, v->type, idx, r - 2);
    bx[r - 1] = index_axis(s, v->type, idx, r - 1);
    Accumulate a0 = accumulate(s, v, idx, true, t, emit_identity(s, KIND_SUM, t));
    const char *acc = a0.acc;
    ax[r - 1] = bx[r - 2] = open_steps(s, x->type.dim[r - 1]);
    if (a0.each) strip_open(s);
    const char *a = emit_value(s, x, index_of_axes(x->type, ax)), *b = emit_value(s, y, index_of_axes(y->type, bx));
    emit_fma(s, t, acc, x->type.dtype, a, y->type.dtype, b);
    if (a0.each) strip_close(s);
    sh_close(s);
    return accumulated(s, v, idx, t, &a0);
}

/* A loop over an axis of the weights, none for a single place; returns how many scopes it opened. */
static int open_taps(Shader *s, const Dim *count, const Ix **k)
{
    int64_t n;
    if (dim_is(count, 1)) {
        *k = ix_const(s, 0);
        return 0;
    }
    if (dim_is_const(count, &n))
        *k = open_window(s, n);
    else
        open_loop(s, count, "k", k);
    return 1;
}

static const char *emit_conv(Shader *s, Value *v, Index *idx)
{
    Node *n = v->def;
    Value *x = n->in[0], *w = n->in[1];
    int r = v->type.rank, sp = r - 2;
    DimTable *dt = &s->ctx->dims;
    const int64_t *step = attr_ints(n, A_STEP), *dil = attr_ints(n, A_DILATION), *in_dil = attr_ints(n, A_IN_DILATION);
    const Dim *const *lo = attr_dims(n, A_LO), *const *hi = attr_dims(n, A_HI);
    int64_t group = attr_i(n, A_GROUP, 1);
    DType t = acc_type(v->type.dtype);
    const Ix *ax[DLVK_MAX_RANK], *wx[DLVK_MAX_RANK], *c;
    ax[0] = index_axis(s, v->type, idx, 0);
    wx[r - 1] = index_axis(s, v->type, idx, r - 1);
    bool fixed = s->strip.open;
    for (int i = 0; i < sp && fixed; i++) fixed = strip_fixed(s, index_axis(s, v->type, idx, i + 1));
    for (int i = 0; i < r; i++) ix_text(s, index_axis(s, v->type, idx, i)); /* once, outside the loops */
    Accumulate a0 = accumulate(s, v, idx, fixed, t, emit_identity(s, KIND_SUM, t));
    const char *acc = a0.acc;
    int opened = 0;
    const char *inside =
        NULL; /* outside is read as the first place and then left out: a branch for each tap costs a third more */
    for (int i = 0; i < sp; i++) {
        const Ix *o = index_axis(s, v->type, idx, i + 1);
        bool stretched = in_dil && in_dil[i] != 1;
        opened += open_taps(s, w->type.dim[i], &wx[i]);
        const Ix *at = ix_add(s, ix_mul(s, o, dim_const(dt, step[i])), ix_mul(s, wx[i], dim_const(dt, dil[i])));
        at = ix_sub(s, at, ix_dim(s, lo[i]));
        const char *p = sh_fresh(s, "p"), *size = arg_int(s, x->type.dim[i + 1]);
        sh_line(s, "int %s = %s;", p, ix_text(s, at));
        if (stretched) {
            const char *q = sh_fresh(s, "p"), *d = arg_int(s, dim_const(dt, in_dil[i]));
            sh_line(s, "int %s = %s / %s;", q, p, d);
            sh_open(s, "if (%s >= 0 && %s < %s && %s * %s == %s) {", p, q, size, q, d, p);
            p = q;
            opened++;
        } else if (!dim_is(lo[i], 0) || !dim_is(hi[i], 0)) {
            inside = emit_clamp(s, inside, p, size);
        }
        ax[i + 1] = ix_var(s, p, x->type.dim[i + 1]);
    }
    const Dim *per = w->type.dim[sp]; /* input channels a group */
    opened += open_taps(s, per, &c);
    wx[sp] = c;
    if (group == 1) {
        ax[r - 1] = c;
    } else {
        const Ix *g = ix_split(s, wx[r - 1], dim_floordiv(dt, v->type.dim[r - 1], dim_const(dt, group)), NULL);
        ax[r - 1] = ix_add(s, ix_mul(s, g, per), c);
    }
    if (a0.each) strip_open(s);
    const char *a = emit_value(s, x, index_of_axes(x->type, ax)), *b = emit_value(s, w, index_of_axes(w->type, wx));
    if (inside) a = sh_printf(s, "(%s ? %s : %s)", inside, a, emit_literal(s, x->type.dtype, 0, 0));
    emit_fma(s, t, acc, x->type.dtype, a, w->type.dtype, b);
    if (a0.each) strip_close(s);
    while (opened--) sh_close(s);
    return accumulated(s, v, idx, t, &a0);
}

const char *emit_loop_op(Shader *s, Value *v, Index idx)
{
    switch (v->def->op) {
    case OP_REDUCE: return emit_reduce(s, v, &idx);
    case OP_ARGREDUCE: return emit_argreduce(s, v, &idx);
    case OP_WINDOW:
    case OP_ARGWINDOW: return emit_window(s, v, &idx);
    case OP_CUMULATE: return emit_cumulate(s, v, &idx);
    case OP_DOT: return emit_dot(s, v, &idx);
    case OP_CONV: return emit_conv(s, v, &idx);
    default:
        ctx_error(s->ctx, DLVK_INTERNAL, "code generator: no expression for op '%s'", op_info[v->def->op].name);
        return emit_literal(s, v->type.dtype, 0, 0);
    }
}
