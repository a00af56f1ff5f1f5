#!/bin/bash
# The IR after the last pass and the GLSL of a few models, as kept in tests/golden/: a change of passes or code generation shows
# what it changed. Where the change is meant:
#
#     tests/scripts/golden.sh --update     # then look at `git diff tests/golden`
. "$(dirname "$0")/lib.sh"
golden=$root/tests/golden
models=(test_softmax_axis_1 test_basic_conv_with_padding test_matmul_3d test_transpose_all_permutations_3 test_gather_1
    test_maxpool_2d_pads test_layer_normalization_3d_axis_negative_1_epsilon test_gemm_default_vector_bias test_if)
for model in "${models[@]}"; do
    name=${model#test_}
    made=$tmp/$name
    mkdir -p "$made"
    if ! "$DLVKC" compile "$data/node/$model/model.onnx" -o "$tmp/x.dlvk" --dump-ir "$tmp/ir" --dump-glsl "$made" >"$tmp/out" 2>&1; then
        fail "$name" "$(tail -2 "$tmp/out")"
        continue
    fi
    # shellcheck disable=SC2012 # names are NN-PASS.ir
    cp "$tmp/ir/$(ls "$tmp/ir" | sort | tail -1)" "$made/last.ir"
    rm -rf "$tmp/ir"
    if [ "${1:-}" = --update ]; then
        rm -rf "${golden:?}/$name"
        mkdir -p "$golden"
        cp -r "$made" "$golden/$name"
        pass "$name: updated"
    elif diff -ru "$golden/$name" "$made" >"$tmp/diff"; then
        pass "$name: IR and GLSL are as in tests/golden"
    else
        fail "$name: not as in tests/golden (if that is meant: tests/scripts/golden.sh --update)" "$(head -20 "$tmp/diff")"
    fi
done
finish
