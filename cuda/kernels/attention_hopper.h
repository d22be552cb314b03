/* What attention by wgmma and its way back share: a block of two groups of four warps that multiply and one that brings, what they multiply, and pages by bulk copies. */
#ifndef FV_CUDA_KERNELS_ATTENTION_HOPPER_H
#define FV_CUDA_KERNELS_ATTENTION_HOPPER_H

#include "cuda/kernels/attention_bf16.h"
#include "cuda/kernels/hopper.h"

enum { FV_TC_GROUPS = 2, FV_TC_CONSUMERS = FV_TC_GROUPS * 128, FV_TC_BLOCK_THREADS = FV_TC_CONSUMERS + 128, FV_TC_STAGES = 4 };

/* Operands begin at multiples of 1024 bytes: that many more of a block's memory are asked for. */
enum { FV_TC_ALIGNED = 1024 };

/* A group of keys and their values: one behind the other. */
#define FV_TC_GROUP_BYTES(parts) (2 * (parts) * BLOCK_BYTES)

#if FV_HAS_WGMMA

FV_DEVICE char *fv_tc_aligned(char *shared) { return shared + (FV_TC_ALIGNED - (uintptr_t)shared % FV_TC_ALIGNED) % FV_TC_ALIGNED; }

/* s [64 rows of `rows`][64 of `others`], over all columns; between a begin and a commit. */
FV_DEVICE void fv_tc_ask_scores(float *s, fv_operand rows, fv_operand others, const int parts) {
#pragma unroll
    for (int part = 0; part < parts; part++)
#pragma unroll
        for (int l = 0; l < BLOCK_SIDE / 16; l++)
            fv_wgmma(s, fv_operand_at(rows, part * BLOCK_BYTES + l * 32), fv_operand_at(others, part * BLOCK_BYTES + l * 32), part || l, FV_TC_KEYS, false, false);
}

/* sum += the group's 64 rows of 64 numbers times others [64][columns]; likewise. */
FV_DEVICE void fv_tc_ask_mix(float *sum, const fv_kept *rows, fv_operand others, const int parts) {
#pragma unroll
    for (int l = 0; l < FV_TC_KEYS / 16; l++) fv_wgmma_kept(sum, rows->v[l], fv_operand_at(others, l * 16 * BLOCK_ROW_BYTES), parts * BLOCK_SIDE);
}

/* Pages list[at .. end), of them four: the last is named again where there are fewer, and not seen. */
FV_DEVICE void fv_tc_four_pages(int32_t *to, const int32_t *list, int at, int end) {
#pragma unroll
    for (int c = 0; c < FV_TC_PAGES; c++) to[c] = list[at + c < end ? at + c : end - 1];
}

/* One thread's: keys and values of four pages, counted at the gate. */
FV_DEVICE void fv_tc_bulk_pages(char *to, const char *keys, const char *values, const fv_plan *p, const int32_t *pages, int kv_head, fv_gate *gate, const int parts) {
    fv_gate_expect(gate, FV_TC_GROUP_BYTES(parts));
#pragma unroll
    for (int c = 0; c < FV_TC_PAGES; c++) {
        int64_t panel = ((int64_t)pages[c] * p->kv_heads + kv_head) * parts * FV_TC_PANEL;
#pragma unroll
        for (int part = 0; part < parts; part++) {
            fv_bulk(to + part * BLOCK_BYTES + c * FV_TC_PANEL, keys + panel + part * FV_TC_PANEL, FV_TC_PANEL, gate);
            fv_bulk(to + (parts + part) * BLOCK_BYTES + c * FV_TC_PANEL, values + panel + part * FV_TC_PANEL, FV_TC_PANEL, gate);
        }
    }
}

#endif

#endif
