"""Small models with symbolic sizes n and t, for sizes.sh: make_symbolic.py DIR writes DIR/NAME/model.onnx."""
import os
import sys

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

rng = np.random.default_rng(0)


def weight(name, *shape):
    return numpy_helper.from_array(rng.standard_normal(shape).astype(np.float32) * 0.3, name)


def write(folder, name, nodes, inits, x_shape, y_rank):
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, x_shape)
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, [None] * y_rank)
    model = helper.make_model(helper.make_graph(nodes, name, [x], [y], inits), opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    onnx.checker.check_model(model)
    os.makedirs(f"{folder}/{name}")
    onnx.save(model, f"{folder}/{name}/model.onnx")


folder = sys.argv[1]
# The shape arithmetic exporters write: flatten the leading dimensions, multiply, put them back.
write(folder, "reshape_by_shape", [
    helper.make_node("Shape", ["x"], ["s"]),
    helper.make_node("Gather", ["s", "zero"], ["n"]),
    helper.make_node("Gather", ["s", "one"], ["t"]),
    helper.make_node("Mul", ["n", "t"], ["nt"]),
    helper.make_node("Concat", ["nt", "width"], ["flat"], axis=0),
    helper.make_node("Reshape", ["x", "flat"], ["x2"]),
    helper.make_node("MatMul", ["x2", "w"], ["h"]),
    helper.make_node("Relu", ["h"], ["r"]),
    helper.make_node("Concat", ["n", "t", "width_out"], ["full"], axis=0),
    helper.make_node("Reshape", ["r", "full"], ["r3"]),
    helper.make_node("Softmax", ["r3"], ["y"], axis=1),
], [weight("w", 8, 6)] + [numpy_helper.from_array(np.array([v], np.int64), k)
                          for k, v in [("zero", 0), ("one", 1), ("width", 8), ("width_out", 6)]], ["n", "t", 8], 3)
# Strided windows over a symbolic length, where the output's size is an expression.
write(folder, "conv_pool", [
    helper.make_node("Conv", ["x", "w", "b"], ["c"], pads=[2, 2], strides=[2], kernel_shape=[5]),
    helper.make_node("LeakyRelu", ["c"], ["l"], alpha=0.1),
    helper.make_node("AveragePool", ["l"], ["y"], kernel_shape=[3], strides=[2], pads=[1, 1], count_include_pad=0),
], [weight("w", 4, 3, 5), weight("b", 4)], ["n", 3, "t"], 3)
