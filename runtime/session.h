/* A session: one set of input sizes bound to memory and to recorded commands.
 *
 *     set_input -> bind.c: sizes, memory -> record.c: command buffers -> run.c: submitting them, taking the host's decisions
 *
 * Completion is counted by one timeline semaphore: `submitted` is the value the latest submission will signal, `completed` what
 * is known to have been reached. */
#ifndef DLVK_RUNTIME_SESSION_H
#define DLVK_RUNTIME_SESSION_H

#include "runtime/expr.h"
#include "runtime/model.h"
#include "runtime/strings.h"

/* Buffers packed together: a range of offsets cut into allocations of at most `limit`. */
typedef struct Space {
    Memory *chunk;
    uint32_t n;
    uint64_t limit;
} Space;

typedef struct Input {
    Memory mem, staging; /* staging: where the host cannot write to mem */
    int64_t dim[DLVK_MAX_RANK];
    size_t bytes;
    bool set, dirty; /* dirty: staging is newer than mem */
    VkCommandBuffer upload;
    uint64_t upload_bytes;              /* that the command buffer copies */
    dlvk_string *strings, *old_strings; /* of an input of strings, in one allocation with their texts; and the ones before */
} Input;

/* A buffer whose size depends on a data symbol. */
typedef struct Dynamic {
    uint32_t buffer;
    Memory mem;
    bool live; /* it has had a size in this run */
} Dynamic;

typedef struct HostBlock HostBlock;

/* A dispatch as it was recorded. */
typedef struct Ran {
    uint32_t grid[3];
    uint32_t by; /* 1 + the step that does its work (Variant.covers); 0: it runs */
} Ran;

/* The commands of one segment. */
typedef struct Recorded {
    VkCommandBuffer cmd;
    uint64_t generation; /* of the session when it was recorded; 0: never */
    int64_t *symbol;     /* values of the segment's data symbols then */
    Memory args;         /* of dispatches with indirect arguments */
    VkQueryPool queries; /* two a dispatch, when profiling */
    Ran *ran;            /* by step of the segment; of dispatches */
    uint64_t ticket;     /* of its latest submission */
    struct Proof *proof; /* what it tries besides (proof.h) */
    uint32_t n_proof;
    Memory results; /* of the trials */
} Recorded;

enum { SMALL_COMMANDS = 16 };
/* Bytes up to which a run ends with an output's copy for the host, which takes less time than another submission. */
enum { DOWNLOAD_AT_ONCE = 1 << 18 };

struct dlvk_session {
    dlvk_model *m;
    dlvk_device *dev;
    Env env;
    dlvk_session *next;  /* the sessions on the same states, in a ring */
    bool bound, ran;     /* ran: outputs are there */
    bool tried;          /* the last run had trials (proof.h) */
    uint64_t generation; /* raised whenever recorded addresses or sizes become stale */

    uint32_t *choice; /* by step: 1 + the variant of a dispatch that runs instead of the default; 0: none */
    bool chosen;      /* by the caller, not by a tuning */

    Slice *slice; /* by buffer */
    Space outputs, states, counters, prepared;
    uint64_t prepared_generation;    /* of the session when the prepared steps ran last; 0: never */
    Space own_arena, *arena;         /* sessions on the same states share one: that of the first of them */
    uint64_t arena_bytes;            /* of it, for the sizes bound */
    uint64_t planned_arena, planned; /* for the sizes bound: bytes */
    Input *input;
    Dynamic *dynamic;
    uint32_t n_dynamic;
    bool has_data_symbols;
    Memory readback;       /* for host decisions, where the host cannot read the device's memory */
    Memory download;       /* of the small outputs, likewise; the others are read when they are asked for */
    uint64_t *download_at; /* by output; UINT64_MAX: not in there */

    VkCommandPool pool;
    VkSemaphore timeline;
    uint64_t submitted, completed;
    VkCommandBuffer begin, end, sync; /* sync: everything before is visible to the host */
    uint64_t end_generation;
    VkCommandBuffer small[SMALL_COMMANDS]; /* a ring for commands that carry a value */
    uint64_t small_ticket[SMALL_COMMANDS];
    uint32_t next_small;
    VkQueryPool queries; /* start and end of a run */
    Recorded *rec;       /* by segment */
    VkCommandBufferSubmitInfo *pending;
    uint32_t n_pending, cap_pending;
    uint32_t *flight; /* segments submitted and not known to be done, for the message of a lost device */
    uint32_t n_flight, cap_flight;

