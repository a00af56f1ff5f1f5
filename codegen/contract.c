/* Matrix products and convolutions: the common view of both, and their variants in order of preference.
 *
 * The sum is kept in f32; other accumulators (integers, double) go the way of map kernels, which compute each element in a loop.
 */
#include "codegen/contract.h"

#include <stddef.h>
#include <string.h>

#include "dlvk/runtime.h"
#include "ir/view.h"

/* Operands of matrix units: f16, or f32 that was f16 before. */
static bool is_f16(const Value *v)
{
    while (v->def && v->type.dtype != DLVK_F16 &&
           (v->def->op == OP_CAST || v->def->op == OP_TRANSPOSE || v->def->op == OP_BROADCAST || v->def->op == OP_SLICE ||
            v->def->op == OP_RESHAPE))
        if ((v = v->def->in[0])->type.dtype != DLVK_F32) break;
    return v->type.dtype == DLVK_F16;
}

static Operand operand_of(KernelGen *kg, const Node *n, int which)
{
    Value *v = n->in[which], *stored;
    Operand o = {.value = v};
    const Tensor *t;
    if (value_const(v, &t) && (t->splat || t->count == 1) && !kg->sched->materialized[v->id]) {
        o.splat = true;
        return o;
    }
    if (which == 0 && (o.leaf = view_prologue(n, &stored)) && kg->sched->materialized[stored->id]) o.leaf = NULL;
    if (o.leaf) v = o.leaf;
    /* What is kept in 16 bits and widened here is read as it lies in memory. */
    if (!kg->sched->materialized[v->id] && value_widened(v)) v = v->def->in[0];
    DType e = v->type.dtype;
    o.affine = (e == DLVK_F32 || e == DLVK_F16 || e == DLVK_BF16) && value_affine(kg, v, &o.at) && o.at.buffer->type.dtype == e;
    return o;
}

static void analyse_dot(KernelGen *kg, Contraction *c)
{
    DimTable *dt = &kg->ctx->dims;
    Type t = c->out->type, ta = c->a.value->type;
    int r = t.rank;
    c->k = ta.dim[r - 1];
    for (int i = 0; i < r - 2; i++) {
        /* One B for the whole axis: it is nothing but more rows. */
        bool shared = c->b.splat || (c->b.affine && dim_is(c->b.at.stride[i], 0));
        if (shared)
            c->row[c->n_row++] = i;
        else
            c->batch[c->n_batch++] = i;
    }
    c->row[c->n_row++] = r - 2;
    for (int i = 0; i < c->n_batch; i++) c->z = dim_mul(dt, c->z, t.dim[c->batch[i]]);
    if (c->a.affine) c->a_k = c->a.at.stride[r - 1];
    if (c->b.affine) {
        c->b_k = c->b.at.stride[r - 2];
        c->b_n = c->b.at.stride[r - 1];
    }
}

