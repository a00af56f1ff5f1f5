/* If, Loop, Scan. Their bodies are built into regions of if and loop nodes. */
#include "frontend/onnx/ops_b.h"
#include <string.h>

/* The number of outputs of a subgraph attribute; 0 when it is missing, which onnx_inline then reports. */
static int body_outputs(const OnnxNode *n, const char *name)
{
    const Onnx__AttributeProto *a = onnx_attr(n, name);
    return a && a->g ? (int)a->g->n_output : 0;
}

/* Subgraph `name` built at b. Its outputs, or NULL after an error. */
static OnnxItem *body_at(OnnxNode *n, Build *b, const char *name, int n_in, const OnnxItem *items)
{
    int count = body_outputs(n, name);
    OnnxItem *out = POOL_ARRAY(b->ctx->pool, OnnxItem, count);
    OnnxNode here = *n;
    here.b = b;
    return onnx_inline(&here, name, n_in, items, count, out) ? out : NULL;
}

static void push_result(Region *r, Value *v)
{
    *VEC_PUSH(r->graph->ctx->pool, r->results) = v;
}

/* The values that a sequence consists of. */
static int seq_values(const OnnxSeq *s, Value *const **at)
{
    *at = s->stack ? &s->stack : s->at;
    return s->stack ? 1 : s->n;
}

/* One branch as a region. A sequence counts as its elements, one result each. */
static Region *branch(OnnxNode *n, const char *name, OnnxItem **items)
{
    Region *r = region_branch(n->b->at->graph, n->b->at);
    Build b = {.ctx = n->b->ctx, .at = r};
    const Dim *guard = region_enter(r);
    *items = body_at(n, &b, name, 0, NULL);
    region_leave(r, guard);
    if (!*items) return NULL;
    for (int i = 0; i < n->n_out; i++) {
        Value *const *at = &(*items)[i].value;
        int count = (*items)[i].seq ? seq_values((*items)[i].seq, &at) : 1;
        for (int k = 0; k < count; k++) push_result(r, at[k]);
    }
    return r;
}

static bool same_structure(OnnxNode *n, const OnnxItem *x, const OnnxItem *y)
{
    for (int i = 0; i < n->n_out; i++) {
        const OnnxSeq *s = x[i].seq, *t = y[i].seq;
        if (!s && !t) continue;
        if (s && t && s->none == t->none && s->n == t->n && s->open == t->open && !s->stack == !t->stack) continue;
        onnx_error(n, "output %d is a sequence or optional of another length in each branch", i);
        return false;
    }
    return true;
}

static bool same_ranks(OnnxNode *n, const OnnxItem *x, const OnnxItem *y)
{
    for (int i = 0; i < n->n_out; i++)
        if (x[i].value && y[i].value && x[i].value->type.rank != y[i].value->type.rank) return false;
    return true;
}

/* The branch in which a condition that compares two sizes takes them to be equal; NULL: the condition is another. */
static const char *equal_branch(const Value *cond, const Dim **a, const Dim **b)
{
    bool negated = false;
    for (; cond->def; cond = cond->def->in[0]) {
        Op op = cond->def->op;
        if (op == OP_NOT)
            negated = !negated;
        else if (op != OP_RESHAPE && op != OP_CAST)
            break;
    }
    const Node *d = cond->def;
    if (!d || (d->op != OP_EQ && d->op != OP_NE) || !d->in[0]->elems || !d->in[1]->elems) return NULL;
    *a = d->in[0]->elems[0];
    *b = d->in[1]->elems[0];
    return negated == (d->op == OP_EQ) ? "else_branch" : "then_branch";
}

/* The branch alone, in the place of the node. */
static void take_branch(OnnxNode *n, const char *name)
{
    OnnxItem *items = body_at(n, n->b, name, 0, NULL);
    for (int i = 0; items && i < n->n_out; i++) {
        n->out[i] = items[i].value;
        n->seq_out[i] = items[i].seq;
    }
}

