/* Attention of the bf16 table where there are many queries, on Hopper's own instructions (built for sm_90a): one thread brings pages by bulk copies into a ring of stages, two groups of four
 * warps have 64 queries each and multiply by wgmma, p from their registers. Bits are those of cuda/kernels/attention_bf16.cu. */
#include "cuda/kernels/online_softmax.h"
#include "cuda/kernels/attention_hopper.h"

enum { GROUPS = FV_TC_GROUPS, CONSUMERS = FV_TC_CONSUMERS, THREADS = FV_TC_BLOCK_THREADS, STAGES = FV_TC_STAGES };
static_assert(GROUPS * FV_TC_QUERIES == FV_TC_MANY, "a group has 64 queries");

#define STAGE_BYTES(parts) FV_TC_GROUP_BYTES(parts)
#define ROOM_BYTES(parts) (FV_TC_ALIGNED + GROUPS * (parts) * BLOCK_BYTES + STAGES * STAGE_BYTES(parts) + 2 * STAGES * (int)sizeof(fv_gate))

#if FV_HAS_WGMMA

typedef struct {
    char *q, *stage; /* [groups][parts] blocks; [stages][keys, values][parts] blocks */
    fv_gate *full, *empty;
} room;

FV_DEVICE room room_of(const int parts) {
    room r;
    r.q = fv_tc_aligned(FV_SHARED(char));
    r.stage = r.q + GROUPS * parts * BLOCK_BYTES;
    r.full = (fv_gate *)(r.stage + STAGES * STAGE_BYTES(parts));
    r.empty = r.full + STAGES;
    return r;
}

/* One thread's work: the pages of the tile, four at a time; which the next are is asked for ahead. */
FV_DEVICE void produce(const fv_tc_job *j, const room *r, const fv_tile *t, int kv_head, const int parts) {
    const fv_plan *p = &j->a.plan;
    const int32_t *list = p->pages + t->list;
    int end = t->page + t->pages, page = t->page / FV_TC_PAGES * FV_TC_PAGES, stage = 0, parity = 1;
    int32_t now[FV_TC_PAGES], next[FV_TC_PAGES];
    fv_tc_four_pages(next, list, page, end);
    for (; page < end; page += FV_TC_PAGES) {
#pragma unroll
        for (int c = 0; c < FV_TC_PAGES; c++) now[c] = next[c];
        fv_tc_four_pages(next, list, page + FV_TC_PAGES, end);
        fv_gate_wait(&r->empty[stage], parity);
        fv_tc_bulk_pages(r->stage + stage * STAGE_BYTES(parts), j->keys, j->values, p, now, kv_head, &r->full[stage], parts);
        if (++stage == STAGES) stage = 0, parity ^= 1;
    }
}

FV_DEVICE void ask_scores(float *s, fv_operand q, fv_operand keys, const int parts) {
    fv_wgmma_begin();
    fv_tc_ask_scores(s, q, keys, parts);
    fv_wgmma_commit();
}

FV_DEVICE void ask_mix(float *mixed, const fv_kept *weights, fv_operand values, const int parts) {
    fv_wgmma_begin();
    fv_tc_ask_mix(mixed, weights, values, parts);
    fv_wgmma_commit();
}

