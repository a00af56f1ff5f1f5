/* Modules whose GLSL differs in scalar constants of the model alone, such as the scales and zero points of a quantized model's
 * layers, become one. On CPU drivers, where building a pipeline takes longer than anything, the constants that differ are
 * arguments, so that the pipelines are one as well. On GPUs they are specialization constants: the driver sees the same constants
 * as before, and folds them.
 *
 * Each such constant stands in the text between marks until all modules are known: "\1", its bits and class, a blank, the
 * literal, "\2". */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "codegen/plan.h"
#include "dlvk/runtime.h"

enum {
    MOST_SPEC = 64, /* constants of a pipeline */
    PUSHED = 128    /* bytes of arguments */
};

typedef struct Mark {
    const char *at, *text; /* where it begins, and its literal */
    size_t n;              /* bytes of the literal */
    uint32_t bits;
    char letter;
} Mark;

typedef struct Marked {
    VEC(Mark) marks;
    const char *masked; /* the text with nothing but classes between marks */
    uint64_t key;
    int n_spec; /* of its pipelines; -1: these, or the text, do not agree */
} Marked;

const char *literal_mark(Pool *p, char letter, uint32_t bits, const char *text)
{
    return pool_printf(p, "\1%u%c %s\2", bits, letter, text);
}

/* The text with number constant[i] of the constants `name`d in place of literal i, or, where it is negative, the literal. */
static char *rewrite(Pool *p, const char *text, const Marked *m, const int *constant, const char *name)
{
    char *out = pool_alloc(p, strlen(text) + 1), *to = out; /* what stands between marks is never longer than they are */
    for (int i = 0; i < m->marks.n; i++) {
        const Mark *k = &m->marks.at[i];
        memcpy(to, text, (size_t)(k->at - text));
        to += k->at - text;
        if (constant && constant[i] >= 0)
            to += sprintf(to, name, constant[i]);
        else
            memcpy(to, k->text, k->n), to += k->n;
        text = k->text + k->n + 1;
    }
    strcpy(to, text);
    return out;
}

static Marked read_marks(Pool *p, const char *text)
{
    Marked m = {0};
    for (const char *at = strchr(text, '\1'); at; at = strchr(at, '\1')) {
        Mark k = {.at = at};
        char *end;
        k.bits = (uint32_t)strtoul(at + 1, &end, 10);
        k.letter = *end;
        k.text = end + 2;
        k.n = strcspn(k.text, "\2");
        *VEC_PUSH(p, m.marks) = k;
        at = k.text + k.n;
    }
    int *letter = POOL_ARRAY(p, int, m.marks.n);
    for (int i = 0; i < m.marks.n; i++) letter[i] = m.marks.at[i].letter;
    m.masked = rewrite(p, text, &m, letter, "\1%c");
    m.key = text_key(m.masked);
    return m;
}

/* How many constants the module's pipelines give; -1 where these differ, or the text declares others. */
static int constants_of(PlanBuilder *b, int module)
{
    static const char id[] = "constant_id = ";
    int n = -1;
    for (int i = 0; i < b->pipelines.n; i++) {
        const Dlvk__Plan__Pipeline *p = b->pipelines.at[i];
        if ((int)p->module != module) continue;
        if (n >= 0 && n != (int)p->n_spec) return -1;
        n = (int)p->n_spec;
    }
    for (const char *at = b->modules.at[module].glsl; (at = strstr(at, id)); at += sizeof id)
        if (atoi(at + sizeof id - 1) >= n) return -1;
    return n;
}

static bool alike(const PlanBuilder *b, const Marked *m, int i, int j)
{
    const ModuleEntry *x = &b->modules.at[i], *y = &b->modules.at[j];
    return m[i].key == m[j].key && m[i].marks.n == m[j].marks.n && m[i].n_spec == m[j].n_spec && x->features == y->features &&
           x->unroll == y->unroll && same_text(m[i].masked, m[j].masked);
}

/* Numbers what differs within the group, what is the same in all pairs of places once: constant[place]. Returns how many. */
static int number_constants(const Marked *m, const int *group, int n, int *constant)
{
    const Marked *first = &m[group[0]];
    int count = 0;
    for (int i = 0; i < first->marks.n; i++) {
        bool differs = false;
        for (int g = 1; g < n; g++) differs |= m[group[g]].marks.at[i].bits != first->marks.at[i].bits;
        constant[i] = differs ? count : -1;
        for (int k = 0; k < i && constant[i] == count; k++) {
            bool same = constant[k] >= 0 && first->marks.at[k].letter == first->marks.at[i].letter;
            for (int g = 0; g < n && same; g++) same = m[group[g]].marks.at[k].bits == m[group[g]].marks.at[i].bits;
            if (same) constant[i] = constant[k];
        }
        count += constant[i] == count;
    }
    return count;
}

/* The literals of a module of the group, by number. */
static uint32_t *words_of(Pool *p, const Marked *m, const int *constant, int count)
{
    uint32_t *words = POOL_ARRAY(p, uint32_t, count);
    for (int k = 0; k < m->marks.n; k++)
        if (constant[k] >= 0) words[constant[k]] = m->marks.at[k].bits;
    return words;
}

