/* Weights on the device: few large allocations, filled once. */
#include "runtime/arena.h"
#include "runtime/error.h"
#include "runtime/footprint.h"
#include "runtime/model.h"
#include "runtime/parallel.h"
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* Bytes from..from+n of `length` bytes repeated for ever. */
static void copy_repeated(uint8_t *to, const uint8_t *data, uint64_t length, uint64_t from, uint64_t n)
{
    uint64_t phase = from % length;
    uint64_t head = length - phase < n ? length - phase : n;
    memcpy(to, data + phase, head);
    if (head == n) return;
    uint64_t done = head;
    if (length == 1) {
        memset(to + done, data[0], n - done);
        return;
    }
    uint64_t period = length < n - done ? length : n - done; /* one whole period, then doubling copies of what is written */
    memcpy(to + done, data, period);
    uint8_t *start = to + done;
    for (uint64_t have = period, left = n - done; have < left;) {
        uint64_t k = have < left - have ? have : left - have;
        memcpy(start + have, start, k);
        have += k;
    }
}

/* ---- pieces that all threads copy ----------------------------------------------------------------------------------- */

typedef struct Piece {
    uint8_t *to;
    const Upload *up;
    uint64_t from, n; /* of the upload's bytes */
} Piece;

enum { PIECE = 4 << 20, STAGING = 32 << 20 };

static void copy_piece(void *user, int i)
{
    const Piece *p = (const Piece *)user + i;
    copy_repeated(p->to, p->up->data, p->up->length, p->from, p->n);
}

/* Room for the pieces of all that is uploaded, or of what fits into staging memory. */
static Piece *pieces_for(const Upload *list, size_t n, dlvk_error *err)
{
    size_t pieces = 1;
    for (size_t i = 0; i < n; i++) pieces += (size_t)(list[i].bytes / PIECE) + 2;
    Piece *piece = pieces < INT32_MAX ? malloc(pieces * sizeof *piece) : NULL;
    if (!piece) rt_error(err, DLVK_OUT_OF_MEMORY, "out of memory");
    return piece;
}

/* ---- where the host sees the device's memory ---------------------------------------------------------------------- */

static dlvk_status upload_mapped(const Upload *list, size_t n, int threads, dlvk_error *err)
{
    Piece *piece = pieces_for(list, n, err);
    if (!piece) return DLVK_OUT_OF_MEMORY;
    int k = 0;
    for (size_t i = 0; i < n; i++)
        for (uint64_t at = 0; at < list[i].bytes; at += PIECE)
            piece[k++] = (Piece){list[i].to.map + at, &list[i], at, list[i].bytes - at < PIECE ? list[i].bytes - at : PIECE};
    rt_parallel(threads, k, copy_piece, piece);
    free(piece);
    return DLVK_OK;
}

/* ---- through staging memory ---------------------------------------------------------------------------------------- */

static dlvk_status upload_staged(dlvk_device *d, const Upload *list, size_t n, int threads, dlvk_error *err)
{
    uint64_t total = 0;
    for (size_t i = 0; i < n; i++) total += list[i].bytes;
    if (!total) return DLVK_OK;
    Piece *piece = pieces_for(list, n, err);
    if (!piece) return DLVK_OUT_OF_MEMORY;
    uint64_t room = total < STAGING ? total : STAGING;
    Memory staging = {0};
    dlvk_status st = vk_memory_new(d, MEMORY_UPLOAD, room, "staging memory", &staging, err);
    size_t i = 0;
    uint64_t from = 0; /* in list[i] */
    while (!st && i < n) {
        OneTime once;
        int pieces = 0;
        st = vk_one_time_begin(d, &once, err);
        if (st) break;
        for (uint64_t used = 0; i < n && used < room;) {
            const Upload *u = &list[i];
            uint64_t k = u->bytes - from;
            if (k > room - used) k = room - used;
            if (k > PIECE) k = PIECE;
            if (k) {
                piece[pieces++] = (Piece){staging.map + used, u, from, k};
                const VkBufferCopy copy = {.srcOffset = used, .dstOffset = u->to.offset + from, .size = k};
                vkCmdCopyBuffer(once.cmd, staging.buffer, u->to.buffer, 1, &copy);
            }
            used += k;
            from += k;
            if (from == u->bytes) i++, from = 0;
        }
        rt_parallel(threads, pieces, copy_piece, piece);
        st = vk_one_time_end(d, &once, err);
    }
    vk_memory_free(d, &staging);
    free(piece);
    return st;
}

