/* Graphs, subgraphs and functions of a model, node by node, into the IR.
 *
 * A node that cannot be imported leaves its outputs without a value; nodes that read them are passed over in silence, so
 * that every line of the diagnosis is a fault of its own. */
#include "frontend/onnx/importer.h"
#include <limits.h>
#include <string.h>

enum { MAX_DEPTH = 64 }; /* of subgraphs and functions in each other */

typedef struct OpRow {
    const char *domain, *name;
    int since;
    OnnxLower lower;
    int arg;
} OpRow;

#define AI      ""
#define ML      "ai.onnx.ml"
#define MS      "com.microsoft"
#define PREVIEW "ai.onnx.preview"
#define TRAIN   "ai.onnx.preview.training"
static const OpRow op_rows[] = {
#define ONNX(domain, name, since, lower, arg) {domain, #name, since, lower, arg},
#include "frontend/onnx/ops.def"
};

/* The row for an operator, or NULL; *oldest: the first opset that has it, 0 where there is none. */
static const OpRow *row_of(const char *domain, const char *op, int opset, bool *domain_known, int *oldest)
{
    const OpRow *best = NULL;
    *oldest = 0;
    *domain_known = false;
    for (size_t i = 0; i < sizeof op_rows / sizeof *op_rows; i++) {
        const OpRow *r = &op_rows[i];
        if (strcmp(r->domain, domain) != 0) continue;
        *domain_known = true;
        if (strcmp(r->name, op) != 0) continue;
        if (r->since <= opset && (!best || r->since > best->since)) best = r;
        if (!*oldest || r->since < *oldest) *oldest = r->since;
    }
    return best;
}

bool onnx_apply(OnnxNode *n, const char *op, int opset, int n_in, Value *const *in, int n_out, Value **out)
{
    bool known;
    int oldest, errors = n->im->ctx->diag.errors;
    const OpRow *row = row_of("", op, opset, &known, &oldest);
    OnnxNode inner = *n;
    inner.opset = opset;
    inner.n_in = n_in;
    inner.n_out = n_out;
    inner.in = POOL_ARRAY(n->im->ctx->pool, Value *, n_in);
    inner.out = POOL_ARRAY(n->im->ctx->pool, Value *, n_out);
    inner.seq_in = POOL_ARRAY(n->im->ctx->pool, const OnnxSeq *, n_in);
    inner.seq_out = POOL_ARRAY(n->im->ctx->pool, const OnnxSeq *, n_out);
    if (n_in) memcpy(inner.in, in, sizeof *in * (size_t)n_in);
    if (!row) {
        onnx_error(n, "operator '%s' is not supported", op);
        return false;
    }
    inner.arg = row->arg;
    row->lower(&inner);
    memcpy(out, inner.out, sizeof *out * (size_t)n_out);
    return n->im->ctx->diag.errors == errors && out[0];
}

void onnx_random(OnnxNode *n)
{
    n->im->random = true;
}

/* The row for a node, or an error that says whether domain, operator or version is at fault. */
static const OpRow *find_row(OnnxNode *n)
{
    const char *domain = onnx_domain(n->proto->domain), *op = n->proto->op_type ? n->proto->op_type : "";
    int oldest;
    bool domain_known;
    const OpRow *best = row_of(domain, op, n->opset, &domain_known, &oldest);
    if (!n->opset)
        onnx_error(n, "the model does not import the domain '%s'", *domain ? domain : "ai.onnx");
    else if (!domain_known && *domain)
        onnx_error(n, "domain '%s' is not supported, and the model defines no function '%s' in it", domain, op);
    else if (!oldest)
        onnx_error(n, "operator '%s' is not supported", op);
    else if (!best)
        onnx_error(n, "operator '%s' is not in this opset; %d is the first", op, oldest);
    return best;
}

static bool is_output_of(size_t n, Onnx__NodeProto **nodes, const char *name)
{
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < nodes[i]->n_output; k++)
            if (strcmp(nodes[i]->output[k], name) == 0) return true;
    return false;
}

/* Looks the inputs up; false when one is missing (an error) or failed to import (silence). */
static bool resolve_inputs(OnnxNode *n)
{
    bool ok = true;
    for (int i = 0; i < n->n_in; i++) {
        const char *name = n->proto->input[i];
        if (!*name) continue;
        const Entry *e = scope_find(n->scope, name);
        if (!e) {
            bool later = is_output_of(n->scope->n_node, n->scope->node, name);
            onnx_error(n,
                       later ? "input '%s' is the output of a later node: the nodes are not sorted, or form a cycle"
                             : "input '%s' is not defined",
                       name);
            ok = false;
        } else if (!e->item.value && !e->item.seq) {
            ok = false;
        } else {
            n->in[i] = e->item.value;
            n->seq_in[i] = e->item.seq;
            n->im->random |= e->item.chance != DLVK_CERTAIN;
        }
    }
    return ok;
}

