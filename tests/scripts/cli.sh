#!/bin/bash
# The contract of the command line: commands, exit codes, messages, files.
. "$(dirname "$0")/lib.sh"
export VK_DRIVER_FILES=$LAVAPIPE
relu=$data/node/test_relu
model=$relu/model.onnx
in=$relu/test_data_set_0/input_0.pb
out=$relu/test_data_set_0/output_0.pb
wrong=$data/node/test_sigmoid/test_data_set_0/output_0.pb # of the same shape
cp "$model" "$tmp/relu.onnx"

check_exit "no argument: help, exit 2" 2 'Commands:' "$DLVKC"
check_exit "--help" 0 'Commands:' "$DLVKC" --help
check_exit "--version" 0 '^dlvkc [0-9]+\.[0-9]+' "$DLVKC" --version
for command in compile run test grad bench tune inspect unpack devices zoo operators; do
    check_exit "$command --help" 0 'Exit code:' "$DLVKC" $command --help
done
check_exit "operators" 0 '^Attention .*23 24 25' "$DLVKC" operators
check_exit "operators --json" 0 '"name": "CumSum"' "$DLVKC" operators --json
check "docs/operators.md is what dlvkc operators --markdown prints" bash -c "'$DLVKC' operators --markdown | diff - '$root/docs/operators.md'"
check_exit "no such command" 2 "did you mean 'bench'" "$DLVKC" benhc
check_exit "unknown option" 2 'did you mean --output-dir' "$DLVKC" run x.onnx --outputdir d
check_exit "missing value" 2 'needs a value' "$DLVKC" run x.onnx --device
check_exit "no model" 2 'missing' "$DLVKC" run
check_exit "no such file" 2 'nosuch.onnx' "$DLVKC" compile "$tmp/nosuch.onnx"
check_exit "not a model" 2 'error' "$DLVKC" compile "$0" -o "$tmp/x.dlvk"
check_exit "devices" 0 'llvmpipe' "$DLVKC" devices
check_exit "no device" 2 'lavapipe' env VK_DRIVER_FILES="$tmp/none.json" "$DLVKC" devices
check_exit "no such device" 2 'error' "$DLVKC" run "$model" --device nosuchdevice

check_exit "MODEL.onnx alone compiles" 0 'relu\.dlvk' "$DLVKC" "$tmp/relu.onnx"
check "the bundle stands beside the model" test -s "$tmp/relu.dlvk"
check "compile -o" "$DLVKC" compile "$tmp/relu.onnx" -o "$tmp/second.dlvk"
check "the same bytes twice" cmp "$tmp/relu.dlvk" "$tmp/second.dlvk"
mkfifo "$tmp/pipe"
ln -s second.dlvk "$tmp/link.dlvk"
check "a pipe is written to, and stays one" bash -c "'$DLVKC' compile '$tmp/relu.onnx' -o '$tmp/pipe' >'$tmp/log' 2>&1 & timeout 60 cmp '$tmp/pipe' '$tmp/relu.dlvk' &&
    wait \$! && test -p '$tmp/pipe' && test -z \"\$(ls '$tmp' | grep tmp)\""
check "a link is followed" bash -c "echo >'$tmp/second.dlvk' && '$DLVKC' compile '$tmp/relu.onnx' -o '$tmp/link.dlvk' &&
    test -L '$tmp/link.dlvk' && cmp '$tmp/relu.dlvk' '$tmp/second.dlvk'"
ln -s /dev/full "$tmp/full"
check_exit "a full disk" 2 'No space left' "$DLVKC" compile "$tmp/relu.onnx" -o "$tmp/full"
check_exit "a full disk: JSON" 2 'No space left' "$DLVKC" test "$relu" --json "$tmp/full"
check "what is no file stays what it is" test -c "$tmp/full"
for what in "inspect $tmp/relu.dlvk --json" "operators" "--version"; do
    check_exit "no room for what is printed: ${what%% *}" 2 'not all of the output' bash -c "'$DLVKC' $what >/dev/full"
