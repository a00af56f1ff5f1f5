#include "planner.h"
#include <shaderc/shaderc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void *planner_alloc(Planner *p, size_t n)
{
    void **block = calloc(1, sizeof(max_align_t) + n);
    cr_assert(block);
    *block = p->owned;
    p->owned = block;
    return (char *)block + sizeof(max_align_t);
}

static char *copy_string(Planner *p, const char *s)
{
    return strcpy(planner_alloc(p, strlen(s) + 1), s);
}

/* Appends to a pointer array of the plan; they are small, so each append makes a new one. */
#define APPEND(p, list, count, x)                                                                                                \
    do {                                                                                                                         \
        void *grown_ = planner_alloc((p), ((count) + 1) * sizeof *(list));                                                       \
        if (count) memcpy(grown_, (list), (count) * sizeof *(list));                                                             \
        (list) = grown_;                                                                                                         \
        (list)[(count)++] = (x);                                                                                                 \
    } while (0)
#define NEW(p, T, init)                                                                                                          \
    ({                                                                                                                           \
        T *new_ = planner_alloc((p), sizeof(T));                                                                                 \
        init(new_);                                                                                                              \
        new_;                                                                                                                    \
    })

void planner_init(Planner *p)
{
    *p = (Planner){0};
    dlvk__plan__plan__init(&p->plan);
    p->plan.producer = "test";
    p->plan.model = "test";
    p->plan.region = planner_region(p);
    planner_const(p, 0); /* expression 0 */
}

void planner_free(Planner *p)
{
    for (void **b = p->owned; b;) {
        void **next = *b;
        free(b);
        b = next;
    }
}

static uint32_t add_expr(Planner *p, int op, int64_t value, uint32_t symbol, uint32_t a, uint32_t b)
{
    Dlvk__Plan__Expr *e = NEW(p, Dlvk__Plan__Expr, dlvk__plan__expr__init);
    e->op = (Dlvk__Plan__Expr__Op)op;
    e->value = value;
    e->symbol = symbol;
    e->a = a;
    e->b = b;
    APPEND(p, p->plan.expr, p->plan.n_expr, e);
    return (uint32_t)p->plan.n_expr - 1;
}

uint32_t planner_const(Planner *p, int64_t v)
{
    return add_expr(p, EXPR(CONST), v, 0, 0, 0);
}
uint32_t planner_op(Planner *p, int op, uint32_t a, uint32_t b)
{
    return add_expr(p, op, 0, 0, a, b);
}

uint32_t planner_symbol(Planner *p, const char *name, int64_t lo, int64_t hi, bool data)
{
    Dlvk__Plan__Symbol *s = NEW(p, Dlvk__Plan__Symbol, dlvk__plan__symbol__init);
    s->name = copy_string(p, name);
    s->lo = lo;
    s->hi = hi;
    s->data = data;
    APPEND(p, p->plan.symbol, p->plan.n_symbol, s);
    return add_expr(p, EXPR(SYMBOL), 0, (uint32_t)p->plan.n_symbol - 1, 0, 0);
}

uint32_t planner_symbol_index(const Planner *p, const char *name)
{
    for (uint32_t i = 0; i < p->plan.n_symbol; i++)
        if (strcmp(p->plan.symbol[i]->name, name) == 0) return i;
    cr_assert_fail("no symbol %s", name);
    return 0;
}

void planner_constraint(Planner *p, int kind, uint32_t a, uint32_t b, const char *why)
{
    Dlvk__Plan__Constraint *c = NEW(p, Dlvk__Plan__Constraint, dlvk__plan__constraint__init);
    c->kind = (Dlvk__Plan__Constraint__Kind)kind;
    c->a = a;
    c->b = b;
    c->why = copy_string(p, why);
    APPEND(p, p->plan.constraint, p->plan.n_constraint, c);
}

uint32_t planner_blob(Planner *p, const void *data, size_t length, size_t bytes)
{
    cr_assert(p->n_blob < 64);
    void *copy = planner_alloc(p, length + 1);
    if (length) memcpy(copy, data, length);
    p->blob[p->n_blob] = (BlobData){copy, length, bytes};
    return (uint32_t)p->n_blob++;
}

