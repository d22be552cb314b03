/* Keys and values into page slots, and their gradients out again: a thread for each number, or, of pages in bf16, for each eight. core/ops.h has the layout of a page in f32,
 * cuda/kernels/attention_bf16.h that in bf16. */
#include "cuda/kernels/attention_bf16.h"
#include "cuda/kernels/groups.h"

enum { THREADS = 256 };
static_assert((int)FV_PAGE_PART == (int)BLOCK_SIDE, "fv_page_view's parts of a page are blocks of bf16");

typedef struct {
    float *keys, *values; /* [pages, kv_heads, head_dim, 16], [pages, kv_heads, 16, head_dim] */
    float *k, *v;         /* [*, kv_heads * head_dim] */
    const int32_t *row, *slot;
    fv_groups groups;     /* of writes, by the row that was written */
    int64_t count, kv_heads, head_dim;
} job;

static job job_of(const fv_exec *x, fv_view keys, fv_view values, fv_view k, fv_view v, fv_view slot) {
    job j = {0};
    j.keys = fv_f32(keys), j.values = fv_f32(values), j.k = fv_f32(k), j.v = fv_f32(v);
    j.slot = fv_cuda_ints(x, slot);
    j.count = fv_elements(slot), j.kv_heads = keys.shape[1], j.head_dim = keys.shape[2];
    return j;
}

/* Where column c = (kv head, d) of a slot lies in keys and in values. */
FV_DEVICE int64_t key_at(const job *j, int64_t slot, int64_t c) {
    return (slot / FV_PAGE * j->kv_heads * j->head_dim + c) * FV_PAGE + slot % FV_PAGE;
}
FV_DEVICE int64_t value_at(const job *j, int64_t slot, int64_t c) {
    return ((slot / FV_PAGE * j->kv_heads + c / j->head_dim) * FV_PAGE + slot % FV_PAGE) * j->head_dim + c % j->head_dim;
}

FV_GLOBAL(write_numbers, job) {
    int64_t cols = j.kv_heads * j.head_dim, i = FV_BLOCK * THREADS + FV_THREAD, n = i / cols, c = i % cols;
    if (n >= j.count) return;
    int64_t from = j.row[n] * cols + c;
    j.keys[key_at(&j, j.slot[n], c)] = j.k[from];
    j.values[value_at(&j, j.slot[n], c)] = j.v[from];
}

FV_TABLE_OP void fv_cuda_kv_write(const fv_exec *x, fv_view keys, fv_view values, fv_view k, fv_view v, fv_view row, fv_view slot) {
    fv_cuda_begin("kv_write", keys, k);
    fv_arena_mark mark = fv_arena_here(x->scratch);
    job j = job_of(x, keys, values, k, v, slot);
    j.row = fv_cuda_ints(x, row);
    FV_LAUNCH(write_numbers, fv_blocks_of(j.count * j.kv_heads * j.head_dim, THREADS), THREADS, 0, j);
    fv_arena_release(x->scratch, mark);
}

/* ---- in bf16 ---- */

typedef struct {
    char *keys, *values;
    const float *k, *v;
    const int32_t *row, *slot;
    int64_t count;
    int kv_heads, head_dim, parts;
} job_bf16;

FV_GLOBAL(write_pieces, job_bf16) {
    int heads_pieces = j.kv_heads * j.parts * 8;
    int64_t i = FV_BLOCK * THREADS + FV_THREAD, n = i / heads_pieces;
    if (n >= j.count) return;
    int e = (int)(i % heads_pieces), kv_head = e / (j.parts * 8), d = e % (j.parts * 8) * 8, slot = j.slot[n];
    int64_t from = ((int64_t)j.row[n] * j.kv_heads + kv_head) * j.head_dim + d;
    int64_t to = (((int64_t)(slot / FV_PAGE) * j.kv_heads + kv_head) * j.parts + d / BLOCK_SIDE) * FV_TC_PANEL + fv_block_byte(slot % FV_PAGE, d % BLOCK_SIDE);
    *(fv_piece *)(j.keys + to) = fv_piece_from(j.k + from, j.head_dim - d);
    *(fv_piece *)(j.values + to) = fv_piece_from(j.v + from, j.head_dim - d);
}

FV_TABLE_OP void fv_cuda_bf16_kv_write(const fv_exec *x, fv_view keys, fv_view values, fv_view k, fv_view v, fv_view row, fv_view slot) {
    if (keys.dtype == FV_F32) {
        fv_cuda_kv_write(x, keys, values, k, v, row, slot);
        return;
    }
    fv_cuda_begin("kv_write", keys, k);
    fv_arena_mark mark = fv_arena_here(x->scratch);
    job_bf16 j;
    memset(&j, 0, sizeof j);
    j.keys = (char *)keys.data, j.values = (char *)values.data, j.k = fv_f32(k), j.v = fv_f32(v);
    j.row = fv_cuda_ints(x, row), j.slot = fv_cuda_ints(x, slot), j.count = fv_elements(slot);
    j.kv_heads = (int)keys.shape[1], j.head_dim = (int)(fv_cols(k) / keys.shape[1]), j.parts = (int)keys.shape[2];
    FV_LAUNCH(write_pieces, fv_blocks_of(j.count * j.kv_heads * j.parts * 8, THREADS), THREADS, 0, j);
    fv_arena_release(x->scratch, mark);
}

FV_TABLE_OP fv_dtype fv_cuda_page_dtype(int head_dim) {
    (void)head_dim;
    return FV_F32;
}
FV_TABLE_OP fv_dtype fv_cuda_bf16_page_dtype(int head_dim) { return head_dim > FV_TC_MOST ? FV_F32 : FV_BF16; }

/* ---- out again, in f32 ---- */

/* A row's chain over the slots that it went to, in the order of writes. */
FV_GLOBAL(read_numbers, job) {
    int64_t cols = j.kv_heads * j.head_dim, i = FV_BLOCK * THREADS + FV_THREAD, g = i / cols, c = i % cols;
    if (g >= j.groups.count) return;
    int64_t to = j.groups.row[g] * cols + c;
    float dk = j.k[to], dv = j.v[to];
    for (int32_t n = j.groups.start[g]; n < j.groups.start[g + 1]; n++) {
        int64_t slot = j.slot[j.groups.entry[n]];
        dk = fv_add(dk, j.keys[key_at(&j, slot, c)]);
        dv = fv_add(dv, j.values[value_at(&j, slot, c)]);
    }
    j.k[to] = dk;
    j.v[to] = dv;
}

FV_TABLE_OP void fv_cuda_kv_write_back(const fv_exec *x, fv_view dk, fv_view dv, fv_view dkeys, fv_view dvalues, fv_view row, fv_view slot) {
    fv_cuda_begin("kv_write_back", dkeys, dk);
    fv_arena_mark mark = fv_arena_here(x->scratch);
    job j = job_of(x, dkeys, dvalues, dk, dv, slot);
    j.groups = fv_groups_of(x, fv_i32(row), j.count);
    FV_LAUNCH(read_numbers, fv_blocks_of(j.groups.count * j.kv_heads * j.head_dim, THREADS), THREADS, 0, j);
    fv_arena_release(x->scratch, mark);
}
