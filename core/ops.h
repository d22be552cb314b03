/* THE seam: the table of operations that a back end fills. Model code above is written once over it; cpu/ and cuda/ each
 * provide one const table with no empty slot.
 *
 * Conventions. Activations, gradients, keys and values are f32 on the CPU. Views are row-major and contiguous; a matrix is
 * [rows, cols]. "+=" says that a result is added to what is there, as the continuation of the same chain of additions: a
 * gradient accumulated in two calls has the bits of one call over both. Shapes are the caller's promise (core/pass.c checks
 * them): operations can't fail and don't allocate, but for scratch from exec->scratch, released before they return.
 *
 * Where things are. Numbers (f32 and bf16 views, packed weights) are in the table's own memory, which on a device is not the host's: from
 * `alloc`, or from the numbers' side of an arena that fv_ops_arena made. What the host makes and reads is the host's memory on every device:
 * i32 views, fv_attention, fv_runs and fv_sampling with all that they point to, rotary_table's inv_freq, blend's weight, temperatures, what
 * `sample` draws and what a visit sees. A back end takes what it needs of it before the call returns.
 *
 * A device may work behind the host's back: calls return early, but for `dot`, `download`, `sample`, `vocabulary` and `check`, which wait for
 * it, and what fails there is told by `check` alone. After a failure the device's numbers are undefined, calls still return, and `sample`
 * draws -1.
 *
 * Exactness (docs/exactness.md): every output row depends on its input row alone, never on how many rows, threads or vector
 * lanes there are. A matrix product's element is one chain of fused multiply-adds over k in ascending order; weight
 * gradients are the same chain over rows in ascending order; reductions over a row use 16 virtual lanes (element i goes to
 * lane i % 16, ascending) and then a fixed tree: ((0+8)+(4+12)) ..., see cpu/simd.h. */
#ifndef FV_CORE_OPS_H
#define FV_CORE_OPS_H

#include "core/arena.h"
#include "core/error.h"
#include "core/tensor.h"
#include "core/threads.h"

#include <assert.h>
#include <stdbool.h>

/* What an operation runs on. scratch (from fv_ops_arena) belongs to the calling thread; pool may be NULL. */
typedef struct {
    fv_pool *pool;
    fv_arena *scratch;
} fv_exec;

/* A page holds the keys and values of FV_PAGE consecutive positions of one path, aligned to its position from the root:
 * keys [kv_heads, head_dim, FV_PAGE] (so that 16 scores are one vector), values [kv_heads, FV_PAGE, head_dim].
 * Lane l of page p is slot p * FV_PAGE + l. Fresh pages are zero. A table may keep them in bf16, in a layout of its own (fv_page_view); their gradients are f32 always. */
enum { FV_PAGE = 16, FV_PAGE_PART = 64 }; /* FV_PAGE_PART: columns of a head that lie together in bf16 */

/* Which keys the query rows of an attention read. A run is consecutive query rows that read the same list of pages (a
 * segment of the tree, a window of a picture). Row r reads positions [first, limit[r]) of its run's list. */
typedef struct {
    int rows, heads, kv_heads, head_dim; /* heads % kv_heads == 0; query head h reads kv head h / (heads / kv_heads) */
    float scale;                         /* scores are q.k * scale */
    int runs;
    const int32_t *run_row;  /* [runs + 1] first query row of each run */
    const int32_t *run_page; /* [runs + 1] where each run's pages begin in `pages` */
    const int32_t *pages;    /* page numbers in order of position */
    const int32_t *limit;    /* [rows] keys that are visible: 1 .. 16 * pages of the run; causal, full and branch masks are this */
    const int32_t *first;    /* [rows] first visible key (sliding windows), or NULL: 0 */
} fv_attention;

/* Runs of rows of which each sees all rows of its own run and no others, as the windows and the frames of pictures. Keys and values are rows, as queries are. */
typedef struct {
    int rows, heads, head_dim; /* as many heads of keys and of values */
    float scale;               /* scores are q.k * scale */
    int runs;
    const int32_t *run_row;    /* [runs + 1] first row of each run, 0 .. rows; none is empty */
} fv_runs;