/* What sequences and optionals may be given to. */
static bool takes_sequences(const char *op)
{
    static const char *const names[] = {"ConcatFromSequence", "Identity", "If", "Loop"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(op, names[i]) == 0) return true;
    return strncmp(op, "Sequence", 8) == 0 || strncmp(op, "Optional", 8) == 0;
}

/* The first input tells what an operator computes with where that is floats alone, or bool; elsewhere it may be an index or a
 * size. */
static bool check_type(OnnxNode *n, const dlvk_operator_info *f)
{
    Value *x = in(n, 0);
    bool floats = !strcmp(f->types, "floats"), told = (floats || !strcmp(f->types, "bool")) && strcmp(f->domain, MS) != 0;
    if (!x || !told || (floats ? dtype_is_float(x->type.dtype) : x->type.dtype == DLVK_BOOL)) return true;
    onnx_error(n, "input 0 is of type %s; it must be of %s", type_to_string(n->im->ctx->pool, x->type), f->types);
    return false;
}

/* Whether all attributes are such as the operator has: one that is misspelt would go by unread. Names that begin with two
 * underscores belong to whoever wrote the file, as ONNX's own checker has it. */
static bool check_attributes(OnnxNode *n)
{
    const char *names = onnx_attribute_names(onnx_domain(n->proto->domain), n->proto->op_type);
    for (size_t i = 0; names && i < n->proto->n_attribute; i++) {
        const char *name = n->proto->attribute[i]->name ? n->proto->attribute[i]->name : "", *at = names;
        size_t length = strlen(name);
        bool found = strncmp(name, "__", 2) == 0;
        for (; *at && !found; at += strspn(at, " ")) {
            size_t here = strcspn(at, " ");
            found = here == length && memcmp(at, name, length) == 0;
            at += here;
        }
        if (found) continue;
        onnx_error(n,
                   *names ? "attribute '%s' is not one of its attributes, which are: %s" : "attribute '%s' is given; it has none",
                   name, names);
        return false;
    }
    return true;
}

static bool check_inputs(OnnxNode *n)
{
    const OnnxFacts *f = onnx_facts(onnx_domain(n->proto->domain), n->proto->op_type);
    int least = f ? f->least : 1, most = f ? f->most : INT_MAX;
    for (int i = 0; i < n->n_in; i++)
        if (n->seq_in[i] && !n->seq_in[i]->none && !takes_sequences(n->proto->op_type)) {
            onnx_error(n, "input %d is a sequence or optional, not a tensor", i);
            return false;
        }
    for (int i = 0; i < least; i++)
        if (!has_in(n, i)) {
            onnx_error(n, "input %d is missing", i);
            return false;
        }
    for (int i = most; i < n->n_in; i++)
        if (*n->proto->input[i]) {
            onnx_error(n, "input %d ('%s') is one too many: there are %d", i, n->proto->input[i], most);
            return false;
        }
    return !f || check_type(n, &f->info);
}

/* Whether output i is random: if the node draws numbers, in a graph inside it too, or reads what is random. Which of several
 * outputs depends on which input is not asked. */
static dlvk_chance chance_of(const OnnxNode *n, const Value *v)
{
    const char *op = n->proto->op_type ? n->proto->op_type : "";
    if (!n->im->random) return DLVK_CERTAIN;
    if ((strcmp(op, "Shape") == 0 || strcmp(op, "Size") == 0) && value_const(v, &(const Tensor *){NULL})) return DLVK_CERTAIN;
    if (v && (v->type.dtype == DLVK_BOOL || strcmp(op, "Bernoulli") == 0)) return DLVK_RANDOM_BITS;
    bool keeps = strcmp(op, "Cast") == 0 || strcmp(op, "CastLike") == 0 || strcmp(op, "Identity") == 0;
    const Entry *from = keeps && n->n_in ? scope_find(n->scope, n->proto->input[0]) : NULL;
    return from && from->item.chance == DLVK_RANDOM_BITS ? DLVK_RANDOM_BITS : DLVK_RANDOM;
}

