/* Loading models and asking them for their signature. */
#include "runtime/model.h"
#include "runtime/error.h"
#include "runtime/expr.h"
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Texts of the dims that are no constants. */
static dlvk_status make_dim_texts(dlvk_model *m, dlvk_error *err)
{
    const Dlvk__Plan__Plan *p = m->plan;
    m->dim_text = calloc((p->n_input + p->n_output) * DLVK_MAX_RANK + 1, sizeof *m->dim_text);
    bool ok = m->dim_text != NULL;
    for (size_t i = 0; ok && i < p->n_input + p->n_output; i++) {
        const Dlvk__Plan__Tensor *t = i < p->n_input ? p->input[i] : p->output[i - p->n_input];
        for (size_t d = 0; ok && d < t->n_dim; d++) {
            char text[512];
            if (p->expr[t->dim[d]]->op == DLVK__PLAN__EXPR__OP__CONST) continue;
            rt_expr_print(p, t->dim[d], text, sizeof text);
            ok = (m->dim_text[i * DLVK_MAX_RANK + d] = strdup(text)) != NULL;
        }
    }
    return ok ? DLVK_OK : rt_error(err, DLVK_OUT_OF_MEMORY, "out of memory");
}

static bool has_initialised_state(const Dlvk__Plan__Plan *p)
{
    for (size_t i = 0; i < p->n_program; i++)
        if (has_initialised_state(p->program[i])) return true;
    for (size_t i = 0; i < p->n_buffer; i++)
        if (p->buffer[i]->kind == DLVK__PLAN__BUFFER__KIND__STATE && p->buffer[i]->blob) return true;
    return false;
}

/* The plan stays; the file only as far as sessions will read from it. */
static dlvk_status keep_bundle(dlvk_model *m, dlvk_error *err)
{
    if (!has_initialised_state(m->plan)) {
        Bundle rest = m->bundle;
        rest.plan = NULL;
        rt_bundle_close(&rest);
        m->bundle = (Bundle){.plan = m->bundle.plan};
    } else if (!m->bundle.mapped) {
        m->copy = malloc(m->bundle.size);
        if (!m->copy) return rt_error(err, DLVK_OUT_OF_MEMORY, "out of memory");
        m->bundle.data = memcpy(m->copy, m->bundle.data, m->bundle.size);
    }
    return DLVK_OK;
}

typedef struct WeightsJob {
    dlvk_model *m;
    int threads;
    dlvk_status st;
    dlvk_error err;
} WeightsJob;

static void *load_weights(void *user)
{
    WeightsJob *j = user;
    j->st = model_weights(j->m, j->threads, &j->err);
    return NULL;
}

/* Weights are uploaded while pipelines are built: the one waits for memory, the other for the compiler. */
static dlvk_status load_both(dlvk_model *m, const dlvk_load_options *o, dlvk_error *err)
{
    WeightsJob j = {.m = m, .threads = o->threads};
    pthread_t thread;
    bool beside = o->threads != 1 && pthread_create(&thread, NULL, load_weights, &j) == 0;
    dlvk_status st = model_pipelines(m, o, err);
    if (beside)
        pthread_join(thread, NULL);
    else
        load_weights(&j);
    if (!st && j.st) return rt_error(err, j.st, "%s", j.err.text);
    return st;
}

/* cache: a file's name, or NULL; every program has one of its own */
static dlvk_status load_program(dlvk_model *m, const char *cache, const dlvk_load_options *o, dlvk_error *err)
{
    dlvk_status st = make_dim_texts(m, err);
    if (!st) st = model_program(m, o, err);
    if (!st) st = model_verdicts(m, cache, err);
    if (!st) st = model_tuning(m, o, err);
    if (!st) st = load_both(m, o, err);
    return st ? st : model_keep_code(m, err);
}

