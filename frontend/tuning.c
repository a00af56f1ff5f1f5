/* Tunings into bundles; see dlvk/compiler.h. */
#include "runtime/tuning.h"
#include "codegen/bundle_write.h"
#include "dlvk/compiler.h"
#include "runtime/bundle.h"
#include "runtime/error.h"
#include <stdlib.h>
#include <string.h>

typedef Dlvk__Plan__Tuning Tuning;

static bool replaces(const Tuning *a, const Tuning *b)
{
    return a->vendor == b->vendor && a->device == b->device && a->n_size == b->n_size &&
           (!a->n_size || memcmp(a->size, b->size, a->n_size * sizeof *a->size) == 0);
}

static dlvk_status write_again(const Bundle *b, const Dlvk__Plan__Tunings *t, const char *out, dlvk_error *err)
{
    const Dlvk__Plan__Plan *p = b->plan;
    Tuning **list = calloc(p->n_tuning + t->n_tuning + 1, sizeof(Tuning *));
    BlobData *blob = calloc(p->n_blob + 1, sizeof *blob);
    if (!list || !blob) {
        free(list);
        free(blob);
        return rt_error(err, DLVK_OUT_OF_MEMORY, "out of memory");
    }
    Dlvk__Plan__Plan plan = *p;
    plan.tuning = list;
    plan.n_tuning = 0;
    for (size_t i = 0; i < p->n_tuning; i++) {
        bool stays = true;
        for (size_t k = 0; k < t->n_tuning; k++) stays &= !replaces(t->tuning[k], p->tuning[i]);
        if (stays) list[plan.n_tuning++] = p->tuning[i];
    }
    for (size_t k = 0; k < t->n_tuning; k++) list[plan.n_tuning++] = t->tuning[k];
    for (size_t i = 0; i < p->n_blob; i++)
        blob[i] = (BlobData){rt_bundle_blob(b, p->blob[i]), p->blob[i]->length, p->blob[i]->bytes};
    plan.blob = NULL;
    plan.n_blob = 0;
    for (size_t i = 0; i < p->n_program; i++) { /* theirs are the first one's, while the bundle is open */
        p->program[i]->blob = NULL;
        p->program[i]->n_blob = 0;
    }
    dlvk_status st = bundle_write_file(&plan, blob, p->n_blob, out, err);
    free(list);
    free(blob);
    return st;
}

dlvk_status dlvk_bundle_tune(const char *bundle, const void *tuning, size_t size, const char *out, dlvk_error *err)
{
    if (!bundle || !tuning || !out) return rt_error(err, DLVK_INVALID_ARGUMENT, "dlvk_bundle_tune: a NULL argument");
    Dlvk__Plan__Tunings *t;
    Bundle b = {0};
    dlvk_status st = rt_tunings_read(tuning, size, &t, err);
    if (!st) st = rt_bundle_open(bundle, 0, &b, err);
    if (!st) st = write_again(&b, t, out, err);
    rt_bundle_close(&b);
    if (t) dlvk__plan__tunings__free_unpacked(t, NULL);
    return st;
}