static void define_outputs(OnnxNode *n)
{
    for (int i = 0; i < n->n_out; i++) {
        const char *name = n->proto->output[i];
        if (!*name) continue;
        Value *v = onnx_variable(n->scope, n->b, name, n->out[i]);
        if (v && !v->name && !n->scope->frame) v->name = name;
        if (!scope_define(n->scope, name, (OnnxItem){v, n->seq_out[i], chance_of(n, v)}))
            onnx_error(n, "output '%s' has the name of an earlier value", name);
    }
}

/* Adds the types of the inputs to a line of the diagnosis that says of this node no more than which sizes do not fit. */
static void tell_inputs(OnnxNode *n, int line)
{
    Context *c = n->im->ctx;
    const char *types = "", *start = pool_printf(c->pool, "node '%s' (%s): ", n->name, n->proto->op_type);
    if (line >= c->diag.lines.n || strncmp(c->diag.lines.at[line], start, strlen(start)) != 0) return;
    for (int i = 0; i < n->n_in; i++)
        if (n->in[i]) types = pool_printf(c->pool, "%s%s%s", types, *types ? ", " : "", type_to_string(c->pool, n->in[i]->type));
    if (*types) c->diag.lines.at[line] = pool_printf(c->pool, "%s (inputs: %s)", c->diag.lines.at[line], types);
}

static void lower_node(OnnxNode *n)
{
    int errors = n->im->ctx->diag.errors, line = n->im->ctx->diag.lines.n;
    const Onnx__FunctionProto *f = onnx_find_function(n->im, n->proto);
    const OpRow *row = f ? NULL : find_row(n);
    if (!resolve_inputs(n)) return;
    if (f) {
        onnx_import_function(n, f);
    } else if (row && check_attributes(n) && check_inputs(n)) {
        n->arg = row->arg;
        row->lower(n);
    }
    if (n->im->ctx->diag.errors != errors) {
        tell_inputs(n, line);
        return;
    }
    for (int i = 0; i < n->n_out; i++)
        if (has_out(n, i) && !n->out[i] && !n->seq_out[i])
            onnx_error(n, "output %d ('%s') is not supported with these inputs", i, n->proto->output[i]);
}

static void import_node(Scope *s, Build *b, const Onnx__NodeProto *p, int index)
{
    Importer *im = s->im;
    Pool *pool = im->ctx->pool;
    const char *op = p->op_type ? p->op_type : "", *prefix = s->frame ? s->frame->prefix : "";
    const char *name =
        p->name && *p->name ? pool_printf(pool, "%s%s", prefix, p->name) : pool_printf(pool, "%s%s_%d", prefix, op, index);
    OnnxNode n = {.im = im,
                  .b = b,
                  .scope = s,
                  .proto = p,
                  .name = name,
                  .opset = scope_opset(s, onnx_domain(p->domain)),
                  .n_in = (int)p->n_input,
                  .n_out = (int)p->n_output};
    n.in = POOL_ARRAY(pool, Value *, n.n_in);
    n.out = POOL_ARRAY(pool, Value *, n.n_out);
    n.seq_in = POOL_ARRAY(pool, const OnnxSeq *, n.n_in);
    n.seq_out = POOL_ARRAY(pool, const OnnxSeq *, n.n_out);
    Origin *o = POOL_NEW(pool, Origin);
    *o = (Origin){.name = name, .op = op};
    const Origin *outer = im->ctx->origin;
    bool random = im->random; /* the node around it, so far */
    im->ctx->origin = o;
    im->random = false;
    lower_node(&n);
    define_outputs(&n);
    im->random |= random;
    im->ctx->origin = outer;
}

static void import_nodes(Scope *s, Build *b, size_t n, Onnx__NodeProto **nodes)
{
    s->n_node = n;
    s->node = nodes;
    for (size_t i = 0; i < n; i++) import_node(s, b, nodes[i], (int)i);
}

/* Whether an initializer of the main graph is an input as well for which a value is assumed: by name, or since all inputs have
 * one. */
static bool is_overridden(const Scope *s, const Onnx__GraphProto *g, const char *name)
{
    const Importer *im = s->im;
    for (size_t i = 0; !s->parent && name && i < g->n_input && im->n_assumed; i++)
        if (g->input[i]->name && strcmp(g->input[i]->name, name) == 0)
            return onnx_assumed(im, name, (size_t)im->n_assumed == g->n_input ? (int)i : -1) != NULL;
    return false;
}

