/* Contractions on CPU drivers: choice of the tile, and what fills codegen/glsl/contract_scalar.comp.glsl. */
#include "codegen/contract.h"
#include "codegen/prelude.h"
#include "dlvk/runtime.h"

typedef struct Tile {
    uint32_t p, c, kb, km, run;
    bool tail, once; /* once: k runs over the window's last axis and the channels together, both few, in one go */
} Tile;

/* B's columns: neighbours in memory, certainly at least a tile's width of them; perhaps so wide; or scattered. */
typedef enum Columns { NEIGHBOURS, MAYBE, SCATTERED } Columns;

/* P * C accumulators of 8 lanes fill 24 to 28 vector registers; measured, fewer vectors of B with more rows of A run a little
 * slower, but waste fewer columns. */
static Tile choose_tile(const Contraction *c, bool scattered)
{
    static const struct {
        uint32_t p, c;
        double cost;
    } shapes[] = {{6, 4, 1}, {8, 3, 1.07}, {12, 2, 1.3}, {14, 1, 1.9}};
    int64_t n, m, k;
    Tile t = {.p = 6, .c = 4, .kb = 16, .km = 8, .tail = true};
    if (dim_is_const(c->n, &n)) {
        double best = 1e30;
        for (int i = 0; i < 4; i++) {
            int64_t w = shapes[i].c * 8;
            if (w > n && shapes[i].c > 1) continue;
            double cost = (double)((n + w - 1) / w * w) * shapes[i].cost;
            if (cost >= best) continue;
            best = cost;
            t.p = shapes[i].p;
            t.c = shapes[i].c;
        }
    }
    if (scattered) t = (Tile){.p = 12, .c = t.c < 2 ? t.c : 2, .kb = 8, .km = 8, .tail = true};
    if (dim_is_const(c->m, &m)) {
        if (t.p == 6 && (m + 6) / 7 * 7 <= (m + 5) / 6 * 6) t.p = 7;
        if (m > 0 && m < t.p) t.p = (uint32_t)m;
    }
    int64_t taps;
    if (c->n_tap && !c->tap[c->n_tap - 1].plain && c->tap[c->n_tap - 1].in_dilation == 1 && dim_is_const(c->k, &k) && k <= 8 &&
        dim_is_const(c->tap[c->n_tap - 1].count, &taps) && k * taps <= 32) {
        t.once = true;
        t.run = (uint32_t)k;
        t.kb = t.km = (uint32_t)(k * taps);
        t.tail = false;
    } else if (dim_is_const(c->k, &k)) {
        if (k > 0 && k < t.kb) t.kb = (uint32_t)k;
        for (uint32_t d = 20; d >= 6 && k > 20 && k % t.kb; d--)
            if (k % d == 0) t.kb = d;
        t.tail = k % t.kb != 0;
        if (t.kb % t.km) t.km = t.kb;
    }
    if (!t.once) t.run = t.kb;
    return t;
}

/* How an operand lies in memory, in GLSL. */
typedef struct Memory {
    const char *block, *type, *address; /* type of the argument; of references to elements; from both, an element's address */
    const char *widen;                  /* the function of 16 bits that gives the float; NULL: floats */
} Memory;

static Memory memory_of(const Operand *o)
{
    DType t = o->at.buffer->type.dtype;
    if (t == DLVK_F32) return (Memory){"BufF32", "BufF32", "address_at", NULL};
    return (Memory){"BufU32", "Words16", "address16_at", t == DLVK_F16 ? "f16_to_f32" : "bf16_to_f32"};
}

static const char *element(Shader *s, const Memory *m, const char *reference, const char *at)
{
    const char *x = sh_printf(s, "%s.d[%s]", reference, at);
    return m->widen ? sh_printf(s, "%s(uint(%s))", m->widen, x) : x;
}

