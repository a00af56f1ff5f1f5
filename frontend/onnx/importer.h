/* What the files of the importer share; operator lowerings need onnx.h only. */
#ifndef DLVK_FRONTEND_ONNX_IMPORTER_H
#define DLVK_FRONTEND_ONNX_IMPORTER_H

#include "dlvk/compiler.h"
#include "frontend/onnx/import.h"
#include "frontend/onnx/onnx.h"

/* What facts.def says of an operator: how many inputs it cannot do without, how many it may have, and what users are told. */
typedef struct OnnxFacts {
    dlvk_operator_info info;
    int least, most;
} OnnxFacts;
const OnnxFacts *onnx_facts(const char *domain, const char *op); /* NULL: nothing */
/* The attributes that an operator has in some opset, with spaces between them; NULL: it is not known. */
const char *onnx_attribute_names(const char *domain, const char *op);

typedef struct ExternalFile ExternalFile;
struct ExternalFile {
    ExternalFile *next;
    char *location;
    void *at;
    size_t size;
};

struct OnnxModel {
    Onnx__ModelProto *proto;
    char *dir;           /* absolute, symbolic links resolved: external data must lie below */
    ExternalFile *files; /* mapped */
};

struct Importer {
    Context *ctx;
    OnnxModel *model;
    Graph *graph;
    bool part; /* of a graph that has other nodes, too */
    Signature signature;
    int n_assumed;
    const OnnxAssumed *assumed;
    Assume assume;
    int depth;         /* of nested subgraphs and functions */
    bool random;       /* the node at hand has drawn random numbers, or read what depends on some */
    ModelParts *parts; /* or NULL */
};

/* The attributes a function was called with; those that were left out and have no default are not listed. */
typedef struct Frame {
    const char *prefix; /* of node names inside */
    int n;
    const char **names;
    const Onnx__AttributeProto **attrs;
} Frame;

typedef struct Entry {
    const char *name;
    OnnxItem item; /* neither value nor seq: its import failed */
} Entry;

struct Scope {
    Importer *im;
    Scope *parent;      /* NULL: a graph's or a function's outermost */
    const Frame *frame; /* NULL: not in a function */
    size_t n_opset;
    Onnx__OperatorSetIdProto **opset;
    size_t n_node; /* of the graph or function, for messages */
    Onnx__NodeProto **node;
    Entry *slots; /* open addressing by name */
    int n, cap;
};

void scope_init(Scope *s, Importer *im, Scope *parent);
bool scope_define(Scope *s, const char *name, OnnxItem item); /* false: the name is taken in this scope */
const Entry *scope_find(const Scope *s, const char *name);    /* here or further out */
int scope_opset(const Scope *s, const char *domain);          /* 0: not imported */

/* The canonical spelling of a domain: "" for "ai.onnx". */
const char *onnx_domain(const char *domain);

/* External data file `location`, mapped; NULL and *why. */
const ExternalFile *onnx_external(Pool *p, OnnxModel *m, const char *location, const char **why);
/* Tensors; model NULL: external data is refused. NULL and *why on failure. Data may point into the proto or a mapped file. */
const Tensor *onnx_tensor_read(Pool *p, OnnxModel *m, const Onnx__TensorProto *t, const char **why);
const Tensor *onnx_sparse_read(Pool *p, OnnxModel *m, const Onnx__SparseTensorProto *t, const char **why);

/* A value that some Gradient node names as a variable, behind a barrier: what is computed from it then depends on it visibly,
 * even where it is a constant. Others as they are. */
Value *onnx_variable(const Scope *s, Build *b, const char *name, Value *v);

/* What is assumed for an input of this name, or at this place; NULL: nothing. */
const OnnxAssumed *onnx_assumed(const Importer *im, const char *name, int position);
/* Whether the sizes of the inputs that have assumed values meet the context's constraints; an error otherwise. */
void onnx_check_sizes(Importer *im);
/* The main graph's inputs, defined in s, and its outputs, which become the graph's results. */
void onnx_import_inputs(Scope *s, Build *b, const Onnx__GraphProto *g);
void onnx_export_outputs(Importer *im, const Onnx__GraphProto *g, const OnnxItem *items);

/* Gives parameters their own initializers that share one only because they were equal (untie.c): for models to be trained,
 * differentiated, or written with other weights. False: out of memory. */
bool onnx_untie(Onnx__GraphProto *g);

/* Whether messages of type d lie deeper in these bytes than protobuf-c, which unpacks them by recursion, shall go. */
bool onnx_nests_too_deep(const ProtobufCMessageDescriptor *d, const void *bytes, size_t size);

/* The whole model, once read. */
Graph *onnx_import_model(Context *ctx, OnnxModel *m, int n_assumed, const OnnxAssumed *assumed, Assume assume, ModelParts *parts);
bool onnx_import_function(OnnxNode *n, const Onnx__FunctionProto *f);
const Onnx__FunctionProto *onnx_find_function(const Importer *im, const Onnx__NodeProto *p);

#endif
