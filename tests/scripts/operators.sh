#!/bin/bash
# Operators, options and opsets that ONNX's own suite leaves out, on the driver that VK_DRIVER_FILES names.
. "$(dirname "$0")/lib.sh"
if "$PYTHON" "$(dirname "$0")/operators.py" "$tmp/operators" >"$tmp/log" 2>&1; then
    "$DLVKC" test "$tmp"/operators/*/ | tee "$tmp/out"
    add_counts "$tmp/out"
    # Microsoft's operators check little by themselves: whatever rank an input has, the answer is a message.
    "$PYTHON" "$(dirname "$0")/ranks.py" "$tmp/operators" "$tmp/ranks" 'ms_*'
    "$DLVKC" test "$tmp"/ranks/*/ >"$tmp/out" 2>&1 || true
    n=$(grep -cE '^(PASS|FAIL|ERROR) ms_' "$tmp/out" || true) all=$(ls "$tmp/ranks" | wc -l)
    if [ "$all" -gt 0 ] && [ "$n" -eq "$all" ]; then
        pass "inputs of other ranks are refused"
    else
        fail "inputs of other ranks are refused" "$n of $all models got an answer: $(tail -1 "$tmp/out")"
    fi
else
    fail "operators.py" "$(tail -3 "$tmp/log")"
fi
finish
