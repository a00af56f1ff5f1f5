/* The importer: tensor encodings, external data, functions, scopes, and what it says about models that are wrong. */
#include "dlvk/host.h"
#include "frontend/onnx/import.h"
#include "ir/build.h"
#include "tests/frontend/onnx_model.h"
#include "tests/ir/eval_check.h"
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { F32 = 1, I8 = 3, I32 = 6, I64 = 7, STR = 8, BOOL = 9, F16 = 10, F64 = 11, U32 = 12, U64 = 13, INT4 = 22 };

static TestModel m;
static Pool pool;
static Context *ctx;
static OnnxModel *kept;

static Graph *import(void)
{
    model_write(&m);
    ctx = context_new(&pool);
    return onnx_import_file(ctx, m.path, &kept);
}

static void finish(void)
{
    onnx_model_free(kept);
    kept = NULL;
    pool_free(&pool);
    model_free(&m);
}

#define HAS(text) cr_assert(strstr(diag_text(ctx), text), "no '%s' in:\n%s", text, diag_text(ctx))

/* A model whose output is the initializer alone. */
static const Tensor *only_initializer(void)
{
    model_output(&m, "w");
    Graph *g = import();
    const Tensor *t = NULL;
    if (g) cr_assert(value_const(g->top->results.at[0], &t));
    return t;
}

static Onnx__TensorProto *w(int type, int64_t n)
{
    return model_initializer(&m, "w", type, 1, &n);
}

static Graph *import_bytes(const void *bytes, size_t size)
{
    onnx_model_free(kept);
    pool_free(&pool);
    pool = (Pool){0};
    model_file(&m, "model.onnx", bytes, size);
    ctx = context_new(&pool);
    return onnx_import_file(ctx, m.path, &kept);
}

TestSuite(import, .fini = finish);

Test(import, numbers_in_typed_fields)
{
    model_init(&m, 17);
    Onnx__TensorProto *t = w(F16, 3);
    int32_t bits[] = {0x3C00, 0xC000, 0x7C00}; /* 1, -2, infinity */
    t->n_int32_data = 3;
    t->int32_data = bits;
    const Tensor *got = only_initializer();
    cr_assert(got, "%s", diag_text(ctx));
    cr_assert_eq(elem_get_f(got->dtype, got->data, 0), 1);
    cr_assert_eq(elem_get_f(got->dtype, got->data, 1), -2);
}

Test(import, four_bit_integers_are_packed)
{
    model_init(&m, 21);
    Onnx__TensorProto *t = w(INT4, 3);
    int32_t bytes[] = {0x7F, 0x08}; /* -1, 7, -8 */
    t->n_int32_data = 2;
    t->int32_data = bytes;
    const Tensor *got = only_initializer();
    cr_assert(got, "%s", diag_text(ctx));
    const int64_t want[] = {-1, 7, -8};
    for (int i = 0; i < 3; i++) cr_assert_eq(elem_get_i(got->dtype, got->data, i), want[i]);
}

Test(import, unsigned_32_in_uint64_data)
{
    model_init(&m, 17);
    Onnx__TensorProto *t = w(U32, 2);
    uint64_t v[] = {1, 4000000000u};
    t->n_uint64_data = 2;
    t->uint64_data = v;
    const Tensor *got = only_initializer();
    cr_assert(got, "%s", diag_text(ctx));
    cr_assert_eq(elem_get_i(got->dtype, got->data, 1), 4000000000ll);
}

Test(import, too_little_data)
{
    model_init(&m, 17);
    Onnx__TensorProto *t = w(F32, 3);
    uint8_t raw[8] = {0};
    t->has_raw_data = 1;
    t->raw_data = (ProtobufCBinaryData){.len = 8, .data = raw};
    cr_assert_null(only_initializer());
    HAS("initializer 'w': holds 8 bytes of data where its shape needs 12");
}

Test(import, sparse_initializer)
{
    model_init(&m, 17);
    Onnx__SparseTensorProto s;
    onnx__sparse_tensor_proto__init(&s);
    int64_t two = 2, at[] = {1, 4}, dims[] = {2, 3};
    float v[] = {5, 7};
    s.values = model_tensor(&m, "w", F32, 1, &two);
    s.values->n_float_data = 2;
    s.values->float_data = v;
    s.indices = model_tensor(&m, "", I64, 1, &two);
    s.indices->n_int64_data = 2;
    s.indices->int64_data = at;
    s.n_dims = 2;
    s.dims = dims;
    list_add(&m, &m.graph.n_sparse_initializer, &m.graph.sparse_initializer, &s);
    const Tensor *got = only_initializer();
    cr_assert(got, "%s", diag_text(ctx));
    const float want[] = {0, 5, 0, 0, 7, 0};
    cr_assert_arr_eq(got->data, want, sizeof want);
}