done
check_exit "--print-after=all" 0 'relu|maximum|max' "$DLVKC" compile "$tmp/relu.onnx" -o "$tmp/x.dlvk" --print-after=all
check_exit "--time-passes" 0 'ms' "$DLVKC" compile "$tmp/relu.onnx" -o "$tmp/x.dlvk" --time-passes
check "--dump-ir and --dump-glsl" "$DLVKC" compile "$tmp/relu.onnx" -o "$tmp/x.dlvk" --dump-ir "$tmp/ir" --dump-glsl "$tmp/glsl"
check "IR was dumped" bash -c "ls '$tmp'/ir/*.ir"
check "GLSL was dumped" bash -c "ls '$tmp'/glsl/*.comp"
check_exit "an unknown pass" 2 'nosuchpass' "$DLVKC" compile "$tmp/relu.onnx" -o "$tmp/x.dlvk" --stop-after=nosuchpass

check_exit "run a bundle" 0 '^y f32\[3,4,5\]' "$DLVKC" run "$tmp/relu.dlvk" --input "x=$in"
check_exit "run a model, as expected" 0 'PASS y' "$DLVKC" run "$model" --input "x=$in" --expect "y=$out"
check_exit "run a model, not as expected" 1 'FAIL y.*worst is \[[0-9,]+\]' "$DLVKC" run "$model" --input "x=$in" --expect "y=$wrong"
check_exit "run a model against the interpreter" 0 'PASS y' "$DLVKC" run "$model" --check
check_exit "a missing input is random, with a note" 0 "note: input 'x' is not given" "$DLVKC" run "$model"
check_exit "no such input" 2 "it has x" "$DLVKC" run "$model" --input z=ones
check_exit "an input of a wrong shape" 2 'the model takes f32\[3,4,5\]' "$DLVKC" run "$model" \
    --input "x=$data/node/test_abs/../test_matmul_2d/test_data_set_0/input_0.pb"
check_exit "no such dimension" 2 'no input has a dimension' "$DLVKC" run "$model" --dim batch=2
check "outputs are written" "$DLVKC" run "$model" --input "x=$in" --output-dir "$tmp/out" --profile "$tmp/trace.json"
check_exit "the .npy written is what was computed" 0 'PASS y' "$DLVKC" run "$model" --input "x=$in" --expect "y=$tmp/out/y.npy" \
    --rtol 0 --atol 0
check_exit "the profile is a trace" 0 '"traceEvents"' cat "$tmp/trace.json"

insert=$data/node/test_sequence_insert_at_back
sequence=$insert/test_data_set_0/input_0.pb
check_exit "a sequence of unknown length" 2 "assume sequence=FILE" "$DLVKC" compile "$insert/model.onnx" -o "$tmp/s.dlvk"
check "compile --assume" "$DLVKC" compile "$insert/model.onnx" -o "$tmp/s.dlvk" --assume "sequence=$sequence"
check_exit "inspect: a sequence" 0 'input: sequence is a sequence of 3' "$DLVKC" inspect "$tmp/s.dlvk"
check_exit "run: sequences" 0 'PASS output_sequence\[3\]' "$DLVKC" run "$tmp/s.dlvk" --input "sequence=$sequence" --output-dir "$tmp/seq" \
    --input "tensor=$insert/test_data_set_0/input_1.pb" --expect "output_sequence=$insert/test_data_set_0/output_0.pb"
check "run: a sequence is written" test -s "$tmp/seq/output_sequence.3.npy"
check_exit "run: a sequence from several files" 0 'PASS output_sequence\[2\]' "$DLVKC" run "$insert/model.onnx" --check \
    --input "sequence=$tmp/seq/output_sequence.0.npy,$tmp/seq/output_sequence.3.npy"

squeeze=$data/node/test_squeeze # takes its axes as an input
check_exit "run assumes the inputs given" 0 'PASS y' "$DLVKC" run "$squeeze/model.onnx" --input "x=$squeeze/test_data_set_0/input_0.pb" \
    --input "axes=$squeeze/test_data_set_0/input_1.pb" --expect "y=$squeeze/test_data_set_0/output_0.pb"
check_exit "compile names what it must know" 2 'axes' "$DLVKC" compile "$squeeze/model.onnx" -o "$tmp/squeeze.dlvk"
check_exit "no such file to assume" 2 'nosuch' "$DLVKC" compile "$squeeze/model.onnx" -o "$tmp/squeeze.dlvk" --assume axes=nosuch.npy

