/* Groups the plan's steps: maximal runs of dispatches and copies become segments, host decisions stay nodes of a tree. */
#include "runtime/error.h"
#include "runtime/expr.h"
#include "runtime/model.h"
#include "runtime/plan_check.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef Dlvk__Plan__Step Step;
typedef Dlvk__Plan__Region Region;

static bool recorded(const Step *s)
{
    return s->kind_case == DLVK__PLAN__STEP__KIND_DISPATCH || s->kind_case == DLVK__PLAN__STEP__KIND_COPY;
}

/* ---- which data symbols a segment depends on ---------------------------------------------------------------------- */

static void mark_args(size_t n, Dlvk__Plan__Arg **arg, bool *mark)
{
    for (size_t i = 0; i < n; i++) {
        const Dlvk__Plan__Arg *a = arg[i];
        if (a->kind_case == DLVK__PLAN__ARG__KIND_VALUE) mark[a->value] = true;
        if (a->kind_case == DLVK__PLAN__ARG__KIND_DIVISOR) mark[a->divisor] = true;
        if (a->kind_case == DLVK__PLAN__ARG__KIND_ADDRESS && a->address->offset) mark[a->address->offset - 1] = true;
    }
}

static void mark_step(const Step *s, bool *mark)
{
    if (s->kind_case == DLVK__PLAN__STEP__KIND_COPY) {
        mark[s->copy->bytes] = mark[s->copy->from_offset] = mark[s->copy->to_offset] = true;
        return;
    }
    const Dlvk__Plan__Dispatch *d = s->dispatch;
    mark_args(d->n_arg, d->arg, mark);
    for (size_t v = 0; v < d->n_variant; v++) {
        mark_args(d->variant[v]->n_arg, d->variant[v]->arg, mark);
        for (int k = 0; k < 3; k++) mark[d->variant[v]->grid[k]] = true;
        if (d->variant[v]->when) mark[d->variant[v]->when - 1] = true;
    }
}

static dlvk_status segment_symbols(dlvk_model *m, Segment *g, dlvk_error *err)
{
    const Dlvk__Plan__Plan *p = m->plan;
    bool *mark = calloc(p->n_expr + 1, 1), *used = calloc(p->n_symbol + 1, 1);
    g->symbol = calloc(p->n_symbol + 1, sizeof *g->symbol);
    bool ok = mark && used && g->symbol;
    for (uint32_t i = 0; ok && i < g->n; i++) {
        const Step *s = m->step[g->first + i];
        mark_step(s, mark);
        g->dispatches += s->kind_case == DLVK__PLAN__STEP__KIND_DISPATCH;
    }
    for (size_t i = ok ? p->n_expr : 0; i-- > 0;) {
        const Dlvk__Plan__Expr *x = p->expr[i];
        if (!mark[i] || !m->data_dep[i]) continue;
        if (x->op == DLVK__PLAN__EXPR__OP__SYMBOL)
            used[x->symbol] = true;
        else
            mark[x->a] = mark[x->b] = true;
    }
    for (uint32_t i = 0; ok && i < p->n_symbol; i++)
        if (used[i]) g->symbol[g->n_symbol++] = i;
    free(mark);
    free(used);
    return ok ? DLVK_OK : rt_error(err, DLVK_OUT_OF_MEMORY, "out of memory");
}

/* ---- the tree ---------------------------------------------------------------------------------------------------- */

typedef struct Builder {
    dlvk_model *m;
    uint32_t at; /* number of the next step */
    bool in_loop;
    const dlvk_load_options *options;
    dlvk_error *err;
} Builder;

static dlvk_status build(Builder *b, const Region *r, Block *out);

/* The function of a host step: the caller's, else libdlvk-host's. */
static dlvk_status find_host(Builder *b, const Step *s, Node *node)
{
    dlvk_error why = {""};
    node->kind = NODE_HOST;
    for (int i = 0; i < b->options->n_host_ops && !node->host; i++)
        if (strcmp(b->options->host_ops[i].name, s->host->op) == 0) node->host = &b->options->host_ops[i];
    if (!node->host) node->host = dlvk_host_op_find(s->host->op, &why);
    if (node->host) return DLVK_OK;
    return rt_error(b->err, DLVK_UNSUPPORTED, "host operation '%s' (step %u) is not known to this runtime: %s", s->host->op,
                    node->at, why.text);
}

