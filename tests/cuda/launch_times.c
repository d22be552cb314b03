/* cuda_launch_times: what a launch costs the host, and until the card is done: made for itself, and in graphs that are told new arguments for so many eighths of their launches. A token of
 * decoding is a thousand such launches. Says whether a graph is worth it that has changed so much (cuda/window.c: PART_NEW). Then what it gains that kernels follow each other closely: where each is
 * to wait for the one before, and products of one row whose weights come from memory. Needs no library but the C library's (tests/cuda/on_card.sh). */
#include "core/progress.h"
#include "cuda/cuda.h"
#include "cuda/runtime.h"

#include <stdio.h>
#include <stdlib.h>

enum { LAUNCHES = 1024, NUMBERS = 2048, WARM = 4, PASSES = 30, PAIRS = 48 };

static const fv_ops *ops;
static fv_exec exec;
static float *to, *from; /* [LAUNCHES][NUMBERS], the card's: every launch has its own, as layers have */

static void must(fv_status s, const fv_error *err) {
    if (s == FV_OK) return;
    fprintf(stderr, "%s\n", err->text);
    exit(s == FV_UNSUPPORTED ? 77 : 1);
}

static float *take(void) {
    void *data;
    fv_error err;
    must(ops->alloc(&data, (size_t)LAUNCHES * NUMBERS * sizeof(float), &err), &err);
    return data;
}

static fv_view part(float *data, int i) {
    fv_view v = fv_vec(data + i * NUMBERS, NUMBERS);
    v.device = FV_CUDA;
    return v;
}

static void print_times(const char *name, int eighths, bool plainly) {
    double host = 1e30, all = 1e30;
    fv_error err;
    fv_cuda_launches before = {0};
    fv_cuda_plainly(plainly);
    for (int pass = 0; pass < WARM + PASSES; pass++) {
        if (pass == WARM) before = fv_cuda_counts();
        double start = fv_now();
        for (int i = 0; i < LAUNCHES; i++) ops->axpy(&exec, part(to, i), i % 8 < eighths ? (float)pass * 1e-6f : 0, part(from, i));
        fv_cuda_flush();
        double given = fv_now() - start;
        must(ops->check(&err), &err);
        double done = fv_now() - start;
        if (pass >= WARM && given < host) host = given;
        if (pass >= WARM && done < all) all = done;
    }
    fv_cuda_launches now = fv_cuda_counts();
    printf("%-24s %10.2f %10.2f %10.0f %10.0f\n", name, host * 1e6 / LAUNCHES, all * 1e6 / LAUNCHES, (double)(now.graphs - before.graphs) / PASSES, (double)(now.updated - before.updated) / PASSES);
    fflush(stdout);
}

/* ---- rows of launches, each of which needs the one before ---- */

static void add_to_one(int i) { ops->axpy(&exec, part(to, 0), 1e-6f, part(from, i)); }

/* A row times a weight and that times another: as many copies of both as don't fit into the second-level cache. */
static const fv_ops *bf16;
static const int64_t cached = (int64_t)300 << 20;
static struct {
    int64_t wide, narrow; /* [wide, narrow], then [narrow, wide] */
    int copies;
    char *packed[2];
    size_t bytes[2];
    fv_view w[2], row, between;
} pair;

static void multiply_twice(int i) {
    for (int n = 0; n < 2; n++)
        bf16->linear(&exec, &(fv_linear_map){.y = n ? pair.row : pair.between, .w = pair.w[n], .packed = pair.packed[n] + (size_t)(i % pair.copies) * pair.bytes[n]}, 1, n ? pair.between : pair.row);
}

/* Microseconds of each, and with how many of them the kernel before had not to end first. */
static double micros(void (*launch)(int i), int count, bool apart, double *early) {
    double best = 1e30;
    fv_error err;
    fv_cuda_launches before = fv_cuda_counts();
    fv_cuda_apart(apart);
    for (int pass = 0; pass < WARM + PASSES; pass++) {
        double start = fv_now();
        for (int i = 0; i < count; i++) launch(i);
        must(ops->check(&err), &err);
        double took = fv_now() - start;
        if (pass >= WARM && took < best) best = took;
    }
    fv_cuda_apart(false);
    *early = (double)(fv_cuda_counts().early - before.early) / (double)(fv_cuda_counts().launches - before.launches);
    return best * 1e6 / count;
}

static void print_chain(const char *name, void (*launch)(int i), int count, double bytes) {
    double early[2], apart = micros(launch, count, true, &early[0]), closely = micros(launch, count, false, &early[1]);
    printf("%-40s %10.2f %10.2f %10.0f %10.0f %9.0f%%\n", name, apart, closely, bytes / apart * 1e-3, bytes / closely * 1e-3, early[1] * 100);
    fflush(stdout);
}

static void *card_zeros(size_t bytes) {
    void *data;
    fv_error err;
    must(ops->alloc(&data, bytes, &err), &err);
    ops->clear(&exec, data, bytes);
    return data;
}

static void print_products(int64_t wide, int64_t narrow) {
    char name[64];
    pair.wide = wide, pair.narrow = narrow;
    void *zeros = card_zeros((size_t)(wide * narrow) * sizeof(float));
    pair.row = fv_mat(card_zeros((size_t)narrow * sizeof(float)), 1, narrow), pair.between = fv_mat(card_zeros((size_t)wide * sizeof(float)), 1, wide);
    for (int n = 0; n < 2; n++) {
        pair.w[n] = fv_mat(zeros, n ? narrow : wide, n ? wide : narrow);
        pair.bytes[n] = bf16->linear_packed_bytes(pair.w[n]);
        pair.copies = (int)(cached / (int64_t)(2 * pair.bytes[n])) + 1;
        pair.packed[n] = card_zeros(pair.bytes[n] * (size_t)pair.copies);
        for (int i = 0; i < pair.copies; i++) bf16->linear_pack(&exec, pair.packed[n] + (size_t)i * pair.bytes[n], pair.w[n]);
    }
    snprintf(name, sizeof name, "a row times [%lld, %lld] and back", (long long)wide, (long long)narrow);
    print_chain(name, multiply_twice, PAIRS, (double)(pair.bytes[0] + pair.bytes[1]));
    ops->free(zeros), ops->free(pair.row.data), ops->free(pair.between.data), ops->free(pair.packed[0]), ops->free(pair.packed[1]);
}

int main(void) {
    static const int parts[] = {0, 1, 2, 4, 5, 6, 7};
    fv_error err;
    must(fv_cuda_table(&ops, FV_PRECISION_F32, &err), &err);
    exec.scratch = fv_ops_arena(ops, 0);
    to = take(), from = take();
    printf("%-24s %10s %10s %10s %10s\n", "microseconds a launch", "host", "done", "graphs", "updates");
    print_times("each for itself", 0, true);
    for (size_t i = 0; i < FV_COUNT(parts); i++) {
        char name[32];
        snprintf(name, sizeof name, "graphs, %d/8 are new", parts[i]);
        print_times(name, parts[i], false);
    }
    must(fv_cuda_table(&bf16, FV_PRECISION_BF16, &err), &err);
    printf("%-40s %10s %10s %10s %10s %10s\n", "microseconds, and GB/s", "apart", "closely", "apart", "closely", "of them");
    print_chain("a sum that is added to", add_to_one, LAUNCHES, 3.0 * NUMBERS * sizeof(float));
    print_products(2048, 2048);
    print_products(11008, 2048);
    fv_arena_free(exec.scratch);
    return 0;
}