Test(import, external_data_is_read_at_its_offset)
{
    model_init(&m, 17);
    float data[] = {1, 2, 3, 4};
    model_file(&m, "weights.bin", data, sizeof data);
    tensor_external(&m, w(F32, 2), "weights.bin", "8", "8");
    const Tensor *got = only_initializer();
    cr_assert(got, "%s", diag_text(ctx));
    cr_assert_arr_eq(got->data, data + 2, 8);
}

Test(import, external_data_past_the_end)
{
    model_init(&m, 17);
    model_file(&m, "weights.bin", "12345678", 8);
    tensor_external(&m, w(F32, 2), "weights.bin", "4", NULL);
    cr_assert_null(only_initializer());
    HAS("too few for 8 at offset 4");
}

static void refuses(const char *location)
{
    model_init(&m, 17);
    tensor_external(&m, w(F32, 1), location, NULL, NULL);
    cr_assert_null(only_initializer());
    HAS("lies outside of the model's folder");
}

Test(import, external_data_absolute)
{
    refuses("/etc/hostname");
}
Test(import, external_data_dot_dot)
{
    refuses("a/../../x");
}

Test(import, external_data_link_leads_out)
{
    model_init(&m, 17);
    char link[128];
    snprintf(link, sizeof link, "%s/w.bin", m.dir);
    cr_assert_eq(symlink("/etc/passwd", link), 0);
    tensor_external(&m, w(F32, 1), "w.bin", NULL, NULL);
    cr_assert_null(only_initializer());
    HAS("lies outside of the model's folder");
}

Test(import, symbols_of_inputs)
{
    model_init(&m, 17);
    model_input(&m, "x", F32, "batch,3,?");
    model_output(&m, "x");
    Graph *g = import();
    cr_assert(g, "%s", diag_text(ctx));
    cr_assert_str_eq(type_to_string(&pool, g->top->results.at[0]->type), "f32[batch,3,x_dim2]");
    cr_assert_str_eq(g->output_names.at[0], "x");
}

/* What depends on a random operator, in a branch or a function too, is known to; the rest is not. */
Test(import, chance)
{
    model_init(&m, 17);
    model_input(&m, "x", F32, "4");
    model_input(&m, "c", BOOL, "");
    Onnx__NodeProto *branch = model_node(&m, "If", "c", "chosen"), *sample = model_node(&m, "Bernoulli", "x", "sample");
    node_int(&m, sample, "dtype", F64);
    static const char *const arms[] = {"then_branch", "else_branch"};
    for (int i = 0; i < 2; i++) {
        Onnx__GraphProto *g = POOL_NEW(&m.pool, Onnx__GraphProto);
        *g = (Onnx__GraphProto)ONNX__GRAPH_PROTO__INIT;
        g->name = (char *)arms[i];
        graph_node(&m, g, i ? "RandomNormalLike" : "Identity", "x", "r");
        Onnx__ValueInfoProto *r = POOL_NEW(&m.pool, Onnx__ValueInfoProto);
        *r = (Onnx__ValueInfoProto)ONNX__VALUE_INFO_PROTO__INIT;
        r->name = "r";
        list_add(&m, &g->n_output, &g->output, r);
        node_attr_new(&m, branch, arms[i], ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__GRAPH)->g = g;
    }
    node_int(&m, model_node(&m, "Cast", "sample", "cast"), "to", I32);
    model_node(&m, "Neg", "cast", "negative");
    model_node(&m, "Dropout", "x", "kept,mask");
    Onnx__FunctionProto *f = model_function(&m, "local", "Noise", "a", "b");
    Onnx__NodeProto *noise = node_new_proto(&m, "RandomUniformLike", "a", "b");
    list_add(&m, &f->n_node, &f->node, noise);
    model_opset(&m, &f->n_opset_import, &f->opset_import, "", 17);
    model_opset(&m, &m.proto.n_opset_import, &m.proto.opset_import, "local", 1);
    model_node(&m, "local.Noise", "x", "noise");
    model_node(&m, "Less", "x,noise", "less");
    static const struct {
        const char *name;
        dlvk_chance chance;
    } want[] = {{"x", DLVK_CERTAIN},        {"chosen", DLVK_RANDOM}, {"sample", DLVK_RANDOM_BITS},
                {"cast", DLVK_RANDOM_BITS}, {"kept", DLVK_CERTAIN},  {"negative", DLVK_RANDOM},
                {"mask", DLVK_CERTAIN},     {"noise", DLVK_RANDOM},  {"less", DLVK_RANDOM_BITS}};
    for (size_t i = 0; i < sizeof want / sizeof *want; i++) model_output(&m, want[i].name);
    Graph *g = import();
    cr_assert(g, "%s", diag_text(ctx));
    for (size_t i = 0; i < sizeof want / sizeof *want; i++) cr_expect_eq(g->chance[i], want[i].chance, "%s", want[i].name);
}