static dlvk_status build_host(Builder *b, const Step *s, Node *node)
{
    switch (s->kind_case) {
    case DLVK__PLAN__STEP__KIND_READ_DIMS: node->kind = NODE_READ; return DLVK_OK;
    case DLVK__PLAN__STEP__KIND_DEFINE: node->kind = NODE_DEFINE; return DLVK_OK;
    case DLVK__PLAN__STEP__KIND_BRANCH: {
        node->kind = NODE_IF;
        dlvk_status st = build(b, s->branch->then, &node->body);
        return st ? st : build(b, s->branch->otherwise, &node->otherwise);
    }
    case DLVK__PLAN__STEP__KIND_LOOP: {
        node->kind = NODE_LOOP;
        bool outer = b->in_loop;
        b->in_loop = true;
        dlvk_status st = build(b, s->loop->body, &node->body);
        b->in_loop = outer;
        return st;
    }
    default: return find_host(b, s, node);
    }
}

static dlvk_status build(Builder *b, const Region *r, Block *out)
{
    dlvk_model *m = b->m;
    if (!r || !r->n_step) return DLVK_OK;
    out->node = calloc(r->n_step, sizeof *out->node);
    if (!out->node) return rt_error(b->err, DLVK_OUT_OF_MEMORY, "out of memory");
    for (size_t i = 0; i < r->n_step;) {
        Node *node = &out->node[out->n++];
        node->at = b->at;
        if (!recorded(r->step[i])) {
            m->step[b->at++] = r->step[i];
            dlvk_status st = build_host(b, r->step[i++], node);
            if (st) return st;
            continue;
        }
        node->segment = m->n_segment++;
        Segment *g = &m->segment[node->segment];
        *g = (Segment){.first = b->at, .in_loop = b->in_loop};
        for (; i < r->n_step && recorded(r->step[i]) && (!g->n || b->at != m->plan->prepared); i++) {
            m->step[b->at++] = r->step[i];
            g->n++;
        }
        dlvk_status st = segment_symbols(m, g, b->err);
        if (st) return st;
    }
    return DLVK_OK;
}

dlvk_status model_program(dlvk_model *m, const dlvk_load_options *o, dlvk_error *err)
{
    m->n_step = rt_plan_steps(m->plan->region);
    m->step = calloc(m->n_step + 1, sizeof *m->step);
    m->segment = calloc(m->n_step + 1, sizeof *m->segment);
    m->data_dep = calloc(m->plan->n_expr + 1, sizeof *m->data_dep);
    if (!m->step || !m->segment || !m->data_dep) return rt_error(err, DLVK_OUT_OF_MEMORY, "out of memory");
    rt_expr_data_deps(m->plan, m->data_dep);
    return build(&(Builder){.m = m, .options = o, .err = err}, m->plan->region, &m->top);
}

static void free_block(Block *b)
{
    for (uint32_t i = 0; i < b->n; i++) {
        free_block(&b->node[i].body);
        free_block(&b->node[i].otherwise);
    }
    free(b->node);
}

void model_program_free(dlvk_model *m)
{
    free_block(&m->top);
    for (uint32_t i = 0; i < m->n_segment; i++) free(m->segment[i].symbol);
    free(m->segment);
    free(m->step);
    free(m->data_dep);
}

const char *model_kernel_text(const Dlvk__Plan__Plan *plan, const Dlvk__Plan__Dispatch *d, char *buf, size_t size)
{
    size_t at = (size_t)snprintf(buf, size, "%s", d->name);
    for (size_t i = 0; i < d->n_source && at < size; i++)
        at += (size_t)snprintf(buf + at, size - at, "%s%s", i ? ", " : " (from ", plan->source[d->source[i]]->name);
    if (d->n_source && at < size) snprintf(buf + at, size - at, ")");
    return buf;
}