static dlvk_status load_further(dlvk_model *m, size_t i, const char *cache, const dlvk_load_options *o, dlvk_error *err)
{
    size_t size = (cache ? strlen(cache) : 0) + 24;
    dlvk_load_options rest = *o; /* a tuning file is of the first program */
    if (o->tuning) rest.tuning = "";
    dlvk_model *p = m->program[i] = calloc(1, sizeof *p);
    char *own = malloc(size);
    dlvk_status st = p && own ? DLVK_OK : rt_error(err, DLVK_OUT_OF_MEMORY, "out of memory");
    if (!st) {
        snprintf(own, size, "%s.%zu", cache ? cache : "", i + 1);
        p->dev = m->dev;
        p->bundle = m->bundle;
        p->plan = m->bundle.plan->program[i];
        st = load_program(p, cache ? own : NULL, &rest, err);
    }
    free(own);
    return st;
}

/* path: of the bundle, or NULL */
static dlvk_status load(dlvk_model *m, const char *path, const dlvk_load_options *o, dlvk_error *err)
{
    char *beside = NULL;
    const char *cache = o->cache && *o->cache ? o->cache : NULL;
    if (!o->cache && path) {
        size_t size = strlen(path) + 7;
        beside = malloc(size);
        if (!beside) return rt_error(err, DLVK_OUT_OF_MEMORY, "out of memory");
        snprintf(beside, size, "%s.cache", path);
        cache = beside;
    }
    m->plan = m->bundle.plan;
    m->program = calloc(m->plan->n_program + 1, sizeof *m->program);
    dlvk_status st = m->program ? load_program(m, cache, o, err) : rt_error(err, DLVK_OUT_OF_MEMORY, "out of memory");
    for (size_t i = 0; !st && i < m->plan->n_program; i++) st = load_further(m, i, cache, o, err);
    if (!st) st = keep_bundle(m, err);
    for (size_t i = 0; !st && i < m->plan->n_program; i++) m->program[i]->bundle = m->bundle;
    free(beside);
    return st;
}

static dlvk_status load_any(dlvk_device *d, const char *path, const void *data, size_t size, const dlvk_load_options *o,
                            dlvk_model **out, dlvk_error *err)
{
    static const dlvk_load_options defaults = DLVK_LOAD_OPTIONS_INIT;
    if (!d || !out || (!path && !data)) return rt_error(err, DLVK_INVALID_ARGUMENT, "dlvk_model_load: a NULL argument");
    *out = NULL;
    if (!o) o = &defaults;
    if (o->struct_size != sizeof *o)
        return rt_error(err, DLVK_INVALID_ARGUMENT,
                        "dlvk_model_load: struct_size of the options is %zu; initialise with DLVK_LOAD_OPTIONS_INIT",
                        o->struct_size);
    dlvk_model *m = calloc(1, sizeof *m);
    if (!m) return rt_error(err, DLVK_OUT_OF_MEMORY, "out of memory");
    m->dev = d;
    dlvk_status st =
        path ? rt_bundle_open(path, o->threads, &m->bundle, err) : rt_bundle_open_memory(data, size, o->threads, &m->bundle, err);
    if (!st) st = load(m, path, o, err);
    if (st) {
        dlvk_model_free(m);
        return st;
    }
    *out = m;
    return DLVK_OK;
}

dlvk_status dlvk_model_load(dlvk_device *d, const char *path, const dlvk_load_options *o, dlvk_model **m, dlvk_error *err)
{
    return load_any(d, path, NULL, 0, o, m, err);
}

dlvk_status dlvk_model_load_memory(dlvk_device *d, const void *data, size_t size, const dlvk_load_options *o, dlvk_model **m,
                                   dlvk_error *err)
{
    return load_any(d, NULL, data, size, o, m, err);
}

static void free_program(dlvk_model *m)
{
    if (!m || !m->plan) return;
    model_weights_free(m);
    model_pipelines_free(m);
    model_tuning_free(m);
    model_program_free(m);
    for (size_t i = 0; m->dim_text && i < (m->plan->n_input + m->plan->n_output) * DLVK_MAX_RANK; i++) free(m->dim_text[i]);
    free(m->dim_text);
}

void dlvk_model_free(dlvk_model *m)
{
    if (!m) return;
    for (size_t i = 0; m->program && i < m->plan->n_program; i++) {
        free_program(m->program[i]);
        free(m->program[i]);
    }
    free(m->program);
    free_program(m);
    rt_bundle_close(&m->bundle);
    free(m->copy);
    free(m);
}