/* All faults of a model in one go. */
Test(import, all_errors_are_gathered)
{
    model_init(&m, 17);
    model_input(&m, "x", F32, "2");
    model_node(&m, "Frobnicate", "x", "a")->name = "first";
    model_node(&m, "com.acme.Blend", "x", "b");
    model_node(&m, "Gelu", "x", "c");
    model_node(&m, "Relu", "a", "d"); /* depends on a fault: not one itself */
    model_node(&m, "Relu", "nowhere", "e");
    model_node(&m, "Neg", "g", "f");
    model_node(&m, "Relu", "x", "g");
    model_node(&m, "Add", "x", "h");
    model_node(&m, "Relu", "x", "g");
    model_output(&m, "d");
    model_output(&m, "missing");
    cr_assert_null(import());
    HAS("node 'first' (Frobnicate, opset 17): operator 'Frobnicate' is not supported");
    HAS("does not import the domain 'com.acme'");
    HAS("node 'Gelu_2' (Gelu, opset 17): operator 'Gelu' is not in this opset; 20 is the first");
    HAS("input 'nowhere' is not defined");
    HAS("input 'g' is the output of a later node");
    HAS("(Add, opset 17): input 1 is missing");
    HAS("output 'g' has the name of an earlier value");
    HAS("output 'missing' of graph 'test' is not defined");
    cr_assert_eq(ctx->diag.errors, 8, "%s", diag_text(ctx));
}

Test(import, attribute_of_the_wrong_type)
{
    model_init(&m, 17);
    model_input(&m, "x", F32, "2,3");
    Onnx__NodeProto *n = model_node(&m, "Concat", "x,x", "y");
    node_attr_new(&m, n, "axis", ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__FLOAT);
    model_output(&m, "y");
    cr_assert_null(import());
    HAS("attribute 'axis' is not an integer");
}

/* What nothing would read, and types that are not those of the values. */
Test(import, attributes_and_types_that_contradict)
{
    model_init(&m, 17);
    model_input(&m, "x", F32, "2,3");
    node_int(&m, model_node(&m, "Softmax", "x", "a"), "axsi", 0);
    node_int(&m, model_node(&m, "MatMulInteger", "x,x", "b"), "axis", 0);
    node_int(&m, model_node(&m, "Relu", "x", "c"), "__of_a_tool", 0);
    node_int(&m, model_node(&m, "Shape", "c", "d"), "end", 1);
    model_output(&m, "c");
    model_output(&m, "d");
    Onnx__TypeProto__Tensor t = ONNX__TYPE_PROTO__TENSOR__INIT;
    Onnx__TypeProto type = ONNX__TYPE_PROTO__INIT;
    t.has_elem_type = true;
    t.elem_type = F32;
    type.value_case = ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE;
    type.tensor_type = &t;
    m.graph.output[0]->type = m.graph.output[1]->type = &type;
    cr_assert_null(import());
    HAS("node 'Softmax_0' (Softmax, opset 17): attribute 'axsi' is not one of its attributes, which are: axis");
    HAS("(MatMulInteger, opset 17): attribute 'axis' is given; it has none");
    HAS("'d' is declared to be of f32, and is of i64");
    cr_assert_eq(ctx->diag.errors, 3, "%s", diag_text(ctx));
}

