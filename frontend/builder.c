/* The graph builder: the graph itself, names and errors, inputs, outputs, parameters and other sources. */
#include "frontend/builder.h"
#include "frontend/compile.h"
#include "frontend/onnx/export.h"
#include "runtime/error.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- the graph ---- */

static bool graph_init(dlvk_graph *g, const char *name)
{
    jmp_buf oom;
    if (setjmp(oom)) return false;
    g->pool = &g->own;
    g->pool->oom = &oom;
    g->ctx = context_new(g->pool);
    g->graph = graph_new(g->ctx, pool_strdup(g->pool, name ? name : "graph"));
    g->b = (Build){.ctx = g->ctx, .at = g->graph->top};
    g->parts.graph = g->graph;
    mode_begin(&g->b, &g->parts);
    g->pool->oom = NULL;
    return true;
}

dlvk_graph *dlvk_graph_new(const char *name)
{
    dlvk_graph *g = calloc(1, sizeof *g);
    if (!g) return NULL;
    if (graph_init(g, name)) return g;
    dlvk_graph_free(g);
    return NULL;
}

void dlvk_graph_free(dlvk_graph *g)
{
    if (!g) return;
    pool_free(&g->own);
    free(g);
}

dlvk_status dlvk_graph_status(const dlvk_graph *g, dlvk_error *err)
{
    if (err) err->text[0] = '\0';
    if (!g) return DLVK_INVALID_ARGUMENT;
    if (g->out_of_memory) {
        if (err) snprintf(err->text, sizeof err->text, "graph: out of memory");
        return DLVK_OUT_OF_MEMORY;
    }
    return g->ctx->diag.errors ? compile_report(&g->ctx->diag, err) : DLVK_OK;
}

void builder_enter(dlvk_graph *g, const char *op, jmp_buf *oom)
{
    g->pool->oom = oom;
    Origin *o = POOL_NEW(g->pool, Origin);
    *o = (Origin){.name = pool_printf(g->pool, "%s%s", g->scope ? g->scope->path : "", op), .op = op};
    g->ctx->origin = o;
}

dlvk_graph builder_on(Graph *g)
{
    return (dlvk_graph){.pool = g->ctx->pool, .ctx = g->ctx, .graph = g, .b = {.ctx = g->ctx, .at = g->top}};
}

static bool finished(dlvk_graph *g)
{
    if (g->body) BUILDER_ERROR(g, "a %s body is still open", g->body->loop ? "loop" : "branch");
    if (g->graph->top->results.n == 0) BUILDER_ERROR(g, "it has no output");
    return !g->ctx->diag.errors;
}

const ModelParts *builder_parts(dlvk_graph *g)
{
    BUILDER_GUARD(g, "graph", return finished(g) ? &g->parts : NULL);
    return NULL;
}

Graph *builder_finish(dlvk_graph *g)
{
    BUILDER_GUARD(g, "graph", return finished(g) ? mode_inference(&g->parts) : NULL);
    return NULL;
}

dlvk_status dlvk_compile_graph(dlvk_graph *g, void **bundle, size_t *size, const dlvk_compile_options *o, dlvk_error *err)
{
    if (!g || !bundle || !size) {
        if (err) snprintf(err->text, sizeof err->text, "dlvk_compile_graph: %s is NULL", !g ? "g" : !bundle ? "bundle" : "size");
        return DLVK_INVALID_ARGUMENT;
    }
    Graph *graph = builder_finish(g);
    return graph ? compile_graph_to_memory(graph, bundle, size, o, err) : dlvk_graph_status(g, err);
}

static dlvk_status write_onnx(dlvk_graph *g, Graph *graph, const char *path, dlvk_error *err)
{
    int before = g->ctx->diag.errors;
    BUILDER_GUARD(g, "onnx", {
        const Onnx__ModelProto *m = onnx_export(graph);
        if (m) return onnx_write_file(m, path, err);
    });
    dlvk_status s = dlvk_graph_status(g, err);
    /* A graph that ONNX cannot hold is sound all the same. */
    if (before == 0 && !g->out_of_memory) g->ctx->diag = (Diag){.pool = g->pool};
    return s;
}

