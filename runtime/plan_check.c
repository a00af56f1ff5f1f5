/* Is a plan sound? Bundles come from anywhere, so nothing in them is believed: after these checks, no index in a plan leads
 * out of its table, no argument out of its push constants, and no kernel touches a buffer outside its life. */
#include "runtime/plan_check.h"
#include "runtime/bundle.h"
#include "runtime/error.h"
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

typedef Dlvk__Plan__Plan Plan;

/* ---- wire format: nesting ---------------------------------------------------------------------------------------- */

static bool varint(const uint8_t **p, const uint8_t *end, uint64_t *v)
{
    *v = 0;
    for (int shift = 0; shift < 64 && *p < end; shift += 7) {
        uint8_t b = *(*p)++;
        *v |= (uint64_t)(b & 127) << shift;
        if (!(b & 128)) return true;
    }
    return false;
}

/* protobuf-c unpacks messages by recursion without a limit, so the depth is measured first. */
static bool shallow(const ProtobufCMessageDescriptor *d, const uint8_t *p, const uint8_t *end, int depth)
{
    if (depth == 0) return false;
    while (p < end) {
        uint64_t key, n;
        if (!varint(&p, end, &key)) return true; /* malformed: unpacking will say so */
        switch (key & 7) {
        case 0:
            if (!varint(&p, end, &n)) return true;
            n = 0;
            break;
        case 1: n = 8; break;
        case 5: n = 4; break;
        case 2: {
            if (!varint(&p, end, &n) || n > (uint64_t)(end - p)) return true;
            const ProtobufCFieldDescriptor *f =
                key >> 3 <= UINT32_MAX ? protobuf_c_message_descriptor_get_field(d, (unsigned)(key >> 3)) : NULL;
            if (f && f->type == PROTOBUF_C_TYPE_MESSAGE && !shallow(f->descriptor, p, p + n, depth - 1)) return false;
            break;
        }
        default: return true;
        }
        if (n > (uint64_t)(end - p)) return true;
        p += n;
    }
    return true;
}

dlvk_status rt_plan_check_wire(const void *data, size_t size, dlvk_error *err)
{
    const uint8_t *p = data;
    /* A region within a region is two or three messages down. */
    if (!shallow(&dlvk__plan__plan__descriptor, p, p + size, 3 * PLAN_MAX_DEPTH + 8))
        return rt_error(err, DLVK_BAD_FILE, "corrupt plan: branches and loops are nested more than %d deep", PLAN_MAX_DEPTH);
    return DLVK_OK;
}

/* ---- the message ------------------------------------------------------------------------------------------------- */

typedef struct Check {
    const Plan *plan;
    dlvk_error *err;
    uint32_t step; /* number of the next step */
    int depth;
} Check;

#define FAIL(c, ...) return rt_error((c)->err, DLVK_BAD_FILE, "corrupt plan: " __VA_ARGS__)
#define TRY(call)                                                                                                                \
    do {                                                                                                                         \
        dlvk_status st_ = (call);                                                                                                \
        if (st_) return st_;                                                                                                     \
    } while (0)

static dlvk_status index_ok(Check *c, const char *what, uint32_t i, size_t n)
{
    if (i >= n) FAIL(c, "%s %u of %zu (step %u)", what, i, n, c->step);
    return DLVK_OK;
}
static dlvk_status expr_ok(Check *c, uint32_t i)
{
    return index_ok(c, "expression", i, c->plan->n_expr);
}
static dlvk_status buffer_ok(Check *c, uint32_t i)
{
    return index_ok(c, "buffer", i, c->plan->n_buffer);
}