void lower_if(OnnxNode *n)
{
    Build *b = n->b;
    Pool *p = b->ctx->pool;
    Value *cond = build_reshape(b, in(n, 0), 0, NULL);
    OnnxItem *items[2];
    if (!cond) return;
    const char *const names[] = {"then_branch", "else_branch"};
    for (int i = 0; i < 2; i++)
        if (body_outputs(n, names[i]) < n->n_out) {
            onnx_error(n, "attribute '%s' has %d outputs", names[i], body_outputs(n, names[i]));
            return;
        }
    const Tensor *known = build_known(b, cond);
    if (known) {
        take_branch(n, names[elem_get_i(known->dtype, known->data, 0) ? 0 : 1]);
        return;
    }
    Region *r[2];
    for (int i = 0; i < 2; i++) r[i] = branch(n, names[i], &items[i]);
    if (!r[0] || !r[1] || !same_structure(n, items[0], items[1])) return;
    const Dim *x, *y;
    const char *equal = same_ranks(n, items[0], items[1]) ? NULL : equal_branch(cond, &x, &y);
    if (equal) { /* "squeeze it if its size is 1": a rank that depends on a size has no type, so that size is settled */
        ctx_constrain(b->ctx, DIM_EQ, x, y);
        take_branch(n, equal);
        return;
    }
    Node *node = build_node(b, OP_IF, 1, &cond, 0, NULL, 2, r);
    if (!node) return;
    for (int i = 0, at = 0; i < n->n_out; i++) {
        const OnnxSeq *like = items[0][i].seq;
        if (!like) {
            n->out[i] = node->out[at++];
            continue;
        }
        OnnxSeq *seq = pool_dup(p, like, sizeof *seq);
        seq->at = POOL_ARRAY(p, Value *, like->n);
        for (int k = 0; k < like->n; k++) seq->at[k] = node->out[at++];
        if (like->stack) seq->stack = node->out[at++];
        n->seq_out[i] = seq;
    }
}

/* The number that the model declares for dim i of a value; -1: none. */
static int64_t declared_size(const Onnx__ValueInfoProto *o, int rank, int i)
{
    const Onnx__TypeProto__Tensor *t =
        o->type && o->type->value_case == ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE ? o->type->tensor_type : NULL;
    if (!t || !t->shape || (int)t->shape->n_dim != rank) return -1;
    const Onnx__TensorShapeProto__Dimension *d = t->shape->dim[i];
    return d->value_case == ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_VALUE ? d->dim_value : -1;
}

/* The values a loop carries: their types inside, and which dims change from one iteration to the next. */
typedef struct Carried {
    int n;
    Value **init;
    Type *type;
    const Onnx__ValueInfoProto **in, **out; /* as the body declares them */
    bool *moving;                           /* [n][DLVK_MAX_RANK] */
} Carried;

static Carried carried_new(Pool *p, int count)
{
    return (Carried){.n = count,
                     .init = POOL_ARRAY(p, Value *, count),
                     .type = POOL_ARRAY(p, Type, count),
                     .in = POOL_ARRAY(p, const Onnx__ValueInfoProto *, count),
                     .out = POOL_ARRAY(p, const Onnx__ValueInfoProto *, count),
                     .moving = POOL_ARRAY(p, bool, count *DLVK_MAX_RANK)};
}

/* Carried value i as the body's inputs and outputs number `in` and `out`. */
static void carried_declare(Carried *c, int i, const OnnxNode *n, int in, int out)
{
    const Onnx__GraphProto *g = onnx_attr(n, "body")->g;
    c->in[i] = (size_t)in < g->n_input ? g->input[in] : g->output[out];
    c->out[i] = g->output[out];
}

static Value *with_size(Build *b, Value *v, int d, const Dim *size)
{
    const Dim *dim[DLVK_MAX_RANK];
    for (int i = 0; i < v->type.rank; i++) dim[i] = i == d ? size : v->type.dim[i];
    return build_reshape(b, v, v->type.rank, dim);
}

