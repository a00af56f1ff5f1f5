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
    for test in test_add_bcast test_basic_conv_with_padding test_convtranspose_group_2 test_maxpool_2d_same_upper test_lstm_defaults \
        test_gather_elements_1 test_scatter_elements_with_duplicate_indices test_softmax_axis_1 test_cumsum_1d test_top_k \
        test_layer_normalization_2d_axis1 test_loop11 test_gridsample_bilinear test_resize_upsample_scales_cubic; do
        [ -d "$data/node/$test" ] && check_exit "$test on $on" 0 "^PASS $test" "$DLVKC" test --grad "$data/node/$test"
    done
done
relu=$data/node/test_relu
check_exit "nothing to differentiate by" 2 'no initializer of floats' "$DLVKC" grad "$relu/model.onnx" --loss mse --target "$relu/test_data_set_0/output_0.pb"
check_exit "no such loss" 2 'there are cross-entropy, mse' "$DLVKC" grad "$relu/model.onnx" --loss square
check_exit "no target" 2 'needs targets' "$DLVKC" grad "$relu/model.onnx"
check_exit "no derivative" 0 '^SKIP test_argmax_default_axis_example no output' "$DLVKC" test --grad "$data/node/test_argmax_default_axis_example"
check_exit "the last line" 0 '^0 passed, 0 failed, 1 skipped$' "$DLVKC" test --grad "$data/node/test_argmax_default_axis_example"
finish
