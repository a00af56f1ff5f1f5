/* A bundle in words: its plan as JSON, and its parts as files. */
#include "dlvk/runtime.h"
#include "runtime/arena.h"
#include "runtime/bundle.h"
#include "runtime/error.h"
#include "runtime/expr.h"
#include "runtime/file.h"
#include "runtime/footprint.h"
#include "runtime/json.h"
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

typedef Dlvk__Plan__Plan Plan;

/* ---- pieces --------------------------------------------------------------------------------------------------------- */

static void put_expr(Json *j, const char *key, const Plan *p, uint32_t x)
{
    char text[512];
    if (p->expr[x]->op == DLVK__PLAN__EXPR__OP__CONST)
        json_int(j, key, p->expr[x]->value);
    else
        json_string(j, key, rt_expr_print(p, x, text, sizeof text));
}

static void put_exprs(Json *j, const char *key, const Plan *p, size_t n, const uint32_t *list)
{
    json_open(j, key, '[');
    for (size_t i = 0; i < n; i++) put_expr(j, NULL, p, list[i]);
    json_close(j, ']');
}

static void put_ints(Json *j, const char *key, size_t n, const uint32_t *list)
{
    json_open(j, key, '[');
    for (size_t i = 0; i < n; i++) json_int(j, NULL, list[i]);
    json_close(j, ']');
}

static void put_nodes(Json *j, const Plan *p, size_t n, const uint32_t *source)
{
    json_open(j, "nodes", '[');
    for (size_t i = 0; i < n; i++) json_string(j, NULL, p->source[source[i]]->name);
    json_close(j, ']');
}

static void put_features(Json *j, uint32_t bits)
{
    json_open(j, "features", '[');
    for (uint32_t b = 1; b; b <<= 1)
        if ((bits & b) && dlvk_feature_name(b)) json_string(j, NULL, dlvk_feature_name(b));
    json_close(j, ']');
}

/* One object on one line. */
static void open_line(Json *j)
{
    json_open(j, NULL, '{');
    j->flat = true;
}
static void close_line(Json *j)
{
    json_close(j, '}');
    j->flat = false;
}

static void put_tensor(Json *j, const Plan *p, const char *name, uint32_t dtype, size_t rank, const uint32_t *dim,
                       uint32_t buffer, char **dim_name, size_t n_name)
{
    open_line(j);
    json_string(j, "name", name);
    json_string(j, "type", dlvk_dtype_name((dlvk_dtype)dtype));
    put_exprs(j, "shape", p, rank, dim);
    json_int(j, "buffer", buffer);
    if (n_name) {
        json_open(j, "dim_names", '[');
        for (size_t i = 0; i < n_name; i++) json_string(j, NULL, dim_name[i]);
        json_close(j, ']');
    }
    close_line(j);
}

static void put_signature(Json *j, const Plan *p)
{
    for (int out = 0; out < 2; out++) {
        json_open(j, out ? "outputs" : "inputs", '[');
        for (size_t i = 0; i < (out ? p->n_output : p->n_input); i++) {
            const Dlvk__Plan__Tensor *t = out ? p->output[i] : p->input[i];
            put_tensor(j, p, t->name, t->dtype, t->n_dim, t->dim, t->buffer, t->dim_name, t->n_dim_name);
        }
        json_close(j, ']');
    }
    for (int out = 0; out < 2; out++) {
        static const char *const kinds[] = {"tensor", "sequence", "none"};
        size_t n = out ? p->n_formal_output : p->n_formal_input;
        if (!n) continue;
        json_open(j, out ? "output_values" : "input_values", '[');
        for (size_t i = 0; i < n; i++) {
            const Dlvk__Plan__Formal *f = out ? p->formal_output[i] : p->formal_input[i];
            open_line(j);
            json_string(j, "name", f->name);
            json_string(j, "kind", kinds[f->kind]);
            json_int(j, "first", f->first);
            json_int(j, "count", f->count);
            close_line(j);
        }
        json_close(j, ']');
    }
    json_open(j, "states", '[');
    for (size_t i = 0; i < p->n_state; i++)
        put_tensor(j, p, p->state[i]->name, p->state[i]->dtype, p->state[i]->n_dim, p->state[i]->dim, p->state[i]->buffer, NULL,
                   0);
    json_close(j, ']');
    json_open(j, "symbols", '[');
    for (size_t i = 0; i < p->n_symbol; i++) {
        open_line(j);
        json_string(j, "name", p->symbol[i]->name);
        json_int(j, "lo", p->symbol[i]->lo);
        json_int(j, "hi", p->symbol[i]->hi);
        json_bool(j, "data", p->symbol[i]->data);
        close_line(j);
    }
    json_close(j, ']');
    json_open(j, "constraints", '[');
    for (size_t i = 0; i < p->n_constraint; i++) {
        open_line(j);
        put_expr(j, "left", p, p->constraint[i]->a);
        json_string(j, "relation", p->constraint[i]->kind == DLVK__PLAN__CONSTRAINT__KIND__EQ ? "==" : "<=");
        put_expr(j, "right", p, p->constraint[i]->b);
        json_string(j, "why", p->constraint[i]->why);
        close_line(j);
    }
    json_close(j, ']');
}

