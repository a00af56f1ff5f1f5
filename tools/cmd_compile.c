/* dlvkc compile: an ONNX file to a bundle. */
#include "tools/commands.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static int run(const Command *self, int argc, char **argv)
{
    dlvk_compile_options o = DLVK_COMPILE_OPTIONS_INIT;
    const char *out = NULL;
    bool plain = false;
    StrList assume = {0};
    ValueSet values = {0};
    PrecisionArgs precision = {0};
    const Opt opts[] = {
        {"o", OPT_STR, "OUT.dlvk", &out, "where the bundle goes; otherwise beside the model"},
        {"assume", OPT_LIST, "NAME=FILE", &assume, "the value of an input, for what has to be known: see below; repeatable"},
        {"print-after", OPT_STR, "PASS|all", &o.print_after, "print the IR after this pass, or after each"},
        {"stop-after", OPT_STR, "PASS", &o.stop_after, "stop after this pass and write no bundle"},
        {"time-passes", OPT_FLAG, NULL, &o.time_passes, "print the milliseconds each pass took"},
        {"dump-ir", OPT_STR, "DIR", &o.dump_ir, "write the IR after each pass to DIR/NN-PASS.ir"},
        {"dump-glsl", OPT_STR, "DIR", &o.dump_glsl, "write the generated GLSL to DIR, a file a kernel module"},
        {"keep-glsl", OPT_FLAG, NULL, &o.keep_glsl, "put the GLSL into the bundle too (`dlvkc unpack` gets it out)"},
        {"validate", OPT_FLAG, NULL, &o.validate, "verify the IR after each pass, and validate the SPIR-V"},
        {"no-optimize", OPT_FLAG, NULL, &plain, "no fusion, no SPIR-V optimizer: one kernel an operation"},
        PRECISION_OPTS(precision),
        {"threads", OPT_INT, "N", &o.threads, "threads that compile shaders; 0, the default: all cores"},
        OPT_END,
    };
    StrList words = {0};
    int code;
    bool ok = args_parse(self, opts, argc, argv, &words, &code);
    if (ok && !args_words(self, &words, 1, 1, "a model")) ok = false, code = EXIT_BAD;
    const char *model = ok ? words.at[0] : NULL;
    list_free(&words);
    if (ok && !values_read(&values, &assume)) ok = false, code = EXIT_BAD;
    list_free(&assume);
    dlvk_error err;
    if (ok && precision_set(&precision, &o, &err)) {
        error_say("%s", err.text);
        values_free(&values);
        ok = false, code = EXIT_BAD;
    }
    if (!ok) {
        list_free(&precision.keep);
        return code;
    }
    o.assumed = values.at;
    o.n_assumed = values.n;
    if (path_is_bundle(model)) {
        struct stat st;
        if (stat(model, &st))
            error_say("%s: cannot be read", model);
        else
            error_say("%s is a bundle already; `dlvkc run` runs it", model);
        values_free(&values);
        list_free(&precision.keep);
        return EXIT_BAD;
    }
    char *path = out ? text_format("%s", out) : path_beside(model, ".dlvk");
    o.optimize = plain ? 0 : 1;
    o.progress = progress_show;
    double start = now_ms();
    dlvk_status s = dlvk_compile_file(model, path, &o, &err);
    progress_end();
    values_free(&values);
    if (s) {
        error_say("%s", err.text);
    } else if (!o.stop_after) {
        struct stat st;
        char size[32];
        if (!stat(path, &st))
            printf("%s: %s, compiled in %.2f s\n", path, size_text((double)st.st_size, size), (now_ms() - start) / 1e3);
    }
    free(path);
    list_free(&precision.keep);
    return s ? EXIT_BAD : EXIT_OK;
}

const Command command_compile = {
    "compile", "MODEL.onnx [-o OUT.dlvk] [options]", "compile an ONNX model to a bundle (also: dlvkc MODEL.onnx)", run,
    "Compiles an ONNX model to one bundle file: Vulkan kernels, weights and the plan to run them.\n"
    "The bundle needs libdlvk-runtime and a Vulkan 1.3 driver, runs on any such device, and takes any\n"
    "size of its symbolic dimensions. A model that cannot be compiled is refused with a list of all\n"
    "the nodes at fault. Compilation needs no device.\n\n"
    "Of an input that is a sequence the compilation has to know the length, of an optional one whether\n"
    "it has a value, and of some inputs what is in them: axes, steps, trip counts of loops that carry\n"
    "sequences. --assume gives a value (.npy, .pb, a sequence also FILE,FILE,...) for which the bundle\n"
    "then holds.\n\n"
    "  dlvkc MODEL.onnx                                  # makes MODEL.dlvk\n"
    "  dlvkc compile MODEL.onnx -o out.dlvk --time-passes\n"
    "  dlvkc compile MODEL.onnx --assume frames=a.npy,b.npy,c.npy\n"
    "  dlvkc compile MODEL.onnx --print-after=fuse --stop-after=fuse\n"
    "  dlvkc compile MODEL.onnx --dump-glsl=kernels      # look at the generated shaders\n"};
