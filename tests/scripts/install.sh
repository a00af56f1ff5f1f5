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

# A training bundle is made by one program, and trained by another, which has the runtime alone.
cat >"$tmp/compile.c" <<'END'
#include <dlvk/train.h>
#include <stdio.h>
int main(int argc, char **argv)
{
    dlvk_training_options t = DLVK_TRAINING_OPTIONS_INIT;
    dlvk_error err;
    t.optimizer = dlvk_optimizer_find("adam");
    if (argc < 3 || dlvk_compile_training(argv[1], argv[2], &t, NULL, &err)) return fprintf(stderr, "%s\n", err.text), 1;
    return 0;
}
END
cat >"$tmp/thin.c" <<'END'
#include <dlvk/runtime.h>
#include <stdio.h>
#include <stdlib.h>
#define TRY(call) do { if (call) { fprintf(stderr, "%s: %s\n", #call, err.text); exit(1); } } while (0)
enum { ROWS = 16 };
static dlvk_error err;
static void give(dlvk_session *s, const float *x, const int64_t *target)
{
    TRY(dlvk_session_set_input(s, "x", (int64_t[]){ROWS, 784}, 2, x, ROWS * 784 * sizeof *x, &err));
    TRY(dlvk_session_set_input(s, "target", (int64_t[]){ROWS}, 1, target, ROWS * sizeof *target, &err));
}
static float run(dlvk_session *s)
{
    float loss;
    TRY(dlvk_session_run(s, &err));
    TRY(dlvk_session_get_output(s, "loss", &loss, sizeof loss, &err));
    return loss;
}
int main(int argc, char **argv)
{
    dlvk_device *device;
    dlvk_model *model, *program;
    dlvk_session *train, *evaluate;
    static float x[ROWS * 784];
    int64_t target[ROWS];
    float lr = 0.01f, first = 0, learned, saved, back;
    if (argc < 3) return 1;
    for (int i = 0; i < ROWS * 784; i++) x[i] = (float)((i * 31 + i / 784 * 7) % 97) / 97;
    for (int i = 0; i < ROWS; i++) target[i] = i % 10;
    TRY(dlvk_device_open(NULL, &device, &err));
    TRY(dlvk_model_load(device, argv[1], NULL, &model, &err));
    TRY(dlvk_session_create(model, &train, &err));
    TRY(dlvk_model_program(model, "evaluate", &program, &err));
    TRY(dlvk_session_create_with(program, train, &evaluate, &err));
    give(train, x, target);
    give(evaluate, x, target);
    TRY(dlvk_session_set_input(train, "lr", NULL, 0, &lr, sizeof lr, &err));
    for (int i = 0; i < 30; i++) first = i ? (run(train), first) : run(train);
    learned = run(evaluate);
    TRY(dlvk_session_save(train, argv[2], &err));
    saved = run(train);
    TRY(dlvk_session_load(train, argv[2], &err));
    back = run(train);
    dlvk_session_free(evaluate);
    dlvk_session_free(train);
    dlvk_model_free(model);
    dlvk_device_close(device);
    printf("loss %g at first, %g after 30 steps\n", first, learned);
    return !(learned < first / 4 && saved == back);
}
END
# shellcheck disable=SC2046
check "a program that makes a training bundle" gcc -Wall "$tmp/compile.c" -o "$tmp/compile" $(pkg-config --cflags --libs dlvk) -Wl,-rpath,"$lib"
# shellcheck disable=SC2046
check "one that trains it, with the runtime alone" gcc -Wall "$tmp/thin.c" -o "$tmp/thin" $(pkg-config --cflags --libs dlvk-runtime) -Wl,-rpath,"$lib"
check "the bundle is made" bash -c '"$1/usr/bin/dlvkc" zoo mlp -o "$1/mlp.onnx" && "$1/compile" "$1/mlp.onnx" "$1/mlp.dlvk"' - "$tmp"
check "no compiler is loaded where it is trained" bash -c 'ldd "$1/thin" >"$1/loads" && ! grep -E "shaderc|SPIRV|libdlvk\.so" "$1/loads"' - "$tmp"
check "it learns, saves and goes on from there" "$tmp/thin" "$tmp/mlp.dlvk" "$tmp/mlp.checkpoint"
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
