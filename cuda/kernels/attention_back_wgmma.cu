/* The way back through attention on Hopper's own instructions (built for sm_90a): cuda/kernels/attention_back_bf16.cu with one thread that brings by bulk copies into a ring of stages, and two
 * groups of four warps that multiply by wgmma, p and ds from their registers. For dq a group has a tile of 64 queries each, beside each other in a run, and keys are brought once for both; for
 * dkeys and dvalues both have the same 64 keys, and every second tile of queries each. */
#include "cuda/kernels/attention_back_bf16.h"
#include "cuda/kernels/attention_hopper.h"

enum { GROUPS = FV_TC_GROUPS, CONSUMERS = FV_TC_CONSUMERS, THREADS = FV_TC_BLOCK_THREADS, STAGES = FV_TC_STAGES, WIDE = FV_TC_WIDE, NUMBERS = WIDE * 4 };

#define BLOCKS_BYTES(parts) ((parts) * BLOCK_BYTES)
#define ROW_STATS_BYTES (FV_TC_QUERIES * (int)sizeof(fv_tc_row_stats))
/* A stage: of dq keys and values; of the other q, dout and row_stats. */
#define PAIR_BYTES(parts) FV_TC_GROUP_BYTES(parts)
#define TILE_BYTES(parts) (2 * BLOCKS_BYTES(parts) + ROW_STATS_BYTES)
enum { GATES_BYTES = (2 * STAGES + 3) * (int)sizeof(fv_gate), PLACES_BYTES = STAGES * (int)sizeof(int32_t) };
#define DQ_ROOM(parts) (FV_TC_ALIGNED + GROUPS * PAIR_BYTES(parts) + STAGES * PAIR_BYTES(parts) + GATES_BYTES)
#define BUNDLE_ROOM(parts) (FV_TC_ALIGNED + PAIR_BYTES(parts) + STAGES * TILE_BYTES(parts) + GATES_BYTES + PLACES_BYTES)

#if FV_HAS_WGMMA

/* A block's memory: what stays, the stages, gates, and where a stage's tile is in the bundle's lists (-1: there is no more). */
typedef struct {
    char *kept, *stage;
    fv_gate *full, *empty, *there, *finished, *summed;
    int32_t *place;
} room;

FV_DEVICE room room_of(int kept, int stages) {
    room r;
    r.kept = fv_tc_aligned(FV_SHARED(char));
    r.stage = r.kept + kept;
    r.full = (fv_gate *)(r.stage + stages);
    r.empty = r.full + STAGES;
    r.there = r.empty + STAGES;
    r.finished = r.there + 1;
    r.summed = r.finished + 1;
    r.place = (int32_t *)(r.summed + 1);
    return r;
}

/* readers: threads that give a stage back. */
FV_DEVICE void make_gates(const room *r, int readers) {
    if (FV_THREAD == 0) {
        for (int i = 0; i < STAGES; i++) {
            fv_gate_init(&r->full[i], 1);
            fv_gate_init(&r->empty[i], readers);
        }
        fv_gate_init(r->there, 1);
        fv_gate_init(r->finished, 128);
        fv_gate_init(r->summed, 128);
        fv_gates_made();
    }
    FV_SYNC();
}

/* Pages list[at .. end), four. */
FV_DEVICE void bring_pages(char *to, const fv_tc_back_job *j, const int32_t *list, int at, int end, int kv_head, fv_gate *gate, const int parts) {
    int32_t pages[FV_TC_PAGES];
    fv_tc_four_pages(pages, list, at, end);
    fv_tc_bulk_pages(to, j->keys, j->values, &j->b.plan, pages, kv_head, gate, parts);
}

/* ---- tiles: dq ---- */

/* The pair of tiles of this block, and the pages that either sees. */
typedef struct {
    fv_tile tile[GROUPS];
    int64_t number; /* of the first */
    int count, page, end;
} pair;

FV_DEVICE pair pair_of(const fv_tc_back_job *j, int kv_head) {
    const fv_plan *p = &j->b.plan;
    int64_t n = FV_BLOCK % j->pair_count;
    int32_t first = j->pairs[kv_head % 2 ? j->pair_count - 1 - n : n];
    pair y;
    y.count = first < 0 ? 1 : 2;
    y.number = first < 0 ? -1 - first : first;
    y.tile[0] = p->tile[y.number];
    y.page = y.tile[0].page, y.end = y.page + y.tile[0].pages;
    if (y.count == 1) return y;
    y.tile[1] = p->tile[y.number + 1];
    if (y.tile[1].page < y.page) y.page = y.tile[1].page;
    if (y.tile[1].page + y.tile[1].pages > y.end) y.end = y.tile[1].page + y.tile[1].pages;
    return y;
}

