/* dlvkc: the command line of DLVK. Finds the command, and otherwise only helps. */
#include "tools/dlvkc.h"
#include "tools/commands.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

const Command *const commands[] = {&command_compile,  &command_run,    &command_test,    &command_grad, &command_bench,
                                   &command_inspect,  &command_unpack, &command_devices, &command_zoo,  &command_operators,
                                   &command_classify, &command_train,  &command_tune,    NULL};

static void help_print(FILE *f)
{
    fprintf(f,
            "%sdlvkc%s compiles ONNX models to Vulkan bundles, runs and measures them.\n\n"
            "  dlvkc MODEL.onnx                     makes MODEL.dlvk, which runs on any Vulkan 1.3 device\n"
            "  dlvkc run MODEL.dlvk --input x=x.npy --output-dir out\n\nCommands:\n",
            colour(f, BOLD), colour(f, PLAIN));
    for (const Command *const *c = commands; *c; c++)
        fprintf(f, "  %s%-9s%s %s\n", colour(f, BOLD), (*c)->name, colour(f, PLAIN), (*c)->summary);
    fprintf(f, "\n`dlvkc COMMAND --help` says more about each; `dlvkc --version` prints the version.\n"
               "VK_DRIVER_FILES=FILE.json chooses the Vulkan driver, as for any Vulkan program.\n");
}

static const Command *command_find(const char *name)
{
    for (const Command *const *c = commands; *c; c++)
        if (!strcmp((*c)->name, name)) return *c;
    return NULL;
}

static int dispatch(int argc, char **argv)
{
    if (argc < 2) {
        help_print(stderr);
        return EXIT_BAD;
    }
    const char *word = argv[1];
    if (!strcmp(word, "--help") || !strcmp(word, "-h") || (!strcmp(word, "help") && argc == 2)) {
        help_print(stdout);
        return EXIT_OK;
    }
    if (!strcmp(word, "--version")) {
        printf("dlvkc %s\n", DLVK_VERSION);
        return EXIT_OK;
    }
    if (!strcmp(word, "help")) {
        const Command *c = command_find(argv[2]);
        char *help[] = {"--help"};
        if (c) return c->run(c, 1, help);
        error_say("there is no command '%s'; `dlvkc --help` lists them", argv[2]);
        return EXIT_BAD;
    }
    const Command *c = command_find(word);
    if (c) return c->run(c, argc - 2, argv + 2);

    /* `dlvkc MODEL.onnx` and `dlvkc -o OUT MODEL.onnx`: compile. A word that is neither a command nor a file is a slip. */
    if (word[0] != '-' && !strpbrk(word, "./") && access(word, F_OK)) {
        const Command *near = NULL;
        int distance = 3;
        for (const Command *const *k = commands; *k; k++) {
            int d = edit_distance(word, (*k)->name);
            if (d < distance) distance = d, near = *k;
        }
        error_say("'%s' is neither a command nor a file%s%s%s; `dlvkc --help` lists the commands", word,
                  near ? "; did you mean '" : "", near ? near->name : "", near ? "'?" : "");
        return EXIT_BAD;
    }
    return command_compile.run(&command_compile, argc - 1, argv + 1);
}

int main(int argc, char **argv)
{
    int code = dispatch(argc, argv);
    if (!fflush(stdout) && !ferror(stdout)) return code;
    error_say("not all of the output could be written");
    return code == EXIT_OK ? EXIT_BAD : code;
}