static dlvk_status check_exprs(Check *c)
{
    const Plan *p = c->plan;
    for (uint32_t i = 0; i < p->n_symbol; i++)
        if (p->symbol[i]->lo > p->symbol[i]->hi) FAIL(c, "symbol %u has no possible value", i);
    for (uint32_t i = 0; i < p->n_expr; i++) {
        const Dlvk__Plan__Expr *e = p->expr[i];
        switch (e->op) {
        case DLVK__PLAN__EXPR__OP__CONST: break;
        case DLVK__PLAN__EXPR__OP__SYMBOL: TRY(index_ok(c, "symbol", e->symbol, p->n_symbol)); break;
        case DLVK__PLAN__EXPR__OP__ADD:
        case DLVK__PLAN__EXPR__OP__SUB:
        case DLVK__PLAN__EXPR__OP__MUL:
        case DLVK__PLAN__EXPR__OP__FLOORDIV:
        case DLVK__PLAN__EXPR__OP__CEILDIV:
        case DLVK__PLAN__EXPR__OP__MOD:
        case DLVK__PLAN__EXPR__OP__MIN:
        case DLVK__PLAN__EXPR__OP__MAX:
            if (e->a >= i || e->b >= i) FAIL(c, "expression %u stands before its operands", i);
            break;
        default: FAIL(c, "expression %u has the unknown operation %d", i, (int)e->op);
        }
    }
    for (uint32_t i = 0; i < p->n_constraint; i++) {
        TRY(expr_ok(c, p->constraint[i]->a));
        TRY(expr_ok(c, p->constraint[i]->b));
        if (p->constraint[i]->kind > DLVK__PLAN__CONSTRAINT__KIND__LE) FAIL(c, "constraint %u is of an unknown kind", i);
    }
    return DLVK_OK;
}

static dlvk_status check_dims(Check *c, const char *name, uint32_t dtype, size_t rank, const uint32_t *dim, uint32_t buffer)
{
    if (dtype >= DLVK_DTYPE_COUNT) FAIL(c, "tensor '%s' has the unknown element type %u", name, dtype);
    if (rank > DLVK_MAX_RANK) FAIL(c, "tensor '%s' has %zu dimensions", name, rank);
    for (size_t i = 0; i < rank; i++) TRY(expr_ok(c, dim[i]));
    return buffer_ok(c, buffer);
}

/* They divide the list among themselves, in its order. */
static dlvk_status check_formals(Check *c, const char *what, size_t n, Dlvk__Plan__Formal **f, size_t tensors)
{
    size_t at = 0;
    if (n > 65536) FAIL(c, "a table is too long");
    for (size_t i = 0; i < n; i++) {
        bool counts =
            f[i]->kind == DLVK__PLAN__FORMAL__KIND__SEQUENCE || f[i]->count == (f[i]->kind == DLVK__PLAN__FORMAL__KIND__TENSOR);
        if ((uint32_t)f[i]->kind > DLVK__PLAN__FORMAL__KIND__NONE || !counts || f[i]->first != at || f[i]->count > tensors - at)
            FAIL(c, "the signature's %s '%s' is not among the tensors", what, f[i]->name);
        at += f[i]->count;
    }
    if (n && at != tensors) FAIL(c, "the signature leaves out %ss", what);
    return DLVK_OK;
}

static dlvk_status check_signature(Check *c)
{
    const Plan *p = c->plan;
    for (int out = 0; out < 2; out++) {
        for (size_t i = 0; i < (out ? p->n_output : p->n_input); i++) {
            const Dlvk__Plan__Tensor *t = out ? p->output[i] : p->input[i];
            TRY(check_dims(c, t->name, t->dtype, t->n_dim, t->dim, t->buffer));
            if (t->chance > DLVK_RANDOM_BITS) FAIL(c, "tensor '%s' is random in no way that is known", t->name);
            if (t->n_dim_name && t->n_dim_name != t->n_dim) FAIL(c, "tensor '%s' does not name all its dimensions", t->name);
            Dlvk__Plan__Buffer__Kind kind = p->buffer[t->buffer]->kind;
            if (out ? kind == DLVK__PLAN__BUFFER__KIND__ARENA : kind != DLVK__PLAN__BUFFER__KIND__INPUT)
                FAIL(c, "%s '%s' lies in a buffer of the wrong kind", out ? "output" : "input", t->name);
            if (out) continue;
            for (size_t k = 0; k < i; k++)
                if (p->input[k]->buffer == t->buffer) FAIL(c, "inputs '%s' and '%s' share a buffer", p->input[k]->name, t->name);
        }
    }
    TRY(check_formals(c, "input", p->n_formal_input, p->formal_input, p->n_input));
    TRY(check_formals(c, "output", p->n_formal_output, p->formal_output, p->n_output));
    for (uint32_t b = 0; b < p->n_buffer; b++) {
        size_t i = 0;
        if (p->buffer[b]->kind != DLVK__PLAN__BUFFER__KIND__INPUT) continue;
        while (i < p->n_input && p->input[i]->buffer != b) i++;
        if (i == p->n_input) FAIL(c, "no input fills buffer %u", b);
    }
    for (size_t i = 0; i < p->n_state; i++) {
        const Dlvk__Plan__Param *t = p->state[i];
        TRY(check_dims(c, t->name, t->dtype, t->n_dim, t->dim, t->buffer));
        if (t->dtype == DLVK_STRING) FAIL(c, "state '%s' holds strings", t->name);
        if (p->buffer[t->buffer]->kind != DLVK__PLAN__BUFFER__KIND__STATE)
            FAIL(c, "state '%s' lies in a buffer of the wrong kind", t->name);
        for (size_t d = 0; d < t->n_dim; d++)
            if (p->expr[t->dim[d]]->op != DLVK__PLAN__EXPR__OP__CONST) FAIL(c, "state '%s' has no constant shape", t->name);
    }
    return DLVK_OK;
}

