/* Writing one kernel's GLSL.
 *
 * A KernelGen gathers what all variants of a kernel share: the arguments (buffers, sizes, divisors), packed in push constants in
 * one order. A Shader is one variant's text. The heart is emit_value(): the GLSL name of any IR value at an index, computed from
 * materialised values by writing statements into the body. What was already computed at the same index in an enclosing block is
 * not computed again.
 *
 *   scalar classes   float (all floats of 32 bits and fewer), int, uint, bool, I64, U64, F64 (structs or native types, from the
 * prelude) arguments        a.b0 (a buffer), a.n0 (an int), a_d0 (a divisor: fastdiv(n, a_d0))
 *
 * Sizes never appear as literals (but 0 and 1): one module serves every layer of the same structure. */
#ifndef DLVK_CODEGEN_SHADER_H
#define DLVK_CODEGEN_SHADER_H

#include "codegen/index.h"
#include "ir/kernel.h"
#include "runtime/strings.h"

typedef struct KernelArg {
    enum { ARG_BUFFER, ARG_INT, ARG_DIVISOR } kind;
    Value *buffer; /* storage root; NULL: the kernel's own, of `dim` bytes, or with `dim` NULL counters that begin and end as
                      zeros */
    int64_t bytes; /* of counters */
    bool write;
    const char *type; /* GLSL block type: "BufU32", "BufVec4", ... */
    const Dim *dim;
    const char *role; /* see Shader.role */
    char name[16];    /* as the GLSL writes it: "a.b0", "a.n3", "a_d1" */
} KernelArg;

typedef struct KernelVariant {
    const char *glsl;     /* whole source */
    uint32_t features;    /* dlvk_feature bits (runtime.h): what the variant needs */
    const uint32_t *spec; /* specialization constants 0.. */
    int n_spec;
    const Dim *grid[3];             /* workgroups */
    const Dim *when;                /* not 0: for these sizes; NULL: for all */
    bool bound;                     /* and at others it would be wrong */
    bool covers;                    /* see Shader.covers */
    bool unroll;                    /* see Shader.unroll */
    uint32_t push_bytes, arg_bytes; /* arg_bytes: see ModuleEntry */
    bool indirect;
} KernelVariant;

typedef struct KernelGen {
    Context *ctx;
    Pool *pool;
    const Schedule *sched;
    const Kernel *kernel;
    VEC(KernelArg) args;
    VEC(Shader *) variants;
    VEC(Value *) reads, writes;
    const Dim *flops, *bytes;
    StringTable *strings;
    bool parts; /* the kernel is one of several of equal text in one dispatch (codegen/merge.c): workgroups find their part, and
                   with it their arguments, in a table */
    const Dim *items;     /* of parts: the elements of all their first outputs together; NULL: those of the kernel's own */
    const uint8_t *loose; /* by value id: see loose_values() */
} KernelGen;

/* Bits of what a GPU may do with a value (codegen/loose.c): compute it with the device's own functions; leave it unrounded,
 * though its type has 16 bits. */
enum { LOOSE = 1, LOOSE_UNROUNDED = 2 };
uint8_t *loose_values(Pool *p, const Schedule *s);

/* What memory holds of a constant: of strings their handles. */
const Tensor *stored_tensor(Pool *p, StringTable *strings, const Tensor *t);

/* An invocation of a GPU may compute a strip of neighbouring elements (codegen/strip.c): what differs between them stands in
 * loops over the variable j. */
typedef struct Strip {
    int width;             /* how many; 0: elements are computed one by one */
    const char *name;      /* GLSL's constant for that */
    const Ix *j;           /* which of them */
    bool open;             /* such a loop is open: */
    size_t at;             /*   where in the body it begins, */
    int scopes;            /*   and how many blocks stand around it */
    int vectors, elements; /* loads of whole vectors, and those a lane does by itself: whether all this is worth it */
    int scattered;         /*   of these, such whose neighbours in the strip are none in memory */
} Strip;

/* A map kernel that turns operands round in registers (codegen/tile.c): an element's place is pa along one axis, pb * width +
 * j along the other, and while operands are loaded to_a and to_b. */
enum { TILE_LOADS = 4 };
typedef struct Turn {
    const Ix *pa, *pb, *to_a, *to_b;
    const Dim *width;
    struct TileLoad {
        Value *v;
        const Ix *from;
        const char *name;
        int per; /* elements in a word of the block */
    } load[TILE_LOADS];
    int n;
} Turn;

