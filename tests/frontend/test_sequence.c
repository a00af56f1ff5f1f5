/* Sequences and optionals at a model's boundary, through loops and branches, and in files. */
#include "dlvk/compiler.h"
#include "frontend/onnx/import.h"
#include "ir/build.h"
#include "tests/frontend/onnx_model.h"
#include "tests/ir/eval_check.h"
#include "value.pb-c.h"
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

enum { F32 = 1, I64 = 7, BOOL = 9 };

static TestModel m;
static Pool pool;
static Context *ctx;
static OnnxModel *kept;

static Graph *import(int n, const OnnxAssumed *assumed)
{
    model_write(&m);
    return onnx_import_file_assuming(&pool, m.path, n, assumed, NULL, &ctx, &kept);
}

static void finish(void)
{
    onnx_model_free(kept);
    kept = NULL;
    pool_free(&pool);
    model_free(&m);
}

#define HAS(text) cr_assert(strstr(diag_text(ctx), text), "no '%s' in:\n%s", text, diag_text(ctx))

/* The latest input's type, in a sequence or optional. */
static void wrap(bool optional)
{
    Onnx__ValueInfoProto *v = m.graph.input[m.graph.n_input - 1];
    Onnx__TypeProto *t = POOL_NEW(&m.pool, Onnx__TypeProto);
    onnx__type_proto__init(t);
    if (optional) {
        t->value_case = ONNX__TYPE_PROTO__VALUE_OPTIONAL_TYPE;
        t->optional_type = POOL_NEW(&m.pool, Onnx__TypeProto__Optional);
        onnx__type_proto__optional__init(t->optional_type);
        t->optional_type->elem_type = v->type;
    } else {
        t->value_case = ONNX__TYPE_PROTO__VALUE_SEQUENCE_TYPE;
        t->sequence_type = POOL_NEW(&m.pool, Onnx__TypeProto__Sequence);
        onnx__type_proto__sequence__init(t->sequence_type);
        t->sequence_type->elem_type = v->type;
    }
    v->type = t;
}

static const Tensor *floats(int64_t n)
{
    return tensor_new(&pool, DLVK_F32, 1, &n, pool_calloc(&pool, (size_t)n + 1, 4));
}

static OnnxAssumed sequence(const char *name, int n)
{
    const Tensor **at = POOL_ARRAY(&pool, const Tensor *, n);
    for (int i = 0; i < n; i++) at[i] = floats(2 + i);
    return (OnnxAssumed){.name = name, .kind = DLVK_VALUE_SEQUENCE, .n = n, .at = at};
}

static OnnxAssumed scalar(const char *name, DType type, int64_t x)
{
    const Tensor **at = POOL_NEW(&pool, const Tensor *);
    int64_t *data = pool_calloc(&pool, 1, 8);
    elem_set_i(type, data, 0, x);
    *at = tensor_new(&pool, type, 0, NULL, data);
    return (OnnxAssumed){.name = name, .kind = DLVK_VALUE_TENSOR, .n = 1, .at = at};
}

TestSuite(sequence, .fini = finish);

static void identity_of_sequence(void)
{
    model_init(&m, 17);
    model_input(&m, "x", F32, "N");
    wrap(false);
    model_node(&m, "Identity", "x", "y");
    model_output(&m, "y");
}

Test(sequence, an_unknown_length_is_an_error_that_says_how_to_give_it)
{
    identity_of_sequence();
    cr_assert_null(import(0, NULL));
    HAS("input 'x' is a sequence whose length is not known");
    HAS("--assume x=FILE.pb");
}

Test(sequence, each_tensor_is_an_input_of_its_own)
{
    identity_of_sequence();
    OnnxAssumed x = sequence("x", 3);
    Graph *g = import(1, &x);
    cr_assert(g, "%s", diag_text(ctx));
    cr_assert_eq(g->top->params.n, 3);
    cr_assert_str_eq(g->top->params.at[2]->name, "x[2]");
    cr_assert_neq(g->top->params.at[0]->type.dim[0], g->top->params.at[1]->type.dim[0], "their sizes are independent");
    cr_assert_str_eq(g->output_names.at[1], "y[1]");
    const Formal *in = g->signature->inputs.at, *out = g->signature->outputs.at;
    cr_assert(in->kind == DLVK_VALUE_SEQUENCE && in->first == 0 && in->n == 3 && strcmp(in->name, "x") == 0);
    cr_assert(out->kind == DLVK_VALUE_SEQUENCE && out->n == 3);
}

Test(sequence, a_tensor_given_for_one)
{
    identity_of_sequence();
    OnnxAssumed x = scalar("x", DLVK_I64, 1);
    cr_assert_null(import(1, &x));
    HAS("input 'x' is a sequence, but the value given for it is a tensor");
}

Test(sequence, an_element_of_another_rank)
{
    identity_of_sequence();
    OnnxAssumed x = sequence("x", 1);
    ((Tensor *)(uintptr_t)x.at[0])->rank = 0;
    cr_assert_null(import(1, &x));
    HAS("input 'x[0]'");
}

