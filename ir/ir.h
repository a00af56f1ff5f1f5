/* The intermediate representation: typed values in SSA form, in regions, over symbolic dimensions.
 *
 * A Graph has one top Region; if, loop and call nodes hold further ones, which may use values of the regions around
 * them. Nodes of a region stand in topological order. Types are complete from the moment a node is made: node_new()
 * infers them, or records an error and returns NULL. Functions given a NULL operand return NULL and say nothing, so
 * that importer code runs on and all errors of a model are gathered.
 *
 * Graphs are not edited. A pass builds a new graph from the old (ir/rewrite.h), which makes dead code vanish by itself. */
#ifndef DLVK_IR_IR_H
#define DLVK_IR_IR_H

#include "ir/dim.h"
#include "ir/dtype.h"
#include "ir/pool.h"

typedef enum Op {
#define POINT(id, name, ...) OP_##id,
#define STRUCT(id, name, n_in, n_out) OP_##id,
#include "ir/ops.def"
    OP_COUNT
} Op;

enum { TAKES_F = 1, TAKES_I = 2, TAKES_B = 4, TAKES_FI = 3, TAKES_IB = 6, TAKES_FIB = 7, TAKES_S = 8, TAKES_FIBS = 15 };
typedef enum PointRule { RULE_NONE, RULE_SAME, RULE_CMP, RULE_PICK } PointRule;

typedef struct OpInfo {
    const char *name;
    int n_in, n_out; /* -1: any */
    bool point;
    int takes;
    PointRule rule;
    const char *glsl_f, *glsl_i;
} OpInfo;
extern const OpInfo op_info[OP_COUNT];
bool op_parse(const char *name, Op *op);

typedef enum Kind { KIND_SUM, KIND_PROD, KIND_MAX, KIND_MIN, KIND_AND, KIND_OR, KIND_SET, KIND_COUNT } Kind;
extern const char *const kind_name[KIND_COUNT];

/* A dense tensor on the host, laid out as ONNX's raw_data (little endian, sub-byte types packed low bits first).
 * splat: `data` holds one element that stands for all. Strings: `data` is an array of Str. */
typedef dlvk_string Str;
typedef struct Tensor {
    DType dtype;
    int rank;
    int64_t dim[DLVK_MAX_RANK];
    int64_t count; /* product of dim */
    bool splat;
    size_t bytes; /* of data as stored: one element's when splat */
    const void *data;
} Tensor;

typedef struct Value Value;
typedef struct Node Node;
typedef struct Region Region;
typedef struct Graph Graph;

typedef struct Type {
    DType dtype;
    int rank;
    const Dim *const *dim;
} Type;

/* Attributes: a name from this table and a typed payload. */
#define IR_ATTRS(X)                                                                                              \
    X(VALUE, "value", TENSOR) X(VALUES, "values", DIMS) X(SHAPE, "shape", DIMS) X(DTYPE, "dtype", DTYPE)         \
    X(AXIS, "axis", INT) X(AXES, "axes", INTS) X(PERM, "perm", INTS) X(KIND, "kind", KIND)                       \
    X(START, "start", DIMS) X(STEP, "step", INTS) X(LO, "lo", DIMS) X(HI, "hi", DIMS)                            \
    X(WINDOW, "window", INTS) X(DILATION, "dilation", INTS) X(IN_DILATION, "in_dilation", INTS)                  \
    X(GROUP, "group", INT) X(LAST, "last", INT) X(EXCLUSIVE, "exclusive", INT) X(REVERSE, "reverse", INT)        \
    X(DESCENDING, "descending", INT) X(SATURATE, "saturate", INT) X(STORED, "stored", INT) X(NAME, "name", STR)     \
    X(VIEW, "view", INT) X(PLACE, "place", INT) X(TEXT, "text", STR) X(DTYPES, "dtypes", INTS) X(RANKS, "ranks", INTS)
typedef enum AttrId {
#define IR_ATTR_ENUM(id, name, type) A_##id,
    IR_ATTRS(IR_ATTR_ENUM)
#undef IR_ATTR_ENUM
        A_COUNT
} AttrId;
typedef enum AttrType { ATTR_INT, ATTR_INTS, ATTR_DIMS, ATTR_DTYPE, ATTR_KIND, ATTR_TENSOR, ATTR_STR } AttrType;
extern const char *const attr_name[A_COUNT];
extern const AttrType attr_type[A_COUNT];

typedef struct Attr {
    AttrId id;
    int n; /* of ints or dims */
    union {
        int64_t i; /* INT, DTYPE, KIND */
        const int64_t *ints;
        const Dim *const *dims;
        const Tensor *tensor;
        const char *str;
    };
} Attr;

/* Where a node came from, for messages and `inspect`: ONNX node name and operator, or the builder's name. */
typedef struct Origin {
    const char *name, *op;
} Origin;

struct Value {
    Node *def;      /* NULL for a region's parameter */
    Region *region; /* where it is defined */
    int out;        /* index among def's outputs or the region's parameters */
    int id;         /* unique in its graph, dense from 0 */
    Type type;
    const Dim *const *elems; /* integer tensors of rank <= 1 and few elements whose contents are known: count dims; or NULL */
    const char *name;        /* name in the model, or NULL */
};

struct Node {
    Op op;
    int id; /* unique in its graph, dense from 0 */
    int n_in, n_out, n_attr, n_region;
    Value **in;
    Value **out;
    Attr *attr;
    Region **region_at;
    Region *parent;
    const Origin *origin;
};

struct Region {
    Graph *graph;
    Region *parent; /* NULL: the graph's top */
    const Dim *guard; /* a data symbol that is 1 once an if has chosen this region; NULL: none */
    VEC(Value *) params;
    VEC(Node *) nodes;
    VEC(Value *) results;
};

