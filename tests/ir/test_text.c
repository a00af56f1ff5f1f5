/* The text form and the verifier: what is printed parses back and prints the same; what is wrong is said, with its line. */
#include "ir/text.h"

#include "tests/ir/eval_check.h"
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

static Pool pool;
static Context *ctx;

static void setup(void)
{
    ctx = context_new(&pool);
}
static void teardown(void)
{
    pool_free(&pool);
}
TestSuite(text, .init = setup, .fini = teardown);

static char *print(const Graph *g, int64_t max_elems)
{
    char *text = NULL;
    size_t n;
    FILE *f = open_memstream(&text, &n);
    graph_print(f, g, max_elems);
    fclose(f);
    char *r = pool_strdup(&pool, text);
    free(text);
    return r;
}

static Graph *parse(const char *text)
{
    Graph *g = graph_parse(ctx, text);
    cr_assert(g, "%s", diag_text(ctx));
    return g;
}

/* Text as the printer writes it. */
static void round_trip(const char *text)
{
    Graph *g = parse(text);
    cr_expect_str_eq(print(g, -1), text);
    cr_expect_eq(graph_verify(g, stderr), 0);
    Context *other = context_new(&pool);
    Graph *again = graph_parse(other, print(g, -1));
    cr_assert(again, "%s", diag_text(other));
    cr_expect_str_eq(print(again, -1), text);
}

Test(text, attributes_and_types)
{
    round_trip("graph \"a \\\"quoted\\\" name\\\\\\n\" {\n"
               "  symbol batch in [0, 2147483647];\n"
               "  symbol seq in [1, 512];\n"
               "  symbol $\"odd name\" in [0, 9223372036854775807];\n"
               "  constraint batch*seq <= 4096 \"node 'Add_3' (Add)\";\n"
               "  input %0 \"x\": f32[batch,2*seq+1];\n"
               "  input %1 \"y\": f32[batch,2*seq+1];\n"
               "  %2: f32[batch,2*seq+1] = add(%0, %1) @(\"blk/Add\", \"Add\");\n"
               "  %3 \"t\": f32[2*seq+1,batch] = transpose(%2) {perm=[1,0]} @(_, \"Transpose\");\n"
               "  %4: f32[2*seq+1,1] = reduce(%3) {kind=max, axes=[1]};\n"
               "  %5: f32[2*seq+1,batch], %6: i64[2*seq+1,batch] = sort(%3) {axis=1, descending=1};\n"
               "  %7: f16[2*seq+1,batch] = cast(%5) {dtype=f16};\n"
               "  %8: i64[3] = dims() {values=[batch,(seq+1)/2,-1], dtype=i64, shape=[3]};\n"
               "  output \"z/out\" = %7;\n"
               "  output \"i\" = %6;\n"
               "  output \"dims\" = %8;\n"
               "}\n");
}

Test(text, constants)
{
    round_trip("graph \"\" {\n"
               "  %0: f32[2,3] = const() {value=f32[2,3] {1, -0, 0.1, 3.40282347e+38, inf, nan}};\n"
               "  %1: f64[3] = const() {value=f64[3] {0.10000000000000003, 4.94066e-324, bits 0x7ff8000000000001}};\n"
               "  %2: f16[2] = const() {value=f16[2] {0.0999756, 65504}};\n"
               "  %3: f8e4m3fn[2] = const() {value=f8e4m3fn[2] {448, nan}};\n"
               "  %4: i4[3] = const() {value=i4[3] {-8, 7, 0}};\n"
               "  %5: u64[] = const() {value=u64[] {18446744073709551615}};\n"
               "  %6: bool[2] = const() {value=bool[2] {1, 0}};\n"
               "  %7: f32[1000,1000] = const() {value=f32[1000,1000] splat {0.5}};\n"
               "  %8: string[2] = const() {value=string[2] {\"a\\x00b\", \"\\n\\\"\xc3\xa9\"}};\n"
               "  %9: f32[0,4] = const() {value=f32[0,4] {}};\n"
               "  output \"o\" = %0;\n"
               "}\n");
}

Test(text, regions)
{
    round_trip("graph \"flow\" {\n"
               "  symbol n in [0, 2147483647];\n"
               "  input %0 \"c\": bool[];\n"
               "  input %1 \"x\": f32[n];\n"
               "  input %2 \"trips\": i64[];\n"
               "  %3: f32[n] = if(%0) region() {\n"
               "    %4: f32[n] = neg(%1);\n"
               "    yield %4;\n"
               "  } region() {\n"
               "    yield %1;\n"
               "  } @(\"If_0\", \"If\");\n"
               "  %5: f32[n] = loop(%2, %0, %3) region(%6: i64[], %7 \"acc\": f32[n]) {\n"
               "    %8: f32[n] = call(%7) {name=\"twice\"} region(%9: f32[n]) {\n"
               "      %10: f32[n] = add(%9, %9);\n"
               "      yield %10;\n"
               "    };\n"
               "    yield %0, %8;\n"
               "  };\n"
               "  output \"y\" = %5;\n"
               "}\n");
}