Test(sequence, optionals_with_and_without_a_value)
{
    for (int k = 0; k < 2; k++) {
        if (k) finish();
        pool = (Pool){0};
        model_init(&m, 18);
        model_input(&m, "x", F32, "4");
        wrap(true);
        model_node(&m, "OptionalHasElement", "x", "y");
        model_output(&m, "y");
        OnnxAssumed none = {.name = "x", .kind = DLVK_VALUE_NONE};
        Graph *g = import(k, &none);
        cr_assert(g, "%s", diag_text(ctx));
        const Tensor *t;
        cr_assert(value_const(g->top->results.at[0], &t));
        cr_assert_eq(elem_get_i(t->dtype, t->data, 0), !k);
        cr_assert_eq(g->top->params.n, 1 - k);
        cr_assert(k ? g->signature->inputs.at[0].kind == DLVK_VALUE_NONE : !g->signature);
    }
}

/* for i in range(trips): s.append(x) */
static void appending_loop(bool data_decides)
{
    model_init(&m, 17);
    model_input(&m, "trips", I64, "");
    model_input(&m, "x", F32, "4");
    Onnx__GraphProto *body = POOL_NEW(&m.pool, Onnx__GraphProto);
    onnx__graph_proto__init(body);
    static char *const in[] = {"i", "go", "s"}, *const out[] = {"go_on", "t"};
    for (int i = 0; i < 3; i++) {
        Onnx__ValueInfoProto *v = POOL_NEW(&m.pool, Onnx__ValueInfoProto);
        onnx__value_info_proto__init(v);
        v->name = in[i];
        list_add(&m, &body->n_input, &body->input, v);
    }
    for (int i = 0; i < 2; i++) {
        Onnx__ValueInfoProto *v = POOL_NEW(&m.pool, Onnx__ValueInfoProto);
        onnx__value_info_proto__init(v);
        v->name = out[i];
        list_add(&m, &body->n_output, &body->output, v);
    }
    if (data_decides) {
        node_int(&m, graph_node(&m, body, "ReduceMax", "x", "most"), "keepdims", 0);
        graph_node(&m, body, "Cast", "most", "go_on");
        node_int(&m, body->node[1], "to", BOOL);
    } else {
        graph_node(&m, body, "Identity", "go", "go_on");
    }
    graph_node(&m, body, "SequenceInsert", "s,x", "t");
    model_node(&m, "SequenceEmpty", "", "empty");
    Onnx__NodeProto *loop = model_node(&m, "Loop", "trips,,empty", "y");
    node_attr_new(&m, loop, "body", ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__GRAPH)->g = body;
    model_output(&m, "y");
}

Test(sequence, a_loop_that_appends_is_unrolled)
{
    appending_loop(false);
    OnnxAssumed trips = scalar("trips", DLVK_I64, 5);
    Graph *g = import(1, &trips);
    cr_assert(g, "%s", diag_text(ctx));
    cr_assert_eq(g->top->results.n, 5);
    cr_assert_eq(g->top->params.n, 2, "an assumed input stays in the signature");
}

Test(sequence, a_loop_of_unknown_length)
{
    appending_loop(false);
    cr_assert_null(import(0, NULL));
    HAS("output 'y' is a sequence whose length is known only when the model runs");
    HAS("--assume");
}

/* Its sequence is what a loop node collects, as many as there are. */
Test(sequence, what_a_loop_of_unknown_length_appends_can_be_used)
{
    for (int ends_early = 0; ends_early < 2; ends_early++) {
        appending_loop(ends_early);
        node_int(&m, model_node(&m, "ConcatFromSequence", "y", "z"), "axis", 0);
        model_node(&m, "SequenceLength", "y", "n");
        m.graph.n_output = 0;
        model_output(&m, "z");
        model_output(&m, "n");
        model_write(&m);
        int64_t trips = 3;
        float x[4] = {1, 2, ends_early ? 0 : 3, -4};
        dlvk_host_tensor t[] = {{.dtype = DLVK_I64, .bytes = 8, .data = &trips},
                                {.dtype = DLVK_F32, .rank = 1, .dim = {4}, .bytes = sizeof x, .data = x}},
                         *out;
        dlvk_host_value in[] = {{.name = "trips", .n = 1, .at = &t[0]}, {.name = "x", .n = 1, .at = &t[1]}};
        dlvk_error err;
        int n;
        cr_assert_eq(dlvk_reference_run(m.path, in, 2, &out, &n, &err), DLVK_OK, "%s", err.text);
        cr_assert_eq(dlvk_host_tensor_get(&out[1], 0), 3);
        cr_assert(out[0].rank == 1 && out[0].dim[0] == 12);
        for (int i = 0; i < 12; i++) cr_expect_eq(dlvk_host_tensor_get(&out[0], i), x[i % 4]);
        for (int i = 0; i < n; i++) dlvk_host_tensor_free(&out[i]);
        dlvk_free(out);
        if (!ends_early) model_free(&m);
    }
}