/* A group of four warps: 64 queries. The next group's scores are made, and weighed, while p and values of this one are multiplied. */
FV_DEVICE void consume(const fv_tc_job *j, const room *r, const fv_tile *t, int kv_head, const int parts) {
    const fv_plan *p = &j->a.plan;
    int group = FV_THREAD / 128, row = group * FV_TC_QUERIES + FV_THREAD / 32 % 4 * 16, end = t->page + t->pages, page = t->page / FV_TC_PAGES * FV_TC_PAGES, stage = 0, parity = 0;
    float scale = fv_mul(p->scale, FV_LOG2_E), s[FV_TC_WIDE * 4], max[2], sum[2], rescale[2];
    fv_query see[2];
    fv_online all, y;
    fv_kept weights;
#pragma unroll
    for (int h = 0; h < 2; h++) see[h] = fv_query_of(p, t, row + FV_THREAD % 32 / 4 + h * 8);
    fv_online_begin(&all, parts);
    fv_online_begin(&y, parts);
    fv_operand q = fv_operand_of(r->q + group * parts * BLOCK_BYTES);
    fv_gate_wait(&r->full[0], 0);
    ask_scores(s, q, fv_operand_of(r->stage), parts);
    fv_wgmma_wait(s, FV_TC_WIDE * 4);
    fv_online_exponentiate(y.max, y.sum, rescale, s, see, page * FV_PAGE, scale);
    fv_keep(&weights, s);
    for (; page + FV_TC_PAGES < end; page += FV_TC_PAGES) {
        bool cut = (page + FV_TC_PAGES) % FV_TC_CHUNK_PAGES == 0;
        int next = stage + 1 == STAGES ? 0 : stage + 1;
        parity ^= next == 0;
        fv_gate_wait(&r->full[next], parity);
        ask_scores(s, q, fv_operand_of(r->stage + next * STAGE_BYTES(parts)), parts);
        ask_mix(y.mixed, &weights, fv_operand_of(r->stage + stage * STAGE_BYTES(parts) + parts * BLOCK_BYTES), parts);
        fv_wgmma_wait_for_these(s, FV_TC_WIDE * 4);
#pragma unroll
        for (int h = 0; h < 2; h++) max[h] = cut ? fv_nothing() : y.max[h], sum[h] = cut ? 0 : y.sum[h];
        fv_online_exponentiate(max, sum, rescale, s, see, (page + FV_TC_PAGES) * FV_PAGE, scale);
        fv_wgmma_wait(y.mixed, parts * FV_TC_WIDE * 4);
        fv_keep(&weights, s); /* not before: what a product under way reads from must stay */
        if (FV_THREAD % 32 == 0) fv_gate_arrive(&r->empty[stage]);
        if (cut) {
            fv_online_combine(&all, &y, scale, parts);
            fv_online_begin(&y, parts);
        } else {
            fv_online_rescale(&y, rescale, parts);
        }
#pragma unroll
        for (int h = 0; h < 2; h++) y.max[h] = max[h], y.sum[h] = sum[h];
        stage = next;
    }
    ask_mix(y.mixed, &weights, fv_operand_of(r->stage + stage * STAGE_BYTES(parts) + parts * BLOCK_BYTES), parts);
    fv_wgmma_wait(y.mixed, parts * FV_TC_WIDE * 4);
    fv_online_combine(&all, &y, scale, parts);
    fv_online_store(j, t, &all, row, kv_head, parts);
}

/* A block is (kv head, tile). */
FV_DEVICE void attend(const fv_tc_job *j, const int parts) {
    room r = room_of(parts);
    int kv_head = (int)(FV_BLOCK / j->a.plan.tiles);
    fv_tile t = fv_block_tile(&j->a.plan, kv_head);
    if (FV_THREAD == 0) {
        for (int i = 0; i < STAGES; i++) {
            fv_gate_init(&r.full[i], 1);
            fv_gate_init(&r.empty[i], GROUPS * 4);
        }
    }
    if (FV_THREAD < CONSUMERS)
        fv_tc_rows(r.q + FV_THREAD / 128 * parts * BLOCK_BYTES, j->a.q, &j->a.plan, &t, FV_THREAD / 128 * FV_TC_QUERIES, kv_head, FV_THREAD % 128, parts);
    fv_gates_made(); /* gates and queries are seen by copies and by products */
    FV_SYNC();
    if (FV_THREAD < CONSUMERS) {
        fv_registers_more();
        consume(j, &r, &t, kv_head, parts);
    } else {
        fv_registers_less();
        if (FV_THREAD == CONSUMERS) produce(j, &r, &t, kv_head, parts);
    }
}

#else /* a card that is no Hopper: never launched there */
#define attend(j, parts) (void)(j)
#endif

FV_GLOBAL_OF(attend_many_64, fv_tc_job, THREADS, 1) { attend(&j, 1); }
FV_GLOBAL_OF(attend_many_128, fv_tc_job, THREADS, 1) { attend(&j, 2); }

FV_TABLE_OP void fv_attend_wgmma(const fv_tc_job *j) {
    int64_t blocks = j->a.plan.tiles * j->a.plan.kv_heads;
    if (fv_tc_parts(j->a.plan.dim) == 1) FV_LAUNCH_WIDE(attend_many_64, blocks, THREADS, ROOM_BYTES(1), *j);
    else FV_LAUNCH_WIDE(attend_many_128, blocks, THREADS, ROOM_BYTES(2), *j);
}