check_exit "test" 0 '^1 passed, 0 failed$' "$DLVKC" test "$relu"
check_exit "test: a file" 0 '^1 passed, 0 failed$' "$DLVKC" test "$model"
check "a folder with a wrong expectation" bash -c "mkdir -p '$tmp/bad/test_data_set_0' && cp '$model' '$tmp/bad' &&
    cp '$in' '$tmp/bad/test_data_set_0' && cp '$wrong' '$tmp/bad/test_data_set_0'"
cp -r "$tmp/bad" "$tmp/b"$'\xff'
check_exit "test: a name that is no text" 1 'FAIL' "$DLVKC" test "$tmp/b"$'\xff' --json "$tmp/t.json"
check_exit "test: JSON of a name that is no text" 0 '"b.uFFFD"' cat "$tmp/t.json"
check_exit "test: a failure" 1 '^FAIL bad ' "$DLVKC" test "$tmp/bad" --json "$tmp/t.json"
check_exit "test: JSON" 0 '"status": "FAIL"' cat "$tmp/t.json"
# p -> Bernoulli -> y (cast, negated), and z = p + p beside it; expected is another sample, then one of another shape, of another type, and a wrong z.
"$PYTHON" - "$tmp" <<'END'
import os, sys
import numpy as np
from onnx import TensorProto as T, helper as h, numpy_helper as nh, save
nodes = [h.make_node("Bernoulli", ["p"], ["b"]), h.make_node("Cast", ["b"], ["y"], to=T.INT32), h.make_node("Neg", ["b"], ["n"]),
         h.make_node("Add", ["p", "p"], ["z"])]
value = lambda name, t=T.FLOAT: h.make_tensor_value_info(name, t, [40])
model = h.make_model(h.make_graph(nodes, "g", [value("p")], [value("y", T.INT32), value("n"), value("z")]),
                     opset_imports=[h.make_opsetid("", 17)], ir_version=8)
p = np.linspace(0.2, 0.8, 40, dtype=np.float32)
y, n, z = np.arange(40, dtype=np.int32) % 2, -(np.arange(40) % 3 == 0).astype(np.float32), p + p
cases = {"sample": (y, n, z), "shape": (y[:39], n, z), "type": (y.astype(np.int64), n, z), "certain": (y, n, z + (np.arange(40) == 7))}
for name, outputs in cases.items():
    d = f"{sys.argv[1]}/random_{name}"
    os.makedirs(d + "/test_data_set_0")
    save(model, d + "/model.onnx")
    open(f"{d}/test_data_set_0/input_0.pb", "wb").write(nh.from_array(p).SerializeToString())
    for i, x in enumerate(outputs):
        open(f"{d}/test_data_set_0/output_{i}.pb", "wb").write(nh.from_array(x.astype(x.dtype)).SerializeToString())
END
check_exit "test: another random sample passes" 0 '^PASS random_sample [0-9]+ ms \(random: type and shape\)$' "$DLVKC" test "$tmp/random_sample" --json "$tmp/t.json"
check_exit "test: JSON says so" 0 '"random": true' cat "$tmp/t.json"
check_exit "test: a random output of another shape" 1 "^FAIL random_shape output 'y': got i32\[40\], expected i32\[39\]" "$DLVKC" test "$tmp/random_shape"
check_exit "test: a random output of another type" 1 "^FAIL random_type output 'y': got i32\[40\], expected i64\[40\]" "$DLVKC" test "$tmp/random_type"
check_exit "test: beside random outputs others count" 1 "^FAIL random_certain output 'z': 1 of 40 elements differ" "$DLVKC" test "$tmp/random_certain" \
    --json "$tmp/t.json"
check_exit "test: JSON of a failure" 0 '"random": false' cat "$tmp/t.json"
# What random operators draw, by its moments: 200,000 numbers, within some six standard errors of each.
"$PYTHON" - "$tmp/draw.onnx" <<'END'
import sys
import numpy as np
from onnx import TensorProto as T, helper as h, numpy_helper as nh, save
N = 200000
nodes = [h.make_node("RandomNormal", [], ["normal"], mean=1.0, scale=2.0, shape=[N]),
         h.make_node("RandomUniform", [], ["uniform"], low=-1.0, high=3.0, shape=[N]),
         h.make_node("Multinomial", ["logs"], ["class"], sample_size=N), h.make_node("Bernoulli", ["p"], ["bit"])]