static void analyse_conv(KernelGen *kg, Contraction *c)
{
    DimTable *dt = &kg->ctx->dims;
    Node *n = c->node;
    Type t = c->out->type, ta = c->a.value->type, tb = c->b.value->type;
    int r = t.rank, sp = r - 2;
    const int64_t *step = attr_ints(n, A_STEP), *dil = attr_ints(n, A_DILATION), *in_dil = attr_ints(n, A_IN_DILATION);
    const Dim *const *lo = attr_dims(n, A_LO), *const *hi = attr_dims(n, A_HI);
    int64_t group = attr_i(n, A_GROUP, 1);
    c->z = dim_const(dt, group);
    c->n = dim_floordiv(dt, c->n, c->z);
    c->k = tb.dim[sp];
    /* What neighbours in memory comes last, where it can be loaded in vectors: the batch, where the gradient has it for channels.
     */
    bool batch_last = c->a.affine && !dim_is(c->a.at.stride[r - 1], 1) && dim_is(c->a.at.stride[0], 1);
    for (int i = batch_last; i < r - 1; i++) c->row[c->n_row++] = i;
    if (batch_last) c->row[c->n_row++] = 0;
    for (int i = 0; i < sp; i++) {
        Tap *p = &c->tap[c->n_tap++];
        *p = (Tap){.count = tb.dim[i], .size = ta.dim[i + 1], .lo = lo[i], .axis = i + 1};
        p->step = step ? step[i] : 1;
        p->dilation = dil ? dil[i] : 1;
        p->in_dilation = in_dil ? in_dil[i] : 1;
        bool inside = dim_is(lo[i], 0) && dim_is(hi[i], 0) && p->in_dilation == 1;
        p->plain = inside && dim_is(p->count, 1);
        c->padded |= !inside;
        c->steps = dim_mul(dt, c->steps, p->count);
        if (c->a.affine) p->a_stride = c->a.at.stride[i + 1];
        if (c->b.affine) p->b_stride = c->b.at.stride[i];
    }
    if (c->a.affine) c->a_k = c->a.at.stride[r - 1];
    if (c->b.affine) {
        c->b_k = c->b.at.stride[sp];
        c->b_n = c->b.at.stride[sp + 1];
        c->b_z = dim_mul(dt, c->b_n, c->n);
        const Dim *gapless = dim_mul(dt, c->b_k, c->k);
        c->b_dense = true;
        for (int i = sp - 1; i >= 0; i--) {
            c->b_dense &= c->tap[i].b_stride == gapless;
            gapless = dim_mul(dt, gapless, c->tap[i].count);
        }
    }
    c->taps_first = sp > 0 && c->a.affine && c->b.affine && !dim_is(c->a_k, 1) && !dim_is(c->b_k, 1);
    if (c->taps_first) {
        const Dim *gapless = c->b_step = c->tap[sp - 1].b_stride;
        for (int i = sp - 1; i >= -1; i--) {
            if ((i < 0 ? c->b_k : c->tap[i].b_stride) != gapless) c->b_step = NULL;
            if (i >= 0) gapless = dim_mul(dt, gapless, c->tap[i].count);
        }
    } else if (c->b_dense) {
        c->b_step = c->b_k;
    }
}

Contraction contract_analyse(KernelGen *kg)
{
    Node *n = kg->kernel->anchor;
    const Dim *one = dim_const(&kg->ctx->dims, 1), *zero = dim_const(&kg->ctx->dims, 0);
    Contraction c = {.node = n, .out = n->out[0], .conv = n->op == OP_CONV, .z = one, .steps = one, .m = one};
    c.a = operand_of(kg, n, 0);
    c.b = operand_of(kg, n, 1);
    c.a_k = c.b_k = c.b_n = c.b_z = zero;
    c.n = c.out->type.dim[c.out->type.rank - 1];
    if (c.conv)
        analyse_conv(kg, &c);
    else
        analyse_dot(kg, &c);
    for (int i = 0; i < c.n_row; i++) c.m = dim_mul(&kg->ctx->dims, c.m, c.out->type.dim[c.row[i]]);
    c.steps = dim_mul(&kg->ctx->dims, c.steps, c.k);
    return c;
}

/* ---- shared by the variants --------------------------------------------------------------------------------------- */

/* The result's index along `axis`. */
const Ix *contract_row_axis(Shader *s, const Contraction *c, int axis, const char *m, const char *z)
{
    DimTable *dt = &s->ctx->dims;
    Type t = c->out->type;
    const Dim *stride = dim_const(dt, 1);
    for (int i = c->n_row - 1; i >= 0; i--) {
        if (c->row[i] == axis) return ix_split(s, ix_var(s, m, c->m), stride, t.dim[axis]);
        stride = dim_mul(dt, stride, t.dim[c->row[i]]);
    }
    stride = dim_const(dt, 1);
    for (int i = c->n_batch - 1; i >= 0; i--) {
        if (c->batch[i] == axis) return ix_split(s, ix_var(s, z, c->z), stride, t.dim[axis]);
        stride = dim_mul(dt, stride, t.dim[c->batch[i]]);
    }
    return ix_const(s, 0);
}

static const Ix *group_index(Shader *s, const Contraction *c, const char *z)
{
    return dim_is(c->z, 1) ? ix_const(s, 0) : ix_var(s, z, c->z);
}