FV_DEVICE void produce_pages(const fv_tc_back_job *j, const room *r, const pair *y, int kv_head, const int parts) {
    const int32_t *list = j->b.plan.pages + y->tile[0].list;
    int64_t at = kv_head * j->b.plan.tiles + y->number;
    int stage = 0, parity = 1, bytes = y->count * BLOCKS_BYTES(parts);
    fv_gate_expect(r->there, 2 * bytes);
    fv_bulk(r->kept, j->q + at * BLOCKS_BYTES(parts), bytes, r->there);
    fv_bulk(r->kept + GROUPS * BLOCKS_BYTES(parts), j->dout + at * BLOCKS_BYTES(parts), bytes, r->there);
    for (int page = y->page; page < y->end; page += FV_TC_PAGES) {
        fv_gate_wait(&r->empty[stage], parity);
        bring_pages(r->stage + stage * PAIR_BYTES(parts), j, list, page, y->end, kv_head, &r->full[stage], parts);
        if (++stage == STAGES) stage = 0, parity ^= 1;
    }
}

/* A group without a tile gives back what the other one reads. */
FV_DEVICE void pass_pages(const room *r, const pair *y) {
    int stage = 0, parity = 0;
    for (int page = y->page; page < y->end; page += FV_TC_PAGES) {
        fv_gate_wait(&r->full[stage], parity);
        fv_gate_arrive(&r->empty[stage]);
        if (++stage == STAGES) stage = 0, parity ^= 1;
    }
}

/* s and ds of a group of keys, to p and ds. */
FV_DEVICE void weigh_pages(const fv_tc_row_stats *row_stats, float *s, float *ds, int page, float exponent, float scale) {
#pragma unroll
    for (int e = 0; e < NUMBERS; e++)
        fv_tc_back_weigh(&row_stats[e / 2 % 2], &s[e], &ds[e], page * FV_PAGE + e / 4 * 8 + FV_THREAD % 4 * 2 + e % 2, exponent, scale);
}

/* The next group of keys is weighed while ds and keys of this one are multiplied. */
FV_DEVICE void consume_pages(const fv_tc_back_job *j, const room *r, const pair *y, int kv_head, const int parts) {
    const fv_plan *p = &j->b.plan;
    int group = FV_THREAD / 128, row = FV_THREAD / 32 % 4 * 16, lane = FV_THREAD % 32, stage = 0, parity = 0, page = y->page;
    float exponent = fv_mul(p->scale, FV_LOG2_E), dq[FV_TC_PARTS * NUMBERS], s[NUMBERS], ds[NUMBERS];
    fv_kept kept;
    fv_tc_row_stats row_stats[2];
    fv_tile t = group == 0 ? y->tile[0] : y->tile[1];
#pragma unroll
    for (int h = 0; h < 2; h++) row_stats[h] = j->row_stats[(kv_head * p->tiles + y->number + group) * FV_TC_QUERIES + row + lane / 4 + h * 8];
#pragma unroll
    for (int e = 0; e < FV_TC_PARTS * NUMBERS; e++) dq[e] = 0;
    fv_operand q = fv_operand_of(r->kept + group * BLOCKS_BYTES(parts)), dout = fv_operand_of(r->kept + (GROUPS + group) * BLOCKS_BYTES(parts));
    fv_gate_wait(r->there, 0);
    fv_gate_wait(&r->full[0], 0);
    fv_wgmma_begin();
    fv_tc_ask_scores(s, q, fv_operand_of(r->stage), parts);
    fv_tc_ask_scores(ds, dout, fv_operand_of(r->stage + BLOCKS_BYTES(parts)), parts);
    fv_wgmma_commit();
    fv_wgmma_wait(s, NUMBERS);
    fv_wgmma_wait(ds, NUMBERS);
    weigh_pages(row_stats, s, ds, page, exponent, p->scale);
    fv_keep(&kept, ds);
    for (; page + FV_TC_PAGES < y->end; page += FV_TC_PAGES) {
        int next = stage + 1 == STAGES ? 0 : stage + 1;
        parity ^= next == 0;
        fv_gate_wait(&r->full[next], parity);
        fv_wgmma_begin();
        fv_tc_ask_scores(s, q, fv_operand_of(r->stage + next * PAIR_BYTES(parts)), parts);
        fv_tc_ask_scores(ds, dout, fv_operand_of(r->stage + next * PAIR_BYTES(parts) + BLOCKS_BYTES(parts)), parts);
        fv_wgmma_commit();
        fv_wgmma_begin();
        fv_tc_ask_mix(dq, &kept, fv_operand_of(r->stage + stage * PAIR_BYTES(parts)), parts);
        fv_wgmma_commit();
        fv_wgmma_wait_for_these(s, NUMBERS);
        fv_wgmma_wait_for_these(ds, NUMBERS);
        weigh_pages(row_stats, s, ds, page + FV_TC_PAGES, exponent, p->scale);
        fv_wgmma_wait(dq, parts * NUMBERS);
        fv_keep(&kept, ds); /* not before: what a product under way reads from must stay */
        fv_gate_arrive(&r->empty[stage]);
        stage = next;
    }
    fv_wgmma_begin();
    fv_tc_ask_mix(dq, &kept, fv_operand_of(r->stage + stage * PAIR_BYTES(parts)), parts);
    fv_wgmma_commit();
    fv_wgmma_wait(dq, parts * NUMBERS);
    fv_tc_add_dq(&j->b, &t, dq, row, kv_head, parts);
}

