#!/bin/bash
# The Khronos validation layer, with synchronization validation, has nothing to say on either driver.
. "$(dirname "$0")/lib.sh"
export VK_INSTANCE_LAYERS=VK_LAYER_KHRONOS_validation VK_LAYER_SETTINGS_PATH=$tmp/vk_layer_settings.txt
cat >"$tmp/vk_layer_settings.txt" <<END
khronos_validation.validate_sync = true
khronos_validation.report_flags = error,warn
khronos_validation.debug_action = VK_DBG_LAYER_ACTION_LOG_MSG
khronos_validation.log_filename = $tmp/log
khronos_validation.enable_message_limit = true
khronos_validation.duplicate_message_limit = 3
END
models=("$data/light/light_squeezenet.onnx" "$data/light/light_shufflenet.onnx" "$data/node/test_softmax_axis_1" "$data/node/test_gru_defaults"
    "$data/node/test_maxpool_2d_pads" "$data/node/test_scatter_elements_with_axis" "$data/node/test_loop11" "$data/node/test_if")
for driver in "$LAVAPIPE" "$SWIFTSHADER"; do
    name=$(basename "$driver" .json)
    export VK_DRIVER_FILES=$driver
    if VK_LOADER_DEBUG=layer "$DLVKC" devices 2>&1 | grep -q 'VK_LAYER_KHRONOS_validation'; then
        pass "$name: the layer is loaded"
    else
        fail "$name: the layer is loaded"
    fi
    for model in "${models[@]}"; do
        : >"$tmp/log"
        "$DLVKC" test "$model" --jobs 2 >"$tmp/out" 2>&1
        case $(head -1 "$tmp/out") in
        PASS*) ;;
        *) fail "$name: $(basename "$model")" "$(head -1 "$tmp/out")"; continue ;;
        esac
        if grep -qE 'Validation|VUID|SYNC-HAZARD|UNASSIGNED' "$tmp/log" "$tmp/out"; then
            fail "$name: $(basename "$model") under validation" "$(grep -hE 'Validation|VUID|SYNC|UNASSIGNED' "$tmp/log" "$tmp/out" | head -3)"
        else
            pass "$name: $(basename "$model") under validation"
        fi
    done
done
finish
