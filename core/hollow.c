#include "core/hollow.h"

#include <string.h>
#include <sys/mman.h>

/* ---- Addresses without memory ---- */

/* A mapping's first page holds its length; what is given out begins behind it. */
enum { HEAD = 4096 };

/* Read-only private mappings count towards no limit of memory (mmap(2): what can't be written to needs no swap). */
static fv_status take_addresses(void **out, size_t bytes, fv_error *err) {
    size_t all = (bytes + 2 * HEAD - 1) / HEAD * HEAD;
    char *data = bytes < SIZE_MAX / 2 ? mmap(NULL, all, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0) : MAP_FAILED;
    *out = NULL;
    if (data == MAP_FAILED) return fv_fail(err, FV_NO_MEMORY, "hollow operations: no addresses for %zu MiB", bytes >> 20);
    if (mprotect(data, HEAD, PROT_READ | PROT_WRITE)) {
        munmap(data, all);
        return fv_fail(err, FV_NO_MEMORY, "hollow operations: no page for a mapping's length");
    }
    memcpy(data, &all, sizeof all);
    *out = data + HEAD;
    return FV_OK;
}

static void give_addresses(void *data) {
    size_t all;
    if (!data) return;
    memcpy(&all, (char *)data - HEAD, sizeof all);
    munmap((char *)data - HEAD, all);
}

fv_arena *fv_hollow_arena(size_t chunk) { return fv_arena_new_over(take_addresses, give_addresses, chunk); }

static fv_status fine(fv_error *err) {
    (void)err;
    return FV_OK;
}

/* ---- What operations on the CPU take of scratch ---- */

/* cpu/kernels/logits.h: a block of logits; cpu/kernels/product.h: rows and k of a block that is packed; cpu/kernels/attention_back.c: what a thread keeps of tiles. */
enum { LOGITS_BYTES = 32 << 20, BLOCK_ROWS = 336, BLOCK_K = 512, STORE_FLOATS = 1 << 18 };

static void take(const fv_exec *x, int64_t floats) { FV_NUMBERS(x->scratch, floats); }

/* The way back of a product over k packs a block of B for all, and one of A for each thread. */
static void take_panels(const fv_exec *x, int64_t cols, int64_t k) {
    take(x, (k < BLOCK_K ? k : BLOCK_K) * (cols + BLOCK_ROWS * (int64_t)fv_pool_threads(x->pool)));
}

static void take_logits(const fv_exec *x, int64_t rows, int64_t vocabulary) {
    int64_t most = LOGITS_BYTES / (int64_t)sizeof(float);
    take(x, rows * vocabulary < most ? rows * vocabulary : vocabulary < most ? most : vocabulary);
}

/* ---- The table ---- */

/* These have arguments because the table's slots have: most look at none of them. */
#pragma GCC diagnostic ignored "-Wunused-parameter"

#define SCRATCH_OF(x) fv_arena_mark mark = fv_arena_here((x)->scratch)
#define GIVE_BACK(x) fv_arena_release((x)->scratch, mark)

static void upload(void *device, const void *host, size_t bytes) {}
static void download(void *host, const void *device, size_t bytes) { memset(host, 0, bytes); }
static void clear(const fv_exec *x, void *data, size_t bytes) {}
static void pack(const fv_exec *x, void *packed, fv_view w) {}
static void views_3(const fv_exec *x, fv_view a, fv_view b, fv_view c) {}
static void views_4(const fv_exec *x, fv_view a, fv_view b, fv_view c, fv_view d) {}
static void views_5(const fv_exec *x, fv_view a, fv_view b, fv_view c, fv_view d, fv_view e) {}
static void views_6(const fv_exec *x, fv_view a, fv_view b, fv_view c, fv_view d, fv_view e, fv_view f) {}
static void views_7(const fv_exec *x, fv_view a, fv_view b, fv_view c, fv_view d, fv_view e, fv_view f, fv_view g) {}
static void linear(const fv_exec *x, const fv_linear_map *maps, int count, fv_view in) {}
static void rms_norm(const fv_exec *x, fv_view y, fv_view inv, fv_view in, fv_view w, float eps) {}
static void layer_norm(const fv_exec *x, fv_view y, fv_view stats, fv_view in, fv_view w, fv_view b, float eps) {}
static void rotary(const fv_exec *x, fv_view io, fv_view cos, fv_view sin, int heads, int direction) {}
static void attention(const fv_exec *x, fv_view out, fv_view stats, fv_view q, fv_view keys, fv_view values, const fv_attention *a) {}
static void act(const fv_exec *x, fv_view y, fv_view in, fv_activation f) {}
static void act_back(const fv_exec *x, fv_view dx, fv_view dy, fv_view in, fv_activation f) {}
static void axpy(const fv_exec *x, fv_view y, float a, fv_view in) {}
static void scale(const fv_exec *x, fv_view y, float a) {}
static double dot(const fv_exec *x, fv_view a, fv_view b) { return 1; } /* a length that isn't 0: nothing is skipped */
static void vocabulary(const fv_exec *x, fv_view lse, fv_view hidden, fv_head head, fv_view temperature, fv_vocabulary_visit *visit, void *context) {}
static void adamw(const fv_exec *x, fv_view master, fv_view m, fv_view v, fv_view grad, fv_view weight, const fv_adamw *how) {}