/* The number that the model declares for dim d of carried value i, before an iteration and after it. Before the first one, or
 * here after one, it is another expression, which is then taken to be that number. NULL: that cannot be. */
static const Dim *carried_settle(Build *outside, Build *inside, Carried *c, int i, int d, Value **after)
{
    Type before = c->type[i];
    int64_t size = declared_size(c->in[i], before.rank, d);
    if (size < 0 || size != declared_size(c->out[i], before.rank, d)) return NULL;
    bool late = dim_is(before.dim[d], size);
    if (dim_is_const(late ? (*after)->type.dim[d] : before.dim[d], NULL)) return NULL;
    Value **v = late ? after : &c->init[i], *settled = with_size(late ? inside : outside, *v, d, dim_of_int(outside, size));
    if (!settled) return NULL;
    *v = settled;
    return settled->type.dim[d];
}

/* After a body was built: dims that an iteration changes become symbols of their own. True: build it again. */
static bool carried_widen(Build *outside, Build *inside, Carried *c, Value **after)
{
    bool again = false;
    for (int i = 0; i < c->n; i++) {
        Type t = c->type[i];
        if (t.rank != after[i]->type.rank || t.dtype != after[i]->type.dtype) continue; /* the loop node reports it */
        const Dim *dim[DLVK_MAX_RANK];
        for (int d = 0; d < t.rank; d++) {
            bool *moving = &c->moving[i * DLVK_MAX_RANK + d];
            dim[d] = t.dim[d];
            if (*moving || t.dim[d] == after[i]->type.dim[d]) continue;
            const Dim *settled = carried_settle(outside, inside, c, i, d, &after[i]);
            *moving = !settled;
            dim[d] = settled ? settled : dim_fresh(&outside->ctx->dims, "carried", NULL, true);
            again |= dim[d] != t.dim[d];
        }
        c->type[i] = type_make(outside->ctx, t.dtype, t.rank, dim);
    }
    return again;
}

/* A body's output whose size depends on data takes the numbers that the model declares for it. */
static Value *as_declared(Build *b, const Onnx__ValueInfoProto *o, Value *v)
{
    for (int i = 0; v && i < v->type.rank; i++) {
        int64_t size = dim_has_data_symbol(v->type.dim[i]) ? declared_size(o, v->type.rank, i) : -1;
        if (size >= 0) v = with_size(b, v, i, dim_of_int(b, size));
    }
    return v;
}

/* The tensor that is output i of a body, built at b; NULL, with an error, for a sequence. */
static Value *body_tensor(OnnxNode *n, Build *b, int i, const OnnxItem *item)
{
    if (item->value) return as_declared(b, onnx_attr(n, "body")->g->output[i], item->value);
    if (item->seq) onnx_error(n, "output %d of the body is a sequence or optional", i);
    return NULL;
}

static bool body_tensors(OnnxNode *n, Build *b, int count, const OnnxItem *items, Value **out)
{
    for (int i = 0; i < count; i++)
        if (!(out[i] = body_tensor(n, b, i, &items[i]))) return false;
    return true;
}

enum { MAX_UNROLLED = 64 }; /* iterations */

/* A loop that carries sequences or optionals, iteration by iteration. */
static void unroll_loop(OnnxNode *n, int64_t limit, int outputs, int carried)
{
    Build *b = n->b;
    Pool *p = b->ctx->pool;
    int scans = outputs - 1 - carried;
    OnnxItem *items = POOL_ARRAY(p, OnnxItem, carried + 2);
    Value ***scan = POOL_ARRAY(p, Value **, scans);
    for (int i = 0; i < scans; i++) scan[i] = POOL_ARRAY(p, Value *, limit);
    for (int i = 0; i < carried; i++) items[2 + i] = (OnnxItem){.value = in(n, 2 + i), .seq = n->seq_in[2 + i]};
    int t = 0;
    for (bool more = true; t < limit && more; t++) {
        items[0].value = build_scalar_i(b, DLVK_I64, t);
        items[1].value = build_scalar_i(b, DLVK_BOOL, 1);
        OnnxItem *out = body_at(n, b, "body", carried + 2, items);
        const Tensor *go = out ? build_known(b, out[0].value) : NULL;
        if (out && !go) onnx_error(n, "it carries a sequence or optional, and its condition depends on data");
        if (!go) return;
        more = elem_get_i(go->dtype, go->data, 0);
        for (int i = 0; i < carried; i++) items[2 + i] = out[1 + i];
        for (int i = 0; i < scans; i++)
            if (!(scan[i][t] = body_tensor(n, b, 1 + carried + i, &out[1 + carried + i]))) return;
    }
    for (int i = 0; i < n->n_out; i++) {
        n->out[i] = i < carried ? items[2 + i].value : has_out(n, i) ? onnx_stack(n, t, scan[i - carried]) : NULL;
        n->seq_out[i] = i < carried ? items[2 + i].seq : NULL;
    }
}

