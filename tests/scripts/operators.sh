#!/bin/bash
# Operators, options and opsets that ONNX's own suite leaves out, on the driver that VK_DRIVER_FILES names.
. "$(dirname "$0")/lib.sh"
if "$PYTHON" "$(dirname "$0")/operators.py" "$tmp/operators" >"$tmp/log" 2>&1; then
    "$DLVKC" test "$tmp"/operators/*/ | tee "$tmp/out"
    add_counts "$tmp/out"
else
    fail "operators.py" "$(tail -3 "$tmp/log")"
fi
finish