static void put_storage(Json *j, const Plan *p)
{
    static const char *const kinds[] = {"arena", "constant", "input", "output", "state", "counter", "prepared"};
    _Static_assert(sizeof kinds / sizeof *kinds == DLVK__PLAN__BUFFER__KIND__PREPARED + 1, "every kind has a name");
    json_open(j, "modules", '[');
    for (size_t i = 0; i < p->n_module; i++) {
        const Dlvk__Plan__Module *m = p->module[i];
        open_line(j);
        json_string(j, "name", m->name);
        json_int(j, "blob", m->blob);
        if (m->glsl) json_int(j, "glsl_blob", m->glsl - 1);
        json_int(j, "spirv_bytes", (int64_t)p->blob[m->blob]->length);
        json_int(j, "push_bytes", m->push_bytes);
        put_features(j, m->features);
        close_line(j);
    }
    json_close(j, ']');
    json_open(j, "buffers", '[');
    for (size_t i = 0; i < p->n_buffer; i++) {
        const Dlvk__Plan__Buffer *b = p->buffer[i];
        open_line(j);
        json_string(j, "kind", kinds[b->kind]);
        put_expr(j, "bytes", p, b->size);
        json_int(j, "first", b->first);
        json_int(j, "last", b->last);
        if (b->blob) json_int(j, "blob", b->blob - 1);
        if (b->name[0]) json_string(j, "name", b->name);
        close_line(j);
    }
    json_close(j, ']');
}

static void put_blobs(Json *j, const Plan *p)
{
    json_open(j, "blobs", '[');
    for (size_t i = 0; i < p->n_blob; i++) {
        open_line(j);
        json_int(j, "offset", (int64_t)p->blob[i]->offset);
        json_int(j, "stored", (int64_t)p->blob[i]->length);
        json_int(j, "bytes", (int64_t)p->blob[i]->bytes);
        json_int(j, "crc", p->blob[i]->crc);
        close_line(j);
    }
    json_close(j, ']');
}

/* ---- steps ---------------------------------------------------------------------------------------------------------- */

static void put_kernel(Json *j, const Plan *p, const Dlvk__Plan__Dispatch *d, uint32_t at)
{
    json_open(j, NULL, '{');
    json_int(j, "step", at);
    json_string(j, "name", d->name);
    j->flat = true;
    put_nodes(j, p, d->n_source, d->source);
    put_ints(j, "reads", d->n_reads, d->reads);
    put_ints(j, "writes", d->n_writes, d->writes);
    put_expr(j, "flops", p, d->flops);
    put_expr(j, "bytes", p, d->bytes);
    j->flat = false;
    json_open(j, "variants", '[');
    for (size_t i = 0; i < d->n_variant; i++) {
        const Dlvk__Plan__Variant *v = d->variant[i];
        const Dlvk__Plan__Pipeline *pipe = p->pipeline[v->pipeline];
        open_line(j);
        json_int(j, "pipeline", v->pipeline);
        json_int(j, "module", pipe->module);
        json_string(j, "module_name", p->module[pipe->module]->name);
        put_features(j, p->module[pipe->module]->features);
        put_ints(j, "spec", pipe->n_spec, pipe->spec);
        put_exprs(j, "grid", p, 3, v->grid);
        json_bool(j, "indirect", v->indirect);
        if (v->when) put_expr(j, "when", p, v->when - 1);
        if (v->n_literal) put_ints(j, "literals", v->n_literal, v->literal);
        if (v->n_covers) put_ints(j, "covers", v->n_covers, v->covers);
        close_line(j);
    }
    json_close(j, ']');
    json_close(j, '}');
}