/* Caches of keys and values that have room for more, or are quantized, and scales of no axis. */
Test(import, what_attention_cannot_do)
{
    model_init(&m, 17);
    model_opset(&m, &m.proto.n_opset_import, &m.proto.opset_import, "com.microsoft", 1);
    model_input(&m, "x", F32, "2,3,8");
    model_input(&m, "w", F32, "8,24");
    model_input(&m, "n", I32, "");
    model_input(&m, "s", F32, "");
    Onnx__NodeProto *shared[] = {model_node(&m, "com.microsoft.Attention", "x,w,w", "a"),
                                 model_node(&m, "com.microsoft.QAttention", "x,w,w,s,s", "b")};
    for (int i = 0; i < 2; i++) node_int(&m, shared[i], "past_present_share_buffer", 1);
    model_node(&m, "com.microsoft.Attention", "x,w,w,,,,n", "c");
    model_node(&m, "com.microsoft.MultiHeadAttention", "x,x,x,,,,,,n", "d");
    Onnx__NodeProto *grouped = model_node(&m, "com.microsoft.GroupQueryAttention", "x,x,x,,,n,n", "e");
    Onnx__AttributeProto *quantized = node_attr_new(&m, grouped, "k_quant_type", ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__STRING);
    quantized->s = (ProtobufCBinaryData){.len = 3, .data = (uint8_t[]){"ALL"}};
    model_node(&m, "com.microsoft.GroupQueryAttention", "x,x,x,,,n,n,,,,,,,s", "f");
    model_node(&m, "com.microsoft.DynamicQuantizeLSTM", "x,x,x,,,,,,s,s,s,s", "g");
    model_output(&m, "a");
    cr_assert_null(import());
    HAS("node 'Attention_0' (com.microsoft.Attention, opset 1): attribute 'past_present_share_buffer'");
    HAS("(com.microsoft.QAttention, opset 1): attribute 'past_present_share_buffer'");
    HAS("input 6, 'past_sequence_length'");
    HAS("inputs 8 and 9, 'past_sequence_length'");
    HAS("'k_quant_type' other than NONE");
    HAS("scales of such a cache in input 13");
    HAS("input 8, scale or zero point of weights, is of rank 0");
}

/* What once overflowed, or read what is not there. */
Test(import, sizes_without_end)
{
    model_init(&m, 17);
    model_input(&m, "x", F32, "4611686018427387904,4");
    model_input(&m, "y", F32, "2,3,4");
    int64_t none = 0;
    model_initializer(&m, "n", I64, 1, &none);
    model_node(&m, "Shape", "y", "s");
    model_node(&m, "Sub", "s,n", "d");
    model_node(&m, "SequenceConstruct", "y,y", "q");
    model_node(&m, "Transpose", "q", "t");
    model_output(&m, "d");
    cr_assert_null(import());
    HAS("input 'x' is of type f32[4611686018427387904,4]");
    HAS("(Sub): sizes 3 and 0 must be equal (inputs: i64[3], i64[0])");
    HAS("(Transpose, opset 17): input 0 is a sequence or optional, not a tensor");
}

Test(import, a_pattern_that_is_none)
{
    dlvk_error err;
    if (!dlvk_host_op_find("regex_full_match", &err)) cr_skip_test("libdlvk-host is without regular expressions");
    model_init(&m, 20);
    model_input(&m, "x", STR, "2");
    Onnx__NodeProto *n = model_node(&m, "RegexFullMatch", "x", "y");
    Onnx__AttributeProto *a = node_attr_new(&m, n, "pattern", ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__STRING);
    a->has_s = 1;
    a->s = (ProtobufCBinaryData){5, (uint8_t *)(uintptr_t) "a(b|c"};
    model_output(&m, "y");
    cr_assert_null(import());
    HAS("(RegexFullMatch, opset 20): the pattern 'a(b|c': missing )");
}

/* f(x, k) = Flatten(x, axis = @k) in a domain of its own, called twice; the second call takes the default. */
Test(import, functions_with_attribute_references)
{
    model_init(&m, 17);
    model_opset(&m, &m.proto.n_opset_import, &m.proto.opset_import, "my.own", 1);
    Onnx__FunctionProto *f = model_function(&m, "my.own", "Fold", "a", "b");
    model_opset(&m, &f->n_opset_import, &f->opset_import, "", 13);
    Onnx__NodeProto *flatten = node_new_proto(&m, "Flatten", "a", "b");
    Onnx__AttributeProto *axis = node_attr_new(&m, flatten, "axis", ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INT);
    axis->ref_attr_name = pool_strdup(&m.pool, "k");
    list_add(&m, &f->n_node, &f->node, flatten);
    Onnx__AttributeProto *fallback = node_attr_new(&m, NULL, "k", ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INT);
    fallback->has_i = 1;
    fallback->i = 1;
    list_add(&m, &f->n_attribute_proto, &f->attribute_proto, fallback);
    model_input(&m, "x", F32, "2,3,5");
    node_int(&m, model_node(&m, "my.own.Fold", "x", "y"), "k", 2);
    model_node(&m, "my.own.Fold", "x", "z");
    model_output(&m, "y");
    model_output(&m, "z");
    Graph *g = import();
    cr_assert(g, "%s", diag_text(ctx));
    cr_assert_str_eq(type_to_string(&pool, g->top->results.at[0]->type), "f32[6,5]");
    cr_assert_str_eq(type_to_string(&pool, g->top->results.at[1]->type), "f32[2,15]");
}

