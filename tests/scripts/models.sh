#!/bin/bash
# Whole models against expected outputs, on the driver that VK_DRIVER_FILES names: the nine light models of ONNX, the models in
# models/ against the interpreter, and, where there is a ../shared/models beside the checkout, those too.
. "$(dirname "$0")/lib.sh"
"$DLVKC" test "$data/light" --jobs 1 | tee "$tmp/light"
add_counts "$tmp/light"
if [ -d "$root/../shared/models" ]; then
    "$DLVKC" test "$root"/../shared/models/*/ | tee "$tmp/shared"
    add_counts "$tmp/shared"
fi
for program in "$(dirname "$DLVKC")"/models/*; do
    if [ ! -f "$program" ] || [ ! -x "$program" ]; then continue; fi
    check "models/$(basename "$program").c" "$program"
done
finish