uint32_t planner_buffer(Planner *p, int kind, uint32_t size, uint32_t first, uint32_t last)
{
    Dlvk__Plan__Buffer *b = NEW(p, Dlvk__Plan__Buffer, dlvk__plan__buffer__init);
    b->kind = (Dlvk__Plan__Buffer__Kind)kind;
    b->size = size;
    b->first = first;
    b->last = last;
    APPEND(p, p->plan.buffer, p->plan.n_buffer, b);
    return (uint32_t)p->plan.n_buffer - 1;
}

uint32_t planner_constant(Planner *p, const void *data, size_t length, size_t bytes)
{
    uint32_t b = planner_buffer(p, BUF(CONSTANT), planner_const(p, (int64_t)bytes), 0, 0);
    p->plan.buffer[b]->blob = 1 + planner_blob(p, data, length, bytes);
    return b;
}

uint32_t planner_state(Planner *p, const void *data, size_t bytes, const char *name, dlvk_dtype t)
{
    uint32_t b = planner_buffer(p, BUF(STATE), planner_const(p, (int64_t)bytes), 0, 0);
    if (data) p->plan.buffer[b]->blob = 1 + planner_blob(p, data, bytes, bytes);
    Dlvk__Plan__Param *s = NEW(p, Dlvk__Plan__Param, dlvk__plan__param__init);
    s->name = copy_string(p, name);
    s->dtype = t;
    s->buffer = b;
    APPEND(p, s->dim, s->n_dim, planner_const(p, (int64_t)(bytes / dlvk_dtype_size(t, 1))));
    APPEND(p, p->plan.state, p->plan.n_state, s);
    return b;
}

static Dlvk__Plan__Tensor *tensor(Planner *p, const char *name, dlvk_dtype t, uint32_t buffer, int rank, const uint32_t *dim)
{
    Dlvk__Plan__Tensor *x = NEW(p, Dlvk__Plan__Tensor, dlvk__plan__tensor__init);
    x->name = copy_string(p, name);
    x->dtype = t;
    x->buffer = buffer;
    for (int i = 0; i < rank; i++) APPEND(p, x->dim, x->n_dim, dim[i]);
    return x;
}

void planner_input(Planner *p, const char *name, dlvk_dtype t, uint32_t buffer, int rank, const uint32_t *dim)
{
    APPEND(p, p->plan.input, p->plan.n_input, tensor(p, name, t, buffer, rank, dim));
}

void planner_output(Planner *p, const char *name, dlvk_dtype t, uint32_t buffer, int rank, const uint32_t *dim)
{
    APPEND(p, p->plan.output, p->plan.n_output, tensor(p, name, t, buffer, rank, dim));
}

uint32_t planner_source(Planner *p, const char *name, const char *op)
{
    Dlvk__Plan__Source *s = NEW(p, Dlvk__Plan__Source, dlvk__plan__source__init);
    s->name = copy_string(p, name);
    s->op = copy_string(p, op);
    APPEND(p, p->plan.source, p->plan.n_source, s);
    return (uint32_t)p->plan.n_source - 1;
}

uint32_t planner_pipeline_of(Planner *p, uint32_t module, const uint32_t *spec, size_t n_spec)
{
    Dlvk__Plan__Pipeline *x = NEW(p, Dlvk__Plan__Pipeline, dlvk__plan__pipeline__init);
    x->module = module;
    for (size_t i = 0; i < n_spec; i++) APPEND(p, x->spec, x->n_spec, spec[i]);
    APPEND(p, p->plan.pipeline, p->plan.n_pipeline, x);
    return (uint32_t)p->plan.n_pipeline - 1;
}