/* Where the tile's rows begin in A, and where their windows begin along each axis of the window. */
static const char *rows_text(Shader *s, const Contraction *c)
{
    Piece piece = contract_begin(s);
    s->role = "rows";
    sh_open(s, "[[unroll]] for (int i = 0; i < P; i++) {");
    sh_line(s, "int m = min(m0 + i, %s - 1);", arg_size(s, c->m, "m"));
    sh_line(s, "row_at[i] = %s;", ix_text(s, contract_a_offset(s, c, "m", "z")));
    for (int i = 0; i < c->n_tap; i++) {
        const Tap *p = &c->tap[i];
        if (p->plain) continue;
        DimTable *dt = &s->ctx->dims;
        const Ix *x = ix_mul(s, contract_row_axis(s, c, p->axis, "m", "z"), dim_const(dt, p->step));
        sh_line(s, "origin%d[i] = %s;", i, ix_text(s, ix_sub(s, x, ix_dim(s, p->lo))));
    }
    sh_close(s);
    s->role = NULL;
    return contract_end(s, piece);
}

/* The loops over the window, around one contraction over k each. */
static const char *taps_text(Shader *s, const Contraction *c, bool once)
{
    DimTable *dt = &s->ctx->dims;
    Piece piece = contract_begin(s);
    const Ix *b = c->b.splat ? ix_const(s, 0) : contract_b_offset(s, c, "z");
    const char *ok = "true", *at = "row_at[i]";
    s->role = "taps";
    if (c->b_dense) sh_line(s, "int ib = %s;", ix_text(s, b));
    for (int i = 0; i < c->n_tap; i++) {
        const Tap *p = &c->tap[i];
        if (p->plain) continue;
        if (once && i == c->n_tap - 1) continue;
        const char *w = sh_printf(s, "w%d", i);
        sh_open(s, "for (int %s = 0;;) {", w);
        if (!c->b.splat && !c->b_dense) b = ix_add(s, b, ix_mul(s, ix_var(s, w, p->count), p->b_stride));
    }
    sh_line(s, "whole = true;");
    sh_open(s, "[[unroll]] for (int i = 0; i < P; i++) {");
    for (int i = 0; i < c->n_tap; i++) {
        const Tap *p = &c->tap[i];
        if (p->plain || (once && i == c->n_tap - 1)) continue;
        const char *size = arg_int(s, p->size), *dil = arg_int(s, dim_const(dt, p->dilation));
        sh_line(s, "int p%d = origin%d[i] + w%d%s%s;", i, i, i, p->dilation == 1 ? "" : " * ", p->dilation == 1 ? "" : dil);
        if (p->in_dilation != 1) {
            /* Only every in_dilation-th position holds an element. */
            const char *d = arg_int(s, dim_const(dt, p->in_dilation));
            sh_line(s, "int q%d = p%d / %s;", i, i, d);
            sh_line(s, "bool ok%d = p%d >= 0 && q%d * %s == p%d && q%d < %s;", i, i, i, d, i, i, size);
            sh_line(s, "p%d = q%d;", i, i);
        } else if (c->padded) {
            sh_line(s, "bool ok%d = uint(p%d) < uint(%s);", i, i, size);
        }
        if (c->padded) ok = sh_printf(s, "%s && ok%d", ok, i);
        at = sh_printf(s, "%s + p%d * %s", at, i, arg_int(s, p->a_stride));
    }
    if (c->padded) {
        sh_line(s, "bool ok = %s;", ok);
        sh_line(s, "inside[i] = ok ? ~0u : 0u;");
        sh_line(s, "ia[i] = ok ? %s : row_at[i]; /* outside: any address will do */", at);
        sh_line(s, "whole = whole && ok;");
    } else {
        sh_line(s, "ia[i] = %s;", at);
    }
    if (once) {
        const Tap *p = &c->tap[c->n_tap - 1];
        const Dim *reach = dim_mul(dt, dim_sub(dt, p->count, dim_const(dt, 1)), dim_const(dt, p->dilation));
        sh_line(s, "last_at[i] = origin%d[i];", c->n_tap - 1);
        if (c->padded)
            sh_line(s, "whole = whole && last_at[i] >= 0 && last_at[i] + %s < %s;", arg_int(s, reach), arg_int(s, p->size));
    }
    sh_close(s);
    if (c->b_dense)
        sh_line(s, "ib = contract(ib);");
    else
        sh_line(s, "contract(%s);", ix_text(s, b));
    for (int i = c->n_tap - 1; i >= 0; i--) {
        if (c->tap[i].plain || (once && i == c->n_tap - 1)) continue;
        sh_line(s, "if (++w%d >= %s) break; /* at the end: see the template's head */", i, arg_int(s, c->tap[i].count));
        sh_close(s);
    }
    s->role = NULL;
    return contract_end(s, piece);
}