dlvk_status vk_upload(dlvk_device *d, const Upload *list, size_t n, int threads, dlvk_error *err)
{
    return d->unified ? upload_mapped(list, n, threads, err) : upload_staged(d, list, n, threads, err);
}

/* ---- a model's constants ------------------------------------------------------------------------------------------- */

/* Sets chunk index and offset of every constant; equal ones share. */
typedef struct Place {
    uint32_t chunk;
    uint64_t offset;
    bool shared;
} Place;

static dlvk_status place_all(dlvk_model *m, Place *place, uint64_t *chunk_size, dlvk_error *err)
{
    const Dlvk__Plan__Plan *p = m->plan;
    const uint64_t most = m->dev->info.max_allocation_bytes, limit = most < 1u << 30 ? most : 1u << 30;
    uint32_t *owner = calloc(p->n_buffer + 1, sizeof *owner), *of_blob = calloc(p->n_blob + 1, sizeof *of_blob);
    dlvk_status st = owner && of_blob ? DLVK_OK : rt_error(err, DLVK_OUT_OF_MEMORY, "out of memory");
    uint64_t used = 0;
    if (!st) rt_constant_owners(p, owner, of_blob);
    for (uint32_t i = 0; i < p->n_buffer && !st; i++) {
        const Dlvk__Plan__Buffer *b = p->buffer[i];
        if (b->kind != DLVK__PLAN__BUFFER__KIND__CONSTANT) continue;
        uint64_t size = (uint64_t)p->expr[b->size]->value;
        if (owner[i] != i) {
            place[i] = place[owner[i]];
            place[i].shared = true;
            continue;
        }
        if (size > most) {
            st = rt_error(err, DLVK_UNSUPPORTED,
                          "weight '%s' takes %" PRIu64 " bytes; device '%s' allocates at most %" PRIu64 " at once", b->name, size,
                          m->dev->info.name, most);
            break;
        }
        if ((st = rt_check_elements(b, size, err))) break;
        size = arena_round_up(size);
        if (size > most) size = most; /* the last bytes of an allocation need no padding */
        if (used && used + size > limit) {
            m->n_chunk++;
            used = 0;
        }
        place[i] = (Place){.chunk = m->n_chunk, .offset = used};
        used += size;
        chunk_size[m->n_chunk] = used;
    }
    if (used) m->n_chunk++;
    free(owner);
    free(of_blob);
    return st;
}

dlvk_status model_weights(dlvk_model *m, int threads, dlvk_error *err)
{
    const Dlvk__Plan__Plan *p = m->plan;
    size_t n = p->n_buffer;
    m->weight = calloc(n + 1, sizeof *m->weight);
    m->chunk = calloc(n + 1, sizeof *m->chunk);
    Place *place = calloc(n + 1, sizeof *place);
    uint64_t *chunk_size = calloc(n + 1, sizeof *chunk_size);
    Upload *up = calloc(n + 1, sizeof *up);
    dlvk_status st =
        m->weight && m->chunk && place && chunk_size && up ? DLVK_OK : rt_error(err, DLVK_OUT_OF_MEMORY, "out of memory");
    if (!st) st = place_all(m, place, chunk_size, err);
    for (uint32_t c = 0; !st && c < m->n_chunk; c++)
        st = vk_memory_new(m->dev, MEMORY_DEVICE, chunk_size[c], "weights", &m->chunk[c], err);
    size_t uploads = 0;
    for (size_t i = 0; !st && i < n; i++) {
        const Dlvk__Plan__Buffer *b = p->buffer[i];
        if (b->kind != DLVK__PLAN__BUFFER__KIND__CONSTANT) continue;
        uint64_t size = (uint64_t)p->expr[b->size]->value;
        m->weight[i] = slice_empty(m->dev);
        if (!size) continue;
        m->weight[i] = slice_of(&m->chunk[place[i].chunk], place[i].offset, size);
        const Dlvk__Plan__Blob *blob = p->blob[b->blob - 1];
        if (!place[i].shared && blob->bytes)
            up[uploads++] = (Upload){m->weight[i], rt_bundle_blob(&m->bundle, blob), blob->length, blob->bytes};
    }
    if (!st) st = vk_upload(m->dev, up, uploads, threads, err);
    free(place);
    free(chunk_size);
    free(up);
    return st;
}

void model_weights_free(dlvk_model *m)
{
    for (uint32_t i = 0; m->chunk && i < m->n_chunk; i++) vk_memory_free(m->dev, &m->chunk[i]);
    free(m->chunk);
    free(m->weight);
}
