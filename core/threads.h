/* A pool of threads for splitting one operation. Workers spin for a few microseconds between operations and then sleep.
 * Results never depend on the number of threads: work is split by output element only. */
#ifndef FV_CORE_THREADS_H
#define FV_CORE_THREADS_H

#include "core/error.h"

#include <stdint.h>

typedef struct fv_pool fv_pool;

/* threads = 0: as many as the process may use (its CPU affinity). The caller's own thread is one of them. */
fv_status fv_pool_open(fv_pool **out, int threads, fv_error *err);
void fv_pool_close(fv_pool *p);
int fv_pool_threads(const fv_pool *p);

/* Runs body(context, begin, end, worker) over [0, n), cut into at most `threads` contiguous pieces of at least `grain`. Which
 * thread runs a piece varies, and one may run several; worker is its number, 0..threads-1: for scratch, not for results.
 * Returns when all is done. Called from one thread at a time; `body` must not call it again. pool may be NULL: one thread. */
typedef void fv_range_body(void *context, int64_t begin, int64_t end, int worker);
void fv_parallel(fv_pool *p, int64_t n, int64_t grain, fv_range_body *body, void *context);

/* Background jobs (tools, picture decoding, data generation), apart from the pool so that they run beside operations. */
typedef struct fv_jobs fv_jobs;
fv_status fv_jobs_open(fv_jobs **out, int threads, fv_error *err);
void fv_jobs_close(fv_jobs *j); /* finishes what is queued */
fv_status fv_jobs_add(fv_jobs *j, void (*run)(void *context), void *context, fv_error *err);
void fv_jobs_wait(fv_jobs *j);  /* until none is queued or running */

#endif
