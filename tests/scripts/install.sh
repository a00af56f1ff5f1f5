#!/bin/bash
# An installed DLVK is found by CMake and by pkg-config, shared and static, and the README's C example builds and runs with it.
. "$(dirname "$0")/lib.sh"
export VK_DRIVER_FILES=$LAVAPIPE
check "cmake --install" cmake --install "$(dirname "$DLVKC")" --prefix "$tmp/usr"
lib=$(dirname "$(find "$tmp" -name libdlvk-runtime.so)")
if [ ! -e "$lib/libdlvk-runtime.so" ]; then # nothing below would mean anything
    fail "libdlvk-runtime.so is installed"
    finish
fi
export PKG_CONFIG_PATH=$lib/pkgconfig
check "the installed dlvkc runs" "$tmp/usr/bin/dlvkc" devices

# The example of README.md, with what surrounds it: the device before, a run after.
{
    cat <<'END'
#include <dlvk/graph.h>
#include <dlvk/runtime.h>
#include <math.h>
#include <stdio.h>
#define TRY(call) do { if (call) { fprintf(stderr, "%s: %s\n", #call, err.text); return 1; } } while (0)
int main(void)
{
    dlvk_error err = {0};
    dlvk_device *device = NULL;
    dlvk_model *model = NULL;
    dlvk_session *session = NULL;
    void *bundle = NULL;
    size_t size = 0;
    TRY(dlvk_device_open(NULL, &device, &err));
END
    sed -n '/^```c$/,/^```$/p' "$root/README.md" | sed '/^```/d'
    cat <<'END'
    static float x[3 * 784], y[3 * 10];
    const int64_t shape[] = {3, 784};
    double sum = 0;
    for (int i = 0; i < 3 * 784; i++) x[i] = (float)(i % 17) / 17;
    if (!model) return fprintf(stderr, "%s\n", err.text), 1;
    TRY(dlvk_session_create(model, &session, &err));
    TRY(dlvk_session_set_input(session, "x", shape, 2, x, sizeof x, &err));
    TRY(dlvk_session_run(session, &err));
    TRY(dlvk_session_get_output(session, "y", y, sizeof y, &err));
    for (int i = 0; i < 30; i++) sum += y[i];
    dlvk_session_free(session);
    dlvk_model_free(model);
    dlvk_free(bundle);
    dlvk_graph_free(g);
    dlvk_device_close(device);
    printf("three rows of probabilities sum to %g\n", sum);
    return fabs(sum - 3) > 1e-4;
}
END
} >"$tmp/example.c"
check "README.md has a C example" grep -q dlvk_graph_new "$tmp/example.c"
# shellcheck disable=SC2046
check "it builds by pkg-config" gcc -Wall -Werror "$tmp/example.c" -o "$tmp/example" $(pkg-config --cflags --libs dlvk) -Wl,-rpath,"$lib" -lm
check "it runs" bash -c "cd '$tmp' && ./example"

mkdir -p "$tmp/project"
cp "$tmp/example.c" "$tmp/project/main.c"
cat >"$tmp/project/CMakeLists.txt" <<'END'
cmake_minimum_required(VERSION 3.25)
project(example LANGUAGES C)
find_package(dlvk REQUIRED)
add_executable(shared main.c)
target_link_libraries(shared dlvk::dlvk m)
add_executable(static main.c)
target_link_libraries(static dlvk::dlvk-static m)
END
check "find_package configures" cmake -S "$tmp/project" -B "$tmp/project/build" -G Ninja -DCMAKE_PREFIX_PATH="$tmp/usr"
check "find_package builds, shared and static" cmake --build "$tmp/project/build"
check "the shared program runs" "$tmp/project/build/shared"
check "the static program runs" "$tmp/project/build/static"
cat >"$tmp/thin.c" <<'END'
#include <dlvk/runtime.h>
int main(void) { dlvk_device *d; dlvk_error e; if (dlvk_device_open(0, &d, &e)) return 1; dlvk_device_close(d); return 0; }
END
# shellcheck disable=SC2046
check "the runtime alone builds by pkg-config" gcc "$tmp/thin.c" -o "$tmp/thin" $(pkg-config --cflags --libs dlvk-runtime) -Wl,-rpath,"$lib"
check "and runs" "$tmp/thin"
needs=$(objdump -p "$lib/libdlvk-runtime.so" | awk '$1 == "NEEDED" { print $2 }' | sort | tr '\n' ' ')
if grep -qE 'shaderc|onnx|SPIRV|stdc\+\+|yyjson' <<<"$needs"; then
    fail "the runtime needs libc, libm, Vulkan and protobuf-c alone" "$needs"
else
    pass "the runtime needs libc, libm, Vulkan and protobuf-c alone: $needs"
fi
check "the installed dlvkc finds libdlvk-host" "$tmp/usr/bin/dlvkc" test "$data/node/test_string_concat"
mv "$lib/libdlvk-host.so.0" "$lib/away"
if DLVK_HOST_LIBRARY=none "$tmp/usr/bin/dlvkc" test "$data/node/test_string_concat" | grep -q "'string_concat'"; then
    pass "without it such a model is refused, by the name of what is missing"
else
    fail "without libdlvk-host such a model is refused, by the name of what is missing"
fi
mv "$lib/away" "$lib/libdlvk-host.so.0"
extra=$(nm -D --defined-only "$lib/libdlvk-runtime.so" "$lib/libdlvk.so" "$lib/libdlvk-host.so" | awk 'NF == 3 && $3 !~ /^dlvk_/ { print $3 }')
if [ -z "$extra" ]; then
    pass "only dlvk_* is exported"
else
    fail "only dlvk_* is exported" "$(head -5 <<<"$extra" | tr '\n' ' ')"
fi
finish
