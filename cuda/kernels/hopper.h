/* What a product on Hopper's tensor cores is made of (sm_90a): gates that tell when copies are there, bulk copies into a block's memory, and wgmma,
 * the product of two tiles in a block's memory that four warps ask for together. Below each: the same on the host, for the stand-in
 * of a card (tests/cuda/stand_in.h). */
#ifndef FV_CUDA_KERNELS_HOPPER_H
#define FV_CUDA_KERNELS_HOPPER_H

#include "cuda/kernels/mma.h"

/* A gate (mbarrier). A phase is over when as many have arrived as it was made for, and all bytes that were announced are there. A thread waits for the
 * end of the phase of a parity, 0 for the first; the phase before the first, of parity 1, counts as over.
 *
 * A tile in a block's memory is of type fv_operand: where it begins, at a multiple of 1024 bytes plus steps of fv_operand_at. */

#ifdef __CUDACC__

#if defined(__CUDA_ARCH_FEAT_SM90_ALL) || !defined(__CUDA_ARCH__) /* sm_90a; the host's pass */
#define FV_HAS_WGMMA 1
#else
#define FV_HAS_WGMMA 0
#endif

typedef uint64_t fv_gate;
typedef uint64_t fv_operand;

FV_DEVICE uint32_t fv_shared_address(const void *p) { return (uint32_t)__cvta_generic_to_shared(p); }

#if FV_HAS_WGMMA

FV_DEVICE void fv_gate_init(fv_gate *gate, int count) {
    asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(fv_shared_address(gate)), "r"(count) : "memory");
}
/* What this thread has written into the block's memory, gates and numbers, is seen by copies and by products (which are of the asynchronous proxy). */
FV_DEVICE void fv_gates_made(void) { asm volatile("fence.proxy.async.shared::cta;" ::: "memory"); }
/* Arrives, and announces bytes. */
FV_DEVICE void fv_gate_expect(fv_gate *gate, int bytes) {
    asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(fv_shared_address(gate)), "r"(bytes) : "memory");
}
FV_DEVICE void fv_gate_arrive(fv_gate *gate) { asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(fv_shared_address(gate)) : "memory"); }
FV_DEVICE void fv_gate_wait(fv_gate *gate, int parity) {
    uint32_t open;
    do asm volatile("{\n.reg .pred p;\nmbarrier.try_wait.parity.shared::cta.b64 p, [%1], %2;\nselp.u32 %0, 1, 0, p;\n}\n"
                    : "=r"(open)
                    : "r"(fv_shared_address(gate)), "r"(parity)
                    : "memory");
    while (!open);
}

/* A bulk copy: multiples of 16 bytes, both sides aligned to 16; its bytes are counted at the gate. */
FV_DEVICE void fv_bulk(char *to, const char *from, int bytes, fv_gate *gate) {
    asm volatile("cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1], %2, [%3];" ::"r"(fv_shared_address(to)), "l"(from), "r"(bytes),
                 "r"(fv_shared_address(gate))
                 : "memory");
}
/* The instruction's descriptor: groups of 8 rows are 1024 bytes apart, blocks of 64 columns of a turned tile BLOCK_BYTES, 128-byte swizzle. */
FV_DEVICE fv_operand fv_operand_of(const char *p) {
    return (uint64_t)((fv_shared_address(p) & 0x3ffffu) >> 4) | (uint64_t)(BLOCK_BYTES >> 4) << 16 | (uint64_t)(1024 >> 4) << 32 | (uint64_t)1 << 62;
}
FV_DEVICE fv_operand fv_operand_at(fv_operand t, int bytes) { return t + (uint64_t)(bytes >> 4); }

/* A block of three groups of four warps begins with 168 registers a thread: the first two take 240, the third, which brings, keeps 24. For all threads of a group. */
FV_DEVICE void fv_registers_more(void) { asm volatile("setmaxnreg.inc.sync.aligned.u32 240;" ::: "memory"); }
FV_DEVICE void fv_registers_less(void) { asm volatile("setmaxnreg.dec.sync.aligned.u32 24;" ::: "memory"); }

