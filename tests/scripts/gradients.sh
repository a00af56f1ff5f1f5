#!/bin/bash
# dlvkc grad and dlvkc test --grad on both CPU drivers: the contract of the command line, samples of every family of operators and, where
# there is a ../shared/models beside the checkout, models whose gradients PyTorch computed in float64.
. "$(dirname "$0")/lib.sh"

# compare REFERENCES WRITTEN: every tensor within 1e-4 of its largest value.
compare='
import glob, os, sys
import numpy as np, onnx
from onnx import numpy_helper
for path in glob.glob(sys.argv[1] + "/*.pb"):
    name = os.path.basename(path)[:-3]
    if name == "target": continue
    t = onnx.TensorProto()
    t.ParseFromString(open(path, "rb").read())
    want, got = numpy_helper.to_array(t), np.load(f"{sys.argv[2]}/{name}.npy")
    assert want.shape == got.shape, f"{name}: shape {got.shape}"
    error = np.abs(want - got).max() / np.abs(want).max()
    assert error <= 1e-4, f"{name}: off by {error}"
'
for driver in "$LAVAPIPE" "$SWIFTSHADER"; do
    export VK_DRIVER_FILES=$driver
    on=$(basename "$driver" .json)
    for model in "$root"/../shared/models/train_*/; do
        [ -d "$model/grads" ] || continue
        name="$(basename "$model") on $on"
        rm -rf "$tmp/out"
        check_exit "$name runs" 0 '^loss [0-9.]+$' "$DLVKC" grad "$model/model.onnx" --loss cross-entropy \
            --input "x=$model/test_data_set_0/input_0.pb" --target "$model/grads/target.pb" --output-dir "$tmp/out"
        check "$name agrees with PyTorch" "$PYTHON" -c "$compare" "$model/grads" "$tmp/out"
    done
    for test in test_add_bcast test_basic_conv_with_padding test_convtranspose_group_2 test_maxpool_2d_same_upper test_maxpool_2d_precomputed_pads test_lstm_defaults \
        test_gather_elements_1 test_scatter_elements_with_duplicate_indices test_softmax_axis_1 test_cumsum_1d test_top_k \
        test_layer_normalization_2d_axis1 test_loop11 test_gridsample_bilinear test_softplus_example test_resize_upsample_scales_cubic; do
        [ -d "$data/node/$test" ] && check_exit "$test on $on" 0 "^PASS $test" "$DLVKC" test --grad "$data/node/$test"
    done
done

# ---- a linear model whose bias is an Identity of a second, equal one's initializer; losses in files; class weights ----
"$PYTHON" - "$tmp" <<'END'
from made import *
folder, rng = sys.argv[1], np.random.default_rng(0)
x, w, b = (rng.standard_normal(s).astype(np.float32) for s in ((6, 4), (4, 5), (5,)))
target, weight = np.array([0, 4, 2, 3, 1, 3]), np.array([.5, 2, 1, .25, 3])
save("linear", [h.make_node("Identity", ["b"], ["c"]), h.make_node("Gemm", ["x", "w", "b"], ["a"]), h.make_node("Tanh", ["c"], ["d"]),
                h.make_node("Add", ["a", "d"], ["y"])], [value("x", ["n", 4])], [value("y", ["n", 5])], [nh.from_array(w, "w"), nh.from_array(b, "b")])
save("squares", [h.make_node("Sub", ["y", "wanted"], ["e"]), h.make_node("Mul", ["e", "e"], ["s"]), h.make_node("ReduceMean", ["s"], ["cost"], keepdims=0)],
     [value("y", ["rows", 5]), value("wanted", ["rows", 5])], [value("cost", [])])
save("integers", [h.make_node("Cast", ["y"], ["cost"], to=T.INT64)], [value("y", ["rows", 5])], [value("cost", ["rows", 5], T.INT64)])
np.save(f"{folder}/x.npy", x); np.save(f"{folder}/labels.npy", target); np.save(f"{folder}/y.npy", rng.standard_normal((6, 5)).astype(np.float32))
z = (x @ w + b + np.tanh(b)).astype(np.float64)
p = np.exp(z - z.max(1, keepdims=True)); p /= p.sum(1, keepdims=True)
hot = np.eye(5)[target]; dz = (p - hot) * weight[target][:, None] / weight[target].sum()
np.savez(f"{folder}/want.npz", loss=-(np.log(p) * hot).sum(1) @ weight[target] / weight[target].sum(), w=x.T @ dz, b=dz.sum(0), c=dz.sum(0) / np.cosh(b) ** 2)
END
check_exit "weights of classes" 0 '^loss' "$DLVKC" grad "$tmp/linear.onnx" --class-weights 0.5,2,1,0.25,3 --input "x=$tmp/x.npy" --target "$tmp/labels.npy" --output-dir "$tmp/weighted"
check "they weigh, and equal parameters have gradients of their own" "$PYTHON" -c '
import sys, numpy as np
for name, want in np.load(sys.argv[1] + "/want.npz").items():
    got = np.load(f"{sys.argv[1]}/weighted/{name}.npy")
    assert np.abs(got - want).max() < 1e-5 * np.abs(want).max(), (name, got, want)' "$tmp"