const Ix *contract_a_offset(Shader *s, const Contraction *c, const char *m, const char *z)
{
    DimTable *dt = &s->ctx->dims;
    int r = c->out->type.rank;
    const Ix *at = ix_dim(s, c->a.at.base);
    for (int i = 0; i < r - 1; i++) {
        if (c->conv && i > 0) break;
        at = ix_add(s, at, ix_mul(s, contract_row_axis(s, c, i, m, z), c->a.at.stride[i]));
    }
    for (int i = 0; i < c->n_tap; i++) {
        const Tap *p = &c->tap[i];
        if (p->plain)
            at = ix_add(s, at,
                        ix_mul(s, contract_row_axis(s, c, p->axis, m, z), dim_mul(dt, p->a_stride, dim_const(dt, p->step))));
    }
    if (c->conv) at = ix_add(s, at, ix_mul(s, group_index(s, c, z), dim_mul(dt, c->k, c->a_k)));
    return at;
}

const Ix *contract_b_offset(Shader *s, const Contraction *c, const char *z)
{
    const Ix *at = ix_dim(s, c->b.at.base);
    if (c->conv) return ix_add(s, at, ix_mul(s, group_index(s, c, z), c->b_z));
    for (int i = 0; i < c->n_batch; i++)
        at = ix_add(s, at, ix_mul(s, contract_row_axis(s, c, c->batch[i], "", z), c->b.at.stride[c->batch[i]]));
    return at;
}

/* v, computed from the operand's leaf, in channel number `channel`, where the leaf is `raw`. */
static const char *computed(Shader *s, const Contraction *c, Value *v, const Ix *channel, const char *raw)
{
    const Ix *ax[DLVK_MAX_RANK];
    int r = v->type.rank;
    for (int i = 0; i < r - 1; i++) ax[i] = ix_const(s, 0);
    ax[r - 1] = channel;
    Index at = index_of_axes(v->type, ax);
    emit_bind(s, c->a.leaf, at, raw);
    return emit_value(s, v, at);
}

void contract_before(Shader *s, const Contraction *c)
{
    if (!c->a.leaf) return;
    Piece piece = contract_begin(s);
    const Ix *inner = ix_var(s, "inner", c->k);
    sh_line(s, "return %s;", computed(s, c, c->a.value, inner, "raw"));
    sh_decl(s, "float before(float raw, int inner)\n{\n%s}", contract_end(s, piece));
}

const char *contract_before_vector(Shader *s, const Contraction *c, const char *raw)
{
    const Ix *inner = ix_mul(s, ix_var(s, "inner_vector", NULL), dim_const(&s->ctx->dims, 8));
    strip_begin(s, 8, "HALVES");
    sh_line(s, "int inner_vector = inner >> 3;");
    ix_var_here(s, "inner_vector");
    sh_line(s, "uvec4 raw = %s;", raw);
    const char *y = strip_declare(s, "float", NULL, true);
    strip_open(s);
    sh_line(s, "float one = f16_half(raw[j / 2], j);");
    /* not rounded: packing does */
    sh_line(s, "%s = %s;", y, computed(s, c, c->a.value->def->in[0]->def->in[0], ix_add(s, inner, s->strip.j), "one"));
    strip_close(s);
    s->strip = (Strip){0};
    int n = (int)strcspn(y, "[");
    const char *text = "";
    for (int i = 0; i < 8; i += 2)
        text = sh_printf(s, "%s%sf16_pair(%.*s[%d], %.*s[%d])", text, i ? ", " : "", n, y, i, n, y, i + 1);
    return sh_printf(s, "uvec4(%s)", text);
}

const char *contract_load(Shader *s, const Operand *o, const char *flat)
{
    Value *v = o->at.buffer;
    if (v->type.dtype == DLVK_F32) return emit_load(s, v, flat);
    const char *at = sh_fresh(s, "at");
    sh_line(s, "int %s = %s;", at, flat);
    return emit_load(s, v, at);
}

static const char *cut(Shader *s, size_t from)
{
    char *text = pool_alloc(s->pool, s->body.n - from + 1);
    if (s->body.n > from) memcpy(text, s->body.at + from, s->body.n - from);
    s->body.n = from;
    return text;
}

Piece contract_begin(Shader *s)
{
    Piece p = {.from = s->body.n, .depth = s->depth};
    sh_open(s, "{");
    s->depth = 0; /* the template indents */
    p.text = s->body.n;
    return p;
}

