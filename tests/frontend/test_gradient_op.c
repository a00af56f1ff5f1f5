/* The Gradient operator: orders above the first, intermediate variables, values other than the variables', weights. */
#include "dlvk/compiler.h"
#include "tests/frontend/onnx_model.h"
#include <criterion/criterion.h>
#include <string.h>

enum { F32 = 1 };

static TestModel m;

static Onnx__AttributeProto *named(Onnx__NodeProto *n, const char *name, const char *value, bool list)
{
    Onnx__AttributeProto *a = node_attr_new(
        &m, n, name, list ? ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__STRINGS : ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__STRING);
    ProtobufCBinaryData *s = POOL_NEW(&m.pool, ProtobufCBinaryData);
    *s = (ProtobufCBinaryData){.len = strlen(value), .data = (uint8_t *)(uintptr_t)value};
    if (list)
        a->n_strings = 1, a->strings = s;
    else
        a->has_s = 1, a->s = *s;
    return a;
}

static void gradient(const char *in, const char *out, const char *x, const char *y)
{
    Onnx__NodeProto *n = model_node(&m, "Gradient", in, out);
    n->domain = "ai.onnx.preview.training";
    named(n, "xs", x, true);
    named(n, "y", y, false);
    model_output(&m, out);
}

static void start(void)
{
    model_init(&m, 17);
    model_opset(&m, &m.proto.n_opset_import, &m.proto.opset_import, "ai.onnx.preview.training", 1);
    model_input(&m, "x", F32, "2");
}

/* The outputs at x = (3, -2), one after the other. */
static void expect(int n, const float (*want)[2])
{
    float x[2] = {3, -2};
    dlvk_host_tensor t = {.dtype = DLVK_F32, .rank = 1, .dim = {2}, .bytes = sizeof x, .data = x}, *out = NULL;
    dlvk_host_value v = {.name = "x", .n = 1, .at = &t};
    dlvk_error err;
    int n_out = 0;
    model_write(&m);
    cr_assert_eq(dlvk_reference_run(m.path, &v, 1, &out, &n_out, &err), DLVK_OK, "%s", err.text);
    cr_assert_eq(n_out, n);
    for (int i = 0; i < n; i++)
        for (int k = 0; k < 2; k++)
            cr_expect_float_eq(dlvk_host_tensor_get(&out[i], k), want[i][k], 1e-4, "output %d element %d is %g, not %g", i, k,
                               dlvk_host_tensor_get(&out[i], k), want[i][k]);
    for (int i = 0; i < n; i++) dlvk_host_tensor_free(&out[i]);
    dlvk_free(out);
    model_free(&m);
}

Test(gradient_op, three_orders_of_the_fourth_power)
{
    start();
    model_node(&m, "Mul", "x,x", "h");
    model_node(&m, "Mul", "h,h", "y");
    gradient("x", "first", "x", "y");
    gradient("x", "second", "x", "first");
    gradient("x", "third", "x", "second");
    expect(3, (const float[][2]){{108, -32}, {108, 48}, {72, -48}});
}

Test(gradient_op, of_an_intermediate_and_at_another_value)
{
    start();
    model_node(&m, "Mul", "x,x", "h");
    model_node(&m, "Mul", "h,h", "y");
    gradient("h", "at_h", "h", "y");
    gradient("x", "at_x", "h", "y");
    gradient("x", "none", "x", "x");
    expect(3, (const float[][2]){{18, 8}, {6, -4}, {1, 1}});
}

/* Constants, which would be folded into what is made of them. */
Test(gradient_op, of_an_initializer)
{
    start();
    int64_t two = 2;
    float w[] = {5, 7};
    Onnx__TensorProto *t = model_initializer(&m, "w", F32, 1, &two);
    t->n_float_data = 2, t->float_data = w;
    model_node(&m, "Mul", "w,w", "u");
    model_node(&m, "Mul", "u,x", "y");
    gradient("w", "dw", "w", "y");
    gradient("w", "du", "w", "u");
    expect(2, (const float[][2]){{30, -28}, {10, 14}});
}

Test(gradient_op, what_is_not_defined)
{
    start();
    model_node(&m, "Mul", "x,x", "y");
    gradient("x", "d", "z", "y");
    model_write(&m);
    dlvk_error err;
    dlvk_host_tensor *out;
    int n;
    cr_assert_eq(dlvk_reference_run(m.path, NULL, 0, &out, &n, &err), DLVK_UNSUPPORTED);
    cr_assert(strstr(err.text, "attribute 'xs': 'z' is not defined"), "%s", err.text);
    model_free(&m);
}