dlvk_status dlvk_graph_write_onnx(dlvk_graph *g, const char *path, dlvk_error *err)
{
    if (!g || !path) return rt_error(err, DLVK_INVALID_ARGUMENT, "dlvk_graph_write_onnx: %s is NULL", g ? "path" : "g");
    Graph *graph = builder_finish(g);
    return graph ? write_onnx(g, graph, path, err) : dlvk_graph_status(g, err);
}

dlvk_status dlvk_compile_graph_training(dlvk_graph *g, void **bundle, size_t *size, const dlvk_training_options *t,
                                        const dlvk_compile_options *o, dlvk_error *err)
{
    if (!g || !bundle || !size) {
        if (err)
            snprintf(err->text, sizeof err->text, "dlvk_compile_graph_training: %s is NULL",
                     !g        ? "g"
                     : !bundle ? "bundle"
                               : "size");
        return DLVK_INVALID_ARGUMENT;
    }
    const ModelParts *parts = builder_parts(g);
    return parts ? compile_training_to_memory(parts, bundle, size, t, o, err) : dlvk_graph_status(g, err);
}

/* ---- names ---- */

static void push_scope(dlvk_graph *g, const char *name)
{
    NameScope *s = POOL_NEW(g->pool, NameScope);
    *s = (NameScope){.outer = g->scope, .path = pool_printf(g->pool, "%s%s.", g->scope ? g->scope->path : "", name ? name : "")};
    g->scope = s;
}

void dlvk_scope_push(dlvk_graph *g, const char *name)
{
    BUILDER_GUARD(g, "scope", push_scope(g, name));
}

void dlvk_scope_pop(dlvk_graph *g)
{
    BUILDER_GUARD(g, "scope", {
        if (g->scope)
            g->scope = g->scope->outer;
        else
            BUILDER_ERROR(g, "no scope is open");
    });
}

static Value *set_name(dlvk_graph *g, Value *v, const char *name)
{
    if (v && name) v->name = pool_strdup(g->pool, name);
    return v;
}

dlvk_value dlvk_name(dlvk_graph *g, dlvk_value v, const char *name)
{
    BUILDER_RETURN(g, "name", set_name(g, inside(v), name));
}

const char *dlvk_describe(dlvk_graph *g, dlvk_value v)
{
    if (v) BUILDER_GUARD(g, "describe", return type_to_string(g->pool, inside(v)->type));
    return "?";
}

int dlvk_rank(dlvk_value v)
{
    return v ? inside(v)->type.rank : -1;
}

int64_t dlvk_dim(dlvk_value v, int axis)
{
    int64_t size;
    if (!v) return -1;
    const Type *t = &inside(v)->type;
    if (axis < 0) axis += t->rank;
    return axis >= 0 && axis < t->rank && dim_is_const(t->dim[axis], &size) ? size : -1;
}

dlvk_dtype dlvk_type(dlvk_value v)
{
    return v ? inside(v)->type.dtype : DLVK_DTYPE_COUNT;
}

/* A name of the model's signature or of a parameter, which must be new; NULL with an error. */
static const char *take_name(dlvk_graph *g, const char *prefix, const char *name)
{
    if (!name || !*name) {
        BUILDER_ERROR(g, "a name is needed");
        return NULL;
    }
    const char *full = pool_printf(g->pool, "%s%s", prefix, name);
    for (int i = 0; i < g->names.n; i++)
        if (strcmp(g->names.at[i], full) == 0) {
            BUILDER_ERROR(g, "the name '%s' is taken", full);
            return NULL;
        }
    *VEC_PUSH(g->pool, g->names) = full;
    return full;
}

static void add_output(dlvk_graph *g, const char *name, Value *v)
{
    if (g->body) {
        BUILDER_ERROR(g, "output '%s' inside a loop or branch body", name ? name : "");
        return;
    }
    const char *full = v ? take_name(g, "", name) : NULL;
    if (!full) return;
    *VEC_PUSH(g->pool, g->graph->top->results) = v;
    *VEC_PUSH(g->pool, g->graph->output_names) = full;
}

void dlvk_output(dlvk_graph *g, const char *name, dlvk_value v)
{
    BUILDER_GUARD(g, "output", add_output(g, name, inside(v)));
}

