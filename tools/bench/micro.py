"""Micro benchmarks: one operator a model, written as ONNX, with the floor that bytes and operations set.

A case's leading size is symbolic ("n") where it is large, so that the same bundle can be compared with a rival on a small one."""
import numpy as np
from onnx import TensorProto, helper, numpy_helper, save

TYPE = {"f16": (np.float16, TensorProto.FLOAT16), "f32": (np.float32, TensorProto.FLOAT)}

# The sizes of a GPU and those of a CPU that poses as one.
BIG = dict(rows=(64, 1024, 4096), gemm=(512, 1024, 2048, 4096), attention=(8, 16, 2048, 64), types=("f16", "f32"),
           conv=((32, 64, 56), (32, 256, 14), (32, 512, 7), (1, 64, 56), (1, 256, 14)))
SMALL = dict(rows=(4, 128, 1024), gemm=(256, 512, 1024), attention=(1, 8, 256, 64), types=("f32",), conv=((1, 64, 56), (1, 256, 14), (1, 512, 7)))


class Micro:
    """name, op (what a rival calls), inputs (name, shape; the first size is "n" in the file where `symbolic`), weights, nodes, flops."""

    def __init__(self, name, op, dtype, inputs, out, nodes, flops=0, weights=(), symbolic=True, matrix=False):
        self.name, self.op, self.dtype, self.inputs, self.out, self.nodes = name, op, dtype, inputs, out, nodes
        self.flops, self.weights, self.symbolic, self.matrix = flops, weights, symbolic, matrix
        size = np.dtype(TYPE[dtype][0]).itemsize
        count = sum(int(np.prod(s)) for _, s in [*inputs, *weights]) + int(np.prod(out, dtype=np.int64))
        self.bytes = count * size

    def shapes(self, small):
        """Of the inputs; small: with the leading size cut to 1."""
        return {n: ([1, *s[1:]] if small and self.symbolic else list(s)) for n, s in self.inputs}

    def weight(self, name):
        """Of any initializer, always the same: He's scale, so that the results stay within f16."""
        shape = dict(self.weights)[name]
        fan = int(np.prod(shape[1:])) if len(shape) > 1 else 1
        return (np.random.default_rng(len(name) + sum(shape)).standard_normal(shape) * (1 / fan) ** 0.5).astype(TYPE[self.dtype][0])

    def write(self, path):
        kind = TYPE[self.dtype][1]
        given = [helper.make_tensor_value_info(n, kind, ["n", *s[1:]] if self.symbolic else s) for n, s in self.inputs]
        result = helper.make_tensor_value_info("y", kind, None if self.symbolic else self.out)
        inits = [numpy_helper.from_array(self.weight(n), n) for n, _ in self.weights]
        constants = [n for n in self.nodes if isinstance(n, TensorProto)]
        nodes = [n for n in self.nodes if not isinstance(n, TensorProto)]
        graph = helper.make_graph(nodes, self.name, given, [result], inits + constants)
        save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9), path)


def all_micros(sizes):
    made = []
    node = helper.make_node
    rows = sizes["rows"]
    count = int(np.prod(rows))
    for dtype in sizes["types"]:
        np_type = TYPE[dtype][0]

        def add(name, op, inputs, out, nodes, flops=0, **more):
            made.append(Micro(f"{name}/{dtype}", op, dtype, inputs, out, nodes, flops, **more))

        for n in sizes["gemm"]:
            add(f"gemm/{n}", "matmul", [("a", (n, n)), ("b", (n, n))], (n, n), [node("MatMul", ["a", "b"], ["y"])], 2 * n**3, symbolic=False,
                matrix=True)
        for b, c, hw in sizes["conv"]:
            add(f"conv3x3/b{b}-c{c}-{hw}", "conv", [("x", (b, c, hw, hw))], (b, c, hw, hw),
                [node("Conv", ["x", "w"], ["y"], pads=[1] * 4)], 2 * b * c * c * 9 * hw * hw, weights=[("w", (c, c, 3, 3))], matrix=True)
        b = sizes["conv"][0][0]
        add(f"conv1x1/b{b}-c256-56", "conv1", [("x", (b, 256, 56, 56))], (b, 64, 56, 56), [node("Conv", ["x", "w"], ["y"])],
            2 * b * 256 * 64 * 56 * 56, weights=[("w", (64, 256, 1, 1))], matrix=True)
        add(f"depthwise3x3/b{b}-c144-56", "depthwise", [("x", (b, 144, 56, 56))], (b, 144, 56, 56),
            [node("Conv", ["x", "w"], ["y"], pads=[1] * 4, group=144)], 2 * b * 144 * 9 * 56 * 56, weights=[("w", (144, 1, 3, 3))])
        x, tail = [("x", rows)], "x".join(map(str, rows))
        axis = numpy_helper.from_array(np.array([-1], np.int64), "axis")
        add(f"softmax/{tail}", "softmax", x, rows, [node("Softmax", ["x"], ["y"], axis=-1)])
        add(f"layernorm/{tail}", "layernorm", x, rows, [node("LayerNormalization", ["x", "w", "v"], ["y"], axis=-1)],
            weights=[("w", rows[-1:]), ("v", rows[-1:])])
        add(f"gelu/{tail}", "gelu", x, rows, [node("Gelu", ["x"], ["y"])])
        add(f"sum/{tail}", "sum", x, (), [node("ReduceSum", ["x"], ["y"], keepdims=0)])
        add(f"rowmax/{tail}", "rowmax", x, rows[:-1], [axis, node("ReduceMax", ["x", "axis"], ["y"], keepdims=0)])
        add(f"transpose/{tail}", "transpose", x, rows[::-1], [node("Transpose", ["x"], ["y"], perm=[2, 1, 0])])
        add(f"add/{tail}", "add", [("x", rows), ("z", rows)], rows, [node("Add", ["x", "z"], ["y"])], flops=count)
        shape = sizes["attention"]
        scale = numpy_helper.from_array(np.array(shape[3] ** -0.5, np_type), "scale")
        add(f"attention/{'x'.join(map(str, shape))}", "attention", [("q", shape), ("k", shape), ("v", shape)], shape,
            [scale, node("Transpose", ["k"], ["t"], perm=[0, 1, 3, 2]), node("MatMul", ["q", "t"], ["s"]), node("Mul", ["s", "scale"], ["u"]),
             node("Softmax", ["u"], ["p"], axis=-1), node("MatMul", ["p", "v"], ["y"])], 4 * shape[0] * shape[1] * shape[2] ** 2 * shape[3],
            matrix=True)
    return made