Test(text, sizes_from_data)
{
    round_trip("graph \"nonzero\" {\n"
               "  symbol n in [0, 2147483647];\n"
               "  symbol k in [0, 2147483647] max n data;\n"
               "  symbol m in [0, 2147483647] data;\n"
               "  input %0 \"x\": bool[n];\n"
               "  input %1 \"size\": i64[];\n"
               "  read_dims(%1) {values=[m]};\n"
               "  %2: i64[k] = compact(%0) {shape=[k]};\n"
               "  %3: f32[m,k] = iota() {shape=[m,k], axis=1, dtype=f32};\n"
               "  output \"y\" = %2;\n"
               "  output \"z\" = %3;\n"
               "}\n");
}

Test(text, free_form)
{
    Graph *g = parse("// a comment\n graph \"g\"{input %x \"x\" : f32 [ 4 ] ; // another\n %y.1=neg(%x);%z =add ( %x,%y.1 ) ; "
                     "output \"o\"= %z;}");
    cr_expect_str_eq(print(g, -1),
                     "graph \"g\" {\n  input %0 \"x\": f32[4];\n  %1: f32[4] = neg(%0);\n  %2: f32[4] = add(%0, %1);\n"
                     "  output \"o\" = %2;\n}\n");
}

Test(text, digests)
{
    const char *text = "graph \"g\" { %0 = const() {value=f32[5] {1,2,3,4,5}}; output \"o\" = %0; }";
    Graph *g = parse(text);
    const char *brief = print(g, 4);
    cr_expect(strstr(brief, "f32[5] digest 0x"), "%s", brief);
    Context *other = context_new(&pool);
    Graph *again = graph_parse_like(other, brief, g);
    cr_assert(again, "%s", diag_text(other));
    cr_expect_str_eq(print(again, -1), print(g, -1));
    cr_expect(!graph_parse(ctx, brief) && strstr(diag_text(ctx), "digest"));
}

