/* Running the passes: one wrapper that verifies, prints, dumps, times and stops, the same for every pass. */
#ifndef DLVK_PASSES_PASS_H
#define DLVK_PASSES_PASS_H

#include <stdio.h>

#include "ir/ir.h"

/* What passes/precision.c does. */
typedef struct Precision {
    DType storage;            /* DLVK_F16 or DLVK_BF16 */
    int n_keep;
    const char *const *keep;  /* patterns as of fnmatch(): nodes of such a name or operator work on float32 */
    FILE *log;                /* the policy and what became of each value; NULL: not printed */
} Precision;

typedef struct PassOptions {
    const char *print_after; /* a pass's name, or "all"; NULL */
    const char *stop_after;  /* a pass's name; NULL */
    const char *dump_ir;     /* directory for NN-PASS.ir, made if need be; NULL */
    bool time_passes;        /* a table of milliseconds to log */
    bool validate;           /* verify before and after every pass, and that the text form reads back to itself */
    FILE *log;
    const Precision *precision; /* NULL: float32 stays float32 */
} PassOptions;

/* All passes in the order of passes.h, up to stop_after (*stopped then). NULL: errors are in the context, which also says so when
 * print_after or stop_after names no pass. "import" names the graph as it came; "fuse", the kernels, which the caller prints. */
Graph *passes_run(Graph *g, const PassOptions *o, bool *stopped);
/* A row of the table of times, for what comes behind the passes; n: how many nodes, steps or modules there are after it. */
void pass_time(const PassOptions *o, const char *what, double ms, int n);
double pass_clock(void); /* milliseconds */

#endif
