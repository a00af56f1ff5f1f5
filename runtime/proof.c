/* The self-test of kernels on matrix units; see proof.h. */
#include "runtime/proof.h"
#include "runtime/cache_file.h"
#include "runtime/crc32c.h"
#include "runtime/error.h"
#include "runtime/parallel.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef Dlvk__Plan__Dispatch Dispatch;
typedef Dlvk__Plan__Variant Variant;

/* Of a buffer that is larger, the beginning and the end are compared, half as much each; of one that has parts, and so that each
 * is likely to be met, PROOF_SPREAD places. */
enum { WINDOW = 1 << 18 };

/* ---- what is known ------------------------------------------------------------------------------------------------- */

/* An entry of the section in the cache file. */
typedef struct Entry {
    uint32_t code, constants; /* CRC-32C of SPIR-V and specialization constants */
    uint32_t length, verdict;
} Entry;

static Entry entry_of(const dlvk_model *m, uint32_t pipeline)
{
    const Dlvk__Plan__Pipeline *p = m->plan->pipeline[pipeline];
    const Dlvk__Plan__Blob *blob = m->plan->blob[m->plan->module[p->module]->blob];
    return (Entry){.code = blob->crc,
                   .constants = rt_crc32c(0, p->spec, p->n_spec * sizeof *p->spec),
                   .length = (uint32_t)blob->length,
                   .verdict = atomic_load(&m->verdict[pipeline])};
}

static bool same_kernel(const Entry *a, const Entry *b)
{
    return a->code == b->code && a->constants == b->constants && a->length == b->length;
}

static void read_entries(const dlvk_model *m, CacheFile *c)
{
    uint8_t key[CACHE_KEY];
    const uint32_t id[4] = {m->dev->info.vendor_id, m->dev->info.device_id, m->dev->driver_number, 2}; /* 2: proofs */
    memcpy(key, id, 16);
    memcpy(key + 16, m->dev->cache_uuid, 16);
    rt_cache_read(m->cache, key, c);
}

bool model_on_matrices(const dlvk_model *m, const Variant *v)
{
    return (m->plan->module[m->plan->pipeline[v->pipeline]->module]->features & DLVK_FEATURE_COOPMAT) != 0;
}

bool model_on_trial(const dlvk_model *m, const Variant *v)
{
    return model_on_matrices(m, v) && atomic_load(&m->verdict[v->pipeline]) == VERDICT_OPEN;
}

dlvk_status model_verdicts(dlvk_model *m, const char *cache, dlvk_error *err)
{
    m->verdict = calloc(m->plan->n_pipeline + 1, sizeof *m->verdict);
    m->cache = cache ? strdup(cache) : NULL;
    if (!m->verdict || (cache && !m->cache)) return rt_error(err, DLVK_OUT_OF_MEMORY, "out of memory");
    CacheFile c;
    read_entries(m, &c);
    for (uint32_t i = 0; c.size && i < m->plan->n_pipeline; i++) {
        const Entry mine = entry_of(m, i);
        for (size_t at = 0; at + sizeof(Entry) <= c.size; at += sizeof(Entry)) {
            Entry e;
            memcpy(&e, rt_cache_data(&c) + at, sizeof e);
            if (same_kernel(&mine, &e) && e.verdict <= VERDICT_WRONG) atomic_store(&m->verdict[i], (unsigned char)e.verdict);
        }
    }
    rt_cache_free(&c);
    return DLVK_OK;
}

/* Adds the verdicts of some trials to those in the file. */
static void remember(const dlvk_model *m, const Proof *proof, uint32_t n_proof)
{
    CacheFile c;
    if (!m->cache) return;
    read_entries(m, &c);
    size_t n = c.size / sizeof(Entry);
    Entry *list = malloc((n + n_proof + 1) * sizeof *list);
    if (list && n) memcpy(list, rt_cache_data(&c), n * sizeof *list);
    for (uint32_t k = 0; list && k < n_proof; k++) {
        if (proof[k].verdict == VERDICT_OPEN) continue;
        const Entry mine = entry_of(m, proof[k].pipeline);
        size_t i = 0;
        while (i < n && !same_kernel(&list[i], &mine)) i++;
        list[i] = mine;
        n += i == n;
    }
    if (list) rt_cache_write(m->cache, &c, list, n * sizeof *list);
    free(list);
    rt_cache_free(&c);
}