Test(text, errors_name_the_line)
{
    static const struct {
        const char *text, *says;
    } bad[] = {
        {"", "line 1: expected 'graph'"},
        {"graph \"g\" {\n", "line 2: expected an operation"},
        {"graph \"g\" {\n  %0 = neg(%1);\n}", "line 2: %1 is not defined"},
        {"graph \"g\" {\n  %0 = nag();\n}", "line 2: 'nag' is no operation"},
        {"graph \"g\" {\n  input %0: f32[2];\n  input %0: f32[2];\n}", "line 3: %0 is defined twice"},
        {"graph \"g\" {\n  input %0;\n}", "line 2: %0 needs a type"},
        {"graph \"g\" {\n  input %0: f33[2];\n}", "line 2: 'f33' is no element type"},
        {"graph \"g\" {\n  input %0: f32[2;\n}", "line 2: expected ']'"},
        {"graph \"g\" {\n  input %0: f32[2+];\n}", "line 2: expected a dimension expression"},
        {"graph \"g\" {\n  input %0: f32[1,1,1,1,1,1,1,1,1,1,1,1,1];\n}", "line 2: rank 13"},
        {"graph \"g\" {\n  input %0: f32[2];\n\n  %1: f32[3] = neg(%0);\n}", "line 4: %1 is said to be f32[3] but is f32[2]"},
        {"graph \"g\" {\n  input %0: f32[2];\n  input %1: f32[3];\n  %2 = add(%0, %1);\n}", "line 4: "},
        {"graph \"g\" {\n  input %0: f32[2];\n  %1, %2 = neg(%0);\n}", "line 3: neg gives 1 results, not 2"},
        {"graph \"g\" {\n  input %0: f32[2];\n  %1 = add(%0);\n}", "line 3: add takes 2 operands, not 1"},
        {"graph \"g\" {\n  input %0: f32[2];\n  %1 = neg(%0) {color=1};\n}", "line 3: 'color' is no attribute"},
        {"graph \"g\" {\n  input %0: f32[2];\n  %1 = reduce(%0) {kind=mean};\n}", "line 3: 'mean' is no kind"},
        {"graph \"g\" {\n  %0 = const() {value=f32[2] {1}};\n}", "line 2: expected ','"},
        {"graph \"g\" {\n  %0 = const() {value=f32[99999999999] {1}};\n}",
         "line 2: a tensor of 99999999999 elements is not in the text"},
        {"graph \"g\" {\n  %0 = const() {value=i64[1] {99999999999999999999}};\n}", "line 2: expected a number of type i64"},
        {"graph \"g\" {\n  input %0 \"x\n", "line 2: a string does not end"},
        {"graph \"g\" {\n  input %c: bool[];\n  %y = if(%c) region() {\n    %a = not(%c); yield %a;\n  } region() {\n    yield "
         "%a;\n  };\n}",
         "line 6: %a is defined in a region that is closed"},
        {"graph \"g\" {\n}\nmore", "line 3: text after the graph"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        Context *c = context_new(&pool);
        cr_expect(graph_parse(c, bad[i].text) == NULL, "%s", bad[i].text);
        cr_expect(strstr(diag_text(c), bad[i].says) != NULL, "wanted: %s\ngot: %s", bad[i].says, diag_text(c));
        cr_expect(c->diag.errors > 0 && c->diag.status != DLVK_OK);
    }
}

/* Every prefix of a graph, and every graph with one byte changed, is read or refused; nothing crashes. */
Test(text, damaged)
{
    const char *text =
        "graph \"g\" { symbol n in [0, 9]; constraint n <= 4 \"w\"; input %0 \"x\": f32[n,2]; %1 = const() {value=f32[2] {1, 2}};"
        "%2: f32[2,n] = transpose(%0) {perm=[1,0]} @(\"a\", _); %3 = call(%2) {name=\"f\"} region(%4: f32[2,n]) { yield %4; };"
        "output \"y\" = %3; }";
    size_t n = strlen(text);
    int read = 0;
    for (size_t i = 0; i < n; i++) {
        for (const char *c = "\"x0}]-%*\\"; *c; c++) {
            Pool p = {0};
            char *copy = pool_strdup(&p, text);
            copy[i] = *c;
            read += graph_parse(context_new(&p), copy) != NULL;
            pool_free(&p);
        }
        Pool p = {0};
        char *copy = pool_strdup(&p, text);
        copy[i] = '\0';
        Context *c = context_new(&p);
        cr_expect(graph_parse(c, copy) == NULL && c->diag.errors);
        pool_free(&p);
    }
    cr_expect(read > 0);
}

/* ---- verifier ------------------------------------------------------------------------------------------------------- */

static void expect_failure(const Graph *g, const char *says)
{
    char *text = NULL;
    size_t n;
    FILE *f = open_memstream(&text, &n);
    int failures = graph_verify(g, f);
    fclose(f);
    cr_expect(failures > 0 && strstr(text, says), "wanted: %s\ngot: %s", says, text);
    cr_expect_eq(graph_verify(g, NULL), failures);
    cr_expect_eq(g->ctx->diag.errors, 0, "verifying leaves the context as it was");
    free(text);
}

#define SMALL "graph \"g\" { input %x \"x\": f32[4]; %y = neg(%x) @(\"n1\", \"Neg\"); %z = add(%y, %x); output \"o\" = %z; }"

Test(text, verifier_finds)
{
    Graph *g = parse(SMALL);
    g->top->nodes.at[1]->out[0]->type.dtype = DLVK_F16;
    expect_failure(g, "node 1, add: result 0 is said to be f16[4] but is f32[4]");
    expect_failure(g, "// ^^^ result 0 is said to be"); /* in the graph shown */

    g = parse(SMALL);
    Node *first = g->top->nodes.at[0];
    g->top->nodes.at[0] = g->top->nodes.at[1];
    g->top->nodes.at[1] = first;
    expect_failure(g, "operand 0 is not defined before it is used");

    g = parse(SMALL);
    g->top->nodes.at[0]->out[0]->id = g->top->nodes.at[1]->out[0]->id;
    expect_failure(g, "taken or out of range");

    g = parse(SMALL);
    g->top->nodes.at[0]->in[0] = NULL;
    expect_failure(g, "node 0, neg (Neg 'n1'): operand 0 is missing");

    g = parse(SMALL);
    g->top->nodes.at[1]->n_in = 1;
    expect_failure(g, "takes 2 operands, not 1");

    g = parse(SMALL);
    g->output_names.n = 0;
    expect_failure(g, "1 outputs with 0 names");

    Graph *other = parse(SMALL);
    g = parse(SMALL);
    g->top->nodes.at[1]->in[1] = other->top->params.at[0];
    expect_failure(g, "operand 1 is missing or of another graph");
}

Test(text, verifier_gathers_all_failures)
{
    Graph *g = parse(SMALL);
    g->top->nodes.at[0]->out[0]->type.dtype = DLVK_I32;
    g->top->nodes.at[1]->out[0]->type.rank = 0;
    cr_expect_eq(graph_verify(g, NULL), 2); /* neg's type is not the inferred one, and add is given i32 and f32 */
}

Test(text, verifier_wants_sizes_before_their_use)
{
    Graph *g = parse("graph \"g\" { symbol m in [0, 9] data; input %s \"s\": i64[]; read_dims(%s) {values=[m]};"
                     "%y = iota() {shape=[m], axis=0, dtype=f32}; output \"o\" = %y; }");
    cr_expect_eq(graph_verify(g, stderr), 0);
    Node *reader = g->top->nodes.at[0];
    g->top->nodes.at[0] = g->top->nodes.at[1];
    g->top->nodes.at[1] = reader;
    expect_failure(g, "the size m is used before the node that finds it out");
}
