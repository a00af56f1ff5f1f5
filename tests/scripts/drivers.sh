#!/bin/bash
# A bundle compiled once runs on both drivers with the same numbers, and what is compiled does not depend on the driver there. The models
# are some of ONNX's, and those of models/, written in C.
. "$(dirname "$0")/lib.sh"
names() { # names KEY: one a line, from `dlvkc inspect --json`
    "$DLVKC" inspect "$tmp/a.dlvk" --json | "$PYTHON" -c "import json, sys; [print(t['name']) for t in json.load(sys.stdin)['$1']]"
}

# both NAME [--dim ...]: $tmp/a.dlvk on lavapipe, then on SwiftShader, which must agree
both() {
    local name=$1 inputs=() expect=()
    shift
    while read -r input; do inputs+=(--input "$input=random"); done < <(names inputs)
    check "$name: runs on lavapipe" env VK_DRIVER_FILES="$LAVAPIPE" "$DLVKC" run "$tmp/a.dlvk" "${inputs[@]}" "$@" --output-dir "$tmp/out"
    while read -r output; do expect+=(--expect "$output=$tmp/out/${output//\//_}.npy"); done < <(names outputs)
    check_exit "$name: runs on SwiftShader with the same numbers" 0 PASS env VK_DRIVER_FILES="$SWIFTSHADER" "$DLVKC" run "$tmp/a.dlvk" \
        "${inputs[@]}" "$@" "${expect[@]}"
    rm -rf "${tmp:?}"/*
}

for name in squeezenet shufflenet resnet50; do
    VK_DRIVER_FILES=$SWIFTSHADER "$DLVKC" compile "$data/light/light_$name.onnx" -o "$tmp/a.dlvk" >/dev/null
    VK_DRIVER_FILES=$LAVAPIPE "$DLVKC" compile "$data/light/light_$name.onnx" -o "$tmp/b.dlvk" --threads 1 >/dev/null
    check "$name: the same bytes with either driver, on one thread or many" cmp "$tmp/a.dlvk" "$tmp/b.dlvk"
    both "$name"
done
for model in mlp lenet resnet18; do
    check "models/$model: writes a bundle" "$DLVKC" zoo "$model" -o "$tmp/a.dlvk"
    both "models/$model" --dim batch=2
done
finish