/* Towards the input, then towards the weight. */
static void linear_back(const fv_exec *x, fv_view dx, fv_view dw, fv_view dbias, fv_view dy, fv_view in, fv_view w, const void *packed) {
    SCRATCH_OF(x);
    if (dx.data) take_panels(x, fv_cols(dx), fv_rows(w));
    GIVE_BACK(x);
    if (dw.data) take_panels(x, fv_cols(in), fv_rows(in));
    GIVE_BACK(x);
}

/* Keys and values of all pages, turned around, and the tiles' store. */
static void attention_back(const fv_exec *x, fv_view dq, fv_view dkeys, fv_view dvalues, fv_view dout, fv_view out, fv_view stats, fv_view q, fv_view keys, fv_view values,
                           const fv_attention *a) {
    SCRATCH_OF(x);
    take(x, 2 * fv_elements(keys) + STORE_FLOATS * (int64_t)fv_pool_threads(x->pool));
    GIVE_BACK(x);
}

/* Keys and values in pages. */
static int64_t pages_of(const fv_runs *r) {
    int64_t pages = 0;
    for (int i = 0; i < r->runs; i++) pages += (r->run_row[i + 1] - r->run_row[i] + FV_PAGE - 1) / FV_PAGE;
    return 2 * pages * FV_PAGE * r->heads * r->head_dim;
}

static void attend_runs(const fv_exec *x, fv_view out, fv_view stats, fv_view q, fv_view k, fv_view v, const fv_runs *r) {
    SCRATCH_OF(x);
    take(x, pages_of(r));
    GIVE_BACK(x);
}

/* Beside them their gradients, and what attention's way back takes. */
static void attend_runs_back(const fv_exec *x, fv_view dq, fv_view dk, fv_view dv, fv_view dout, fv_view out, fv_view stats, fv_view q, fv_view k, fv_view v,
                             const fv_runs *r) {
    SCRATCH_OF(x);
    take(x, 3 * pages_of(r) + STORE_FLOATS * (int64_t)fv_pool_threads(x->pool));
    GIVE_BACK(x);
}

/* On a card in bf16, where cuDNN is: all rows rounded, and two bytes for every two rows of a run and head, of as many runs as a call has (cuda/cudnn.h, cuda/runs.c). */
static void attend_runs_back_bf16(const fv_exec *x, fv_view dq, fv_view dk, fv_view dv, fv_view dout, fv_view out, fv_view stats, fv_view q, fv_view k, fv_view v,
                                  const fv_runs *r) {
    const double at_once = 1 << 30, most = 2.0 * (1 << 30);
    double all = 0, largest = 0;
    for (int i = 0; i < r->runs; i++) {
        int length = r->run_row[i + 1] - r->run_row[i], high = 64; /* rounded up as plans are */
        while (high < length) high *= 2;
        double rows = (length + high / 8 - 1) / (high / 8) * (high / 8), bytes = 2 * rows * rows * r->heads;
        all += bytes;
        if (bytes > largest && bytes <= most) largest = bytes;
    }
    double scores = all < at_once ? all : largest > at_once ? largest : at_once;
    SCRATCH_OF(x);
    take(x, 3 * pages_of(r) + (int64_t)(scores / sizeof(float)));
    GIVE_BACK(x);
}

static void logprob(const fv_exec *x, fv_view logp, fv_view entropy, fv_view lse, fv_view hidden, fv_head head, fv_view target, fv_view temperature) {
    SCRATCH_OF(x);
    take_logits(x, fv_rows(hidden), head.weight.shape[0]);
    GIVE_BACK(x);
}

static void logprob_back(const fv_exec *x, fv_view dhidden, fv_view dweight, fv_view dlogp, fv_view dentropy, fv_view entropy, fv_view lse, fv_view hidden, fv_head head,
                         fv_view target, fv_view temperature) {
    SCRATCH_OF(x);
    take_logits(x, fv_rows(hidden), head.weight.shape[0]);
    take_panels(x, fv_cols(hidden), head.weight.shape[0]);
    GIVE_BACK(x);
}

static void divergence(const fv_exec *x, fv_view y, fv_view pull, fv_distribution p, fv_distribution q, fv_view temperature, float beta) {
    SCRATCH_OF(x);
    take_logits(x, fv_rows(p.hidden), p.head.weight.shape[0]);
    take_logits(x, fv_rows(p.hidden), q.head.weight.shape[0]);
    GIVE_BACK(x);
}

