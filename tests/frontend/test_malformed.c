/* Models that ask for what no operator means: every one is refused, and the message says by which node and attribute. */
#include "dlvk/train.h"
#include "frontend/onnx/import.h"
#include "tests/frontend/onnx_model.h"
#include "tests/ir/eval_check.h"
#include <criterion/criterion.h>
#include <string.h>

enum { F32 = 1, I32 = 6, I64 = 7 };

static TestModel m;

static void floats(const char *name, const char *dims)
{
    model_input(&m, name, F32, dims);
}

static void word(Onnx__NodeProto *n, const char *name, const char *text)
{
    Onnx__AttributeProto *a = node_attr_new(&m, n, name, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__STRING);
    a->has_s = 1;
    a->s = (ProtobufCBinaryData){strlen(text), (uint8_t *)(uintptr_t)text};
}

/* Imports the model, which must fail with each of these messages, and frees it. */
static void refused(int n, const char *const *texts)
{
    Pool pool = {0};
    OnnxModel *kept = NULL;
    Context *ctx = context_new(&pool);
    model_write(&m);
    cr_expect_null(onnx_import_file(ctx, m.path, &kept));
    const char *said = diag_text(ctx);
    for (int i = 0; i < n; i++) cr_expect(strstr(said, texts[i]), "no '%s' in:\n%s", texts[i], said);
    onnx_model_free(kept);
    pool_free(&pool);
    model_free(&m);
}
#define REFUSED(...) refused(sizeof((const char *[]){__VA_ARGS__}) / sizeof(const char *), (const char *[]){__VA_ARGS__})

Test(malformed, operands_that_no_one_asked_for)
{
    model_init(&m, 18);
    floats("x", "2,3");
    model_node(&m, "Add", "x,x,x", "a");
    model_node(&m, "Relu", "x,", "b"); /* an empty name is none */
    model_node(&m, "Clip", "x,,,,x", "c");
    model_output(&m, "b");
    REFUSED("node 'Add_0' (Add, opset 18): input 2 ('x') is one too many: there are 2", "(Clip, opset 18): input 4 ('x')");
}

Test(malformed, numbers_out_of_range)
{
    model_init(&m, 18);
    floats("x", "2,3,4,4");
    floats("y", "2,3");
    model_input(&m, "i", I64, "2,1");
    model_input(&m, "n", I64, "3");
    static const int64_t batch[] = {-1, INT64_MIN, INT64_MAX, 1ll << 32};
    for (int i = 0; i < 4; i++)
        node_int(&m, model_node(&m, "GatherND", "y,i", (const char *[]){"a", "b", "c", "d"}[i]), "batch_dims", batch[i]);
    node_int(&m, model_node(&m, "Cast", "y", "e"), "to", (1ll << 32) + F32);
    node_int(&m, model_node(&m, "ConvTranspose", "x,x", "f"), "group", -2);
    Onnx__NodeProto *p = model_node(&m, "LpPool", "x", "g");
    node_int(&m, p, "p", 0);
    Onnx__AttributeProto *kernel = node_attr_new(&m, p, "kernel_shape", ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INTS);
    kernel->n_ints = 2;
    kernel->ints = (int64_t[]){2, 2};
    Onnx__NodeProto *r = model_node(&m, "ReverseSequence", "y,n", "h");
    node_int(&m, r, "batch_axis", 1);
    node_int(&m, r, "time_axis", -1);
    node_int(&m, model_node(&m, "Split", "y", "j,k"), "num_outputs", 3);
    floats("z", "2,channels,4");
    node_int(&m, model_node(&m, "LRN", "z", "l"), "size", 1ll << 40);
    model_output(&m, "a");
    REFUSED("with -1 batch dimensions", "with -9223372036854775808 batch", "with 9223372036854775807 batch",
            "with 4294967296 batch", "attribute 'to': element type 4294967297", "attribute 'group' is -2", "attribute 'p' is 0",
            "'batch_axis' and 'time_axis' are both 1", "attribute 'num_outputs' is 3, and there are 2",
            "attribute 'size' is 1099511627776");
}

