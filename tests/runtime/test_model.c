/* Models and devices: the pipeline cache, messages for bad calls, many cycles, several threads. */
#include "planner.h"
#include "runtime/cache_file.h"
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* y = x + c over n elements, c a specialization constant's bits. */
static void plus(Planner *p, float c)
{
    planner_init(p);
    uint32_t bits, n = planner_symbol(p, "n", 1, 1 << 20, false), bytes = planner_op(p, EXPR(MUL), n, planner_const(p, 4));
    memcpy(&bits, &c, 4);
    uint32_t x = planner_buffer(p, BUF(INPUT), bytes, 0, 0), y = planner_buffer(p, BUF(OUTPUT), bytes, 0, 0);
    planner_input(p, "x", DLVK_F32, x, 1, &n);
    planner_output(p, "y", DLVK_F32, y, 1, &n);
    uint32_t pipe = planner_pipeline(p, "layout(constant_id = 0) const float c = 0;", "F x; F y; int n;", 20,
                                     "if (i < n) y.v[i] = x.v[i] + c;", 0, &bits, 1);
    planner_dispatch(p, planner_top(p), "plus", pipe, planner_op(p, EXPR(CEILDIV), n, planner_const(p, 64)),
                     PLANNER_MAP(x, y, n));
}

static void check_plus(dlvk_session *s, float c, int64_t n)
{
    float *x = malloc((size_t)n * 4);
    for (int64_t i = 0; i < n; i++) x[i] = (float)i;
    OK(dlvk_session_set_input(s, "x", &n, 1, x, (size_t)n * 4, err));
    OK(dlvk_session_run(s, err));
    OK(dlvk_session_get_output(s, "y", x, (size_t)n * 4, err));
    for (int64_t i = 0; i < n; i++) cr_assert_eq(x[i], (float)i + c);
    free(x);
}

static void load_and_check(const char *path)
{
    dlvk_model *m;
    dlvk_session *s;
    OK(dlvk_model_load(test_device(), path, NULL, &m, err));
    OK(dlvk_session_create(m, &s, err));
    check_plus(s, 2.5f, 100);
    dlvk_session_free(s);
    dlvk_model_free(m);
}

/* What the driver puts into its cache is its affair (lavapipe and SwiftShader put nothing); that it gets back what it gave, per
 * device, and that damage is ignored, is ours. */
Test(model, cache_file)
{
    char path[] = "/tmp/dlvk-test-XXXXXX";
    int fd = mkstemp(path);
    cr_assert(fd >= 0);
    close(fd);
    uint8_t key[3][CACHE_KEY] = {{1}, {2}, {3}}, data[3][1000];
    size_t size[3] = {1000, 10, 300};
    CacheFile c;
    for (int i = 0; i < 3; i++) memset(data[i], i + 65, sizeof data[i]);
    for (int round = 0; round < 6; round++) { /* sections come, grow, shrink; the others stay */
        int k = round % 3;
        rt_cache_read(path, key[k], &c);
        cr_assert_eq(c.size, round < 3 ? 0 : size[k]);
        size[k] = (size_t)(100 * round + 1);
        rt_cache_write(path, &c, data[k], size[k]);
        rt_cache_free(&c);
        for (int i = 0; i < 3 && i <= round; i++) {
            rt_cache_read(path, key[i], &c);
            cr_assert(c.size == size[i] && memcmp(rt_cache_data(&c), data[i], size[i]) == 0, "round %d, section %d", round, i);
            rt_cache_free(&c);
        }
    }
    struct stat before, after;
    stat(path, &before);
    rt_cache_read(path, key[1], &c);
    rt_cache_write(path, &c, data[1], size[1]);
    stat(path, &after);
    cr_assert_eq(before.st_ino, after.st_ino, "an unchanged cache was written again");
    rt_cache_free(&c);
    for (off_t cut = before.st_size - 1; cut >= 0; cut--) { /* at any length, what is found is right */
        cr_assert_eq(truncate(path, cut), 0);
        for (int i = 0; i < 3; i++) {
            rt_cache_read(path, key[i], &c);
            cr_assert(c.size == 0 || (c.size == size[i] && memcmp(rt_cache_data(&c), data[i], size[i]) == 0));
            rt_cache_free(&c);
        }
    }
    unlink(path);
}

