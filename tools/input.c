/* The inputs of a model: read from files, or made (random, zeros, ones), with the sizes of symbolic dimensions taken from
 * the files and from --dim. */
#include "tools/dlvkc.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* A symbolic dimension whose size is known, and from where. */
typedef struct Symbol {
    const char *name, *from;
    int64_t size;
    bool used;
} Symbol;

typedef struct Symbols {
    Symbol *at;
    int n;
} Symbols;

static Symbol *symbol_find(const Symbols *s, const char *name)
{
    for (int i = 0; i < s->n; i++)
        if (!strcmp(s->at[i].name, name)) return &s->at[i];
    return NULL;
}

static void symbol_add(Symbols *s, const char *name, const char *from, int64_t size)
{
    Symbol *at = must_alloc((size_t)s->n + 1, sizeof *at);
    if (s->n) memcpy(at, s->at, (size_t)s->n * sizeof *at);
    free(s->at);
    s->at = at;
    s->at[s->n++] = (Symbol){.name = name, .from = from, .size = size};
}

/* --dim SYMBOL=N. The texts stay: names are copied into *store, which is freed with the symbols. */
static bool symbols_parse(Symbols *s, const StrList *dims)
{
    for (int i = 0; i < dims->n; i++) {
        const char *text = dims->at[i], *equals = strrchr(text, '=');
        char *end;
        errno = 0;
        long long v = equals && equals > text ? strtoll(equals + 1, &end, 10) : -1;
        if (!equals || equals == text || end == equals + 1 || *end || errno || v < 0) {
            error_say("--dim takes SYMBOL=N with N a whole number, not '%s'", text);
            return false;
        }
        char *name = text_format("%.*s", (int)(equals - text), text);
        if (symbol_find(s, name)) {
            error_say("--dim gives '%s' twice", name);
            free(name);
            return false;
        }
        symbol_add(s, name, "--dim", v);
    }
    return true;
}

static void symbols_free(Symbols *s)
{
    for (int i = 0; i < s->n; i++)
        if (!strcmp(s->at[i].from, "--dim")) free((char *)s->at[i].name);
    free(s->at);
}

/* A dimension's text is a symbol's name or an expression over several; --dim decides where it could be both. */
static bool is_name(const Symbols *symbols, const char *text)
{
    return text && *text && (symbol_find(symbols, text) || !strpbrk(text, " +*/%()"));
}

/* Checks a given tensor against the model's input, and learns symbols from its shape. */
static bool learn_shape(Symbols *symbols, const dlvk_tensor_info *info, const dlvk_host_tensor *t)
{
    char got[256], want[256];
    bool ok = t->dtype == info->dtype && t->rank == info->rank;
    for (int d = 0; ok && d < t->rank; d++) ok = info->dim[d] < 0 || info->dim[d] == t->dim[d];
    if (!ok) {
        error_say("input '%s' is %s, but the model takes %s", info->name,
                  type_text(t->dtype, t->rank, t->dim, NULL, got, sizeof got),
                  type_text(info->dtype, info->rank, info->dim, info->symbol, want, sizeof want));
        return false;
    }
    for (int d = 0; d < t->rank; d++) {
        if (info->dim[d] >= 0 || !is_name(symbols, info->symbol[d])) continue;
        Symbol *s = symbol_find(symbols, info->symbol[d]);
        if (!s) {
            symbol_add(symbols, info->symbol[d], info->name, t->dim[d]);
            s = &symbols->at[symbols->n - 1];
        }
        s->used = true;
        if (s->size != t->dim[d]) {
            error_say("dimension '%s' is %" PRId64 " by %s, but %" PRId64 " in input '%s' (its dimension %d)", s->name, s->size,
                      s->from, t->dim[d], info->name, d);
            return false;
        }
    }
    return true;
}

