/* cudnn_probe [plans] [way ...]: what cuDNN makes of a vision tower's attention on this card: which of its ways work, how near they are to a reference in f32, whether a call
 * is the same bits three times, whether a window's bits depend on what is beside it or on the plan, how long it takes and how much memory. Every way is tried in a process
 * of its own, so that the next is tried where one fails. With `plans` no card is needed: plans for an H100 are built and not run (a libcuda.so.1 must be there all the same).
 *
 * A line: case, way, direction; microseconds of a call on the card and of the host; error of each result, root mean square and largest, in thousandths of the reference's; stats'
 * largest error; whether three calls gave the same bits; megabytes of workspace; seconds to build the plan; engine and knobs.
 *
 *   gcc -std=gnu17 -O3 -march=x86-64-v3 -I. -isystem /usr/local/cuda/include tests/cuda/cudnn_probe.c cuda/cudnn.c cuda/cudnn_graph.c core/error.c \
 *       -o cudnn_probe /usr/local/cuda/lib64/libcudart_static.a -ldl -lpthread -lrt -lm
 *   LD_LIBRARY_PATH=where/libcudnn.so.9/is ./cudnn_probe */
#include "cuda/cudnn.h"

#include <cuda_runtime_api.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { HEADS = 16, WINDOWS = 80, TENSORS = 8, THREADS = 16, TIMES = 20, SECONDS = 90 };
enum { OUT, DQ, DK, DV, RESULTS };
static const size_t slack = 1 << 20; /* bytes behind every tensor, of NaN: nobody may read or write them */

static fv_cudnn *library;
static cudaStream_t stream;

static void must(cudaError_t status, const char *what) {
    if (status == cudaSuccess) return;
    printf("STOP %s: %s\n", what, cudaGetErrorString(status));
    exit(1);
}

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* ---- windows ---- */

/* Windows of a call. What is in a window depends on its id and length alone. */
typedef struct {
    int count, id[WINDOWS], length[WINDOWS];
} set;

static void add(set *s, int id, int length) { s->id[s->count] = id, s->length[s->count++] = length; }

