#!/bin/bash
# Symbolic sizes are bound at run time: one bundle, several sizes, each against the interpreter.
. "$(dirname "$0")/lib.sh"

# at_sizes MODEL.onnx 'SYMBOL=N ...'...: compiles once, runs at every set of sizes.
at_sizes() {
    local model=$1 name sizes dims d
    shift
    name=$(basename "$(dirname "$model")")
    if ! "$DLVKC" compile "$model" -o "$tmp/$name.dlvk"; then
        fail "$name: compiles"
        return
    fi
    for sizes in "$@"; do
        dims=()
        for d in $sizes; do dims+=(--dim "$d"); done
        check_exit "$name at $sizes" 0 PASS "$DLVKC" run "$tmp/$name.dlvk" --reference "$model" "${dims[@]}" --atol 1e-5
    done
}

shared=$root/../shared/models
if [ -d "$shared" ]; then
    at_sizes "$shared/bert_tiny/model.onnx" "b=1 s=7" "b=3 s=33" "b=2 s=16"
    at_sizes "$shared/lstm_gru/model.onnx" "b=1 t=3" "b=5 t=21"
    at_sizes "$shared/unet_mini/model.onnx" "b=1 h=48 w=64" "b=2 h=32 w=80"
    at_sizes "$shared/train_lenet/model.onnx" "batch=1" "batch=7"
    at_sizes "$shared/train_mlp/model.onnx" "batch=1" "batch=13"
fi
check "a small model with symbolic sizes is made" "$PYTHON" "$(dirname "$0")/make_symbolic.py" "$tmp/symbolic"
for model in "$tmp"/symbolic/*/model.onnx; do
    at_sizes "$model" "n=1 t=2" "n=3 t=9" "n=8 t=64"
done
finish
