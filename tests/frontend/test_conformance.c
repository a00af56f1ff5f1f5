/* ONNX's conformance tests (Debian's libonnx-testdata) against the interpreter. Skipped where the data is not installed. */
#include "dlvk/compiler.h"
#include <criterion/criterion.h>
#include <fnmatch.h>
#include <glob.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define DATA   "/usr/share/libonnx-testdata/data/"
#define GAPS   DLVK_SOURCE_DIR "/tests/conformance_gaps.txt"
#define RANDOM DLVK_SOURCE_DIR "/tests/conformance_random.txt" /* of other values, but of the type and shape */

/* Beside these: what the double precision of the interpreter is too exact for. */
static const char *const too_exact[] = {
    "test_dynamicquantizelinear*", /* a tie that only rounding each step to 32 bits decides as the suite does */
};

enum { MAX_VALUES = 64 };
static const double relative = 1e-3, absolute = 1e-7; /* those of the suite */

static int load(const char *dir, const char *kind, dlvk_host_value *v, char *why)
{
    int n = 0;
    for (; n < MAX_VALUES; n++) {
        char path[4096];
        snprintf(path, sizeof path, "%s/test_data_set_0/%s_%d.pb", dir, kind, n);
        if (access(path, R_OK) != 0) break;
        dlvk_error err = {0};
        if (dlvk_host_value_read(path, &v[n], &err) != DLVK_OK) {
            snprintf(why, 4096, "%s", err.text);
            return -1;
        }
        if (*kind == 'i') { /* the suite goes by position */
            free(v[n].name);
            v[n].name = NULL;
        }
    }
    return n;
}

/* The first element that differs, in words; false when there is none. */
static bool differs(const dlvk_host_tensor *got, dlvk_host_tensor *want, char *why)
{
    bool stored = got->dtype == DLVK_BF16 && want->dtype == DLVK_U16; /* as the suite does it: see tensor_compare_stored() */
    if (stored) want->dtype = DLVK_BF16;
    bool same = got->dtype == want->dtype && got->rank == want->rank;
    int64_t count = 1;
    for (int i = 0; same && i < want->rank; i++) {
        same = got->dim[i] == want->dim[i];
        count *= want->dim[i];
    }
    if (!same) {
        int n = snprintf(why, 4096, "%s: type or shape: got %s[", got->name, dlvk_dtype_name(got->dtype));
        for (int i = 0; i < got->rank; i++) n += snprintf(why + n, 4096 - (size_t)n, "%lld ", (long long)got->dim[i]);
        n += snprintf(why + n, 4096 - (size_t)n, "] want %s[", dlvk_dtype_name(want->dtype));
        for (int i = 0; i < want->rank; i++) n += snprintf(why + n, 4096 - (size_t)n, "%lld ", (long long)want->dim[i]);
        snprintf(why + n, 4096 - (size_t)n, "]");
        return true;
    }
    for (int64_t i = 0; i < count && got->dtype == DLVK_STRING; i++) {
        dlvk_string a = ((const dlvk_string *)got->data)[i], b = ((const dlvk_string *)want->data)[i];
        if (a.len == b.len && memcmp(a.at, b.at, a.len) == 0) continue;
        snprintf(why, 4096, "%s: element %lld: got '%.*s' want '%.*s'", want->name, (long long)i, (int)a.len, a.at, (int)b.len,
                 b.at);
        return true;
    }
    for (int64_t i = 0; i < count && got->dtype != DLVK_STRING; i++) {
        double a = dlvk_host_tensor_get(got, i), b = dlvk_host_tensor_get(want, i);
        if (a == b || (isnan(a) && isnan(b)) || fabs(a - b) <= absolute + relative * fabs(b)) continue;
        if (stored && abs(((uint16_t *)got->data)[i] - ((uint16_t *)want->data)[i]) <= 1) continue;
        snprintf(why, 4096, "%s: element %lld: got %.9g want %.9g", got->name, (long long)i, a, b);
        return true;
    }
    return false;
}

