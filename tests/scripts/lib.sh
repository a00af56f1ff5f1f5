# Sourced by the test scripts: counting, and where things are. A script ends with `finish`, which prints the line
# `N passed, M failed[, K skipped]` that ./bootstrap adds up, and exits 1 if something failed.
# shellcheck shell=bash disable=SC2034
set -u
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
DLVKC=${DLVKC:-$root/build/dlvkc}
LAVAPIPE=${LAVAPIPE:-$(ls /usr/share/vulkan/icd.d/lvp_icd*.json 2>/dev/null | head -1)}
SWIFTSHADER=${SWIFTSHADER:-/usr/lib/chromium/vk_swiftshader_icd.json}
PYTHON=${PYTHON:-/usr/bin/python3} # Debian's, which has onnx and onnxruntime
export PYTHONPATH=$root/tests/scripts PYTHONDONTWRITEBYTECODE=1 # made.py
data=/usr/share/libonnx-testdata/data
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
n_pass=0 n_fail=0 n_skip=0

pass() { echo "PASS $1"; n_pass=$((n_pass + 1)); }
fail() { echo "FAIL $1${2:+: $2}"; n_fail=$((n_fail + 1)); }
skip() { echo "SKIP $1: $2"; n_skip=$((n_skip + 1)); }

# check NAME COMMAND...: the command exits with 0.
check() {
    local name=$1 out
    shift
    if out=$("$@" 2>&1); then pass "$name"; else fail "$name" "$(tail -3 <<<"$out")"; fi
}

# check_exit NAME CODE PATTERN COMMAND...: the command exits with CODE, and what it prints matches PATTERN.
check_exit() {
    local name=$1 want=$2 pattern=$3 out code=0
    shift 3
    out=$("$@" 2>&1) || code=$?
    if [ "$code" -ne "$want" ]; then
        fail "$name" "exit code $code, not $want: $(tail -3 <<<"$out")"
    elif ! grep -Eq -- "$pattern" <<<"$out"; then
        fail "$name" "no '$pattern' in: $(tail -3 <<<"$out")"
    else
        pass "$name"
    fi
}

# add_counts FILE: adds the `N passed, M failed` line of another program's output to the counts.
add_counts() {
    local line
    line=$(grep -E '^[0-9]+ passed, [0-9]+ failed' "$1" | tail -1)
    if [[ $line =~ ^([0-9]+)\ passed,\ ([0-9]+)\ failed ]]; then
        n_pass=$((n_pass + BASH_REMATCH[1]))
        n_fail=$((n_fail + BASH_REMATCH[2]))
    else
        fail "$1" "no count in its output: $(tail -1 "$1")"
    fi
}

finish() {
    if [ "$n_skip" -gt 0 ]; then
        echo "$n_pass passed, $n_fail failed, $n_skip skipped"
    else
        echo "$n_pass passed, $n_fail failed"
    fi
    [ "$n_fail" -eq 0 ]
    exit
}