static int find(const int *group, int n, uint32_t module)
{
    for (int g = 0; g < n; g++)
        if (group[g] == (int)module) return g;
    return -1;
}

/* One module for the group. False: it would have too many constants. */
static bool share(PlanBuilder *b, const Marked *m, const int *group, int n)
{
    Pool *p = b->pool;
    const Marked *first = &m[group[0]];
    ModuleEntry *e = &b->modules.at[group[0]];
    int *constant = POOL_ARRAY(p, int, first->marks.n), base = first->n_spec, count = number_constants(m, group, n, constant);
    uint32_t bytes = e->arg_bytes + 4 * (uint32_t)count;
    bool pushed = e->features & DLVK_FEATURE_SCALAR && e->arg_bytes && bytes <= PUSHED;
    const char *text = rewrite(p, e->glsl, first, constant, pushed ? "a.K%d" : "K%d"), *decls = "";
    const char *at = strstr(text, pushed ? "\n} a;\n" : "\nlayout(");
    if (base + count > MOST_SPEC || !at) return false;
    for (int c = 0, i = 0; c < count; i++) {
        if (constant[i] != c) continue;
        const Mark *k = &first->marks.at[i];
        const char *type = k->letter == 'f' ? "float" : k->letter == 'i' ? "int" : "uint";
        decls = pushed ? pool_printf(p, "%s    %s K%d;\n", decls, type, c)
                       : pool_printf(p, "%slayout(constant_id = %d) const %s K%d = %.*s;\n", decls, base + c, type, c, (int)k->n,
                                     k->text);
        c++;
    }
    e->glsl = pool_printf(p, "%.*s\n%s%s", (int)(at - text), text, decls, at + 1);
    if (pushed) e->push_bytes = (bytes + 7) & ~7u;
    for (int i = 0; i < b->variants.n && pushed; i++) {
        Dlvk__Plan__Variant *v = b->variants.at[i];
        int g = find(group, n, b->pipelines.at[v->pipeline]->module);
        if (g < 0) continue;
        v->literal = words_of(p, &m[group[g]], constant, count);
        v->n_literal = (size_t)count;
    }
    for (int i = 0; i < b->pipelines.n && !pushed; i++) {
        Dlvk__Plan__Pipeline *l = b->pipelines.at[i];
        int g = find(group, n, l->module);
        if (g < 0) continue;
        uint32_t *spec = POOL_ARRAY(p, uint32_t, base + count);
        memcpy(spec, l->spec, (size_t)base * sizeof *spec);
        memcpy(spec + base, words_of(p, &m[group[g]], constant, count), (size_t)count * sizeof *spec);
        l->spec = spec;
        l->n_spec = (size_t)(base + count);
    }
    return true;
}

/* Pipelines of modules that have become one may be one, too. */
static void merge_pipelines(PlanBuilder *b)
{
    int n = b->pipelines.n, kept = 0, *to = POOL_ARRAY(b->pool, int, n);
    for (int i = 0; i < n; i++) {
        Dlvk__Plan__Pipeline *p = b->pipelines.at[i];
        for (to[i] = 0; to[i] < kept; to[i]++) {
            const Dlvk__Plan__Pipeline *q = b->pipelines.at[to[i]];
            if (q->module == p->module && q->n_spec == p->n_spec && !memcmp(q->spec, p->spec, p->n_spec * sizeof *p->spec)) break;
        }
        if (to[i] == kept) b->pipelines.at[kept++] = p;
    }
    b->pipelines.n = kept;
    for (int i = 0; i < b->variants.n; i++) b->variants.at[i]->pipeline = (uint32_t)to[b->variants.at[i]->pipeline];
}

void plan_share_literals(PlanBuilder *b, bool wanted)
{
    int n = b->modules.n, kept = 0;
    Marked *m = POOL_ARRAY(b->pool, Marked, n);
    int *to = POOL_ARRAY(b->pool, int, n), *group = POOL_ARRAY(b->pool, int, n); /* to: the module that i becomes */
    for (int i = 0; i < n; i++) {
        to[i] = -1;
        m[i] = read_marks(b->pool, b->modules.at[i].glsl);
        m[i].n_spec = constants_of(b, i);
    }
    for (int i = 0; i < n; i++) {
        if (to[i] >= 0) continue;
        int count = 0;
        for (int j = i; j < n && (j == i || (wanted && m[i].marks.n && m[i].n_spec >= 0)); j++)
            if (to[j] < 0 && alike(b, m, i, j)) group[count++] = j;
        if (count < 2 || !share(b, m, group, count)) {
            b->modules.at[i].glsl = rewrite(b->pool, b->modules.at[i].glsl, &m[i], NULL, "");
            count = 1;
        }
        for (int g = 0; g < count; g++) to[group[g]] = kept;
        b->modules.at[kept] = b->modules.at[i];
        b->modules.at[kept].key = text_key(b->modules.at[kept].glsl);
        kept++;
    }
    b->modules.n = kept;
    for (int i = 0; i < b->pipelines.n; i++) b->pipelines.at[i]->module = (uint32_t)to[b->pipelines.at[i]->module];
    merge_pipelines(b);
}
