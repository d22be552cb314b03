/* Keys and values into page slots, and their gradients out again. core/ops.h has the layout of a page. */
#include "cpu/cpu.h"
#include "cpu/kernels/rows.h"

typedef struct {
    float *keys, *values; /* [pages, kv_heads, head_dim, 16], [pages, kv_heads, 16, head_dim] */
    float *k, *v;         /* [*, kv_heads * head_dim] */
    const int32_t *row, *slot;
    int64_t count, kv_heads, head_dim;
} job;

static job job_of(fv_view keys, fv_view values, fv_view k, fv_view v, fv_view row, fv_view slot) {
    return (job){fv_f32(keys), fv_f32(values), fv_f32(k), fv_f32(v), fv_i32(row), fv_i32(slot), fv_elements(slot), keys.shape[1], keys.shape[2]};
}

/* Where column c = (kv head, d) of a slot lies in keys and in values. */
FV_INLINE int64_t key_at(const job *j, int64_t slot, int64_t c) {
    return (slot / FV_PAGE * j->kv_heads * j->head_dim + c) * FV_PAGE + slot % FV_PAGE;
}
FV_INLINE int64_t value_at(const job *j, int64_t slot, int64_t head) {
    return ((slot / FV_PAGE * j->kv_heads + head) * FV_PAGE + slot % FV_PAGE) * j->head_dim;
}

static void write_slots(void *context, int64_t begin, int64_t end, int worker) {
    (void)worker;
    const job *j = context;
    int64_t cols = j->kv_heads * j->head_dim;
    for (int64_t i = begin; i < end; i++) {
        const float *k = j->k + j->row[i] * cols, *v = j->v + j->row[i] * cols;
        float *key = j->keys + key_at(j, j->slot[i], 0);
        for (int64_t c = 0; c < cols; c++) key[c * FV_PAGE] = k[c];
        for (int64_t h = 0; h < j->kv_heads; h++) {
            float *value = j->values + value_at(j, j->slot[i], h);
            for (int64_t d = 0; d < j->head_dim; d += FV_LANES) {
                int n = fv_part(j->head_dim - d);
                fv_store_part(value + d, fv_load_part(v + h * j->head_dim + d, n), n);
            }
        }
    }
}

void FV_KERNEL(kv_write)(const fv_exec *x, fv_view keys, fv_view values, fv_view k, fv_view v, fv_view row, fv_view slot) {
    job j = job_of(keys, values, k, v, row, slot);
    fv_parallel(x->pool, j.count, fv_grain(4 * j.kv_heads * j.head_dim), write_slots, &j);
}

/* One row may have gone to several slots, so threads take heads and walk the slots in order. */
static void read_heads(void *context, int64_t begin, int64_t end, int worker) {
    (void)worker;
    const job *j = context;
    int64_t dim = j->head_dim;
    for (int64_t i = 0; i < j->count; i++)
        for (int64_t h = begin; h < end; h++) {
            float *dk = j->k + (j->row[i] * j->kv_heads + h) * dim, *dv = j->v + (j->row[i] * j->kv_heads + h) * dim;
            const float *key = j->keys + key_at(j, j->slot[i], h * dim), *value = j->values + value_at(j, j->slot[i], h);
            for (int64_t d = 0; d < dim; d++) dk[d] += key[d * FV_PAGE];
            for (int64_t d = 0; d < dim; d += FV_LANES) {
                int n = fv_part(dim - d);
                fv_store_part(dv + d, fv_add(fv_load_part(dv + d, n), fv_load_part(value + d, n)), n);
            }
        }
}

void FV_KERNEL(kv_write_back)(const fv_exec *x, fv_view dk, fv_view dv, fv_view dkeys, fv_view dvalues, fv_view row, fv_view slot) {
    job j = job_of(dkeys, dvalues, dk, dv, row, slot);
    fv_parallel(x->pool, j.kv_heads, fv_grain(4 * j.count * j.head_dim), read_heads, &j);
}