/* A block is (kv head, pair). */
FV_DEVICE void back_pair(const fv_tc_back_job *j, const int parts) {
    room r = room_of(GROUPS * PAIR_BYTES(parts), STAGES * PAIR_BYTES(parts));
    int kv_head = (int)(FV_BLOCK / j->pair_count);
    pair y = pair_of(j, kv_head);
    make_gates(&r, CONSUMERS);
    if (FV_THREAD < CONSUMERS) {
        fv_registers_more();
        if (FV_THREAD / 128 < y.count) consume_pages(j, &r, &y, kv_head, parts);
        else pass_pages(&r, &y);
    } else {
        fv_registers_less();
        if (FV_THREAD == CONSUMERS) produce_pages(j, &r, &y, kv_head, parts);
    }
}

/* ---- bundles of pages: dkeys, dvalues ---- */

/* The bundle's keys and values, then tile after tile; at the end a word for each group that there is no more. */
FV_DEVICE void produce_tiles(const fv_tc_back_job *j, const room *r, int64_t bundle, int count, int kv_head, const int parts) {
    fv_cursor c = {j->b.visit_from[bundle], j->b.visit_from[bundle + 1], -1};
    int32_t at = 0;
    int stage = 0, parity = 1;
    bring_pages(r->kept, j, j->b.used + bundle * FV_TC_PAGES, 0, count, kv_head, r->there, parts);
    for (int ended = 0; ended < GROUPS;) {
        bool more = !ended && fv_next_tile(&j->b, &c, &at, count).n > 0;
        fv_gate_wait(&r->empty[stage], parity);
        r->place[stage] = more ? at : -1;
        if (more) {
            char *q = r->stage + stage * TILE_BYTES(parts);
            int64_t tile = kv_head * j->b.plan.tiles + c.tile - 1;
            fv_gate_expect(&r->full[stage], TILE_BYTES(parts));
            fv_bulk(q, j->q + tile * BLOCKS_BYTES(parts), BLOCKS_BYTES(parts), &r->full[stage]);
            fv_bulk(q + BLOCKS_BYTES(parts), j->dout + tile * BLOCKS_BYTES(parts), BLOCKS_BYTES(parts), &r->full[stage]);
            fv_bulk(q + 2 * BLOCKS_BYTES(parts), (const char *)(j->row_stats + tile * FV_TC_QUERIES), ROW_STATS_BYTES, &r->full[stage]);
        } else {
            ended++;
            fv_gate_arrive(&r->full[stage]);
        }
        if (++stage == STAGES) stage = 0, parity ^= 1;
    }
}

/* A group's tiles are those of every second stage. */
FV_DEVICE void consume_tiles(const fv_tc_back_job *j, const room *r, float *dkeys, float *dvalues, const int parts) {
    const fv_plan *p = &j->b.plan;
    int row = FV_THREAD / 32 % 4 * 16, lane = FV_THREAD % 32, stage = FV_THREAD / 128, parity = 0;
    float exponent = fv_mul(p->scale, FV_LOG2_E), s[NUMBERS], ds[NUMBERS];
    fv_kept weights, kept;
    fv_operand keys = fv_operand_of(r->kept), values = fv_operand_at(keys, BLOCKS_BYTES(parts));
    fv_gate_wait(r->there, 0);
    for (;;) {
        const char *tile = r->stage + stage * TILE_BYTES(parts);
        const fv_tc_row_stats *row_stats = (const fv_tc_row_stats *)(tile + 2 * BLOCKS_BYTES(parts));
        fv_operand q = fv_operand_of(tile), dout = fv_operand_at(q, BLOCKS_BYTES(parts));
        fv_gate_wait(&r->full[stage], parity);
        int at = r->place[stage];
        if (at < 0) break;
        fv_wgmma_begin();
        fv_tc_ask_scores(s, keys, q, parts);
        fv_tc_ask_scores(ds, values, dout, parts);
        fv_wgmma_commit();
        fv_wgmma_wait(s, NUMBERS);
        fv_wgmma_wait(ds, NUMBERS);
#pragma unroll
        for (int e = 0; e < NUMBERS; e++)
            fv_tc_back_weigh(&row_stats[e / 4 * 8 + lane % 4 * 2 + e % 2], &s[e], &ds[e], at * FV_PAGE + row + lane / 4 + e / 2 % 2 * 8, exponent, p->scale);
        fv_keep(&weights, s);
        fv_keep(&kept, ds);
        fv_wgmma_begin();
        fv_tc_ask_mix(dvalues, &weights, dout, parts);
        fv_tc_ask_mix(dkeys, &kept, q, parts);
        fv_wgmma_commit();
        fv_wgmma_wait(dvalues, parts * NUMBERS);
        fv_wgmma_wait(dkeys, parts * NUMBERS);
        fv_gate_arrive(&r->empty[stage]); /* every thread has read row_stats */
        if ((stage += GROUPS) >= STAGES) stage -= STAGES, parity ^= 1;
    }
}

