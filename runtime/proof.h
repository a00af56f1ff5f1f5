/* The self-test of kernels on matrix units: drivers have got such code wrong, so it is used only where it has been seen right.
 *
 * A pipeline of that kind begins as untried. The first dispatch that would run it runs it beside the first variant that needs no
 * matrix units, on the same operands: the run goes on with what the latter computed, and the host compares the two. What comes
 * out holds for all sessions of the model, and is kept in its cache file for the device and driver; with it, nothing is tried
 * again. What was wrong is as if the device could not run it. A session's first run, if it tried anything, is done again. */
#ifndef DLVK_RUNTIME_PROOF_H
#define DLVK_RUNTIME_PROOF_H

#include "runtime/session.h"

enum { PROOF_SAVED = 8, PROOF_SPREAD = 8, PROOF_PIECES = PROOF_SAVED * PROOF_SPREAD };

/* What is copied of the buffers that are compared: as the variant on trial leaves them, as the other one does, and as they were.
 */
typedef enum ProofCopy { PROOF_GOT, PROOF_WANT, PROOF_BEFORE, PROOF_COPIES } ProofCopy;

/* One pipeline on trial in a recorded segment. */
typedef struct Proof {
    uint32_t pipeline, step;
    uint64_t results, size; /* in Recorded.results: where its copies lie, and the bytes of each */
    unsigned char verdict;
    bool seen; /* some of what it writes lay in what was compared */
    struct {
        uint64_t at, bytes;
        uint32_t dtype;
        bool part; /* others write the rest of the buffer */
    } piece[PROOF_PIECES];
    int pieces;
    Memory saved[PROOF_SAVED]; /* by written buffer: what an in-place kernel read, and what is others' */
} Proof;

/* Whether variant v has yet to show that it is right. */
bool proof_wanted(const dlvk_session *s, const Dlvk__Plan__Variant *v);
/* Whether a run may hold trials: any pipeline of the model has, or had when the session recorded it. */
bool proof_awaited(const dlvk_session *s);
/* Copies all states to `kept`, which it makes, or back from there. Waits for it. */
dlvk_status proof_keep_states(dlvk_session *s, Memory *kept, bool back, dlvk_error *err);
/* Adds a trial of what a step of the segment would run, unless another step tries the same pipeline. */
dlvk_status proof_add(dlvk_session *s, Recorded *r, uint32_t step, const Dlvk__Plan__Variant *v, dlvk_error *err);
/* Memory for the results of all the segment's trials. */
dlvk_status proof_memory(dlvk_session *s, Recorded *r, dlvk_error *err);
/* The step's trial; NULL: none, as where it writes nothing that can be compared. */
const Proof *proof_of(const Recorded *r, uint32_t step);
/* Commands, with barriers around them: keep what d writes over; fetch its results, and behind those of the variant on trial put
 * back what was there. */
void proof_save(const dlvk_session *s, const Recorded *r, const Proof *p, const Dlvk__Plan__Dispatch *d, VkCommandBuffer cmd);
void proof_fetch(const dlvk_session *s, const Recorded *r, const Proof *p, const Dlvk__Plan__Dispatch *d, VkCommandBuffer cmd,
                 ProofCopy which);
/* After the segment has run: compares, and remembers. */
void proof_judge(dlvk_session *s, Recorded *r);
void proof_free(dlvk_session *s, Recorded *r);

#endif