/* Registers may be used by the tensor cores from here on. */
FV_DEVICE void fv_wgmma_begin(void) { asm volatile("wgmma.fence.sync.aligned;" ::: "memory"); }
/* Ends a group of products. */
FV_DEVICE void fv_wgmma_commit(void) { asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory"); }
/* All groups but the latest are done. */
FV_DEVICE void fv_wgmma_wait_for_earlier(void) { asm volatile("wgmma.wait_group.sync.aligned 1;" ::: "memory"); }
/* The same, and the sums of the group before the latest can be read. */
FV_DEVICE void fv_wgmma_wait_for_these(float *sum, const int count) {
    fv_wgmma_wait_for_earlier();
#pragma unroll
    for (int i = 0; i < count; i++) asm volatile("" : "+f"(sum[i])::"memory");
}
/* All are done, and the sums can be read: not before, whatever the compiler thinks. */
FV_DEVICE void fv_wgmma_wait(float *sum, const int count) {
    asm volatile("wgmma.wait_group.sync.aligned 0;" ::: "memory");
#pragma unroll
    for (int i = 0; i < count; i++) asm volatile("" : "+f"(sum[i])::"memory");
}

/* An instruction names all of its sums. */
#define FV_TEN(t) "%" #t "0,%" #t "1,%" #t "2,%" #t "3,%" #t "4,%" #t "5,%" #t "6,%" #t "7,%" #t "8,%" #t "9"
#define FV_NAMES_8 "%0,%1,%2,%3"
#define FV_NAMES_16 FV_NAMES_8 ",%4,%5,%6,%7"
#define FV_NAMES_32 FV_TEN() ",%10,%11,%12,%13,%14,%15"
#define FV_NAMES_64 FV_TEN() "," FV_TEN(1) "," FV_TEN(2) ",%30,%31"
#define FV_NAMES_128 FV_TEN() "," FV_TEN(1) "," FV_TEN(2) "," FV_TEN(3) "," FV_TEN(4) "," FV_TEN(5) ",%60,%61,%62,%63"
#define FV_NAMES_192                                                                                                   \
    FV_TEN() "," FV_TEN(1) "," FV_TEN(2) "," FV_TEN(3) "," FV_TEN(4) "," FV_TEN(5) "," FV_TEN(6) "," FV_TEN(7) "," FV_TEN(8) ",%90,%91,%92,%93,%94,%95"
#define FV_NAMES_256                                                                                                   \
    FV_TEN() "," FV_TEN(1) "," FV_TEN(2) "," FV_TEN(3) "," FV_TEN(4) "," FV_TEN(5) "," FV_TEN(6) "," FV_TEN(7) "," FV_TEN(8) "," FV_TEN(9) "," FV_TEN(10) \
    "," FV_TEN(11) ",%120,%121,%122,%123,%124,%125,%126,%127"
#define FV_FOUR(i) "+f"(sum[i]), "+f"(sum[(i) + 1]), "+f"(sum[(i) + 2]), "+f"(sum[(i) + 3])
#define FV_SUMS_8 FV_FOUR(0)
#define FV_SUMS_16 FV_FOUR(0), FV_FOUR(4)
#define FV_16_FROM(i) FV_FOUR(i), FV_FOUR((i) + 4), FV_FOUR((i) + 8), FV_FOUR((i) + 12)
#define FV_SUMS_32 FV_16_FROM(0)
#define FV_SUMS_64 FV_16_FROM(0), FV_16_FROM(16)
#define FV_SUMS_128 FV_SUMS_64, FV_16_FROM(32), FV_16_FROM(48)
#define FV_SUMS_192 FV_SUMS_128, FV_16_FROM(64), FV_16_FROM(80)
#define FV_SUMS_256 FV_SUMS_192, FV_16_FROM(96), FV_16_FROM(112)

/* `a_number`, `b_number`, `more_number`: the numbers of the operands after the sums. */
#define FV_WGMMA(n, a_number, b_number, more_number, a_turned, b_turned)                                               \
    asm volatile("{\n.reg .pred p;\nsetp.ne.b32 p, " more_number ", 0;\n"                                             \
                 "wgmma.mma_async.sync.aligned.m64n" #n "k16.f32.bf16.bf16 {" FV_NAMES_##n "}, " a_number ", " b_number ", p, 1, 1, " #a_turned ", " #b_turned ";\n}\n" \
                 : FV_SUMS_##n                                                                                         \
                 : "l"(a), "l"(b), "r"((int)more))

/* sum[n / 2] of this thread = (more ? sum : 0) + the product over 16 of k of a tile of 64 rows with one of n rows. Thread t of the four warps has, for c < n / 8
 * and i < 4, in sum[4 * c + i] row 16 * (t / 32) + t % 32 / 4 + i / 2 * 8 of the first with row 8 * c + t % 4 * 2 + i % 2 of the second. */
FV_DEVICE void fv_wgmma(float *sum, fv_operand a, fv_operand b, bool more, const int n, const bool a_turned, const bool b_turned) {
    const bool upright = n == 8 || n == 16 || n == 32 || n == 64 || n == 192;
    if (upright ? a_turned || b_turned : (n != 128 && n != 256) || (b_turned && !a_turned)) asm volatile("fv_wgmma has no such shape;"); /* stops the compiler */
    if (n == 8) FV_WGMMA(8, "%4", "%5", "%6", 0, 0);
    if (n == 16) FV_WGMMA(16, "%8", "%9", "%10", 0, 0);
    if (n == 32) FV_WGMMA(32, "%16", "%17", "%18", 0, 0);
    if (n == 64) FV_WGMMA(64, "%32", "%33", "%34", 0, 0);
    if (n == 128 && !a_turned) FV_WGMMA(128, "%64", "%65", "%66", 0, 0);
    if (n == 192) FV_WGMMA(192, "%96", "%97", "%98", 0, 0);
    if (n == 256 && !a_turned) FV_WGMMA(256, "%128", "%129", "%130", 0, 0);
    if (n == 128 && a_turned && !b_turned) FV_WGMMA(128, "%64", "%65", "%66", 1, 0);
    if (n == 256 && a_turned && !b_turned) FV_WGMMA(256, "%128", "%129", "%130", 1, 0);
    if (n == 128 && a_turned && b_turned) FV_WGMMA(128, "%64", "%65", "%66", 1, 1);
    if (n == 256 && a_turned && b_turned) FV_WGMMA(256, "%128", "%129", "%130", 1, 1);
}

/* sum[n / 2] += the warp's sixteen rows of `a`, which each of the four warps keeps for itself, times a turned tile [16 of k][n]; as fv_wgmma leaves them. */
#define FV_WGMMA_KEPT(n, a0, a1, a2, a3, b_number)                                                                     \
    asm volatile("wgmma.mma_async.sync.aligned.m64n" #n "k16.f32.bf16.bf16 {" FV_NAMES_##n "}, {" a0 "," a1 "," a2 "," a3 "}, " b_number ", 1, 1, 1, 1;\n" \
                 : FV_SUMS_##n                                                                                         \
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b))
FV_DEVICE void fv_wgmma_kept(float *sum, const uint32_t *a, fv_operand b, const int n) {
    if (n != 64 && n != 128) asm volatile("fv_wgmma_kept has no such shape;");
    if (n == 64) FV_WGMMA_KEPT(64, "%32", "%33", "%34", "%35", "%36");
    if (n == 128) FV_WGMMA_KEPT(128, "%64", "%65", "%66", "%67", "%68");
}

