/* dlvkc grad: the loss of a model and its gradients with respect to the model's weights. */
#include "tools/commands.h"

#include <stdlib.h>
#include <string.h>

typedef struct GradOptions {
    StrList inputs, dims;
    LossArgs loss;
    const char *target, *output_dir, *device, *reduction;
    int seed;
} GradOptions;

static bool parse_reduction(const char *text, dlvk_reduction *r)
{
    static const char *const names[] = {"mean", "sum", "none"};
    for (int i = 0; i < 3; i++)
        if (!strcmp(text, names[i])) {
            *r = (dlvk_reduction)i;
            return true;
        }
    error_say("--reduction takes mean, sum or none, not '%s'", text);
    return false;
}

/* The options; the target's type and rank come from its file. */
static bool gradient_options(GradOptions *o, dlvk_gradient_options *g, dlvk_host_tensor *target)
{
    dlvk_error err;
    if (!loss_set(&o->loss, false, g) || !parse_reduction(o->reduction, &g->reduction)) return false;
    if (g->loss_model) return true;
    bool wanted = g->loss != DLVK_LOSS_PROJECTION;
    if (wanted != (o->target != NULL)) {
        error_say(wanted ? "the loss %s needs targets: --target FILE.npy" : "the loss %s takes no target", o->loss.name);
        return false;
    }
    if (!wanted) return true;
    if (dlvk_host_tensor_read(o->target, target, &err)) {
        error_say("--target %s: %s", o->target, err.text);
        return false;
    }
    g->target_type = target->dtype;
    g->target_rank = target->rank;
    return true;
}

static bool report(dlvk_session *s, int n, const char *dir)
{
    static const char prefix[] = "gradient.";
    dlvk_error err;
    bool ok = true;
    for (int i = 0; ok && i < n; i++) {
        dlvk_host_tensor t;
        if (output_read(s, i, &t, &err)) {
            error_say("%s", err.text);
            ok = false;
        } else {
            if (i == 0 && t.rank == 0) printf("loss %.9g\n", dlvk_host_tensor_get(&t, 0));
            const char *name = strncmp(t.name, prefix, strlen(prefix)) ? t.name : t.name + strlen(prefix);
            if (dir) ok = output_write(dir, name, &t);
        }
        dlvk_host_tensor_free(&t);
    }
    return ok;
}

/* Which input --target is for: a loss in a file has a name of its own for it. NULL, with a message. */
static const char *target_input(const GradOptions *o, const LoadedModel *m)
{
    const char *found = NULL;
    int n = 0;
    dlvk_tensor_info info;
    if (!m->gradient->loss_model) return "target";
    for (int i = 0; i < dlvk_model_inputs(m->model); i++) {
        if (dlvk_model_input(m->model, i, &info)) continue;
        size_t length = strlen(info.name);
        bool given = false;
        for (int k = 0; k < o->inputs.n; k++)
            given |= !strncmp(o->inputs.at[k], info.name, length) && o->inputs.at[k][length] == '=';
        if (given) continue;
        found = info.name;
        n++;
    }
    if (n == 1) return found;
    error_say("--target: there are %d inputs without a value, and it could be for any; --input NAME=FILE says which", n);
    return NULL;
}

static bool run_gradient(const GradOptions *o, const LoadedModel *m)
{
    InputSet inputs;
    dlvk_session *session = NULL;
    dlvk_error err;
    StrList specs = {0};
    for (int i = 0; i < o->inputs.n; i++) list_add(&specs, o->inputs.at[i]);
    const char *goes = o->target ? target_input(o, m) : NULL;
    if (o->target && !goes) {
        list_free(&specs);
        return false;
    }
    char *target = o->target ? text_format("%s=%s", goes, o->target) : NULL;
    if (target) list_add(&specs, target);
    bool made = inputs_make(&inputs, m->model, &specs, &o->dims, "random", (uint64_t)o->seed), ok = made;
    list_free(&specs);
    free(target);
    if (ok && (dlvk_session_create(m->model, &session, &err) || !inputs_set(&inputs, session, &err) ||
               dlvk_session_run(session, &err))) {
        error_say("%s", err.text);
        ok = false;
    }
    ok = ok && report(session, dlvk_model_outputs(m->model), o->output_dir);
    dlvk_session_free(session);
    if (made) inputs_free(&inputs);
    return ok;
}

static bool grad(const char *path, GradOptions *o)
{
    dlvk_gradient_options g = DLVK_GRADIENT_OPTIONS_INIT;
    dlvk_host_tensor target = {0};
    bool known = gradient_options(o, &g, &target);
    dlvk_host_tensor_free(&target);
    if (!known) return false;
    if (o->output_dir && !dir_make(o->output_dir)) return false;
    LoadedModel m = {.gradient = &g};
    if (!model_open_given(&m, path, o->device, &o->inputs)) return false;
    bool ok = run_gradient(o, &m);
    model_close(&m);
    return ok;
}

static int run(const Command *self, int argc, char **argv)
{
    GradOptions o = {.loss.name = "cross-entropy", .reduction = "mean"};
    StrList words = {0};
    int code;
    const Opt opts[] = {
        LOSS_OPTS(o.loss),
        {"target", OPT_STR, "FILE", &o.target, "what the outputs should be: .npy or .pb"},
        {"input", OPT_LIST, "NAME=FILE", &o.inputs, "an input: .npy, .pb, or random, zeros, ones"},
        {"dim", OPT_LIST, "SYMBOL=N", &o.dims, "the size of a symbolic dimension that no file gives"},
        {"output-dir", OPT_STR, "DIR", &o.output_dir, "write DIR/loss.npy and DIR/NAME.npy for every float initializer"},
        {"reduction", OPT_STR, "HOW", &o.reduction, "mean (the default), sum or none"},
        {"seed", OPT_INT, "N", &o.seed, "for random inputs; 0"},
        DEVICE_OPT(o.device),
        OPT_END,
    };
    bool ok = args_parse(self, opts, argc, argv, &words, &code);
    if (ok) code = args_words(self, &words, 1, 1, "the model") && grad(words.at[0], &o) ? EXIT_OK : EXIT_BAD;
    loss_free(&o.loss);
    list_free(&words);
    list_free(&o.inputs);
    list_free(&o.dims);
    return code;
}

const Command command_grad = {
    "grad", "MODEL.onnx [options]", "the gradients of a loss with respect to a model's weights", run,
    "Compiles the model together with a loss of its first output, differentiates it, runs the result on the\n"
    "device, prints the loss and writes the gradients of all float initializers, slashes in their names\n"
    "as underscores. Cross-entropy takes logits; its targets are class numbers [n,...], or probabilities\n"
    "or ones and zeros of the logits' shape. A model with nodes that have no gradient is refused with a\n"
    "list of them and of the paths that need one. A loss of your own, --loss FILE.onnx, is an ONNX model whose\n"
    "inputs are outputs of the model, by their names, and others, such as the targets; its first output,\n"
    "summed, is differentiated. (--loss projection: all outputs, times random numbers.)\n\n"
    "  dlvkc grad net.onnx --input x=x.npy --target labels.npy --output-dir gradients\n"
    "  dlvkc grad net.onnx --loss mse --input x=x.npy --target y.npy --reduction sum\n"
    "  dlvkc grad net.onnx --loss loss.onnx --input x=x.npy --target y.npy\n"};
