#!/bin/bash
# dlvkc zoo, train and classify: models that ONNX Runtime agrees about, a training on a small made data set, its files, resuming, bad data
# and, where Fashion-MNIST is installed, a few hundred of its images.
. "$(dirname "$0")/lib.sh"
export VK_DRIVER_FILES=$LAVAPIPE

# ---- models ----
agree='
import sys
import numpy as np, onnx, onnxruntime
path, got, *shape = sys.argv[1:]
onnx.checker.check_model(onnx.load(path), full_check=True)
x = np.load(sys.argv[2] + "/x.npy")
want = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"]).run(None, {"x": x})[0]
have = np.load(sys.argv[2] + "/scores.npy")
assert want.shape == have.shape and np.allclose(want, have, rtol=1e-3, atol=1e-5), abs(want - have).max()
'
# same_as_ort NAME MODEL SHAPE...: the device and ONNX Runtime agree about the model.
same_as_ort() {
    local name=$1 model=$2
    shift 2
    rm -rf "$tmp/out"
    mkdir "$tmp/out"
    "$PYTHON" -c 'import sys, numpy as np; np.save(sys.argv[1], np.random.default_rng(0).random([int(n) for n in sys.argv[2:]], np.float32))' \
        "$tmp/out/x.npy" "$@"
    check "$name: runs" "$DLVKC" run "$model" --input "x=$tmp/out/x.npy" --output-dir "$tmp/out"
    check "$name: onnx.checker accepts it and ONNX Runtime agrees" "$PYTHON" -c "$agree" "$model" "$tmp/out"
}
for model in mlp lenet resnet18; do
    check "zoo $model" "$DLVKC" zoo $model -o "$tmp/$model.onnx" --seed 3
done
same_as_ort mlp "$tmp/mlp.onnx" 3 784
same_as_ort lenet "$tmp/lenet.onnx" 3 1 28 28
same_as_ort resnet18 "$tmp/resnet18.onnx" 1 3 224 224
"$DLVKC" zoo lenet -o "$tmp/again.onnx" --seed 3 >/dev/null
check "the same seed gives the same bytes" cmp "$tmp/lenet.onnx" "$tmp/again.onnx"
"$DLVKC" zoo lenet -o "$tmp/again.onnx" --seed 4 >/dev/null
check "another seed gives others" bash -c "! cmp -s '$tmp/lenet.onnx' '$tmp/again.onnx'"
check_exit "zoo lists its models" 0 '^lenet ' "$DLVKC" zoo
check_exit "no such model" 2 "did you mean 'lenet'" "$DLVKC" zoo lenat

# ---- training on images that are made: a bright square at one of four places, and noise ----
make='
import gzip, sys
import numpy as np
folder, rng = sys.argv[1], np.random.default_rng(1)
def idx(name, a):
    head = bytes([0, 0, 8, a.ndim]) + b"".join(n.to_bytes(4, "big") for n in a.shape)
    with (gzip.open if name.endswith(".gz") else open)(f"{folder}/{name}", "wb") as f: f.write(head + a.tobytes())
