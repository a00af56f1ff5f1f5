/* Which nodes find out sizes that depend on data, and who computes with these. */
#include "passes/fuse_internal.h"

/* Calls visit(arg, m) for each node m that finds out a size in d, until one returns true. */
static bool visit_sizers(const Fuse *f, const Dim *d, bool (*visit)(void *arg, Node *m), void *arg)
{
    if (d->kind == DIM_SYM && f->sizer[d->sym->index] && visit(arg, f->sizer[d->sym->index])) return true;
    for (int i = 0; i < d->n; i++)
        if (visit_sizers(f, d->arg[i], visit, arg)) return true;
    return false;
}

/* The same for all that n computes with: the dims of its results and its attributes, but for the ones that it finds out. */
bool fuse_visit_sizers(const Fuse *f, const Node *n, bool (*visit)(void *arg, Node *m), void *arg)
{
    if (fuse_is_host_op(n->op)) return false;
    for (int i = 0; i < n->n_out; i++)
        for (int k = 0; k < n->out[i]->type.rank; k++)
            if (visit_sizers(f, n->out[i]->type.dim[k], visit, arg)) return true;
    for (int i = 0; i < n->n_attr; i++)
        for (int k = 0; attr_type[n->attr[i].id] == ATTR_DIMS && k < n->attr[i].n; k++)
            if (visit_sizers(f, n->attr[i].dims[k], visit, arg)) return true;
    return false;
}

/* Notes which nodes of the region find out sizes. */
void fuse_note_sizers(Fuse *f)
{
    for (int i = 0; i < f->region->nodes.n; i++) {
        Node *n = f->region->nodes.at[i];
        if (n->op == OP_READ_DIMS || n->op == OP_HOST) {
            const Attr *a = node_attr(n, A_VALUES);
            for (int k = 0; a && k < a->n; k++) f->sizer[a->dims[k]->sym->index] = n;
            continue;
        }
        if (n->op != OP_COMPACT && n->op != OP_IF && n->op != OP_LOOP) continue;
        for (int j = 0; j < n->n_out; j++)
            for (int k = 0; k < n->out[j]->type.rank; k++) {
                const Dim *d = n->out[j]->type.dim[k];
                if (d->kind == DIM_SYM && d->sym->data && !f->sizer[d->sym->index]) f->sizer[d->sym->index] = n;
            }
    }
}
