/* dlvkc zoo: the models that come with DLVK, untrained. */
#include "models/zoo.h"
#include "tools/commands.h"

#include <stdlib.h>
#include <string.h>

static const ZooModel *find(const char *name)
{
    const ZooModel *near = NULL;
    int distance = 3;
    for (const ZooModel *m = zoo; m->name; m++) {
        int d = edit_distance(name, m->name);
        if (!d) return m;
        if (d < distance) distance = d, near = m;
    }
    error_say("there is no model '%s'%s%s%s; `dlvkc zoo` lists them", name, near ? "; did you mean '" : "",
              near ? near->name : "", near ? "'?" : "");
    return NULL;
}

static bool write_bundle(dlvk_graph *g, const char *path, dlvk_error *err)
{
    void *bundle = NULL;
    size_t size;
    dlvk_compile_options o = DLVK_COMPILE_OPTIONS_INIT;
    o.progress = progress_show;
    bool ok = !dlvk_compile_graph(g, &bundle, &size, &o, err);
    progress_end();
    if (!ok)
        error_say("%s", err->text);
    else
        ok = file_write(path, bundle, size);
    dlvk_free(bundle);
    return ok;
}

static bool zoo_write(const ZooModel *m, const char *path, int seed)
{
    dlvk_error err = {.text = "out of memory"};
    dlvk_graph *g = dlvk_graph_new(m->name);
    dlvk_graph_seed(g, (uint64_t)seed);
    if (g) m->build(g);
    bool ok;
    if (g && path_is_bundle(path)) {
        ok = write_bundle(g, path, &err);
    } else {
        ok = g && !dlvk_graph_write_onnx(g, path, &err);
        if (!ok) error_say("%s", err.text);
    }
    dlvk_graph_free(g);
    return ok;
}

static int run(const Command *self, int argc, char **argv)
{
    const char *out = NULL;
    int seed = 0, code;
    StrList words = {0};
    const Opt opts[] = {
        {"o", OPT_STR, "FILE", &out, "where to: FILE.onnx, or FILE.dlvk for a bundle; NAME.onnx"},
        {"seed", OPT_INT, "N", &seed, "of the random weights; 0"},
        OPT_END,
    };
    bool ok = args_parse(self, opts, argc, argv, &words, &code);
    if (ok) code = args_words(self, &words, 0, 1, "the model") ? EXIT_OK : EXIT_BAD;
    if (ok && code == EXIT_OK && words.n == 0) {
        for (const ZooModel *m = zoo; m->name; m++) printf("%-10s %s\n", m->name, m->about);
    } else if (ok && code == EXIT_OK) {
        const ZooModel *m = find(words.at[0]);
        char *path = out ? text_format("%s", out) : text_format("%s.onnx", words.at[0]);
        if (!m || !zoo_write(m, path, seed))
            code = EXIT_BAD;
        else
            printf("%s\n", path);
        free(path);
    }
    list_free(&words);
    return code;
}

const Command command_zoo = {
    "zoo", "[NAME] [-o FILE] [--seed N]", "writes one of DLVK's own models, untrained", run,
    "Without a name, lists the models. They are written with the C graph builder (models/*.c); weights begin as\n"
    "PyTorch's do. The same seed gives the same bytes.\n\n"
    "  dlvkc zoo lenet -o lenet.onnx\n"
    "  dlvkc zoo resnet18 -o resnet18.dlvk\n"};
