/* Einsum: any equation. Operands are contracted from left to right, two at a time; what only one operand has and nobody needs
 * later is summed away first, repeated subscripts are taken along the diagonal. */
#include "frontend/onnx/ops_b.h"
#include <ctype.h>
#include <string.h>

/* A subscript is a letter, or DOTS + i for the axis of "..." that is i-th from its right end. */
enum { DOTS = 128, LABELS = DOTS + DLVK_MAX_RANK };

typedef struct Term {
    int n;
    unsigned char label[DLVK_MAX_RANK];
} Term;

static int find(const Term *t, int label)
{
    for (int i = 0; i < t->n; i++)
        if (t->label[i] == label) return i;
    return -1;
}

/* One operand's or the result's subscripts at *s, up to ',', '-' or the end. `dots`: how many axes "..." stands for; -1: what
 * rank leaves over. */
static bool parse_term(OnnxNode *n, const char **s, int rank, int dots, Term *t)
{
    *t = (Term){0};
    if (dots < 0) {
        int letters = 0;
        for (const char *p = *s; *p && *p != ',' && *p != '-'; p++) letters += isalpha((unsigned char)*p) != 0;
        dots = rank - letters;
    }
    for (; **s && **s != ',' && **s != '-'; ++*s) {
        int add = 0;
        if (isalpha((unsigned char)**s)) {
            add = 1;
        } else if (strncmp(*s, "...", 3) == 0) {
            add = dots;
        } else if (**s != ' ') {
            onnx_error(n, "attribute 'equation': unexpected '%c'", **s);
            return false;
        }
        if (add < 0 || t->n + add > DLVK_MAX_RANK) {
            onnx_error(n, "attribute 'equation': the subscripts do not fit an operand of rank %d", rank);
            return false;
        }
        if (**s == '.') {
            for (int i = dots; i-- > 0;) t->label[t->n++] = (unsigned char)(DOTS + i);
            *s += 2;
        } else if (add) {
            t->label[t->n++] = (unsigned char)**s;
        }
    }
    return true;
}

static Value *drop_axis(Build *b, Value *x, Term *t, int i)
{
    x = build_reduce(b, KIND_SUM, x, 1, &i, false);
    memmove(t->label + i, t->label + i + 1, (size_t)(t->n - i - 1));
    t->n--;
    return x;
}

/* ii -> i */
static Value *take_diagonals(Build *b, Value *x, Term *t)
{
    for (int i = 0; i < t->n && x; i++)
        for (int j = t->n - 1; j > i && x; j--) {
            if (t->label[i] != t->label[j]) continue;
            Value *on = build_map2(b, OP_EQ, compose_index(b, x, i, DLVK_I64), compose_index(b, x, j, DLVK_I64));
            Value *zero = dtype_is_float(x->type.dtype) ? build_scalar(b, x->type.dtype, 0) : build_scalar_i(b, x->type.dtype, 0);
            x = drop_axis(b, build_map3(b, OP_SELECT, on, x, zero), t, j);
        }
    return x;
}

/* Sums over the labels that are not wanted. */
static Value *sum_unwanted(Build *b, Value *x, Term *t, const bool *wanted)
{
    for (int i = t->n; i-- > 0 && x;)
        if (!wanted[t->label[i]]) x = drop_axis(b, x, t, i);
    return x;
}

/* x with its axes in the order of `order` (all of t's labels, and others, which get size 1). */
static Value *arrange(Build *b, Value *x, const Term *t, const Term *order)
{
    if (!x) return NULL;
    int perm[DLVK_MAX_RANK], m = 0;
    const Dim *shape[DLVK_MAX_RANK];
    for (int i = 0; i < order->n; i++) {
        int at = find(t, order->label[i]);
        shape[i] = at < 0 ? dim_of_int(b, 1) : x->type.dim[at];
        if (at >= 0) perm[m++] = at;
    }
    return build_reshape(b, build_transpose(b, x, perm), order->n, shape);
}

static void append(Term *t, int label)
{
    t->label[t->n++] = (unsigned char)label;
}