const char *contract_cut(Shader *s, Piece p)
{
    return cut(s, p.text);
}

const char *contract_end(Shader *s, Piece p)
{
    const char *text = cut(s, p.text);
    s->depth = p.depth + 1;
    sh_close(s);
    s->body.n = p.from;
    return text;
}

bool contract_whole(KernelGen *kg, const Contraction *c, int64_t steps)
{
    return dim_is(dim_mod(&kg->ctx->dims, c->steps, dim_const(&kg->ctx->dims, steps)), 0);
}

static bool is_output(const Kernel *k, const Value *v)
{
    for (int i = 0; i < k->out.n; i++)
        if (k->out.at[i] == v) return true;
    return false;
}

void contract_column_values(Shader *s, const Value *sum, const Value *v, const Ix *column, int depth)
{
    Node *n = v->def;
    if (s->kg->sched->materialized[v->id] && !is_output(s->kg->kernel, v)) return;
    if (!n || v == sum || depth > 32 ||
        !(op_info[n->op].point || n->op == OP_CAST || n->op == OP_BITCAST || n->op == OP_BROADCAST))
        return;
    if (n->op != OP_BROADCAST) {
        for (int i = 0; i < n->n_in; i++) contract_column_values(s, sum, n->in[i], column, depth + 1);
        return;
    }
    Type t = n->in[0]->type;
    const Ix *ax[DLVK_MAX_RANK];
    for (int i = 0; i < t.rank - 1; i++) {
        if (!dim_is(t.dim[i], 1)) return;
        ax[i] = ix_const(s, 0);
    }
    if (t.rank == 0 || n->out[0]->type.dim[t.rank - 1] != sum->type.dim[sum->type.rank - 1]) return;
    ax[t.rank - 1] = dim_is(t.dim[t.rank - 1], 1) ? ix_const(s, 0) : column;
    emit_value(s, n->in[0], index_of_axes(t, ax));
}

/* Does v depend on the sum other than element by element, through a reshape, say? Then its indices must not be taken apart. */
static bool moves_sum(const Shader *s, const Contraction *c, const Value *v, bool moved, int depth)
{
    if (v == c->out) return moved;
    if (!v->def || depth > 32 || (s->kg->sched->materialized[v->id] && !is_output(s->kg->kernel, v))) return depth > 32;
    const Node *n = v->def;
    bool point = op_info[n->op].point || n->op == OP_CAST || n->op == OP_BITCAST;
    for (int i = 0; i < n->n_in; i++)
        if (moves_sum(s, c, n->in[i], moved || !point, depth + 1)) return true;
    return false;
}

/* Where output v of the kernel has the element that the sum's index `at` leads to. Reshapes may lie between: what stays is the
 * flat number. */
static Index output_index(Shader *s, const Contraction *c, const Value *v, Index *at)
{
    Type t = c->out->type;
    bool same = v->type.rank == t.rank;
    for (int d = 0; same && d < t.rank; d++) same = v->type.dim[d] == t.dim[d];
    return same ? *at : index_of_flat(s, v->type, index_flat(s, t, at));
}

/* The sum, of the node's type. */
static const char *bind_sum(Shader *s, const Contraction *c, Index at)
{
    DType t = c->out->type.dtype;
    const char *x = emit_cast(s, DLVK_F32, t, "x", true);
    if (strcmp(x, "x") != 0) {
        const char *name = sh_fresh(s, "v");
        sh_line(s, "%s %s = %s;", glsl_class(t), name, x);
        x = name;
    }
    emit_bind(s, c->out, at, x);
    return x;
}

enum { STRIP = 8 };

/* Whether the epilogue can be computed in strips. Reshapes may lie between the sum and what is stored: eight neighbours stay
 * ones. */
static bool stripes(Shader *s, const Contraction *c)
{
    const Kernel *k = s->kg->kernel;
    bool ok = dim_is(dim_mod(&s->ctx->dims, c->n, dim_const(&s->ctx->dims, STRIP)), 0);
    for (int i = 0; ok && i < k->out.n; i++) {
        DType t = k->out.at[i]->type.dtype;
        ok = dtype_is_float(t) && dtype_bits(t) >= 16 && dtype_bits(t) <= 32;
    }
    return ok;
}

