#!/bin/bash
# The Khronos validation layer has nothing to say: with synchronization validation on both drivers, and GPU-assisted, which watches
# addresses inside shaders, on lavapipe.
. "$(dirname "$0")/lib.sh"
export VK_INSTANCE_LAYERS=VK_LAYER_KHRONOS_validation VK_LAYER_SETTINGS_PATH=$tmp/vk_layer_settings.txt

# silent WHAT DRIVER SETTINGS ENABLED MODEL...: the layer must report that it is active with ENABLED, and else nothing.
silent() {
    local what=$1 driver=$2 settings=$3 enabled=$4 name model
    shift 4
    printf '%s\nkhronos_validation.debug_action = VK_DBG_LAYER_ACTION_LOG_MSG\n' "$settings" >"$VK_LAYER_SETTINGS_PATH"
    for model in "$@"; do
        name="$what, $(basename "$driver" .json): $(basename "$model")"
        VK_DRIVER_FILES=$driver "$DLVKC" test "$model" --jobs 2 >"$tmp/out" 2>&1
        if ! grep -q '^PASS ' "$tmp/out"; then
            fail "$name" "$(tail -2 "$tmp/out")"
        elif ! grep -q 'Khronos Validation Layer Active' "$tmp/out" || ! grep -q "Enables: .*$enabled" "$tmp/out"; then
            fail "$name" "the validation layer was not there: $(head -3 "$tmp/out")"
        elif grep -qE 'VUID|SYNC-HAZARD|UNASSIGNED|Validation (Error|Warning)' "$tmp/out"; then
            fail "$name" "$(grep -E -A3 'VUID|SYNC-HAZARD|UNASSIGNED|Validation (Error|Warning)' "$tmp/out" | head -6)"
        else
            pass "$name"
        fi
    done
}

nodes=("$data/node/test_softmax_axis_1" "$data/node/test_gru_defaults" "$data/node/test_maxpool_2d_pads" "$data/node/test_loop11"
    "$data/node/test_scatter_elements_with_axis" "$data/node/test_if" "$data/node/test_nonzero_example" "$data/node/test_top_k")
for driver in "$LAVAPIPE" "$SWIFTSHADER"; do
    silent "synchronization" "$driver" $'khronos_validation.validate_sync = true\nkhronos_validation.report_flags = error,warn,info' \
        SYNCHRONIZATION "${nodes[@]}" "$data/light/light_squeezenet.onnx" "$data/light/light_shufflenet.onnx"
done
# Its warnings speak of features it turns on for itself. With pipelines, which is how most devices run kernels, and what the layer
# instruments reliably: with shader objects, one creation in some hundreds fails under it.
export DLVK_DISABLE=shader_object
silent "GPU-assisted" "$LAVAPIPE" $'khronos_validation.gpuav_enable = true\nkhronos_validation.report_flags = error,info' \
    GPU_ASSISTED "${nodes[@]}" "$data/light/light_squeezenet.onnx"
finish
