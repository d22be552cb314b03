/* An operation is cut into as many pieces as there are threads, and whoever is awake claims the next one. So a worker that
 * sleeps, or that another process keeps from running, is never waited for unless it holds a piece. Both sides spin before they
 * sleep on a futex: fork and join of a warm pool cost about a microsecond, where waking a sleeper costs fifty. */
#include "core/threads.h"

#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

enum {
    MAX_THREADS = 1024,
    SPINS = 2000, /* pauses before sleeping: some 30 us, longer than the gaps between a layer's operations */
};

/* A number that threads wait on. Sleepers are counted so that nobody pays for a system call when all are awake. */
typedef struct {
    _Atomic uint32_t value;
    _Atomic int sleepers;
} gate;

static void gate_wait_while(gate *g, uint32_t seen) {
    for (int i = 0; i < SPINS; i++) {
        if (atomic_load_explicit(&g->value, memory_order_acquire) != seen) return;
        __builtin_ia32_pause();
    }
    /* Either the waker sees this sleeper, or the kernel sees the waker's new value and does not sleep. */
    atomic_fetch_add(&g->sleepers, 1);
    while (atomic_load(&g->value) == seen) syscall(SYS_futex, &g->value, FUTEX_WAIT_PRIVATE, seen, NULL, NULL, 0);
    atomic_fetch_sub(&g->sleepers, 1);
}

static void gate_wake(gate *g) {
    if (atomic_load(&g->sleepers) > 0) syscall(SYS_futex, &g->value, FUTEX_WAKE_PRIVATE, MAX_THREADS, NULL, NULL, 0);
}

/* What threads write often lies on cache lines of its own. */
struct fv_pool {
    _Alignas(64) gate start;              /* counts operations: what idle workers wait on */
    _Alignas(64) gate pending;            /* pieces not yet finished: what the caller waits on */
    _Alignas(64) _Atomic uint64_t claims; /* operation << 32 | pieces that nobody has claimed */
    _Alignas(64) fv_range_body *body;     /* the operation; only who holds a piece of it may read this */
    void *context;
    int64_t n;
    int pieces;
    atomic_bool closing;
    int threads;
    struct worker {
        fv_pool *pool;
        pthread_t thread;
        int index;
    } *workers; /* [threads - 1] */
};

/* The operation's number in `claims` makes a late worker's exchange fail when it read the count of an earlier operation. */
static bool claim_piece(fv_pool *p, int *piece) {
    uint64_t seen = atomic_load_explicit(&p->claims, memory_order_relaxed);
    do {
        if ((uint32_t)seen == 0) return false;
    } while (!atomic_compare_exchange_weak_explicit(&p->claims, &seen, seen - 1, memory_order_acquire, memory_order_relaxed));
    *piece = (int)(uint32_t)seen - 1;
    return true;
}

static void run_pieces(fv_pool *p, int worker) {
    for (int i; claim_piece(p, &i);) {
        int64_t share = p->n / p->pieces, longer = p->n % p->pieces; /* the first pieces are one longer */
        int64_t begin = i * share + (i < longer ? i : longer);
        p->body(p->context, begin, begin + share + (i < longer), worker);
        if (atomic_fetch_sub(&p->pending.value, 1) == 1) gate_wake(&p->pending);
    }
}

static void *worker_main(void *argument) {
    struct worker *w = argument;
    for (uint32_t seen = 0;;) {
        gate_wait_while(&w->pool->start, seen);
        seen = atomic_load(&w->pool->start.value); /* before claiming: what comes later will be seen as new */
        if (atomic_load(&w->pool->closing)) return NULL;
        run_pieces(w->pool, w->index);
    }
}

void fv_parallel(fv_pool *p, int64_t n, int64_t grain, fv_range_body *body, void *context) {
    if (n <= 0) return;
    int64_t pieces = p ? n / (grain > 1 ? grain : 1) : 1;
    if (p && pieces > p->threads) pieces = p->threads;
    if (pieces <= 1) {
        body(context, 0, n, 0);
        return;
    }
    p->body = body;
    p->context = context;
    p->n = n;
    p->pieces = (int)pieces;
    atomic_store_explicit(&p->pending.value, (uint32_t)pieces, memory_order_relaxed);
    uint64_t operation = (atomic_load_explicit(&p->claims, memory_order_relaxed) >> 32) + 1;
    atomic_store_explicit(&p->claims, operation << 32 | (uint64_t)pieces, memory_order_release);
    atomic_fetch_add(&p->start.value, 1);
    gate_wake(&p->start);
    run_pieces(p, 0);
    for (uint32_t left; (left = atomic_load_explicit(&p->pending.value, memory_order_acquire)) != 0;)
        gate_wait_while(&p->pending, left);
}

int fv_pool_threads(const fv_pool *p) { return p ? p->threads : 1; }

static int threads_allowed(void) {
    cpu_set_t set;
    int n = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : (int)sysconf(_SC_NPROCESSORS_ONLN);
    return n < 1 ? 1 : n > MAX_THREADS ? MAX_THREADS : n;
}