Epilogue contract_epilogue(Shader *s, const Contraction *c, Lanes lanes)
{
    const Kernel *k = s->kg->kernel;
    DimTable *dt = &s->ctx->dims;
    Type t = c->out->type;
    Epilogue p = {.results = "", .width = "const int WIDTH = 1;"};
    Piece outer = contract_begin(s);
    s->role = "out";
    const Ix *column = ix_var(s, "n", c->n), *ax[DLVK_MAX_RANK];
    bool vectors = lanes == LANES_VECTOR, strips = lanes == LANES_STRIPS && stripes(s, c);
    for (int i = 0; i < k->out.n; i++) vectors &= !moves_sum(s, c, k->out.at[i], false, 0);
    if (vectors) {
        s->vector = ix_var(s, "lane_number", dim_const(dt, 8));
        column = ix_add(s, ix_var(s, "vector_at", c->n), s->vector);
    }
    if (strips) {
        const Dim *width = dim_const(dt, STRIP);
        strip_begin(s, STRIP, "WIDTH");
        column = ix_add(s, ix_mul(s, ix_var(s, "strip", dim_floordiv(dt, c->n, width)), width), s->strip.j);
        p.width = "";
    }
    if (c->conv) column = ix_add(s, column, ix_mul(s, group_index(s, c, "z"), c->n));
    for (int i = 0; i < t.rank - 1; i++) ax[i] = contract_row_axis(s, c, i, "m", "z");
    ax[t.rank - 1] = column;
    if (strips) strip_open(s);
    for (int i = 0; i < k->out.n; i++) contract_column_values(s, c->out, k->out.at[i], column, 0);
    if (strips) strip_close(s);
    p.column_values = contract_cut(s, outer);

    /* Inside the block of the column values: they are in scope. */
    const char *of = strips ? "[e][j]" : "[e]", **text[] = {&p.store, &p.value, &p.put};
    for (int way = strips ? 1 : 0; way < 3; way++) {
        bool computes = text[way] != &p.put, stores = text[way] != &p.value;
        Piece inner = contract_begin(s);
        Index at = index_of_axes(t, ax);
        if (strips && computes) {
            strip_open(s);
            sh_line(s, "float x = sum[e][j];");
        }
        const char *x = computes ? bind_sum(s, c, at) : "";
        if (emit_store_rounds(s, c->out)) x = "x";
        for (int i = 0; i < k->out.n; i++) {
            Value *v = k->out.at[i];
            Index where = output_index(s, c, v, &at);
            const char *y = sh_printf(s, "y%d%s", i, of), *result = v == c->out ? x : "";
            if (computes && v != c->out) result = emit_stored(s, v, where);
            if (!stores)
                sh_line(s, "%s = %s;", y, result);
            else if (strips)
                strip_store(s, v, index_memory(s, v, &where), y);
            else
                emit_store(s, v, ix_text(s, index_memory(s, v, &where)), computes ? result : y);
        }
        if (strips && computes) strip_close(s);
        *text[way] = contract_end(s, inner);
    }
    for (int i = 0; i < k->out.n; i++)
        p.results =
            sh_printf(s, "%s%s y%d[EACH]%s;\n", p.results, glsl_class(k->out.at[i]->type.dtype), i, strips ? "[WIDTH]" : "");
    contract_end(s, outer);
    s->vector = NULL;
    s->role = NULL;
    s->strip.width = 0;
    return p;
}

void contract_assemble(Shader *s, const char *name, int n, const Hole *holes)
{
    const char *text = template_fill(s->pool, name, n, holes);
    static const char cut[] = "//# main\n";
    const char *main_part = strstr(text, cut);
    int head = main_part ? (int)(main_part - text) : (int)strlen(text);
    sh_decl(s, "%.*s", head, text);
    s->depth = 0;
    if (main_part) sh_line(s, "%s", main_part + sizeof cut - 1);
    s->depth = 1;
    s->local[0] = 0; /* the template says */
}

static const char *cut_text(Shader *s, const Tiles *t, size_t at)
{
    return t->cut ? sh_printf(s, "%u", *(const uint32_t *)((const char *)t->cut + at)) : "";
}

