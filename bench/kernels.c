/* What a run's time on a card is made of: CUDA loads this library into any program (fovea, PyTorch), and at its end there is a table of kernels.
 *
 *   cc -shared -fPIC -O2 -I/usr/local/cuda/include -o kernels.so bench/kernels.c -L/usr/local/cuda/lib64 -lcupti
 *   KERNELS_OUT=kernels.csv CUDA_INJECTION64_PATH=$PWD/kernels.so build/fovea train ... device=cuda
 *
 * kernel, blocks, threads, calls, microseconds, share of all kernels' time; the largest first. Of CUPTI's activity records (docs.nvidia.com/cupti). Times are the card's own clock;
 * the program runs slower by what the records cost the host. A program that is ended by SIGTERM has its table, too. */
#include <cupti.h>

#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BUFFER = 8 << 20, ROWS_MOST = 4096, NAME = 96 };

typedef struct {
    char name[NAME];
    int64_t blocks, calls;
    int threads;
    double ns;
} row;

static row rows[ROWS_MOST];
static int count;
static uint64_t first, last;
static double copied_bytes, copied_ns, cleared_ns;
static int64_t copies, clears, dropped; /* dropped: calls of kernels that found no row */

static void add(const char *name, int64_t blocks, int threads, double ns) {
    int i = 0;
    while (i < count && (rows[i].blocks != blocks || rows[i].threads != threads || strncmp(rows[i].name, name, NAME - 1) != 0)) i++;
    if (i == ROWS_MOST) {
        dropped++;
        return;
    }
    if (i == count) {
        snprintf(rows[i].name, NAME, "%s", name);
        rows[i].blocks = blocks, rows[i].threads = threads;
        count++;
    }
    rows[i].calls++;
    rows[i].ns += ns;
}

static void see(const CUpti_Activity *record) {
    uint64_t start = 0, end = 0;
    if (record->kind == CUPTI_ACTIVITY_KIND_CONCURRENT_KERNEL || record->kind == CUPTI_ACTIVITY_KIND_KERNEL) {
        const CUpti_ActivityKernel9 *k = (const CUpti_ActivityKernel9 *)record;
        start = k->start, end = k->end;
        add(k->name, (int64_t)k->gridX * k->gridY * k->gridZ, k->blockX * k->blockY * k->blockZ, (double)(end - start));
    } else if (record->kind == CUPTI_ACTIVITY_KIND_MEMCPY) {
        const CUpti_ActivityMemcpy5 *m = (const CUpti_ActivityMemcpy5 *)record;
        start = m->start, end = m->end;
        copies++, copied_bytes += (double)m->bytes, copied_ns += (double)(end - start);
    } else if (record->kind == CUPTI_ACTIVITY_KIND_MEMSET) {
        const CUpti_ActivityMemset4 *m = (const CUpti_ActivityMemset4 *)record;
        start = m->start, end = m->end;
        clears++, cleared_ns += (double)(end - start);
    }
    if (start && (!first || start < first)) first = start;
    if (end > last) last = end;
}

static void CUPTIAPI give(uint8_t **buffer, size_t *size, size_t *most) {
    *buffer = aligned_alloc(8, BUFFER);
    *size = BUFFER;
    *most = 0;
}

static void CUPTIAPI take(CUcontext context, uint32_t stream, uint8_t *buffer, size_t size, size_t valid) {
    (void)context, (void)stream, (void)size;
    CUpti_Activity *record = NULL;
    while (cuptiActivityGetNextRecord(buffer, valid, &record) == CUPTI_SUCCESS) see(record);
    free(buffer);
}

static int longer(const void *a, const void *b) { return ((const row *)a)->ns < ((const row *)b)->ns ? 1 : -1; }

static void print(void) {
    cuptiActivityFlushAll(CUPTI_ACTIVITY_FLAG_FLUSH_FORCED);
    const char *path = getenv("KERNELS_OUT");
    FILE *f = path ? fopen(path, "w") : stderr;
    double all = 0;
    if (!f) {
        fprintf(stderr, "kernels: KERNELS_OUT=%s: can't be written\n", path);
        return;
    }
    for (int i = 0; i < count; i++) all += rows[i].ns;
    qsort(rows, (size_t)count, sizeof *rows, longer);
    fprintf(f, "kernel,blocks,threads,calls,microseconds,share\n");
    for (int i = 0; i < count; i++)
        fprintf(f, "%s,%lld,%d,%lld,%.1f,%.4f\n", rows[i].name, (long long)rows[i].blocks, rows[i].threads, (long long)rows[i].calls, rows[i].ns * 1e-3, rows[i].ns / all);
    fprintf(f, "(copies),%.0f,0,%lld,%.1f,\n(clears),0,0,%lld,%.1f,\n(kernels),0,0,0,%.1f,\n(first to last),0,0,0,%.1f,\n", copied_bytes, (long long)copies, copied_ns * 1e-3,
            (long long)clears, cleared_ns * 1e-3, all * 1e-3, (double)(last - first) * 1e-3);
    if (dropped) fprintf(f, "(more kinds than the table holds),0,0,%lld,,\n", (long long)dropped);
    if (f != stderr) fclose(f);
}

/* Nothing that a handler may not do matters any more: the program is at its end. */
static void leave(int signal) {
    (void)signal;
    print();
    _Exit(128 + SIGTERM);
}

int InitializeInjection(void); /* CUDA looks for this name */
int InitializeInjection(void) {
    if (cuptiActivityRegisterCallbacks(give, take) != CUPTI_SUCCESS) return 0;
    cuptiActivityEnable(CUPTI_ACTIVITY_KIND_CONCURRENT_KERNEL);
    cuptiActivityEnable(CUPTI_ACTIVITY_KIND_MEMCPY);
    cuptiActivityEnable(CUPTI_ACTIVITY_KIND_MEMSET);
    atexit(print);
    signal(SIGTERM, leave);
    return 1;
}