#endif /* FV_HAS_WGMMA */

#else /* the stand-in: what the stand-in's turns keep apart happens at once */

#define FV_HAS_WGMMA 1

typedef struct {
    uint16_t count, pending;
    uint8_t phase, unused;
    int16_t pieces; /* of 16 bytes: announced and not there yet */
} fv_gate; /* as large as the card's */
typedef const char *fv_operand;

FV_DEVICE void fv_gate_init(fv_gate *gate, int count) {
    gate->count = gate->pending = (uint16_t)count;
    gate->phase = gate->unused = 0;
    gate->pieces = 0;
}
FV_DEVICE void fv_gates_made(void) {}
FV_DEVICE void fv_gate_count(fv_gate *gate, int arrivals, int bytes) {
    gate->pending = (uint16_t)(gate->pending - arrivals);
    gate->pieces = (int16_t)(gate->pieces + bytes / 16);
    if (gate->pending || gate->pieces) return;
    gate->phase ^= 1;
    gate->pending = gate->count;
}
FV_DEVICE void fv_gate_expect(fv_gate *gate, int bytes) { fv_gate_count(gate, 1, bytes); }
FV_DEVICE void fv_gate_arrive(fv_gate *gate) { fv_gate_count(gate, 1, 0); }
FV_DEVICE void fv_gate_wait(fv_gate *gate, int parity) { fv_stand_in_gate(&gate->phase, (uint8_t)parity); }
FV_DEVICE void fv_bulk(char *to, const char *from, int bytes, fv_gate *gate) {
    memcpy(to, from, (size_t)bytes);
    fv_gate_count(gate, 0, -bytes);
}
FV_DEVICE fv_operand fv_operand_of(const char *p) { return p; }
FV_DEVICE fv_operand fv_operand_at(fv_operand t, int bytes) { return t + bytes; }
FV_DEVICE void fv_registers_more(void) {}
FV_DEVICE void fv_registers_less(void) {}
FV_DEVICE void fv_wgmma_begin(void) {}
FV_DEVICE void fv_wgmma_commit(void) {}
FV_DEVICE void fv_wgmma_wait_for_earlier(void) { fv_across(0, 1); } /* the whole warp has come here */
FV_DEVICE void fv_wgmma_wait(float *sum, const int count) {
    (void)sum, (void)count;
    fv_across(0, 1);
}
FV_DEVICE void fv_wgmma_wait_for_these(float *sum, const int count) { fv_wgmma_wait(sum, count); }