uint32_t planner_pipeline(Planner *p, const char *declarations, const char *args, uint32_t push_bytes, const char *body,
                          uint32_t features, const uint32_t *spec, size_t n_spec)
{
    char source[8192];
    snprintf(
        source, sizeof source,
        "#version 460\n"
        "#extension GL_EXT_buffer_reference : require\n"
        "layout(local_size_x = 64) in;\n"
        "layout(buffer_reference, std430, buffer_reference_align = 4) buffer F { float v[]; };\n"
        "layout(buffer_reference, std430, buffer_reference_align = 4) buffer I { int v[]; };\n"
        "%s\n%s%s%s"
        "uint fastdiv(uint n, uint mul, uint shift) { uint hi, lo; umulExtended(n << 1, mul, hi, lo); return hi >> shift; }\n"
        "void main() { uint i = (gl_WorkGroupID.x + gl_WorkGroupID.y * gl_NumWorkGroups.x) * 64u + "
        "gl_LocalInvocationID.x;\n%s\n}\n",
        declarations, *args ? "layout(push_constant, std430) uniform A { " : "", args, *args ? " };\n" : "", body);
    shaderc_compiler_t c = shaderc_compiler_initialize();
    shaderc_compile_options_t o = shaderc_compile_options_initialize();
    shaderc_compile_options_set_target_env(o, shaderc_target_env_vulkan, shaderc_env_version_vulkan_1_3);
    shaderc_compilation_result_t r =
        shaderc_compile_into_spv(c, source, strlen(source), shaderc_compute_shader, "test", "main", o);
    cr_assert_eq(shaderc_result_get_compilation_status(r), shaderc_compilation_status_success, "%s\n%s",
                 shaderc_result_get_error_message(r), source);
    Dlvk__Plan__Module *m = NEW(p, Dlvk__Plan__Module, dlvk__plan__module__init);
    m->blob = planner_blob(p, shaderc_result_get_bytes(r), shaderc_result_get_length(r), 0);
    m->name = "test";
    m->features = features;
    m->push_bytes = push_bytes;
    APPEND(p, p->plan.module, p->plan.n_module, m);
    shaderc_result_release(r);
    shaderc_compile_options_release(o);
    shaderc_compiler_release(c);
    return planner_pipeline_of(p, (uint32_t)p->plan.n_module - 1, spec, n_spec);
}

Region *planner_region(Planner *p)
{
    return NEW(p, Region, dlvk__plan__region__init);
}
Region *planner_top(Planner *p)
{
    return p->plan.region;
}

static Dlvk__Plan__Step *add_step(Planner *p, Region *r, int kind)
{
    Dlvk__Plan__Step *s = NEW(p, Dlvk__Plan__Step, dlvk__plan__step__init);
    s->kind_case = (Dlvk__Plan__Step__KindCase)kind;
    APPEND(p, r->step, r->n_step, s);
    return s;
}

static void add_arg(Planner *p, Dlvk__Plan__Dispatch *d, int kind, uint32_t x, uint32_t offset)
{
    Dlvk__Plan__Arg *a = NEW(p, Dlvk__Plan__Arg, dlvk__plan__arg__init);
    a->kind_case = (Dlvk__Plan__Arg__KindCase)kind;
    if (kind == DLVK__PLAN__ARG__KIND_ADDRESS) {
        a->address = NEW(p, Dlvk__Plan__BufferRef, dlvk__plan__buffer_ref__init);
        a->address->buffer = x;
        a->address->offset = offset;
    } else if (kind == DLVK__PLAN__ARG__KIND_VALUE) {
        a->value = x;
    } else {
        a->divisor = x;
    }
    APPEND(p, d->arg, d->n_arg, a);
}

void planner_add_variant(Planner *p, Dlvk__Plan__Dispatch *d, uint32_t pipeline, uint32_t groups, bool indirect)
{
    Dlvk__Plan__Variant *v = NEW(p, Dlvk__Plan__Variant, dlvk__plan__variant__init);
    v->pipeline = pipeline;
    v->indirect = indirect;
    APPEND(p, v->grid, v->n_grid, groups);
    APPEND(p, v->grid, v->n_grid, planner_const(p, 1));
    APPEND(p, v->grid, v->n_grid, planner_const(p, 1));
    APPEND(p, d->variant, d->n_variant, v);
    for (size_t i = d->n_variant - 1; i > 0; i--) d->variant[i] = d->variant[i - 1];
    d->variant[0] = v;
}