/* The first row of a window, packed. */
static int64_t row_of(const set *s, int window) {
    int64_t n = 0;
    for (int i = 0; i < window; i++) n += s->length[i];
    return n;
}
static int64_t rows_of(const set *s) { return row_of(s, s->count); }
static int longest_of(const set *s) {
    int n = 0;
    for (int i = 0; i < s->count; i++) n = s->length[i] > n ? s->length[i] : n;
    return n;
}
static float widen(uint16_t x) {
    uint32_t bits = (uint32_t)x << 16;
    float f;
    return memcpy(&f, &bits, sizeof f), f;
}
static uint16_t narrow(float x) {
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

/* A row of a head of q, k, v, dout (tensor 0 to 3). */
static void fill_row(uint16_t *to, int id, int tensor, int row, int head, int dim) {
    uint64_t s = ((uint64_t)id * 4 + (uint64_t)tensor) * 1000003u + (uint64_t)row * 64 + (uint64_t)head;
    s = (s + 1) * 0x9e3779b97f4a7c15u;
    for (int i = 0; i < dim; i++) {
        float sum = 0;
        for (int j = 0; j < 3; j++) s = s * 6364136223846793005u + 1442695040888963407u, sum += (float)(int32_t)(s >> 32) * 0x1p-31f;
        to[i] = narrow(sum * 1.5f);
    }
}

/* ---- the reference ---- */

typedef struct {
    int window, id, length, head, dim;
    float *result[RESULTS], *stats;
} task;
static struct {
    task *of;
    int count, next;
    pthread_mutex_t lock;
} work = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* In sixteen lanes, which a compiler turns into vectors. */
static float dot(const float *a, const float *b, int n) {
    float lane[16] = {0}, sum = 0;
    for (int i = 0; i < n; i += 16)
        for (int l = 0; l < 16; l++) lane[l] += a[i + l] * b[i + l];
    for (int l = 0; l < 16; l++) sum += lane[l];
    return sum;
}

static void add_row(float *restrict to, float a, const float *restrict from, int n) {
    for (int i = 0; i < n; i++) to[i] += a * from[i];
}

static void compute(task *t) {
    int n = t->length, d = t->dim;
    size_t size = (size_t)n * (size_t)d;
    float *in[4], *p = malloc((size_t)n * sizeof *p), *dp = malloc((size_t)n * sizeof *dp), scale = (float)(1 / sqrt(d));
    uint16_t row[256];
    for (int i = 0; i < 4; i++) {
        in[i] = malloc(size * sizeof(float));
        for (int r = 0; r < n; r++) {
            fill_row(row, t->id, i, r, t->head, d);
            for (int c = 0; c < d; c++) in[i][r * d + c] = widen(row[c]);
        }
        t->result[i] = calloc(size, sizeof(float));
    }
    t->stats = malloc((size_t)n * sizeof(float));
    for (int r = 0; r < n; r++) {
        const float *q = in[0] + r * d, *g = in[3] + r * d;
        float most = -INFINITY, total = 0, *out = t->result[OUT] + r * d;
        double sum = 0;
        for (int j = 0; j < n; j++) {
            p[j] = dot(q, in[1] + j * d, d) * scale, dp[j] = dot(g, in[2] + j * d, d);
            most = p[j] > most ? p[j] : most;
        }
        for (int j = 0; j < n; j++) p[j] = expf(p[j] - most), sum += (double)p[j];
        t->stats[r] = most + logf((float)sum);
        for (int j = 0; j < n; j++) p[j] = (float)((double)p[j] / sum), total += p[j] * dp[j];
        for (int j = 0; j < n; j++) {
            float ds = p[j] * (dp[j] - total) * scale;
            add_row(out, p[j], in[2] + j * d, d), add_row(t->result[DQ] + r * d, ds, in[1] + j * d, d);
            add_row(t->result[DK] + j * d, ds, q, d), add_row(t->result[DV] + j * d, p[j], g, d);
        }
    }
    for (int i = 0; i < 4; i++) free(in[i]);
    free(p), free(dp);
}

static void *worker(void *unused) {
    (void)unused;
    for (;;) {
        pthread_mutex_lock(&work.lock);
        int i = work.next++;
        pthread_mutex_unlock(&work.lock);
        if (i >= work.count) return NULL;
        compute(&work.of[i]);
    }
}

/* All heads, or of long windows two. */
static task *reference(const set *s, int dim, int *count) {
    pthread_t threads[THREADS];
    task *all = calloc((size_t)s->count * HEADS, sizeof *all);
    *count = 0;
    for (int w = 0; w < s->count; w++)
        for (int h = 0; h < HEADS; h++)
            if (s->length[w] <= 512 || h == 0 || h == 11) all[(*count)++] = (task){.window = w, .id = s->id[w], .length = s->length[w], .head = h, .dim = dim};
    work.of = all, work.count = *count, work.next = 0;
    for (int i = 0; i < THREADS; i++) pthread_create(&threads[i], NULL, worker, NULL);
    for (int i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
    return all;
}

/* ---- a call on the card ---- */

typedef struct {
    const char *name;
    fv_cudnn_layout layout;
    fv_cudnn_words words;
    bool deterministic, interleaved, found; /* q, k, v in one tensor; the plan that fv_cudnn_find gives */
    int room, longest;                      /* the plan's windows and rows, where more than needed */
} way;

typedef struct {
    bool ran[2];                /* forward, back */
    uint16_t *result[RESULTS];  /* [rows, heads, dim] */
    float *stats;               /* [rows, heads] */
    bool same[2], clean;        /* every time the same bits; nothing beyond its rows was written */
    double micros[2], host[2], build[2], megabytes[2];
    char engine[2][64];
    fv_error error[2]; /* text "": none */
} outcome;

/* One call's memory. A row of window w of the card's tensors is at base[w] + row. */
typedef struct {
    const set *s;
    fv_cudnn_shape shape;
    int64_t base[WINDOWS + 1], card_rows, width;
    char *tensor[TENSORS]; /* qkv or q, k, v; out; dout; dq, dk, dv or dqkv */
    size_t bytes, in_bytes;
    float *stats;
    int32_t *numbers, *host_numbers;
    fv_cudnn_call call;
} call_memory;

static void *take(size_t bytes) {
    void *p;
    must(cudaMalloc(&p, bytes + slack), "cudaMalloc");
    must(cudaMemset(p, 0xff, bytes + slack), "cudaMemset");
    return p;
}

static void place(call_memory *m, const set *s, const way *w, int dim, int windows) {
    m->s = s, m->width = HEADS * dim;
    bool ragged = w->layout == FV_CUDNN_RAGGED;
    for (int i = 0; i < s->count; i++) m->base[i + 1] = m->base[i] + (ragged ? s->length[i] : m->shape.longest);
    m->card_rows = m->base[s->count];
    int n = windows + 1;
    m->host_numbers = calloc((size_t)n * 4, sizeof(int32_t));
    for (int i = 0; i < n; i++) {
        int64_t at = m->base[i < s->count ? i : s->count];
        m->host_numbers[i] = i < s->count ? s->length[i] : 0;
        m->host_numbers[n + i] = (int32_t)(at * m->shape.step), m->host_numbers[2 * n + i] = (int32_t)(at * m->width), m->host_numbers[3 * n + i] = (int32_t)(at * HEADS);
    }
    m->numbers = take((size_t)n * 16);
    must(cudaMemcpy(m->numbers, m->host_numbers, (size_t)n * 16, cudaMemcpyHostToDevice), "numbers");
    m->bytes = (size_t)(m->card_rows * m->width) * 2, m->in_bytes = w->interleaved ? 3 * m->bytes : m->bytes;
    for (int i = 0; i < TENSORS; i++) m->tensor[i] = take(i < 3 || i > 4 ? m->in_bytes : m->bytes);
    m->stats = take((size_t)(m->card_rows * HEADS) * 4);
    m->call = (fv_cudnn_call){.out = m->tensor[3], .stats = m->stats, .q = m->tensor[0], .k = m->tensor[1], .v = m->tensor[2], .dout = m->tensor[4], .dq = m->tensor[5], .dk = m->tensor[6],
                              .dv = m->tensor[7], .lengths = m->numbers, .offset_in = m->numbers + n, .offset_out = m->numbers + 2 * n, .offset_stats = m->numbers + 3 * n};
    if (!w->interleaved) return;
    m->call.k = m->tensor[0] + 2 * m->width, m->call.v = m->tensor[0] + 4 * m->width;
    m->call.dk = m->tensor[5] + 2 * m->width, m->call.dv = m->tensor[5] + 4 * m->width;
}

/* Inputs and dout go up; rows without a window are zeros. */
static void upload(call_memory *m, const way *w, int dim) {
    uint16_t *host = malloc(m->in_bytes);
    for (int tensor = 0; tensor < 4; tensor++) {
        bool in_one = w->interleaved && tensor < 3;
        if (!in_one || tensor == 0) memset(host, 0, m->in_bytes);
        int64_t step = in_one ? 3 * m->width : m->width, from = in_one ? tensor * m->width : 0;
        for (int i = 0; i < m->s->count; i++)
            for (int r = 0; r < m->s->length[i]; r++)
                for (int h = 0; h < HEADS; h++) fill_row(host + (m->base[i] + r) * step + from + h * dim, m->s->id[i], tensor, r, h, dim);
        if (in_one && tensor < 2) continue;
        char *to = tensor == 3 ? m->tensor[4] : in_one ? m->tensor[0] : m->tensor[tensor];
        must(cudaMemcpy(to, host, in_one ? m->in_bytes : m->bytes, cudaMemcpyHostToDevice), "inputs");
    }
    free(host);
}

/* A tensor of the card as [rows, heads, dim]; and whether what lies behind it is as it was. */
static bool download(const call_memory *m, uint16_t *to, const void *from, const char *whole, size_t whole_bytes, int64_t step) {
    char *host = malloc(whole_bytes + slack);
    must(cudaMemcpy(host, whole, whole_bytes + slack, cudaMemcpyDeviceToHost), "results");
    const uint16_t *at = (const uint16_t *)(void *)(host + ((const char *)from - whole));
    for (int i = 0; i < m->s->count; i++)
        for (int r = 0; r < m->s->length[i]; r++, to += m->width) memcpy(to, at + (m->base[i] + r) * step, (size_t)m->width * 2);
    bool clean = true;
    for (size_t i = whole_bytes; i < whole_bytes + slack; i++) clean = clean && host[i] == (char)0xff;
    free(host);
    return clean;
}

static void download_stats(const call_memory *m, float *to, bool ragged) {
    float *host = malloc((size_t)(m->card_rows * HEADS) * 4);
    int64_t l = m->shape.longest;
    must(cudaMemcpy(host, m->stats, (size_t)(m->card_rows * HEADS) * 4, cudaMemcpyDeviceToHost), "stats");
    for (int i = 0; i < m->s->count; i++)
        for (int r = 0; r < m->s->length[i]; r++)
            for (int h = 0; h < HEADS; h++) *to++ = ragged ? host[(m->base[i] + r) * HEADS + h] : host[(i * HEADS + h) * l + r];
    free(host);
}

/* Microseconds of a call in a row of them: from a CUDA graph where it can be captured, and the host's own. */
static void measure(const fv_cudnn_plan *p, const fv_cudnn_call *call, double *card, double *host) {
    cudaGraph_t graph = NULL;
    cudaGraphExec_t ready = NULL;
    cudaEvent_t begun, ended;
    float ms = 0;
    must(cudaEventCreate(&begun), "event"), must(cudaEventCreate(&ended), "event");
    double t = now();
    for (int i = 0; i < TIMES; i++) fv_cudnn_run(p, call, NULL);
    *host = (now() - t) * 1e6 / TIMES;
    must(cudaStreamSynchronize(stream), "calls");
    bool captured = cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal) == cudaSuccess;
    for (int i = 0; captured && i < TIMES; i++) captured = fv_cudnn_run(p, call, NULL) == FV_OK;
    if (cudaStreamEndCapture(stream, &graph) != cudaSuccess || !captured || cudaGraphInstantiate(&ready, graph, 0) != cudaSuccess) ready = NULL;
    cudaGetLastError();
    for (int round = 0; round < 3; round++) {
        must(cudaEventRecord(begun, stream), "event");
        if (ready) must(cudaGraphLaunch(ready, stream), "graph");
        for (int i = 0; !ready && i < TIMES; i++) fv_cudnn_run(p, call, NULL);
        must(cudaEventRecord(ended, stream), "event"), must(cudaEventSynchronize(ended), "timing");
        must(cudaEventElapsedTime(&ms, begun, ended), "event");
        if (round == 0 || (double)ms * 1e3 / TIMES < *card) *card = (double)ms * 1e3 / TIMES;
    }
    if (ready) cudaGraphExecDestroy(ready);
    if (graph) cudaGraphDestroy(graph);
    cudaEventDestroy(begun), cudaEventDestroy(ended);
}

static void name_engine(char text[64], const fv_cudnn_plan *p) {
    const fv_cudnn_engine *e = &fv_cudnn_shape_of(p)->engine;
    int n = snprintf(text, 64, "eng%lld", (long long)e->engine);
    for (int i = 0; i < e->count && n < 64; i++) n += snprintf(text + n, 64 - (size_t)n, ",k%d=%lld", e->knob[i], (long long)e->value[i]);
    if (n < 64 && !fv_cudnn_repeats(p)) snprintf(text + n, 64 - (size_t)n, ",nondet");
}

/* Three times, the outputs being NaN before each (zeros for PADDED): whether all were the same bits. */
static fv_status run_thrice(call_memory *m, const fv_cudnn_plan *p, bool back, bool *same, fv_error *err) {
    int poison = m->shape.layout == FV_CUDNN_PADDED ? 0 : 0xff; /* rows without a window stay as they are, and the way back reads them */
    size_t bytes = back ? m->in_bytes : m->bytes, stats = (size_t)(m->card_rows * HEADS) * 4;
    int first = back ? 5 : 3, last = back ? 7 : 3;
    char *seen = malloc(3 * bytes + stats), *again = malloc(3 * bytes + stats);
    *same = true;
    for (int turn = 0; turn < 3; turn++) {
        char *to = turn ? again : seen;
        for (int i = first; i <= last; i++) must(cudaMemsetAsync(m->tensor[i], poison, bytes, stream), "poison");
        if (!back) must(cudaMemsetAsync(m->stats, poison, stats, stream), "poison");
        fv_status status = fv_cudnn_run(p, &m->call, err);
        if (status != FV_OK) return free(seen), free(again), status;
        must(cudaStreamSynchronize(stream), back ? "the way back" : "the way forward");
        memset(to, 0, 3 * bytes + stats);
        for (int i = first; i <= last; i++) must(cudaMemcpy(to + (size_t)(i - first) * bytes, m->tensor[i], bytes, cudaMemcpyDeviceToHost), "results");
        if (!back) must(cudaMemcpy(to + 3 * bytes, m->stats, stats, cudaMemcpyDeviceToHost), "results");
        if (turn && memcmp(seen, again, 3 * bytes + stats) != 0) *same = false;
    }
    free(seen), free(again);
    return FV_OK;
}

/* One direction: plan, run, time. */
static bool go(outcome *o, call_memory *m, const way *w, bool back, bool timed) {
    fv_error *err = &o->error[back];
    fv_cudnn_plan *p = NULL;
    double t = now();
    fv_status status = w->found ? fv_cudnn_find(&p, library, &m->shape, err) : fv_cudnn_build(&p, library, &m->shape, err);
    o->build[back] = now() - t;
    if (status == FV_OK) {
        name_engine(o->engine[back], p);
        o->megabytes[back] = (double)fv_cudnn_workspace(p) * 1e-6;
        if (!stream) return true; /* no card */
        m->call.workspace = take(fv_cudnn_workspace(p));
        status = run_thrice(m, p, back, &o->same[back], err);
        if (status == FV_OK && timed) measure(p, &m->call, &o->micros[back], &o->host[back]);
        cudaFree(m->call.workspace);
    }
    if (p && !w->found) fv_cudnn_plan_close(p);
    return o->ran[back] = status == FV_OK;
}

static outcome run(const set *s, const way *w, int dim, bool timed) {
    outcome o = {.clean = true};
    call_memory m = {.shape = {.layout = w->layout, .words = w->words, .deterministic = w->deterministic, .heads = HEADS, .head_dim = dim, .windows = w->room ? w->room : s->count,
                               .longest = w->longest ? w->longest : longest_of(s), .rows = rows_of(s), .step = HEADS * dim * (w->interleaved ? 3 : 1), .scale = (float)(1 / sqrt(dim)),
                               .engine.count = -1}};
    if (!stream) {
        go(&o, &m, w, false, false);
        m.shape.back = true;
        go(&o, &m, w, true, false);
        return o;
    }
    place(&m, s, w, dim, 256);
    upload(&m, w, dim);
    size_t rows = (size_t)rows_of(s);
    bool ragged = w->layout == FV_CUDNN_RAGGED;
    for (int i = 0; i < RESULTS; i++) o.result[i] = calloc(rows * (size_t)m.width, 2);
    o.stats = calloc(rows * HEADS, sizeof(float));
    if (go(&o, &m, w, false, timed)) {
        o.clean = download(&m, o.result[OUT], m.tensor[3], m.tensor[3], m.bytes, m.width);
        download_stats(&m, o.stats, ragged);
        m.shape.back = true;
        if (go(&o, &m, w, true, timed)) {
            const void *from[] = {m.call.dq, m.call.dk, m.call.dv};
            for (int i = 0; i < 3; i++) o.clean = download(&m, o.result[DQ + i], from[i], w->interleaved ? m.tensor[5] : m.tensor[5 + i], m.in_bytes, m.shape.step) && o.clean;
        }
    }
    for (int i = 0; i < TENSORS; i++) cudaFree(m.tensor[i]);
    cudaFree(m.stats), cudaFree(m.numbers), free(m.host_numbers);
    return o;
}

static void drop(outcome *o) {
    for (int i = 0; i < RESULTS; i++) free(o->result[i]);
    free(o->stats);
}

/* ---- what is asked ---- */
/* Root mean square and largest error, of the reference's; a number that is none makes both NaN. */
static void errors(const outcome *o, const set *s, const task *tasks, int count, int which, double *rms, double *most) {
    double sum = 0, all = 0, worst = 0, largest = 0, bad = 0;
    for (int i = 0; i < count; i++) {
        const task *t = &tasks[i];
        int64_t base = row_of(s, t->window);
        for (int r = 0; r < t->length; r++)
            for (int c = 0; c < t->dim; c++) {
                double want = (double)t->result[which][r * t->dim + c], got = (double)widen(o->result[which][((base + r) * HEADS + t->head) * t->dim + c]), e = fabs(got - want);
                if (!(e < 1e30)) bad = NAN;
                sum += e * e, all += want * want;
                worst = e > worst ? e : worst, largest = fabs(want) > largest ? fabs(want) : largest;
            }
    }
    *rms = sqrt(sum / all) + bad, *most = worst / largest + bad;
}

static double stats_error(const outcome *o, const set *s, const task *tasks, int count) {
    double worst = 0;
    for (int i = 0; i < count; i++) {
        int64_t base = row_of(s, tasks[i].window);
        for (int r = 0; r < tasks[i].length; r++) {
            double e = fabs((double)o->stats[(base + r) * HEADS + tasks[i].head] - (double)tasks[i].stats[r]);
            worst = e > worst || !(e < 1e30) ? e : worst;
        }
    }
    return worst;
}

static const char *const results[] = {"out", "dq", "dk", "dv"};

static void show(const char *name, const set *s, const way *w, const outcome *o, const task *tasks, int count) {
    for (int back = 0; back < 2; back++) {
        printf("%s %s %s: ", name, w->name, back ? "back" : "fwd");
        if (o->error[back].text[0]) printf("FAILED %.250s\n", o->error[back].text);
        else if (!o->ran[back]) printf("%.0fMB %.2fs %s\n", o->megabytes[back], o->build[back], o->engine[back]);
        if (!o->ran[back]) {
            if (stream) return;
            continue;
        }
        printf("%.1fus h%.0f", o->micros[back], o->host[back]);
        for (int i = back ? DQ : OUT; i <= (back ? (int)DV : (int)OUT); i++) {
            double rms = 0, most = 0;
            errors(o, s, tasks, count, i, &rms, &most);
            printf(" %s %.1f/%.0f", results[i], rms * 1e3, most * 1e3);
        }
        if (!back) printf(" st %.0e", stats_error(o, s, tasks, count));
        printf(" %s%s %.0fMB %.2fs %s\n", o->same[back] ? "same" : "VARIES", o->clean ? "" : " WROTE TOO FAR", o->megabytes[back], o->build[back], o->engine[back]);
    }
    fflush(stdout);
}

/* Whether windows of both sets have the same bits, result by result. */
static void compare(const char *what, const outcome *a, const set *sa, const outcome *b, const set *sb, int dim) {
    char text[160] = "";
    int found = 0;
    if (b->error[0].text[0] || b->error[1].text[0]) {
        printf("bits %s: FAILED %.180s\n", what, b->error[b->error[0].text[0] ? 0 : 1].text);
        return;
    }
    for (int i = 0; i < RESULTS; i++) {
        int windows = 0, numbers = 0;
        found = 0;
        for (int x = 0; x < sa->count; x++)
            for (int y = 0; y < sb->count; y++) {
                if (sa->id[x] != sb->id[y] || sa->length[x] != sb->length[y]) continue;
                const uint16_t *p = a->result[i] + row_of(sa, x) * HEADS * dim, *q = b->result[i] + row_of(sb, y) * HEADS * dim;
                int differ = 0;
                for (int n = 0; n < sa->length[x] * HEADS * dim; n++) differ += p[n] != q[n];
                found++, windows += differ > 0, numbers += differ;
            }
        size_t n = strlen(text);
        if (windows) snprintf(text + n, sizeof text - n, " %s DIFFERS in %d windows, %d numbers;", results[i], windows, numbers);
    }
    printf("bits %s: %d windows:%s\n", what, found, found == 0 ? " none compared" : text[0] ? text : " the same");
    fflush(stdout);
}

/* ---- the cases ---- */

enum { WINDOWS_64, PICTURE, MIXED, PICTURES, MIXED_64, PICTURE_64, TESTS };
typedef struct {
    const char *name;
    set s;
    int dim, task_count;
    task *tasks;
} test;
static test tests[TESTS];

static void make_tests(bool references) {
    static const int mixed[] = {64, 32, 16, 48, 64, 8, 24, 64, 40, 4, 64, 56};
    static const char *const names[] = {"a:64x64", "b:1x5184", "c:mixed", "d:8x1024", "c:mixed,d64", "b:1x1920,d64"};
    for (int i = 0; i < 64; i++) add(&tests[WINDOWS_64].s, 100 + i, 64);
    add(&tests[PICTURE].s, 200, 5184);
    for (int i = 0; i < 24; i++) add(&tests[MIXED].s, i, mixed[i % 12]);
    for (int i = 0; i < 8; i++) add(&tests[PICTURES].s, 300 + i, 1024);
    tests[MIXED_64].s = tests[MIXED].s;
    add(&tests[PICTURE_64].s, 400, 1920);
    for (int i = 0; i < TESTS; i++) {
        tests[i].name = names[i], tests[i].dim = i < MIXED_64 ? 80 : 64;
        if (references) tests[i].tasks = reference(&tests[i].s, tests[i].dim, &tests[i].task_count);
    }
}

/* A window's bits beside others and in other plans. */
static void ask_of_bits(const way *w, const outcome *picture, const outcome *mixed) {
    const set *c = &tests[MIXED].s;
    set others = {.count = 0}, one = {.count = 0}, beside = {.count = 0};
    for (int i = c->count - 1; i >= 0; i--) {
        add(&others, c->id[i], c->length[i]);
        add(&others, 500 + i, 1 + 5 * i % 64);
    }
    add(&one, c->id[1], c->length[1]);
    for (int i = 0; i < 4; i++) add(&beside, c->id[i], c->length[i]);
    add(&beside, 200, 5184);
    way found = *w, in_one = *w, wide = *w;
    found.found = true, in_one.interleaved = true, wide.room = 64, wide.longest = 512;
    struct {
        const char *what;
        const set *s;
        const way *w;
        bool picture;
    } of[] = {{"beside others, reversed", &others, w, false}, {"of 32 rows, alone", &one, w, false},          {"beside a picture of 5184", &beside, w, true},
              {"plan of 64 windows of 512", c, &wide, false}, {"fv_cudnn_find's plan", c, &found, false},          {"found, beside a picture", &beside, &found, true},
              {"q, k, v in one tensor", c, &in_one, false}};
    for (size_t i = 0; i < FV_COUNT(of); i++) {
        char what[80];
        outcome o = run(of[i].s, of[i].w, 80, false);
        snprintf(what, sizeof what, "%s %s", w->name, of[i].what);
        compare(what, mixed, c, &o, of[i].s, 80);
        snprintf(what, sizeof what, "%s picture %s", w->name, of[i].what);
        if (of[i].picture) compare(what, picture, &tests[PICTURE].s, &o, of[i].s, 80);
        drop(&o);
    }
}

static const way ways[] = {
    {.name = "ragged", .layout = FV_CUDNN_RAGGED, .deterministic = true},
    {.name = "whole", .layout = FV_CUDNN_RAGGED, .words = FV_CUDNN_WHOLE, .deterministic = true},
    {.name = "adding", .layout = FV_CUDNN_RAGGED},
    {.name = "padded", .layout = FV_CUDNN_PADDED, .deterministic = true},
    {.name = "equal", .layout = FV_CUDNN_EQUAL, .deterministic = true},
};

/* An H100, as cuDNN writes it. */
static const char h100[] = "{\"maxGridSize\":[2147483647,65535,65535],\"maxBlockSize\":[1024,1024,64],\"regsPerBlock\":65536,\"multiProcessorCount\":132,\"warpSize\":32,"
                           "\"maxSharedMemoryPerBlock\":49152,\"maxSharedMemoryPerBlockOptin\":232448,\"reservedSharedMemoryPerBlock\":1024,\"maxRegistersPerSM\":65536,"
                           "\"maxCtasPerSM\":32,\"maxThreadsPerBlock\":1024,\"maxThreadsPerSM\":2048,\"pciDeviceId\":0,\"isTccDriver\":0,\"supportCoopLaunch\":1,"
                           "\"totalGlobalMem\":85029158912,\"smClockRateKHz\":1980000,\"memClockRateKHz\":2619000,\"l2CacheSize\":52428800,\"cudaDeviceId\":0,"
                           "\"deviceVer\":900,\"driverVer\":13000,\"deviceName\":\"NVIDIA H100 80GB HBM3\"}";

static int try_way(const way *w, bool plans) {
    fv_error err;
    struct cudaDeviceProp card = {.name = "a card that is not here"};
    double t = now();
    if (!plans) {
        must(cudaGetDeviceProperties(&card, 0), "cudaGetDeviceProperties");
        must(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), "cudaStreamCreateWithFlags");
    }
    if (fv_cudnn_open(&library, stream, plans ? h100 : NULL, &err) != FV_OK) return printf("%s: %s\n", w->name, err.text), 1;
    if (w == ways) printf("%s, cuDNN %zu, opened in %.1fs\n", card.name, fv_cudnn_version(library), now() - t);
    fflush(stdout);
    outcome of[TESTS] = {{.clean = true}};
    for (int i = 0; i < TESTS; i++) {
        if ((w->layout == FV_CUDNN_EQUAL && i == MIXED) || (w != ways && i >= MIXED_64)) continue;
        of[i] = run(&tests[i].s, w, tests[i].dim, true);
        show(tests[i].name, &tests[i].s, w, &of[i], tests[i].tasks, tests[i].task_count);
    }
    bool fine = !plans && of[PICTURE].ran[1] && of[MIXED].ran[1];
    if (fine && w->layout == FV_CUDNN_RAGGED) ask_of_bits(w, &of[PICTURE], &of[MIXED]);
    if (!plans && w != ways && of[PICTURE].ran[1]) {
        const test *x = &tests[w->layout == FV_CUDNN_EQUAL ? WINDOWS_64 : MIXED], *y = &tests[PICTURE];
        outcome first = run(&x->s, ways, x->dim, false), second = run(&y->s, ways, y->dim, false);
        char what[80];
        snprintf(what, sizeof what, "ragged and %s, %s", w->name, x->name);
        compare(what, &of[x - tests], &x->s, &first, &x->s, x->dim);
        snprintf(what, sizeof what, "ragged and %s, %s", w->name, y->name);
        compare(what, &of[PICTURE], &y->s, &second, &y->s, y->dim);
        drop(&first), drop(&second);
    }
    for (int i = 0; i < TESTS; i++) drop(&of[i]);
    fv_cudnn_close(library);
    return 0;
}

int main(int argc, char **argv) {
    bool plans = argc > 1 && strcmp(argv[1], "plans") == 0;
    double t = now();
    make_tests(!plans);
    printf("references in %.1fs\n", now() - t);
    for (size_t i = 0; i < FV_COUNT(ways); i++) {
        int status = 0;
        bool asked = argc == 1 + plans;
        for (int j = 1 + plans; j < argc; j++) asked = asked || strcmp(argv[j], ways[i].name) == 0;
        if (!asked) continue;
        fflush(stdout);
        pid_t child = fork();
        if (child == 0) {
            alarm(SECONDS); /* a kernel that never ends */
            status = try_way(&ways[i], plans);
            fflush(stdout);
            _exit(status);
        }
        if (child < 0 || waitpid(child, &status, 0) < 0) return perror("fork"), 1;
        if (WIFSIGNALED(status)) printf("%s: ended by signal %d\n", ways[i].name, WTERMSIG(status));
    }
    printf("done in %.1fs\n", now() - t);
    return 0;
}