static void put_kernels(Json *j, const Plan *p, const Dlvk__Plan__Region *r, uint32_t *at)
{
    for (size_t i = 0; r && i < r->n_step; i++) {
        const Dlvk__Plan__Step *s = r->step[i];
        uint32_t number = (*at)++;
        if (s->kind_case == DLVK__PLAN__STEP__KIND_DISPATCH) put_kernel(j, p, s->dispatch, number);
        if (s->kind_case == DLVK__PLAN__STEP__KIND_BRANCH) {
            put_kernels(j, p, s->branch->then, at);
            put_kernels(j, p, s->branch->otherwise, at);
        }
        if (s->kind_case == DLVK__PLAN__STEP__KIND_LOOP) put_kernels(j, p, s->loop->body, at);
    }
}

static void put_host_values(Json *j, const char *key, const Plan *p, size_t n, Dlvk__Plan__HostValue *const *v)
{
    json_open(j, key, '[');
    for (size_t i = 0; i < n; i++) {
        json_open(j, NULL, '{');
        json_int(j, "buffer", v[i]->buffer);
        json_string(j, "type", dlvk_dtype_name((dlvk_dtype)v[i]->dtype));
        put_exprs(j, "shape", p, v[i]->n_dim, v[i]->dim);
        json_close(j, '}');
    }
    json_close(j, ']');
}

static void put_program(Json *j, const char *key, const Plan *p, const Dlvk__Plan__Region *r, uint32_t *at);

static void put_step(Json *j, const Plan *p, const Dlvk__Plan__Step *s, uint32_t *at)
{
    bool nested = s->kind_case == DLVK__PLAN__STEP__KIND_BRANCH || s->kind_case == DLVK__PLAN__STEP__KIND_LOOP;
    json_open(j, NULL, '{');
    j->flat = !nested;
    json_int(j, "step", (*at)++);
    switch (s->kind_case) {
    case DLVK__PLAN__STEP__KIND_DISPATCH: json_string(j, "dispatch", s->dispatch->name); break;
    case DLVK__PLAN__STEP__KIND_COPY:
        json_int(j, "copy", s->copy->from);
        json_int(j, "to", s->copy->to);
        put_expr(j, "bytes", p, s->copy->bytes);
        put_expr(j, "from_offset", p, s->copy->from_offset);
        put_expr(j, "to_offset", p, s->copy->to_offset);
        break;
    case DLVK__PLAN__STEP__KIND_READ_DIMS:
        json_int(j, "read_dims", s->read_dims->buffer);
        json_open(j, "symbols", '[');
        for (size_t i = 0; i < s->read_dims->n_symbol; i++) json_string(j, NULL, p->symbol[s->read_dims->symbol[i]]->name);
        json_close(j, ']');
        put_nodes(j, p, s->read_dims->n_source, s->read_dims->source);
        break;
    case DLVK__PLAN__STEP__KIND_DEFINE:
        json_string(j, "define", p->symbol[s->define->symbol]->name);
        put_expr(j, "value", p, s->define->value);
        break;
    case DLVK__PLAN__STEP__KIND_BRANCH:
        json_int(j, "if", s->branch->condition);
        put_nodes(j, p, s->branch->n_source, s->branch->source);
        put_program(j, "then", p, s->branch->then, at);
        put_program(j, "else", p, s->branch->otherwise, at);
        break;
    case DLVK__PLAN__STEP__KIND_LOOP:
        json_string(j, "loop", s->loop->trip_count ? s->loop->condition ? "for and while" : "for" : "while");
        if (s->loop->trip_count) json_int(j, "trip_count", s->loop->trip_count - 1);
        if (s->loop->condition) json_int(j, "condition", s->loop->condition - 1);
        if (s->loop->iteration) json_int(j, "iteration", s->loop->iteration - 1);
        if (s->loop->count_symbol) json_string(j, "count_symbol", p->symbol[s->loop->count_symbol - 1]->name);
        if (s->loop->iteration_symbol) json_string(j, "iteration_symbol", p->symbol[s->loop->iteration_symbol - 1]->name);
        put_nodes(j, p, s->loop->n_source, s->loop->source);
        put_program(j, "body", p, s->loop->body, at);
        break;
    default:
        json_string(j, "host", s->host->op);
        if (s->host->text[0]) json_string(j, "text", s->host->text);
        put_host_values(j, "in", p, s->host->n_in, s->host->in);
        put_host_values(j, "out", p, s->host->n_out, s->host->out);
        put_nodes(j, p, s->host->n_source, s->host->source);
    }
    json_close(j, '}');
    j->flat = false;
}

