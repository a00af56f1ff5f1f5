/* Tunings: which variant of each kernel runs on a kind of device at given sizes, instead of the default.
 *
 * The file: "DLVKTN1\n", u32 CRC-32C of what follows, u32 zero, a serialised dlvk.plan.Tunings. */
#include "runtime/tuning.h"
#include "runtime/crc32c.h"
#include "runtime/error.h"
#include "runtime/file.h"
#include "runtime/session.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef Dlvk__Plan__Tuning Tuning;
#define IS_DISPATCH(s) ((s)->kind_case == DLVK__PLAN__STEP__KIND_DISPATCH)

/* Two bundles have the same fingerprint if their kernels are the same, in the same order and variants. */
static uint32_t fingerprint(const dlvk_model *m)
{
    uint32_t crc = rt_crc32c(0, &m->n_step, sizeof m->n_step);
    for (uint32_t s = 0; s < m->n_step; s++) {
        const Dlvk__Plan__Dispatch *d = IS_DISPATCH(m->step[s]) ? m->step[s]->dispatch : NULL;
        for (size_t v = 0; d && v < d->n_variant; v++) {
            const Dlvk__Plan__Pipeline *p = m->plan->pipeline[d->variant[v]->pipeline];
            const uint32_t head[] = {(uint32_t)v, m->plan->blob[m->plan->module[p->module]->blob]->crc};
            crc = rt_crc32c(crc, head, sizeof head);
            if (p->n_spec) crc = rt_crc32c(crc, p->spec, p->n_spec * sizeof *p->spec);
        }
    }
    return crc;
}

/* ---- the file ----------------------------------------------------------------------------------------------------- */

enum { HEADER = 16 };

dlvk_status rt_tunings_read(const void *data, size_t size, Dlvk__Plan__Tunings **t, dlvk_error *err)
{
    const uint8_t *p = data;
    uint32_t head[2];
    *t = NULL;
    if (size < HEADER || memcmp(p, "DLVKTN1\n", 8) != 0) return rt_error(err, DLVK_BAD_FILE, "not a tuning file");
    memcpy(head, p + 8, sizeof head);
    if (head[0] == rt_crc32c(0, p + HEADER, size - HEADER) && !head[1])
        *t = dlvk__plan__tunings__unpack(NULL, size - HEADER, p + HEADER);
    return *t ? DLVK_OK : rt_error(err, DLVK_BAD_FILE, "a damaged tuning file");
}

static dlvk_status write_tunings(const Dlvk__Plan__Tunings *t, void **data, size_t *size, dlvk_error *err)
{
    *size = HEADER + dlvk__plan__tunings__get_packed_size(t);
    uint8_t *p = *data = calloc(1, *size);
    if (!p) return rt_error(err, DLVK_OUT_OF_MEMORY, "out of memory");
    dlvk__plan__tunings__pack(t, p + HEADER);
    memcpy(p, "DLVKTN1\n", 8);
    const uint32_t crc = rt_crc32c(0, p + HEADER, *size - HEADER);
    memcpy(p + 8, &crc, sizeof crc);
    return DLVK_OK;
}

/* ---- loading ------------------------------------------------------------------------------------------------------ */

static size_t free_symbols(const Dlvk__Plan__Plan *p)
{
    size_t n = 0;
    for (size_t i = 0; i < p->n_symbol; i++) n += !p->symbol[i]->data;
    return n;
}

static bool fits(const dlvk_model *m, const Tuning *t, uint32_t print)
{
    if (t->plan != print || t->n_size != free_symbols(m->plan) || t->n_variant > m->n_step) return false;
    for (uint32_t s = 0; s < t->n_variant; s++)
        if (t->variant[s] && (!IS_DISPATCH(m->step[s]) || t->variant[s] > m->step[s]->dispatch->n_variant)) return false;
    return true;
}