/* A model loads whatever lies where its cache should be. */
Test(model, useless_cache)
{
    Planner p;
    char dir[] = "/tmp/dlvk-test-XXXXXX", path[64], cache[80];
    cr_assert(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/a.dlvk", dir);
    snprintf(cache, sizeof cache, "%s.cache", path);
    plus(&p, 2.5f);
    OK(bundle_write_file(&p.plan, p.blob, p.n_blob, path, err));
    load_and_check(path);
    struct stat sb;
    if (strstr(dlvk_device_get_info(test_device())->driver, "llvmpipe")) cr_assert_eq(stat(cache, &sb), 0, "nothing was kept");
    load_and_check(path);
    FILE *f = fopen(cache, "w");
    cr_assert(f && fputs("nonsense", f) >= 0);
    fclose(f);
    load_and_check(path);
    unlink(cache);
    cr_assert_eq(mkdir(cache, 0700), 0);
    load_and_check(path);
    rmdir(cache);
    unlink(path);
    cr_assert_eq(rmdir(dir), 0, "a temporary file was left");
    planner_free(&p);
    cr_assert_eq(dlvk_device_validation_messages(test_device()), 0);
    dlvk_device_close(test_device());
}

static long resident_kib(void)
{
    long pages = 0, dummy;
    FILE *f = fopen("/proc/self/statm", "r");
    cr_assert(f && fscanf(f, "%ld %ld", &dummy, &pages) == 2);
    fclose(f);
    return pages * (sysconf(_SC_PAGESIZE) / 1024);
}

static int open_files(void)
{
    int n = 0;
    for (int fd = 0; fd < 1024; fd++) n += fcntl(fd, F_GETFD) >= 0;
    return n;
}

Test(model, cycles_do_not_grow)
{
    Planner p;
    char path[] = "/tmp/dlvk-test-XXXXXX";
    int fd = mkstemp(path);
    cr_assert(fd >= 0);
    close(fd);
    plus(&p, 2.5f);
    OK(bundle_write_file(&p.plan, p.blob, p.n_blob, path, err));
    long after_warm_up = 0;
    int files = 0;
    for (int i = 0; i < 1000; i++) {
        load_and_check(path);
        if (i == 39) after_warm_up = resident_kib(), files = open_files();
    }
    cr_assert_eq(open_files(), files);
#ifdef __SANITIZE_ADDRESS__
    const long most = 1 << 20; /* it keeps freed memory for a while, and finds leaks itself */
#else
    const long most = 4096;
#endif
    cr_assert_lt(resident_kib() - after_warm_up, most, "%ld KiB more than after 40 cycles", resident_kib() - after_warm_up);
    char cache[64];
    snprintf(cache, sizeof cache, "%s.cache", path);
    unlink(cache);
    unlink(path);
    planner_free(&p);
    dlvk_device_close(test_device());
}

typedef struct Worker {
    dlvk_model *model;
    float c;
} Worker;

static void *work(void *arg)
{
    Worker *w = arg;
    dlvk_session *s;
    OK(dlvk_session_create(w->model, &s, err));
    for (int i = 0; i < 40; i++) check_plus(s, w->c, 1 + i * 531 % 5000);
    dlvk_session_free(s);
    return NULL;
}

/* Two models, two sessions each, four threads, one device. */
Test(model, threads_share_a_device)
{
    Planner p[2];
    dlvk_model *m[2];
    pthread_t thread[4];
    Worker w[4];
    for (int i = 0; i < 2; i++) {
        void *data;
        size_t size;
        plus(&p[i], (float)i + 0.5f);
        planner_write(&p[i], &data, &size);
        OK(dlvk_model_load_memory(test_device(), data, size, NULL, &m[i], err));
        free(data);
    }
    for (int i = 0; i < 4; i++) {
        w[i] = (Worker){m[i / 2], (float)(i / 2) + 0.5f};
        cr_assert_eq(pthread_create(&thread[i], NULL, work, &w[i]), 0);
    }
    for (int i = 0; i < 4; i++) pthread_join(thread[i], NULL);
    for (int i = 0; i < 2; i++) {
        dlvk_model_free(m[i]);
        planner_free(&p[i]);
    }
    cr_assert_eq(dlvk_device_validation_messages(test_device()), 0);
    dlvk_device_close(test_device());
}

#define REFUSED(call, status, part)                                                                                              \
    do {                                                                                                                         \
        dlvk_error err_ = {""}, *err = &err_;                                                                                    \
        cr_assert_eq((call), (status), "%s", err_.text);                                                                         \
        cr_assert(strstr(err_.text, (part)), "'%s' is not in '%s'", (part), err_.text);                                          \
    } while (0)

/* Two inputs [n, m] and [2*n + 1], n <= m. */
Test(model, messages)
{
    Planner p;
    planner_init(&p);
    uint32_t n = planner_symbol(&p, "n", 1, 50, false), m = planner_symbol(&p, "m", 0, 1000, false), two = planner_const(&p, 2);
    uint32_t odd = planner_op(&p, EXPR(ADD), planner_op(&p, EXPR(MUL), two, n), planner_const(&p, 1));
    uint32_t a = planner_buffer(&p, BUF(INPUT), planner_op(&p, EXPR(MUL), n, m), 0, 0),
             b = planner_buffer(&p, BUF(INPUT), odd, 0, 0);
    planner_input(&p, "b", DLVK_U8, b, 1, &odd); /* solved from 2*n + 1 */
    planner_input(&p, "a", DLVK_U8, a, 2, (uint32_t[]){n, m});
    planner_output(&p, "out", DLVK_U8, b, 1, &odd); /* an output that is an input */
    planner_constraint(&p, DLVK__PLAN__CONSTRAINT__KIND__LE, n, m, "because");
    Loaded l = planner_load(&p);
    dlvk_tensor_info info;
    OK(dlvk_model_input(l.m, 0, &info));
    cr_assert(info.dim[0] == -1 && strcmp(info.symbol[0], "2*n+1") == 0, "%s", info.symbol[0]);
    cr_assert_eq(dlvk_model_input(l.m, 2, &info), DLVK_INVALID_ARGUMENT);
    uint8_t data[200] = {1, 2, 3, 4, 5};
    const int64_t five = 5, six = 6, n2m3[] = {2, 3}, n2m1[] = {2, 1}, n3m3[] = {3, 3}, big = 201;
    REFUSED(dlvk_session_run(l.s, err), DLVK_INVALID_ARGUMENT, "'b' has not been set");
    REFUSED(dlvk_session_get_output(l.s, "out", data, 5, err), DLVK_INVALID_ARGUMENT, "has not been run");
    REFUSED(dlvk_session_set_input(l.s, "c", &five, 1, data, 5, err), DLVK_INVALID_ARGUMENT, "it has 'b', 'a'");
    REFUSED(dlvk_session_set_input(l.s, "b", n2m3, 2, data, 6, err), DLVK_INVALID_ARGUMENT, "1 dimensions, not 2");
    REFUSED(dlvk_session_set_input(l.s, "b", &five, 1, data, 6, err), DLVK_INVALID_ARGUMENT, "takes 5 bytes, not 6");
    OK(dlvk_session_set_input(l.s, "b", &six, 1, data, 6, err));
    OK(dlvk_session_set_input(l.s, "a", n2m3, 2, data, 6, err));
    REFUSED(dlvk_session_run(l.s, err), DLVK_INVALID_ARGUMENT, "input 'b': dimension 0 is 6, but the model wants 2*n+1");
    OK(dlvk_session_set_input(l.s, "b", &five, 1, data, 5, err));
    OK(dlvk_session_run(l.s, err));
    memset(data, 0, sizeof data);
    OK(dlvk_session_get_output(l.s, "out", data, 5, err));
    cr_assert(data[0] == 1 && data[4] == 5);
    REFUSED(dlvk_session_get_output(l.s, "out", data, 4, err), DLVK_INVALID_ARGUMENT, "has 5 bytes, there is room for 4");
    OK(dlvk_session_set_input(l.s, "a", n3m3, 2, data, 9, err));
    REFUSED(dlvk_session_run(l.s, err), DLVK_INVALID_ARGUMENT,
            "input 'a': dimension 0 is 3, the model wants n = 2 with n = 2, dimension 0 of input 'b'");
    OK(dlvk_session_set_input(l.s, "a", n2m1, 2, data, 2, err));
    REFUSED(dlvk_session_run(l.s, err), DLVK_INVALID_ARGUMENT, "n <= m must hold, but they are 2 and 1");
    OK(dlvk_session_set_input(l.s, "a", n2m3, 2, data, 6, err));
    OK(dlvk_session_run(l.s, err)); /* a refused size leaves the session usable */
    uint8_t many[201] = {0};
    OK(dlvk_session_set_input(l.s, "b", &big, 1, many, 201, err));
    OK(dlvk_session_set_input(l.s, "a", (const int64_t[]){100, 1}, 2, many, 100, err));
    REFUSED(dlvk_session_run(l.s, err), DLVK_INVALID_ARGUMENT,
            "n = 100 (dimension 0 of input 'b') is outside of the model's range, 1 to 50");
    planner_unload(l, &p);
}

Test(model, unsupported_feature_names_kernel_and_nodes)
{
    Planner p;
    plus(&p, 1);
    p.plan.module[0]->features = DLVK_FEATURE_COOPMAT;
    p.plan.source[0]->name = "/layer1/add";
    void *data;
    size_t size;
    dlvk_model *m;
    planner_write(&p, &data, &size);
    dlvk_device_disable(test_device(), DLVK_FEATURE_COOPMAT);
    REFUSED(dlvk_model_load_memory(test_device(), data, size, NULL, &m, err), DLVK_UNSUPPORTED,
            "kernel plus (from /layer1/add): it lacks coopmat");
    free(data);
    planner_free(&p);
    dlvk_device_close(test_device());
}

Test(model, profile)
{
    Planner p;
    plus(&p, 1.5f);
    Loaded l = planner_load(&p);
    check_plus(l.s, 1.5f, 1000);
    cr_assert_gt(dlvk_session_device_ms(l.s), 0);
    OK(dlvk_session_profile(l.s, true, err));
    const dlvk_kernel_time *k;
    int n;
    for (int i = 0; i < 3; i++) {
        check_plus(l.s, 1.5f, 1000);
        OK(dlvk_session_kernel_times(l.s, &k, &n, err));
        cr_assert_eq(n, 1);
        cr_assert(strcmp(k->name, "plus") == 0 && strcmp(k->nodes, "plus") == 0 && k->grid[0] == 16 && k->start_us >= 0 &&
                  k->time_us > 0);
    }
    OK(dlvk_session_profile(l.s, false, err));
    check_plus(l.s, 1.5f, 1000);
    OK(dlvk_session_kernel_times(l.s, &k, &n, err));
    cr_assert_eq(n, 0);
    planner_unload(l, &p);
}

Test(model, asynchronous_run)
{
    Planner p;
    plus(&p, 1.5f);
    Loaded l = planner_load(&p);
    const int64_t n = 1 << 20;
    float *x = calloc((size_t)n, 4);
    OK(dlvk_session_set_input(l.s, "x", &n, 1, x, (size_t)n * 4, err));
    OK(dlvk_session_submit(l.s, err));
    bool done = false;
    while (!done) OK(dlvk_session_wait(l.s, 1000000, &done, err));
    OK(dlvk_session_get_output(l.s, "y", x, (size_t)n * 4, err));
    for (int64_t i = 0; i < n; i++) cr_assert_eq(x[i], 1.5f);
    OK(dlvk_session_submit(l.s, err)); /* freed in flight */
    free(x);
    planner_unload(l, &p);
}

Test(model, devices)
{
    dlvk_device_info *list;
    int n;
    dlvk_device *d = test_device(), *other;
    OK(dlvk_devices(&list, &n, err));
    cr_assert_geq(n, 1);
    cr_assert_str_eq(list[0].name, dlvk_device_get_info(d)->name);
    char part[8] = {0};
    for (int i = 0; i < 4; i++) part[i] = (char)(list[0].name[i] ^ (list[0].name[i] >= 'a' && list[0].name[i] <= 'z' ? 32 : 0));
    OK(dlvk_device_open(part, &other, err));
    dlvk_device_close(other);
    OK(dlvk_device_open("0", &other, err));
    dlvk_device_close(other);
    REFUSED(dlvk_device_open("99", &other, err), DLVK_NO_DEVICE, list[0].name);
    REFUSED(dlvk_device_open("no such device", &other, err), DLVK_NO_DEVICE, list[0].name);
    free(list);
    setenv("DLVK_DISABLE", "float16,subgroup", 1);
    OK(dlvk_device_open(NULL, &other, err));
    cr_assert_eq(dlvk_device_get_info(other)->features & (DLVK_FEATURE_FLOAT16 | DLVK_FEATURE_SUBGROUP), 0);
    dlvk_device_close(other);
    setenv("VK_DRIVER_FILES", "/nonexistent.json", 1);
    REFUSED(dlvk_device_open(NULL, &other, err), DLVK_NO_DEVICE, "mesa-vulkan-drivers");
    dlvk_device_close(d);
}