/* The shape of an input that has no file. */
static bool solve_shape(Symbols *symbols, const dlvk_tensor_info *info, dlvk_host_tensor *t)
{
    t->dtype = info->dtype;
    t->rank = info->rank;
    size_t count = 1;
    for (int d = 0; d < info->rank; d++) {
        t->dim[d] = info->dim[d];
        if (info->dim[d] < 0) {
            const char *name = info->symbol[d];
            if (!is_name(symbols, name)) {
                error_say("dimension %d of input '%s' is '%s', which has to be given by a file: --input %s=FILE.npy", d,
                          info->name, name ? name : "?", info->name);
                return false;
            }
            Symbol *s = symbol_find(symbols, name);
            if (!s) {
                note_say("dimension '%s' of input '%s' is not given: using 1 (--dim %s=N)", name, info->name, name);
                symbol_add(symbols, name, "default", 1);
                s = &symbols->at[symbols->n - 1];
            }
            s->used = true;
            t->dim[d] = s->size;
        }
        if (__builtin_mul_overflow(count, (size_t)t->dim[d], &count) || count > SIZE_MAX / 16) {
            error_say("input '%s' would have more elements than memory has bytes", info->name);
            return false;
        }
    }
    t->bytes = dlvk_dtype_size(t->dtype, count);
    t->data = calloc(t->bytes ? t->bytes : 1, 1);
    if (!t->data) error_say("input '%s': no memory for %zu bytes", info->name, t->bytes);
    return t->data != NULL;
}

static int64_t count_of(const dlvk_host_tensor *t)
{
    int64_t n = 1;
    for (int d = 0; d < t->rank; d++) n *= t->dim[d];
    return n;
}

