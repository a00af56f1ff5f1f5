/* The options about the loss, which several commands share. */
#include "tools/dlvkc.h"

#include <stdlib.h>
#include <string.h>

static bool name_set(const LossArgs *a, bool trains, dlvk_gradient_options *g)
{
    if (ends_with(a->name, ".onnx")) {
        g->loss_model = a->name;
        return true;
    }
    if (dlvk_loss_parse(a->name, &g->loss) && !(trains && g->loss == DLVK_LOSS_PROJECTION)) return true;
    char *names = text_format("%s", "");
    for (int i = 0; i < DLVK_LOSS_COUNT; i++) {
        if (trains && i == DLVK_LOSS_PROJECTION) continue;
        char *longer = text_format("%s%s, ", names, dlvk_loss_name((dlvk_loss)i));
        free(names);
        names = longer;
    }
    error_say("there is no loss '%s'; there are %sand ONNX files of yours: FILE.onnx", a->name, names);
    free(names);
    return false;
}

/* Numbers with commas between them. */
static bool weights_set(LossArgs *a, dlvk_gradient_options *g)
{
    int n = 1;
    for (const char *c = a->class_weights; *c; c++) n += *c == ',';
    a->weight = must_alloc((size_t)n, sizeof *a->weight);
    const char *at = a->class_weights;
    for (int i = 0; i < n; i++) {
        char *end;
        a->weight[i] = strtof(at, &end);
        if (end == at || (*end && *end != ',') || !(a->weight[i] >= 0)) {
            error_say("--class-weights takes a number for each class, with commas between them, not '%s'", a->class_weights);
            return false;
        }
        at = end + 1;
    }
    g->class_weight = a->weight;
    g->n_class_weight = n;
    return true;
}

bool loss_set(LossArgs *a, bool trains, dlvk_gradient_options *g)
{
    if (!name_set(a, trains, g)) return false;
    bool classes = !g->loss_model && (g->loss == DLVK_LOSS_CROSS_ENTROPY || g->loss == DLVK_LOSS_NLL);
    bool smooths = !g->loss_model && g->loss == DLVK_LOSS_CROSS_ENTROPY, bends = !g->loss_model && g->loss == DLVK_LOSS_HUBER;
    const char *stray = !classes && a->ignore          ? "ignore"
                        : !classes && a->class_weights ? "class-weights"
                        : !smooths && a->smoothing     ? "label-smoothing"
                        : !bends && a->delta           ? "delta"
                                                       : NULL;
    if (stray) {
        error_say("--%s does not go with the loss %s", stray, a->name);
        return false;
    }
    g->target_type = classes ? DLVK_I64 : DLVK_F32;
    g->label_smoothing = a->smoothing;
    if (a->smoothing < 0 || a->smoothing > 1 || a->delta < 0) {
        error_say(a->delta < 0 ? "--delta is above 0" : "--label-smoothing is from 0 to 1");
        return false;
    }
    if (a->delta > 0) g->huber_delta = a->delta;
    if (a->ignore) {
        char *end;
        g->has_ignore = true;
        g->ignore = strtoll(a->ignore, &end, 10);
        if (end == a->ignore || *end) {
            error_say("--ignore takes a whole number, not '%s'", a->ignore);
            return false;
        }
    }
    return !a->class_weights || weights_set(a, g);
}

void loss_free(LossArgs *a)
{
    free(a->weight);
    a->weight = NULL;
}