static dlvk_status check_storage(Check *c, uint64_t blob_bytes)
{
    const Plan *p = c->plan;
    for (uint32_t i = 0; i < p->n_blob; i++) {
        const Dlvk__Plan__Blob *b = p->blob[i];
        if (b->offset % DLVK_BUNDLE_ALIGN || b->offset > blob_bytes || b->length > blob_bytes - b->offset)
            FAIL(c, "blob %u lies outside the bundle", i);
        if (b->bytes < b->length || (b->bytes && !b->length))
            FAIL(c, "blob %u has %" PRIu64 " bytes, stored in %" PRIu64, i, b->bytes, b->length);
    }
    for (uint32_t i = 0; i < p->n_buffer; i++) {
        const Dlvk__Plan__Buffer *b = p->buffer[i];
        TRY(expr_ok(c, b->size));
        if (b->kind > DLVK__PLAN__BUFFER__KIND__PREPARED) FAIL(c, "buffer %u is of the unknown kind %d", i, (int)b->kind);
        if (b->dtype > DLVK_DTYPE_COUNT) FAIL(c, "buffer %u is of the unknown type %u", i, b->dtype - 1);
        if (b->blob) TRY(index_ok(c, "blob", b->blob - 1, p->n_blob));
        if (b->first > b->last) FAIL(c, "buffer %u dies before it is born", i);
        if (b->before > b->first || b->after > UINT32_MAX - b->last) FAIL(c, "buffer %u lives around no steps", i);
        if (b->kind == DLVK__PLAN__BUFFER__KIND__COUNTER && b->blob) FAIL(c, "counter buffer %u has a blob", i);
        if (b->kind != DLVK__PLAN__BUFFER__KIND__CONSTANT && b->kind != DLVK__PLAN__BUFFER__KIND__STATE &&
            b->kind != DLVK__PLAN__BUFFER__KIND__COUNTER)
            continue;
        const Dlvk__Plan__Expr *size = p->expr[b->size];
        if (size->op != DLVK__PLAN__EXPR__OP__CONST || size->value < 0)
            FAIL(c, "constant, state or counter buffer %u has no constant size", i);
        if (b->kind == DLVK__PLAN__BUFFER__KIND__CONSTANT && !b->blob) FAIL(c, "constant buffer %u has no blob", i);
        if (b->blob && (uint64_t)size->value < p->blob[b->blob - 1]->bytes) FAIL(c, "buffer %u is smaller than its blob", i);
    }
    for (uint32_t i = 0; i < p->n_module; i++) {
        const Dlvk__Plan__Module *m = p->module[i];
        TRY(index_ok(c, "blob", m->blob, p->n_blob));
        if (m->glsl) TRY(index_ok(c, "blob", m->glsl - 1, p->n_blob));
        const Dlvk__Plan__Blob *b = p->blob[m->blob];
        if (b->length < 20 || b->length % 4 || b->length > UINT32_MAX || b->bytes != b->length)
            FAIL(c, "module '%s' is no SPIR-V", m->name);
        if (m->push_bytes % 4 || m->push_bytes > 256)
            FAIL(c, "module '%s' takes %u bytes of push constants", m->name, m->push_bytes);
    }
    for (uint32_t i = 0; i < p->n_pipeline; i++) {
        TRY(index_ok(c, "module", p->pipeline[i]->module, p->n_module));
        if (p->pipeline[i]->n_spec > 256) FAIL(c, "pipeline %u has %zu specialization constants", i, p->pipeline[i]->n_spec);
    }
    return DLVK_OK;
}