/* The product of two operands, summed over the labels that both have and nobody wants. */
static Value *contract(OnnxNode *n, Value *x, Term *tx, Value *y, Term *ty, const bool *wanted, Term *result)
{
    Build *b = n->b;
    /* an axis of size 1 stretches: take it off where the other operand has the label too */
    for (int i = tx->n; i-- > 0 && x;)
        if (dim_is(x->type.dim[i], 1) && find(ty, tx->label[i]) >= 0) x = drop_axis(b, x, tx, i);
    for (int i = ty->n; i-- > 0 && x && y;) {
        int at = find(tx, ty->label[i]);
        if (at >= 0 && dim_is(y->type.dim[i], 1)) y = drop_axis(b, y, ty, i);
    }
    Term keep = *tx;
    for (int i = 0; i < ty->n; i++)
        if (find(tx, ty->label[i]) < 0) append(&keep, ty->label[i]);
    if (keep.n > DLVK_MAX_RANK) return NULL;
    bool all[LABELS];
    for (int i = 0; i < LABELS; i++) all[i] = wanted[i];
    for (int i = 0; i < tx->n; i++) all[tx->label[i]] |= find(ty, tx->label[i]) >= 0;
    x = sum_unwanted(b, x, tx, all);
    y = sum_unwanted(b, y, ty, all);
    if (!x || !y) return NULL;

    Term batch = {0}, m = {0}, k = {0}, c = {0};
    for (int i = 0; i < tx->n; i++) {
        int l = tx->label[i];
        append(find(ty, l) < 0 ? &m : wanted[l] ? &batch : &k, l);
    }
    for (int i = 0; i < ty->n; i++)
        if (find(tx, ty->label[i]) < 0) append(&c, ty->label[i]);
    *result = batch;
    for (int i = 0; i < m.n; i++) append(result, m.label[i]);
    for (int i = 0; i < c.n; i++) append(result, c.label[i]);
    if (k.n == 0) return build_map2(b, OP_MUL, arrange(b, x, tx, result), arrange(b, y, ty, result));

    Term ox = batch, oy = batch;
    for (int i = 0; i < m.n; i++) append(&ox, m.label[i]);
    for (int i = 0; i < k.n; i++) append(&ox, k.label[i]), append(&oy, k.label[i]);
    for (int i = 0; i < c.n; i++) append(&oy, c.label[i]);
    x = arrange(b, x, tx, &ox);
    y = arrange(b, y, ty, &oy);
    if (!x || !y) return NULL;
    const Dim *const *dx = x->type.dim, *const *dy = y->type.dim;
    const Dim *sx[DLVK_MAX_RANK], *sy[DLVK_MAX_RANK], *out[DLVK_MAX_RANK];
    int nb = batch.n;
    for (int i = 0; i < nb; i++) sx[i] = sy[i] = out[i] = dx[i];
    for (int i = 0; i < m.n; i++) out[nb + i] = dx[nb + i];
    for (int i = 0; i < c.n; i++) out[nb + m.n + i] = dy[nb + k.n + i];
    sx[nb] = dim_product(b, m.n, dx + nb);
    sx[nb + 1] = sy[nb] = dim_product(b, k.n, dx + nb + m.n);
    sy[nb + 1] = dim_product(b, c.n, dy + nb + k.n);
    for (int i = 0; i < k.n; i++) ctx_constrain(b->ctx, DIM_EQ, dx[nb + m.n + i], dy[nb + i]);
    Value *r = build_dot(b, build_reshape(b, x, nb + 2, sx), build_reshape(b, y, nb + 2, sy));
    return build_reshape(b, r, result->n, out);
}

/* The result's subscripts where the equation has no "->": "..." first, then letters that occur once, in order. */
static Term implicit_result(const Term *terms, int count)
{
    Term r = {0};
    int seen[LABELS] = {0};
    for (int i = 0; i < count; i++)
        for (int k = 0; k < terms[i].n; k++) seen[terms[i].label[k]]++;
    for (int l = LABELS; l-- > DOTS;)
        if (seen[l]) append(&r, l);
    for (int l = 0; l < DOTS && r.n < DLVK_MAX_RANK; l++)
        if (seen[l] == 1) append(&r, l);
    return r;
}

void lower_einsum(OnnxNode *n)
{
    Build *b = n->b;
    if (!onnx_needs(n, "equation")) return;
    const char *s = onnx_str(n, "equation", "");
    Term *terms = POOL_ARRAY(b->ctx->pool, Term, n->n_in), out;
    int dots = 0;
    for (int i = 0; i < n->n_in; i++) {
        Value *x = in(n, i);
        if (!x || !parse_term(n, &s, x->type.rank, -1, &terms[i])) return;
        if (terms[i].n != x->type.rank || (i + 1 < n->n_in) != (*s == ',')) {
            onnx_error(n, "attribute 'equation' does not fit %d operands, the %dth of rank %d", n->n_in, i, x->type.rank);
            return;
        }
        if (*s == ',') s++;
        for (int k = 0; k < terms[i].n; k++)
            if (terms[i].label[k] >= DOTS && terms[i].label[k] - DOTS >= dots) dots = terms[i].label[k] - DOTS + 1;
    }
    if (s[0] == '-' && s[1] == '>') {
        s += 2;
        if (!parse_term(n, &s, 0, dots, &out)) return;
    } else {
        out = implicit_result(terms, n->n_in);
    }
    Value *x = take_diagonals(b, in(n, 0), &terms[0]);
    Term t = terms[0];
    for (int i = 1; i <= n->n_in && x; i++) {
        bool wanted[LABELS] = {false};
        for (int k = 0; k < out.n; k++) wanted[out.label[k]] = true;
        for (int j = i + 1; j < n->n_in; j++)
            for (int k = 0; k < terms[j].n; k++) wanted[terms[j].label[k]] = true;
        if (i == n->n_in) {
            x = sum_unwanted(b, x, &t, wanted);
            break;
        }
        Term r;
        x = contract(n, x, &t, take_diagonals(b, in(n, i), &terms[i]), &terms[i], wanted, &r);
        t = r;
    }
    for (int i = 0; i < out.n; i++)
        if (find(&t, out.label[i]) < 0) {
            onnx_error(n, "attribute 'equation': result subscript '%c' is in no operand", out.label[i]);
            return;
        }
    n->out[0] = x && t.n == out.n ? arrange(b, x, &t, &out) : NULL;
}