Test(import, a_function_that_calls_itself)
{
    model_init(&m, 17);
    model_opset(&m, &m.proto.n_opset_import, &m.proto.opset_import, "my.own", 1);
    Onnx__FunctionProto *f = model_function(&m, "my.own", "Loop", "a", "b");
    model_opset(&m, &f->n_opset_import, &f->opset_import, "my.own", 1);
    list_add(&m, &f->n_node, &f->node, node_new_proto(&m, "my.own.Loop", "a", "b"));
    model_input(&m, "x", F32, "2");
    model_node(&m, "my.own.Loop", "x", "y");
    model_output(&m, "y");
    cr_assert_null(import());
    HAS("does 'Loop' call itself?");
}

Test(import, large_constants_of_shape_stay_one_element)
{
    model_init(&m, 17);
    int64_t two = 2, dims[] = {100000, 1000000};
    Onnx__TensorProto *shape = model_initializer(&m, "shape", I64, 1, &two);
    shape->n_int64_data = 2;
    shape->int64_data = dims;
    model_node(&m, "ConstantOfShape", "shape", "y");
    model_output(&m, "y");
    Graph *g = import();
    cr_assert(g, "%s", diag_text(ctx));
    double x = 1;
    cr_assert(value_scalar(g->top->results.at[0], &x) && x == 0);
}

/* A type of sequences of sequences, 100,000 deep, written back to front: unpacking it would take all of the stack. */
Test(import, messages_nested_without_end)
{
    enum { SIZE = 4 << 20, LEVELS = 100000 };
    model_init(&m, 17);
    uint8_t *bytes = pool_alloc(&m.pool, SIZE), *at = bytes + SIZE;
    const uint8_t fields[] = {4 << 3 | 2, 1 << 3 | 2}, outside[] = {7 << 3 | 2, 11 << 3 | 2, 2 << 3 | 2}; /* graph, input, type */
    for (int i = 0; i < 2 * LEVELS + 3; i++) {
        size_t n = (size_t)(bytes + SIZE - at);
        for (int k = 21; k >= 0; k -= 7) *--at = (uint8_t)((n >> k & 127) | (k < 21 ? 128 : 0)); /* low bits first */
        *--at = i < 2 * LEVELS ? fields[1 - i % 2] : outside[2 * LEVELS + 2 - i];
    }
    *--at = 8;
    *--at = 1 << 3; /* ir_version: 8 */
    cr_assert_null(import_bytes(at, (size_t)(bytes + SIZE - at)));
    HAS("is not an ONNX model");
}

Test(import, no_such_file)
{
    model_init(&m, 17);
    ctx = context_new(&pool);
    cr_assert_null(onnx_import_file(ctx, m.path, &kept));
    cr_assert_eq(ctx->diag.status, DLVK_IO_ERROR);
    HAS("No such file");
}

/* No prefix of a model, and no model with one bit turned, brings the importer down. */
Test(import, damaged_files)
{
    model_init(&m, 17);
    model_input(&m, "x", F32, "2,n");
    float data[] = {1, 2};
    int64_t two = 2;
    Onnx__TensorProto *t = model_initializer(&m, "w", F32, 1, &two);
    t->n_float_data = 2;
    t->float_data = data;
    node_int(&m, model_node(&m, "Concat", "x,x", "y"), "axis", 0);
    model_node(&m, "Add", "y,w", "z");
    model_output(&m, "z");
    size_t size = onnx__model_proto__get_packed_size(&m.proto);
    uint8_t *bytes = pool_alloc(&m.pool, size);
    onnx__model_proto__pack(&m.proto, bytes);
    for (size_t i = 0; i < size; i++) {
        Graph *g = import_bytes(bytes, i);
        cr_assert(g || ctx->diag.errors > 0);
        if (i < 20) cr_assert_null(g);
    }
    for (size_t i = 0; i < 8 * size; i++) {
        bytes[i / 8] ^= (uint8_t)(1u << i % 8);
        Graph *g = import_bytes(bytes, size);
        cr_assert(g || ctx->diag.errors > 0);
        bytes[i / 8] ^= (uint8_t)(1u << i % 8);
    }
}
