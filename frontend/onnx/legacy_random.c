/* The uniform numbers of numpy's RandomState(seed), by which ONNX's reference implementation defines what a node with a seed
 * gives: the Mersenne twister MT19937 (https://doi.org/10.1145/272991.272995), 53 bits from two of its words. */
#include "frontend/onnx/indexing.h"
#include <math.h>

enum { WORDS = 624, MIDDLE = 397 };

typedef struct Twister {
    uint32_t word[WORDS];
    int at;
} Twister;

static void twister_seed(Twister *t, uint32_t seed)
{
    for (uint32_t i = 0; i < WORDS; i++) {
        t->word[i] = seed;
        seed = 1812433253u * (seed ^ seed >> 30) + i + 1;
    }
    t->at = WORDS;
}

static uint32_t twister_next(Twister *t)
{
    if (t->at == WORDS) {
        for (int i = 0; i < WORDS; i++) {
            uint32_t y = (t->word[i] & 0x80000000u) | (t->word[(i + 1) % WORDS] & 0x7fffffffu);
            t->word[i] = t->word[(i + MIDDLE) % WORDS] ^ y >> 1 ^ (y & 1 ? 0x9908b0dfu : 0);
        }
        t->at = 0;
    }
    uint32_t y = t->word[t->at++];
    y ^= y >> 11;
    y ^= y << 7 & 0x9d2c5680u;
    y ^= y << 15 & 0xefc60000u;
    return y ^ y >> 18;
}

Value *legacy_uniform(Build *b, double seed, int rank, const Dim *const *shape)
{
    enum { MOST = 4096 }; /* elements, since they become a constant */
    int64_t dim[DLVK_MAX_RANK], count = 1;
    if (!(seed >= 0 && seed < 0x1p32)) return NULL;
    for (int i = 0; i < rank; i++) {
        if (!dim_is_const(shape[i], &dim[i]) || dim[i] > MOST) return NULL;
        count *= dim[i];
        if (count > MOST) return NULL;
    }
    Twister t;
    twister_seed(&t, (uint32_t)seed);
    float *u = POOL_ARRAY(b->ctx->pool, float, count);
    for (int64_t i = 0; i < count; i++) {
        uint32_t high = twister_next(&t) >> 5, low = twister_next(&t) >> 6;
        u[i] = fminf((float)((high * 67108864.0 + low) * 0x1p-53), 1 - 0x1p-24f);
    }
    return build_const(b, tensor_new(b->ctx->pool, DLVK_F32, rank, dim, u));
}