/* Initializers become constants. One that is also an input is a default value: it is taken as fixed unless another is assumed. */
static void import_initializer(Scope *s, Build *b, const char *name, const Tensor *t, const char *why)
{
    Context *c = s->im->ctx;
    name = name ? name : "";
    if (!t) diag_error(&c->diag, DLVK_BAD_FILE, "initializer '%s': %s", name, why);
    Value *v = t ? build_const(b, t) : NULL;
    ModelParts *m = s->parent ? NULL : s->im->parts;
    if (v && m && dtype_is_float(t->dtype)) v = mode_weight(b, m, v, name);
    v = onnx_variable(s, b, name, v);
    if (v && !v->name) v->name = name;
    if (!scope_define(s, name, (OnnxItem){.value = v}))
        diag_error(&c->diag, DLVK_BAD_FILE, "initializer '%s' is defined twice", name);
}

static void import_initializers(Scope *s, Build *b, const Onnx__GraphProto *g)
{
    Importer *im = s->im;
    for (size_t i = 0; i < g->n_initializer; i++) {
        const char *why = "", *name = g->initializer[i]->name;
        if (!s->parent && s->frame && name && scope_find(s, name)) continue; /* an argument takes its place */
        if (is_overridden(s, g, name)) continue;
        const Tensor *t = onnx_tensor_read(im->ctx->pool, im->model, g->initializer[i], &why);
        import_initializer(s, b, g->initializer[i]->name, t, why);
    }
    for (size_t i = 0; i < g->n_sparse_initializer; i++) {
        const char *why = NULL;
        const Onnx__SparseTensorProto *sparse = g->sparse_initializer[i];
        Origin *origin = POOL_NEW(im->ctx->pool, Origin); /* where memory runs out, if it does: the elements may be very many */
        *origin = (Origin){.name = sparse->values ? sparse->values->name : NULL, .op = "initializer"};
        const Origin *outer = im->ctx->origin;
        im->ctx->origin = origin;
        const Tensor *t = onnx_sparse_read(im->ctx->pool, im->model, sparse, &why);
        im->ctx->origin = outer;
        import_initializer(s, b, origin->name, t, why);
    }
}

/* Whether values are of the element types that the file declares for them. */
static void check_declared(Scope *s, size_t n, Onnx__ValueInfoProto **infos)
{
    for (size_t i = 0; i < n; i++) {
        const Onnx__TypeProto *t = infos[i]->type;
        const Entry *e = infos[i]->name ? scope_find(s, infos[i]->name) : NULL;
        DType declared;
        if (!e || !e->item.value || !t || t->value_case != ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE) continue;
        if (!dtype_from_onnx(t->tensor_type->elem_type, &declared) || declared == e->item.value->type.dtype) continue;
        diag_error(&s->im->ctx->diag, DLVK_BAD_FILE, "'%s' is declared to be of %s, and is of %s", infos[i]->name,
                   dlvk_dtype_name(declared), dlvk_dtype_name(e->item.value->type.dtype));
    }
}

/* A graph's results, by the names of its formal outputs; false when one has no value. */
static bool find_outputs(Scope *s, const Onnx__GraphProto *g, OnnxItem *out)
{
    bool ok = true;
    for (size_t i = 0; i < g->n_output; i++) {
        const char *name = g->output[i]->name;
        const Entry *e = scope_find(s, name ? name : "");
        if (!e) diag_error(&s->im->ctx->diag, DLVK_BAD_FILE, "output '%s' of graph '%s' is not defined", name, g->name);
        if (e) out[i] = e->item;
        ok = ok && e && (e->item.value || e->item.seq);
    }
    check_declared(s, g->n_output, g->output);
    check_declared(s, g->n_value_info, g->value_info);
    return ok;
}

/* A subgraph attribute entered: false, with an error, when it is not there or has another number of inputs. */
static const Onnx__GraphProto *enter_subgraph(OnnxNode *n, const char *name, int n_in)
{
    const Onnx__AttributeProto *a = onnx_attr(n, name);
    if (!a || !a->g)
        onnx_error(n, "attribute '%s' is not a graph", name);
    else if ((int)a->g->n_input != n_in)
        onnx_error(n, "attribute '%s': the graph has %zu inputs where %d are given", name, a->g->n_input, n_in);
    else if (n->im->depth == MAX_DEPTH)
        onnx_error(n, "more than %d graphs inside each other", MAX_DEPTH);
    else
        return a->g;
    return NULL;
}