Dlvk__Plan__Dispatch *planner_dispatch(Planner *p, Region *r, const char *name, uint32_t pipeline, uint32_t groups, const Args *a)
{
    Dlvk__Plan__Step *s = add_step(p, r, DLVK__PLAN__STEP__KIND_DISPATCH);
    Dlvk__Plan__Dispatch *d = s->dispatch = NEW(p, Dlvk__Plan__Dispatch, dlvk__plan__dispatch__init);
    d->name = copy_string(p, name);
    for (int i = 0; i < a->n_address; i++) add_arg(p, d, DLVK__PLAN__ARG__KIND_ADDRESS, a->address[i], a->offset[i]);
    for (int i = 0; i < a->n_value; i++) add_arg(p, d, DLVK__PLAN__ARG__KIND_VALUE, a->value[i], 0);
    for (int i = 0; i < a->n_divisor; i++) add_arg(p, d, DLVK__PLAN__ARG__KIND_DIVISOR, a->divisor[i], 0);
    for (int i = 0; i < a->n_reads; i++) APPEND(p, d->reads, d->n_reads, a->reads[i]);
    for (int i = 0; i < a->n_writes; i++) APPEND(p, d->writes, d->n_writes, a->writes[i]);
    APPEND(p, d->source, d->n_source, planner_source(p, name, "Test"));
    planner_add_variant(p, d, pipeline, groups, false);
    return d;
}

void planner_copy(Planner *p, Region *r, uint32_t from, uint32_t to, uint32_t bytes, uint32_t from_offset, uint32_t to_offset)
{
    Dlvk__Plan__Copy *c = add_step(p, r, DLVK__PLAN__STEP__KIND_COPY)->copy = NEW(p, Dlvk__Plan__Copy, dlvk__plan__copy__init);
    c->from = from;
    c->to = to;
    c->bytes = bytes;
    c->from_offset = from_offset;
    c->to_offset = to_offset;
}

void planner_read(Planner *p, Region *r, uint32_t buffer, dlvk_dtype t, uint32_t symbol_index)
{
    Dlvk__Plan__Step *s = add_step(p, r, DLVK__PLAN__STEP__KIND_READ_DIMS);
    s->read_dims = NEW(p, Dlvk__Plan__ReadDims, dlvk__plan__read_dims__init);
    s->read_dims->buffer = buffer;
    s->read_dims->dtype = t;
    APPEND(p, s->read_dims->symbol, s->read_dims->n_symbol, symbol_index);
}

Dlvk__Plan__If *planner_if(Planner *p, Region *r, uint32_t condition)
{
    Dlvk__Plan__If *b = add_step(p, r, DLVK__PLAN__STEP__KIND_BRANCH)->branch = NEW(p, Dlvk__Plan__If, dlvk__plan__if__init);
    b->condition = condition;
    b->then = planner_region(p);
    b->otherwise = planner_region(p);
    return b;
}

Dlvk__Plan__Loop *planner_loop(Planner *p, Region *r)
{
    Dlvk__Plan__Loop *l = add_step(p, r, DLVK__PLAN__STEP__KIND_LOOP)->loop = NEW(p, Dlvk__Plan__Loop, dlvk__plan__loop__init);
    l->body = planner_region(p);
    return l;
}

void planner_write(Planner *p, void **bundle, size_t *size)
{
    dlvk_error err;
    cr_assert_eq(bundle_write_memory(&p->plan, p->blob, p->n_blob, bundle, size, &err), DLVK_OK, "%s", err.text);
}

dlvk_device *test_device(void)
{
    static dlvk_device *device; /* Criterion runs each test in a process of its own */
    dlvk_error err;
    if (device) return device;
    dlvk_status st = dlvk_device_open(NULL, &device, &err);
    if (st == DLVK_NO_DEVICE) cr_skip_test("%s", err.text);
    cr_assert_eq(st, DLVK_OK, "%s", err.text);
    return device;
}

dlvk_status planner_load_model(Planner *p, const dlvk_load_options *o, dlvk_model **m, dlvk_error *err)
{
    void *data;
    size_t size;
    planner_write(p, &data, &size);
    dlvk_status st = dlvk_model_load_memory(test_device(), data, size, o, m, err);
    free(data);
    return st;
}

Loaded planner_load(Planner *p)
{
    Loaded l;
    OK(planner_load_model(p, NULL, &l.m, err));
    OK(dlvk_session_create(l.m, &l.s, err));
    return l;
}

void planner_unload(Loaded l, Planner *p)
{
    dlvk_session_free(l.s);
    dlvk_model_free(l.m);
    planner_free(p);
    cr_assert_eq(dlvk_device_validation_messages(test_device()), 0);
    dlvk_device_close(test_device());
}