void contract_tiles(Shader *s, const Contraction *c, const char *name, const Tiles *t)
{
    Epilogue behind = contract_epilogue(s, c, t->strips ? LANES_STRIPS : LANES_ALONE);
    if (t->a == LOAD_ELEMENT) contract_before(s, c);
    /* In f16 it would take a while to compile what only GPUs without matrix units run. */
    s->unroll = t->unroll && !(is_f16(c->a.value) && is_f16(c->b.value));
    Hole holes[] = {
        {"a_along_k", (t->a == LOAD_ELEMENT && !t->a_by_rows) || contract_a_along_k(c) ? "true" : "false"},
        {"b_along_n", contract_b_along_k(c) ? "false" : "true"},
        {"a_whole", t->a == LOAD_ELEMENT ? "0" : "1"},
        {"b_whole", t->b == LOAD_ELEMENT ? "0" : "1"},
        {"stages", t->twice ? "2" : "1"},
        {"splits", t->split.splits},
        {"bm", cut_text(s, t, offsetof(Cut, m))},
        {"bn", cut_text(s, t, offsetof(Cut, n))},
        {"clamp", t->whole || (t->cut && t->unroll) ? "1" : "0"},
        {"whole", t->whole ? "true" : "false"},
        {"bk", cut_text(s, t, offsetof(Cut, slice))},
        {"tm", cut_text(s, t, offsetof(Cut, sub_m))},
        {"tn", cut_text(s, t, offsetof(Cut, sub_n))},
        {"teams", cut_text(s, t, offsetof(Cut, parts))},
        {"partial", t->split.partial},
        {"counters", t->split.counters},
        {"unroll", t->unroll ? "[[unroll]]" : ""},
        {"conv", c->conv ? "1" : "0"},
        {"rows", contract_rows(s, c, t->row_type, t->rows)},
        {"z", arg_int(s, c->z)},
        {"m", arg_size(s, c->m, "m")},
        {"n", arg_size(s, c->n, "n")},
        {"k", arg_size(s, c->steps, "steps")},
        {"row", contract_row(s, c, t->row)},
        {"b_width", t->b == LOAD_8_F16 ? "8" : "4"},
        {"b_vector", t->b == LOAD_8_F16 ? "uvec4" : "vec4"},
        {"a_slice", contract_a_slice(s, c)},
        {"a_load", contract_a_load(s, c, t->a, t->row)},
        {"b_load", contract_b_load(s, c, t->b)},
        {"column_values", behind.column_values},
        {"strips", *behind.width ? "0" : "1"},
        {"width", behind.width},
        {"results", behind.results},
        {"value", behind.value},
        {"put", behind.put},
        {"slices", ""}, /* last: of the others */
    };
    enum { N = sizeof holes / sizeof *holes };
    holes[N - 1].text = template_fill(s->pool, "contract_slices.glsl", N - 1, holes);
    contract_assemble(s, name, N, holes);
}

/* Tiles that are shared: there are counters for so many. */
enum { MOST_TILES = 512 };

bool contract_may_run(const Dim **when)
{
    int64_t lo, hi;
    if (!*when) return true;
    dim_range(*when, &lo, &hi);
    if (lo > 0) *when = NULL;
    return hi != 0;
}

const Dim *contract_tiles_of(DimTable *dt, const Contraction *c, const Cut *x)
{
    const Dim *rows = dim_ceildiv(dt, c->m, dim_const(dt, x->m)), *columns = dim_ceildiv(dt, c->n, dim_const(dt, x->n));
    return dim_mul(dt, dim_mul(dt, rows, columns), c->z);
}

const Dim *contract_splits_of(DimTable *dt, const Contraction *c, const Cut *x, const Dim *tiles)
{
    const Dim *one = dim_const(dt, 1);
    if (x->most <= 1) return one;
    const Dim *want = dim_floordiv(dt, dim_const(dt, x->enough), dim_max(dt, tiles, one));
    const Dim *most = dim_min(dt, dim_const(dt, x->most), dim_floordiv(dt, c->steps, dim_const(dt, x->least)));
    const Dim *splits = dim_max(dt, dim_min(dt, want, most), one);
    int64_t lo, hi;
    dim_range(splits, &lo, &hi);
    return hi == 1 ? one : splits;
}