/* Whether a loop ends after so few iterations, known now, that it can be unrolled; *limit: that many at most. */
static bool is_short(OnnxNode *n, int64_t *limit)
{
    const Tensor *trips = has_in(n, 0) ? build_known(n->b, in(n, 0)) : NULL,
                 *go = has_in(n, 1) ? build_known(n->b, in(n, 1)) : NULL;
    if (go && !elem_get_i(go->dtype, go->data, 0))
        *limit = 0;
    else if (!trips || (has_in(n, 1) && !go))
        return false;
    else
        *limit = elem_get_i(trips->dtype, trips->data, 0);
    return *limit <= MAX_UNROLLED;
}

/* Carried sequence i after the loop: what it was before, and what every iteration appended, each along the first axis of one of
 * x. */
static const OnnxSeq *grown(OnnxNode *n, const OnnxSeq *before, int count, Value *const *x)
{
    Build *b = n->b;
    int one = 1;
    if (!count) return before;
    Value **part = POOL_ARRAY(b->ctx->pool, Value *, count), *all = x[0];
    for (int i = 0; i < count; i++) part[i] = build_unsqueeze(b, x[i], 1, &one);
    if (count > 1 && (all = build_concat(b, count, part, 1))) { /* in turn */
        const Dim *shape[DLVK_MAX_RANK] = {dim_product(b, 2, all->type.dim)};
        for (int i = 2; i < all->type.rank; i++) shape[i - 1] = all->type.dim[i];
        all = build_reshape(b, all, all->type.rank - 1, shape);
    }
    Value *both[] = {before->stack ? before->stack : before->n ? onnx_stack(n, before->n, before->at) : NULL, all};
    if (!all || (before->n && !both[0])) return NULL;
    if (both[0] && both[0]->type.rank != all->type.rank) {
        onnx_error(n, "it appends tensors of another rank than those that a sequence holds before");
        return NULL;
    }
    OnnxSeq *s = POOL_NEW(b->ctx->pool, OnnxSeq);
    s->stack = both[0] ? build_concat(b, 2, both, 0) : all;
    return s->stack ? s : NULL;
}

static bool has_symbol_from(const Dim *d, int first)
{
    if (d->kind == DIM_SYM) return d->sym->data && d->sym->index >= first;
    for (int i = 0; i < d->n; i++)
        if (has_symbol_from(d->arg[i], first)) return true;
    return false;
}

/* What an iteration has appended to carried sequence i becomes results of the body; false after an error. Data symbols from
 * `first` on are the iteration's own. */
static bool append_results(OnnxNode *n, Region *body, int i, const OnnxSeq *open, const OnnxItem *item, int first)
{
    const OnnxSeq *s = item->seq;
    if (!s || s->open != open || n->seq_in[2 + i]->none || n->seq_in[2 + i]->open) {
        onnx_error(n,
                   "it carries a sequence or optional (input %d), and does not only append to it: for that its trip count and "
                   "condition must be known when the model is compiled, and be %d iterations at most",
                   2 + i, MAX_UNROLLED);
        return false;
    }
    for (int k = 0; k < s->n; k++) {
        for (int d = 0; s->at[k] && d < s->at[k]->type.rank; d++)
            if (has_symbol_from(s->at[k]->type.dim[d], first)) {
                onnx_error(
                    n,
                    "the sizes of what it appends to a sequence (input %d) change from one iteration to the next: for that its "
                    "trip count and condition must be known when the model is compiled, and be %d iterations at most",
                    2 + i, MAX_UNROLLED);
                return false;
            }
        push_result(body, s->at[k]);
    }
    return true;
}