/* ---- what arguments have in common ---- */

Value **builder_values(dlvk_graph *g, int n, const dlvk_value *v)
{
    Value **out = POOL_ARRAY(g->pool, Value *, n > 0 ? n : 0);
    for (int i = 0; i < n; i++) out[i] = inside(v[i]);
    return out;
}

const Dim *builder_dim(dlvk_graph *g, const char *text)
{
    const char *s = text ? text : "";
    const Dim *d = dim_parse(&g->ctx->dims, &s);
    while (*s == ' ') s++;
    if (d && !*s) return d;
    BUILDER_ERROR(g, "'%s' is no dimension expression", text ? text : "NULL");
    return NULL;
}

bool builder_shape(dlvk_graph *g, const char *text, int *rank, const Dim **dims)
{
    const char *s = text;
    *rank = 0;
    while (s && *s == ' ') s++;
    while (s && *s) {
        if (*rank == DLVK_MAX_RANK) {
            BUILDER_ERROR(g, "shape '%s' has more than %d dimensions", text, DLVK_MAX_RANK);
            return false;
        }
        const Dim *d = NULL;
        if (*s == '?')
            s++;
        else if (!(d = dim_parse(&g->ctx->dims, &s)))
            break;
        dims[(*rank)++] = d;
        while (*s == ' ') s++;
        if (!*s) return true;
        if (*s++ != ',') break;
        if (!*s) break;
    }
    if (s && !*s && *rank == 0) return true;
    BUILDER_ERROR(g, "'%s' is no shape", text ? text : "NULL");
    return false;
}

/* A shape without "?". */
static bool whole_shape(dlvk_graph *g, const char *text, DType t, Type *type)
{
    int rank;
    const Dim *dims[DLVK_MAX_RANK];
    if (t >= DLVK_DTYPE_COUNT) {
        BUILDER_ERROR(g, "%d is no element type", (int)t);
        return false;
    }
    if (!builder_shape(g, text, &rank, dims)) return false;
    for (int i = 0; i < rank; i++)
        if (!dims[i] || (dims[i]->kind == DIM_CONST && dims[i]->value < 0)) {
            BUILDER_ERROR(g, "dimension %d of shape '%s' is not a size", i, text);
            return false;
        }
    *type = type_make(g->ctx, t, rank, dims);
    return true;
}

int builder_axis(dlvk_graph *g, int axis, int rank)
{
    int a = axis < 0 ? axis + rank : axis;
    if (a >= 0 && a < rank) return a;
    BUILDER_ERROR(g, "axis %d of a value of rank %d", axis, rank);
    return -1;
}

bool builder_known(dlvk_graph *g, const Dim *d, const char *what, int64_t *size)
{
    if (dim_is_const(d, size)) return true;
    BUILDER_ERROR(g, "%s must be a number; it is %s", what, dim_to_string(g->pool, d));
    return false;
}

bool builder_kind(dlvk_graph *g, dlvk_kind k, unsigned allowed, Kind *kind)
{
    static const Kind map[] = {[DLVK_SUM] = KIND_SUM, [DLVK_PROD] = KIND_PROD, [DLVK_MAX] = KIND_MAX, [DLVK_MIN] = KIND_MIN,
                               [DLVK_ALL] = KIND_AND, [DLVK_ANY] = KIND_OR,    [DLVK_SET] = KIND_SET};
    if ((unsigned)k <= DLVK_SET && (allowed >> k & 1)) {
        *kind = map[k];
        return true;
    }
    BUILDER_ERROR(g, "kind %d is not possible here", (int)k);
    return false;
}

/* ---- inputs and parameters ---- */

static Value *make_input(dlvk_graph *g, const char *name, DType t, const char *shape)
{
    Type type;
    const char *full = take_name(g, "", name);
    return full && whole_shape(g, shape, t, &type) ? region_param(g->graph->top, type, full) : NULL;
}

dlvk_value dlvk_input(dlvk_graph *g, const char *name, dlvk_dtype t, const char *shape)
{
    BUILDER_RETURN(g, "input", make_input(g, name, t, shape));
}

