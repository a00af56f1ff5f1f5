/* Type inference of control flow and of what makes sizes out of data.
 *
 * A size that only a run can tell is a fresh data symbol. So that a copied or re-read node keeps its symbols, the inference that
 * makes them records them in the node's `shape` attribute: for compact its one dim; for if and loop the dims of all outputs
 * in a row (a loop's scanned outputs with their leading iteration count). */
#include "ir/infer.h"

#include <string.h>

bool infer_compact(Region *r, Node *n)
{
    Context *c = r->graph->ctx;
    Type x = n->in[0]->type;
    if (x.dtype != DLVK_BOOL || x.rank != 1) return infer_fail(r, n, "the operand must be bool of rank 1");
    if (!node_attr(n, A_SHAPE)) {
        const Dim **d = POOL_ARRAY(c->pool, const Dim *, 1);
        *d = dim_fresh(&c->dims, "true", x.dim[0], true);
        add_attr(c, n, (Attr){.id = A_SHAPE, .n = 1, .dims = d});
    }
    const Dim *const *shape = need_dims(r, n, A_SHAPE, 1);
    if (!shape) return false;
    n->out[0]->type = type_make(c, DLVK_I64, 1, shape);
    return true;
}

bool infer_read_dims(Region *r, Node *n)
{
    Type x = n->in[0]->type;
    int64_t count = 1;
    if (x.rank > 1 || !(dtype_is_int(x.dtype) || x.dtype == DLVK_BOOL))
        return infer_fail(r, n, "the operand must be an integer of rank 0 or 1");
    if (x.rank == 1 && !dim_is_const(x.dim[0], &count)) return infer_fail(r, n, "the operand's length is not constant");
    return need_dims(r, n, A_VALUES, (int)count) != NULL;
}

/* The shapes are all in attributes: that they are right is the function's affair, and checked when it has run. */
bool infer_host(Region *r, Node *n)
{
    Context *c = r->graph->ctx;
    int total = 0;
    if (!need_attr(r, n, A_NAME, -1) || !need_attr(r, n, A_TEXT, -1)) return false;
    const int64_t *types = need_ints(r, n, A_DTYPES, n->n_out), *ranks = need_ints(r, n, A_RANKS, n->n_out);
    if (!types || !ranks) return false;
    for (int i = 0; i < n->n_out; i++) {
        if (types[i] < 0 || types[i] >= DLVK_DTYPE_COUNT) return infer_fail(r, n, "no element type %lld", (long long)types[i]);
        if (ranks[i] < 0 || ranks[i] > DLVK_MAX_RANK) return infer_fail(r, n, "result %d has rank %lld", i, (long long)ranks[i]);
        total += (int)ranks[i];
    }
    const Dim *const *shape = need_dims(r, n, A_SHAPE, total), *const *values = need_dims(r, n, A_VALUES, -1);
    if (!shape || !values) return false;
    for (int i = 0, at = 0; i < n->n_out; at += (int)ranks[i++])
        n->out[i]->type = type_make(c, (DType)types[i], (int)ranks[i], shape + at);
    return true;
}

bool infer_call(Region *r, Node *n)
{
    Context *c = r->graph->ctx;
    if (n->n_region != 1) return infer_fail(r, n, "needs one region");
    const Region *body = n->region_at[0];
    if (body->params.n != n->n_in) return infer_fail(r, n, "%d operands for %d parameters", n->n_in, body->params.n);
    for (int i = 0; i < n->n_in; i++)
        if (!type_equal(n->in[i]->type, body->params.at[i]->type))
            return infer_fail(r, n, "operand %d is %s, the parameter %s", i, type_to_string(c->pool, n->in[i]->type),
                              type_to_string(c->pool, body->params.at[i]->type));
    for (int i = 0; i < n->n_out; i++) {
        if (!body->results.at[i]) return false;
        n->out[i]->type = body->results.at[i]->type;
    }
    return true;
}

/* Output dims: as recorded; at first those of `types`, with new data symbols where fresh[i][axis]. The leading ones of outputs
 * from `scanned` on are the same one: a loop's iterations. */
static bool record_shapes(Region *r, Node *n, const Type *types, const bool *const *fresh, int scanned)
{
    Context *c = r->graph->ctx;
    int total = 0, at = 0;
    for (int i = 0; i < n->n_out; i++) total += types[i].rank;
    const Dim **dims = POOL_ARRAY(c->pool, const Dim *, total);
    const Attr *have = node_attr(n, A_SHAPE);
    const Dim *count = NULL;
    if (have && have->n != total) return infer_fail(r, n, "attribute 'shape' has %d entries, not %d", have->n, total);
    for (int i = 0; i < n->n_out; i++) {
        const Dim **d = dims + at;
        for (int a = 0; a < types[i].rank; a++, at++) {
            bool counts = i >= scanned && a == 0;
            if (have)
                dims[at] = have->dims[at];
            else if (!fresh[i][a])
                dims[at] = types[i].dim[a];
            else
                dims[at] = counts && count ? count : dim_fresh(&c->dims, "size", NULL, true);
            if (counts) count = dims[at];
        }
        n->out[i]->type = type_make(c, types[i].dtype, types[i].rank, d);
    }
    bool any = false;
    for (int i = 0; i < n->n_out; i++)
        for (int a = 0; a < types[i].rank; a++) any |= fresh[i][a];
    if (!have && any) add_attr(c, n, (Attr){.id = A_SHAPE, .n = total, .dims = dims});
    return true;
}

