/* Values of the plan's expressions, and the symbols behind them.
 *
 * An Env holds the value of every symbol and expression of one session. Symbols are solved from the inputs' shapes; data symbols
 * are defined while a run proceeds. */
#ifndef DLVK_RUNTIME_EXPR_H
#define DLVK_RUNTIME_EXPR_H

#include "dlvk/types.h"
#include "plan.pb-c.h"
#include <stdbool.h>

typedef struct Env {
    const Dlvk__Plan__Plan *plan;
    int64_t *symbol; /* values */
    bool *known;     /* of symbols */
    char **origin;   /* of symbols: "dimension 0 of input 'x'", or NULL */
    int64_t *value;  /* of expressions */
    uint8_t *state;  /* ExprState of expressions */
} Env;

typedef enum ExprState { EXPR_UNKNOWN, EXPR_KNOWN, EXPR_OVERFLOW, EXPR_DIV_ZERO } ExprState;

dlvk_status rt_env_init(Env *e, const Dlvk__Plan__Plan *plan, dlvk_error *err);
void rt_env_free(Env *e);
/* shape[i]: the dims of input i, as many as its rank says. Solves the symbols, checks bounds, dims and constraints. On
 * failure the environment is left without any known symbol. */
dlvk_status rt_env_solve(Env *e, const int64_t *const *shape, dlvk_error *err);
/* Defines a data symbol; checks its bounds. rt_env_update follows, once for several. */
dlvk_status rt_env_define(Env *e, uint32_t symbol, int64_t value, dlvk_error *err);
/* Forgets one symbol; rt_env_update follows. */
void rt_env_forget(Env *e, uint32_t symbol);
/* Forgets the data symbols. */
void rt_env_forget_data(Env *e);
/* Evaluates all expressions again. */
void rt_env_update(Env *e);
/* Checks constraints all of whose symbols are known. */
dlvk_status rt_env_check_constraints(const Env *e, dlvk_error *err);
/* The value of an expression; `what` for the message ("size of buffer 3"). */
dlvk_status rt_env_get(const Env *e, uint32_t expr, const char *what, int64_t *value, dlvk_error *err);

/* dep[i]: expression i depends on a data symbol. */
void rt_expr_data_deps(const Dlvk__Plan__Plan *plan, bool *dep);
/* Text as in the compiler's IR: `2*seq+1`, `(h+2)/4`, `min(a,b)`; cut where `size` ends. Returns buf. */
char *rt_expr_print(const Dlvk__Plan__Plan *plan, uint32_t expr, char *buf, size_t size);

#endif
