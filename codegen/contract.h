/* What matrix products and convolutions have in common: rows of A times columns of B, summed over taps and k.
 *
 * A convolution is a product whose rows are output positions and whose k runs over the taps of the window and the input
 * channels of a group; its batches are the groups. Internal to codegen/contract*.c. */
#ifndef DLVK_CODEGEN_CONTRACT_H
#define DLVK_CODEGEN_CONTRACT_H

#include "codegen/shader.h"

typedef struct Operand {
    Value *value;
    bool affine; /* f32, f16 or bf16 in memory, at base + sum of index * stride: `at` */
    bool splat;  /* one number: literal */
    const char *literal;
    Value *
        leaf; /* the value in memory that each element is computed from, as it is loaded; NULL: no such thing (view_prologue()) */
    Affine at;
} Operand;

/* One axis of the window. */
typedef struct Tap {
    const Dim *count, *size, *lo; /* taps, extent of A, padding before */
    int64_t step, dilation, in_dilation;
    const Dim *a_stride, *b_stride;
    int axis;   /* of the result and of A */
    bool plain; /* one tap, no padding: only the step matters */
} Tap;

typedef struct Contraction {
    Node *node;
    Value *out; /* the node's, before the epilogue */
    bool conv;
    Operand a, b;
    int n_row, row[DLVK_MAX_RANK];     /* axes of the result in the flat row index, in order */
    int n_batch, batch[DLVK_MAX_RANK]; /* and in the flat batch index z; none: z is the group of a convolution */
    int n_tap;
    Tap tap[DLVK_MAX_RANK];
    const Dim *m, *n, *k, *z, *steps; /* rows, columns, inner length, batches, k times all taps */
    const Dim *a_k, *b_k, *b_n, *b_z; /* strides; b_z only for groups */
    bool b_dense;                     /* B's taps and k follow each other without gaps */
    /* The tiled templates take k's steps in another order, all taps for each inner step, where that is the order in memory: in
     * the gradient of weights the inner length is the batch, whose elements lie far apart. b_step, if not NULL: B's from one such
     * step to the next. */
    bool taps_first;
    const Dim *b_step;
    bool padded; /* some tap may lie outside A */
} Contraction;

Contraction contract_analyse(KernelGen *kg);
/* Sum of the terms that row m and batch z (GLSL ints) contribute to the operand's offset. */
const Ix *contract_row_axis(Shader *s, const Contraction *c, int axis, const char *m, const char *z);
const Ix *contract_a_offset(Shader *s, const Contraction *c, const char *m, const char *z);
const Ix *contract_b_offset(Shader *s, const Contraction *c, const char *z);
/* The code behind the sum. In scope are the GLSL ints m, n, z, and the sum, float x. In two steps, so that an invocation with
 * several elements loads for all before it stores any: `results` declares arrays of EACH, `value` fills element e, `put` stores
 * it; or `store`, both at once. Where it can be done in LANES_STRIPS, elements are strips of WIDTH neighbouring columns, strip
 * number `strip` of the row, whose sums are sum[e][]; `width` is empty, and the shader declares WIDTH; else `width` does, as 1.
 */
typedef enum Lanes {
    LANES_ALONE,
    LANES_VECTOR, /* lanes hold neighbouring columns, n = vector_at + lane_number, all of which exist */
    LANES_STRIPS
} Lanes;
typedef struct Epilogue {
    const char *width, *column_values, *store, *results, *value, *put;
} Epilogue;
Epilogue contract_epilogue(Shader *s, const Contraction *c, Lanes lanes);
/* Whether k is known to be a multiple of so many steps. */
bool contract_whole(KernelGen *kg, const Contraction *c, int64_t steps);
/* A GLSL function, float before(float raw, int inner), that makes an element of A of what lies in memory for it, in channel
 * `inner`; nothing where these are the same. */
void contract_before(Shader *s, const Contraction *c);
/* The same for the eight halves that `raw` loads, from GLSL's `inner` on: what they become, in as many. */
const char *contract_before_vector(Shader *s, const Contraction *c, const char *raw);
/* Element number `flat` (a GLSL int) of the memory of an affine operand, as a float. */
const char *contract_load(Shader *s, const Operand *o, const char *flat);
/* Fills a template and puts its two halves, cut at "//# main", into the shader. */
void contract_assemble(Shader *s, const char *name, int n, const Hole *holes);

/* Text for a hole, written by sh_line() and the like between the two calls, in a block of its own. Pieces may nest. */
typedef struct Piece {
    size_t from, text; /* body's length before the block, and before the text */
    int depth;
} Piece;
Piece contract_begin(Shader *s);
const char *contract_end(Shader *s, Piece p);
const char *contract_cut(Shader *s, Piece p); /* the text so far, of a piece that goes on: what it names is in scope */
/* Computes what v, which depends on `sum` element by element, reads along the columns alone (a bias): once for all rows of a
 * tile. depth: 0. */
void contract_column_values(Shader *s, const Value *sum, const Value *v, const Ix *column, int depth);