/* A linear map of an input [rows, k]: y = scale (bias + in @ w^T), or y += in @ w^T. */
typedef struct {
    fv_view y;          /* [rows, n] */
    fv_view w;          /* [n, k] f32 or bf16 */
    const void *packed; /* w in the back end's layout, as linear_pack fills linear_packed_bytes(w) bytes; or, on the CPU, NULL: w is read as it lies, which has the same bits */
    fv_view bias;       /* [n] f32 or bf16, or absent */
    float scale;        /* of the result; 0: 1 */
    bool adds;          /* the chain starts from what y holds: without bias and scale, and alike in all maps of a call */
} fv_linear_map;

enum { FV_MAPS_MOST = 6 };

/* The output projection, as logits = (hidden @ weight^T) / temperature. `packed` from linear_pack of `weight`. */
typedef struct {
    fv_view weight;      /* [vocabulary, width] f32 or bf16 */
    const void *packed;
} fv_head;

/* Each row's distribution over the vocabulary: softmax of head's logits of its hidden state. lse as `logprob` leaves it. */
typedef struct {
    fv_view hidden, lse; /* [rows, width], [rows, 2] */
    fv_head head;
} fv_distribution;

/* How one row is sampled. */
typedef struct {
    float temperature;      /* 0: greedy (the smallest id of the largest logit) */
    float top_p;            /* 1: off; else the smallest set of largest probabilities whose sum reaches top_p, ties by id */
    int top_k;              /* 0: off */
    uint64_t key, position; /* of core/random.h: the draw is fv_uniform_at(key, position) */
    const uint8_t *banned;  /* [vocabulary] nonzero: can't be drawn; or NULL. Not part of the log-prob */
} fv_sampling;

typedef enum { FV_GELU_ERF, FV_GELU_TANH, FV_GELU_QUICK, FV_SILU } fv_activation;

typedef struct {
    float lr, beta1, beta2, eps, weight_decay; /* decoupled decay: w -= lr * weight_decay * w (AdamW, Loshchilov & Hutter 2019) */
    float grad_scale;                          /* multiplies the gradient first (clipping) */
    int64_t step;                              /* 1 for the first update */
} fv_adamw;

/* Sees a block of log-probs: rows [row, row + rows), vocabulary [col, col + cols); logp is [rows, cols], only for now. */
typedef void fv_vocabulary_visit(void *context, int64_t row, int64_t rows, int64_t col, int64_t cols, const float *logp);

