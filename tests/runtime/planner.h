/* Building plans by hand, for testing the runtime without the compiler. Everything is freed by planner_free. */
#ifndef TESTS_RUNTIME_PLANNER_H
#define TESTS_RUNTIME_PLANNER_H

#include "codegen/bundle_write.h"
#include "dlvk/runtime.h"
#include "plan.pb-c.h"
#include <criterion/criterion.h>

#define EXPR(x) DLVK__PLAN__EXPR__OP__##x
#define BUF(x)  DLVK__PLAN__BUFFER__KIND__##x

typedef struct Planner {
    Dlvk__Plan__Plan plan;
    BlobData blob[64];
    size_t n_blob;
    void *owned; /* list of allocations */
} Planner;
typedef Dlvk__Plan__Region Region;

void planner_init(Planner *p);
void planner_free(Planner *p);
void *planner_alloc(Planner *p, size_t n);                                                /* zeroed */
uint32_t planner_symbol(Planner *p, const char *name, int64_t lo, int64_t hi, bool data); /* an expression */
uint32_t planner_symbol_index(const Planner *p, const char *name);
uint32_t planner_const(Planner *p, int64_t v);
uint32_t planner_op(Planner *p, int op, uint32_t a, uint32_t b);
void planner_constraint(Planner *p, int kind, uint32_t a, uint32_t b, const char *why);
uint32_t planner_blob(Planner *p, const void *data, size_t length, size_t bytes);
uint32_t planner_buffer(Planner *p, int kind, uint32_t size, uint32_t first, uint32_t last);
uint32_t planner_constant(Planner *p, const void *data, size_t length, size_t bytes); /* a buffer */
uint32_t planner_state(Planner *p, const void *data, size_t bytes, const char *name,
                       dlvk_dtype t); /* a buffer; data NULL: zeros */
void planner_input(Planner *p, const char *name, dlvk_dtype t, uint32_t buffer, int rank, const uint32_t *dim);
void planner_output(Planner *p, const char *name, dlvk_dtype t, uint32_t buffer, int rank, const uint32_t *dim);
uint32_t planner_source(Planner *p, const char *name, const char *op);
/* GLSL without the head: the body of main and declarations; args is the push constant block's content. A pipeline. */
uint32_t planner_pipeline(Planner *p, const char *declarations, const char *args, uint32_t push_bytes, const char *body,
                          uint32_t features, const uint32_t *spec, size_t n_spec);
uint32_t planner_pipeline_of(Planner *p, uint32_t module, const uint32_t *spec, size_t n_spec);
Region *planner_region(Planner *p);
Region *planner_top(Planner *p);

typedef struct Args {
    uint32_t address[8], offset[8]; /* buffers; offset: 1 + expression */
    int n_address;
    uint32_t value[8];
    int n_value;
    uint32_t divisor[4];
    int n_divisor;
    uint32_t reads[8], writes[8];
    int n_reads, n_writes;
} Args;
#define PLANNER_MAP(x, y, n) /* from x to y, over n elements */                                                                  \
    &(Args)                                                                                                                      \
    {                                                                                                                            \
        .address = {(x), (y)}, .n_address = 2, .value = {(n)}, .n_value = 1, .reads = {(x)}, .n_reads = 1, .writes = {(y)},      \
        .n_writes = 1                                                                                                            \
    }
Dlvk__Plan__Dispatch *planner_dispatch(Planner *p, Region *r, const char *name, uint32_t pipeline, uint32_t groups,
                                       const Args *a);
void planner_add_variant(Planner *p, Dlvk__Plan__Dispatch *d, uint32_t pipeline, uint32_t groups,
                         bool indirect); /* preferred to the others */
void planner_copy(Planner *p, Region *r, uint32_t from, uint32_t to, uint32_t bytes, uint32_t from_offset, uint32_t to_offset);
void planner_read(Planner *p, Region *r, uint32_t buffer, dlvk_dtype t, uint32_t symbol_index);
Dlvk__Plan__If *planner_if(Planner *p, Region *r, uint32_t condition);
Dlvk__Plan__Loop *planner_loop(Planner *p, Region *r);
void planner_write(Planner *p, void **bundle, size_t *size);

#define OK(call)                                                                                                                 \
    do {                                                                                                                         \
        dlvk_error err_ = {""};                                                                                                  \
        dlvk_error *err = &err_;                                                                                                 \
        dlvk_status st_ = (call);                                                                                                \
        cr_assert_eq(st_, DLVK_OK, "%s", err_.text);                                                                             \
    } while (0)

typedef struct Loaded {
    dlvk_model *m;
    dlvk_session *s;
} Loaded;
/* Writes the plan's bundle and loads it from memory, on the shared device. */
dlvk_status planner_load_model(Planner *p, const dlvk_load_options *o, dlvk_model **m, dlvk_error *err);
/* The same, and a session; failures are asserted away. */
Loaded planner_load(Planner *p);
/* Frees all that, asserts that the validation layer was silent, and closes the device. */
void planner_unload(Loaded l, Planner *p);

/* The device all runtime tests share, opened at first use; the tests are skipped where there is none. */
dlvk_device *test_device(void);

#endif
