/* The wrapper around the passes: what it prints, dumps, refuses and finds wrong. */
#include "passes/pass.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static Pool pool;
static Context *ctx;
static char *log_text;
static size_t log_size;
static PassOptions options;

static void setup(void)
{
    ctx = context_new(&pool);
    options = (PassOptions){.validate = true, .log = open_memstream(&log_text, &log_size)};
}
static void teardown(void)
{
    fclose(options.log);
    free(log_text);
    pool_free(&pool);
}
TestSuite(pass, .init = setup, .fini = teardown);

static Graph *small(void)
{
    Graph *g =
        graph_parse(ctx, "graph \"g\" { symbol n in [0, 64]; input %x \"x\": f32[n,4];"
                         "%c = const() {value=f32[] {2}}; %r = reshape(%c) {shape=[1,1]}; %b = broadcast(%r) {shape=[n,4]};"
                         "%y = mul(%x, %b) @(\"m\", \"Mul\"); %dead = neg(%x); output \"y\" = %y; }");
    cr_assert(g, "%s", ctx->diag.lines.at[0]);
    return g;
}

static const char *log_so_far(void)
{
    fflush(options.log);
    return log_text;
}

static bool said(const char *what)
{
    for (int i = 0; i < ctx->diag.lines.n; i++)
        if (strstr(ctx->diag.lines.at[i], what)) return true;
    return false;
}

Test(pass, runs_them_all)
{
    bool stopped = true;
    Graph *g = passes_run(small(), &options, &stopped);
    cr_assert(g && !stopped && ctx->diag.errors == 0);
    cr_expect_eq(g->top->results.n, 1);
    cr_expect_str_empty(log_so_far());
}

Test(pass, stops_and_prints_where_told)
{
    options.stop_after = "fold";
    options.print_after = "lower";
    bool stopped = false;
    cr_assert(passes_run(small(), &options, &stopped) && stopped);
    cr_expect(strstr(log_so_far(), "// after lower\ngraph \"g\" {") != NULL);
    cr_expect(strstr(log_so_far(), "// after fold") == NULL);
}

Test(pass, prints_all_and_times)
{
    options.print_after = "all";
    options.time_passes = true;
    bool stopped;
    cr_assert(passes_run(small(), &options, &stopped));
    cr_expect(strstr(log_so_far(), "// after import\n") && strstr(log_so_far(), "// after pack\n"));
    cr_expect(strstr(log_so_far(), "all passes"));
}

Test(pass, refuses_an_unknown_name)
{
    bool stopped;
    options.stop_after = "nonsense";
    cr_expect(!passes_run(small(), &options, &stopped) && said("stop_after: there is no pass 'nonsense'"));
    options.stop_after = NULL;
    options.print_after = "sense";
    cr_expect(!passes_run(small(), &options, &stopped) && said("print_after: there is no pass 'sense'"));
    options.print_after = "fuse"; /* the caller's stage */
    cr_expect(passes_run(small(), &options, &stopped));
}

Test(pass, finds_a_wrong_graph)
{
    bool stopped;
    Graph *g = small();
    g->top->nodes.at[3]->out[0]->type.dtype = DLVK_F16;
    cr_expect(!passes_run(g, &options, &stopped) && said("after pass import: the graph is wrong in 1 places"));
    cr_expect(strstr(log_so_far(), "result 0 is said to be f16[n,4] but is f32[n,4]"));
}

Test(pass, dumps_every_stage)
{
    char dir[] = "/tmp/dlvk-pass-XXXXXX";
    cr_assert(mkdtemp(dir));
    options.dump_ir = pool_printf(&pool, "%s/ir", dir);
    bool stopped;
    cr_assert(passes_run(small(), &options, &stopped));
    DIR *d = opendir(options.dump_ir);
    cr_assert(d);
    int files = 0, read = 0;
    for (struct dirent *e; (e = readdir(d));) {
        if (e->d_name[0] == '.') continue;
        char text[4096] = "";
        const char *path = pool_printf(&pool, "%s/%s", options.dump_ir, e->d_name);
        FILE *f = fopen(path, "r");
        files++;
        if (f && fread(text, 1, sizeof text - 1, f)) read += graph_parse(context_new(&pool), text) != NULL;
        if (f) fclose(f);
        unlink(path);
    }
    closedir(d);
    cr_expect(files > 5 && read == files, "%d files, %d of them graphs", files, read);
    rmdir(options.dump_ir);
    rmdir(dir);
    options.dump_ir = "/nonexistent/deeper";
    cr_expect(!passes_run(small(), &options, &stopped) && said("/nonexistent/deeper/00-import.ir"));
}
