/* dlvkc train --check: can the model be trained, what of it, and what memory does it take? See train.h. */
#include "tools/train.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <yyjson.h>

typedef struct Check {
    const TrainOptions *o;
    StrList blocking;  /* lines, in `why` */
    yyjson_doc *whole; /* the gradient's bundle described: it has an output for every float initializer */
    LoadedModel m;
    uint64_t trained, kept; /* bytes of parameters, and of what the optimizer keeps beside them */
    dlvk_memory memory;
    dlvk_error why;
} Check;

/* One reason a line. */
static void take_reasons(Check *c)
{
    for (char *at = c->why.text, *end; *at; at = end) {
        end = at + strcspn(at, "\n");
        if (*end) *end++ = 0;
        list_add(&c->blocking, at);
    }
}

static bool compile(Check *c)
{
    dlvk_compile_options co = DLVK_COMPILE_OPTIONS_INIT;
    void *bundle = NULL;
    size_t size;
    char *json = NULL;
    co.progress = progress_show;
    dlvk_status s = precision_set(&c->o->precision, &co, &c->why);
    if (!s) s = dlvk_compile_gradient_to_memory(c->o->model, &bundle, &size, &c->o->training.loss, &co, &c->why);
    if (!s) s = dlvk_bundle_describe_memory(bundle, size, &json, &c->why);
    dlvk_free(bundle);
    if (!s) c->whole = yyjson_read(json, strlen(json), 0);
    free(json);
    if (!s) s = dlvk_compile_training_to_memory(c->o->model, &c->m.bundle, &c->m.bundle_size, &c->o->training, &co, &c->why);
    progress_end();
    if (!s) return true;
    take_reasons(c);
    return false;
}

/* What a state stands beside: NAME:SLOT; of the optimizer as a whole: :NAME. */
static uint64_t state_bytes(const dlvk_model *m, bool parameters)
{
    dlvk_tensor_info info;
    uint64_t bytes = 0;
    for (int i = 0; i < dlvk_model_states(m); i++) {
        if (dlvk_model_state(m, i, &info) || train_is_parameter(m, info.name) != parameters) continue;
        size_t count = 1;
        for (int a = 0; a < info.rank; a++) count *= (size_t)info.dim[a];
        bytes += dlvk_dtype_size(info.dtype, count);
    }
    return bytes;
}

static bool load(Check *c)
{
    dlvk_load_options lo = DLVK_LOAD_OPTIONS_INIT;
    dlvk_error err;
    lo.cache = "";
    if (dlvk_device_open(c->o->device, &c->m.device, &err) ||
        dlvk_model_load_memory(c->m.device, c->m.bundle, c->m.bundle_size, &lo, &c->m.model, &err)) {
        error_say("%s", err.text);
        return false;
    }
    c->trained = state_bytes(c->m.model, true);
    c->kept = state_bytes(c->m.model, false);
    const dlvk_training_options *t = &c->o->training;
    if (dlvk_bundle_memory(c->m.bundle, c->m.bundle_size, NULL, t->sizes, t->n_sizes, &c->memory, &err)) {
        error_say("%s; --dim gives one", err.text);
        return false;
    }
    return true;
}

/* The float initializers that are no parameter of the training, one after the other; NULL at the end. */
static const char *next_frozen(const Check *c, yyjson_arr_iter *it)
{
    static const char prefix[] = "gradient.";
    for (yyjson_val *v; (v = yyjson_arr_iter_next(it));) {
        const char *name = yyjson_get_str(yyjson_obj_get(v, "name"));
        if (name && !strncmp(name, prefix, strlen(prefix)) && !train_has_state(c->m.model, name + strlen(prefix)))
            return name + strlen(prefix);
    }
    return NULL;
}

static void report_text(const Check *c)
{
    char b[2][32];
    if (c->blocking.n) {
        printf("it cannot be trained:\n");
        for (int i = 0; i < c->blocking.n; i++) printf("  %s\n", c->blocking.at[i]);
        return;
    }
    printf("it can be trained\n");
    printf("parameters   %s\n", size_text((double)c->trained, b[0]));
    printf("optimizer    %s beside them\n", size_text((double)c->kept, b[0]));
    printf("activations  %s\n", size_text((double)c->memory.planned_arena, b[0]));
    printf("peak         %s (with parameters, optimizer, inputs and outputs)\n", size_text((double)c->memory.planned, b[0]));
    if (c->memory.limit)
        printf("limit        %s; without it the peak is %s\n", size_text((double)c->memory.limit, b[0]),
               size_text((double)c->memory.unlimited, b[1]));
    yyjson_arr_iter it;
    yyjson_arr_iter_init(yyjson_obj_get(yyjson_doc_get_root(c->whole), "outputs"), &it);
    for (const char *name; (name = next_frozen(c, &it));) printf("frozen       %s\n", name);
}

static bool report_json(const Check *c)
{
    yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
    yyjson_mut_val *root = yyjson_mut_obj(doc), *blocking = yyjson_mut_arr(doc), *frozen = yyjson_mut_arr(doc);
    yyjson_mut_doc_set_root(doc, root);
    yyjson_mut_obj_add_bool(doc, root, "trainable", c->blocking.n == 0);
    yyjson_mut_obj_add_val(doc, root, "blocking", blocking);
    for (int i = 0; i < c->blocking.n; i++) yyjson_mut_arr_add_str(doc, blocking, c->blocking.at[i]);
    if (!c->blocking.n) {
        yyjson_arr_iter it;
        yyjson_mut_obj_add_val(doc, root, "frozen", frozen);
        yyjson_arr_iter_init(yyjson_obj_get(yyjson_doc_get_root(c->whole), "outputs"), &it);
        for (const char *name; (name = next_frozen(c, &it));) yyjson_mut_arr_add_str(doc, frozen, name);
        yyjson_mut_obj_add_uint(doc, root, "parameter_bytes", c->trained);
        yyjson_mut_obj_add_uint(doc, root, "optimizer_bytes", c->kept);
        yyjson_mut_obj_add_uint(doc, root, "activation_bytes", c->memory.planned_arena);
        yyjson_mut_obj_add_uint(doc, root, "peak_bytes", c->memory.planned);
        if (c->memory.limit) {
            yyjson_mut_obj_add_uint(doc, root, "limit_bytes", c->memory.limit);
            yyjson_mut_obj_add_uint(doc, root, "unlimited_peak_bytes", c->memory.unlimited);
        }
    }
    char *text = json_text(doc);
    if (text) puts(text);
    free(text);
    return text != NULL;
}

bool train_check(const TrainOptions *o)
{
    Check c = {.o = o};
    bool trains = compile(&c), ok = !trains || load(&c);
    if (ok && o->json)
        ok = report_json(&c);
    else if (ok)
        report_text(&c);
    yyjson_doc_free(c.whole);
    list_free(&c.blocking);
    dlvk_model_free(c.m.model);
    dlvk_free(c.m.bundle);
    dlvk_device_close(c.m.device);
    return ok && trains;
}
