/* The boundary of a model: its formal inputs and outputs, and the parameters and results of the graph that stand for them.
 *
 * A graph has tensors alone. A sequence at the boundary is as many of them as the assumed value has, an optional none or those of
 * its value; the graph's signature says which belong together. */
#include "frontend/onnx/importer.h"
#include <string.h>

/* A declared type, taken apart: optional(seq(tensor)) is the largest there is. */
typedef struct Declared {
    bool optional, sequence;
    const Onnx__TypeProto__Tensor *tensor; /* of the elements of a sequence */
} Declared;

static const char *take_apart(const Onnx__TypeProto *t, Declared *d)
{
    *d = (Declared){0};
    if (t && t->value_case == ONNX__TYPE_PROTO__VALUE_OPTIONAL_TYPE) {
        d->optional = true;
        t = t->optional_type->elem_type;
    }
    if (t && t->value_case == ONNX__TYPE_PROTO__VALUE_SEQUENCE_TYPE) {
        d->sequence = true;
        t = t->sequence_type->elem_type;
    }
    if (!t || t->value_case != ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE)
        return d->sequence ? "is a sequence of other things than tensors"
                           : "is neither a tensor nor a sequence or optional of tensors";
    d->tensor = t->tensor_type;
    return NULL;
}

/* The type of a tensor input. Dims without a name or a value become symbols named after the input; those of a sequence's element
 * are its own in any case, since the sizes of the elements may differ. like: its assumed value, which gives the rank where the
 * model does not; or NULL. */
static bool tensor_type(Importer *im, const char *name, const Onnx__TypeProto__Tensor *t, bool element, const Tensor *like,
                        Type *out)
{
    Context *c = im->ctx;
    const char *why = NULL;
    DType dtype = DLVK_F32;
    if (!dtype_from_onnx(t->elem_type, &dtype))
        why = pool_printf(c->pool, "has element type %d, which is not supported", t->elem_type);
    else if (!t->shape && !like)
        why = "has no shape, not even a rank: a value to assume would give it";
    else if (t->shape && t->shape->n_dim > DLVK_MAX_RANK)
        why = pool_printf(c->pool, "has more than %d dimensions", DLVK_MAX_RANK);
    if (why) {
        diag_error(&c->diag, DLVK_UNSUPPORTED, "input '%s' %s", name, why);
        return false;
    }
    const Dim *dims[DLVK_MAX_RANK];
    int rank = t->shape ? (int)t->shape->n_dim : like->rank;
    for (int i = 0; i < rank; i++) {
        const Onnx__TensorShapeProto__Dimension *d = t->shape ? t->shape->dim[i] : NULL;
        const char *param = d && d->value_case == ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_PARAM ? d->dim_param : "";
        if (d && d->value_case == ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_VALUE && d->dim_value >= 0)
            dims[i] = dim_const(&c->dims, d->dim_value);
        else if (im->assume >= ASSUME_SIZES && like && i < like->rank)
            dims[i] = dim_const(&c->dims, like->dim[i]);
        else if (*param)
            dims[i] = dim_symbol(&c->dims, element ? pool_printf(c->pool, "%s.%s", name, param) : param);
        else
            dims[i] = dim_symbol(&c->dims, pool_printf(c->pool, "%s_dim%d", name, i));
    }
    *out = type_make(c, dtype, rank, dims);
    if (!type_huge(*out)) return true;
    diag_error(&c->diag, DLVK_UNSUPPORTED, "input '%s' is of type %s, which is too large", name, type_to_string(c->pool, *out));
    return false;
}

static bool fits(Importer *im, const char *name, Type t, const Tensor *x)
{
    Context *c = im->ctx;
    bool ok =
        x->rank == t.rank && dtype_bits(x->dtype) == dtype_bits(t.dtype) && (x->dtype == DLVK_STRING) == (t.dtype == DLVK_STRING);
    for (int i = 0; ok && i < t.rank; i++) ok = !dim_is_const(t.dim[i], NULL) || dim_is(t.dim[i], x->dim[i]);
    if (!ok)
        diag_error(&c->diag, DLVK_INVALID_ARGUMENT, "the value given for input '%s' is not of type %s", name,
                   type_to_string(c->pool, t));
    return ok;
}

/* Whether an input's value counts as known, at the present level. */
static bool is_assumed(const Importer *im, const Tensor *x)
{
    bool small = x->rank <= 1 && x->count <= IR_MAX_ELEMS && x->dtype != DLVK_STRING;
    return small && (im->assume == ASSUME_ALL || im->assume == ASSUME_SIZES_AND_ALL ||
                     (im->assume == ASSUME_INTEGERS && !dtype_is_float(x->dtype)));
}