typedef struct fv_ops {
    const char *name;  /* "cpu-avx512", "cuda" */
    fv_device device;  /* FV_CPU: its memory is the host's */

    /* Memory on the device; *out is cleared. After a transfer the host's side of it may be written to, and read, at once. */
    fv_status (*alloc)(void **out, size_t bytes, fv_error *err);
    fv_status (*alloc_host)(void **out, size_t bytes, fv_error *err); /* in the host's memory, where operations reach it as well, and slower */
    void (*free)(void *data);                                         /* of both */
    void (*upload)(void *device, const void *host, size_t bytes);
    void (*download)(void *host, const void *device, size_t bytes);
    void (*clear)(const fv_exec *x, void *data, size_t bytes); /* to zeros, whatever was there */
    fv_dtype (*page_dtype)(int head_dim); /* what keys and values are in: F32 or BF16 */
    size_t (*room)(void); /* bytes that `alloc` may still give; 0: not known here (the host's is core/memory.h's) */
    fv_status (*check)(fv_error *err); /* waits until all is done; what went wrong since the process began, or FV_OK */

    /* linear: y[r,n] = bias[n] + sum_k in[r,k] w[n,k], the chain starting from bias (0 if none) or from y (adds), then times scale, for 1 .. FV_MAPS_MOST maps of one input: to do them together saves a device
     * work and changes no bits. */
    size_t (*linear_packed_bytes)(fv_view w);
    void (*linear_pack)(const fv_exec *x, void *packed, fv_view w);
    void (*linear)(const fv_exec *x, const fv_linear_map *maps, int count, fv_view in);
    /* back: dx[r,k] += sum_n dy[r,n] w[n,k];  dw[n,k] += sum_r dy[r,n] in[r,k];  dbias[n] += sum_r dy[r,n].   Any of the three may be absent, and then what it alone needs: w for
     * dx, in for dw. packed: as a map's, or NULL on every device. */
    void (*linear_back)(const fv_exec *x, fv_view dx, fv_view dw, fv_view dbias, fv_view dy, fv_view in, fv_view w, const void *packed);

    /* gather: y[r] = table[index[r]], zeros where index is -1; table [any, cols] f32 or bf16.   gather_add: y[r] += ... (f32)
     * scatter: y[index[r]] = x[r]; indices are distinct.   scatter_add: y[index[r]] += x[r], r ascending; -1 skips (gather's backward). */
    void (*gather)(const fv_exec *x, fv_view y, fv_view table, fv_view index);
    void (*gather_add)(const fv_exec *x, fv_view y, fv_view table, fv_view index);
    void (*scatter)(const fv_exec *x, fv_view y, fv_view in, fv_view index);
    void (*scatter_add)(const fv_exec *x, fv_view y, fv_view in, fv_view index);
    /* blend: y[r] = sum_{j<4} weight[r,j] * table[index[r,j]], j ascending (bilinear positions).   back: dtable[index[r,j]] += weight[r,j] * dy[r] */
    void (*blend)(const fv_exec *x, fv_view y, fv_view table, fv_view index, fv_view weight);
    void (*blend_back)(const fv_exec *x, fv_view dtable, fv_view dy, fv_view index, fv_view weight);

    /* rms_norm: y = x * inv * w,  inv[r] = 1/sqrt(mean_c x^2 + eps) is kept for the way back.   dw may be absent */
    void (*rms_norm)(const fv_exec *x, fv_view y, fv_view inv, fv_view in, fv_view w, float eps);
    void (*rms_norm_back)(const fv_exec *x, fv_view dx, fv_view dw, fv_view dy, fv_view in, fv_view w, fv_view inv); /* dx +=, dw += */
    /* layer_norm: y = (x - mean) * inv * w + b; stats [rows, 2] keeps mean, inv.   dw, db may be absent */
    void (*layer_norm)(const fv_exec *x, fv_view y, fv_view stats, fv_view in, fv_view w, fv_view b, float eps);
    void (*layer_norm_back)(const fv_exec *x, fv_view dx, fv_view dw, fv_view db, fv_view dy, fv_view in, fv_view w, fv_view stats);

    /* rotary_table: cos, sin [rows, half] of position[axis[i], r] * inv_freq[i].   position i32 [axes, rows], inv_freq f32 [half], axis i32 [half]
     * rotary: in place, x [rows, heads * 2 * half], pairs (i, i + half) of each head ("rotate_half"); direction +1, or -1 for the way back. */
    void (*rotary_table)(const fv_exec *x, fv_view cos, fv_view sin, fv_view position, fv_view inv_freq, fv_view axis);
    void (*rotary)(const fv_exec *x, fv_view io, fv_view cos, fv_view sin, int heads, int direction);

    /* kv_write: puts rows of k, v [*, kv_heads * head_dim] into page slots: slot[i] gets row[i] (a row may go to several: branches).
     * kv_write_back: dk[row[i]] += dkeys at slot[i], dv likewise, i ascending. */
    void (*kv_write)(const fv_exec *x, fv_view keys, fv_view values, fv_view k, fv_view v, fv_view row, fv_view slot);
    void (*kv_write_back)(const fv_exec *x, fv_view dk, fv_view dv, fv_view dkeys, fv_view dvalues, fv_view row, fv_view slot);
    /* attention: out[r,h] = sum_j p[j] value[j], p = softmax(q.key * scale) over the row's keys in order of position.
     * q, out [rows, heads * head_dim]; keys, values of fv_page_view; stats [rows, heads, 2] keeps max and sum.
     * back: dq +=, dkeys +=, dvalues += (in page layout), query rows ascending. */
    void (*attention)(const fv_exec *x, fv_view out, fv_view stats, fv_view q, fv_view keys, fv_view values, const fv_attention *a);
    void (*attention_back)(const fv_exec *x, fv_view dq, fv_view dkeys, fv_view dvalues, fv_view dout, fv_view out, fv_view stats, fv_view q,
                           fv_view keys, fv_view values, const fv_attention *a);
    /* attend_runs: the same where every row of a run sees all of it, without pages: q, k, v, out [rows, heads * head_dim]; stats [rows, heads, 2].
     * back: dq +=, dk +=, dv +=. Rows depend on their run alone. core/runs.h does it over pages, for tables that have nothing better. */
    void (*attend_runs)(const fv_exec *x, fv_view out, fv_view stats, fv_view q, fv_view k, fv_view v, const fv_runs *r);
    void (*attend_runs_back)(const fv_exec *x, fv_view dq, fv_view dk, fv_view dv, fv_view dout, fv_view out, fv_view stats, fv_view q, fv_view k, fv_view v,
                             const fv_runs *r);

    /* swiglu: y = silu(gate) * up.   act: y = f(x).   add: y = a + b.   Their ways back add to dgate, dup, dx. */
    void (*swiglu)(const fv_exec *x, fv_view y, fv_view gate, fv_view up);
    void (*swiglu_back)(const fv_exec *x, fv_view dgate, fv_view dup, fv_view dy, fv_view gate, fv_view up);
    void (*act)(const fv_exec *x, fv_view y, fv_view in, fv_activation f);
    void (*act_back)(const fv_exec *x, fv_view dx, fv_view dy, fv_view in, fv_activation f);
    void (*add)(const fv_exec *x, fv_view y, fv_view a, fv_view b);

    /* Named buffers: y += a * x;  x *= a;  sum x*y in double (virtual lanes over fixed pieces of 4096: same for any thread count). */
    void (*axpy)(const fv_exec *x, fv_view y, float a, fv_view in);
    void (*scale)(const fv_exec *x, fv_view y, float a);
    double (*dot)(const fv_exec *x, fv_view a, fv_view b);

    /* log-prob of target[r] under softmax(logits / temperature[r]) over the whole vocabulary, and the entropy (nats), without a
     * [rows, vocabulary] tensor. lse [rows, 2] keeps max and log-sum for the way back; entropy may be absent.
     * back, from dlogp [rows] and dentropy [rows] (may be absent): dhidden +=, dweight += (may be absent). lse absent: it is found again. */
    void (*logprob)(const fv_exec *x, fv_view logp, fv_view entropy, fv_view lse, fv_view hidden, fv_head head, fv_view target, fv_view temperature);
    void (*logprob_back)(const fv_exec *x, fv_view dhidden, fv_view dweight, fv_view dlogp, fv_view dentropy, fv_view entropy, fv_view lse,
                         fv_view hidden, fv_head head, fv_view target, fv_view temperature);
    /* divergence: y[r] = beta KL(q || m) + (1 - beta) KL(p || m), m = beta q + (1 - beta) p; KL(q || p) for beta 0, KL(p || q) for beta 1 (core/lane_divergence.h).
     * q is another model's, at the same temperature, and a constant; ids that only one of both vocabularies has are left out of the sum (of some families one size has
     * more rows without a token than another). pull [rows] is kept for the way back: dhidden +=, dweight += (of p; may be absent). */
    void (*divergence)(const fv_exec *x, fv_view y, fv_view pull, fv_distribution p, fv_distribution q, fv_view temperature, float beta);
    void (*divergence_back)(const fv_exec *x, fv_view dhidden, fv_view dweight, fv_view dy, fv_view pull, fv_distribution p, fv_distribution q, fv_view temperature, float beta);
    /* Second pass over the vocabulary in blocks, for whole-distribution statistics; lse from logprob. `visit` runs on one thread, blocks ascending in row, then col. */
    void (*vocabulary)(const fv_exec *x, fv_view lse, fv_view hidden, fv_head head, fv_view temperature, fv_vocabulary_visit *visit, void *context);
    /* Draws id[r] as how[r] says; logp and entropy as `logprob` gives them for that id at temperature (1 where greedy), bit for bit. */
    void (*sample)(const fv_exec *x, int32_t *id, float *logp, float *entropy, fv_view hidden, fv_head head, const fv_sampling *how);

    /* AdamW on f32 masters (step counts from 1); weight, if present, receives the master rounded to its type. */
    void (*adamw)(const fv_exec *x, fv_view master, fv_view m, fv_view v, fv_view grad, fv_view weight, const fv_adamw *how);
} fv_ops;