int dlvk_model_programs(const dlvk_model *m)
{
    return m ? 1 + (int)m->plan->n_program : 0;
}

const char *dlvk_model_program_name(const dlvk_model *m, int i)
{
    if (!m || i < 0 || i >= dlvk_model_programs(m)) return NULL;
    return i ? m->plan->program[i - 1]->name : m->plan->name;
}

dlvk_status dlvk_model_program(dlvk_model *m, const char *name, dlvk_model **program, dlvk_error *err)
{
    if (!m || !name || !program) return rt_error(err, DLVK_INVALID_ARGUMENT, "dlvk_model_program: a NULL argument");
    for (int i = 0; i < dlvk_model_programs(m); i++)
        if (strcmp(dlvk_model_program_name(m, i), name) == 0) {
            *program = i ? m->program[i - 1] : m;
            return DLVK_OK;
        }
    return rt_error(err, DLVK_INVALID_ARGUMENT, "the bundle has no program '%s'", name);
}

int dlvk_model_inputs(const dlvk_model *m)
{
    return m ? (int)m->plan->n_input : 0;
}
int dlvk_model_outputs(const dlvk_model *m)
{
    return m ? (int)m->plan->n_output : 0;
}

static dlvk_status tensor_info(const dlvk_model *m, bool output, int i, dlvk_tensor_info *info)
{
    if (!m || !info || i < 0 || (size_t)i >= (output ? m->plan->n_output : m->plan->n_input)) return DLVK_INVALID_ARGUMENT;
    const Dlvk__Plan__Tensor *t = output ? m->plan->output[i] : m->plan->input[i];
    char **text = &m->dim_text[((output ? m->plan->n_input : 0) + (size_t)i) * DLVK_MAX_RANK];
    *info = (dlvk_tensor_info){
        .name = t->name, .dtype = (dlvk_dtype)t->dtype, .rank = (int)t->n_dim, .chance = (dlvk_chance)t->chance};
    for (size_t d = 0; d < t->n_dim; d++) {
        info->dim[d] = text[d] ? -1 : m->plan->expr[t->dim[d]]->value;
        info->symbol[d] = text[d];
    }
    return DLVK_OK;
}

static int count_values(const dlvk_model *m, bool output)
{
    if (!m) return 0;
    size_t formals = output ? m->plan->n_formal_output : m->plan->n_formal_input;
    return (int)(formals ? formals : output ? m->plan->n_output : m->plan->n_input);
}

static dlvk_status value_info(const dlvk_model *m, bool output, int i, dlvk_value_info *info)
{
    if (!info || i < 0 || i >= count_values(m, output)) return DLVK_INVALID_ARGUMENT;
    if (output ? m->plan->n_formal_output : m->plan->n_formal_input) {
        const Dlvk__Plan__Formal *f = output ? m->plan->formal_output[i] : m->plan->formal_input[i];
        *info = (dlvk_value_info){f->name, (dlvk_value_kind)f->kind, (int)f->first, (int)f->count};
    } else {
        *info = (dlvk_value_info){(output ? m->plan->output[i] : m->plan->input[i])->name, DLVK_VALUE_TENSOR, i, 1};
    }
    return DLVK_OK;
}

int dlvk_model_input_values(const dlvk_model *m)
{
    return count_values(m, false);
}
int dlvk_model_output_values(const dlvk_model *m)
{
    return count_values(m, true);
}
dlvk_status dlvk_model_input_value(const dlvk_model *m, int i, dlvk_value_info *info)
{
    return value_info(m, false, i, info);
}
dlvk_status dlvk_model_output_value(const dlvk_model *m, int i, dlvk_value_info *info)
{
    return value_info(m, true, i, info);
}

dlvk_status dlvk_model_input(const dlvk_model *m, int i, dlvk_tensor_info *info)
{
    return tensor_info(m, false, i, info);
}
dlvk_status dlvk_model_output(const dlvk_model *m, int i, dlvk_tensor_info *info)
{
    return tensor_info(m, true, i, info);
}
