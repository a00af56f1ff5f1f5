/* Strip: an invocation of a GPU that computes several neighbouring elements; see shader.h.
 *
 * What differs between them stands in short loops over the lane, which drivers unroll; what does not stands before these loops:
 * indices, loads of one element for all of them, and loads of a vector of up to 16 bytes where they are neighbours. Loops of ops
 * (windows, reductions) stand around the loops over the strip, with an array of accumulators. */
#include <string.h>

#include "codegen/shader.h"
#include "dlvk/runtime.h"

void strip_begin(Shader *s, int width, const char *name)
{
    s->strip.width = width;
    s->strip.name = name;
    s->strip.j = ix_var(s, "j", dim_const(&s->ctx->dims, width));
    /* Not a literal, so that only the driver unrolls the loops, and modules stay small. */
    sh_decl(s, "layout(constant_id = %d) const int %s = %d; /* neighbouring elements that an invocation computes */", s->spec.n,
            name, width);
    *VEC_PUSH(s->pool, s->spec) = (uint32_t)width;
}

void strip_open(Shader *s)
{
    s->strip.open = true;
    s->strip.at = s->body.n;
    s->strip.scopes = s->scopes.n;
    sh_open(s, "[[unroll]] for (int j = 0; j < %s; j++) {", s->strip.name);
}

void strip_close(Shader *s)
{
    sh_close(s);
    s->strip.open = false;
}

bool strip_direct(const Shader *s)
{
    return s->strip.open && s->scopes.n == s->strip.scopes + 1;
}

/* Do all variables of a exist before the loop over the strip? */
bool strip_fixed(const Shader *s, const Ix *a)
{
    if (a->kind == IX_VAR) return a != s->strip.j && ix_var_visible(s, a, s->strip.scopes);
    if (a->a && !strip_fixed(s, a->a)) return false;
    if (a->b && !strip_fixed(s, a->b)) return false;
    for (int i = 0; i < a->n; i++)
        if (!strip_fixed(s, a->term[i].x)) return false;
    return true;
}

/* Does a depend on nothing that is declared in the loop over the strip? */
static bool known_again(const Shader *s, const Ix *a)
{
    if (a->kind == IX_VAR && a != s->strip.j) return ix_var_visible(s, a, s->strip.scopes);
    if ((a->a && !known_again(s, a->a)) || (a->b && !known_again(s, a->b))) return false;
    for (int i = 0; i < a->n; i++)
        if (!known_again(s, a->term[i].x)) return false;
    return true;
}

bool strip_again(const Shader *s, const Index *idx)
{
    if (!strip_direct(s)) return false;
    if (idx->flat && !known_again(s, idx->flat)) return false;
    for (int i = 0; i < idx->rank; i++)
        if (idx->ax[i] && !known_again(s, idx->ax[i])) return false;
    return true;
}

void strip_leave(Shader *s, Outside *o)
{
    int keep = s->strip.scopes, n = s->scopes.n - keep;
    size_t tail = s->body.n - s->strip.at;
    *o = (Outside){.strip = s->strip, .n = n, .tail_n = tail};
    o->tail = pool_dup(s->pool, s->body.at + s->strip.at, tail);
    o->scopes = pool_dup(s->pool, s->scopes.at + keep, (size_t)n * sizeof *o->scopes);
    o->ends = pool_dup(s->pool, s->ends.at + keep, (size_t)n * sizeof *o->ends);
    s->body.n = s->strip.at;
    s->body.at[s->body.n] = 0;
    s->scopes.n = s->ends.n = keep;
    s->depth -= n;
    s->strip.open = false;
}

void strip_return(Shader *s, const Outside *o)
{
    Strip now = s->strip;
    s->strip = o->strip;
    s->strip.vectors = now.vectors;
    s->strip.elements = now.elements;
    s->strip.scattered = now.scattered;
    s->strip.at = s->body.n;
    sh_text(s, o->tail, o->tail_n);
    for (int i = 0; i < o->n; i++) {
        *VEC_PUSH(s->pool, s->scopes) = o->scopes[i];
        *VEC_PUSH(s->pool, s->ends) = o->ends[i];
    }
    s->depth += o->n;
}

