/* Optimizers that are ONNX files; the contract is in dlvk/train.h. */
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>

#include "dlvk/train.h"
#include "frontend/compile.h"
#include "frontend/onnx/importer.h"

enum { MOST_SLOTS = 4, MOST_INPUTS = 4 + MOST_SLOTS };
static const char *const role_names[] = {"parameter", "gradient", "lr", "step"};
typedef enum Role { ROLE_PARAMETER, ROLE_GRADIENT, ROLE_LR, ROLE_STEP, ROLE_SLOT } Role; /* ROLE_SLOT + i: slot i */

/* One allocation: the strings that it points to stand in text[]. */
typedef struct OptimizerFile {
    dlvk_optimizer optimizer; /* whose name is the path */
    int n;
    const char *name[MOST_INPUTS];
    int role[MOST_INPUTS];
    dlvk_dtype type[MOST_INPUTS];
    char text[];
} OptimizerFile;

static dlvk_value update(dlvk_graph *g, dlvk_update *u)
{
    const OptimizerFile *f = u->user;
    dlvk_value in[MOST_INPUTS], out[1 + MOST_SLOTS];
    for (int i = 0; i < f->n; i++) {
        switch (f->role[i]) {
        case ROLE_PARAMETER: in[i] = u->parameter; break;
        case ROLE_GRADIENT: in[i] = u->gradient; break;
        case ROLE_LR: in[i] = dlvk_cast(g, u->lr, f->type[i]); break;
        case ROLE_STEP: in[i] = dlvk_cast(g, u->step, f->type[i]); break;
        default: in[i] = u->slot[f->role[i] - ROLE_SLOT]; break;
        }
    }
    dlvk_onnx(g, f->optimizer.name, f->n, f->name, in, 1 + f->optimizer.n_slot, out);
    for (int i = 0; i < f->optimizer.n_slot; i++) u->slot[i] = out[1 + i];
    return out[0];
}

static bool refuse(Context *c, const char *path, const char *what, const char *why)
{
    diag_error(&c->diag, DLVK_INVALID_ARGUMENT, "optimizer '%s': %s%s%s", path, what ? what : "", what ? ": " : "", why);
    return false;
}

/* What the slot of an input starts with: its initializer's one number, or 0. */
static bool read_start(Context *c, const char *path, OnnxModel *m, const char *input, double *start)
{
    const Onnx__GraphProto *g = m->proto->graph;
    const char *why = NULL;
    *start = 0;
    for (size_t i = 0; i < g->n_initializer; i++) {
        if (!g->initializer[i]->name || strcmp(g->initializer[i]->name, input) != 0) continue;
        const Tensor *t = onnx_tensor_read(c->pool, m, g->initializer[i], &why);
        if (!t || t->count != 1 || !dtype_is_float(t->dtype))
            return refuse(c, path, input, why ? why : "what a state starts with is one number, of floats");
        *start = elem_get_f(t->dtype, t->data, 0);
    }
    return true;
}

static bool read_input(Context *c, const char *path, OnnxModel *m, const Onnx__ValueInfoProto *v, OptimizerFile *f)
{
    dlvk_optimizer *o = &f->optimizer;
    const char *name = v->name ? v->name : "";
    const Onnx__TypeProto *t = v->type;
    int role = 0, i = f->n;
    for (int k = 0; k < f->n; k++)
        if (!strcmp(f->name[k], name)) return refuse(c, path, name, "two inputs have this name");
    while (role < ROLE_SLOT && strcmp(name, role_names[role]) != 0) role++;
    if (role == ROLE_SLOT && o->n_slot == MOST_SLOTS) return refuse(c, path, name, "an optimizer keeps at most 4 states");
    if (role == ROLE_SLOT && (!strcmp(name, "sum") || !strcmp(name, "ema") || strchr(name, ':')))
        return refuse(c, path, name, "a state may not be called so: 'sum', 'ema' and names with a colon are others'");
    if (!t || t->value_case != ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE || !dtype_from_onnx(t->tensor_type->elem_type, &f->type[i]))
        return refuse(c, path, name, "this input is not a tensor");
    f->name[i] = name;
    f->role[i] = role;
    f->n++;
    if (role != ROLE_SLOT) return true;
    f->role[i] += o->n_slot;
    o->slot[o->n_slot].name = name;
    return read_start(c, path, m, name, &o->slot[o->n_slot++].value);
}

static bool read_signature(Context *c, const char *path, OnnxModel *m, OptimizerFile *f)
{
    const Onnx__GraphProto *g = m->proto->graph;
    bool has[ROLE_SLOT + MOST_SLOTS] = {0};
    for (size_t i = 0; i < g->n_input; i++)
        if (!read_input(c, path, m, g->input[i], f)) return false;
    for (int i = 0; i < f->n; i++) has[f->role[i]] = true;
    for (int i = ROLE_PARAMETER; i <= ROLE_GRADIENT; i++)
        if (!has[i]) return refuse(c, path, role_names[i], "there is no input of this name");
    if (g->n_output != (size_t)(1 + f->optimizer.n_slot))
        return refuse(c, path, NULL, "its outputs are the next parameter, and the next value of each state in the inputs' order");
    return true;
}

static const char *put(char **to, const char *s)
{
    const char *at = *to;
    size_t n = strlen(s) + 1;
    memcpy(*to, s, n);
    *to += n;
    return at;
}

/* The same in memory of its own; NULL: there is none left. */
static OptimizerFile *pack(const OptimizerFile *f, const char *path)
{
    size_t bytes = strlen(path) + 1;
    for (int i = 0; i < f->n; i++) bytes += strlen(f->name[i]) + 1;
    OptimizerFile *r = malloc(sizeof *r + bytes);
    if (!r) return NULL;
    memcpy(r, f, sizeof *r);
    char *to = r->text;
    r->optimizer.name = put(&to, path);
    for (int i = 0; i < f->n; i++) {
        r->name[i] = put(&to, f->name[i]);
        if (f->role[i] >= ROLE_SLOT) r->optimizer.slot[f->role[i] - ROLE_SLOT].name = r->name[i];
    }
    r->optimizer.user = r;
    return r;
}

dlvk_status dlvk_optimizer_load(const char *onnx, dlvk_optimizer **optimizer, dlvk_error *err)
{
    jmp_buf oom;
    Pool pool = {.oom = &oom};
    if (optimizer) *optimizer = NULL;
    if (!onnx || !optimizer) {
        if (err) snprintf(err->text, sizeof err->text, "dlvk_optimizer_load: a NULL argument");
        return DLVK_INVALID_ARGUMENT;
    }
    dlvk_status st = DLVK_OUT_OF_MEMORY;
    OnnxModel *volatile keep = NULL;
    if (setjmp(oom) == 0) {
        Context *c = context_new(&pool);
        OnnxModel *m = NULL;
        OptimizerFile f = {.optimizer.update = update}, *made = NULL;
        bool ok = onnx_model_read(c, onnx, &m);
        keep = m;
        if (ok && read_signature(c, onnx, m, &f)) made = pack(&f, onnx);
        if (made) *optimizer = &made->optimizer;
        if (made) st = DLVK_OK;
        if (c->diag.errors) st = compile_report(&c->diag, err);
    }
    if (st == DLVK_OUT_OF_MEMORY && err) snprintf(err->text, sizeof err->text, "out of memory");
    onnx_model_free(keep);
    pool_free(&pool);
    return st;
}