/* ---- steps ------------------------------------------------------------------------------------------------------- */

uint32_t rt_plan_steps(const Dlvk__Plan__Region *region)
{
    uint32_t n = 0;
    for (size_t i = 0; region && i < region->n_step; i++) {
        const Dlvk__Plan__Step *s = region->step[i];
        n++;
        if (s->kind_case == DLVK__PLAN__STEP__KIND_BRANCH)
            n += rt_plan_steps(s->branch->then) + rt_plan_steps(s->branch->otherwise);
        if (s->kind_case == DLVK__PLAN__STEP__KIND_LOOP) n += rt_plan_steps(s->loop->body);
    }
    return n;
}

Arguments rt_plan_args(const Dlvk__Plan__Dispatch *d, const Dlvk__Plan__Variant *v)
{
    return v->n_arg ? (Arguments){v->arg, v->n_arg} : (Arguments){d->arg, d->n_arg};
}

uint32_t rt_plan_arg_bytes(Arguments a)
{
    uint32_t n = 0;
    for (size_t i = 0; i < a.n; i++)
        n += a.at[i]->kind_case == DLVK__PLAN__ARG__KIND_ADDRESS   ? 8
             : a.at[i]->kind_case == DLVK__PLAN__ARG__KIND_DIVISOR ? 12
                                                                   : 4;
    return n;
}

static dlvk_status check_sources(Check *c, size_t n, const uint32_t *source)
{
    for (size_t i = 0; i < n; i++) TRY(index_ok(c, "source", source[i], c->plan->n_source));
    return DLVK_OK;
}

/* A step from number `first` to `last` uses a buffer. */
static dlvk_status check_use(Check *c, const char *who, uint32_t buffer, bool write, uint32_t first, uint32_t last)
{
    TRY(buffer_ok(c, buffer));
    const Dlvk__Plan__Buffer *b = c->plan->buffer[buffer];
    if (write && (b->kind == DLVK__PLAN__BUFFER__KIND__CONSTANT || b->kind == DLVK__PLAN__BUFFER__KIND__INPUT))
        FAIL(c, "%s (step %u) writes the %s buffer %u", who, first,
             b->kind == DLVK__PLAN__BUFFER__KIND__CONSTANT ? "constant" : "input", buffer);
    if (write && b->kind == DLVK__PLAN__BUFFER__KIND__PREPARED && first >= c->plan->prepared)
        FAIL(c, "%s (step %u) writes buffer %u, which is kept", who, first, buffer);
    if (b->kind == DLVK__PLAN__BUFFER__KIND__ARENA && (first < b->first || last > b->last))
        FAIL(c, "%s (steps %u to %u) uses buffer %u, alive from step %u to %u", who, first, last, buffer, b->first, b->last);
    return DLVK_OK;
}

static bool holds(size_t n, const uint32_t *list, uint32_t x)
{
    for (size_t i = 0; i < n; i++)
        if (list[i] == x) return true;
    return false;
}

