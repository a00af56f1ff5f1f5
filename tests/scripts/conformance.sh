#!/bin/bash
# ONNX's conformance suite on the driver that VK_DRIVER_FILES names. What may fail stands in tests/conformance_gaps.txt, and what may have
# other random values in tests/conformance_random.txt, with its reason.
# conformance.sh [PART OF]: only every OFth test, beginning with number PART.
. "$(dirname "$0")/lib.sh"
part=${1:-0} of=${2:-1}
ls -d "$data"/{node,simple,pytorch-operator,pytorch-converted}/*/ | awk "NR % $of == $part % $of" >"$tmp/dirs"
xargs "$DLVKC" test <"$tmp/dirs" >"$tmp/log"
while read -r status name detail; do
    case $status in
    PASS) if [[ $detail == *"(random:"* ]] && ! grep -qx "$name" "$root/tests/conformance_random.txt"; then
        fail "$name" "its values are not the suite's: $detail"
    elif grep -qx "$name" "$root/tests/conformance_gaps.txt"; then
        fail "$name" "it passes now: take it out of tests/conformance_gaps.txt"
    else
        n_pass=$((n_pass + 1))
    fi ;;
    FAIL | ERROR) if [[ $detail =~ "libdlvk-host was built without" || $detail =~ "libdlvk-host has no function" ]]; then
        n_skip=$((n_skip + 1)) # a library that this machine does not have
    elif ! grep -qx "$name" "$root/tests/conformance_gaps.txt"; then
        fail "$name" "$detail"
    else
        n_skip=$((n_skip + 1))
    fi ;;
    esac
done <"$tmp/log"
[ "$((n_pass + n_fail + n_skip))" -ge "$(wc -l <"$tmp/dirs")" ] || fail "conformance" "dlvkc test ended early: $(tail -1 "$tmp/log")"
finish