/* A block is (bundle, kv head): the first pages, which most queries see, begin first. */
FV_DEVICE void back_bundle(const fv_tc_back_job *j, const int parts) {
    room r = room_of(PAIR_BYTES(parts), STAGES * TILE_BYTES(parts));
    int kv_head = (int)(FV_BLOCK % j->b.plan.kv_heads), count = 0;
    int64_t bundle = FV_BLOCK / j->b.plan.kv_heads;
    const int32_t *pages = j->b.used + bundle * FV_TC_PAGES;
    while (count < FV_TC_PAGES && pages[count] >= 0) count++;
    make_gates(&r, CONSUMERS / GROUPS);
    float *other = (float *)r.stage; /* the second group's sums, when both are done with the stages: [number][thread] */
    if (FV_THREAD < CONSUMERS) {
        fv_registers_more();
        float dkeys[FV_TC_PARTS * NUMBERS], dvalues[FV_TC_PARTS * NUMBERS];
#pragma unroll
        for (int e = 0; e < FV_TC_PARTS * NUMBERS; e++) dkeys[e] = dvalues[e] = 0;
        consume_tiles(j, &r, dkeys, dvalues, parts);
        if (FV_THREAD < 128) {
            fv_gate_arrive(r.finished);
            fv_gate_wait(r.summed, 0);
#pragma unroll
            for (int e = 0; e < parts * NUMBERS; e++) {
                dkeys[e] = fv_add(dkeys[e], other[e * 128 + FV_THREAD]);
                dvalues[e] = fv_add(dvalues[e], other[(parts * NUMBERS + e) * 128 + FV_THREAD]);
            }
            fv_tc_add_bundle(&j->b, dkeys, dvalues, pages, count, kv_head, parts);
        } else {
            fv_gate_wait(r.finished, 0);
#pragma unroll
            for (int e = 0; e < parts * NUMBERS; e++) {
                other[e * 128 + FV_THREAD - 128] = dkeys[e];
                other[(parts * NUMBERS + e) * 128 + FV_THREAD - 128] = dvalues[e];
            }
            fv_gate_arrive(r.summed);
        }
    } else {
        fv_registers_less();
        if (FV_THREAD == CONSUMERS) produce_tiles(j, &r, bundle, count, kv_head, parts);
    }
}

#else /* a card that is no Hopper: never launched there */
#define back_pair(j, parts) (void)(j)
#define back_bundle(j, parts) (void)(j)
#endif

FV_GLOBAL_OF(pair_back_64, fv_tc_back_job, THREADS, 1) { back_pair(&j, 1); }
FV_GLOBAL_OF(pair_back_128, fv_tc_back_job, THREADS, 1) { back_pair(&j, 2); }
FV_GLOBAL_OF(bundle_many_64, fv_tc_back_job, THREADS, 1) { back_bundle(&j, 1); }
FV_GLOBAL_OF(bundle_many_128, fv_tc_back_job, THREADS, 1) { back_bundle(&j, 2); }

FV_TABLE_OP void fv_attend_back_wgmma(const fv_tc_back_job *j) {
    int64_t pairs = j->pair_count * j->b.plan.kv_heads, bundles = j->b.used_count * j->b.plan.kv_heads;
    if (fv_tc_parts(j->b.plan.dim) == 1) {
        FV_LAUNCH_WIDE(pair_back_64, pairs, THREADS, DQ_ROOM(1), *j);
        FV_LAUNCH_WIDE(bundle_many_64, bundles, THREADS, BUNDLE_ROOM(1), *j);
    } else {
        FV_LAUNCH_WIDE(pair_back_128, pairs, THREADS, DQ_ROOM(2), *j);
        FV_LAUNCH_WIDE(bundle_many_128, bundles, THREADS, BUNDLE_ROOM(2), *j);
    }
}