static dlvk_status check_args(Check *c, const Dlvk__Plan__Dispatch *d, Arguments args)
{
    bool words = false;
    for (size_t i = 0; i < args.n; i++) {
        const Dlvk__Plan__Arg *a = args.at[i];
        switch (a->kind_case) {
        case DLVK__PLAN__ARG__KIND_ADDRESS:
            if (words && d->parts && i % (args.n / d->parts ? args.n / d->parts : 1) == 0) words = false;
            if (words) FAIL(c, "kernel '%s' has an address behind 32-bit arguments", d->name);
            TRY(buffer_ok(c, a->address->buffer));
            if (a->address->offset) TRY(expr_ok(c, a->address->offset - 1));
            if (!holds(d->n_reads, d->reads, a->address->buffer) && !holds(d->n_writes, d->writes, a->address->buffer))
                FAIL(c, "kernel '%s' takes buffer %u but neither reads nor writes it", d->name, a->address->buffer);
            break;
        case DLVK__PLAN__ARG__KIND_VALUE:
        case DLVK__PLAN__ARG__KIND_DIVISOR:
            words = true;
            TRY(expr_ok(c, a->kind_case == DLVK__PLAN__ARG__KIND_VALUE ? a->value : a->divisor));
            break;
        default: FAIL(c, "kernel '%s' has an argument of an unknown kind", d->name);
        }
    }
    if (args.n > 1u << 16) FAIL(c, "kernel '%s' has %zu arguments", d->name, args.n);
    if (d->parts && (d->parts > args.n || args.n % d->parts || rt_plan_arg_bytes(args) % (8 * d->parts)))
        FAIL(c, "kernel '%s' has %zu arguments for %u parts", d->name, args.n, d->parts);
    return DLVK_OK;
}

static dlvk_status check_dispatch(Check *c, const Dlvk__Plan__Dispatch *d, uint32_t at)
{
    const Plan *p = c->plan;
    for (size_t i = 0; i < d->n_reads; i++) TRY(check_use(c, d->name, d->reads[i], false, at, at));
    for (size_t i = 0; i < d->n_writes; i++) TRY(check_use(c, d->name, d->writes[i], true, at, at));
    TRY(check_args(c, d, (Arguments){d->arg, d->n_arg}));
    if (!d->n_variant) FAIL(c, "kernel '%s' has no variant", d->name);
    for (size_t i = 0; i < d->n_variant; i++) {
        const Dlvk__Plan__Variant *v = d->variant[i];
        TRY(index_ok(c, "pipeline", v->pipeline, p->n_pipeline));
        if (v->n_grid != 3) FAIL(c, "kernel '%s' has a grid of %zu dimensions", d->name, v->n_grid);
        for (int k = 0; k < 3; k++) TRY(expr_ok(c, v->grid[k]));
        if (v->when) TRY(expr_ok(c, v->when - 1));
        if (v->when && i + 1 == d->n_variant) FAIL(c, "kernel '%s' has no variant for some sizes", d->name);
        if (d->parts && !v->indirect) FAIL(c, "kernel '%s' has parts, but a variant without a table of them", d->name);
        if (v->n_arg) TRY(check_args(c, d, (Arguments){v->arg, v->n_arg}));
        uint32_t push = p->module[p->pipeline[v->pipeline]->module]->push_bytes,
                 need = v->indirect ? 8 : rt_plan_arg_bytes(rt_plan_args(d, v));
        if (d->parts) need = 12;
        if (v->n_literal > 64 || (v->n_literal && v->indirect))
            FAIL(c, "kernel '%s' has %zu literals%s", d->name, v->n_literal, v->indirect ? " behind arguments in memory" : "");
        need += 4 * (uint32_t)v->n_literal;
        for (size_t k = 0; k < v->n_covers; k++)
            if (v->covers[k] >= at) FAIL(c, "kernel '%s' (step %u) does the work of step %u", d->name, at, v->covers[k]);
        if (need > push) FAIL(c, "kernel '%s' takes %u bytes of push constants, its module has %u", d->name, need, push);
    }
    TRY(expr_ok(c, d->flops));
    TRY(expr_ok(c, d->bytes));
    return check_sources(c, d->n_source, d->source);
}

static bool is_integer(uint32_t dtype)
{
    return dtype == DLVK_I64 || dtype == DLVK_I32 || dtype == DLVK_U64 || dtype == DLVK_U32;
}

static dlvk_status data_symbol_ok(Check *c, uint32_t i)
{
    TRY(index_ok(c, "symbol", i, c->plan->n_symbol));
    if (!c->plan->symbol[i]->data)
        FAIL(c, "step %u defines symbol '%s', which the inputs' shapes define", c->step, c->plan->symbol[i]->name);
    return DLVK_OK;
}

static dlvk_status check_region(Check *c, const Dlvk__Plan__Region *region);