static uint64_t splitmix64(uint64_t *state)
{
    uint64_t z = (*state += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

bool is_float(dlvk_dtype t)
{
    enum { INT, UINT, BOOL, STRING, FLOAT };
#define CLASS_OF(id, name, bits, cls, onnx) cls,
    static const int class_of[] = {DLVK_DTYPES(CLASS_OF)};
#undef CLASS_OF
    return class_of[t] == FLOAT;
}

/* Floats: uniform in [-1, 1). 8-bit integers: their whole range. Other integers, which mostly are indices and masks: 0 or 1. */
static void fill_random(dlvk_host_tensor *t, uint64_t seed)
{
    uint64_t state = seed;
    for (const char *p = t->name; p && *p; p++) state = state * 31 + (unsigned char)*p; /* inputs differ from each other */
    bool is_f = is_float(t->dtype);
    for (int64_t i = 0, n = count_of(t); i < n; i++) {
        uint64_t r = splitmix64(&state);
        double v = (double)(r >> 63);
        if (is_f) v = (double)(r >> 11) * 0x1p-52 - 1;
        if (t->dtype == DLVK_U8) v = (double)(r >> 56);
        if (t->dtype == DLVK_I8) v = (double)(r >> 56) - 128;
        dlvk_host_tensor_set(t, i, v);
    }
}

static bool input_fill(dlvk_host_tensor *t, const char *how, uint64_t seed)
{
    if (t->dtype == DLVK_STRING) { /* words to choose from; the empty string as allocated */
        static const dlvk_string words[] = {{"one", 3}, {"two", 3}, {"a longer string", 15}, {"\xc3\xa4", 2}};
        for (int64_t i = 0, n = strcmp(how, "zeros") ? count_of(t) : 0; i < n; i++)
            ((dlvk_string *)t->data)[i] = words[strcmp(how, "random") ? 0 : splitmix64(&seed) % 4];
        return true;
    }
    if (!strcmp(how, "random")) fill_random(t, seed);
    for (int64_t i = 0, n = strcmp(how, "ones") ? 0 : count_of(t); i < n; i++) dlvk_host_tensor_set(t, i, 1);
    return true; /* zeros: as allocated */
}

static bool is_made(const char *how)
{
    return !strcmp(how, "random") || !strcmp(how, "zeros") || !strcmp(how, "ones");
}

/* A value from FILE, or, a sequence, from FILE,FILE,... */
static bool value_read(const char *path, dlvk_host_value *v, dlvk_error *err)
{
    FILE *whole = strchr(path, ',') ? fopen(path, "rb") : NULL;
    if (whole) fclose(whole);
    if (whole || !strchr(path, ',')) return !dlvk_host_value_read(path, v, err);
    int n = 1;
    for (const char *c = path; *c; c++) n += *c == ',';
    *v = (dlvk_host_value){.kind = DLVK_VALUE_SEQUENCE, .n = n, .at = must_alloc((size_t)n, sizeof *v->at)};
    bool ok = true;
    for (int i = 0; ok && i < n; i++) {
        size_t len = strcspn(path, ",");
        char *one = text_format("%.*s", (int)len, path);
        ok = !dlvk_host_tensor_read(one, &v->at[i], err);
        free(one);
        path += len + 1;
    }
    if (!ok) dlvk_host_value_free(v);
    return ok;
}

bool values_read(ValueSet *set, const StrList *specs)
{
    *set = (ValueSet){.at = must_alloc((size_t)specs->n + 1, sizeof *set->at)};
    for (int i = 0; i < specs->n; i++) {
        const char *spec = specs->at[i], *equals = strchr(spec, '=');
        dlvk_error err;
        if (!equals || is_made(equals + 1)) continue;
        dlvk_host_value *v = &set->at[set->n];
        if (!value_read(equals + 1, v, &err)) {
            error_say("%s: %s", spec, err.text);
            values_free(set);
            return false;
        }
        free(v->name);
        v->name = text_format("%.*s", (int)(equals - spec), spec);
        set->n++;
    }
    return true;
}

void values_free(ValueSet *set)
{
    for (int i = 0; i < set->n; i++) dlvk_host_value_free(&set->at[i]);
    free(set->at);
    *set = (ValueSet){0};
}

/* NAME= before what a spec says, of which *what is the rest. */
static bool is_spec_of(const char *spec, const char *name, const char **what)
{
    size_t len = strlen(name);
    if (strncmp(spec, name, len) != 0 || spec[len] != '=') return false;
    *what = spec + len + 1;
    return true;
}

/* Of each input what its spec says after the '='; NULL where none names it. A sequence's name stands for all that is in it. */
static bool specs_match(const dlvk_model *m, const StrList *specs, const char **how)
{
    int n = dlvk_model_inputs(m), values = dlvk_model_input_values(m);
    for (int k = 0; k < specs->n; k++) {
        const char *spec = specs->at[k], *what;
        bool hit = false;
        for (int i = 0; i < values; i++) {
            dlvk_value_info info;
            dlvk_model_input_value(m, i, &info);
            if (!is_spec_of(spec, info.name, &what)) continue;
            for (int t = 0; t < info.n; t++) how[info.first + t] = what;
            hit = true;
        }
        for (int i = 0; i < n; i++) {
            dlvk_tensor_info info;
            dlvk_model_input(m, i, &info);
            if (is_spec_of(spec, info.name, &what)) how[i] = what, hit = true;
        }
        if (hit) continue;
        char *names = text_format("%s", "");
        for (int i = 0; i < values; i++) {
            dlvk_value_info info;
            dlvk_model_input_value(m, i, &info);
            char *longer = text_format("%s%s%s", names, i ? ", " : "", info.name);
            free(names);
            names = longer;
        }
        if (strchr(spec, '='))
            error_say("--input %s: the model has no such input; it has %s", spec, values ? names : "none");
        else
            error_say("--input takes NAME=FILE.npy, NAME=FILE.pb, NAME=random, NAME=zeros or NAME=ones, not '%s'", spec);
        free(names);
        return false;
    }
    return true;
}

/* Inputs [first, first + n), of which n is 1 or a whole sequence, from one file. */
static bool read_inputs(InputSet *set, const dlvk_model *m, Symbols *symbols, const dlvk_value_info *which, const char *path)
{
    dlvk_host_value v;
    dlvk_error err;
    char why[256];
    if (!value_read(path, &v, &err)) {
        error_say("--input %s=%s: %s", which->name, path, err.text);
        return false;
    }
    bool ok = value_fits(which, &v, why, sizeof why);
    if (!ok) error_say("--input %s=%s: the input is %s", which->name, path, why);
    for (int i = 0; ok && i < v.n; i++) {
        dlvk_host_tensor *t = &set->at[which->first + i];
        dlvk_tensor_info info;
        dlvk_model_input(m, which->first + i, &info);
        *t = v.at[i];
        v.at[i] = (dlvk_host_tensor){0};
        ok = learn_shape(symbols, &info, t);
        free(t->name);
        t->name = text_format("%s", info.name);
    }
    dlvk_host_value_free(&v);
    return ok;
}

/* Files first: they fix symbols for the rest. */
static bool read_files(InputSet *set, const dlvk_model *m, Symbols *symbols, const char *const *how)
{
    for (int k = 0; k < dlvk_model_input_values(m); k++) {
        dlvk_value_info v;
        dlvk_model_input_value(m, k, &v);
        bool whole = v.n > 0;
        for (int i = 0; i < v.n; i++) whole = whole && how[v.first + i] && how[v.first + i] == how[v.first];
        if (whole && !is_made(how[v.first])) {
            if (!read_inputs(set, m, symbols, &v, how[v.first])) return false;
            continue;
        }
        for (int i = 0; i < v.n; i++) {
            const char *what = how[v.first + i];
            dlvk_tensor_info info;
            dlvk_model_input(m, v.first + i, &info);
            dlvk_value_info one = {info.name, DLVK_VALUE_TENSOR, v.first + i, 1};
            if (what && !is_made(what) && !read_inputs(set, m, symbols, &one, what)) return false;
        }
    }
    return true;
}

bool inputs_make(InputSet *set, const dlvk_model *m, const StrList *specs, const StrList *dims, const char *otherwise,
                 uint64_t seed)
{
    Symbols symbols = {0};
    dlvk_tensor_info info;
    int n = dlvk_model_inputs(m);
    const char **how = must_alloc((size_t)n, sizeof *how);
    *set = (InputSet){.at = must_alloc((size_t)n, sizeof *set->at), .n = n};
    bool ok = symbols_parse(&symbols, dims) && specs_match(m, specs, how) && read_files(set, m, &symbols, how);
    for (int i = 0; ok && i < n; i++) {
        if (how[i] && !is_made(how[i])) continue;
        dlvk_model_input(m, i, &info);
        set->at[i].name = text_format("%s", info.name);
        if (!how[i] && otherwise)
            note_say("input '%s' is not given: using %s (--input %s=FILE.npy)", info.name, otherwise, info.name);
        ok = solve_shape(&symbols, &info, &set->at[i]) && input_fill(&set->at[i],
                                                                     how[i]      ? how[i]
                                                                     : otherwise ? otherwise
                                                                                 : "random",
                                                                     seed);
    }
    for (int i = 0; ok && i < symbols.n; i++) {
        if (symbols.at[i].used) continue;
        error_say("--dim %s: no input has a dimension of that name", symbols.at[i].name);
        ok = false;
    }
    symbols_free(&symbols);
    free(how);
    if (!ok) inputs_free(set);
    return ok;
}

int inputs_values(const InputSet *set, const dlvk_model *m, dlvk_host_value **values)
{
    int n = dlvk_model_input_values(m);
    *values = must_alloc((size_t)n + 1, sizeof **values);
    for (int i = 0; i < n; i++) {
        dlvk_value_info info;
        dlvk_model_input_value(m, i, &info);
        (*values)[i] = (dlvk_host_value){(char *)info.name, info.kind, info.n, set->at + info.first};
    }
    return n;
}

bool inputs_light(InputSet *set, const dlvk_model *m)
{
    StrList none = {0};
    if (!inputs_make(set, m, &none, &none, NULL, 0)) return false;
    for (int k = 0; k < set->n; k++) {
        int64_t n = set->at[k].dtype == DLVK_STRING ? 0 : count_of(&set->at[k]);
        for (int64_t i = 0; i < n; i++) dlvk_host_tensor_set(&set->at[k], i, (double)i / (double)n);
    }
    return true;
}

bool inputs_set(const InputSet *set, dlvk_session *s, dlvk_error *err)
{
    for (int i = 0; i < set->n; i++) {
        const dlvk_host_tensor *t = &set->at[i];
        if (dlvk_session_set_input(s, t->name, t->dim, t->rank, t->data, t->bytes, err)) return false;
    }
    return true;
}

void inputs_free(InputSet *set)
{
    for (int i = 0; i < set->n; i++) dlvk_host_tensor_free(&set->at[i]);
    free(set->at);
    *set = (InputSet){0};
}