    StringTable strings;
    uint32_t own_strings, kept_strings; /* how many are the model's, and with them the inputs' */
    bool strings_stale;                 /* an input has others than the table */
    HostBlock *host_memory;             /* of host steps of the latest run */

    bool profile;
    dlvk_kernel_time *times;
    char **nodes; /* twice by step, for what it does alone and where it does others' work: the text of dlvk_kernel_time.nodes */
    uint32_t n_times, cap_times;
};

/* bind.c */
dlvk_status session_bind(dlvk_session *s, dlvk_error *err);
/* Gives memory to buffers whose sizes have become known or have changed. */
dlvk_status session_bind_dynamic(dlvk_session *s, dlvk_error *err);
dlvk_status session_states(dlvk_session *s, dlvk_error *err);
dlvk_status session_counters(dlvk_session *s, dlvk_error *err);
dlvk_status session_share_states(dlvk_session *s, const dlvk_session *with, dlvk_error *err);
void space_free(dlvk_session *s, Space *sp);
uint64_t space_bytes(const Space *sp);
/* The dims of an output and the bytes they take; checks that its buffer holds them. */
dlvk_status session_output_dims(const dlvk_session *s, uint32_t i, int64_t *dim, size_t *bytes, dlvk_error *err);
/* Bytes of a dense tensor; false: a negative dim, or more than memory can hold. */
bool tensor_bytes(dlvk_dtype t, size_t rank, const int64_t *dim, size_t *bytes);

/* tuning.c: of the sizes just bound */
void session_tune(dlvk_session *s);

/* record.c */
/* What a dispatch runs at the sizes there are. */
dlvk_status session_variant(const dlvk_session *s, uint32_t step, const Dlvk__Plan__Variant **v, dlvk_error *err);
/* Builds what the steps will run whose sizes are known. */
dlvk_status session_pipelines(dlvk_session *s, dlvk_error *err);
dlvk_status session_record(dlvk_session *s, uint32_t segment, dlvk_error *err);
dlvk_status session_record_ends(dlvk_session *s, dlvk_error *err);
dlvk_status session_record_upload(dlvk_session *s, uint32_t input, dlvk_error *err);
dlvk_status command_begin(VkCommandBuffer cmd, bool reused_in_flight, dlvk_error *err);
dlvk_status command_end(VkCommandBuffer cmd, dlvk_error *err);

/* run.c */
dlvk_status session_flush(dlvk_session *s, dlvk_error *err); /* submits what is pending */
dlvk_status session_wait_for(dlvk_session *s, uint64_t ticket, uint64_t timeout_ns, bool *done, dlvk_error *err);
dlvk_status session_drain(dlvk_session *s, dlvk_error *err); /* flush, and wait for everything */

typedef struct BufferRead {
    uint32_t buffer;
    void *to;
    uint64_t bytes;
} BufferRead;
/* Waits for all that has been recorded so far and reads the first bytes of some buffers. */
dlvk_status session_read(dlvk_session *s, const BufferRead *r, size_t n, const char *who, dlvk_error *err);
/* Data symbols have been defined: constraints are checked, and buffers get memory. */
dlvk_status session_symbols_changed(dlvk_session *s, dlvk_error *err);

/* host.c */
dlvk_status session_host_step(dlvk_session *s, const Dlvk__Plan__Host *h, const dlvk_host_op *op, dlvk_error *err);
dlvk_status session_strings_init(dlvk_session *s, dlvk_error *err);
void session_strings_free(dlvk_session *s);
dlvk_status session_strings_begin(dlvk_session *s, dlvk_error *err); /* at the start of a run: forgets the last one's */
dlvk_status input_strings(dlvk_session *s, Input *in, const char *name, const dlvk_string *x, size_t n, dlvk_error *err);
dlvk_status session_strings_get(const dlvk_session *s, const void *handles, size_t n, dlvk_string *out, const char *who,
                                dlvk_error *err);

/* profile.c */
dlvk_status profile_collect(dlvk_session *s, uint32_t segment, dlvk_error *err);
void profile_free(dlvk_session *s);

#endif