static dlvk_status check_loop(Check *c, const Dlvk__Plan__Loop *l, uint32_t at)
{
    if (!l->body) FAIL(c, "loop (step %u) has no body", at);
    if (!l->trip_count && !l->condition) FAIL(c, "loop (step %u) never ends", at);
    uint32_t end = at + rt_plan_steps(l->body);
    if (l->trip_count) TRY(check_use(c, "loop", l->trip_count - 1, false, at, at));
    if (l->condition) TRY(check_use(c, "loop", l->condition - 1, false, at, end));
    if (l->iteration) TRY(check_use(c, "loop", l->iteration - 1, true, at, end));
    if (l->count_symbol) TRY(data_symbol_ok(c, l->count_symbol - 1));
    if (l->iteration_symbol) TRY(data_symbol_ok(c, l->iteration_symbol - 1));
    TRY(check_sources(c, l->n_source, l->source));
    return check_region(c, l->body);
}

static dlvk_status check_host(Check *c, const Dlvk__Plan__Host *h, uint32_t at)
{
    for (int out = 0; out < 2; out++) {
        for (size_t i = 0; i < (out ? h->n_out : h->n_in); i++) {
            const Dlvk__Plan__HostValue *v = out ? h->out[i] : h->in[i];
            TRY(check_dims(c, h->op, v->dtype, v->n_dim, v->dim, v->buffer));
            TRY(check_use(c, h->op, v->buffer, out, at, at));
        }
    }
    if (h->n_in > 65536 || h->n_out > 65536) FAIL(c, "host step %u has too many tensors", at);
    for (size_t i = 0; i < h->n_symbol; i++) TRY(data_symbol_ok(c, h->symbol[i]));
    return check_sources(c, h->n_source, h->source);
}

static dlvk_status check_step(Check *c, const Dlvk__Plan__Step *s)
{
    uint32_t at = c->step++;
    switch (s->kind_case) {
    case DLVK__PLAN__STEP__KIND_DISPATCH: return check_dispatch(c, s->dispatch, at);
    case DLVK__PLAN__STEP__KIND_COPY:
        TRY(check_use(c, "copy", s->copy->from, false, at, at));
        TRY(check_use(c, "copy", s->copy->to, true, at, at));
        TRY(expr_ok(c, s->copy->bytes));
        TRY(expr_ok(c, s->copy->from_offset));
        return expr_ok(c, s->copy->to_offset);
    case DLVK__PLAN__STEP__KIND_READ_DIMS:
        TRY(check_use(c, "read", s->read_dims->buffer, false, at, at));
        if (!is_integer(s->read_dims->dtype)) FAIL(c, "step %u reads sizes of type %u", at, s->read_dims->dtype);
        for (size_t i = 0; i < s->read_dims->n_symbol; i++) TRY(data_symbol_ok(c, s->read_dims->symbol[i]));
        return check_sources(c, s->read_dims->n_source, s->read_dims->source);
    case DLVK__PLAN__STEP__KIND_DEFINE: TRY(data_symbol_ok(c, s->define->symbol)); return expr_ok(c, s->define->value);
    case DLVK__PLAN__STEP__KIND_BRANCH:
        TRY(check_use(c, "branch", s->branch->condition, false, at, at));
        TRY(check_sources(c, s->branch->n_source, s->branch->source));
        TRY(check_region(c, s->branch->then));
        return check_region(c, s->branch->otherwise);
    case DLVK__PLAN__STEP__KIND_LOOP: return check_loop(c, s->loop, at);
    case DLVK__PLAN__STEP__KIND_HOST: return check_host(c, s->host, at);
    default: FAIL(c, "step %u is of an unknown kind", at);
    }
}

static dlvk_status check_region(Check *c, const Dlvk__Plan__Region *region)
{
    if (!region) return DLVK_OK;
    if (++c->depth > PLAN_MAX_DEPTH) FAIL(c, "branches and loops are nested more than %d deep", PLAN_MAX_DEPTH);
    for (size_t i = 0; i < region->n_step; i++) TRY(check_step(c, region->step[i]));
    c->depth--;
    return DLVK_OK;
}