int dlvk_model_wrong_kernels(const dlvk_model *m, const char **name)
{
    int n = 0;
    for (uint32_t s = 0; m && s < m->n_step; s++) {
        const Dispatch *d = m->step[s]->kind_case == DLVK__PLAN__STEP__KIND_DISPATCH ? m->step[s]->dispatch : NULL;
        bool wrong = false;
        for (size_t v = 0; d && v < d->n_variant; v++)
            wrong |= atomic_load(&m->verdict[d->variant[v]->pipeline]) == VERDICT_WRONG;
        if (wrong && !n++ && name) *name = d->name;
    }
    return n;
}

/* ---- a trial ------------------------------------------------------------------------------------------------------- */

bool proof_wanted(const dlvk_session *s, const Variant *v)
{
    return !s->chosen && model_on_trial(s->m, v);
}

bool proof_awaited(const dlvk_session *s)
{
    const dlvk_model *m = s->m;
    for (uint32_t i = 0; i < m->n_segment; i++)
        if (s->rec[i].n_proof) return true; /* recorded, even where another session has settled it since */
    for (uint32_t i = 0; i < m->n_step; i++) {
        const Dispatch *d = m->step[i]->kind_case == DLVK__PLAN__STEP__KIND_DISPATCH ? m->step[i]->dispatch : NULL;
        for (size_t v = 0; d && v < d->n_variant; v++)
            if (model_runs(m, d->variant[v]) && model_on_trial(m, d->variant[v])) return true;
    }
    return false;
}

dlvk_status proof_keep_states(dlvk_session *s, Memory *kept, bool back, dlvk_error *err)
{
    const Dlvk__Plan__Plan *p = s->m->plan;
    uint64_t bytes = 0, at = 0;
    OneTime once;
    for (size_t i = 0; i < p->n_state; i++) bytes += (s->slice[p->state[i]->buffer].size + 15) / 16 * 16;
    if (!bytes) return DLVK_OK;
    dlvk_status st = back ? DLVK_OK : vk_memory_new(s->dev, MEMORY_DEVICE, bytes, "states during a self-test", kept, err);
    if (!st) st = vk_one_time_begin(s->dev, &once, err);
    if (st) return st;
    for (size_t i = 0; i < p->n_state; i++) {
        const Slice *x = &s->slice[p->state[i]->buffer];
        if (!x->size) continue;
        if (back)
            vkCmdCopyBuffer(once.cmd, kept->buffer, x->buffer, 1,
                            &(VkBufferCopy){.srcOffset = at, .dstOffset = x->offset, .size = x->size});
        else
            vkCmdCopyBuffer(once.cmd, x->buffer, kept->buffer, 1,
                            &(VkBufferCopy){.srcOffset = x->offset, .dstOffset = at, .size = x->size});
        at += (x->size + 15) / 16 * 16;
    }
    return vk_one_time_end(s->dev, &once, err);
}

static uint32_t float_bytes(uint32_t dtype)
{
    return dtype == DLVK_F32 ? 4 : dtype == DLVK_F16 || dtype == DLVK_BF16 ? 2 : 0;
}

static bool read_too(const dlvk_session *s, const Dispatch *d, const Slice *written)
{
    bool found = false;
    for (size_t i = 0; i < d->n_reads; i++) {
        const Slice *x = &s->slice[d->reads[i]];
        found |= x->address < written->address + written->size && written->address < x->address + x->size;
    }
    return found;
}

static void add_piece(Proof *p, const Dlvk__Plan__Buffer *b, uint64_t at, uint64_t bytes)
{
    p->piece[p->pieces].at = at;
    p->piece[p->pieces].bytes = bytes;
    p->piece[p->pieces].part = b->parts;
    p->piece[p->pieces++].dtype = b->dtype - 1;
    p->size += (bytes + 15) / 16 * 16;
}

/* Whether a kernel's results there can be compared: not in scratch. */
static bool is_compared(const dlvk_session *s, uint32_t buffer)
{
    const Dlvk__Plan__Buffer *b = s->m->plan->buffer[buffer];
    return s->slice[buffer].size && b->dtype && float_bytes(b->dtype - 1);
}

static int pieces_of(const Dlvk__Plan__Buffer *b, const Slice *x)
{
    return x->size <= WINDOW ? 1 : b->parts ? PROOF_SPREAD : 2;
}