const char *strip_declare(Shader *s, const char *class, const char *init, bool each)
{
    const char *name = sh_fresh(s, each ? "w" : "v");
    if (!each) {
        sh_line(s, init ? "%s %s = %s;" : "%s %s;", class, name, init);
        return name;
    }
    sh_line(s, "%s %s[%d];", class, name, s->strip.width);
    name = sh_printf(s, "%s[j]", name);
    if (init) sh_line(s, "[[unroll]] for (int j = 0; j < %s; j++) %s = %s;", s->strip.name, name, init);
    return name;
}

/* The largest power of two, up to `limit`, that divides a for certain. */
static int alignment(Shader *s, const Ix *a, int limit)
{
    while (limit > 1 && !ix_divisible(s, a, dim_const(&s->ctx->dims, limit))) limit /= 2;
    return limit;
}

/* How the lanes' elements lie in memory. */
typedef struct Cells {
    DType t;
    int bits, per; /* of an element; elements in a word, 1 for longer ones, too */
    int words;     /* of all lanes; 0: less than one */
    int piece;     /* words that are loaded or stored at a time; 0: not even one, or no neighbours */
    const Ix *base;
} Cells;

static Cells cells_of(Shader *s, const Value *v, const Ix *flat)
{
    Cells c = {.t = v->type.dtype, .per = storage_per_word(s->kg, v)};
    c.bits = c.per > 1 ? 32 / c.per : dtype_bits(c.t) == 64 ? 64 : 32;
    c.words = s->strip.width * c.bits / 32;
    c.base = ix_without(s, flat, s->strip.j);
    if (!c.base || !c.words) return c;
    c.piece = alignment(s, c.base, s->strip.width) * c.bits / 32;
    if (c.piece > 4) c.piece = 4;
    return c;
}

/* "Words4(BUFFER).d[AT]": piece number k. */
static const char *piece_at(Shader *s, const Cells *c, const char *buffer, const char *at, bool write, int k)
{
    int bits = 32 * c->piece;
    int shift = 0; /* nothing is negative, which the driver cannot know */
    while (c->bits << shift < bits) shift++;
    if (shift) at = sh_printf(s, "(%s >> %d)", at, shift);
    if (bits < c->bits) at = sh_printf(s, "%s * %d", at, c->bits / bits);
    if (k) at = sh_printf(s, "%s + %d", at, k);
    return sh_printf(s, "Words%d%s(%s).d[%s]", c->piece, write ? "W" : "", buffer, at);
}

const char *strip_part(Shader *s, DType t, const char *word, const char *j)
{
    int bits = dtype_bits(t);
    if (t == DLVK_F16) return sh_printf(s, "f16_half(%s, %s)", word, j);
    return emit_from_bits(s, t, sh_printf(s, "bitfieldExtract(%s, %s %% %d * %d, %d)", word, j, 32 / bits, bits, bits));
}

/* The lane's element out of the words loaded, which begin at the given place. */
static const char *element(Shader *s, const Cells *c, const char *words, const char *first)
{
    if (c->bits == 64) {
        const char *class = c->t == DLVK_F64 ? "f64" : c->t == DLVK_I64 ? "i64" : "u64";
        return sh_printf(s, "%s_load(uvec2(%s[%s2 * j], %s[%s2 * j + 1]))", class, words, first, words, first);
    }
    if (c->per > 1) return strip_part(s, c->t, sh_printf(s, "%s[%sj / %d]", words, first, c->per), "j");
    const char *word = sh_printf(s, "%s[%sj]", words, first);
    switch (glsl_class_letter(c->t)) {
    case 'f': return sh_printf(s, "uintBitsToFloat(%s)", word);
    case 'i': return sh_printf(s, "int(%s)", word);
    case 'b': return sh_printf(s, "(%s != 0u)", word);
    default: return word;
    }
}

bool strip_wide(Shader *s, const Value *v, const Ix *flat)
{
    return cells_of(s, v, flat).piece > 0;
}