/* The same kind of device; and it still runs what was chosen (features may have been switched off since). */
static bool is_for(const dlvk_model *m, const Tuning *t)
{
    if (t->vendor != m->dev->info.vendor_id || t->device != m->dev->info.device_id) return false;
    for (uint32_t s = 0; s < t->n_variant; s++)
        if (t->variant[s] && !model_runs(m, m->step[s]->dispatch->variant[t->variant[s] - 1])) return false;
    return true;
}

static dlvk_status read_file(dlvk_model *m, const char *path, dlvk_error *err)
{
    void *data = NULL;
    size_t size;
    dlvk_error why;
    dlvk_status st = rt_file_read(path, &data, &size, err);
    if (st) return st;
    st = rt_tunings_read(data, size, &m->tuning_file, &why);
    free(data);
    return st ? rt_error(err, st, "%s: %s", path, why.text) : DLVK_OK;
}

dlvk_status model_tuning(dlvk_model *m, const dlvk_load_options *o, dlvk_error *err)
{
    if (o->tuning && !*o->tuning) return DLVK_OK;
    dlvk_status st = o->tuning ? read_file(m, o->tuning, err) : DLVK_OK;
    if (st) return st;
    size_t n = m->tuning_file ? m->tuning_file->n_tuning : m->plan->n_tuning;
    Tuning **list = m->tuning_file ? m->tuning_file->tuning : m->plan->tuning;
    if (!n) return DLVK_OK;
    m->tuning = calloc(n, sizeof *m->tuning);
    if (!m->tuning) return rt_error(err, DLVK_OUT_OF_MEMORY, "out of memory");
    const uint32_t print = fingerprint(m);
    for (size_t i = 0; i < n; i++) {
        if (!fits(m, list[i], print))
            return o->tuning ? rt_error(err, DLVK_INVALID_ARGUMENT,
                                        "%s is the tuning of another model, or of another compilation of it", o->tuning)
                             : rt_error(err, DLVK_BAD_FILE, "corrupt plan: tuning %zu is of other kernels", i);
        if (is_for(m, list[i])) m->tuning[m->n_tuning++] = list[i];
    }
    if (o->tuning && !m->n_tuning)
        return rt_error(err, DLVK_INVALID_ARGUMENT, "%s was made on '%s', and says nothing about '%s'", o->tuning,
                        list[0]->device_name, m->dev->info.name);
    return DLVK_OK;
}

void model_tuning_free(dlvk_model *m)
{
    if (m->tuning_file) dlvk__plan__tunings__free_unpacked(m->tuning_file, NULL);
    free(m->tuning);
}

/* ---- sessions ----------------------------------------------------------------------------------------------------- */

static bool same_sizes(const dlvk_session *s, const Tuning *t)
{
    const Dlvk__Plan__Plan *p = s->m->plan;
    for (size_t i = 0, k = 0; i < p->n_symbol; i++)
        if (!p->symbol[i]->data && (!s->env.known[i] || s->env.symbol[i] != t->size[k++])) return false;
    return true;
}

void session_tune(dlvk_session *s)
{
    if (s->chosen) return;
    const Tuning *t = NULL;
    for (uint32_t i = 0; i < s->m->n_tuning && !t; i++)
        if (same_sizes(s, s->m->tuning[i])) t = s->m->tuning[i];
    for (uint32_t i = 0; i < s->m->n_step; i++) s->choice[i] = t && i < t->n_variant ? t->variant[i] : 0;
}

int dlvk_model_kernels(const dlvk_model *m)
{
    int n = 0;
    for (uint32_t i = 0; m && i < m->n_step; i++) n += IS_DISPATCH(m->step[i]);
    return n;
}

static bool find_step(const dlvk_model *m, int kernel, uint32_t *step)
{
    for (*step = 0; m && kernel >= 0 && *step < m->n_step; ++*step)
        if (IS_DISPATCH(m->step[*step]) && kernel-- == 0) return true;
    return false;
}

