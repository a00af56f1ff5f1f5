#!/bin/bash
# Whole models against expected outputs, on the driver that VK_DRIVER_FILES names: the nine light models of ONNX and, where there is a
# ../shared/models beside the checkout, those too.
. "$(dirname "$0")/lib.sh"
"$DLVKC" test "$data/light" --jobs 1 | tee "$tmp/light"
add_counts "$tmp/light"
if [ -d "$root/../shared/models" ]; then
    "$DLVKC" test "$root"/../shared/models/*/ | tee "$tmp/shared"
    add_counts "$tmp/shared"
fi
finish