/* Every operation of the table that a kernel does, in its order; the slots before `linear_packed_bytes` are no kernels. */
#define FV_KERNEL_MAP(X)                                                                                               \
    X(linear_packed_bytes) X(linear_pack) X(linear) X(linear_back)                                                     \
    X(gather) X(gather_add) X(scatter) X(scatter_add) X(blend) X(blend_back)                                           \
    X(rms_norm) X(rms_norm_back) X(layer_norm) X(layer_norm_back)                                                      \
    X(rotary_table) X(rotary) X(kv_write) X(kv_write_back) X(attention) X(attention_back)                              \
    X(attend_runs) X(attend_runs_back)                                                                                 \
    X(swiglu) X(swiglu_back) X(act) X(act_back) X(add) X(axpy) X(scale) X(dot)                                         \
    X(logprob) X(logprob_back) X(divergence) X(divergence_back) X(vocabulary) X(sample) X(adamw)

/* Those with a matrix product in them: what a table of precision bf16 does in its own way. */
#define FV_BF16_MAP(X)                                                                                                 \
    X(linear_packed_bytes) X(linear_pack) X(linear) X(linear_back)                                                     \
    X(logprob) X(logprob_back) X(divergence) X(divergence_back) X(vocabulary) X(sample)

/* The slots that are no kernels, as pointers: name, device (with what pads it), alloc, alloc_host, free, upload, download, clear, page_dtype, room, check. */
enum { FV_PLAIN_SLOTS = 11 };