static void put_program(Json *j, const char *key, const Plan *p, const Dlvk__Plan__Region *r, uint32_t *at)
{
    json_open(j, key, '[');
    for (size_t i = 0; r && i < r->n_step; i++) put_step(j, p, r->step[i], at);
    json_close(j, ']');
}

/* ---- the whole ------------------------------------------------------------------------------------------------------ */

/* Weights in memory, and the arena's peak where no size depends on an input's. */
static void put_memory(Json *j, const Plan *p)
{
    uint64_t weights = 0, peak = 0;
    bool fixed = true;
    ArenaItem *item = calloc(p->n_buffer + 1, sizeof *item);
    size_t n = 0;
    for (size_t i = 0; i < p->n_buffer; i++) {
        const Dlvk__Plan__Buffer *b = p->buffer[i];
        const Dlvk__Plan__Expr *size = p->expr[b->size];
        if (b->kind == DLVK__PLAN__BUFFER__KIND__CONSTANT) weights += (uint64_t)size->value;
        bool prepared = b->kind == DLVK__PLAN__BUFFER__KIND__PREPARED;
        if (b->kind != DLVK__PLAN__BUFFER__KIND__ARENA && !prepared) continue;
        fixed = fixed && size->op == DLVK__PLAN__EXPR__OP__CONST && size->value >= 0;
        if (item && prepared)
            item[n++] = (ArenaItem){.size = (uint64_t)size->value, .last = UINT32_MAX};
        else if (item)
            item[n++] = rt_arena_item(b, (uint64_t)size->value);
    }
    json_open(j, "memory", '{');
    json_int(j, "weights", (int64_t)weights);
    if (fixed && item && arena_pack(item, n, 0, &peak)) json_int(j, "arena", (int64_t)peak);
    json_close(j, '}');
    free(item);
}

static void put_plan(Json *j, const Plan *p)
{
    uint32_t at = 0;
    if (p->name[0]) json_string(j, "name", p->name);
    put_signature(j, p);
    put_memory(j, p);
    json_open(j, "kernels", '[');
    put_kernels(j, p, p->region, &at);
    json_close(j, ']');
    json_int(j, "prepared", p->prepared);
    at = 0;
    put_program(j, "program", p, p->region, &at);
    json_open(j, "tunings", '[');
    for (size_t i = 0; i < p->n_tuning; i++) {
        const Dlvk__Plan__Tuning *t = p->tuning[i];
        size_t changed = 0, k = 0;
        for (size_t s = 0; s < t->n_variant; s++) changed += t->variant[s] != 0;
        open_line(j);
        json_string(j, "device", t->device_name);
        json_int(j, "kernels", (int64_t)changed);
        json_open(j, "sizes", '{');
        for (size_t s = 0; s < p->n_symbol && k < t->n_size; s++)
            if (!p->symbol[s]->data) json_int(j, p->symbol[s]->name, t->size[k++]);
        json_close(j, '}');
        close_line(j);
    }
    json_close(j, ']');
    put_storage(j, p);
}

static dlvk_status describe(const Bundle *b, char **text, size_t *size, dlvk_error *err)
{
    const Plan *p = b->plan;
    Json j = {.f = open_memstream(text, size)};
    if (!j.f) return rt_error(err, DLVK_OUT_OF_MEMORY, "out of memory");
    json_open(&j, NULL, '{');
    json_int(&j, "format", DLVK_BUNDLE_VERSION);
    json_string(&j, "producer", p->producer);
    json_string(&j, "model", p->model);
    json_int(&j, "file_bytes", (int64_t)b->size);
    json_int(&j, "plan_bytes", (int64_t)b->plan_size);
    put_plan(&j, p);
    put_blobs(&j, p);
    if (p->n_program) {
        json_open(&j, "programs", '[');
        for (size_t i = 0; i < p->n_program; i++) {
            json_open(&j, NULL, '{');
            put_plan(&j, p->program[i]);
            json_close(&j, '}');
        }
        json_close(&j, ']');
    }
    json_close(&j, '}');
    fputc('\n', j.f);
    bool ok = !ferror(j.f);
    if (fclose(j.f) == 0 && ok) return DLVK_OK;
    free(*text);
    *text = NULL;
    return rt_error(err, DLVK_OUT_OF_MEMORY, "out of memory");
}

dlvk_status dlvk_bundle_describe(const char *path, char **json, dlvk_error *err)
{
    if (!path || !json) return rt_error(err, DLVK_INVALID_ARGUMENT, "dlvk_bundle_describe: a NULL argument");
    Bundle b;
    size_t size = 0;
    *json = NULL;
    dlvk_status st = rt_bundle_open(path, 0, &b, err);
    if (st) return st;
    st = describe(&b, json, &size, err);
    rt_bundle_close(&b);
    return st;
}

