/* Bundles: what is written is read back; what is damaged is refused; what is malicious does no harm. */
#include "planner.h"
#include "runtime/bundle.h"
#include "runtime/crc32c.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* A plan with a bit of everything. */
static void sample(Planner *p)
{
    planner_init(p);
    float w[3] = {1, 2, 3};
    uint32_t one = planner_const(p, 1), four = planner_const(p, 4), n = planner_symbol(p, "n", 0, 1000, false),
             k = planner_symbol(p, "k", 0, 1000, true);
    uint32_t bytes = planner_op(p, EXPR(MUL), n, four);
    uint32_t x = planner_buffer(p, BUF(INPUT), bytes, 0, 0), y = planner_buffer(p, BUF(OUTPUT), bytes, 0, 0),
             t = planner_buffer(p, BUF(ARENA), bytes, 0, 4);
    uint32_t c = planner_constant(p, w, sizeof w, sizeof w), same = planner_constant(p, w, sizeof w, sizeof w),
             splat = planner_constant(p, w, 4, 400);
    planner_input(p, "x", DLVK_F32, x, 1, &n);
    planner_output(p, "y\xff\"\n", DLVK_F32, y, 1, &n);
    planner_constraint(p, DLVK__PLAN__CONSTRAINT__KIND__LE, one, n, "not empty");
    uint32_t pipe = planner_pipeline(p, "", "F x; F y;", 16, "y.v[0] = x.v[0];", 0, &one, 1);
    Args a = {.address = {x, t}, .n_address = 2, .reads = {x, c, same, splat}, .n_reads = 4, .writes = {t}, .n_writes = 1};
    planner_dispatch(p, planner_top(p), "copy", pipe, one, &a);
    planner_read(p, planner_top(p), t, DLVK_I64, planner_symbol_index(p, "k"));
    Dlvk__Plan__Loop *l = planner_loop(p, planner_top(p));
    l->trip_count = 1 + t;
    planner_copy(p, planner_if(p, l->body, t)->then, t, y, planner_op(p, EXPR(MIN), bytes, k), planner_const(p, 0),
                 planner_const(p, 0));
}

static dlvk_status try_open(const void *data, size_t size)
{
    Bundle b;
    dlvk_error err = {""};
    dlvk_status st = rt_bundle_open_memory(data, size, 1, &b, &err);
    if (st)
        cr_assert(err.text[0]);
    else
        rt_bundle_close(&b);
    return st;
}

Test(bundle, crc32c)
{
    cr_assert_eq(rt_crc32c(0, "123456789", 9), 0xe3069283u); /* the check value of CRC-32/ISCSI */
    uint8_t zero[32] = {0};
    cr_assert_eq(rt_crc32c(0, zero, 32), 0x8a9136aau); /* RFC 3720, B.4 */
    cr_assert_eq(rt_crc32c(rt_crc32c(0, "12345", 5), "6789", 4), 0xe3069283u);
}

Test(bundle, reproducible_and_deduplicated)
{
    Planner p;
    void *a, *b;
    size_t na, nb;
    sample(&p);
    planner_write(&p, &a, &na);
    planner_write(&p, &b, &nb);
    cr_assert(na == nb && memcmp(a, b, na) == 0);
    Bundle bundle;
    OK(rt_bundle_open_memory(a, na, 1, &bundle, err));
    const Dlvk__Plan__Blob *const *blob = (const Dlvk__Plan__Blob *const *)bundle.plan->blob;
    cr_assert_eq(blob[0]->offset, blob[1]->offset);
    cr_assert_neq(blob[0]->offset, blob[2]->offset);
    cr_assert_eq(blob[2]->length, 4);
    cr_assert_eq(blob[2]->bytes, 400);
    for (size_t i = 0; i < bundle.plan->n_blob; i++)
        cr_assert_eq(memcmp(rt_bundle_blob(&bundle, blob[i]), p.blob[i].data, p.blob[i].length), 0);
    rt_bundle_close(&bundle);
    free(a);
    free(b);
    planner_free(&p);
}

Test(bundle, every_truncation_is_refused)
{
    Planner p;
    void *data;
    size_t size;
    sample(&p);
    planner_write(&p, &data, &size);
    for (size_t n = 0; n < size; n++) {
        void *cut = malloc(n + 1); /* of its own, so that a read past the end is seen by the sanitizer */
        memcpy(cut, data, n);
        cr_assert_eq(try_open(cut, n), DLVK_BAD_FILE, "%zu of %zu bytes", n, size);
        free(cut);
    }
    uint8_t *more = calloc(1, size + 1);
    memcpy(more, data, size);
    cr_assert_eq(try_open(more, size + 1), DLVK_BAD_FILE);
    cr_assert_eq(try_open(more, size), DLVK_OK);
    free(more);
    free(data);
    planner_free(&p);
}