void lower_loop(OnnxNode *n)
{
    Build *b = n->b;
    Context *ctx = b->ctx;
    int outputs = body_outputs(n, "body"), carried = n->n_in > 2 ? n->n_in - 2 : 0, seqs = 0;
    int64_t limit;
    if (outputs < carried + 1 || outputs - 1 < n->n_out) {
        onnx_error(n, "attribute 'body' has %d outputs for %d carried values", outputs, carried);
        return;
    }
    for (int i = 0; i < carried; i++) seqs += n->seq_in[2 + i] != NULL;
    if (seqs && is_short(n, &limit)) {
        unroll_loop(n, limit > 0 ? limit : 0, outputs, carried);
        return;
    }
    Carried c = carried_new(ctx->pool, carried - seqs);
    Value *trips =
        has_in(n, 0) ? build_reshape(b, build_cast(b, in(n, 0), DLVK_I64), 0, NULL) : build_scalar_i(b, DLVK_I64, INT64_MAX);
    Value *cond = has_in(n, 1) ? build_reshape(b, in(n, 1), 0, NULL) : build_scalar_i(b, DLVK_BOOL, 1);
    OnnxSeq *open = POOL_ARRAY(ctx->pool, OnnxSeq, carried);
    for (int i = 0, k = 0; i < carried; i++) {
        open[i].open = &open[i];
        if (n->seq_in[2 + i]) continue;
        if (!(c.init[k] = in(n, 2 + i))) return;
        carried_declare(&c, k, n, 2 + i, 1 + i);
        c.type[k] = c.init[k]->type;
        k++;
    }
    Build in_body = {.ctx = ctx};
    Region *body;
    OnnxItem *out;
    int first = ctx->dims.symbols.n;
    do {
        body = in_body.at = region_new(b->at->graph, b->at);
        OnnxItem *items = POOL_ARRAY(ctx->pool, OnnxItem, carried + 2);
        items[0].value = region_param(body, type_make(ctx, DLVK_I64, 0, NULL), NULL);
        items[1].value = build_scalar_i(&in_body, DLVK_BOOL, 1); /* the body runs: its condition was true */
        for (int i = 0, k = 0; i < carried; i++) {
            items[2 + i].seq = n->seq_in[2 + i] ? &open[i] : NULL;
            if (!items[2 + i].seq) items[2 + i].value = region_param(body, c.type[k++], NULL);
        }
        if (!(out = body_at(n, &in_body, "body", carried + 2, items))) return;
        for (int i = 0; i < outputs; i++) {
            if (i && i <= carried && n->seq_in[1 + i]) continue;
            Value *v = body_tensor(n, &in_body, i, &out[i]);
            if (!v) return;
            push_result(body, i ? v : build_reshape(&in_body, v, 0, NULL));
        }
        for (int i = 0; i < carried; i++)
            if (n->seq_in[2 + i] && !append_results(n, body, i, &open[i], &out[1 + i], first)) return;
    } while (carried_widen(b, &in_body, &c, body->results.at + 1));
    Value **made = build_loop(b, trips, cond, c.n, c.init, body);
    for (int i = 0, k = 0, more = outputs - 1 - seqs; made && i < n->n_out; i++) {
        const OnnxSeq *before = i < carried ? n->seq_in[2 + i] : NULL;
        if (!before) {
            n->out[i] = made[k++];
            continue;
        }
        n->seq_out[i] = grown(n, before, out[1 + i].seq->n, made + more);
        more += out[1 + i].seq->n;
    }
}