dlvk_status proof_add(dlvk_session *s, Recorded *r, uint32_t step, const Variant *v, dlvk_error *err)
{
    const Dispatch *d = s->m->step[step]->dispatch;
    for (uint32_t i = 0; i < r->n_proof; i++)
        if (r->proof[i].pipeline == v->pipeline) return DLVK_OK;
    if (d->n_writes > PROOF_SAVED) return DLVK_OK;
    Proof *more = realloc(r->proof, (r->n_proof + 1) * sizeof *more);
    if (!more) return rt_error(err, DLVK_OUT_OF_MEMORY, "out of memory");
    r->proof = more;
    Proof *p = &more[r->n_proof++];
    *p = (Proof){.pipeline = v->pipeline, .step = step};
    dlvk_status st = DLVK_OK;
    for (size_t i = 0; !st && i < d->n_writes; i++) {
        const Slice *x = &s->slice[d->writes[i]];
        const Dlvk__Plan__Buffer *b = s->m->plan->buffer[d->writes[i]];
        bool compared = is_compared(s, d->writes[i]);
        uint64_t n = compared ? pieces_of(b, x) : 0, bytes = n == 1 ? x->size : n ? WINDOW / n : 0;
        for (uint64_t k = 0; k < n; k++) add_piece(p, b, n == 1 ? 0 : (x->size - bytes) / (n - 1) * k / 4 * 4, bytes);
        bool kept = x->size && b->dtype && (b->parts || read_too(s, d, x));
        if (kept) st = vk_memory_new(s->dev, MEMORY_DEVICE, x->size, "a self-test", &p->saved[i], err);
    }
    if (st || p->size) return st;
    for (int k = 0; k < PROOF_SAVED; k++) vk_memory_free(s->dev, &p->saved[k]); /* nothing to compare: no trial */
    r->n_proof--;
    return DLVK_OK;
}

dlvk_status proof_memory(dlvk_session *s, Recorded *r, dlvk_error *err)
{
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < r->n_proof; i++) {
        r->proof[i].results = bytes;
        bytes += PROOF_COPIES * r->proof[i].size;
    }
    return bytes ? vk_memory_new(s->dev, MEMORY_DOWNLOAD, bytes, "a self-test", &r->results, err) : DLVK_OK;
}

const Proof *proof_of(const Recorded *r, uint32_t step)
{
    for (uint32_t i = 0; i < r->n_proof; i++)
        if (r->proof[i].step == step) return &r->proof[i];
    return NULL;
}

/* The pieces to be compared, as they are now. */
static void fetch(const dlvk_session *s, const Recorded *r, const Proof *p, const Dispatch *d, VkCommandBuffer cmd,
                  ProofCopy which)
{
    uint64_t to = p->results + which * p->size;
    int piece = 0;
    for (size_t i = 0; i < d->n_writes; i++) {
        const Slice *x = &s->slice[d->writes[i]];
        if (!is_compared(s, d->writes[i])) continue;
        for (int k = pieces_of(s->m->plan->buffer[d->writes[i]], x); k > 0; k--, piece++) {
            const VkBufferCopy copy = {
                .srcOffset = x->offset + p->piece[piece].at, .dstOffset = to, .size = p->piece[piece].bytes};
            vkCmdCopyBuffer(cmd, x->buffer, r->results.buffer, 1, &copy);
            to += (copy.size + 15) / 16 * 16;
        }
    }
}

void proof_save(const dlvk_session *s, const Recorded *r, const Proof *p, const Dispatch *d, VkCommandBuffer cmd)
{
    vk_full_barrier(cmd);
    fetch(s, r, p, d, cmd, PROOF_BEFORE);
    for (size_t i = 0; i < d->n_writes; i++) {
        const Slice *x = &s->slice[d->writes[i]];
        if (p->saved[i].size)
            vkCmdCopyBuffer(cmd, x->buffer, p->saved[i].buffer, 1, &(VkBufferCopy){.srcOffset = x->offset, .size = x->size});
    }
    vk_full_barrier(cmd);
}