int dlvk_model_kernel_variants(const dlvk_model *m, int kernel)
{
    uint32_t step;
    return find_step(m, kernel, &step) ? (int)m->step[step]->dispatch->n_variant : 0;
}

bool dlvk_model_kernel_variant(const dlvk_model *m, int kernel, int variant, uint32_t *features)
{
    uint32_t step;
    if (!find_step(m, kernel, &step) || variant < 0 || (size_t)variant >= m->step[step]->dispatch->n_variant) return false;
    const Dlvk__Plan__Variant *v = m->step[step]->dispatch->variant[variant];
    if (features) *features = m->plan->module[m->plan->pipeline[v->pipeline]->module]->features;
    return model_runs(m, v) && model_built((dlvk_model *)(uintptr_t)m, v); /* its lock is not part of what is const */
}

int dlvk_model_kernel_covers(const dlvk_model *m, int kernel, int variant)
{
    uint32_t step;
    if (!find_step(m, kernel, &step) || variant < 0 || (size_t)variant >= m->step[step]->dispatch->n_variant) return 0;
    return (int)m->step[step]->dispatch->variant[variant]->n_covers;
}

int dlvk_session_variant(dlvk_session *s, int kernel)
{
    uint32_t step;
    if (!s || !s->bound || !find_step(s->m, kernel, &step)) return -1;
    const Dlvk__Plan__Dispatch *d = s->m->step[step]->dispatch;
    const Dlvk__Plan__Variant *v;
    if (session_variant(s, step, &v, NULL)) return -1;
    int i = 0;
    while (d->variant[i] != v) i++;
    return i;
}

dlvk_status dlvk_session_choose(dlvk_session *s, int kernel, int variant, dlvk_error *err)
{
    uint32_t step;
    if (!s || !find_step(s->m, kernel, &step) || variant < -1 || variant >= dlvk_model_kernel_variants(s->m, kernel))
        return rt_error(err, DLVK_INVALID_ARGUMENT, "dlvk_session_choose: there is no variant %d of kernel %d", variant, kernel);
    if (variant >= 0 && !dlvk_model_kernel_variant(s->m, kernel, variant, NULL))
        return rt_error(err, DLVK_UNSUPPORTED, "dlvk_session_choose: variant %d of kernel %d is not built", variant, kernel);
    s->chosen = true;
    if (s->choice[step] == (uint32_t)(variant + 1)) return DLVK_OK;
    dlvk_status st = session_drain(s, err);
    s->choice[step] = (uint32_t)(variant + 1);
    s->generation++;
    return st;
}

dlvk_status dlvk_session_tuning(dlvk_session *s, void **data, size_t *size, dlvk_error *err)
{
    if (!s || !data || !size || !s->bound)
        return rt_error(err, DLVK_INVALID_ARGUMENT, "dlvk_session_tuning: a NULL argument, or a session without sizes");
    const dlvk_model *m = s->m;
    int64_t *sizes = calloc(m->plan->n_symbol + 1, sizeof *sizes);
    if (!sizes) return rt_error(err, DLVK_OUT_OF_MEMORY, "out of memory");
    Tuning t = DLVK__PLAN__TUNING__INIT;
    t.plan = fingerprint(m);
    t.vendor = m->dev->info.vendor_id;
    t.device = m->dev->info.device_id;
    t.device_name = (char *)(uintptr_t)m->dev->info.name;
    t.size = sizes;
    for (size_t i = 0; i < m->plan->n_symbol; i++)
        if (!m->plan->symbol[i]->data) sizes[t.n_size++] = s->env.symbol[i];
    t.variant = s->choice;
    t.n_variant = m->n_step;
    Tuning *list[] = {&t};
    Dlvk__Plan__Tunings file = DLVK__PLAN__TUNINGS__INIT;
    file.tuning = list;
    file.n_tuning = 1;
    dlvk_status st = write_tunings(&file, data, size, err);
    free(sizes);
    return st;
}