static bool import_subgraph(OnnxNode *n, Build *b, const Onnx__GraphProto *g, const OnnxItem *in_items, OnnxItem *out)
{
    Scope s;
    scope_init(&s, n->im, n->scope);
    for (size_t i = 0; i < g->n_input; i++) scope_define(&s, g->input[i]->name ? g->input[i]->name : "", in_items[i]);
    n->im->depth++;
    import_initializers(&s, b, g);
    import_nodes(&s, b, g->n_node, g->node);
    n->im->depth--;
    bool found = find_outputs(&s, g, out);
    for (size_t i = 0; found && i < g->n_output; i++) n->im->random |= out[i].chance != DLVK_CERTAIN; /* from further out */
    return found;
}

bool onnx_inline(OnnxNode *n, const char *name, int n_in, const OnnxItem *items, int n_out, OnnxItem *out)
{
    const Onnx__GraphProto *g = enter_subgraph(n, name, n_in);
    if (g && (int)g->n_output != n_out) {
        onnx_error(n, "attribute '%s': the graph has %zu outputs where %d are wanted", name, g->n_output, n_out);
        return false;
    }
    return g && import_subgraph(n, n->b, g, items, out);
}

const Onnx__FunctionProto *onnx_find_function(const Importer *im, const Onnx__NodeProto *p)
{
    const Onnx__ModelProto *m = im->model->proto;
    const char *op = p->op_type ? p->op_type : "", *overload = p->overload ? p->overload : "";
    for (size_t i = 0; i < m->n_functions; i++) {
        const Onnx__FunctionProto *f = m->functions[i];
        if (f->name && strcmp(f->name, op) == 0 && strcmp(f->overload ? f->overload : "", overload) == 0 &&
            strcmp(onnx_domain(f->domain), onnx_domain(p->domain)) == 0)
            return f;
    }
    return NULL;
}

/* The attributes of a call: those given, then the function's defaults. */
static Frame *make_frame(OnnxNode *n, const Onnx__FunctionProto *f)
{
    Pool *p = n->im->ctx->pool;
    Frame *frame = POOL_NEW(p, Frame);
    size_t limit = f->n_attribute + f->n_attribute_proto;
    frame->prefix = pool_printf(p, "%s/", n->name);
    frame->names = POOL_ARRAY(p, const char *, limit);
    frame->attrs = POOL_ARRAY(p, const Onnx__AttributeProto *, limit);
    for (size_t i = 0; i < limit; i++) {
        const Onnx__AttributeProto *fallback = i < f->n_attribute ? NULL : f->attribute_proto[i - f->n_attribute];
        const char *name = fallback ? fallback->name : f->attribute[i];
        const Onnx__AttributeProto *a = name ? onnx_attr(n, name) : NULL;
        if (!a) a = fallback;
        if (!a) continue;
        frame->names[frame->n] = name;
        frame->attrs[frame->n++] = a;
    }
    return frame;
}

bool onnx_import_function(OnnxNode *n, const Onnx__FunctionProto *f)
{
    Importer *im = n->im;
    if (im->depth == MAX_DEPTH) {
        onnx_error(n, "more than %d functions inside each other: does '%s' call itself?", MAX_DEPTH, f->name);
        return false;
    }
    if (n->n_in > (int)f->n_input || n->n_out > (int)f->n_output) {
        onnx_error(n, "function '%s' has %zu inputs and %zu outputs", f->name, f->n_input, f->n_output);
        return false;
    }
    Scope s;
    scope_init(&s, im, NULL);
    s.frame = make_frame(n, f);
    s.n_opset = f->n_opset_import;
    s.opset = f->opset_import;
    static const OnnxSeq absent = {.none = true};
    for (size_t i = 0; i < f->n_input; i++) {
        bool given = has_in(n, (int)i);
        OnnxItem item = given ? (OnnxItem){.value = n->in[i], .seq = n->seq_in[i]} : (OnnxItem){.seq = &absent};
        scope_define(&s, f->input[i], item);
    }
    im->depth++;
    import_nodes(&s, n->b, f->n_node, f->node);
    im->depth--;
    for (int i = 0; i < n->n_out; i++) {
        if (!has_out(n, i)) continue;
        const Entry *e = scope_find(&s, f->output[i]);
        if (!e) onnx_error(n, "function '%s' does not define its output '%s'", f->name, f->output[i]);
        if (!e) continue;
        n->out[i] = e->item.value;
        n->seq_out[i] = e->item.seq;
    }
    return true;
}