/* Tiles that one workgroup walks over: about a million multiplications, but enough workgroups to share out. */
static const Dim *tiles_per_group(DimTable *dt, const Contraction *c, const Tile *t, const Dim *tiles)
{
    const Dim *one = dim_const(dt, 1), *steps = dim_max(dt, c->steps, one);
    const Dim *work = dim_ceildiv(dt, dim_const(dt, 1000000 / (t->p * t->c * 8)), steps);
    const Dim *share = dim_max(dt, dim_ceildiv(dt, tiles, dim_const(dt, 8)), one);
    return dim_min(dt, work, share);
}

void contract_scalar(KernelGen *kg, const Contraction *c)
{
    DimTable *dt = &kg->ctx->dims;
    Shader *s = shader_new(kg, CPU_VECTORS);
    bool scattered = !c->b.splat && !dim_is(c->b_n, 1);
    Tile t = choose_tile(c, scattered);
    int64_t n_least, n_most;
    dim_range(c->n, &n_least, &n_most);
    Columns columns = scattered ? SCATTERED : n_least >= t.c * 8 ? NEIGHBOURS : n_most >= t.c * 8 ? MAYBE : SCATTERED;
    if (c->b.splat) columns = SCATTERED; /* a literal is in no place at all */
    if (columns == MAYBE) t.tail = true; /* what serves narrow tiles */

    int64_t products;
    bool window = c->n_tap && !dim_is(dim_sub(dt, c->steps, c->k), 0);
    bool many = !t.once && window && (!dim_is_const(c->steps, &products) || products >= 512);
    const uint32_t spec[] = {t.p, t.c, t.kb, t.km, t.tail, t.run, many};
    for (int i = 0; i < 7; i++) *VEC_PUSH(s->pool, s->spec) = spec[i];

    const Dim *tiles = dim_ceildiv(dt, c->m, dim_const(dt, t.p)), *per = tiles_per_group(dt, c, &t, tiles);
    const Dim *row_groups = dim_ceildiv(dt, tiles, per), *column_tiles = dim_ceildiv(dt, c->n, dim_const(dt, t.c * 8));
    const Dim *groups = dim_mul(dt, dim_mul(dt, row_groups, column_tiles), c->z);
    s->grid[0] = groups;

    const Memory fa = memory_of(&c->a), fb = memory_of(c->b.splat ? &c->a : &c->b);
    const char *a = arg_buffer(s, c->a.at.buffer, false, fa.block), *b_step = arg_size(s, c->b_k, "b_step");
    const char *b = c->b.splat ? a : arg_buffer(s, c->b.at.buffer, false, fb.block);
    const char *n = arg_size(s, c->n, "n"), *literal = NULL;
    if (c->b.splat) {
        const Tensor *v;
        value_const(c->b.value, &v);
        literal = emit_literal(s, DLVK_F32, elem_get_f(v->dtype, v->data, 0), 0);
    }
    const char *a_pointers = "", *a_element, *b_row = "ib", *inside = "inside[i]";
    if (t.once) {
        /* Step u is tap u / RUN and channel u % RUN. Where something lies outside, the tap is brought back inside: it must be
         * read. */
        const Tap *p = &c->tap[c->n_tap - 1];
        const char *x = sh_printf(s, "last_at[i] + u / RUN * %s", arg_int(s, dim_const(dt, p->dilation)));
        const char *stride = arg_int(s, p->a_stride), *size = arg_int(s, p->size);
        a_pointers = sh_printf(s,
                               "ADDRESS qa[P];\n[[unroll]] for (int i = 0; i < P; i++) qa[i] = %s(%s, ia[i] + (masked ? "
                               "0 : last_at[i] * %s));",
                               fa.address, a, stride);
        const char *at = sh_printf(s, "(masked ? clamp(%s, 0, %s - 1) * %s : u / RUN * %s) + u %% RUN * %s", x, size, stride,
                                   arg_int(s, dim_mul(dt, p->a_stride, dim_const(dt, p->dilation))), arg_int(s, c->a_k));
        a_element = element(s, &fa, sh_printf(s, "%s(qa[i])", fa.type), at);
        inside = sh_printf(s, "(uint(%s) < uint(%s) ? inside[i] : 0u)", x, size);
        b_row = sh_printf(s, "ib + u / RUN * %s", c->b_dense ? sh_printf(s, "RUN * %s", b_step) : arg_int(s, p->b_stride));
    } else if (dim_is(c->a_k, 1)) {
        a_pointers =
            sh_printf(s, "ADDRESS qa[P];\n[[unroll]] for (int i = 0; i < P; i++) qa[i] = %s(%s, ia[i] + k);", fa.address, a);
        a_element = element(s, &fa, sh_printf(s, "%s(qa[i])", fa.type), "u");
    } else {
        a_element = element(s, &fa, fa.widen ? sh_printf(s, "%s(%s)", fa.type, a) : a,
                            sh_printf(s, "ia[i] + (k + u) * %s", arg_int(s, c->a_k)));
    }
    const char *a_eight = "";
    if (fa.widen && !t.once && dim_is(c->a_k, 1) && t.kb >= 8) {
        /* 16 bits are widened for eight steps at a time, one a lane. */
        a_pointers = sh_printf(s, "%s\nfloat eight[P];\nbool shuffled = count %% 8 == 0 && gl_SubgroupSize == 8;", a_pointers);
        a_eight = sh_printf(s,
                            "if (shuffled && u0 %% 8 == 0) {\n"
                            "    [[unroll]] for (int i = 0; i < P; i++) eight[i] = %s(neighbours16(%s(qa[i]), u0));\n}",
                            fa.widen, fa.type);
        a_element = sh_printf(s, "(shuffled ? subgroupShuffle(eight[i], uint(u %% 8)) : %s)", a_element);
    }
    contract_before(s, c);
    if (c->a.leaf) a_element = sh_printf(s, "before(%s, k + u)", a_element);
    const char *origins = "";
    for (int i = 0; i < c->n_tap; i++)
        if (!c->tap[i].plain) origins = sh_printf(s, "%sint origin%d[P];\n", origins, i);
    Epilogue behind = contract_epilogue(s, c, columns == NEIGHBOURS && dim_is(c->z, 1) ? LANES_VECTOR : LANES_ALONE);
    const char *b_vector = fb.widen ? sh_printf(s, "%s(neighbours16(q, j * 8))", fb.widen) : "neighbours(q, j * 8)";
    const char *b_element = element(s, &fb, fb.widen ? sh_printf(s, "%s(%s)", fb.type, b) : b,
                                    sh_printf(s, "%s + column_at[j] + u %% RUN * %s", b_row, b_step));
    const Hole holes[] = {
        {"origins", origins},
        {"neighbours",
         neighbours_used(s->pool, sh_printf(s, "%s %s %s %s", a_eight, b_vector, behind.column_values, behind.store))},
        {"a_pointers", a_pointers},
        {"a_element", a_element},
        {"a_eight", a_eight},
        {"inside", inside},
        {"once", t.once ? "true" : "false"},
        {"b_type", fb.type},
        {"b_row", sh_printf(s, "%s(%s(%s, %s + n0 + u %% RUN * %s))", fb.type, fb.address, b, b_row, b_step)},
        {"b_vector", b_vector},
        {"b_element", literal ? literal : b_element},
        {"b_step", b_step},
        {"b_column", arg_int(s, c->b_n)},
        {"fast", columns == MAYBE ? "dense" : "true"},
        {"vectors", columns == SCATTERED ? "false" : "true"},
        {"dense", columns == NEIGHBOURS  ? "true"
                  : columns == SCATTERED ? "false"
                                         : sh_printf(s, "%s >= C * 8", n)},
        {"padded", c->padded ? "true" : "false"},
        {"k", arg_size(s, c->k, "k")},
        {"m", arg_size(s, c->m, "m")},
        {"n", n},
        {"z", arg_int(s, c->z)},
        {"tiles", arg_size(s, per, "tiles")},
        {"rows", rows_text(s, c)},
        {"taps", taps_text(s, c, t.once)},
        {"column_values", behind.column_values},
        {"store", behind.store},
    };
    contract_assemble(s, "contract_scalar.comp.glsl", sizeof holes / sizeof *holes, holes);
}