Test(malformed, words_and_what_is_missing)
{
    model_init(&m, 18);
    model_opset(&m, &m.proto.n_opset_import, &m.proto.opset_import, "ai.onnx.preview.training", 1);
    floats("x", "2,4,4,4");
    floats("s", "4");
    floats("boxes", "2,4");
    model_input(&m, "n", I64, "2");
    Onnx__NodeProto *d = model_node(&m, "DepthToSpace", "x", "a");
    node_int(&m, d, "blocksize", 2);
    word(d, "mode", "CR");
    word(model_node(&m, "RoiAlign", "x,boxes,n", "b"), "coordinate_transformation_mode", "half_pixels");
    model_node(&m, "Einsum", "x", "c");
    model_node(&m, "GroupNormalization", "x,s,s", "d");
    model_node(&m, "ai.onnx.preview.training.Momentum", "s,s,x,x,x", "e,f");
    model_node(&m, "SequenceConstruct", "x,x", "q");
    model_node(&m, "ConcatFromSequence", "q", "g");
    model_node(&m, "TfIdfVectorizer", "n", "h");
    model_output(&m, "a");
    REFUSED("attribute 'mode' is 'CR'; it can be: DCR CRD",
            "(RoiAlign, opset 18): attribute 'coordinate_transformation_mode' is 'half_pixels'",
            "attribute 'equation' is missing", "attribute 'num_groups' is missing", "attribute 'mode' is missing",
            "(ConcatFromSequence, opset 18): attribute 'axis' is missing",
            "(TfIdfVectorizer, opset 18): attribute 'mode' is missing");
}

Test(malformed, shapes_that_do_not_fit)
{
    model_init(&m, 18);
    floats("x", "5,2,3");
    floats("w", "1,12,3");
    floats("r", "1,12,4");
    floats("h", "1,1,4");
    floats("v", "2,2");
    model_input(&m, "i", I64, "2");
    model_input(&m, "n", I64, "");
    node_int(&m, model_node(&m, "RNN", "x,w,r", "a"), "hidden_size", 4);
    node_int(&m, model_node(&m, "GRU", "x,w,r", "b"), "hidden_size", 5);
    model_node(&m, "GRU", "x,w,r,,,h", "c");
    model_node(&m, "GRU", "x,w,r,x", "d");
    model_node(&m, "OneHot", "i,n,v", "e");
    model_node(&m, "OneHot", "i,i,v", "f");
    floats("x", "5");
    model_output(&m, "a");
    REFUSED("(RNN): sizes 12 and 4 must be equal", "'GRU_1' (GRU): sizes 4 and 5 must be equal",
            "'GRU_2' (GRU): sizes 1 and 2 must be equal", "'GRU_3' (GRU, opset 18): input 3 is of rank 3; it must be 2",
            "'OneHot_4' (OneHot, opset 18): the values have rank 2", "'OneHot_5' (OneHot, opset 18): the depth has 2 elements",
            "graph 'test' has two inputs 'x'");
}

static void list(Onnx__NodeProto *n, const char *name, int64_t v)
{
    Onnx__AttributeProto *a = node_attr_new(&m, n, name, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INTS);
    a->n_ints = 1;
    a->ints = pool_dup(&m.pool, &v, sizeof v);
}

/* One node and one leaf, and what is true leads past it. */
Test(malformed, a_tree_that_leads_nowhere)
{
    model_init(&m, 18);
    model_opset(&m, &m.proto.n_opset_import, &m.proto.opset_import, "ai.onnx.ml", 5);
    floats("x", "2,3");
    Onnx__NodeProto *n = model_node(&m, "ai.onnx.ml.TreeEnsemble", "x", "y");
    static const char *const zeros[] = {"nodes_featureids", "tree_roots", "leaf_targetids", "nodes_falsenodeids"};
    for (int i = 0; i < 4; i++) list(n, zeros[i], 0);
    list(n, "nodes_trueleafs", 1);
    list(n, "nodes_falseleafs", 1);
    list(n, "nodes_truenodeids", INT64_MAX);
    static const struct {
        const char *name;
        int type;
    } numbers[] = {{"leaf_weights", F32}, {"nodes_splits", F32}, {"nodes_modes", 2}};
    for (int i = 0; i < 3; i++) {
        Onnx__TensorProto *t = model_tensor(&m, "", numbers[i].type, 1, (int64_t[]){1});
        t->has_raw_data = 1;
        t->raw_data = (ProtobufCBinaryData){numbers[i].type == F32 ? 4 : 1, pool_alloc(&m.pool, 4)};
        node_attr_new(&m, n, numbers[i].name, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__TENSOR)->t = t;
    }
    model_output(&m, "y");
    REFUSED("(ai.onnx.ml.TreeEnsemble, opset 5): the attributes do not describe trees");
}

