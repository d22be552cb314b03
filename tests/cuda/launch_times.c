/* cuda_launch_times: what a launch costs the host, and until the card is done: made for itself, and in graphs that are told new arguments for so many eighths of their launches. A token of
 * decoding is a thousand such launches. Says whether a graph is worth it that has changed so much (cuda/window.c: PART_NEW). Needs no library but the C library's (tests/cuda/on_card.sh). */
#include "core/progress.h"
#include "cuda/cuda.h"
#include "cuda/runtime.h"

#include <stdio.h>
#include <stdlib.h>

enum { LAUNCHES = 1024, NUMBERS = 2048, WARM = 4, PASSES = 30 };

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
    fv_arena_free(exec.scratch);
    return 0;
}