/* splitmix64 */
static uint64_t next_random(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

static double uniform(uint64_t *state)
{
    return (double)(next_random(state) >> 11) * 0x1p-53;
}

static double normal(uint64_t *state) /* Box and Muller */
{
    double u = 1 - uniform(state), v = uniform(state);
    return sqrt(-2 * log(u)) * cos(6.283185307179586 * v);
}

/* A weight is [out, in, window...]; of a vector or scalar both fans are its length. */
static void fans(int rank, const int64_t *dim, double *in, double *out)
{
    double window = 1;
    for (int i = 2; i < rank; i++) window *= (double)dim[i];
    *out = rank > 0 ? (double)dim[0] * window : 1;
    *in = rank > 1 ? (double)dim[1] * window : *out;
}

static void initialise(dlvk_graph *g, const char *name, DType t, int rank, const int64_t *dim, int64_t count, dlvk_init init,
                       double scale, void *data)
{
    uint64_t state = g->seed ^ 14695981039346656037u; /* FNV-1a of the name */
    for (const char *s = name; *s; s++) state = (state ^ (unsigned char)*s) * 1099511628211u;
    double in, out;
    fans(rank, dim, &in, &out);
    if (init == DLVK_INIT_GLOROT) scale *= sqrt(6 / fmax(in + out, 1));
    if (init == DLVK_INIT_HE) scale *= sqrt(2 / fmax(in, 1));
    for (int64_t i = 0; i < count; i++) {
        double v = init == DLVK_INIT_ONES ? 1 : 0;
        if (init == DLVK_INIT_UNIFORM || init == DLVK_INIT_GLOROT) v = (2 * uniform(&state) - 1) * scale;
        if (init == DLVK_INIT_NORMAL || init == DLVK_INIT_HE) v = normal(&state) * scale;
        if (dtype_is_float(t))
            elem_set_f(t, data, i, v);
        else
            elem_set_i(t, data, i, (int64_t)v);
    }
}

/* A constant that carries the parameter's name, behind a barrier: nothing is made of it while the model is built, so that it can
 * be trained and written to files. data NULL: ask for the values, or make them. */
static Value *make_parameter(dlvk_graph *g, const char *name, DType t, const char *shape, dlvk_init init, double scale,
                             const void *data, size_t bytes)
{
    Type type;
    int64_t dim[DLVK_MAX_RANK], count = 1;
    const char *full = take_name(g, g->scope ? g->scope->path : "", name);
    if (!full || !whole_shape(g, shape, t, &type)) return NULL;
    for (int i = 0; i < type.rank; i++)
        if (!builder_known(g, type.dim[i], "a parameter's size", &dim[i])) return NULL;
    for (int i = 0; i < type.rank; i++)
        if (__builtin_mul_overflow(count, dim[i], &count) || count > INT64_MAX / 8) {
            BUILDER_ERROR(g, "parameter '%s' of shape '%s' is too large", full, shape);
            return NULL;
        }
    if (t == DLVK_STRING) {
        BUILDER_ERROR(g, "parameter '%s' of strings", full);
        return NULL;
    }
    size_t size = (size_t)dtype_bytes(t, count);
    void *own = pool_alloc(g->pool, size);
    if (data && bytes != size) {
        BUILDER_ERROR(g, "parameter '%s' has %zu bytes; its shape '%s' needs %zu", full, bytes, shape, size);
        return NULL;
    }
    if (data)
        memcpy(own, data, size);
    else if (!g->supply || !g->supply(g->supply_user, full, t, type.rank, dim, own, size))
        initialise(g, full, t, type.rank, dim, count, init, scale, own);
    Value *v = set_name(g, build_const(&g->b, tensor_new(g->pool, t, type.rank, dim, own)), full);
    return v ? mode_weight(&g->b, &g->parts, v, v->name) : NULL;
}

dlvk_value dlvk_parameter(dlvk_graph *g, const char *name, dlvk_dtype t, const char *shape, dlvk_init init, double scale)
{
    BUILDER_RETURN(g, "parameter", make_parameter(g, name, t, shape, init, scale, NULL, 0));
}

dlvk_value dlvk_parameter_data(dlvk_graph *g, const char *name, dlvk_dtype t, const char *shape, const void *data, size_t bytes)
{
    BUILDER_RETURN(g, "parameter", make_parameter(g, name, t, shape, DLVK_INIT_ZEROS, 0, data ? data : "", data ? bytes : 0));
}

void dlvk_graph_seed(dlvk_graph *g, uint64_t seed)
{
    if (g) g->seed = seed;
}

void dlvk_graph_weights(dlvk_graph *g, dlvk_weights supply, void *user)
{
    if (!g) return;
    g->supply = supply;
    g->supply_user = user;
}

/* ---- other sources ---- */

static Value *make_constant(dlvk_graph *g, DType t, int rank, const int64_t *dims, const void *data)
{
    int64_t count = 1;
    bool ok = rank >= 0 && rank <= DLVK_MAX_RANK && t < DLVK_DTYPE_COUNT && t != DLVK_STRING && data;
    for (int i = 0; ok && i < rank; i++)
        ok = dims[i] >= 0 && !__builtin_mul_overflow(count, dims[i], &count) && count < INT64_MAX / 8;
    if (!ok) {
        BUILDER_ERROR(g, "a constant of type %d and rank %d with no data or sizes that are none", (int)t, rank);
        return NULL;
    }
    return build_const(&g->b, tensor_new(g->pool, t, rank, dims, pool_dup(g->pool, data, (size_t)dtype_bytes(t, count))));
}

dlvk_value dlvk_constant(dlvk_graph *g, dlvk_dtype t, int rank, const int64_t *dims, const void *data)
{
    BUILDER_RETURN(g, "constant", make_constant(g, t, rank, dims, data));
}

static Value *make_full(dlvk_graph *g, DType t, const char *shape, double x)
{
    Type type;
    return whole_shape(g, shape, t, &type) ? build_full(&g->b, type, x) : NULL;
}

dlvk_value dlvk_full(dlvk_graph *g, dlvk_dtype t, const char *shape, double x)
{
    BUILDER_RETURN(g, "full", make_full(g, t, shape, x));
}
dlvk_value dlvk_scalar(dlvk_graph *g, dlvk_dtype t, double x)
{
    BUILDER_RETURN(g, "scalar", make_full(g, t, "", x));
}

static Value *make_iota(dlvk_graph *g, DType t, const char *shape, int axis)
{
    Type type;
    if (!whole_shape(g, shape, t, &type) || (axis = builder_axis(g, axis, type.rank)) < 0) return NULL;
    return build_iota(&g->b, t, type.rank, type.dim, axis);
}

dlvk_value dlvk_iota(dlvk_graph *g, dlvk_dtype t, const char *shape, int axis)
{
    BUILDER_RETURN(g, "iota", make_iota(g, t, shape, axis));
}

static Value *make_size(dlvk_graph *g, Value *x, int axis)
{
    if (!x || (axis = builder_axis(g, axis, x->type.rank)) < 0) return NULL;
    return build_dims(&g->b, DLVK_I64, -1, &x->type.dim[axis]);
}

dlvk_value dlvk_size(dlvk_graph *g, dlvk_value x, int axis)
{
    BUILDER_RETURN(g, "size", make_size(g, inside(x), axis));
}

static Value *make_random(dlvk_graph *g, const char *shape, Value *seed)
{
    Type type;
    if (!seed || !whole_shape(g, shape, DLVK_U32, &type)) return NULL;
    Attr attr = at_dims(A_SHAPE, type.rank, type.dim);
    return build_op(&g->b, OP_RANDOM, 1, &seed, 1, &attr);
}

dlvk_value dlvk_random_bits(dlvk_graph *g, const char *shape, dlvk_value seed)
{
    BUILDER_RETURN(g, "random_bits", make_random(g, shape, inside(seed)));
}

static Value *make_uniform(dlvk_graph *g, const char *shape, Value *seed)
{
    Build *b = &g->b;
    Value *top = build_map2(b, OP_SHR, make_random(g, shape, seed), build_scalar_i(b, DLVK_U32, 8));
    return build_map2s(b, OP_MUL, build_cast(b, top, DLVK_F32), 0x1p-24);
}

dlvk_value dlvk_random_uniform(dlvk_graph *g, const char *shape, dlvk_value seed)
{
    BUILDER_RETURN(g, "random_uniform", make_uniform(g, shape, inside(seed)));
}