/* A relation the sizes must satisfy at run time, checked when they are bound. */
typedef struct Constraint {
    enum { DIM_EQ, DIM_LE } kind; /* a == b, a <= b */
    const Dim *a, *b;
    const char *why; /* "node 'Add_3': shapes of A and B" */
    const Dim *guard; /* holds only where this symbol has a value: in a branch that is taken; NULL: always */
} Constraint;

/* Errors of one compilation, gathered. */
typedef struct Diag {
    Pool *pool;
    int errors;
    dlvk_status status; /* of the first */
    VEC(const char *) lines;
} Diag;
void diag_error(Diag *d, dlvk_status s, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* What all graphs of one compilation share. */
typedef struct Context {
    Pool *pool;
    DimTable dims;
    Diag diag;
    VEC(Constraint) constraints;
    const Origin *origin; /* stamped on new nodes; the frontend sets it */
    const Dim *guard;     /* of the region being built: stamped on new constraints */
    const struct Precision *precision; /* passes/pass.h; NULL: float32 stays float32 */
} Context;
Context *context_new(Pool *pool);
/* Errors about the current origin: prefixed by "node 'NAME' (OP): ". */
void ctx_error(Context *c, dlvk_status s, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
void ctx_constrain(Context *c, int kind, const Dim *a, const Dim *b); /* drops what is provable; errors on what is impossible */

/* An input or output as the model declares it: a tensor, a sequence of n, or nothing. */
typedef struct Formal {
    const char *name;
    dlvk_value_kind kind;
    int first, n; /* of the graph's parameters or results */
} Formal;
typedef struct Signature {
    VEC(Formal) inputs, outputs; /* empty: each parameter, or result, is a tensor of its own */
} Signature;

struct Graph {
    Context *ctx;
    const Signature *signature; /* NULL: tensors alone */
    const char *name;
    Region *top; /* params: inputs, results: outputs; their names in names below */
    VEC(const char *) output_names;
    const dlvk_chance *chance; /* of each result; NULL: none is random, or it was not asked. Not part of the text form */
    int n_values, n_nodes;
    /* The last n_states parameters of top live from run to run, and its last n_states results are their next values, in the same
     * order and of the same types; a parameter that is its own result is only read. They are no inputs or outputs, and the latter
     * have no names. state: what they start with; NULL: zeros. Not part of the text form. */
    int n_states;
    const Tensor *const *state;
};
Graph *graph_new(Context *ctx, const char *name);
Region *region_new(Graph *g, Region *parent);
/* A branch of an `if`: what it asks of sizes must hold only when it is taken. Build it between enter and leave. */
Region *region_branch(Graph *g, Region *parent);
const Dim *region_enter(const Region *r);               /* returns the guard to go back to */
void region_leave(const Region *r, const Dim *previous);
Value *region_param(Region *r, Type t, const char *name);

Type type_make(Context *c, DType t, int rank, const Dim *const *dims); /* copies dims */
bool type_equal(Type a, Type b);
bool type_same_shape(Type a, Type b);
bool type_reduced(Type full, const bool *axes, Type t); /* t has the dims of full, save 1 along the axes that are marked */
const Dim *type_count(Context *c, Type t); /* product of the dims */
char *type_to_string(Pool *p, Type t);     /* f32[batch,3,224,224] */
bool type_static(Type t, int64_t *dims);   /* true, and dims filled if not NULL, when every dim is constant */
bool type_huge(Type t); /* more elements than 2^48, constant dims alone: what keeps counts of bits and the like from overflowing */

/* Makes a node at the end of r, copying in[] and attrs; infers its types. Where the table leaves the number of outputs open
 * (if, loop, call, host) the regions or attributes tell. NULL, with an error recorded, when operands or attributes are not legal. */
Node *node_new(Region *r, Op op, int n_in, Value *const *in, int n_attr, const Attr *attr, int n_region, Region *const *region);
const Attr *node_attr(const Node *n, AttrId id); /* NULL when absent */
int64_t attr_i(const Node *n, AttrId id, int64_t otherwise);
const int64_t *attr_ints(const Node *n, AttrId id);       /* NULL when absent */
const Dim *const *attr_dims(const Node *n, AttrId id);    /* NULL when absent */
/* Type inference, one function an op, in ir/infer.c; fills n->out[*]->type. */
bool node_infer(Region *r, Node *n);
/* Contents of small integer results, in ir/elems.c; NULL when unknown. Limit on elements: IR_MAX_ELEMS. */
const Dim *const *node_elems(Context *c, const Node *n);
#define IR_MAX_ELEMS 64

/* Constants. */
const Tensor *tensor_new(Pool *p, DType t, int rank, const int64_t *dim, const void *data); /* does not copy data */
bool value_const(const Value *v, const Tensor **t);   /* v is defined by a const node */
bool value_scalar(const Value *v, double *x);         /* one-element or splat constant, seen through broadcast and reshape */

/* v is a 16-bit float made a float32: exact, and cheap enough to be done over and over where it is read. */
bool value_widened(const Value *v);

/* Checks the whole graph: order, arity, attributes, and that inference gives the types it has. Every failure becomes a
 * line in `out` (NULL: only count). Returns their number. ir/verify.c */
int graph_verify(const Graph *g, FILE *out);

/* Text. ir/print.c, ir/parse.c. What is printed parses back to a graph that prints the same. Tensors of more than
 * `max_elems` elements are printed as a digest and then do not parse back; -1: no limit. */
void graph_print(FILE *f, const Graph *g, int64_t max_elems);
Graph *graph_parse(Context *ctx, const char *text);

#endif