/* The outputs of a sequence come one by one. */
static const char *compare(int n_out, dlvk_host_tensor *out, int n_want, dlvk_host_value *want, char *why)
{
    int at = 0;
    for (int i = 0; i < n_want; i++)
        for (int k = 0; k < want[i].n; k++, at++)
            if (at >= n_out || differs(&out[at], &want[i].at[k], why)) return "FAIL";
    if (at != n_out) snprintf(why, 4096, "%d tensors where %d are expected", n_out, at);
    return at == n_out ? "PASS" : "FAIL";
}

static const char *run(const char *dir, char *why)
{
    static dlvk_host_value in[MAX_VALUES], want[MAX_VALUES];
    char model[4096];
    snprintf(model, sizeof model, "%s/model.onnx", dir);
    memset(in, 0, sizeof in);
    memset(want, 0, sizeof want);
    const char *verdict = "ERROR";
    int n_in = load(dir, "input", in, why), n_want = n_in < 0 ? -1 : load(dir, "output", want, why), n_out = 0;
    dlvk_host_tensor *out = NULL;
    if (n_want >= 0) {
        dlvk_error err = {0};
        dlvk_status s = dlvk_reference_run(model, in, n_in, &out, &n_out, &err);
        if (s != DLVK_OK)
            snprintf(why, 4096, "%s: %.4000s", dlvk_status_name(s), err.text);
        else
            verdict = compare(n_out, out, n_want, want, why);
    }
    for (int i = 0; i < MAX_VALUES; i++) {
        dlvk_host_value_free(&in[i]);
        dlvk_host_value_free(&want[i]);
    }
    for (int i = 0; i < n_out; i++) dlvk_host_tensor_free(&out[i]);
    free(out);
    return verdict;
}

static bool is_listed(const char *file, const char *name)
{
    static char text[1 << 16];
    FILE *f = fopen(file, "r");
    cr_assert(f, "%s cannot be read", file);
    text[0] = '\n'; /* so that every line stands between two line ends */
    size_t n = fread(text + 1, 1, sizeof text - 2, f);
    cr_assert_lt(n, sizeof text - 2);
    text[n + 1] = 0;
    fclose(f);
    char line[256];
    snprintf(line, sizeof line, "\n%s\n", name);
    return strstr(text, line) != NULL;
}

static bool is_expected(const char *name, const char *why)
{
    if (strstr(why, "libdlvk-host was built without") || strstr(why, "libdlvk-host has no function")) return true;
    for (size_t i = 0; i < sizeof too_exact / sizeof *too_exact; i++)
        if (fnmatch(too_exact[i], name, 0) == 0) return true;
    return is_listed(GAPS, name) || (strstr(why, ": element ") && is_listed(RANDOM, name));
}

static void sweep(const char *pattern, size_t least)
{
    glob_t dirs;
    if (access(DATA, R_OK) != 0) cr_skip_test("libonnx-testdata is not installed");
    cr_assert_eq(glob(pattern, 0, NULL, &dirs), 0);
    size_t passed = 0;
    for (size_t i = 0; i < dirs.gl_pathc; i++) {
        char why[4096] = "";
        const char *name = strrchr(dirs.gl_pathv[i], '/') + 1, *verdict = run(dirs.gl_pathv[i], why);
        passed += *verdict == 'P';
        cr_expect(*verdict == 'P' || is_expected(name, why), "%s %s: %s", verdict, name, why);
    }
    globfree(&dirs);
    cr_expect(passed >= least, "%zu tests passed, fewer than %zu", passed, least);
}

Test(conformance, node)
{
    sweep(DATA "node/test_*", 1232);
}
Test(conformance, simple)
{
    sweep(DATA "simple/test_*", 17);
}
Test(conformance, pytorch_converted)
{
    sweep(DATA "pytorch-converted/test_*", 82);
}
Test(conformance, pytorch_operator)
{
    sweep(DATA "pytorch-operator/test_*", 35);
}
