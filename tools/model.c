/* Opening a model: a bundle is loaded, an ONNX file is compiled in memory first. */
#include "tools/dlvkc.h"

#include <stdlib.h>
#include <string.h>

bool ends_with(const char *s, const char *end)
{
    size_t n = strlen(s), k = strlen(end);
    return n > k && !strcmp(s + n - k, end);
}

char *path_beside(const char *model, const char *ending)
{
    size_t n = strlen(model);
    if (ends_with(model, ".onnx") || ends_with(model, ".dlvk")) n -= strlen(".onnx");
    return text_format("%.*s%s", (int)n, model, ending);
}

/* By its ending, so that a damaged bundle is still called one; other files by their first bytes. */
bool path_is_bundle(const char *path)
{
    if (ends_with(path, ".onnx")) return false;
    if (ends_with(path, ".dlvk")) return true;
    char head[5] = {0};
    FILE *f = fopen(path, "rb");
    if (!f) return false;
    size_t n = fread(head, 1, sizeof head, f);
    fclose(f);
    return n == sizeof head && !memcmp(head,
                                       "\x89"
                                       "DLVK",
                                       5);
}

dlvk_status model_open(LoadedModel *m, const char *path, const char *device, int threads, dlvk_error *err)
{
    dlvk_status s = DLVK_OK;
    if (!m->device) {
        s = dlvk_device_open(device, &m->device, err);
        if (s) return s;
        m->owns_device = true;
    }
    dlvk_load_options load = DLVK_LOAD_OPTIONS_INIT;
    load.threads = threads;
    load.tuning = m->tuning;
    dlvk_compile_options o = DLVK_COMPILE_OPTIONS_INIT;
    s = precision_set(m->precision, &o, err);
    bool bundle = path_is_bundle(path) && !m->gradient && !m->training;
    if (!s && bundle && o.precision != DLVK_F32) {
        snprintf(err->text, sizeof err->text,
                 "%s is a bundle, whose precision was chosen when it was compiled: dlvkc compile --precision %s", path,
                 m->precision->name);
        s = DLVK_INVALID_ARGUMENT;
    }
    if (s) {
        model_close(m);
        return s;
    }
    double start = now_ms();
    if (bundle) {
        s = dlvk_model_load(m->device, path, &load, &m->model, err);
    } else {
        o.threads = threads;
        o.device = dlvk_device_get_info(m->device);
        o.progress = progress_show;
        o.assumed = m->assumed;
        o.n_assumed = m->n_assumed;
        if (m->gradient)
            s = dlvk_compile_gradient_to_memory(path, &m->bundle, &m->bundle_size, m->gradient, &o, err);
        else if (m->training)
            s = dlvk_compile_training_to_memory(path, &m->bundle, &m->bundle_size, m->training, &o, err);
        else
            s = dlvk_compile_file_to_memory(path, &m->bundle, &m->bundle_size, &o, err);
        progress_end();
        double compiled = now_ms();
        m->compile_ms = compiled - start;
        start = compiled;
        if (!s) s = dlvk_model_load_memory(m->device, m->bundle, m->bundle_size, &load, &m->model, err);
    }
    m->load_ms = now_ms() - start;
    if (s) model_close(m);
    return s;
}

bool model_open_given(LoadedModel *m, const char *path, const char *device, const StrList *specs)
{
    ValueSet assumed;
    dlvk_error err;
    if (!values_read(&assumed, specs)) return false;
    m->assumed = assumed.at;
    m->n_assumed = assumed.n;
    bool ok = !model_open(m, path, device, 0, &err);
    if (!ok) error_say("%s", err.text);
    m->assumed = NULL;
    m->n_assumed = 0;
    values_free(&assumed);
    return ok;
}

void say_wrong_kernels(dlvk_model *m)
{
    for (int i = 0; i < dlvk_model_programs(m); i++) {
        dlvk_model *program;
        const char *name = "";
        if (dlvk_model_program(m, dlvk_model_program_name(m, i), &program, NULL)) continue;
        int n = dlvk_model_wrong_kernels(program, &name);
        if (n)
            note_say("on this device's matrix units kernel '%s'%s came out wrong in a self-test, and runs without them", name,
                     n > 1 ? " (and others)" : "");
    }
}

void model_close(LoadedModel *m)
{
    say_wrong_kernels(m->model);
    dlvk_model_free(m->model);
    dlvk_free(m->bundle);
    if (m->owns_device) dlvk_device_close(m->device);
    *m = (LoadedModel){.device = m->owns_device ? NULL : m->device};
}