const char *strip_words(Shader *s, Value *v, const Ix *flat, const char **first)
{
    if (!s->strip.open) return NULL;
    Cells c = strip_direct(s) ? cells_of(s, v, flat) : (Cells){0};
    if (!c.piece || !strip_fixed(s, c.base)) {
        bool own = !strip_fixed(s, flat);
        s->strip.elements += own;
        s->strip.scattered += own && !ix_without(s, flat, s->strip.j);
        return NULL;
    }
    s->strip.vectors++;
    const Value *root = schedule_storage(s->kg->sched, v);
    Outside o;
    strip_leave(s, &o);
    /* Words that a rows kernel reads again and again are kept, those of all trips of its loop. */
    bool keep = s->trips && s->scopes.n == s->trip_scopes;
    const char *words = NULL;
    *first = keep ? sh_printf(s, "trip * %d + ", c.words) : "";
    for (int i = s->strip_loads.n - 1; i >= 0 && !words; i--) {
        const struct StripLoad *l = &s->strip_loads.at[i];
        if (l->root == root && l->base == c.base && l->bits == c.bits && (l->scope < 0 ? keep : sh_scope_open(s, l->scope)))
            words = l->words;
    }
    if (!words) {
        words = sh_fresh(s, "w");
        const char *buffer = arg_buffer(s, v, false, storage_block(s->kg, v)), *at = ix_text(s, c.base);
        if (keep)
            sh_decl(s, "uint %s[TRIPS * %d];", words, c.words);
        else
            sh_line(s, "uint %s[%d];", words, c.words);
        for (int i = 0; i < c.words; i += c.piece) {
            const char *from = piece_at(s, &c, buffer, at, false, i / c.piece), *q = sh_fresh(s, "q");
            if (c.piece == 1) {
                sh_line(s, "%s[%s%d] = %s;", words, *first, i, from);
                continue;
            }
            sh_line(s, "uvec%d %s = %s;", c.piece, q, from);
            for (int k = 0; k < c.piece; k++) sh_line(s, "%s[%s%d] = %s.%c;", words, *first, i + k, q, "xyzw"[k]);
        }
        int scope = keep ? -1 : s->scopes.at[s->scopes.n - 1];
        *VEC_PUSH(s->pool, s->strip_loads) = (struct StripLoad){root, c.base, c.bits, words, scope};
    }
    strip_return(s, &o);
    return words;
}

const char *strip_load(Shader *s, Value *v, const Ix *flat)
{
    const char *first, *words = strip_words(s, v, flat, &first);
    if (!words) return NULL;
    Cells c = cells_of(s, v, flat);
    return element(s, &c, words, first);
}

/* Word i of what is stored, made of the elements stem[0], stem[1], ... */
static const char *packed(Shader *s, const Cells *c, const char *stem, int i)
{
    if (c->bits == 64) {
        const char *class = c->t == DLVK_F64 ? "f64" : c->t == DLVK_I64 ? "i64" : "u64";
        return sh_printf(s, "%s_store(%s[%d]).%c", class, stem, i / 2, "xy"[i % 2]);
    }
    if (c->t == DLVK_F16 && c->per == 2) return sh_printf(s, "f16_pair(%s[%d], %s[%d])", stem, 2 * i, stem, 2 * i + 1);
    const char *word = NULL;
    for (int k = 0; k < c->per; k++) {
        const char *x = sh_printf(s, "%s[%d]", stem, i * c->per + k);
        if (c->per > 1)
            x = emit_bits(s, c->t, x);
        else
            x = sh_printf(s, glsl_class_letter(c->t) == 'f' ? "floatBitsToUint(%s)" : "uint(%s)", x);
        word = word ? sh_printf(s, "%s | %s << %d", word, x, k * c->bits) : x;
    }
    return word;
}

bool strip_store(Shader *s, Value *v, const Ix *flat, const char *x)
{
    Cells c = cells_of(s, v, flat);
    if (!c.piece) {
        if (c.per > 2) return false; /* neighbours would write into one word */
        strip_open(s);
        emit_store(s, v, ix_text(s, flat), x);
        strip_close(s);
        return true;
    }
    const char *stem = sh_printf(s, "%.*s", (int)(strlen(x) - strlen("[j]")), x);
    const char *buffer = arg_buffer(s, v, true, storage_block(s->kg, v)), *at = ix_text(s, c.base);
    for (int i = 0; i < c.words; i += c.piece) {
        const char *y = packed(s, &c, stem, i);
        for (int k = 1; k < c.piece; k++) y = sh_printf(s, "%s, %s", y, packed(s, &c, stem, i + k));
        const char *to = piece_at(s, &c, buffer, at, true, i / c.piece);
        if (c.piece == 1)
            sh_line(s, "%s = %s;", to, y);
        else
            sh_line(s, "%s = uvec%d(%s);", to, c.piece, y);
    }
    return true;
}