#define FV_COUNT_KERNEL_(name) +1
static_assert(sizeof(fv_ops) == (FV_PLAIN_SLOTS + (0 FV_KERNEL_MAP(FV_COUNT_KERNEL_))) * sizeof(void *), "FV_KERNEL_MAP lists every operation");

/* What matrix products are made in. bf16: their inputs rounded to it, sums in f32, by tensor cores or the processor's dot products; all else stays f32. Of the exactness
 * above a product then has that a row depends on its input row alone, and is the same every time. */
typedef enum { FV_PRECISION_F32, FV_PRECISION_BF16 } fv_precision;

/* The table for a device: "cpu" (the best instruction set here, or what FOVEA_ISA says), "cuda", and a precision: "f32" (which NULL stands for), or
 * "bf16", on cards and on processors with AVX512_BF16. The table is static. */
fv_status fv_ops_find(const fv_ops **out, const char *device, const char *precision, fv_error *err);

/* Keys or values of `pages` pages at `data` (which may be NULL), as a table of this page_dtype has them: [pages, kv_heads, head_dim, 16] and [pages, kv_heads, 16, head_dim] in f32;
 * in bf16 both [pages, kv_heads, parts, 16, 64], a part being FV_PAGE_PART columns of the head (cuda/kernels/attention_bf16.h). */
fv_view fv_page_view(fv_dtype dtype, void *data, int64_t pages, int kv_heads, int head_dim, bool keys);

/* An arena for passes and for scratch on these operations: its numbers are where theirs are. NULL when out of memory. */
fv_arena *fv_ops_arena(const fv_ops *ops, size_t chunk);

/* All CPU tables that this machine can run, for tests: the number, at most `max`. */
int fv_ops_cpu_all(const fv_ops **out, int max);

#endif