void proof_fetch(const dlvk_session *s, const Recorded *r, const Proof *p, const Dispatch *d, VkCommandBuffer cmd,
                 ProofCopy which)
{
    vk_full_barrier(cmd);
    fetch(s, r, p, d, cmd, which);
    vk_full_barrier(cmd);
    if (which == PROOF_WANT) return;
    for (size_t i = 0; i < d->n_writes; i++) {
        const Slice *x = &s->slice[d->writes[i]];
        if (p->saved[i].size)
            vkCmdCopyBuffer(cmd, p->saved[i].buffer, x->buffer, 1, &(VkBufferCopy){.dstOffset = x->offset, .size = x->size});
    }
    /* Whatever the variant on trial has left in its counters. */
    for (size_t i = 0; i < d->n_reads; i++) {
        const Slice *x = &s->slice[d->reads[i]];
        if (s->m->plan->buffer[d->reads[i]]->kind == DLVK__PLAN__BUFFER__KIND__COUNTER && x->size)
            vkCmdFillBuffer(cmd, x->buffer, x->offset, x->size / 4 * 4, 0);
    }
    vk_full_barrier(cmd);
}

/* ---- the verdict --------------------------------------------------------------------------------------------------- */

/* Infinities as the largest number that f16 has, beyond which its results may end. */
static float element(uint32_t dtype, const uint8_t *at)
{
    uint32_t bits = 0;
    float x;
    memcpy(&bits, at, float_bytes(dtype));
    if (dtype == DLVK_F16) {
        if ((bits & 0x7fff) > 0x7c00) return NAN;
        uint32_t wide = (bits & 0x8000) << 16 | (bits & 0x7fff) << 13;
        memcpy(&x, &wide, 4);
        x *= 0x1p112f; /* the exponents' offsets differ by 112 */
        return fminf(fmaxf(x, -65504), 65504);
    }
    if (dtype == DLVK_BF16) bits <<= 16;
    memcpy(&x, &bits, 4);
    return isinf(x) ? copysignf(65504, x) : x;
}

/* Where the roundings differ, a mask that is computed from the sum may differ here and there. */
enum { FEW = 256 };

static void compare(void *user, int trial)
{
    const Recorded *r = user;
    Proof *p = &r->proof[trial];
    const uint8_t *got = r->results.map + p->results, *want = got + p->size, *before = want + p->size;
    for (int k = 0; k < p->pieces; k++) {
        uint32_t dtype = p->piece[k].dtype, step = float_bytes(dtype);
        uint64_t bytes = p->piece[k].bytes, bad = 0, n = 0;
        float scale = 0;
        for (int pass = 0; pass < 2; pass++)
            for (uint64_t i = 0; i < bytes; i += step) {
                /* Of a buffer whose rest others write, what neither changes is not theirs. */
                if (p->piece[k].part && !memcmp(want + i, before + i, step) && !memcmp(got + i, before + i, step)) continue;
                float a = element(dtype, got + i), b = element(dtype, want + i);
                if (pass) {
                    bad += !isnan(b) && !(fabsf(a - b) <= 1e-2f * scale);
                    n++;
                } else if (fabsf(b) > scale) {
                    scale = fabsf(b);
                }
            }
        p->seen |= n > 0;
        if (bad * FEW > n)
            p->verdict = VERDICT_WRONG;
        else if (scale > 0 && p->verdict == VERDICT_OPEN)
            p->verdict = VERDICT_RIGHT;
        got += (bytes + 15) / 16 * 16;
        want += (bytes + 15) / 16 * 16;
        before += (bytes + 15) / 16 * 16;
    }
}

void proof_judge(dlvk_session *s, Recorded *r)
{
    rt_parallel(0, (int)r->n_proof, compare, r);
    /* Once wrong is wrong: another session may have judged the same kernel by other data since this one was recorded. Zeros say
     * little: good enough for this process, but not for the file. Nothing at all says nothing: such a kernel is not used. */
    for (uint32_t i = 0; i < r->n_proof; i++) {
        unsigned char open = VERDICT_OPEN;
        if (r->proof[i].verdict == VERDICT_WRONG)
            atomic_store(&s->m->verdict[r->proof[i].pipeline], VERDICT_WRONG);
        else
            atomic_compare_exchange_strong(&s->m->verdict[r->proof[i].pipeline], &open,
                                           r->proof[i].seen ? VERDICT_RIGHT : VERDICT_UNSEEN);
    }
    remember(s->m, r->proof, r->n_proof);
    proof_free(s, r);
    s->tried = true;
    s->generation++;
}

void proof_free(dlvk_session *s, Recorded *r)
{
    vk_memory_free(s->dev, &r->results);
    for (uint32_t i = 0; i < r->n_proof; i++)
        for (int k = 0; k < PROOF_SAVED; k++) vk_memory_free(s->dev, &r->proof[i].saved[k]);
    free(r->proof);
    r->proof = NULL;
    r->n_proof = 0;
}
