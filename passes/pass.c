/* The wrapper that runs every pass. */
#include "passes/pass.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "ir/text.h"
#include "passes/passes.h"

typedef struct PassRow {
    const char *name;
    Graph *(*run)(Graph *g);
} PassRow;
static const PassRow passes[] = {
#define ROW(name, run) {#name, run},
    DLVK_PASSES(ROW)
#undef ROW
};
enum { N_PASSES = sizeof passes / sizeof *passes };

/* Tensors larger than this are digests in what is printed. */
enum { PRINT_ELEMS = 64 };

static bool is(const char *option, const char *name)
{
    return option && strcmp(option, name) == 0;
}

static bool check_name(Context *c, const char *option, const char *name)
{
    if (!name || is(name, "import") || is(name, "fuse")) return true;
    const char *all = "import";
    for (int i = 0; i < N_PASSES; i++) {
        if (is(name, passes[i].name)) return true;
        all = pool_printf(c->pool, "%s, %s", all, passes[i].name);
    }
    diag_error(&c->diag, DLVK_INVALID_ARGUMENT, "%s: there is no pass '%s'; the passes are %s, fuse", option, name, all);
    return false;
}

/* In the context's pool. */
static const char *text_of(const Graph *g)
{
    char *text = NULL;
    size_t n = 0;
    FILE *f = open_memstream(&text, &n);
    if (!f) return "";
    graph_print(f, g, PRINT_ELEMS);
    fclose(f);
    const char *r = text ? pool_strdup(g->ctx->pool, text) : "";
    free(text);
    return r;
}

static bool dump(const Graph *g, const char *dir, int number, const char *name)
{
    Context *c = g->ctx;
    const char *path = pool_printf(c->pool, "%s/%02d-%s.ir", dir, number, name);
    FILE *f = NULL;
    if (mkdir(dir, 0777) == 0 || errno == EEXIST) f = fopen(path, "w");
    if (f) {
        graph_print(f, g, PRINT_ELEMS);
        bool bad = ferror(f);
        if (fclose(f) == 0 && !bad) return true;
    }
    diag_error(&c->diag, DLVK_IO_ERROR, "%s: %s", path, strerror(errno));
    return false;
}

/* What the graph prints as must read back and print the same. */
static bool check_text(const Graph *g, const char *name, FILE *log)
{
    Context *c = g->ctx, *other = context_new(c->pool);
    const char *text = text_of(g);
    Graph *again = graph_parse_like(other, text, g);
    if (!again) {
        fputs(text, log);
        diag_error(&c->diag, DLVK_INTERNAL, "after pass %s: the text form (in the log) does not read back: %s", name,
                   other->diag.lines.n ? other->diag.lines.at[0] : "");
        return false;
    }
    const char *got = text_of(again);
    if (strcmp(text, got) == 0) return true;
    size_t at = 0;
    while (text[at] == got[at]) at++;
    while (at && text[at - 1] != '\n') at--;
    diag_error(&c->diag, DLVK_INTERNAL, "after pass %s: the text form reads back otherwise: '%.*s' became '%.*s'", name,
               (int)strcspn(text + at, "\n"), text + at, (int)strcspn(got + at, "\n"), got + at);
    return false;
}

/* What happens after every pass, and to the graph as it came. */
static bool after(const Graph *g, const PassOptions *o, int number, const char *name)
{
    if (is(o->print_after, name) || is(o->print_after, "all")) {
        fprintf(o->log, "// after %s\n", name);
        graph_print(o->log, g, PRINT_ELEMS);
    }
    if (o->dump_ir && !dump(g, o->dump_ir, number, name)) return false;
    if (!o->validate) return true;
    int failures = graph_verify(g, o->log);
    if (failures) {
        diag_error(&g->ctx->diag, DLVK_INTERNAL, "after pass %s: the graph is wrong in %d places, which the log lists", name,
                   failures);
        return false;
    }
    return check_text(g, name, o->log);
}

double pass_clock(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec * 1e-6;
}

void pass_time(const PassOptions *o, const char *what, double ms, int n)
{
    if (o->time_passes) fprintf(o->log, "%-20s %10.3f %8d\n", what, ms, n);
}

static int count_nodes(const Region *r)
{
    int n = r->nodes.n;
    for (int i = 0; i < r->nodes.n; i++)
        for (int k = 0; k < r->nodes.at[i]->n_region; k++) n += count_nodes(r->nodes.at[i]->region_at[k]);
    return n;
}

Graph *passes_run(Graph *g, const PassOptions *o, bool *stopped)
{
    Context *c = g->ctx;
    double total = 0;
    *stopped = false;
    c->precision = o->precision;
    if (!check_name(c, "stop_after", o->stop_after)) return NULL;
    if (!is(o->print_after, "all") && !check_name(c, "print_after", o->print_after)) return NULL;
    if (o->time_passes)
        fprintf(o->log, "%-20s %10s %8s\n%-20s %10s %8d\n", "pass", "ms", "nodes", "import", "", count_nodes(g->top));
    if (!after(g, o, 0, "import")) return NULL;
    *stopped = is(o->stop_after, "import");
    for (int i = 0; i < N_PASSES && !*stopped; i++) {
        double start = pass_clock();
        int errors = c->diag.errors;
        g = passes[i].run(g);
        if (!g || c->diag.errors > errors) {
            if (c->diag.errors == errors) diag_error(&c->diag, DLVK_INTERNAL, "pass %s failed without a message", passes[i].name);
            return NULL;
        }
        double ms = pass_clock() - start;
        total += ms;
        pass_time(o, passes[i].name, ms, count_nodes(g->top));
        if (!after(g, o, i + 1, passes[i].name)) return NULL;
        *stopped = is(o->stop_after, passes[i].name);
    }
    pass_time(o, "all passes", total, count_nodes(g->top));
    return g;
}
