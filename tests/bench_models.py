"""Models for the benchmarks, written with onnx.helper: real architectures, random weights in the file, symbolic batch.

    bench_models.py NAME FILE.onnx          NAME: mobilenetv2, bert, unet
"""
import sys

import numpy as np
from onnx import TensorProto, helper, numpy_helper, save


class Net:
    """A graph under construction; values are names."""

    def __init__(self, seed=0):
        self.nodes, self.weights = [], []
        self.rng = np.random.default_rng(seed)

    def weight(self, array):
        name = f"w{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(array, name))
        return name

    def normal(self, *shape, scale=1.0):
        return self.weight((self.rng.standard_normal(shape) * scale).astype(np.float32))

    def ints(self, *values):
        return self.weight(np.array(values, np.int64))

    def scalar(self, value):
        return self.weight(np.array(value, np.float32))

    def op(self, kind, *inputs, **attributes):
        name = f"v{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, [name], name=f"{kind}_{len(self.nodes)}", **attributes))
        return name

    def conv(self, x, ci, co, kernel, stride=1, groups=1, act=True):
        """Convolution and batch normalisation; the activation is ReLU6 where act is 6, ReLU where it is True."""
        fan = ci // groups * kernel * kernel
        x = self.op("Conv", x, self.normal(co, ci // groups, kernel, kernel, scale=(2 / fan) ** 0.5), group=groups,
                    kernel_shape=[kernel] * 2, strides=[stride] * 2, pads=[kernel // 2] * 4)
        scale = self.weight(self.rng.uniform(0.5, 1.0, co).astype(np.float32))
        variance = self.weight(self.rng.uniform(0.5, 1.5, co).astype(np.float32))
        x = self.op("BatchNormalization", x, scale, self.normal(co, scale=0.1), self.normal(co, scale=0.1), variance)
        if act == 6:
            return self.op("Clip", x, self.scalar(0), self.scalar(6))
        return self.op("Relu", x) if act else x

    def linear(self, x, ci, co):
        return self.op("Add", self.op("MatMul", x, self.normal(ci, co, scale=ci**-0.5)), self.normal(co, scale=0.1))

    def model(self, inputs, output, shape, opset=17):
        graph = helper.make_graph(self.nodes, "g", inputs, [helper.make_tensor_value_info(output, TensorProto.FLOAT, shape)],
                                  self.weights)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def image(size):
    return [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 3, size, size])]


def mobilenetv2():
    n = Net()
    x, ci = n.conv("x", 3, 32, 3, 2, act=6), 32
    for expand, co, repeat, stride in ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2),
                                       (6, 320, 1, 1)):
        for k in range(repeat):
            step, mid = stride if k == 0 else 1, ci * expand
            y = n.conv(x, ci, mid, 1, act=6) if expand > 1 else x
            y = n.conv(y, mid, mid, 3, step, groups=mid, act=6)
            y = n.conv(y, mid, co, 1, act=False)
            x = n.op("Add", x, y) if step == 1 and ci == co else y
            ci = co
    x = n.op("Flatten", n.op("GlobalAveragePool", n.conv(x, ci, 1280, 1, act=6)))
    return n.model(image(224), n.op("Gemm", x, n.normal(1280, 1000, scale=0.03), n.normal(1000)), ["batch", 1000])


def bert(layers=4, width=256, heads=4, tokens=128):
    """BERT-mini's sizes."""
    n = Net()
    x = n.op("Add", n.op("Gather", n.normal(1000, width), "ids"), n.normal(tokens, width))

    def norm(x):
        return n.op("LayerNormalization", x, n.normal(width, scale=0.1), n.normal(width, scale=0.1), axis=-1)

    def split(x):
        return n.op("Transpose", n.op("Reshape", x, n.ints(0, 0, heads, width // heads)), perm=[0, 2, 1, 3])

    for _ in range(layers):
        q, k, v = (split(n.linear(x, width, width)) for _ in range(3))
        scores = n.op("MatMul", q, n.op("Transpose", k, perm=[0, 1, 3, 2]))
        scores = n.op("Softmax", n.op("Mul", scores, n.scalar((width // heads) ** -0.5)), axis=-1)
        y = n.op("Reshape", n.op("Transpose", n.op("MatMul", scores, v), perm=[0, 2, 1, 3]), n.ints(0, 0, width))
        x = norm(n.op("Add", x, n.linear(y, width, width)))
        y = n.linear(x, width, 4 * width)
        gelu = n.op("Mul", n.op("Mul", y, n.op("Add", n.op("Erf", n.op("Mul", y, n.scalar(0.5**0.5))), n.scalar(1))), n.scalar(0.5))
        x = norm(n.op("Add", x, n.linear(gelu, 4 * width, width)))
    ids = [helper.make_tensor_value_info("ids", TensorProto.INT64, ["batch", tokens])]
    return n.model(ids, n.op("Tanh", x), ["batch", tokens, width])


def unet(width=16, depth=3, size=128):
    n = Net()

    def double(x, ci, co):
        return n.conv(n.conv(x, ci, co, 3), co, co, 3)

    x, ci, kept = "x", 3, []
    for k in range(depth):
        x = double(x, ci, width << k)
        ci = width << k
        kept.append(x)
        x = n.op("MaxPool", x, kernel_shape=[2, 2], strides=[2, 2])
    x = double(x, ci, ci * 2)
    ci *= 2
    for k in reversed(range(depth)):
        co = width << k
        if k % 2:
            x = n.op("ConvTranspose", x, n.normal(ci, co, 2, 2, scale=ci**-0.5), kernel_shape=[2, 2], strides=[2, 2])
        else:
            x = n.conv(n.op("Resize", x, "", n.weight(np.array([1, 1, 2, 2], np.float32)), mode="linear"), ci, co, 1)
        x = double(n.op("Concat", kept[k], x, axis=1), 2 * co, co)
        ci = co
    return n.model(image(size), n.op("Sigmoid", n.conv(x, ci, 2, 1, act=False)), ["batch", 2, size, size])


MODELS = {"mobilenetv2": mobilenetv2, "bert": bert, "unet": unet}

if __name__ == "__main__":
    save(MODELS[sys.argv[1]](), sys.argv[2])