Graph *onnx_import_model(Context *ctx, OnnxModel *m, int n_assumed, const OnnxAssumed *assumed, Assume assume, ModelParts *parts)
{
    Onnx__GraphProto *g = m->proto->graph;
    Graph *graph = graph_new(ctx, g->name ? g->name : "");
    if (parts && !onnx_untie(g)) {
        diag_error(&ctx->diag, DLVK_OUT_OF_MEMORY, "out of memory");
        return NULL;
    }
    Importer im = {
        .ctx = ctx, .model = m, .graph = graph, .parts = parts, .n_assumed = n_assumed, .assumed = assumed, .assume = assume};
    Build b = {.ctx = ctx, .at = graph->top};
    if (parts) *parts = (ModelParts){.graph = graph, .trains = parts->trains};
    if (parts && parts->trains) mode_begin(&b, parts);
    Scope s;
    scope_init(&s, &im, NULL);
    s.n_opset = m->proto->n_opset_import;
    s.opset = m->proto->opset_import;
    import_initializers(&s, &b, g);
    onnx_import_inputs(&s, &b, g);
    import_nodes(&s, &b, g->n_node, g->node);
    OnnxItem *out = POOL_ARRAY(ctx->pool, OnnxItem, g->n_output);
    find_outputs(&s, g, out);
    onnx_export_outputs(&im, g, out);
    if (!ctx->diag.errors) onnx_check_sizes(&im);
    return ctx->diag.errors ? NULL : graph;
}

/* The argument takes the place of an input; false, with an error, where it does not fit. */
static bool bind_argument(Scope *s, const Onnx__GraphProto *g, const char *name, Value *v)
{
    Diag *diag = &s->im->ctx->diag;
    const Onnx__TypeProto *t = NULL;
    DType type;
    for (size_t i = 0; i < g->n_input; i++)
        if (g->input[i]->name && strcmp(g->input[i]->name, name) == 0) t = g->input[i]->type;
    if (!t || t->value_case != ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE || !dtype_from_onnx(t->tensor_type->elem_type, &type))
        diag_error(diag, DLVK_INVALID_ARGUMENT, "graph '%s' has no input '%s' that is a tensor", g->name ? g->name : "", name);
    else if (type != v->type.dtype)
        diag_error(diag, DLVK_INVALID_ARGUMENT, "input '%s' of graph '%s' is of %s, and %s is given", name,
                   g->name ? g->name : "", dlvk_dtype_name(type), type_to_string(s->im->ctx->pool, v->type));
    else if (!scope_define(s, name, (OnnxItem){.value = v}))
        diag_error(diag, DLVK_INVALID_ARGUMENT, "input '%s' of graph '%s' is given twice", name, g->name ? g->name : "");
    else
        return true;
    return false;
}

bool onnx_import_into(Build *b, Graph *graph, OnnxModel *m, const char *prefix, int n_in, const char *const *names,
                      Value *const *in, int n_out, Value **out)
{
    const Onnx__GraphProto *g = m->proto->graph;
    Diag *diag = &b->ctx->diag;
    int errors = diag->errors;
    Importer im = {.ctx = b->ctx, .model = m, .graph = graph, .part = true};
    const Frame frame = {.prefix = prefix};
    Scope s;
    scope_init(&s, &im, NULL);
    s.frame = &frame;
    s.n_opset = m->proto->n_opset_import;
    s.opset = m->proto->opset_import;
    for (int i = 0; i < n_in; i++)
        if (!bind_argument(&s, g, names[i], in[i])) return false;
    import_initializers(&s, b, g);
    for (size_t i = 0; i < g->n_input; i++)
        if (!scope_find(&s, g->input[i]->name ? g->input[i]->name : ""))
            diag_error(diag, DLVK_INVALID_ARGUMENT, "input '%s' of graph '%s' is given no value", g->input[i]->name, g->name);
    if ((size_t)n_out > g->n_output)
        diag_error(diag, DLVK_INVALID_ARGUMENT, "graph '%s' has %zu outputs, and %d are wanted", g->name, g->n_output, n_out);
    if (diag->errors > errors) return false;
    OnnxItem *items = POOL_ARRAY(b->ctx->pool, OnnxItem, g->n_output);
    import_nodes(&s, b, g->n_node, g->node);
    find_outputs(&s, g, items);
    for (int i = 0; i < n_out && diag->errors == errors; i++) {
        out[i] = items[i].value;
        if (!out[i]) diag_error(diag, DLVK_UNSUPPORTED, "output '%s' is no tensor", g->output[i]->name);
    }
    return diag->errors == errors;
}