Test(sequence, a_position_that_depends_on_data)
{
    model_init(&m, 17);
    model_input(&m, "x", F32, "4,3");
    model_input(&m, "p", I64, "");
    node_int(&m, model_node(&m, "SplitToSequence", "x", "s"), "axis", 0);
    model_node(&m, "SequenceAt", "s,p", "y");
    model_output(&m, "y");
    Graph *g = import(0, NULL);
    cr_assert(g, "%s", diag_text(ctx));
    cr_assert_eq(g->top->results.at[0]->type.rank, 2);
}

/* if (c) [x, x] else [x] or [x, -x] */
static Graph *branching(const char *other)
{
    model_init(&m, 17);
    model_input(&m, "c", BOOL, "");
    model_input(&m, "x", F32, "4");
    Onnx__NodeProto *branch = model_node(&m, "If", "c", "y");
    for (int i = 0; i < 2; i++) {
        Onnx__GraphProto *g = POOL_NEW(&m.pool, Onnx__GraphProto);
        onnx__graph_proto__init(g);
        graph_node(&m, g, "Neg", "x", "z");
        graph_node(&m, g, "SequenceConstruct", i ? other : "x,x", "s");
        Onnx__ValueInfoProto *v = POOL_NEW(&m.pool, Onnx__ValueInfoProto);
        onnx__value_info_proto__init(v);
        v->name = pool_strdup(&m.pool, "s");
        list_add(&m, &g->n_output, &g->output, v);
        node_attr_new(&m, branch, i ? "else_branch" : "then_branch", ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__GRAPH)->g = g;
    }
    model_output(&m, "y");
    return import(0, NULL);
}

Test(sequence, branches_with_sequences_of_one_length)
{
    Graph *g = branching("x,z");
    cr_assert(g, "%s", diag_text(ctx));
    cr_assert_eq(g->top->results.n, 2);
    cr_assert_eq(g->top->results.at[0]->def->op, OP_IF);
}

Test(sequence, branches_with_sequences_of_two_lengths)
{
    cr_assert_null(branching("x"));
    HAS("node 'If_0'");
    HAS("another length in each branch");
}

static dlvk_host_value written(Dlvk__Data__Value *v)
{
    size_t size = dlvk__data__value__get_packed_size(v);
    uint8_t *bytes = pool_alloc(&m.pool, size + 1);
    dlvk__data__value__pack(v, bytes);
    model_file(&m, "value.pb", bytes, size);
    dlvk_host_value got = {0};
    dlvk_error err;
    char path[128];
    snprintf(path, sizeof path, "%s/value.pb", m.dir);
    cr_assert_eq(dlvk_host_value_read(path, &got, &err), DLVK_OK, "%s", err.text);
    return got;
}

Test(sequence, values_in_files)
{
    model_init(&m, 17);
    Onnx__TensorProto t;
    onnx__tensor_proto__init(&t);
    int64_t data[] = {7, 8};
    t.has_data_type = 1, t.data_type = I64;
    int64_t two = 2;
    t.n_dims = 1, t.dims = &two;
    t.n_int64_data = 2, t.int64_data = data;
    Dlvk__Data__Value s = DLVK__DATA__VALUE__INIT, o = DLVK__DATA__VALUE__INIT, *inner = &s;
    Onnx__TensorProto *tensors[] = {&t, &t};
    s.name = "s";
    s.has_elem_type = 1, s.elem_type = 1;
    s.n_tensor = 2, s.tensor = tensors;
    dlvk_host_value got = written(&s);
    cr_assert(got.kind == DLVK_VALUE_SEQUENCE && got.n == 2 && strcmp(got.name, "s") == 0);
    cr_assert(got.at[1].dtype == DLVK_I64 && dlvk_host_tensor_get(&got.at[1], 1) == 8);
    dlvk_host_value_free(&got);

    o.has_elem_type = 1, o.elem_type = 3; /* an optional sequence */
    o.n_sequence = 1, o.sequence = &inner;
    got = written(&o);
    cr_assert(got.kind == DLVK_VALUE_SEQUENCE && got.n == 2);
    dlvk_host_value_free(&got);

    s.n_tensor = 0;
    got = written(&s);
    cr_assert(got.kind == DLVK_VALUE_SEQUENCE && got.n == 0);
    dlvk_host_value_free(&got);

    o.elem_type = 0, o.n_sequence = 0;
    got = written(&o);
    cr_assert(got.kind == DLVK_VALUE_NONE && got.n == 0);
    dlvk_host_value_free(&got);

    dlvk_host_tensor one;
    char path[128];
    snprintf(path, sizeof path, "%s/value.pb", m.dir);
    cr_assert_eq(dlvk_host_tensor_read(path, &one, NULL), DLVK_UNSUPPORTED);
}
