/* What dlvkc train writes: the log, the trained model, checkpoints; see train.h. */
#include "tools/train.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- log.csv ---- */

static const char header[] = "epoch,train_loss,val_loss,val_accuracy,lr,seconds\n";

void train_log_add(TrainLog *l, EpochResult r)
{
    EpochResult *row = must_alloc((size_t)l->n + 1, sizeof *row);
    if (l->n) memcpy(row, l->row, (size_t)l->n * sizeof *row);
    free(l->row);
    l->row = row;
    l->row[l->n++] = r;
}

void train_log_free(TrainLog *l)
{
    free(l->row);
    *l = (TrainLog){0};
}

/* A number, or nothing for NAN. */
static const char *cell(double v, char buf[32])
{
    snprintf(buf, 32, isnan(v) ? "" : "%.9g", v);
    return buf;
}

bool train_log_write(const TrainLog *l, const char *dir)
{
    char *text = text_format("%s", header), *path = text_format("%s/log.csv", dir), b[4][32];
    for (int i = 0; i < l->n; i++) {
        const EpochResult *r = &l->row[i];
        char *longer = text_format("%s%d,%s,%s,%s,%s,%.3f\n", text, r->epoch, cell(r->train_loss, b[0]), cell(r->val_loss, b[1]),
                                   cell(r->val_accuracy, b[2]), cell(r->lr, b[3]), r->seconds);
        free(text);
        text = longer;
    }
    bool ok = file_write(path, text, strlen(text));
    free(text);
    free(path);
    return ok;
}

static bool parse_row(char *line, EpochResult *r)
{
    double *const to[] = {&r->train_loss, &r->val_loss, &r->val_accuracy, &r->lr, &r->seconds};
    char *end;
    r->epoch = (int)strtol(line, &end, 10);
    for (int i = 0; i < 5; i++) {
        if (*end != ',') return false;
        char *at = end + 1;
        *to[i] = strtod(at, &end);
        if (end == at) *to[i] = NAN;
    }
    return *end == '\n' && r->epoch > 0;
}

bool train_log_read(TrainLog *l, const char *dir)
{
    char *path = text_format("%s/log.csv", dir), line[512];
    FILE *f = fopen(path, "r");
    bool ok = f && fgets(line, sizeof line, f) && !strcmp(line, header);
    while (ok && fgets(line, sizeof line, f)) {
        EpochResult r;
        ok = parse_row(line, &r) && r.epoch == l->n + 1;
        if (ok) train_log_add(l, r);
    }
    if (f) fclose(f);
    ok = ok && l->n;
    if (!ok) error_say("%s: there is no training to go on from (its log.csv is not there, or not whole)", dir);
    free(path);
    return ok;
}

/* ---- checkpoints ---- */

static char *checkpoint_path(const TrainOptions *o, int epoch)
{
    return text_format("%s/checkpoint-%d.state", o->out, epoch);
}

bool train_checkpoint(const TrainOptions *o, dlvk_session *s, int epoch)
{
    char *path = checkpoint_path(o, epoch);
    dlvk_error err;
    bool ok = !dlvk_session_save(s, path, &err);
    if (!ok) error_say("%s", err.text);
    free(path);
    return ok;
}

bool train_restore(const TrainOptions *o, dlvk_session *s, int epoch)
{
    char *path = checkpoint_path(o, epoch);
    dlvk_error err;
    bool ok = !dlvk_session_load(s, path, &err);
    if (!ok) error_say("%s", err.text);
    free(path);
    return ok;
}

void train_checkpoint_remove(const TrainOptions *o, int epoch)
{
    char *path = checkpoint_path(o, epoch);
    unlink(path);
    free(path);
}

/* ---- the trained model ---- */

bool train_has_state(const dlvk_model *m, const char *name)
{
    dlvk_tensor_info info;
    for (int i = 0; i < dlvk_model_states(m); i++)
        if (!dlvk_model_state(m, i, &info) && !strcmp(info.name, name)) return true;
    return false;
}

bool train_is_parameter(const dlvk_model *m, const char *name)
{
    const char *colon = strrchr(name, ':');
    if (*name == ':' || !colon) return *name != ':';
    char *before = text_format("%.*s", (int)(colon - name), name);
    bool beside = train_has_state(m, before);
    free(before);
    return !beside;
}

bool train_export(const TrainOptions *o, const dlvk_model *m, dlvk_session *s)
{
    int states = dlvk_model_states(m), n = 0;
    dlvk_host_tensor *weight = must_alloc((size_t)states, sizeof *weight);
    dlvk_error err;
    bool ok = true;
    for (int i = 0; ok && i < states; i++) {
        dlvk_tensor_info info;
        if (dlvk_model_state(m, i, &info) || !train_is_parameter(m, info.name)) continue;
        dlvk_host_tensor *w = &weight[n++];
        *w = (dlvk_host_tensor){.name = text_format("%s", info.name), .dtype = info.dtype, .rank = info.rank};
        size_t count = 1;
        for (int a = 0; a < info.rank; a++) count *= (size_t)(w->dim[a] = info.dim[a]);
        w->bytes = dlvk_dtype_size(info.dtype, count);
        w->data = must_alloc(w->bytes, 1);
        char *average = text_format("%s:ema", info.name);
        bool averaged = o->training.ema_evaluate && train_has_state(m, average);
        ok = !dlvk_session_get_state(s, averaged ? average : info.name, w->data, w->bytes, &err);
        free(average);
    }
    char *path = text_format("%s/model.onnx", o->out);
    ok = ok && !dlvk_onnx_exchange_weights(o->model, path, weight, n, &err);
    if (!ok) error_say("%s", err.text);
    free(path);
    for (int i = 0; i < n; i++) dlvk_host_tensor_free(&weight[i]);
    free(weight);
    return ok;
}