Test(bundle, every_flipped_bit_is_refused)
{
    Planner p;
    void *data;
    size_t size;
    sample(&p);
    planner_write(&p, &data, &size);
    uint8_t *d = data;
    for (size_t i = 0; i < size; i++) {
        d[i] ^= (uint8_t)(1 << i % 8);
        cr_assert_eq(try_open(d, size), DLVK_BAD_FILE, "byte %zu", i);
        d[i] ^= (uint8_t)(1 << i % 8);
    }
    cr_assert_eq(try_open(d, size), DLVK_OK);
    d[8]++; /* another version, honestly made */
    uint32_t crc = rt_crc32c(0, d, 60);
    memcpy(d + 60, &crc, 4);
    Bundle b;
    dlvk_error err;
    cr_assert_eq(rt_bundle_open_memory(d, size, 1, &b, &err), DLVK_BAD_FILE);
    cr_assert(strstr(err.text, "version"), "%s", err.text);
    free(data);
    planner_free(&p);
}

static uint64_t next(uint64_t *s)
{
    *s ^= *s << 13, *s ^= *s >> 7, *s ^= *s << 17;
    return *s;
}

/* Damaged plans with right checksums: refused, or sound enough to describe. Nothing may crash. */
Test(bundle, malicious_plans_do_no_harm)
{
    Planner p;
    void *data;
    size_t size;
    sample(&p);
    planner_write(&p, &data, &size);
    uint64_t seed = 42, plan_size;
    memcpy(&plan_size, (uint8_t *)data + 32, 8);
    char path[] = "/tmp/dlvk-test-XXXXXX";
    int fd = mkstemp(path);
    cr_assert(fd >= 0);
    close(fd);
    int opened = 0;
    for (int round = 0; round < 20000; round++) {
        uint8_t *d = malloc(size);
        memcpy(d, data, size);
        for (uint64_t k = 1 + next(&seed) % 3; k--;)
            d[64 + next(&seed) % plan_size] = (uint8_t)(next(&seed) % 4 ? next(&seed) % 20 : next(&seed));
        uint32_t crc = rt_crc32c(0, d + 64, plan_size);
        memcpy(d + 48, &crc, 4);
        crc = rt_crc32c(0, d, 60);
        memcpy(d + 60, &crc, 4);
        if (try_open(d, size) == DLVK_OK && opened++ % 50 == 0) {
            FILE *f = fopen(path, "wb");
            cr_assert(f && fwrite(d, 1, size, f) == size);
            fclose(f);
            char *json;
            OK(dlvk_bundle_describe(path, &json, err));
            free(json);
        }
        free(d);
    }
    cr_assert(opened > 100, "%d", opened);
    unlink(path);
    free(data);
    planner_free(&p);
}

Test(bundle, deep_nesting_is_refused)
{
    Planner p;
    void *data;
    size_t size;
    planner_init(&p);
    uint32_t c = planner_state(&p, NULL, 4, "c", DLVK_I32);
    Region *r = planner_top(&p);
    for (int i = 0; i < 31; i++) r = planner_if(&p, r, c)->then;
    planner_write(&p, &data, &size);
    cr_assert_eq(try_open(data, size), DLVK_OK);
    free(data);
    for (int i = 0; i < 5000; i++) r = planner_if(&p, r, c)->then;
    planner_write(&p, &data, &size);
    cr_assert_eq(try_open(data, size), DLVK_BAD_FILE);
    free(data);
    planner_free(&p);
}

Test(bundle, files)
{
    Planner p;
    dlvk_error refused;
    char dir[] = "/tmp/dlvk-test-XXXXXX", path[64], out[64], command[100];
    cr_assert(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/a.dlvk", dir);
    snprintf(out, sizeof out, "%s/out", dir);
    sample(&p);
    OK(bundle_write_file(&p.plan, p.blob, p.n_blob, path, err));
    char *json;
    OK(dlvk_bundle_describe(path, &json, err));
    cr_assert(strstr(json, "\"y\\ufffd\\\"\\u000a\""), "%s", json);
    cr_assert(strstr(json, "min(n*4,k)"), "%s", json);
    free(json);
    OK(dlvk_bundle_unpack(path, out, err));
    struct stat sb;
    char part[100];
    snprintf(part, sizeof part, "%s/plan.json", out);
    cr_assert_eq(stat(part, &sb), 0);
    snprintf(part, sizeof part, "%s/test-0.spv", out);
    cr_assert(stat(part, &sb) == 0 && (size_t)sb.st_size == p.blob[3].length);
    cr_assert_eq(bundle_write_file(&p.plan, p.blob, p.n_blob, "/nonexistent/a.dlvk", &refused), DLVK_IO_ERROR);
    cr_assert_eq(dlvk_bundle_describe("/nonexistent/a.dlvk", &json, &refused), DLVK_IO_ERROR);
    cr_assert_eq(dlvk_bundle_describe(dir, &json, &refused), DLVK_BAD_FILE);
    planner_free(&p);
    snprintf(command, sizeof command, "rm -r %s", dir);
    cr_assert_eq(system(command), 0);
}
