/* Comparison of two tensors as numpy.allclose does it, naming the worst element. */
#include "tools/dlvkc.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

static int64_t count_of(const dlvk_host_tensor *t)
{
    int64_t n = 1;
    for (int i = 0; i < t->rank; i++) n *= t->dim[i];
    return n;
}

double tensor_scale(const dlvk_host_tensor *t)
{
    double top = 0;
    for (int64_t i = 0, n = count_of(t); i < n; i++) {
        double x = fabs(dlvk_host_tensor_get(t, i));
        if (isfinite(x) && x > top) top = x;
    }
    return top;
}

/* How far `got` is beyond what is allowed: 1 is just allowed; infinite where no tolerance helps. */
static double excess(double got, double want, double rtol, double atol)
{
    if (got == want || (isnan(got) && isnan(want))) return 0;
    if (!isfinite(got) || !isfinite(want)) return INFINITY;
    double allowed = atol + rtol * fabs(want), off = fabs(got - want);
    return off == 0 ? 0 : allowed > 0 ? off / allowed : INFINITY;
}

static const char *kind_text(dlvk_value_kind kind, int n, char *buf, size_t size)
{
    if (kind == DLVK_VALUE_SEQUENCE)
        snprintf(buf, size, "a sequence of %d", n);
    else
        snprintf(buf, size, "%s", kind == DLVK_VALUE_NONE ? "an optional without a value" : "a tensor");
    return buf;
}

bool value_fits(const dlvk_value_info *info, const dlvk_host_value *v, char *why, size_t size)
{
    bool optional = v->kind == DLVK_VALUE_SEQUENCE && info->kind != DLVK_VALUE_SEQUENCE;
    if ((v->kind == info->kind || optional) && v->n == info->n) return true;
    char a[64], b[64];
    snprintf(why, size, "%s, the file holds %s", kind_text(info->kind, info->n, a, sizeof a),
             kind_text(v->kind, v->n, b, sizeof b));
    return false;
}

static bool same_string(const dlvk_string *a, const dlvk_string *b)
{
    return a->len == b->len && (!a->len || !memcmp(a->at, b->at, a->len));
}

/* Multi-index of element i as text. */
static void index_text(const dlvk_host_tensor *t, int64_t n, int64_t i, char *at, size_t size)
{
    size_t len = 0;
    int64_t stride = n;
    *at = 0;
    for (int d = 0; d < t->rank && len < size; d++) {
        stride /= t->dim[d];
        len += (size_t)snprintf(at + len, size - len, "%s%" PRId64, d ? "," : "", i / stride);
        i %= stride;
    }
}

static bool strings_compare(const dlvk_host_tensor *got, const dlvk_host_tensor *want, int64_t n, char *why, size_t size)
{
    const dlvk_string *g = got->data, *w = want->data;
    int64_t wrong = 0, first = 0;
    for (int64_t i = n; i-- > 0;)
        if (!same_string(&g[i], &w[i])) wrong++, first = i;
    if (!wrong) return true;
    char at[256];
    index_text(got, n, first, at, sizeof at);
    snprintf(why, size, "%" PRId64 " of %" PRId64 " strings differ; the first is [%s]: got '%.*s', expected '%.*s'", wrong, n, at,
             (int)(g[first].len < 200 ? g[first].len : 200), g[first].at, (int)(w[first].len < 200 ? w[first].len : 200),
             w[first].at);
    return false;
}

static bool same_type(const dlvk_host_tensor *got, const dlvk_host_tensor *want, char *why, size_t size)
{
    char a[256], b[256];
    if (got->dtype == want->dtype && got->rank == want->rank &&
        !memcmp(got->dim, want->dim, (size_t)got->rank * sizeof *got->dim))
        return true;
    snprintf(why, size, "got %s, expected %s", type_text(got->dtype, got->rank, got->dim, NULL, a, sizeof a),
             type_text(want->dtype, want->rank, want->dim, NULL, b, sizeof b));
    return false;
}

bool tensor_compare(const dlvk_host_tensor *got, const dlvk_host_tensor *want, double rtol, double atol, char *why, size_t size)
{
    if (!same_type(got, want, why, size)) return false;
    int64_t n = count_of(got), wrong = 0, worst = 0;
    double top = -1;
    if (got->dtype == DLVK_STRING) return strings_compare(got, want, n, why, size);
    for (int64_t i = 0; i < n; i++) {
        double e = excess(dlvk_host_tensor_get(got, i), dlvk_host_tensor_get(want, i), rtol, atol);
        if (e > 1) wrong++;
        if (e > top) top = e, worst = i;
    }
    if (!wrong) return true;
    char at[256];
    index_text(got, n, worst, at, sizeof at);
    double g = dlvk_host_tensor_get(got, worst), w = dlvk_host_tensor_get(want, worst);
    snprintf(why, size,
             "%" PRId64 " of %" PRId64 " elements differ; the worst is [%s]: got %.9g, expected %.9g (off by %.3g, allowed %.3g)",
             wrong, n, at, g, w, fabs(g - w), atol + rtol * fabs(w));
    return false;
}

bool tensor_compare_stored(const dlvk_host_tensor *got, const dlvk_host_tensor *want, double rtol, double atol, char *why,
                           size_t size)
{
    if (got->dtype != DLVK_BF16 || want->dtype != DLVK_U16) return tensor_compare(got, want, rtol, atol, why, size);
    dlvk_host_tensor values = *want, bits = *got;
    values.dtype = DLVK_BF16;
    bits.dtype = DLVK_U16;
    char ignored[1024];
    return tensor_compare(got, &values, rtol, atol, why, size) || tensor_compare(&bits, want, 0, 1, ignored, sizeof ignored);
}

bool tensor_compare_random(const dlvk_host_tensor *got, const dlvk_host_tensor *want, dlvk_chance chance, char *why, size_t size)
{
    dlvk_host_tensor values = *want;
    if (got->dtype == DLVK_BF16 && want->dtype == DLVK_U16) values.dtype = DLVK_BF16; /* as stored: see above */
    want = &values;
    if (!same_type(got, want, why, size)) return false;
    int64_t n = got->dtype == DLVK_STRING ? 0 : count_of(got);
    bool all_finite = true;
    for (int64_t i = 0; i < n; i++) all_finite = all_finite && isfinite(dlvk_host_tensor_get(want, i));
    for (int64_t i = 0; i < n; i++) {
        double x = dlvk_host_tensor_get(got, i);
        bool off = chance == DLVK_RANDOM_BITS && x != 0 && x != 1;
        if (!off && (isfinite(x) || !all_finite)) continue;
        char at[256];
        index_text(got, n, i, at, sizeof at);
        snprintf(why, size, "it is random, and [%s] is %.9g where %s", at, x,
                 off ? "only 0 and 1 can be" : "all that is expected is finite");
        return false;
    }
    return true;
}