fv_status fv_pool_open(fv_pool **out, int threads, fv_error *err) {
    *out = NULL;
    if (threads < 0 || threads > MAX_THREADS)
        return fv_fail(err, FV_BAD_USAGE, "threads must be 0 (as many as there are) .. %d, got %d", MAX_THREADS, threads);
    if (threads == 0) threads = threads_allowed();
    fv_pool *p = aligned_alloc(64, sizeof *p);
    struct worker *workers = calloc((size_t)threads, sizeof *workers);
    if (!p || !workers) {
        free(p);
        free(workers);
        return fv_fail(err, FV_NO_MEMORY, "threads: no memory for a pool of %d", threads);
    }
    memset(p, 0, sizeof *p);
    p->workers = workers;
    for (p->threads = 1; p->threads < threads; p->threads++) {
        struct worker *w = workers + p->threads - 1;
        *w = (struct worker){ .pool = p, .index = p->threads };
        int error = pthread_create(&w->thread, NULL, worker_main, w);
        if (error) {
            int started = p->threads;
            fv_pool_close(p);
            return fv_fail(err, FV_LIMIT, "threads: the system refused thread %d of %d (%s); ask for fewer with threads=%d",
                           started + 1, threads, strerror(error), started);
        }
    }
    *out = p;
    return FV_OK;
}

void fv_pool_close(fv_pool *p) {
    if (!p) return;
    atomic_store(&p->closing, true);
    atomic_fetch_add(&p->start.value, 1);
    gate_wake(&p->start);
    for (int i = 0; i < p->threads - 1; i++) pthread_join(p->workers[i].thread, NULL);
    free(p->workers);
    free(p);
}

/* Background jobs: a queue under one lock. */

struct job {
    struct job *next;
    void (*run)(void *context);
    void *context;
};

struct fv_jobs {
    pthread_mutex_t lock;
    pthread_cond_t added, finished;
    struct job *first, **last;
    int unfinished; /* queued or running */
    bool closing;
    int threads;
    pthread_t *workers;
};

static void *jobs_main(void *argument) {
    fv_jobs *j = argument;
    pthread_mutex_lock(&j->lock);
    for (;;) {
        while (!j->first && !j->closing) pthread_cond_wait(&j->added, &j->lock);
        struct job *job = j->first;
        if (!job) break; /* closing, and nothing is left */
        j->first = job->next;
        if (!j->first) j->last = &j->first;
        pthread_mutex_unlock(&j->lock);
        job->run(job->context);
        free(job);
        pthread_mutex_lock(&j->lock);
        if (--j->unfinished == 0) pthread_cond_broadcast(&j->finished);
    }
    pthread_mutex_unlock(&j->lock);
    return NULL;
}

fv_status fv_jobs_open(fv_jobs **out, int threads, fv_error *err) {
    *out = NULL;
    if (threads < 0 || threads > MAX_THREADS)
        return fv_fail(err, FV_BAD_USAGE, "job threads must be 0 (as many as there are) .. %d, got %d", MAX_THREADS, threads);
    if (threads == 0) threads = threads_allowed();
    fv_jobs *j = calloc(1, sizeof *j);
    pthread_t *workers = calloc((size_t)threads, sizeof *workers);
    if (!j || !workers) {
        free(j);
        free(workers);
        return fv_fail(err, FV_NO_MEMORY, "threads: no memory for %d job threads", threads);
    }
    pthread_mutex_init(&j->lock, NULL);
    pthread_cond_init(&j->added, NULL);
    pthread_cond_init(&j->finished, NULL);
    j->last = &j->first;
    j->workers = workers;
    for (; j->threads < threads; j->threads++) {
        int error = pthread_create(&workers[j->threads], NULL, jobs_main, j);
        if (error) {
            int started = j->threads;
            fv_jobs_close(j);
            return fv_fail(err, FV_LIMIT, "threads: the system refused job thread %d of %d (%s)", started + 1, threads,
                           strerror(error));
        }
    }
    *out = j;
    return FV_OK;
}

fv_status fv_jobs_add(fv_jobs *j, void (*run)(void *context), void *context, fv_error *err) {
    struct job *job = malloc(sizeof *job);
    if (!job) return fv_fail(err, FV_NO_MEMORY, "threads: no memory for a background job");
    *job = (struct job){ .run = run, .context = context };
    pthread_mutex_lock(&j->lock);
    *j->last = job;
    j->last = &job->next;
    j->unfinished++;
    pthread_cond_signal(&j->added);
    pthread_mutex_unlock(&j->lock);
    return FV_OK;
}

void fv_jobs_wait(fv_jobs *j) {
    pthread_mutex_lock(&j->lock);
    while (j->unfinished > 0) pthread_cond_wait(&j->finished, &j->lock);
    pthread_mutex_unlock(&j->lock);
}

void fv_jobs_close(fv_jobs *j) {
    if (!j) return;
    pthread_mutex_lock(&j->lock);
    j->closing = true;
    pthread_cond_broadcast(&j->added);
    pthread_mutex_unlock(&j->lock);
    for (int i = 0; i < j->threads; i++) pthread_join(j->workers[i], NULL);
    pthread_mutex_destroy(&j->lock);
    pthread_cond_destroy(&j->added);
    pthread_cond_destroy(&j->finished);
    free(j->workers);
    free(j);
}