static Value *import_tensor(Importer *im, Build *b, const char *name, const Declared *d, const Tensor *like)
{
    Type t;
    if (!tensor_type(im, name, d->tensor, d->sequence, like, &t)) return NULL;
    Value *v = region_param(im->graph->top, t, name);
    if (d->sequence) return !like || fits(im, name, t, like) ? v : NULL;
    if (!like || !is_assumed(im, like)) return v; /* a parameter is a variable as it is */
    return fits(im, name, t, like) ? build_const(b, tensor_new(im->ctx->pool, t.dtype, like->rank, like->dim, like->data)) : NULL;
}

/* What an input is, by its declaration and the value assumed for it; false after an error. A file cannot tell an optional tensor
 * from a sequence of one. */
static bool decide_kind(Importer *im, const char *name, const Declared *d, const OnnxAssumed *a, dlvk_value_kind *kind)
{
    Diag *diag = &im->ctx->diag;
    *kind = d->sequence ? DLVK_VALUE_SEQUENCE : DLVK_VALUE_TENSOR;
    if (!a && d->sequence) {
        diag_error(diag, DLVK_UNSUPPORTED,
                   "input '%s' is a sequence whose length is not known: a compilation needs a value to assume for it (--assume "
                   "%s=FILE.pb)",
                   name, name);
        return false;
    }
    if (!a) return true;
    if (d->optional && (a->kind == DLVK_VALUE_NONE || (!d->sequence && a->n == 0))) {
        *kind = DLVK_VALUE_NONE;
        return true;
    }
    bool ok = d->sequence ? a->kind == DLVK_VALUE_SEQUENCE : a->n == 1;
    if (!ok)
        diag_error(diag, DLVK_INVALID_ARGUMENT, "input '%s' is a %s, but the value given for it is %s", name,
                   d->sequence ? "sequence" : "tensor",
                   a->kind == DLVK_VALUE_TENSOR     ? "a tensor"
                   : a->kind == DLVK_VALUE_SEQUENCE ? "a sequence"
                                                    : "an optional without one");
    return ok;
}

static OnnxItem import_input(Importer *im, Build *b, const char *name, const Onnx__TypeProto *type, const OnnxAssumed *a)
{
    static const OnnxSeq absent = {.none = true};
    Pool *p = im->ctx->pool;
    Declared d;
    dlvk_value_kind kind;
    const char *why = take_apart(type, &d);
    if (why) diag_error(&im->ctx->diag, DLVK_UNSUPPORTED, "input '%s' %s", name, why);
    if (why || !decide_kind(im, name, &d, a, &kind)) return (OnnxItem){0};
    int first = im->graph->top->params.n, n = kind == DLVK_VALUE_TENSOR ? 1 : kind == DLVK_VALUE_NONE ? 0 : a->n;
    *VEC_PUSH(p, im->signature.inputs) = (Formal){name, kind, first, n};
    if (kind == DLVK_VALUE_NONE) return (OnnxItem){.seq = &absent};
    if (kind == DLVK_VALUE_TENSOR) return (OnnxItem){.value = import_tensor(im, b, name, &d, a ? a->at[0] : NULL)};
    OnnxSeq *s = POOL_NEW(p, OnnxSeq);
    *s = (OnnxSeq){.n = n, .at = POOL_ARRAY(p, Value *, n)};
    for (int i = 0; i < n; i++)
        if (!(s->at[i] = import_tensor(im, b, pool_printf(p, "%s[%d]", name, i), &d, a->at[i]))) return (OnnxItem){0};
    return (OnnxItem){.seq = s};
}

const OnnxAssumed *onnx_assumed(const Importer *im, const char *name, int position)
{
    for (int k = 0; k < im->n_assumed; k++) {
        const OnnxAssumed *a = &im->assumed[k];
        if (a->name ? strcmp(a->name, name) == 0 : a->position == position) return a;
    }
    return NULL;
}