void contract_cuts(KernelGen *kg, const Contraction *c, Cut *cut, int *n)
{
    DimTable *dt = &kg->ctx->dims;
    int kept = 0;
    for (int i = 0; i < *n; i++) {
        Cut x = cut[i];
        if (!contract_may_run(&x.when)) continue;
        x.tiles = contract_tiles_of(dt, c, &x);
        x.splits = contract_splits_of(dt, c, &x, x.tiles);
        cut[kept++] = x;
        if (!x.when) break;
    }
    *n = kept;
}

Splits contract_splits(Shader *s, const Cut *cut, int n, const char *splits)
{
    DimTable *dt = &s->ctx->dims;
    const Dim *one = dim_const(dt, 1), *bytes = NULL;
    for (int i = 0; i < n; i++) {
        if (dim_is(cut[i].splits, 1)) continue;
        /* Nothing where there is nothing to share. A tuning may want the cut at sizes that it is not for. */
        const Dim *sharing = dim_min(dt, dim_sub(dt, cut[i].splits, one), one);
        const Dim *tile = dim_const(dt, (int64_t)4 * cut[i].m * cut[i].n);
        const Dim *x = dim_mul(dt, dim_mul(dt, dim_mul(dt, sharing, cut[i].splits), cut[i].tiles), tile);
        bytes = bytes ? dim_max(dt, bytes, x) : x;
    }
    if (!bytes) return (Splits){.splits = "1", .partial = "uvec2(0)", .counters = "uvec2(0)"};
    return (Splits){.splits = splits, .partial = arg_scratch(s, bytes), .counters = arg_counters(s, 4 * MOST_TILES)};
}

/* One invocation an element, whose sum is a loop: any types, any operands, any number of outputs. */
static bool gen_elements(KernelGen *kg, const Contraction *c)
{
    enum { GROUP = 64 };
    const Kernel *k = kg->kernel;
    if (k->out.n == 1) return gen_map(kg);
    Shader *s = shader_new(kg, 0);
    const Dim *count = type_count(s->ctx, c->out->type);
    s->local[0] = GROUP;
    s->grid[0] = dim_ceildiv(&s->ctx->dims, count, dim_const(&s->ctx->dims, GROUP));
    sh_line(s, "int i = int(%s * %du + gl_LocalInvocationID.x);", GROUP_INDEX, GROUP);
    sh_line(s, "if (i >= %s) return;", arg_int(s, count));
    for (int n = 0; n < k->out.n; n++) {
        Value *v = k->out.at[n];
        Index at = index_of_flat(s, v->type, ix_var(s, "i", count));
        const char *x = emit_value(s, v, at);
        emit_store(s, v, ix_text(s, index_memory(s, v, &at)), x);
    }
    return true;
}

bool gen_contract(KernelGen *kg)
{
    Contraction c = contract_analyse(kg);
    bool f32_sum = glsl_class_letter(c.a.value->type.dtype) == 'f' && glsl_class_letter(c.b.value->type.dtype) == 'f' &&
                   glsl_class_letter(c.out->type.dtype) == 'f';
    /* A few columns a group (depthwise) would leave lanes idle that neighbouring channels fill in a map kernel. */
    int64_t columns;
    bool thin = !dim_is(c.z, 1) && c.conv && dim_is_const(c.n, &columns) && columns < 8;
    if (!f32_sum || thin) return gen_elements(kg, &c);
    if (c.a.affine && (c.b.affine || c.b.splat)) contract_scalar(kg, &c);
    if (contract_short(kg, &c)) {
        contract_wave(kg, &c, 0);
        return true;
    }
    contract_vector(kg, &c);
    bool f16 = is_f16(c.a.value) && is_f16(c.b.value);
    if (f16 && !c.a.splat && !c.b.splat) contract_matrix(kg, &c);
    const uint32_t gpu = DLVK_FEATURE_WAVE | DLVK_FEATURE_WG512 | DLVK_FEATURE_STORAGE16;
    if (!f16) /* what runs on matrix units nearly everywhere is not worth another module */
        contract_few(kg, &c, gpu);
    if (!contract_team(kg, &c, gpu) && !contract_tile(kg, &c, gpu)) contract_rest(kg, &c, gpu);
    contract_wave(kg, &c, 0);
    return true;
}