logs = nh.from_array(np.log(np.float32([[0.2, 0.3, 0.5]])), "logs")
outputs = [h.make_tensor_value_info(n, t, s) for n, t, s in
           [("normal", T.FLOAT, [N]), ("uniform", T.FLOAT, [N]), ("class", T.INT32, [1, N]), ("bit", T.FLOAT, [N])]]
p = nh.from_array(np.full(N, 0.3, np.float32), "p")
save(h.make_model(h.make_graph(nodes, "g", [], outputs, [logs, p]), opset_imports=[h.make_opsetid("", 17)], ir_version=8), sys.argv[1])
END
check "run: random numbers" "$DLVKC" run "$tmp/draw.onnx" --output-dir "$tmp/draw"
check "random numbers have their distributions" "$PYTHON" - "$tmp/draw" <<'END'
import sys
import numpy as np
normal, uniform, kind, bit = (np.load(f"{sys.argv[1]}/{n}.npy").astype(np.float64).ravel() for n in ("normal", "uniform", "class", "bit"))
z = (normal - 1) / 2
for what, got, want, error in [("mean", z.mean(), 0, 1), ("variance", z.var(), 1, 2**0.5), ("skewness", (z**3).mean(), 0, 15**0.5),
                               ("kurtosis", (z**4).mean(), 3, 96**0.5), ("uniform mean", uniform.mean(), 1, 4 / 12**0.5),
                               ("uniform variance", uniform.var(), 4 / 3, 1.2), ("bits", bit.mean(), 0.3, 0.46),
                               *[(f"class {k}", (kind == k).mean(), w, 0.5) for k, w in enumerate((0.2, 0.3, 0.5))]]:
    assert abs(got - want) < 6 * error / len(z) ** 0.5, f"{what}: {got}, not {want}"
assert -1 <= uniform.min() < -0.999 and 2.999 < uniform.max() <= 3 and abs(np.corrcoef(z[1:], z[:-1])[0, 1]) < 6 / len(z) ** 0.5
END
check_exit "test: no such folder" 2 'no such file' "$DLVKC" test "$tmp/nosuch"
check_exit "bench" 0 'median' "$DLVKC" bench "$tmp/relu.dlvk" --runs 5 --min-time 0 --kernels --json "$tmp/b.json"
for key in wall_ms device_ms min median p90 p99 load_ms first_run_ms memory_bytes device driver; do
    check_exit "bench: JSON has $key" 0 "\"$key\":" cat "$tmp/b.json"
done
check_exit "bench --turns" 0 '"runs": [3-9]' bash -c "echo 0 | '$DLVKC' bench '$tmp/relu.dlvk' --turns"
check_exit "bench --precision f16" 0 'median' "$DLVKC" bench "$model" --precision f16 --runs 3 --min-time 0 --json "$tmp/b.json"
check_exit "bench: JSON has the precision" 0 '"precision": "f16"' cat "$tmp/b.json"
check_exit "bench: a precision there is none of" 2 'f32, f16 or bf16' "$DLVKC" bench "$model" --precision f8
check_exit "a bundle has its precision" 2 'when it was compiled' "$DLVKC" bench "$tmp/relu.dlvk" --precision f16
check_exit "--print-policy" 0 'exp +operands and results' "$DLVKC" compile "$tmp/relu.onnx" -o "$tmp/x.dlvk" --precision bf16 --print-policy
check "zoo: a model to train" "$DLVKC" zoo mlp -o "$tmp/mlp.onnx"
check_exit "bench --train" 0 'loss +[0-9.]+ after [0-9]+ steps' "$DLVKC" bench "$tmp/mlp.onnx" --train --batch 8 --optimizer sgd --runs 3 \
    --min-time 0 --json "$tmp/b.json"
