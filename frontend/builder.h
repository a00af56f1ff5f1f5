/* The graph builder from inside; the public face is dlvk/graph.h. */
#ifndef DLVK_FRONTEND_BUILDER_H
#define DLVK_FRONTEND_BUILDER_H

#include "dlvk/graph.h"
#include "frontend/compose.h"
#include "frontend/mode.h"
#include <setjmp.h>

typedef struct NameScope {
    struct NameScope *outer;
    const char *path; /* "layer1.0." */
} NameScope;

/* A loop's or a branch's body that is being built. */
typedef struct OpenBody {
    struct OpenBody *outer;
    Region *then;     /* the then branch, once its else is being built */
    Build around;     /* where to go on after the end */
    const Dim *guard; /* of the constraints made there */
    Value *control;   /* condition or trip count */
    bool loop;
    int n;
    Value **carried;
} OpenBody;

typedef struct BuilderFile {
    const char *path;
    struct OnnxModel *model; /* goes with the pool */
} BuilderFile;

struct dlvk_graph {
    Pool own, *pool; /* pool: own, or that of a graph made elsewhere */
    Context *ctx;
    Graph *graph;
    Build b;
    bool out_of_memory;
    NameScope *scope;
    OpenBody *body;
    VEC(const char *) names; /* of inputs, outputs and parameters: taken */
    uint64_t seed;
    dlvk_weights supply;
    void *supply_user;
    ModelParts parts;
    VEC(BuilderFile) files; /* ONNX files read by dlvk_onnx() */
};

/* A builder on a graph made elsewhere, building at the end of its top region; for as long as the graph's pool. */
dlvk_graph builder_on(Graph *g);

/* The finished IR, for inference: NULL, with errors in g->ctx->diag, when something went wrong, a body is still open, or
 * there is no output. The graph stays the builder's: everything is in its pool. */
Graph *builder_finish(dlvk_graph *g);
/* The graph as it was built, with its parameters listed, for training; NULL as above. */
const ModelParts *builder_parts(dlvk_graph *g);

/* Every public function works inside this: when memory runs out it ends here, and errors name the scope and the function.
 */
void builder_enter(dlvk_graph *g, const char *op, jmp_buf *oom);
#pragma GCC diagnostic ignored "-Wclobbered" /* after the jump nothing but g is used, which nobody changes */
#define BUILDER_GUARD(g, op, work)                                                                                               \
    do {                                                                                                                         \
        jmp_buf oom_;                                                                                                            \
        if (!(g) || (g)->out_of_memory) break;                                                                                   \
        if (setjmp(oom_)) {                                                                                                      \
            (g)->out_of_memory = true;                                                                                           \
            break;                                                                                                               \
        }                                                                                                                        \
        builder_enter((g), (op), &oom_);                                                                                         \
        work;                                                                                                                    \
    } while (0)
/* The body of a function that makes one value: NULL after an error. */
#define BUILDER_RETURN(g, op, expression)                                                                                        \
    do {                                                                                                                         \
        BUILDER_GUARD(g, op, {                                                                                                   \
            int errors_ = (g)->ctx->diag.errors;                                                                                 \
            Value *made_ = (expression);                                                                                         \
            return errors_ == (g)->ctx->diag.errors ? outside(made_) : NULL;                                                     \
        });                                                                                                                      \
        return NULL;                                                                                                             \
    } while (0)

static inline Value *inside(dlvk_value v)
{
    return (Value *)v;
}
static inline dlvk_value outside(Value *v)
{
    return (dlvk_value)v;
}
/* The values as the IR's, in the graph's pool. */
Value **builder_values(dlvk_graph *g, int n, const dlvk_value *v);
/* A shape's text; false, with an error, when it does not parse. A "?" gives NULL. */
bool builder_shape(dlvk_graph *g, const char *text, int *rank, const Dim **dims);
/* One dimension expression; NULL with an error. */
const Dim *builder_dim(dlvk_graph *g, const char *text);
/* An axis made non-negative; -1, with an error, when out of range. */
int builder_axis(dlvk_graph *g, int axis, int rank);
/* A size that must be known; false, with an error naming `what`. */
bool builder_known(dlvk_graph *g, const Dim *d, const char *what, int64_t *size);
/* The IR's kind; false, with an error, where k is not one of `allowed` (bits 1 << dlvk_kind). */
bool builder_kind(dlvk_graph *g, dlvk_kind k, unsigned allowed, Kind *kind);
#define BUILDER_ERROR(g, ...) ctx_error((g)->ctx, DLVK_INVALID_ARGUMENT, __VA_ARGS__)

#endif
