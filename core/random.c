#include "core/random.h"

#include <math.h>
#include <stddef.h>
#include <string.h>

typedef struct {
    uint64_t low, high;
} fv_block;

/* Philox 4x32-10: the counter (words 0..3 = low, high) under a 64-bit key. Multipliers and Weyl constants are those of
 * Salmon, Moraes, Dror, Shaw: "Parallel random numbers: as easy as 1, 2, 3" (SC 2011), table 2 and section 3.3. */
static fv_block fv_philox(uint64_t key, uint64_t low, uint64_t high) {
    uint32_t c0 = (uint32_t)low, c1 = (uint32_t)(low >> 32), c2 = (uint32_t)high, c3 = (uint32_t)(high >> 32);
    uint32_t k0 = (uint32_t)key, k1 = (uint32_t)(key >> 32);
    for (int round = 0; round < 10; round++, k0 += 0x9E3779B9u, k1 += 0xBB67AE85u) {
        uint64_t p0 = (uint64_t)0xD2511F53u * c0, p1 = (uint64_t)0xCD9E8D57u * c2;
        c0 = (uint32_t)(p1 >> 32) ^ c1 ^ k0;
        c2 = (uint32_t)(p0 >> 32) ^ c3 ^ k1;
        c1 = (uint32_t)p1;
        c3 = (uint32_t)p0;
    }
    return (fv_block){(uint64_t)c1 << 32 | c0, (uint64_t)c3 << 32 | c2};
}

uint64_t fv_hash_bytes(const void *bytes, size_t size) {
    const unsigned char *at = bytes;
    uint64_t hash = 0xcbf29ce484222325u;
    for (size_t i = 0; i < size; i++) hash = (hash ^ at[i]) * 0x100000001b3u;
    return hash;
}

/* Keys are made from counters whose highest bit is set, draws from those where it is not: a key that is used for draws and
 * for further keys gives unrelated bits. */
uint64_t fv_random_key(uint64_t seed, const char *purpose, uint64_t a, uint64_t b) {
    const uint64_t top = (uint64_t)1 << 63;
    uint64_t stream = fv_philox(seed, fv_hash_bytes(purpose, strlen(purpose)), top).low;
    return fv_philox(stream, a, b | top).low;
}

uint64_t fv_random_at(uint64_t key, uint64_t position) {
    return fv_philox(key, position, 0).low;
}

double fv_uniform_at(uint64_t key, uint64_t position) {
    return (double)(fv_random_at(key, position) >> 11) * 0x1p-53;
}

fv_random fv_random_stream(uint64_t key) {
    return (fv_random){key, 0};
}

uint64_t fv_random_next(fv_random *r) {
    return fv_random_at(r->key, r->position++);
}

double fv_uniform(fv_random *r) {
    return fv_uniform_at(r->key, r->position++);
}

double fv_uniform_in(fv_random *r, double low, double high) {
    double x = low + (high - low) * fv_uniform(r);
    return x < high || high <= low ? x : nextafter(high, low); /* rounding may land on the open end */
}

int64_t fv_below(fv_random *r, int64_t n) {
    uint64_t range = (uint64_t)n, uneven = (UINT64_MAX % range + 1) % range; /* 2^64 mod n values too many */
    uint64_t x;
    do x = fv_random_next(r);
    while (x > UINT64_MAX - uneven);
    return (int64_t)(x % range);
}

/* ---- own log and cos: only + - * / and sqrt, which IEEE 754 rounds the same way everywhere -------------------------- */

/* ln x for normal x > 0: x = m 2^e with m in [1/sqrt 2, sqrt 2), ln m = 2 atanh((m - 1) / (m + 1)) by its series. The first term
 * left out, 2 s^23 / 23 with |s| <= 0.1716, is below 2^-60. */
static double fv_log(double x) {
    uint64_t bits;
    memcpy(&bits, &x, sizeof bits);
    int e = (int)(bits >> 52) - 1023;
    bits = (bits & 0x000fffffffffffffu) | 0x3ff0000000000000u;
    double m;
    memcpy(&m, &bits, sizeof m);
    if (m > 1.4142135623730951) {
        m *= 0.5;
        e++;
    }
    double s = (m - 1) / (m + 1), t = s * s, sum = 0;
    for (int n = 21; n >= 3; n -= 2) sum = (sum + 1.0 / n) * t;
    return e * 0.69314718055994531 + 2 * (s + s * sum);
}

/* cos(2 pi u), u in [0, 1): quarter turns off, then the Taylor series on [-pi/4, pi/4], left-out terms below 2^-60. */
static double fv_cos_turn(double u) {
    int quarter = (int)(4 * u + 0.5);
    double a = (4 * u - quarter) * 1.5707963267948966, t = a * a, cosine = 1, sine = 1;
    for (int n = 18; n >= 2; n -= 2) {
        cosine = 1 - cosine * t / (n * (n - 1));
        sine = 1 - sine * t / (n * (n + 1));
    }
    sine *= a;
    switch (quarter & 3) {
    case 0: return cosine;
    case 1: return -sine;
    case 2: return -cosine;
    default: return sine;
    }
}

double fv_normal(fv_random *r) {
    double u = 1 - fv_uniform(r), v = fv_uniform(r); /* u in (0, 1] */
    return sqrt(-2 * fv_log(u)) * fv_cos_turn(v);
}

static void fv_swap(char *a, char *b, size_t size) {
    char spare[64];
    for (size_t done = 0; done < size;) {
        size_t n = size - done < sizeof spare ? size - done : sizeof spare;
        memcpy(spare, a + done, n);
        memcpy(a + done, b + done, n);
        memcpy(b + done, spare, n);
        done += n;
    }
}

void fv_shuffle(fv_random *r, void *items, int64_t n, int64_t size) {
    char *base = items;
    for (int64_t i = n - 1; i > 0; i--) { /* Fisher and Yates, from the end */
        int64_t j = fv_below(r, i + 1);
        if (j != i) fv_swap(base + i * size, base + j * size, (size_t)size);
    }
}