void onnx_check_sizes(Importer *im)
{
    Context *c = im->ctx;
    const Region *top = im->graph->top;
    const Dim **known = POOL_ARRAY(c->pool, const Dim *, c->dims.symbols.n);
    for (int i = 0; i < im->signature.inputs.n; i++) {
        const Formal *f = &im->signature.inputs.at[i];
        const OnnxAssumed *a = onnx_assumed(im, f->name, i);
        for (int k = 0; a && k < f->n; k++) {
            Type t = top->params.at[f->first + k]->type;
            for (int d = 0; d < t.rank && d < a->at[k]->rank; d++)
                if (t.dim[d]->kind == DIM_SYM) known[t.dim[d]->sym->index] = dim_const(&c->dims, a->at[k]->dim[d]);
        }
    }
    for (int i = 0; i < c->constraints.n && !c->diag.errors; i++) {
        const Constraint *x = &c->constraints.at[i];
        int64_t l, r;
        if (x->guard || !dim_is_const(dim_subst(&c->dims, x->a, known), &l) ||
            !dim_is_const(dim_subst(&c->dims, x->b, known), &r))
            continue;
        if (x->kind == DIM_EQ ? l != r : l > r)
            diag_error(&c->diag, DLVK_INVALID_ARGUMENT, "%s: %s is %lld and %s is %lld", x->why ? x->why : "sizes",
                       dim_to_string(c->pool, x->a), (long long)l, dim_to_string(c->pool, x->b), (long long)r);
    }
}

void onnx_import_inputs(Scope *s, Build *b, const Onnx__GraphProto *g)
{
    Importer *im = s->im;
    int position = 0;
    for (size_t i = 0; i < g->n_input; i++) {
        const char *name = g->input[i]->name ? g->input[i]->name : "";
        for (size_t k = 0; k < i; k++)
            if (g->input[k]->name && strcmp(g->input[k]->name, name) == 0)
                diag_error(&im->ctx->diag, DLVK_BAD_FILE, "graph '%s' has two inputs '%s'", g->name ? g->name : "", name);
        if (scope_find(s, name)) continue; /* an initializer gives its value */
        scope_define(s, name, import_input(im, b, name, g->input[i]->type, onnx_assumed(im, name, position++)));
    }
}

/* A stack whose length has turned out to be known, as a list. */
static const OnnxSeq *unstack(Importer *im, const char *name, Value *stack)
{
    static const OnnxSeq nothing = {0};
    Build b = {.ctx = im->ctx, .at = im->graph->top};
    int64_t count;
    if (!dim_is_const(stack->type.dim[0], &count) || count > INT16_MAX) {
        diag_error(&im->ctx->diag, DLVK_UNSUPPORTED,
                   "output '%s' is a sequence whose length is known only when the model runs, from the trip count of a loop: a "
                   "compilation "
                   "needs values to assume for what that depends on (--assume NAME=FILE)",
                   name);
        return &nothing;
    }
    OnnxSeq *s = POOL_NEW(im->ctx->pool, OnnxSeq);
    *s = (OnnxSeq){.n = (int)count, .at = POOL_ARRAY(im->ctx->pool, Value *, count)};
    for (int i = 0; i < s->n; i++) s->at[i] = build_gather(&b, stack, build_scalar_i(&b, DLVK_I64, i), 0);
    return s;
}

void onnx_export_outputs(Importer *im, const Onnx__GraphProto *g, const OnnxItem *items)
{
    Pool *p = im->ctx->pool;
    Graph *graph = im->graph;
    bool tensors = true;
    VEC(dlvk_chance) chance = {0};
    for (size_t i = 0; i < g->n_output; i++) {
        const char *name = g->output[i]->name;
        const OnnxSeq *s = items[i].seq;
        if (s && s->stack) s = unstack(im, name, s->stack);
        dlvk_value_kind kind = !s ? DLVK_VALUE_TENSOR : s->none ? DLVK_VALUE_NONE : DLVK_VALUE_SEQUENCE;
        *VEC_PUSH(p, im->signature.outputs) = (Formal){name, kind, graph->top->results.n, s ? s->n : 1};
        for (int k = 0; k < (s ? s->n : 1); k++) {
            *VEC_PUSH(p, graph->top->results) = s ? s->at[k] : items[i].value;
            *VEC_PUSH(p, graph->output_names) = s ? pool_printf(p, "%s[%d]", name, k) : name;
            *VEC_PUSH(p, chance) = items[i].chance;
        }
        tensors = tensors && kind == DLVK_VALUE_TENSOR;
    }
    if (!im->parts) graph->chance = chance.at; /* results of models in parts are replaced */
    for (int i = 0; i < im->signature.inputs.n; i++) tensors = tensors && im->signature.inputs.at[i].kind == DLVK_VALUE_TENSOR;
    if (!tensors) graph->signature = pool_dup(p, &im->signature, sizeof im->signature);
}