check_exit "a loss in a file" 0 '^loss' "$DLVKC" grad "$tmp/linear.onnx" --loss "$tmp/squares.onnx" --input "x=$tmp/x.npy" --target "$tmp/y.npy" --output-dir "$tmp/filed"
check_exit "the same by name" 0 '^loss' "$DLVKC" grad "$tmp/linear.onnx" --loss mse --input "x=$tmp/x.npy" --target "$tmp/y.npy" --output-dir "$tmp/named"
for name in loss w b c; do check "$name is the same" cmp "$tmp/filed/$name.npy" "$tmp/named/$name.npy"; done
check_exit "a loss of integers" 2 'first output is not of floats' "$DLVKC" grad "$tmp/linear.onnx" --loss "$tmp/integers.onnx" --input "x=$tmp/x.npy"
check_exit "a target that could be for any input" 2 'there are 2 inputs without a value' "$DLVKC" grad "$tmp/linear.onnx" --loss "$tmp/squares.onnx" --dim n=6 --target "$tmp/y.npy"
check_exit "too few class weights" 2 'more or fewer class weights than classes' "$DLVKC" grad "$tmp/linear.onnx" --class-weights 1,2 --input "x=$tmp/x.npy" --target "$tmp/labels.npy"
check_exit "an option of another loss" 2 'ignore does not go with the loss mse' "$DLVKC" grad "$tmp/linear.onnx" --loss mse --ignore 3 --input "x=$tmp/x.npy" --target "$tmp/y.npy"

# ---- a loop that its condition ends, of two carried values and two collected ones; of the first the body alone knows the size ----
"$PYTHON" - "$tmp" <<'END'
from made import *
folder, rng = sys.argv[1], np.random.default_rng(5)
x, w, target = rng.standard_normal(6).astype(np.float32), np.full(6, .9, np.float32), np.zeros(6, np.float32)
body = h.make_graph([h.make_node("Mul", ["h", "w"], ["p"]), h.make_node("Tanh", ["p"], ["q"]), h.make_node("Cast", ["k"], ["f"], to=T.FLOAT), h.make_node("Mul", ["q", "f"], ["r"]),
                     h.make_node("Add", ["k", "one"], ["l"]), h.make_node("ReduceL1", ["q"], ["s"], keepdims=0), h.make_node("Greater", ["s", "enough"], ["go"])], "body",
                    [value("i", [], T.INT64), value("c", [], T.BOOL), value("h", [6]), value("k", [], T.INT64)],
                    [value("go", [], T.BOOL), value("q", [6]), value("l", [], T.INT64), value("r", [6]), value("s", [])])
save("until", [h.make_node("Loop", ["", "yes", "x", "one"], ["last", "times", "all", "sizes"], body=body), h.make_node("ReduceSum", ["all", "axis"], ["a"], keepdims=0),
               h.make_node("ReduceSum", ["sizes"], ["b"], keepdims=0), h.make_node("Add", ["a", "last"], ["d"]), h.make_node("Add", ["d", "b"], ["y"])],
     [value("x", ["n"])], [value("y", [6])],
     [nh.from_array(w, "w"), nh.from_array(np.array(True), "yes"), nh.from_array(np.array(1), "one"), nh.from_array(np.float32(2), "enough"), nh.from_array(np.array([0]), "axis")])
m = onnx.load(f"{folder}/until.onnx") # and its gradient's gradient, for which the loop is repeated
def gradient(x, y, d): return h.make_node("Gradient", [x], [d], domain="ai.onnx.preview.training", xs=[x], y=y)
m.opset_import.append(h.make_opsetid("ai.onnx.preview.training", 1))
m.graph.node.extend([h.make_node("ReduceSum", ["y"], ["z"], keepdims=0), gradient("x", "z", "dx"), h.make_node("Mul", ["dx", "dx"], ["e"]), h.make_node("ReduceMean", ["e"], ["l"], keepdims=0),
                     gradient("w", "l", "dw")])
m.graph.output.extend([value("dx", [6]), value("dw", [6])])
onnx.save(m, f"{folder}/twice.onnx")
def loss(w):
    q, k, a, b = x.astype(np.float64), 1, 0, 0
    while True:
        q = np.tanh(q * w); s = np.abs(q).sum(); a += q * k; b += s; k += 1
        if not s > 2: break
    assert k > 3
    return np.mean((a + q + b - target) ** 2)
d = [(loss(w + 1e-6 * e) - loss(w - 1e-6 * e)) / 2e-6 for e in np.eye(6)]
np.save(f"{folder}/x6.npy", x); np.save(f"{folder}/zero.npy", target); np.savez(f"{folder}/until.npz", loss=loss(w.astype(np.float64)), w=d)
END
check_exit "a loop of as many iterations as it takes" 0 '^loss' "$DLVKC" grad "$tmp/until.onnx" --loss mse --input "x=$tmp/x6.npy" --target "$tmp/zero.npy" --output-dir "$tmp/until"
check "its gradient is that of the differences" "$PYTHON" -c '
import sys, numpy as np
for name, want in np.load(sys.argv[1] + "/until.npz").items():
    got = np.load(f"{sys.argv[1]}/until/{name}.npy")
    assert np.abs(got - want).max() < 1e-5 * np.abs(want).max(), (name, got, want)' "$tmp"
check_exit "the gradient of its gradient" 0 'PASS dw as the interpreter says' "$DLVKC" run "$tmp/twice.onnx" --input "x=$tmp/x6.npy" --check

relu=$data/node/test_relu
check_exit "nothing to differentiate by" 2 'no initializer of floats' "$DLVKC" grad "$relu/model.onnx" --loss mse --target "$relu/test_data_set_0/output_0.pb"
check_exit "no such loss" 2 'there are cross-entropy, mse' "$DLVKC" grad "$relu/model.onnx" --loss square
check_exit "no target" 2 'needs targets' "$DLVKC" grad "$relu/model.onnx"
check_exit "no derivative" 0 '^SKIP test_argmax_default_axis_example no output' "$DLVKC" test --grad "$data/node/test_argmax_default_axis_example"
check_exit "the last line" 0 '^0 passed, 0 failed, 1 skipped$' "$DLVKC" test --grad "$data/node/test_argmax_default_axis_example"
finish
