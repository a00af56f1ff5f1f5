#!/bin/bash
# Mixed precision on whole models, on the drivers named, lavapipe and SwiftShader by default: with values stored as f16, outputs
# stay within 1e-2 of float32's, relative to the output's scale, and weights take half the bytes. The light models get random
# weights first: those they come with are all alike. MODELS names some of them; all but the largest, by default.
. "$(dirname "$0")/lib.sh"
drivers=${*:-$LAVAPIPE $SWIFTSHADER}
"$PYTHON" "$root/tools/bench/nets.py" "$tmp" ${MODELS:-bvlc_alexnet densenet121 inception_v1 inception_v2 resnet50 shufflenet squeezenet zfnet512}

weights() { "$DLVKC" inspect "$1" --json | "$PYTHON" -c 'import json, sys; print(json.load(sys.stdin)["memory"]["weights"])'; }

for model in "$tmp"/*.onnx; do
    name=$(basename "$model" .onnx)
    "$DLVKC" compile "$model" -o "$tmp/f32.dlvk" >"$tmp/log" && "$DLVKC" compile "$model" -o "$tmp/f16.dlvk" --precision f16 >>"$tmp/log" ||
        { fail "$name compiles" "$(tail -3 "$tmp/log")"; continue; }
    rm "$model"
    check "$name: weights of half the size" test $(($(weights "$tmp/f16.dlvk") * 100)) -lt $(($(weights "$tmp/f32.dlvk") * 53))
    for driver in $drivers; do
        rm -rf "$tmp/want"
        VK_DRIVER_FILES=$driver "$DLVKC" run "$tmp/f32.dlvk" --output-dir "$tmp/want" >"$tmp/log" 2>&1 || fail "$name runs" "$(tail -3 "$tmp/log")"
        expect=()
        while read -r output _; do
            expect+=(--expect "$output=$tmp/want/${output//\//_}.npy")
        done < <(grep -v '^dlvkc:' "$tmp/log")
        check "$name as f16, $(basename "$driver" .json)" env VK_DRIVER_FILES="$driver" "$DLVKC" run "$tmp/f16.dlvk" "${expect[@]}" \
            --rtol 0 --atol 0 --stol 1e-2
    done
done
if [ -d "$root/../shared/models" ]; then
    for driver in $drivers; do
        VK_DRIVER_FILES=$driver "$DLVKC" test "$root"/../shared/models/*/ --precision f16 | tee "$tmp/shared"
        add_counts "$tmp/shared"
    done
fi
finish