typedef struct Memo Memo;
struct Shader {
    KernelGen *kg;
    Context *ctx;
    Pool *pool;
    struct {
        char *at;
        size_t n, cap;
    } body, decl;     /* main()'s statements; text before main (shared arrays, helper functions, spec constants) */
    int depth;        /* of blocks: indentation and life of memo entries */
    int next;         /* for fresh names */
    const char *role; /* of the integer arguments made from now on: equal sizes in different roles stay apart, so that layers in
                         which sizes happen to be equal have the same source as others. NULL: shared wherever equal */
    uint32_t features;
    VEC(uint32_t) spec;
    const Dim *grid[3];
    const Dim *when;     /* not 0: for these sizes; NULL: for all */
    bool unroll;         /* SPIRV-Tools is to unroll the loops that are marked (codegen/spirv.c) */
    bool bound;          /* and at others it would be wrong, as it is with */
    bool covers;         /* does the work of Kernel.before as well */
    const Dim *whole[2]; /* sizes that `when` makes multiples of the strip's width */
    int local[3];        /* workgroup size, as literals; 0: local_size ids given by spec constants in decl */
    VEC(Memo) memo;
    VEC(const Ix *) ix; /* hash-consing */
    VEC(struct IxName {
        const Ix *ix;
        const char *name;
        int scope;
    })
    ix_names;
    VEC(int) scopes;        /* ids of the open blocks */
    VEC(const char *) ends; /* beside scopes: the last statement of the block; NULL: none */
    int next_scope;
    const char *lanes; /* rows: GLSL int constant: lanes that share a row; NULL: loops run whole */
    bool columns;      /* rows: neighbouring invocations have neighbouring rows, and the lanes of one row lie apart */
    const Ix *vector;  /* on a CPU driver: the number, below 8, of the vector's lane; NULL */
    const char *lane;
    Strip strip;
    Turn *tile;
    VEC(struct StripLoad {
        const Value *root;
        const Ix *base;
        int bits;
        const char *words;
        int scope; /* -1: kept from pass to pass of a rows kernel */
    })
    strip_loads;
    VEC(const Value *) reduced; /* rows: the reductions that are done */
    bool along;                 /* rows: the lanes lie along the row, not across rows */
    bool first_alone;           /* rows: nobody but a row's first lane goes on with what has been reduced */
    bool trips;                 /* rows: the shared loops make TRIPS trips, and what they load is kept; */
    bool shuffles;              /*   a row's lanes are ones of a subgroup */
    bool exact;                 /*   every lane has a strip in each; columns: as many elements */
    int trip_scopes;            /*   the blocks around a trip */
    VEC(struct IxVar {
        const char *text;
        int scope;
    })
    ix_vars; /* where the variables of indices exist */
    enum {
        TWIN_BOTH,
        TWIN_NATIVE,
        TWIN_PLAIN
    } twin;             /* with native 16- and 64-bit types, without, or both, one after the other */
    const Node *expand; /* emit this node's definition although its value is materialised */
};

