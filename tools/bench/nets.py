"""Models for the benchmarks, as ONNX, with random weights in the file: some written here (symbolic batch), and those of ONNX's test data.

    nets.py DIR NAME...          writes DIR/NAME.onnx; NAME: mobilenetv2, bert, unet, lenet, or light_* without "light_"

The light_* models of ONNX's test data make their weights by ConstantOfShape, and a benchmark on splat constants measures
nothing: they get random weights, put into the file."""
import os
import sys

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper, save

LIGHT = "/usr/share/libonnx-testdata/data/light"


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


def lenet():
    """Of PyTorch's MNIST example, for training: 32 and 64 channels."""
    n = Net()
    x, ci = "x", 1
    for co in (32, 64):
        x = n.op("Conv", x, n.normal(co, ci, 3, 3, scale=(2 / (9 * ci)) ** 0.5), n.normal(co, scale=0.1), kernel_shape=[3, 3], pads=[1] * 4)
        x, ci = n.op("MaxPool", n.op("Relu", x), kernel_shape=[2, 2], strides=[2, 2]), co
    x = n.op("Relu", n.linear(n.op("Flatten", x), 64 * 49, 128))
    given = [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 1, 28, 28])]
    return n.model(given, n.linear(x, 128, 10), ["batch", 10])


def randomize(model):
    """Replaces ConstantOfShape of known shapes by random initializers that keep activations within reason."""
    rng = np.random.default_rng(0)
    graph = model.graph
    shapes = {i.name: numpy_helper.to_array(i) for i in graph.initializer}
    users = {}
    for node in graph.node:
        for k, name in enumerate(node.input):
            users.setdefault(name, []).append((node, k))

    def is_used(name, op, inputs):  # as one of these inputs of such a node, perhaps through an Unsqueeze
        return any((n.op_type == op and k in inputs) or (n.op_type == "Unsqueeze" and is_used(n.output[0], op, inputs))
                   for n, k in users.get(name, []))

    kept, used_shapes = [], set()
    for node in graph.node:
        if node.op_type != "ConstantOfShape" or node.input[0] not in shapes:
            kept.append(node)
            continue
        shape = [int(d) for d in shapes[node.input[0]]]
        used_shapes.add(node.input[0])
        if len(shape) >= 2:
            value = rng.standard_normal(shape) * np.sqrt(2.0 / max(1, np.prod(shape[1:])))
        elif is_used(node.output[0], "BatchNormalization", [1]):
            value = rng.uniform(0.2, 0.8, shape)  # below 1: residual sums grow
        elif is_used(node.output[0], "BatchNormalization", [4]) or is_used(node.output[0], "Mul", [0, 1]):
            value = rng.uniform(0.5, 1.5, shape)
        else:
            value = rng.standard_normal(shape) * 0.1
        graph.initializer.append(numpy_helper.from_array(value.astype(np.float32), node.output[0]))
    del graph.node[:]
    graph.node.extend(kept)
    for name in used_shapes:
        if not any(name in n.input for n in kept):
            graph.initializer.remove(next(i for i in graph.initializer if i.name == name))
    weights = {i.name for i in graph.initializer} | used_shapes  # as inputs they would keep ONNX Runtime from folding them
    inputs = [i for i in graph.input if i.name not in weights]
    del graph.input[:]
    graph.input.extend(inputs)
    model.ir_version = max(model.ir_version, 4)  # from 4 on initializers need not be inputs
    return model


MODELS = {"mobilenetv2": mobilenetv2, "bert": bert, "unet": unet, "lenet": lenet}


def make(name, path):
    save(MODELS[name]() if name in MODELS else randomize(onnx.load(f"{LIGHT}/light_{name}.onnx")), path)


if __name__ == "__main__":
    for wanted in sys.argv[2:]:
        os.makedirs(sys.argv[1], exist_ok=True)
        make(wanted, f"{sys.argv[1]}/{wanted}.onnx")
