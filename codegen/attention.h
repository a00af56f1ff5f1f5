/* What the variants of attention kernels have in common. Internal to codegen/attention*.c.
 *
 * All compute out[z, m, :] = sum over n of softmax(scores)[z, m, n] * v[z, n, :], where z numbers the batches, walking over the
 * keys in blocks: beside the sums of exponentials and of weighted values they keep the largest score met so far, and when a
 * larger one comes, what was summed is scaled down (Milakov and Gimelshein, "Online normalizer calculation for softmax", 2018;
 * Dao et al., "FlashAttention", 2022). Scores live in registers and shared memory alone. */
#ifndef DLVK_CODEGEN_ATTENTION_H
#define DLVK_CODEGEN_ATTENTION_H

#include "codegen/contract.h"
#include "ir/view.h"

typedef struct Attend {
    const Attention *a;
    const Dim *m, *n, *z; /* queries, keys, batches */
    int64_t d, e;         /* elements of a query or key, and of a value */
    View q, k, v;         /* row, col: of q along m and d, of k along d and n, of v along n and e */
    double factor;        /* of q and k: what their products are multiplied by */
} Attend;

/* The holes that all templates have; what stands in them:
 *   m, n, z                the sizes
 *   NAME_base              a statement: where batch z of q, k or v begins in its memory, as `NAME_base = ...;`
 *   q_row .. v_col         elements between neighbours along the operands' last two axes
 *   score                  statements that make x, the product of q and k, the score, at the GLSL ints z, m, n. vector: the GLSL
 *                          int at which a vector of neighbouring n begins on a CPU driver, all of which exist; NULL
 *   dead                   statements behind the loop: `dead` becomes true where row m of batch z, of the GLSL floats top and
 *                          total, gives zeros
 *   causal, ahead          "1" where a mask hides the keys whose number is above their query's plus `ahead`, else "0"
 *   store                  statements that store x, the result at the GLSL ints z, m and e
 *   strip                  instead, if asked for: such that store sum[0] to sum[7], the results at e = strip * 8 to strip * 8 + 7
 */
enum { ATTEND_HOLES = 17 };
void attend_holes(Shader *s, const Attend *t, const char *vector, bool strips, Hole *holes);
/* Whether an operand's batches begin at multiples of `by` for certain. */
bool attend_base_divides(Shader *s, const Attend *t, Value *operand, const View *view, int by);
/* The function NAME, which loads eight elements of one of the operands' rows: in one go where they are neighbours for certain
 * (*whole). along, across: elements between those of a row, and between rows; size: how many a row has, `length`, in GLSL. */
const char *attend_operand(Shader *s, const Attend *t, const char *name, Value *value, const View *v, const Dim *along,
                           const Dim *across, int64_t length, const char *size, bool *whole);
/* The functions weight and reference, and what scores are scaled by. */
const char *attend_weight(Shader *s, const Attend *t);
/* An element of an operand, as a float expression; at: a GLSL int variable, counted from the beginning of its memory. */
const char *attend_load(Shader *s, const View *view, const char *at);

/* Scores of keys farther ahead of their query than this are those of hidden ones, -6e4 or less; at least ATTEND_FAR: nobody
 * knows. codegen/attention_causal.c */
#define ATTEND_FAR (1 << 30)
int64_t attend_ahead(const Attend *t);

void attention_wave(KernelGen *kg, const Attend *t, uint32_t features); /* codegen/attention_wave.c */
void attention_scalar(KernelGen *kg, const Attend *t);                  /* codegen/attention_scalar.c */
void attention_lanes(KernelGen *kg, const Attend *t);                   /* codegen/attention_lanes.c */
void attention_matrix(KernelGen *kg, const Attend *t);                  /* codegen/attention_matrix.c */

#endif