/* What a load brings into shared memory: a float x; a vec4 x of f32; a uvec4 x of eight f16. Vectors lie along k or across it
 * (along A's rows, B's columns), whichever is what neighbours in memory. */
typedef enum Load { LOAD_ELEMENT, LOAD_4_F32, LOAD_8_F16 } Load;
bool contract_a_along_k(const Contraction *c);
bool contract_b_along_k(const Contraction *c);
Load contract_a_vectors(KernelGen *kg, const Contraction *c, Load vectors);
Load contract_b_vectors(KernelGen *kg, const Contraction *c, Load vectors);
/* Holes: of row m, where it begins (element `row` of the arrays of `type` and `count` that rows() declares); of step k, what it
 * means for A; the load of A's row `row`, r of the tile, at that step, and of B's step k and column n. */
const char *contract_rows(Shader *s, const Contraction *c, const char *type, const char *count);
const char *contract_row(Shader *s, const Contraction *c, const char *row);
const char *contract_a_slice(Shader *s, const Contraction *c);
const char *contract_a_load(Shader *s, const Contraction *c, Load load, const char *row);
const char *contract_b_load(Shader *s, const Contraction *c, Load load);

/* How a kernel's work is cut: specialization constants of its own, and the sizes they are for. */
typedef struct Cut {
    uint32_t m, n;             /* the tile of a workgroup */
    uint32_t sub_m, sub_n;     /* matrix units: the piece of a subgroup; contract_team: of an invocation */
    uint32_t slice;            /* steps of k between two barriers */
    uint32_t depth;            /* matrix units: slices under way from memory */
    uint32_t turns;            /* matrix units: teams of subgroups that fetch slices in turn; 0: one */
    uint32_t stages;           /* matrix units: slices in shared memory, 0 for 1, or 2, where depth is 1 */
    uint32_t parts;            /* contract_wave, contract_team: teams of a workgroup that share out a slice */
    int64_t enough;            /* workgroups: with fewer tiles, several share one; up to 2 * MOST_TILES */
    int64_t least, most;       /* steps of k for a workgroup, where several share a tile, and how many do; most 1: none */
    const Dim *when;           /* these sizes, as long as no cut before it takes them; NULL: all */
    const Dim *tiles, *splits; /* contract_splits() fills them in: tiles, workgroups that share each */
} Cut;
/* Memory for the sums that workgroups leave for each other. */
typedef struct Splits {
    const char *splits, *partial, *counters; /* GLSL */
} Splits;
enum { MOST_CUTS = 10 };
/* Whether a variant for the sizes at which *when is not 0 can ever run; *when becomes NULL where those are all. */
bool contract_may_run(const Dim **when);
/* How many tiles there are, and how many workgroups share each. */
const Dim *contract_tiles_of(DimTable *dt, const Contraction *c, const Cut *x);
const Dim *contract_splits_of(DimTable *dt, const Contraction *c, const Cut *x, const Dim *tiles);
/* Leaves out cuts that cannot occur; n becomes how many are left, the last of which is for all sizes. */
void contract_cuts(KernelGen *kg, const Contraction *c, Cut *cut, int *n);
/* splits: how many workgroups share a tile; "1" instead where none of the cuts shares any, as where
 * there are none. */
Splits contract_splits(Shader *s, const Cut *cut, int n, const char *splits);

/* What differs between the templates whose operands pass through shared memory, tile by tile. */
typedef struct Tiles {
    Load a, b;
    Splits split;
    const char *row_type, *rows, *row; /* contract_rows(), contract_row() */
    const Cut *cut;                    /* contract_team: holes bm, bn, tm, tn, teams */
    bool unroll;                       /* Shader.unroll, where operands are f32; contract_team: few branches, too */
    bool whole;                        /* contract_tile, contract_team: contract_whole() for a slice of all teams */
    bool strips;                       /* LANES_STRIPS */
    bool twice;                        /* contract_matrix: two slices in shared memory */
    bool a_by_rows; /* single elements of A, too, are taken by neighbouring rows where these neighbour in memory */
} Tiles;
/* Fills the template `name`. */
void contract_tiles(Shader *s, const Contraction *c, const char *name, const Tiles *t);

void contract_scalar(KernelGen *kg, const Contraction *c);                  /* codegen/contract_scalar.c */
void contract_wave(KernelGen *kg, const Contraction *c, uint32_t features); /* codegen/contract_wave.c */
void contract_matrix(KernelGen *kg, const Contraction *c);                  /* codegen/contract_matrix.c */
void contract_vector(KernelGen *kg, const Contraction *c);                  /* codegen/contract_vector.c: for a few rows */
bool contract_short(KernelGen *kg, const Contraction *c);                   /* codegen/contract_few.c; true: done on GPUs */
void contract_few(KernelGen *kg, const Contraction *c, uint32_t features);
bool contract_tile(KernelGen *kg, const Contraction *c,
                   uint32_t features); /* codegen/contract_tile.c; true: for all sizes there are */
bool contract_team(KernelGen *kg, const Contraction *c, uint32_t features); /* codegen/contract_team.c; the same */
void contract_rest(KernelGen *kg, const Contraction *c, uint32_t features); /* the same file: all sizes that are left */

#endif