/* Attribute list entry i, or 0. */
static int64_t list_entry(const OnnxNode *n, const char *name, int i)
{
    int count;
    const int64_t *v = onnx_ints(n, name, &count);
    return v && i < count ? v[i] : 0;
}

typedef struct ScanSpec {
    int states, scans, outs;
    Value **state; /* initial */
    Value **scan;  /* the iterated axis first */
    Value *trips;  /* how much of it; NULL: all */
} ScanSpec;

/* The loop of one scan at b: out[] gets final states, then stacked outputs (axis 0). */
static bool scan_loop(OnnxNode *n, Build *b, const ScanSpec *s, Value **out)
{
    Context *ctx = b->ctx;
    int outputs = body_outputs(n, "body");
    if (s->scans < 1 || outputs < s->states + s->outs) {
        onnx_error(n, "attribute 'num_scan_inputs' is %d, 'body' has %d outputs", s->scans, outputs);
        return false;
    }
    Carried c = carried_new(ctx->pool, s->states);
    for (int i = 0; i < s->states; i++) {
        c.init[i] = s->state[i];
        if (!c.init[i]) return false;
        carried_declare(&c, i, n, i, i);
        c.type[i] = c.init[i]->type;
    }
    for (int i = 0; i < s->scans; i++) {
        if (!s->scan[i]) return false;
        if (s->scan[i]->type.rank < 1) {
            onnx_error(n, "scan input %d has rank 0", i);
            return false;
        }
        ctx_constrain(ctx, DIM_EQ, s->scan[i]->type.dim[0], s->scan[0]->type.dim[0]);
    }
    Build in_body = {.ctx = ctx};
    Region *body;
    Value **results = POOL_ARRAY(ctx->pool, Value *, outputs), *yes;
    do {
        body = in_body.at = region_new(b->at->graph, b->at);
        OnnxItem *items = POOL_ARRAY(ctx->pool, OnnxItem, s->states + s->scans);
        Value *t = region_param(body, type_make(ctx, DLVK_I64, 0, NULL), NULL);
        for (int i = 0; i < s->states; i++) items[i].value = region_param(body, c.type[i], NULL);
        for (int i = 0; i < s->scans; i++) items[s->states + i].value = compose_at(&in_body, s->scan[i], t, 0);
        OnnxItem *made = body_at(n, &in_body, "body", s->states + s->scans, items);
        if (!made || !body_tensors(n, &in_body, outputs, made, results)) return false;
        yes = build_scalar_i(&in_body, DLVK_BOOL, 1);
    } while (carried_widen(b, &in_body, &c, results));
    push_result(body, yes);
    for (int i = 0; i < outputs; i++) push_result(body, results[i]);
    Value *trips = s->trips ? s->trips : build_dims(b, DLVK_I64, -1, &s->scan[0]->type.dim[0]);
    Value **all = build_loop(b, trips, build_scalar_i(b, DLVK_BOOL, 1), c.n, c.init, body);
    for (int i = 0; all && i < outputs; i++) out[i] = all[i];
    return all != NULL;
}

/* x with axis `from` moved to place `to`. */
static Value *move_axis(Build *b, Value *x, int from, int to)
{
    if (!x || from == to) return x;
    int perm[DLVK_MAX_RANK], at = 0;
    for (int i = 0; i < x->type.rank; i++) {
        if (at == from) at++;
        perm[i] = i == to ? from : at++;
    }
    return build_transpose(b, x, perm);
}

static void scan_spec(OnnxNode *n, int first, ScanSpec *s)
{
    int64_t scans = onnx_int(n, "num_scan_inputs", 0);
    int operands = n->n_in > first ? n->n_in - first : 0;
    s->scans = scans < 1 || scans > operands ? 0 : (int)scans;
    s->states = operands - s->scans;
    s->outs = n->n_out - s->states;
    s->state = POOL_ARRAY(n->b->ctx->pool, Value *, s->states);
    s->scan = POOL_ARRAY(n->b->ctx->pool, Value *, s->scans);
    s->trips = NULL;
}