bool infer_if(Region *r, Node *n)
{
    Context *c = r->graph->ctx;
    if (n->in[0]->type.dtype != DLVK_BOOL || n->in[0]->type.rank != 0) return infer_fail(r, n, "the condition must be bool[]");
    if (n->n_region != 2) return infer_fail(r, n, "needs two regions");
    const Region *a = n->region_at[0], *b = n->region_at[1];
    if (a->results.n != b->results.n) return infer_fail(r, n, "the branches have %d and %d results", a->results.n, b->results.n);
    Type *types = POOL_ARRAY(c->pool, Type, n->n_out);
    const bool **fresh = POOL_ARRAY(c->pool, const bool *, n->n_out);
    for (int i = 0; i < n->n_out; i++) {
        if (!a->results.at[i] || !b->results.at[i]) return false;
        Type s = a->results.at[i]->type, t = b->results.at[i]->type;
        if (s.dtype != t.dtype || s.rank != t.rank) {
            ctx_error(c, DLVK_UNSUPPORTED, "result %d is %s in one branch and %s in the other", i, type_to_string(c->pool, s),
                      type_to_string(c->pool, t));
            return false;
        }
        bool *f = POOL_ARRAY(c->pool, bool, s.rank);
        for (int d = 0; d < s.rank; d++) f[d] = s.dim[d] != t.dim[d];
        types[i] = s;
        fresh[i] = f;
    }
    return record_shapes(r, n, types, fresh, n->n_out);
}

/* The trip count as a dim, when nothing but it ends the loop. */
static const Dim *known_trips(const Node *n)
{
    const Value *go_on = n->region_at[0]->results.at[0];
    double x;
    bool always = value_scalar(n->in[1], &x) && x != 0 && value_scalar(go_on, &x) && x != 0;
    return always && n->in[0]->elems ? n->in[0]->elems[0] : NULL;
}

bool infer_loop(Region *r, Node *n)
{
    Context *c = r->graph->ctx;
    if (n->n_region != 1 || n->n_in < 2) return infer_fail(r, n, "needs one region, a trip count and a condition");
    const Region *body = n->region_at[0];
    int carried = n->n_in - 2;
    /* params: iteration, carried...; the condition is a result only */
    if (body->params.n != carried + 1 || body->results.n < carried + 1)
        return infer_fail(r, n, "%d carried values, %d parameters, %d results", carried, body->params.n, body->results.n);
    if (n->in[0]->type.dtype != DLVK_I64 || n->in[0]->type.rank || n->in[1]->type.dtype != DLVK_BOOL || n->in[1]->type.rank)
        return infer_fail(r, n, "the trip count must be i64[], the condition bool[]");
    for (int i = 0; i < body->results.n; i++)
        if (!body->results.at[i]) return false;
    Type *types = POOL_ARRAY(c->pool, Type, n->n_out);
    const bool **fresh = POOL_ARRAY(c->pool, const bool *, n->n_out);
    for (int i = 0; i < n->n_out; i++) {
        Type t = body->results.at[i + 1]->type;
        bool *f = POOL_ARRAY(c->pool, bool, DLVK_MAX_RANK);
        if (i < carried) {
            Type s = n->in[i + 2]->type, p = body->params.at[i + 1]->type;
            if (s.dtype != t.dtype || s.rank != t.rank || p.dtype != t.dtype || p.rank != t.rank) {
                ctx_error(c, DLVK_UNSUPPORTED, "carried value %d is %s before the loop, %s in it and %s after an iteration", i,
                          type_to_string(c->pool, s), type_to_string(c->pool, p), type_to_string(c->pool, t));
                return false;
            }
            for (int d = 0; d < t.rank; d++) f[d] = s.dim[d] != t.dim[d] || p.dim[d] != t.dim[d];
            types[i] = t;
        } else {
            if (t.rank >= DLVK_MAX_RANK) return infer_fail(r, n, "scanned output %d has rank %d", i - carried, t.rank);
            const Dim *dims[DLVK_MAX_RANK];
            const Dim *trips = known_trips(n);
            f[0] = !trips;
            dims[0] = trips ? dim_max(&c->dims, trips, dim_const(&c->dims, 0)) : dim_const(&c->dims, 0);
            for (int d = 0; d < t.rank; d++) dims[d + 1] = t.dim[d];
            types[i] = type_make(c, t.dtype, t.rank + 1, dims);
        }
        fresh[i] = f;
    }
    return record_shapes(r, n, types, fresh, carried);
}
