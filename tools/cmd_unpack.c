/* dlvkc unpack: the parts of a bundle as files. */
#include "tools/commands.h"

#include <stdlib.h>
#include <string.h>

static int run(const Command *self, int argc, char **argv)
{
    const char *out = NULL;
    const Opt opts[] = {{"o", OPT_STR, "DIR", &out, "where the files go, made if need be; otherwise MODEL.unpacked"}, OPT_END};
    StrList words = {0};
    int code;
    dlvk_error err;
    if (args_parse(self, opts, argc, argv, &words, &code)) {
        code = EXIT_BAD;
        if (args_words(self, &words, 1, 1, "a bundle")) {
            const char *bundle = words.at[0];
            size_t stem = strlen(bundle);
            if (stem > 5 && !strcmp(bundle + stem - 5, ".dlvk")) stem -= 5;
            char *dir = out ? text_format("%s", out) : text_format("%.*s.unpacked", (int)stem, bundle);
            if (dlvk_bundle_unpack(bundle, dir, &err)) {
                error_say("%s", err.text);
            } else {
                printf("%s/\n", dir);
                code = EXIT_OK;
            }
            free(dir);
        }
    }
    list_free(&words);
    return code;
}

const Command command_unpack = {
    "unpack", "BUNDLE.dlvk [-o DIR]", "write the parts of a bundle to files", run,
    "Writes plan.json (as `dlvkc inspect --json` prints it), the SPIR-V of every kernel module, its GLSL\n"
    "where the bundle was compiled with --keep-glsl, and the stored bytes of weights.\n\n"
    "  dlvkc compile model.onnx --keep-glsl\n"
    "  dlvkc unpack model.dlvk -o parts\n"
    "  spirv-dis parts/MODULE.spv\n"};
