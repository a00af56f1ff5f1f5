#!/bin/bash
# The floors of the architecture: a folder includes only what lies below it, and tools/ and models/ only the public headers.
# Usage: check_floors.sh [SOURCE_DIR]
set -u
cd "${1:-$(dirname "$0")/../..}" || exit 2

# What each folder's files may include, as a regular expression on the include's path.
declare -A may=(
    [runtime/host]='^(runtime/host/|dlvk/(types|host)\.h$)'
    [runtime]='^(runtime/|dlvk/(types|runtime|host)\.h$|plan\.pb-c\.h$)'
    [ir]='^(ir/|dlvk/(types|host)\.h$)'
    [passes]='^(passes/|ir/|dlvk/types\.h$)'
    [codegen]='^(codegen/|ir/|runtime/|dlvk/(types|runtime)\.h$|plan\.pb-c\.h$)'
    [frontend]='^(frontend/|passes/|codegen/|ir/|runtime/|dlvk/|plan\.pb-c\.h$|(onnx|value)\.pb-c\.h$)'
    [tools]='^(tools/|models/|dlvk/)'
    [models]='^(models/|dlvk/)'
)
files=0
bad=0
for floor in "${!may[@]}"; do
    while IFS= read -r -d '' file; do
        files=$((files + 1))
        while IFS= read -r include; do
            path=${include#*\"}
            path=${path%%\"*}
            # A name without a folder is a file of the includer's own folder, or generated.
            if [[ $path != */* && -e $(dirname "$file")/$path ]]; then continue; fi
            if ! [[ $path =~ ${may[$floor]} ]]; then
                echo "$file: may not include \"$path\""
                bad=$((bad + 1))
            fi
        done < <(grep -hE '^[[:space:]]*#[[:space:]]*include[[:space:]]*"' "$file")
    done < <(find "$floor" -name '*.[ch]' -print0 2>/dev/null)
done
if [ "$files" -eq 0 ]; then
    echo "no source file found in $PWD"
    exit 2
fi
echo "$files files, $bad includes that reach upwards"
if [ "$bad" -gt 0 ]; then
    echo "0 passed, 1 failed"
    exit 1
fi
echo "1 passed, 0 failed"