/* Statements. Each sh_line is one line, indented. */
void sh_line(Shader *s, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void sh_open(Shader *s, const char *fmt, ...) __attribute__((format(printf, 2, 3))); /* "if (x) {": opens a block */
void sh_else(Shader *s, const char *fmt, ...) __attribute__((format(printf, 2, 3))); /* "} else {" */
void sh_close(Shader *s);
/* Opens for (int NAME = from; NAME < limit; NAME += step) and returns NAME; sh_close() closes it. The test stands at the loop's
 * end: Mesa's lavapipe runs what follows a failed test to the end of the loop with all lanes masked off, but carries out loads
 * whose address is the same in all lanes; with the test in front, they would read beyond the end of what the loop walks over. The
 * number of trips must be the same in all lanes: SwiftShader drops what a lane computed last that leaves such a loop before its
 * neighbours. */
const char *sh_loop(Shader *s, const char *stem, const char *from, const char *limit, const char *step);
void sh_decl(Shader *s, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
const char *sh_fresh(Shader *s, const char *stem); /* stem + number */
const char *sh_printf(Shader *s, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

void sh_text(Shader *s, const char *text, size_t n); /* as it is */
bool sh_scope_open(const Shader *s, int scope);

/* Arguments: each gives the GLSL text that names it; equal ones are shared. */
const char *arg_buffer(Shader *s, Value *v, bool write, const char *type);
const char *arg_scratch(Shader *s, const Dim *bytes); /* memory of the kernel's own, with any contents */
const char *arg_counters(Shader *s, int n);           /* uints that are 0 before the kernel runs, which leaves them 0 */
const char *arg_int(Shader *s, const Dim *d);         /* int expression; 0 and 1 are literals */
const char *arg_size(Shader *s, const Dim *d, const char *role); /* an argument of that role whatever its value */
const char *arg_divisor(Shader *s, const Dim *d);                /* for fastdiv(uint n, uvec3 d) */

/* Scalar classes and storage. */
const char *glsl_class(DType t);                                       /* "float", "int", "uint", "bool", "I64", "U64", "F64" */
char glsl_class_letter(DType t);                                       /* f i u b l m d */
int storage_per_word(const KernelGen *kg, const Value *v);             /* elements in a 32-bit word: 1, 2, 4, 8 */
const char *storage_block(const KernelGen *kg, const Value *v);        /* block type of the buffer v lies in */
const char *emit_load(Shader *s, Value *v, const char *flat);          /* GLSL int -> expression of v's class */
void emit_store(Shader *s, Value *v, const char *flat, const char *x); /* v's elements take whole words */
bool emit_store_rounds(const Shader *s, const Value *v);               /* to 16 bits: rounding right before would be twice */
const char *emit_literal(Shader *s, DType t, double f, int64_t i);
/* A literal of class letter f, i or u as it stands in the text for now (codegen/literals.c). */
const char *literal_mark(Pool *p, char letter, uint32_t bits, const char *text);
const char *emit_cast(Shader *s, DType from, DType to, const char *x, bool saturate);
const char *emit_wrap(Shader *s, DType t, const char *x);      /* an int or uint brought back into the range of a narrower t */
const char *emit_from_bits(Shader *s, DType t, const char *x); /* the inverse */
const char *emit_bits(Shader *s, DType t, const char *x);      /* value as its bits in a uint (types up to 32 bits) */

/* Strip. */
typedef struct Outside {
    Strip strip;
    const char *tail, **ends;
    size_t tail_n;
    int *scopes, n;
} Outside;
/* What variants of strips ask for: a GPU. SwiftShader, which may be told to pass for one, dies of vector loads, and has no large
 * workgroups. */
#define STRIPS (DLVK_FEATURE_WAVE | DLVK_FEATURE_WG512)
void strip_begin(Shader *s, int width, const char *name); /* name: of the constant that it declares */
void strip_open(Shader *s);                               /* a loop over the strip; sh_line() and all else write into it */
void strip_close(Shader *s);
bool strip_direct(const Shader *s);                  /* in such a loop, and in no block within */
bool strip_fixed(const Shader *s, const Ix *a);      /* the same in all lanes, and known before the loop */
bool strip_again(const Shader *s, const Index *idx); /* strip_direct(), and the index can be written in another such loop */
void strip_leave(Shader *s, Outside *o);             /* what is written from now on stands before the loop, which is closed; */
void strip_return(Shader *s, const Outside *o);      /* until now */
/* A variable of that class, with an initial value or NULL, one for `each` lane or for all; what it is called in a loop over the
 * strip. */
const char *strip_declare(Shader *s, const char *class, const char *init, bool each);
/* v's element number flat by a vector load before the loop; NULL: cannot be. */
const char *strip_load(Shader *s, Value *v, const Ix *flat);
/* The same, but the array of words, the first of them at *first, which is "" or "number + ". */
const char *strip_words(Shader *s, Value *v, const Ix *flat, const char **first);
bool strip_wide(Shader *s, const Value *v, const Ix *flat); /* whether lanes are neighbours, so that whole words can be loaded */
const char *strip_part(Shader *s, DType t, const char *word,
                       const char *j); /* element j of a row of narrow ones, out of its word */
/* The same from shared memory; codegen/tile.c. */
const char *tile_load(Shader *s, Value *v, const Ix *flat);
/* Outside of loops over lanes: stores x, a variable that each lane has. False: cannot be. */
bool strip_store(Shader *s, Value *v, const Ix *flat, const char *x);

/* Values. */
const char *emit_value(Shader *s, Value *v, Index idx);
const char *emit_stored(Shader *s, Value *v, Index idx); /* the same for an output that is stored next, which rounds */
void emit_bind(Shader *s, Value *v, Index idx,
               const char *name); /* v at idx is the GLSL variable `name` from here on, in this block */
/* Place p, a variable, becomes 0 where it, or a place before it that is not `inside`, lies beyond `size`; returns what tells. */
const char *emit_clamp(Shader *s, const char *inside, const char *p, const char *size);
const char *emit_point(Shader *s, const Node *n, const char *const *operands);
/* acc (of class t) combined with x by k: statement-ready expression. */
const char *emit_combine(Shader *s, Kind k, DType t, const char *acc, const char *x);
/* rows: acc, one for `each` element of the strip or not, of every lane of the row combined, the same in all; codegen/rows.c */
void emit_lane_reduce(Shader *s, Kind k, DType t, const char *acc, bool each);
const char *emit_identity(Shader *s, Kind k, DType t);
/* rows: a loop dealt out to the row's lanes, and a block for those who have an element and meet `condition`; returns its number.
 */
const Ix *open_shared_loop(Shader *s, const char *condition, const Dim *count);
const char *emit_loop_op(Shader *s, Value *v, Index idx); /* reduce, dot, conv, window, ... as loops */

/* Is v stored, transposes, broadcasts, slices and reshapes apart? Then offset = base + sum of index[axis] *
 * stride[axis]. */
typedef struct Affine {
    Value *buffer; /* storage root; NULL: the kernel's own, of `dim` bytes, or with `dim` NULL counters that begin and end as
                      zeros */
    int64_t bytes; /* of counters */
    const Dim *base;
    const Dim *stride[DLVK_MAX_RANK];
} Affine;
bool value_affine(KernelGen *kg, Value *v, Affine *a);
/* The flat number in root's memory of v's element at idx, v being a view of root (ir/view.h). */
const Ix *emit_view(Shader *s, Value *v, Index idx, const Value *root);

/* Templates: codegen/glsl/NAME with holes @{hole}, each replaced by the text given; a hole alone on a line is indented as the
 * line. */
typedef struct Hole {
    const char *name, *text;
} Hole;
const char *template_fill(Pool *p, const char *name, int n, const Hole *holes);

/* What the eight-lane variants for CPU drivers ask for, of which shader_finish() strikes out what they do not use; and the
 * functions neighbours() and neighbours16() as far as a text calls them. */
#define CPU_VECTORS (DLVK_FEATURE_SCALAR | DLVK_FEATURE_INT64 | DLVK_FEATURE_STORAGE16)
const char *neighbours_used(Pool *p, const char *text);

/* A new variant of the kernel. features: what a device must have beyond the Vulkan 1.3 minimum. */
Shader *shader_new(KernelGen *kg, uint32_t features);
/* The flat workgroup number, for grids whose x is folded into y (see plan.proto): GLSL uint. */
#define GROUP_INDEX "(gl_WorkGroupID.x + gl_WorkGroupID.y * gl_NumWorkGroups.x)"
/* The same for archetypes that may be parts of a dispatch: within the part. */
const char *group_number(const Shader *s);
/* Of a part: the argument that says how many workgroups of the variant come before its own; the parts take theirs in turn. */
void arg_first_group(KernelGen *kg, int variant, const Dim *first);
/* Text of the whole source: extensions, prelude functions used, argument block, declarations, main(). After all variants are
 * written. */
void shader_finish(Shader *s, KernelVariant *out);

/* Archetypes: fill kg->variants. False: an error is recorded. */
bool gen_map(KernelGen *kg);
bool gen_tiles(KernelGen *kg);     /* a variant of map; false: none, and no error */
bool gen_strips(KernelGen *kg);    /* the same, and of small convolutions: neighbours of the result by one invocation of a GPU */
bool gen_depthwise(KernelGen *kg); /* the same; codegen/contract_depthwise.c */
/* Variants of a contraction that do the work of Kernel.before as well, if there are any; codegen/contract_expand.c. They share no
 * arguments with the others. */
void gen_expand(KernelGen *kg);
bool gen_rows(KernelGen *kg);
bool gen_contract(KernelGen *kg);  /* codegen/contract.c */
bool gen_attention(KernelGen *kg); /* codegen/attention.c */
bool gen_sort(KernelGen *kg);
bool gen_scatter(KernelGen *kg);
bool gen_compact(KernelGen *kg);
bool gen_cumulate(KernelGen *kg);

#endif