/* Number (row, l) of a tile, by its address: the swizzle turns bits 4 to 6 by bits 7 to 9. */
FV_DEVICE float fv_operand_number(fv_operand t, int row, int l, bool turned) {
    uintptr_t at = (uintptr_t)t + (uintptr_t)(turned ? row / BLOCK_SIDE * BLOCK_BYTES + l * BLOCK_ROW_BYTES + row % BLOCK_SIDE * 2 : row * BLOCK_ROW_BYTES + l * 2);
    return fv_widen_bf16(*(const uint16_t *)(at ^ (at >> 3 & 0x70)));
}

FV_DEVICE void fv_wgmma(float *sum, fv_operand a, fv_operand b, bool more, const int n, const bool a_turned, const bool b_turned) {
    int row = FV_THREAD / 32 % 4 * 16 + FV_THREAD % 32 / 4, col = FV_THREAD % 4 * 2;
    for (int e = 0; e < n / 2 && !more; e++) sum[e] = 0;
    for (int c = 0; c < n / 8; c++)
        for (int i = 0; i < 4; i++)
            for (int l = 0; l < 16; l++)
                sum[4 * c + i] = fv_fma(fv_operand_number(a, row + i / 2 * 8, l, a_turned), fv_operand_number(b, col + 8 * c + i % 2, l, b_turned), sum[4 * c + i]);
}

FV_DEVICE void fv_wgmma_kept(float *sum, const uint32_t *a, fv_operand b, const int n) {
    float left[2][16];
    int lane = FV_THREAD % 32;
    for (int i = 0; i < 4; i++) { /* lane row % 8 * 4 + k / 2 % 4 has number (row, k) */
        double mine = (double)a[i], one = fv_across_double(mine, 1), two = fv_across_double(mine, 2), three = fv_across_double(one, 2), from[4];
        from[lane % 4] = mine, from[lane % 4 ^ 1] = one, from[lane % 4 ^ 2] = two, from[lane % 4 ^ 3] = three;
        for (int q = 0; q < 4; q++)
            for (int e = 0; e < 2; e++) left[i % 2][i / 2 * 8 + q * 2 + e] = fv_widen_bf16((uint16_t)((uint32_t)from[q] >> 16 * e));
    }
    for (int c = 0; c < n / 8; c++)
        for (int i = 0; i < 4; i++)
            for (int l = 0; l < 16; l++)
                sum[4 * c + i] = fv_fma(left[i / 2][l], fv_operand_number(b, 8 * c + lane % 4 * 2 + i % 2, l, true), sum[4 * c + i]);
}

#endif

#endif
