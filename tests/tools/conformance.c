/* ONNX's conformance tests against the interpreter: `conformance [-v] DIR...`, each with model.onnx and test_data_set_0/.
 * A line PASS, FAIL or ERROR for each, and the sums at the end; exit 0 when all pass. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "dlvk/compiler.h"

enum { MAX_TENSORS = 64 };
static const double relative = 1e-3, absolute = 1e-7; /* those of the suite */

static int load(const char *dir, const char *kind, dlvk_host_tensor *t, char *why)
{
    int n = 0;
    for (; n < MAX_TENSORS; n++) {
        char path[4096];
        snprintf(path, sizeof path, "%s/test_data_set_0/%s_%d.pb", dir, kind, n);
        if (access(path, R_OK) != 0) break;
        dlvk_error err = {0};
        if (dlvk_host_tensor_read(path, &t[n], &err) != DLVK_OK) {
            snprintf(why, 4096, "%s", err.text);
            return -1;
        }
        if (*kind == 'i') { /* the suite goes by position */
            free(t[n].name);
            t[n].name = NULL;
        }
    }
    return n;
}

/* The first element that differs, in words; false when there is none. */
static bool differs(const dlvk_host_tensor *got, dlvk_host_tensor *want, char *why)
{
    if (got->dtype == DLVK_BF16 && want->dtype == DLVK_U16) want->dtype = DLVK_BF16; /* how the suite stores it */
    bool same = got->dtype == want->dtype && got->rank == want->rank;
    int64_t count = 1;
    for (int i = 0; same && i < want->rank; i++) {
        same = got->dim[i] == want->dim[i];
        count *= want->dim[i];
    }
    if (!same) {
        int n = snprintf(why, 4096, "%s: type or shape: got %s[", want->name, dlvk_dtype_name(got->dtype));
        for (int i = 0; i < got->rank; i++) n += snprintf(why + n, 4096 - (size_t)n, "%lld ", (long long)got->dim[i]);
        n += snprintf(why + n, 4096 - (size_t)n, "] want %s[", dlvk_dtype_name(want->dtype));
        for (int i = 0; i < want->rank; i++) n += snprintf(why + n, 4096 - (size_t)n, "%lld ", (long long)want->dim[i]);
        snprintf(why + n, 4096 - (size_t)n, "]");
        return true;
    }
    for (int64_t i = 0; i < count; i++) {
        double a = dlvk_host_tensor_get(got, i), b = dlvk_host_tensor_get(want, i);
        if (a == b || (isnan(a) && isnan(b)) || fabs(a - b) <= absolute + relative * fabs(b)) continue;
        snprintf(why, 4096, "%s: element %lld: got %.9g want %.9g", want->name, (long long)i, a, b);
        return true;
    }
    return false;
}

static const char *run(const char *dir, char *why)
{
    static dlvk_host_tensor in[MAX_TENSORS], want[MAX_TENSORS];
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
        if (s != DLVK_OK) {
            snprintf(why, 4096, "%s: %.4000s", dlvk_status_name(s), err.text);
        } else {
            verdict = n_out == n_want ? "PASS" : "FAIL";
            for (int i = 0; i < n_out && i < n_want && *verdict == 'P'; i++)
                if (differs(&out[i], &want[i], why)) verdict = "FAIL";
        }
    }
    for (int i = 0; i < MAX_TENSORS; i++) {
        dlvk_host_tensor_free(&in[i]);
        dlvk_host_tensor_free(&want[i]);
    }
    for (int i = 0; i < n_out; i++) dlvk_host_tensor_free(&out[i]);
    free(out);
    return verdict;
}

int main(int argc, char **argv)
{
    bool verbose = argc > 1 && strcmp(argv[1], "-v") == 0;
    int passed = 0, failed = 0;
    for (int i = 1 + verbose; i < argc; i++) {
        char why[4096] = "";
        const char *verdict = run(argv[i], why);
        const char *name = strrchr(argv[i], '/');
        if (*verdict == 'P')
            passed++;
        else
            failed++;
        if (verbose || *verdict != 'P') printf("%s %s %s\n", verdict, name ? name + 1 : argv[i], why);
        fflush(stdout);
    }
    printf("%d passed, %d failed\n", passed, failed);
    return failed ? 1 : 0;
}