check_exit "bench --train: JSON has the memory of a step" 0 '"planned_arena_bytes"' cat "$tmp/b.json"
check_exit "bench: an optimizer without --train" 2 'go with --train' "$DLVKC" bench "$tmp/mlp.onnx" --optimizer sgd
check_exit "bench --train: no such loss" 2 'cross-entropy, mse' "$DLVKC" bench "$tmp/mlp.onnx" --train --loss abs
matmul=$data/node/test_matmul_4d/model.onnx
check_exit "--precision stores f16" 0 'stored=1' "$DLVKC" compile "$matmul" -o "$tmp/x.dlvk" --precision f16 --print-after=precision
check_exit "--keep-f32 keeps" 0 'asked for' "$DLVKC" compile "$matmul" -o "$tmp/x.dlvk" --precision f16 --keep-f32 'Mat*' --print-policy
check "zoo: a bundle to tune" "$DLVKC" zoo lenet -o "$tmp/lenet.dlvk"
check "zoo: and its model" "$DLVKC" zoo lenet -o "$tmp/lenet.onnx"
check_exit "tune" 0 'of [0-9]+ kernels have another variant' "$DLVKC" tune "$tmp/lenet.dlvk" --dim batch=3 --budget 1 -o "$tmp/tuned.dlvk" \
    --file "$tmp/lenet.tune"
check_exit "a tuned bundle: the same results" 0 'PASS' "$DLVKC" run "$tmp/tuned.dlvk" --dim batch=3 --reference "$tmp/lenet.onnx"
check_exit "a tuned bundle at other sizes" 0 'PASS' "$DLVKC" run "$tmp/tuned.dlvk" --dim batch=2 --reference "$tmp/lenet.onnx"
check_exit "--tuning: the same results" 0 'PASS' "$DLVKC" run "$tmp/lenet.dlvk" --dim batch=3 --tuning "$tmp/lenet.tune" --reference "$tmp/lenet.onnx"
check_exit "tune an ONNX file, f16" 0 'x.dlvk' "$DLVKC" tune "$model" --precision f16 --budget 0.2 -o "$tmp/x.dlvk"
check_exit "inspect shows tunings" 0 'tuned for' "$DLVKC" inspect "$tmp/tuned.dlvk"
check_exit "--tuning of another model" 2 'another model' "$DLVKC" run "$tmp/relu.dlvk" --tuning "$tmp/lenet.tune"
check_exit "--tuning: not such a file" 2 'not a tuning file' "$DLVKC" run "$tmp/relu.dlvk" --tuning "$tmp/relu.dlvk"
if [ -e "$SWIFTSHADER" ]; then
    check_exit "--tuning of another device" 2 'says nothing about' env VK_DRIVER_FILES="$SWIFTSHADER" "$DLVKC" run "$tmp/lenet.dlvk" --tuning "$tmp/lenet.tune"
    check_exit "a bundle tuned for another device" 0 'scores' env VK_DRIVER_FILES="$SWIFTSHADER" "$DLVKC" run "$tmp/tuned.dlvk" --dim batch=3
fi
check_exit "inspect" 0 'f32\[3,4,5\]' "$DLVKC" inspect "$tmp/relu.dlvk"
check_exit "inspect --json" 0 '"kernels"' "$DLVKC" inspect "$tmp/relu.dlvk" --json
check_exit "inspect: buffers of every kind" 0 '"kind": "counter"' "$DLVKC" inspect "$data/light/light_squeezenet.onnx" --json
check_exit "inspect a model" 0 'f32\[3,4,5\]' "$DLVKC" inspect "$model"
check "unpack" "$DLVKC" unpack "$tmp/relu.dlvk" -o "$tmp/unpacked"
check "unpacked SPIR-V is valid" bash -c "for f in '$tmp'/unpacked/*.spv; do spirv-val --target-env vulkan1.3 \$f || exit 1; done"

# Bundles that are not whole are refused, whatever is wrong with them.
size=$(stat -c %s "$tmp/relu.dlvk")
for cut in 0 1 63 64 100 $((size / 2)) $((size - 1)); do
    head -c "$cut" "$tmp/relu.dlvk" >"$tmp/cut.dlvk"
    check_exit "a bundle cut to $cut bytes is refused" 2 'cut.dlvk' "$DLVKC" run "$tmp/cut.dlvk"
done
for at in 3 9 20 40 70 $((size / 2)) $((size - 1)); do
    cp "$tmp/relu.dlvk" "$tmp/flip.dlvk"
    byte=$(od -An -tu1 -j "$at" -N 1 "$tmp/flip.dlvk")
    printf "\\x$(printf %x $((byte ^ 16)))" | dd of="$tmp/flip.dlvk" bs=1 seek="$at" conv=notrunc status=none
    check_exit "a bundle with byte $at changed is refused" 2 'flip.dlvk' "$DLVKC" run "$tmp/flip.dlvk"
done
finish