/* They run when they like: of what others use, they write nothing but what is kept. */
static dlvk_status check_prepared(Check *c)
{
    const Plan *p = c->plan;
    if (p->prepared > (p->region ? p->region->n_step : 0)) FAIL(c, "%u steps are prepared, there are fewer", p->prepared);
    for (uint32_t i = 0; i < p->prepared; i++) {
        const Dlvk__Plan__Step *s = p->region->step[i];
        if (s->kind_case != DLVK__PLAN__STEP__KIND_DISPATCH) FAIL(c, "step %u is prepared, and no kernel", i);
        for (size_t k = 0; k < s->dispatch->n_writes; k++) {
            Dlvk__Plan__Buffer__Kind kind = p->buffer[s->dispatch->writes[k]]->kind;
            if (kind == DLVK__PLAN__BUFFER__KIND__OUTPUT || kind == DLVK__PLAN__BUFFER__KIND__STATE)
                FAIL(c, "step %u is prepared, and writes buffer %u", i, s->dispatch->writes[k]);
        }
    }
    return DLVK_OK;
}

static dlvk_status check_program(const Plan *plan, uint64_t blob_bytes, dlvk_error *err)
{
    Check c = {.plan = plan, .err = err};
    const size_t most = 1u << 24; /* keeps every count an int and every sum of them in 32 bits */
    if (plan->n_symbol > most || plan->n_expr > most || plan->n_buffer > most || plan->n_blob > most || plan->n_pipeline > most ||
        plan->n_module > most || plan->n_string > most || plan->n_input > 65536 || plan->n_output > 65536 ||
        rt_plan_steps(plan->region) > most)
        FAIL(&c, "a table is too long");
    TRY(check_exprs(&c));
    TRY(check_storage(&c, blob_bytes));
    TRY(check_signature(&c));
    TRY(check_region(&c, plan->region));
    return check_prepared(&c);
}

static const Dlvk__Plan__Param *state_of(const Plan *p, const char *name)
{
    for (size_t i = 0; i < p->n_state; i++)
        if (strcmp(p->state[i]->name, name) == 0) return p->state[i];
    return NULL;
}

/* A further program's states are the first one's. */
static dlvk_status check_shared(const Plan *first, const Plan *p, dlvk_error *err)
{
    Check c = {.plan = p, .err = err};
    for (size_t i = 0; i < p->n_state; i++) {
        const Dlvk__Plan__Param *a = p->state[i], *b = state_of(first, a->name);
        bool same = b && a->dtype == b->dtype && a->n_dim == b->n_dim &&
                    p->expr[p->buffer[a->buffer]->size]->value == first->expr[first->buffer[b->buffer]->size]->value;
        for (size_t d = 0; same && d < a->n_dim; d++) same = p->expr[a->dim[d]]->value == first->expr[b->dim[d]]->value;
        if (!same) FAIL(&c, "program '%s' has a state '%s' that the first one lacks", p->name, a->name);
    }
    for (uint32_t i = 0; i < p->n_buffer; i++) {
        bool named = p->buffer[i]->kind != DLVK__PLAN__BUFFER__KIND__STATE;
        for (size_t k = 0; !named && k < p->n_state; k++) named = p->state[k]->buffer == i;
        if (!named) FAIL(&c, "program '%s' has the nameless state buffer %u", p->name, i);
    }
    return DLVK_OK;
}

dlvk_status rt_plan_check(const Plan *plan, uint64_t blob_bytes, dlvk_error *err)
{
    Check c = {.plan = plan, .err = err};
    TRY(check_program(plan, blob_bytes, err));
    for (size_t i = 0; i < plan->n_program; i++) {
        Plan *p = plan->program[i];
        if (p->n_blob || p->n_program) FAIL(&c, "program %zu has blobs or programs of its own", i);
        for (size_t k = 0; k < i; k++)
            if (strcmp(plan->program[k]->name, p->name) == 0 || strcmp(plan->name, p->name) == 0)
                FAIL(&c, "two programs are called '%s'", p->name);
        p->blob = plan->blob; /* for the check's duration */
        p->n_blob = plan->n_blob;
        dlvk_status st = check_program(p, blob_bytes, err);
        p->blob = NULL;
        p->n_blob = 0;
        if (st) return st;
        TRY(check_shared(plan, p, err));
    }
    return DLVK_OK;
}