static void divergence_back(const fv_exec *x, fv_view dhidden, fv_view dweight, fv_view dy, fv_view pull, fv_distribution p, fv_distribution q, fv_view temperature,
                            float beta) {
    SCRATCH_OF(x);
    take_logits(x, fv_rows(p.hidden), p.head.weight.shape[0]);
    take_logits(x, fv_rows(p.hidden), q.head.weight.shape[0]);
    take_panels(x, fv_cols(p.hidden), p.head.weight.shape[0]);
    GIVE_BACK(x);
}

static void sample(const fv_exec *x, int32_t *id, float *logp, float *entropy, fv_view hidden, fv_head head, const fv_sampling *how) {
    SCRATCH_OF(x);
    take_logits(x, fv_rows(hidden), head.weight.shape[0]);
    memset(id, 0, (size_t)fv_rows(hidden) * sizeof *id);
    memset(logp, 0, (size_t)fv_rows(hidden) * sizeof *logp);
    memset(entropy, 0, (size_t)fv_rows(hidden) * sizeof *entropy);
    GIVE_BACK(x);
}

/* ---- What operations in bf16 on a card take ---- */

enum { BLOCK_SIDE = 64, QUERIES = 64, CHUNK = 256 };

static int64_t whole(int64_t n) { return (n + BLOCK_SIDE - 1) / BLOCK_SIDE * BLOCK_SIDE; }

/* A matrix as products take it (cuda/products.h), in floats' room. */
static void take_rounded(const fv_exec *x, fv_view in) { take(x, whole(fv_rows(in)) * whole(fv_cols(in)) / 2); }

static void linear_bf16(const fv_exec *x, const fv_linear_map *maps, int count, fv_view in) {
    SCRATCH_OF(x);
    take_rounded(x, in);
    GIVE_BACK(x);
}

static void linear_back_bf16(const fv_exec *x, fv_view dx, fv_view dw, fv_view dbias, fv_view dy, fv_view in, fv_view w, const void *packed) {
    SCRATCH_OF(x);
    take_rounded(x, dy);
    if (dw.data) take_rounded(x, in);
    GIVE_BACK(x);
}

/* Few queries of many keys: what each chunk of them gave (cuda/kernels/attention_bf16.cu). */
static void attention_bf16(const fv_exec *x, fv_view out, fv_view stats, fv_view q, fv_view keys, fv_view values, const fv_attention *a) {
    SCRATCH_OF(x);
    int64_t chunks = 0;
    for (int row = 0; row < a->rows; row++) chunks += a->limit[row] / CHUNK + 1;
    if ((int64_t)a->rows * (a->heads / a->kv_heads) < (int64_t)a->runs * QUERIES / 2) take(x, chunks * a->heads * (a->head_dim + 2));
    GIVE_BACK(x);
}

/* Tiles of queries, and of the output's gradient, rounded; and what queries bring. */
static void attention_back_bf16(const fv_exec *x, fv_view dq, fv_view dkeys, fv_view dvalues, fv_view dout, fv_view out, fv_view stats, fv_view q, fv_view keys, fv_view values,
                                const fv_attention *a) {
    SCRATCH_OF(x);
    int64_t tiles = ((int64_t)a->rows * a->heads / a->kv_heads / QUERIES + a->runs) * a->kv_heads;
    take(x, tiles * QUERIES * (whole(a->head_dim) + 4) + (int64_t)a->rows * a->heads * 8);
    GIVE_BACK(x);
}

static void use_bf16_card(fv_ops *out) {
    out->linear = linear_bf16, out->linear_back = linear_back_bf16;
    out->attention = attention_bf16, out->attention_back = attention_back_bf16;
    out->attend_runs_back = attend_runs_back_bf16;
}

void fv_hollow_ops(fv_ops *out, const fv_ops *like) {
    *out = (fv_ops){.name = "hollow", .device = like->device, .alloc = take_addresses, .alloc_host = take_addresses, .free = give_addresses, .upload = upload, .download = download, .clear = clear, .page_dtype = like->page_dtype, .room = like->room, .check = fine,
                    .linear_packed_bytes = like->linear_packed_bytes, .linear_pack = pack, .linear = linear, .linear_back = linear_back, .gather = views_3, .gather_add = views_3, .scatter = views_3, .scatter_add = views_3, .blend = views_4,
                    .blend_back = views_4, .rms_norm = rms_norm, .rms_norm_back = views_6, .layer_norm = layer_norm, .layer_norm_back = views_7, .rotary_table = views_5,
                    .rotary = rotary, .kv_write = views_6, .kv_write_back = views_6, .attention = attention, .attention_back = attention_back,
                    .attend_runs = attend_runs, .attend_runs_back = attend_runs_back, .swiglu = views_3,
                    .swiglu_back = views_5, .act = act, .act_back = act_back, .add = views_3, .axpy = axpy, .scale = scale, .dot = dot, .logprob = logprob,
                    .logprob_back = logprob_back, .divergence = divergence, .divergence_back = divergence_back, .vocabulary = vocabulary, .sample = sample, .adamw = adamw};
    if (like->page_dtype(1) == FV_BF16) use_bf16_card(out);
}