for part, n in ("train", 200), ("t10k", 50):
    labels = rng.integers(0, 4, n).astype(np.uint8)
    images = rng.integers(0, 100, (n, 28, 28)).astype(np.uint8)
    for image, label in zip(images, labels):
        y, x = 4 + 12 * (label // 2), 4 + 12 * (label % 2)
        image[y:y + 8, x:x + 8] += 120
    idx(f"{part}-images-idx3-ubyte" + (".gz" if part == "train" else ""), images)
    idx(f"{part}-labels-idx1-ubyte" + (".gz" if part == "train" else ""), labels)
'
data=$tmp/data
mkdir "$data"
"$PYTHON" -c "$make" "$data"
train() { "$DLVKC" train "$tmp/lenet.onnx" --data "$data" --batch 16 --optimizer adam --lr 0.003 --schedule constant --seed 5 "$@"; }
check_exit "three epochs" 0 'epoch 3' train --epochs 3 --out "$tmp/a"
check "the log has its columns, an epoch a row, and the squares are told apart" "$PYTHON" -c '
import csv, sys
rows = list(csv.DictReader(open(sys.argv[1])))
assert list(rows[0]) == "epoch,train_loss,val_loss,val_accuracy,lr,seconds".split(","), rows[0]
assert [r["epoch"] for r in rows] == ["1", "2", "3"]
assert float(rows[2]["train_loss"]) < float(rows[0]["train_loss"]), rows
assert float(rows[2]["val_accuracy"]) > 0.8, rows' "$tmp/a/log.csv"
same_as_ort "the trained model" "$tmp/a/model.onnx" 3 1 28 28
accuracy=$(tail -1 "$tmp/a/log.csv" | cut -d, -f4)
check_exit "classify finds the accuracy of the log" 0 "^accuracy $(printf %.4f "$accuracy")" "$DLVKC" classify "$tmp/a/model.onnx" --data "$data"
train --epochs 3 --out "$tmp/b" >/dev/null
check "the same seed trains the same bits" cmp "$tmp/a/model.onnx" "$tmp/b/model.onnx"
train --epochs 2 --out "$tmp/c" >/dev/null
check "resumed after two epochs" train --epochs 3 --out "$tmp/c" --resume
check "the same bits again" cmp "$tmp/a/model.onnx" "$tmp/c/model.onnx"
check "the log goes on" test "$(cut -d, -f1-4 "$tmp/a/log.csv")" = "$(cut -d, -f1-4 "$tmp/c/log.csv")"
check "one checkpoint is left" test "$(cd "$tmp/c" && ls)" = "$(printf 'checkpoint-3.state\nlog.csv\nmodel.onnx')"
frozen='
import sys, onnx
a, b = ({i.name: i.raw_data for i in onnx.load(p).graph.initializer} for p in sys.argv[1:])
assert all((a[n] == b[n]) == (n.startswith("conv1") or n.startswith("int")) for n in a), [n for n in a if a[n] == b[n]]'
check "sgd with momentum, a schedule, clipping and a frozen layer" "$DLVKC" train "$tmp/lenet.onnx" --data "$data" --batch 40 --optimizer sgd \
    --momentum 0.9 --nesterov --weight-decay 0.1 --l2 0.01 --ema 0.5 --lr 0.02 --schedule cosine --warmup 2 --clip-norm 1 --freeze 'conv1.*' --epochs 1 --out "$tmp/d" --json
check "the frozen layer kept its bits, the others did not" "$PYTHON" -c "$frozen" "$tmp/lenet.onnx" "$tmp/d/model.onnx"
grouped='
import sys, numpy as np, onnx
from onnx import numpy_helper as nh
start, alike, apart = ({i.name: nh.to_array(i) for i in onnx.load(p).graph.initializer} for p in sys.argv[1:])
for n in (n for n in start if start[n].dtype == np.float32): # after one step of sgd
    factor = 0 if n.startswith("conv1") else 2 if n.endswith("bias") else 1
    moved, twice = alike[n] - start[n], apart[n] - start[n]
    assert abs(moved).max() > 0 and np.allclose(twice, factor * moved, rtol=1e-3, atol=1e-6), (n, factor, moved, twice)'
one_step() { "$DLVKC" train "$tmp/lenet.onnx" --data "$data" --batch 200 --optimizer sgd --lr 0.5 --schedule constant "$@"; }
one_step --out "$tmp/alike" >/dev/null
check "groups of parameters" one_step --group 'conv1*:lr=0' --group '*bias:lr=2,l1=0,weight-decay=0' --out "$tmp/apart"
check "have learning rates of their own" "$PYTHON" -c "$grouped" "$tmp/lenet.onnx" "$tmp/alike/model.onnx" "$tmp/apart/model.onnx"
for group in 'conv1*' 'conv1*:' 'x:lr' 'x:lr=' 'x:lr=2,' 'x:rate=2' 'x:lr=2;l1=3' 'x:lr=-1' 'x:lr=inf' ':lr=2'; do
    check_exit "no group: $group" 2 'group takes PATTERN:NAME=X' "$DLVKC" train "$tmp/lenet.onnx" --data "$data" --group "$group"
done
for precision in f16 bf16; do
    train --epochs 3 --precision $precision --out "$tmp/$precision" >/dev/null
    check "$precision: the squares are told apart too" "$PYTHON" -c '
import csv, sys
assert float(list(csv.DictReader(open(sys.argv[1])))[2]["val_accuracy"]) > 0.8' "$tmp/$precision/log.csv"
done
check_exit "mse against ones and zeros" 0 'accuracy' "$DLVKC" train "$tmp/mlp.onnx" --data "$data" --loss mse --epochs 1 --out "$tmp/e"
check_exit "values in memory as bf16" 0 'accuracy (0[.][4-9]|1)' "$DLVKC" train "$tmp/mlp.onnx" --data "$data" --batch 16 --precision bf16 --epochs 2 --out "$tmp/g"
check_exit "no such precision" 2 'f32, f16 or bf16' "$DLVKC" train "$tmp/mlp.onnx" --data "$data" --precision f8

# ---- an untrained model as exporters write it: one initializer for all that is equal, Identities for the others; and a loss in a file ----
"$PYTHON" - "$tmp" <<'END'
from made import *
rng = np.random.default_rng(0)
weights = [nh.from_array(a.astype("f"), n) for n, a in (("conv", rng.normal(0, .3, (8, 1, 5, 5))), ("norm.weight", np.ones(8)), ("norm.bias", np.zeros(8)),
           ("fc", rng.normal(0, .05, (288, 10))))]
tie = lambda of, name: h.make_node("Identity", [of], [name])
norm = lambda x, w, b, m, v, y: h.make_node("BatchNormalization", [x, w, b, m, v], [y])
four = "scale", "bias", "mean", "var"
save("tied", [tie("norm.weight", "norm.var"), tie("norm.bias", "norm.mean"), tie("norm.weight", "again.weight"), h.make_node("Conv", ["x", "conv"], ["a"], strides=[4, 4]),
              norm("a", "norm.weight", "norm.bias", "norm.mean", "norm.var", "b"), h.make_node("Relu", ["b"], ["c"]),
              norm("c", "again.weight", "norm.bias", "norm.bias", "norm.weight", "d"), h.make_node("Flatten", ["d"], ["e"]), h.make_node("MatMul", ["e", "fc"], ["scores"])],
     [value("x", ["n", 1, 28, 28])], [value("scores", ["n", 10])], weights)
save("shared", [norm("x", *four, "a"), h.make_node("Tanh", ["a"], ["b"]), norm("b", *four, "c"), h.make_node("Flatten", ["c"], ["d"]),
                h.make_node("MatMul", ["d", "fc"], ["scores"])], [value("x", ["n", 1, 28, 28])], [value("scores", ["n", 10])],
     [nh.from_array(np.full(1, a, "f"), n) for n, a in zip(four, (1.5, .25, .125, .5))] + [nh.from_array(rng.normal(0, .05, (784, 10)).astype("f"), "fc")])
save("cost", [h.make_node("SoftmaxCrossEntropyLoss", ["scores", "classes"], ["cost"])], [value("scores", ["rows", 10]), value("classes", ["rows"], T.INT64)], [value("cost", [])])
END
for loss in cross-entropy "$tmp/cost.onnx"; do
    rm -rf "$tmp/untied"
    check "equal weights, $(basename "$loss")" "$DLVKC" train "$tmp/tied.onnx" --data "$data" --batch 16 --epochs 3 --loss "$loss" --out "$tmp/untied"
    cut -d, -f1-5 "$tmp/untied/log.csv" >"$tmp/log-$(basename "$loss" .onnx)"
done
check "a loss in a file trains like the one that is built in" cmp "$tmp/log-cross-entropy" "$tmp/log-cost"
check "the squares are told apart, by the statistics, and what was equal was trained apart" "$PYTHON" -c '
import csv, sys, numpy as np, onnx
from onnx import numpy_helper as nh
assert float(list(csv.DictReader(open(sys.argv[1] + "/log.csv")))[2]["val_accuracy"]) > 0.8
w = {i.name: nh.to_array(i) for i in onnx.load(sys.argv[1] + "/model.onnx").graph.initializer}
assert len(w) == 9, sorted(w)
same = [(a, b) for a in w for b in w if a < b and w[a].shape == w[b].shape and np.allclose(w[a], w[b], atol=1e-4)]
assert not same, same' "$tmp/untied"
same_as_ort "the trained model, untied" "$tmp/untied/model.onnx" 3 1 28 28
accuracy=$(tail -1 "$tmp/untied/log.csv" | cut -d, -f4)
check_exit "classify finds the accuracy of its log" 0 "^accuracy $(printf %.4f "$accuracy")" "$DLVKC" classify "$tmp/untied/model.onnx" --data "$data"
check "a norm that is used twice" "$DLVKC" train "$tmp/shared.onnx" --data "$data" --batch 200 --out "$tmp/shared"
check "has one running mean and one variance, which both uses have moved in turn" "$PYTHON" -c '
import gzip, sys, numpy as np, onnx
from onnx import numpy_helper as nh
x = np.frombuffer(gzip.open(sys.argv[1] + "/train-images-idx3-ubyte.gz").read()[16:], np.uint8) / 255.
y = np.tanh((x - x.mean()) / np.sqrt(x.var() + 1e-5) * 1.5 + .25)
w = {i.name: nh.to_array(i) for i in onnx.load(sys.argv[2] + "/model.onnx").graph.initializer}
assert len(w) == 5, sorted(w)
for name, start, a, b in ("mean", .125, x.mean(), y.mean()), ("var", .5, x.var(), y.var()):
    want = .9 * (.9 * start + .1 * a) + .1 * b
    assert abs(w[name][0] - want) < 1e-5, (name, w[name], want)' "$data" "$tmp/shared"

# ---- optimizers in files: Adam, and one that begins with a state of 4, reads its inputs in another order, and halves the rate ----
"$PYTHON" - "$tmp" <<'END'
from made import *
def chain(*steps): # "name = Op a b"
    return [h.make_node(op, inputs, [out]) for out, _, op, *inputs in (s.split() for s in steps)]
def constants(**numbers): return [nh.from_array(np.float32(x), n) for n, x in numbers.items()]
def optimizer(name, steps, inputs, outputs, weights):
    save(name, chain(*steps), [value(i, [] if i in ("lr", "step") else None) for i in inputs.split()], [value(o, None) for o in outputs.split()], weights)
adam = ["a = Mul m b1", "b = Mul gradient c1", "m2 = Add a b", "q = Mul gradient gradient", "c = Mul v b2", "d = Mul q c2", "v2 = Add c d", "e = Pow b1 step",
        "f = Sub one e", "g = Pow b2 step", "h = Sub one g", "i = Div m2 f", "j = Div v2 h", "k = Sqrt j", "l = Add k eps", "n = Div i l", "o = Mul n lr", "next = Sub parameter o"]
numbers = constants(b1=.9, c1=.1, b2=.999, c2=.001, one=1, eps=1e-8)
optimizer("adam", adam, "parameter gradient m v lr step", "next m2 v2", numbers)
optimizer("halves", ["s = Sqrt four", "d = Div gradient s", "e = Mul d lr", "next = Sub parameter e", "same = Identity four"], "lr four gradient parameter", "next same", constants(four=4))
optimizer("lacks", ["next = Sub parameter lr"], "parameter lr", "next", [])
optimizer("short", ["next = Sub parameter gradient"], "parameter gradient m", "next", [])
optimizer("grows", ["next = Concat parameter gradient"], "parameter gradient", "next", [])
optimizer("fails", ["next = Sub parameter nothing"], "parameter gradient", "next", [])
END
near='
import sys, numpy as np, onnx
from onnx import numpy_helper as nh
a, b = ({i.name: nh.to_array(i) for i in onnx.load(p + "/model.onnx").graph.initializer} for p in sys.argv[1:])
for n in a: assert np.allclose(a[n], b[n], rtol=1e-4, atol=1e-5), (n, abs(a[n] - b[n]).max())'
for pair in "adam adam 0.001" "halves sgd 0.1"; do
    read -r file name lr <<<"$pair"
    [ $file = halves ] && half=0.05 || half=$lr
    step() { "$DLVKC" train "$tmp/mlp.onnx" --data "$data" --batch 40 --epochs 2 --schedule constant --clip-norm 1 "$@"; }
    check "an optimizer in a file, $file" step --optimizer "$tmp/$file.onnx" --lr $lr --out "$tmp/by-file"
    step --optimizer $name --lr $half --out "$tmp/by-name" >/dev/null
    check "it does what it says" "$PYTHON" -c "$near" "$tmp/by-file" "$tmp/by-name"
done
refused() { check_exit "$1" 2 "$2" "$DLVKC" train --check "$tmp/mlp.onnx" --optimizer "$tmp/$3.onnx"; }
refused "an optimizer without a gradient" "gradient: there is no input of this name" lacks
refused "an optimizer that forgets its state" "its outputs are the next parameter, and the next value of each state" short
refused "an optimizer that cannot be imported" "optimizer.*attribute 'axis'" grows
refused "an optimizer with an input that is not there" "optimizer.*'nothing' is not defined" fails
"$PYTHON" - "$tmp" <<'END'
from made import *
m = onnx.load(sys.argv[1] + "/halves.onnx")
m.opset_import.append(h.make_opsetid("ai.onnx.preview.training", 1))
m.graph.node.append(h.make_node("Gradient", ["parameter"], ["slope"], domain="ai.onnx.preview.training", xs=["parameter"], y="next"))
m.graph.output[1].name = "slope"
onnx.save(m, sys.argv[1] + "/slopes.onnx")
END
refused "an optimizer that differentiates" "it stands in a part of another graph" slopes
refused "an optimizer that is no model" "cannot read" missing

# ---- can it train? ----
check_exit "a model that trains" 0 '^activations  [0-9.]+ MiB' "$DLVKC" train --check "$tmp/lenet.onnx" --batch 32
check "as JSON: what is frozen, and more memory for more images" bash -c '
    for batch in 32 128; do "$1" train --check "$2" --batch $batch --freeze "conv1.*" --json >"$3/check-$batch.json" || exit 1; done
    "$4" -c "
import json, sys
few, many = (json.load(open(p)) for p in sys.argv[1:])
assert few[\"trainable\"] and few[\"frozen\"] == [\"conv1.weight\", \"conv1.bias\"], few
assert many[\"activation_bytes\"] > 3 * few[\"activation_bytes\"] and many[\"peak_bytes\"] > few[\"peak_bytes\"]
assert few[\"parameter_bytes\"] * 2 == few[\"optimizer_bytes\"] - 4, few
" "$3/check-32.json" "$3/check-128.json"' - "$DLVKC" "$tmp/lenet.onnx" "$tmp" "$PYTHON"
check_exit "a model with nothing to train" 2 'no initializer of floats' "$DLVKC" train --check /usr/share/libonnx-testdata/data/node/test_relu/model.onnx --loss mse

"$PYTHON" -c '
import numpy as np, onnx, sys
from onnx import TensorProto as T, helper as h, numpy_helper as nh
def value(name, kind, shape): return h.make_tensor_value_info(name, kind, shape)
body = h.make_graph([h.make_node("Concat", ["s", "a"], ["t"], axis=0), h.make_node("Identity", ["c"], ["go"])], "body",
                    [value("i", T.INT64, []), value("c", T.BOOL, []), value("s", T.FLOAT, ["n", 4])],
                    [value("go", T.BOOL, []), value("t", T.FLOAT, ["m", 4])])
nodes = [h.make_node("MatMul", ["x", "w"], ["a"], name="first"), h.make_node("ReduceSum", ["x"], ["q"], name="count", keepdims=0),
         h.make_node("Cast", ["q"], ["trip"], to=T.INT64), h.make_node("Loop", ["trip", "true", "a"], ["z"], name="growing", body=body),
         h.make_node("ReduceMean", ["z"], ["y"], name="mean", axes=[0])]
weights = [nh.from_array(np.eye(4, dtype="f"), "w"), nh.from_array(np.array(True), "true")]
save = lambda nodes, name: onnx.save(h.make_model(h.make_graph(nodes, name, [value("x", T.FLOAT, ["batch", 4])], [value("y", T.FLOAT, None)],
    weights), opset_imports=[h.make_opsetid("", 17)], ir_version=8), sys.argv[1] + "/" + name + ".onnx")
save(nodes, "grows")
save([nodes[0], h.make_node("NonZero", ["a"], ["n"], name="where"), h.make_node("Transpose", ["n"], ["t"], perm=[1, 0]),
      h.make_node("GatherND", ["a", "t"], ["p"]), h.make_node("ReduceMean", ["p"], ["y"], axes=[0])], "finds")
choice = [nodes[0], h.make_node("ArgMax", ["a"], ["i"], name="choice", axis=1), h.make_node("Cast", ["i"], ["j"], to=T.FLOAT)]
save(choice + [h.make_node("Add", ["j", "x"], ["y"])], "chooses")
weights.append(nh.from_array(np.eye(4, dtype="f"), "v"))
save(choice + [h.make_node("MatMul", ["x", "v"], ["b"]), h.make_node("Add", ["j", "b"], ["y"])], "halves")
' "$tmp"
blocked="node 'growing' .Loop.: .*no gradient; a gradient is needed along w -> a -> growing -> mean -> loss"
check_exit "a node without a gradient, and the path that needs it" 2 "$blocked" "$DLVKC" train --check "$tmp/grows.onnx" --loss mse
check_exit "a node that passes no gradient on" 2 "node 'choice' .ArgMax.: it passes no gradient on; one is needed along w -> a -> choice -> loss" \
    "$DLVKC" train --check "$tmp/chooses.onnx" --loss mse
check_exit "where it is only one of two paths, the parameter before it is frozen" 0 '^frozen       w$' "$DLVKC" train --check "$tmp/halves.onnx" --loss mse
check_exit "the same as JSON" 2 "\"$blocked" "$DLVKC" train --check "$tmp/grows.onnx" --loss mse --json

# ---- a limit on memory: of a chain of layers, for a LeNet keeps no more than it must ----
"$PYTHON" - "$tmp" <<'END'
from made import *
rng, nodes, weights, x = np.random.default_rng(2), [h.make_node("Flatten", ["x"], ["f"])], [], "f"
for i, (a, b) in enumerate([(784, 64)] + [(64, 64)] * 24 + [(64, 4)]):
    weights.append(nh.from_array((rng.standard_normal((a, b)) * a**-0.5).astype("f"), f"w{i}"))
    nodes += [h.make_node("MatMul", [x, f"w{i}"], [f"m{i}"]), h.make_node("Tanh", [f"m{i}"], [f"t{i}"])]
    x = f"t{i}"
save("deep", nodes, [value("x", ["batch", 1, 28, 28])], [value(x, ["batch", 4])], weights)
END
check "the peak is within a limit, what it is without is told, and trains the same bits" bash -c '
    set -e
    "$1" train --check "$2" --batch 200 --json >"$3/check-200.json"
    limit=$("$4" -c "import json, sys; c = json.load(open(sys.argv[1])); print(c[\"peak_bytes\"] - c[\"activation_bytes\"] // 16)" "$3/check-200.json")
    "$1" train --check "$2" --batch 200 --max-memory $limit --json >"$3/limited.json"
    "$4" -c "
import json, sys
free, limited = (json.load(open(p)) for p in sys.argv[1:3])
assert limited[\"peak_bytes\"] <= limited[\"limit_bytes\"] == int(sys.argv[3]) < limited[\"unlimited_peak_bytes\"] == free[\"peak_bytes\"], (free, limited)
" "$3/check-200.json" "$3/limited.json" $limit
    for m in free $limit; do
        [ $m = free ] && more= || more="--max-memory $m"
        "$1" train "$2" --data "$5" --batch 200 --epochs 3 $more --out "$3/limit-$m"
    done
    cmp "$3/limit-free/model.onnx" "$3/limit-$limit/model.onnx"' - "$DLVKC" "$tmp/deep.onnx" "$tmp" "$PYTHON" "$data"
check_exit "a limit that cannot be met" 2 'max_memory: 65536 bytes do not suffice: .* at least [0-9]+ .*, [0-9]+ more than the limit' "$DLVKC" train --check "$tmp/lenet.onnx" --max-memory 64K
check_exit "no size" 2 'max-memory takes a size such as' "$DLVKC" train --check "$tmp/lenet.onnx" --max-memory 64X
check_exit "a limit where sizes depend on data" 2 "node 'where'.*max_memory: a size depends on data" "$DLVKC" train --check "$tmp/finds.onnx" --loss mse --max-memory 1M

# ---- what must be refused ----
bad() {
    local name=$1 pattern=$2
    shift 2
    check_exit "$name" 2 "$pattern" "$@"
}
damage() { # NAME PATTERN COMMAND...: the data after the command, which runs in a copy of it
    local name=$1 pattern=$2
    shift 2
    rm -rf "$tmp/bad"
    cp -r "$data" "$tmp/bad"
    (cd "$tmp/bad" && "$@")
    bad "$name" "$pattern" "$DLVKC" train "$tmp/lenet.onnx" --data "$tmp/bad" --batch 32 --epochs 1 --out "$tmp/never"
}
damage "a short file" "t10k-images.*cut short" truncate -s -1 t10k-images-idx3-ubyte
damage "a long file" "t10k-images.*longer" truncate -s +1 t10k-images-idx3-ubyte
damage "a short gzip file" "train-images.*cut short" truncate -s 10000 train-images-idx3-ubyte.gz
damage "no gzip data" "train-labels" bash -c 'printf "\x1f\x8b\x08\x00garbage" >train-labels-idx1-ubyte.gz'
damage "a wrong magic number" "t10k-labels.*magic number is 00000803" cp t10k-images-idx3-ubyte t10k-labels-idx1-ubyte
damage "counts that differ" "200 images.* 50 labels" bash -c 'rm train-labels*; cp t10k-labels-idx1-ubyte train-labels-idx1-ubyte'
damage "a label out of range" "label 0 is 10; the model has 10 classes" bash -c 'printf "\x0a" | dd of=t10k-labels-idx1-ubyte bs=1 seek=8 conv=notrunc 2>/dev/null'
damage "no labels" "there is no train-labels" bash -c 'rm train-labels*'
check "nothing was written" test ! -e "$tmp/never"
bad "images that do not fit" "does not take images of 28x28" "$DLVKC" train "$tmp/resnet18.onnx" --data "$data"
bad "no such loss" "there is no loss .square." train --loss square
bad "no such optimizer" "there are sgd, adam" train --optimizer adagard
bad "no such number" "sgd has momentum" train --optimizer sgd --hyper beta1=0.5
bad "no such schedule" "--schedule takes" train --schedule wavy
bad "nothing to resume" "no training to go on from" train --resume --out "$tmp/nowhere"
bad "a batch that is too large" "more than the 200 images" train --batch 500

# ---- real ones ----
fashion=/usr/share/datasets/fashion-mnist
if [ -d "$fashion" ]; then
    check "a part of Fashion-MNIST" "$PYTHON" -c '
import gzip, sys
for part, n in ("train", 3000), ("t10k", 500):
    for kind, head, size in ("images-idx3", 16, 784), ("labels-idx1", 8, 1):
        d = gzip.open(f"{sys.argv[1]}/{part}-{kind}-ubyte.gz").read()
        open(f"{sys.argv[2]}/{part}-{kind}-ubyte", "wb").write(d[:4] + n.to_bytes(4, "big") + d[8:head + n * size])' "$fashion" "$tmp/bad"
    rm -f "$tmp"/bad/*.gz
    check "two epochs of it" "$DLVKC" train "$tmp/lenet.onnx" --data "$tmp/bad" --batch 32 --lr 0.002 --epochs 2 --out "$tmp/f"
    check "most are told apart" "$PYTHON" -c 'import sys; assert float(open(sys.argv[1]).readlines()[2].split(",")[3]) > 0.65' "$tmp/f/log.csv"
else
    skip "Fashion-MNIST" "Debian's dataset-fashion-mnist is not installed"
fi
finish