dlvk_status dlvk_bundle_describe_memory(const void *data, size_t size, char **json, dlvk_error *err)
{
    if (!data || !json) return rt_error(err, DLVK_INVALID_ARGUMENT, "dlvk_bundle_describe_memory: a NULL argument");
    Bundle b;
    size_t length = 0;
    *json = NULL;
    dlvk_status st = rt_bundle_open_memory(data, size, 0, &b, err);
    if (st) return st;
    st = describe(&b, json, &length, err);
    rt_bundle_close(&b);
    return st;
}

/* ---- unpacking ------------------------------------------------------------------------------------------------------ */

/* DIR/NAME-INDEX.SUFFIX, the name reduced to letters that any file system takes. */
static dlvk_status write_part(const char *dir, const char *name, size_t index, const char *suffix, const void *data,
                              uint64_t size, dlvk_error *err)
{
    char safe[128], path[4096];
    size_t n = 0;
    for (; name[n] && n < sizeof safe - 1; n++)
        safe[n] = isalnum((unsigned char)name[n]) || strchr("_-.", name[n]) ? name[n] : '_';
    safe[n] = 0;
    if (safe[0] == '.') safe[0] = '_';
    int len = index == SIZE_MAX ? snprintf(path, sizeof path, "%s/%s%s", dir, safe, suffix)
                                : snprintf(path, sizeof path, "%s/%s-%zu%s", dir, n ? safe : "unnamed", index, suffix);
    if (len < 0 || (size_t)len >= sizeof path) return rt_error(err, DLVK_INVALID_ARGUMENT, "%s: the name is too long", dir);
    return rt_file_write(path, &(FilePiece){0, data, size}, 1, size, err);
}

/* The parts of one program; they are numbered from the given numbers on, which move. */
static dlvk_status unpack_program(const Bundle *b, const Plan *p, const char *dir, size_t *module, size_t *buffer,
                                  dlvk_error *err)
{
    dlvk_status st = DLVK_OK;
    for (size_t i = 0; !st && i < p->n_module; i++, ++*module) {
        const Dlvk__Plan__Module *m = p->module[i];
        const Dlvk__Plan__Blob *spirv = p->blob[m->blob], *glsl = m->glsl ? p->blob[m->glsl - 1] : NULL;
        st = write_part(dir, m->name, *module, ".spv", rt_bundle_blob(b, spirv), spirv->length, err);
        if (!st && glsl) st = write_part(dir, m->name, *module, ".comp", rt_bundle_blob(b, glsl), glsl->length, err);
    }
    for (size_t i = 0; !st && i < p->n_buffer; i++, ++*buffer) {
        const Dlvk__Plan__Buffer *x = p->buffer[i];
        if (!x->blob) continue;
        const Dlvk__Plan__Blob *blob = p->blob[x->blob - 1];
        st = write_part(dir, x->name, *buffer, blob->bytes > blob->length ? ".splat.bin" : ".bin", rt_bundle_blob(b, blob),
                        blob->length, err);
    }
    return st;
}

static dlvk_status unpack(const Bundle *b, const char *dir, dlvk_error *err)
{
    char *json = NULL;
    size_t size = 0, module = 0, buffer = 0;
    dlvk_status st = describe(b, &json, &size, err);
    if (!st) st = write_part(dir, "plan", SIZE_MAX, ".json", json, size, err);
    free(json);
    if (!st) st = unpack_program(b, b->plan, dir, &module, &buffer, err);
    for (size_t i = 0; !st && i < b->plan->n_program; i++)
        st = unpack_program(b, b->plan->program[i], dir, &module, &buffer, err);
    return st;
}

dlvk_status dlvk_bundle_unpack(const char *path, const char *dir, dlvk_error *err)
{
    if (!path || !dir) return rt_error(err, DLVK_INVALID_ARGUMENT, "dlvk_bundle_unpack: a NULL argument");
    Bundle b;
    dlvk_status st = rt_bundle_open(path, 0, &b, err);
    if (st) return st;
    if (mkdir(dir, 0777) != 0 && errno != EEXIST) st = rt_error(err, DLVK_IO_ERROR, "%s: %s", dir, strerror(errno));
    if (!st) st = unpack(&b, dir, err);
    rt_bundle_close(&b);
    return st;
}