void lower_scan(OnnxNode *n)
{
    Build *b = n->b;
    ScanSpec s;
    int zero = 0;
    scan_spec(n, 0, &s);
    for (int i = 0; i < s.states; i++) s.state[i] = in(n, i);
    for (int i = 0; i < s.scans; i++) {
        Value *v = in(n, s.states + i);
        if (!v) return;
        s.scan[i] = move_axis(b, v, onnx_axis(n, list_entry(n, "scan_input_axes", i), v->type.rank), 0);
        if (list_entry(n, "scan_input_directions", i)) s.scan[i] = build_reverse(b, s.scan[i], 1, &zero);
    }
    if (!scan_loop(n, b, &s, n->out)) return;
    for (int i = 0; i < s.outs; i++) {
        Value **v = &n->out[s.states + i];
        if (!*v) continue;
        if (list_entry(n, "scan_output_directions", i)) *v = build_reverse(b, *v, 1, &zero);
        *v = move_axis(b, *v, 0, onnx_axis(n, list_entry(n, "scan_output_axes", i), (*v)->type.rank));
    }
}

/* x with zeros behind it, along its first axis, until that is `size`. */
static Value *lengthened(Build *b, Value *x, const Dim *size)
{
    if (!x) return NULL;
    const Dim *lo[DLVK_MAX_RANK], *hi[DLVK_MAX_RANK];
    for (int i = 0; i < x->type.rank; i++) lo[i] = hi[i] = dim_of_int(b, 0);
    hi[0] = dim_sub(&b->ctx->dims, size, x->type.dim[0]);
    return build_pad(b, x, lo, hi, build_scalar(b, x->type.dtype, 0));
}

/* Opset 8: every operand has a leading batch axis, and each batch element is scanned by itself: a loop around the loop. Elements
 * may be shorter than the axis; what they collect is then followed by zeros. */
void lower_scan_8(OnnxNode *n)
{
    Build *b = n->b;
    Context *ctx = b->ctx;
    ScanSpec s;
    int zero = 0;
    scan_spec(n, 1, &s);
    Region *outer = region_new(b->at->graph, b->at);
    Build in_outer = {.ctx = ctx, .at = outer};
    Value *element = region_param(outer, type_make(ctx, DLVK_I64, 0, NULL), NULL), *first = in(n, 1);
    if (!first || s.outs < 0) return;
    for (int i = 0; i < s.states + s.scans; i++) {
        Value *v = compose_at(&in_outer, in(n, 1 + i), element, 0);
        if (!v) return;
        if (i < s.states) {
            s.state[i] = v;
        } else {
            bool backward = list_entry(n, "directions", i - s.states) != 0;
            if (backward && has_in(n, 0)) {
                onnx_error(n, "input 'sequence_lens' is not supported where 'directions' has a scan run backwards");
                return;
            }
            s.scan[i - s.states] = backward ? build_reverse(&in_outer, v, 1, &zero) : v;
        }
    }
    Value **inner = POOL_ARRAY(ctx->pool, Value *, n->n_out), *yes = build_scalar_i(&in_outer, DLVK_BOOL, 1);
    if (has_in(n, 0)) s.trips = compose_at(&in_outer, build_cast(&in_outer, in(n, 0), DLVK_I64), element, 0);
    if (!scan_loop(n, &in_outer, &s, inner)) return;
    for (int i = s.states; s.trips && i < n->n_out; i++)
        if (!(inner[i] = lengthened(&in_outer, inner[i], s.scan[0]->type.dim[0]))) return;
    push_result(outer, yes);
    for (int i = 0; i < n->n_out; i++) push_result(outer, inner[i]);
    Value *trips = build_dims(b, DLVK_I64, -1, &first->type.dim[0]);
    Value **all = build_loop(b, trips, build_scalar_i(b, DLVK_BOOL, 1), 0, NULL, outer);
    for (int i = 0; all && i < n->n_out; i++) n->out[i] = all[i];
}