Test(malformed, types_and_sizes_that_mean_nothing)
{
    model_init(&m, 18);
    model_input(&m, "i", I64, "2,2");
    floats("x", "2,6");
    Onnx__TensorProto *t = model_initializer(&m, "t", I64, 1, (int64_t[]){2});
    t->n_int64_data = 2;
    t->int64_data = (int64_t[]){-3, -2};
    Onnx__TensorProto *s = model_initializer(&m, "s", I64, 1, (int64_t[]){2});
    s->n_int64_data = 2;
    s->int64_data = (int64_t[]){1, 4};
    model_node(&m, "LeakyRelu", "i", "a");
    model_node(&m, "Not", "i", "b");
    model_node(&m, "Tile", "x,t", "c"); /* the product is positive again */
    node_int(&m, model_node(&m, "Split", "x,s", "d,e"), "axis", 1);
    model_output(&m, "a");
    REFUSED("(LeakyRelu, opset 18): input 0 is of type i64[2,2]; it must be of floats",
            "(Not, opset 18): input 0 is of type i64[2,2]; it must be of bool", "f32[1,-3,2,6], which has a negative size",
            "(Split): sizes 5 and 6 must be equal");
}

/* The shape of a target is that of the first output, which must be known before the model has run. */
Test(malformed, nothing_to_compare_with_a_target)
{
    dlvk_gradient_options g = DLVK_GRADIENT_OPTIONS_INIT;
    dlvk_compile_options o = DLVK_COMPILE_OPTIONS_INIT;
    dlvk_training_options t = DLVK_TRAINING_OPTIONS_INIT;
    dlvk_error err;
    void *bundle;
    size_t size;
    g.of_inputs = true;
    g.loss = t.loss.loss = DLVK_LOSS_MSE;
    model_init(&m, 18);
    floats("x", "6");
    model_input(&m, "keep", 9, "6");
    model_node(&m, "Compress", "x,keep", "y");
    model_output(&m, "y");
    model_write(&m);
    cr_expect_eq(dlvk_compile_gradient_to_memory(m.path, &bundle, &size, &g, &o, &err), DLVK_UNSUPPORTED);
    cr_expect(strstr(err.text, "sizes depend on data"), "%s", err.text);
    m.graph.n_output = 0;
    model_write(&m);
    t.optimizer = dlvk_optimizer_at(0);
    cr_expect_eq(dlvk_compile_training_to_memory(m.path, &bundle, &size, &t, &o, &err), DLVK_UNSUPPORTED);
    cr_expect(strstr(err.text, "the model has no output"), "%s", err.text);
    model_free(&m);
}

/* No address space holds these elements. (The sanitizer ends programs that ask for so much.) */
Test(malformed, more_than_there_is_memory)
{
#ifdef __SANITIZE_ADDRESS__
    cr_skip_test("ends the program under AddressSanitizer");
#endif
    model_init(&m, 18);
    Onnx__SparseTensorProto *s = POOL_NEW(&m.pool, Onnx__SparseTensorProto);
    onnx__sparse_tensor_proto__init(s);
    s->values = model_tensor(&m, "many", F32, 1, (int64_t[]){1});
    s->values->n_float_data = 1;
    s->values->float_data = (float[]){1};
    s->indices = model_tensor(&m, "", I64, 1, (int64_t[]){1});
    s->indices->n_int64_data = 1;
    s->indices->int64_data = (int64_t[]){0};
    s->n_dims = 1;
    s->dims = (int64_t[]){1ll << 56};
    list_add(&m, &m.graph.n_sparse_initializer, &m.graph.sparse_initializer, s);
    model_output(&m, "many");
    model_write(&m);
    dlvk_compile_options o = DLVK_COMPILE_OPTIONS_INIT;
    dlvk_error err;
    void *bundle;
    size_t size;
    cr_expect_eq(dlvk_compile_file_to_memory(m.path, &bundle, &size, &o, &err), DLVK_OUT_OF_MEMORY);
    cr_expect(strstr(err.text, "node 'many' (initializer): out of memory while compiling"), "%s", err.text);
    model_free(&m);
}
