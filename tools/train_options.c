/* What every command that trains needs: the loss, the optimizer, the batch; see train.h. */
#include "tools/train.h"

#include <stdlib.h>
#include <string.h>

bool train_parse_optimizer(const char *name, dlvk_training_options *t, dlvk_optimizer **own)
{
    dlvk_error err;
    if (ends_with(name, ".onnx")) {
        if (dlvk_optimizer_load(name, own, &err)) {
            error_say("%s", err.text);
            return false;
        }
        t->optimizer = *own;
        return true;
    }
    t->optimizer = dlvk_optimizer_find(name);
    if (t->optimizer) return true;
    char *names = text_format("%s", "");
    for (int i = 0; dlvk_optimizer_at(i); i++) {
        char *longer = text_format("%s%s%s", names, i ? ", " : "", dlvk_optimizer_at(i)->name);
        free(names);
        names = longer;
    }
    error_say("there is no optimizer '%s'; there are %s, and ONNX files of yours: FILE.onnx", name, names);
    free(names);
    return false;
}

int train_batch_dims(const dlvk_model *m, int batch, StrList *dims, char **made)
{
    dlvk_tensor_info info;
    int n = 0;
    for (int i = 0; i < dlvk_model_inputs(m) && n < 64; i++) {
        if (dlvk_model_input(m, i, &info) || !info.rank || !info.symbol[0] || strpbrk(info.symbol[0], "+-*/%(")) continue;
        bool known = false;
        size_t length = strlen(info.symbol[0]);
        for (int k = 0; k < dims->n; k++) known |= !strncmp(dims->at[k], info.symbol[0], length) && dims->at[k][length] == '=';
        if (!known) list_add(dims, made[n++] = text_format("%s=%d", info.symbol[0], batch));
    }
    return n;
}

bool train_sizes(TrainOptions *o)
{
    int n = 0, most = (int)(sizeof o->size / sizeof *o->size);
    o->size[n++] = (dlvk_symbol_size){NULL, o->batch ? o->batch : TRAIN_BATCH};
    for (int i = 0; i < o->dims.n; i++) {
        const char *equals = strchr(o->dims.at[i], '=');
        char *end = NULL;
        long long v = equals ? strtoll(equals + 1, &end, 10) : 0;
        if (!equals || equals == o->dims.at[i] || end == equals + 1 || *end || v < 0 || n == most) {
            error_say(n == most ? "too many --dim" : "--dim takes SYMBOL=N, not '%s'", o->dims.at[i]);
            return false;
        }
        list_add(&o->symbols, text_format("%.*s", (int)(equals - o->dims.at[i]), o->dims.at[i]));
        o->size[n++] = (dlvk_symbol_size){o->symbols.at[o->symbols.n - 1], v};
    }
    o->training.sizes = o->size;
    o->training.n_sizes = n;
    return true;
}

int64_t train_classes(dlvk_model *train)
{
    dlvk_model *evaluate = NULL;
    dlvk_tensor_info info;
    dlvk_error err;
    int64_t classes = 0;
    if (dlvk_model_program(train, "evaluate", &evaluate, &err)) return 0;
    for (int i = 0; i < dlvk_model_outputs(evaluate); i++) {
        if (dlvk_model_output(evaluate, i, &info) || !strcmp(info.name, "loss") || !strcmp(info.name, "correct")) continue;
        if (info.rank >= 2 && info.dim[1] > 0) classes = info.dim[1];
        break;
    }
    return classes;
}
